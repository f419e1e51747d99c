//! Series by the bytes that their labels came as, so that the labels of known series need not be read again.

use std::collections::HashMap;
use std::hash::BuildHasherDefault;
use std::sync::RwLock;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::lock::{read, write};
use crate::storage::{Batch, RawLabels, SeriesHandle, SeriesIdentity};

use super::index::Slot;
use super::series::{Identity, SeriesPlace};

/// Entries that a table may have beyond two for each series.
const SPARE_ENTRIES: usize = 1_024;

/// A hash, in words of 32 bits: an entry takes 20 bytes then, and 32 if it were aligned as 128 bits are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Key([u32; 4]);

impl Key {
    fn of(raw: RawLabels) -> Self {
        let bytes = raw.0.to_le_bytes();
        let word = |at: usize| u32::from_le_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]]);
        Self([word(0), word(4), word(8), word(12)])
    }
}

impl std::hash::Hash for Key {
    fn hash<H: std::hash::Hasher>(&self, state: &mut H) {
        state.write_u64(u64::from(self.0[0]) << 32 | u64::from(self.0[1]));
    }
}

type KnownShard = HashMap<Key, u32, BuildHasherDefault<Identity>>;

/// Places of series by raw labels.
///
/// What it holds is true for one *generation*: before series leave, the entries that lead to them go and the generation
/// ends, so that a handle that was given out earlier is noticed. A sender that spells its labels in ever new ways does
/// not fill the memory: at two entries a series, a shard begins anew.
#[derive(Debug)]
pub(super) struct KnownTable {
    /// By the highest bits of the hash.
    shards: Box<[RwLock<KnownShard>]>,
    generation: AtomicU64,
}

/// A place as one number.
pub(super) fn pack(shard: u32, slot: Slot) -> u64 {
    u64::from(shard) << 32 | u64::from(slot)
}

/// Inverse of [`pack`].
pub(super) fn unpack(place: u64) -> (u32, Slot) {
    let low = |wide: u64| u32::try_from(wide & u64::from(u32::MAX)).expect("32 bits were kept");
    (low(place >> 32), low(place))
}

impl KnownTable {
    /// `shards`: a power of two.
    pub(super) fn new(shards: usize) -> Self {
        Self { shards: (0..shards).map(|_| RwLock::default()).collect(), generation: AtomicU64::new(0) }
    }

    /// What handles are good for now.
    pub(super) fn generation(&self) -> u64 {
        self.generation.load(Ordering::Acquire)
    }

    /// The handle of a place.
    pub(super) fn handle(&self, place: SeriesPlace) -> SeriesHandle {
        SeriesHandle { place: pack(place.shard, place.slot), generation: self.generation() }
    }

    /// Handles of the series that came as `raw` before. Locks each shard once.
    pub(super) fn find(&self, raw: &[RawLabels]) -> Vec<Option<SeriesHandle>> {
        // First: what is found while series leave belongs to the generation that ends.
        let generation = self.generation();
        let shards: Vec<_> = self.shards.iter().map(read).collect();
        let find = |raw: &RawLabels| {
            let place = *shards[self.shard_of(*raw)].get(&Key::of(*raw))?;
            Some(SeriesHandle { place: self.widen(place), generation })
        };
        raw.iter().map(find).collect()
    }

    /// Remembers the series of a batch that came with raw labels. `series`: how many there are in all.
    pub(super) fn learn(&self, batch: &Batch, places: &[SeriesPlace], series: usize) {
        let entries_max = 2 * series / self.shards.len() + SPARE_ENTRIES;
        for (identity, place) in batch.identities.iter().zip(places) {
            let SeriesIdentity::Raw(raw) = *identity else { continue };
            if place.is_refused() {
                continue;
            }
            let Some(narrow) = self.narrow(pack(place.shard, place.slot)) else { continue };
            let mut shard = write(&self.shards[self.shard_of(raw)]);
            if shard.len() >= entries_max {
                shard.clear();
            }
            shard.insert(Key::of(raw), narrow);
        }
    }

    /// Keeps the places that `is_live`, and ends the generation. Called while nobody resolves a batch.
    pub(super) fn retain(&self, is_live: impl Fn(u64) -> bool) {
        for shard in &self.shards {
            write(shard).retain(|_, place| is_live(self.widen(*place)));
        }
        self.generation.fetch_add(1, Ordering::AcqRel);
    }

    fn shard_of(&self, raw: RawLabels) -> usize {
        let mask = self.shards.len() as u128 - 1;
        usize::try_from(raw.0 >> 96 & mask).expect("there are fewer shards than an index can count")
    }

    /// A place in 32 bits; `None` where it takes more.
    fn narrow(&self, place: u64) -> Option<u32> {
        let (shard, slot) = unpack(place);
        let shards = u32::try_from(self.shards.len()).ok()?;
        slot.checked_mul(shards)?.checked_add(shard)
    }

    fn widen(&self, place: u32) -> u64 {
        let shards = u32::try_from(self.shards.len()).expect("shards are few");
        pack(place % shards, place / shards)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Fingerprint;

    fn batch(raw: &[u128]) -> Batch {
        let identities = raw.iter().map(|raw| SeriesIdentity::Raw(RawLabels(*raw))).collect();
        Batch { identities, ..Batch::default() }
    }

    fn places(slots: &[Slot]) -> Vec<SeriesPlace> {
        slots.iter().map(|slot| SeriesPlace::new(Fingerprint(0), 0, slot % 4, *slot)).collect()
    }

    #[test]
    fn raw_labels_lead_to_places_until_these_are_gone() {
        let table = KnownTable::new(4);
        let raw = [7 << 100 | 1, 7 << 100 | 2, 9].map(RawLabels);
        table.learn(&batch(&raw.map(|raw| raw.0)), &places(&[5, 6, 1 << 20]), 3);
        let found = |at: usize| table.find(&raw)[at];
        let place = |at: usize| found(at).map(|handle| unpack(handle.place));
        assert_eq!([place(0), place(1), place(2)], [Some((1, 5)), Some((2, 6)), Some((0, 1 << 20))]);
        assert_eq!(table.find(&[RawLabels(3)]), [None]);
        let before = found(1).map(|handle| handle.generation);
        table.retain(|place| unpack(place).1 != 5);
        assert_eq!([place(0), place(1)], [None, Some((2, 6))]);
        assert_ne!(found(1).map(|handle| handle.generation), before);
    }

    #[test]
    fn ever_new_spellings_do_not_fill_the_memory() {
        let table = KnownTable::new(1);
        let place = places(&[0]);
        for raw in 0..20_000 {
            table.learn(&batch(&[raw]), &place, 1);
        }
        assert!(read(&table.shards[0]).len() <= SPARE_ENTRIES + 2);
        assert!(table.find(&[RawLabels(19_999)])[0].is_some());
    }
}
