//! Remote write, the sending side: samples wait in a log on disk until every receiver has confirmed them.
//!
//! [`RemoteLog`] is an agent's: an [`crate::storage::Append`] that answers once a batch is durable in its log. A server
//! has a log already; [`StoredLog`] lets receivers read that one, so that a sample is written once, whoever forwards it.
//! [`RemoteWriter`] has one task for each configured receiver, which reads the log from the receiver's position, relabels, encodes protocol
//! 1.0 or 2.0 and sends. The position is what the receiver has confirmed, and is on disk too.
//!
//! Promises:
//! - what was appended is sent to every receiver, also after a restart, unless the log reaches its largest size: then the
//!   oldest of it is dropped, counted and logged. It may be sent twice.
//! - the samples of a series are sent in the order in which they were appended;
//! - a receiver that is away costs disk, not memory: of what waits, one round of requests is held.
//!
//! A receiver that is new starts with what is appended from then on. Bytes: `storage-format.md`, "Remote-write queue".

mod config;
mod cursor;
mod log;
mod metrics;
mod outbox;
mod position;
mod receiver;
mod round;
mod send;
mod series;
mod stored;
#[cfg(test)]
mod tests;
mod writer;

pub use config::{
    MetadataConfig, QueueConfig, RemoteReadConfig, RemoteReadSettings, RemoteWriteConfig, RemoteWriteSettings,
};
pub use log::{RemoteLog, RemoteLogOptions};
pub use metrics::{ReceiverMetrics, RemoteMetrics};
pub use outbox::{ForwardedLog, Outbox, RemoteLogError};
pub use position::{read_position, write_position};
pub use stored::StoredLog;
pub use writer::{PreparedReceivers, RemoteWriteError, RemoteWriter};
