//! A receiver's place in the log.

use std::collections::HashMap;
use std::sync::Arc;

use super::outbox::{ForwardedLog, RemoteLogError};
use crate::fs::Mapping;
use crate::storage::Batch;
use crate::wal::{LogReader, LoggedBatch};

/// Reads the log from a position on, file by file. Keeps a file mapped until it is through with it.
#[derive(Debug)]
pub(super) struct Cursor {
    log: Arc<dyn ForwardedLog>,
    /// What was confirmed before.
    skip_through: u64,
    reader: LogReader,
    /// The file being read, as long as it was when it was last looked at.
    mapping: Option<Arc<dyn Mapping>>,
    /// Read and not taken yet.
    next: Option<LoggedBatch>,
    damage_told: usize,
}

impl Cursor {
    /// Behind everything up to `skip_through`.
    pub(super) fn new(log: Arc<dyn ForwardedLog>, skip_through: u64) -> Self {
        Self { log, skip_through, reader: LogReader::new(0), mapping: None, next: None, damage_told: 0 }
    }

    /// Sequence number of the next record; `None` where everything was read. Blocks. After an error the next call tries
    /// again.
    pub(super) fn peek(&mut self) -> Result<Option<u64>, RemoteLogError> {
        if self.next.is_none() {
            self.next = self.read_next()?;
        }
        Ok(self.next.as_ref().map(|logged| logged.seq))
    }

    /// The batch whose first record [`Self::peek`] saw, put together from all its records. Blocks. The log shows batches
    /// as a whole, so that no error can stand between them.
    pub(super) fn take(&mut self) -> Batch {
        let first = self.next.take().expect("a record was seen");
        let mut records = vec![first.batch];
        while let Ok(Some(seq)) = self.peek()
            && seq == first.seq
        {
            records.extend(self.next.take().map(|logged| logged.batch));
        }
        merge(records)
    }

    fn read_next(&mut self) -> Result<Option<LoggedBatch>, RemoteLogError> {
        let mut from = self.reader.number();
        loop {
            let Some((file, is_last)) = self.log.file_from(from) else { return Ok(None) };
            if file.seq_max <= self.skip_through && !is_last {
                from = file.number + 1;
                continue;
            }
            if file.number != self.reader.number() {
                // Where files are missing between the two the log was full; it has counted and told that.
                self.reader = LogReader::new(file.number);
                self.damage_told = 0;
                self.mapping = None;
            }
            if self.reader.offset() < file.bytes
                && let Some(found) = self.read_in_file(file.bytes)?
            {
                return Ok(Some(found));
            }
            self.mapping = None;
            if is_last {
                return Ok(None);
            }
            from = file.number + 1;
        }
    }

    /// The next record of the current file, of which `readable` bytes may be read.
    fn read_in_file(&mut self, readable: u64) -> Result<Option<LoggedBatch>, RemoteLogError> {
        let readable = usize::try_from(readable).expect("log files fit the address space");
        let number = self.reader.number();
        if self.mapping.as_ref().is_none_or(|mapping| mapping.bytes().len() < readable) {
            self.mapping = match self.log.map_file(number) {
                Ok(mapping) => Some(mapping),
                // Dropped a moment ago: the log was full.
                Err(RemoteLogError::Io { source, .. }) if source.kind() == std::io::ErrorKind::NotFound => {
                    return Ok(None);
                }
                Err(error) => return Err(error),
            };
        }
        let bytes = self.mapping.as_ref().map_or(&[][..], |mapping| mapping.bytes());
        // A file that a failed write ended may be shorter than what was to be in it.
        let bytes = &bytes[..readable.min(bytes.len())];
        let found = self.reader.next(bytes, self.skip_through).unwrap_or_else(|error| {
            tracing::error!(file = number, %error, "log file cannot be read");
            None
        });
        for (offset, rule) in &self.reader.report().damaged[self.damage_told..] {
            self.log.outbox().counters.damaged.increment();
            tracing::error!(file = number, offset, rule, "skipped a damaged place in the log");
        }
        self.damage_told = self.reader.report().damaged.len();
        Ok(found)
    }
}

/// The records of one batch as one again: floats, histograms and exemplars of a series together.
fn merge(mut records: Vec<Batch>) -> Batch {
    if records.len() == 1 {
        return records.pop().expect("it was counted");
    }
    let mut places: HashMap<&[u8], Vec<(usize, usize)>> = HashMap::new();
    for (record, batch) in records.iter().enumerate() {
        for (index, series) in batch.series.iter().enumerate() {
            places.entry(batch.labels_of(series)).or_default().push((record, index));
        }
    }
    let mut merged = Batch::default();
    for batch in &records {
        for series in &batch.series {
            let labels = batch.labels_of(series);
            // All of a series comes where it occurs first.
            let Some(places) = places.remove(labels) else { continue };
            merged.begin_series_bytes(labels);
            for (record, index) in places {
                push_entries(&records[record], index, &mut merged);
            }
        }
        batch.metadata.iter().for_each(|entry| merged.push_metadata(&entry.metric, entry.metadata.clone()));
    }
    merged
}

/// Adds what a series of a record has to the series that was begun last.
fn push_entries(record: &Batch, index: usize, merged: &mut Batch) {
    let series = &record.series[index];
    for entry in &record.floats[series.floats.clone()] {
        merged.push_float(entry.timestamp, entry.start_timestamp, entry.value);
    }
    for entry in &record.histograms[series.histograms.clone()] {
        merged.push_histogram(entry.timestamp, entry.start_timestamp, Arc::clone(&entry.histogram));
    }
    for exemplar in &record.exemplars[series.exemplars.clone()] {
        merged.push_exemplar(exemplar.clone());
    }
}
