//! Label sets of one query, by number. Texts appear again only in the result.

use std::collections::HashMap;
use std::sync::Arc;

use foldhash::fast::RandomState;

use crate::model::{Labels, LabelsBuilder};
use crate::promql::plan::METADATA_LABELS;
use crate::storage::{LabelPair, Symbol, SymbolTable};

/// A label set's number. Equal sets have equal numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct LabelSet(u32);

impl LabelSet {
    /// The set without labels.
    pub(crate) const EMPTY: Self = Self(0);
}

/// All label sets of a query, each once, pairs in the order of their names' texts.
#[derive(Debug)]
pub(crate) struct LabelSets {
    /// Texts.
    pub(crate) symbols: SymbolTable,
    sets: Vec<Arc<[LabelPair]>>,
    numbers: HashMap<Arc<[LabelPair]>, u32, RandomState>,
    metadata: Vec<Symbol>,
    without_metadata: HashMap<LabelSet, LabelSet, RandomState>,
}

impl Default for LabelSets {
    fn default() -> Self {
        let mut symbols = SymbolTable::default();
        let metadata = METADATA_LABELS.iter().map(|name| symbols.intern(name)).collect();
        let empty: Arc<[LabelPair]> = Arc::from([]);
        Self {
            symbols,
            sets: vec![Arc::clone(&empty)],
            numbers: HashMap::from_iter([(empty, 0)]),
            metadata,
            without_metadata: HashMap::default(),
        }
    }
}

impl LabelSets {
    /// The number of a set whose pairs stand in the order of their names' texts.
    pub(crate) fn intern(&mut self, pairs: &[LabelPair]) -> LabelSet {
        if let Some(number) = self.numbers.get(pairs) {
            return LabelSet(*number);
        }
        let number = u32::try_from(self.sets.len()).expect("a query has fewer than 2^32 label sets");
        let shared: Arc<[LabelPair]> = pairs.into();
        self.sets.push(Arc::clone(&shared));
        self.numbers.insert(shared, number);
        LabelSet(number)
    }

    /// The number of a set given by its texts.
    pub(crate) fn intern_labels(&mut self, labels: &Labels) -> LabelSet {
        let pairs: Vec<LabelPair> = labels
            .iter()
            .map(|label| LabelPair {
                name: self.symbols.intern(label.name),
                value: self.symbols.intern(label.value),
            })
            .collect();
        self.intern(&pairs)
    }

    /// The pairs of a set.
    pub(crate) fn pairs(&self, set: LabelSet) -> &[LabelPair] {
        &self.sets[set.0 as usize]
    }

    /// The value of a label, the empty text's number where there is none.
    pub(crate) fn value(&self, set: LabelSet, name: Symbol) -> Symbol {
        self.pairs(set).iter().find(|pair| pair.name == name).map_or(Symbol(0), |pair| pair.value)
    }

    /// The value of a label, empty where there is none.
    pub(crate) fn value_text(&self, set: LabelSet, name: &str) -> &str {
        match self.symbols.lookup(name) {
            Some(name) => self.symbols.text(self.value(set, name)),
            None => "",
        }
    }

    /// The metric name, empty where there is none.
    pub(crate) fn metric_name(&self, set: LabelSet) -> &str {
        self.symbols.text(self.value(set, self.metadata[0]))
    }

    /// Numbers of names.
    pub(crate) fn names(&mut self, names: &[String]) -> Vec<Symbol> {
        names.iter().map(|name| self.symbols.intern(name)).collect()
    }

    /// Whether a name is that of a label that goes with `__name__`.
    pub(crate) fn is_type_or_unit(&self, name: Symbol) -> bool {
        self.metadata[1..].contains(&name)
    }

    /// Number of `__name__`.
    pub(crate) fn metric_name_symbol(&self) -> Symbol {
        self.metadata[0]
    }

    /// Only the labels of these names.
    pub(crate) fn keep(&mut self, set: LabelSet, names: &[Symbol]) -> LabelSet {
        self.filter(set, |name| names.contains(&name))
    }

    /// All labels but those of these names.
    pub(crate) fn without(&mut self, set: LabelSet, names: &[Symbol]) -> LabelSet {
        self.filter(set, |name| !names.contains(&name))
    }

    /// All labels but `__name__`, `__type__` and `__unit__`.
    pub(crate) fn without_metadata(&mut self, set: LabelSet) -> LabelSet {
        if let Some(known) = self.without_metadata.get(&set) {
            return *known;
        }
        let metadata = self.metadata.clone();
        let dropped = self.without(set, &metadata);
        self.without_metadata.insert(set, dropped);
        dropped
    }

    fn filter(&mut self, set: LabelSet, keep: impl Fn(Symbol) -> bool) -> LabelSet {
        let pairs = self.pairs(set);
        if pairs.iter().all(|pair| keep(pair.name)) {
            return set;
        }
        let kept: Vec<LabelPair> = pairs.iter().copied().filter(|pair| keep(pair.name)).collect();
        self.intern(&kept)
    }

    /// The set with a label changed; the empty value removes it.
    pub(crate) fn with(&mut self, set: LabelSet, name: Symbol, value: Symbol) -> LabelSet {
        let mut pairs = self.pairs(set).to_vec();
        let name_text = self.symbols.text(name);
        let at = pairs.partition_point(|pair| self.symbols.text(pair.name) < name_text);
        let exists = pairs.get(at).is_some_and(|pair| pair.name == name);
        match (exists, value == Symbol(0)) {
            (true, true) => drop(pairs.remove(at)),
            (true, false) => pairs[at].value = value,
            (false, true) => return set,
            (false, false) => pairs.insert(at, LabelPair { name, value }),
        }
        self.intern(&pairs)
    }

    /// The set as texts.
    pub(crate) fn labels(&self, set: LabelSet) -> Labels {
        let mut builder = LabelsBuilder::default();
        for pair in self.pairs(set) {
            builder.push(self.symbols.text(pair.name), self.symbols.text(pair.value));
        }
        builder.build().expect("pairs of an interned set have distinct names and short texts")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_sets_have_equal_numbers() {
        let mut sets = LabelSets::default();
        let full = sets.intern_labels(&Labels::from_pairs([("__name__", "m"), ("a", "1"), ("c", "3")]));
        let names = sets.names(&["c".to_owned()]);
        let only_c = sets.intern_labels(&Labels::from_pairs([("c", "3")]));
        assert_eq!(sets.keep(full, &names), only_c);
        assert_eq!(sets.metric_name(full), "m");
        let dropped = sets.without_metadata(full);
        assert_eq!(sets.labels(dropped).to_string(), r#"{a="1", c="3"}"#);
        assert_eq!(sets.without(only_c, &names), LabelSet::EMPTY);
    }

    #[test]
    fn labels_are_inserted_in_name_order() {
        let mut sets = LabelSets::default();
        let set = sets.intern_labels(&Labels::from_pairs([("a", "1"), ("c", "3")]));
        let (b, two) = (sets.symbols.intern("b"), sets.symbols.intern("2"));
        let with_b = sets.with(set, b, two);
        assert_eq!(sets.labels(with_b).to_string(), r#"{a="1", b="2", c="3"}"#);
        assert_eq!(sets.with(with_b, b, Symbol(0)), set);
        assert_eq!(sets.value_text(with_b, "b"), "2");
    }
}
