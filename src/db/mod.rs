//! Log, head and segments as one store: open, append, select, flush, compact, retain.
//!
//! What it promises: a batch that `append` answered `Ok` for is on the disk, visible to every later selection, and
//! there after any crash; a batch that failed is never visible before a restart. A selection sees one moment. Of two
//! samples of a series at the same time the one written later wins, wherever they are stored.

mod append;
mod background;
mod claims;
mod commit;
mod compact;
mod compaction;
mod delete;
mod deletion;
mod error;
mod flush;
mod guard;
mod jobs;
mod judge;
mod manifest;
mod merge;
mod options;
mod outputs;
mod plan;
mod recover;
mod reserve;
mod retention;
mod select;
mod snapshot;
mod stats;
mod tail;
mod view;
mod windows;

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, RwLock};

use crate::fs::DirectoryLock;
use crate::head::Head;
use crate::wal::{LogLimits, LogWriter};

use self::background::Background;
use self::claims::Claims;
use self::commit::{Committer, Seat};
use self::deletion::Deletions;
use self::flush::SegmentFiles;
use self::guard::Refusals;
use self::jobs::Jobs;
use self::manifest::ManifestStore;
use self::recover::{Layout, OpenedSegments, open_segments, replay_log};
use self::reserve::Reserve;
use self::retention::RetentionClock;
use self::tail::Tail;
use self::view::{LiveSegment, View};
use crate::lock::{lock, read};

pub use error::StorageError;
pub use options::{DatabaseOptions, WalSync};
pub use retention::Retention;
pub use stats::{DatabaseStats, NamedCount};

/// A database in a directory.
#[derive(Debug)]
pub struct Database {
    options: DatabaseOptions,
    layout: Layout,
    head: Head,
    view: RwLock<Arc<View>>,
    committer: Committer,
    tail: Tail,
    /// Series of the batches that are judged by what is stored, until they are stored themselves.
    judging: Claims,
    refusals: Refusals,
    /// Held for reading from finding a batch's series to publishing it, for writing while series are removed.
    resolving: RwLock<()>,
    is_closed: AtomicBool,
    retention: RwLock<Retention>,
    counters: Counters,
    files: SegmentFiles,
    /// Held while segments are merged or dropped; taken before `jobs`.
    compacting: Mutex<()>,
    jobs: Mutex<Jobs>,
    background: Background,
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
    damaged_segments: AtomicU64,
    flushes: AtomicU64,
    flush_failures: AtomicU64,
    compactions: AtomicU64,
    compaction_failures: AtomicU64,
    expired: AtomicU64,
    time_retentions: AtomicU64,
    size_retentions: AtomicU64,
    flushed_bytes: AtomicU64,
    compacted_bytes: AtomicU64,
    snapshots: AtomicU64,
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
        let reserve = Reserve::new(Arc::clone(&fs), &layout.root);
        let manifests = ManifestStore::new(Arc::clone(&fs), layout.root.clone(), Some(reserve));
        let OpenedSegments { manifest, segments, damaged } = open_segments(&fs, &layout, &manifests)?;
        let head = Head::new(options.shards);
        remember_metadata(&head, &segments)?;
        let epoch = head.new_epoch();
        let replayed = replay_log(&*fs, &layout, manifest.flushed_seq, &head, &epoch, &options.clock)?;
        // What was acknowledged is there now, however much it is; only what is new is limited.
        head.set_series_limits(options.series_limits);
        let next_log = replayed.files.last().map_or(1, |file| file.number + 1).max(manifest.next_log);
        let limits = LogLimits { file_bytes: options.log_file_bytes };
        let mut log = LogWriter::new(Arc::clone(&fs), layout.log.clone(), limits, next_log, replayed.files);
        if let Err(error) = log.remove_through(manifest.flushed_seq.min(options.keep_log_after)) {
            tracing::warn!(%error, "cannot remove a log file");
        }
        let seq_last = segments.iter().map(|s| s.meta().seq_max).fold(replayed.seq_max, u64::max);
        // What is written from now on must not be hidden by a deletion that was made before.
        let seq_last = manifest.deletions.iter().map(|deletion| deletion.seq).fold(seq_last, u64::max);
        let deletions = Arc::new(Deletions::new(manifest.deletions.clone()));
        let sync_each = options.wal_sync == WalSync::Always;
        let seat = Seat { log, seq_last };
        let committer = Committer::new(seat, options.queue_bytes_max, sync_each, options.clock.clone());
        let counters = Counters::default();
        counters.damaged_records.store(replayed.damaged, Ordering::Relaxed);
        counters.damaged_segments.store(damaged, Ordering::Relaxed);
        let files = SegmentFiles { fs, directory: layout.segments.clone() };
        let retention_clock = RetentionClock::starting_at(manifest.retention_from);
        let idle_checked_ms = options.clock.now_ms();
        Ok(Arc::new(Self {
            head,
            view: RwLock::new(Arc::new(View::new(segments, Vec::new(), epoch, deletions))),
            committer,
            tail: Tail::new(options.keep_log_after, manifest.flushed_seq),
            judging: Claims::default(),
            refusals: Refusals::default(),
            resolving: RwLock::default(),
            is_closed: AtomicBool::new(false),
            retention: RwLock::new(options.retention),
            counters,
            files,
            compacting: Mutex::new(()),
            jobs: Mutex::new(Jobs {
                manifest,
                manifests,
                idle_checked_ms,
                reserve_checked_ms: 0,
                retention_clock,
            }),
            background: Background::default(),
            directory_lock: Mutex::new(Some(directory_lock)),
            layout,
            options,
        }))
    }

    /// Ends background work, makes durable what is not, and refuses what comes after.
    pub fn close(&self) -> Result<(), StorageError> {
        if self.is_closed.swap(true, Ordering::AcqRel) {
            return Ok(());
        }
        self.committer.close();
        self.background.stop();
        // A job that runs is waited for: after this nobody writes to the directory.
        let _compacting = lock(&self.compacting);
        let _jobs = lock(&self.jobs);
        let synced = self.committer.with_seat(|seat| seat.log.sync());
        lock(&self.directory_lock).take();
        synced.map_err(|error| StorageError::io(error.action, &error.path, error.source))
    }

    /// Starts the threads that flush, compact and drop what is too old.
    pub fn start_background(self: &Arc<Self>) {
        self.background.start(self);
    }

    fn view(&self) -> Arc<View> {
        Arc::clone(&read(&self.view))
    }

    fn is_closed(&self) -> bool {
        self.is_closed.load(Ordering::Acquire)
    }
}

impl Drop for Database {
    fn drop(&mut self) {
        // Without `close` too the threads end and the directory becomes free.
        self.background.stop();
    }
}

/// Metadata of all segments is kept in memory: it is little, and asked for by metric.
fn remember_metadata(head: &Head, segments: &[Arc<LiveSegment>]) -> Result<(), StorageError> {
    for segment in segments {
        let metadata = segment.reader.metadata().map_err(|error| StorageError::Corrupt {
            path: segment.path().to_owned(),
            offset: 0,
            rule: error.to_string(),
        })?;
        for (metric, metadata) in metadata {
            head.add_metadata(&segment.meta().tenant, &metric, &metadata);
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicI64;

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
    fn readers_see_all_of_it_while_flush_and_compaction_go_on() {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let database = Database::open(DatabaseOptions::new(directory.path())).expect("the directory is free");
        let is_done = AtomicBool::new(false);
        let acknowledged = AtomicI64::new(0);
        std::thread::scope(|scope| {
            scope.spawn(|| {
                // Long enough that all of it happened, however slow the disk is.
                let is_enough = |round: i64| {
                    let stats = database.stats();
                    round >= 150 && stats.flushes > 1 && stats.compactions > 0
                };
                for round in (0_i64..20_000).take_while(|round| !is_enough(*round)) {
                    // Some fall into windows of their own, so that there is something to merge.
                    append(&database, "a", &[(round + round % 3 * 8_000_000, round as f64)]);
                    acknowledged.store(round + 1, Ordering::SeqCst);
                }
                is_done.store(true, Ordering::SeqCst);
            });
            scope.spawn(|| {
                while !is_done.load(Ordering::SeqCst) {
                    database.flush().expect("the disk works");
                }
            });
            scope.spawn(|| {
                while !is_done.load(Ordering::SeqCst) {
                    let at_least = acknowledged.load(Ordering::SeqCst);
                    let seen = read_all(&database, "a").len() as i64;
                    assert!(seen >= at_least, "{seen} of {at_least} samples are seen");
                }
            });
        });
        let written = acknowledged.load(Ordering::SeqCst);
        assert_eq!(read_all(&database, "a").len() as i64, written);
        let stats = database.stats();
        assert!(stats.flushes > 1 && stats.compactions > 0, "{stats:?}");
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

#[cfg(test)]
mod crash_tests;
#[cfg(test)]
mod life_tests;
#[cfg(test)]
mod oracle_tests;
