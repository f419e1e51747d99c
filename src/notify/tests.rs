use std::path::Path;
use std::sync::Mutex;
use std::time::Duration;

use axum::Router;
use axum::extract::State;
use axum::http::{HeaderMap, Method, StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};
use serde_json::Value;
use tokio::sync::Semaphore;

use super::*;
use crate::setting::NameValidation;

/// Longest wait for something that should happen within a second; the machine may be busy.
const PATIENCE: Duration = Duration::from_secs(60);

/// What one request brought.
#[derive(Clone, Debug)]
struct Request {
    path: String,
    headers: HeaderMap,
    alerts: Vec<Value>,
}

/// An Alertmanager that remembers what it is told and answers when it may.
#[derive(Clone)]
struct Receiver {
    address: String,
    came: Arc<Mutex<Vec<Request>>>,
    status: Arc<Mutex<StatusCode>>,
    /// A permit for each answer.
    answers: Arc<Semaphore>,
}

impl Receiver {
    /// One that answers at once.
    async fn start() -> Self {
        let receiver = Self::holding().await;
        receiver.let_go();
        receiver
    }

    /// One that answers nothing until it is let go.
    async fn holding() -> Self {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port is free");
        let receiver = Self {
            address: listener.local_addr().expect("it is bound").to_string(),
            came: Arc::default(),
            status: Arc::new(Mutex::new(StatusCode::OK)),
            answers: Arc::new(Semaphore::new(0)),
        };
        let router = Router::new().fallback(take).with_state(receiver.clone());
        tokio::spawn(async move { axum::serve(listener, router).await });
        receiver
    }

    fn let_go(&self) {
        self.answers.add_permits(Semaphore::MAX_PERMITS / 2);
    }

    fn url(&self) -> String {
        format!("http://{}/api/v2/alerts", self.address)
    }

    fn came(&self) -> Vec<Request> {
        crate::lock::lock(&self.came).clone()
    }

    /// The alerts' numbers, request by request.
    fn numbers(&self) -> Vec<Vec<u64>> {
        let number = |alert: &Value| alert["labels"]["n"].as_str().and_then(|n| n.parse().ok());
        let of_request = |request: Request| {
            request.alerts.iter().map(|alert| number(alert).expect("each has one")).collect()
        };
        self.came().into_iter().map(of_request).collect()
    }

    fn count(&self) -> usize {
        self.numbers().iter().map(Vec::len).sum()
    }
}

async fn take(
    State(receiver): State<Receiver>,
    method: Method,
    uri: Uri,
    headers: HeaderMap,
    body: String,
) -> Response {
    if uri.path() == "/redirect" {
        return (StatusCode::TEMPORARY_REDIRECT, [(header::LOCATION, "/there")]).into_response();
    }
    assert_eq!(method, Method::POST);
    let alerts = serde_json::from_str(&body).expect("the body is a list");
    let request = Request { path: uri.path().to_owned(), headers, alerts };
    crate::lock::lock(&receiver.came).push(request);
    receiver.answers.acquire().await.expect("it is never closed").forget();
    let status = *crate::lock::lock(&receiver.status);
    status.into_response()
}

async fn until(what: &str, is_so: impl Fn() -> bool) {
    let waiting = async {
        while !is_so() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(PATIENCE, waiting).await.unwrap_or_else(|_| panic!("waited in vain: {what}"));
}

fn config(text: &str) -> AlertingConfig {
    let mut config: AlertingConfig = serde_saphyr::from_str(text).expect("the section is sound");
    config.validate(NameValidation::Utf8).expect("the section is sound");
    config
}

/// One group for the given Alertmanagers.
fn group(receivers: &[&Receiver], settings: &str) -> AlertingConfig {
    let addresses: Vec<&str> = receivers.iter().map(|receiver| receiver.address.as_str()).collect();
    let addresses = serde_json::to_string(&addresses).expect("texts serialize");
    config(&format!("alertmanagers: [{{static_configs: [{{targets: {addresses}}}], {settings}}}]"))
}

async fn apply(notifier: &Notifier, config: &AlertingConfig) {
    let labels = Labels::from_pairs([("region", "eu"), ("replica", "a")]);
    notifier.apply(Notifier::prepare(config, &labels).expect("clients can be made")).await;
}

async fn start(config: &AlertingConfig, options: NotifierOptions) -> Notifier {
    let notifier = Notifier::new(options);
    apply(&notifier, config).await;
    notifier
}

fn alerts(numbers: std::ops::Range<u64>) -> Vec<Alert> {
    let alert = |n: u64| Alert {
        labels: Labels::from_pairs([("alertname", "Test"), ("n", n.to_string().as_str())]),
        annotations: Default::default(),
        starts_at: 1_700_000_000_000,
        ends_at: 1_700_000_240_000,
        generator_url: String::new(),
    };
    numbers.map(alert).collect()
}

fn metrics_of(notifier: &Notifier, receiver: &Receiver) -> Arc<AlertmanagerMetrics> {
    let found = notifier.metrics().list().into_iter().find(|(url, _)| *url == receiver.url());
    found.expect("it has a queue").1
}

#[tokio::test]
async fn alerts_go_out_in_batches() {
    let receiver = Receiver::start().await;
    let notifier = start(&group(&[&receiver], ""), NotifierOptions::default()).await;
    notifier.send(alerts(0..600));
    until("all have come", || receiver.count() == 600).await;
    let batches = receiver.numbers();
    assert_eq!(batches.iter().map(Vec::len).collect::<Vec<_>>(), [256, 256, 88]);
    assert!(batches.concat().is_sorted());
    let request = &receiver.came()[0];
    assert_eq!(request.path, "/api/v2/alerts");
    assert_eq!(request.headers[header::CONTENT_TYPE], "application/json");
    assert_eq!(request.headers[header::USER_AGENT], crate::net::USER_AGENT);
    let metrics = metrics_of(&notifier, &receiver);
    until("all are counted", || metrics.sent.get() == 600).await;
    assert_eq!((metrics.errors.get(), metrics.dropped.get(), metrics.queued.get()), (0, 0, 0.0));
    assert_eq!(metrics.latency.count(), 3);
}

#[tokio::test]
async fn external_labels_are_added_and_rules_applied() {
    let (all, some) = (Receiver::start().await, Receiver::start().await);
    let (url_all, url_some) = (&all.address, &some.address);
    let text = format!(
        "
alert_relabel_configs:
- {{regex: replica, action: labeldrop}}
- {{source_labels: [n], regex: '3', action: drop}}
alertmanagers:
- static_configs: [{{targets: ['{url_all}']}}]
- static_configs: [{{targets: ['{url_some}']}}]
  alert_relabel_configs:
  - {{source_labels: [n], regex: '1', action: keep}}
  - {{target_label: path, replacement: second}}
"
    );
    let notifier = start(&config(&text), NotifierOptions::default()).await;
    let mut sent = alerts(0..4);
    sent[0].labels = Labels::from_pairs([("alertname", "Test"), ("n", "0"), ("region", "own")]);
    notifier.send(sent);
    until("both have heard", || all.count() == 3 && some.count() == 1).await;
    let labels = |receiver: &Receiver| -> Vec<String> {
        receiver.came()[0].alerts.iter().map(|alert| alert["labels"].to_string()).collect()
    };
    assert_eq!(
        labels(&all),
        [
            r#"{"alertname":"Test","n":"0","region":"own"}"#,
            r#"{"alertname":"Test","n":"1","region":"eu"}"#,
            r#"{"alertname":"Test","n":"2","region":"eu"}"#,
        ]
    );
    assert_eq!(labels(&some), [r#"{"alertname":"Test","n":"1","path":"second","region":"eu"}"#]);
}

#[tokio::test]
async fn the_oldest_make_room_in_a_full_queue() {
    let receiver = Receiver::holding().await;
    let options = NotifierOptions { queue_capacity: 3, ..NotifierOptions::default() };
    let notifier = start(&group(&[&receiver], ""), options).await;
    notifier.send(alerts(0..1));
    until("the first is on its way", || receiver.count() == 1).await;
    notifier.send(alerts(1..3));
    notifier.send(alerts(3..5));
    let metrics = metrics_of(&notifier, &receiver);
    assert_eq!((metrics.dropped.get(), metrics.queued.get()), (1, 3.0));
    notifier.send(alerts(5..10));
    assert_eq!((metrics.dropped.get(), metrics.queued.get()), (6, 3.0));
    receiver.let_go();
    until("the rest has come", || receiver.count() == 4).await;
    assert_eq!(receiver.numbers(), [vec![0], vec![7, 8, 9]]);
}

#[tokio::test]
async fn dead_and_slow_ones_delay_nobody() {
    let (living, slow, dead) = (Receiver::start().await, Receiver::holding().await, Receiver::start().await);
    let refusing = dead.clone();
    *crate::lock::lock(&refusing.status) = StatusCode::SERVICE_UNAVAILABLE;
    let gone = Receiver { address: "127.0.0.1:1".to_owned(), ..Receiver::holding().await };
    let notifier =
        start(&group(&[&slow, &gone, &refusing, &living], "timeout: 200ms"), NotifierOptions::default())
            .await;
    for n in 0..20 {
        notifier.send(alerts(n..n + 1));
        until("the living one has heard", || living.count() as u64 == n + 1).await;
    }
    for failing in [&slow, &gone, &refusing] {
        let metrics = metrics_of(&notifier, failing);
        until("errors are counted", || metrics.errors.get() > 0).await;
        assert!(metrics.dropped.get() > 0 && metrics.sent.get() == 0, "{}", failing.address);
    }
    // It is heard again once it answers: nothing is given up for good.
    slow.let_go();
    let metrics = metrics_of(&notifier, &slow);
    notifier.send(alerts(20..21));
    until("the slow one has recovered", || metrics.sent.get() > 0).await;
}

#[tokio::test]
async fn at_the_end_what_waits_is_sent_or_dropped() {
    for drain_on_shutdown in [true, false] {
        let receiver = Receiver::holding().await;
        let options = NotifierOptions { batch_size: 2, drain_on_shutdown, ..NotifierOptions::default() };
        let notifier = start(&group(&[&receiver], ""), options).await;
        notifier.send(alerts(0..5));
        until("the first batch is on its way", || receiver.count() == 2).await;
        let metrics = metrics_of(&notifier, &receiver);
        let stopping = tokio::spawn({
            let notifier = notifier.clone();
            async move { notifier.stop().await }
        });
        until("it takes no more", || notifier.status().active.is_empty()).await;
        notifier.send(alerts(5..6));
        receiver.let_go();
        tokio::time::timeout(PATIENCE, stopping).await.expect("it ends").expect("it does not panic");
        let (sent, dropped) = if drain_on_shutdown { (5, 0) } else { (2, 3) };
        assert_eq!((receiver.count(), metrics.dropped.get()), (sent, dropped));
        assert_eq!(metrics.queued.get(), 0.0);
        // A reload that comes too late starts nothing.
        apply(&notifier, &group(&[&receiver], "")).await;
        assert_eq!(notifier.status(), NotifierStatus::default());
    }
}

#[tokio::test]
async fn the_end_waits_for_nobody_forever() {
    let (slow, quick) = (Receiver::holding().await, Receiver::start().await);
    let drain_max = Duration::from_millis(500);
    let options = NotifierOptions { batch_size: 2, drain_max, ..NotifierOptions::default() };
    let notifier = start(&group(&[&slow, &quick], ""), options).await;
    let (of_slow, of_quick) = (metrics_of(&notifier, &slow), metrics_of(&notifier, &quick));
    notifier.send(alerts(0..5));
    until("one is at work", || slow.count() == 2).await;
    tokio::time::timeout(PATIENCE, notifier.stop()).await.expect("it ends");
    assert_eq!((of_slow.sent.get(), of_slow.dropped.get(), of_slow.queued.get()), (0, 3, 0.0));
    assert_eq!((of_quick.sent.get(), of_quick.dropped.get(), quick.count()), (5, 0, 5));
}

#[tokio::test]
async fn reloads_keep_what_waits() {
    let (stays, goes) = (Receiver::holding().await, Receiver::holding().await);
    let options = NotifierOptions { batch_size: 1, ..NotifierOptions::default() };
    let notifier = start(&group(&[&stays, &goes], ""), options).await;
    notifier.send(alerts(0..3));
    until("the first are on their way", || stays.count() == 1 && goes.count() == 1).await;
    let metrics = metrics_of(&notifier, &stays);
    // The same group, then one with another timeout, then one without the second Alertmanager.
    apply(&notifier, &group(&[&stays, &goes], "")).await;
    assert_eq!(metrics.queued.get(), 2.0);
    notifier.send(alerts(3..4));
    apply(&notifier, &group(&[&stays, &goes], "timeout: 5s")).await;
    // What the new queue's sender took at once no longer waits.
    until("the new queue is at work", || stays.count() == 2).await;
    assert_eq!(metrics.queued.get(), 2.0);
    notifier.send(alerts(4..5));
    apply(&notifier, &group(&[&stays], "timeout: 5s")).await;
    notifier.send(alerts(5..6));
    stays.let_go();
    goes.let_go();
    until("all have come", || stays.count() == 6 && goes.count() == 5).await;
    assert_eq!(metrics.dropped.get(), 0);
    let mut numbers = goes.numbers().concat();
    numbers.sort_unstable();
    assert_eq!(numbers, [0, 1, 2, 3, 4]);
    assert_eq!(notifier.status().active, [stays.url()]);
    until("what is gone is forgotten", || notifier.metrics().list().len() == 1).await;
}

#[tokio::test]
async fn files_with_targets_are_followed() {
    let (first, second) = (Receiver::start().await, Receiver::start().await);
    let folder = tempfile::tempdir().expect("there is room");
    let path = folder.path().join("am.json");
    let write = |text: String| std::fs::write(&path, text).expect("there is room");
    let target = |receiver: &Receiver| format!(r#"[{{"targets":["{}", "drop"]}}]"#, receiver.address);
    write(target(&first));
    let section = |more: &str| {
        config(&format!(
            "
alertmanagers:
- file_sd_configs: [{{files: ['{}'], refresh_interval: 20ms}}]
  relabel_configs: [{{source_labels: [__address__], regex: drop, action: drop}}]
  {more}
",
            Path::display(&path)
        ))
    };
    let notifier = start(&section(""), NotifierOptions::default()).await;
    assert_eq!(notifier.status().active, [first.url()]);
    assert_eq!(notifier.status().dropped, ["http://drop/api/v2/alerts"]);
    write(target(&second));
    until("the file was read", || notifier.status().active == [second.url()]).await;
    notifier.send(alerts(0..1));
    until("it was sent", || second.count() == 1).await;
    assert_eq!(first.count(), 0);
    // A broken file is counted, and keeps its targets over a reload.
    write("[{".to_owned());
    let errors = notifier.options().file_read_errors.clone();
    until("the file was read", || errors.get() > 0).await;
    apply(&notifier, &section("timeout: 5s")).await;
    assert_eq!(notifier.status().active, [second.url()]);
    write(target(&first));
    until("the new group follows the file", || notifier.status().active == [first.url()]).await;
}

#[tokio::test]
async fn redirects_take_alerts_along() {
    let receiver = Receiver::start().await;
    let settings = "relabel_configs: [{target_label: __alerts_path__, replacement: /redirect}]";
    let notifier = start(&group(&[&receiver], settings), NotifierOptions::default()).await;
    notifier.send(alerts(0..2));
    until("they have come", || receiver.count() == 2).await;
    assert_eq!(receiver.came()[0].path, "/there");
}

#[tokio::test]
async fn what_cannot_be_prepared_changes_nothing() {
    let receiver = Receiver::start().await;
    let notifier = start(&group(&[&receiver], ""), NotifierOptions::default()).await;
    let broken = config(
        "alertmanagers: [{static_configs: [{targets: [other]}]}, {tls_config: {ca_file: /nowhere/ca.pem}}]",
    );
    let error =
        Notifier::prepare(&broken, &Labels::default()).expect_err("the file is not there").to_string();
    assert!(error.starts_with("alerting.alertmanagers.1: unable to read file /nowhere/ca.pem"), "{error}");
    assert_eq!(notifier.status().active, [receiver.url()]);
}

#[tokio::test]
async fn alerts_may_come_from_any_thread() {
    let receiver = Receiver::start().await;
    let notifier = start(&group(&[&receiver], ""), NotifierOptions::default()).await;
    let threads: Vec<_> = (0..4)
        .map(|part| {
            let notifier = notifier.clone();
            std::thread::spawn(move || {
                (0..100).for_each(|n| notifier.send(alerts(part * 100 + n..part * 100 + n + 1)))
            })
        })
        .collect();
    threads.into_iter().for_each(|thread| thread.join().expect("it does not panic"));
    until("all have come", || receiver.count() == 400).await;
    let mut numbers = receiver.numbers().concat();
    numbers.sort_unstable();
    assert!(numbers.into_iter().eq(0..400));
}
