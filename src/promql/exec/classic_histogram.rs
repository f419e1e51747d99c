//! `histogram_quantile`, `histogram_quantiles`, `histogram_fraction`: buckets of classic histograms come together by
//! their labels without `le`; native histograms answer for themselves.

use std::collections::HashMap;

use crate::model::BUCKET_LABEL;
use crate::promql::annotations::MonotonicityFix;
use crate::promql::engine::QueryError;
use crate::promql::functions::classic_histogram::{self, Bucket};
use crate::promql::functions::native_quantile;
use crate::promql::parse::ast::PosRange;
use crate::promql::plan::{CallNode, Node, StepGrid};
use crate::promql::text::format_open_metrics;

use super::batch::{Batch, Row, Series, SharedHistogram};
use super::context::{Context, fail};
use super::labels::LabelSet;
use super::operator::{Source, drain, merge_repeated, ready};
use super::{notes, scalar};

/// Rows of an argument, by histogram.
struct Histograms {
    grid: StepGrid,
    pos: PosRange,
    groups: Vec<Group>,
    input: Batch,
}

/// One histogram: its classic buckets, and its native series.
struct Group {
    labels: LabelSet,
    /// Rows of buckets with their bounds.
    buckets: Vec<(f64, usize)>,
    native: Option<usize>,
}

impl Histograms {
    fn open<'q>(arg: &'q Node, grid: StepGrid, cx: &mut Context<'q>) -> Result<Self, QueryError> {
        let source = super::open(arg, grid, cx)?;
        let input = drain(source, cx)?;
        let bucket_label = cx.labels.symbols.intern(BUCKET_LABEL);
        let mut groups: Vec<Group> = Vec::new();
        let mut places: HashMap<LabelSet, usize> = HashMap::new();
        for (place, (series, row)) in input.series.iter().zip(&input.rows).enumerate() {
            if row.present.ones().any(|step| row.histogram(step).is_some()) {
                group_of(&mut groups, &mut places, series.labels).native = Some(place);
            }
            if row.present.ones().any(|step| row.histogram(step).is_none()) {
                let bound = cx.labels.value(series.labels, bucket_label);
                match parse_bound(cx.labels.symbols.text(bound)) {
                    Some(upper) => {
                        let labels = cx.labels.without(series.labels, &[bucket_label]);
                        group_of(&mut groups, &mut places, labels).buckets.push((upper, place));
                    }
                    None => {
                        let metric = shown_name(series.labels, cx);
                        let text = notes::bad_bucket_label(&metric, cx.labels.symbols.text(bound));
                        cx.annotations.warn(arg.pos, text);
                    }
                }
            }
        }
        Ok(Self { grid, pos: arg.pos, groups, input })
    }

    /// The native histogram of a group at a step, unless classic buckets stand beside it.
    fn native_at(
        &self,
        group: &Group,
        step: usize,
        buckets: &mut Vec<Bucket>,
        cx: &mut Context<'_>,
    ) -> Option<SharedHistogram> {
        let histogram = self.input.rows[group.native?].histogram(step)?;
        if buckets.is_empty() {
            return Some(std::sync::Arc::clone(histogram));
        }
        let metric = shown_name(group.labels, cx);
        cx.annotations.warn(self.pos, notes::mixed_classic_native(&metric));
        buckets.clear();
        None
    }

    /// Computes one output row per group.
    fn compute<'q>(
        &self,
        cx: &mut Context<'q>,
        output: &mut Batch,
        label: impl Fn(LabelSet, &mut Context<'q>) -> LabelSet,
        mut classic: impl FnMut(usize, &Group, &mut Vec<Bucket>, &mut Context<'q>) -> f64,
        mut native: impl FnMut(usize, &Group, &SharedHistogram, &mut Context<'q>) -> f64,
    ) -> Result<(), QueryError> {
        let mut buckets = Vec::new();
        for group in &self.groups {
            cx.check()?;
            let mut row = Row::empty(self.grid.count);
            for step in 0..self.grid.count {
                buckets.clear();
                buckets.extend(group.buckets.iter().filter_map(|(upper, place)| {
                    let row = &self.input.rows[*place];
                    (row.present.get(step) && row.histogram(step).is_none())
                        .then(|| Bucket { upper: *upper, count: row.values[step] })
                }));
                if let Some(histogram) = self.native_at(group, step, &mut buckets, cx) {
                    row.set(step, native(step, group, &histogram, cx));
                } else if !buckets.is_empty() {
                    row.set(step, classic(step, group, &mut buckets, cx));
                }
            }
            if !row.present.is_empty() {
                let named = cx.settings.delayed_name_removal;
                let labels = if named { group.labels } else { cx.labels.without_metadata(group.labels) };
                let labels = label(labels, cx);
                output.push(Series { labels, drop_name: true }, row);
            }
        }
        Ok(())
    }
}

/// The group with these labels, a new one where there is none.
fn group_of<'g>(
    groups: &'g mut Vec<Group>,
    places: &mut HashMap<LabelSet, usize>,
    labels: LabelSet,
) -> &'g mut Group {
    let place = *places.entry(labels).or_insert_with(|| {
        groups.push(Group { labels, buckets: Vec::new(), native: None });
        groups.len() - 1
    });
    &mut groups[place]
}

/// The bound in a `le` label, as Go's parser of floats reads it.
fn parse_bound(text: &str) -> Option<f64> {
    let unsigned = text.strip_prefix(['+', '-']).unwrap_or(text);
    match unsigned.to_ascii_lowercase().as_str() {
        "inf" | "infinity" => Some(if text.starts_with('-') { f64::NEG_INFINITY } else { f64::INFINITY }),
        "nan" if unsigned == text => Some(f64::NAN),
        _ if unsigned.starts_with(|c: char| c.is_ascii_digit() || c == '.') => text.parse().ok(),
        _ => None,
    }
}

/// The metric name that annotations show: names are known only while they are dropped late.
fn shown_name(labels: LabelSet, cx: &Context<'_>) -> String {
    if cx.settings.delayed_name_removal { cx.labels.metric_name(labels).to_owned() } else { String::new() }
}

/// Gives the output out, with repeated series merged.
fn finish<'q>(
    output: Batch,
    grid: StepGrid,
    held: u64,
    cx: &mut Context<'q>,
) -> Result<Source<'q>, QueryError> {
    let keeps = grid.is_instant && cx.settings.delayed_name_removal;
    let output = if keeps { output } else { merge_repeated(output)? };
    ready(output, held, cx)
}

/// Warns of quantiles outside 0 to 1.
fn warn_of(quantiles: &[f64], pos: PosRange, cx: &mut Context<'_>) {
    let mut last: Option<u64> = None;
    for q in quantiles {
        if !(0.0..=1.0).contains(q) && last != Some(q.to_bits()) {
            cx.annotations.warn(pos, notes::invalid_quantile(*q));
            last = Some(q.to_bits());
        }
    }
}

/// Opens `histogram_quantile`.
pub(crate) fn open_quantile<'q>(
    call: &'q CallNode,
    grid: StepGrid,
    cx: &mut Context<'q>,
) -> Result<Source<'q>, QueryError> {
    let [q, vector] = call.args.as_slice() else { return fail("histogram_quantile needs two arguments") };
    let held = cx.samples.held;
    let quantiles = scalar::evaluate(q, grid, cx)?;
    warn_of(&quantiles, q.pos, cx);
    let histograms = Histograms::open(vector, grid, cx)?;
    let mut output = Batch::default();
    compute_quantiles(&histograms, &quantiles, &mut output, cx, |labels, _| labels)?;
    finish(output, grid, held, cx)
}

/// Opens `histogram_quantiles`.
pub(crate) fn open_quantiles<'q>(
    call: &'q CallNode,
    grid: StepGrid,
    cx: &mut Context<'q>,
) -> Result<Source<'q>, QueryError> {
    let [vector, label, quantile_args @ ..] = call.args.as_slice() else {
        return fail("histogram_quantiles needs three arguments");
    };
    let held = cx.samples.held;
    let name = String::from_utf8_lossy(label.text()).into_owned();
    let name = cx.labels.symbols.intern(&name);
    let mut quantiles = Vec::new();
    for arg in quantile_args {
        let values = scalar::evaluate(arg, grid, cx)?;
        warn_of(&values, arg.pos, cx);
        quantiles.push(values);
    }
    let histograms = Histograms::open(vector, grid, cx)?;
    let mut output = Batch::default();
    for values in &quantiles {
        let mut texts: Vec<f64> = values.clone();
        texts.sort_by(f64::total_cmp);
        texts.dedup_by(|a, b| a.to_bits() == b.to_bits());
        for q in texts {
            let text = cx.labels.symbols.intern(&format_open_metrics(q));
            let mut part = Batch::default();
            compute_quantiles(&histograms, values, &mut part, cx, |labels, cx| {
                cx.labels.with(labels, name, text)
            })?;
            for (series, mut row) in part.series.into_iter().zip(part.rows) {
                for step in row.present.clone().ones() {
                    if values[step].to_bits() != q.to_bits() {
                        row.unset(step);
                    }
                }
                output.push(series, row);
            }
        }
    }
    finish(output, grid, held, cx)
}

fn compute_quantiles<'q>(
    histograms: &Histograms,
    quantiles: &[f64],
    output: &mut Batch,
    cx: &mut Context<'q>,
    label: impl Fn(LabelSet, &mut Context<'q>) -> LabelSet,
) -> Result<(), QueryError> {
    let (grid, pos) = (histograms.grid, histograms.pos);
    histograms.compute(
        cx,
        output,
        label,
        |step, group, buckets, cx| {
            let (value, forced) = classic_histogram::quantile(quantiles[step], buckets);
            if let Some(forced) = forced {
                let t = grid.time(step);
                let fix = MonotonicityFix {
                    bucket_min: forced.bucket_min,
                    bucket_max: forced.bucket_max,
                    difference_max: forced.difference_max,
                    times: (t, t),
                    count: 1,
                };
                let metric = shown_name(group.labels, cx);
                cx.annotations.monotonicity(pos, &metric, fix);
            }
            value
        },
        |step, group, histogram, cx| {
            let (value, note) = native_quantile::quantile(quantiles[step], histogram);
            annotate_nan(note, group, pos, cx);
            value
        },
    )
}

fn annotate_nan(note: Option<&str>, group: &Group, pos: PosRange, cx: &mut Context<'_>) {
    if let Some(text) = note {
        let metric = shown_name(group.labels, cx);
        cx.annotations.info(pos, crate::promql::annotations::for_metric_name(text, &metric));
    }
}

/// Opens `histogram_fraction`.
pub(crate) fn open_fraction<'q>(
    call: &'q CallNode,
    grid: StepGrid,
    cx: &mut Context<'q>,
) -> Result<Source<'q>, QueryError> {
    let [lower, upper, vector] = call.args.as_slice() else {
        return fail("histogram_fraction needs three arguments");
    };
    let held = cx.samples.held;
    let lower = scalar::evaluate(lower, grid, cx)?;
    let upper = scalar::evaluate(upper, grid, cx)?;
    let histograms = Histograms::open(vector, grid, cx)?;
    let pos = histograms.pos;
    let mut output = Batch::default();
    histograms.compute(
        cx,
        &mut output,
        |labels, _| labels,
        |step, _, buckets, _| classic_histogram::fraction(lower[step], upper[step], buckets),
        |step, group, histogram, cx| {
            let (value, note) = native_quantile::fraction(lower[step], upper[step], histogram);
            annotate_nan(note, group, pos, cx);
            value
        },
    )?;
    finish(output, grid, held, cx)
}
