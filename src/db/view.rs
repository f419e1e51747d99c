//! What a query sees: live segments and epochs of the head, all of one moment.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::fs::{Fs, Mapping};
use crate::head::{Epoch, PinnedEpoch};
use crate::segment::{SegmentError, SegmentMeta, SegmentReader, Source};

use super::deletion::{Deletions, TouchedRows};

/// A segment in use. Its file is removed when it was superseded and nobody uses it any more.
pub(super) struct LiveSegment {
    pub(super) number: u64,
    pub(super) reader: SegmentReader,
    pub(super) bytes: u64,
    /// What deletions touch of it, as far as somebody asked.
    pub(super) touched: TouchedRows,
    path: PathBuf,
    fs: Arc<dyn Fs>,
    mapping: Arc<dyn Mapping>,
    is_superseded: AtomicBool,
    is_damaged: AtomicBool,
}

impl LiveSegment {
    /// Opens segment `number` in the file at `path`.
    pub(super) fn open(fs: &Arc<dyn Fs>, path: PathBuf, number: u64) -> Result<Arc<Self>, SegmentError> {
        let name = path.display().to_string();
        let mapping = fs
            .map(&path)
            .map_err(|error| SegmentError::Read { name: name.clone(), reason: error.to_string() })?;
        let bytes = mapping.bytes().len() as u64;
        let source = MappedSource { name, mapping: Arc::clone(&mapping) };
        let reader = SegmentReader::open(Arc::new(source))?;
        Ok(Arc::new(Self {
            number,
            reader,
            bytes,
            touched: TouchedRows::default(),
            path,
            fs: Arc::clone(fs),
            mapping,
            is_superseded: AtomicBool::new(false),
            is_damaged: AtomicBool::new(false),
        }))
    }

    pub(super) fn meta(&self) -> &SegmentMeta {
        self.reader.meta()
    }

    pub(super) fn path(&self) -> &std::path::Path {
        &self.path
    }

    /// What errors of its reader call it.
    pub(super) fn reader_name(&self) -> String {
        self.path.display().to_string()
    }

    /// Whether some of it could not be read. It is not merged any more, and answers what can be read.
    pub(super) fn is_damaged(&self) -> bool {
        self.is_damaged.load(Ordering::Relaxed)
    }

    /// Remembers, and reports once, that some of it cannot be read.
    pub(super) fn set_damaged(&self, error: &dyn std::fmt::Display) {
        if !self.is_damaged.swap(true, Ordering::Relaxed) {
            tracing::error!(path = %self.path.display(), %error, "segment is damaged");
        }
    }

    /// Whether its file still is what was mapped. Called after its bytes were used, so that what was read in place of
    /// lost bytes is not taken for theirs.
    pub(super) fn check(&self) -> Result<(), SegmentError> {
        if self.mapping.is_sound() { Ok(()) } else { self.lost() }
    }

    /// As [`Self::check`], and asks the system for the file's length. Called before its bytes are used.
    pub(super) fn check_whole(&self) -> Result<(), SegmentError> {
        if self.mapping.is_sound() && self.mapping.is_whole() { Ok(()) } else { self.lost() }
    }

    fn lost(&self) -> Result<(), SegmentError> {
        let reason = "the file was cut off or cannot be read where it is mapped".to_owned();
        let error = SegmentError::Read { name: self.reader_name(), reason };
        self.set_damaged(&error);
        Err(error)
    }

    /// The manifest names it no more: the last user removes the file.
    pub(super) fn supersede(&self) {
        self.is_superseded.store(true, Ordering::Release);
    }
}

impl Drop for LiveSegment {
    fn drop(&mut self) {
        if self.is_superseded.load(Ordering::Acquire) {
            // A file that stays is found and removed at the next start.
            let _ = self.fs.remove(&self.path);
        }
    }
}

impl std::fmt::Debug for LiveSegment {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("LiveSegment").field("path", &self.path).field("meta", self.meta()).finish()
    }
}

/// A mapped local file.
struct MappedSource {
    name: String,
    mapping: Arc<dyn Mapping>,
}

impl Source for MappedSource {
    fn ensure(&self, _ranges: &[std::ops::Range<u64>]) -> Result<(), SegmentError> {
        Ok(())
    }

    fn bytes(&self) -> &[u8] {
        self.mapping.bytes()
    }

    fn name(&self) -> &str {
        &self.name
    }
}

/// Everything that is stored, at one moment; only the current epoch still grows.
#[derive(Debug)]
pub(super) struct View {
    /// In rising order of their highest sequence number: of samples at one time the later segment's wins.
    pub(super) segments: Vec<Arc<LiveSegment>>,
    /// Epochs that no longer grow and are not in segments yet, oldest first.
    pub(super) frozen: Vec<Arc<Epoch>>,
    /// What is being written.
    pub(super) current: Arc<Epoch>,
    /// What is hidden of the segments.
    pub(super) deletions: Arc<Deletions>,
}

impl View {
    /// A view of these parts, with the segments in order.
    pub(super) fn new(
        mut segments: Vec<Arc<LiveSegment>>,
        frozen: Vec<Arc<Epoch>>,
        current: Arc<Epoch>,
        deletions: Arc<Deletions>,
    ) -> Self {
        segments.sort_by_key(|segment| (segment.meta().seq_max, segment.meta().seq_min, segment.number));
        Self { segments, frozen, current, deletions }
    }

    /// The epochs as they are now, oldest first.
    pub(super) fn pin_epochs(&self) -> Vec<PinnedEpoch> {
        self.frozen.iter().chain([&self.current]).map(Epoch::pin).collect()
    }

    /// The epochs that hold samples which are in no segment.
    pub(super) fn epochs(&self) -> impl Iterator<Item = &Arc<Epoch>> {
        self.frozen.iter().chain([&self.current])
    }
}
