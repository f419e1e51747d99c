//! Collects series and writes them as one file.

use std::collections::HashMap;
use std::io::Write;

use xxhash_rust::xxh3::Xxh3;

use crate::chunk::{encode_histograms, encode_values};
use crate::encoding::{ByteWriter, encode_integers};
use crate::index::{INDEX_ROWS_MAX, IndexWriter};
use crate::model::{BUCKET_LABEL, Exemplar, Fingerprint, Labels, METRIC_NAME, Metadata, TimeSpan};
use crate::storage::ColumnsRow;

use super::footer::{Footer, MAGIC_HEAD, SECTION_COUNT};
use super::pages::{PageWriter, table_checksum};
use super::record::{Frame, put_record, put_statistics};
use super::symbols::{SymbolCounts, Symbols};
use super::times::{TimesRun, TimesWriter};
use super::{SegmentError, SegmentHeader, SegmentMeta, extras};

/// One series while the segment is collected: its frames are encoded already.
struct Series {
    labels: Labels,
    fingerprint: Fingerprint,
    has_row: bool,
    frames: Vec<Frame>,
    /// First byte of the frames in the arena.
    arena_offset: usize,
    exemplars: Vec<Exemplar>,
}

/// Collects the series of one segment, each once and in any order, and writes the file.
///
/// Samples are encoded as they come, so that memory holds encoded frames, not samples.
pub struct SegmentWriter {
    header: SegmentHeader,
    series: Vec<Series>,
    by_fingerprint: HashMap<Fingerprint, usize>,
    arena: ByteWriter,
    times: TimesWriter,
    metadata: Vec<(String, Metadata)>,
    span: TimeSpan,
    samples: u64,
    /// The first thing that went wrong while series were added.
    failure: Option<SegmentError>,
}

impl SegmentWriter {
    /// An empty segment.
    pub fn new(header: SegmentHeader) -> Self {
        Self {
            header,
            series: Vec::new(),
            by_fingerprint: HashMap::new(),
            arena: ByteWriter::default(),
            times: TimesWriter::default(),
            metadata: Vec::new(),
            span: TimeSpan::new(0, -1),
            samples: 0,
            failure: None,
        }
    }

    /// Bytes of the frames collected so far; a lower bound of the file's length.
    pub fn frame_bytes(&self) -> usize {
        self.arena.len()
    }

    /// Adds a series with all its samples. A series that is added twice makes [`Self::finish`] fail.
    pub fn add_series(&mut self, labels: &Labels, row: ColumnsRow<'_>) {
        assert!(row.timestamps.windows(2).all(|pair| pair[0] < pair[1]), "times of a row strictly rise");
        assert_eq!(row.timestamps.len(), row.values.len(), "a value for each time");
        if let Err(failure) = self.try_add(labels, row) {
            self.failure.get_or_insert(failure);
        }
    }

    /// Adds exemplars of a series; it need not have samples here.
    pub fn add_exemplars(&mut self, labels: &Labels, exemplars: &[Exemplar]) {
        match self.series_index(labels) {
            Ok(index) => self.series[index].exemplars.extend_from_slice(exemplars),
            Err(failure) => {
                self.failure.get_or_insert(failure);
            }
        }
    }

    /// Adds what a metric family says of itself; a family may have several.
    pub fn add_metadata(&mut self, metric: &str, metadata: &Metadata) {
        self.metadata.push((metric.to_owned(), metadata.clone()));
    }

    /// Writes the file to `out`, front to back in one pass. Syncing is the caller's.
    pub fn finish(mut self, out: &mut dyn Write) -> Result<SegmentMeta, SegmentError> {
        if let Some(failure) = self.failure {
            return Err(failure);
        }
        self.series.sort_by_cached_key(|series| row_order(&series.labels));
        self.metadata.sort_by(|a, b| a.0.cmp(&b.0));
        self.metadata.dedup();
        let meta = self.meta();
        let (times, times_table) = std::mem::take(&mut self.times).finish();
        let mut counts = SymbolCounts::default();
        self.series.iter().for_each(|series| counts.add(&series.labels));
        let symbols = counts.number()?;
        let (records, rows) = series_table(&self.series, &symbols)?;
        let mut index = IndexWriter::default();
        self.series.iter().for_each(|series| index.add_row(&series.labels));
        let index = index.finish();
        let (exemplars, exemplar_table) = exemplar_sections(&self.series)?;
        let metadata = extras::metadata_section(&self.metadata)?;
        let sections: [&[u8]; SECTION_COUNT - 1] = [
            &times,
            &times_table,
            &records,
            &rows,
            &symbols.texts,
            &symbols.ends,
            &index.names,
            &index.dictionaries,
            &index.postings,
            &exemplars,
            &exemplar_table,
            &metadata,
        ];
        write_file(meta, &self.series, self.arena.as_slice(), &sections, out)
    }

    fn try_add(&mut self, labels: &Labels, row: ColumnsRow<'_>) -> Result<(), SegmentError> {
        let index = self.series_index(labels)?;
        if std::mem::replace(&mut self.series[index].has_row, true) {
            return Err(SegmentError::DuplicateSeries(labels.to_string()));
        }
        let arena_offset = self.arena.len();
        let mut frames = Vec::new();
        let mut at = 0;
        for run in self.times.place(row.timestamps)? {
            let end = at + usize::from(run.count);
            while at < end {
                let kind_end = end_of_kind(&row, at, end);
                let start = run.start + run.count - u16::try_from(end - at).expect("within its column");
                let count = u16::try_from(kind_end - at).expect("within its column");
                let part = TimesRun { column: run.column, start, count };
                frames.push(self.encode_frame(&row, at..kind_end, part)?);
                at = kind_end;
            }
        }
        if let (Some(first), Some(last)) = (row.timestamps.first(), row.timestamps.last()) {
            self.span = self.span.union(TimeSpan::new(*first, *last));
        }
        self.samples += row.timestamps.len() as u64;
        let series = &mut self.series[index];
        (series.frames, series.arena_offset) = (frames, arena_offset);
        Ok(())
    }

    /// Encodes samples of one kind whose times are one run of a column.
    fn encode_frame(
        &mut self,
        row: &ColumnsRow<'_>,
        samples: std::ops::Range<usize>,
        times: TimesRun,
    ) -> Result<Frame, SegmentError> {
        let offset = self.arena.len();
        let starts = row.start_timestamps.get(samples.clone()).unwrap_or(&[]);
        let has_starts = starts.iter().any(|start| *start != 0);
        if has_starts {
            encode_integers(starts, &mut self.arena);
        }
        let is_histograms = row.histograms.get(samples.start).is_some_and(Option::is_some);
        let mut statistics = Vec::new();
        if is_histograms {
            let histograms: Vec<_> = row.histograms[samples].iter().flatten().cloned().collect();
            encode_histograms(&histograms, &mut self.arena);
        } else {
            statistics = put_statistics(&row.values[samples.clone()]);
            encode_values(&row.values[samples], &mut self.arena);
        }
        let bytes = u32::try_from(self.arena.len() - offset)
            .map_err(|_| SegmentError::TooLarge("bytes in one frame"))?;
        let is_whole_column = times.start == 0 && times.count == self.times.column_len(times.column);
        Ok(Frame { times, is_whole_column, is_histograms, has_starts, bytes, statistics })
    }

    /// The series with these labels, a new one where there is none.
    fn series_index(&mut self, labels: &Labels) -> Result<usize, SegmentError> {
        let fingerprint = labels.fingerprint();
        if let Some(&index) = self.by_fingerprint.get(&fingerprint) {
            let known = &self.series[index].labels;
            return if known == labels {
                Ok(index)
            } else {
                Err(SegmentError::DuplicateSeries(labels.to_string()))
            };
        }
        if self.series.len() >= INDEX_ROWS_MAX as usize {
            return Err(SegmentError::TooLarge("series"));
        }
        self.by_fingerprint.insert(fingerprint, self.series.len());
        self.series.push(Series {
            labels: labels.clone(),
            fingerprint,
            has_row: false,
            frames: Vec::new(),
            arena_offset: 0,
            exemplars: Vec::new(),
        });
        Ok(self.series.len() - 1)
    }

    fn meta(&self) -> SegmentMeta {
        let header = self.header.clone();
        SegmentMeta {
            tenant: header.tenant,
            span: self.span,
            window: header.window,
            resolution_ms: header.resolution_ms,
            retention_class: header.retention_class,
            seq_min: header.seq_min,
            seq_max: header.seq_max,
            series: self.series.len() as u64,
            samples: self.samples,
        }
    }
}

/// Where samples of one kind, floats or histograms, end.
fn end_of_kind(row: &ColumnsRow<'_>, at: usize, end: usize) -> usize {
    let is_histogram = |index: usize| row.histograms.get(index).is_some_and(Option::is_some);
    let kind = is_histogram(at);
    (at..end).find(|&index| is_histogram(index) != kind).unwrap_or(end)
}

/// Sort key of a row: metric name, labels without `le`, then `le` as a number, so that a classic histogram's buckets
/// lie side by side in their order.
fn row_order(labels: &Labels) -> (Vec<u8>, u64) {
    let mut key = labels.metric_name().as_bytes().to_vec();
    let mut bound = f64::NEG_INFINITY;
    for label in labels.iter().filter(|label| label.name != METRIC_NAME) {
        if label.name == BUCKET_LABEL
            && let Ok(parsed) = label.value.parse::<f64>()
        {
            bound = parsed;
            continue;
        }
        for text in [label.name, label.value] {
            key.push(0);
            key.extend_from_slice(text.as_bytes());
        }
    }
    let bits = bound.to_bits();
    let ordered = if bits >> 63 == 0 { bits | 1 << 63 } else { !bits };
    (key, ordered)
}

/// Bytes of a row in the series table: fingerprint and place of the record.
pub(super) const ROW_BYTES: u64 = 20;

/// The records and the table of rows.
fn series_table(series: &[Series], symbols: &Symbols<'_>) -> Result<(Vec<u8>, Vec<u8>), SegmentError> {
    let (mut records, mut rows) = (ByteWriter::default(), ByteWriter::default());
    let mut offset = 0_u64;
    for series in series {
        let place =
            u32::try_from(records.len()).map_err(|_| SegmentError::TooLarge("bytes of series records"))?;
        rows.put(&series.fingerprint.0.to_le_bytes());
        rows.put_u32(place);
        put_record(&symbols.pairs(&series.labels), offset, &series.frames, &mut records);
        offset += frames_bytes(series);
    }
    Ok((records.into_bytes(), rows.into_bytes()))
}

fn frames_bytes(series: &Series) -> u64 {
    series.frames.iter().map(|frame| u64::from(frame.bytes)).sum()
}

fn exemplar_sections(series: &[Series]) -> Result<(Vec<u8>, Vec<u8>), SegmentError> {
    let (mut exemplars, mut table) = (ByteWriter::default(), ByteWriter::default());
    for (row, series) in series.iter().enumerate().filter(|(_, series)| !series.exemplars.is_empty()) {
        let place =
            u32::try_from(exemplars.len()).map_err(|_| SegmentError::TooLarge("bytes of exemplars"))?;
        table.put_u32(u32::try_from(row).expect("rows are numbered in 31 bits"));
        table.put_u32(place);
        extras::put_exemplars(&series.exemplars, &mut exemplars);
    }
    Ok((exemplars.into_bytes(), table.into_bytes()))
}

/// Writes head, values in row order, the other sections, the checksum table and the footer.
fn write_file(
    meta: SegmentMeta,
    series: &[Series],
    arena: &[u8],
    others: &[&[u8]; SECTION_COUNT - 1],
    out: &mut dyn Write,
) -> Result<SegmentMeta, SegmentError> {
    let id = identity(&meta, arena, others);
    let mut pages = PageWriter::new(out, id);
    pages.put(&MAGIC_HEAD)?;
    let mut sections = [const { 0..0 }; SECTION_COUNT];
    let start = pages.offset();
    for series in series {
        let bytes = usize::try_from(frames_bytes(series)).expect("frames are in memory");
        pages.put(&arena[series.arena_offset..series.arena_offset + bytes])?;
    }
    sections[0] = start..pages.offset();
    for (section, bytes) in sections[1..].iter_mut().zip(others) {
        let start = pages.offset();
        pages.put(bytes)?;
        *section = start..pages.offset();
    }
    let (body_bytes, table, out) = pages.finish()?;
    out.write_all(&table)?;
    let footer = Footer { id, meta, body_bytes, table_sum: table_checksum(id, &table), sections };
    out.write_all(&footer.to_bytes())?;
    Ok(footer.meta)
}

/// The segment's identity: a hash over what it holds, so that the same content makes the same file.
fn identity(meta: &SegmentMeta, arena: &[u8], others: &[&[u8]]) -> u128 {
    let mut hash = Xxh3::new();
    hash.update(format!("{meta:?}").as_bytes());
    hash.update(arena);
    others.iter().for_each(|section| hash.update(section));
    hash.digest128()
}
