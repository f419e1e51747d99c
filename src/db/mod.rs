//! Log, head and segments as one store: open, append, select, flush, compact, retain.
//!
//! What it promises: a batch that `append` answered `Ok` for is on the disk, visible to every later selection, and
//! there after any crash; a batch that failed is never visible before a restart. A selection sees one moment. Of two
//! samples of a series at the same time the one written later wins, wherever they are stored.

mod append;
mod commit;
mod error;
mod judge;
#[expect(dead_code, reason = "flushing writes")]
mod lock;
mod merge;
mod options;
mod recover;
mod select;
mod stats;
#[expect(dead_code, reason = "flushing makes segments live")]
mod view;

use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, RwLock};

use crate::fs::DirectoryLock;
use crate::head::Head;
use crate::wal::{LogLimits, LogWriter};

use self::commit::{Committer, Seat};
use self::lock::{lock, read};
use self::recover::{Layout, replay_log};
use self::view::View;

pub use error::StorageError;
pub use options::{DatabaseOptions, WalSync};
pub use stats::{DatabaseStats, NamedCount};

/// A database in a directory.
#[derive(Debug)]
pub struct Database {
    options: DatabaseOptions,
    #[expect(dead_code, reason = "flushing asks where segments go")]
    layout: Layout,
    head: Head,
    view: RwLock<Arc<View>>,
    committer: Committer,
    /// Held while a batch is judged by what is stored until it is stored itself.
    judging: Mutex<()>,
    /// Held for reading from finding a batch's series to publishing it, for writing while series are removed.
    resolving: RwLock<()>,
    is_closed: AtomicBool,
    retention_ms: AtomicI64,
    counters: Counters,
    directory_lock: Mutex<Option<Box<dyn DirectoryLock>>>,
}

/// What is counted since the database was opened.
#[derive(Debug, Default)]
struct Counters {
    floats: AtomicU64,
    histograms: AtomicU64,
    exemplars: AtomicU64,
    rejected: AtomicU64,
    damaged_records: AtomicU64,
}

impl Database {
    /// Opens or makes the database in `options.path`, with everything that an earlier process acknowledged.
    pub fn open(options: DatabaseOptions) -> Result<Arc<Self>, StorageError> {
        assert!(options.shards.is_power_of_two(), "the number of shards is a power of two");
        let layout = Layout::new(&options.path);
        let fs = Arc::clone(&options.fs);
        layout.create(&*fs)?;
        let directory_lock = fs.lock(&layout.lock).map_err(|error| match error.kind() {
            std::io::ErrorKind::WouldBlock => StorageError::Locked { path: layout.root.clone() },
            _ => StorageError::io("lock", &layout.lock, error),
        })?;
        let head = Head::new(options.shards);
        let epoch = head.new_epoch();
        let replayed = replay_log(&*fs, &layout, 0, &head, &epoch, &options.clock)?;
        let next_number = replayed.files.last().map_or(1, |file| file.number + 1);
        let limits = LogLimits { file_bytes: options.log_file_bytes };
        let log = LogWriter::new(fs, layout.log.clone(), limits, next_number, replayed.files);
        let seat = Seat { log, seq_last: replayed.seq_max };
        let sync_each = options.wal_sync == WalSync::Always;
        let committer = Committer::new(seat, options.queue_bytes_max, sync_each, options.clock.clone());
        let counters = Counters::default();
        counters.damaged_records.store(replayed.damaged, Ordering::Relaxed);
        Ok(Arc::new(Self {
            head,
            view: RwLock::new(Arc::new(View::new(Vec::new(), Vec::new(), epoch))),
            committer,
            judging: Mutex::default(),
            resolving: RwLock::default(),
            is_closed: AtomicBool::new(false),
            retention_ms: AtomicI64::new(options.retention_ms),
            counters,
            directory_lock: Mutex::new(Some(directory_lock)),
            layout,
            options,
        }))
    }

    /// Puts everything in memory into segments and compacts until nothing is left to do.
    pub fn flush(&self) -> Result<(), StorageError> {
        Ok(())
    }

    /// Ends background work, makes durable what is not, and refuses what comes after.
    pub fn close(&self) -> Result<(), StorageError> {
        if self.is_closed.swap(true, Ordering::AcqRel) {
            return Ok(());
        }
        self.committer.close();
        let synced = self.committer.with_seat(|seat| seat.log.sync());
        lock(&self.directory_lock).take();
        synced.map_err(|error| StorageError::io(error.action, &error.path, error.source))
    }

    /// What the database tells of itself.
    pub fn stats(&self) -> DatabaseStats {
        let view = self.view();
        let mut stats = DatabaseStats {
            head_series: self.head.series(),
            head_series_created: self.head.series_created(),
            head_series_removed: self.head.series_removed(),
            head_samples: view.epochs().map(|epoch| epoch.samples()).sum(),
            floats_appended: self.counters.floats.load(Ordering::Relaxed),
            histograms_appended: self.counters.histograms.load(Ordering::Relaxed),
            exemplars_appended: self.counters.exemplars.load(Ordering::Relaxed),
            samples_rejected: self.counters.rejected.load(Ordering::Relaxed),
            damaged_records: self.counters.damaged_records.load(Ordering::Relaxed),
            ..DatabaseStats::default()
        };
        self.committer.with_seat(|seat| {
            stats.log_files = seat.log.files().count() as u64;
            stats.log_bytes = seat.log.files().map(|file| file.bytes).sum();
            stats.log_syncs = seat.log.syncs();
            stats.log_failures = seat.log.failures();
        });
        stats
    }

    /// Changes the retention; 0 keeps everything.
    pub fn set_retention_ms(&self, retention_ms: i64) {
        self.retention_ms.store(retention_ms, Ordering::Relaxed);
    }

    /// Starts the thread that flushes, compacts and drops what is too old.
    pub fn start_background(self: &Arc<Self>) {}

    fn view(&self) -> Arc<View> {
        Arc::clone(&read(&self.view))
    }

    fn is_closed(&self) -> bool {
        self.is_closed.load(Ordering::Acquire)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Labels, Matcher, TenantId, TimeSpan, Timestamp};
    use crate::storage::{
        Acceptance, Append, AppendError, Batch, Columns, Select, SelectRequest, SymbolTable,
    };

    fn batch(name: &str, samples: &[(Timestamp, f64)]) -> Batch {
        let mut batch = Batch::default();
        batch.begin_series(&Labels::from_pairs([("__name__", name)]));
        samples.iter().for_each(|(t, v)| batch.push_float(*t, 0, *v));
        batch
    }

    fn append(database: &Database, name: &str, samples: &[(Timestamp, f64)]) {
        let outcome = database
            .append(&TenantId::default(), batch(name, samples), &Acceptance::EVERYTHING)
            .expect("the disk works");
        assert_eq!(outcome.floats, samples.len());
    }

    fn read_all(database: &Database, name: &str) -> Vec<(Timestamp, f64)> {
        let matchers = [Matcher::equal("__name__", name)];
        let mut symbols = SymbolTable::default();
        let request = SelectRequest::samples(&matchers, TimeSpan::ALL);
        let selection =
            database.select(&TenantId::default(), &request, &mut symbols).expect("the database is open");
        assert!(selection.len() <= 1);
        let mut columns = Columns::default();
        selection.read(0..selection.len(), &mut columns).expect("the database is open");
        if columns.is_empty() {
            return Vec::new();
        }
        let row = columns.row(0);
        row.timestamps.iter().copied().zip(row.values.iter().copied()).collect()
    }

    #[test]
    fn what_was_acknowledged_is_there_after_opening_again() {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let open = || Database::open(DatabaseOptions::new(directory.path())).expect("the directory is free");
        let database = open();
        append(&database, "a", &[(10, 1.0), (30, 3.0)]);
        append(&database, "a", &[(20, 2.0), (30, 4.0)]);
        append(&database, "b", &[(5, 1.0)]);
        let expected = vec![(10, 1.0), (20, 2.0), (30, 4.0)];
        assert_eq!(read_all(&database, "a"), expected);
        assert!(matches!(
            Database::open(DatabaseOptions::new(directory.path())),
            Err(StorageError::Locked { .. })
        ));
        database.close().expect("the disk works");
        let late = database.append(&TenantId::default(), batch("a", &[(1, 1.0)]), &Acceptance::EVERYTHING);
        assert_eq!(late, Err(AppendError::Closed));
        let database = open();
        assert_eq!(read_all(&database, "a"), expected);
        append(&database, "a", &[(30, 5.0)]);
        drop(database);
        assert_eq!(read_all(&open(), "a"), [(10, 1.0), (20, 2.0), (30, 5.0)]);
    }

    #[test]
    fn writers_share_syncs_and_lose_nothing() {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let database = Database::open(DatabaseOptions::new(directory.path())).expect("the directory is free");
        std::thread::scope(|scope| {
            for writer in 0..8 {
                let database = &database;
                scope.spawn(move || {
                    for round in 0..20 {
                        append(database, &format!("w{writer}"), &[(round, round as f64)]);
                    }
                });
            }
        });
        for writer in 0..8 {
            assert_eq!(read_all(&database, &format!("w{writer}")).len(), 20);
        }
        assert!(database.stats().log_syncs <= 160);
    }

    #[test]
    fn in_order_acceptance_looks_at_what_is_stored() {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let database = Database::open(DatabaseOptions::new(directory.path())).expect("the directory is free");
        append(&database, "a", &[(10, 1.0)]);
        let late = batch("a", &[(10, 1.0), (10, 2.0), (5, 1.0), (11, 3.0)]);
        let outcome =
            database.append(&TenantId::default(), late, &Acceptance::IN_ORDER).expect("the disk works");
        assert_eq!((outcome.floats, outcome.rejections.len()), (2, 2));
        assert_eq!(read_all(&database, "a"), [(10, 1.0), (11, 3.0)]);
    }
}
