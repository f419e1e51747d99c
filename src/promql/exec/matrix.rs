//! Range selectors and subqueries as results of their own: the samples of one instant's window.

use crate::model::Timestamp;
use crate::promql::engine::QueryError;
use crate::promql::functions::extended::with_edges;
use crate::promql::parse::ast::RangeExtension;
use crate::promql::plan::{Node, NodeKind, StepGrid};

use super::batch::{Series, SharedHistogram};
use super::context::{Context, fail};
use super::operator::drain;
use super::windows::{Samples, WindowRows};

/// One series of a matrix.
pub(crate) struct MatrixRow {
    /// Its series.
    pub(crate) series: Series,
    /// Floats.
    pub(crate) floats: Vec<(Timestamp, f64)>,
    /// Histograms.
    pub(crate) histograms: Vec<(Timestamp, SharedHistogram)>,
}

/// Evaluates a range selector or a subquery at one instant.
pub(crate) fn evaluate<'q>(
    node: &'q Node,
    grid: StepGrid,
    cx: &mut Context<'q>,
) -> Result<Vec<MatrixRow>, QueryError> {
    match &node.unwrapped().kind {
        NodeKind::Subquery(subquery) => {
            let inner = subquery.inner_grid(&grid, cx.settings.subquery_step_ms);
            cx.check_steps(&inner)?;
            let source = super::open(&subquery.expr, inner, cx)?;
            let batch = drain(source, cx)?;
            Ok(batch
                .series
                .iter()
                .zip(&batch.rows)
                .map(|(series, row)| from_row(*series, row, &inner))
                .collect())
        }
        _ => evaluate_selector(node, grid, cx),
    }
}

/// A row's values with their times.
pub(crate) fn from_row(series: Series, row: &super::batch::Row, grid: &StepGrid) -> MatrixRow {
    let mut matrix = MatrixRow { series, floats: Vec::new(), histograms: Vec::new() };
    for step in row.present.ones() {
        match row.histogram(step) {
            Some(histogram) => matrix.histograms.push((grid.time(step), std::sync::Arc::clone(histogram))),
            None => matrix.floats.push((grid.time(step), row.values[step])),
        }
    }
    matrix
}

fn evaluate_selector<'q>(
    node: &'q Node,
    grid: StepGrid,
    cx: &mut Context<'q>,
) -> Result<Vec<MatrixRow>, QueryError> {
    let Some(mut rows) = WindowRows::open(node, grid, false, cx)? else {
        return fail("a range is needed here");
    };
    let mut samples = Samples::default();
    let mut matrix = Vec::new();
    for series in rows.series.clone() {
        rows.next(cx, &mut samples)?;
        let extension = rows.shape.extension;
        rows.shape.visit(&samples, |_, window| {
            let floats = match extension {
                RangeExtension::None => {
                    window.float_times.iter().copied().zip(window.floats.iter().copied()).collect()
                }
                RangeExtension::Anchored | RangeExtension::Smoothed if !window.histograms.is_empty() => {
                    let word = if extension == RangeExtension::Anchored { "anchored" } else { "smoothed" };
                    return fail(format!("{word} modifier is not supported with histograms"));
                }
                RangeExtension::Anchored => with_edges(window, false),
                RangeExtension::Smoothed => with_edges(window, true),
            };
            let histograms =
                window.histogram_times.iter().copied().zip(window.histograms.iter().cloned()).collect();
            matrix.push(MatrixRow { series, floats, histograms });
            Ok(())
        })?;
        let found = samples.len();
        cx.samples.read += found;
        cx.looked_at(grid.start, found);
        cx.hold(found)?;
    }
    matrix.retain(|row| !row.floats.is_empty() || !row.histograms.is_empty());
    Ok(matrix)
}
