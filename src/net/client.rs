//! The client: sends requests as configured.

use std::error::Error as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use bytes::Bytes;
use reqwest::header::{
    AUTHORIZATION, CONTENT_ENCODING, CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue, LOCATION,
};
use reqwest::{Method, StatusCode, Url, redirect};

use super::config::{Authorization, BasicAuth, HttpClientConfig};
use super::secret::Secret;
use super::tls::{self, TlsConfig};

/// Most redirects that are followed, as in Go.
const REDIRECTS_MAX: usize = 10;
/// How long an unused connection is kept.
const IDLE_MAX: Duration = Duration::from_secs(5 * 60);
/// Largest file with a credential, in bytes.
const CREDENTIAL_BYTES_MAX: u64 = 1 << 20;

/// Why a request got no answer.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum NetError {
    /// A file with a credential or certificate.
    #[error("unable to read file {path}: {source}")]
    File {
        /// Which.
        path: String,
        /// Why.
        source: std::io::Error,
    },
    /// A credential that cannot stand in a header.
    #[error("{0} holds bytes that no header can carry")]
    Header(String),
    /// The settings make no client.
    #[error("error creating HTTP client: {0}")]
    Client(String),
    /// The request failed on its way.
    #[error("{verb} {url:?}: {cause}")]
    Request {
        /// How it was asked: `Get`, `Post`.
        verb: &'static str,
        /// What was asked for, without credentials.
        url: String,
        /// Why there was no answer.
        cause: String,
    },
}

/// Makes ring the process' TLS provider, unless there is one. Called by [`HttpClient::new`] too.
pub fn install_tls_provider() {
    if rustls::crypto::CryptoProvider::get_default().is_none() {
        // Another thread may have been quicker; then its provider, ring as well, counts.
        let _ = rustls::crypto::ring::default_provider().install_default();
    }
}

/// An HTTP client with its credentials. Certificates are read when it is made, credential files with each request.
#[derive(Clone, Debug)]
pub struct HttpClient {
    client: reqwest::Client,
    config: HttpClientConfig,
}

impl HttpClient {
    /// A client for validated settings.
    pub fn new(config: &HttpClientConfig) -> Result<Self, NetError> {
        Self::build(config, None)
    }

    /// A client that connects to a Unix socket, whatever the address says.
    pub fn over_socket(config: &HttpClientConfig, socket: &Path) -> Result<Self, NetError> {
        Self::build(config, Some(socket.to_owned()))
    }

    fn build(config: &HttpClientConfig, socket: Option<PathBuf>) -> Result<Self, NetError> {
        install_tls_provider();
        // Redirects are followed here, so that no credential goes to another host.
        let mut builder =
            reqwest::Client::builder().redirect(redirect::Policy::none()).pool_idle_timeout(IDLE_MAX);
        if !config.enable_http2 {
            builder = builder.http1_only();
        }
        builder = set_proxy(builder, config)?;
        if let Some(tls) = &config.tls_config {
            builder = set_tls(builder, tls)?;
        }
        #[cfg(unix)]
        if let Some(socket) = socket {
            builder = builder.unix_socket(socket);
        }
        #[cfg(not(unix))]
        if socket.is_some() {
            return Err(NetError::Client("there are no Unix sockets here".to_owned()));
        }
        let client = builder.build().map_err(|error| NetError::Client(causes(&error)))?;
        Ok(Self { client, config: config.clone() })
    }

    /// Asks for `url` with `headers`, credentials and configured headers. The answer's body is still to come.
    pub async fn get(&self, url: &Url, headers: &HeaderMap) -> Result<reqwest::Response, NetError> {
        self.send(url, headers.clone(), None).await
    }

    /// Sends `body` to `url`, as [`Self::get`] asks. A redirect with 307 or 308 takes the body along; one with another
    /// status makes it a `GET` without the body, as browsers and Go do.
    pub async fn post(
        &self,
        url: &Url,
        headers: &HeaderMap,
        body: Bytes,
    ) -> Result<reqwest::Response, NetError> {
        self.send(url, headers.clone(), Some(body)).await
    }

    /// Follows redirects. `body`: what is posted; without one it is a `GET`.
    async fn send(
        &self,
        url: &Url,
        mut headers: HeaderMap,
        mut body: Option<Bytes>,
    ) -> Result<reqwest::Response, NetError> {
        let verb = if body.is_some() { "Post" } else { "Get" };
        let secrets = self.secret_headers().await?;
        let mut next = url.clone();
        let mut is_trusted = true;
        for _ in 0..=REDIRECTS_MAX {
            let method = if body.is_some() { Method::POST } else { Method::GET };
            let mut request = self.client.request(method, next.clone()).headers(headers.clone());
            if is_trusted {
                request = request.headers(secrets.clone());
            }
            if let Some(body) = &body {
                request = request.body(body.clone());
            }
            let response = request.send().await.map_err(|error| failed(verb, url, causes(&error)))?;
            let Some(target) = self.redirect_of(&response) else { return Ok(response) };
            if !takes_body_along(response.status()) && body.take().is_some() {
                headers.remove(CONTENT_TYPE);
                headers.remove(CONTENT_ENCODING);
            }
            // Once it left the host it never gets credentials again, even if it comes back.
            is_trusted = is_trusted && is_same_host(url, &target);
            next = target;
        }
        Err(failed(verb, url, format!("stopped after {REDIRECTS_MAX} redirects")))
    }

    /// Where a response sends us; `None` where it is the answer.
    fn redirect_of(&self, response: &reqwest::Response) -> Option<Url> {
        let is_redirect = matches!(
            response.status(),
            StatusCode::MOVED_PERMANENTLY
                | StatusCode::FOUND
                | StatusCode::SEE_OTHER
                | StatusCode::TEMPORARY_REDIRECT
                | StatusCode::PERMANENT_REDIRECT
        );
        if !is_redirect || !self.config.follow_redirects {
            return None;
        }
        let location = response.headers().get(LOCATION)?.to_str().ok()?;
        let mut target = response.url().join(location).ok()?;
        // A target must not choose credentials for us.
        let _ = target.set_username("");
        let _ = target.set_password(None);
        Some(target)
    }

    /// Credentials and configured headers, files read now.
    async fn secret_headers(&self) -> Result<HeaderMap, NetError> {
        let mut headers = HeaderMap::new();
        if let Some(basic) = &self.config.basic_auth {
            headers.insert(AUTHORIZATION, basic_header(basic).await?);
        } else if let Some(authorization) = &self.config.authorization {
            headers.insert(AUTHORIZATION, authorization_header(authorization).await?);
        }
        for (name, header) in &self.config.http_headers {
            let key = HeaderName::from_bytes(name.as_bytes()).map_err(|_| NetError::Header(name.clone()))?;
            for value in &header.values {
                headers.append(&key, sensitive(value, name)?);
            }
            for secret in &header.secrets {
                headers.append(&key, sensitive(secret.expose(), name)?);
            }
            for file in &header.files {
                headers.append(&key, sensitive(&read_credential(file).await?, name)?);
            }
        }
        Ok(headers)
    }
}

async fn basic_header(basic: &BasicAuth) -> Result<HeaderValue, NetError> {
    let username = text_or_file(&basic.username, &basic.username_file).await?;
    let password = text_or_file(basic.password.expose(), &basic.password_file).await?;
    sensitive(&format!("Basic {}", base64(format!("{username}:{password}").as_bytes())), "basic_auth")
}

async fn authorization_header(authorization: &Authorization) -> Result<HeaderValue, NetError> {
    let credentials =
        text_or_file(authorization.credentials.expose(), &authorization.credentials_file).await?;
    sensitive(&format!("{} {credentials}", authorization.scheme), "authorization")
}

async fn text_or_file(text: &str, file: &str) -> Result<String, NetError> {
    if file.is_empty() { Ok(text.to_owned()) } else { read_credential(file).await }
}

/// A file's contents without the blanks around them.
async fn read_credential(file: &str) -> Result<String, NetError> {
    let failed = |source| NetError::File { path: file.to_owned(), source };
    let length = tokio::fs::metadata(file).await.map_err(failed)?.len();
    if length > CREDENTIAL_BYTES_MAX {
        return Err(failed(std::io::Error::other(format!("{length} bytes are too long for a credential"))));
    }
    Ok(tokio::fs::read_to_string(file).await.map_err(failed)?.trim().to_owned())
}

fn sensitive(text: &str, name: &str) -> Result<HeaderValue, NetError> {
    let mut value = HeaderValue::from_str(text).map_err(|_| NetError::Header(name.to_owned()))?;
    value.set_sensitive(true);
    Ok(value)
}

/// Whether credentials for `first` may be sent to `target`: same scheme, host and port, or its upgrade to HTTPS.
fn is_same_host(first: &Url, target: &Url) -> bool {
    let is_upgrade = (first.scheme(), target.scheme()) == ("http", "https")
        && first.port_or_known_default() == Some(80)
        && target.port_or_known_default() == Some(443);
    let is_same_service =
        first.scheme() == target.scheme() && first.port_or_known_default() == target.port_or_known_default();
    first.host() == target.host() && (is_same_service || is_upgrade)
}

/// Whether a redirect repeats the request as it was.
fn takes_body_along(status: StatusCode) -> bool {
    matches!(status, StatusCode::TEMPORARY_REDIRECT | StatusCode::PERMANENT_REDIRECT)
}

fn failed(verb: &'static str, url: &Url, cause: String) -> NetError {
    NetError::Request { verb, url: without_credentials(url), cause }
}

fn without_credentials(url: &Url) -> String {
    let mut shown = url.clone();
    let _ = shown.set_username("");
    let _ = shown.set_password(None);
    shown.to_string()
}

/// What lies behind a client error; its own words only repeat the URL.
fn causes(error: &reqwest::Error) -> String {
    let mut parts: Vec<String> = Vec::new();
    let mut source = error.source();
    while let Some(cause) = source {
        let text = cause.to_string();
        // Wrappers often print what they wrap.
        if parts.last().is_none_or(|last| !last.ends_with(&text)) {
            parts.push(text);
        }
        source = cause.source();
    }
    if parts.is_empty() { error.to_string() } else { parts.join(": ") }
}

fn set_proxy(
    builder: reqwest::ClientBuilder,
    config: &HttpClientConfig,
) -> Result<reqwest::ClientBuilder, NetError> {
    if config.proxy_url.is_empty() {
        return Ok(if config.proxy_from_environment { builder } else { builder.no_proxy() });
    }
    let proxy = proxy_of(&config.proxy_url)?.no_proxy(reqwest::NoProxy::from_string(&config.no_proxy));
    Ok(builder.proxy(proxy))
}

fn proxy_of(url: &Secret) -> Result<reqwest::Proxy, NetError> {
    // The URL may hold a password, so the cause is all that is said.
    reqwest::Proxy::all(url.expose())
        .map_err(|error| NetError::Client(format!("proxy_url: {}", causes(&error))))
}

fn set_tls(
    mut builder: reqwest::ClientBuilder,
    config: &TlsConfig,
) -> Result<reqwest::ClientBuilder, NetError> {
    let bad = |what: &str, error: reqwest::Error| NetError::Client(format!("{what}: {}", causes(&error)));
    if let Some(ca) = tls::pem_of(&config.ca, &config.ca_file)? {
        let certificates =
            reqwest::Certificate::from_pem_bundle(&ca).map_err(|error| bad("tls_config.ca", error))?;
        builder = builder.tls_certs_only(certificates);
    }
    if let Some(mut identity) = tls::pem_of(&config.cert, &config.cert_file)? {
        identity.push(b'\n');
        identity.extend(tls::pem_of(config.key.expose(), &config.key_file)?.unwrap_or_default());
        let identity =
            reqwest::Identity::from_pem(&identity).map_err(|error| bad("tls_config.cert", error))?;
        builder = builder.identity(identity);
    }
    if config.insecure_skip_verify {
        builder = builder.tls_danger_accept_invalid_certs(true);
    }
    if config.min_version == Some(tls::TlsVersion::Tls13) {
        builder = builder.tls_version_min(reqwest::tls::Version::TLS_1_3);
    }
    Ok(match config.max_version {
        Some(tls::TlsVersion::Tls12) => builder.tls_version_max(reqwest::tls::Version::TLS_1_2),
        Some(tls::TlsVersion::Tls10 | tls::TlsVersion::Tls11) => {
            return Err(NetError::Client("tls_config.max_version below TLS12 is not spoken".to_owned()));
        }
        _ => builder,
    })
}

/// Standard base 64 with padding.
fn base64(input: &[u8]) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::with_capacity(input.len().div_ceil(3) * 4);
    for group in input.chunks(3) {
        let bits =
            group.iter().fold(0_u32, |bits, byte| bits << 8 | u32::from(*byte)) << (8 * (3 - group.len()));
        for digit in 0..4 {
            if digit <= group.len() {
                text.push(char::from(DIGITS[(bits >> (18 - 6 * digit)) as usize & 63]));
            } else {
                text.push('=');
            }
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use axum::Router;
    use axum::http::header;
    use axum::response::{IntoResponse, Response};
    use axum::routing::{any, get};

    use super::*;
    use crate::net::HttpHeader;

    type Seen = Arc<Mutex<Vec<HeaderMap>>>;

    async fn listener() -> tokio::net::TcpListener {
        tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port is free")
    }

    fn url_of(listener: &tokio::net::TcpListener) -> String {
        format!("http://{}", listener.local_addr().expect("it is bound"))
    }

    async fn serve(target: Option<String>) -> (String, Seen) {
        serve_on(listener().await, target)
    }

    /// A server that redirects `/go` to `target` and remembers the headers of `/metrics`.
    fn serve_on(listener: tokio::net::TcpListener, target: Option<String>) -> (String, Seen) {
        let seen = Seen::default();
        let remembered = Arc::clone(&seen);
        let redirect = move || {
            let target = target.clone().unwrap_or_else(|| "/metrics".to_owned());
            async move { (StatusCode::FOUND, [(header::LOCATION, target)]).into_response() }
        };
        let answer = move |headers: HeaderMap| {
            remembered.lock().expect("no test panics inside").push(headers);
            async { Response::new(axum::body::Body::from("ok")) }
        };
        let address = url_of(&listener);
        let router = Router::new().route("/go", get(redirect)).route("/metrics", get(answer));
        tokio::spawn(async move { axum::serve(listener, router).await });
        (address, seen)
    }

    fn secretive() -> HttpClientConfig {
        let mut config = HttpClientConfig {
            basic_auth: Some(BasicAuth {
                username: "user".into(),
                password: Secret::new("pass"),
                ..BasicAuth::default()
            }),
            ..HttpClientConfig::default()
        };
        let header = HttpHeader { secrets: vec![Secret::new("key")], ..HttpHeader::default() };
        config.http_headers.insert("X-Api-Key".into(), header);
        config
    }

    async fn headers_after(config: &HttpClientConfig, start: &str, seen: &Seen) -> Option<HeaderMap> {
        let client = HttpClient::new(config).expect("settings make a client");
        let url = Url::parse(start).expect("it is a URL");
        let response = client.get(&url, &HeaderMap::new()).await.expect("the server answers");
        assert!(!config.follow_redirects || response.status() == StatusCode::OK);
        seen.lock().expect("no test panics inside").pop()
    }

    #[tokio::test]
    async fn redirects_carry_credentials_only_to_the_same_host() {
        let (there, seen_there) = serve(None).await;
        let (here, seen_here) = serve(None).await;
        let headers = headers_after(&secretive(), &format!("{here}/go"), &seen_here).await.expect("it came");
        assert_eq!(headers[AUTHORIZATION], "Basic dXNlcjpwYXNz");
        assert_eq!(headers["x-api-key"], "key");

        let (away, _) = serve(Some(format!("{there}/metrics"))).await;
        let headers = headers_after(&secretive(), &format!("{away}/go"), &seen_there).await.expect("it came");
        assert!(headers.get(AUTHORIZATION).is_none() && headers.get("x-api-key").is_none());
    }

    #[tokio::test]
    async fn a_detour_over_another_host_loses_credentials_for_good() {
        let (start_on, detour_on) = (listener().await, listener().await);
        let start = url_of(&start_on);
        let detour = serve_on(detour_on, Some(format!("{start}/metrics")));
        let seen = serve_on(start_on, Some(format!("{}/go", detour.0))).1;
        let headers = headers_after(&secretive(), &format!("{start}/go"), &seen).await.expect("it came");
        assert!(headers.get(AUTHORIZATION).is_none());
    }

    #[tokio::test]
    async fn redirects_are_not_followed_where_they_should_not_be() {
        let (here, seen) = serve(None).await;
        let config = HttpClientConfig { follow_redirects: false, ..HttpClientConfig::default() };
        assert!(headers_after(&config, &format!("{here}/go"), &seen).await.is_none());
        let (circle, _) = serve(Some("/go".to_owned())).await;
        let client = HttpClient::new(&HttpClientConfig::default()).expect("settings make a client");
        let url = Url::parse(&format!("{circle}/go")).expect("it is a URL");
        let error = client.get(&url, &HeaderMap::new()).await.expect_err("it never ends");
        assert!(error.to_string().ends_with("stopped after 10 redirects"), "{error}");
    }

    /// What a posted text arrives as after a redirect with `status`: the way it is asked, its type, its body.
    async fn posted_over(status: StatusCode) -> (Method, Option<HeaderValue>, String) {
        let arrived = Arc::new(Mutex::new(None));
        let remembered = Arc::clone(&arrived);
        let answer = move |method: Method, headers: HeaderMap, body: String| {
            let came = (method, headers.get(CONTENT_TYPE).cloned(), body);
            *remembered.lock().expect("no test panics inside") = Some(came);
            async {}
        };
        let on = listener().await;
        let url = Url::parse(&format!("{}/go", url_of(&on))).expect("it is a URL");
        let redirect = move || async move { (status, [(header::LOCATION, "/there")]).into_response() };
        let router = Router::new().route("/go", any(redirect)).route("/there", any(answer));
        tokio::spawn(async move { axum::serve(on, router).await });
        let client = HttpClient::new(&HttpClientConfig::default()).expect("settings make a client");
        let headers = HeaderMap::from_iter([(CONTENT_TYPE, HeaderValue::from_static("text/plain"))]);
        let response = client.post(&url, &headers, Bytes::from("hello")).await.expect("the server answers");
        assert_eq!(response.status(), StatusCode::OK);
        arrived.lock().expect("no test panics inside").take().expect("something came")
    }

    #[tokio::test]
    async fn redirects_take_the_body_along_or_ask_without_it() {
        let text = HeaderValue::from_static("text/plain");
        for status in [StatusCode::TEMPORARY_REDIRECT, StatusCode::PERMANENT_REDIRECT] {
            let came = posted_over(status).await;
            assert_eq!(came, (Method::POST, Some(text.clone()), "hello".to_owned()), "{status}");
        }
        for status in [StatusCode::MOVED_PERMANENTLY, StatusCode::FOUND, StatusCode::SEE_OTHER] {
            assert_eq!(posted_over(status).await, (Method::GET, None, String::new()), "{status}");
        }
    }

    #[tokio::test]
    async fn credentials_may_stand_in_files() {
        let (here, seen) = serve(None).await;
        let file = tempfile::NamedTempFile::new().expect("there is room");
        std::fs::write(file.path(), "token\n").expect("there is room");
        let mut config = HttpClientConfig {
            bearer_token_file: file.path().to_string_lossy().into_owned(),
            ..HttpClientConfig::default()
        };
        config.validate().expect("settings are sound");
        let headers = headers_after(&config, &format!("{here}/metrics"), &seen).await.expect("it came");
        assert_eq!(headers[AUTHORIZATION], "Bearer token");
        drop(file);
        let client = HttpClient::new(&config).expect("settings make a client");
        let url = Url::parse(&format!("{here}/metrics")).expect("it is a URL");
        let error = client.get(&url, &HeaderMap::new()).await.expect_err("the file is gone");
        assert!(error.to_string().starts_with("unable to read file"), "{error}");
    }

    #[tokio::test]
    async fn errors_name_the_url_without_its_password() {
        let client = HttpClient::new(&HttpClientConfig::default()).expect("settings make a client");
        let url = Url::parse("http://u:hunter2@127.0.0.1:1/metrics").expect("it is a URL");
        let error = client.get(&url, &HeaderMap::new()).await.expect_err("nothing listens").to_string();
        assert!(error.contains("refused") && !error.contains("hunter2"), "{error}");
    }

    #[test]
    fn hosts_are_the_same_only_with_their_port() {
        let same = |a, b| is_same_host(&Url::parse(a).expect("URL"), &Url::parse(b).expect("URL"));
        assert!(same("http://a/", "http://a:80/x") && same("http://a/", "https://a/"));
        assert!(!same("https://a/", "http://a/") && !same("http://a/", "http://a:81/"));
        assert!(!same("http://a/", "http://sub.a/") && !same("http://a:9090/", "https://a/"));
    }

    #[test]
    fn base64_is_padded() {
        for (text, expected) in
            [("", ""), ("f", "Zg=="), ("fo", "Zm8="), ("foo", "Zm9v"), ("foob", "Zm9vYg==")]
        {
            assert_eq!(base64(text.as_bytes()), expected);
        }
    }
}
