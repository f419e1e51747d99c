//! Row lists: a run of rows in the reference itself, few rows as differences, many as a roaring bitmap.

use std::io::Cursor;

use roaring::RoaringBitmap;

use crate::encoding::{ByteReader, ByteWriter, DecodeError};

use super::{IndexSection, IndexSource};

/// From so many rows on a bitmap is stored.
const BITMAP_LEN_MIN: usize = 64;
/// Rows must be numbered below this, so that a run fits a reference.
pub(super) const ROWS_MAX: u32 = 1 << 31;
/// Bits of the kind in a reference.
const KIND_BITS: u32 = 2;
/// A run of rows stands in the reference: start and count, 31 bits each.
const KIND_RUN: u64 = 0;
/// Differences at an offset of the postings section.
const KIND_LIST: u64 = 1;
/// A roaring bitmap at an offset of the postings section.
const KIND_BITMAP: u64 = 2;
/// Bytes of the longest length before a list or bitmap.
const LEN_BYTES_MAX: u64 = 5;

/// Stores a rising list of rows, not an empty one; returns the reference to it.
pub(super) fn put_postings(rows: &[u32], out: &mut ByteWriter) -> u64 {
    debug_assert!(rows.windows(2).all(|pair| pair[0] < pair[1]), "rows rise");
    let (Some(first), Some(last)) = (rows.first(), rows.last()) else {
        panic!("a value without rows is not stored");
    };
    assert!(*last < ROWS_MAX, "rows are numbered in 31 bits");
    let count = rows.len() as u64;
    if u64::from(last - first) + 1 == count {
        return u64::from(*first) << (KIND_BITS + 31) | (count - 1) << KIND_BITS | KIND_RUN;
    }
    let offset = out.len() as u64;
    let mut body = ByteWriter::default();
    if rows.len() < BITMAP_LEN_MIN {
        let mut next = 0;
        for row in rows {
            body.put_varint(u64::from(row - next));
            next = row + 1;
        }
        out.put_sized(body.as_slice());
        return offset << KIND_BITS | KIND_LIST;
    }
    let mut bitmap = RoaringBitmap::from_sorted_iter(rows.iter().copied()).expect("rows rise");
    bitmap.optimize();
    let mut bytes = Vec::new();
    bitmap.serialize_into(&mut bytes).expect("a vector takes all bytes");
    out.put_sized(&bytes);
    offset << KIND_BITS | KIND_BITMAP
}

/// A row list where it is stored.
#[derive(Clone, Debug)]
pub(super) enum Postings<'a> {
    /// `start` to `end`, the end not included.
    Run { start: u32, end: u32 },
    /// Rising rows.
    List(Vec<u32>),
    /// A serialised bitmap.
    Bitmap(&'a [u8]),
}

impl<'a> Postings<'a> {
    /// Finds what a reference stands for. All rows must be below `row_count`.
    pub(super) fn open<S: IndexSource>(
        source: &'a S,
        reference: u64,
        row_count: u32,
    ) -> Result<Self, S::Error> {
        let wrong = |offset, rule| source.corrupt(IndexSection::Postings, DecodeError { offset, rule });
        let kind = reference & ((1 << KIND_BITS) - 1);
        if kind == KIND_RUN {
            let start = reference >> (KIND_BITS + 31);
            let end = start + (reference >> KIND_BITS & u64::from(ROWS_MAX - 1)) + 1;
            return match (u32::try_from(start), u32::try_from(end)) {
                (Ok(start), Ok(end)) if end <= row_count => Ok(Self::Run { start, end }),
                _ => Err(wrong(0, "postings name a row that does not exist")),
            };
        }
        let offset = reference >> KIND_BITS;
        let body = stored_body(source, offset)?;
        match kind {
            KIND_LIST => {
                let rows =
                    read_list(body, row_count).map_err(|error| wrong(offset + error.offset, error.rule))?;
                Ok(Self::List(rows))
            }
            KIND_BITMAP => Ok(Self::Bitmap(body)),
            _ => Err(wrong(offset, "unknown kind of postings")),
        }
    }

    /// Adds the rows to `rows`.
    pub(super) fn add_to(&self, rows: &mut RoaringBitmap) -> Result<(), DecodeError> {
        match self {
            Self::Run { start, end } => {
                rows.insert_range(*start..*end);
            }
            Self::List(list) => rows.extend(list.iter().copied()),
            Self::Bitmap(bytes) => *rows |= read_bitmap(bytes)?,
        }
        Ok(())
    }

    /// Keeps only those of `rows` that are listed. A bitmap is read only where `rows` has something.
    pub(super) fn intersect(&self, rows: &mut RoaringBitmap) -> Result<(), DecodeError> {
        match self {
            Self::Run { start, end } => {
                rows.remove_range(..*start);
                rows.remove_range(*end..);
            }
            Self::List(list) => {
                *rows = list.iter().copied().filter(|row| rows.contains(*row)).collect();
            }
            Self::Bitmap(bytes) => {
                let kept = rows.intersection_with_serialized_unchecked(Cursor::new(bytes));
                *rows = kept.map_err(|_| BROKEN_BITMAP)?;
            }
        }
        Ok(())
    }
}

const BROKEN_BITMAP: DecodeError = DecodeError { offset: 0, rule: "postings are no roaring bitmap" };

/// The bytes behind the length at `offset` of the postings section.
fn stored_body<S: IndexSource>(source: &S, offset: u64) -> Result<&[u8], S::Error> {
    let section = IndexSection::Postings;
    let wrong = |error| source.corrupt(section, error);
    let section_len = source.len(section);
    if offset >= section_len {
        return Err(wrong(DecodeError { offset, rule: "postings lie outside their section" }));
    }
    let head = source.bytes(section, offset..section_len.min(offset + LEN_BYTES_MAX))?;
    let mut reader = ByteReader::at_base(head, offset);
    let len = reader.varint().map_err(wrong)?;
    let start = reader.offset();
    match start.checked_add(len) {
        Some(end) if end <= section_len => source.bytes(section, start..end),
        _ => Err(wrong(DecodeError { offset, rule: "postings end past their section" })),
    }
}

fn read_list(bytes: &[u8], row_count: u32) -> Result<Vec<u32>, DecodeError> {
    let mut reader = ByteReader::new(bytes);
    let (mut rows, mut next) = (Vec::new(), 0_u64);
    while !reader.is_empty() {
        let row = next + u64::from(reader.varint_u32()?);
        if row >= u64::from(row_count) {
            return Err(reader.error("postings name a row that does not exist"));
        }
        rows.push(u32::try_from(row).expect("below the row count"));
        next = row + 1;
    }
    Ok(rows)
}

fn read_bitmap(bytes: &[u8]) -> Result<RoaringBitmap, DecodeError> {
    RoaringBitmap::deserialize_from(bytes).map_err(|_| BROKEN_BITMAP)
}

#[cfg(test)]
mod tests {
    use super::super::writer::MemorySource;
    use super::*;
    use proptest::prelude::*;

    fn round_trip(rows: &[u32]) -> usize {
        let mut out = ByteWriter::default();
        out.put(b"before");
        let reference = put_postings(rows, &mut out);
        let stored = out.len() - 6;
        let source = MemorySource { postings: out.into_bytes(), ..MemorySource::default() };
        let postings = Postings::open(&source, reference, ROWS_MAX).expect("sound");
        let mut back = RoaringBitmap::new();
        postings.add_to(&mut back).expect("sound");
        assert_eq!(back.iter().collect::<Vec<_>>(), rows);
        let mut kept: RoaringBitmap = (0..300).collect();
        postings.intersect(&mut kept).expect("sound");
        let expected: Vec<u32> = rows.iter().copied().filter(|row| *row < 300).collect();
        assert_eq!(kept.iter().collect::<Vec<_>>(), expected);
        stored
    }

    #[test]
    fn runs_need_no_room() {
        assert_eq!(round_trip(&[7]), 0);
        assert_eq!(round_trip(&(10..5_000).collect::<Vec<_>>()), 0);
        assert_eq!(round_trip(&[1, 3, 5]), 4);
    }

    proptest! {
        #[test]
        fn rows_come_back(rows in proptest::collection::btree_set(0_u32..3_000, 1..400)) {
            round_trip(&rows.into_iter().collect::<Vec<_>>());
        }

        #[test]
        fn any_reference_is_opened_without_a_panic(postings: Vec<u8>, reference: u64, row_count in 0..ROWS_MAX) {
            let source = MemorySource { postings, ..MemorySource::default() };
            if let Ok(Postings::List(rows)) = Postings::open(&source, reference, row_count) {
                prop_assert!(rows.iter().all(|row| *row < row_count));
            }
        }
    }
}
