//! Opening: what an earlier process left becomes a view.

use std::collections::BTreeSet;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::clock::Clock;
use crate::fs::Fs;
use crate::head::{Epoch, Head, Publication};
use crate::model::{Labels, TenantId};
use crate::segment::SegmentError;
use crate::storage::SeriesIdentity;
use crate::wal::{
    LogFileFacts, LoggedBatch, RejectedSet, log_file_name, log_file_number, read_log_file_with,
};

use super::StorageError;
use super::flush::{SegmentFiles, segment_file_number};
use super::manifest::{Loaded, Manifest, ManifestStore};
use super::view::LiveSegment;

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

/// Live segments as an earlier process left them.
#[derive(Debug)]
pub(super) struct OpenedSegments {
    pub(super) manifest: Manifest,
    pub(super) segments: Vec<Arc<LiveSegment>>,
    /// Segments that are damaged, missing or unreadable, and left out.
    pub(super) damaged: u64,
}

/// Reads the manifest and opens what it names. What no manifest names is removed: it was superseded, or never became
/// live. Where the newest manifest is damaged the segments' own footers take its place: every segment is live. What was
/// superseded comes back by that, but it is the same samples with the same sequence numbers.
pub(super) fn open_segments(
    fs: &Arc<dyn Fs>,
    layout: &Layout,
    manifests: &ManifestStore,
) -> Result<OpenedSegments, StorageError> {
    let files = SegmentFiles { fs: Arc::clone(fs), directory: layout.segments.clone() };
    let names =
        fs.list(&layout.segments).map_err(|error| StorageError::io("list", &layout.segments, error))?;
    let present: BTreeSet<u64> = names.iter().filter_map(|name| segment_file_number(name)).collect();
    for name in names.iter().filter(|name| name.ends_with(".tmp")) {
        let _ = fs.remove(&layout.segments.join(name));
    }
    let (mut manifest, is_whole) = match manifests.load()? {
        Loaded::Newest(manifest) => (manifest, true),
        // The first flush did not end, or somebody removed the manifests: either way segments are sound.
        Loaded::Nothing => (Manifest::default(), false),
        Loaded::Damaged(manifest) => (manifest, false),
    };
    if is_whole {
        for number in present.difference(&manifest.segments) {
            let _ = fs.remove(&files.path(*number));
        }
    } else {
        manifest.segments.extend(&present);
    }
    let mut opened = OpenedSegments { manifest, segments: Vec::new(), damaged: 0 };
    for number in opened.manifest.segments.clone() {
        match open_segment(fs, &files, number)? {
            Some(segment) => opened.segments.push(segment),
            None => {
                opened.damaged += 1;
                opened.manifest.segments.remove(&number);
            }
        }
    }
    let next = present.last().map_or(1, |last| last + 1);
    opened.manifest.next_segment = opened.manifest.next_segment.max(next);
    Ok(opened)
}

/// Opens a segment; `None` where it is missing or damaged. A damaged one is kept under another name.
fn open_segment(
    fs: &Arc<dyn Fs>,
    files: &SegmentFiles,
    number: u64,
) -> Result<Option<Arc<LiveSegment>>, StorageError> {
    let path = files.path(number);
    match fs.len(&path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            tracing::error!(path = %path.display(), "segment is missing");
            return Ok(None);
        }
        Err(error) => return Err(StorageError::io("read", &path, error)),
        Ok(_) => {}
    }
    match LiveSegment::open(fs, path.clone(), number) {
        Ok(segment) => Ok(Some(segment)),
        Err(SegmentError::Corrupt { offset, rule, .. }) => {
            tracing::error!(path = %path.display(), offset, rule, "segment is damaged and left out");
            let _ = fs.rename(&path, &path.with_extension("seg.damaged"));
            Ok(None)
        }
        Err(error) => Err(StorageError::io("read", &path, io::Error::other(error.to_string()))),
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
        let log = LogFile { fs, path: &path, number, flushed_seq };
        let identify = |tenant: &TenantId, labels: &Labels| {
            SeriesIdentity::Known(head.handle(tenant, labels, clock.now_ms()))
        };
        let facts = log.replay(&mut replayed, identify, |logged| {
            publish_logged(head, epoch, clock, &logged);
        })?;
        replayed.files.push(facts);
    }
    fs.sync_dir(&layout.log).map_err(|error| StorageError::io("sync", &layout.log, error))?;
    Ok(replayed)
}

/// A log file to replay.
struct LogFile<'a> {
    fs: &'a dyn Fs,
    path: &'a Path,
    number: u64,
    flushed_seq: u64,
}

impl LogFile<'_> {
    /// Gives what is above `flushed_seq` to `visit`, its series named as `identify` knows them.
    fn replay(
        &self,
        replayed: &mut Replayed,
        identify: impl FnMut(&TenantId, &Labels) -> SeriesIdentity,
        visit: impl FnMut(LoggedBatch),
    ) -> Result<LogFileFacts, StorageError> {
        let Self { fs, path, number, flushed_seq } = *self;
        let mapping = match fs.map(path) {
            Ok(mapping) => mapping,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                return Ok(LogFileFacts { number, bytes: 0, seq_max: 0 });
            }
            Err(error) => return Err(StorageError::io("read", path, error)),
        };
        let bytes = mapping.bytes();
        let report = read_log_file_with(bytes, number, flushed_seq, identify, visit);
        let report = report.map_err(|error| StorageError::Corrupt {
            path: path.to_owned(),
            offset: error.offset,
            rule: error.rule.to_owned(),
        })?;
        if !mapping.is_sound() {
            let error = io::Error::other("it cannot be read where it is mapped");
            return Err(StorageError::io("read", path, error));
        }
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
}

fn publish_logged(head: &Head, epoch: &Arc<Epoch>, clock: &Clock, logged: &LoggedBatch) {
    let now_ms = clock.now_ms();
    let LoggedBatch { seq, tenant, batch } = logged;
    let resolved =
        head.resolve(tenant, batch, now_ms).expect("no series leaves the head while the log is replayed");
    for entry in &batch.metadata {
        head.add_metadata(tenant, &entry.metric, &entry.metadata);
    }
    epoch.publish(&Publication {
        seq: *seq,
        now_ms,
        log_bytes: batch.sample_count() as u64 * 16,
        tenant,
        batch,
        // There are no limits yet: what was acknowledged is never refused.
        places: &resolved.places,
        rejected: &RejectedSet::default(),
    });
}
