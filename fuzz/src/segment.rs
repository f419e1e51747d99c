//! Segment files.

use std::sync::Arc;

use perdura::encoding::Checksum;
use perdura::model::{MatchOp, Matcher, TimeSpan};
use perdura::segment::{BytesSource, SegmentError, SegmentReader};
use perdura::storage::Columns;

const PAGE_BYTES: usize = 16 * 1024;
const SUM_BYTES: usize = 4;
const TAIL_BYTES: usize = 16;
/// Identity, length of the body, checksum of the checksum table.
const FOOTER_BYTES_MIN: usize = 28;

/// A segment as it is, and once more with every checksum made right, so that what stands behind them is reached.
pub(super) fn segment_read(data: &[u8]) {
    // Damage is an answer.
    let _ = read_all(data.to_vec());
    let mut sealed = data.to_vec();
    if seal(&mut sealed).is_some() {
        let _ = read_all(sealed);
    }
}

/// Everything that can be asked of a segment.
fn read_all(bytes: Vec<u8>) -> Result<(), SegmentError> {
    let reader = SegmentReader::open(Arc::new(BytesSource::new("fuzz.seg", bytes)))?;
    for matchers in matcher_sets() {
        let rows = reader.select(&matchers)?;
        assert!(rows.is_sorted_by(|a, b| a < b), "rows rise");
        for row in rows.into_iter().take(50) {
            // One damaged row leaves the others readable.
            let _ = read_row(&reader, row);
        }
    }
    let mut symbol = 0;
    while symbol < reader.symbol_count().min(100) && reader.symbol(symbol).is_ok() {
        symbol += 1;
    }
    let _ = reader.label_names(None);
    for row in reader.exemplar_rows().unwrap_or_default().into_iter().take(50) {
        let _ = reader.exemplars(row, TimeSpan::ALL);
    }
    let _ = reader.metadata();
    Ok(())
}

fn read_row(reader: &SegmentReader, row: u32) -> Result<(), SegmentError> {
    reader.fingerprint(row)?;
    reader.labels(row)?;
    reader.label_symbols(row, &mut Vec::new())?;
    reader.pieces(row, TimeSpan::ALL)?;
    if reader.sample_count(row, TimeSpan::ALL)? <= 10_000 {
        let mut columns = Columns::default();
        columns.begin_row();
        reader.read(row, TimeSpan::ALL, &mut columns)?;
    }
    Ok(())
}

fn matcher_sets() -> Vec<Vec<Matcher>> {
    let matcher = |name, op, value| Matcher::new(name, op, value).expect("these matchers are sound");
    vec![
        Vec::new(),
        vec![matcher("__name__", MatchOp::Equal, "up")],
        vec![matcher("__name__", MatchOp::Regex, "h.*|up"), matcher("job", MatchOp::NotEqual, "a")],
        vec![matcher("job", MatchOp::NotRegex, ".+")],
    ]
}

/// Writes the checksums that `storage-format.md`, "Segment file", asks for over whatever stands there.
fn seal(bytes: &mut [u8]) -> Option<()> {
    let tail = bytes.len().checked_sub(TAIL_BYTES)?;
    let footer_len = u32::from_le_bytes(bytes[tail + 4..tail + 8].try_into().ok()?);
    let footer = tail.checked_sub(usize::try_from(footer_len).ok()?)?;
    if tail - footer < FOOTER_BYTES_MIN {
        return None;
    }
    let table_bytes = footer.div_ceil(PAGE_BYTES + SUM_BYTES) * SUM_BYTES;
    let body = footer.checked_sub(table_bytes)?;
    let id: [u8; 16] = bytes[footer..footer + 16].try_into().ok()?;
    for (page, start) in (0..body).step_by(PAGE_BYTES).enumerate() {
        let end = body.min(start + PAGE_BYTES);
        let place = (start as u64).to_le_bytes();
        let sum = Checksum::default().with(&id).with(&place).with(&bytes[start..end]).value();
        let at = body + page * SUM_BYTES;
        bytes[at..at + SUM_BYTES].copy_from_slice(&sum.to_le_bytes());
    }
    let table_sum = Checksum::default().with(&id).with(&bytes[body..footer]).value();
    bytes[footer + 16..footer + 24].copy_from_slice(&(body as u64).to_le_bytes());
    bytes[footer + 24..footer + 28].copy_from_slice(&table_sum.to_le_bytes());
    // Length and version stand between the footer and its checksum's place.
    let sum = Checksum::default().with(&bytes[footer..tail]).with(&bytes[tail + 4..tail + 12]).value();
    bytes[tail..tail + 4].copy_from_slice(&sum.to_le_bytes());
    Some(())
}
