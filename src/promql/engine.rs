//! The engine: a query's text in, its value out, within limits.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use crate::model::{TenantId, Timestamp};
use crate::storage::Select;

use super::parse::ParserOptions;
use super::value::QueryOutput;

/// Settings that hold for all queries of an engine.
#[derive(Clone, Debug, PartialEq)]
pub struct EngineOptions {
    /// What the parser accepts.
    pub parser: ParserOptions,
    /// How far an instant selector looks back, in milliseconds.
    pub lookback_delta_ms: i64,
    /// Most samples that a query may hold at a time.
    pub samples_max: u64,
    /// Longest that a query may run.
    pub timeout: Duration,
    /// Step of subqueries that name none, in milliseconds.
    pub subquery_step_ms: i64,
    /// Metric names are dropped when the result is ready, not by each function.
    pub delayed_name_removal: bool,
    /// `rate` and its like use start timestamps.
    pub use_start_timestamps: bool,
    /// Functions judge a metric by its `__type__` label instead of its name.
    pub type_and_unit_labels: bool,
}

impl Default for EngineOptions {
    fn default() -> Self {
        Self {
            parser: ParserOptions::default(),
            lookback_delta_ms: 300_000,
            samples_max: 50_000_000,
            timeout: Duration::from_secs(120),
            subquery_step_ms: 60_000,
            delayed_name_removal: false,
            use_start_timestamps: false,
            type_and_unit_labels: false,
        }
    }
}

/// Settings of one query.
#[derive(Clone, Debug, Default)]
pub struct QueryOptions {
    /// Instead of the engine's lookback.
    pub lookback_delta_ms: Option<i64>,
    /// Instead of the engine's timeout, where shorter.
    pub timeout: Option<Duration>,
    /// Set it to end the query early.
    pub cancel: Option<Arc<AtomicBool>>,
    /// Count samples by step.
    pub per_step_stats: bool,
    /// Most warnings that are listed, and most infos; 0 lists all.
    pub annotations_max: usize,
}

/// Why a query has no value. The texts are upstream's.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum QueryError {
    /// The text is not a query, or not one of the kind asked for.
    #[error("{0}")]
    Parse(String),
    /// The query cannot be evaluated over this data.
    #[error("{0}")]
    Execution(String),
    /// It ran too long.
    #[error("query timed out in {0}")]
    Timeout(&'static str),
    /// It was ended early.
    #[error("query was canceled in {0}")]
    Canceled(&'static str),
    /// It would hold too many samples.
    #[error("query processing would load too many samples into memory in query execution")]
    TooManySamples,
    /// The store failed.
    #[error("{0}")]
    Storage(String),
}

/// Evaluates queries. Cheap to share; holds no state of a query.
#[derive(Clone, Debug)]
pub struct Engine {
    options: EngineOptions,
}

impl Engine {
    /// An engine with these settings.
    pub fn new(options: EngineOptions) -> Self {
        Self { options }
    }

    /// Its settings.
    pub fn options(&self) -> &EngineOptions {
        &self.options
    }

    /// The value of `query` at one time.
    pub fn instant(
        &self,
        _store: &dyn Select,
        _tenant: &TenantId,
        _query: &str,
        _at: Timestamp,
        _options: &QueryOptions,
    ) -> Result<QueryOutput, QueryError> {
        Err(QueryError::Execution("no operators yet".to_owned()))
    }

    /// The values of `query` at `start`, `start + step_ms` and so on up to `end`, which may be one of them.
    #[expect(clippy::too_many_arguments, reason = "a range has three numbers")]
    pub fn range(
        &self,
        _store: &dyn Select,
        _tenant: &TenantId,
        _query: &str,
        _start: Timestamp,
        _end: Timestamp,
        _step_ms: i64,
        _options: &QueryOptions,
    ) -> Result<QueryOutput, QueryError> {
        Err(QueryError::Execution("no operators yet".to_owned()))
    }
}
