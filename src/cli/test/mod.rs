//! `perdura test`: runs test scripts and unit tests of rules over a store in memory.

mod promql;
mod rules;

use std::ffi::OsString;
use std::process::ExitCode;

use clap::Command;

use super::usage;

/// The command line of `perdura test`.
pub(super) fn command() -> Command {
    Command::new("test")
        .about("Runs test scripts and unit tests of rules")
        .subcommand_required(true)
        .subcommand(promql::command())
        .subcommand(rules::command())
        .args(rules::shared_arguments())
}

/// Runs the tests; answers success if all of them passed.
pub(super) fn run(arguments: &[OsString]) -> ExitCode {
    let program = OsString::from("perdura test");
    let matches = match command().try_get_matches_from(std::iter::once(&program).chain(arguments)) {
        Ok(matches) => matches,
        Err(error) => return usage(&error),
    };
    match matches.subcommand().expect("a subcommand is required") {
        ("rules", of_rules) => rules::run(of_rules),
        (_, of_promql) => promql::run(of_promql),
    }
}
