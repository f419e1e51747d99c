//! Sums, means and quantiles with upstream's care for rounding.

/// A sum with what rounding has lost of it (Kahan's sum with Neumaier's change).
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct CompensatedSum {
    /// The sum.
    pub(crate) sum: f64,
    /// What to add to it.
    pub(crate) compensation: f64,
}

impl CompensatedSum {
    /// A sum of one value.
    pub(crate) const fn of(value: f64) -> Self {
        Self { sum: value, compensation: 0.0 }
    }

    /// The sum with `value` added.
    #[inline]
    pub(crate) fn plus(self, value: f64) -> Self {
        let total = self.sum + value;
        let compensation = if total.is_infinite() {
            0.0
        } else if self.sum.abs() >= value.abs() {
            self.compensation + ((self.sum - total) + value)
        } else {
            self.compensation + ((value - total) + self.sum)
        };
        Self { sum: total, compensation }
    }

    /// The sum, rounded once.
    pub(crate) fn value(self) -> f64 {
        self.sum + self.compensation
    }
}

/// A mean, computed as sum by count until the sum would overflow, then from mean to mean.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Mean {
    /// The sum, or the mean once `incremental`.
    total: CompensatedSum,
    count: f64,
    incremental: bool,
}

impl Mean {
    /// The mean of one value.
    pub(crate) const fn of(value: f64) -> Self {
        Self { total: CompensatedSum::of(value), count: 1.0, incremental: false }
    }

    /// The mean with one value more.
    pub(crate) fn add(&mut self, value: f64) {
        self.count += 1.0;
        let before = self.count - 1.0;
        if !self.incremental {
            let total = self.total.plus(value);
            if !total.sum.is_infinite() {
                self.total = total;
                return;
            }
            self.incremental = true;
            self.total.sum /= before;
            self.total.compensation /= before;
        }
        let share = before / self.count;
        let scaled =
            CompensatedSum { sum: share * self.total.sum, compensation: share * self.total.compensation };
        self.total = scaled.plus(value / self.count);
    }

    /// The mean.
    pub(crate) fn value(&self) -> f64 {
        if self.incremental {
            self.total.value()
        } else {
            self.total.sum / self.count + self.total.compensation / self.count
        }
    }
}

/// The quantile `q` of `values`, interpolated between neighbours; sorts them, NaN lowest.
/// NaN without values or for a NaN `q`; infinite for a `q` outside 0 to 1.
pub(crate) fn quantile(q: f64, values: &mut [f64]) -> f64 {
    if values.is_empty() || q.is_nan() {
        return f64::NAN;
    }
    if q < 0.0 {
        return f64::NEG_INFINITY;
    }
    if q > 1.0 {
        return f64::INFINITY;
    }
    values.sort_unstable_by(nan_first);
    let last = values.len() - 1;
    let rank = q * last as f64;
    let lower = rank.floor().max(0.0) as usize;
    let upper = (lower + 1).min(last);
    let weight = rank - rank.floor();
    values[lower.min(last)] * (1.0 - weight) + values[upper] * weight
}

/// Rising, NaN below everything.
pub(crate) fn nan_first(a: &f64, b: &f64) -> std::cmp::Ordering {
    a.partial_cmp(b).unwrap_or_else(|| b.is_nan().cmp(&a.is_nan()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cancellation_loses_nothing() {
        let values = [1e100, 1.0, -1e100, 1.0];
        let sum = values[1..].iter().fold(CompensatedSum::of(values[0]), |sum, v| sum.plus(*v));
        assert_eq!(sum.value(), 2.0);
    }

    #[test]
    fn a_mean_survives_an_overflowing_sum() {
        let mut mean = Mean::of(f64::MAX);
        mean.add(f64::MAX);
        mean.add(f64::MAX);
        assert!((mean.value() / f64::MAX - 1.0).abs() < 1e-15);
        let mut mean = Mean::of(1.0);
        mean.add(2.0);
        assert_eq!(mean.value(), 1.5);
        let mut mean = Mean::of(f64::INFINITY);
        mean.add(1.0);
        assert_eq!(mean.value(), f64::INFINITY);
    }

    #[test]
    fn quantiles_interpolate() {
        assert_eq!(quantile(0.5, &mut [3.0, 1.0, 2.0]), 2.0);
        assert_eq!(quantile(0.25, &mut [4.0, 2.0]), 2.5);
        assert_eq!(quantile(1.0, &mut [1.0, 2.0]), 2.0);
        assert_eq!(quantile(1.5, &mut [1.0]), f64::INFINITY);
        assert!(quantile(0.5, &mut []).is_nan());
        assert!(quantile(0.0, &mut [1.0, f64::NAN]).is_nan());
    }
}
