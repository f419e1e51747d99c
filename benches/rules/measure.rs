//! One server: a phase without rules, a phase with them, and what each cost.

use std::fmt;
use std::fs;
use std::path::Path;
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use super::check::{self, Answers};
use super::feed::{Feed, now_ms};
use super::fleet::{Fleet, INTERVAL_MS};
use super::groups;
use super::options::Options;
use super::server::{Server, free_port};

/// Who is measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Contender {
    /// The real one.
    Prometheus,
    /// The build beside this bench.
    Perdura,
}

impl Contender {
    /// Name on the command line and in the report.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Prometheus => "prometheus",
            Self::Perdura => "perdura",
        }
    }

    fn start(self, peers: &Path, folder: &Path, configuration: &Path) -> Server {
        let binary = match self {
            Self::Prometheus => peers.join("prometheus"),
            Self::Perdura => env!("CARGO_BIN_EXE_perdura").into(),
        };
        let port = free_port();
        let mut command = Command::new(binary);
        command
            .arg(format!("--config.file={}", configuration.display()))
            .arg(format!("--storage.tsdb.path={}", folder.join("data").display()))
            .arg(format!("--web.listen-address=127.0.0.1:{port}"))
            .arg("--web.enable-lifecycle")
            .arg("--web.enable-remote-write-receiver");
        Server::start(self.name(), &mut command, port, "/-/ready", folder.join("log"))
    }
}

/// What a phase cost.
struct Phase {
    cpu: Duration,
    seconds: f64,
    resident_bytes: u64,
}

/// What the server says of its rules.
#[derive(Clone, Copy, Default)]
struct Counts {
    evaluations: f64,
    failures: f64,
    iterations: f64,
    missed: f64,
}

/// What a server cost and did.
pub(crate) struct Report {
    name: &'static str,
    version: String,
    control: Phase,
    rules: Phase,
    counts: Counts,
    last_durations: Vec<f64>,
    series_per_rule: f64,
    self_check: String,
    pub(crate) answers: Answers,
}

impl Report {
    /// CPU seconds that rules took.
    fn rule_cpu(&self) -> f64 {
        (self.rules.per_second() - self.control.per_second()) * self.rules.seconds
    }

    /// CPU seconds for each evaluation of a rule: a server that misses some does not seem the cheaper for it.
    pub(crate) fn evaluation_cpu(&self) -> f64 {
        self.rule_cpu() / self.counts.evaluations
    }
}

impl Phase {
    fn per_second(&self) -> f64 {
        self.cpu.as_secs_f64() / self.seconds
    }
}

impl fmt::Display for Report {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(out, "{} {}", self.name, self.version)?;
        for (name, phase) in [("without rules", &self.control), ("with rules", &self.rules)] {
            writeln!(
                out,
                "  {name:<14} {:>7.2} CPU s in {:.0} s ({:.3} cores), RSS {:.0} MiB",
                phase.cpu.as_secs_f64(),
                phase.seconds,
                phase.per_second(),
                phase.resident_bytes as f64 / f64::from(1 << 20)
            )?;
        }
        let (counts, cpu) = (&self.counts, self.rule_cpu());
        writeln!(
            out,
            "  rules: {cpu:.2} CPU s, {:.0} us for each of {:.0} evaluations ({:.1} series selected on average)",
            self.evaluation_cpu() * 1e6,
            counts.evaluations,
            self.series_per_rule,
        )?;
        let last = &self.last_durations;
        writeln!(
            out,
            "  groups: {:.0} iterations, {:.0} missed, {:.0} evaluations failed; last durations: median {:.4} s, largest {:.4} s, \
             all together {:.2} s",
            counts.iterations,
            counts.missed,
            counts.failures,
            last.get(last.len() / 2).copied().unwrap_or_default(),
            last.last().copied().unwrap_or_default(),
            last.iter().sum::<f64>(),
        )?;
        write!(out, "  {}", self.self_check)
    }
}

/// Measures `contender` on a fresh folder.
pub(crate) fn run(
    contender: Contender,
    fleet: &Fleet,
    options: &Options,
    peers: &Path,
    folder: &Path,
) -> Report {
    let folder = folder.join(contender.name());
    fs::create_dir_all(&folder).expect("the bench's folder is writable");
    let configuration = folder.join("prometheus.yml");
    configure(&configuration, false);
    fs::write(folder.join("rules.yml"), groups::yaml(&groups::all(options.clusters)))
        .expect("the bench's folder is writable");
    let server = contender.start(peers, &folder, &configuration);
    let history_ms = i64::try_from(options.history_seconds).expect("history is short") * 1_000;
    let start = (now_ms() - history_ms) / INTERVAL_MS * INTERVAL_MS;
    let feed = Feed::new(fleet, start, server.port);
    eprintln!("rules: {}: history ...", contender.name());
    let step = feed.send_history();
    let stop = AtomicBool::new(false);
    thread::scope(|scope| {
        scope.spawn(|| feed.send_live(step, &stop));
        let report = phases(contender, &server, &configuration, options, start);
        stop.store(true, Ordering::Relaxed);
        report
    })
}

fn phases(
    contender: Contender,
    server: &Server,
    configuration: &Path,
    options: &Options,
    start: i64,
) -> Report {
    let history_steps =
        i64::try_from(options.history_seconds).expect("history is short") * 1_000 / INTERVAL_MS;
    let length = Duration::from_secs(options.seconds);
    // An interval for the history to settle, and one for the first evaluations, which nothing is compared with.
    let interval = Duration::from_millis(u64::try_from(INTERVAL_MS).expect("an interval is positive"));
    thread::sleep(interval);
    eprintln!("rules: {}: without rules ...", contender.name());
    let control = phase(server, length);
    configure(configuration, true);
    let answer = server.post("/-/reload", &[]).expect("the server answers");
    assert_eq!(answer.status, 200, "reload: {}", answer.text());
    thread::sleep(interval * 2);
    eprintln!("rules: {}: with rules ...", contender.name());
    let before = counts(server);
    let rules = phase(server, length);
    let after = counts(server);
    eprintln!("rules: {}: checks ...", contender.name());
    Report {
        name: contender.name(),
        version: check::version(server),
        control,
        rules,
        counts: Counts {
            evaluations: after.evaluations - before.evaluations,
            failures: after.failures - before.failures,
            iterations: after.iterations - before.iterations,
            missed: after.missed - before.missed,
        },
        last_durations: last_durations(server),
        series_per_rule: check::series_per_rule(server),
        self_check: check::recorded(server, start),
        answers: check::answers(server, start, history_steps),
    }
}

fn configure(path: &Path, with_rules: bool) {
    let mut text = String::from("global:\n  scrape_interval: 15s\n  evaluation_interval: 15s\n");
    if with_rules {
        text.push_str("rule_files: [rules.yml]\n");
    }
    fs::write(path, text).expect("the bench's folder is writable");
}

fn phase(server: &Server, length: Duration) -> Phase {
    let (cpu_before, start) = (cpu(server), Instant::now());
    thread::sleep(length);
    Phase {
        cpu: cpu(server) - cpu_before,
        seconds: start.elapsed().as_secs_f64(),
        resident_bytes: server.status_bytes("VmRSS:"),
    }
}

/// Values of a metric of the server's own, all label sets.
fn own_metric(text: &str, name: &str) -> Vec<f64> {
    let is_of = |line: &&str| line.strip_prefix(name).is_some_and(|rest| rest.starts_with(['{', ' ']));
    text.lines().filter(is_of).filter_map(|line| line.rsplit_once(' ')?.1.parse().ok()).collect()
}

fn own_metrics(server: &Server) -> String {
    server.get("/metrics", &[]).expect("the server answers").text()
}

fn counts(server: &Server) -> Counts {
    let text = own_metrics(server);
    let sum = |name: &str| own_metric(&text, name).iter().sum();
    Counts {
        evaluations: sum("prometheus_rule_evaluations_total"),
        failures: sum("prometheus_rule_evaluation_failures_total"),
        iterations: sum("prometheus_rule_group_iterations_total"),
        missed: sum("prometheus_rule_group_iterations_missed_total"),
    }
}

fn last_durations(server: &Server) -> Vec<f64> {
    let mut found = own_metric(&own_metrics(server), "prometheus_rule_group_last_duration_seconds");
    found.sort_by(f64::total_cmp);
    found
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
