//! Ways in: what others send is read, checked and written as one batch.
//!
//! Bytes from the network are bounded before anything is allocated for them, refused with a message that says what
//! and where, and never cause a panic. Accepting, ordering and storing samples is the store's business.

pub mod exposition;
pub mod prompb;
pub mod protobuf;
pub mod remote_write;
pub mod snappy;
