//! The hand-written reader against prost: the same messages are sound, and they mean the same.

use proptest::collection::vec;
use proptest::prelude::*;

use super::*;
use crate::model::{
    CounterResetHint, Histogram, HistogramCounts, HistogramError, LabelsBuilder, METRIC_NAME, Span,
};

/// What a message means: each sound series with its samples; bits instead of floats, so that NaNs compare.
#[derive(Debug, Default, PartialEq)]
struct Meaning {
    series: Vec<SeriesMeaning>,
    unsound: usize,
}

#[derive(Debug, PartialEq)]
struct SeriesMeaning {
    labels: Labels,
    floats: Vec<(i64, i64, u64)>,
    histograms: Vec<String>,
}

/// The plain way from a message's labels to a label set, or `None`.
fn labels_of(pairs: &[(&str, &str)]) -> Option<Labels> {
    let named = pairs.iter().any(|(name, value)| *name == METRIC_NAME && !value.is_empty());
    let empty = pairs.iter().any(|(name, _)| name.is_empty());
    let mut names: Vec<&str> = pairs.iter().map(|(name, _)| *name).collect();
    names.sort_unstable();
    names.dedup();
    if !named || empty || names.len() < pairs.len() {
        return None;
    }
    let mut builder = LabelsBuilder::default();
    for (name, value) in pairs {
        builder.push(name, value);
    }
    builder.build().ok()
}

fn histogram_of(message: &prompb::Histogram) -> Result<Histogram, HistogramError> {
    let spans = |spans: &[BucketSpan]| {
        spans.iter().map(|span| Span { offset: span.offset, length: span.length }).collect()
    };
    let counts = match message.count {
        Some(HistogramCount::Float(count)) => HistogramCounts::Float {
            count,
            zero_count: match message.zero_count {
                Some(prompb::HistogramZeroCount::Float(count)) => count,
                _ => 0.0,
            },
            positive: message.positive_counts.clone(),
            negative: message.negative_counts.clone(),
        },
        count => HistogramCounts::Integer {
            count: match count {
                Some(HistogramCount::Int(count)) => count,
                _ => 0,
            },
            zero_count: match message.zero_count {
                Some(prompb::HistogramZeroCount::Int(count)) => count,
                _ => 0,
            },
            positive_deltas: message.positive_deltas.clone(),
            negative_deltas: message.negative_deltas.clone(),
        },
    };
    let histogram = Histogram {
        counter_reset_hint: CounterResetHint::from_number(i64::from(message.reset_hint).cast_unsigned()),
        schema: message.schema,
        zero_threshold: message.zero_threshold,
        sum: message.sum,
        counts,
        positive_spans: spans(&message.positive_spans),
        negative_spans: spans(&message.negative_spans),
        custom_values: message.custom_values.clone(),
    };
    histogram.validate()?;
    Ok(histogram)
}

fn timed(timestamp: i64, start: i64, histogram: &Histogram) -> String {
    format!("{timestamp} {start} {histogram:?} {}", histogram.sum.to_bits())
}

impl Meaning {
    fn add(
        &mut self,
        pairs: &[(&str, &str)],
        floats: Vec<(i64, i64, u64)>,
        histograms: &[prompb::Histogram],
        start: i64,
    ) {
        let Some(labels) = labels_of(pairs) else {
            self.unsound += 1;
            return;
        };
        let sound = histograms.iter().map(|message| (message, histogram_of(message)));
        let (sound, unsound): (Vec<_>, Vec<_>) = sound.partition(|(_, histogram)| histogram.is_ok());
        self.unsound += unsound.len();
        let histograms: Vec<String> = sound
            .into_iter()
            .filter_map(|(message, histogram)| {
                let started = if message.start_timestamp == 0 { start } else { message.start_timestamp };
                Some(timed(message.timestamp, started, &histogram.ok()?))
            })
            .collect();
        if !floats.is_empty() || !histograms.is_empty() {
            self.series.push(SeriesMeaning { labels, floats, histograms });
        }
    }

    fn of_v1(message: &v1::WriteRequest) -> Self {
        let mut meaning = Self::default();
        for series in &message.timeseries {
            let pairs: Vec<_> =
                series.labels.iter().map(|label| (label.name.as_str(), label.value.as_str())).collect();
            let floats = series.samples.iter().map(|entry| (entry.timestamp, 0, entry.value.to_bits()));
            meaning.add(&pairs, floats.collect(), &series.histograms, 0);
        }
        meaning
    }

    fn of_v2(message: &v2::Request) -> Self {
        let mut meaning = Self::default();
        let text = |reference: u32| {
            message.symbols.get(usize::try_from(reference).expect("32 bits fit")).map(String::as_str)
        };
        for series in &message.timeseries {
            let pairs: Option<Vec<_>> = series
                .labels_refs
                .chunks(2)
                .map(|pair| Some((text(pair[0])?, text(*pair.get(1)?)?)))
                .collect();
            let metadata = series.metadata.unwrap_or_default();
            let known = text(metadata.help_ref).and(text(metadata.unit_ref)).is_some();
            let is_empty = series.samples.is_empty() && series.histograms.is_empty();
            let Some(pairs) = pairs.filter(|pairs| known && !(is_empty && labels_of(pairs).is_some())) else {
                meaning.unsound += 1;
                continue;
            };
            let start = |own: i64| if own == 0 { series.created_timestamp } else { own };
            let floats = series
                .samples
                .iter()
                .map(|entry| (entry.timestamp, start(entry.start_timestamp), entry.value.to_bits()));
            meaning.add(&pairs, floats.collect(), &series.histograms, series.created_timestamp);
        }
        meaning
    }

    /// What the hand-written reader made of it. Series that hold only exemplars are left out.
    fn of_decoded(decoded: &Decoded) -> Self {
        let batch = &decoded.batch;
        let series = batch.series.iter().map(|series| SeriesMeaning {
            labels: Labels::from_bytes(batch.labels_of(series)).expect("the reader writes canonical labels"),
            floats: batch.floats[series.floats.clone()]
                .iter()
                .map(|entry| (entry.timestamp, entry.start_timestamp, entry.value.to_bits()))
                .collect(),
            histograms: batch.histograms[series.histograms.clone()]
                .iter()
                .map(|entry| timed(entry.timestamp, entry.start_timestamp, &entry.histogram))
                .collect(),
        });
        let series = series.filter(|series| !series.floats.is_empty() || !series.histograms.is_empty());
        Self { series: series.collect(), unsound: decoded.problems.len() }
    }
}

fn any_text() -> impl Strategy<Value = String> {
    prop_oneof![
        4 => "[a-c]{1,3}",
        2 => Just(METRIC_NAME.to_owned()),
        1 => Just(String::new()),
        1 => "\\PC{0,6}",
        1 => "[x]{250,260}",
    ]
}

fn any_float() -> impl Strategy<Value = f64> {
    any::<u64>().prop_map(f64::from_bits)
}

fn any_histogram() -> impl Strategy<Value = prompb::Histogram> {
    let span = (-3..6i32, 0..3u32).prop_map(|(offset, length)| BucketSpan { offset, length });
    let counts = (0..30u64, 0..3u64, any::<bool>());
    // Schemas up to 8: coarser ones have tests of their own.
    let shape = (-6..=8i32, vec(span, 0..3), vec(-2..4i64, 0..5), vec(any_float(), 0..3));
    (counts, shape, any_float(), any::<i64>(), 0..5i32).prop_map(
        |((count, zero, is_float), (schema, spans, deltas, floats), sum, timestamp, reset_hint)| {
            prompb::Histogram {
                count: Some(if is_float {
                    HistogramCount::Float(count as f64)
                } else {
                    HistogramCount::Int(count)
                }),
                zero_count: Some(if is_float {
                    prompb::HistogramZeroCount::Float(zero as f64)
                } else {
                    prompb::HistogramZeroCount::Int(zero)
                }),
                sum,
                schema,
                positive_spans: spans,
                positive_deltas: deltas,
                positive_counts: floats.clone(),
                custom_values: if reset_hint == 4 { floats } else { Vec::new() },
                reset_hint,
                timestamp,
                start_timestamp: 0,
                ..prompb::Histogram::default()
            }
        },
    )
}

fn any_v1() -> impl Strategy<Value = v1::WriteRequest> {
    let label = (any_text(), any_text()).prop_map(|(name, value)| v1::Label { name, value });
    let named = vec(label, 0..4).prop_map(|mut labels| {
        labels.push(super::label(METRIC_NAME, "m"));
        labels
    });
    let sample = (any_float(), any::<i64>()).prop_map(|(value, timestamp)| v1::Sample { value, timestamp });
    let series =
        (named, vec(sample, 0..4), vec(any_histogram(), 0..2)).prop_map(|(labels, samples, histograms)| {
            v1::TimeSeries { labels, samples, histograms, exemplars: Vec::new() }
        });
    vec(series, 0..5).prop_map(|timeseries| v1::WriteRequest { timeseries, metadata: Vec::new() })
}

fn any_v2() -> impl Strategy<Value = v2::Request> {
    let sample = (any_float(), any::<i64>(), prop_oneof![Just(0), any::<i64>()])
        .prop_map(|(value, timestamp, start_timestamp)| v2::Sample { value, timestamp, start_timestamp });
    let metadata = proptest::option::of(
        (0..9i32, 0..7u32, 0..6u32).prop_map(|(number, help_ref, unit_ref)| v2::Metadata {
            r#type: number,
            help_ref,
            unit_ref,
        }),
    );
    let samples = (vec(sample, 0..4), vec(any_histogram(), 0..2));
    let series = (vec(0..7u32, 0..6), samples, metadata, prop_oneof![3 => Just(0), 1 => any::<i64>()])
        .prop_map(|(mut refs, (samples, histograms), metadata, created_timestamp)| {
            refs.extend([1, 2]);
            v2::TimeSeries {
                labels_refs: refs,
                samples,
                histograms,
                metadata,
                created_timestamp,
                exemplars: Vec::new(),
            }
        });
    (vec(any_text(), 3), vec(series, 0..5)).prop_map(|(texts, timeseries)| {
        let mut symbols = vec![String::new(), METRIC_NAME.to_owned(), "m".to_owned()];
        symbols.extend(texts);
        v2::Request { symbols, timeseries }
    })
}

/// Changes single bytes and cuts off the end.
fn damage(bytes: &mut Vec<u8>, edits: &[(prop::sample::Index, u8)], cut: usize) {
    for (at, byte) in edits {
        if !bytes.is_empty() {
            let at = at.index(bytes.len());
            bytes[at] = *byte;
        }
    }
    bytes.truncate(bytes.len().saturating_sub(cut));
}

/// prost refuses texts that are not UTF-8 with the whole message; the reader keeps the rest.
fn is_about_utf8(error: &prost::DecodeError) -> bool {
    error.to_string().contains("UTF-8")
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn messages_of_1_0_mean_the_same(message in any_v1()) {
        let decoded = decode_v1(&message.encode_to_vec()).expect("prost writes sound messages");
        prop_assert_eq!(Meaning::of_decoded(&decoded), Meaning::of_v1(&message));
    }

    #[test]
    fn messages_of_2_0_mean_the_same(message in any_v2()) {
        let decoded = decode_v2(&message.encode_to_vec()).expect("prost writes sound messages");
        prop_assert_eq!(Meaning::of_decoded(&decoded), Meaning::of_v2(&message));
    }

    #[test]
    fn damaged_messages_of_1_0_are_refused_by_both_or_mean_the_same(
        message in any_v1(),
        edits in vec((any::<prop::sample::Index>(), any::<u8>()), 0..4),
        cut in prop_oneof![Just(0usize), 0..4usize],
    ) {
        let mut bytes = message.encode_to_vec();
        damage(&mut bytes, &edits, cut);
        match (decode_v1(&bytes), v1::WriteRequest::decode(&bytes[..])) {
            (Ok(decoded), Ok(message)) if !has_fine_schema_v1(&message) => {
                prop_assert_eq!(Meaning::of_decoded(&decoded), Meaning::of_v1(&message));
            }
            (Ok(_), Ok(_)) | (Err(_), Err(_)) => {}
            (Ok(_), Err(error)) => prop_assert!(is_about_utf8(&error), "{}", error),
            (Err(error), Ok(_)) => prop_assert!(false, "only the reader refuses: {}", error),
        }
    }

    #[test]
    fn damaged_messages_of_2_0_are_refused_by_both_or_mean_the_same(
        message in any_v2(),
        edits in vec((any::<prop::sample::Index>(), any::<u8>()), 0..4),
        cut in prop_oneof![Just(0usize), 0..4usize],
    ) {
        let mut bytes = message.encode_to_vec();
        damage(&mut bytes, &edits, cut);
        match (decode_v2(&bytes), v2::Request::decode(&bytes[..])) {
            (Ok(decoded), Ok(message)) if !has_fine_schema_v2(&message) => {
                prop_assert_eq!(Meaning::of_decoded(&decoded), Meaning::of_v2(&message));
            }
            (Ok(_), Ok(_)) | (Err(_), Err(_)) => {}
            // A rule of the protocol, not of protobuf.
            (Err(WriteRequestError::FirstSymbol(_)), Ok(message)) => {
                prop_assert!(message.symbols.first().is_none_or(|first| !first.is_empty()));
            }
            (Ok(_), Err(error)) => prop_assert!(is_about_utf8(&error), "{}", error),
            (Err(error), Ok(_)) => prop_assert!(false, "only the reader refuses: {}", error),
        }
    }

    #[test]
    fn no_bytes_cause_a_panic(bytes in vec(any::<u8>(), 0..300)) {
        let _ = (decode_v1(&bytes), decode_v2(&bytes));
        let store = MemoryStore::default();
        for protocol in Protocol::ALL {
            let reply = send_body(&store, protocol, &bytes);
            prop_assert!(matches!(reply.status, 204 | 400));
            let reply = send(&store, protocol, &bytes);
            prop_assert!(matches!(reply.status, 204 | 400));
        }
    }
}

/// Finer schemas are made coarser, which the plain way here does not do.
fn has_fine_schema_v1(message: &v1::WriteRequest) -> bool {
    message.timeseries.iter().flat_map(|series| &series.histograms).any(|histogram| histogram.schema > 8)
}

fn has_fine_schema_v2(message: &v2::Request) -> bool {
    message.timeseries.iter().flat_map(|series| &series.histograms).any(|histogram| histogram.schema > 8)
}
