//! From matchers to series, within one shard: label pairs by number, and for each pair the series that have it.

use std::collections::HashMap;
use std::sync::Arc;

use foldhash::fast::RandomState;

use crate::model::{Label, MatchOp, Matcher};

use super::texts::TextTable;

/// Number of a label pair within its shard.
pub(super) type PairNumber = u32;
/// Place of a series within its shard.
pub(super) type Slot = u32;

/// A label pair and who has it.
#[derive(Debug)]
struct Pair {
    name: u32,
    value: u32,
    /// Rising.
    slots: Vec<Slot>,
}

/// Label pairs of one shard.
#[derive(Debug, Default)]
pub(super) struct ShardIndex {
    texts: TextTable,
    pairs: Vec<Pair>,
    numbers: HashMap<(u32, u32), PairNumber, RandomState>,
    by_name: HashMap<u32, Vec<PairNumber>, RandomState>,
}

impl ShardIndex {
    /// Numbers of `labels`, in their order; new ones where a pair was not seen yet.
    pub(super) fn intern<'a>(&mut self, labels: impl Iterator<Item = Label<'a>>) -> Box<[PairNumber]> {
        labels.map(|label| self.intern_pair(label)).collect()
    }

    fn intern_pair(&mut self, label: Label<'_>) -> PairNumber {
        let (name, value) = (self.texts.intern(label.name), self.texts.intern(label.value));
        if let Some(number) = self.numbers.get(&(name, value)) {
            return *number;
        }
        let number = PairNumber::try_from(self.pairs.len()).expect("a shard has fewer than 2^32 pairs");
        self.pairs.push(Pair { name, value, slots: Vec::new() });
        self.numbers.insert((name, value), number);
        self.by_name.entry(name).or_default().push(number);
        number
    }

    /// Makes a series findable by its pairs.
    pub(super) fn add(&mut self, slot: Slot, pairs: &[PairNumber]) {
        for &pair in pairs {
            let slots = &mut self.pairs[pair as usize].slots;
            match slots.last() {
                // A slot that is used again stands somewhere in the middle.
                Some(&last) if last > slot => {
                    if let Err(at) = slots.binary_search(&slot) {
                        slots.insert(at, slot);
                    }
                }
                _ => slots.push(slot),
            }
        }
    }

    /// Forgets the series that `is_removed`, which had these pairs.
    pub(super) fn remove(&mut self, mut pairs: Vec<PairNumber>, is_removed: impl Fn(Slot) -> bool) {
        pairs.sort_unstable();
        pairs.dedup();
        for pair in pairs {
            self.pairs[pair as usize].slots.retain(|slot| !is_removed(*slot));
        }
    }

    /// Numbers of a pair's texts.
    pub(super) fn pair(&self, pair: PairNumber) -> (u32, u32) {
        let pair = &self.pairs[pair as usize];
        (pair.name, pair.value)
    }

    /// A pair as texts.
    pub(super) fn label(&self, pair: PairNumber) -> Label<'_> {
        let (name, value) = self.pair(pair);
        Label { name: self.texts.text(name), value: self.texts.text(value) }
    }

    /// The value of a pair, shared.
    pub(super) fn shared_value(&self, pair: PairNumber) -> Arc<str> {
        self.texts.shared(self.pair(pair).1)
    }

    /// A text by its number.
    pub(super) fn text(&self, number: u32) -> &str {
        self.texts.text(number)
    }

    /// The series that have a pair, rising.
    pub(super) fn slots(&self, pair: PairNumber) -> &[Slot] {
        &self.pairs[pair as usize].slots
    }

    /// Every name with its pairs.
    pub(super) fn names(&self) -> impl Iterator<Item = (&str, &[PairNumber])> {
        self.by_name.iter().map(|(name, pairs)| (self.texts.text(*name), pairs.as_slice()))
    }

    /// The pairs of a name.
    pub(super) fn pairs_of(&self, name: &str) -> &[PairNumber] {
        self.texts.lookup(name).and_then(|number| self.by_name.get(&number)).map_or(&[], Vec::as_slice)
    }

    /// The series that pass the matchers that [`demands_a_pair`], rising; where there is none of these, the series of
    /// the label that the most selective other matcher demands. `None` where no matcher demands a label, so that every
    /// series must be looked at.
    pub(super) fn candidates(&self, matchers: &[Matcher]) -> Option<Vec<Slot>> {
        let mut demanded: Vec<&[Slot]> = matchers
            .iter()
            .filter(|matcher| demands_a_pair(matcher))
            .map(|matcher| self.slots_equal(&matcher.name, &matcher.value))
            .collect();
        demanded.sort_unstable_by_key(|slots| slots.len());
        match demanded.as_slice() {
            [] => self.slots_of_any(matchers),
            [only] => Some(only.to_vec()),
            [first, second, rest @ ..] => {
                let mut common = common(first, second);
                rest.iter().for_each(|slots| keep_common(&mut common, slots));
                Some(common)
            }
        }
    }

    /// The series of the rarest label that a matcher demands in some form.
    fn slots_of_any(&self, matchers: &[Matcher]) -> Option<Vec<Slot>> {
        let united = matchers.iter().filter(|matcher| !matcher.matches_empty()).map(|matcher| {
            let pairs = self.pairs_of(&matcher.name).iter();
            let passing = pairs.filter(|pair| matcher.matches(self.label(**pair).value));
            passing.flat_map(|pair| self.slots(*pair)).copied().collect::<Vec<Slot>>()
        });
        let mut slots = united.min_by_key(Vec::len)?;
        slots.sort_unstable();
        Some(slots)
    }

    /// The series that have a label, rising.
    pub(super) fn slots_equal(&self, name: &str, value: &str) -> &[Slot] {
        let number = || self.numbers.get(&(self.texts.lookup(name)?, self.texts.lookup(value)?));
        number().map_or(&[], |pair| self.slots(*pair))
    }

    /// A test of candidates against the matchers that did not choose them; it looks at each label pair once.
    pub(super) fn tester<'a>(&'a self, matchers: &'a [Matcher]) -> Tester<'a> {
        let tests = matchers
            .iter()
            .filter(|matcher| !demands_a_pair(matcher))
            .map(|matcher| Test {
                matcher,
                name: self.texts.lookup(&matcher.name),
                passes_empty: matcher.matches_empty(),
                known: HashMap::default(),
            })
            .collect();
        Tester { index: self, tests }
    }
}

/// Whether a series must have the matcher's very name and value to pass.
fn demands_a_pair(matcher: &Matcher) -> bool {
    matcher.op == MatchOp::Equal && !matcher.value.is_empty()
}

/// What is in both; both rise.
fn common(short: &[Slot], long: &[Slot]) -> Vec<Slot> {
    /// From how many times the length on it is quicker to search than to walk.
    const SEARCH_RATIO: usize = 16;
    if long.len() / SEARCH_RATIO >= short.len() {
        let mut found = short.to_vec();
        keep_common(&mut found, long);
        return found;
    }
    // No branch depends on the slots: which of two comes first cannot be foretold.
    let mut found = vec![0; short.len()];
    let (mut a, mut b, mut len) = (0, 0, 0);
    while a < short.len() && b < long.len() {
        let (left, right) = (short[a], long[b]);
        found[len] = left;
        len += usize::from(left == right);
        a += usize::from(left <= right);
        b += usize::from(right <= left);
    }
    found.truncate(len);
    found
}

/// Removes what is not in `other`; both rise, and `slots` is much the shorter.
fn keep_common(slots: &mut Vec<Slot>, other: &[Slot]) {
    let mut rest = other;
    slots.retain(|slot| {
        let mut step = 1;
        while rest.get(step).is_some_and(|at| at < slot) {
            step *= 2;
        }
        let near = &rest[..rest.len().min(step + 1)];
        rest = &rest[near.partition_point(|at| at < slot)..];
        rest.first() == Some(slot)
    });
}

/// See [`ShardIndex::tester`].
pub(super) struct Tester<'a> {
    index: &'a ShardIndex,
    tests: Vec<Test<'a>>,
}

struct Test<'a> {
    matcher: &'a Matcher,
    /// Number of the matcher's label name; `None` where no series of the shard has it.
    name: Option<u32>,
    passes_empty: bool,
    known: HashMap<PairNumber, bool, RandomState>,
}

impl Tester<'_> {
    /// Whether every candidate passes.
    pub(super) fn is_void(&self) -> bool {
        self.tests.is_empty()
    }

    /// Whether a candidate with these pairs passes.
    pub(super) fn passes(&mut self, pairs: &[PairNumber]) -> bool {
        let index = self.index;
        self.tests.iter_mut().all(|test| {
            let Some(name) = test.name else { return test.passes_empty };
            match pairs.iter().find(|pair| index.pair(**pair).0 == name) {
                None => test.passes_empty,
                Some(&pair) => {
                    *test.known.entry(pair).or_insert_with(|| test.matcher.matches(index.label(pair).value))
                }
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Labels;

    fn index() -> (ShardIndex, Vec<Box<[PairNumber]>>) {
        let mut index = ShardIndex::default();
        let sets =
            [[("job", "a"), ("pod", "1")], [("job", "b"), ("pod", "2")], [("job", "a"), ("zone", "x")]];
        let series: Vec<_> = sets
            .iter()
            .enumerate()
            .map(|(slot, set)| {
                let pairs = index.intern(Labels::from_pairs(set.iter().copied()).iter());
                index.add(slot as Slot, &pairs);
                pairs
            })
            .collect();
        (index, series)
    }

    fn found(matchers: &[Matcher]) -> Vec<Slot> {
        let (index, series) = index();
        let mut tester = index.tester(matchers);
        let slots = index.candidates(matchers).unwrap_or_else(|| vec![0, 1, 2]);
        slots.into_iter().filter(|slot| tester.passes(&series[*slot as usize])).collect()
    }

    #[test]
    fn matchers_find_what_a_scan_would_find() {
        let regex = |name, op, value| Matcher::new(name, op, value).expect("pattern is sound");
        assert_eq!(found(&[Matcher::equal("job", "a")]), [0, 2]);
        assert_eq!(found(&[Matcher::equal("job", "a"), Matcher::equal("pod", "")]), [2]);
        assert_eq!(found(&[regex("pod", MatchOp::Regex, ".+")]), [0, 1]);
        assert_eq!(found(&[regex("pod", MatchOp::NotEqual, "1")]), [1, 2]);
        assert_eq!(found(&[regex("job", MatchOp::NotRegex, "b|c"), Matcher::equal("none", "")]), [0, 2]);
        assert_eq!(found(&[Matcher::equal("job", "zzz")]), Vec::<Slot>::new());
        assert_eq!(found(&[Matcher::equal("job", "a"), Matcher::equal("pod", "1")]), [0]);
        assert_eq!(found(&[Matcher::equal("job", "a"), Matcher::equal("pod", "2")]), Vec::<Slot>::new());
    }

    #[test]
    fn common_slots_are_found_whatever_the_lengths() {
        let long: Vec<Slot> = (0..1_000).map(|at| at * 3).collect();
        for count in [0, 1, 5, 60, 300] {
            let short: Vec<Slot> = (0..count).map(|at| at * 10 + 2).collect();
            let expected: Vec<Slot> = short.iter().copied().filter(|slot| slot % 3 == 0).collect();
            assert_eq!(common(&short, &long), expected);
            let mut kept = short;
            keep_common(&mut kept, &long);
            assert_eq!(kept, expected);
        }
        assert_eq!(common(&[1], &[]), Vec::<Slot>::new());
    }

    #[test]
    fn removed_series_are_not_candidates() {
        let (mut index, series) = index();
        index.remove(series[0].to_vec(), |slot| slot == 0);
        assert_eq!(index.candidates(&[Matcher::equal("job", "a")]), Some(vec![2]));
        index.add(0, &series[0]);
        assert_eq!(index.candidates(&[Matcher::equal("job", "a")]), Some(vec![0, 2]));
    }
}
