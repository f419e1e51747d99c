//! What is wrong with a query's text.

use super::ast::PosRange;

/// Why a text is not what it should be. The message is upstream's, except for our own bounds on length and depth.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{}: parse error: {message}", place(*.line_column))]
pub struct ParseError {
    /// The bytes in question.
    pub pos: PosRange,
    /// What is wrong with them.
    pub message: String,
    /// Line and column of the first byte, from 1; `None` in an empty text.
    pub line_column: Option<(usize, usize)>,
}

fn place(line_column: Option<(usize, usize)>) -> String {
    line_column.map_or_else(|| "unknown position".to_owned(), |(line, column)| format!("{line}:{column}"))
}

/// An error before the text it speaks of is attached.
#[derive(Clone, Debug)]
pub(super) struct Fault {
    pub(super) pos: PosRange,
    pub(super) message: String,
}

pub(super) type Parsing<T> = Result<T, Fault>;

impl Fault {
    pub(super) fn new<T>(pos: PosRange, message: impl Into<String>) -> Parsing<T> {
        Err(Self { pos, message: message.into() })
    }

    pub(super) fn within(self, text: &str) -> ParseError {
        let line_column = (!text.is_empty()).then(|| self.pos.line_column(text));
        ParseError { pos: self.pos, message: self.message, line_column }
    }
}

impl PosRange {
    /// Line and column of the first byte in `text`, both from 1; columns count bytes, as upstream's do.
    pub fn line_column(self, text: &str) -> (usize, usize) {
        let before = &text.as_bytes()[..self.start.min(text.len())];
        let line = 1 + before.iter().filter(|byte| **byte == b'\n').count();
        let column = before.len() - before.iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at + 1);
        (line, column + 1)
    }

    /// From the start of `self` to the end of `last`.
    pub(super) const fn through(self, last: Self) -> Self {
        Self { start: self.start, end: last.end }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_counted_from_one() {
        let at = |start| PosRange { start, end: start };
        assert_eq!(at(0).line_column("a\nbc"), (1, 1));
        assert_eq!(at(3).line_column("a\nbc"), (2, 2));
        assert_eq!(at(4).line_column("a\nbc"), (2, 3));
        let fault = Fault { pos: at(3), message: "odd".to_owned() };
        assert_eq!(fault.clone().within("a\nbc").to_string(), "2:2: parse error: odd");
        assert_eq!(fault.within("").to_string(), "unknown position: parse error: odd");
    }
}
