//! What does not vary by step is evaluated at the first and shown at all.

use crate::promql::engine::QueryError;
use crate::promql::plan::{Node, StepGrid};

use super::batch::{Row, Series};
use super::context::Context;
use super::operator::{Operator, Source};

struct StepInvariant<'q> {
    input: Source<'q>,
    first: Row,
    grid: StepGrid,
}

/// Opens a subtree that does not vary.
pub(crate) fn open<'q>(
    inner: &'q Node,
    grid: StepGrid,
    cx: &mut Context<'q>,
) -> Result<Source<'q>, QueryError> {
    let input = super::open(inner, grid.first_step(), cx)?;
    if grid.count == 1 {
        return Ok(input);
    }
    Ok(Box::new(StepInvariant { input, first: Row::default(), grid }))
}

impl<'q> Operator<'q> for StepInvariant<'q> {
    fn series(&self) -> &[Series] {
        self.input.series()
    }

    fn next(&mut self, cx: &mut Context<'q>, row: &mut Row) -> Result<(), QueryError> {
        self.input.next(cx, &mut self.first)?;
        row.reset(self.grid.count);
        if self.grid.count == 0 {
            return Ok(());
        }
        if let Some(value) = self.first.value(0) {
            let once = self.first.sample_count();
            for step in 0..self.grid.count {
                row.set_value(step, value.clone());
            }
            cx.hold(row.sample_count() - once)?;
        }
        Ok(())
    }
}
