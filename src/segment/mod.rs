//! An immutable time range of one tenant in one file: written once, read through a [`Source`].
//!
//! [`SegmentWriter`] takes series in any order and writes the file in one pass. [`SegmentReader`] opens it by its
//! footer alone; every other part is checked against its checksum before its first use, and errors name the file and
//! the byte. A reader is cheap to open, shared freely between threads, and never panics on damaged bytes.
//!
//! Layout: `storage-format.md`, "Segment file". Names, syncing and removal of files are the database's.

mod extras;
mod footer;
mod meta;
mod pages;
mod reader;
mod record;
mod source;
mod symbols;
mod times;
mod writer;
#[cfg(test)]
mod tests;

pub use meta::{SegmentError, SegmentHeader, SegmentMeta};
pub use reader::SegmentReader;
pub use source::{BytesSource, Source};
pub use writer::SegmentWriter;
