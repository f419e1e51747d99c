//! Which rules of a group may be evaluated before results of others are written.
//!
//! A group's result is that of evaluating rule after rule, each seeing what those before it wrote. Writing costs a
//! sync of the log, so rules are put into levels: all rules of a level are evaluated, then all their results are
//! written at once. For rules `a` before `b`:
//! - where `b` reads what `a` writes, `b` is in a later level;
//! - where `a` reads what `b` writes, or both write the same metric, `b` is in no earlier level.

use crate::model::{METRIC_NAME, Matcher};
use crate::promql::parse::ast::{Expr, ExprKind};

use super::alerting::{ALERT_NAME, ALERTS, ALERTS_FOR_STATE};
use super::config::RuleConfig;

/// What a rule reads.
#[derive(Debug)]
enum Reads<'a> {
    /// What passes one of these sets of matchers.
    Selected(Vec<&'a [Matcher]>),
    /// Perhaps everything.
    Anything,
}

/// What is known of a rule.
#[derive(Debug)]
struct Facts<'a> {
    reads: Reads<'a>,
    /// Labels that all its series have, for each metric that it writes.
    writes: Vec<Vec<(&'static str, &'a str)>>,
}

/// The rules' places by level. `rules`: each with its parsed expression.
pub(super) fn levels(rules: &[(&RuleConfig, &Expr)]) -> Vec<Vec<usize>> {
    let facts: Vec<Facts<'_>> = rules.iter().map(|(rule, expr)| Facts::of(rule, expr)).collect();
    let mut level_of: Vec<usize> = Vec::with_capacity(rules.len());
    for (index, rule) in facts.iter().enumerate() {
        let level = facts[..index].iter().zip(&level_of).map(|(before, level)| {
            if rule.may_read(before) {
                level + 1
            } else if before.may_read(rule) || rule.writes_as(before) {
                *level
            } else {
                0
            }
        });
        let level = level.max().unwrap_or(0);
        level_of.push(level);
    }
    let count = level_of.iter().max().map_or(0, |level| level + 1);
    let mut levels = vec![Vec::new(); count];
    level_of.into_iter().enumerate().for_each(|(rule, level)| levels[level].push(rule));
    levels
}

impl<'a> Facts<'a> {
    fn of(rule: &'a RuleConfig, expr: &'a Expr) -> Self {
        let writes = if rule.alert.is_empty() {
            vec![vec![(METRIC_NAME, rule.record.as_str())]]
        } else {
            let written = |metric| vec![(METRIC_NAME, metric), (ALERT_NAME, rule.alert.as_str())];
            vec![written(ALERTS), written(ALERTS_FOR_STATE)]
        };
        Self { reads: reads(rule, expr), writes }
    }

    fn may_read(&self, written: &Self) -> bool {
        match &self.reads {
            Reads::Anything => true,
            Reads::Selected(sets) => {
                sets.iter().any(|matchers| written.writes.iter().any(|series| may_pass(matchers, series)))
            }
        }
    }

    fn writes_as(&self, other: &Self) -> bool {
        self.writes.iter().any(|series| other.writes.contains(series))
    }
}

fn reads<'a>(rule: &RuleConfig, expr: &'a Expr) -> Reads<'a> {
    let mut sets = Vec::new();
    let mut anything = rule.labels.values().chain(rule.annotations.values()).any(|text| asks(text));
    expr.walk(&mut |part| match &part.kind {
        ExprKind::VectorSelector(selector) => sets.push(selector.matchers.as_slice()),
        // It selects info series that the text need not name.
        ExprKind::Call(call) => anything |= call.function.name == "info",
        _ => {}
    });
    if anything { Reads::Anything } else { Reads::Selected(sets) }
}

/// Whether a template may ask a query.
fn asks(text: &str) -> bool {
    text.contains("{{") && text.contains("query")
}

/// Whether a series with these labels, and others that are not known, may pass.
fn may_pass(matchers: &[Matcher], known: &[(&str, &str)]) -> bool {
    matchers.iter().all(|matcher| {
        let value = known.iter().find(|(name, _)| *name == matcher.name).map(|(_, value)| *value);
        value.is_none_or(|value| matcher.matches(value))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::promql::parse::{ParserOptions, parse_expr};

    /// Rules as `name: expression`, alerts in capitals.
    fn levels_of(rules: &[(&str, &str)]) -> Vec<Vec<usize>> {
        let parsed: Vec<(RuleConfig, Expr)> = rules
            .iter()
            .map(|(name, expr)| {
                let is_alert = name.starts_with(char::is_uppercase);
                let name = (*name).to_owned();
                let (alert, record) = if is_alert { (name, String::new()) } else { (String::new(), name) };
                let tree = parse_expr(expr, &ParserOptions::ALL).expect("the expression is sound");
                (RuleConfig { record, alert, expr: (*expr).to_owned(), ..RuleConfig::default() }, tree)
            })
            .collect();
        levels(&parsed.iter().map(|(rule, expr)| (rule, expr)).collect::<Vec<_>>())
    }

    #[test]
    fn independent_rules_share_a_level() {
        assert_eq!(levels_of(&[]), Vec::<Vec<usize>>::new());
        assert_eq!(levels_of(&[("a", "up"), ("b", "rate(x[5m])"), ("Down", "up == 0")]), [[0, 1, 2]]);
    }

    #[test]
    fn a_rule_comes_after_those_it_reads() {
        assert_eq!(
            levels_of(&[("a", "up"), ("b", "sum(a)"), ("c", "b / a"), ("d", "up")]),
            [vec![0, 3], vec![1], vec![2]]
        );
        assert_eq!(levels_of(&[("a", "up"), ("b", "rate({__name__=~\"a|x\"}[5m])")]).len(), 2);
        assert_eq!(levels_of(&[("a", "up"), ("b", "sum({job=\"x\"})")]).len(), 2, "any metric");
        assert_eq!(levels_of(&[("a", "up"), ("b", "info(x)")]).len(), 2, "info series");
        assert_eq!(levels_of(&[("a", "up"), ("b", "max_over_time(sum(a)[5m:])")]).len(), 2);
    }

    #[test]
    fn what_is_written_later_is_not_written_earlier() {
        // The first two make a second level; the third must not write `x` before the second reads it.
        assert_eq!(levels_of(&[("a", "up"), ("b", "a + x"), ("x", "up")]), [vec![0], vec![1, 2]]);
        assert_eq!(levels_of(&[("a", "up"), ("b", "a"), ("b", "up")]), [vec![0], vec![1, 2]]);
    }

    #[test]
    fn alerts_are_read_by_their_names() {
        let rules = |expr| levels_of(&[("Down", "up == 0"), ("a", expr)]).len();
        assert_eq!(rules("ALERTS"), 2);
        assert_eq!(rules("ALERTS_FOR_STATE{alertname=\"Down\"}"), 2);
        assert_eq!(rules("ALERTS{alertname=\"Other\"}"), 1);
        assert_eq!(rules("Down"), 1, "an alert is no metric");
    }

    #[test]
    fn a_template_that_asks_comes_after_all_before_it() {
        let expr = parse_expr("up", &ParserOptions::default()).expect("sound");
        let record = RuleConfig { record: "a".to_owned(), ..RuleConfig::default() };
        let text = "{{ with query \"a\" }}{{ . }}{{ end }}".to_owned();
        let alert = RuleConfig {
            alert: "A".to_owned(),
            annotations: [("summary".to_owned(), text)].into(),
            ..RuleConfig::default()
        };
        assert_eq!(levels(&[(&record, &expr), (&alert, &expr)]), [[0], [1]]);
        assert_eq!(levels(&[(&alert, &expr), (&record, &expr)]), [[0, 1]]);
    }
}
