//! The result: names that were kept until now go, ids become texts, and series are ordered by their labels, unless an
//! instant query made an order of its own.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use crate::promql::engine::QueryError;
use crate::promql::parse::ast::ValueType;
use crate::promql::plan::{Node, StepGrid};
use crate::promql::value::{MatrixSeries, QueryValue, SampleValue, VectorSample};

use super::batch::{Batch, Row, Series};
use super::context::{Context, SAME_LABELS, fail};
use super::matrix::{MatrixRow, from_row};
use super::operator::{drain, merge_repeated};
use super::{matrix, scalar};

/// Evaluates a planned query over a grid. Also tells how long the ordering took.
pub(crate) fn evaluate<'q>(
    node: &'q Node,
    grid: StepGrid,
    as_range: bool,
    cx: &mut Context<'q>,
) -> Result<(QueryValue, Duration), QueryError> {
    let value = match node.value_type {
        ValueType::String => QueryValue::String { t: grid.start, v: node.text().to_vec() },
        ValueType::Scalar if !as_range => {
            let values = scalar::evaluate(node, grid, cx)?;
            QueryValue::Scalar { t: grid.start, v: values.first().copied().unwrap_or(f64::NAN) }
        }
        ValueType::Matrix => {
            let rows = matrix::evaluate(node, grid, cx)?;
            return finish_matrix(named_matrix(rows, cx)?, cx);
        }
        ValueType::Scalar | ValueType::Vector => {
            let source = super::open(node, grid, cx)?;
            let batch = named(drain(source, cx)?, cx)?;
            if as_range {
                let rows =
                    batch.series.iter().zip(&batch.rows).map(|(series, row)| from_row(*series, row, &grid));
                return finish_matrix(rows.collect(), cx);
            }
            return Ok(finish_vector(vector(&batch, grid, cx), node.has_own_order()));
        }
    };
    Ok((value, Duration::ZERO))
}

/// Drops the names that were to be dropped late.
fn named(batch: Batch, cx: &mut Context<'_>) -> Result<Batch, QueryError> {
    if !cx.settings.delayed_name_removal {
        return Ok(batch);
    }
    let series = batch.series.iter().map(|series| renamed(*series, cx)).collect();
    merge_repeated(Batch { series, rows: batch.rows })
}

fn renamed(series: Series, cx: &mut Context<'_>) -> Series {
    let labels = if series.drop_name { cx.labels.without_metadata(series.labels) } else { series.labels };
    Series { labels, drop_name: series.drop_name }
}

/// The same for rows of samples.
fn named_matrix(rows: Vec<MatrixRow>, cx: &mut Context<'_>) -> Result<Vec<MatrixRow>, QueryError> {
    if !cx.settings.delayed_name_removal {
        return Ok(rows);
    }
    let mut merged: Vec<MatrixRow> = Vec::with_capacity(rows.len());
    let mut places = HashMap::with_capacity(rows.len());
    for row in rows {
        let row = MatrixRow { series: renamed(row.series, cx), ..row };
        let place = *places.entry(row.series.labels).or_insert(merged.len());
        match merged.get_mut(place) {
            None => merged.push(row),
            Some(known) => {
                known.floats.extend(row.floats);
                known.histograms.extend(row.histograms);
                known.floats.sort_by_key(|(t, _)| *t);
                known.histograms.sort_by_key(|(t, _)| *t);
                let repeated = known.floats.windows(2).any(|pair| pair[0].0 == pair[1].0)
                    || known.histograms.windows(2).any(|pair| pair[0].0 == pair[1].0);
                if repeated {
                    return fail(SAME_LABELS);
                }
            }
        }
    }
    Ok(merged)
}

fn vector(batch: &Batch, grid: StepGrid, cx: &Context<'_>) -> Vec<VectorSample> {
    let value = |row: &Row| -> Option<SampleValue> { if row.len() == 0 { None } else { row.value(0) } };
    batch
        .series
        .iter()
        .zip(&batch.rows)
        .filter_map(|(series, row)| {
            let labels = cx.labels.labels(series.labels);
            value(row).map(|value| VectorSample { labels, t: grid.start, value })
        })
        .collect()
}

/// Orders an instant's samples. A store's own order means nothing to a reader, and `limit` should always cut the same.
fn finish_vector(mut samples: Vec<VectorSample>, has_own_order: bool) -> (QueryValue, Duration) {
    let started = Instant::now();
    if !has_own_order {
        samples.sort_by(|a, b| a.labels.cmp(&b.labels));
    }
    (QueryValue::Vector(samples), started.elapsed())
}

fn finish_matrix(rows: Vec<MatrixRow>, cx: &Context<'_>) -> Result<(QueryValue, Duration), QueryError> {
    let mut series: Vec<MatrixSeries> = rows
        .into_iter()
        .map(|row| MatrixSeries {
            labels: cx.labels.labels(row.series.labels),
            floats: row.floats,
            histograms: row.histograms,
        })
        .collect();
    let started = Instant::now();
    series.sort_by(|a, b| a.labels.cmp(&b.labels));
    Ok((QueryValue::Matrix(series), started.elapsed()))
}
