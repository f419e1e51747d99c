//! Numbers, durations and times for people.

use std::sync::Arc;

use super::{Context, chars};
use crate::model::GoQuoted;
use crate::template::number::parse_float;
use crate::template::print::sprintf;
use crate::template::time::{Time, duration_seconds};
use crate::template::value::{IntKind, Value};

const LARGE: [&str; 8] = ["k", "M", "G", "T", "P", "E", "Z", "Y"];
const LARGE_1024: [&str; 8] = ["ki", "Mi", "Gi", "Ti", "Pi", "Ei", "Zi", "Yi"];
const SMALL: [&str; 8] = ["m", "u", "n", "p", "f", "a", "z", "y"];

/// The number that an argument is or spells.
fn number(value: &Value) -> Result<f64, String> {
    match value {
        Value::Float(value) => Ok(*value),
        Value::Int(IntKind::Int | IntKind::Int64, value) => Ok(*value as f64),
        Value::Int(IntKind::Duration, ns) => Ok(duration_seconds(*ns)),
        Value::Text(_) => {
            let text = chars(value);
            parse_float(&text).ok_or_else(|| not_a_number(&text))
        }
        other => Err(format!("can't convert {} to float", other.type_name())),
    }
}

fn not_a_number(text: &str) -> String {
    // Digits that are too many are out of range, and everything else is no number.
    let in_syntax = text.trim_start_matches(['+', '-']).starts_with(|c: char| c.is_ascii_digit() || c == '.')
        && text.parse::<f64>().is_ok();
    let why = if in_syntax { "value out of range" } else { "invalid syntax" };
    format!("strconv.ParseFloat: parsing {}: {why}", GoQuoted(text))
}

/// Four significant digits.
fn four_digits(value: f64) -> String {
    let text = sprintf(b"%.4g", &[Value::Float(value)], 64).unwrap_or_default();
    String::from_utf8_lossy(&text).into_owned()
}

/// Divides by `base` until it is below it, or multiplies by 1000 until it is 1 or more.
fn scaled(mut value: f64, base: f64, prefixes: [&'static str; 8]) -> (f64, &'static str) {
    let mut chosen = "";
    for prefix in prefixes {
        let done = if base > 1.0 { value.abs() < base } else { value.abs() >= 1.0 };
        if done {
            break;
        }
        chosen = prefix;
        value = if base > 1.0 { value / base } else { value * 1000.0 };
    }
    (value, chosen)
}

pub(super) fn humanize(_: &mut Context<'_>, args: &[Value]) -> Result<Value, String> {
    let value = number(&args[0])?;
    if value == 0.0 || !value.is_finite() {
        return Ok(Value::text(four_digits(value)));
    }
    let (value, prefix) =
        if value.abs() >= 1.0 { scaled(value, 1000.0, LARGE) } else { scaled(value, 0.0, SMALL) };
    Ok(Value::text(format!("{}{prefix}", four_digits(value))))
}

pub(super) fn humanize_1024(_: &mut Context<'_>, args: &[Value]) -> Result<Value, String> {
    let value = number(&args[0])?;
    if value.abs() <= 1.0 || !value.is_finite() {
        return Ok(Value::text(four_digits(value)));
    }
    let (value, prefix) = scaled(value, 1024.0, LARGE_1024);
    Ok(Value::text(format!("{}{prefix}", four_digits(value))))
}

pub(super) fn percentage(_: &mut Context<'_>, args: &[Value]) -> Result<Value, String> {
    Ok(Value::text(format!("{}%", four_digits(number(&args[0])? * 100.0))))
}

pub(super) fn duration(_: &mut Context<'_>, args: &[Value]) -> Result<Value, String> {
    let value = number(&args[0])?;
    if !value.is_finite() {
        return Ok(Value::text(four_digits(value)));
    }
    if value == 0.0 {
        return Ok(Value::text(format!("{}s", four_digits(value))));
    }
    if value.abs() < 1.0 {
        let (value, prefix) = scaled(value, 0.0, SMALL);
        return Ok(Value::text(format!("{}{prefix}s", four_digits(value))));
    }
    let sign = if value < 0.0 { "-" } else { "" };
    let value = value.abs();
    let whole = go_int(value);
    let (seconds, minutes, hours, days) = (whole % 60, whole / 60 % 60, whole / 3600 % 24, whole / 86_400);
    let text = match (days, hours, minutes) {
        (0, 0, 0) => format!("{}s", four_digits(value)),
        (0, 0, _) => format!("{minutes}m {seconds}s"),
        (0, _, _) => format!("{hours}h {minutes}m {seconds}s"),
        _ => format!("{days}d {hours}h {minutes}m {seconds}s"),
    };
    Ok(Value::text(format!("{sign}{text}")))
}

/// A float as 64-bit integer; what does not fit is the least one, as amd64 converts it.
fn go_int(value: f64) -> i64 {
    let fits = (-9.223_372_036_854_776e18..9.223_372_036_854_776e18).contains(&value);
    if fits { value as i64 } else { i64::MIN }
}

fn time(seconds: f64) -> Result<Time, String> {
    if !seconds.is_finite() {
        return Err("value is NaN or Inf".to_owned());
    }
    let nanos = seconds * 1e9;
    if nanos.abs() > 9.223_372_036_854_776e18 {
        let shown = crate::model::format_float_g(seconds);
        return Err(format!(
            "{shown} cannot be represented as a nanoseconds timestamp since it overflows int64"
        ));
    }
    // Times are kept in milliseconds on the way.
    Ok(Time::from_ms(go_int(nanos) / 1_000_000))
}

pub(super) fn timestamp(_: &mut Context<'_>, args: &[Value]) -> Result<Value, String> {
    let value = number(&args[0])?;
    if !value.is_finite() {
        return Ok(Value::text(four_digits(value)));
    }
    Ok(Value::text(time(value)?.to_string()))
}

pub(super) fn to_time(_: &mut Context<'_>, args: &[Value]) -> Result<Value, String> {
    time(number(&args[0])?).map(|time| Value::TimePointer(Arc::new(time)))
}

pub(super) fn to_duration(_: &mut Context<'_>, args: &[Value]) -> Result<Value, String> {
    Ok(Value::DurationPointer(Arc::new(go_int(number(&args[0])? * 1e9))))
}

pub(super) fn now(context: &mut Context<'_>, _: &[Value]) -> Result<Value, String> {
    Ok(Value::Float(context.data.at as f64 / 1000.0))
}

pub(super) fn parse_duration(_: &mut Context<'_>, args: &[Value]) -> Result<Value, String> {
    let text = chars(&args[0]);
    let (sign, magnitude) = match text.strip_prefix('-') {
        Some(rest) => (-1.0, rest),
        None => (1.0, text.as_ref()),
    };
    let ms = crate::model::parse_duration(magnitude).map_err(|error| error.to_string())?;
    Ok(Value::Float(sign * ms as f64 / 1000.0))
}
