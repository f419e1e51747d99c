//! Matchers: one test on one label.

use std::fmt;

use regex_automata::meta::Regex;

use super::labels::is_legacy_label_name;
use super::quote::GoQuoted;
use super::re2::anchored_re2;
use super::{Label, Labels};

/// Longest regular expression that is compiled, in bytes.
const REGEX_BYTES_MAX: usize = 1 << 20;
/// Most memory that a compiled regular expression may take, in bytes.
const REGEX_COMPILED_BYTES_MAX: usize = 10 << 20;

/// How a matcher compares.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum MatchOp {
    /// `=`
    Equal,
    /// `!=`
    NotEqual,
    /// `=~`
    Regex,
    /// `!~`
    NotRegex,
}

impl MatchOp {
    /// The operator as written in a selector.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Equal => "=",
            Self::NotEqual => "!=",
            Self::Regex => "=~",
            Self::NotRegex => "!~",
        }
    }
}

/// Why a matcher cannot be made.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum MatcherError {
    /// The pattern is not a regular expression, or too large once compiled.
    #[error("error parsing regexp: {0}")]
    Regex(String),
}

/// A regular expression that must match a whole value; RE2 syntax, `.` matches newlines, linear time.
#[derive(Clone, Debug)]
pub struct RegexMatcher {
    pattern: String,
    regex: Regex,
}

impl RegexMatcher {
    /// Compiles `pattern`, anchored at both ends.
    pub fn new(pattern: &str) -> Result<Self, MatcherError> {
        if pattern.len() > REGEX_BYTES_MAX {
            return Err(MatcherError::Regex(format!("pattern of {} bytes is too long", pattern.len())));
        }
        let anchored = anchored_re2(pattern).map_err(|error| MatcherError::Regex(error.to_string()))?;
        let regex = Regex::builder()
            .configure(Regex::config().nfa_size_limit(Some(REGEX_COMPILED_BYTES_MAX)))
            .syntax(regex_automata::util::syntax::Config::new().dot_matches_new_line(true))
            .build(&anchored)
            .map_err(|error| MatcherError::Regex(describe(&error)))?;
        Ok(Self { pattern: pattern.to_owned(), regex })
    }

    /// The pattern as written, without the anchors.
    pub fn pattern(&self) -> &str {
        &self.pattern
    }

    /// Whether the whole of `value` matches.
    pub fn is_match(&self, value: &str) -> bool {
        self.regex.is_match(value)
    }
}

/// One line that says what is wrong with a pattern.
fn describe(error: &regex_automata::meta::BuildError) -> String {
    match error.syntax_error() {
        Some(syntax) => {
            let text = syntax.to_string();
            let last = text.lines().last().unwrap_or_default();
            last.strip_prefix("error: ").unwrap_or(last).to_owned()
        }
        None => error.to_string(),
    }
}

/// One test on one label; a missing label has the empty value.
#[derive(Clone, Debug)]
pub struct Matcher {
    /// Name of the label.
    pub name: String,
    /// How it compares.
    pub op: MatchOp,
    /// What it compares with: a value, or a pattern.
    pub value: String,
    regex: Option<RegexMatcher>,
}

impl Matcher {
    /// A matcher; compiles the pattern of `=~` and `!~`.
    pub fn new(name: &str, op: MatchOp, value: &str) -> Result<Self, MatcherError> {
        let regex = match op {
            MatchOp::Regex | MatchOp::NotRegex => Some(RegexMatcher::new(value)?),
            MatchOp::Equal | MatchOp::NotEqual => None,
        };
        Ok(Self { name: name.to_owned(), op, value: value.to_owned(), regex })
    }

    /// `name="value"`.
    pub fn equal(name: &str, value: &str) -> Self {
        Self { name: name.to_owned(), op: MatchOp::Equal, value: value.to_owned(), regex: None }
    }

    /// Whether `value` passes.
    pub fn matches(&self, value: &str) -> bool {
        match (self.op, &self.regex) {
            (MatchOp::Equal, _) => self.value == value,
            (MatchOp::NotEqual, _) => self.value != value,
            (MatchOp::Regex, regex) => regex.as_ref().is_some_and(|r| r.is_match(value)),
            (MatchOp::NotRegex, regex) => regex.as_ref().is_some_and(|r| !r.is_match(value)),
        }
    }

    /// Whether a series without this label passes.
    pub fn matches_empty(&self) -> bool {
        self.matches("")
    }

    /// Whether `labels` pass.
    pub fn matches_labels(&self, labels: &Labels) -> bool {
        self.matches(labels.get(&self.name).unwrap_or(""))
    }

    /// The compiled pattern of `=~` and `!~`.
    pub fn regex(&self) -> Option<&RegexMatcher> {
        self.regex.as_ref()
    }

    /// The label that `=` asks for.
    pub fn as_label(&self) -> Option<Label<'_>> {
        (self.op == MatchOp::Equal).then_some(Label { name: &self.name, value: &self.value })
    }
}

impl PartialEq for Matcher {
    fn eq(&self, other: &Self) -> bool {
        (&self.name, self.op, &self.value) == (&other.name, other.op, &other.value)
    }
}

impl Eq for Matcher {}

/// As written in a selector: `job=~"a.*"`.
impl fmt::Display for Matcher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if is_legacy_label_name(&self.name) {
            f.write_str(&self.name)?;
        } else {
            write!(f, "{}", GoQuoted(&self.name))?;
        }
        write!(f, "{}{}", self.op.as_str(), GoQuoted(&self.value))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_match_whole_values() {
        let matcher = Matcher::new("job", MatchOp::Regex, "a|b.*").expect("pattern is sound");
        assert!(matcher.matches("a") && matcher.matches("bcd\ne"));
        assert!(!matcher.matches("ab") && !matcher.matches_empty());
        assert_eq!(matcher.to_string(), r#"job=~"a|b.*""#);
        assert!(Matcher::new("job", MatchOp::NotRegex, ".*").is_ok_and(|m| !m.matches_empty()));
    }

    #[test]
    fn broken_patterns_are_errors() {
        assert!(Matcher::new("job", MatchOp::Regex, "a(").is_err());
        assert!(Matcher::new("job", MatchOp::Regex, "((a{1000}){1000}){1000}").is_err());
    }
}
