//! Series descriptions: the notation of test scripts for a series and its values, as in `up{job="a"} 1 2x3 _ 5+1x4`.
//!
//! Also upstream's `promtool test rules` reads it. Expanded lists are bounded before they are made.

use std::sync::Arc;

use nom::branch::alt;
use nom::bytes::complete::{tag, tag_no_case, take_while, take_while1};
use nom::character::complete::{char, digit1, one_of};
use nom::combinator::{opt, recognize, value};
use nom::{IResult, Parser as _};

use crate::model::{CounterResetHint, FloatHistogram, Labels, LabelsBuilder, METRIC_NAME, Span, stale_nan};

use super::ParseError;
use super::ast::PosRange;
use super::error::{Fault, Parsing};
use super::lexer::{name, scan_number, scan_string, spaces1};
use super::number::parse_number;
use super::text::unquote;

/// Most values that a description may stand for.
const VALUES_MAX: usize = 1_000_000;

/// A series and its values.
#[derive(Clone, Debug, PartialEq)]
pub struct SeriesDescription {
    /// Labels, the metric name among them.
    pub labels: Labels,
    /// Values in time order, one per step.
    pub values: Vec<SequenceValue>,
}

/// One position of a series.
#[derive(Clone, Debug, PartialEq)]
pub enum SequenceValue {
    /// `_`: no sample.
    Omitted,
    /// A number, or the stale marker.
    Float(f64),
    /// A native histogram.
    Histogram {
        /// Its value.
        histogram: Arc<FloatHistogram>,
        /// Whether the notation named a counter reset hint, which a comparison then looks at.
        hint_is_set: bool,
    },
}

/// `left + sign * right`, or why there is no such histogram.
pub type HistogramSum =
    fn(left: &FloatHistogram, right: &FloatHistogram, sign: f64) -> Result<FloatHistogram, String>;

/// Parses a series description. The error is the first one found; its position is in `text`. `sum` makes the series
/// of a histogram with a step.
pub fn parse_series_description(text: &str, sum: HistogramSum) -> Result<SeriesDescription, ParseError> {
    Description { text, rest: text, sum }.parse().map_err(|fault| fault.within(text))
}

/// What is left of a description.
struct Description<'a> {
    text: &'a str,
    rest: &'a str,
    sum: HistogramSum,
}

impl<'a> Description<'a> {
    fn parse(mut self) -> Parsing<SeriesDescription> {
        self.take(spaces1);
        let labels = self.metric()?;
        let mut values = Vec::new();
        while !self.rest.is_empty() {
            if self.take(spaces1).is_none() {
                return self.fault("unexpected text in series values, expected a space");
            }
            if !self.rest.is_empty() {
                self.item(&mut values)?;
            }
        }
        Ok(SeriesDescription { labels, values })
    }

    /// What `parser` takes from the front; `None` takes nothing.
    fn take<O>(&mut self, mut parser: impl FnMut(&'a str) -> IResult<&'a str, O>) -> Option<O> {
        let (rest, output) = parser(self.rest).ok()?;
        self.rest = rest;
        Some(output)
    }

    fn take_tag(&mut self, text: &str) -> bool {
        match self.rest.strip_prefix(text) {
            Some(rest) => {
                self.rest = rest;
                true
            }
            None => false,
        }
    }

    fn fault<T>(&self, message: impl Into<String>) -> Parsing<T> {
        let start = self.text.len() - self.rest.len();
        Fault::new(PosRange { start, end: self.text.len() }, message)
    }

    fn metric(&mut self) -> Parsing<Labels> {
        let mut labels = LabelsBuilder::default();
        let metric = self.take(|rest| name(rest, true));
        if self.take_tag("{") {
            self.label_set(&mut labels)?;
        }
        if let Some(metric) = metric {
            labels.set(METRIC_NAME, metric);
        }
        labels.build().or_else(|error| self.fault(error.to_string()))
    }

    fn label_set(&mut self, labels: &mut LabelsBuilder) -> Parsing<()> {
        loop {
            self.take(spaces1);
            if self.take_tag("}") {
                return Ok(());
            }
            let is_quoted = self.rest.starts_with(['"', '\'', '`']);
            let label = match self.take(|rest| name(rest, false)) {
                Some(label) => label.to_owned(),
                None if is_quoted => self.string()?,
                None => return self.fault("unexpected text in label set, expected identifier or \"}\""),
            };
            self.take(spaces1);
            if self.take_tag("=") {
                self.take(spaces1);
                let text = self.string()?;
                labels.push(&label, &text);
            } else if is_quoted {
                labels.set(METRIC_NAME, &label);
            } else {
                return self.fault("unexpected text in label set, expected \"=\"");
            }
            self.take(spaces1);
            if !self.take_tag(",") && !self.rest.starts_with('}') {
                return self.fault("unexpected text in label set, expected \",\" or \"}\"");
            }
        }
    }

    fn string(&mut self) -> Parsing<String> {
        let Some(quote) = self.rest.chars().next().filter(|c| matches!(c, '"' | '\'' | '`')) else {
            return self.fault("unexpected text in label set, expected string");
        };
        let len = scan_string(self.rest, quote).or_else(|message| self.fault(message))?;
        let Some(bytes) = unquote(&self.rest[..len]) else {
            return self.fault("error unquoting string: invalid syntax");
        };
        self.rest = &self.rest[len..];
        Ok(String::from_utf8_lossy(&bytes).into_owned())
    }

    /// One item between spaces, which may stand for many values.
    fn item(&mut self, values: &mut Vec<SequenceValue>) -> Parsing<()> {
        if self.take_tag("_") {
            let count = self.repetitions()?.unwrap_or(1);
            return self.push_all(values, count, |_| SequenceValue::Omitted);
        }
        if self.rest.starts_with("{{") {
            return self.histogram_item(values);
        }
        if self.take(word("stale")).is_some() {
            values.push(SequenceValue::Float(stale_nan()));
            return Ok(());
        }
        let Some(mut current) = self.number(true)? else {
            return self.fault("unexpected text in series values, expected number or \"stale\"");
        };
        let step = if self.rest.starts_with(['+', '-']) { self.number(true)? } else { None };
        match (self.repetitions()?, step) {
            (None, None) => {
                values.push(SequenceValue::Float(current));
                Ok(())
            }
            (None, Some(_)) => self.fault("unexpected text in series values, expected \"x\""),
            (Some(count), step) => self.push_all(values, count.saturating_add(1), |_| {
                let value = current;
                current += step.unwrap_or(0.0);
                SequenceValue::Float(value)
            }),
        }
    }

    /// Adds `count` values, if that many may be.
    fn push_all(
        &self,
        values: &mut Vec<SequenceValue>,
        count: usize,
        value: impl FnMut(usize) -> SequenceValue,
    ) -> Parsing<()> {
        if values.len().saturating_add(count) > VALUES_MAX {
            return self.fault(format!("more than {VALUES_MAX} values in a series"));
        }
        values.extend((0..count).map(value));
        Ok(())
    }

    /// `xN`
    fn repetitions(&mut self) -> Parsing<Option<usize>> {
        if !self.take_tag("x") {
            return Ok(None);
        }
        let Some(digits) = self.take(digit1) else {
            return self.fault("unexpected text in series values, expected a number of repetitions");
        };
        match digits.parse() {
            Ok(count) => Ok(Some(count)),
            Err(_) => self.fault(format!("invalid repetition in series values: {digits}")),
        }
    }

    /// A number, `Inf` or `NaN`, with a sign where `signed` allows one.
    fn number(&mut self, signed: bool) -> Parsing<Option<f64>> {
        let start = self.rest;
        let sign = if signed { self.take(one_of("+-")) } else { None };
        let special = self.take(word("inf")).is_some() || self.take(word("nan")).is_some();
        if !special {
            let scan = scan_number(self.rest, false);
            if !scan.is_sound || !self.rest.starts_with(|c: char| c.is_ascii_digit() || c == '.') {
                self.rest = start;
                return Ok(None);
            }
            self.rest = &self.rest[scan.len..];
        }
        let text = &start[..start.len() - self.rest.len()];
        let unsigned = text.trim_start_matches(['+', '-']);
        match parse_number(unsigned) {
            Ok(number) => Ok(Some(if sign == Some('-') { -number } else { number })),
            Err(error) => self.fault(format!("error parsing number: {error}")),
        }
    }

    fn histogram_item(&mut self, values: &mut Vec<SequenceValue>) -> Parsing<()> {
        let (first, first_hint) = self.histogram()?;
        let step = match self.rest.as_bytes() {
            [sign @ (b'+' | b'-'), b'{', b'{', ..] => {
                let negate = *sign == b'-';
                self.rest = &self.rest[1..];
                Some((self.histogram()?, negate))
            }
            _ => None,
        };
        match (self.repetitions()?, step) {
            (None, None) => {
                let histogram = Arc::new(first);
                values.push(SequenceValue::Histogram { histogram, hint_is_set: first_hint });
                Ok(())
            }
            (None, Some(_)) => self.fault("unexpected text in series values, expected \"x\""),
            (Some(count), None) => {
                let histogram = Arc::new(first);
                self.push_all(values, count.saturating_add(1), |_| SequenceValue::Histogram {
                    histogram: Arc::clone(&histogram),
                    hint_is_set: first_hint,
                })
            }
            (Some(count), Some(((step, hint_is_set), negate))) => {
                let series = self.stepped(first, &step, negate, count)?;
                self.push_all(values, series.len(), |at| SequenceValue::Histogram {
                    histogram: Arc::clone(&series[at]),
                    hint_is_set,
                })
            }
        }
    }

    /// `first` and `count` more, each the one before plus or minus `step`.
    fn stepped(
        &self,
        first: FloatHistogram,
        step: &FloatHistogram,
        negate: bool,
        count: usize,
    ) -> Parsing<Vec<Arc<FloatHistogram>>> {
        if count >= VALUES_MAX {
            return self.fault(format!("more than {VALUES_MAX} values in a series"));
        }
        let mut series = vec![Arc::new(first)];
        for at in 0..count {
            let current = &series[at];
            if current.schema > step.schema {
                return self.fault(format!(
                    "error combining histograms: cannot merge from schema {} to {}",
                    step.schema, current.schema
                ));
            }
            let sign = if negate { -1.0 } else { 1.0 };
            let next = (self.sum)(current, step, sign).or_else(|error| self.fault(error))?;
            series.push(Arc::new(next));
        }
        Ok(series)
    }

    /// `{{key:value ...}}`, and whether it named a counter reset hint.
    fn histogram(&mut self) -> Parsing<(FloatHistogram, bool)> {
        let mut seen: Vec<String> = Vec::new();
        let mut parts = HistogramParts::default();
        if !self.take_tag("{{") {
            return self.fault("unexpected text in histogram description, expected \"{{\"");
        }
        loop {
            let separated = self.take(spaces1).is_some();
            if self.take_tag("}}") {
                break;
            }
            let is_key = |c: char| c == '_' || c.is_ascii_alphabetic();
            let key = self.take(|rest| take_while1::<_, _, nom::error::Error<&str>>(is_key)(rest));
            let Some(key) = key.filter(|_| separated || seen.is_empty()) else {
                return self.fault(
                    "unexpected text in histogram description, expected histogram description key, e.g. buckets:[5 10 7]",
                );
            };
            let key = key.to_ascii_lowercase();
            if !self.take_tag(":") {
                return self.fault("missing `:` for histogram descriptor");
            }
            if seen.contains(&key) {
                return self.fault(format!("duplicate key \"{key}\" in histogram"));
            }
            self.histogram_field(&key, &mut parts)?;
            seen.push(key);
        }
        Ok((parts.build(), seen.iter().any(|key| key == "counter_reset_hint")))
    }

    fn histogram_field(&mut self, key: &str, parts: &mut HistogramParts) -> Parsing<()> {
        match key {
            "schema" => parts.histogram.schema = self.integer()?,
            "sum" => parts.histogram.sum = self.float()?,
            "count" => parts.histogram.count = self.float()?,
            "z_bucket" => parts.histogram.zero_count = self.float()?,
            "z_bucket_w" => parts.histogram.zero_threshold = self.float()?,
            "custom_values" => parts.histogram.custom_values = self.float_list()?,
            "buckets" => parts.histogram.positive_buckets = self.float_list()?,
            "n_buckets" => parts.histogram.negative_buckets = self.float_list()?,
            "offset" => parts.positive_offset = self.integer()?,
            "n_offset" => parts.negative_offset = self.integer()?,
            "counter_reset_hint" => match self.take(reset_hint) {
                Some(hint) => parts.histogram.counter_reset_hint = hint,
                None => return self.fault("error parsing counter_reset_hint: unknown value"),
            },
            _ => return self.fault(format!("bad histogram descriptor found: \"{key}\"")),
        }
        Ok(())
    }

    fn float(&mut self) -> Parsing<f64> {
        match self.number(true)? {
            Some(number) => Ok(number),
            None => self.fault("unexpected text in histogram description, expected a number"),
        }
    }

    fn integer(&mut self) -> Parsing<i32> {
        let digits = self.take(|rest| recognize((opt(char('-')), digit1)).parse(rest));
        match digits.and_then(|digits| digits.parse().ok()) {
            Some(integer) => Ok(integer),
            None => self.fault("unexpected text in histogram description, expected an integer"),
        }
    }

    fn float_list(&mut self) -> Parsing<Vec<f64>> {
        if !self.take_tag("[") {
            return self.fault("unexpected text in histogram description, expected \"[\"");
        }
        let mut list = vec![self.float()?];
        loop {
            let separated = self.take(spaces1).is_some();
            if self.take_tag("]") {
                return Ok(list);
            }
            if !separated {
                return self.fault("unexpected text in histogram description, expected \"]\"");
            }
            list.push(self.float()?);
        }
    }
}

/// A histogram before its spans are made.
#[derive(Default)]
struct HistogramParts {
    histogram: FloatHistogram,
    positive_offset: i32,
    negative_offset: i32,
}

impl HistogramParts {
    fn build(self) -> FloatHistogram {
        let spans = |offset: i32, buckets: &[f64]| match u32::try_from(buckets.len()) {
            Ok(length) if length > 0 => vec![Span { offset, length }],
            _ => Vec::new(),
        };
        let mut histogram = self.histogram;
        histogram.positive_spans = spans(self.positive_offset, &histogram.positive_buckets);
        histogram.negative_spans = spans(self.negative_offset, &histogram.negative_buckets);
        histogram
    }
}

/// A whole word in any case; `stale` only as it stands.
fn word<'a>(wanted: &'static str) -> impl FnMut(&'a str) -> IResult<&'a str, &'a str> {
    move |input| {
        let (rest, found) = if wanted == "stale" { tag(wanted)(input) } else { tag_no_case(wanted)(input) }?;
        let (_, more) = take_while(|c: char| c.is_ascii_alphanumeric() || c == '_')(rest)?;
        if more.is_empty() {
            Ok((rest, found))
        } else {
            Err(nom::Err::Error(nom::error::make_error(rest, nom::error::ErrorKind::Tag)))
        }
    }
}

fn reset_hint(input: &str) -> IResult<&str, CounterResetHint> {
    alt((
        value(CounterResetHint::Unknown, tag_no_case("unknown")),
        value(CounterResetHint::NotReset, tag_no_case("not_reset")),
        value(CounterResetHint::Reset, tag_no_case("reset")),
        value(CounterResetHint::Gauge, tag_no_case("gauge")),
    ))
    .parse(input)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Enough of a sum for these tests: same buckets.
    fn sum(left: &FloatHistogram, right: &FloatHistogram, sign: f64) -> Result<FloatHistogram, String> {
        if left.positive_spans != right.positive_spans {
            return Err("other buckets".to_owned());
        }
        let add = |(a, b): (&f64, &f64)| a + sign * b;
        let positive_buckets = left.positive_buckets.iter().zip(&right.positive_buckets).map(add).collect();
        Ok(FloatHistogram { count: left.count + sign * right.count, positive_buckets, ..left.clone() })
    }

    fn floats(text: &str) -> Vec<Option<f64>> {
        let series = parse_series_description(text, sum).unwrap_or_else(|error| panic!("{text}: {error}"));
        let float = |value: &SequenceValue| match value {
            SequenceValue::Omitted => None,
            SequenceValue::Float(value) => Some(*value),
            SequenceValue::Histogram { .. } => panic!("no histograms here"),
        };
        series.values.iter().map(float).collect()
    }

    fn histogram(text: &str) -> FloatHistogram {
        let series = parse_series_description(text, sum).unwrap_or_else(|error| panic!("{text}: {error}"));
        match series.values.last() {
            Some(SequenceValue::Histogram { histogram, .. }) => (**histogram).clone(),
            other => panic!("{other:?} is no histogram"),
        }
    }

    #[test]
    fn metrics_are_read_in_every_notation() {
        let cases = [
            ("up", r#"{__name__="up"}"#),
            ("sum{a=\"b\", c='d',} 1", r#"{__name__="sum", a="b", c="d"}"#),
            ("{a=`b`}\t1", r#"{a="b"}"#),
            ("{\"a.b\", \"c.d\"=\"e\"}", r#"{__name__="a.b", "c.d"="e"}"#),
            ("{} 1", "{}"),
            ("up{__name__=\"down\"} 1", r#"{__name__="up"}"#),
        ];
        for (text, labels) in cases {
            let series =
                parse_series_description(text, sum).unwrap_or_else(|error| panic!("{text}: {error}"));
            assert_eq!(series.labels.to_string(), labels);
        }
    }

    #[test]
    fn values_are_expanded() {
        assert_eq!(floats("m"), []);
        assert_eq!(floats("m 1 -2 +3 .5 1e3 010"), [1.0, -2.0, 3.0, 0.5, 1000.0, 8.0].map(Some));
        assert_eq!(floats("m _ _x2 4x1"), [None, None, None, Some(4.0), Some(4.0)]);
        assert_eq!(floats("m 1+2x2 1-1x1"), [1.0, 3.0, 5.0, 1.0, 0.0].map(Some));
        assert_eq!(floats("m Inf -inf"), [f64::INFINITY, f64::NEG_INFINITY].map(Some));
        assert!(floats("m stale NaN").iter().all(|value| value.is_some_and(f64::is_nan)));
    }

    #[test]
    fn histograms_are_read_and_stepped() {
        let one = histogram(
            "m {{schema:1 sum:-2.5 count:4 z_bucket:1 z_bucket_w:0.1 buckets:[1 0 2 ] offset:-3 n_buckets:[3] counter_reset_hint:gauge}}",
        );
        assert_eq!((one.schema, one.sum, one.count, one.zero_count), (1, -2.5, 4.0, 1.0));
        assert_eq!(one.positive_spans, [Span { offset: -3, length: 3 }]);
        assert_eq!((one.negative_buckets.as_slice(), one.zero_threshold), (&[3.0][..], 0.1));
        assert_eq!(one.counter_reset_hint, CounterResetHint::Gauge);
        assert_eq!(histogram("m {{}}x2"), FloatHistogram::default());
        let last = histogram("m {{count:1 buckets:[1 0]}}+{{count:2 buckets:[1 1]}}x3");
        assert_eq!((last.count, last.positive_buckets), (7.0, vec![4.0, 3.0]));
    }

    #[test]
    fn what_is_no_description_is_refused() {
        for bad in [
            "m 1 2stale",
            "m stalex2",
            "m 1+2",
            "m 0x5z",
            "m x",
            "m {{a:1}}",
            "m {{sum:1 sum:2}}",
            "m {{sum 1}}",
            "m {{buckets:[]}}",
            "m 1 # no",
            "m{a} 1",
            "m{a=\"b\" c=\"d\"} 1",
            "m{a=\"b\", a=\"c\"} 1",
            "m 1x99999999999",
            "m {{}}+{{}}",
            "m {{}}x2000000",
            "m {{schema:1}}+{{}}x1",
            "m 1{{}}",
            "m {{sum:1",
            "m Infx3",
        ] {
            assert!(parse_series_description(bad, sum).is_err(), "{bad}");
        }
    }
}
