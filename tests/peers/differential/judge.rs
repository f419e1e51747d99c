//! Comparison of two answers to a query: error or none, series, samples, histograms, warnings and infos.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use super::super::compare::label_text;
use super::super::http::Answer;

/// Allowed distance of two values, as a share of the larger one.
pub(super) const RELATIVE_TOLERANCE: f64 = 1e-9;
/// Most annotations of a kind that the API tells.
const ANNOTATIONS_MAX: usize = 10;

/// In what two answers differ.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Difference {
    /// One is an error, or both are of different classes.
    Class { peer: String, ours: String },
    /// Both are errors of one class, with other words.
    ErrorText { peer: String, ours: String },
    /// The labels of the series, or their number.
    Series(String),
    /// Samples of the series that both have.
    Samples(String),
    /// A warning or an info that only the peer tells.
    Missing(String),
    /// A warning or an info that only perdura tells, and all that the peer tells.
    Surplus(String, Vec<String>),
}

/// How strict the comparison is.
#[derive(Clone, Copy, Debug)]
pub(super) struct Strictness {
    /// The order of series counts.
    pub(super) ordered: bool,
    /// Which of several series with equal values is chosen does not count.
    pub(super) choice_is_free: bool,
    /// Not even the values that are chosen count, only how many they are.
    pub(super) values_are_free: bool,
    /// Allowed distance of two values, as a share of the larger one.
    pub(super) tolerance: f64,
}

impl Default for Strictness {
    fn default() -> Self {
        Self { ordered: false, choice_is_free: false, values_are_free: false, tolerance: RELATIVE_TOLERANCE }
    }
}

/// Differences between two answers, the most telling first.
pub(super) fn differences(peer: &Answer, ours: &Answer, strictness: Strictness) -> Vec<Difference> {
    let (left, right) = (peer.json(), ours.json());
    let text = |value: &Value| value["error"].as_str().unwrap_or_default().to_owned();
    if peer.status != ours.status || left["errorType"] != right["errorType"] {
        return vec![Difference::Class { peer: text(&left), ours: text(&right) }];
    }
    if left["status"] == "error" {
        if left["error"] == right["error"] {
            return Vec::new();
        }
        return vec![Difference::ErrorText { peer: text(&left), ours: text(&right) }];
    }
    let mut found: Vec<_> = result(&left["data"], &right["data"], strictness).err().into_iter().collect();
    found.extend(annotations(&left, &right));
    found
}

/// Whether an answer has a sample, or is an error that was asked for.
pub(super) fn is_telling(answer: &Answer) -> bool {
    let json = answer.json();
    let data = &json["data"];
    match data["resultType"].as_str() {
        Some("scalar" | "string") => true,
        _ => data["result"].as_array().is_some_and(|series| !series.is_empty()),
    }
}

fn annotations(left: &Value, right: &Value) -> Vec<Difference> {
    let mut found = Vec::new();
    for kind in ["warnings", "infos"] {
        let texts = |value: &Value| -> BTreeSet<String> {
            let list = value[kind].as_array().into_iter().flatten();
            list.filter_map(Value::as_str).map(str::to_owned).collect()
        };
        let (one, other) = (texts(left), texts(right));
        if one.len() >= ANNOTATIONS_MAX && other.len() >= ANNOTATIONS_MAX {
            // Which ten of them are told is not defined.
            continue;
        }
        let told: Vec<String> = one.iter().cloned().collect();
        found.extend(one.difference(&other).cloned().map(Difference::Missing));
        found.extend(other.difference(&one).map(|text| Difference::Surplus(text.clone(), told.clone())));
    }
    found
}

fn result(left: &Value, right: &Value, strictness: Strictness) -> Result<(), Difference> {
    if left["resultType"] != right["resultType"] {
        return Err(Difference::Series(format!(
            "resultType {} is not {}",
            right["resultType"], left["resultType"]
        )));
    }
    if matches!(left["resultType"].as_str(), Some("scalar" | "string")) {
        return sample(&left["result"], &right["result"], strictness).map_err(Difference::Samples);
    }
    let (one, other) = (list(&left["result"]), list(&right["result"]));
    if strictness.choice_is_free || strictness.values_are_free {
        return values_by_time(one, other, strictness);
    }
    if strictness.ordered {
        for (place, (one, other)) in one.iter().zip(other).enumerate() {
            // Series with equal values may stand either way round.
            if one["metric"] != other["metric"] && one["value"] != other["value"] {
                return Err(Difference::Series(format!("place {place}: {other} is not {one}")));
            }
        }
    }
    let (one, other) = (by_labels(one)?, by_labels(other)?);
    let only_in = |left: &BTreeMap<String, &Value>, right: &BTreeMap<String, &Value>| {
        left.keys().filter(|key| !right.contains_key(*key)).take(3).cloned().collect::<Vec<_>>()
    };
    let (missing, surplus) = (only_in(&one, &other), only_in(&other, &one));
    if !missing.is_empty() || !surplus.is_empty() {
        return Err(Difference::Series(format!(
            "{} series, not {}: missing {missing:?}, surplus {surplus:?}",
            other.len(),
            one.len()
        )));
    }
    for (labels, one) in &one {
        same_samples(one, other[labels], strictness)
            .map_err(|error| Difference::Samples(format!("{labels}: {error}")))?;
    }
    Ok(())
}

/// The values at each time are the same, whichever series have them.
fn values_by_time(left: &[Value], right: &[Value], strictness: Strictness) -> Result<(), Difference> {
    let by_time = |series: &[Value]| {
        let mut times: BTreeMap<String, Vec<f64>> = BTreeMap::new();
        for one in series {
            for pair in points(one).0 {
                let value = pair[1].as_str().and_then(|text| text.parse().ok()).unwrap_or(f64::NAN);
                times.entry(pair[0].to_string()).or_default().push(value);
            }
        }
        times.values_mut().for_each(|values| values.sort_by(f64::total_cmp));
        times
    };
    let (one, other) = (by_time(left), by_time(right));
    let same = one.len() == other.len()
        && one.iter().all(|(time, values)| {
            other.get(time).is_some_and(|others| {
                values.len() == others.len()
                    && (strictness.values_are_free
                        || values.iter().zip(others).all(|(one, other)| is_close(*one, *other, strictness)))
            })
        });
    if same { Ok(()) } else { Err(Difference::Samples("other values are chosen".to_owned())) }
}

fn by_labels(series: &[Value]) -> Result<BTreeMap<String, &Value>, Difference> {
    let mut map = BTreeMap::new();
    for one in series {
        let labels = label_text(&one["metric"]).map_err(Difference::Series)?;
        if map.insert(labels, one).is_some() {
            return Err(Difference::Series(format!("{} occurs twice", one["metric"])));
        }
    }
    Ok(map)
}

/// Floats and histograms of a series, whether it is of a vector or of a matrix.
fn points(series: &Value) -> (Vec<&Value>, Vec<&Value>) {
    let of = |one: &str, many: &str| -> Vec<&Value> {
        series.get(one).into_iter().chain(list(&series[many])).collect()
    };
    (of("value", "values"), of("histogram", "histograms"))
}

fn same_samples(left: &Value, right: &Value, strictness: Strictness) -> Result<(), String> {
    let ((floats, histograms), (other_floats, other_histograms)) = (points(left), points(right));
    if floats.len() != other_floats.len() || histograms.len() != other_histograms.len() {
        return Err(format!(
            "{} floats and {} histograms, not {} and {}",
            other_floats.len(),
            other_histograms.len(),
            floats.len(),
            histograms.len()
        ));
    }
    floats.iter().zip(&other_floats).try_for_each(|(left, right)| sample(left, right, strictness))?;
    histograms.iter().zip(&other_histograms).try_for_each(|(left, right)| {
        let same = left[0] == right[0] && same_tree(&left[1], &right[1], strictness);
        if same { Ok(()) } else { Err(histogram_difference(left, right, strictness)) }
    })
}

/// Time, count and sum of two histograms, and the buckets that differ.
fn histogram_difference(left: &Value, right: &Value, strictness: Strictness) -> String {
    let head = |one: &Value| format!("at {} count {} sum {}", one[0], one[1]["count"], one[1]["sum"]);
    let (one, other) = (list(&left[1]["buckets"]), list(&right[1]["buckets"]));
    let mut pairs = one.iter().zip(other).filter(|(one, other)| !same_tree(one, other, strictness));
    let first = pairs.next().map(|(one, other)| format!("{other} is not {one}"));
    let lengths = format!("{} buckets, not {}", other.len(), one.len());
    format!("{}, not {}: {}", head(right), head(left), first.unwrap_or(lengths))
}

fn sample(left: &Value, right: &Value, strictness: Strictness) -> Result<(), String> {
    let same = left[0] == right[0] && same_tree(&left[1], &right[1], strictness);
    if same { Ok(()) } else { Err(format!("{right} is not {left}")) }
}

/// Numbers, which are texts here, are close; everything else is equal.
fn same_tree(left: &Value, right: &Value, strictness: Strictness) -> bool {
    match (left, right) {
        (Value::String(one), Value::String(other)) => match (one.parse::<f64>(), other.parse::<f64>()) {
            (Ok(one), Ok(other)) => is_close(one, other, strictness),
            _ => one == other,
        },
        (Value::Array(one), Value::Array(other)) => {
            one.len() == other.len()
                && one.iter().zip(other).all(|(one, other)| same_tree(one, other, strictness))
        }
        (Value::Object(one), Value::Object(other)) => {
            one.len() == other.len()
                && one.iter().all(|(name, value)| {
                    other.get(name).is_some_and(|other| same_tree(value, other, strictness))
                })
        }
        _ => left == right,
    }
}

fn is_close(one: f64, other: f64, strictness: Strictness) -> bool {
    one == other
        || (one.is_nan() && other.is_nan())
        || (one - other).abs() <= strictness.tolerance * one.abs().max(other.abs())
}

fn list(value: &Value) -> &[Value] {
    value.as_array().map_or(&[], Vec::as_slice)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(status: u16, text: &str) -> Answer {
        Answer { status, headers: Vec::new(), body: text.as_bytes().to_vec() }
    }

    fn vector(value: &str, more: &str) -> Answer {
        let data = format!(
            r#"{{"resultType":"vector","result":[{{"metric":{{"a":"b"}},"value":[1,"{value}"]}},{{"metric":{{}},"histogram":[1,{{"count":"2","buckets":[[0,"1","2","2"]]}}]}}]}}"#
        );
        answer(200, &format!(r#"{{"status":"success","data":{data}{more}}}"#))
    }

    #[test]
    fn what_differs_is_told() {
        let strict = Strictness::default();
        assert_eq!(differences(&vector("1", ""), &vector("1.0000000001", ""), strict), []);
        assert_eq!(differences(&vector("NaN", ""), &vector("NaN", ""), strict), []);
        assert!(matches!(
            differences(&vector("1", ""), &vector("2", ""), strict)[..],
            [Difference::Samples(_)]
        ));
        let warned = vector("1", r#","warnings":["PromQL warning: x"]"#);
        let found = differences(&warned, &vector("1", ""), strict);
        assert!(matches!(&found[..], [Difference::Missing(text)] if text.contains('x')));
        let error = |text: &str| {
            answer(422, &format!(r#"{{"status":"error","errorType":"execution","error":"{text}"}}"#))
        };
        assert_eq!(
            differences(&error("a"), &error("b"), strict),
            [Difference::ErrorText { peer: "a".to_owned(), ours: "b".to_owned() }]
        );
        assert_eq!(
            differences(&error("a"), &vector("1", ""), strict),
            [Difference::Class { peer: "a".to_owned(), ours: String::new() }]
        );
    }

    #[test]
    fn histograms_count_bucket_by_bucket() {
        let one = vector("1", "");
        let other = answer(200, &one.text().replace(r#""2","2"]"#, r#""2","3"]"#));
        let found = differences(&one, &other, Strictness::default());
        assert!(matches!(found[..], [Difference::Samples(_)]));
        assert!(is_telling(&one));
    }
}
