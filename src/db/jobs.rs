//! What changes the live segments: one change at a time, durable before it is visible. Flushes, and the order of work.
//!
//! Two locks: whoever holds `compacting` may merge and drop segments, which takes long; whoever holds `jobs` changes the
//! manifest, which does not. So a flush never waits for a merge.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use crate::head::Epoch;
use crate::model::{TimeSpan, Timestamp};

use super::deletion::{Deletion, Deletions};
use super::flush::FlushJob;
use super::manifest::{Manifest, ManifestStore};
use super::retention::RetentionClock;
use super::view::{LiveSegment, View};
use super::windows::longest_window_ms;
use super::{Database, StorageError};
use crate::lock::{lock, write};

/// How long a series stays in the head without samples.
const IDLE_MS: i64 = 2 * 3_600_000;
/// How often idle series are looked for.
const IDLE_CHECK_MS: i64 = 10 * 60_000;

/// How often the room that is kept for a full disk is looked after.
const RESERVE_CHECK_MS: i64 = 60_000;

/// What only one may touch at a time.
#[derive(Debug)]
pub(super) struct Jobs {
    pub(super) manifest: Manifest,
    pub(super) manifests: ManifestStore,
    pub(super) idle_checked_ms: Timestamp,
    pub(super) reserve_checked_ms: Timestamp,
    pub(super) retention_clock: RetentionClock,
}

/// A change of what is live.
#[derive(Default)]
pub(super) struct Change {
    pub(super) added: Vec<Arc<LiveSegment>>,
    /// Numbers.
    pub(super) removed: BTreeSet<u64>,
    /// Where it changes.
    pub(super) flushed_seq: Option<u64>,
    /// All of them, where they change.
    pub(super) deletions: Option<Vec<Arc<Deletion>>>,
}

impl Jobs {
    /// Writes the manifest that a change asks for. Where that fails for certain, the new segments are removed; where
    /// the manifest may come to light after a crash, what it names stays.
    fn write_manifest(&mut self, change: &Change, next_log: u64) -> Result<(), StorageError> {
        self.manifest.generation += 1;
        let mut next = self.manifest.clone();
        next.flushed_seq = change.flushed_seq.unwrap_or(next.flushed_seq);
        next.next_log = next_log;
        next.retention_from = self.retention_clock.at;
        next.segments.retain(|number| !change.removed.contains(number));
        next.segments.extend(change.added.iter().map(|segment| segment.number));
        if let Some(deletions) = &change.deletions {
            next.deletions.clone_from(deletions);
        }
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
        Ok(self.flush_step()? || self.compaction_step(false)?)
    }

    /// Flushes if that is due, else lets idle series go. Returns whether there was something to flush.
    pub(super) fn flush_step(&self) -> Result<bool, StorageError> {
        let mut jobs = lock(&self.jobs);
        if self.is_closed() {
            return Ok(false);
        }
        let now_ms = self.options.clock.now_ms();
        if self.is_flush_due(now_ms) {
            self.freeze();
            return self.flush_frozen(&mut jobs, now_ms).map(|()| true);
        }
        self.forget_idle(&mut jobs, now_ms);
        if now_ms.saturating_sub(jobs.reserve_checked_ms) >= RESERVE_CHECK_MS {
            jobs.reserve_checked_ms = now_ms;
            jobs.manifests.take_reserve();
        }
        Ok(false)
    }

    /// Puts everything in memory into segments and compacts until nothing is left to do.
    pub fn flush(&self) -> Result<(), StorageError> {
        self.flush_head()?;
        self.compact_all()
    }

    /// Puts everything in memory into segments.
    pub(super) fn flush_head(&self) -> Result<(), StorageError> {
        let mut jobs = lock(&self.jobs);
        if self.is_closed() {
            return Err(StorageError::Closed);
        }
        self.freeze();
        self.flush_frozen(&mut jobs, self.options.clock.now_ms())
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
        self.committer.with_seat(|_| self.freeze_seated());
    }

    /// As [`Self::freeze`], by the one who sits in the seat.
    pub(super) fn freeze_seated(&self) {
        self.change_view(|view| {
            let mut frozen = view.frozen.clone();
            let mut current = Arc::clone(&view.current);
            if !current.is_empty() {
                frozen.push(std::mem::replace(&mut current, self.head.new_epoch()));
            }
            View::new(view.segments.clone(), frozen, current, Arc::clone(&view.deletions))
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
        let longest_window_ms = longest_window_ms(self.retention().time_ms);
        let job = FlushJob { head: &self.head, epoch, now_ms, longest_window_ms };
        let added = job.write(&self.files, &mut || allocate(jobs))?;
        let bytes = added.iter().map(|segment| segment.bytes).sum();
        self.counters.flushed_bytes.fetch_add(bytes, Ordering::Relaxed);
        let change = Change { added, flushed_seq: Some(seq_max), ..Change::default() };
        self.apply(jobs, change, Some(epoch))?;
        self.flushed_through(seq_max);
        Ok(())
    }

    /// Makes a change durable, then visible.
    pub(super) fn apply(
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
            let deletions = match change.deletions {
                Some(list) => Arc::new(Deletions::new(list)),
                None => Arc::clone(&view.deletions),
            };
            View::new(segments, frozen, Arc::clone(&view.current), deletions)
        });
        Ok(())
    }

    /// Time of the newest sample.
    pub(super) fn newest(&self, view: &View) -> Option<Timestamp> {
        let stored = view.segments.iter().fold(TimeSpan::new(0, -1), |all, s| all.union(s.meta().span));
        let all = view.epochs().fold(stored, |all, epoch| all.union(epoch.bounds(None)));
        (!all.is_empty()).then_some(all.end)
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

/// A number for a new segment. It is used once, even where writing fails.
pub(super) fn allocate(jobs: &mut Jobs) -> u64 {
    let number = jobs.manifest.next_segment;
    jobs.manifest.next_segment += 1;
    number
}
