//! Which samples of a batch are accepted.

use std::collections::{BTreeMap, HashMap};

use crate::head::SeriesPlace;
use crate::model::{Fingerprint, Histogram, Timestamp};
use crate::storage::{Acceptance, Batch, DuplicatePolicy, OutOfOrder, RejectReason, Rejection, SampleKind};

/// What is stored of a series, as far as an acceptance may ask.
pub(super) trait Stored {
    /// Time of the series' newest sample; one that is older than the whole batch need not be told.
    fn newest(&self, place: SeriesPlace) -> Option<Timestamp>;

    /// The series' sample at that time.
    fn at_time(&self, place: SeriesPlace, timestamp: Timestamp) -> Option<Value>;
}

/// A sample's value, compared bit for bit.
#[derive(Clone, Debug)]
pub(super) enum Value {
    Float(f64),
    Histogram(std::sync::Arc<Histogram>),
}

impl Value {
    fn is_same(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Float(a), Self::Float(b)) => a.to_bits() == b.to_bits(),
            (Self::Histogram(a), Self::Histogram(b)) => a == b,
            _ => false,
        }
    }
}

/// Whether an acceptance asks for nothing but a sample's own time.
pub(super) fn is_stateless(acceptance: &Acceptance) -> bool {
    acceptance.out_of_order == OutOfOrder::Unlimited && acceptance.duplicate == DuplicatePolicy::LastWins
}

/// Judges a batch where only times count.
pub(super) fn judge_times(batch: &Batch, acceptance: &Acceptance) -> Vec<Rejection> {
    let span = acceptance.span;
    let all_inside = batch.floats.iter().all(|entry| span.contains(entry.timestamp))
        && batch.histograms.iter().all(|entry| span.contains(entry.timestamp));
    if all_inside {
        return Vec::new();
    }
    judge_each(batch, |_, timestamp, _| acceptance.judge(timestamp, None, None))
}

/// Judges a batch where what is stored counts, and what the batch itself holds before each sample.
pub(super) fn judge_stored(
    batch: &Batch,
    places: &[SeriesPlace],
    acceptance: &Acceptance,
    stored: &dyn Stored,
) -> Vec<Rejection> {
    let mut seen: HashMap<Fingerprint, Seen> = HashMap::new();
    judge_each(batch, |series, timestamp, value| {
        let place = places[series];
        let seen = seen
            .entry(place.fingerprint)
            .or_insert_with(|| Seen { newest: stored.newest(place), accepted: BTreeMap::new() });
        let same_at_time = match seen.accepted.get(&timestamp) {
            Some(before) => Some(before.is_same(&value)),
            // Nothing can be stored behind the newest.
            None if seen.newest.is_none_or(|newest| timestamp > newest) => None,
            None => stored.at_time(place, timestamp).map(|before| before.is_same(&value)),
        };
        acceptance.judge(timestamp, seen.newest, same_at_time)?;
        seen.newest = seen.newest.max(Some(timestamp));
        seen.accepted.insert(timestamp, value);
        Ok(())
    })
}

/// A series of the batch, with what was accepted so far.
struct Seen {
    newest: Option<Timestamp>,
    accepted: BTreeMap<Timestamp, Value>,
}

fn judge_each(
    batch: &Batch,
    mut judge: impl FnMut(usize, Timestamp, Value) -> Result<(), RejectReason>,
) -> Vec<Rejection> {
    let mut rejections = Vec::new();
    for (number, series) in batch.series.iter().enumerate() {
        let mut reject = |kind, index, verdict: Result<(), RejectReason>| {
            if let Err(reason) = verdict {
                rejections.push(Rejection { kind, index, series: number, reason });
            }
        };
        for index in series.floats.clone() {
            let entry = &batch.floats[index];
            reject(SampleKind::Float, index, judge(number, entry.timestamp, Value::Float(entry.value)));
        }
        for index in series.histograms.clone() {
            let entry = &batch.histograms[index];
            let value = Value::Histogram(std::sync::Arc::clone(&entry.histogram));
            reject(SampleKind::Histogram, index, judge(number, entry.timestamp, value));
        }
    }
    rejections
}
