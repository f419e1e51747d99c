//! Observations with quantiles of the recent ones.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use crate::lock::lock;

/// How long an observation counts for quantiles; as in upstream's client.
const AGE_MAX: Duration = Duration::from_secs(10 * 60);
/// Most observations that are kept for quantiles.
const RECENT_MAX: usize = 1_000;

/// Observations with their count and sum, and exact quantiles of the latest thousand that are not older than ten
/// minutes.
#[derive(Clone, Debug, Default)]
pub struct Summary(Arc<Mutex<Observed>>);

#[derive(Debug, Default)]
struct Observed {
    count: u64,
    sum: f64,
    /// Oldest first.
    recent: VecDeque<(Instant, f64)>,
}

impl Summary {
    /// Counts one observation.
    pub fn observe(&self, value: f64) {
        self.observe_at(Instant::now(), value);
    }

    /// How many observations there were.
    pub fn count(&self) -> u64 {
        lock(&self.0).count
    }

    /// All observations together.
    pub fn sum(&self) -> f64 {
        lock(&self.0).sum
    }

    /// The smallest recent value that at least the share `q` of the recent ones do not exceed, for each of
    /// `quantiles`; NaN where there is no recent one.
    pub fn quantiles(&self, quantiles: &[f64]) -> Vec<f64> {
        self.quantiles_at(Instant::now(), quantiles)
    }

    fn observe_at(&self, now: Instant, value: f64) {
        let mut observed = lock(&self.0);
        observed.count += 1;
        observed.sum += value;
        if observed.recent.len() == RECENT_MAX {
            observed.recent.pop_front();
        }
        observed.recent.push_back((now, value));
    }

    fn quantiles_at(&self, now: Instant, quantiles: &[f64]) -> Vec<f64> {
        let mut values: Vec<f64> = {
            let mut observed = lock(&self.0);
            let expired = observed.recent.partition_point(|(at, _)| now.duration_since(*at) > AGE_MAX);
            observed.recent.drain(..expired);
            observed.recent.iter().map(|(_, value)| *value).collect()
        };
        values.sort_by(f64::total_cmp);
        let rank = |q: f64| (q * values.len() as f64).ceil() as usize;
        quantiles
            .iter()
            .map(|q| values.get(rank(*q).saturating_sub(1)).copied().unwrap_or(f64::NAN))
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_are_those_of_the_recent_observations() {
        let summary = Summary::default();
        let began = Instant::now();
        assert!(summary.quantiles_at(began, &[0.5])[0].is_nan());
        for value in (1..=100).rev() {
            summary.observe_at(began, f64::from(value));
        }
        assert_eq!(summary.quantiles_at(began, &[0.0, 0.5, 0.9, 0.99, 1.0]), [1.0, 50.0, 90.0, 99.0, 100.0]);
        let later = began + AGE_MAX;
        summary.observe_at(later, 7.0);
        assert_eq!(summary.quantiles_at(later, &[1.0]), [100.0]);
        assert_eq!(summary.quantiles_at(later + Duration::from_millis(1), &[0.01, 0.99]), [7.0, 7.0]);
        assert_eq!((summary.count(), summary.sum()), (101, 5_057.0));
        for _ in 0..2 * RECENT_MAX {
            summary.observe_at(later, 1.0);
        }
        assert_eq!(lock(&summary.0).recent.len(), RECENT_MAX);
        assert_eq!(summary.quantiles_at(later, &[1.0]), [1.0]);
    }
}
