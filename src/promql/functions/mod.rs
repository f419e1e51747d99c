//! What functions compute, each pure over its samples: free functions over slices, without storage, labels or grid.
//!
//! Signatures are listed in [`crate::promql::parse::functions`]; `exec` calls what stands here.

pub(crate) mod classic_histogram;
pub(crate) mod extended;
pub(crate) mod labels;
pub(crate) mod math;
pub(crate) mod native;
pub(crate) mod native_over_time;
pub(crate) mod native_quantile;
pub(crate) mod native_rate;
pub(crate) mod native_trim;
pub(crate) mod numeric;
pub(crate) mod over_time;
pub(crate) mod rate;
pub(crate) mod reset;
pub(crate) mod sparse;
pub(crate) mod time;

use std::sync::Arc;

use crate::model::{FloatHistogram, Timestamp};

/// Where a series' floats fall, found once for all of its windows.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Falls<'a> {
    /// Places in the series of floats below the one before, those of the window.
    pub(crate) places: &'a [usize],
    /// Place in the series of the window's first float.
    pub(crate) first: usize,
}

/// The samples of one series that one step sees.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Window<'a> {
    /// Where the window starts; what lies there is outside.
    pub(crate) start: Timestamp,
    /// Where it ends; what lies there is inside.
    pub(crate) end: Timestamp,
    /// The step's own time.
    pub(crate) eval_time: Timestamp,
    /// Times of the floats, strictly rising.
    pub(crate) float_times: &'a [Timestamp],
    /// Floats.
    pub(crate) floats: &'a [f64],
    /// Start timestamps of the floats: none, or one each.
    pub(crate) float_starts: &'a [Timestamp],
    /// Where the floats fall, if that is known.
    pub(crate) falls: Option<Falls<'a>>,
    /// Times of the histograms, strictly rising, none of them a float's.
    pub(crate) histogram_times: &'a [Timestamp],
    /// Histograms.
    pub(crate) histograms: &'a [Arc<FloatHistogram>],
    /// Start timestamps of the histograms: none, or one each.
    pub(crate) histogram_starts: &'a [Timestamp],
}

impl Window<'_> {
    /// How many samples.
    pub(crate) fn len(&self) -> usize {
        self.floats.len() + self.histograms.len()
    }

    /// Whether both kinds are there.
    pub(crate) fn is_mixed(&self) -> bool {
        !self.floats.is_empty() && !self.histograms.is_empty()
    }
}

/// Something to say about a window; `exec` knows of which metric and where in the query.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Note {
    /// Floats and histograms together give no result.
    MixedFloatsHistograms,
    /// Histograms were left out.
    HistogramsIgnored,
    /// A gauge histogram where a counter is wanted.
    NotCounter,
    /// A counter histogram where a gauge is wanted.
    NotGauge,
    /// Exponential and custom buckets together give no result.
    MixedSchemas,
    /// Custom bounds differed while adding.
    BoundsReconciledAdding,
    /// Custom bounds differed while subtracting.
    BoundsReconciledSubtracting,
    /// Custom bounds differed while aggregating.
    BoundsReconciledAggregating,
    /// A histogram was marked as a reset, another as none.
    ResetHintsCollide,
    /// A sample starts before the one before it.
    StartTimeOverlap,
}

/// Notes of one series; each kind once, overlaps counted.
#[derive(Clone, Debug, Default)]
pub(crate) struct Notes {
    bits: u16,
    overlaps: u64,
}

impl Notes {
    const ALL: [Note; 10] = [
        Note::MixedFloatsHistograms,
        Note::HistogramsIgnored,
        Note::NotCounter,
        Note::NotGauge,
        Note::MixedSchemas,
        Note::BoundsReconciledAdding,
        Note::BoundsReconciledSubtracting,
        Note::BoundsReconciledAggregating,
        Note::ResetHintsCollide,
        Note::StartTimeOverlap,
    ];

    /// Whether there are none.
    pub(crate) fn is_empty(&self) -> bool {
        self.bits == 0
    }

    /// Adds a note.
    pub(crate) fn add(&mut self, note: Note) {
        self.bits |= 1 << note as u16;
        if note == Note::StartTimeOverlap {
            self.overlaps += 1;
        }
    }

    /// The kinds that were added.
    pub(crate) fn iter(&self) -> impl Iterator<Item = Note> + '_ {
        Self::ALL.into_iter().filter(|note| self.bits >> (*note as u16) & 1 == 1)
    }

    /// How many windows overlapped.
    pub(crate) fn overlaps(&self) -> u64 {
        self.overlaps
    }
}

#[cfg(test)]
pub(crate) mod testing {
    use super::{Timestamp, Window};

    /// A window of floats over (`start`, `end`].
    pub(crate) fn window<'a>(
        times: &'a [Timestamp],
        floats: &'a [f64],
        start: Timestamp,
        end: Timestamp,
    ) -> Window<'a> {
        assert_eq!(times.len(), floats.len());
        Window {
            start,
            end,
            eval_time: end,
            float_times: times,
            floats,
            float_starts: &[],
            falls: None,
            histogram_times: &[],
            histograms: &[],
            histogram_starts: &[],
        }
    }
}
