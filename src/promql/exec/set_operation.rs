//! `and`, `or`, `unless`: series of one side by whether the other has a match at the step.

use std::collections::HashMap;

use crate::promql::engine::QueryError;
use crate::promql::parse::ast::BinaryOp;
use crate::promql::plan::{BinaryNode, StepGrid};

use super::batch::{Batch, Bits};
use super::context::{Context, fail};
use super::labels::LabelSet;
use super::matching::Signature;
use super::operator::{Source, drain, merge_repeated, ready};

/// Opens a set operation.
pub(crate) fn open<'q>(
    node: &'q BinaryNode,
    grid: StepGrid,
    cx: &mut Context<'q>,
) -> Result<Source<'q>, QueryError> {
    let Some(matching) = &node.matching else { return fail("set operators need a matching") };
    let held = cx.samples.held;
    let left = super::open(&node.left, grid, cx)?;
    let mut left = drain(left, cx)?;
    let right = super::open(&node.right, grid, cx)?;
    let mut right = drain(right, cx)?;
    let signature = Signature::new(matching, cx);
    let mut output = match node.op {
        BinaryOp::And => {
            let present = presence(&right, &signature, grid, cx);
            restrict(&mut left, &signature, cx, |bits, key| match present.get(&key) {
                Some(other) => bits.and(other),
                None => bits.reset(grid.count),
            });
            left
        }
        BinaryOp::Unless => {
            let present = presence(&right, &signature, grid, cx);
            restrict(&mut left, &signature, cx, |bits, key| {
                if let Some(other) = present.get(&key) {
                    bits.and_not(other);
                }
            });
            left
        }
        _ => {
            let present = presence(&left, &signature, grid, cx);
            restrict(&mut right, &signature, cx, |bits, key| {
                if let Some(other) = present.get(&key) {
                    bits.and_not(other);
                }
            });
            left.series.extend(right.series);
            left.rows.extend(right.rows);
            left
        }
    };
    if !(grid.is_instant && cx.settings.delayed_name_removal) {
        output = merge_repeated(without_empty(output))?;
    }
    ready(output, held, cx)
}

fn without_empty(batch: Batch) -> Batch {
    let mut output = Batch::default();
    for (series, row) in batch.series.into_iter().zip(batch.rows) {
        if !row.present.is_empty() {
            output.push(series, row);
        }
    }
    output
}

/// The steps at which a side has a series of each signature.
fn presence(
    batch: &Batch,
    signature: &Signature,
    grid: StepGrid,
    cx: &mut Context<'_>,
) -> HashMap<LabelSet, Bits> {
    let mut present: HashMap<LabelSet, Bits> = HashMap::new();
    for (series, row) in batch.series.iter().zip(&batch.rows) {
        let key = signature.of(series.labels, cx);
        present.entry(key).or_insert_with(|| Bits::zeros(grid.count)).or(&row.present);
    }
    present
}

fn restrict(
    batch: &mut Batch,
    signature: &Signature,
    cx: &mut Context<'_>,
    change: impl Fn(&mut Bits, LabelSet),
) {
    for (series, row) in batch.series.iter().zip(&mut batch.rows) {
        let key = signature.of(series.labels, cx);
        change(&mut row.present, key);
        if !row.histograms.is_empty() {
            for step in 0..row.len() {
                if !row.present.get(step) {
                    row.histograms[step] = None;
                }
            }
        }
    }
}
