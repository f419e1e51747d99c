//! `/api/v1/query` and `/api/v1/query_range`.

use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::Response;

use crate::model::Timestamp;
use crate::promql::{QueryError, QueryOptions, QueryOutput, QueryValue};

use super::answer::{Annotations, ApiError, SUCCESS_HEAD, success_tail};
use super::app::{App, QuerySlot};
use super::params::{Params, parse_duration_ns};
use super::pieces::{Disconnected, PieceWriter};
use super::values;

/// Most steps of a range query.
const STEPS_MAX: i64 = 11_000;

/// The value of a query at one time.
pub(super) async fn instant(
    State(app): State<Arc<App>>,
    request: Request,
) -> Result<Response<Body>, ApiError> {
    let params = app.params(request).await?;
    let limit = params.limit()?;
    let at = params.time_or("time", app.services.clock.now_ms())?;
    let common = Common::read(&app, params, limit)?;
    Ok(run(&app, common, move |app, common, options| {
        app.services.engine.instant(app.services.select.as_ref(), &app.tenant, &common.query, at, options)
    })
    .await)
}

/// The values of a query from one time to another.
pub(super) async fn range(State(app): State<Arc<App>>, request: Request) -> Result<Response<Body>, ApiError> {
    let params = app.params(request).await?;
    let limit = params.limit()?;
    let (start, end, step_ms) = read_range(&params)?;
    let common = Common::read(&app, params, limit)?;
    Ok(run(&app, common, move |app, common, options| {
        let store = app.services.select.as_ref();
        app.services.engine.range(store, &app.tenant, &common.query, start, end, step_ms, options)
    })
    .await)
}

fn read_range(params: &Params) -> Result<(Timestamp, Timestamp, i64), ApiError> {
    let start = params.time("start")?;
    let end = params.time("end")?;
    if end < start {
        return Err(ApiError::parameter("end", "end timestamp must not be before start time"));
    }
    let step_ns =
        parse_duration_ns(params.get("step")).map_err(|error| ApiError::parameter("step", error))?;
    if step_ns <= 0 {
        return Err(ApiError::parameter(
            "step",
            "zero or negative query resolution step widths are not accepted. Try a positive integer",
        ));
    }
    let steps = i128::from(end - start) * 1_000_000 / i128::from(step_ns);
    if steps > i128::from(STEPS_MAX) {
        return Err(ApiError::bad_data(
            "exceeded maximum resolution of 11,000 points per timeseries. Try decreasing the query resolution (?step=XX)",
        ));
    }
    Ok((start, end, (step_ns / 1_000_000).max(1)))
}

/// What both kinds of query take.
struct Common {
    query: String,
    limit: usize,
    timeout: Duration,
    lookback_delta_ms: Option<i64>,
    stats: String,
    /// Another clause than `timeout` names the duration in its error.
    per_step_stats: bool,
}

impl Common {
    fn read(app: &App, params: Params, limit: usize) -> Result<Self, ApiError> {
        let longest = app.services.engine.options().timeout;
        let timeout = match params.duration_ns("timeout")? {
            Some(ns) => longest.min(Duration::from_nanos(ns.max(0).unsigned_abs())),
            None => longest,
        };
        let lookback_delta_ms = match params.get("lookback_delta") {
            "" => None,
            text => Some(
                parse_duration_ns(text).map_err(|error| {
                    ApiError::bad_data(format!("error parsing lookback delta duration: {error}"))
                })? / 1_000_000,
            )
            .filter(|ms| *ms > 0),
        };
        let stats = params.get("stats").to_owned();
        Ok(Self {
            query: params.get("query").to_owned(),
            limit,
            timeout,
            lookback_delta_ms,
            per_step_stats: stats == "all" && app.options.per_step_stats,
            stats,
        })
    }

    fn options(&self, slot: &QuerySlot) -> QueryOptions {
        QueryOptions {
            lookback_delta_ms: self.lookback_delta_ms,
            timeout: Some(slot.timeout),
            cancel: Some(Arc::clone(&slot.canceled)),
            per_step_stats: self.per_step_stats,
            ..QueryOptions::default()
        }
    }
}

async fn run(
    app: &Arc<App>,
    common: Common,
    evaluate: impl FnOnce(&App, &Common, &QueryOptions) -> Result<QueryOutput, QueryError> + Send + 'static,
) -> Response<Body> {
    app.query(
        common.timeout,
        move |app, slot| {
            let output = evaluate(app, &common, &common.options(&slot))?;
            observe(app, &output, &slot);
            Ok((common, output, slot.queued))
        },
        |(common, output, queued), writer| write(&common, output, queued, writer),
    )
    .await
}

fn observe(app: &App, output: &QueryOutput, slot: &QuerySlot) {
    let stats = &output.stats;
    let slices = [stats.evaluate_time, stats.prepare_time, slot.queued, stats.sort_time];
    for (histogram, time) in app.metrics.query_slices.iter().zip(slices) {
        histogram.observe(time.as_secs_f64());
    }
    app.metrics.query_samples.add(stats.samples_total);
    app.metrics.query_samples_read.add(stats.samples_read);
}

fn write(
    common: &Common,
    output: QueryOutput,
    queued: Duration,
    writer: &mut PieceWriter,
) -> Result<(), Disconnected> {
    let QueryOutput { mut value, warnings, infos, stats } = output;
    let mut annotations = Annotations { warnings, infos };
    if truncate(&mut value, common.limit) {
        annotations.warn_truncated();
    }
    if !matches!(common.stats.as_str(), "" | "true" | "all") {
        annotations.warn(format!(
            "value {:?} for parameter \"stats\" is deprecated and will be rejected in the next major release, use \"true\" or \"all\"",
            common.stats
        ));
    }
    let out = writer.buffer();
    out.extend_from_slice(SUCCESS_HEAD);
    out.extend_from_slice(b"{\"resultType\":\"");
    out.extend_from_slice(value.type_name().as_bytes());
    out.extend_from_slice(b"\",\"result\":");
    values::value(writer, &value)?;
    let out = writer.buffer();
    if !common.stats.is_empty() {
        out.extend_from_slice(b",\"stats\":");
        values::stats(out, &stats, queued);
    }
    out.push(b'}');
    success_tail(out, &annotations);
    Ok(())
}

/// Cuts a list of series to `limit`, 0 for all; answers whether there were more.
fn truncate(value: &mut QueryValue, limit: usize) -> bool {
    let (len, cut): (usize, &mut dyn FnMut()) = match value {
        QueryValue::Vector(samples) => (samples.len(), &mut || samples.truncate(limit)),
        QueryValue::Matrix(series) => (series.len(), &mut || series.truncate(limit)),
        QueryValue::Scalar { .. } | QueryValue::String { .. } => return false,
    };
    if limit == 0 || len <= limit {
        return false;
    }
    cut();
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    fn range_of(query: &str) -> Result<(Timestamp, Timestamp, i64), String> {
        read_range(&Params::parse(b"", query)).map_err(|error| error.message)
    }

    #[test]
    fn ranges_are_checked_as_upstream_checks_them() {
        assert_eq!(range_of("start=0&end=11000&step=1"), Ok((0, 11_000_000, 1_000)));
        assert_eq!(range_of("start=0&end=1&step=0.0001"), Ok((0, 1_000, 1)));
        for (query, message) in [
            ("end=1&step=1", "invalid parameter \"start\": cannot parse \"\" to a valid timestamp"),
            ("start=0&step=1", "invalid parameter \"end\": cannot parse \"\" to a valid timestamp"),
            (
                "start=2&end=1&step=1",
                "invalid parameter \"end\": end timestamp must not be before start time",
            ),
            ("start=0&end=1", "invalid parameter \"step\": cannot parse \"\" to a valid duration"),
            (
                "start=0&end=1&step=0",
                "invalid parameter \"step\": zero or negative query resolution step widths are not accepted. Try a positive integer",
            ),
            (
                "start=0&end=11001&step=1",
                "exceeded maximum resolution of 11,000 points per timeseries. Try decreasing the query resolution (?step=XX)",
            ),
        ] {
            assert_eq!(range_of(query), Err(message.to_owned()), "{query}");
        }
    }

    #[test]
    fn only_lists_are_cut() {
        let mut vector = QueryValue::Matrix(vec![Default::default(); 3]);
        assert!(!truncate(&mut vector, 3) && !truncate(&mut vector, 0));
        assert!(truncate(&mut vector, 2));
        assert!(matches!(vector, QueryValue::Matrix(series) if series.len() == 2));
        assert!(!truncate(&mut QueryValue::Scalar { t: 0, v: 1.0 }, 1));
    }
}
