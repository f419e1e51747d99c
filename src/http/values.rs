//! Results of queries in JSON.

use std::sync::Arc;
use std::time::Duration;

use crate::model::{FloatHistogram, Labels, Timestamp, format_float};
use crate::promql::{MatrixSeries, QueryStats, QueryValue, SampleValue, VectorSample};

use super::histogram::histogram;
use super::json;
use super::pieces::{Disconnected, PieceWriter};

/// The value of a query; long lists leave in pieces.
pub(super) fn value(writer: &mut PieceWriter, value: &QueryValue) -> Result<(), Disconnected> {
    match value {
        QueryValue::Scalar { t, v } => {
            single(writer.buffer(), *t, |out| json::string(out, &format_float(*v)))
        }
        QueryValue::String { t, v } => {
            single(writer.buffer(), *t, |out| json::html_safe_string(out, &String::from_utf8_lossy(v)));
        }
        QueryValue::Vector(samples) => return writer.list(samples, vector_sample),
        QueryValue::Matrix(series) => return matrix(writer, series),
    }
    Ok(())
}

/// Scalars and strings are the only ones whose time is written as a plain number: without trailing zeros.
fn single(out: &mut Vec<u8>, t: Timestamp, write: impl FnOnce(&mut Vec<u8>)) {
    out.push(b'[');
    plain_time(out, t);
    out.push(b',');
    write(out);
    out.push(b']');
}

fn plain_time(out: &mut Vec<u8>, t: Timestamp) {
    json::timestamp(out, t);
    if t % 1_000 != 0 {
        while out.last() == Some(&b'0') {
            out.pop();
        }
    }
}

fn metric(out: &mut Vec<u8>, labels: &Labels) {
    out.extend_from_slice(b"{\"metric\":");
    json::labels(out, labels);
}

fn point(out: &mut Vec<u8>, t: Timestamp, write: impl FnOnce(&mut Vec<u8>)) {
    out.push(b'[');
    json::timestamp(out, t);
    out.push(b',');
    write(out);
    out.push(b']');
}

fn vector_sample(out: &mut Vec<u8>, sample: &VectorSample) {
    metric(out, &sample.labels);
    match &sample.value {
        SampleValue::Float(v) => {
            out.extend_from_slice(b",\"value\":");
            point(out, sample.t, |out| json::float(out, *v));
        }
        SampleValue::Histogram(h) => {
            out.extend_from_slice(b",\"histogram\":");
            point(out, sample.t, |out| histogram(out, h));
        }
    }
    out.push(b'}');
}

fn matrix(writer: &mut PieceWriter, list: &[MatrixSeries]) -> Result<(), Disconnected> {
    writer.buffer().push(b'[');
    for (index, series) in list.iter().enumerate() {
        if index > 0 {
            writer.buffer().push(b',');
        }
        matrix_series(writer, series)?;
    }
    writer.buffer().push(b']');
    Ok(())
}

fn matrix_series(writer: &mut PieceWriter, series: &MatrixSeries) -> Result<(), Disconnected> {
    metric(writer.buffer(), &series.labels);
    points(writer, b",\"values\":[", &series.floats, |out, v| json::float(out, *v))?;
    points(writer, b",\"histograms\":[", &series.histograms, |out, h: &Arc<FloatHistogram>| {
        histogram(out, h)
    })?;
    writer.buffer().push(b'}');
    writer.offer()
}

/// How many points are written between two looks at the buffer's size.
const POINTS_BETWEEN_OFFERS: usize = 256;

fn points<T>(
    writer: &mut PieceWriter,
    head: &[u8],
    points: &[(Timestamp, T)],
    write: impl Fn(&mut Vec<u8>, &T),
) -> Result<(), Disconnected> {
    if points.is_empty() {
        return Ok(());
    }
    writer.buffer().extend_from_slice(head);
    for (chunk_index, chunk) in points.chunks(POINTS_BETWEEN_OFFERS).enumerate() {
        let out = writer.buffer();
        for (index, (t, v)) in chunk.iter().enumerate() {
            if index + chunk_index > 0 {
                out.push(b',');
            }
            point(out, *t, |out| write(out, v));
        }
        writer.offer()?;
    }
    writer.buffer().push(b']');
    Ok(())
}

#[derive(serde::Serialize)]
#[serde(rename_all = "camelCase")]
struct StatsJson {
    timings: TimingsJson,
    samples: SamplesJson,
}

#[derive(serde::Serialize)]
#[serde(rename_all = "camelCase")]
struct TimingsJson {
    eval_total_time: f64,
    result_sort_time: f64,
    query_preparation_time: f64,
    inner_eval_time: f64,
    exec_queue_time: f64,
    exec_total_time: f64,
}

#[derive(serde::Serialize)]
#[serde(rename_all = "camelCase")]
struct SamplesJson {
    #[serde(skip_serializing_if = "Option::is_none")]
    total_queryable_samples_per_step: Option<Vec<(f64, u64)>>,
    total_queryable_samples: u64,
    samples_read: u64,
    peak_samples: u64,
}

/// What a query cost. `queued`: how long it waited for its turn.
pub(super) fn stats(out: &mut Vec<u8>, stats: &QueryStats, queued: Duration) {
    let shown = StatsJson {
        timings: TimingsJson {
            eval_total_time: stats.total_time.as_secs_f64(),
            result_sort_time: stats.sort_time.as_secs_f64(),
            query_preparation_time: stats.prepare_time.as_secs_f64(),
            inner_eval_time: stats.evaluate_time.as_secs_f64(),
            exec_queue_time: queued.as_secs_f64(),
            exec_total_time: (stats.total_time + queued).as_secs_f64(),
        },
        samples: SamplesJson {
            total_queryable_samples_per_step: stats
                .samples_per_step
                .as_ref()
                .map(|steps| steps.iter().map(|(t, count)| (*t as f64 / 1_000.0, *count)).collect()),
            total_queryable_samples: stats.samples_total,
            samples_read: stats.samples_read,
            peak_samples: stats.samples_peak,
        },
    };
    out.extend_from_slice(&json::html_safe_value(&shown));
}

#[cfg(test)]
mod tests {
    use super::*;
    use http_body_util::BodyExt;

    fn written(of: &QueryValue) -> String {
        let (mut writer, body) = PieceWriter::new();
        value(&mut writer, of).expect("the body is there");
        writer.finish().expect("the body is there");
        let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime starts");
        let bytes = runtime.block_on(async {
            body.await.expect("the body was sent").collect().await.expect("bodies do not fail").to_bytes()
        });
        String::from_utf8(bytes.to_vec()).expect("JSON is UTF-8")
    }

    #[test]
    fn each_kind_has_its_shape() {
        let labels = Labels::from_pairs([("__name__", "up"), ("job", "a<b")]);
        let empty = Arc::new(FloatHistogram::default());
        for (value, text) in [
            (QueryValue::Scalar { t: 1_010, v: 1e-7 }, r#"[1.01,"0.0000001"]"#),
            (QueryValue::String { t: 100_000, v: b"a<b".to_vec() }, r#"[100,"a\u003cb"]"#),
            (QueryValue::Vector(vec![]), "[]"),
            (
                QueryValue::Vector(vec![
                    VectorSample { labels: labels.clone(), t: 1_010, value: SampleValue::Float(1e-7) },
                    VectorSample {
                        labels: Labels::default(),
                        t: 0,
                        value: SampleValue::Histogram(Arc::clone(&empty)),
                    },
                ]),
                r#"[{"metric":{"__name__":"up","job":"a<b"},"value":[1.010,"1e-07"]},{"metric":{},"histogram":[0,{"count":"0","sum":"0"}]}]"#,
            ),
            (
                QueryValue::Matrix(vec![MatrixSeries {
                    labels,
                    floats: vec![(0, 1.0), (500, f64::NAN)],
                    histograms: vec![(1_000, empty)],
                }]),
                r#"[{"metric":{"__name__":"up","job":"a<b"},"values":[[0,"1"],[0.500,"NaN"]],"histograms":[[1,{"count":"0","sum":"0"}]]}]"#,
            ),
        ] {
            assert_eq!(written(&value), text);
        }
    }

    #[test]
    fn long_series_are_whole() {
        let floats: Vec<(Timestamp, f64)> = (0..1_000).map(|n| (n * 1_000, 1.0)).collect();
        let text = written(&QueryValue::Matrix(vec![MatrixSeries { floats, ..MatrixSeries::default() }]));
        assert_eq!(text.matches("],[").count(), 999);
        assert!(text.ends_with("[999,\"1\"]]}]"), "{text}");
    }
}
