//! `count_values`: how many series of a group have each value.

use std::collections::HashMap;

use crate::model::{GoQuoted, format_float, is_valid_label_name};
use crate::promql::engine::QueryError;
use crate::promql::plan::{AggregateNode, StepGrid};
use crate::storage::Symbol;

use super::aggregate::Grouping;
use super::batch::{Batch, Row, Series};
use super::context::{Context, fail};
use super::labels::LabelSet;
use super::operator::{Source, ready};

/// Opens `count_values` and computes it.
pub(crate) fn open<'q>(
    node: &'q AggregateNode,
    grid: StepGrid,
    cx: &mut Context<'q>,
) -> Result<Source<'q>, QueryError> {
    let held = cx.samples.held;
    let name = node.param.as_ref().map(|param| param.text()).unwrap_or_default();
    let label = match std::str::from_utf8(name) {
        Ok(label) if is_valid_label_name(label) => cx.labels.symbols.intern(label),
        _ => return fail(format!("invalid label name {}", GoQuoted(name))),
    };
    let grouping = Grouping::new(node, Some(label), cx);
    let mut input = super::open(&node.expr, grid, cx)?;
    let mut output = Batch::default();
    let mut places: HashMap<LabelSet, usize> = HashMap::new();
    let mut texts: HashMap<u64, Symbol> = HashMap::new();
    let mut row = Row::default();
    for series in input.series().to_vec() {
        let before = cx.samples.held;
        input.next(cx, &mut row)?;
        let mut known: HashMap<Symbol, usize> = HashMap::new();
        for step in row.present.ones() {
            let text = match row.histogram(step) {
                Some(histogram) => {
                    cx.labels.symbols.intern(&crate::promql::functions::native::text(histogram))
                }
                None => {
                    let value = row.values[step];
                    let symbols = &mut cx.labels.symbols;
                    *texts.entry(value.to_bits()).or_insert_with(|| symbols.intern(&format_float(value)))
                }
            };
            let place = *known.entry(text).or_insert_with(|| {
                let labels = cx.labels.with(series.labels, label, text);
                let group = grouping.of(labels, cx);
                *places.entry(group).or_insert_with(|| {
                    output.push(Series::new(group), Row::empty(grid.count));
                    output.rows.len() - 1
                })
            });
            let counts = &mut output.rows[place];
            let count = if counts.present.get(step) { counts.values[step] } else { 0.0 };
            counts.set(step, count + 1.0);
        }
        cx.samples.held = before;
    }
    ready(output, held, cx)
}
