//! Which names, values and pairs the head's series have most of.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use foldhash::fast::RandomState;

use crate::model::METRIC_NAME;

use super::Head;
use crate::lock::read;

/// Counts of all tenants' labels, the largest first.
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

/// Series by value, of one label name.
type Values = HashMap<Arc<str>, u64, RandomState>;

impl Head {
    /// Counts labels, and tells at most `limit` of each list. Walks every label pair of the head once, name by name, and
    /// copies no text that is not told: memory is needed for one name's values at a time.
    pub fn facts(&self, limit: usize) -> HeadFacts {
        let mut facts = HeadFacts::default();
        let (mut values_by_label, mut bytes_by_label) = (Vec::new(), Vec::new());
        let mut pairs: Vec<(String, u64)> = Vec::new();
        for name in self.all_label_names() {
            let values = self.values_of(&name);
            if values.is_empty() {
                continue;
            }
            facts.label_pairs += values.len() as u64;
            values_by_label.push((name.clone(), values.len() as u64));
            let bytes = values.iter().map(|(value, count)| value.len() as u64 * count).sum();
            bytes_by_label.push((name.clone(), bytes));
            let top = largest(values.into_iter().collect(), limit);
            if name == METRIC_NAME {
                let told = top.iter().map(|(value, count)| (value.to_string(), *count));
                facts.series_by_metric = told.collect();
            }
            pairs.extend(top.into_iter().map(|(value, count)| (format!("{name}={value}"), count)));
            pairs = largest(pairs, limit);
        }
        facts.values_by_label = largest(values_by_label, limit);
        facts.bytes_by_label = largest(bytes_by_label, limit);
        facts.series_by_pair = pairs;
        facts
    }

    fn all_label_names(&self) -> BTreeSet<String> {
        let mut names = BTreeSet::new();
        for table in read(&self.tenants).values() {
            for shard in &table.shards {
                for (name, _) in read(shard).index.names() {
                    if !names.contains(name) {
                        names.insert(name.to_owned());
                    }
                }
            }
        }
        names
    }

    fn values_of(&self, name: &str) -> Values {
        let mut values = Values::default();
        for table in read(&self.tenants).values() {
            for shard in &table.shards {
                let shard = read(shard);
                for number in shard.index.pairs_of(name) {
                    let count = shard.index.slots(*number).len() as u64;
                    if count > 0 {
                        *values.entry(shard.index.shared_value(*number)).or_default() += count;
                    }
                }
            }
        }
        values
    }
}

/// The largest `limit`, the first by name where several are as large.
fn largest<T: Ord>(mut counts: Vec<(T, u64)>, limit: usize) -> Vec<(T, u64)> {
    let order = |a: &(T, u64), b: &(T, u64)| b.1.cmp(&a.1).then_with(|| a.0.cmp(&b.0));
    if counts.len() > limit {
        counts.select_nth_unstable_by(limit, order);
        counts.truncate(limit);
    }
    counts.sort_unstable_by(order);
    counts
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Labels, TenantId};
    use crate::storage::Batch;

    #[test]
    fn the_largest_are_told_in_order() {
        let head = Head::new(4);
        let mut batch = Batch::default();
        for at in 0..30 {
            let metric = if at < 20 { "hits" } else { "misses" };
            batch.begin_series(&Labels::from_pairs([
                ("__name__", metric.to_owned()),
                ("id", format!("{at:02}")),
                ("job", "a".to_owned()),
            ]));
        }
        head.resolve(&TenantId::default(), &batch, 0).expect("they come with labels");
        let facts = head.facts(2);
        let told = |list: &[(&str, u64)]| -> Vec<(String, u64)> {
            list.iter().map(|(name, count)| ((*name).to_owned(), *count)).collect()
        };
        assert_eq!(facts.series_by_metric, told(&[("hits", 20), ("misses", 10)]));
        assert_eq!(facts.values_by_label, told(&[("id", 30), ("__name__", 2)]));
        assert_eq!(facts.bytes_by_label, told(&[("__name__", 20 * 4 + 10 * 6), ("id", 60)]));
        assert_eq!(facts.series_by_pair, told(&[("job=a", 30), ("__name__=hits", 20)]));
        assert_eq!(facts.label_pairs, 2 + 30 + 1);
    }
}
