//! The task that empties one Alertmanager's queue.

use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use reqwest::header::{CONTENT_TYPE, HeaderMap, HeaderValue, USER_AGENT};

use super::alert::Alert;
use super::endpoint::Endpoint;
use super::queue::Queue;
use crate::net::HttpClient;

/// Most of an answer's body that is read so that its connection can be used again, in bytes.
const ANSWER_BYTES_MAX: usize = 64 << 10;

/// Sends what waits for one Alertmanager, batch by batch. A batch that is not taken is dropped and counted: the rules
/// say it again while it holds.
pub(super) struct Sender {
    pub(super) queue: Arc<Queue>,
    pub(super) endpoint: Endpoint,
    pub(super) client: HttpClient,
    pub(super) timeout: Duration,
    pub(super) batch_size: usize,
}

impl Sender {
    /// Ends once the queue is closed and empty.
    pub(super) async fn run(self) {
        while let Some(batch) = self.queue.next_batch(self.batch_size).await {
            self.send(&batch).await;
        }
    }

    async fn send(&self, batch: &[Arc<Alert>]) {
        let began = Instant::now();
        let metrics = &self.queue.metrics;
        let count = batch.len() as u64;
        match self.try_send(batch).await {
            Ok(()) => {
                metrics.observe_latency(began.elapsed().as_secs_f64());
                metrics.sent.add(count);
            }
            Err(error) => {
                tracing::error!(alertmanager = self.endpoint.shown, count, %error, "Error sending alerts");
                metrics.errors.add(count);
                metrics.dropped.add(count);
            }
        }
    }

    async fn try_send(&self, batch: &[Arc<Alert>]) -> Result<(), String> {
        let body = serde_json::to_vec(batch).map_err(|error| error.to_string())?;
        let until = tokio::time::Instant::now() + self.timeout;
        let headers = HeaderMap::from_iter([
            (CONTENT_TYPE, HeaderValue::from_static("application/json")),
            (USER_AGENT, HeaderValue::from_static(crate::net::USER_AGENT)),
        ]);
        let posting = self.client.post(&self.endpoint.url, &headers, Bytes::from(body));
        let answer = tokio::time::timeout_at(until, posting)
            .await
            .map_err(|_| format!("Post {:?}: context deadline exceeded", self.endpoint.shown))?
            .map_err(|error| error.to_string())?;
        let status = answer.status();
        // The status has said it all; a body that does not come costs a new connection and no alert.
        let _ = tokio::time::timeout_at(until, read_over(answer)).await;
        if status.is_success() { Ok(()) } else { Err(format!("bad response status {status}")) }
    }
}

async fn read_over(mut answer: reqwest::Response) {
    let mut left = ANSWER_BYTES_MAX;
    while let Ok(Some(piece)) = answer.chunk().await {
        match left.checked_sub(piece.len()) {
            Some(rest) => left = rest,
            None => return,
        }
    }
}
