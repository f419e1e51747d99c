//! Instant selectors with `smoothed`: values between samples lie on the line through them.

use crate::promql::engine::QueryError;
use crate::promql::functions::extended::smoothed_at;
use crate::promql::functions::{Note, Notes, native_rate};
use crate::promql::parse::ast::PosRange;
use crate::promql::plan::{RangeNode, SelectorNode, StepGrid};

use super::batch::{Row, Series};
use super::context::Context;
use super::notes;
use super::operator::{Operator, Source};
use super::selector::count;
use super::windows::{Samples, WindowRows};

struct SmoothedSelector<'q> {
    rows: WindowRows<'q>,
    samples: Samples,
    grid: StepGrid,
    pos: PosRange,
    series: Vec<Series>,
}

/// Opens a smoothed instant selector: samples up to one lookback before and after count.
pub(crate) fn open<'q>(
    node: &SelectorNode,
    pos: PosRange,
    grid: StepGrid,
    cx: &mut Context<'q>,
) -> Result<Source<'q>, QueryError> {
    let range = RangeNode { selector: node.clone(), range_ms: 0 };
    let rows = WindowRows::open_range(&range, grid, false, cx)?;
    let series = rows.series.clone();
    Ok(Box::new(SmoothedSelector { rows, samples: Samples::default(), grid, pos, series }))
}

impl<'q> Operator<'q> for SmoothedSelector<'q> {
    fn series(&self) -> &[Series] {
        &self.series
    }

    fn next(&mut self, cx: &mut Context<'q>, row: &mut Row) -> Result<(), QueryError> {
        let series = self.rows.position();
        self.rows.next(cx, &mut self.samples)?;
        row.reset(self.grid.count);
        let mut notes = Notes::default();
        self.rows.shape.visit(&self.samples, |step, window| {
            let at = window.end;
            if window.is_mixed() {
                notes.add(Note::MixedFloatsHistograms);
            } else if window.floats.is_empty() {
                if let Some(histogram) = native_rate::smoothed_at(window, at, &mut notes) {
                    row.set_histogram(step, std::sync::Arc::new(histogram));
                }
            } else if let Some(value) = smoothed_at(window.float_times, window.floats, at) {
                row.set(step, value);
            }
            Ok::<(), QueryError>(())
        })?;
        let name = cx.labels.metric_name(self.series[series].labels).to_owned();
        notes::annotate(cx, &notes, &name, self.pos);
        count(row, &self.grid, cx)
    }
}
