//! What was unpacked lately, so that rows that lie side by side unpack it once.

use std::sync::{Arc, Mutex};

use crate::lock::lock;

/// A thing and its number.
type Kept<T> = Option<(u32, Arc<T>)>;

/// `N` places; a thing has its place by its number, and gives way to the next one there.
pub(super) struct Slots<T: ?Sized, const N: usize> {
    slots: [Mutex<Kept<T>>; N],
}

impl<T: ?Sized, const N: usize> Default for Slots<T, N> {
    fn default() -> Self {
        Self { slots: [const { Mutex::new(None) }; N] }
    }
}

impl<T: ?Sized, const N: usize> Slots<T, N> {
    /// The thing with this number, if it is still there.
    pub(super) fn get(&self, number: u32) -> Option<Arc<T>> {
        let slot = lock(&self.slots[number as usize % N]);
        slot.as_ref().filter(|kept| kept.0 == number).map(|kept| Arc::clone(&kept.1))
    }

    /// Keeps a thing.
    pub(super) fn put(&self, number: u32, thing: &Arc<T>) {
        *lock(&self.slots[number as usize % N]) = Some((number, Arc::clone(thing)));
    }
}
