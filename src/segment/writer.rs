//! Collects series and writes them as one file.

use std::collections::BTreeMap;
use std::io::Write;
use std::sync::Arc;

use crate::encoding::{ByteWriter, checksum};
use crate::model::{Exemplar, Histogram, Labels, Metadata, TimeSpan, Timestamp};
use crate::storage::ColumnsRow;

use super::{SegmentError, SegmentHeader, SegmentMeta};

#[derive(Clone, Debug, Default)]
pub(super) struct Series {
    pub(super) timestamps: Vec<Timestamp>,
    pub(super) values: Vec<f64>,
    pub(super) histograms: Vec<Option<Arc<Histogram>>>,
    pub(super) start_timestamps: Vec<Timestamp>,
    pub(super) exemplars: Vec<Exemplar>,
}

/// Collects the series of one segment, each once and in any order, and writes the file.
pub struct SegmentWriter {
    header: SegmentHeader,
    series: BTreeMap<Labels, Series>,
    duplicate: Option<Labels>,
    metadata: Vec<(String, Metadata)>,
}

impl SegmentWriter {
    /// An empty segment.
    pub fn new(header: SegmentHeader) -> Self {
        Self { header, series: BTreeMap::new(), duplicate: None, metadata: Vec::new() }
    }

    /// Adds a series with all its samples. A series that is added twice makes [`Self::finish`] fail.
    pub fn add_series(&mut self, labels: &Labels, row: ColumnsRow<'_>) {
        assert!(row.timestamps.windows(2).all(|pair| pair[0] < pair[1]), "times of a row strictly rise");
        let series = self.series.entry(labels.clone()).or_default();
        if !series.timestamps.is_empty() {
            self.duplicate = Some(labels.clone());
        }
        series.timestamps = row.timestamps.to_vec();
        series.values = row.values.to_vec();
        series.histograms = row.histograms.to_vec();
        series.start_timestamps = row.start_timestamps.to_vec();
    }

    /// Adds exemplars of a series; it need not have samples here.
    pub fn add_exemplars(&mut self, labels: &Labels, exemplars: &[Exemplar]) {
        self.series.entry(labels.clone()).or_default().exemplars.extend_from_slice(exemplars);
    }

    /// Adds what a metric family says of itself; a family may have several.
    pub fn add_metadata(&mut self, metric: &str, metadata: &Metadata) {
        self.metadata.push((metric.to_owned(), metadata.clone()));
    }

    /// Writes the file to `out`, front to back in one pass. Syncing is the caller's.
    pub fn finish(self, out: &mut dyn Write) -> Result<SegmentMeta, SegmentError> {
        if let Some(labels) = self.duplicate {
            return Err(SegmentError::DuplicateSeries(labels.to_string()));
        }
        let meta = self.meta();
        let mut body = ByteWriter::default();
        super::naive::put_meta(&mut body, &meta);
        for (labels, series) in &self.series {
            super::naive::put_series(&mut body, labels, series);
        }
        body.put_varint(self.metadata.len() as u64);
        for (metric, metadata) in &self.metadata {
            super::naive::put_metadata(&mut body, metric, metadata);
        }
        let sum = checksum(body.as_slice());
        body.put_u32(sum);
        out.write_all(body.as_slice())?;
        Ok(meta)
    }

    fn meta(&self) -> SegmentMeta {
        let mut span = TimeSpan::new(0, -1);
        for series in self.series.values() {
            if let (Some(first), Some(last)) = (series.timestamps.first(), series.timestamps.last()) {
                span = span.union(TimeSpan::new(*first, *last));
            }
        }
        let header = self.header.clone();
        SegmentMeta {
            tenant: header.tenant,
            span,
            window: header.window,
            resolution_ms: header.resolution_ms,
            retention_class: header.retention_class,
            seq_min: header.seq_min,
            seq_max: header.seq_max,
            series: self.series.len() as u64,
            samples: self.series.values().map(|series| series.timestamps.len() as u64).sum(),
        }
    }
}
