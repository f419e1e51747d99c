//! What a file of unit tests says, field by field.

use std::collections::BTreeMap;
use std::fmt;
use std::io::{self, Read as _};
use std::path::Path;

use serde::de::{Error as _, Visitor};
use serde::{Deserialize, Deserializer};
use serde_saphyr::options::NonFiniteFloatPolicy;

use crate::model::{Timestamp, parse_rfc3339_ms};
use crate::setting::{DurationMs, list_with_nulls, null_as_zero};

/// Largest file of unit tests, in bytes.
const FILE_BYTES_MAX: u64 = 64 << 20;
/// Most scalars, lists and mappings of a file; a tested time takes about ten.
const NODES_MAX: usize = 4_000_000;
/// Time between evaluations where the file names none.
const EVALUATION_INTERVAL: DurationMs = DurationMs(60_000);
/// Seconds since the epoch that a test may begin at or after its negative: the years that RFC 3339 can write.
const START_SECONDS_MAX: f64 = 253_402_300_799.0;

/// Why a file of unit tests cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TestFileError {
    /// It cannot be read.
    #[error("open {path}: {source}")]
    Read {
        /// The file.
        path: String,
        /// What the system said.
        source: io::Error,
    },
    /// It is not YAML, or not of this shape; the message says in which line.
    #[error("yaml: {0}")]
    Yaml(String),
    /// One group stands twice in the order of evaluation.
    #[error("group name repeated in evaluation order: {0}")]
    RepeatedGroup(String),
}

/// A file of unit tests. A null stands for a field's zero, as everywhere in upstream's files.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct TestFile {
    /// Files of rules, relative to this file; may hold wildcards.
    #[serde(deserialize_with = "list_with_nulls")]
    pub rule_files: Vec<String>,
    /// Time between evaluations; not zero once read.
    #[serde(deserialize_with = "null_as_zero")]
    pub evaluation_interval: DurationMs,
    /// Groups that are evaluated in this order.
    #[serde(deserialize_with = "list_with_nulls")]
    pub group_eval_order: Vec<String>,
    /// The tests.
    #[serde(deserialize_with = "list_with_nulls")]
    pub tests: Vec<TestCase>,
    /// Numbers may differ in their last bit.
    #[serde(deserialize_with = "null_as_zero")]
    pub fuzzy_compare: bool,
}

/// `<test_group>`: series, and what rules and expressions make of them.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct TestCase {
    /// Time between samples; not zero once read.
    #[serde(deserialize_with = "null_as_zero")]
    pub interval: DurationMs,
    /// Series that are there.
    #[serde(deserialize_with = "list_with_nulls")]
    pub input_series: Vec<InputSeries>,
    /// Which alerts fire when.
    #[serde(deserialize_with = "list_with_nulls")]
    pub alert_rule_test: Vec<AlertTest>,
    /// What expressions answer when.
    #[serde(deserialize_with = "list_with_nulls")]
    pub promql_expr_test: Vec<ExprTest>,
    /// External labels that templates see.
    #[serde(deserialize_with = "texts")]
    pub external_labels: BTreeMap<String, String>,
    /// External URL that templates see.
    #[serde(deserialize_with = "null_as_zero")]
    pub external_url: String,
    /// Its name; may be empty.
    #[serde(deserialize_with = "null_as_zero")]
    pub name: String,
    /// When samples and evaluations begin, in milliseconds since the epoch.
    #[serde(deserialize_with = "start_timestamp")]
    pub start_timestamp: Timestamp,
}

/// One series in the notation of [`crate::promql::parse::parse_series_description`].
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct InputSeries {
    /// Its labels.
    #[serde(deserialize_with = "null_as_zero")]
    pub series: String,
    /// Its values.
    #[serde(deserialize_with = "null_as_zero")]
    pub values: String,
}

/// Which alerts of one name must fire at a time.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct AlertTest {
    /// Time since the start.
    #[serde(deserialize_with = "null_as_zero")]
    pub eval_time: DurationMs,
    /// The alert's name.
    #[serde(deserialize_with = "null_as_zero")]
    pub alertname: String,
    /// The alerts, in any order.
    #[serde(deserialize_with = "list_with_nulls")]
    pub exp_alerts: Vec<ExpectedAlert>,
}

/// An alert that must fire.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ExpectedAlert {
    /// Its labels but `alertname`.
    #[serde(deserialize_with = "texts")]
    pub exp_labels: BTreeMap<String, String>,
    /// Its annotations.
    #[serde(deserialize_with = "texts")]
    pub exp_annotations: BTreeMap<String, String>,
}

/// What an expression must answer at a time.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ExprTest {
    /// The expression.
    #[serde(deserialize_with = "null_as_zero")]
    pub expr: String,
    /// Time since the start.
    #[serde(deserialize_with = "null_as_zero")]
    pub eval_time: DurationMs,
    /// The samples, in any order.
    #[serde(deserialize_with = "list_with_nulls")]
    pub exp_samples: Vec<ExpectedSample>,
}

/// A sample that must be in an answer.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ExpectedSample {
    /// Its labels as a series is written.
    #[serde(deserialize_with = "null_as_zero")]
    pub labels: String,
    /// Its value where it is no histogram.
    #[serde(deserialize_with = "number")]
    pub value: f64,
    /// Its value as a histogram; empty where it is none.
    #[serde(deserialize_with = "null_as_zero")]
    pub histogram: String,
}

impl TestFile {
    /// Reads a file and checks what can be checked without its rules.
    pub fn read(path: &str) -> Result<Self, TestFileError> {
        let failed = |source| TestFileError::Read { path: path.to_owned(), source };
        let file = std::fs::File::open(Path::new(path)).map_err(failed)?;
        let mut text = String::new();
        file.take(FILE_BYTES_MAX + 1).read_to_string(&mut text).map_err(failed)?;
        if text.len() as u64 > FILE_BYTES_MAX {
            return Err(failed(io::Error::other(format!("more than {FILE_BYTES_MAX} bytes"))));
        }
        Self::parse(&text)
    }

    /// Reads a text as [`Self::read`] reads a file.
    pub fn parse(text: &str) -> Result<Self, TestFileError> {
        let options = serde_saphyr::options! {
            non_finite_float_policy: NonFiniteFloatPolicy::PassThrough,
            legacy_octal_numbers: true,
            budget: serde_saphyr::budget! { max_nodes: NODES_MAX, max_events: 4 * NODES_MAX },
        };
        let file: Option<Self> = serde_saphyr::from_str_with_options(text, options)
            .map_err(|error| TestFileError::Yaml(message(&error)))?;
        let mut file = file.unwrap_or_default();
        if file.evaluation_interval.0 == 0 {
            file.evaluation_interval = EVALUATION_INTERVAL;
        }
        for test in &mut file.tests {
            if test.interval.0 == 0 {
                test.interval = file.evaluation_interval;
            }
        }
        Ok(file)
    }

    /// The place of each group in the order of evaluation.
    pub fn group_order(&self) -> Result<BTreeMap<&str, usize>, TestFileError> {
        let mut order = BTreeMap::new();
        for (place, name) in self.group_eval_order.iter().enumerate() {
            if order.insert(name.as_str(), place).is_some() {
                return Err(TestFileError::RepeatedGroup(name.clone()));
            }
        }
        Ok(order)
    }
}

impl TestCase {
    /// How long after its start a test ends: the latest time that it asks for, in milliseconds.
    pub fn length_ms(&self) -> i64 {
        let alerts = self.alert_rule_test.iter().map(|test| test.eval_time.0);
        let exprs = self.promql_expr_test.iter().map(|test| test.eval_time.0);
        alerts.chain(exprs).max().unwrap_or(0)
    }
}

/// What is wrong and where, without the lines in question and without advice to programmers.
fn message(error: &serde_saphyr::Error) -> String {
    let message = error.without_snippet().to_string();
    message.replace(", set DuplicateKeyPolicy in Options if acceptable", "")
}

/// Texts by name; a null is the empty text.
fn texts<'de, D: Deserializer<'de>>(deserializer: D) -> Result<BTreeMap<String, String>, D::Error> {
    let texts: Option<BTreeMap<String, Option<String>>> = Option::deserialize(deserializer)?;
    let pairs = texts.unwrap_or_default().into_iter();
    Ok(pairs.map(|(name, text)| (name, text.unwrap_or_default())).collect())
}

/// RFC 3339, or seconds since the epoch.
fn start_timestamp<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Timestamp, D::Error> {
    let Some(text) = Option::<String>::deserialize(deserializer)? else { return Ok(0) };
    parse_start(&text)
        .ok_or_else(|| D::Error::custom(format_args!("cannot parse {text:?} to a valid timestamp")))
}

fn parse_start(text: &str) -> Option<Timestamp> {
    match text.parse::<f64>() {
        // Such seconds times 1000 are far from the ends of both types, so that the cast is exact to the millisecond.
        Ok(seconds) if seconds.abs() <= START_SECONDS_MAX => Some((seconds * 1000.0) as Timestamp),
        Ok(_) => None,
        Err(_) => parse_rfc3339_ms(text),
    }
}

/// A number as YAML writes it, `.inf` and `.nan` among them; a quoted one is a text and refused.
fn number<'de, D: Deserializer<'de>>(deserializer: D) -> Result<f64, D::Error> {
    struct NumberVisitor;
    impl Visitor<'_> for NumberVisitor {
        type Value = f64;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("a number")
        }

        fn visit_f64<E>(self, value: f64) -> Result<f64, E> {
            Ok(value)
        }

        fn visit_i64<E>(self, value: i64) -> Result<f64, E> {
            Ok(value as f64)
        }

        fn visit_u64<E>(self, value: u64) -> Result<f64, E> {
            Ok(value as f64)
        }

        fn visit_unit<E>(self) -> Result<f64, E> {
            Ok(0.0)
        }
    }
    deserializer.deserialize_any(NumberVisitor)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> TestFile {
        TestFile::parse(text).unwrap_or_else(|error| panic!("{text}: {error}"))
    }

    fn refused(text: &str) -> String {
        TestFile::parse(text).expect_err(text).to_string()
    }

    #[test]
    fn all_fields_are_read() {
        let file = parse(
            r#"
rule_files: [rules/*.yml, other.yml]
evaluation_interval: 30s
group_eval_order: [second, first]
fuzzy_compare: true
tests:
- name: one
  interval: 15s
  start_timestamp: "2024-01-01T00:00:00Z"
  external_labels: {cluster: c1, zone: 7}
  external_url: http://gpu.example/prom
  input_series:
  - series: up{job="a"}
    values: 1 0x10
  - {series: b, values: 5}
  alert_rule_test:
  - eval_time: 5m
    alertname: Down
    exp_alerts:
    - exp_labels: {severity: page}
      exp_annotations: {summary: "down", empty: }
  promql_expr_test:
  - expr: up
    eval_time: 1m
    exp_samples:
    - {labels: 'up{job="a"}', value: 0}
    - {labels: h, histogram: '{{count:1}}'}
"#,
        );
        assert_eq!((file.rule_files.len(), file.evaluation_interval), (2, DurationMs(30_000)));
        assert_eq!((file.group_eval_order.len(), file.fuzzy_compare), (2, true));
        let test = &file.tests[0];
        assert_eq!((test.interval, test.start_timestamp), (DurationMs(15_000), 1_704_067_200_000));
        assert_eq!(test.external_labels["zone"], "7");
        assert_eq!(test.input_series[1], InputSeries { series: "b".to_owned(), values: "5".to_owned() });
        assert_eq!(test.alert_rule_test[0].exp_alerts[0].exp_annotations["empty"], "");
        assert_eq!(test.promql_expr_test[0].exp_samples[1].histogram, "{{count:1}}");
        assert_eq!(test.length_ms(), 300_000);
    }

    #[test]
    fn what_is_left_out_or_null_is_upstreams_default() {
        for text in ["", "tests:\n", "evaluation_interval:\nfuzzy_compare: ~\nrule_files:\n"] {
            assert_eq!(
                parse(text),
                TestFile { evaluation_interval: EVALUATION_INTERVAL, ..TestFile::default() }
            );
        }
        let file = parse("evaluation_interval: 2m\ntests: [~, {interval: 1s, input_series: [~]}]");
        let intervals: Vec<DurationMs> = file.tests.iter().map(|test| test.interval).collect();
        assert_eq!(intervals, [DurationMs(120_000), DurationMs(1_000)]);
        assert_eq!(file.tests[0].length_ms(), 0);
    }

    #[test]
    fn numbers_are_yamls() {
        let value = |text: &str| {
            let file = format!("tests: [{{promql_expr_test: [{{exp_samples: [{{value: {text}}}]}}]}}]");
            TestFile::parse(&file).map(|file| file.tests[0].promql_expr_test[0].exp_samples[0].value)
        };
        for (text, number) in [
            ("5", 5.0),
            ("-1.5", -1.5),
            ("1e3", 1000.0),
            ("0x10", 16.0),
            ("010", 8.0),
            (".inf", f64::INFINITY),
            ("-.Inf", f64::NEG_INFINITY),
            ("18446744073709551615", 18_446_744_073_709_551_615.0),
            ("", 0.0),
        ] {
            assert_eq!(value(text).ok(), Some(number), "{text}");
        }
        assert!(value(".nan").is_ok_and(f64::is_nan));
        for bad in ["'5'", "five", "Inf", "[]", "5 6"] {
            assert!(value(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn starts_are_times_or_seconds() {
        for (text, start) in [
            ("1609459200", 1_609_459_200_000),
            ("1609459200.25", 1_609_459_200_250),
            ("-10", -10_000),
            ("2024-01-01T01:00:00+01:00", 1_704_067_200_000),
            ("~", 0),
        ] {
            assert_eq!(
                parse(&format!("tests: [{{start_timestamp: {text}}}]")).tests[0].start_timestamp,
                start
            );
        }
        for bad in ["yesterday", "1e300", "inf", "nan"] {
            let error = refused(&format!("tests:\n- start_timestamp: {bad}\n"));
            assert!(error.contains("to a valid timestamp") && error.contains("line 2"), "{error}");
        }
    }

    #[test]
    fn errors_name_line_and_field() {
        for (text, part) in [
            ("tests:\n- nmae: a\n", "nmae"),
            ("tests:\n- interval: soon\n", "not a valid duration string: \"soon\""),
            ("tests: []\ntests: []\n", "line 2"),
            ("rule_files: [\n", "line"),
            ("tests:\n- name: a\n  input_series: 5\n", "line 3"),
            ("rule_files: a\n", "line 1"),
        ] {
            let error = refused(text);
            assert!(error.contains(part) && error.contains("line"), "{text:?}: {error}");
            assert!(!error.contains("Policy"), "{error}");
        }
        let file = parse("group_eval_order: [a, b, a]");
        let error = file.group_order().expect_err("a stands twice").to_string();
        assert_eq!(error, "group name repeated in evaluation order: a");
        assert_eq!(parse("group_eval_order: [a, b]").group_order().ok(), Some([("a", 0), ("b", 1)].into()));
        let error = TestFile::read("/nowhere/test.yml").expect_err("it is not there").to_string();
        assert!(error.starts_with("open /nowhere/test.yml: "), "{error}");
    }
}
