//! Remote write.

use perdura::ingest::remote_write::{Decoded, decode_v1, decode_v2};
use perdura::ingest::snappy::{DECOMPRESSED_BYTES_MAX, compress, decompress};
use prost::Message;

use super::oracle::{RequestV2, SampleOfEither, WriteRequest};

/// Protocol 1.0 after decompression, beside prost.
pub(super) fn remote_write_v1(data: &[u8]) {
    let oracle = WriteRequest::decode(data).ok().map(|request| request.samples());
    if let Ok(decoded) = decode_v1(data) {
        check(&decoded, oracle.as_deref());
    }
}

/// Protocol 2.0 after decompression, beside prost.
pub(super) fn remote_write_v2(data: &[u8]) {
    let oracle = RequestV2::decode(data).ok().map(|request| request.samples());
    if let Ok(decoded) = decode_v2(data) {
        check(&decoded, oracle.as_deref());
    }
}

/// Every float is one that prost sees too, in the same order; what was left out is accounted for.
fn check(decoded: &Decoded, oracle: Option<&[SampleOfEither]>) {
    let batch = &decoded.batch;
    for series in &batch.series {
        assert!(series.labels.end <= batch.label_bytes.len());
        assert!(series.floats.end <= batch.floats.len());
        assert!(series.histograms.end <= batch.histograms.len());
        assert!(series.exemplars.end <= batch.exemplars.len());
    }
    let Some(oracle) = oracle else { return };
    let mut expected = oracle.iter();
    for float in &batch.floats {
        let wanted = (float.timestamp, float.value.to_bits());
        assert!(expected.any(|sample| *sample == wanted), "{float:?} is not in the message");
    }
    let is_complete = decoded.problems.is_empty() && decoded.notes.is_empty();
    assert!(!is_complete || batch.floats.len() == oracle.len(), "floats are missing without a word");
}

/// Snappy's block format; what comes out goes in again.
pub(super) fn snappy_decompress(data: &[u8]) {
    let mut plain = Vec::new();
    if decompress(data, DECOMPRESSED_BYTES_MAX, &mut plain).is_ok() {
        let body = compress(&plain).expect("what fits the limit compresses");
        let mut again = Vec::new();
        assert_eq!(decompress(&body, DECOMPRESSED_BYTES_MAX, &mut again), Ok(()));
        assert_eq!(again, plain);
    }
}
