//! Which series of the head pass a selection, and their samples.

use std::collections::{BTreeSet, HashMap};
use std::ops::Range;

use foldhash::fast::RandomState;

use crate::model::{Exemplar, Fingerprint, Labels, Matcher, TenantId, TimeSpan};
use crate::storage::{Columns, LabelPair, LabelsNeeded, SelectRequest, SymbolTable};

use super::Head;
use super::epoch::{PinnedEpoch, PinnedTenant};
use super::index::{PairNumber, Slot};
use super::series::SeriesShard;
use crate::lock::{lock, read};

/// A series that passed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HeadRow {
    /// Its identity.
    pub fingerprint: Fingerprint,
    /// Its needed labels, in [`HeadRows::pairs`].
    pub pairs: Range<usize>,
    /// How many samples it has within the span; an upper bound, since one time may be counted twice.
    pub samples: u64,
    shard: u32,
    slot: Slot,
}

/// The series that passed, in no order, with their needed labels.
#[derive(Debug, Default)]
pub struct HeadRows {
    /// The series.
    pub rows: Vec<HeadRow>,
    /// Their labels.
    pub pairs: Vec<LabelPair>,
}

/// Reads rows of a selection, as the epochs were when it was made.
#[derive(Clone, Debug, Default)]
pub struct HeadReader {
    /// Oldest first.
    epochs: Vec<PinnedTenant>,
}

impl HeadReader {
    /// Over a tenant's part of these epochs, oldest first.
    pub fn new(epochs: &[PinnedEpoch], tenant: &TenantId) -> Self {
        Self { epochs: epochs.iter().filter_map(|epoch| epoch.tenant(tenant)).collect() }
    }

    /// How many epochs there are.
    pub fn epochs(&self) -> usize {
        self.epochs.len()
    }

    /// Appends to the row begun last in `out` what a series has within `span` in one epoch.
    pub fn read(&self, row: &HeadRow, epoch: usize, span: TimeSpan, out: &mut Columns) {
        self.epochs[epoch].read(row.shard, row.slot, span, out);
    }

    /// For each slot of a shard whether it has samples within `span`.
    fn visible(&self, shard: usize, span: TimeSpan) -> Visible {
        let mut slots: Vec<bool> = Vec::new();
        for part in &self.epochs {
            if !part.tenant.bounds().overlaps(span) {
                continue;
            }
            let buffers = read(part.tenant.shard(shard));
            slots.resize(slots.len().max(buffers.len()), false);
            for (slot, buffer) in buffers.iter().enumerate() {
                slots[slot] = slots[slot] || buffer.has_any(part.order_max, span);
            }
        }
        Visible { slots }
    }

    /// For each of some slots how many samples it has within `span`, repeated times included.
    fn counts(&self, shard: usize, span: TimeSpan, wanted: &[Slot]) -> Vec<u64> {
        let mut counts = vec![0; wanted.len()];
        for part in &self.epochs {
            if wanted.is_empty() || !part.tenant.bounds().overlaps(span) {
                continue;
            }
            let buffers = read(part.tenant.shard(shard));
            for (count, slot) in counts.iter_mut().zip(wanted) {
                let buffer = buffers.get(*slot as usize);
                *count += buffer.map_or(0, |buffer| buffer.count(part.order_max, span));
            }
        }
        counts
    }
}

/// Which slots of a shard have samples.
struct Visible {
    slots: Vec<bool>,
}

impl Visible {
    fn contains(&self, slot: Slot) -> bool {
        self.slots.get(slot as usize).copied().unwrap_or(false)
    }
}

/// Live series of a shard that pass all matchers.
fn passing(shard: &SeriesShard, matchers: &[Matcher]) -> Vec<Slot> {
    let mut tester = shard.index.tester(matchers);
    let is_void = tester.is_void();
    let mut passes = |slot: &Slot| tester.passes(&shard.entries[*slot as usize].pairs);
    match shard.index.candidates(matchers) {
        // The index holds live series only.
        Some(mut slots) => {
            if !is_void {
                slots.retain(passes);
            }
            slots
        }
        None => {
            let end = Slot::try_from(shard.entries.len()).expect("slots have 32 bits");
            let live = (0..end).filter(|slot| shard.entries[*slot as usize].is_live);
            live.filter(|slot| passes(slot)).collect()
        }
    }
}

/// Translates a shard's label pairs to a query's, each once.
struct Translator<'a> {
    shard: &'a SeriesShard,
    symbols: &'a mut SymbolTable,
    needed: &'a LabelsNeeded,
    /// `None` for a pair that is not needed.
    known: HashMap<PairNumber, Option<LabelPair>, RandomState>,
}

impl Translator<'_> {
    fn push(&mut self, pairs: &[PairNumber], out: &mut Vec<LabelPair>) {
        let Self { shard, symbols, needed, known } = self;
        for &pair in pairs {
            let translated = *known.entry(pair).or_insert_with(|| {
                let label = shard.index.label(pair);
                needed.includes(label.name).then(|| LabelPair {
                    name: symbols.intern(label.name),
                    value: symbols.intern(label.value),
                })
            });
            out.extend(translated);
        }
    }
}

impl Head {
    /// The series that pass and have samples within the request's span, as `reader` sees them.
    pub fn select(
        &self,
        tenant: &TenantId,
        request: &SelectRequest<'_>,
        reader: &HeadReader,
        symbols: &mut SymbolTable,
    ) -> HeadRows {
        let mut found = HeadRows::default();
        let Some(table) = self.table(tenant) else { return found };
        for (number, shard) in table.shards.iter().enumerate() {
            let shard = read(shard);
            let slots = passing(&shard, request.matchers);
            let counts = reader.counts(number, request.span, &slots);
            let mut translator = Translator {
                shard: &shard,
                symbols,
                needed: &request.labels_needed,
                known: HashMap::default(),
            };
            for (slot, samples) in slots.iter().zip(counts).filter(|(_, samples)| *samples > 0) {
                let entry = &shard.entries[*slot as usize];
                let start = found.pairs.len();
                translator.push(&entry.pairs, &mut found.pairs);
                found.rows.push(HeadRow {
                    fingerprint: entry.fingerprint,
                    pairs: start..found.pairs.len(),
                    samples,
                    shard: u32::try_from(number).expect("shards are few"),
                    slot: *slot,
                });
            }
        }
        found
    }

    /// Adds the label names of series with samples within `span` that pass one whole set of matchers (none at all:
    /// every series).
    pub fn label_names(
        &self,
        tenant: &TenantId,
        matcher_sets: &[Vec<Matcher>],
        span: TimeSpan,
        reader: &HeadReader,
        out: &mut BTreeSet<String>,
    ) {
        self.each_pairs(tenant, matcher_sets, span, reader, |shard, pairs| match pairs {
            Some(pairs) => {
                let names: BTreeSet<u32> = pairs.iter().map(|pair| shard.index.pair(*pair).0).collect();
                out.extend(names.into_iter().map(|name| shard.index.text(name).to_owned()));
            }
            None => {
                let visible = reader.visible(shard.number, span);
                for (name, pairs) in shard.index.names() {
                    let mut slots = pairs.iter().flat_map(|pair| shard.index.slots(*pair));
                    if !out.contains(name) && slots.any(|slot| visible.contains(*slot)) {
                        out.insert(name.to_owned());
                    }
                }
            }
        });
    }

    /// Adds the values of the label `name` of the series that [`Self::label_names`] would look at.
    pub fn label_values(
        &self,
        tenant: &TenantId,
        name: &str,
        matcher_sets: &[Vec<Matcher>],
        span: TimeSpan,
        reader: &HeadReader,
        out: &mut BTreeSet<String>,
    ) {
        self.each_pairs(tenant, matcher_sets, span, reader, |shard, pairs| match pairs {
            Some(pairs) => {
                let labels = pairs.iter().map(|pair| shard.index.label(*pair));
                out.extend(labels.filter(|label| label.name == name).map(|label| label.value.to_owned()));
            }
            None => {
                let visible = reader.visible(shard.number, span);
                for pair in shard.index.pairs_of(name) {
                    if shard.index.slots(*pair).iter().any(|slot| visible.contains(*slot)) {
                        out.insert(shard.index.label(*pair).value.to_owned());
                    }
                }
            }
        });
    }

    /// Visits each shard with the label pairs of the series that pass, each pair once; with `None` where every series
    /// counts.
    fn each_pairs(
        &self,
        tenant: &TenantId,
        matcher_sets: &[Vec<Matcher>],
        span: TimeSpan,
        reader: &HeadReader,
        mut visit: impl FnMut(&NumberedShard<'_>, Option<&BTreeSet<PairNumber>>),
    ) {
        let Some(table) = self.table(tenant) else { return };
        for (number, shard) in table.shards.iter().enumerate() {
            let shard = read(shard);
            let numbered = NumberedShard { number, shard: &shard };
            if matcher_sets.is_empty() {
                visit(&numbered, None);
                continue;
            }
            let mut pairs = BTreeSet::new();
            for matchers in matcher_sets {
                let slots = passing(&shard, matchers);
                let counts = reader.counts(number, span, &slots);
                for (slot, _) in slots.iter().zip(counts).filter(|(_, samples)| *samples > 0) {
                    pairs.extend(shard.entries[*slot as usize].pairs.iter().copied());
                }
            }
            visit(&numbered, Some(&pairs));
        }
    }

    /// Exemplars within `span` of the series that pass one whole set of matchers (none at all: every series), in the
    /// order of writing.
    pub fn exemplars(
        &self,
        tenant: &TenantId,
        matcher_sets: &[Vec<Matcher>],
        span: TimeSpan,
        reader: &HeadReader,
    ) -> Vec<(Labels, Vec<Exemplar>)> {
        let Some(table) = self.table(tenant) else { return Vec::new() };
        let mut found = Vec::new();
        for part in &reader.epochs {
            let stored = lock(part.tenant.exemplars());
            for ((shard, slot), exemplars) in stored.iter() {
                let labels = read(&table.shards[*shard as usize]).labels(*slot);
                let passes = |set: &Vec<Matcher>| set.iter().all(|matcher| matcher.matches_labels(&labels));
                if !matcher_sets.is_empty() && !matcher_sets.iter().any(passes) {
                    continue;
                }
                let inside: Vec<Exemplar> =
                    exemplars.iter().filter(|exemplar| span.contains(exemplar.timestamp)).cloned().collect();
                if !inside.is_empty() {
                    found.push((labels, inside));
                }
            }
        }
        found
    }
}

/// A shard with its number.
struct NumberedShard<'a> {
    number: usize,
    shard: &'a SeriesShard,
}

impl std::ops::Deref for NumberedShard<'_> {
    type Target = SeriesShard;

    fn deref(&self) -> &SeriesShard {
        self.shard
    }
}
