//! A protobuf reader that copies nothing: texts and messages are slices of the body.
//!
//! It reads what any protobuf writer may write (fields in any order, packed or not, unknown fields in between) and
//! takes numbers that are too wide the way the specification says: cut off. Each error names the byte of the whole
//! body, and the field. Nothing is allocated here but by the lists that a caller hands in, each of whose numbers
//! takes at least one byte of the body.

/// Most groups inside each other that are skipped; nobody nests this deep, and a hostile body could go on for ever.
const GROUP_DEPTH_MAX: usize = 32;

/// Why bytes are no protobuf message of the expected shape.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{field}: {problem} at byte {offset}")]
pub struct ProtobufError {
    /// Byte of the body at which the trouble begins.
    pub offset: usize,
    /// Field being read, or the message where the trouble is between fields.
    pub field: &'static str,
    /// What is wrong.
    pub problem: ProtobufProblem,
}

/// What can be wrong with protobuf bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ProtobufProblem {
    /// The message ends inside a value.
    #[error("value is cut off")]
    Truncated,
    /// A length that reaches beyond the message around it.
    #[error("length {0} reaches beyond the message")]
    Length(u64),
    /// A number of more than ten bytes.
    #[error("varint is longer than 64 bits")]
    VarintTooLong,
    /// Field number 0, or one above 29 bits.
    #[error("field number {0} does not exist")]
    FieldNumber(u64),
    /// A wire type that protobuf does not have.
    #[error("wire type {0} does not exist")]
    UnknownWireType(u8),
    /// A known field in a wire type that its type cannot have.
    #[error("wire type {0} does not fit the field")]
    WrongWireType(u8),
    /// A group that ends without having begun, or never ends, or nests too deep.
    #[error("group does not begin and end in pairs")]
    Group,
    /// A text that is not UTF-8.
    #[error("text is not UTF-8")]
    Utf8,
}

/// How a value is stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WireType {
    /// A varint.
    Varint,
    /// Eight bytes.
    Fixed64,
    /// A length and so many bytes.
    Bytes,
    /// A group begins.
    GroupStart,
    /// A group ends.
    GroupEnd,
    /// Four bytes.
    Fixed32,
}

impl WireType {
    const fn number(self) -> u8 {
        match self {
            Self::Varint => 0,
            Self::Fixed64 => 1,
            Self::Bytes => 2,
            Self::GroupStart => 3,
            Self::GroupEnd => 4,
            Self::Fixed32 => 5,
        }
    }
}

/// Field number and wire type in front of a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tag {
    /// Field number.
    pub field: u32,
    /// How the value is stored.
    pub wire: WireType,
}

/// Reads one message. The caller asks for a [`Tag`], then reads or skips its value.
#[derive(Clone, Debug)]
pub struct Reader<'a> {
    body: &'a [u8],
    at: usize,
    end: usize,
    message: &'static str,
}

impl<'a> Reader<'a> {
    /// Of a body that is one message; `message` is its name, for errors.
    pub fn new(body: &'a [u8], message: &'static str) -> Self {
        Self { body, at: 0, end: body.len(), message }
    }

    /// Byte of the body that is read next.
    pub fn offset(&self) -> usize {
        self.at
    }

    /// Goes on at a byte of this message that was read before, or at its end.
    ///
    /// # Panics
    /// Where the byte is behind the end or before what was read.
    pub fn skip_to(&mut self, offset: usize) {
        assert!((self.at..=self.end).contains(&offset), "the place lies ahead in this message");
        self.at = offset;
    }

    /// Steps over the fields `field` (below 16, with a length) that come next, however many they are, and returns their
    /// bytes with tags and lengths. Stops before the first one that is cut off.
    ///
    /// # Panics
    /// Where `field` is 16 or above.
    #[inline]
    pub fn leading(&mut self, field: u32) -> &'a [u8] {
        let key = u8::try_from(field << 3).expect("fields below 16 have keys of one byte");
        assert!(key < 0x80, "fields below 16 have keys of one byte");
        let key = key | WireType::Bytes.number();
        let start = self.at;
        let message = &self.body[..self.end];
        while let Some(&[first, len]) = message.get(self.at..).and_then(|rest| rest.first_chunk()) {
            let next = self.at + 2 + usize::from(len);
            if first == key && len < 0x80 && next <= message.len() {
                self.at = next;
            } else if first != key || !self.step_over() {
                break;
            }
        }
        &self.body[start..self.at]
    }

    /// Steps over a field with a length, its key a single byte; `false` where it is cut off.
    fn step_over(&mut self) -> bool {
        let before = self.at;
        self.at += 1;
        let len = self.raw_varint(self.message).ok().and_then(|len| usize::try_from(len).ok());
        match len.filter(|len| *len <= self.end - self.at) {
            Some(len) => self.at += len,
            None => self.at = before,
        }
        self.at > before
    }

    /// Bytes of this message that are left.
    pub fn remaining(&self) -> usize {
        self.end - self.at
    }

    /// The next field, or `None` at the end of the message.
    #[inline]
    pub fn next_tag(&mut self) -> Result<Option<Tag>, ProtobufError> {
        if self.at == self.end {
            return Ok(None);
        }
        let at = self.at;
        let key = self.raw_varint(self.message)?;
        let wire = match key & 7 {
            0 => WireType::Varint,
            1 => WireType::Fixed64,
            2 => WireType::Bytes,
            3 => WireType::GroupStart,
            4 => WireType::GroupEnd,
            5 => WireType::Fixed32,
            other => {
                return Err(self.error_at(at, self.message, ProtobufProblem::UnknownWireType(other as u8)));
            }
        };
        match u32::try_from(key >> 3) {
            Ok(field @ 1..=0x1fff_ffff) => Ok(Some(Tag { field, wire })),
            _ => Err(self.error_at(at, self.message, ProtobufProblem::FieldNumber(key >> 3))),
        }
    }

    /// A number: `uint64`, or `int64` and enums by their bits.
    #[inline]
    pub fn varint(&mut self, tag: Tag, field: &'static str) -> Result<u64, ProtobufError> {
        self.expect(tag, WireType::Varint, field)?;
        self.raw_varint(field)
    }

    /// An `int64`.
    #[inline]
    pub fn int64(&mut self, tag: Tag, field: &'static str) -> Result<i64, ProtobufError> {
        Ok(self.varint(tag, field)?.cast_signed())
    }

    /// A `uint32`; a wider number is cut off.
    #[inline]
    pub fn uint32(&mut self, tag: Tag, field: &'static str) -> Result<u32, ProtobufError> {
        Ok(low_32(self.varint(tag, field)?))
    }

    /// A `sint32`; a wider number is cut off before it is unfolded.
    pub fn sint32(&mut self, tag: Tag, field: &'static str) -> Result<i32, ProtobufError> {
        let folded = low_32(self.varint(tag, field)?);
        Ok((folded >> 1).cast_signed() ^ -(folded & 1).cast_signed())
    }

    /// A `double`.
    #[inline]
    pub fn double(&mut self, tag: Tag, field: &'static str) -> Result<f64, ProtobufError> {
        self.expect(tag, WireType::Fixed64, field)?;
        self.raw_double(field)
    }

    /// `bytes`, or a `string` that the caller checks.
    #[inline]
    pub fn bytes(&mut self, tag: Tag, field: &'static str) -> Result<&'a [u8], ProtobufError> {
        let (start, end) = self.delimited(tag, field)?;
        Ok(&self.body[start..end])
    }

    /// A `string`, checked.
    pub fn text(&mut self, tag: Tag, field: &'static str) -> Result<&'a str, ProtobufError> {
        let (start, end) = self.delimited(tag, field)?;
        std::str::from_utf8(&self.body[start..end])
            .map_err(|error| self.error_at(start + error.valid_up_to(), field, ProtobufProblem::Utf8))
    }

    /// A message inside this one; `field` names both the field and the message in errors.
    #[inline]
    pub fn message(&mut self, tag: Tag, field: &'static str) -> Result<Reader<'a>, ProtobufError> {
        let (at, end) = self.delimited(tag, field)?;
        Ok(Reader { body: self.body, at, end, message: field })
    }

    /// Adds the numbers of one occurrence of a repeated varint field: one, or a packed run.
    pub fn repeated_varint(
        &mut self,
        tag: Tag,
        field: &'static str,
        mut push: impl FnMut(u64),
    ) -> Result<(), ProtobufError> {
        if tag.wire != WireType::Bytes {
            push(self.varint(tag, field)?);
            return Ok(());
        }
        let mut run = self.message(tag, field)?;
        while run.at < run.end {
            push(run.raw_varint(field)?);
        }
        Ok(())
    }

    /// Adds the numbers of one occurrence of a repeated `sint64` field.
    pub fn repeated_sint64(
        &mut self,
        tag: Tag,
        field: &'static str,
        out: &mut Vec<i64>,
    ) -> Result<(), ProtobufError> {
        self.repeated_varint(tag, field, |folded| {
            out.push((folded >> 1).cast_signed() ^ -(folded & 1).cast_signed());
        })
    }

    /// Adds the numbers of one occurrence of a repeated `double` field.
    pub fn repeated_double(
        &mut self,
        tag: Tag,
        field: &'static str,
        out: &mut Vec<f64>,
    ) -> Result<(), ProtobufError> {
        if tag.wire != WireType::Bytes {
            out.push(self.double(tag, field)?);
            return Ok(());
        }
        let mut run = self.message(tag, field)?;
        while run.at < run.end {
            out.push(run.raw_double(field)?);
        }
        Ok(())
    }

    /// Steps over a value that nobody wants.
    pub fn skip(&mut self, tag: Tag) -> Result<(), ProtobufError> {
        let mut open = Vec::new();
        let mut tag = tag;
        loop {
            match tag.wire {
                WireType::Varint => drop(self.raw_varint(self.message)?),
                WireType::Fixed64 => drop(self.take(8, self.message)?),
                WireType::Fixed32 => drop(self.take(4, self.message)?),
                WireType::Bytes => drop(self.delimited(tag, self.message)?),
                WireType::GroupStart if open.len() < GROUP_DEPTH_MAX => open.push(tag.field),
                WireType::GroupEnd if open.last() == Some(&tag.field) => drop(open.pop()),
                WireType::GroupStart | WireType::GroupEnd => {
                    return Err(self.error_at(self.at, self.message, ProtobufProblem::Group));
                }
            }
            if open.is_empty() {
                return Ok(());
            }
            tag = self
                .next_tag()?
                .ok_or_else(|| self.error_at(self.at, self.message, ProtobufProblem::Group))?;
        }
    }

    #[inline]
    fn expect(&self, tag: Tag, wire: WireType, field: &'static str) -> Result<(), ProtobufError> {
        if tag.wire == wire {
            return Ok(());
        }
        Err(self.error_at(self.at, field, ProtobufProblem::WrongWireType(tag.wire.number())))
    }

    #[inline]
    fn delimited(&mut self, tag: Tag, field: &'static str) -> Result<(usize, usize), ProtobufError> {
        self.expect(tag, WireType::Bytes, field)?;
        let at = self.at;
        let len = self.raw_varint(field)?;
        match usize::try_from(len) {
            Ok(bytes) if bytes <= self.end - self.at => {
                let start = self.at;
                self.at += bytes;
                Ok((start, self.at))
            }
            _ => Err(self.error_at(at, field, ProtobufProblem::Length(len))),
        }
    }

    #[inline]
    fn take(&mut self, len: usize, field: &'static str) -> Result<&'a [u8], ProtobufError> {
        if len > self.end - self.at {
            return Err(self.error_at(self.at, field, ProtobufProblem::Truncated));
        }
        let start = self.at;
        self.at += len;
        Ok(&self.body[start..self.at])
    }

    #[inline]
    fn raw_double(&mut self, field: &'static str) -> Result<f64, ProtobufError> {
        let bytes = self.take(8, field)?;
        Ok(f64::from_le_bytes(bytes.try_into().expect("eight bytes were taken")))
    }

    #[inline]
    fn raw_varint(&mut self, field: &'static str) -> Result<u64, ProtobufError> {
        // Tags and most lengths are one byte.
        match self.body[self.at..self.end].first() {
            Some(&byte) if byte < 0x80 => {
                self.at += 1;
                Ok(u64::from(byte))
            }
            _ => self.raw_varint_long(field),
        }
    }

    fn raw_varint_long(&mut self, field: &'static str) -> Result<u64, ProtobufError> {
        // Times take six bytes. The word may reach behind this message, the number may not.
        if let Some(word) = self.body.get(self.at..).and_then(|rest| rest.first_chunk::<8>()) {
            let word = u64::from_le_bytes(*word);
            let bytes = varint_bytes(word);
            if bytes <= self.end - self.at && bytes <= 8 {
                self.at += bytes;
                return Ok(varint_of(word, bytes));
            }
        }
        let mut value = 0u64;
        for (index, &byte) in self.body[self.at..self.end].iter().take(10).enumerate() {
            // The tenth byte holds one bit.
            if index == 9 && byte > 1 {
                break;
            }
            value |= u64::from(byte & 0x7f) << (7 * index);
            if byte < 0x80 {
                self.at += index + 1;
                return Ok(value);
            }
        }
        let problem = if self.end - self.at >= 10 {
            ProtobufProblem::VarintTooLong
        } else {
            ProtobufProblem::Truncated
        };
        Err(self.error_at(self.at, field, problem))
    }

    #[cold]
    fn error_at(&self, offset: usize, field: &'static str, problem: ProtobufProblem) -> ProtobufError {
        ProtobufError { offset, field, problem }
    }
}

/// Bytes of the varint that a word begins with; 9 where it does not end within.
#[inline]
fn varint_bytes(word: u64) -> usize {
    // The first byte without its highest bit is the last one.
    (!word & 0x8080_8080_8080_8080).trailing_zeros() as usize / 8 + 1
}

/// The varint of 1 to 8 bytes that a word begins with: groups of seven bits are moved together, two, four and eight at
/// a time.
#[inline]
fn varint_of(word: u64, bytes: usize) -> u64 {
    let word = word & (u64::MAX >> (64 - 8 * bytes)) & 0x7f7f_7f7f_7f7f_7f7f;
    let word = (word & 0x007f_007f_007f_007f) | (word & 0x7f00_7f00_7f00_7f00) >> 1;
    let word = (word & 0x0000_3fff_0000_3fff) | (word & 0x3fff_0000_3fff_0000) >> 2;
    (word & 0x0fff_ffff) | (word & 0x0fff_ffff_0000_0000) >> 4
}

/// The low half of a number, as protobuf reads 32-bit fields.
fn low_32(wide: u64) -> u32 {
    (wide & u64::from(u32::MAX)) as u32
}

#[cfg(test)]
mod tests {
    use super::*;

    fn only_tag<'a>(reader: &mut Reader<'a>) -> Tag {
        reader.next_tag().expect("a sound tag").expect("a field")
    }

    #[test]
    fn scalars_read_as_they_were_written() {
        // 1: varint 300, 2: double 1.5, 3: "ab", 4: sint32 -3
        let mut body = vec![0x08, 0xac, 0x02, 0x11];
        body.extend_from_slice(&1.5f64.to_le_bytes());
        body.extend_from_slice(&[0x1a, 2, b'a', b'b', 0x20, 5]);
        let mut reader = Reader::new(&body, "test");
        let tag = only_tag(&mut reader);
        assert_eq!((tag.field, reader.varint(tag, "one")), (1, Ok(300)));
        let tag = only_tag(&mut reader);
        assert_eq!((tag.field, reader.double(tag, "two")), (2, Ok(1.5)));
        let tag = only_tag(&mut reader);
        assert_eq!((tag.field, reader.text(tag, "three")), (3, Ok("ab")));
        let tag = only_tag(&mut reader);
        assert_eq!((tag.field, reader.sint32(tag, "four")), (4, Ok(-3)));
        assert_eq!(reader.next_tag(), Ok(None));
    }

    #[test]
    fn varints_of_every_length_are_read() {
        for bits in 0..64 {
            for value in [1_u64 << bits, (1 << bits) - 1, u64::MAX >> bits, 0xa5a5_5a5a_c3c3_3c3c >> bits] {
                for padding in [0, 20] {
                    let mut body = vec![0x08];
                    prost::encoding::encode_varint(value, &mut body);
                    let whole = body.len();
                    body.resize(whole + padding, 0xff);
                    let mut reader = Reader::new(&body, "test");
                    let tag = only_tag(&mut reader);
                    assert_eq!((reader.varint(tag, "one"), reader.offset()), (Ok(value), whole));
                    // Bytes behind the message do not end a number.
                    if whole > 2 {
                        let mut inner = vec![0x0a, whole as u8 - 1];
                        inner.extend_from_slice(&body);
                        let mut reader = Reader::new(&inner, "test");
                        let tag = only_tag(&mut reader);
                        let mut reader = reader.message(tag, "inner").expect("it is whole");
                        let tag = only_tag(&mut reader);
                        assert!(reader.varint(tag, "one").is_err());
                    }
                }
            }
        }
    }

    #[test]
    fn negative_and_widest_numbers_keep_their_bits() {
        let body = [0x08, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01];
        let mut reader = Reader::new(&body, "test");
        let tag = only_tag(&mut reader);
        assert_eq!(reader.int64(tag, "one"), Ok(-1));
    }

    #[test]
    fn repeated_numbers_come_packed_or_one_by_one() {
        let body = [0x0a, 3, 2, 1, 4, 0x08, 6];
        let mut reader = Reader::new(&body, "test");
        let mut numbers = Vec::new();
        while let Some(tag) = reader.next_tag().expect("a sound tag") {
            reader.repeated_sint64(tag, "one", &mut numbers).expect("sound numbers");
        }
        assert_eq!(numbers, [1, -1, 2, 3]);
    }

    #[test]
    fn leading_fields_are_taken_whole() {
        let mut body = vec![0x0a, 1, b'a', 0x0a, 0x82, 1];
        body.extend_from_slice(&[b'x'; 130]);
        body.extend_from_slice(&[0x0a, 0, 0x12, 0, 0x0a, 1, b'b', 0x0a, 9]);
        let mut reader = Reader::new(&body, "test");
        assert_eq!((reader.leading(1), reader.offset()), (&body[..138], 138));
        assert_eq!(reader.leading(1), b"");
        reader.skip_to(140);
        // The last one is cut off.
        assert_eq!(reader.leading(1), &body[140..143]);
        let tag = only_tag(&mut reader);
        assert!(reader.bytes(tag, "one").is_err());
    }

    #[test]
    fn unknown_fields_and_groups_are_skipped() {
        // 5: group { 1: 7 }, 6: fixed32, 1: 9
        let body = [0x2b, 0x08, 7, 0x2c, 0x35, 1, 2, 3, 4, 0x08, 9];
        let mut reader = Reader::new(&body, "test");
        let tag = only_tag(&mut reader);
        assert_eq!(reader.skip(tag), Ok(()));
        let tag = only_tag(&mut reader);
        assert_eq!(reader.skip(tag), Ok(()));
        let tag = only_tag(&mut reader);
        assert_eq!(reader.varint(tag, "one"), Ok(9));
    }

    #[test]
    fn errors_name_field_and_byte() {
        let read = |body: &[u8]| {
            let mut reader = Reader::new(body, "request");
            loop {
                match reader.next_tag() {
                    Err(error) => break error.to_string(),
                    Ok(None) => break "sound".to_owned(),
                    Ok(Some(tag)) if tag.field == 1 => {
                        if let Err(error) = reader.text(tag, "request.name") {
                            break error.to_string();
                        }
                    }
                    Ok(Some(tag)) => {
                        if let Err(error) = reader.skip(tag) {
                            break error.to_string();
                        }
                    }
                }
            }
        };
        let deep = [0x13; GROUP_DEPTH_MAX + 1];
        for (body, message) in [
            (&b"\x0a\x01x"[..], "sound"),
            (b"\x0a\x05x", "request.name: length 5 reaches beyond the message at byte 1"),
            (b"\x0a\x01\xff", "request.name: text is not UTF-8 at byte 2"),
            (b"\x0a\xff", "request.name: value is cut off at byte 1"),
            (b"\x08\x01", "request.name: wire type 0 does not fit the field at byte 1"),
            (b"\x00", "request: field number 0 does not exist at byte 0"),
            (b"\x16", "request: wire type 6 does not exist at byte 0"),
            (b"\x11\x00", "request: value is cut off at byte 1"),
            (b"\x13\x1c", "request: group does not begin and end in pairs at byte 2"),
            (b"\x13", "request: group does not begin and end in pairs at byte 1"),
            (b"\x14", "request: group does not begin and end in pairs at byte 1"),
            (&deep, "request: group does not begin and end in pairs at byte 33"),
            (
                b"\x10\xff\xff\xff\xff\xff\xff\xff\xff\xff\x02",
                "request: varint is longer than 64 bits at byte 1",
            ),
        ] {
            assert_eq!(read(body), message, "{body:x?}");
        }
    }
}
