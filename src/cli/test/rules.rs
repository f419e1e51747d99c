//! `perdura test rules FILE...`: unit tests of rules, with the flags, messages and exit codes of upstream's promtool.

use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::Path;
use std::process::ExitCode;

use clap::{Arg, ArgAction, ArgMatches, Command};
use regex_automata::meta::Regex;

use crate::clock::Clock;
use crate::rules::unit_test::{CaseOptions, JunitReport, RunOptions, Streams, run_files};

pub(super) fn command() -> Command {
    let switch = |name, help| Arg::new(name).long(name).help(help).action(ArgAction::SetTrue);
    Command::new("rules")
        .about("Unit tests for rules")
        .arg(
            Arg::new("run")
                .long("run")
                .value_name("REGEX")
                .help("Only run tests whose names match; may be repeated")
                .action(ArgAction::Append),
        )
        .arg(switch("debug", "Show beginnings, ends and all data of tests"))
        .arg(switch("diff", "Show alerts that differ as one coloured text"))
        .arg(switch("ignore-unknown-fields", "Pass over fields of rule files that nobody knows"))
        .arg(Arg::new("file").help("Files of unit tests").required(true).action(ArgAction::Append))
}

/// Flags that upstream takes before the word `rules` as well as behind it.
pub(super) fn shared_arguments() -> [Arg; 2] {
    [
        Arg::new("junit")
            .long("junit")
            .value_name("FILE")
            .help("Where to write the results of tests of rules as JUnit XML")
            .global(true),
        Arg::new("enable-feature")
            .long("enable-feature")
            .help("Comma-separated features to enable")
            .action(ArgAction::Append)
            .global(true),
    ]
}

/// Runs the tests; answers success if every test passed.
pub(super) fn run(matches: &ArgMatches) -> ExitCode {
    let files: Vec<String> =
        matches.get_many::<String>("file").expect("a file is required").cloned().collect();
    if let Some(missing) = files.iter().find(|file| !Path::new(file).is_file()) {
        return refuse(&match Path::new(missing).is_dir() {
            true => format!("'{missing}' is a directory"),
            false => format!("path '{missing}' does not exist"),
        });
    }
    let options = match options(matches) {
        Ok(options) => options,
        Err(error) => return refuse(&error),
    };
    // The report's file is made before anything runs, so that a wrong name is no surprise in the end.
    let junit = match matches.get_one::<String>("junit").map(|path| (path, File::create(path))) {
        Some((path, Err(error))) => return refuse(&format!("open {path}: {error}")),
        Some((_, Ok(file))) => Some(file),
        None => None,
    };
    let (mut out, mut err) = (io::stdout().lock(), io::stderr().lock());
    let mut streams = Streams { out: &mut out, err: &mut err };
    let report = match run_files(&files, &options, &Clock::System, &mut streams) {
        Ok(report) => report,
        // Nobody is left to be told.
        Err(_) => return ExitCode::FAILURE,
    };
    if let Some(Err(error)) = junit.map(|file| write_report(&report, file)) {
        let _ = writeln!(err, "failed to write JUnit XML: {error}");
    }
    if report.passed() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn write_report(report: &JunitReport, file: File) -> io::Result<()> {
    let mut out = BufWriter::new(file);
    report.write(&mut out)?;
    out.flush()
}

fn refuse(why: &str) -> ExitCode {
    eprintln!("perdura: error: {why}, try --help");
    ExitCode::FAILURE
}

fn options(matches: &ArgMatches) -> Result<RunOptions, String> {
    let patterns: Option<Vec<String>> =
        matches.get_many::<String>("run").map(|patterns| patterns.cloned().collect());
    let run = match patterns.map(|patterns| patterns.join("|")) {
        Some(pattern) => {
            Some(Regex::new(&pattern).map_err(|_| format!("invalid regular expression {pattern:?}"))?)
        }
        None => None,
    };
    let mut case = CaseOptions { diff: matches.get_flag("diff"), ..CaseOptions::default() };
    let features = matches.get_many::<String>("enable-feature").into_iter().flatten();
    for feature in features.flat_map(|list| list.split(',')) {
        enable(feature, &mut case);
    }
    Ok(RunOptions {
        run,
        debug: matches.get_flag("debug"),
        ignore_unknown_fields: matches.get_flag("ignore-unknown-fields"),
        case,
    })
}

fn enable(feature: &str, case: &mut CaseOptions) {
    match feature {
        "promql-experimental-functions" => case.parser.experimental_functions = true,
        "promql-extended-range-selectors" => case.parser.extended_range_selectors = true,
        "promql-binop-fill-modifiers" => case.parser.fill_modifiers = true,
        "promql-delayed-name-removal" => case.delayed_name_removal = true,
        "" | "promql-duration-expr" => {}
        unknown => println!("  WARNING: Unknown feature passed to --enable-feature: {unknown}"),
    }
}
