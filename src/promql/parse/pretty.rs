//! A tree as text over several lines, as `/api/v1/format_query` answers it.

use std::fmt::{self, Display, Write};

use super::ast::{Expr, ExprKind, Unary};

/// What fits into so many bytes stays on one line.
const LINE_BYTES_MAX: usize = 100;

/// The expression with a line for each part of what is longer than 100 bytes, indented by its depth; upstream's layout.
pub fn pretty(expr: &Expr) -> String {
    pretty_within(expr, LINE_BYTES_MAX)
}

pub(super) fn pretty_within(expr: &Expr, line_bytes_max: usize) -> String {
    let mut layout = Layout { out: String::new(), line_bytes_max };
    layout.expr(expr, 0);
    layout.out
}

struct Layout {
    out: String,
    line_bytes_max: usize,
}

impl Layout {
    /// Writes `expr` at `level`; whoever wrote the line break before it passes a level above zero.
    fn expr(&mut self, expr: &Expr, level: usize) {
        match &expr.kind {
            ExprKind::Subquery(subquery) if self.is_long(expr) => {
                self.expr(&subquery.expr, level);
                self.push(subquery.suffix());
            }
            // Upstream does not indent a subquery that fits.
            ExprKind::Subquery(_) => self.push(expr),
            ExprKind::Unary(unary) => self.unary(unary, level),
            _ if !self.is_long(expr) => {
                self.indent(level);
                self.push(expr);
            }
            _ => self.split(expr, level),
        }
    }

    /// The sign stands before the operand's first line.
    fn unary(&mut self, unary: &Unary, level: usize) {
        self.indent(level);
        self.out.push_str(unary.sign());
        let operand = self.out.len();
        self.expr(&unary.expr, level);
        let blank = self.out[operand..].len() - self.out[operand..].trim_start().len();
        self.out.drain(operand..operand + blank);
    }

    /// Writes what is too long for one line.
    fn split(&mut self, expr: &Expr, level: usize) {
        match &expr.kind {
            ExprKind::Aggregate(aggregate) => {
                self.indent(level);
                self.push(aggregate.operator());
                let args = aggregate.param.iter().map(AsRef::as_ref).chain([aggregate.expr.as_ref()]);
                self.arguments(args, level);
            }
            ExprKind::Call(call) => {
                self.indent(level);
                self.push(call.function.name);
                self.arguments(call.args.iter(), level);
            }
            ExprKind::Paren(inner) => {
                self.indent(level);
                self.arguments([inner.as_ref()].into_iter(), level);
            }
            ExprKind::Binary(binary) => {
                self.expr(&binary.left, level + 1);
                self.push("\n");
                self.indent(level);
                self.push(binary.operator());
                self.push("\n");
                self.expr(&binary.right, level + 1);
            }
            _ => {
                self.indent(level);
                self.push(expr);
            }
        }
    }

    /// Writes arguments in parentheses, a line each.
    fn arguments<'a>(&mut self, args: impl Iterator<Item = &'a Expr>, level: usize) {
        self.push("(");
        for (index, arg) in args.enumerate() {
            self.push(if index > 0 { ",\n" } else { "\n" });
            self.expr(arg, level + 1);
        }
        self.push("\n");
        self.indent(level);
        self.push(")");
    }

    fn indent(&mut self, level: usize) {
        self.out.extend(std::iter::repeat_n("  ", level));
    }

    fn push(&mut self, part: impl Display) {
        write!(self.out, "{part}").expect("writing to a string does not fail");
    }

    /// Whether the text of `expr` is too long for a line; writes no more of it than needed to know.
    fn is_long(&self, expr: &Expr) -> bool {
        write!(Counter(self.line_bytes_max), "{expr}").is_err()
    }
}

/// Counts down what is written, and refuses what no longer fits.
struct Counter(usize);

impl Write for Counter {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        self.0 = self.0.checked_sub(text.len()).ok_or(fmt::Error)?;
        Ok(())
    }
}
