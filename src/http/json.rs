//! JSON as Prometheus writes it: numbers of samples as texts, times in seconds, strings with and without HTML escapes.
//!
//! Everything is appended to a byte buffer; nothing else is allocated for a sample.

use std::io::Write as _;

use crate::model::{Labels, Timestamp};

/// Bytes that a string's JSON escapes; with `html` also `<`, `>` and `&`.
const fn is_escaped(byte: u8, html: bool) -> bool {
    byte < 0x20 || byte == b'"' || byte == b'\\' || (html && matches!(byte, b'<' | b'>' | b'&'))
}

/// A string. Label names and values are written so.
pub(super) fn string(out: &mut Vec<u8>, text: &str) {
    escaped(out, text, false);
}

/// A string in which HTML's characters and the two Unicode line ends are escaped as well. Everything but labels is
/// written so, since Go's encoder does it.
pub(super) fn html_safe_string(out: &mut Vec<u8>, text: &str) {
    escaped(out, text, true);
}

fn escaped(out: &mut Vec<u8>, text: &str, html: bool) {
    out.push(b'"');
    let bytes = text.as_bytes();
    let mut start = 0;
    for (at, &byte) in bytes.iter().enumerate() {
        let line_end = html && byte == 0xe2 && matches!(bytes.get(at + 1..at + 3), Some([0x80, 0xa8 | 0xa9]));
        if !is_escaped(byte, html) && !line_end {
            continue;
        }
        out.extend_from_slice(&bytes[start..at]);
        start = at + 1;
        match byte {
            b'"' => out.extend_from_slice(b"\\\""),
            b'\\' => out.extend_from_slice(b"\\\\"),
            b'\n' => out.extend_from_slice(b"\\n"),
            b'\r' => out.extend_from_slice(b"\\r"),
            b'\t' => out.extend_from_slice(b"\\t"),
            0xe2 => {
                out.extend_from_slice(if bytes[at + 2] == 0xa8 { b"\\u2028" } else { b"\\u2029" });
                start = at + 3;
            }
            other => push_display(out, format_args!("\\u{other:04x}")),
        }
    }
    out.extend_from_slice(&bytes[start..]);
    out.push(b'"');
}

/// A value by serde, its HTML characters escaped.
pub(super) fn html_safe_value(value: &impl serde::Serialize) -> Vec<u8> {
    let plain = serde_json::to_vec(value).expect("answers are plain data with texts as keys");
    if !plain.iter().any(|byte| matches!(byte, b'<' | b'>' | b'&')) {
        return plain;
    }
    let mut out = Vec::with_capacity(plain.len() + 16);
    for byte in plain {
        // Outside of strings JSON has none of the three.
        match byte {
            b'<' | b'>' | b'&' => push_display(&mut out, format_args!("\\u{byte:04x}")),
            other => out.push(other),
        }
    }
    out
}

/// A label set as an object.
pub(super) fn labels(out: &mut Vec<u8>, labels: &Labels) {
    texts(out, labels.iter().map(|label| (label.name, label.value)));
}

/// Texts by name as an object.
pub(super) fn texts<'a>(out: &mut Vec<u8>, pairs: impl IntoIterator<Item = (&'a str, &'a str)>) {
    out.push(b'{');
    for (index, (name, text)) in pairs.into_iter().enumerate() {
        if index > 0 {
            out.push(b',');
        }
        string(out, name);
        out.push(b':');
        string(out, text);
    }
    out.push(b'}');
}

/// A further member of an object, with its name.
pub(super) fn member(out: &mut Vec<u8>, name: &str, write: impl FnOnce(&mut Vec<u8>)) {
    out.push(b',');
    string(out, name);
    out.push(b':');
    write(out);
}

/// A further member that is a text.
pub(super) fn text_member(out: &mut Vec<u8>, name: &str, text: &str) {
    member(out, name, |out| html_safe_string(out, text));
}

/// A list.
pub(super) fn list<'a, T: 'a>(
    out: &mut Vec<u8>,
    items: impl IntoIterator<Item = &'a T>,
    write: impl Fn(&mut Vec<u8>, &T),
) {
    out.push(b'[');
    for (index, item) in items.into_iter().enumerate() {
        if index > 0 {
            out.push(b',');
        }
        write(out, item);
    }
    out.push(b']');
}

/// Milliseconds as seconds with up to three decimals.
pub(super) fn timestamp(out: &mut Vec<u8>, t: Timestamp) {
    if t < 0 {
        out.push(b'-');
    }
    let ms = t.unsigned_abs();
    integer(out, ms / 1_000);
    let fraction = ms % 1_000;
    if fraction != 0 {
        let digit = |value: u64| b'0' + u8::try_from(value % 10).expect("a digit is below ten");
        out.extend_from_slice(&[b'.', digit(fraction / 100), digit(fraction / 10), digit(fraction)]);
    }
}

/// Values up to here are whole numbers that print the same as an integer does.
const INTEGER_EXACT_MAX: f64 = 9_007_199_254_740_992.0;

/// A sample's value: a number in a text, shortest that reads back; with an exponent below 1e-6 and from 1e21.
pub(super) fn float(out: &mut Vec<u8>, value: f64) {
    out.push(b'"');
    number(out, value);
    out.push(b'"');
}

/// The same without quotes: durations in seconds are written so.
pub(super) fn number(out: &mut Vec<u8>, value: f64) {
    let magnitude = value.abs();
    if magnitude <= INTEGER_EXACT_MAX && value.trunc() == value {
        if value.is_sign_negative() {
            out.push(b'-');
        }
        integer(out, magnitude as u64);
    } else if value.is_nan() {
        out.extend_from_slice(b"NaN");
    } else if value.is_infinite() {
        out.extend_from_slice(if value > 0.0 { b"+Inf" } else { b"-Inf" });
    } else if (1e-6..1e21).contains(&magnitude) {
        push_display(out, format_args!("{value}"));
    } else {
        exponent(out, value);
    }
}

/// Go writes at least two digits of an exponent, and its sign.
fn exponent(out: &mut Vec<u8>, value: f64) {
    let start = out.len();
    push_display(out, format_args!("{value:e}"));
    let e =
        out[start..].iter().position(|byte| *byte == b'e').expect("the format writes an exponent") + start;
    let negative = out[e + 1] == b'-';
    let digits_at = e + 1 + usize::from(negative);
    let digits = out.len() - digits_at;
    if !negative {
        out.insert(e + 1, b'+');
    }
    if digits == 1 {
        out.insert(e + 2, b'0');
    }
}

/// Digits of a whole number.
fn integer(out: &mut Vec<u8>, mut value: u64) {
    let mut digits = [0_u8; 20];
    let mut at = digits.len();
    loop {
        at -= 1;
        digits[at] = b'0' + u8::try_from(value % 10).expect("a digit is below ten");
        value /= 10;
        if value == 0 {
            break;
        }
    }
    out.extend_from_slice(&digits[at..]);
}

fn push_display(out: &mut Vec<u8>, text: std::fmt::Arguments<'_>) {
    out.write_fmt(text).expect("writing to memory does not fail");
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(write: impl FnOnce(&mut Vec<u8>)) -> String {
        let mut out = Vec::new();
        write(&mut out);
        String::from_utf8(out).expect("JSON is UTF-8")
    }

    #[test]
    fn floats_are_written_as_upstream_writes_them() {
        for (value, text) in [
            (0.0, "0"),
            (-0.0, "-0"),
            (1.0, "1"),
            (-42.0, "-42"),
            (0.1, "0.1"),
            (1.5e9, "1500000000"),
            (123_456.789, "123456.789"),
            (1e-6, "0.000001"),
            (9.9e-7, "9.9e-07"),
            (1e-7, "1e-07"),
            (-1.25e-300, "-1.25e-300"),
            (1e20, "100000000000000000000"),
            (1e21, "1e+21"),
            (1.5e100, "1.5e+100"),
            (9_007_199_254_740_993.0, "9007199254740992"),
            (f64::NAN, "NaN"),
            (f64::INFINITY, "+Inf"),
            (f64::NEG_INFINITY, "-Inf"),
            (f64::MAX, "1.7976931348623157e+308"),
        ] {
            assert_eq!(written(|out| float(out, value)), format!("\"{text}\""));
        }
    }

    #[test]
    fn timestamps_have_up_to_three_decimals() {
        for (t, text) in [
            (0, "0"),
            (1_435_781_451_781, "1435781451.781"),
            (1_000, "1"),
            (1_001, "1.001"),
            (1_010, "1.010"),
            (-1, "-0.001"),
            (i64::MIN, "-9223372036854775.808"),
        ] {
            assert_eq!(written(|out| timestamp(out, t)), text);
        }
    }

    #[test]
    fn strings_escape_html_only_where_asked() {
        let text = "a\"\\\n\t\u{1}<>&é\u{2028}";
        assert_eq!(written(|out| string(out, text)), "\"a\\\"\\\\\\n\\t\\u0001<>&é\u{2028}\"");
        assert_eq!(
            written(|out| html_safe_string(out, text)),
            "\"a\\\"\\\\\\n\\t\\u0001\\u003c\\u003e\\u0026é\\u2028\""
        );
        assert_eq!(html_safe_value(&"a<b"), b"\"a\\u003cb\"");
    }

    #[test]
    fn labels_are_an_object() {
        let set = Labels::from_pairs([("b", "<2>"), ("a", "1")]);
        assert_eq!(written(|out| labels(out, &set)), r#"{"a":"1","b":"<2>"}"#);
    }
}
