//! What notifying counts of itself.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, Weak};

use crate::metrics::{Counter, Gauge, Histogram, Summary};

/// Upper bounds of the buckets of latencies, in seconds; upstream's.
const LATENCY_BOUNDS: [f64; 4] = [0.01, 0.1, 1.0, 10.0];

/// Numbers of one Alertmanager, together for all groups that name it.
#[derive(Debug)]
pub struct AlertmanagerMetrics {
    /// `prometheus_notifications_sent_total`: alerts.
    pub sent: Counter,
    /// `prometheus_notifications_errors_total`: alerts.
    pub errors: Counter,
    /// `prometheus_notifications_dropped_total`: alerts.
    pub dropped: Counter,
    /// `prometheus_notifications_queue_length`: alerts.
    pub queued: Gauge,
    /// `prometheus_notifications_latency_seconds`: of requests that succeeded.
    pub latency: Summary,
    /// `prometheus_notifications_latency_histogram_seconds`: the same ones.
    pub latency_buckets: Histogram,
}

impl Default for AlertmanagerMetrics {
    fn default() -> Self {
        Self {
            sent: Counter::default(),
            errors: Counter::default(),
            dropped: Counter::default(),
            queued: Gauge::default(),
            latency: Summary::default(),
            latency_buckets: Histogram::new(&LATENCY_BOUNDS),
        }
    }
}

impl AlertmanagerMetrics {
    /// Counts a request that succeeded.
    pub(super) fn observe_latency(&self, seconds: f64) {
        self.latency.observe(seconds);
        self.latency_buckets.observe(seconds);
    }
}

/// The numbers by URL; they go with the last queue for that URL.
#[derive(Debug, Default)]
pub struct NotifierMetrics {
    by_url: Mutex<BTreeMap<String, Weak<AlertmanagerMetrics>>>,
}

impl NotifierMetrics {
    /// The numbers of one Alertmanager, from zero where it is new.
    pub(super) fn of(&self, url: &str) -> Arc<AlertmanagerMetrics> {
        let mut by_url = crate::lock::lock(&self.by_url);
        if let Some(found) = by_url.get(url).and_then(Weak::upgrade) {
            return found;
        }
        let made = Arc::default();
        by_url.insert(url.to_owned(), Arc::downgrade(&made));
        made
    }

    /// Lets go of the URLs without a queue.
    pub(super) fn forget_unused(&self) {
        crate::lock::lock(&self.by_url).retain(|_, metrics| metrics.strong_count() > 0);
    }

    /// All Alertmanagers with a queue, in order of their URLs.
    pub fn list(&self) -> Vec<(String, Arc<AlertmanagerMetrics>)> {
        let by_url = crate::lock::lock(&self.by_url);
        by_url.iter().filter_map(|(url, metrics)| Some((url.clone(), metrics.upgrade()?))).collect()
    }
}
