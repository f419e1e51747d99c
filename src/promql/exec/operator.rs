//! What all operators have in common, and the few shapes that many of them take.

use std::collections::HashMap;

use crate::promql::engine::QueryError;

use super::batch::{Batch, Row, Series};
use super::context::{Context, SAME_LABELS, fail};
use super::labels::LabelSet;

/// Evaluates an expression: tells its output series first, then their values, row by row.
pub(crate) trait Operator<'q> {
    /// The series that come out, in order. Rows may turn out empty.
    fn series(&self) -> &[Series];

    /// Fills the next row, one for each series in their order. `row` is reset by the operator.
    fn next(&mut self, cx: &mut Context<'q>, row: &mut Row) -> Result<(), QueryError>;
}

/// An operator, opened.
pub(crate) type Source<'q> = Box<dyn Operator<'q> + 'q>;

/// Reads all rows; empty ones are left out.
pub(crate) fn drain<'q>(mut source: Source<'q>, cx: &mut Context<'q>) -> Result<Batch, QueryError> {
    let mut batch = Batch::default();
    for series in source.series().to_vec() {
        let mut row = Row::default();
        source.next(cx, &mut row)?;
        if !row.present.is_empty() {
            batch.push(series, row);
        }
    }
    Ok(batch)
}

/// Rows that are there already.
pub(crate) struct Ready {
    series: Vec<Series>,
    rows: std::vec::IntoIter<Row>,
}

impl<'q> Operator<'q> for Ready {
    fn series(&self) -> &[Series] {
        &self.series
    }

    fn next(&mut self, _: &mut Context<'q>, row: &mut Row) -> Result<(), QueryError> {
        *row = self.rows.next().expect("as many rows as series");
        Ok(())
    }
}

/// An operator that gives out a batch. `held_before`: samples held before its inputs were opened; of what was
/// counted since then, only the batch stays.
pub(crate) fn ready<'q>(
    batch: Batch,
    held_before: u64,
    cx: &mut Context<'q>,
) -> Result<Source<'q>, QueryError> {
    cx.samples.held = held_before;
    cx.hold(batch.sample_count())?;
    Ok(Box::new(Ready { series: batch.series, rows: batch.rows.into_iter() }))
}

/// Changes rows one by one.
pub(crate) struct Map<'q, F> {
    input: Source<'q>,
    series: Vec<Series>,
    change: F,
}

impl<'q, F> Operator<'q> for Map<'q, F>
where
    F: FnMut(&mut Context<'q>, &mut Row) -> Result<(), QueryError>,
{
    fn series(&self) -> &[Series] {
        &self.series
    }

    fn next(&mut self, cx: &mut Context<'q>, row: &mut Row) -> Result<(), QueryError> {
        self.input.next(cx, row)?;
        (self.change)(cx, row)
    }
}

/// An operator that gives other labels to its input's series and changes its rows.
pub(crate) fn map<'q>(
    input: Source<'q>,
    series: Vec<Series>,
    change: impl FnMut(&mut Context<'q>, &mut Row) -> Result<(), QueryError> + 'q,
) -> Source<'q> {
    assert_eq!(series.len(), input.series().len(), "a series for each row");
    Box::new(Map { input, series, change })
}

/// The series after a computation that makes the metric another one.
pub(crate) fn without_names(series: &[Series], cx: &mut Context<'_>) -> Vec<Series> {
    let delayed = cx.settings.delayed_name_removal;
    series
        .iter()
        .map(|series| Series {
            labels: if delayed { series.labels } else { cx.labels.without_metadata(series.labels) },
            drop_name: true,
        })
        .collect()
}

/// What happens to series that cannot be told apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Repeated {
    /// They become one; an error where two have a value at one step.
    Merge,
    /// An error where two have any value.
    Refuse,
}

fn has_repeated(series: &[Series]) -> bool {
    let mut labels: Vec<LabelSet> = series.iter().map(|series| series.labels).collect();
    labels.sort_unstable();
    labels.windows(2).any(|pair| pair[0] == pair[1])
}

/// The input with its repeated series merged, or refused. Reads it only where some are repeated.
pub(crate) fn distinct<'q>(
    source: Source<'q>,
    rule: Repeated,
    cx: &mut Context<'q>,
) -> Result<Source<'q>, QueryError> {
    if !has_repeated(source.series()) {
        return Ok(source);
    }
    let held = cx.samples.held;
    let batch = drain(source, cx)?;
    if rule == Repeated::Refuse && has_repeated(&batch.series) {
        return fail(SAME_LABELS);
    }
    ready(merge_repeated(batch)?, held, cx)
}

/// As [`distinct`] for the result of a function of vectors: instants keep repeated series while names are
/// dropped late, since then they may differ in their names.
pub(crate) fn distinct_steps<'q>(
    source: Source<'q>,
    is_instant: bool,
    cx: &mut Context<'q>,
) -> Result<Source<'q>, QueryError> {
    if is_instant && cx.settings.delayed_name_removal {
        return Ok(source);
    }
    distinct(source, Repeated::Merge, cx)
}

/// Rows of series with the same labels become one row.
pub(crate) fn merge_repeated(batch: Batch) -> Result<Batch, QueryError> {
    if !has_repeated(&batch.series) {
        return Ok(batch);
    }
    let mut merged = Batch::default();
    let mut places: HashMap<LabelSet, usize> = HashMap::new();
    for (series, row) in batch.series.into_iter().zip(batch.rows) {
        match places.get(&series.labels) {
            Some(place) => merge_row(&mut merged.rows[*place], &row)?,
            None => {
                places.insert(series.labels, merged.rows.len());
                merged.push(series, row);
            }
        }
    }
    Ok(merged)
}

fn merge_row(into: &mut Row, from: &Row) -> Result<(), QueryError> {
    if into.present.intersects(&from.present) {
        return fail(SAME_LABELS);
    }
    for step in from.present.ones() {
        if let Some(value) = from.value(step) {
            into.set_value(step, value);
        }
    }
    Ok(())
}
