//! The plainest form of a segment's parts.

use std::sync::Arc;

use crate::encoding::{ByteReader, ByteWriter, DecodeError};
use crate::model::{
    CounterResetHint, Exemplar, Histogram, HistogramCounts, Labels, Metadata, MetricType, Span, TenantId,
    TimeSpan,
};

use super::SegmentMeta;
use super::writer::Series;

pub(super) fn put_meta(out: &mut ByteWriter, meta: &SegmentMeta) {
    out.put_sized(meta.tenant.as_str().as_bytes());
    for number in [meta.span.start, meta.span.end, meta.window.start, meta.window.end, meta.resolution_ms] {
        out.put_signed(number);
    }
    out.put_u8(meta.retention_class);
    for number in [meta.seq_min, meta.seq_max, meta.series, meta.samples] {
        out.put_varint(number);
    }
}

fn meta(reader: &mut ByteReader<'_>) -> Result<SegmentMeta, DecodeError> {
    let tenant = TenantId::new(reader.text()?);
    let span = TimeSpan::new(reader.signed()?, reader.signed()?);
    let window = TimeSpan::new(reader.signed()?, reader.signed()?);
    Ok(SegmentMeta {
        tenant,
        span,
        window,
        resolution_ms: reader.signed()?,
        retention_class: reader.u8()?,
        seq_min: reader.varint()?,
        seq_max: reader.varint()?,
        series: reader.varint()?,
        samples: reader.varint()?,
    })
}

pub(super) fn put_series(out: &mut ByteWriter, labels: &Labels, series: &Series) {
    out.put_sized(labels.as_bytes());
    out.put_varint(series.timestamps.len() as u64);
    for (at, timestamp) in series.timestamps.iter().enumerate() {
        out.put_i64(*timestamp);
        out.put_i64(series.start_timestamps.get(at).copied().unwrap_or(0));
        match series.histograms.get(at).and_then(Option::as_ref) {
            Some(histogram) => {
                out.put_u8(1);
                put_histogram(out, histogram);
            }
            None => {
                out.put_u8(0);
                out.put_f64(series.values[at]);
            }
        }
    }
    out.put_varint(series.exemplars.len() as u64);
    for exemplar in &series.exemplars {
        out.put_sized(exemplar.labels.as_bytes());
        out.put_f64(exemplar.value);
        out.put_i64(exemplar.timestamp);
    }
}

fn labels(reader: &mut ByteReader<'_>) -> Result<Labels, DecodeError> {
    let error = reader.error("labels are not canonical");
    Labels::from_bytes(reader.sized()?).map_err(|_| error)
}

fn series(reader: &mut ByteReader<'_>) -> Result<(Labels, Series), DecodeError> {
    let labels = labels(reader)?;
    let mut series = Series::default();
    for _ in 0..reader.count(17)? {
        series.timestamps.push(reader.i64()?);
        series.start_timestamps.push(reader.i64()?);
        if reader.u8()? == 1 {
            series.histograms.push(Some(Arc::new(histogram(reader)?)));
            series.values.push(0.0);
        } else {
            series.histograms.push(None);
            series.values.push(reader.f64()?);
        }
    }
    for _ in 0..reader.count(17)? {
        series.exemplars.push(Exemplar {
            labels: self::labels(reader)?,
            value: reader.f64()?,
            timestamp: reader.i64()?,
        });
    }
    Ok((labels, series))
}

fn put_histogram(out: &mut ByteWriter, histogram: &Histogram) {
    out.put_u8(histogram.counter_reset_hint as u8);
    out.put_signed(histogram.schema.into());
    out.put_f64(histogram.zero_threshold);
    out.put_f64(histogram.sum);
    match &histogram.counts {
        HistogramCounts::Integer { count, zero_count, positive_deltas, negative_deltas } => {
            out.put_u8(0);
            out.put_u64(*count);
            out.put_u64(*zero_count);
            for deltas in [positive_deltas, negative_deltas] {
                out.put_varint(deltas.len() as u64);
                deltas.iter().for_each(|delta| out.put_i64(*delta));
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
    for spans in [&histogram.positive_spans, &histogram.negative_spans] {
        out.put_varint(spans.len() as u64);
        for span in spans {
            out.put_signed(span.offset.into());
            out.put_u32(span.length);
        }
    }
    put_doubles(out, &histogram.custom_values);
}

fn put_doubles(out: &mut ByteWriter, values: &[f64]) {
    out.put_varint(values.len() as u64);
    values.iter().for_each(|value| out.put_f64(*value));
}

fn list<T>(
    reader: &mut ByteReader<'_>,
    bytes_min: usize,
    mut item: impl FnMut(&mut ByteReader<'_>) -> Result<T, DecodeError>,
) -> Result<Vec<T>, DecodeError> {
    let count = reader.count(bytes_min)?;
    (0..count).map(|_| item(reader)).collect()
}

fn signed_i32(reader: &mut ByteReader<'_>) -> Result<i32, DecodeError> {
    let error = reader.error("number has more than 32 bits");
    i32::try_from(reader.signed()?).map_err(|_| error)
}

fn span(reader: &mut ByteReader<'_>) -> Result<Span, DecodeError> {
    Ok(Span { offset: signed_i32(reader)?, length: reader.u32()? })
}

fn histogram(reader: &mut ByteReader<'_>) -> Result<Histogram, DecodeError> {
    let counter_reset_hint = CounterResetHint::from_number(reader.u8()?.into());
    let schema = signed_i32(reader)?;
    let zero_threshold = reader.f64()?;
    let sum = reader.f64()?;
    let counts = if reader.u8()? == 0 {
        HistogramCounts::Integer {
            count: reader.u64()?,
            zero_count: reader.u64()?,
            positive_deltas: list(reader, 8, |reader| reader.i64())?,
            negative_deltas: list(reader, 8, |reader| reader.i64())?,
        }
    } else {
        HistogramCounts::Float {
            count: reader.f64()?,
            zero_count: reader.f64()?,
            positive: list(reader, 8, |reader| reader.f64())?,
            negative: list(reader, 8, |reader| reader.f64())?,
        }
    };
    Ok(Histogram {
        counter_reset_hint,
        schema,
        zero_threshold,
        sum,
        counts,
        positive_spans: list(reader, 5, span)?,
        negative_spans: list(reader, 5, span)?,
        custom_values: list(reader, 8, |reader| reader.f64())?,
    })
}

pub(super) fn put_metadata(out: &mut ByteWriter, metric: &str, metadata: &Metadata) {
    out.put_sized(metric.as_bytes());
    out.put_u8(metadata.metric_type as u8);
    out.put_sized(metadata.help.as_bytes());
    out.put_sized(metadata.unit.as_bytes());
}

fn metadata(reader: &mut ByteReader<'_>) -> Result<(String, Metadata), DecodeError> {
    let metric = reader.text()?.to_owned();
    let metric_type = MetricType::ALL.get(usize::from(reader.u8()?)).copied().unwrap_or_default();
    let help = reader.text()?.to_owned();
    let unit = reader.text()?.to_owned();
    Ok((metric, Metadata { metric_type, help, unit }))
}

type Parts = (SegmentMeta, Vec<(Labels, Series)>, Vec<(String, Metadata)>);

pub(super) fn parse(bytes: &[u8]) -> Result<Parts, DecodeError> {
    let mut reader = ByteReader::new(bytes);
    let meta = meta(&mut reader)?;
    let mut rows = Vec::new();
    for _ in 0..meta.series {
        rows.push(series(&mut reader)?);
    }
    let metadata = list(&mut reader, 4, metadata)?;
    reader.finish()?;
    Ok((meta, rows, metadata))
}

#[cfg(test)]
mod tests {
    use super::super::{BytesSource, SegmentHeader, SegmentReader, SegmentWriter};
    use super::*;
    use crate::model::Matcher;
    use crate::storage::{Columns, ColumnsRow};

    #[test]
    fn what_was_added_is_read() {
        let window = TimeSpan::new(0, 7_199_999);
        let tenant = TenantId::default();
        let mut writer = SegmentWriter::new(SegmentHeader {
            tenant,
            window,
            resolution_ms: 0,
            retention_class: 0,
            seq_min: 3,
            seq_max: 9,
        });
        let labels = Labels::from_pairs([("__name__", "up"), ("job", "a")]);
        let row = ColumnsRow {
            timestamps: &[10, 20, 30],
            values: &[1.0, 0.0, 1.0],
            histograms: &[],
            start_timestamps: &[],
        };
        writer.add_series(&labels, row);
        writer.add_series(&Labels::from_pairs([("__name__", "down")]), row);
        let mut bytes = Vec::new();
        let written = writer.finish(&mut bytes).expect("a vector takes all bytes");
        let reader = SegmentReader::open(Arc::new(BytesSource::new("a.seg", bytes))).expect("sound");
        assert_eq!(reader.meta(), &written);
        let rows = reader.select(&[Matcher::equal("job", "a")]).expect("sound");
        assert_eq!(rows.iter().map(|r| reader.labels(*r).expect("sound")).collect::<Vec<_>>(), [labels]);
        let mut columns = Columns::default();
        columns.begin_row();
        reader.read(rows[0], TimeSpan::new(20, 30), &mut columns).expect("sound");
        assert_eq!(columns.row(0).values, [0.0, 1.0]);
    }
}
