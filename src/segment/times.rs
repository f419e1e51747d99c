//! Timestamp columns while a segment is written: equal lists of times are stored once.

use std::collections::HashMap;

use xxhash_rust::xxh3::xxh3_128;

use crate::chunk::{FRAME_LEN_MAX, encode_timestamps};
use crate::encoding::ByteWriter;
use crate::model::Timestamp;

use super::SegmentError;
use super::blocks::Place;

/// Times that are kept for finding lists within longer ones; bounds the writer's memory, not what can be written.
const POSITIONS_MAX: usize = 1 << 20;

/// A run of one column.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct TimesRun {
    pub(super) column: u32,
    pub(super) start: u16,
    pub(super) count: u16,
}

/// A list of times that is stored: consecutive columns, all but the last of them full.
#[derive(Clone, Copy, Debug)]
struct List {
    column_first: u32,
    len: usize,
}

/// The columns of a segment, as they come to be known.
#[derive(Default)]
pub(super) struct TimesWriter {
    lists: HashMap<u128, List>,
    /// Whole lists, for comparison, and where two neighbouring times stand in them.
    known: Vec<(List, Vec<Timestamp>)>,
    positions: HashMap<(Timestamp, Timestamp), (u32, u32)>,
    scratch: Vec<u8>,
    columns: Vec<Column>,
}

/// A column: its entry, and its bytes until they have a place.
struct Column {
    entry: TimesEntry,
    bytes: Vec<u8>,
}

impl TimesWriter {
    /// Finds or stores a list of strictly rising times; returns the runs that it consists of, in order.
    pub(super) fn place(&mut self, timestamps: &[Timestamp]) -> Result<Vec<TimesRun>, SegmentError> {
        if timestamps.is_empty() {
            return Ok(Vec::new());
        }
        self.scratch.clear();
        timestamps.iter().for_each(|time| self.scratch.extend_from_slice(&time.to_le_bytes()));
        let hash = xxh3_128(&self.scratch);
        if let Some(list) = self.lists.get(&hash) {
            return Ok(runs(*list, 0, timestamps.len()));
        }
        if let Some((list, position)) = self.find_within(timestamps) {
            return Ok(runs(list, position, timestamps.len()));
        }
        let list = self.store(timestamps)?;
        self.lists.insert(hash, list);
        self.remember(list, timestamps);
        Ok(runs(list, 0, timestamps.len()))
    }

    /// How many times a column has.
    pub(super) fn column_len(&self, column: u32) -> u16 {
        self.columns[column as usize].entry.count
    }

    /// The bytes of a column that has no place yet, and now gets one; empty if it has.
    pub(super) fn settle(&mut self, column: u32, place: Place) -> Vec<u8> {
        let column = &mut self.columns[column as usize];
        if !column.bytes.is_empty() {
            column.entry.place = place;
        }
        std::mem::take(&mut column.bytes)
    }

    /// The table, as it is stored. Every column has its place.
    pub(super) fn finish(self) -> Vec<u8> {
        let mut table = ByteWriter::default();
        for column in &self.columns {
            assert!(column.bytes.is_empty(), "a column is written with the first frame that uses it");
            column.entry.put(&mut table);
        }
        table.into_bytes()
    }

    fn find_within(&self, timestamps: &[Timestamp]) -> Option<(List, usize)> {
        let [first, second, ..] = timestamps else {
            return None;
        };
        let (index, position) = self.positions.get(&(*first, *second))?;
        let (list, known) = &self.known[*index as usize];
        let position = *position as usize;
        let within = known.get(position..position + timestamps.len())?;
        (within == timestamps).then_some((*list, position))
    }

    fn store(&mut self, timestamps: &[Timestamp]) -> Result<List, SegmentError> {
        let too_many = |_| SegmentError::TooLarge("timestamp columns");
        let column_first = u32::try_from(self.columns.len()).map_err(too_many)?;
        let list = List { column_first, len: timestamps.len() };
        for times in timestamps.chunks(FRAME_LEN_MAX) {
            let mut bytes = ByteWriter::default();
            encode_timestamps(times, &mut bytes);
            let entry = TimesEntry {
                first: times[0],
                last: times[times.len() - 1],
                place: Place::default(),
                bytes: u32::try_from(bytes.len()).expect("a column takes some kilobytes"),
                count: u16::try_from(times.len()).expect("a column has at most 1024 times"),
            };
            self.columns.push(Column { entry, bytes: bytes.into_bytes() });
        }
        Ok(list)
    }

    fn remember(&mut self, list: List, timestamps: &[Timestamp]) {
        if self.positions.len() + timestamps.len() > POSITIONS_MAX {
            return;
        }
        let index = u32::try_from(self.known.len()).expect("fewer lists than positions");
        for (position, pair) in timestamps.windows(2).enumerate() {
            let position = u32::try_from(position).expect("fewer times than positions");
            self.positions.entry((pair[0], pair[1])).or_insert((index, position));
        }
        self.known.push((list, timestamps.to_vec()));
    }
}

/// Cuts a part of a list along its columns.
fn runs(list: List, position: usize, len: usize) -> Vec<TimesRun> {
    assert!(position + len <= list.len, "a part lies within its list");
    let mut runs = Vec::with_capacity(len / FRAME_LEN_MAX + 2);
    let (mut at, end) = (position, position + len);
    while at < end {
        let start = at % FRAME_LEN_MAX;
        let count = (FRAME_LEN_MAX - start).min(end - at);
        let column = u32::try_from(at / FRAME_LEN_MAX).expect("columns are numbered in 32 bits");
        runs.push(TimesRun {
            column: list.column_first + column,
            start: u16::try_from(start).expect("a column has at most 1024 times"),
            count: u16::try_from(count).expect("a column has at most 1024 times"),
        });
        at += count;
    }
    runs
}

/// One entry of the table of timestamp columns.
#[derive(Clone, Copy, Debug)]
pub(super) struct TimesEntry {
    pub(super) first: Timestamp,
    pub(super) last: Timestamp,
    pub(super) place: Place,
    pub(super) bytes: u32,
    pub(super) count: u16,
}

/// Bytes of an entry.
pub(super) const TIMES_ENTRY_BYTES: u64 = 30;

impl TimesEntry {
    fn put(&self, out: &mut ByteWriter) {
        out.put_i64(self.first);
        out.put_i64(self.last);
        out.put_u32(self.place.block);
        out.put_u32(self.place.offset);
        out.put_u32(self.bytes);
        out.put(&self.count.to_le_bytes());
    }

    /// From its bytes. `None` where its count is not that of a column.
    pub(super) fn read(bytes: &[u8; TIMES_ENTRY_BYTES as usize]) -> Option<Self> {
        let mut reader = crate::encoding::ByteReader::new(bytes);
        let whole = "an entry has all its bytes";
        let entry = Self {
            first: reader.i64().expect(whole),
            last: reader.i64().expect(whole),
            place: Place { block: reader.u32().expect(whole), offset: reader.u32().expect(whole) },
            bytes: reader.u32().expect(whole),
            count: u16::from_le_bytes(reader.array().expect(whole)),
        };
        (entry.count > 0 && usize::from(entry.count) <= FRAME_LEN_MAX).then_some(entry)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_lists_and_parts_share_columns() {
        let times: Vec<i64> = (0..2_000).map(|i| i * 15_000).collect();
        let mut writer = TimesWriter::default();
        let whole = writer.place(&times).expect("few columns");
        let run = |column, start, count| TimesRun { column, start, count };
        assert_eq!(whole, [run(0, 0, 1024), run(1, 0, 976)]);
        assert_eq!(writer.place(&times).expect("few columns"), whole);
        let late = writer.place(&times[1_000..]).expect("few columns");
        assert_eq!(late, [run(0, 1000, 24), run(1, 0, 976)]);
        let early = writer.place(&times[..10]).expect("few columns");
        assert_eq!(early, [run(0, 0, 10)]);
        let other = writer.place(&[15_000, 30_000, 30_001]).expect("few columns");
        assert_eq!(other, [run(2, 0, 3)]);
        assert!(writer.place(&[]).expect("few columns").is_empty());
        let sizes: Vec<usize> = (0..3).map(|column| writer.settle(column, Place::default()).len()).collect();
        assert!(sizes.iter().all(|size| (1..100).contains(size)), "{sizes:?}");
        assert!(writer.settle(0, Place::default()).is_empty(), "a column is written once");
        assert_eq!(writer.finish().len() as u64, 3 * TIMES_ENTRY_BYTES);
    }
}
