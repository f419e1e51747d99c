//! `sort` and its like: the order of an instant's series.

use std::cmp::Ordering;

use crate::promql::engine::QueryError;
use crate::promql::functions::labels::natural_order;
use crate::promql::parse::ast::PosRange;
use crate::promql::plan::{CallNode, StepGrid};

use super::batch::{Batch, Row, Series};
use super::context::Context;
use super::operator::{Source, drain, ready};

/// Opens a sorting function. Over a range the order is always that of the labels, so nothing is sorted then.
pub(crate) fn open<'q>(
    call: &'q CallNode,
    pos: PosRange,
    grid: StepGrid,
    cx: &mut Context<'q>,
) -> Result<Source<'q>, QueryError> {
    let by_label = call.function.name.starts_with("sort_by_label");
    if !grid.is_instant {
        let text = "sort is ineffective for range queries since results are always ordered by labels";
        cx.annotations.warn(pos, text.to_owned());
    }
    let held = cx.samples.held;
    let input = super::open(&call.args[0], grid, cx)?;
    let mut batch = drain(input, cx)?;
    if !by_label {
        batch.rows.iter_mut().for_each(Row::keep_floats);
    }
    if !grid.is_instant {
        return ready(batch, held, cx);
    }
    let mut rows: Vec<(Series, Row)> =
        batch.series.into_iter().zip(batch.rows).filter(|(_, row)| !row.present.is_empty()).collect();
    let descending = call.function.name.ends_with("_desc");
    if by_label {
        let names: Vec<String> =
            call.args[1..].iter().map(|arg| String::from_utf8_lossy(arg.text()).into_owned()).collect();
        rows.sort_by(|(a, _), (b, _)| {
            let order = by_labels(*a, *b, &names, cx);
            if descending { order.reverse() } else { order }
        });
    } else {
        rows.sort_by(|(_, a), (_, b)| by_value(a.values[0], b.values[0], descending));
    }
    let mut output = Batch::default();
    rows.into_iter().for_each(|(series, row)| output.push(series, row));
    ready(output, held, cx)
}

/// NaN last, whichever way.
fn by_value(a: f64, b: f64, descending: bool) -> Ordering {
    match a.partial_cmp(&b) {
        Some(order) if descending => order.reverse(),
        Some(order) => order,
        None => a.is_nan().cmp(&b.is_nan()),
    }
}

fn by_labels(a: Series, b: Series, names: &[String], cx: &Context<'_>) -> Ordering {
    let by_name = names.iter().map(|name| {
        natural_order(cx.labels.value_text(a.labels, name), cx.labels.value_text(b.labels, name))
    });
    by_name
        .into_iter()
        .find(|order| order.is_ne())
        .unwrap_or_else(|| cx.labels.labels(a.labels).cmp(&cx.labels.labels(b.labels)))
}
