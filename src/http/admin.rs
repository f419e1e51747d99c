//! `/api/v1/admin`: what changes the store as a whole. Only with `--web.enable-admin-api`.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::Response;
use axum::response::IntoResponse;

use crate::db::{Database, StorageError};
use crate::model::TimeSpan;

use super::answer::{ApiError, ErrorKind, no_content, success_value};
use super::app::App;
use super::params::{TIME_MS_MAX, TIME_MS_MIN, parse_bool};
use super::series::matcher_sets;

/// Answers when everything in memory is in segments and compaction has nothing left to do.
pub(super) async fn flush(State(app): State<Arc<App>>) -> Result<Response<Body>, ApiError> {
    on_database(&app, Database::flush, |()| no_content()).await
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
    let span = TimeSpan::new(start, end);
    let delete = move |database: &Database| database.delete(&tenant, &matcher_sets, span);
    on_database(&app, delete, |()| no_content()).await
}

/// Takes what was deleted off the disk.
pub(super) async fn clean_tombstones(State(app): State<Arc<App>>) -> Result<Response<Body>, ApiError> {
    on_database(&app, Database::clean_tombstones, |()| no_content()).await
}

/// Makes a snapshot of everything, or with `skip_head` of what is in segments, and answers its name.
pub(super) async fn snapshot(
    State(app): State<Arc<App>>,
    request: Request,
) -> Result<Response<Body>, ApiError> {
    refuse_unless_enabled(&app)?;
    let skip_head = match app.params(request).await?.get("skip_head") {
        "" => false,
        text => parse_bool(text)
            .map_err(|error| ApiError::parameter("skip_head", format!("unable to parse boolean: {error}")))?,
    };
    on_database(
        &app,
        move |database| database.snapshot(skip_head),
        |name| success_value(&SnapshotName { name }),
    )
    .await
}

/// What a snapshot answers.
#[derive(serde::Serialize)]
struct SnapshotName {
    name: String,
}

/// Does something to the database that may take long, and answers when it is done.
async fn on_database<T>(
    app: &Arc<App>,
    work: impl FnOnce(&Database) -> Result<T, StorageError> + Send + 'static,
    answer: impl FnOnce(T) -> Response<Body> + Send + 'static,
) -> Result<Response<Body>, ApiError> {
    refuse_unless_enabled(app)?;
    let database = app
        .services
        .database
        .clone()
        .ok_or_else(|| ApiError::new(ErrorKind::Unavailable, "there is no database"))?;
    Ok(app
        .write(0, move |_| match work(&database) {
            Ok(value) => answer(value),
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
