//! The series of the log: their numbers, and the newest sample of each.

use std::collections::HashMap;

use crate::model::{Fingerprint, Labels, TenantId, Timestamp};
use crate::storage::{Acceptance, Batch, Outcome, Rejection, SampleKind};
use crate::wal::SeriesUse;

/// Log files in which a series does not occur before it is forgotten.
const IDLE_FILES_MAX: u64 = 2;

/// All series that were written to lately.
#[derive(Debug, Default)]
pub(super) struct SeriesTable {
    series: HashMap<(TenantId, Fingerprint), Known>,
    /// Numbers are given once while the process lives.
    next_reference: u64,
    /// The log file that is being written.
    file: u64,
}

#[derive(Clone, Copy, Debug)]
struct Known {
    reference: u64,
    /// The newest sample; of a histogram the time alone is known.
    newest: Option<(Timestamp, Option<u64>)>,
    used_in: u64,
}

impl SeriesTable {
    /// How many there are.
    pub(super) fn len(&self) -> usize {
        self.series.len()
    }

    /// A new log file begins: forgets what was not written to for long.
    pub(super) fn begin_file(&mut self, number: u64) {
        self.file = number;
        self.series.retain(|_, known| known.used_in.saturating_add(IDLE_FILES_MAX) >= number);
    }

    /// Numbers of a batch's series, and what of it is not acceptable.
    pub(super) fn admit(
        &mut self,
        tenant: &TenantId,
        batch: &Batch,
        acceptance: &Acceptance,
    ) -> (Vec<SeriesUse>, Outcome) {
        let mut outcome = Outcome { exemplars: batch.exemplars.len(), ..Outcome::default() };
        let mut used = Vec::with_capacity(batch.series.len());
        for (index, series) in batch.series.iter().enumerate() {
            let labels = Labels::from_bytes(batch.labels_of(series)).expect("a batch holds canonical labels");
            let fingerprint = labels.fingerprint();
            let known = self.series.entry((tenant.clone(), fingerprint)).or_insert_with(|| {
                self.next_reference += 1;
                Known { reference: self.next_reference - 1, newest: None, used_in: self.file }
            });
            known.used_in = self.file;
            used.push(SeriesUse { reference: known.reference, fingerprint });
            let mut judge = |kind, at, timestamp, bits| match known.judge(timestamp, bits, acceptance) {
                Ok(()) => true,
                Err(reason) => {
                    outcome.rejections.push(Rejection { kind, index: at, series: index, reason });
                    false
                }
            };
            for at in series.floats.clone() {
                let entry = &batch.floats[at];
                let bits = Some(entry.value.to_bits());
                outcome.floats += usize::from(judge(SampleKind::Float, at, entry.timestamp, bits));
            }
            for at in series.histograms.clone() {
                let timestamp = batch.histograms[at].timestamp;
                outcome.histograms += usize::from(judge(SampleKind::Histogram, at, timestamp, None));
            }
        }
        (used, outcome)
    }
}

impl Known {
    fn judge(
        &mut self,
        timestamp: Timestamp,
        bits: Option<u64>,
        acceptance: &Acceptance,
    ) -> Result<(), crate::storage::RejectReason> {
        // Only the newest sample's value is known here; what a receiver does with an older one is its own rule.
        let same = self.newest.filter(|newest| newest.0 == timestamp).map(|newest| newest.1 == bits);
        acceptance.judge(timestamp, self.newest.map(|newest| newest.0), same)?;
        if self.newest.is_none_or(|newest| newest.0 <= timestamp) {
            self.newest = Some((timestamp, bits));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::storage::RejectReason;

    fn batch(samples: &[(i64, f64)]) -> Batch {
        let mut batch = Batch::default();
        batch.begin_series(&Labels::from_pairs([("__name__", "m")]));
        samples.iter().for_each(|(time, value)| batch.push_float(*time, 0, *value));
        batch
    }

    #[test]
    fn samples_behind_the_newest_one_are_refused_where_the_caller_says_so() {
        let mut table = SeriesTable::default();
        let tenant = TenantId::default();
        let (used, outcome) = table.admit(&tenant, &batch(&[(5, 1.0)]), &Acceptance::IN_ORDER);
        assert_eq!((used[0].reference, outcome.floats), (0, 1));
        let (used, outcome) =
            table.admit(&tenant, &batch(&[(4, 1.0), (5, 1.0), (5, 2.0), (6, 1.0)]), &Acceptance::IN_ORDER);
        assert_eq!((used[0].reference, outcome.floats), (0, 2));
        let reasons: Vec<RejectReason> = outcome.rejections.iter().map(|r| r.reason).collect();
        assert_eq!(reasons, [RejectReason::OutOfOrder, RejectReason::DuplicateTime]);
        let (_, outcome) = table.admit(&tenant, &batch(&[(1, 1.0)]), &Acceptance::EVERYTHING);
        assert_eq!(outcome.floats, 1);
    }

    #[test]
    fn series_that_nobody_writes_are_forgotten() {
        let mut table = SeriesTable::default();
        table.begin_file(1);
        table.admit(&TenantId::default(), &batch(&[(5, 1.0)]), &Acceptance::IN_ORDER);
        table.begin_file(3);
        assert_eq!(table.len(), 1);
        table.begin_file(4);
        assert_eq!(table.len(), 0);
        let (used, _) = table.admit(&TenantId::default(), &batch(&[(5, 1.0)]), &Acceptance::IN_ORDER);
        assert_eq!(used[0].reference, 1, "numbers are given once");
    }
}
