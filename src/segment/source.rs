//! Where a segment's bytes come from.

use std::ops::Range;

use super::SegmentError;

/// The bytes of one segment: a mapped file, or a sparse local copy of an object.
pub trait Source: Send + Sync {
    /// Makes these bytes readable: free for a local file, ranged reads for an object.
    fn ensure(&self, ranges: &[Range<u64>]) -> Result<(), SegmentError>;

    /// The whole file. Only ranges that [`Self::ensure`] answered `Ok` for hold what was written.
    fn bytes(&self) -> &[u8];

    /// What errors call the file: its path, or the object's key.
    fn name(&self) -> &str;
}

/// A segment in memory.
#[derive(Clone, Debug)]
pub struct BytesSource {
    name: String,
    bytes: Vec<u8>,
}

impl BytesSource {
    /// Over these bytes.
    pub fn new(name: impl Into<String>, bytes: Vec<u8>) -> Self {
        Self { name: name.into(), bytes }
    }
}

impl Source for BytesSource {
    fn ensure(&self, _ranges: &[Range<u64>]) -> Result<(), SegmentError> {
        Ok(())
    }

    fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    fn name(&self) -> &str {
        &self.name
    }
}
