//! Methods of values: times, durations and histograms.

use super::functions::Param;
use super::time::{
    MONTHS, Time, WEEKDAYS, duration_rounded, duration_seconds, duration_text, format, in_units,
};
use super::value::{IntKind, Value};
use crate::model::{CUSTOM_BUCKETS_SCHEMA, FloatHistogram};
use crate::promql::histogram_text;

const NS_PER_MINUTE: i64 = 60_000_000_000;

/// What a value with a `String` method says.
pub(super) fn own_text(value: &Value) -> Option<String> {
    let named = |names: &[&str], at: i64| {
        usize::try_from(at).ok().and_then(|at| names.get(at)).map(|name| (*name).to_owned())
    };
    match value {
        Value::Time(time) => Some(time.to_string()),
        Value::TimePointer(time) => Some(time.to_string()),
        Value::DurationPointer(ns) => Some(duration_text(**ns)),
        Value::Int(IntKind::Duration, ns) => Some(duration_text(*ns)),
        Value::Int(IntKind::Month, month) => named(&MONTHS, month - 1),
        Value::Int(IntKind::Weekday, day) => named(&WEEKDAYS, *day),
        Value::Histogram(histogram) => Some(histogram_text(histogram)),
        _ => None,
    }
}

/// What a value says that prints itself as Go source.
pub(super) fn own_source(value: &Value) -> Option<String> {
    match value {
        Value::Time(_) | Value::TimePointer(_) => Some(time(value).go_text()),
        _ => None,
    }
}

/// One method of a value.
pub(super) struct Method {
    pub(super) params: &'static [Param],
    body: Body,
}

enum Body {
    Own,
    Time(fn(Time, &[Value]) -> Value),
    Duration(fn(i64, &[Value]) -> Value),
    Histogram(fn(&FloatHistogram) -> Value),
}

impl Method {
    const fn time(params: &'static [Param], body: fn(Time, &[Value]) -> Value) -> Self {
        Self { params, body: Body::Time(body) }
    }

    const fn duration(params: &'static [Param], body: fn(i64, &[Value]) -> Value) -> Self {
        Self { params, body: Body::Duration(body) }
    }

    /// What it answers for `receiver`; the arguments are as [`Self::params`] asks.
    pub(super) fn call(&self, receiver: &Value, args: &[Value]) -> Value {
        match (&self.body, receiver) {
            (Body::Time(body), receiver) => body(time(receiver), args),
            (Body::Duration(body), receiver) => body(nanos(receiver), args),
            (Body::Histogram(body), Value::Histogram(histogram)) => body(histogram),
            (Body::Own | Body::Histogram(_), receiver) => Value::text(own_text(receiver).unwrap_or_default()),
        }
    }
}

/// The method `name` of `value`; `None` where it has no such, an error where templates cannot call it.
pub(super) fn find(value: &Value, name: &str) -> Option<Result<Method, String>> {
    if name == "String" && own_text(value).is_some() {
        return Some(Ok(Method { params: &[], body: Body::Own }));
    }
    match value {
        Value::Time(_) | Value::TimePointer(_) => match uncallable(name) {
            Some(message) => Some(Err(message)),
            None => time_method(name).map(Ok),
        },
        Value::DurationPointer(_) | Value::Int(IntKind::Duration, _) => duration_method(name).map(Ok),
        Value::Histogram(_) => histogram_method(name).map(Ok),
        _ => None,
    }
}

/// Whether Go has a field of this name that templates must not see.
pub(super) fn is_hidden_field(value: &Value, name: &str) -> bool {
    matches!(value, Value::Time(_) | Value::TimePointer(_)) && matches!(name, "wall" | "ext" | "loc")
}

/// Why a method of times cannot be called: it answers several values.
fn uncallable(name: &str) -> Option<String> {
    match name {
        "Date" | "Clock" => Some(format!("function {name} has 3 return values; should be 1 or 2")),
        "ISOWeek" | "Zone" => Some(bad_second(name, "int")),
        "ZoneBounds" => Some(bad_second(name, "time.Time")),
        _ => None,
    }
}

fn bad_second(name: &str, kind: &str) -> String {
    format!("invalid function signature for {name}: second return value should be error; is {kind}")
}

fn time(value: &Value) -> Time {
    match value {
        Value::Time(time) => *time,
        Value::TimePointer(time) => **time,
        _ => Time::from_ms(0),
    }
}

fn nanos(value: &Value) -> i64 {
    match value {
        Value::Int(_, ns) => *ns,
        Value::DurationPointer(ns) => **ns,
        _ => 0,
    }
}

fn duration(ns: i64) -> Value {
    Value::Int(IntKind::Duration, ns)
}

fn int64(value: i64) -> Value {
    Value::Int(IntKind::Int64, value)
}

/// Methods of `time.Time`.
fn time_method(name: &str) -> Option<Method> {
    use Param::{Duration, Int, Text, Time as Moment};
    Some(match name {
        "Format" => Method::time(&[Text], |at, args| Value::text(format(at, &layout(args)))),
        "GoString" => Method::time(&[], |at, _| Value::text(at.go_text())),
        "UTC" | "Local" => Method::time(&[], |at, _| Value::Time(at)),
        "IsZero" => Method::time(&[], |at, _| Value::Bool(at.is_zero())),
        "Year" => Method::time(&[], |at, _| Value::int(at.date().0)),
        "Month" => Method::time(&[], |at, _| Value::Int(IntKind::Month, at.date().1)),
        "Day" => Method::time(&[], |at, _| Value::int(at.date().2)),
        "Hour" => Method::time(&[], |at, _| Value::int(at.clock().0)),
        "Minute" => Method::time(&[], |at, _| Value::int(at.clock().1)),
        "Second" => Method::time(&[], |at, _| Value::int(at.clock().2)),
        "Nanosecond" => Method::time(&[], |at, _| Value::int(i64::from(at.nanos))),
        "Weekday" => Method::time(&[], |at, _| Value::Int(IntKind::Weekday, at.weekday())),
        "YearDay" => Method::time(&[], |at, _| Value::int(at.year_day())),
        "Unix" => Method::time(&[], |at, _| int64(at.seconds)),
        "UnixMilli" => Method::time(&[], |at, _| int64(at.unix_in(1_000))),
        "UnixMicro" => Method::time(&[], |at, _| int64(at.unix_in(1_000_000))),
        "UnixNano" => Method::time(&[], |at, _| int64(at.unix_in(1_000_000_000))),
        "Add" => Method::time(&[Duration], |at, args| Value::Time(at.plus(nanos(&args[0])))),
        "AddDate" => Method::time(&[Int, Int, Int], |at, args| {
            Value::Time(at.plus_date(nanos(&args[0]), nanos(&args[1]), nanos(&args[2])))
        }),
        "Sub" => Method::time(&[Moment], |at, args| duration(at.since(time(&args[0])))),
        "Truncate" => Method::time(&[Duration], |at, args| Value::Time(at.truncated(nanos(&args[0])))),
        "Round" => Method::time(&[Duration], |at, args| Value::Time(at.rounded(nanos(&args[0])))),
        "After" => Method::time(&[Moment], |at, args| Value::Bool(at > time(&args[0]))),
        "Before" => Method::time(&[Moment], |at, args| Value::Bool(at < time(&args[0]))),
        "Equal" => Method::time(&[Moment], |at, args| Value::Bool(at == time(&args[0]))),
        "Compare" => Method::time(&[Moment], |at, args| Value::int(at.cmp(&time(&args[0])) as i64)),
        _ => return None,
    })
}

fn layout(args: &[Value]) -> String {
    match args {
        [Value::Text(text)] => String::from_utf8_lossy(text).into_owned(),
        _ => String::new(),
    }
}

/// Methods of `time.Duration`.
fn duration_method(name: &str) -> Option<Method> {
    use Param::Duration;
    Some(match name {
        "Nanoseconds" => Method::duration(&[], |ns, _| int64(ns)),
        "Microseconds" => Method::duration(&[], |ns, _| int64(ns / 1_000)),
        "Milliseconds" => Method::duration(&[], |ns, _| int64(ns / 1_000_000)),
        "Seconds" => Method::duration(&[], |ns, _| Value::Float(duration_seconds(ns))),
        "Minutes" => Method::duration(&[], |ns, _| Value::Float(in_units(ns, NS_PER_MINUTE))),
        "Hours" => Method::duration(&[], |ns, _| Value::Float(in_units(ns, 60 * NS_PER_MINUTE))),
        "Abs" => Method::duration(&[], |ns, _| duration(ns.saturating_abs())),
        "Round" => Method::duration(&[Duration], |ns, args| duration(duration_rounded(ns, nanos(&args[0])))),
        "Truncate" => Method::duration(&[Duration], |ns, args| {
            let unit = nanos(&args[0]);
            duration(if unit > 0 { ns - ns % unit } else { ns })
        }),
        _ => return None,
    })
}

/// Methods of histograms that answer something to show.
fn histogram_method(name: &str) -> Option<Method> {
    let body: fn(&FloatHistogram) -> Value = match name {
        "UsesCustomBuckets" => |histogram| Value::Bool(histogram.schema == CUSTOM_BUCKETS_SCHEMA),
        _ => return None,
    };
    Some(Method { params: &[], body: Body::Histogram(body) })
}
