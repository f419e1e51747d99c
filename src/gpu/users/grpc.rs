//! One unary gRPC call over HTTP/2 without TLS on a unix socket, as the kubelet serves it.

use std::path::Path;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::client::conn::http2;
use hyper::header::{HeaderMap, HeaderValue};
use hyper::{Request, StatusCode};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::net::UnixStream;

use crate::encoding::percent_decoded;

/// Longest message that is taken. What the kubelet says of 500 pods is below 1 MiB; gRPC's own limit is 4 MiB, and the
/// kubelet's clients take 16 MiB.
const MESSAGE_BYTES_MAX: usize = 16 << 20;
/// Flag and length in front of a message.
const PREFIX_BYTES: usize = 5;
/// Longest text of a status that is told.
const STATUS_BYTES_MAX: usize = 200;

/// Names of the statuses, by their numbers.
const STATUSES: [&str; 17] = [
    "OK",
    "CANCELLED",
    "UNKNOWN",
    "INVALID_ARGUMENT",
    "DEADLINE_EXCEEDED",
    "NOT_FOUND",
    "ALREADY_EXISTS",
    "PERMISSION_DENIED",
    "RESOURCE_EXHAUSTED",
    "FAILED_PRECONDITION",
    "ABORTED",
    "OUT_OF_RANGE",
    "UNIMPLEMENTED",
    "INTERNAL",
    "UNAVAILABLE",
    "DATA_LOSS",
    "UNAUTHENTICATED",
];

/// Why a call has no answer.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CallError {
    /// The socket is not there, or nobody listens on it.
    #[error("cannot connect: {0}")]
    Connect(std::io::Error),
    /// The connection broke, or it does not speak HTTP/2.
    #[error("the connection failed: {0}")]
    Connection(#[from] hyper::Error),
    /// It did not answer in time.
    #[error("no answer within {0:?}")]
    Deadline(Duration),
    /// Whoever answers speaks HTTP, but not gRPC.
    #[error("HTTP status {0}")]
    Http(StatusCode),
    /// The server refused.
    #[error("gRPC status {name} ({code}): {message}", name = status_name(*code))]
    Status {
        /// gRPC's number.
        code: u32,
        /// The server's words.
        message: String,
    },
    /// The answer's bytes are no message.
    #[error("{0}")]
    Message(&'static str),
    /// The answer is larger than anything that is asked for here.
    #[error("the message of {0} bytes is larger than {MESSAGE_BYTES_MAX}")]
    TooLarge(usize),
}

fn status_name(code: u32) -> &'static str {
    usize::try_from(code).ok().and_then(|code| STATUSES.get(code)).copied().unwrap_or("unknown")
}

/// Calls `path` with an empty message, and gives the message that comes back. A connection is made for each call: they
/// are seconds apart, and the kubelet may be another one by then.
pub(super) async fn call(socket: &Path, path: &'static str, deadline: Duration) -> Result<Bytes, CallError> {
    match tokio::time::timeout(deadline, call_without_deadline(socket, path)).await {
        Ok(answer) => answer,
        Err(_) => Err(CallError::Deadline(deadline)),
    }
}

async fn call_without_deadline(socket: &Path, path: &'static str) -> Result<Bytes, CallError> {
    let stream = UnixStream::connect(socket).await.map_err(CallError::Connect)?;
    let (mut sender, connection) = http2::handshake(TokioExecutor::new(), TokioIo::new(stream)).await?;
    let answer = async {
        let response = sender.send_request(request(path)).await?;
        let (head, body) = response.into_parts();
        if head.status != StatusCode::OK {
            return Err(CallError::Http(head.status));
        }
        let (message, trailers) = receive(body).await?;
        // A server that has nothing but a status to tell has it in the head.
        accept(trailers.as_ref().unwrap_or(&head.headers))?;
        message.ok_or(CallError::Message("a status without a message"))
    };
    let mut connection = std::pin::pin!(connection);
    let mut answer = std::pin::pin!(answer);
    tokio::select! {
        answer = &mut answer => answer,
        // The connection ends when it breaks; the answer knows why.
        _ = &mut connection => answer.await,
    }
}

fn request(path: &'static str) -> Request<Full<Bytes>> {
    // No compression, and an empty message.
    let mut request = Request::new(Full::new(Bytes::from_static(&[0; PREFIX_BYTES])));
    *request.method_mut() = hyper::Method::POST;
    let uri = hyper::Uri::builder().scheme("http").authority("localhost").path_and_query(path).build();
    *request.uri_mut() = uri.expect("the paths of services are sound");
    let headers = request.headers_mut();
    headers.insert("content-type", HeaderValue::from_static("application/grpc"));
    headers.insert("te", HeaderValue::from_static("trailers"));
    request
}

/// The message, if there is one, and what comes behind it.
async fn receive(mut body: Incoming) -> Result<(Option<Bytes>, Option<HeaderMap>), CallError> {
    let mut bytes = BytesMut::new();
    let mut trailers = None;
    while let Some(frame) = body.frame().await {
        match frame?.into_data() {
            Ok(data) => {
                bytes.extend_from_slice(&data);
                check(&bytes)?;
            }
            Err(frame) => trailers = frame.into_trailers().ok(),
        }
    }
    let message = match bytes.len() {
        0 => None,
        _ => Some(unframe(bytes.freeze())?),
    };
    Ok((message, trailers))
}

/// Refuses what is too large as soon as it is announced, and what never ends.
fn check(bytes: &[u8]) -> Result<(), CallError> {
    match announced(bytes) {
        Some(announced) if announced > MESSAGE_BYTES_MAX => Err(CallError::TooLarge(announced)),
        Some(announced) if bytes.len() > PREFIX_BYTES + announced => {
            Err(CallError::Message("more bytes than the message has"))
        }
        _ => Ok(()),
    }
}

fn announced(bytes: &[u8]) -> Option<usize> {
    let len: [u8; 4] = bytes.get(1..PREFIX_BYTES)?.try_into().expect("four bytes were taken");
    usize::try_from(u32::from_be_bytes(len)).ok()
}

fn unframe(bytes: Bytes) -> Result<Bytes, CallError> {
    let cut_off = CallError::Message("the message is cut off");
    match announced(&bytes) {
        Some(len) if bytes.len() == PREFIX_BYTES + len => {}
        _ => return Err(cut_off),
    }
    if bytes[0] != 0 {
        return Err(CallError::Message("the message is compressed, which was not asked for"));
    }
    Ok(bytes.slice(PREFIX_BYTES..))
}

fn accept(headers: &HeaderMap) -> Result<(), CallError> {
    let text = |name: &str| headers.get(name).map(|value| String::from_utf8_lossy(value.as_bytes()));
    let code = text("grpc-status").and_then(|code| code.parse().ok());
    match code.ok_or(CallError::Message("no gRPC status"))? {
        0 => Ok(()),
        code => {
            let message = text("grpc-message").map(|message| decoded(&message)).unwrap_or_default();
            Err(CallError::Status { code, message })
        }
    }
}

/// Percent-encoding of `grpc-message`; what is not encoded stays. Cut off where it is long.
fn decoded(message: &str) -> String {
    // A byte takes three at most.
    let start = &message.as_bytes()[..message.len().min(3 * STATUS_BYTES_MAX)];
    let mut bytes = percent_decoded(start);
    bytes.truncate(STATUS_BYTES_MAX);
    String::from_utf8_lossy(&bytes).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_are_unframed() {
        let unframed =
            |bytes: &[u8]| unframe(Bytes::copy_from_slice(bytes)).map_err(|error| error.to_string());
        assert_eq!(unframed(&[0, 0, 0, 0, 2, 7, 8]), Ok(Bytes::from_static(&[7, 8])));
        assert_eq!(unframed(&[0, 0, 0, 0, 0]), Ok(Bytes::new()));
        assert_eq!(unframed(&[0, 0, 0, 0, 3, 7, 8]), Err("the message is cut off".to_owned()));
        assert_eq!(unframed(&[0, 0]), Err("the message is cut off".to_owned()));
        assert!(unframed(&[1, 0, 0, 0, 1, 7]).is_err_and(|error| error.contains("compressed")));
        assert!(matches!(check(&[0, 1, 0, 0, 1]), Err(CallError::TooLarge(0x0100_0001))));
        assert!(matches!(check(&[0, 0, 0, 0, 1, 7, 8]), Err(CallError::Message(_))));
        assert!(check(&[0, 0, 0, 0]).is_ok() && check(&[0, 1, 0, 0, 0, 7]).is_ok());
    }

    #[test]
    fn statuses_are_named() {
        let status = |code: &'static str, message: &'static str| {
            let mut headers = HeaderMap::new();
            headers.insert("grpc-status", HeaderValue::from_static(code));
            headers.insert("grpc-message", HeaderValue::from_static(message));
            accept(&headers).map_err(|error| error.to_string())
        };
        assert_eq!(status("0", ""), Ok(()));
        let refused = status("8", "rejected by rate limit%2C 100%");
        assert_eq!(
            refused,
            Err("gRPC status RESOURCE_EXHAUSTED (8): rejected by rate limit, 100%".to_owned())
        );
        assert_eq!(status("77", "x"), Err("gRPC status unknown (77): x".to_owned()));
        assert_eq!(status("x", "x"), Err("no gRPC status".to_owned()));
        assert_eq!(accept(&HeaderMap::new()).map_err(|e| e.to_string()), Err("no gRPC status".to_owned()));
    }
}
