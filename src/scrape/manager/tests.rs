use std::sync::Mutex as StdMutex;
use std::time::{Duration, Instant};

use axum::Router;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};

use super::*;
use crate::model::{Matcher, TimeSpan, is_stale};
use crate::scrape::{ScrapeDefaults, TargetHealth, TargetStatus};
use crate::storage::{Columns, MemoryStore, Select, SelectRequest, SymbolTable};

/// Longest wait for something that should happen within a second; the machine may be busy.
const PATIENCE: Duration = Duration::from_secs(60);

#[derive(Clone)]
struct Reply {
    status: StatusCode,
    content_type: &'static str,
    body: String,
    delay: Duration,
}

/// A target that answers what it is told to and remembers what it was asked.
#[derive(Clone)]
struct Exporter {
    address: String,
    reply: Arc<StdMutex<Reply>>,
    asked: Arc<StdMutex<Vec<(Uri, HeaderMap)>>>,
}

impl Exporter {
    async fn start(body: &str) -> Self {
        let reply = Reply {
            status: StatusCode::OK,
            content_type: "text/plain; version=0.0.4",
            body: body.to_owned(),
            delay: Duration::ZERO,
        };
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port is free");
        let address = listener.local_addr().expect("it is bound").to_string();
        let exporter = Self { address, reply: Arc::new(StdMutex::new(reply)), asked: Arc::default() };
        let router = Router::new()
            .fallback(answer)
            .layer(tower_http::compression::CompressionLayer::new())
            .with_state(exporter.clone());
        tokio::spawn(async move { axum::serve(listener, router).await });
        exporter
    }

    fn change(&self, edit: impl FnOnce(&mut Reply)) {
        edit(&mut self.reply.lock().expect("no test panics inside"));
    }

    fn asked(&self) -> Vec<(Uri, HeaderMap)> {
        self.asked.lock().expect("no test panics inside").clone()
    }
}

async fn answer(State(exporter): State<Exporter>, uri: Uri, headers: HeaderMap) -> Response {
    exporter.asked.lock().expect("no test panics inside").push((uri, headers));
    let reply = exporter.reply.lock().expect("no test panics inside").clone();
    tokio::time::sleep(reply.delay).await;
    (reply.status, [(header::CONTENT_TYPE, reply.content_type)], reply.body).into_response()
}

/// A job `j` that scrapes `targets` every 100 ms.
fn job(targets: &[&str], settings: &str) -> ScrapeConfig {
    let list = serde_json::to_string(targets).expect("texts serialize");
    let interval = if settings.contains("scrape_interval") { "" } else { "scrape_interval: 100ms\n" };
    let text = format!("job_name: j\n{interval}static_configs: [{{targets: {list}}}]\n{settings}");
    read(&text)
}

fn read(text: &str) -> ScrapeConfig {
    let mut config: ScrapeConfig = serde_saphyr::from_str(text).expect("job is sound");
    config.validate(&ScrapeDefaults::default()).expect("job is sound");
    config
}

struct Bench {
    store: Arc<MemoryStore>,
    manager: ScrapeManager,
}

impl Bench {
    async fn start(configs: Vec<ScrapeConfig>) -> Self {
        let store = Arc::new(MemoryStore::default());
        let append = Arc::clone(&store) as Arc<dyn Append>;
        let manager = ScrapeManager::new(append, Clock::System, ScrapeOptions::default());
        manager.apply(configs).await.expect("clients can be made");
        Self { store, manager }
    }

    fn pool(&self) -> PoolStatus {
        self.manager.targets().into_iter().find(|pool| pool.name == "j").unwrap_or_default()
    }

    fn urls(&self) -> Vec<String> {
        self.pool().active.into_iter().map(|target| target.scrape_url).collect()
    }

    /// The only target, once it is in that state.
    async fn target_once(&self, health: TargetHealth) -> TargetStatus {
        until(|| self.pool().active.into_iter().find(|target| target.health == health)).await
    }

    /// Stored values of a metric, all of its series together; a marker as `None`.
    fn values(&self, metric: &str) -> Vec<Option<f64>> {
        let mut symbols = SymbolTable::default();
        let matchers = [Matcher::equal("__name__", metric)];
        let request = SelectRequest::samples(&matchers, TimeSpan::ALL);
        let tenant = TenantId::default();
        let selection = self.store.select(&tenant, &request, &mut symbols).expect("memory does not fail");
        let mut columns = Columns::default();
        selection.read(0..selection.len(), &mut columns).expect("memory does not fail");
        let values = |row: usize| {
            columns.row(row).values.iter().map(|v| (!is_stale(*v)).then_some(*v)).collect::<Vec<_>>()
        };
        (0..selection.len()).flat_map(values).collect()
    }

    fn count(&self, metric: &str) -> usize {
        self.values(metric).len()
    }
}

/// Waits until there is something to find.
async fn until<T>(find: impl Fn() -> Option<T>) -> T {
    let began = Instant::now();
    loop {
        if let Some(found) = find() {
            return found;
        }
        assert!(began.elapsed() < PATIENCE, "waited in vain");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

#[tokio::test]
async fn targets_are_asked_as_upstream_asks_and_shown_as_it_shows() {
    let exporter = Exporter::start("# TYPE m gauge\n# HELP m Says m.\nm{l=\"1\"} 5\n").await;
    let config = job(
        &[&exporter.address],
        "scrape_timeout: 90ms\nparams: {p: ['a b']}\nmetrics_path: /x\nscrape_interval: 200ms",
    );
    let bench = Bench::start(vec![config]).await;
    let target = bench.target_once(TargetHealth::Up).await;
    let (uri, headers) = exporter.asked().remove(0);
    assert_eq!(uri.to_string(), "/x?p=a+b");
    assert_eq!(headers["accept-encoding"], "gzip");
    assert_eq!(headers["x-prometheus-scrape-timeout-seconds"], "0.09");
    assert!(headers["user-agent"].to_str().expect("it is text").starts_with("perdura/"));
    assert!(
        headers["accept"]
            .to_str()
            .expect("it is text")
            .starts_with("application/openmetrics-text;version=1.0.0;")
    );

    assert_eq!(target.scrape_url, format!("http://{}/x?p=a+b", exporter.address));
    assert_eq!(target.labels.to_string(), format!("{{instance=\"{}\", job=\"j\"}}", exporter.address));
    assert_eq!(target.discovered_labels.get("__scrape_timeout__"), Some("90ms"));
    assert_eq!((target.scrape_interval.0, target.scrape_timeout.0), (200, 90));
    assert_eq!((target.last_error.as_str(), target.scrape_pool.as_str()), ("", "j"));
    assert!(target.last_scrape.is_some() && target.last_scrape_duration > 0.0);
    let metadata = bench.manager.metadata();
    assert_eq!((metadata[0].metric.as_str(), metadata[0].metadata.help.as_str()), ("m", "Says m."));
    assert_eq!(bench.values("m")[0], Some(5.0));
    bench.manager.stop().await;
}

#[tokio::test]
async fn bodies_come_packed_only_where_that_is_wanted() {
    let body = "a_metric_with_a_name_that_is_worth_packing 1\n".to_owned() + &"# comment\n".repeat(100);
    let exporter = Exporter::start(&body).await;
    let bench = Bench::start(vec![job(&[&exporter.address], "body_size_limit: 2KB")]).await;
    bench.target_once(TargetHealth::Up).await;
    assert_eq!(bench.values("a_metric_with_a_name_that_is_worth_packing")[0], Some(1.0));
    // The limit counts the unpacked body, which is longer than what came.
    let limited = job(&[&exporter.address], "body_size_limit: 1KB");
    bench.manager.apply(vec![limited]).await.expect("clients can be made");
    let target = bench.target_once(TargetHealth::Down).await;
    assert_eq!(target.last_error, "body size limit exceeded");
    let plain = job(&[&exporter.address], "enable_compression: false");
    bench.manager.apply(vec![plain]).await.expect("clients can be made");
    until(|| {
        exporter.asked().iter().any(|(_, headers)| headers["accept-encoding"] == "identity").then_some(())
    })
    .await;
    bench.manager.stop().await;
}

#[tokio::test]
async fn failures_are_shown_and_mark_series() {
    let exporter = Exporter::start("m 1\n").await;
    let bench = Bench::start(vec![job(&[&exporter.address], "scrape_timeout: 80ms")]).await;
    bench.target_once(TargetHealth::Up).await;
    exporter.change(|reply| reply.status = StatusCode::INTERNAL_SERVER_ERROR);
    let target = bench.target_once(TargetHealth::Down).await;
    assert_eq!(target.last_error, "server returned HTTP status 500 Internal Server Error");
    assert_eq!(bench.values("m").last(), Some(&None));
    assert_eq!(bench.values("up").last(), Some(&Some(0.0)));

    exporter.change(|reply| (reply.status, reply.delay) = (StatusCode::OK, Duration::from_secs(30)));
    until(|| bench.pool().active[0].last_error.contains("context deadline exceeded").then_some(())).await;
    exporter.change(|reply| (reply.delay, reply.content_type) = (Duration::ZERO, "text/html"));
    until(|| bench.pool().active[0].last_error.contains("unsupported Content-Type").then_some(())).await;
    exporter.change(|reply| {
        (reply.content_type, reply.body) = ("application/openmetrics-text", "m 2\n# EOF\n".to_owned());
    });
    bench.target_once(TargetHealth::Up).await;
    assert_eq!(bench.values("m").last(), Some(&Some(2.0)));
    bench.manager.stop().await;
}

#[tokio::test]
async fn a_target_that_nobody_answers_for_is_down() {
    let bench = Bench::start(vec![job(&["127.0.0.1:1"], "")]).await;
    let target = bench.target_once(TargetHealth::Down).await;
    assert!(target.last_error.starts_with("Get \"http://127.0.0.1:1/metrics\": "), "{}", target.last_error);
    assert!(target.last_error.contains("refused"), "{}", target.last_error);
    bench.manager.stop().await;
}

#[tokio::test]
async fn a_job_that_ends_is_marked_and_one_that_stops_with_the_server_is_not() {
    let exporter = Exporter::start("m 1\n").await;
    let bench = Bench::start(vec![job(&[&exporter.address], "")]).await;
    bench.target_once(TargetHealth::Up).await;
    bench.manager.apply(Vec::new()).await.expect("nothing can fail");
    assert!(bench.manager.targets().is_empty());
    until(|| (bench.values("m").last() == Some(&None)).then_some(())).await;
    assert_eq!(bench.values("up").last(), Some(&None));

    let bench = Bench::start(vec![job(&[&exporter.address], "")]).await;
    bench.target_once(TargetHealth::Up).await;
    bench.manager.stop().await;
    let count = bench.count("m");
    tokio::time::sleep(Duration::from_millis(500)).await;
    assert_eq!((bench.count("m"), bench.values("m").contains(&None)), (count, false));
}

#[tokio::test]
async fn jobs_that_stay_go_on_and_changed_ones_remember() {
    let exporter = Exporter::start("m 1\nn 1\n").await;
    let bench = Bench::start(vec![job(&[&exporter.address], "")]).await;
    bench.target_once(TargetHealth::Up).await;
    bench.manager.apply(vec![job(&[&exporter.address], "")]).await.expect("clients can be made");
    assert_eq!(bench.manager.metrics().pool_reloads.get(), 0);
    assert_eq!(bench.pool().active[0].health, TargetHealth::Up);

    // Another limit: the loop is a new one, and what it exposed is not new to it.
    bench
        .manager
        .apply(vec![job(&[&exporter.address], "sample_limit: 100")])
        .await
        .expect("clients can be made");
    assert_eq!(bench.manager.metrics().pool_reloads.get(), 1);
    assert_eq!(bench.pool().active[0].health, TargetHealth::Up);
    let count = bench.count("m");
    until(|| (bench.count("m") > count + 3).then_some(())).await;
    assert!(!bench.values("m").contains(&None));
    assert_eq!(bench.values("scrape_series_added").iter().flatten().sum::<f64>(), 2.0);

    // Another rule: what it no longer stores is marked, what it still stores is not.
    let rule = "metric_relabel_configs: [{source_labels: [__name__], regex: n, action: drop}]";
    bench.manager.apply(vec![job(&[&exporter.address], rule)]).await.expect("clients can be made");
    until(|| (bench.values("n").last() == Some(&None)).then_some(())).await;
    assert_ne!(bench.values("m").last(), Some(&None));
    bench.manager.stop().await;
}

#[tokio::test]
async fn targets_in_files_come_and_go() {
    let (first, second) = (Exporter::start("m 1\n").await, Exporter::start("m 2\n").await);
    let folder = tempfile::tempdir().expect("there is room");
    let file = folder.path().join("targets.json");
    let write = |targets: &[&str]| {
        // Renamed into place, as tools do: a half-written file would be reported.
        let staged = folder.path().join("staged");
        let list = serde_json::json!([{ "targets": targets, "labels": { "from": "file" } }]);
        std::fs::write(&staged, list.to_string())
            .and_then(|()| std::fs::rename(&staged, &file))
            .expect("there is room");
    };
    write(&[&first.address]);
    let pattern = folder.path().join("*.json").to_string_lossy().into_owned();
    let config = |settings: &str| {
        read(&format!(
            "{{job_name: j, scrape_interval: 100ms, file_sd_configs: [{{files: ['{pattern}'], refresh_interval: 50ms}}]{settings}}}"
        ))
    };
    let bench = Bench::start(vec![config("")]).await;
    let target = bench.target_once(TargetHealth::Up).await;
    assert_eq!(target.labels.get("from"), Some("file"));
    assert_eq!(target.discovered_labels.get("__meta_filepath"), file.to_str());

    let url = |exporter: &Exporter| format!("http://{}/metrics", exporter.address);
    write(&[&second.address]);
    until(|| (bench.urls() == [url(&second)]).then_some(())).await;
    until(|| bench.values("m").contains(&None).then_some(())).await;

    std::fs::write(&file, "[{").expect("there is room");
    until(|| (bench.manager.metrics().file_read_errors.get() > 0).then_some(())).await;
    assert_eq!(bench.urls(), [url(&second)]);
    // A reload while the file is broken does not cost the target either.
    bench.manager.apply(vec![config(", sample_limit: 5")]).await.expect("clients can be made");
    assert_eq!(bench.urls(), [url(&second)]);
    std::fs::remove_file(&file).expect("it was there");
    until(|| bench.urls().is_empty().then_some(())).await;
    bench.manager.stop().await;
}

#[tokio::test]
async fn too_many_targets_are_all_down_and_dropped_ones_are_listed() {
    let exporter = Exporter::start("m 1\n").await;
    let localhost = exporter.address.replace("127.0.0.1", "localhost");
    let bench =
        Bench::start(vec![job(&[&exporter.address, &localhost, &exporter.address], "target_limit: 1")]).await;
    until(|| bench.pool().active.iter().all(|target| target.health == TargetHealth::Down).then_some(()))
        .await;
    let pool = bench.pool();
    assert_eq!(pool.active.len(), 2);
    assert_eq!(pool.active[0].last_error, "target_limit exceeded (number of targets: 2, limit: 1)");
    assert!(exporter.asked().is_empty());

    let rules = "keep_dropped_targets: 1\nrelabel_configs: [{source_labels: [__address__], regex: '.*:[12]', action: drop}]";
    bench
        .manager
        .apply(vec![job(&["a:1", "b:2", &exporter.address], rules)])
        .await
        .expect("clients can be made");
    let pool = bench.pool();
    assert_eq!((pool.active.len(), pool.dropped.len(), pool.dropped_count), (1, 1, 2));
    assert_eq!(pool.dropped[0].discovered_labels.get("__address__"), Some("a:1"));
    assert_eq!(pool.metrics.targets, 1);
    bench.manager.stop().await;
}

#[tokio::test]
async fn a_job_without_a_client_changes_nothing() {
    let exporter = Exporter::start("m 1\n").await;
    let bench = Bench::start(vec![job(&[&exporter.address], "")]).await;
    let broken = job(&[&exporter.address], "tls_config: {ca_file: /nowhere/ca.pem}");
    let error = bench.manager.apply(vec![broken]).await.expect_err("there is no such file");
    assert!(error.to_string().contains("\"j\": unable to read file /nowhere/ca.pem"), "{error}");
    assert_eq!(bench.manager.metrics().pool_reloads_failed.get(), 1);
    bench.target_once(TargetHealth::Up).await;
    bench.manager.stop().await;
}
