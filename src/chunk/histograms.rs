//! Native histograms of one frame: a column for each count, sum and bucket over runs of the same layout.

use std::sync::Arc;

use crate::encoding::{ByteReader, ByteWriter, DecodeError, decode_integers, encode_integers};
use crate::model::{CounterResetHint, Histogram, HistogramCounts, Span};

use super::{FRAME_LEN_MAX, decode_values, encode_values};

/// Fewest bytes of a bucket's column: what a false bucket count is held against.
const COLUMN_BYTES_MIN: usize = 2;
/// All histograms of the run have one reset hint.
const HINTS_SAME: u8 = 0;
/// Each histogram of the run has a reset hint of its own.
const HINTS_EACH: u8 = 1;

/// What the histograms of a run have in common.
#[derive(Clone, Debug)]
struct Layout {
    is_float: bool,
    schema: i32,
    zero_threshold: f64,
    positive_spans: Vec<Span>,
    negative_spans: Vec<Span>,
    positive_count: usize,
    negative_count: usize,
    custom_values: Vec<f64>,
}

/// Appends the histograms of a frame, 1 to [`FRAME_LEN_MAX`] of them.
pub fn encode_histograms(histograms: &[Arc<Histogram>], out: &mut ByteWriter) {
    assert!(!histograms.is_empty() && histograms.len() <= FRAME_LEN_MAX, "a frame has 1 to 1024 samples");
    for run in histograms.chunk_by(|a, b| same_layout(a, b)) {
        out.put_varint(run.len() as u64);
        put_hints(run, out);
        put_layout(&Layout::of(&run[0]), out);
        let sums: Vec<f64> = run.iter().map(|histogram| histogram.sum).collect();
        encode_values(&sums, out);
        match &run[0].counts {
            HistogramCounts::Integer { .. } => put_integer_columns(run, out),
            HistogramCounts::Float { .. } => put_float_columns(run, out),
        }
    }
}

/// Reads `count` histograms of a frame, at most [`FRAME_LEN_MAX`]; safe on any bytes, but then they may contradict
/// themselves. Inverse of [`encode_histograms`].
pub fn decode_histograms(
    reader: &mut ByteReader<'_>,
    count: usize,
) -> Result<Vec<Arc<Histogram>>, DecodeError> {
    assert!(count <= FRAME_LEN_MAX, "the caller bounds the count");
    let mut histograms = Vec::with_capacity(count);
    while histograms.len() < count {
        let start = reader.clone();
        let left = (count - histograms.len()) as u64;
        let run = reader.varint_max(left, "run of histograms is longer than its frame")? as usize;
        if run == 0 {
            return Err(start.error("run of histograms is empty"));
        }
        let hints = hints(reader, run)?;
        let layout = layout(reader)?;
        let mut sums = vec![0.0; run];
        decode_values(reader, &mut sums)?;
        let counts = if layout.is_float {
            float_columns(reader, &layout, run)?
        } else {
            integer_columns(reader, &layout, run)?
        };
        for ((hint, sum), counts) in hints.into_iter().zip(sums).zip(counts) {
            histograms.push(Arc::new(layout.histogram(hint, sum, counts)));
        }
    }
    Ok(histograms)
}

impl Layout {
    fn of(histogram: &Histogram) -> Self {
        let (is_float, positive_count, negative_count) = match &histogram.counts {
            HistogramCounts::Integer { positive_deltas, negative_deltas, .. } => {
                (false, positive_deltas.len(), negative_deltas.len())
            }
            HistogramCounts::Float { positive, negative, .. } => (true, positive.len(), negative.len()),
        };
        Self {
            is_float,
            schema: histogram.schema,
            zero_threshold: histogram.zero_threshold,
            positive_spans: histogram.positive_spans.clone(),
            negative_spans: histogram.negative_spans.clone(),
            positive_count,
            negative_count,
            custom_values: histogram.custom_values.clone(),
        }
    }

    fn histogram(
        &self,
        counter_reset_hint: CounterResetHint,
        sum: f64,
        counts: HistogramCounts,
    ) -> Histogram {
        Histogram {
            counter_reset_hint,
            schema: self.schema,
            zero_threshold: self.zero_threshold,
            sum,
            counts,
            positive_spans: self.positive_spans.clone(),
            negative_spans: self.negative_spans.clone(),
            custom_values: self.custom_values.clone(),
        }
    }
}

fn same_layout(a: &Histogram, b: &Histogram) -> bool {
    let same_counts = match (&a.counts, &b.counts) {
        (
            HistogramCounts::Integer { positive_deltas: p, negative_deltas: n, .. },
            HistogramCounts::Integer { positive_deltas, negative_deltas, .. },
        ) => (p.len(), n.len()) == (positive_deltas.len(), negative_deltas.len()),
        (
            HistogramCounts::Float { positive: p, negative: n, .. },
            HistogramCounts::Float { positive, negative, .. },
        ) => (p.len(), n.len()) == (positive.len(), negative.len()),
        _ => false,
    };
    same_counts
        && a.schema == b.schema
        && a.zero_threshold.to_bits() == b.zero_threshold.to_bits()
        && a.positive_spans == b.positive_spans
        && a.negative_spans == b.negative_spans
        && a.custom_values.iter().map(|v| v.to_bits()).eq(b.custom_values.iter().map(|v| v.to_bits()))
}

fn put_hints(run: &[Arc<Histogram>], out: &mut ByteWriter) {
    let first = run[0].counter_reset_hint;
    if run.iter().all(|histogram| histogram.counter_reset_hint == first) {
        out.put_u8(HINTS_SAME);
        out.put_u8(first as u8);
    } else {
        out.put_u8(HINTS_EACH);
        run.iter().for_each(|histogram| out.put_u8(histogram.counter_reset_hint as u8));
    }
}

fn hints(reader: &mut ByteReader<'_>, run: usize) -> Result<Vec<CounterResetHint>, DecodeError> {
    let start = reader.clone();
    let hint = |number: u8| CounterResetHint::from_number(number.into());
    match reader.u8()? {
        HINTS_SAME => Ok(vec![hint(reader.u8()?); run]),
        HINTS_EACH => Ok(reader.take(run)?.iter().map(|number| hint(*number)).collect()),
        _ => Err(start.error("unknown form of reset hints")),
    }
}

fn put_layout(layout: &Layout, out: &mut ByteWriter) {
    out.put_u8(layout.is_float.into());
    out.put_signed(layout.schema.into());
    out.put_f64(layout.zero_threshold);
    for spans in [&layout.positive_spans, &layout.negative_spans] {
        out.put_varint(spans.len() as u64);
        for span in spans {
            out.put_signed(span.offset.into());
            out.put_varint(span.length.into());
        }
    }
    out.put_varint(layout.custom_values.len() as u64);
    layout.custom_values.iter().for_each(|bound| out.put_f64(*bound));
    out.put_varint(layout.positive_count as u64);
    out.put_varint(layout.negative_count as u64);
}

fn layout(reader: &mut ByteReader<'_>) -> Result<Layout, DecodeError> {
    let start = reader.clone();
    let is_float = match reader.u8()? {
        0 => false,
        1 => true,
        _ => return Err(start.error("unknown kind of histogram")),
    };
    let schema = signed_i32(reader)?;
    let zero_threshold = reader.f64()?;
    let positive_spans = spans(reader)?;
    let negative_spans = spans(reader)?;
    let custom_count = reader.count(8)?;
    let custom_values = (0..custom_count).map(|_| reader.f64()).collect::<Result<_, _>>()?;
    let positive_count = reader.count(COLUMN_BYTES_MIN)?;
    let negative_count = reader.count(COLUMN_BYTES_MIN)?;
    Ok(Layout {
        is_float,
        schema,
        zero_threshold,
        positive_spans,
        negative_spans,
        positive_count,
        negative_count,
        custom_values,
    })
}

fn signed_i32(reader: &mut ByteReader<'_>) -> Result<i32, DecodeError> {
    let error = reader.error("number has more than 32 bits");
    i32::try_from(reader.signed()?).map_err(|_| error)
}

fn spans(reader: &mut ByteReader<'_>) -> Result<Vec<Span>, DecodeError> {
    let count = reader.count(2)?;
    (0..count).map(|_| Ok(Span { offset: signed_i32(reader)?, length: reader.varint_u32()? })).collect()
}

/// Columns of count, zero count and every bucket. Buckets are stored as absolute populations, which only rise in most
/// series; sums and differences wrap, so that even contradictory histograms come back.
fn put_integer_columns(run: &[Arc<Histogram>], out: &mut ByteWriter) {
    let mut columns: Vec<Vec<i64>> = Vec::new();
    for (row, histogram) in run.iter().enumerate() {
        let HistogramCounts::Integer { count, zero_count, positive_deltas, negative_deltas } =
            &histogram.counts
        else {
            unreachable!("a run has histograms of one kind");
        };
        columns.resize(2 + positive_deltas.len() + negative_deltas.len(), vec![0; run.len()]);
        let heads = [*count as i64, *zero_count as i64];
        let numbers =
            heads.into_iter().chain(running_sums(positive_deltas)).chain(running_sums(negative_deltas));
        columns.iter_mut().zip(numbers).for_each(|(column, number)| column[row] = number);
    }
    columns.iter().for_each(|column| encode_integers(column, out));
}

fn running_sums(deltas: &[i64]) -> impl Iterator<Item = i64> {
    deltas.iter().scan(0_i64, |sum, delta| {
        *sum = sum.wrapping_add(*delta);
        Some(*sum)
    })
}

fn differences(populations: impl Iterator<Item = i64>) -> Vec<i64> {
    let mut last = 0_i64;
    populations.map(|population| population.wrapping_sub(std::mem::replace(&mut last, population))).collect()
}

fn integer_columns(
    reader: &mut ByteReader<'_>,
    layout: &Layout,
    run: usize,
) -> Result<Vec<HistogramCounts>, DecodeError> {
    let mut columns: Vec<Vec<i64>> = Vec::new();
    for _ in 0..2 + layout.positive_count + layout.negative_count {
        let mut column = vec![0; run];
        decode_integers(reader, &mut column)?;
        columns.push(column);
    }
    let (positive, negative) = columns[2..].split_at(layout.positive_count);
    Ok((0..run)
        .map(|row| HistogramCounts::Integer {
            count: columns[0][row] as u64,
            zero_count: columns[1][row] as u64,
            positive_deltas: differences(positive.iter().map(|column| column[row])),
            negative_deltas: differences(negative.iter().map(|column| column[row])),
        })
        .collect())
}

fn put_float_columns(run: &[Arc<Histogram>], out: &mut ByteWriter) {
    let mut columns: Vec<Vec<f64>> = Vec::new();
    for (row, histogram) in run.iter().enumerate() {
        let HistogramCounts::Float { count, zero_count, positive, negative } = &histogram.counts else {
            unreachable!("a run has histograms of one kind");
        };
        columns.resize(2 + positive.len() + negative.len(), vec![0.0; run.len()]);
        let numbers = [count, zero_count].into_iter().chain(positive).chain(negative);
        columns.iter_mut().zip(numbers).for_each(|(column, number)| column[row] = *number);
    }
    columns.iter().for_each(|column| encode_values(column, out));
}

fn float_columns(
    reader: &mut ByteReader<'_>,
    layout: &Layout,
    run: usize,
) -> Result<Vec<HistogramCounts>, DecodeError> {
    let mut columns: Vec<Vec<f64>> = Vec::new();
    for _ in 0..2 + layout.positive_count + layout.negative_count {
        let mut column = vec![0.0; run];
        decode_values(reader, &mut column)?;
        columns.push(column);
    }
    let (positive, negative) = columns[2..].split_at(layout.positive_count);
    Ok((0..run)
        .map(|row| HistogramCounts::Float {
            count: columns[0][row],
            zero_count: columns[1][row],
            positive: positive.iter().map(|column| column[row]).collect(),
            negative: negative.iter().map(|column| column[row]).collect(),
        })
        .collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn round_trip(histograms: &[Arc<Histogram>]) -> usize {
        let mut writer = ByteWriter::default();
        encode_histograms(histograms, &mut writer);
        let mut reader = ByteReader::new(writer.as_slice());
        let back = decode_histograms(&mut reader, histograms.len()).expect("what was written is read");
        reader.finish().expect("everything was read");
        // Debug prints a NaN as NaN whatever its payload, hence the sums' bits beside it.
        assert_eq!(format!("{back:?}"), format!("{histograms:?}"));
        let sums = |list: &[Arc<Histogram>]| list.iter().map(|h| h.sum.to_bits()).collect::<Vec<_>>();
        assert_eq!(sums(&back), sums(histograms));
        writer.len()
    }

    fn counts() -> impl Strategy<Value = HistogramCounts> {
        let deltas = || proptest::collection::vec(-5_i64..50, 0..6);
        let floats = || proptest::collection::vec(0.0_f64..50.0, 0..6);
        prop_oneof![
            (any::<u64>(), any::<u64>(), deltas(), deltas()).prop_map(
                |(count, zero_count, positive_deltas, negative_deltas)| HistogramCounts::Integer {
                    count,
                    zero_count,
                    positive_deltas,
                    negative_deltas
                }
            ),
            (any::<f64>(), any::<f64>(), floats(), floats()).prop_map(
                |(count, zero_count, positive, negative)| HistogramCounts::Float {
                    count,
                    zero_count,
                    positive,
                    negative
                }
            ),
        ]
    }

    prop_compose! {
        fn histogram()(
            counts in counts(),
            hint in 0_u64..4,
            schema in prop_oneof![Just(-53), -4..=8],
            sum_bits: u64,
            spans in proptest::collection::vec((any::<i32>(), any::<u32>()), 0..3),
            custom_values in proptest::collection::vec(-5.0_f64..5.0, 0..3),
        ) -> Arc<Histogram> {
            let spans: Vec<Span> = spans.into_iter().map(|(offset, length)| Span { offset, length }).collect();
            Arc::new(Histogram {
                counter_reset_hint: CounterResetHint::from_number(hint),
                schema,
                zero_threshold: 0.001,
                sum: f64::from_bits(sum_bits),
                counts,
                positive_spans: spans.clone(),
                negative_spans: spans,
                custom_values,
            })
        }
    }

    proptest! {
        #[test]
        fn any_histograms_come_back(histograms in proptest::collection::vec(histogram(), 1..20), repeat in 1_usize..4) {
            let repeated: Vec<_> =
                histograms.iter().flat_map(|h| std::iter::repeat_n(Arc::clone(h), repeat)).collect();
            round_trip(&repeated);
        }

        #[test]
        fn any_bytes_are_decoded_without_a_panic(bytes: Vec<u8>, count in 1_usize..=FRAME_LEN_MAX) {
            let _ = decode_histograms(&mut ByteReader::new(&bytes), count);
        }
    }

    #[test]
    fn a_steady_counter_histogram_is_small() {
        let histograms: Vec<_> = (0..120_u64)
            .map(|i| {
                Arc::new(Histogram {
                    counter_reset_hint: CounterResetHint::Unknown,
                    schema: 3,
                    zero_threshold: 0.001,
                    sum: i as f64 * 0.25,
                    counts: HistogramCounts::Integer {
                        count: 8 * i,
                        zero_count: i,
                        positive_deltas: vec![i as i64; 4],
                        negative_deltas: Vec::new(),
                    },
                    positive_spans: vec![Span { offset: 0, length: 4 }],
                    negative_spans: Vec::new(),
                    custom_values: Vec::new(),
                })
            })
            .collect();
        assert!(round_trip(&histograms) <= 80);
    }
}
