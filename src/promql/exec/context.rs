//! What the operators of one query share: store, labels, annotations, limits and counts.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use crate::model::{TenantId, Timestamp};
use crate::promql::annotations::Annotations;
use crate::promql::engine::QueryError;
use crate::promql::plan::StepGrid;
use crate::storage::Select;

use super::labels::LabelSets;

/// Most steps of a grid, whatever the limit on samples.
const STEPS_MAX: usize = 50_000_000;
/// Steps that a grid may have even where fewer samples are allowed.
const STEPS_MIN: usize = 100_000;

/// Error of two series that cannot be told apart any more.
pub(crate) const SAME_LABELS: &str = "vector cannot contain metrics with the same labelset";

/// Settings of a query.
#[derive(Clone, Debug)]
pub(crate) struct Settings {
    /// How far an instant selector looks back.
    pub(crate) lookback_ms: i64,
    /// Step of subqueries that name none.
    pub(crate) subquery_step_ms: i64,
    /// Names are dropped at the end.
    pub(crate) delayed_name_removal: bool,
    /// Start timestamps count.
    pub(crate) use_start_timestamps: bool,
    /// `__type__` tells counters.
    pub(crate) type_and_unit_labels: bool,
    /// Most samples held at a time.
    pub(crate) samples_max: u64,
    /// When to give up.
    pub(crate) deadline: Option<Instant>,
    /// Set from outside to end the query.
    pub(crate) cancel: Option<Arc<AtomicBool>>,
}

/// Samples looked at, by step of the outermost grid.
#[derive(Clone, Debug, Default)]
pub(crate) struct SampleCounts {
    /// Held now.
    pub(crate) held: u64,
    /// Most held at a time.
    pub(crate) peak: u64,
    /// Looked at; once for each step.
    pub(crate) total: u64,
    /// Read from storage.
    pub(crate) read: u64,
    /// Looked at by step, where that was asked for.
    pub(crate) per_step: Option<(StepGrid, Vec<u64>)>,
}

/// Shared by all operators of a query.
pub(crate) struct Context<'q> {
    /// Where samples come from.
    pub(crate) store: &'q dyn Select,
    /// Whose samples.
    pub(crate) tenant: &'q TenantId,
    /// Settings.
    pub(crate) settings: Settings,
    /// Label sets.
    pub(crate) labels: LabelSets,
    /// What there is to say about the result.
    pub(crate) annotations: Annotations,
    /// Samples.
    pub(crate) samples: SampleCounts,
}

impl Context<'_> {
    /// Whether the query may go on; asked once per row.
    pub(crate) fn check(&self) -> Result<(), QueryError> {
        const WHERE: &str = "expression evaluation";
        if self.settings.cancel.as_ref().is_some_and(|cancel| cancel.load(Ordering::Relaxed)) {
            return Err(QueryError::Canceled(WHERE));
        }
        if self.settings.deadline.is_some_and(|deadline| Instant::now() >= deadline) {
            return Err(QueryError::Timeout(WHERE));
        }
        Ok(())
    }

    /// Refuses a grid that alone would take too much memory: rows hold a value per step.
    pub(crate) fn check_steps(&self, grid: &StepGrid) -> Result<(), QueryError> {
        let steps_max =
            usize::try_from(self.settings.samples_max).unwrap_or(STEPS_MAX).clamp(STEPS_MIN, STEPS_MAX);
        if grid.count > steps_max { Err(QueryError::TooManySamples) } else { Ok(()) }
    }

    /// Counts samples that are held from now on.
    pub(crate) fn hold(&mut self, count: u64) -> Result<(), QueryError> {
        self.samples.held += count;
        self.samples.peak = self.samples.peak.max(self.samples.held);
        if self.samples.held > self.settings.samples_max {
            return Err(QueryError::TooManySamples);
        }
        Ok(())
    }

    /// Counts samples that are not held any more.
    pub(crate) fn release(&mut self, count: u64) {
        self.samples.held = self.samples.held.saturating_sub(count);
    }

    /// Counts samples that a step looked at.
    pub(crate) fn looked_at(&mut self, t: Timestamp, count: u64) {
        self.samples.total += count;
        if let Some((grid, counts)) = &mut self.samples.per_step {
            let step = usize::try_from(t.saturating_sub(grid.start) / grid.step_ms).unwrap_or(0);
            if let Some(last) = counts.len().checked_sub(1) {
                counts[step.min(last)] += count;
            }
        }
    }
}

/// An error of the query over this data.
pub(crate) fn fail<T>(text: impl Into<String>) -> Result<T, QueryError> {
    Err(QueryError::Execution(text.into()))
}
