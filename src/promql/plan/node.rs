//! The tree that is evaluated.

use crate::model::{Matcher, Timestamp};
use crate::promql::parse::ast::{AggregateOp, BinaryOp, PosRange, RangeExtension, ValueType, VectorMatching};
use crate::promql::parse::functions::Function;
use crate::storage::LabelsNeeded;

use super::StepGrid;

/// An expression with everything resolved.
#[derive(Clone, Debug)]
pub(crate) struct Node {
    /// What it is.
    pub(crate) kind: NodeKind,
    /// Type of its value.
    pub(crate) value_type: ValueType,
    /// Where it stands in the query.
    pub(crate) pos: PosRange,
}

/// The kinds of nodes.
#[derive(Clone, Debug)]
pub(crate) enum NodeKind {
    /// The same number at each step.
    Number(f64),
    /// A text.
    Text(Vec<u8>),
    /// One sample per series and step.
    Selector(SelectorNode),
    /// A window of stored samples per series and step.
    Range(RangeNode),
    /// A window of computed samples per series and step.
    Subquery(Box<SubqueryNode>),
    /// Evaluated at the first step only, the same at all others.
    StepInvariant(Box<Node>),
    /// `-expr`
    Negate(Box<Node>),
    /// `left op right`
    Binary(Box<BinaryNode>),
    /// `sum(expr)`
    Aggregate(Box<AggregateNode>),
    /// `rate(expr)`
    Call(CallNode),
}

/// Which time of the data a step looks at.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct ReferenceTime {
    /// `@`, where there is one.
    pub(crate) at: Option<Timestamp>,
    /// `offset`
    pub(crate) offset_ms: i64,
}

impl ReferenceTime {
    /// The data's time for a step at `t`.
    pub(crate) fn of(&self, t: Timestamp) -> Timestamp {
        self.at.unwrap_or(t).saturating_sub(self.offset_ms)
    }

    /// First and last reference time of a grid.
    pub(crate) fn bounds(&self, grid: &StepGrid) -> (Timestamp, Timestamp) {
        (self.of(grid.start), self.of(grid.last()))
    }
}

/// A selector.
#[derive(Clone, Debug)]
pub(crate) struct SelectorNode {
    /// All must pass.
    pub(crate) matchers: Vec<Matcher>,
    /// `@` and `offset`.
    pub(crate) time: ReferenceTime,
    /// `anchored` or `smoothed`.
    pub(crate) extension: RangeExtension,
    /// Which of its series' labels the result depends on.
    pub(crate) labels_needed: LabelsNeeded,
    /// Of native histograms only counts and sums are looked at.
    pub(crate) statistics_only: bool,
}

/// A selector with a range.
#[derive(Clone, Debug)]
pub(crate) struct RangeNode {
    /// Of which series.
    pub(crate) selector: SelectorNode,
    /// Width of the window.
    pub(crate) range_ms: i64,
}

/// A subquery.
#[derive(Clone, Debug)]
pub(crate) struct SubqueryNode {
    /// What is evaluated.
    pub(crate) expr: Node,
    /// Width of the window.
    pub(crate) range_ms: i64,
    /// Distance of the inner times; `None` asks for the default.
    pub(crate) step_ms: Option<i64>,
    /// `@` and `offset`.
    pub(crate) time: ReferenceTime,
}

impl SubqueryNode {
    /// The times at which the inner expression is evaluated for an outer grid: multiples of the step after
    /// the start of the first window, up to the end of the last.
    pub(crate) fn inner_grid(&self, outer: &StepGrid, step_ms_default: i64) -> StepGrid {
        let (first, last) = self.time.bounds(outer);
        let step_ms = self.step_ms.unwrap_or(step_ms_default).max(1);
        let after = first.saturating_sub(self.range_ms);
        let mut start = step_ms.saturating_mul(after / step_ms);
        if start <= after {
            start = start.saturating_add(step_ms);
        }
        StepGrid::range(start, last, step_ms)
    }
}

/// A binary operation.
#[derive(Clone, Debug)]
pub(crate) struct BinaryNode {
    /// Operator.
    pub(crate) op: BinaryOp,
    /// Left operand.
    pub(crate) left: Node,
    /// Right operand.
    pub(crate) right: Node,
    /// `bool`
    pub(crate) returns_bool: bool,
    /// How vectors find each other; there where both sides are vectors.
    pub(crate) matching: Option<VectorMatching>,
}

/// An aggregation.
#[derive(Clone, Debug)]
pub(crate) struct AggregateNode {
    /// Operator.
    pub(crate) op: AggregateOp,
    /// What is aggregated.
    pub(crate) expr: Node,
    /// Parameter.
    pub(crate) param: Option<Node>,
    /// Labels of `by` or `without`.
    pub(crate) grouping: Vec<String>,
    /// Whether they are `without`'s.
    pub(crate) without: bool,
}

/// A function call.
#[derive(Clone, Debug)]
pub(crate) struct CallNode {
    /// The function.
    pub(crate) function: &'static Function,
    /// Its arguments.
    pub(crate) args: Vec<Node>,
}

impl Node {
    /// Whether an instant's series come in an order of the query's making: `sort`, `topk` and what keeps theirs.
    pub(crate) fn has_own_order(&self) -> bool {
        match &self.kind {
            NodeKind::StepInvariant(inner) | NodeKind::Negate(inner) => inner.has_own_order(),
            NodeKind::Binary(binary) => binary.left.has_own_order() || binary.right.has_own_order(),
            NodeKind::Aggregate(aggregate) => {
                matches!(aggregate.op, AggregateOp::Topk | AggregateOp::Bottomk)
            }
            NodeKind::Call(call) => {
                call.function.name.starts_with("sort") || call.args.iter().any(Self::has_own_order)
            }
            _ => false,
        }
    }

    /// The bytes of a string literal; empty for anything else, which the parser's type check excludes.
    pub(crate) fn text(&self) -> &[u8] {
        match &self.kind {
            NodeKind::Text(text) => text,
            NodeKind::StepInvariant(inner) => inner.text(),
            _ => &[],
        }
    }

    /// The same node without the mark that it does not vary.
    pub(crate) fn unwrapped(&self) -> &Self {
        match &self.kind {
            NodeKind::StepInvariant(inner) => inner.unwrapped(),
            _ => self,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn subquery(range_ms: i64, step_ms: Option<i64>, time: ReferenceTime) -> SubqueryNode {
        let expr =
            Node { kind: NodeKind::Number(1.0), value_type: ValueType::Scalar, pos: PosRange::default() };
        SubqueryNode { expr, range_ms, step_ms, time }
    }

    #[test]
    fn subquery_steps_are_multiples_after_the_window_start() {
        let node = subquery(25, Some(10), ReferenceTime::default());
        let grid = node.inner_grid(&StepGrid::instant(50), 60);
        assert_eq!((grid.start, grid.last(), grid.count), (30, 50, 3));
        let grid = node.inner_grid(&StepGrid::instant(55), 60);
        assert_eq!((grid.start, grid.last()), (40, 50));
        let negative = node.inner_grid(&StepGrid::instant(5), 60);
        assert_eq!((negative.start, negative.last()), (-10, 0));
    }

    #[test]
    fn at_pins_the_inner_grid() {
        let node = subquery(20, None, ReferenceTime { at: Some(100), offset_ms: 10 });
        let grid = node.inner_grid(&StepGrid::range(0, 1000, 100), 10);
        assert_eq!((grid.start, grid.last()), (80, 90));
    }
}
