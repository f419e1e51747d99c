//! `perdura check rules` beside `promtool check rules`.

use std::path::Path;
use std::process::{Command, Stdio};

use super::bad_rule_table::BAD_FILES;
use super::server;

/// What a program said of a file.
struct Verdict {
    code: Option<i32>,
    out: String,
    /// What it wrote on the error stream, line by line, without `FAILED:`.
    errors: Vec<String>,
}

fn check(program: &Path, folder: &Path, arguments: &[&str]) -> Verdict {
    let output = Command::new(program)
        .args(["check", "rules"])
        .args(arguments)
        .current_dir(folder)
        .stdin(Stdio::null())
        .output()
        .expect("the program runs");
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let errors = text(&output.stderr).lines().map(|line| line.trim_start().to_owned()).collect();
    Verdict { code: output.status.code(), out: text(&output.stdout), errors }
}

/// Files that both accept, with what `--lint` finds in them.
const GOOD_FILES: &[&str] = &[
    "",
    "# nothing\n",
    "groups:\n",
    "groups: []\n",
    "groups: [~]\n",
    "groups: [{name: g}]\n",
    "groups: [{name: g, interval: 0, limit: -1, query_offset: ~, labels: ~, rules: [~]}]\n",
    "groups: [{name: g, limit: 0x10, rules: []}]\n---\nnot: [read",
    "groups: [{name: 5, rules: [{record: r, expr: 1}, {record: s, expr: 1.50, labels: {a: 1.50, b: true, c: ~}}]}]\n",
    "groups: [{name: g, rules: [{record: 'a b', expr: up}, {alert: 'ä', expr: up, annotations: {'x y': z}}]}]\n",
    "groups:\n- name: g\n  rules:\n  - &a\n    alert: A\n    expr: &e |\n      up ==\n        0\n    for: 1d2h\n  - <<: *a\n    \
     alert: B\n  - {<<: [{for: 5m}, *a], record: ~, alert: C, expr: *e}\n",
    "groups: [{name: g, labels: {a: b}, rules: [{record: r, expr: 1}, {record: r, expr: 2}, {alert: r, expr: 2}]}]\n",
    "groups:\n- {name: g, rules: [{record: r, expr: 1, labels: {b: c, a: b}}]}\n\
     - {name: h, rules: [{record: r, expr: 1, labels: {a: b, b: c}}]}\n",
    "groups: [{name: g, rules: [{alert: a, expr: 1, labels: {alertname: b}}]}]\n",
];

#[test]
fn good_files_and_lint_get_the_same_answer() {
    let Some(peers) = server::peers("check rules") else { return };
    let folder = tempfile::tempdir().expect("a folder can be made");
    let perdura = Path::new(env!("CARGO_BIN_EXE_perdura"));
    for text in GOOD_FILES {
        std::fs::write(folder.path().join("f.yml"), text).expect("the file can be written");
        for flags in [&[][..], &["--lint-fatal"], &["--lint=none"], &["--lint=duplicate-rules,none"]] {
            let arguments = [flags, &["f.yml"]].concat();
            let ours = check(perdura, folder.path(), &arguments);
            let theirs = check(&peers.join("promtool"), folder.path(), &arguments);
            assert_eq!((ours.code, &ours.out), (theirs.code, &theirs.out), "{flags:?} {text}");
            if !ours.errors.iter().any(|line| line.contains("Multiple document")) {
                assert_eq!(ours.errors, theirs.errors, "{flags:?} {text}");
            }
        }
    }
}

#[test]
fn bad_files_are_refused_by_both_for_the_same_reasons() {
    let Some(peers) = server::peers("check rules") else { return };
    let folder = tempfile::tempdir().expect("a folder can be made");
    for bad in BAD_FILES {
        std::fs::write(folder.path().join("f.yml"), bad.text).expect("the file can be written");
        let theirs = check(&peers.join("promtool"), folder.path(), &["f.yml"]);
        assert_eq!((theirs.code, theirs.out.as_str()), (Some(1), "Checking f.yml\n"), "{}", bad.name);
        for line in theirs.errors.iter().filter(|line| !is_frame(line)) {
            let reason = reason(line);
            let is_told = bad.errors.iter().any(|ours| ours.ends_with(reason));
            assert!(is_told || is_worded_otherwise(reason), "{}: {line}\n{:?}", bad.name, bad.errors);
        }
    }
}

/// Lines that announce others.
fn is_frame(line: &str) -> bool {
    line == "FAILED:" || line.ends_with("yaml: unmarshal errors:")
}

/// A message without file and place.
fn reason(line: &str) -> &str {
    let line = line.strip_prefix("f.yml: ").unwrap_or(line);
    let line = line.strip_prefix("line ").unwrap_or(line);
    line.trim_start_matches(|c: char| c.is_ascii_digit() || c == ':' || c == ' ')
}

/// Where the text is not YAML, parsers differ in what they expected; names of types differ with the second reading of a
/// file that upstream makes.
fn is_worded_otherwise(reason: &str) -> bool {
    let other = ["yaml: ", "rulefmt.ruleGroups", "rulefmt.RuleGroupNode", "rulefmt.RuleNode"];
    // Read as rules of itself, a group that holds itself has fields that rules have not.
    let in_itself =
        ["field name not found in type rulefmt.Rule", "field rules not found in type rulefmt.Rule"];
    other.iter().any(|text| reason.contains(text)) || in_itself.contains(&reason)
}
