//! From tokens to the tree: precedence climbing over the lexer's tokens.
//!
//! The first error ends the parse. Which words an "unexpected" message ends with follows upstream's grammar, where the
//! innermost rule that knows how to fail speaks.

use crate::model::{DurationError, GoQuoted, parse_duration};

use super::ast::{
    Aggregate, AggregateOp, Binary, BinaryOp, Call, Expr, ExprKind, MatchCardinality, NumberLiteral,
    PosRange, StringLiteral, Unary, VectorMatching,
};
use super::error::{Fault, Parsing};
use super::functions::{Function, lookup};
use super::lexer::{Tokens, tokenize};
use super::number::parse_number;
use super::options::ParserOptions;
use super::text::unquote;
use super::token::{Keyword, Token, TokenKind};

/// Highest tree that is built: whoever walks it recursively needs a stack for it.
const HEIGHT_MAX: usize = 500;
/// How deep the parser itself may recurse; a chain of operators makes a high tree without recursion.
const DEPTH_MAX: usize = 200;
/// Longest text that is parsed, in bytes.
pub(super) const TEXT_BYTES_MAX: usize = 1 << 20;

/// An expression and how many levels it has.
pub(super) struct Parsed {
    pub(super) expr: Box<Expr>,
    pub(super) height: usize,
}

/// Reads tokens from left to right.
pub(super) struct Parser<'a> {
    pub(super) text: &'a str,
    pub(super) options: ParserOptions,
    tokens: Tokens,
    next: usize,
    depth: usize,
    /// How many aggregations are open; inside one, messages say so.
    aggregations: usize,
}

impl<'a> Parser<'a> {
    pub(super) fn new(text: &'a str, options: ParserOptions) -> Parsing<Self> {
        if text.len() > TEXT_BYTES_MAX {
            let pos = PosRange { start: TEXT_BYTES_MAX, end: text.len() };
            return Fault::new(pos, format!("text is longer than {TEXT_BYTES_MAX} bytes"));
        }
        Ok(Self { text, options, tokens: tokenize(text), next: 0, depth: 0, aggregations: 0 })
    }

    /// A whole query.
    pub(super) fn query(&mut self) -> Parsing<Expr> {
        if self.kind() == TokenKind::End {
            return Fault::new(PosRange::default(), "no expression found in input");
        }
        let parsed = self.expr()?;
        self.expect_end()?;
        Ok(*parsed.expr)
    }

    pub(super) fn expect_end(&mut self) -> Parsing<()> {
        if self.kind() == TokenKind::End { Ok(()) } else { self.unexpected("", "") }
    }

    /// The next token's kind.
    pub(super) fn kind(&self) -> TokenKind {
        self.peek().kind
    }

    pub(super) fn peek(&self) -> Token {
        self.tokens.list[self.next]
    }

    /// Place of the token taken last.
    pub(super) fn last_pos(&self) -> PosRange {
        self.tokens.list[self.next.saturating_sub(1)].pos
    }

    fn kind_after_next(&self) -> Option<TokenKind> {
        self.tokens.list.get(self.next + 1).map(|token| token.kind)
    }

    /// Takes the next token; the last one stays.
    pub(super) fn take(&mut self) -> Token {
        let token = self.peek();
        if self.next + 1 < self.tokens.list.len() {
            self.next += 1;
        }
        token
    }

    /// Takes the next token if it is of that kind.
    pub(super) fn take_if(&mut self, kind: TokenKind) -> Option<Token> {
        (self.kind() == kind).then(|| self.take())
    }

    pub(super) fn text_of(&self, token: Token) -> &'a str {
        &self.text[token.pos.start..token.pos.end]
    }

    /// The next token cannot stand here.
    pub(super) fn unexpected<T>(&self, context: &str, expected: &str) -> Parsing<T> {
        let token = self.peek();
        if token.kind == TokenKind::Error {
            return Fault::new(token.pos, self.tokens.error.clone());
        }
        let mut message = format!("unexpected {}", token.kind.describe(self.text_of(token)));
        if !context.is_empty() {
            message.push_str(" in ");
            message.push_str(context);
        }
        if !expected.is_empty() {
            message.push_str(", expected ");
            message.push_str(expected);
        }
        Fault::new(token.pos, message)
    }

    /// The next token cannot stand in an expression.
    fn unexpected_in_expr<T>(&self) -> Parsing<T> {
        self.unexpected(if self.aggregations > 0 { "aggregation" } else { "" }, "")
    }

    /// Runs `parse` one level deeper.
    pub(super) fn deeper<T>(&mut self, parse: impl FnOnce(&mut Self) -> Parsing<T>) -> Parsing<T> {
        if self.depth >= DEPTH_MAX {
            return too_deep(self.peek().pos);
        }
        self.depth += 1;
        let result = parse(self);
        self.depth -= 1;
        result
    }

    pub(super) fn check_height(&self, height: usize, pos: PosRange) -> Parsing<()> {
        if height > HEIGHT_MAX { too_deep(pos) } else { Ok(()) }
    }

    /// A node over children of which the highest has `below` levels.
    pub(super) fn node(&self, kind: ExprKind, pos: PosRange, below: usize) -> Parsing<Parsed> {
        self.check_height(below + 1, pos)?;
        Ok(Parsed { expr: Box::new(Expr { kind, pos }), height: below + 1 })
    }

    pub(super) fn expr(&mut self) -> Parsing<Parsed> {
        self.binary(0)
    }

    /// Operators that bind at least as tightly as `precedence_min`.
    fn binary(&mut self, precedence_min: u8) -> Parsing<Parsed> {
        let mut left = self.deeper(Self::operand)?;
        while let TokenKind::Operator(op) = self.kind() {
            let precedence = precedence(op);
            if precedence < precedence_min {
                break;
            }
            self.take();
            let modifiers = self.binary_modifiers()?;
            let right_min = if op == BinaryOp::Pow { precedence } else { precedence + 1 };
            let right = self.deeper(|parser| parser.binary(right_min))?;
            left = self.binary_node(op, left, right, modifiers)?;
        }
        Ok(left)
    }

    fn binary_node(
        &self,
        op: BinaryOp,
        left: Parsed,
        right: Parsed,
        modifiers: BinaryModifiers,
    ) -> Parsing<Parsed> {
        let pos = left.expr.pos.through(right.expr.pos);
        let matching = modifiers.matching;
        if !self.options.fill_modifiers && (matching.fill_left.is_some() || matching.fill_right.is_some()) {
            return Fault::new(pos, "binop fill modifiers are experimental and not enabled");
        }
        let height = left.height.max(right.height);
        let binary = Binary {
            op,
            left: left.expr,
            right: right.expr,
            returns_bool: modifiers.returns_bool,
            matching: Some(matching),
        };
        self.node(ExprKind::Binary(binary), pos, height)
    }

    fn binary_modifiers(&mut self) -> Parsing<BinaryModifiers> {
        let returns_bool = self.take_if(TokenKind::Keyword(Keyword::Bool)).is_some();
        let mut matching = VectorMatching {
            card: MatchCardinality::OneToOne,
            labels: Vec::new(),
            on: false,
            include: Vec::new(),
            fill_left: None,
            fill_right: None,
        };
        if let TokenKind::Keyword(word @ (Keyword::On | Keyword::Ignoring)) = self.kind() {
            self.take();
            matching.on = word == Keyword::On;
            matching.labels = self.label_list()?;
            self.group_modifier(&mut matching)?;
        }
        self.fill_modifiers(&mut matching)?;
        Ok(BinaryModifiers { returns_bool, matching })
    }

    fn group_modifier(&mut self, matching: &mut VectorMatching) -> Parsing<()> {
        matching.card = match self.kind() {
            TokenKind::Keyword(Keyword::GroupLeft) => MatchCardinality::ManyToOne,
            TokenKind::Keyword(Keyword::GroupRight) => MatchCardinality::OneToMany,
            _ => return Ok(()),
        };
        self.take();
        if self.kind() == TokenKind::LeftParen {
            matching.include = self.label_list()?;
        }
        Ok(())
    }

    fn fill_modifiers(&mut self, matching: &mut VectorMatching) -> Parsing<()> {
        match self.kind() {
            TokenKind::Keyword(Keyword::Fill) => {
                self.take();
                let value = self.fill_value()?;
                (matching.fill_left, matching.fill_right) = (Some(value), Some(value));
            }
            TokenKind::Keyword(Keyword::FillLeft) => {
                self.take();
                matching.fill_left = Some(self.fill_value()?);
                if self.take_if(TokenKind::Keyword(Keyword::FillRight)).is_some() {
                    matching.fill_right = Some(self.fill_value()?);
                }
            }
            TokenKind::Keyword(Keyword::FillRight) => {
                self.take();
                matching.fill_right = Some(self.fill_value()?);
                if self.take_if(TokenKind::Keyword(Keyword::FillLeft)).is_some() {
                    matching.fill_left = Some(self.fill_value()?);
                }
            }
            _ => {}
        }
        Ok(())
    }

    fn fill_value(&mut self) -> Parsing<f64> {
        self.expect_in_expr(TokenKind::LeftParen)?;
        let sign = self.take_sign();
        if !matches!(self.kind(), TokenKind::Number | TokenKind::Duration) {
            return self.unexpected_in_expr();
        }
        let value = self.number_literal()?.0.value;
        self.expect_in_expr(TokenKind::RightParen)?;
        Ok(if matches!(sign, Some((true, _))) { -value } else { value })
    }

    fn expect_in_expr(&mut self, kind: TokenKind) -> Parsing<Token> {
        match self.take_if(kind) {
            Some(token) => Ok(token),
            None => self.unexpected_in_expr(),
        }
    }

    /// A sign: whether it is `-`, and its place.
    pub(super) fn take_sign(&mut self) -> Option<(bool, PosRange)> {
        match self.kind() {
            TokenKind::Operator(op @ (BinaryOp::Add | BinaryOp::Sub)) => {
                Some((op == BinaryOp::Sub, self.take().pos))
            }
            _ => None,
        }
    }

    /// Something between binary operators: signs, then a primary expression with what follows it.
    fn operand(&mut self) -> Parsing<Parsed> {
        if let Some((negative, pos)) = self.take_sign() {
            let inner = self.deeper(|parser| parser.binary(precedence(BinaryOp::Pow)))?;
            return self.signed(negative, pos, inner);
        }
        let primary = self.primary()?;
        self.selector_suffixes(primary)
    }

    /// A sign before a number belongs to the number.
    fn signed(&self, negative: bool, sign: PosRange, mut inner: Parsed) -> Parsing<Parsed> {
        let pos = sign.through(inner.expr.pos);
        if let ExprKind::Number(number) = &mut inner.expr.kind {
            if negative {
                number.value = -number.value;
            }
            inner.expr.pos = pos;
            return Ok(inner);
        }
        let unary = Unary { negative, expr: inner.expr };
        self.node(ExprKind::Unary(unary), pos, inner.height)
    }

    fn primary(&mut self) -> Parsing<Parsed> {
        let follows_paren = self.kind_after_next() == Some(TokenKind::LeftParen);
        match self.kind() {
            TokenKind::Number | TokenKind::Duration => {
                let (number, pos) = self.number_literal()?;
                self.node(ExprKind::Number(number), pos, 0)
            }
            TokenKind::String => {
                let token = self.take();
                let value = self.unquoted(token)?;
                self.node(ExprKind::String(StringLiteral { value }), token.pos, 0)
            }
            TokenKind::LeftParen => self.parenthesised(),
            TokenKind::LeftBrace => self.vector_selector(),
            TokenKind::Aggregate(op) if follows_paren || self.is_grouping_next() => self.aggregate(op),
            kind if kind.names_function() && follows_paren => self.call(),
            kind if kind.names_metric() => self.vector_selector(),
            _ => self.unexpected_in_expr(),
        }
    }

    fn is_grouping_next(&self) -> bool {
        matches!(self.kind_after_next(), Some(TokenKind::Keyword(Keyword::By | Keyword::Without)))
    }

    fn parenthesised(&mut self) -> Parsing<Parsed> {
        let open = self.take();
        let inner = self.expr()?;
        let close = self.expect_in_expr(TokenKind::RightParen)?;
        self.node(ExprKind::Paren(inner.expr), open.pos.through(close.pos), inner.height)
    }

    /// A number or a duration, which is next.
    pub(super) fn number_literal(&mut self) -> Parsing<(NumberLiteral, PosRange)> {
        let token = self.take();
        let text = self.text_of(token);
        let is_duration = token.kind == TokenKind::Duration;
        let value = if is_duration {
            duration_seconds(text).map_err(|error| Fault { pos: token.pos, message: error.to_string() })?
        } else {
            parse_number(text).map_err(|error| Fault {
                pos: token.pos,
                message: format!("error parsing number: {error}"),
            })?
        };
        Ok((NumberLiteral { value, is_duration }, token.pos))
    }

    pub(super) fn unquoted(&self, token: Token) -> Parsing<Vec<u8>> {
        let text = self.text_of(token);
        match unquote(text) {
            Some(bytes) => Ok(bytes),
            None => {
                let text = GoQuoted(text);
                Fault::new(token.pos, format!("error unquoting string {text}: invalid syntax"))
            }
        }
    }

    fn aggregate(&mut self, op: AggregateOp) -> Parsing<Parsed> {
        let name = self.take();
        self.aggregations += 1;
        let mut grouping = self.grouping()?;
        let (args, mut end) = self.arguments()?;
        if grouping.is_none() {
            grouping = self.grouping()?;
            if let Some(grouping) = &grouping {
                end = grouping.pos;
            }
        }
        self.aggregations -= 1;
        self.aggregate_node(op, name.pos.through(end), args, grouping)
    }

    fn aggregate_node(
        &self,
        op: AggregateOp,
        pos: PosRange,
        args: Vec<Parsed>,
        grouping: Option<Grouping>,
    ) -> Parsing<Parsed> {
        let experimental = matches!(op, AggregateOp::Limitk | AggregateOp::LimitRatio);
        let count = args.len();
        let wanted = if op.takes_parameter() { 2 } else { 1 };
        if count == 0 {
            return Fault::new(pos, "no arguments for aggregate expression provided");
        }
        if experimental && !self.options.experimental_functions {
            return Fault::new(
                pos,
                format!(
                    "{}() is experimental and must be enabled with --enable-feature=promql-experimental-functions",
                    op.as_str()
                ),
            );
        }
        if count != wanted {
            return Fault::new(
                pos,
                format!(
                    "wrong number of arguments for aggregate expression provided, expected {wanted}, got {count}"
                ),
            );
        }
        let height = args.iter().map(|arg| arg.height).max().unwrap_or(0);
        let mut args = args.into_iter().map(|arg| arg.expr);
        let param = if op.takes_parameter() { args.next() } else { None };
        let expr = args.next().expect("the count of arguments was checked");
        let (grouping, without) = grouping.map_or_else(Default::default, |g| (g.labels, g.without));
        let aggregate = Aggregate { op, expr, param, grouping, without };
        self.node(ExprKind::Aggregate(aggregate), pos, height)
    }

    fn grouping(&mut self) -> Parsing<Option<Grouping>> {
        let without = match self.kind() {
            TokenKind::Keyword(Keyword::By) => false,
            TokenKind::Keyword(Keyword::Without) => true,
            _ => return Ok(None),
        };
        self.take();
        let labels = self.label_list()?;
        let pos = self.last_pos();
        Ok(Some(Grouping { labels, without, pos }))
    }

    /// Labels in parentheses, as `by`, `on` and their like take them.
    fn label_list(&mut self) -> Parsing<Vec<String>> {
        let mut labels = Vec::new();
        if self.take_if(TokenKind::LeftParen).is_none() {
            return self.unexpected("grouping opts", "\"(\"");
        }
        while self.take_if(TokenKind::RightParen).is_none() {
            labels.push(self.grouping_label()?);
            if self.take_if(TokenKind::Comma).is_none() && self.kind() != TokenKind::RightParen {
                return self.unexpected("grouping opts", "\",\" or \")\"");
            }
        }
        Ok(labels)
    }

    fn grouping_label(&mut self) -> Parsing<String> {
        match self.kind() {
            kind if kind.names_label() => {
                let token = self.take();
                Ok(self.text_of(token).to_owned())
            }
            TokenKind::String => {
                let token = self.take();
                let bytes = self.unquoted(token)?;
                match String::from_utf8(bytes) {
                    Ok(label) if !label.is_empty() => Ok(label),
                    label => {
                        let bytes =
                            label.map_or_else(std::string::FromUtf8Error::into_bytes, String::into_bytes);
                        let name = GoQuoted(&bytes);
                        Fault::new(token.pos, format!("invalid label name for grouping: {name}"))
                    }
                }
            }
            _ => self.unexpected("grouping opts", "label"),
        }
    }

    /// Arguments in parentheses, and the place of the closing one.
    fn arguments(&mut self) -> Parsing<(Vec<Parsed>, PosRange)> {
        self.expect_in_expr(TokenKind::LeftParen)?;
        let mut args = Vec::new();
        if let Some(close) = self.take_if(TokenKind::RightParen) {
            return Ok((args, close.pos));
        }
        loop {
            args.push(self.expr()?);
            if let Some(close) = self.take_if(TokenKind::RightParen) {
                return Ok((args, close.pos));
            }
            let comma = self.expect_in_expr(TokenKind::Comma)?;
            if matches!(self.kind(), TokenKind::RightParen | TokenKind::Comma) {
                return Fault::new(comma.pos, "trailing commas not allowed in function call args");
            }
        }
    }

    fn call(&mut self) -> Parsing<Parsed> {
        let name = self.take();
        let (args, close) = self.arguments()?;
        let function = self.function(name)?;
        let height = args.iter().map(|arg| arg.height).max().unwrap_or(0);
        let args = args.into_iter().map(|arg| *arg.expr).collect();
        self.node(ExprKind::Call(Call { function, args }), name.pos.through(close), height)
    }

    fn function(&self, token: Token) -> Parsing<&'static Function> {
        let name = self.text_of(token);
        let quoted = GoQuoted(name);
        match lookup(name) {
            None => Fault::new(token.pos, format!("unknown function with name {quoted}")),
            Some(function) if function.experimental && !self.options.experimental_functions => {
                Fault::new(token.pos, format!("function {quoted} is not enabled"))
            }
            Some(function) => Ok(function),
        }
    }
}

fn too_deep<T>(pos: PosRange) -> Parsing<T> {
    Fault::new(pos, "expression is nested too deeply")
}

/// What stands between a binary operator and its right operand.
struct BinaryModifiers {
    returns_bool: bool,
    matching: VectorMatching,
}

/// `by (...)` or `without (...)`; `pos` is that of the closing parenthesis.
struct Grouping {
    labels: Vec<String>,
    without: bool,
    pos: PosRange,
}

/// How tightly an operator binds. All but `^` group to the left.
pub(super) const fn precedence(op: BinaryOp) -> u8 {
    match op {
        BinaryOp::Or => 1,
        BinaryOp::And | BinaryOp::Unless => 2,
        BinaryOp::Equal
        | BinaryOp::NotEqual
        | BinaryOp::Less
        | BinaryOp::LessEqual
        | BinaryOp::Greater
        | BinaryOp::GreaterEqual
        | BinaryOp::TrimUpper
        | BinaryOp::TrimLower => 3,
        BinaryOp::Add | BinaryOp::Sub => 4,
        BinaryOp::Mul | BinaryOp::Div | BinaryOp::Mod | BinaryOp::Atan2 => 5,
        BinaryOp::Pow => 6,
    }
}

/// A duration in seconds, computed as Go does so that the last bit agrees.
fn duration_seconds(text: &str) -> Result<f64, DurationError> {
    let ms = parse_duration(text)?;
    Ok((ms / 1000) as f64 + ((ms % 1000) * 1_000_000) as f64 / 1e9)
}
