//! `/api/v1/rules` and `/api/v1/alerts` answer what Prometheus answers, member for member and in its order.

use std::time::Duration;

use serde_json::Value;

use super::super::remote_write::data_of;
use super::super::server::Server;
use super::ask::{labels, text};

/// Both are asked one after the other, so they may have evaluated between: this often both are asked again.
const TRIES: usize = 40;

/// Calls whose answers must be the same but for times.
const CALLS: [(&str, &[(&str, &str)]); 9] = [
    ("/api/v1/rules", &[]),
    ("/api/v1/rules", &[("type", "alert"), ("exclude_alerts", "true")]),
    ("/api/v1/rules", &[("type", "record"), ("match[]", r#"{origin="own"}"#)]),
    ("/api/v1/rules", &[("rule_name[]", "GPUMemoryHigh"), ("rule_name[]", "OwnTexts")]),
    ("/api/v1/rules", &[("rule_group[]", "ml_alerts"), ("rule_group[]", "chain")]),
    ("/api/v1/rules", &[("file[]", "/nowhere.yml")]),
    ("/api/v1/rules", &[("group_limit", "2"), ("exclude_alerts", "true")]),
    ("/api/v1/rules", &[("match[]", r#"{team="ml"}"#), ("match[]", r#"{severity=~"crit.*"}"#)]),
    ("/api/v1/alerts", &[]),
];

/// What is different, answer for answer.
pub(super) fn compare(prometheus: &Server, subject: &Server) -> Vec<String> {
    let mut differences: Vec<String> =
        CALLS.iter().flat_map(|(path, fields)| compare_answer(prometheus, subject, path, fields)).collect();
    let (expected, actual) = (pages(prometheus), pages(subject));
    if expected != actual {
        differences.push(format!("pages of groups: {actual:?} are not {expected:?}"));
    }
    println!(
        "rules_trial: {} answers about rules and alerts, {} differences",
        CALLS.len() + 1,
        differences.len()
    );
    differences
}

fn compare_answer(prometheus: &Server, subject: &Server, path: &str, fields: &[(&str, &str)]) -> Vec<String> {
    let ask = |server| comparable(data_of(server, path, fields).expect("rules can be asked for"));
    let mut differences = Vec::new();
    for _ in 0..TRIES {
        differences.clear();
        same(&format!("{path} {fields:?}"), &ask(prometheus), &ask(subject), &mut differences);
        if differences.is_empty() {
            break;
        }
        std::thread::sleep(Duration::from_millis(130));
    }
    differences
}

/// The names of the groups on each page of three.
fn pages(server: &Server) -> Vec<Vec<String>> {
    let (mut pages, mut token) = (Vec::new(), String::new());
    loop {
        let mut fields = vec![("group_limit", "3")];
        if !token.is_empty() {
            fields.push(("group_next_token", &token));
        }
        let data = data_of(server, "/api/v1/rules", &fields).expect("a page can be asked for");
        let groups = data["groups"].as_array().expect("groups are a list");
        pages.push(groups.iter().map(|group| text(&group["name"]).to_owned()).collect());
        match data.get("groupNextToken") {
            Some(next) => token = text(next).to_owned(),
            None => return pages,
        }
    }
}

/// An answer with alerts in the order of their labels, and without the moments that no two servers share.
fn comparable(mut answer: Value) -> Value {
    match &mut answer {
        Value::Array(items) => {
            let is_alert = |item: &Value| item.get("activeAt").is_some();
            if items.iter().all(is_alert) {
                items.sort_by_cached_key(|alert| labels(&alert["labels"]));
            }
            answer = items.drain(..).map(comparable).collect();
        }
        Value::Object(members) => {
            // Upstream's newer releases show a recording rule's labels where it has none, too (3.8.0, #17471).
            if members.get("labels").is_some_and(|labels| labels == &serde_json::json!({})) {
                members.shift_remove("labels");
            }
            for (name, value) in members {
                *value = match name.as_str() {
                    "evaluationTime" | "lastEvaluation" | "activeAt" | "keepFiringSince" => kind_of(value),
                    // SHA-256 in upstream's newer releases, SHA-1 before.
                    "groupNextToken" => kind_of(value),
                    // Behind the bracket stand series in the order in which they were met.
                    "lastError" => text(value).split('[').next().into(),
                    _ => comparable(value.take()),
                };
            }
        }
        _ => {}
    }
    answer
}

fn kind_of(value: &Value) -> Value {
    let kind = match value {
        Value::Number(_) => "a number",
        Value::String(_) => "a text",
        _ => "something else",
    };
    Value::from(kind)
}

/// Adds what is not equal, the order of members included.
fn same(place: &str, expected: &Value, actual: &Value, differences: &mut Vec<String>) {
    match (expected, actual) {
        (Value::Object(left), Value::Object(right)) if left.keys().eq(right.keys()) => {
            for ((name, left), right) in left.iter().zip(right.values()) {
                same(&format!("{place}.{name}"), left, right, differences);
            }
        }
        (Value::Array(left), Value::Array(right)) if left.len() == right.len() => {
            for (index, (left, right)) in left.iter().zip(right).enumerate() {
                let name = left.get("name").map_or_else(|| index.to_string(), Value::to_string);
                same(&format!("{place}[{name}]"), left, right, differences);
            }
        }
        _ if expected == actual => {}
        _ => differences.push(format!("{place}: {actual} is not {expected}")),
    }
}
