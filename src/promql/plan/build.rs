//! Builds the tree that is evaluated from the parsed one.

use crate::model::Timestamp;
use crate::promql::parse::ast::{
    Aggregate, AtModifier, Binary, Call, Expr, ExprKind, MatrixSelector, PosRange, Subquery, TimeModifiers,
    ValueType, VectorSelector,
};
use crate::storage::LabelsNeeded;

use super::duration;
use super::needed::{mark_statistics, need_labels};
use super::node::{
    AggregateNode, BinaryNode, CallNode, Node, NodeKind, RangeNode, ReferenceTime, SelectorNode, SubqueryNode,
};

/// What a query's text may refer to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct QueryTimes {
    /// `start()`
    pub(crate) start: Timestamp,
    /// `end()`
    pub(crate) end: Timestamp,
    /// `step()`; 0 for an instant query.
    pub(crate) step_ms: i64,
}

/// Why a tree cannot be evaluated.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct PlanError(pub(crate) String);

/// How a subtree varies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Invariance {
    /// The same at every step.
    invariant: bool,
    /// Worth evaluating only once.
    worthwhile: bool,
}

const VARIES: Invariance = Invariance { invariant: false, worthwhile: false };
const CONSTANT: Invariance = Invariance { invariant: true, worthwhile: false };
const ONCE: Invariance = Invariance { invariant: true, worthwhile: true };

/// Functions whose value depends on the evaluation time even where their arguments do not.
const TIME_DEPENDENT: [&str; 15] = [
    "days_in_month",
    "day_of_month",
    "day_of_week",
    "day_of_year",
    "end",
    "hour",
    "minute",
    "month",
    "year",
    "predict_linear",
    "range",
    "start",
    "step",
    "time",
    "timestamp",
];

/// Plans a query.
pub(crate) fn plan(expr: &Expr, times: &QueryTimes) -> Result<Node, PlanError> {
    let (mut node, invariance) = Planner { times }.node(expr)?;
    need_labels(&mut node);
    mark_statistics(&mut node);
    Ok(once_if(invariance.worthwhile, node))
}

fn once_if(worthwhile: bool, node: Node) -> Node {
    if !worthwhile {
        return node;
    }
    let (value_type, pos) = (node.value_type, node.pos);
    Node { kind: NodeKind::StepInvariant(Box::new(node)), value_type, pos }
}

struct Planner<'a> {
    times: &'a QueryTimes,
}

type Planned = Result<(Node, Invariance), PlanError>;

impl Planner<'_> {
    fn node(&self, expr: &Expr) -> Planned {
        let make =
            |kind, invariance| Ok((Node { kind, value_type: expr.value_type(), pos: expr.pos }, invariance));
        match &expr.kind {
            ExprKind::Paren(inner) => self.node(inner),
            ExprKind::Number(number) => make(NodeKind::Number(number.value), CONSTANT),
            ExprKind::String(text) => make(NodeKind::Text(text.value.clone()), CONSTANT),
            ExprKind::VectorSelector(selector) => {
                let selector = self.selector(selector)?;
                let invariance = if selector.time.at.is_some() { ONCE } else { VARIES };
                make(NodeKind::Selector(selector), invariance)
            }
            ExprKind::MatrixSelector(matrix) => {
                let range = self.range(matrix)?;
                let invariance = if range.selector.time.at.is_some() { CONSTANT } else { VARIES };
                make(NodeKind::Range(range), invariance)
            }
            ExprKind::Subquery(subquery) => {
                let subquery = self.subquery(subquery)?;
                let invariance = if subquery.time.at.is_some() { CONSTANT } else { VARIES };
                make(NodeKind::Subquery(Box::new(subquery)), invariance)
            }
            ExprKind::Unary(unary) => {
                let (node, invariance) = self.node(&unary.expr)?;
                if unary.negative {
                    make(NodeKind::Negate(Box::new(node)), invariance)
                } else {
                    Ok((Node { pos: expr.pos, ..node }, invariance))
                }
            }
            ExprKind::Binary(binary) => self.binary(binary, expr),
            ExprKind::Aggregate(aggregate) => self.aggregate(aggregate, expr),
            ExprKind::Call(call) => self.call(call, expr.pos),
        }
    }

    fn time(&self, time: &TimeModifiers) -> Result<ReferenceTime, PlanError> {
        let at = time.at.map(|at| match at {
            AtModifier::Time(t) => t,
            AtModifier::Start => self.times.start,
            AtModifier::End => self.times.end,
        });
        let offset_ms = duration::resolve(time.offset_ms, time.offset_expr.as_deref(), true, self.times)?;
        Ok(ReferenceTime { at, offset_ms })
    }

    fn selector(&self, selector: &VectorSelector) -> Result<SelectorNode, PlanError> {
        Ok(SelectorNode {
            matchers: selector.matchers.clone(),
            time: self.time(&selector.time)?,
            extension: selector.extension,
            labels_needed: LabelsNeeded::All,
            statistics_only: false,
        })
    }

    fn range(&self, matrix: &MatrixSelector) -> Result<RangeNode, PlanError> {
        let ExprKind::VectorSelector(selector) = &matrix.selector.without_parens().kind else {
            return Err(PlanError("a range needs a selector".to_owned()));
        };
        let range_ms = duration::resolve(matrix.range_ms, matrix.range_expr.as_deref(), false, self.times)?;
        Ok(RangeNode { selector: self.selector(selector)?, range_ms })
    }

    fn subquery(&self, subquery: &Subquery) -> Result<SubqueryNode, PlanError> {
        let time = self.time(&subquery.time)?;
        let step_ms = duration::resolve(subquery.step_ms, subquery.step_expr.as_deref(), false, self.times)?;
        let range_ms =
            duration::resolve(subquery.range_ms, subquery.range_expr.as_deref(), false, self.times)?;
        let (expr, invariance) = self.node(&subquery.expr)?;
        Ok(SubqueryNode {
            expr: once_if(invariance.invariant, expr),
            range_ms,
            step_ms: (step_ms != 0).then_some(step_ms),
            time,
        })
    }

    fn binary(&self, binary: &Binary, expr: &Expr) -> Planned {
        let (left, left_varies) = self.node(&binary.left)?;
        let (right, right_varies) = self.node(&binary.right)?;
        let both = left_varies.invariant && right_varies.invariant;
        let node = BinaryNode {
            op: binary.op,
            left: once_if(!both && left_varies.worthwhile, left),
            right: once_if(!both && right_varies.worthwhile, right),
            returns_bool: binary.returns_bool,
            matching: binary.matching.clone(),
        };
        let kind = NodeKind::Binary(Box::new(node));
        let node = Node { kind, value_type: expr.value_type(), pos: expr.pos };
        Ok((node, if both { ONCE } else { VARIES }))
    }

    fn aggregate(&self, aggregate: &Aggregate, expr: &Expr) -> Planned {
        let (inner, invariance) = self.node(&aggregate.expr)?;
        let param = aggregate.param.as_deref().map(|param| self.node(param)).transpose()?;
        let node = AggregateNode {
            op: aggregate.op,
            expr: inner,
            param: param.map(|(param, _)| param),
            grouping: aggregate.grouping.clone(),
            without: aggregate.without,
        };
        let kind = NodeKind::Aggregate(Box::new(node));
        Ok((Node { kind, value_type: ValueType::Vector, pos: expr.pos }, invariance))
    }

    fn call(&self, call: &Call, pos: PosRange) -> Planned {
        let name = call.function.name;
        if let Some(value) = self.constant(name) {
            let node = Node { kind: NodeKind::Number(value), value_type: ValueType::Scalar, pos };
            return Ok((node, CONSTANT));
        }
        let planned = call.args.iter().map(|arg| self.node(arg)).collect::<Result<Vec<_>, _>>()?;
        let all_invariant = planned.iter().all(|(_, invariance)| invariance.invariant);
        let only_selectors = planned.iter().all(|(node, _)| matches!(node.kind, NodeKind::Selector(_)));
        let once =
            all_invariant && (!TIME_DEPENDENT.contains(&name) || (name == "timestamp" && only_selectors));
        let args = planned
            .into_iter()
            .map(|(node, invariance)| once_if(!once && invariance.worthwhile, node))
            .collect();
        let kind = NodeKind::Call(CallNode { function: call.function, args });
        Ok((Node { kind, value_type: call.function.returns, pos }, if once { ONCE } else { VARIES }))
    }

    /// Functions of the query's own times.
    fn constant(&self, name: &str) -> Option<f64> {
        let times = self.times;
        match name {
            "start" => Some(times.start as f64 / 1000.0),
            "end" => Some(times.end as f64 / 1000.0),
            "range" => Some(times.end.saturating_sub(times.start) as f64 / 1000.0),
            "step" if times.start == times.end => Some(0.0),
            "step" => Some(times.step_ms as f64 / 1000.0),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::promql::parse::functions::lookup;

    const TIMES: QueryTimes = QueryTimes { start: 10_000, end: 70_000, step_ms: 15_000 };

    fn expr(kind: ExprKind) -> Expr {
        Expr { kind, pos: PosRange::default() }
    }

    fn selector(at: Option<AtModifier>) -> Expr {
        let time = TimeModifiers { at, ..TimeModifiers::default() };
        expr(ExprKind::VectorSelector(VectorSelector { name: "m".to_owned(), time, ..Default::default() }))
    }

    fn call(name: &str, args: Vec<Expr>) -> Expr {
        expr(ExprKind::Call(Call { function: lookup(name).expect("function exists"), args }))
    }

    fn planned(expr: &Expr) -> Node {
        plan(expr, &TIMES).expect("plan is sound")
    }

    #[test]
    fn what_is_pinned_is_evaluated_once() {
        assert!(matches!(planned(&selector(None)).kind, NodeKind::Selector(_)));
        let NodeKind::StepInvariant(inner) = planned(&selector(Some(AtModifier::End))).kind else {
            panic!("a pinned selector does not vary");
        };
        let NodeKind::Selector(selector_node) = &inner.kind else { panic!("of a selector") };
        assert_eq!(selector_node.time.at, Some(70_000));
        assert!(matches!(
            planned(&call("abs", vec![selector(Some(AtModifier::Time(1)))])).kind,
            NodeKind::StepInvariant(_)
        ));
    }

    #[test]
    fn time_dependent_functions_stay_per_step() {
        let NodeKind::Call(hour) = planned(&call("hour", vec![selector(Some(AtModifier::Start))])).kind
        else {
            panic!("hour varies");
        };
        assert!(matches!(hour.args[0].kind, NodeKind::StepInvariant(_)));
        let timestamp = planned(&call("timestamp", vec![selector(Some(AtModifier::Start))]));
        assert!(matches!(timestamp.kind, NodeKind::StepInvariant(_)));
    }

    #[test]
    fn the_querys_times_are_constants() {
        assert!(matches!(planned(&call("range", vec![])).kind, NodeKind::Number(60.0)));
        assert!(matches!(planned(&call("step", vec![])).kind, NodeKind::Number(15.0)));
        assert!(matches!(planned(&call("start", vec![])).kind, NodeKind::Number(10.0)));
    }
}
