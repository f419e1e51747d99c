//! Whole templates.

use super::*;
use crate::model::{Labels, TenantId};
use crate::promql::testlang::load::{LoadPlace, parse_load};
use crate::promql::{Engine, EngineOptions, QueryOptions, QueryValue, SampleValue};
use crate::storage::MemoryStore;
use table::Outcome;

#[path = "../../tests/templates/table.rs"]
mod table;

fn no_query(text: &str, _: Timestamp) -> Result<Vec<VectorSample>, String> {
    Err(format!("nothing answers {text}"))
}

fn expand(text: &str) -> Result<String, String> {
    let labels = Labels::from_pairs([("instance", "a:9090"), ("job", "api")]);
    let data = TemplateData {
        labels: &labels,
        external_labels: &Labels::from_pairs([("zone", "x")]),
        external_url: "http://localhost/prefix",
        value: &SampleValue::Float(1234.5),
        at: 300_000,
        query: &no_query,
    };
    let template = Template::parse("__alert_Down", text).map_err(|error| error.to_string())?;
    template.expand(&data).map_err(|error| error.to_string())
}

#[test]
fn what_rules_usually_say() {
    for (text, expected) in [
        ("no action", "no action"),
        ("{{ $labels.instance }} of {{ .Labels.job }} at {{ $value }}", "a:9090 of api at 1234.5"),
        ("{{ humanize $value }} {{ $value | humanize1024 }}", "1.234k 1.206ki"),
        ("{{ printf \"%.2f|%5s|%-5d|%q\" .Value \"ab\" 7 \"x\" }}", "1234.50|   ab|7    |\"x\""),
        ("{{ if gt $value 1000.0 }}high{{ else }}low{{ end }}", "high"),
        ("{{ range $k, $v := .Labels }}{{ $k }}={{ $v }};{{ end }}", "instance=a:9090;job=api;"),
        ("{{ with $labels.nothing }}x{{ else with $labels.job }}{{ . }}{{ end }}", "api"),
        ("{{ define \"t\" }}[{{ .arg1 }}]{{ end }}{{ template \"t\" (args 1 \"b\") }}", "[b]"),
    ] {
        assert_eq!(expand(text).as_deref(), Ok(expected), "{text}");
    }
}

#[test]
fn errors_say_where() {
    assert_eq!(
        expand("{{ .Labels.job.x }}"),
        Err("error executing template __alert_Down: template: __alert_Down:1:122: executing \"__alert_Down\" at \
             <.Labels.job.x>: can't evaluate field x in type string"
            .to_owned())
    );
    assert_eq!(
        expand("{{ nope }}"),
        Err("template: __alert_Down:1: function \"nope\" not defined".to_owned())
    );
}

/// What the table's series and expressions evaluate to.
struct World {
    engine: Engine,
    store: MemoryStore,
    at: Timestamp,
}

impl World {
    fn new(series: &[&str]) -> Self {
        let store = MemoryStore::default();
        let place = LoadPlace { line: 1, start: 0 };
        let mut load = parse_load("load 1m", series, place).expect("the series are sound");
        let at = table::MINUTES * 60_000;
        load.run_till(at, &store).expect("memory takes the samples");
        Self { engine: Engine::new(EngineOptions::default()), store, at }
    }

    fn query(&self, text: &str, at: Timestamp) -> Result<Vec<VectorSample>, String> {
        let (tenant, options) = (TenantId::default(), QueryOptions::default());
        let output = self
            .engine
            .instant(&self.store, &tenant, text, at, &options)
            .map_err(|error| error.to_string())?;
        match output.value {
            QueryValue::Vector(samples) => Ok(samples),
            QueryValue::Scalar { t, v } => {
                Ok(vec![VectorSample { labels: Labels::default(), t, value: SampleValue::Float(v) }])
            }
            _ => Err("rule result is not a vector or scalar".to_owned()),
        }
    }

    fn render(&self, expr: &str, text: &str) -> (Outcome, String) {
        let sample = self.query(expr, self.at).expect("the expression is sound").swap_remove(0);
        let template = match Template::parse(&format!("__alert_{}", table::ALERT), text) {
            Ok(template) => template,
            Err(error) => return (Outcome::Refused, error.to_string()),
        };
        let data = TemplateData {
            labels: &sample.labels,
            external_labels: &Labels::from_pairs(table::EXTERNAL_LABELS),
            external_url: table::EXTERNAL_URL,
            value: &sample.value,
            at: self.at,
            query: &|text, at| self.query(text, at),
        };
        let rendered = template.expand(&data);
        (Outcome::Rendered, rendered.unwrap_or_else(|error| format!("<error expanding template: {error}>")))
    }
}

#[test]
fn the_table_holds() {
    let table = table::read();
    let world = World::new(&table.series);
    let mut faults = Vec::new();
    let mut cases = 0;
    for section in &table.sections {
        for case in &section.cases {
            cases += 1;
            let (outcome, rendered) = world.render(section.expr, &case.template);
            let refused = case.outcome == Outcome::Refused;
            if rendered != case.expected || refused != (outcome == Outcome::Refused) {
                let (line, template, expected) = (case.line, &case.template, &case.expected);
                faults.push(format!(
                    "line {line}: {template}\n  expected {expected:?}\n  rendered {rendered:?}"
                ));
            }
        }
    }
    assert!(cases > 500, "the table is read");
    assert!(faults.is_empty(), "{} of {cases}:\n{}", faults.len(), faults.join("\n"));
}
