//! Durations in brackets and behind `offset`: constants and arithmetic.

use super::ast::{BinaryOp, DurationExpr, DurationExprKind, NumberLiteral, PosRange};
use super::error::{Fault, Parsing};
use super::parser::{Parser, precedence};
use super::token::{Keyword, TokenKind};

/// Most seconds that fit into 64 bits of nanoseconds.
const SECONDS_MAX: f64 = 9_223_372_036.854_776;

/// A duration as written: a constant, or something to be computed when the query's step and range are known.
pub(super) enum Duration {
    Constant { seconds: f64, is_duration: bool, pos: PosRange },
    Expr(Box<DurationExpr>),
}

/// Seconds in milliseconds, by way of whole nanoseconds, as upstream's types have it.
pub(super) fn duration_ms(seconds: f64) -> i64 {
    (seconds * 1e9).round() as i64 / 1_000_000
}

impl Duration {
    fn pos(&self) -> PosRange {
        match self {
            Self::Constant { pos, .. } => *pos,
            Self::Expr(expr) => expr.pos,
        }
    }

    fn into_expr(self) -> Box<DurationExpr> {
        match self {
            Self::Constant { seconds, is_duration, pos } => Box::new(DurationExpr {
                kind: DurationExprKind::Literal(NumberLiteral { value: seconds, is_duration }),
                wrapped: false,
                pos,
            }),
            Self::Expr(expr) => expr,
        }
    }

    fn is_zero(&self) -> bool {
        matches!(self, Self::Constant { seconds, .. } if *seconds == 0.0)
    }

    /// In parentheses, whose place is `pos`. A constant becomes an expression, which keeps the parentheses.
    fn wrapped(self, pos: PosRange) -> Self {
        match self {
            Self::Constant { .. } => {
                let kind = DurationExprKind::Unary { negative: false, expr: self.into_expr() };
                Self::Expr(Box::new(DurationExpr { kind, wrapped: true, pos }))
            }
            Self::Expr(mut expr) => {
                expr.wrapped = true;
                Self::Expr(expr)
            }
        }
    }

    /// With a sign before it; a constant takes it in.
    fn signed(self, negative: bool, sign: PosRange) -> Self {
        match self {
            Self::Constant { seconds, is_duration, pos } => {
                let seconds = if negative { -seconds } else { seconds };
                Self::Constant { seconds, is_duration, pos: sign.through(pos) }
            }
            Self::Expr(expr) if negative => {
                let pos = sign.through(expr.pos);
                let kind = DurationExprKind::Unary { negative, expr };
                Self::Expr(Box::new(DurationExpr { kind, wrapped: false, pos }))
            }
            plain => plain,
        }
    }
}

/// A duration and how many levels its tree has.
struct Measured {
    duration: Duration,
    height: usize,
}

/// What an "unexpected" message says of the place.
#[derive(Clone, Copy)]
struct Place {
    context: &'static str,
    expected: &'static str,
}

impl Parser<'_> {
    /// A duration expression in brackets.
    pub(super) fn duration_in(&mut self, context: &'static str, expected: &'static str) -> Parsing<Duration> {
        Ok(self.duration_binary(0, Place { context, expected })?.duration)
    }

    /// What stands behind `offset`: one term only, so that `a offset 1m + b` adds `b`; arithmetic needs parentheses.
    /// Also answers its last token's place.
    pub(super) fn offset_duration(&mut self) -> Parsing<(Duration, PosRange)> {
        let place = Place { context: "offset", expected: "number, duration, step(), or range()" };
        if self.kind() == TokenKind::LeftParen {
            // Upstream's grammar goes on here with operators that may follow the parenthesis.
            let measured = self.duration_binary(0, place)?;
            let end = self.last_pos();
            return Ok((measured.duration, end));
        }
        let Some((negative, sign)) = self.take_sign() else {
            let measured = self.duration_primary(place)?;
            let end = self.last_pos();
            return Ok((measured.duration, end));
        };
        if matches!(self.kind(), TokenKind::Operator(BinaryOp::Add | BinaryOp::Sub)) {
            // A second sign: an ordinary duration expression with its own precedence.
            let inner = self.duration_unary(place)?;
            let end = self.last_pos();
            return Ok((inner.duration.signed(negative, sign), end));
        }
        let inner = self.duration_primary(place)?.duration;
        let end = self.last_pos();
        let pos = sign.through(inner.pos());
        let is_word = matches!(&inner, Duration::Expr(expr) if !expr.wrapped);
        if is_word && !negative {
            // Upstream keeps a plus before a word, though it never prints it.
            let kind = DurationExprKind::Unary { negative, expr: inner.into_expr() };
            return Ok((Duration::Expr(Box::new(DurationExpr { kind, wrapped: false, pos })), end));
        }
        Ok((inner.signed(negative, sign), end))
    }

    fn duration_binary(&mut self, precedence_min: u8, place: Place) -> Parsing<Measured> {
        let mut left = self.deeper(|parser| parser.duration_unary(place))?;
        while let TokenKind::Operator(op) = self.kind() {
            let precedence = precedence(op);
            if !is_arithmetic(op) || precedence < precedence_min {
                break;
            }
            let sign = self.take();
            let right_min = if op == BinaryOp::Pow { precedence } else { precedence + 1 };
            let right = self.deeper(|parser| parser.duration_binary(right_min, place))?;
            match op {
                BinaryOp::Div if right.duration.is_zero() => {
                    return Fault::new(sign.pos, "division by zero");
                }
                BinaryOp::Mod if right.duration.is_zero() => return Fault::new(sign.pos, "modulo by zero"),
                _ => {}
            }
            let pos = left.duration.pos().through(right.duration.pos());
            let height = left.height.max(right.height) + 1;
            self.check_height(height, pos)?;
            let (left_expr, right_expr) = (left.duration.into_expr(), right.duration.into_expr());
            let kind = DurationExprKind::Binary { op, left: left_expr, right: right_expr };
            let duration = Duration::Expr(Box::new(DurationExpr { kind, wrapped: false, pos }));
            left = Measured { duration, height };
        }
        Ok(left)
    }

    fn duration_unary(&mut self, place: Place) -> Parsing<Measured> {
        let Some((negative, sign)) = self.take_sign() else { return self.duration_primary(place) };
        let inner = self.deeper(|parser| parser.duration_binary(precedence(BinaryOp::Pow), place))?;
        self.check_height(inner.height + 1, sign)?;
        Ok(Measured { duration: inner.duration.signed(negative, sign), height: inner.height + 1 })
    }

    fn duration_primary(&mut self, place: Place) -> Parsing<Measured> {
        match self.kind() {
            TokenKind::Number | TokenKind::Duration => {
                let (number, pos) = self.number_literal()?;
                if number.value.abs() > SECONDS_MAX {
                    return Fault::new(pos, "duration out of range");
                }
                let (seconds, is_duration) = (number.value, number.is_duration);
                Ok(Measured { duration: Duration::Constant { seconds, is_duration, pos }, height: 2 })
            }
            TokenKind::LeftParen => {
                let open = self.take();
                let inner = self.duration_binary(0, place)?;
                let close = self.expect_in_duration(TokenKind::RightParen, place)?;
                self.check_height(inner.height + 1, open.pos)?;
                let duration = inner.duration.wrapped(open.pos.through(close));
                Ok(Measured { duration, height: inner.height + 1 })
            }
            TokenKind::Keyword(word @ (Keyword::Step | Keyword::Range | Keyword::MinOf | Keyword::MaxOf)) => {
                self.duration_word(word, place)
            }
            _ => self.unexpected(place.context, place.expected),
        }
    }

    /// `step()`, `range()`, `min_of(a, b)` or `max_of(a, b)`.
    fn duration_word(&mut self, word: Keyword, place: Place) -> Parsing<Measured> {
        let start = self.take().pos;
        self.expect_in_duration(TokenKind::LeftParen, place)?;
        let mut height = 1;
        let kind = match word {
            Keyword::Step => DurationExprKind::Step,
            Keyword::Range => DurationExprKind::Range,
            _ => {
                let left = self.duration_binary(0, place)?;
                self.expect_in_duration(TokenKind::Comma, place)?;
                let right = self.duration_binary(0, place)?;
                height += left.height.max(right.height);
                let (left, right) = (left.duration.into_expr(), right.duration.into_expr());
                if word == Keyword::MinOf {
                    DurationExprKind::MinOf(left, right)
                } else {
                    DurationExprKind::MaxOf(left, right)
                }
            }
        };
        let close = self.expect_in_duration(TokenKind::RightParen, place)?;
        let pos = start.through(close);
        self.check_height(height, pos)?;
        let duration = Duration::Expr(Box::new(DurationExpr { kind, wrapped: false, pos }));
        Ok(Measured { duration, height })
    }

    fn expect_in_duration(&mut self, kind: TokenKind, place: Place) -> Parsing<PosRange> {
        match self.take_if(kind) {
            Some(token) => Ok(token.pos),
            None => self.unexpected(place.context, place.expected),
        }
    }
}

const fn is_arithmetic(op: BinaryOp) -> bool {
    matches!(
        op,
        BinaryOp::Add | BinaryOp::Sub | BinaryOp::Mul | BinaryOp::Div | BinaryOp::Mod | BinaryOp::Pow
    )
}
