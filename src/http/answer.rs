//! What the API answers: the envelope around data, and errors with their types and status codes.

use axum::body::Body;
use axum::http::{HeaderValue, Response, StatusCode, header};
use axum::response::IntoResponse;

use crate::promql::QueryError;
use crate::storage::SelectError;

use super::json;

/// Most warnings, and most infos, that are answered one by one.
const ANNOTATIONS_MAX: usize = 10;

/// Kinds of errors, each with its name in JSON and its status code.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ErrorKind {
    BadData,
    Execution,
    Canceled,
    Timeout,
    Internal,
    Unavailable,
}

impl ErrorKind {
    const fn name(self) -> &'static str {
        match self {
            Self::BadData => "bad_data",
            Self::Execution => "execution",
            Self::Canceled => "canceled",
            Self::Timeout => "timeout",
            Self::Internal => "internal",
            Self::Unavailable => "unavailable",
        }
    }

    fn status(self) -> StatusCode {
        match self {
            Self::BadData => StatusCode::BAD_REQUEST,
            Self::Execution => StatusCode::UNPROCESSABLE_ENTITY,
            Self::Canceled => StatusCode::from_u16(499).expect("499 is a status code"),
            Self::Timeout => StatusCode::SERVICE_UNAVAILABLE,
            // Upstream has no code of its own for what is unavailable.
            Self::Internal | Self::Unavailable => StatusCode::INTERNAL_SERVER_ERROR,
        }
    }
}

/// A request that is answered with an error.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct ApiError {
    pub(super) kind: ErrorKind,
    pub(super) message: String,
}

impl ApiError {
    pub(super) fn new(kind: ErrorKind, message: impl Into<String>) -> Self {
        Self { kind, message: message.into() }
    }

    pub(super) fn bad_data(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::BadData, message)
    }

    /// `name` has a value that cannot be used.
    pub(super) fn parameter(name: &str, why: impl std::fmt::Display) -> Self {
        Self::bad_data(format!("invalid parameter {name:?}: {why}"))
    }
}

impl From<QueryError> for ApiError {
    fn from(error: QueryError) -> Self {
        let kind = match &error {
            QueryError::Parse(_) => return Self::parameter("query", error),
            QueryError::Canceled(_) => ErrorKind::Canceled,
            QueryError::Timeout(_) => ErrorKind::Timeout,
            QueryError::Storage(_) => ErrorKind::Internal,
            _ => ErrorKind::Execution,
        };
        Self::new(kind, error.to_string())
    }
}

impl From<SelectError> for ApiError {
    fn from(error: SelectError) -> Self {
        let kind = match error {
            SelectError::Closed => ErrorKind::Unavailable,
            _ => ErrorKind::Internal,
        };
        Self::new(kind, error.to_string())
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response<Body> {
        let mut text = Vec::with_capacity(self.message.len() + 64);
        text.extend_from_slice(b"{\"status\":\"error\",\"errorType\":\"");
        text.extend_from_slice(self.kind.name().as_bytes());
        text.extend_from_slice(b"\",\"error\":");
        json::html_safe_string(&mut text, &self.message);
        text.push(b'}');
        json_response(self.kind.status(), Body::from(text))
    }
}

/// A JSON body with its content type.
pub(super) fn json_response(status: StatusCode, body: Body) -> Response<Body> {
    let mut response = Response::new(body);
    *response.status_mut() = status;
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}

/// A plain text answer, as the paths outside the API give it.
pub(super) fn text_response(status: StatusCode, text: impl Into<String>) -> Response<Body> {
    let mut response = Response::new(Body::from(text.into()));
    *response.status_mut() = status;
    response
        .headers_mut()
        .insert(header::CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
    response
}

/// Remarks on a result.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Annotations {
    pub(super) warnings: Vec<String>,
    pub(super) infos: Vec<String>,
}

impl Annotations {
    pub(super) fn warn(&mut self, text: impl Into<String>) {
        self.warnings.push(text.into());
    }

    /// The result was cut to `limit`.
    pub(super) fn warn_truncated(&mut self) {
        self.warn("results truncated due to limit");
    }
}

/// What stands before the data of a successful answer.
pub(super) const SUCCESS_HEAD: &[u8] = b"{\"status\":\"success\",\"data\":";

/// What stands behind the data: remarks, the first ten of each kind, and the closing brace.
pub(super) fn success_tail(out: &mut Vec<u8>, annotations: &Annotations) {
    for (name, texts, kind) in
        [("warnings", &annotations.warnings, "warning"), ("infos", &annotations.infos, "info")]
    {
        if texts.is_empty() {
            continue;
        }
        out.extend_from_slice(format!(",\"{name}\":[").as_bytes());
        let omitted = texts.len().saturating_sub(ANNOTATIONS_MAX);
        let more = (omitted > 0).then(|| format!("{omitted} more {kind} annotations omitted"));
        for (index, text) in texts.iter().take(ANNOTATIONS_MAX).chain(&more).enumerate() {
            if index > 0 {
                out.push(b',');
            }
            json::html_safe_string(out, text);
        }
        out.push(b']');
    }
    out.push(b'}');
}

/// A successful answer around data that is JSON already.
pub(super) fn success(data: &[u8], annotations: &Annotations) -> Response<Body> {
    let mut text = Vec::with_capacity(data.len() + 64);
    text.extend_from_slice(SUCCESS_HEAD);
    text.extend_from_slice(data);
    success_tail(&mut text, annotations);
    json_response(StatusCode::OK, Body::from(text))
}

/// A successful answer around a value.
pub(super) fn success_value(value: &impl serde::Serialize) -> Response<Body> {
    success(&json::html_safe_value(value), &Annotations::default())
}

/// An answer without data.
pub(super) fn no_content() -> Response<Body> {
    StatusCode::NO_CONTENT.into_response()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn remarks_beyond_ten_are_counted() {
        let annotations = Annotations {
            warnings: (0..12).map(|n| format!("w{n}")).collect(),
            infos: vec!["i<".to_owned()],
        };
        let mut text = Vec::new();
        success_tail(&mut text, &annotations);
        let text = String::from_utf8(text).expect("JSON is UTF-8");
        assert!(
            text.starts_with(",\"warnings\":[\"w0\",")
                && text.contains("\"w9\",\"2 more warning annotations omitted\"]")
        );
        assert!(text.ends_with(",\"infos\":[\"i\\u003c\"]}"), "{text}");
    }

    #[test]
    fn kinds_have_upstreams_codes() {
        let codes = [
            (ErrorKind::BadData, 400),
            (ErrorKind::Execution, 422),
            (ErrorKind::Canceled, 499),
            (ErrorKind::Timeout, 503),
            (ErrorKind::Internal, 500),
            (ErrorKind::Unavailable, 500),
        ];
        for (kind, code) in codes {
            assert_eq!(ApiError::new(kind, "x").into_response().status().as_u16(), code);
        }
    }
}
