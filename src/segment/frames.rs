//! Decodes frames.

use std::ops::Range;
use std::sync::Arc;

use crate::chunk::{FRAME_LEN_MAX, decode_histograms, decode_values};
use crate::encoding::{DecodeError, decode_integers};
use crate::model::Timestamp;
use crate::storage::Columns;

use super::SegmentError;
use super::family::{CHAIN_MAX, add_all};
use super::reader::{SegmentReader, group_index};
use super::rows::StoredFrame;

impl SegmentReader {
    /// Decodes one frame and appends those of its samples that lie in `wanted`. `at`: its row, and its number there;
    /// `times`: all of the frame's.
    pub(super) fn read_frame(
        &self,
        at: (u32, usize),
        frame: &StoredFrame,
        times: &[Timestamp],
        wanted: Range<usize>,
        out: &mut Columns,
    ) -> Result<(), SegmentError> {
        if frame.is_histograms || frame.has_starts {
            return self.read_mixed(frame, times, wanted, out);
        }
        if wanted.len() == times.len() {
            return out.extend_floats_with(times, |values| self.read_floats(at, frame, values, 0));
        }
        let mut scratch = [0.0; FRAME_LEN_MAX];
        let values = &mut scratch[..times.len()];
        self.read_floats(at, frame, values, 0)?;
        out.extend_floats(&times[wanted.clone()], &values[wanted]);
        Ok(())
    }

    /// Frames of histograms, and of floats with start timestamps.
    fn read_mixed(
        &self,
        frame: &StoredFrame,
        times: &[Timestamp],
        wanted: Range<usize>,
        out: &mut Columns,
    ) -> Result<(), SegmentError> {
        let corrupt = |error| self.corrupt(error);
        let block = self.block(frame.place.block)?;
        let mut reader = block.part(frame.place.offset, frame.bytes).map_err(corrupt)?;
        let mut starts = vec![0; times.len()];
        if frame.has_starts {
            decode_integers(&mut reader, &mut starts).map_err(corrupt)?;
        }
        if frame.is_histograms {
            let histograms = decode_histograms(&mut reader, times.len()).map_err(corrupt)?;
            reader.finish().map_err(corrupt)?;
            wanted.for_each(|at| out.push_histogram(times[at], starts[at], Arc::clone(&histograms[at])));
            return Ok(());
        }
        let mut scratch = [0.0; FRAME_LEN_MAX];
        let values = &mut scratch[..times.len()];
        decode_values(&mut reader, values).map_err(corrupt)?;
        reader.finish().map_err(corrupt)?;
        wanted.for_each(|at| out.push_float(times[at], starts[at], values[at]));
        Ok(())
    }

    /// The floats of a frame; for a bucket that is a difference those of the bucket before are decoded too.
    /// `depth`: how many frames wait for this one.
    fn read_floats(
        &self,
        at: (u32, usize),
        frame: &StoredFrame,
        values: &mut [f64],
        depth: usize,
    ) -> Result<(), SegmentError> {
        let corrupt = |error| self.corrupt(error);
        let block = self.block(frame.place.block)?;
        let mut reader = block.part(frame.place.offset, frame.bytes).map_err(corrupt)?;
        let start = reader.offset();
        decode_values(&mut reader, values).map_err(corrupt)?;
        reader.finish().map_err(corrupt)?;
        if !frame.is_difference {
            return Ok(());
        }
        let wrong = |rule| self.corrupt(DecodeError { offset: start, rule });
        let (row, number) = at;
        let row = row.checked_sub(1).filter(|_| depth < CHAIN_MAX);
        let row = row.ok_or_else(|| wrong("chain of differences is too long"))?;
        let frames = self.frames(row)?;
        let is_base = |base: &&StoredFrame| {
            let times = |frame: &StoredFrame| (frame.column, frame.start, frame.times_after);
            !base.is_histograms && !base.has_starts && times(base) == times(frame)
        };
        let base = frames.row(group_index(row)).get(number).filter(is_base);
        let base = base.ok_or_else(|| wrong("difference to a frame of other times"))?;
        let mut scratch = [0.0; FRAME_LEN_MAX];
        let base_values = &mut scratch[..values.len()];
        self.read_floats((row, number), base, base_values, depth + 1)?;
        add_all(base_values, values);
        Ok(())
    }
}
