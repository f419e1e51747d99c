//! A real node_exporter, scraped by the library alone.

use std::collections::{BTreeMap, BTreeSet};
use std::process::{Child, Command};
use std::sync::Arc;
use std::time::{Duration, Instant};

use perdura::clock::Clock;
use perdura::ingest::exposition::{Entry, Format, Parser};
use perdura::model::{Labels, LabelsBuilder, MetricType, TenantId, TimeSpan};
use perdura::scrape::{
    ScrapeConfig, ScrapeDefaults, ScrapeManager, ScrapeOptions, TargetHealth, TargetStatus,
};
use perdura::storage::{Columns, MemoryStore, Select, SelectRequest, SymbolTable};

use super::server::{Server, free_port, peers};

/// Longest wait for the first scrapes.
const PATIENCE: Duration = Duration::from_secs(60);

/// The newest value of each stored series.
fn stored(store: &MemoryStore) -> BTreeMap<Labels, f64> {
    let mut symbols = SymbolTable::default();
    let request = SelectRequest::samples(&[], TimeSpan::ALL);
    let selection = store.select(&TenantId::default(), &request, &mut symbols).expect("memory does not fail");
    let mut columns = Columns::default();
    selection.read(0..selection.len(), &mut columns).expect("memory does not fail");
    let newest = |row: usize| *columns.row(row).values.last().expect("a selected series has samples");
    (0..selection.len()).map(|row| (selection.labels(row, &symbols), newest(row))).collect()
}

/// The series of a body, with a target's labels.
fn exposed(body: &[u8], instance: &str) -> BTreeSet<Labels> {
    let mut parser = Parser::new(Format::Text, body);
    let mut series = BTreeSet::new();
    while let Some(entry) = parser.next_entry().expect("the exporter keeps to the format") {
        if let Entry::Sample(sample) = entry {
            let mut labels = LabelsBuilder::default();
            sample.push_labels(&mut labels);
            labels.set("instance", instance).set("job", "node");
            series.insert(labels.build().expect("names are unique"));
        }
    }
    series
}

fn config(instance: &str) -> ScrapeConfig {
    let text = format!(
        "job_name: node\nscrape_interval: 1s\nscrape_protocols: [PrometheusText0.0.4]\nstatic_configs: [{{targets: ['{instance}']}}]"
    );
    let mut config: ScrapeConfig = serde_saphyr::from_str(&text).expect("job is sound");
    config.validate(&ScrapeDefaults::default()).expect("job is sound");
    config
}

async fn scraped_target(manager: &ScrapeManager) -> TargetStatus {
    let began = Instant::now();
    loop {
        let target = manager.targets().remove(0).active.remove(0);
        if target.health != TargetHealth::Unknown {
            return target;
        }
        assert!(began.elapsed() < PATIENCE, "it was never scraped");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[test]
fn a_node_exporter_is_stored_series_for_series() {
    let Some(folder) = peers("node_exporter") else { return };
    let scratch = tempfile::tempdir().expect("there is room");
    let port = free_port();
    let mut command = Command::new(folder.join("prometheus-node-exporter"));
    // Its own HTTP metrics count our requests, and come and go with them.
    command.arg(format!("--web.listen-address=127.0.0.1:{port}")).arg("--web.disable-exporter-metrics");
    let exporter = Server::start("node_exporter", &mut command, port, "/", scratch.path().join("log"));
    let instance = format!("127.0.0.1:{port}");

    let runtime = tokio::runtime::Runtime::new().expect("threads can be started");
    let store = Arc::new(MemoryStore::default());
    let manager = ScrapeManager::new(store.clone(), Clock::System, ScrapeOptions::default());
    let target = runtime.block_on(async {
        manager.apply(vec![config(&instance)]).await.expect("a client can be made");
        let target = scraped_target(&manager).await;
        manager.stop().await;
        target
    });
    assert_eq!((target.health, target.last_error.as_str()), (TargetHealth::Up, ""));

    let answer = exporter.get("/metrics", &[]).expect("the exporter answers");
    let expected = exposed(&answer.body, &instance);
    let mut found = stored(&store);
    let mut own = |name: &str| {
        let labels =
            Labels::from_pairs([("__name__", name), ("instance", instance.as_str()), ("job", "node")]);
        found.remove(&labels).unwrap_or_else(|| panic!("{labels} is stored"))
    };
    assert_eq!(own("up"), 1.0);
    let samples = own("scrape_samples_scraped");
    assert_eq!(samples, own("scrape_samples_post_metric_relabeling"));
    assert!(own("scrape_duration_seconds") > 0.0);
    let _ = own("scrape_series_added");
    assert_eq!(found.len() as f64, samples);
    assert!(found.len() > 200, "{} series", found.len());
    // A device or mount may come or go between the scrape and the request; nothing else may differ.
    let found: BTreeSet<Labels> = found.into_keys().collect();
    let different: Vec<_> = found.symmetric_difference(&expected).collect();
    assert!(different.len() * 50 < expected.len(), "{different:?}");
    let metadata = manager.metadata();
    let seconds = metadata.iter().find(|family| family.metric == "node_cpu_seconds_total");
    assert_eq!(seconds.map(|family| family.metadata.metric_type), Some(MetricType::Counter));
}

/// A process that ends with the trial. [`Server`] asks over plain HTTP whether it is ready, which this one refuses.
struct Ended(Child);

impl Drop for Ended {
    fn drop(&mut self) {
        // Already dead is as good as killed.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Makes a certificate for 127.0.0.1 that signs itself; `None` where no openssl is installed. It must not claim to be an
/// authority, as openssl would have it: the TLS library refuses such a one in a server's place.
fn make_certificate(folder: &std::path::Path) -> Option<()> {
    let made = Command::new("openssl")
        .args([
            "req",
            "-x509",
            "-newkey",
            "ec",
            "-pkeyopt",
            "ec_paramgen_curve:prime256v1",
            "-nodes",
            "-days",
            "2",
        ])
        .args([
            "-subj",
            "/CN=trial",
            "-addext",
            "subjectAltName=IP:127.0.0.1",
            "-addext",
            "basicConstraints=critical,CA:FALSE",
            "-keyout",
            "key.pem",
            "-out",
            "cert.pem",
        ])
        .current_dir(folder)
        .output()
        .ok()?;
    made.status.success().then_some(())
}

/// How a target that speaks TLS does with these settings.
fn scrape_over_tls(instance: &str, settings: &str) -> TargetStatus {
    let text = format!(
        "job_name: node\nscheme: https\nscrape_interval: 1s\nstatic_configs: [{{targets: ['{instance}']}}]\ntls_config: {settings}"
    );
    let mut config: ScrapeConfig = serde_saphyr::from_str(&text).expect("job is sound");
    config.validate(&ScrapeDefaults::default()).expect("job is sound");
    let runtime = tokio::runtime::Runtime::new().expect("threads can be started");
    let store = Arc::new(MemoryStore::default());
    let manager = ScrapeManager::new(store, Clock::System, ScrapeOptions::default());
    runtime.block_on(async {
        manager.apply(vec![config]).await.expect("a client can be made");
        let target = scraped_target(&manager).await;
        manager.stop().await;
        target
    })
}

#[test]
fn a_certificate_must_be_one_that_was_asked_for() {
    let Some(folder) = peers("node_exporter over TLS") else { return };
    let scratch = tempfile::tempdir().expect("there is room");
    let Some(()) = make_certificate(scratch.path()) else {
        println!("node_exporter over TLS: skipped, openssl makes no certificate");
        return;
    };
    let web = scratch.path().join("web.yml");
    std::fs::write(&web, "tls_server_config: {cert_file: cert.pem, key_file: key.pem}")
        .expect("there is room");
    let port = free_port();
    let mut command = Command::new(folder.join("prometheus-node-exporter"));
    command.arg(format!("--web.listen-address=127.0.0.1:{port}")).arg("--web.config.file").arg(&web);
    let log = std::fs::File::create(scratch.path().join("log")).expect("there is room");
    let _exporter = Ended(command.stderr(log).spawn().expect("the exporter can be started"));
    let began = Instant::now();
    while std::net::TcpStream::connect(("127.0.0.1", port)).is_err() {
        assert!(began.elapsed() < PATIENCE, "the exporter never listened");
        std::thread::sleep(Duration::from_millis(20));
    }
    let instance = format!("127.0.0.1:{port}");

    let refused = scrape_over_tls(&instance, "{}");
    assert_eq!(refused.health, TargetHealth::Down);
    assert!(refused.last_error.to_lowercase().contains("certificate"), "{}", refused.last_error);
    let file = scratch.path().join("cert.pem");
    for settings in [format!("{{ca_file: '{}'}}", file.display()), "{insecure_skip_verify: true}".to_owned()]
    {
        let target = scrape_over_tls(&instance, &settings);
        assert_eq!((target.health, target.last_error.as_str()), (TargetHealth::Up, ""), "{settings}");
    }
}
