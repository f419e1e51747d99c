//! Which names, values and pairs the head's series have most of.

use std::collections::{HashMap, HashSet};

use crate::model::METRIC_NAME;

use super::Head;
use crate::lock::read;

/// Counts of all tenants' labels, the largest first, at most `TOP` of each.
#[derive(Clone, Debug, Default)]
pub struct HeadFacts {
    /// Metric names by series.
    pub series_by_metric: Vec<(String, u64)>,
    /// Label names by different values.
    pub values_by_label: Vec<(String, u64)>,
    /// Label names by bytes of their values, each counted for every series that has it.
    pub bytes_by_label: Vec<(String, u64)>,
    /// `name=value` by series.
    pub series_by_pair: Vec<(String, u64)>,
    /// Different pairs.
    pub label_pairs: u64,
}

/// How many of each are told; a caller that wants fewer cuts.
const TOP: usize = 1_000;

impl Head {
    /// Counts labels; walks every label pair of the head once.
    pub fn facts(&self) -> HeadFacts {
        let mut pairs: HashMap<(String, String), u64> = HashMap::new();
        for table in read(&self.tenants).values() {
            for shard in &table.shards {
                let shard = read(shard);
                for (name, numbers) in shard.index.names() {
                    for number in numbers {
                        let count = shard.index.slots(*number).len() as u64;
                        if count > 0 {
                            let value = shard.index.label(*number).value.to_owned();
                            *pairs.entry((name.to_owned(), value)).or_default() += count;
                        }
                    }
                }
            }
        }
        let mut metrics = HashMap::new();
        let mut values: HashMap<String, HashSet<&str>> = HashMap::new();
        let mut bytes: HashMap<String, u64> = HashMap::new();
        for ((name, value), count) in &pairs {
            if name == METRIC_NAME {
                metrics.insert(value.clone(), *count);
            }
            values.entry(name.clone()).or_default().insert(value);
            *bytes.entry(name.clone()).or_default() += value.len() as u64 * count;
        }
        HeadFacts {
            label_pairs: pairs.len() as u64,
            series_by_metric: largest(metrics),
            values_by_label: largest(values.into_iter().map(|(name, set)| (name, set.len() as u64))),
            bytes_by_label: largest(bytes),
            series_by_pair: largest(
                pairs.into_iter().map(|((name, value), count)| (format!("{name}={value}"), count)),
            ),
        }
    }
}

fn largest(counts: impl IntoIterator<Item = (String, u64)>) -> Vec<(String, u64)> {
    let mut sorted: Vec<(String, u64)> = counts.into_iter().collect();
    sorted.sort_unstable_by(|a, b| b.1.cmp(&a.1).then_with(|| a.0.cmp(&b.0)));
    sorted.truncate(TOP);
    sorted
}
