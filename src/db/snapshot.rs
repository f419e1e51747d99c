//! Snapshots: directories that hold the same segments by hard links, and that a server can be started on.

use std::path::Path;
use std::sync::atomic::Ordering;

use crate::lock::lock;
use crate::model::Timestamp;

use super::flush::segment_file_name;
use super::manifest::ManifestStore;
use super::recover::Layout;
use super::{Database, StorageError};

/// Name of the directory with the snapshots.
const SNAPSHOTS: &str = "snapshots";

impl Database {
    /// Makes a directory in `snapshots/` that holds everything that is stored at this moment, and returns its name. With
    /// `skip_head` what is not in segments yet is left out, else it is put there first. Costs a link for each segment;
    /// the bytes stay shared until compaction replaces them.
    ///
    /// A snapshot is a data directory: restoring it is starting on it, or on a copy.
    pub fn snapshot(&self, skip_head: bool) -> Result<String, StorageError> {
        if !skip_head {
            self.flush_head()?;
        }
        let (view, mut manifest) = {
            let jobs = lock(&self.jobs);
            if self.is_closed() {
                return Err(StorageError::Closed);
            }
            (self.view(), jobs.manifest.clone())
        };
        let now_ms = self.options.clock.now_ms();
        let number = self.counters.snapshots.fetch_add(1, Ordering::Relaxed);
        let name = name(now_ms, manifest.generation, number);
        let fs = &*self.files.fs;
        let snapshots = self.layout.root.join(SNAPSHOTS);
        let unfinished = Layout::new(&snapshots.join(format!("{name}.tmp")));
        let io = |action, path: &Path| {
            let path = path.to_owned();
            move |error| StorageError::io(action, &path, error)
        };
        unfinished.create(fs)?;
        // The view keeps the files of its segments, whatever is compacted meanwhile.
        for segment in &view.segments {
            let link = unfinished.segments.join(segment_file_name(segment.number));
            fs.link(segment.path(), &link).map_err(io("link", &link))?;
        }
        fs.sync_dir(&unfinished.segments).map_err(io("sync", &unfinished.segments))?;
        manifest.segments = view.segments.iter().map(|segment| segment.number).collect();
        let store = ManifestStore::new(self.files.fs.clone(), unfinished.root.clone(), None);
        store.write(&manifest).map_err(|failure| failure.error)?;
        // It has its name when it is whole.
        let finished = snapshots.join(&name);
        fs.rename(&unfinished.root, &finished).map_err(io("rename", &unfinished.root))?;
        for directory in [&snapshots, &self.layout.root] {
            fs.sync_dir(directory).map_err(io("sync", directory))?;
        }
        Ok(name)
    }
}

/// The time, and a number that tells snapshots of one second apart.
fn name(now_ms: Timestamp, generation: u64, number: u64) -> String {
    let at = jiff::Timestamp::from_millisecond(now_ms).unwrap_or_default();
    let seed = format!("{now_ms} {generation} {number}");
    format!("{}-{:016x}", at.strftime("%Y%m%dT%H%M%SZ"), xxhash_rust::xxh64::xxh64(seed.as_bytes(), 0))
}
