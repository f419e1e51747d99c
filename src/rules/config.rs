//! What rule files say, field by field.

use std::collections::BTreeMap;

use crate::setting::DurationMs;

/// A place in a file: line and column, both from 1.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place {
    /// Line.
    pub line: usize,
    /// Column, in characters.
    pub column: usize,
}

/// The groups of one file, in its order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RuleFile {
    /// The file's name as it was asked for.
    pub path: String,
    /// Its groups.
    pub groups: Vec<GroupConfig>,
    /// Whether other documents follow the first one, which alone counts.
    pub has_more_documents: bool,
}

/// `<rule_group>`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct GroupConfig {
    /// Unique in its file.
    pub name: String,
    /// Time between evaluations; that of the configuration where it is 0.
    pub interval: DurationMs,
    /// How far in the past rules are evaluated; that of the configuration where there is none.
    pub query_offset: Option<DurationMs>,
    /// Most series or alerts of one rule; 0 for any number.
    pub limit: u64,
    /// Labels of all its rules, where a rule has none of that name.
    pub labels: BTreeMap<String, String>,
    /// Its rules, in the order of evaluation.
    pub rules: Vec<RuleConfig>,
    /// Where it begins.
    pub place: Place,
}

/// `<rule>`: recording where `alert` is empty.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RuleConfig {
    /// Metric that the result becomes; empty in an alerting rule.
    pub record: String,
    /// Name of the alert; empty in a recording rule.
    pub alert: String,
    /// Expression; it parses.
    pub expr: String,
    /// How long a result must be there before its alert fires.
    pub hold: DurationMs,
    /// How long an alert goes on firing after its result is gone.
    pub keep_firing_for: DurationMs,
    /// Labels of the result; templates in an alerting rule.
    pub labels: BTreeMap<String, String>,
    /// Annotations of the alert; templates.
    pub annotations: BTreeMap<String, String>,
    /// Where its expression stands.
    pub place: Place,
}

impl RuleConfig {
    /// The metric or the alert.
    pub fn name(&self) -> &str {
        if self.alert.is_empty() { &self.record } else { &self.alert }
    }
}
