//! Several segments become one.

use std::cell::Cell;
use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap, HashSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use foldhash::fast::RandomState;

use crate::model::{Exemplar, Fingerprint, Labels, Metadata, TimeSpan, Timestamp};
use crate::segment::{RowKey, SegmentError, SegmentHeader};
use crate::storage::Columns;

use super::StorageError;
use super::deletion::Masked;
use super::flush::{Cut, SegmentFiles, WindowCounts, count_windows};
use super::merge::merge_rows;
use super::outputs::{Outputs, Written};
use super::view::LiveSegment;
use super::windows::window_length;

/// Longest that a merge works before it pauses.
const WORK: Duration = Duration::from_millis(20);

/// Why a merge ended early.
#[derive(Debug, thiserror::Error)]
pub(super) enum MergeError {
    /// What is merged cannot be read.
    #[error(transparent)]
    Input(#[from] SegmentError),
    /// What comes of it cannot be written.
    #[error(transparent)]
    Output(#[from] StorageError),
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

/// Segments with everything that `inputs` show, with durable names; none where that is nothing. Inputs stand in the
/// order in which later ones win, are of one tenant, resolution and class. What is merged goes to the files at once:
/// memory is one series, and the indexes of what is written. Where it ends early no file is left.
pub(super) fn merge_segments(
    inputs: &[Masked],
    cut: &Cut,
    pace: &Pace<'_>,
    files: &SegmentFiles,
    allocate: &mut dyn FnMut() -> u64,
) -> Result<Vec<Arc<LiveSegment>>, MergeError> {
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
    let mut outputs = Outputs::new(cut, header, files, allocate);
    merge_series(inputs, &mut outputs, pace)?;
    for (metric, metadata) in merged_metadata(inputs)? {
        outputs.add_metadata(&metric, &metadata)?;
    }
    // Nothing that was read in place of lost bytes gets a name.
    inputs.iter().try_for_each(Masked::check)?;
    let mut written = Written::default();
    outputs.finish(&mut written)?;
    Ok(written.take(files)?)
}

fn merge_series(inputs: &[Masked], outputs: &mut Outputs<'_>, pace: &Pace<'_>) -> Result<(), MergeError> {
    let mut rows = MergedRows::new(inputs)?;
    let mut known: HashSet<Fingerprint, RandomState> = HashSet::default();
    let (mut parts, mut merged) = (Columns::default(), Columns::default());
    while let Some((labels, places)) = rows.next_series()? {
        pace.breathe()?;
        parts.clear();
        merged.clear();
        for place in &places {
            parts.begin_row();
            inputs[place.input].read(place.row, TimeSpan::ALL, &mut parts)?;
        }
        merged.begin_row();
        merge_rows(&parts, &mut merged);
        let exemplars = rows.exemplars(&places)?;
        if merged.sample_count() == 0 && exemplars.is_empty() {
            continue;
        }
        let fingerprint = labels.fingerprint();
        // A segment cannot hold two label sets with one fingerprint: one of them keeps it.
        if known.insert(fingerprint) {
            outputs.add_series(&labels, &merged.row(0), &exemplars)?;
        } else {
            tracing::error!(%labels, ?fingerprint, "two series have one fingerprint; the later one is dropped");
        }
    }
    Ok(())
}

/// A row of an input.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Place {
    /// Its index.
    input: usize,
    row: u32,
}

/// The series of several inputs, in the order in which rows stand in each.
struct MergedRows<'a> {
    inputs: &'a [Masked],
    /// Of each input the rows that have exemplars, rising.
    exemplar_rows: Vec<Vec<u32>>,
    /// The next row of each input that has one.
    next: BinaryHeap<Reverse<(RowKey, Place, Labels)>>,
}

impl<'a> MergedRows<'a> {
    fn new(inputs: &'a [Masked]) -> Result<Self, SegmentError> {
        let exemplar_rows = inputs.iter().map(|input| input.reader().exemplar_rows());
        let exemplar_rows = exemplar_rows.collect::<Result<_, _>>()?;
        let mut rows = Self { inputs, exemplar_rows, next: BinaryHeap::new() };
        (0..inputs.len()).try_for_each(|input| rows.push(Place { input, row: 0 }, None))?;
        Ok(rows)
    }

    /// The next series and its rows, in the order of the inputs.
    fn next_series(&mut self) -> Result<Option<(Labels, Vec<Place>)>, SegmentError> {
        let Some(Reverse((key, place, labels))) = self.next.pop() else { return Ok(None) };
        let mut places = vec![place];
        while self.next.peek().is_some_and(|Reverse((next, ..))| *next == key) {
            let Reverse((_, place, _)) = self.next.pop().expect("it was just seen");
            places.push(place);
        }
        for place in &places {
            self.push(Place { row: place.row + 1, ..*place }, Some(&key))?;
        }
        Ok(Some((labels, places)))
    }

    /// Lines up a row, if there is such a one, after the one with the key `last`.
    fn push(&mut self, place: Place, last: Option<&RowKey>) -> Result<(), SegmentError> {
        let input = &self.inputs[place.input];
        if place.row == input.reader().row_count() {
            return Ok(());
        }
        let labels = input.reader().labels(place.row)?;
        let key = RowKey::of(&labels);
        if last.is_some_and(|last| *last >= key) {
            let rule = "rows do not stand in the order of their keys";
            return Err(SegmentError::Corrupt { name: input.segment.reader_name(), offset: 0, rule });
        }
        self.next.push(Reverse((key, place, labels)));
        Ok(())
    }

    /// Exemplars of these rows, in the order of time; of several at one time that of the last row.
    fn exemplars(&self, places: &[Place]) -> Result<Vec<Exemplar>, SegmentError> {
        let mut merged: BTreeMap<Timestamp, Exemplar> = BTreeMap::new();
        for place in places {
            if self.exemplar_rows[place.input].binary_search(&place.row).is_ok() {
                let exemplars = self.inputs[place.input].exemplars(place.row, TimeSpan::ALL)?;
                merged.extend(exemplars.into_iter().map(|exemplar| (exemplar.timestamp, exemplar)));
            }
        }
        Ok(merged.into_values().collect())
    }
}

fn merged_metadata(inputs: &[Masked]) -> Result<Vec<(String, Metadata)>, SegmentError> {
    let mut merged: Vec<(String, Metadata)> = Vec::new();
    let mut known = HashSet::<_, RandomState>::default();
    for input in inputs {
        for entry in input.reader().metadata()? {
            if known.insert(entry.clone()) {
                merged.push(entry);
            }
        }
    }
    Ok(merged)
}
