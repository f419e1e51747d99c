//! Digits of numbers as Go's `strconv` writes them.

use std::fmt::Write;

use crate::model::GoQuotedChar;

/// A float without its sign. `format` is one of `e E f g G x X b`; without a precision as many digits as it takes to
/// read the same number back.
pub(super) fn float_text(value: f64, format: char, precision: Option<usize>) -> String {
    if value.is_nan() {
        return "NaN".to_owned();
    }
    if value.is_infinite() {
        return "Inf".to_owned();
    }
    match format {
        'f' => match precision {
            Some(precision) => format!("{value:.precision$}"),
            None => format!("{value}"),
        },
        'e' | 'E' => cased(with_exponent(value, precision), format == 'E'),
        'g' | 'G' => cased(general(value, precision), format == 'G'),
        'x' | 'X' => cased(hexadecimal(value, precision), format == 'X'),
        _ => binary(value),
    }
}

fn cased(text: String, upper: bool) -> String {
    if upper { text.to_uppercase() } else { text }
}

fn with_exponent(value: f64, precision: Option<usize>) -> String {
    let (digits, exponent) = scientific(value, precision);
    exponential(&digits, exponent)
}

/// Digits with a point behind the first, and the power of ten.
fn scientific(value: f64, precision: Option<usize>) -> (String, i32) {
    let text = match precision {
        Some(precision) => format!("{value:.precision$e}"),
        None => format!("{value:e}"),
    };
    match text.split_once('e') {
        Some((digits, exponent)) => (digits.to_owned(), exponent.parse().unwrap_or_default()),
        None => (text, 0),
    }
}

fn exponential(digits: &str, exponent: i32) -> String {
    let sign = if exponent < 0 { '-' } else { '+' };
    format!("{digits}e{sign}{:02}", exponent.abs())
}

/// `%g`: without trailing zeros, with an exponent only where the number is small or large.
fn general(value: f64, precision: Option<usize>) -> String {
    let (digits, exponent) = scientific(value, precision.map(|digits| digits.max(1) - 1));
    let digits =
        if digits.contains('.') { digits.trim_end_matches('0').trim_end_matches('.') } else { &digits };
    let exponent_end = precision.map_or(6, |digits| i32::try_from(digits.max(1)).unwrap_or(i32::MAX));
    if exponent < -4 || exponent >= exponent_end {
        return exponential(digits, exponent);
    }
    let digit_count = digits.len() - usize::from(digits.contains('.'));
    let decimals = i32::try_from(digit_count).unwrap_or(i32::MAX) - 1 - exponent;
    format!("{value:.0$}", usize::try_from(decimals.max(0)).unwrap_or_default())
}

/// `%x`: a hexadecimal mantissa and a power of two.
fn hexadecimal(value: f64, precision: Option<usize>) -> String {
    let bits = value.to_bits();
    let fraction_bits = 52;
    let mut mantissa = bits & ((1 << fraction_bits) - 1);
    let mut exponent = i32::try_from((bits >> fraction_bits) & 0x7ff).unwrap_or_default();
    if exponent == 0 {
        exponent = 1;
    } else {
        mantissa |= 1 << fraction_bits;
    }
    exponent -= 1023;
    if mantissa == 0 {
        exponent = 0;
    } else {
        while mantissa >> fraction_bits == 0 {
            mantissa <<= 1;
            exponent -= 1;
        }
    }
    if let Some(precision) = precision.filter(|precision| *precision < 13) {
        let dropped = fraction_bits - 4 * precision;
        let half = 1_u64 << (dropped - 1);
        let rest = mantissa & ((1 << dropped) - 1);
        mantissa >>= dropped;
        if rest > half || rest == half && mantissa & 1 == 1 {
            mantissa += 1;
        }
        mantissa <<= dropped;
        if mantissa >> (fraction_bits + 1) != 0 {
            mantissa >>= 1;
            exponent += 1;
        }
    }
    let digits = format!("{:013x}", mantissa & ((1 << fraction_bits) - 1));
    let digits = match precision {
        None => digits.trim_end_matches('0').to_owned(),
        Some(precision) => format!("{digits:0<precision$}")[..precision].to_owned(),
    };
    let point = if digits.is_empty() { "" } else { "." };
    let sign = if exponent < 0 { '-' } else { '+' };
    format!("0x{}{point}{digits}p{sign}{:02}", mantissa >> fraction_bits, exponent.abs())
}

/// `%b`: the whole mantissa and a power of two.
fn binary(value: f64) -> String {
    let bits = value.to_bits();
    let mut mantissa = bits & ((1 << 52) - 1);
    let mut exponent = i32::try_from((bits >> 52) & 0x7ff).unwrap_or_default();
    if exponent == 0 {
        exponent = 1;
    } else {
        mantissa |= 1 << 52;
    }
    format!("{mantissa}p{:+}", exponent - 1075)
}

/// `%#g` and its like: always a point, and trailing zeros up to the precision.
pub(super) fn hash_float(text: &str, verb: char, precision: Option<usize>) -> String {
    let hex = matches!(verb, 'x' | 'X');
    let exponents: &[char] = if hex { &['p', 'P'] } else { &['e', 'E'] };
    let at = text.find(exponents).unwrap_or(text.len());
    let (number, tail) = text.split_at(at);
    let wanted = match verb {
        'v' | 'g' | 'G' | 'x' => precision.unwrap_or(6),
        _ => 0,
    };
    let mut have = number.chars().filter(|c| *c != '.').skip_while(|c| *c == '0').count();
    let mut number = number.to_owned();
    if !number.contains('.') {
        have += usize::from(number == "0");
        number.push('.');
    }
    number.push_str(&"0".repeat(wanted.saturating_sub(have)));
    number + tail
}

/// An unsigned number in a base up to 16.
pub(super) fn magnitude(value: u64, base: u32, upper: bool) -> String {
    match (base, upper) {
        (2, _) => format!("{value:b}"),
        (8, _) => format!("{value:o}"),
        (16, true) => format!("{value:X}"),
        (16, false) => format!("{value:x}"),
        _ => value.to_string(),
    }
}

/// A character between single quotes.
pub(super) fn quoted_char(c: char, ascii: bool) -> String {
    if ascii && !c.is_ascii() { format!("'{}'", escaped(c)) } else { GoQuotedChar(c).to_string() }
}

/// Text between double quotes, with nothing but ASCII in it.
pub(super) fn ascii_quoted(text: &[u8]) -> String {
    let quoted = crate::model::GoQuoted(text).to_string();
    quoted.chars().fold(String::new(), |mut out, c| {
        if c.is_ascii() {
            out.push(c);
        } else {
            out.push_str(&escaped(c));
        }
        out
    })
}

fn escaped(c: char) -> String {
    let mut text = String::new();
    let code = u32::from(c);
    let written = if code < 0x1_0000 { write!(text, "\\u{code:04x}") } else { write!(text, "\\U{code:08x}") };
    debug_assert!(written.is_ok(), "writing to a string does not fail");
    text
}
