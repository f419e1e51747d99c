//! A histogram in the notation of series descriptions.

use crate::model::{CUSTOM_BUCKETS_SCHEMA, CounterResetHint, FloatHistogram, Span, format_float_g};
use crate::promql::functions::native::indexed;

/// Most buckets of one side that are written one after the other.
const BUCKETS_MAX: i64 = 100_000;

/// `histogram` as a series description writes it, what is zero left out: `{{schema:1 count:3 sum:5 buckets:[1 2]}}`.
///
/// Of upstream's form byte for byte, so that two histograms are the same to a unit test where their texts are. The one
/// exception has no such form: buckets too far apart, which stand as `index:count`.
pub(crate) fn describe(histogram: &FloatHistogram) -> String {
    let mut parts: Vec<String> = Vec::new();
    if histogram.schema != 0 {
        parts.push(format!("schema:{}", histogram.schema));
    }
    for (key, value) in [
        ("count", histogram.count),
        ("sum", histogram.sum),
        ("z_bucket", histogram.zero_count),
        ("z_bucket_w", histogram.zero_threshold),
    ] {
        if value != 0.0 {
            parts.push(format!("{key}:{}", format_float_g(value)));
        }
    }
    if histogram.schema == CUSTOM_BUCKETS_SCHEMA {
        parts.push(format!("custom_values:{}", list(&histogram.custom_values)));
    }
    let hint = match histogram.counter_reset_hint {
        CounterResetHint::Unknown => None,
        CounterResetHint::Reset => Some("reset"),
        CounterResetHint::NotReset => Some("not_reset"),
        CounterResetHint::Gauge => Some("gauge"),
    };
    parts.extend(hint.map(|hint| format!("counter_reset_hint:{hint}")));
    describe_side(["offset", "buckets"], &histogram.positive_spans, &histogram.positive_buckets, &mut parts);
    describe_side(
        ["n_offset", "n_buckets"],
        &histogram.negative_spans,
        &histogram.negative_buckets,
        &mut parts,
    );
    format!("{{{{{}}}}}", parts.join(" "))
}

/// One side, from its first populated bucket to its last.
fn describe_side(keys: [&str; 2], spans: &[Span], buckets: &[f64], parts: &mut Vec<String>) {
    let populated: Vec<(i32, f64)> = indexed(spans, buckets).filter(|(_, count)| *count != 0.0).collect();
    let (Some((first, _)), Some((last, _))) = (populated.first(), populated.last()) else { return };
    if i64::from(*last) - i64::from(*first) >= BUCKETS_MAX {
        let pairs: Vec<String> =
            populated.iter().map(|(index, count)| format!("{index}:{}", format_float_g(*count))).collect();
        parts.push(format!("{}:[{}]", keys[1], pairs.join(" ")));
        return;
    }
    if *first != 0 {
        parts.push(format!("{}:{first}", keys[0]));
    }
    let mut counts = vec![0.0; last.abs_diff(*first) as usize + 1];
    for (index, count) in &populated {
        counts[index.abs_diff(*first) as usize] = *count;
    }
    parts.push(format!("{}:{}", keys[1], list(&counts)));
}

fn list(values: &[f64]) -> String {
    let values: Vec<String> = values.iter().map(|value| format_float_g(*value)).collect();
    format!("[{}]", values.join(" "))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::promql::parse::SequenceValue;
    use crate::promql::testlang::load::parse_series;

    fn read(text: &str) -> FloatHistogram {
        let series = parse_series(&format!("{{}} {text}")).expect("the notation is sound");
        match series.values.first() {
            Some(SequenceValue::Histogram { histogram, .. }) => (**histogram).clone(),
            other => panic!("{other:?} is no histogram"),
        }
    }

    #[test]
    fn descriptions_are_read_back_without_zeros() {
        for (written, described) in [
            ("{{}}", "{{}}"),
            ("{{schema:0 count:0 buckets:[0 0] offset:4}}", "{{}}"),
            ("{{sum:2.5 count:1e7 schema:-1}}", "{{schema:-1 count:1e+07 sum:2.5}}"),
            (
                "{{buckets:[0 1 0 2 0] offset:-2 n_buckets:[3]}}",
                "{{offset:-1 buckets:[1 0 2] n_buckets:[3]}}",
            ),
            (
                "{{schema:-53 count:3 custom_values:[1 2.5] buckets:[1 2] counter_reset_hint:gauge}}",
                "{{schema:-53 count:3 custom_values:[1 2.5] counter_reset_hint:gauge buckets:[1 2]}}",
            ),
            ("{{z_bucket:2 z_bucket_w:0.001 sum:NaN}}", "{{sum:NaN z_bucket:2 z_bucket_w:0.001}}"),
        ] {
            assert_eq!(describe(&read(written)), described, "{written}");
            assert_eq!(describe(&read(described)), described);
        }
    }

    #[test]
    fn far_buckets_take_little_room() {
        let spans = vec![Span { offset: -5, length: 1 }, Span { offset: i32::MAX, length: 1 }];
        let histogram =
            FloatHistogram { positive_spans: spans, positive_buckets: vec![1.0, 2.0], ..Default::default() };
        assert_eq!(describe(&histogram), "{{buckets:[-5:1 2147483643:2]}}");
    }
}
