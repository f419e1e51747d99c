//! `/api/v1/rules`, `/api/v1/alerts`, `/api/v1/alertmanagers`: what a Prometheus without rules answers.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::Response;
use serde_json::json;

use super::answer::{ApiError, success_value};
use super::app::App;
use super::params::Params;
use super::series::matcher_sets;

/// Groups of rules; there are none, but wrong parameters are refused all the same.
pub(super) async fn rules(State(app): State<Arc<App>>, request: Request) -> Result<Response<Body>, ApiError> {
    let params = app.params(request).await?;
    check(&params)?;
    Ok(success_value(&json!({"groups": []})))
}

fn check(params: &Params) -> Result<(), ApiError> {
    params.check()?;
    matcher_sets(params).map_err(ApiError::bad_data)?;
    let kind = params.get_from_url("type").to_lowercase();
    if !["", "alert", "record"].contains(&kind.as_str()) {
        return Err(ApiError::parameter("type", format!("not supported value {kind:?}")));
    }
    let exclude = params.get_from_url("exclude_alerts").to_lowercase();
    if !["", "1", "t", "true", "0", "f", "false"].contains(&exclude.as_str()) {
        let why = format!(
            "error converting exclude_alerts: strconv.ParseBool: parsing {exclude:?}: invalid syntax"
        );
        return Err(ApiError::parameter("exclude_alerts", why));
    }
    check_pages(params.get_from_url("group_limit"), params.get_from_url("group_next_token"))
}

fn check_pages(limit: &str, token: &str) -> Result<(), ApiError> {
    if limit.is_empty() {
        return match token {
            "" => Ok(()),
            _ => Err(ApiError::parameter(
                "group_next_token",
                "group_limit needs to be present in order to paginate over the groups",
            )),
        };
    }
    let limit: i32 = limit.parse().map_err(|_| {
        let why = format!("strconv.ParseInt: parsing {limit:?}: invalid syntax");
        ApiError::parameter("group_limit", format!("group_limit needs to be a valid number: {why}"))
    })?;
    if limit <= 0 {
        return Err(ApiError::parameter("group_limit", "group_limit needs to be greater than 0"));
    }
    if !token.is_empty() {
        let why = format!("invalid group_next_token '{token}'. were rule groups changed?");
        return Err(ApiError::parameter("group_next_token", why));
    }
    Ok(())
}

/// Alerts that fire or are about to.
pub(super) async fn alerts() -> Response<Body> {
    success_value(&json!({"alerts": []}))
}

/// Where alerts go.
pub(super) async fn alertmanagers() -> Response<Body> {
    success_value(&json!({"activeAlertmanagers": [], "droppedAlertmanagers": []}))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parameters_are_checked_without_rules_too() {
        let checked = |query: &str| check(&Params::parse(b"", query)).map_err(|error| error.message);
        assert_eq!(checked("type=alert&exclude_alerts=true&group_limit=5"), Ok(()));
        for (query, message) in [
            ("type=both", "invalid parameter \"type\": not supported value \"both\""),
            ("group_next_token=x", "group_limit needs to be present"),
            ("group_limit=-1", "group_limit needs to be greater than 0"),
            ("group_limit=x", "group_limit needs to be a valid number: strconv.ParseInt: parsing \"x\""),
            ("exclude_alerts=x", "error converting exclude_alerts: strconv.ParseBool: parsing \"x\""),
            ("group_limit=1&group_next_token=x", "invalid group_next_token 'x'. were rule groups changed?"),
        ] {
            assert!(checked(query).is_err_and(|error| error.contains(message)), "{query}");
        }
    }
}
