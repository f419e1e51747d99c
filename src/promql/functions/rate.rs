//! Growth within a window: `rate`, `increase`, `delta`, `irate`, `idelta`, `resets`, `changes`.

use crate::model::Timestamp;

use super::{Note, Notes, Window};

/// What of a window's growth is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Growth {
    /// A falling value is a reset, and a zero before the window is not passed.
    pub(crate) is_counter: bool,
    /// Per second, not over the window.
    pub(crate) per_second: bool,
}

impl Growth {
    /// `rate`
    pub(crate) const RATE: Self = Self { is_counter: true, per_second: true };
    /// `increase`
    pub(crate) const INCREASE: Self = Self { is_counter: true, per_second: false };
    /// `delta`
    pub(crate) const DELTA: Self = Self { is_counter: false, per_second: false };
}

/// Seconds between two times.
pub(crate) fn seconds(from: Timestamp, to: Timestamp) -> f64 {
    to.saturating_sub(from) as f64 / 1000.0
}

/// Growth of floats over a window, stretched towards the window's edges. `None` with fewer than two samples, unless
/// a start timestamp inside the window stands for a zero.
pub(crate) fn extrapolated(window: &Window<'_>, growth: Growth, notes: &mut Notes) -> Option<f64> {
    let (first, last) = (*window.floats.first()?, *window.floats.last()?);
    let mut result = last - first;
    let starts = if growth.is_counter { window.float_starts } else { &[] };
    if growth.is_counter {
        result = if starts.is_empty() {
            add_resets(window, result)
        } else {
            add_resets_and_starts(window, result, notes)
        };
    }
    let edges = Edges::of(window.float_times, window, starts);
    let factor = edges.factor(window, growth, |edges| {
        (result > 0.0 && first >= 0.0).then(|| edges.sampled * (first / result))
    })?;
    if edges.start_inside.is_some() {
        result += first;
    }
    Some(result * factor)
}

/// Adds what each fall has lost. Costs what there are falls, not samples, where they are known.
fn add_resets(window: &Window<'_>, growth: f64) -> f64 {
    let mut result = growth;
    if let Some(falls) = window.falls {
        for place in falls.places.iter().filter(|place| **place > falls.first) {
            result += window.floats[place - falls.first - 1];
        }
        return result;
    }
    for pair in window.floats.windows(2) {
        if pair[1] < pair[0] {
            result += pair[0];
        }
    }
    result
}

fn add_resets_and_starts(window: &Window<'_>, growth: f64, notes: &mut Notes) -> f64 {
    let mut result = growth;
    let mut overlaps = false;
    for at in 1..window.floats.len() {
        let pair = StartPair::at(window.float_times, window.float_starts, at);
        overlaps |= pair.overlaps();
        if window.floats[at] < window.floats[at - 1] || pair.is_reset() {
            result += window.floats[at - 1];
        }
    }
    if overlaps {
        notes.add(Note::StartTimeOverlap);
    }
    result
}

/// Times and start timestamps of two neighbouring samples.
#[derive(Clone, Copy, Debug)]
pub(crate) struct StartPair {
    previous_start: Timestamp,
    previous: Timestamp,
    start: Timestamp,
    current: Timestamp,
}

impl StartPair {
    /// Of the samples before and at a place; without start timestamps there is none.
    pub(crate) fn at(times: &[Timestamp], starts: &[Timestamp], at: usize) -> Self {
        let start = |at: usize| starts.get(at).copied().unwrap_or(0);
        Self { previous_start: start(at - 1), previous: times[at - 1], start: start(at), current: times[at] }
    }

    /// Whether the start timestamps tell that the counter began anew between the two.
    pub(crate) fn is_reset(&self) -> bool {
        if self.start == 0 || self.start >= self.current || self.start < self.previous {
            return false;
        }
        if self.start > self.previous {
            return true;
        }
        // The start is the sample before: a delta, unless the start before it is not known or makes no sense.
        self.previous_start <= self.previous
            && self.previous_start != 0
            && self.previous_start != self.previous
    }

    /// Whether the later sample starts before the earlier one was taken, but not where that one starts.
    pub(crate) fn overlaps(&self) -> bool {
        self.start != 0 && self.start < self.previous && self.start != self.previous_start
    }
}

/// Distances between samples and edges of a window, in seconds.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Edges {
    to_start: f64,
    to_end: f64,
    /// From the first sample, or from the start timestamp that stands for one, to the last.
    pub(crate) sampled: f64,
    average: f64,
    gaps: usize,
    /// The first sample's start timestamp where it lies inside the window.
    pub(crate) start_inside: Option<Timestamp>,
}

impl Edges {
    /// `times` must not be empty. `starts`: start timestamps that count.
    pub(crate) fn of(times: &[Timestamp], window: &Window<'_>, starts: &[Timestamp]) -> Self {
        let (first, last) = (times[0], times[times.len() - 1]);
        let gaps = times.len() - 1;
        let sampled = seconds(first, last);
        let start_inside =
            starts.first().copied().filter(|start| *start != 0 && *start > window.start && *start < first);
        Self {
            to_start: seconds(window.start, first),
            to_end: seconds(last, window.end),
            sampled: start_inside.map_or(sampled, |start| seconds(start, last)),
            average: if gaps > 0 { sampled / gaps as f64 } else { 0.0 },
            gaps,
            start_inside,
        }
    }

    /// By what the growth between the samples is multiplied to stand for the window. `to_zero`: how long before the
    /// first sample the counter was zero, if that can be told. `None` where one sample tells nothing.
    pub(crate) fn factor(
        &self,
        window: &Window<'_>,
        growth: Growth,
        to_zero: impl Fn(&Self) -> Option<f64>,
    ) -> Option<f64> {
        let threshold = self.average * 1.1;
        let mut to_start = self.to_start;
        if self.start_inside.is_some() {
            to_start = 0.0;
        } else if self.gaps == 0 {
            return None;
        } else {
            if to_start >= threshold {
                to_start = self.average / 2.0;
            }
            if let Some(to_zero) = to_zero(self).filter(|to_zero| growth.is_counter && *to_zero < to_start) {
                to_start = to_zero;
            }
        }
        let to_end = if self.to_end >= threshold { self.average / 2.0 } else { self.to_end };
        let factor =
            if self.sampled == 0.0 { 1.0 } else { (self.sampled + to_start + to_end) / self.sampled };
        Some(if growth.per_second { factor / seconds(window.start, window.end) } else { factor })
    }
}

/// The last two samples of a window: floats' difference, per second for a counter.
pub(crate) fn instant(window: &Window<'_>, is_rate: bool) -> Option<f64> {
    let at = window.floats.len().checked_sub(2)? + 1;
    let (before, last) = (window.floats[at - 1], window.floats[at]);
    let is_reset =
        is_rate && (last < before || StartPair::at(window.float_times, window.float_starts, at).is_reset());
    let growth = if is_reset { last } else { last - before };
    let between = seconds(window.float_times[at - 1], window.float_times[at]);
    Some(if is_rate { growth / between } else { growth })
}

/// How often floats fall, or their start timestamps tell of a reset.
pub(crate) fn resets(times: &[Timestamp], floats: &[f64], starts: &[Timestamp]) -> usize {
    if starts.is_empty() {
        return floats.windows(2).filter(|pair| pair[1] < pair[0]).count();
    }
    (1..floats.len())
        .filter(|at| floats[*at] < floats[at - 1] || StartPair::at(times, starts, *at).is_reset())
        .count()
}

/// How often floats change; one NaN is like another.
pub(crate) fn changes(floats: &[f64]) -> usize {
    floats.windows(2).filter(|pair| pair[0] != pair[1] && !(pair[0].is_nan() && pair[1].is_nan())).count()
}

#[cfg(test)]
mod tests {
    use super::super::testing::window;
    use super::*;

    fn growth_of(times: &[Timestamp], floats: &[f64], start: i64, end: i64, growth: Growth) -> Option<f64> {
        extrapolated(&window(times, floats, start, end), growth, &mut Notes::default())
    }

    #[test]
    fn samples_at_the_edges_are_stretched_to_them() {
        // 10 per 10 s from 5 s to 55 s; both edges lie within 1.1 gaps.
        let times = [5_000, 15_000, 25_000, 35_000, 45_000, 55_000];
        let floats = [100.0, 110.0, 120.0, 130.0, 140.0, 150.0];
        assert_eq!(growth_of(&times, &floats, 0, 60_000, Growth::INCREASE), Some(60.0));
        assert_eq!(growth_of(&times, &floats, 0, 60_000, Growth::RATE), Some(1.0));
    }

    #[test]
    fn far_edges_get_half_a_gap() {
        let times = [30_000, 40_000];
        let floats = [100.0, 110.0];
        assert_eq!(growth_of(&times, &floats, 0, 100_000, Growth::DELTA), Some(20.0));
    }

    #[test]
    fn a_counter_is_not_stretched_below_zero() {
        let times = [5_000, 15_000];
        let floats = [2.0, 12.0];
        // To the start it could be 5 s, but the counter was zero 2 s before its first sample.
        let increase = growth_of(&times, &floats, 0, 15_000, Growth::INCREASE).expect("two samples");
        assert!((increase - 12.0).abs() < 1e-12, "{increase}");
    }

    #[test]
    fn falls_are_resets_of_counters_only() {
        let times = [0, 10_000, 20_000];
        let floats = [5.0, 1.0, 3.0];
        assert_eq!(growth_of(&times, &floats, -1, 20_000, Growth::DELTA).map(|v| v < 0.0), Some(true));
        let increase = growth_of(&times, &floats, -1, 20_000, Growth::INCREASE).expect("three samples");
        assert!((increase - 3.000_15).abs() < 1e-9, "{increase}");
    }

    #[test]
    fn one_sample_tells_nothing_without_its_start() {
        let times = [10_000];
        let floats = [4.0];
        assert_eq!(growth_of(&times, &floats, 0, 20_000, Growth::RATE), None);
        let starts = [5_000];
        let with_start = Window { float_starts: &starts, ..window(&times, &floats, 0, 20_000) };
        assert_eq!(extrapolated(&with_start, Growth::INCREASE, &mut Notes::default()), Some(4.0));
    }

    #[test]
    fn start_timestamps_tell_resets() {
        let pair =
            |previous_start, previous, start, current| StartPair { previous_start, previous, start, current };
        assert!(pair(1, 10, 11, 20).is_reset());
        assert!(pair(1, 10, 10, 20).is_reset(), "a delta");
        assert!(!pair(0, 10, 10, 20).is_reset(), "start of the one before is not known");
        assert!(!pair(10, 10, 10, 20).is_reset());
        assert!(!pair(1, 10, 20, 20).is_reset());
        assert!(!pair(1, 10, 5, 20).is_reset());
        assert!(pair(1, 10, 5, 20).overlaps());
        assert!(!pair(5, 10, 5, 20).overlaps());
    }

    #[test]
    fn the_last_two_samples_count_for_irate() {
        let times = [0, 10_000, 20_000];
        let rate = |floats: &[f64]| instant(&window(&times, floats, -1, 20_000), true);
        assert_eq!(rate(&[0.0, 10.0, 30.0]), Some(2.0));
        assert_eq!(rate(&[0.0, 30.0, 10.0]), Some(1.0));
        assert_eq!(instant(&window(&times, &[0.0, 30.0, 10.0], -1, 20_000), false), Some(-20.0));
        assert_eq!(instant(&window(&times[..1], &[0.0], -1, 20_000), true), None);
    }

    #[test]
    fn resets_and_changes_are_counted() {
        let times = [0, 1, 2, 3];
        assert_eq!(resets(&times, &[1.0, 0.0, 1.0, 0.5], &[]), 2);
        assert_eq!(changes(&[1.0, 1.0, f64::NAN, f64::NAN]), 1);
    }
}
