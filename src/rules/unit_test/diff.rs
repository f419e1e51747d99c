//! Two lists of alerts as one coloured JSON text: what is missing red, what is too much green, what differs yellow.
//!
//! Byte for byte the form that upstream's `--diff` has.

use std::collections::BTreeSet;

use crate::model::GoQuoted;

use super::alerts::SeenAlert;
use super::text::Pairs;

const ADDED: &str = "\x1b[0;32m";
const REMOVED: &str = "\x1b[0;31m";
const CHANGED: &str = "\x1b[0;33m";
const INDENT: &str = "    ";

/// The differences of two lists, place by place; `None` where there is none.
pub(super) fn alerts(expected: &[SeenAlert], got: &[SeenAlert]) -> Option<String> {
    let mut diff = Diff::default();
    let count = expected.len().max(got.len());
    diff.open("[", count);
    for index in 0..count {
        match (expected.get(index), got.get(index)) {
            (Some(expected), Some(got)) => diff.alert(expected, got),
            (Some(only), None) => diff.marked(REMOVED, |diff| diff.whole_alert(only)),
            (None, Some(only)) => diff.marked(ADDED, |diff| diff.whole_alert(only)),
            (None, None) => {}
        }
        diff.separate(index + 1 < count);
    }
    diff.text.push(']');
    diff.differs.then_some(diff.text)
}

/// The text so far. A colour is ended before each line's end and begun again after the indent.
#[derive(Default)]
struct Diff {
    text: String,
    level: usize,
    colour: Option<&'static str>,
    differs: bool,
}

impl Diff {
    fn newline(&mut self) {
        if self.colour.is_some() {
            self.text.push_str("\x1b[0m");
        }
        self.text.push('\n');
        self.text.extend(std::iter::repeat_n(INDENT, self.level));
        self.text.extend(self.colour);
    }

    /// Begins a list or an object of `count` items.
    fn open(&mut self, bracket: &str, count: usize) {
        self.text.push_str(bracket);
        if count > 0 {
            self.level += 1;
            self.newline();
        }
    }

    /// Ends an item.
    fn separate(&mut self, has_more: bool) {
        if has_more {
            self.text.push(',');
        } else {
            self.level -= 1;
        }
        self.newline();
    }

    /// Something that only one side has, or that differs.
    fn marked(&mut self, colour: &'static str, write: impl FnOnce(&mut Self)) {
        self.differs = true;
        self.text.push_str(colour);
        self.colour = Some(colour);
        write(self);
        self.text.push_str("\x1b[0m");
        self.colour = None;
    }

    fn alert(&mut self, expected: &SeenAlert, got: &SeenAlert) {
        self.open("{", 2);
        self.text.push_str("\"Annotations\": ");
        self.pairs(&expected.annotations, &got.annotations);
        self.separate(true);
        self.text.push_str("\"Labels\": ");
        self.pairs(&expected.labels, &got.labels);
        self.separate(false);
        self.text.push('}');
    }

    fn whole_alert(&mut self, alert: &SeenAlert) {
        self.open("{", 2);
        self.text.push_str("\"Annotations\": ");
        self.whole_pairs(&alert.annotations);
        self.separate(true);
        self.text.push_str("\"Labels\": ");
        self.whole_pairs(&alert.labels);
        self.separate(false);
        self.text.push('}');
    }

    fn pairs(&mut self, expected: &Pairs, got: &Pairs) {
        let names: BTreeSet<&String> = expected.keys().chain(got.keys()).collect();
        self.open("{", names.len());
        let mut names = names.into_iter().peekable();
        while let Some(name) = names.next() {
            match (expected.get(name), got.get(name)) {
                (Some(expected), Some(got)) if expected == got => self.pair(name, got),
                (Some(expected), Some(got)) => {
                    self.text.push_str(&format!("{}: ", GoQuoted(name)));
                    let change = format!("{} => {}", GoQuoted(expected), GoQuoted(got));
                    self.marked(CHANGED, |diff| diff.text.push_str(&change));
                }
                (Some(only), None) => self.marked(REMOVED, |diff| diff.pair(name, only)),
                (None, Some(only)) => self.marked(ADDED, |diff| diff.pair(name, only)),
                (None, None) => {}
            }
            self.separate(names.peek().is_some());
        }
        self.text.push('}');
    }

    fn whole_pairs(&mut self, pairs: &Pairs) {
        self.open("{", pairs.len());
        let mut pairs = pairs.iter().peekable();
        while let Some((name, value)) = pairs.next() {
            self.pair(name, value);
            self.separate(pairs.peek().is_some());
        }
        self.text.push('}');
    }

    fn pair(&mut self, name: &str, value: &str) {
        self.text.push_str(&format!("{}: {}", GoQuoted(name), GoQuoted(value)));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn alert(labels: &[(&str, &str)]) -> SeenAlert {
        let pairs = labels.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        SeenAlert { labels: pairs.collect(), annotations: Pairs::new() }
    }

    #[test]
    fn differences_are_coloured_within_lines() {
        let expected = [alert(&[("a", "1"), ("b", "2"), ("c", "3")]), alert(&[("d", "4")])];
        let got = [alert(&[("a", "1"), ("b", "x"), ("e", "5")])];
        let shown = [
            "[",
            "    {",
            "        \"Annotations\": {},",
            "        \"Labels\": {",
            "            \"a\": \"1\",",
            "            \"b\": \x1b[0;33m\"2\" => \"x\"\x1b[0m,",
            "            \x1b[0;31m\"c\": \"3\"\x1b[0m,",
            "            \x1b[0;32m\"e\": \"5\"\x1b[0m",
            "        }",
            "    },",
            "    \x1b[0;31m{\x1b[0m",
            "        \x1b[0;31m\"Annotations\": {},\x1b[0m",
            "        \x1b[0;31m\"Labels\": {\x1b[0m",
            "            \x1b[0;31m\"d\": \"4\"\x1b[0m",
            "        \x1b[0;31m}\x1b[0m",
            "    \x1b[0;31m}\x1b[0m",
            "]",
        ];
        assert_eq!(alerts(&expected, &got), Some(shown.join("\n")));
        assert_eq!(alerts(&got, &got), None);
    }
}
