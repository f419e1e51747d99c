//! Selectors: matchers in braces, and what may follow an expression: ranges, subqueries, `offset`, `@`, `anchored`,
//! `smoothed`.

use crate::model::{METRIC_NAME, MatchOp, Matcher, Timestamp};

use super::ast::{
    AtModifier, BinaryOp, Expr, ExprKind, MatrixSelector, PosRange, RangeExtension, Subquery, TimeModifiers,
    VectorSelector,
};
use super::duration::{Duration, duration_ms};
use super::error::{Fault, Parsing};
use super::parser::{Parsed, Parser};
use super::token::{Keyword, Token, TokenKind};

const SUBQUERY_OR_RANGE: &str = "number, duration, step(), or range()";

impl Parser<'_> {
    /// A selector and nothing else.
    pub(super) fn selector(&mut self) -> Parsing<Expr> {
        if self.kind() == TokenKind::LeftBrace || self.kind().names_metric() {
            return Ok(*self.vector_selector()?.expr);
        }
        self.unexpected("", "")
    }

    /// `name`, `name{...}` or `{...}`, the first token of which is next.
    pub(super) fn vector_selector(&mut self) -> Parsing<Parsed> {
        let first = self.peek();
        let mut pos = first.pos;
        let mut selector = VectorSelector::default();
        if first.kind != TokenKind::LeftBrace {
            self.take();
            self.text_of(first).clone_into(&mut selector.name);
        }
        if self.kind() == TokenKind::LeftBrace {
            let (matchers, close) = self.matchers()?;
            selector.matchers = matchers;
            pos = pos.through(close);
        }
        if !selector.name.is_empty() {
            selector.matchers.push(Matcher::equal(METRIC_NAME, &selector.name));
        }
        self.node(ExprKind::VectorSelector(selector), pos, 0)
    }

    /// Matchers in braces, and the place of the closing one.
    fn matchers(&mut self) -> Parsing<(Vec<Matcher>, PosRange)> {
        self.take();
        let mut matchers = Vec::new();
        loop {
            if let Some(close) = self.take_if(TokenKind::RightBrace) {
                return Ok((matchers, close.pos));
            }
            matchers.push(self.matcher()?);
            if self.take_if(TokenKind::Comma).is_none() && self.kind() != TokenKind::RightBrace {
                return self.unexpected("label matching", "\",\" or \"}\"");
            }
        }
    }

    fn matcher(&mut self) -> Parsing<Matcher> {
        let label = self.peek();
        match label.kind {
            TokenKind::Identifier => {
                self.take();
                let name = self.text_of(label).to_owned();
                match self.match_op() {
                    Some(op) => self.matcher_value(label, &name, op),
                    None => self.unexpected("label matching", "label matching operator"),
                }
            }
            TokenKind::String => {
                self.take();
                let name = self.unquoted_lossy(label)?;
                match self.match_op() {
                    Some(op) => self.matcher_value(label, &name, op),
                    None => Ok(Matcher::equal(METRIC_NAME, &name)),
                }
            }
            _ => self.unexpected("label matching", "identifier or \"}\""),
        }
    }

    fn match_op(&mut self) -> Option<MatchOp> {
        let op = match self.kind() {
            TokenKind::Equal => MatchOp::Equal,
            TokenKind::Operator(BinaryOp::NotEqual) => MatchOp::NotEqual,
            TokenKind::EqualRegex => MatchOp::Regex,
            TokenKind::NotRegex => MatchOp::NotRegex,
            _ => return None,
        };
        self.take();
        Some(op)
    }

    fn matcher_value(&mut self, label: Token, name: &str, op: MatchOp) -> Parsing<Matcher> {
        let Some(value) = self.take_if(TokenKind::String) else {
            return self.unexpected("label matching", "string");
        };
        let text = self.unquoted_lossy(value)?;
        Matcher::new(name, op, &text)
            .map_err(|error| Fault { pos: label.pos.through(value.pos), message: error.to_string() })
    }

    /// Label names and values are UTF-8; what is not matches nothing that could be stored.
    fn unquoted_lossy(&self, token: Token) -> Parsing<String> {
        Ok(String::from_utf8_lossy(&self.unquoted(token)?).into_owned())
    }

    /// Everything that binds to the expression before it.
    pub(super) fn selector_suffixes(&mut self, mut parsed: Parsed) -> Parsing<Parsed> {
        loop {
            match self.kind() {
                TokenKind::LeftBracket => parsed = self.bracketed(parsed)?,
                TokenKind::Keyword(Keyword::Offset) => self.offset(&mut parsed.expr)?,
                TokenKind::At => self.at_modifier(&mut parsed.expr)?,
                TokenKind::Keyword(Keyword::Anchored) => {
                    self.extension(&mut parsed.expr, RangeExtension::Anchored)?;
                }
                TokenKind::Keyword(Keyword::Smoothed) => {
                    self.extension(&mut parsed.expr, RangeExtension::Smoothed)?;
                }
                _ => return Ok(parsed),
            }
        }
    }

    /// `[range]` or `[range:step]`.
    fn bracketed(&mut self, inner: Parsed) -> Parsing<Parsed> {
        let open = self.take();
        let range = self.duration_in("subquery or range selector", SUBQUERY_OR_RANGE)?.positive()?;
        if let Some(close) = self.take_if(TokenKind::RightBracket) {
            return self.matrix_selector(inner, range, open.pos.through(close.pos));
        }
        if self.take_if(TokenKind::Colon).is_none() {
            return self.unexpected("subquery or range", "\":\" or \"]\"");
        }
        let mut step = None;
        if self.kind() != TokenKind::RightBracket {
            let expected = "number, duration, step(), range(), or \"]\"";
            step = Some(self.duration_in("subquery selector", expected)?.positive()?);
        }
        let Some(close) = self.take_if(TokenKind::RightBracket) else {
            return self.unexpected("subquery selector", "\"]\"");
        };
        let pos = inner.expr.pos.through(close.pos);
        let (range_ms, range_expr) = range.split();
        let (step_ms, step_expr) = step.map_or((0, None), Duration::split);
        let time = TimeModifiers::default();
        let subquery = Subquery { expr: inner.expr, range_ms, range_expr, step_ms, step_expr, time };
        self.node(ExprKind::Subquery(subquery), pos, inner.height)
    }

    fn matrix_selector(&self, inner: Parsed, range: Duration, brackets: PosRange) -> Parsing<Parsed> {
        let problem = match &inner.expr.kind {
            ExprKind::VectorSelector(selector) if selector.time.has_offset() => {
                "no offset modifiers allowed before range"
            }
            ExprKind::VectorSelector(selector) if selector.time.at.is_some() => {
                "no @ modifiers allowed before range"
            }
            ExprKind::VectorSelector(_) => {
                let pos = inner.expr.pos.through(brackets);
                let (range_ms, range_expr) = range.split();
                let selector = MatrixSelector { selector: inner.expr, range_ms, range_expr };
                return self.node(ExprKind::MatrixSelector(selector), pos, inner.height);
            }
            _ => "ranges only allowed for vector selectors",
        };
        Fault::new(brackets, problem)
    }

    fn offset(&mut self, expr: &mut Expr) -> Parsing<()> {
        self.take();
        let (offset, end) = self.offset_duration()?;
        let pos = expr.pos;
        let Some(time) = expr.time_modifiers_mut() else {
            return Fault::new(
                pos,
                "offset modifier must be preceded by an instant vector selector or range vector selector or a subquery",
            );
        };
        if time.has_offset() {
            return Fault::new(pos, "offset may not be set multiple times");
        }
        (time.offset_ms, time.offset_expr) = offset.split();
        expr.pos = pos.through(end);
        Ok(())
    }

    fn at_modifier(&mut self, expr: &mut Expr) -> Parsing<()> {
        self.take();
        let pos = expr.pos;
        let (at, end) = self.at_value(pos)?;
        let Some(time) = expr.time_modifiers_mut() else {
            return Fault::new(
                pos,
                "@ modifier must be preceded by an instant vector selector or range vector selector or a subquery",
            );
        };
        if time.at.is_some() {
            return Fault::new(pos, "@ <timestamp> may not be set multiple times");
        }
        time.at = Some(at);
        expr.pos = pos.through(end);
        Ok(())
    }

    /// What follows `@`, and its last token's place. `owner`: place of the expression that it modifies.
    fn at_value(&mut self, owner: PosRange) -> Parsing<(AtModifier, PosRange)> {
        if let TokenKind::Keyword(word @ (Keyword::Start | Keyword::End)) = self.kind() {
            self.take();
            if self.take_if(TokenKind::LeftParen).is_some()
                && let Some(close) = self.take_if(TokenKind::RightParen)
            {
                let at = if word == Keyword::Start { AtModifier::Start } else { AtModifier::End };
                return Ok((at, close.pos));
            }
            return self.unexpected("@", "timestamp");
        }
        let negative = matches!(self.take_sign(), Some((true, _)));
        if !matches!(self.kind(), TokenKind::Number | TokenKind::Duration) {
            return self.unexpected("@", "timestamp");
        }
        let (number, pos) = self.number_literal()?;
        let seconds = if negative { -number.value } else { number.value };
        Ok((AtModifier::Time(timestamp(seconds, owner)?), pos))
    }

    fn extension(&mut self, expr: &mut Expr, wanted: RangeExtension) -> Parsing<()> {
        self.take();
        let name = wanted.as_str();
        if !self.options.extended_range_selectors {
            return Fault::new(expr.pos, format!("{name} modifier is experimental and not enabled"));
        }
        let pos = expr.pos;
        let selector = match &mut expr.kind {
            ExprKind::VectorSelector(selector) => selector,
            ExprKind::MatrixSelector(matrix) => match &mut matrix.selector.kind {
                ExprKind::VectorSelector(selector) => selector,
                _ => unreachable!("a range stands behind a selector"),
            },
            ExprKind::Subquery(_) => {
                return Fault::new(pos, format!("{name} modifier is not supported for subqueries"));
            }
            _ => return Fault::new(pos, format!("{name} modifier not implemented")),
        };
        if selector.extension != RangeExtension::None && selector.extension != wanted {
            return Fault::new(pos, "anchored and smoothed modifiers cannot be used together");
        }
        selector.extension = wanted;
        Ok(())
    }
}

/// Seconds as a time; `owner` is blamed where it is out of bounds.
fn timestamp(seconds: f64, owner: PosRange) -> Parsing<Timestamp> {
    let bound = i64::MAX as f64;
    if seconds.is_nan() || seconds >= bound || seconds <= -bound {
        let text = match seconds {
            s if s == f64::INFINITY => "+Inf".to_owned(),
            s if s == f64::NEG_INFINITY => "-Inf".to_owned(),
            s if s.is_nan() => "NaN".to_owned(),
            s => format!("{s:.6}"),
        };
        return Fault::new(owner, format!("timestamp out of bounds for @ modifier: {text}"));
    }
    Ok((seconds * 1000.0).round() as Timestamp)
}

impl TimeModifiers {
    /// Whether an offset other than zero was given.
    pub(super) const fn has_offset(&self) -> bool {
        self.offset_ms != 0 || self.offset_expr.is_some()
    }
}

impl RangeExtension {
    /// As written in a query; empty for none.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::None => "",
            Self::Anchored => "anchored",
            Self::Smoothed => "smoothed",
        }
    }
}

impl Expr {
    /// `offset` and `@` of a selector or subquery; `None` for everything else.
    pub fn time_modifiers_mut(&mut self) -> Option<&mut TimeModifiers> {
        match &mut self.kind {
            ExprKind::VectorSelector(selector) => Some(&mut selector.time),
            ExprKind::MatrixSelector(matrix) => matrix.selector.time_modifiers_mut(),
            ExprKind::Subquery(subquery) => Some(&mut subquery.time),
            _ => None,
        }
    }
}

impl Duration {
    /// Milliseconds where it is a constant, else the expression.
    fn split(self) -> (i64, Option<Box<super::ast::DurationExpr>>) {
        match self {
            Self::Constant { seconds, .. } => (duration_ms(seconds), None),
            Self::Expr(expr) => (0, Some(expr)),
        }
    }

    /// Itself, unless it is a constant that is not above zero.
    fn positive(self) -> Parsing<Self> {
        match self {
            Self::Constant { seconds, pos, .. } if seconds <= 0.0 || seconds.is_nan() => {
                Fault::new(pos, "duration must be greater than 0")
            }
            other => Ok(other),
        }
    }
}
