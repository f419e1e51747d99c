//! `</` and `>/`: the observations of a native histogram on one side of a value.

use crate::model::{CUSTOM_BUCKETS_SCHEMA, FloatHistogram, Span, bucket_bound};

use super::native::{NativeBucket, indexed};
use super::sparse::Sparse;

/// Which side is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Keep {
    /// `</`
    Below,
    /// `>/`
    Above,
}

/// The observations on one side of `value`. Buckets that hold it are divided as quantiles would divide them; the sum is
/// estimated from the middles of what is left.
pub(crate) fn trimmed(histogram: &FloatHistogram, value: f64, keep: Keep) -> FloatHistogram {
    let mut trim = Trim {
        value,
        keep,
        is_custom: histogram.schema == CUSTOM_BUCKETS_SCHEMA,
        count: 0.0,
        sum: 0.0,
        changed: false,
    };
    let bound = |index: i32| bucket_bound(index, histogram.schema, &histogram.custom_values);
    let mut result = histogram.clone();
    trim.side(&histogram.positive_spans, &mut result.positive_buckets, true, |index| {
        (bound(index.saturating_sub(1)), bound(index))
    });
    trim.side(&histogram.negative_spans, &mut result.negative_buckets, false, |index| {
        (-bound(index), -bound(index.saturating_sub(1)))
    });
    if histogram.zero_count > 0.0 {
        let populated = |buckets: &[f64]| buckets.iter().any(|count| *count != 0.0);
        result.zero_count = trim.zero(
            histogram,
            populated(&histogram.negative_buckets),
            populated(&histogram.positive_buckets),
        );
    }
    if !trim.changed {
        return result;
    }
    result.count = trim.count;
    result.sum = trim.sum;
    Sparse::of(&result).finish()
}

struct Trim {
    value: f64,
    keep: Keep,
    is_custom: bool,
    count: f64,
    sum: f64,
    changed: bool,
}

impl Trim {
    fn side(
        &mut self,
        spans: &[Span],
        buckets: &mut [f64],
        is_positive: bool,
        bounds: impl Fn(i32) -> (f64, f64),
    ) {
        let indexes: Vec<i32> = indexed(spans, buckets).map(|(index, _)| index).collect();
        for (index, count) in indexes.into_iter().zip(buckets).filter(|(_, count)| **count != 0.0) {
            let (lower, upper) = bounds(index);
            let bucket = NativeBucket { lower, upper, count: *count };
            let kept = self.bucket(&bucket, is_positive);
            if kept != *count {
                *count = kept;
                self.changed = true;
            }
        }
    }

    /// What is left of a bucket; counts it.
    fn bucket(&mut self, bucket: &NativeBucket, is_positive: bool) -> f64 {
        let (whole, part) = match self.keep {
            Keep::Below => (bucket.upper <= self.value, bucket.lower < self.value),
            Keep::Above => (bucket.lower >= self.value, bucket.upper > self.value),
        };
        let (kept, middle) = if whole {
            (bucket.count, self.middle(bucket.lower, bucket.upper, is_positive))
        } else if part {
            self.divided(bucket, is_positive)
        } else {
            self.changed = true;
            return 0.0;
        };
        self.count += kept;
        self.sum += middle * kept;
        kept
    }

    /// What is left of a bucket that holds the value, and the middle of it.
    fn divided(&self, bucket: &NativeBucket, is_positive: bool) -> (f64, f64) {
        if bucket.lower == f64::NEG_INFINITY || bucket.upper == f64::INFINITY {
            return self.divided_unbounded(bucket);
        }
        let below = bucket.count * super::native_quantile::share_below(bucket, self.value, self.is_custom);
        match self.keep {
            Keep::Below => (below, self.middle(bucket.lower, self.value, is_positive)),
            Keep::Above => (bucket.count - below, self.middle(self.value, bucket.upper, is_positive)),
        }
    }

    /// Nothing is known of where in an unbounded bucket observations lie, so it is kept whole or not at all; the first
    /// one of custom bounds is taken to begin at zero where it ends above.
    fn divided_unbounded(&self, bucket: &NativeBucket) -> (f64, f64) {
        let (value, upper) = (self.value, bucket.upper);
        let finite = |bound: f64| if bound.is_infinite() { 0.0 } else { bound };
        if bucket.lower == f64::NEG_INFINITY {
            let bounded = upper > 0.0 && upper.is_finite();
            return match self.keep {
                Keep::Below if value >= upper => (bucket.count, 0.0),
                Keep::Below if value > 0.0 && bounded => (bucket.count * value / upper, value / 2.0),
                Keep::Below if upper <= 0.0 => (bucket.count, value),
                Keep::Above if value == f64::NEG_INFINITY => (bucket.count, 0.0),
                Keep::Above if value >= 0.0 && upper > value && upper.is_finite() => {
                    (bucket.count * (1.0 - value / upper), f64::midpoint(value, upper))
                }
                Keep::Below | Keep::Above => (0.0, finite(upper)),
            };
        }
        match self.keep {
            Keep::Above if value >= bucket.lower => (bucket.count, value),
            Keep::Below | Keep::Above => (0.0, finite(bucket.lower)),
        }
    }

    /// The middle of an interval: the arithmetic one between custom bounds, else the geometric one.
    fn middle(&self, lower: f64, upper: f64, is_positive: bool) -> f64 {
        match (lower.is_infinite(), upper.is_infinite()) {
            (true, true) => 0.0,
            (true, false) if upper > 0.0 => upper / 2.0,
            (true, false) => upper,
            (false, true) => lower,
            (false, false) if self.is_custom => f64::midpoint(lower, upper),
            (false, false) => {
                let middle = (lower * upper).abs().sqrt();
                if is_positive { middle } else { -middle }
            }
        }
    }

    /// What is left of the zero bucket; counts it.
    fn zero(&mut self, histogram: &FloatHistogram, has_negative: bool, has_positive: bool) -> f64 {
        let width = histogram.zero_threshold;
        let lower = if has_positive && !has_negative { 0.0 } else { -width };
        let upper = if has_negative && !has_positive { 0.0 } else { width };
        let value = self.value;
        let (share, middle) = match self.keep {
            Keep::Below if value <= lower => (0.0, 0.0),
            Keep::Above if value >= upper && value > lower => (0.0, 0.0),
            Keep::Below if value < upper => ((value - lower) / (upper - lower), f64::midpoint(lower, value)),
            Keep::Above if value > lower => ((upper - value) / (upper - lower), f64::midpoint(value, upper)),
            Keep::Below | Keep::Above => (1.0, f64::midpoint(lower, upper)),
        };
        let kept = histogram.zero_count * share;
        self.changed |= kept != histogram.zero_count;
        self.count += kept;
        self.sum += middle * kept;
        kept
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn custom() -> FloatHistogram {
        FloatHistogram {
            schema: CUSTOM_BUCKETS_SCHEMA,
            count: 10.0,
            sum: 30.0,
            custom_values: vec![2.0, 4.0],
            positive_spans: vec![Span { offset: 0, length: 3 }],
            positive_buckets: vec![2.0, 4.0, 4.0],
            ..FloatHistogram::default()
        }
    }

    #[test]
    fn a_divided_bucket_is_divided_linearly_between_custom_bounds() {
        let below = trimmed(&custom(), 3.0, Keep::Below);
        assert_eq!((below.count, below.positive_buckets), (4.0, vec![2.0, 2.0]));
        let above = trimmed(&custom(), 3.0, Keep::Above);
        assert_eq!((above.count, above.positive_buckets), (6.0, vec![2.0, 4.0]));
    }

    #[test]
    fn nothing_trimmed_is_nothing_changed() {
        assert_eq!(trimmed(&custom(), f64::INFINITY, Keep::Below).sum, 30.0);
        assert_eq!(trimmed(&custom(), f64::NEG_INFINITY, Keep::Above), custom());
    }
}
