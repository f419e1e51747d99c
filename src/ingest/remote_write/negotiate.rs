//! Which protocol the headers announce.

use std::fmt;

/// The media type of both protocols.
const MEDIA_TYPE: &str = "application/x-protobuf";

/// A message that a body can be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Protocol {
    /// `prometheus.WriteRequest`
    V1,
    /// `io.prometheus.write.v2.Request`
    V2,
}

impl Protocol {
    /// Both.
    pub const ALL: [Self; 2] = [Self::V1, Self::V2];

    /// The message's full name, as `--web.remote-write-receiver.accepted-protobuf-messages` takes it.
    pub const fn message(self) -> &'static str {
        match self {
            Self::V1 => "prometheus.WriteRequest",
            Self::V2 => "io.prometheus.write.v2.Request",
        }
    }

    /// The `Content-Type` a sender announces it with.
    pub const fn content_type(self) -> &'static str {
        match self {
            Self::V1 => "application/x-protobuf",
            Self::V2 => "application/x-protobuf;proto=io.prometheus.write.v2.Request",
        }
    }

    /// The protocol of that message name.
    pub fn from_message(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|protocol| protocol.message() == name)
    }

    /// Refuses a protocol that the configuration leaves out.
    pub fn ensure_accepted(self, accepted: &[Self]) -> Result<(), NegotiateError> {
        if accepted.contains(&self) {
            return Ok(());
        }
        let accepted: Vec<&str> = accepted.iter().map(|protocol| protocol.message()).collect();
        Err(NegotiateError::NotAccepted { message: self.message(), accepted: accepted.join(", ") })
    }
}

impl fmt::Display for Protocol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.message())
    }
}

/// Headers that announce something else; all of them 415.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum NegotiateError {
    /// Another media type.
    #[error("expected application/x-protobuf as the first (media) part, got {0} content-type")]
    MediaType(String),
    /// A parameter that is no pair.
    #[error(
        "as per https://www.rfc-editor.org/rfc/rfc9110#parameter expected parameters to be key-values, got {parameter} in {content_type} content-type"
    )]
    Parameter {
        /// The parameter.
        parameter: String,
        /// The whole header.
        content_type: String,
    },
    /// A message that is neither protocol's.
    #[error(
        "got {content_type} content type; unknown remote write protobuf message {message}, supported: prometheus.WriteRequest, io.prometheus.write.v2.Request"
    )]
    Message {
        /// The message's name.
        message: String,
        /// The whole header.
        content_type: String,
    },
    /// A protocol that the configuration leaves out.
    #[error("{message} protobuf message is not accepted by this server; only accepts {accepted}")]
    NotAccepted {
        /// The message's name.
        message: &'static str,
        /// Names of the accepted ones.
        accepted: String,
    },
    /// Another compression.
    #[error("{0} encoding (compression) is not accepted by this server; only snappy is acceptable")]
    Encoding(String),
}

/// The protocol that `Content-Type` and `Content-Encoding` announce. Without a type it is 1.0, without an encoding
/// the body is snappy all the same; any other value is refused.
pub fn negotiate(
    content_type: Option<&str>,
    content_encoding: Option<&str>,
) -> Result<Protocol, NegotiateError> {
    let protocol = match content_type.map(str::trim) {
        None | Some("") => Protocol::V1,
        Some(content_type) => protocol_of(content_type)?,
    };
    match content_encoding.map(str::trim) {
        None | Some("" | "snappy") => Ok(protocol),
        Some(other) => Err(NegotiateError::Encoding(other.to_owned())),
    }
}

fn protocol_of(content_type: &str) -> Result<Protocol, NegotiateError> {
    let mut parts = content_type.split(';');
    if !parts.next().is_some_and(|media| media.trim().eq_ignore_ascii_case(MEDIA_TYPE)) {
        return Err(NegotiateError::MediaType(content_type.to_owned()));
    }
    for parameter in parts {
        let malformed = || NegotiateError::Parameter {
            parameter: parameter.to_owned(),
            content_type: content_type.to_owned(),
        };
        let (name, value) = parameter.split_once('=').ok_or_else(malformed)?;
        if value.contains('=') {
            return Err(malformed());
        }
        // A blank behind the semicolon is usual in headers; upstream would take such a 2.0 body for one of 1.0.
        if name.trim() == "proto" {
            return Protocol::from_message(value.trim()).ok_or_else(|| NegotiateError::Message {
                message: value.to_owned(),
                content_type: content_type.to_owned(),
            });
        }
    }
    Ok(Protocol::V1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers_choose_the_protocol() {
        for (content_type, protocol) in [
            (None, Protocol::V1),
            (Some(""), Protocol::V1),
            (Some("application/x-protobuf"), Protocol::V1),
            (Some("application/x-protobuf;proto=prometheus.WriteRequest"), Protocol::V1),
            (Some("application/x-protobuf;charset=utf-8"), Protocol::V1),
            (Some("application/x-protobuf;proto=io.prometheus.write.v2.Request"), Protocol::V2),
            (Some("application/x-protobuf; proto=io.prometheus.write.v2.Request"), Protocol::V2),
        ] {
            assert_eq!(negotiate(content_type, Some("snappy")), Ok(protocol), "{content_type:?}");
            assert_eq!(negotiate(content_type, None), Ok(protocol), "{content_type:?}");
        }
    }

    #[test]
    fn other_headers_are_refused_with_a_reason() {
        for (content_type, encoding, message) in [
            (
                "application/json",
                "snappy",
                "expected application/x-protobuf as the first (media) part, got application/json content-type",
            ),
            (
                "application/x-protobuf;proto",
                "snappy",
                "expected parameters to be key-values, got proto in application/x-protobuf;proto content-type",
            ),
            (
                "application/x-protobuf;proto=a=b",
                "snappy",
                "expected parameters to be key-values, got proto=a=b",
            ),
            (
                "application/x-protobuf;proto=prometheus.Write",
                "snappy",
                "unknown remote write protobuf message prometheus.Write, supported: prometheus.WriteRequest, io",
            ),
            ("application/x-protobuf", "gzip", "gzip encoding (compression) is not accepted by this server"),
            ("application/x-protobuf", "zstd", "only snappy is acceptable"),
        ] {
            let error = negotiate(Some(content_type), Some(encoding)).expect_err(message).to_string();
            assert!(error.contains(message), "{error}");
        }
    }

    #[test]
    fn configuration_can_leave_a_protocol_out() {
        assert_eq!(Protocol::V2.ensure_accepted(&Protocol::ALL), Ok(()));
        assert_eq!(
            Protocol::V1.ensure_accepted(&[Protocol::V2]).map_err(|error| error.to_string()),
            Err("prometheus.WriteRequest protobuf message is not accepted by this server; only accepts \
                 io.prometheus.write.v2.Request"
                .to_owned())
        );
    }
}
