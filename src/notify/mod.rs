//! From a firing alert to the Alertmanagers that are told of it.
//!
//! [`Notifier::send`] adds external labels, applies rules, and puts alerts in one queue for each Alertmanager;
//! a task for each queue posts them in batches. [`Notifier::prepare`] and [`Notifier::apply`] make the queues those
//! that `<alerting>` asks for; files with targets are watched.
//!
//! Promises:
//! - whoever has alerts waits for nobody, and an Alertmanager that is slow or dead delays no other one;
//! - what waits is bounded: the oldest alerts make room for new ones, and are counted;
//! - a change of the configuration loses no alert that waits for an Alertmanager which stays.
//!
//! Left to others: which alerts there are, and when one is said again (`rules`). A batch that an Alertmanager does not
//! take is not kept, since the rules repeat what still holds.

mod alert;
mod config;
mod endpoint;
mod group;
mod manager;
mod metrics;
mod queue;
mod send;

use std::sync::Arc;

use crate::model::Labels;
use crate::relabel::{self, RelabelConfig};

pub use alert::Alert;
pub use config::{AlertingConfig, AlertingConfigError, AlertmanagerConfig, AlertmanagerSettings};
pub use manager::{Notifier, NotifierError, NotifierOptions, NotifierStatus, PreparedAlerting};
pub use metrics::{AlertmanagerMetrics, NotifierMetrics};

/// An alert with `external` labels where it has none of the name, after `rules`; `None` where one of them drops it.
fn relabel_alert(alert: &Arc<Alert>, external: &Labels, rules: &[RelabelConfig]) -> Option<Arc<Alert>> {
    let mut labels = alert.labels.to_builder();
    for label in external.iter().filter(|label| alert.labels.get(label.name).is_none()) {
        labels.set(label.name, label.value);
    }
    if !relabel::apply(rules, &mut labels) {
        return None;
    }
    match labels.build() {
        Ok(labels) if labels == alert.labels => Some(Arc::clone(alert)),
        Ok(labels) => Some(Arc::new(Alert { labels, ..Alert::clone(alert) })),
        Err(error) => {
            tracing::error!(labels = %alert.labels, %error, "Relabelling an alert failed");
            None
        }
    }
}

#[cfg(test)]
mod tests;
