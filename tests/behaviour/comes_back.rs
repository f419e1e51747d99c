//! Everything that remote write brings is on disk when it is answered, and comes back: from memory, from the log, from
//! segments.

use std::path::Path;
use std::sync::Arc;

use perdura::ingest::remote_write::{Protocol, ReceivePolicy, encode_v1, encode_v2, receive};
use perdura::model::{
    CounterResetHint, Exemplar, Histogram, HistogramCounts, Labels, MatchOp, Matcher, Metadata, MetricType,
    STALE_NAN_BITS, Span, TenantId, TimeSpan, stale_nan,
};
use perdura::storage::{Batch, Columns, Select, SelectRequest, SymbolTable};
use perdura::{Database, DatabaseOptions};

const NOW: i64 = 1_700_000_000_000;

fn histogram(counts: HistogramCounts, schema: i32, custom_values: Vec<f64>) -> Arc<Histogram> {
    Arc::new(Histogram {
        counter_reset_hint: CounterResetHint::Unknown,
        schema,
        zero_threshold: if custom_values.is_empty() { 0.001 } else { 0.0 },
        sum: 18.4,
        counts,
        positive_spans: vec![Span { offset: 0, length: 2 }, Span { offset: 1, length: 1 }],
        negative_spans: Vec::new(),
        custom_values,
    })
}

fn integer(zero_count: u64, schema: i32, custom_values: Vec<f64>) -> Arc<Histogram> {
    let positive_deltas = vec![1, 1, -1];
    let counts = HistogramCounts::Integer {
        count: 4 + zero_count,
        zero_count,
        positive_deltas,
        negative_deltas: Vec::new(),
    };
    histogram(counts, schema, custom_values)
}

/// A bit of everything; start timestamps only where the protocol knows them.
fn batch(protocol: Protocol) -> Batch {
    let start = if protocol == Protocol::V2 { NOW - 60_000 } else { 0 };
    let mut batch = Batch::default();
    batch.begin_series(&Labels::from_pairs([("__name__", "requests_total"), ("job", "größe")]));
    for (step, value) in [0.1, -0.0, f64::MAX, 5e-324, f64::INFINITY].into_iter().enumerate() {
        batch.push_float(NOW - 1_000 * step as i64, start, value);
    }
    batch.push_exemplar(Exemplar {
        labels: Labels::from_pairs([("trace_id", "abc")]),
        value: 0.25,
        timestamp: NOW - 500,
    });
    batch.begin_series(&Labels::from_pairs([("__name__", "gone")]));
    batch.push_float(NOW - 2, 0, 1.0);
    batch.push_float(NOW - 1, 0, stale_nan());
    batch.begin_series(&Labels::from_pairs([("__name__", "latency"), ("kind", "native")]));
    batch.push_histogram(NOW - 3, start, integer(1, 3, Vec::new()));
    let floats = HistogramCounts::Float {
        count: 4.5,
        zero_count: 0.5,
        positive: vec![1.0, 2.0, 1.0],
        negative: Vec::new(),
    };
    batch.push_histogram(NOW - 2, start, histogram(floats, -4, Vec::new()));
    batch.push_histogram(NOW - 1, start, integer(0, -53, vec![0.1, 0.5, 1.0, 2.5]));
    let help = "Requests, by job.".to_owned();
    let metadata = Metadata { metric_type: MetricType::Counter, help, unit: String::new() };
    batch.push_metadata("requests_total", metadata);
    batch
}

/// All that a database holds, as text: bits of floats, histograms field by field.
fn contents(database: &Database) -> Vec<String> {
    let tenant = TenantId::default();
    let matchers = [Matcher::new("__name__", MatchOp::Regex, ".+").expect("the pattern is sound")];
    let mut symbols = SymbolTable::default();
    let request = SelectRequest::samples(&matchers, TimeSpan::ALL);
    let selection = database.select(&tenant, &request, &mut symbols).expect("nothing is damaged");
    let mut columns = Columns::default();
    selection.read(0..selection.len(), &mut columns).expect("nothing is damaged");
    let mut found = Vec::new();
    for row in 0..selection.len() {
        let labels = selection.labels(row, &symbols);
        let samples = columns.row(row);
        for (at, time) in samples.timestamps.iter().enumerate() {
            let start = samples.start_timestamps.get(at).copied().unwrap_or(0);
            match samples.histograms.get(at).and_then(Option::as_ref) {
                Some(histogram) => found.push(format!("{labels} {time} {start} {histogram:?}")),
                None => found.push(format!("{labels} {time} {start} {:x}", samples.values[at].to_bits())),
            }
        }
    }
    found.sort();
    let exemplars =
        database.exemplars(&tenant, &[matchers.to_vec()], TimeSpan::ALL).expect("nothing is damaged");
    found.extend(exemplars.iter().map(|series| format!("{series:?}")));
    let metadata = database.metadata(&tenant, "").expect("nothing is damaged");
    found.extend(metadata.iter().map(|family| format!("{family:?}")));
    found
}

fn open(folder: &Path) -> Arc<Database> {
    Database::open(DatabaseOptions::new(folder)).expect("the directory is sound")
}

fn comes_back(protocol: Protocol) -> Vec<String> {
    let folder = tempfile::tempdir().expect("a temporary folder can be made");
    let batch = batch(protocol);
    let body = match protocol {
        Protocol::V1 => encode_v1(&batch),
        Protocol::V2 => encode_v2(&batch),
    };
    let database = open(folder.path());
    let policy = ReceivePolicy::new(NOW, 0);
    let body = body.expect("the batch is small");
    let reply = receive(&*database, &TenantId::default(), protocol, &body, &policy);
    assert_eq!((reply.status, reply.message.as_str()), (204, ""));
    assert_eq!((reply.written.samples, reply.written.histograms, reply.written.exemplars), (7, 3, 1));

    let written = contents(&database);
    drop(database);
    let database = open(folder.path());
    assert_eq!(contents(&database), written, "from the log");
    database.flush().expect("the disk works");
    assert_eq!(contents(&database), written, "from segments");
    assert_eq!(database.stats().log_bytes, 0);
    drop(database);
    assert_eq!(contents(&open(folder.path())), written, "from segments, opened again");
    written
}

fn check(written: &[String], start: i64) {
    let count = |part: &str| written.iter().filter(|line| line.contains(part)).count();
    assert_eq!(written.len(), 12, "{written:#?}");
    assert_eq!(count(&format!("job=\"größe\"}} {NOW} {start} {:x}", 0.1_f64.to_bits())), 1, "{written:#?}");
    assert_eq!(count(&format!("{{__name__=\"gone\"}} {} 0 {STALE_NAN_BITS:x}", NOW - 1)), 1);
    assert_eq!(count(&format!("kind=\"native\"}} {} {start} Histogram", NOW - 2)), 1);
    assert_eq!(
        (count("Integer {"), count("Float {"), count("custom_values: [0.1, 0.5, 1.0, 2.5]")),
        (2, 1, 1)
    );
    assert_eq!((count("trace_id=\"abc\""), count("Requests, by job.")), (1, 1));
}

#[test]
fn what_protocol_1_brings_comes_back() {
    check(&comes_back(Protocol::V1), 0);
}

#[test]
fn what_protocol_2_brings_comes_back() {
    check(&comes_back(Protocol::V2), NOW - 60_000);
}
