//! What reading fills: samples of several rows, column by column.

use std::ops::Range;
use std::sync::Arc;

use crate::model::{Histogram, Timestamp};

/// Samples of some rows, row after row. Reused from read to read: `clear` keeps the memory.
#[derive(Clone, Debug, Default)]
pub struct Columns {
    timestamps: Vec<Timestamp>,
    values: Vec<f64>,
    /// Empty while no row has a histogram, else as long as `timestamps`.
    histograms: Vec<Option<Arc<Histogram>>>,
    /// Empty while no row has a start timestamp, else as long as `timestamps`.
    start_timestamps: Vec<Timestamp>,
    rows: Vec<Range<usize>>,
}

/// Samples of one row, times strictly rising.
#[derive(Clone, Copy, Debug)]
pub struct ColumnsRow<'a> {
    /// Times.
    pub timestamps: &'a [Timestamp],
    /// Float values; where `histograms` has one, the value is 0 and means nothing.
    pub values: &'a [f64],
    /// Native histograms: empty, or one place per sample, `None` for a float.
    pub histograms: &'a [Option<Arc<Histogram>>],
    /// Start timestamps: empty, or one per sample, 0 where not known.
    pub start_timestamps: &'a [Timestamp],
}

impl Columns {
    /// Forgets all rows, keeps the memory.
    pub fn clear(&mut self) {
        self.timestamps.clear();
        self.values.clear();
        self.histograms.clear();
        self.start_timestamps.clear();
        self.rows.clear();
    }

    /// Begins a row; what is pushed next belongs to it.
    pub fn begin_row(&mut self) {
        let at = self.timestamps.len();
        self.rows.push(at..at);
    }

    /// Adds a float to the row begun last.
    pub fn push_float(&mut self, timestamp: Timestamp, start_timestamp: Timestamp, value: f64) {
        self.push(timestamp, start_timestamp, value);
        if !self.histograms.is_empty() {
            self.histograms.push(None);
        }
    }

    /// Adds a histogram to the row begun last.
    pub fn push_histogram(
        &mut self,
        timestamp: Timestamp,
        start_timestamp: Timestamp,
        histogram: Arc<Histogram>,
    ) {
        if self.histograms.is_empty() {
            self.histograms.resize(self.timestamps.len(), None);
        }
        self.histograms.push(Some(histogram));
        self.push(timestamp, start_timestamp, 0.0);
    }

    /// Adds a run of floats without start timestamps to the row begun last.
    pub fn extend_floats(&mut self, timestamps: &[Timestamp], values: &[f64]) {
        assert_eq!(timestamps.len(), values.len(), "a value for each time");
        self.timestamps.extend_from_slice(timestamps);
        self.values.extend_from_slice(values);
        self.end_floats();
    }

    /// Adds floats without start timestamps to the row begun last.
    pub fn extend_pairs(&mut self, pairs: impl ExactSizeIterator<Item = (Timestamp, f64)>) {
        self.timestamps.reserve(pairs.len());
        self.values.reserve(pairs.len());
        for (timestamp, value) in pairs {
            self.timestamps.push(timestamp);
            self.values.push(value);
        }
        self.end_floats();
    }

    /// Adds a run of floats without start timestamps to the row begun last; `fill` writes their values in place. Where it
    /// fails, the row stays as it was.
    pub fn extend_floats_with<E>(
        &mut self,
        timestamps: &[Timestamp],
        fill: impl FnOnce(&mut [f64]) -> Result<(), E>,
    ) -> Result<(), E> {
        let at = self.values.len();
        self.values.resize(at + timestamps.len(), 0.0);
        if let Err(error) = fill(&mut self.values[at..]) {
            self.values.truncate(at);
            return Err(error);
        }
        self.timestamps.extend_from_slice(timestamps);
        self.end_floats();
        Ok(())
    }

    /// Ends a run of floats without start timestamps, as far as the other columns go.
    fn end_floats(&mut self) {
        if !self.histograms.is_empty() {
            self.histograms.resize(self.timestamps.len(), None);
        }
        if !self.start_timestamps.is_empty() {
            self.start_timestamps.resize(self.timestamps.len(), 0);
        }
        self.end_row();
    }

    /// How many rows there are.
    pub fn len(&self) -> usize {
        self.rows.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// Samples of all rows.
    pub fn sample_count(&self) -> usize {
        self.timestamps.len()
    }

    /// One row.
    pub fn row(&self, index: usize) -> ColumnsRow<'_> {
        let range = self.rows[index].clone();
        let optional = |empty: bool| if empty { 0..0 } else { range.clone() };
        ColumnsRow {
            timestamps: &self.timestamps[range.clone()],
            values: &self.values[range.clone()],
            histograms: &self.histograms[optional(self.histograms.is_empty())],
            start_timestamps: &self.start_timestamps[optional(self.start_timestamps.is_empty())],
        }
    }

    fn push(&mut self, timestamp: Timestamp, start_timestamp: Timestamp, value: f64) {
        if start_timestamp != 0 && self.start_timestamps.is_empty() {
            self.start_timestamps.resize(self.timestamps.len(), 0);
        }
        if start_timestamp != 0 || !self.start_timestamps.is_empty() {
            self.start_timestamps.push(start_timestamp);
        }
        self.timestamps.push(timestamp);
        self.values.push(value);
        self.end_row();
    }

    fn end_row(&mut self) {
        let end = self.timestamps.len();
        self.rows.last_mut().expect("a row was begun before its samples").end = end;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::FloatHistogram;

    #[test]
    fn optional_columns_appear_when_needed_and_stay_aligned() {
        let mut columns = Columns::default();
        columns.begin_row();
        columns.push_float(1, 0, 10.0);
        columns.begin_row();
        columns.push_float(1, 0, 20.0);
        columns.push_histogram(2, 1, Arc::new(FloatHistogram::default().to_histogram()));
        columns.push_float(3, 0, 30.0);
        columns.begin_row();
        columns.extend_floats(&[5, 6], &[1.0, 2.0]);
        let row = columns.row(1);
        assert_eq!((row.timestamps, row.values), (&[1, 2, 3][..], &[20.0, 0.0, 30.0][..]));
        assert_eq!(row.start_timestamps, [0, 1, 0]);
        assert_eq!(row.histograms.iter().map(Option::is_some).collect::<Vec<_>>(), [false, true, false]);
        assert_eq!(columns.row(2).histograms.len(), 2);
        assert_eq!(columns.row(0).values, [10.0]);
        assert_eq!((columns.len(), columns.sample_count()), (3, 6));
        let filled: Result<(), ()> = columns.extend_floats_with(&[7, 8], |values| {
            values.copy_from_slice(&[3.0, 4.0]);
            Ok(())
        });
        assert_eq!((filled, columns.row(2).values), (Ok(()), &[1.0, 2.0, 3.0, 4.0][..]));
        assert_eq!(columns.extend_floats_with(&[9], |_| Err("damaged")), Err("damaged"));
        assert_eq!(columns.row(2).timestamps, [5, 6, 7, 8]);
        assert_eq!((columns.row(2).histograms.len(), columns.sample_count()), (4, 8));
    }
}
