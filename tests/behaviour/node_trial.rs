//! A machine with GPUs as users run it: an agent that reads GPUs and scrapes, a server that is killed and away for long,
//! and the agent stopped and killed meanwhile.
//!
//! What the agent took is read from its log, whose files are linked elsewhere before the agent removes them: that is
//! every sample that it acknowledged, whatever became of sending. All of it has to be in the server in the end, value by
//! value. The server is away for seconds, or for so many minutes as the environment variable `PERDURA_TRIAL_MINUTES` says.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::{Read, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use perdura::model::Labels;
use perdura::wal::{log_file_number, read_log_file};
use serde_json::Value;

/// Longest wait for something that should happen within a second; the machine may be busy.
const PATIENCE: Duration = Duration::from_secs(120);
/// How often the agent's log is looked at. A file is there for far longer.
const LINK_EVERY: Duration = Duration::from_millis(50);

/// Samples by series, the series as its labels' text; values by their bits.
type Samples = BTreeMap<String, BTreeMap<i64, u64>>;

/// How long each part of the trial is.
struct Times {
    /// With everything there.
    calm: Duration,
    /// With the server away.
    away: Duration,
}

impl Times {
    fn of_environment() -> Self {
        let minutes = std::env::var("PERDURA_TRIAL_MINUTES").ok().and_then(|text| text.parse::<u64>().ok());
        match minutes {
            Some(minutes) => Self { calm: Duration::from_secs(30), away: Duration::from_secs(60 * minutes) },
            None => Self { calm: Duration::from_secs(4), away: Duration::from_secs(12) },
        }
    }
}

/// perdura as a process with its log in a file; killed with the value.
struct Program {
    child: Child,
    port: u16,
    log: PathBuf,
}

impl Program {
    fn start(folder: &Path, port: u16, name: &str, arguments: &[&str]) -> Self {
        let log = folder.join(format!("{name}.log"));
        let file = File::options().create(true).append(true).open(&log).expect("the folder is writable");
        let child = Command::new(env!("CARGO_BIN_EXE_perdura"))
            .args(arguments)
            .arg(format!("--web.listen-address=127.0.0.1:{port}"))
            .current_dir(folder)
            .stdin(Stdio::null())
            .stderr(file)
            .spawn()
            .expect("the program starts");
        let mut program = Self { child, port, log };
        let deadline = Instant::now() + PATIENCE;
        while program.get("/-/ready").is_none_or(|answer| !answer.contains(" 200 OK\r\n")) {
            let ended = program.child.try_wait().expect("the program can be waited for");
            assert!(ended.is_none() && Instant::now() < deadline, "{name} is not ready: {}", program.said());
            std::thread::sleep(Duration::from_millis(20));
        }
        program
    }

    /// The whole answer, or `None` where there is none. By HTTP/1.0 it comes in one piece.
    fn get(&self, path: &str) -> Option<String> {
        let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, self.port)).ok()?;
        write!(stream, "GET {path} HTTP/1.0\r\nHost: a\r\n\r\n").ok()?;
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).ok()?;
        Some(String::from_utf8_lossy(&answer).into_owned())
    }

    fn said(&self) -> String {
        std::fs::read_to_string(&self.log).unwrap_or_default()
    }

    /// Asks it to end, and waits until it has.
    fn end(mut self) {
        let sent = Command::new("kill").arg(self.child.id().to_string()).status();
        assert!(sent.is_ok_and(|status| status.success()), "the signal is sent");
        let deadline = Instant::now() + PATIENCE;
        while self.child.try_wait().expect("the program can be waited for").is_none() {
            assert!(Instant::now() < deadline, "it does not end: {}", self.said());
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// What it costs: seconds of CPU so far, KiB resident, KiB of that its own.
    fn cost(&self) -> (f64, u64, u64) {
        let read = |file: &str| std::fs::read_to_string(format!("/proc/{}/{file}", self.child.id()));
        let (stat, status) = (read("stat").unwrap_or_default(), read("status").unwrap_or_default());
        let ticks: Vec<u64> = stat
            .rsplit_once(") ")
            .map(|(_, rest)| {
                rest.split(' ').skip(11).take(2).filter_map(|number| number.parse().ok()).collect()
            })
            .unwrap_or_default();
        let kib = |field: &str| {
            let line = status.lines().find(|line| line.starts_with(field));
            line.and_then(|line| line.split_whitespace().nth(1)?.parse().ok()).unwrap_or(0)
        };
        (ticks.iter().sum::<u64>() as f64 / 100.0, kib("VmRSS:"), kib("RssAnon:"))
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn free_port() -> u16 {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port is free");
    listener.local_addr().expect("it is bound").port()
}

/// Links the agent's log files elsewhere while it lives, so that none is lost when the agent removes it.
struct Linker {
    to: PathBuf,
    is_done: Arc<AtomicBool>,
    thread: JoinHandle<()>,
}

impl Linker {
    fn start(from: PathBuf, to: PathBuf) -> Self {
        std::fs::create_dir_all(&to).expect("the folder is writable");
        let is_done = Arc::new(AtomicBool::new(false));
        let (done, folder) = (Arc::clone(&is_done), to.clone());
        let thread = std::thread::spawn(move || {
            while !done.load(Ordering::Acquire) {
                link_all(&from, &folder);
                std::thread::sleep(LINK_EVERY);
            }
        });
        Self { to, is_done, thread }
    }

    /// All samples in the files, stale markers left out.
    fn end(self) -> Samples {
        self.is_done.store(true, Ordering::Release);
        self.thread.join().expect("linking does not panic");
        let mut samples = Samples::new();
        for entry in std::fs::read_dir(&self.to).expect("the folder is there").flatten() {
            let name = entry.file_name().to_string_lossy().into_owned();
            let Some(number) = log_file_number(&name) else { continue };
            let bytes = std::fs::read(entry.path()).expect("the file is there");
            let report = read_log_file(&bytes, number, 0, |logged| {
                for series in &logged.batch.series {
                    let labels =
                        Labels::from_bytes(logged.batch.labels_of(series)).expect("they are canonical");
                    let entries = logged.batch.floats[series.floats.clone()].iter();
                    let of_series =
                        samples.entry(text_of(labels.iter().map(|l| (l.name, l.value)))).or_default();
                    let values = entries.filter(|entry| !entry.value.is_nan());
                    of_series.extend(values.map(|entry| (entry.timestamp, entry.value.to_bits())));
                }
            });
            assert_eq!(report.expect("the version is this one").damaged, [], "{name}");
        }
        samples.retain(|_, values| !values.is_empty());
        samples
    }
}

fn link_all(from: &Path, to: &Path) {
    let Ok(entries) = std::fs::read_dir(from) else { return };
    for entry in entries.flatten() {
        // It is linked already, or it went away in this moment.
        let _ = std::fs::hard_link(entry.path(), to.join(entry.file_name()));
    }
}

fn text_of<'a>(labels: impl Iterator<Item = (&'a str, &'a str)>) -> String {
    let mut pairs: Vec<String> = labels.map(|(name, value)| format!("{name}={value:?}")).collect();
    pairs.sort_unstable();
    pairs.join(",")
}

/// What the server has of the agent, without the label that the agent adds when it sends.
fn stored(server: &Program) -> Samples {
    let answer =
        server.get("/api/v1/query?query=%7Bnode=%22trial%22%7D%5B3h%5D").expect("the server answers");
    let start = answer.find("{\"status\"").expect("the answer is JSON");
    let end = answer.rfind('}').expect("the answer is JSON");

    let answer: Value = serde_json::from_str(&answer[start..=end]).expect("the answer is JSON");
    let series = answer["data"]["result"].as_array().expect("a matrix");
    let read = |series: &Value| {
        let labels = series["metric"].as_object().expect("labels");
        let pairs = labels.iter().filter(|(name, _)| *name != "node");
        let text = text_of(pairs.map(|(name, value)| (name.as_str(), value.as_str().unwrap_or_default())));
        (text, series["values"].as_array().expect("samples").iter().map(sample).collect())
    };
    series.iter().map(read).collect()
}

fn sample(pair: &Value) -> (i64, u64) {
    let seconds = pair[0].as_f64().expect("a time");
    let value = match pair[1].as_str().expect("a value") {
        "+Inf" => f64::INFINITY,
        "-Inf" => f64::NEG_INFINITY,
        text => text.parse().expect("a number"),
    };
    ((seconds * 1_000.0).round() as i64, value.to_bits())
}

fn start_server(folder: &Path, port: u16) -> Program {
    Program::start(folder, port, "server", &["serve", "--config.file=server.yml", "--gpu=off"])
}

fn start_agent(folder: &Path, port: u16) -> Program {
    let arguments = [
        "agent",
        "--config.file=agent.yml",
        "--storage.agent.path=agent",
        "--gpu=simulate",
        "--gpu.simulate=nodes=1,gpus=8",
        "--gpu.interval=1s",
    ];
    Program::start(folder, port, "agent", &arguments)
}

fn configure(folder: &Path, agent: u16, server: u16) {
    let write = |name: &str, text: &str| {
        std::fs::write(folder.join(name), text).expect("the folder is writable");
    };
    write("server.yml", "{}");
    let agent_yml = format!(
        "global: {{scrape_interval: 1s, external_labels: {{node: trial}}}}
scrape_configs:
- {{job_name: self, static_configs: [{{targets: ['127.0.0.1:{agent}']}}]}}
remote_write:
- {{url: 'http://127.0.0.1:{server}/api/v1/write', queue_config: {{batch_send_deadline: 1s}}}}
"
    );
    write("agent.yml", &agent_yml);
}

/// Waits until all that waited has been sent: the newest that was sent is a few seconds old. The way back takes a small
/// part of the time away, unless the machine is busy.
fn wait_for_the_rest(agent: &Program, times: &Times) {
    let (start, patience) = (Instant::now(), PATIENCE + times.away);
    let newest = |page: &str, name: &str| {
        let line = page.lines().find(|line| line.starts_with(name));
        line.and_then(|line| line.rsplit(' ').next()?.parse::<f64>().ok()).unwrap_or(0.0)
    };
    loop {
        let page = agent.get("/metrics").unwrap_or_default();
        let taken = newest(&page, "prometheus_remote_storage_highest_timestamp_in_seconds");
        let sent = newest(&page, "prometheus_remote_storage_queue_highest_sent_timestamp_seconds");
        if taken > 0.0 && sent + 3.0 >= taken {
            break;
        }
        assert!(start.elapsed() < patience, "sent up to {sent} of {taken}: {}", agent.said());
        std::thread::sleep(Duration::from_millis(200));
    }
    println!("what had waited was sent in {:.1} s", start.elapsed().as_secs_f64());
}

fn tell(what: &str, program: &Program) {
    let (cpu, resident, own) = program.cost();
    println!("{what}: {cpu:.2} s of CPU, {resident} KiB resident, {own} KiB of them its own");
}

#[test]
fn nothing_of_a_gpu_node_is_missing() {
    let times = Times::of_environment();
    let folder = tempfile::tempdir().expect("a temporary folder can be made");
    let folder = folder.path();
    let (agent_port, server_port) = (free_port(), free_port());
    configure(folder, agent_port, server_port);
    let linker = Linker::start(folder.join("agent/log"), folder.join("linked"));

    let server = start_server(folder, server_port);
    let agent = start_agent(folder, agent_port);
    std::thread::sleep(times.calm);
    // SIGKILL, as with all that is dropped.
    drop(server);
    std::thread::sleep(times.away / 3);
    tell("agent before it is stopped", &agent);
    agent.end();
    let agent = start_agent(folder, agent_port);
    std::thread::sleep(times.away / 3);
    tell("agent before it is killed", &agent);
    drop(agent);
    let agent = start_agent(folder, agent_port);
    std::thread::sleep(times.away / 3);
    let server = start_server(folder, server_port);
    wait_for_the_rest(&agent, &times);
    std::thread::sleep(times.calm);
    tell("agent in the end", &agent);
    tell("server in the end", &server);
    // What waits is sent before it ends.
    agent.end();

    let (taken, stored) = (linker.end(), stored(&server));
    let missing: Vec<(&String, Vec<i64>)> = taken
        .iter()
        .map(|(series, samples)| {
            let there = stored.get(series);
            let is_missing = |t: &i64, v: &u64| there.and_then(|there| there.get(t)) != Some(v);
            (series, samples.iter().filter(|(t, v)| is_missing(t, v)).map(|(t, _)| *t).collect())
        })
        .filter(|(_, times): &(&String, Vec<i64>)| !times.is_empty())
        .collect();
    let count = |samples: &Samples| samples.values().map(BTreeMap::len).sum::<usize>();
    println!("{} series, {} samples taken, {} stored", taken.len(), count(&taken), count(&stored));
    assert!(missing.is_empty(), "{} series lack samples, such as {:?}", missing.len(), missing[0]);
    assert_eq!(count(&taken), count(&stored), "nothing else is stored");
    collected_all_along(&taken, &times);
}

/// GPUs were read while the server was away, as often as was asked for.
fn collected_all_along(taken: &Samples, times: &Times) {
    let mut of_gpus: BTreeMap<&str, BTreeSet<i64>> = BTreeMap::new();
    for (series, samples) in taken.iter().filter(|(series, _)| series.contains("DCGM_FI_DEV_GPU_TEMP")) {
        // One that pods share has a series for each.
        let gpu = series.split(',').find(|pair| pair.starts_with("gpu=")).expect("the GPU is named");
        of_gpus.entry(gpu).or_default().extend(samples.keys());
    }
    // The fleet's sick one does not answer for minutes of each quarter of an hour.
    of_gpus.remove("gpu=\"3\"");
    assert_eq!(of_gpus.len(), 7, "all others are read");
    let rounds: BTreeSet<i64> = of_gpus.values().flatten().copied().collect();
    let longest = rounds.iter().zip(rounds.iter().skip(1)).map(|(a, b)| b - a).max().unwrap_or(0);
    println!("{} rounds of GPUs, the longest time between two {longest} ms", rounds.len());
    let least = of_gpus.values().map(BTreeSet::len).min().unwrap_or(0);
    println!("the GPU that was read least often was read in {least} of them");
    // On a busy machine a round may be left out, and a GPU may not answer within its half of a second.
    let seconds = (times.away + 2 * times.calm).as_secs();
    assert!(least as u64 * 2 > seconds, "{least} rounds in {seconds} s");
}
