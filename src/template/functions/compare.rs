//! `eq`, `lt` and their relatives: numbers of one kind, texts, and what is equal besides.

use std::cmp::Ordering;
use std::sync::Arc;

use super::Context;
use crate::template::print::sprintf;
use crate::template::value::Value;

const BAD_TYPE: &str = "invalid type for comparison";

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
    if *a == Value::Nothing || *b == Value::Nothing {
        return Ok(a == b);
    }
    if kind(a) != kind(b) {
        return Err(bad_pair(a, b));
    }
    if kind(a).is_none() {
        check_comparable(a, b)?;
    }
    Ok(match (a, b) {
        (Value::Text(a) | Value::Html(a), Value::Text(b) | Value::Html(b)) => a == b,
        (Value::Int(_, a), Value::Int(_, b)) => a == b,
        // Pointers are equal where they point at the same.
        (Value::Sample(a), Value::Sample(b)) => Arc::ptr_eq(a, b),
        (Value::Histogram(a), Value::Histogram(b)) => Arc::ptr_eq(a, b),
        (Value::TimePointer(a), Value::TimePointer(b)) => Arc::ptr_eq(a, b),
        (Value::DurationPointer(a), Value::DurationPointer(b)) => Arc::ptr_eq(a, b),
        (a, b) => a == b,
    })
}

/// What a value without an order is made of.
#[derive(PartialEq, Eq)]
enum Shape {
    List,
    Map,
    Pointer,
    Struct,
}

fn shape(value: &Value) -> Shape {
    match value {
        Value::List(..) => Shape::List,
        Value::Labels(_) | Value::Args(_) => Shape::Map,
        Value::Data(_) | Value::Time(_) | Value::Span(..) => Shape::Struct,
        _ => Shape::Pointer,
    }
}

/// Values of one shape can be compared, unless the second holds maps or lists: of the first upstream does not ask it.
fn check_comparable(a: &Value, b: &Value) -> Result<(), String> {
    if shape(a) != shape(b) {
        let (type_a, type_b) = (a.type_name(), b.type_name());
        return Err(format!(
            "non-comparable types {}: {type_a}, {type_b}: {}",
            shown(a, "%s"),
            shown(b, "%v")
        ));
    }
    if matches!(b, Value::Labels(_) | Value::Args(_) | Value::List(..) | Value::Data(_)) {
        return Err(format!("non-comparable type {}: {}", shown(b, "%s"), b.type_name()));
    }
    Ok(())
}

fn bad_pair(a: &Value, b: &Value) -> String {
    format!("incompatible types for comparison: {} and {}", a.type_name(), b.type_name())
}

fn shown(value: &Value, format: &str) -> String {
    const BYTES_MAX: usize = 1 << 16;
    let text = sprintf(format.as_bytes(), std::slice::from_ref(value), BYTES_MAX).unwrap_or_default();
    String::from_utf8_lossy(&text).into_owned()
}

fn less(a: &Value, b: &Value) -> Result<bool, String> {
    let (Some(kind_a), Some(kind_b)) = (kind(a), kind(b)) else { return Err(BAD_TYPE.to_owned()) };
    if kind_a != kind_b {
        return Err(bad_pair(a, b));
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
