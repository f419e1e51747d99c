//! Why one evaluation of a rule failed.

use crate::promql::QueryError;
use crate::storage::SelectError;

/// Why an evaluation failed. The texts are upstream's.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum EvaluationError {
    /// Its query failed.
    #[error("{0}")]
    Query(#[from] QueryError),
    /// What was stored of its alerts cannot be read.
    #[error("{0}")]
    Stored(#[from] SelectError),
    /// Its query gives a text or a range.
    #[error("rule result is not a vector or scalar")]
    NotVector,
    /// Two results would be the same series.
    #[error("vector contains metrics with the same labelset after applying rule labels")]
    DuplicateSeries,
    /// Two results would be the same alert.
    #[error("vector contains metrics with the same labelset after applying alert labels")]
    DuplicateAlert,
    /// Too many results.
    #[error("exceeded limit of {limit} with {found} series")]
    SeriesLimit {
        /// How many the group allows.
        limit: u64,
        /// How many there are.
        found: u64,
    },
    /// Too much for one write.
    #[error("a result of {bytes} bytes is too large: {bytes_max} can be written at a time")]
    TooLarge {
        /// How large it is, about.
        bytes: usize,
        /// How large one may be.
        bytes_max: usize,
    },
    /// Too many alerts.
    #[error("exceeded limit of {limit} with {found} alerts")]
    AlertLimit {
        /// How many the group allows.
        limit: u64,
        /// How many there are.
        found: u64,
    },
}
