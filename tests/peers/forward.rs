//! A server forwards what it stores to a real Prometheus, which is killed and away for a while, as the server is itself.

use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use super::agent::{count, metric};
use super::exporter::{Page, serve};
use super::server::{Server, free_port, peers, start_node_exporter, start_prometheus, wait_until};
use super::wire::Protocol;

const PATIENCE: Duration = Duration::from_secs(60);

/// What a rule records goes the way of what is scraped.
const RULES: &str = "groups: [{name: g, interval: 1s, rules: [{record: twice, expr: 2 * up}]}]\n";
const OPENMETRICS: &str =
    "# TYPE hits counter\n# HELP hits Things that happened.\nhits_total 5 # {trace_id=\"t1\"} 0.5\n# EOF\n";

#[test]
fn prometheus_gets_all_that_a_server_stores_with_protocol_1() {
    forwarded_without_gaps(Protocol::V1);
}

#[test]
fn prometheus_gets_all_that_a_server_stores_with_protocol_2() {
    forwarded_without_gaps(Protocol::V2);
}

fn forwarded_without_gaps(protocol: Protocol) {
    let Some(peers) = peers("forward") else { return };
    let folder = tempfile::tempdir().expect("a temporary folder can be made");
    let exporter = start_node_exporter(&peers, folder.path());
    let content_type = "application/openmetrics-text; version=1.0.0";
    let page = serve(vec![Page { content_type, body: OPENMETRICS.as_bytes().to_vec() }]);
    let (receiver, prometheus_folder) = (free_port(), folder.path().join("prometheus"));
    let prometheus = start_prometheus(&peers, &prometheus_folder, receiver, "");
    let jobs = format!(
        "rule_files: [rules.yml]\nscrape_configs:\n\
         - {{job_name: node, static_configs: [{{targets: ['127.0.0.1:{}']}}]}}\n\
         - {{job_name: page, metrics_path: /0, static_configs: [{{targets: ['127.0.0.1:{page}']}}]}}\n",
        exporter.port
    );
    std::fs::write(folder.path().join("rules.yml"), RULES).expect("the trial's folder is writable");
    configure(folder.path(), &jobs, receiver, protocol);
    let port = free_port();
    let mut server = start_server(folder.path(), port);

    wait_until("Prometheus has samples", PATIENCE, || count(&prometheus, "count(twice)") > 0.0);
    drop(prometheus);
    let taken = || count(&server, "sum(count_over_time(node_cpu_seconds_total[1h]))");
    let before = taken();
    wait_until("the server stores on alone", PATIENCE, || taken() > before);
    server.kill();
    let server = start_server(folder.path(), port);
    let taken = || count(&server, "sum(count_over_time(node_cpu_seconds_total[1h]))");
    let before = taken();
    wait_until("the server stores on again", PATIENCE, || taken() > before);
    let prometheus = start_prometheus(&peers, &prometheus_folder, receiver, "");

    // Without jobs and rules nothing changes any more, and both can be compared.
    configure(folder.path(), "", receiver, protocol);
    let reloaded = server.post("/-/reload", &[]).expect("the server answers");
    assert_eq!(reloaded.status, 200, "{}", reloaded.text());
    let mut stored = Vec::new();
    wait_until("the last scrapes are stored", PATIENCE, || {
        let before = std::mem::replace(&mut stored, samples(&server));
        std::thread::sleep(Duration::from_secs(1));
        before == stored
    });
    let start = Instant::now();
    loop {
        let arrived = samples(&prometheus);
        let missing: Vec<&String> = stored.iter().filter(|series| !arrived.contains(series)).collect();
        if missing.is_empty() {
            break;
        }
        assert!(start.elapsed() < PATIENCE, "{} series lack samples, such as {}", missing.len(), missing[0]);
        std::thread::sleep(Duration::from_millis(200));
    }
    assert_eq!(metric(&server, "prometheus_remote_storage_samples_failed_total"), 0.0, "{}", server.log());
    assert!(metric(&server, "prometheus_remote_storage_samples_in_total") > 0.0);
    let exemplars = prometheus
        .get("/api/v1/query_exemplars", &[("query", "hits_total"), ("start", "0"), ("end", "9999999999")]);
    let exemplars = exemplars.expect("Prometheus answers").text();
    assert!(exemplars.contains(r#""trace_id":"t1""#), "{exemplars}");
    println!("forward {protocol:?}: all samples of {} series arrived", stored.len());
}

/// Writes the server's configuration.
fn configure(folder: &Path, jobs: &str, receiver: u16, protocol: Protocol) {
    let config = format!(
        "global: {{scrape_interval: 1s}}\n{jobs}\
         remote_write:\n- url: http://127.0.0.1:{receiver}/api/v1/write\n  protobuf_message: {}\n  \
         send_exemplars: true\n  queue_config: {{batch_send_deadline: 500ms, max_backoff: 1s}}\n",
        protocol.message()
    );
    std::fs::write(folder.join("server.yml"), config).expect("the trial's folder is writable");
}

fn start_server(folder: &Path, port: u16) -> Server {
    let mut command = Command::new(env!("CARGO_BIN_EXE_perdura"));
    command
        .args(["serve", "--web.enable-lifecycle", "--gpu=off"])
        .arg(format!("--config.file={}", folder.join("server.yml").display()))
        .arg(format!("--storage.tsdb.path={}", folder.join("data").display()))
        .arg(format!("--web.listen-address=127.0.0.1:{port}"));
    Server::start("perdura", &mut command, port, "/-/ready", folder.join("server.log"))
}

/// All samples of every series with a job, series by series, as text.
fn samples(server: &Server) -> Vec<String> {
    let query = r#"{__name__=~".+",job=~".+"}[1h]"#;
    let answer = server.get("/api/v1/query", &[("query", query)]).expect("it answers").json();
    let series = answer["data"]["result"].as_array().expect("a matrix");
    series.iter().map(ToString::to_string).collect()
}
