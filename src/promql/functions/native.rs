//! Functions of native histograms, and what multiplies, compares, sums and averages them.

use crate::model::{
    CUSTOM_BUCKETS_SCHEMA, CounterResetHint, FloatHistogram, Span, bucket_bound, format_float_g,
};

use super::numeric::CompensatedSum;
use super::sparse::Sparse;

/// The function of one histogram with that name.
pub(crate) fn of_one(name: &str) -> Option<fn(&FloatHistogram) -> f64> {
    Some(match name {
        "histogram_count" => |histogram| histogram.count,
        "histogram_sum" => |histogram| histogram.sum,
        "histogram_avg" => |histogram| histogram.sum / histogram.count,
        "histogram_stdvar" => variance,
        "histogram_stddev" => |histogram| variance(histogram).sqrt(),
        _ => return None,
    })
}

/// Variance of the observations, each taken to lie in the middle of its bucket.
fn variance(histogram: &FloatHistogram) -> f64 {
    let mean = histogram.sum / histogram.count;
    let is_custom = histogram.schema == CUSTOM_BUCKETS_SCHEMA;
    let mut sum = CompensatedSum::default();
    for bucket in buckets(histogram).into_iter().filter(|bucket| bucket.count != 0.0) {
        let value = if is_custom {
            f64::midpoint(bucket.upper, bucket.lower)
        } else if bucket.lower <= 0.0 && bucket.upper >= 0.0 {
            0.0
        } else {
            (bucket.upper * bucket.lower).sqrt().copysign(bucket.upper)
        };
        let delta = value - mean;
        sum = sum.plus(bucket.count * delta * delta);
    }
    sum.value() / histogram.count
}

/// One bucket with its bounds.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct NativeBucket {
    /// Lower bound.
    pub(crate) lower: f64,
    /// Upper bound.
    pub(crate) upper: f64,
    /// Observations in it.
    pub(crate) count: f64,
}

/// All buckets in rising order: negative ones, the zero bucket where it has observations, positive ones.
pub(crate) fn buckets(histogram: &FloatHistogram) -> Vec<NativeBucket> {
    let bound = |index: i32| bucket_bound(index, histogram.schema, &histogram.custom_values);
    let mut all: Vec<NativeBucket> = indexed(&histogram.negative_spans, &histogram.negative_buckets)
        .map(|(index, count)| NativeBucket {
            lower: -bound(index),
            upper: -bound(index.saturating_sub(1)),
            count,
        })
        .collect();
    all.reverse();
    if histogram.zero_count > 0.0 {
        let width = histogram.zero_threshold;
        all.push(NativeBucket { lower: -width, upper: width, count: histogram.zero_count });
    }
    all.extend(indexed(&histogram.positive_spans, &histogram.positive_buckets).map(|(index, count)| {
        NativeBucket { lower: bound(index.saturating_sub(1)), upper: bound(index), count }
    }));
    all
}

/// Buckets with their indexes.
pub(crate) fn indexed<'a>(spans: &'a [Span], buckets: &'a [f64]) -> impl Iterator<Item = (i32, f64)> + 'a {
    let mut next = 0_i32;
    let indexes = spans.iter().flat_map(move |span| {
        let start = next.saturating_add(span.offset);
        next = start.saturating_add(i32::try_from(span.length).unwrap_or(i32::MAX));
        start..next
    });
    indexes.zip(buckets.iter().copied())
}

/// A histogram as upstream prints it: `{count:3, sum:5, (1,2]:3}`.
pub(crate) fn text(histogram: &FloatHistogram) -> String {
    let g = format_float_g;
    let mut text = format!("{{count:{}, sum:{}", g(histogram.count), g(histogram.sum));
    for bucket in buckets(histogram).into_iter().filter(|bucket| bucket.count != 0.0) {
        let open = if bucket.lower < 0.0 { '[' } else { '(' };
        let close = if bucket.upper > 0.0 { ']' } else { ')' };
        text += &format!(", {open}{},{}{close}:{}", g(bucket.lower), g(bucket.upper), g(bucket.count));
    }
    text + "}"
}

/// All populations and the sum multiplied.
pub(crate) fn scaled(histogram: &FloatHistogram, factor: f64) -> FloatHistogram {
    let mut result = changed(histogram, |value| value * factor);
    if factor < 0.0 {
        result.counter_reset_hint = CounterResetHint::Gauge;
    }
    result
}

/// All populations and the sum divided. By zero there are no buckets left.
pub(crate) fn divided(histogram: &FloatHistogram, divisor: f64) -> FloatHistogram {
    let mut result = changed(histogram, |value| value / divisor);
    if divisor == 0.0 {
        result.positive_buckets.clear();
        result.negative_buckets.clear();
        result.positive_spans.clear();
        result.negative_spans.clear();
    } else if divisor < 0.0 {
        result.counter_reset_hint = CounterResetHint::Gauge;
    }
    result
}

fn changed(histogram: &FloatHistogram, f: impl Fn(f64) -> f64) -> FloatHistogram {
    let mut result = histogram.clone();
    for value in [&mut result.zero_count, &mut result.count, &mut result.sum] {
        *value = f(*value);
    }
    for bucket in result.positive_buckets.iter_mut().chain(&mut result.negative_buckets) {
        *bucket = f(*bucket);
    }
    result
}

/// Whether two histograms say the same, whatever they know of resets.
pub(crate) fn equal(a: &FloatHistogram, b: &FloatHistogram) -> bool {
    let bits =
        |histogram: &FloatHistogram| [histogram.zero_count, histogram.count, histogram.sum].map(f64::to_bits);
    let populated = |spans: &[Span], buckets: &[f64]| -> Vec<(i32, u64)> {
        indexed(spans, buckets).map(|(index, count)| (index, count.to_bits())).collect()
    };
    a.schema == b.schema
        && a.zero_threshold == b.zero_threshold
        && bits(a) == bits(b)
        && (a.schema != CUSTOM_BUCKETS_SCHEMA || a.custom_values == b.custom_values)
        && populated(&a.positive_spans, &a.positive_buckets)
            == populated(&b.positive_spans, &b.positive_buckets)
        && populated(&a.negative_spans, &a.negative_buckets)
            == populated(&b.negative_spans, &b.negative_buckets)
}

/// A sum of histograms.
pub(crate) struct HistogramSum(Sparse);

impl HistogramSum {
    /// Of one.
    pub(crate) fn of(histogram: &FloatHistogram) -> Self {
        Self(Sparse::of(histogram))
    }

    /// With one more: whether custom bounds differed; `None` where the two do not go together.
    pub(crate) fn add(&mut self, histogram: &FloatHistogram) -> Option<bool> {
        self.0.add(histogram, 1.0).map(|combined| combined.bounds_reconciled)
    }

    /// The sum.
    pub(crate) fn finish(self) -> FloatHistogram {
        self.0.finish()
    }
}

/// A mean of histograms, computed as sum by count until the sum would overflow, then from mean to mean.
pub(crate) struct HistogramMean {
    total: Sparse,
    count: f64,
    incremental: bool,
}

impl HistogramMean {
    /// Of one.
    pub(crate) fn of(histogram: &FloatHistogram) -> Self {
        Self { total: Sparse::of(histogram), count: 1.0, incremental: false }
    }

    /// With one more: whether custom bounds differed; `None` where the two do not go together.
    pub(crate) fn add(&mut self, histogram: &FloatHistogram) -> Option<bool> {
        self.count += 1.0;
        if !self.incremental {
            let mut total = self.total.clone();
            let combined = total.add(histogram, 1.0)?;
            if !total.overflows() {
                self.total = total;
                return Some(combined.bounds_reconciled);
            }
            self.incremental = true;
            self.total.divide(self.count - 1.0);
        }
        self.total.scale((self.count - 1.0) / self.count);
        self.total.add(&divided(histogram, self.count), 1.0).map(|combined| combined.bounds_reconciled)
    }

    /// The mean.
    pub(crate) fn finish(mut self) -> FloatHistogram {
        if !self.incremental {
            self.total.divide(self.count);
        }
        self.total.finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn histogram(schema: i32, offset: i32, buckets: &[f64]) -> FloatHistogram {
        let length = u32::try_from(buckets.len()).expect("few buckets");
        FloatHistogram {
            schema,
            count: buckets.iter().sum(),
            sum: 10.0,
            positive_spans: vec![Span { offset, length }],
            positive_buckets: buckets.to_vec(),
            ..FloatHistogram::default()
        }
    }

    #[test]
    fn means_divide_by_how_many_there_are() {
        let mut mean = HistogramMean::of(&histogram(0, 0, &[1.0]));
        assert_eq!(mean.add(&histogram(0, 0, &[3.0])), Some(false));
        let result = mean.finish();
        assert_eq!((result.count, result.sum, result.positive_buckets), (2.0, 10.0, vec![2.0]));
    }
}
