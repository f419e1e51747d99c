//! `absent` and `absent_over_time`: one series where there is none.

use crate::model::{LabelsBuilder, METRIC_NAME, MatchOp, Matcher};
use crate::promql::engine::QueryError;
use crate::promql::plan::{CallNode, Node, NodeKind, StepGrid};

use super::batch::{Batch, Bits, Row, Series};
use super::context::Context;
use super::labels::LabelSet;
use super::operator::{Source, ready};
use super::range_function;

/// Opens `absent`.
pub(crate) fn open<'q>(
    call: &'q CallNode,
    grid: StepGrid,
    cx: &mut Context<'q>,
) -> Result<Source<'q>, QueryError> {
    let held = cx.samples.held;
    let input = super::open(&call.args[0], grid, cx)?;
    complement(input, &call.args[0], false, grid, held, cx)
}

/// Opens `absent_over_time`.
pub(crate) fn open_over_time<'q>(
    call: &'q CallNode,
    grid: StepGrid,
    cx: &mut Context<'q>,
) -> Result<Source<'q>, QueryError> {
    let held = cx.samples.held;
    let input = range_function::open(call, grid, cx)?;
    complement(input, &call.args[0], true, grid, held, cx)
}

/// 1 at the steps where no series has a value.
fn complement<'q>(
    mut input: Source<'q>,
    arg: &Node,
    drop_name: bool,
    grid: StepGrid,
    held: u64,
    cx: &mut Context<'q>,
) -> Result<Source<'q>, QueryError> {
    let mut present = Bits::zeros(grid.count);
    let mut row = Row::default();
    for _ in 0..input.series().len() {
        input.next(cx, &mut row)?;
        present.or(&row.present);
    }
    let mut absent = Row::empty(grid.count);
    for step in (0..grid.count).filter(|step| !present.get(*step)) {
        absent.set(step, 1.0);
    }
    let mut output = Batch::default();
    if !absent.present.is_empty() {
        output.push(Series { labels: labels_of(arg, cx), drop_name }, absent);
    }
    ready(output, held, cx)
}

/// The labels that a missing series would surely have.
fn labels_of(arg: &Node, cx: &mut Context<'_>) -> LabelSet {
    let matchers: &[Matcher] = match &arg.unwrapped().kind {
        NodeKind::Selector(selector) => &selector.matchers,
        NodeKind::Range(range) => &range.selector.matchers,
        _ => return LabelSet::EMPTY,
    };
    let mut labels = LabelsBuilder::default();
    let mut seen: Vec<&str> = Vec::new();
    for matcher in matchers.iter().filter(|matcher| matcher.name != METRIC_NAME) {
        if matcher.op == MatchOp::Equal && !seen.contains(&matcher.name.as_str()) {
            labels.set(&matcher.name, &matcher.value);
            seen.push(&matcher.name);
        } else {
            labels.remove(&matcher.name);
        }
    }
    match labels.build() {
        Ok(labels) => cx.labels.intern_labels(&labels),
        Err(_) => LabelSet::EMPTY,
    }
}
