//! Which entries of a batch were not accepted.

use std::ops::Range;

use crate::storage::{Rejection, SampleKind};

/// The entries of a batch that are left out of log and head.
#[derive(Clone, Debug, Default)]
pub struct RejectedSet {
    /// Kind and index, sorted.
    entries: Vec<(u8, usize)>,
}

impl RejectedSet {
    /// Of these rejections, in any order.
    pub fn new(rejections: &[Rejection]) -> Self {
        let mut entries: Vec<(u8, usize)> = rejections.iter().map(|r| (r.kind as u8, r.index)).collect();
        entries.sort_unstable();
        Self { entries }
    }

    /// Whether nothing was rejected.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Whether this entry was rejected.
    pub fn contains(&self, kind: SampleKind, index: usize) -> bool {
        !self.entries.is_empty() && self.entries.binary_search(&(kind as u8, index)).is_ok()
    }

    /// How many of these entries were rejected.
    pub fn count_within(&self, kind: SampleKind, indexes: &Range<usize>) -> usize {
        let before = |index: usize| self.entries.partition_point(|entry| *entry < (kind as u8, index));
        if self.entries.is_empty() { 0 } else { before(indexes.end) - before(indexes.start) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::storage::RejectReason;

    #[test]
    fn kinds_are_told_apart() {
        let rejection = |kind, index| Rejection { kind, index, series: 0, reason: RejectReason::TooOld };
        let set = RejectedSet::new(&[
            rejection(SampleKind::Histogram, 4),
            rejection(SampleKind::Float, 7),
            rejection(SampleKind::Float, 4),
        ]);
        assert!(set.contains(SampleKind::Float, 4) && !set.contains(SampleKind::Histogram, 7));
        assert_eq!(set.count_within(SampleKind::Float, &(4..7)), 1);
        assert_eq!(set.count_within(SampleKind::Exemplar, &(0..9)), 0);
    }
}
