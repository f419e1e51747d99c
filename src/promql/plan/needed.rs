//! What selectors must tell. Under an aggregation `by` some labels the others never show, and a store need not translate
//! them; under functions of counts and sums the buckets of native histograms do not.

use crate::model::{METRIC_NAME, MatchOp};
use crate::promql::parse::ast::{AggregateOp, BinaryOp, RangeExtension};
use crate::storage::LabelsNeeded;

use super::node::{AggregateNode, CallNode, Node, NodeKind, SelectorNode};

/// Labels that say what a metric is, and go when a computation makes it something else.
pub(crate) const METADATA_LABELS: [&str; 3] = [METRIC_NAME, "__type__", "__unit__"];

/// Marks the selectors of which few labels are needed.
pub(super) fn need_labels(node: &mut Node) {
    match &mut node.kind {
        NodeKind::Number(_) | NodeKind::Text(_) | NodeKind::Selector(_) | NodeKind::Range(_) => {}
        NodeKind::Subquery(subquery) => need_labels(&mut subquery.expr),
        NodeKind::StepInvariant(inner) | NodeKind::Negate(inner) => need_labels(inner),
        NodeKind::Binary(binary) => {
            need_labels(&mut binary.left);
            need_labels(&mut binary.right);
        }
        NodeKind::Aggregate(aggregate) => {
            if shows_its_groups_only(aggregate)
                && let Some(selector) = selector_of(&mut aggregate.expr)
            {
                // Metadata labels stand in annotations, and tell whether series stay apart without them.
                let names = aggregate.grouping.iter().map(String::as_str).chain(METADATA_LABELS);
                selector.labels_needed = LabelsNeeded::Only(names.map(str::to_owned).collect());
            }
            need_labels(&mut aggregate.expr);
            aggregate.param.iter_mut().for_each(need_labels);
        }
        NodeKind::Call(call) => call.args.iter_mut().for_each(need_labels),
    }
}

/// What stands around a selector.
#[derive(Clone, Copy, Debug, Default)]
struct Around {
    /// A function of counts and sums.
    statistics: bool,
    /// Something that looks at buckets, or at resets that only buckets tell.
    buckets: bool,
}

/// Marks the selectors of whose native histograms only counts and sums are seen.
pub(super) fn mark_statistics(node: &mut Node) {
    mark_below(node, Around::default());
}

fn mark_below(node: &mut Node, around: Around) {
    let only = around.statistics && !around.buckets;
    match &mut node.kind {
        NodeKind::Number(_) | NodeKind::Text(_) => {}
        NodeKind::Selector(selector) => selector.statistics_only = only,
        NodeKind::Range(range) => range.selector.statistics_only = only,
        NodeKind::Subquery(subquery) => mark_below(&mut subquery.expr, Around { buckets: true, ..around }),
        NodeKind::StepInvariant(inner) | NodeKind::Negate(inner) => mark_below(inner, around),
        NodeKind::Binary(binary) => {
            let trims = matches!(binary.op, BinaryOp::TrimUpper | BinaryOp::TrimLower);
            let around = Around { buckets: around.buckets || trims, ..around };
            mark_below(&mut binary.left, around);
            mark_below(&mut binary.right, around);
        }
        NodeKind::Aggregate(aggregate) => {
            mark_below(&mut aggregate.expr, around);
            aggregate.param.iter_mut().for_each(|param| mark_below(param, around));
        }
        NodeKind::Call(call) => {
            let around = match call.function.name {
                "histogram_count" | "histogram_sum" | "histogram_avg" => {
                    Around { statistics: true, ..around }
                }
                "histogram_quantile" | "histogram_quantiles" | "histogram_fraction" => {
                    Around { buckets: true, ..around }
                }
                _ => around,
            };
            call.args.iter_mut().for_each(|arg| mark_below(arg, around));
        }
    }
}

/// Whether nothing is seen of the series that an aggregation takes but the labels that it groups by.
fn shows_its_groups_only(aggregate: &AggregateNode) -> bool {
    let keeps_series = matches!(
        aggregate.op,
        AggregateOp::Topk
            | AggregateOp::Bottomk
            | AggregateOp::Limitk
            | AggregateOp::LimitRatio
            | AggregateOp::CountValues
    );
    !aggregate.without && !keeps_series
}

/// The selector of an expression that has the same series as the selector, names aside.
fn selector_of(node: &mut Node) -> Option<&mut SelectorNode> {
    let selector = match &mut node.kind {
        NodeKind::StepInvariant(inner) => return selector_of(inner),
        NodeKind::Selector(selector) => selector,
        NodeKind::Call(call) => range_of(call)?,
        _ => return None,
    };
    (has_one_name(selector) && selector.extension == RangeExtension::None).then_some(selector)
}

/// The selector of a function's window.
fn range_of(call: &mut CallNode) -> Option<&mut SelectorNode> {
    if call.function.name == "absent_over_time" {
        return None;
    }
    call.args.iter_mut().find_map(|arg| match &mut arg.kind {
        NodeKind::Range(range) => Some(&mut range.selector),
        NodeKind::StepInvariant(inner) => match &mut inner.kind {
            NodeKind::Range(range) => Some(&mut range.selector),
            _ => None,
        },
        _ => None,
    })
}

/// Whether all series are of one metric, so that they stay apart when the name goes.
fn has_one_name(selector: &SelectorNode) -> bool {
    let mut matchers = selector.matchers.iter();
    matchers.any(|matcher| {
        matcher.name == METRIC_NAME && matcher.op == MatchOp::Equal && !matcher.value.is_empty()
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::promql::parse::{ParserOptions, parse_expr};
    use crate::promql::plan::{QueryTimes, plan};

    /// What the first selector of a query needs, metadata aside; `None` for all labels.
    fn needed(query: &str) -> Option<Vec<String>> {
        let expr = parse_expr(query, &ParserOptions::ALL).expect(query);
        let mut node = plan(&expr, &QueryTimes { start: 0, end: 0, step_ms: 0 }).expect(query);
        match first_selector(&mut node).expect(query).labels_needed.clone() {
            LabelsNeeded::All => None,
            LabelsNeeded::None => Some(Vec::new()),
            LabelsNeeded::Only(names) => {
                Some(names.into_iter().filter(|name| !METADATA_LABELS.contains(&name.as_str())).collect())
            }
        }
    }

    fn first_selector(node: &mut Node) -> Option<&mut SelectorNode> {
        match &mut node.kind {
            NodeKind::Selector(selector) => Some(selector),
            NodeKind::Range(range) => Some(&mut range.selector),
            NodeKind::Subquery(subquery) => first_selector(&mut subquery.expr),
            NodeKind::StepInvariant(inner) | NodeKind::Negate(inner) => first_selector(inner),
            NodeKind::Binary(binary) => first_selector(&mut binary.left),
            NodeKind::Aggregate(aggregate) => first_selector(&mut aggregate.expr),
            NodeKind::Call(call) => call.args.iter_mut().find_map(first_selector),
            NodeKind::Number(_) | NodeKind::Text(_) => None,
        }
    }

    #[test]
    fn groups_need_their_labels_only() {
        let names = |names: &[&str]| Some(names.iter().map(|name| (*name).to_owned()).collect());
        assert_eq!(needed("sum(m)"), names(&[]));
        assert_eq!(needed("sum by (a, b) (rate(m[5m]))"), names(&["a", "b"]));
        assert_eq!(needed("sum by (a) (rate(m[5m] @ 10)) / 2"), names(&["a"]));
        assert_eq!(needed("histogram_quantile(0.9, sum by (le) (rate(m[5m])))"), names(&["le"]));
        assert_eq!(needed("max_over_time(sum by (a) (m)[5m:1m])"), names(&["a"]));
    }

    #[test]
    fn buckets_are_left_out_where_nothing_looks_at_them() {
        let statistics_only = |query: &str| {
            let expr = parse_expr(query, &ParserOptions::ALL).expect(query);
            let mut node = plan(&expr, &QueryTimes { start: 0, end: 0, step_ms: 0 }).expect(query);
            first_selector(&mut node).expect(query).statistics_only
        };
        for query in ["histogram_count(m)", "-histogram_sum(sum(rate(m[5m] @ 1)) + 1)"] {
            assert!(statistics_only(query), "{query}");
        }
        for query in [
            "m",
            "histogram_count(rate(m[5m:1m]))",
            "histogram_count(m </ 1)",
            "histogram_quantile(0.5, histogram_sum(m))",
            "max_over_time(histogram_count(m)[5m:1m])",
        ] {
            assert!(!statistics_only(query), "{query}");
        }
    }

    #[test]
    fn what_shows_its_series_needs_all_labels() {
        for query in [
            "m",
            "rate(m[5m])",
            "sum without (a) (m)",
            "topk(1, m)",
            "count_values(\"v\", m)",
            "sum(m + m)",
            "sum(abs(m))",
            "sum({a=\"b\"})",
            "sum(rate({__name__=~\"m|n\"}[5m]))",
            "sum(absent_over_time(m[5m]))",
            "sum by (a) (max_over_time(m[5m:1m]))",
        ] {
            assert_eq!(needed(query), None, "{query}");
        }
    }
}
