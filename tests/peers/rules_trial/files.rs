//! The files that the trial's servers read.

use std::path::{Path, PathBuf};

use serde_json::Value;

use super::scale::shortened;

/// Where the teams' files are.
const TEAMS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/examples/rules");
/// Those of them that have rules.
const RULE_FILES: [&str; 5] = [
    "ml-recording.yml",
    "ml-alerts.yml",
    "ml-alerts-inference.yml",
    "ml-alerts-service.yml",
    "ml-layers.yml",
];

/// Folder with all rule files, shortened.
pub(super) fn write_rules(folder: &Path) -> PathBuf {
    let rules = folder.join("rules");
    std::fs::create_dir_all(&rules).expect("the trial's folder is writable");
    for name in RULE_FILES {
        let text = std::fs::read_to_string(Path::new(TEAMS).join(name)).expect("an example is text");
        std::fs::write(rules.join(name), shortened(&text)).expect("the trial's folder is writable");
    }
    std::fs::write(rules.join("own.yml"), shortened(include_str!("own.yml")))
        .expect("the folder is writable");
    rules
}

/// The teams' routing and inhibition with webhooks for receivers: Slack and PagerDuty are out of reach here. The root
/// gets times as short as the others'.
pub(super) fn write_alertmanager(folder: &Path, port: u16) -> PathBuf {
    let text =
        std::fs::read_to_string(Path::new(TEAMS).join("alertmanager.yml")).expect("the example is text");
    let (routes, rest) = text.split_once("receivers:\n").expect("the example has receivers");
    let (receivers, inhibition) = rest.split_once("inhibit_rules:").expect("the example inhibits");
    let names = receivers.lines().filter_map(|line| line.trim().strip_prefix("- name: "));
    let hooks: String = names
        .map(|name| {
            let name = name.trim_matches('"');
            let url = format!("http://127.0.0.1:{port}/receivers/{name}");
            format!("  - name: {name}\n    webhook_configs: [{{url: '{url}', send_resolved: true}}]\n")
        })
        .collect();
    let routes = routes.replacen("route:\n", "route:\n  group_wait: 30s\n  group_interval: 2m\n", 1);
    let path = folder.join("alertmanager.yml");
    let text = format!("{}receivers:\n{hooks}\ninhibit_rules:{inhibition}", shortened(&routes));
    std::fs::write(&path, text).expect("the trial's folder is writable");
    path
}

/// What perdura reads.
pub(super) fn subject_configuration(rules: &Path, alertmanager_port: u16) -> String {
    format!(
        "{}alerting: {{alertmanagers: [{{static_configs: [{{targets: ['127.0.0.1:{alertmanager_port}']}}]}}]}}\n",
        common(rules)
    )
}

/// What Prometheus reads: the story keeps the labels that it tells, classic histograms become native ones beside them, and
/// neither rules' results nor the external label are written on.
pub(super) fn prometheus_configuration(
    rules: &Path,
    stage_port: u16,
    node_port: u16,
    subject_port: u16,
) -> String {
    let common = common(rules);
    format!(
        "{common}scrape_configs:
  - job_name: ml
    honor_labels: true
    always_scrape_classic_histograms: true
    convert_classic_histograms_to_nhcb: true
    static_configs: [{{targets: ['127.0.0.1:{stage_port}']}}]
  - job_name: node
    static_configs: [{{targets: ['127.0.0.1:{node_port}']}}]
remote_write:
  - url: http://127.0.0.1:{subject_port}/api/v1/write
    protobuf_message: io.prometheus.write.v2.Request
    send_native_histograms: true
    queue_config: {{batch_send_deadline: 100ms, min_backoff: 30ms, max_backoff: 200ms}}
    write_relabel_configs:
      - {{source_labels: [__name__], regex: 'ALERTS|ALERTS_FOR_STATE|.*:.*', action: drop}}
      - {{regex: cluster, action: labeldrop}}
"
    )
}

fn common(rules: &Path) -> String {
    format!(
        "global:
  scrape_interval: 1s
  scrape_timeout: 1s
  evaluation_interval: 1s
  rule_query_offset: {}s
  external_labels: {{cluster: trial}}
rule_files: ['{}/*.yml']
",
        super::QUERY_OFFSET.as_secs(),
        rules.display()
    )
}

/// All groups of all rule files, as JSON.
pub(super) fn groups(rules: &Path) -> Vec<Value> {
    let files = std::fs::read_dir(rules).expect("the rules were written").flatten();
    files.flat_map(|file| groups_of(&file.path())).collect()
}

fn groups_of(path: &Path) -> Vec<Value> {
    let text = std::fs::read_to_string(path).expect("a rule file is text");
    let file: Value = serde_saphyr::from_str(&text).expect("a rule file is YAML");
    file["groups"].as_array().expect("a rule file has groups").clone()
}
