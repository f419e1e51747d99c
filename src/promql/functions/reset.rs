//! Counter resets between native histograms: whether there is one, and what is known of it when samples are read.

use crate::model::{CounterResetHint, FloatHistogram, Histogram, HistogramCounts};

use super::sparse;

/// Whether a counter began anew between two histograms.
pub(crate) fn is_reset(current: &FloatHistogram, previous: &FloatHistogram) -> bool {
    match current.counter_reset_hint {
        CounterResetHint::Reset => true,
        CounterResetHint::NotReset => false,
        CounterResetHint::Unknown | CounterResetHint::Gauge => is_less(current, previous),
    }
}

/// The same whatever the hint says.
fn is_less(current: &FloatHistogram, previous: &FloatHistogram) -> bool {
    let same_buckets = current.schema == previous.schema
        && current.zero_threshold == previous.zero_threshold
        && current.positive_spans == previous.positive_spans
        && current.negative_spans == previous.negative_spans
        && current.custom_values == previous.custom_values;
    if !same_buckets {
        return sparse::is_less(current, previous);
    }
    let falls = |now: &[f64], before: &[f64]| now.iter().zip(before).any(|(now, before)| now < before);
    current.count < previous.count
        || current.zero_count < previous.zero_count
        || falls(&current.positive_buckets, &previous.positive_buckets)
        || falls(&current.negative_buckets, &previous.negative_buckets)
}

/// Whose view of resets a reader takes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum ResetView {
    /// Upstream's storage: a histogram that goes on from the one before is no reset; of one that does not, nothing is
    /// known.
    #[default]
    Storage,
    /// Upstream's reader of counts and sums: what does not go on is a reset.
    Statistics,
}

/// What is known of a reset before a stored histogram. `before`: the sample right before it in the merged stream, where
/// that is a histogram too. A hint of the sender's stays, but `not_reset` only where there is nothing to compare with: it
/// was said of what the sender knew as the sample before.
pub(crate) fn hint_of(current: &Histogram, before: Option<&Histogram>, view: ResetView) -> CounterResetHint {
    use CounterResetHint::{Gauge, NotReset, Reset, Unknown};
    let stated = current.counter_reset_hint;
    let Some(before) = before.filter(|_| matches!(stated, Unknown | NotReset)) else { return stated };
    if before.is_stale() {
        return Unknown;
    }
    let goes_on = before.counter_reset_hint != Gauge
        && current.schema == before.schema
        && current.zero_threshold == before.zero_threshold
        && current.custom_values == before.custom_values;
    match view {
        ResetView::Storage if !goes_on => Unknown,
        ResetView::Storage if stored_is_less(current, before) => Unknown,
        ResetView::Statistics if stored_is_less(current, before) => Reset,
        ResetView::Storage | ResetView::Statistics => NotReset,
    }
}

/// [`is_less`] of stored histograms; allocates only where their buckets differ.
fn stored_is_less(current: &Histogram, before: &Histogram) -> bool {
    let same_buckets = current.schema == before.schema
        && current.zero_threshold == before.zero_threshold
        && current.positive_spans == before.positive_spans
        && current.negative_spans == before.negative_spans
        && current.custom_values == before.custom_values;
    let (
        HistogramCounts::Integer { count, zero_count, positive_deltas, negative_deltas },
        HistogramCounts::Integer {
            count: count_before,
            zero_count: zero_count_before,
            positive_deltas: positive_before,
            negative_deltas: negative_before,
        },
        true,
    ) = (&current.counts, &before.counts, same_buckets)
    else {
        return is_less(&current.to_float(), &before.to_float());
    };
    count < count_before
        || zero_count < zero_count_before
        || deltas_fall(positive_deltas, positive_before)
        || deltas_fall(negative_deltas, negative_before)
}

/// Whether a bucket has less than before, from buckets as differences to the bucket before.
fn deltas_fall(now: &[i64], before: &[i64]) -> bool {
    let mut growth = 0_i64;
    now.iter().zip(before).any(|(now, before)| {
        growth = growth.wrapping_add(now.wrapping_sub(*before));
        growth < 0
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Span;

    fn counter(count: u64, deltas: &[i64]) -> Histogram {
        Histogram {
            counter_reset_hint: CounterResetHint::Unknown,
            schema: 0,
            zero_threshold: 0.0,
            sum: 1.0,
            counts: HistogramCounts::Integer {
                count,
                zero_count: 0,
                positive_deltas: deltas.to_vec(),
                negative_deltas: Vec::new(),
            },
            positive_spans: vec![Span { offset: 0, length: deltas.len() as u32 }],
            negative_spans: Vec::new(),
            custom_values: Vec::new(),
        }
    }

    #[test]
    fn what_goes_on_is_no_reset() {
        let (small, large) = (counter(2, &[1, 0]), counter(5, &[2, 1]));
        let stored =
            |current: &Histogram, before: Option<&Histogram>| hint_of(current, before, ResetView::Storage);
        assert_eq!(stored(&large, Some(&small)), CounterResetHint::NotReset);
        assert_eq!(stored(&small, Some(&large)), CounterResetHint::Unknown);
        assert_eq!(stored(&large, None), CounterResetHint::Unknown);
        assert_eq!(hint_of(&small, Some(&large), ResetView::Statistics), CounterResetHint::Reset);
        let finer = Histogram { schema: 1, ..large.clone() };
        assert_eq!(stored(&finer, Some(&small)), CounterResetHint::Unknown, "another chunk");
        let gauge = Histogram { counter_reset_hint: CounterResetHint::Gauge, ..large.clone() };
        assert_eq!(stored(&gauge, Some(&small)), CounterResetHint::Gauge);
        assert_eq!(stored(&large, Some(&gauge)), CounterResetHint::Unknown);
    }

    #[test]
    fn not_reset_is_checked_where_it_can_be() {
        let told = |count, deltas| Histogram {
            counter_reset_hint: CounterResetHint::NotReset,
            ..counter(count, deltas)
        };
        let small = told(2, &[1, 0]);
        let large = counter(5, &[2, 1]);
        assert_eq!(hint_of(&small, Some(&large), ResetView::Storage), CounterResetHint::Unknown);
        assert_eq!(hint_of(&small, None, ResetView::Storage), CounterResetHint::NotReset);
    }

    #[test]
    fn stored_and_computed_histograms_are_compared_alike() {
        let histograms =
            [counter(3, &[1, 1]), counter(3, &[2, -1]), counter(4, &[1, 1, -1]), counter(2, &[2])];
        for current in &histograms {
            for before in &histograms {
                let (now, then) = (current.to_float(), before.to_float());
                assert_eq!(stored_is_less(current, before), sparse::is_less(&now, &then), "{now:?} {then:?}");
                assert_eq!(is_less(&now, &then), sparse::is_less(&now, &then), "{now:?} {then:?}");
            }
        }
    }
}
