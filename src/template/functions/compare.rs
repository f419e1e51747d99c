//! `eq`, `lt` and their relatives: numbers of one kind, texts, and what is equal besides.

use std::cmp::Ordering;

use super::Context;
use crate::template::value::Value;

const BAD_TYPE: &str = "invalid type for comparison";
const BAD_PAIR: &str = "incompatible types for comparison";

/// Whether the first argument equals any of the others.
pub(super) fn eq(_: &mut Context<'_>, args: &[Value]) -> Result<Value, String> {
    if args.len() < 2 {
        return Err("missing argument for comparison".to_owned());
    }
    for other in &args[1..] {
        if equal(&args[0], other)? {
            return Ok(Value::Bool(true));
        }
    }
    Ok(Value::Bool(false))
}

pub(super) fn ne(_: &mut Context<'_>, args: &[Value]) -> Result<Value, String> {
    Ok(Value::Bool(!equal(&args[0], &args[1])?))
}

pub(super) fn lt(_: &mut Context<'_>, args: &[Value]) -> Result<Value, String> {
    Ok(Value::Bool(less(&args[0], &args[1])?))
}

pub(super) fn le(_: &mut Context<'_>, args: &[Value]) -> Result<Value, String> {
    Ok(Value::Bool(less_or_equal(&args[0], &args[1])?))
}

/// The reverse of `le`, for NaN too.
pub(super) fn gt(_: &mut Context<'_>, args: &[Value]) -> Result<Value, String> {
    Ok(Value::Bool(!less_or_equal(&args[0], &args[1])?))
}

/// The reverse of `lt`, for NaN too.
pub(super) fn ge(_: &mut Context<'_>, args: &[Value]) -> Result<Value, String> {
    Ok(Value::Bool(!less(&args[0], &args[1])?))
}

/// Kinds of which two values can be compared.
#[derive(PartialEq, Eq)]
enum Kind {
    Bool,
    Complex,
    Float,
    Int,
    Text,
}

fn kind(value: &Value) -> Option<Kind> {
    match value {
        Value::Bool(_) => Some(Kind::Bool),
        Value::Complex(..) => Some(Kind::Complex),
        Value::Float(_) => Some(Kind::Float),
        Value::Int(..) => Some(Kind::Int),
        Value::Text(_) | Value::Html(_) => Some(Kind::Text),
        _ => None,
    }
}

fn equal(a: &Value, b: &Value) -> Result<bool, String> {
    let comparable =
        |value: &Value| !matches!(value, Value::Labels(_) | Value::Args(_) | Value::List(..) | Value::Data);
    if !comparable(a) {
        return Err(format!("non-comparable type {}: {}", shown(a), a.type_name()));
    }
    if kind(a) != kind(b) && kind(a).is_some() && kind(b).is_some() {
        return Err(BAD_PAIR.to_owned());
    }
    if !comparable(b) {
        return Err(format!("non-comparable type {}: {}", shown(b), b.type_name()));
    }
    Ok(match (a, b) {
        (Value::Text(a) | Value::Html(a), Value::Text(b) | Value::Html(b)) => a == b,
        (Value::Int(_, a), Value::Int(_, b)) => a == b,
        (a, b) => a == b,
    })
}

fn shown(value: &Value) -> String {
    let text = crate::template::print::sprint(std::slice::from_ref(value), 1 << 16).unwrap_or_default();
    String::from_utf8_lossy(&text).into_owned()
}

fn less(a: &Value, b: &Value) -> Result<bool, String> {
    let (Some(kind_a), Some(kind_b)) = (kind(a), kind(b)) else { return Err(BAD_TYPE.to_owned()) };
    if kind_a != kind_b {
        return Err(BAD_PAIR.to_owned());
    }
    match (a, b) {
        (Value::Float(a), Value::Float(b)) => Ok(a < b),
        (Value::Int(_, a), Value::Int(_, b)) => Ok(a.cmp(b) == Ordering::Less),
        (Value::Text(a) | Value::Html(a), Value::Text(b) | Value::Html(b)) => Ok(a < b),
        _ => Err(BAD_TYPE.to_owned()),
    }
}

fn less_or_equal(a: &Value, b: &Value) -> Result<bool, String> {
    Ok(less(a, b)? || equal(a, b)?)
}
