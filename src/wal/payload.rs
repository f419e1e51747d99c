//! What records hold, each kind with its writer and its reader.

use crate::encoding::{ByteReader, ByteWriter, DecodeError};
use crate::model::{
    CounterResetHint, Exemplar, Histogram, HistogramCounts, Labels, Metadata, MetricType, Span,
};

/// A histogram, bit for bit.
pub(super) fn put_histogram(out: &mut ByteWriter, histogram: &Histogram) {
    out.put_u8(histogram.counter_reset_hint as u8);
    out.put_signed(histogram.schema.into());
    out.put_f64(histogram.zero_threshold);
    out.put_f64(histogram.sum);
    put_spans(out, &histogram.positive_spans);
    put_spans(out, &histogram.negative_spans);
    put_doubles(out, &histogram.custom_values);
    match &histogram.counts {
        HistogramCounts::Integer { count, zero_count, positive_deltas, negative_deltas } => {
            out.put_u8(0);
            out.put_varint(*count);
            out.put_varint(*zero_count);
            for deltas in [positive_deltas, negative_deltas] {
                out.put_varint(deltas.len() as u64);
                deltas.iter().for_each(|delta| out.put_signed(*delta));
            }
        }
        HistogramCounts::Float { count, zero_count, positive, negative } => {
            out.put_u8(1);
            out.put_f64(*count);
            out.put_f64(*zero_count);
            put_doubles(out, positive);
            put_doubles(out, negative);
        }
    }
}

/// The inverse of [`put_histogram`].
pub(super) fn histogram(reader: &mut ByteReader<'_>) -> Result<Histogram, DecodeError> {
    let counter_reset_hint = CounterResetHint::from_number(reader.u8()?.into());
    let schema = signed_i32(reader)?;
    let zero_threshold = reader.f64()?;
    let sum = reader.f64()?;
    let positive_spans = list(reader, 2, span)?;
    let negative_spans = list(reader, 2, span)?;
    let custom_values = list(reader, 8, ByteReader::f64)?;
    let counts = match reader.u8()? {
        0 => HistogramCounts::Integer {
            count: reader.varint()?,
            zero_count: reader.varint()?,
            positive_deltas: list(reader, 1, ByteReader::signed)?,
            negative_deltas: list(reader, 1, ByteReader::signed)?,
        },
        1 => HistogramCounts::Float {
            count: reader.f64()?,
            zero_count: reader.f64()?,
            positive: list(reader, 8, ByteReader::f64)?,
            negative: list(reader, 8, ByteReader::f64)?,
        },
        _ => return Err(reader.error("histogram counts are neither integers nor floats")),
    };
    Ok(Histogram {
        counter_reset_hint,
        schema,
        zero_threshold,
        sum,
        counts,
        positive_spans,
        negative_spans,
        custom_values,
    })
}

/// An exemplar.
pub(super) fn put_exemplar(out: &mut ByteWriter, exemplar: &Exemplar) {
    out.put_sized(exemplar.labels.as_bytes());
    out.put_f64(exemplar.value);
    out.put_signed(exemplar.timestamp);
}

/// The inverse of [`put_exemplar`].
pub(super) fn exemplar(reader: &mut ByteReader<'_>) -> Result<Exemplar, DecodeError> {
    Ok(Exemplar { labels: labels(reader)?, value: reader.f64()?, timestamp: reader.signed()? })
}

/// Canonical label bytes, checked.
pub(super) fn labels(reader: &mut ByteReader<'_>) -> Result<Labels, DecodeError> {
    let error = reader.error("labels are not canonical");
    Labels::from_bytes(reader.sized()?).map_err(|_| error)
}

/// A metric family's metadata.
pub(super) fn put_metadata(out: &mut ByteWriter, metric: &str, metadata: &Metadata) {
    out.put_sized(metric.as_bytes());
    out.put_u8(metadata.metric_type as u8);
    out.put_sized(metadata.help.as_bytes());
    out.put_sized(metadata.unit.as_bytes());
}

/// The inverse of [`put_metadata`].
pub(super) fn metadata(reader: &mut ByteReader<'_>) -> Result<(String, Metadata), DecodeError> {
    let metric = reader.text()?.to_owned();
    let metric_type = MetricType::ALL.get(usize::from(reader.u8()?)).copied().unwrap_or_default();
    let help = reader.text()?.to_owned();
    let unit = reader.text()?.to_owned();
    Ok((metric, Metadata { metric_type, help, unit }))
}

fn put_spans(out: &mut ByteWriter, spans: &[Span]) {
    out.put_varint(spans.len() as u64);
    for span in spans {
        out.put_signed(span.offset.into());
        out.put_varint(span.length.into());
    }
}

fn put_doubles(out: &mut ByteWriter, values: &[f64]) {
    out.put_varint(values.len() as u64);
    values.iter().for_each(|value| out.put_f64(*value));
}

fn span(reader: &mut ByteReader<'_>) -> Result<Span, DecodeError> {
    Ok(Span { offset: signed_i32(reader)?, length: reader.varint_u32()? })
}

fn signed_i32(reader: &mut ByteReader<'_>) -> Result<i32, DecodeError> {
    let error = reader.error("number has more than 32 bits");
    i32::try_from(reader.signed()?).map_err(|_| error)
}

fn list<'a, T>(
    reader: &mut ByteReader<'a>,
    bytes_min: usize,
    mut item: impl FnMut(&mut ByteReader<'a>) -> Result<T, DecodeError>,
) -> Result<Vec<T>, DecodeError> {
    let count = reader.count(bytes_min)?;
    (0..count).map(|_| item(reader)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn round_trip(histogram: &Histogram) -> Histogram {
        let mut out = ByteWriter::default();
        put_histogram(&mut out, histogram);
        let mut reader = ByteReader::new(out.as_slice());
        let read = super::histogram(&mut reader).expect("what was written is sound");
        assert_eq!(reader.finish(), Ok(()));
        read
    }

    #[test]
    fn histograms_come_back() {
        let integers = Histogram {
            counter_reset_hint: CounterResetHint::Gauge,
            schema: -4,
            zero_threshold: 0.001,
            sum: -1.5,
            counts: HistogramCounts::Integer {
                count: u64::MAX,
                zero_count: 1,
                positive_deltas: vec![1, -1, i64::MIN],
                negative_deltas: vec![2],
            },
            positive_spans: vec![Span { offset: -2, length: 3 }],
            negative_spans: vec![Span { offset: i32::MIN, length: 1 }],
            custom_values: Vec::new(),
        };
        assert_eq!(round_trip(&integers), integers);
        let floats = Histogram {
            counts: HistogramCounts::Float {
                count: 3.5,
                zero_count: 0.0,
                positive: vec![1.0],
                negative: Vec::new(),
            },
            custom_values: vec![0.5, 1.0],
            ..integers
        };
        assert_eq!(round_trip(&floats), floats);
    }

    #[test]
    fn metadata_and_exemplars_come_back() {
        let mut out = ByteWriter::default();
        let told = Metadata { metric_type: MetricType::Counter, help: "h".into(), unit: "s".into() };
        let seen = Exemplar { labels: Labels::from_pairs([("trace_id", "abc")]), value: 0.25, timestamp: -5 };
        put_metadata(&mut out, "m", &told);
        put_exemplar(&mut out, &seen);
        let mut reader = ByteReader::new(out.as_slice());
        assert_eq!(metadata(&mut reader), Ok(("m".to_owned(), told)));
        assert_eq!(exemplar(&mut reader), Ok(seen));
    }
}
