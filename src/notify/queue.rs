//! Alerts that wait for one Alertmanager.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};

use tokio::sync::Notify;

use super::alert::Alert;
use super::metrics::AlertmanagerMetrics;

/// A queue with room for a number of alerts: where it is full the oldest make room for new ones. Filled by whoever has
/// alerts, emptied by one task.
#[derive(Debug)]
pub(super) struct Queue {
    capacity: usize,
    waiting: Mutex<Waiting>,
    changed: Notify,
    pub(super) metrics: Arc<AlertmanagerMetrics>,
}

#[derive(Debug, Default)]
struct Waiting {
    alerts: VecDeque<Arc<Alert>>,
    is_closed: bool,
}

impl Queue {
    /// An empty queue.
    pub(super) fn new(capacity: usize, metrics: Arc<AlertmanagerMetrics>) -> Self {
        Self { capacity, waiting: Mutex::default(), changed: Notify::new(), metrics }
    }

    /// Puts alerts at its end. A closed queue takes none.
    pub(super) fn add(&self, alerts: impl ExactSizeIterator<Item = Arc<Alert>>) {
        let mut waiting = crate::lock::lock(&self.waiting);
        if waiting.is_closed || alerts.len() == 0 {
            return;
        }
        let before = waiting.alerts.len();
        let excess = (before + alerts.len()).saturating_sub(self.capacity);
        waiting.alerts.extend(alerts);
        waiting.alerts.drain(..excess);
        self.metrics.queued.add(waiting.alerts.len() as f64 - before as f64);
        drop(waiting);
        self.changed.notify_one();
        if excess > 0 {
            self.metrics.dropped.add(excess as u64);
            tracing::warn!(count = excess, "Alert notification queue full, dropping alerts");
        }
    }

    /// The oldest alerts, `count_max` at most, once there are any; `None` once it is closed and empty.
    pub(super) async fn next_batch(&self, count_max: usize) -> Option<Vec<Arc<Alert>>> {
        loop {
            {
                let mut waiting = crate::lock::lock(&self.waiting);
                let count = waiting.alerts.len().min(count_max);
                if count > 0 {
                    self.metrics.queued.add(-(count as f64));
                    return Some(waiting.alerts.drain(..count).collect());
                }
                if waiting.is_closed {
                    return None;
                }
            }
            self.changed.notified().await;
        }
    }

    /// Takes no more alerts from now on; those that wait are still handed out.
    pub(super) fn close(&self) {
        crate::lock::lock(&self.waiting).is_closed = true;
        self.changed.notify_one();
    }

    /// Takes no more alerts, and hands out none of those that wait but to the caller.
    pub(super) fn close_and_take(&self) -> VecDeque<Arc<Alert>> {
        self.close();
        let taken = std::mem::take(&mut crate::lock::lock(&self.waiting).alerts);
        self.metrics.queued.add(-(taken.len() as f64));
        taken
    }

    /// Takes no more alerts, and drops those that wait; answers how many.
    pub(super) fn discard(&self) -> usize {
        let count = self.close_and_take().len();
        self.metrics.dropped.add(count as u64);
        count
    }
}
