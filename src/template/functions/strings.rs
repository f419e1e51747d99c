//! Texts: their case, and escaping for pages.

use super::{Context, chars, text};
use crate::model::is_printable;
use crate::template::budget::too_long;
use crate::template::print::{TooLong, sprint};
use crate::template::value::Value;

pub(super) fn to_upper(context: &mut Context<'_>, args: &[Value]) -> Result<Value, String> {
    let text: String = chars(&args[0]).chars().map(|c| single(c, c.to_uppercase())).collect();
    context.text(text)
}

pub(super) fn to_lower(context: &mut Context<'_>, args: &[Value]) -> Result<Value, String> {
    let text: String = chars(&args[0]).chars().map(|c| single(c, c.to_lowercase())).collect();
    context.text(text)
}

/// Go maps character by character, so one that would become several stays.
fn single(c: char, mut mapped: impl ExactSizeIterator<Item = char>) -> char {
    if mapped.len() == 1 { mapped.next().unwrap_or(c) } else { c }
}

/// Each word's first letter in upper case, the rest as it is.
pub(super) fn title(context: &mut Context<'_>, args: &[Value]) -> Result<Value, String> {
    let text = chars(&args[0]);
    let mut title = String::with_capacity(text.len());
    let mut inside_word = false;
    let mut rest = text.chars().peekable();
    while let Some(c) = rest.next() {
        if inside_word || !c.is_alphabetic() {
            title.push(c);
        } else {
            title.extend(c.to_uppercase());
        }
        inside_word =
            continues_word(c) || inside_word && joins(c) && rest.peek().is_some_and(|c| c.is_alphabetic());
    }
    context.text(title)
}

fn continues_word(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

/// Signs that do not end a word between two letters.
fn joins(c: char) -> bool {
    matches!(c, '\'' | '.' | ':' | '\u{b7}' | '\u{2019}' | '\u{2018}' | '\u{2024}')
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
    let values: Vec<Value> = args.iter().map(printable).collect();
    sprint(&values, context.budget.bytes_left()).map_err(|TooLong| too_long())
}

/// What is not there is printed as such.
fn printable(value: &Value) -> Value {
    match value {
        Value::Nothing => Value::text("<no value>"),
        other => other.clone(),
    }
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
