//! `/api/v1/admin`: what changes the store as a whole. Only with `--web.enable-admin-api`.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::Response;
use axum::response::IntoResponse;

use crate::db::{Database, StorageError};
use crate::model::TimeSpan;

use super::answer::{ApiError, ErrorKind, no_content};
use super::app::App;
use super::params::{TIME_MS_MAX, TIME_MS_MIN};
use super::series::matcher_sets;

/// Answers when everything in memory is in segments and compaction has nothing left to do.
pub(super) async fn flush(State(app): State<Arc<App>>) -> Result<Response<Body>, ApiError> {
    on_database(&app, Database::flush).await
}

/// Deletes what the selectors in `match[]` pass, from `start` to `end`.
pub(super) async fn delete_series(
    State(app): State<Arc<App>>,
    request: Request,
) -> Result<Response<Body>, ApiError> {
    refuse_unless_enabled(&app)?;
    let params = app.params(request).await?;
    params.check()?;
    if params.all("match[]").next().is_none() {
        return Err(ApiError::bad_data("no match[] parameter provided"));
    }
    let start = params.time_or("start", TIME_MS_MIN)?;
    let end = params.time_or("end", TIME_MS_MAX)?;
    let matcher_sets = matcher_sets(&params).map_err(|error| ApiError::parameter("match[]", error))?;
    let tenant = app.tenant.clone();
    on_database(&app, move |database| database.delete(&tenant, &matcher_sets, TimeSpan::new(start, end)))
        .await
}

/// Takes what was deleted off the disk.
pub(super) async fn clean_tombstones(State(app): State<Arc<App>>) -> Result<Response<Body>, ApiError> {
    on_database(&app, Database::clean_tombstones).await
}

/// Calls that upstream has and that are not served yet.
pub(super) async fn unserved(State(app): State<Arc<App>>) -> Result<Response<Body>, ApiError> {
    refuse_unless_enabled(&app)?;
    Err(ApiError::new(ErrorKind::Unavailable, "not supported yet"))
}

/// Does something to the database that may take long, and answers when it is done.
async fn on_database(
    app: &Arc<App>,
    work: impl FnOnce(&Database) -> Result<(), StorageError> + Send + 'static,
) -> Result<Response<Body>, ApiError> {
    refuse_unless_enabled(app)?;
    let database = app
        .services
        .database
        .clone()
        .ok_or_else(|| ApiError::new(ErrorKind::Unavailable, "there is no database"))?;
    Ok(app
        .write(0, move |_| match work(&database) {
            Ok(()) => no_content(),
            Err(error) => ApiError::new(ErrorKind::Internal, error.to_string()).into_response(),
        })
        .await)
}

fn refuse_unless_enabled(app: &App) -> Result<(), ApiError> {
    if app.options.enable_admin_api {
        Ok(())
    } else {
        Err(ApiError::new(ErrorKind::Unavailable, "admin APIs disabled"))
    }
}
