//! One server under the replay: time, CPU, memory and bytes.

use std::fmt;
use std::fs;
use std::path::Path;
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use super::http::Connection;
use super::server::{Server, Subject, free_port};
use super::wire::Protocol;
use super::workload::{Body, Workload};

/// The series that are replayed, and not those that a server makes of itself.
const SELECTOR: &str = r#"{job=~"node|dcgm-exporter"}"#;

/// Longest wait for a server to settle.
const SETTLE_PATIENCE: Duration = Duration::from_secs(600);

/// Who is measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Contender {
    /// The release build beside this bench.
    Perdura,
    /// The real one.
    VictoriaMetrics,
}

impl Contender {
    /// Name on the command line and in the table.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Perdura => "perdura",
            Self::VictoriaMetrics => "victoria-metrics",
        }
    }

    fn start(self, peers: &Path, folder: &Path) -> (Server, Vec<String>) {
        match self {
            Self::Perdura => {
                let subject = Subject::new(folder);
                (
                    subject.start(""),
                    vec!["--web.enable-admin-api".to_owned(), "(wal-sync: always)".to_owned()],
                )
            }
            Self::VictoriaMetrics => start_victoria_metrics(peers, folder),
        }
    }

    /// Makes the server write down and merge what it holds.
    fn settle(self, server: &Server) {
        match self {
            Self::Perdura => {
                let answer = server.post("/api/v1/admin/tsdb/flush", &[]).expect("perdura answers");
                assert!(answer.status < 300, "flush: status {}: {}", answer.status, answer.text());
            }
            Self::VictoriaMetrics => {
                for path in ["/internal/force_flush", "/internal/force_merge"] {
                    let answer = server.get(path, &[]).expect("VictoriaMetrics answers");
                    assert_eq!(answer.status, 200, "{path}: {}", answer.text());
                }
            }
        }
        wait_until_idle(server);
    }

    fn version(self, server: &Server) -> String {
        let (path, before) = match self {
            Self::Perdura => ("/api/v1/status/buildinfo", r#""version":""#),
            Self::VictoriaMetrics => ("/metrics", r#"vm_app_version{version=""#),
        };
        let text = server.get(path, &[]).expect("the server answers").text();
        let after = text.split_once(before).map_or("unknown", |(_, after)| after);
        after.split('"').next().unwrap_or_default().to_owned()
    }
}

/// What a server cost.
pub(crate) struct Result {
    name: &'static str,
    version: String,
    flags: Vec<String>,
    samples: u64,
    stored: u64,
    accept: Duration,
    cpu_accepted: Duration,
    cpu_settled: Duration,
    disk_bytes: u64,
    log_bytes: u64,
    resident_bytes_max: u64,
}

impl Result {
    /// Titles of the columns that `Display` fills.
    pub(crate) const HEADER: &'static str = "server             samples/s  CPU s/M accepted  CPU s/M settled  bytes/sample  \
        with log  peak RSS MiB  stored/sent";
}

impl fmt::Display for Result {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let samples = self.samples as f64;
        let per_million = |cpu: Duration| cpu.as_secs_f64() / samples * 1e6;
        writeln!(
            out,
            "{:<18} {:>9.0}  {:>16.3}  {:>15.3}  {:>12.3}  {:>8.3}  {:>12.1}  {}/{}",
            self.name,
            samples / self.accept.as_secs_f64(),
            per_million(self.cpu_accepted),
            per_million(self.cpu_settled),
            self.disk_bytes as f64 / samples,
            (self.disk_bytes + self.log_bytes) as f64 / samples,
            self.resident_bytes_max as f64 / f64::from(1 << 20),
            self.stored,
            self.samples,
        )?;
        write!(out, "  {}; flags: {}", self.version, self.flags.join(" "))
    }
}

/// Replays `workload` into a fresh `contender` on `folder`.
pub(crate) fn measure(contender: Contender, workload: &Workload, peers: &Path, folder: &Path) -> Result {
    let (server, flags) = contender.start(peers, folder);
    let cpu_before = cpu(&server);
    let start = Instant::now();
    thread::scope(|scope| {
        for bodies in &workload.connections {
            scope.spawn(|| send_all(&server, bodies));
        }
    });
    let accept = start.elapsed();
    let cpu_accepted = cpu(&server) - cpu_before;
    contender.settle(&server);
    let cpu_settled = cpu(&server) - cpu_before;
    let resident_bytes_max = server.status_bytes("VmHWM:");
    let (disk_bytes, log_bytes) = disk_bytes(&folder.join("data"));
    Result {
        name: contender.name(),
        version: contender.version(&server),
        flags,
        samples: workload.samples,
        stored: stored_samples(&server, workload),
        accept,
        cpu_accepted,
        cpu_settled,
        disk_bytes,
        log_bytes,
        resident_bytes_max,
    }
}

fn send_all(server: &Server, bodies: &[Body]) {
    let mut connection = Connection::open(server.port, Duration::from_secs(120)).expect("the server accepts");
    for body in bodies {
        loop {
            let headers = Protocol::V1.headers();
            let answer =
                connection.send("POST", "/api/v1/write", &headers, &body.bytes).expect("the server answers");
            match answer.status {
                200..=299 => break,
                429 | 503 => thread::sleep(Duration::from_millis(20)),
                status => panic!("status {status}: {}", answer.text()),
            }
        }
    }
}

/// Waits until the server has used less than a hundredth of a core for a second, three times on end.
fn wait_until_idle(server: &Server) {
    let start = Instant::now();
    let mut quiet = 0;
    while quiet < 3 {
        assert!(start.elapsed() < SETTLE_PATIENCE, "the server is still busy after {SETTLE_PATIENCE:?}");
        let before = cpu(server);
        thread::sleep(Duration::from_secs(1));
        quiet = if cpu(server) - before <= Duration::from_millis(30) { quiet + 1 } else { 0 };
    }
}

/// How many samples the server gives back for the span that was written: metric by metric, since counting drops names.
fn stored_samples(server: &Server, workload: &Workload) -> u64 {
    let names = server
        .get("/api/v1/label/__name__/values", &[("match[]", SELECTOR)])
        .expect("the server answers")
        .json();
    let names = names["data"].as_array().into_iter().flatten().filter_map(serde_json::Value::as_str);
    let seconds = (workload.span.1 - workload.span.0) / 1_000 + 60;
    let time = (workload.span.1 / 1_000 + 30).to_string();
    let counts = names.map(|name| {
        let query =
            format!(r#"sum(count_over_time({{__name__="{name}",job=~"node|dcgm-exporter"}}[{seconds}s]))"#);
        let answer =
            server.get("/api/v1/query", &[("query", &query), ("time", &time)]).expect("the server answers");
        answer.json()["data"]["result"][0]["value"][1].as_str().and_then(|text| text.parse::<f64>().ok())
    });
    counts.flatten().sum::<f64>() as u64
}

/// Bytes of the data folder, and of the logs in it, which go away by themselves.
fn disk_bytes(folder: &Path) -> (u64, u64) {
    let (mut data, mut log) = (0, 0);
    let mut open = vec![(folder.to_owned(), false)];
    while let Some((path, in_log)) = open.pop() {
        for entry in fs::read_dir(&path).into_iter().flatten().flatten() {
            let name = entry.file_name();
            let is_log = in_log || name == "log" || name == "reserve";
            match entry.metadata() {
                Ok(metadata) if metadata.is_dir() => open.push((entry.path(), is_log)),
                Ok(metadata) if is_log => log += metadata.len(),
                Ok(metadata) => data += metadata.len(),
                Err(_) => {}
            }
        }
    }
    (data, log)
}

fn start_victoria_metrics(peers: &Path, folder: &Path) -> (Server, Vec<String>) {
    fs::create_dir_all(folder).expect("the bench's folder is writable");
    let port = free_port();
    let flags = ["-retentionPeriod=100y".to_owned(), "-loggerLevel=WARN".to_owned()];
    let mut command = Command::new(peers.join("victoria-metrics"));
    command
        .args(&flags)
        .arg(format!("-httpListenAddr=127.0.0.1:{port}"))
        .arg(format!("-storageDataPath={}", folder.join("data").display()));
    let server = Server::start("victoria-metrics", &mut command, port, "/health", folder.join("log"));
    (server, flags.to_vec())
}

/// CPU time that the server's process has used so far, in user and kernel.
fn cpu(server: &Server) -> Duration {
    let stat = fs::read_to_string(format!("/proc/{}/stat", server.pid())).expect("the server runs");
    // The name in parentheses may hold spaces; what follows it does not. Fields 14 and 15 of the whole line.
    let fields = stat.rsplit_once(')').map_or("", |(_, rest)| rest).split_whitespace().skip(11).take(2);
    let ticks: u64 = fields.filter_map(|field| field.parse::<u64>().ok()).sum();
    // The kernel counts in hundredths of a second.
    Duration::from_millis(ticks * 10)
}
