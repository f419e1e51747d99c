//! Exposition formats: what a scraped target answers.
//!
//! [`Parser`] walks a body entry by entry: samples with their labels, times and exemplars, and the metadata around
//! them. It borrows everything from the body and allocates only where a text holds escapes. It accepts what
//! Prometheus accepts and refuses what Prometheus refuses; an error names the line and what was expected there.
//!
//! Left to the caller: which labels win, limits, and what a sample without a time gets.

mod cursor;
mod entry;
mod negotiate;
mod number;
mod open_metrics;
mod parser;
mod text;
#[cfg(test)]
mod tests;

pub use entry::{Entry, ExemplarEntry, LabelText, SampleEntry};
pub use negotiate::{EscapingScheme, Format, NegotiateError, ScrapeProtocol, accept_header};
pub use parser::Parser;

/// Why a body cannot be read any further. What came before it was sound.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ExpositionError {
    /// Something else stands where a certain thing must.
    #[error("line {line}: {expected}, got {got:?} while parsing: {text:?}")]
    Syntax {
        /// Line of the body, from 1.
        line: usize,
        /// What should stand there.
        expected: &'static str,
        /// What stands there.
        got: String,
        /// The line so far.
        text: String,
    },
    /// A number, type, unit or text that breaks its own rules.
    #[error("line {line}: {what} while parsing: {text:?}")]
    Content {
        /// Line of the body, from 1.
        line: usize,
        /// Which rule, and what breaks it.
        what: String,
        /// The line so far.
        text: String,
    },
    /// OpenMetrics whose last line is missing: the body was cut off.
    #[error("line {line}: data does not end with # EOF")]
    MissingEof {
        /// Line of the body, from 1.
        line: usize,
    },
    /// OpenMetrics that goes on after its end.
    #[error("line {line}: unexpected data after # EOF")]
    AfterEof {
        /// Line of the body, from 1.
        line: usize,
    },
}
