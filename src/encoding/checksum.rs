//! CRC32C, the one checksum of all files.

/// CRC32C (Castagnoli) of `bytes`.
pub fn checksum(bytes: &[u8]) -> u32 {
    crc32c::crc32c(bytes)
}

/// CRC32C taken over several pieces in order, as if they stood together.
#[derive(Clone, Copy, Debug, Default)]
pub struct Checksum(u32);

impl Checksum {
    /// Adds the next piece.
    #[must_use]
    pub fn with(self, bytes: &[u8]) -> Self {
        Self(crc32c::crc32c_append(self.0, bytes))
    }

    /// The sum over all pieces so far.
    pub fn value(self) -> u32 {
        self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pieces_sum_up_to_the_whole() {
        // The check value that RFC 3720 and every CRC catalogue give for this polynomial.
        assert_eq!(checksum(b"123456789"), 0xe306_9283);
        assert_eq!(Checksum::default().with(b"1234").with(b"56789").value(), checksum(b"123456789"));
    }
}
