//! Segments that were written by every version of the format, and what they hold.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use perdura::encoding::{ByteReader, ByteWriter};
use perdura::model::{
    CounterResetHint, Exemplar, Histogram, HistogramCounts, Labels, Metadata, MetricType, Span, TenantId,
    TimeSpan, stale_nan,
};
use perdura::segment::{BytesSource, SegmentHeader, SegmentReader, SegmentWriter};
use perdura::storage::Columns;

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/segments")
}

/// Everything that a segment holds, as text.
fn dump(bytes: Vec<u8>) -> String {
    let reader =
        SegmentReader::open(Arc::new(BytesSource::new("fixture", bytes))).expect("the fixture opens");
    let mut out = format!("{:?}\n", reader.meta());
    for row in 0..reader.row_count() {
        let labels = reader.labels(row).expect("the fixture is sound");
        assert_eq!(reader.fingerprint(row).expect("the fixture is sound"), labels.fingerprint());
        writeln!(out, "{labels}").expect("a string takes all text");
        let mut columns = Columns::default();
        columns.begin_row();
        reader.read(row, TimeSpan::ALL, &mut columns).expect("the fixture is sound");
        let samples = columns.row(0);
        for (at, time) in samples.timestamps.iter().enumerate() {
            let start = samples.start_timestamps.get(at).copied().unwrap_or(0);
            match samples.histograms.get(at).and_then(Option::as_ref) {
                Some(histogram) => writeln!(out, "  {time} {start} {histogram:?}"),
                None => writeln!(out, "  {time} {start} {:016x}", samples.values[at].to_bits()),
            }
            .expect("a string takes all text");
        }
        for exemplar in reader.exemplars(row, TimeSpan::ALL).expect("the fixture is sound") {
            writeln!(out, "  {exemplar:?}").expect("a string takes all text");
        }
    }
    for metadata in reader.metadata().expect("the fixture is sound") {
        writeln!(out, "{metadata:?}").expect("a string takes all text");
    }
    out
}

#[test]
fn segments_of_every_version_are_read() {
    let mut versions = BTreeSet::new();
    for entry in fs::read_dir(folder()).expect("the fixtures are there") {
        let path = entry.expect("a folder can be listed").path();
        if path.extension().is_none_or(|extension| extension != "seg") {
            continue;
        }
        let bytes = fs::read(&path).expect("a fixture can be read");
        let expected = fs::read_to_string(path.with_extension("txt")).expect("a fixture says what it holds");
        versions
            .insert(u32::from_le_bytes(bytes[bytes.len() - 8..bytes.len() - 4].try_into().expect("four")));
        assert!(dump(bytes) == expected, "{} does not hold what its text says", path.display());
    }
    assert_eq!(versions, BTreeSet::from([1]));
}

/// The bytes themselves may change with the compressor.
#[test]
fn what_is_written_today_holds_the_same() {
    for (name, bytes) in segments() {
        let expected =
            fs::read_to_string(folder().join(format!("v1-{name}.txt"))).expect("the fixture is there");
        assert!(dump(bytes) == expected, "{name} does not hold what its fixture says");
    }
}

/// `cargo test --test behaviour write_segment_fixtures -- --ignored`, for a new version of the format.
#[test]
#[ignore = "writes the fixtures, and the seeds of the fuzz target"]
fn write_segment_fixtures() {
    let seeds = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus/segment_read");
    for (name, bytes) in segments() {
        fs::write(folder().join(format!("v1-{name}.seg")), &bytes).expect("the folder is writable");
        fs::write(folder().join(format!("v1-{name}.txt")), dump(bytes.clone()))
            .expect("the folder is writable");
        fs::write(seeds.join(format!("v1-{name}-plain")), with_plain_area(&bytes))
            .expect("the folder is writable");
        fs::write(seeds.join(format!("v1-{name}")), &bytes).expect("the folder is writable");
    }
}

/// The same segment with its tables and index as they are, so that changes of single bytes mean something. The fuzz
/// target makes the checksums right.
fn with_plain_area(bytes: &[u8]) -> Vec<u8> {
    let tail = bytes.len() - 16;
    let footer_len = u32::from_le_bytes(bytes[tail + 4..tail + 8].try_into().expect("four bytes"));
    let footer = &bytes[tail - footer_len as usize..tail];
    let mut reader = ByteReader::new(footer);
    reader.take(28).expect("identity, length and checksum");
    reader.text().expect("tenant");
    for _ in 0..5 {
        reader.signed().expect("spans and resolution");
    }
    reader.u8().expect("retention class");
    for _ in 0..4 {
        reader.varint().expect("sequence numbers and counts");
    }
    let meta_len = usize::try_from(reader.offset()).expect("short");
    let [start, len, unpacked_len] = [0; 3].map(|_: u8| reader.varint().expect("place of the area") as usize);
    if unpacked_len == 0 {
        return bytes.to_vec();
    }
    let area = zstd::bulk::decompress(&bytes[start..start + len], unpacked_len).expect("the area is sound");
    let mut out = ByteWriter::default();
    out.put(&bytes[..start]);
    out.put(&area);
    out.put(&vec![0; 4 * out.len().div_ceil(16 * 1024)]);
    let footer_start = out.len();
    out.put(&footer[..meta_len]);
    [start, unpacked_len, 0].into_iter().for_each(|number| out.put_varint(number as u64));
    out.put(reader.rest());
    let footer_len = u32::try_from(out.len() - footer_start).expect("short");
    [0, footer_len, 1].into_iter().for_each(|number| out.put_u32(number));
    out.put(b"PSEG");
    out.into_bytes()
}

fn segments() -> [(&'static str, Vec<u8>); 4] {
    [
        ("empty", written(|_| {})),
        ("floats", written(floats)),
        ("kinds", written(kinds)),
        ("family", written(family)),
    ]
}

fn written(fill: fn(&mut SegmentWriter)) -> Vec<u8> {
    let mut writer = SegmentWriter::new(SegmentHeader {
        tenant: TenantId::new("blue"),
        window: TimeSpan::new(0, 86_399_999),
        resolution_ms: 0,
        retention_class: 2,
        seq_min: 17,
        seq_max: 4_000_000_000,
    });
    fill(&mut writer);
    let mut bytes = Vec::new();
    writer.finish(&mut bytes).expect("a vector takes all bytes");
    bytes
}

fn add(writer: &mut SegmentWriter, name: &str, label: (&str, &str), values: impl Iterator<Item = f64>) {
    let mut columns = Columns::default();
    columns.begin_row();
    // One scrape is missed, one is late.
    let time = |i: i64| i * 15_000 + if i == 40 { 2 } else { 0 } + if i > 50 { 15_000 } else { 0 };
    (0..).zip(values).for_each(|(i, value)| columns.push_float(time(i), 0, value));
    writer.add_series(&Labels::from_pairs([("__name__", name), label]), columns.row(0));
}

/// A column of each form of values.
fn floats(writer: &mut SegmentWriter) {
    let mut state = 1_u64;
    let mut random = move |limit: u64| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) % limit
    };
    let host = ("host", "a");
    add(writer, "constant", host, std::iter::repeat_n(2.5, 300));
    add(writer, "constant_bits", host, std::iter::repeat_n(f64::NEG_INFINITY, 300));
    add(writer, "one", host, std::iter::once(1e-7));
    add(writer, "two", host, [3.0, 4.0].into_iter());
    add(writer, "ended", host, (0..100).map(|i| f64::from(i / 10)).chain([stale_nan()]));
    add(
        writer,
        "walk",
        host,
        (0..1_100).scan(500_i64, |value, _| {
            *value += random(9) as i64 - 4;
            Some(*value as f64 / 10.0)
        }),
    );
    add(writer, "counter", host, (0..200).map(|i| f64::from(i * 4_096)));
    add(writer, "rare", host, (0..200).map(|i| f64::from(i / 50) * 1e6));
    add(
        writer,
        "seconds",
        host,
        (0..200).scan(0.1, |sum, i| {
            *sum += f64::from(i * 37 % 200) / 1000.0;
            Some(*sum)
        }),
    );
    add(writer, "doubles", host, (1..200).map(|i| f64::from(i).sqrt()));
    add(writer, "odd", host, [0.0, -0.0, f64::NAN, f64::INFINITY, 1e300, -5e-324, 7.0].into_iter());
    for number in 0..150 {
        let label = format!("h{number:03}");
        add(writer, "up", ("instance", &label), (0..3).map(|i| f64::from(u8::from(i != number % 9))));
    }
}

/// Native histograms between floats, start timestamps, exemplars, metadata.
fn kinds(writer: &mut SegmentWriter) {
    let labels = Labels::from_pairs([("__name__", "latency"), ("job", "api")]);
    let mut columns = Columns::default();
    columns.begin_row();
    for i in 0..40_i64 {
        let is_float = i % 20 >= 15;
        if i % 20 < 5 {
            columns.push_float(i * 1_000, 500, i as f64);
        } else {
            columns.push_histogram(i * 1_000, 500, Arc::new(histogram(i, is_float)));
        }
    }
    writer.add_series(&labels, columns.row(0));
    let exemplar = |timestamp, id: &str| Exemplar {
        labels: Labels::from_pairs([("trace_id", id)]),
        value: 0.25,
        timestamp,
    };
    writer.add_exemplars(&labels, &[exemplar(5, "4bf92f"), exemplar(3_000, "a3ce92")]);
    let metadata = |help: &str| Metadata {
        metric_type: MetricType::Histogram,
        help: help.to_owned(),
        unit: "seconds".to_owned(),
    };
    writer.add_metadata("latency", &metadata("Time taken."));
    writer.add_metadata("latency", &metadata("Duration of requests."));
}

fn histogram(i: i64, is_float: bool) -> Histogram {
    let counts = if is_float {
        HistogramCounts::Float {
            count: i as f64 + 0.5,
            zero_count: 0.5,
            positive: vec![i as f64],
            negative: vec![],
        }
    } else {
        HistogramCounts::Integer {
            count: 2 * i as u64,
            zero_count: 1,
            positive_deltas: vec![i, -1],
            negative_deltas: Vec::new(),
        }
    };
    Histogram {
        counter_reset_hint: CounterResetHint::Unknown,
        schema: 3,
        zero_threshold: 0.001,
        sum: i as f64 * 0.1,
        counts,
        positive_spans: vec![Span { offset: 1, length: if is_float { 1 } else { 2 } }],
        negative_spans: Vec::new(),
        custom_values: Vec::new(),
    }
}

/// A classic histogram: buckets, count and sum.
fn family(writer: &mut SegmentWriter) {
    for path in ["/", "/login"] {
        let count = |i: i64, bound: i64| (i * i * bound / 7 + i * bound) as f64;
        for (bound, le) in [(1, "0.1"), (2, "0.5"), (4, "2.5"), (5, "+Inf")] {
            let labels = Labels::from_pairs([("__name__", "wait_bucket"), ("le", le), ("path", path)]);
            let mut columns = Columns::default();
            columns.begin_row();
            (0..130).for_each(|i| columns.push_float(i * 15_000, 0, count(i, bound)));
            writer.add_series(&labels, columns.row(0));
        }
        add(writer, "wait_count", ("path", path), (0..130).map(|i| count(i, 5)));
        add(writer, "wait_sum", ("path", path), (0..130).map(|i| count(i, 5) * 0.37));
    }
}
