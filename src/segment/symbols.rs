//! Texts of a segment's labels, numbered: names first, then values, frequent ones before rare ones.

use std::collections::HashMap;

use crate::encoding::ByteWriter;
use crate::model::Labels;

use super::SegmentError;

/// Bytes of a text's end in the table of ends.
pub(super) const SYMBOL_END_BYTES: u64 = 4;

/// Collects texts.
#[derive(Default)]
pub(super) struct SymbolCounts<'a> {
    names: HashMap<&'a str, u64>,
    values: HashMap<&'a str, u64>,
}

/// Texts with their numbers.
pub(super) struct Symbols<'a> {
    names: HashMap<&'a str, u32>,
    values: HashMap<&'a str, u32>,
    /// All texts, back to back.
    pub(super) texts: Vec<u8>,
    /// Where each text ends.
    pub(super) ends: Vec<u8>,
}

impl<'a> SymbolCounts<'a> {
    pub(super) fn add(&mut self, labels: &'a Labels) {
        for label in labels.iter() {
            *self.names.entry(label.name).or_default() += 1;
            *self.values.entry(label.value).or_default() += 1;
        }
    }

    /// Numbers the texts. Frequent ones come first, since small numbers take less room in a record.
    pub(super) fn number(self) -> Result<Symbols<'a>, SegmentError> {
        let (mut texts, mut ends) = (ByteWriter::default(), ByteWriter::default());
        let mut number_next = 0_u32;
        let mut number = |counts: HashMap<&'a str, u64>| {
            let mut sorted: Vec<(&str, u64)> = counts.into_iter().collect();
            sorted.sort_unstable_by_key(|(text, count)| (std::cmp::Reverse(*count), *text));
            let mut numbers = HashMap::with_capacity(sorted.len());
            for (text, _) in sorted {
                texts.put(text.as_bytes());
                let end =
                    u32::try_from(texts.len()).map_err(|_| SegmentError::TooLarge("bytes of symbols"))?;
                ends.put_u32(end);
                numbers.insert(text, number_next);
                number_next = number_next.checked_add(1).ok_or(SegmentError::TooLarge("symbols"))?;
            }
            Ok::<_, SegmentError>(numbers)
        };
        let (names, values) = (number(self.names)?, number(self.values)?);
        Ok(Symbols { names, values, texts: texts.into_bytes(), ends: ends.into_bytes() })
    }
}

impl Symbols<'_> {
    /// The labels by number, in the order of their names' texts.
    pub(super) fn pairs(&self, labels: &Labels) -> Vec<(u32, u32)> {
        labels.iter().map(|label| (self.names[label.name], self.values[label.value])).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frequent_texts_get_small_numbers() {
        let rows = [
            Labels::from_pairs([("a", "x"), ("b", "a")]),
            Labels::from_pairs([("b", "a")]),
            Labels::from_pairs([("b", "a"), ("c", "y")]),
        ];
        let mut counts = SymbolCounts::default();
        rows.iter().for_each(|labels| counts.add(labels));
        let symbols = counts.number().expect("few texts");
        assert_eq!(symbols.texts, b"bacaxy");
        assert_eq!(symbols.ends.len() as u64, 6 * SYMBOL_END_BYTES);
        assert_eq!(symbols.pairs(&rows[0]), [(1, 4), (0, 3)]);
    }
}
