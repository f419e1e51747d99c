//! Whole segments: what was added is read, and damage never goes unnoticed.

use std::collections::BTreeMap;
use std::sync::Arc;

use proptest::prelude::*;

use super::*;
use crate::encoding::Checksum;
use crate::model::{
    CounterResetHint, Exemplar, Histogram, HistogramCounts, Labels, MatchOp, Matcher, Metadata, MetricType,
    Span, TenantId, TimeSpan, Timestamp, stale_nan,
};
use crate::storage::Columns;

/// A sample as it is compared: bits of the value, the histogram's count, the start.
type Sample = (u64, Option<u64>, Timestamp);
type Model = BTreeMap<Labels, BTreeMap<Timestamp, Sample>>;

fn header() -> SegmentHeader {
    SegmentHeader {
        tenant: TenantId::new("blue"),
        window: TimeSpan::new(0, 7_199_999),
        resolution_ms: 0,
        retention_class: 2,
        seq_min: 17,
        seq_max: 4_000_000_000_000,
    }
}

fn histogram(count: u64) -> Arc<Histogram> {
    Arc::new(Histogram {
        counter_reset_hint: CounterResetHint::Unknown,
        schema: 0,
        zero_threshold: 0.001,
        sum: count as f64 * 0.5,
        counts: HistogramCounts::Integer {
            count,
            zero_count: 0,
            positive_deltas: vec![count as i64],
            negative_deltas: Vec::new(),
        },
        positive_spans: vec![Span { offset: 1, length: 1 }],
        negative_spans: Vec::new(),
        custom_values: Vec::new(),
    })
}

fn fill(columns: &mut Columns, samples: &BTreeMap<Timestamp, Sample>) {
    columns.clear();
    columns.begin_row();
    for (time, (bits, count, start)) in samples {
        match count {
            Some(count) => columns.push_histogram(*time, *start, histogram(*count)),
            None => columns.push_float(*time, *start, f64::from_bits(*bits)),
        }
    }
}

/// The file of a model, series added in an order that is not the file's.
fn write(model: &Model) -> (Vec<u8>, SegmentMeta) {
    let mut writer = SegmentWriter::new(header());
    let mut columns = Columns::default();
    for (labels, samples) in model.iter().rev() {
        fill(&mut columns, samples);
        writer.add_series(labels, columns.row(0));
    }
    let mut bytes = Vec::new();
    let meta = writer.finish(&mut bytes).expect("a vector takes all bytes");
    (bytes, meta)
}

fn open(bytes: Vec<u8>) -> Result<SegmentReader, SegmentError> {
    SegmentReader::open(Arc::new(BytesSource::new("test.seg", bytes)))
}

fn read_row(
    reader: &SegmentReader,
    row: u32,
    span: TimeSpan,
) -> Result<BTreeMap<Timestamp, Sample>, SegmentError> {
    let mut columns = Columns::default();
    columns.begin_row();
    reader.read(row, span, &mut columns)?;
    let data = columns.row(0);
    let samples = data.timestamps.iter().enumerate().map(|(at, time)| {
        let count =
            data.histograms.get(at).and_then(Option::as_ref).map(|histogram| match histogram.counts {
                HistogramCounts::Integer { count, .. } => count,
                HistogramCounts::Float { .. } => u64::MAX,
            });
        let start = data.start_timestamps.get(at).copied().unwrap_or(0);
        (*time, (data.values[at].to_bits(), count, start))
    });
    Ok(samples.collect())
}

fn read_all(reader: &SegmentReader) -> Result<Model, SegmentError> {
    reader
        .select(&[])?
        .into_iter()
        .map(|row| {
            let labels = reader.labels(row)?;
            assert_eq!(reader.fingerprint(row)?, labels.fingerprint());
            Ok((labels, read_row(reader, row, TimeSpan::ALL)?))
        })
        .collect()
}

fn value() -> impl Strategy<Value = f64> {
    prop_oneof![
        4 => (0_i64..50).prop_map(|i| i as f64),
        2 => (-1_000_i64..1_000).prop_map(|i| i as f64 / 10.0),
        1 => any::<u64>().prop_map(f64::from_bits),
        1 => Just(stale_nan()),
    ]
}

fn samples() -> impl Strategy<Value = BTreeMap<Timestamp, Sample>> {
    let float = value().prop_map(|value| (value.to_bits(), None));
    let sample = prop_oneof![9 => float, 1 => (0_u64..1_000).prop_map(|count| (0, Some(count)))];
    let start = prop_oneof![9 => Just(0_i64), 1 => 1_i64..1_000];
    proptest::collection::btree_map(0_i64..200, (sample, start), 0..60).prop_map(|samples| {
        let place = |(slot, ((bits, count), start))| (slot * 15_000, (bits, count, start));
        samples.into_iter().map(place).collect()
    })
}

fn labels() -> impl Strategy<Value = Labels> {
    (0_u8..3, 0_u8..40, "(|a|é)", prop_oneof![Just(""), Just("0.5"), Just("10"), Just("+Inf"), Just("x")])
        .prop_map(|(metric, host, zone, bound)| {
            Labels::from_pairs([
                ("__name__", format!("m{metric}")),
                ("host", format!("h{host}")),
                ("zone", zone),
                ("le", bound.to_owned()),
            ])
        })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]
    #[test]
    fn what_was_added_is_read(
        model in proptest::collection::btree_map(labels(), samples(), 0..80),
        from in 0_i64..200, to in 0_i64..200,
    ) {
        let (bytes, meta) = write(&model);
        let reader = open(bytes).expect("sound");
        prop_assert_eq!(reader.meta(), &meta);
        prop_assert_eq!(meta.series, model.len() as u64);
        prop_assert_eq!(meta.samples, model.values().map(|s| s.len() as u64).sum::<u64>());
        prop_assert_eq!(&read_all(&reader).expect("sound"), &model);
        let span = TimeSpan::new(from * 15_000, to * 15_000);
        for row in 0..reader.row_count() {
            let all = &model[&reader.labels(row).expect("sound")];
            let expected: BTreeMap<_, _> =
                all.iter().filter(|(t, _)| span.contains(**t)).map(|(t, s)| (*t, *s)).collect();
            prop_assert!(reader.sample_count(row, span).expect("sound") >= expected.len() as u64);
            prop_assert_eq!(read_row(&reader, row, span).expect("sound"), expected);
            let pieces = reader.pieces(row, TimeSpan::ALL).expect("sound");
            prop_assert_eq!(pieces.iter().map(|p| p.count).sum::<u64>(), all.len() as u64);
            prop_assert!(pieces.windows(2).all(|pair| pair[0].span.end < pair[1].span.start));
        }
    }

    #[test]
    fn matchers_select_what_they_match(
        model in proptest::collection::btree_map(labels(), Just(BTreeMap::new()), 1..200),
        pattern in prop_oneof![Just("h1.*"), Just("h1|h2"), Just(".*"), Just(""), Just("h[^1].?")],
    ) {
        let (bytes, _) = write(&model);
        let reader = open(bytes).expect("sound");
        for op in [MatchOp::Equal, MatchOp::NotEqual, MatchOp::Regex, MatchOp::NotRegex] {
            let matchers =
                [Matcher::new("host", op, pattern).expect("sound"), Matcher::new("zone", op, "a").expect("sound")];
            let rows = reader.select(&matchers).expect("sound");
            let mut found: Vec<Labels> = rows.iter().map(|row| reader.labels(*row).expect("sound")).collect();
            found.sort();
            let expected: Vec<Labels> =
                model.keys().filter(|l| matchers.iter().all(|m| m.matches_labels(l))).cloned().collect();
            prop_assert_eq!(found, expected);
        }
    }
}

/// A segment with a bit of everything.
fn small() -> (Vec<u8>, Model) {
    let mut model = Model::new();
    for host in 0..3 {
        let samples = (0..20_i64).map(|i| {
            let count = (host == 1 && i > 10).then_some(i as u64);
            let value = if count.is_some() { 0.0 } else { i as f64 / 4.0 };
            (i * 15_000, (value.to_bits(), count, if host == 2 { 5 } else { 0 }))
        });
        let labels = Labels::from_pairs([("__name__", "m"), ("host", ["a", "b", "c"][host as usize])]);
        model.insert(labels, samples.collect());
    }
    (write(&model).0, model)
}

/// Reads everything that there is to read.
fn exhaust(bytes: Vec<u8>) -> Result<Model, SegmentError> {
    let reader = open(bytes)?;
    let model = read_all(&reader)?;
    for row in 0..reader.row_count() {
        reader.pieces(row, TimeSpan::ALL)?;
        reader.exemplars(row, TimeSpan::ALL)?;
    }
    reader.select(&[Matcher::equal("host", "b")])?;
    for name in reader.label_names(None)? {
        reader.label_values(&name, None, 0)?;
    }
    reader.metadata()?;
    Ok(model)
}

#[test]
fn every_truncation_is_noticed() {
    let (bytes, _) = small();
    for len in 0..bytes.len() {
        assert!(exhaust(bytes[..len].to_vec()).is_err(), "cut to {len} bytes");
    }
}

#[test]
fn every_flipped_bit_is_noticed() {
    let (bytes, model) = small();
    assert_eq!(exhaust(bytes.clone()).expect("sound"), model);
    for at in 0..bytes.len() {
        for bit in [0, 3, 7] {
            let mut damaged = bytes.clone();
            damaged[at] ^= 1 << bit;
            let error = exhaust(damaged).expect_err("damage is noticed").to_string();
            assert!(error.starts_with("test.seg: "), "byte {at}: {error}");
        }
    }
}

#[test]
fn same_content_makes_the_same_file() {
    assert_eq!(small().0, small().0);
}

#[test]
fn buckets_of_a_histogram_lie_side_by_side() {
    let bounds = ["10", "+Inf", "0.5", "2"];
    let model: Model = ["a", "b"]
        .iter()
        .flat_map(|job| {
            bounds.map(|le| Labels::from_pairs([("__name__", "x_bucket"), ("job", job), ("le", le)]))
        })
        .map(|labels| (labels, BTreeMap::from([(0, (0, None, 0))])))
        .collect();
    let reader = open(write(&model).0).expect("sound");
    let order: Vec<String> = (0..reader.row_count())
        .map(|row| reader.labels(row).expect("sound"))
        .map(|labels| format!("{} {}", labels.get("job").unwrap_or(""), labels.get("le").unwrap_or("")))
        .collect();
    assert_eq!(order, ["a 0.5", "a 2", "a 10", "a +Inf", "b 0.5", "b 2", "b 10", "b +Inf"]);
}

#[test]
fn long_series_are_cut_into_frames() {
    let samples: BTreeMap<Timestamp, Sample> =
        (0..3_000_i64).map(|i| (i * 1_000, (((i % 700) as f64).to_bits(), None, 0))).collect();
    let labels = Labels::from_pairs([("__name__", "m")]);
    let reader = open(write(&Model::from([(labels, samples.clone())])).0).expect("sound");
    let pieces = reader.pieces(0, TimeSpan::ALL).expect("sound");
    assert_eq!(pieces.iter().map(|piece| piece.count).collect::<Vec<_>>(), [1024, 1024, 952]);
    assert_eq!(reader.pieces(0, TimeSpan::new(1_024_000, 1_100_000)).expect("sound").len(), 1);
    assert_eq!(read_row(&reader, 0, TimeSpan::ALL).expect("sound"), samples);
}

#[test]
fn exemplars_and_metadata_come_back() {
    let labels = Labels::from_pairs([("__name__", "m_bucket"), ("le", "1")]);
    let exemplar =
        |timestamp| Exemplar { labels: Labels::from_pairs([("trace_id", "4bf92f")]), value: 0.25, timestamp };
    let metadata =
        Metadata { metric_type: MetricType::Histogram, help: "Time taken.".to_owned(), unit: "s".to_owned() };
    let mut writer = SegmentWriter::new(header());
    writer.add_exemplars(&labels, &[exemplar(10)]);
    writer.add_exemplars(&labels, &[exemplar(20)]);
    writer.add_metadata("m", &metadata);
    writer.add_metadata("m", &metadata);
    let mut bytes = Vec::new();
    let meta = writer.finish(&mut bytes).expect("a vector takes all bytes");
    assert!(meta.span.is_empty());
    let reader = open(bytes).expect("sound");
    assert_eq!(reader.exemplar_rows().expect("sound"), [0]);
    assert_eq!(reader.exemplars(0, TimeSpan::new(15, 20)).expect("sound"), [exemplar(20)]);
    assert_eq!(reader.metadata().expect("sound"), [("m".to_owned(), metadata)]);
    assert!(reader.pieces(0, TimeSpan::ALL).expect("sound").is_empty());
}

#[test]
fn labels_of_some_rows_are_listed() {
    let (bytes, _) = small();
    let reader = open(bytes).expect("sound");
    assert_eq!(reader.label_names(None).expect("sound"), ["__name__", "host"]);
    assert_eq!(reader.label_names(Some(&[0])).expect("sound"), ["__name__", "host"]);
    assert_eq!(reader.label_values("host", None, 2).expect("sound"), ["a", "b"]);
    assert_eq!(reader.label_values("host", Some(&[1, 2]), 0).expect("sound"), ["b", "c"]);
    assert!(reader.label_values("absent", None, 0).expect("sound").is_empty());
}

#[test]
fn a_series_may_be_added_once() {
    let labels = Labels::from_pairs([("__name__", "m")]);
    let mut writer = SegmentWriter::new(header());
    let mut columns = Columns::default();
    fill(&mut columns, &BTreeMap::from([(1, (0, None, 0))]));
    writer.add_series(&labels, columns.row(0));
    writer.add_series(&labels, columns.row(0));
    let error = writer.finish(&mut Vec::new()).expect_err("the second is refused");
    assert_eq!(error.to_string(), r#"series {__name__="m"} was added to the segment twice"#);
}

#[test]
fn a_stream_in_order_makes_the_same_file() {
    let (bytes, model) = small();
    let mut sorted: Vec<_> = model.iter().collect();
    sorted.sort_by_key(|(labels, _)| RowKey::of(labels));
    let mut stream = SegmentStream::new(header(), Vec::new()).expect("a vector takes all bytes");
    let mut columns = Columns::default();
    for (labels, samples) in &sorted {
        fill(&mut columns, samples);
        stream.add_series(labels, columns.row(0), &[]).expect("in order");
    }
    let again = stream.add_series(sorted[2].0, columns.row(0), &[]).expect_err("added before");
    assert_eq!(again.to_string(), r#"series {__name__="m", host="c"} was added to the segment twice"#);
    let late = stream.add_series(sorted[0].0, columns.row(0), &[]).expect_err("it comes too late");
    let expected = r#"series {__name__="m", host="a"} was added to the segment after one that follows it"#;
    assert_eq!(late.to_string(), expected);
    assert_eq!(stream.finish().expect("a vector takes all bytes").1, bytes);
}

/// Alike series compress, so that rows span packed blocks and more than one group, and fingerprints are made.
#[test]
fn many_alike_series_come_back() {
    let samples = |host: i64| -> BTreeMap<Timestamp, Sample> {
        let value = |i: i64| if i % 20 == 0 { i * 977 % 1_000 } else { i / 20 };
        (0..600).map(|i| (i * 15_000 + host % 3, ((value(i) as f64).to_bits(), None, 0))).collect()
    };
    let labels =
        |host: i64| Labels::from_pairs([("__name__", "m".to_owned()), ("host", format!("h{host:04}"))]);
    let model: Model = (0..300).map(|host| (labels(host), samples(host))).collect();
    let (bytes, _) = write(&model);
    assert!(bytes.len() < 300 * 100, "{} bytes", bytes.len());
    let reader = open(bytes).expect("sound");
    assert_eq!(read_all(&reader).expect("sound"), model);
    for row in [299, 0, 128, 127, 256, 1] {
        let expected = &model[&reader.labels(row).expect("sound")];
        assert_eq!(&read_row(&reader, row, TimeSpan::ALL).expect("sound"), expected);
    }
    let sizes: std::collections::BTreeMap<_, _> = reader.section_bytes().collect();
    assert_eq!(sizes["fingerprints"], 0);
    assert!(sizes["tables and index, as stored"] < sizes["symbol texts"] + sizes["postings"]);
}

/// Values that do not compress, so that fingerprints pay, beside few labels.
#[test]
fn large_series_have_stored_fingerprints() {
    let mut state = 1_u64;
    let mut next = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        (state >> 12 | 0x3ff0 << 48, None, 0)
    };
    let samples: BTreeMap<Timestamp, Sample> = (0..3_000_i64).map(|i| (i * 1_000, next())).collect();
    let model = Model::from([(Labels::from_pairs([("__name__", "m")]), samples)]);
    let reader = open(write(&model).0).expect("sound");
    let sizes: std::collections::BTreeMap<_, _> = reader.section_bytes().collect();
    assert_eq!(sizes["fingerprints"], 16);
    assert_eq!(read_all(&reader).expect("sound"), model);
}

#[test]
fn a_classic_histogram_is_stored_by_differences() {
    let bounds = ["0.1", "0.25", "0.5", "1", "2.5", "5", "10", "+Inf"];
    let mut state = 7_u64;
    let mut counts = [0_u64; 8];
    let mut columns: Vec<BTreeMap<Timestamp, Sample>> = vec![BTreeMap::new(); 8];
    for i in 0..1_500_i64 {
        for (bucket, count) in counts.iter_mut().enumerate() {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            *count += (state >> 40) % if bucket < 3 { 900 } else { 2 };
            // A restart in the middle, and a stale marker in one bucket.
            *count = if i == 700 { 0 } else { *count };
        }
        let mut total = 0;
        for (bucket, column) in columns.iter_mut().enumerate() {
            total += counts[bucket];
            let value = if i == 900 && bucket == 4 { stale_nan() } else { total as f64 };
            column.insert(i * 15_000, (value.to_bits(), None, 0));
        }
    }
    let labels = |le: &str| Labels::from_pairs([("__name__", "wait_bucket"), ("job", "api"), ("le", le)]);
    let model: Model = bounds.iter().zip(&columns).map(|(le, column)| (labels(le), column.clone())).collect();
    let (bytes, _) = write(&model);
    // One by one, buckets repeat what those below them hold.
    let alone: usize = model.iter().map(|(l, c)| write(&Model::from([(l.clone(), c.clone())])).0.len()).sum();
    assert!(bytes.len() * 2 < alone, "{} bytes, one by one {alone}", bytes.len());
    let reader = open(bytes).expect("sound");
    assert_eq!(read_all(&reader).expect("sound"), model);
    let span = TimeSpan::new(890 * 15_000, 905 * 15_000);
    for row in (0..8).rev() {
        let all = &model[&reader.labels(row).expect("sound")];
        let expected: BTreeMap<_, _> = all.range(span.start..=span.end).map(|(t, s)| (*t, *s)).collect();
        assert_eq!(read_row(&reader, row, span).expect("sound"), expected);
    }
}

#[test]
fn an_empty_segment_is_a_segment() {
    let (bytes, meta) = write(&Model::new());
    assert!(meta.span.is_empty() && bytes.len() < 400);
    let reader = open(bytes).expect("sound");
    assert_eq!(reader.row_count(), 0);
    assert!(reader.select(&[Matcher::equal("a", "b")]).expect("sound").is_empty());
}

#[test]
fn other_versions_are_refused_by_name() {
    let mut bytes = write(&Model::new()).0;
    let tail = bytes.len() - 16;
    let len = u32::from_le_bytes(bytes[tail + 4..tail + 8].try_into().expect("four bytes"));
    bytes[tail + 8] = 9;
    let covered = &bytes[tail - len as usize..tail];
    let sum = Checksum::default().with(covered).with(&bytes[tail + 4..tail + 12]).value();
    bytes[tail..tail + 4].copy_from_slice(&sum.to_le_bytes());
    let error = open(bytes).err().expect("refused").to_string();
    assert_eq!(error, "test.seg: segment format 9 is not read by this program, which reads format 1");
}
