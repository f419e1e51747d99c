//! The tree of a PromQL expression.
//!
//! A plain tree of data: no node knows storage or time. Positions are byte offsets into the query text.

use crate::model::{Matcher, Timestamp};

/// Bytes of the query text that a node stands for: `start` included, `end` not.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct PosRange {
    /// First byte.
    pub start: usize,
    /// Byte after the last.
    pub end: usize,
}

/// What an expression evaluates to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ValueType {
    /// One number per step.
    Scalar,
    /// One sample per series and step.
    Vector,
    /// A window of samples per series and step.
    Matrix,
    /// A text.
    String,
}

/// An expression and its place.
#[derive(Clone, Debug, PartialEq)]
pub struct Expr {
    /// What it is.
    pub kind: ExprKind,
    /// Where it stands.
    pub pos: PosRange,
}

/// The kinds of expressions.
#[derive(Clone, Debug, PartialEq)]
pub enum ExprKind {
    /// `1.5`, `0x1f`, `1h` where a number is wanted.
    Number(NumberLiteral),
    /// `"text"`; Go strings, so any bytes.
    String(StringLiteral),
    /// `metric{label="value"}` with its modifiers.
    VectorSelector(VectorSelector),
    /// `selector[5m]`
    MatrixSelector(MatrixSelector),
    /// `expr[1h:5m]`
    Subquery(Subquery),
    /// `-expr`, `+expr`
    Unary(Unary),
    /// `left op right`
    Binary(Binary),
    /// `sum by (job) (expr)`
    Aggregate(Aggregate),
    /// `rate(expr)`
    Call(Call),
    /// `(expr)`
    Paren(Box<Expr>),
}

/// A number.
#[derive(Clone, Debug, PartialEq)]
pub struct NumberLiteral {
    /// Its value; a duration in seconds.
    pub value: f64,
    /// Whether it was written as a duration, which the printer keeps.
    pub is_duration: bool,
}

/// A string.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StringLiteral {
    /// Unquoted bytes.
    pub value: Vec<u8>,
}

/// A selector of series.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct VectorSelector {
    /// The metric name as written before the braces; empty where there is none. Also a matcher on `__name__`.
    pub name: String,
    /// All matchers, the one on `__name__` included.
    pub matchers: Vec<Matcher>,
    /// `offset` and `@`.
    pub time: TimeModifiers,
    /// `anchored` or `smoothed`.
    pub extension: RangeExtension,
}

/// How a range selector treats its edges.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum RangeExtension {
    /// As PromQL always did.
    #[default]
    None,
    /// The sample before the window counts as its edge.
    Anchored,
    /// Edges are interpolated.
    Smoothed,
}

/// `offset` and `@` of a selector or subquery.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct TimeModifiers {
    /// How far back to look, in milliseconds; negative looks ahead. Filled where it is a constant.
    pub offset_ms: i64,
    /// The duration expression that was written instead of a constant.
    pub offset_expr: Option<Box<DurationExpr>>,
    /// `@`.
    pub at: Option<AtModifier>,
}

/// The `@` modifier.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AtModifier {
    /// `@ 1700000000.123`
    Time(Timestamp),
    /// `@ start()`
    Start,
    /// `@ end()`
    End,
}

/// A selector with a range.
#[derive(Clone, Debug, PartialEq)]
pub struct MatrixSelector {
    /// The selector; an [`ExprKind::VectorSelector`].
    pub selector: Box<Expr>,
    /// Width of the window in milliseconds, where it is a constant.
    pub range_ms: i64,
    /// The duration expression that was written instead of a constant.
    pub range_expr: Option<Box<DurationExpr>>,
}

/// A subquery.
#[derive(Clone, Debug, PartialEq)]
pub struct Subquery {
    /// What is evaluated at each inner step.
    pub expr: Box<Expr>,
    /// Width of the window in milliseconds, where it is a constant.
    pub range_ms: i64,
    /// The duration expression that was written instead of a constant.
    pub range_expr: Option<Box<DurationExpr>>,
    /// Inner step in milliseconds; 0 asks for the default, where it is a constant.
    pub step_ms: i64,
    /// The duration expression that was written instead of a constant.
    pub step_expr: Option<Box<DurationExpr>>,
    /// `offset` and `@`.
    pub time: TimeModifiers,
}

/// Arithmetic where a duration stands.
#[derive(Clone, Debug, PartialEq)]
pub struct DurationExpr {
    /// What it is.
    pub kind: DurationExprKind,
    /// Whether it was written in parentheses.
    pub wrapped: bool,
    /// Where it stands.
    pub pos: PosRange,
}

/// The kinds of duration expressions.
#[derive(Clone, Debug, PartialEq)]
pub enum DurationExprKind {
    /// A number of seconds or a duration.
    Literal(NumberLiteral),
    /// `step()`
    Step,
    /// `range()`
    Range,
    /// `min_of(a, b)`
    MinOf(Box<DurationExpr>, Box<DurationExpr>),
    /// `max_of(a, b)`
    MaxOf(Box<DurationExpr>, Box<DurationExpr>),
    /// `-a`, `+a`
    Unary {
        /// Whether it is `-`.
        negative: bool,
        /// Operand.
        expr: Box<DurationExpr>,
    },
    /// `a + b` and its like; of [`BinaryOp`] only the arithmetic ones.
    Binary {
        /// Operator.
        op: BinaryOp,
        /// Left operand.
        left: Box<DurationExpr>,
        /// Right operand.
        right: Box<DurationExpr>,
    },
}

/// A sign before an expression.
#[derive(Clone, Debug, PartialEq)]
pub struct Unary {
    /// Whether it is `-`; `+` changes nothing.
    pub negative: bool,
    /// Operand.
    pub expr: Box<Expr>,
}

/// Binary operators.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[expect(missing_docs, reason = "each is its operator")]
pub enum BinaryOp {
    Add,
    Sub,
    Mul,
    Div,
    Mod,
    Pow,
    Atan2,
    Equal,
    NotEqual,
    Less,
    LessEqual,
    Greater,
    GreaterEqual,
    And,
    Or,
    Unless,
    /// `</`: keeps a histogram's buckets below a bound.
    TrimUpper,
    /// `>/`: keeps a histogram's buckets above a bound.
    TrimLower,
}

impl BinaryOp {
    /// As written in a query.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Add => "+",
            Self::Sub => "-",
            Self::Mul => "*",
            Self::Div => "/",
            Self::Mod => "%",
            Self::Pow => "^",
            Self::Atan2 => "atan2",
            Self::Equal => "==",
            Self::NotEqual => "!=",
            Self::Less => "<",
            Self::LessEqual => "<=",
            Self::Greater => ">",
            Self::GreaterEqual => ">=",
            Self::And => "and",
            Self::Or => "or",
            Self::Unless => "unless",
            Self::TrimUpper => "</",
            Self::TrimLower => ">/",
        }
    }

    /// Whether it compares.
    pub const fn is_comparison(self) -> bool {
        matches!(
            self,
            Self::Equal | Self::NotEqual | Self::Less | Self::LessEqual | Self::Greater | Self::GreaterEqual
        )
    }

    /// Whether it works on sets of series.
    pub const fn is_set(self) -> bool {
        matches!(self, Self::And | Self::Or | Self::Unless)
    }
}

/// A binary operation.
#[derive(Clone, Debug, PartialEq)]
pub struct Binary {
    /// Operator.
    pub op: BinaryOp,
    /// Left operand.
    pub left: Box<Expr>,
    /// Right operand.
    pub right: Box<Expr>,
    /// `bool`: comparisons answer 0 or 1 instead of filtering.
    pub returns_bool: bool,
    /// How vectors are matched; `None` unless both sides are vectors.
    pub matching: Option<VectorMatching>,
}

/// How the series of two vectors find each other.
#[derive(Clone, Debug, PartialEq)]
pub struct VectorMatching {
    /// One-to-one, and so on.
    pub card: MatchCardinality,
    /// Labels of `on` or `ignoring`.
    pub labels: Vec<String>,
    /// Whether they are `on`'s.
    pub on: bool,
    /// Labels of `group_left` or `group_right`.
    pub include: Vec<String>,
    /// `fill` or `fill_left`: value of a missing left side.
    pub fill_left: Option<f64>,
    /// `fill` or `fill_right`: value of a missing right side.
    pub fill_right: Option<f64>,
}

/// How many series of a side may share a signature.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[expect(missing_docs, reason = "each is its name")]
pub enum MatchCardinality {
    OneToOne,
    /// `group_left`
    ManyToOne,
    /// `group_right`
    OneToMany,
    /// Set operators.
    ManyToMany,
}

/// Aggregation operators.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[expect(missing_docs, reason = "each is its operator")]
pub enum AggregateOp {
    Sum,
    Avg,
    Count,
    Min,
    Max,
    Group,
    Stddev,
    Stdvar,
    Topk,
    Bottomk,
    CountValues,
    Quantile,
    Limitk,
    LimitRatio,
}

impl AggregateOp {
    /// As written in a query.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Sum => "sum",
            Self::Avg => "avg",
            Self::Count => "count",
            Self::Min => "min",
            Self::Max => "max",
            Self::Group => "group",
            Self::Stddev => "stddev",
            Self::Stdvar => "stdvar",
            Self::Topk => "topk",
            Self::Bottomk => "bottomk",
            Self::CountValues => "count_values",
            Self::Quantile => "quantile",
            Self::Limitk => "limitk",
            Self::LimitRatio => "limit_ratio",
        }
    }

    /// Whether it takes a parameter before the vector.
    pub const fn takes_parameter(self) -> bool {
        matches!(
            self,
            Self::Topk | Self::Bottomk | Self::CountValues | Self::Quantile | Self::Limitk | Self::LimitRatio
        )
    }
}

/// An aggregation.
#[derive(Clone, Debug, PartialEq)]
pub struct Aggregate {
    /// Operator.
    pub op: AggregateOp,
    /// What is aggregated.
    pub expr: Box<Expr>,
    /// Parameter of `topk` and its like.
    pub param: Option<Box<Expr>>,
    /// Labels of `by` or `without`, as written.
    pub grouping: Vec<String>,
    /// Whether they are `without`'s.
    pub without: bool,
}

/// A function call.
#[derive(Clone, Debug, PartialEq)]
pub struct Call {
    /// The function, out of the one table of functions.
    pub function: &'static super::functions::Function,
    /// Arguments as written.
    pub args: Vec<Expr>,
}

impl Expr {
    /// The type of its value.
    pub fn value_type(&self) -> ValueType {
        match &self.kind {
            ExprKind::Number(_) => ValueType::Scalar,
            ExprKind::String(_) => ValueType::String,
            ExprKind::VectorSelector(_) | ExprKind::Aggregate(_) => ValueType::Vector,
            ExprKind::MatrixSelector(_) | ExprKind::Subquery(_) => ValueType::Matrix,
            ExprKind::Unary(unary) => unary.expr.value_type(),
            ExprKind::Paren(inner) => inner.value_type(),
            ExprKind::Call(call) => call.function.returns,
            ExprKind::Binary(binary) => match (binary.left.value_type(), binary.right.value_type()) {
                (ValueType::Scalar, ValueType::Scalar) => ValueType::Scalar,
                _ => ValueType::Vector,
            },
        }
    }

    /// Shows `visit` this expression and all that are part of it, the outer ones first.
    pub fn walk<'a>(&'a self, visit: &mut impl FnMut(&'a Self)) {
        visit(self);
        match &self.kind {
            ExprKind::Number(_) | ExprKind::String(_) | ExprKind::VectorSelector(_) => {}
            ExprKind::MatrixSelector(matrix) => matrix.selector.walk(visit),
            ExprKind::Subquery(subquery) => subquery.expr.walk(visit),
            ExprKind::Unary(unary) => unary.expr.walk(visit),
            ExprKind::Binary(binary) => [&binary.left, &binary.right].into_iter().for_each(|e| e.walk(visit)),
            ExprKind::Aggregate(aggregate) => {
                aggregate.param.iter().for_each(|param| param.walk(visit));
                aggregate.expr.walk(visit);
            }
            ExprKind::Call(call) => call.args.iter().for_each(|arg| arg.walk(visit)),
            ExprKind::Paren(inner) => inner.walk(visit),
        }
    }

    /// The expression without parentheses around it.
    pub fn without_parens(&self) -> &Self {
        match &self.kind {
            ExprKind::Paren(inner) => inner.without_parens(),
            _ => self,
        }
    }
}
