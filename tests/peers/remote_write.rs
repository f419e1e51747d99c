//! A real Prometheus scrapes itself and a real node_exporter and writes into perdura, which scrapes the same exporter:
//! both servers answer the same.

use std::collections::BTreeSet;
use std::path::Path;
use std::time::Duration;

use serde_json::Value;

use super::compare::{label_text, same_result, series_count};
use super::queries::{QUESTIONS, Question};
use super::server::{Server, Subject, free_port, peers, start_node_exporter, start_prometheus, wait_until};
use super::wire::Protocol;

/// Seconds that both servers must hold before they are asked.
const HISTORY_S: i64 = 40;

/// Families of a node_exporter whose values stay the same for a minute.
const CONSTANT: &str = "node_uname_info|node_os_info|node_os_version|node_exporter_build_info|go_info|node_dmi_info|\
    node_memory_MemTotal_bytes|process_start_time_seconds|node_filesystem_size_bytes|node_network_info|up|\
    scrape_samples_post_metric_relabeling|node_scrape_collector_success|process_max_fds|node_time_zone_offset_seconds";

#[test]
fn what_prometheus_writes_with_protocol_1_is_answered_alike() {
    written_and_scraped_alike(Protocol::V1);
}

#[test]
fn what_prometheus_writes_with_protocol_2_is_answered_alike() {
    written_and_scraped_alike(Protocol::V2);
}

fn written_and_scraped_alike(protocol: Protocol) {
    let Some(peers) = peers("remote_write") else { return };
    let folder = tempfile::tempdir().expect("a temporary folder can be made");
    let trial = Trial::start(&peers, folder.path(), protocol);
    let end = trial.wait_for_history();
    let failures: Vec<String> =
        QUESTIONS.iter().filter_map(|question| trial.ask(question, end).err()).collect();
    assert!(
        failures.is_empty(),
        "{} of {} differ:\n{}",
        failures.len(),
        QUESTIONS.len(),
        failures.join("\n")
    );
    if !trial.subject_stands_in {
        trial.compare_scrapes(end);
    }
    println!("remote_write {protocol:?}: {} of {} answers agree", QUESTIONS.len(), QUESTIONS.len());
}

/// A Prometheus, the server that it writes into, and the exporter that both scrape.
struct Trial {
    subject: Server,
    prometheus: Server,
    subject_stands_in: bool,
    _exporter: Server,
}

impl Trial {
    fn start(peers: &Path, folder: &Path, protocol: Protocol) -> Self {
        let exporter = start_node_exporter(peers, folder);
        let place = Subject::new(&folder.join("subject"));
        let subject = place.start(&scrape_configuration("node_seen_directly", exporter.port));
        let port = free_port();
        let configuration = format!(
            "{}  - job_name: prometheus\n    static_configs: [{{targets: ['127.0.0.1:{port}']}}]\n\
             remote_write:\n  - url: http://127.0.0.1:{}/api/v1/write\n    protobuf_message: {}\n    \
             queue_config: {{batch_send_deadline: 500ms}}\n",
            scrape_configuration("node", exporter.port),
            subject.port,
            protocol.message(),
        );
        let prometheus = start_prometheus(peers, &folder.join("prometheus"), port, &configuration);
        Self { subject, prometheus, subject_stands_in: place.stands_in(), _exporter: exporter }
    }

    /// Waits until both hold the history; returns its last moment in whole seconds.
    fn wait_for_history(&self) -> i64 {
        let covers = r#"count_over_time(up{job="node"}[2m])"#;
        wait_until("Prometheus has scraped long enough", Duration::from_secs(90), || {
            first_value(&self.prometheus, covers, None).is_some_and(|count| count > HISTORY_S as f64)
        });
        let newest =
            first_value(&self.prometheus, r#"timestamp(up{job="node"})"#, None).expect("it was scraped");
        let end = newest as i64 - 1;
        let count = r#"sum(count_over_time({job=~"prometheus|node"}[38s]))"#;
        let expected = first_value(&self.prometheus, count, Some(end));
        wait_until("everything up to the last moment has been written", Duration::from_secs(30), || {
            first_value(&self.subject, count, Some(end)) == expected
        });
        end
    }

    fn ask(&self, question: &Question, end: i64) -> Result<(), String> {
        let (path, mut fields) = match question {
            Question::Instant(query) | Question::Ordered(query) => {
                ("/api/v1/query", vec![("query", query.to_string()), ("time", end.to_string())])
            }
            Question::Range(query) => {
                ("/api/v1/query_range", vec![("query", query.to_string()), ("step", "1".to_owned())])
            }
            Question::Call(path, fields) => {
                (*path, fields.iter().map(|(name, value)| (*name, value.to_string())).collect())
            }
        };
        if !matches!(question, Question::Instant(_) | Question::Ordered(_)) {
            fields.push(("start", (end - 20).to_string()));
            fields.push(("end", end.to_string()));
        }
        let fields: Vec<_> =
            fields.iter().map(|(name, value)| (*name, value.replace("$end", &end.to_string()))).collect();
        let fields: Vec<(&str, &str)> = fields.iter().map(|(name, value)| (*name, value.as_str())).collect();
        let expected = data_of(&self.prometheus, path, &fields)?;
        let actual = data_of(&self.subject, path, &fields)?;
        compare_answers(question, &expected, &actual).map_err(|error| format!("{path} {fields:?}: {error}"))
    }

    /// What was scraped directly has the label sets of what was written, and the values of what does not change.
    fn compare_scrapes(&self, end: i64) {
        let span = [("start", (end - 20).to_string()), ("end", end.to_string())];
        let sets = |server: &Server, selector: &str| {
            let fields = [("match[]", selector), (span[0].0, &span[0].1), (span[1].0, &span[1].1)];
            label_sets(&data_of(server, "/api/v1/series", &fields).expect("series can be listed"))
        };
        let (written, scraped) =
            (sets(&self.prometheus, r#"{job="node"}"#), sets(&self.subject, r#"{job="node_seen_directly"}"#));
        let differing: Vec<_> = written.symmetric_difference(&scraped).take(5).collect();
        assert!(
            differing.is_empty() && written.len() > 300,
            "{} and {}: {differing:#?}",
            written.len(),
            scraped.len()
        );
        let at = end.to_string();
        let constant = |server: &Server, job: &str| {
            let drop_job =
                format!(r#"label_replace({{job="{job}",__name__=~"{CONSTANT}"}}, "job", "", "", "")"#);
            data_of(server, "/api/v1/query", &[("query", &drop_job), ("time", &at)])
                .expect("values can be asked for")
        };
        let (written, scraped) =
            (constant(&self.prometheus, "node"), constant(&self.subject, "node_seen_directly"));
        assert!(series_count(&written) > 15, "only {} constant series", series_count(&written));
        same_result(&written, &scraped, false).expect("constant series have the same values");
    }
}

fn scrape_configuration(job: &str, port: u16) -> String {
    format!(
        "global: {{scrape_interval: 1s, scrape_timeout: 1s}}\nscrape_configs:\n  - job_name: {job}\n    \
         static_configs: [{{targets: ['127.0.0.1:{port}']}}]\n"
    )
}

fn compare_answers(question: &Question, expected: &Value, actual: &Value) -> Result<(), String> {
    let ordered = matches!(question, Question::Ordered(_));
    match question {
        Question::Call(..) => {
            let empty = expected.as_array().is_none_or(Vec::is_empty);
            if empty {
                return Err("Prometheus has no answer, so nothing is compared".to_owned());
            }
            let same = expected == actual || label_sets(expected) == label_sets(actual);
            if same { Ok(()) } else { Err(format!("{actual} is not {expected}")) }
        }
        _ if series_count(expected) == 0 => {
            Err("Prometheus has no answer, so nothing is compared".to_owned())
        }
        _ => same_result(expected, actual, ordered),
    }
}

/// Label sets of a series call without job; what is no label set stays as it is.
fn label_sets(data: &Value) -> BTreeSet<String> {
    let items = data.as_array().into_iter().flatten();
    items
        .map(|item| {
            let mut item = item.clone();
            item.as_object_mut().map(|labels| labels.remove("job"));
            label_text(&item).unwrap_or_else(|_| item.to_string())
        })
        .collect()
}

/// `data` of a successful answer.
pub(crate) fn data_of(server: &Server, path: &str, fields: &[(&str, &str)]) -> Result<Value, String> {
    let answer = server.get(path, fields).map_err(|error| format!("{path}: {error}"))?;
    if answer.status != 200 {
        return Err(format!("{path} {fields:?}: status {}: {}", answer.status, answer.text()));
    }
    Ok(answer.json()["data"].take())
}

/// First value of an instant query.
fn first_value(server: &Server, query: &str, at: Option<i64>) -> Option<f64> {
    let mut fields = vec![("query", query.to_owned())];
    fields.extend(at.map(|at| ("time", at.to_string())));
    let fields: Vec<(&str, &str)> = fields.iter().map(|(name, value)| (*name, value.as_str())).collect();
    let data = data_of(server, "/api/v1/query", &fields).ok()?;
    data["result"][0]["value"][1].as_str()?.parse().ok()
}
