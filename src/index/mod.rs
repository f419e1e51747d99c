//! From matchers to rows: dictionaries of label values and postings, read in place from a segment's bytes.
//!
//! [`IndexWriter`] takes the labels of each row and makes three sections: label names, dictionaries, postings. [`Index`]
//! reads them through an [`IndexSource`], which checks checksums before it hands bytes out (the dictionaries' automata may
//! panic on damaged bytes). Equality is one lookup; a set of literals one each; any other regular expression is an
//! automaton intersected with the dictionary; what also passes series without the label is computed as "all but".
//!
//! Layout: `storage-format.md`, "Index". Rows are numbered by whoever writes; what they mean is the segment's.

mod automaton;
mod dictionary;
mod evaluate;
mod names;
mod postings;
mod writer;

pub use evaluate::Index;
pub use writer::{INDEX_ROWS_MAX, IndexSections, IndexWriter};

use std::ops::Range;

use crate::encoding::DecodeError;

/// Parts of an index that lie apart in the file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum IndexSection {
    /// Label names, each with its dictionary's place.
    Names,
    /// Dictionaries of label values.
    Dictionaries,
    /// Row lists that are too long to stand in a dictionary.
    Postings,
}

/// Where the bytes of an index come from; they are checked before they are handed out.
pub trait IndexSource {
    /// What goes wrong.
    type Error;

    /// Bytes of a section, counted from its start.
    fn bytes(&self, section: IndexSection, range: Range<u64>) -> Result<&[u8], Self::Error>;

    /// Bytes that a section has.
    fn len(&self, section: IndexSection) -> u64;

    /// The error for a broken rule; its offset counts from the section's start.
    fn corrupt(&self, section: IndexSection, error: DecodeError) -> Self::Error;
}
