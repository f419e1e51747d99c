//! The log of an agent: samples wait in it for the receivers.

use std::collections::BTreeSet;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, OnceLock, PoisonError};

use super::outbox::{ForwardedLog, LogCounters, Outbox, RemoteLogError, newest_of};
use super::series::SeriesTable;
use crate::clock::Clock;
use crate::fs::{DirectoryLock, Fs, Mapping, RealFs};
use crate::lock::lock;
use crate::model::TenantId;
use crate::storage::{Acceptance, Append, AppendError, Batch, Outcome};
use crate::wal::{
    BatchEncoder, LogError, LogFileFacts, LogLimits, LogReader, LogWriter, RejectedSet, log_file_name,
    log_file_number,
};

/// Files that the largest log consists of, at least: the oldest of them is what is dropped at a time.
const FILES_MIN: u64 = 8;

/// What a log is opened with.
#[derive(Clone, Debug)]
pub struct RemoteLogOptions {
    /// Directory that holds everything; made where it is missing.
    pub path: PathBuf,
    /// Where the files are.
    pub fs: Arc<dyn Fs>,
    /// What time it is.
    pub clock: Clock,
    /// Whether a batch is synced before it is answered.
    pub sync_each: bool,
    /// Size at which the oldest part of the log is dropped, in bytes.
    pub bytes_max: u64,
    /// Size at which a new file begins (or at four times its series definitions, if that is more).
    pub file_bytes: u64,
    /// Most bytes of batches that wait for the disk; beyond it they are refused as busy.
    pub waiting_bytes_max: usize,
}

impl RemoteLogOptions {
    /// The product's settings for a log in `path`: the real clock and disk, durable before answered, 1 GiB at most.
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self {
            path: path.into(),
            // Receivers look at the file that grows in every round: copies of it would be most of an agent's memory.
            fs: Arc::new(RealFs::mapped()),
            clock: Clock::System,
            sync_each: true,
            bytes_max: 1 << 30,
            file_bytes: 4 << 20,
            waiting_bytes_max: 64 << 20,
        }
    }
}

/// A log of samples that receivers read. Shared by those who append and those who send.
#[derive(Debug)]
pub struct RemoteLog {
    options: RemoteLogOptions,
    log_folder: PathBuf,
    queue: Mutex<Queue>,
    changed: Condvar,
    seat: Mutex<Seat>,
    published: Mutex<Published>,
    outbox: Outbox,
    is_closed: AtomicBool,
    bytes: AtomicU64,
    directory_lock: Mutex<Option<Box<dyn DirectoryLock>>>,
}

/// What only the one who writes may touch.
#[derive(Debug)]
struct Seat {
    log: LogWriter,
    series: SeriesTable,
    seq_last: u64,
}

#[derive(Debug, Default)]
struct Queue {
    waiting: Vec<Arc<Pending>>,
    bytes: usize,
    is_taken: bool,
}

#[derive(Debug)]
struct Pending {
    tenant: TenantId,
    batch: Batch,
    acceptance: Acceptance,
    answer: OnceLock<Result<Outcome, AppendError>>,
}

impl Pending {
    /// What it occupies while it waits, roughly.
    fn bytes(&self) -> usize {
        self.batch.label_bytes.len() + 64 * (self.batch.series.len() + self.batch.sample_count())
    }
}

/// What receivers may read.
#[derive(Debug, Default)]
struct Published {
    files: Vec<LogFileFacts>,
    seq_last: u64,
}

impl RemoteLog {
    /// Opens or makes the log in `options.path`, with everything that waits in it.
    pub fn open(options: RemoteLogOptions) -> Result<Arc<Self>, RemoteLogError> {
        let log_folder = options.path.join("log");
        let fs = Arc::clone(&options.fs);
        make_directories(&*fs, &options.path, &log_folder)?;
        let lock_path = options.path.join("lock");
        let directory_lock = fs.lock(&lock_path).map_err(|error| match error.kind() {
            io::ErrorKind::WouldBlock => RemoteLogError::Locked { path: options.path.clone() },
            _ => RemoteLogError::io("lock", &lock_path, error),
        })?;
        let outbox = Outbox::new(options.path.clone(), Arc::clone(&fs));
        let files = find_files(&*fs, &log_folder, &outbox.counters)?;
        let limits = LogLimits { file_bytes: options.file_bytes.min(options.bytes_max / FILES_MIN).max(1) };
        let next = files.last().map_or(1, |file| file.number + 1);
        let seq_last = files.iter().map(|file| file.seq_max).max().unwrap_or(0);
        let bytes = AtomicU64::new(files.iter().map(|file| file.bytes).sum());
        let log = LogWriter::new(fs, log_folder.clone(), limits, next, files.clone());
        Ok(Arc::new(Self {
            log_folder,
            queue: Mutex::default(),
            changed: Condvar::new(),
            seat: Mutex::new(Seat { log, series: SeriesTable::default(), seq_last }),
            published: Mutex::new(Published { files, seq_last }),
            outbox,
            is_closed: AtomicBool::new(false),
            bytes,
            directory_lock: Mutex::new(Some(directory_lock)),
            options,
        }))
    }

    /// Refuses what comes from now on, makes durable what is not, and frees the directory.
    pub fn close(&self) -> Result<(), RemoteLogError> {
        self.is_closed.store(true, Ordering::Release);
        let synced = lock(&self.seat).log.sync();
        lock(&self.directory_lock).take();
        synced.map_err(|error| RemoteLogError::io(error.action, &error.path, error.source))
    }

    /// Removes what every receiver has, and the oldest files where the log is too large.
    fn trim(&self, seat: &mut Seat) {
        let confirmed = self.outbox.confirmed_by_all();
        warn_of(seat.log.remove_finished(|file| file.seq_max <= confirmed));
        loop {
            let files: Vec<LogFileFacts> = seat.log.files().collect();
            let bytes: u64 = files.iter().map(|file| file.bytes).sum();
            self.bytes.store(bytes, Ordering::Relaxed);
            if bytes <= self.options.bytes_max || files.len() < 2 {
                return;
            }
            let oldest = files[0].number;
            if let Ok(file) = self.map_file(oldest) {
                self.outbox.count_dropped(oldest, file.bytes(), self.options.bytes_max);
            }
            let removed = seat.log.remove_finished(|file| file.number == oldest);
            if removed.is_err() {
                warn_of(removed);
                return;
            }
        }
    }

    /// Shows receivers what is committed.
    fn publish(&self, seat: &Seat) {
        let files: Vec<LogFileFacts> = seat.log.files().collect();
        self.bytes.store(files.iter().map(|file| file.bytes).sum(), Ordering::Relaxed);
        let current = seat.log.current().map(|file| file.number);
        let mut published = lock(&self.published);
        // An abandoned file may hold more than was committed to it; no more of it is shown than before.
        let shown = |file: LogFileFacts| {
            let before = published.files.iter().find(|old| old.number == file.number).copied();
            let is_whole = Some(file.number) == current;
            if is_whole { file } else { before.unwrap_or(LogFileFacts { bytes: 0, ..file }) }
        };
        let files = files.into_iter().map(shown).collect();
        *published = Published { files, seq_last: seat.seq_last };
    }

    fn take_group(&self) -> Vec<Arc<Pending>> {
        std::mem::take(&mut lock(&self.queue).waiting)
    }
}

fn warn_of(removed: Result<(), LogError>) {
    if let Err(error) = removed {
        tracing::warn!(%error, "cannot remove a log file");
    }
}

fn make_directories(fs: &dyn Fs, root: &Path, log_folder: &Path) -> Result<(), RemoteLogError> {
    fs.create_dir_all(log_folder).map_err(|error| RemoteLogError::io("create", log_folder, error))?;
    for directory in root.parent().into_iter().chain([root]) {
        if !directory.as_os_str().is_empty() {
            fs.sync_dir(directory).map_err(|error| RemoteLogError::io("sync", directory, error))?;
        }
    }
    Ok(())
}

/// The files that an earlier process left. Each is synced first: what is sent must not vanish at the next power cut.
fn find_files(
    fs: &dyn Fs,
    folder: &Path,
    counters: &LogCounters,
) -> Result<Vec<LogFileFacts>, RemoteLogError> {
    let names = fs.list(folder).map_err(|error| RemoteLogError::io("list", folder, error))?;
    let numbers: BTreeSet<u64> = names.iter().filter_map(|name| log_file_number(name)).collect();
    let mut files = Vec::with_capacity(numbers.len());
    for number in numbers {
        let path = folder.join(log_file_name(number));
        fs.sync_file(&path).map_err(|error| RemoteLogError::io("sync", &path, error))?;
        let bytes = fs.read(&path).map_err(|error| RemoteLogError::io("read", &path, error))?;
        let mut reader = LogReader::new(number);
        let skipped = reader.next(&bytes, u64::MAX).map_err(|error| RemoteLogError::newer(&path, &error))?;
        assert!(skipped.is_none(), "no batch ranks above the highest number");
        let report = reader.report();
        for (offset, rule) in &report.damaged {
            counters.damaged.increment();
            tracing::warn!(path = %path.display(), offset, rule, "skipped a damaged place in the log");
        }
        files.push(LogFileFacts { number, bytes: bytes.len() as u64, seq_max: report.seq_max });
    }
    fs.sync_dir(folder).map_err(|error| RemoteLogError::io("sync", folder, error))?;
    Ok(files)
}

impl ForwardedLog for RemoteLog {
    fn outbox(&self) -> &Outbox {
        &self.outbox
    }

    fn register(&self, receiver: &str) -> Result<u64, RemoteLogError> {
        // From the seat, so that no file goes away meanwhile.
        let mut seat = lock(&self.seat);
        let confirmed = self.outbox.register(receiver, || lock(&self.published).seq_last)?;
        // The clock may have been set back since; what comes now must rank above what was confirmed.
        seat.seq_last = seat.seq_last.max(confirmed);
        Ok(confirmed)
    }

    fn settle(&self) {
        let mut seat = lock(&self.seat);
        self.trim(&mut seat);
        self.publish(&seat);
    }

    fn file_from(&self, number: u64) -> Option<(LogFileFacts, bool)> {
        let published = lock(&self.published);
        let at = published.files.iter().position(|file| file.number >= number)?;
        Some((published.files[at], at + 1 == published.files.len()))
    }

    fn map_file(&self, number: u64) -> Result<Arc<dyn Mapping>, RemoteLogError> {
        let path = self.log_folder.join(log_file_name(number));
        self.options.fs.map(&path).map_err(|error| RemoteLogError::io("read", &path, error))
    }

    fn bytes(&self) -> u64 {
        self.bytes.load(Ordering::Relaxed)
    }

    fn series(&self) -> Option<usize> {
        Some(lock(&self.seat).series.len())
    }
}

impl Append for RemoteLog {
    /// Answers when the batch is durable. What is too old or out of order is judged by what was appended since the log
    /// was opened; the receivers have rules of their own.
    fn append(
        &self,
        tenant: &TenantId,
        batch: Batch,
        acceptance: &Acceptance,
    ) -> Result<Outcome, AppendError> {
        let (tenant, acceptance) = (tenant.clone(), *acceptance);
        self.outbox.remember_families(&batch.metadata);
        let pending = Arc::new(Pending { tenant, batch, acceptance, answer: OnceLock::new() });
        let mut queue = lock(&self.queue);
        if self.is_closed.load(Ordering::Acquire) {
            return Err(AppendError::Closed);
        }
        if queue.bytes > 0 && queue.bytes + pending.bytes() > self.options.waiting_bytes_max {
            return Err(AppendError::Busy);
        }
        queue.bytes += pending.bytes();
        queue.waiting.push(Arc::clone(&pending));
        loop {
            if let Some(answer) = pending.answer.get() {
                return answer.clone();
            }
            if queue.is_taken {
                queue = self.changed.wait(queue).unwrap_or_else(PoisonError::into_inner);
                continue;
            }
            queue.is_taken = true;
            drop(queue);
            Group { log: self, members: self.take_group() }.commit();
            queue = lock(&self.queue);
        }
    }
}

/// Batches that are written and synced together. Dropping it frees the seat and wakes everybody, also after a panic.
struct Group<'a> {
    log: &'a RemoteLog,
    members: Vec<Arc<Pending>>,
}

impl Group<'_> {
    fn commit(self) {
        let mut seat = lock(&self.log.seat);
        let outcomes = self.write(&mut seat);
        self.log.trim(&mut seat);
        self.log.publish(&seat);
        drop(seat);
        match outcomes {
            Ok(outcomes) => {
                let newest = self.members.iter().filter_map(|member| newest_of(&member.batch)).max();
                self.log.outbox.count(&outcomes, newest);
                for (member, outcome) in self.members.iter().zip(outcomes) {
                    member.answer.set(Ok(outcome)).expect("a batch is answered once");
                }
            }
            Err(error) => {
                let error = AppendError::Unavailable(error.to_string());
                for member in &self.members {
                    member.answer.set(Err(error.clone())).expect("a batch is answered once");
                }
            }
        }
    }

    fn write(&self, seat: &mut Seat) -> Result<Vec<Outcome>, LogError> {
        let next_before = seat.log.next_number();
        seat.log.begin_group()?;
        if seat.log.next_number() != next_before {
            seat.series.begin_file(next_before);
        }
        let mut outcomes = Vec::with_capacity(self.members.len());
        let mut is_staged = false;
        for member in &self.members {
            let now_us = u64::try_from(self.log.options.clock.now_us()).unwrap_or(0);
            let (used, outcome) = seat.series.admit(&member.tenant, &member.batch, &member.acceptance);
            let rejected = RejectedSet::new(&outcome.rejections);
            let encoded = BatchEncoder::new(&member.batch, &used, &rejected).encode(&member.tenant);
            if !encoded.is_empty() {
                seat.seq_last = now_us.max(seat.seq_last + 1);
                let batch = &member.batch;
                seat.log.stage(seat.seq_last, &member.tenant, &used, &encoded, |at| {
                    batch.labels_of(&batch.series[at])
                });
                is_staged = true;
            }
            outcomes.push(outcome);
        }
        if is_staged {
            seat.log.commit(self.log.options.sync_each)?;
        }
        Ok(outcomes)
    }
}

impl Drop for Group<'_> {
    fn drop(&mut self) {
        for member in &self.members {
            // Only after a panic is there no answer yet.
            let _ = member.answer.set(Err(AppendError::Unavailable("a write ended early".to_owned())));
        }
        let mut queue = lock(&self.log.queue);
        queue.bytes -= self.members.iter().map(|member| member.bytes()).sum::<usize>();
        queue.is_taken = false;
        self.log.changed.notify_all();
    }
}
