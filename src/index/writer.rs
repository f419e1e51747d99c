//! Collects labels row by row and makes the three sections.

use std::collections::{BTreeMap, HashMap};

use crate::encoding::ByteWriter;
use crate::model::Labels;

use super::dictionary::put_dictionary;
use super::names::{NameEntry, put_name};
use super::postings::{ROWS_MAX, put_postings};

/// Most rows of one index.
pub const INDEX_ROWS_MAX: u32 = ROWS_MAX;

/// The sections of an index, as they are stored.
#[derive(Clone, Debug, Default)]
pub struct IndexSections {
    /// See [`super::IndexSection::Names`].
    pub names: Vec<u8>,
    /// See [`super::IndexSection::Dictionaries`].
    pub dictionaries: Vec<u8>,
    /// See [`super::IndexSection::Postings`].
    pub postings: Vec<u8>,
}

/// Collects the labels of rows.
#[derive(Clone, Debug, Default)]
pub struct IndexWriter {
    names: BTreeMap<String, HashMap<String, Vec<u32>>>,
    row_next: u32,
}

impl IndexWriter {
    /// Adds the next row, the first being row 0.
    ///
    /// # Panics
    /// Beyond [`INDEX_ROWS_MAX`] rows.
    pub fn add_row(&mut self, labels: &Labels) {
        assert!(self.row_next < INDEX_ROWS_MAX, "rows are numbered in 31 bits");
        for label in labels.iter() {
            let values = match self.names.get_mut(label.name) {
                Some(values) => values,
                None => self.names.entry(label.name.to_owned()).or_default(),
            };
            match values.get_mut(label.value) {
                Some(rows) => rows.push(self.row_next),
                None => {
                    values.insert(label.value.to_owned(), vec![self.row_next]);
                }
            }
        }
        self.row_next += 1;
    }

    /// The sections.
    pub fn finish(self) -> IndexSections {
        let (mut names, mut dictionaries, mut postings) =
            (ByteWriter::default(), ByteWriter::default(), ByteWriter::default());
        for (name, values) in &self.names {
            let mut sorted: Vec<(&str, &[u32])> =
                values.iter().map(|(value, rows)| (value.as_str(), rows.as_slice())).collect();
            sorted.sort_unstable_by_key(|(value, _)| *value);
            let mut any: Vec<u32> = sorted.iter().flat_map(|(_, rows)| rows.iter().copied()).collect();
            any.sort_unstable();
            let entries: Vec<(&str, u64)> =
                sorted.into_iter().map(|(value, rows)| (value, put_postings(rows, &mut postings))).collect();
            let start = dictionaries.len() as u64;
            let kind = put_dictionary(&entries, &mut dictionaries);
            let dictionary = start..dictionaries.len() as u64;
            let any = put_postings(&any, &mut postings);
            put_name(&NameEntry { name, kind, dictionary, any }, &mut names);
        }
        IndexSections {
            names: names.into_bytes(),
            dictionaries: dictionaries.into_bytes(),
            postings: postings.into_bytes(),
        }
    }
}

#[cfg(test)]
pub(super) type MemorySource = IndexSections;

#[cfg(test)]
impl super::IndexSource for MemorySource {
    type Error = crate::encoding::DecodeError;

    fn bytes(&self, section: super::IndexSection, range: std::ops::Range<u64>) -> Result<&[u8], Self::Error> {
        let bytes = self.section(section);
        let range = range.start as usize..range.end as usize;
        bytes.get(range).ok_or(Self::Error { offset: 0, rule: "outside of its section" })
    }

    fn len(&self, section: super::IndexSection) -> u64 {
        self.section(section).len() as u64
    }

    fn corrupt(&self, _section: super::IndexSection, error: crate::encoding::DecodeError) -> Self::Error {
        error
    }
}

#[cfg(test)]
impl MemorySource {
    fn section(&self, section: super::IndexSection) -> &[u8] {
        match section {
            super::IndexSection::Names => &self.names,
            super::IndexSection::Dictionaries => &self.dictionaries,
            super::IndexSection::Postings => &self.postings,
        }
    }
}
