//! What can go wrong with the database as a whole.

use std::io;
use std::path::{Path, PathBuf};

/// Why the database cannot be opened, flushed or closed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StorageError {
    /// The operating system refused.
    #[error("cannot {action} {}: {source}", path.display())]
    Io {
        /// What was tried.
        action: &'static str,
        /// On what.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// Another process has the directory.
    #[error("{} is in use by another process", path.display())]
    Locked {
        /// The directory.
        path: PathBuf,
    },
    /// The bytes break a rule of `storage-format.md`.
    #[error("{}: corrupt at byte {offset}: {rule}", path.display())]
    Corrupt {
        /// The file.
        path: PathBuf,
        /// Where in it.
        offset: u64,
        /// Which rule.
        rule: String,
    },
    /// The database is closed.
    #[error("storage is closed")]
    Closed,
}

impl StorageError {
    /// An error of the system, with what was tried.
    pub(crate) fn io(action: &'static str, path: &Path, source: io::Error) -> Self {
        Self::Io { action, path: path.to_owned(), source }
    }
}
