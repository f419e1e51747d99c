//! Several segments become one.

use std::cell::Cell;
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use crate::model::{Exemplar, Fingerprint, Labels, Metadata, TimeSpan, Timestamp};
use crate::segment::{SegmentError, SegmentHeader, SegmentWriter};
use crate::storage::Columns;

use super::deletion::Masked;
use super::flush::{Cut, Outputs, WindowCounts, count_windows};
use super::merge::merge_rows;
use super::windows::window_length;

/// Longest that a merge works before it pauses.
const WORK: Duration = Duration::from_millis(20);

/// Why a merge ended early.
#[derive(Debug, thiserror::Error)]
pub(super) enum MergeError {
    #[error(transparent)]
    Segment(#[from] SegmentError),
    /// The database is being closed.
    #[error("storage is closed")]
    Stopped,
}

/// How a merge makes room for others: paced, it works at most half of the time.
#[derive(Debug)]
pub(super) struct Pace<'a> {
    is_paced: bool,
    is_stopped: &'a AtomicBool,
    began: Cell<Instant>,
}

impl<'a> Pace<'a> {
    pub(super) fn new(is_paced: bool, is_stopped: &'a AtomicBool) -> Self {
        Self { is_paced, is_stopped, began: Cell::new(Instant::now()) }
    }

    /// Called between small pieces of work.
    fn breathe(&self) -> Result<(), MergeError> {
        if self.is_stopped.load(Ordering::Acquire) {
            return Err(MergeError::Stopped);
        }
        let worked = self.began.get().elapsed();
        if self.is_paced && worked >= WORK {
            std::thread::sleep(worked);
            self.began.set(Instant::now());
        }
        Ok(())
    }
}

/// Which windows a merge's samples go to: one that is aligned takes all of them, any other span is cut as by a flush.
pub(super) fn cut_of(
    inputs: &[Masked],
    window: TimeSpan,
    newest: Timestamp,
    longest_ms: i64,
) -> Result<Cut, SegmentError> {
    if window_length(window).is_some() {
        return Ok(Cut::whole(window));
    }
    let mut counts = WindowCounts::new();
    let mut columns = Columns::default();
    for input in inputs {
        for row in 0..input.reader().row_count() {
            columns.clear();
            columns.begin_row();
            input.read(row, TimeSpan::ALL, &mut columns)?;
            count_windows(columns.row(0).timestamps, newest, longest_ms, &mut counts);
        }
    }
    Ok(Cut::new(&counts, newest, longest_ms))
}

/// Writers with everything that `inputs` show; none where that is nothing. They stand in the order in which later ones
/// win, are of one tenant, resolution and class.
pub(super) fn merge_segments(
    inputs: &[Masked],
    cut: &Cut,
    pace: &Pace<'_>,
) -> Result<Vec<SegmentWriter>, MergeError> {
    let metas = || inputs.iter().map(|input| input.reader().meta());
    let first = metas().next().expect("a merge has inputs");
    assert!(metas().all(|meta| meta.tenant == first.tenant), "a merge is of one tenant");
    let header = SegmentHeader {
        tenant: first.tenant.clone(),
        window: first.window,
        resolution_ms: first.resolution_ms,
        retention_class: first.retention_class,
        seq_min: metas().map(|meta| meta.seq_min).min().expect("a merge has inputs"),
        seq_max: metas().map(|meta| meta.seq_max).max().expect("a merge has inputs"),
    };
    let window = first.window;
    let mut outputs = Outputs::new(cut, header);
    merge_series(inputs, &mut outputs, pace)?;
    for (labels, exemplars) in &merged_exemplars(inputs)? {
        let exemplars: Vec<Exemplar> = exemplars.values().cloned().collect();
        if !exemplars.is_empty() {
            outputs.newest_or(window).add_exemplars(labels, &exemplars);
        }
    }
    for (metric, metadata) in merged_metadata(inputs)? {
        outputs.newest_or(window).add_metadata(&metric, &metadata);
    }
    // Nothing that was read in place of lost bytes is written.
    inputs.iter().try_for_each(Masked::check)?;
    Ok(outputs.into_writers())
}

fn merge_series(inputs: &[Masked], outputs: &mut Outputs<'_>, pace: &Pace<'_>) -> Result<(), MergeError> {
    let mut rows: Vec<(Fingerprint, usize, u32)> = Vec::new();
    for (number, input) in inputs.iter().enumerate() {
        for row in 0..input.reader().row_count() {
            rows.push((input.reader().fingerprint(row)?, number, row));
        }
    }
    rows.sort_unstable();
    let (mut parts, mut merged) = (Columns::default(), Columns::default());
    for series in rows.chunk_by(|a, b| a.0 == b.0) {
        pace.breathe()?;
        parts.clear();
        merged.clear();
        let labels = inputs[series[0].1].reader().labels(series[0].2)?;
        for (fingerprint, number, row) in series {
            // Two label sets with one fingerprint: the one that was there first keeps it.
            if inputs[*number].reader().labels(*row)? != labels {
                tracing::error!(%labels, ?fingerprint, "two series have one fingerprint; the later one is dropped");
                continue;
            }
            parts.begin_row();
            inputs[*number].read(*row, TimeSpan::ALL, &mut parts)?;
        }
        merged.begin_row();
        merge_rows(&parts, &mut merged);
        if merged.sample_count() > 0 {
            outputs.add_series(&labels, &merged.row(0));
        }
    }
    Ok(())
}

type ExemplarsBySeries = BTreeMap<Labels, BTreeMap<Timestamp, Exemplar>>;

fn merged_exemplars(inputs: &[Masked]) -> Result<ExemplarsBySeries, SegmentError> {
    let mut merged = ExemplarsBySeries::new();
    for input in inputs {
        for row in input.reader().exemplar_rows()? {
            let exemplars = input.exemplars(row, TimeSpan::ALL)?;
            let known = merged.entry(input.reader().labels(row)?).or_default();
            known.extend(exemplars.into_iter().map(|exemplar| (exemplar.timestamp, exemplar)));
        }
    }
    Ok(merged)
}

fn merged_metadata(inputs: &[Masked]) -> Result<Vec<(String, Metadata)>, SegmentError> {
    let mut merged: Vec<(String, Metadata)> = Vec::new();
    let mut known = std::collections::HashSet::new();
    for input in inputs {
        for entry in input.reader().metadata()? {
            if known.insert(entry.clone()) {
                merged.push(entry);
            }
        }
    }
    Ok(merged)
}
