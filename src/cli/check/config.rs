//! `perdura check config FILE...`: configuration files and the rule files that they name.

use std::path::{Path, PathBuf};

use clap::{Arg, ArgAction, ArgMatches, Command};

use crate::config::Config;
use crate::discovery::matching_files;
use crate::model::{format_duration, parse_duration};

use super::rules::RuleChecks;
use super::{Outcome, files, flag, with_lint_flags};
use crate::cli::running::load;

/// What `--lint` takes here.
const LINTS: &str = "all, duplicate-rules, replaced-labels, too-long-scrape-interval, none";

pub(super) fn command() -> Command {
    let files = Arg::new("file").help("Files to read").required(true).action(ArgAction::Append);
    let syntax_only = flag("syntax-only").help("Look at no file but those named here");
    let lookback = Arg::new("query.lookback-delta")
        .long("query.lookback-delta")
        .value_name("DURATION")
        .default_value("5m")
        .value_parser(|text: &str| parse_duration(text).map_err(|error| error.to_string()))
        .help("The lookback of the server, to which scrape intervals are compared");
    let command =
        Command::new("config").about("Checks configuration files").arg(files).arg(syntax_only).arg(lookback);
    with_lint_flags(command, LINTS)
}

/// What configuration files are checked for.
struct ConfigChecks {
    rules: RuleChecks,
    is_syntax_only: bool,
    /// Scrape intervals as long as this are found, where it is set; in milliseconds.
    lookback_ms: Option<i64>,
}

/// Checks; answers what was found, and whether lint is fatal.
pub(super) fn run(arguments: &ArgMatches) -> (Outcome, bool) {
    let lints: Vec<&str> =
        arguments.get_one::<String>("lint").map_or("", String::as_str).split(',').collect();
    let has = |lint| lints.contains(&lint) && !lints.contains(&"none");
    let lookback = arguments.get_one::<i64>("query.lookback-delta").copied();
    let is_about_rules = |lint: &&str| *lint != "too-long-scrape-interval" && !lints.contains(&"none");
    let checks = ConfigChecks {
        rules: RuleChecks::new(arguments, lints.iter().copied().filter(is_about_rules)),
        is_syntax_only: arguments.get_flag("syntax-only"),
        lookback_ms: lookback.filter(|_| has("all") || has("too-long-scrape-interval")),
    };
    let mut outcome = Outcome::default();
    files(arguments).for_each(|file| outcome.add(checks.check_file(Path::new(file))));
    (outcome, arguments.get_flag("lint-fatal"))
}

impl ConfigChecks {
    fn check_file(&self, path: &Path) -> Outcome {
        println!("Checking {}", path.display());
        let read = load(path).and_then(|config| {
            let rule_files = if self.is_syntax_only { Vec::new() } else { rule_files(&config)? };
            Ok((config, rule_files))
        });
        let (config, rule_files) = match read {
            Ok(read) => read,
            Err(error) => {
                eprintln!("  FAILED: {error}");
                println!();
                return Outcome::REFUSED;
            }
        };
        for name in config.unserved() {
            println!("  note: {name} is accepted and has no effect yet");
        }
        if !rule_files.is_empty() {
            println!("  SUCCESS: {} rule files found", rule_files.len());
        }
        println!(" SUCCESS: {} is valid prometheus config file syntax\n", path.display());
        let mut outcome = self.lint_intervals(&config);
        rule_files.iter().for_each(|file| outcome.add(self.rules.check_file(file)));
        outcome
    }

    fn lint_intervals(&self, config: &Config) -> Outcome {
        let Some(lookback_ms) = self.lookback_ms.filter(|_| !self.is_syntax_only) else {
            return Outcome::default();
        };
        let Some(job) = config.jobs().find(|job| job.own.scrape_interval.0 >= lookback_ms) else {
            return Outcome::default();
        };
        eprintln!(
            "  FAILED: too long scrape interval found, data point will be marked as stale - job: {}, interval: {}",
            job.own.job_name,
            format_duration(job.own.scrape_interval.0)
        );
        Outcome::LINTED
    }
}

/// The rule files that a configuration names. One that is named without wildcards must be there.
fn rule_files(config: &Config) -> Result<Vec<PathBuf>, String> {
    let mut files = Vec::new();
    for pattern in &config.rule_files {
        let found = matching_files(Path::new(pattern));
        if found.is_empty() && !pattern.contains('*') {
            return Err(format!("{pattern:?} does not point to an existing file"));
        }
        files.extend(found);
    }
    Ok(files)
}
