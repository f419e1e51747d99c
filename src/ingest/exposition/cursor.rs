//! A place in a body, and the few moves that both grammars are made of.

use super::ExpositionError;

/// Longest piece of a body that an error repeats.
const QUOTED_BYTES_MAX: usize = 100;

/// A part of the body, by its bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Part {
    pub(super) start: usize,
    pub(super) end: usize,
}

impl Part {
    pub(super) fn of(self, body: &[u8]) -> &[u8] {
        &body[self.start..self.end]
    }
}

#[derive(Clone, Debug)]
pub(super) struct Cursor<'a> {
    pub(super) body: &'a [u8],
    pub(super) at: usize,
    /// Where the entry under way begins, for errors.
    pub(super) entry: usize,
}

impl<'a> Cursor<'a> {
    pub(super) fn new(body: &'a [u8]) -> Self {
        Self { body, at: 0, entry: 0 }
    }

    pub(super) fn peek(&self) -> Option<u8> {
        self.body.get(self.at).copied()
    }

    /// Steps over `wanted` if it stands here.
    pub(super) fn eat(&mut self, wanted: u8) -> bool {
        let here = self.peek() == Some(wanted);
        self.at += usize::from(here);
        here
    }

    /// Steps over all of `wanted` if it stands here.
    pub(super) fn eat_all(&mut self, wanted: &[u8]) -> bool {
        let here = self.body[self.at..].starts_with(wanted);
        if here {
            self.at += wanted.len();
        }
        here
    }

    pub(super) fn take_while(&mut self, wanted: impl Fn(u8) -> bool) -> Part {
        let start = self.at;
        let rest = &self.body[start..];
        self.at += rest.iter().position(|&c| !wanted(c)).unwrap_or(rest.len());
        Part { start, end: self.at }
    }

    pub(super) fn skip_blanks(&mut self) {
        self.take_while(|c| c == b' ' || c == b'\t');
    }

    /// A name: `first` holds for its first byte, and `first` or a digit for the others.
    pub(super) fn name(&mut self, first: impl Fn(u8) -> bool) -> Option<Part> {
        if !self.peek().is_some_and(&first) {
            return None;
        }
        Some(self.take_while(|c| first(c) || c.is_ascii_digit()))
    }

    /// What stands between two double quotes; escapes stay as they are. `None`, and no move, where there is no
    /// closing quote (before the end of the line, unless lines may be crossed).
    pub(super) fn quoted(&mut self, may_cross_lines: bool) -> Option<Part> {
        if self.peek() != Some(b'"') {
            return None;
        }
        let start = self.at + 1;
        let mut at = start;
        loop {
            match *self.body.get(at)? {
                b'"' => break,
                b'\\' => at += 2,
                b'\n' if !may_cross_lines => return None,
                _ => at += 1,
            }
        }
        self.at = at + 1;
        Some(Part { start, end: at })
    }

    /// The rest of the line, without its end; the cursor stays before the end.
    pub(super) fn rest_of_line(&mut self) -> Part {
        self.take_while(|c| c != b'\n')
    }

    /// Line of the current place, from 1.
    pub(super) fn line(&self) -> usize {
        let before = &self.body[..self.at.min(self.body.len())];
        before.iter().filter(|&&c| c == b'\n').count() + 1
    }

    pub(super) fn expected(&self, expected: &'static str) -> ExpositionError {
        let rest = &self.body[self.at.min(self.body.len())..];
        let len = rest.iter().position(|c| b" \t\n".contains(c)).unwrap_or(rest.len()).max(1);
        ExpositionError::Syntax {
            line: self.line(),
            expected,
            got: shown(&rest[..len.min(rest.len())]),
            text: self.so_far(),
        }
    }

    pub(super) fn content(&self, what: String) -> ExpositionError {
        ExpositionError::Content { line: self.line(), what, text: self.so_far() }
    }

    fn so_far(&self) -> String {
        shown(&self.body[self.entry.min(self.at)..self.at.min(self.body.len())])
    }
}

/// The beginning of `bytes` as text, with replacement characters where it is not UTF-8.
pub(super) fn shown(bytes: &[u8]) -> String {
    String::from_utf8_lossy(&bytes[..bytes.len().min(QUOTED_BYTES_MAX)]).into_owned()
}
