//! `perdura import rules FILE...`: recording rules over stored history.
//!
//! `plan` says what is evaluated when; `backfill` walks through it piece by piece: a piece is queried at one server
//! (`query`), becomes samples (`answer`, `histogram`), and is written to the same or another one (`write`). What is
//! held in memory is one answer. Whatever was written stays where a run ends early, and a repeated run writes the same
//! samples again, which changes nothing.

mod answer;
mod backfill;
mod histogram;
mod plan;
mod progress;
mod query;
mod server;
mod write;

use std::ffi::OsString;
use std::path::Path;
use std::process::ExitCode;

use clap::{Arg, ArgAction, ArgMatches, Command};

use crate::clock::Clock;
use crate::model::{Timestamp, parse_duration, parse_rfc3339_ms};
use crate::net::{HttpClientConfig, install_tls_provider};
use crate::promql::parse::ParserOptions;
use crate::rules::{RuleFile, RuleFileOptions};
use crate::setting::read_inline;

use super::usage;
use backfill::{Backfill, Report};
use plan::{Plan, Window};
use server::Server;

const ABOUT: &str = "Evaluates recording rules over stored history and stores the results";
const LONG_ABOUT: &str = "\
Evaluates recording rules over stored history and stores the results.

The expressions are evaluated by the server, at the times at which it would have evaluated them, and the results are \
written to it while it runs: nothing has to be stopped or moved. Where a series ends, a staleness marker ends it, as \
it does in a server that evaluates the rule.

Unlike promtool tsdb create-blocks-from rules, later rules see the results of earlier ones: rules of a group are \
evaluated in their order, and groups after those whose results they read. Native histograms are stored too. Alerting \
rules are skipped. A run may be repeated.";

/// The command line of `perdura import`.
pub(super) fn command() -> Command {
    let url = Arg::new("url").long("url").default_value("http://localhost:9090");
    let rules = Command::new("rules")
        .about(ABOUT)
        .long_about(LONG_ABOUT)
        .arg(Arg::new("file").help("Rule files").required(true).action(ArgAction::Append))
        .arg(
            time("start").required(true).help("Time of the first evaluation: RFC 3339 or seconds since the epoch"),
        )
        .arg(time("end").help("Time of the last evaluation; now where there is none"))
        .arg(url.value_name("URL").help("The server that evaluates the expressions"))
        .arg(
            Arg::new("write-url")
                .long("write-url")
                .value_name("URL")
                .help("The server that stores the results, where it is another one; rules then see no results of others"),
        )
        .arg(
            Arg::new("eval-interval")
                .long("eval-interval")
                .value_name("DURATION")
                .default_value("60s")
                .value_parser(|text: &str| match parse_duration(text) {
                    Ok(ms) if ms > 0 => Ok(ms),
                    Ok(_) => Err("it must be above zero".to_owned()),
                    Err(error) => Err(error.to_string()),
                })
                .help("Time between evaluations of groups that name none"),
        )
        .arg(
            Arg::new("http.config.file")
                .long("http.config.file")
                .value_name("FILE")
                .help("HTTP client settings, as under <http_config>: credentials, TLS"),
        );
    Command::new("import").about("Brings data in").subcommand_required(true).subcommand(rules)
}

fn time(name: &'static str) -> Arg {
    Arg::new(name).long(name).value_name("TIME").value_parser(parse_time)
}

fn parse_time(text: &str) -> Result<Timestamp, String> {
    let seconds = text.parse::<f64>().ok().filter(|seconds| seconds.abs() < 1e12);
    seconds
        .map(|seconds| (seconds * 1_000.0).round() as Timestamp)
        .or_else(|| parse_rfc3339_ms(text))
        .ok_or_else(|| format!("cannot parse {text:?} to a valid timestamp"))
}

/// Imports; answers failure unless all results of all rules are stored.
pub(super) fn run(arguments: &[OsString]) -> ExitCode {
    let program = OsString::from("perdura import");
    let matches = match command().try_get_matches_from(std::iter::once(&program).chain(arguments)) {
        Ok(matches) => matches,
        Err(error) => return usage(&error),
    };
    let (_, arguments) = matches.subcommand().expect("a subcommand is required");
    match import(arguments) {
        Ok(report) => {
            println!("{} samples and {} staleness markers are stored", report.samples, report.markers);
            if report.failures == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
        }
        Err(error) => {
            eprintln!("perdura import rules: {error}");
            ExitCode::FAILURE
        }
    }
}

fn import(arguments: &ArgMatches) -> Result<Report, String> {
    let window = Window {
        start: *arguments.get_one("start").expect("clap asks for it"),
        end: arguments.get_one("end").copied().unwrap_or_else(|| Clock::System.now_ms()),
        interval_ms: *arguments.get_one("eval-interval").expect("it has a default"),
    };
    if window.start >= window.end {
        return Err("start time is not before end time".to_owned());
    }
    let plan = Plan::new(&read_files(arguments)?, window)?;
    install_tls_provider();
    let client = client_config(arguments.get_one::<String>("http.config.file"))?;
    let url = arguments.get_one::<String>("url").expect("it has a default");
    let source = Server::new(url, &client)?;
    let target = arguments
        .get_one::<String>("write-url")
        .map_or(Ok(source.clone()), |url| Server::new(url, &client))?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| format!("cannot start: {error}"))?;
    runtime.block_on(Backfill::new(source, target, plan).run())
}

fn read_files(arguments: &ArgMatches) -> Result<Vec<RuleFile>, String> {
    // What the language has beyond its stable part, the server judges.
    let options = RuleFileOptions { parser: ParserOptions::ALL, ..RuleFileOptions::default() };
    let mut files = Vec::new();
    for path in arguments.get_many::<String>("file").into_iter().flatten() {
        let file = RuleFile::read(Path::new(path), &options)
            .map_err(|errors| errors.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n"))?;
        files.push(file);
    }
    Ok(files)
}

fn client_config(file: Option<&String>) -> Result<HttpClientConfig, String> {
    let Some(path) = file else { return Ok(HttpClientConfig::default()) };
    let text = std::fs::read_to_string(path).map_err(|error| format!("cannot read {path}: {error}"))?;
    let mut config: HttpClientConfig = read_inline(&text).map_err(|error| format!("{path}: {error}"))?;
    config.set_folder(Path::new(path).parent().unwrap_or(Path::new("")));
    config.validate().map_err(|error| format!("{path}: {error}"))?;
    Ok(config)
}
