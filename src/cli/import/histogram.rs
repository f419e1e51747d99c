//! Native histograms out of JSON.
//!
//! The API tells the buckets that are not empty, with their bounds, and not the schema. All exponential bounds have the
//! one schema that they are bounds of; other bounds are custom ones, of which those beside empty buckets are not known.
//! Answered again, such a histogram is the same.

use serde::Deserialize;

use crate::model::{CUSTOM_BUCKETS_SCHEMA, CounterResetHint, Histogram, HistogramCounts, Span, bucket_bound};

/// Width of the zero bucket where none is told, as upstream's client sets it: 2^-128.
const ZERO_THRESHOLD: f64 = 2.938_735_877_055_719e-39;
/// Schemas of exponential buckets, coarse ones first: where few buckets leave a choice, the coarse ones are as right.
const SCHEMAS: std::ops::RangeInclusive<i32> = -4..=8;

/// As the API writes it.
#[derive(Debug, Deserialize)]
pub(super) struct HistogramJson {
    count: String,
    sum: String,
    #[serde(default)]
    buckets: Vec<(u8, String, String, String)>,
}

#[derive(Clone, Copy, Debug)]
struct Bucket {
    has_both_bounds: bool,
    lower: f64,
    upper: f64,
    count: f64,
}

impl HistogramJson {
    pub(super) fn read(&self) -> Result<Histogram, String> {
        let buckets = self.buckets.iter().map(|(bounds, lower, upper, count)| {
            Ok(Bucket {
                has_both_bounds: *bounds == 3,
                lower: number(lower)?,
                upper: number(upper)?,
                count: number(count)?,
            })
        });
        let buckets = buckets.collect::<Result<Vec<_>, String>>()?;
        let (count, sum) = (number(&self.count)?, number(&self.sum)?);
        Ok(exponential(count, sum, &buckets).unwrap_or_else(|| custom(count, sum, &buckets)))
    }
}

fn number(text: &str) -> Result<f64, String> {
    text.parse().map_err(|_| format!("the answer cannot be read: {text:?} is no number"))
}

/// The histogram with exponential buckets, where the bounds are such.
fn exponential(count: f64, sum: f64, buckets: &[Bucket]) -> Option<Histogram> {
    let (zero, others): (Vec<Bucket>, Vec<Bucket>) = buckets.iter().partition(|bucket| is_zero(bucket));
    if zero.len() > 1 || others.iter().any(|bucket| bucket.has_both_bounds) {
        return None;
    }
    let threshold = zero.first().map_or(ZERO_THRESHOLD, |bucket| bucket.upper);
    let (schema, mut negative, positive) = SCHEMAS.into_iter().find_map(|schema| {
        let (mut negative, mut positive) = (Vec::new(), Vec::new());
        for bucket in &others {
            let side = if bucket.upper > 0.0 { &mut positive } else { &mut negative };
            side.push((index_of(bucket, schema, threshold)?, bucket.count));
        }
        Some((schema, negative, positive))
    })?;
    negative.reverse();
    let (negative_spans, negative) = spans_of(&negative);
    let (positive_spans, positive) = spans_of(&positive);
    let zero_count = zero.first().map_or(0.0, |bucket| bucket.count);
    Some(Histogram {
        counter_reset_hint: CounterResetHint::Unknown,
        schema,
        zero_threshold: threshold,
        sum,
        counts: HistogramCounts::Float { count, zero_count, positive, negative },
        positive_spans,
        negative_spans,
        custom_values: Vec::new(),
    })
}

fn is_zero(bucket: &Bucket) -> bool {
    bucket.has_both_bounds && bucket.upper >= 0.0 && bucket.lower == -bucket.upper
}

/// The place of a bucket in a schema, where its bounds are bounds of it. The one nearer to zero may be cut off by the
/// zero bucket.
fn index_of(bucket: &Bucket, schema: i32, threshold: f64) -> Option<i32> {
    let (near, far) =
        if bucket.upper > 0.0 { (bucket.lower, bucket.upper) } else { (-bucket.upper, -bucket.lower) };
    let estimate = if far.is_finite() { far } else { f64::MAX };
    let guess = (estimate.log2() * 2_f64.powi(schema)).ceil() as i32;
    (guess - 1..=guess + 2).find(|index| {
        let before = bucket_bound(index - 1, schema, &[]);
        bucket_bound(*index, schema, &[]) == far && (before == near || before < near && near == threshold)
    })
}

/// Runs of buckets that stand side by side, and their populations. `buckets`: places rising.
fn spans_of(buckets: &[(i32, f64)]) -> (Vec<Span>, Vec<f64>) {
    let mut spans: Vec<Span> = Vec::new();
    let mut next = 0;
    for (index, _) in buckets {
        match spans.last_mut() {
            Some(span) if *index == next => span.length += 1,
            _ => spans.push(Span { offset: index - next, length: 1 }),
        }
        next = index + 1;
    }
    (spans, buckets.iter().map(|(_, count)| *count).collect())
}

/// The histogram with the bounds that it tells as custom ones.
fn custom(count: f64, sum: f64, buckets: &[Bucket]) -> Histogram {
    let mut bounds: Vec<f64> = buckets
        .iter()
        .flat_map(|bucket| [bucket.lower, bucket.upper])
        .filter(|bound| bound.is_finite())
        .collect();
    bounds.sort_by(f64::total_cmp);
    bounds.dedup();
    let index_of = |bucket: &Bucket| {
        let index = bounds.iter().position(|bound| *bound == bucket.upper).unwrap_or(bounds.len());
        i32::try_from(index).expect("an answer has fewer buckets")
    };
    let indexed: Vec<(i32, f64)> = buckets.iter().map(|bucket| (index_of(bucket), bucket.count)).collect();
    let (positive_spans, positive) = spans_of(&indexed);
    Histogram {
        counter_reset_hint: CounterResetHint::Unknown,
        schema: CUSTOM_BUCKETS_SCHEMA,
        zero_threshold: 0.0,
        sum,
        counts: HistogramCounts::Float { count, zero_count: 0.0, positive, negative: Vec::new() },
        positive_spans,
        negative_spans: Vec::new(),
        custom_values: bounds,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(buckets: &str) -> Histogram {
        let text = format!("{{\"count\":\"12\",\"sum\":\"18.4\",\"buckets\":{buckets}}}");
        serde_json::from_str::<HistogramJson>(&text).expect("JSON").read().expect("a histogram")
    }

    fn floats(histogram: &Histogram) -> (f64, &[f64], &[f64]) {
        let HistogramCounts::Float { zero_count, positive, negative, .. } = &histogram.counts else {
            panic!("counts are floats")
        };
        (*zero_count, positive, negative)
    }

    #[test]
    fn schemas_are_told_by_the_bounds() {
        let histogram = read(
            r#"[[1,"-4","-2","3"],[1,"-1","-0.5","1"],[3,"-0.001","0.001","2"],[0,"0.5","1","1"],[0,"1","2","2"],[0,"4","8","1"]]"#,
        );
        assert_eq!((histogram.schema, histogram.zero_threshold), (0, 0.001));
        assert_eq!(floats(&histogram), (2.0, &[1.0, 2.0, 1.0][..], &[1.0, 3.0][..]));
        assert_eq!(histogram.positive_spans, [Span { offset: 0, length: 2 }, Span { offset: 1, length: 1 }]);
        assert_eq!(histogram.negative_spans, [Span { offset: 0, length: 1 }, Span { offset: 1, length: 1 }]);
        for schema in SCHEMAS {
            let bound = |index| bucket_bound(index, schema, &[]);
            let pair = |index| format!("[0,\"{}\",\"{}\",\"1\"]", bound(index - 1), bound(index));
            let histogram = read(&format!("[{},{}]", pair(-3), pair(7)));
            assert_eq!(histogram.schema, schema);
            assert_eq!(
                histogram.positive_spans,
                [Span { offset: -3, length: 1 }, Span { offset: 9, length: 1 }]
            );
        }
    }

    #[test]
    fn the_outermost_buckets_are_found() {
        let histogram = read(&format!("[[0,\"{}\",\"+Inf\",\"1\"]]", f64::MAX));
        assert_eq!(histogram.schema, -4);
        let last = histogram.positive_spans[0].offset;
        assert_eq!(bucket_bound(last - 1, -4, &[]), f64::MAX);
    }

    #[test]
    fn other_bounds_are_custom() {
        let histogram = read(r#"[[3,"-Inf","0.1","1"],[0,"0.1","0.25","2"],[0,"1","+Inf","3"]]"#);
        assert_eq!(histogram.schema, CUSTOM_BUCKETS_SCHEMA);
        assert_eq!(histogram.custom_values, [0.1, 0.25, 1.0]);
        assert_eq!(histogram.positive_spans, [Span { offset: 0, length: 2 }, Span { offset: 1, length: 1 }]);
        assert_eq!(floats(&histogram), (0.0, &[1.0, 2.0, 3.0][..], &[][..]));
    }

    #[test]
    fn without_buckets_it_is_empty() {
        let histogram = read("[]");
        assert_eq!((histogram.sum, floats(&histogram)), (18.4, (0.0, &[][..], &[][..])));
    }
}
