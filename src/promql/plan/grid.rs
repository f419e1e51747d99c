//! The times at which an expression is evaluated.

use crate::model::Timestamp;

/// Evenly spaced times. An instant query has one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct StepGrid {
    /// First time.
    pub(crate) start: Timestamp,
    /// Distance, above 0.
    pub(crate) step_ms: i64,
    /// How many times; 0 where the end lies before the start.
    pub(crate) count: usize,
    /// Whether it was asked for as one instant: start and end are the same.
    pub(crate) is_instant: bool,
}

impl StepGrid {
    /// One time.
    pub(crate) const fn instant(at: Timestamp) -> Self {
        Self { start: at, step_ms: 1, count: 1, is_instant: true }
    }

    /// From `start` to at most `end`. `step_ms` must be above 0.
    pub(crate) fn range(start: Timestamp, end: Timestamp, step_ms: i64) -> Self {
        assert!(step_ms > 0, "steps go forward");
        let count = if end < start {
            0
        } else {
            usize::try_from((i128::from(end) - i128::from(start)) / i128::from(step_ms) + 1)
                .unwrap_or(usize::MAX)
        };
        Self { start, step_ms, count, is_instant: start == end }
    }

    /// The time of a step.
    pub(crate) fn time(&self, step: usize) -> Timestamp {
        self.start.saturating_add(self.step_ms.saturating_mul(i64::try_from(step).unwrap_or(i64::MAX)))
    }

    /// The last time; the start where there is none.
    pub(crate) fn last(&self) -> Timestamp {
        self.time(self.count.saturating_sub(1))
    }

    /// Only the first time.
    pub(crate) const fn first_step(&self) -> Self {
        Self { count: if self.count == 0 { 0 } else { 1 }, is_instant: true, ..*self }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_end_need_not_be_a_step() {
        let grid = StepGrid::range(10, 35, 10);
        assert_eq!((grid.count, grid.last(), grid.is_instant), (3, 30, false));
        assert_eq!(StepGrid::range(10, 9, 10).count, 0);
        assert!(StepGrid::range(10, 10, 10).is_instant);
        assert_eq!(StepGrid::range(i64::MIN, i64::MAX, 1).count, usize::MAX);
    }
}
