//! Aggregations that make one series of a group: `sum`, `avg`, `count`, `min`, `max`, `group`, `stddev`, `stdvar`,
//! `quantile`. Input series are read one by one; what stays is one accumulator per group and step.

use std::collections::HashMap;
use std::sync::Arc;

use crate::model::{CounterResetHint, FloatHistogram};
use crate::promql::engine::QueryError;
use crate::promql::functions::native::{HistogramMean, HistogramSum};
use crate::promql::functions::numeric::{CompensatedSum, Mean, quantile};
use crate::promql::parse::ast::{AggregateOp, PosRange};
use crate::promql::plan::{AggregateNode, StepGrid};
use crate::promql::value::SampleValue;
use crate::storage::Symbol;

use super::batch::{Batch, Row, Series};
use super::context::Context;
use super::labels::LabelSet;
use super::operator::{Source, ready};
use super::{notes, scalar};

/// How input series are grouped.
pub(crate) struct Grouping {
    names: Vec<Symbol>,
    without: bool,
}

impl Grouping {
    /// Of an aggregation; `extra` is a label that is grouped by as well.
    pub(crate) fn new(node: &AggregateNode, extra: Option<Symbol>, cx: &mut Context<'_>) -> Self {
        let mut names = cx.labels.names(&node.grouping);
        if node.without {
            names.push(cx.labels.metric_name_symbol());
        } else {
            names.extend(extra);
        }
        Self { names, without: node.without }
    }

    /// The labels of the group that a series is in.
    pub(crate) fn of(&self, labels: LabelSet, cx: &mut Context<'_>) -> LabelSet {
        if self.without {
            cx.labels.without(labels, &self.names)
        } else {
            cx.labels.keep(labels, &self.names)
        }
    }

    /// For each series the place of its group, and the groups' labels in the order of their first series.
    pub(crate) fn assign(&self, series: &[Series], cx: &mut Context<'_>) -> (Vec<usize>, Vec<Series>) {
        let mut places: HashMap<LabelSet, usize> = HashMap::new();
        let mut groups: Vec<Series> = Vec::new();
        let assigned = series
            .iter()
            .map(|series| {
                let labels = self.of(series.labels, cx);
                let place = *places.entry(labels).or_insert_with(|| {
                    groups.push(Series::new(labels));
                    groups.len() - 1
                });
                groups[place].drop_name |= series.drop_name;
                place
            })
            .collect();
        (assigned, groups)
    }
}

/// Opens an aggregation and computes it.
pub(crate) fn open<'q>(
    node: &'q AggregateNode,
    grid: StepGrid,
    cx: &mut Context<'q>,
) -> Result<Source<'q>, QueryError> {
    let held = cx.samples.held;
    let parameters = match &node.param {
        Some(param) => scalar::evaluate(param, grid, cx)?,
        None => Vec::new(),
    };
    let mut input = super::open(&node.expr, grid, cx)?;
    let (assigned, groups) = Grouping::new(node, None, cx).assign(input.series(), cx);
    let mut planes: Vec<Plane> = groups.iter().map(|_| Plane::new(node.op, grid.count)).collect();
    let mut row = Row::default();
    for (place, series) in assigned.iter().zip(input.series().to_vec()) {
        let before = cx.samples.held;
        input.next(cx, &mut row)?;
        let ignored = planes[*place].add(&row, series, node, cx);
        if ignored {
            cx.annotations.info(node.expr.pos, notes::histogram_ignored(node.op.as_str()));
        }
        cx.samples.held = before;
    }
    if let (AggregateOp::Quantile, Some(param)) = (node.op, &node.param) {
        warn_of_quantiles(&parameters, param.pos, cx);
    }
    let mut output = Batch::default();
    for (series, plane) in groups.into_iter().zip(planes) {
        let row = plane.finish(grid.count, &parameters, node.expr.pos, cx);
        if !row.present.is_empty() {
            output.push(series, row);
        }
    }
    ready(output, held, cx)
}

/// Warns of the smallest and the largest parameter outside 0 to 1, and of NaN.
fn warn_of_quantiles(parameters: &[f64], pos: PosRange, cx: &mut Context<'_>) {
    let mut warn = |q: f64| cx.annotations.warn(pos, notes::invalid_quantile(q));
    if parameters.iter().any(|q| q.is_nan()) {
        warn(f64::NAN);
    }
    let max = parameters.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let min = parameters.iter().copied().fold(f64::INFINITY, f64::min);
    if max > 1.0 {
        warn(max);
    }
    if min < 0.0 {
        warn(min);
    }
}

/// Accumulators of one group: one per step, `None` before its first value.
enum Plane {
    Sum(Vec<Option<Total<CompensatedSum, HistogramSum>>>),
    Mean(Vec<Option<Total<Mean, HistogramMean>>>),
    Count(Vec<u64>),
    Extreme { values: Row, replaces: fn(f64, f64) -> bool },
    Present(Row),
    Variance { moments: Vec<Option<Moments>>, root: bool },
    Values(Vec<Vec<f64>>),
}

/// A sum of floats and a sum of histograms; having both is an error of the data.
struct Total<F, H> {
    floats: Option<F>,
    histograms: Option<Result<H, Incompatible>>,
    reset_hints: [bool; 2],
}

/// Exponential and custom buckets met.
struct Incompatible;

/// Welford's running moments.
struct Moments {
    count: f64,
    mean: f64,
    squares: f64,
}

impl Plane {
    fn new(op: AggregateOp, count: usize) -> Self {
        let none = || (0..count).map(|_| None).collect();
        match op {
            AggregateOp::Sum => Self::Sum((0..count).map(|_| None).collect()),
            AggregateOp::Avg => Self::Mean((0..count).map(|_| None).collect()),
            AggregateOp::Count => Self::Count(vec![0; count]),
            AggregateOp::Max => Self::Extreme { values: Row::empty(count), replaces: |new, old| new > old },
            AggregateOp::Min => Self::Extreme { values: Row::empty(count), replaces: |new, old| new < old },
            AggregateOp::Stddev => Self::Variance { moments: none(), root: true },
            AggregateOp::Stdvar => Self::Variance { moments: none(), root: false },
            AggregateOp::Quantile => Self::Values(vec![Vec::new(); count]),
            _ => Self::Present(Row::empty(count)),
        }
    }

    /// Adds a series. Whether it held histograms that this aggregation leaves out.
    fn add(&mut self, row: &Row, series: Series, node: &AggregateNode, cx: &mut Context<'_>) -> bool {
        if row.histograms.is_empty() {
            self.add_floats(row);
            return false;
        }
        let mut ignored = false;
        for step in row.present.ones() {
            match (row.histogram(step), &mut *self) {
                (None, _) => self.add_float(step, row.values[step]),
                (Some(histogram), Self::Sum(totals)) => {
                    add_histogram(&mut totals[step], histogram, series, node, cx);
                }
                (Some(histogram), Self::Mean(totals)) => {
                    add_histogram(&mut totals[step], histogram, series, node, cx);
                }
                (Some(_), Self::Count(counts)) => counts[step] += 1,
                (Some(_), Self::Present(row)) => row.set(step, 1.0),
                (Some(_), _) => ignored = true,
            }
        }
        ignored
    }

    fn add_floats(&mut self, row: &Row) {
        for step in row.present.ones() {
            self.add_float(step, row.values[step]);
        }
    }

    fn add_float(&mut self, step: usize, value: f64) {
        match self {
            Self::Sum(totals) => match totals[step].get_or_insert_with(Total::new) {
                Total { floats: Some(sum), .. } => *sum = sum.plus(value),
                total => total.floats = Some(CompensatedSum::of(value)),
            },
            Self::Mean(totals) => match totals[step].get_or_insert_with(Total::new) {
                Total { floats: Some(mean), .. } => mean.add(value),
                total => total.floats = Some(Mean::of(value)),
            },
            Self::Count(counts) => counts[step] += 1,
            Self::Extreme { values, replaces } => {
                let known = values.values[step];
                if !values.present.get(step) || replaces(value, known) || known.is_nan() {
                    values.set(step, value);
                }
            }
            Self::Present(row) => row.set(step, 1.0),
            Self::Variance { moments, .. } => match &mut moments[step] {
                Some(moments) => moments.add(value),
                none => *none = Some(Moments::of(value)),
            },
            Self::Values(values) => values[step].push(value),
        }
    }

    /// The group's row.
    fn finish(self, count: usize, parameters: &[f64], pos: PosRange, cx: &mut Context<'_>) -> Row {
        let mut row = Row::empty(count);
        match self {
            Self::Sum(totals) => {
                for (step, total) in totals.into_iter().enumerate() {
                    let value = total
                        .and_then(|total| total.finish(pos, cx, CompensatedSum::value, HistogramSum::finish));
                    value.into_iter().for_each(|value| row.set_value(step, value));
                }
            }
            Self::Mean(totals) => {
                for (step, total) in totals.into_iter().enumerate() {
                    let value = total
                        .and_then(|total| total.finish(pos, cx, |mean| mean.value(), HistogramMean::finish));
                    value.into_iter().for_each(|value| row.set_value(step, value));
                }
            }
            Self::Count(counts) => {
                for (step, count) in counts.into_iter().enumerate().filter(|(_, count)| *count > 0) {
                    row.set(step, count as f64);
                }
            }
            Self::Extreme { values, .. } | Self::Present(values) => return values,
            Self::Variance { moments, root } => {
                for (step, moments) in moments.into_iter().enumerate() {
                    if let Some(moments) = moments {
                        let variance = moments.squares / moments.count;
                        row.set(step, if root { variance.sqrt() } else { variance });
                    }
                }
            }
            Self::Values(values) => {
                for (step, mut values) in values.into_iter().enumerate().filter(|(_, v)| !v.is_empty()) {
                    row.set(step, quantile(parameters[step], &mut values));
                }
            }
        }
        row
    }
}

impl<F, H> Total<F, H> {
    fn new() -> Self {
        Self { floats: None, histograms: None, reset_hints: [false; 2] }
    }

    fn finish(
        self,
        pos: PosRange,
        cx: &mut Context<'_>,
        float: impl Fn(F) -> f64,
        histogram: impl Fn(H) -> FloatHistogram,
    ) -> Option<SampleValue> {
        if self.floats.is_some() && self.histograms.is_some() {
            let text = "encountered a mix of histograms and floats for aggregation";
            cx.annotations.warn(pos, text.to_owned());
            return None;
        }
        if let Some(sum) = self.floats {
            return Some(SampleValue::Float(float(sum)));
        }
        let sum = self.histograms?.ok()?;
        if self.reset_hints == [true; 2] {
            cx.annotations.warn(pos, notes::resets_collide("aggregation"));
        }
        Some(SampleValue::Histogram(Arc::new(histogram(sum))))
    }
}

/// What sums and means of histograms have in common.
pub(crate) trait AddHistogram: Sized {
    /// Of one histogram.
    fn of(histogram: &FloatHistogram) -> Self;
    /// With one more: whether custom bounds differed; `None` where the two do not go together.
    fn add(&mut self, histogram: &FloatHistogram) -> Option<bool>;
}

impl AddHistogram for HistogramSum {
    fn of(histogram: &FloatHistogram) -> Self {
        Self::of(histogram)
    }
    fn add(&mut self, histogram: &FloatHistogram) -> Option<bool> {
        self.add(histogram)
    }
}

impl AddHistogram for HistogramMean {
    fn of(histogram: &FloatHistogram) -> Self {
        Self::of(histogram)
    }
    fn add(&mut self, histogram: &FloatHistogram) -> Option<bool> {
        self.add(histogram)
    }
}

fn add_histogram<F, H: AddHistogram>(
    total: &mut Option<Total<F, H>>,
    histogram: &FloatHistogram,
    series: Series,
    node: &AggregateNode,
    cx: &mut Context<'_>,
) {
    let total = total.get_or_insert_with(Total::new);
    if matches!(total.histograms, Some(Err(Incompatible))) {
        return;
    }
    match histogram.counter_reset_hint {
        CounterResetHint::Reset => total.reset_hints[0] = true,
        CounterResetHint::NotReset => total.reset_hints[1] = true,
        CounterResetHint::Unknown | CounterResetHint::Gauge => {}
    }
    let Some(Ok(sum)) = &mut total.histograms else {
        total.histograms = Some(Ok(H::of(histogram)));
        return;
    };
    match sum.add(histogram) {
        Some(false) => {}
        Some(true) => cx.annotations.info(node.expr.pos, notes::reconciled("aggregation")),
        None => {
            let metric = cx.labels.metric_name(series.labels).to_owned();
            cx.annotations.warn(node.expr.pos, notes::mixed_schemas(&metric));
            total.histograms = Some(Err(Incompatible));
        }
    }
}

impl Moments {
    fn of(value: f64) -> Self {
        Self { count: 1.0, mean: value, squares: if value.is_finite() { 0.0 } else { f64::NAN } }
    }

    fn add(&mut self, value: f64) {
        self.count += 1.0;
        let delta = value - self.mean;
        self.mean += delta / self.count;
        self.squares += delta * (value - self.mean);
    }
}
