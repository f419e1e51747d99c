//! Stored bytes.

use perdura::chunk::{
    FRAME_LEN_MAX, decode_histograms, decode_timestamps, decode_values, encode_timestamps, encode_values,
};
use perdura::encoding::{ByteReader, ByteWriter};

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
