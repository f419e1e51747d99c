//! A cursor over bytes that may be damaged, and its writing counterpart.

/// Bytes that break a rule of `storage-format.md`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("corrupt at byte {offset}: {rule}")]
pub struct DecodeError {
    /// Where, counted from the start that the reader was given.
    pub offset: u64,
    /// Which rule.
    pub rule: &'static str,
}

/// Most bytes that a varint of 64 bits takes.
const VARINT_BYTES_MAX: usize = 10;

/// Maps small magnitudes of either sign to small unsigned numbers: 0, -1, 1, -2 become 0, 1, 2, 3.
pub const fn zigzag(value: i64) -> u64 {
    ((value << 1) ^ (value >> 63)) as u64
}

/// The inverse of [`zigzag`].
pub const fn unzigzag(value: u64) -> i64 {
    (value >> 1) as i64 ^ -((value & 1) as i64)
}

/// Reads little-endian numbers and varints from a slice; never reads past its end.
#[derive(Clone, Debug)]
pub struct ByteReader<'a> {
    bytes: &'a [u8],
    at: usize,
    base: u64,
}

impl<'a> ByteReader<'a> {
    /// From the start of `bytes`; errors count from there.
    pub fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, at: 0, base: 0 }
    }

    /// From the start of `bytes`, which stand at `base` in their file; errors count from the file's start.
    pub fn at_base(bytes: &'a [u8], base: u64) -> Self {
        Self { bytes, at: 0, base }
    }

    /// Where the next byte stands, as errors count.
    pub fn offset(&self) -> u64 {
        self.base + self.at as u64
    }

    /// Bytes that are left.
    pub fn remaining(&self) -> usize {
        self.bytes.len() - self.at
    }

    /// Whether nothing is left.
    pub fn is_empty(&self) -> bool {
        self.remaining() == 0
    }

    /// An error at the next byte.
    pub fn error(&self, rule: &'static str) -> DecodeError {
        DecodeError { offset: self.offset(), rule }
    }

    /// Everything that is left, which is thereby read.
    pub fn rest(&mut self) -> &'a [u8] {
        let rest = &self.bytes[self.at..];
        self.at = self.bytes.len();
        rest
    }

    /// The next `len` bytes.
    pub fn take(&mut self, len: usize) -> Result<&'a [u8], DecodeError> {
        let rest = &self.bytes[self.at..];
        if len > rest.len() {
            return Err(self.error("field ends past the end of its part"));
        }
        self.at += len;
        Ok(&rest[..len])
    }

    /// The next `len` bytes, which are thereby read, and behind them whatever else is left.
    pub(super) fn take_with_rest(&mut self, len: usize) -> Result<&'a [u8], DecodeError> {
        let rest = &self.bytes[self.at..];
        self.take(len)?;
        Ok(rest)
    }

    /// The next `N` bytes.
    pub fn array<const N: usize>(&mut self) -> Result<[u8; N], DecodeError> {
        let taken = self.take(N)?;
        Ok(taken.try_into().expect("take returns as many bytes as were asked for"))
    }

    /// One byte.
    pub fn u8(&mut self) -> Result<u8, DecodeError> {
        Ok(self.array::<1>()?[0])
    }

    /// Four bytes.
    pub fn u32(&mut self) -> Result<u32, DecodeError> {
        Ok(u32::from_le_bytes(self.array()?))
    }

    /// Eight bytes.
    pub fn u64(&mut self) -> Result<u64, DecodeError> {
        Ok(u64::from_le_bytes(self.array()?))
    }

    /// Eight bytes, signed.
    pub fn i64(&mut self) -> Result<i64, DecodeError> {
        Ok(i64::from_le_bytes(self.array()?))
    }

    /// The bits of a double.
    pub fn f64(&mut self) -> Result<f64, DecodeError> {
        Ok(f64::from_bits(self.u64()?))
    }

    /// A varint: seven bits a byte, lowest first, high bit set on all but the last.
    pub fn varint(&mut self) -> Result<u64, DecodeError> {
        let mut value = 0_u64;
        for index in 0..VARINT_BYTES_MAX {
            let Some(&byte) = self.bytes.get(self.at + index) else {
                return Err(self.error("varint ends past the end of its part"));
            };
            let bits = u64::from(byte & 0x7f);
            if index == VARINT_BYTES_MAX - 1 && bits > 1 {
                break;
            }
            value |= bits << (7 * index);
            if byte & 0x80 == 0 {
                self.at += index + 1;
                return Ok(value);
            }
        }
        Err(self.error("varint has more than 64 bits"))
    }

    /// A varint that must not be above `max`.
    pub fn varint_max(&mut self, max: u64, rule: &'static str) -> Result<u64, DecodeError> {
        let start = self.clone();
        let value = self.varint()?;
        if value > max { Err(start.error(rule)) } else { Ok(value) }
    }

    /// A varint of at most 32 bits.
    pub fn varint_u32(&mut self) -> Result<u32, DecodeError> {
        let value = self.varint_max(u64::from(u32::MAX), "number has more than 32 bits")?;
        Ok(u32::try_from(value).expect("checked against the largest"))
    }

    /// A count of things that take at least `bytes_min` bytes each, so that a false one cannot ask for more memory
    /// than the bytes that are there.
    pub fn count(&mut self, bytes_min: usize) -> Result<usize, DecodeError> {
        let start = self.clone();
        let count = self.varint()?;
        let room = self.remaining() / bytes_min.max(1);
        match usize::try_from(count) {
            Ok(count) if count <= room => Ok(count),
            _ => Err(start.error("count is larger than what can follow")),
        }
    }

    /// A zigzag varint.
    pub fn signed(&mut self) -> Result<i64, DecodeError> {
        Ok(unzigzag(self.varint()?))
    }

    /// A varint length and so many bytes.
    pub fn sized(&mut self) -> Result<&'a [u8], DecodeError> {
        let len = self.count(1)?;
        self.take(len)
    }

    /// A varint length and so many bytes of UTF-8.
    pub fn text(&mut self) -> Result<&'a str, DecodeError> {
        let start = self.clone();
        std::str::from_utf8(self.sized()?).map_err(|_| start.error("text is not UTF-8"))
    }

    /// Nothing may be left.
    pub fn finish(&self) -> Result<(), DecodeError> {
        if self.is_empty() { Ok(()) } else { Err(self.error("bytes follow where none belong")) }
    }
}

/// Writes what [`ByteReader`] reads.
#[derive(Clone, Debug, Default)]
pub struct ByteWriter {
    bytes: Vec<u8>,
}

impl ByteWriter {
    /// What was written.
    pub fn as_slice(&self) -> &[u8] {
        &self.bytes
    }

    /// What was written, taken out.
    pub fn into_bytes(self) -> Vec<u8> {
        self.bytes
    }

    /// What was written, for appending in place.
    pub(super) fn as_mut_vec(&mut self) -> &mut Vec<u8> {
        &mut self.bytes
    }

    /// How many bytes were written.
    pub fn len(&self) -> usize {
        self.bytes.len()
    }

    /// Whether nothing was written.
    pub fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    /// Makes room for so many bytes more.
    pub fn reserve(&mut self, bytes: usize) {
        self.bytes.reserve(bytes);
    }

    /// Forgets what was written, keeps the memory.
    pub fn clear(&mut self) {
        self.bytes.clear();
    }

    /// Bytes as they are.
    pub fn put(&mut self, bytes: &[u8]) {
        self.bytes.extend_from_slice(bytes);
    }

    /// One byte.
    pub fn put_u8(&mut self, value: u8) {
        self.bytes.push(value);
    }

    /// Four bytes.
    pub fn put_u32(&mut self, value: u32) {
        self.put(&value.to_le_bytes());
    }

    /// Eight bytes.
    pub fn put_u64(&mut self, value: u64) {
        self.put(&value.to_le_bytes());
    }

    /// Eight bytes, signed.
    pub fn put_i64(&mut self, value: i64) {
        self.put(&value.to_le_bytes());
    }

    /// The bits of a double.
    pub fn put_f64(&mut self, value: f64) {
        self.put_u64(value.to_bits());
    }

    /// A varint.
    pub fn put_varint(&mut self, value: u64) {
        let mut left = value;
        while left >= 0x80 {
            self.bytes.push((left & 0x7f) as u8 | 0x80);
            left >>= 7;
        }
        self.bytes.push(left as u8);
    }

    /// A zigzag varint.
    pub fn put_signed(&mut self, value: i64) {
        self.put_varint(zigzag(value));
    }

    /// A varint length and the bytes.
    pub fn put_sized(&mut self, bytes: &[u8]) {
        self.put_varint(bytes.len() as u64);
        self.put(bytes);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn numbers_come_back(value: u64, signed: i64, text: String) {
            let mut writer = ByteWriter::default();
            writer.put_varint(value);
            writer.put_signed(signed);
            writer.put_sized(text.as_bytes());
            writer.put_f64(f64::from_bits(value));
            let mut reader = ByteReader::new(writer.as_slice());
            prop_assert_eq!(reader.varint(), Ok(value));
            prop_assert_eq!(reader.signed(), Ok(signed));
            prop_assert_eq!(reader.text(), Ok(text.as_str()));
            prop_assert_eq!(reader.f64().map(f64::to_bits), Ok(value));
            prop_assert_eq!(reader.finish(), Ok(()));
            prop_assert_eq!(unzigzag(zigzag(signed)), signed);
        }

        #[test]
        fn any_bytes_are_read_without_a_panic(bytes: Vec<u8>) {
            let mut reader = ByteReader::at_base(&bytes, 7);
            while !reader.is_empty() {
                let before = reader.offset();
                if reader.text().is_err() && reader.varint().is_err() && reader.u8().is_err() {
                    break;
                }
                prop_assert!(reader.offset() > before);
            }
        }
    }

    #[test]
    fn errors_carry_the_offset() {
        let mut reader = ByteReader::at_base(&[1, 0xff], 100);
        assert_eq!(reader.u8(), Ok(1));
        let cut = reader.varint().expect_err("the varint is cut off");
        assert_eq!((cut.offset, reader.offset()), (101, 101));
        let long = ByteReader::new(&[0xff; 11]).varint().expect_err("eleven bytes are too many");
        assert_eq!(long.rule, "varint has more than 64 bits");
        let huge = ByteReader::new(&[0xff, 0xff, 0xff, 0x7f, 0]).sized().expect_err("length is past the end");
        assert_eq!(huge, DecodeError { offset: 0, rule: "count is larger than what can follow" });
    }
}
