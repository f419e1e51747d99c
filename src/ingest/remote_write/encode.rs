//! Bodies out of batches: what senders post, tools and tests too.

use std::collections::HashMap;

use prost::Message;

use crate::ingest::prompb::{BucketSpan, Histogram, HistogramCount, HistogramZeroCount, v1, v2};
use crate::ingest::snappy::{self, SnappyError};
use crate::model::{self, HistogramCounts, Labels, METRIC_NAME};
use crate::storage::{Batch, BatchSeries, HistogramEntry};

/// The batch as a compressed body of protocol 1.0. Start timestamps get lost.
pub fn encode_v1(batch: &Batch) -> Result<Vec<u8>, SnappyError> {
    snappy::compress(&to_v1(batch).encode_to_vec())
}

/// The batch as a compressed body of protocol 2.0. Metadata goes with the series of its very name.
pub fn encode_v2(batch: &Batch) -> Result<Vec<u8>, SnappyError> {
    snappy::compress(&to_v2(batch).encode_to_vec())
}

/// The batch as a message of protocol 1.0.
pub fn to_v1(batch: &Batch) -> v1::WriteRequest {
    let labels_of = |labels: &Labels| {
        labels
            .iter()
            .map(|label| v1::Label { name: label.name.to_owned(), value: label.value.to_owned() })
            .collect()
    };
    let timeseries = batch.series.iter().map(|series| v1::TimeSeries {
        labels: labels_of(&labels_in(batch, series)),
        samples: batch.floats[series.floats.clone()]
            .iter()
            .map(|entry| v1::Sample { value: entry.value, timestamp: entry.timestamp })
            .collect(),
        exemplars: batch.exemplars[series.exemplars.clone()]
            .iter()
            .map(|entry| v1::Exemplar {
                labels: labels_of(&entry.labels),
                value: entry.value,
                timestamp: entry.timestamp,
            })
            .collect(),
        histograms: batch.histograms[series.histograms.clone()]
            .iter()
            .map(|entry| Histogram { start_timestamp: 0, ..to_histogram(entry) })
            .collect(),
    });
    let metadata = batch.metadata.iter().map(|entry| v1::MetricMetadata {
        r#type: i32::from(entry.metadata.metric_type as u8),
        metric_family_name: entry.metric.clone(),
        help: entry.metadata.help.clone(),
        unit: entry.metadata.unit.clone(),
    });
    v1::WriteRequest { timeseries: timeseries.collect(), metadata: metadata.collect() }
}

/// The batch as a message of protocol 2.0.
pub fn to_v2(batch: &Batch) -> v2::Request {
    let mut symbols = SymbolWriter::default();
    symbols.reference("");
    let metadata: HashMap<&str, &model::Metadata> =
        batch.metadata.iter().map(|entry| (entry.metric.as_str(), &entry.metadata)).collect();
    let timeseries = batch.series.iter().map(|series| {
        let labels = labels_in(batch, series);
        let metadata = labels.get(METRIC_NAME).and_then(|name| metadata.get(name));
        v2::TimeSeries {
            labels_refs: symbols.labels(&labels),
            samples: batch.floats[series.floats.clone()]
                .iter()
                .map(|entry| v2::Sample {
                    value: entry.value,
                    timestamp: entry.timestamp,
                    start_timestamp: entry.start_timestamp,
                })
                .collect(),
            histograms: batch.histograms[series.histograms.clone()].iter().map(to_histogram).collect(),
            exemplars: batch.exemplars[series.exemplars.clone()]
                .iter()
                .map(|entry| v2::Exemplar {
                    labels_refs: symbols.labels(&entry.labels),
                    value: entry.value,
                    timestamp: entry.timestamp,
                })
                .collect(),
            metadata: metadata.map(|metadata| v2::Metadata {
                r#type: i32::from(metadata.metric_type as u8),
                help_ref: symbols.reference(&metadata.help),
                unit_ref: symbols.reference(&metadata.unit),
            }),
            created_timestamp: 0,
        }
    });
    let timeseries = timeseries.collect();
    v2::Request { symbols: symbols.texts, timeseries }
}

#[derive(Default)]
struct SymbolWriter {
    texts: Vec<String>,
    known: HashMap<String, u32>,
}

impl SymbolWriter {
    fn reference(&mut self, text: &str) -> u32 {
        if let Some(&reference) = self.known.get(text) {
            return reference;
        }
        let reference = u32::try_from(self.texts.len()).expect("a batch in memory has fewer texts than 2^32");
        self.texts.push(text.to_owned());
        self.known.insert(text.to_owned(), reference);
        reference
    }

    fn labels(&mut self, labels: &Labels) -> Vec<u32> {
        labels.iter().flat_map(|label| [self.reference(label.name), self.reference(label.value)]).collect()
    }
}

fn labels_in(batch: &Batch, series: &BatchSeries) -> Labels {
    Labels::from_bytes(batch.labels_of(series)).expect("a batch holds canonical labels")
}

fn to_histogram(entry: &HistogramEntry) -> Histogram {
    let histogram = &*entry.histogram;
    let mut message = Histogram {
        sum: histogram.sum,
        schema: histogram.schema,
        zero_threshold: histogram.zero_threshold,
        negative_spans: to_spans(&histogram.negative_spans),
        positive_spans: to_spans(&histogram.positive_spans),
        reset_hint: i32::from(histogram.counter_reset_hint as u8),
        timestamp: entry.timestamp,
        custom_values: histogram.custom_values.clone(),
        start_timestamp: entry.start_timestamp,
        ..Histogram::default()
    };
    match &histogram.counts {
        HistogramCounts::Integer { count, zero_count, positive_deltas, negative_deltas } => {
            message.count = Some(HistogramCount::Int(*count));
            message.zero_count = Some(HistogramZeroCount::Int(*zero_count));
            message.positive_deltas.clone_from(positive_deltas);
            message.negative_deltas.clone_from(negative_deltas);
        }
        HistogramCounts::Float { count, zero_count, positive, negative } => {
            message.count = Some(HistogramCount::Float(*count));
            message.zero_count = Some(HistogramZeroCount::Float(*zero_count));
            message.positive_counts.clone_from(positive);
            message.negative_counts.clone_from(negative);
        }
    }
    message
}

fn to_spans(spans: &[model::Span]) -> Vec<BucketSpan> {
    spans.iter().map(|span| BucketSpan { offset: span.offset, length: span.length }).collect()
}
