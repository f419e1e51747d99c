//! Scalars: one number per step.

use crate::promql::engine::QueryError;
use crate::promql::functions::math;
use crate::promql::parse::ast::BinaryOp;
use crate::promql::plan::{BinaryNode, CallNode, Node, NodeKind, StepGrid};

use super::context::{Context, fail};
use super::operator::Source;

/// The number of each step.
pub(crate) fn evaluate<'q>(
    node: &'q Node,
    grid: StepGrid,
    cx: &mut Context<'q>,
) -> Result<Vec<f64>, QueryError> {
    match &node.kind {
        NodeKind::Number(value) => Ok(vec![*value; grid.count]),
        NodeKind::StepInvariant(inner) => {
            let first = evaluate(inner, grid.first_step(), cx)?;
            Ok(first.first().map_or_else(Vec::new, |value| vec![*value; grid.count]))
        }
        NodeKind::Negate(inner) => {
            let mut values = evaluate(inner, grid, cx)?;
            values.iter_mut().for_each(|value| *value = -*value);
            Ok(values)
        }
        NodeKind::Binary(binary) => of_two(binary, grid, cx),
        NodeKind::Call(call) => of_call(call, grid, cx),
        _ => fail("a scalar is needed here"),
    }
}

fn of_two<'q>(binary: &'q BinaryNode, grid: StepGrid, cx: &mut Context<'q>) -> Result<Vec<f64>, QueryError> {
    let mut left = evaluate(&binary.left, grid, cx)?;
    let right = evaluate(&binary.right, grid, cx)?;
    let f = operator(binary.op)?;
    left.iter_mut().zip(right).for_each(|(left, right)| *left = f(*left, right));
    Ok(left)
}

fn operator(op: BinaryOp) -> Result<Box<dyn Fn(f64, f64) -> f64>, QueryError> {
    if let Some(f) = math::arithmetic(op) {
        return Ok(Box::new(f));
    }
    match math::comparison(op) {
        Some(f) => Ok(Box::new(move |a, b| f64::from(u8::from(f(a, b))))),
        None => fail(format!("operator \"{}\" not allowed for Scalar operations", op.as_str())),
    }
}

fn of_call<'q>(call: &'q CallNode, grid: StepGrid, cx: &mut Context<'q>) -> Result<Vec<f64>, QueryError> {
    let two = |cx: &mut Context<'q>, f: fn(f64, f64) -> f64| {
        let left = evaluate(&call.args[0], grid, cx)?;
        let right = evaluate(&call.args[1], grid, cx)?;
        Ok(left.into_iter().zip(right).map(|(a, b)| f(a, b)).collect())
    };
    match call.function.name {
        "pi" => Ok(vec![std::f64::consts::PI; grid.count]),
        "time" => Ok((0..grid.count).map(|step| grid.time(step) as f64 / 1000.0).collect()),
        "min_of" => two(cx, math::smaller),
        "max_of" => two(cx, math::larger),
        "scalar" => {
            let held = cx.samples.held;
            let source = super::open(&call.args[0], grid, cx)?;
            let values = only_float(source, grid, cx)?;
            cx.samples.held = held;
            Ok(values)
        }
        other => fail(format!("function {other} gives no scalar")),
    }
}

/// The one float of each step; NaN where there is none, or more than one.
fn only_float<'q>(
    mut source: Source<'q>,
    grid: StepGrid,
    cx: &mut Context<'q>,
) -> Result<Vec<f64>, QueryError> {
    let mut counts = vec![0_u32; grid.count];
    let mut values = vec![f64::NAN; grid.count];
    let mut row = super::batch::Row::default();
    for _ in 0..source.series().len() {
        source.next(cx, &mut row)?;
        row.keep_floats();
        for step in row.present.ones() {
            counts[step] += 1;
            values[step] = if counts[step] == 1 { row.values[step] } else { f64::NAN };
        }
    }
    Ok(values)
}
