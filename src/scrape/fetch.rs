//! Asking a target.

use std::sync::Arc;
use std::time::Duration;

use reqwest::header::{
    ACCEPT, ACCEPT_ENCODING, CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue, USER_AGENT,
};
use reqwest::{Response, StatusCode, Url};

use super::config::ScrapeConfig;
use super::labels::SampleLabelsError;
use super::target::Target;
use crate::ingest::exposition::{ExpositionError, NegotiateError, accept_header};
use crate::net::{HttpClient, NetError};

/// Header that tells a target how long it has.
const TIMEOUT_HEADER: HeaderName = HeaderName::from_static("x-prometheus-scrape-timeout-seconds");
/// Largest room that is made for a body before it comes, in bytes.
const ROOM_BYTES_MAX: usize = 16 << 20;

/// Why a scrape failed; the texts are upstream's where they are not those of a part below.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ScrapeError {
    /// No answer.
    #[error(transparent)]
    Net(#[from] NetError),
    /// No whole answer in time.
    #[error("Get {0:?}: context deadline exceeded")]
    Timeout(String),
    /// The answer broke off.
    #[error("reading the body of {url:?}: {cause}")]
    Body {
        /// What was asked for.
        url: String,
        /// Why it broke off.
        cause: String,
    },
    /// Another status than 200.
    #[error("server returned HTTP status {0}")]
    Status(StatusCode),
    /// A body as long as the limit, or longer.
    #[error("body size limit exceeded")]
    BodySize,
    /// A content type that names no format.
    #[error(transparent)]
    Negotiate(#[from] NegotiateError),
    /// A body that breaks its format's rules.
    #[error(transparent)]
    Exposition(#[from] ExpositionError),
    /// Labels that cannot be stored.
    #[error(transparent)]
    Labels(#[from] SampleLabelsError),
    /// More samples than allowed.
    #[error("sample limit exceeded")]
    SampleLimit,
    /// More targets than allowed: none of the job is scraped.
    #[error("target_limit exceeded (number of targets: {count}, limit: {limit})")]
    TargetLimit {
        /// Targets that the job has.
        count: usize,
        /// Targets that it may have.
        limit: u64,
    },
}

/// What a target answered.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Answer {
    pub(super) content_type: Option<String>,
    pub(super) body: Vec<u8>,
}

/// Asks one target, the same way each time.
#[derive(Clone, Debug)]
pub(super) struct Fetcher {
    client: Arc<HttpClient>,
    url: Url,
    shown_url: String,
    headers: HeaderMap,
    timeout: Duration,
    body_bytes_max: u64,
}

impl Fetcher {
    pub(super) fn new(
        client: Arc<HttpClient>,
        config: &ScrapeConfig,
        target: &Target,
        user_agent: &str,
    ) -> Self {
        let own = &config.own;
        let protocols = own.scrape_protocols.as_deref().unwrap_or_default();
        let timeout = target.timeout.to_duration();
        let texts = [
            (ACCEPT, accept_header(protocols, own.escaping())),
            (ACCEPT_ENCODING, if own.enable_compression { "gzip" } else { "identity" }.to_owned()),
            (USER_AGENT, user_agent.to_owned()),
            (TIMEOUT_HEADER, timeout.as_secs_f64().to_string()),
        ];
        let headers = texts
            .into_iter()
            .filter_map(|(name, text)| Some((name, HeaderValue::from_str(&text).ok()?)))
            .collect();
        Self {
            client,
            url: target.url.clone(),
            shown_url: target.shown_url.clone(),
            headers,
            timeout,
            body_bytes_max: own.body_size_limit.0,
        }
    }

    /// Asks once. `room`: bytes of the last body, for which room is made.
    pub(super) async fn fetch(&self, room: usize) -> Result<Answer, ScrapeError> {
        match tokio::time::timeout(self.timeout, self.ask(room)).await {
            Ok(answer) => answer,
            Err(_) => Err(ScrapeError::Timeout(self.shown_url.clone())),
        }
    }

    async fn ask(&self, room: usize) -> Result<Answer, ScrapeError> {
        let response = self.client.get(&self.url, &self.headers).await?;
        if response.status() != StatusCode::OK {
            return Err(ScrapeError::Status(response.status()));
        }
        let content_type =
            response.headers().get(CONTENT_TYPE).map(|v| String::from_utf8_lossy(v.as_bytes()).into_owned());
        let body = self.read_body(response, room).await?;
        Ok(Answer { content_type, body })
    }

    /// The body, unpacked. Nothing is kept of one that grows beyond the limit.
    async fn read_body(&self, mut response: Response, room: usize) -> Result<Vec<u8>, ScrapeError> {
        let mut body = Vec::with_capacity(room.min(ROOM_BYTES_MAX));
        loop {
            let chunk = response.chunk().await.map_err(|error| {
                let cause =
                    std::error::Error::source(&error).map_or_else(|| error.to_string(), ToString::to_string);
                ScrapeError::Body { url: self.shown_url.clone(), cause }
            })?;
            let Some(chunk) = chunk else { return Ok(body) };
            let length = (body.len() + chunk.len()) as u64;
            if self.body_bytes_max > 0 && length >= self.body_bytes_max {
                return Err(ScrapeError::BodySize);
            }
            body.extend_from_slice(&chunk);
        }
    }
}
