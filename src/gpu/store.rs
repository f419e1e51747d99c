//! Readings as series in storage, and markers for those that end.

use std::collections::{BTreeSet, HashSet};
use std::sync::Arc;

use super::families::{Base, Families, Family, Pairs, Sample};
use super::namer::XID_COUNTS;
use crate::model::{
    Labels, LabelsBuilder, LabelsError, Metadata, MetricType, TenantId, Timestamp, stale_nan,
};
use crate::storage::{Acceptance, Append, Batch};

/// A series of the last round, and what it was made of.
struct Series {
    name: &'static str,
    base: Arc<Base>,
    own: Pairs,
    labels: Labels,
}

/// Writes rounds, and remembers what the last one held.
pub struct SeriesWriter {
    append: Arc<dyn Append>,
    tenant: TenantId,
    /// What all series have: `job` and `instance`.
    target: Pairs,
    /// The last round's, in its order; they end where this one lacks them. Rounds are mostly alike, so that labels are
    /// seldom put together anew.
    series: Vec<Series>,
    /// Counts of XIDs that were ever stored; bounded by the XIDs that are counted.
    begun: HashSet<Labels>,
    /// When the last round was.
    before: Option<Timestamp>,
    /// Families whose metadata is stored.
    described: BTreeSet<&'static str>,
    /// What was said last of a write that failed.
    said: Option<String>,
}

impl SeriesWriter {
    /// Writes to `append` as a scrape of `instance` in `job` would.
    pub fn new(append: Arc<dyn Append>, tenant: TenantId, job: &str, instance: &str) -> Self {
        let target = vec![("job", job.to_owned()), ("instance", instance.to_owned())];
        Self {
            append,
            tenant,
            target,
            series: Vec::new(),
            begun: HashSet::new(),
            before: None,
            described: BTreeSet::new(),
            said: None,
        }
    }

    /// Writes one round. Blocks until it is durable. A round that cannot be written is lost; that is said once.
    pub fn write(&mut self, time: Timestamp, families: &Families) {
        let mut batch = Batch::default();
        let mut before = std::mem::take(&mut self.series).into_iter();
        let mut replaced = Vec::new();
        for family in &families.families {
            if self.described.insert(family.name) {
                batch.push_metadata(family.name, metadata(family));
            }
            for sample in &family.samples {
                let base = &families.bases[sample.base];
                let series = match before.next() {
                    Some(series) if series.is(family.name, base, &sample.own) => series,
                    other => {
                        replaced.extend(other.map(|series| series.labels));
                        match self.series(family.name, base, sample) {
                            Ok(series) => series,
                            Err(error) => {
                                tracing::debug!(metric = family.name, %error, "a reading is not stored");
                                continue;
                            }
                        }
                    }
                };
                batch.begin_series(&series.labels);
                if family.name == XID_COUNTS && self.begun.insert(series.labels.clone()) {
                    self.push_zero(&mut batch);
                }
                batch.push_float(time, 0, sample.value.as_f64());
                self.series.push(series);
            }
        }
        replaced.extend(before.map(|series| series.labels));
        self.push_ended(time, &replaced, &mut batch);
        self.before = Some(time);
        if !batch.is_empty() {
            self.append(batch);
        }
    }

    /// Marks what of `replaced` did not come back.
    fn push_ended(&self, time: Timestamp, replaced: &[Labels], batch: &mut Batch) {
        if replaced.is_empty() {
            return;
        }
        let live: HashSet<&Labels> = self.series.iter().map(|series| &series.labels).collect();
        for ended in replaced.iter().filter(|labels| !live.contains(labels)) {
            batch.begin_series(ended);
            batch.push_float(time, 0, stale_nan());
        }
    }

    /// A count is first seen when it is 1 or more. It was 0 in the round before, and without that sample `increase()`
    /// would not see the first XID.
    fn push_zero(&self, batch: &mut Batch) {
        if let Some(before) = self.before {
            batch.push_float(before, 0, 0.0);
        }
    }

    fn append(&mut self, batch: Batch) {
        match self.append.append(&self.tenant, batch, &Acceptance::EVERYTHING) {
            Ok(_) => self.said = None,
            Err(error) => {
                let error = error.to_string();
                if self.said.as_ref() != Some(&error) {
                    tracing::error!(%error, "readings of GPUs are not stored");
                    self.said = Some(error);
                }
            }
        }
    }

    fn series(&self, name: &'static str, base: &Arc<Base>, sample: &Sample) -> Result<Series, LabelsError> {
        let mut labels = LabelsBuilder::default();
        labels.set("__name__", name);
        for (name, value) in base.pairs().iter().chain(&sample.own).chain(&self.target) {
            labels.push(name, value);
        }
        Ok(Series { name, base: Arc::clone(base), own: sample.own.clone(), labels: labels.build()? })
    }
}

impl Series {
    fn is(&self, name: &str, base: &Arc<Base>, own: &Pairs) -> bool {
        self.name == name && Arc::ptr_eq(&self.base, base) && self.own == *own
    }
}

fn metadata(family: &Family) -> Metadata {
    let known = MetricType::ALL.into_iter().find(|known| known.as_str() == &*family.metric_type);
    let metric_type = known.unwrap_or_default();
    Metadata { metric_type, help: family.help.to_string(), unit: String::new() }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use super::super::reading::Value;
    use super::*;
    use crate::lock::lock;
    use crate::model::is_stale;
    use crate::storage::{AppendError, Outcome};

    /// Keeps what is written.
    #[derive(Default)]
    struct Written(Mutex<Vec<Batch>>);

    impl Append for Written {
        fn append(&self, _: &TenantId, batch: Batch, _: &Acceptance) -> Result<Outcome, AppendError> {
            lock(&self.0).push(batch);
            Ok(Outcome::default())
        }
    }

    #[test]
    fn the_first_xid_is_seen_as_growth() {
        let written = Arc::new(Written::default());
        let mut writer = SeriesWriter::new(written.clone(), TenantId::default(), "gpu", "node-1");
        let xids = |count: i64| {
            let mut families = families(&[count]);
            families.families[0].name = XID_COUNTS;
            families.bases[0] = Arc::new(Base::new(vec![("gpu", "0".to_owned())]));
            families
        };
        writer.write(1_000, &Families::default());
        writer.write(2_000, &xids(2));
        writer.write(3_000, &xids(3));
        writer.write(4_000, &Families::default());
        writer.write(5_000, &xids(3));
        let batches = lock(&written.0);
        let samples = |batch: &Batch| -> Vec<(Timestamp, f64)> {
            batch.floats.iter().map(|float| (float.timestamp, float.value)).collect()
        };
        assert_eq!(samples(&batches[0]), [(1_000, 0.0), (2_000, 2.0)]);
        assert_eq!(samples(&batches[1]), [(3_000, 3.0)]);
        assert_eq!(samples(&batches[3]), [(5_000, 3.0)], "a count that comes back did not begin anew");
    }

    fn families(gpus: &[i64]) -> Families {
        let bases = gpus.iter().map(|gpu| Arc::new(Base::new(vec![("gpu", gpu.to_string())]))).collect();
        let sample = |base: usize| Sample { base, own: Pairs::new(), value: Value::Int(gpus[base]) };
        let family = Family {
            name: "DCGM_FI_DEV_GPU_TEMP",
            metric_type: "gauge".into(),
            help: "GPU temperature (in C).".into(),
            samples: (0..gpus.len()).map(sample).collect(),
        };
        Families { bases, families: vec![family] }
    }

    /// Labels and value of each series of a batch.
    fn series(batch: &Batch) -> Vec<(String, f64)> {
        let labels = |series| Labels::from_bytes(batch.labels_of(series)).expect("they are canonical");
        let all = batch.series.iter();
        all.map(|series| (labels(series).to_string(), batch.floats[series.floats.start].value)).collect()
    }

    #[test]
    fn series_of_a_gpu_that_goes_are_marked_stale_once() {
        let written = Arc::new(Written::default());
        let mut writer = SeriesWriter::new(written.clone(), TenantId::default(), "gpu", "node-1");
        writer.write(1_000, &families(&[40, 41]));
        writer.write(2_000, &families(&[40]));
        writer.write(3_000, &families(&[40]));
        writer.write(4_000, &Families::default());
        writer.write(5_000, &Families::default());
        let batches = lock(&written.0);
        assert_eq!(batches.len(), 4, "a round of nothing writes nothing");
        let first = r#"{__name__="DCGM_FI_DEV_GPU_TEMP", gpu="40", instance="node-1", job="gpu"}"#;
        assert_eq!(series(&batches[0])[0], (first.to_owned(), 40.0));
        assert_eq!((batches[0].metadata.len(), batches[1].metadata.len()), (1, 0));
        assert_eq!(batches[0].metadata[0].metadata.metric_type, MetricType::Gauge);
        let second = series(&batches[1]);
        assert!(second.len() == 2 && second[1].0.contains("gpu=\"41\"") && is_stale(second[1].1));
        assert_eq!(series(&batches[2]).len(), 1);
        assert!(series(&batches[3]).iter().all(|(_, value)| is_stale(*value)));
    }
}
