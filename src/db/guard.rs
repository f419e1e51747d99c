//! What a batch loses to the limits on series, and what its sender and the log are told of it.

use std::collections::HashMap;
use std::sync::Mutex;

use crate::head::Head;
use crate::lock::lock;
use crate::model::{Labels, TenantId, Timestamp};
use crate::storage::{
    Batch, RejectReason, Rejection, SampleKind, SeriesCause, SeriesLimit, SeriesLimits, SeriesRefusal,
};

/// How long the cause of a full limit is told without looking again, in milliseconds.
const CAUSE_AGE_MS_MAX: i64 = 10_000;
/// Least time between two lines in the log about one limit, in milliseconds.
const LOG_INTERVAL_MS: i64 = 60_000;
/// Most full limits that are remembered.
const REMEMBERED_MAX: usize = 256;
/// Most limits of one batch whose cause is looked for: it takes milliseconds each.
const CAUSES_PER_BATCH_MAX: usize = 4;

/// A batch without the series that limits kept out.
pub(super) struct Admitted {
    pub(super) batch: Batch,
    /// Samples of the series that were kept out, by their places in the batch as it came.
    pub(super) rejections: Vec<Rejection>,
    /// For each series that is left its place in the batch as it came, and so on.
    series: Vec<usize>,
    floats: Vec<usize>,
    histograms: Vec<usize>,
    exemplars: Vec<usize>,
}

impl Admitted {
    /// `refused`: places of series in the batch, rising.
    pub(super) fn new(mut batch: Batch, refused: &[usize]) -> Self {
        let mut kept = Batch { metadata: std::mem::take(&mut batch.metadata), ..Batch::default() };
        let mut admitted = Self {
            batch: Batch::default(),
            rejections: Vec::new(),
            series: Vec::with_capacity(batch.series.len() - refused.len()),
            floats: Vec::new(),
            histograms: Vec::new(),
            exemplars: Vec::new(),
        };
        let mut refused = refused.iter().copied().peekable();
        for (at, series) in batch.series.iter().enumerate() {
            if refused.next_if_eq(&at).is_some() {
                admitted.reject(at, SampleKind::Float, series.floats.clone());
                admitted.reject(at, SampleKind::Histogram, series.histograms.clone());
                admitted.reject(at, SampleKind::Exemplar, series.exemplars.clone());
                continue;
            }
            admitted.series.push(at);
            admitted.floats.extend(series.floats.clone());
            admitted.histograms.extend(series.histograms.clone());
            admitted.exemplars.extend(series.exemplars.clone());
            kept.begin_series_bytes(batch.labels_of(series));
            if !batch.identities.is_empty() {
                kept.identities.push(batch.identity(at));
            }
            for entry in &batch.floats[series.floats.clone()] {
                kept.push_float(entry.timestamp, entry.start_timestamp, entry.value);
            }
            for entry in &batch.histograms[series.histograms.clone()] {
                kept.push_histogram(
                    entry.timestamp,
                    entry.start_timestamp,
                    std::sync::Arc::clone(&entry.histogram),
                );
            }
            batch.exemplars[series.exemplars.clone()]
                .iter()
                .for_each(|exemplar| kept.push_exemplar(exemplar.clone()));
        }
        admitted.batch = kept;
        admitted
    }

    fn reject(&mut self, series: usize, kind: SampleKind, indexes: std::ops::Range<usize>) {
        let reason = RejectReason::Limit;
        self.rejections.extend(indexes.map(|index| Rejection { kind, index, series, reason }));
    }

    /// All rejections, those of what was left too, by places in the batch as it came and in its order.
    pub(super) fn all_rejections(mut self, of_rest: Vec<Rejection>) -> Vec<Rejection> {
        for rejection in of_rest {
            let indexes = match rejection.kind {
                SampleKind::Float => &self.floats,
                SampleKind::Histogram => &self.histograms,
                SampleKind::Exemplar => &self.exemplars,
            };
            let (index, series) = (indexes[rejection.index], self.series[rejection.series]);
            self.rejections.push(Rejection { index, series, ..rejection });
        }
        self.rejections.sort_by_key(|rejection| (rejection.series, rejection.kind as u8, rejection.index));
        self.rejections
    }
}

/// Whose limit is full: the tenant, which limit, and the metric or job.
type Full = (TenantId, SeriesLimit, String);

/// What is known of a full limit.
#[derive(Clone, Debug)]
struct Remembered {
    found_ms: Timestamp,
    cause: Option<SeriesCause>,
    logged_ms: Option<Timestamp>,
    /// Refused since the last line in the log.
    refused: u64,
}

/// Limits that were full of late.
#[derive(Debug, Default)]
pub(super) struct Refusals(Mutex<HashMap<Full, Remembered>>);

impl Refusals {
    /// What kept series out of a batch, by limit; also says it in the log, now and then.
    pub(super) fn tell(
        &self,
        head: &Head,
        tenant: &TenantId,
        batch: &Batch,
        refused: &[(usize, SeriesLimit)],
        now_ms: Timestamp,
    ) -> Vec<SeriesRefusal> {
        let limits = head.series_limits();
        let mut refusals: Vec<SeriesRefusal> = by_limit(batch, refused, limits);
        let mut known = lock(&self.0);
        let mut looked_for = 0;
        for refusal in &mut refusals {
            let full = (tenant.clone(), refusal.limit, refusal.subject.clone());
            let fresh = known.get(&full).is_some_and(|entry| {
                // A clock that was set back makes it old too.
                (0..CAUSE_AGE_MS_MAX).contains(&now_ms.saturating_sub(entry.found_ms))
            });
            if !fresh {
                if looked_for == CAUSES_PER_BATCH_MAX || !make_room(&mut known, &full, now_ms) {
                    continue;
                }
                looked_for += 1;
                let cause = head.cause(tenant, refusal.limit, &refusal.subject);
                let before = known.get(&full).map(|entry| (entry.logged_ms, entry.refused));
                let (logged_ms, refused) = before.unwrap_or_default();
                known.insert(full.clone(), Remembered { found_ms: now_ms, cause, logged_ms, refused });
            }
            let entry = known.get_mut(&full).expect("it was there or was put there");
            refusal.cause.clone_from(&entry.cause);
            entry.refused += refusal.series as u64;
            let is_said = |logged: Timestamp| (0..LOG_INTERVAL_MS).contains(&now_ms.saturating_sub(logged));
            if !entry.logged_ms.is_some_and(is_said) {
                let refused = std::mem::take(&mut entry.refused);
                tracing::warn!(tenant = tenant.as_str(), limit = refusal.limit.name(), refused, "{refusal}");
                entry.logged_ms = Some(now_ms);
            }
        }
        refusals
    }
}

/// Whether an entry may be added or is there; forgets what is long over where there are too many.
fn make_room(known: &mut HashMap<Full, Remembered>, full: &Full, now_ms: Timestamp) -> bool {
    if known.len() < REMEMBERED_MAX || known.contains_key(full) {
        return true;
    }
    known.retain(|_, entry| now_ms.saturating_sub(entry.found_ms) < LOG_INTERVAL_MS);
    known.len() < REMEMBERED_MAX
}

/// Counts of refused series by limit and subject, in the order in which they were met.
fn by_limit(batch: &Batch, refused: &[(usize, SeriesLimit)], limits: SeriesLimits) -> Vec<SeriesRefusal> {
    let mut refusals: Vec<SeriesRefusal> = Vec::new();
    let mut places: HashMap<(SeriesLimit, String), usize> = HashMap::new();
    for (at, limit) in refused {
        let subject = match limit {
            SeriesLimit::Total => String::new(),
            SeriesLimit::Metric => labels_of(batch, *at).metric_name().to_owned(),
            SeriesLimit::Job => labels_of(batch, *at).get("job").unwrap_or_default().to_owned(),
        };
        let max = match limit {
            SeriesLimit::Total => limits.total,
            SeriesLimit::Metric => limits.per_metric,
            SeriesLimit::Job => limits.per_job,
        };
        let place = *places.entry((*limit, subject.clone())).or_insert_with(|| {
            refusals.push(SeriesRefusal { limit: *limit, max, subject, series: 0, cause: None });
            refusals.len() - 1
        });
        refusals[place].series += 1;
    }
    refusals
}

fn labels_of(batch: &Batch, at: usize) -> Labels {
    Labels::from_bytes(batch.labels_of(&batch.series[at])).expect("a batch holds canonical labels")
}

#[cfg(test)]
#[path = "guard_tests.rs"]
mod tests;
