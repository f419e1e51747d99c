//! Group commit: batches that wait together are written once, synced once, and then published.
//!
//! There is one seat from which the log is written. A request that finds it free takes it and commits everything that
//! waits, its own batch among it; the others sleep until their answer is there. This is a committer thread without
//! the thread: a lone writer pays no hand-over, and a test without threads is deterministic.

use std::borrow::Cow;
use std::collections::VecDeque;
use std::sync::{Arc, Condvar, Mutex, OnceLock};

use crate::clock::Clock;
use crate::head::{Epoch, Publication, SeriesPlace};
use crate::model::TenantId;
use crate::storage::{AppendError, Batch, BatchSeries, SeriesIdentity};
use crate::wal::{EncodedBatch, LogError, LogWriter, RejectedSet, SeriesUse};

use super::Database;
use crate::lock::lock;

/// Most bytes that one group gathers: a group that grows without end would delay the first of it.
const GROUP_BYTES_MAX: usize = 16 << 20;

/// A validated, encoded batch on its way.
#[derive(Debug)]
pub(super) struct Pending {
    pub(super) tenant: TenantId,
    pub(super) batch: Batch,
    pub(super) places: Vec<SeriesPlace>,
    pub(super) rejected: RejectedSet,
    pub(super) encoded: EncodedBatch,
    answer: OnceLock<Result<(), AppendError>>,
}

impl Pending {
    pub(super) fn new(
        tenant: TenantId,
        batch: Batch,
        places: Vec<SeriesPlace>,
        rejected: RejectedSet,
        encoded: EncodedBatch,
    ) -> Self {
        Self { tenant, batch, places, rejected, encoded, answer: OnceLock::new() }
    }

    /// What it occupies while it waits: the records, and the batch that they were made from.
    fn bytes(&self) -> usize {
        let entries = size_of::<BatchSeries>() * self.batch.series.len();
        self.encoded.len() + self.batch.label_bytes.len() + entries
    }
}

/// A series as the log knows it.
pub(super) fn series_use(place: &SeriesPlace) -> SeriesUse {
    SeriesUse { reference: place.reference, fingerprint: place.fingerprint }
}

/// What only the one who sits in the seat may touch.
#[derive(Debug)]
pub(super) struct Seat {
    pub(super) log: LogWriter,
    pub(super) seq_last: u64,
}

#[derive(Debug, Default)]
struct Queue {
    waiting: VecDeque<Arc<Pending>>,
    /// Of those that wait and those that are being written.
    bytes: usize,
    is_taken: bool,
    is_closed: bool,
}

/// The queue before the log, and the seat behind it.
#[derive(Debug)]
pub(super) struct Committer {
    queue: Mutex<Queue>,
    changed: Condvar,
    seat: Mutex<Seat>,
    bytes_max: usize,
    sync_each: bool,
    clock: Clock,
}

impl Committer {
    pub(super) fn new(seat: Seat, bytes_max: usize, sync_each: bool, clock: Clock) -> Self {
        Self {
            queue: Mutex::default(),
            changed: Condvar::new(),
            seat: Mutex::new(seat),
            bytes_max,
            sync_each,
            clock,
        }
    }

    /// Queues a batch and answers when it is durable and published to `database`, or when it is known to be neither.
    pub(super) fn commit(&self, pending: Pending, database: &Database) -> Result<(), AppendError> {
        let pending = Arc::new(pending);
        let mut queue = lock(&self.queue);
        if queue.is_closed {
            return Err(AppendError::Closed);
        }
        if queue.bytes > 0 && queue.bytes + pending.bytes() > self.bytes_max {
            return Err(AppendError::Busy);
        }
        queue.bytes += pending.bytes();
        queue.waiting.push_back(Arc::clone(&pending));
        loop {
            if let Some(answer) = pending.answer.get() {
                return answer.clone();
            }
            if queue.is_taken {
                queue = self.changed.wait(queue).unwrap_or_else(std::sync::PoisonError::into_inner);
                continue;
            }
            queue.is_taken = true;
            let group = Group { committer: self, database, members: take_group(&mut queue) };
            drop(queue);
            group.commit();
            drop(group);
            queue = lock(&self.queue);
        }
    }

    /// Does something from the seat, between two groups.
    pub(super) fn with_seat<T>(&self, act: impl FnOnce(&mut Seat) -> T) -> T {
        act(&mut lock(&self.seat))
    }

    /// Refuses what comes from now on. What waits is still written.
    pub(super) fn close(&self) {
        lock(&self.queue).is_closed = true;
    }
}

/// Takes what waits, as much as fits a group, and at least one.
fn take_group(queue: &mut Queue) -> Vec<Arc<Pending>> {
    let mut members = Vec::new();
    let mut bytes = 0;
    while let Some(next) = queue.waiting.pop_front() {
        bytes += next.bytes();
        members.push(next);
        if queue.waiting.front().is_some_and(|next| bytes + next.bytes() > GROUP_BYTES_MAX) {
            break;
        }
    }
    members
}

/// Batches that are being committed. Dropping it frees the seat and wakes everybody, also after a panic.
struct Group<'a> {
    committer: &'a Committer,
    database: &'a Database,
    members: Vec<Arc<Pending>>,
}

impl Group<'_> {
    fn commit(&self) {
        let mut seat = lock(&self.committer.seat);
        match self.write(&mut seat) {
            Ok(seqs) => {
                // From the seat: no flush begins between the log and the head.
                let epoch = Arc::clone(&self.database.view().current);
                for (member, seq) in self.members.iter().zip(seqs) {
                    self.publish(&epoch, member, seq);
                    member.answer.set(Ok(())).expect("a batch is answered once");
                }
            }
            Err(error) => {
                let error = AppendError::Unavailable(error.to_string());
                for member in &self.members {
                    member.answer.set(Err(error.clone())).expect("a batch is answered once");
                }
            }
        }
    }

    fn write(&self, seat: &mut Seat) -> Result<Vec<u64>, LogError> {
        seat.log.begin_group()?;
        let mut seqs = Vec::with_capacity(self.members.len());
        for member in &self.members {
            let now_us = u64::try_from(self.committer.clock.now_us()).unwrap_or(0);
            seat.seq_last = now_us.max(seat.seq_last + 1);
            seqs.push(seat.seq_last);
            let used: Vec<SeriesUse> = member.places.iter().map(series_use).collect();
            let labels = |at| self.labels(member, at);
            seat.log.stage(seat.seq_last, &member.tenant, &used, &member.encoded, labels);
        }
        seat.log.commit(self.committer.sync_each)?;
        Ok(seqs)
    }

    /// Canonical labels of a series of a batch; the head has them where the batch came without.
    fn labels<'b>(&self, member: &'b Pending, at: usize) -> Cow<'b, [u8]> {
        match member.batch.identity(at) {
            SeriesIdentity::Known(_) => {
                let labels = self.database.head.labels(&member.tenant, member.places[at]);
                Cow::Owned(labels.as_bytes().to_vec())
            }
            SeriesIdentity::Labels | SeriesIdentity::Raw(_) => {
                Cow::Borrowed(member.batch.labels_of(&member.batch.series[at]))
            }
        }
    }

    fn publish(&self, epoch: &Epoch, member: &Pending, seq: u64) {
        epoch.publish(&Publication {
            seq,
            now_ms: self.committer.clock.now_ms(),
            log_bytes: member.encoded.len() as u64,
            tenant: &member.tenant,
            batch: &member.batch,
            places: &member.places,
            rejected: &member.rejected,
        });
    }
}

impl Drop for Group<'_> {
    fn drop(&mut self) {
        for member in &self.members {
            // Only after a panic is there no answer yet.
            let _ = member.answer.set(Err(AppendError::Unavailable("a write ended early".to_owned())));
        }
        let mut queue = lock(&self.committer.queue);
        queue.bytes -= self.members.iter().map(|member| member.bytes()).sum::<usize>();
        queue.is_taken = false;
        self.committer.changed.notify_all();
    }
}
