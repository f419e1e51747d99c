//! An immutable time range of one tenant in one file: written once, read through a [`Source`].
//!
//! [`SegmentStream`] takes series in the order of [`RowKey`] and writes the file as they come; [`SegmentWriter`] takes them
//! in any order and holds their frames until the end. Both make the same file. [`SegmentReader`] opens it by its footer alone; every other part is checked against its checksum before its first use, and errors name the file and
//! the byte. A reader is cheap to open, shared freely between threads, and never panics on damaged bytes.
//!
//! Layout: `storage-format.md`, "Segment file". Names, syncing and removal of files are the database's.

mod blocks;
mod cache;
mod encode;
mod extras;
mod family;
mod footer;
mod frames;
mod labels;
mod meta;
mod order;
mod pages;
mod reader;
mod rows;
mod source;
mod stream;
mod symbols;
mod times;
mod writer;
#[cfg(test)]
mod tests;

pub use meta::{SegmentError, SegmentHeader, SegmentMeta};
pub use order::RowKey;
pub use reader::SegmentReader;
pub use source::{BytesSource, Source};
pub use stream::SegmentStream;
pub use writer::SegmentWriter;
