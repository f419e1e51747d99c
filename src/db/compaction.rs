//! Merging and dropping segments in the background.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use crate::clock::Clock;
use crate::lock::lock;
use crate::model::{TimeSpan, Timestamp};
use crate::segment::SegmentError;

use super::compact::{MergeError, Pace, cut_of, merge_segments};
use super::jobs::{Change, allocate};
use super::plan::{Candidate, PlanLimits, plan};
use super::view::{LiveSegment, View};
use super::windows::longest_window_ms;
use super::{Database, StorageError};

/// How old a deletion is before segments are rewritten only to leave out what it hides: several deletions in a row cost
/// one rewriting.
const DELETION_AGE_US: u64 = 60 * 60 * 1_000_000;

impl Database {
    /// Drops what is too old, or does the next merge. Returns whether there may be more to do. `is_paced`: make room for
    /// others.
    pub(super) fn compaction_step(&self, is_paced: bool) -> Result<bool, StorageError> {
        let _compacting = lock(&self.compacting);
        if self.is_closed() {
            return Ok(false);
        }
        let now_ms = self.options.clock.now_ms();
        if self.expire(now_ms)? || self.compact_once(now_ms, false, is_paced)? {
            return Ok(true);
        }
        let now_us = u64::try_from(self.options.clock.now_us()).unwrap_or(0);
        self.leave_out_deleted(now_us.saturating_sub(DELETION_AGE_US), is_paced)
    }

    /// Drops what is too old and merges until nothing is left to do.
    pub(super) fn compact_all(&self) -> Result<(), StorageError> {
        let _compacting = lock(&self.compacting);
        let now_ms = self.options.clock.now_ms();
        self.expire(now_ms)?;
        while self.compact_once(now_ms, true, false)? {
            if self.is_closed() {
                return Err(StorageError::Closed);
            }
        }
        Ok(())
    }

    /// Rewrites every segment of which deletions hide something, and forgets the deletions: what they hid is gone from
    /// the disk, once the last reader of the old segments ends.
    pub fn clean_tombstones(&self) -> Result<(), StorageError> {
        let _compacting = lock(&self.compacting);
        while self.leave_out_deleted(u64::MAX, false)? {
            if self.is_closed() {
                return Err(StorageError::Closed);
            }
        }
        Ok(())
    }

    /// Does the next merge. Returns whether there was one.
    fn compact_once(&self, now_ms: Timestamp, is_forced: bool, is_paced: bool) -> Result<bool, StorageError> {
        let view = self.view();
        let Some(newest) = self.newest(&view).map(|newest| newest.min(now_ms)) else { return Ok(false) };
        let longest_window_ms = longest_window_ms(self.retention().time_ms);
        // So that retention by size drops a tenth at most too much.
        let bytes_max = self.retention_bytes().map_or(u64::MAX, |bytes| bytes / 10);
        let candidates: Vec<Candidate> = view.segments.iter().map(candidate).collect();
        let limits = PlanLimits { newest, longest_window_ms, bytes_max, is_forced };
        let Some(next) = plan(&candidates, &limits) else { return Ok(false) };
        self.merge(&view, &next.inputs, next.window, is_paced).map(|()| true)
    }

    /// Rewrites the next segment of which deletions up to `seq` hide something; where there is none, forgets deletions
    /// that hide nothing any more. Returns whether there may be more to do.
    fn leave_out_deleted(&self, seq: u64, is_paced: bool) -> Result<bool, StorageError> {
        let view = self.view();
        if !view.deletions.iter().any(|deletion| deletion.seq <= seq) {
            return Ok(false);
        }
        for segment in view.segments.iter().filter(|segment| !segment.is_damaged()) {
            let masked = view.deletions.masked(segment).map_err(|error| self.set_aside(&view, error))?;
            if masked.touching().any(|by| by <= seq) {
                self.merge(&view, &[segment.number], segment.meta().window, is_paced)?;
                return Ok(true);
            }
        }
        // Under the lock: what a flush or a deletion added meanwhile counts too.
        let mut jobs = lock(&self.jobs);
        let view = self.view();
        let mut touching = BTreeSet::new();
        for segment in &view.segments {
            match view.deletions.masked(segment) {
                Ok(masked) => touching.extend(masked.touching()),
                // Of what cannot be read nobody knows what would be hidden.
                Err(_) => touching.extend(view.deletions.iter().map(|deletion| deletion.seq)),
            }
        }
        let left: Vec<_> =
            view.deletions.iter().filter(|deletion| touching.contains(&deletion.seq)).cloned().collect();
        if left.len() < view.deletions.len() {
            self.apply(&mut jobs, Change { deletions: Some(left), ..Change::default() }, None)?;
        }
        Ok(false)
    }

    /// Merges segments, by their numbers, into one of that window.
    fn merge(
        &self,
        view: &View,
        numbers: &[u64],
        window: TimeSpan,
        is_paced: bool,
    ) -> Result<(), StorageError> {
        let merged = self.try_merge(view, numbers, window, is_paced);
        let counter = match &merged {
            Ok(()) => &self.counters.compactions,
            Err(StorageError::Closed) => return merged,
            Err(_) => &self.counters.compaction_failures,
        };
        counter.fetch_add(1, Ordering::Relaxed);
        merged
    }

    fn try_merge(
        &self,
        view: &View,
        numbers: &[u64],
        window: TimeSpan,
        is_paced: bool,
    ) -> Result<(), StorageError> {
        let inputs = view.segments.iter().filter(|segment| numbers.contains(&segment.number));
        let inputs = inputs.map(|segment| view.deletions.masked(segment)).collect::<Result<Vec<_>, _>>();
        let inputs = inputs.map_err(|error| self.set_aside(view, error))?;
        assert_eq!(inputs.len(), numbers.len(), "a plan names live segments");
        let is_paced = is_paced && matches!(self.options.clock, Clock::System);
        let pace = Pace::new(is_paced, &self.is_closed);
        let newest = self.newest(view).unwrap_or(0).min(self.options.clock.now_ms());
        let cut = cut_of(&inputs, window, newest, longest_window_ms(self.retention().time_ms))
            .map_err(|error| self.set_aside(view, error))?;
        let mut number = || allocate(&mut lock(&self.jobs));
        let added = merge_segments(&inputs, &cut, &pace, &self.files, &mut number);
        let added = added.map_err(|error| match error {
            MergeError::Input(error) => self.set_aside(view, error),
            MergeError::Output(error) => error,
            MergeError::Stopped => StorageError::Closed,
        })?;
        let bytes = added.iter().map(|segment| segment.bytes).sum();
        self.counters.compacted_bytes.fetch_add(bytes, Ordering::Relaxed);
        let removed = numbers.iter().copied().collect();
        self.apply(&mut lock(&self.jobs), Change { added, removed, ..Change::default() }, None)
    }

    /// What could not be read is not tried again: it is left alone, reported, and still answers what it can.
    fn set_aside(&self, view: &View, error: SegmentError) -> StorageError {
        let name = match &error {
            SegmentError::Corrupt { name, .. } | SegmentError::Read { name, .. } => name.as_str(),
            _ => "",
        };
        let path = view
            .segments
            .iter()
            .find(|segment| !name.is_empty() && segment.reader_name() == name)
            .map_or_else(
                || self.layout.segments.clone(),
                |segment| {
                    segment.set_damaged(&error);
                    segment.path().to_owned()
                },
            );
        StorageError::Corrupt { path, offset: 0, rule: error.to_string() }
    }
}

fn candidate(segment: &Arc<LiveSegment>) -> Candidate {
    let meta = segment.meta();
    Candidate {
        number: segment.number,
        tenant: meta.tenant.clone(),
        window: meta.window,
        span: meta.span,
        rank: (meta.seq_max, meta.seq_min),
        bytes: segment.bytes,
        is_fixed: segment.is_damaged(),
    }
}
