//! Quantiles and fractions of classic histograms: cumulative counts below upper bounds.

use crate::model::is_stale;

/// Relative difference of neighbouring counts that rounding explains.
const SMALL_DIFFERENCE: f64 = 1e-12;

/// One bucket: how many observations are at most `upper`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Bucket {
    /// Upper bound, included.
    pub(crate) upper: f64,
    /// Observations up to it.
    pub(crate) count: f64,
}

/// Where counts had to be raised so that they do not fall.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Forced {
    /// Lowest bound whose count was raised.
    pub(crate) bucket_min: f64,
    /// Highest bound whose count was raised.
    pub(crate) bucket_max: f64,
    /// Largest raise.
    pub(crate) difference_max: f64,
}

/// Sorts buckets by bound and merges those with the same one. Whether the last is `+Inf`.
fn prepare(buckets: &mut Vec<Bucket>) -> bool {
    buckets.sort_by(|a, b| a.upper.total_cmp(&b.upper));
    buckets.dedup_by(|later, kept| {
        let same = later.upper == kept.upper;
        if same {
            kept.count += later.count;
        }
        same
    });
    buckets.last().is_some_and(|last| last.upper == f64::INFINITY)
}

/// The quantile `q`, interpolated linearly within its bucket, and whether counts fell.
pub(crate) fn quantile(q: f64, buckets: &mut Vec<Bucket>) -> (f64, Option<Forced>) {
    if q.is_nan() {
        return (f64::NAN, None);
    }
    if q < 0.0 {
        return (f64::NEG_INFINITY, None);
    }
    if q > 1.0 {
        return (f64::INFINITY, None);
    }
    if !prepare(buckets) {
        return (f64::NAN, None);
    }
    let forced = make_monotonic(buckets);
    (interpolate(q, buckets), forced)
}

fn interpolate(q: f64, buckets: &[Bucket]) -> f64 {
    let last = buckets.len() - 1;
    let observations = buckets[last].count;
    if last == 0 || observations == 0.0 {
        return f64::NAN;
    }
    let rank = q * observations;
    // As upstream searches: the first bucket that reaches the rank, found by halving.
    let at = search(last, |at| buckets[at].count >= rank);
    if at == last {
        return buckets[last - 1].upper;
    }
    if at == 0 && buckets[0].upper <= 0.0 {
        return buckets[0].upper;
    }
    let below = if at == 0 { Bucket { upper: 0.0, count: 0.0 } } else { buckets[at - 1] };
    let inside = buckets[at].count - below.count;
    below.upper + (buckets[at].upper - below.upper) * ((rank - below.count) / inside)
}

/// The smallest place below `count` where `holds`, else `count`; NaN counts make it less than sorted.
fn search(count: usize, holds: impl Fn(usize) -> bool) -> usize {
    let (mut low, mut high) = (0, count);
    while low < high {
        let middle = low + (high - low) / 2;
        if holds(middle) {
            high = middle;
        } else {
            low = middle + 1;
        }
    }
    low
}

/// Raises counts that are below an earlier one; differences that rounding explains go silently.
fn make_monotonic(buckets: &mut [Bucket]) -> Option<Forced> {
    let mut forced: Option<Forced> = None;
    let mut before = buckets[0].count;
    for bucket in &mut buckets[1..] {
        let count = bucket.count;
        if count == before {
            continue;
        }
        if almost_equal(before, count) {
            bucket.count = before;
        } else if count < before {
            bucket.count = before;
            let known = forced.get_or_insert(Forced {
                bucket_min: bucket.upper,
                bucket_max: bucket.upper,
                difference_max: 0.0,
            });
            known.bucket_min = known.bucket_min.min(bucket.upper);
            known.bucket_max = known.bucket_max.max(bucket.upper);
            known.difference_max = known.difference_max.max(before - count);
        } else {
            before = count;
        }
    }
    forced
}

fn almost_equal(a: f64, b: f64) -> bool {
    if is_stale(a) || is_stale(b) {
        return is_stale(a) && is_stale(b);
    }
    if a.is_nan() && b.is_nan() || a == b {
        return true;
    }
    let sum = a.abs() + b.abs();
    let difference = (a - b).abs();
    if a == 0.0 || b == 0.0 || sum < f64::MIN_POSITIVE {
        return difference < SMALL_DIFFERENCE * f64::MIN_POSITIVE;
    }
    difference / sum.min(f64::MAX) < SMALL_DIFFERENCE
}

/// The share of observations between two values.
pub(crate) fn fraction(lower: f64, upper: f64, buckets: &mut Vec<Bucket>) -> f64 {
    if !prepare(buckets) {
        return f64::NAN;
    }
    let observations = buckets[buckets.len() - 1].count;
    if observations == 0.0 || lower.is_nan() || upper.is_nan() {
        return f64::NAN;
    }
    if lower >= upper {
        return 0.0;
    }
    (rank_of(upper, buckets, observations) - rank_of(lower, buckets, observations)) / observations
}

/// How many observations are below `value`, interpolated linearly; the unbounded buckets are taken whole or not.
fn rank_of(value: f64, buckets: &[Bucket], observations: f64) -> f64 {
    let mut from = if buckets[0].upper <= 0.0 { f64::NEG_INFINITY } else { 0.0 };
    let mut below = 0.0;
    for bucket in buckets {
        let rank = if from >= value {
            below
        } else if bucket.upper > value {
            if from == f64::NEG_INFINITY {
                bucket.count
            } else {
                below + (bucket.count - below) * (value - from) / (bucket.upper - from)
            }
        } else {
            below = bucket.count;
            from = bucket.upper;
            continue;
        };
        return if rank > observations { observations } else { rank };
    }
    observations
}

#[cfg(test)]
mod tests {
    use super::*;

    const INF: f64 = f64::INFINITY;

    fn buckets(pairs: &[(f64, f64)]) -> Vec<Bucket> {
        pairs.iter().map(|(upper, count)| Bucket { upper: *upper, count: *count }).collect()
    }

    #[test]
    fn quantiles_lie_on_lines() {
        let histogram = buckets(&[(INF, 10.0), (0.1, 5.0), (0.2, 10.0)]);
        assert_eq!(quantile(0.25, &mut histogram.clone()).0, 0.05);
        assert!((quantile(0.75, &mut histogram.clone()).0 - 0.15).abs() < 1e-15);
        assert_eq!(quantile(1.0, &mut histogram.clone()).0, 0.2);
        assert_eq!(quantile(-1.0, &mut histogram.clone()).0, f64::NEG_INFINITY);
        assert_eq!(quantile(2.0, &mut histogram.clone()).0, INF);
    }

    #[test]
    fn what_is_no_histogram_has_no_quantile() {
        for bad in [&[(0.1, 5.0)][..], &[(INF, 5.0)], &[(0.1, 0.0), (INF, 0.0)]] {
            assert!(quantile(0.5, &mut buckets(bad)).0.is_nan(), "{bad:?}");
        }
    }

    #[test]
    fn falling_counts_are_raised_and_told() {
        let mut histogram = buckets(&[(1.0, 10.0), (2.0, 8.0), (3.0, 9.0), (INF, 20.0)]);
        let (_, forced) = quantile(0.5, &mut histogram);
        assert_eq!(forced, Some(Forced { bucket_min: 2.0, bucket_max: 3.0, difference_max: 2.0 }));
        let mut nearly = buckets(&[(1.0, 10.0), (2.0, 10.0 - 1e-13), (INF, 20.0)]);
        assert_eq!(quantile(0.5, &mut nearly).1, None);
    }

    #[test]
    fn equal_bounds_are_one_bucket() {
        let mut histogram = buckets(&[(1.0, 2.0), (1.0, 3.0), (INF, 10.0)]);
        assert_eq!(quantile(0.5, &mut histogram).0, 1.0);
    }

    #[test]
    fn fractions_invert_quantiles() {
        let histogram = buckets(&[(0.1, 5.0), (0.2, 10.0), (INF, 12.0)]);
        assert_eq!(fraction(f64::NEG_INFINITY, 0.1, &mut histogram.clone()), 5.0 / 12.0);
        assert_eq!(fraction(0.2, INF, &mut histogram.clone()), 2.0 / 12.0);
        assert_eq!(fraction(0.3, 0.2, &mut histogram.clone()), 0.0);
        assert!(fraction(f64::NAN, 0.2, &mut histogram.clone()).is_nan());
    }
}
