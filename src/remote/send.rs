//! One request on its way: tried until it is taken, refused for good, or nobody wants it sent any more.

use std::time::{Duration, Instant};

use reqwest::header::{
    CONTENT_ENCODING, CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue, RETRY_AFTER, USER_AGENT,
};
use reqwest::{StatusCode, Url};
use tokio::sync::watch;

use super::metrics::{Kinds, ReceiverMetrics, raise};
use super::round::{Request, Wishes};
use crate::ingest::remote_write::Protocol;
use crate::net::HttpClient;

/// Most of an answer's body that is told, in bytes; upstream's bound.
const ANSWER_BYTES_MAX: usize = 1024;
/// Longest that a receiver may ask us to wait.
const RETRY_AFTER_MAX: Duration = Duration::from_secs(60 * 60);

/// How much is still wanted of a receiver's task.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Phase {
    /// All of it.
    Run,
    /// Send what waits, as long as the receiver takes it, and end.
    Drain,
    /// End at once.
    End,
}

/// Sends requests to one receiver.
#[derive(Debug)]
pub(super) struct Sender {
    pub(super) client: HttpClient,
    pub(super) url: Url,
    pub(super) headers: HeaderMap,
    pub(super) timeout: Duration,
    pub(super) backoff_min: Duration,
    pub(super) backoff_max: Duration,
    pub(super) retries_429: bool,
    pub(super) protocol: Protocol,
    pub(super) metrics: std::sync::Arc<ReceiverMetrics>,
    pub(super) phase: watch::Receiver<Phase>,
}

/// What a receiver did with a request.
enum Attempt {
    Taken(Kinds<u64>),
    Again { error: String, after: Option<Duration>, written: Kinds<u64> },
    Refused { error: String, written: Kinds<u64> },
}

/// Nobody wants the request sent any more.
#[derive(Debug)]
pub(super) struct Stopped;

impl Sender {
    /// The headers of every request: the protocol's, and those of the configuration.
    pub(super) fn headers_for(wishes: &Wishes) -> Result<HeaderMap, String> {
        let (media, version) = match wishes.protocol() {
            Protocol::V1 => ("application/x-protobuf", "0.1.0"),
            Protocol::V2 => ("application/x-protobuf;proto=io.prometheus.write.v2.Request", "2.0.0"),
        };
        let mut headers = HeaderMap::from_iter([
            (CONTENT_TYPE, HeaderValue::from_static(media)),
            (CONTENT_ENCODING, HeaderValue::from_static("snappy")),
            (USER_AGENT, HeaderValue::from_static(crate::net::USER_AGENT)),
            (HeaderName::from_static("x-prometheus-remote-write-version"), HeaderValue::from_static(version)),
        ]);
        for (name, value) in &wishes.config.own.headers {
            let bad = || format!("header {name:?} cannot be sent");
            let key = HeaderName::from_bytes(name.as_bytes()).map_err(|_| bad())?;
            headers.insert(key, HeaderValue::from_str(value).map_err(|_| bad())?);
        }
        Ok(headers)
    }

    /// Sends samples until they are taken or refused for good.
    pub(super) async fn send(&self, request: &Request) -> Result<(), Stopped> {
        let mut backoff = self.backoff_min;
        let mut written = Kinds::<u64>::default();
        for attempt in 0_u64.. {
            self.metrics.sent.add(request.counts);
            let (error, after) = match self.try_once(request, attempt).await? {
                Attempt::Taken(more) => {
                    self.settle(request, more, None);
                    raise(&self.metrics.newest_sent_seconds, request.newest.div_euclid(1_000) as f64);
                    return Ok(());
                }
                Attempt::Refused { error, written: more } => {
                    self.settle(request, add(written, more), Some(&error));
                    return Ok(());
                }
                Attempt::Again { error, after, written: more } => {
                    written = add(written, more);
                    (error, after)
                }
            };
            let pause = after.unwrap_or(backoff);
            tracing::warn!(
                remote_name = self.metrics.name,
                url = self.metrics.url,
                error,
                pause_ms = u64::try_from(pause.as_millis()).unwrap_or(u64::MAX),
                "Failed to send batch, retrying"
            );
            self.pause(pause).await?;
            self.metrics.retried.add(request.counts);
            backoff = pause.saturating_mul(2).min(self.backoff_max);
        }
        Ok(())
    }

    /// Sends metadata once: it is sent again in any case, later.
    pub(super) async fn send_metadata(&self, request: &Request) -> Result<(), Stopped> {
        let error = match self.try_once(request, 0).await? {
            Attempt::Taken(_) => {
                self.metrics.metadata.add(request.metadata);
                self.metrics.metadata_bytes.add(request.body.len() as u64);
                return Ok(());
            }
            Attempt::Refused { error, .. } | Attempt::Again { error, .. } => error,
        };
        self.metrics.metadata_failed.add(request.metadata);
        tracing::error!(remote_name = self.metrics.name, error, "metadata was not taken");
        Ok(())
    }

    /// Counts what became of a request.
    fn settle(&self, request: &Request, written: Kinds<u64>, error: Option<&str>) {
        let failed = request.counts.without(written);
        self.metrics.bytes.add(request.body.len() as u64);
        self.metrics.failed.add(failed);
        if let Some(error) = error {
            tracing::error!(
                remote_name = self.metrics.name,
                url = self.metrics.url,
                failed_samples = failed.samples,
                failed_histograms = failed.histograms,
                failed_exemplars = failed.exemplars,
                error,
                "non-recoverable error"
            );
        } else if failed.sum() > 0 {
            tracing::error!(
                remote_name = self.metrics.name,
                failed_samples = failed.samples,
                failed_histograms = failed.histograms,
                failed_exemplars = failed.exemplars,
                "we got 2xx status code from the Receiver yet statistics indicate some data was not written; investigation needed"
            );
        }
    }

    async fn try_once(&self, request: &Request, attempt: u64) -> Result<Attempt, Stopped> {
        let mut headers = self.headers.clone();
        if attempt > 0 {
            headers.insert(HeaderName::from_static("retry-attempt"), HeaderValue::from(attempt));
        }
        let began = Instant::now();
        let mut phase = self.phase.clone();
        let attempt = tokio::select! {
            answered = tokio::time::timeout(self.timeout, self.post(&headers, request)) => {
                answered.unwrap_or_else(|_| Attempt::Again {
                    error: format!("Post {:?}: context deadline exceeded", self.metrics.url),
                    after: None,
                    written: Kinds::default(),
                })
            }
            () = reached(&mut phase, Phase::End) => return Err(Stopped),
        };
        self.metrics.duration.observe(began.elapsed().as_secs_f64());
        Ok(attempt)
    }

    async fn post(&self, headers: &HeaderMap, request: &Request) -> Attempt {
        let answer = match self.client.post(&self.url, headers, request.body.clone()).await {
            Ok(answer) => answer,
            Err(error) => {
                let error = error.to_string();
                return Attempt::Again { error, after: None, written: Kinds::default() };
            }
        };
        let status = answer.status();
        let told = written_of(answer.headers());
        let after = answer.headers().get(RETRY_AFTER).and_then(retry_after);
        let body = read_start(answer).await;
        if status.is_success() {
            return self.taken(request, told);
        }
        let written = told.unwrap_or_default();
        let error = format!("server returned HTTP status {status}: {body}");
        if status.is_server_error() || (self.retries_429 && status == StatusCode::TOO_MANY_REQUESTS) {
            return Attempt::Again { error, after, written };
        }
        Attempt::Refused { error, written }
    }

    /// Protocol 2.0 says what was written; one that does not say so has not understood the message.
    fn taken(&self, request: &Request, told: Option<Kinds<u64>>) -> Attempt {
        if self.protocol == Protocol::V1 {
            return Attempt::Taken(request.counts);
        }
        let (sent, written) = (request.counts, told.unwrap_or_default());
        if sent.sum() > 0 && written.sum() == 0 {
            let error = format!(
                "sent v2 request with {} samples, {} histograms and {} exemplars; got 2xx, but PRW 2.0 response header statistics indicate {} samples, {} histograms and {} exemplars were accepted; assumining failure e.g. the target only supports PRW 1.0 prometheus.WriteRequest, but does not check the Content-Type header correctly",
                sent.samples, sent.histograms, sent.exemplars, 0, 0, 0
            );
            return Attempt::Refused { error, written };
        }
        Attempt::Taken(written)
    }

    /// Waits between two attempts; not where the rest is only drained.
    async fn pause(&self, pause: Duration) -> Result<(), Stopped> {
        let mut phase = self.phase.clone();
        tokio::select! {
            () = tokio::time::sleep(pause) => Ok(()),
            () = reached(&mut phase, Phase::Drain) => Err(Stopped),
        }
    }
}

/// Waits until this phase has begun.
pub(super) async fn reached(phase: &mut watch::Receiver<Phase>, wanted: Phase) {
    // Where nobody is left to tell, the end has come.
    let _ = phase.wait_for(|phase| *phase >= wanted).await.is_ok();
}

fn add(a: Kinds<u64>, b: Kinds<u64>) -> Kinds<u64> {
    Kinds {
        samples: a.samples + b.samples,
        histograms: a.histograms + b.histograms,
        exemplars: a.exemplars + b.exemplars,
    }
}

/// What the headers of protocol 2.0 say; `None` where there are none.
fn written_of(headers: &HeaderMap) -> Option<Kinds<u64>> {
    let read = |name: &str| headers.get(name)?.to_str().ok()?.trim().parse::<u64>().ok();
    let samples = read("x-prometheus-remote-write-samples-written");
    let histograms = read("x-prometheus-remote-write-histograms-written");
    let exemplars = read("x-prometheus-remote-write-exemplars-written");
    samples.or(histograms).or(exemplars)?;
    let or_none = |count: Option<u64>| count.unwrap_or(0);
    Some(Kinds { samples: or_none(samples), histograms: or_none(histograms), exemplars: or_none(exemplars) })
}

/// Seconds, or a date; `None` where it is neither or lies in the past.
fn retry_after(value: &HeaderValue) -> Option<Duration> {
    let text = value.to_str().ok()?.trim();
    let wait = match text.parse::<u64>() {
        Ok(seconds) => Duration::from_secs(seconds),
        Err(_) => {
            let at = jiff::fmt::rfc2822::parse(text).ok()?.timestamp();
            Duration::try_from(at.duration_since(jiff::Timestamp::now())).ok()?
        }
    };
    Some(wait.min(RETRY_AFTER_MAX)).filter(|wait| !wait.is_zero())
}

/// The start of an answer's body, as text.
async fn read_start(mut answer: reqwest::Response) -> String {
    let mut start = Vec::new();
    while let Ok(Some(piece)) = answer.chunk().await {
        start.extend_from_slice(&piece);
        if start.len() >= ANSWER_BYTES_MAX {
            start.truncate(ANSWER_BYTES_MAX);
            break;
        }
    }
    String::from_utf8_lossy(&start).trim_end().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_are_seconds_or_dates() {
        let read = |text: &str| retry_after(&HeaderValue::from_str(text).expect("it is a header"));
        assert_eq!(read("7"), Some(Duration::from_secs(7)));
        assert_eq!(read("86400000"), Some(RETRY_AFTER_MAX));
        assert_eq!(read("Mon, 21 Oct 2999 07:28:00 GMT"), Some(RETRY_AFTER_MAX));
        for bad in ["0", "-1", "soon", "Wed, 21 Oct 2015 07:28:00 GMT"] {
            assert_eq!(read(bad), None, "{bad}");
        }
    }
}
