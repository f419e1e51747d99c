//! Expositions, settings and templates.

use perdura::config::Config;
use perdura::ingest::exposition::{Entry, Format, Parser};
use perdura::model::{Labels, Timestamp};
use perdura::promql::parse::parse_expr;
use perdura::promql::{SampleValue, VectorSample};
use perdura::relabel::RelabelConfig;
use perdura::rules::unit_test::TestFile;
use perdura::rules::{RuleFile, RuleFileOptions};
use perdura::template::{Template, TemplateData};

/// The Prometheus text format.
pub(super) fn exposition_text(data: &[u8]) {
    walk(Format::Text, data);
}

/// OpenMetrics.
pub(super) fn exposition_openmetrics(data: &[u8]) {
    walk(Format::OpenMetrics, data);
}

fn walk(format: Format, body: &[u8]) {
    let mut parser = Parser::new(format, body);
    let mut entries = 0_usize;
    while let Ok(Some(entry)) = parser.next_entry() {
        entries += 1;
        assert!(entries <= body.len(), "an entry takes a byte at least");
        let Entry::Sample(sample) = entry else { continue };
        if let Ok(labels) = sample.labels() {
            assert!(
                labels.iter().all(|label| !label.value.is_empty()),
                "an empty label is no label: {labels}"
            );
        }
        if sample.exemplar.is_some() {
            assert_eq!(format, Format::OpenMetrics);
        }
    }
}

/// Relabelling rules as YAML.
pub(super) fn relabel_config(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let _ = serde_saphyr::from_str::<Vec<RelabelConfig>>(text);
}

/// A whole `prometheus.yml`; what is shown of an accepted one is YAML again.
pub(super) fn config(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let variables = |name: &str| (name == "ZONE").then(|| "a".to_owned());
    if let Ok(config) = Config::parse(text, &variables) {
        let shown = config.to_yaml();
        assert!(!shown.starts_with("# cannot be shown"), "{text:?}: {shown}");
        config.unserved();
    }
}

/// Longest text that a template renders, in bytes.
const RENDERED_BYTES_MAX: usize = 1 << 20;

/// A template over fixed data: it renders within its bounds and twice the same, or is refused.
pub(super) fn template(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let Ok(template) = Template::parse("__alert_Fuzz", text) else { return };
    let labels = Labels::from_pairs([("__name__", "up"), ("instance", "a.example.com:9090"), ("job", "api")]);
    let data = TemplateData {
        labels: &labels,
        external_labels: &Labels::from_pairs([("zone", "x")]),
        external_url: "http://localhost:9090/prefix",
        value: &SampleValue::Float(1234.5),
        at: 1_700_000_000_123,
        query: &answer,
    };
    let rendered = template.expand(&data);
    assert_eq!(template.expand(&data), rendered, "{text:?} does not render the same twice");
    match rendered {
        Ok(rendered) if template.is_plain() => assert_eq!(rendered, text),
        // What was cut within a character is replaced by three bytes in the end.
        Ok(rendered) => assert!(rendered.len() <= 3 * RENDERED_BYTES_MAX),
        Err(error) => assert!(error.message.starts_with("error executing template"), "{error}"),
    }
}

/// Two samples, or what an expression that is none answers.
fn answer(text: &str, t: Timestamp) -> Result<Vec<VectorSample>, String> {
    match text {
        "" => Err("no expression found in input".to_owned()),
        "none" => Ok(Vec::new()),
        _ => Ok([("a:1", 1.0), ("b:1", f64::NAN)]
            .map(|(instance, value)| VectorSample {
                labels: Labels::from_pairs([("instance", instance)]),
                t,
                value: SampleValue::Float(value),
            })
            .to_vec()),
    }
}

/// A rule file: what is accepted can be evaluated, and what is refused is refused for a reason with a place.
pub(super) fn rule_file(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let options = RuleFileOptions::default();
    match RuleFile::parse("rules.yml", text, &options) {
        Ok(file) => {
            let mut names = std::collections::BTreeSet::new();
            for group in &file.groups {
                assert!(!group.name.is_empty() && names.insert(&group.name), "{group:?}");
                for rule in &group.rules {
                    assert!(rule.record.is_empty() != rule.alert.is_empty(), "{rule:?}");
                    assert!(parse_expr(&rule.expr, &options.parser).is_ok(), "{rule:?}");
                }
            }
        }
        Err(errors) => {
            assert!(!errors.is_empty());
            let lines = 1 + text.matches(['\n', '\r']).count();
            for error in &errors {
                let place = error.place.unwrap_or_else(|| panic!("{error} has no place"));
                assert!((1..=lines + 1).contains(&place.line) && place.column >= 1, "{error}");
            }
        }
    }
}

/// A file of unit tests of rules, with its series and what they are compared with.
pub(super) fn rule_unit_test(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let Ok(file) = TestFile::parse(text) else { return };
    assert!(file.evaluation_interval.0 > 0, "evaluations must come to an end");
    let _ = file.group_order();
    for test in &file.tests {
        assert!(test.interval.0 > 0 && test.length_ms() >= 0);
        let _ = test.check();
    }
}
