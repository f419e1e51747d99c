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

/// The message behind the place.
fn fault(text: &str) -> String {
    let message = expand(text).expect_err("it goes past a bound");
    message.rsplit_once(">: ").map_or(message.clone(), |(_, fault)| fault.to_owned())
}

#[test]
fn nothing_goes_past_its_bounds() {
    let doubled = format!("{{{{ $x := \"0123456789abcdef\" }}}}{}", "{{ $x = print $x $x }}".repeat(30));
    let nested_args = "{{ $x := 1 }}{{ range 40 }}{{ $x = args $x $x }}{{ end }}{{ $x }}";
    for (text, expected) in [
        ("{{ range 1000000000 }}{{ end }}", "more than 1000000 steps"),
        ("{{ range 1000000 }}0123456789{{ end }}", "output of more than 1048576 bytes"),
        ("{{ printf \"%1000000d%1000000d\" 1 2 }}", "output of more than 1048576 bytes"),
        (
            "{{ range 100 }}{{ $x := printf \"%1000000d\" 1 }}{{ end }}",
            "error calling printf: more than 16777216 bytes of text",
        ),
        (&doubled, "error calling print: more than 16777216 bytes of text"),
        (nested_args, "error calling args: args nested deeper than 32 levels"),
        (
            "{{ define \"r\" }}{{ template \"r\" }}{{ end }}{{ template \"r\" }}",
            "exceeded maximum template depth (200)",
        ),
        (
            "{{ $x := printf \"%900000d\" 1 }}{{ range 100000 }}{{ $y := eq $x $x }}{{ end }}",
            "more than 1000000 steps",
        ),
        (
            "{{ $x := printf \"%0900000d\" 0 }}{{ reReplaceAll \"0*1|0\" \"x\" $x }}",
            "error calling reReplaceAll: more than 1000000 steps",
        ),
        (
            "{{ range $i := 1000 }}{{ $m := match (print $i) \"x\" }}{{ end }}",
            "error calling match: more than 1000000 steps",
        ),
        (
            "{{ match \"((a{1000}){1000}){1000}\" \"x\" }}",
            "error calling match: error parsing regexp: expression too large",
        ),
    ] {
        assert_eq!(fault(text), expected, "{}", &text[..text.len().min(100)]);
    }
}

#[test]
fn texts_are_not_nested_too_deep() {
    for (open, close) in [
        ("{{ if true }}", "{{ end }}"),
        ("{{ with 1 }}{{ else }}", "{{ end }}"),
        ("{{ block \"b\" . }}", "{{ end }}"),
    ] {
        let text = |depth| format!("{}x{}", open.repeat(depth), close.repeat(depth));
        assert!(Template::parse("n", &text(1)).is_ok());
        let error = Template::parse("n", &text(1_000)).expect_err("that is too deep");
        assert_eq!(error.message, "template: n:1: nested deeper than 64 levels");
    }
    let parens = |depth: usize| format!("{{{{ {}1{} }}}}", "(".repeat(depth), ")".repeat(depth));
    assert_eq!(expand(&parens(50)).as_deref(), Ok("1"));
    assert!(expand(&parens(100_000)).is_err_and(|error| error.ends_with("nested deeper than 64 levels")));
    let long = "x".repeat(TEXT_BYTES_MAX + 1);
    assert!(
        Template::parse("n", &long).is_err_and(|error| error.message.ends_with("longer than 1048576 bytes"))
    );
    let comments = "{{/**/}}".repeat(100_000);
    assert_eq!(expand(&comments).as_deref(), Ok(""));
}

/// The stack that a thread has by default carries the deepest expansion.
#[test]
fn the_deepest_expansion_fits_on_a_stack() {
    for open in ["(", "(and ", "(print 1 ", "(1 | printf "] {
        let argument = format!("{}.{}", open.repeat(40), ")".repeat(40));
        let (blocks, ends) = ("{{ with $ }}".repeat(20), "{{ end }}".repeat(20));
        let body = format!("{blocks}{{{{ template \"r\" {argument} }}}}{ends}");
        let text = format!("{{{{ define \"r\" }}}}{body}{{{{ end }}}}{{{{ template \"r\" \"%d\" }}}}");
        assert_eq!(fault(&text), "exceeded maximum template depth (200)", "{open}");
    }
}

#[test]
fn plain_texts_are_known() {
    assert!(Template::parse("n", "a } b }}").is_ok_and(|template| template.is_plain()));
    assert!(Template::parse("n", "{{ 1 }}").is_ok_and(|template| !template.is_plain()));
}
