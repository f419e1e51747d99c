//! Paths outside the API: health, readiness, the server's metrics, reload and quit.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::{HeaderValue, Method, Response, StatusCode, header};
use axum::middleware::Next;
use tokio::sync::oneshot;

use super::answer::text_response;
use super::app::{App, Control, Readiness};
use super::status::build_info;

/// Says to a person where things are.
pub(super) async fn home() -> Response<Body> {
    let text = concat!(
        "perdura ",
        env!("CARGO_PKG_VERSION"),
        "\n\nThe API of Prometheus is under api/v1/, for Grafana and everything else that speaks it.\n",
        "Metrics of this server: metrics. Targets: api/v1/targets.\n"
    );
    text_response(StatusCode::OK, text)
}

/// The process runs.
pub(super) async fn healthy() -> Response<Body> {
    text_response(StatusCode::OK, "Prometheus Server is Healthy.\n")
}

/// The server answers; where it does not, [`when_ready`] says so.
pub(super) async fn ready() -> Response<Body> {
    text_response(StatusCode::OK, "Prometheus Server is Ready.\n")
}

/// Lets a request through once the server is ready.
pub(super) async fn when_ready(State(app): State<Arc<App>>, request: Request, next: Next) -> Response<Body> {
    let stopping = match app.readiness() {
        Readiness::Ready => return next.run(request).await,
        Readiness::Starting => "false",
        Readiness::Stopping => "true",
    };
    let mut response = text_response(StatusCode::SERVICE_UNAVAILABLE, "Service Unavailable");
    response.headers_mut().insert("X-Prometheus-Stopping", HeaderValue::from_static(stopping));
    response
}

/// The server's own metrics.
pub(super) async fn metrics(State(app): State<Arc<App>>) -> Response<Body> {
    let text = app.services.registry.expose();
    let mut response = Response::new(Body::from(text));
    response.headers_mut().insert(
        header::CONTENT_TYPE,
        HeaderValue::from_static("text/plain; version=0.0.4; charset=utf-8; escaping=underscores"),
    );
    response
}

/// The versions, as plain JSON.
pub(super) async fn version() -> Response<Body> {
    let mut text = super::json::html_safe_value(&build_info());
    text.push(b'\n');
    text_response(StatusCode::OK, String::from_utf8(text).expect("JSON is UTF-8"))
}

/// Reads the configuration again.
pub(super) async fn reload(State(app): State<Arc<App>>, method: Method) -> Response<Body> {
    if let Some(refusal) = refuse_lifecycle(&app, &method) {
        return refusal;
    }
    let (answer, answered) = oneshot::channel();
    let sent = app.services.control.send(Control::Reload(answer)).await.is_ok();
    match (sent, answered.await) {
        (true, Ok(Ok(()))) => text_response(StatusCode::OK, ""),
        (true, Ok(Err(error))) => {
            text_response(StatusCode::INTERNAL_SERVER_ERROR, format!("failed to reload config: {error}\n"))
        }
        _ => text_response(StatusCode::SERVICE_UNAVAILABLE, "the server is stopping\n"),
    }
}

/// Stops the server.
pub(super) async fn quit(State(app): State<Arc<App>>, method: Method) -> Response<Body> {
    if let Some(refusal) = refuse_lifecycle(&app, &method) {
        return refusal;
    }
    match app.services.control.try_send(Control::Quit) {
        Ok(()) => text_response(StatusCode::OK, "Requesting termination... Goodbye!"),
        Err(_) => text_response(StatusCode::OK, "Termination already in progress."),
    }
}

fn refuse_lifecycle(app: &App, method: &Method) -> Option<Response<Body>> {
    if method == Method::GET {
        Some(text_response(StatusCode::METHOD_NOT_ALLOWED, "Only POST or PUT requests allowed"))
    } else if !app.options.enable_lifecycle {
        Some(text_response(StatusCode::FORBIDDEN, "Lifecycle API is not enabled."))
    } else {
        None
    }
}

/// What no path is answered with.
pub(super) async fn not_found() -> Response<Body> {
    text_response(StatusCode::NOT_FOUND, "404 page not found\n")
}

/// What a path without the method is answered with.
pub(super) async fn method_not_allowed() -> Response<Body> {
    text_response(StatusCode::METHOD_NOT_ALLOWED, "Method Not Allowed\n")
}
