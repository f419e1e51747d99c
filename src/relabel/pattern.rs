//! Anchored patterns and Go's `$name` templates.

use std::fmt;

use regex_automata::meta::Regex;
use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::RelabelError;
use crate::model::{RegexMatcher, anchored_re2};

/// Most memory that a compiled pattern may take, in bytes.
const COMPILED_BYTES_MAX: usize = 10 << 20;

/// A pattern that must match a whole value, with its groups.
#[derive(Clone)]
pub struct RelabelPattern {
    text: String,
    regex: Regex,
}

impl RelabelPattern {
    /// Compiles `text`, anchored at both ends; `.` matches newlines.
    pub fn new(text: &str) -> Result<Self, RelabelError> {
        // The matcher bounds the length and words the error.
        RegexMatcher::new(text).map_err(|error| RelabelError::Pattern(error.to_string()))?;
        let anchored = anchored_re2(text).expect("the matcher read it");
        let regex = Regex::builder()
            .configure(Regex::config().nfa_size_limit(Some(COMPILED_BYTES_MAX)))
            .syntax(regex_automata::util::syntax::Config::new().dot_matches_new_line(true))
            .build(&anchored)
            .map_err(|error| RelabelError::Pattern(error.to_string()))?;
        Ok(Self { text: text.to_owned(), regex })
    }

    /// The pattern as written.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// Whether the whole of `value` matches.
    pub fn is_match(&self, value: &str) -> bool {
        self.regex.is_match(value)
    }

    /// The groups of a match of the whole of `value`.
    pub(super) fn groups<'v>(&self, value: &'v str) -> Option<Groups<'v>> {
        let mut captures = self.regex.create_captures();
        self.regex.captures(value, &mut captures);
        captures.is_match().then_some(Groups::Captured { value, captures })
    }
}

impl fmt::Debug for RelabelPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.text, f)
    }
}

impl PartialEq for RelabelPattern {
    fn eq(&self, other: &Self) -> bool {
        self.text == other.text
    }
}

impl Eq for RelabelPattern {}

impl<'de> Deserialize<'de> for RelabelPattern {
    /// A null is the empty pattern.
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text: Option<String> = Option::deserialize(deserializer)?;
        Self::new(&text.unwrap_or_default()).map_err(D::Error::custom)
    }
}

impl Serialize for RelabelPattern {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.text)
    }
}

/// What a pattern captured.
pub(super) enum Groups<'v> {
    /// By the pattern `(.*)`, which matches everything.
    Whole(&'v str),
    /// By any other pattern.
    Captured {
        /// The value that matched.
        value: &'v str,
        /// Where its groups are.
        captures: regex_automata::util::captures::Captures,
    },
}

impl<'v> Groups<'v> {
    fn by_number(&self, number: usize) -> Option<&'v str> {
        match self {
            Self::Whole(value) => (number <= 1).then_some(value),
            Self::Captured { value, captures } => captures.get_group(number).map(|span| &value[span.range()]),
        }
    }

    fn by_name(&self, name: &str) -> Option<&'v str> {
        match self {
            Self::Whole(_) => None,
            Self::Captured { value, captures } => {
                captures.get_group_by_name(name).map(|span| &value[span.range()])
            }
        }
    }
}

/// Fills a template as Go's `Regexp.Expand` does: `$1`, `$name`, `${name}`, `$$`. The longest name counts
/// (`$1x` is `${1x}`), a group that does not exist is empty, a `$` without a name stays.
pub(super) fn expand(template: &str, groups: &Groups<'_>) -> String {
    let mut filled = String::with_capacity(template.len());
    let mut rest = template;
    while let Some(at) = rest.find('$') {
        filled.push_str(&rest[..at]);
        rest = &rest[at + 1..];
        if let Some(after) = rest.strip_prefix('$') {
            filled.push('$');
            rest = after;
        } else if let Some((name, after)) = take_name(rest) {
            filled.push_str(group_of(name, groups).unwrap_or_default());
            rest = after;
        } else {
            filled.push('$');
        }
    }
    filled.push_str(rest);
    filled
}

fn group_of<'v>(name: &str, groups: &Groups<'v>) -> Option<&'v str> {
    let is_number = name.bytes().all(|c| c.is_ascii_digit()) && (name.len() == 1 || !name.starts_with('0'));
    match name.parse() {
        Ok(number) if is_number => groups.by_number(number),
        _ => groups.by_name(name),
    }
}

/// The name behind a `$`, with or without braces, and what follows it.
fn take_name(rest: &str) -> Option<(&str, &str)> {
    let is_word = |c: char| c.is_alphanumeric() || c == '_';
    let (name_from, braced) = match rest.strip_prefix('{') {
        Some(inside) => (inside, true),
        None => (rest, false),
    };
    let name_len = name_from.find(|c| !is_word(c)).unwrap_or(name_from.len());
    let (name, after) = name_from.split_at(name_len);
    let after = if braced { after.strip_prefix('}')? } else { after };
    (!name.is_empty()).then_some((name, after))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn filled(pattern: &str, value: &str, template: &str) -> Option<String> {
        let pattern = RelabelPattern::new(pattern).expect("pattern is sound");
        pattern.groups(value).map(|groups| expand(template, &groups))
    }

    #[test]
    fn templates_are_filled_as_go_fills_them() {
        for (template, expected) in [
            ("$1", "a"),
            ("${1}x$2", "axb"),
            ("$1x", ""),
            ("${host}:$0", "a:a-b"),
            ("$$1", "$1"),
            ("$", "$"),
            ("$-x", "$-x"),
            ("${1", "${1"),
            ("${}", "${}"),
            ("$9", ""),
            ("$01", ""),
            ("plain", "plain"),
        ] {
            assert_eq!(filled("(?P<host>.)-(.)", "a-b", template).as_deref(), Some(expected), "{template}");
        }
    }

    #[test]
    fn patterns_are_anchored_and_cross_lines() {
        assert_eq!(filled("a", "ab", "$0"), None);
        assert_eq!(filled("a|ab", "ab", "$0").as_deref(), Some("ab"));
        assert_eq!(filled("a.*", "a\nb", "$0").as_deref(), Some("a\nb"));
        assert!(RelabelPattern::new("(").is_err());
    }
}
