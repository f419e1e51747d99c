//! `perdura check WHAT FILE...`: whether files would be accepted. Output and exit codes are those of promtool: 1 where a
//! file would be refused, 3 where there is only something to frown at and `--lint-fatal` is set.

mod config;
mod rules;

use std::ffi::OsString;
use std::process::ExitCode;

use clap::{Arg, ArgAction, ArgMatches, Command};

use super::usage;

/// Exit code where nothing is wrong but lint is found and fatal.
const LINT_FOUND: u8 = 3;

/// The command line of `perdura check`.
pub(super) fn command() -> Command {
    Command::new("check")
        .about("Checks files without serving")
        .subcommand_required(true)
        .subcommand(config::command())
        .subcommand(rules::command())
}

/// Checks; answers failure if one file would be refused.
pub(super) fn run(arguments: &[OsString]) -> ExitCode {
    let program = OsString::from("perdura check");
    let matches = match command().try_get_matches_from(std::iter::once(&program).chain(arguments)) {
        Ok(matches) => matches,
        Err(error) => return usage(&error),
    };
    let (name, arguments) = matches.subcommand().expect("a subcommand is required");
    let (outcome, is_lint_fatal) = match name {
        "config" => config::run(arguments),
        _ => rules::run(arguments),
    };
    match outcome {
        Outcome { is_refused: true, .. } => ExitCode::FAILURE,
        Outcome { is_linted: true, .. } if is_lint_fatal => ExitCode::from(LINT_FOUND),
        _ => ExitCode::SUCCESS,
    }
}

/// What was found in all files together.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Outcome {
    /// One of them would be refused.
    is_refused: bool,
    /// One of them holds what is rarely meant.
    is_linted: bool,
}

impl Outcome {
    const REFUSED: Self = Self { is_refused: true, is_linted: false };
    const LINTED: Self = Self { is_refused: false, is_linted: true };

    fn add(&mut self, other: Self) {
        self.is_refused |= other.is_refused;
        self.is_linted |= other.is_linted;
    }
}

/// The flags that rule files and configuration files share; `lints` are the names that `--lint` takes.
fn with_lint_flags(command: Command, lints: &str) -> Command {
    let lint_help =
        format!("Linting checks to apply, comma-separated: {lints}; --lint=none disables linting");
    command
        .arg(Arg::new("lint").long("lint").value_name("CHECKS").default_value("duplicate-rules").help(lint_help))
        .arg(flag("lint-fatal").help("Make lint errors exit with exit code 3"))
        .arg(flag("ignore-unknown-fields").help(
            "Ignore unknown fields in rule files, as of further metadata; a server refuses files that have them",
        ))
        .arg(
            Arg::new("enable-feature")
                .long("enable-feature")
                .value_name("FEATURES")
                .action(ArgAction::Append)
                .help("Comma-separated features of the query language that expressions may use"),
        )
}

fn flag(name: &'static str) -> Arg {
    Arg::new(name).long(name).action(ArgAction::SetTrue)
}

/// The files that are named.
fn files(arguments: &ArgMatches) -> impl Iterator<Item = &String> {
    arguments.get_many::<String>("file").into_iter().flatten()
}
