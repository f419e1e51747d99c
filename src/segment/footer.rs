//! The footer: everything that opening needs.

use std::ops::Range;

use crate::encoding::{ByteReader, ByteWriter, Checksum, DecodeError};
use crate::model::{TenantId, TimeSpan};

use super::pages::{table_bytes, to_usize};
use super::{SegmentError, SegmentMeta, Source};

/// First bytes of every segment.
pub(super) const MAGIC_HEAD: [u8; 8] = *b"PRDRSEG\n";
/// Last bytes of every segment.
const MAGIC_TAIL: [u8; 4] = *b"PSEG";
/// The format that is written and read.
const VERSION: u32 = 1;
/// Checksum, footer length, version, magic.
const TAIL_BYTES: u64 = 16;
/// Read at once when a file is opened; most footers are shorter.
const FIRST_READ_BYTES: u64 = 4096;

/// Parts of the body, in the order in which the footer lists them and the file holds them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(usize)]
pub(super) enum Section {
    Values,
    Records,
    Fingerprints,
    Exemplars,
    Metadata,
    BlockTable,
    GroupTable,
    TimesTable,
    SymbolTexts,
    SymbolEnds,
    SymbolBases,
    IndexNames,
    IndexDictionaries,
    IndexPostings,
    ExemplarTable,
}

/// How many sections there are.
pub(super) const SECTION_COUNT: usize = Section::ExemplarTable as usize + 1;
/// The first section of the area that is packed as a whole in small segments.
pub(super) const AREA_FIRST: usize = Section::BlockTable as usize;
/// Longest area that is packed: it is kept unpacked once it was used.
pub(super) const AREA_PACKED_MAX: u64 = 1 << 20;

/// What `storage-format.md` calls the sections.
pub(super) const SECTION_NAMES: [&str; SECTION_COUNT] = [
    "values",
    "groups of rows",
    "fingerprints",
    "exemplars",
    "metadata",
    "block table",
    "group table",
    "timestamp table",
    "symbol texts",
    "symbol ends",
    "symbol bases",
    "label names",
    "dictionaries",
    "postings",
    "exemplar table",
];

/// The area of tables and index: the file's last sections.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Area {
    /// Where it stands in the body.
    pub(super) stored: Range<u64>,
    /// Its bytes once unpacked; 0 if it is stored as it is.
    pub(super) unpacked_bytes: u64,
}

impl Area {
    /// Bytes that sections of the area may lie in.
    pub(super) fn len(&self) -> u64 {
        if self.unpacked_bytes > 0 { self.unpacked_bytes } else { self.stored.end - self.stored.start }
    }
}

/// What the footer says.
#[derive(Clone, Debug)]
pub(super) struct Footer {
    pub(super) id: u128,
    pub(super) meta: SegmentMeta,
    pub(super) body_bytes: u64,
    pub(super) table_sum: u32,
    pub(super) area: Area,
    /// By [`Section`]; those of the area count from its start, unpacked.
    pub(super) sections: [Range<u64>; SECTION_COUNT],
}

impl Footer {
    /// The file's last bytes.
    pub(super) fn to_bytes(&self) -> Vec<u8> {
        let mut out = ByteWriter::default();
        out.put(&self.id.to_le_bytes());
        out.put_u64(self.body_bytes);
        out.put_u32(self.table_sum);
        put_meta(&self.meta, &mut out);
        out.put_varint(self.area.stored.start);
        out.put_varint(self.area.stored.end - self.area.stored.start);
        out.put_varint(self.area.unpacked_bytes);
        for section in &self.sections {
            out.put_varint(section.start);
            out.put_varint(section.end - section.start);
        }
        let len = u32::try_from(out.len()).expect("a footer has some hundred bytes");
        let sum = footer_checksum(out.as_slice(), len, VERSION);
        for number in [sum, len, VERSION] {
            out.put_u32(number);
        }
        out.put(&MAGIC_TAIL);
        out.into_bytes()
    }

    /// Reads and checks the footer, and that all it speaks of lies within the file.
    pub(super) fn read(source: &dyn Source) -> Result<Self, SegmentError> {
        let name = source.name();
        let corrupt = |error| SegmentError::corrupt(name, error);
        let file_bytes = source.bytes().len() as u64;
        let Some(tail_at) = file_bytes.checked_sub(TAIL_BYTES) else {
            return Err(corrupt(DecodeError { offset: 0, rule: "file is shorter than a segment's end" }));
        };
        source.ensure(std::slice::from_ref(&(file_bytes.saturating_sub(FIRST_READ_BYTES)..file_bytes)))?;
        let tail = &source.bytes()[to_usize(tail_at..file_bytes)];
        let tail = read_tail(tail, tail_at).map_err(corrupt)?;
        let Some(start) = tail_at.checked_sub(u64::from(tail.len)) else {
            return Err(corrupt(DecodeError { offset: tail_at, rule: "footer is longer than its file" }));
        };
        source.ensure(std::slice::from_ref(&(start..file_bytes)))?;
        let bytes = &source.bytes()[to_usize(start..tail_at)];
        if footer_checksum(bytes, tail.len, tail.version) != tail.sum {
            return Err(corrupt(DecodeError { offset: start, rule: "footer checksum differs" }));
        }
        if tail.version != VERSION {
            return Err(SegmentError::Version { name: name.to_owned(), version: tail.version });
        }
        let footer = parse(&mut ByteReader::at_base(bytes, start)).map_err(corrupt)?;
        if footer.body_bytes.checked_add(table_bytes(footer.body_bytes)) != Some(start) {
            return Err(corrupt(DecodeError { offset: start, rule: "parts do not add up to the file" }));
        }
        Ok(footer)
    }
}

/// The fixed bytes at the file's end.
struct Tail {
    sum: u32,
    len: u32,
    version: u32,
}

fn read_tail(bytes: &[u8], offset: u64) -> Result<Tail, DecodeError> {
    let mut reader = ByteReader::at_base(bytes, offset);
    let tail = Tail { sum: reader.u32()?, len: reader.u32()?, version: reader.u32()? };
    let wrong = reader.error("file does not end as a segment does");
    if reader.array()? == MAGIC_TAIL { Ok(tail) } else { Err(wrong) }
}

fn footer_checksum(bytes: &[u8], len: u32, version: u32) -> u32 {
    Checksum::default().with(bytes).with(&len.to_le_bytes()).with(&version.to_le_bytes()).value()
}

fn put_meta(meta: &SegmentMeta, out: &mut ByteWriter) {
    out.put_sized(meta.tenant.as_str().as_bytes());
    for number in [meta.span.start, meta.span.end, meta.window.start, meta.window.end, meta.resolution_ms] {
        out.put_signed(number);
    }
    out.put_u8(meta.retention_class);
    for number in [meta.seq_min, meta.seq_max, meta.series, meta.samples] {
        out.put_varint(number);
    }
}

fn parse(reader: &mut ByteReader<'_>) -> Result<Footer, DecodeError> {
    let id = u128::from_le_bytes(reader.array()?);
    let body_bytes = reader.u64()?;
    let table_sum = reader.u32()?;
    let meta = SegmentMeta {
        tenant: TenantId::new(reader.text()?),
        span: TimeSpan::new(reader.signed()?, reader.signed()?),
        window: TimeSpan::new(reader.signed()?, reader.signed()?),
        resolution_ms: reader.signed()?,
        retention_class: reader.u8()?,
        seq_min: reader.varint()?,
        seq_max: reader.varint()?,
        series: reader.varint()?,
        samples: reader.varint()?,
    };
    let stored = read_range(reader, body_bytes)?;
    let unpacked_bytes = reader.varint_max(AREA_PACKED_MAX, "packed area is too large")?;
    let area = Area { stored, unpacked_bytes };
    let mut sections = [const { 0..0 }; SECTION_COUNT];
    for (number, section) in sections.iter_mut().enumerate() {
        *section = read_range(reader, if number < AREA_FIRST { body_bytes } else { area.len() })?;
    }
    reader.finish()?;
    Ok(Footer { id, meta, body_bytes, table_sum, area, sections })
}

/// A range by its start and length that ends within `len`.
fn read_range(reader: &mut ByteReader<'_>, len: u64) -> Result<Range<u64>, DecodeError> {
    let outside = reader.error("section lies outside the body");
    let start = reader.varint()?;
    let end = start.checked_add(reader.varint()?).filter(|end| *end <= len).ok_or(outside)?;
    Ok(start..end)
}
