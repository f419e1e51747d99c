//! The table of label names: small, read front to back.

use std::ops::Range;

use crate::encoding::{ByteReader, ByteWriter, DecodeError};

use super::dictionary::DictionaryKind;

/// One label name.
#[derive(Clone, Debug)]
pub(super) struct NameEntry<'a> {
    pub(super) name: &'a str,
    pub(super) kind: DictionaryKind,
    /// Its dictionary, in the dictionaries section.
    pub(super) dictionary: Range<u64>,
    /// Postings of all rows that have the label.
    pub(super) any: u64,
}

pub(super) fn put_name(entry: &NameEntry<'_>, out: &mut ByteWriter) {
    out.put_sized(entry.name.as_bytes());
    out.put_u8(entry.kind as u8);
    out.put_varint(entry.dictionary.start);
    out.put_varint(entry.dictionary.end - entry.dictionary.start);
    out.put_varint(entry.any);
}

/// Walks the table.
pub(super) struct Names<'a> {
    reader: ByteReader<'a>,
}

impl<'a> Names<'a> {
    pub(super) fn new(bytes: &'a [u8]) -> Self {
        Self { reader: ByteReader::new(bytes) }
    }

    /// The next name, `None` after the last.
    pub(super) fn next(&mut self) -> Result<Option<NameEntry<'a>>, DecodeError> {
        let reader = &mut self.reader;
        if reader.is_empty() {
            return Ok(None);
        }
        let name = reader.text()?;
        let unknown = reader.error("unknown kind of dictionary");
        let kind = DictionaryKind::from_number(reader.u8()?).ok_or(unknown)?;
        let start = reader.varint()?;
        let end = start.checked_add(reader.varint()?).ok_or(reader.error("dictionary ends past 64 bits"))?;
        Ok(Some(NameEntry { name, kind, dictionary: start..end, any: reader.varint()? }))
    }

    /// The entry of `name`.
    pub(super) fn find(&mut self, name: &str) -> Result<Option<NameEntry<'a>>, DecodeError> {
        while let Some(entry) = self.next()? {
            if entry.name >= name {
                return Ok((entry.name == name).then_some(entry));
            }
        }
        Ok(None)
    }
}
