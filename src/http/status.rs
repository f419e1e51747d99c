//! `/api/v1/status`: what runs, how it was started, what it holds.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::{Response, StatusCode};
use serde::Serialize;

use crate::db::{DatabaseStats, NamedCount};
use crate::model::{Timestamp, format_duration, format_rfc3339_ms};
use crate::storage::{SeriesLimit, SeriesLimits};

use super::answer::{ApiError, ErrorKind, success_value, text_response};
use super::app::App;
use super::params::parse_integer;

/// Version of Prometheus whose API, configuration and language are served. Clients decide by it what they may ask.
pub const PROMETHEUS_VERSION: &str = "3.14.0";

/// Most entries of each list of `/api/v1/status/tsdb`.
const TSDB_LIMIT_MAX: i64 = 10_000;

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct BuildInfo {
    version: &'static str,
    revision: &'static str,
    branch: &'static str,
    build_user: &'static str,
    build_date: &'static str,
    go_version: &'static str,
}

/// Fields of upstream alone: Grafana takes a server with further ones for another product.
pub(super) fn build_info() -> BuildInfo {
    BuildInfo {
        version: PROMETHEUS_VERSION,
        revision: concat!("perdura-", env!("CARGO_PKG_VERSION")),
        branch: "HEAD",
        build_user: "",
        build_date: "",
        go_version: "",
    }
}

/// `/api/v1/status/buildinfo`
pub(super) async fn buildinfo() -> Response<Body> {
    success_value(&build_info())
}

/// `/api/v1/status/flags`
pub(super) async fn flags(State(app): State<Arc<App>>) -> Response<Body> {
    success_value(&app.options.flags)
}

#[derive(Serialize)]
struct ConfigJson {
    yaml: String,
}

/// `/api/v1/status/config`
pub(super) async fn config(State(app): State<Arc<App>>) -> Response<Body> {
    success_value(&ConfigJson { yaml: app.settings().config_yaml.clone() })
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct RuntimeInfo {
    start_time: String,
    #[serde(rename = "CWD")]
    cwd: String,
    hostname: String,
    server_time: String,
    reload_config_success: bool,
    last_config_time: String,
    corruption_count: u64,
    goroutine_count: usize,
    #[serde(rename = "GOMAXPROCS")]
    threads_max: usize,
    #[serde(rename = "GOMEMLIMIT")]
    memory_limit: i64,
    #[serde(rename = "GOGC")]
    gogc: &'static str,
    #[serde(rename = "GODEBUG")]
    godebug: &'static str,
    storage_retention: String,
}

/// `/api/v1/status/runtimeinfo`. Goroutines are threads here.
pub(super) async fn runtimeinfo(State(app): State<Arc<App>>) -> Response<Body> {
    let services = &app.services;
    let settings = app.settings();
    success_value(&RuntimeInfo {
        start_time: rfc3339(app.started_at),
        cwd: std::env::current_dir().map(|path| path.display().to_string()).unwrap_or_default(),
        hostname: hostname(),
        server_time: rfc3339(services.clock.now_ms()),
        reload_config_success: settings.reload_worked,
        last_config_time: rfc3339(settings.loaded_at / 1_000 * 1_000),
        corruption_count: 0,
        goroutine_count: std::fs::read_dir("/proc/self/task").map_or(1, Iterator::count),
        threads_max: std::thread::available_parallelism().map_or(1, usize::from),
        memory_limit: i64::MAX,
        gogc: "",
        godebug: "",
        storage_retention: match settings.retention_ms {
            0 => String::new(),
            ms => format_duration(ms),
        },
    })
}

pub(crate) fn hostname() -> String {
    std::fs::read_to_string("/proc/sys/kernel/hostname")
        .map(|name| name.trim().to_owned())
        .or_else(|_| std::env::var("HOSTNAME"))
        .unwrap_or_default()
}

/// How Go writes the time of what did not happen yet.
const NEVER: &str = "0001-01-01T00:00:00Z";

/// A time as Go writes it, where there is one.
pub(super) fn rfc3339_or_never(t: Option<Timestamp>) -> String {
    t.map_or_else(|| NEVER.to_owned(), rfc3339)
}

/// A time as Go writes it: fractions without trailing zeros.
pub(super) fn rfc3339(t: Timestamp) -> String {
    let text = format_rfc3339_ms(t).unwrap_or_else(|| NEVER.to_owned());
    match text.strip_suffix('Z').and_then(|text| text.split_once('.')) {
        Some((whole, fraction)) => match fraction.trim_end_matches('0') {
            "" => format!("{whole}Z"),
            digits => format!("{whole}.{digits}Z"),
        },
        None => text,
    }
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct HeadStatsJson {
    num_series: u64,
    num_label_pairs: u64,
    chunk_count: u64,
    min_time: Timestamp,
    max_time: Timestamp,
    /// Not of upstream.
    series_created_last_hour: u64,
}

#[derive(Serialize)]
struct NamedCountJson<'a> {
    name: &'a str,
    value: u64,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct TsdbJson<'a> {
    head_stats: HeadStatsJson,
    series_count_by_metric_name: Vec<NamedCountJson<'a>>,
    label_value_count_by_label_name: Vec<NamedCountJson<'a>>,
    memory_in_bytes_by_label_name: Vec<NamedCountJson<'a>>,
    series_count_by_label_value_pair: Vec<NamedCountJson<'a>>,
    /// Not of upstream.
    series_limits: Vec<SeriesLimitJson>,
}

#[derive(Serialize)]
struct SeriesLimitJson {
    /// `total`, `metric` or `job`.
    name: &'static str,
    /// 0 for any number.
    limit: u64,
    /// How often a new series was refused.
    refused: u64,
}

fn series_limits(stats: &DatabaseStats) -> Vec<SeriesLimitJson> {
    let SeriesLimits { total, per_metric, per_job } = stats.series_limits;
    let limits = SeriesLimit::ALL.into_iter().zip([total, per_metric, per_job]).zip(stats.series_refused);
    limits.map(|((of, limit), refused)| SeriesLimitJson { name: of.name(), limit, refused }).collect()
}

fn named(counts: &[NamedCount]) -> Vec<NamedCountJson<'_>> {
    counts.iter().map(|count| NamedCountJson { name: &count.name, value: count.count }).collect()
}

/// `/api/v1/status/tsdb`
pub(super) async fn tsdb(State(app): State<Arc<App>>, request: Request) -> Result<Response<Body>, ApiError> {
    let params = app.params(request).await?;
    let limit = match params.get("limit") {
        "" => 10,
        text => parse_integer(text)
            .ok()
            .filter(|limit| *limit >= 1)
            .ok_or_else(|| ApiError::bad_data("limit must be a positive number"))?,
    };
    if limit > TSDB_LIMIT_MAX {
        return Err(ApiError::bad_data(format!("limit must not exceed {TSDB_LIMIT_MAX}")));
    }
    let limit = usize::try_from(limit).expect("the limit was checked");
    let database = app
        .services
        .database
        .clone()
        .ok_or_else(|| ApiError::new(ErrorKind::Unavailable, "there is no database"))?;
    Ok(app
        .write(0, move |_| {
            let stats = database.stats_with_labels(limit);
            success_value(&TsdbJson {
                head_stats: HeadStatsJson {
                    num_series: stats.head_series,
                    num_label_pairs: stats.label_pairs,
                    // The head has no chunks: each series counts as one.
                    chunk_count: stats.head_series,
                    min_time: stats.head_oldest.unwrap_or(i64::MAX),
                    max_time: stats.head_newest.unwrap_or(i64::MIN),
                    series_created_last_hour: stats.head_series_created_last_hour,
                },
                series_count_by_metric_name: named(&stats.series_by_metric),
                label_value_count_by_label_name: named(&stats.values_by_label),
                memory_in_bytes_by_label_name: named(&stats.bytes_by_label),
                series_count_by_label_value_pair: named(&stats.series_by_pair),
                series_limits: series_limits(&stats),
            })
        })
        .await)
}

/// `/api/v1/status/walreplay`: the log was replayed before the server answered.
pub(super) async fn walreplay() -> Response<Body> {
    success_value(&serde_json::json!({"min": 0, "max": 0, "current": 0}))
}

/// `/api/v1/notifications`: there are none.
pub(super) async fn notifications() -> Response<Body> {
    success_value(&serde_json::json!([]))
}

/// What an agent answers where a server would look into its database.
pub(super) async fn unavailable_with_agent() -> ApiError {
    ApiError::new(ErrorKind::Execution, "unavailable with Prometheus Agent")
}

/// `/api/v1/otlp/v1/metrics`, as a server without the receiver answers it.
pub(super) async fn otlp() -> Response<Body> {
    let text = "otlp write receiver needs to be enabled with --web.enable-otlp-receiver\n";
    text_response(StatusCode::NOT_FOUND, text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_have_no_trailing_zeros() {
        for (t, text) in [
            (0, "1970-01-01T00:00:00Z"),
            (1_435_781_451_780, "2015-07-01T20:10:51.78Z"),
            (1_435_781_451_781, "2015-07-01T20:10:51.781Z"),
            (i64::MIN, "0001-01-01T00:00:00Z"),
        ] {
            assert_eq!(rfc3339(t), text);
        }
    }
}
