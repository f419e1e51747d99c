//! The log as others read it, who forward what is in it: by sequence number, and kept for as long as they need it.
//!
//! Nothing of this costs a write anything: readers look at the log's files between two groups.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::fs::Mapping;
use crate::wal::{LogFileFacts, log_file_name};

use super::Database;

/// What log files are needed for.
#[derive(Debug)]
pub(super) struct Tail {
    /// Readers have everything up to this sequence number.
    kept_after: AtomicU64,
    /// Segments hold everything up to this one.
    flushed: AtomicU64,
}

impl Tail {
    pub(super) fn new(kept_after: u64, flushed: u64) -> Self {
        Self { kept_after: AtomicU64::new(kept_after), flushed: AtomicU64::new(flushed) }
    }

    /// Up to where neither a restart nor a reader needs the log.
    fn done(&self) -> u64 {
        self.kept_after.load(Ordering::Acquire).min(self.flushed.load(Ordering::Acquire))
    }
}

impl Database {
    /// Keeps the log's batches with higher sequence numbers than `seq` also when segments hold them, until the next
    /// call; `u64::MAX` keeps none. Blocks for at most one group commit.
    pub fn keep_log_after(&self, seq: u64) {
        self.tail.kept_after.store(seq, Ordering::Release);
        self.trim_log();
    }

    /// Segments hold every batch up to this sequence number.
    pub fn flushed_seq(&self) -> u64 {
        self.tail.flushed.load(Ordering::Acquire)
    }

    /// The sequence number of the newest batch. Blocks for at most one group commit.
    pub fn seq_last(&self) -> u64 {
        self.committer.with_seat(|seat| seat.seq_last)
    }

    /// What is appended from now on ranks above `seq`, also where the clock was set back.
    pub fn rank_above(&self, seq: u64) {
        self.committer.with_seat(|seat| seat.seq_last = seat.seq_last.max(seq));
    }

    /// The log file with this number or else the next one, with as many bytes as may be read; whether it is the last
    /// one, which may still grow. A file that a failed write ended may hold batches that were not acknowledged.
    pub fn log_file_from(&self, number: u64) -> Option<(LogFileFacts, bool)> {
        let files: Vec<LogFileFacts> = self.committer.with_seat(|seat| seat.log.files().collect());
        let at = files.iter().position(|file| file.number >= number)?;
        Some((files[at], at + 1 == files.len()))
    }

    /// The bytes of a log file.
    pub fn map_log_file(&self, number: u64) -> io::Result<Arc<dyn Mapping>> {
        self.options.fs.map(&self.layout.log.join(log_file_name(number)))
    }

    /// The log files that are only kept for readers, the oldest first.
    pub fn kept_log_files(&self) -> Vec<LogFileFacts> {
        let flushed = self.flushed_seq();
        let current = |seat: &super::commit::Seat| seat.log.current().map(|file| file.number);
        self.committer.with_seat(|seat| {
            let current = current(seat);
            let is_kept = |file: &LogFileFacts| file.seq_max <= flushed && Some(file.number) != current;
            seat.log.files().filter(is_kept).collect()
        })
    }

    /// Segments hold everything up to `seq`: removes what nobody needs any more.
    pub(super) fn flushed_through(&self, seq: u64) {
        self.tail.flushed.store(seq, Ordering::Release);
        self.trim_log();
    }

    fn trim_log(&self) {
        let (flushed, done) = (self.flushed_seq(), self.tail.done());
        let removed = self.committer.with_seat(|seat| {
            seat.log.retire_through(flushed);
            seat.log.remove_finished(|file| file.seq_max <= done)
        });
        if let Err(error) = removed {
            // They are not replayed, and removed at the next flush or start.
            tracing::warn!(%error, "cannot remove a log file");
        }
    }
}
