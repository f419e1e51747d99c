//! Counter reset hints as upstream's storage gives them.
//!
//! Upstream does not keep the hint that a histogram came with: whoever reads one learns `not_reset` where its chunk
//! holds an earlier histogram of the same layout. Tests of rules compare hints, so the store of a test sets them when
//! it is written to. Chunks that upstream cuts because they are full are not foreseen here; they begin with `unknown`.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use crate::lock::lock;
use crate::model::{CounterResetHint, Fingerprint, FloatHistogram, Labels, TenantId, Timestamp, is_stale};
use crate::promql::is_histogram_reset;
use crate::storage::{Acceptance, Append, AppendError, Batch, HistogramEntry, MemoryStore, Outcome};

/// Upstream's chunks end with the day.
const CHUNK_MS_MAX: i64 = 86_400_000;

/// Writes to a store, hints set.
pub(super) struct HintingAppend {
    store: Arc<MemoryStore>,
    /// The latest sample of each series that had a histogram; `None` where a float followed.
    latest: Mutex<HashMap<Fingerprint, Latest>>,
}

type Latest = Option<(Timestamp, FloatHistogram)>;

impl HintingAppend {
    pub(super) fn new(store: Arc<MemoryStore>) -> Self {
        Self { store, latest: Mutex::default() }
    }
}

impl Append for HintingAppend {
    fn append(
        &self,
        tenant: &TenantId,
        mut batch: Batch,
        acceptance: &Acceptance,
    ) -> Result<Outcome, AppendError> {
        let mut latest = lock(&self.latest);
        for series in &batch.series {
            if series.histograms.is_empty() && latest.is_empty() {
                continue;
            }
            let labels = Labels::from_bytes(&batch.label_bytes[series.labels.clone()])
                .expect("a batch holds canonical labels");
            if !series.floats.is_empty()
                && let Some(latest) = latest.get_mut(&labels.fingerprint())
            {
                *latest = None;
            }
            for entry in &mut batch.histograms[series.histograms.clone()] {
                set_hint(entry, latest.entry(labels.fingerprint()).or_default());
            }
        }
        drop(latest);
        self.store.append(tenant, batch, acceptance)
    }
}

fn set_hint(entry: &mut HistogramEntry, latest: &mut Latest) {
    let current = entry.histogram.to_float();
    let hint = match current.counter_reset_hint {
        stated @ (CounterResetHint::Gauge | CounterResetHint::Reset) => stated,
        CounterResetHint::Unknown | CounterResetHint::NotReset => match latest {
            Some((t, before)) if goes_on(&current, before) && same_day(entry.timestamp, *t) => {
                CounterResetHint::NotReset
            }
            _ => CounterResetHint::Unknown,
        },
    };
    *latest = Some((entry.timestamp, current));
    Arc::make_mut(&mut entry.histogram).counter_reset_hint = hint;
}

/// Whether `current` fits into a chunk behind `before`.
fn goes_on(current: &FloatHistogram, before: &FloatHistogram) -> bool {
    let unhinted = FloatHistogram { counter_reset_hint: CounterResetHint::Unknown, ..current.clone() };
    before.counter_reset_hint != CounterResetHint::Gauge
        && (is_stale(current.sum) || !is_stale(before.sum))
        && current.schema == before.schema
        && current.zero_threshold == before.zero_threshold
        && current.custom_values == before.custom_values
        && (is_stale(current.sum) || !is_histogram_reset(&unhinted, before))
}

fn same_day(a: Timestamp, b: Timestamp) -> bool {
    a.div_euclid(CHUNK_MS_MAX) == b.div_euclid(CHUNK_MS_MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::promql::testlang::load::{LoadPlace, parse_load};
    use crate::promql::{Engine, EngineOptions, QueryOptions};
    use crate::rules::unit_test::file::ExpectedSample;
    use crate::rules::unit_test::samples::{SeenSample, samples_of};

    /// The hints that are read, step by step; empty where there is no histogram.
    fn hints(step: &str, values: &str, count: i64, step_ms: i64) -> Vec<String> {
        let store = Arc::new(MemoryStore::default());
        let append = HintingAppend::new(Arc::clone(&store));
        let line = format!("h {values}");
        let place = LoadPlace { line: 1, start: 0 };
        let mut load = parse_load(&format!("load {step}"), &[&line], place).expect("it is sound");
        load.run_till(i64::MAX, &append).expect("it is stored");
        let engine = Engine::new(EngineOptions::default());
        let at = |t| {
            let output = engine
                .instant(store.as_ref(), &TenantId::default(), "h", t, &QueryOptions::default())
                .expect("the query is sound");
            let samples = samples_of(output.value).expect("a vector");
            let text = samples.first().map(|sample: &SeenSample| format!("{sample:?}")).unwrap_or_default();
            let (_, hint) = text.split_once("counter_reset_hint:").unwrap_or_default();
            hint.split([' ', '}']).next().unwrap_or_default().to_owned()
        };
        (0..count).map(|step| at(step * step_ms)).collect()
    }

    #[test]
    fn histograms_that_go_on_are_no_resets() {
        let minutes = |values: &str, count| hints("1m", values, count, 60_000);
        assert_eq!(minutes("{{count:2 buckets:[2]}}x2", 3), ["", "not_reset", "not_reset"]);
        assert_eq!(minutes("{{count:2}} {{count:1}} {{count:1}}", 3), ["", "", "not_reset"]);
        assert_eq!(
            minutes("{{count:1}} {{count:2 counter_reset_hint:reset}} {{count:2}}", 3),
            ["", "", "not_reset"]
        );
        assert_eq!(minutes("{{count:1}} 5 {{count:1}} {{count:1}}", 4), ["", "", "", "not_reset"]);
        assert_eq!(minutes("{{schema:1}} {{schema:2}} {{schema:2}}", 3), ["", "", "not_reset"]);
        assert_eq!(
            minutes("{{counter_reset_hint:gauge}}x1 {{}} {{}}", 4),
            ["gauge", "gauge", "", "not_reset"]
        );
        assert_eq!(hints("12h", "{{count:1}}x3", 4, 43_200_000), ["", "not_reset", "", "not_reset"]);
    }

    #[test]
    fn expected_hints_are_compared() {
        let sample = |histogram: &str| {
            let histogram = histogram.to_owned();
            SeenSample::expected(&ExpectedSample { labels: "h".to_owned(), value: 0.0, histogram })
        };
        assert_ne!(sample("{{count:1}}"), sample("{{count:1 counter_reset_hint:not_reset}}"));
    }
}
