//! The log file that is being written.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::fs::{AppendFile, Fs};
use crate::model::TenantId;

use super::encode::{EncodedBatch, SeriesUse, series_record};
use super::record::{FILE_HEADER_BYTES, PAYLOAD_BYTES_MAX, RECORD_HEADER_BYTES, RecordHeader, file_header};

/// Ending of a log file's name.
const FILE_ENDING: &str = ".log";

/// Name of log file `number`: 16 hexadecimal digits, so that names sort as numbers do.
pub fn log_file_name(number: u64) -> String {
    format!("{number:016x}{FILE_ENDING}")
}

/// The number in a log file's name; `None` for other files.
pub fn log_file_number(name: &str) -> Option<u64> {
    let digits = name.strip_suffix(FILE_ENDING)?;
    if digits.len() != 16 {
        return None;
    }
    u64::from_str_radix(digits, 16).ok()
}

/// Why records could not be made durable. Nothing of the group may be published, and the file was abandoned.
#[derive(Debug, thiserror::Error)]
#[error("cannot {action} {}: {source}", path.display())]
pub struct LogError {
    /// What was tried.
    pub action: &'static str,
    /// On which file.
    pub path: PathBuf,
    /// What the system said.
    pub source: io::Error,
}

/// When a new file begins.
#[derive(Clone, Copy, Debug)]
pub struct LogLimits {
    /// At this size, or at four times the size of its series definitions if that is more.
    pub file_bytes: u64,
}

/// A log file that no longer grows, or the one that does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LogFileFacts {
    /// Its number.
    pub number: u64,
    /// Its size in bytes.
    pub bytes: u64,
    /// Highest sequence number inside; 0 where there is none.
    pub seq_max: u64,
}

/// Writes groups of batches to numbered files.
#[derive(Debug)]
pub struct LogWriter {
    fs: Arc<dyn Fs>,
    directory: PathBuf,
    limits: LogLimits,
    next_number: u64,
    current: Option<CurrentFile>,
    finished: Vec<LogFileFacts>,
    group: Vec<u8>,
    syncs: u64,
    failures: u64,
}

#[derive(Debug)]
struct CurrentFile {
    facts: LogFileFacts,
    file: Box<dyn AppendFile>,
    definition_bytes: u64,
    defined: ReferenceSet,
    unsynced: bool,
    /// Whether a group was committed to it.
    is_used: bool,
}

impl LogWriter {
    /// A writer into `directory` whose first file has the number `next_number`; `old` are the files that are there.
    pub fn new(
        fs: Arc<dyn Fs>,
        directory: PathBuf,
        limits: LogLimits,
        next_number: u64,
        old: Vec<LogFileFacts>,
    ) -> Self {
        Self {
            fs,
            directory,
            limits,
            next_number,
            current: None,
            finished: old,
            group: Vec::new(),
            syncs: 0,
            failures: 0,
        }
    }

    /// Makes sure that a file is open for the next group: begins the first one, or the next one where the last is
    /// full or was abandoned.
    pub fn begin_group(&mut self) -> Result<(), LogError> {
        assert!(self.group.is_empty(), "the group before was written or dropped");
        if let Some(current) = &self.current {
            let full = self.limits.file_bytes.max(4 * current.definition_bytes);
            if current.facts.bytes < full {
                return Ok(());
            }
            if current.unsynced {
                self.sync()?;
            }
            self.retire();
        }
        self.open_file()
    }

    /// Adds a batch's records to the group, behind definitions of those of its series that the file does not have.
    /// `labels`: canonical bytes of the labels of one of `series`.
    pub fn stage<L: AsRef<[u8]>>(
        &mut self,
        seq: u64,
        tenant: &TenantId,
        series: &[SeriesUse],
        encoded: &EncodedBatch,
        labels: impl Fn(usize) -> L,
    ) {
        let current = self.current.as_mut().expect("a group was begun");
        let undefined: Vec<usize> =
            (0..series.len()).filter(|index| current.defined.insert(series[*index].reference)).collect();
        if !undefined.is_empty() {
            let definitions =
                series_record(tenant, undefined.iter().map(|&at| (series[at].reference, labels(at))));
            current.definition_bytes += definitions.len() as u64;
            push_records(&mut self.group, &current.facts, seq, &definitions);
        }
        push_records(&mut self.group, &current.facts, seq, encoded);
        current.facts.seq_max = seq;
    }

    /// Writes the group, and makes it durable where `sync` says so. After an error the file is abandoned and nothing
    /// of the group may be published.
    pub fn commit(&mut self, sync: bool) -> Result<(), LogError> {
        let current = self.current.as_mut().expect("a group was begun");
        let written = current.file.append(&self.group);
        current.facts.bytes += self.group.len() as u64;
        current.unsynced = true;
        self.group.clear();
        if let Err(source) = written {
            return Err(self.abandon("write", source));
        }
        if sync {
            self.sync()?;
        }
        self.current.as_mut().expect("the group was committed").is_used = true;
        Ok(())
    }

    /// Makes durable what was written; does nothing where all of it is. After an error the file is abandoned.
    pub fn sync(&mut self) -> Result<(), LogError> {
        let Some(current) = self.current.as_mut().filter(|current| current.unsynced) else { return Ok(()) };
        self.syncs += 1;
        match current.file.sync_data() {
            Ok(()) => {
                current.unsynced = false;
                Ok(())
            }
            Err(source) => Err(self.abandon("sync", source)),
        }
    }

    /// Removes the files whose records all have sequence numbers up to `seq`. Where the one being written is among
    /// them, the next group begins a new one.
    pub fn remove_through(&mut self, seq: u64) -> Result<(), LogError> {
        self.retire_through(seq);
        self.remove_finished(|facts| facts.seq_max <= seq)
    }

    /// Where the records of the file being written all have sequence numbers up to `seq`, the next group begins a new one.
    pub fn retire_through(&mut self, seq: u64) {
        assert!(self.group.is_empty(), "the group before was written or dropped");
        if self.current.as_ref().is_some_and(|current| current.is_used && current.facts.seq_max <= seq) {
            self.retire();
        }
    }

    /// Removes those files that `is_done` says, of those that are no longer written to.
    pub fn remove_finished(&mut self, is_done: impl Fn(&LogFileFacts) -> bool) -> Result<(), LogError> {
        let (done, kept) = std::mem::take(&mut self.finished).into_iter().partition(is_done);
        self.finished = kept;
        let mut failed = None;
        for facts in done {
            let path = self.directory.join(log_file_name(facts.number));
            if let Err(source) = self.fs.remove(&path)
                && source.kind() != io::ErrorKind::NotFound
            {
                self.finished.push(facts);
                failed = Some(LogError { action: "remove", path, source });
            }
        }
        failed.map_or(Ok(()), Err)
    }

    /// All files, the one being written last.
    pub fn files(&self) -> impl Iterator<Item = LogFileFacts> {
        self.finished.iter().copied().chain(self.current.as_ref().map(|current| current.facts))
    }

    /// The file being written, where there is one.
    pub fn current(&self) -> Option<LogFileFacts> {
        self.current.as_ref().map(|current| current.facts)
    }

    /// Number of the file after the one being written.
    pub fn next_number(&self) -> u64 {
        self.next_number
    }

    /// Syncs tried.
    pub fn syncs(&self) -> u64 {
        self.syncs
    }

    /// Files abandoned or not begun because of an error.
    pub fn failures(&self) -> u64 {
        self.failures
    }

    fn open_file(&mut self) -> Result<(), LogError> {
        let number = self.next_number;
        // A number is used once, even if the file could not be made: what is left of it may be found at a later start.
        self.next_number += 1;
        let path = self.directory.join(log_file_name(number));
        match self.try_open(&path, number) {
            Ok(file) => {
                let facts = LogFileFacts { number, bytes: FILE_HEADER_BYTES as u64, seq_max: 0 };
                let defined = ReferenceSet::default();
                self.current = Some(CurrentFile {
                    facts,
                    file,
                    definition_bytes: 0,
                    defined,
                    unsynced: false,
                    is_used: false,
                });
                Ok(())
            }
            Err((action, source)) => {
                self.failures += 1;
                // Nothing acknowledged is inside; without removal a full disk would collect one such file a try.
                let _ = self.fs.remove(&path);
                Err(LogError { action, path, source })
            }
        }
    }

    fn try_open(&self, path: &Path, number: u64) -> Result<Box<dyn AppendFile>, (&'static str, io::Error)> {
        let mut file = self.fs.create(path).map_err(|error| ("create", error))?;
        file.append(&file_header(number)).map_err(|error| ("write", error))?;
        file.sync_data().map_err(|error| ("sync", error))?;
        self.fs.sync_dir(&self.directory).map_err(|error| ("sync the directory of", error))?;
        Ok(file)
    }

    /// Keeps the current file for replay and writes to it no more.
    fn retire(&mut self) {
        let current = self.current.take().expect("a file is open");
        self.finished.push(current.facts);
    }

    fn abandon(&mut self, action: &'static str, source: io::Error) -> LogError {
        self.failures += 1;
        let current = self.current.take().expect("a file is open");
        let path = self.directory.join(log_file_name(current.facts.number));
        // Nothing acknowledged is in a file that was never committed to; kept, a full disk would collect one a try.
        if current.is_used || self.fs.remove(&path).is_err() {
            self.finished.push(current.facts);
        }
        LogError { action, path, source }
    }
}

/// Copies records behind the group, with their headers filled in.
fn push_records(group: &mut Vec<u8>, facts: &LogFileFacts, seq: u64, encoded: &EncodedBatch) {
    for record in &encoded.records {
        let len = record.payload.len();
        assert!(len <= PAYLOAD_BYTES_MAX, "batches are bounded far below the largest record");
        let header = RecordHeader {
            payload_len: u32::try_from(len).expect("checked against the largest record"),
            seq,
            kind: record.kind as u8,
            payload_checksum: record.checksum,
        };
        let offset = facts.bytes + group.len() as u64;
        let header: [u8; RECORD_HEADER_BYTES] = header.to_bytes(facts.number, offset);
        group.extend_from_slice(&header);
        group.extend_from_slice(&encoded.bytes[record.payload.clone()]);
    }
}

/// Which series a file defines: one bit for each number.
#[derive(Debug, Default)]
struct ReferenceSet {
    words: Vec<u64>,
}

impl ReferenceSet {
    /// Adds a number; whether it was not there.
    fn insert(&mut self, reference: u64) -> bool {
        let at = usize::try_from(reference / 64).expect("numbers of series fit the address space");
        if at >= self.words.len() {
            self.words.resize((at + 1).next_power_of_two(), 0);
        }
        let bit = 1_u64 << (reference % 64);
        let is_new = self.words[at] & bit == 0;
        self.words[at] |= bit;
        is_new
    }
}
