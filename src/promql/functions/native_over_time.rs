//! Sum and mean of the native histograms of a window.

use std::sync::Arc;

use crate::model::{CounterResetHint, FloatHistogram};

use super::native::{HistogramMean, HistogramSum};
use super::{Note, Notes};

/// Sum; `None` without histograms, or where exponential and custom buckets meet.
pub(crate) fn sum(histograms: &[Arc<FloatHistogram>], notes: &mut Notes) -> Option<FloatHistogram> {
    let (first, rest) = histograms.split_first()?;
    let mut sum = HistogramSum::of(first);
    fold(histograms, rest, notes, |histogram| sum.add(histogram))?;
    Some(sum.finish())
}

/// Mean; `None` without histograms, or where exponential and custom buckets meet.
pub(crate) fn mean(histograms: &[Arc<FloatHistogram>], notes: &mut Notes) -> Option<FloatHistogram> {
    let (first, rest) = histograms.split_first()?;
    let mut mean = HistogramMean::of(first);
    fold(histograms, rest, notes, |histogram| mean.add(histogram))?;
    Some(mean.finish())
}

/// Adds the rest and notes what there is to say about all.
fn fold(
    all: &[Arc<FloatHistogram>],
    rest: &[Arc<FloatHistogram>],
    notes: &mut Notes,
    mut add: impl FnMut(&FloatHistogram) -> Option<bool>,
) -> Option<()> {
    for histogram in rest {
        match add(histogram) {
            Some(true) => notes.add(Note::BoundsReconciledAggregating),
            Some(false) => {}
            None => {
                notes.add(Note::MixedSchemas);
                return None;
            }
        }
    }
    let has = |hint| all.iter().any(|histogram| histogram.counter_reset_hint == hint);
    if has(CounterResetHint::Reset) && has(CounterResetHint::NotReset) {
        notes.add(Note::ResetHintsCollide);
    }
    Some(())
}
