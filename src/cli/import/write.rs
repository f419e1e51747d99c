//! Stores samples by remote write.

use std::collections::HashSet;

use bytes::Bytes;
use reqwest::StatusCode;
use reqwest::header::{CONTENT_ENCODING, CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue};

use crate::ingest::remote_write::encode_v2;
use crate::model::{Labels, Timestamp, stale_nan};
use crate::storage::Batch;

use super::answer::{ResultSeries, Value};
use super::plan::Slots;
use super::server::Server;

/// Most samples of a request.
const REQUEST_SAMPLES_MAX: usize = 10_000;

/// What is stored.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Stored {
    pub(super) samples: u64,
    pub(super) markers: u64,
}

/// A sample, or the marker that the series ends.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Entry {
    Sample(Value),
    Marker,
}

/// A series to be stored, times rising.
pub(super) type SeriesEntries = (Labels, Vec<(Timestamp, Entry)>);

/// Adds the markers that a server writes at the first evaluation without a result of a series. `alive` holds the
/// series with a result at the evaluation before `slots`, and then those at the last of them.
pub(super) fn with_markers(
    series: Vec<ResultSeries>,
    slots: Slots,
    alive: &mut HashSet<Labels>,
) -> Vec<SeriesEntries> {
    let mut ended = std::mem::take(alive);
    let mut marked = Vec::with_capacity(series.len());
    for ResultSeries { labels, samples } in series {
        let mut last = ended.remove(&labels).then(|| slots.first - slots.step_ms);
        let mut entries = Vec::with_capacity(samples.len() + 1);
        for (at, value) in samples {
            let due = last.map(|last| last + slots.step_ms);
            entries.extend(due.filter(|due| *due < at).map(|due| (due, Entry::Marker)));
            entries.push((at, Entry::Sample(value)));
            last = Some(at);
        }
        match last {
            Some(last) if last < slots.last() => entries.push((last + slots.step_ms, Entry::Marker)),
            Some(_) => drop(alive.insert(labels.clone())),
            None => {}
        }
        marked.push((labels, entries));
    }
    marked.extend(ended.into_iter().map(|labels| (labels, vec![(slots.first, Entry::Marker)])));
    marked
}

/// Stores all of `series`, request by request.
pub(super) async fn store(server: &Server, series: Vec<SeriesEntries>) -> Result<Stored, String> {
    let mut stored = Stored::default();
    let mut batch = Batch::default();
    for (labels, entries) in series {
        for part in entries.chunks(REQUEST_SAMPLES_MAX) {
            if batch.sample_count() + part.len() > REQUEST_SAMPLES_MAX {
                send(server, &std::mem::take(&mut batch)).await?;
            }
            push(&mut batch, &labels, part, &mut stored);
        }
    }
    if !batch.is_empty() {
        send(server, &batch).await?;
    }
    Ok(stored)
}

fn push(batch: &mut Batch, labels: &Labels, entries: &[(Timestamp, Entry)], stored: &mut Stored) {
    batch.begin_series(labels);
    for (at, entry) in entries {
        match entry {
            Entry::Marker => batch.push_float(*at, 0, stale_nan()),
            Entry::Sample(Value::Float(value)) => batch.push_float(*at, 0, *value),
            Entry::Sample(Value::Histogram(histogram)) => batch.push_histogram(*at, 0, histogram.clone()),
        }
        match entry {
            Entry::Marker => stored.markers += 1,
            Entry::Sample(_) => stored.samples += 1,
        }
    }
}

async fn send(server: &Server, batch: &Batch) -> Result<(), String> {
    let body = encode_v2(batch).map_err(|error| error.to_string())?;
    let mut headers = HeaderMap::new();
    let content_type = "application/x-protobuf;proto=io.prometheus.write.v2.Request";
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    headers.insert(CONTENT_ENCODING, HeaderValue::from_static("snappy"));
    let version = HeaderName::from_static("x-prometheus-remote-write-version");
    headers.insert(version, HeaderValue::from_static("2.0.0"));
    let answer =
        server.post("/api/v1/write", &headers, Bytes::from(body)).await.map_err(|error| error.to_string())?;
    match answer.status {
        StatusCode::OK | StatusCode::NO_CONTENT => Ok(()),
        status => {
            Err(format!("results are refused: {status}: {}", String::from_utf8_lossy(&answer.body).trim()))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SLOTS: Slots = Slots { first: 100, step_ms: 10, count: 4 };

    fn labels(name: &str) -> Labels {
        Labels::from_pairs([("__name__", name)])
    }

    fn series(name: &str, times: &[Timestamp]) -> ResultSeries {
        let samples = times.iter().map(|at| (*at, Value::Float(1.0))).collect();
        ResultSeries { labels: labels(name), samples }
    }

    /// Times of samples, and of markers as negative numbers.
    fn marked(of: &[(&str, &[Timestamp])], alive: &mut HashSet<Labels>) -> Vec<(String, Vec<Timestamp>)> {
        let series = of.iter().map(|(name, times)| series(name, times)).collect();
        let mut all: Vec<(String, Vec<Timestamp>)> = with_markers(series, SLOTS, alive)
            .into_iter()
            .map(|(labels, entries)| {
                let time =
                    |(at, entry): &(Timestamp, Entry)| if *entry == Entry::Marker { -*at } else { *at };
                (labels.get("__name__").unwrap_or_default().to_owned(), entries.iter().map(time).collect())
            })
            .collect();
        all.sort();
        all
    }

    #[test]
    fn series_end_where_results_end() {
        let mut alive = HashSet::new();
        let found =
            marked(&[("all", &[100, 110, 120, 130]), ("gap", &[110, 130]), ("short", &[100])], &mut alive);
        assert_eq!(
            found,
            [
                ("all".to_owned(), vec![100, 110, 120, 130]),
                ("gap".to_owned(), vec![110, -120, 130]),
                ("short".to_owned(), vec![100, -110]),
            ]
        );
        assert_eq!(alive, HashSet::from([labels("all"), labels("gap")]));
        let found = marked(&[("all", &[110, 120, 130])], &mut alive);
        assert_eq!(found, [("all".to_owned(), vec![-100, 110, 120, 130]), ("gap".to_owned(), vec![-100])]);
        assert_eq!(alive, HashSet::from([labels("all")]));
        assert_eq!(marked(&[("all", &[100, 110, 120, 130])], &mut alive)[0].1, [100, 110, 120, 130]);
    }
}
