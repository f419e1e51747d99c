//! Rule files that are wrong, as `check rules` refuses them; and what its flags do.

use std::io::Write;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use perdura::rules::{RuleFile, RuleFileOptions};

use crate::bad_rule_table::BAD_FILES;
use crate::command_line::Served;
use crate::server::{Reply, exchange};

fn check(folder: &Path, arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_perdura"))
        .arg("check")
        .args(arguments)
        .current_dir(folder)
        .stdin(Stdio::null())
        .output()
        .expect("the program runs")
}

fn said(output: &Output) -> (String, String) {
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).expect("output is text");
    (text(&output.stdout), text(&output.stderr))
}

fn folder_with(files: &[(&str, &str)]) -> tempfile::TempDir {
    let folder = tempfile::tempdir().expect("a folder can be made");
    for (name, text) in files {
        std::fs::write(folder.path().join(name), text).expect("the file can be written");
    }
    folder
}

const GOOD: &str = "groups: [{name: g, rules: [{record: r, expr: up}, {alert: a, expr: up == 0}]}]\n";
const TWICE: &str = "groups:
- name: g
  labels: {team: a}
  rules: [{record: r, expr: 1}, {record: r, expr: 2}]
";

#[test]
fn every_bad_file_is_refused_for_its_reasons() {
    assert!(BAD_FILES.len() >= 40);
    for bad in BAD_FILES {
        let read = RuleFile::parse("", bad.text, &RuleFileOptions::default());
        let errors: Vec<String> = read.expect_err(bad.name).iter().map(ToString::to_string).collect();
        assert_eq!(errors, bad.errors, "{}", bad.name);
    }
}

#[test]
fn bad_files_are_named_and_good_ones_counted() {
    let folder = folder_with(&[("good.yml", GOOD), ("bad.yml", BAD_FILES[0].text)]);
    let output = check(folder.path(), &["rules", "good.yml", "bad.yml", "good.yml"]);
    assert_eq!(output.status.code(), Some(1));
    let (out, errors) = said(&output);
    let sound = "Checking good.yml\n  SUCCESS: 2 rules found\n\n";
    assert_eq!(out, format!("{sound}Checking bad.yml\n{sound}"));
    assert_eq!(errors, format!("  FAILED:\nbad.yml: {}\n", BAD_FILES[0].errors[0]));
    assert_eq!(check(folder.path(), &["rules", "good.yml"]).status.code(), Some(0));
    let (_, errors) = said(&check(folder.path(), &["rules", "nowhere.yml"]));
    assert_eq!(errors, "  FAILED:\nnowhere.yml: open nowhere.yml: no such file or directory\n");
}

#[test]
fn rules_may_come_from_standard_input() {
    let check = |text: &str| {
        let mut child = Command::new(env!("CARGO_BIN_EXE_perdura"))
            .args(["check", "rules"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the program starts");
        let mut input = child.stdin.take().expect("the input is piped");
        input.write_all(text.as_bytes()).expect("the program reads");
        drop(input);
        let output = child.wait_with_output().expect("the program ends");
        (output.status.code(), said(&output))
    };
    let (code, (out, _)) = check(GOOD);
    assert_eq!((code, out.as_str()), (Some(0), "Checking standard input\n  SUCCESS: 2 rules found\n\n"));
    let (code, (_, errors)) = check("x: 1\n");
    let told = "  FAILED:\n1:1: field x not found in type rulefmt.RuleGroups\n";
    assert_eq!((code, errors.as_str()), (Some(1), told));
}

#[test]
fn lint_is_said_and_fatal_where_asked_for() {
    let replaced = "groups: [{name: g, rules: [{alert: a, expr: 1, labels: {alertname: b}}]}]\n";
    let folder = folder_with(&[("twice.yml", TWICE), ("replaced.yml", replaced)]);
    let check = |arguments: &[&str]| {
        let output = check(folder.path(), &[&["rules"], arguments].concat());
        (output.status.code(), said(&output).1)
    };
    let twice = "  FAILED:\nlint error 1 duplicate rule(s) found.\nMetric: r\nLabel(s):\n\tteam: a\n\
                 Might cause inconsistency while recording expressions\n";
    assert_eq!(check(&["twice.yml"]), (Some(0), twice.to_owned()));
    assert_eq!(check(&["--lint-fatal", "twice.yml"]), (Some(3), twice.to_owned()));
    assert_eq!(check(&["--lint=all", "--lint-fatal", "twice.yml"]), (Some(3), twice.to_owned()));
    assert_eq!(check(&["--lint=none", "--lint-fatal", "twice.yml"]), (Some(0), String::new()));
    assert_eq!(check(&["--lint-fatal", "replaced.yml"]), (Some(0), String::new()));
    let (code, errors) = check(&["--lint=replaced-labels", "--lint-fatal", "replaced.yml"]);
    assert_eq!(code, Some(3));
    assert!(errors.contains("Line: 1\nGroup: g\nAlert: a\n"), "{errors}");
}

#[test]
fn flags_widen_what_is_accepted() {
    let unknown = "groups: [{name: g, note: x, rules: []}]\n";
    let experimental = "groups: [{name: g, rules: [{record: r, expr: 'limitk(1, up)'}]}]\n";
    let folder = folder_with(&[("unknown.yml", unknown), ("experimental.yml", experimental)]);
    let code = |arguments: &[&str]| check(folder.path(), arguments).status.code();
    assert_eq!(code(&["rules", "unknown.yml"]), Some(1));
    assert_eq!(code(&["rules", "--ignore-unknown-fields", "unknown.yml"]), Some(0));
    assert_eq!(code(&["rules", "experimental.yml"]), Some(1));
    let feature = "--enable-feature=promql-experimental-functions";
    assert_eq!(code(&["rules", feature, "experimental.yml"]), Some(0));
}

#[test]
fn a_configuration_is_checked_with_its_rule_files() {
    let config =
        "scrape_configs: [{job_name: slow, scrape_interval: 5m}]\nrule_files: ['rules/*.yml', one.yml]\n";
    let folder = folder_with(&[("p.yml", config), ("one.yml", TWICE)]);
    std::fs::create_dir(folder.path().join("rules")).expect("a folder can be made");
    std::fs::write(folder.path().join("rules/a.yml"), GOOD).expect("the file can be written");
    let check = |arguments: &[&str]| {
        let output = check(folder.path(), &[&["config"], arguments, &["p.yml"]].concat());
        (output.status.code(), said(&output))
    };
    let (code, (out, errors)) = check(&["--lint-fatal"]);
    assert_eq!(code, Some(3), "{errors}");
    assert!(out.contains(
        "  SUCCESS: 2 rule files found\n SUCCESS: p.yml is valid prometheus config file syntax\n\n"
    ));
    assert!(out.contains("rules/a.yml\n  SUCCESS: 2 rules found\n\n"), "{out}");
    assert!(errors.contains("1 duplicate rule(s) found.") && !errors.contains("too long"), "{errors}");
    let (code, (_, errors)) = check(&["--lint=too-long-scrape-interval", "--lint-fatal"]);
    assert_eq!(code, Some(3));
    assert!(errors.contains("too long scrape interval found") && errors.contains("job: slow, interval: 5m"));
    let longer = ["--lint=too-long-scrape-interval", "--lint-fatal", "--query.lookback-delta=6m"];
    assert_eq!(check(&longer).0, Some(0));

    std::fs::write(folder.path().join("rules/b.yml"), BAD_FILES[0].text).expect("the file can be written");
    let (code, (_, errors)) = check(&[]);
    assert_eq!(code, Some(1));
    assert!(errors.contains(&format!("rules/b.yml: {}\n", BAD_FILES[0].errors[0])), "{errors}");
    assert_eq!(check(&["--syntax-only"]).0, Some(0));
    std::fs::remove_file(folder.path().join("one.yml")).expect("the file is there");
    let (code, (_, errors)) = check(&[]);
    assert_eq!(code, Some(1));
    assert!(errors.contains("one.yml\" does not point to an existing file"), "{errors}");
}

fn ask(served: &Served, method: &str, path: &str) -> Reply {
    let head =
        format!("{method} {path} HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
    exchange(served.address, head.as_bytes())
}

#[test]
fn a_reload_refuses_every_bad_file_for_the_same_reasons() {
    let kept = "groups: [{name: g, interval: 1h, rules: [{record: kept, expr: up}]}]\n";
    let folder = folder_with(&[("p.yml", "rule_files: ['*.rules']\n"), ("a.rules", kept)]);
    let served = Served::start(folder.path(), &["--config.file=p.yml", "--web.enable-lifecycle"]);
    let rules = || ask(&served, "GET", "/api/v1/rules").text().to_owned();
    assert!(rules().contains(r#""name":"kept""#), "{}", rules());
    for bad in BAD_FILES {
        std::fs::write(folder.path().join("b.rules"), bad.text).expect("the file can be written");
        let reply = ask(&served, "POST", "/-/reload");
        assert_eq!(reply.status, 500, "{}", bad.name);
        for error in bad.errors {
            assert!(reply.text().contains(&format!("b.rules: {error}")), "{}: {}", bad.name, reply.text());
        }
        let rules = rules();
        assert!(rules.contains(r#""name":"kept""#) && !rules.contains("b.rules"), "{}: {rules}", bad.name);
    }
    assert!(ask(&served, "GET", "/metrics").text().contains("prometheus_config_last_reload_successful 0\n"));
    std::fs::write(folder.path().join("b.rules"), GOOD).expect("the file can be written");
    assert_eq!(ask(&served, "POST", "/-/reload").status, 200);
    assert!(rules().contains(r#""name":"kept""#) && rules().contains("b.rules"));
}
