//! Runs the files of unit tests and tells how it went.

use std::io::{self, Write};
use std::path::PathBuf;
use std::time::Instant;

use regex_automata::meta::Regex;

use crate::clock::Clock;
use crate::model::{TenantId, format_float, format_rfc3339_ms};
use crate::promql::{MatrixSeries, QueryOptions, QueryValue, histogram_text};
use crate::rules::file::RuleFileOptions;

use super::case::{Case, CaseOptions};
use super::file::{TestCase, TestFile};
use super::junit::{JunitCase, JunitReport, JunitSuite};
use super::rule_set::{RuleSet, rule_paths};
use super::text::go_duration;

/// What the command line says.
#[derive(Clone, Debug, Default)]
pub struct RunOptions {
    /// Only tests whose names match.
    pub run: Option<Regex>,
    /// Tell of beginnings and ends, and show all data in the end.
    pub debug: bool,
    /// Rule files may have fields that nobody knows.
    pub ignore_unknown_fields: bool,
    /// How each test is run.
    pub case: CaseOptions,
}

/// Where messages go: those of success, and those of failure.
pub struct Streams<'a> {
    /// Standard output.
    pub out: &'a mut dyn Write,
    /// Standard error.
    pub err: &'a mut dyn Write,
}

/// Runs the tests of `files`, one after the other. `clock` tells when, for the report alone. The error is of the
/// streams; what is wrong with tests is in the report and on the streams.
pub fn run_files(
    files: &[String],
    options: &RunOptions,
    clock: &Clock,
    streams: &mut Streams<'_>,
) -> io::Result<JunitReport> {
    let mut report = JunitReport::default();
    for file in files {
        let mut suite = JunitSuite { name: file.clone(), ..JunitSuite::default() };
        let failures = run_file(file, options, clock, &mut suite, streams)?;
        report.suites.push(suite);
        if failures.is_empty() {
            writeln!(streams.out, "  SUCCESS")?;
        } else {
            writeln!(streams.err, "  FAILED:")?;
        }
        for failure in failures {
            writeln!(streams.err, "{failure}")?;
            writeln!(streams.out)?;
        }
        writeln!(streams.out)?;
    }
    Ok(report)
}

/// Runs one file; answers what failed, in the order of the tests.
fn run_file(
    path: &str,
    options: &RunOptions,
    clock: &Clock,
    suite: &mut JunitSuite,
    streams: &mut Streams<'_>,
) -> io::Result<Vec<String>> {
    let mut aborted = |error: String| {
        suite.error = Some(error.clone());
        Ok(vec![error])
    };
    let file = match TestFile::read(path) {
        Ok(file) => file,
        Err(error) => return aborted(error.to_string()),
    };
    let paths = match rule_paths(path, &file.rule_files, streams.err)? {
        Ok(paths) => paths,
        Err(error) => return aborted(error),
    };
    let now = format_rfc3339_ms(clock.now_ms()).unwrap_or_default();
    now.split(['.', 'Z']).next().unwrap_or_default().clone_into(&mut suite.timestamp);
    if let Err(error) = file.group_order() {
        suite.error = Some(error.to_string());
        return Ok(vec![error.to_string()]);
    }
    let mut rules = None;
    let mut all_failures = Vec::new();
    for (index, test) in file.tests.iter().enumerate() {
        if options.run.as_ref().is_some_and(|run| !run.is_match(&test.name)) {
            continue;
        }
        let name = if test.name.is_empty() { format!("unnamed#{index}") } else { test.name.clone() };
        // Nobody learns of mistakes in rules that no test is about.
        let rules = rules.get_or_insert_with(|| read_rules(&paths, &file, options));
        let failures = run_case(&name, test, &file, rules.as_ref(), options, streams.err)?;
        all_failures.extend_from_slice(&failures);
        suite.cases.push(JunitCase { name, failures });
    }
    Ok(all_failures)
}

fn read_rules(paths: &[PathBuf], file: &TestFile, options: &RunOptions) -> Result<RuleSet, Vec<String>> {
    let rule_options = RuleFileOptions {
        parser: options.case.parser,
        ignore_unknown_fields: options.ignore_unknown_fields,
        ..RuleFileOptions::default()
    };
    match RuleSet::read(paths, &rule_options) {
        Ok(mut rules) => {
            rules.sort(file);
            Ok(rules)
        }
        Err(errors) => Err(errors.iter().map(ToString::to_string).collect()),
    }
}

/// Runs one test; answers what failed.
fn run_case(
    name: &str,
    test: &TestCase,
    file: &TestFile,
    rules: Result<&RuleSet, &Vec<String>>,
    options: &RunOptions,
    err: &mut dyn Write,
) -> io::Result<Vec<String>> {
    let began = Instant::now();
    if options.debug {
        writeln!(err, "DEBUG: Starting test {name}")?;
    }
    let case = match rules {
        Ok(rules) => Case::new(test, file, rules, options.case).map_err(|error| vec![error]),
        Err(errors) => Err(errors.clone()),
    };
    let failures = match case {
        Ok(mut case) => {
            let failures = case.run();
            if options.debug && case.is_complete() {
                dump(&case, err)?;
            }
            failures
        }
        Err(failures) => failures,
    };
    if options.debug {
        writeln!(err, "DEBUG: Test {name} finished, took {:?}", began.elapsed())?;
    }
    Ok(failures)
}

/// Shows all series of a test up to the second after its end.
fn dump(case: &Case<'_>, err: &mut dyn Write) -> io::Result<()> {
    let (query, after_ms, at) = case.everything();
    let environment = case.environment();
    let store = environment.select.as_ref();
    let output =
        environment.engine.instant(store, &TenantId::default(), &query, at, &QueryOptions::default());
    match output.map(|output| output.value) {
        Err(error) => writeln!(err, "DEBUG: Failed query exec, expr: {query:?}, err: {error}"),
        Ok(QueryValue::Matrix(series)) => {
            let after = go_duration(after_ms);
            writeln!(err, "DEBUG: Dump of all data (input_series and rules) at {after}:")?;
            writeln!(err, "{}", series.iter().map(show_series).collect::<Vec<_>>().join("\n"))
        }
        Ok(value) => writeln!(err, "DEBUG: Got unexpected type {}", value.type_name()),
    }
}

fn show_series(series: &MatrixSeries) -> String {
    let floats = series.floats.iter().map(|(t, value)| format!("{} @[{t}]", format_float(*value)));
    let histograms =
        series.histograms.iter().map(|(t, histogram)| format!("{} @[{t}]", histogram_text(histogram)));
    let samples: Vec<String> = floats.chain(histograms).collect();
    format!("{} =>\n{}", series.labels, samples.join("\n"))
}
