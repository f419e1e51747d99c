//! Bytes, not series: checked readers and writers, varints, checksums, packed integers, percent encoding.
//!
//! Everything read here may come from a damaged disk: every length is compared with what is there before it is
//! believed, and errors say at which byte which rule was broken. Layouts are described in `storage-format.md`,
//! "Conventions" and "Integer columns".

mod blocks;
mod bytes;
mod checksum;
mod integers;
mod packing;
mod percent;

pub use blocks::{decode_block, encode_block, number_in_block};
pub use bytes::{ByteReader, ByteWriter, DecodeError, unzigzag, zigzag};
pub use checksum::{Checksum, checksum};
pub use integers::{INTEGERS_MAX, decode_integer_blocks, decode_integers, encode_integers};
pub use packing::BLOCK_LEN;
pub use percent::percent_decoded;
