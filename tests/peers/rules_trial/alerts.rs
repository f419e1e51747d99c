//! Alerts are pending and fire when Prometheus' are and do, with the same labels and annotations, across a kill too.

use std::collections::{BTreeMap, BTreeSet};

use super::super::server::Server;
use super::ask::{Labels, stored};
use super::cast::{Cast, Outage, Seen};
use super::query_offset_ms;

/// Time between two evaluations, in milliseconds.
const INTERVAL_MS: i64 = 1_000;
/// How far apart two samples of one stretch may be.
const GAP_MS: i64 = 2_600;
/// How long after a restart states are being restored: two evaluations and what they take.
const SETTLING_MS: i64 = 4_000;
/// Alerts that ask for something in their annotations, which may be answered a scrape later.
const ASKING: [&str; 2] = ["OwnTexts", "OwnAbsent"];

/// Alerts that fire on across a restart by `keep_firing_for` alone; Prometheus forgets them then.
const KEPT: [&str; 1] = ["OwnKept"];

/// A stretch of time, both ends included, in milliseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Stretch {
    pub(super) from: i64,
    pub(super) to: i64,
}

/// Stretches in which an alert had a state, by its labels and the state.
pub(super) type States = BTreeMap<(Labels, String), Vec<Stretch>>;

/// The states of all alerts, restarts left out, as `ALERTS` tells them.
pub(super) fn states(server: &Server, cast: &Cast, until_ms: i64) -> States {
    let left_out: Vec<Stretch> = cast.outages.iter().map(left_out).collect();
    let mut states = States::new();
    for (mut labels, samples) in stored(server, "ALERTS", until_ms, until_ms - cast.began_ms) {
        labels.remove("__name__");
        let state = labels.remove("alertstate").expect("ALERTS tells the state");
        let times = samples.into_keys().filter(|time| !left_out.iter().any(|out| out.contains(*time)));
        states.insert((labels, state), stretches(times, &left_out));
    }
    states
}

/// Times of samples that a kill and what it takes to get over it may change.
fn left_out(outage: &Outage) -> Stretch {
    Stretch {
        from: outage.from_ms - query_offset_ms() - INTERVAL_MS,
        to: outage.to_ms - query_offset_ms() + SETTLING_MS,
    }
}

fn stretches(times: impl Iterator<Item = i64>, bridges: &[Stretch]) -> Vec<Stretch> {
    let mut stretches: Vec<Stretch> = Vec::new();
    for time in times {
        match stretches.last_mut() {
            Some(last) if time - last.to <= GAP_MS || bridges.iter().any(|b| b.joins(last.to, time)) => {
                last.to = time
            }
            _ => stretches.push(Stretch { from: time, to: time }),
        }
    }
    stretches
}

impl Stretch {
    fn contains(self, time: i64) -> bool {
        (self.from..=self.to).contains(&time)
    }

    /// Whether they overlap, or would with a sample more.
    fn touches(self, other: Self) -> bool {
        self.from - GAP_MS <= other.to && other.from - GAP_MS <= self.to
    }

    /// Whether nothing but this lies between two times.
    fn joins(self, before: i64, after: i64) -> bool {
        before + GAP_MS >= self.from && after - GAP_MS <= self.to
    }

    /// Whether both ends are within one evaluation of the other's, or late by no more than `late_max_ms`.
    fn is_close(self, other: Self, late_max_ms: i64) -> bool {
        let range = -INTERVAL_MS..=late_max_ms.max(INTERVAL_MS);
        range.contains(&(self.from - other.from)) && range.contains(&(self.to - other.to))
    }

    /// What of it lies within `frame`; short remainders at its ends do not count.
    fn within(self, frame: Self) -> Option<Self> {
        let cut = Self { from: self.from.max(frame.from), to: self.to.min(frame.to) };
        let at_an_end = cut.from < frame.from + INTERVAL_MS || cut.to > frame.to - INTERVAL_MS;
        (cut.from <= cut.to && !(at_an_end && cut.to - cut.from < 2 * INTERVAL_MS)).then_some(cut)
    }
}

/// Compares states and annotations, and looks at what the kill did to those that were pending.
pub(super) fn check(cast: &Cast, until_ms: i64) {
    let (ours, theirs) = (states(&cast.subject, cast, until_ms), states(&cast.prometheus, cast, until_ms));
    // Prometheus began a little later, and must have scraped what the windows of the rules reach back to.
    let frame = Stretch { from: cast.began_ms + 15_000, to: until_ms - query_offset_ms() - 2 * INTERVAL_MS };
    let (mut failures, mut compared) = (Vec::new(), 0);
    let keys: BTreeSet<_> = ours.keys().chain(theirs.keys()).collect();
    for key in keys.into_iter().filter(|(labels, _)| !is_forgotten(cast, labels)) {
        let of = |states: &States| -> Vec<Stretch> {
            states.get(key).into_iter().flatten().filter_map(|stretch| stretch.within(frame)).collect()
        };
        let (ours, theirs_here) = (of(&ours), of(&theirs));
        compared += theirs_here.len();
        let late_max_ms = late_max_ms(cast, &key.0, &theirs);
        let close = ours.len() == theirs_here.len()
            && ours.iter().zip(&theirs_here).all(|(ours, theirs)| ours.is_close(*theirs, late_max_ms));
        if !close {
            failures.push(format!("{} {:?}:\n  {ours:?}, Prometheus:\n  {theirs_here:?}", key.1, key.0));
        }
    }
    assert!(failures.is_empty(), "{} differ:\n{}", failures.len(), failures.join("\n"));
    assert!(compared > 40, "only {compared} stretches of alerts");
    let annotated = compare_annotations(&cast.seen_by_subject, &cast.seen_by_prometheus);
    check_restored(cast, &ours, &theirs);
    println!(
        "rules_trial: {compared} stretches of pending and firing alerts agree, and {annotated} annotations"
    );
}

/// Whether the server under trial forgets an alert when it is restarted: a real Prometheus in perdura's place does.
pub(super) fn is_forgotten(cast: &Cast, labels: &Labels) -> bool {
    cast.stands_in() && KEPT.contains(&labels["alertname"].as_str())
}

/// How much later than Prometheus' an alert may fire: one that was pending during an outage waits for as long as that
/// lasted, since nobody knows whether its condition held meanwhile. The newest stored state is as old as rules are
/// evaluated behind, and Prometheus' may have begun to fire in the time that is left out.
fn late_max_ms(cast: &Cast, labels: &Labels, theirs: &States) -> i64 {
    let pending = theirs.get(&(labels.clone(), "pending".to_owned()));
    let latest = |outage: &Outage| {
        let out = left_out(outage);
        let held_up = pending.into_iter().flatten().any(|pending| pending.touches(out));
        let restored_ms = outage.to_ms - outage.from_ms + query_offset_ms() + SETTLING_MS;
        if held_up { restored_ms + out.to - out.from } else { 0 }
    };
    cast.outages.iter().map(latest).max().unwrap_or_default()
}

/// The annotations of alerts that both showed with the same labels and value. Returns how many were compared.
fn compare_annotations(ours: &Seen, theirs: &Seen) -> usize {
    let shared: Vec<_> =
        ours.iter().filter_map(|(key, ours)| theirs.get(key).map(|theirs| (key, ours, theirs))).collect();
    for (key, ours, theirs) in &shared {
        let asking = ASKING.contains(&key.0["alertname"].as_str());
        let same = if asking { !ours.is_disjoint(theirs) } else { ours == theirs };
        assert!(same, "annotations of {key:?}:\n  {ours:?}, Prometheus:\n  {theirs:?}");
    }
    let alerts = |seen: &Seen| seen.keys().map(|(labels, _)| labels.clone()).collect::<BTreeSet<_>>();
    let compared = shared.iter().map(|(key, ..)| key.0.clone()).collect::<BTreeSet<_>>();
    let missed: Vec<_> = alerts(theirs).difference(&compared).cloned().collect();
    assert!(missed.is_empty(), "never seen with the same value: {missed:#?}");
    shared.len()
}

/// What was pending for half of its time when perdura was killed fires after the other half, not after all of it.
fn check_restored(cast: &Cast, ours: &States, theirs: &States) {
    let Some(outage) = cast.outages.first() else { return };
    let first_firing = |states: &States| {
        let found = states.iter().find(|((labels, state), _)| {
            let is = |name: &str, value: &str| labels.get(name).is_some_and(|label| label == value);
            state == "firing" && is("alertname", "OwnLongPending") && is("gpu_index", "1")
        });
        found.and_then(|(_, stretches)| stretches.first()).map(|stretch| stretch.from)
    };
    let ours = first_firing(ours).expect("what was pending fires after a restart");
    let theirs = first_firing(theirs).expect("Prometheus fires");
    let restarted = outage.to_ms - query_offset_ms();
    println!(
        "rules_trial: an alert that was pending when perdura was killed fired {} ms after the restart, {} ms after Prometheus'",
        ours - restarted,
        ours - theirs
    );
    assert!(ours - restarted < 30_000, "it waited for its 40 s again");
}
