//! A server, and the patience that it is asked with.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use bytes::Bytes;
use reqwest::header::{HeaderMap, RETRY_AFTER};
use reqwest::{Response, StatusCode, Url};

use crate::net::{HttpClient, HttpClientConfig};

/// Longest answer that is read, in bytes.
const ANSWER_BYTES_MAX: usize = 64 << 20;
/// Longest wait for an answer.
const ANSWER_PATIENCE: Duration = Duration::from_secs(300);
/// How often the same is asked where the server cannot answer now.
const TRIES_MAX: u32 = 12;
/// The same where it never answered: the URL may be wrong.
const TRIES_FIRST_MAX: u32 = 3;
/// Wait after the first try; it doubles with each.
const WAIT_FIRST: Duration = Duration::from_secs(1);
/// Longest wait between two tries, whatever the server asks for.
const WAIT_MAX: Duration = Duration::from_secs(60);

/// A server by its URL.
#[derive(Clone, Debug)]
pub(super) struct Server {
    url: Url,
    client: HttpClient,
    /// Whether it ever answered.
    has_answered: Arc<AtomicBool>,
}

/// What a server said.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) status: StatusCode,
    pub(super) body: Vec<u8>,
}

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub(super) enum ServerError {
    /// It is longer than what is read.
    #[error("the answer is longer than {ANSWER_BYTES_MAX} bytes")]
    TooLong,
    /// The server does not answer, however often it is asked.
    #[error("{0}")]
    Unreachable(String),
}

impl Server {
    pub(super) fn new(url: &str, config: &HttpClientConfig) -> Result<Self, String> {
        let url = Url::parse(url).map_err(|error| format!("{url:?} is no URL: {error}"))?;
        let client = HttpClient::new(config).map_err(|error| error.to_string())?;
        Ok(Self { url, client, has_answered: Arc::default() })
    }

    /// Posts `body` to `path` below the server's URL, again and again where the server is busy or away. The answer may
    /// be a refusal.
    pub(super) async fn post(
        &self,
        path: &str,
        headers: &HeaderMap,
        body: Bytes,
    ) -> Result<Answer, ServerError> {
        let mut url = self.url.clone();
        url.set_path(&format!("{}{path}", self.url.path().trim_end_matches('/')));
        let (mut wait, mut tries) = (WAIT_FIRST, 0);
        loop {
            tries += 1;
            let (after, why) = match self.ask(&url, headers, body.clone()).await? {
                Asked::Answer(answer) => return Ok(answer),
                Asked::Later { after, why } => (after, why),
            };
            let tries_max =
                if self.has_answered.load(Ordering::Relaxed) { TRIES_MAX } else { TRIES_FIRST_MAX };
            if tries >= tries_max {
                return Err(ServerError::Unreachable(why));
            }
            tokio::time::sleep(after.unwrap_or(wait).min(WAIT_MAX)).await;
            wait = wait.saturating_mul(2);
        }
    }

    async fn ask(&self, url: &Url, headers: &HeaderMap, body: Bytes) -> Result<Asked, ServerError> {
        let later = |why| Ok(Asked::Later { after: None, why });
        let posted = tokio::time::timeout(ANSWER_PATIENCE, async {
            let response = self.client.post(url, headers, body).await.map_err(|error| error.to_string())?;
            let (status, after) = (response.status(), retry_after(&response));
            Ok::<_, String>((status, after, read(response).await?))
        });
        let (status, after, body) = match posted.await {
            Ok(Ok(answer)) => answer,
            Ok(Err(error)) => return later(error),
            Err(_) => return later(format!("{url} does not answer within {ANSWER_PATIENCE:?}")),
        };
        self.has_answered.store(true, Ordering::Relaxed);
        let Some(body) = body else { return Err(ServerError::TooLong) };
        if is_passing(status, &body) {
            let why = format!("{url}: {status}: {}", String::from_utf8_lossy(&body).trim());
            return Ok(Asked::Later { after, why });
        }
        Ok(Asked::Answer(Answer { status, body }))
    }
}

/// What came of one try.
enum Asked {
    Answer(Answer),
    Later { after: Option<Duration>, why: String },
}

/// Whether the same may be answered later. A query that took too long is none of these.
fn is_passing(status: StatusCode, body: &[u8]) -> bool {
    let is_too_slow =
        String::from_utf8_lossy(&body[..body.len().min(1_000)]).contains("\"errorType\":\"timeout\"");
    let is_refusal = status == StatusCode::NOT_IMPLEMENTED;
    (status == StatusCode::TOO_MANY_REQUESTS || status.is_server_error() && !is_refusal) && !is_too_slow
}

fn retry_after(response: &Response) -> Option<Duration> {
    let seconds = response.headers().get(RETRY_AFTER)?.to_str().ok()?.trim().parse().ok()?;
    Some(Duration::from_secs(seconds))
}

/// The body; `None` where it is too long.
async fn read(mut response: Response) -> Result<Option<Vec<u8>>, String> {
    let mut body = Vec::new();
    while let Some(piece) =
        response.chunk().await.map_err(|error| format!("the answer breaks off: {error}"))?
    {
        if body.len() + piece.len() > ANSWER_BYTES_MAX {
            return Ok(None);
        }
        body.extend_from_slice(&piece);
    }
    Ok(Some(body))
}
