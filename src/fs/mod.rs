//! The one place that opens, maps, syncs, renames and lists files.
//!
//! Everything stored goes through [`Fs`], so that a test can hand in a file system that fails, tears and forgets
//! ([`FaultFs`]) where the product uses the real one ([`RealFs`]). What is assumed of a file system, and in which order
//! the database calls it, is in `storage-format.md`, "What is assumed of the disk".

mod bus_error;
mod fault;
mod map;
mod real;

use std::fmt::Debug;
use std::io;
use std::path::Path;
use std::sync::Arc;

pub use fault::{CrashMode, FaultFs, FaultKind};
pub use real::RealFs;

/// Bytes of a whole file as they were when it was mapped; files that are mapped never change.
pub trait Mapping: Send + Sync + Debug {
    /// All bytes. Where the system cannot provide some of them, as of a file that was cut off, these are zeros.
    fn bytes(&self) -> &[u8];

    /// Whether the system could provide all bytes that were used so far. Costs nothing.
    fn is_sound(&self) -> bool {
        true
    }

    /// Whether the file still is as long as it was: behind a new end the rest of its last page reads as zeros, and
    /// nothing else tells. Costs a call of the system.
    fn is_whole(&self) -> bool {
        true
    }
}

/// A file that only grows.
pub trait AppendFile: Send + Debug {
    /// Adds all of `bytes` at the end. After an error any part of them may be there.
    fn append(&mut self, bytes: &[u8]) -> io::Result<()>;

    /// Answers when everything added so far is durable. After an error nothing is known of what was added since the
    /// last success, and trying again proves nothing: the file is to be abandoned.
    fn sync_data(&mut self) -> io::Result<()>;
}

/// Held while a directory is in use; gives it free when dropped.
pub trait DirectoryLock: Send + Sync + Debug {}

/// What the database asks of a file system.
pub trait Fs: Send + Sync + Debug {
    /// A new, empty file; an error where the name is taken. Its name is durable after [`Fs::sync_dir`].
    fn create(&self, path: &Path) -> io::Result<Box<dyn AppendFile>>;

    /// The whole file, copied.
    fn read(&self, path: &Path) -> io::Result<Vec<u8>>;

    /// The whole file, mapped where the system can, else copied.
    fn map(&self, path: &Path) -> io::Result<Arc<dyn Mapping>>;

    /// Makes durable what an earlier process wrote to a file.
    fn sync_file(&self, path: &Path) -> io::Result<()>;

    /// Makes durable which names a directory holds.
    fn sync_dir(&self, path: &Path) -> io::Result<()>;

    /// Gives a file a second name, in a directory of the same file system; where it cannot have two, a durable copy.
    fn link(&self, from: &Path, to: &Path) -> io::Result<()>;

    /// Gives a file another name in its directory, in one step, replacing what had it. Or a directory another name that
    /// is free.
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()>;

    /// Takes a name away; who has the file mapped keeps its bytes.
    fn remove(&self, path: &Path) -> io::Result<()>;

    /// Names of the files in a directory, sorted.
    fn list(&self, path: &Path) -> io::Result<Vec<String>>;

    /// Makes a directory and those above it.
    fn create_dir_all(&self, path: &Path) -> io::Result<()>;

    /// Length of a file in bytes.
    fn len(&self, path: &Path) -> io::Result<u64>;

    /// Bytes that may still be written in that directory.
    fn available_bytes(&self, path: &Path) -> io::Result<u64>;

    /// Bytes that the file system of that directory can hold.
    fn capacity_bytes(&self, path: &Path) -> io::Result<u64>;

    /// Locks a directory through a file in it; `WouldBlock` where another holds the lock.
    fn lock(&self, path: &Path) -> io::Result<Box<dyn DirectoryLock>>;
}
