//! What a target's metric families say of themselves.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard};

use crate::model::{Metadata, MetricType};
use crate::storage::Batch;

/// How many scrapes a family is remembered for after it was last described.
const KEPT_SCRAPES: u64 = 10;

/// Metadata by metric family; read by the API while scrapes write it.
#[derive(Debug, Default)]
pub(super) struct Families(Mutex<HashMap<String, Family>>);

#[derive(Debug, Default)]
struct Family {
    metadata: Metadata,
    /// Scrape that described it last.
    iteration: u64,
    /// Whether storage has not heard of it yet.
    is_unsent: bool,
}

/// The families while one scrape describes them.
pub(super) struct DescribedFamilies<'a> {
    families: MutexGuard<'a, HashMap<String, Family>>,
    iteration: u64,
}

impl Families {
    fn lock(&self) -> MutexGuard<'_, HashMap<String, Family>> {
        crate::lock::lock(&self.0)
    }

    /// Locks the families for the scrape of that number.
    pub(super) fn describe(&self, iteration: u64) -> DescribedFamilies<'_> {
        DescribedFamilies { families: self.lock(), iteration }
    }

    /// Name and metadata of each family, in order of names.
    pub(super) fn list(&self) -> Vec<(String, Metadata)> {
        let mut list: Vec<_> =
            self.lock().iter().map(|(name, family)| (name.clone(), family.metadata.clone())).collect();
        list.sort_unstable_by(|a, b| a.0.cmp(&b.0));
        list
    }

    /// Storage has what [`DescribedFamilies::push_unsent`] put into the batch.
    pub(super) fn set_sent(&self) {
        for family in self.lock().values_mut() {
            family.is_unsent = false;
        }
    }
}

impl DescribedFamilies<'_> {
    fn update(&mut self, name: &str, edit: impl FnOnce(&mut Metadata)) {
        if !self.families.contains_key(name) {
            self.families.insert(name.to_owned(), Family { is_unsent: true, ..Family::default() });
        }
        let family = self.families.get_mut(name).expect("it was put there");
        edit(&mut family.metadata);
        family.iteration = self.iteration;
    }

    pub(super) fn set_type(&mut self, name: &str, metric_type: MetricType) {
        let mut is_new = false;
        self.update(name, |metadata| {
            is_new = metadata.metric_type != metric_type;
            metadata.metric_type = metric_type;
        });
        self.mark(name, is_new);
    }

    pub(super) fn set_help(&mut self, name: &str, help: &str) {
        let mut is_new = false;
        self.update(name, |metadata| is_new = replace(&mut metadata.help, help));
        self.mark(name, is_new);
    }

    pub(super) fn set_unit(&mut self, name: &str, unit: &str) {
        let mut is_new = false;
        self.update(name, |metadata| is_new = replace(&mut metadata.unit, unit));
        self.mark(name, is_new);
    }

    fn mark(&mut self, name: &str, is_new: bool) {
        if let (true, Some(family)) = (is_new, self.families.get_mut(name)) {
            family.is_unsent = true;
        }
    }

    /// Puts families that are new or changed into the batch, and forgets those not described for a while.
    pub(super) fn push_unsent(&mut self, batch: &mut Batch) {
        let iteration = self.iteration;
        self.families.retain(|_, family| family.iteration + KEPT_SCRAPES >= iteration);
        for (name, family) in self.families.iter().filter(|(_, family)| family.is_unsent) {
            batch.push_metadata(name, family.metadata.clone());
        }
    }
}

/// Makes `old` equal `new` and answers whether it was not.
fn replace(old: &mut String, new: &str) -> bool {
    let differs = old != new;
    if differs {
        new.clone_into(old);
    }
    differs
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sent(families: &Families, iteration: u64, help: &str) -> usize {
        let mut described = families.describe(iteration);
        described.set_help("m", help);
        described.set_type("m", MetricType::Counter);
        let mut batch = Batch::default();
        described.push_unsent(&mut batch);
        batch.metadata.len()
    }

    #[test]
    fn changes_are_sent_until_storage_has_them() {
        let families = Families::default();
        assert_eq!((sent(&families, 1, "a"), sent(&families, 2, "a")), (1, 1));
        families.set_sent();
        assert_eq!((sent(&families, 3, "a"), sent(&families, 4, "b")), (0, 1));
        assert_eq!(families.list()[0].1.help, "b");
    }

    #[test]
    fn families_are_remembered_for_ten_scrapes() {
        let families = Families::default();
        sent(&families, 1, "a");
        families.describe(11).push_unsent(&mut Batch::default());
        assert_eq!(families.list().len(), 1);
        families.describe(12).push_unsent(&mut Batch::default());
        assert!(families.list().is_empty());
    }
}
