//! Functions of windows: `rate` and its like, `*_over_time`, `deriv`, `predict_linear`.

use std::convert::Infallible;
use std::sync::Arc;

use crate::model::{FloatHistogram, Timestamp};
use crate::promql::annotations::quoted;
use crate::promql::engine::QueryError;
use crate::promql::functions::rate::{self, Growth, StartPair};
use crate::promql::functions::{
    Note, Notes, Window, extended, native, native_over_time, native_rate, numeric, over_time, reset,
};
use crate::promql::parse::ast::{PosRange, RangeExtension};
use crate::promql::plan::{CallNode, Node, NodeKind, StepGrid};
use crate::promql::value::SampleValue;

use super::batch::{Row, Series, histogram_samples};
use super::context::{Context, fail};
use super::notes;
use super::operator::{Operator, Repeated, Source, distinct};
use super::scalar;
use super::windows::{Samples, WindowRows, WindowShape};

/// Functions that `anchored` goes with, and those that `smoothed` goes with.
const ANCHORED_SAFE: [&str; 5] = ["changes", "delta", "increase", "rate", "resets"];
const SMOOTHED_SAFE: [&str; 3] = ["delta", "increase", "rate"];

/// A function of one window; scalar arguments are taken by step.
type Kernel<'q> = Box<dyn Fn(usize, &Window<'_>, &mut Notes) -> Option<SampleValue> + 'q>;

struct RangeFunction<'q> {
    rows: WindowRows<'q>,
    samples: Samples,
    series: Vec<Series>,
    kernel: Kernel<'q>,
    call: &'q CallNode,
    name: &'static str,
    invalid_quantiles: Vec<f64>,
    wrong_factors: Vec<Option<String>>,
}

/// The place of the argument that is a window, if one is.
pub(crate) fn matrix_argument(call: &CallNode) -> Option<usize> {
    call.args
        .iter()
        .position(|arg| matches!(arg.unwrapped().kind, NodeKind::Range(_) | NodeKind::Subquery(_)))
}

/// Opens a function of windows.
pub(crate) fn open<'q>(
    call: &'q CallNode,
    grid: StepGrid,
    cx: &mut Context<'q>,
) -> Result<Source<'q>, QueryError> {
    let name = call.function.name;
    let Some(at) = matrix_argument(call) else { return fail(format!("{name} needs a range")) };
    check_extension(&call.args[at], name)?;
    let scalars = call
        .args
        .iter()
        .enumerate()
        .filter(|(index, _)| *index != at)
        .map(|(_, arg)| scalar::evaluate(arg, grid, cx))
        .collect::<Result<Vec<_>, _>>()?;
    let with_starts = matches!(name, "rate" | "irate" | "increase" | "resets");
    let held = cx.samples.held;
    let Some(rows) = WindowRows::open(&call.args[at], grid, with_starts, cx)? else {
        return fail(format!("{name} needs a range"));
    };
    let keeps_name = matches!(name, "last_over_time" | "first_over_time");
    let delayed = cx.settings.delayed_name_removal;
    let series: Vec<Series> = rows
        .series
        .iter()
        .map(|series| {
            let drop_name = !keeps_name || series.drop_name;
            let labels =
                if drop_name && !delayed { cx.labels.without_metadata(series.labels) } else { series.labels };
            Series { labels, drop_name }
        })
        .collect();
    let invalid_quantiles = match (name, scalars.first()) {
        ("quantile_over_time", Some(values)) => values.clone(),
        _ => Vec::new(),
    };
    let wrong_factors = wrong_factors(name, &scalars, grid.count);
    let kernel = kernel(name, scalars, rows.shape)?;
    debug_assert!(held <= cx.samples.held, "opening holds, it does not release");
    // Whether a sample is there at all does not depend on whose it is.
    let may_repeat = !delayed && rows.has_all_labels() && name != "absent_over_time";
    let function = RangeFunction {
        rows,
        samples: if matches!(name, "rate" | "increase") { Samples::with_falls() } else { Samples::default() },
        series,
        kernel,
        call,
        name,
        invalid_quantiles,
        wrong_factors,
    };
    let source: Source<'q> = Box::new(function);
    if may_repeat { distinct(source, Repeated::Refuse, cx) } else { Ok(source) }
}

fn check_extension(arg: &Node, name: &str) -> Result<(), QueryError> {
    let NodeKind::Range(range) = &arg.unwrapped().kind else { return Ok(()) };
    let (word, safe): (_, &[&str]) = match range.selector.extension {
        RangeExtension::Anchored => ("anchored", &ANCHORED_SAFE),
        RangeExtension::Smoothed => ("smoothed", &SMOOTHED_SAFE),
        RangeExtension::None => return Ok(()),
    };
    if safe.contains(&name) {
        return Ok(());
    }
    fail(format!("{word} modifier can only be used with: {} - not with {name}", safe.join(", ")))
}

/// What is wrong with the factors of `double_exponential_smoothing`, by step; empty where nothing is. It fails a query
/// only where there is something to smooth.
fn wrong_factors(name: &str, scalars: &[Vec<f64>], count: usize) -> Vec<Option<String>> {
    let [smoothing, trend] = scalars else { return Vec::new() };
    if name != "double_exponential_smoothing" {
        return Vec::new();
    }
    let wrong = |step: usize| {
        let factors = [("smoothing", "sf", smoothing[step]), ("trend", "tf", trend[step])];
        let (word, symbol, factor) =
            factors.into_iter().find(|(_, _, factor)| *factor <= 0.0 || *factor >= 1.0)?;
        Some(format!("invalid {word} factor. Expected: 0 < {symbol} < 1, got: {factor:.6}"))
    };
    let all: Vec<_> = (0..count).map(wrong).collect();
    if all.iter().any(Option::is_some) { all } else { Vec::new() }
}

/// The kernel of a function.
fn kernel<'q>(name: &str, scalars: Vec<Vec<f64>>, shape: WindowShape) -> Result<Kernel<'q>, QueryError> {
    let extension = shape.extension;
    let parameter = scalars.first().cloned().unwrap_or_default();
    Ok(match name {
        "rate" => growth(Growth::RATE, extension),
        "increase" => growth(Growth::INCREASE, extension),
        "delta" => growth(Growth::DELTA, extension),
        "irate" => Box::new(|_, window, notes| instant(window, true, notes)),
        "idelta" => Box::new(|_, window, notes| instant(window, false, notes)),
        "changes" => Box::new(move |_, window, _| edges(window, extension, changes)),
        "resets" => Box::new(move |_, window, _| edges(window, extension, resets)),
        "count_over_time" => Box::new(|_, window, _| Some(SampleValue::Float(window.len() as f64))),
        "present_over_time" | "absent_over_time" => Box::new(|_, _, _| Some(SampleValue::Float(1.0))),
        "first_over_time" => Box::new(|_, window, _| first(window)),
        "last_over_time" => Box::new(|_, window, _| last(window)),
        "ts_of_first_over_time" => Box::new(|_, window, _| {
            let first = [window.float_times.first(), window.histogram_times.first()];
            first.into_iter().flatten().min().map(|t| SampleValue::Float(*t as f64 / 1000.0))
        }),
        "ts_of_last_over_time" => Box::new(|_, window, _| {
            let last = [window.float_times.last(), window.histogram_times.last()];
            last.into_iter().flatten().max().map(|t| SampleValue::Float(*t as f64 / 1000.0))
        }),
        "sum_over_time" => Box::new(|_, window, notes| {
            one_kind(window, notes, |floats| Some(over_time::sum(floats)), native_over_time::sum)
        }),
        "avg_over_time" => {
            Box::new(|_, window, notes| one_kind(window, notes, over_time::mean, native_over_time::mean))
        }
        "min_over_time" => floats_only(|_, window| over_time::min(window.floats)),
        "max_over_time" => floats_only(|_, window| over_time::max(window.floats)),
        "ts_of_min_over_time" => {
            floats_only(|_, window| time_of(window, over_time::place_of_min(window.floats)))
        }
        "ts_of_max_over_time" => {
            floats_only(|_, window| time_of(window, over_time::place_of_max(window.floats)))
        }
        "stdvar_over_time" => floats_only(|_, window| Some(over_time::variance(window.floats))),
        "stddev_over_time" => floats_only(|_, window| Some(over_time::variance(window.floats).sqrt())),
        "mad_over_time" => floats_only(|_, window| Some(over_time::median_absolute_deviation(window.floats))),
        "quantile_over_time" => floats_only(move |step, window| {
            Some(numeric::quantile(parameter[step], &mut window.floats.to_vec()))
        }),
        "deriv" => floats_only(|_, window| {
            (window.floats.len() > 1).then(|| {
                over_time::linear_regression(window.float_times, window.floats, window.float_times[0]).0
            })
        }),
        "predict_linear" => floats_only(move |step, window| {
            (window.floats.len() > 1).then(|| {
                let (slope, intercept) =
                    over_time::linear_regression(window.float_times, window.floats, window.eval_time);
                slope * parameter[step] + intercept
            })
        }),
        "double_exponential_smoothing" => {
            let trend = scalars.get(1).cloned().unwrap_or_default();
            floats_only(move |step, window| {
                over_time::double_exponential_smoothing(window.floats, parameter[step], trend[step])
            })
        }
        other => return fail(format!("function {other} is not known")),
    })
}

/// A function of floats that leaves histograms out.
fn floats_only<'q>(f: impl Fn(usize, &Window<'_>) -> Option<f64> + 'q) -> Kernel<'q> {
    Box::new(move |step, window, notes| {
        if window.is_mixed() {
            notes.add(Note::HistogramsIgnored);
        }
        if window.floats.is_empty() {
            return None;
        }
        f(step, window).map(SampleValue::Float)
    })
}

/// A function of floats alone, or of histograms alone; a mix is refused.
fn one_kind(
    window: &Window<'_>,
    notes: &mut Notes,
    of_floats: impl Fn(&[f64]) -> Option<f64>,
    of_histograms: impl Fn(&[Arc<FloatHistogram>], &mut Notes) -> Option<FloatHistogram>,
) -> Option<SampleValue> {
    if window.is_mixed() {
        notes.add(Note::MixedFloatsHistograms);
        return None;
    }
    if window.floats.is_empty() {
        return of_histograms(window.histograms, notes).map(shared);
    }
    of_floats(window.floats).map(SampleValue::Float)
}

fn growth<'q>(growth: Growth, extension: RangeExtension) -> Kernel<'q> {
    Box::new(move |_, window, notes| {
        if window.is_mixed() {
            notes.add(Note::MixedFloatsHistograms);
            return None;
        }
        if window.floats.is_empty() {
            return match extension {
                RangeExtension::None => native_rate::extrapolated(window, growth, notes),
                RangeExtension::Anchored => native_rate::extended(window, false, growth, notes),
                RangeExtension::Smoothed => native_rate::extended(window, true, growth, notes),
            }
            .map(shared);
        }
        let value = match extension {
            RangeExtension::None => rate::extrapolated(window, growth, notes),
            RangeExtension::Anchored => extended::growth(window, false, growth),
            RangeExtension::Smoothed => extended::growth(window, true, growth),
        };
        value.map(SampleValue::Float)
    })
}

/// A histogram as a value.
fn shared(histogram: FloatHistogram) -> SampleValue {
    SampleValue::Histogram(Arc::new(histogram))
}

/// Of the last two samples, whichever they are.
fn instant(window: &Window<'_>, is_rate: bool, notes: &mut Notes) -> Option<SampleValue> {
    if window.len() < 2 {
        return None;
    }
    let after = |times: &[Timestamp], last: Option<&Timestamp>| {
        last.map_or(times.len(), |last| times.len() - times.partition_point(|t| t < last))
    };
    if after(window.float_times, window.histogram_times.last()) >= 2 {
        return rate::instant(window, is_rate).map(SampleValue::Float);
    }
    if after(window.histogram_times, window.float_times.last()) >= 2 {
        return native_rate::instant(window, is_rate, notes).map(shared);
    }
    notes.add(Note::MixedFloatsHistograms);
    None
}

fn time_of(window: &Window<'_>, place: Option<usize>) -> Option<f64> {
    place.map(|at| window.float_times[at] as f64 / 1000.0)
}

fn first(window: &Window<'_>) -> Option<SampleValue> {
    match (window.float_times.first(), window.histogram_times.first()) {
        (Some(float), Some(histogram)) if float < histogram => Some(SampleValue::Float(window.floats[0])),
        (_, Some(_)) => Some(SampleValue::Histogram(Arc::clone(&window.histograms[0]))),
        (Some(_), None) => Some(SampleValue::Float(window.floats[0])),
        (None, None) => None,
    }
}

fn last(window: &Window<'_>) -> Option<SampleValue> {
    let (float, histogram) = (window.floats.last(), window.histograms.last());
    let float_is_last = window.float_times.last() > window.histogram_times.last();
    match (float, histogram) {
        (Some(float), _) if float_is_last => Some(SampleValue::Float(*float)),
        (_, Some(histogram)) => Some(SampleValue::Histogram(Arc::clone(histogram))),
        (float, None) => float.map(|float| SampleValue::Float(*float)),
    }
}

/// Counts something of neighbouring samples; under `anchored` from the sample before the window on.
fn edges(
    window: &Window<'_>,
    extension: RangeExtension,
    count: fn(&Window<'_>) -> usize,
) -> Option<SampleValue> {
    let (floats, histograms) = match extension {
        RangeExtension::Anchored => extended::anchored_start(window)?,
        _ => (0, 0),
    };
    let seen = Window {
        float_times: &window.float_times[floats..],
        floats: &window.floats[floats..],
        float_starts: window.float_starts.get(floats..).unwrap_or_default(),
        falls: None,
        histogram_times: &window.histogram_times[histograms..],
        histograms: &window.histograms[histograms..],
        histogram_starts: window.histogram_starts.get(histograms..).unwrap_or_default(),
        ..*window
    };
    Some(SampleValue::Float(count(&seen) as f64))
}

fn changes(window: &Window<'_>) -> usize {
    if window.histograms.is_empty() {
        return rate::changes(window.floats);
    }
    count_pairs(window, |before, after| match (before, after) {
        (Sample::Float(a), Sample::Float(b)) => {
            let (a, b) = (window.floats[a], window.floats[b]);
            a != b && !(a.is_nan() && b.is_nan())
        }
        (Sample::Histogram(a), Sample::Histogram(b)) => {
            !native::equal(&window.histograms[a], &window.histograms[b])
        }
        _ => true,
    })
}

fn resets(window: &Window<'_>) -> usize {
    if window.histograms.is_empty() {
        return rate::resets(window.float_times, window.floats, window.float_starts);
    }
    count_pairs(window, |before, after| match (before, after) {
        (Sample::Float(a), Sample::Float(b)) => {
            window.floats[b] < window.floats[a] || starts_anew(window.float_times, window.float_starts, a, b)
        }
        (Sample::Histogram(a), Sample::Histogram(b)) => {
            starts_anew(window.histogram_times, window.histogram_starts, a, b)
                || reset::is_reset(&window.histograms[b], &window.histograms[a])
        }
        _ => true,
    })
}

/// Whether start timestamps tell of a reset between two neighbours of one kind.
fn starts_anew(times: &[Timestamp], starts: &[Timestamp], before: usize, after: usize) -> bool {
    debug_assert_eq!(before + 1, after, "neighbours of one kind");
    StartPair::at(times, starts, after).is_reset()
}

/// A sample of a window by its place.
#[derive(Clone, Copy)]
enum Sample {
    Float(usize),
    Histogram(usize),
}

/// How many neighbours in time `differ`.
fn count_pairs(window: &Window<'_>, differ: impl Fn(Sample, Sample) -> bool) -> usize {
    let floats = window.float_times.iter().enumerate().map(|(at, t)| (*t, Sample::Float(at)));
    let histograms = window.histogram_times.iter().enumerate().map(|(at, t)| (*t, Sample::Histogram(at)));
    let mut samples: Vec<_> = floats.chain(histograms).collect();
    samples.sort_by_key(|(t, _)| *t);
    samples.windows(2).filter(|pair| differ(pair[0].1, pair[1].1)).count()
}

impl<'q> Operator<'q> for RangeFunction<'q> {
    fn series(&self) -> &[Series] {
        &self.series
    }

    fn next(&mut self, cx: &mut Context<'q>, row: &mut Row) -> Result<(), QueryError> {
        let place = self.rows.position();
        self.rows.next(cx, &mut self.samples)?;
        let grid = self.rows.shape.grid;
        row.reset(grid.count);
        let mut notes = Notes::default();
        let mut window_max = 0;
        let mut seen = 0;
        let mut wrong = None;
        let (kernel, per_step) = (&self.kernel, cx.samples.per_step.is_some());
        let result: Result<(), Infallible> = self.rows.shape.visit(&self.samples, |step, window| {
            let size = window.floats.len() as u64
                + window.histograms.iter().map(|h| histogram_samples(h)).sum::<u64>();
            window_max = window_max.max(size);
            seen += size;
            if per_step {
                cx.looked_at(window.eval_time, size);
            }
            if wrong.is_none() {
                wrong = self.wrong_factors.get(step).and_then(Option::as_ref);
            }
            if let Some(value) = kernel(step, window, &mut notes) {
                row.set_value(step, value);
            }
            Ok(())
        });
        let Ok(()) = result;
        if let Some(text) = wrong {
            return fail(text.clone());
        }
        if !per_step {
            cx.samples.total += seen;
        }
        cx.samples.read += self.samples.len();
        cx.hold(window_max)?;
        cx.release(window_max);
        self.annotate(cx, place, row, &notes);
        cx.hold(row.sample_count())?;
        if self.rows.position() == self.series.len() {
            self.rows.finish(cx);
        }
        Ok(())
    }
}

impl RangeFunction<'_> {
    fn annotate(&self, cx: &mut Context<'_>, place: usize, row: &Row, notes: &Notes) {
        // Upstream puts the subquery's result in its place, which has no position of its own.
        let first = &self.call.args[0];
        let of_subquery = matches!(first.unwrapped().kind, NodeKind::Subquery(_));
        let pos = if of_subquery { PosRange::default() } else { first.pos };
        let labels = self.rows.series[place].labels;
        for step in row.present.ones().filter(|_| !self.invalid_quantiles.is_empty()) {
            let q = self.invalid_quantiles[step];
            if !(0.0..=1.0).contains(&q) {
                cx.annotations.warn(pos, notes::invalid_quantile(q));
            }
        }
        if !notes.is_empty() {
            let metric = cx.labels.metric_name(labels).to_owned();
            notes::annotate(cx, notes, &metric, pos);
        }
        let metric = cx.labels.metric_name(labels);
        let is_growth = matches!(self.name, "rate" | "increase") && !metric.is_empty();
        if is_growth
            && row.present.ones().any(|step| row.histogram(step).is_none())
            && let Some(text) = possible_non_counter(cx, metric, labels)
        {
            cx.annotations.info(pos, text);
        }
    }
}

/// Note of a metric that is not called like a counter, or not typed as one.
fn possible_non_counter(cx: &Context<'_>, metric: &str, labels: super::labels::LabelSet) -> Option<String> {
    if cx.settings.type_and_unit_labels {
        let metric_type = cx.labels.value_text(labels, "__type__");
        return (!matches!(metric_type, "counter" | "histogram")).then(|| {
            format!(
                "metric might not be a counter, __type__ label is not set to \"counter\" or \"histogram\", got {}: {}",
                quoted(metric_type),
                quoted(metric)
            )
        });
    }
    let counts = ["_total", "_sum", "_count", "_bucket"].iter().any(|suffix| metric.ends_with(suffix));
    (!counts).then(|| {
        format!(
            "metric might not be a counter, name does not end in _total/_sum/_count/_bucket: {}",
            quoted(metric)
        )
    })
}
