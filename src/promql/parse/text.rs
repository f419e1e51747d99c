//! String literals: from quoted text to bytes, as Go unquotes them.

/// The bytes that a literal stands for, quotes of any kind (`"`, `'`, `` ` ``) around it. `None` where it is not a literal.
pub(crate) fn unquote(literal: &str) -> Option<Vec<u8>> {
    let quote = literal.chars().next()?;
    let inner = literal.strip_prefix(quote)?.strip_suffix(quote)?;
    match quote {
        '`' => (!inner.contains('`')).then(|| inner.as_bytes().to_vec()),
        '"' | '\'' if !inner.contains('\n') => unescape(inner, quote),
        _ => None,
    }
}

fn unescape(inner: &str, quote: char) -> Option<Vec<u8>> {
    let mut bytes = Vec::with_capacity(inner.len());
    let mut rest = inner;
    while let Some(at) = rest.find(['\\', quote]) {
        bytes.extend_from_slice(&rest.as_bytes()[..at]);
        let escape = rest[at..].strip_prefix('\\')?;
        let kind = escape.chars().next()?;
        let body = &escape[kind.len_utf8()..];
        let digits = match kind {
            'x' => 2,
            'u' => 4,
            'U' => 8,
            '0'..='7' => 2,
            _ => 0,
        };
        push_escape(&mut bytes, kind, body.get(..digits)?, quote)?;
        rest = &body[digits..];
    }
    bytes.extend_from_slice(rest.as_bytes());
    Some(bytes)
}

/// Appends what `\kind` with its `digits` stands for.
fn push_escape(bytes: &mut Vec<u8>, kind: char, digits: &str, quote: char) -> Option<()> {
    match kind {
        'a' => bytes.push(7),
        'b' => bytes.push(8),
        'f' => bytes.push(12),
        'n' => bytes.push(b'\n'),
        'r' => bytes.push(b'\r'),
        't' => bytes.push(b'\t'),
        'v' => bytes.push(11),
        '\\' => bytes.push(b'\\'),
        'x' => bytes.push(u8::try_from(number(digits, 16)?).ok()?),
        'u' | 'U' => {
            let c = number(digits, 16).filter(|code| *code <= 0x10_ffff)?;
            let c = char::from_u32(c).unwrap_or(char::REPLACEMENT_CHARACTER);
            bytes.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes());
        }
        '0'..='7' => {
            let value = kind.to_digit(8)? * 64 + number(digits, 8)?;
            bytes.push(u8::try_from(value).ok()?);
        }
        c if c == quote => bytes.push(u8::try_from(c).ok()?),
        _ => return None,
    }
    Some(())
}

fn number(digits: &str, radix: u32) -> Option<u32> {
    digits.chars().try_fold(0_u32, |sum, c| sum.checked_mul(radix)?.checked_add(c.to_digit(radix)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn literals_become_bytes() {
        let cases: [(&str, &[u8]); 8] = [
            (r#""a\"b""#, b"a\"b"),
            (r"'a\'b'", b"a'b"),
            (r"`a\n`", b"a\\n"),
            (r#""\a\b\f\n\r\t\v\\""#, b"\x07\x08\x0c\n\r\t\x0b\\"),
            (r#""a\xc5z\377""#, b"a\xc5z\xff"),
            (r#""\u00e9\U0001F600""#, "é😀".as_bytes()),
            ("\"é\"", "é".as_bytes()),
            ("''", b""),
        ];
        for (literal, bytes) in cases {
            assert_eq!(unquote(literal).as_deref(), Some(bytes), "{literal}");
        }
    }

    #[test]
    fn what_is_no_literal_is_refused() {
        for bad in [
            "",
            "\"",
            "\"a",
            "a",
            "\"\\q\"",
            "\"\\x1\"",
            "\"\\'\"",
            "\"\\400\"",
            "\"a\nb\"",
            "\"\\\"",
            "\"\\é\"",
        ] {
            assert_eq!(unquote(bad), None, "{bad}");
        }
    }
}
