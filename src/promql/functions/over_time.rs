//! Aggregates over the floats of a window, smoothing and regression.

use crate::model::Timestamp;

use super::numeric::{CompensatedSum, Mean, quantile};
use super::rate::seconds;

/// Sum; 0 without values.
pub(crate) fn sum(floats: &[f64]) -> f64 {
    let sum = floats.iter().fold(CompensatedSum::default(), |sum, value| sum.plus(*value));
    if sum.sum.is_infinite() { sum.sum } else { sum.value() }
}

/// Mean; `None` without values.
pub(crate) fn mean(floats: &[f64]) -> Option<f64> {
    let (first, rest) = floats.split_first()?;
    let mut mean = Mean::of(*first);
    rest.iter().for_each(|value| mean.add(*value));
    Some(mean.value())
}

/// The first place of the value that no other is better than; NaN only where there is nothing else.
fn best(floats: &[f64], better: impl Fn(f64, f64) -> bool) -> Option<usize> {
    let mut place = 0;
    let mut value = *floats.first()?;
    for (at, candidate) in floats.iter().enumerate() {
        if better(*candidate, value) || value.is_nan() {
            (place, value) = (at, *candidate);
        }
    }
    Some(place)
}

/// Largest value.
pub(crate) fn max(floats: &[f64]) -> Option<f64> {
    best(floats, |a, b| a > b).map(|at| floats[at])
}

/// Smallest value.
pub(crate) fn min(floats: &[f64]) -> Option<f64> {
    best(floats, |a, b| a < b).map(|at| floats[at])
}

/// Place of the last largest value.
pub(crate) fn place_of_max(floats: &[f64]) -> Option<usize> {
    best(floats, |a, b| a >= b)
}

/// Place of the last smallest value.
pub(crate) fn place_of_min(floats: &[f64]) -> Option<usize> {
    best(floats, |a, b| a <= b)
}

/// Population variance; NaN without values.
pub(crate) fn variance(floats: &[f64]) -> f64 {
    let mut count = 0.0;
    let mut mean = CompensatedSum::default();
    let mut squares = CompensatedSum::default();
    for value in floats {
        count += 1.0;
        let delta = value - mean.value();
        mean = mean.plus(delta / count);
        squares = squares.plus(delta * (value - mean.value()));
    }
    squares.value() / count
}

/// Median of the distances to the median; NaN where one value is.
pub(crate) fn median_absolute_deviation(floats: &[f64]) -> f64 {
    if floats.iter().any(|value| value.is_nan()) {
        return f64::NAN;
    }
    let mut values = floats.to_vec();
    let median = quantile(0.5, &mut values);
    values.iter_mut().for_each(|value| *value = (*value - median).abs());
    quantile(0.5, &mut values)
}

/// Slope per second and value at `at` of the line with the least squares. Needs one sample at least.
pub(crate) fn linear_regression(times: &[Timestamp], floats: &[f64], at: Timestamp) -> (f64, f64) {
    let first = floats[0];
    if floats.iter().all(|value| *value == first) || floats.len() == 1 {
        return if first.is_infinite() { (f64::NAN, f64::NAN) } else { (0.0, first) };
    }
    let (mut x_sum, mut y_sum) = (CompensatedSum::default(), CompensatedSum::default());
    let (mut xy_sum, mut xx_sum) = (CompensatedSum::default(), CompensatedSum::default());
    for (t, y) in times.iter().zip(floats) {
        let x = seconds(at, *t);
        x_sum = x_sum.plus(x);
        y_sum = y_sum.plus(*y);
        xy_sum = xy_sum.plus(x * y);
        xx_sum = xx_sum.plus(x * x);
    }
    let count = floats.len() as f64;
    let (x, y) = (x_sum.value(), y_sum.value());
    let covariance = xy_sum.value() - x * y / count;
    let variance = xx_sum.value() - x * x / count;
    let slope = covariance / variance;
    (slope, y / count - slope * x / count)
}

/// Holt's linear smoothing: the last smoothed value. `None` with fewer than two values.
pub(crate) fn double_exponential_smoothing(floats: &[f64], smoothing: f64, trend: f64) -> Option<f64> {
    if floats.len() < 2 {
        return None;
    }
    let mut before = 0.0;
    let mut smoothed = floats[0];
    let mut slope = floats[1] - floats[0];
    for (at, value) in floats.iter().enumerate().skip(1) {
        if at > 1 {
            slope = trend * (smoothed - before) + (1.0 - trend) * slope;
        }
        let next = smoothing * value + (1.0 - smoothing) * (smoothed + slope);
        (before, smoothed) = (smoothed, next);
    }
    Some(smoothed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nan_gives_way_to_numbers() {
        let floats = [f64::NAN, 2.0, f64::NAN, 1.0, 2.0];
        assert_eq!((max(&floats), min(&floats)), (Some(2.0), Some(1.0)));
        assert_eq!((place_of_max(&floats), place_of_min(&floats)), (Some(4), Some(3)));
        assert!(max(&[f64::NAN]).is_some_and(f64::is_nan));
        assert_eq!(max(&[]), None);
    }

    #[test]
    fn moments() {
        assert_eq!(sum(&[1e100, 1.0, -1e100]), 1.0);
        assert_eq!(mean(&[1.0, 2.0, 6.0]), Some(3.0));
        assert_eq!(variance(&[2.0, 4.0, 4.0, 4.0, 5.0, 5.0, 7.0, 9.0]), 4.0);
        assert_eq!(median_absolute_deviation(&[4.0, 6.0, 2.0, 1.0, 999.0, 1.0, 2.0]), 1.0);
        assert_eq!(sum(&[f64::INFINITY, 1.0]), f64::INFINITY);
    }

    #[test]
    fn lines_are_found() {
        let times = [0, 1000, 2000, 3000];
        let (slope, intercept) = linear_regression(&times, &[1.0, 3.0, 5.0, 7.0], 4000);
        assert!((slope - 2.0).abs() < 1e-12 && (intercept - 9.0).abs() < 1e-12);
        assert_eq!(linear_regression(&times[..2], &[5.0, 5.0], 0), (0.0, 5.0));
        assert!(linear_regression(&times[..2], &[f64::INFINITY; 2], 0).0.is_nan());
    }

    #[test]
    fn smoothing_follows_a_line() {
        let line: Vec<f64> = (0..10).map(f64::from).collect();
        let smoothed = double_exponential_smoothing(&line, 0.5, 0.5).expect("ten values");
        assert!((smoothed - 9.0).abs() < 1e-9, "{smoothed}");
        assert_eq!(double_exponential_smoothing(&[1.0], 0.5, 0.5), None);
    }
}
