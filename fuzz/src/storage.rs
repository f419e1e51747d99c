//! Stored bytes.

use perdura::chunk::{
    FRAME_LEN_MAX, decode_histograms, decode_timestamps, decode_values, encode_timestamps, encode_values,
};
use perdura::encoding::{ByteReader, ByteWriter, Checksum, checksum};
use perdura::remote::{read_position, write_position};
use perdura::storage::Batch;
use perdura::wal::{LogReader, read_log_file};

/// Frames and columns. The first two bytes are the count, which is kept elsewhere on disk.
pub(super) fn chunk_decode(data: &[u8]) {
    let [low, high, rest @ ..] = data else { return };
    let count = usize::from(u16::from_le_bytes([*low, *high])) % FRAME_LEN_MAX + 1;
    let mut values = vec![0.0; count];
    if decode_values(&mut ByteReader::new(rest), &mut values).is_ok() {
        // The encoder itself asserts that its bytes decode to the same bits.
        encode_values(&values, &mut ByteWriter::default());
    }
    let mut times = vec![0; count];
    if decode_timestamps(&mut ByteReader::new(rest), &mut times).is_ok() && times.is_sorted_by(|a, b| a < b) {
        encode_timestamps(&times, &mut ByteWriter::default());
    }
    if let Ok(histograms) = decode_histograms(&mut ByteReader::new(rest), count) {
        assert_eq!(histograms.len(), count);
    }
}

/// A receiver's position, and a log file as it is, and once more with every checksum made right, so that what stands behind them is reached.
pub(super) fn wal_replay(data: &[u8]) {
    if let Ok(seq) = read_position(data) {
        assert_eq!(write_position(seq), data);
    }
    replay(data);
    let mut sealed = data.to_vec();
    seal_log(&mut sealed);
    replay(&sealed);
}

const LOG_FILE: u64 = 1;
const LOG_HEADER_BYTES: usize = 24;
const RECORD_HEADER_BYTES: usize = 28;
const RECORD_MARKER: [u8; 4] = [0xd7, 0x50, 0xdb, 0x4c];

fn replay(bytes: &[u8]) {
    read_as_it_grows(bytes);
    let mut seen = 0_u64;
    let report = read_log_file(bytes, LOG_FILE, 0, |logged| {
        seen += 1;
        check_ranges(&logged.batch);
    });
    if let Ok(report) = report {
        assert!(seen <= report.records, "a batch without a record");
        let places = report.damaged.iter().map(|(at, _)| *at).chain(report.torn_at);
        places.for_each(|at| assert!(at <= bytes.len() as u64, "damage behind the end of the file"));
    }
}

/// A file that is read while it is written: half of it, then all.
fn read_as_it_grows(bytes: &[u8]) {
    let mut reader = LogReader::new(LOG_FILE);
    for end in [bytes.len() / 2, bytes.len()] {
        while let Ok(Some(logged)) = reader.next(&bytes[..end], 0) {
            check_ranges(&logged.batch);
        }
        assert!(reader.offset() <= end as u64, "read behind the end");
    }
}

fn check_ranges(batch: &Batch) {
    for series in &batch.series {
        assert!(series.labels.end <= batch.label_bytes.len());
        assert!(series.floats.end <= batch.floats.len());
        assert!(series.histograms.end <= batch.histograms.len());
        assert!(series.exemplars.end <= batch.exemplars.len());
    }
}

/// Writes the checksums that `storage-format.md`, "Log", asks for over whatever stands there.
fn seal_log(bytes: &mut [u8]) {
    if bytes.len() >= LOG_HEADER_BYTES {
        let sum = checksum(&bytes[..20]);
        bytes[20..24].copy_from_slice(&sum.to_le_bytes());
    }
    let mut at = LOG_HEADER_BYTES;
    while at + RECORD_HEADER_BYTES <= bytes.len() {
        if bytes[at..at + 4] != RECORD_MARKER {
            at += 1;
            continue;
        }
        let start = at + RECORD_HEADER_BYTES;
        let len = u32::from_le_bytes([bytes[at + 4], bytes[at + 5], bytes[at + 6], bytes[at + 7]]);
        let end = start.saturating_add(usize::try_from(len).unwrap_or(usize::MAX));
        if let Some(payload) = bytes.get(start..end) {
            let sum = checksum(payload);
            bytes[at + 20..at + 24].copy_from_slice(&sum.to_le_bytes());
        }
        let place = (at as u64).to_le_bytes();
        let sum =
            Checksum::default().with(&LOG_FILE.to_le_bytes()).with(&place).with(&bytes[at..at + 24]).value();
        bytes[at + 24..start].copy_from_slice(&sum.to_le_bytes());
        at = if end <= bytes.len() { end } else { start };
    }
}
