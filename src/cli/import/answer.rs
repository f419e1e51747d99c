//! Answers of the query API as samples.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::Deserialize;

use crate::model::{Histogram, Labels, LabelsBuilder, Timestamp};

use super::histogram::HistogramJson;

/// A series of a result, times rising.
#[derive(Debug, PartialEq)]
pub(super) struct ResultSeries {
    pub(super) labels: Labels,
    pub(super) samples: Vec<(Timestamp, Value)>,
}

/// A sample's value.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Value {
    Float(f64),
    Histogram(Arc<Histogram>),
}

#[derive(Deserialize)]
struct Body<T> {
    data: T,
}

#[derive(Deserialize)]
struct Data<T> {
    result: T,
}

/// A time in seconds and a number as text.
type FloatJson = (f64, String);

#[derive(Deserialize)]
struct RangeJson {
    #[serde(default)]
    metric: BTreeMap<String, String>,
    #[serde(default)]
    values: Vec<FloatJson>,
    #[serde(default)]
    histograms: Vec<(f64, HistogramJson)>,
}

#[derive(Deserialize)]
struct InstantJson {
    #[serde(default)]
    metric: BTreeMap<String, String>,
    value: Option<FloatJson>,
    histogram: Option<(f64, HistogramJson)>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum InstantResult {
    Scalar(FloatJson),
    Vector(Vec<InstantJson>),
}

#[derive(Deserialize)]
struct Refusal {
    error: String,
}

/// What an answer of `query_range` holds.
pub(super) fn read_range(body: &[u8]) -> Result<Vec<ResultSeries>, String> {
    let body: Body<Data<Vec<RangeJson>>> = parse(body)?;
    body.data
        .result
        .into_iter()
        .map(|series| series_of(series.metric, series.values, series.histograms))
        .collect()
}

/// What an answer of `query` holds. A scalar is a series without labels.
pub(super) fn read_instant(body: &[u8]) -> Result<Vec<ResultSeries>, String> {
    let body: Body<Data<InstantResult>> = parse(body)?;
    match body.data.result {
        InstantResult::Scalar(value) => Ok(vec![series_of(BTreeMap::new(), vec![value], Vec::new())?]),
        InstantResult::Vector(series) => {
            let one = |series: InstantJson| {
                series_of(
                    series.metric,
                    series.value.into_iter().collect(),
                    series.histogram.into_iter().collect(),
                )
            };
            series.into_iter().map(one).collect()
        }
    }
}

/// What a refusal says.
pub(super) fn refusal(body: &[u8]) -> String {
    serde_json::from_slice::<Refusal>(body).map_or_else(
        |_| String::from_utf8_lossy(&body[..body.len().min(1_000)]).trim().to_owned(),
        |refusal| refusal.error,
    )
}

fn parse<'a, T: Deserialize<'a>>(body: &'a [u8]) -> Result<T, String> {
    serde_json::from_slice(body).map_err(|error| format!("the answer cannot be read: {error}"))
}

fn series_of(
    metric: BTreeMap<String, String>,
    floats: Vec<FloatJson>,
    histograms: Vec<(f64, HistogramJson)>,
) -> Result<ResultSeries, String> {
    let mut builder = LabelsBuilder::default();
    for (name, value) in &metric {
        builder.set(name, value);
    }
    let labels = builder.build().map_err(|error| format!("the answer cannot be read: {error}"))?;
    let mut samples = Vec::with_capacity(floats.len() + histograms.len());
    for (at, text) in floats {
        let value = text.parse().map_err(|_| format!("the answer cannot be read: {text:?} is no number"))?;
        samples.push((to_ms(at), Value::Float(value)));
    }
    for (at, histogram) in histograms {
        samples.push((to_ms(at), Value::Histogram(Arc::new(histogram.read()?))));
    }
    samples.sort_by_key(|(at, _)| *at);
    Ok(ResultSeries { labels, samples })
}

fn to_ms(seconds: f64) -> Timestamp {
    (seconds * 1_000.0).round() as Timestamp
}

#[cfg(test)]
mod tests {
    use super::*;

    fn labels(pairs: &[(&str, &str)]) -> Labels {
        Labels::from_pairs(pairs.iter().copied())
    }

    #[test]
    fn ranges_are_read() {
        let body = br#"{"status":"success","data":{"resultType":"matrix","result":[
            {"metric":{"job":"a"},"values":[[1700000000.123,"1.5"],[1700000060.123,"+Inf"]]},
            {"metric":{},"histograms":[[1700000000.123,{"count":"2","sum":"3"}]]}]},"infos":["x"]}"#;
        let series = read_range(body).expect("it is an answer");
        assert_eq!(
            series[0],
            ResultSeries {
                labels: labels(&[("job", "a")]),
                samples: vec![
                    (1_700_000_000_123, Value::Float(1.5)),
                    (1_700_000_060_123, Value::Float(f64::INFINITY)),
                ],
            }
        );
        assert!(matches!(series[1].samples[..], [(1_700_000_000_123, Value::Histogram(_))]));
    }

    #[test]
    fn single_times_are_read() {
        let read = |result: &str| read_instant(format!("{{\"data\":{{\"result\":{result}}}}}").as_bytes());
        let series = read(r#"[{"metric":{"a":"b"},"value":[5,"NaN"]}]"#).expect("it is an answer");
        assert!(matches!(series[0].samples[..], [(5_000, Value::Float(value))] if value.is_nan()));
        let scalar = read(r#"[5,"-2"]"#).expect("it is an answer");
        assert_eq!(
            scalar,
            [ResultSeries { labels: labels(&[]), samples: vec![(5_000, Value::Float(-2.0))] }]
        );
        assert_eq!(read("[]"), Ok(Vec::new()));
        assert!(read(r#"[5,"text"]"#).is_err(), "a string is no result");
    }

    #[test]
    fn refusals_say_why() {
        assert_eq!(refusal(br#"{"status":"error","errorType":"execution","error":"too many"}"#), "too many");
        assert_eq!(refusal(b"gateway\n"), "gateway");
    }
}
