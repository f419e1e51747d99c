//! Who plays: perdura, a Prometheus, an Alertmanager, a node_exporter, and somebody who watches their alerts.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use super::super::server::{Server, Subject, free_port, start_node_exporter, start_prometheus_with};
use super::ask::{Labels, labels, text};
use super::files;
use super::stage::{Stage, now_ms};

/// What both are started with. `for` is short here, so it must be restored however short it is.
const FLAGS: [&str; 4] = [
    "--rules.alert.for-grace-period=1s",
    "--rules.alert.resend-delay=5s",
    "--web.external-url=http://monitoring.example/",
    "--enable-feature=native-histograms",
];

/// Time between two looks at the alerts.
const LOOK: Duration = Duration::from_millis(300);

/// Annotations that were seen, by the alert's labels and its value.
pub(super) type Seen = BTreeMap<(Labels, String), BTreeSet<Labels>>;

/// A time in which perdura was not there, in milliseconds.
#[derive(Clone, Copy, Debug)]
pub(super) struct Outage {
    pub(super) from_ms: i64,
    pub(super) to_ms: i64,
}

/// All who play; they end with it.
pub(super) struct Cast {
    pub(super) stage: Stage,
    pub(super) subject: Server,
    pub(super) prometheus: Server,
    pub(super) rules: PathBuf,
    /// When perdura began to evaluate, in milliseconds.
    pub(super) began_ms: i64,
    pub(super) outages: Vec<Outage>,
    pub(super) seen_by_subject: Seen,
    pub(super) seen_by_prometheus: Seen,
    subject_place: Subject,
    subject_configuration: String,
    _others: [Server; 2],
}

impl Cast {
    pub(super) fn start(peers: &Path, folder: &Path) -> Self {
        let stage = Stage::open();
        let rules = files::write_rules(folder);
        let alertmanager = start_alertmanager(peers, folder, stage.port);
        let node_exporter = start_node_exporter(peers, folder);
        let subject_place = Subject::new(&folder.join("subject"));
        let subject_configuration = files::subject_configuration(&rules, alertmanager.port);
        let began_ms = now_ms();
        let subject = subject_place.start_with(&subject_configuration, &FLAGS);
        let configuration =
            files::prometheus_configuration(&rules, stage.port, node_exporter.port, subject.port);
        let prometheus =
            start_prometheus_with(peers, &folder.join("prometheus"), free_port(), &configuration, &FLAGS);
        Self {
            stage,
            subject,
            prometheus,
            rules,
            began_ms,
            outages: Vec::new(),
            seen_by_subject: Seen::new(),
            seen_by_prometheus: Seen::new(),
            subject_place,
            subject_configuration,
            _others: [alertmanager, node_exporter],
        }
    }

    /// Whether a real Prometheus is in perdura's place.
    pub(super) fn stands_in(&self) -> bool {
        self.subject_place.stands_in()
    }

    /// Looks at both servers' alerts until a moment of the story, in seconds since it began.
    pub(super) fn watch_until(&mut self, moment_s: f64) {
        while self.stage.elapsed() < moment_s {
            look(&self.subject, &mut self.seen_by_subject);
            look(&self.prometheus, &mut self.seen_by_prometheus);
            std::thread::sleep(LOOK);
        }
    }

    /// SIGKILL, and the same again on the same folder.
    pub(super) fn kill_and_restart(&mut self) {
        let from_ms = now_ms();
        self.subject.kill();
        self.subject = self.subject_place.start_with(&self.subject_configuration, &FLAGS);
        let outage = Outage { from_ms, to_ms: now_ms() };
        println!("rules_trial: killed, and ready again after {} ms", outage.to_ms - outage.from_ms);
        self.outages.push(outage);
    }
}

fn start_alertmanager(peers: &Path, folder: &Path, stage_port: u16) -> Server {
    let port = free_port();
    let configuration = files::write_alertmanager(folder, stage_port);
    let mut command = Command::new(peers.join("prometheus-alertmanager"));
    command
        .arg(format!("--config.file={}", configuration.display()))
        .arg(format!("--storage.path={}", folder.join("alertmanager").display()))
        .arg(format!("--web.listen-address=127.0.0.1:{port}"))
        .arg("--cluster.listen-address=");
    Server::start("alertmanager", &mut command, port, "/-/ready", folder.join("alertmanager.log"))
}

fn look(server: &Server, seen: &mut Seen) {
    let answer = server.get("/api/v1/alerts", &[]).expect("the server runs");
    assert_eq!(answer.status, 200, "{}", answer.text());
    let answer = answer.json();
    for alert in answer["data"]["alerts"].as_array().expect("alerts are a list") {
        let key = (labels(&alert["labels"]), text(&alert["value"]).to_owned());
        seen.entry(key).or_default().insert(labels(&alert["annotations"]));
    }
}
