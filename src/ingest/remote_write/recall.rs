//! Series that the store knows by the bytes their labels came as: these need not be read, checked and sorted again.
//!
//! The hash is taken over the bytes as they are in the message, so that it says nothing of what they mean; that was
//! found out the first time. It has 128 bits and a key of this process, so that no sender can make two label sets meet.

use std::collections::hash_map::RandomState;
use std::hash::BuildHasher;
use std::sync::OnceLock;

use xxhash_rust::xxh3::xxh3_128_with_secret;

use crate::model::TenantId;
use crate::storage::{Append, RawLabels, SeriesHandle};

/// Most series of one request that are asked for; those behind are read in full.
pub(super) const REMEMBERED_MAX: usize = 1 << 20;

/// Bytes of a key, as many as the hash's own has.
const KEY_BYTES: usize = 192;

/// Who remembers, and whose series.
pub(super) struct Recall<'a> {
    pub(super) store: &'a dyn Append,
    pub(super) tenant: &'a TenantId,
}

/// The labels that the series of a body begin with.
#[derive(Debug, Default)]
pub(super) struct RawSeries {
    raw: Vec<RawLabels>,
    /// Bytes of the body behind them.
    ends: Vec<usize>,
}

/// A series of a body, and the store's name for it where it knows it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Remembered {
    pub(super) raw: RawLabels,
    pub(super) end: usize,
    pub(super) handle: Option<SeriesHandle>,
}

impl RawSeries {
    /// Adds the next series; whether there is room for another.
    pub(super) fn push(&mut self, labels: &[u8], end: usize) -> bool {
        self.raw.push(hash_raw(labels));
        self.ends.push(end);
        self.raw.len() < REMEMBERED_MAX
    }
}

/// What the store answers for the series of a body.
#[derive(Debug, Default)]
pub(super) struct Answers {
    asked: RawSeries,
    handles: Vec<Option<SeriesHandle>>,
}

impl Answers {
    /// How many there are.
    pub(super) fn len(&self) -> usize {
        self.handles.len()
    }

    /// The answer for one series; `None` where the store keeps no such memory.
    #[inline]
    pub(super) fn get(&self, at: usize) -> Option<Remembered> {
        let handle = *self.handles.get(at)?;
        Some(Remembered { raw: self.asked.raw[at], end: self.asked.ends[at], handle })
    }
}

impl Recall<'_> {
    /// Asks for all series of a body at once.
    pub(super) fn ask(&self, asked: RawSeries) -> Answers {
        let handles = self.store.known_series(self.tenant, &asked.raw);
        Answers { asked, handles }
    }
}

/// The hash of raw labels.
pub(super) fn hash_raw(bytes: &[u8]) -> RawLabels {
    RawLabels(xxh3_128_with_secret(bytes, key()))
}

/// Drawn once a process.
fn key() -> &'static [u8; KEY_BYTES] {
    static KEY: OnceLock<[u8; KEY_BYTES]> = OnceLock::new();
    KEY.get_or_init(|| {
        let mut key = [0; KEY_BYTES];
        let random = RandomState::new();
        for (at, word) in key.chunks_exact_mut(8).enumerate() {
            word.copy_from_slice(&random.hash_one(at).to_le_bytes());
        }
        key
    })
}
