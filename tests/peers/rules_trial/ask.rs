//! What a server holds, asked through its API.

use std::collections::BTreeMap;

use serde_json::Value;

use super::super::remote_write::data_of;
use super::super::server::Server;

/// A label set.
pub(super) type Labels = BTreeMap<String, String>;
/// Samples of a series by their time in milliseconds: floats as texts, histograms as objects.
pub(super) type Samples = BTreeMap<i64, Value>;

/// All samples of what `selector` selects, in the `span_ms` before `until_ms`.
pub(super) fn stored(server: &Server, selector: &str, until_ms: i64, span_ms: i64) -> Vec<(Labels, Samples)> {
    let query = format!("{selector}[{span_ms}ms]");
    let data = data_of(server, "/api/v1/query", &[("query", &query), ("time", &seconds(until_ms))])
        .expect("a selector can be asked");
    let series = data["result"].as_array().expect("a result is a list");
    series.iter().map(|series| (labels(&series["metric"]), samples(series))).collect()
}

/// The result of an expression at a time, by label set.
pub(super) fn evaluated(server: &Server, query: &str, at_ms: i64) -> Result<BTreeMap<Labels, Value>, String> {
    let data = data_of(server, "/api/v1/query", &[("query", query), ("time", &seconds(at_ms))])?;
    let samples = data["result"].as_array().ok_or_else(|| format!("{query}: no vector"))?;
    Ok(samples.iter().map(|sample| (labels(&sample["metric"]), sample_value(sample).clone())).collect())
}

/// A label set from JSON.
pub(super) fn labels(metric: &Value) -> Labels {
    let metric = metric.as_object().expect("labels are an object");
    metric.iter().map(|(name, value)| (name.clone(), text(value).to_owned())).collect()
}

/// A text from JSON.
pub(super) fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_else(|| panic!("{value} is no text"))
}

fn samples(series: &Value) -> Samples {
    let lists = ["values", "histograms"].map(|list| series[list].as_array().cloned().unwrap_or_default());
    let points = lists.into_iter().flatten();
    points.map(|point| (milliseconds(&point[0]), point[1].clone())).collect()
}

fn sample_value(sample: &Value) -> &Value {
    let point = sample.get("value").or_else(|| sample.get("histogram"));
    &point.expect("a sample has a value or a histogram")[1]
}

fn milliseconds(seconds: &Value) -> i64 {
    (seconds.as_f64().expect("a time is a number") * 1_000.0).round() as i64
}

fn seconds(ms: i64) -> String {
    format!("{}.{:03}", ms / 1_000, ms % 1_000)
}

/// Whether two values, or all that is in them, are the same but for a share of 1e-12.
pub(super) fn same(left: &Value, right: &Value) -> bool {
    match (left, right) {
        (Value::String(left), Value::String(right)) if left == right => true,
        (Value::String(left), Value::String(right)) => match (left.parse::<f64>(), right.parse::<f64>()) {
            (Ok(left), Ok(right)) => (left - right).abs() <= 1e-12 * left.abs().max(right.abs()),
            _ => false,
        },
        (Value::Array(left), Value::Array(right)) => {
            left.len() == right.len() && left.iter().zip(right).all(|(left, right)| same(left, right))
        }
        (Value::Object(left), Value::Object(right)) => {
            left.len() == right.len()
                && left.iter().all(|(name, value)| right.get(name).is_some_and(|right| same(value, right)))
        }
        _ => left == right,
    }
}
