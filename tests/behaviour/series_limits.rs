//! A bomb of new series beside those that are there: what is stored, and who is told what.

use std::sync::Arc;

use perdura::ingest::remote_write::{Protocol, encode_v1, encode_v2};
use perdura::model::Labels;
use perdura::storage::{Batch, SeriesLimits};
use perdura::{Database, DatabaseOptions};

use crate::server::{NOW, Reply, TestServer, options, start_on};

/// A server with room for so many series of one metric.
fn limited(directory: &tempfile::TempDir, per_metric: u64) -> TestServer {
    let mut storage = DatabaseOptions::new(directory.path());
    storage.series_limits = SeriesLimits { total: 100, per_metric, per_job: 0 };
    let database: Arc<Database> = Database::open(storage).expect("the directory is free");
    start_on(options(), &database)
}

/// Series `hits{path="/N"}` and one of a metric of its own, each with one sample.
fn write(server: &TestServer, protocol: Protocol, paths: std::ops::Range<u32>, value: f64) -> Reply {
    let mut batch = Batch::default();
    for path in paths {
        let path = format!("/{path}");
        batch.begin_series(&Labels::from_pairs([("__name__", "hits"), ("job", "web"), ("path", &path)]));
        batch.push_float(NOW * 1_000, 0, value);
    }
    batch.begin_series(&Labels::from_pairs([("__name__", "other")]));
    batch.push_float(NOW * 1_000, 0, value);
    let body = match protocol {
        Protocol::V1 => encode_v1(&batch),
        Protocol::V2 => encode_v2(&batch),
    };
    let headers = format!("Content-Type: {}\r\nContent-Encoding: snappy\r\n", protocol.content_type());
    server.request("POST", "/api/v1/write", &headers, &body.expect("the batch is small"))
}

fn value_of(server: &TestServer, query: &str) -> String {
    let reply = server.get(&format!("/api/v1/query?query={query}&time={NOW}"));
    let answer: serde_json::Value = serde_json::from_str(reply.text()).expect("the answer is JSON");
    answer["data"]["result"][0]["value"][1].as_str().unwrap_or_default().to_owned()
}

#[test]
fn a_bomb_does_not_keep_known_series_from_being_written() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let server = limited(&directory, 20);
    assert_eq!(write(&server, Protocol::V1, 0..20, 1.0).status, 204);
    for (value, protocol) in [(2.0, Protocol::V1), (3.0, Protocol::V2), (4.0, Protocol::V1)] {
        let reply = write(&server, protocol, 10..3_000, value);
        assert_eq!(reply.status, 400);
        assert_eq!(
            reply.text().trim_end(),
            "limit of 20 series for metric \"hits\" reached: 2980 new series refused; \
             most values has label \"path\" of metric \"hits\" (20 among 20 series)"
        );
        let written = reply.header("x-prometheus-remote-write-samples-written");
        assert_eq!(written, (protocol == Protocol::V2).then_some("11"));
        assert_eq!(value_of(&server, "sum(hits)"), (10.0 + 10.0 * value).to_string());
        assert_eq!(value_of(&server, "other"), value.to_string());
    }
    assert_eq!(value_of(&server, "count(hits)"), "20");
}

#[test]
fn the_status_tells_what_there_is_and_what_was_refused() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let server = limited(&directory, 20);
    write(&server, Protocol::V2, 0..25, 1.0);
    let reply = server.get("/api/v1/status/tsdb?limit=1");
    let status: serde_json::Value = serde_json::from_str(reply.text()).expect("the answer is JSON");
    let status = &status["data"];
    assert_eq!(status["headStats"]["numSeries"], 21);
    assert_eq!(status["headStats"]["seriesCreatedLastHour"], 21);
    assert_eq!(status["headStats"]["numLabelPairs"], 2 + 1 + 20);
    let one = |name: &str, value: u64| serde_json::json!([{"name": name, "value": value}]);
    assert_eq!(status["seriesCountByMetricName"], one("hits", 20));
    assert_eq!(status["labelValueCountByLabelName"], one("path", 20));
    assert_eq!(status["seriesCountByLabelValuePair"], one("__name__=hits", 20));
    let limits = serde_json::json!([
        {"name": "total", "limit": 100, "refused": 0},
        {"name": "metric", "limit": 20, "refused": 5},
        {"name": "job", "limit": 0, "refused": 0},
    ]);
    assert_eq!(status["seriesLimits"], limits);
}
