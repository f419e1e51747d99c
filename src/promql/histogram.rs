//! Arithmetic on native histograms, over their buckets as pairs of index and population.

use std::collections::BTreeMap;

use crate::model::{CUSTOM_BUCKETS_SCHEMA, CounterResetHint, FloatHistogram, Span};

/// Why two histograms cannot be combined; the texts are upstream's where upstream has the case.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub(crate) enum CombineError {
    /// Exponential buckets on one side, custom bounds on the other.
    #[error("cannot apply this operation on histograms with a mix of exponential and custom bucket schemas")]
    Schemas,
    /// Custom bounds that are not the same.
    #[error("histograms with different custom bounds cannot be combined here")]
    Bounds,
    /// Zero buckets of different widths.
    #[error("histograms with different zero thresholds cannot be combined here")]
    ZeroThresholds,
}

/// The buckets that spans describe, by index, rising.
pub(crate) fn buckets<'a>(
    spans: &'a [Span],
    populations: &'a [f64],
) -> impl Iterator<Item = (i64, f64)> + 'a {
    let mut next = 0_i64;
    let indices = spans.iter().flat_map(move |span| {
        let start = next + i64::from(span.offset);
        next = start + i64::from(span.length);
        start..next
    });
    indices.zip(populations.iter().copied())
}

/// Spans and populations of buckets that rise by index; neighbours share a span.
pub(crate) fn to_spans(buckets: impl IntoIterator<Item = (i64, f64)>) -> (Vec<Span>, Vec<f64>) {
    let mut spans: Vec<Span> = Vec::new();
    let mut populations = Vec::new();
    let mut next = 0_i64;
    for (index, population) in buckets {
        match spans.last_mut().filter(|_| index == next) {
            Some(span) => span.length += 1,
            None => {
                let offset = i32::try_from(index - next).expect("bucket indices stay within 32 bits");
                spans.push(Span { offset, length: 1 });
            }
        }
        populations.push(population);
        next = index + 1;
    }
    (spans, populations)
}

/// `left + right`, or `left - right` where `negate` says so, in the coarser of their schemas.
pub(crate) fn combined(
    left: &FloatHistogram,
    right: &FloatHistogram,
    negate: bool,
) -> Result<FloatHistogram, CombineError> {
    let custom = |histogram: &FloatHistogram| histogram.schema == CUSTOM_BUCKETS_SCHEMA;
    if custom(left) != custom(right) {
        return Err(CombineError::Schemas);
    }
    if left.custom_values != right.custom_values {
        return Err(CombineError::Bounds);
    }
    if left.zero_threshold != right.zero_threshold {
        return Err(CombineError::ZeroThresholds);
    }
    let sign = if negate { -1.0 } else { 1.0 };
    let schema = left.schema.min(right.schema);
    let merged = |left_spans, left_populations, right_spans, right_populations| {
        let mut sums: BTreeMap<i64, f64> = BTreeMap::new();
        for (index, population) in buckets(left_spans, left_populations) {
            *sums.entry(coarser(index, left.schema, schema)).or_default() += population;
        }
        for (index, population) in buckets(right_spans, right_populations) {
            *sums.entry(coarser(index, right.schema, schema)).or_default() += sign * population;
        }
        to_spans(sums)
    };
    let (positive_spans, positive_buckets) =
        merged(&left.positive_spans, &left.positive_buckets, &right.positive_spans, &right.positive_buckets);
    let (negative_spans, negative_buckets) =
        merged(&left.negative_spans, &left.negative_buckets, &right.negative_spans, &right.negative_buckets);
    Ok(FloatHistogram {
        counter_reset_hint: combined_hint(left.counter_reset_hint, right.counter_reset_hint),
        schema,
        zero_threshold: left.zero_threshold,
        zero_count: left.zero_count + sign * right.zero_count,
        count: left.count + sign * right.count,
        sum: left.sum + sign * right.sum,
        positive_spans,
        negative_spans,
        positive_buckets,
        negative_buckets,
        custom_values: left.custom_values.clone(),
    })
}

/// The index of the bucket of `to` that holds bucket `index` of `from`, a finer schema or the same.
const fn coarser(index: i64, from: i32, to: i32) -> i64 {
    if from == to { index } else { ((index - 1) >> (from - to)) + 1 }
}

/// What is known of a reset before a sum: a gauge stays one, and two that differ say nothing.
const fn combined_hint(left: CounterResetHint, right: CounterResetHint) -> CounterResetHint {
    match (left, right) {
        (CounterResetHint::Gauge, _) | (_, CounterResetHint::Gauge) => CounterResetHint::Gauge,
        (CounterResetHint::Reset, CounterResetHint::Reset) => CounterResetHint::Reset,
        (CounterResetHint::NotReset, CounterResetHint::NotReset) => CounterResetHint::NotReset,
        _ => CounterResetHint::Unknown,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn histogram(schema: i32, offset: i32, populations: &[f64]) -> FloatHistogram {
        let length = u32::try_from(populations.len()).expect("a short list");
        FloatHistogram {
            schema,
            count: populations.iter().sum(),
            positive_spans: vec![Span { offset, length }],
            positive_buckets: populations.to_vec(),
            ..FloatHistogram::default()
        }
    }

    #[test]
    fn spans_and_indices_are_two_faces_of_the_same_buckets() {
        let spans = [Span { offset: -2, length: 2 }, Span { offset: 3, length: 1 }];
        let pairs: Vec<(i64, f64)> = buckets(&spans, &[1.0, 2.0, 3.0]).collect();
        assert_eq!(pairs, [(-2, 1.0), (-1, 2.0), (3, 3.0)]);
        assert_eq!(to_spans(pairs), (spans.to_vec(), vec![1.0, 2.0, 3.0]));
    }

    #[test]
    fn sums_are_in_the_coarser_schema() {
        let sum = combined(&histogram(-1, 1, &[1.0]), &histogram(0, 1, &[2.0, 2.0]), false).expect("a sum");
        assert_eq!((sum.schema, sum.count), (-1, 5.0));
        assert_eq!(sum.positive_buckets, [5.0]);
        let difference = combined(&histogram(0, 0, &[3.0]), &histogram(0, 1, &[1.0]), true).expect("a sum");
        assert_eq!(difference.positive_buckets, [3.0, -1.0]);
        let custom = histogram(CUSTOM_BUCKETS_SCHEMA, 0, &[1.0]);
        assert_eq!(combined(&custom, &histogram(0, 0, &[1.0]), false), Err(CombineError::Schemas));
    }
}
