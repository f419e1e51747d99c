//! Writing: judge, encode, commit.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::head::{PinnedEpoch, Resolution, SeriesPlace};
use crate::model::{TenantId, TimeSpan, Timestamp};
use crate::storage::{
    Acceptance, Append, AppendError, Batch, Columns, Outcome, RawLabels, SampleKind, SeriesHandle,
};
use crate::wal::{BatchEncoder, RejectedSet, SeriesUse};

use super::Database;
use super::commit::{Pending, series_use};
use super::deletion::Masked;
use super::guard::Admitted;
use super::judge::{Stored, Value, is_stateless, judge_stored, judge_times};
use super::merge::merge_rows;
use super::view::{LiveSegment, View};
use crate::lock::read;

impl Append for Database {
    fn append(
        &self,
        tenant: &TenantId,
        batch: Batch,
        acceptance: &Acceptance,
    ) -> Result<Outcome, AppendError> {
        if self.is_closed() {
            return Err(AppendError::Closed);
        }
        // Held to the end: a series that was found must not leave the head before its samples are there.
        let _resolving = read(&self.resolving);
        let batch = self.without_known_metadata(tenant, batch);
        let now_ms = self.options.clock.now_ms();
        let resolved = self.head.resolve(tenant, &batch, now_ms).ok_or(AppendError::Forgotten)?;
        let Resolution { mut places, refused } = resolved;
        if refused.is_empty() {
            return self.append_resolved(tenant, batch, places, acceptance);
        }
        let refusals = self.refusals.tell(&self.head, tenant, &batch, &refused, now_ms);
        let refused: Vec<usize> = refused.into_iter().map(|(at, _)| at).collect();
        places = without(places, &refused);
        let mut admitted = Admitted::new(batch, &refused);
        let rest = std::mem::take(&mut admitted.batch);
        self.counters.rejected.fetch_add(admitted.rejections.len() as u64, Ordering::Relaxed);
        let outcome = self.append_resolved(tenant, rest, places, acceptance)?;
        let rejections = admitted.all_rejections(outcome.rejections);
        Ok(Outcome { rejections, refusals, ..outcome })
    }

    fn known_series(&self, tenant: &TenantId, raw: &[RawLabels]) -> Vec<Option<SeriesHandle>> {
        self.head.known_series(tenant, raw)
    }
}

/// Places of the series that were not refused. `refused`: rising.
fn without(places: Vec<SeriesPlace>, refused: &[usize]) -> Vec<SeriesPlace> {
    let mut refused = refused.iter().copied().peekable();
    let kept = places.into_iter().enumerate().filter(|(at, _)| refused.next_if_eq(at).is_none());
    kept.map(|(_, place)| place).collect()
}

impl Database {
    /// Stores a batch whose series have their places.
    fn append_resolved(
        &self,
        tenant: &TenantId,
        batch: Batch,
        places: Vec<SeriesPlace>,
        acceptance: &Acceptance,
    ) -> Result<Outcome, AppendError> {
        if is_stateless(acceptance) {
            let rejections = judge_times(&batch, acceptance);
            return self.commit(tenant, batch, places, rejections);
        }
        let _claim = self.judging.claim(places.iter().map(|place| place.fingerprint).collect());
        let view = self.view();
        let times = batch.floats.iter().map(|entry| entry.timestamp);
        let oldest = times.chain(batch.histograms.iter().map(|entry| entry.timestamp)).min();
        let stored = StoredSamples {
            database: self,
            tenant,
            epochs: view.pin_epochs(),
            view: &view,
            oldest: oldest.unwrap_or(Timestamp::MAX),
        };
        let rejections = judge_stored(&batch, &places, acceptance, &stored);
        self.commit(tenant, batch, places, rejections)
    }

    fn commit(
        &self,
        tenant: &TenantId,
        batch: Batch,
        places: Vec<SeriesPlace>,
        rejections: Vec<crate::storage::Rejection>,
    ) -> Result<Outcome, AppendError> {
        let rejected = RejectedSet::new(&rejections);
        let used: Vec<SeriesUse> = places.iter().map(series_use).collect();
        let encoded = BatchEncoder::new(&batch, &used, &rejected).encode(tenant);
        let accepted = |kind, len: usize| len - rejected.count_within(kind, &(0..len));
        let outcome = Outcome {
            floats: accepted(SampleKind::Float, batch.floats.len()),
            histograms: accepted(SampleKind::Histogram, batch.histograms.len()),
            exemplars: accepted(SampleKind::Exemplar, batch.exemplars.len()),
            rejections,
            refusals: Vec::new(),
        };
        self.counters.rejected.fetch_add(outcome.rejections.len() as u64, Ordering::Relaxed);
        if encoded.is_empty() {
            return Ok(outcome);
        }
        let metadata = batch.metadata.clone();
        let pending = Pending::new(tenant.clone(), batch, places, rejected, encoded);
        self.committer.commit(pending, self)?;
        for entry in &metadata {
            self.head.add_metadata(tenant, &entry.metric, &entry.metadata);
        }
        let count = |counter: &AtomicU64, count: usize| counter.fetch_add(count as u64, Ordering::Relaxed);
        count(&self.counters.floats, outcome.floats);
        count(&self.counters.histograms, outcome.histograms);
        count(&self.counters.exemplars, outcome.exemplars);
        Ok(outcome)
    }

    /// Senders repeat metadata every minute; what is known already needs no place in the log.
    fn without_known_metadata(&self, tenant: &TenantId, mut batch: Batch) -> Batch {
        batch.metadata.retain(|entry| self.head.is_new_metadata(tenant, &entry.metric, &entry.metadata));
        batch
    }
}

/// What head and segments hold, for an acceptance that asks.
struct StoredSamples<'a> {
    database: &'a Database,
    tenant: &'a TenantId,
    epochs: Vec<PinnedEpoch>,
    view: &'a View,
    /// Oldest time of the batch: segments that end before it have no say.
    oldest: Timestamp,
}

impl StoredSamples<'_> {
    /// Visits the segments that have the series, in the order in which later ones win.
    fn each_segment(&self, place: SeriesPlace, mut visit: impl FnMut(&Masked, u32)) {
        let has_say = |segment: &&Arc<LiveSegment>| {
            segment.meta().tenant == *self.tenant && segment.meta().span.end >= self.oldest
        };
        for segment in self.view.segments.iter().filter(has_say) {
            let labels = self.database.head.labels(self.tenant, place);
            let matchers: Vec<_> =
                labels.iter().map(|label| crate::model::Matcher::equal(label.name, label.value)).collect();
            // A segment that cannot be read cannot refuse a sample either.
            let Ok(masked) = self.view.deletions.masked(segment) else { continue };
            for row in segment.reader.select(&matchers).unwrap_or_default() {
                if segment.reader.fingerprint(row).is_ok_and(|found| found == place.fingerprint) {
                    visit(&masked, row);
                }
            }
        }
    }
}

impl Stored for StoredSamples<'_> {
    fn newest(&self, place: SeriesPlace) -> Option<Timestamp> {
        let mut newest = self.database.head.newest(self.tenant, place, &self.epochs);
        self.each_segment(place, |segment, row| {
            let pieces = segment.pieces(row, TimeSpan::ALL).unwrap_or_default();
            newest = newest.max(pieces.last().map(|piece| piece.span.end));
        });
        newest
    }

    fn at_time(&self, place: SeriesPlace, timestamp: Timestamp) -> Option<Value> {
        let span = TimeSpan::new(timestamp, timestamp);
        let mut parts = Columns::default();
        self.each_segment(place, |segment, row| {
            parts.begin_row();
            // The same: an unreadable sample is not compared.
            let _ = segment.read(row, span, &mut parts);
        });
        self.database.head.read(self.tenant, place, &self.epochs, span, &mut parts);
        let mut merged = Columns::default();
        merged.begin_row();
        merge_rows(&parts, &mut merged);
        let row = merged.row(0);
        let value = *row.values.first()?;
        Some(match row.histograms.first().and_then(Option::as_ref) {
            Some(histogram) => Value::Histogram(Arc::clone(histogram)),
            None => Value::Float(value),
        })
    }
}
