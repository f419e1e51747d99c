//! Further queries that must answer the same: an instant query with its selectors pinned to its time answers the same
//! at any other time.

use crate::model::Timestamp;
use crate::promql::parse::ast::{AtModifier, Expr, ExprKind};
use crate::promql::parse::{ParserOptions, parse_expr};

/// Functions whose value depends on the time of evaluation even where their arguments do not; sorted.
const TIME_FUNCTIONS: [&str; 14] = [
    "day_of_month",
    "day_of_week",
    "day_of_year",
    "days_in_month",
    "end",
    "hour",
    "minute",
    "month",
    "predict_linear",
    "range",
    "start",
    "step",
    "time",
    "timestamp",
];

/// A query text and a time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Pinned {
    pub(super) query: String,
    pub(super) at: Timestamp,
}

/// The pinned query at five other times, or none where its value depends on the time.
pub(super) fn pinned(query: &str, at: Timestamp) -> Vec<Pinned> {
    let Ok(mut expr) = parse_expr(query, &ParserOptions::ALL) else { return Vec::new() };
    if !pin(&mut expr, at) {
        return Vec::new();
    }
    let query = expr.to_string();
    let times: &[Timestamp] = if at == 0 { &[-1000, 0, 1000] } else { &[-10 * at, 0, at / 5, at, 10 * at] };
    times.iter().map(|at| Pinned { query: query.clone(), at: *at }).collect()
}

/// Sets `@` wherever no time is given yet. Answers false where a function depends on the time of evaluation.
fn pin(expr: &mut Expr, at: Timestamp) -> bool {
    if let Some(time) = expr.time_modifiers_mut()
        && !matches!(time.at, Some(AtModifier::Time(_)))
    {
        time.at = Some(AtModifier::Time(at));
    }
    match &mut expr.kind {
        ExprKind::Number(_)
        | ExprKind::String(_)
        | ExprKind::VectorSelector(_)
        | ExprKind::MatrixSelector(_)
        // A subquery has a time by now, and what is inside it stays as it is.
        | ExprKind::Subquery(_) => true,
        ExprKind::Unary(unary) => pin(&mut unary.expr, at),
        ExprKind::Paren(inner) => pin(inner, at),
        ExprKind::Binary(binary) => pin(&mut binary.left, at) && pin(&mut binary.right, at),
        ExprKind::Aggregate(aggregate) => {
            aggregate.param.as_mut().is_none_or(|param| pin(param, at)) && pin(&mut aggregate.expr, at)
        }
        ExprKind::Call(call) => {
            let depends = is_time_function(call.function.name);
            !depends && call.args.iter_mut().all(|arg| pin(arg, at))
        }
    }
}

fn is_time_function(name: &str) -> bool {
    TIME_FUNCTIONS.binary_search(&name).is_ok() || name == "year"
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(query: &str) -> String {
        pinned(query, 5000).first().map(|variant| variant.query.clone()).unwrap_or_default()
    }

    #[test]
    fn selectors_without_a_time_are_pinned() {
        assert_eq!(text("a offset 1m + rate(b[5m] @ 3)"), "a @ 5.000 offset 1m + rate(b[5m] @ 3.000)");
        assert_eq!(text("sum_over_time(a[5m:1m])"), "sum_over_time(a[5m:1m] @ 5.000)");
        assert_eq!(text("a @ start()"), "a @ 5.000");
        assert_eq!(text("topk(scalar(a), b)"), "topk(scalar(a @ 5.000), b @ 5.000)");
        assert_eq!(text("a + time()"), "");
    }

    #[test]
    fn times_lie_around_and_below_zero() {
        let times = |at| pinned("a", at).iter().map(|variant| variant.at).collect::<Vec<_>>();
        assert_eq!(times(0), [-1000, 0, 1000]);
        assert_eq!(times(60_000), [-600_000, 0, 12_000, 60_000, 600_000]);
        assert!(TIME_FUNCTIONS.is_sorted());
    }
}
