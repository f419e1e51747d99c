//! Texts: their case, and escaping for pages.

use super::{Context, chars, text};
use crate::model::is_printable;
use crate::template::budget::too_long;
use crate::template::print::{TooLong, sprint_shown};
use crate::template::value::Value;

pub(super) fn to_upper(context: &mut Context<'_>, args: &[Value]) -> Result<Value, String> {
    let text: String = chars(&args[0]).chars().map(|c| single(c, c.to_uppercase())).collect();
    context.text(text)
}

pub(super) fn to_lower(context: &mut Context<'_>, args: &[Value]) -> Result<Value, String> {
    let text: String = chars(&args[0]).chars().map(|c| single(c, c.to_lowercase())).collect();
    context.text(text)
}

/// Go maps character by character, so one whose upper case is several stays.
fn single(c: char, mut mapped: impl ExactSizeIterator<Item = char>) -> char {
    match c {
        'İ' => 'i',
        c if mapped.len() == 1 => mapped.next().unwrap_or(c),
        c => c,
    }
}

/// Each word's first letter that has a case in title case, the rest as it is.
pub(super) fn title(context: &mut Context<'_>, args: &[Value]) -> Result<Value, String> {
    let text = chars(&args[0]);
    let mut title = String::with_capacity(text.len());
    let mut cased = false;
    let mut before = ' ';
    let mut rest = text.chars().peekable();
    while let Some(c) = rest.next() {
        if !continues_word(c) && !rest.peek().is_some_and(|after| joins(before, c, *after)) {
            cased = false;
        }
        if cased || !has_case(c) {
            title.push(c);
        } else {
            push_title(&mut title, c);
            cased = true;
        }
        before = c;
    }
    context.text(title)
}

fn has_case(c: char) -> bool {
    c.is_lowercase() || c.is_uppercase() || matches!(c, 'ǅ' | 'ǈ' | 'ǋ' | 'ǲ')
}

fn push_title(out: &mut String, c: char) {
    match c {
        'ǆ' | 'Ǆ' => out.push('ǅ'),
        'ǉ' | 'Ǉ' => out.push('ǈ'),
        'ǌ' | 'Ǌ' => out.push('ǋ'),
        'ǳ' | 'Ǳ' => out.push('ǲ'),
        // An apostrophe and a letter, of which the letter is the upper case.
        'ŉ' => out.push_str("ʼN"),
        c => {
            let mut upper = c.to_uppercase();
            out.extend(upper.next());
            out.extend(upper.flat_map(char::to_lowercase));
        }
    }
}

/// Whether a word goes on with `c`. Each sign of the scripts without spaces is a word of its own.
fn continues_word(c: char) -> bool {
    let combining = matches!(c, '\u{300}'..='\u{36f}' | '\u{200d}' | '\u{ad}');
    c == '_' || combining || c.is_alphanumeric() && !matches!(c, '\u{2e80}'..='\u{abff}')
}

/// Whether `c` does not end a word between these: a sign between two letters or between two digits.
fn joins(before: char, c: char, after: char) -> bool {
    let in_both = matches!(c, '\'' | '.' | '\u{2018}' | '\u{2019}' | '\u{2024}');
    let letters = before.is_alphabetic() && after.is_alphabetic();
    let digits = before.is_numeric() && after.is_numeric();
    letters && (in_both || matches!(c, ':' | '\u{b7}')) || digits && (in_both || matches!(c, ',' | ';'))
}

pub(super) fn safe_html(context: &mut Context<'_>, args: &[Value]) -> Result<Value, String> {
    context.budget.produce(text(&args[0]).len())?;
    Ok(Value::Html(text(&args[0]).into()))
}

/// The arguments as they would be printed; a text alone as it is.
pub(super) fn joined(context: &mut Context<'_>, args: &[Value]) -> Result<Vec<u8>, String> {
    if let [Value::Text(text)] = args {
        return Ok(text.to_vec());
    }
    sprint_shown(args, context.budget.bytes_left()).map_err(|TooLong| too_long())
}

pub(super) fn html(context: &mut Context<'_>, args: &[Value]) -> Result<Value, String> {
    let text = joined(context, args)?;
    let mut escaped = Vec::with_capacity(text.len());
    for byte in text {
        let entity: &[u8] = match byte {
            0 => "\u{fffd}".as_bytes(),
            b'"' => b"&#34;",
            b'\'' => b"&#39;",
            b'&' => b"&amp;",
            b'<' => b"&lt;",
            b'>' => b"&gt;",
            _ => &[byte],
        };
        escaped.extend_from_slice(entity);
    }
    context.text(escaped)
}

pub(super) fn js(context: &mut Context<'_>, args: &[Value]) -> Result<Value, String> {
    let text = joined(context, args)?;
    let mut escaped = String::with_capacity(text.len());
    for c in String::from_utf8_lossy(&text).chars() {
        match c {
            '\\' => escaped.push_str("\\\\"),
            '\'' => escaped.push_str("\\'"),
            '"' => escaped.push_str("\\\""),
            '<' | '>' | '&' | '=' | '\0'..' ' => escaped.push_str(&format!("\\u{:04X}", u32::from(c))),
            c if c.is_ascii() || is_printable(c) => escaped.push(c),
            c => escaped.push_str(&format!("\\u{:04X}", u32::from(c))),
        }
    }
    context.text(escaped)
}
