//! The windows of time that segments keep to: aligned to the epoch, each nested in the next coarser one.

use crate::model::{TimeSpan, Timestamp};

/// An hour in milliseconds.
pub(super) const HOUR_MS: i64 = 3_600_000;
/// A day in milliseconds.
const DAY_MS: i64 = 24 * HOUR_MS;

/// Lengths of windows, from fine to coarse; each divides the next.
pub(super) const WINDOWS_MS: [i64; 4] = [2 * HOUR_MS, DAY_MS, 8 * DAY_MS, 32 * DAY_MS];

const _: () = assert!(
    WINDOWS_MS[1] % WINDOWS_MS[0] == 0
        && WINDOWS_MS[2] % WINDOWS_MS[1] == 0
        && WINDOWS_MS[3] % WINDOWS_MS[2] == 0,
    "windows are nested"
);

/// Up to which age a flush cuts by windows of that length. With these there are at most 24 + 15 + 15 windows up to
/// 128 days, so that ordinary late data stays within the outputs that a flush may have.
const AGES_MS: [i64; 4] = [2 * DAY_MS, 16 * DAY_MS, 128 * DAY_MS, i64::MAX];

/// The window of that length around `t`.
pub(super) fn window_around(t: Timestamp, length_ms: i64) -> TimeSpan {
    let start = t.div_euclid(length_ms).saturating_mul(length_ms);
    TimeSpan::new(start, start.saturating_add(length_ms - 1))
}

/// The longest window in use: a tenth of the retention, so that expiry drops at most so much too late.
pub(super) fn longest_window_ms(retention_ms: i64) -> i64 {
    let bound = if retention_ms <= 0 { i64::MAX } else { (retention_ms / 10).max(DAY_MS) };
    let fitting = WINDOWS_MS.iter().rev().find(|length| **length <= bound);
    *fitting.expect("the bound is a day or more")
}

/// The window that a flush puts a sample into: the older, the coarser.
pub(super) fn flush_window(t: Timestamp, newest: Timestamp, longest_ms: i64) -> TimeSpan {
    let age = newest.saturating_sub(t);
    let level = AGES_MS.iter().position(|bound| age < *bound).unwrap_or(WINDOWS_MS.len() - 1);
    window_around(t, WINDOWS_MS[level].min(longest_ms))
}

/// The length of an aligned window; `None` for any other span (an overlay's).
pub(super) fn window_length(window: TimeSpan) -> Option<i64> {
    WINDOWS_MS.into_iter().find(|length| window_around(window.start, *length) == window)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn older_samples_get_coarser_windows() {
        let now = 1_700_000_000_000;
        let lengths = [0, 1, 3, 20, 200].map(|days| {
            let window = flush_window(now - days * DAY_MS, now, i64::MAX);
            assert!(window.contains(now - days * DAY_MS));
            window_length(window).expect("it is aligned") / HOUR_MS
        });
        assert_eq!(lengths, [2, 2, 24, 192, 768]);
        assert_eq!(window_length(flush_window(now - 200 * DAY_MS, now, DAY_MS)), Some(DAY_MS));
        assert_eq!(window_length(TimeSpan::new(0, 5)), None);
    }

    #[test]
    fn extreme_times_have_windows() {
        for t in [i64::MIN, -1, 0, i64::MAX] {
            assert!(flush_window(t, i64::MAX, i64::MAX).start <= t.max(i64::MIN + 32 * DAY_MS));
        }
        assert_eq!(window_around(-1, 2 * HOUR_MS), TimeSpan::new(-2 * HOUR_MS, -1));
    }

    #[test]
    fn retention_bounds_windows() {
        assert_eq!(longest_window_ms(0), 32 * DAY_MS);
        assert_eq!(longest_window_ms(15 * DAY_MS), DAY_MS);
        assert_eq!(longest_window_ms(100 * DAY_MS), 8 * DAY_MS);
    }
}
