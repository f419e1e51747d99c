//! What the evaluation of rules counts of itself, under upstream's names.

use std::sync::Arc;
use std::time::Duration;

use crate::metrics::{Exposition, Histogram, Summary};

use super::environment::Environment;
use super::group::Evaluated;
use super::status::GroupStatus;

/// Upper bounds of the buckets of durations, in seconds; upstream's.
const DURATION_BOUNDS: [f64; 4] = [0.01, 0.1, 1.0, 10.0];

/// Numbers of one group. They outlive changes of its rules.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct GroupCounts {
    evaluations: u64,
    failures: u64,
    iterations: u64,
    missed: u64,
    samples_last: u64,
    restore_last: Option<Duration>,
}

impl GroupCounts {
    /// Counts an evaluation of the group, and the slots that passed before it.
    pub(super) fn count(&mut self, evaluated: &Evaluated, missed: u64) {
        self.evaluations += evaluated.rules;
        self.failures += evaluated.failures;
        self.iterations += 1 + missed;
        self.missed += missed;
        self.samples_last = evaluated.samples;
        self.restore_last = evaluated.restored.or(self.restore_last);
    }
}

/// A group as a scrape sees it.
pub(super) type Measured = (Arc<GroupStatus>, GroupCounts);

/// How long things took, for all groups together.
pub(super) struct Durations {
    rules: Took,
    groups: Took,
}

struct Took {
    quantiles: Summary,
    buckets: Histogram,
}

impl Took {
    fn new() -> Self {
        Self { quantiles: Summary::default(), buckets: Histogram::new(&DURATION_BOUNDS) }
    }

    fn observe(&self, took: Duration) {
        self.quantiles.observe(took.as_secs_f64());
        self.buckets.observe(took.as_secs_f64());
    }
}

impl Durations {
    pub(super) fn new() -> Self {
        Self { rules: Took::new(), groups: Took::new() }
    }

    /// Counts an evaluation of a group of rules.
    pub(super) fn observe(&self, group: Duration, rules: impl Iterator<Item = Duration>) {
        self.groups.observe(group);
        rules.for_each(|took| self.rules.observe(took));
    }

    fn expose(&self, out: &mut Exposition) {
        let name = "prometheus_rule_evaluation_duration_histogram_seconds";
        out.family(name, "The duration for a rule to execute.", "histogram");
        out.histogram(name, &[], &self.rules.buckets);
        let name = "prometheus_rule_evaluation_duration_seconds";
        out.family(name, "The duration for a rule to execute.", "summary");
        out.summary(name, &[], &self.rules.quantiles, &[0.5, 0.9, 0.99]);
        let name = "prometheus_rule_group_duration_histogram_seconds";
        out.family(name, "The duration of rule group evaluations.", "histogram");
        out.histogram(name, &[], &self.groups.buckets);
        let name = "prometheus_rule_group_duration_seconds";
        out.family(name, "The duration of rule group evaluations.", "summary");
        out.summary(name, &[], &self.groups.quantiles, &[0.01, 0.05, 0.5, 0.9, 0.99]);
    }
}

/// A family with one series for each group: name, help, type, and how a group's number is read.
type Family = (&'static str, &'static str, &'static str, fn(&Measured) -> Option<f64>);

const FAMILIES: [Family; 11] = [
    (
        "prometheus_rule_evaluation_failures_total",
        "The total number of rule evaluation failures.",
        "counter",
        |(_, counts)| Some(counts.failures as f64),
    ),
    (
        "prometheus_rule_evaluations_total",
        "The total number of rule evaluations.",
        "counter",
        |(_, counts)| Some(counts.evaluations as f64),
    ),
    ("prometheus_rule_group_interval_seconds", "The interval of a rule group.", "gauge", |(status, _)| {
        Some(status.interval_ms as f64 / 1_000.0)
    }),
    (
        "prometheus_rule_group_iterations_missed_total",
        "The total number of rule group evaluations missed due to slow rule group evaluation.",
        "counter",
        |(_, counts)| Some(counts.missed as f64),
    ),
    (
        "prometheus_rule_group_iterations_total",
        "The total number of scheduled rule group evaluations, whether executed or missed.",
        "counter",
        |(_, counts)| Some(counts.iterations as f64),
    ),
    (
        "prometheus_rule_group_last_duration_seconds",
        "The duration of the last rule group evaluation.",
        "gauge",
        |(status, _)| Some(status.evaluation_seconds),
    ),
    (
        "prometheus_rule_group_last_evaluation_samples",
        "The number of samples returned during the last rule group evaluation.",
        "gauge",
        |(_, counts)| Some(counts.samples_last as f64),
    ),
    (
        "prometheus_rule_group_last_evaluation_timestamp_seconds",
        "The timestamp of the last rule group evaluation in seconds.",
        "gauge",
        |(status, _)| Some(status.last_evaluation.map_or(0.0, |t| t as f64 / 1_000.0)),
    ),
    (
        "prometheus_rule_group_last_restore_duration_seconds",
        "The duration of the last alert rules alerts restoration using the `ALERTS_FOR_STATE` series.",
        "gauge",
        |(_, counts)| counts.restore_last.map(|took| took.as_secs_f64()),
    ),
    (
        "prometheus_rule_group_last_rule_duration_sum_seconds",
        "The sum of time in seconds it took to evaluate each rule in the group regardless of concurrency. This should be higher than the group duration if rules are evaluated concurrently.",
        "gauge",
        |(status, _)| Some(status.rules.iter().map(|rule| rule.evaluation_seconds).sum()),
    ),
    ("prometheus_rule_group_rules", "The number of rules.", "gauge", |(status, _)| {
        Some(status.rules.len() as f64)
    }),
];

/// Writes everything for one scrape.
pub(super) fn expose(out: &mut Exposition, durations: &Durations, groups: &[Measured]) {
    durations.expose(out);
    let keys: Vec<String> =
        groups.iter().map(|(status, _)| format!("{};{}", status.file, status.name)).collect();
    for (name, help, kind, read) in FAMILIES {
        let values = groups.iter().map(read).zip(&keys);
        let mut values = values.filter_map(|(value, key)| Some((value?, key))).peekable();
        if values.peek().is_some() {
            out.family(name, help, kind);
        }
        values.for_each(|(value, key)| out.sample(name, &[("rule_group", key)], value));
    }
}

/// Writes how often templates were expanded.
pub(super) fn expose_templates(out: &mut Exposition, environment: &Environment) {
    for (name, help, counter) in [
        (
            "prometheus_template_text_expansion_failures_total",
            "The total number of template text expansion failures.",
            &environment.expansion_failures,
        ),
        (
            "prometheus_template_text_expansions_total",
            "The total number of template text expansions.",
            &environment.expansions,
        ),
    ] {
        out.single(name, help, "counter", counter.get() as f64);
    }
}
