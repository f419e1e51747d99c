//! The frame of a record: its header, and how a reader finds the next one behind damage.

use crate::encoding::{Checksum, checksum};

/// Begins every record, so that a reader that lost its place finds the next one.
pub(super) const RECORD_MARKER: [u8; 4] = [0xd7, 0x50, 0xdb, 0x4c];
/// Bytes of a record's header.
pub(super) const RECORD_HEADER_BYTES: usize = 28;
/// Largest payload, in bytes.
pub(super) const PAYLOAD_BYTES_MAX: usize = 1 << 30;

/// Begins every log file.
const FILE_MAGIC: [u8; 8] = *b"perdulog";
/// Version of the format.
const FILE_VERSION: u32 = 0;
/// Bytes of a file's header.
pub(super) const FILE_HEADER_BYTES: usize = 24;

/// What a record holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(super) enum RecordKind {
    Series = 1,
    Floats = 2,
    Histograms = 3,
    Exemplars = 4,
    Metadata = 5,
}

impl RecordKind {
    const ALL: [Self; 5] = [Self::Series, Self::Floats, Self::Histograms, Self::Exemplars, Self::Metadata];

    pub(super) fn from_number(number: u8) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| *kind as u8 == number)
    }
}

/// A record's header, decoded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct RecordHeader {
    pub(super) payload_len: u32,
    pub(super) seq: u64,
    pub(super) kind: u8,
    pub(super) payload_checksum: u32,
}

impl RecordHeader {
    /// The header's bytes for a record at `offset` of log file `file`.
    pub(super) fn to_bytes(self, file: u64, offset: u64) -> [u8; RECORD_HEADER_BYTES] {
        let mut bytes = [0_u8; RECORD_HEADER_BYTES];
        bytes[..4].copy_from_slice(&RECORD_MARKER);
        bytes[4..8].copy_from_slice(&self.payload_len.to_le_bytes());
        bytes[8..16].copy_from_slice(&self.seq.to_le_bytes());
        bytes[16] = self.kind;
        bytes[20..24].copy_from_slice(&self.payload_checksum.to_le_bytes());
        let sum = header_checksum(&bytes[..24], file, offset);
        bytes[24..].copy_from_slice(&sum.to_le_bytes());
        bytes
    }

    /// The header that stands at the start of `bytes`, at `offset` of log file `file`; `None` where none stands there.
    pub(super) fn parse(bytes: &[u8], file: u64, offset: u64) -> Option<Self> {
        let header = bytes.get(..RECORD_HEADER_BYTES)?;
        if header[..4] != RECORD_MARKER || header[17..20] != [0, 0, 0] {
            return None;
        }
        if header_checksum(&header[..24], file, offset) != u32_at(header, 24) {
            return None;
        }
        Some(Self {
            payload_len: u32_at(header, 4),
            seq: u64::from_le_bytes(header[8..16].try_into().expect("eight bytes were taken")),
            kind: header[16],
            payload_checksum: u32_at(header, 20),
        })
    }
}

/// Covers the place too, so that bytes of another file, or of another place in this one, are not taken for a record.
fn header_checksum(header: &[u8], file: u64, offset: u64) -> u32 {
    Checksum::default().with(&file.to_le_bytes()).with(&offset.to_le_bytes()).with(header).value()
}

fn u32_at(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes(bytes[at..at + 4].try_into().expect("four bytes were taken"))
}

/// The header of log file `file`.
pub(super) fn file_header(file: u64) -> [u8; FILE_HEADER_BYTES] {
    let mut bytes = [0_u8; FILE_HEADER_BYTES];
    bytes[..8].copy_from_slice(&FILE_MAGIC);
    bytes[8..12].copy_from_slice(&FILE_VERSION.to_le_bytes());
    bytes[12..20].copy_from_slice(&file.to_le_bytes());
    let sum = checksum(&bytes[..20]);
    bytes[20..].copy_from_slice(&sum.to_le_bytes());
    bytes
}

/// What a file's header says of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum FileHeader {
    /// Written by this version for this file.
    Sound,
    /// Cut off or damaged; records may follow all the same.
    Damaged,
    /// Written by a later version.
    Newer(u32),
}

/// Checks the header of log file `file`.
pub(super) fn check_file_header(bytes: &[u8], file: u64) -> FileHeader {
    let Some(header) = bytes.get(..FILE_HEADER_BYTES) else { return FileHeader::Damaged };
    if header[..8] != FILE_MAGIC || checksum(&header[..20]) != u32_at(header, 20) {
        return FileHeader::Damaged;
    }
    match u32_at(header, 8) {
        FILE_VERSION if header == file_header(file) => FileHeader::Sound,
        FILE_VERSION => FileHeader::Damaged,
        newer => FileHeader::Newer(newer),
    }
}

/// What stands at a place of a log file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Found<'a> {
    /// A whole record.
    Record { header: RecordHeader, payload: &'a [u8], next: usize },
    /// A header whose payload is cut off or does not fit its checksum.
    DamagedPayload { next: usize },
    /// No record begins here.
    Nothing,
}

/// Looks for a record at `at`.
pub(super) fn find_record(bytes: &[u8], file: u64, at: usize) -> Found<'_> {
    let Some(header) = RecordHeader::parse(&bytes[at..], file, at as u64) else { return Found::Nothing };
    let start = at + RECORD_HEADER_BYTES;
    let payload_len = usize::try_from(header.payload_len).unwrap_or(usize::MAX);
    let Some(payload) = bytes.get(start..start.saturating_add(payload_len)) else {
        // The header is sound, so the file ends early; what stands behind it may still be looked through.
        return Found::DamagedPayload { next: start };
    };
    let next = start + payload_len;
    if checksum(payload) != header.payload_checksum {
        return Found::DamagedPayload { next };
    }
    Found::Record { header, payload, next }
}

/// The next place at or behind `at` where a sound header stands.
pub(super) fn resynchronise(bytes: &[u8], file: u64, at: usize) -> Option<usize> {
    let mut at = at;
    while let Some(rest) = bytes.get(at..) {
        let found = rest.windows(RECORD_MARKER.len()).position(|window| window == RECORD_MARKER)?;
        at += found;
        if RecordHeader::parse(&bytes[at..], file, at as u64).is_some() {
            return Some(at);
        }
        at += 1;
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_header_is_valid_in_its_place_only() {
        let header = RecordHeader { payload_len: 3, seq: 9, kind: 2, payload_checksum: checksum(b"abc") };
        let mut bytes = header.to_bytes(7, 0).to_vec();
        bytes.extend_from_slice(b"abc");
        assert_eq!(find_record(&bytes, 7, 0), Found::Record { header, payload: b"abc", next: 31 });
        assert_eq!(find_record(&bytes, 8, 0), Found::Nothing);
        let mut moved = vec![0];
        moved.extend_from_slice(&bytes);
        assert_eq!(resynchronise(&moved, 7, 0), None);
        bytes[30] ^= 1;
        assert_eq!(find_record(&bytes, 7, 0), Found::DamagedPayload { next: 31 });
        assert_eq!(find_record(&bytes[..30], 7, 0), Found::DamagedPayload { next: 28 });
    }

    #[test]
    fn file_headers_are_checked() {
        let header = file_header(5);
        assert_eq!(check_file_header(&header, 5), FileHeader::Sound);
        assert_eq!(check_file_header(&header, 6), FileHeader::Damaged);
        assert_eq!(check_file_header(&header[..10], 5), FileHeader::Damaged);
        let mut newer = header;
        newer[8] = 3;
        let sum = checksum(&newer[..20]);
        newer[20..].copy_from_slice(&sum.to_le_bytes());
        assert_eq!(check_file_header(&newer, 5), FileHeader::Newer(3));
    }
}
