//! Instant selectors: the newest sample within the lookback, per series and step.

use std::ops::Range;
use std::sync::Arc;

use crate::model::{FloatHistogram, Histogram, TimeSpan, Timestamp, is_stale};
use crate::promql::engine::QueryError;
use crate::promql::functions::reset::{ResetView, hint_of};
use crate::promql::parse::ast::{PosRange, RangeExtension};
use crate::promql::plan::{SelectorNode, StepGrid};
use crate::storage::{Columns, ColumnsRow, LabelsNeeded, SelectRequest, Selection};

use super::batch::{Row, Series};
use super::context::Context;
use super::operator::{Operator, Source};

/// Rows that are read from storage at a time.
const ROWS_PER_READ: usize = 16;

/// What a row shows of the samples that it finds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Shown {
    /// The sample.
    Value,
    /// When it was taken, in seconds.
    Timestamp,
    /// Its start timestamp, in seconds.
    StartTimestamp,
    /// When it was taken, in milliseconds.
    Milliseconds,
}

/// The rows of a selection, read some at a time.
pub(crate) struct StoredRows {
    selection: Selection,
    has_all_labels: bool,
    view: ResetView,
    columns: Columns,
    buffered: Range<usize>,
    next: usize,
}

impl StoredRows {
    /// Selects; `span` empty selects nothing.
    pub(crate) fn select(
        node: &SelectorNode,
        span: TimeSpan,
        cx: &mut Context<'_>,
    ) -> Result<Self, QueryError> {
        let mut selection = Self::selected(node, span, node.labels_needed.clone(), cx)?;
        let mut has_all_labels = node.labels_needed == LabelsNeeded::All;
        let is_ambiguous = |row| selection.pairs(row).iter().any(|pair| cx.labels.is_type_or_unit(pair.name));
        if !has_all_labels && (0..selection.len()).any(is_ambiguous) {
            // Series may be the same without their types and units; only whole label sets tell.
            selection = Self::selected(node, span, LabelsNeeded::All, cx)?;
            has_all_labels = true;
        }
        let view = if node.statistics_only { ResetView::Statistics } else { ResetView::Storage };
        Ok(Self { selection, has_all_labels, view, columns: Columns::default(), buffered: 0..0, next: 0 })
    }

    /// How its readers see resets between native histograms.
    pub(crate) fn view(&self) -> ResetView {
        self.view
    }

    fn selected(
        node: &SelectorNode,
        span: TimeSpan,
        labels_needed: LabelsNeeded,
        cx: &mut Context<'_>,
    ) -> Result<Selection, QueryError> {
        let request = SelectRequest { labels_needed, ..SelectRequest::samples(&node.matchers, span) };
        cx.store
            .select(cx.tenant, &request, &mut cx.labels.symbols)
            .map_err(|error| QueryError::Storage(format!("expanding series: {error}")))
    }

    /// Whether the series have all their labels. Where they have not, they differ although they may look the same.
    pub(crate) fn has_all_labels(&self) -> bool {
        self.has_all_labels
    }

    /// The series, in the selection's order.
    pub(crate) fn series(&self, cx: &mut Context<'_>) -> Vec<Series> {
        (0..self.selection.len())
            .map(|row| Series::new(cx.labels.intern(self.selection.pairs(row))))
            .collect()
    }

    /// The samples of the next row.
    pub(crate) fn next(&mut self) -> Result<ColumnsRow<'_>, QueryError> {
        let row = self.next;
        self.next += 1;
        if !self.buffered.contains(&row) {
            self.buffered = row..(row + ROWS_PER_READ).min(self.selection.len());
            self.columns.clear();
            self.selection
                .read(self.buffered.clone(), &mut self.columns)
                .map_err(|error| QueryError::Storage(error.to_string()))?;
        }
        Ok(self.columns.row(row - self.buffered.start))
    }
}

struct InstantSelector {
    rows: StoredRows,
    series: Vec<Series>,
    grid: StepGrid,
    node_time: crate::promql::plan::ReferenceTime,
    shown: Shown,
}

/// Opens an instant selector.
pub(crate) fn open<'q>(
    node: &SelectorNode,
    pos: PosRange,
    grid: StepGrid,
    cx: &mut Context<'q>,
) -> Result<Source<'q>, QueryError> {
    if node.extension == RangeExtension::Smoothed {
        return super::smoothed::open(node, pos, grid, cx);
    }
    open_shown(node, grid, Shown::Value, cx)
}

/// Opens an instant selector that shows something else of its samples.
pub(crate) fn open_shown<'q>(
    node: &SelectorNode,
    grid: StepGrid,
    shown: Shown,
    cx: &mut Context<'q>,
) -> Result<Source<'q>, QueryError> {
    let (first, last) = node.time.bounds(&grid);
    let start = first.saturating_sub(cx.settings.lookback_ms).saturating_add(1);
    let span = if grid.count == 0 { TimeSpan::new(0, -1) } else { TimeSpan::new(start, last) };
    let rows = StoredRows::select(node, span, cx)?;
    let series = rows.series(cx);
    Ok(Box::new(InstantSelector { rows, series, grid, node_time: node.time, shown }))
}

impl<'q> Operator<'q> for InstantSelector {
    fn series(&self) -> &[Series] {
        &self.series
    }

    fn next(&mut self, cx: &mut Context<'q>, row: &mut Row) -> Result<(), QueryError> {
        cx.check()?;
        row.reset(self.grid.count);
        let view = self.rows.view();
        let samples = self.rows.next()?;
        let mut histogram_last: Option<(usize, super::batch::SharedHistogram)> = None;
        let mut place = 0;
        for step in 0..self.grid.count {
            let reference = self.node_time.of(self.grid.time(step));
            place = advance(samples.timestamps, place, reference);
            let Some(at) = newest(&samples, place, reference.saturating_sub(cx.settings.lookback_ms)) else {
                continue;
            };
            match (self.shown, samples.histograms.get(at).and_then(Option::as_ref)) {
                (Shown::Value, Some(histogram)) => {
                    let shared = match histogram_last.take() {
                        Some((known, shared)) if known == at => shared,
                        _ => Arc::new(read_histogram(&samples, at, histogram, view)),
                    };
                    row.set_histogram(step, Arc::clone(&shared));
                    histogram_last = Some((at, shared));
                }
                (Shown::Value, None) => row.set(step, samples.values[at]),
                (Shown::Timestamp, _) => row.set(step, samples.timestamps[at] as f64 / 1000.0),
                (Shown::Milliseconds, _) => row.set(step, samples.timestamps[at] as f64),
                (Shown::StartTimestamp, _) => {
                    let start = samples.start_timestamps.get(at).copied().unwrap_or(0);
                    row.set(step, start as f64 / 1000.0);
                }
            }
        }
        count(row, &self.grid, cx)
    }
}

/// The histogram at `at` of a row, with what is known of a reset before it.
pub(crate) fn read_histogram(
    row: &ColumnsRow<'_>,
    at: usize,
    histogram: &Histogram,
    view: ResetView,
) -> FloatHistogram {
    let before = at.checked_sub(1).and_then(|before| row.histograms[before].as_deref());
    let counter_reset_hint = hint_of(histogram, before, view);
    FloatHistogram { counter_reset_hint, ..histogram.to_float() }
}

/// Counts what a selector found.
pub(crate) fn count(row: &Row, grid: &StepGrid, cx: &mut Context<'_>) -> Result<(), QueryError> {
    let found = row.sample_count();
    if cx.samples.per_step.is_some() {
        for step in row.present.ones() {
            cx.looked_at(grid.time(step), 1);
        }
    } else {
        cx.samples.total += found;
    }
    cx.samples.read += found;
    cx.hold(found)
}

/// How many of `timestamps` are at most `t`, searched from `from` on, which must not be too far.
pub(crate) fn advance(timestamps: &[Timestamp], from: usize, t: Timestamp) -> usize {
    const LINEAR_STEPS: usize = 8;
    let rest = &timestamps[from..];
    for (index, timestamp) in rest.iter().take(LINEAR_STEPS).enumerate() {
        if *timestamp > t {
            return from + index;
        }
    }
    from + rest.partition_point(|timestamp| *timestamp <= t)
}

/// The place of the newest of the first `place` samples, if it is after `oldest` and not a stale marker.
fn newest(samples: &ColumnsRow<'_>, place: usize, oldest: Timestamp) -> Option<usize> {
    let at = place.checked_sub(1)?;
    if samples.timestamps[at] <= oldest {
        return None;
    }
    let stale = match samples.histograms.get(at).and_then(Option::as_ref) {
        Some(histogram) => is_stale(histogram.sum),
        None => is_stale(samples.values[at]),
    };
    (!stale).then_some(at)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::stale_nan;

    #[test]
    fn lookback_is_open_on_the_left_and_ends_at_stale_markers() {
        let timestamps = [0, 10, 20, 30];
        let values = [1.0, 2.0, stale_nan(), 4.0];
        let row =
            ColumnsRow { timestamps: &timestamps, values: &values, histograms: &[], start_timestamps: &[] };
        let found = |t: Timestamp| newest(&row, advance(&timestamps, 0, t), t - 10);
        assert_eq!(found(-1), None);
        assert_eq!(found(0), Some(0));
        assert_eq!(found(9), Some(0));
        assert_eq!(found(10), Some(1));
        assert_eq!(found(25), None, "stale");
        assert_eq!(found(39), Some(3));
        assert_eq!(found(40), None, "exactly one lookback ago");
    }

    #[test]
    fn advancing_far_and_near_agree() {
        let timestamps: Vec<Timestamp> = (0..100).map(|i| i * 10).collect();
        for from in [0, 5, 50] {
            for t in [-1, 0, 555, 990, 2000] {
                let expected = timestamps.iter().filter(|x| **x <= t).count().max(from);
                assert_eq!(advance(&timestamps, from, t), expected, "{from} {t}");
            }
        }
    }
}
