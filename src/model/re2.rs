//! RE2's syntax of regular expressions, as Go reads it, rewritten for the engine that runs them here.
//!
//! The two agree on most patterns. Where they do not, what is written here counts: `{` that begins no repetition is
//! itself (`/api/{id}`), `\d`, `\w`, `\s` and `\b` are ASCII, sets know no operators (`[a&&b]`, `[[]`), `\Q...\E` and
//! octal escapes are read, `a**` and `a{1001}` are refused. Refusals have Go's words.

use std::str::Chars;

/// Most repetitions that a pattern may ask for.
const REPETITIONS_MAX: u32 = 1_000;

/// Why a text is no pattern, in Go's words.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{rule}: `{part}`")]
pub struct Re2Error {
    rule: &'static str,
    part: String,
}

fn refused<T>(rule: &'static str, part: &str) -> Result<T, Re2Error> {
    Err(Re2Error { rule, part: part.to_owned() })
}

/// The same pattern for the engine that runs here.
///
/// Reads the pattern once. What it lets through may still be refused by the engine: names of Unicode classes are not
/// looked at, nor is the size.
pub fn translate_re2(pattern: &str) -> Result<String, Re2Error> {
    let mut translator =
        Translator { rest: pattern, out: String::with_capacity(pattern.len() + 8), last: Last::None };
    let mut depth = 0_usize;
    while let Some(c) = translator.rest.chars().next() {
        match c {
            '(' => {
                depth += 1;
                translator.group(&mut depth)?;
            }
            ')' if depth == 0 => return refused("unexpected )", pattern),
            ')' => {
                depth -= 1;
                translator.copy(c, Last::Atom);
            }
            '|' => translator.copy(c, Last::None),
            '*' | '+' | '?' => translator.repeat(1)?,
            '{' => translator.brace()?,
            '[' => translator.set()?,
            '\\' => translator.escape()?,
            '.' | '^' | '$' => translator.copy(c, Last::Atom),
            _ => translator.literal(c),
        }
    }
    if depth > 0 { refused("missing closing )", pattern) } else { Ok(translator.out) }
}

/// As [`translate_re2`], for a pattern that must match whole texts.
pub fn anchored_re2(pattern: &str) -> Result<String, Re2Error> {
    translate_re2(pattern).map(|translated| format!("^(?:{translated})$"))
}

/// What stands before the place that is read.
#[derive(Clone, Copy, Debug)]
enum Last<'a> {
    /// Nothing that could be repeated.
    None,
    /// Something that can.
    Atom,
    /// A repetition; the pattern from there on.
    Repetition(&'a str),
}

struct Translator<'a> {
    rest: &'a str,
    out: String,
    last: Last<'a>,
}

impl<'a> Translator<'a> {
    fn skip(&mut self, bytes: usize) {
        self.rest = &self.rest[bytes..];
    }

    /// What was read since the rest was `from`.
    fn since(&self, from: &'a str) -> &'a str {
        &from[..from.len() - self.rest.len()]
    }

    fn copy(&mut self, c: char, last: Last<'a>) {
        self.out.push(c);
        self.skip(c.len_utf8());
        self.last = last;
    }

    fn literal(&mut self, c: char) {
        push_literal(&mut self.out, c);
        self.skip(c.len_utf8());
        self.last = Last::Atom;
    }

    /// A group's beginning, with its flags or its name.
    fn group(&mut self, depth: &mut usize) -> Result<(), Re2Error> {
        let from = self.rest;
        if !from.starts_with("(?") {
            self.copy('(', Last::None);
            return Ok(());
        }
        let named = ["(?P<", "(?<"].into_iter().find(|head| from.starts_with(head));
        if let Some(head) = named {
            let Some(end) = from.find('>') else { return refused("invalid named capture", from) };
            let name = &from[head.len()..end];
            if name.is_empty() || !name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_') {
                return refused("invalid named capture", &from[..=end]);
            }
            self.out.push_str(&from[..=end]);
            self.skip(end + 1);
            self.last = Last::None;
            return Ok(());
        }
        let flags = from[2..].trim_start_matches(['i', 'm', 's', 'U', '-']);
        let Some(end) = flags.chars().next() else {
            return refused("invalid or unsupported Perl syntax", from);
        };
        self.skip(from.len() - flags.len() + end.len_utf8());
        match end {
            // Flags for what follows; no group.
            ')' => *depth -= 1,
            ':' => {}
            _ => return refused("invalid or unsupported Perl syntax", self.since(from)),
        }
        self.out.push_str(self.since(from));
        self.last = Last::None;
        Ok(())
    }

    /// A repetition whose operator has `len` bytes, and the `?` that makes it lazy.
    fn repeat(&mut self, len: usize) -> Result<(), Re2Error> {
        let from = self.rest;
        self.skip(len);
        if self.rest.starts_with('?') {
            self.skip(1);
        }
        match self.last {
            Last::None => return refused("missing argument to repetition operator", self.since(from)),
            Last::Repetition(before) => {
                return refused("invalid nested repetition operator", self.since(before));
            }
            Last::Atom => {}
        }
        self.out.push_str(self.since(from));
        self.last = Last::Repetition(from);
        Ok(())
    }

    /// `{2}`, `{2,}` and `{2,3}` repeat; any other brace is itself.
    fn brace(&mut self) -> Result<(), Re2Error> {
        let Some((len, least, most)) = repetition(self.rest) else {
            self.literal('{');
            return Ok(());
        };
        let is_too_much = least > REPETITIONS_MAX || most.is_some_and(|most| most > REPETITIONS_MAX);
        if is_too_much || most.is_some_and(|most| most < least) {
            return refused("invalid repeat count", &self.rest[..len]);
        }
        self.repeat(len)
    }

    fn escape(&mut self) -> Result<(), Re2Error> {
        let mut chars = self.rest[1..].chars();
        match chars.next() {
            Some('Q') => {
                let (quoted, after) = self.rest[2..].split_once("\\E").unwrap_or((&self.rest[2..], ""));
                for c in quoted.chars() {
                    push_literal(&mut self.out, c);
                    self.last = Last::Atom;
                }
                self.rest = after;
            }
            Some('b') => self.instead(2, "(?-u:\\b)"),
            Some('B') => self.instead(2, "\\B"),
            Some('A') => self.instead(2, "\\A"),
            Some('z') => self.instead(2, "\\z"),
            Some('p' | 'P') => self.unicode_class()?,
            Some(class) if perl_class(class).is_some() => {
                let members = perl_class(class).expect("it was asked for");
                let negation = if class.is_ascii_uppercase() { "^" } else { "" };
                self.instead(2, &format!("[{negation}{members}]"));
            }
            _ => {
                let (c, rest) = escaped(self.rest)?;
                push_literal(&mut self.out, c);
                self.rest = rest;
                self.last = Last::Atom;
            }
        }
        Ok(())
    }

    fn instead(&mut self, len: usize, text: &str) {
        self.out.push_str(text);
        self.skip(len);
        self.last = Last::Atom;
    }

    /// `\pL`, `\p{Greek}`, `\P{Greek}`, `\p{^Greek}`.
    fn unicode_class(&mut self) -> Result<(), Re2Error> {
        let from = self.rest;
        let len = match from[2..].chars().next() {
            Some('{') => from.find('}').map(|end| end + 1),
            Some(c) => Some(2 + c.len_utf8()),
            None => None,
        };
        let Some(len) = len else { return refused("invalid character class range", from) };
        match from[..len].strip_prefix("\\p{^").or_else(|| from[..len].strip_prefix("\\P{^")) {
            Some(name) => {
                let letter = if from.starts_with("\\p") { 'P' } else { 'p' };
                self.instead(len, &format!("\\{letter}{{{name}"));
            }
            None => self.instead(len, &from[..len]),
        }
        Ok(())
    }

    /// `[...]`: ranges, classes and characters; nothing else in it means anything.
    fn set(&mut self) -> Result<(), Re2Error> {
        let from = self.rest;
        self.copy('[', Last::Atom);
        if self.rest.starts_with('^') {
            self.copy('^', Last::Atom);
        }
        let mut is_first = true;
        loop {
            if self.rest.starts_with(']') && !is_first {
                self.copy(']', Last::Atom);
                return Ok(());
            }
            is_first = false;
            self.member(from)?;
        }
    }

    /// One class, character or range of a set that began at `set`.
    fn member(&mut self, set: &'a str) -> Result<(), Re2Error> {
        if let Some(end) = self.rest.strip_prefix("[:").and_then(|rest| rest.find(":]")) {
            let (class, name) = (&self.rest[..end + 4], &self.rest[2..end + 2]);
            if !POSIX_CLASSES.contains(&name.trim_start_matches('^')) {
                return refused("invalid character class range", class);
            }
            self.instead(class.len(), class);
            return Ok(());
        }
        let mut chars = self.rest.chars();
        match (chars.next(), chars.next()) {
            (Some('\\'), Some('p' | 'P')) => return self.unicode_class(),
            (Some('\\'), Some(class)) if perl_class(class).is_some() => {
                let members = perl_class(class).expect("it was asked for");
                match class.is_ascii_uppercase() {
                    true => self.instead(2, &format!("[^{members}]")),
                    false => self.instead(2, members),
                }
                return Ok(());
            }
            _ => {}
        }
        let from = self.rest;
        let low = self.set_char(set)?;
        let mut high = low;
        let mut ahead = self.rest.chars();
        if let (Some('-'), Some(end)) = (ahead.next(), ahead.next())
            && end != ']'
        {
            self.skip(1);
            high = self.set_char(set)?;
            if high < low {
                return refused("invalid character class range", self.since(from));
            }
        }
        push_literal(&mut self.out, low);
        if high != low {
            self.out.push('-');
            push_literal(&mut self.out, high);
        }
        Ok(())
    }

    /// One character of a set that began at `set`.
    fn set_char(&mut self, set: &'a str) -> Result<char, Re2Error> {
        let Some(c) = self.rest.chars().next() else { return refused("missing closing ]", set) };
        if c == '\\' {
            let (c, rest) = escaped(self.rest)?;
            self.rest = rest;
            return Ok(c);
        }
        self.skip(c.len_utf8());
        Ok(c)
    }
}

const POSIX_CLASSES: [&str; 14] = [
    "alnum", "alpha", "ascii", "blank", "cntrl", "digit", "graph", "lower", "print", "punct", "space",
    "upper", "word", "xdigit",
];

/// Members of `\d`, `\w` and `\s`, and of what their capitals leave out.
fn perl_class(letter: char) -> Option<&'static str> {
    match letter.to_ascii_lowercase() {
        'd' => Some("0-9"),
        'w' => Some("0-9A-Za-z_"),
        's' => Some("\\t\\n\\f\\r "),
        _ => None,
    }
}

/// Bytes, least and most of a repetition in braces; `None` where it is none.
fn repetition(text: &str) -> Option<(usize, u32, Option<u32>)> {
    let end = text.find('}')?;
    let inside = &text[1..end];
    let (least, most) = match inside.split_once(',') {
        None => (count(inside)?, Some(count(inside)?)),
        Some((least, "")) => (count(least)?, None),
        Some((least, most)) => (count(least)?, Some(count(most)?)),
    };
    Some((end + 1, least, most))
}

/// Digits without a zero before them; what is too large is shown as that.
fn count(digits: &str) -> Option<u32> {
    let is_plain = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
    if !is_plain || (digits.len() > 1 && digits.starts_with('0')) {
        return None;
    }
    Some(digits.parse().unwrap_or(u32::MAX))
}

/// The character that an escape at the start of `text` stands for, and what follows it.
fn escaped(text: &str) -> Result<(char, &str), Re2Error> {
    let mut chars = text[1..].chars();
    let invalid = |chars: &Chars<'_>| {
        let read = text.len() - chars.as_str().len();
        refused("invalid escape sequence", &text[..read])
    };
    let Some(c) = chars.next() else { return refused("trailing backslash at end of expression", "") };
    let is_octal = |c: &char| ('0'..='7').contains(c);
    let found = match c {
        '0' => Some(octal(0, &mut chars)),
        // One digit would be a reference to a group, which there is not.
        '1'..='7' if chars.clone().next().is_some_and(|next| is_octal(&next)) => {
            Some(octal(u32::from(c) - u32::from('0'), &mut chars))
        }
        'x' => hexadecimal(&mut chars),
        'a' => Some('\x07'),
        'f' => Some('\x0c'),
        'n' => Some('\n'),
        'r' => Some('\r'),
        't' => Some('\t'),
        'v' => Some('\x0b'),
        c if c.is_ascii() && !c.is_ascii_alphanumeric() => Some(c),
        _ => None,
    };
    match found {
        Some(found) => Ok((found, chars.as_str())),
        None => invalid(&chars),
    }
}

/// Up to two further octal digits.
fn octal(first: u32, chars: &mut Chars<'_>) -> char {
    let mut value = first;
    for _ in 0..2 {
        let Some(digit) = chars.clone().next().and_then(|c| c.to_digit(8)) else { break };
        chars.next();
        value = value * 8 + digit;
    }
    char::from_u32(value).expect("three octal digits are a character")
}

/// `41` or `{1F600}`; reads as far as Go does where it is neither.
fn hexadecimal(chars: &mut Chars<'_>) -> Option<char> {
    let first = chars.next()?;
    if first != '{' {
        let high = first.to_digit(16)?;
        return char::from_u32(high * 16 + chars.next()?.to_digit(16)?);
    }
    let mut value = None;
    loop {
        match chars.next()? {
            '}' => return value.and_then(char::from_u32),
            c => {
                let digit = c.to_digit(16)?;
                let next = value.unwrap_or(0_u32) * 16 + digit;
                if next > u32::from(char::MAX) {
                    return None;
                }
                value = Some(next);
            }
        }
    }
}

/// `c` as nothing but itself, outside of sets and inside.
fn push_literal(out: &mut String, c: char) {
    if matches!(
        c,
        '\\' | '.'
            | '+'
            | '*'
            | '?'
            | '('
            | ')'
            | '|'
            | '['
            | ']'
            | '{'
            | '}'
            | '^'
            | '$'
            | '#'
            | '&'
            | '-'
            | '~'
    ) {
        out.push('\\');
    }
    out.push(c);
}

#[cfg(test)]
mod tests {
    use super::*;
    use regex_automata::meta::Regex;

    fn is_match(pattern: &str, text: &str) -> bool {
        let translated = translate_re2(pattern).expect(pattern);
        Regex::new(&format!("^(?:{translated})$")).expect(&translated).is_match(text)
    }

    #[test]
    fn patterns_match_as_in_go() {
        for (pattern, matches, others) in [
            ("/api/{id}/.*", &["/api/{id}/x"][..], &["/api/id/x"][..]),
            ("a{,2}", &["a{,2}"], &["aa"]),
            ("a{02}", &["a{02}"], &["aa"]),
            ("a{2}", &["aa"], &["a", "a{2}"]),
            ("a{2,}b{0,1}", &["aaa", "aab"], &["a"]),
            (r"\d+", &["42"], &["٤٢"]),
            (r"\D\W\S", &["٤٢é"], &["42e"]),
            (r"[\d\D]", &["1", "é"], &[""]),
            (r"[^\W]+", &["a_1"], &["é"]),
            (r"a\sb", &["a b", "a\tb"], &["a\u{b}b", "a\u{a0}b"]),
            (r"\bé", &[], &["é"]),
            (r"a\b.*", &["aé"], &["ab"]),
            ("[a&&b]+", &["a&b"], &["c"]),
            ("[[]", &["["], &["]"]),
            ("[]a]+", &["]a"], &["["]),
            ("[^]a]", &["["], &["]", "a"]),
            ("[+--]", &["+", ",", "-"], &["."]),
            ("[a-]+", &["a-"], &["b"]),
            ("[a~~b]+", &["a~b"], &["c"]),
            ("[[:alpha:]_]+", &["ab_"], &["é", "1"]),
            ("[[:^alpha:]]", &["1"], &["a"]),
            (r"\Qa.b(\E+", &["a.b(("], &["axb("]),
            (r"\Qa", &["a"], &["\\Qa"]),
            (r"\101\x42\x{43}\0", &["ABC\0"], &["ABC"]),
            (r"\_\-\<\/", &["_-</"], &["_-/"]),
            (r"[\x41-\x43]", &["B"], &["D"]),
            (r"\p{Greek}\pL\P{Greek}\p{^Greek}", &["αβab"], &["abab"]),
            ("(?i)AB(?-i)C", &["abC"], &["abc"]),
            ("(?i:a)b|(?P<n>c)(?<m>d)", &["Ab", "cd"], &["AB"]),
            ("a??b*?c+?", &["c", "abcc"], &["d"]),
            ("}#&-~", &["}#&-~"], &["#&-~"]),
            ("a|", &["a", ""], &["b"]),
            ("()|(a|b)*", &["", "ab"], &["c"]),
        ] {
            for text in matches {
                assert!(is_match(pattern, text), "{pattern} does not match {text:?}");
            }
            for text in others {
                assert!(!is_match(pattern, text), "{pattern} matches {text:?}");
            }
        }
    }

    #[test]
    fn refusals_have_gos_words() {
        for (pattern, words) in [
            ("a(", "missing closing ): `a(`"),
            ("a)(b", "unexpected ): `a)(b`"),
            ("a[b", "missing closing ]: `[b`"),
            ("*a", "missing argument to repetition operator: `*`"),
            ("a|+", "missing argument to repetition operator: `+`"),
            ("({2})", "missing argument to repetition operator: `{2}`"),
            ("a**", "invalid nested repetition operator: `**`"),
            ("a*?+b", "invalid nested repetition operator: `*?+`"),
            ("a{2}{3}", "invalid nested repetition operator: `{2}{3}`"),
            ("a{1001}", "invalid repeat count: `{1001}`"),
            ("a{3,2}", "invalid repeat count: `{3,2}`"),
            ("a{99999999999}", "invalid repeat count: `{99999999999}`"),
            (r"\y", r"invalid escape sequence: `\y`"),
            (r"\1", r"invalid escape sequence: `\1`"),
            (r"\C", r"invalid escape sequence: `\C`"),
            (r"\x{110000}", r"invalid escape sequence: `\x{110000`"),
            (r"\xg", r"invalid escape sequence: `\xg`"),
            (r"a\", "trailing backslash at end of expression: ``"),
            ("[z-a]", "invalid character class range: `z-a`"),
            ("[[:foo:]]", "invalid character class range: `[:foo:]`"),
            (r"\p{Gre", r"invalid character class range: `\p{Gre`"),
            ("(?x)a", "invalid or unsupported Perl syntax: `(?x`"),
            ("(?=a)", "invalid or unsupported Perl syntax: `(?=`"),
            ("(?P<a-b>c)", "invalid named capture: `(?P<a-b>`"),
            ("(?i", "invalid or unsupported Perl syntax: `(?i`"),
            ("a|??", "missing argument to repetition operator: `??`"),
        ] {
            let error = translate_re2(pattern).expect_err(pattern).to_string();
            assert_eq!(error, words, "{pattern}");
        }
    }
}
