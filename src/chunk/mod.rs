//! One series' samples, compressed: frames of at most [`FRAME_LEN_MAX`] samples.
//!
//! A frame's values and its times are separate columns, since many series of a scrape share their times. How many
//! samples a frame has is kept by whoever keeps the frame. Every value comes back bit for bit; decoders are safe on any
//! bytes. Layouts: `storage-format.md`, "Value frames", "Histogram frames" and "Timestamp columns".
//!
//! Decoders to try with arbitrary bytes: [`decode_values`], [`decode_histograms`], [`decode_timestamps`].

mod decimal;
mod histograms;
mod timestamps;
mod values;

pub use histograms::{decode_histograms, encode_histograms};
pub use timestamps::{decode_timestamps, encode_timestamps};
pub use values::{decode_values, encode_values};

/// Most samples of one frame.
pub const FRAME_LEN_MAX: usize = crate::encoding::INTEGERS_MAX;
