//! A real Alertmanager, told of alerts by the library alone.

use std::path::Path;
use std::process::Command;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use perdura::model::{Labels, Timestamp, format_rfc3339_ms, parse_rfc3339_ms};
use perdura::notify::{Alert, AlertingConfig, Notifier, NotifierOptions};
use perdura::setting::NameValidation;
use serde_json::Value;

use super::server::{Server, free_port, peers, wait_until};

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

/// The alerts that it holds active, by their `n`.
pub(crate) fn active_alerts(alertmanager: &Server) -> Vec<Value> {
    let answer = alertmanager.get("/am/api/v2/alerts", &[]).expect("the Alertmanager answers").json();
    let mut alerts = answer.as_array().expect("it is a list").clone();
    alerts.sort_by_key(|alert| alert["labels"]["n"].to_string());
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
