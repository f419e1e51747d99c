//! A body after decompression, as one batch and a list of what is wrong with it.

use crate::storage::Batch;

use super::problems::Problems;
use super::recall::Recall;
use super::{Protocol, WriteRequestError, v1, v2};

/// What a body holds.
#[derive(Clone, Debug, Default)]
pub struct Decoded {
    /// All that is sound.
    pub batch: Batch,
    /// What is not, in words: the sender learns it with a 400.
    pub problems: Problems,
    /// What is left out without the sender being told, for the log: exemplars that cannot be kept.
    pub notes: Problems,
    /// Samples of both kinds that were left out for their series' labels.
    pub samples_with_invalid_labels: u64,
    /// Exemplars that were left out for their own labels.
    pub exemplars_dropped: u64,
}

/// Decodes a body of either protocol. An error means that nothing of it can be used.
pub fn decode(protocol: Protocol, plain: &[u8]) -> Result<Decoded, WriteRequestError> {
    match protocol {
        Protocol::V1 => decode_v1(plain),
        Protocol::V2 => decode_v2(plain),
    }
}

/// The same; series that the store knows come without their labels.
pub(super) fn decode_with(
    protocol: Protocol,
    plain: &[u8],
    recall: &Recall<'_>,
) -> Result<Decoded, WriteRequestError> {
    match protocol {
        Protocol::V1 => v1::decode(plain, Some(recall)),
        Protocol::V2 => v2::decode(plain, Some(recall)),
    }
}

/// Decodes a `prometheus.WriteRequest`.
pub fn decode_v1(plain: &[u8]) -> Result<Decoded, WriteRequestError> {
    v1::decode(plain, None)
}

/// Decodes an `io.prometheus.write.v2.Request`, of any generation of its start timestamps.
pub fn decode_v2(plain: &[u8]) -> Result<Decoded, WriteRequestError> {
    v2::decode(plain, None)
}
