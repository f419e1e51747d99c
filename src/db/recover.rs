//! Opening: what an earlier process left becomes a view.

use std::collections::BTreeSet;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::clock::Clock;
use crate::fs::Fs;
use crate::head::{Epoch, Head, Publication};
use crate::wal::{LogFileFacts, LoggedBatch, RejectedSet, log_file_name, log_file_number, read_log_file};

use super::StorageError;

/// Where things are in a database's directory.
#[derive(Clone, Debug)]
pub(super) struct Layout {
    pub(super) root: PathBuf,
    pub(super) log: PathBuf,
    pub(super) segments: PathBuf,
    pub(super) lock: PathBuf,
}

impl Layout {
    pub(super) fn new(root: &Path) -> Self {
        Self {
            root: root.to_owned(),
            log: root.join("log"),
            segments: root.join("segments"),
            lock: root.join("lock"),
        }
    }

    /// Makes the directories, durably.
    pub(super) fn create(&self, fs: &dyn Fs) -> Result<(), StorageError> {
        for directory in [&self.root, &self.log, &self.segments] {
            fs.create_dir_all(directory).map_err(|error| StorageError::io("create", directory, error))?;
        }
        for directory in self.root.parent().into_iter().chain([self.root.as_path()]) {
            if directory.as_os_str().is_empty() {
                continue;
            }
            fs.sync_dir(directory).map_err(|error| StorageError::io("sync", directory, error))?;
        }
        Ok(())
    }
}

/// What a replay found.
#[derive(Debug, Default)]
pub(super) struct Replayed {
    pub(super) files: Vec<LogFileFacts>,
    pub(super) seq_max: u64,
    pub(super) damaged: u64,
}

/// Puts what the log holds above `flushed_seq` into `epoch`.
///
/// Each file is synced first: after a kill without a power cut it may hold records that were written and never synced,
/// and what is shown once must not vanish at the next power cut.
pub(super) fn replay_log(
    fs: &dyn Fs,
    layout: &Layout,
    flushed_seq: u64,
    head: &Head,
    epoch: &Arc<Epoch>,
    clock: &Clock,
) -> Result<Replayed, StorageError> {
    let names = fs.list(&layout.log).map_err(|error| StorageError::io("list", &layout.log, error))?;
    let numbers: BTreeSet<u64> = names.iter().filter_map(|name| log_file_number(name)).collect();
    let mut replayed = Replayed { seq_max: flushed_seq, ..Replayed::default() };
    for number in numbers {
        let path = layout.log.join(log_file_name(number));
        fs.sync_file(&path).map_err(|error| StorageError::io("sync", &path, error))?;
        let facts = replay_file(fs, &path, number, flushed_seq, &mut replayed, |logged| {
            publish_logged(head, epoch, clock, &logged);
        })?;
        replayed.files.push(facts);
    }
    fs.sync_dir(&layout.log).map_err(|error| StorageError::io("sync", &layout.log, error))?;
    Ok(replayed)
}

fn replay_file(
    fs: &dyn Fs,
    path: &Path,
    number: u64,
    flushed_seq: u64,
    replayed: &mut Replayed,
    visit: impl FnMut(LoggedBatch),
) -> Result<LogFileFacts, StorageError> {
    let mapping = match fs.map(path) {
        Ok(mapping) => mapping,
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            return Ok(LogFileFacts { number, bytes: 0, seq_max: 0 });
        }
        Err(error) => return Err(StorageError::io("read", path, error)),
    };
    let bytes = mapping.bytes();
    let report = read_log_file(bytes, number, flushed_seq, visit).map_err(|error| StorageError::Corrupt {
        path: path.to_owned(),
        offset: error.offset,
        rule: error.rule.to_owned(),
    })?;
    for (offset, rule) in &report.damaged {
        tracing::warn!(path = %path.display(), offset, rule, "skipped a damaged place in the log");
    }
    if let Some(offset) = report.torn_at {
        tracing::info!(path = %path.display(), offset, "log file ends within a record");
    }
    replayed.damaged += report.damaged.len() as u64;
    replayed.seq_max = replayed.seq_max.max(report.seq_max);
    Ok(LogFileFacts { number, bytes: bytes.len() as u64, seq_max: report.seq_max })
}

fn publish_logged(head: &Head, epoch: &Arc<Epoch>, clock: &Clock, logged: &LoggedBatch) {
    let now_ms = clock.now_ms();
    let LoggedBatch { seq, tenant, batch } = logged;
    let places = head.resolve(tenant, batch, now_ms);
    for entry in &batch.metadata {
        head.add_metadata(tenant, &entry.metric, &entry.metadata);
    }
    epoch.publish(&Publication {
        seq: *seq,
        now_ms,
        log_bytes: batch.sample_count() as u64 * 16,
        tenant,
        batch,
        places: &places,
        rejected: &RejectedSet::default(),
    });
}
