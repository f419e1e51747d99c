use super::*;
use crate::setting::DurationMs;

fn parse_text(text: &str) -> Result<Config, String> {
    Config::parse(text, &|_| None).map_err(|error| error.to_string())
}

#[test]
fn nothing_is_a_configuration() {
    for text in ["", "# only a comment\n", "{}", "global:\nscrape_configs:\n"] {
        let config = parse_text(text).expect("nothing is fine");
        assert_eq!(config.global.scrape_interval, DurationMs(60_000), "{text:?}");
        assert!(config.jobs().next().is_none() && config.unserved().is_empty());
    }
}

/// Every section of upstream's file at once.
const WHOLE: &str = r#"
global:
  scrape_interval: 15s
  evaluation_interval: 30s
  external_labels: {region: eu, replica: "${HOSTNAME}", price: "5$$"}
runtime: {gogc: 75}
alerting:
  alert_relabel_configs: [{regex: replica, action: labeldrop}]
  alertmanagers:
  - static_configs: [{targets: ["am:9093"]}]
    sigv4: {region: eu}
rule_files: ["rules/*.yml"]
scrape_configs:
- job_name: node
  static_configs: [{targets: ["localhost:9100"], labels: {rack: "7"}}]
  basic_auth: {username: u, password: hunter2}
- job_name: pods
  kubernetes_sd_configs: [{role: pod}]
storage:
  tsdb: {out_of_order_time_window: 30m, retention: {time: 1y}}
  exemplars: {max_exemplars: 10}
tracing: {endpoint: "localhost:4317"}
remote_write:
- url: http://a/write
  name: a
remote_read:
- url: http://a/read
otlp: {promote_resource_attributes: [service.name]}
"#;

#[test]
fn every_section_is_read_and_what_is_not_served_is_named() {
    let variables = |name: &str| (name == "HOSTNAME").then(|| "a1".to_owned());
    let config = Config::parse(WHOLE, &variables).expect("the configuration is sound");
    let labels: Vec<(&str, &str)> =
        config.global.external_labels.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
    assert_eq!(labels, [("price", "5$"), ("region", "eu"), ("replica", "a1")]);
    assert_eq!(config.jobs().count(), 2);
    assert!(config.jobs().all(|job| job.own.scrape_interval == DurationMs(15_000)));
    let unserved = config.unserved();
    for name in [
        "runtime",
        "alerting.alertmanagers.0.sigv4",
        "tracing",
        "remote_read",
        "otlp",
        "storage.exemplars",
        "scrape_configs.pods.kubernetes_sd_configs",
    ] {
        assert!(unserved.iter().any(|unserved| unserved == name), "{name} in {unserved:?}");
    }
}

#[test]
fn secrets_do_not_show_and_the_shown_text_reads_back() {
    // A dollar sign that is left would be expanded again.
    let config = parse_text(&WHOLE.replace("5$$", "5")).expect("the configuration is sound");
    let yaml = config.to_yaml();
    assert!(!yaml.contains("hunter2") && yaml.contains("<secret>"), "{yaml}");
    let again = parse_text(&yaml).expect("what is shown is a configuration");
    assert_eq!(again.jobs().count(), 2);
    assert_eq!(again.to_yaml(), yaml);
}

#[test]
fn mistakes_name_line_and_field() {
    for (text, parts) in [
        ("global:\n  scrape_intervall: 15s\n", &["line 2", "scrape_intervall"][..]),
        ("scrape_configs:\n- job_name: a\n  static_configs:\n  - target: [b]\n", &["line 4", "target"]),
        ("global:\n  scrape_interval: fast\n", &["line 2", "not a valid duration string"]),
        (
            "scrape_configs: [{job_name: a}, {job_name: a}]",
            &["found multiple scrape configs with job name \"a\""],
        ),
        ("scrape_configs: [null]", &["empty or null scrape config section"]),
        ("scrape_configs: [{metrics_path: /x}]", &["job_name is empty"]),
        ("rule_files: ['a/*/b.yml']", &["invalid rule file path \"a/*/b.yml\""]),
        (
            "remote_write: [{url: 'http://a', name: x}, {url: 'http://b', name: x}]",
            &["found multiple remote write"],
        ),
        ("recording: x", &["line 1", "recording"]),
        ("global: [", &["line"]),
        (
            "scrape_configs: [{job_name: a, scrape_timeout: 2m}]",
            &["scrape timeout greater than scrape interval"],
        ),
    ] {
        let error = parse_text(text).expect_err(text);
        for part in parts {
            assert!(error.contains(part), "{text:?}: {error} lacks {part}");
        }
    }
}

#[test]
fn errors_do_not_quote_the_file() {
    let text = "scrape_configs:\n- job_name: a\n  basic_auth:\n    username: u\n    password: hunter2\n    pasword: hunter3\n";
    let error = parse_text(text).expect_err("a field is unknown");
    assert!(error.contains("pasword") && !error.contains("hunter"), "{error}");
}

#[test]
fn further_files_are_read_beside_the_first() {
    let folder = tempfile::tempdir().expect("a folder can be made");
    let write = |name: &str, text: &str| {
        std::fs::write(folder.path().join(name), text).expect("a file can be written");
    };
    write("prometheus.yml", "scrape_config_files: ['jobs-*.yml']\nscrape_configs: [{job_name: own}]\n");
    write("jobs-1.yml", "scrape_configs:\n- job_name: one\n  file_sd_configs: [{files: [t.json]}]\n");
    write("jobs-2.yml", "scrape_configs: [{job_name: two}]\n");
    let load = || Config::load(&folder.path().join("prometheus.yml"), &|_| None).map_err(|e| e.to_string());
    let config = load().expect("all files are sound");
    let names: Vec<&str> = config.jobs().map(|job| job.own.job_name.as_str()).collect();
    assert_eq!(names, ["own", "one", "two"]);
    let targets = &config.jobs().nth(1).expect("three jobs").discovery.file_sd_configs[0].files[0];
    assert_eq!(*targets, folder.path().join("t.json").to_string_lossy());
    write("jobs-2.yml", "scrape_configs: [{job_name: own}]\n");
    let error = load().expect_err("a name is there twice");
    assert!(error.contains("jobs-2.yml") && error.contains("found multiple"), "{error}");
    write("jobs-2.yml", "scrape_config: []\n");
    assert!(load().is_err_and(|error| error.contains("jobs-2.yml") && error.contains("scrape_config")));
    assert!(Config::load(Path::new("/nowhere/p.yml"), &|_| None).is_err());
}

#[test]
fn the_built_in_configuration_scrapes_the_server() {
    let config = Config::scraping_itself("localhost:9090", "/prefix/metrics");
    let job = config.jobs().next().expect("there is one job");
    assert_eq!(job.discovery.static_configs[0].addresses().collect::<Vec<_>>(), ["localhost:9090"]);
    assert_eq!(job.own.metrics_path, "/prefix/metrics");
}

/// Parts of configurations that people who would use this product published.
#[test]
fn published_configurations_load() {
    let inference = r#"
global:
  scrape_interval: 30s
  evaluation_interval: 30s
scrape_configs:
  - job_name: "ml-inference"
    static_configs:
      - targets: ["localhost:8000"]
    relabel_configs:
      - source_labels: [__address__]
        target_label: instance
  - job_name: "dcgm-exporter"
    kubernetes_sd_configs:
      - role: endpoints
        namespaces:
          names:
            - monitoring
    relabel_configs:
      - source_labels: [__meta_kubernetes_endpoints_name]
        regex: dcgm-exporter
        action: keep
"#;
    let config = parse_text(inference).expect("the configuration is sound");
    assert_eq!(config.jobs().count(), 2);
    assert_eq!(config.unserved(), ["scrape_configs.dcgm-exporter.kubernetes_sd_configs"]);
}
