//! The command line: which subcommand runs, and what each needs.
//!
//! Flags without a subcommand mean `serve`, so that a command line of Prometheus works as it is.

mod agent;
mod check;
mod facts;
mod flags;
mod gpu;
mod import;
mod life;
mod logs;
mod memory;
mod options;
mod running;
mod serve;
mod test;

use std::ffi::OsString;
use std::process::ExitCode;

use clap::Command;

/// Runs the program with its arguments, the program's name first; answers its exit code.
pub fn run(arguments: impl IntoIterator<Item = OsString>) -> ExitCode {
    let arguments: Vec<OsString> = arguments.into_iter().skip(1).collect();
    let subcommand = arguments.first().and_then(|first| first.to_str()).unwrap_or_default();
    match subcommand {
        "agent" => agent::run(&arguments[1..]),
        "serve" if agent::is_asked_for(&arguments) => agent::run(&arguments[1..]),
        "serve" => serve::run(&arguments[1..]),
        "test" => test::run(&arguments[1..]),
        "check" => check::run(&arguments[1..]),
        "import" => import::run(&arguments[1..]),
        "gpu" => gpu::run(&arguments[1..]),
        "help" | "-h" | "--help" => help(),
        _ if agent::is_asked_for(&arguments) => agent::run(&arguments),
        _ => serve::run(&arguments),
    }
}

/// The version, of our own and of what we stand in for.
pub(crate) const VERSION: &str = concat!(env!("CARGO_PKG_VERSION"), " (serves the API of Prometheus 3.14.0)");

fn help() -> ExitCode {
    let mut command = Command::new("perdura")
        .about("Prometheus-compatible time-series database")
        .version(VERSION)
        .subcommand(flags::command(flags::Role::Server))
        .subcommand(flags::command(flags::Role::Agent))
        .subcommand(check::command())
        .subcommand(gpu::command())
        .subcommand(import::command())
        .subcommand(test::command());
    match command.print_long_help() {
        Ok(()) => ExitCode::SUCCESS,
        Err(_) => ExitCode::FAILURE,
    }
}

/// Prints what clap has to say, on the stream that it belongs to.
fn usage(error: &clap::Error) -> ExitCode {
    // Nothing is left to do where even that fails.
    let _ = error.print();
    if error.use_stderr() { ExitCode::from(2) } else { ExitCode::SUCCESS }
}
