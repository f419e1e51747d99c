//! Several segments become one.

use std::cell::Cell;
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use crate::model::{Exemplar, Fingerprint, Labels, Metadata, TimeSpan, Timestamp};
use crate::segment::{SegmentError, SegmentHeader, SegmentWriter};
use crate::storage::Columns;

use super::deletion::Masked;
use super::merge::merge_rows;

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

/// A writer with everything that `inputs` show; `None` where that is nothing. They stand in the order in which later
/// ones win, are of one tenant, resolution and class, and lie within `window`.
pub(super) fn merge_segments(
    inputs: &[Masked],
    window: TimeSpan,
    pace: &Pace<'_>,
) -> Result<Option<SegmentWriter>, MergeError> {
    let metas = || inputs.iter().map(|input| input.reader().meta());
    let first = metas().next().expect("a merge has inputs");
    assert!(metas().all(|meta| meta.tenant == first.tenant), "a merge is of one tenant");
    let mut writer = SegmentWriter::new(SegmentHeader {
        tenant: first.tenant.clone(),
        window,
        resolution_ms: first.resolution_ms,
        retention_class: first.retention_class,
        seq_min: metas().map(|meta| meta.seq_min).min().expect("a merge has inputs"),
        seq_max: metas().map(|meta| meta.seq_max).max().expect("a merge has inputs"),
    });
    let mut is_empty = merge_series(inputs, &mut writer, pace)? == 0;
    for (labels, exemplars) in &merged_exemplars(inputs)? {
        let exemplars: Vec<Exemplar> = exemplars.values().cloned().collect();
        is_empty &= exemplars.is_empty();
        if !exemplars.is_empty() {
            writer.add_exemplars(labels, &exemplars);
        }
    }
    for (metric, metadata) in merged_metadata(inputs)? {
        is_empty = false;
        writer.add_metadata(&metric, &metadata);
    }
    Ok((!is_empty).then_some(writer))
}

/// Returns how many series have samples.
fn merge_series(inputs: &[Masked], writer: &mut SegmentWriter, pace: &Pace<'_>) -> Result<u64, MergeError> {
    let mut rows: Vec<(Fingerprint, usize, u32)> = Vec::new();
    for (number, input) in inputs.iter().enumerate() {
        for row in 0..input.reader().row_count() {
            rows.push((input.reader().fingerprint(row)?, number, row));
        }
    }
    let mut count = 0;
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
            writer.add_series(&labels, merged.row(0));
            count += 1;
        }
    }
    Ok(count)
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
