//! The answer of an expression beside the one that must come.

use crate::model::{CounterResetHint, FloatHistogram, Labels, format_float_e};
use crate::promql::parse::SequenceValue;
use crate::promql::testlang::describe::describe;
use crate::promql::testlang::load::parse_series;
use crate::promql::{QueryValue, SampleValue};

use super::file::ExpectedSample;

/// One sample as a test sees it.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct SeenSample {
    labels: Labels,
    value: f64,
    /// A histogram in the notation of series descriptions; empty where it is none.
    histogram: String,
}

impl SeenSample {
    /// What a file says; the error says what is wrong with it.
    pub(super) fn expected(sample: &ExpectedSample) -> Result<Self, String> {
        let refused = |error: String| format!("labels {:?}: {error}", sample.labels);
        let series = parse_series(&sample.labels).map_err(refused)?;
        if !series.values.is_empty() {
            return Err(refused("values stand behind the labels".to_owned()));
        }
        let histogram = if sample.histogram.is_empty() {
            String::new()
        } else {
            expected_histogram(&sample.histogram).map_err(refused)?
        };
        Ok(Self { labels: series.labels, value: sample.value, histogram })
    }

    /// Tells whether two values are the same; `fuzzy` allows the next number on each side. NaN is not itself here,
    /// as it is not upstream.
    fn is_same(&self, other: &Self, fuzzy: bool) -> bool {
        let (a, b) = (self.value, other.value);
        let is_equal = a == b || (fuzzy && (a.next_down() == b || a.next_up() == b));
        is_equal && self.labels == other.labels && self.histogram == other.histogram
    }

    fn show(&self) -> String {
        match self.histogram.as_str() {
            "" => format!("{} {}", self.labels, format_float_e(self.value).replace('e', "E")),
            histogram => format!("{} {histogram}", self.labels),
        }
    }
}

fn expected_histogram(text: &str) -> Result<String, String> {
    let values = parse_series(&format!("{{}} {text}"))?.values;
    match values.as_slice() {
        [SequenceValue::Histogram { histogram, .. }] => Ok(describe(histogram)),
        [SequenceValue::Float(value)] => Err(format!("expected histogram, got {value:.6}")),
        [SequenceValue::Omitted] => Err("expected histogram, got _".to_owned()),
        values => Err(format!("expected 1 value, got {}", values.len())),
    }
}

/// Upstream's storage does not keep that a sender told of a reset.
fn without_reset(histogram: &FloatHistogram) -> FloatHistogram {
    let counter_reset_hint = match histogram.counter_reset_hint {
        CounterResetHint::Reset => CounterResetHint::Unknown,
        kept => kept,
    };
    FloatHistogram { counter_reset_hint, ..histogram.clone() }
}

/// The samples of an answer; a scalar is a sample without labels. The error is upstream's.
pub(super) fn samples_of(value: QueryValue) -> Result<Vec<SeenSample>, String> {
    let seen = |labels, value| match value {
        SampleValue::Float(value) => SeenSample { labels, value, histogram: String::new() },
        SampleValue::Histogram(histogram) => {
            SeenSample { labels, value: 0.0, histogram: describe(&without_reset(&histogram)) }
        }
    };
    match value {
        QueryValue::Scalar { v, .. } => Ok(vec![seen(Labels::default(), SampleValue::Float(v))]),
        QueryValue::Vector(samples) => {
            Ok(samples.into_iter().map(|sample| seen(sample.labels, sample.value)).collect())
        }
        QueryValue::String { .. } | QueryValue::Matrix(_) => {
            Err("rule result is not a vector or scalar".to_owned())
        }
    }
}

/// Compares in any order. The error shows both sides.
pub(super) fn compare(
    mut expected: Vec<SeenSample>,
    mut got: Vec<SeenSample>,
    fuzzy: bool,
) -> Result<(), String> {
    for samples in [&mut expected, &mut got] {
        samples.sort_by(|a, b| a.labels.cmp(&b.labels));
    }
    let is_same = |(a, b): (&SeenSample, &SeenSample)| a.is_same(b, fuzzy);
    if expected.len() == got.len() && expected.iter().zip(&got).all(is_same) {
        return Ok(());
    }
    Err(format!("exp: {}\n        got: {}", list(&expected), list(&got)))
}

fn list(samples: &[SeenSample]) -> String {
    match samples {
        [] => "nil".to_owned(),
        _ => samples.iter().map(SeenSample::show).collect::<Vec<_>>().join(", "),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn expected(labels: &str, value: f64, histogram: &str) -> Result<SeenSample, String> {
        let (labels, histogram) = (labels.to_owned(), histogram.to_owned());
        SeenSample::expected(&ExpectedSample { labels, value, histogram })
    }

    fn sample(labels: &str, value: f64) -> SeenSample {
        expected(labels, value, "").expect("labels are sound")
    }

    #[test]
    fn samples_are_compared_in_label_order() {
        let (a, b) = (sample("m{a=\"1\"}", 1.0), sample("m{a=\"2\"}", 2.0));
        assert_eq!(compare(vec![a.clone(), b.clone()], vec![b.clone(), a.clone()], false), Ok(()));
        let error = compare(vec![a], vec![b, sample("", 1.5e-9)], false).expect_err("they differ");
        assert_eq!(
            error,
            "exp: {__name__=\"m\", a=\"1\"} 1E+00\n        got: {} 1.5E-09, {__name__=\"m\", a=\"2\"} 2E+00"
        );
        assert_eq!(
            compare(Vec::new(), vec![sample("{}", f64::NAN)], false),
            Err("exp: nil\n        got: {} NaN".to_owned())
        );
    }

    #[test]
    fn fuzzy_comparison_forgives_the_last_bit() {
        let (sum, third) = (0.1 + 0.2, 0.3_f64);
        let compared = |value, fuzzy| compare(vec![sample("a", value)], vec![sample("a", sum)], fuzzy);
        assert!(compared(third, false).is_err());
        assert_eq!(compared(third, true), Ok(()));
        assert!(compared(third.next_down(), true).is_err());
        let nan = || vec![sample("a", f64::NAN)];
        assert!(compare(nan(), nan(), true).is_err());
    }

    #[test]
    fn histograms_are_compared_as_text() {
        let written = expected("h", 0.0, "{{buckets:[1 0] count:1}}").expect("it is sound");
        assert_eq!(written.histogram, "{{count:1 buckets:[1]}}");
        for (labels, histogram, error) in [
            ("h{", "", "labels \"h{\": "),
            ("h 1", "", "labels \"h 1\": values stand"),
            ("h", "{{x}}", "labels \"h\": "),
            ("h", "5", "labels \"h\": expected histogram, got 5.000000"),
            ("h", "_", "labels \"h\": expected histogram, got _"),
            ("h", "{{}}x2", "labels \"h\": expected 1 value, got 3"),
        ] {
            let found = expected(labels, 0.0, histogram).expect_err("it is wrong");
            assert!(found.starts_with(error), "{found}");
        }
    }

    #[test]
    fn texts_and_ranges_are_no_samples() {
        assert!(samples_of(QueryValue::String { t: 0, v: Vec::new() }).is_err());
        assert!(samples_of(QueryValue::Matrix(Vec::new())).is_err());
        assert_eq!(samples_of(QueryValue::Scalar { t: 0, v: 2.0 }), Ok(vec![sample("{}", 2.0)]));
    }
}
