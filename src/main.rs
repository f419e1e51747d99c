//! The program: one TLS provider for everything, then the command line.

use std::process::ExitCode;

fn main() -> ExitCode {
    if rustls::crypto::ring::default_provider().install_default().is_err() {
        eprintln!("perdura: another TLS provider is installed already");
        return ExitCode::FAILURE;
    }
    perdura::cli::run(std::env::args_os())
}
