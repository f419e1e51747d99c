//! Values of one label, sorted, each with its postings: a plain list, or a finite-state transducer.

use fst::{IntoStreamer, Streamer};

use crate::encoding::{ByteReader, ByteWriter, DecodeError};

use super::automaton::PatternAutomaton;

/// Up to so many values are a plain list.
const LIST_LEN_MAX: usize = 32;

/// How a dictionary is held; the discriminant is stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(super) enum DictionaryKind {
    /// Texts and references, one after another.
    List = 0,
    /// A transducer from text to reference.
    Transducer = 1,
}

impl DictionaryKind {
    pub(super) fn from_number(number: u8) -> Option<Self> {
        match number {
            0 => Some(Self::List),
            1 => Some(Self::Transducer),
            _ => None,
        }
    }
}

/// Appends a dictionary; `entries` are sorted by value.
pub(super) fn put_dictionary(entries: &[(&str, u64)], out: &mut ByteWriter) -> DictionaryKind {
    debug_assert!(entries.windows(2).all(|pair| pair[0].0 < pair[1].0), "values rise");
    if entries.len() <= LIST_LEN_MAX {
        for (value, reference) in entries {
            out.put_sized(value.as_bytes());
            out.put_varint(*reference);
        }
        return DictionaryKind::List;
    }
    let map = fst::Map::from_iter(entries.iter().copied()).expect("values rise and fit in memory");
    out.put(map.as_fst().as_bytes());
    DictionaryKind::Transducer
}

/// A dictionary where it is stored. Its bytes have passed their checksum.
pub(super) enum Dictionary<'a> {
    List(&'a [u8]),
    Transducer(fst::Map<&'a [u8]>),
}

const NOT_UTF8: &str = "label value is not UTF-8";

impl<'a> Dictionary<'a> {
    pub(super) fn open(kind: DictionaryKind, bytes: &'a [u8]) -> Result<Self, DecodeError> {
        match kind {
            DictionaryKind::List => Ok(Self::List(bytes)),
            DictionaryKind::Transducer => fst::Map::new(bytes)
                .map(Self::Transducer)
                .map_err(|_| DecodeError { offset: 0, rule: "dictionary is no transducer" }),
        }
    }

    /// The reference of one value.
    pub(super) fn get(&self, value: &str) -> Result<Option<u64>, DecodeError> {
        match self {
            Self::List(_) => {
                let mut found = None;
                self.each(|text, reference| {
                    if text == value {
                        found = Some(reference);
                    }
                    text < value
                })?;
                Ok(found)
            }
            Self::Transducer(map) => Ok(map.get(value)),
        }
    }

    /// Calls `each` with every value and its reference, in order, until it answers false.
    pub(super) fn each(&self, mut each: impl FnMut(&str, u64) -> bool) -> Result<(), DecodeError> {
        match self {
            Self::List(bytes) => {
                let mut reader = ByteReader::new(bytes);
                while !reader.is_empty() {
                    if !each(reader.text()?, reader.varint()?) {
                        break;
                    }
                }
                Ok(())
            }
            Self::Transducer(map) => drain(map.stream(), each),
        }
    }

    /// Calls `each` with every value that the automaton accepts; only transducers are searched with it.
    pub(super) fn each_accepted(
        &self,
        automaton: &PatternAutomaton,
        each: impl FnMut(&str, u64) -> bool,
    ) -> Result<(), DecodeError> {
        match self {
            Self::List(_) => self.each(each),
            Self::Transducer(map) => drain(map.search(automaton).into_stream(), each),
        }
    }

    /// Whether an automaton pays: building one costs more than testing a short list.
    pub(super) fn is_large(&self) -> bool {
        const AUTOMATON_LEN_MIN: usize = 256;
        matches!(self, Self::Transducer(map) if map.len() >= AUTOMATON_LEN_MIN)
    }
}

fn drain<A: fst::Automaton>(
    mut stream: fst::map::Stream<'_, A>,
    mut each: impl FnMut(&str, u64) -> bool,
) -> Result<(), DecodeError> {
    while let Some((key, reference)) = stream.next() {
        let text = std::str::from_utf8(key).map_err(|_| DecodeError { offset: 0, rule: NOT_UTF8 })?;
        if !each(text, reference) {
            break;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(count: u64, kind: DictionaryKind) {
        let texts: Vec<String> = (0..count).map(|i| format!("gpu-{i:04}")).collect();
        let entries: Vec<(&str, u64)> = texts.iter().map(String::as_str).zip(0..).collect();
        let mut out = ByteWriter::default();
        assert_eq!(put_dictionary(&entries, &mut out), kind);
        let dictionary = Dictionary::open(kind, out.as_slice()).expect("sound");
        assert_eq!(dictionary.get("gpu-0003"), Ok(Some(3)));
        assert_eq!(dictionary.get("gpu-"), Ok(None));
        assert_eq!(dictionary.get("zzz"), Ok(None));
        let mut all = Vec::new();
        let walked = dictionary.each(|text, reference| {
            all.push((text.to_owned(), reference));
            true
        });
        assert_eq!(walked, Ok(()));
        assert!(all.iter().map(|(text, reference)| (text.as_str(), *reference)).eq(entries));
    }

    #[test]
    fn lists_and_transducers_answer_alike() {
        check(32, DictionaryKind::List);
        check(33, DictionaryKind::Transducer);
    }
}
