//! What a script expects of a query.

use regex_automata::meta::Regex;

use crate::model::{Labels, Timestamp};
use crate::promql::parse::SequenceValue;

/// Everything that stands under an `eval`.
#[derive(Debug, Default)]
pub(super) struct Expectations {
    /// The query must fail, and its message match.
    pub(super) fail: Option<Pattern>,
    /// The order of the result counts.
    pub(super) ordered: bool,
    pub(super) warnings: NoteExpectations,
    pub(super) infos: NoteExpectations,
    pub(super) result: ExpectedResult,
    /// Times of the range vector that an instant query answers.
    pub(super) range_vector: Option<Grid>,
    /// The text that the query answers.
    pub(super) string: Option<Vec<u8>>,
}

/// What is expected of one kind of annotations.
#[derive(Debug, Default)]
pub(super) struct NoteExpectations {
    /// Each must match one, and each one must match some of these.
    pub(super) patterns: Vec<Pattern>,
    /// There may be none.
    pub(super) none: bool,
    /// There must be some, whatever they say.
    pub(super) some: bool,
}

/// Steps of a range, both ends included.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Grid {
    pub(super) start: Timestamp,
    pub(super) end: Timestamp,
    pub(super) step_ms: i64,
}

/// A test on a message.
#[derive(Debug)]
pub(super) enum Pattern {
    Any,
    Exact(String),
    Regex(Box<Regex>),
}

impl Pattern {
    pub(super) fn regex(pattern: &str) -> Result<Self, String> {
        Regex::new(pattern)
            .map(|regex| Self::Regex(Box::new(regex)))
            .map_err(|_| format!("invalid regex {pattern}"))
    }

    fn matches(&self, message: &str) -> bool {
        match self {
            Self::Any => true,
            Self::Exact(text) => text == message,
            Self::Regex(regex) => regex.is_match(message),
        }
    }
}

/// The values.
#[derive(Debug)]
pub(super) enum ExpectedResult {
    Scalar(f64),
    Series(Vec<ExpectedSeries>),
}

impl Default for ExpectedResult {
    fn default() -> Self {
        Self::Series(Vec::new())
    }
}

/// One line of a result.
#[derive(Debug)]
pub(super) struct ExpectedSeries {
    pub(super) labels: Labels,
    pub(super) values: Vec<SequenceValue>,
    /// Place among the result lines, from 1.
    pub(super) ordinal: usize,
}

impl ExpectedResult {
    /// Adds a line; one with the same labels replaces the earlier one, and series replace a scalar.
    pub(super) fn add(&mut self, series: ExpectedSeries) {
        match self {
            Self::Series(list) => match list.iter_mut().find(|known| known.labels == series.labels) {
                Some(known) => *known = series,
                None => list.push(series),
            },
            Self::Scalar(_) => *self = Self::Series(vec![series]),
        }
    }
}

impl Expectations {
    /// Whether a failed query failed as it should.
    pub(super) fn check_failure(&self, query: &str, error: &str) -> Result<(), String> {
        match &self.fail {
            None => Err(format!("error evaluating query {query:?}: {error}")),
            Some(pattern) if pattern.matches(error) => Ok(()),
            Some(Pattern::Exact(text)) => Err(format!("expected error {text:?}, but got: {error}")),
            Some(_) => Err(format!("expected another error evaluating {query:?}, but got: {error}")),
        }
    }

    /// Whether the annotations are those expected.
    pub(super) fn check_notes(
        &self,
        query: &str,
        warnings: &[String],
        infos: &[String],
    ) -> Result<(), String> {
        self.warnings.check(query, "warn", warnings)?;
        self.infos.check(query, "info", infos)
    }
}

impl NoteExpectations {
    fn check(&self, query: &str, kind: &str, found: &[String]) -> Result<(), String> {
        if self.none && !found.is_empty() {
            return Err(format!("unexpected {kind} annotations evaluating query {query:?}: {found:?}"));
        }
        if (self.some || !self.patterns.is_empty()) && found.is_empty() {
            return Err(format!("expected {kind} annotations but none were found for query {query:?}"));
        }
        if self.patterns.is_empty() {
            return Ok(());
        }
        if let Some(pattern) = self.patterns.iter().find(|p| !found.iter().any(|note| p.matches(note))) {
            let pattern = match pattern {
                Pattern::Exact(text) => text.clone(),
                Pattern::Regex(_) | Pattern::Any => "a pattern".to_owned(),
            };
            return Err(format!(
                "expected {kind} annotation {pattern:?} for query {query:?}, found: {found:?}"
            ));
        }
        match found.iter().find(|note| !self.patterns.iter().any(|p| p.matches(note))) {
            Some(note) => Err(format!("unexpected {kind} annotation {note:?} found for query {query:?}")),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn notes_and_patterns_must_cover_each_other() {
        let notes = |texts: &[&str]| texts.iter().map(|t| (*t).to_owned()).collect::<Vec<_>>();
        let expected = NoteExpectations {
            patterns: vec![Pattern::Exact("a".into()), Pattern::regex("^b.$").expect("the pattern is sound")],
            ..NoteExpectations::default()
        };
        assert!(expected.check("q", "warn", &notes(&["a", "bc"])).is_ok());
        assert!(expected.check("q", "warn", &notes(&["a"])).is_err());
        assert!(expected.check("q", "warn", &notes(&["a", "bc", "d"])).is_err());
        assert!(expected.check("q", "warn", &[]).is_err());
        let none = NoteExpectations { none: true, ..NoteExpectations::default() };
        assert!(none.check("q", "warn", &[]).is_ok() && none.check("q", "warn", &notes(&["a"])).is_err());
        assert!(NoteExpectations::default().check("q", "info", &notes(&["a"])).is_ok());
    }

    #[test]
    fn failures_must_match() {
        let expected = Expectations { fail: Some(Pattern::Exact("boom".into())), ..Expectations::default() };
        assert!(expected.check_failure("q", "boom").is_ok());
        assert!(expected.check_failure("q", "other").is_err());
        assert!(Expectations::default().check_failure("q", "boom").is_err());
    }
}
