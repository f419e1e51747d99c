//! What is wrong with parts of a request, in words, and never more of them than an answer should hold.

use std::fmt;

use crate::model::{GoQuoted, Label, is_legacy_label_name};

/// Most problems that are told; the others are only counted.
const MESSAGES_MAX: usize = 100;
/// Longest message, in bytes; label sets can be megabytes.
const MESSAGE_BYTES_MAX: usize = 2_000;
/// Longest name or value in a message, in bytes.
const TEXT_BYTES_MAX: usize = 200;

/// Messages for the sender or the log.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Problems {
    messages: Vec<String>,
    omitted: usize,
}

impl Problems {
    /// Adds a message; it is made only where there is room for it.
    pub fn push(&mut self, message: impl FnOnce() -> String) {
        if self.messages.len() >= MESSAGES_MAX {
            self.omitted += 1;
            return;
        }
        let mut message = message();
        if message.len() > MESSAGE_BYTES_MAX {
            let end = (0..=MESSAGE_BYTES_MAX).rev().find(|&at| message.is_char_boundary(at)).unwrap_or(0);
            message.truncate(end);
            message.push_str("...");
        }
        self.messages.push(message);
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.messages.is_empty()
    }

    /// How many there are, told or not.
    pub fn len(&self) -> usize {
        self.messages.len() + self.omitted
    }

    /// The ones that are told.
    pub fn iter(&self) -> impl Iterator<Item = &str> {
        self.messages.iter().map(String::as_str)
    }
}

/// One a line, and how many more there are.
impl fmt::Display for Problems {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.messages.join("\n"))?;
        if self.omitted > 0 {
            write!(f, "\nand {} more", self.omitted)?;
        }
        Ok(())
    }
}

/// Labels that may be no set, as upstream prints a set; cut off where they are very many.
pub(super) struct Shown<'a>(pub(super) &'a [Label<'a>]);

impl fmt::Display for Shown<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("{")?;
        for (index, label) in self.0.iter().take(MESSAGES_MAX).enumerate() {
            if index > 0 {
                f.write_str(", ")?;
            }
            let value = GoQuoted(shortened(label.value));
            if is_legacy_label_name(label.name) {
                write!(f, "{}={value}", shortened(label.name))?;
            } else {
                write!(f, "{}={value}", GoQuoted(shortened(label.name)))?;
            }
        }
        f.write_str("}")
    }
}

fn shortened(text: &str) -> &str {
    let end = (0..=text.len().min(TEXT_BYTES_MAX)).rev().find(|&at| text.is_char_boundary(at));
    &text[..end.unwrap_or(0)]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn many_and_long_problems_stay_short() {
        let mut problems = Problems::default();
        assert!(problems.is_empty());
        problems.push(|| "é".repeat(5_000));
        for number in 1..=150 {
            problems.push(|| format!("problem {number}"));
        }
        assert_eq!(problems.len(), 151);
        let text = problems.to_string();
        assert!(text.len() < 5_000, "{}", text.len());
        assert!(text.contains("...\nproblem 1\n") && text.ends_with("problem 99\nand 51 more"), "{text}");
    }

    #[test]
    fn label_lists_print_as_sets_do() {
        let labels = [
            Label { name: "a.b", value: "x\"y" },
            Label { name: "a", value: "1" },
            Label { name: "a", value: "" },
        ];
        assert_eq!(Shown(&labels).to_string(), r#"{"a.b"="x\"y", a="1", a=""}"#);
    }
}
