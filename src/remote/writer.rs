//! All receivers: starts and ends their tasks as the configuration says.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use reqwest::Url;
use reqwest::header::HeaderMap;
use tokio::sync::{Mutex, watch};
use tokio::task::JoinHandle;

use super::config::RemoteWriteConfig;
use super::cursor::Cursor;
use super::metrics::{ReceiverMetrics, RemoteMetrics};
use super::outbox::{ForwardedLog, RemoteLogError};
use super::receiver::Receiver;
use super::round::{RoundMaker, Wishes};
use super::send::{Phase, Sender};
use crate::clock::Clock;
use crate::metrics::Exposition;
use crate::model::Labels;
use crate::net::{HttpClient, NetError};

/// Why samples cannot be sent as configured.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RemoteWriteError {
    /// A receiver's HTTP client.
    #[error("remote_write.{index}: {error}")]
    Client {
        /// Which receiver, from zero.
        index: usize,
        /// Why there is none.
        error: NetError,
    },
    /// A setting that cannot be followed, and without which a receiver would refuse samples for good.
    #[error("remote_write.{index}: {why}")]
    Setting {
        /// Which receiver, from zero.
        index: usize,
        /// What is wrong.
        why: String,
    },
    /// Two receivers that are the same.
    #[error("duplicate remote write configs are not allowed, found duplicate for URL: {url}")]
    Duplicate {
        /// Their URL, without password.
        url: String,
    },
    /// A receiver's position.
    #[error(transparent)]
    Log(#[from] RemoteLogError),
}

/// A configuration of which all that can fail but the disk has been tried.
#[derive(Debug)]
pub struct PreparedReceivers {
    receivers: Vec<Prepared>,
}

#[derive(Debug)]
struct Prepared {
    /// The same as long as the receiver has its name, or without one its URL; names its position.
    id: String,
    name: String,
    wishes: Arc<Wishes>,
    url: Url,
    headers: HeaderMap,
    client: HttpClient,
}

/// Sends what is in a log to all receivers. Cheap to clone; sending ends with [`Self::stop`], or when the last clone goes.
#[derive(Clone)]
pub struct RemoteWriter {
    inner: Arc<Inner>,
}

struct Inner {
    log: Arc<dyn ForwardedLog>,
    clock: Clock,
    metrics: RemoteMetrics,
    running: Mutex<BTreeMap<String, Running>>,
}

struct Running {
    wishes: Arc<Wishes>,
    metrics: Arc<ReceiverMetrics>,
    phase: watch::Sender<Phase>,
    task: JoinHandle<()>,
}

impl RemoteWriter {
    /// Without receivers.
    pub fn new(log: Arc<dyn ForwardedLog>, clock: Clock) -> Self {
        let (metrics, running) = (RemoteMetrics::default(), Mutex::default());
        Self { inner: Arc::new(Inner { log, clock, metrics, running }) }
    }

    /// All of a new configuration that can fail without the disk; nothing has changed yet. `configs` are validated;
    /// `external_labels` are added to series that do not have labels of those names.
    pub fn prepare(
        configs: &[RemoteWriteConfig],
        external_labels: &Labels,
    ) -> Result<PreparedReceivers, RemoteWriteError> {
        let mut receivers: Vec<Prepared> = Vec::with_capacity(configs.len());
        for (index, config) in configs.iter().enumerate() {
            let bad = |why: String| RemoteWriteError::Setting { index, why };
            if let Some(setting) = config.unsendable() {
                return Err(bad(format!("{setting} is not served yet")));
            }
            let url = Url::parse(&config.own.url).map_err(|error| bad(format!("url: {error}")))?;
            if receivers.iter().any(|other| other.wishes.config == *config) {
                return Err(RemoteWriteError::Duplicate { url: shown(&url) });
            }
            let same_url = receivers.iter().filter(|r| r.wishes.config.own.url == config.own.url).count();
            let wishes = Wishes { config: config.clone(), external_labels: external_labels.clone() };
            let headers = Sender::headers_for(&wishes).map_err(bad)?;
            let client =
                HttpClient::new(&config.http).map_err(|error| RemoteWriteError::Client { index, error })?;
            let id = id_of(config, same_url);
            let name = if config.own.name.is_empty() { id[..6].to_owned() } else { config.own.name.clone() };
            receivers.push(Prepared { id, name, wishes: Arc::new(wishes), url, headers, client });
        }
        Ok(PreparedReceivers { receivers })
    }

    /// Makes a prepared configuration count. Receivers that stay the same go on undisturbed; one that changes goes on
    /// from its position. After an error the receivers before it count already.
    ///
    /// Must be called inside a tokio runtime.
    pub async fn apply(&self, prepared: PreparedReceivers) -> Result<(), RemoteWriteError> {
        let inner = &self.inner;
        let mut running = inner.running.lock().await;
        let wanted: BTreeSet<String> = prepared.receivers.iter().map(|r| r.id.clone()).collect();
        let gone: Vec<String> = running.keys().filter(|id| !wanted.contains(*id)).cloned().collect();
        for id in gone {
            end(running.remove(&id)).await;
            inner.log.outbox().unregister(&id);
        }
        let is_same = |running: &BTreeMap<String, Running>, receiver: &Prepared| {
            running.get(&receiver.id).is_some_and(|before| before.wishes == receiver.wishes)
        };
        let changed: Vec<Prepared> =
            prepared.receivers.into_iter().filter(|receiver| !is_same(&running, receiver)).collect();
        let mut positions = Vec::with_capacity(changed.len());
        // The log knows all of them before the first one confirms anything, which lets files go.
        for receiver in &changed {
            end(running.remove(&receiver.id)).await;
            positions.push(inner.register(&receiver.id).await?);
        }
        for (receiver, confirmed) in changed.into_iter().zip(positions) {
            running.insert(receiver.id.clone(), inner.start(receiver, confirmed));
        }
        inner.log.outbox().forget_others(&wanted);
        let log = Arc::clone(&inner.log);
        tokio::task::spawn_blocking(move || log.settle()).await.expect("removing log files does not panic");
        inner.metrics.set(running.iter().map(|(id, r)| (id.clone(), Arc::clone(&r.metrics))).collect());
        Ok(())
    }

    /// Ends sending. What waits is still sent for at most `flush_deadline` to receivers that take it; what is left stays
    /// in the log.
    pub async fn stop(&self, flush_deadline: Duration) {
        let mut running = std::mem::take(&mut *self.inner.running.lock().await);
        for receiver in running.values() {
            receiver.phase.send_replace(Phase::Drain);
        }
        let all = async {
            for receiver in running.values_mut() {
                // A task that panicked has said so.
                let _ = (&mut receiver.task).await.is_ok();
            }
        };
        if tokio::time::timeout(flush_deadline, all).await.is_ok() {
            return;
        }
        tracing::warn!("not everything was sent before the flush deadline; it is sent after the next start");
        for receiver in running.into_values().filter(|receiver| !receiver.task.is_finished()) {
            end(Some(receiver)).await;
        }
    }

    /// What sending counts of itself.
    pub fn metrics(&self) -> &RemoteMetrics {
        &self.inner.metrics
    }

    /// Writes it for a scrape.
    pub fn expose(&self, out: &mut Exposition) {
        self.inner.metrics.expose(&*self.inner.log, out);
    }
}

impl Inner {
    /// Tells the log of a receiver; answers where it is.
    async fn register(&self, id: &str) -> Result<u64, RemoteLogError> {
        let (log, id) = (Arc::clone(&self.log), id.to_owned());
        let registering = tokio::task::spawn_blocking(move || log.register(&id));
        registering.await.expect("reading a position does not panic")
    }

    fn start(&self, receiver: Prepared, confirmed: u64) -> Running {
        let Prepared { id, name, wishes, url, headers, client } = receiver;
        let metrics = Arc::new(ReceiverMetrics::new(name, shown(&url), &wishes));
        let (phase, phase_seen) = watch::channel(Phase::Run);
        let queue = &wishes.config.own.queue_config;
        let sender = Sender {
            client,
            url,
            headers,
            timeout: wishes.config.own.remote_timeout.to_duration(),
            backoff_min: queue.min_backoff.to_duration(),
            backoff_max: queue.max_backoff.to_duration(),
            retries_429: queue.retry_on_http_429,
            protocol: wishes.protocol(),
            metrics: Arc::clone(&metrics),
            phase: phase_seen.clone(),
        };
        let cursor = Cursor::new(Arc::clone(&self.log), confirmed);
        let maker = RoundMaker {
            wishes: Arc::clone(&wishes),
            log: Arc::clone(&self.log),
            cursor,
            metrics: Arc::clone(&metrics),
        };
        let receiver = Receiver {
            id,
            log: Arc::clone(&self.log),
            sender: Arc::new(sender),
            clock: self.clock.clone(),
            phase: phase_seen,
        };
        let task = tokio::spawn(receiver.run(maker));
        Running { wishes, metrics, phase, task }
    }
}

/// Ends a task at once and waits until it has.
async fn end(running: Option<Running>) {
    if let Some(running) = running {
        running.phase.send_replace(Phase::End);
        // A task that panicked has said so.
        let _ = running.task.await.is_ok();
    }
}

fn id_of(config: &RemoteWriteConfig, same_url: usize) -> String {
    let text = match config.own.name.as_str() {
        "" => format!("url {same_url} {}", config.own.url),
        name => format!("name {name}"),
    };
    format!("{:016x}", xxhash_rust::xxh64::xxh64(text.as_bytes(), 0))
}

/// As Go shows it: with `xxxxx` for the password.
fn shown(url: &Url) -> String {
    let mut shown = url.clone();
    if shown.password().is_some() {
        // A URL with a password has a host, so it can be set.
        let _ = shown.set_password(Some("xxxxx"));
    }
    shown.to_string()
}
