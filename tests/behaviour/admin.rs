//! `/api/v1/admin`: flushing, deleting and snapshots, seen from outside.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};

use perdura::clock::{Clock, SimulatedClock};
use perdura::http::HttpOptions;
use perdura::model::{Labels, Matcher, TenantId, TimeSpan};
use perdura::storage::{Acceptance, Append, Batch};
use perdura::{Database, DatabaseOptions};

use super::server::{NOW, TestServer, options, start_on};

fn enabled() -> HttpOptions {
    HttpOptions { enable_admin_api: true, ..options() }
}

fn open(directory: &Path) -> Arc<Database> {
    let mut options = DatabaseOptions::new(directory);
    options.clock = Clock::Simulated(SimulatedClock::at_ms(NOW * 1_000));
    Database::open(options).expect("the directory is free")
}

/// Ten samples for each of two jobs, 15 seconds apart, the last one at [`NOW`].
fn fill(database: &Database) {
    let mut batch = Batch::default();
    for job in ["a", "b"] {
        batch.begin_series(&Labels::from_pairs([("__name__", "m"), ("job", job)]));
        (0..10).for_each(|step| batch.push_float((NOW - 135 + step * 15) * 1_000, 0, step as f64));
    }
    let tenant = TenantId::default();
    database.append(&tenant, batch, &Acceptance::EVERYTHING).expect("the disk works");
}

/// What a query answers, as text.
fn query(server: &TestServer, query: &str) -> String {
    let reply = server.post_form("/api/v1/query", &format!("query={query}&time={NOW}"));
    assert_eq!(reply.status, 200, "{}", reply.text());
    let text = reply.text();
    let start = text.find("\"result\":").expect("a query has a result");
    text[start..].to_owned()
}

fn value(job: &str, value: u32) -> String {
    format!(r#"{{"metric":{{"job":"{job}"}},"value":[{NOW},"{value}"]}}"#)
}

const COUNTS: &str = "sort(sum by (job) (count_over_time(m[1h])))";

#[test]
fn what_is_deleted_is_gone_at_once_and_after_opening_again() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let database = open(directory.path());
    fill(&database);
    let server = start_on(enabled(), &database);
    let both = format!("\"result\":[{},{}]}}}}", value("a", 10), value("b", 10));
    assert_eq!(query(&server, COUNTS), both);
    // Three samples of one job, both ends included.
    let (start, end) = (NOW - 30, NOW);
    let call = format!("match[]=m{{job=\"a\"}}&start={start}&end={end}");
    let reply = server.post_form("/api/v1/admin/tsdb/delete_series", &call);
    assert_eq!((reply.status, reply.text()), (204, ""));
    let some = format!("\"result\":[{},{}]}}}}", value("a", 7), value("b", 10));
    assert_eq!(query(&server, COUNTS), some);
    // The whole of the other, by PUT, with its parameters in the query string.
    let reply = server.request("PUT", "/api/v1/admin/tsdb/delete_series?match[]={job=%22b%22}", "", b"");
    assert_eq!((reply.status, reply.text()), (204, ""));
    let one = format!("\"result\":[{}]}}}}", value("a", 7));
    assert_eq!(query(&server, COUNTS), one);
    let values = server.get("/api/v1/label/job/values");
    assert_eq!(values.text(), r#"{"status":"success","data":["a"]}"#);
    let series = server.get("/api/v1/series?match[]=m");
    assert_eq!(series.text(), r#"{"status":"success","data":[{"__name__":"m","job":"a"}]}"#);
    drop(server);
    database.close().expect("the disk works");
    drop(database);
    let database = open(directory.path());
    let server = start_on(enabled(), &database);
    assert_eq!(query(&server, COUNTS), one);
    let before = database.stats();
    let reply = server.request("POST", "/api/v1/admin/tsdb/clean_tombstones", "", b"");
    assert_eq!((reply.status, reply.text()), (204, ""));
    let after = database.stats();
    assert_eq!((before.segment_samples, after.segment_samples), (20, 7), "the bytes are gone");
    assert_eq!(query(&server, COUNTS), one);
    // What is written later is there.
    fill(&database);
    assert_eq!(query(&server, COUNTS), both);
}

#[test]
fn a_deletion_says_what_it_deletes() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let database = open(directory.path());
    fill(&database);
    let server = start_on(enabled(), &database);
    for (form, error) in [
        ("start=1", "no match[] parameter provided"),
        ("match[]=m&start=x", "invalid parameter \\\"start\\\": invalid time value for 'start': "),
        ("match[]=m{", "invalid parameter \\\"match[]\\\": 1:3: parse error: "),
        (
            "match[]={}",
            "invalid parameter \\\"match[]\\\": match[] must contain at least one non-empty matcher",
        ),
    ] {
        let reply = server.post_form("/api/v1/admin/tsdb/delete_series", form);
        assert_eq!(reply.status, 400, "{form}");
        let expected = format!(r#"{{"status":"error","errorType":"bad_data","error":"{error}"#);
        assert!(reply.text().starts_with(&expected), "{form}: {}", reply.text());
    }
    assert_eq!(server.get("/api/v1/admin/tsdb/delete_series?match[]=m").status, 405);
    let both = format!("\"result\":[{},{}]}}}}", value("a", 10), value("b", 10));
    assert_eq!(query(&server, COUNTS), both);
}

#[test]
fn a_flush_leaves_nothing_in_memory() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let database = open(directory.path());
    fill(&database);
    let server = start_on(enabled(), &database);
    let reply = server.request("POST", "/api/v1/admin/tsdb/flush", "", b"");
    assert_eq!((reply.status, reply.text()), (204, ""));
    let stats = database.stats();
    assert_eq!((stats.head_samples, stats.segment_samples, stats.log_bytes), (0, 20, 0));
}

/// Everything of `m`, for comparing.
fn all_samples(server: &TestServer) -> String {
    query(server, "m[1y]")
}

#[test]
fn a_snapshot_made_while_writes_go_on_is_a_whole_data_directory() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let database = open(directory.path());
    fill(&database);
    let server = start_on(enabled(), &database);
    let is_done = AtomicBool::new(false);
    // How many samples each of two writers had acknowledged; each has a series of its own.
    let acknowledged = [AtomicI64::new(0), AtomicI64::new(0)];
    let mut copies = Vec::new();
    std::thread::scope(|scope| {
        for (writer, count) in acknowledged.iter().enumerate() {
            let (database, is_done) = (&database, &is_done);
            scope.spawn(move || {
                for at in 0..i64::MAX {
                    if is_done.load(Ordering::SeqCst) {
                        return;
                    }
                    let mut batch = Batch::default();
                    batch.begin_series(&Labels::from_pairs([("__name__", format!("w{writer}"))]));
                    batch.push_float((NOW - 86_400) * 1_000 + at, 0, at as f64);
                    let tenant = TenantId::default();
                    database.append(&tenant, batch, &Acceptance::EVERYTHING).expect("the disk works");
                    count.store(at + 1, Ordering::SeqCst);
                }
            });
        }
        for _ in 0..4 {
            let before = acknowledged.each_ref().map(|count| count.load(Ordering::SeqCst));
            let reply = server.request("POST", "/api/v1/admin/tsdb/snapshot", "", b"");
            assert_eq!(reply.status, 200, "{}", reply.text());
            let head = r#"{"status":"success","data":{"name":"20231114T221320Z-"#;
            assert!(reply.text().starts_with(head), "{}", reply.text());
            let name = reply.text().split('"').nth(9).expect("the name is there").to_owned();
            assert_eq!(name.len(), 33);
            copies.push((before, name));
        }
        is_done.store(true, Ordering::SeqCst);
    });
    for (before, name) in copies {
        let copy = open(&directory.path().join("snapshots").join(&name));
        let restored = start_on(enabled(), &copy);
        assert_eq!(all_samples(&restored), all_samples(&server));
        for (writer, before) in before.into_iter().enumerate() {
            let text = query(&restored, &format!("count_over_time(w{writer}[2d])"));
            let count = text.split('"').nth_back(1).and_then(|count| count.parse::<i64>().ok()).unwrap_or(0);
            assert!(count >= before, "{name}: {count} of {before} samples of writer {writer}");
            // Nothing is missing in between.
            let sum = query(&restored, &format!("sum_over_time(w{writer}[2d])"));
            let expected = format!("\"{}\"]", count * (count - 1) / 2);
            assert!(count == 0 || sum.contains(&expected), "{name}: {sum}, {count} samples");
        }
        // It takes writes of its own, and the original does not notice.
        fill(&copy);
        copy.flush().expect("the disk works");
        copy.delete(&TenantId::default(), &[vec![Matcher::equal("__name__", "m")]], TimeSpan::ALL)
            .expect("the disk works");
        copy.clean_tombstones().expect("the disk works");
    }
    let both = format!("\"result\":[{},{}]}}}}", value("a", 10), value("b", 10));
    assert_eq!(query(&server, COUNTS), both);
    let reply = server.post_form("/api/v1/admin/tsdb/snapshot", "skip_head=maybe");
    let text = r#"{"status":"error","errorType":"bad_data","error":"invalid parameter \"skip_head\": unable to parse boolean: strconv.ParseBool: parsing \"maybe\": invalid syntax"}"#;
    assert_eq!((reply.status, reply.text()), (400, text));
}

#[test]
fn a_snapshot_without_the_head_holds_what_is_in_segments() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let database = open(directory.path());
    let server = start_on(enabled(), &database);
    fill(&database);
    database.flush().expect("the disk works");
    let mut batch = Batch::default();
    batch.begin_series(&Labels::from_pairs([("__name__", "m"), ("job", "a")]));
    batch.push_float(NOW * 1_000 - 1, 0, 1.0);
    database.append(&TenantId::default(), batch, &Acceptance::EVERYTHING).expect("the disk works");
    let reply = server.request("PUT", "/api/v1/admin/tsdb/snapshot?skip_head=true", "", b"");
    let name = reply.text().split('"').nth(9).expect("the name is there").to_owned();
    let copy = open(&directory.path().join("snapshots").join(name));
    let both = format!("\"result\":[{},{}]}}}}", value("a", 10), value("b", 10));
    assert_eq!(query(&start_on(enabled(), &copy), COUNTS), both);
}
