//! A tree as text again, byte for byte as upstream prints it; parsing the text gives the same tree.

use std::fmt::{self, Display, Formatter, Write};

use crate::model::{
    GoQuoted, METRIC_NAME, MatchOp, Matcher, format_duration, format_float, format_float_g,
    is_legacy_label_name,
};

use super::ast::{
    Aggregate, AtModifier, Binary, Call, DurationExpr, DurationExprKind, Expr, ExprKind, MatchCardinality,
    MatrixSelector, NumberLiteral, RangeExtension, Subquery, TimeModifiers, Unary, VectorMatching,
    VectorSelector,
};

impl Display for Expr {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match &self.kind {
            ExprKind::Number(number) => number.fmt(f),
            ExprKind::String(text) => GoQuoted(&text.value).fmt(f),
            ExprKind::VectorSelector(selector) => selector.fmt(f),
            ExprKind::MatrixSelector(matrix) => matrix.fmt(f),
            ExprKind::Subquery(subquery) => {
                write!(f, "{}{}", subquery.expr, subquery.suffix())
            }
            ExprKind::Unary(unary) => write!(f, "{}{}", unary.sign(), unary.expr),
            ExprKind::Binary(binary) => {
                write!(f, "{} {} {}", binary.left, binary.operator(), binary.right)
            }
            ExprKind::Aggregate(aggregate) => aggregate.fmt(f),
            ExprKind::Call(call) => call.fmt(f),
            ExprKind::Paren(inner) => write!(f, "({inner})"),
        }
    }
}

impl Display for NumberLiteral {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        if !self.is_duration {
            return f.write_str(&format_float(self.value));
        }
        let sign = if self.value < 0.0 { "-" } else { "" };
        let ms = (self.value.abs() * 1e9) as i64 / 1_000_000;
        write!(f, "{sign}{}", format_duration(ms))
    }
}

impl Display for VectorSelector {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write_name_and_matchers(f, self)?;
        write_at(f, self.time.at)?;
        write_extension(f, self.extension)?;
        write_offset(f, &self.time)
    }
}

impl Display for MatrixSelector {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let ExprKind::VectorSelector(selector) = &self.selector.kind else {
            unreachable!("a range stands behind a selector")
        };
        write_name_and_matchers(f, selector)?;
        f.write_str("[")?;
        write_duration(f, self.range_ms, self.range_expr.as_deref())?;
        f.write_str("]")?;
        write_extension(f, selector.extension)?;
        write_at(f, selector.time.at)?;
        write_offset(f, &selector.time)
    }
}

fn write_name_and_matchers(f: &mut impl Write, selector: &VectorSelector) -> fmt::Result {
    let is_name = |matcher: &Matcher| {
        matcher.name == METRIC_NAME
            && matcher.op == MatchOp::Equal
            && matcher.value == selector.name
            && !matcher.value.is_empty()
    };
    f.write_str(&selector.name)?;
    let mut matchers: Vec<String> =
        selector.matchers.iter().filter(|m| !is_name(m)).map(Matcher::to_string).collect();
    // The second argument of `info` may match everything; without braces it would not be there.
    if matchers.is_empty() && !selector.name.is_empty() {
        return Ok(());
    }
    matchers.sort_unstable();
    write!(f, "{{{}}}", matchers.join(","))
}

fn write_at(f: &mut impl Write, at: Option<AtModifier>) -> fmt::Result {
    match at {
        None => Ok(()),
        Some(AtModifier::Time(t)) => write!(f, " @ {:.3}", t as f64 / 1000.0),
        Some(AtModifier::Start) => f.write_str(" @ start()"),
        Some(AtModifier::End) => f.write_str(" @ end()"),
    }
}

fn write_extension(f: &mut impl Write, extension: RangeExtension) -> fmt::Result {
    match extension {
        RangeExtension::None => Ok(()),
        named => write!(f, " {}", named.as_str()),
    }
}

fn write_offset(f: &mut impl Write, time: &TimeModifiers) -> fmt::Result {
    match &time.offset_expr {
        Some(expr) => write!(f, " offset {expr}"),
        None if time.offset_ms == 0 => Ok(()),
        None => write!(f, " offset {}", format_duration(time.offset_ms)),
    }
}

fn write_duration(f: &mut impl Write, ms: i64, expr: Option<&DurationExpr>) -> fmt::Result {
    match expr {
        Some(expr) => write!(f, "{expr}"),
        None => f.write_str(&format_duration(ms)),
    }
}

impl Subquery {
    /// `[range:step]` and what follows it.
    pub(super) fn suffix(&self) -> impl Display {
        fmt::from_fn(|f| {
            f.write_str("[")?;
            write_duration(f, self.range_ms, self.range_expr.as_deref())?;
            f.write_str(":")?;
            if self.step_ms != 0 || self.step_expr.is_some() {
                write_duration(f, self.step_ms, self.step_expr.as_deref())?;
            }
            f.write_str("]")?;
            write_at(f, self.time.at)?;
            write_offset(f, &self.time)
        })
    }
}

impl Unary {
    pub(super) const fn sign(&self) -> &'static str {
        if self.negative { "-" } else { "+" }
    }
}

impl Binary {
    /// The operator with all its modifiers.
    pub(super) fn operator(&self) -> impl Display {
        fmt::from_fn(|f| {
            f.write_str(self.op.as_str())?;
            if self.returns_bool {
                f.write_str(" bool")?;
            }
            self.matching.as_ref().map_or(Ok(()), |matching| write_matching(f, matching))
        })
    }
}

fn write_matching(f: &mut impl Write, matching: &VectorMatching) -> fmt::Result {
    let group = match matching.card {
        MatchCardinality::ManyToOne => Some("group_left"),
        MatchCardinality::OneToMany => Some("group_right"),
        MatchCardinality::OneToOne | MatchCardinality::ManyToMany => None,
    };
    if !matching.labels.is_empty() || matching.on || group.is_some() {
        f.write_str(if matching.on { " on (" } else { " ignoring (" })?;
        write_labels(f, &matching.labels)?;
        f.write_str(")")?;
    }
    if let Some(group) = group {
        write!(f, " {group} (")?;
        write_labels(f, &matching.include)?;
        f.write_str(")")?;
    }
    match (matching.fill_left, matching.fill_right) {
        (Some(left), Some(right)) if left == right => write!(f, " fill ({})", format_float_g(left)),
        (left, right) => {
            if let Some(left) = left {
                write!(f, " fill_left ({})", format_float_g(left))?;
            }
            right.map_or(Ok(()), |right| write!(f, " fill_right ({})", format_float_g(right)))
        }
    }
}

fn write_labels(f: &mut impl Write, labels: &[String]) -> fmt::Result {
    for (index, label) in labels.iter().enumerate() {
        if index > 0 {
            f.write_str(", ")?;
        }
        if is_legacy_label_name(label) {
            f.write_str(label)?;
        } else {
            write!(f, "{}", GoQuoted(label))?;
        }
    }
    Ok(())
}

impl Aggregate {
    /// The operator with its grouping.
    pub(super) fn operator(&self) -> impl Display {
        fmt::from_fn(|f| {
            f.write_str(self.op.as_str())?;
            if self.without || !self.grouping.is_empty() {
                f.write_str(if self.without { " without (" } else { " by (" })?;
                write_labels(f, &self.grouping)?;
                f.write_str(") ")?;
            }
            Ok(())
        })
    }
}

impl Display for Aggregate {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(f, "{}(", self.operator())?;
        if let Some(param) = &self.param {
            write!(f, "{param}, ")?;
        }
        write!(f, "{})", self.expr)
    }
}

impl Display for Call {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(f, "{}(", self.function.name)?;
        for (index, arg) in self.args.iter().enumerate() {
            if index > 0 {
                f.write_str(", ")?;
            }
            arg.fmt(f)?;
        }
        f.write_str(")")
    }
}

impl Display for DurationExpr {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        if self.wrapped {
            f.write_str("(")?;
        }
        match &self.kind {
            DurationExprKind::Literal(number) => number.fmt(f)?,
            DurationExprKind::Step => f.write_str("step()")?,
            DurationExprKind::Range => f.write_str("range()")?,
            DurationExprKind::MinOf(left, right) => write!(f, "min_of({left}, {right})")?,
            DurationExprKind::MaxOf(left, right) => write!(f, "max_of({left}, {right})")?,
            DurationExprKind::Unary { negative, expr } => {
                f.write_str(if *negative { "-" } else { "" })?;
                expr.fmt(f)?;
            }
            DurationExprKind::Binary { op, left, right } => {
                write!(f, "{left} {} {right}", op.as_str())?;
            }
        }
        if self.wrapped { f.write_str(")") } else { Ok(()) }
    }
}
