//! Snappy's block format, with every length checked before it is believed.

/// Longest body before compression that is accepted, in bytes; upstream's bound.
pub const DECOMPRESSED_BYTES_MAX: usize = 32 << 20;

/// Most bytes that one byte of a block can stand for: a copy of 64 bytes takes three.
const EXPANSION_MAX: usize = 22;

/// Why a body is not one block of snappy, or too large a one.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SnappyError {
    /// More bytes than any acceptable body compresses to.
    #[error("snappy: compressed body of {len} bytes exceeds limit {limit}")]
    BodyTooLong {
        /// Bytes that came.
        len: usize,
        /// Bytes that are accepted.
        limit: usize,
    },
    /// The header declares more than is accepted.
    #[error("snappy: declared decompressed length {declared} exceeds limit {limit}")]
    DeclaredTooLong {
        /// What the header says.
        declared: u64,
        /// What is accepted.
        limit: usize,
    },
    /// The header declares more than the body can hold.
    #[error("snappy: declared decompressed length {declared} cannot come from a body of {len} bytes")]
    DeclaredImpossible {
        /// What the header says.
        declared: u64,
        /// Bytes that came.
        len: usize,
    },
    /// The bytes break a rule of the format.
    #[error("snappy: {0}")]
    Corrupt(String),
}

/// How many bytes [`decompress`] would allocate for a block; reads its first bytes only.
pub fn decompressed_len(body: &[u8], limit: usize) -> Result<usize, SnappyError> {
    let body_limit = snap::raw::max_compress_len(limit);
    if body.len() > body_limit {
        return Err(SnappyError::BodyTooLong { len: body.len(), limit: body_limit });
    }
    let declared = declared_len(body)?;
    let len = match usize::try_from(declared) {
        Ok(len) if len <= limit => len,
        _ => return Err(SnappyError::DeclaredTooLong { declared, limit }),
    };
    if len > body.len().saturating_mul(EXPANSION_MAX) {
        return Err(SnappyError::DeclaredImpossible { declared, len: body.len() });
    }
    Ok(len)
}

/// Decompresses one block into `out`, in place of what is there. Allocates at most `limit` bytes, and never more than
/// 22 times the body; after an error the bytes mean nothing.
pub fn decompress(body: &[u8], limit: usize, out: &mut Vec<u8>) -> Result<(), SnappyError> {
    let len = decompressed_len(body, limit)?;
    // Not emptied: what is there need not be zeroed before it is overwritten.
    out.resize(len, 0);
    let written = snap::raw::Decoder::new().decompress(body, out).map_err(corrupt)?;
    assert!(written == len, "the decoder checks the length that the header declares");
    Ok(())
}

/// Compresses `plain` into one block.
pub fn compress(plain: &[u8]) -> Result<Vec<u8>, SnappyError> {
    snap::raw::Encoder::new().compress_vec(plain).map_err(corrupt)
}

/// The length in front of a block: a varint, read as 64 bits so that an error can name what was declared.
fn declared_len(body: &[u8]) -> Result<u64, SnappyError> {
    let mut declared = 0u64;
    for (index, &byte) in body.iter().take(9).enumerate() {
        declared |= u64::from(byte & 0x7f) << (7 * index);
        if byte < 0x80 {
            return Ok(declared);
        }
    }
    let problem = if body.is_empty() { "body is empty" } else { "length in front is cut off" };
    Err(SnappyError::Corrupt(problem.to_owned()))
}

fn corrupt(error: snap::Error) -> SnappyError {
    let text = error.to_string();
    SnappyError::Corrupt(text.strip_prefix("snappy: ").unwrap_or(&text).to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blocks_round_trip() {
        let plain = vec![7u8; 100_000];
        let body = compress(&plain).expect("a short text compresses");
        let mut out = vec![1, 2, 3];
        assert_eq!(decompress(&body, DECOMPRESSED_BYTES_MAX, &mut out), Ok(()));
        assert_eq!(out, plain);
        // The strongest compression there is stays within the expansion that is believed.
        assert!(plain.len() / body.len() >= EXPANSION_MAX - 3);
    }

    #[test]
    fn lengths_are_checked_before_allocation() {
        let mut out = Vec::new();
        // 2,500,000,000 as a varint, and 42 bytes behind it.
        let mut bomb = vec![0x80, 0xf2, 0x8b, 0xa8, 0x09];
        bomb.resize(47, 0);
        let error = decompress(&bomb, DECOMPRESSED_BYTES_MAX, &mut out).expect_err("too long");
        assert_eq!(
            error.to_string(),
            "snappy: declared decompressed length 2500000000 exceeds limit 33554432"
        );
        let mut sly = vec![0x80, 0x80, 0x80, 0x08];
        sly.resize(47, 0);
        let error = decompress(&sly, DECOMPRESSED_BYTES_MAX, &mut out).expect_err("cannot be");
        assert_eq!(
            error.to_string(),
            "snappy: declared decompressed length 16777216 cannot come from a body of 47 bytes"
        );
        assert_eq!(out.capacity(), 0);
        let long = vec![0; 200];
        assert!(matches!(decompress(&long, 100, &mut out), Err(SnappyError::BodyTooLong { len: 200, .. })));
    }

    #[test]
    fn broken_blocks_are_refused() {
        let body = compress(b"hello hello hello hello hello hello").expect("compresses");
        let mut out = Vec::new();
        for len in 0..body.len() {
            assert!(decompress(&body[..len], 1 << 20, &mut out).is_err(), "cut at {len}");
        }
        assert_eq!(decompress(&[], 100, &mut out), Err(SnappyError::Corrupt("body is empty".into())));
        assert!(decompress(&[0xff; 30], 100, &mut out).is_err());
        assert!(decompress(b"plain text is not snappy", 1 << 20, &mut out).is_err());
    }
}
