//! Quantiles and fractions of native histograms.

use crate::model::{CUSTOM_BUCKETS_SCHEMA, FloatHistogram};

use super::native::{NativeBucket, buckets};

const NAN_RESULT: &str = "input to histogram_quantile has NaN observations, result is NaN";
const NAN_SKEW: &str = "input to histogram_quantile has NaN observations, result is skewed higher";
const NAN_EXCLUDED: &str =
    "input to histogram_fraction has NaN observations, which are excluded from all fractions";

/// A bucket whose bounds take into account that there are only positive, or only negative observations.
fn bounded(bucket: NativeBucket, histogram: &FloatHistogram) -> NativeBucket {
    let (positive, negative) = (&histogram.positive_buckets, &histogram.negative_buckets);
    if negative.is_empty() && !positive.is_empty() {
        NativeBucket { lower: 0.0, ..bucket }
    } else if positive.is_empty() && !negative.is_empty() {
        NativeBucket { upper: 0.0, ..bucket }
    } else {
        bucket
    }
}

/// The quantile `q`, interpolated exponentially within its bucket (linearly in the zero bucket and between custom
/// bounds), and what there is to say about NaN observations.
pub(crate) fn quantile(q: f64, histogram: &FloatHistogram) -> (f64, Option<&'static str>) {
    if q < 0.0 {
        return (f64::NEG_INFINITY, None);
    }
    if q > 1.0 {
        return (f64::INFINITY, None);
    }
    if histogram.count == 0.0 || q.is_nan() {
        return (f64::NAN, None);
    }
    let forward = histogram.sum.is_nan() || q < 0.5;
    let mut all = buckets(histogram);
    if !forward {
        all.reverse();
    }
    let rank = if forward { q } else { 1.0 - q } * histogram.count;
    let Some((at, reached)) = reach(&all, rank) else {
        // All observations are NaN, or the histogram contradicts itself.
        let note = (rank > 0.0 && histogram.sum.is_nan()).then_some(NAN_RESULT);
        return (f64::NAN, note);
    };
    let mut bucket = all[at];
    if histogram.schema == CUSTOM_BUCKETS_SCHEMA {
        if bucket.lower == f64::NEG_INFINITY {
            if bucket.upper <= 0.0 {
                return (bucket.upper, None);
            }
            bucket.lower = 0.0;
        } else if bucket.upper == f64::INFINITY {
            return (bucket.lower, None);
        }
    } else if bucket.lower < 0.0 && bucket.upper > 0.0 {
        bucket = bounded(bucket, histogram);
    }
    let reached = reached.min(histogram.count);
    if reached < rank {
        if histogram.sum.is_nan() {
            return (f64::NAN, Some(NAN_RESULT));
        }
        return (bucket.upper, None);
    }
    let rank_inside = if forward { rank - (reached - bucket.count) } else { reached - rank };
    let note = (histogram.sum.is_nan() && {
        let rest: f64 = all[at + 1..].iter().map(|bucket| bucket.count).sum();
        reached + rest < histogram.count
    })
    .then_some(NAN_SKEW);
    (inside(&bucket, rank_inside / bucket.count, histogram), note)
}

/// The first populated bucket with which the counts reach the rank, or the last one; and the count reached.
fn reach(all: &[NativeBucket], rank: f64) -> Option<(usize, f64)> {
    let mut reached = 0.0;
    let mut last = None;
    for (at, bucket) in all.iter().enumerate() {
        last = Some(at);
        if bucket.count == 0.0 {
            continue;
        }
        reached += bucket.count;
        if reached >= rank {
            break;
        }
    }
    last.map(|at| (at, reached))
}

/// The value so far into a bucket.
fn inside(bucket: &NativeBucket, fraction: f64, histogram: &FloatHistogram) -> f64 {
    let (lower, upper) = (bucket.lower, bucket.upper);
    if histogram.schema == CUSTOM_BUCKETS_SCHEMA || (lower <= 0.0 && upper >= 0.0) {
        return lower + (upper - lower) * fraction;
    }
    let (log_lower, log_upper) = (lower.abs().log2(), upper.abs().log2());
    if lower > 0.0 {
        (log_lower + (log_upper - log_lower) * fraction).exp2()
    } else {
        -(log_upper + (log_lower - log_upper) * (1.0 - fraction)).exp2()
    }
}

/// The share of observations between two values, and what there is to say about NaN observations.
pub(crate) fn fraction(lower: f64, upper: f64, histogram: &FloatHistogram) -> (f64, Option<&'static str>) {
    if histogram.count == 0.0 || lower.is_nan() || upper.is_nan() {
        return (f64::NAN, None);
    }
    if lower >= upper {
        return (0.0, None);
    }
    let all = buckets(histogram);
    let mut count = histogram.count;
    let mut note = None;
    if histogram.sum.is_nan() {
        count = all.iter().map(|bucket| bucket.count).sum();
        note = (count < histogram.count).then_some(NAN_EXCLUDED);
    }
    let share = (rank_of(upper, &all, histogram).unwrap_or(count).min(count)
        - rank_of(lower, &all, histogram).unwrap_or(count).min(count))
        / histogram.count;
    (share, note)
}

/// How many observations lie below a value; `None` where it lies above all buckets.
fn rank_of(value: f64, all: &[NativeBucket], histogram: &FloatHistogram) -> Option<f64> {
    let is_custom = histogram.schema == CUSTOM_BUCKETS_SCHEMA;
    let mut below = 0.0;
    for bucket in all {
        let is_zero = bucket.lower <= 0.0 && bucket.upper >= 0.0;
        let bounds = if is_zero { bounded(*bucket, histogram) } else { *bucket };
        if bounds.lower >= value {
            return Some(below);
        }
        if bounds.upper > value {
            if (is_custom || is_zero) && bounds.lower == f64::NEG_INFINITY {
                return Some(bucket.count);
            }
            return Some(below + bucket.count * share_below(&bounds, value, is_custom || is_zero));
        }
        below += bucket.count;
    }
    None
}

/// The share of a bucket's observations below a value inside of it.
pub(super) fn share_below(bucket: &NativeBucket, value: f64, linear: bool) -> f64 {
    if linear {
        return (value - bucket.lower) / (bucket.upper - bucket.lower);
    }
    let (log_lower, log_upper, log) =
        (bucket.lower.abs().log2(), bucket.upper.abs().log2(), value.abs().log2());
    if value > 0.0 {
        (log - log_lower) / (log_upper - log_lower)
    } else {
        1.0 - (log - log_upper) / (log_lower - log_upper)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Span;

    fn histogram() -> FloatHistogram {
        FloatHistogram {
            count: 12.0,
            sum: 100.0,
            zero_count: 2.0,
            zero_threshold: 0.001,
            positive_spans: vec![Span { offset: 0, length: 2 }, Span { offset: 1, length: 2 }],
            positive_buckets: vec![2.0, 3.0, 1.0, 4.0],
            ..FloatHistogram::default()
        }
    }

    #[test]
    fn quantiles_interpolate_exponentially() {
        let histogram = histogram();
        assert_eq!(quantile(1.0, &histogram).0, 16.0);
        assert_eq!(quantile(0.0, &histogram).0, 0.0);
        let median = quantile(0.5, &histogram).0;
        assert!((median - 1.587_401_051_968_199_4).abs() < 1e-12, "{median}");
        assert_eq!(quantile(-0.1, &histogram).0, f64::NEG_INFINITY);
        assert!(quantile(0.5, &FloatHistogram::default()).0.is_nan());
    }

    #[test]
    fn fractions_invert_quantiles() {
        let histogram = histogram();
        for q in [0.1, 0.3, 0.5, 0.7, 0.9] {
            let value = quantile(q, &histogram).0;
            let share = fraction(f64::NEG_INFINITY, value, &histogram).0;
            assert!((share - q).abs() < 1e-12, "{q}: {share}");
        }
        assert_eq!(fraction(2.0, 1.0, &histogram).0, 0.0);
    }
}
