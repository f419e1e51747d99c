//! Whole templates.

use super::*;
use crate::promql::SampleValue;

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
