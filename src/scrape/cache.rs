//! What a target exposed before: from the text of a series to its stored labels, and which series are exposed now.
//!
//! Labels are built and relabelled once for each text; afterwards a scrape costs one look-up a sample. Several texts
//! may lead to one stored series, so staleness is kept by series (slots), not by text.

use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};

use xxhash_rust::xxh3::Xxh3Builder;

use crate::model::{Fingerprint, Labels};

/// How many texts the cache may grow by beyond twice its settled size while scrapes fail.
const GROWTH_MAX: usize = 1_000;

/// Place of a stored series in the cache.
pub(super) type SlotId = usize;

/// What is known of a text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Known {
    /// Nothing.
    New,
    /// A rule drops it.
    Dropped,
    /// It leads to a stored series.
    Stored {
        /// Which one.
        slot: SlotId,
        /// Whether this scrape had the same text already.
        is_repeated: bool,
    },
}

/// Texts, series and their scrapes. One for each target.
#[derive(Debug)]
pub(super) struct ScrapeCache {
    /// Number of the scrape under way; the first is 1.
    iteration: u64,
    texts: HashMap<Box<[u8]>, Text, Xxh3Builder>,
    /// Different texts in the scrape under way.
    texts_seen: usize,
    /// Texts after the last scrape that succeeded.
    texts_settled: usize,
    slots: Vec<Slot>,
    free: Vec<SlotId>,
    by_labels: HashMap<Fingerprint, SlotId>,
}

#[derive(Clone, Copy, Debug)]
struct Text {
    /// Scrape that had it last.
    iteration: u64,
    /// `None` where it is dropped.
    slot: Option<SlotId>,
}

#[derive(Debug, Default)]
struct Slot {
    labels: Labels,
    /// Texts that lead here; 0 in a free slot.
    texts: usize,
    /// Whether the scrape before exposed it, so that its absence makes it stale.
    was_exposed: bool,
    /// Scrape that exposed it last.
    exposed_at: u64,
    /// Scrape that wrote it last at the scrape's own time, and what.
    written: (u64, f64),
}

impl ScrapeCache {
    pub(super) fn new() -> Self {
        Self {
            iteration: 0,
            // Texts come from outside: a seed of its own keeps a target from choosing texts that collide.
            texts: HashMap::with_hasher(Xxh3Builder::new().with_seed(RandomState::new().hash_one(0))),
            texts_seen: 0,
            texts_settled: 0,
            slots: Vec::new(),
            free: Vec::new(),
            by_labels: HashMap::new(),
        }
    }

    /// Begins a scrape.
    pub(super) fn begin(&mut self) {
        self.iteration += 1;
        self.texts_seen = 0;
    }

    /// What is known of a text; remembers that this scrape had it.
    pub(super) fn look_up(&mut self, text: &[u8]) -> Known {
        let Some(known) = self.texts.get_mut(text) else { return Known::New };
        let is_repeated = known.iteration == self.iteration;
        known.iteration = self.iteration;
        self.texts_seen += usize::from(!is_repeated);
        known.slot.map_or(Known::Dropped, |slot| Known::Stored { slot, is_repeated })
    }

    /// Remembers that a new text is dropped.
    pub(super) fn add_dropped(&mut self, text: &[u8]) {
        self.add_text(text, None);
    }

    /// Remembers that a new text leads to `labels`.
    pub(super) fn add(&mut self, text: &[u8], labels: Labels) -> SlotId {
        let fingerprint = labels.fingerprint();
        let slot = match self.by_labels.get(&fingerprint) {
            Some(slot) => *slot,
            None => self.new_slot(fingerprint, labels),
        };
        self.slots[slot].texts += 1;
        self.add_text(text, Some(slot));
        slot
    }

    fn new_slot(&mut self, fingerprint: Fingerprint, labels: Labels) -> SlotId {
        let fresh = Slot { labels, ..Slot::default() };
        let slot = match self.free.pop() {
            Some(slot) => {
                self.slots[slot] = fresh;
                slot
            }
            None => {
                self.slots.push(fresh);
                self.slots.len() - 1
            }
        };
        self.by_labels.insert(fingerprint, slot);
        slot
    }

    fn add_text(&mut self, text: &[u8], slot: Option<SlotId>) {
        let replaced = self.texts.insert(text.into(), Text { iteration: self.iteration, slot });
        debug_assert!(replaced.is_none(), "only new texts are added");
        self.texts_seen += 1;
    }

    pub(super) fn labels(&self, slot: SlotId) -> &Labels {
        &self.slots[slot].labels
    }

    /// What this scrape wrote to a series at its own time, if it did.
    pub(super) fn written(&self, slot: SlotId) -> Option<f64> {
        let (iteration, value) = self.slots[slot].written;
        (iteration == self.iteration).then_some(value)
    }

    pub(super) fn set_written(&mut self, slot: SlotId, value: f64) {
        self.slots[slot].written = (self.iteration, value);
    }

    /// A series is exposed by this scrape: the next scrape without it makes it stale.
    pub(super) fn set_exposed(&mut self, slot: SlotId) {
        self.slots[slot].exposed_at = self.iteration;
    }

    /// Ends a scrape that succeeded: hands out each series that vanished, and forgets texts that it did not have.
    pub(super) fn end(&mut self, mut on_stale: impl FnMut(&Labels)) {
        for slot in &mut self.slots {
            let is_exposed = slot.exposed_at == self.iteration;
            if slot.was_exposed && !is_exposed {
                on_stale(&slot.labels);
            }
            slot.was_exposed = is_exposed;
        }
        if self.texts_seen < self.texts.len() {
            self.forget_unseen();
        }
        self.texts_settled = self.texts.len();
    }

    /// Ends a scrape that failed or brought nothing: every exposed series is stale. Texts are kept for the target's
    /// return, unless they grew without end; answers whether they were cut.
    pub(super) fn end_empty(&mut self, mut on_stale: impl FnMut(&Labels)) -> bool {
        for slot in self.slots.iter_mut().filter(|slot| slot.was_exposed) {
            on_stale(&slot.labels);
            slot.was_exposed = false;
        }
        let is_too_large = self.texts.len() > self.texts_settled * 2 + GROWTH_MAX;
        if is_too_large {
            self.forget_unseen();
        }
        is_too_large
    }

    fn forget_unseen(&mut self) {
        let Self { texts, slots, free, by_labels, iteration, .. } = self;
        texts.retain(|_, text| {
            let is_kept = text.iteration == *iteration;
            if let (false, Some(id)) = (is_kept, text.slot) {
                let slot = &mut slots[id];
                slot.texts -= 1;
                if slot.texts == 0 {
                    by_labels.remove(&slot.labels.fingerprint());
                    *slot = Slot::default();
                    free.push(id);
                }
            }
            is_kept
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn labels(name: &str) -> Labels {
        Labels::from_pairs([("__name__", name)])
    }

    /// One scrape of `texts`, each `text>series` or `text` for a dropped one; the series that vanished.
    fn scrape(cache: &mut ScrapeCache, texts: &[&str]) -> Vec<String> {
        cache.begin();
        for text in texts {
            let slot = match (cache.look_up(text.as_bytes()), text.split_once('>')) {
                (Known::New, Some((_, series))) => cache.add(text.as_bytes(), labels(series)),
                (Known::New, None) => {
                    cache.add_dropped(text.as_bytes());
                    continue;
                }
                (Known::Dropped, _) => continue,
                (Known::Stored { slot, .. }, _) => slot,
            };
            cache.set_exposed(slot);
        }
        let mut stale = Vec::new();
        cache.end(|labels| stale.push(labels.metric_name().to_owned()));
        stale.sort();
        stale
    }

    fn fail(cache: &mut ScrapeCache) -> usize {
        cache.begin();
        let mut count = 0;
        cache.end_empty(|_| count += 1);
        count
    }

    #[test]
    fn series_are_stale_once_when_they_vanish() {
        let mut cache = ScrapeCache::new();
        assert!(scrape(&mut cache, &["a>a", "b>b", "c"]).is_empty());
        assert_eq!(scrape(&mut cache, &["a>a"]), ["b"]);
        assert!(scrape(&mut cache, &["a>a"]).is_empty());
        assert!(scrape(&mut cache, &["a>a", "b>b"]).is_empty());
        assert_eq!(scrape(&mut cache, &[]), ["a", "b"]);
        assert!(
            cache.texts.is_empty() && cache.by_labels.is_empty() && cache.free.len() == cache.slots.len()
        );
    }

    #[test]
    fn a_series_with_two_texts_is_exposed_while_one_is_there() {
        let mut cache = ScrapeCache::new();
        scrape(&mut cache, &["1>a", "2>a"]);
        assert_eq!(cache.slots.len(), 1);
        assert!(scrape(&mut cache, &["2>a"]).is_empty());
        assert_eq!(scrape(&mut cache, &["3>b"]), ["a"]);
    }

    #[test]
    fn a_failed_scrape_makes_all_stale_and_keeps_the_texts() {
        let mut cache = ScrapeCache::new();
        scrape(&mut cache, &["a>a", "b>b"]);
        assert_eq!(fail(&mut cache), 2);
        assert_eq!(fail(&mut cache), 0);
        cache.begin();
        assert!(matches!(cache.look_up(b"a>a"), Known::Stored { is_repeated: false, .. }));
        assert!(matches!(cache.look_up(b"a>a"), Known::Stored { is_repeated: true, .. }));
    }

    #[test]
    fn failing_scrapes_cannot_grow_it_without_end() {
        let mut cache = ScrapeCache::new();
        for round in 0..10 {
            cache.begin();
            for n in 0..500 {
                cache.add(format!("{round}-{n}").as_bytes(), labels(&format!("m{round}_{n}")));
            }
            cache.end_empty(|_| ());
        }
        assert!(cache.texts.len() <= 1_500 && cache.slots.len() <= 1_500, "{}", cache.texts.len());
    }
}
