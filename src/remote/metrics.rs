//! What sending counts of itself, under upstream's names.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use super::outbox::ForwardedLog;
use super::round::Wishes;
use crate::lock::lock;
use crate::metrics::{Counter, Exposition, Gauge, Histogram};

/// Upper bounds of the buckets of durations, in seconds; upstream's.
const DURATION_BOUNDS: [f64; 15] =
    [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 25.0, 60.0, 120.0, 300.0];

/// One of something for each kind of sample.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Kinds<T> {
    /// Floats.
    pub samples: T,
    /// Native histograms.
    pub histograms: T,
    /// Exemplars.
    pub exemplars: T,
}

/// Counters of one event by kind.
#[derive(Debug, Default)]
pub struct KindCounters(Kinds<Counter>);

impl Kinds<u64> {
    /// Of all kinds together.
    pub fn sum(self) -> u64 {
        self.samples + self.histograms + self.exemplars
    }

    /// What is left of these without others.
    pub(super) fn without(self, others: Self) -> Self {
        Self {
            samples: self.samples.saturating_sub(others.samples),
            histograms: self.histograms.saturating_sub(others.histograms),
            exemplars: self.exemplars.saturating_sub(others.exemplars),
        }
    }
}

impl KindCounters {
    pub(super) fn add(&self, counts: Kinds<u64>) {
        self.0.samples.add(counts.samples);
        self.0.histograms.add(counts.histograms);
        self.0.exemplars.add(counts.exemplars);
    }

    /// What they show.
    pub fn get(&self) -> Kinds<u64> {
        Kinds {
            samples: self.0.samples.get(),
            histograms: self.0.histograms.get(),
            exemplars: self.0.exemplars.get(),
        }
    }
}

/// Numbers of one receiver.
#[derive(Debug)]
pub struct ReceiverMetrics {
    /// Its name, configured or made.
    pub name: String,
    /// Its URL, without password.
    pub url: String,
    /// Sent, those sent again too.
    pub sent: KindCounters,
    /// Refused for good.
    pub failed: KindCounters,
    /// Sent again.
    pub retried: KindCounters,
    /// Left out by a rule.
    pub dropped_series: KindCounters,
    /// Left out for their age.
    pub dropped_old: KindCounters,
    /// Families of metadata that were sent.
    pub metadata: Counter,
    /// Families of metadata that were refused.
    pub metadata_failed: Counter,
    /// On their way.
    pub pending: Mutex<Kinds<u64>>,
    /// Duration of requests.
    pub duration: Histogram,
    /// Newest time that was read for it, in seconds.
    pub newest_seconds: Gauge,
    /// Newest time that it has confirmed, in seconds.
    pub newest_sent_seconds: Gauge,
    /// Requests at a time.
    pub shards: Gauge,
    /// Bytes of samples sent.
    pub bytes: Counter,
    /// Bytes of metadata sent.
    pub metadata_bytes: Counter,
    shards_min: f64,
    shards_max: f64,
    capacity: f64,
    samples_per_send: f64,
}

impl ReceiverMetrics {
    pub(super) fn new(name: String, url: String, wishes: &Wishes) -> Self {
        let queue = &wishes.config.own.queue_config;
        Self {
            name,
            url,
            sent: KindCounters::default(),
            failed: KindCounters::default(),
            retried: KindCounters::default(),
            dropped_series: KindCounters::default(),
            dropped_old: KindCounters::default(),
            metadata: Counter::default(),
            metadata_failed: Counter::default(),
            pending: Mutex::default(),
            duration: Histogram::new(&DURATION_BOUNDS),
            newest_seconds: Gauge::default(),
            newest_sent_seconds: Gauge::default(),
            shards: Gauge::default(),
            bytes: Counter::default(),
            metadata_bytes: Counter::default(),
            shards_min: queue.min_shards as f64,
            shards_max: queue.max_shards as f64,
            capacity: queue.capacity as f64,
            samples_per_send: queue.max_samples_per_send as f64,
        }
    }

    pub(super) fn add_pending(&self, counts: Kinds<u64>) {
        let mut pending = lock(&self.pending);
        pending.samples += counts.samples;
        pending.histograms += counts.histograms;
        pending.exemplars += counts.exemplars;
    }

    pub(super) fn remove_pending(&self, counts: Kinds<u64>) {
        let mut pending = lock(&self.pending);
        *pending = pending.without(counts);
    }
}

/// Raises a gauge, never lowers it.
pub(super) fn raise(gauge: &Gauge, value: f64) {
    gauge.set(gauge.get().max(value));
}

/// The numbers of all receivers.
#[derive(Debug, Default)]
pub struct RemoteMetrics {
    receivers: Mutex<BTreeMap<String, Arc<ReceiverMetrics>>>,
}

impl RemoteMetrics {
    pub(super) fn set(&self, receivers: BTreeMap<String, Arc<ReceiverMetrics>>) {
        *lock(&self.receivers) = receivers;
    }

    /// All receivers' numbers.
    pub fn list(&self) -> Vec<Arc<ReceiverMetrics>> {
        lock(&self.receivers).values().cloned().collect()
    }

    /// Writes all of it for a scrape.
    pub(super) fn expose(&self, log: &dyn ForwardedLog, out: &mut Exposition) {
        expose_log(log, out);
        let receivers = self.list();
        for (event, help, read) in KIND_FAMILIES {
            for (kind, noun, pick) in KINDS {
                let name = format!("prometheus_remote_storage_{kind}_{event}total");
                out.family(&name, &help.replace("{}", noun), "counter");
                for receiver in &receivers {
                    out.sample(&name, &labels_of(receiver), pick(read(receiver).get()) as f64);
                }
            }
        }
        expose_dropped(&receivers, out);
        expose_pending(&receivers, out);
        for (name, help, kind, read) in FAMILIES {
            let name = format!("prometheus_remote_storage_{name}");
            out.family(&name, help, kind);
            for receiver in &receivers {
                out.sample(&name, &labels_of(receiver), read(receiver));
            }
        }
        let name = "prometheus_remote_storage_sent_batch_duration_seconds";
        out.family(name, "Duration of send calls to the remote storage.", "histogram");
        for receiver in &receivers {
            out.histogram(name, &labels_of(receiver), &receiver.duration);
        }
    }
}

fn labels_of(receiver: &ReceiverMetrics) -> [(&str, &str); 2] {
    [("remote_name", &receiver.name), ("url", &receiver.url)]
}

type Pick = fn(Kinds<u64>) -> u64;
const KINDS: [(&str, &str, Pick); 3] = [
    ("samples", "samples", |kinds| kinds.samples),
    ("exemplars", "exemplars", |kinds| kinds.exemplars),
    ("histograms", "histograms", |kinds| kinds.histograms),
];

type ReadKinds = fn(&ReceiverMetrics) -> &KindCounters;
const KIND_FAMILIES: [(&str, &str, ReadKinds); 3] = [
    ("", "Total number of {} sent to remote storage.", |metrics| &metrics.sent),
    (
        "failed_",
        "Total number of {} which failed on send to remote storage, non-recoverable errors.",
        |metrics| &metrics.failed,
    ),
    (
        "retried_",
        "Total number of {} which failed on send to remote storage but were retried because the send error was recoverable.",
        |metrics| &metrics.retried,
    ),
];

type Read = fn(&ReceiverMetrics) -> f64;
const FAMILIES: [(&str, &str, &str, Read); 14] = [
    ("metadata_total", "Total number of metadata entries sent to remote storage.", "counter", |m| {
        m.metadata.get() as f64
    }),
    (
        "metadata_failed_total",
        "Total number of metadata entries which failed on send to remote storage, non-recoverable errors.",
        "counter",
        |m| m.metadata_failed.get() as f64,
    ),
    (
        "enqueue_retries_total",
        "Total number of times enqueue has failed because a shards queue was full.",
        "counter",
        |_| 0.0,
    ),
    (
        "queue_highest_timestamp_seconds",
        "Highest timestamp that was enqueued, in seconds since epoch. Initialized to 0 when no data has been received yet.",
        "gauge",
        |m| m.newest_seconds.get(),
    ),
    (
        "queue_highest_sent_timestamp_seconds",
        "Highest timestamp successfully sent by this queue, in seconds since epoch. Initialized to 0 when no data has been sent yet.",
        "gauge",
        |m| m.newest_sent_seconds.get(),
    ),
    (
        "shard_capacity",
        "The capacity of each shard of the queue used for parallel sending to the remote storage.",
        "gauge",
        |m| m.capacity,
    ),
    ("shards", "The number of shards used for parallel sending to the remote storage.", "gauge", |m| {
        m.shards.get()
    }),
    ("shards_max", "The maximum number of shards that the queue is allowed to run.", "gauge", |m| {
        m.shards_max
    }),
    ("shards_min", "The minimum number of shards that the queue is allowed to run.", "gauge", |m| {
        m.shards_min
    }),
    (
        "shards_desired",
        "The number of shards that the queues shard calculation wants to run based on the rate of samples in vs. samples out.",
        "gauge",
        |m| m.shards.get(),
    ),
    (
        "bytes_total",
        "The total number of bytes of data (not metadata) sent by the queue after compression. Note that when exemplars over remote write is enabled the exemplars included in a remote write request count towards this metric.",
        "counter",
        |m| m.bytes.get() as f64,
    ),
    (
        "metadata_bytes_total",
        "The total number of bytes of metadata sent by the queue after compression.",
        "counter",
        |m| m.metadata_bytes.get() as f64,
    ),
    (
        "max_samples_per_send",
        "The maximum number of samples to be sent, in a single request, to the remote storage. Note that, when sending of exemplars over remote write is enabled, exemplars count towards this limit.",
        "gauge",
        |m| m.samples_per_send,
    ),
    (
        "metadata_retried_total",
        "Total number of metadata entries which failed on send to remote storage but were retried because the send error was recoverable.",
        "counter",
        |_| 0.0,
    ),
];

fn expose_dropped(receivers: &[Arc<ReceiverMetrics>], out: &mut Exposition) {
    for (kind, noun, pick) in KINDS {
        let name = format!("prometheus_remote_storage_{kind}_dropped_total");
        let help = format!(
            "Total number of {noun} which were dropped after being read from the WAL before being sent via remote write, either via relabelling, due to being too old or unintentionally because of an unknown reference ID."
        );
        out.family(&name, &help, "counter");
        for receiver in receivers {
            for (reason, counters) in
                [("dropped_series", &receiver.dropped_series), ("too_old", &receiver.dropped_old)]
            {
                let [remote_name, url] = labels_of(receiver);
                out.sample(&name, &[("reason", reason), remote_name, url], pick(counters.get()) as f64);
            }
        }
    }
}

fn expose_pending(receivers: &[Arc<ReceiverMetrics>], out: &mut Exposition) {
    for (kind, noun, pick) in KINDS {
        let name = format!("prometheus_remote_storage_{kind}_pending");
        let help =
            format!("The number of {noun} pending in the queues shards to be sent to the remote storage.");
        out.family(&name, &help, "gauge");
        for receiver in receivers {
            out.sample(&name, &labels_of(receiver), pick(*lock(&receiver.pending)) as f64);
        }
    }
}

fn expose_log(log: &dyn ForwardedLog, out: &mut Exposition) {
    let counters = &log.outbox().counters;
    let families = [
        (
            "prometheus_remote_storage_samples_in_total",
            "Samples in to remote storage, compare to samples out for queue managers. Deprecated, check prometheus_wal_watcher_records_read_total and prometheus_remote_storage_samples_dropped_total",
            counters.samples.get(),
        ),
        (
            "prometheus_remote_storage_exemplars_in_total",
            "Exemplars in to remote storage, compare to exemplars out for queue managers. Deprecated, check prometheus_wal_watcher_records_read_total and prometheus_remote_storage_exemplars_dropped_total",
            counters.exemplars.get(),
        ),
        (
            "prometheus_remote_storage_histograms_in_total",
            "HistogramSamples in to remote storage, compare to histograms out for queue managers. Deprecated, check prometheus_wal_watcher_records_read_total and prometheus_remote_storage_histograms_dropped_total",
            counters.histograms.get(),
        ),
        (
            "perdura_remote_log_samples_dropped_total",
            "Samples that the full remote-write log dropped before a receiver had read them.",
            counters.samples_dropped.get(),
        ),
        (
            "perdura_remote_log_damaged_records_total",
            "Damaged places of the remote-write log that were skipped.",
            counters.damaged.get(),
        ),
    ];
    for (name, help, value) in families {
        out.single(name, help, "counter", value as f64);
    }
    out.single(
        "prometheus_remote_storage_highest_timestamp_in_seconds",
        "Highest timestamp that has come into the remote storage via the Appender interface, in seconds since epoch. Initialized to 0 when no data has been received yet. Deprecated, check prometheus_remote_storage_queue_highest_timestamp_seconds which is more accurate.",
        "gauge",
        counters.newest_seconds.get(),
    );
    out.single("perdura_remote_log_bytes", "Size of the remote-write log.", "gauge", log.bytes() as f64);
    if let Some(series) = log.series() {
        out.single(
            "prometheus_agent_active_series",
            "Number of active series being tracked by the WAL storage",
            "gauge",
            series as f64,
        );
    }
}
