//! The engine: a query's text in, its value out, within limits.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::{Duration, Instant};

use crate::model::{TenantId, Timestamp};
use crate::storage::Select;

use super::annotations::Annotations;
use super::exec::{Context, LabelSets, SampleCounts, Settings, evaluate};
use super::parse::ast::{Expr, ValueType};
use super::parse::{ParserOptions, parse_expr};
use super::plan::{QueryTimes, StepGrid, plan};
use super::value::{QueryOutput, QueryStats};

/// Lookback where none is set.
const LOOKBACK_DELTA_MS: i64 = 300_000;

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
            lookback_delta_ms: LOOKBACK_DELTA_MS,
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

/// A query that was parsed, to be evaluated any number of times.
#[derive(Clone, Debug, PartialEq)]
pub struct Prepared {
    text: String,
    expr: Expr,
}

impl Prepared {
    /// As it was written.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// Its tree.
    pub fn expr(&self) -> &Expr {
        &self.expr
    }
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

    /// Parses a query.
    pub fn prepare(&self, query: &str) -> Result<Prepared, QueryError> {
        let expr =
            parse_expr(query, &self.options.parser).map_err(|error| QueryError::Parse(error.to_string()))?;
        Ok(Prepared { text: query.to_owned(), expr })
    }

    /// The value of `query` at one time.
    pub fn instant(
        &self,
        store: &dyn Select,
        tenant: &TenantId,
        query: &str,
        at: Timestamp,
        options: &QueryOptions,
    ) -> Result<QueryOutput, QueryError> {
        let started = Instant::now();
        let query = self.prepare(query)?;
        let times = QueryTimes { start: at, end: at, step_ms: 0 };
        self.run(store, tenant, &query, times, StepGrid::instant(at), false, options, started)
    }

    /// The value of a prepared query at one time.
    pub fn instant_prepared(
        &self,
        store: &dyn Select,
        tenant: &TenantId,
        query: &Prepared,
        at: Timestamp,
        options: &QueryOptions,
    ) -> Result<QueryOutput, QueryError> {
        let times = QueryTimes { start: at, end: at, step_ms: 0 };
        self.run(store, tenant, query, times, StepGrid::instant(at), false, options, Instant::now())
    }

    /// The values of `query` at `start`, `start + step_ms` and so on up to `end`, which may be one of them.
    #[expect(clippy::too_many_arguments, reason = "a range has three numbers")]
    pub fn range(
        &self,
        store: &dyn Select,
        tenant: &TenantId,
        query: &str,
        start: Timestamp,
        end: Timestamp,
        step_ms: i64,
        options: &QueryOptions,
    ) -> Result<QueryOutput, QueryError> {
        if step_ms <= 0 {
            return Err(QueryError::Parse("the step must be above zero".to_owned()));
        }
        let started = Instant::now();
        let query = self.prepare(query)?;
        check_range_type(&query.expr)?;
        let times = QueryTimes { start, end, step_ms };
        self.run(store, tenant, &query, times, StepGrid::range(start, end, step_ms), true, options, started)
    }

    #[expect(clippy::too_many_arguments, reason = "what a query is: a tree, times and where its data are")]
    fn run(
        &self,
        store: &dyn Select,
        tenant: &TenantId,
        query: &Prepared,
        times: QueryTimes,
        grid: StepGrid,
        as_range: bool,
        options: &QueryOptions,
        started: Instant,
    ) -> Result<QueryOutput, QueryError> {
        let node = plan(&query.expr, &times).map_err(|error| QueryError::Parse(error.0))?;
        let prepare_time = started.elapsed();
        let mut cx = Context {
            store,
            tenant,
            settings: self.settings(options, started),
            labels: LabelSets::default(),
            annotations: Annotations::default(),
            samples: SampleCounts::default(),
        };
        cx.check()?;
        cx.check_steps(&grid)?;
        cx.samples.per_step = options.per_step_stats.then(|| (grid, vec![0; grid.count]));
        let (value, sort_time) = evaluate(&node, grid, as_range, &mut cx)?;
        let (warnings, infos) = cx.annotations.render(&query.text, options.annotations_max);
        let total_time = started.elapsed();
        let stats = QueryStats {
            samples_total: cx.samples.total,
            samples_per_step: cx.samples.per_step.map(|(grid, counts)| {
                counts.into_iter().enumerate().map(|(step, count)| (grid.time(step), count)).collect()
            }),
            samples_read: cx.samples.read,
            samples_peak: cx.samples.peak,
            prepare_time,
            evaluate_time: total_time.saturating_sub(prepare_time + sort_time),
            sort_time,
            total_time,
        };
        Ok(QueryOutput { value, warnings, infos, stats })
    }

    fn settings(&self, options: &QueryOptions, started: Instant) -> Settings {
        let engine = &self.options;
        let timeout = options.timeout.map_or(engine.timeout, |timeout| timeout.min(engine.timeout));
        let lookback_ms = options.lookback_delta_ms.filter(|ms| *ms > 0).unwrap_or(engine.lookback_delta_ms);
        Settings {
            lookback_ms: if lookback_ms > 0 { lookback_ms } else { LOOKBACK_DELTA_MS },
            subquery_step_ms: engine.subquery_step_ms.max(1),
            delayed_name_removal: engine.delayed_name_removal,
            use_start_timestamps: engine.use_start_timestamps,
            type_and_unit_labels: engine.type_and_unit_labels,
            samples_max: engine.samples_max,
            deadline: started.checked_add(timeout),
            cancel: options.cancel.clone(),
        }
    }
}

/// A range has numbers at its steps, not windows or texts.
fn check_range_type(expr: &Expr) -> Result<(), QueryError> {
    let name = match expr.value_type() {
        ValueType::Scalar | ValueType::Vector => return Ok(()),
        ValueType::Matrix => "range vector",
        ValueType::String => "string",
    };
    Err(QueryError::Parse(format!(
        "invalid expression type \"{name}\" for range query, must be Scalar or instant Vector"
    )))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Labels;
    use crate::promql::value::{QueryValue, SampleValue};
    use crate::storage::{Acceptance, Append, Batch, MemoryStore};

    /// Two counters of one job, a sample each 10 s for 5 min.
    fn store() -> MemoryStore {
        let store = MemoryStore::default();
        let mut batch = Batch::default();
        for (instance, slope) in [("a", 1.0), ("b", 2.0)] {
            let labels = [("__name__", "requests_total"), ("job", "web"), ("instance", instance)];
            batch.begin_series(&Labels::from_pairs(labels));
            (0..=30).for_each(|i| batch.push_float(i * 10_000, 0, slope * 10.0 * i as f64));
        }
        store.append(&TenantId::default(), batch, &Acceptance::EVERYTHING).expect("memory does not fail");
        store
    }

    fn instant(query: &str, options: &QueryOptions) -> Result<QueryOutput, QueryError> {
        let engine = Engine::new(EngineOptions { parser: ParserOptions::ALL, ..EngineOptions::default() });
        engine.instant(&store(), &TenantId::default(), query, 300_000, options)
    }

    fn vector(query: &str) -> Vec<(String, f64)> {
        let output = instant(query, &QueryOptions::default()).expect(query);
        let QueryValue::Vector(samples) = output.value else { panic!("{query} gives a vector") };
        let mut found: Vec<(String, f64)> = samples
            .into_iter()
            .map(|sample| match sample.value {
                SampleValue::Float(value) => (sample.labels.to_string(), value),
                SampleValue::Histogram(_) => panic!("{query} gives floats"),
            })
            .collect();
        found.sort_by(|a, b| a.0.cmp(&b.0));
        found
    }

    #[test]
    fn rates_are_summed_by_labels() {
        assert_eq!(vector("sum by (job) (rate(requests_total[1m]))"), [(r#"{job="web"}"#.to_owned(), 3.0)]);
        assert_eq!(
            vector("requests_total / on(job) group_left() sum by (job) (requests_total)")[0].1,
            1.0 / 3.0
        );
        assert_eq!(vector("topk(1, requests_total)")[0].1, 600.0);
        assert_eq!(vector("max_over_time(rate(requests_total[1m])[2m:30s])")[1].1, 2.0);
        assert_eq!(vector("absent(nothing{a=\"b\"})"), [(r#"{a="b"}"#.to_owned(), 1.0)]);
    }

    #[test]
    fn ranges_are_ordered_by_labels_and_keep_gaps() {
        let engine = Engine::new(EngineOptions::default());
        let (store, tenant, options) = (store(), TenantId::default(), QueryOptions::default());
        let output = engine
            .range(&store, &tenant, "requests_total > 150", 0, 300_000, 100_000, &options)
            .expect("query is sound");
        let QueryValue::Matrix(series) = output.value else { panic!("a matrix") };
        let floats: Vec<_> = series.iter().map(|series| series.floats.as_slice()).collect();
        assert_eq!(
            floats,
            [
                &[(200_000, 200.0), (300_000, 300.0)][..],
                &[(100_000, 200.0), (200_000, 400.0), (300_000, 600.0)]
            ]
        );
        let refused = engine.range(&store, &tenant, "requests_total[1m]", 0, 1, 1, &options);
        assert!(
            matches!(refused, Err(QueryError::Parse(text)) if text.starts_with("invalid expression type"))
        );
    }

    #[test]
    fn annotations_say_where() {
        let output =
            instant("1 + rate(requests_total[1m])", &QueryOptions::default()).expect("query is sound");
        assert_eq!((output.warnings.len(), output.infos.len()), (0, 0));
        let output =
            instant("1 + quantile(2, requests_total)", &QueryOptions::default()).expect("query is sound");
        assert_eq!(
            output.warnings,
            ["PromQL warning: quantile value should be between 0 and 1, got 2 (1:14)"]
        );
    }

    #[test]
    fn a_prepared_query_is_asked_at_many_times() {
        let engine = Engine::new(EngineOptions::default());
        let query = engine.prepare("sum(requests_total offset 10s)").expect("query is sound");
        assert_eq!(query.text(), "sum(requests_total offset 10s)");
        let (store, tenant, options) = (store(), TenantId::default(), QueryOptions::default());
        for (at, text) in [(20_000, "sum(requests_total offset 10s)"), (300_000, query.text())] {
            let prepared = engine.instant_prepared(&store, &tenant, &query, at, &options);
            let parsed = engine.instant(&store, &tenant, text, at, &options);
            assert_eq!(prepared.map(|output| output.value), parsed.map(|output| output.value));
        }
        assert!(matches!(engine.prepare("sum("), Err(QueryError::Parse(_))));
    }

    #[test]
    fn limits_end_queries() {
        let cancel = Some(Arc::new(AtomicBool::new(true)));
        let canceled = instant("requests_total", &QueryOptions { cancel, ..QueryOptions::default() });
        assert!(matches!(canceled, Err(QueryError::Canceled(_))));
        let timeout = Some(Duration::ZERO);
        let late = instant("requests_total", &QueryOptions { timeout, ..QueryOptions::default() });
        assert!(matches!(late, Err(QueryError::Timeout(_))));
        let engine = Engine::new(EngineOptions { samples_max: 1, ..EngineOptions::default() });
        let (store, tenant, options) = (store(), TenantId::default(), QueryOptions::default());
        let result = engine.instant(&store, &tenant, "requests_total", 300_000, &options);
        assert_eq!(result.map(|output| output.value), Err(QueryError::TooManySamples));
    }
}
