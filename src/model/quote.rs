//! Text as Go's `%q` prints it, in which upstream's messages and expressions are written.

use std::fmt;

/// Bytes between double quotes, escaped as Go does: control and other unprintable characters by number, bytes that are
/// not UTF-8 as `\xNN`.
#[derive(Clone, Copy, Debug)]
pub struct GoQuoted<'a, T: AsRef<[u8]> + ?Sized>(pub &'a T);

impl<T: AsRef<[u8]> + ?Sized> fmt::Display for GoQuoted<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("\"")?;
        for chunk in self.0.as_ref().utf8_chunks() {
            for c in chunk.valid().chars() {
                write_escaped(f, c, '"')?;
            }
            for byte in chunk.invalid() {
                write!(f, "\\x{byte:02x}")?;
            }
        }
        f.write_str("\"")
    }
}

/// One character between single quotes, escaped as Go does.
#[derive(Clone, Copy, Debug)]
pub struct GoQuotedChar(pub char);

impl fmt::Display for GoQuotedChar {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("'")?;
        write_escaped(f, self.0, '\'')?;
        f.write_str("'")
    }
}

fn write_escaped(f: &mut fmt::Formatter<'_>, c: char, quote: char) -> fmt::Result {
    match c {
        c if c == quote || c == '\\' => write!(f, "\\{c}"),
        '\n' => f.write_str("\\n"),
        '\t' => f.write_str("\\t"),
        '\r' => f.write_str("\\r"),
        '\u{7}' => f.write_str("\\a"),
        '\u{8}' => f.write_str("\\b"),
        '\u{c}' => f.write_str("\\f"),
        '\u{b}' => f.write_str("\\v"),
        ' '..='~' => write!(f, "{c}"),
        c if u32::from(c) < 0x80 => write!(f, "\\x{:02x}", u32::from(c)),
        c if is_printable(c) => write!(f, "{c}"),
        c if u32::from(c) < 0x1_0000 => write!(f, "\\u{:04x}", u32::from(c)),
        c => write!(f, "\\U{:08x}", u32::from(c)),
    }
}

/// Letters, marks, numbers, punctuation and symbols. The standard library's own table answers; its escaping leaves
/// marks alone only behind another character.
pub(crate) fn is_printable(c: char) -> bool {
    let mut buffer = [b'a'; 5];
    let len = c.encode_utf8(&mut buffer[1..]).len();
    let pair = std::str::from_utf8(&buffer[..=len]).unwrap_or_default();
    pair.escape_debug().nth(1) == Some(c)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_are_quoted_as_go_quotes_them() {
        let cases: [(&[u8], &str); 7] = [
            (b"a\"b\\c'", r#""a\"b\\c'""#),
            (b"\n\t\r\x07\x08\x0c\x0b", r#""\n\t\r\a\b\f\v""#),
            (b"\x00\x1f\x7f", r#""\x00\x1f\x7f""#),
            (b"a\xc5z", r#""a\xc5z""#),
            ("é世\u{301}".as_bytes(), "\"é世\u{301}\""),
            ("\u{a0}\u{200b}\u{e000}".as_bytes(), r#""\u00a0\u200b\ue000""#),
            ("\u{10fffd}".as_bytes(), r#""\U0010fffd""#),
        ];
        for (text, quoted) in cases {
            assert_eq!(GoQuoted(text).to_string(), quoted);
        }
        assert_eq!(GoQuotedChar('\'').to_string(), r"'\''");
        assert_eq!(GoQuotedChar('"').to_string(), "'\"'");
    }
}
