//! Time as an argument: the real clock, and one that a test moves.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

use crate::model::Timestamp;

/// Where a part of the program learns what time it is.
#[derive(Clone, Debug, Default)]
pub enum Clock {
    /// The system's wall clock.
    #[default]
    System,
    /// A clock that stands still until it is moved.
    Simulated(SimulatedClock),
}

impl Clock {
    /// Milliseconds since the epoch.
    pub fn now_ms(&self) -> Timestamp {
        self.now_us().div_euclid(1_000)
    }

    /// Microseconds since the epoch.
    pub fn now_us(&self) -> i64 {
        match self {
            Self::System => SystemTime::now()
                .duration_since(UNIX_EPOCH)
                .map_or(0, |since| i64::try_from(since.as_micros()).unwrap_or(i64::MAX)),
            Self::Simulated(clock) => clock.micros.load(Ordering::SeqCst),
        }
    }
}

/// Shared hands of a simulated clock.
#[derive(Clone, Debug, Default)]
pub struct SimulatedClock {
    micros: Arc<AtomicI64>,
}

impl SimulatedClock {
    /// A clock that shows `t`.
    pub fn at_ms(t: Timestamp) -> Self {
        let clock = Self::default();
        clock.set_ms(t);
        clock
    }

    /// Sets the clock, forwards or backwards.
    pub fn set_ms(&self, t: Timestamp) {
        self.micros.store(t.saturating_mul(1_000), Ordering::SeqCst);
    }

    /// Moves the clock by `ms`.
    pub fn advance_ms(&self, ms: i64) {
        self.micros.fetch_add(ms.saturating_mul(1_000), Ordering::SeqCst);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn simulated_time_moves_only_by_hand() {
        let hands = SimulatedClock::at_ms(5_000);
        let clock = Clock::Simulated(hands.clone());
        assert_eq!(clock.now_ms(), 5_000);
        hands.advance_ms(-1);
        assert_eq!(clock.now_ms(), 4_999);
        assert!(Clock::System.now_ms() > 1_700_000_000_000);
    }
}
