//! Asks for a rule's expression.

use bytes::Bytes;
use reqwest::header::{CONTENT_TYPE, HeaderMap, HeaderValue};
use reqwest::{StatusCode, Url};

use crate::model::Timestamp;

use super::answer::{ResultSeries, read_instant, read_range, refusal};
use super::plan::{RulePlan, Slots};
use super::server::{Server, ServerError};

/// Why there are no results.
#[derive(Debug)]
pub(super) enum QueryFailure {
    /// These evaluations cannot be had together; fewer of them may.
    Evaluation(String),
    /// The server refuses the expression, or says what is no answer.
    Refused(String),
    /// The server is gone.
    Unreachable(String),
}

/// The results of a rule at `slots`, and how many bytes they took.
pub(super) async fn ask(
    server: &Server,
    rule: &RulePlan,
    slots: Slots,
) -> Result<(Vec<ResultSeries>, usize), QueryFailure> {
    let is_instant = slots.count == 1;
    let mut fields = vec![("query", rule.expr.clone())];
    let path = if is_instant {
        fields.push(("time", seconds(slots.first)));
        "/api/v1/query"
    } else {
        fields.push(("start", seconds(slots.first)));
        fields.push(("end", seconds(slots.last())));
        fields.push(("step", seconds(slots.step_ms)));
        "/api/v1/query_range"
    };
    let mut headers = HeaderMap::new();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/x-www-form-urlencoded"));
    let answer = server.post(path, &headers, form(&fields)).await.map_err(|error| match error {
        ServerError::TooLong => QueryFailure::Evaluation(error.to_string()),
        ServerError::Unreachable(why) => QueryFailure::Unreachable(why),
    })?;
    match answer.status {
        StatusCode::OK => {}
        StatusCode::UNPROCESSABLE_ENTITY | StatusCode::SERVICE_UNAVAILABLE => {
            return Err(QueryFailure::Evaluation(refusal(&answer.body)));
        }
        status => return Err(QueryFailure::Refused(format!("{status}: {}", refusal(&answer.body)))),
    }
    let read = if is_instant { read_instant(&answer.body) } else { read_range(&answer.body) };
    let series = read.map_err(QueryFailure::Refused)?;
    Ok((series, answer.body.len()))
}

/// Seconds with milliseconds, exactly.
fn seconds(ms: Timestamp) -> String {
    format!("{}{}.{:03}", if ms < 0 { "-" } else { "" }, ms.unsigned_abs() / 1_000, ms.unsigned_abs() % 1_000)
}

fn form(fields: &[(&str, String)]) -> Bytes {
    let mut url = Url::parse("http://form/").expect("a constant that is a URL");
    url.query_pairs_mut().extend_pairs(fields);
    Bytes::from(url.query().unwrap_or_default().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_exact() {
        assert_eq!(seconds(1_700_000_000_123), "1700000000.123");
        assert_eq!(seconds(5), "0.005");
        assert_eq!(seconds(-1_500), "-1.500");
    }

    #[test]
    fn forms_are_escaped() {
        assert_eq!(form(&[("query", "a{b=\"c d\"} + 1".to_owned())]), "query=a%7Bb%3D%22c+d%22%7D+%2B+1");
    }
}
