//! What all groups share: where they read, where they write, whom they tell.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, RwLock};
use std::time::Duration;

use crate::lock::{read, write};
use crate::metrics::Counter;
use crate::model::{Labels, TenantId, Timestamp};
use crate::notify::Alert;
use crate::promql::{Engine, QueryOptions, QueryValue, SampleValue, VectorSample};
use crate::storage::{Append, Select};

use super::error::EvaluationError;

/// Least time between two messages about an alert that did not change, where nothing else is said.
const RESEND_DELAY_MS: i64 = 60_000;
/// Longest outage after which alerts go on where they were, where nothing else is said.
const OUTAGE_TOLERANCE_MS: i64 = 3_600_000;
/// Least time between a restart and the firing of an alert that was pending, where nothing else is said.
const GRACE_PERIOD_MS: i64 = 600_000;

/// Rules that take less in all are evaluated one after the other, where nothing else is said.
const BESIDE_FROM: Duration = Duration::from_millis(20);

/// Takes alerts that are to be told; does not block.
pub type Notify = Box<dyn Fn(Vec<Alert>) + Send + Sync>;

/// What all groups share. Made once; only [`Globals`] change later.
pub struct Environment {
    /// Evaluates expressions.
    pub engine: Engine,
    /// Where they read.
    pub select: Arc<dyn Select>,
    /// Where results are written.
    pub append: Arc<dyn Append>,
    /// Whose data it is.
    pub tenant: TenantId,
    /// Who is told of alerts.
    pub notify: Notify,
    /// URL under which the server is reached from outside, without a slash at its end.
    pub external_url: String,
    /// Least time between two messages about an alert that did not change.
    pub resend_delay_ms: i64,
    /// Longest outage after which alerts go on where they were.
    pub outage_tolerance_ms: i64,
    /// Least time between a restart and the firing of an alert that was pending.
    pub grace_period_ms: i64,
    /// Most rules that are evaluated beside others of their group, in all groups together.
    pub beside_max: usize,
    /// Rules that took less in all are evaluated one after the other: threads cost time too.
    pub beside_from: Duration,
    beside: AtomicUsize,
    /// Expansions of templates.
    pub(super) expansions: Counter,
    /// Those that failed.
    pub(super) expansion_failures: Counter,
    globals: RwLock<Arc<Globals>>,
    cancel: Arc<AtomicBool>,
}

/// Leave to evaluate a rule beside others.
pub(super) struct Beside<'a>(&'a AtomicUsize);

impl Drop for Beside<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

/// What a reload changes for all groups.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Globals {
    /// External labels, as templates see them.
    pub external_labels: Labels,
    /// How far in the past the rules of groups that say nothing are evaluated.
    pub query_offset_ms: i64,
}

impl Environment {
    /// With upstream's defaults; nobody is told of alerts.
    pub fn new(engine: Engine, select: Arc<dyn Select>, append: Arc<dyn Append>) -> Self {
        Self {
            engine,
            select,
            append,
            tenant: TenantId::default(),
            notify: Box::new(|_| {}),
            external_url: String::new(),
            resend_delay_ms: RESEND_DELAY_MS,
            outage_tolerance_ms: OUTAGE_TOLERANCE_MS,
            grace_period_ms: GRACE_PERIOD_MS,
            beside_max: 0,
            beside_from: BESIDE_FROM,
            beside: AtomicUsize::new(0),
            expansions: Counter::default(),
            expansion_failures: Counter::default(),
            globals: RwLock::default(),
            cancel: Arc::default(),
        }
    }

    /// What holds for all groups.
    pub fn globals(&self) -> Arc<Globals> {
        Arc::clone(&read(&self.globals))
    }

    /// From the next evaluation on, other values hold.
    pub fn set_globals(&self, globals: Globals) {
        *write(&self.globals) = Arc::new(globals);
    }

    /// Ends running queries and lets no evaluation begin another.
    pub fn cancel(&self) {
        self.cancel.store(true, Ordering::SeqCst);
    }

    /// Whether [`Self::cancel`] was called.
    pub fn is_cancelled(&self) -> bool {
        self.cancel.load(Ordering::SeqCst)
    }

    /// Lets a rule be evaluated beside others of its group, until the answer is dropped; `None` where too many are.
    pub(super) fn beside(&self) -> Option<Beside<'_>> {
        let more = |count: usize| (count < self.beside_max).then_some(count + 1);
        self.beside.fetch_update(Ordering::SeqCst, Ordering::SeqCst, more).ok().map(|_| Beside(&self.beside))
    }

    /// Settings of every query.
    pub(super) fn query_options(&self) -> QueryOptions {
        QueryOptions { cancel: Some(Arc::clone(&self.cancel)), ..QueryOptions::default() }
    }

    /// Answers a query that a template asks.
    pub(super) fn ask(&self, query: &str, at: Timestamp) -> Result<Vec<VectorSample>, EvaluationError> {
        let output =
            self.engine.instant(self.select.as_ref(), &self.tenant, query, at, &self.query_options())?;
        into_vector(output.value)
    }
}

/// A result as samples; a scalar is a sample without labels.
pub(super) fn into_vector(value: QueryValue) -> Result<Vec<VectorSample>, EvaluationError> {
    match value {
        QueryValue::Vector(samples) => Ok(samples),
        QueryValue::Scalar { t, v } => {
            Ok(vec![VectorSample { labels: Labels::default(), t, value: SampleValue::Float(v) }])
        }
        _ => Err(EvaluationError::NotVector),
    }
}
