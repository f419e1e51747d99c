//! Windows of samples: the rows of range selectors and subqueries, and what each step sees of them.

use std::sync::Arc;

use crate::model::{CounterResetHint, FloatHistogram, TimeSpan, Timestamp, is_stale};
use crate::promql::engine::QueryError;
use crate::promql::functions::reset::ResetView;
use crate::promql::functions::{Falls, Window};
use crate::promql::parse::ast::RangeExtension;
use crate::promql::plan::{Node, NodeKind, RangeNode, ReferenceTime, StepGrid, SubqueryNode};
use crate::storage::ColumnsRow;

use super::batch::{Row, Series, SharedHistogram, histogram_samples};
use super::context::Context;
use super::operator::Source;
use super::selector::{StoredRows, advance, read_histogram};

/// All samples of one series that windows may see; no stale markers. Floats and histograms apart.
#[derive(Debug, Default)]
pub(crate) struct Samples {
    /// Times of floats.
    pub(crate) float_times: Vec<Timestamp>,
    /// Floats.
    pub(crate) floats: Vec<f64>,
    /// Start timestamps of floats: empty, or one each.
    pub(crate) float_starts: Vec<Timestamp>,
    /// Places of floats below the one before, rising; found when a row is filled. `None` where nobody asks for them.
    falls: Option<Vec<usize>>,
    /// Times of histograms.
    pub(crate) histogram_times: Vec<Timestamp>,
    /// Histograms.
    pub(crate) histograms: Vec<SharedHistogram>,
    /// Start timestamps of histograms: empty, or one each.
    pub(crate) histogram_starts: Vec<Timestamp>,
}

impl Samples {
    /// Of counters, whose resets are asked for.
    pub(crate) fn with_falls() -> Self {
        Self { falls: Some(Vec::new()), ..Self::default() }
    }

    /// Their size, as limits count.
    pub(crate) fn len(&self) -> u64 {
        self.floats.len() as u64 + self.histograms.iter().map(|h| histogram_samples(h)).sum::<u64>()
    }

    fn clear(&mut self) {
        self.float_times.clear();
        self.floats.clear();
        self.float_starts.clear();
        self.histogram_times.clear();
        self.histograms.clear();
        self.histogram_starts.clear();
    }

    fn fill_stored(&mut self, row: &ColumnsRow<'_>, with_starts: bool, view: ResetView) {
        self.clear();
        let starts = if with_starts { row.start_timestamps } else { &[] };
        if row.histograms.is_empty() && !row.values.iter().copied().any(is_stale) {
            self.float_times.extend_from_slice(row.timestamps);
            self.floats.extend_from_slice(row.values);
            self.float_starts.extend_from_slice(starts);
            self.find_falls();
            return;
        }
        for (at, t) in row.timestamps.iter().enumerate() {
            let start = starts.get(at).copied();
            match row.histograms.get(at).and_then(Option::as_ref) {
                Some(histogram) if !is_stale(histogram.sum) => {
                    self.histogram_times.push(*t);
                    self.histograms.push(Arc::new(read_histogram(row, at, histogram, view)));
                    self.histogram_starts.extend(start);
                }
                None if !is_stale(row.values[at]) => {
                    self.float_times.push(*t);
                    self.floats.push(row.values[at]);
                    self.float_starts.extend(start);
                }
                _ => {}
            }
        }
        self.find_falls();
    }

    fn find_falls(&mut self) {
        let Some(falls) = &mut self.falls else { return };
        falls.clear();
        let pairs = self.floats.windows(2).zip(1..);
        falls.extend(pairs.filter(|(pair, _)| pair[1] < pair[0]).map(|(_, place)| place));
    }

    fn fill_computed(&mut self, row: &Row, grid: &StepGrid) {
        self.clear();
        for step in row.present.ones() {
            match row.histogram(step) {
                Some(histogram) => {
                    self.histogram_times.push(grid.time(step));
                    self.histograms.push(without_hint(histogram));
                }
                None => {
                    self.float_times.push(grid.time(step));
                    self.floats.push(row.values[step]);
                }
            }
        }
        self.find_falls();
    }

    /// What lies after `after` up to `end`, for a window that is said to be (`start`, `end`].
    fn window(&self, places: &Places, times: WindowTimes) -> Window<'_> {
        let (f, h) = (&places.floats, &places.histograms);
        let part = |starts: &'_ [Timestamp], range: &std::ops::Range<usize>| {
            if starts.is_empty() { 0..0 } else { range.clone() }
        };
        Window {
            start: times.start,
            end: times.end,
            eval_time: times.eval,
            float_times: &self.float_times[f.clone()],
            floats: &self.floats[f.clone()],
            float_starts: &self.float_starts[part(&self.float_starts, f)],
            falls: self
                .falls
                .as_ref()
                .map(|falls| Falls { places: &falls[places.falls.clone()], first: f.start }),
            histogram_times: &self.histogram_times[h.clone()],
            histograms: &self.histograms[h.clone()],
            histogram_starts: &self.histogram_starts[part(&self.histogram_starts, h)],
        }
    }
}

/// A subquery may repeat or skip samples, so what storage said of resets does not hold for its results.
fn without_hint(histogram: &SharedHistogram) -> SharedHistogram {
    match histogram.counter_reset_hint {
        CounterResetHint::Reset | CounterResetHint::NotReset => Arc::new(FloatHistogram {
            counter_reset_hint: CounterResetHint::Unknown,
            ..FloatHistogram::clone(histogram)
        }),
        CounterResetHint::Unknown | CounterResetHint::Gauge => Arc::clone(histogram),
    }
}

struct Places {
    floats: std::ops::Range<usize>,
    falls: std::ops::Range<usize>,
    histograms: std::ops::Range<usize>,
}

impl Places {
    /// Moves on to the falls of the window's floats; windows only move on.
    fn move_falls(&mut self, falls: &[usize]) {
        let ahead = |from: usize, end: usize| falls[from..].iter().take_while(|place| **place < end).count();
        self.falls.start += ahead(self.falls.start, self.floats.start);
        self.falls.end = self.falls.end.max(self.falls.start);
        self.falls.end += ahead(self.falls.end, self.floats.end);
    }
}

#[derive(Clone, Copy)]
struct WindowTimes {
    start: Timestamp,
    end: Timestamp,
    eval: Timestamp,
}

/// Which samples the window of each step holds.
#[derive(Clone, Copy, Debug)]
pub(crate) struct WindowShape {
    /// The outer grid.
    pub(crate) grid: StepGrid,
    /// `@` and `offset`.
    pub(crate) time: ReferenceTime,
    /// Width.
    pub(crate) range_ms: i64,
    /// How much further back samples are seen.
    before_ms: i64,
    /// How much further ahead samples are seen.
    after_ms: i64,
    /// Whether the edges are special.
    pub(crate) extension: RangeExtension,
}

impl WindowShape {
    fn of_range(node: &RangeNode, grid: StepGrid, lookback_ms: i64) -> Self {
        let extension = node.selector.extension;
        let (before_ms, after_ms) = match extension {
            RangeExtension::None => (0, 0),
            RangeExtension::Anchored => (lookback_ms, 0),
            RangeExtension::Smoothed => (lookback_ms, lookback_ms),
        };
        let time = node.selector.time;
        Self { grid, time, range_ms: node.range_ms, before_ms, after_ms, extension }
    }

    /// Calls `visit` for each step whose window holds a sample. Windows are places in `samples`; nothing is copied.
    pub(crate) fn visit<'s, E>(
        &self,
        samples: &'s Samples,
        mut visit: impl FnMut(usize, &Window<'s>) -> Result<(), E>,
    ) -> Result<(), E> {
        let mut places = Places { floats: 0..0, falls: 0..0, histograms: 0..0 };
        for step in 0..self.grid.count {
            let eval = self.grid.time(step);
            let end = self.time.of(eval);
            let start = end.saturating_sub(self.range_ms);
            let first_after = start.saturating_sub(self.before_ms);
            let last = end.saturating_add(self.after_ms);
            move_places(&mut places.floats, &samples.float_times, first_after, last);
            move_places(&mut places.histograms, &samples.histogram_times, first_after, last);
            if let Some(falls) = &samples.falls {
                places.move_falls(falls);
            }
            if !places.floats.is_empty() || !places.histograms.is_empty() {
                visit(step, &samples.window(&places, WindowTimes { start, end, eval }))?;
            }
        }
        Ok(())
    }
}

fn move_places(places: &mut std::ops::Range<usize>, times: &[Timestamp], after: Timestamp, last: Timestamp) {
    if times.is_empty() {
        return;
    }
    places.start = advance(times, places.start, after);
    places.end = advance(times, places.end.max(places.start), last);
}

/// Rows of samples: of a range selector, or of a subquery.
pub(crate) struct WindowRows<'q> {
    /// Series, with the names that they came with.
    pub(crate) series: Vec<Series>,
    /// What each step sees.
    pub(crate) shape: WindowShape,
    origin: Origin<'q>,
    held: u64,
    position: usize,
}

enum Origin<'q> {
    Stored { rows: StoredRows, with_starts: bool },
    Computed { source: Source<'q>, grid: StepGrid, row: Row },
}

impl<'q> WindowRows<'q> {
    /// Opens a range selector or a subquery; `None` for any other node. `with_starts`: start timestamps count.
    pub(crate) fn open(
        node: &'q Node,
        grid: StepGrid,
        with_starts: bool,
        cx: &mut Context<'q>,
    ) -> Result<Option<Self>, QueryError> {
        match &node.kind {
            NodeKind::Range(range) => Self::open_range(range, grid, with_starts, cx).map(Some),
            NodeKind::Subquery(subquery) => Self::open_subquery(subquery, grid, cx).map(Some),
            NodeKind::StepInvariant(inner) => Self::open(inner, grid, with_starts, cx),
            _ => Ok(None),
        }
    }

    /// Opens a range selector.
    pub(crate) fn open_range(
        node: &RangeNode,
        grid: StepGrid,
        with_starts: bool,
        cx: &mut Context<'q>,
    ) -> Result<Self, QueryError> {
        let shape = WindowShape::of_range(node, grid, cx.settings.lookback_ms);
        let (first, last) = node.selector.time.bounds(&grid);
        let start = first.saturating_sub(node.range_ms).saturating_sub(shape.before_ms).saturating_add(1);
        let end = last.saturating_add(shape.after_ms);
        let span = if grid.count == 0 { TimeSpan::new(0, -1) } else { TimeSpan::new(start, end) };
        let rows = StoredRows::select(&node.selector, span, cx)?;
        let series = rows.series(cx);
        let with_starts = with_starts && cx.settings.use_start_timestamps;
        Ok(Self { series, shape, origin: Origin::Stored { rows, with_starts }, held: 0, position: 0 })
    }

    fn open_subquery(
        node: &'q SubqueryNode,
        grid: StepGrid,
        cx: &mut Context<'q>,
    ) -> Result<Self, QueryError> {
        let inner = node.inner_grid(&grid, cx.settings.subquery_step_ms);
        let inner = if grid.count == 0 { StepGrid { count: 0, ..inner } } else { inner };
        cx.check_steps(&inner)?;
        let source = super::open(&node.expr, inner, cx)?;
        let series = source.series().to_vec();
        let shape = WindowShape {
            grid,
            time: node.time,
            range_ms: node.range_ms,
            before_ms: 0,
            after_ms: 0,
            extension: RangeExtension::None,
        };
        Ok(Self {
            series,
            shape,
            origin: Origin::Computed { source, grid: inner, row: Row::default() },
            held: 0,
            position: 0,
        })
    }

    /// Whether the series have all their labels; see [`StoredRows::has_all_labels`].
    pub(crate) fn has_all_labels(&self) -> bool {
        match &self.origin {
            Origin::Stored { rows, .. } => rows.has_all_labels(),
            Origin::Computed { .. } => true,
        }
    }

    /// Reads the next row's samples.
    pub(crate) fn next(&mut self, cx: &mut Context<'q>, samples: &mut Samples) -> Result<(), QueryError> {
        cx.check()?;
        self.position += 1;
        match &mut self.origin {
            Origin::Stored { rows, with_starts } => {
                let view = rows.view();
                samples.fill_stored(&rows.next()?, *with_starts, view);
            }
            Origin::Computed { source, grid, row } => {
                let before = cx.samples.held;
                source.next(cx, row)?;
                samples.fill_computed(row, grid);
                self.held += cx.samples.held.saturating_sub(before);
            }
        }
        Ok(())
    }

    /// Place of the row that comes next.
    pub(crate) fn position(&self) -> usize {
        self.position
    }

    /// Counts samples of computed rows as not held any more.
    pub(crate) fn finish(&mut self, cx: &mut Context<'_>) {
        cx.release(std::mem::take(&mut self.held));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn windows_are_open_on_the_left() {
        let samples = Samples {
            float_times: vec![0, 10, 20, 30, 40],
            floats: vec![0.0, 1.0, 2.0, 3.0, 4.0],
            ..Samples::default()
        };
        let shape = WindowShape {
            grid: StepGrid::range(0, 60, 20),
            time: ReferenceTime::default(),
            range_ms: 20,
            before_ms: 0,
            after_ms: 0,
            extension: RangeExtension::None,
        };
        let mut seen = Vec::new();
        shape
            .visit(&samples, |step, window| {
                seen.push((step, window.floats.to_vec()));
                Ok::<(), ()>(())
            })
            .expect("nothing fails");
        assert_eq!(seen, [(0, vec![0.0]), (1, vec![1.0, 2.0]), (2, vec![3.0, 4.0])]);
    }

    #[test]
    fn windows_know_where_their_floats_fall() {
        let row = ColumnsRow {
            timestamps: &[0, 10, 20, 30, 40, 50],
            values: &[5.0, 6.0, 1.0, 2.0, 0.5, 3.0],
            histograms: &[],
            start_timestamps: &[],
        };
        let mut samples = Samples::with_falls();
        samples.fill_stored(&row, false, ResetView::Storage);
        for range_ms in [10, 20, 30, 60] {
            let shape = WindowShape {
                grid: StepGrid::range(0, 60, 10),
                time: ReferenceTime::default(),
                range_ms,
                before_ms: 0,
                after_ms: 0,
                extension: RangeExtension::None,
            };
            let seen = shape.visit(&samples, |step, window| {
                let falls = window.falls.expect("they are known");
                let inside: Vec<f64> = falls
                    .places
                    .iter()
                    .filter(|place| **place > falls.first)
                    .map(|place| window.floats[place - falls.first - 1])
                    .collect();
                let pairs = window.floats.windows(2).filter(|pair| pair[1] < pair[0]);
                let expected: Vec<f64> = pairs.map(|pair| pair[0]).collect();
                if inside == expected { Ok(()) } else { Err((step, inside, expected)) }
            });
            assert_eq!(seen, Ok(()), "{range_ms}");
        }
    }

    #[test]
    fn a_pinned_window_is_the_same_at_each_step() {
        let samples = Samples { float_times: vec![5, 15], floats: vec![1.0, 2.0], ..Samples::default() };
        let shape = WindowShape {
            grid: StepGrid::range(100, 120, 10),
            time: ReferenceTime { at: Some(20), offset_ms: 5 },
            range_ms: 10,
            before_ms: 0,
            after_ms: 0,
            extension: RangeExtension::None,
        };
        let mut seen = Vec::new();
        shape
            .visit(&samples, |_, window| {
                seen.push((window.start, window.end, window.floats.to_vec()));
                Ok::<(), ()>(())
            })
            .expect("nothing fails");
        assert_eq!(seen, vec![(5, 15, vec![2.0]); 3]);
    }
}
