//! Collects series in any order and writes them as one file.

use std::collections::HashMap;
use std::io::Write;

use crate::encoding::ByteWriter;
use crate::model::{Exemplar, Fingerprint, Labels, Metadata, TimeSpan};
use crate::storage::ColumnsRow;

use super::encode::encode_row;
use super::rows::Frame;
use super::stream::{EncodedRow, Sink};
use super::times::TimesWriter;
use super::{RowKey, SegmentError, SegmentHeader, SegmentMeta};

/// One series while the segment is collected: its frames are encoded already.
struct Series {
    labels: Labels,
    has_row: bool,
    frames: Vec<Frame>,
    /// First byte of the frames in the arena.
    arena_offset: usize,
    exemplars: Vec<Exemplar>,
}

/// Collects the series of one segment, each once and in any order, and writes the file.
///
/// Samples are encoded as they come, so that memory holds encoded frames, not samples. Where series can come in the
/// order of the file, [`super::SegmentStream`] needs not even those.
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

    /// Bytes of the frames collected so far.
    pub fn frame_bytes(&self) -> usize {
        self.arena.len()
    }

    /// Adds a series with all its samples. A series that is added twice makes [`Self::finish`] fail.
    pub fn add_series(&mut self, labels: &Labels, row: ColumnsRow<'_>) {
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
        self.series.sort_by_cached_key(|series| RowKey::of(&series.labels));
        let mut sink = Sink::new(self.header, out)?;
        if !self.span.is_empty() {
            sink.add_span(self.span, self.samples);
        }
        sink.metadata = self.metadata;
        for series in &self.series {
            let encoded = EncodedRow {
                frames: &series.frames,
                bytes: &self.arena.as_slice()[series.arena_offset..],
                exemplars: &series.exemplars,
            };
            sink.put_row(&series.labels, &encoded, &mut self.times)?;
        }
        let (meta, _) = sink.finish(self.times)?;
        Ok(meta)
    }

    fn try_add(&mut self, labels: &Labels, row: ColumnsRow<'_>) -> Result<(), SegmentError> {
        let index = self.series_index(labels)?;
        if std::mem::replace(&mut self.series[index].has_row, true) {
            return Err(SegmentError::DuplicateSeries(labels.to_string()));
        }
        let arena_offset = self.arena.len();
        let frames = encode_row(&row, &mut self.times, &mut self.arena)?;
        if let (Some(first), Some(last)) = (row.timestamps.first(), row.timestamps.last()) {
            self.span = self.span.union(TimeSpan::new(*first, *last));
        }
        self.samples += row.timestamps.len() as u64;
        let series = &mut self.series[index];
        (series.frames, series.arena_offset) = (frames, arena_offset);
        Ok(())
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
        self.by_fingerprint.insert(fingerprint, self.series.len());
        self.series.push(Series {
            labels: labels.clone(),
            has_row: false,
            frames: Vec::new(),
            arena_offset: 0,
            exemplars: Vec::new(),
        });
        Ok(self.series.len() - 1)
    }
}
