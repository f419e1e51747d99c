//! A real Alertmanager hears of perdura's alerts, groups, routes and inhibits them, and tells the right receivers.

use std::collections::{BTreeMap, BTreeSet};

use super::alerts::{Stretch, is_forgotten, states};
use super::ask::{Labels, labels, text};
use super::cast::Cast;
use super::query_offset_ms;
use super::stage::Message;

/// An alert that fired for so long must have been told of: queue, Alertmanager's waiting for the group, its interval.
const TOLD_AFTER_MS: i64 = 12_000;

/// What was said of an alert, in order of arrival.
type Told = BTreeMap<Labels, Vec<Telling>>;

struct Telling {
    receiver: String,
    status: String,
    annotations: Labels,
    at_ms: i64,
}

/// Compares what the receivers heard with what perdura says of itself.
pub(super) fn check(cast: &Cast, until_ms: i64) {
    let messages = cast.stage.messages();
    let told = told(&messages);
    let mut firing: BTreeMap<Labels, Vec<Stretch>> = BTreeMap::new();
    for ((mut labels, state), stretches) in states(&cast.subject, cast, until_ms) {
        labels.insert("cluster".to_owned(), "trial".to_owned());
        if state == "firing" {
            firing.insert(labels, stretches);
        }
    }
    for (labels, stretches) in firing.iter().filter(|(labels, _)| !is_forgotten(cast, labels)) {
        check_told(labels, stretches, &told, until_ms);
    }
    for (labels, tellings) in &told {
        assert!(firing.contains_key(labels), "nobody fired {labels:?}");
        check_routed(labels, tellings);
        check_annotations(cast, labels, tellings);
    }
    check_inhibited(&firing, &told);
    check_not_repeated(&messages);
    println!("rules_trial: {} webhooks told of {} alerts", messages.len(), told.len());
    assert!(told.len() > 15, "only {} alerts were told of", told.len());
}

fn told(messages: &[Message]) -> Told {
    let mut told = Told::new();
    for message in messages {
        for alert in message.body["alerts"].as_array().expect("a message has alerts") {
            told.entry(labels(&alert["labels"])).or_default().push(Telling {
                receiver: message.receiver.clone(),
                status: text(&alert["status"]).to_owned(),
                annotations: labels(&alert["annotations"]),
                at_ms: message.at_ms,
            });
        }
    }
    told
}

/// Whether the inhibition rule keeps it quiet: the first machine throttles for all the time that it is slow.
fn is_inhibited(labels: &Labels) -> bool {
    labels["alertname"] == "InferenceLatencyHigh" && labels["instance"] == "gpu-1:8000"
}

/// What fired for long enough was told, and its end too.
fn check_told(labels: &Labels, stretches: &[Stretch], told: &Told, until_ms: i64) {
    for stretch in
        stretches.iter().filter(|stretch| !is_inhibited(labels) && stretch.to - stretch.from > TOLD_AFTER_MS)
    {
        let began = stretch.from + query_offset_ms() - 1_000;
        let ended = stretch.to + query_offset_ms();
        let heard = |status: &str, from: i64, to: i64| {
            let tellings = told.get(labels).into_iter().flatten();
            let mut within = tellings.filter(|telling| (from..=to).contains(&telling.at_ms));
            within.any(|telling| telling.status == status)
        };
        if began + TOLD_AFTER_MS < until_ms {
            assert!(
                heard("firing", 0, began + TOLD_AFTER_MS),
                "{labels:?} fired at {began}, and nobody heard"
            );
        }
        if ended + TOLD_AFTER_MS < until_ms {
            let until = ended + TOLD_AFTER_MS;
            assert!(heard("resolved", ended - 1_000, until), "{labels:?} ended at {ended}, and nobody heard");
        }
    }
}

/// The teams' routes: infrastructure, machine learning, and the rest.
fn check_routed(labels: &Labels, tellings: &[Telling]) {
    let expected = match labels.get("team").map(String::as_str) {
        Some("infra") => "infra-oncall",
        Some("ml") => "ml-team",
        _ => "default",
    };
    let receivers: BTreeSet<&str> = tellings.iter().map(|telling| telling.receiver.as_str()).collect();
    assert_eq!(receivers, BTreeSet::from([expected]), "{labels:?}");
}

/// What was said of a firing alert is what the API showed; numbers may be those of a moment at which nobody looked.
fn check_annotations(cast: &Cast, labels: &Labels, tellings: &[Telling]) {
    let mut own = labels.clone();
    own.remove("cluster");
    let seen = cast.seen_by_subject.iter().filter(|((labels, _), _)| *labels == own);
    let shown: BTreeSet<Labels> =
        seen.flat_map(|(_, annotations)| annotations).map(without_numbers).collect();
    for telling in tellings.iter().filter(|telling| telling.status == "firing") {
        let told = without_numbers(&telling.annotations);
        assert!(shown.contains(&told), "{labels:?}: told {told:?}, shown were {shown:?}");
    }
}

fn without_numbers(annotations: &Labels) -> Labels {
    let text = |text: &str| text.replace(|c: char| c.is_ascii_digit() || c == '.', "");
    annotations.iter().map(|(name, value)| (name.clone(), text(value))).collect()
}

/// The slow server whose GPU throttles is not spoken of as firing; the other one is. (When throttling ends first in
/// Alertmanager's eyes, it may mention in passing that the one it kept quiet is over.)
fn check_inhibited(firing: &BTreeMap<Labels, Vec<Stretch>>, told: &Told) {
    assert!(firing.keys().any(is_inhibited), "the inhibited alert never fired");
    let inhibited = told.iter().filter(|(labels, _)| is_inhibited(labels)).flat_map(|(_, tellings)| tellings);
    let fired = inhibited.filter(|telling| telling.status == "firing");
    let fired: Vec<_> = fired.map(|telling| telling.at_ms).collect();
    assert!(fired.is_empty(), "the inhibited alert was told of at {fired:?}; firing were {firing:#?}");
    let other = |labels: &&Labels| labels["alertname"] == "InferenceLatencyHigh" && !is_inhibited(labels);
    assert!(told.keys().any(|labels| other(&labels)), "the alert that nothing inhibits was not told of");
}

/// Two messages of a group in a row never say the same: a restart makes nobody fire twice.
fn check_not_repeated(messages: &[Message]) {
    let mut last: BTreeMap<(&str, &str), BTreeSet<(Labels, &str)>> = BTreeMap::new();
    for message in messages {
        let alerts = message.body["alerts"].as_array().expect("a message has alerts");
        let says = alerts.iter().map(|alert| (labels(&alert["labels"]), text(&alert["status"]))).collect();
        let group = (message.receiver.as_str(), text(&message.body["groupKey"]));
        let before = last.insert(group, says);
        assert!(before.as_ref() != last.get(&group), "said twice: {}", message.body);
    }
}
