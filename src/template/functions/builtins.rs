//! Go's functions, but for comparisons and escaping.

use super::{Context, text};
use crate::template::budget::too_long;
use crate::template::print::{TooLong, sprint, sprintf, sprintln};
use crate::template::value::{IntKind, Value};

/// The last argument.
pub(super) fn last(_: &mut Context<'_>, args: &[Value]) -> Result<Value, String> {
    Ok(args.last().cloned().unwrap_or(Value::Nothing))
}

pub(super) fn not(_: &mut Context<'_>, args: &[Value]) -> Result<Value, String> {
    Ok(Value::Bool(!args[0].is_true()))
}

pub(super) fn len(_: &mut Context<'_>, args: &[Value]) -> Result<Value, String> {
    let len = match &args[0] {
        Value::Text(text) | Value::Html(text) => text.len(),
        Value::Labels(labels) => labels.len(),
        Value::Args(args) => args.entries.len(),
        Value::List(_, items) => items.len(),
        // Upstream's words where it asks nothing for its type.
        Value::Nothing => return Err("reflect: call of reflect.Value.Type on zero Value".to_owned()),
        value => return Err(format!("len of type {}", value.type_name_behind())),
    };
    Ok(Value::count(len))
}

pub(super) fn index(_: &mut Context<'_>, args: &[Value]) -> Result<Value, String> {
    let mut item = args[0].clone();
    if item == Value::Nothing {
        return Err("index of untyped nil".to_owned());
    }
    for index in &args[1..] {
        item = match &item {
            Value::Text(text) | Value::Html(text) => {
                let byte = text.get(position(index, text.len())?).ok_or(past_end("string"))?;
                Value::Int(IntKind::Uint8, i64::from(*byte))
            }
            Value::List(_, items) => {
                items.get(position(index, items.len())?).ok_or(past_end("slice"))?.clone()
            }
            Value::Labels(labels) => Value::text(labels.get(&key(index)?).unwrap_or_default()),
            Value::Args(args) => args.entries.get(&key(index)?).cloned().unwrap_or(Value::Nothing),
            Value::Nothing => return Err("index of nil pointer".to_owned()),
            other => return Err(format!("can't index item of type {}", other.type_name_behind())),
        };
    }
    Ok(item)
}

/// Upstream's words for an index right behind the end.
fn past_end(what: &str) -> String {
    format!("reflect: {what} index out of range")
}

/// An index up to `len`.
fn position(index: &Value, len: usize) -> Result<usize, String> {
    match index {
        Value::Int(_, at) => usize::try_from(*at)
            .ok()
            .filter(|at| *at <= len)
            .ok_or_else(|| format!("index out of range: {at}")),
        Value::Nothing => Err("cannot index slice/array with nil".to_owned()),
        other => Err(format!("cannot index slice/array with type {}", other.type_name())),
    }
}

fn key(index: &Value) -> Result<String, String> {
    match index {
        Value::Text(text) => Ok(String::from_utf8_lossy(text).into_owned()),
        Value::Nothing => Err("value is nil; should be of type string".to_owned()),
        other => Err(format!("value has type {}; should be string", other.type_name())),
    }
}

pub(super) fn slice(context: &mut Context<'_>, args: &[Value]) -> Result<Value, String> {
    let (item, bounds) = (&args[0], &args[1..]);
    if *item == Value::Nothing {
        return Err("slice of untyped nil".to_owned());
    }
    if bounds.len() > 3 {
        return Err(format!("too many slice indexes: {}", bounds.len()));
    }
    let len = match item {
        Value::Text(_) | Value::Html(_) if bounds.len() == 3 => {
            return Err("cannot 3-index slice a string".to_owned());
        }
        Value::Text(text) | Value::Html(text) => text.len(),
        Value::List(_, items) => items.len(),
        other => return Err(format!("can't slice item of type {}", other.type_name())),
    };
    let positions: Vec<usize> = bounds.iter().map(|bound| position(bound, len)).collect::<Result<_, _>>()?;
    let start = positions.first().copied().unwrap_or(0);
    let end = positions.get(1).copied().unwrap_or(len);
    for (a, b) in [(start, end), (end, positions.get(2).copied().unwrap_or(len))] {
        if a > b {
            return Err(format!("invalid slice index: {a} > {b}"));
        }
    }
    context.budget.produce(end - start)?;
    context.budget.look(end - start)?;
    Ok(match item {
        Value::Html(text) => Value::Html(text[start..end].into()),
        Value::List(kind, items) => Value::List(*kind, items[start..end].into()),
        other => Value::text(&text(other)[start..end]),
    })
}

pub(super) fn print(context: &mut Context<'_>, args: &[Value]) -> Result<Value, String> {
    let text = sprint(args, context.budget.bytes_left());
    printed(context, text)
}

pub(super) fn println(context: &mut Context<'_>, args: &[Value]) -> Result<Value, String> {
    let text = sprintln(args, context.budget.bytes_left());
    printed(context, text)
}

pub(super) fn printf(context: &mut Context<'_>, args: &[Value]) -> Result<Value, String> {
    let text = sprintf(text(&args[0]), &args[1..], context.budget.bytes_left());
    printed(context, text)
}

fn printed(context: &mut Context<'_>, text: Result<Vec<u8>, TooLong>) -> Result<Value, String> {
    let text = text.map_err(|TooLong| too_long())?;
    context.text(text)
}
