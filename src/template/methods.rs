//! Methods of values: times, durations and histograms.

use super::functions::Param;
use super::time::duration_text;
use super::value::{IntKind, Value};
use crate::promql::histogram_text;

const MONTHS: [&str; 12] = [
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
];
const WEEKDAYS: [&str; 7] = ["Sunday", "Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday"];

/// What a value with a `String` method says.
pub(super) fn own_text(value: &Value) -> Option<String> {
    let named = |names: &[&str], at: i64| {
        usize::try_from(at).ok().and_then(|at| names.get(at)).map(|name| (*name).to_owned())
    };
    match value {
        Value::Time(time) => Some(time.to_string()),
        Value::Duration(ns) => Some(duration_text(*ns)),
        Value::Histogram(histogram) => Some(histogram_text(histogram)),
        Value::Int(IntKind::Month, month) => named(&MONTHS, month - 1),
        Value::Int(IntKind::Weekday, day) => named(&WEEKDAYS, *day),
        _ => None,
    }
}

/// One method of a value.
pub(super) struct Method {
    pub(super) params: &'static [Param],
    pub(super) body: fn(&Value, &[Value]) -> Result<Value, String>,
}

/// The method `name` of `value`; `None` where it has no such.
pub(super) fn find(value: &Value, name: &str) -> Option<Method> {
    if name == "String" && own_text(value).is_some() {
        return Some(Method {
            params: &[],
            body: |value, _| Ok(Value::text(own_text(value).unwrap_or_default())),
        });
    }
    None
}
