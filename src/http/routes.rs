//! Which path is answered by whom.

use std::sync::Arc;

use axum::Router;
use axum::http::{Response, StatusCode, header};
use axum::middleware::from_fn_with_state;
use axum::response::IntoResponse;
use axum::routing::{MethodRouter, get, options, post};
use tower_http::CompressionLevel;
use tower_http::compression::CompressionLayer;

use super::app::App;
use super::{
    admin, alertmanagers, cors, language, observe, probes, query, rules, series, status, targets, write,
};

/// All paths of the server, under its prefix.
pub fn router(app: &Arc<App>) -> Router {
    let unprefixed = outside_paths(app).merge(api(app));
    let prefix = app.options.route_prefix.clone();
    let routes = if prefix.is_empty() {
        unprefixed
    } else {
        let target = prefix.clone();
        Router::new().nest(&prefix, unprefixed).route("/", get(move || async move { redirect(&target) }))
    };
    routes
        .fallback(probes::not_found)
        .method_not_allowed_fallback(probes::method_not_allowed)
        .with_state(Arc::clone(app))
}

/// Paths that need a database, rules or alerts.
const NOT_FOR_AGENTS: [&str; 16] = [
    "/api/v1/query",
    "/api/v1/query_range",
    "/api/v1/query_exemplars",
    "/api/v1/format_query",
    "/api/v1/parse_query",
    "/api/v1/labels",
    "/api/v1/label/{name}/values",
    "/api/v1/series",
    "/api/v1/alertmanagers",
    "/api/v1/alerts",
    "/api/v1/rules",
    "/api/v1/status/tsdb",
    "/api/v1/admin/tsdb/delete_series",
    "/api/v1/admin/tsdb/clean_tombstones",
    "/api/v1/admin/tsdb/snapshot",
    "/api/v1/admin/tsdb/flush",
];

type Routes = Router<Arc<App>>;

/// Paths outside the API.
fn outside_paths(app: &Arc<App>) -> Routes {
    let paths = [
        ("/", get(probes::home)),
        ("/-/healthy", get(probes::healthy)),
        ("/-/ready", get(probes::ready).layer(from_fn_with_state(Arc::clone(app), probes::when_ready))),
        ("/-/reload", get(probes::reload).post(probes::reload).put(probes::reload)),
        ("/-/quit", get(probes::quit).post(probes::quit).put(probes::quit)),
        ("/metrics", get(probes::metrics)),
        ("/version", get(probes::version)),
    ];
    observed(app, paths)
}

/// Paths of the API: once the server is ready, for pages of other origins too, compressed where the client can.
fn api(app: &Arc<App>) -> Routes {
    let paths = [
        ("/api/v1/query", get(query::instant).post(query::instant)),
        ("/api/v1/query_range", get(query::range).post(query::range)),
        ("/api/v1/query_exemplars", get(language::exemplars).post(language::exemplars)),
        ("/api/v1/format_query", get(language::format).post(language::format)),
        ("/api/v1/parse_query", get(language::parse).post(language::parse)),
        ("/api/v1/labels", get(series::label_names).post(series::label_names)),
        ("/api/v1/label/{name}/values", get(series::label_values)),
        ("/api/v1/series", get(series::series).post(series::series)),
        ("/api/v1/metadata", get(series::metadata)),
        ("/api/v1/write", post(write::write)),
        ("/api/v1/targets", get(targets::targets)),
        ("/api/v1/targets/metadata", get(targets::metadata)),
        ("/api/v1/scrape_pools", get(targets::scrape_pools)),
        ("/api/v1/rules", get(rules::rules)),
        ("/api/v1/alerts", get(rules::alerts)),
        ("/api/v1/alertmanagers", get(alertmanagers::alertmanagers)),
        ("/api/v1/status/buildinfo", get(status::buildinfo)),
        ("/api/v1/status/runtimeinfo", get(status::runtimeinfo)),
        ("/api/v1/status/flags", get(status::flags)),
        ("/api/v1/status/config", get(status::config)),
        ("/api/v1/status/tsdb", get(status::tsdb)),
        ("/api/v1/status/walreplay", get(status::walreplay)),
        ("/api/v1/notifications", get(status::notifications)),
        ("/api/v1/otlp/v1/metrics", post(status::otlp)),
        ("/api/v1/admin/tsdb/delete_series", post(admin::delete_series).put(admin::delete_series)),
        ("/api/v1/admin/tsdb/clean_tombstones", post(admin::clean_tombstones).put(admin::clean_tombstones)),
        ("/api/v1/admin/tsdb/snapshot", post(admin::snapshot).put(admin::snapshot)),
        ("/api/v1/admin/tsdb/flush", post(admin::flush).put(admin::flush)),
    ];
    let is_agent = app.options.is_agent;
    let paths = paths.map(|(path, handler)| {
        let handler = match is_agent && NOT_FOR_AGENTS.contains(&path) {
            true => get(status::unavailable_with_agent).post(status::unavailable_with_agent),
            false => handler,
        };
        // Browsers ask before they call from a page of another origin.
        (path, handler.options(no_content))
    });
    observed(app, paths)
        .route("/api/v1/{*path}", options(no_content).fallback(probes::not_found))
        .layer(CompressionLayer::new().quality(CompressionLevel::Fastest))
        .layer(from_fn_with_state(Arc::clone(app), cors::cors))
        .layer(from_fn_with_state(Arc::clone(app), probes::when_ready))
}

/// Routes that are counted under their pattern.
fn observed<const N: usize>(app: &Arc<App>, paths: [(&'static str, MethodRouter<Arc<App>>); N]) -> Routes {
    paths.into_iter().fold(Router::new(), |router, (path, handler)| {
        // Upstream writes its patterns with a colon.
        let shown = if path == "/api/v1/label/{name}/values" { "/api/v1/label/:name/values" } else { path };
        let layer = from_fn_with_state((Arc::clone(app), shown), observe::observe);
        router.route(path, handler.layer(layer))
    })
}

async fn no_content() -> StatusCode {
    StatusCode::NO_CONTENT
}

fn redirect(target: &str) -> Response<axum::body::Body> {
    (StatusCode::FOUND, [(header::LOCATION, target.to_owned())]).into_response()
}
