//! Remote write, protocols 1.0 and 2.0: from a request to the answer.
//!
//! [`answer`] is the whole of it: headers and body in, status, message and counts out. The steps stand alone for
//! tools and tests: [`negotiate()`] reads the headers, [`decode()`] turns a body into one batch, [`receive()`] appends it.
//!
//! What a sender learns:
//! - 204: all is stored and durable.
//! - 400: some of it can never be stored; the rest is, and the message says what is wrong with each part. Under 1.0
//!   this differs from upstream, which takes the whole request back for one bad sample, and leaves series with
//!   invalid labels out without a word. A sender does not repeat what was answered with 400, so taking it back would
//!   lose the sound samples, and silence would hide the loss of the others.
//! - 413, 415: too long, or not one of the two protocols.
//! - 503: try again later. Nothing of it is visible; it may be stored.

mod assemble;
mod decode;
mod encode;
mod histogram;
mod negotiate;
mod problems;
mod recall;
mod receive;
#[cfg(test)]
mod tests;
mod v1;
mod v2;

pub use decode::{Decoded, decode, decode_v1, decode_v2};
pub use encode::{encode_v1, encode_v2, to_v1, to_v2};
pub use negotiate::{NegotiateError, Protocol, negotiate};
pub use problems::Problems;
pub use receive::{AHEAD_MS_MAX, ReceivePolicy, WriteHeaders, WriteReply, Written, answer, receive};

use super::protobuf::ProtobufError;
use super::snappy::SnappyError;

/// Why a request as a whole was refused; nothing of it is stored.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum WriteRequestError {
    /// Headers that do not announce one of the protocols.
    #[error(transparent)]
    Negotiate(#[from] NegotiateError),
    /// The compression.
    #[error(transparent)]
    Snappy(#[from] SnappyError),
    /// The message.
    #[error(transparent)]
    Protobuf(#[from] ProtobufError),
    /// More entries than any body of acceptable length needs.
    #[error("request holds more than {limit} {what}")]
    TooMany {
        /// Of what.
        what: &'static str,
        /// How many are accepted.
        limit: usize,
    },
    /// Protocol 2.0 wants the empty text as its first symbol.
    #[error("symbols[0] must be the empty string, got {0}")]
    FirstSymbol(String),
}

impl WriteRequestError {
    /// The HTTP status that says so.
    pub fn status(&self) -> u16 {
        match self {
            Self::Negotiate(_) => 415,
            Self::Snappy(SnappyError::BodyTooLong { .. }) => 413,
            Self::Snappy(_) | Self::Protobuf(_) | Self::TooMany { .. } | Self::FirstSymbol(_) => 400,
        }
    }
}
