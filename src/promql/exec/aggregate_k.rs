//! Aggregations that keep some series of a group as they are: `topk`, `bottomk`, `limitk`, `limit_ratio`.

use std::cmp::Ordering;

use crate::promql::annotations::Annotations;
use crate::promql::engine::QueryError;
use crate::promql::parse::ast::{AggregateOp, PosRange};
use crate::promql::plan::{AggregateNode, StepGrid};

use super::aggregate::Grouping;
use super::batch::{Batch, Row};
use super::context::{Context, fail};
use super::operator::{Source, drain, ready};
use super::{notes, scalar};

/// Opens an aggregation that keeps series, and computes it.
pub(crate) fn open<'q>(
    node: &'q AggregateNode,
    pos: PosRange,
    grid: StepGrid,
    cx: &mut Context<'q>,
) -> Result<Source<'q>, QueryError> {
    let Some(param) = &node.param else { return fail("a parameter is needed") };
    let held = cx.samples.held;
    let parameters = scalar::evaluate(param, grid, cx)?;
    let input = super::open(&node.expr, grid, cx)?;
    let input = drain(input, cx)?;
    if !check(node.op, &parameters, param.pos, &mut cx.annotations)? {
        return ready(Batch::default(), held, cx);
    }
    let (assigned, groups) = Grouping::new(node, None, cx).assign(&input.series, cx);
    let mut members = vec![Vec::new(); groups.len()];
    assigned.iter().enumerate().for_each(|(row, group)| members[*group].push(row));
    if node.op == AggregateOp::LimitRatio {
        let offsets: Vec<f64> = input
            .series
            .iter()
            .map(|series| cx.labels.labels(series.labels).hash64() as f64 / u64::MAX as f64)
            .collect();
        return ready(keep_ratio(input, &offsets, &parameters), held, cx);
    }
    if matches!(node.op, AggregateOp::Topk | AggregateOp::Bottomk) {
        let ignored = input.rows.iter().any(|row| row.present.ones().any(|at| row.histogram(at).is_some()));
        if ignored {
            cx.annotations.info(pos, notes::histogram_ignored(node.op.as_str()));
        }
    }
    ready(keep_some(input, &members, node.op, &parameters, grid), held, cx)
}

/// Whether there is anything to keep. Parameters that mean nothing are errors, or warned of.
fn check(
    op: AggregateOp,
    parameters: &[f64],
    pos: PosRange,
    annotations: &mut Annotations,
) -> Result<bool, QueryError> {
    let has_nan = parameters.iter().any(|value| value.is_nan());
    let max = parameters.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let min = parameters.iter().copied().fold(f64::INFINITY, f64::min);
    if op == AggregateOp::LimitRatio {
        if max == 0.0 && min == 0.0 && !has_nan {
            return Ok(false);
        }
        if has_nan {
            return fail("Ratio value is NaN");
        }
        let mut warn = |value: f64, to: &str| {
            let value = crate::model::format_float_g(value);
            let text = format!("ratio value should be between -1 and 1, got {value}, capping to {to}");
            annotations.warn(pos, text);
        };
        if max > 1.0 {
            warn(max, "1");
        }
        if min < -1.0 {
            warn(min, "-1");
        }
        return Ok(true);
    }
    if !has_nan && max < 1.0 {
        return Ok(false);
    }
    if has_nan {
        return fail("Parameter value is NaN");
    }
    if min <= i64::MIN as f64 {
        return fail(format!("Scalar value {} underflows int64", crate::model::format_float_g(min)));
    }
    if max >= 9_223_372_036_854_774_784.0 {
        return fail(format!("Scalar value {} overflows int64", crate::model::format_float_g(max)));
    }
    Ok(true)
}

/// Keeps each series at the steps where its place between 0 and 1 is inside the ratio.
fn keep_ratio(input: Batch, offsets: &[f64], parameters: &[f64]) -> Batch {
    let mut output = input;
    for (row, offset) in output.rows.iter_mut().zip(offsets) {
        for step in row.present.clone().ones() {
            let ratio = parameters[step].clamp(-1.0, 1.0);
            let inside = if ratio >= 0.0 { *offset < ratio } else { *offset >= 1.0 + ratio };
            if !inside || ratio == 0.0 {
                row.unset(step);
            }
        }
    }
    output
}

/// Keeps the first `k` of each group and step in the operator's order.
fn keep_some(
    input: Batch,
    members: &[Vec<usize>],
    op: AggregateOp,
    parameters: &[f64],
    grid: StepGrid,
) -> Batch {
    let mut rows: Vec<Row> = input.rows.iter().map(|_| Row::empty(grid.count)).collect();
    let mut order = Vec::new();
    for group in members {
        for (step, parameter) in parameters.iter().enumerate() {
            let k = usize::try_from(*parameter as i64).unwrap_or(0);
            let kept = kept_at(&input, group, op, k, step);
            if grid.is_instant {
                order.extend_from_slice(&kept);
            }
            for row in kept {
                if let Some(value) = input.rows[row].value(step) {
                    rows[row].set_value(step, value);
                }
            }
        }
    }
    let mut output = Batch::default();
    if grid.is_instant {
        for row in order {
            output.push(input.series[row], std::mem::take(&mut rows[row]));
        }
    } else {
        for (series, row) in input.series.into_iter().zip(rows) {
            if !row.present.is_empty() {
                output.push(series, row);
            }
        }
    }
    output
}

/// Rows of a group that are kept at a step, best first.
fn kept_at(input: &Batch, group: &[usize], op: AggregateOp, k: usize, step: usize) -> Vec<usize> {
    let here = group.iter().copied().filter(|row| input.rows[*row].present.get(step));
    if op == AggregateOp::Limitk {
        return here.take(k).collect();
    }
    let value = |row: usize| input.rows[row].values[step];
    let mut kept: Vec<usize> = here.filter(|row| input.rows[*row].histogram(step).is_none()).collect();
    if op == AggregateOp::Topk {
        kept.sort_by(|a, b| nan_last(value(*b), value(*a), value(*a).is_nan(), value(*b).is_nan()));
    } else {
        kept.sort_by(|a, b| nan_last(value(*a), value(*b), value(*a).is_nan(), value(*b).is_nan()));
    }
    kept.truncate(k);
    kept
}

/// Order of two values that stand first and second; NaN goes last whichever way the order is.
fn nan_last(first: f64, second: f64, a_is_nan: bool, b_is_nan: bool) -> Ordering {
    first.partial_cmp(&second).unwrap_or_else(|| a_is_nan.cmp(&b_is_nan))
}
