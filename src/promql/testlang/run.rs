//! Carries out a script's commands.

use crate::model::{TenantId, Timestamp};
use crate::promql::{Engine, MatrixSeries, QueryOptions, QueryValue, SampleValue, VectorSample};

use super::expect::Grid;
use super::judge::{check_sorted, judge};
use super::script::{Command, CommandKind, Eval, When};
use super::variants::{Pinned, pinned};
use super::{Failure, FileReport, Run, Store, StoreFactory, Variant};

/// Calls that make a query's value depend on the range it is asked for.
const CONTEXT_CALLS: [&str; 4] = ["start()", "end()", "range()", "step()"];
/// Distance of the three steps of the range-mode run.
const RANGE_MODE_STEP_MS: i64 = 60_000;

/// Runs `commands`; what cannot be loaded fails all evals up to the next `clear`.
pub(super) fn run(
    name: &str,
    commands: Vec<Command>,
    engine: &Engine,
    factory: StoreFactory<'_>,
) -> FileReport {
    let mut report = FileReport { name: name.to_owned(), ..FileReport::default() };
    let mut store = factory();
    let mut spoiled: Option<String> = None;
    for Command { line, kind } in commands {
        let result = match kind {
            CommandKind::Clear => {
                store = factory();
                spoiled = None;
                continue;
            }
            CommandKind::Load(load) => {
                if let Err(error) = load.and_then(|load| load.run(store.as_ref())) {
                    spoiled.get_or_insert(format!("the load at line {line} failed: {error}"));
                }
                continue;
            }
            CommandKind::Unknown(message) | CommandKind::Eval(Err(message)) => Err((Run::Command, message)),
            CommandKind::Eval(Ok(eval)) => match &spoiled {
                Some(message) => Err((Run::Command, message.clone())),
                None => Runner { engine, store: store.as_ref(), eval: &eval }.run(),
            },
        };
        report.evals += 1;
        match result {
            Ok(()) => report.passed += 1,
            Err((run, message)) => report.failures.push(Failure { line, run, message }),
        }
    }
    report
}

struct Runner<'a> {
    engine: &'a Engine,
    store: &'a dyn Store,
    eval: &'a Eval,
}

impl Runner<'_> {
    /// All runs of the eval, up to the first that fails.
    fn run(&self) -> Result<(), (Run, String)> {
        let (query, expectations) = (&self.eval.query, &self.eval.expectations);
        match (self.eval.when, expectations.range_vector) {
            (When::Over(grid), _) => {
                let run = Run::Instant(Variant::AsWritten);
                self.range(query, grid).map_err(|message| (run, message))
            }
            (When::At(at), range_vector) => {
                let at = range_vector.map_or(at, |grid| grid.end);
                let grid = range_vector.unwrap_or(Grid { start: at, end: at, step_ms: 0 });
                let written = Pinned { query: query.clone(), at };
                self.instant(&written, grid, Variant::AsWritten)?;
                for (index, variant) in pinned(query, at).iter().enumerate() {
                    self.instant(variant, grid, Variant::Pinned(index + 1))?;
                }
                Ok(())
            }
        }
    }

    fn range(&self, query: &str, grid: Grid) -> Result<(), String> {
        let expectations = &self.eval.expectations;
        let output = match self.query_range(query, grid) {
            Ok(output) => output,
            Err(error) => return expectations.check_failure(query, &error),
        };
        self.refuse_success(query)?;
        expectations.check_notes(query, &output.1, &output.2)?;
        judge(expectations, grid, &output.0)
    }

    fn instant(&self, pinned: &Pinned, grid: Grid, variant: Variant) -> Result<(), (Run, String)> {
        let run = Run::Instant(variant);
        let at = |message: String| (run, format!("{message} [{} at {} ms]", pinned.query, pinned.at));
        let expectations = &self.eval.expectations;
        let tenant = TenantId::default();
        let result =
            self.engine.instant(self.store, &tenant, &pinned.query, pinned.at, &QueryOptions::default());
        let output = match result {
            Ok(output) => output,
            Err(error) => return expectations.check_failure(&pinned.query, &error.to_string()).map_err(at),
        };
        self.refuse_success(&pinned.query).map_err(at)?;
        expectations.check_notes(&pinned.query, &output.warnings, &output.infos).map_err(at)?;
        judge(expectations, grid, &output.value).map_err(at)?;
        let depends_on_range = CONTEXT_CALLS.iter().any(|call| pinned.query.contains(call));
        if expectations.string.is_some() || expectations.range_vector.is_some() || depends_on_range {
            return Ok(());
        }
        let is_scalar = matches!(output.value, QueryValue::Scalar { .. });
        self.range_mode(pinned, is_scalar)
            .map_err(|message| at(message).1)
            .map_err(|message| (Run::RangeMode(variant), message))
    }

    fn refuse_success(&self, query: &str) -> Result<(), String> {
        match self.eval.expectations.fail {
            Some(_) => Err(format!("expected error evaluating query {query:?} but got none")),
            None => Ok(()),
        }
    }

    /// The middle of three steps must be what the instant query answers.
    fn range_mode(&self, pinned: &Pinned, is_scalar: bool) -> Result<(), String> {
        let at = pinned.at;
        let around = Grid {
            start: at - RANGE_MODE_STEP_MS,
            end: at + RANGE_MODE_STEP_MS,
            step_ms: RANGE_MODE_STEP_MS,
        };
        let (value, ..) = self.query_range(&pinned.query, around)?;
        if self.eval.expectations.ordered {
            return Ok(());
        }
        let QueryValue::Matrix(matrix) = value else {
            return Err(format!("a range query answered a {}", value.type_name()));
        };
        check_sorted(&matrix)?;
        let vector: Vec<VectorSample> =
            matrix.into_iter().filter_map(|series| sample_at(series, at)).collect();
        let value = match (is_scalar, vector.first()) {
            (false, _) => QueryValue::Vector(vector),
            (true, Some(VectorSample { value: SampleValue::Float(v), .. })) => {
                QueryValue::Scalar { t: at, v: *v }
            }
            (true, _) => return Err("a scalar has no value".to_owned()),
        };
        judge(&self.eval.expectations, around, &value)
    }

    /// Value, warnings and infos.
    fn query_range(&self, query: &str, grid: Grid) -> Result<(QueryValue, Vec<String>, Vec<String>), String> {
        let tenant = TenantId::default();
        let Grid { start, end, step_ms } = grid;
        let options = QueryOptions::default();
        let output = self
            .engine
            .range(self.store, &tenant, query, start, end, step_ms, &options)
            .map_err(|error| error.to_string())?;
        Ok((output.value, output.warnings, output.infos))
    }
}

/// The series' sample at exactly that time.
fn sample_at(series: MatrixSeries, at: Timestamp) -> Option<VectorSample> {
    let float = series.floats.iter().find(|(t, _)| *t == at).map(|(_, v)| SampleValue::Float(*v));
    let histogram = || {
        let point = series.histograms.into_iter().find(|(t, _)| *t == at);
        point.map(|(_, histogram)| SampleValue::Histogram(histogram))
    };
    let value = float.or_else(histogram)?;
    Some(VectorSample { labels: series.labels, t: at, value })
}
