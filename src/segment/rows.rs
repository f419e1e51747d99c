//! What is stored of a series beside its samples: labels by number, and its frames. Rows come in groups; a group holds
//! a column for each label name and for each field of a frame.
//!
//! Layout: `storage-format.md`, "Groups of rows".

use crate::chunk::FRAME_LEN_MAX;
use crate::encoding::{
    BLOCK_LEN, ByteReader, ByteWriter, DecodeError, INTEGERS_MAX, decode_block, decode_integers,
    encode_block, encode_integers, number_in_block,
};

use super::SegmentError;
use super::blocks::Place;
use super::times::TimesRun;

/// Rows of a group; the last one of a segment may have fewer.
pub(super) const GROUP_ROWS: usize = BLOCK_LEN;
/// Bytes of a group's entry in the table of groups.
pub(super) const GROUP_ENTRY_BYTES: u64 = 8;
/// Most frames of a group; bounds what a reader allocates.
const GROUP_FRAMES_MAX: usize = 1 << 22;
/// The frame holds histograms instead of floats.
const FLAG_HISTOGRAMS: i64 = 1;
/// A column of start timestamps stands before the values.
const FLAG_STARTS: i64 = 2;
/// The values are differences to those of the row before.
const FLAG_DIFFERENCE: i64 = 4;
/// Fields of a frame, each a column.
const FRAME_FIELDS: usize = 6;

/// One frame of a series.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Frame {
    /// Its times; the count is the frame's.
    pub(super) times: TimesRun,
    /// How many times of the column follow the frame's.
    pub(super) times_after: u16,
    pub(super) is_histograms: bool,
    pub(super) has_starts: bool,
    /// The values are differences to those of the row before.
    pub(super) is_difference: bool,
    /// Bytes of starts and values.
    pub(super) bytes: u32,
}

/// Rows of the group that is being written.
#[derive(Default)]
pub(super) struct GroupWriter {
    first: Place,
    /// Name and value of each label, by row.
    pairs: Vec<Vec<(u32, u32)>>,
    frame_counts: Vec<i64>,
    /// [`FRAME_FIELDS`] columns.
    fields: [Vec<i64>; FRAME_FIELDS],
}

impl GroupWriter {
    pub(super) fn is_empty(&self) -> bool {
        self.pairs.is_empty()
    }

    pub(super) fn is_full(&self) -> bool {
        self.pairs.len() == GROUP_ROWS
    }

    /// Begins a row. `place`: where its first item will stand.
    pub(super) fn begin_row(&mut self, pairs: Vec<(u32, u32)>, place: Place) {
        assert!(!self.is_full(), "a group has at most 128 rows");
        if self.is_empty() {
            self.first = place;
        }
        self.pairs.push(pairs);
        self.frame_counts.push(0);
    }

    /// Adds a frame to the row begun last. `bytes_before`: of its item, before the frame itself.
    pub(super) fn add_frame(&mut self, frame: &Frame, bytes_before: u32) -> Result<(), SegmentError> {
        *self.frame_counts.last_mut().expect("a row was begun") += 1;
        let flag = |is_set: bool, flag: i64| if is_set { flag } else { 0 };
        let flags = flag(frame.is_histograms, FLAG_HISTOGRAMS)
            | flag(frame.has_starts, FLAG_STARTS)
            | flag(frame.is_difference, FLAG_DIFFERENCE);
        let values = [
            flags,
            frame.times.column.into(),
            frame.times.start.into(),
            frame.times_after.into(),
            bytes_before.into(),
            frame.bytes.into(),
        ];
        self.fields.iter_mut().zip(values).for_each(|(field, value)| field.push(value));
        if self.fields[0].len() > GROUP_FRAMES_MAX {
            return Err(SegmentError::TooLarge("frames in neighbouring series"));
        }
        Ok(())
    }

    /// Appends the group to `out` and starts the next one. `names_in_order`: numbers of the names by their texts.
    pub(super) fn end_group(
        &mut self,
        name_order: impl Fn(&u32, &u32) -> std::cmp::Ordering,
        out: &mut ByteWriter,
    ) {
        out.put_varint(self.first.block.into());
        out.put_varint(self.first.offset.into());
        let mut names: Vec<u32> = self.pairs.iter().flatten().map(|pair| pair.0).collect();
        names.sort_unstable();
        names.dedup();
        names.sort_by(name_order);
        out.put_varint(names.len() as u64);
        let mut column = [0; GROUP_ROWS];
        for name in names {
            for (value, pairs) in column.iter_mut().zip(&self.pairs) {
                let found = pairs.iter().find(|pair| pair.0 == name);
                // 0: the row does not have the label.
                *value = found.map_or(0, |pair| i64::from(pair.1) + 1);
            }
            out.put_varint(name.into());
            encode_block(&column[..self.pairs.len()], out);
        }
        encode_block(&self.frame_counts, out);
        for start in (0..self.fields[0].len()).step_by(INTEGERS_MAX) {
            for field in &self.fields {
                encode_integers(&field[start..field.len().min(start + INTEGERS_MAX)], out);
            }
        }
        *self = Self::default();
    }
}

/// Reads the labels of the row at `index` of a group of `rows`: name, and value among those of the name.
pub(super) fn read_pairs(
    reader: &mut ByteReader<'_>,
    rows: usize,
    index: usize,
    mut each: impl FnMut(u32, u32),
) -> Result<(), DecodeError> {
    reader.varint()?;
    reader.varint()?;
    for _ in 0..reader.count(3)? {
        let start = reader.clone();
        let name = reader.varint_u32()?;
        let value = number_in_block(reader, rows, index)?;
        if value != 0 {
            let wrong = |_| start.error("label value has no such number");
            each(name, u32::try_from(value.wrapping_sub(1)).map_err(wrong)?);
        }
    }
    Ok(())
}

/// A frame as it is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct StoredFrame {
    pub(super) place: Place,
    pub(super) bytes: u32,
    pub(super) column: u32,
    pub(super) start: u16,
    pub(super) times_after: u16,
    pub(super) is_histograms: bool,
    pub(super) has_starts: bool,
    pub(super) is_difference: bool,
}

/// The frames of all rows of a group.
#[derive(Debug)]
pub(super) struct GroupFrames {
    frames: Vec<StoredFrame>,
    ends: Vec<usize>,
}

impl GroupFrames {
    /// The frames of a row, by its place in the group.
    pub(super) fn row(&self, index: usize) -> &[StoredFrame] {
        let start = if index == 0 { 0 } else { self.ends[index - 1] };
        &self.frames[start..self.ends[index]]
    }

    /// How many frames there are.
    pub(super) fn len(&self) -> usize {
        self.frames.len()
    }
}

/// Reads the frames of a group of `rows`.
pub(super) fn read_frames(reader: &mut ByteReader<'_>, rows: usize) -> Result<GroupFrames, DecodeError> {
    let block = reader.varint_u32()?;
    let mut place = Place { block, offset: reader.varint_u32()? };
    for _ in 0..reader.count(3)? {
        reader.varint()?;
        number_in_block(reader, rows, 0)?;
    }
    let mut counts = [0; GROUP_ROWS];
    let counts = &mut counts[..rows];
    let start = reader.clone();
    decode_block(reader, counts)?;
    let mut ends = Vec::with_capacity(rows);
    let mut total = 0_usize;
    for count in counts {
        let count = usize::try_from(*count).ok().filter(|count| *count <= GROUP_FRAMES_MAX - total);
        total += count.ok_or_else(|| start.error("group has too many frames"))?;
        ends.push(total);
    }
    let mut frames = Vec::new();
    let mut fields = [[0_i64; INTEGERS_MAX]; FRAME_FIELDS];
    while frames.len() < total {
        let count = (total - frames.len()).min(INTEGERS_MAX);
        let start = reader.clone();
        for field in &mut fields {
            decode_integers(reader, &mut field[..count])?;
        }
        for at in 0..count {
            let frame = stored_frame(fields.each_ref().map(|field| field[at]), &mut place);
            frames.push(frame.ok_or_else(|| start.error("field of a frame is out of bounds"))?);
        }
    }
    reader.finish()?;
    Ok(GroupFrames { frames, ends })
}

/// A frame from its fields; moves `place` behind it.
fn stored_frame(fields: [i64; FRAME_FIELDS], place: &mut Place) -> Option<StoredFrame> {
    let [flags, column, start, times_after, bytes_before, bytes] = fields;
    if !(0..=FLAG_DIFFERENCE).contains(&flags) {
        return None;
    }
    let bytes_before = u32::try_from(bytes_before).ok()?;
    let bytes = u32::try_from(bytes).ok()?;
    let within_column = |number| u16::try_from(number).ok().filter(|n| usize::from(*n) <= FRAME_LEN_MAX);
    let frame = StoredFrame {
        place: Place { offset: place.offset.checked_add(bytes_before)?, ..*place },
        bytes,
        column: u32::try_from(column).ok()?,
        start: within_column(start)?,
        times_after: within_column(times_after)?,
        is_histograms: flags & FLAG_HISTOGRAMS != 0,
        has_starts: flags & FLAG_STARTS != 0,
        is_difference: flags == FLAG_DIFFERENCE,
    };
    *place = place.after(bytes_before.checked_add(bytes)?)?;
    Some(frame)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(column: u32, start: u16, bytes: u32) -> Frame {
        let times = TimesRun { column, start, count: 7 };
        Frame {
            times,
            times_after: 3,
            is_histograms: column == 7,
            has_starts: column == 3,
            is_difference: column == 1,
            bytes,
        }
    }

    #[test]
    fn rows_of_a_group_come_back() {
        let mut writer = GroupWriter::default();
        let rows = [vec![(1, 300), (0, 4)], vec![(2, 0)], Vec::new()];
        let frames = [frame(9, 0, 4_000), frame(3, 5, 90), frame(7, 0, 9_000), frame(1, 0, 1)];
        writer.begin_row(rows[0].clone(), Place { block: 6, offset: 10 });
        writer.add_frame(&frames[0], 0).expect("few frames");
        writer.add_frame(&frames[1], 40).expect("few frames");
        writer.begin_row(rows[1].clone(), Place { block: 7, offset: 0 });
        writer.begin_row(rows[2].clone(), Place { block: 7, offset: 0 });
        writer.add_frame(&frames[2], 1).expect("few frames");
        writer.add_frame(&frames[3], 0).expect("few frames");
        let mut out = ByteWriter::default();
        // By their texts, name 1 stands before name 0.
        writer.end_group(|a, b| [1, 0, 2][*a as usize].cmp(&[1, 0, 2][*b as usize]), &mut out);
        assert!(writer.is_empty());
        for (index, row) in rows.iter().enumerate() {
            let mut pairs = Vec::new();
            read_pairs(&mut ByteReader::new(out.as_slice()), 3, index, |name, value| {
                pairs.push((name, value))
            })
            .expect("sound");
            assert_eq!(&pairs, row);
        }
        let read = read_frames(&mut ByteReader::new(out.as_slice()), 3).expect("sound");
        let places: Vec<_> = (0..3)
            .flat_map(|row| read.row(row).to_vec())
            .map(|f| (f.place.block, f.place.offset, f.bytes, f.column, f.start, f.times_after))
            .collect();
        assert_eq!(
            places,
            [(6, 10, 4_000, 9, 0, 3), (6, 4_050, 90, 3, 5, 3), (7, 1, 9_000, 7, 0, 3), (8, 0, 1, 1, 0, 3)]
        );
        let is_difference: Vec<bool> = read.row(2).iter().map(|frame| frame.is_difference).collect();
        assert_eq!(is_difference, [false, true]);
        assert_eq!((read.row(0).len(), read.row(1).len(), read.len()), (2, 0, 4));
    }

    #[test]
    fn false_counts_are_refused() {
        let mut out = ByteWriter::default();
        out.put(&[0, 0, 0]);
        encode_block(&[1 << 40], &mut out);
        let error = read_frames(&mut ByteReader::new(out.as_slice()), 1).expect_err("too many");
        assert_eq!(error.rule, "group has too many frames");
    }
}
