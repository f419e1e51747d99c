//! Room on the disk that is kept for the manifest, so that a full disk can still let go of what fills it.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::fs::Fs;

/// Bytes kept: a manifest has some ten for each segment and some hundred for each deletion.
const RESERVE_BYTES: usize = 1 << 20;
/// Bytes that are free besides before the room is taken again.
const SPARE_BYTES: u64 = 16 << 20;
const RESERVE_NAME: &str = "reserve";

/// A file that only occupies room.
#[derive(Debug)]
pub(super) struct Reserve {
    fs: Arc<dyn Fs>,
    path: PathBuf,
}

impl Reserve {
    pub(super) fn new(fs: Arc<dyn Fs>, root: &Path) -> Self {
        Self { fs, path: root.join(RESERVE_NAME) }
    }

    /// Gives the room free. Whether there was some.
    pub(super) fn give(&self) -> bool {
        self.fs.remove(&self.path).is_ok()
    }

    /// Takes the room, unless it is taken or there is little left.
    pub(super) fn take(&self) {
        let root = self.path.parent().expect("the file lies in the database's directory");
        let is_taken = self.fs.len(&self.path).is_ok_and(|len| len >= RESERVE_BYTES as u64);
        if is_taken || !self.fs.available_bytes(root).is_ok_and(|bytes| bytes >= SPARE_BYTES) {
            return;
        }
        // One that was cut off.
        let _ = self.fs.remove(&self.path);
        if let Err(error) = self.write() {
            tracing::warn!(path = %self.path.display(), %error, "cannot keep room for a full disk");
            let _ = self.fs.remove(&self.path);
        }
    }

    fn write(&self) -> io::Result<()> {
        let mut file = self.fs.create(&self.path)?;
        // Not zeros: a file system that compresses would store nothing.
        let mut state = 0x9e37_79b9_7f4a_7c15_u64;
        let mut bytes = Vec::with_capacity(RESERVE_BYTES);
        while bytes.len() < RESERVE_BYTES {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            bytes.extend_from_slice(&state.to_le_bytes());
        }
        file.append(&bytes)?;
        file.sync_data()
    }
}
