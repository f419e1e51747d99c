//! `<http_config>`: how requests are authenticated and sent.

use std::collections::BTreeMap;
use std::path::Path;

use serde::de::MapAccess;
use serde::{Deserialize, Serialize};

use super::secret::Secret;
use super::tls::TlsConfig;
use crate::setting::{Inline, is_zero, join_folder, null_as_zero};

/// Why client settings cannot be used; the texts are upstream's.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum NetConfigError {
    /// Settings that exclude each other.
    #[error("at most one of {0} must be configured")]
    AtMostOne(&'static str),
    /// A certificate without its key.
    #[error("exactly one of key or key_file must be configured when a client certificate is configured")]
    CertificateWithoutKey,
    /// A key without its certificate.
    #[error("exactly one of cert or cert_file must be configured when a client key is configured")]
    KeyWithoutCertificate,
    /// Old and new settings of the same thing.
    #[error("authorization is not compatible with bearer_token & bearer_token_file")]
    AuthorizationAndToken,
    /// Basic authentication in the wrong place.
    #[error("authorization type cannot be set to \"basic\", use \"basic_auth\" instead")]
    AuthorizationBasic,
    /// Something that must be there.
    #[error("oauth2 {0} must be configured")]
    OAuth2Missing(&'static str),
    /// A header that the client sets itself.
    #[error("setting header {0:?} is not allowed")]
    HeaderReserved(String),
    /// A header that HTTP does not allow.
    #[error("header {0:?} is not valid")]
    HeaderInvalid(String),
    /// Proxy settings that exclude or need each other.
    #[error("{0}")]
    Proxy(&'static str),
}

/// Headers that the client sets itself, in small letters.
const HEADERS_RESERVED: [&str; 17] = [
    "accept-encoding",
    "authorization",
    "connection",
    "content-encoding",
    "content-length",
    "content-type",
    "host",
    "keep-alive",
    "proxy-authenticate",
    "proxy-authorization",
    "user-agent",
    "www-authenticate",
    "x-prometheus-remote-read-version",
    "x-prometheus-remote-write-version",
    "x-prometheus-scrape-timeout-seconds",
    "x-amz-date",
    "x-amz-security-token",
];

/// `basic_auth`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct BasicAuth {
    /// User.
    #[serde(deserialize_with = "null_as_zero")]
    pub username: String,
    /// File that holds the user.
    #[serde(deserialize_with = "null_as_zero", skip_serializing_if = "String::is_empty")]
    pub username_file: String,
    /// Password.
    #[serde(deserialize_with = "null_as_zero", skip_serializing_if = "Secret::is_empty")]
    pub password: Secret,
    /// File that holds the password.
    #[serde(deserialize_with = "null_as_zero", skip_serializing_if = "String::is_empty")]
    pub password_file: String,
}

/// `authorization`: the header's type and what follows it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct Authorization {
    /// `Bearer` where nothing is given.
    #[serde(rename = "type", deserialize_with = "null_as_zero", skip_serializing_if = "String::is_empty")]
    pub scheme: String,
    /// The credentials.
    #[serde(deserialize_with = "null_as_zero", skip_serializing_if = "Secret::is_empty")]
    pub credentials: Secret,
    /// File that holds the credentials.
    #[serde(deserialize_with = "null_as_zero", skip_serializing_if = "String::is_empty")]
    pub credentials_file: String,
}

/// `oauth2`: read and checked, not served yet.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
#[expect(missing_docs, reason = "the fields are upstream's, one for one")]
pub struct OAuth2Config {
    #[serde(deserialize_with = "null_as_zero")]
    pub client_id: String,
    #[serde(deserialize_with = "null_as_zero", skip_serializing_if = "String::is_empty")]
    pub grant_type: String,
    #[serde(deserialize_with = "null_as_zero", skip_serializing_if = "Secret::is_empty")]
    pub client_secret: Secret,
    #[serde(deserialize_with = "null_as_zero", skip_serializing_if = "String::is_empty")]
    pub client_secret_file: String,
    #[serde(deserialize_with = "null_as_zero", skip_serializing_if = "Secret::is_empty")]
    pub client_certificate_key: Secret,
    #[serde(deserialize_with = "null_as_zero", skip_serializing_if = "String::is_empty")]
    pub client_certificate_key_file: String,
    #[serde(deserialize_with = "null_as_zero", skip_serializing_if = "String::is_empty")]
    pub client_certificate_key_id: String,
    #[serde(deserialize_with = "null_as_zero", skip_serializing_if = "String::is_empty")]
    pub signature_algorithm: String,
    #[serde(deserialize_with = "null_as_zero", skip_serializing_if = "String::is_empty")]
    pub iss: String,
    #[serde(deserialize_with = "null_as_zero", skip_serializing_if = "String::is_empty")]
    pub audience: String,
    #[serde(deserialize_with = "null_as_zero", skip_serializing_if = "is_zero")]
    pub claims: BTreeMap<String, String>,
    #[serde(deserialize_with = "null_as_zero", skip_serializing_if = "is_zero")]
    pub scopes: Vec<String>,
    #[serde(deserialize_with = "null_as_zero")]
    pub token_url: String,
    /// May hold a password, and is hidden as a whole.
    #[serde(deserialize_with = "null_as_zero", skip_serializing_if = "is_zero")]
    pub endpoint_params: BTreeMap<String, Secret>,
    #[serde(skip_serializing_if = "is_zero")]
    pub tls_config: Option<TlsConfig>,
    #[serde(deserialize_with = "null_as_zero", skip_serializing_if = "Secret::is_empty")]
    pub proxy_url: Secret,
    #[serde(deserialize_with = "null_as_zero", skip_serializing_if = "String::is_empty")]
    pub no_proxy: String,
    #[serde(deserialize_with = "null_as_zero", skip_serializing_if = "is_zero")]
    pub proxy_from_environment: bool,
    #[serde(deserialize_with = "null_as_zero", skip_serializing_if = "is_zero")]
    pub proxy_connect_header: BTreeMap<String, Vec<Secret>>,
}

/// One custom header's values.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct HttpHeader {
    /// Plain values.
    #[serde(deserialize_with = "null_as_zero", skip_serializing_if = "is_zero")]
    pub values: Vec<String>,
    /// Values that do not print.
    #[serde(deserialize_with = "null_as_zero", skip_serializing_if = "is_zero")]
    pub secrets: Vec<Secret>,
    /// Files whose contents are values.
    #[serde(deserialize_with = "null_as_zero", skip_serializing_if = "is_zero")]
    pub files: Vec<String>,
}

/// How requests are authenticated and sent: the inline `<http_config>`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct HttpClientConfig {
    /// User and password.
    #[serde(skip_serializing_if = "is_zero")]
    pub basic_auth: Option<BasicAuth>,
    /// Type and credentials.
    #[serde(skip_serializing_if = "is_zero")]
    pub authorization: Option<Authorization>,
    /// OAuth 2.
    #[serde(skip_serializing_if = "is_zero")]
    pub oauth2: Option<OAuth2Config>,
    /// Old form of [`Self::authorization`], moved there by [`Self::validate`].
    #[serde(skip_serializing_if = "Secret::is_empty")]
    pub bearer_token: Secret,
    /// Old form of [`Self::authorization`], moved there by [`Self::validate`].
    #[serde(skip_serializing_if = "String::is_empty")]
    pub bearer_token_file: String,
    /// TLS.
    #[serde(skip_serializing_if = "is_zero")]
    pub tls_config: Option<TlsConfig>,
    /// Whether redirects are followed; true where nothing is given.
    pub follow_redirects: bool,
    /// Whether HTTP/2 may be spoken; true where nothing is given.
    pub enable_http2: bool,
    /// Proxy for all requests; may hold a password and does not print.
    #[serde(skip_serializing_if = "Secret::is_empty")]
    pub proxy_url: Secret,
    /// Hosts that are asked without the proxy.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub no_proxy: String,
    /// Whether the proxy is taken from environment variables.
    #[serde(skip_serializing_if = "is_zero")]
    pub proxy_from_environment: bool,
    /// Headers for the proxy.
    #[serde(skip_serializing_if = "is_zero")]
    pub proxy_connect_header: BTreeMap<String, Vec<Secret>>,
    /// Headers for each request.
    #[serde(skip_serializing_if = "is_zero")]
    pub http_headers: BTreeMap<String, HttpHeader>,
}

impl Default for HttpClientConfig {
    fn default() -> Self {
        Self {
            basic_auth: None,
            authorization: None,
            oauth2: None,
            bearer_token: Secret::default(),
            bearer_token_file: String::new(),
            tls_config: None,
            follow_redirects: true,
            enable_http2: true,
            proxy_url: Secret::default(),
            no_proxy: String::new(),
            proxy_from_environment: false,
            proxy_connect_header: BTreeMap::new(),
            http_headers: BTreeMap::new(),
        }
    }
}

/// The next value, a null as its zero.
fn value_or_zero<'de, A: MapAccess<'de>, T: Deserialize<'de> + Default>(map: &mut A) -> Result<T, A::Error> {
    Ok(map.next_value::<Option<T>>()?.unwrap_or_default())
}

impl Inline for HttpClientConfig {
    fn take<'de, A: MapAccess<'de>>(&mut self, key: &str, map: &mut A) -> Result<bool, A::Error> {
        match key {
            "basic_auth" => self.basic_auth = map.next_value()?,
            "authorization" => self.authorization = map.next_value()?,
            "oauth2" => self.oauth2 = map.next_value()?,
            "bearer_token" => self.bearer_token = value_or_zero(map)?,
            "bearer_token_file" => self.bearer_token_file = value_or_zero(map)?,
            "tls_config" => self.tls_config = map.next_value()?,
            "follow_redirects" => self.follow_redirects = value_or_zero(map)?,
            "enable_http2" => self.enable_http2 = value_or_zero(map)?,
            "proxy_url" => self.proxy_url = value_or_zero(map)?,
            "no_proxy" => self.no_proxy = value_or_zero(map)?,
            "proxy_from_environment" => self.proxy_from_environment = value_or_zero(map)?,
            "proxy_connect_header" => self.proxy_connect_header = value_or_zero(map)?,
            "http_headers" => self.http_headers = value_or_zero(map)?,
            _ => return Ok(false),
        }
        Ok(true)
    }
}

impl HttpClientConfig {
    /// Checks the settings against each other, and moves the old bearer tokens to `authorization`.
    pub fn validate(&mut self) -> Result<(), NetConfigError> {
        self.check_tokens()?;
        if let Some(basic) = &self.basic_auth {
            at_most_one(
                &basic.username,
                &basic.username_file,
                "basic_auth username, username_file & username_ref",
            )?;
            at_most_one(
                basic.password.expose(),
                &basic.password_file,
                "basic_auth password, password_file & password_ref",
            )?;
        }
        self.check_authorization()?;
        self.check_oauth2()?;
        self.check_proxy()?;
        self.http_headers.keys().try_for_each(|name| check_header(name))?;
        self.tls_config.as_ref().map_or(Ok(()), TlsConfig::validate)
    }

    fn has_token(&self) -> bool {
        !self.bearer_token.is_empty() || !self.bearer_token_file.is_empty()
    }

    fn check_tokens(&self) -> Result<(), NetConfigError> {
        at_most_one(self.bearer_token.expose(), &self.bearer_token_file, "bearer_token & bearer_token_file")?;
        if (self.basic_auth.is_some() || self.oauth2.is_some()) && self.has_token() {
            return Err(NetConfigError::AtMostOne("basic_auth, oauth2, bearer_token & bearer_token_file"));
        }
        Ok(())
    }

    fn check_authorization(&mut self) -> Result<(), NetConfigError> {
        let has_token = self.has_token();
        let has_other = self.basic_auth.is_some() || self.oauth2.is_some();
        let Some(authorization) = &mut self.authorization else {
            if has_token {
                self.authorization = Some(Authorization {
                    scheme: "Bearer".to_owned(),
                    credentials: std::mem::take(&mut self.bearer_token),
                    credentials_file: std::mem::take(&mut self.bearer_token_file),
                });
            }
            return Ok(());
        };
        if has_token {
            return Err(NetConfigError::AuthorizationAndToken);
        }
        at_most_one(
            authorization.credentials.expose(),
            &authorization.credentials_file,
            "authorization credentials & credentials_file",
        )?;
        authorization.scheme = match authorization.scheme.trim() {
            "" => "Bearer".to_owned(),
            scheme => scheme.to_owned(),
        };
        if authorization.scheme.eq_ignore_ascii_case("basic") {
            return Err(NetConfigError::AuthorizationBasic);
        }
        if has_other {
            return Err(NetConfigError::AtMostOne("basic_auth, oauth2 & authorization"));
        }
        Ok(())
    }

    fn check_oauth2(&self) -> Result<(), NetConfigError> {
        let Some(oauth2) = &self.oauth2 else { return Ok(()) };
        if self.basic_auth.is_some() {
            return Err(NetConfigError::AtMostOne("basic_auth, oauth2 & authorization"));
        }
        if oauth2.client_id.is_empty() {
            return Err(NetConfigError::OAuth2Missing("client_id"));
        }
        if oauth2.token_url.is_empty() {
            return Err(NetConfigError::OAuth2Missing("token_url"));
        }
        at_most_one(
            oauth2.client_secret.expose(),
            &oauth2.client_secret_file,
            "oauth2 client_secret, client_secret_file & client_secret_ref",
        )?;
        oauth2.tls_config.as_ref().map_or(Ok(()), TlsConfig::validate)
    }

    fn check_proxy(&self) -> Result<(), NetConfigError> {
        let has_url = !self.proxy_url.is_empty();
        let broken = match (has_url, self.proxy_from_environment) {
            (false, false) if !self.proxy_connect_header.is_empty() => {
                "if proxy_connect_header is configured, proxy_url or proxy_from_environment must also be configured"
            }
            (true, true) => "if proxy_from_environment is configured, proxy_url must not be configured",
            (_, true) if !self.no_proxy.is_empty() => {
                "if proxy_from_environment is configured, no_proxy must not be configured"
            }
            (false, _) if !self.no_proxy.is_empty() => {
                "if no_proxy is configured, proxy_url must also be configured"
            }
            _ => return Ok(()),
        };
        Err(NetConfigError::Proxy(broken))
    }

    /// Makes relative file names start at `folder`.
    pub fn set_folder(&mut self, folder: &Path) {
        if let Some(basic) = &mut self.basic_auth {
            join_folder(folder, &mut basic.username_file);
            join_folder(folder, &mut basic.password_file);
        }
        if let Some(authorization) = &mut self.authorization {
            join_folder(folder, &mut authorization.credentials_file);
        }
        if let Some(oauth2) = &mut self.oauth2 {
            join_folder(folder, &mut oauth2.client_secret_file);
            join_folder(folder, &mut oauth2.client_certificate_key_file);
            if let Some(tls) = &mut oauth2.tls_config {
                tls.set_folder(folder);
            }
        }
        join_folder(folder, &mut self.bearer_token_file);
        if let Some(tls) = &mut self.tls_config {
            tls.set_folder(folder);
        }
        for file in self.http_headers.values_mut().flat_map(|header| &mut header.files) {
            join_folder(folder, file);
        }
    }

    /// Settings that are read and not acted on, by their names in the file.
    pub fn unserved(&self) -> Vec<String> {
        let mut unserved = self.tls_config.as_ref().map(TlsConfig::unserved).unwrap_or_default();
        if self.oauth2.is_some() {
            unserved.push("oauth2".to_owned());
        }
        if !self.proxy_connect_header.is_empty() {
            unserved.push("proxy_connect_header".to_owned());
        }
        unserved
    }
}

fn at_most_one(a: &str, b: &str, names: &'static str) -> Result<(), NetConfigError> {
    if a.is_empty() || b.is_empty() { Ok(()) } else { Err(NetConfigError::AtMostOne(names)) }
}

fn check_header(name: &str) -> Result<(), NetConfigError> {
    let lower = name.to_ascii_lowercase();
    if HEADERS_RESERVED.contains(&lower.as_str()) {
        return Err(NetConfigError::HeaderReserved(name.to_owned()));
    }
    match reqwest::header::HeaderName::from_bytes(lower.as_bytes()) {
        Ok(_) => Ok(()),
        Err(_) => Err(NetConfigError::HeaderInvalid(name.to_owned())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(edit: impl FnOnce(&mut HttpClientConfig)) -> HttpClientConfig {
        let mut config = HttpClientConfig::default();
        edit(&mut config);
        config
    }

    #[test]
    fn settings_that_exclude_each_other_are_refused() {
        let basic = || Some(BasicAuth { username: "u".into(), ..BasicAuth::default() });
        let scheme = |scheme: &str| Some(Authorization { scheme: scheme.into(), ..Authorization::default() });
        let token = || Secret::new("t");
        let cases: [(HttpClientConfig, &str); 8] = [
            (
                config(|c| (c.bearer_token, c.bearer_token_file) = (token(), "f".into())),
                "at most one of bearer_token & bearer_token_file must be configured",
            ),
            (
                config(|c| (c.basic_auth, c.bearer_token) = (basic(), token())),
                "at most one of basic_auth, oauth2, bearer_token & bearer_token_file must be configured",
            ),
            (
                config(|c| (c.basic_auth, c.authorization) = (basic(), scheme(""))),
                "at most one of basic_auth, oauth2 & authorization must be configured",
            ),
            (
                config(|c| c.authorization = scheme("Basic")),
                "authorization type cannot be set to \"basic\", use \"basic_auth\" instead",
            ),
            (
                config(|c| c.no_proxy = "x".into()),
                "if no_proxy is configured, proxy_url must also be configured",
            ),
            (
                config(|c| drop(c.http_headers.insert("Host".into(), HttpHeader::default()))),
                "setting header \"Host\" is not allowed",
            ),
            (
                config(|c| c.tls_config = Some(TlsConfig { cert: "x".into(), ..TlsConfig::default() })),
                "exactly one of key or key_file must be configured when a client certificate is configured",
            ),
            (config(|c| c.oauth2 = Some(OAuth2Config::default())), "oauth2 client_id must be configured"),
        ];
        for (mut config, message) in cases {
            assert_eq!(config.validate().map_err(|error| error.to_string()), Err(message.to_owned()));
        }
    }

    #[test]
    fn old_tokens_become_an_authorization() {
        let mut config = config(|c| c.bearer_token = Secret::new("t"));
        assert_eq!(config.validate(), Ok(()));
        let authorization = config.authorization.expect("the token moved");
        assert_eq!((authorization.scheme.as_str(), authorization.credentials.expose()), ("Bearer", "t"));
        assert!(config.bearer_token.is_empty());
    }

    #[test]
    fn files_start_at_the_folder_of_the_configuration() {
        let mut config = config(|c| c.bearer_token_file = "token".into());
        config.set_folder(Path::new("/etc/perdura"));
        assert_eq!(config.bearer_token_file, "/etc/perdura/token");
        config.set_folder(Path::new("/elsewhere"));
        assert_eq!(config.bearer_token_file, "/etc/perdura/token");
    }

    #[test]
    fn what_is_not_served_is_named() {
        let config = config(|c| {
            c.oauth2 = Some(OAuth2Config::default());
            c.tls_config = Some(TlsConfig { server_name: "n".into(), ..TlsConfig::default() });
        });
        assert_eq!(config.unserved(), ["tls_config.server_name", "oauth2"]);
        assert!(HttpClientConfig::default().unserved().is_empty());
    }
}
