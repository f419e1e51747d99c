//! A tree as JSON, as `/api/v1/parse_query` answers it. Keys are sorted, as Go sorts them.

use serde_json::{Value, json};

use crate::model::{Matcher, format_float};

use super::ast::{
    AtModifier, Binary, Call, DurationExpr, DurationExprKind, Expr, ExprKind, MatchCardinality,
    RangeExtension, Subquery, TimeModifiers, VectorMatching, VectorSelector,
};

/// The tree in upstream's shape.
pub fn to_json(expr: &Expr) -> Value {
    match &expr.kind {
        ExprKind::Number(number) => json!({"type": "numberLiteral", "val": format_float(number.value)}),
        ExprKind::String(text) => {
            json!({"type": "stringLiteral", "val": String::from_utf8_lossy(&text.value)})
        }
        ExprKind::VectorSelector(selector) => selector_json("vectorSelector", selector, None),
        ExprKind::MatrixSelector(matrix) => match &matrix.selector.kind {
            ExprKind::VectorSelector(selector) => {
                let range = (matrix.range_ms, matrix.range_expr.as_deref());
                selector_json("matrixSelector", selector, Some(range))
            }
            _ => unreachable!("a range stands behind a selector"),
        },
        ExprKind::Subquery(subquery) => subquery_json(subquery),
        ExprKind::Unary(unary) => {
            json!({"expr": to_json(&unary.expr), "op": unary.sign(), "type": "unaryExpr"})
        }
        ExprKind::Binary(binary) => binary_json(binary),
        ExprKind::Aggregate(aggregate) => json!({
            "expr": to_json(&aggregate.expr),
            "grouping": aggregate.grouping,
            "op": aggregate.op.as_str(),
            "param": aggregate.param.as_deref().map(to_json),
            "type": "aggregation",
            "without": aggregate.without,
        }),
        ExprKind::Call(call) => call_json(call),
        ExprKind::Paren(inner) => json!({"expr": to_json(inner), "type": "parenExpr"}),
    }
}

fn call_json(call: &Call) -> Value {
    let function = call.function;
    json!({
        "args": call.args.iter().map(to_json).collect::<Vec<_>>(),
        "func": {
            "argTypes": function.args.iter().map(|arg| arg.as_str()).collect::<Vec<_>>(),
            "name": function.name,
            "returnType": function.returns.as_str(),
            "variadic": function.variadic,
        },
        "type": "call",
    })
}

fn binary_json(binary: &Binary) -> Value {
    json!({
        "bool": binary.returns_bool,
        "lhs": to_json(&binary.left),
        "matching": binary.matching.as_ref().map(matching_json),
        "op": binary.op.as_str(),
        "rhs": to_json(&binary.right),
        "type": "binaryExpr",
    })
}

fn matching_json(matching: &VectorMatching) -> Value {
    json!({
        "card": matching.card.as_str(),
        "fillValues": {"lhs": matching.fill_left, "rhs": matching.fill_right},
        "include": matching.include,
        "labels": matching.labels,
        "on": matching.on,
    })
}

fn subquery_json(subquery: &Subquery) -> Value {
    let (timestamp, start_or_end) = at_json(&subquery.time);
    json!({
        "expr": to_json(&subquery.expr),
        "offset": subquery.time.offset_ms,
        "offsetExpr": subquery.time.offset_expr.as_deref().map(duration_json),
        "range": subquery.range_ms,
        "rangeExpr": subquery.range_expr.as_deref().map(duration_json),
        "startOrEnd": start_or_end,
        "step": subquery.step_ms,
        "stepExpr": subquery.step_expr.as_deref().map(duration_json),
        "timestamp": timestamp,
        "type": "subquery",
    })
}

fn selector_json(
    type_name: &str,
    selector: &VectorSelector,
    range: Option<(i64, Option<&DurationExpr>)>,
) -> Value {
    let (timestamp, start_or_end) = at_json(&selector.time);
    let mut value = json!({
        "anchored": selector.extension == RangeExtension::Anchored,
        "matchers": selector.matchers.iter().map(matcher_json).collect::<Vec<_>>(),
        "name": selector.name,
        "offset": selector.time.offset_ms,
        "offsetExpr": selector.time.offset_expr.as_deref().map(duration_json),
    });
    if let Some((range_ms, range_expr)) = range {
        value["range"] = json!(range_ms);
        value["rangeExpr"] = json!(range_expr.map(duration_json));
    }
    value["smoothed"] = json!(selector.extension == RangeExtension::Smoothed);
    value["startOrEnd"] = json!(start_or_end);
    value["timestamp"] = json!(timestamp);
    value["type"] = json!(type_name);
    value
}

fn matcher_json(matcher: &Matcher) -> Value {
    json!({"name": matcher.name, "type": matcher.op.as_str(), "value": matcher.value})
}

/// `timestamp` and `startOrEnd`.
fn at_json(time: &TimeModifiers) -> (Option<i64>, Option<&'static str>) {
    match time.at {
        None => (None, None),
        Some(AtModifier::Time(t)) => (Some(t), None),
        Some(AtModifier::Start) => (None, Some("start")),
        Some(AtModifier::End) => (None, Some("end")),
    }
}

fn duration_json(expr: &DurationExpr) -> Value {
    let node = |op: &str, left: Option<&DurationExpr>, right: Option<&DurationExpr>| {
        json!({
            "lhs": left.map(duration_json),
            "op": op,
            "rhs": right.map(duration_json),
            "type": "durationExpr",
            "wrapped": expr.wrapped,
        })
    };
    match &expr.kind {
        DurationExprKind::Literal(number) => json!({
            "duration": number.is_duration,
            "type": "numberLiteral",
            "val": format_float(number.value),
        }),
        DurationExprKind::Step => node("step", None, None),
        DurationExprKind::Range => node("range", None, None),
        DurationExprKind::MinOf(left, right) => node("min_of", Some(left), Some(right)),
        DurationExprKind::MaxOf(left, right) => node("max_of", Some(left), Some(right)),
        DurationExprKind::Unary { negative, expr } => {
            node(if *negative { "-" } else { "+" }, None, Some(expr))
        }
        DurationExprKind::Binary { op, left, right } => node(op.as_str(), Some(left), Some(right)),
    }
}

impl MatchCardinality {
    /// The name in upstream's API and messages.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::OneToOne => "one-to-one",
            Self::ManyToOne => "many-to-one",
            Self::OneToMany => "one-to-many",
            Self::ManyToMany => "many-to-many",
        }
    }
}
