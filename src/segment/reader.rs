//! Reads one segment.

use std::collections::BTreeSet;
use std::sync::Arc;

use crate::encoding::checksum;
use crate::model::{Exemplar, Fingerprint, Labels, Matcher, Metadata, TimeSpan};
use crate::storage::{Columns, Piece};

use super::naive;
use super::writer::Series;
use super::{SegmentError, SegmentMeta, Source};

/// One segment, open for reading from any number of threads.
pub struct SegmentReader {
    meta: SegmentMeta,
    rows: Vec<(Labels, Series)>,
    metadata: Vec<(String, Metadata)>,
    symbols: Vec<String>,
}

impl SegmentReader {
    /// Opens by the footer alone: reads some hundred bytes at the file's end.
    pub fn open(source: Arc<dyn Source>) -> Result<Self, SegmentError> {
        let bytes = source.bytes();
        source.ensure(std::slice::from_ref(&(0..bytes.len() as u64)))?;
        let corrupt = |error| SegmentError::corrupt(source.name(), error);
        let split = bytes.len().checked_sub(4);
        let sound = split.is_some_and(|at| checksum(&bytes[..at]).to_le_bytes() == bytes[at..]);
        let Some(at) = split.filter(|_| sound) else {
            let rule = "checksum differs";
            return Err(SegmentError::Corrupt { name: source.name().to_owned(), offset: 0, rule });
        };
        let (meta, rows, metadata) = naive::parse(&bytes[..at]).map_err(corrupt)?;
        let texts: BTreeSet<String> = rows
            .iter()
            .flat_map(|(labels, _)| labels.iter().flat_map(|l| [l.name.to_owned(), l.value.to_owned()]))
            .collect();
        Ok(Self { meta, rows, metadata, symbols: texts.into_iter().collect() })
    }

    /// What the segment says of itself.
    pub fn meta(&self) -> &SegmentMeta {
        &self.meta
    }

    /// How many rows there are; a row is a series.
    pub fn row_count(&self) -> u32 {
        u32::try_from(self.rows.len()).expect("rows are numbered in 32 bits")
    }

    /// The rows that pass all matchers, rising. No matchers: all rows.
    pub fn select(&self, matchers: &[Matcher]) -> Result<Vec<u32>, SegmentError> {
        Ok((0..self.row_count())
            .filter(|row| matchers.iter().all(|m| m.matches_labels(&self.rows[*row as usize].0)))
            .collect())
    }

    /// Identity of a row.
    pub fn fingerprint(&self, row: u32) -> Result<Fingerprint, SegmentError> {
        Ok(self.rows[row as usize].0.fingerprint())
    }

    /// Labels of a row.
    pub fn labels(&self, row: u32) -> Result<Labels, SegmentError> {
        Ok(self.rows[row as usize].0.clone())
    }

    /// Appends the row's labels as (name, value) by symbol number, in the order of the names' texts.
    pub fn label_symbols(&self, row: u32, out: &mut Vec<(u32, u32)>) -> Result<(), SegmentError> {
        let number = |text: &str| {
            let at = self.symbols.binary_search_by(|s| s.as_str().cmp(text)).expect("all texts are symbols");
            u32::try_from(at).expect("symbols are numbered in 32 bits")
        };
        out.extend(self.rows[row as usize].0.iter().map(|l| (number(l.name), number(l.value))));
        Ok(())
    }

    /// How many symbols there are; they are numbered from 0.
    pub fn symbol_count(&self) -> u32 {
        u32::try_from(self.symbols.len()).expect("symbols are numbered in 32 bits")
    }

    /// The text of a symbol of this segment. A text may have two numbers: one as a name, one as a value.
    pub fn symbol(&self, symbol: u32) -> Result<&str, SegmentError> {
        Ok(&self.symbols[symbol as usize])
    }

    /// The row's frames that overlap `span`, in time order and disjoint; `sole` is true of each, as far as this
    /// segment knows.
    pub fn pieces(&self, row: u32, span: TimeSpan) -> Result<Vec<Piece>, SegmentError> {
        let series = &self.rows[row as usize].1;
        let (Some(first), Some(last)) = (series.timestamps.first(), series.timestamps.last()) else {
            return Ok(Vec::new());
        };
        let piece = Piece {
            span: TimeSpan::new(*first, *last),
            count: series.timestamps.len() as u64,
            statistics: None,
            sole: true,
        };
        Ok(if piece.span.overlaps(span) { vec![piece] } else { Vec::new() })
    }

    /// Appends the row's samples within `span` to the row that was begun last in `out`. After an error that row may
    /// hold a part of them.
    pub fn read(&self, row: u32, span: TimeSpan, out: &mut Columns) -> Result<(), SegmentError> {
        let series = &self.rows[row as usize].1;
        for (at, &timestamp) in series.timestamps.iter().enumerate() {
            if !span.contains(timestamp) {
                continue;
            }
            let start = series.start_timestamps.get(at).copied().unwrap_or(0);
            match series.histograms.get(at).and_then(Option::as_ref) {
                Some(histogram) => out.push_histogram(timestamp, start, Arc::clone(histogram)),
                None => out.push_float(timestamp, start, series.values[at]),
            }
        }
        Ok(())
    }

    /// How many samples the row has within `span`; an upper bound that reads no samples.
    pub fn sample_count(&self, row: u32, span: TimeSpan) -> Result<u64, SegmentError> {
        Ok(self.pieces(row, span)?.iter().map(|piece| piece.count).sum())
    }

    /// Label names of these rows (`None`: of all), sorted, each once.
    pub fn label_names(&self, rows: Option<&[u32]>) -> Result<Vec<String>, SegmentError> {
        let mut names = BTreeSet::new();
        self.each_label(rows, |name, _| {
            names.insert(name.to_owned());
        });
        Ok(names.into_iter().collect())
    }

    /// Values that the label `name` has in these rows (`None`: in all), sorted, each once; at most `limit`, 0 for all.
    pub fn label_values(
        &self,
        name: &str,
        rows: Option<&[u32]>,
        limit: usize,
    ) -> Result<Vec<String>, SegmentError> {
        let mut values = BTreeSet::new();
        self.each_label(rows, |n, value| {
            if n == name {
                values.insert(value.to_owned());
            }
        });
        let limit = if limit == 0 { usize::MAX } else { limit };
        Ok(values.into_iter().take(limit).collect())
    }

    /// The rows that have exemplars, rising.
    pub fn exemplar_rows(&self) -> Result<Vec<u32>, SegmentError> {
        Ok((0..self.row_count()).filter(|row| !self.rows[*row as usize].1.exemplars.is_empty()).collect())
    }

    /// Exemplars of a row within `span`, in the order in which they were added.
    pub fn exemplars(&self, row: u32, span: TimeSpan) -> Result<Vec<Exemplar>, SegmentError> {
        let all = self.rows[row as usize].1.exemplars.iter();
        Ok(all.filter(|exemplar| span.contains(exemplar.timestamp)).cloned().collect())
    }

    /// What metric families say of themselves, in name order.
    pub fn metadata(&self) -> Result<Vec<(String, Metadata)>, SegmentError> {
        let mut all = self.metadata.clone();
        all.sort_by(|a, b| a.0.cmp(&b.0));
        Ok(all)
    }

    fn each_label(&self, rows: Option<&[u32]>, mut each: impl FnMut(&str, &str)) {
        let all: Vec<u32> = (0..self.row_count()).collect();
        for row in rows.unwrap_or(&all) {
            self.rows[*row as usize].0.iter().for_each(|label| each(label.name, label.value));
        }
    }
}
