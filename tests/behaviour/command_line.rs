//! The program as a process: flags, signals, reload, exit codes.

use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, ChildStderr, Command, Output, Stdio};
use std::time::{Duration, Instant};

use crate::server::exchange;

fn perdura(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_perdura"));
    command.args(arguments);
    command
}

fn run(arguments: &[&str]) -> Output {
    perdura(arguments).output().expect("the program runs")
}

/// A served program; it is killed with the value.
pub(crate) struct Served {
    child: Child,
    log: BufReader<ChildStderr>,
    pub(crate) address: SocketAddr,
}

impl Drop for Served {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Served {
    /// Starts on a free port, which the log names.
    pub(crate) fn start(folder: &Path, further: &[&str]) -> Self {
        let mut child = perdura(&["--web.listen-address=127.0.0.1:0"])
            .args(further)
            .current_dir(folder)
            .stderr(Stdio::piped())
            .spawn()
            .expect("the program starts");
        let mut log = BufReader::new(child.stderr.take().expect("the log is piped"));
        let listening = wait_for(&mut log, "listening");
        let address = listening.rsplit_once("address=").expect("the log names the address").1;
        let address = address.trim().parse().expect("an address");
        wait_for(&mut log, "ready to receive");
        Self { child, log, address }
    }

    fn signal(&self, signal: &str) {
        let sent = Command::new("kill").args([signal, &self.child.id().to_string()]).status();
        assert!(sent.is_ok_and(|status| status.success()), "the signal is sent");
    }

    pub(crate) fn get(&self, path: &str) -> String {
        let request = format!("GET {path} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
        exchange(self.address, request.as_bytes()).text().to_owned()
    }

    /// Answers what `path` answers to an empty POST.
    pub(crate) fn post(&self, path: &str) -> String {
        let request =
            format!("POST {path} HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
        exchange(self.address, request.as_bytes()).text().to_owned()
    }

    /// Asks for `path` until the answer is as it should be.
    pub(crate) fn wait_for_answer(&self, path: &str, is_right: impl Fn(&str) -> bool) -> String {
        let deadline = Instant::now() + Duration::from_secs(30);
        loop {
            let answer = self.get(path);
            if is_right(&answer) {
                return answer;
            }
            assert!(Instant::now() < deadline, "{path} answers {answer}");
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    fn exit_code(mut self) -> Option<i32> {
        let deadline = Instant::now() + Duration::from_secs(20);
        while Instant::now() < deadline {
            if let Some(status) = self.child.try_wait().expect("the program can be waited for") {
                return status.code();
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        panic!("the program did not end");
    }
}

/// The next line of the log that holds `text`.
fn wait_for(log: &mut BufReader<ChildStderr>, text: &str) -> String {
    let mut seen = String::new();
    loop {
        let mut line = String::new();
        let count = log.read_line(&mut line).expect("the log is text");
        assert!(count > 0, "the log ended without {text:?}:\n{seen}");
        if line.contains(text) {
            return line;
        }
        seen.push_str(&line);
    }
}

const CONFIG: &str = "global: {scrape_interval: 1h}\nscrape_configs: [{job_name: one}]\n";

#[test]
fn it_serves_reloads_and_ends_in_order() {
    let folder = tempfile::tempdir().expect("a folder can be made");
    let config = folder.path().join("p.yml");
    let write = |text: &str| std::fs::write(&config, text).expect("the file can be written");
    write(CONFIG);
    let mut served = Served::start(folder.path(), &["--config.file=p.yml", "--auto-gomaxprocs"]);
    assert!(served.get("/api/v1/scrape_pools").contains(r#"["one"]"#));
    assert!(served.get("/api/v1/status/flags").contains(r#""config.file":"p.yml""#));
    assert!(folder.path().join("data").is_dir());

    write("scrape_configs: [{job_name: two}]\n");
    served.signal("-HUP");
    wait_for(&mut served.log, "configuration loaded");
    assert!(served.get("/api/v1/scrape_pools").contains(r#"["two"]"#));

    write("scrape_configs: [{job_nam: three}]\n");
    served.signal("-HUP");
    let line = wait_for(&mut served.log, "not loaded");
    assert!(line.contains("job_nam") && line.contains("line 1"), "{line}");
    assert!(served.get("/api/v1/scrape_pools").contains(r#"["two"]"#));
    assert!(served.get("/metrics").contains("prometheus_config_last_reload_successful 0\n"));

    served.signal("-TERM");
    assert_eq!(served.exit_code(), Some(0));
}

#[test]
fn alertmanagers_are_shown_and_stay_when_a_reload_fails() {
    let folder = tempfile::tempdir().expect("a folder can be made");
    let section = |more: &str| {
        format!(
            "
global: {{scrape_interval: 1h}}
alerting:
  alertmanagers:
  - static_configs: [{{targets: ['127.0.0.1:9', drop]}}]
    path_prefix: am
    relabel_configs: [{{source_labels: [__address__], regex: drop, action: drop}}]
{more}"
        )
    };
    let write = |text: &str| std::fs::write(folder.path().join("p.yml"), text).expect("there is room");
    write(&section(""));
    let flags = ["--config.file=p.yml", "--alertmanager.notification-queue-capacity=7"];
    let mut served = Served::start(folder.path(), &flags);
    let shown = concat!(
        r#"{"activeAlertmanagers":[{"url":"http://127.0.0.1:9/am/api/v2/alerts"}],"#,
        r#""droppedAlertmanagers":[{"url":"http://drop/am/api/v2/alerts"}]}"#
    );
    assert!(served.get("/api/v1/alertmanagers").contains(shown));

    write(&section("  - tls_config: {ca_file: nowhere.pem}\nscrape_configs: [{job_name: new}]\n"));
    served.signal("-HUP");
    let line = wait_for(&mut served.log, "not loaded");
    assert!(line.contains("alerting.alertmanagers.1: unable to read file"), "{line}");
    assert!(served.get("/api/v1/alertmanagers").contains(shown));
    assert!(served.get("/api/v1/scrape_pools").contains(r#""scrapePools":[]"#));
    let metrics = served.get("/metrics");
    for line in [
        "prometheus_notifications_alertmanagers_discovered 1",
        "prometheus_notifications_queue_capacity 7",
        "prometheus_notifications_sent_total{alertmanager=\"http://127.0.0.1:9/am/api/v2/alerts\"} 0",
    ] {
        assert!(metrics.lines().any(|found| found == line), "{line} in {metrics}");
    }

    write("alerting: {alertmanagers: [{static_configs: [{targets: [other]}]}]}\n");
    served.signal("-HUP");
    wait_for(&mut served.log, "configuration loaded");
    let answer = served.get("/api/v1/alertmanagers");
    assert!(answer.contains("http://other/api/v2/alerts") && !answer.contains("127.0.0.1"), "{answer}");
    served.signal("-TERM");
    assert_eq!(served.exit_code(), Some(0));
}

#[test]
fn without_a_file_it_scrapes_itself() {
    let folder = tempfile::tempdir().expect("a folder can be made");
    let served = Served::start(folder.path(), &["--log.level=info"]);
    assert!(served.get("/api/v1/scrape_pools").contains(r#"["perdura"]"#));
    served.signal("-INT");
    assert_eq!(served.exit_code(), Some(0));
}

#[test]
fn logs_may_be_json() {
    let folder = tempfile::tempdir().expect("a folder can be made");
    let output = perdura(&["--log.format=json", "--web.listen-address=256.0.0.1:1", "--web.page-title=x"])
        .current_dir(folder.path())
        .output()
        .expect("the program runs");
    assert_eq!(output.status.code(), Some(1));
    let log = String::from_utf8(output.stderr).expect("the log is text");
    let lines: Vec<serde_json::Value> =
        log.lines().map(|line| serde_json::from_str(line).expect("each line is JSON")).collect();
    assert!(lines.iter().any(|line| line["level"] == "WARN"
        && line["message"].as_str().is_some_and(|text| text.contains("--web.page-title"))));
    assert!(lines.last().is_some_and(|line| line["level"] == "ERROR"));
}

#[test]
fn wrong_command_lines_say_what_is_wrong() {
    for (arguments, text) in [
        (&["--no-such-flag"][..], "--no-such-flag"),
        (&["serve", "--query.timeout=fast"], "--query.timeout"),
        (&["check"], "subcommand"),
        (&["test", "promql"], "FILE"),
    ] {
        let output = run(arguments);
        assert_eq!(output.status.code(), Some(2), "{arguments:?}");
        let said = String::from_utf8_lossy(&output.stderr).to_lowercase();
        assert!(said.contains(&text.to_lowercase()), "{arguments:?}: {said}");
    }
    for (arguments, text) in [
        (&["agent", "--query.timeout=1m"][..], "can not be used in agent mode: [\"--query.timeout\"]"),
        (&["--agent", "--no-storage.tsdb.no-lockfile"], "agent mode: [\"--storage.tsdb.no-lockfile\"]"),
        (&["--storage.agent.path=x"], "can only be used in agent mode: [\"--storage.agent.path\"]"),
    ] {
        let output = run(arguments);
        assert_eq!(output.status.code(), Some(3), "{arguments:?}");
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(said.contains(text), "{arguments:?}: {said}");
    }
    for arguments in [&["--version"][..], &["--help"], &["serve", "--help"]] {
        assert_eq!(run(arguments).status.code(), Some(0), "{arguments:?}");
    }
}

#[test]
fn configuration_files_are_checked() {
    let folder = tempfile::tempdir().expect("a folder can be made");
    let file = |name: &str, text: &str| {
        let path = folder.path().join(name);
        std::fs::write(&path, text).expect("the file can be written");
        path.to_string_lossy().into_owned()
    };
    let (good, bad) = (file("good.yml", CONFIG), file("bad.yml", "globe: {}\n"));
    assert_eq!(run(&["check", "config", &good]).status.code(), Some(0));
    let output = run(&["check", "config", &good, &bad]);
    assert_eq!(output.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&output.stderr).contains("globe"));
}

#[test]
fn scripts_decide_the_exit_code() {
    let folder = tempfile::tempdir().expect("a folder can be made");
    let script = |name: &str, value: &str| {
        let path = folder.path().join(name);
        let text = format!("load 1m\n  m 1 2\n\neval instant at 1m m\n  m {value}\n");
        std::fs::write(&path, text).expect("the file can be written");
        path.to_string_lossy().into_owned()
    };
    let (right, wrong) = (script("right.test", "2"), script("wrong.test", "3"));
    let output = run(&["test", "promql", &right]);
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    assert!(String::from_utf8_lossy(&output.stdout).ends_with("promql: 1 of 1 evals pass\n"));
    let output = run(&["test", "promql", &right, &wrong]);
    assert_eq!(output.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&output.stdout).ends_with("promql: 1 of 2 evals pass\n"));
    assert_eq!(run(&["test", "promql", "/nowhere.test"]).status.code(), Some(2));
}
