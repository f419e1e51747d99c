//! How groups, rules and alerts are doing, for those who look on.

use std::collections::BTreeMap;

use crate::model::{Labels, Timestamp};
use crate::promql::SampleValue;

/// One group.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct GroupStatus {
    /// Its name.
    pub name: String,
    /// Its file.
    pub file: String,
    /// Time between evaluations, in milliseconds.
    pub interval_ms: i64,
    /// Most series or alerts of one rule; 0 for any number.
    pub limit: u64,
    /// Its rules, in the order of evaluation.
    pub rules: Vec<RuleStatus>,
    /// How long the latest evaluation took, in seconds.
    pub evaluation_seconds: f64,
    /// When that began.
    pub last_evaluation: Option<Timestamp>,
}

/// One rule.
#[derive(Clone, Debug, PartialEq)]
pub struct RuleStatus {
    /// The metric or the alert.
    pub name: String,
    /// Its expression, as the parser prints it.
    pub query: String,
    /// Its labels with those of its group, templates unexpanded. An empty value, which takes a label away, is one.
    pub labels: BTreeMap<String, String>,
    /// Whether the latest evaluation worked.
    pub health: RuleHealth,
    /// Why not; empty where it did.
    pub last_error: String,
    /// How long the latest evaluation took, in seconds.
    pub evaluation_seconds: f64,
    /// When that began.
    pub last_evaluation: Option<Timestamp>,
    /// What only one kind of rules has.
    pub kind: RuleKind,
}

/// What only one kind of rules has.
#[derive(Clone, Debug, PartialEq)]
pub enum RuleKind {
    /// Its result is stored as a metric.
    Recording,
    /// Its result makes alerts.
    Alerting {
        /// The highest state of its alerts.
        state: AlertState,
        /// `for`, in milliseconds.
        hold_ms: i64,
        /// `keep_firing_for`, in milliseconds.
        keep_firing_for_ms: i64,
        /// Annotations, templates unexpanded.
        annotations: BTreeMap<String, String>,
        /// Alerts that are pending or firing, in the order of their labels.
        alerts: Vec<ActiveAlert>,
    },
}

/// Whether a rule's latest evaluation worked.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum RuleHealth {
    /// There was none yet.
    #[default]
    Unknown,
    /// It worked.
    Good,
    /// It failed.
    Bad,
}

impl RuleHealth {
    /// As the API writes it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Unknown => "unknown",
            Self::Good => "ok",
            Self::Bad => "err",
        }
    }
}

/// How far an alert has come.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum AlertState {
    /// Its rule was not evaluated yet.
    #[default]
    Unknown,
    /// Its condition does not hold.
    Inactive,
    /// Its condition holds, but not for long enough.
    Pending,
    /// Somebody is told.
    Firing,
}

impl AlertState {
    /// As the API and the label `alertstate` write it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Unknown => "unknown",
            Self::Inactive => "inactive",
            Self::Pending => "pending",
            Self::Firing => "firing",
        }
    }
}

/// An alert that is pending or firing.
#[derive(Clone, Debug, PartialEq)]
pub struct ActiveAlert {
    /// What identifies it.
    pub labels: Labels,
    /// What is said about it; unlike a label, a text may be empty.
    pub annotations: BTreeMap<String, String>,
    /// How far it has come.
    pub state: AlertState,
    /// Since when its condition holds.
    pub active_at: Timestamp,
    /// Since when it fires only because of `keep_firing_for`.
    pub keep_firing_since: Option<Timestamp>,
    /// The expression's value at the latest evaluation.
    pub value: SampleValue,
}
