//! `perdura test rules`: what files of unit tests come to, and what the command says.

use std::path::Path;
use std::process::{Command, Output};

use super::unit_test_files::{example_folder, folder, run, unit_test_files};

fn perdura() -> &'static Path {
    Path::new(env!("CARGO_BIN_EXE_perdura"))
}

fn test_rules(arguments: &[&str]) -> Output {
    let mut command = Command::new(perdura());
    command.args(["test", "rules"]).args(arguments).current_dir(folder());
    command.output().expect("the program runs")
}

#[test]
fn files_come_to_what_they_say() {
    let scratch = tempfile::tempdir().expect("a folder can be made");
    let files = unit_test_files();
    assert!(files.len() >= 40, "{} files are found", files.len());
    for file in &files {
        file.check(&file.run(perdura(), scratch.path()));
    }
}

#[test]
fn the_examples_pass() {
    let scratch = tempfile::tempdir().expect("a folder can be made");
    let ran = run(perdura(), &example_folder(), &[], &["ml-tests.yml"], scratch.path());
    assert_eq!((ran.code, ran.err.as_str()), (Some(0), ""));
    assert!(ran.cases.len() >= 9, "{:?}", ran.cases);
}

#[test]
fn several_files_are_run_one_after_the_other() {
    let scratch = tempfile::tempdir().expect("a folder can be made");
    let files = ["fuzzy_pass.yml", "not_yaml_abort.yml", "fuzzy_fail.yml", "fuzzy_pass.yml"];
    let ran = run(perdura(), &folder(), &[], &files, scratch.path());
    assert_eq!(ran.code, Some(1));
    assert_eq!(ran.out, "  SUCCESS\n\n\n\n\n\n  SUCCESS\n\n");
    assert_eq!(ran.err.matches("  FAILED:\n").count(), 2, "{}", ran.err);
    let names: Vec<&str> = ran.cases.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(names, ["the last bit", "unknown", "the last bit", "the last bit"]);
}

#[test]
fn what_cannot_be_begun_is_refused_before_anything_runs() {
    for (arguments, part) in [
        (&["nowhere.yml"][..], "path 'nowhere.yml' does not exist, try --help"),
        (&["rules"], "'rules' is a directory"),
        (&["--run=(", "empty_pass.yml"], "invalid regular expression \"(\""),
        (&["--junit=/nowhere/junit.xml", "empty_pass.yml"], "open /nowhere/junit.xml: "),
    ] {
        let output = test_rules(arguments);
        let err = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(1), "{arguments:?}: {err}");
        assert!(err.contains(part) && output.stdout.is_empty(), "{arguments:?}: {err}");
    }
    assert_eq!(test_rules(&[]).status.code(), Some(2));
}

#[test]
fn debugging_shows_all_data() {
    let output = test_rules(&["--debug", "holds_pass.yml"]);
    let err = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{err}");
    for line in [
        "DEBUG: Starting test pending, firing, lingering, resolved",
        "DEBUG: Dump of all data (input_series and rules) at 11m1s:",
        "{__name__=\"ALERTS_FOR_STATE\", alertname=\"Hot\", cause=\"fan\", gpu=\"0\"} =>",
        "1234567 @[360000]",
        "300 @[300000]",
    ] {
        assert!(err.lines().any(|found| found == line), "{line}: {err}");
    }
    assert!(err.contains("DEBUG: Test pending, firing, lingering, resolved finished, took "), "{err}");
}

#[test]
fn unknown_features_are_told() {
    let output = test_rules(&["--enable-feature=telepathy,promql-duration-expr", "empty_pass.yml"]);
    let out = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success());
    assert!(out.starts_with("  WARNING: Unknown feature passed to --enable-feature: telepathy"), "{out}");
}
