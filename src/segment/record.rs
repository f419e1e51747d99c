//! What is stored of a series beside its samples: labels by number, and its frames.

use crate::chunk::{FRAME_LEN_MAX, decode_values, encode_values};
use crate::encoding::{ByteReader, ByteWriter, DecodeError};
use crate::model::is_stale;
use crate::storage::Statistics;

use super::times::TimesRun;

/// The frame holds histograms instead of floats.
const FLAG_HISTOGRAMS: u8 = 1;
/// A column of start timestamps stands before the values.
const FLAG_STARTS: u8 = 2;
/// The frame's times are a whole column; start and count are not stored.
const FLAG_WHOLE_COLUMN: u8 = 4;
/// Statistics follow.
const FLAG_STATISTICS: u8 = 8;
/// Frames of so many samples have statistics.
const STATISTICS_LEN_MIN: usize = 256;
/// Fewest bytes of a frame in a record.
const FRAME_BYTES_MIN: usize = 3;

/// One frame of a series.
#[derive(Clone, Debug)]
pub(super) struct Frame {
    /// Its times; the count is the frame's.
    pub(super) times: TimesRun,
    /// The times are all of their column.
    pub(super) is_whole_column: bool,
    pub(super) is_histograms: bool,
    pub(super) has_starts: bool,
    /// Bytes of starts and values.
    pub(super) bytes: u32,
    /// Stored statistics; empty where there are none.
    pub(super) statistics: Vec<u8>,
}

/// Appends a record. `offset`: where the first frame stands in the values section; the others follow it.
pub(super) fn put_record(pairs: &[(u32, u32)], offset: u64, frames: &[Frame], out: &mut ByteWriter) {
    out.put_varint(pairs.len() as u64);
    for (name, value) in pairs {
        out.put_varint((*name).into());
        out.put_varint((*value).into());
    }
    out.put_varint(frames.len() as u64);
    if frames.is_empty() {
        return;
    }
    out.put_varint(offset);
    let mut column_last = 0;
    for frame in frames {
        let flag = |is_set: bool, flag: u8| if is_set { flag } else { 0 };
        out.put_u8(
            flag(frame.is_histograms, FLAG_HISTOGRAMS)
                | flag(frame.has_starts, FLAG_STARTS)
                | flag(frame.is_whole_column, FLAG_WHOLE_COLUMN)
                | flag(!frame.statistics.is_empty(), FLAG_STATISTICS),
        );
        out.put_signed(i64::from(frame.times.column) - column_last);
        column_last = i64::from(frame.times.column);
        if !frame.is_whole_column {
            out.put_varint(frame.times.start.into());
            out.put_varint(frame.times.count.into());
        }
        out.put_varint(frame.bytes.into());
        if !frame.statistics.is_empty() {
            out.put_sized(&frame.statistics);
        }
    }
}

/// Reads the labels of a record, which come first.
pub(super) fn read_pairs(reader: &mut ByteReader<'_>, out: &mut Vec<(u32, u32)>) -> Result<(), DecodeError> {
    for _ in 0..reader.count(2)? {
        out.push((reader.varint_u32()?, reader.varint_u32()?));
    }
    Ok(())
}

/// A frame as it is read: its place, and statistics undecoded.
#[derive(Clone, Debug)]
pub(super) struct StoredFrame<'a> {
    pub(super) column: u32,
    /// Start and count within the column; `None` for all of it.
    pub(super) part: Option<(u16, u16)>,
    pub(super) is_histograms: bool,
    pub(super) has_starts: bool,
    /// First byte in the values section.
    pub(super) offset: u64,
    pub(super) bytes: u32,
    pub(super) statistics: Option<ByteReader<'a>>,
}

/// Reads the frames of a record, which follow the labels.
pub(super) fn read_frames<'a>(reader: &mut ByteReader<'a>) -> Result<Vec<StoredFrame<'a>>, DecodeError> {
    let mut labels = reader.count(2)?;
    while labels > 0 {
        reader.varint()?;
        reader.varint()?;
        labels -= 1;
    }
    let count = reader.count(FRAME_BYTES_MIN)?;
    let mut frames = Vec::with_capacity(count);
    let mut offset = if count > 0 { reader.varint()? } else { 0 };
    let mut column = 0_i64;
    for _ in 0..count {
        let frame = read_frame(reader, &mut column, offset)?;
        let overflow = reader.error("frame ends past 64 bits");
        offset = offset.checked_add(frame.bytes.into()).ok_or(overflow)?;
        frames.push(frame);
    }
    Ok(frames)
}

fn read_frame<'a>(
    reader: &mut ByteReader<'a>,
    column: &mut i64,
    offset: u64,
) -> Result<StoredFrame<'a>, DecodeError> {
    let start = reader.clone();
    let flags = reader.u8()?;
    if flags > FLAG_HISTOGRAMS | FLAG_STARTS | FLAG_WHOLE_COLUMN | FLAG_STATISTICS {
        return Err(start.error("unknown frame flags"));
    }
    *column = column.wrapping_add(reader.signed()?);
    let part = if flags & FLAG_WHOLE_COLUMN == 0 {
        let max = FRAME_LEN_MAX as u64;
        let first = reader.varint_max(max, "frame starts past its column")?;
        let count = reader.varint_max(max, "frame is longer than 1024 samples")?;
        Some((u16::try_from(first).expect("at most 1024"), u16::try_from(count).expect("at most 1024")))
    } else {
        None
    };
    let bytes = reader.varint_u32()?;
    let statistics = if flags & FLAG_STATISTICS == 0 {
        None
    } else {
        let body = reader.sized()?;
        Some(ByteReader::at_base(body, reader.offset() - body.len() as u64))
    };
    Ok(StoredFrame {
        column: u32::try_from(*column).map_err(|_| start.error("timestamp column has no such number"))?,
        part,
        is_histograms: flags & FLAG_HISTOGRAMS != 0,
        has_starts: flags & FLAG_STARTS != 0,
        offset,
        bytes,
        statistics,
    })
}

/// Statistics of a frame as stored: empty for short frames, and where a value is not finite, since comparisons with
/// NaN and sums of infinities depend on the order of evaluation.
pub(super) fn put_statistics(values: &[f64]) -> Vec<u8> {
    let mut out = ByteWriter::default();
    if values.len() < STATISTICS_LEN_MIN {
        return Vec::new();
    }
    let Some(statistics) = summarize(values) else {
        return Vec::new();
    };
    out.put_varint(statistics.count);
    out.put_varint(statistics.resets);
    encode_values(&[statistics.first, statistics.last, statistics.min, statistics.max], &mut out);
    encode_values(&[statistics.sum], &mut out);
    out.into_bytes()
}

/// Reads what [`put_statistics`] made.
pub(super) fn read_statistics(mut reader: ByteReader<'_>) -> Result<Statistics, DecodeError> {
    let count = reader.varint_max(FRAME_LEN_MAX as u64, "statistics count more than a frame holds")?;
    let resets = reader.varint_max(FRAME_LEN_MAX as u64, "statistics count more than a frame holds")?;
    let (mut four, mut sum) = ([0.0; 4], [0.0]);
    decode_values(&mut reader, &mut four)?;
    decode_values(&mut reader, &mut sum)?;
    reader.finish()?;
    let [first, last, min, max] = four;
    Ok(Statistics { first, last, min, max, sum: sum[0], count, resets })
}

fn summarize(values: &[f64]) -> Option<Statistics> {
    let mut values = values.iter().copied().filter(|value| !is_stale(*value));
    let first = values.next()?;
    let mut statistics =
        Statistics { first, last: first, min: first, max: first, sum: 0.0, count: 0, resets: 0 };
    let (mut sum, mut compensation) = (0.0_f64, 0.0_f64);
    for value in std::iter::once(first).chain(values) {
        if !value.is_finite() {
            return None;
        }
        statistics.resets += u64::from(value < statistics.last);
        statistics.last = value;
        statistics.min = if value < statistics.min { value } else { statistics.min };
        statistics.max = if value > statistics.max { value } else { statistics.max };
        statistics.count += 1;
        let total = sum + value;
        compensation += if sum.abs() >= value.abs() { (sum - total) + value } else { (value - total) + sum };
        sum = total;
    }
    statistics.sum = sum + compensation;
    statistics.sum.is_finite().then_some(statistics)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::stale_nan;

    #[test]
    fn statistics_leave_stale_markers_out() {
        let mut values: Vec<f64> = (0..300).map(|i| f64::from(i % 100)).collect();
        values[299] = stale_nan();
        let stored = put_statistics(&values);
        assert!(!stored.is_empty() && stored.len() <= 24, "{} bytes", stored.len());
        let statistics = read_statistics(ByteReader::new(&stored)).expect("sound");
        let sum = 3.0 * 4950.0 - 99.0;
        assert_eq!(
            statistics,
            Statistics { first: 0.0, last: 98.0, min: 0.0, max: 99.0, sum, count: 299, resets: 2 }
        );
        values[7] = f64::NAN;
        assert!(put_statistics(&values).is_empty());
        assert!(put_statistics(&values[..100]).is_empty(), "short frames have none");
    }

    #[test]
    fn records_come_back() {
        let frame = |column, start, count, is_whole_column| Frame {
            times: TimesRun { column, start, count },
            is_whole_column,
            is_histograms: column == 7,
            has_starts: column == 3,
            bytes: 100 + column,
            statistics: if column == 3 { vec![1, 2, 3] } else { Vec::new() },
        };
        let frames = [frame(9, 0, 1024, true), frame(3, 5, 7, false), frame(7, 0, 2, false)];
        let mut out = ByteWriter::default();
        put_record(&[(1, 300), (2, 4)], 5_000, &frames, &mut out);
        let mut pairs = Vec::new();
        read_pairs(&mut ByteReader::new(out.as_slice()), &mut pairs).expect("sound");
        assert_eq!(pairs, [(1, 300), (2, 4)]);
        let read = read_frames(&mut ByteReader::new(out.as_slice())).expect("sound");
        let places: Vec<_> = read.iter().map(|f| (f.column, f.part, f.offset, f.bytes)).collect();
        assert_eq!(
            places,
            [(9, None, 5_000, 109), (3, Some((5, 7)), 5_109, 103), (7, Some((0, 2)), 5_212, 107)]
        );
        assert!(read[1].has_starts && read[1].statistics.is_some() && read[2].is_histograms);
    }
}
