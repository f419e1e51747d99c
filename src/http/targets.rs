//! `/api/v1/targets`, `/api/v1/targets/metadata`, `/api/v1/scrape_pools`.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::Response;
use serde_json::json;

use crate::model::Labels;
use crate::promql::parse::parse_selector;
use crate::scrape::{DroppedTarget, PoolStatus, TargetMetadata, TargetStatus};

use super::answer::{Annotations, ApiError, success, success_value};
use super::app::App;
use super::json;
use super::params::{Params, parse_integer};
use super::status::rfc3339_or_never;

/// Targets, those that are scraped and those that rules dropped.
pub(super) async fn targets(
    State(app): State<Arc<App>>,
    request: Request,
) -> Result<Response<Body>, ApiError> {
    let params = app.params(request).await?;
    let pools = app.services.scrape.as_ref().map(|scrape| scrape.targets()).unwrap_or_default();
    Ok(success(&discovery(&app, &params, &pools), &Annotations::default()))
}

fn discovery(app: &App, params: &Params, pools: &[PoolStatus]) -> Vec<u8> {
    let pool = params.get_from_url("scrapePool");
    let state = params.get_from_url("state").to_lowercase();
    let shows = |kind: &str| ["", "any", kind].contains(&state.as_str());
    let wanted = |status: &&PoolStatus| pool.is_empty() || pool == status.name;
    let mut out = b"{\"activeTargets\":".to_vec();
    let active = pools.iter().filter(wanted).filter(|_| shows("active")).flat_map(|pool| &pool.active);
    json::list(&mut out, active, |out, target| active_target(app, out, target));
    out.extend_from_slice(b",\"droppedTargets\":");
    let dropped = pools.iter().filter(wanted).filter(|_| shows("dropped")).flat_map(|pool| &pool.dropped);
    json::list(&mut out, dropped, dropped_target);
    out.extend_from_slice(b",\"droppedTargetCounts\":");
    if shows("dropped") {
        let counts: serde_json::Map<_, _> =
            pools.iter().map(|pool| (pool.name.clone(), pool.dropped_count.into())).collect();
        out.extend_from_slice(&json::html_safe_value(&counts));
    } else {
        out.extend_from_slice(b"null");
    }
    out.push(b'}');
    out
}

fn active_target(app: &App, out: &mut Vec<u8>, target: &TargetStatus) {
    let global_url = target.global_url(&app.options.global_url);
    let last_scrape = rfc3339_or_never(target.last_scrape);
    labels_field(out, b"{\"discoveredLabels\":", &target.discovered_labels);
    labels_field(out, b",\"labels\":", &target.labels);
    for (name, text) in [
        ("scrapePool", target.scrape_pool.as_str()),
        ("scrapeUrl", &target.scrape_url),
        ("globalUrl", &global_url),
        ("lastError", &target.last_error),
        ("lastScrape", &last_scrape),
    ] {
        json::text_member(out, name, text);
    }
    json::member(out, "lastScrapeDuration", |out| json::number(out, target.last_scrape_duration));
    json::text_member(out, "health", target.health.as_str());
    json::text_member(out, "scrapeInterval", &target.scrape_interval.to_string());
    json::text_member(out, "scrapeTimeout", &target.scrape_timeout.to_string());
    out.push(b'}');
}

fn dropped_target(out: &mut Vec<u8>, target: &DroppedTarget) {
    labels_field(out, b"{\"discoveredLabels\":", &target.discovered_labels);
    json::text_member(out, "scrapePool", &target.scrape_pool);
    out.push(b'}');
}

fn labels_field(out: &mut Vec<u8>, head: &[u8], labels: &Labels) {
    out.extend_from_slice(head);
    json::labels(out, labels);
}

/// What targets say of their metrics.
pub(super) async fn metadata(
    State(app): State<Arc<App>>,
    request: Request,
) -> Result<Response<Body>, ApiError> {
    let params = app.params(request).await?;
    let limit = match params.get("limit") {
        "" => usize::MAX,
        text => {
            let limit = parse_integer(text).map_err(|_| ApiError::bad_data("limit must be a number"))?;
            usize::try_from(limit).unwrap_or(usize::MAX)
        }
    };
    let matchers = match params.get("match_target") {
        "" => Vec::new(),
        text => parse_selector(text).map_err(|error| ApiError::parameter("match_target", error))?,
    };
    let metric = params.get("metric");
    let found = app.services.scrape.as_ref().map(|scrape| scrape.metadata()).unwrap_or_default();
    let wanted = found
        .iter()
        .filter(|found| metric.is_empty() || found.metric == metric)
        .filter(|found| matchers.iter().all(|matcher| matcher.matches_labels(&found.target)))
        .take(limit);
    let mut out = Vec::new();
    json::list(&mut out, wanted, |out, found| family(out, found, metric.is_empty()));
    Ok(success(&out, &Annotations::default()))
}

/// The name is left out where it was asked for.
fn family(out: &mut Vec<u8>, found: &TargetMetadata, with_name: bool) {
    labels_field(out, b"{\"target\":", &found.target);
    if with_name {
        json::text_member(out, "metric", &found.metric);
    }
    json::text_member(out, "type", found.metadata.metric_type.as_str());
    json::text_member(out, "help", &found.metadata.help);
    json::text_member(out, "unit", &found.metadata.unit);
    out.push(b'}');
}

/// Names of jobs.
pub(super) async fn scrape_pools(State(app): State<Arc<App>>) -> Response<Body> {
    let pools = app.services.scrape.as_ref().map(|scrape| scrape.targets()).unwrap_or_default();
    let names: Vec<&str> = pools.iter().map(|pool| pool.name.as_str()).collect();
    success_value(&json!({"scrapePools": names}))
}
