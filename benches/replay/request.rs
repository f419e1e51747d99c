//! Writes requests from series whose labels are encoded already: a load is repeated, its labels are not.

use prost::Message;
use prost::encoding::encode_varint;

use super::wire;

/// Appends one series with one sample to a `prometheus.WriteRequest`.
pub(crate) fn push_series(request: &mut Vec<u8>, labels: &[u8], timestamp: i64, value: f64) {
    let sample = wire::Sample { value, timestamp, start_timestamp: 0 };
    let sample_len = sample.encoded_len();
    request.push(0x0a);
    encode_varint((labels.len() + 2 + sample_len) as u64, request);
    request.extend_from_slice(labels);
    request.push(0x12);
    encode_varint(sample_len as u64, request);
    sample.encode(request).expect("a vector has room");
}
