//! Newest samples, in memory: which series there are, and what came since the last flush.
//!
//! Series live in shards by fingerprint and stay while they are written to; samples live in *epochs*, one between two
//! flushes, so that a flush hands over a whole epoch that no longer changes. A reader pins the epochs as they are and
//! sees nothing that is published later. Of samples at one time the one published last wins.
//!
//! Promises: publishing shows a batch as a whole; a pinned epoch never changes. Left to the database: who may publish
//! (one thread), durability, acceptance, sequence numbers, and the segments behind.

mod buffer;
mod cause;
mod epoch;
mod facts;
mod guard;
mod index;
mod known;
mod packed;
mod select;
mod series;
mod texts;

use std::collections::{BTreeMap, HashMap};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, RwLock, Weak};

use crate::model::{Exemplar, Labels, Metadata, TenantId, TimeSpan, Timestamp};
use crate::storage::{Batch, Columns, RawLabels, SeriesHandle, SeriesLimit, SeriesLimits};

use self::guard::Guard;
use self::series::SeriesTable;
use crate::lock::{lock, read, write};

pub use epoch::{Epoch, PinnedEpoch, Publication};
pub use facts::HeadFacts;
pub use select::{HeadReader, HeadRow, HeadRows};
pub use series::{Resolution, SeriesPlace};

/// All series of all tenants, and what metric families say of themselves.
#[derive(Debug)]
pub struct Head {
    shards: usize,
    tenants: RwLock<HashMap<TenantId, Arc<SeriesTable>>>,
    references: AtomicU64,
    removed: AtomicU64,
    guard: Arc<Guard>,
    metadata: RwLock<HashMap<TenantId, BTreeMap<String, Vec<Metadata>>>>,
    /// All epochs that somebody may still read.
    epochs: Mutex<Vec<Weak<Epoch>>>,
}

/// Most different statements of metadata that are kept of one metric family.
const METADATA_PER_METRIC_MAX: usize = 16;

impl Head {
    /// An empty head without limits. `shards`: a power of two.
    pub fn new(shards: usize) -> Self {
        Self {
            shards,
            tenants: RwLock::default(),
            references: AtomicU64::new(0),
            removed: AtomicU64::new(0),
            guard: Arc::default(),
            metadata: RwLock::default(),
            epochs: Mutex::default(),
        }
    }

    /// An epoch that fits this head.
    pub fn new_epoch(&self) -> Arc<Epoch> {
        let epoch = Arc::new(Epoch::new(self.shards));
        lock(&self.epochs).push(Arc::downgrade(&epoch));
        epoch
    }

    /// How many epochs somebody still holds.
    pub fn epochs_in_use(&self) -> usize {
        let mut epochs = lock(&self.epochs);
        epochs.retain(|epoch| epoch.strong_count() > 0);
        epochs.len()
    }

    /// Limits the series that are made from now on; those that are there stay, however many they are.
    pub fn set_series_limits(&self, limits: SeriesLimits) {
        self.guard.set_limits(limits);
    }

    /// The limits as they are.
    pub fn series_limits(&self) -> SeriesLimits {
        self.guard.limits()
    }

    /// How often a new series was kept out by a limit.
    pub fn series_refused(&self, limit: SeriesLimit) -> u64 {
        self.guard.refused(limit)
    }

    /// Series made within the last hour, to the minute, without those that were there when limits were set.
    pub fn series_created_last_hour(&self, now_ms: Timestamp) -> u64 {
        self.guard.created_last_hour(seconds(now_ms))
    }

    /// Places of a batch's series, in its order; makes those that are new, as far as the limits allow. They become visible
    /// with their samples.
    /// `None` where the batch names a series by a handle and some series have left since that was given out.
    pub fn resolve(&self, tenant: &TenantId, batch: &Batch, now_ms: Timestamp) -> Option<Resolution> {
        self.table_or_new(tenant).resolve(batch, &self.references, seconds(now_ms))
    }

    /// The handle of the series with these labels, which is made where it is new, whatever the limits.
    pub fn handle(&self, tenant: &TenantId, labels: &Labels, now_ms: Timestamp) -> SeriesHandle {
        let table = self.table_or_new(tenant);
        let mut batch = Batch { exempt_from: Some(0), ..Batch::default() };
        batch.begin_series(labels);
        let resolved = table.resolve(&batch, &self.references, seconds(now_ms));
        let place = resolved.expect("it comes with labels").places[0];
        table.known().handle(place)
    }

    /// Handles of the series that came with these raw labels before, in this order.
    pub fn known_series(&self, tenant: &TenantId, raw: &[RawLabels]) -> Vec<Option<SeriesHandle>> {
        self.table(tenant).map_or_else(Vec::new, |table| table.known().find(raw))
    }

    /// Labels of a series.
    pub fn labels(&self, tenant: &TenantId, place: SeriesPlace) -> Labels {
        let table = self.table(tenant).expect("a place belongs to a tenant with series");
        read(&table.shards[place.shard as usize]).labels(place.slot)
    }

    /// Time of a series' newest sample in these epochs.
    pub fn newest(&self, tenant: &TenantId, place: SeriesPlace, epochs: &[PinnedEpoch]) -> Option<Timestamp> {
        let parts = epochs.iter().filter_map(|epoch| epoch.tenant(tenant));
        parts.filter_map(|part| part.newest(place.shard, place.slot)).max()
    }

    /// Appends a row with what a series has within `span` for each epoch, oldest first.
    pub fn read(
        &self,
        tenant: &TenantId,
        place: SeriesPlace,
        epochs: &[PinnedEpoch],
        span: TimeSpan,
        out: &mut Columns,
    ) {
        for part in epochs.iter().filter_map(|epoch| epoch.tenant(tenant)) {
            out.begin_row();
            part.read(place.shard, place.slot, span, out);
        }
    }

    /// Gives every series with samples in `epoch` to `visit`, with all its samples as the only row.
    pub fn each_series(
        &self,
        tenant: &TenantId,
        epoch: &PinnedEpoch,
        mut visit: impl FnMut(&Labels, &Columns),
    ) {
        let (Some(table), Some(part)) = (self.table(tenant), epoch.tenant(tenant)) else { return };
        let mut columns = Columns::default();
        for shard in 0..part.tenant.shard_count() {
            let slots = read(part.tenant.shard(shard)).len();
            for slot in 0..u32::try_from(slots).expect("slots have 32 bits") {
                columns.clear();
                columns.begin_row();
                let shard_number = u32::try_from(shard).expect("shards are few");
                part.read(shard_number, slot, TimeSpan::ALL, &mut columns);
                if columns.sample_count() > 0 {
                    let labels = read(&table.shards[shard]).labels(slot);
                    visit(&labels, &columns);
                }
            }
        }
    }

    /// As [`Self::each_series`], in the rising order of the keys that `key` makes; ends with the first error. Memory is
    /// a key for each series.
    pub fn each_series_sorted<K: Ord, E>(
        &self,
        tenant: &TenantId,
        epoch: &PinnedEpoch,
        key: impl Fn(&Labels) -> K,
        mut visit: impl FnMut(&K, &Labels, &Columns) -> Result<(), E>,
    ) -> Result<(), E> {
        let (Some(table), Some(part)) = (self.table(tenant), epoch.tenant(tenant)) else { return Ok(()) };
        let mut places = Vec::new();
        for shard in 0..part.tenant.shard_count() {
            let slots = read(part.tenant.shard(shard)).len();
            let shard_number = u32::try_from(shard).expect("shards are few");
            for slot in 0..u32::try_from(slots).expect("slots have 32 bits") {
                if part.newest(shard_number, slot).is_some() {
                    places.push((key(&read(&table.shards[shard]).labels(slot)), shard_number, slot));
                }
            }
        }
        places.sort_unstable();
        let mut columns = Columns::default();
        for (key, shard, slot) in places {
            columns.clear();
            columns.begin_row();
            part.read(shard, slot, TimeSpan::ALL, &mut columns);
            if columns.sample_count() > 0 {
                let labels = read(&table.shards[shard as usize]).labels(slot);
                visit(&key, &labels, &columns)?;
            }
        }
        Ok(())
    }

    /// Exemplars of an epoch by series; of several at one time the one written last.
    pub fn epoch_exemplars(&self, tenant: &TenantId, epoch: &PinnedEpoch) -> Vec<(Labels, Vec<Exemplar>)> {
        let (Some(table), Some(part)) = (self.table(tenant), epoch.tenant(tenant)) else { return Vec::new() };
        let stored = lock(part.tenant.exemplars());
        stored
            .iter()
            .map(|((shard, slot), exemplars)| {
                let by_time: BTreeMap<Timestamp, &Exemplar> =
                    exemplars.iter().map(|exemplar| (exemplar.timestamp, exemplar)).collect();
                let labels = read(&table.shards[*shard as usize]).labels(*slot);
                (labels, by_time.into_values().cloned().collect())
            })
            .collect()
    }

    /// Metadata that came within an epoch, each statement once.
    pub fn epoch_metadata(&self, tenant: &TenantId, epoch: &PinnedEpoch) -> Vec<(String, Metadata)> {
        let Some(part) = epoch.tenant(tenant) else { return Vec::new() };
        let mut known: Vec<(String, Metadata)> = Vec::new();
        for entry in lock(part.tenant.metadata()).iter() {
            if !known.contains(entry) {
                known.push(entry.clone());
            }
        }
        known
    }

    /// Whether metadata says something that is not known of the metric yet.
    pub fn is_new_metadata(&self, tenant: &TenantId, metric: &str, metadata: &Metadata) -> bool {
        let tenants = read(&self.metadata);
        let known = tenants.get(tenant).and_then(|metrics| metrics.get(metric));
        !known.is_some_and(|known| known.contains(metadata))
    }

    /// Remembers what a metric family says of itself.
    pub fn add_metadata(&self, tenant: &TenantId, metric: &str, metadata: &Metadata) {
        let mut tenants = write(&self.metadata);
        let known = tenants.entry(tenant.clone()).or_default().entry(metric.to_owned()).or_default();
        if !known.contains(metadata) {
            if known.len() == METADATA_PER_METRIC_MAX {
                known.remove(0);
            }
            known.push(metadata.clone());
        }
    }

    /// Metadata by metric family, in name order. `metric` empty: all families.
    pub fn metadata(&self, tenant: &TenantId, metric: &str) -> Vec<(String, Vec<Metadata>)> {
        let tenants = read(&self.metadata);
        let Some(metrics) = tenants.get(tenant) else { return Vec::new() };
        if metric.is_empty() {
            return metrics.iter().map(|(name, known)| (name.clone(), known.clone())).collect();
        }
        metrics.get(metric).map(|known| (metric.to_owned(), known.clone())).into_iter().collect()
    }

    /// Removes series that were not written to since `used_before_ms` and have no samples in `current`. The caller
    /// makes sure that nobody is between resolving a batch and publishing it, and that no other epoch is in use.
    pub fn remove_idle(&self, used_before_ms: Timestamp, current: &Arc<Epoch>) {
        let tables: Vec<_> = read(&self.tenants).iter().map(|(n, t)| (n.clone(), Arc::clone(t))).collect();
        for (tenant, table) in tables {
            let part = current.tenant(&tenant);
            let mut removed_of_table = 0;
            for at in 0..table.shards.len() {
                let busy: Vec<bool> = part.as_ref().map_or_else(Vec::new, |part| {
                    read(part.shard(at)).iter().map(|buffer| !buffer.is_empty()).collect()
                });
                let exemplars: Vec<u32> = part.as_ref().map_or_else(Vec::new, |part| {
                    let stored = lock(part.exemplars());
                    stored.keys().filter(|(shard, _)| *shard as usize == at).map(|(_, slot)| *slot).collect()
                });
                let is_idle = |slot: u32| {
                    !busy.get(slot as usize).copied().unwrap_or(false) && !exemplars.contains(&slot)
                };
                let removed = table.remove_idle(at, seconds(used_before_ms), is_idle);
                self.removed.fetch_add(removed, Ordering::Relaxed);
                removed_of_table += removed;
            }
            if removed_of_table > 0 {
                table.forget_removed();
            }
        }
    }

    /// Series of all tenants, with or without samples.
    pub fn series(&self) -> u64 {
        let tables = read(&self.tenants);
        tables.values().flat_map(|table| table.shards.iter()).map(|shard| read(shard).len() as u64).sum()
    }

    /// Series begun so far.
    pub fn series_created(&self) -> u64 {
        self.references.load(Ordering::Relaxed)
    }

    /// Series removed so far.
    pub fn series_removed(&self) -> u64 {
        self.removed.load(Ordering::Relaxed)
    }

    fn table(&self, tenant: &TenantId) -> Option<Arc<SeriesTable>> {
        read(&self.tenants).get(tenant).cloned()
    }

    fn table_or_new(&self, tenant: &TenantId) -> Arc<SeriesTable> {
        if let Some(table) = self.table(tenant) {
            return table;
        }
        let mut tenants = write(&self.tenants);
        let table = tenants
            .entry(tenant.clone())
            .or_insert_with(|| Arc::new(SeriesTable::new(self.shards, Arc::clone(&self.guard))));
        Arc::clone(table)
    }
}

/// Whole seconds of a time, as far as 32 bits reach.
fn seconds(t: Timestamp) -> u32 {
    u32::try_from(t.max(0) / 1_000).unwrap_or(u32::MAX)
}
