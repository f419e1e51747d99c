//! `perdura test promql FILE...`: runs PromQL test scripts over a store in memory.

use std::ffi::OsString;
use std::io::{self, BufWriter, Write};
use std::process::ExitCode;

use clap::{Arg, ArgAction, Command};

use crate::promql::testlang::run_files;
use crate::storage::MemoryStore;

use super::usage;

/// The command line of `perdura test`.
pub(super) fn command() -> Command {
    let files = Arg::new("file").help("Scripts to run").required(true).action(ArgAction::Append);
    Command::new("test").about("Runs test scripts").subcommand_required(true).subcommand(
        Command::new("promql").about("Loads series, evaluates queries, compares the results").arg(files),
    )
}

/// Runs the scripts; answers success if every eval passed.
pub(super) fn run(arguments: &[OsString]) -> ExitCode {
    let program = OsString::from("perdura test");
    let matches = match command().try_get_matches_from(std::iter::once(&program).chain(arguments)) {
        Ok(matches) => matches,
        Err(error) => return usage(&error),
    };
    let (_, promql) = matches.subcommand().expect("a subcommand is required");
    let files: Vec<&String> = promql.get_many("file").expect("a file is required").collect();
    let mut out = BufWriter::new(io::stdout().lock());
    let ran = run_files(&files, &|| Box::new(MemoryStore::default()), &mut out)
        .and_then(|all_passed| out.flush().map(|()| all_passed));
    match ran {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("perdura test promql: {error}");
            ExitCode::from(2)
        }
    }
}
