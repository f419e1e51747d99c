//! Texts of one shard, each once, by number.

use std::collections::HashMap;
use std::sync::Arc;

use foldhash::fast::RandomState;

/// Names and values of a shard's labels.
#[derive(Debug, Default)]
pub(super) struct TextTable {
    texts: Vec<Arc<str>>,
    numbers: HashMap<Arc<str>, u32, RandomState>,
}

impl TextTable {
    /// The number of `text`, a new one where it was not seen yet.
    pub(super) fn intern(&mut self, text: &str) -> u32 {
        if let Some(number) = self.numbers.get(text) {
            return *number;
        }
        let number = u32::try_from(self.texts.len()).expect("a shard has fewer than 2^32 texts");
        let shared: Arc<str> = text.into();
        self.texts.push(Arc::clone(&shared));
        self.numbers.insert(shared, number);
        number
    }

    /// The number of `text`, if it was seen.
    pub(super) fn lookup(&self, text: &str) -> Option<u32> {
        self.numbers.get(text).copied()
    }

    /// The text of a number that this table gave out.
    pub(super) fn text(&self, number: u32) -> &str {
        &self.texts[number as usize]
    }

    /// The same, without a copy.
    pub(super) fn shared(&self, number: u32) -> Arc<str> {
        Arc::clone(&self.texts[number as usize])
    }
}
