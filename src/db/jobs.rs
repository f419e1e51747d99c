//! Background work: flush, expire, compact, forget idle series. One job at a time, each a call that ends.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use crate::head::Epoch;
use crate::model::{TimeSpan, Timestamp};
use crate::segment::SegmentWriter;

use super::compact::merge_segments;
use super::flush::{FlushJob, SegmentFiles};
use super::manifest::{Manifest, ManifestStore};
use super::plan::{Candidate, Plan, PlanLimits, plan};
use super::view::{LiveSegment, View};
use super::windows::longest_window_ms;
use super::{Database, StorageError};
use crate::lock::{lock, write};

/// How long a series stays in the head without samples.
const IDLE_MS: i64 = 2 * 3_600_000;
/// How often idle series are looked for.
const IDLE_CHECK_MS: i64 = 10 * 60_000;

/// What only the running job may touch.
#[derive(Debug)]
pub(super) struct Jobs {
    pub(super) manifest: Manifest,
    pub(super) manifests: ManifestStore,
    pub(super) files: SegmentFiles,
    pub(super) idle_checked_ms: Timestamp,
}

/// A change of the live segments.
struct Change {
    added: Vec<Arc<LiveSegment>>,
    /// Numbers.
    removed: BTreeSet<u64>,
    flushed_seq: u64,
}

impl Jobs {
    /// Writes segments; none of them is left where one fails.
    fn write_segments(&mut self, writers: Vec<SegmentWriter>) -> Result<Vec<Arc<LiveSegment>>, StorageError> {
        let mut written: Vec<Arc<LiveSegment>> = Vec::new();
        let mut failed = None;
        for writer in writers {
            // A number is used once, even where writing fails.
            let number = self.manifest.next_segment;
            self.manifest.next_segment += 1;
            match self.files.write(number, writer) {
                Ok(segment) => written.push(segment),
                Err(error) => {
                    failed = Some(error);
                    break;
                }
            }
        }
        match failed.map_or_else(|| self.files.sync_names(), Err) {
            Ok(()) => Ok(written),
            Err(error) => {
                written.iter().for_each(|segment| segment.supersede());
                Err(error)
            }
        }
    }

    /// Writes the manifest that a change asks for. Where that fails for certain, the new segments are removed; where
    /// the manifest may come to light after a crash, what it names stays.
    fn write_manifest(&mut self, change: &Change, next_log: u64) -> Result<(), StorageError> {
        self.manifest.generation += 1;
        let mut next = self.manifest.clone();
        next.flushed_seq = change.flushed_seq;
        next.next_log = next_log;
        next.segments.retain(|number| !change.removed.contains(number));
        next.segments.extend(change.added.iter().map(|segment| segment.number));
        match self.manifests.write(&next) {
            Ok(()) => {
                self.manifest = next;
                Ok(())
            }
            Err(failure) => {
                if !failure.may_exist {
                    change.added.iter().for_each(|segment| segment.supersede());
                }
                Err(failure.error)
            }
        }
    }
}

impl Database {
    /// Does one piece of background work, if some is due. Returns whether there may be more.
    pub fn step(&self) -> Result<bool, StorageError> {
        let mut jobs = lock(&self.jobs);
        if self.is_closed() {
            return Ok(false);
        }
        let now_ms = self.options.clock.now_ms();
        if self.is_flush_due(now_ms) {
            self.freeze();
            return self.flush_frozen(&mut jobs, now_ms).map(|()| true);
        }
        if self.expire(&mut jobs, now_ms)? {
            return Ok(true);
        }
        if self.compact_once(&mut jobs, now_ms, false)? {
            return Ok(true);
        }
        self.forget_idle(&mut jobs, now_ms);
        Ok(false)
    }

    /// Puts everything in memory into segments and compacts until nothing is left to do.
    pub fn flush(&self) -> Result<(), StorageError> {
        let mut jobs = lock(&self.jobs);
        if self.is_closed() {
            return Err(StorageError::Closed);
        }
        let now_ms = self.options.clock.now_ms();
        self.freeze();
        self.flush_frozen(&mut jobs, now_ms)?;
        self.expire(&mut jobs, now_ms)?;
        while self.compact_once(&mut jobs, now_ms, true)? {
            if self.is_closed() {
                return Err(StorageError::Closed);
            }
        }
        Ok(())
    }

    fn is_flush_due(&self, now_ms: Timestamp) -> bool {
        let view = self.view();
        let is_old = |begun: Timestamp| now_ms.saturating_sub(begun) >= self.options.flush_interval_ms;
        !view.frozen.is_empty()
            || view.current.begun_ms().is_some_and(is_old)
            || view.current.log_bytes() >= self.options.flush_log_bytes
    }

    /// Begins a new epoch, unless the current one is empty. From the seat: no batch is half published.
    pub(super) fn freeze(&self) {
        self.committer.with_seat(|_| {
            self.change_view(|view| {
                let mut frozen = view.frozen.clone();
                let mut current = Arc::clone(&view.current);
                if !current.is_empty() {
                    frozen.push(std::mem::replace(&mut current, self.head.new_epoch()));
                }
                View::new(view.segments.clone(), frozen, current)
            });
        });
    }

    /// Swaps the view for one made from it.
    fn change_view(&self, change: impl FnOnce(&View) -> View) {
        let mut view = write(&self.view);
        let next = Arc::new(change(&view));
        let old = std::mem::replace(&mut *view, next);
        drop(view);
        // The last user of a superseded segment removes its file: not under the lock.
        drop(old);
    }

    pub(super) fn flush_frozen(&self, jobs: &mut Jobs, now_ms: Timestamp) -> Result<(), StorageError> {
        while let Some(epoch) = self.view().frozen.first().cloned() {
            let flushed = self.flush_epoch(jobs, &epoch, now_ms);
            let counter =
                if flushed.is_ok() { &self.counters.flushes } else { &self.counters.flush_failures };
            counter.fetch_add(1, Ordering::Relaxed);
            flushed?;
        }
        Ok(())
    }

    /// Segments synced, directory synced, manifest, view swapped, log files deleted: in this order.
    fn flush_epoch(
        &self,
        jobs: &mut Jobs,
        epoch: &Arc<Epoch>,
        now_ms: Timestamp,
    ) -> Result<(), StorageError> {
        let (_, seq_max) = epoch.seq_range().expect("only epochs that hold something are frozen");
        let longest_window_ms = longest_window_ms(self.retention_ms.load(Ordering::Relaxed));
        let job = FlushJob { head: &self.head, epoch, now_ms, longest_window_ms };
        let added = jobs.write_segments(job.writers())?;
        let change = Change { added, removed: BTreeSet::new(), flushed_seq: seq_max };
        self.apply(jobs, change, Some(epoch))?;
        let removed = self.committer.with_seat(|seat| seat.log.remove_through(seq_max));
        if let Err(error) = removed {
            // They are not replayed, and removed at the next flush or start.
            tracing::warn!(%error, "cannot remove a log file");
        }
        Ok(())
    }

    /// Makes a change durable, then visible.
    fn apply(
        &self,
        jobs: &mut Jobs,
        change: Change,
        flushed: Option<&Arc<Epoch>>,
    ) -> Result<(), StorageError> {
        let next_log = self.committer.with_seat(|seat| seat.log.next_number());
        jobs.write_manifest(&change, next_log)?;
        self.change_view(|view| {
            let kept = view.segments.iter().filter(|segment| !change.removed.contains(&segment.number));
            let segments = kept.chain(&change.added).cloned().collect();
            let is_flushed = |epoch: &Arc<Epoch>| flushed.is_some_and(|flushed| Arc::ptr_eq(epoch, flushed));
            let frozen = view.frozen.iter().filter(|epoch| !is_flushed(epoch)).cloned().collect();
            let gone = view.segments.iter().filter(|segment| change.removed.contains(&segment.number));
            gone.for_each(|segment| segment.supersede());
            View::new(segments, frozen, Arc::clone(&view.current))
        });
        Ok(())
    }

    /// Time of the newest sample, or now if that is earlier: what is far ahead must not age the rest.
    fn newest(&self, view: &View, now_ms: Timestamp) -> Option<Timestamp> {
        let stored = view.segments.iter().fold(TimeSpan::new(0, -1), |all, s| all.union(s.meta().span));
        let all = view.epochs().fold(stored, |all, epoch| all.union(epoch.bounds(None)));
        (!all.is_empty()).then(|| all.end.min(now_ms))
    }

    /// Drops segments whose samples are all older than the retention. Returns whether there were some.
    fn expire(&self, jobs: &mut Jobs, now_ms: Timestamp) -> Result<bool, StorageError> {
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
        let change = Change { added: Vec::new(), removed, flushed_seq: jobs.manifest.flushed_seq };
        self.apply(jobs, change, None)?;
        self.counters.expired.fetch_add(count, Ordering::Relaxed);
        Ok(true)
    }

    /// Does the next merge. Returns whether there was one.
    fn compact_once(
        &self,
        jobs: &mut Jobs,
        now_ms: Timestamp,
        is_forced: bool,
    ) -> Result<bool, StorageError> {
        let view = self.view();
        let Some(newest) = self.newest(&view, now_ms) else { return Ok(false) };
        let longest_window_ms = longest_window_ms(self.retention_ms.load(Ordering::Relaxed));
        let candidates: Vec<Candidate> = view.segments.iter().map(|segment| candidate(segment)).collect();
        let limits = PlanLimits { newest, longest_window_ms, is_forced };
        let Some(next) = plan(&candidates, &limits) else { return Ok(false) };
        let merged = self.merge(jobs, &view, &next);
        let counter =
            if merged.is_ok() { &self.counters.compactions } else { &self.counters.compaction_failures };
        counter.fetch_add(1, Ordering::Relaxed);
        merged.map(|()| true)
    }

    fn merge(&self, jobs: &mut Jobs, view: &View, next: &Plan) -> Result<(), StorageError> {
        let inputs: Vec<Arc<LiveSegment>> =
            view.segments.iter().filter(|segment| next.inputs.contains(&segment.number)).cloned().collect();
        assert_eq!(inputs.len(), next.inputs.len(), "a plan names live segments");
        let writer = merge_segments(&inputs, next.window).map_err(|error| StorageError::Corrupt {
            path: self.layout.segments.clone(),
            offset: 0,
            rule: error.to_string(),
        })?;
        let added = jobs.write_segments(vec![writer])?;
        let removed = next.inputs.iter().copied().collect();
        let change = Change { added, removed, flushed_seq: jobs.manifest.flushed_seq };
        self.apply(jobs, change, None)
    }

    /// Lets series go that were not written to for a while, if just now nobody writes and nobody reads old epochs.
    fn forget_idle(&self, jobs: &mut Jobs, now_ms: Timestamp) {
        if now_ms.saturating_sub(jobs.idle_checked_ms) < IDLE_CHECK_MS {
            return;
        }
        let Ok(_resolving) = self.resolving.try_write() else { return };
        let view = self.view();
        if !view.frozen.is_empty() || self.epochs_in_use() > 1 {
            return;
        }
        jobs.idle_checked_ms = now_ms;
        self.head.remove_idle(now_ms.saturating_sub(IDLE_MS), &view.current);
    }

    fn epochs_in_use(&self) -> usize {
        self.head.epochs_in_use()
    }
}

fn candidate(segment: &LiveSegment) -> Candidate {
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
