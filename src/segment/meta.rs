//! What a segment says of itself.

use std::io;

use crate::encoding::DecodeError;
use crate::model::{TenantId, TimeSpan};

/// What the writer is told about the segment as a whole.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SegmentHeader {
    /// Whose samples they are.
    pub tenant: TenantId,
    /// The window of the compaction scheme that the segment belongs to, both ends included.
    pub window: TimeSpan,
    /// Distance of samples that downsampling made, in milliseconds; 0 for raw samples.
    pub resolution_ms: i64,
    /// Retention class, 0 to 7.
    pub retention_class: u8,
    /// Lowest sequence number of the batches inside.
    pub seq_min: u64,
    /// Highest sequence number of the batches inside.
    pub seq_max: u64,
}

/// What a segment says of itself in its footer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SegmentMeta {
    /// Whose samples they are.
    pub tenant: TenantId,
    /// First to last sample; empty where there is none.
    pub span: TimeSpan,
    /// As the writer was told.
    pub window: TimeSpan,
    /// As the writer was told.
    pub resolution_ms: i64,
    /// As the writer was told.
    pub retention_class: u8,
    /// As the writer was told.
    pub seq_min: u64,
    /// As the writer was told.
    pub seq_max: u64,
    /// How many series.
    pub series: u64,
    /// How many samples of all series.
    pub samples: u64,
}

/// Why a segment cannot be written or read.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SegmentError {
    /// The bytes break a rule of `storage-format.md`.
    #[error("{name}: corrupt at byte {offset}: {rule}")]
    Corrupt {
        /// The file.
        name: String,
        /// The byte, from the file's start.
        offset: u64,
        /// The rule.
        rule: &'static str,
    },
    /// Another version wrote it.
    #[error("{name}: segment format {version} is not read by this program, which reads format 1")]
    Version {
        /// The file.
        name: String,
        /// Its version.
        version: u32,
    },
    /// The source cannot provide its bytes.
    #[error("cannot read {name}: {reason}")]
    Read {
        /// The file.
        name: String,
        /// What the source says.
        reason: String,
    },
    /// The output refused the bytes.
    #[error("cannot write segment: {0}")]
    Write(#[from] io::Error),
    /// A series was added twice, or two series have one fingerprint.
    #[error("series {0} was added to the segment twice")]
    DuplicateSeries(String),
    /// Series came in another order than that of their keys.
    #[error("series {0} was added to the segment after one that follows it")]
    OutOfOrder(String),
    /// More series, symbols or bytes of index than the format can number.
    #[error("segment has too many {0}")]
    TooLarge(&'static str),
}

impl SegmentError {
    /// Damage in the file `name`; the error's offset counts from the file's start.
    pub(super) fn corrupt(name: &str, error: DecodeError) -> Self {
        Self::Corrupt { name: name.to_owned(), offset: error.offset, rule: error.rule }
    }
}
