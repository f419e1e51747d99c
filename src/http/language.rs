//! `/api/v1/format_query`, `/api/v1/parse_query`, `/api/v1/query_exemplars`: calls on a query's text.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::Response;

use crate::model::{Matcher, TimeSpan};
use crate::promql::parse::ast::{Expr, ExprKind};
use crate::promql::parse::{parse_expr, pretty, to_json};

use super::answer::{Annotations, ApiError, SUCCESS_HEAD, no_content, success_tail, success_value};
use super::app::App;
use super::json;
use super::params::{TIME_MS_MAX, TIME_MS_MIN};

/// The query, laid out over several lines.
pub(super) async fn format(
    State(app): State<Arc<App>>,
    request: Request,
) -> Result<Response<Body>, ApiError> {
    Ok(success_value(&pretty(&parsed(&app, request).await?)))
}

/// The query as a tree.
pub(super) async fn parse(State(app): State<Arc<App>>, request: Request) -> Result<Response<Body>, ApiError> {
    Ok(success_value(&to_json(&parsed(&app, request).await?)))
}

async fn parsed(app: &App, request: Request) -> Result<Expr, ApiError> {
    let params = app.params(request).await?;
    parse_expr(params.get("query"), &app.services.engine.options().parser)
        .map_err(|error| ApiError::parameter("query", error))
}

/// Exemplars of the series that a query selects.
pub(super) async fn exemplars(
    State(app): State<Arc<App>>,
    request: Request,
) -> Result<Response<Body>, ApiError> {
    let params = app.params(request).await?;
    let start = params.time_or("start", TIME_MS_MIN)?;
    let end = params.time_or("end", TIME_MS_MAX)?;
    if end < start {
        return Err(ApiError::bad_data("end timestamp must not be before start timestamp"));
    }
    let expr = parse_expr(params.get("query"), &app.services.engine.options().parser)
        .map_err(|error| ApiError::bad_data(error.to_string()))?;
    let mut selectors = Vec::new();
    collect_selectors(&expr, &mut selectors);
    if selectors.is_empty() {
        return Ok(no_content());
    }
    let span = TimeSpan::new(start, end);
    Ok(app
        .read(
            move |app| Ok(app.services.select.exemplars(&app.tenant, &selectors, span)?),
            |found, writer| {
                writer.buffer().extend_from_slice(SUCCESS_HEAD);
                writer.list(&found, |out, series| {
                    out.extend_from_slice(b"{\"seriesLabels\":");
                    json::labels(out, &series.labels);
                    out.extend_from_slice(b",\"exemplars\":[");
                    for (index, exemplar) in series.exemplars.iter().enumerate() {
                        out.extend_from_slice(if index > 0 { b",{\"labels\":" } else { b"{\"labels\":" });
                        json::labels(out, &exemplar.labels);
                        out.extend_from_slice(b",\"value\":");
                        json::float(out, exemplar.value);
                        out.extend_from_slice(b",\"timestamp\":");
                        json::timestamp(out, exemplar.timestamp);
                        out.push(b'}');
                    }
                    out.extend_from_slice(b"]}");
                })?;
                success_tail(writer.buffer(), &Annotations::default());
                Ok(())
            },
        )
        .await)
}

/// The matchers of every selector in the tree, in the order of the text.
fn collect_selectors(expr: &Expr, found: &mut Vec<Vec<Matcher>>) {
    match &expr.kind {
        ExprKind::Number(_) | ExprKind::String(_) => {}
        ExprKind::VectorSelector(selector) => found.push(selector.matchers.clone()),
        ExprKind::MatrixSelector(matrix) => collect_selectors(&matrix.selector, found),
        ExprKind::Subquery(subquery) => collect_selectors(&subquery.expr, found),
        ExprKind::Unary(unary) => collect_selectors(&unary.expr, found),
        ExprKind::Paren(inner) => collect_selectors(inner, found),
        ExprKind::Binary(binary) => {
            collect_selectors(&binary.left, found);
            collect_selectors(&binary.right, found);
        }
        ExprKind::Aggregate(aggregate) => {
            collect_selectors(&aggregate.expr, found);
            aggregate.param.iter().for_each(|param| collect_selectors(param, found));
        }
        ExprKind::Call(call) => call.args.iter().for_each(|arg| collect_selectors(arg, found)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_selectors_are_found() {
        let query = "topk(scalar(n), a) + -(rate(b{c=\"d\"}[5m])) / max_over_time(e[1h:5m]) + 1";
        let expr = parse_expr(query, &Default::default()).expect("the query is sound");
        let mut found = Vec::new();
        collect_selectors(&expr, &mut found);
        let mut names: Vec<&str> = found
            .iter()
            .flat_map(|matchers| matchers.iter().filter(|matcher| matcher.name == "__name__"))
            .map(|matcher| matcher.value.as_str())
            .collect();
        names.sort_unstable();
        assert_eq!(names, ["a", "b", "e", "n"]);
    }
}
