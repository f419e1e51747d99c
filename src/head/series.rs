//! Series of one tenant, in shards by fingerprint.

use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, RwLock};

use crate::model::{Fingerprint, Label, Labels, METRIC_NAME};
use crate::storage::{Batch, SeriesIdentity, SeriesLimit};

use super::guard::{Departed, Guard, JOB, SeriesCounts};
use super::index::{PairNumber, ShardIndex, Slot};
use super::known::{KnownTable, unpack};
use crate::lock::{read, write};

/// The slot of series that are not there.
const REFUSED: Slot = Slot::MAX;

/// What became of a batch's series.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Resolution {
    /// Their places, in the batch's order; those of the refused lead nowhere.
    pub places: Vec<SeriesPlace>,
    /// New series that a limit kept out, rising, and which limit.
    pub refused: Vec<(usize, SeriesLimit)>,
}

/// A series of a batch, found in the head.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SeriesPlace {
    /// Its identity.
    pub fingerprint: Fingerprint,
    /// Its number in the log; never given to another series while the process lives.
    pub reference: u64,
    pub(super) shard: u32,
    pub(super) slot: Slot,
}

impl SeriesPlace {
    /// Whether it is the place of a series that a limit kept out.
    pub(super) fn is_refused(self) -> bool {
        self.slot == REFUSED
    }

    #[cfg(test)]
    pub(super) fn new(fingerprint: Fingerprint, reference: u64, shard: u32, slot: Slot) -> Self {
        Self { fingerprint, reference, shard, slot }
    }
}

/// A series that the head knows, with or without samples.
#[derive(Debug)]
pub(super) struct SeriesEntry {
    pub(super) fingerprint: Fingerprint,
    pub(super) reference: u64,
    /// In the order of the names; empty where the slot is free.
    pub(super) pairs: Box<[PairNumber]>,
    /// When the series was last written to, in seconds.
    used_s: AtomicU32,
    pub(super) is_live: bool,
}

/// Of what is a hash already.
#[derive(Default)]
pub(super) struct Identity(u64);

impl Hasher for Identity {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = self.0.rotate_left(8) ^ u64::from(*byte);
        }
    }

    fn write_u64(&mut self, value: u64) {
        self.0 = value;
    }
}

/// One shard: who is in it, and how to find them by label.
#[derive(Debug, Default)]
pub(super) struct SeriesShard {
    by_half: HashMap<u64, Slot, BuildHasherDefault<Identity>>,
    /// Series whose half fingerprint another one has.
    by_whole: HashMap<Fingerprint, Slot>,
    pub(super) entries: Vec<SeriesEntry>,
    free: Vec<Slot>,
    pub(super) index: ShardIndex,
}

/// The half by which series are found; the other half chooses the shard.
fn half(fingerprint: Fingerprint) -> u64 {
    u64::try_from(fingerprint.0 >> 64).expect("the upper half has 64 bits")
}

impl SeriesShard {
    fn find(&self, fingerprint: Fingerprint) -> Option<Slot> {
        let slot = *self.by_half.get(&half(fingerprint))?;
        if self.entries[slot as usize].fingerprint == fingerprint {
            return Some(slot);
        }
        self.by_whole.get(&fingerprint).copied()
    }

    fn create(&mut self, fingerprint: Fingerprint, labels: &Labels, reference: u64, now_s: u32) -> Slot {
        let pairs = self.index.intern(labels.iter());
        let entry =
            SeriesEntry { fingerprint, reference, pairs, used_s: AtomicU32::new(now_s), is_live: true };
        let slot = match self.free.pop() {
            Some(slot) => {
                self.entries[slot as usize] = entry;
                slot
            }
            None => {
                let slot = Slot::try_from(self.entries.len()).expect("a shard has fewer than 2^32 series");
                self.entries.push(entry);
                slot
            }
        };
        self.index.add(slot, &self.entries[slot as usize].pairs);
        let holder = *self.by_half.entry(half(fingerprint)).or_insert(slot);
        if holder != slot {
            self.by_whole.insert(fingerprint, slot);
        }
        slot
    }

    /// The place of a live series, which is thereby written to.
    fn use_place(&self, shard: u32, slot: Slot, now_s: u32) -> SeriesPlace {
        let entry = &self.entries[slot as usize];
        debug_assert!(entry.is_live, "only live series are found");
        // Seconds pass rarely between two batches: most often there is nothing to write.
        if entry.used_s.load(Ordering::Relaxed) < now_s {
            entry.used_s.fetch_max(now_s, Ordering::Relaxed);
        }
        SeriesPlace { fingerprint: entry.fingerprint, reference: entry.reference, shard, slot }
    }

    /// Removes the series that were not written to since `used_before_s` and that `is_idle`. Returns these.
    pub(super) fn remove_idle(
        &mut self,
        used_before_s: u32,
        is_idle: impl Fn(Slot) -> bool,
    ) -> Vec<Departed> {
        let mut removed: Vec<Slot> = Vec::new();
        let mut departed = Vec::new();
        let mut pairs = Vec::new();
        for (at, entry) in self.entries.iter_mut().enumerate() {
            let slot = Slot::try_from(at).expect("slots have 32 bits");
            if entry.is_live && entry.used_s.load(Ordering::Relaxed) < used_before_s && is_idle(slot) {
                entry.is_live = false;
                departed.push(departed_of(&self.index, &entry.pairs));
                pairs.extend_from_slice(&std::mem::take(&mut entry.pairs));
                removed.push(slot);
            }
        }
        for slot in &removed {
            let fingerprint = self.entries[*slot as usize].fingerprint;
            if self.by_whole.remove(&fingerprint).is_none() {
                self.by_half.remove(&half(fingerprint));
                // Another series with this half must take the place, or it would be lost from sight.
                let heir = self.by_whole.iter().find(|(other, _)| half(**other) == half(fingerprint));
                if let Some((other, heir)) = heir.map(|(other, heir)| (*other, *heir)) {
                    self.by_whole.remove(&other);
                    self.by_half.insert(half(other), heir);
                }
            }
        }
        self.index.remove(pairs, |slot| removed.binary_search(&slot).is_ok());
        self.free.extend_from_slice(&removed);
        departed
    }

    /// Labels of a series, one by one.
    pub(super) fn each_label(&self, slot: Slot) -> impl Iterator<Item = Label<'_>> {
        self.entries[slot as usize].pairs.iter().map(|pair| self.index.label(*pair))
    }

    /// Labels of a series.
    pub(super) fn labels(&self, slot: Slot) -> Labels {
        Labels::default().overridden(self.each_label(slot))
    }

    /// How many series there are.
    pub(super) fn len(&self) -> usize {
        self.entries.len() - self.free.len()
    }
}

/// A series of a batch that the head may not know.
struct NewSeries<'a> {
    canonical: &'a [u8],
    is_exempt: bool,
}

/// What a series is counted by.
fn departed_of(index: &ShardIndex, pairs: &[PairNumber]) -> Departed {
    let mut departed = Departed::default();
    for label in pairs.iter().map(|pair| index.label(*pair)) {
        match label.name {
            METRIC_NAME => label.value.clone_into(&mut departed.metric),
            JOB => departed.job = Some(label.value.to_owned()),
            _ => {}
        }
    }
    departed
}

/// All series of one tenant.
#[derive(Debug)]
pub(super) struct SeriesTable {
    pub(super) shards: Box<[RwLock<SeriesShard>]>,
    known: KnownTable,
    counts: Mutex<SeriesCounts>,
    guard: Arc<Guard>,
}

impl SeriesTable {
    /// `shards`: a power of two.
    pub(super) fn new(shards: usize, guard: Arc<Guard>) -> Self {
        assert!(shards.is_power_of_two(), "shards are chosen by the lowest bits");
        Self {
            shards: (0..shards).map(|_| RwLock::default()).collect(),
            known: KnownTable::new(shards),
            counts: Mutex::default(),
            guard,
        }
    }

    fn shard_of(&self, fingerprint: Fingerprint) -> usize {
        let mask = self.shards.len() as u128 - 1;
        usize::try_from(fingerprint.0 & mask).expect("there are fewer shards than an index can count")
    }

    /// See [`KnownTable`].
    pub(super) fn known(&self) -> &KnownTable {
        &self.known
    }

    /// Series by metric and job.
    pub(super) fn counts(&self) -> &Mutex<SeriesCounts> {
        &self.counts
    }

    /// Places of a batch's series, in its order; makes those that are new and that no limit keeps out. Locks each shard once, and once more for each
    /// new series. `None` where the batch names a series by a handle whose time is over.
    pub(super) fn resolve(&self, batch: &Batch, references: &AtomicU64, now_s: u32) -> Option<Resolution> {
        let mut places = Vec::with_capacity(batch.series.len());
        let mut unknown = Vec::new();
        {
            let generation = self.known.generation();
            let shards: Vec<_> = self.shards.iter().map(read).collect();
            for (at, series) in batch.series.iter().enumerate() {
                let (shard, found, fingerprint) = match batch.identity(at) {
                    SeriesIdentity::Known(handle) if handle.generation != generation => return None,
                    SeriesIdentity::Known(handle) => {
                        let (shard, slot) = unpack(handle.place);
                        (shard as usize, Some(slot), None)
                    }
                    SeriesIdentity::Labels | SeriesIdentity::Raw(_) => {
                        let fingerprint = Fingerprint::of(batch.labels_of(series));
                        let shard = self.shard_of(fingerprint);
                        (shard, shards[shard].find(fingerprint), Some(fingerprint))
                    }
                };
                let number = u32::try_from(shard).expect("shards are few");
                places.push(match found {
                    Some(slot) => shards[shard].use_place(number, slot, now_s),
                    None => {
                        unknown.push(at);
                        let fingerprint = fingerprint.expect("a handle leads to a place");
                        SeriesPlace { fingerprint, reference: 0, shard: number, slot: 0 }
                    }
                });
            }
        }
        let mut refused = Vec::new();
        for at in unknown {
            let labels =
                NewSeries { canonical: batch.labels_of(&batch.series[at]), is_exempt: batch.is_exempt(at) };
            if let Err(limit) = self.create(&mut places[at], &labels, references, now_s) {
                refused.push((at, limit));
            }
        }
        // Most batches hold nothing but series that are known already.
        if batch.identities.iter().any(|identity| matches!(identity, SeriesIdentity::Raw(_))) {
            self.known.learn(batch, &places, self.len());
        }
        Some(Resolution { places, refused })
    }

    fn create(
        &self,
        place: &mut SeriesPlace,
        new: &NewSeries<'_>,
        references: &AtomicU64,
        now_s: u32,
    ) -> Result<(), SeriesLimit> {
        let labels = Labels::from_bytes(new.canonical).expect("a batch holds canonical labels");
        let mut shard = write(&self.shards[place.shard as usize]);
        // Another request, or an earlier entry of this batch, may have made it meanwhile.
        place.slot = match shard.find(place.fingerprint) {
            Some(slot) => slot,
            None => {
                if let Err(limit) = self.guard.admit(&self.counts, &labels, new.is_exempt, now_s) {
                    place.slot = REFUSED;
                    return Err(limit);
                }
                let reference = references.fetch_add(1, Ordering::Relaxed);
                shard.create(place.fingerprint, &labels, reference, now_s)
            }
        };
        place.reference = shard.entries[place.slot as usize].reference;
        Ok(())
    }

    /// Removes idle series of one shard, as [`SeriesShard::remove_idle`]. Returns how many.
    pub(super) fn remove_idle(
        &self,
        shard: usize,
        used_before_s: u32,
        is_idle: impl Fn(Slot) -> bool,
    ) -> u64 {
        let departed = write(&self.shards[shard]).remove_idle(used_before_s, is_idle);
        self.guard.release(&self.counts, &departed);
        departed.len() as u64
    }

    /// Tells the table of known series that some have left.
    pub(super) fn forget_removed(&self) {
        self.known.retain(|place| {
            let (shard, slot) = unpack(place);
            read(&self.shards[shard as usize]).entries[slot as usize].is_live
        });
    }

    fn len(&self) -> usize {
        self.shards.iter().map(|shard| read(shard).len()).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn batch(names: &[&str]) -> Batch {
        let mut batch = Batch::default();
        for name in names {
            batch.begin_series(&Labels::from_pairs([("__name__", *name)]));
        }
        batch
    }

    fn resolve(table: &SeriesTable, names: &[&str], references: &AtomicU64, now_s: u32) -> Vec<SeriesPlace> {
        table.resolve(&batch(names), references, now_s).expect("they come with labels").places
    }

    #[test]
    fn a_series_has_one_place() {
        let table = SeriesTable::new(4, Arc::default());
        let references = AtomicU64::new(1);
        let first = resolve(&table, &["a", "b", "a"], &references, 0);
        assert_eq!(first[0], first[2]);
        assert_ne!(first[0].reference, first[1].reference);
        assert_eq!(resolve(&table, &["b"], &references, 0), [first[1]]);
        let shard = read(&table.shards[first[1].shard as usize]);
        assert_eq!(shard.labels(first[1].slot).metric_name(), "b");
    }

    #[test]
    fn idle_series_leave_and_their_slots_are_used_again() {
        let table = SeriesTable::new(1, Arc::default());
        let references = AtomicU64::new(1);
        let old = resolve(&table, &["a", "b"], &references, 10);
        resolve(&table, &["b"], &references, 20);
        assert_eq!(table.remove_idle(0, 15, |_| true), 1);
        assert_eq!(read(&table.shards[0]).len(), 1);
        let new = resolve(&table, &["c", "b", "a"], &references, 30);
        assert_eq!((new[0].slot, new[1]), (old[0].slot, old[1]));
        assert!(new[2].reference > old[0].reference, "a number is never used again");
    }

    #[test]
    fn series_with_equal_halves_are_told_apart() {
        let mut shard = SeriesShard::default();
        let prints = [Fingerprint(7 << 64 | 1), Fingerprint(7 << 64 | 2), Fingerprint(7 << 64 | 3)];
        for (at, print) in prints.iter().enumerate() {
            let labels = Labels::from_pairs([("a", at.to_string())]);
            assert_eq!(shard.create(*print, &labels, at as u64, 5), at as Slot);
        }
        assert_eq!(prints.map(|print| shard.find(print)), [Some(0), Some(1), Some(2)]);
        assert_eq!(shard.remove_idle(9, |slot| slot == 0).len(), 1);
        assert_eq!(prints.map(|print| shard.find(print)), [None, Some(1), Some(2)]);
    }
}
