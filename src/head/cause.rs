//! What fills a limit on series: the metric, and the label that has the most values.

use std::collections::{HashMap, HashSet};
use std::hash::BuildHasher;

use foldhash::fast::RandomState;

use super::Head;
use super::guard::JOB;
use super::index::Slot;
use super::series::{SeriesShard, SeriesTable};
use crate::lock::{lock, read};
use crate::model::{Label, METRIC_NAME, TenantId};
use crate::storage::{SeriesCause, SeriesLimit};

/// Most series of one shard that are looked at, those made last before the others: some milliseconds in all.
const LOOKED_AT_MAX: usize = 1_024;

impl Head {
    /// What fills a limit of a tenant. `subject`: the metric or the job that reached it. `None` where there is nothing.
    /// Looks at no more than a thousand series of each shard, and for all series at the count of each metric.
    pub fn cause(&self, tenant: &TenantId, limit: SeriesLimit, subject: &str) -> Option<SeriesCause> {
        let table = self.table(tenant)?;
        let (metric, series, metrics, looked_at) = match limit {
            SeriesLimit::Metric => return widest_label(&table, subject),
            SeriesLimit::Total => {
                let (metric, series, metrics) = lock(table.counts()).largest_metric()?;
                (metric, series, metrics, self.series())
            }
            SeriesLimit::Job => largest_metric_of(&table, subject)?,
        };
        if metrics > series {
            let label = METRIC_NAME.to_owned();
            return Some(SeriesCause { metric: String::new(), label, values: metrics, looked_at });
        }
        widest_label(&table, &metric)
    }
}

/// The label with the most values among series of a metric.
fn widest_label(table: &SeriesTable, metric: &str) -> Option<SeriesCause> {
    let hasher = RandomState::default();
    let mut values: HashMap<String, HashSet<u64, RandomState>> = HashMap::new();
    let mut looked_at = 0;
    each_series(table, Label { name: METRIC_NAME, value: metric }, |shard, slot| {
        looked_at += 1;
        for label in shard.each_label(slot).filter(|label| label.name != METRIC_NAME) {
            let hash = hasher.hash_one(label.value);
            match values.get_mut(label.name) {
                Some(known) => {
                    known.insert(hash);
                }
                None => {
                    values.entry(label.name.to_owned()).or_default().insert(hash);
                }
            }
        }
    });
    let widest = values.into_iter().map(|(label, values)| (values.len() as u64, label));
    let (values, label) = widest.max_by(|a, b| a.0.cmp(&b.0).then_with(|| b.1.cmp(&a.1)))?;
    Some(SeriesCause { metric: metric.to_owned(), label, values, looked_at })
}

/// The metric with the most series among those of a job, how many of them it has, how many metrics there are, and how
/// many series were looked at.
fn largest_metric_of(table: &SeriesTable, job: &str) -> Option<(String, u64, u64, u64)> {
    let mut metrics: HashMap<String, u64> = HashMap::new();
    let mut looked_at = 0;
    each_series(table, Label { name: JOB, value: job }, |shard, slot| {
        looked_at += 1;
        if let Some(metric) = shard.each_label(slot).find(|label| label.name == METRIC_NAME) {
            *metrics.entry(metric.value.to_owned()).or_default() += 1;
        }
    });
    let different = metrics.len() as u64;
    let largest = metrics.into_iter().max_by(|a, b| a.1.cmp(&b.1).then_with(|| b.0.cmp(&a.0)));
    largest.map(|(metric, series)| (metric, series, different, looked_at))
}

fn each_series(table: &SeriesTable, with: Label<'_>, mut visit: impl FnMut(&SeriesShard, Slot)) {
    for shard in &table.shards {
        let shard = read(shard);
        for slot in shard.index.slots_equal(with.name, with.value).iter().rev().take(LOOKED_AT_MAX) {
            visit(&shard, *slot);
        }
    }
}
