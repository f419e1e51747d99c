//! Compares what a query answered with what a script expects.

use crate::model::{FloatHistogram, Labels, Timestamp, is_stale};
use crate::promql::functions::native::indexed;
use crate::promql::parse::SequenceValue;
use crate::promql::{MatrixSeries, QueryValue, SampleValue, VectorSample};

use super::describe::describe;
use super::expect::{Expectations, ExpectedResult, ExpectedSeries, Grid};

/// Relative difference that two values may have.
const TOLERANCE: f64 = 1e-6;

/// Whether `value` is what is expected; `grid` places the expected values of a matrix.
pub(super) fn judge(expectations: &Expectations, grid: Grid, value: &QueryValue) -> Result<(), String> {
    match value {
        QueryValue::String { v, .. } => {
            let expected = expectations.string.as_deref().unwrap_or_default();
            let text = String::from_utf8_lossy;
            equal(expected == v, || format!("expected string {:?} but got {:?}", text(expected), text(v)))
        }
        QueryValue::Scalar { v, .. } => match expectations.result {
            ExpectedResult::Scalar(expected) => {
                equal(almost_equal(expected, *v), || format!("expected scalar {expected} but got {v}"))
            }
            ExpectedResult::Series(_) => Err(format!("expected vector or matrix result, but got scalar {v}")),
        },
        QueryValue::Vector(samples) => {
            judge_vector(expected_series(expectations, "vector")?, expectations.ordered, samples)
        }
        QueryValue::Matrix(_) if expectations.ordered => {
            Err("expected ordered result, but query returned a matrix".to_owned())
        }
        QueryValue::Matrix(series) => judge_matrix(expected_series(expectations, "matrix")?, grid, series),
    }
}

fn equal(is_equal: bool, message: impl FnOnce() -> String) -> Result<(), String> {
    if is_equal { Ok(()) } else { Err(message()) }
}

fn expected_series<'a>(expectations: &'a Expectations, got: &str) -> Result<&'a [ExpectedSeries], String> {
    match &expectations.result {
        ExpectedResult::Series(series) => Ok(series),
        ExpectedResult::Scalar(_) => Err(format!("expected scalar result, but got {got}")),
    }
}

fn find<'a>(expected: &'a [ExpectedSeries], labels: &Labels) -> Option<&'a ExpectedSeries> {
    expected.iter().find(|series| series.labels == *labels)
}

/// Every expected series must be among `found`.
fn check_complete<'a>(
    expected: &[ExpectedSeries],
    found: impl Iterator<Item = &'a Labels> + Clone,
) -> Result<(), String> {
    let is_found = |series: &ExpectedSeries| found.clone().any(|labels| *labels == series.labels);
    match expected.iter().find(|series| !is_found(series)) {
        Some(series) => Err(format!("expected metric {} not found", series.labels)),
        None => Ok(()),
    }
}

fn judge_vector(expected: &[ExpectedSeries], ordered: bool, samples: &[VectorSample]) -> Result<(), String> {
    for (index, sample) in samples.iter().enumerate() {
        let labels = &sample.labels;
        let Some(series) = find(expected, labels) else {
            return Err(format!("unexpected metric {labels} in result, has value {}", show(&sample.value)));
        };
        if ordered && series.ordinal != index + 1 {
            let (wanted, got) = (series.ordinal, index + 1);
            return Err(format!("expected metric {labels} at position {wanted} but was at {got}"));
        }
        let Some(value) = series.values.first() else {
            return Err(format!("no value is expected for {labels}"));
        };
        let is_equal = match (value, &sample.value) {
            (SequenceValue::Histogram { histogram, hint_is_set }, SampleValue::Histogram(found)) => {
                histograms_equal(histogram, found, *hint_is_set)
            }
            (SequenceValue::Float(expected), SampleValue::Float(found)) => almost_equal(*expected, *found),
            // As upstream has it: a position left out stands for zero.
            (SequenceValue::Omitted, SampleValue::Float(found)) => almost_equal(0.0, *found),
            _ => false,
        };
        equal(is_equal, || {
            format!("expected {} for {labels} but got {}", show_expected(value), show(&sample.value))
        })?;
    }
    check_complete(expected, samples.iter().map(|sample| &sample.labels))
}

fn judge_matrix(expected: &[ExpectedSeries], grid: Grid, found: &[MatrixSeries]) -> Result<(), String> {
    check_sorted(found)?;
    for series in found {
        let labels = &series.labels;
        let Some(wanted) = find(expected, labels) else {
            return Err(format!("unexpected metric {labels} in result, has {}", show_series(series)));
        };
        judge_points(wanted, grid, series)?;
    }
    check_complete(expected, found.iter().map(|series| &series.labels))
}

/// Series of a matrix stand in label order.
pub(super) fn check_sorted(series: &[MatrixSeries]) -> Result<(), String> {
    match series.windows(2).find(|pair| pair[0].labels > pair[1].labels) {
        Some(pair) => Err(format!(
            "matrix results should always be sorted by labels, but {} stands before {}",
            pair[0].labels, pair[1].labels
        )),
        None => Ok(()),
    }
}

fn judge_points(expected: &ExpectedSeries, grid: Grid, found: &MatrixSeries) -> Result<(), String> {
    let labels = &found.labels;
    let mut floats: Vec<(Timestamp, f64)> = Vec::new();
    let mut histograms: Vec<(Timestamp, &FloatHistogram, bool)> = Vec::new();
    let mut t = grid.start;
    for value in &expected.values {
        if t > grid.end {
            let count = expected.values.len();
            return Err(format!("expected {count} points for {labels}, more than the time range can have"));
        }
        match value {
            SequenceValue::Omitted => {}
            SequenceValue::Float(value) => floats.push((t, *value)),
            SequenceValue::Histogram { histogram, hint_is_set } => {
                histograms.push((t, histogram, *hint_is_set));
            }
        }
        t = t.saturating_add(grid.step_ms);
    }
    equal(floats.len() == found.floats.len() && histograms.len() == found.histograms.len(), || {
        let (floats, histograms) = (floats.len(), histograms.len());
        let found = show_series(found);
        format!(
            "expected {floats} float points and {histograms} histogram points for {labels}, but got {found}"
        )
    })?;
    for (expected, point) in floats.iter().zip(&found.floats) {
        equal(expected.0 == point.0 && almost_equal(expected.1, point.1), || {
            let found = show_series(found);
            format!(
                "expected {} @[{}] for {labels}, but got {} @[{}] (result has {found})",
                expected.1, expected.0, point.1, point.0
            )
        })?;
    }
    for ((t, expected, hint_is_set), point) in histograms.iter().zip(&found.histograms) {
        equal(*t == point.0 && histograms_equal(expected, &point.1, *hint_is_set), || {
            let (expected, got) = (describe(expected), describe(&point.1));
            format!("expected {expected} @[{t}] for {labels}, but got {got} @[{}]", point.0)
        })?;
    }
    Ok(())
}

/// Upstream's comparison: relative, exact near zero; NaNs are equal to each other, the stale marker to itself.
pub(super) fn almost_equal(a: f64, b: f64) -> bool {
    if is_stale(a) || is_stale(b) {
        return is_stale(a) && is_stale(b);
    }
    if a == b || (a.is_nan() && b.is_nan()) {
        return true;
    }
    let sum = a.abs() + b.abs();
    let difference = (a - b).abs();
    if a == 0.0 || b == 0.0 || sum < f64::MIN_POSITIVE {
        return difference < TOLERANCE * f64::MIN_POSITIVE;
    }
    difference / sum.min(f64::MAX) < TOLERANCE
}

/// Compares without empty buckets; the reset hint counts where the script named one.
fn histograms_equal(expected: &FloatHistogram, found: &FloatHistogram, hint_is_set: bool) -> bool {
    expected.schema == found.schema
        && almost_equal(expected.count, found.count)
        && almost_equal(expected.sum, found.sum)
        && expected.custom_values == found.custom_values
        && expected.zero_threshold == found.zero_threshold
        && almost_equal(expected.zero_count, found.zero_count)
        && sides_equal(
            indexed(&expected.positive_spans, &expected.positive_buckets),
            indexed(&found.positive_spans, &found.positive_buckets),
        )
        && sides_equal(
            indexed(&expected.negative_spans, &expected.negative_buckets),
            indexed(&found.negative_spans, &found.negative_buckets),
        )
        && (!hint_is_set || expected.counter_reset_hint == found.counter_reset_hint)
}

fn sides_equal(expected: impl Iterator<Item = (i32, f64)>, found: impl Iterator<Item = (i32, f64)>) -> bool {
    let populated = |bucket: &(i32, f64)| bucket.1 != 0.0;
    let expected: Vec<(i32, f64)> = expected.filter(populated).collect();
    let found: Vec<(i32, f64)> = found.filter(populated).collect();
    expected.len() == found.len()
        && expected.iter().zip(&found).all(|(a, b)| a.0 == b.0 && almost_equal(a.1, b.1))
}

fn show(value: &SampleValue) -> String {
    match value {
        SampleValue::Float(value) => value.to_string(),
        SampleValue::Histogram(histogram) => describe(histogram),
    }
}

fn show_expected(value: &SequenceValue) -> String {
    match value {
        SequenceValue::Omitted => "nothing".to_owned(),
        SequenceValue::Float(value) => value.to_string(),
        SequenceValue::Histogram { histogram, .. } => describe(histogram),
    }
}

fn show_series(series: &MatrixSeries) -> String {
    let floats: Vec<String> = series.floats.iter().map(|(t, v)| format!("{v} @[{t}]")).collect();
    let histograms: Vec<String> =
        series.histograms.iter().map(|(t, h)| format!("{} @[{t}]", describe(h))).collect();
    format!("floats {floats:?} and histograms {histograms:?}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::stale_nan;

    #[test]
    fn values_are_almost_equal_as_upstream_has_it() {
        assert!(almost_equal(1.0, 1.000_001) && !almost_equal(1.0, 1.000_01));
        assert!(almost_equal(0.0, -0.0) && !almost_equal(0.0, 1e-300));
        assert!(almost_equal(f64::NAN, f64::NAN) && !almost_equal(f64::NAN, stale_nan()));
        assert!(almost_equal(stale_nan(), stale_nan()));
        assert!(almost_equal(f64::INFINITY, f64::INFINITY) && !almost_equal(f64::INFINITY, f64::MAX));
        assert!(almost_equal(f64::MAX, f64::MAX * (1.0 - 1e-9)));
    }

    fn expect(text: &str, values: &[f64], ordinal: usize) -> ExpectedSeries {
        let values = values.iter().map(|value| SequenceValue::Float(*value)).collect();
        ExpectedSeries { labels: Labels::from_pairs([("a", text)]), values, ordinal }
    }

    fn sample(text: &str, value: f64) -> VectorSample {
        VectorSample { labels: Labels::from_pairs([("a", text)]), t: 0, value: SampleValue::Float(value) }
    }

    #[test]
    fn vectors_must_hold_the_same_series() {
        let expected = [expect("1", &[1.0], 1), expect("2", &[2.0], 2)];
        assert_eq!(judge_vector(&expected, false, &[sample("2", 2.0), sample("1", 1.0)]), Ok(()));
        assert!(judge_vector(&expected, true, &[sample("2", 2.0), sample("1", 1.0)]).is_err());
        assert!(judge_vector(&expected, false, &[sample("1", 1.0)]).is_err());
        assert!(judge_vector(&expected, false, &[sample("1", 1.0), sample("2", 3.0)]).is_err());
        assert!(judge_vector(&expected[..1], false, &[sample("1", 1.0), sample("2", 2.0)]).is_err());
    }

    #[test]
    fn matrices_must_hold_the_same_points() {
        let grid = Grid { start: 0, end: 20, step_ms: 10 };
        let series = |floats: &[(Timestamp, f64)]| MatrixSeries {
            labels: Labels::from_pairs([("a", "1")]),
            floats: floats.to_vec(),
            histograms: Vec::new(),
        };
        let expected = [expect("1", &[1.0, 2.0], 1)];
        assert_eq!(judge_matrix(&expected, grid, &[series(&[(0, 1.0), (10, 2.0)])]), Ok(()));
        assert!(judge_matrix(&expected, grid, &[series(&[(0, 1.0), (20, 2.0)])]).is_err());
        assert!(judge_matrix(&expected, grid, &[series(&[(0, 1.0)])]).is_err());
        assert!(judge_matrix(&[expect("1", &[1.0; 4], 1)], grid, &[series(&[(0, 1.0)])]).is_err());
    }
}
