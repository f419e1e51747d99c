//! The log of a database as receivers read it: what is stored is forwarded, without being written again.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use super::outbox::{ForwardedLog, Outbox, RemoteLogError, earliest_position, newest_of};
use crate::db::Database;
use crate::fs::{Fs, Mapping};
use crate::model::TenantId;
use crate::storage::{
    Acceptance, Append, AppendError, Batch, MetadataEntry, Outcome, RawLabels, Select, SeriesHandle,
};
use crate::wal::{LogFileFacts, log_file_name};

/// A database, and the receivers that what is stored in it is forwarded to.
///
/// Appending through it is appending to the database: while there are receivers it tells them of it, and without any
/// it costs one load. A batch that was acknowledged is in the database's log, and files of that log are kept until all
/// receivers have confirmed them, so that it is forwarded also after a crash.
#[derive(Debug)]
pub struct StoredLog {
    database: Arc<Database>,
    outbox: Outbox,
    /// Whether there are receivers.
    is_read: AtomicBool,
    /// Flushes make files that are kept for receivers alone; this far they were looked at.
    settled_flush: AtomicU64,
    bytes_max: u64,
}

impl StoredLog {
    /// Where the positions of receivers are, for a database in `path`.
    fn folder(path: &Path) -> PathBuf {
        path.join("remote")
    }

    /// What [`keep_log_after`](crate::db::DatabaseOptions::keep_log_after) has to be for a database that is about to
    /// be opened in `path`: the earliest position of the receivers of earlier, or that nothing is kept.
    pub fn keep_log_after(fs: &dyn Fs, path: &Path) -> Result<u64, RemoteLogError> {
        Ok(earliest_position(fs, &Self::folder(path))?.unwrap_or(u64::MAX))
    }

    /// The log of `database`, which is open in `path`. Of files that are kept for receivers alone at most `bytes_max` stay.
    pub fn new(
        database: Arc<Database>,
        fs: Arc<dyn Fs>,
        path: &Path,
        bytes_max: u64,
    ) -> Result<Arc<Self>, RemoteLogError> {
        let folder = Self::folder(path);
        fs.create_dir_all(&folder).map_err(|error| RemoteLogError::io("create", &folder, error))?;
        fs.sync_dir(path).map_err(|error| RemoteLogError::io("sync", path, error))?;
        Ok(Arc::new(Self {
            database,
            outbox: Outbox::new(folder, fs),
            is_read: AtomicBool::new(false),
            settled_flush: AtomicU64::new(0),
            bytes_max,
        }))
    }

    /// What the database knows of families, for a receiver that comes later than they did.
    fn recall_families(&self) {
        let known = self.database.metadata(&TenantId::default(), "").unwrap_or_default();
        let entries: Vec<MetadataEntry> = known
            .into_iter()
            .filter_map(|(metric, mut said)| Some(MetadataEntry { metric, metadata: said.pop()? }))
            .collect();
        self.outbox.remember_families(&entries);
    }

    /// Drops the oldest files that are kept for receivers alone, where they are too many.
    fn bound(&self) {
        loop {
            let kept = self.database.kept_log_files();
            let bytes: u64 = kept.iter().map(|file| file.bytes).sum();
            if bytes <= self.bytes_max {
                return;
            }
            let oldest = kept[0];
            if let Ok(file) = self.map_file(oldest.number) {
                self.outbox.count_dropped(oldest.number, file.bytes(), self.bytes_max);
            }
            self.database.keep_log_after(oldest.seq_max);
            if self.database.kept_log_files().first().is_some_and(|file| file.number == oldest.number) {
                // The disk does not let it go; it is tried again with the next flush.
                return;
            }
        }
    }
}

impl Append for StoredLog {
    fn append(
        &self,
        tenant: &TenantId,
        batch: Batch,
        acceptance: &Acceptance,
    ) -> Result<Outcome, AppendError> {
        if !self.is_read.load(Ordering::Acquire) {
            return self.database.append(tenant, batch, acceptance);
        }
        self.outbox.remember_families(&batch.metadata);
        let newest = newest_of(&batch);
        let outcome = self.database.append(tenant, batch, acceptance)?;
        self.outbox.count([&outcome], newest);
        if self.database.flushed_seq() != self.settled_flush.load(Ordering::Acquire) {
            self.settle();
        }
        Ok(outcome)
    }

    fn known_series(&self, tenant: &TenantId, raw: &[RawLabels]) -> Vec<Option<SeriesHandle>> {
        self.database.known_series(tenant, raw)
    }
}

impl ForwardedLog for StoredLog {
    fn outbox(&self) -> &Outbox {
        &self.outbox
    }

    fn register(&self, receiver: &str) -> Result<u64, RemoteLogError> {
        if !self.is_read.swap(true, Ordering::AcqRel) {
            self.recall_families();
        }
        // Nothing goes away until `settle` knows of the receiver.
        self.database.keep_log_after(0);
        let confirmed = self.outbox.register(receiver, || self.database.seq_last())?;
        // The clock may have been set back since; what comes now must rank above what was confirmed.
        self.database.rank_above(confirmed);
        Ok(confirmed)
    }

    fn settle(&self) {
        let confirmed = self.outbox.confirmed_by_all();
        self.is_read.store(confirmed != u64::MAX, Ordering::Release);
        self.settled_flush.store(self.database.flushed_seq(), Ordering::Release);
        self.database.keep_log_after(confirmed);
        self.bound();
    }

    fn file_from(&self, number: u64) -> Option<(LogFileFacts, bool)> {
        self.database.log_file_from(number)
    }

    fn map_file(&self, number: u64) -> Result<Arc<dyn Mapping>, RemoteLogError> {
        let named = |error: io::Error| RemoteLogError::io("read", Path::new(&log_file_name(number)), error);
        self.database.map_log_file(number).map_err(named)
    }

    fn bytes(&self) -> u64 {
        self.database.kept_log_files().iter().map(|file| file.bytes).sum()
    }

    fn series(&self) -> Option<usize> {
        None
    }
}
