//! The agent as a process: what a target exposed arrives at a server, whoever of the two was away or killed meanwhile.

use std::collections::BTreeSet;
use std::io::{BufRead, BufReader, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::command_line::Served;

/// Longest wait for something that should happen within a second; the machine may be busy.
const PATIENCE: Duration = Duration::from_secs(60);

/// A target that counts how often it was scraped, and says so.
struct Exporter {
    port: u16,
    served: Arc<AtomicU64>,
}

impl Exporter {
    fn start() -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port is free");
        let port = listener.local_addr().expect("it is bound").port();
        let served = Arc::new(AtomicU64::new(0));
        let counted = Arc::clone(&served);
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let counted = Arc::clone(&counted);
                // A scraper that goes away in the middle is none of the target's business.
                std::thread::spawn(move || answer(stream, &counted));
            }
        });
        Self { port, served }
    }

    fn served(&self) -> u64 {
        self.served.load(Ordering::SeqCst)
    }

    /// Waits until it was scraped so many more times.
    fn wait_for_scrapes(&self, count: u64) {
        let (until, deadline) = (self.served() + count, Instant::now() + PATIENCE);
        while self.served() < until {
            assert!(Instant::now() < deadline, "nobody scrapes");
            std::thread::sleep(Duration::from_millis(5));
        }
    }
}

/// Answers the scrapes of one connection; `None` once it is closed.
fn answer(stream: TcpStream, counted: &AtomicU64) -> Option<()> {
    let mut out = stream.try_clone().ok()?;
    let mut lines = BufReader::new(stream).lines();
    loop {
        while !lines.next()?.ok()?.is_empty() {}
        let number = counted.fetch_add(1, Ordering::SeqCst) + 1;
        let body = format!("# TYPE served_total counter\nserved_total {number}\n");
        let head = "HTTP/1.1 200 OK\r\nContent-Type: text/plain; version=0.0.4\r\n";
        write!(out, "{head}Content-Length: {}\r\n\r\n{body}", body.len()).ok()?;
    }
}

fn free_port() -> u16 {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port is free");
    listener.local_addr().expect("it is bound").port()
}

/// The server that receives, on a port that it comes back to.
fn start_server(folder: &Path, port: u16) -> Served {
    std::fs::write(folder.join("server.yml"), "{}").expect("the folder is writable");
    let address = format!("--web.listen-address=127.0.0.1:{port}");
    Served::start(folder, &["--config.file=server.yml", &address])
}

fn start_agent(folder: &Path, exporter: &Exporter, server: u16, message: &str) -> Served {
    let config = format!(
        "global: {{scrape_interval: 100ms, external_labels: {{node: n1}}}}
scrape_configs:
- job_name: e
  static_configs: [{{targets: ['127.0.0.1:{}']}}]
remote_write:
- url: http://127.0.0.1:{server}/api/v1/write
  protobuf_message: {message}
  queue_config: {{batch_send_deadline: 100ms, max_backoff: 200ms}}
",
        exporter.port
    );
    std::fs::write(folder.join("agent.yml"), config).expect("the folder is writable");
    let flags =
        ["--agent", "--config.file=agent.yml", "--storage.agent.path=agent", "--web.enable-lifecycle"];
    Served::start(folder, &flags)
}

/// Values that the server has of the target's counter.
fn stored(server: &Served) -> BTreeSet<u64> {
    let answer = server.get("/api/v1/query?query=served_total%7Bnode=%22n1%22%7D%5B1h%5D");
    let answer: Value = serde_json::from_str(&answer).expect("the answer is JSON");
    let values = answer["data"]["result"][0]["values"].as_array().cloned().unwrap_or_default();
    let number = |pair: &Value| pair[1].as_str().and_then(|text| text.parse().ok()).expect("a number");
    values.iter().map(number).collect()
}

/// The server away, then the agent killed while it is away, then both back.
fn nothing_is_missing_with(message: &str) {
    let folder = tempfile::tempdir().expect("a temporary folder can be made");
    let (exporter, port) = (Exporter::start(), free_port());
    let server = start_server(folder.path(), port);
    let agent = start_agent(folder.path(), &exporter, port, message);
    exporter.wait_for_scrapes(5);
    drop(server);
    exporter.wait_for_scrapes(10);
    drop(agent);
    // It was asked for, and may have been on its way into the log.
    let torn = exporter.served();
    let agent = start_agent(folder.path(), &exporter, port, message);
    exporter.wait_for_scrapes(5);
    let server = start_server(folder.path(), port);
    exporter.wait_for_scrapes(5);
    let last = exporter.served() - 1;
    let deadline = Instant::now() + PATIENCE;
    loop {
        let found = stored(&server);
        let missing: Vec<u64> =
            (1..=last).filter(|number| !found.contains(number) && *number != torn).collect();
        if missing.is_empty() {
            break;
        }
        assert!(Instant::now() < deadline, "of {last} samples these are missing: {missing:?}");
        std::thread::sleep(Duration::from_millis(50));
    }
    let metrics = agent.get("/metrics");
    let retried = metrics.lines().find(|line| line.starts_with("prometheus_remote_storage_samples_retried"));
    assert!(
        retried.is_some_and(|line| !line.ends_with(" 0")),
        "the agent met the server's absence: {retried:?}"
    );
    let failed = metrics.lines().find(|line| line.starts_with("prometheus_remote_storage_samples_failed"));
    assert!(failed.is_some_and(|line| line.ends_with(" 0")), "nothing was refused: {failed:?}");
}

#[test]
fn nothing_is_missing_with_protocol_1() {
    nothing_is_missing_with("prometheus.WriteRequest");
}

#[test]
fn nothing_is_missing_with_protocol_2() {
    nothing_is_missing_with("io.prometheus.write.v2.Request");
}

#[test]
fn an_agent_says_what_it_is_and_reloads() {
    let folder = tempfile::tempdir().expect("a temporary folder can be made");
    let exporter = Exporter::start();
    let agent = start_agent(folder.path(), &exporter, free_port(), "prometheus.WriteRequest");
    assert!(agent.get("/-/ready").contains("Ready"));
    let refusal = r#"{"status":"error","errorType":"execution","error":"unavailable with Prometheus Agent"}"#;
    for path in ["query?query=up", "series?match[]=up", "labels", "label/job/values", "rules", "status/tsdb"]
    {
        assert_eq!(agent.get(&format!("/api/v1/{path}")), refusal, "{path}");
    }
    exporter.wait_for_scrapes(2);
    agent.wait_for_answer("/api/v1/targets", |answer| answer.contains(r#""health":"up""#));
    assert!(agent.get("/api/v1/status/config").contains("remote_write"));

    std::fs::write(folder.path().join("agent.yml"), "rule_files: [a.yml]").expect("the folder is writable");
    let answer = agent.post("/-/reload");
    assert!(answer.contains("field rule_files is not allowed in agent mode"), "{answer}");
    assert!(agent.get("/api/v1/targets").contains(r#""health":"up""#), "the jobs go on");
    std::fs::write(folder.path().join("agent.yml"), "{}").expect("the folder is writable");
    assert_eq!(agent.post("/-/reload"), "");
    agent.wait_for_answer("/api/v1/targets", |answer| answer.contains(r#""activeTargets":[]"#));
}

#[test]
fn an_agent_without_a_configuration_does_not_start() {
    let folder = tempfile::tempdir().expect("a temporary folder can be made");
    let output = std::process::Command::new(env!("CARGO_BIN_EXE_perdura"))
        .args(["agent", "--web.listen-address=127.0.0.1:0"])
        .current_dir(folder.path())
        .output()
        .expect("the program runs");
    assert_eq!(output.status.code(), Some(1));
    let log = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(log.contains("an agent needs a configuration (--config.file)"), "{log}");
}
