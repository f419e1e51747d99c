//! Evaluates planned trees. One operator per file: it first tells its output series, described by label ids, then
//! fills values series by series over all steps. An instant query is a range of one step.
//!
//! Promises: the same input gives the same bits; a row costs one check for timeout and cancellation; failure is a
//! `Result`. Leaves texts of labels and annotations to the engine, which makes them once at the end.

mod absent;
mod aggregate;
mod aggregate_k;
mod batch;
mod binary;
mod call;
mod classic_histogram;
mod context;
mod count_values;
mod info;
mod label_function;
mod labels;
mod matching;
mod matrix;
mod notes;
mod operator;
mod output;
mod range_function;
mod scalar;
mod selector;
mod set_operation;
mod smoothed;
mod sort;
mod step_invariant;
mod windows;

use crate::promql::engine::QueryError;
use crate::promql::parse::ast::{AggregateOp, ValueType};
use crate::promql::plan::{Node, NodeKind, StepGrid};

pub(crate) use context::{Context, SampleCounts, Settings};
pub(crate) use labels::LabelSets;
pub(crate) use output::evaluate;

use operator::{Source, distinct, map, without_names};

/// Opens the operator of a vector expression. A scalar becomes one series without labels.
fn open<'q>(node: &'q Node, grid: StepGrid, cx: &mut Context<'q>) -> Result<Source<'q>, QueryError> {
    cx.check()?;
    if node.value_type == ValueType::Scalar {
        return call::scalar_series(node, grid, cx);
    }
    match &node.kind {
        NodeKind::Selector(selector) => selector::open(selector, node.pos, grid, cx),
        NodeKind::StepInvariant(inner) => step_invariant::open(inner, grid, cx),
        NodeKind::Negate(inner) => open_negate(inner, grid, cx),
        NodeKind::Binary(binary) => binary::open(binary, node.pos, grid, cx),
        NodeKind::Aggregate(aggregate) => match aggregate.op {
            AggregateOp::CountValues => count_values::open(aggregate, grid, cx),
            AggregateOp::Topk | AggregateOp::Bottomk | AggregateOp::Limitk | AggregateOp::LimitRatio => {
                aggregate_k::open(aggregate, node.pos, grid, cx)
            }
            _ => aggregate::open(aggregate, grid, cx),
        },
        NodeKind::Call(call) => call::open(call, node.pos, grid, cx),
        NodeKind::Number(_) | NodeKind::Text(_) | NodeKind::Range(_) | NodeKind::Subquery(_) => {
            context::fail("an instant vector is needed here")
        }
    }
}

fn open_negate<'q>(inner: &'q Node, grid: StepGrid, cx: &mut Context<'q>) -> Result<Source<'q>, QueryError> {
    let input = open(inner, grid, cx)?;
    let series = without_names(input.series(), cx);
    let source = map(input, series, |_, row| {
        row.values.iter_mut().for_each(|value| *value = -*value);
        for histogram in row.histograms.iter_mut().flatten() {
            *histogram = std::sync::Arc::new(crate::promql::functions::native::scaled(histogram, -1.0));
        }
        Ok(())
    });
    if cx.settings.delayed_name_removal {
        return Ok(source);
    }
    distinct(source, operator::Repeated::Merge, cx)
}
