//! What is allowed in rule files and still rarely meant.

use std::collections::{BTreeMap, BTreeSet};

use super::config::{GroupConfig, RuleConfig};

/// The label that holds an alert's name, whatever its rule says.
const ALERT_NAME: &str = "alertname";

/// Name and labels of a rule.
pub type RuleIdentity = (String, BTreeMap<String, String>);

/// Names and labels that more than one rule of `groups` has, each once, in order: what such rules record, or the
/// alerts that they make, cannot be told apart.
pub fn duplicate_rules(groups: &[GroupConfig]) -> Vec<RuleIdentity> {
    let (mut seen, mut duplicates) = (BTreeSet::new(), BTreeSet::new());
    for group in groups {
        for rule in &group.rules {
            let identity = (rule.name().to_owned(), labels_of(group, rule));
            if seen.contains(&identity) {
                duplicates.insert(identity);
            } else {
                seen.insert(identity);
            }
        }
    }
    duplicates.into_iter().collect()
}

/// Alerting rules with a label that the alert's name replaces, with their groups.
pub fn replaced_labels(groups: &[GroupConfig]) -> Vec<(&GroupConfig, &RuleConfig)> {
    let of_group = |group| move |rule| (group, rule);
    let pairs = groups.iter().flat_map(|group| group.rules.iter().map(of_group(group)));
    let is_replaced = |(group, rule): &(&GroupConfig, &RuleConfig)| {
        let label = rule.labels.get(ALERT_NAME).or_else(|| group.labels.get(ALERT_NAME));
        !rule.alert.is_empty() && label.is_some_and(|label| *label != rule.alert)
    };
    pairs.filter(is_replaced).collect()
}

/// The labels of a rule with those of its group.
fn labels_of(group: &GroupConfig, rule: &RuleConfig) -> BTreeMap<String, String> {
    let mut labels = group.labels.clone();
    labels.extend(rule.labels.clone());
    labels
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rules::{RuleFile, RuleFileOptions};

    fn groups(text: &str) -> Vec<GroupConfig> {
        RuleFile::parse("", text, &RuleFileOptions::default()).expect("the text is sound").groups
    }

    #[test]
    fn rules_that_differ_in_nothing_are_found_across_groups() {
        let groups = groups(
            "groups:
- {name: a, labels: {x: y}, rules: [{record: r, expr: 1}, {record: s, expr: 1}, {record: r, expr: 2}]}
- {name: b, rules: [{record: r, expr: 1, labels: {x: y}}, {record: s, expr: 1, labels: {x: ''}}]}
- {name: c, rules: [{alert: s, expr: 1, labels: {x: y}}]}",
        );
        let labels: BTreeMap<String, String> = [("x".to_owned(), "y".to_owned())].into();
        let duplicates = duplicate_rules(&groups);
        assert_eq!(duplicates, [("r".to_owned(), labels.clone()), ("s".to_owned(), labels)]);
    }

    #[test]
    fn a_label_under_the_alerts_name_is_found() {
        let groups = groups(
            "groups:
- {name: a, labels: {alertname: x}, rules: [{alert: a, expr: 1}, {record: r, expr: 1}, {alert: x, expr: 1}]}
- {name: b, rules: [{alert: b, expr: 1, labels: {alertname: y}}, {alert: c, expr: 1}]}",
        );
        let names: Vec<&str> = replaced_labels(&groups).iter().map(|(_, rule)| rule.name()).collect();
        assert_eq!(names, ["a", "b"]);
    }
}
