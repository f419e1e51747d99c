//! What is evaluated when.

use std::collections::BTreeMap;

use crate::model::{Label, Labels, METRIC_NAME, Timestamp};
use crate::promql::parse::ast::{AtModifier, Expr, ExprKind, TimeModifiers};
use crate::promql::parse::{ParserOptions, parse_expr};
use crate::rules::{GroupConfig, RuleConfig, RuleFile, slot_offset_ms};

/// From when to when, both included.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Window {
    pub(super) start: Timestamp,
    pub(super) end: Timestamp,
    /// Of groups that name none, in milliseconds.
    pub(super) interval_ms: i64,
}

/// All groups, each after those whose results it reads.
#[derive(Debug)]
pub(super) struct Plan {
    pub(super) groups: Vec<GroupPlan>,
    /// What the user should know.
    pub(super) notes: Vec<String>,
}

/// A group with at least one recording rule and one evaluation.
#[derive(Debug)]
pub(super) struct GroupPlan {
    pub(super) name: String,
    pub(super) file: String,
    pub(super) slots: Slots,
    /// Most series of one evaluation; 0 for any number.
    pub(super) limit: u64,
    /// A rule reads what it or a later one wrote at the evaluation before: then each evaluation is finished before the
    /// next begins.
    pub(super) is_stepwise: bool,
    pub(super) rules: Vec<RulePlan>,
}

/// Times of evaluation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Slots {
    pub(super) first: Timestamp,
    pub(super) step_ms: i64,
    pub(super) count: usize,
}

/// A recording rule.
#[derive(Debug)]
pub(super) struct RulePlan {
    pub(super) name: String,
    pub(super) expr: String,
    /// The expression depends on where its range begins or ends, so that only a query at a single time is right.
    pub(super) is_instant_only: bool,
    /// The metric's name and the rule's labels, by name; an empty value removes a label.
    labels: BTreeMap<String, String>,
    tree: Expr,
}

impl Plan {
    pub(super) fn new(files: &[RuleFile], window: Window) -> Result<Self, String> {
        let mut plan = Self { groups: Vec::new(), notes: Vec::new() };
        for file in files {
            for group in &file.groups {
                plan.add(&file.path, group, window)?;
            }
        }
        plan.put_in_order();
        Ok(plan)
    }

    fn add(&mut self, file: &str, group: &GroupConfig, window: Window) -> Result<(), String> {
        let (recording, alerting): (Vec<&RuleConfig>, Vec<_>) =
            group.rules.iter().partition(|rule| rule.alert.is_empty());
        if !alerting.is_empty() {
            let count = alerting.len();
            self.notes.push(format!("{file}: group {:?}: {count} alerting rules are skipped", group.name));
        }
        let slots = Slots::of(file, group, window);
        if recording.is_empty() || slots.count == 0 {
            return Ok(());
        }
        let rules =
            recording.into_iter().map(|rule| RulePlan::new(group, rule)).collect::<Result<Vec<_>, _>>()?;
        let reads_back = |(at, rule): (usize, &RulePlan)| rules[at..].iter().any(|later| rule.reads(later));
        self.groups.push(GroupPlan {
            name: group.name.clone(),
            file: file.to_owned(),
            slots,
            limit: group.limit,
            is_stepwise: rules.iter().enumerate().any(reads_back),
            rules,
        });
        Ok(())
    }

    /// Takes the first group that reads nothing of those that are left, again and again. In a circle the first one comes
    /// first.
    fn put_in_order(&mut self) {
        let mut left = std::mem::take(&mut self.groups);
        while !left.is_empty() {
            let is_free = |at: &usize| {
                let others = left.iter().enumerate().filter(|(other, _)| other != at);
                !others.into_iter().any(|(_, other)| left[*at].reads(other))
            };
            let free = (0..left.len()).find(is_free);
            if free.is_none() {
                let name = &left[0].name;
                self.notes.push(format!(
                    "group {name:?} and others read each other's results: they see those stored so far"
                ));
            }
            let next = left.remove(free.unwrap_or(0));
            self.groups.push(next);
        }
    }
}

impl GroupPlan {
    fn reads(&self, other: &Self) -> bool {
        self.rules.iter().any(|rule| other.rules.iter().any(|written| rule.reads(written)))
    }
}

impl Slots {
    /// Those of the server: multiples of the interval, moved by what file and name of the group hash to, so that groups
    /// spread; less the group's offset of queries, which its samples carry.
    fn of(file: &str, group: &GroupConfig, window: Window) -> Self {
        let step_ms = if group.interval.0 > 0 { group.interval.0 } else { window.interval_ms };
        let moved_ms = slot_offset_ms(file, &group.name, step_ms);
        let moved_ms = moved_ms - group.query_offset.map_or(0, |offset| offset.0);
        let before = (window.start - moved_ms - 1).div_euclid(step_ms);
        let first = (before + 1) * step_ms + moved_ms;
        let count = (window.end - first).div_euclid(step_ms) + 1;
        Self { first, step_ms, count: usize::try_from(count).unwrap_or(0) }
    }

    /// The time of an evaluation, counted from 0.
    pub(super) fn at(&self, index: usize) -> Timestamp {
        self.first + self.step_ms * i64::try_from(index).expect("slots lie between two times")
    }

    /// A part of them.
    pub(super) fn part(&self, from: usize, count: usize) -> Self {
        Self { first: self.at(from), step_ms: self.step_ms, count }
    }

    /// The last one.
    pub(super) fn last(&self) -> Timestamp {
        self.at(self.count.saturating_sub(1))
    }
}

impl RulePlan {
    fn new(group: &GroupConfig, rule: &RuleConfig) -> Result<Self, String> {
        let tree = parse_expr(&rule.expr, &ParserOptions::ALL).map_err(|error| error.to_string())?;
        let mut labels = group.labels.clone();
        labels.insert(METRIC_NAME.to_owned(), rule.record.clone());
        labels.extend(rule.labels.clone());
        Ok(Self {
            name: rule.record.clone(),
            expr: rule.expr.clone(),
            is_instant_only: depends_on_range(&tree),
            labels,
            tree,
        })
    }

    /// The series that a result is stored as.
    pub(super) fn series_of(&self, result: &Labels) -> Labels {
        result.overridden(self.labels.iter().map(|(name, value)| Label { name, value }))
    }

    /// Whether its expression may select what `other` writes.
    fn reads(&self, other: &Self) -> bool {
        let mut may_read = false;
        self.tree.walk(&mut |part| match &part.kind {
            ExprKind::VectorSelector(selector) => {
                let of_name = |name: &str| other.labels.get(name).filter(|_| name == METRIC_NAME);
                may_read |= selector
                    .matchers
                    .iter()
                    .all(|matcher| of_name(&matcher.name).is_none_or(|value| matcher.matches(value)));
            }
            // It selects info series that the text need not name.
            ExprKind::Call(call) => may_read |= call.function.name == "info",
            _ => {}
        });
        may_read
    }
}

/// `@ start()`, `@ end()`, and arithmetic of durations, which may ask for the step.
fn depends_on_range(tree: &Expr) -> bool {
    let moves = |time: &TimeModifiers| {
        matches!(time.at, Some(AtModifier::Start | AtModifier::End)) || time.offset_expr.is_some()
    };
    let mut depends = false;
    tree.walk(&mut |part| match &part.kind {
        ExprKind::VectorSelector(selector) => depends |= moves(&selector.time),
        ExprKind::MatrixSelector(matrix) => depends |= matrix.range_expr.is_some(),
        ExprKind::Subquery(subquery) => {
            depends |= moves(&subquery.time) || subquery.range_expr.is_some() || subquery.step_expr.is_some();
        }
        _ => {}
    });
    depends
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR: Window = Window { start: 1_700_000_000_000, end: 1_700_003_600_000, interval_ms: 60_000 };

    fn plan(text: &str) -> Plan {
        let file = RuleFile::parse("f.yml", text, &Default::default()).expect("the text is sound");
        Plan::new(&[file], HOUR).expect("it can be planned")
    }

    #[test]
    fn slots_lie_in_the_window_at_the_groups_own_phase() {
        let plan = plan(
            "groups:
- {name: a, rules: [{record: r, expr: up}]}
- {name: b, interval: 5m, query_offset: 10s, rules: [{record: s, expr: up}]}
- {name: c, interval: 2h, rules: [{record: t, expr: up}]}",
        );
        let slots: Vec<Slots> = plan.groups.iter().map(|group| group.slots).collect();
        assert_eq!(slots[0].step_ms, 60_000);
        for slots in &slots {
            assert!(slots.first >= HOUR.start && slots.first < HOUR.start + slots.step_ms, "{slots:?}");
            assert!(slots.last() <= HOUR.end && slots.last() + slots.step_ms > HOUR.end, "{slots:?}");
        }
        let without = Slots::of(
            "f.yml",
            &GroupConfig {
                name: "b".to_owned(),
                interval: crate::setting::DurationMs(300_000),
                ..GroupConfig::default()
            },
            HOUR,
        );
        assert_eq!((without.first - slots[1].first).rem_euclid(300_000), 10_000);
        let part = slots[0].part(3, 2);
        assert_eq!((part.first, part.last()), (slots[0].at(3), slots[0].at(4)));
    }

    #[test]
    fn groups_come_after_those_they_read() {
        let plan = plan(
            "groups:
- {name: a, rules: [{record: r, expr: 'sum(s)'}, {alert: A, expr: s > 0}]}
- {name: b, rules: [{record: s, expr: '{__name__=~\"t|u\"}'}]}
- {name: c, rules: [{record: t, expr: up}]}
- {name: only alerts, rules: [{alert: A, expr: up}]}",
        );
        let names: Vec<&str> = plan.groups.iter().map(|group| group.name.as_str()).collect();
        assert_eq!(names, ["c", "b", "a"]);
        assert_eq!(
            plan.notes,
            [
                "f.yml: group \"a\": 1 alerting rules are skipped",
                "f.yml: group \"only alerts\": 1 alerting rules are skipped",
            ]
        );
    }

    #[test]
    fn circles_are_noted() {
        let plan = plan(
            "groups:
- {name: a, rules: [{record: r, expr: s}]}
- {name: b, rules: [{record: s, expr: r}]}",
        );
        assert_eq!((plan.groups.len(), plan.notes.len()), (2, 1));
    }

    #[test]
    fn rules_that_look_back_are_evaluated_step_by_step() {
        let is_stepwise =
            |rules: &str| plan(&format!("groups: [{{name: g, rules: [{rules}]}}]")).groups[0].is_stepwise;
        assert!(!is_stepwise("{record: a, expr: up}, {record: b, expr: sum(a)}"));
        assert!(is_stepwise("{record: a, expr: up + b}, {record: b, expr: up}"));
        assert!(is_stepwise("{record: a, expr: up + a offset 1m}"));
        assert!(is_stepwise("{record: a, expr: 'count({job=\"x\"})'}"));
    }

    #[test]
    fn what_depends_on_the_range_is_asked_at_single_times() {
        let is_instant = |expr: &str| {
            plan(&format!("groups: [{{name: g, rules: [{{record: a, expr: '{expr}'}}]}}]")).groups[0].rules[0]
                .is_instant_only
        };
        assert!(!is_instant("rate(up[5m] offset 1m) + up @ 1700000000"));
        assert!(is_instant("up @ end()"));
        assert!(is_instant("sum(max_over_time(up[1h:1m] @ start()))"));
    }
}
