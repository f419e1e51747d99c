//! `import rules`: what is stored is what an instant query answers at each time of evaluation.

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::net::TcpListener;
use std::path::Path;
use std::process::{Command, Output};
use std::sync::Arc;

use perdura::model::{CounterResetHint, Histogram, HistogramCounts, Labels, Span, TenantId};
use perdura::storage::{Acceptance, Append, Batch, MemoryStore};

use crate::server::{NOW, TestServer, exchange, options, start_over};

const START: i64 = NOW - 3 * 3_600;
const END: i64 = NOW - 1_800;

fn histogram(step: u64) -> Arc<Histogram> {
    Arc::new(Histogram {
        counter_reset_hint: CounterResetHint::Unknown,
        schema: 2,
        zero_threshold: 0.001,
        sum: step as f64 * 1.5,
        counts: HistogramCounts::Integer {
            count: 4 * step,
            zero_count: step,
            positive_deltas: vec![step as i64, 0],
            negative_deltas: vec![step as i64],
        },
        positive_spans: vec![Span { offset: -1, length: 1 }, Span { offset: 3, length: 1 }],
        negative_spans: vec![Span { offset: 2, length: 1 }],
        custom_values: Vec::new(),
    })
}

/// Four hours of a counter by job, of which one is away for a while, and of a histogram.
fn history() -> TestServer {
    let store = Arc::new(MemoryStore::default());
    let mut batch = Batch::default();
    for (job, factor) in [("a", 1.0), ("b", 2.5), ("gone", 0.1)] {
        batch.begin_series(&Labels::from_pairs([("__name__", "m"), ("job", job)]));
        for step in 0..960 {
            let is_away = job == "gone" && (400..600).contains(&step);
            if !is_away {
                batch.push_float((NOW - 4 * 3_600 + step * 15) * 1_000, 0, step as f64 * factor);
            }
        }
    }
    batch.begin_series(&Labels::from_pairs([("__name__", "h"), ("job", "a")]));
    for step in 0..960 {
        batch.push_histogram((NOW - 4 * 3_600 + step * 15) * 1_000, 0, histogram(step as u64));
    }
    store.append(&TenantId::default(), batch, &Acceptance::EVERYTHING).expect("memory takes everything");
    start_over(options(), store)
}

/// Expressions and the metrics that record them; groups stand in the wrong order.
const RULES: &str = "
groups:
- name: second
  interval: 2m
  rules:
  - {record: r_of_other_group, expr: max(r_sum)}
- name: first
  labels: {team: x}
  rules:
  - {record: r_rate, expr: 'rate(m[5m])', labels: {job_copy: y}}
  - {record: r_sum, expr: sum(r_rate)}
  - {record: r_scalar, expr: time() / 7}
  - {record: r_end, expr: 'sum by (job) (m - m @ end() + m offset 10m)'}
  - {alert: Never, expr: m < 0}
- name: histograms
  interval: 90s
  query_offset: 7s
  rules:
  - {record: r_histogram, expr: h}
  - {record: r_histogram_rate, expr: 'sum(rate(h[10m]))'}
- name: back
  interval: 5m
  rules:
  - {record: r_count, expr: 'count(m) + (r_count offset 5m or vector(0))'}
- name: limited
  limit: 2
  interval: 10m
  rules:
  - {record: r_limited, expr: m}
";

fn import(folder: &Path, arguments: &[String]) -> (Option<i32>, String, String) {
    let output: Output = Command::new(env!("CARGO_BIN_EXE_perdura"))
        .args(["import", "rules"])
        .args(arguments)
        .current_dir(folder)
        .output()
        .expect("the program runs");
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).expect("output is text");
    (output.status.code(), text(&output.stdout), text(&output.stderr))
}

fn arguments(url: &str) -> Vec<String> {
    vec![format!("--url={url}"), format!("--start={START}"), format!("--end={END}"), "rules.yml".to_owned()]
}

fn get(server: &TestServer, path: &str, fields: &[(&str, String)]) -> serde_json::Value {
    let escape = |text: &str| -> String { text.bytes().map(|byte| format!("%{byte:02X}")).collect() };
    let fields: Vec<String> =
        fields.iter().map(|(name, value)| format!("{name}={}", escape(value))).collect();
    let query = fields.join("&");
    let request = format!("GET {path}?{query} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
    let reply = exchange(server.address, request.as_bytes());
    serde_json::from_slice::<serde_json::Value>(&reply.body).expect("an answer is JSON")["data"]["result"]
        .take()
}

/// Values at a time, by the job.
fn values(server: &TestServer, query: &str, at_ms: i64) -> BTreeMap<String, serde_json::Value> {
    let at = format!("{}.{:03}", at_ms / 1_000, at_ms % 1_000);
    let result = get(server, "/api/v1/query", &[("query", query.to_owned()), ("time", at)]);
    let value_of = |series: &serde_json::Value| {
        series.get("value").or_else(|| series.get("histogram")).expect("a sample has a value")[1].clone()
    };
    let items = result.as_array().expect("results are a list");
    if items.first().is_some_and(serde_json::Value::is_number) {
        return [(String::new(), items[1].clone())].into();
    }
    let job = |series: &serde_json::Value| series["metric"]["job"].as_str().unwrap_or_default().to_owned();
    items.iter().map(|series| (job(series), value_of(series))).collect()
}

/// Times of the samples of a metric.
fn times(server: &TestServer, metric: &str) -> Vec<i64> {
    let window = format!("{metric}[4h]");
    let result = get(server, "/api/v1/query", &[("query", window), ("time", NOW.to_string())]);
    let mut times: Vec<i64> = Vec::new();
    for series in result.as_array().expect("results are a list") {
        for kind in ["values", "histograms"] {
            let samples = series.get(kind).and_then(serde_json::Value::as_array).into_iter().flatten();
            times
                .extend(samples.map(|sample| (sample[0].as_f64().expect("a time") * 1_000.0).round() as i64));
        }
    }
    times.sort_unstable();
    times.dedup();
    times
}

/// Checks a metric against its expression wherever it has samples; answers how many times that are.
fn check(server: &TestServer, metric: &str, expr: &str, step_s: i64) -> usize {
    let times = times(server, metric);
    assert!(
        times.first().is_some_and(|first| *first - START * 1_000 < step_s * 1_000),
        "{metric}: {times:?}"
    );
    for at in &times {
        assert_eq!(values(server, metric, *at), values(server, expr, *at), "{metric} at {at}");
    }
    assert!(times.windows(2).all(|pair| pair[1] - pair[0] == step_s * 1_000), "{metric}: {times:?}");
    times.len()
}

#[test]
fn stored_results_are_those_of_instant_queries() {
    let server = history();
    let folder = tempfile::tempdir().expect("a folder can be made");
    std::fs::write(folder.path().join("rules.yml"), RULES).expect("the file can be written");
    let arguments = arguments(&format!("http://{}", server.address));
    let (code, out, errors) = import(folder.path(), &arguments);
    // The limited rule fails where all three jobs are there.
    assert_eq!(code, Some(1), "{out}{errors}");
    assert!(out.contains("rules.yml: group \"first\": 1 alerting rules are skipped"), "{out}");
    assert!(out.contains("exceeded limit of 2 with 3 series"), "{out}");
    assert!(out.contains("100% of "), "{out}");

    assert_eq!(check(&server, "r_rate", "rate(m[5m])", 60), 150);
    assert_eq!(check(&server, "r_sum", "sum(rate(m[5m]))", 60), 150);
    assert_eq!(check(&server, "r_scalar", "time() / 7", 60), 150);
    assert_eq!(check(&server, "r_end", "sum by (job) (m - m @ end() + m offset 10m)", 60), 150);
    assert_eq!(check(&server, "r_of_other_group", "max(r_sum)", 120), 75);
    assert_eq!(check(&server, "r_histogram", "h", 90), 100);
    assert_eq!(check(&server, "r_histogram_rate", "sum(rate(h[10m]))", 90), 100);
    let counts = times(&server, "r_count");
    let last = *counts.last().expect("it has samples");
    assert_eq!(counts.len(), 30);
    let total: i64 = counts.iter().map(|at| values(&server, "m", *at).len() as i64).sum();
    assert_eq!(values(&server, "r_count", last)[""], total.to_string());
    for at in times(&server, "r_limited") {
        assert_eq!(values(&server, "r_limited", at), values(&server, "m", at));
        assert_eq!(values(&server, "m", at).len(), 2);
    }

    let rate =
        get(&server, "/api/v1/query", &[("query", "r_rate".to_owned()), ("time", (END - 60).to_string())]);
    let metric = &rate[0]["metric"];
    assert_eq!((&metric["team"], &metric["job_copy"]), (&"x".into(), &"y".into()));

    let samples = |metric: &str| {
        let query = format!("sum(count_over_time({metric}[4h]))");
        values(&server, &query, NOW * 1_000)[""].clone()
    };
    let before = (samples("r_rate"), samples("r_histogram"), samples("r_sum"));
    assert_eq!(import(folder.path(), &arguments).1, out, "a repeated run does the same");
    assert_eq!(before, (samples("r_rate"), samples("r_histogram"), samples("r_sum")));
}

#[test]
fn wrong_rules_and_times_are_refused() {
    let folder = tempfile::tempdir().expect("a folder can be made");
    std::fs::write(
        folder.path().join("rules.yml"),
        "groups: [{name: g, rules: [{record: r, expr: 'up +'}]}]",
    )
    .expect("the file can be written");
    let (code, _, errors) = import(folder.path(), &arguments("http://127.0.0.1:1"));
    assert_eq!(code, Some(1));
    assert!(
        errors.contains("rules.yml: 1:46: group \"g\", rule 1, \"r\": could not parse expression"),
        "{errors}"
    );
    let import = |flags: &[&str]| {
        import(folder.path(), &flags.iter().map(|flag| (*flag).to_owned()).collect::<Vec<_>>())
    };
    let (code, _, errors) = import(&["--start=5", "--end=2023-01-01", "rules.yml"]);
    assert!(code == Some(2) && errors.contains("cannot parse \"2023-01-01\""), "{errors}");
    let (code, _, errors) = import(&["--start=2023-01-01T00:00:00Z", "--end=5", "rules.yml"]);
    assert!(code == Some(1) && errors.contains("start time is not before end time"), "{errors}");
    assert_eq!(import(&["rules.yml"]).0, Some(2));
    assert_eq!(import(&["--start=5", "--eval-interval=0", "rules.yml"]).0, Some(2));
}

/// A server that answers each request, one to a connection, with the next of `replies`.
fn scripted(replies: Vec<String>) -> (String, std::thread::JoinHandle<Vec<String>>) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port is free");
    let url = format!("http://{}", listener.local_addr().expect("an address"));
    let thread = std::thread::spawn(move || {
        let mut asked = Vec::new();
        for reply in replies {
            let (mut stream, _) = listener.accept().expect("somebody comes");
            let mut request = Vec::new();
            let mut piece = [0; 4_096];
            while !is_whole(&request) {
                let count = stream.read(&mut piece).expect("the request can be read");
                request.extend_from_slice(&piece[..count]);
            }
            asked.push(String::from_utf8_lossy(&request).into_owned());
            stream.write_all(reply.as_bytes()).expect("the answer can be written");
        }
        asked
    });
    (url, thread)
}

fn is_whole(request: &[u8]) -> bool {
    let text = String::from_utf8_lossy(request).to_lowercase();
    let Some((head, _)) = text.split_once("\r\n\r\n") else { return false };
    let length = head.lines().find_map(|line| line.strip_prefix("content-length: "));
    let head_len = request.windows(4).position(|four| four == b"\r\n\r\n").unwrap_or(0) + 4;
    length
        .and_then(|length| length.trim().parse().ok())
        .is_none_or(|length: usize| request.len() >= head_len + length)
}

#[test]
fn busy_servers_are_asked_again_and_large_answers_by_halves() {
    let reply = |status: &str, body: &str| {
        let head = format!(
            "HTTP/1.1 {status}\r\nConnection: close\r\nRetry-After: 0\r\nContent-Length: {}",
            body.len()
        );
        format!("{head}\r\n\r\n{body}")
    };
    let too_much = r#"{"status":"error","errorType":"execution","error":"too many samples"}"#;
    let matrix = r#"{"data":{"result":[{"metric":{},"values":[[1700000000,"1"]]}]}}"#;
    let (url, thread) = scripted(vec![
        reply("503 Service Unavailable", "later"),
        reply("422 Unprocessable Entity", too_much),
        reply("200 OK", matrix),
        reply("429 Too Many Requests", "later"),
        reply("204 No Content", ""),
        reply("200 OK", r#"{"data":{"result":[]}}"#),
    ]);
    let folder = tempfile::tempdir().expect("a folder can be made");
    std::fs::write(
        folder.path().join("rules.yml"),
        "groups: [{name: g, rules: [{record: r, expr: 'a{b=\"c d\"}'}]}]",
    )
    .expect("the file can be written");
    let flags = [&format!("--url={url}/prefix/"), "--start=1699999980", "--end=1700000400", "rules.yml"];
    let (code, out, errors) = import(folder.path(), &flags.map(str::to_owned));
    let asked = thread.join().expect("all was asked");
    assert_eq!(code, Some(0), "{out}{errors}");
    assert!(asked[0].starts_with("POST /prefix/api/v1/query_range HTTP/1.1\r\n"), "{}", asked[0]);
    assert!(asked[0].contains("query=a%7Bb%3D%22c+d%22%7D&start="), "{}", asked[0]);
    assert_eq!(asked[0], asked[1]);
    assert_ne!(asked[1], asked[2]);
    assert!(asked[3].starts_with("POST /prefix/api/v1/write HTTP/1.1\r\n"), "{}", asked[3]);
    assert!(out.contains("1 samples and 1 staleness markers are stored"), "{out}");
}
