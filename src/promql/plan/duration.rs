//! Arithmetic where a duration stands.

use crate::promql::parse::ast::{BinaryOp, DurationExpr, DurationExprKind};

use super::build::{PlanError, QueryTimes};

/// Most seconds that fit a duration in nanoseconds.
const SECONDS_MAX: f64 = (1_u64 << 63) as f64 / 1e9;

/// The milliseconds of a constant, or of the expression that was written instead.
pub(super) fn resolve(
    constant_ms: i64,
    expr: Option<&DurationExpr>,
    may_be_negative: bool,
    times: &QueryTimes,
) -> Result<i64, PlanError> {
    let Some(expr) = expr else { return Ok(constant_ms) };
    let seconds = evaluate(expr, times)?;
    if !seconds.is_finite() {
        return Err(error(expr, "duration is NaN or infinite"));
    }
    if seconds <= 0.0 && !may_be_negative {
        return Err(error(expr, "duration must be greater than 0"));
    }
    if seconds.abs() > SECONDS_MAX {
        return Err(error(expr, "duration is out of range"));
    }
    Ok((seconds * 1000.0) as i64)
}

fn error(expr: &DurationExpr, what: &str) -> PlanError {
    PlanError(format!("{}:{}: {what}", expr.pos.start, expr.pos.end))
}

/// In seconds.
fn evaluate(expr: &DurationExpr, times: &QueryTimes) -> Result<f64, PlanError> {
    Ok(match &expr.kind {
        DurationExprKind::Literal(number) => number.value,
        DurationExprKind::Step => times.step_ms as f64 / 1000.0,
        DurationExprKind::Range => times.end.saturating_sub(times.start) as f64 / 1000.0,
        DurationExprKind::MinOf(a, b) => min(evaluate(a, times)?, evaluate(b, times)?),
        DurationExprKind::MaxOf(a, b) => max(evaluate(a, times)?, evaluate(b, times)?),
        DurationExprKind::Unary { negative, expr } => {
            let value = evaluate(expr, times)?;
            if *negative { -value } else { value }
        }
        DurationExprKind::Binary { op, left, right } => {
            let (left, right) = (evaluate(left, times)?, evaluate(right, times)?);
            match op {
                BinaryOp::Add => left + right,
                BinaryOp::Sub => left - right,
                BinaryOp::Mul => left * right,
                BinaryOp::Div if right == 0.0 => return Err(error(expr, "division by zero")),
                BinaryOp::Div => left / right,
                BinaryOp::Mod if right == 0.0 => return Err(error(expr, "modulo by zero")),
                BinaryOp::Mod => left % right,
                BinaryOp::Pow => left.powf(right),
                other => {
                    return Err(PlanError(format!(
                        "unexpected duration expression operator \"{}\"",
                        other.as_str()
                    )));
                }
            }
        }
    })
}

/// As Go's `math.Min`: NaN wins.
pub(crate) fn min(a: f64, b: f64) -> f64 {
    if a.is_nan() || b.is_nan() { f64::NAN } else { a.min(b) }
}

/// As Go's `math.Max`: NaN wins.
pub(crate) fn max(a: f64, b: f64) -> f64 {
    if a.is_nan() || b.is_nan() { f64::NAN } else { a.max(b) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::promql::parse::ast::{NumberLiteral, PosRange};

    const TIMES: QueryTimes = QueryTimes { start: 0, end: 60_000, step_ms: 15_000 };

    fn expr(kind: DurationExprKind) -> DurationExpr {
        DurationExpr { kind, wrapped: false, pos: PosRange { start: 3, end: 9 } }
    }

    fn seconds(value: f64) -> Box<DurationExpr> {
        Box::new(expr(DurationExprKind::Literal(NumberLiteral { value, is_duration: true })))
    }

    fn binary(op: BinaryOp, left: Box<DurationExpr>, right: Box<DurationExpr>) -> DurationExpr {
        expr(DurationExprKind::Binary { op, left, right })
    }

    #[test]
    fn step_and_range_are_the_querys() {
        let sum = binary(
            BinaryOp::Add,
            Box::new(expr(DurationExprKind::Step)),
            Box::new(expr(DurationExprKind::Range)),
        );
        assert_eq!(resolve(0, Some(&sum), false, &TIMES).map_err(|e| e.0), Ok(75_000));
        assert_eq!(resolve(7, None, false, &TIMES).map_err(|e| e.0), Ok(7));
    }

    #[test]
    fn impossible_durations_say_where() {
        let zero = binary(BinaryOp::Div, seconds(1.0), seconds(0.0));
        let message = |e: &DurationExpr, negative| resolve(0, Some(e), negative, &TIMES).map_err(|e| e.0);
        assert_eq!(message(&zero, true), Err("3:9: division by zero".to_owned()));
        let negative = binary(BinaryOp::Sub, seconds(1.0), seconds(2.0));
        assert_eq!(message(&negative, false), Err("3:9: duration must be greater than 0".to_owned()));
        assert_eq!(message(&negative, true), Ok(-1000));
        let huge = binary(BinaryOp::Pow, seconds(10.0), seconds(30.0));
        assert_eq!(message(&huge, true), Err("3:9: duration is out of range".to_owned()));
    }
}
