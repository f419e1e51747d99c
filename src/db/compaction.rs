//! Merging and dropping segments in the background.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use crate::clock::Clock;
use crate::lock::lock;
use crate::model::{TimeSpan, Timestamp};

use super::compact::{MergeError, Pace, merge_segments};
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

    /// Drops segments whose samples are all older than the retention. Returns whether there were some.
    fn expire(&self, now_ms: Timestamp) -> Result<bool, StorageError> {
        let retention_ms = self.retention_ms.load(Ordering::Relaxed);
        let view = self.view();
        let Some(newest) = self.newest(&view, now_ms).filter(|_| retention_ms > 0) else { return Ok(false) };
        let horizon = newest.saturating_sub(retention_ms);
        let end = |segment: &LiveSegment| {
            let meta = segment.meta();
            if meta.span.is_empty() { meta.window.end } else { meta.span.end }
        };
        let expired = view.segments.iter().filter(|segment| end(segment) < horizon);
        let removed: BTreeSet<u64> = expired.map(|segment| segment.number).collect();
        if removed.is_empty() {
            return Ok(false);
        }
        let count = removed.len() as u64;
        self.apply(&mut lock(&self.jobs), Change { removed, ..Change::default() }, None)?;
        self.counters.expired.fetch_add(count, Ordering::Relaxed);
        Ok(true)
    }

    /// Does the next merge. Returns whether there was one.
    fn compact_once(&self, now_ms: Timestamp, is_forced: bool, is_paced: bool) -> Result<bool, StorageError> {
        let view = self.view();
        let Some(newest) = self.newest(&view, now_ms) else { return Ok(false) };
        let longest_window_ms = longest_window_ms(self.retention_ms.load(Ordering::Relaxed));
        let candidates: Vec<Candidate> = view.segments.iter().map(candidate).collect();
        let limits = PlanLimits { newest, longest_window_ms, is_forced };
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
        let mut touching = BTreeSet::new();
        for segment in &view.segments {
            let masked = view.deletions.masked(segment).map_err(|error| self.corrupt(&error))?;
            if masked.touching().any(|by| by <= seq) {
                self.merge(&view, &[segment.number], segment.meta().window, is_paced)?;
                return Ok(true);
            }
            touching.extend(masked.touching());
        }
        // Evaluated again under the lock: what a flush or a deletion added meanwhile counts too.
        let mut jobs = lock(&self.jobs);
        let view = self.view();
        for segment in &view.segments {
            touching.extend(view.deletions.masked(segment).map_err(|error| self.corrupt(&error))?.touching());
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
        let inputs = inputs.map_err(|error| self.corrupt(&error))?;
        assert_eq!(inputs.len(), numbers.len(), "a plan names live segments");
        let is_paced = is_paced && matches!(self.options.clock, Clock::System);
        let pace = Pace::new(is_paced, &self.is_closed);
        let writer = merge_segments(&inputs, window, &pace).map_err(|error| match error {
            MergeError::Segment(error) => self.corrupt(&error),
            MergeError::Stopped => StorageError::Closed,
        })?;
        let writers = writer.into_iter().collect();
        let added = self.write_segments(writers, |count| allocate(&mut lock(&self.jobs), count))?;
        let removed = numbers.iter().copied().collect();
        self.apply(&mut lock(&self.jobs), Change { added, removed, ..Change::default() }, None)
    }

    fn corrupt(&self, error: &crate::segment::SegmentError) -> StorageError {
        let path = self.layout.segments.clone();
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
    }
}
