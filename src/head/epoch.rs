//! Samples that came between two flushes.

use std::collections::HashMap;
use std::sync::atomic::{AtomicI64, AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, RwLock};

use crossbeam::utils::CachePadded;

use crate::model::{Exemplar, Metadata, TenantId, TimeSpan, Timestamp};
use crate::storage::{Batch, Columns, SampleKind};
use crate::wal::RejectedSet;

use super::buffer::{Buffer, Order};
use super::index::Slot;
use super::series::SeriesPlace;
use crate::lock::{lock, read, write};

/// Samples of all tenants that came between two flushes. One thread publishes, any number read; once the next epoch
/// has begun nothing changes any more.
#[derive(Debug)]
pub struct Epoch {
    shards: usize,
    tenants: RwLock<HashMap<TenantId, Arc<EpochTenant>>>,
    published: AtomicU32,
    begun_ms: AtomicI64,
    seq_min: AtomicU64,
    seq_max: AtomicU64,
    log_bytes: AtomicU64,
}

/// Samples of one tenant within an epoch.
#[derive(Debug)]
pub(super) struct EpochTenant {
    /// Padded: neighbours are written to by different threads.
    shards: Box<[CachePadded<RwLock<Vec<Buffer>>>]>,
    exemplars: Mutex<HashMap<(u32, Slot), Vec<Exemplar>>>,
    metadata: Mutex<Vec<(String, Metadata)>>,
    samples: AtomicU64,
    oldest: AtomicI64,
    newest: AtomicI64,
}

impl EpochTenant {
    fn new(shards: usize) -> Self {
        Self {
            shards: (0..shards).map(|_| CachePadded::default()).collect(),
            exemplars: Mutex::default(),
            metadata: Mutex::default(),
            samples: AtomicU64::new(0),
            oldest: AtomicI64::new(i64::MAX),
            newest: AtomicI64::new(i64::MIN),
        }
    }

    /// Buffers of a shard by slot; slots of series without samples may lie beyond the end.
    pub(super) fn shard(&self, shard: usize) -> &RwLock<Vec<Buffer>> {
        &self.shards[shard]
    }

    pub(super) fn shard_count(&self) -> usize {
        self.shards.len()
    }

    pub(super) fn exemplars(&self) -> &Mutex<HashMap<(u32, Slot), Vec<Exemplar>>> {
        &self.exemplars
    }

    pub(super) fn metadata(&self) -> &Mutex<Vec<(String, Metadata)>> {
        &self.metadata
    }

    pub(super) fn bounds(&self) -> TimeSpan {
        TimeSpan::new(self.oldest.load(Ordering::Relaxed), self.newest.load(Ordering::Relaxed))
    }

    fn publish_floats(&self, order: Order, batch: &Batch, places: &[SeriesPlace], rejected: &RejectedSet) {
        // Nobody else holds two of these locks.
        let mut shards: Vec<_> = self.shards.iter().map(|shard| write(shard)).collect();
        let is_whole = rejected.is_empty();
        for (series, place) in batch.series.iter().zip(places) {
            if series.floats.is_empty() {
                continue;
            }
            let buffer = buffer_at(&mut shards[place.shard as usize], place.slot);
            for index in series.floats.clone() {
                if is_whole || !rejected.contains(SampleKind::Float, index) {
                    let entry = &batch.floats[index];
                    buffer.push_float(order, entry.timestamp, entry.start_timestamp, entry.value);
                }
            }
        }
    }

    fn publish_histograms(
        &self,
        order: Order,
        batch: &Batch,
        places: &[SeriesPlace],
        rejected: &RejectedSet,
    ) {
        for (series, place) in batch.series.iter().zip(places) {
            for index in series.histograms.clone() {
                if !rejected.contains(SampleKind::Histogram, index) {
                    let entry = &batch.histograms[index];
                    let histogram = Arc::clone(&entry.histogram);
                    let mut buffers = write(&self.shards[place.shard as usize]);
                    let buffer = buffer_at(&mut buffers, place.slot);
                    buffer.push_histogram(order, entry.timestamp, entry.start_timestamp, histogram);
                }
            }
        }
    }

    fn publish_exemplars(&self, batch: &Batch, places: &[SeriesPlace], rejected: &RejectedSet) {
        let mut exemplars = lock(&self.exemplars);
        for (series, place) in batch.series.iter().zip(places) {
            for index in series.exemplars.clone() {
                if !rejected.contains(SampleKind::Exemplar, index) {
                    let stored = exemplars.entry((place.shard, place.slot)).or_default();
                    stored.push(batch.exemplars[index].clone());
                }
            }
        }
    }

    fn widen_bounds(&self, span: TimeSpan) {
        if !span.is_empty() {
            self.oldest.fetch_min(span.start, Ordering::Relaxed);
            self.newest.fetch_max(span.end, Ordering::Relaxed);
        }
    }
}

fn buffer_at(buffers: &mut Vec<Buffer>, slot: Slot) -> &mut Buffer {
    let at = slot as usize;
    if at >= buffers.len() {
        if at >= buffers.capacity() {
            // By eighths: twice as many as are needed would be most of what a series costs.
            buffers.reserve_exact(at + 1 - buffers.len() + buffers.len() / 8);
        }
        buffers.resize_with(at + 1, Buffer::default);
    }
    &mut buffers[at]
}

/// First and last time of a batch's accepted samples; empty where there is none.
fn time_span(batch: &Batch, rejected: &RejectedSet) -> TimeSpan {
    let accepted = |kind: SampleKind, index: usize| !rejected.contains(kind, index);
    let floats = batch.floats.iter().enumerate().filter(|(at, _)| accepted(SampleKind::Float, *at));
    let histograms =
        batch.histograms.iter().enumerate().filter(|(at, _)| accepted(SampleKind::Histogram, *at));
    let mut span = TimeSpan::new(i64::MAX, i64::MIN);
    for t in floats.map(|(_, entry)| entry.timestamp).chain(histograms.map(|(_, entry)| entry.timestamp)) {
        span = TimeSpan::new(span.start.min(t), span.end.max(t));
    }
    span
}

/// A durable batch, ready to be seen.
#[derive(Clone, Copy, Debug)]
pub struct Publication<'a> {
    /// Its sequence number.
    pub seq: u64,
    /// What time it is.
    pub now_ms: Timestamp,
    /// Bytes of log that hold it.
    pub log_bytes: u64,
    /// Whose it is.
    pub tenant: &'a TenantId,
    /// What it says.
    pub batch: &'a Batch,
    /// Places of its series, in its order.
    pub places: &'a [SeriesPlace],
    /// What is left out.
    pub rejected: &'a RejectedSet,
}

impl Epoch {
    /// An empty epoch.
    pub fn new(shards: usize) -> Self {
        Self {
            shards,
            tenants: RwLock::default(),
            published: AtomicU32::new(0),
            begun_ms: AtomicI64::new(i64::MAX),
            seq_min: AtomicU64::new(u64::MAX),
            seq_max: AtomicU64::new(0),
            log_bytes: AtomicU64::new(0),
        }
    }

    /// Makes a durable batch visible, all of it at once. Only one thread may publish at a time, in rising `seq`.
    pub fn publish(&self, publication: &Publication<'_>) {
        let Publication { seq, now_ms, log_bytes, tenant, batch, places, rejected } = *publication;
        assert!(seq >= self.seq_max.load(Ordering::Relaxed), "batches are published in rising order");
        let order = self.published.load(Ordering::Relaxed) + 1;
        let storage = self.tenant_or_new(tenant);
        // Floats first, as the log holds them, so that a replay ends in the same state.
        storage.publish_floats(order, batch, places, rejected);
        storage.publish_histograms(order, batch, places, rejected);
        storage.publish_exemplars(batch, places, rejected);
        if !batch.metadata.is_empty() {
            let entries = batch.metadata.iter().map(|entry| (entry.metric.clone(), entry.metadata.clone()));
            lock(&storage.metadata).extend(entries);
        }
        storage.widen_bounds(time_span(batch, rejected));
        let count = |kind, len| len - rejected.count_within(kind, &(0..len));
        let samples = count(SampleKind::Float, batch.floats.len())
            + count(SampleKind::Histogram, batch.histograms.len());
        storage.samples.fetch_add(samples as u64, Ordering::Relaxed);
        self.log_bytes.fetch_add(log_bytes, Ordering::Relaxed);
        self.begun_ms.fetch_min(now_ms, Ordering::Relaxed);
        self.seq_min.fetch_min(seq, Ordering::Relaxed);
        self.seq_max.store(seq, Ordering::Relaxed);
        // Readers take this number first: what was pushed before is complete for them.
        self.published.store(order, Ordering::Release);
    }

    /// The epoch as it is now; what is published later does not show.
    pub fn pin(self: &Arc<Self>) -> PinnedEpoch {
        PinnedEpoch { epoch: Arc::clone(self), order_max: self.published.load(Ordering::Acquire) }
    }

    /// Whether nothing was published.
    pub fn is_empty(&self) -> bool {
        self.published.load(Ordering::Acquire) == 0
    }

    /// When the first batch was published; `None` where none was.
    pub fn begun_ms(&self) -> Option<Timestamp> {
        (!self.is_empty()).then(|| self.begun_ms.load(Ordering::Relaxed))
    }

    /// Lowest and highest sequence number inside; `None` where there is none.
    pub fn seq_range(&self) -> Option<(u64, u64)> {
        let range = (self.seq_min.load(Ordering::Relaxed), self.seq_max.load(Ordering::Relaxed));
        (!self.is_empty()).then_some(range)
    }

    /// Bytes of log that hold what is inside.
    pub fn log_bytes(&self) -> u64 {
        self.log_bytes.load(Ordering::Relaxed)
    }

    /// Samples inside.
    pub fn samples(&self) -> u64 {
        read(&self.tenants).values().map(|tenant| tenant.samples.load(Ordering::Relaxed)).sum()
    }

    /// Bytes of memory that the samples take; walks all buffers.
    pub fn heap_bytes(&self) -> u64 {
        let tenants: Vec<_> = read(&self.tenants).values().cloned().collect();
        let shards = tenants.iter().flat_map(|tenant| tenant.shards.iter());
        let bytes = shards.map(|shard| {
            let buffers = read(shard);
            let heap: usize = buffers.iter().map(Buffer::heap_bytes).sum();
            (heap + buffers.capacity() * size_of::<Buffer>()) as u64
        });
        bytes.sum()
    }

    /// Time of the oldest and newest sample of a tenant (`None`: of all).
    pub fn bounds(&self, tenant: Option<&TenantId>) -> TimeSpan {
        let tenants = read(&self.tenants);
        let chosen = tenants.iter().filter(|(name, _)| tenant.is_none_or(|wanted| wanted == *name));
        chosen.fold(TimeSpan::new(0, -1), |span, (_, tenant)| span.union(tenant.bounds()))
    }

    /// Tenants that have something inside, in name order.
    pub fn tenants(&self) -> Vec<TenantId> {
        let mut names: Vec<TenantId> = read(&self.tenants).keys().cloned().collect();
        names.sort_unstable();
        names
    }

    pub(super) fn tenant(&self, tenant: &TenantId) -> Option<Arc<EpochTenant>> {
        read(&self.tenants).get(tenant).cloned()
    }

    fn tenant_or_new(&self, tenant: &TenantId) -> Arc<EpochTenant> {
        if let Some(known) = self.tenant(tenant) {
            return known;
        }
        let mut tenants = write(&self.tenants);
        Arc::clone(tenants.entry(tenant.clone()).or_insert_with(|| Arc::new(EpochTenant::new(self.shards))))
    }
}

/// An epoch as it was at one moment.
#[derive(Clone, Debug)]
pub struct PinnedEpoch {
    pub(super) epoch: Arc<Epoch>,
    pub(super) order_max: Order,
}

impl PinnedEpoch {
    /// A tenant's part of it.
    pub(super) fn tenant(&self, tenant: &TenantId) -> Option<PinnedTenant> {
        Some(PinnedTenant { tenant: self.epoch.tenant(tenant)?, order_max: self.order_max })
    }
}

/// One tenant's part of a pinned epoch.
#[derive(Clone, Debug)]
pub(super) struct PinnedTenant {
    pub(super) tenant: Arc<EpochTenant>,
    pub(super) order_max: Order,
}

impl PinnedTenant {
    /// Appends to the row begun last in `out` what the series has within `span`.
    pub(super) fn read(&self, shard: u32, slot: Slot, span: TimeSpan, out: &mut Columns) {
        if let Some(buffer) = read(self.tenant.shard(shard as usize)).get(slot as usize) {
            buffer.read(self.order_max, span, out);
        }
    }

    /// Time of the series' newest sample.
    pub(super) fn newest(&self, shard: u32, slot: Slot) -> Option<Timestamp> {
        read(self.tenant.shard(shard as usize)).get(slot as usize)?.newest(self.order_max)
    }
}
