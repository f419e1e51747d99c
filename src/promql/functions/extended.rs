//! Windows whose edges are samples outside of them: `anchored` takes the sample before, `smoothed` interpolates.

use crate::model::Timestamp;

use super::Window;
use super::rate::{Growth, seconds};

/// The value of the line through two samples at a time between them. A counter that fell started from zero.
pub(crate) fn interpolate(
    before: (Timestamp, f64),
    after: (Timestamp, f64),
    t: Timestamp,
    is_counter: bool,
) -> f64 {
    let (mut left, right) = (before.1, after.1);
    if is_counter && right < left {
        left = 0.0;
    }
    left + (right - left) * (t - before.0) as f64 / (after.0 - before.0) as f64
}

/// Where a window's edges stand among samples that reach beyond it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct EdgePlaces {
    first: usize,
    last: usize,
}

impl EdgePlaces {
    /// `None` where no sample lies after the start.
    fn of(times: &[Timestamp], start: Timestamp, end: Timestamp, smoothed: bool) -> Option<Self> {
        let mut last = times.len().checked_sub(1)?;
        let first = times[..last].partition_point(|t| *t <= start).saturating_sub(1);
        if smoothed {
            last = times[..last].partition_point(|t| *t < end);
        }
        (times[last] > start).then_some(Self { first, last })
    }

    fn left(&self, window: &Window<'_>, smoothed: bool, is_counter: bool) -> f64 {
        let (times, floats) = (window.float_times, window.floats);
        let at = self.first;
        if smoothed && times[at] < window.start {
            return interpolate(
                (times[at], floats[at]),
                (times[at + 1], floats[at + 1]),
                window.start,
                is_counter,
            );
        }
        floats[at]
    }

    fn right(&self, window: &Window<'_>, smoothed: bool, is_counter: bool) -> f64 {
        let (times, floats) = (window.float_times, window.floats);
        let at = self.last;
        if smoothed && at > 0 && times[at] > window.end {
            return interpolate(
                (times[at - 1], floats[at - 1]),
                (times[at], floats[at]),
                window.end,
                is_counter,
            );
        }
        floats[at]
    }

    /// Places of the samples that are not edges themselves, strictly inside.
    fn inside(&self, times: &[Timestamp], start: Timestamp, end: Timestamp) -> std::ops::Range<usize> {
        let first = self.first + usize::from(times[self.first] <= start);
        let after_last = self.last + usize::from(times[self.last] < end);
        first..after_last.max(first)
    }
}

/// Growth of floats between a window's edges.
pub(crate) fn growth(window: &Window<'_>, smoothed: bool, growth: Growth) -> Option<f64> {
    let times = window.float_times;
    let places = EdgePlaces::of(times, window.start, window.end, smoothed)?;
    if smoothed && times[places.first] > window.end {
        return None;
    }
    let left = places.left(window, smoothed, growth.is_counter);
    let right = places.right(window, smoothed, growth.is_counter);
    let mut result = right - left;
    if growth.is_counter {
        let inside = places.inside(times, window.start, window.end);
        result += lost_by_resets(left, &window.floats[inside], right);
    }
    Some(if growth.per_second { result / seconds(window.start, window.end) } else { result })
}

fn lost_by_resets(left: f64, inside: &[f64], right: f64) -> f64 {
    let mut lost = 0.0;
    let mut before = left;
    for value in inside.iter().copied().chain([right]) {
        if value < before {
            lost += before;
        }
        before = value;
    }
    lost
}

/// A window's floats with its edges as samples of their own: what a range selector itself shows.
pub(crate) fn with_edges(window: &Window<'_>, smoothed: bool) -> Vec<(Timestamp, f64)> {
    let Some(places) = EdgePlaces::of(window.float_times, window.start, window.end, smoothed) else {
        return Vec::new();
    };
    let inside = places.inside(window.float_times, window.start, window.end);
    let mut samples = vec![(window.start, places.left(window, smoothed, false))];
    samples.extend(inside.map(|at| (window.float_times[at], window.floats[at])));
    samples.push((window.end, places.right(window, smoothed, false)));
    samples
}

/// Where the samples start that `changes` and `resets` look at under `anchored`: first place among floats and among
/// histograms. The newest sample up to the window's start counts, those before it do not. `None` where none is inside.
pub(crate) fn anchored_start(window: &Window<'_>) -> Option<(usize, usize)> {
    let floats = window.float_times.partition_point(|t| *t <= window.start);
    let histograms = window.histogram_times.partition_point(|t| *t <= window.start);
    if floats >= window.floats.len() && histograms >= window.histograms.len() {
        return None;
    }
    let float_before = floats.checked_sub(1).map(|at| window.float_times[at]);
    let histogram_before = histograms.checked_sub(1).map(|at| window.histogram_times[at]);
    Some(match (float_before, histogram_before) {
        (None, None) => (0, 0),
        (Some(_), None) => (floats - 1, histograms),
        (Some(float), Some(histogram)) if float >= histogram => (floats - 1, histograms),
        _ => (floats, histograms - 1),
    })
}

/// The value of an instant under `smoothed`: the sample of that time, else between its neighbours, else the one before.
pub(crate) fn smoothed_at(times: &[Timestamp], floats: &[f64], t: Timestamp) -> Option<f64> {
    let after = times.partition_point(|time| *time < t);
    match (after.checked_sub(1), times.get(after)) {
        (_, Some(time)) if *time == t => Some(floats[after]),
        (Some(before), Some(_)) => {
            Some(interpolate((times[before], floats[before]), (times[after], floats[after]), t, false))
        }
        (Some(before), None) => Some(floats[before]),
        (None, _) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::window;
    use super::*;

    const TIMES: [Timestamp; 4] = [0, 10_000, 20_000, 30_000];
    const FLOATS: [f64; 4] = [1.0, 3.0, 2.0, 6.0];

    #[test]
    fn anchored_edges_are_samples() {
        let view = window(&TIMES, &FLOATS, 5_000, 25_000);
        // From 1 to 6, and 3 lost by the reset; the sample after the window is its caller's to leave out.
        let before_end = Window { float_times: &TIMES[..3], floats: &FLOATS[..3], ..view };
        assert_eq!(growth(&before_end, false, Growth::INCREASE), Some(4.0));
        assert_eq!(growth(&before_end, false, Growth::DELTA), Some(1.0));
        assert_eq!(
            with_edges(&before_end, false),
            [(5_000, 1.0), (10_000, 3.0), (20_000, 2.0), (25_000, 2.0)]
        );
    }

    #[test]
    fn smoothed_edges_lie_on_lines() {
        let view = window(&TIMES, &FLOATS, 5_000, 25_000);
        assert_eq!(growth(&view, true, Growth::DELTA), Some(2.0));
        assert_eq!(growth(&view, true, Growth::INCREASE), Some(5.0));
        assert_eq!(with_edges(&view, true), [(5_000, 2.0), (10_000, 3.0), (20_000, 2.0), (25_000, 4.0)]);
    }

    #[test]
    fn nothing_after_the_start_is_nothing() {
        let view = window(&TIMES, &FLOATS, 30_000, 40_000);
        assert_eq!(growth(&view, false, Growth::RATE), None);
        assert_eq!(anchored_start(&view), None);
        assert_eq!(anchored_start(&window(&TIMES, &FLOATS, 15_000, 40_000)), Some((1, 0)));
    }

    #[test]
    fn instants_lie_on_lines() {
        assert_eq!(smoothed_at(&TIMES, &FLOATS, 15_000), Some(2.5));
        assert_eq!(smoothed_at(&TIMES, &FLOATS, 10_000), Some(3.0));
        assert_eq!(smoothed_at(&TIMES, &FLOATS, 99_000), Some(6.0));
        assert_eq!(smoothed_at(&TIMES, &FLOATS, -1), None);
    }
}
