//! `perdura check rules [FILE...]`: rule files, or one on standard input.

use std::io::Read;
use std::path::Path;

use clap::{Arg, ArgAction, ArgMatches, Command};

use crate::rules::{
    GroupConfig, MORE_DOCUMENTS, RULE_FILE_BYTES_MAX, RuleFile, RuleFileError, RuleFileOptions,
    duplicate_rules, replaced_labels,
};

use super::{Outcome, files, with_lint_flags};

/// What `--lint` takes here.
const LINTS: &str = "all, duplicate-rules, replaced-labels, none";

pub(super) fn command() -> Command {
    let files =
        Arg::new("file").help("Rule files; standard input where none is named").action(ArgAction::Append);
    let command = Command::new("rules").about("Checks rule files").arg(files);
    with_lint_flags(command, LINTS)
}

/// Checks; answers what was found, and whether lint is fatal.
pub(super) fn run(arguments: &ArgMatches) -> (Outcome, bool) {
    let lint = arguments.get_one::<String>("lint").map_or("", String::as_str);
    let checks = RuleChecks::new(arguments, lint.split(','));
    let mut outcome = Outcome::default();
    let mut is_any_named = false;
    for file in files(arguments) {
        is_any_named = true;
        outcome.add(checks.check_file(Path::new(file)));
    }
    if !is_any_named {
        outcome = checks.check_standard_input();
    }
    (outcome, arguments.get_flag("lint-fatal"))
}

/// What rule files are checked for.
pub(super) struct RuleChecks {
    options: RuleFileOptions,
    finds_duplicates: bool,
    finds_replaced_labels: bool,
}

impl RuleChecks {
    pub(super) fn new<'a>(arguments: &ArgMatches, lints: impl Iterator<Item = &'a str>) -> Self {
        let mut options = RuleFileOptions {
            ignore_unknown_fields: arguments.get_flag("ignore-unknown-fields"),
            ..RuleFileOptions::default()
        };
        let features = arguments.get_many::<String>("enable-feature").into_iter().flatten();
        for feature in features.flat_map(|list| list.split(',')) {
            if !options.parser.enable(feature) {
                println!("WARNING: feature {feature:?} changes nothing here");
            }
        }
        let mut checks = Self { options, finds_duplicates: false, finds_replaced_labels: false };
        for lint in lints {
            checks.find(lint);
        }
        checks
    }

    fn find(&mut self, lint: &str) {
        match lint {
            "all" => (self.finds_duplicates, self.finds_replaced_labels) = (true, true),
            "duplicate-rules" => self.finds_duplicates = true,
            "replaced-labels" => self.finds_replaced_labels = true,
            "none" | "" => {}
            unknown => println!("WARNING: unknown lint option: {unknown:?}"),
        }
    }

    /// Reads a file and says what is wrong with it.
    pub(super) fn check_file(&self, path: &Path) -> Outcome {
        println!("Checking {}", path.display());
        self.judge(RuleFile::read(path, &self.options))
    }

    fn check_standard_input(&self) -> Outcome {
        println!("Checking standard input");
        let mut text = String::new();
        let limited = std::io::stdin().lock().take(RULE_FILE_BYTES_MAX + 1);
        match std::io::BufReader::new(limited).read_to_string(&mut text) {
            Ok(count) if count as u64 > RULE_FILE_BYTES_MAX => {
                eprintln!("  FAILED: more than {RULE_FILE_BYTES_MAX} bytes");
                Outcome::REFUSED
            }
            Ok(_) => self.judge(RuleFile::parse("", &text, &self.options)),
            Err(error) => {
                eprintln!("  FAILED: {error}");
                Outcome::REFUSED
            }
        }
    }

    fn judge(&self, read: Result<RuleFile, Vec<RuleFileError>>) -> Outcome {
        let file = match read {
            Ok(file) => file,
            Err(errors) => {
                eprintln!("  FAILED:");
                errors.iter().for_each(|error| eprintln!("{error}"));
                return Outcome::REFUSED;
            }
        };
        if file.has_more_documents {
            eprintln!("  WARNING: {MORE_DOCUMENTS}");
        }
        let lint = self.lint(&file.groups);
        if lint.is_empty() {
            let count: usize = file.groups.iter().map(|group| group.rules.len()).sum();
            println!("  SUCCESS: {count} rules found");
        } else {
            eprintln!("  FAILED:");
            lint.iter().for_each(|found| eprintln!("lint error {found}"));
        }
        println!();
        if lint.is_empty() { Outcome::default() } else { Outcome::LINTED }
    }

    fn lint(&self, groups: &[GroupConfig]) -> Vec<String> {
        let duplicates = self.finds_duplicates.then(|| describe_duplicates(groups)).flatten();
        let replaced = self.finds_replaced_labels.then(|| describe_replaced(groups)).flatten();
        duplicates.into_iter().chain(replaced).collect()
    }
}

fn describe_duplicates(groups: &[GroupConfig]) -> Option<String> {
    let duplicates = duplicate_rules(groups);
    let mut text = format!("{} duplicate rule(s) found.\n", duplicates.len());
    for (name, labels) in &duplicates {
        text.push_str(&format!("Metric: {name}\nLabel(s):\n"));
        labels.iter().for_each(|(name, value)| text.push_str(&format!("\t{name}: {value}\n")));
    }
    text.push_str("Might cause inconsistency while recording expressions");
    (!duplicates.is_empty()).then_some(text)
}

fn describe_replaced(groups: &[GroupConfig]) -> Option<String> {
    let replaced = replaced_labels(groups);
    let mut text = format!("{} label(s) \"alertname\" found.\n", replaced.len());
    for (group, rule) in &replaced {
        text.push_str(&format!("Line: {}\nGroup: {}\nAlert: {}\n", rule.place.line, group.name, rule.alert));
    }
    text.push_str("The name of the alert takes their place");
    (!replaced.is_empty()).then_some(text)
}
