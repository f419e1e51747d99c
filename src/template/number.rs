//! Constants of a template as Go reads them: numbers, characters, quoted text.

use crate::model::GoQuoted;

/// A number or character. It may be several at once: `1` is an integer and a float.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Number {
    /// As written.
    pub(super) text: Box<str>,
    pub(super) int: Option<i64>,
    /// Whether it is an unsigned integer, be it too large for a signed one.
    pub(super) is_unsigned: bool,
    pub(super) float: Option<f64>,
    pub(super) complex: Option<(f64, f64)>,
}

impl Number {
    /// Reads a character constant with its quotes.
    pub(super) fn of_char(text: &str) -> Result<Self, String> {
        let inner = &text[1..];
        let (code, rest) = match Escape::read(inner, '\'').ok_or_else(invalid_syntax)? {
            (Escape::Char(c), rest) => (i64::from(u32::from(c)), rest),
            (Escape::Byte(byte), rest) => (i64::from(byte), rest),
        };
        if rest != "'" {
            return Err(format!("malformed character constant: {text}"));
        }
        Ok(Self::of_int(text, code))
    }

    fn of_int(text: &str, int: i64) -> Self {
        let float = Some(int as f64);
        Self { text: text.into(), int: Some(int), is_unsigned: int >= 0, float, complex: None }
    }

    /// Reads a sum such as `1+2i`.
    pub(super) fn of_complex(text: &str) -> Result<Self, String> {
        let broken = || "syntax error scanning complex number".to_owned();
        let body = text.strip_suffix('i').ok_or_else(broken)?;
        let at = body
            .char_indices()
            .skip(1)
            .filter(|(at, c)| matches!(c, '+' | '-') && !body[..*at].ends_with(['e', 'E', 'p', 'P']))
            .map(|(at, _)| at)
            .last()
            .ok_or_else(broken)?;
        let part = |text: &str| parse_float(text).ok_or_else(broken);
        Ok(Self::simplified(text, part(&body[..at])?, part(&body[at..])?))
    }

    /// A complex number without an imaginary part is a float too, and maybe an integer.
    fn simplified(text: &str, real: f64, imaginary: f64) -> Self {
        let float = (imaginary == 0.0).then_some(real);
        let int = float.and_then(exact_int);
        let is_unsigned = float.is_some_and(|value| value >= 0.0 && value.fract() == 0.0);
        Self { text: text.into(), int, is_unsigned, float, complex: Some((real, imaginary)) }
    }

    /// Reads an integer, a float or an imaginary number.
    pub(super) fn of_number(text: &str) -> Result<Self, String> {
        if let Some(value) = text.strip_suffix('i').and_then(parse_float) {
            return Ok(Self::simplified(text, 0.0, value));
        }
        if let Some(magnitude) = parse_int(text) {
            if let Ok(int) = i64::try_from(magnitude) {
                let unsigned = !text.starts_with(['+', '-']) || int == 0;
                return Ok(Self { is_unsigned: unsigned, ..Self::of_int(text, int) });
            }
            if u64::try_from(magnitude).is_ok() && !text.starts_with(['+', '-']) {
                let float = Some(magnitude as f64);
                return Ok(Self { text: text.into(), int: None, is_unsigned: true, float, complex: None });
            }
        }
        let float = parse_float(text).ok_or_else(|| illegal(text))?;
        if !text.contains(['.', 'e', 'E', 'p', 'P']) {
            return Err(format!("integer overflow: {}", GoQuoted(text)));
        }
        let is_unsigned = float >= 0.0 && float.fract() == 0.0 && float < 1.8e19;
        Ok(Self { text: text.into(), int: exact_int(float), is_unsigned, float: Some(float), complex: None })
    }

    /// Whether the way it is written asks for a float where anything goes.
    pub(super) fn reads_as_float(&self) -> bool {
        let hex_int = self.text.len() > 2
            && (self.text.starts_with("0x") || self.text.starts_with("0X"))
            && !self.text.contains(['p', 'P']);
        let char = self.text.starts_with('\'');
        !hex_int && !char && self.text.contains(['.', 'e', 'E', 'p', 'P'])
    }
}

fn illegal(text: &str) -> String {
    format!("illegal number syntax: {}", GoQuoted(text))
}

fn invalid_syntax() -> String {
    "invalid syntax".to_owned()
}

fn exact_int(value: f64) -> Option<i64> {
    let fits = value.fract() == 0.0 && (-9.223_372_036_854_776e18..9.223_372_036_854_776e18).contains(&value);
    fits.then_some(value as i64)
}

/// An integer with sign, base prefix and underscores. Values past 64 bits saturate far outside.
fn parse_int(text: &str) -> Option<i128> {
    let (negative, body) = match text.as_bytes().first()? {
        b'+' => (false, &text[1..]),
        b'-' => (true, &text[1..]),
        _ => (false, text),
    };
    let lower = body.to_ascii_lowercase();
    let (radix, digits, prefixed) = if let Some(digits) = lower.strip_prefix("0x") {
        (16, digits, true)
    } else if let Some(digits) = lower.strip_prefix("0b") {
        (2, digits, true)
    } else if let Some(digits) = lower.strip_prefix("0o") {
        (8, digits, true)
    } else if lower.len() > 1 && lower.starts_with('0') {
        (8, &lower[1..], true)
    } else {
        (10, lower.as_str(), false)
    };
    let plain = without_underscores(digits, prefixed)?;
    if plain.is_empty() || !plain.chars().all(|c| c.is_digit(radix)) {
        return None;
    }
    let value = i128::from_str_radix(&plain, radix).unwrap_or(i128::MAX / 2);
    Some(if negative { -value } else { value })
}

/// Underscores may stand between digits, and behind a prefix.
fn without_underscores(digits: &str, prefixed: bool) -> Option<String> {
    let misplaced = digits.contains("__") || digits.ends_with('_') || digits.starts_with('_') && !prefixed;
    (!misplaced).then(|| digits.replace('_', ""))
}

/// A float as Go's `ParseFloat` reads it: decimal or hexadecimal, `Inf`, `NaN`; out of range is `None`.
pub(super) fn parse_float(text: &str) -> Option<f64> {
    let unsigned = text.trim_start_matches(['+', '-']);
    if text.len() - unsigned.len() > 1 {
        return None;
    }
    let sign = if text.starts_with('-') { -1.0 } else { 1.0 };
    let lower = unsigned.to_ascii_lowercase();
    match lower.as_str() {
        "inf" | "infinity" => return Some(sign * f64::INFINITY),
        "nan" => return Some(f64::NAN),
        _ => {}
    }
    if let Some(hex) = lower.strip_prefix("0x") {
        return parse_hex_float(hex).map(|value| sign * value);
    }
    // The standard library reads the same decimals but for underscores, and words besides, of which none is left.
    let decimal = lower.starts_with(|c: char| c.is_ascii_digit() || c == '.');
    let separated = lower.bytes().zip(lower.bytes().skip(1)).all(|(a, b)| {
        let beside = if a == b'_' { b } else { a };
        a != b'_' && b != b'_' || beside.is_ascii_digit()
    });
    if !decimal || !separated || lower.ends_with('_') {
        return None;
    }
    let value: f64 = lower.replace('_', "").parse().ok()?;
    value.is_finite().then_some(sign * value)
}

/// Digits, a point, and `p` with a power of two, behind `0x`.
fn parse_hex_float(hex: &str) -> Option<f64> {
    let (mantissa, exponent) = hex.split_once('p')?;
    let digits = without_underscores(mantissa, true)?;
    let (whole, fraction) = digits.split_once('.').unwrap_or((&digits, ""));
    if whole.is_empty() && fraction.is_empty() {
        return None;
    }
    let mut value = 0.0_f64;
    for c in whole.chars().chain(fraction.chars()) {
        value = value * 16.0 + f64::from(c.to_digit(16)?);
    }
    let exponent: i32 = exponent.parse().ok()?;
    let shift = exponent.checked_sub(i32::try_from(fraction.len()).ok()?.checked_mul(4)?)?;
    let value = value * 2.0_f64.powi(shift);
    value.is_finite().then_some(value)
}

/// What one escape or one character of a quoted text stands for.
enum Escape {
    Char(char),
    Byte(u8),
}

impl Escape {
    /// Reads one off the front of `text`, which stands between `quote`s.
    fn read(text: &str, quote: char) -> Option<(Self, &str)> {
        let mut chars = text.chars();
        let c = chars.next()?;
        if c == quote || c == '\n' {
            return None;
        }
        if c != '\\' {
            return Some((Self::Char(c), chars.as_str()));
        }
        let kind = chars.next()?;
        let rest = chars.as_str();
        let plain = |c| Some((Self::Char(c), rest));
        match kind {
            'a' => plain('\u{7}'),
            'b' => plain('\u{8}'),
            'f' => plain('\u{c}'),
            'n' => plain('\n'),
            'r' => plain('\r'),
            't' => plain('\t'),
            'v' => plain('\u{b}'),
            '\\' => plain('\\'),
            c if c == quote => plain(c),
            'x' => digits(rest, 2, 16)
                .and_then(|(code, rest)| Some((Self::Byte(u8::try_from(code).ok()?), rest))),
            'u' => {
                digits(rest, 4, 16).and_then(|(code, rest)| Some((Self::Char(char::from_u32(code)?), rest)))
            }
            'U' => {
                digits(rest, 8, 16).and_then(|(code, rest)| Some((Self::Char(char::from_u32(code)?), rest)))
            }
            '0'..='7' => {
                let (code, rest) = digits(&text[1..], 3, 8)?;
                Some((Self::Byte(u8::try_from(code).ok()?), rest))
            }
            _ => None,
        }
    }
}

fn digits(text: &str, count: usize, radix: u32) -> Option<(u32, &str)> {
    let head = text.get(..count)?;
    if !head.chars().all(|c| c.is_digit(radix)) {
        return None;
    }
    Some((u32::from_str_radix(head, radix).ok()?, &text[count..]))
}

/// What a quoted or raw text with its quotes stands for; any bytes.
pub(super) fn unquote(text: &str) -> Result<Vec<u8>, String> {
    let inner = text.get(1..text.len().saturating_sub(1)).ok_or_else(invalid_syntax)?;
    if text.starts_with('`') {
        return Ok(inner.replace('\r', "").into_bytes());
    }
    let mut bytes = Vec::with_capacity(inner.len());
    let mut rest = inner;
    while !rest.is_empty() {
        let (escape, after) = Escape::read(rest, '"').ok_or_else(invalid_syntax)?;
        match escape {
            Escape::Char(c) => bytes.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes()),
            Escape::Byte(byte) => bytes.push(byte),
        }
        rest = after;
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_what_go_takes_them_for() {
        let int = |text: &str| Number::of_number(text).expect("a number").int;
        assert_eq!(int("0x1F"), Some(31));
        assert_eq!(int("0b101"), Some(5));
        assert_eq!(int("017"), Some(15));
        assert_eq!(int("0o17"), Some(15));
        assert_eq!(int("-5"), Some(-5));
        assert_eq!(int("1e3"), Some(1000));
        assert_eq!(int("1.5"), None);
        assert_eq!(int("18446744073709551615"), None);
        assert!(
            Number::of_number("99999999999999999999")
                .is_err_and(|error| error.starts_with("integer overflow"))
        );
        assert!(Number::of_number("08x").is_err());
        assert_eq!(Number::of_number("0x1p-2").expect("a number").float, Some(0.25));
        assert_eq!(Number::of_number("2i").expect("a number").complex, Some((0.0, 2.0)));
        assert_eq!(Number::of_complex("1+2i").expect("a number").complex, Some((1.0, 2.0)));
        assert_eq!(Number::of_char(r"'\n'").expect("a character").int, Some(10));
        assert!(Number::of_char("'ab'").is_err());
    }

    #[test]
    fn texts_lose_their_quotes() {
        assert_eq!(unquote(r#""a\tb\x41\101\u00e9""#).as_deref(), Ok("a\tbAAé".as_bytes()));
        assert_eq!(unquote(r"`a\t`").as_deref(), Ok(r"a\t".as_bytes()));
        assert_eq!(unquote(r#""\xff""#).as_deref(), Ok(b"\xff".as_slice()));
        assert!(unquote(r#""\q""#).is_err());
    }
}
