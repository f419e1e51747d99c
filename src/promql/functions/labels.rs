//! What functions do with label values: natural order, and replacements of a regular expression.

use std::cmp::Ordering;

use crate::model::anchored_re2;
use regex_automata::meta::Regex;
use regex_automata::util::{captures::Captures, interpolate};

/// Order of texts in which runs of digits count as numbers: `a2` before `a10`.
pub(crate) fn natural_order(a: &str, b: &str) -> Ordering {
    let (mut left, mut right) = (runs(a), runs(b));
    loop {
        match (left.next(), right.next()) {
            (None, None) => return Ordering::Equal,
            (None, Some(_)) => return Ordering::Less,
            (Some(_), None) => return Ordering::Greater,
            (Some(a), Some(b)) => {
                let order = match (a.parse::<i64>(), b.parse::<i64>()) {
                    (Ok(a), Ok(b)) => a.cmp(&b),
                    _ => a.cmp(b),
                };
                if order.is_ne() {
                    return order;
                }
            }
        }
    }
}

/// Runs of digits and of other characters.
fn runs(text: &str) -> impl Iterator<Item = &str> {
    let mut rest = text;
    std::iter::from_fn(move || {
        let digit = rest.chars().next()?.is_ascii_digit();
        let len = rest.find(|c: char| c.is_ascii_digit() != digit).unwrap_or(rest.len());
        let (run, after) = rest.split_at(len);
        rest = after;
        Some(run)
    })
}

/// A regular expression that must match a whole value, and what stands for it then.
pub(crate) struct Replacement {
    regex: Regex,
    captures: Captures,
    template: String,
}

impl Replacement {
    /// `None` where `pattern` is no regular expression. `$1`, `${1}` and `${name}` in `template` are groups.
    pub(crate) fn new(pattern: &str, template: &str) -> Option<Self> {
        let syntax = regex_automata::util::syntax::Config::new().dot_matches_new_line(true);
        let config = Regex::config().nfa_size_limit(Some(10 << 20));
        let regex =
            Regex::builder().configure(config).syntax(syntax).build(&anchored_re2(pattern).ok()?).ok()?;
        let captures = regex.create_captures();
        Some(Self { regex, captures, template: template.to_owned() })
    }

    /// What stands for `value`; `None` where it does not match.
    pub(crate) fn replace(&mut self, value: &str) -> Option<String> {
        self.regex.captures(value, &mut self.captures);
        if !self.captures.is_match() {
            return None;
        }
        let mut text = String::new();
        interpolate::string(
            &self.template,
            |group, out| {
                if let Some(span) = self.captures.get_group(group) {
                    out.push_str(&value[span]);
                }
            },
            |name| self.regex.group_info().to_index(regex_automata::PatternID::ZERO, name),
            &mut text,
        );
        Some(text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digits_count_as_numbers() {
        assert_eq!(natural_order("cpu2", "cpu10"), Ordering::Less);
        assert_eq!(natural_order("a", "b"), Ordering::Less);
        assert_eq!(natural_order("4m600", "4m1000"), Ordering::Less);
        assert_eq!(natural_order("a1", "a1b"), Ordering::Less);
        assert_eq!(natural_order("x", "x"), Ordering::Equal);
    }

    #[test]
    fn groups_are_put_in() {
        let mut replacement =
            Replacement::new("(?P<name>.*)-(\\d+)", "$2:${name}$$").expect("pattern is sound");
        assert_eq!(replacement.replace("node-12").as_deref(), Some("12:node$"));
        assert_eq!(replacement.replace("node"), None);
        assert!(Replacement::new("(", "").is_none());
    }
}
