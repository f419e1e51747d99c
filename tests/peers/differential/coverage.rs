//! What the queries so far were made of.

use std::collections::{BTreeMap, BTreeSet};

use super::catalog;
use super::query::Query;

/// Counts of constructs and pairs.
#[derive(Debug, Default)]
pub(super) struct Coverage {
    constructs: BTreeMap<String, u32>,
    pairs: BTreeSet<(&'static str, &'static str)>,
}

impl Coverage {
    pub(super) fn add(&mut self, query: &Query) {
        for construct in &query.made_of {
            *self.constructs.entry(construct.clone()).or_default() += 1;
        }
        self.pairs.extend(&query.pairs);
    }

    /// Constructs of the catalogue that no query had.
    pub(super) fn unseen_constructs(&self) -> Vec<String> {
        catalog::constructs().into_iter().filter(|name| !self.constructs.contains_key(name)).collect()
    }

    /// Pairs of an operator and a function that no query had.
    pub(super) fn unseen_pairs(&self) -> Vec<(&'static str, &'static str)> {
        catalog::pairs().into_iter().filter(|pair| !self.pairs.contains(pair)).collect()
    }

    /// One line on what was seen, with the rarest constructs.
    pub(super) fn summary(&self) -> String {
        let (constructs, pairs) = (catalog::constructs(), catalog::pairs());
        let seen = constructs.len() - self.unseen_constructs().len();
        let seen_pairs = pairs.len() - self.unseen_pairs().len();
        let mut rare: Vec<_> = self.constructs.iter().map(|(name, count)| (*count, name)).collect();
        rare.sort();
        let rare: Vec<String> = rare.iter().take(6).map(|(count, name)| format!("{name} {count}")).collect();
        format!(
            "{seen} of {} constructs, {seen_pairs} of {} pairs of operator and function; rarest: {}",
            constructs.len(),
            pairs.len(),
            rare.join(", ")
        )
    }
}
