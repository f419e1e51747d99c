//! A real Alertmanager, told of alerts by the library alone, and by perdura and a real Prometheus at once.

use std::path::Path;
use std::process::Command;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use perdura::model::{Labels, Timestamp, format_rfc3339_ms, parse_rfc3339_ms};
use perdura::notify::{Alert, AlertingConfig, Notifier, NotifierOptions};
use perdura::setting::NameValidation;
use serde_json::Value;

use super::server::{Server, Subject, free_port, peers, start_prometheus, wait_until};

/// Longest wait for an alert to come or go.
const PATIENCE: Duration = Duration::from_secs(30);

/// Starts a real Alertmanager that tells nobody, under the path `/am`.
pub(crate) fn start_alertmanager(peers: &Path, folder: &Path) -> Server {
    let port = free_port();
    let file = folder.join("alertmanager.yml");
    std::fs::write(&file, "route: {receiver: nobody}\nreceivers: [{name: nobody}]\n")
        .expect("the trial's folder is writable");
    let mut command = Command::new(peers.join("prometheus-alertmanager"));
    command
        .arg(format!("--config.file={}", file.display()))
        .arg(format!("--storage.path={}", folder.join("alertmanager").display()))
        .arg(format!("--web.listen-address=127.0.0.1:{port}"))
        .args(["--web.route-prefix=/am", "--cluster.listen-address="]);
    Server::start("alertmanager", &mut command, port, "/am/-/ready", folder.join("alertmanager.log"))
}

/// The alerts that it holds active, in order of their `n` and their server.
pub(crate) fn active_alerts(alertmanager: &Server) -> Vec<Value> {
    let answer = alertmanager.get("/am/api/v2/alerts", &[]).expect("the Alertmanager answers").json();
    let mut alerts = answer.as_array().expect("it is a list").clone();
    alerts.sort_by_key(|alert| (alert["labels"]["n"].to_string(), alert["labels"]["server"].to_string()));
    alerts
}

fn config(port: u16) -> AlertingConfig {
    let text = format!(
        "
alert_relabel_configs: [{{regex: replica, action: labeldrop}}]
alertmanagers:
- path_prefix: /am
  static_configs: [{{targets: ['127.0.0.1:{port}']}}]
"
    );
    let mut config: AlertingConfig = serde_saphyr::from_str(&text).expect("the section is sound");
    config.validate(NameValidation::Utf8).expect("the section is sound");
    config
}

fn alert(n: &str, starts_at: Timestamp, ends_at: Timestamp) -> Alert {
    Alert {
        labels: Labels::from_pairs([("alertname", "GpuHot"), ("n", n), ("gpu", "\"0\" \\ <&>\n°")]),
        annotations: [("summary".to_owned(), "95 °C on \"0\"\nfor <5m>".to_owned())].into(),
        starts_at,
        ends_at,
        generator_url: "http://perdura:9090/graph?g0.expr=up+%3D%3D+0&g0.tab=1".to_owned(),
    }
}

fn now_ms() -> Timestamp {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).expect("the clock is past 1970");
    Timestamp::try_from(since.as_millis()).expect("the clock is before the year 292,000,000")
}

#[test]
fn a_real_alertmanager_lists_what_it_is_told() {
    let Some(peers) = peers("alertmanager") else { return };
    let folder = tempfile::tempdir().expect("a temporary folder can be made");
    let alertmanager = start_alertmanager(&peers, folder.path());
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().expect("threads start");
    let notifier = Notifier::new(NotifierOptions::default());
    let external = Labels::from_pairs([("region", "eu"), ("replica", "a")]);
    let prepared = Notifier::prepare(&config(alertmanager.port), &external).expect("clients can be made");
    runtime.block_on(notifier.apply(prepared));

    let (now, count) = (now_ms(), 1_000);
    let ends_at = now + 240_000;
    // More than a batch, so that several requests are needed.
    notifier.send((0..count).map(|n| alert(&format!("{n:04}"), now - 60_123, ends_at)).collect());
    wait_until("all alerts are listed", PATIENCE, || active_alerts(&alertmanager).len() == count);
    let alerts = active_alerts(&alertmanager);
    let labels = serde_json::json!({
        "alertname": "GpuHot", "n": "0000", "gpu": "\"0\" \\ <&>\n°", "region": "eu",
    });
    assert_eq!(alerts[0]["labels"], labels);
    for alert in &alerts {
        assert_eq!(alert["annotations"], serde_json::json!({"summary": "95 °C on \"0\"\nfor <5m>"}));
        assert_eq!(time(&alert["startsAt"]), Some(now - 60_123), "{alert}");
        assert_eq!(time(&alert["endsAt"]), Some(ends_at), "{alert} of {:?}", format_rfc3339_ms(ends_at));
        assert_eq!(alert["generatorURL"], "http://perdura:9090/graph?g0.expr=up+%3D%3D+0&g0.tab=1");
        assert_eq!(alert["status"]["state"], "active");
    }

    // All but one are resolved.
    notifier.send((1..count).map(|n| alert(&format!("{n:04}"), now - 60_123, now_ms() - 1)).collect());
    wait_until("resolved alerts are gone", PATIENCE, || active_alerts(&alertmanager).len() == 1);
    assert_eq!(active_alerts(&alertmanager)[0]["labels"], labels);
    let (_, metrics) = notifier.metrics().list().remove(0);
    runtime.block_on(notifier.stop());
    assert_eq!((metrics.sent.get(), metrics.errors.get()), (2 * count as u64 - 1, 0));
}

fn time(text: &Value) -> Option<Timestamp> {
    parse_rfc3339_ms(text.as_str()?)
}

/// One alert that fires from `START` on, and one that fires for 6 of 12 seconds.
const RULES: &str = r#"
groups:
- name: trial
  interval: 1s
  rules:
  - alert: Always
    expr: label_replace(vector(42), "gpu", "GPU \"0\"", "", "") and on() vector(time()) > START
    labels: {severity: page, n: "1", of: '{{ $labels.gpu }}', empty: ''}
    annotations:
      summary: 'It is {{ $value }} °C on {{ $labels.gpu }}, {{ humanize 1234.5 }}'
      where: '{{ $externalLabels.region }}'
  - alert: Flaps
    expr: vector(time() % 12) < 6
    labels: {n: "2"}
"#;

fn server_config(alertmanager: u16, server: &str) -> String {
    format!(
        "
global: {{external_labels: {{server: {server}, region: eu, rack: '7'}}}}
rule_files: [rules.yml]
alerting:
  alert_relabel_configs: [{{regex: rack, action: labeldrop}}]
  alertmanagers:
  - path_prefix: /am
    static_configs: [{{targets: ['127.0.0.1:{alertmanager}']}}]
"
    )
}

/// The alerts of one server, without what differs between servers and moments.
fn alerts_of(alertmanager: &Server, server: &str) -> Vec<Value> {
    let mut alerts = active_alerts(alertmanager);
    alerts.retain(|alert| alert["labels"]["server"] == server);
    for alert in &mut alerts {
        // How long it holds without another word: four times the interval or the delay of repetitions.
        let holds =
            time(&alert["endsAt"]).zip(time(&alert["updatedAt"])).map(|(end, sent)| (end - sent) / 10_000);
        let url =
            alert["generatorURL"].as_str().and_then(|url| url.split_once("/graph")).map(|(_, query)| query);
        *alert = serde_json::json!({
            "labels": alert["labels"], "annotations": alert["annotations"], "url": url, "holds": holds,
        });
        alert["labels"].as_object_mut().expect("labels are a map").remove("server");
    }
    alerts
}

#[test]
fn perdura_and_prometheus_tell_it_the_same() {
    let Some(peers) = peers("alertmanager") else { return };
    let folder = tempfile::tempdir().expect("a temporary folder can be made");
    let alertmanager = start_alertmanager(&peers, folder.path());
    let (ours, theirs) = (folder.path().join("subject"), folder.path().join("prometheus"));
    // Prometheus learns of its Alertmanagers after five seconds, and repeats what it said before only after a minute.
    let rules = RULES.replace("START", &(now_ms() / 1_000 + 10).to_string());
    for folder in [&ours, &theirs] {
        std::fs::create_dir_all(folder).expect("the trial's folder is writable");
        std::fs::write(folder.join("rules.yml"), &rules).expect("the trial's folder is writable");
    }
    let subject = Subject::new(&ours).start(&server_config(alertmanager.port, "subject"));
    let config = server_config(alertmanager.port, "prometheus");
    let prometheus = start_prometheus(&peers, &theirs, free_port(), &config);

    let all = |server| alerts_of(&alertmanager, server);
    for count in [2, 1, 2] {
        // Nobody is asked between the two, so that one moment counts for both.
        wait_until(&format!("both have {count} alerts"), PATIENCE, || {
            let (ours, theirs) = (all("subject"), all("prometheus"));
            let is_so = ours.len() == count && theirs.len() == count;
            assert!(!is_so || ours == theirs, "{ours:#?}\n{theirs:#?}");
            is_so
        });
    }
    let shown = subject.get("/api/v1/alertmanagers", &[]).expect("the server answers").json();
    assert_eq!(shown, prometheus.get("/api/v1/alertmanagers", &[]).expect("the server answers").json());
    assert_eq!(names_of_notifications(&subject), names_of_notifications(&prometheus));
}

/// Names, helps and types of the families on notifications, without one that Prometheus 3.5 does not have yet.
fn names_of_notifications(server: &Server) -> Vec<String> {
    let text = server.get("/metrics", &[]).expect("the server answers").text();
    let is_wanted = |line: &&str| {
        line.starts_with('#')
            && line.contains(" prometheus_notifications_")
            && !line.contains("latency_histogram")
    };
    let mut lines: Vec<String> = text.lines().filter(is_wanted).map(str::to_owned).collect();
    lines.sort();
    lines
}
