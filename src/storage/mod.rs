//! The seam between storage and everything that writes or queries: [`Append`] and [`Select`], and plain types.
//!
//! Writers hand over a whole [`Batch`] and learn the outcome of each sample. Readers select series, see what each
//! holds in [`Piece`]s before anything is read, and then fill [`Columns`]. Tenant stands in both. Two implementers:
//! [`MemoryStore`], plain and obvious, which tests and the PromQL scripts run on, and the database.
//!
//! Promises of every implementer:
//! - what `append` answered `Ok` for is visible to every later `select`;
//! - rows of a selection are in rising fingerprint order, and stay the same however often they are read;
//! - the samples of a row have strictly rising times, merged over all places that hold some.

mod append;
mod columns;
mod limit;
mod memory;
mod select;

pub use append::{
    Acceptance, Append, AppendError, Batch, BatchSeries, DuplicatePolicy, ExemplarEntry, FloatEntry,
    HistogramEntry, MetadataEntry, OutOfOrder, Outcome, RawLabels, RejectReason, Rejection, SampleKind,
    SeriesHandle, SeriesIdentity,
};
pub use columns::{Columns, ColumnsRow};
pub use limit::{SeriesCause, SeriesLimit, SeriesLimits, SeriesRefusal};
pub use memory::MemoryStore;
pub use select::{
    Estimate, LabelPair, LabelsNeeded, LabelsRequest, Need, Piece, ReadRows, Select, SelectError,
    SelectRequest, Selection, SeriesExemplars, Statistics, Symbol, SymbolTable,
};
