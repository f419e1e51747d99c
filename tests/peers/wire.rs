//! Remote write messages as the two protocols define them, written with prost.

use prost::Message;

/// `prometheus.WriteRequest`.
#[derive(Clone, PartialEq, Message)]
pub(crate) struct WriteRequest {
    #[prost(message, repeated, tag = "1")]
    pub(crate) timeseries: Vec<TimeSeries>,
}

/// One series of protocol 1.0.
#[derive(Clone, PartialEq, Message)]
pub(crate) struct TimeSeries {
    #[prost(message, repeated, tag = "1")]
    pub(crate) labels: Vec<Label>,
    #[prost(message, repeated, tag = "2")]
    pub(crate) samples: Vec<Sample>,
    #[prost(message, repeated, tag = "4")]
    pub(crate) histograms: Vec<Histogram>,
}

/// A label of protocol 1.0. Bytes, so that invalid UTF-8 can be sent.
#[derive(Clone, PartialEq, Message)]
pub(crate) struct Label {
    #[prost(bytes = "vec", tag = "1")]
    pub(crate) name: Vec<u8>,
    #[prost(bytes = "vec", tag = "2")]
    pub(crate) value: Vec<u8>,
}

/// A float sample; protocol 1.0 has no start.
#[derive(Clone, PartialEq, Message)]
pub(crate) struct Sample {
    #[prost(double, tag = "1")]
    pub(crate) value: f64,
    #[prost(int64, tag = "2")]
    pub(crate) timestamp: i64,
    #[prost(int64, tag = "3")]
    pub(crate) start_timestamp: i64,
}

/// A native histogram. `count` and `count_float` are one choice of the protocols, and so are the zero counts.
#[derive(Clone, PartialEq, Message)]
pub(crate) struct Histogram {
    #[prost(uint64, optional, tag = "1")]
    pub(crate) count: Option<u64>,
    #[prost(double, optional, tag = "2")]
    pub(crate) count_float: Option<f64>,
    #[prost(double, tag = "3")]
    pub(crate) sum: f64,
    #[prost(sint32, tag = "4")]
    pub(crate) schema: i32,
    #[prost(double, tag = "5")]
    pub(crate) zero_threshold: f64,
    #[prost(uint64, optional, tag = "6")]
    pub(crate) zero_count: Option<u64>,
    #[prost(double, optional, tag = "7")]
    pub(crate) zero_count_float: Option<f64>,
    #[prost(message, repeated, tag = "8")]
    pub(crate) negative_spans: Vec<BucketSpan>,
    #[prost(sint64, repeated, tag = "9")]
    pub(crate) negative_deltas: Vec<i64>,
    #[prost(double, repeated, tag = "10")]
    pub(crate) negative_counts: Vec<f64>,
    #[prost(message, repeated, tag = "11")]
    pub(crate) positive_spans: Vec<BucketSpan>,
    #[prost(sint64, repeated, tag = "12")]
    pub(crate) positive_deltas: Vec<i64>,
    #[prost(double, repeated, tag = "13")]
    pub(crate) positive_counts: Vec<f64>,
    /// 0: unknown, 1: reset, 2: none, 3: a gauge.
    #[prost(int32, tag = "14")]
    pub(crate) reset_hint: i32,
    #[prost(int64, tag = "15")]
    pub(crate) timestamp: i64,
    #[prost(double, repeated, tag = "16")]
    pub(crate) custom_values: Vec<f64>,
}

/// Consecutive buckets of a histogram.
#[derive(Clone, PartialEq, Message)]
pub(crate) struct BucketSpan {
    #[prost(sint32, tag = "1")]
    pub(crate) offset: i32,
    #[prost(uint32, tag = "2")]
    pub(crate) length: u32,
}

/// `io.prometheus.write.v2.Request`.
#[derive(Clone, PartialEq, Message)]
pub(crate) struct RequestV2 {
    #[prost(bytes = "vec", repeated, tag = "4")]
    pub(crate) symbols: Vec<Vec<u8>>,
    #[prost(message, repeated, tag = "5")]
    pub(crate) timeseries: Vec<TimeSeriesV2>,
}

/// One series of protocol 2.0.
#[derive(Clone, PartialEq, Message)]
pub(crate) struct TimeSeriesV2 {
    #[prost(uint32, repeated, tag = "1")]
    pub(crate) labels_refs: Vec<u32>,
    #[prost(message, repeated, tag = "2")]
    pub(crate) samples: Vec<Sample>,
    #[prost(message, repeated, tag = "3")]
    pub(crate) histograms: Vec<Histogram>,
}

/// Which protocol a body is written in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Protocol {
    /// `prometheus.WriteRequest`
    V1,
    /// `io.prometheus.write.v2.Request`
    V2,
}

impl Protocol {
    /// Name of the protobuf message, as configuration and content type have it.
    pub(crate) fn message(self) -> &'static str {
        match self {
            Self::V1 => "prometheus.WriteRequest",
            Self::V2 => "io.prometheus.write.v2.Request",
        }
    }

    /// Headers of a well-formed request.
    pub(crate) fn headers(self) -> [(&'static str, &'static str); 3] {
        let (content_type, version) = match self {
            Self::V1 => ("application/x-protobuf;proto=prometheus.WriteRequest", "0.1.0"),
            Self::V2 => ("application/x-protobuf;proto=io.prometheus.write.v2.Request", "2.0.0"),
        };
        [
            ("Content-Type", content_type),
            ("Content-Encoding", "snappy"),
            ("X-Prometheus-Remote-Write-Version", version),
        ]
    }
}

/// A series to write: sorted labels and its samples as (milliseconds, value).
#[derive(Clone, Debug, Default)]
pub(crate) struct Written {
    pub(crate) labels: Vec<(String, String)>,
    pub(crate) samples: Vec<(i64, f64)>,
    pub(crate) histograms: Vec<Histogram>,
}

/// Encodes series as a body of `protocol`, not yet compressed.
pub(crate) fn encode(protocol: Protocol, series: &[Written]) -> Vec<u8> {
    match protocol {
        Protocol::V1 => WriteRequest { timeseries: series.iter().map(series_v1).collect() }.encode_to_vec(),
        Protocol::V2 => request_v2(series).encode_to_vec(),
    }
}

/// Compresses with snappy's block format.
pub(crate) fn compress(bytes: &[u8]) -> Vec<u8> {
    snap::raw::Encoder::new().compress_vec(bytes).expect("a body is shorter than snappy's limit")
}

fn series_v1(series: &Written) -> TimeSeries {
    let labels = series.labels.iter();
    TimeSeries {
        labels: labels.map(|(name, value)| label(name, value)).collect(),
        samples: samples(series),
        histograms: series.histograms.clone(),
    }
}

fn request_v2(series: &[Written]) -> RequestV2 {
    let mut symbols = vec![Vec::new()];
    let mut reference = |text: &str| -> u32 {
        let known = symbols.iter().position(|symbol| symbol == text.as_bytes());
        let place = known.unwrap_or_else(|| {
            symbols.push(text.as_bytes().to_vec());
            symbols.len() - 1
        });
        u32::try_from(place).expect("a request has few symbols")
    };
    let timeseries = series
        .iter()
        .map(|one| TimeSeriesV2 {
            labels_refs: one
                .labels
                .iter()
                .flat_map(|(name, value)| [reference(name), reference(value)])
                .collect(),
            samples: samples(one),
            histograms: one.histograms.clone(),
        })
        .collect();
    RequestV2 { symbols, timeseries }
}

fn samples(series: &Written) -> Vec<Sample> {
    let pairs = series.samples.iter();
    pairs
        .map(|(timestamp, value)| Sample { value: *value, timestamp: *timestamp, start_timestamp: 0 })
        .collect()
}

/// A label of protocol 1.0.
pub(crate) fn label(name: &str, value: &str) -> Label {
    Label { name: name.as_bytes().to_vec(), value: value.as_bytes().to_vec() }
}
