//! From the samples of a row to frames.

use std::ops::Range;

use crate::chunk::{encode_histograms, encode_values};
use crate::encoding::{ByteWriter, encode_integers};
use crate::storage::ColumnsRow;

use super::SegmentError;
use super::rows::Frame;
use super::times::{TimesRun, TimesWriter};

/// Appends the frames of a row to `out`, back to back; returns what they are.
pub(super) fn encode_row(
    row: &ColumnsRow<'_>,
    times: &mut TimesWriter,
    out: &mut ByteWriter,
) -> Result<Vec<Frame>, SegmentError> {
    assert!(row.timestamps.windows(2).all(|pair| pair[0] < pair[1]), "times of a row strictly rise");
    assert_eq!(row.timestamps.len(), row.values.len(), "a value for each time");
    let mut frames = Vec::new();
    let mut at = 0;
    for run in times.place(row.timestamps)? {
        let column_len = times.column_len(run.column);
        let end = at + usize::from(run.count);
        while at < end {
            let kind_end = end_of_kind(row, at, end);
            let start = run.start + run.count - u16::try_from(end - at).expect("within its column");
            let count = u16::try_from(kind_end - at).expect("within its column");
            let part = TimesRun { column: run.column, start, count };
            frames.push(encode_frame(row, at..kind_end, part, column_len, out)?);
            at = kind_end;
        }
    }
    Ok(frames)
}

/// Encodes samples of one kind whose times are one run of a column.
fn encode_frame(
    row: &ColumnsRow<'_>,
    samples: Range<usize>,
    times: TimesRun,
    column_len: u16,
    out: &mut ByteWriter,
) -> Result<Frame, SegmentError> {
    let before = out.len();
    let starts = row.start_timestamps.get(samples.clone()).unwrap_or(&[]);
    let has_starts = starts.iter().any(|start| *start != 0);
    if has_starts {
        encode_integers(starts, out);
    }
    let is_histograms = row.histograms.get(samples.start).is_some_and(Option::is_some);
    if is_histograms {
        let histograms: Vec<_> = row.histograms[samples].iter().flatten().cloned().collect();
        encode_histograms(&histograms, out);
    } else {
        encode_values(&row.values[samples], out);
    }
    let bytes =
        u32::try_from(out.len() - before).map_err(|_| SegmentError::TooLarge("bytes in one frame"))?;
    let times_after = column_len - times.start - times.count;
    Ok(Frame { times, times_after, is_histograms, has_starts, is_difference: false, bytes })
}

/// Where samples of one kind, floats or histograms, end.
fn end_of_kind(row: &ColumnsRow<'_>, at: usize, end: usize) -> usize {
    let is_histogram = |index: usize| row.histograms.get(index).is_some_and(Option::is_some);
    let kind = is_histogram(at);
    (at..end).find(|&index| is_histogram(index) != kind).unwrap_or(end)
}
