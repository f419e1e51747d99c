//! Whole requests against the plain store.

mod known;
mod malformed;
mod oracle;
mod rules;

use prost::Message;

use super::*;
use crate::ingest::prompb::{self, BucketSpan, HistogramCount, v1, v2};
use crate::ingest::snappy::compress;
use crate::model::{Labels, MatchOp, Matcher, TenantId, TimeSpan};
use crate::storage::{Append, Batch, Columns, MemoryStore, Select, SelectRequest, SymbolTable};

/// What the clock shows in these tests.
const NOW: i64 = 1_700_000_000_000;
const RETENTION_MS: i64 = 15 * 86_400_000;

fn send(store: &dyn Append, protocol: Protocol, plain: &[u8]) -> WriteReply {
    send_body(store, protocol, &compress(plain).expect("short messages compress"))
}

fn send_body(store: &dyn Append, protocol: Protocol, body: &[u8]) -> WriteReply {
    let headers =
        WriteHeaders { content_type: Some(protocol.content_type()), content_encoding: Some("snappy") };
    answer(store, &TenantId::default(), headers, body, &ReceivePolicy::new(NOW, RETENTION_MS))
}

/// Everything in the store, a line for each series: labels, then time, start (where known) and value of each sample.
fn dump(store: &dyn Select) -> Vec<String> {
    let mut symbols = SymbolTable::default();
    let matchers = [Matcher::new("__name__", MatchOp::Regex, ".*").expect("the pattern is sound")];
    let request = SelectRequest::samples(&matchers, TimeSpan::ALL);
    let selection = store.select(&TenantId::default(), &request, &mut symbols).expect("memory does not fail");
    let mut columns = Columns::default();
    selection.read(0..selection.len(), &mut columns).expect("memory does not fail");
    let mut lines: Vec<String> = (0..selection.len())
        .map(|row| {
            let data = columns.row(row);
            let samples = (0..data.timestamps.len()).map(|index| {
                let start = data.start_timestamps.get(index).copied().unwrap_or(0);
                let start = if start == 0 { String::new() } else { format!(" since {start}") };
                match data.histograms.get(index).cloned().flatten() {
                    Some(histogram) => {
                        let float = histogram.to_float();
                        format!("{}{start} count:{} sum:{}", data.timestamps[index], float.count, float.sum)
                    }
                    None => format!("{}{start} {}", data.timestamps[index], data.values[index]),
                }
            });
            let samples: Vec<String> = samples.collect();
            format!("{} {}", selection.labels(row, &symbols), samples.join(", "))
        })
        .collect();
    lines.sort();
    lines
}

fn label(name: &str, value: &str) -> v1::Label {
    v1::Label { name: name.to_owned(), value: value.to_owned() }
}

/// A series of protocol 1.0 with one float at [`NOW`].
fn series(labels: &[(&str, &str)]) -> v1::TimeSeries {
    v1::TimeSeries {
        labels: labels.iter().map(|(name, value)| label(name, value)).collect(),
        samples: vec![v1::Sample { value: 1.0, timestamp: NOW }],
        ..v1::TimeSeries::default()
    }
}

fn request_v1(timeseries: impl IntoIterator<Item = v1::TimeSeries>) -> Vec<u8> {
    let timeseries = timeseries.into_iter().collect();
    v1::WriteRequest { timeseries, metadata: Vec::new() }.encode_to_vec()
}

/// Symbols of the protocol 2.0 tests: 1 and 2 make `__name__="up"`, 3 and 4 `job="node"`.
const SYMBOLS: [&str; 7] = ["", "__name__", "up", "job", "node", "trace_id", "abc"];

/// A series of protocol 2.0 with one float at [`NOW`].
fn series_v2(labels_refs: &[u32]) -> v2::TimeSeries {
    v2::TimeSeries {
        labels_refs: labels_refs.to_vec(),
        samples: vec![v2::Sample { value: 1.0, timestamp: NOW, start_timestamp: 0 }],
        ..v2::TimeSeries::default()
    }
}

fn request_v2(timeseries: impl IntoIterator<Item = v2::TimeSeries>) -> Vec<u8> {
    let symbols = SYMBOLS.map(str::to_owned).to_vec();
    v2::Request { symbols, timeseries: timeseries.into_iter().collect() }.encode_to_vec()
}

/// Six observations: one in the zero bucket, buckets 0, 1 and 3 with 1, 2 and 2.
fn histogram() -> prompb::Histogram {
    prompb::Histogram {
        count: Some(HistogramCount::Int(6)),
        zero_count: Some(prompb::HistogramZeroCount::Int(1)),
        sum: 11.5,
        schema: 1,
        zero_threshold: 1e-128,
        positive_spans: vec![BucketSpan { offset: 0, length: 2 }, BucketSpan { offset: 1, length: 1 }],
        positive_deltas: vec![1, 1, 0],
        timestamp: NOW,
        ..prompb::Histogram::default()
    }
}

/// A series of protocol 1.0 with one histogram.
fn histogram_series(histogram: prompb::Histogram) -> v1::TimeSeries {
    v1::TimeSeries { samples: Vec::new(), histograms: vec![histogram], ..series(&[("__name__", "h")]) }
}

#[test]
fn batches_survive_both_encodings() {
    let mut batch = Batch::default();
    batch.begin_series(&Labels::from_pairs([("__name__", "up"), ("job", "node")]));
    batch.push_float(NOW, 5, 1.0);
    batch.push_float(NOW + 1, 5, f64::NEG_INFINITY);
    batch.push_exemplar(crate::model::Exemplar {
        labels: Labels::from_pairs([("trace_id", "abc")]),
        value: 2.0,
        timestamp: NOW,
    });
    batch.push_metadata(
        "up",
        crate::model::Metadata {
            metric_type: crate::model::MetricType::Gauge,
            help: "h".to_owned(),
            unit: "u".to_owned(),
        },
    );
    let second = decode_v2(&to_v2(&batch).encode_to_vec()).expect("a sound message").batch;
    assert_eq!(second.series, batch.series);
    assert_eq!(second.label_bytes, batch.label_bytes);
    assert_eq!(second.floats, batch.floats);
    assert_eq!(second.exemplars, batch.exemplars);
    assert_eq!(second.metadata, batch.metadata);
    let first = decode_v1(&to_v1(&batch).encode_to_vec()).expect("a sound message").batch;
    assert_eq!(first.label_bytes, batch.label_bytes);
    assert_eq!(first.metadata, batch.metadata);
    assert_eq!(first.floats[0], crate::storage::FloatEntry { start_timestamp: 0, ..batch.floats[0] });
}
