//! Reads one segment.

use std::collections::BTreeSet;
use std::ops::Range;
use std::sync::{Arc, Mutex};

use crate::chunk::{FRAME_LEN_MAX, decode_histograms, decode_timestamps, decode_values};
use crate::encoding::{ByteReader, DecodeError, decode_integers};
use crate::index::{Index, IndexSection, IndexSource};
use crate::model::{Exemplar, Fingerprint, Labels, LabelsBuilder, Matcher, Metadata, TimeSpan, Timestamp};
use crate::storage::{Columns, Piece};

use super::extras::{EXEMPLAR_ENTRY_BYTES, read_exemplars, read_metadata};
use super::footer::{Footer, SECTION_COUNT, Section};
use super::pages::Pages;
use super::record::{StoredFrame, read_frames, read_pairs, read_statistics};
use super::symbols::SYMBOL_END_BYTES;
use super::times::{TIMES_ENTRY_BYTES, TimesEntry};
use super::writer::ROW_BYTES;
use super::{SegmentError, SegmentMeta, Source};

/// Timestamp columns that are kept decoded: series of a scrape are mostly read one after another.
const TIMES_KEPT: usize = 8;

/// One segment, open for reading from any number of threads.
pub struct SegmentReader {
    meta: SegmentMeta,
    pages: Pages,
    sections: [Range<u64>; SECTION_COUNT],
    row_count: u32,
    times: [Mutex<Option<KeptTimes>>; TIMES_KEPT],
}

/// A decoded timestamp column.
type KeptTimes = (u32, Arc<[Timestamp]>);

impl SegmentReader {
    /// Opens by the footer alone: reads some hundred bytes at the file's end.
    pub fn open(source: Arc<dyn Source>) -> Result<Self, SegmentError> {
        let footer = Footer::read(source.as_ref())?;
        let name = source.name().to_owned();
        let pages = Pages::new(source, footer.id, footer.body_bytes, footer.table_sum);
        let section = |section: Section| footer.sections[section as usize].clone();
        let len = |part: Section| section(part).end - section(part).start;
        let tables = [
            (Section::Rows, ROW_BYTES),
            (Section::TimesTable, TIMES_ENTRY_BYTES),
            (Section::SymbolEnds, SYMBOL_END_BYTES),
            (Section::ExemplarTable, EXEMPLAR_ENTRY_BYTES),
        ];
        let uneven = tables.iter().find(|(part, entry_bytes)| !len(*part).is_multiple_of(*entry_bytes));
        let row_count = u32::try_from(footer.meta.series).ok();
        match (row_count, uneven) {
            (Some(row_count), None) if len(Section::Rows) == u64::from(row_count) * ROW_BYTES => Ok(Self {
                meta: footer.meta,
                pages,
                sections: footer.sections,
                row_count,
                times: [const { Mutex::new(None) }; TIMES_KEPT],
            }),
            (_, uneven) => {
                let offset = section(uneven.map_or(Section::Rows, |(part, _)| *part)).start;
                let rule = "table does not have the length that its entries need";
                Err(SegmentError::Corrupt { name, offset, rule })
            }
        }
    }

    /// What the segment says of itself.
    pub fn meta(&self) -> &SegmentMeta {
        &self.meta
    }

    /// How many rows there are; a row is a series.
    pub fn row_count(&self) -> u32 {
        self.row_count
    }

    /// The rows that pass all matchers, rising. No matchers: all rows.
    pub fn select(&self, matchers: &[Matcher]) -> Result<Vec<u32>, SegmentError> {
        Index::new(self, self.row_count).select(matchers)
    }

    /// Identity of a row.
    pub fn fingerprint(&self, row: u32) -> Result<Fingerprint, SegmentError> {
        let bytes = self.row_entry(row)?;
        Ok(Fingerprint(u128::from_le_bytes(bytes[..16].try_into().expect("sixteen bytes"))))
    }

    /// Labels of a row.
    pub fn labels(&self, row: u32) -> Result<Labels, SegmentError> {
        let mut pairs = Vec::new();
        self.label_symbols(row, &mut pairs)?;
        let mut builder = LabelsBuilder::default();
        for (name, value) in pairs {
            builder.push(self.symbol(name)?, self.symbol(value)?);
        }
        let offset = self.record(row)?.offset();
        builder.build().map_err(|_| self.corrupt(DecodeError { offset, rule: "labels of a row are no set" }))
    }

    /// Appends the row's labels as (name, value) by symbol number, in the order of the names' texts.
    pub fn label_symbols(&self, row: u32, out: &mut Vec<(u32, u32)>) -> Result<(), SegmentError> {
        read_pairs(&mut self.record(row)?, out).map_err(|error| self.corrupt(error))
    }

    /// How many symbols there are; they are numbered from 0.
    pub fn symbol_count(&self) -> u32 {
        let count = self.section_len(Section::SymbolEnds) / SYMBOL_END_BYTES;
        u32::try_from(count).unwrap_or(u32::MAX)
    }

    /// The text of a symbol of this segment. A text may have two numbers: one as a name, one as a value.
    pub fn symbol(&self, symbol: u32) -> Result<&str, SegmentError> {
        let wrong = |rule| {
            let offset = self.section(Section::SymbolEnds).start;
            self.corrupt(DecodeError { offset, rule })
        };
        if symbol >= self.symbol_count() {
            return Err(wrong("symbol has no such number"));
        }
        let start = if symbol == 0 { 0 } else { self.symbol_end(symbol - 1)? };
        let end = self.symbol_end(symbol)?;
        if start > end || end > self.section_len(Section::SymbolTexts) {
            return Err(wrong("symbol lies outside its section"));
        }
        let text = self.bytes(Section::SymbolTexts, start..end)?;
        std::str::from_utf8(text).map_err(|_| wrong("symbol is not UTF-8"))
    }

    /// The row's frames that overlap `span`, in time order and disjoint; `sole` is true of each, as far as this
    /// segment knows.
    pub fn pieces(&self, row: u32, span: TimeSpan) -> Result<Vec<Piece>, SegmentError> {
        let mut pieces = Vec::new();
        for frame in self.frames(row)? {
            let (entry, part) = self.frame_times(&frame)?;
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
            let statistics = frame.statistics.map(read_statistics).transpose();
            pieces.push(Piece {
                span: inside,
                count: part.len() as u64,
                statistics: statistics.map_err(|error| self.corrupt(error))?,
                sole: true,
            });
        }
        Ok(pieces)
    }

    /// Appends the row's samples within `span` to the row that was begun last in `out`. After an error that row may
    /// hold a part of them.
    pub fn read(&self, row: u32, span: TimeSpan, out: &mut Columns) -> Result<(), SegmentError> {
        for frame in self.frames(row)? {
            let (entry, part) = self.frame_times(&frame)?;
            if !TimeSpan::new(entry.first, entry.last).overlaps(span) {
                continue;
            }
            let times = self.times(frame.column, &entry)?;
            let times = &times[part];
            let first = times.partition_point(|time| *time < span.start);
            let end = times.partition_point(|time| *time <= span.end);
            if first < end {
                self.read_frame(&frame, times, first..end, out)?;
            }
        }
        Ok(())
    }

    /// How many samples the row has within `span`; an upper bound that reads no samples.
    pub fn sample_count(&self, row: u32, span: TimeSpan) -> Result<u64, SegmentError> {
        let mut count = 0;
        for frame in self.frames(row)? {
            let (entry, part) = self.frame_times(&frame)?;
            if TimeSpan::new(entry.first, entry.last).overlaps(span) {
                count += part.len() as u64;
            }
        }
        Ok(count)
    }

    /// Label names of these rows (`None`: of all), sorted, each once.
    pub fn label_names(&self, rows: Option<&[u32]>) -> Result<Vec<String>, SegmentError> {
        let Some(rows) = rows else {
            return Index::new(self, self.row_count).label_names();
        };
        let mut symbols = BTreeSet::new();
        let mut pairs = Vec::new();
        for row in rows {
            pairs.clear();
            self.label_symbols(*row, &mut pairs)?;
            symbols.extend(pairs.iter().map(|pair| pair.0));
        }
        self.sorted_texts(symbols)
    }

    /// Values that the label `name` has in these rows (`None`: in all), sorted, each once; at most `limit`, 0 for all.
    pub fn label_values(
        &self,
        name: &str,
        rows: Option<&[u32]>,
        limit: usize,
    ) -> Result<Vec<String>, SegmentError> {
        let Some(rows) = rows else {
            return Index::new(self, self.row_count).label_values(name, limit);
        };
        let mut symbols = BTreeSet::new();
        let mut pairs = Vec::new();
        for row in rows {
            pairs.clear();
            self.label_symbols(*row, &mut pairs)?;
            for (label, value) in &pairs {
                if self.symbol(*label)? == name {
                    symbols.insert(*value);
                }
            }
        }
        let mut values = self.sorted_texts(symbols)?;
        values.truncate(if limit == 0 { usize::MAX } else { limit });
        Ok(values)
    }

    /// The rows that have exemplars, rising.
    pub fn exemplar_rows(&self) -> Result<Vec<u32>, SegmentError> {
        Ok(self.exemplar_table()?.into_iter().map(|(row, _)| row).collect())
    }

    /// Exemplars of a row within `span`, in the order in which they were added.
    pub fn exemplars(&self, row: u32, span: TimeSpan) -> Result<Vec<Exemplar>, SegmentError> {
        let table = self.exemplar_table()?;
        let Ok(index) = table.binary_search_by_key(&row, |entry| entry.0) else {
            return Ok(Vec::new());
        };
        let section = Section::Exemplars;
        let end = table.get(index + 1).map_or(self.section_len(section), |next| u64::from(next.1));
        let mut reader = self.part(section, u64::from(table[index].1)..end)?;
        let mut exemplars = read_exemplars(&mut reader).map_err(|error| self.corrupt(error))?;
        exemplars.retain(|exemplar| span.contains(exemplar.timestamp));
        Ok(exemplars)
    }

    /// What metric families say of themselves, in name order.
    pub fn metadata(&self) -> Result<Vec<(String, Metadata)>, SegmentError> {
        let reader = self.part(Section::Metadata, 0..self.section_len(Section::Metadata))?;
        read_metadata(reader).map_err(|error| self.corrupt(error))
    }

    /// Decodes one frame and appends those of its samples that lie in `wanted`. `times`: all of the frame's.
    fn read_frame(
        &self,
        frame: &StoredFrame<'_>,
        times: &[Timestamp],
        wanted: Range<usize>,
        out: &mut Columns,
    ) -> Result<(), SegmentError> {
        let end = frame.offset.checked_add(frame.bytes.into());
        let range = frame.offset..end.unwrap_or(u64::MAX);
        let mut reader = self.part(Section::Values, range)?;
        let corrupt = |error| self.corrupt(error);
        let mut starts = Vec::new();
        if frame.has_starts {
            starts.resize(times.len(), 0);
            decode_integers(&mut reader, &mut starts).map_err(corrupt)?;
        }
        let start_of = |at: usize| starts.get(at).copied().unwrap_or(0);
        if frame.is_histograms {
            let histograms = decode_histograms(&mut reader, times.len()).map_err(corrupt)?;
            reader.finish().map_err(corrupt)?;
            for at in wanted {
                out.push_histogram(times[at], start_of(at), Arc::clone(&histograms[at]));
            }
            return Ok(());
        }
        if !frame.has_starts && wanted.len() == times.len() {
            return out.extend_floats_with(times, |values| {
                decode_values(&mut reader, values).map_err(corrupt)?;
                reader.finish().map_err(corrupt)
            });
        }
        let mut scratch = [0.0; FRAME_LEN_MAX];
        let values = &mut scratch[..times.len()];
        decode_values(&mut reader, values).map_err(corrupt)?;
        reader.finish().map_err(corrupt)?;
        if frame.has_starts {
            wanted.for_each(|at| out.push_float(times[at], start_of(at), values[at]));
        } else {
            out.extend_floats(&times[wanted.clone()], &values[wanted]);
        }
        Ok(())
    }

    fn frames(&self, row: u32) -> Result<Vec<StoredFrame<'_>>, SegmentError> {
        read_frames(&mut self.record(row)?).map_err(|error| self.corrupt(error))
    }

    /// A row's record and whatever follows it in its section.
    fn record(&self, row: u32) -> Result<ByteReader<'_>, SegmentError> {
        let place = |row| {
            let bytes = self.row_entry(row)?;
            Ok::<_, SegmentError>(u64::from(u32::from_le_bytes(bytes[16..].try_into().expect("four bytes"))))
        };
        let start = place(row)?;
        let last = row + 1 == self.row_count;
        let end = if last { self.section_len(Section::Records) } else { place(row + 1)? };
        self.part(Section::Records, start..end)
    }

    fn row_entry(&self, row: u32) -> Result<&[u8; ROW_BYTES as usize], SegmentError> {
        assert!(row < self.row_count, "rows of this segment");
        let start = u64::from(row) * ROW_BYTES;
        let bytes = self.bytes(Section::Rows, start..start + ROW_BYTES)?;
        Ok(bytes.try_into().expect("as many bytes as were asked for"))
    }

    /// The column of a frame, and which of its times are the frame's: at least one.
    fn frame_times(&self, frame: &StoredFrame<'_>) -> Result<(TimesEntry, Range<usize>), SegmentError> {
        let section = Section::TimesTable;
        let start = u64::from(frame.column) * TIMES_ENTRY_BYTES;
        let wrong = |rule| {
            let offset = self.section(section).start + start;
            self.corrupt(DecodeError { offset, rule })
        };
        if start + TIMES_ENTRY_BYTES > self.section_len(section) {
            return Err(wrong("timestamp column has no such number"));
        }
        let bytes = self.bytes(section, start..start + TIMES_ENTRY_BYTES)?;
        let entry = TimesEntry::read(bytes.try_into().expect("as many bytes as were asked for"))
            .ok_or_else(|| wrong("timestamp column has no or too many times"))?;
        let (first, count) = frame.part.unwrap_or((0, entry.count));
        let part = usize::from(first)..usize::from(first) + usize::from(count);
        if count == 0 || part.end > usize::from(entry.count) {
            return Err(wrong("frame lies outside its timestamp column"));
        }
        Ok((entry, part))
    }

    /// The times of a column, strictly rising.
    fn times(&self, column: u32, entry: &TimesEntry) -> Result<Arc<[Timestamp]>, SegmentError> {
        let slot = &self.times[column as usize % TIMES_KEPT];
        let lock = || crate::lock::lock(slot);
        if let Some((_, times)) = lock().as_ref().filter(|kept| kept.0 == column) {
            return Ok(Arc::clone(times));
        }
        let end = entry.offset.saturating_add(entry.bytes.into());
        let mut reader = self.part(Section::Times, entry.offset..end)?;
        let at = reader.clone();
        let mut times = vec![0; usize::from(entry.count)];
        let decoded = decode_timestamps(&mut reader, &mut times).and_then(|()| reader.finish());
        decoded.map_err(|error| self.corrupt(error))?;
        let ends_agree = times[0] == entry.first && times[times.len() - 1] == entry.last;
        if !ends_agree || times.windows(2).any(|pair| pair[0] >= pair[1]) {
            return Err(self.corrupt(at.error("times do not rise from first to last")));
        }
        let times: Arc<[Timestamp]> = times.into();
        *lock() = Some((column, Arc::clone(&times)));
        Ok(times)
    }

    fn symbol_end(&self, symbol: u32) -> Result<u64, SegmentError> {
        let start = u64::from(symbol) * SYMBOL_END_BYTES;
        let bytes = self.bytes(Section::SymbolEnds, start..start + SYMBOL_END_BYTES)?;
        Ok(u32::from_le_bytes(bytes.try_into().expect("four bytes")).into())
    }

    fn sorted_texts(&self, symbols: BTreeSet<u32>) -> Result<Vec<String>, SegmentError> {
        let texts = symbols.into_iter().map(|symbol| self.symbol(symbol).map(str::to_owned));
        let mut texts = texts.collect::<Result<Vec<_>, _>>()?;
        texts.sort_unstable();
        Ok(texts)
    }

    /// Rows that have exemplars, with the places of these.
    fn exemplar_table(&self) -> Result<Vec<(u32, u32)>, SegmentError> {
        let section = Section::ExemplarTable;
        let bytes = self.bytes(section, 0..self.section_len(section))?;
        let number = |bytes: &[u8]| u32::from_le_bytes(bytes.try_into().expect("four bytes"));
        let entries: Vec<(u32, u32)> = bytes
            .chunks_exact(EXEMPLAR_ENTRY_BYTES as usize)
            .map(|entry| (number(&entry[..4]), number(&entry[4..])))
            .collect();
        let rise = entries.windows(2).all(|pair| pair[0].0 < pair[1].0);
        if !rise || entries.last().is_some_and(|last| last.0 >= self.row_count) {
            let offset = self.section(section).start;
            return Err(self.corrupt(DecodeError { offset, rule: "rows with exemplars do not rise" }));
        }
        Ok(entries)
    }

    fn section(&self, section: Section) -> &Range<u64> {
        &self.sections[section as usize]
    }

    fn section_len(&self, section: Section) -> u64 {
        let range = self.section(section);
        range.end - range.start
    }

    /// Checked bytes of a section; `range` counts from its start and lies within it.
    fn bytes(&self, section: Section, range: Range<u64>) -> Result<&[u8], SegmentError> {
        assert!(range.end <= self.section_len(section), "parts lie within their section");
        let base = self.section(section).start;
        self.pages.bytes(base + range.start..base + range.end)
    }

    /// A reader over a part of a section whose place was read from the file.
    fn part(&self, section: Section, range: Range<u64>) -> Result<ByteReader<'_>, SegmentError> {
        let base = self.section(section).start;
        if range.start > range.end || range.end > self.section_len(section) {
            return Err(self.corrupt(DecodeError { offset: base, rule: "part lies outside its section" }));
        }
        let offset = base + range.start;
        Ok(ByteReader::at_base(self.bytes(section, range)?, offset))
    }

    fn corrupt(&self, error: DecodeError) -> SegmentError {
        SegmentError::corrupt(self.pages.name(), error)
    }
}

impl IndexSource for SegmentReader {
    type Error = SegmentError;

    fn bytes(&self, section: IndexSection, range: Range<u64>) -> Result<&[u8], SegmentError> {
        self.bytes(place(section), range)
    }

    fn len(&self, section: IndexSection) -> u64 {
        self.section_len(place(section))
    }

    fn corrupt(&self, section: IndexSection, error: DecodeError) -> SegmentError {
        let offset = self.section(place(section)).start + error.offset;
        self.corrupt(DecodeError { offset, ..error })
    }
}

fn place(section: IndexSection) -> Section {
    match section {
        IndexSection::Names => Section::IndexNames,
        IndexSection::Dictionaries => Section::IndexDictionaries,
        IndexSection::Postings => Section::IndexPostings,
    }
}
