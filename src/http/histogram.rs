//! Native histograms in JSON: count, sum, and the buckets that are not empty with their bounds.

use crate::model::{CUSTOM_BUCKETS_SCHEMA, FloatHistogram, Span, bucket_bound};

use super::json;

/// Which bounds belong to a bucket; the number stands first in its JSON.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Bounds {
    /// The upper one.
    Upper = 0,
    /// The lower one.
    Lower = 1,
    /// Both.
    Both = 3,
}

#[derive(Clone, Copy, Debug, PartialEq)]
struct Bucket {
    bounds: Bounds,
    lower: f64,
    upper: f64,
    count: f64,
}

/// The histogram as an object.
pub(super) fn histogram(out: &mut Vec<u8>, histogram: &FloatHistogram) {
    out.extend_from_slice(b"{\"count\":");
    json::float(out, histogram.count);
    out.extend_from_slice(b",\"sum\":");
    json::float(out, histogram.sum);
    let mut found = false;
    for_each_bucket(histogram, |bucket| {
        if bucket.count == 0.0 {
            return;
        }
        out.extend_from_slice(if found { b",[" } else { b",\"buckets\":[[" });
        found = true;
        out.push(b'0' + bucket.bounds as u8);
        for value in [bucket.lower, bucket.upper, bucket.count] {
            out.push(b',');
            json::float(out, value);
        }
        out.push(b']');
    });
    if found {
        out.push(b']');
    }
    out.push(b'}');
}

/// Buckets by rising bounds: negative ones from the far end, the zero bucket, positive ones. Buckets that reach into
/// the zero bucket end where it begins.
fn for_each_bucket(histogram: &FloatHistogram, mut visit: impl FnMut(Bucket)) {
    let bound = |index: i32| bucket_bound(index, histogram.schema, &histogram.custom_values);
    let custom = histogram.schema == CUSTOM_BUCKETS_SCHEMA;
    let zero = histogram.zero_threshold;
    for (index, count) in indexed(&histogram.negative_spans, &histogram.negative_buckets).into_iter().rev() {
        let upper = (-bound(index.saturating_sub(1))).min(-zero);
        visit(Bucket { bounds: Bounds::Lower, lower: -bound(index), upper, count });
    }
    if histogram.zero_count > 0.0 {
        visit(Bucket { bounds: Bounds::Both, lower: -zero, upper: zero, count: histogram.zero_count });
    }
    for (index, count) in indexed(&histogram.positive_spans, &histogram.positive_buckets) {
        let lower = bound(index.saturating_sub(1));
        let (bounds, lower) = match custom {
            // Custom bounds may be negative; there is no zero bucket.
            true => (if index == 0 { Bounds::Both } else { Bounds::Upper }, lower),
            false => (Bounds::Upper, lower.max(zero)),
        };
        visit(Bucket { bounds, lower, upper: bound(index), count });
    }
}

/// Buckets with their index in the schema.
fn indexed(spans: &[Span], buckets: &[f64]) -> Vec<(i32, f64)> {
    let mut index = 0_i32;
    let mut indexed = Vec::with_capacity(buckets.len());
    let mut counts = buckets.iter();
    for span in spans {
        index = index.saturating_add(span.offset);
        for count in counts.by_ref().take(span.length as usize) {
            indexed.push((index, *count));
            index = index.saturating_add(1);
        }
    }
    indexed
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(of: &FloatHistogram) -> String {
        let mut out = Vec::new();
        histogram(&mut out, of);
        String::from_utf8(out).expect("JSON is UTF-8")
    }

    #[test]
    fn buckets_are_in_order_with_their_bounds() {
        let float = FloatHistogram {
            schema: 0,
            zero_threshold: 0.001,
            zero_count: 2.0,
            count: 12.0,
            sum: 18.4,
            positive_spans: vec![Span { offset: 0, length: 2 }, Span { offset: 1, length: 2 }],
            positive_buckets: vec![1.0, 2.0, 0.0, 1.0],
            negative_spans: vec![Span { offset: 0, length: 2 }],
            negative_buckets: vec![3.0, 3.0],
            ..FloatHistogram::default()
        };
        assert_eq!(
            written(&float),
            r#"{"count":"12","sum":"18.4","buckets":[[1,"-2","-1","3"],[1,"-1","-0.5","3"],[3,"-0.001","0.001","2"],[0,"0.5","1","1"],[0,"1","2","2"],[0,"8","16","1"]]}"#
        );
    }

    #[test]
    fn the_zero_bucket_cuts_its_neighbours() {
        let float = FloatHistogram {
            zero_threshold: 0.6,
            count: 2.0,
            positive_spans: vec![Span { offset: 0, length: 1 }],
            positive_buckets: vec![1.0],
            negative_spans: vec![Span { offset: 0, length: 1 }],
            negative_buckets: vec![1.0],
            ..FloatHistogram::default()
        };
        assert!(
            written(&float).ends_with(r#"[[1,"-1","-0.6","1"],[0,"0.6","1","1"]]}"#),
            "{}",
            written(&float)
        );
    }

    #[test]
    fn custom_bounds_begin_at_minus_infinity() {
        let float = FloatHistogram {
            schema: CUSTOM_BUCKETS_SCHEMA,
            count: 6.0,
            sum: 1.0,
            positive_spans: vec![Span { offset: 0, length: 3 }],
            positive_buckets: vec![1.0, 2.0, 3.0],
            custom_values: vec![-5.0, 10.0],
            ..FloatHistogram::default()
        };
        assert_eq!(
            written(&float),
            r#"{"count":"6","sum":"1","buckets":[[3,"-Inf","-5","1"],[0,"-5","10","2"],[0,"10","+Inf","3"]]}"#
        );
    }

    #[test]
    fn empty_histograms_have_no_buckets() {
        assert_eq!(written(&FloatHistogram::default()), r#"{"count":"0","sum":"0"}"#);
    }
}
