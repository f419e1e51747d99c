//! One batch out of series whose fields come in any order.
//!
//! Samples go into the batch as they are read; when a series ends its labels are judged, and either the series is
//! put in front of its samples or they are taken out again.

use std::sync::Arc;

use crate::model::{
    Exemplar, Histogram, HistogramError, LABEL_TEXT_BYTES_MAX, Label, LabelsBuilder, METRIC_NAME, Metadata,
    Timestamp, is_valid_label_name, push_label,
};
use crate::storage::{BatchSeries, FloatEntry, HistogramEntry, RawLabels, SeriesHandle, SeriesIdentity};

use super::WriteRequestError;
use super::decode::Decoded;
use super::problems::Shown;

/// Most floats, exemplars or symbols in one request. Each takes more than eight bytes of a body (which is at most
/// 32 MiB) once it has a time, or a text of some length, so that only a body of empty ones meets this bound.
pub(super) const ENTRIES_MAX: usize = 4 << 20;
/// Most histograms or metadata entries in one request; each takes more than 32 bytes.
const LARGE_ENTRIES_MAX: usize = 1 << 20;
/// Longest exemplar labels that are kept, in characters; upstream's and OpenMetrics' bound.
const EXEMPLAR_CHARACTERS_MAX: usize = 128;

/// Why labels are not those of a series; an index is a place among the sorted labels.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum LabelProblem {
    /// No metric name, or a label without a name.
    Invalid,
    /// The same name as the one before.
    Duplicate(usize),
    /// Longer than the store can hold.
    TooLong(usize),
}

impl LabelProblem {
    /// In words; upstream's where it has some.
    pub(super) fn describe(self, labels: &[Label<'_>]) -> String {
        let shown = Shown(labels);
        match self {
            Self::Invalid => format!("invalid metric name or labels, got {shown}"),
            Self::Duplicate(index) => {
                let name = labels[index].name;
                format!("invalid labels for series, labels {shown}, duplicated label {name}")
            }
            Self::TooLong(index) => {
                format!("label number {} is longer than {LABEL_TEXT_BYTES_MAX} bytes: {shown}", index + 1)
            }
        }
    }
}

/// Builds a [`Decoded`]; `'a` is the body.
#[derive(Default)]
pub(super) struct Assembler<'a> {
    pub(super) decoded: Decoded,
    /// Labels of the series under way, as they came.
    pub(super) labels: Vec<Label<'a>>,
    /// What is wrong with histograms of the series under way.
    histogram_errors: Vec<HistogramError>,
    /// Samples of both kinds that the series under way came with.
    samples_seen: usize,
    floats_start: usize,
    histograms_start: usize,
    exemplars_start: usize,
    /// Whether it is kept how series are told apart.
    has_identities: bool,
}

/// Most series that room is made for before they are read.
const RESERVED_MAX: usize = 1 << 14;

impl<'a> Assembler<'a> {
    /// Begins a request with about so many series that the store may know; 0 where it knows none.
    pub(super) fn begin_request(&mut self, series: usize) {
        self.has_identities = series > 0;
        let batch = &mut self.decoded.batch;
        let series = series.min(RESERVED_MAX);
        batch.series.reserve(series);
        batch.identities.reserve(series);
        batch.floats.reserve(series);
    }

    pub(super) fn begin_series(&mut self) {
        let batch = &self.decoded.batch;
        self.floats_start = batch.floats.len();
        self.histograms_start = batch.histograms.len();
        self.exemplars_start = batch.exemplars.len();
        self.samples_seen = 0;
        self.labels.clear();
        self.histogram_errors.clear();
    }

    #[inline]
    pub(super) fn push_float(&mut self, entry: FloatEntry) -> Result<(), WriteRequestError> {
        check_room(self.decoded.batch.floats.len(), ENTRIES_MAX, "samples")?;
        self.samples_seen += 1;
        self.decoded.batch.floats.push(entry);
        Ok(())
    }

    pub(super) fn push_histogram(
        &mut self,
        timestamp: Timestamp,
        start_timestamp: Timestamp,
        histogram: Result<Histogram, HistogramError>,
    ) -> Result<(), WriteRequestError> {
        let seen = self.decoded.batch.histograms.len() + self.histogram_errors.len();
        check_room(seen, LARGE_ENTRIES_MAX, "histograms")?;
        self.samples_seen += 1;
        match histogram {
            Ok(histogram) => {
                let histogram = Arc::new(histogram);
                self.decoded.batch.histograms.push(HistogramEntry { timestamp, start_timestamp, histogram });
            }
            Err(error) => self.histogram_errors.push(error),
        }
        Ok(())
    }

    /// Adds an exemplar. One whose labels are too long is left out without a word, as upstream does; one whose
    /// labels are no set is answered with `false`.
    pub(super) fn push_exemplar(
        &mut self,
        labels: &[Label<'_>],
        value: f64,
        timestamp: Timestamp,
    ) -> Result<bool, WriteRequestError> {
        check_room(self.decoded.batch.exemplars.len(), ENTRIES_MAX, "exemplars")?;
        let characters: usize =
            labels.iter().map(|label| label.name.chars().count() + label.value.chars().count()).sum();
        if characters > EXEMPLAR_CHARACTERS_MAX {
            self.drop_exemplar(|| {
                format!(
                    "exemplar labels {} are longer than {EXEMPLAR_CHARACTERS_MAX} characters",
                    Shown(labels)
                )
            });
            return Ok(true);
        }
        let mut builder = LabelsBuilder::default();
        for label in labels {
            builder.push(label.name, label.value);
        }
        let Ok(set) = builder.build() else {
            self.drop_exemplar(|| format!("exemplar labels {} are no label set", Shown(labels)));
            return Ok(false);
        };
        self.decoded.batch.exemplars.push(Exemplar { labels: set, value, timestamp });
        Ok(true)
    }

    /// Leaves an exemplar out; the log learns why.
    pub(super) fn drop_exemplar(&mut self, why: impl FnOnce() -> String) {
        self.decoded.exemplars_dropped += 1;
        self.decoded.notes.push(why);
    }

    pub(super) fn push_metadata(
        &mut self,
        metric: &str,
        metadata: Metadata,
    ) -> Result<(), WriteRequestError> {
        check_room(self.decoded.batch.metadata.len(), LARGE_ENTRIES_MAX, "metadata entries")?;
        self.decoded.batch.push_metadata(metric, metadata);
        Ok(())
    }

    /// Samples of both kinds that the series under way came with, sound or not.
    pub(super) fn samples_seen(&self) -> usize {
        self.samples_seen
    }

    /// Gives samples of the series under way the start that the series as a whole was sent with.
    pub(super) fn set_start(&mut self, start_timestamp: Timestamp) {
        let batch = &mut self.decoded.batch;
        let floats = batch.floats[self.floats_start..].iter_mut().map(|entry| &mut entry.start_timestamp);
        let histograms =
            batch.histograms[self.histograms_start..].iter_mut().map(|entry| &mut entry.start_timestamp);
        for start in floats.chain(histograms).filter(|start| **start == 0) {
            *start = start_timestamp;
        }
    }

    /// Ends the series by its labels, which are sorted then. Where they are no series' labels, all of it is taken
    /// out again. `raw`: by what the store may know it the next time.
    pub(super) fn end_series(&mut self, raw: Option<RawLabels>) -> Result<(), LabelProblem> {
        // Senders write labels in order: one pass then shows that none is twice, too.
        let is_rising = self.labels.windows(2).all(|pair| pair[0].name < pair[1].name);
        if !is_rising {
            self.labels.sort_by_key(|label| label.name);
        }
        if let Err(problem) = check_labels(&self.labels, is_rising) {
            self.drop_series();
            return Err(problem);
        }
        for error in &self.histogram_errors {
            let labels = &self.labels;
            self.decoded.problems.push(|| format!("{error} for series {}", Shown(labels)));
        }
        let start = self.decoded.batch.label_bytes.len();
        if self.put_series(start, raw.map_or(SeriesIdentity::Labels, SeriesIdentity::Raw)) {
            let batch = &mut self.decoded.batch;
            for label in self.labels.iter().filter(|label| !label.value.is_empty()) {
                push_label(&mut batch.label_bytes, *label);
            }
            let end = batch.label_bytes.len();
            batch.series.last_mut().expect("it was put there").labels.end = end;
        }
        Ok(())
    }

    /// Ends a series that the store knows.
    pub(super) fn end_known(&mut self, handle: SeriesHandle) {
        let start = self.decoded.batch.label_bytes.len();
        self.put_series(start, SeriesIdentity::Known(handle));
    }

    /// Takes out what the series under way has put into the batch.
    pub(super) fn drop_series(&mut self) {
        let batch = &mut self.decoded.batch;
        batch.floats.truncate(self.floats_start);
        batch.histograms.truncate(self.histograms_start);
        batch.exemplars.truncate(self.exemplars_start);
    }

    /// Puts the series into the batch, yet without labels; `false` where it has no samples.
    fn put_series(&mut self, labels_start: usize, identity: SeriesIdentity) -> bool {
        let batch = &mut self.decoded.batch;
        let floats = self.floats_start..batch.floats.len();
        let histograms = self.histograms_start..batch.histograms.len();
        let exemplars = self.exemplars_start..batch.exemplars.len();
        if floats.is_empty() && histograms.is_empty() && exemplars.is_empty() {
            return false;
        }
        // An exemplar without a time is as old as the sample it came with.
        let time = batch.floats[floats.clone()].last().map(|entry| entry.timestamp);
        let time = time.or_else(|| batch.histograms[histograms.clone()].last().map(|entry| entry.timestamp));
        for exemplar in batch.exemplars[exemplars.clone()].iter_mut().filter(|entry| entry.timestamp == 0) {
            exemplar.timestamp = time.unwrap_or(0);
        }
        let labels = labels_start..labels_start;
        batch.series.push(BatchSeries { labels, floats, histograms, exemplars });
        if self.has_identities {
            batch.identities.push(identity);
        }
        true
    }
}

#[inline]
pub(super) fn check_room(len: usize, limit: usize, what: &'static str) -> Result<(), WriteRequestError> {
    if len < limit { Ok(()) } else { Err(WriteRequestError::TooMany { what, limit }) }
}

/// Judges sorted labels as upstream does. A label with an empty value counts as absent only afterwards, so that
/// it can be a duplicate, and an empty metric name is none. `is_rising`: names are known to differ.
fn check_labels(labels: &[Label<'_>], is_rising: bool) -> Result<(), LabelProblem> {
    let mut is_named = false;
    for (index, label) in labels.iter().enumerate() {
        is_named |= label.name == METRIC_NAME && !label.value.is_empty();
        if !is_valid_label_name(label.name) {
            return Err(LabelProblem::Invalid);
        }
        if label.name.len().max(label.value.len()) > LABEL_TEXT_BYTES_MAX {
            return Err(LabelProblem::TooLong(index));
        }
    }
    if !is_named {
        return Err(LabelProblem::Invalid);
    }
    match labels.windows(2).position(|pair| !is_rising && pair[0].name == pair[1].name) {
        Some(index) => Err(LabelProblem::Duplicate(index)),
        None => Ok(()),
    }
}
