//! `/api/v1/write`: remote write. The rules live in [`crate::ingest::remote_write`]; here they meet HTTP.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, Response, StatusCode, header};

use crate::ingest::remote_write::{Protocol, ReceivePolicy, WriteHeaders, WriteReply, answer};
use crate::ingest::snappy;

use super::answer::text_response;
use super::app::{App, BodyError};

/// Largest compressed body, in bytes. What it unpacks to has its own bound, of the same size.
const BODY_BYTES_MAX: usize = 32 << 20;

/// Takes samples in; answers once they are durable.
pub(super) async fn write(State(app): State<Arc<App>>, request: Request) -> Response<Body> {
    let (parts, body) = request.into_parts();
    let body = match app.body(body, BODY_BYTES_MAX).await {
        Ok(body) => body,
        Err(error) => return body_refused(&error),
    };
    // A body that will be refused takes no room.
    let unpacked = snappy::decompressed_len(&body, snappy::DECOMPRESSED_BYTES_MAX).unwrap_or(0);
    app.write(unpacked, move |app| {
        let settings = app.settings();
        let policy = ReceivePolicy {
            out_of_order: settings.out_of_order,
            ..ReceivePolicy::new(app.services.clock.now_ms(), settings.retention_ms)
        };
        let headers = WriteHeaders {
            content_type: text(&parts.headers, header::CONTENT_TYPE),
            content_encoding: text(&parts.headers, header::CONTENT_ENCODING),
        };
        let reply = answer(app.services.append.as_ref(), &app.tenant, headers, &body, &policy);
        observe(app, &reply);
        respond(&reply)
    })
    .await
}

/// A header's text; one that is not text is as wrong as any unknown one.
fn text(headers: &HeaderMap, name: HeaderName) -> Option<&str> {
    headers.get(name).map(|value| value.to_str().unwrap_or("\u{fffd}"))
}

fn body_refused(error: &BodyError) -> Response<Body> {
    let status = match error {
        BodyError::TooLarge => StatusCode::PAYLOAD_TOO_LARGE,
        BodyError::Slow => StatusCode::REQUEST_TIMEOUT,
        BodyError::Broken(_) => StatusCode::BAD_REQUEST,
    };
    text_response(status, format!("{error}\n"))
}

fn observe(app: &App, reply: &WriteReply) {
    let metrics = &app.metrics;
    metrics.invalid_label_samples.add(reply.samples_with_invalid_labels);
    let protocol = match reply.protocol {
        Some(Protocol::V1) => "1.0",
        Some(Protocol::V2) => "2.0",
        None => "unknown",
    };
    for (kind, count) in [
        ("float", reply.written.samples),
        ("histogram", reply.written.histograms),
        ("exemplar", reply.written.exemplars),
    ] {
        metrics.written.with(&[kind, protocol]).add(u64::try_from(count).unwrap_or(u64::MAX));
    }
    if !reply.notes.is_empty() {
        tracing::debug!(notes = %reply.notes, protocol, "remote write left something out");
    }
    if reply.status >= 500 {
        tracing::error!(status = reply.status, message = reply.message, "remote write failed");
    } else if reply.status >= 400 {
        tracing::debug!(status = reply.status, message = reply.message, "remote write refused");
    }
}

fn respond(reply: &WriteReply) -> Response<Body> {
    let status = StatusCode::from_u16(reply.status).expect("replies carry status codes");
    let mut response = match reply.message.is_empty() {
        true => {
            let mut response = Response::new(Body::empty());
            *response.status_mut() = status;
            response
        }
        false => text_response(status, format!("{}\n", reply.message)),
    };
    let headers = response.headers_mut();
    for (name, count) in reply.written_headers() {
        headers.insert(name, HeaderValue::from(count));
    }
    if let Some(seconds) = reply.retry_after_s {
        headers.insert(header::RETRY_AFTER, HeaderValue::from(seconds));
    }
    response
}
