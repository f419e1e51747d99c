//! Texts of a segment's labels, numbered: names first, then the values of the first name, of the second, and so on.

use std::collections::HashMap;

use crate::encoding::ByteWriter;

use super::SegmentError;

/// Bytes of a text's end in the table of ends.
pub(super) const SYMBOL_END_BYTES: u64 = 4;
/// Bytes of an entry in the table of each name's first value.
pub(super) const SYMBOL_BASE_BYTES: u64 = 4;

/// Numbers texts as they come.
#[derive(Default)]
pub(super) struct SymbolWriter {
    numbers: HashMap<Box<str>, u32>,
    names: Vec<Name>,
}

/// A label name and its values, in the order in which they came.
struct Name {
    text: Box<str>,
    numbers: HashMap<Box<str>, u32>,
    texts: Vec<u8>,
    /// Where each value's text ends.
    ends: Vec<u32>,
}

/// The sections, as they are stored.
pub(super) struct SymbolSections {
    pub(super) texts: Vec<u8>,
    pub(super) ends: Vec<u8>,
    pub(super) bases: Vec<u8>,
}

impl SymbolWriter {
    /// Number of a name, and of a value among those of the name.
    pub(super) fn pair(&mut self, name: &str, value: &str) -> Result<(u32, u32), SegmentError> {
        let too_many = |_| SegmentError::TooLarge("symbols");
        let number = match self.numbers.get(name) {
            Some(number) => *number,
            None => {
                let number = u32::try_from(self.names.len()).map_err(too_many)?;
                self.numbers.insert(name.into(), number);
                let (numbers, texts, ends) = (HashMap::new(), Vec::new(), Vec::new());
                self.names.push(Name { text: name.into(), numbers, texts, ends });
                number
            }
        };
        let values = &mut self.names[number as usize];
        if let Some(value) = values.numbers.get(value) {
            return Ok((number, *value));
        }
        let value_number = u32::try_from(values.ends.len()).map_err(too_many)?;
        values.numbers.insert(value.into(), value_number);
        values.texts.extend_from_slice(value.as_bytes());
        let end = u32::try_from(values.texts.len());
        values.ends.push(end.map_err(|_| SegmentError::TooLarge("bytes of symbols"))?);
        Ok((number, value_number))
    }

    /// Orders numbers of names by their texts.
    pub(super) fn by_text(&self, a: u32, b: u32) -> std::cmp::Ordering {
        self.names[a as usize].text.cmp(&self.names[b as usize].text)
    }

    /// The sections.
    pub(super) fn finish(self) -> Result<SymbolSections, SegmentError> {
        let (mut texts, mut ends, mut bases) =
            (ByteWriter::default(), ByteWriter::default(), ByteWriter::default());
        let too_large = |_| SegmentError::TooLarge("bytes of symbols");
        for name in &self.names {
            texts.put(name.text.as_bytes());
            ends.put_u32(u32::try_from(texts.len()).map_err(too_large)?);
        }
        let mut base = u32::try_from(self.names.len()).map_err(too_large)?;
        for name in &self.names {
            bases.put_u32(base);
            let count = u32::try_from(name.ends.len()).expect("values are numbered in 32 bits");
            base = base.checked_add(count).ok_or(SegmentError::TooLarge("symbols"))?;
            let before = u32::try_from(texts.len()).map_err(too_large)?;
            texts.put(&name.texts);
            for end in &name.ends {
                ends.put_u32(before.checked_add(*end).ok_or(SegmentError::TooLarge("bytes of symbols"))?);
            }
        }
        Ok(SymbolSections { texts: texts.into_bytes(), ends: ends.into_bytes(), bases: bases.into_bytes() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_numbered_by_name() {
        let mut symbols = SymbolWriter::default();
        let pairs = [("b", "x"), ("a", "x"), ("b", "yy"), ("a", "x"), ("b", "x")];
        let numbers = pairs.map(|(name, value)| symbols.pair(name, value).expect("few texts"));
        assert_eq!(numbers, [(0, 0), (1, 0), (0, 1), (1, 0), (0, 0)]);
        assert!(symbols.by_text(1, 0).is_lt());
        let sections = symbols.finish().expect("few texts");
        assert_eq!(sections.texts, b"baxyyx");
        let numbers = |bytes: &[u8]| -> Vec<u32> {
            bytes.chunks(4).map(|b| u32::from_le_bytes(b.try_into().expect("four bytes"))).collect()
        };
        assert_eq!(numbers(&sections.ends), [1, 2, 3, 5, 6]);
        assert_eq!(numbers(&sections.bases), [2, 4]);
    }
}
