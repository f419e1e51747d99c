//! Remote write bodies that break a rule each, and what must be answered.

use prost::Message;

use super::wire::{
    BucketSpan, Histogram, Protocol, RequestV2, Sample, TimeSeries, TimeSeriesV2, WriteRequest, compress,
    label,
};

/// A request that must be refused.
pub(crate) struct BadBody {
    /// What is wrong with it.
    pub(crate) name: &'static str,
    pub(crate) method: &'static str,
    /// `None` leaves the header out.
    pub(crate) content_type: Option<&'static str>,
    pub(crate) encoding: Option<&'static str>,
    pub(crate) bytes: Vec<u8>,
    pub(crate) status: u16,
    /// Words that the message must hold, in lower case: what is wrong, and where.
    pub(crate) says: &'static [&'static str],
}

const V1: &str = "application/x-protobuf;proto=prometheus.WriteRequest";
const V2: &str = "application/x-protobuf;proto=io.prometheus.write.v2.Request";

/// A body that declares 2.5 GB and holds 47 bytes.
pub(crate) fn bomb() -> Vec<u8> {
    let mut bytes = vec![0x80, 0xc8, 0xaf, 0xa0, 0x09];
    bytes.resize(47, 0xfe);
    bytes
}

/// A body that declares a length just inside the limit and holds next to nothing.
pub(crate) fn hollow() -> Vec<u8> {
    let mut bytes = vec![0x80, 0x80, 0x80, 0x0f];
    bytes.resize(47, 0xfe);
    bytes
}

/// Every refused request. `now` is the moment of the trial in milliseconds.
pub(crate) fn bad_bodies(now: i64) -> Vec<BadBody> {
    let mut bodies = framing(now);
    bodies.extend(envelopes(now));
    bodies.extend(protobuf());
    bodies.extend(labels_v1(now));
    bodies.extend(labels_v2(now));
    bodies.extend(values(now));
    bodies
}

fn refused(
    name: &'static str,
    content_type: &'static str,
    bytes: Vec<u8>,
    says: &'static [&'static str],
) -> BadBody {
    let (method, content_type, encoding) = ("POST", Some(content_type), Some("snappy"));
    BadBody { name, method, content_type, encoding, bytes, status: 400, says }
}

fn good(now: i64) -> Vec<u8> {
    compress(&v1(vec![series(&[("__name__", "never_stored"), ("kind", "bad_body")], now)]))
}

fn framing(now: i64) -> Vec<BadBody> {
    let whole = good(now);
    let plain = v1(vec![series(&[("__name__", "never_stored"), ("kind", "plain")], now)]);
    let mut longer = compress(&plain);
    longer[0] += 1;
    let mut streamed = vec![0xff, 0x06, 0x00, 0x00];
    streamed.extend(b"sNaPpY");
    vec![
        refused("an empty body", V1, Vec::new(), &["snappy"]),
        refused("truncated snappy", V1, whole[..whole.len() - 5].to_vec(), &["snappy"]),
        refused("47 bytes that declare 2.5 GB", V1, bomb(), &["declared decompressed length", "33554432"]),
        refused("the same under protocol 2.0", V2, bomb(), &["declared decompressed length", "33554432"]),
        refused("47 bytes that declare 30 MiB", V1, hollow(), &["declared decompressed length", "47 bytes"]),
        refused("a declared length that is one too long", V1, longer, &["snappy"]),
        refused("snappy's stream format", V1, streamed, &["snappy"]),
        refused("a protobuf that is not compressed", V1, plain, &["snappy"]),
        refused("a length of eleven bytes", V1, vec![0xff; 11], &["snappy"]),
    ]
}

fn envelopes(now: i64) -> Vec<BadBody> {
    let wrong = |name, method, content_type, encoding, status, says| BadBody {
        name,
        method,
        content_type,
        encoding,
        bytes: good(now),
        status,
        says,
    };
    vec![
        wrong("a GET", "GET", Some(V1), Some("snappy"), 405, &[]),
        wrong("a PUT", "PUT", Some(V1), Some("snappy"), 405, &[]),
        wrong("content type text/plain", "POST", Some("text/plain"), Some("snappy"), 415, &["text/plain"]),
        wrong(
            "content type application/json",
            "POST",
            Some("application/json"),
            Some("snappy"),
            415,
            &["application/json"],
        ),
        wrong(
            "an unknown message",
            "POST",
            Some("application/x-protobuf;proto=prometheus.Unknown"),
            Some("snappy"),
            415,
            &["prometheus.unknown"],
        ),
        wrong(
            "a parameter without value",
            "POST",
            Some("application/x-protobuf;proto"),
            Some("snappy"),
            415,
            &["proto"],
        ),
        wrong("gzip", "POST", Some(V1), Some("gzip"), 415, &["gzip"]),
        wrong("zstd", "POST", Some(V2), Some("zstd"), 415, &["zstd"]),
    ]
}

fn protobuf() -> Vec<BadBody> {
    let raw = |name, content_type, bytes: &[u8], says| refused(name, content_type, compress(bytes), says);
    vec![
        raw("a field that ends after its message", V1, &[0x0a, 0x20, 0x0a, 0x02], &["byte"]),
        raw("a field number of zero", V1, &[0x02, 0x01, 0x00], &["byte"]),
        raw(
            "a number of eleven bytes",
            V1,
            &[0x0a, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01],
            &["byte"],
        ),
        raw("series as a number", V1, &[0x08, 0x01], &["byte"]),
        raw("text instead of a message", V2, b"up 1\nnode_load1 0.5\n", &["byte"]),
        raw("a length near the largest number", V2, &[0x2a, 0xff, 0xff, 0xff, 0xff, 0x0f], &["byte"]),
    ]
}

fn labels_v1(now: i64) -> Vec<BadBody> {
    let one = |name, labels: &[(&str, &str)], says| {
        refused(name, V1, compress(&v1(vec![series(labels, now)])), says)
    };
    let mut not_utf8 = series(&[("__name__", "never_stored")], now);
    not_utf8.labels.push(label("place", ""));
    not_utf8.labels[1].value = vec![b'a', 0xff, 0xfe];
    vec![
        one("no metric name", &[("job", "bad_body")], &["name", "bad_body", "byte"]),
        one("no labels at all", &[], &["name", "byte"]),
        one(
            "a label twice",
            &[("__name__", "never_stored"), ("twice", "1"), ("twice", "2")],
            &["duplicated label twice", "byte"],
        ),
        one("a label without name", &[("", "value"), ("__name__", "never_stored")], &["label", "byte"]),
        refused(
            "a label value that is not UTF-8",
            V1,
            compress(&v1(vec![not_utf8])),
            &["utf-8", "place", "byte"],
        ),
    ]
}

fn labels_v2(now: i64) -> Vec<BadBody> {
    let one = |name, symbols: &[&[u8]], refs: &[u32], says| {
        let request = RequestV2 {
            symbols: symbols.iter().map(|symbol| symbol.to_vec()).collect(),
            timeseries: vec![TimeSeriesV2 {
                labels_refs: refs.to_vec(),
                samples: vec![Sample { value: 1.0, timestamp: now, start_timestamp: 0 }],
                histograms: Vec::new(),
            }],
        };
        refused(name, V2, compress(&request.encode_to_vec()), says)
    };
    let symbols: &[&[u8]] = &[b"", b"__name__", b"never_stored", b"job", b"x", b"\xff\xfe"];
    let empty = RequestV2 {
        symbols: symbols.iter().map(|symbol| symbol.to_vec()).collect(),
        timeseries: vec![TimeSeriesV2 { labels_refs: vec![1, 2], ..Default::default() }],
    };
    vec![
        one("2.0: a reference past the symbols", symbols, &[1, 99], &["99"]),
        one("2.0: an odd number of references", symbols, &[1, 2, 3], &["3"]),
        one("2.0: no metric name", symbols, &[3, 4], &["name"]),
        one("2.0: a label twice", symbols, &[1, 2, 3, 4, 3, 2], &["job"]),
        one("2.0: a symbol that is not UTF-8", symbols, &[1, 2, 3, 5], &["utf-8"]),
        one("2.0: a label without name", symbols, &[0, 4, 1, 2], &["label"]),
        refused("2.0: a series without samples", V2, compress(&empty.encode_to_vec()), &["never_stored"]),
    ]
}

fn values(now: i64) -> Vec<BadBody> {
    let named = [("__name__", "never_stored"), ("kind", "value")];
    let with = |name, change: &dyn Fn(&mut Histogram), says| {
        let mut histogram = histogram(now);
        change(&mut histogram);
        let mut series = series(&named, now);
        series.samples.clear();
        series.histograms.push(histogram);
        refused(name, V1, compress(&v1(vec![series])), says)
    };
    let at = |name, timestamp, says| refused(name, V1, compress(&v1(vec![series(&named, timestamp)])), says);
    vec![
        with("a histogram that counts fewer than its buckets", &|h| h.count = Some(2), &["histogram"]),
        with("a histogram with a bucket below zero", &|h| h.positive_deltas = vec![1, -3, 4], &["histogram"]),
        with("a histogram with more buckets than spans", &|h| h.positive_deltas.push(1), &["histogram"]),
        with(
            "a histogram with a span behind the one before",
            &|h| h.positive_spans[1].offset = -4,
            &["histogram"],
        ),
        with("a histogram of an unknown schema", &|h| h.schema = 100, &["schema"]),
        at("a sample eleven minutes ahead", now + 11 * 60_000, &["out of bounds"]),
        at("a sample at the largest time", i64::MAX, &["out of bounds"]),
    ]
}

fn v1(timeseries: Vec<TimeSeries>) -> Vec<u8> {
    WriteRequest { timeseries }.encode_to_vec()
}

fn series(labels: &[(&str, &str)], timestamp: i64) -> TimeSeries {
    TimeSeries {
        labels: labels.iter().map(|(name, value)| label(name, value)).collect(),
        samples: vec![Sample { value: 1.0, timestamp, start_timestamp: 0 }],
        histograms: Vec::new(),
    }
}

/// Five observations in three buckets, and one in the zero bucket.
fn histogram(timestamp: i64) -> Histogram {
    Histogram {
        count: Some(6),
        sum: 11.5,
        schema: 1,
        zero_threshold: 1e-128,
        zero_count: Some(1),
        positive_spans: vec![BucketSpan { offset: 0, length: 2 }, BucketSpan { offset: 1, length: 1 }],
        positive_deltas: vec![1, 1, 0],
        timestamp,
        ..Histogram::default()
    }
}

#[test]
fn the_list_is_long_and_its_names_differ() {
    let mut names: Vec<_> = bad_bodies(0).iter().map(|body| body.name).collect();
    assert!(names.len() >= 30, "only {}", names.len());
    names.sort_unstable();
    names.dedup();
    assert_eq!(names.len(), bad_bodies(0).len());
    assert!(Protocol::V2.headers().iter().any(|(_, value)| *value == V2));
}
