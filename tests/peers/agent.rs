//! The agent sends what it scrapes of a real node_exporter to a real Prometheus, which is killed and away for a while.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use super::exporter::{Page, serve};
use super::server::{Server, free_port, peers, start_node_exporter, start_prometheus, wait_until};
use super::wire::Protocol;

const PATIENCE: Duration = Duration::from_secs(60);

/// A counter with an exemplar, in the format that has them.
const OPENMETRICS: &str =
    "# TYPE hits counter\n# HELP hits Things that happened.\nhits_total 5 # {trace_id=\"t1\"} 0.5\n# EOF\n";

#[test]
fn prometheus_gets_all_of_an_agent_with_protocol_1() {
    sent_without_gaps(Protocol::V1);
}

#[test]
fn prometheus_gets_all_of_an_agent_with_protocol_2() {
    sent_without_gaps(Protocol::V2);
}

fn sent_without_gaps(protocol: Protocol) {
    let Some(peers) = peers("agent") else { return };
    let folder = tempfile::tempdir().expect("a temporary folder can be made");
    let exporter = start_node_exporter(&peers, folder.path());
    let content_type = "application/openmetrics-text; version=1.0.0";
    let page = serve(vec![Page { content_type, body: OPENMETRICS.as_bytes().to_vec() }]);
    let (port, prometheus_folder) = (free_port(), folder.path().join("prometheus"));
    let prometheus = start_prometheus(&peers, &prometheus_folder, port, "");
    let agent = start_agent(folder.path(), &targets(exporter.port, page), port, protocol);

    wait_until("Prometheus has samples", PATIENCE, || {
        count(&prometheus, "count(node_cpu_seconds_total)") > 0.0
    });
    drop(prometheus);
    let before = scrapes(&agent);
    wait_until("the agent scrapes on alone", PATIENCE, || scrapes(&agent) > before + 10_000.0);
    let prometheus = start_prometheus(&peers, &prometheus_folder, port, "");

    // Without jobs it is known how often it has scraped: once more for each target than there are intervals.
    configure(folder.path(), "", port, protocol);
    let reloaded = agent.post("/-/reload", &[]).expect("the agent answers");
    assert_eq!(reloaded.status, 200, "{}", reloaded.text());
    let scraped = metric(&agent, "prometheus_target_interval_length_seconds_count") + 2.0;
    let arrived = r#"sum(count_over_time(up{node="n1"}[1h]))"#;
    wait_until("every scrape has arrived", PATIENCE, || count(&prometheus, arrived) == scraped);
    assert_eq!(metric(&agent, "prometheus_remote_storage_samples_failed_total"), 0.0, "{}", agent.log());
    assert!(metric(&agent, "prometheus_remote_storage_samples_retried_total") > 0.0);

    let exemplars = prometheus
        .get("/api/v1/query_exemplars", &[("query", "hits_total"), ("start", "0"), ("end", "9999999999")]);
    let exemplars = exemplars.expect("Prometheus answers").text();
    assert!(exemplars.contains(r#""trace_id":"t1""#), "{exemplars}");
    println!(
        "agent {protocol:?}: {scraped} scrapes arrived, {} MiB resident",
        agent.status_bytes("VmRSS:") >> 20
    );
}

fn targets(exporter: u16, page: u16) -> String {
    format!(
        "scrape_configs:\n\
         - {{job_name: node, static_configs: [{{targets: ['127.0.0.1:{exporter}']}}]}}\n\
         - {{job_name: page, metrics_path: /0, static_configs: [{{targets: ['127.0.0.1:{page}']}}]}}\n"
    )
}

/// Writes the agent's configuration; answers where it is.
fn configure(folder: &Path, targets: &str, receiver: u16, protocol: Protocol) -> PathBuf {
    let config = format!(
        "global: {{scrape_interval: 1s, external_labels: {{node: n1}}}}\n{targets}\
         remote_write:\n- url: http://127.0.0.1:{receiver}/api/v1/write\n  protobuf_message: {}\n  \
         send_exemplars: true\n  queue_config: {{batch_send_deadline: 500ms, max_backoff: 1s}}\n",
        protocol.message()
    );
    let file = folder.join("agent.yml");
    std::fs::write(&file, config).expect("the trial's folder is writable");
    file
}

fn start_agent(folder: &Path, targets: &str, receiver: u16, protocol: Protocol) -> Server {
    let file = configure(folder, targets, receiver, protocol);
    let port = free_port();
    let mut command = Command::new(env!("CARGO_BIN_EXE_perdura"));
    command
        .args(["agent", "--web.enable-lifecycle"])
        .arg(format!("--config.file={}", file.display()))
        .arg(format!("--storage.agent.path={}", folder.join("agent").display()))
        .arg(format!("--web.listen-address=127.0.0.1:{port}"));
    Server::start("agent", &mut command, port, "/-/ready", folder.join("agent.log"))
}

/// Samples that the agent has taken.
fn scrapes(agent: &Server) -> f64 {
    metric(agent, "prometheus_remote_storage_samples_in_total")
}

/// The value of the first series of a family on the agent's own page.
pub(crate) fn metric(agent: &Server, name: &str) -> f64 {
    let page = agent.get("/metrics", &[]).expect("the agent answers").text();
    let line = page
        .lines()
        .find(|line| line.starts_with(&format!("{name}{{")) || line.starts_with(&format!("{name} ")));
    let value = line.and_then(|line| line.rsplit(' ').next()).and_then(|text| text.parse().ok());
    value.unwrap_or_else(|| panic!("no {name} in {page}"))
}

/// The value of a query's first series; 0 where there is none.
pub(crate) fn count(server: &Server, query: &str) -> f64 {
    let Ok(answer) = server.get("/api/v1/query", &[("query", query)]) else { return 0.0 };
    let value = &answer.json()["data"]["result"][0]["value"][1];
    value.as_str().and_then(|text| text.parse().ok()).unwrap_or(0.0)
}
