//! What a log that receivers read knows of them: how far each one is, what families say, and what is counted.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Debug;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard};

use tokio::sync::watch;

use super::position::{read_position, store_position};
use crate::encoding::DecodeError;
use crate::fs::{Fs, Mapping};
use crate::lock::lock;
use crate::metrics::{Counter, Gauge};
use crate::model::{Metadata, Timestamp};
use crate::storage::{Batch, MetadataEntry, Outcome};
use crate::wal::{LogFileFacts, LoggedBatch, read_log_file};

/// Ending of the name of a receiver's position.
const POSITION_ENDING: &str = ".position";
/// Most families whose metadata is remembered.
const FAMILIES_MAX: usize = 50_000;

/// Why a log cannot be opened, or a position not be kept.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RemoteLogError {
    /// The operating system refused.
    #[error("cannot {action} {}: {source}", path.display())]
    Io {
        /// What was tried.
        action: &'static str,
        /// On which file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// Another process has it open.
    #[error("{} is in use by another process", path.display())]
    Locked {
        /// The directory.
        path: PathBuf,
    },
    /// A later version wrote the file.
    #[error("{}: {rule} (at byte {offset})", path.display())]
    Newer {
        /// The file.
        path: PathBuf,
        /// Where.
        offset: u64,
        /// Which rule is broken.
        rule: &'static str,
    },
}

impl RemoteLogError {
    pub(super) fn io(action: &'static str, path: &Path, source: io::Error) -> Self {
        Self::Io { action, path: path.to_owned(), source }
    }

    pub(super) fn newer(path: &Path, error: &DecodeError) -> Self {
        Self::Newer { path: path.to_owned(), offset: error.offset, rule: error.rule }
    }
}

/// A log that receivers read: an agent's own, or a database's. All of it may block, on the disk.
pub trait ForwardedLog: Send + Sync + Debug {
    /// What is known of the receivers.
    fn outbox(&self) -> &Outbox;

    /// Begins to keep the log for a receiver; answers the sequence number up to which it has everything. One that is not
    /// known yet has everything that was appended so far; one whose position is damaged has nothing.
    fn register(&self, receiver: &str) -> Result<u64, RemoteLogError>;

    /// The receivers, or how far they are, have changed: removes the files that nobody needs any more.
    fn settle(&self);

    /// The file with this number or else the next one, with as many bytes as may be read; whether it is the last one,
    /// which may still grow.
    fn file_from(&self, number: u64) -> Option<(LogFileFacts, bool)>;

    /// A file's bytes.
    fn map_file(&self, number: u64) -> Result<Arc<dyn Mapping>, RemoteLogError>;

    /// Bytes of the files that are there for receivers alone.
    fn bytes(&self) -> u64;

    /// Series that were written to lately, where that is known.
    fn series(&self) -> Option<usize>;
}

/// What is counted since the log was opened.
#[derive(Clone, Debug, Default)]
pub(super) struct LogCounters {
    /// Floats appended.
    pub(super) samples: Counter,
    /// Histograms appended.
    pub(super) histograms: Counter,
    /// Exemplars appended.
    pub(super) exemplars: Counter,
    /// Newest time that was appended, in seconds.
    pub(super) newest_seconds: Gauge,
    /// Damaged places that were skipped.
    pub(super) damaged: Counter,
    /// Samples that a full log dropped before a receiver had read them.
    pub(super) samples_dropped: Counter,
}

/// How far a receiver is, in sequence numbers.
#[derive(Clone, Copy, Debug, Default)]
struct Progress {
    /// It has everything up to here.
    confirmed: u64,
    /// Everything up to here was read for it.
    taken: u64,
}

/// What is known of a log's receivers; their positions are in `folder`.
#[derive(Debug)]
pub struct Outbox {
    folder: PathBuf,
    fs: Arc<dyn Fs>,
    receivers: Mutex<BTreeMap<String, Progress>>,
    /// What was appended of families since the log was opened; targets say it anew then.
    families: Mutex<BTreeMap<String, Metadata>>,
    /// Samples appended since the log was opened.
    appended: watch::Sender<u64>,
    pub(super) counters: LogCounters,
}

impl Outbox {
    pub(super) fn new(folder: PathBuf, fs: Arc<dyn Fs>) -> Self {
        Self {
            folder,
            fs,
            receivers: Mutex::default(),
            families: Mutex::default(),
            appended: watch::channel(0).0,
            counters: LogCounters::default(),
        }
    }

    /// Puts a receiver in; answers its position. `seq_last` tells what was appended so far, and is asked while no other
    /// receiver's progress can be: between the two nothing goes away that a new receiver is to have.
    pub(super) fn register(
        &self,
        receiver: &str,
        seq_last: impl FnOnce() -> u64,
    ) -> Result<u64, RemoteLogError> {
        let mut receivers = lock(&self.receivers);
        let path = self.position_path(receiver);
        let confirmed = match self.fs.read(&path) {
            Ok(bytes) => read_or_all(&path, &bytes),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                let seq = seq_last();
                self.store(receiver, seq)?;
                // From now on there is one; without it a restart would take the receiver for a new one.
                let synced = self.fs.sync_dir(&self.folder);
                synced.map_err(|error| RemoteLogError::io("sync", &self.folder, error))?;
                seq
            }
            Err(error) => return Err(RemoteLogError::io("read", &path, error)),
        };
        receivers.insert(receiver.to_owned(), Progress { confirmed, taken: confirmed });
        Ok(confirmed)
    }

    /// Ends what [`Self::register`] began. The position stays, so that the receiver may come back.
    pub(super) fn unregister(&self, receiver: &str) {
        lock(&self.receivers).remove(receiver);
    }

    /// Forgets the positions of all receivers but these.
    pub(super) fn forget_others(&self, receivers: &BTreeSet<String>) {
        let Ok(names) = self.fs.list(&self.folder) else { return };
        for name in names {
            let of = name.strip_suffix(POSITION_ENDING);
            if of.is_some_and(|receiver| !receivers.contains(receiver)) {
                // One that stays is tried again at the next start, and does no harm until then.
                let _ = self.fs.remove(&self.folder.join(&name));
            }
        }
    }

    /// Everything up to `seq` was read for a receiver and is held in memory.
    pub(super) fn take_through(&self, receiver: &str, seq: u64) {
        if let Some(progress) = lock(&self.receivers).get_mut(receiver) {
            progress.taken = progress.taken.max(seq);
        }
    }

    /// A receiver has everything up to `seq`: keeps that. Blocks. Nothing where it is not registered.
    pub(super) fn confirm(&self, receiver: &str, seq: u64) -> Result<(), RemoteLogError> {
        {
            let mut receivers = lock(&self.receivers);
            let Some(progress) = receivers.get_mut(receiver) else { return Ok(()) };
            progress.confirmed = progress.confirmed.max(seq);
            progress.taken = progress.taken.max(seq);
        }
        self.store(receiver, seq)
    }

    /// What every receiver has; everything where there are none.
    pub(super) fn confirmed_by_all(&self) -> u64 {
        lock(&self.receivers).values().map(|progress| progress.confirmed).min().unwrap_or(u64::MAX)
    }

    /// Counts the samples of file `number`, which goes away, that receivers have not read.
    pub(super) fn count_dropped(&self, number: u64, bytes: &[u8], log_bytes_max: u64) {
        let taken: Vec<u64> = lock(&self.receivers).values().map(|progress| progress.taken).collect();
        let mut lost = 0_u64;
        for taken in taken {
            let count = |logged: LoggedBatch| lost += logged.batch.sample_count() as u64;
            // What cannot be read was not going to be sent.
            let _ = read_log_file(bytes, number, taken, count);
        }
        self.counters.samples_dropped.add(lost);
        tracing::error!(
            samples = lost,
            log_bytes_max,
            "remote-write log is full, dropping its oldest samples"
        );
    }

    /// What families say of themselves.
    pub(super) fn families(&self) -> MutexGuard<'_, BTreeMap<String, Metadata>> {
        lock(&self.families)
    }

    pub(super) fn remember_families<'a>(&self, entries: impl IntoIterator<Item = &'a MetadataEntry>) {
        let mut families = self.families();
        for entry in entries {
            if families.len() < FAMILIES_MAX || families.contains_key(&entry.metric) {
                families.insert(entry.metric.clone(), entry.metadata.clone());
            }
        }
    }

    /// Tells of every batch: how many samples were appended so far.
    pub(super) fn watch(&self) -> watch::Receiver<u64> {
        self.appended.subscribe()
    }

    /// Batches were appended, with these outcomes; `newest` is the newest time of them. Wakes the receivers.
    pub(super) fn count<'a>(
        &self,
        outcomes: impl IntoIterator<Item = &'a Outcome>,
        newest: Option<Timestamp>,
    ) {
        let mut samples = 0;
        for outcome in outcomes {
            self.counters.samples.add(outcome.floats as u64);
            self.counters.histograms.add(outcome.histograms as u64);
            self.counters.exemplars.add(outcome.exemplars as u64);
            samples += (outcome.floats + outcome.histograms) as u64;
        }
        if let Some(newest) = newest {
            let seconds = newest.div_euclid(1_000) as f64;
            self.counters.newest_seconds.set(self.counters.newest_seconds.get().max(seconds));
        }
        self.appended.send_modify(|appended| *appended += samples);
    }

    fn position_path(&self, receiver: &str) -> PathBuf {
        self.folder.join(format!("{receiver}{POSITION_ENDING}"))
    }

    fn store(&self, receiver: &str, seq: u64) -> Result<(), RemoteLogError> {
        let path = self.position_path(receiver);
        store_position(&*self.fs, &path, seq).map_err(|error| RemoteLogError::io("write", &path, error))
    }
}

/// The newest time of a batch.
pub(super) fn newest_of(batch: &Batch) -> Option<Timestamp> {
    let floats = batch.floats.iter().map(|entry| entry.timestamp);
    floats.chain(batch.histograms.iter().map(|entry| entry.timestamp)).max()
}

/// The earliest of all positions in a folder; `None` where there is none. A damaged one counts as the very first.
pub(super) fn earliest_position(fs: &dyn Fs, folder: &Path) -> Result<Option<u64>, RemoteLogError> {
    let names = match fs.list(folder) {
        Ok(names) => names,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(RemoteLogError::io("list", folder, error)),
    };
    let mut earliest = None;
    for name in names.iter().filter(|name| name.ends_with(POSITION_ENDING)) {
        let path = folder.join(name);
        let bytes = fs.read(&path).map_err(|error| RemoteLogError::io("read", &path, error))?;
        let seq = read_or_all(&path, &bytes);
        earliest = Some(earliest.map_or(seq, |earliest: u64| earliest.min(seq)));
    }
    Ok(earliest)
}

/// A stored position; where it is damaged, everything is sent again.
fn read_or_all(path: &Path, bytes: &[u8]) -> u64 {
    read_position(bytes).unwrap_or_else(|error| {
        tracing::error!(path = %path.display(), %error, "position is damaged; everything is sent again");
        0
    })
}
