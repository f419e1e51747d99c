//! What a database is opened with.

use std::path::PathBuf;
use std::sync::Arc;

use crate::clock::Clock;
use crate::fs::{Fs, RealFs};
use crate::storage::SeriesLimits;

use super::retention::Retention;

/// When a write is durable.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum WalSync {
    /// Before it is answered; requests that wait together share one sync.
    #[default]
    Always,
    /// At most so many milliseconds after it was answered.
    Interval(u64),
    /// When the operating system sees fit.
    Never,
}

/// What a database is opened with.
#[derive(Clone, Debug)]
pub struct DatabaseOptions {
    /// Directory that holds everything; made where it is missing.
    pub path: PathBuf,
    /// What time it is.
    pub clock: Clock,
    /// Where the files are.
    pub fs: Arc<dyn Fs>,
    /// When a write is durable.
    pub wal_sync: WalSync,
    /// What is kept.
    pub retention: Retention,
    /// Parts of the head that are locked apart; a power of two.
    pub shards: usize,
    /// Longest time that samples stay in memory only, in milliseconds.
    pub flush_interval_ms: i64,
    /// Most bytes of log that are not in segments yet, before a flush begins.
    pub flush_log_bytes: u64,
    /// Most bytes of writes that wait for the disk; beyond it writes are refused as busy.
    pub queue_bytes_max: usize,
    /// Size at which a new log file begins (or at four times its series definitions, if that is more).
    pub log_file_bytes: u64,
    /// Batches of the log with higher sequence numbers are kept for those who forward them, as
    /// [`Database::keep_log_after`](super::Database::keep_log_after) has it; `u64::MAX` for none.
    pub keep_log_after: u64,
    /// Most series that the head may know; new ones beyond are refused.
    pub series_limits: SeriesLimits,
}

impl DatabaseOptions {
    /// The product's settings for a database in `path`: the real clock and disk, durable before answered, no retention,
    /// any number of series.
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self {
            path: path.into(),
            clock: Clock::System,
            fs: Arc::new(RealFs::mapped()),
            wal_sync: WalSync::Always,
            retention: Retention::default(),
            shards: 16,
            flush_interval_ms: 30 * 60 * 1_000,
            flush_log_bytes: 128 << 20,
            queue_bytes_max: 64 << 20,
            log_file_bytes: 256 << 20,
            keep_log_after: u64::MAX,
            series_limits: SeriesLimits::default(),
        }
    }
}
