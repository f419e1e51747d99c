//! Binary operators: which operands they have, what they make of two values, and vectors with scalars.

use crate::model::{CounterResetHint, FloatHistogram};
use crate::promql::engine::QueryError;
use crate::promql::functions::math;
use crate::promql::functions::native;
use crate::promql::functions::native_trim::{Keep, trimmed};
use crate::promql::functions::sparse::Sparse;
use crate::promql::parse::ast::{BinaryOp, PosRange, ValueType};
use crate::promql::plan::{BinaryNode, StepGrid};
use crate::promql::value::SampleValue;

use super::context::{Context, fail};
use super::operator::{Source, distinct_steps, map};
use super::{matching, notes, scalar, set_operation};

/// Opens a binary operation that gives a vector.
pub(crate) fn open<'q>(
    node: &'q BinaryNode,
    pos: PosRange,
    grid: StepGrid,
    cx: &mut Context<'q>,
) -> Result<Source<'q>, QueryError> {
    match (node.left.value_type, node.right.value_type) {
        (ValueType::Vector, ValueType::Vector) if node.op.is_set() => set_operation::open(node, grid, cx),
        (ValueType::Vector, ValueType::Vector) => matching::open(node, pos, grid, cx),
        (ValueType::Vector, ValueType::Scalar) => open_with_scalar(node, pos, false, grid, cx),
        (ValueType::Scalar, ValueType::Vector) => open_with_scalar(node, pos, true, grid, cx),
        _ => fail("operands of this kind do not go together"),
    }
}

/// What an operator makes of two values.
#[derive(Clone, Debug)]
pub(crate) enum Outcome {
    /// A value.
    Value(SampleValue),
    /// A comparison: the left value, and whether it holds.
    Compared(SampleValue, bool),
    /// Nothing.
    Nothing,
}

/// An operator on two values, with what it has to say.
pub(crate) struct Operation {
    op: BinaryOp,
    pos: PosRange,
    arithmetic: Option<fn(f64, f64) -> f64>,
    comparison: Option<fn(f64, f64) -> bool>,
}

impl Operation {
    /// The operation of an operator that stands at `pos`.
    pub(crate) fn new(op: BinaryOp, pos: PosRange) -> Self {
        Self { op, pos, arithmetic: math::arithmetic(op), comparison: math::comparison(op) }
    }

    /// Whether the result is another metric.
    pub(crate) fn changes_metric(&self) -> bool {
        self.arithmetic.is_some()
    }

    /// On two floats.
    pub(crate) fn floats(&self, left: f64, right: f64, cx: &mut Context<'_>) -> Outcome {
        if let Some(f) = self.arithmetic {
            return Outcome::Value(SampleValue::Float(f(left, right)));
        }
        if let Some(f) = self.comparison {
            return Outcome::Compared(SampleValue::Float(left), f(left, right));
        }
        self.incompatible("float", "float", cx)
    }

    /// On any two values.
    pub(crate) fn values(&self, left: &SampleValue, right: &SampleValue, cx: &mut Context<'_>) -> Outcome {
        use SampleValue::{Float, Histogram};
        match (left, right) {
            (Float(a), Float(b)) => self.floats(*a, *b, cx),
            (Float(factor), Histogram(histogram)) => match self.op {
                BinaryOp::Mul => shared(compact(&native::scaled(histogram, *factor))),
                _ => self.incompatible("float", "histogram", cx),
            },
            (Histogram(histogram), Float(factor)) => match self.op {
                BinaryOp::Mul => shared(compact(&native::scaled(histogram, *factor))),
                BinaryOp::Div => shared(compact(&native::divided(histogram, *factor))),
                BinaryOp::TrimUpper => shared(trimmed(histogram, *factor, Keep::Below)),
                BinaryOp::TrimLower => shared(trimmed(histogram, *factor, Keep::Above)),
                _ => self.incompatible("histogram", "float", cx),
            },
            (Histogram(a), Histogram(b)) => match self.op {
                BinaryOp::Add => self.combined(a, b, 1.0, cx),
                BinaryOp::Sub => self.combined(a, b, -1.0, cx),
                BinaryOp::Equal => Outcome::Compared(left.clone(), native::equal(a, b)),
                BinaryOp::NotEqual => Outcome::Compared(left.clone(), !native::equal(a, b)),
                _ => self.incompatible("histogram", "histogram", cx),
            },
        }
    }

    /// Sum or difference of two histograms.
    fn combined(&self, a: &FloatHistogram, b: &FloatHistogram, sign: f64, cx: &mut Context<'_>) -> Outcome {
        let mut result = Sparse::of(a);
        let Some(combined) = result.add(b, sign) else {
            let op = self.op.as_str();
            let text = format!("incompatible bucket layout encountered for binary operator {op}");
            cx.annotations.warn(self.pos, text);
            return Outcome::Nothing;
        };
        let operation = if sign < 0.0 { "subtraction" } else { "addition" };
        if sign < 0.0 {
            result.set_hint(CounterResetHint::Gauge);
        }
        if combined.bounds_reconciled {
            cx.annotations.info(self.pos, notes::reconciled(operation));
        }
        if combined.hints_collide {
            cx.annotations.warn(self.pos, notes::resets_collide(operation));
        }
        shared(result.finish())
    }

    fn incompatible(&self, left: &str, right: &str, cx: &mut Context<'_>) -> Outcome {
        let op = self.op.as_str();
        let text = format!(
            "incompatible sample types encountered for binary operator \"{op}\": {left} {op} {right}"
        );
        cx.annotations.info(self.pos, text);
        Outcome::Nothing
    }
}

/// Without empty buckets.
fn compact(histogram: &FloatHistogram) -> FloatHistogram {
    Sparse::of(histogram).finish()
}

fn shared(histogram: FloatHistogram) -> Outcome {
    Outcome::Value(SampleValue::Histogram(std::sync::Arc::new(histogram)))
}

/// `bool`'s 0 and 1.
pub(crate) fn truth(holds: bool) -> SampleValue {
    SampleValue::Float(if holds { 1.0 } else { 0.0 })
}

fn open_with_scalar<'q>(
    node: &'q BinaryNode,
    pos: PosRange,
    scalar_is_left: bool,
    grid: StepGrid,
    cx: &mut Context<'q>,
) -> Result<Source<'q>, QueryError> {
    let (input, scalars) = if scalar_is_left {
        let scalars = scalar::evaluate(&node.left, grid, cx)?;
        (super::open(&node.right, grid, cx)?, scalars)
    } else {
        let input = super::open(&node.left, grid, cx)?;
        (input, scalar::evaluate(&node.right, grid, cx)?)
    };
    let operation = Operation::new(node.op, pos);
    let returns_bool = node.returns_bool;
    let renames = operation.changes_metric() || returns_bool;
    let series =
        if renames { super::operator::without_names(input.series(), cx) } else { input.series().to_vec() };
    let source = map(input, series, move |cx, row| {
        if let (Some(f), true) = (operation.arithmetic, row.histograms.is_empty()) {
            let pairs = row.values.iter_mut().zip(&scalars);
            if scalar_is_left {
                pairs.for_each(|(value, scalar)| *value = f(*scalar, *value));
            } else {
                pairs.for_each(|(value, scalar)| *value = f(*value, *scalar));
            }
            return Ok(());
        }
        for step in row.present.clone().ones() {
            let Some(value) = row.value(step) else { continue };
            let scalar = SampleValue::Float(scalars[step]);
            let (left, right) = if scalar_is_left { (&scalar, &value) } else { (&value, &scalar) };
            match operation.values(left, right, cx) {
                Outcome::Value(value) => row.set_value(step, value),
                Outcome::Compared(_, holds) if returns_bool => row.set_value(step, truth(holds)),
                Outcome::Compared(_, true) => row.set_value(step, value),
                Outcome::Compared(_, false) | Outcome::Nothing => row.unset(step),
            }
        }
        Ok(())
    });
    distinct_steps(source, grid.is_instant, cx)
}
