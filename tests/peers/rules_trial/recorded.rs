//! What recording rules stored is what their expressions say at the samples' own times.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use super::ask::{Labels, Samples, evaluated, labels, same, stored, text};
use super::cast::Cast;
use super::{files, query_offset_ms};

/// Rules that are refused whenever they are evaluated: they store nothing.
const REFUSED: [&str; 2] = ["own:refused:limit", "own:refused:match"];
/// Share of all evaluations that must have happened on a machine that others use too.
const EVALUATED_MIN: f64 = 0.8;

/// Longest that an evaluation takes, in milliseconds.
const EVALUATION_MS: i64 = 1_500;

/// One recording rule of a file.
struct Rule {
    record: String,
    expr: String,
    labels: Labels,
}

/// All series of one metric.
type Recorded = Vec<(Labels, Samples)>;

/// Asks perdura for each rule and each of its evaluations, and Prometheus for what it recorded at the same moments.
pub(super) fn check(cast: &Cast, until_ms: i64) {
    // Of an evaluation that is under way while this asks, the first rules have stored their results and the last have not.
    let settled_ms = until_ms - query_offset_ms() - EVALUATION_MS;
    let span_ms = settled_ms - cast.began_ms;
    let by_metric = |server| {
        let mut metrics: BTreeMap<String, Recorded> = BTreeMap::new();
        for (mut labels, samples) in stored(server, r#"{__name__=~".+:.+"}"#, settled_ms, span_ms) {
            let name = labels.remove("__name__").expect("a recorded series has a name");
            metrics.entry(name).or_default().push((labels, samples));
        }
        metrics
    };
    let (ours, theirs) = (by_metric(&cast.subject), by_metric(&cast.prometheus));
    let mut tally = Tally::default();
    for group in files::groups(&cast.rules) {
        check_group(cast, &group, &ours, until_ms, &mut tally);
    }
    for (metric, recorded) in &ours {
        compare_with_prometheus(metric, recorded, theirs.get(metric).map_or(&[], Vec::as_slice), &mut tally);
    }
    println!(
        "rules_trial: {} samples of {} evaluations equal their expressions; {} of them are in Prometheus too, {} series-moments are not; \
         {} evaluations were cut off by the kill",
        tally.samples, tally.evaluations, tally.shared, tally.unshared, tally.cut_off
    );
    assert!(tally.failures.is_empty(), "{} differ:\n{}", tally.failures.len(), tally.first_failures());
    assert!(tally.samples > 3_000, "only {} samples were recorded", tally.samples);
}

#[derive(Default)]
struct Tally {
    evaluations: usize,
    samples: usize,
    shared: usize,
    unshared: usize,
    cut_off: usize,
    failures: Vec<String>,
}

impl Tally {
    fn first_failures(&self) -> String {
        self.failures.iter().take(20).cloned().collect::<Vec<_>>().join("\n")
    }
}

fn check_group(
    cast: &Cast,
    group: &Value,
    ours: &BTreeMap<String, Recorded>,
    until_ms: i64,
    tally: &mut Tally,
) {
    let rules = recording_rules(group);
    let recorded = |rule: &Rule| ours.get(&rule.record).map_or(&[][..], Vec::as_slice);
    let times: BTreeSet<i64> =
        rules.iter().flat_map(recorded).flat_map(|(_, samples)| samples.keys().copied()).collect();
    if rules.is_empty() {
        return;
    }
    let lost_ms: i64 = cast.outages.iter().map(|outage| outage.to_ms - outage.from_ms).sum();
    let expected = (until_ms - cast.began_ms - lost_ms - 3 * query_offset_ms()) as f64 / 1_000.0;
    if (times.len() as f64) < EVALUATED_MIN * expected {
        tally.failures.push(format!("{}: only {} of {expected} evaluations", group["name"], times.len()));
    }
    for rule in &rules {
        for &time in &times {
            check_evaluation(cast, rule, recorded(rule), time, tally);
        }
    }
}

fn check_evaluation(cast: &Cast, rule: &Rule, recorded: &[(Labels, Samples)], time: i64, tally: &mut Tally) {
    let found: BTreeMap<&Labels, &Value> = recorded
        .iter()
        .filter_map(|(labels, samples)| samples.get(&time).map(|value| (labels, value)))
        .collect();
    let expected = match evaluated(&cast.subject, &rule.expr, time) {
        Ok(expected) if !REFUSED.contains(&rule.record.as_str()) => expected,
        Ok(_) => BTreeMap::new(),
        Err(_) if REFUSED.contains(&rule.record.as_str()) => BTreeMap::new(),
        Err(error) => return tally.failures.push(format!("{}: {error}", rule.record)),
    };
    let expected: BTreeMap<Labels, Value> =
        expected.into_iter().map(|(labels, value)| (rule.relabelled(labels), value)).collect();
    tally.evaluations += 1;
    // The group that was being evaluated when perdura was killed stored the results of its first rules only.
    if found.is_empty() && !expected.is_empty() && is_cut_off(cast, time) {
        tally.cut_off += 1;
        return;
    }
    tally.samples += found.len();
    let equal = found.len() == expected.len()
        && expected.iter().all(|(labels, value)| found.get(labels).is_some_and(|found| same(value, found)));
    if !equal {
        tally.failures.push(format!("{} at {time}: stored {found:?}, not {expected:?}", rule.record));
    }
}

fn is_cut_off(cast: &Cast, time: i64) -> bool {
    cast.outages.iter().any(|outage| {
        let evaluated_at = time + query_offset_ms();
        (outage.from_ms - EVALUATION_MS..=outage.from_ms + EVALUATION_MS).contains(&evaluated_at)
    })
}

/// Both servers evaluate a group at the same moments, so what both stored at one must be the same.
fn compare_with_prometheus(
    metric: &str,
    ours: &[(Labels, Samples)],
    theirs: &[(Labels, Samples)],
    tally: &mut Tally,
) {
    for (labels, samples) in ours {
        let other = theirs.iter().find(|(other, _)| other == labels).map(|(_, samples)| samples);
        for (time, value) in samples {
            match other.and_then(|other| other.get(time)) {
                Some(other) if same(value, other) => tally.shared += 1,
                Some(other) => {
                    tally
                        .failures
                        .push(format!("{metric} {labels:?} at {time}: {value}, Prometheus has {other}"));
                }
                None => tally.unshared += 1,
            }
        }
    }
}

fn recording_rules(group: &Value) -> Vec<Rule> {
    let of = |value: &Value| if value.is_object() { labels(value) } else { Labels::new() };
    let rules = group["rules"].as_array().expect("a group has rules");
    let recording = rules.iter().filter(|rule| rule.get("record").is_some());
    recording
        .map(|rule| {
            let mut labels = of(&group["labels"]);
            labels.extend(of(&rule["labels"]));
            Rule { record: text(&rule["record"]).to_owned(), expr: text(&rule["expr"]).to_owned(), labels }
        })
        .collect()
}

impl Rule {
    /// A result's labels as they are stored, but for the name; an empty value takes a label away.
    fn relabelled(&self, mut labels: Labels) -> Labels {
        labels.remove("__name__");
        labels.extend(self.labels.clone());
        labels.retain(|_, value| !value.is_empty());
        labels
    }
}
