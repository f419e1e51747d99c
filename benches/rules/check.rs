//! That the servers compute what their rules say, and the same.

use std::collections::BTreeMap;

use serde_json::Value;

use super::fleet::INTERVAL_MS;
use super::groups::{self, Filled};
use super::server::Server;

/// Every so many rules of the first cluster are looked at.
const CHECKED_EVERY: usize = 7;
/// How long after an interval's begin questions are asked: samples have arrived by then, and none is on the way.
const QUIET_MS: i64 = 14_900;

/// What a server answered: by expression, time since step 0 and labels.
pub(crate) type Answers = BTreeMap<(String, i64, String), f64>;

/// Version of a server.
pub(crate) fn version(server: &Server) -> String {
    let info = server.get("/api/v1/status/buildinfo", &[]).expect("the server answers").json();
    info["data"]["version"].as_str().unwrap_or("unknown").to_owned()
}

fn rules() -> Vec<Filled> {
    groups::of_cluster(0).into_iter().flat_map(|group| group.rules).collect()
}

/// Mean number of series that the selectors of a rule of the first cluster find together.
pub(crate) fn series_per_rule(server: &Server) -> f64 {
    let rules = rules();
    let mut known: BTreeMap<String, f64> = BTreeMap::new();
    let mut sum = 0.0;
    for rule in &rules {
        let answer =
            server.get("/api/v1/parse_query", &[("query", &rule.expr)]).expect("the server answers").json();
        let mut selectors = Vec::new();
        find_selectors(&answer["data"], &mut selectors);
        for selector in selectors {
            sum += *known.entry(selector.clone()).or_insert_with(|| {
                let found = query(server, &format!("count({selector})"), None);
                found.first().map_or(0.0, |(_, value)| *value)
            });
        }
    }
    sum / rules.len() as f64
}

fn find_selectors(node: &Value, out: &mut Vec<String>) {
    match node {
        Value::Object(fields) => {
            let kind = node["type"].as_str().unwrap_or_default();
            if matches!(kind, "vectorSelector" | "matrixSelector") {
                let matchers = node["matchers"].as_array().into_iter().flatten().map(|matcher| {
                    let text = |field: &str| matcher[field].as_str().unwrap_or_default().to_owned();
                    format!("{}{}{:?}", text("name"), text("type"), text("value"))
                });
                out.push(format!("{{{}}}", matchers.collect::<Vec<_>>().join(",")));
            }
            fields.values().for_each(|field| find_selectors(field, out));
        }
        Value::Array(items) => items.iter().for_each(|item| find_selectors(item, out)),
        _ => {}
    }
}

/// How many recorded samples of the first cluster equal their expressions at their own times.
pub(crate) fn recorded(server: &Server, start: i64) -> String {
    let (mut equal, mut late, mut other) = (0, 0, Vec::new());
    for rule in rules().iter().filter(|rule| rule.is_recording()).step_by(CHECKED_EVERY) {
        let selector = format!("{}{{{}}}[45s]", rule.name, rule.matchers);
        let mut expected: BTreeMap<i64, Vec<(String, f64)>> = BTreeMap::new();
        for (labels, t, value) in matrix(server, &selector) {
            // The first cluster's samples arrive at an interval's begin: whoever is evaluated then may miss them.
            if (t - start).rem_euclid(INTERVAL_MS) < 2_000 {
                late += 1;
                continue;
            }
            let expected = expected.entry(t).or_insert_with(|| query(server, &rule.expr, Some(t)));
            match expected.iter().find(|(found, _)| *found == labels) {
                Some((_, found)) if found.to_bits() == value.to_bits() => equal += 1,
                found => other.push(format!("{}{labels} at {t}: {value}, not {found:?}", rule.name)),
            }
        }
    }
    let mut text = format!(
        "recorded: {equal} samples equal their expressions, {} do not, {late} not judged",
        other.len()
    );
    other.iter().take(5).for_each(|line| text.push_str(&format!("\n    {line}")));
    text
}

/// What some expressions give at fixed times since step 0, which stands at `start`: those after `history_steps`.
pub(crate) fn answers(server: &Server, start: i64, history_steps: i64) -> Answers {
    let mut answers = Answers::new();
    for rule in rules().iter().filter(|rule| rule.is_recording()).step_by(CHECKED_EVERY) {
        for step in history_steps - 2..=history_steps {
            let since = step * INTERVAL_MS + QUIET_MS;
            for (labels, value) in query(server, &rule.expr, Some(start + since)) {
                answers.insert((rule.expr.clone(), since, labels), value);
            }
        }
    }
    answers
}

/// How many of the answers that both gave are the same.
pub(crate) fn compare(one: &Answers, other: &Answers) -> String {
    let both = || one.iter().filter_map(|(key, value)| Some((key, *value, *other.get(key)?)));
    let is_equal = |a: f64, b: f64| a.to_bits() == b.to_bits() || (a - b).abs() <= 1e-12 * a.abs();
    let equal = both().filter(|(_, a, b)| is_equal(*a, *b)).count();
    let mut text = format!("answers of both: {equal} of {} equal", both().count());
    for ((expr, since, labels), a, b) in both().filter(|(_, a, b)| !is_equal(*a, *b)).take(5) {
        text.push_str(&format!("\n  {expr} at {since} {labels}: {a} and {b}"));
    }
    text
}

fn seconds(t: i64) -> String {
    format!("{}.{:03}", t / 1_000, t % 1_000)
}

fn number(value: &Value) -> f64 {
    value.as_str().and_then(|text| text.parse().ok()).expect("values are numbers")
}

fn milliseconds(value: &Value) -> i64 {
    (value.as_f64().expect("times are numbers") * 1_000.0).round() as i64
}

/// The labels but the name, in one form for all servers.
fn label_text(metric: &Value) -> String {
    let labels: BTreeMap<&String, &Value> =
        metric.as_object().into_iter().flatten().filter(|(name, _)| *name != "__name__").collect();
    format!("{labels:?}")
}

fn ask(server: &Server, query: &str, at: Option<i64>) -> Value {
    let at = at.map(seconds);
    let mut fields = vec![("query", query)];
    fields.extend(at.as_deref().map(|at| ("time", at)));
    let answer = server.get("/api/v1/query", &fields).expect("the server answers");
    assert_eq!(answer.status, 200, "{query}: {}", answer.text());
    answer.json()
}

fn query(server: &Server, query: &str, at: Option<i64>) -> Vec<(String, f64)> {
    let answer = ask(server, query, at);
    let samples = answer["data"]["result"].as_array().into_iter().flatten();
    samples.map(|sample| (label_text(&sample["metric"]), number(&sample["value"][1]))).collect()
}

fn matrix(server: &Server, query: &str) -> Vec<(String, i64, f64)> {
    let answer = ask(server, query, None);
    let series = answer["data"]["result"].as_array().into_iter().flatten();
    series
        .flat_map(|series| {
            let labels = label_text(&series["metric"]);
            let values = series["values"].as_array().cloned().unwrap_or_default();
            values.into_iter().map(move |pair| (labels.clone(), milliseconds(&pair[0]), number(&pair[1])))
        })
        .collect()
}
