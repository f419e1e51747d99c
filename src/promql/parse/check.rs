//! Type checks over a parsed tree: what the grammar lets pass and the language does not.
//!
//! The checks and their order are upstream's, so that the first message is the same.

use crate::model::{GoQuoted, METRIC_NAME, Matcher};

use super::ast::{
    Aggregate, AggregateOp, Binary, Call, Expr, ExprKind, MatchCardinality, PosRange, ValueType,
    VectorSelector,
};
use super::error::{Fault, Parsing};

/// Checks `expr` and everything below, and settles how vectors match: operations that are not between two vectors
/// lose their matching, set operators become many-to-many.
pub(super) fn check(text: &str, expr: &mut Expr) -> Parsing<ValueType> {
    let pos = expr.pos;
    let value_type = expr.value_type();
    match &mut expr.kind {
        ExprKind::Aggregate(aggregate) => check_aggregate(text, aggregate)?,
        ExprKind::Binary(binary) => check_binary(text, binary, pos)?,
        ExprKind::Call(call) => check_call(text, call, pos)?,
        ExprKind::Paren(inner) => {
            check(text, inner)?;
        }
        ExprKind::Unary(unary) => {
            let inner = check(text, &mut unary.expr)?;
            if !matches!(inner, ValueType::Scalar | ValueType::Vector) {
                let name = inner.documented_name();
                return Fault::new(
                    pos,
                    format!(
                        "unary expression only allowed on expressions of type scalar or instant vector, got \"{name}\""
                    ),
                );
            }
        }
        ExprKind::Subquery(subquery) => {
            let inner = check(text, &mut subquery.expr)?;
            if inner != ValueType::Vector {
                let name = inner.as_str();
                return Fault::new(
                    pos,
                    format!("subquery is only allowed on instant vector, got {name} instead"),
                );
            }
        }
        ExprKind::MatrixSelector(matrix) => {
            check(text, &mut matrix.selector)?;
        }
        ExprKind::VectorSelector(selector) => check_selector(selector, pos, false)?,
        ExprKind::Number(_) | ExprKind::String(_) => {}
    }
    Ok(value_type)
}

fn expect(text: &str, expr: &mut Expr, wanted: ValueType, context: &str) -> Parsing<()> {
    let found = check(text, expr)?;
    mismatch(expr.pos, wanted, found, context)
}

fn mismatch(pos: PosRange, wanted: ValueType, found: ValueType, context: &str) -> Parsing<()> {
    if wanted == found {
        return Ok(());
    }
    let (wanted, found) = (wanted.documented_name(), found.documented_name());
    Fault::new(pos, format!("expected type {wanted} in {context}, got {found}"))
}

fn check_aggregate(text: &str, aggregate: &mut Aggregate) -> Parsing<()> {
    expect(text, &mut aggregate.expr, ValueType::Vector, "aggregation expression")?;
    let Some(param) = &mut aggregate.param else { return Ok(()) };
    let wanted = match aggregate.op {
        AggregateOp::CountValues => ValueType::String,
        _ => ValueType::Scalar,
    };
    expect(text, param, wanted, "aggregation parameter")
}

fn check_binary(text: &str, binary: &mut Binary, pos: PosRange) -> Parsing<()> {
    let left = check(text, &mut binary.left)?;
    let right = check(text, &mut binary.right)?;
    let both_scalars = left == ValueType::Scalar && right == ValueType::Scalar;
    let op = binary.op;
    let op_pos = || operator_pos(text, binary.left.pos, binary.right.pos);
    if binary.returns_bool && !op.is_comparison() {
        return Fault::new(op_pos(), "bool modifier can only be used on comparison operators");
    }
    if op.is_comparison() && !binary.returns_bool && both_scalars {
        return Fault::new(op_pos(), "comparisons between scalars must use BOOL modifier");
    }
    if let Some(matching) = &binary.matching
        && matching.on
        && let Some(label) = matching.labels.iter().find(|label| matching.include.contains(label))
    {
        let label = GoQuoted(label);
        return Fault::new(op_pos(), format!("label {label} must not occur in ON and GROUP clause at once"));
    }
    for (side, side_type) in [(&binary.left, left), (&binary.right, right)] {
        if !matches!(side_type, ValueType::Scalar | ValueType::Vector) {
            let message = "binary expression must contain only scalar and instant vector types";
            return Fault::new(side.pos, message);
        }
    }
    if left == ValueType::Vector && right == ValueType::Vector {
        return check_set_matching(binary, pos);
    }
    check_without_matching(binary, pos)
}

/// Set operators between vectors take neither grouping nor fill values.
fn check_set_matching(binary: &mut Binary, pos: PosRange) -> Parsing<()> {
    let op = binary.op;
    let Some(matching) = binary.matching.as_mut().filter(|_| op.is_set()) else { return Ok(()) };
    if matching.card != MatchCardinality::OneToOne {
        return Fault::new(pos, format!("no grouping allowed for \"{}\" operation", op.as_str()));
    }
    if matching.fill_left.is_some() || matching.fill_right.is_some() {
        return Fault::new(pos, "filling in missing series not allowed for set operators");
    }
    matching.card = MatchCardinality::ManyToMany;
    Ok(())
}

/// Where a side is no vector, nothing is matched.
fn check_without_matching(binary: &mut Binary, pos: PosRange) -> Parsing<()> {
    if let Some(matching) = &binary.matching {
        if !matching.labels.is_empty() {
            return Fault::new(pos, "vector matching only allowed between instant vectors");
        }
        if matching.fill_left.is_some() || matching.fill_right.is_some() {
            return Fault::new(pos, "filling in missing series only allowed between instant vectors");
        }
    }
    if binary.op.is_set() {
        let op = binary.op.as_str();
        return Fault::new(pos, format!("set operator \"{op}\" not allowed in binary scalar expression"));
    }
    binary.matching = None;
    Ok(())
}

/// What stands between two operands, without the white space around it.
fn operator_pos(text: &str, left: PosRange, right: PosRange) -> PosRange {
    let between = text.get(left.end..right.start).unwrap_or_default();
    let start = left.end + (between.len() - between.trim_ascii_start().len());
    PosRange { start, end: left.end + between.trim_ascii_end().len() }
}

fn check_call(text: &str, call: &mut Call, pos: PosRange) -> Parsing<()> {
    check_argument_count(call, pos)?;
    let function = call.function;
    let context = format!("call to function {}", GoQuoted(function.name));
    if function.name == "info" && call.args.len() > 1 {
        check_info_selector(&call.args[1], pos, &context)?;
    }
    for (index, arg) in call.args.iter_mut().enumerate() {
        let Some(wanted) = function.args.get(index).or(function.args.last()) else { break };
        match &mut arg.kind {
            ExprKind::VectorSelector(selector) if function.name == "info" && index == 1 => {
                check_selector(selector, arg.pos, true)?;
            }
            _ => expect(text, arg, *wanted, &context)?,
        }
    }
    Ok(())
}

fn check_argument_count(call: &Call, pos: PosRange) -> Parsing<()> {
    let (wanted, got) = (call.function.args.len(), call.args.len());
    let name = GoQuoted(call.function.name);
    let at_least = wanted.saturating_sub(1);
    let at_most = usize::try_from(call.function.variadic).map(|extra| at_least + extra);
    let (bound, count) = match (call.function.variadic, at_most) {
        (0, _) if wanted != got => ("", wanted),
        (0, _) => return Ok(()),
        _ if got < at_least => ("at least ", at_least),
        (_, Ok(at_most)) if got > at_most => ("at most ", at_most),
        _ => return Ok(()),
    };
    Fault::new(pos, format!("expected {bound}{count} argument(s) in call to {name}, got {got}"))
}

/// The second argument of `info()` chooses labels: a selector without a metric name, which may match everything.
fn check_info_selector(arg: &Expr, call: PosRange, context: &str) -> Parsing<()> {
    mismatch(call, ValueType::Vector, arg.value_type(), context)?;
    match &arg.kind {
        ExprKind::VectorSelector(selector) if selector.name.is_empty() => Ok(()),
        ExprKind::VectorSelector(_) => {
            Fault::new(arg.pos, "expected label selectors only, got vector selector instead")
        }
        _ => Fault::new(arg.pos, "expected label selectors only"),
    }
}

fn check_selector(selector: &VectorSelector, pos: PosRange, may_match_everything: bool) -> Parsing<()> {
    if let Some((_, others)) = selector.matchers.split_last().filter(|_| !selector.name.is_empty()) {
        if let Some(other) = others.iter().find(|matcher| matcher.name == METRIC_NAME) {
            let (name, other) = (GoQuoted(&selector.name), GoQuoted(&other.value));
            return Fault::new(pos, format!("metric name must not be set twice: {name} or {other}"));
        }
        return Ok(());
    }
    if !may_match_everything && selector.matchers.iter().all(Matcher::matches_empty) {
        return Fault::new(pos, "vector selector must contain at least one non-empty matcher");
    }
    Ok(())
}

impl ValueType {
    /// The type's name in upstream's code and API.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Scalar => "scalar",
            Self::Vector => "vector",
            Self::Matrix => "matrix",
            Self::String => "string",
        }
    }

    /// The type's name in the documentation, which most messages use.
    pub const fn documented_name(self) -> &'static str {
        match self {
            Self::Vector => "instant vector",
            Self::Matrix => "range vector",
            other => other.as_str(),
        }
    }
}
