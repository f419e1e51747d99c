//! Function calls: which operator stands for which function.

use crate::promql::engine::QueryError;
use crate::promql::functions::{math, native, time};
use crate::promql::parse::ast::PosRange;
use crate::promql::plan::{CallNode, Node, NodeKind, StepGrid};

use super::batch::{Row, Series};
use super::context::{Context, fail};
use super::labels::LabelSet;
use super::operator::{Operator, Source, distinct_steps, map, without_names};
use super::selector::{self, Shown};
use super::{absent, classic_histogram, info, label_function, range_function, scalar, sort};

/// Opens a function that gives a vector.
pub(crate) fn open<'q>(
    call: &'q CallNode,
    pos: PosRange,
    grid: StepGrid,
    cx: &mut Context<'q>,
) -> Result<Source<'q>, QueryError> {
    let name = call.function.name;
    match name {
        "vector" => scalar_series(&call.args[0], grid, cx),
        "absent" => absent::open(call, grid, cx),
        "absent_over_time" => absent::open_over_time(call, grid, cx),
        "label_replace" => label_function::open_replace(call, grid, cx),
        "label_join" => label_function::open_join(call, grid, cx),
        "info" => info::open(call, grid, cx),
        "sort" | "sort_desc" | "sort_by_label" | "sort_by_label_desc" => sort::open(call, pos, grid, cx),
        "histogram_quantile" => classic_histogram::open_quantile(call, grid, cx),
        "histogram_quantiles" => classic_histogram::open_quantiles(call, grid, cx),
        "histogram_fraction" => classic_histogram::open_fraction(call, grid, cx),
        "timestamp" | "start_timestamp" => timestamp(call, grid, cx),
        "clamp" | "clamp_min" | "clamp_max" => clamp(call, grid, cx),
        "round" => round(call, grid, cx),
        _ if range_function::matrix_argument(call).is_some() => range_function::open(call, grid, cx),
        _ if time::field(name).is_some() => calendar(call, grid, cx),
        _ => of_one(call, grid, cx),
    }
}

struct ScalarSeries {
    series: [Series; 1],
    values: Vec<f64>,
}

impl<'q> Operator<'q> for ScalarSeries {
    fn series(&self) -> &[Series] {
        &self.series
    }

    fn next(&mut self, cx: &mut Context<'q>, row: &mut Row) -> Result<(), QueryError> {
        row.reset(self.values.len());
        for (step, value) in self.values.iter().enumerate() {
            row.set(step, *value);
        }
        cx.hold(self.values.len() as u64)
    }
}

/// A scalar as one series without labels.
pub(crate) fn scalar_series<'q>(
    node: &'q Node,
    grid: StepGrid,
    cx: &mut Context<'q>,
) -> Result<Source<'q>, QueryError> {
    let values = scalar::evaluate(node, grid, cx)?;
    Ok(Box::new(ScalarSeries { series: [Series::new(LabelSet::EMPTY)], values }))
}

/// Opens the vector argument at a place, and tells its series without their names.
fn renamed<'q>(
    call: &'q CallNode,
    at: usize,
    grid: StepGrid,
    cx: &mut Context<'q>,
) -> Result<(Source<'q>, Vec<Series>), QueryError> {
    let input = super::open(&call.args[at], grid, cx)?;
    let series = without_names(input.series(), cx);
    Ok((input, series))
}

/// Functions of one float, and of one histogram.
fn of_one<'q>(call: &'q CallNode, grid: StepGrid, cx: &mut Context<'q>) -> Result<Source<'q>, QueryError> {
    let name = call.function.name;
    if let Some(f) = math::of_one(name) {
        let (input, series) = renamed(call, 0, grid, cx)?;
        let source = map(input, series, move |_, row| {
            row.map_floats(f);
            Ok(())
        });
        return distinct_steps(source, grid.is_instant, cx);
    }
    if let Some(f) = native::of_one(name) {
        let (input, series) = renamed(call, 0, grid, cx)?;
        let source = map(input, series, move |_, row| {
            for step in row.present.clone().ones() {
                match row.histogram(step).map(|histogram| f(histogram)) {
                    Some(value) => row.set(step, value),
                    None => row.unset(step),
                }
            }
            row.histograms.clear();
            Ok(())
        });
        return distinct_steps(source, grid.is_instant, cx);
    }
    fail(format!("function {name} is not known"))
}

/// Calendar fields of each value, or of the evaluation time without an argument.
fn calendar<'q>(call: &'q CallNode, grid: StepGrid, cx: &mut Context<'q>) -> Result<Source<'q>, QueryError> {
    let Some(field) = time::field(call.function.name) else { return fail("no calendar function") };
    if call.args.is_empty() {
        let values = (0..grid.count).map(|step| field((grid.time(step) / 1000) as f64)).collect();
        return Ok(Box::new(ScalarSeries { series: [Series::new(LabelSet::EMPTY)], values }));
    }
    let (input, series) = renamed(call, 0, grid, cx)?;
    let source = map(input, series, move |_, row| {
        row.map_floats(field);
        Ok(())
    });
    distinct_steps(source, grid.is_instant, cx)
}

fn clamp<'q>(call: &'q CallNode, grid: StepGrid, cx: &mut Context<'q>) -> Result<Source<'q>, QueryError> {
    let (input, series) = renamed(call, 0, grid, cx)?;
    let first = scalar::evaluate(&call.args[1], grid, cx)?;
    let (min, max) = match call.function.name {
        "clamp_min" => (first, vec![f64::INFINITY; grid.count]),
        "clamp_max" => (vec![f64::NEG_INFINITY; grid.count], first),
        _ => (first, scalar::evaluate(&call.args[2], grid, cx)?),
    };
    let source = map(input, series, move |_, row| {
        row.keep_floats();
        for step in 0..row.len() {
            if max[step] < min[step] {
                row.unset(step);
            } else {
                row.values[step] = math::clamp(row.values[step], min[step], max[step]);
            }
        }
        Ok(())
    });
    distinct_steps(source, grid.is_instant, cx)
}

fn round<'q>(call: &'q CallNode, grid: StepGrid, cx: &mut Context<'q>) -> Result<Source<'q>, QueryError> {
    let (input, series) = renamed(call, 0, grid, cx)?;
    let nearest = match call.args.get(1) {
        Some(nearest) => scalar::evaluate(nearest, grid, cx)?,
        None => vec![1.0; grid.count],
    };
    let source = map(input, series, move |_, row| {
        row.keep_floats();
        row.values
            .iter_mut()
            .zip(&nearest)
            .for_each(|(value, nearest)| *value = math::round(*value, *nearest));
        Ok(())
    });
    distinct_steps(source, grid.is_instant, cx)
}

/// `timestamp` and `start_timestamp`: of the sample where the argument is a selector, else of the step.
fn timestamp<'q>(call: &'q CallNode, grid: StepGrid, cx: &mut Context<'q>) -> Result<Source<'q>, QueryError> {
    let of_start = call.function.name == "start_timestamp";
    if let NodeKind::Selector(selector) = &call.args[0].kind {
        let shown = if of_start { Shown::StartTimestamp } else { Shown::Timestamp };
        let input = selector::open_shown(selector, grid, shown, cx)?;
        let series = without_names(input.series(), cx);
        let nothing = of_start && !cx.settings.use_start_timestamps;
        let source = map(input, series, move |_, row| {
            if nothing {
                row.reset(row.len());
            }
            Ok(())
        });
        return distinct_steps(source, grid.is_instant, cx);
    }
    let (input, series) = renamed(call, 0, grid, cx)?;
    let source = map(input, series, move |_, row| {
        row.histograms.clear();
        for step in 0..row.len() {
            row.values[step] = grid.time(step) as f64 / 1000.0;
        }
        if of_start {
            row.reset(row.len());
        }
        Ok(())
    });
    distinct_steps(source, grid.is_instant, cx)
}
