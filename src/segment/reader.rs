//! Reads one segment.

use std::ops::Range;
use std::sync::{Arc, OnceLock};

use crate::chunk::decode_timestamps;
use crate::encoding::{ByteReader, DecodeError};
use crate::model::{TimeSpan, Timestamp};
use crate::storage::{Columns, Piece};

use super::blocks::{BLOCK_ENTRY_BYTES, Block, read_block, unpack};
use super::cache::Slots;
use super::extras::EXEMPLAR_ENTRY_BYTES;
use super::footer::{AREA_FIRST, AREA_PACKED_MAX, Area, Footer, SECTION_COUNT, SECTION_NAMES, Section};
use super::pages::{Pages, to_usize};
use super::rows::{GROUP_ENTRY_BYTES, GROUP_ROWS, GroupFrames, StoredFrame, read_frames};
use super::stream::FINGERPRINT_BYTES;
use super::symbols::{SYMBOL_BASE_BYTES, SYMBOL_END_BYTES};
use super::times::{TIMES_ENTRY_BYTES, TimesEntry};
use super::{SegmentError, SegmentMeta, Source};

/// Unpacked blocks that are kept, in a segment that is read.
const BLOCKS_KEPT: usize = 16;
/// Groups whose frames are kept, and most frames of one that is.
const GROUPS_KEPT: usize = 16;
const GROUP_FRAMES_KEPT: usize = 4096;
/// Timestamp columns that are kept decoded: series of a scrape are mostly read one after another.
const TIMES_KEPT: usize = 8;

/// One segment, open for reading from any number of threads.
pub struct SegmentReader {
    meta: SegmentMeta,
    pages: Pages,
    area: Area,
    /// The area unpacked, once it was used, if it is packed.
    unpacked_area: OnceLock<Vec<u8>>,
    sections: [Range<u64>; SECTION_COUNT],
    row_count: u32,
    blocks: Slots<(Vec<u8>, u64), BLOCKS_KEPT>,
    groups: Slots<GroupFrames, GROUPS_KEPT>,
    times: Slots<[Timestamp], TIMES_KEPT>,
}

/// An unpacked block, or its bytes in the file; and where it stands.
pub(super) enum BlockBytes<'a> {
    Plain(ByteReader<'a>),
    Kept(Arc<(Vec<u8>, u64)>),
}

impl BlockBytes<'_> {
    /// `len` bytes from `offset` on.
    pub(super) fn part(&self, offset: u32, len: u32) -> Result<ByteReader<'_>, DecodeError> {
        let mut reader = match self {
            Self::Plain(reader) => reader.clone(),
            Self::Kept(kept) => ByteReader::at_base(&kept.0, kept.1),
        };
        reader.take(offset as usize)?;
        let base = reader.offset();
        Ok(ByteReader::at_base(reader.take(len as usize)?, base))
    }
}

impl SegmentReader {
    /// Opens by the footer alone: reads some hundred bytes at the file's end.
    pub fn open(source: Arc<dyn Source>) -> Result<Self, SegmentError> {
        let footer = Footer::read(source.as_ref())?;
        let name = source.name().to_owned();
        let pages = Pages::new(source, footer.id, footer.body_bytes, footer.table_sum);
        let row_count = u32::try_from(footer.meta.series).ok();
        let len = |section: Section| {
            let range = &footer.sections[section as usize];
            range.end - range.start
        };
        let groups = footer.meta.series.div_ceil(GROUP_ROWS as u64);
        let is_even = [
            (Section::BlockTable, BLOCK_ENTRY_BYTES),
            (Section::TimesTable, TIMES_ENTRY_BYTES),
            (Section::SymbolEnds, SYMBOL_END_BYTES),
            (Section::SymbolBases, SYMBOL_BASE_BYTES),
            (Section::ExemplarTable, EXEMPLAR_ENTRY_BYTES),
        ]
        .iter()
        .all(|(section, entry_bytes)| len(*section).is_multiple_of(*entry_bytes));
        let has_fingerprints = [Some(0), footer.meta.series.checked_mul(FINGERPRINT_BYTES)]
            .contains(&Some(len(Section::Fingerprints)));
        match row_count {
            Some(row_count)
                if is_even
                    && has_fingerprints
                    && Some(len(Section::GroupTable)) == groups.checked_mul(GROUP_ENTRY_BYTES) =>
            {
                Ok(Self {
                    meta: footer.meta,
                    pages,
                    area: footer.area,
                    unpacked_area: OnceLock::new(),
                    sections: footer.sections,
                    row_count,
                    blocks: Slots::default(),
                    groups: Slots::default(),
                    times: Slots::default(),
                })
            }
            _ => {
                let rule = "table does not have the length that its entries need";
                Err(SegmentError::Corrupt { name, offset: footer.area.stored.start, rule })
            }
        }
    }

    /// What the segment says of itself.
    pub fn meta(&self) -> &SegmentMeta {
        &self.meta
    }

    /// How many bytes each section takes, in the file's order, tables and index before they are packed.
    pub fn section_bytes(&self) -> impl Iterator<Item = (&'static str, u64)> {
        let lens = self.sections.iter().map(|range| range.end - range.start);
        let area = ("tables and index, as stored", self.area.stored.end - self.area.stored.start);
        SECTION_NAMES.into_iter().zip(lens).chain([area])
    }

    /// How many rows there are; a row is a series.
    pub fn row_count(&self) -> u32 {
        self.row_count
    }

    /// The row's frames that overlap `span`, in time order and disjoint; `sole` is true of each, as far as this
    /// segment knows.
    pub fn pieces(&self, row: u32, span: TimeSpan) -> Result<Vec<Piece>, SegmentError> {
        let mut pieces = Vec::new();
        for frame in self.frames(row)?.row(group_index(row)) {
            let (entry, part) = self.frame_times(frame)?;
            let inside = match part.len() == usize::from(entry.count) {
                true => TimeSpan::new(entry.first, entry.last),
                false => {
                    let times = &self.times(frame.column, &entry)?[part.clone()];
                    TimeSpan::new(times[0], times[times.len() - 1])
                }
            };
            if !inside.overlaps(span) {
                continue;
            }
            pieces.push(Piece { span: inside, count: part.len() as u64, statistics: None, sole: true });
        }
        Ok(pieces)
    }

    /// Appends the row's samples within `span` to the row that was begun last in `out`. After an error that row may
    /// hold a part of them.
    pub fn read(&self, row: u32, span: TimeSpan, out: &mut Columns) -> Result<(), SegmentError> {
        for (number, frame) in self.frames(row)?.row(group_index(row)).iter().enumerate() {
            let (entry, part) = self.frame_times(frame)?;
            if !TimeSpan::new(entry.first, entry.last).overlaps(span) {
                continue;
            }
            let times = self.times(frame.column, &entry)?;
            let times = &times[part];
            let first = times.partition_point(|time| *time < span.start);
            let end = times.partition_point(|time| *time <= span.end);
            if first < end {
                self.read_frame((row, number), frame, times, first..end, out)?;
            }
        }
        Ok(())
    }

    /// How many samples the row has within `span`; an upper bound that reads no samples.
    pub fn sample_count(&self, row: u32, span: TimeSpan) -> Result<u64, SegmentError> {
        let mut count = 0;
        for frame in self.frames(row)?.row(group_index(row)) {
            let (entry, part) = self.frame_times(frame)?;
            if TimeSpan::new(entry.first, entry.last).overlaps(span) {
                count += part.len() as u64;
            }
        }
        Ok(count)
    }

    /// The frames of the row's group.
    pub(super) fn frames(&self, row: u32) -> Result<Arc<GroupFrames>, SegmentError> {
        let number = row / GROUP_ROWS as u32;
        if let Some(kept) = self.groups.get(number) {
            return Ok(kept);
        }
        let (mut reader, rows) = self.group(row)?;
        let frames = Arc::new(read_frames(&mut reader, rows).map_err(|error| self.corrupt(error))?);
        if frames.len() <= GROUP_FRAMES_KEPT {
            self.groups.put(number, &frames);
        }
        Ok(frames)
    }

    /// The group of a row, and how many rows it has.
    pub(super) fn group(&self, row: u32) -> Result<(ByteReader<'_>, usize), SegmentError> {
        assert!(row < self.row_count, "rows of this segment");
        let number = u64::from(row) / GROUP_ROWS as u64;
        let range = self.table_range(Section::GroupTable, number, Section::Records)?;
        let rows = (u64::from(self.row_count) - number * GROUP_ROWS as u64).min(GROUP_ROWS as u64);
        let reader = self.part(Section::Records, range.unwrap_or(0..0))?;
        Ok((reader, usize::try_from(rows).expect("at most 128")))
    }

    /// From one entry of a table of offsets into `section` to the next; `None` where there is no such entry.
    fn table_range(
        &self,
        table: Section,
        number: u64,
        section: Section,
    ) -> Result<Option<Range<u64>>, SegmentError> {
        let offset = |number| {
            let entry = self.entry(table, number, BLOCK_ENTRY_BYTES)?;
            Ok::<_, SegmentError>(
                entry.map(|bytes| u64::from_le_bytes(bytes.try_into().expect("eight bytes"))),
            )
        };
        let Some(start) = offset(number)? else { return Ok(None) };
        Ok(Some(start..offset(number + 1)?.unwrap_or(self.section_len(section))))
    }

    /// A block of values, unpacked.
    pub(super) fn block(&self, number: u32) -> Result<BlockBytes<'_>, SegmentError> {
        if let Some(kept) = self.blocks.get(number) {
            return Ok(BlockBytes::Kept(kept));
        }
        let range = self.table_range(Section::BlockTable, number.into(), Section::Values)?;
        let Some(range) = range else {
            let offset = self.place_of(Section::BlockTable);
            return Err(self.corrupt(DecodeError { offset, rule: "block has no such number" }));
        };
        let reader = self.part(Section::Values, range)?;
        Ok(match read_block(reader).map_err(|error| self.corrupt(error))? {
            Block::Plain(reader) => BlockBytes::Plain(reader),
            Block::Unpacked(bytes, offset) => {
                let kept = Arc::new((bytes, offset));
                self.blocks.put(number, &kept);
                BlockBytes::Kept(kept)
            }
        })
    }

    /// The column of a frame, and which of its times are the frame's: at least one.
    fn frame_times(&self, frame: &StoredFrame) -> Result<(TimesEntry, Range<usize>), SegmentError> {
        let wrong = |rule| {
            let offset = self.place_of(Section::TimesTable);
            self.corrupt(DecodeError { offset, rule })
        };
        let bytes = self.entry(Section::TimesTable, frame.column.into(), TIMES_ENTRY_BYTES)?;
        let bytes = bytes.ok_or_else(|| wrong("timestamp column has no such number"))?;
        let entry = TimesEntry::read(bytes.try_into().expect("as many bytes as were asked for"))
            .ok_or_else(|| wrong("timestamp column has no or too many times"))?;
        let (start, count) = (usize::from(frame.start), usize::from(entry.count));
        match count.checked_sub(usize::from(frame.times_after)) {
            Some(end) if start < end => Ok((entry, start..end)),
            _ => Err(wrong("frame lies outside its timestamp column")),
        }
    }

    /// The times of a column, strictly rising.
    fn times(&self, column: u32, entry: &TimesEntry) -> Result<Arc<[Timestamp]>, SegmentError> {
        if let Some(times) = self.times.get(column) {
            return Ok(times);
        }
        let block = self.block(entry.place.block)?;
        let reader = block.part(entry.place.offset, entry.bytes);
        let mut reader = reader.map_err(|error| self.corrupt(error))?;
        let at = reader.clone();
        let mut times = vec![0; usize::from(entry.count)];
        let decoded = decode_timestamps(&mut reader, &mut times).and_then(|()| reader.finish());
        decoded.map_err(|error| self.corrupt(error))?;
        let ends_agree = times[0] == entry.first && times[times.len() - 1] == entry.last;
        if !ends_agree || times.windows(2).any(|pair| pair[0] >= pair[1]) {
            return Err(self.corrupt(at.error("times do not rise from first to last")));
        }
        let times: Arc<[Timestamp]> = times.into();
        self.times.put(column, &times);
        Ok(times)
    }

    pub(super) fn section(&self, section: Section) -> &Range<u64> {
        &self.sections[section as usize]
    }

    pub(super) fn section_len(&self, section: Section) -> u64 {
        let range = self.section(section);
        range.end - range.start
    }

    /// Checked bytes of a section; `range` counts from its start and lies within it.
    pub(super) fn bytes(&self, section: Section, range: Range<u64>) -> Result<&[u8], SegmentError> {
        assert!(range.end <= self.section_len(section), "parts lie within their section");
        let base = self.section(section).start;
        let range = base + range.start..base + range.end;
        if (section as usize) < AREA_FIRST {
            return self.pages.bytes(range);
        }
        if self.area.unpacked_bytes > 0 {
            return Ok(&self.unpacked_area()?[to_usize(range)]);
        }
        let start = self.area.stored.start;
        self.pages.bytes(start + range.start..start + range.end)
    }

    /// A reader over a part of a section whose place was read from the file.
    pub(super) fn part(&self, section: Section, range: Range<u64>) -> Result<ByteReader<'_>, SegmentError> {
        let base = self.place_of(section);
        if range.start > range.end || range.end > self.section_len(section) {
            return Err(self.corrupt(DecodeError { offset: base, rule: "part lies outside its section" }));
        }
        let offset = base + range.start;
        Ok(ByteReader::at_base(self.bytes(section, range)?, offset))
    }

    /// Entry `number` of a table of `entry_bytes` each.
    pub(super) fn entry(
        &self,
        section: Section,
        number: u64,
        entry_bytes: u64,
    ) -> Result<Option<&[u8]>, SegmentError> {
        let start = number.saturating_mul(entry_bytes);
        if start >= self.section_len(section) {
            return Ok(None);
        }
        self.bytes(section, start..start + entry_bytes).map(Some)
    }

    /// Where a section stands in the file; of a packed area, where the area does.
    pub(super) fn place_of(&self, section: Section) -> u64 {
        let start = self.section(section).start;
        match (section as usize) < AREA_FIRST {
            true => start,
            false if self.area.unpacked_bytes > 0 => self.area.stored.start,
            false => self.area.stored.start + start,
        }
    }

    fn unpacked_area(&self) -> Result<&[u8], SegmentError> {
        if let Some(area) = self.unpacked_area.get() {
            return Ok(area);
        }
        let stored = self.pages.bytes(self.area.stored.clone())?;
        let unpacked = unpack(stored, self.area.unpacked_bytes, AREA_PACKED_MAX).ok_or_else(|| {
            let (offset, rule) = (self.area.stored.start, "tables and index cannot be unpacked");
            self.corrupt(DecodeError { offset, rule })
        })?;
        Ok(self.unpacked_area.get_or_init(|| unpacked))
    }

    pub(super) fn corrupt(&self, error: DecodeError) -> SegmentError {
        SegmentError::corrupt(self.pages.name(), error)
    }
}

/// Place of a row in its group.
pub(super) fn group_index(row: u32) -> usize {
    row as usize % GROUP_ROWS
}
