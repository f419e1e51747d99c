//! The language of PromQL test scripts: load series, evaluate a query, compare.
//!
//! `script` reads a file into commands, `load` and `classic` make batches of what is to be stored, `expect` holds what a
//! query must answer and `judge` compares. `variants` makes the further queries that upstream runs for each instant
//! one: pinned with `@` at other times, and as a range. A script runs over any store that the caller makes.

mod script;
pub(crate) mod load;
mod classic;
pub(crate) mod describe;
mod expect;
mod judge;
mod variants;
mod run;

use std::fmt;
use std::io;
use std::path::Path;
use std::time::Duration;

use crate::promql::parse::ParserOptions;
use crate::promql::{Engine, EngineOptions};
use crate::storage::{Append, Select};

/// A place that a script loads into and queries.
pub trait Store: Append + Select {}

impl<T: Append + Select> Store for T {}

/// Makes an empty store; a script asks for one at its start and at each `clear`.
pub type StoreFactory<'a> = &'a dyn Fn() -> Box<dyn Store>;

/// Outcome of one script.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FileReport {
    /// The script's name.
    pub name: String,
    /// How many `eval` commands it has.
    pub evals: usize,
    /// How many of them passed in every run.
    pub passed: usize,
    /// The first failure of each of the others.
    pub failures: Vec<Failure>,
}

/// Why an `eval` failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// Its line, from 1.
    pub line: usize,
    /// In which of its runs.
    pub run: Run,
    /// What was wrong.
    pub message: String,
}

/// One of the runs of an `eval`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Run {
    /// The command itself could not be read or carried out.
    Command,
    /// The query as written, or pinned with `@` and at another time.
    Instant(Variant),
    /// The middle step of a range query.
    RangeMode(Variant),
}

/// Which text of an instant query.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Variant {
    /// As written.
    AsWritten,
    /// With `@` in its selectors, the n-th time from 1.
    Pinned(usize),
}

impl fmt::Display for Run {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (variant, mode) = match self {
            Self::Command => return f.write_str("command"),
            Self::Instant(variant) => (variant, ""),
            Self::RangeMode(variant) => (variant, ", in range mode"),
        };
        match variant {
            Variant::AsWritten => write!(f, "as written{mode}"),
            Variant::Pinned(time) => write!(f, "@-variant {time}{mode}"),
        }
    }
}

/// The settings that upstream's own scripts assume.
pub fn engine_options() -> EngineOptions {
    EngineOptions {
        parser: ParserOptions::ALL,
        lookback_delta_ms: 300_000,
        samples_max: 10_000,
        timeout: Duration::from_secs(100),
        subquery_step_ms: 60_000,
        delayed_name_removal: true,
        use_start_timestamps: true,
        type_and_unit_labels: false,
    }
}

/// Runs the script `text`. Every failure is in the report; a script never ends early.
pub fn run_script(name: &str, text: &str, engine: &Engine, factory: StoreFactory<'_>) -> FileReport {
    run::run(name, script::parse(text), engine, factory)
}

/// Runs script files with the settings of [`engine_options`]. Writes a line for each failing eval and a count for each
/// file, and the sum in the end. Answers whether every eval passed.
pub fn run_files<P: AsRef<Path>>(
    paths: &[P],
    factory: StoreFactory<'_>,
    out: &mut impl io::Write,
) -> io::Result<bool> {
    let engine = Engine::new(engine_options());
    let (mut evals, mut passed) = (0, 0);
    for path in paths {
        let name = path.as_ref().display().to_string();
        let text = std::fs::read_to_string(path)
            .map_err(|error| io::Error::new(error.kind(), format!("cannot read {name}: {error}")))?;
        let report = run_script(&name, &text, &engine, factory);
        for failure in &report.failures {
            writeln!(out, "{name}:{}: {} ({})", failure.line, failure.message, failure.run)?;
        }
        writeln!(out, "{name}: {} of {} evals pass", report.passed, report.evals)?;
        evals += report.evals;
        passed += report.passed;
    }
    writeln!(out, "promql: {passed} of {evals} evals pass")?;
    Ok(passed == evals)
}

#[cfg(test)]
mod tests;
