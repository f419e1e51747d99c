//! What a parser hands out.

use std::borrow::Cow;

use crate::model::{
    BUCKET_LABEL, Exemplar, Labels, LabelsBuilder, LabelsError, METRIC_NAME, MetricType, Timestamp,
};

use super::number::parse_float;

/// Label that holds a summary's quantile.
const QUANTILE_LABEL: &str = "quantile";

/// One entry of a body. Borrows from the parser until the next one is asked for.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum Entry<'p> {
    /// A sample.
    Sample(SampleEntry<'p>),
    /// `# HELP`: help text of a metric family.
    Help {
        /// Name of the family.
        metric: Cow<'p, str>,
        /// The text, unescaped.
        help: Cow<'p, str>,
    },
    /// `# TYPE`: type of a metric family; `untyped` is [`MetricType::Unknown`].
    Type {
        /// Name of the family.
        metric: Cow<'p, str>,
        /// Its type.
        metric_type: MetricType,
    },
    /// `# UNIT`: unit of a metric family; only in OpenMetrics.
    Unit {
        /// Name of the family.
        metric: Cow<'p, str>,
        /// Its unit.
        unit: &'p str,
    },
    /// A comment; only in the Prometheus text format.
    Comment,
}

/// A label as it stands in the body: quotes taken off, escapes still in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LabelText<'p> {
    /// Name.
    pub name: &'p str,
    /// Value.
    pub value: &'p str,
}

/// One sample.
#[derive(Clone, Debug, PartialEq)]
pub struct SampleEntry<'p> {
    /// Name and labels as they stand in the body: a key under which a scrape may remember the series.
    pub series: &'p [u8],
    /// Metric name, escapes still in.
    pub(super) metric: &'p str,
    /// Labels in the order of the body.
    pub(super) labels: &'p [LabelText<'p>],
    /// Type of the family whose `# TYPE` came last: decides whether `le` and `quantile` are normalised.
    pub(super) metric_type: MetricType,
    /// Value; every NaN is the usual one, so that no target can send the stale marker.
    pub value: f64,
    /// Time, where the body gives one.
    pub timestamp: Option<Timestamp>,
    /// Exemplar, where there is one; only in OpenMetrics.
    pub exemplar: Option<ExemplarEntry<'p>>,
}

/// An exemplar behind a sample.
#[derive(Clone, Debug, PartialEq)]
pub struct ExemplarEntry<'p> {
    /// Labels in the order of the body.
    pub(super) labels: &'p [LabelText<'p>],
    /// Value.
    pub value: f64,
    /// Time, where the body gives one.
    pub timestamp: Option<Timestamp>,
}

impl SampleEntry<'_> {
    /// The metric name.
    pub fn metric_name(&self) -> Cow<'_, str> {
        unescape_label(self.metric)
    }

    /// The label set with the metric name. A repeated name is an error. Allocates: ask once per new [`Self::series`].
    pub fn labels(&self) -> Result<Labels, LabelsError> {
        let mut builder = LabelsBuilder::default();
        self.push_labels(&mut builder);
        builder.build()
    }

    /// Pushes metric name and labels as they came, repeated names too, for relabelling before the set is built.
    pub fn push_labels(&self, builder: &mut LabelsBuilder) {
        builder.push(METRIC_NAME, &self.metric_name());
        for label in self.labels {
            let name = unescape_label(label.name);
            let value = self.normalised(&name, unescape_label(label.value));
            builder.push(&name, &value);
        }
    }

    /// Bounds and quantiles in OpenMetrics' spelling, so that `le="1"` and `le="1.0"` are one series.
    fn normalised<'v>(&self, name: &str, value: Cow<'v, str>) -> Cow<'v, str> {
        let is_number = match self.metric_type {
            MetricType::Histogram => name == BUCKET_LABEL,
            MetricType::Summary => name == QUANTILE_LABEL,
            _ => false,
        };
        match is_number.then(|| parse_float(&value)) {
            Some(Ok(number)) => Cow::Owned(format_open_metrics_float(number)),
            _ => value,
        }
    }
}

impl ExemplarEntry<'_> {
    /// The exemplar; `time` is that of the scrape or sample, for one without its own.
    pub fn exemplar(&self, time: Timestamp) -> Result<Exemplar, LabelsError> {
        let mut builder = LabelsBuilder::default();
        for label in self.labels {
            builder.push(&unescape_label(label.name), &unescape_label(label.value));
        }
        Ok(Exemplar {
            labels: builder.build()?,
            value: self.value,
            timestamp: self.timestamp.unwrap_or(time),
        })
    }
}

/// `value` as OpenMetrics writes bounds: always with a point or an exponent, as Go's `%g` would choose.
fn format_open_metrics_float(value: f64) -> String {
    if value.is_nan() {
        return "NaN".to_owned();
    }
    if value.is_infinite() {
        return if value > 0.0 { "+Inf" } else { "-Inf" }.to_owned();
    }
    let magnitude = value.abs();
    // Go's %g with the shortest digits: an exponent below 1e-4 and from 1e6 on.
    let text = if magnitude != 0.0 && !(1e-4..1e6).contains(&magnitude) {
        go_exponent(&format!("{value:e}"))
    } else {
        format!("{value}")
    };
    if text.contains(['e', '.']) { text } else { text + ".0" }
}

/// Rust's `1e-7` as Go's `1e-07`, and `1e21` as `1e+21`.
fn go_exponent(text: &str) -> String {
    let (mantissa, exponent) = text.split_once('e').unwrap_or((text, "0"));
    let (sign, digits) = match exponent.strip_prefix('-') {
        Some(digits) => ('-', digits),
        None => ('+', exponent),
    };
    format!("{mantissa}e{sign}{digits:0>2}")
}

/// A label name or value, or a help text of OpenMetrics, without its escapes: `\"`, `\\` and `\n`; any other
/// backslash stays.
pub(super) fn unescape_label(text: &str) -> Cow<'_, str> {
    unescape(text, true)
}

/// A help text of the Prometheus format without its escapes: `\\` and `\n`.
pub(super) fn unescape_help(text: &str) -> Cow<'_, str> {
    unescape(text, false)
}

fn unescape(text: &str, quotes: bool) -> Cow<'_, str> {
    if !text.contains('\\') {
        return Cow::Borrowed(text);
    }
    let mut plain = String::with_capacity(text.len());
    let mut chars = text.chars().peekable();
    while let Some(c) = chars.next() {
        let escaped = match (c, chars.peek()) {
            ('\\', Some('n')) => Some('\n'),
            ('\\', Some('\\')) => Some('\\'),
            ('\\', Some('"')) if quotes => Some('"'),
            _ => None,
        };
        if escaped.is_some() {
            chars.next();
        }
        plain.push(escaped.unwrap_or(c));
    }
    Cow::Owned(plain)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bounds_are_spelled_as_open_metrics_wants() {
        let cases = [
            (1.0, "1.0"),
            (0.0, "0.0"),
            (-1.0, "-1.0"),
            (0.5, "0.5"),
            (f64::INFINITY, "+Inf"),
            (f64::NEG_INFINITY, "-Inf"),
            (f64::NAN, "NaN"),
            (1e-5, "1e-05"),
            (0.0001, "0.0001"),
            (999_999.0, "999999.0"),
            (1e6, "1e+06"),
            (123_456_789.0, "1.23456789e+08"),
            (1.5e-10, "1.5e-10"),
            (1e100, "1e+100"),
        ];
        for (value, text) in cases {
            assert_eq!(format_open_metrics_float(value), text);
        }
    }

    #[test]
    fn escapes_come_off_once() {
        assert_eq!(unescape_label(r#"a\\nb\n\"\x"#), "a\\nb\n\"\\x");
        assert_eq!(unescape_help(r#"a\\nb\n\"\"#), "a\\nb\n\\\"\\");
        assert!(matches!(unescape_label("plain"), Cow::Borrowed("plain")));
    }
}
