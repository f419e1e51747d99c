//! The table of template cases, rendered by a real Prometheus.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;

use serde_json::{Value, json};

use super::server;
use table::{Outcome, Table};

#[path = "../templates/table.rs"]
mod table;

/// What `promtool` says, whatever it thinks of it.
fn promtool(peers: &Path, folder: &Path, arguments: &[&str]) -> String {
    let output = Command::new(peers.join("promtool"))
        .args(arguments)
        .current_dir(folder)
        .output()
        .unwrap_or_else(|error| panic!("cannot start promtool: {error}"));
    String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned()
}

/// One alert for each section, whose annotations are the cases of that outcome, named after their lines.
fn rules(table: &Table, outcome: Outcome) -> Value {
    let alerts: Vec<Value> = table
        .sections
        .iter()
        .enumerate()
        .map(|(number, section)| {
            let cases = section.cases.iter().filter(|case| case.outcome == outcome);
            let annotations: BTreeMap<String, &str> =
                cases.map(|case| (format!("line{}", case.line), case.template.as_str())).collect();
            json!({
                "alert": table::ALERT,
                "expr": section.expr,
                "labels": {"section": number.to_string()},
                "annotations": annotations,
            })
        })
        .collect();
    json!({"groups": [{"name": "templates", "rules": alerts}]})
}

/// A test that expects something else, so that what there is instead is printed.
fn unit_test(table: &Table) -> Value {
    let series: Vec<Value> = table
        .series
        .iter()
        .filter_map(|line| line.split_once("} "))
        .map(|(labels, values)| json!({"series": format!("{labels}}}"), "values": values}))
        .collect();
    json!({
        "rule_files": ["rules.yml"],
        "tests": [{
            "interval": "1m",
            "input_series": series,
            "external_labels": table::EXTERNAL_LABELS.into_iter().collect::<BTreeMap<_, _>>(),
            "external_url": table::EXTERNAL_URL,
            "alert_rule_test": [{
                "alertname": table::ALERT,
                "eval_time": format!("{}m", table::MINUTES),
                "exp_alerts": [{"exp_labels": {"no": "such"}}],
            }],
        }],
    })
}

/// Annotations by their names, out of `{line1="...", line2="..."}`.
fn annotations(text: &str) -> BTreeMap<String, String> {
    let mut found = BTreeMap::new();
    let mut rest = text;
    while let Some(at) = rest.find("=\"") {
        let name = rest[..at].rsplit(|c: char| !c.is_alphanumeric()).next().unwrap_or_default();
        let quoted = &rest[at + 2..];
        let end = end_of_quoted(quoted);
        found.insert(name.to_owned(), unquote(&quoted[..end]));
        rest = &quoted[end + 1..];
    }
    found
}

/// Where the closing quote of a text stands.
fn end_of_quoted(text: &str) -> usize {
    let mut escaped = false;
    for (at, c) in text.char_indices() {
        match c {
            '"' if !escaped => return at,
            _ => escaped = c == '\\' && !escaped,
        }
    }
    panic!("a quoted text without an end: {text}");
}

/// A text as Go quotes it, without its escapes.
fn unquote(text: &str) -> String {
    let mut bytes = Vec::new();
    let mut rest = text.chars();
    while let Some(c) = rest.next() {
        let c = match c {
            '\\' => match rest.next() {
                Some('n') => '\n',
                Some('t') => '\t',
                Some('r') => '\r',
                Some('a') => '\u{7}',
                Some('b') => '\u{8}',
                Some('f') => '\u{c}',
                Some('v') => '\u{b}',
                Some('x') => {
                    bytes.push(u8::try_from(hex(&mut rest, 2)).expect("two digits are a byte"));
                    continue;
                }
                Some('u') => char::from_u32(hex(&mut rest, 4)).expect("an escaped character is one"),
                Some('U') => char::from_u32(hex(&mut rest, 8)).expect("an escaped character is one"),
                Some(c) => c,
                None => break,
            },
            c => c,
        };
        bytes.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes());
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

fn hex(text: &mut std::str::Chars<'_>, digits: usize) -> u32 {
    let code: String = text.take(digits).collect();
    u32::from_str_radix(&code, 16).expect("an escape is hexadecimal")
}

/// Messages by annotation, out of lines such as `... annotation "line1": template: ...`.
fn refusals(text: &str) -> BTreeMap<String, String> {
    text.lines()
        .filter_map(|line| line.split_once("annotation \"")?.1.split_once("\": "))
        .map(|(name, message)| (name.to_owned(), message.to_owned()))
        .collect()
}

fn compare(table: &Table, outcome: Outcome, answers: &BTreeMap<String, String>) {
    let mut faults = Vec::new();
    let cases = table.sections.iter().flat_map(|section| &section.cases);
    for case in cases.filter(|case| case.outcome == outcome) {
        let answer = answers.get(&format!("line{}", case.line));
        if answer != Some(&case.expected) {
            let (line, template, expected) = (case.line, &case.template, &case.expected);
            faults.push(format!("line {line}: {template}\n  table {expected:?}\n  peer  {answer:?}"));
        }
    }
    assert!(faults.is_empty(), "{} cases differ:\n{}", faults.len(), faults.join("\n"));
}

#[test]
fn template_cases() {
    let Some(peers) = server::peers("template_cases") else { return };
    let table = table::read();
    let folder = tempfile::tempdir().expect("a folder can be made");
    let write = |name: &str, value: &Value| {
        // JSON is YAML too.
        std::fs::write(folder.path().join(name), value.to_string()).expect("the folder is writable");
    };
    write("rules.yml", &rules(&table, Outcome::Rendered));
    write("test.yml", &unit_test(&table));
    let said = promtool(&peers, folder.path(), &["test", "rules", "test.yml"]);
    let got = said.split_once("got:[").unwrap_or_else(|| panic!("no alerts in: {said}")).1;
    compare(&table, Outcome::Rendered, &annotations(got));

    write("refused.yml", &rules(&table, Outcome::Refused));
    let said = promtool(&peers, folder.path(), &["check", "rules", "--lint=none", "refused.yml"]);
    compare(&table, Outcome::Refused, &refusals(&said));
}
