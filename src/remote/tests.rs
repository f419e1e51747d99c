//! Sending, with a receiver that remembers.

mod stored;

use std::collections::{BTreeMap, VecDeque};
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};

use super::*;
use crate::clock::Clock;
use crate::fs::{CrashMode, FaultFs};
use crate::ingest::remote_write::{Decoded, Protocol, decode};
use crate::ingest::snappy;
use crate::lock::lock;
use crate::model::{
    CounterResetHint, Exemplar, Histogram, HistogramCounts, Labels, Metadata, MetricType, Span, TenantId,
};
use crate::storage::{Acceptance, Append, Batch};

/// Longest wait for something that should happen within a second; the machine may be busy.
const PATIENCE: Duration = Duration::from_secs(60);

/// What one request brought.
#[derive(Clone, Debug)]
struct Came {
    headers: HeaderMap,
    batch: Batch,
    status: StatusCode,
}

/// Answers that were asked for, before everything is taken.
type Script = Arc<Mutex<VecDeque<(StatusCode, Option<&'static str>)>>>;

/// A receiver that remembers what it is sent.
#[derive(Clone, Default)]
struct Receiver {
    came: Arc<Mutex<Vec<Came>>>,
    script: Script,
    /// Answers 503 while set.
    is_away: Arc<Mutex<bool>>,
}

impl Receiver {
    async fn start() -> (Self, String) {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port is free");
        let url = format!("http://{}/api/v1/write", listener.local_addr().expect("it is bound"));
        let receiver = Self::default();
        let router = Router::new().fallback(take).with_state(receiver.clone());
        tokio::spawn(async move { axum::serve(listener, router).await });
        (receiver, url)
    }

    fn answers_with(&self, status: StatusCode, retry_after: Option<&'static str>) {
        lock(&self.script).push_back((status, retry_after));
    }

    fn set_away(&self, is_away: bool) {
        *lock(&self.is_away) = is_away;
    }

    fn came(&self) -> Vec<Came> {
        lock(&self.came).clone()
    }

    /// Values of each series in the order in which they were taken.
    fn taken(&self) -> BTreeMap<String, Vec<f64>> {
        let mut taken: BTreeMap<String, Vec<f64>> = BTreeMap::new();
        for came in self.came().iter().filter(|came| came.status.is_success()) {
            for series in &came.batch.series {
                let labels = Labels::from_bytes(came.batch.labels_of(series)).expect("it was decoded");
                let values = came.batch.floats[series.floats.clone()].iter().map(|entry| entry.value);
                taken.entry(labels.to_string()).or_default().extend(values);
            }
        }
        taken
    }

    async fn until(&self, what: &str, done: impl Fn(&Self) -> bool) {
        let waiting = async {
            while !done(self) {
                tokio::time::sleep(Duration::from_millis(2)).await;
            }
        };
        assert!(tokio::time::timeout(PATIENCE, waiting).await.is_ok(), "still waiting: {what}");
    }
}

async fn take(State(receiver): State<Receiver>, headers: HeaderMap, body: Bytes) -> Response {
    let is_v2 = headers[header::CONTENT_TYPE].to_str().is_ok_and(|text| text.contains("v2.Request"));
    let mut plain = Vec::new();
    snappy::decompress(&body, 1 << 20, &mut plain).expect("the body is snappy");
    let protocol = if is_v2 { Protocol::V2 } else { Protocol::V1 };
    let Decoded { batch, problems, .. } = decode(protocol, &plain).expect("the body is a message");
    assert!(problems.is_empty(), "{problems}");
    let scripted = lock(&receiver.script).pop_front();
    let (status, retry_after) = match scripted {
        Some(scripted) => scripted,
        None if *lock(&receiver.is_away) => (StatusCode::SERVICE_UNAVAILABLE, None),
        None => (StatusCode::NO_CONTENT, None),
    };
    let mut response = (status, format!("says {status}")).into_response();
    if let Some(after) = retry_after {
        response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from_static(after));
    }
    if is_v2 && status.is_success() {
        let count = |count: usize| HeaderValue::from(count);
        let written = response.headers_mut();
        written.insert("x-prometheus-remote-write-samples-written", count(batch.floats.len()));
        written.insert("x-prometheus-remote-write-histograms-written", count(batch.histograms.len()));
        written.insert("x-prometheus-remote-write-exemplars-written", count(batch.exemplars.len()));
    }
    lock(&receiver.came).push(Came { headers, batch, status });
    response
}

/// A receiver's configuration with short times, and further fields.
fn config(url: &str, further: &str) -> RemoteWriteConfig {
    let queue = "batch_send_deadline: 5ms, min_backoff: 1ms, max_backoff: 10ms";
    let (queue, further) = match further.strip_prefix("queue:") {
        Some(rest) => (format!("{queue}, {rest}"), String::new()),
        None if further.is_empty() => (queue.to_owned(), String::new()),
        None => (queue.to_owned(), format!(", {further}")),
    };
    let text = format!("{{url: '{url}', queue_config: {{{queue}}}{further}}}");
    let mut config: RemoteWriteConfig = serde_saphyr::from_str(&text).expect("the configuration is sound");
    config.validate(crate::setting::NameValidation::Utf8).expect("the rules are sound");
    config
}

fn open(folder: &Path) -> Arc<RemoteLog> {
    RemoteLog::open(RemoteLogOptions { sync_each: false, ..RemoteLogOptions::new(folder) })
        .expect("the folder is sound")
}

async fn start<L: ForwardedLog + 'static>(log: &Arc<L>, configs: &[RemoteWriteConfig]) -> RemoteWriter {
    let writer = RemoteWriter::new(log.clone(), Clock::System);
    apply(&writer, configs, &[]).await;
    writer
}

async fn apply(writer: &RemoteWriter, configs: &[RemoteWriteConfig], external: &[(&str, &str)]) {
    let external = Labels::from_pairs(external.iter().copied());
    let prepared = RemoteWriter::prepare(configs, &external).expect("the configuration can be followed");
    writer.apply(prepared).await.expect("the disk works");
}

/// Appends one sample to each of the series `m{i="0"}` and so on.
fn append(log: &dyn Append, series: usize, value: f64) {
    let mut batch = Batch::default();
    for index in 0..series {
        batch.begin_series(&Labels::from_pairs([("__name__", "m"), ("i", &index.to_string())]));
        batch.push_float(now() + value as i64, 0, value);
    }
    let outcome = log.append(&TenantId::default(), batch, &Acceptance::EVERYTHING).expect("the disk works");
    assert_eq!(outcome.floats, series);
}

fn now() -> i64 {
    Clock::System.now_ms() / 3_600_000 * 3_600_000
}

fn counts(writer: &RemoteWriter) -> Arc<ReceiverMetrics> {
    Arc::clone(&writer.metrics().list()[0])
}

/// Whether each of so many series was taken with the values 0, 1, ... in this order, doubles left out.
fn has_all(taken: &BTreeMap<String, Vec<f64>>, series: usize, values: usize) -> bool {
    let expected: Vec<f64> = (0..values).map(|value| value as f64).collect();
    taken.len() == series
        && taken.values().all(|values| {
            let mut firsts: Vec<f64> = Vec::new();
            for value in values {
                if firsts.last().is_none_or(|last| last < value) {
                    firsts.push(*value);
                }
            }
            firsts == expected
        })
}

#[tokio::test]
async fn samples_arrive_once_and_in_order_over_several_shards() {
    let folder = tempfile::tempdir().expect("a temporary directory");
    let (receiver, url) = Receiver::start().await;
    let log = open(folder.path());
    let further = "queue: max_samples_per_send: 7, max_shards: 5";
    let writer = start(&log, &[config(&url, further)]).await;
    for value in 0..40 {
        append(&*log, 10, f64::from(value));
    }
    receiver.until("all samples", |r| r.taken().values().map(Vec::len).sum::<usize>() >= 400).await;
    assert!(has_all(&receiver.taken(), 10, 40));
    assert!(receiver.came().iter().all(|came| came.batch.sample_count() <= 7));
    let first = &receiver.came()[0].headers;
    assert_eq!(first[header::CONTENT_ENCODING], "snappy");
    assert_eq!(first["x-prometheus-remote-write-version"], "0.1.0");
    writer.stop(PATIENCE).await;
    assert_eq!((counts_of(&receiver), receiver.taken().values().map(Vec::len).sum::<usize>()), (400, 400));
}

fn counts_of(receiver: &Receiver) -> usize {
    receiver.came().iter().map(|came| came.batch.sample_count()).sum()
}

#[tokio::test]
async fn failures_of_the_server_are_tried_again_and_refusals_are_not() {
    let folder = tempfile::tempdir().expect("a temporary directory");
    let (receiver, url) = Receiver::start().await;
    let log = open(folder.path());
    receiver.answers_with(StatusCode::INTERNAL_SERVER_ERROR, None);
    receiver.answers_with(StatusCode::BAD_GATEWAY, Some("soon"));
    let writer = start(&log, &[config(&url, "")]).await;
    append(&*log, 3, 0.0);
    receiver.until("the third try", |r| r.taken().len() == 3).await;
    let came = receiver.came();
    assert_eq!(came.len(), 3);
    assert!(came[0].headers.get("retry-attempt").is_none());
    assert_eq!(came[1].headers["retry-attempt"], "1");
    assert_eq!(came[2].headers["retry-attempt"], "2");
    let metrics = counts(&writer);
    assert_eq!((metrics.retried.get().samples, metrics.failed.get().samples), (6, 0));

    receiver.answers_with(StatusCode::BAD_REQUEST, None);
    append(&*log, 3, 1.0);
    receiver.until("the refusal", |r| r.came().len() == 4).await;
    append(&*log, 3, 2.0);
    receiver.until("what follows", |r| r.taken().values().all(|values| values == &[0.0, 2.0])).await;
    assert_eq!((metrics.retried.get().samples, metrics.failed.get().samples), (6, 3));
}

#[tokio::test]
async fn too_many_requests_are_tried_again_where_the_configuration_says_so() {
    for (further, failed) in [("", 1), ("queue: retry_on_http_429: true", 0)] {
        let folder = tempfile::tempdir().expect("a temporary directory");
        let (receiver, url) = Receiver::start().await;
        let log = open(folder.path());
        receiver.answers_with(StatusCode::TOO_MANY_REQUESTS, None);
        let writer = start(&log, &[config(&url, further)]).await;
        append(&*log, 1, 0.0);
        receiver.until("an answer", |r| r.came().len() == 1).await;
        append(&*log, 1, 1.0);
        receiver.until("the end", |r| r.taken().values().any(|values| values.contains(&1.0))).await;
        assert_eq!(counts(&writer).failed.get().samples, failed, "{further}");
    }
}

#[tokio::test]
async fn a_receiver_may_say_when_to_come_back() {
    let folder = tempfile::tempdir().expect("a temporary directory");
    let (receiver, url) = Receiver::start().await;
    let log = open(folder.path());
    receiver.answers_with(StatusCode::SERVICE_UNAVAILABLE, Some("1"));
    let _writer = start(&log, &[config(&url, "")]).await;
    append(&*log, 1, 0.0);
    receiver.until("the first try", |r| r.came().len() == 1).await;
    let began = std::time::Instant::now();
    receiver.until("the second", |r| r.came().len() == 2).await;
    assert!(began.elapsed() >= Duration::from_millis(900), "{:?}", began.elapsed());
}

#[tokio::test]
async fn a_receiver_that_was_away_misses_nothing_also_over_a_restart() {
    let folder = tempfile::tempdir().expect("a temporary directory");
    let (receiver, url) = Receiver::start().await;
    let config = [config(&url, "queue: max_samples_per_send: 10")];
    let log = open(folder.path());
    let writer = start(&log, &config).await;
    append(&*log, 5, 0.0);
    receiver.until("the first", |r| has_all(&r.taken(), 5, 1)).await;
    receiver.set_away(true);
    (1..30).for_each(|value| append(&*log, 5, f64::from(value)));
    receiver.until("some tries", |r| r.came().len() > 5).await;
    // It is away, so that stopping does not wait for it.
    writer.stop(PATIENCE).await;
    log.close().expect("the disk works");
    drop(log);

    let log = open(folder.path());
    let _writer = start(&log, &config).await;
    (30..40).for_each(|value| append(&*log, 5, f64::from(value)));
    receiver.set_away(false);
    receiver.until("all of it", |r| has_all(&r.taken(), 5, 40)).await;
    let zeros = receiver.taken().values().flatten().filter(|value| **value == 0.0).count();
    assert_eq!(zeros, 5, "what was confirmed is not sent again");
}

#[tokio::test]
async fn stopping_sends_what_waits() {
    let folder = tempfile::tempdir().expect("a temporary directory");
    let (receiver, url) = Receiver::start().await;
    let log = open(folder.path());
    let mut config = config(&url, "");
    config.own.queue_config.batch_send_deadline = crate::setting::DurationMs(3_600_000);
    let writer = start(&log, &[config]).await;
    append(&*log, 5, 0.0);
    writer.stop(PATIENCE).await;
    assert!(has_all(&receiver.taken(), 5, 1));
}

#[tokio::test]
async fn a_full_log_drops_its_oldest_samples_and_counts_them() {
    let folder = tempfile::tempdir().expect("a temporary directory");
    let (receiver, url) = Receiver::start().await;
    receiver.set_away(true);
    let options =
        RemoteLogOptions { sync_each: false, bytes_max: 64 << 10, ..RemoteLogOptions::new(folder.path()) };
    let log = RemoteLog::open(options).expect("the folder is sound");
    let writer = start(&log, &[config(&url, "")]).await;
    append(&*log, 10, 0.0);
    receiver.until("the first try", |r| !r.came().is_empty()).await;
    (1..2_000).for_each(|value| append(&*log, 10, f64::from(value)));
    assert!(log.bytes() <= 64 << 10, "{}", log.bytes());
    let dropped = log.outbox().counters.samples_dropped.get();
    each_is_taken_or_counted(&receiver, &writer, dropped).await;
}

/// A receiver that comes back gets the newest of 2,000 rounds of 10 series; the oldest were dropped.
async fn each_is_taken_or_counted(receiver: &Receiver, writer: &RemoteWriter, dropped: u64) {
    assert!(dropped > 0);
    receiver.set_away(false);
    let last = |r: &Receiver| r.taken().values().all(|v| v.last() == Some(&1_999.0)) && r.taken().len() == 10;
    receiver.until("the last samples", last).await;
    writer.stop(PATIENCE).await;
    let taken: usize = receiver.taken().values().map(Vec::len).sum();
    assert_eq!(taken as u64 + dropped, 20_000, "each sample was taken or counted");
}

#[tokio::test]
async fn rules_and_external_labels_are_applied() {
    let folder = tempfile::tempdir().expect("a temporary directory");
    let (receiver, url) = Receiver::start().await;
    let log = open(folder.path());
    let writer = RemoteWriter::new(log.clone(), Clock::System);
    let rules = "write_relabel_configs: [{source_labels: [i], regex: '1', action: drop}, {source_labels: [node], target_label: host}]";
    apply(&writer, &[config(&url, rules)], &[("node", "n"), ("i", "not used")]).await;
    append(&*log, 3, 0.0);
    receiver.until("two series", |r| r.taken().len() == 2).await;
    let series: Vec<String> = receiver.taken().into_keys().collect();
    assert_eq!(
        series,
        [r#"{__name__="m", host="n", i="0", node="n"}"#, r#"{__name__="m", host="n", i="2", node="n"}"#]
    );
    assert_eq!(counts(&writer).dropped_series.get().samples, 1);
}

fn histogram() -> Histogram {
    Histogram {
        counter_reset_hint: CounterResetHint::Unknown,
        schema: 3,
        zero_threshold: 0.001,
        sum: 1.5,
        counts: HistogramCounts::Integer {
            count: 2,
            zero_count: 0,
            positive_deltas: vec![1, 0],
            negative_deltas: Vec::new(),
        },
        positive_spans: vec![Span { offset: 0, length: 2 }],
        negative_spans: Vec::new(),
        custom_values: Vec::new(),
    }
}

fn everything() -> Batch {
    let mut batch = Batch::default();
    batch.begin_series(&Labels::from_pairs([("__name__", "h_total"), ("job", "größe")]));
    batch.push_float(now(), now() - 5, 0.25);
    batch.push_exemplar(Exemplar { labels: Labels::from_pairs([("t", "x")]), value: 1.0, timestamp: now() });
    batch.begin_series(&Labels::from_pairs([("__name__", "native")]));
    batch.push_histogram(now(), now() - 5, Arc::new(histogram()));
    let metadata =
        Metadata { metric_type: MetricType::Counter, help: "Hits.".to_owned(), unit: String::new() };
    batch.push_metadata("h", metadata);
    batch
}

#[tokio::test]
async fn protocol_2_carries_everything() {
    let folder = tempfile::tempdir().expect("a temporary directory");
    let (receiver, url) = Receiver::start().await;
    let log = open(folder.path());
    let further = "protobuf_message: io.prometheus.write.v2.Request, send_exemplars: true";
    let writer = start(&log, &[config(&url, further)]).await;
    log.append(&TenantId::default(), everything(), &Acceptance::EVERYTHING).expect("the disk works");
    receiver.until("a request", |r| !r.came().is_empty()).await;
    writer.stop(PATIENCE).await;
    let came = &receiver.came()[0];
    assert_eq!(came.headers["x-prometheus-remote-write-version"], "2.0.0");
    assert_eq!((came.batch.floats.len(), came.batch.histograms.len(), came.batch.exemplars.len()), (1, 1, 1));
    assert_eq!(came.batch.floats[0].start_timestamp, now() - 5);
    assert_eq!(came.batch.histograms[0].start_timestamp, now() - 5);
    assert_eq!(came.batch.metadata[0].metadata.help, "Hits.");
    assert_eq!(counts(&writer).failed.get(), Default::default());
}

#[tokio::test]
async fn protocol_1_carries_what_is_asked_for_and_metadata_by_itself() {
    let folder = tempfile::tempdir().expect("a temporary directory");
    let (receiver, url) = Receiver::start().await;
    let log = open(folder.path());
    let _writer = start(&log, &[config(&url, "")]).await;
    log.append(&TenantId::default(), everything(), &Acceptance::EVERYTHING).expect("the disk works");
    receiver.until("two requests", |r| r.came().len() == 2).await;
    // Either may be the first: metadata is known before the samples are durable.
    let (said, samples): (Vec<Came>, Vec<Came>) =
        receiver.came().into_iter().partition(|came| came.batch.floats.is_empty());
    let samples = &samples[0].batch;
    assert_eq!((samples.floats.len(), samples.histograms.len(), samples.exemplars.len()), (1, 0, 0));
    assert_eq!((said[0].batch.metadata.len(), said[0].batch.metadata[0].metric.as_str()), (1, "h"));
}

#[tokio::test]
async fn old_samples_are_left_out_where_the_configuration_says_so() {
    let folder = tempfile::tempdir().expect("a temporary directory");
    let (receiver, url) = Receiver::start().await;
    let log = open(folder.path());
    let writer = start(&log, &[config(&url, "queue: sample_age_limit: 2h")]).await;
    let mut batch = Batch::default();
    batch.begin_series(&Labels::from_pairs([("__name__", "m")]));
    batch.push_float(now() - 4 * 3_600_000, 0, 0.0);
    batch.push_float(now(), 0, 1.0);
    log.append(&TenantId::default(), batch, &Acceptance::EVERYTHING).expect("the disk works");
    receiver.until("a request", |r| !r.came().is_empty()).await;
    assert_eq!(receiver.taken()[r#"{__name__="m"}"#], [1.0]);
    assert_eq!(counts(&writer).dropped_old.get().samples, 1);
}

#[tokio::test]
async fn a_changed_receiver_goes_on_where_it_was_and_a_new_one_begins_with_what_comes() {
    let folder = tempfile::tempdir().expect("a temporary directory");
    let (receiver, url) = Receiver::start().await;
    let (other, other_url) = Receiver::start().await;
    let log = open(folder.path());
    let writer = start(&log, &[config(&url, "")]).await;
    append(&*log, 2, 0.0);
    receiver.until("the first", |r| has_all(&r.taken(), 2, 1)).await;
    receiver.set_away(true);
    append(&*log, 2, 1.0);
    receiver.until("a try", |r| r.came().len() > 1).await;
    apply(&writer, &[config(&url, "remote_timeout: 7s"), config(&other_url, "")], &[]).await;
    receiver.set_away(false);
    append(&*log, 2, 2.0);
    receiver.until("all of it", |r| has_all(&r.taken(), 2, 3)).await;
    other.until("the last", |r| r.taken().len() == 2).await;
    assert!(other.taken().values().all(|values| values == &[2.0]));
    let text = {
        let mut out = crate::metrics::Exposition::default();
        writer.expose(&mut out);
        out.into_text()
    };
    let name = "prometheus_remote_storage_samples_total{remote_name=";
    assert_eq!(text.lines().filter(|line| line.starts_with(name)).count(), 2, "{text}");
    assert!(text.contains(&format!("url=\"{other_url}\"}} 2\n")), "{text}");
}

#[test]
fn what_cannot_be_sent_as_configured_is_refused() {
    let signed = config("http://u:secret@h/w", "sigv4: {}");
    let error = RemoteWriter::prepare(&[signed], &Labels::default()).expect_err("it is not served");
    assert_eq!(error.to_string(), "remote_write.0: sigv4 is not served yet");
    let twice = [config("http://u:secret@h/w", ""), config("http://u:secret@h/w", "")];
    let error = RemoteWriter::prepare(&twice, &Labels::default()).expect_err("they are the same");
    assert!(error.to_string().ends_with("found duplicate for URL: http://u:xxxxx@h/w"), "{error}");
}

/// Appends batches of one sample while the power may go off; answers the values that were acknowledged and those
/// that were read for a receiver, of which the first three were confirmed.
fn use_log(fs: &FaultFs) -> (Vec<f64>, Vec<f64>) {
    let (mut acknowledged, mut confirmed) = (Vec::new(), Vec::new());
    let Ok(log) = RemoteLog::open(options_on(fs)) else { return (acknowledged, confirmed) };
    let Ok(position) = log.register("receiver") else { return (acknowledged, confirmed) };
    let mut cursor = cursor::Cursor::new(log.clone(), position);
    for value in 0..6 {
        let mut batch = Batch::default();
        batch.begin_series(&Labels::from_pairs([("__name__", "m")]));
        batch.push_float(value, 0, value as f64);
        if log.append(&TenantId::default(), batch, &Acceptance::EVERYTHING).is_ok() {
            acknowledged.push(value as f64);
        }
        if value == 3 {
            let mut last = None;
            while let Ok(Some(seq)) = cursor.peek() {
                confirmed.extend(cursor.take().floats.iter().map(|entry| entry.value));
                last = Some(seq);
            }
            // Whether or not that worked, the receiver has them.
            last.map(|seq| log.outbox().confirm("receiver", seq));
            log.settle();
        }
    }
    (acknowledged, confirmed)
}

fn options_on(fs: &FaultFs) -> RemoteLogOptions {
    RemoteLogOptions { fs: Arc::new(fs.clone()), file_bytes: 300, ..RemoteLogOptions::new("/agent") }
}

fn read_again(fs: &FaultFs) -> Vec<f64> {
    let log = RemoteLog::open(options_on(fs)).expect("what a power cut leaves can be opened");
    let position = log.register("receiver").expect("the disk works again");
    let mut cursor = cursor::Cursor::new(log.clone(), position);
    let mut values = Vec::new();
    while cursor.peek().expect("the disk works again").is_some() {
        values.extend(cursor.take().floats.iter().map(|entry| entry.value));
    }
    values
}

#[test]
fn what_was_acknowledged_survives_a_power_cut_at_any_call() {
    let whole = FaultFs::default();
    let (acknowledged, confirmed) = use_log(&whole);
    assert_eq!((acknowledged.len(), confirmed.len()), (6, 4));
    let calls = whole.calls();
    for at in 1..=calls {
        for mode in [CrashMode::KeepAll, CrashMode::DropUnsynced, CrashMode::Random(at)] {
            let fs = FaultFs::default();
            fs.crash_at_call(at);
            let (acknowledged, confirmed) = use_log(&fs);
            let after = fs.after_crash(mode);
            let found = read_again(&after);
            for value in acknowledged {
                let is_there = confirmed.contains(&value) || found.contains(&value);
                assert!(is_there, "{value} is lost after a cut at call {at} with {mode:?}");
            }
            assert!(found.is_sorted(), "{found:?}");
        }
    }
}
