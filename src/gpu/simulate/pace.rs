//! The simulation's time beside the clock's.

/// Where the simulation's time begins: 2023-11-14 22:00:00 UTC, so that its quarters of an hour are the clock's.
const BEGINNING_US: i64 = 1_699_999_200_000_000;

/// How fast the simulation's time passes.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Pace {
    speed: f64,
}

impl Pace {
    /// `speed`: seconds of the simulation in one of the clock's, above zero.
    pub(super) fn new(speed: f64) -> Self {
        debug_assert!(speed > 0.0 && speed.is_finite());
        Self { speed }
    }

    pub(super) fn speed(self) -> f64 {
        self.speed
    }

    /// Seconds of the simulation at a time of the clock, in microseconds since the epoch.
    pub(super) fn seconds(self, now_us: i64) -> f64 {
        now_us.saturating_sub(BEGINNING_US) as f64 / 1e6 * self.speed
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quarters_of_an_hour_are_the_clocks() {
        let quarter_us = 1_700_001_000_000_000;
        assert_eq!(quarter_us / 1_000_000 % 900, 0);
        assert_eq!(Pace::new(1.0).seconds(quarter_us), 1_800.0);
        assert_eq!(Pace::new(4.0).seconds(quarter_us), 7_200.0);
    }
}
