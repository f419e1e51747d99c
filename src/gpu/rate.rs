//! Growth of the driver's counts between two readings.

/// A count that was read before, and when.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Rate {
    before: Option<(i64, u64)>,
}

impl Rate {
    /// Growth per second since the last call; none the first time, where the clock did not move on, and where the count
    /// fell, as it does when the driver is loaded anew. `now_us`: microseconds.
    pub(super) fn advance(&mut self, now_us: i64, count: u64) -> Option<f64> {
        let (then_us, before) = self.before.replace((now_us, count))?;
        let growth = count.checked_sub(before)?;
        let elapsed_us = now_us.checked_sub(then_us).filter(|elapsed| *elapsed > 0)?;
        Some(growth as f64 * 1e6 / elapsed_us as f64)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rate_needs_two_counts_that_grow_over_time() {
        let mut rate = Rate::default();
        assert_eq!(rate.advance(1_000_000, 100), None);
        assert_eq!(rate.advance(3_000_000, 500), Some(200.0));
        assert_eq!(rate.advance(3_000_000, 600), None, "no time has passed");
        assert_eq!(rate.advance(4_000_000, 5), None, "the count fell");
        assert_eq!(rate.advance(5_000_000, 6), Some(1.0));
    }
}
