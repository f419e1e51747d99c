//! Bad input from outside: refused with the documented status and a message that says what and where; what is
//! stored stays as it is, and memory does not grow.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, TcpStream};
use std::thread;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde_json::Value;

use super::bad_bodies::{BadBody, bad_bodies, bomb, hollow};
use super::bad_expositions::{EXPOSITIONS, serve_all};
use super::bad_queries::QUERIES;
use super::http;
use super::server::{Server, Subject, wait_until};
use super::wire::{Protocol, Written, compress, encode};

/// How much resident memory may grow under bad input.
const GROWTH_BYTES_MAX: u64 = 64 << 20;

const CONCURRENT_BOMBS: usize = 200;

/// Bodies that truly unpack to the largest size allowed, sent at once; all together 1.25 GiB.
const CONCURRENT_GIANTS: usize = 40;
const GIANT_BYTES: usize = 32 << 20;
/// How much peak memory they may take: what is unpacked at a time, and the bodies themselves.
const GIANTS_GROWTH_BYTES_MAX: u64 = 512 << 20;

#[test]
fn malformed_bodies_are_refused() {
    let folder = tempfile::tempdir().expect("a temporary folder can be made");
    let subject = Subject::new(folder.path());
    let server = subject.start("");
    let before = store_something(&server);
    let resident = server.status_bytes("VmRSS:");
    let failures: Vec<String> =
        bad_bodies(now_ms()).iter().filter_map(|body| refuse(&server, body).err()).collect();
    assert!(failures.is_empty(), "{} requests:\n{}", failures.len(), failures.join("\n"));
    assert_eq!(everything(&server), before, "what was stored has changed");
    assert!(left_out(&server) >= 5.0, "samples that are left out for their labels are counted");
    let growth = server.status_bytes("VmRSS:").saturating_sub(resident);
    assert!(growth <= GROWTH_BYTES_MAX, "resident memory grew by {growth} bytes");
    println!(
        "bad input: {} bodies refused, resident memory grew by {} KiB",
        bad_bodies(0).len(),
        growth >> 10
    );
}

#[test]
fn unsorted_labels_are_sorted() {
    let folder = tempfile::tempdir().expect("a temporary folder can be made");
    let subject = Subject::new(folder.path());
    let server = subject.start("");
    for (protocol, job) in [(Protocol::V1, "one"), (Protocol::V2, "two")] {
        let labels = [("zone", "z"), ("job", job), ("__name__", "stored"), ("area", "a")];
        let series = Written {
            labels: labels.map(|(name, value)| (name.to_owned(), value.to_owned())).into(),
            samples: vec![(now_ms() - 1_000, 1.0)],
            ..Written::default()
        };
        let body = compress(&encode(protocol, &[series]));
        let answer = http::request(server.port, "POST", "/api/v1/write", &protocol.headers(), &body);
        assert_eq!(answer.expect("the server answers").status, 204, "{protocol:?}");
        let query = format!(r#"stored{{area="a",job="{job}",zone="z"}}[5m]"#);
        let answer = server.get("/api/v1/query", &[("query", &query)]).expect("the server answers").text();
        let sorted = format!(r#"{{"__name__":"stored","area":"a","job":"{job}","zone":"z"}}"#);
        assert!(answer.contains(&sorted), "{protocol:?}: {answer}");
    }
}

#[test]
fn what_is_no_request_leaves_the_server_alive() {
    let folder = tempfile::tempdir().expect("a temporary folder can be made");
    let subject = Subject::new(folder.path());
    let mut server = subject.start("");
    let before = store_something(&server);
    let resident = server.status_bytes("VmRSS:");
    let long_header = format!("GET / HTTP/1.1\r\nX: {}\r\n\r\n", "x".repeat(1 << 20));
    let broken: [&[u8]; 8] = [
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
        b"GET\r\n\r\n",
        b"GET / HTTP/9.9\r\n\r\n",
        b"POST /api/v1/write HTTP/1.1\r\nHost: x\r\nContent-Length: -1\r\n\r\n",
        b"POST /api/v1/write HTTP/1.1\r\nHost: x\r\nContent-Length: 100000000000\r\n\r\nabc",
        b"POST /api/v1/write HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
        b"GET /api/v1/query?query=%ff%zz HTTP/1.1\r\nHost: x\r\n\r\n",
        long_header.as_bytes(),
    ];
    for bytes in broken.repeat(20) {
        let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, server.port)).expect("the server accepts");
        // The server may hang up at any moment, and some of these it may leave waiting for more.
        let _ = stream.write_all(bytes);
        let _ = stream.set_read_timeout(Some(Duration::from_millis(20)));
        let _ = stream.read(&mut [0; 1_024]);
    }
    assert!(server.is_alive());
    assert_eq!(everything(&server), before, "what was stored has changed");
    let growth = server.status_bytes("VmRSS:").saturating_sub(resident);
    assert!(growth <= GROWTH_BYTES_MAX, "resident memory grew by {growth} bytes");
}

#[test]
fn bombs_at_once_take_no_memory() {
    let folder = tempfile::tempdir().expect("a temporary folder can be made");
    let subject = Subject::new(folder.path());
    let mut server = subject.start("");
    let before = store_something(&server);
    let resident = server.status_bytes("VmRSS:");
    let port = server.port;
    thread::scope(|scope| {
        for place in 0..CONCURRENT_BOMBS {
            scope.spawn(move || {
                let body = if place.is_multiple_of(2) { bomb() } else { hollow() };
                for _ in 0..5 {
                    let answer = http::request(port, "POST", "/api/v1/write", &Protocol::V1.headers(), &body);
                    assert_eq!(answer.expect("the server answers").status, 400);
                }
            });
        }
    });
    assert!(server.is_alive());
    assert_eq!(everything(&server), before, "what was stored has changed");
    let growth = server.status_bytes("VmHWM:").saturating_sub(resident);
    assert!(growth <= GROWTH_BYTES_MAX, "peak resident memory grew by {growth} bytes");
    println!(
        "bad input: {CONCURRENT_BOMBS} bombs at once, peak resident memory grew by {} KiB",
        growth >> 10
    );
}

#[test]
fn giants_at_once_wait_for_each_other() {
    let folder = tempfile::tempdir().expect("a temporary folder can be made");
    let subject = Subject::new(folder.path());
    let mut server = subject.start("");
    let resident = server.status_bytes("VmRSS:");
    let (port, body) = (server.port, compress(&vec![0; GIANT_BYTES]));
    thread::scope(|scope| {
        for _ in 0..CONCURRENT_GIANTS {
            scope.spawn(|| {
                let answer = http::request(port, "POST", "/api/v1/write", &Protocol::V1.headers(), &body);
                assert_eq!(answer.expect("the server answers").status, 400);
            });
        }
    });
    assert!(server.is_alive());
    let growth = server.status_bytes("VmHWM:").saturating_sub(resident);
    assert!(growth <= GIANTS_GROWTH_BYTES_MAX, "peak resident memory grew by {growth} bytes");
    println!(
        "bad input: {CONCURRENT_GIANTS} giants at once, peak resident memory grew by {} MiB",
        growth >> 20
    );
}

#[test]
fn malformed_expositions_fail_their_scrape_alone() {
    let exporter = serve_all();
    let folder = tempfile::tempdir().expect("a temporary folder can be made");
    let subject = Subject::new(folder.path());
    let server = subject.start(&configuration(exporter));
    wait_until("all targets have been scraped", Duration::from_secs(30), || {
        targets(&server).len() == EXPOSITIONS.len()
            && targets(&server).iter().all(|target| target["health"] != "unknown")
    });
    let failures: Vec<String> =
        (0..EXPOSITIONS.len()).filter_map(|number| judge_scrape(&server, number).err()).collect();
    assert!(failures.is_empty(), "{} expositions:\n{}", failures.len(), failures.join("\n"));
    println!("bad input: {} expositions judged", EXPOSITIONS.len());
}

#[test]
fn malformed_queries_are_answered() {
    let folder = tempfile::tempdir().expect("a temporary folder can be made");
    let subject = Subject::new(folder.path());
    let server = subject.start("");
    let before = store_something(&server);
    let mut failures = Vec::new();
    for query in QUERIES {
        for answer in [server.get(query.path, query.fields), server.post(query.path, query.fields)] {
            let answer = answer.expect("the server answers");
            // Label values and metadata have no POST.
            if answer.status != 405 {
                failures.extend(query.judge(&answer).err());
            }
        }
    }
    assert!(failures.is_empty(), "{} queries:\n{}", failures.len(), failures.join("\n"));
    assert_eq!(everything(&server), before, "what was stored has changed");
    println!("bad input: {} queries refused", QUERIES.len());
}

fn refuse(server: &Server, body: &BadBody) -> Result<(), String> {
    let mut headers = vec![("X-Prometheus-Remote-Write-Version", "2.0.0")];
    headers.extend(body.content_type.map(|value| ("Content-Type", value)));
    headers.extend(body.encoding.map(|value| ("Content-Encoding", value)));
    let answer = http::request(server.port, body.method, "/api/v1/write", &headers, &body.bytes)
        .map_err(|error| format!("{}: {error}", body.name))?;
    if answer.status != body.status {
        return Err(format!(
            "{}: status {} is not {}: {}",
            body.name,
            answer.status,
            body.status,
            answer.text()
        ));
    }
    let text = answer.text().to_lowercase();
    match body.says.iter().find(|word| !text.contains(**word)) {
        Some(word) => Err(format!("{}: the message does not say {word:?}: {}", body.name, answer.text())),
        None => Ok(()),
    }
}

/// How many samples were left out for their labels, as the server counts them.
fn left_out(server: &Server) -> f64 {
    let text = server.get("/metrics", &[]).expect("the server answers").text();
    let line = text
        .lines()
        .find_map(|line| line.strip_prefix("prometheus_api_remote_write_invalid_labels_samples_total "));
    line.and_then(|value| value.parse().ok()).unwrap_or(0.0)
}

/// Writes a few series with both protocols; returns everything that is stored then.
fn store_something(server: &Server) -> Value {
    for (protocol, job) in [(Protocol::V1, "one"), (Protocol::V2, "two")] {
        let now = now_ms();
        let labels = [("__name__", "stored"), ("job", job)];
        let series = Written {
            labels: labels.map(|(name, value)| (name.to_owned(), value.to_owned())).into(),
            samples: (0..50).map(|step| (now - 50_000 + step * 1_000, step as f64)).collect(),
            ..Written::default()
        };
        let body = compress(&encode(protocol, &[series]));
        let answer = http::request(server.port, "POST", "/api/v1/write", &protocol.headers(), &body);
        assert_eq!(answer.expect("the server answers").status, 204);
    }
    let stored = everything(server);
    assert_eq!(stored.as_array().map(Vec::len), Some(2), "{stored}");
    stored
}

/// Every sample of the last hours and of the next.
fn everything(server: &Server) -> Value {
    let end = (now_ms() / 1_000 + 3_600).to_string();
    let fields = [("query", r#"{__name__=~".+"}[5h]"#), ("time", end.as_str())];
    let answer = server.get("/api/v1/query", &fields).expect("the server answers");
    assert_eq!(answer.status, 200, "{}", answer.text());
    let mut result = answer.json()["data"]["result"].take();
    let series = result.as_array_mut().expect("a matrix has series");
    series.sort_by_key(|one| one["metric"].to_string());
    result
}

fn configuration(port: u16) -> String {
    let mut text = "global: {scrape_interval: 1s, scrape_timeout: 1s}\nscrape_configs:\n".to_owned();
    for (number, exposition) in EXPOSITIONS.iter().enumerate() {
        text.push_str(&format!(
            "  - job_name: exposition_{number}\n    metrics_path: /{number}\n    {}\n    \
             static_configs: [{{targets: ['127.0.0.1:{port}']}}]\n",
            exposition.settings
        ));
    }
    text
}

fn targets(server: &Server) -> Vec<Value> {
    let answer = server.get("/api/v1/targets", &[("state", "active")]).expect("the server answers");
    answer.json()["data"]["activeTargets"].as_array().cloned().unwrap_or_default()
}

fn judge_scrape(server: &Server, number: usize) -> Result<(), String> {
    let exposition = &EXPOSITIONS[number];
    let job = format!("exposition_{number}");
    let targets = targets(server);
    let target = targets.iter().find(|target| target["labels"]["job"] == job.as_str());
    let target = target.ok_or_else(|| format!("{}: no such target", exposition.name))?;
    let (health, error) = (target["health"].as_str(), target["lastError"].as_str().unwrap_or_default());
    let expected = if exposition.says.is_none() { "up" } else { "down" };
    if health != Some(expected) {
        return Err(format!("{}: health {health:?} is not {expected}: {error}", exposition.name));
    }
    let lower = error.to_lowercase();
    if let Some(word) = exposition.says.into_iter().flatten().find(|word| !lower.contains(**word)) {
        return Err(format!("{}: lastError does not say {word:?}: {error}", exposition.name));
    }
    let query = format!(r#"count({{job="{job}",__name__!~"up|scrape_.*"}})"#);
    let answer = server.get("/api/v1/query", &[("query", &query)]).expect("the server answers").json();
    let stored = answer["data"]["result"].as_array().map_or(0, Vec::len);
    if (stored == 0) != exposition.says.is_some() {
        return Err(format!("{}: stored: {answer}", exposition.name));
    }
    Ok(())
}

fn now_ms() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).expect("the clock is past 1970");
    i64::try_from(since.as_millis()).expect("milliseconds fit")
}
