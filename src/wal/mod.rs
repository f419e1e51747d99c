//! The log: what was acknowledged, in the order of its sequence numbers, until segments hold it.
//!
//! Numbered files of checksummed records. Each file defines every series that it uses, so it is read without any
//! other. [`BatchEncoder`] turns a batch into records on the request's thread; [`LogWriter`] puts records of several
//! batches behind each other, writes once and syncs once; [`read_log_file`] gives records back, skips what is damaged
//! and never drops what follows it.
//!
//! Left to the database: sequence numbers, who may write, when files are deleted. Bytes: `storage-format.md`, "Log".

mod encode;
mod payload;
mod read;
mod record;
mod rejected;
mod writer;

pub use encode::{BatchEncoder, EncodedBatch, SeriesUse};
pub use read::{LogReader, LogReport, LoggedBatch, read_log_file, read_log_file_with};
pub use rejected::RejectedSet;
pub use writer::{LogError, LogFileFacts, LogLimits, LogWriter, log_file_name, log_file_number};
