//! `perdura test promql FILE...`: runs PromQL test scripts.

use std::io::{self, BufWriter, Write};
use std::process::ExitCode;

use clap::{Arg, ArgAction, ArgMatches, Command};

use crate::promql::testlang::run_files;
use crate::storage::MemoryStore;

pub(super) fn command() -> Command {
    let files = Arg::new("file").help("Scripts to run").required(true).action(ArgAction::Append);
    Command::new("promql").about("Loads series, evaluates queries, compares the results").arg(files)
}

/// Runs the scripts; answers success if every eval passed.
pub(super) fn run(matches: &ArgMatches) -> ExitCode {
    let files: Vec<&String> = matches.get_many("file").expect("a file is required").collect();
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
