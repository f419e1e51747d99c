//! `/api/v1/admin`: what changes the store as a whole. Only with `--web.enable-admin-api`.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::State;
use axum::http::Response;
use axum::response::IntoResponse;

use super::answer::{ApiError, ErrorKind, no_content};
use super::app::App;

/// Answers when everything in memory is in segments and compaction has nothing left to do.
pub(super) async fn flush(State(app): State<Arc<App>>) -> Result<Response<Body>, ApiError> {
    refuse_unless_enabled(&app)?;
    let database = app
        .services
        .database
        .clone()
        .ok_or_else(|| ApiError::new(ErrorKind::Unavailable, "there is no database"))?;
    Ok(app
        .write(0, move |_| match database.flush() {
            Ok(()) => no_content(),
            Err(error) => ApiError::new(ErrorKind::Internal, error.to_string()).into_response(),
        })
        .await)
}

/// Calls that upstream has and that are not served yet.
pub(super) async fn unserved(State(app): State<Arc<App>>) -> Result<Response<Body>, ApiError> {
    refuse_unless_enabled(&app)?;
    Err(ApiError::new(ErrorKind::Unavailable, "not supported yet"))
}

fn refuse_unless_enabled(app: &App) -> Result<(), ApiError> {
    if app.options.enable_admin_api {
        Ok(())
    } else {
        Err(ApiError::new(ErrorKind::Unavailable, "admin APIs disabled"))
    }
}
