//! Labels of rows, the index, and what is stored beside samples.

use std::collections::BTreeSet;
use std::ops::Range;

use crate::encoding::DecodeError;
use crate::index::{Index, IndexSection, IndexSource};
use crate::model::{Exemplar, Fingerprint, Labels, LabelsBuilder, Matcher, Metadata, TimeSpan};

use super::SegmentError;
use super::extras::{EXEMPLAR_ENTRY_BYTES, read_exemplars, read_metadata};
use super::footer::Section;
use super::reader::{SegmentReader, group_index};
use super::rows::read_pairs;
use super::stream::FINGERPRINT_BYTES;
use super::symbols::{SYMBOL_BASE_BYTES, SYMBOL_END_BYTES};

impl SegmentReader {
    /// The rows that pass all matchers, rising. No matchers: all rows.
    pub fn select(&self, matchers: &[Matcher]) -> Result<Vec<u32>, SegmentError> {
        Index::new(self, self.row_count()).select(matchers)
    }

    /// Identity of a row. Made from its labels where the segment does not hold it.
    pub fn fingerprint(&self, row: u32) -> Result<Fingerprint, SegmentError> {
        match self.entry(Section::Fingerprints, row.into(), FINGERPRINT_BYTES)? {
            Some(bytes) => Ok(Fingerprint(u128::from_le_bytes(bytes.try_into().expect("sixteen bytes")))),
            None => Ok(self.labels(row)?.fingerprint()),
        }
    }

    /// Labels of a row.
    pub fn labels(&self, row: u32) -> Result<Labels, SegmentError> {
        let mut pairs = Vec::new();
        self.label_symbols(row, &mut pairs)?;
        let mut builder = LabelsBuilder::default();
        for (name, value) in pairs {
            builder.push(self.symbol(name)?, self.symbol(value)?);
        }
        let offset = self.place_of(Section::Records);
        builder.build().map_err(|_| self.corrupt(DecodeError { offset, rule: "labels of a row are no set" }))
    }

    /// Appends the row's labels as (name, value) by symbol number, in the order of the names' texts.
    pub fn label_symbols(&self, row: u32, out: &mut Vec<(u32, u32)>) -> Result<(), SegmentError> {
        let (mut reader, rows) = self.group(row)?;
        let mut local = Vec::new();
        read_pairs(&mut reader, rows, group_index(row), |name, value| local.push((name, value)))
            .map_err(|error| self.corrupt(error))?;
        for (name, value) in local {
            let base = self.entry(Section::SymbolBases, name.into(), SYMBOL_BASE_BYTES)?;
            let base = base.map(|bytes| u32::from_le_bytes(bytes.try_into().expect("four bytes")));
            let value = base.and_then(|base| base.checked_add(value)).ok_or_else(|| {
                let (offset, rule) = (reader.offset(), "label has no such number");
                self.corrupt(DecodeError { offset, rule })
            })?;
            out.push((name, value));
        }
        Ok(())
    }

    /// How many symbols there are; they are numbered from 0.
    pub fn symbol_count(&self) -> u32 {
        let count = self.section_len(Section::SymbolEnds) / SYMBOL_END_BYTES;
        u32::try_from(count).unwrap_or(u32::MAX)
    }

    /// The text of a symbol of this segment. A text may have two numbers: one as a name, one as a value.
    pub fn symbol(&self, symbol: u32) -> Result<&str, SegmentError> {
        let wrong = |rule| {
            let offset = self.place_of(Section::SymbolEnds);
            self.corrupt(DecodeError { offset, rule })
        };
        if symbol >= self.symbol_count() {
            return Err(wrong("symbol has no such number"));
        }
        let start = if symbol == 0 { 0 } else { self.symbol_end(symbol - 1)? };
        let end = self.symbol_end(symbol)?;
        if start > end || end > self.section_len(Section::SymbolTexts) {
            return Err(wrong("symbol lies outside its section"));
        }
        let text = self.bytes(Section::SymbolTexts, start..end)?;
        std::str::from_utf8(text).map_err(|_| wrong("symbol is not UTF-8"))
    }

    /// Label names of these rows (`None`: of all), sorted, each once.
    pub fn label_names(&self, rows: Option<&[u32]>) -> Result<Vec<String>, SegmentError> {
        let Some(rows) = rows else {
            return Index::new(self, self.row_count()).label_names();
        };
        let mut symbols = BTreeSet::new();
        let mut pairs = Vec::new();
        for row in rows {
            pairs.clear();
            self.label_symbols(*row, &mut pairs)?;
            symbols.extend(pairs.iter().map(|pair| pair.0));
        }
        self.sorted_texts(symbols)
    }

    /// Values that the label `name` has in these rows (`None`: in all), sorted, each once; at most `limit`, 0 for all.
    pub fn label_values(
        &self,
        name: &str,
        rows: Option<&[u32]>,
        limit: usize,
    ) -> Result<Vec<String>, SegmentError> {
        let Some(rows) = rows else {
            return Index::new(self, self.row_count()).label_values(name, limit);
        };
        let mut symbols = BTreeSet::new();
        let mut pairs = Vec::new();
        for row in rows {
            pairs.clear();
            self.label_symbols(*row, &mut pairs)?;
            for (label, value) in &pairs {
                if self.symbol(*label)? == name {
                    symbols.insert(*value);
                }
            }
        }
        let mut values = self.sorted_texts(symbols)?;
        values.truncate(if limit == 0 { usize::MAX } else { limit });
        Ok(values)
    }

    /// The rows that have exemplars, rising.
    pub fn exemplar_rows(&self) -> Result<Vec<u32>, SegmentError> {
        Ok(self.exemplar_table()?.into_iter().map(|(row, _)| row).collect())
    }

    /// Exemplars of a row within `span`, in the order in which they were added.
    pub fn exemplars(&self, row: u32, span: TimeSpan) -> Result<Vec<Exemplar>, SegmentError> {
        let table = self.exemplar_table()?;
        let Ok(index) = table.binary_search_by_key(&row, |entry| entry.0) else {
            return Ok(Vec::new());
        };
        let section = Section::Exemplars;
        let end = table.get(index + 1).map_or(self.section_len(section), |next| u64::from(next.1));
        let mut reader = self.part(section, u64::from(table[index].1)..end)?;
        let mut exemplars = read_exemplars(&mut reader).map_err(|error| self.corrupt(error))?;
        exemplars.retain(|exemplar| span.contains(exemplar.timestamp));
        Ok(exemplars)
    }

    /// What metric families say of themselves, in name order.
    pub fn metadata(&self) -> Result<Vec<(String, Metadata)>, SegmentError> {
        let reader = self.part(Section::Metadata, 0..self.section_len(Section::Metadata))?;
        read_metadata(reader).map_err(|error| self.corrupt(error))
    }

    fn symbol_end(&self, symbol: u32) -> Result<u64, SegmentError> {
        let start = u64::from(symbol) * SYMBOL_END_BYTES;
        let bytes = self.bytes(Section::SymbolEnds, start..start + SYMBOL_END_BYTES)?;
        Ok(u32::from_le_bytes(bytes.try_into().expect("four bytes")).into())
    }

    fn sorted_texts(&self, symbols: BTreeSet<u32>) -> Result<Vec<String>, SegmentError> {
        let texts = symbols.into_iter().map(|symbol| self.symbol(symbol).map(str::to_owned));
        let mut texts = texts.collect::<Result<Vec<_>, _>>()?;
        texts.sort_unstable();
        Ok(texts)
    }

    /// Rows that have exemplars, with the places of these.
    fn exemplar_table(&self) -> Result<Vec<(u32, u32)>, SegmentError> {
        let section = Section::ExemplarTable;
        let bytes = self.bytes(section, 0..self.section_len(section))?;
        let number = |bytes: &[u8]| u32::from_le_bytes(bytes.try_into().expect("four bytes"));
        let entries: Vec<(u32, u32)> = bytes
            .chunks_exact(EXEMPLAR_ENTRY_BYTES as usize)
            .map(|entry| (number(&entry[..4]), number(&entry[4..])))
            .collect();
        let rise = entries.windows(2).all(|pair| pair[0].0 < pair[1].0);
        if !rise || entries.last().is_some_and(|last| last.0 >= self.row_count()) {
            let offset = self.place_of(section);
            return Err(self.corrupt(DecodeError { offset, rule: "rows with exemplars do not rise" }));
        }
        Ok(entries)
    }
}

impl IndexSource for SegmentReader {
    type Error = SegmentError;

    fn bytes(&self, section: IndexSection, range: Range<u64>) -> Result<&[u8], SegmentError> {
        self.bytes(place(section), range)
    }

    fn len(&self, section: IndexSection) -> u64 {
        self.section_len(place(section))
    }

    fn corrupt(&self, section: IndexSection, error: DecodeError) -> SegmentError {
        let offset = self.place_of(place(section)) + error.offset;
        self.corrupt(DecodeError { offset, ..error })
    }
}

fn place(section: IndexSection) -> Section {
    match section {
        IndexSection::Names => Section::IndexNames,
        IndexSection::Dictionaries => Section::IndexDictionaries,
        IndexSection::Postings => Section::IndexPostings,
    }
}
