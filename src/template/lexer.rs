//! Text to tokens: plain text, and inside `{{ }}` words, constants and signs.

use std::borrow::Cow;

use crate::model::{GoQuoted, is_printable};

/// What a token is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Assign,
    Bool,
    CharConstant,
    Complex,
    Declare,
    End,
    Error,
    Field,
    Identifier,
    LeftDelim,
    LeftParen,
    Number,
    Pipe,
    RawText,
    RightDelim,
    RightParen,
    /// A printable character that means nothing, such as a comma.
    Sign,
    Space,
    QuotedText,
    Text,
    Variable,
    Dot,
    Keyword(Keyword),
}

/// Words that are no function names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Keyword {
    Block,
    Break,
    Continue,
    Define,
    Else,
    End,
    If,
    Nil,
    Range,
    Template,
    With,
}

const KEYWORDS: [(&str, Keyword); 11] = [
    ("block", Keyword::Block),
    ("break", Keyword::Break),
    ("continue", Keyword::Continue),
    ("define", Keyword::Define),
    ("else", Keyword::Else),
    ("end", Keyword::End),
    ("if", Keyword::If),
    ("nil", Keyword::Nil),
    ("range", Keyword::Range),
    ("template", Keyword::Template),
    ("with", Keyword::With),
];

/// A piece of the input.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Token<'a> {
    pub(super) kind: Kind,
    /// Byte where it starts.
    pub(super) pos: usize,
    /// Line where it starts, from one.
    pub(super) line: usize,
    /// The piece itself; of an error its message.
    pub(super) text: Cow<'a, str>,
}

impl Token<'_> {
    /// As messages name it.
    pub(super) fn describe(&self) -> String {
        match self.kind {
            Kind::End => "EOF".to_owned(),
            Kind::Error => self.text.clone().into_owned(),
            Kind::Keyword(_) | Kind::Dot => format!("<{}>", self.text),
            _ if self.text.len() > 10 => {
                let head: String = self.text.chars().take(10).collect();
                format!("{}...", GoQuoted(&head))
            }
            _ => GoQuoted(self.text.as_ref()).to_string(),
        }
    }
}

const LEFT: &str = "{{";
const RIGHT: &str = "}}";
const COMMENT_OPEN: &str = "/*";
const COMMENT_CLOSE: &str = "*/";
/// Bytes of `- ` after a left and ` -` before a right delimiter.
const TRIM_LEN: usize = 2;

/// Cuts one token after the other off a text. After an error or the end there are no more.
pub(super) struct Lexer<'a> {
    input: &'a str,
    /// Start of the token that is being read.
    start: usize,
    start_line: usize,
    pos: usize,
    line: usize,
    inside_action: bool,
    paren_depth: usize,
}

impl<'a> Lexer<'a> {
    pub(super) fn new(input: &'a str) -> Self {
        Self { input, start: 0, start_line: 1, pos: 0, line: 1, inside_action: false, paren_depth: 0 }
    }

    /// The next token; the end again and again once it is reached.
    pub(super) fn next_token(&mut self) -> Token<'a> {
        if self.inside_action {
            return self.inside();
        }
        match self.text() {
            Some(token) => token,
            None => self.left_delim(),
        }
    }

    fn rest(&self) -> &'a str {
        &self.input[self.pos..]
    }

    fn peek(&self) -> Option<char> {
        self.rest().chars().next()
    }

    fn bump(&mut self) -> Option<char> {
        let c = self.peek()?;
        self.advance(c.len_utf8());
        Some(c)
    }

    fn advance(&mut self, bytes: usize) {
        self.line += self.input[self.pos..self.pos + bytes].matches('\n').count();
        self.pos += bytes;
    }

    fn skip(&mut self) {
        self.start = self.pos;
        self.start_line = self.line;
    }

    fn emit(&mut self, kind: Kind) -> Token<'a> {
        let text = Cow::Borrowed(&self.input[self.start..self.pos]);
        let token = Token { kind, pos: self.start, line: self.start_line, text };
        self.skip();
        token
    }

    fn error(&mut self, message: impl Into<String>) -> Token<'a> {
        Token { kind: Kind::Error, pos: self.start, line: self.start_line, text: Cow::Owned(message.into()) }
    }

    /// Text up to the next action or the end; `None` where an action or a comment starts here.
    fn text(&mut self) -> Option<Token<'a>> {
        let Some(len) = self.rest().find(LEFT) else {
            self.advance(self.rest().len());
            return Some(self.emit(if self.pos > self.start { Kind::Text } else { Kind::End }));
        };
        let text = &self.rest()[..len];
        let action = &self.rest()[len + LEFT.len()..];
        let kept = if trims_left(action) { text.trim_end_matches(is_space).len() } else { len };
        self.advance(kept);
        let token = (self.pos > self.start).then(|| self.emit(Kind::Text));
        self.advance(len - kept);
        self.skip();
        token
    }

    fn left_delim(&mut self) -> Token<'a> {
        self.advance(LEFT.len());
        let marker = if trims_left(self.rest()) { TRIM_LEN } else { 0 };
        if self.rest()[marker..].starts_with(COMMENT_OPEN) {
            self.advance(marker);
            self.skip();
            return match self.comment() {
                Ok(()) => self.next_token_after_comment(),
                Err(message) => self.error(message),
            };
        }
        let token = self.emit(Kind::LeftDelim);
        self.advance(marker);
        self.skip();
        self.paren_depth = 0;
        self.inside_action = true;
        token
    }

    /// Comments may follow one another without end, so this loops where it could recurse.
    fn next_token_after_comment(&mut self) -> Token<'a> {
        loop {
            if let Some(token) = self.text() {
                return token;
            }
            let marker = if trims_left(&self.rest()[LEFT.len()..]) { TRIM_LEN } else { 0 };
            if !self.rest()[LEFT.len() + marker..].starts_with(COMMENT_OPEN) {
                return self.left_delim();
            }
            self.advance(LEFT.len() + marker);
            self.skip();
            if let Err(message) = self.comment() {
                return self.error(message);
            }
        }
    }

    fn comment(&mut self) -> Result<(), &'static str> {
        let body = &self.rest()[COMMENT_OPEN.len()..];
        let end = body.find(COMMENT_CLOSE).ok_or("unclosed comment")?;
        self.advance(COMMENT_OPEN.len() + end + COMMENT_CLOSE.len());
        let trims = self.right_delim_ahead().ok_or("comment ends before closing delimiter")?;
        self.close(trims);
        self.skip();
        Ok(())
    }

    /// Whether a right delimiter stands here, and if so whether it trims what follows.
    fn right_delim_ahead(&self) -> Option<bool> {
        let rest = self.rest();
        if trims_right(rest) && rest[TRIM_LEN..].starts_with(RIGHT) {
            return Some(true);
        }
        rest.starts_with(RIGHT).then_some(false)
    }

    fn close(&mut self, trims: bool) {
        self.advance(RIGHT.len() + if trims { TRIM_LEN } else { 0 });
        if trims {
            self.trim_start();
        }
    }

    fn trim_start(&mut self) {
        let rest = self.rest();
        self.advance(rest.len() - rest.trim_start_matches(is_space).len());
    }

    fn right_delim(&mut self, trims: bool) -> Token<'a> {
        if trims {
            self.advance(TRIM_LEN);
            self.skip();
        }
        self.advance(RIGHT.len());
        let token = self.emit(Kind::RightDelim);
        if trims {
            self.trim_start();
            self.skip();
        }
        self.inside_action = false;
        token
    }

    fn inside(&mut self) -> Token<'a> {
        if let Some(trims) = self.right_delim_ahead() {
            if self.paren_depth == 0 {
                return self.right_delim(trims);
            }
            return self.error("unclosed left paren");
        }
        let Some(c) = self.peek() else { return self.error("unclosed action") };
        match c {
            c if is_space(c) => self.space(),
            '"' => self.quoted('"', Kind::QuotedText, "unterminated quoted string"),
            '\'' => self.quoted('\'', Kind::CharConstant, "unterminated character constant"),
            '`' => self.raw(),
            '$' => self.field_or_variable(Kind::Variable),
            '.' if !self.rest()[1..].starts_with(|c: char| c.is_ascii_digit()) => {
                if self.rest().len() > 1 {
                    self.field_or_variable(Kind::Field)
                } else {
                    self.number()
                }
            }
            '.' | '+' | '-' | '0'..='9' => self.number(),
            c if is_alphanumeric(c) => self.word(),
            _ => self.sign(c),
        }
    }

    fn sign(&mut self, c: char) -> Token<'a> {
        self.bump();
        match c {
            '=' => self.emit(Kind::Assign),
            ':' if self.peek() == Some('=') => {
                self.bump();
                self.emit(Kind::Declare)
            }
            ':' => self.error("expected :="),
            '|' => self.emit(Kind::Pipe),
            '(' => {
                self.paren_depth += 1;
                self.emit(Kind::LeftParen)
            }
            ')' if self.paren_depth == 0 => self.error("unexpected right paren"),
            ')' => {
                self.paren_depth -= 1;
                self.emit(Kind::RightParen)
            }
            '!'..='~' => self.emit(Kind::Sign),
            c => self.error(format!("unrecognized character in action: {}", code_point(c))),
        }
    }

    /// A run of spaces, short of the one that belongs to ` -}}`.
    fn space(&mut self) -> Token<'a> {
        let rest = self.rest();
        let mut len = rest.len() - rest.trim_start_matches(is_space).len();
        if trims_right(&rest[len - 1..]) && rest[len - 1 + TRIM_LEN..].starts_with(RIGHT) {
            len -= 1;
        }
        self.advance(len);
        self.emit(Kind::Space)
    }

    fn word(&mut self) -> Token<'a> {
        self.alphanumerics();
        if let Some(error) = self.bad_character() {
            return error;
        }
        let word = &self.input[self.start..self.pos];
        let keyword = KEYWORDS.iter().find(|(name, _)| *name == word);
        self.emit(match keyword {
            Some((_, keyword)) => Kind::Keyword(*keyword),
            None if matches!(word, "true" | "false") => Kind::Bool,
            None => Kind::Identifier,
        })
    }

    fn field_or_variable(&mut self, kind: Kind) -> Token<'a> {
        self.bump();
        if self.at_terminator() {
            return self.emit(if kind == Kind::Field { Kind::Dot } else { kind });
        }
        self.alphanumerics();
        match self.bad_character() {
            Some(error) => error,
            None => self.emit(kind),
        }
    }

    fn alphanumerics(&mut self) {
        let rest = self.rest();
        self.advance(rest.len() - rest.trim_start_matches(is_alphanumeric).len());
    }

    fn bad_character(&mut self) -> Option<Token<'a>> {
        if self.at_terminator() {
            return None;
        }
        let c = self.peek().unwrap_or(char::REPLACEMENT_CHARACTER);
        Some(self.error(format!("bad character {}", code_point(c))))
    }

    /// Whether a word may end here.
    fn at_terminator(&self) -> bool {
        match self.peek() {
            None | Some('.' | ',' | '|' | ':' | ')' | '(') => true,
            Some(c) => is_space(c) || self.rest().starts_with(RIGHT),
        }
    }

    fn quoted(&mut self, quote: char, kind: Kind, unterminated: &'static str) -> Token<'a> {
        self.bump();
        loop {
            match self.bump() {
                Some('\\') if !matches!(self.peek(), None | Some('\n')) => {
                    self.bump();
                }
                None | Some('\\' | '\n') => return self.error(unterminated),
                Some(c) if c == quote => return self.emit(kind),
                Some(_) => {}
            }
        }
    }

    fn raw(&mut self) -> Token<'a> {
        match self.rest()[1..].find('`') {
            Some(len) => {
                self.advance(len + 2);
                self.emit(Kind::RawText)
            }
            None => self.error("unterminated raw quoted string"),
        }
    }

    /// Takes what may be a number; whether it is one is seen when its value is read.
    fn number(&mut self) -> Token<'a> {
        if !self.scan_number() {
            return self.bad_number();
        }
        if !matches!(self.peek(), Some('+' | '-')) {
            return self.emit(Kind::Number);
        }
        if !self.scan_number() || !self.input[..self.pos].ends_with('i') {
            return self.bad_number();
        }
        self.emit(Kind::Complex)
    }

    fn bad_number(&mut self) -> Token<'a> {
        let text = &self.input[self.start..self.pos];
        self.error(format!("bad number syntax: {}", GoQuoted(text)))
    }

    fn scan_number(&mut self) -> bool {
        self.accept("+-");
        let mut digits = "0123456789_";
        let mut exponents = "eE";
        if self.accept("0") {
            if self.accept("xX") {
                (digits, exponents) = ("0123456789abcdefABCDEF_", "pP");
            } else if self.accept("oO") {
                (digits, exponents) = ("01234567_", "");
            } else if self.accept("bB") {
                (digits, exponents) = ("01_", "");
            }
        }
        self.accept_run(digits);
        if self.accept(".") {
            self.accept_run(digits);
        }
        if self.accept(exponents) {
            self.accept("+-");
            self.accept_run("0123456789_");
        }
        self.accept("i");
        let ends = !self.peek().is_some_and(is_alphanumeric);
        if !ends {
            self.bump();
        }
        ends
    }

    fn accept(&mut self, any: &str) -> bool {
        let found = self.peek().is_some_and(|c| any.contains(c));
        if found {
            self.bump();
        }
        found
    }

    fn accept_run(&mut self, any: &str) {
        while self.accept(any) {}
    }
}

fn trims_left(after_delim: &str) -> bool {
    let mut chars = after_delim.chars();
    chars.next() == Some('-') && chars.next().is_some_and(is_space)
}

fn trims_right(before_delim: &str) -> bool {
    let mut chars = before_delim.chars();
    chars.next().is_some_and(is_space) && chars.next() == Some('-')
}

fn is_space(c: char) -> bool {
    matches!(c, ' ' | '\t' | '\r' | '\n')
}

fn is_alphanumeric(c: char) -> bool {
    c == '_' || c.is_alphanumeric()
}

/// A character as messages name it: `U+0040 '@'`.
fn code_point(c: char) -> String {
    let code = u32::from(c);
    if is_printable(c) || c.is_ascii_graphic() {
        format!("U+{code:04X} '{c}'")
    } else {
        format!("U+{code:04X}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kinds(text: &str) -> Vec<Kind> {
        let mut lexer = Lexer::new(text);
        let mut kinds = Vec::new();
        loop {
            let token = lexer.next_token();
            kinds.push(token.kind);
            if matches!(token.kind, Kind::End | Kind::Error) {
                return kinds;
            }
        }
    }

    #[test]
    fn trim_markers_take_spaces_and_comments_leave_nothing() {
        let mut lexer = Lexer::new("a \n{{- 1 -}} \n b{{/* c */ -}}\n{{- /* d */}}e");
        let texts: Vec<String> = std::iter::from_fn(|| {
            let token = lexer.next_token();
            (token.kind != Kind::End).then(|| token.text.into_owned())
        })
        .collect();
        assert_eq!(texts, ["a", "{{", "1", "}}", "b", "e"]);
    }

    #[test]
    fn actions_are_cut_into_words_and_signs() {
        use Kind::*;
        assert_eq!(
            kinds(r#"{{$x:=.a|f 1.5e3 'c' "t" `r`}}"#),
            [
                LeftDelim,
                Variable,
                Declare,
                Field,
                Pipe,
                Identifier,
                Space,
                Number,
                Space,
                CharConstant,
                Space,
                QuotedText,
                Space,
                RawText,
                RightDelim,
                End
            ]
        );
        assert_eq!(kinds("{{1+2i}}")[1], Complex);
        assert_eq!(kinds("{{.}}")[1], Dot);
    }

    #[test]
    fn errors_say_what_is_wrong_and_where() {
        for (text, message) in [
            ("{{", "unclosed action"),
            ("{{/* ", "unclosed comment"),
            ("{{/* */ x}}", "comment ends before closing delimiter"),
            ("{{(}}", "unclosed left paren"),
            ("{{)}}", "unexpected right paren"),
            ("{{\"a\n", "unterminated quoted string"),
            ("{{`a", "unterminated raw quoted string"),
            ("{{12x}}", "bad number syntax: \"12x\""),
            ("{{a@}}", "bad character U+0040 '@'"),
            ("{{\u{1}}}", "unrecognized character in action: U+0001"),
            ("{{:}}", "expected :="),
        ] {
            let mut lexer = Lexer::new(text);
            let error = std::iter::repeat_with(|| lexer.next_token())
                .find(|token| matches!(token.kind, Kind::Error | Kind::End))
                .expect("texts end");
            assert_eq!(error.text, message, "{text:?}");
        }
    }
}
