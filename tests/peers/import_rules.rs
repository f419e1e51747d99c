//! `perdura import rules` beside `promtool tsdb create-blocks-from rules`: a real Prometheus is the source of both.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::Path;
use std::process::Command;
use std::time::{SystemTime, UNIX_EPOCH};

use super::server::{Server, Subject, free_port, peers, start_prometheus};

const HOUR: i64 = 3_600;

const RULES: &str = "
groups:
- name: one
  labels: {team: x}
  rules:
  - {record: r_rate, expr: 'rate(m_total[5m])', labels: {copy: y}}
  - {record: r_sum, expr: sum by (job) (m_total) / 3}
- name: two
  interval: 90s
  rules:
  - {record: r_count, expr: count(m_total)}
  - {alert: Never, expr: m_total < 0}
";

/// A series' labels as text, and a time in milliseconds.
type Key = (String, i64);

/// Runs a program in `folder`; answers what it printed.
fn run(program: &Path, folder: &Path, arguments: &[&str]) -> String {
    let output =
        Command::new(program).args(arguments).current_dir(folder).output().expect("the program runs");
    let said = String::from_utf8_lossy(&[output.stdout.as_slice(), &output.stderr].concat()).into_owned();
    assert!(output.status.success(), "{program:?} {arguments:?}: {said}");
    said
}

/// Six hours of two counters until two hours before `now`.
fn history(now: i64) -> String {
    let mut text = "# TYPE m counter\n".to_owned();
    for (job, factor) in [("a", 1.0), ("b", 2.5)] {
        for step in 0..1_440 {
            let (value, at) = (f64::from(step) * factor, now - 8 * HOUR + i64::from(step) * 15);
            writeln!(text, "m_total{{job=\"{job}\"}} {value} {at}").expect("a text grows");
        }
    }
    text + "# EOF\n"
}

/// Samples as `promtool tsdb dump` prints them: `{labels} value time`.
fn dumped(text: &str) -> BTreeMap<Key, f64> {
    let samples = text.lines().filter_map(|line| {
        let (labels, rest) = line.strip_prefix('{')?.split_once("} ")?;
        let (value, at) = rest.split_once(' ')?;
        Some(((labels.to_owned(), at.parse().ok()?), value.parse().ok()?))
    });
    samples.collect()
}

/// Samples of perdura, labels written in the same way.
fn stored(perdura: &Server, now: i64) -> BTreeMap<Key, f64> {
    let fields = [("query", "{__name__=~\"r_.*\"}[8h]"), ("time", &now.to_string())];
    let answer = perdura.get("/api/v1/query", &fields).expect("perdura answers").json();
    let mut samples = BTreeMap::new();
    for series in answer["data"]["result"].as_array().expect("results are a list") {
        let metric = series["metric"].as_object().expect("a metric is an object");
        let labels: BTreeMap<&String, String> =
            metric.iter().map(|(name, value)| (name, value.to_string())).collect();
        let labels: Vec<String> = labels.iter().map(|(name, value)| format!("{name}={value}")).collect();
        for sample in series["values"].as_array().expect("the series holds floats") {
            let at = (sample[0].as_f64().expect("a time is a number") * 1_000.0).round() as i64;
            let value = sample[1].as_str().and_then(|text| text.parse().ok()).expect("a value is a number");
            samples.insert((labels.join(", "), at), value);
        }
    }
    samples
}

#[test]
fn both_make_the_same_samples() {
    let Some(peers) = peers("import rules") else { return };
    let scratch = tempfile::tempdir().expect("there is room");
    let folder = scratch.path();
    let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("the epoch is over").as_secs() as i64;
    let write = |name: &str, text: &str| {
        std::fs::write(folder.join(name), text).expect("the trial's folder is writable");
    };
    write("history.txt", &history(now));
    write("rules.yml", RULES);
    let promtool = peers.join("promtool");
    let source_folder = folder.join("prometheus");
    let data = source_folder.join("data").to_string_lossy().into_owned();
    run(&promtool, folder, &["tsdb", "create-blocks-from", "openmetrics", "history.txt", &data]);
    let source = start_prometheus(&peers, &source_folder, free_port(), "scrape_configs: []\n");
    let perdura = Subject::new(&folder.join("perdura"));
    if perdura.stands_in() {
        println!("import rules: skipped, a Prometheus takes no samples that are old");
        return;
    }
    let target = perdura.start("scrape_configs: []\n");

    let url = format!("--url=http://127.0.0.1:{}", source.port);
    let start = format!("--start={}", now - 7 * HOUR);
    let end = format!("--end={}", now - 3 * HOUR);
    let arguments =
        ["tsdb", "create-blocks-from", "rules", &url, &start, &end, "--output-dir=out", "rules.yml"];
    run(&promtool, folder, &arguments);
    // Blocks alone are no database to promtool.
    std::fs::create_dir_all(folder.join("out/wal")).expect("the trial's folder is writable");
    let theirs = dumped(&run(&promtool, folder, &["tsdb", "dump", "out"]));
    let write_url = format!("--write-url=http://127.0.0.1:{}", target.port);
    let program = Path::new(env!("CARGO_BIN_EXE_perdura"));
    let said = run(program, folder, &["import", "rules", &url, &write_url, &start, &end, "rules.yml"]);
    assert!(said.contains("1 alerting rules are skipped"), "{said}");

    let ours = stored(&target, now);
    assert_eq!(ours.len(), 4 * 240 + 160);
    assert_eq!(ours.len(), theirs.len());
    for ((labels, at), value) in &theirs {
        // promtool rounds its times to milliseconds, a Prometheus that evaluates rules cuts them.
        let same = [0, -1, 1].iter().find_map(|ms| ours.get(&(labels.clone(), at + ms)));
        assert_eq!(same, Some(value), "{labels} at {at}");
    }
}
