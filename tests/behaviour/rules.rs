//! Rules in a running program: evaluated, reloaded, and going on after it was killed.

use std::fs;
use std::path::Path;

use serde_json::Value;

use crate::command_line::Served;

const CONFIG: &str = "global: {evaluation_interval: 100ms}\nrule_files: [rules.yml]\n";

const RULES: &str = "groups:
- name: g
  rules:
  - {record: one, expr: vector(1)}
  - {record: two, expr: one + one, labels: {a: b}}
  - {alert: Waiting, expr: two == 2, for: 1h, annotations: {summary: 'it is {{ $value }}'}}
";

fn serve(folder: &Path) -> Served {
    Served::start(folder, &["--config.file=prometheus.yml", "--web.enable-lifecycle"])
}

fn write(folder: &Path, name: &str, text: &str) {
    fs::write(folder.join(name), text).expect("the folder can be written");
}

fn json(text: &str) -> Value {
    serde_json::from_str(text).expect("the answer is JSON")
}

/// Whether a query has this value.
fn is_value<'a>(value: &'a str) -> impl Fn(&str) -> bool + 'a {
    move |answer| json(answer)["data"]["result"][0]["value"][1] == *value
}

#[test]
fn a_reload_with_a_bad_rule_changes_nothing_and_says_which() {
    let folder = tempfile::tempdir().expect("a temporary folder can be made");
    let folder = folder.path();
    write(folder, "prometheus.yml", CONFIG);
    write(folder, "rules.yml", RULES);
    let served = serve(folder);
    served.wait_for_answer("/api/v1/query?query=two", is_value("2"));
    write(folder, "rules.yml", &RULES.replace("one + one", "sum(one"));
    write(folder, "prometheus.yml", &CONFIG.replace("100ms", "200ms"));
    let answer = served.post("/-/reload");
    let place = "rules.yml: 5:25: group \"g\", rule 2, \"two\": could not parse expression: ";
    assert!(answer.starts_with("failed to reload config: cannot load rules: "), "{answer}");
    assert!(answer.contains(place), "{answer}");
    assert!(served.get("/api/v1/status/config").contains("evaluation_interval: 100ms"));
    let group = &json(&served.get("/api/v1/rules"))["data"]["groups"][0];
    assert_eq!((&group["rules"][1]["query"], &group["interval"]), (&"one + one".into(), &0.1.into()));
    write(folder, "rules.yml", &RULES.replace("one + one", "one + 2"));
    assert_eq!(served.post("/-/reload"), "");
    served.wait_for_answer("/api/v1/query?query=two", is_value("3"));
    let metrics = served.get("/metrics");
    assert!(metrics.contains("prometheus_config_last_reload_successful 1\n"), "{metrics}");
    assert!(metrics.contains("prometheus_rule_evaluations_total{rule_group="), "{metrics}");
}

#[test]
fn a_pending_alert_does_not_start_over_when_the_program_is_killed() {
    let folder = tempfile::tempdir().expect("a temporary folder can be made");
    let folder = folder.path();
    write(folder, "prometheus.yml", CONFIG);
    write(folder, "rules.yml", RULES);
    let waits = |answer: &str| json(answer)["data"]["alerts"][0]["state"] == "pending";
    let served = serve(folder);
    let before = json(&served.wait_for_answer("/api/v1/alerts", waits));
    let has_waited = "/api/v1/query?query=time()-last_over_time(ALERTS_FOR_STATE[1s])%3E2";
    served.wait_for_answer(has_waited, |answer| answer.contains("Waiting"));
    drop(served);
    let served = serve(folder);
    // What was stored of it is taken over after the second evaluation; until then nothing is stored.
    let restored = "prometheus_rule_group_last_restore_duration_seconds{";
    served.wait_for_answer("/metrics", |text| text.contains(restored));
    served.wait_for_answer(has_waited, |answer| answer.contains("Waiting"));
    let after = json(&served.wait_for_answer("/api/v1/alerts", waits));
    for field in ["labels", "annotations", "value"] {
        assert_eq!(after["data"]["alerts"][0][field], before["data"]["alerts"][0][field]);
    }
}
