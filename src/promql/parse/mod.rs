//! Text to a typed tree; every node keeps its place in the text. No storage, no clock.

pub mod ast;
pub mod functions;
mod options;

pub use options::ParserOptions;
