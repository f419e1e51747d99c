//! Comparison of JSON by names and types.

use serde_json::Value;

/// Members that upstream's newer releases answer, and the real Prometheus at hand does not yet.
const NEWER: &[&str] = &[
    // Samples that a query read from storage, beside those that it held (changelog of 3.13.0, #18081).
    "samplesRead",
    "samplesReadPerStep",
    // Parsed queries: extended range selectors, fill modifiers and duration expressions.
    "anchored",
    "smoothed",
    "fillValues",
    "rangeExpr",
    "offsetExpr",
    "stepExpr",
    // Discovered labels: settings of a job that relabelling may change for a target (changelog of 3.13.0).
    "__always_scrape_classic_histograms__",
    "__convert_classic_histograms_to_nhcb__",
    "__scrape_native_histograms__",
];

/// Members that upstream does not have.
const OWN: &[&str] = &["seriesCreatedLastHour", "seriesLimits"];

/// What is different in names or types, or `Ok`. Lists are compared by their first item. In an object whose values are
/// all texts the names are data, not shape.
pub(crate) fn same_shape(expected: &Value, actual: &Value) -> Result<(), String> {
    at("", expected, actual)
}

fn at(place: &str, expected: &Value, actual: &Value) -> Result<(), String> {
    match (expected, actual) {
        (Value::Object(left), Value::Object(right)) => {
            let is_data = |map: &serde_json::Map<String, Value>| map.values().all(Value::is_string);
            if is_data(left) && is_data(right) && left.len() > 8 {
                return Ok(());
            }
            for (name, value) in left {
                let other = right.get(name).ok_or_else(|| format!("{place}.{name} is missing"))?;
                at(&format!("{place}.{name}"), value, other)?;
            }
            let is_known = |name: &str| NEWER.contains(&name) || OWN.contains(&name);
            match right.keys().find(|name| !left.contains_key(*name) && !is_known(name)) {
                Some(name) => Err(format!("{place}.{name} is not expected")),
                None => Ok(()),
            }
        }
        (Value::Array(left), Value::Array(right)) => match (left.first(), right.first()) {
            (Some(one), Some(other)) => at(&format!("{place}[0]"), one, other),
            (None, None) => Ok(()),
            (one, other) => Err(format!("{place}: first item is {other:?}, not {one:?}")),
        },
        _ if std::mem::discriminant(expected) == std::mem::discriminant(actual) => Ok(()),
        _ => Err(format!("{place}: {actual} is not of the type of {expected}")),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn names_and_types_count_but_values_do_not() {
        let expected = json!({"a": 1, "b": [{"c": "x"}]});
        assert_eq!(same_shape(&expected, &json!({"a": 2, "b": [{"c": "y"}, {"c": "z"}]})), Ok(()));
        assert!(same_shape(&expected, &json!({"a": "1", "b": [{"c": "x"}]})).is_err(), "another type");
        assert!(same_shape(&expected, &json!({"a": 1, "b": [{"d": "x"}]})).is_err(), "another name");
        assert!(same_shape(&expected, &json!({"a": 1, "b": null})).is_err(), "null is no list");
        assert!(same_shape(&expected, &json!({"a": 1, "b": [{"c": "x"}], "d": 1})).is_err(), "one too many");
    }
}
