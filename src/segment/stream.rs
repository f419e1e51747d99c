//! Writes a segment as its series come, in the order of the file.

use std::io::Write;

use xxhash_rust::xxh3::xxh3_128;

use crate::encoding::ByteWriter;
use crate::index::{INDEX_ROWS_MAX, IndexWriter};
use crate::model::{Exemplar, Fingerprint, Labels, Metadata, TimeSpan};
use crate::storage::ColumnsRow;

use super::blocks::BlockWriter;
use super::encode::encode_row;
use super::family::Family;
use super::footer::{AREA_FIRST, AREA_PACKED_MAX, Area, Footer, MAGIC_HEAD, SECTION_COUNT, Section};
use super::pages::{PageWriter, table_checksum};
use super::rows::{Frame, GroupWriter};
use super::symbols::SymbolWriter;
use super::times::TimesWriter;
use super::{RowKey, SegmentError, SegmentHeader, SegmentMeta, extras};

/// Bytes of a fingerprint.
pub(super) const FINGERPRINT_BYTES: u64 = 16;
/// Fingerprints are stored where the values take so many times their bytes; else a reader makes them from the labels.
const FINGERPRINT_SHARE: u64 = 256;
/// Level of the compression of tables and index: small, and written once.
const AREA_LEVEL: i32 = 9;

/// Writes one segment front to back while its series come, each once and in the order of [`RowKey`].
///
/// Frames go out as they are encoded: memory holds the labels, the index, some tens of bytes for each frame, and the
/// samples of one row.
pub struct SegmentStream<W: Write> {
    sink: Sink<W>,
    times: TimesWriter,
    scratch: ByteWriter,
    key_last: Option<RowKey>,
}

impl<W: Write> SegmentStream<W> {
    /// Begins a file.
    pub fn new(header: SegmentHeader, out: W) -> Result<Self, SegmentError> {
        let sink = Sink::new(header, out)?;
        Ok(Self { sink, times: TimesWriter::default(), scratch: ByteWriter::default(), key_last: None })
    }

    /// Bytes written so far; a lower bound of the file's length.
    pub fn bytes(&self) -> u64 {
        self.sink.pages.offset()
    }

    /// Adds a series with all its samples and exemplars. An error leaves the file unfinished for good.
    ///
    /// # Panics
    /// Where the times of the row do not strictly rise.
    pub fn add_series(
        &mut self,
        labels: &Labels,
        row: ColumnsRow<'_>,
        exemplars: &[Exemplar],
    ) -> Result<(), SegmentError> {
        let key = RowKey::of(labels);
        match self.key_last.as_ref().map(|last| last.cmp(&key)) {
            None | Some(std::cmp::Ordering::Less) => {}
            Some(std::cmp::Ordering::Equal) => return Err(SegmentError::DuplicateSeries(labels.to_string())),
            Some(std::cmp::Ordering::Greater) => return Err(SegmentError::OutOfOrder(labels.to_string())),
        }
        self.key_last = Some(key);
        self.scratch.clear();
        let frames = encode_row(&row, &mut self.times, &mut self.scratch)?;
        self.sink.add_samples(&row);
        let encoded = EncodedRow { frames: &frames, bytes: self.scratch.as_slice(), exemplars };
        self.sink.put_row(labels, &encoded, &mut self.times)
    }

    /// Adds what a metric family says of itself; a family may have several.
    pub fn add_metadata(&mut self, metric: &str, metadata: &Metadata) {
        self.sink.metadata.push((metric.to_owned(), metadata.clone()));
    }

    /// Writes what follows the values; gives the output back. Syncing is the caller's.
    pub fn finish(self) -> Result<(SegmentMeta, W), SegmentError> {
        self.sink.finish(self.times)
    }
}

/// What a row adds to the file.
pub(super) struct EncodedRow<'a> {
    pub(super) frames: &'a [Frame],
    /// The frames, back to back.
    pub(super) bytes: &'a [u8],
    pub(super) exemplars: &'a [Exemplar],
}

/// The file that is being written.
pub(super) struct Sink<W: Write> {
    pages: PageWriter<W>,
    blocks: BlockWriter,
    id: u128,
    meta: SegmentMeta,
    family: Family,
    group: GroupWriter,
    records: ByteWriter,
    groups: ByteWriter,
    fingerprints: Vec<Fingerprint>,
    symbols: SymbolWriter,
    index: IndexWriter,
    exemplars: ByteWriter,
    exemplar_table: ByteWriter,
    pub(super) metadata: Vec<(String, Metadata)>,
}

impl<W: Write> Sink<W> {
    pub(super) fn new(header: SegmentHeader, out: W) -> Result<Self, SegmentError> {
        let id = identity(&header);
        let mut pages = PageWriter::new(out, id);
        pages.put(&MAGIC_HEAD)?;
        let blocks = BlockWriter::new(pages.offset())?;
        let meta = SegmentMeta {
            tenant: header.tenant,
            span: TimeSpan::new(0, -1),
            window: header.window,
            resolution_ms: header.resolution_ms,
            retention_class: header.retention_class,
            seq_min: header.seq_min,
            seq_max: header.seq_max,
            series: 0,
            samples: 0,
        };
        Ok(Self {
            pages,
            blocks,
            id,
            meta,
            family: Family::default(),
            group: GroupWriter::default(),
            records: ByteWriter::default(),
            groups: ByteWriter::default(),
            fingerprints: Vec::new(),
            symbols: SymbolWriter::default(),
            index: IndexWriter::default(),
            exemplars: ByteWriter::default(),
            exemplar_table: ByteWriter::default(),
            metadata: Vec::new(),
        })
    }

    /// Counts samples that were or will be put.
    pub(super) fn add_samples(&mut self, row: &ColumnsRow<'_>) {
        if let (Some(first), Some(last)) = (row.timestamps.first(), row.timestamps.last()) {
            self.add_span(TimeSpan::new(*first, *last), row.timestamps.len() as u64);
        }
    }

    pub(super) fn add_span(&mut self, span: TimeSpan, samples: u64) {
        self.meta.span = self.meta.span.union(span);
        self.meta.samples += samples;
    }

    /// Writes the next row.
    pub(super) fn put_row(
        &mut self,
        labels: &Labels,
        row: &EncodedRow<'_>,
        times: &mut TimesWriter,
    ) -> Result<(), SegmentError> {
        let number = u32::try_from(self.fingerprints.len()).ok().filter(|number| *number < INDEX_ROWS_MAX);
        let number = number.ok_or(SegmentError::TooLarge("series"))?;
        let pairs = labels.iter().map(|label| self.symbols.pair(label.name, label.value));
        let pairs = pairs.collect::<Result<Vec<_>, _>>()?;
        self.index.add_row(labels);
        self.fingerprints.push(labels.fingerprint());
        self.group.begin_row(pairs, self.blocks.place());
        let differences = self.family.differences(labels, row.frames, row.bytes);
        let (frames, mut rest) = match &differences {
            Some((frames, bytes)) => (frames.as_slice(), bytes.as_slice()),
            None => (row.frames, row.bytes),
        };
        for frame in frames {
            let column = times.settle(frame.times.column, self.blocks.place());
            self.blocks.put(&column);
            let bytes_before = u32::try_from(column.len()).expect("a column takes some kilobytes");
            self.group.add_frame(frame, bytes_before)?;
            let (bytes, after) = rest.split_at(frame.bytes as usize);
            self.blocks.put(bytes);
            self.blocks.end_item(&mut self.pages)?;
            rest = after;
        }
        if self.group.is_full() {
            self.end_group();
        }
        self.put_exemplars(number, row.exemplars)
    }

    fn end_group(&mut self) {
        self.groups.put_u64(self.records.len() as u64);
        self.group.end_group(|a, b| self.symbols.by_text(*a, *b), &mut self.records);
    }

    fn put_exemplars(&mut self, row: u32, exemplars: &[Exemplar]) -> Result<(), SegmentError> {
        if exemplars.is_empty() {
            return Ok(());
        }
        let too_large = |_| SegmentError::TooLarge("bytes of exemplars");
        self.exemplar_table.put_u32(row);
        self.exemplar_table.put_u32(u32::try_from(self.exemplars.len()).map_err(too_large)?);
        extras::put_exemplars(exemplars, &mut self.exemplars);
        Ok(())
    }

    /// Writes what follows the values.
    pub(super) fn finish(mut self, times: TimesWriter) -> Result<(SegmentMeta, W), SegmentError> {
        self.check_fingerprints()?;
        if !self.group.is_empty() {
            self.end_group();
        }
        self.meta.series = self.fingerprints.len() as u64;
        self.metadata.sort_by(|a, b| a.0.cmp(&b.0));
        self.metadata.dedup();
        let start = MAGIC_HEAD.len() as u64;
        let block_table = self.blocks.finish(&mut self.pages)?;
        let values = start..self.pages.offset();
        let fingerprints = fingerprint_section(&self.fingerprints, values.end - values.start);
        let metadata = extras::metadata_section(&self.metadata)?;
        let mut sections = [const { 0..0 }; SECTION_COUNT];
        sections[Section::Values as usize] = values;
        let plain = [self.records.as_slice(), &fingerprints, self.exemplars.as_slice(), &metadata];
        for (section, bytes) in sections[1..].iter_mut().zip(plain) {
            let start = self.pages.offset();
            self.pages.put(bytes)?;
            *section = start..self.pages.offset();
        }
        let symbols = self.symbols.finish()?;
        let index = self.index.finish();
        let tables: [&[u8]; SECTION_COUNT - AREA_FIRST] = [
            &block_table,
            self.groups.as_slice(),
            &times.finish(),
            &symbols.texts,
            &symbols.ends,
            &symbols.bases,
            &index.names,
            &index.dictionaries,
            &index.postings,
            self.exemplar_table.as_slice(),
        ];
        let area = put_area(&tables, &mut sections[AREA_FIRST..], &mut self.pages)?;
        let (body_bytes, table, mut out) = self.pages.finish()?;
        out.write_all(&table)?;
        let table_sum = table_checksum(self.id, &table);
        let footer = Footer { id: self.id, meta: self.meta, body_bytes, table_sum, area, sections };
        out.write_all(&footer.to_bytes())?;
        Ok((footer.meta, out))
    }

    /// Two series of one fingerprint would be taken for one.
    fn check_fingerprints(&self) -> Result<(), SegmentError> {
        let mut sorted = self.fingerprints.clone();
        sorted.sort_unstable();
        match sorted.windows(2).find(|pair| pair[0] == pair[1]) {
            Some(pair) => Err(SegmentError::DuplicateSeries(format!("with fingerprint {:032x}", pair[0].0))),
            None => Ok(()),
        }
    }
}

fn fingerprint_section(fingerprints: &[Fingerprint], values_bytes: u64) -> Vec<u8> {
    let bytes = fingerprints.len() as u64 * FINGERPRINT_BYTES;
    if bytes.saturating_mul(FINGERPRINT_SHARE) > values_bytes {
        return Vec::new();
    }
    fingerprints.iter().flat_map(|fingerprint| fingerprint.0.to_le_bytes()).collect()
}

/// Writes the area of tables and index, packed where it is small.
fn put_area<W: Write>(
    tables: &[&[u8]],
    sections: &mut [std::ops::Range<u64>],
    pages: &mut PageWriter<W>,
) -> Result<Area, SegmentError> {
    let mut len = 0;
    for (section, bytes) in sections.iter_mut().zip(tables) {
        *section = len..len + bytes.len() as u64;
        len = section.end;
    }
    let start = pages.offset();
    if len <= AREA_PACKED_MAX {
        let packed = zstd::bulk::compress(&tables.concat(), AREA_LEVEL)?;
        if (packed.len() as u64) < len {
            pages.put(&packed)?;
            return Ok(Area { stored: start..pages.offset(), unpacked_bytes: len });
        }
    }
    tables.iter().try_for_each(|bytes| pages.put(bytes))?;
    Ok(Area { stored: start..pages.offset(), unpacked_bytes: 0 })
}

/// What the checksums of a segment's pages cover besides their bytes: a hash of what the writer was told.
fn identity(header: &SegmentHeader) -> u128 {
    let mut bytes = ByteWriter::default();
    bytes.put_sized(header.tenant.as_str().as_bytes());
    for number in [header.window.start, header.window.end, header.resolution_ms] {
        bytes.put_i64(number);
    }
    bytes.put_u8(header.retention_class);
    bytes.put_u64(header.seq_min);
    bytes.put_u64(header.seq_max);
    xxh3_128(bytes.as_slice())
}
