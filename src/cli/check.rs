//! `perdura check config FILE...`: whether files would be accepted.

use std::ffi::OsString;
use std::path::Path;
use std::process::ExitCode;

use clap::{Arg, ArgAction, Command};

use super::running::load;
use super::usage;

/// The command line of `perdura check`.
pub(super) fn command() -> Command {
    let files = Arg::new("file").help("Files to read").required(true).action(ArgAction::Append);
    Command::new("check")
        .about("Checks files without serving")
        .subcommand_required(true)
        .subcommand(Command::new("config").about("Checks configuration files").arg(files))
}

/// Checks; answers failure if one file would be refused.
pub(super) fn run(arguments: &[OsString]) -> ExitCode {
    let program = OsString::from("perdura check");
    let matches = match command().try_get_matches_from(std::iter::once(&program).chain(arguments)) {
        Ok(matches) => matches,
        Err(error) => return usage(&error),
    };
    let (_, config) = matches.subcommand().expect("a subcommand is required");
    let files = config.get_many::<String>("file").expect("a file is required");
    let sound = files.filter(|file| check_config(Path::new(file))).count();
    let all = config.get_many::<String>("file").map_or(0, Iterator::count);
    if sound == all { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn check_config(path: &Path) -> bool {
    println!("Checking {}", path.display());
    match load(path) {
        Ok(config) => {
            for name in config.unserved() {
                println!("  note: {name} is accepted and has no effect yet");
            }
            println!(" SUCCESS: {} is valid prometheus config file syntax", path.display());
            true
        }
        Err(error) => {
            println!("  FAILED: {error}");
            false
        }
    }
}
