//! Growth of native histograms within a window.

use std::sync::Arc;

use crate::model::{CUSTOM_BUCKETS_SCHEMA, CounterResetHint, FloatHistogram, Timestamp};

use super::native::scaled;
use super::rate::{Edges, Growth, StartPair, seconds};
use super::reset::is_reset;
use super::sparse::{Combined, Sparse};
use super::{Note, Notes, Window};

/// Notes what an addition or subtraction has found; `None` where the two do not go together.
fn noted(combined: Option<Combined>, reconciled: Note, notes: &mut Notes) -> Option<()> {
    match combined {
        None => {
            notes.add(Note::MixedSchemas);
            None
        }
        Some(combined) => {
            if combined.bounds_reconciled {
                notes.add(reconciled);
            }
            Some(())
        }
    }
}

fn add(to: &mut Sparse, histogram: &FloatHistogram, notes: &mut Notes) -> Option<()> {
    noted(to.add(histogram, 1.0), Note::BoundsReconciledAdding, notes)
}

fn subtract(from: &mut Sparse, histogram: &FloatHistogram, notes: &mut Notes) -> Option<()> {
    noted(from.add(histogram, -1.0), Note::BoundsReconciledSubtracting, notes)
}

fn is_custom(histogram: &FloatHistogram) -> bool {
    histogram.schema == CUSTOM_BUCKETS_SCHEMA
}

fn is_gauge(histogram: &FloatHistogram) -> bool {
    histogram.counter_reset_hint == CounterResetHint::Gauge
}

/// Growth of the histograms of a window, stretched towards the window's edges as floats' is.
pub(crate) fn extrapolated(window: &Window<'_>, growth: Growth, notes: &mut Notes) -> Option<FloatHistogram> {
    let first = window.histograms.first()?;
    let starts = if growth.is_counter { window.histogram_starts } else { &[] };
    let mut result =
        if window.histograms.len() > 1 { Some(difference(window, growth, notes)?) } else { None };
    let edges = Edges::of(window.histogram_times, window, starts);
    let grown = result.as_ref().map_or(0.0, Sparse::count);
    let factor = edges.factor(window, growth, |edges| {
        (grown > 0.0 && first.count >= 0.0).then(|| edges.sampled * (first.count / grown))
    })?;
    if edges.start_inside.is_some() {
        match &mut result {
            Some(result) => add(result, first, notes)?,
            None => result = Some(Sparse::of(first)),
        }
    }
    let mut result = result?;
    result.scale(factor);
    Some(result.finish())
}

/// The last histogram less the first, with what resets have lost.
fn difference(window: &Window<'_>, growth: Growth, notes: &mut Notes) -> Option<Sparse> {
    let points = window.histograms;
    let (first, last) = (&points[0], &points[points.len() - 1]);
    let starts = window.histogram_starts;
    let resets_at = |at: usize, before: &FloatHistogram| {
        StartPair::at(window.histogram_times, starts, at).is_reset() || is_reset(&points[at], before)
    };
    if growth.is_counter && (is_gauge(first) || is_gauge(last)) {
        notes.add(Note::NotCounter);
    }
    let mut before = Arc::clone(first);
    if growth.is_counter && resets_at(1, first) {
        before = Arc::new(FloatHistogram {
            schema: points[1].schema,
            custom_values: points[1].custom_values.clone(),
            ..FloatHistogram::default()
        });
    }
    if is_custom(last) != is_custom(&before) {
        notes.add(Note::MixedSchemas);
        return None;
    }
    let mut schema = last.schema.min(before.schema);
    for point in points[1..points.len() - 1].iter().filter(|_| growth.is_counter) {
        if is_gauge(point) {
            notes.add(Note::NotCounter);
        }
        schema = schema.min(point.schema);
        if is_custom(point) != is_custom(&before) {
            notes.add(Note::MixedSchemas);
            return None;
        }
    }
    let mut result = Sparse::of(last);
    if !is_custom(last) {
        result.reduce(schema);
    }
    subtract(&mut result, &before, notes)?;
    if growth.is_counter {
        let mut overlaps = false;
        for (at, point) in points.iter().enumerate().skip(1) {
            overlaps |= StartPair::at(window.histogram_times, starts, at).overlaps();
            if resets_at(at, &before) {
                add(&mut result, &before, notes)?;
            }
            before = Arc::clone(point);
        }
        if overlaps {
            notes.add(Note::StartTimeOverlap);
        }
    } else if !is_gauge(first) || !is_gauge(last) {
        notes.add(Note::NotGauge);
    }
    result.set_hint(CounterResetHint::Gauge);
    Some(result)
}

/// The difference of a window's last two histograms, per second for a counter.
pub(crate) fn instant(window: &Window<'_>, is_rate: bool, notes: &mut Notes) -> Option<FloatHistogram> {
    let at = window.histograms.len().checked_sub(2)? + 1;
    let (before, last) = (&window.histograms[at - 1], &window.histograms[at]);
    if is_rate && (is_gauge(before) || is_gauge(last)) {
        notes.add(Note::NotCounter);
    }
    let both_gauges = is_gauge(before) && is_gauge(last);
    if !is_rate && !both_gauges {
        notes.add(Note::NotGauge);
    }
    let resets = is_rate
        && (StartPair::at(window.histogram_times, window.histogram_starts, at).is_reset()
            || is_reset(last, before));
    let mut result = Sparse::of(last);
    if !resets {
        subtract(&mut result, before, notes)?;
    }
    result.set_hint(CounterResetHint::Gauge);
    if is_rate {
        result.divide(seconds(window.histogram_times[at - 1], window.histogram_times[at]));
    }
    Some(result.finish())
}

/// The histogram between two, as if each bucket grew along a line. A counter that began anew started from nothing.
pub(crate) fn interpolate(
    (before_time, before): (Timestamp, &FloatHistogram),
    (after_time, after): (Timestamp, &FloatHistogram),
    t: Timestamp,
    is_counter: bool,
    notes: &mut Notes,
) -> Option<FloatHistogram> {
    if t == before_time {
        return Some(before.clone());
    }
    if t == after_time {
        return Some(after.clone());
    }
    let fraction = (t - before_time) as f64 / (after_time - before_time) as f64;
    if is_counter && is_reset(after, before) {
        return Some(scaled(after, fraction));
    }
    let mut result = Sparse::of(after);
    subtract(&mut result, before, notes)?;
    result.scale(fraction);
    add(&mut result, before, notes)?;
    Some(result.finish())
}

/// The histogram of an instant under `smoothed`.
pub(crate) fn smoothed_at(window: &Window<'_>, t: Timestamp, notes: &mut Notes) -> Option<FloatHistogram> {
    let (times, histograms) = (window.histogram_times, window.histograms);
    let after = times.partition_point(|time| *time < t);
    if times.get(after) == Some(&t) {
        return Some(FloatHistogram::clone(&histograms[after]));
    }
    let before = after.checked_sub(1)?;
    if after == times.len() {
        let unknown = CounterResetHint::Unknown;
        return Some(FloatHistogram {
            counter_reset_hint: unknown,
            ..FloatHistogram::clone(&histograms[before])
        });
    }
    let (left, right) = (&histograms[before], &histograms[after]);
    let is_counter = !(is_gauge(left) && is_gauge(right));
    if is_custom(left) != is_custom(right) {
        notes.add(Note::MixedSchemas);
        return None;
    }
    interpolate((times[before], left), (times[after], right), t, is_counter, notes)
}

/// Growth of histograms between the edges of an `anchored` or `smoothed` window.
pub(crate) fn extended(
    window: &Window<'_>,
    smoothed: bool,
    growth: Growth,
    notes: &mut Notes,
) -> Option<FloatHistogram> {
    let (times, histograms) = (window.histogram_times, window.histograms);
    let mut last = times.len().checked_sub(1)?;
    let first = times[..last].partition_point(|t| *t <= window.start).saturating_sub(1);
    if smoothed {
        last = times[..last].partition_point(|t| *t < window.end);
    }
    if times[last] <= window.start || (smoothed && times[first] > window.end) {
        return None;
    }
    check_range(&histograms[first..=last], growth, notes)?;
    let at = |place: usize| (times[place], &*histograms[place]);
    let left = if smoothed && times[first] < window.start {
        interpolate(at(first), at(first + 1), window.start, growth.is_counter, notes)?
    } else {
        FloatHistogram::clone(&histograms[first])
    };
    let right = if smoothed && last > 0 && times[last] > window.end {
        interpolate(at(last - 1), at(last), window.end, growth.is_counter, notes)?
    } else {
        FloatHistogram::clone(&histograms[last])
    };
    let both_gauges = is_gauge(&left) && is_gauge(&right);
    if !growth.is_counter && !both_gauges {
        notes.add(Note::NotGauge);
    }
    let mut result = Sparse::of(&right);
    subtract(&mut result, &left, notes)?;
    if growth.is_counter {
        let spans_reset =
            smoothed && times[first] < window.start && is_reset(&histograms[first + 1], &histograms[first]);
        let inside = first + 1 + usize::from(spans_reset)..last;
        let anchor = if spans_reset { &histograms[first + 1] } else { &left };
        add_lost(&mut result, anchor, histograms, inside, last, &right, notes)?;
    }
    if growth.per_second {
        result.divide(seconds(window.start, window.end));
    }
    result.set_hint(CounterResetHint::Gauge);
    Some(result.finish())
}

/// Adds what resets between the edges have lost.
fn add_lost(
    result: &mut Sparse,
    anchor: &FloatHistogram,
    histograms: &[Arc<FloatHistogram>],
    inside: std::ops::Range<usize>,
    last: usize,
    right: &FloatHistogram,
    notes: &mut Notes,
) -> Option<()> {
    if inside.start > last {
        return Some(());
    }
    let mut before = anchor;
    for histogram in &histograms[inside] {
        if is_reset(histogram, before) {
            add(result, before, notes)?;
        }
        before = histogram;
    }
    if is_reset(right, before) {
        add(result, before, notes)?;
    }
    Some(())
}

/// Buckets of one kind only; counters only where counters are wanted.
fn check_range(histograms: &[Arc<FloatHistogram>], growth: Growth, notes: &mut Notes) -> Option<()> {
    for histogram in histograms {
        if is_custom(histogram) != is_custom(&histograms[0]) {
            notes.add(Note::MixedSchemas);
            return None;
        }
        if growth.is_counter && is_gauge(histogram) {
            notes.add(Note::NotCounter);
        }
    }
    Some(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Span;

    fn counter(buckets: &[f64]) -> Arc<FloatHistogram> {
        let length = u32::try_from(buckets.len()).expect("few buckets");
        Arc::new(FloatHistogram {
            count: buckets.iter().sum(),
            positive_spans: vec![Span { offset: 0, length }],
            positive_buckets: buckets.to_vec(),
            ..FloatHistogram::default()
        })
    }

    fn window<'a>(times: &'a [Timestamp], histograms: &'a [Arc<FloatHistogram>]) -> Window<'a> {
        Window { histogram_times: times, histograms, ..super::super::testing::window(&[], &[], 0, 20_000) }
    }

    #[test]
    fn each_bucket_grows_for_itself() {
        let times = [10_000, 20_000];
        let histograms = [counter(&[1.0, 2.0]), counter(&[2.0, 4.0])];
        let mut notes = Notes::default();
        let result = extrapolated(&window(&times, &histograms), Growth::INCREASE, &mut notes).expect("two");
        assert_eq!((result.count, result.positive_buckets), (6.0, vec![2.0, 4.0]));
        assert_eq!(result.counter_reset_hint, CounterResetHint::Gauge);
        let delta = extrapolated(&window(&times, &histograms), Growth::DELTA, &mut notes);
        assert!(delta.is_some() && notes.iter().eq([Note::NotGauge]));
    }

    #[test]
    fn a_falling_bucket_is_a_reset() {
        assert!(is_reset(&counter(&[3.0, 1.0]), &counter(&[1.0, 2.0])));
        assert!(!is_reset(&counter(&[3.0, 2.0]), &counter(&[1.0, 2.0])));
        assert!(is_reset(&counter(&[5.0]), &counter(&[1.0, 2.0])));
        let times = [10_000, 20_000];
        let histograms = [counter(&[5.0, 5.0]), counter(&[1.0, 2.0])];
        let result = instant(&window(&times, &histograms), true, &mut Notes::default()).expect("two");
        assert!((result.count - 0.3).abs() < 1e-12);
    }

    #[test]
    fn histograms_between_two_lie_on_lines() {
        let (a, b) = (counter(&[0.0, 2.0]), counter(&[4.0, 4.0]));
        let middle = interpolate((0, &a), (10, &b), 5, true, &mut Notes::default()).expect("compatible");
        assert_eq!((middle.count, middle.positive_buckets), (5.0, vec![2.0, 3.0]));
    }
}
