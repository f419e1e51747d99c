//! Native histograms on the wire; both protocols have the same fields, and 2.0 one more.

use crate::ingest::protobuf::{ProtobufError, Reader};
use crate::model::{CounterResetHint, Histogram, HistogramCounts, HistogramError, Span, Timestamp};

/// Finest schema that is stored.
const SCHEMA_MAX: i32 = 8;
/// Schemas that the format keeps for exponential buckets.
const SCHEMAS_RESERVED: std::ops::RangeInclusive<i32> = -9..=52;

/// A histogram's fields as they came.
#[derive(Default)]
struct Fields {
    count_int: u64,
    count_float: Option<f64>,
    zero_count_int: u64,
    zero_count_float: f64,
    sum: f64,
    schema: i32,
    zero_threshold: f64,
    negative_spans: Vec<Span>,
    negative_deltas: Vec<i64>,
    negative_counts: Vec<f64>,
    positive_spans: Vec<Span>,
    positive_deltas: Vec<i64>,
    positive_counts: Vec<f64>,
    reset_hint: u64,
    custom_values: Vec<f64>,
}

/// A histogram with its times.
pub(super) struct TimedHistogram {
    pub(super) timestamp: Timestamp,
    pub(super) start_timestamp: Timestamp,
    /// The histogram, fit to be stored; or why it is not.
    pub(super) histogram: Result<Histogram, HistogramError>,
}

/// Reads one histogram.
pub(super) fn read(mut reader: Reader<'_>) -> Result<TimedHistogram, ProtobufError> {
    let mut fields = Fields::default();
    let (mut timestamp, mut start_timestamp) = (0, 0);
    while let Some(tag) = reader.next_tag()? {
        match tag.field {
            15 => timestamp = reader.int64(tag, "timeseries.histograms.timestamp")?,
            17 => start_timestamp = reader.int64(tag, "timeseries.histograms.start_timestamp")?,
            _ => read_field(&mut reader, tag, &mut fields)?,
        }
    }
    Ok(TimedHistogram { timestamp, start_timestamp, histogram: fit(fields.into_histogram()) })
}

fn read_field(
    reader: &mut Reader<'_>,
    tag: crate::ingest::protobuf::Tag,
    fields: &mut Fields,
) -> Result<(), ProtobufError> {
    match tag.field {
        1 => {
            fields.count_int = reader.varint(tag, "timeseries.histograms.count_int")?;
            fields.count_float = None;
        }
        2 => fields.count_float = Some(reader.double(tag, "timeseries.histograms.count_float")?),
        3 => fields.sum = reader.double(tag, "timeseries.histograms.sum")?,
        4 => fields.schema = reader.sint32(tag, "timeseries.histograms.schema")?,
        5 => fields.zero_threshold = reader.double(tag, "timeseries.histograms.zero_threshold")?,
        6 => {
            fields.zero_count_int = reader.varint(tag, "timeseries.histograms.zero_count_int")?;
            fields.zero_count_float = 0.0;
        }
        7 => {
            fields.zero_count_float = reader.double(tag, "timeseries.histograms.zero_count_float")?;
            fields.zero_count_int = 0;
        }
        8 => fields
            .negative_spans
            .push(read_span(reader.message(tag, "timeseries.histograms.negative_spans")?)?),
        9 => reader.repeated_sint64(
            tag,
            "timeseries.histograms.negative_deltas",
            &mut fields.negative_deltas,
        )?,
        10 => reader.repeated_double(
            tag,
            "timeseries.histograms.negative_counts",
            &mut fields.negative_counts,
        )?,
        11 => fields
            .positive_spans
            .push(read_span(reader.message(tag, "timeseries.histograms.positive_spans")?)?),
        12 => reader.repeated_sint64(
            tag,
            "timeseries.histograms.positive_deltas",
            &mut fields.positive_deltas,
        )?,
        13 => reader.repeated_double(
            tag,
            "timeseries.histograms.positive_counts",
            &mut fields.positive_counts,
        )?,
        14 => fields.reset_hint = reader.varint(tag, "timeseries.histograms.reset_hint")?,
        16 => {
            reader.repeated_double(tag, "timeseries.histograms.custom_values", &mut fields.custom_values)?;
        }
        _ => reader.skip(tag)?,
    }
    Ok(())
}

fn read_span(mut reader: Reader<'_>) -> Result<Span, ProtobufError> {
    let mut span = Span::default();
    while let Some(tag) = reader.next_tag()? {
        match tag.field {
            1 => span.offset = reader.sint32(tag, "timeseries.histograms.spans.offset")?,
            2 => span.length = reader.uint32(tag, "timeseries.histograms.spans.length")?,
            _ => reader.skip(tag)?,
        }
    }
    Ok(span)
}

impl Fields {
    /// The kind of the total decides; buckets of the other kind have no meaning then.
    fn into_histogram(self) -> Histogram {
        let counts = match self.count_float {
            Some(count) => HistogramCounts::Float {
                count,
                zero_count: self.zero_count_float,
                positive: self.positive_counts,
                negative: self.negative_counts,
            },
            None => HistogramCounts::Integer {
                count: self.count_int,
                zero_count: self.zero_count_int,
                positive_deltas: self.positive_deltas,
                negative_deltas: self.negative_deltas,
            },
        };
        Histogram {
            counter_reset_hint: CounterResetHint::from_number(self.reset_hint),
            schema: self.schema,
            zero_threshold: self.zero_threshold,
            sum: self.sum,
            counts,
            positive_spans: self.positive_spans,
            negative_spans: self.negative_spans,
            custom_values: self.custom_values,
        }
    }
}

/// Checks a histogram, and makes one that is finer than what is stored as coarse as that.
fn fit(mut histogram: Histogram) -> Result<Histogram, HistogramError> {
    let schema = histogram.schema;
    let is_finer = schema > SCHEMA_MAX && SCHEMAS_RESERVED.contains(&schema);
    if is_finer {
        histogram.schema = SCHEMA_MAX;
    }
    histogram.validate()?;
    if is_finer {
        reduce(&mut histogram, (schema - SCHEMA_MAX).unsigned_abs())?;
        histogram.validate()?;
    }
    Ok(histogram)
}

/// Halves the resolution `times` times. The histogram is sound but for its schema.
fn reduce(histogram: &mut Histogram, times: u32) -> Result<(), HistogramError> {
    let Histogram { counts, positive_spans, negative_spans, .. } = histogram;
    match counts {
        HistogramCounts::Integer { positive_deltas, negative_deltas, .. } => {
            for (spans, deltas) in [(positive_spans, positive_deltas), (negative_spans, negative_deltas)] {
                // Sound populations are not negative and their sum fits 64 bits, so 128 hold any of them.
                let mut population = 0i128;
                let absolute = deltas.iter().map(|delta| {
                    population += i128::from(*delta);
                    population
                });
                let merged = merge(spans, absolute, times)?;
                let mut last = 0i128;
                *deltas = merged
                    .into_iter()
                    .map(|population| {
                        let delta = population - last;
                        last = population;
                        i64::try_from(delta).map_err(|_| HistogramError::Overflow)
                    })
                    .collect::<Result<_, _>>()?;
            }
        }
        HistogramCounts::Float { positive, negative, .. } => {
            for (spans, buckets) in [(positive_spans, positive), (negative_spans, negative)] {
                *buckets = merge(spans, buckets.iter().copied(), times)?;
            }
        }
    }
    Ok(())
}

/// Adds up buckets that fall into one of a coarser schema, and puts the coarser spans in place of the finer ones.
fn merge<N: Copy + std::ops::AddAssign>(
    spans: &mut Vec<Span>,
    buckets: impl Iterator<Item = N>,
    times: u32,
) -> Result<Vec<N>, HistogramError> {
    let mut merged: Vec<N> = Vec::new();
    let mut merged_spans: Vec<Span> = Vec::new();
    let mut index_last = None;
    for (index, bucket) in bucket_indexes(spans).zip(buckets) {
        // Bucket i of the finer schema ends where bucket ceil(i / 2^times) of the coarser one does, or before.
        let index = ((index - 1) >> times) + 1;
        match (index_last, merged.last_mut(), merged_spans.last_mut()) {
            (Some(last), Some(population), _) if last == index => *population += bucket,
            (Some(last), _, Some(span)) if last + 1 == index => {
                span.length += 1;
                merged.push(bucket);
            }
            _ => {
                let offset = index - index_last.map_or(0, |last| last + 1);
                let offset = i32::try_from(offset).map_err(|_| HistogramError::Overflow)?;
                merged_spans.push(Span { offset, length: 1 });
                merged.push(bucket);
            }
        }
        index_last = Some(index);
    }
    *spans = merged_spans;
    Ok(merged)
}

/// Index of each bucket that spans name.
fn bucket_indexes(spans: &[Span]) -> impl Iterator<Item = i64> + use<> {
    let mut next = 0i64;
    let runs: Vec<_> = spans
        .iter()
        .map(|span| {
            let start = next + i64::from(span.offset);
            next = start + i64::from(span.length);
            start..next
        })
        .collect();
    runs.into_iter().flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn integer(schema: i32, spans: &[(i32, u32)], deltas: &[i64], count: u64) -> Histogram {
        Histogram {
            counter_reset_hint: CounterResetHint::Unknown,
            schema,
            zero_threshold: 0.0,
            sum: 1.0,
            counts: HistogramCounts::Integer {
                count,
                zero_count: 0,
                positive_deltas: deltas.to_vec(),
                negative_deltas: Vec::new(),
            },
            positive_spans: spans.iter().map(|&(offset, length)| Span { offset, length }).collect(),
            negative_spans: Vec::new(),
            custom_values: Vec::new(),
        }
    }

    #[test]
    fn finer_schemas_are_made_coarser() {
        // Buckets 0..4 with 1 each, and bucket 9 with 3: at half the resolution 0 | 1,2 | 3,4 -> 0, 1, 2; and 5.
        let fitted = fit(integer(9, &[(0, 5), (4, 1)], &[1, 0, 0, 0, 0, 2], 8)).expect("a sound histogram");
        assert_eq!(fitted, integer(8, &[(0, 3), (2, 1)], &[1, 1, 0, 1], 8));
        assert_eq!(fitted.to_float().positive_buckets, [1.0, 2.0, 2.0, 3.0]);
        // Negative indexes round the same way: -3, -2 -> -1; -1, 0 -> 0.
        let fitted = fit(integer(9, &[(-3, 4)], &[1, 0, 0, 0], 4)).expect("a sound histogram");
        assert_eq!(fitted, integer(8, &[(-1, 2)], &[2, 0], 4));
    }

    #[test]
    fn float_histograms_are_made_coarser_too() {
        let mut histogram = integer(10, &[(1, 4)], &[], 0);
        histogram.counts = HistogramCounts::Float {
            count: 10.0,
            zero_count: 0.0,
            positive: vec![1.0, 2.0, 3.0, 4.0],
            negative: Vec::new(),
        };
        let fitted = fit(histogram).expect("a sound histogram");
        assert_eq!((fitted.schema, fitted.to_float().positive_buckets), (8, vec![10.0]));
        assert_eq!(fitted.positive_spans, [Span { offset: 1, length: 1 }]);
    }

    #[test]
    fn unsound_histograms_and_schemas_are_refused() {
        assert!(matches!(fit(integer(53, &[], &[], 0)), Err(HistogramError::Schema(53))));
        assert!(matches!(fit(integer(-5, &[], &[], 0)), Err(HistogramError::Schema(-5))));
        assert!(matches!(
            fit(integer(12, &[(0, 2)], &[1], 1)),
            Err(HistogramError::SpansBuckets { need: 2, have: 1, .. })
        ));
        assert!(fit(integer(52, &[(i32::MAX, 1), (i32::MAX, 1)], &[1, 0], 2)).is_ok());
    }
}
