//! From a query's text to tokens.
//!
//! Single tokens are recognised by nom's combinators; what may follow what (braces and brackets have words of their
//! own) is kept in [`Lexer`]. The first thing that is no token ends the list with [`TokenKind::Error`].

use nom::branch::alt;
use nom::bytes::complete::{tag, take_till, take_while, take_while1};
use nom::character::complete::{digit1, one_of, satisfy};
use nom::combinator::{opt, recognize, value};
use nom::multi::many0_count;
use nom::{IResult, Parser};

use crate::model::GoQuotedChar;

use super::ast::{BinaryOp, PosRange};
use super::token::{Keyword, Token, TokenKind, lookup_word};

/// The tokens of a query, the last one [`TokenKind::End`] or [`TokenKind::Error`].
#[derive(Debug)]
pub(super) struct Tokens {
    pub(super) list: Vec<Token>,
    /// What the error token is about.
    pub(super) error: String,
}

/// Splits `input`; comments and white space are left out. Reads each byte a bounded number of times.
pub(super) fn tokenize(input: &str) -> Tokens {
    let mut lexer = Lexer { input, ..Lexer::default() };
    let error = loop {
        match lexer.step() {
            Ok(()) if lexer.done => break String::new(),
            Ok(()) => {}
            Err(fault) => {
                let pos = PosRange { start: fault.at, end: input.len() };
                lexer.tokens.push(Token { kind: TokenKind::Error, pos });
                break fault.message;
            }
        }
    };
    Tokens { list: lexer.tokens, error }
}

/// Where and why the text is no PromQL.
struct Fault {
    at: usize,
    message: String,
}

type Step = Result<(), Fault>;

#[derive(Default)]
struct Lexer<'a> {
    input: &'a str,
    at: usize,
    tokens: Vec<Token>,
    paren_depth: usize,
    in_braces: bool,
    in_brackets: bool,
    /// Right after `[` or an operator in brackets: only duration expressions may stand here.
    at_duration: bool,
    seen_colon: bool,
    seen_duration: bool,
    done: bool,
}

impl<'a> Lexer<'a> {
    fn rest(&self) -> &'a str {
        &self.input[self.at..]
    }

    fn peek(&self) -> Option<char> {
        self.rest().chars().next()
    }

    /// Takes the next `len` bytes as one token.
    fn emit(&mut self, kind: TokenKind, len: usize) {
        let pos = PosRange { start: self.at, end: self.at + len };
        self.tokens.push(Token { kind, pos });
        self.at = pos.end;
    }

    fn fault<T>(&self, message: String) -> Result<T, Fault> {
        Err(Fault { at: self.at, message })
    }

    /// Takes one token, or white space, or a comment.
    fn step(&mut self) -> Step {
        let rest = self.rest();
        if rest.starts_with('#') && !self.at_duration {
            self.at += rest.find(['\n', '\r']).unwrap_or(rest.len());
            return Ok(());
        }
        if let Ok((_, blank)) = spaces1(rest) {
            self.at += blank.len();
            return Ok(());
        }
        match (self.in_braces, self.at_duration) {
            (true, _) => self.step_in_braces(),
            (_, true) => self.step_at_duration(),
            _ => self.step_outside(),
        }
    }

    fn step_outside(&mut self) -> Step {
        let Some(first) = self.peek() else { return self.end() };
        let rest = self.rest();
        if rest.starts_with("=~") {
            return self.fault("unexpected character after '=': '~'".to_owned());
        }
        if first == '!' && !rest.starts_with("!=") {
            let next = rest[1..].chars().next().unwrap_or(char::REPLACEMENT_CHARACTER);
            return self.fault(format!("unexpected character after '!': {}", GoQuotedChar(next)));
        }
        if starts_number(rest) {
            return self.number_or_duration();
        }
        if let Ok((after, kind)) = operator(rest) {
            self.emit(kind, rest.len() - after.len());
            return Ok(());
        }
        match first {
            '"' | '\'' | '`' => self.string(first),
            ':' if self.in_brackets => self.colon_in_brackets(),
            c if (is_alpha(c) || c == ':') && !self.in_brackets => {
                self.word();
                Ok(())
            }
            c if is_alpha(c) => {
                if self.duration_word() {
                    return Ok(());
                }
                self.fault(format!("unexpected character: {}, expected ':'", GoQuotedChar(c)))
            }
            '(' | ')' => self.parenthesis(first),
            '{' => {
                self.emit(TokenKind::LeftBrace, 1);
                self.in_braces = true;
                Ok(())
            }
            '[' => self.left_bracket(),
            ']' => self.right_bracket(),
            c => self.fault(format!("unexpected character: {}", GoQuotedChar(c))),
        }
    }

    fn end(&mut self) -> Step {
        if self.paren_depth != 0 {
            return self.fault("unclosed left parenthesis".to_owned());
        }
        if self.in_brackets {
            return self.fault("unclosed left bracket".to_owned());
        }
        self.emit(TokenKind::End, 0);
        self.done = true;
        Ok(())
    }

    fn step_in_braces(&mut self) -> Step {
        let rest = self.rest();
        let Some(first) = self.peek() else {
            return self.fault("unexpected end of input inside braces".to_owned());
        };
        if let Ok((after, kind)) = match_operator(rest) {
            self.emit(kind, rest.len() - after.len());
            return Ok(());
        }
        match first {
            c if is_alpha(c) => {
                let len = word_len(rest, false);
                self.emit(TokenKind::Identifier, len);
                Ok(())
            }
            '"' | '\'' | '`' => self.string(first),
            '!' => {
                let next = rest[1..].chars().next().unwrap_or(char::REPLACEMENT_CHARACTER);
                self.fault(format!("unexpected character after '!' inside braces: {}", GoQuotedChar(next)))
            }
            '{' => self.fault("unexpected left brace '{'".to_owned()),
            '}' => {
                self.emit(TokenKind::RightBrace, 1);
                self.in_braces = false;
                Ok(())
            }
            c => self.fault(format!("unexpected character inside braces: {}", GoQuotedChar(c))),
        }
    }

    fn step_at_duration(&mut self) -> Step {
        let rest = self.rest();
        let Some(first) = self.peek() else {
            return self.fault("unexpected end of input in duration expression".to_owned());
        };
        if starts_number(rest) {
            self.seen_duration = true;
            self.at_duration = false;
            return self.number_or_duration();
        }
        if let Ok((after, kind)) = duration_operator(rest) {
            self.emit(kind, rest.len() - after.len());
            return Ok(());
        }
        match first {
            ']' => self.right_bracket(),
            ':' => self.colon_at_duration(),
            '(' | ')' => self.parenthesis(first),
            c if is_alpha(c) && self.duration_word() => Ok(()),
            c => self.fault(format!("unexpected character in duration expression: {}", GoQuotedChar(c))),
        }
    }

    fn parenthesis(&mut self, which: char) -> Step {
        if which == '(' {
            self.emit(TokenKind::LeftParen, 1);
            self.paren_depth += 1;
            return Ok(());
        }
        let Some(depth) = self.paren_depth.checked_sub(1) else {
            self.at += 1;
            return self.fault("unexpected right parenthesis ')'".to_owned());
        };
        self.paren_depth = depth;
        self.emit(TokenKind::RightParen, 1);
        Ok(())
    }

    fn left_bracket(&mut self) -> Step {
        if self.in_brackets {
            return self.fault("unexpected left bracket '['".to_owned());
        }
        self.emit(TokenKind::LeftBracket, 1);
        self.seen_colon = false;
        self.in_brackets = true;
        self.at_duration = true;
        Ok(())
    }

    fn right_bracket(&mut self) -> Step {
        if !self.in_brackets {
            return self.fault("unexpected right bracket ']'".to_owned());
        }
        if self.at_duration {
            self.seen_colon = false;
        }
        self.emit(TokenKind::RightBracket, 1);
        self.in_brackets = false;
        self.at_duration = false;
        Ok(())
    }

    fn colon_in_brackets(&mut self) -> Step {
        if self.seen_colon {
            return self.fault("unexpected colon ':'".to_owned());
        }
        self.emit(TokenKind::Colon, 1);
        self.seen_colon = true;
        Ok(())
    }

    fn colon_at_duration(&mut self) -> Step {
        let problem = match (self.seen_duration, self.seen_colon) {
            (false, _) => "unexpected colon before duration in duration expression",
            (_, true) => "unexpected repeated colon in duration expression",
            _ => {
                self.emit(TokenKind::Colon, 1);
                self.seen_colon = true;
                return Ok(());
            }
        };
        self.at += 1;
        self.fault(problem.to_owned())
    }

    fn number_or_duration(&mut self) -> Step {
        let rest = self.rest();
        let number = scan_number(rest, true);
        if number.is_sound {
            self.emit(TokenKind::Number, number.len);
            return Ok(());
        }
        let duration = scan_duration(rest, number.len);
        if duration.is_sound {
            self.emit(TokenKind::Duration, duration.len);
            return Ok(());
        }
        let text = crate::model::GoQuoted(&rest[..duration.len]);
        self.fault(format!("bad number or duration syntax: {text}"))
    }

    fn word(&mut self) {
        let rest = self.rest();
        let len = word_len(rest, true);
        let word = &rest[..len];
        let kind = match lookup_word(word) {
            Some(TokenKind::Keyword(Keyword::Fill | Keyword::FillLeft | Keyword::FillRight))
                if !rest[len..].trim_start_matches(is_space).starts_with('(') =>
            {
                TokenKind::Identifier
            }
            Some(kind) => kind,
            None if word.contains(':') => TokenKind::MetricIdentifier,
            None => TokenKind::Identifier,
        };
        self.emit(kind, len);
    }

    /// Takes `step`, `range`, `min_of` or `max_of`, the words of duration expressions.
    fn duration_word(&mut self) -> bool {
        let rest = self.rest();
        let len = rest.find(|c| !is_alpha(c)).unwrap_or(rest.len());
        match lookup_word(&rest[..len]) {
            Some(
                kind @ TokenKind::Keyword(Keyword::Step | Keyword::Range | Keyword::MinOf | Keyword::MaxOf),
            ) => {
                self.emit(kind, len);
                true
            }
            _ => false,
        }
    }

    fn string(&mut self, quote: char) -> Step {
        match scan_string(self.rest(), quote) {
            Ok(len) => {
                self.emit(TokenKind::String, len);
                Ok(())
            }
            Err(message) => self.fault(message),
        }
    }
}

fn is_space(c: char) -> bool {
    matches!(c, ' ' | '\t' | '\n' | '\r')
}

fn is_alpha(c: char) -> bool {
    c == '_' || c.is_ascii_alphabetic()
}

fn is_alphanumeric(c: char) -> bool {
    is_alpha(c) || c.is_ascii_digit()
}

pub(super) fn spaces1(input: &str) -> IResult<&str, &str> {
    take_while1(is_space)(input)
}

/// A name; colons belong to it where `colons` says so.
pub(super) fn name(input: &str, colons: bool) -> IResult<&str, &str> {
    recognize((
        satisfy(|c| is_alpha(c) || (colons && c == ':')),
        take_while(|c| is_alphanumeric(c) || (colons && c == ':')),
    ))
    .parse(input)
}

fn word_len(input: &str, colons: bool) -> usize {
    name(input, colons).map_or(0, |(_, word)| word.len())
}

fn operator(input: &str) -> IResult<&str, TokenKind> {
    use TokenKind::Operator;
    alt((
        alt((
            value(Operator(BinaryOp::Equal), tag("==")),
            value(TokenKind::Equal, tag("=")),
            value(Operator(BinaryOp::NotEqual), tag("!=")),
            value(Operator(BinaryOp::LessEqual), tag("<=")),
            value(Operator(BinaryOp::TrimUpper), tag("</")),
            value(Operator(BinaryOp::Less), tag("<")),
            value(Operator(BinaryOp::GreaterEqual), tag(">=")),
            value(Operator(BinaryOp::TrimLower), tag(">/")),
            value(Operator(BinaryOp::Greater), tag(">")),
        )),
        value(TokenKind::At, tag("@")),
        duration_operator,
    ))
    .parse(input)
}

/// What may also stand in a duration expression.
fn duration_operator(input: &str) -> IResult<&str, TokenKind> {
    use TokenKind::Operator;
    alt((
        value(TokenKind::Comma, tag(",")),
        value(Operator(BinaryOp::Add), tag("+")),
        value(Operator(BinaryOp::Sub), tag("-")),
        value(Operator(BinaryOp::Mul), tag("*")),
        value(Operator(BinaryOp::Div), tag("/")),
        value(Operator(BinaryOp::Mod), tag("%")),
        value(Operator(BinaryOp::Pow), tag("^")),
    ))
    .parse(input)
}

/// What may stand between a label and its value, or between labels.
pub(super) fn match_operator(input: &str) -> IResult<&str, TokenKind> {
    alt((
        value(TokenKind::Comma, tag(",")),
        value(TokenKind::EqualRegex, tag("=~")),
        value(TokenKind::Equal, tag("=")),
        value(TokenKind::NotRegex, tag("!~")),
        value(TokenKind::Operator(BinaryOp::NotEqual), tag("!=")),
    ))
    .parse(input)
}

/// How far a scan came, and whether what it passed is a token.
pub(super) struct Scan {
    pub(super) len: usize,
    pub(super) is_sound: bool,
}

fn starts_number(input: &str) -> bool {
    recognize((opt(tag::<_, _, ()>(".")), digit1)).parse(input).is_ok()
}

/// Looks for a number as far as its characters go; whether its parts make one is for
/// [`super::number::parse_number`] to say. `hex`: whether `0x` begins one; if not, an `x` may follow.
pub(super) fn scan_number(input: &str, hex: bool) -> Scan {
    let bytes = input.as_bytes();
    let is_hex = hex && bytes.len() >= 2 && bytes[0] == b'0' && matches!(bytes[1], b'x' | b'X');
    let is_digit = |c: u8| if is_hex { c.is_ascii_hexdigit() } else { c.is_ascii_digit() };
    let mut at = 0;
    if is_hex {
        at = 2 + usize::from(bytes.get(2) == Some(&b'_'));
    } else if hex && bytes.first() == Some(&b'0') {
        at = 1;
    }
    let (mut dots, mut exponents) = (0, 0);
    let broken = |at: usize| Scan { len: at.min(input.len()), is_sound: false };
    // A dot here does not count against a second one, as upstream has it.
    if bytes.get(at) == Some(&b'.') {
        at += 1;
    }
    if bytes.get(at).is_some_and(|c| is_digit(*c)) {
        at += 1;
    }
    while let Some(&c) = bytes.get(at) {
        let next = bytes.get(at + 1).copied();
        match c {
            c if is_digit(c) => at += 1,
            b'.' if dots > 0 => return broken(at + 1),
            b'.' => {
                dots += 1;
                at += 1;
                if matches!(next, Some(b'_' | b'.')) {
                    return broken(at + 1);
                }
                if is_hex {
                    return broken(at);
                }
            }
            b'e' | b'E' if exponents > 0 => return broken(at + 1),
            b'e' | b'E' => {
                exponents += 1;
                at += 1 + usize::from(matches!(next, Some(b'+' | b'-')));
                match bytes.get(at) {
                    Some(b'.' | b'_' | b'e' | b'E') => return broken(at + 1),
                    None => return broken(at),
                    _ => {}
                }
            }
            b'_' => {
                at += 1;
                match next {
                    Some(b'.' | b'_' | b'e' | b'E') => return broken(at + 1),
                    None => return broken(at),
                    _ => {}
                }
            }
            _ => break,
        }
    }
    let follows = input[at..].chars().next();
    let may_follow = follows.is_none_or(|c| !is_alphanumeric(c) || (!hex && c == 'x'));
    Scan { len: at, is_sound: at > 0 && may_follow }
}

/// Looks for a duration whose first number is the first `digits` bytes.
fn scan_duration(input: &str, digits: usize) -> Scan {
    let mut unit = recognize((one_of::<_, _, ()>("smhdwy"), opt(tag("s"))));
    let Ok((after, _)) = unit.parse(&input[digits..]) else {
        return Scan { len: digits, is_sound: false };
    };
    let mut parts = many0_count((digit1::<_, ()>, one_of("smhdw"), opt(tag("s"))));
    let after = parts.parse(after).map_or(after, |(after, _)| after);
    let trailing = digit1::<_, ()>(after).map_or(0, |(_, digits)| digits.len());
    let mut len = input.len() - after.len() + trailing;
    let follows = input[len..].chars().next();
    let is_sound = trailing == 0 && !follows.is_some_and(is_alphanumeric);
    if !is_sound && trailing == 0 {
        // Upstream's message includes the character that spoils the duration.
        len += follows.map_or(0, char::len_utf8);
    }
    Scan { len, is_sound }
}

/// Length of the string literal at the start of `input`, or what is wrong with it.
pub(super) fn scan_string(input: &str, quote: char) -> Result<usize, String> {
    let mut at = 1;
    loop {
        let rest = &input[at..];
        let (_, plain) = take_till::<_, _, ()>(|c| {
            c == quote || c == char::REPLACEMENT_CHARACTER || (quote != '`' && matches!(c, '\\' | '\n'))
        })(rest)
        .map_err(|_| String::new())?;
        at += plain.len();
        match input[at..].chars().next() {
            Some(c) if c == quote => return Ok(at + 1),
            Some(char::REPLACEMENT_CHARACTER) => return Err("invalid UTF-8 rune".to_owned()),
            Some('\\') => at += escape_len(&input[at..], quote)?,
            None if quote == '`' => return Err("unterminated raw string".to_owned()),
            _ => return Err("unterminated quoted string".to_owned()),
        }
    }
}

/// Length of the escape sequence at the start of `input`, or what is wrong with it.
fn escape_len(input: &str, quote: char) -> Result<usize, String> {
    let unfinished = || "escape sequence not terminated".to_owned();
    let kind = input[1..].chars().next().ok_or_else(unfinished)?;
    let (skip, digits, radix, max) = match kind {
        'a' | 'b' | 'f' | 'n' | 'r' | 't' | 'v' | '\\' => return Ok(2),
        c if c == quote => return Ok(2),
        '0'..='7' => (1, 3, 8, 255),
        'x' => (2, 2, 16, 255),
        'u' => (2, 4, 16, 0x10_ffff),
        'U' => (2, 8, 16, 0x10_ffff),
        c => return Err(format!("unknown escape sequence {}", with_code(c))),
    };
    let mut code = 0_u64;
    let mut chars = input[skip..].chars();
    for _ in 0..digits {
        let c = chars.next().ok_or_else(unfinished)?;
        let digit = c
            .to_digit(radix)
            .ok_or_else(|| format!("illegal character {} in escape sequence", with_code(c)))?;
        code = code * u64::from(radix) + u64::from(digit);
    }
    if code > max || (0xd800..0xe000).contains(&code) {
        return Err("escape sequence is an invalid Unicode code point".to_owned());
    }
    Ok(skip + digits)
}

/// As Go's `%#U` prints a character: `U+0063 'c'`.
fn with_code(c: char) -> String {
    format!("U+{:04X} '{c}'", u32::from(c))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kinds(input: &str) -> Vec<(TokenKind, &str)> {
        let tokens = tokenize(input);
        tokens.list.iter().map(|token| (token.kind, &input[token.pos.start..token.pos.end])).collect()
    }

    fn error(input: &str) -> (usize, String) {
        let tokens = tokenize(input);
        let last = tokens.list.last().expect("there is always a last token");
        assert_eq!(last.kind, TokenKind::Error, "{input}");
        (last.pos.start, tokens.error)
    }

    #[test]
    fn words_depend_on_where_they_stand() {
        use TokenKind::{
            End, Identifier, LeftBrace, LeftBracket, MetricIdentifier, RightBrace, RightBracket,
        };
        assert_eq!(
            kinds("a:b{sum} # c\n[5m]"),
            [
                (MetricIdentifier, "a:b"),
                (LeftBrace, "{"),
                (Identifier, "sum"),
                (RightBrace, "}"),
                (LeftBracket, "["),
                (TokenKind::Duration, "5m"),
                (RightBracket, "]"),
                (End, "")
            ]
        );
        assert_eq!(kinds("fill")[0].0, Identifier);
        assert_eq!(kinds("fill (1)")[0].0, TokenKind::Keyword(Keyword::Fill));
    }

    #[test]
    fn numbers_and_durations_are_told_apart() {
        for number in ["1", ".5", "5.", "1e3", "1E+3", "0x1f", "0X_1F", "1_000", "1.5e-7"] {
            assert_eq!(kinds(number)[0], (TokenKind::Number, number));
        }
        for duration in ["5m", "1h30m", "1y2w", "100ms"] {
            assert_eq!(kinds(duration)[0], (TokenKind::Duration, duration));
        }
    }

    #[test]
    fn errors_stand_where_upstream_has_them() {
        let cases = [
            ("(1))", 4, "unexpected right parenthesis ')'"),
            ("((1)", 4, "unclosed left parenthesis"),
            ("2.5.", 0, "bad number or duration syntax: \"2.5.\""),
            ("100..4", 0, "bad number or duration syntax: \"100..\""),
            ("0deadbeef", 0, "bad number or duration syntax: \"0de\""),
            ("foo[5mm]", 4, "bad number or duration syntax: \"5mm\""),
            ("foo[5m1]", 4, "bad number or duration syntax: \"5m1\""),
            ("1 !~ 1", 2, "unexpected character after '!': '~'"),
            ("1 =~ 1", 2, "unexpected character after '=': '~'"),
            ("{", 1, "unexpected end of input inside braces"),
            ("foo[", 4, "unexpected end of input in duration expression"),
            ("foo[5m", 6, "unclosed left bracket"),
            ("foo[5s x", 7, "unexpected character: 'x', expected ':'"),
            (r#""\c""#, 0, "unknown escape sequence U+0063 'c'"),
            (r#""\x.""#, 0, "illegal character U+002E '.' in escape sequence"),
            ("\"\\", 0, "escape sequence not terminated"),
            ("\"a\n\"", 0, "unterminated quoted string"),
            ("`\\``", 3, "unterminated raw string"),
            ("é", 0, "unexpected character: 'é'"),
        ];
        for (input, at, message) in cases {
            assert_eq!(error(input), (at, message.to_owned()), "{input}");
        }
    }
}
