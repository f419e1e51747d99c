//! `/api/v1/alertmanagers`: where alerts go.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::State;
use axum::http::Response;
use serde_json::{Value, json};

use super::answer::success_value;
use super::app::App;
use crate::notify::Notifier;

/// The URLs that alerts are sent to, and those that a rule dropped.
pub(super) async fn alertmanagers(State(app): State<Arc<App>>) -> Response<Body> {
    let status = app.services.notifier.as_ref().map(Notifier::status).unwrap_or_default();
    let list = |urls: Vec<String>| -> Value { urls.into_iter().map(|url| json!({"url": url})).collect() };
    success_value(&json!({
        "activeAlertmanagers": list(status.active),
        "droppedAlertmanagers": list(status.dropped),
    }))
}
