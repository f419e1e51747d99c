//! Comparison of two servers' answers: the same series, the same times, the same values.

use std::collections::BTreeMap;

use serde_json::Value;

/// Allowed distance of two values, as a share of the larger one.
const RELATIVE_TOLERANCE: f64 = 1e-9;

/// What is different between two `data` objects of query answers, or `Ok`. `ordered`: order of series counts.
pub(crate) fn same_result(expected: &Value, actual: &Value, ordered: bool) -> Result<(), String> {
    if expected["resultType"] != actual["resultType"] {
        return Err(format!("resultType {} is not {}", actual["resultType"], expected["resultType"]));
    }
    match expected["resultType"].as_str() {
        Some("scalar" | "string") => same_sample(&expected["result"], &actual["result"]),
        Some("vector" | "matrix") => same_series(&expected["result"], &actual["result"], ordered),
        other => Err(format!("unknown resultType {other:?}")),
    }
}

/// How many series a `data` object has; 1 for a scalar or a string.
pub(crate) fn series_count(data: &Value) -> usize {
    match data["resultType"].as_str() {
        Some("scalar" | "string") => 1,
        _ => data["result"].as_array().map_or(0, Vec::len),
    }
}

fn same_series(expected: &Value, actual: &Value, ordered: bool) -> Result<(), String> {
    let (left, right) = (list(expected)?, list(actual)?);
    if ordered {
        for (place, (one, other)) in left.iter().zip(right).enumerate() {
            if one["metric"] != other["metric"] {
                return Err(format!("place {place}: {} is not {}", other["metric"], one["metric"]));
            }
        }
    }
    let (left, right) = (by_labels(left)?, by_labels(right)?);
    let missing: Vec<_> = left.keys().filter(|key| !right.contains_key(*key)).take(3).collect();
    let surplus: Vec<_> = right.keys().filter(|key| !left.contains_key(*key)).take(3).collect();
    if !missing.is_empty() || !surplus.is_empty() {
        return Err(format!(
            "{} series are not {}: missing {missing:?}, surplus {surplus:?}",
            right.len(),
            left.len()
        ));
    }
    for (labels, one) in &left {
        same_samples(one, right[labels]).map_err(|error| format!("{labels}: {error}"))?;
    }
    Ok(())
}

fn by_labels(series: &[Value]) -> Result<BTreeMap<String, &Value>, String> {
    let mut map = BTreeMap::new();
    for one in series {
        if map.insert(label_text(&one["metric"])?, one).is_some() {
            return Err(format!("{} occurs twice", one["metric"]));
        }
    }
    Ok(map)
}

/// Labels of a series in one order, as text.
pub(crate) fn label_text(metric: &Value) -> Result<String, String> {
    let labels = metric.as_object().ok_or_else(|| format!("{metric} is no label set"))?;
    let sorted: BTreeMap<_, _> = labels.iter().collect();
    Ok(format!("{sorted:?}"))
}

fn same_samples(one: &Value, other: &Value) -> Result<(), String> {
    if one.get("value").is_some() {
        return same_sample(&one["value"], &other["value"]);
    }
    let (left, right) = (list(&one["values"])?, list(&other["values"])?);
    if left.len() != right.len() {
        return Err(format!("{} samples are not {}", right.len(), left.len()));
    }
    left.iter().zip(right).try_for_each(|(left, right)| same_sample(left, right))
}

fn same_sample(expected: &Value, actual: &Value) -> Result<(), String> {
    let different = || Err(format!("{actual} is not {expected}"));
    let (Some(at), Some(other_at)) = (expected[0].as_f64(), actual[0].as_f64()) else { return different() };
    let (Some(text), Some(other_text)) = (expected[1].as_str(), actual[1].as_str()) else {
        return different();
    };
    // Times are milliseconds written as seconds.
    if (at - other_at).abs() > 0.000_5 {
        return different();
    }
    match (text.parse::<f64>(), other_text.parse::<f64>()) {
        (Ok(one), Ok(other)) if is_close(one, other) => Ok(()),
        (Err(_), Err(_)) if text == other_text => Ok(()),
        _ => different(),
    }
}

fn is_close(one: f64, other: f64) -> bool {
    one == other
        || (one.is_nan() && other.is_nan())
        || (one - other).abs() <= RELATIVE_TOLERANCE * one.abs().max(other.abs())
}

fn list(value: &Value) -> Result<&[Value], String> {
    value.as_array().map(Vec::as_slice).ok_or_else(|| format!("{value} is no list"))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn vector(value: &str) -> Value {
        json!({"resultType": "vector", "result": [{"metric": {"a": "b"}, "value": [1.5, value]}]})
    }

    #[test]
    fn values_may_differ_by_a_billionth() {
        assert_eq!(same_result(&vector("1000000000"), &vector("1000000001"), false), Ok(()));
        assert!(same_result(&vector("1000000000"), &vector("1000000002"), false).is_err());
        assert_eq!(same_result(&vector("NaN"), &vector("NaN"), false), Ok(()));
        assert!(same_result(&vector("0"), &vector("1e-300"), false).is_err());
    }

    #[test]
    fn series_may_not_differ() {
        let other = json!({"resultType": "vector", "result": [{"metric": {"a": "c"}, "value": [1.5, "1"]}]});
        assert!(same_result(&vector("1"), &other, false).is_err());
        let none = json!({"resultType": "vector", "result": []});
        assert!(same_result(&vector("1"), &none, false).is_err());
        assert!(same_result(&none, &vector("1"), false).is_err());
    }

    #[test]
    fn order_counts_where_it_is_asked_for() {
        let series = |names: [&str; 2]| {
            let one = |name: &str| json!({"metric": {"a": name}, "value": [1, "1"]});
            json!({"resultType": "vector", "result": [one(names[0]), one(names[1])]})
        };
        assert_eq!(same_result(&series(["b", "c"]), &series(["c", "b"]), false), Ok(()));
        assert!(same_result(&series(["b", "c"]), &series(["c", "b"]), true).is_err());
    }
}
