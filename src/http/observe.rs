//! Metrics of requests and queries, under the names that upstream's dashboards and alerts read.

use std::sync::Arc;
use std::time::Instant;

use axum::body::{Body, HttpBody};
use axum::extract::{Request, State};
use axum::http::Response;
use axum::middleware::Next;

use crate::metrics::{Counter, Counters, Exposition, Gauge, Histogram, Histograms, Registry};

use super::app::App;

const DURATION_BOUNDS: &[f64] = &[0.1, 0.2, 0.4, 1.0, 3.0, 8.0, 20.0, 60.0, 120.0];
const SIZE_BOUNDS: &[f64] = &[1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9];
const QUERY_BOUNDS: &[f64] = &[0.001, 0.01, 0.1, 0.3, 1.0, 3.0, 10.0, 30.0, 60.0, 120.0];

/// Parts of a query's time, as upstream names them.
pub(super) const QUERY_SLICES: [&str; 4] = ["inner_eval", "prepare_time", "queue_time", "result_sort"];

/// The instruments.
pub(super) struct HttpMetrics {
    requests: Counters,
    durations: Histograms,
    sizes: Histograms,
    pub(super) ready: Gauge,
    pub(super) queries_running: Gauge,
    pub(super) query_samples: Counter,
    pub(super) query_samples_read: Counter,
    pub(super) query_slices: [Histogram; 4],
    pub(super) written: Counters,
    pub(super) invalid_label_samples: Counter,
}

impl HttpMetrics {
    pub(super) fn new(registry: &Registry, concurrency_max: usize) -> Self {
        registry
            .gauge("prometheus_engine_queries_concurrent_max", "The max number of concurrent queries.")
            .set(concurrency_max as f64);
        let slices = registry.histograms(
            "prometheus_engine_query_duration_histogram_seconds",
            "The duration of various parts of PromQL query execution.",
            &["slice"],
            QUERY_BOUNDS,
        );
        Self {
            requests: registry.counters(
                "prometheus_http_requests_total",
                "Counter of HTTP requests.",
                &["code", "handler"],
            ),
            durations: registry.histograms(
                "prometheus_http_request_duration_seconds",
                "Histogram of latencies for HTTP requests.",
                &["handler"],
                DURATION_BOUNDS,
            ),
            sizes: registry.histograms(
                "prometheus_http_response_size_bytes",
                "Histogram of response size for HTTP requests.",
                &["handler"],
                SIZE_BOUNDS,
            ),
            ready: registry.gauge(
                "prometheus_ready",
                "Whether Prometheus startup was fully completed and the server is ready for normal operation.",
            ),
            queries_running: registry.gauge(
                "prometheus_engine_queries",
                "The current number of queries being executed or waiting.",
            ),
            query_samples: registry.counter(
                "prometheus_engine_query_samples_total",
                "The total number of samples loaded by all queries.",
            ),
            query_samples_read: registry.counter(
                "prometheus_engine_query_samples_read_total",
                "The total number of samples read by all queries.",
            ),
            written: registry.counters(
                "perdura_remote_write_received_total",
                "Samples and exemplars stored that came by remote write.",
                &["kind", "protocol"],
            ),
            invalid_label_samples: registry.counter(
                "prometheus_api_remote_write_invalid_labels_samples_total",
                "The total number of received remote write samples and histogram samples which were rejected due to invalid labels.",
            ),
            query_slices: QUERY_SLICES.map(|slice| slices.with(&[slice])),
        }
    }
}

/// Counts a request to the path that `handler` stands for.
pub(super) async fn observe(
    State((app, handler)): State<(Arc<App>, &'static str)>,
    request: Request,
    next: Next,
) -> Response<Body> {
    let began = Instant::now();
    let response = next.run(request).await;
    let metrics = &app.metrics;
    metrics.requests.with(&[response.status().as_str(), handler]).increment();
    metrics.durations.with(&[handler]).observe(began.elapsed().as_secs_f64());
    if let Some(size) = response.body().size_hint().exact() {
        metrics.sizes.with(&[handler]).observe(size as f64);
    }
    response
}

/// What the operating system tells of this process.
pub fn collect_process(out: &mut Exposition) {
    if let Some(start) = process::start_seconds() {
        out.single(
            "process_start_time_seconds",
            "Start time of the process since unix epoch in seconds.",
            "gauge",
            start,
        );
    }
    if let Some((user_and_system, virtual_bytes, resident_bytes)) = process::usage() {
        out.single(
            "process_cpu_seconds_total",
            "Total user and system CPU time spent in seconds.",
            "counter",
            user_and_system,
        );
        out.single(
            "process_resident_memory_bytes",
            "Resident memory size in bytes.",
            "gauge",
            resident_bytes,
        );
        out.single("process_virtual_memory_bytes", "Virtual memory size in bytes.", "gauge", virtual_bytes);
    }
    if let Some(open) = process::open_files() {
        out.single("process_open_fds", "Number of open file descriptors.", "gauge", open);
    }
    if let Some(most) = process::open_files_max() {
        out.single("process_max_fds", "Maximum number of open file descriptors.", "gauge", most);
    }
}

/// Reads `/proc`; answers nothing where there is none.
mod process {
    use std::fs;

    /// Clock ticks in a second, which Linux promises to user space on every platform.
    const TICKS_PER_SECOND: f64 = 100.0;
    const PAGE_BYTES: f64 = 4_096.0;

    /// Fields of `/proc/self/stat` behind the command's name, the first of them number 3.
    fn stat() -> Option<Vec<f64>> {
        let text = fs::read_to_string("/proc/self/stat").ok()?;
        let fields = text.rsplit_once(')')?.1;
        Some(fields.split_whitespace().map(|field| field.parse().unwrap_or(0.0)).collect())
    }

    pub(super) fn usage() -> Option<(f64, f64, f64)> {
        let stat = stat()?;
        let field = |number: usize| stat.get(number - 3).copied();
        Some(((field(14)? + field(15)?) / TICKS_PER_SECOND, field(23)?, field(24)? * PAGE_BYTES))
    }

    pub(super) fn start_seconds() -> Option<f64> {
        let booted = fs::read_to_string("/proc/stat").ok()?;
        let booted: f64 = booted.lines().find_map(|line| line.strip_prefix("btime "))?.trim().parse().ok()?;
        Some(booted + stat()?.get(22 - 3)? / TICKS_PER_SECOND)
    }

    pub(super) fn open_files() -> Option<f64> {
        Some(fs::read_dir("/proc/self/fd").ok()?.count() as f64)
    }

    pub(super) fn open_files_max() -> Option<f64> {
        let limits = fs::read_to_string("/proc/self/limits").ok()?;
        let line = limits.lines().find_map(|line| line.strip_prefix("Max open files"))?;
        line.split_whitespace().next()?.parse().ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[cfg(target_os = "linux")]
    fn the_process_is_described() {
        let registry = Registry::default();
        registry.on_scrape(collect_process);
        let text = registry.expose();
        for name in [
            "process_start_time_seconds",
            "process_resident_memory_bytes",
            "process_open_fds",
            "process_max_fds",
        ] {
            let line = text.lines().find(|line| line.starts_with(name)).expect("the metric is there");
            let value: f64 = line.rsplit_once(' ').expect("a value follows").1.parse().expect("a number");
            assert!(value > 0.0, "{line}");
        }
    }
}
