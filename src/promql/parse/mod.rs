//! Text to a typed tree; every node keeps its place in the text. No storage, no clock.
//!
//! The way of a text: `lexer` to tokens, `parser` (with `selector` and `duration`) to a tree, `check` for types.
//! `print` and `pretty` write a tree as text again, `json` as the API shows it. Whatever the text, the answer is a
//! tree of bounded depth or one error; nothing panics.

pub mod ast;
pub mod functions;
mod options;
mod error;
mod number;
mod text;
mod token;
mod lexer;
mod parser;
mod duration;
mod selector;
mod check;
mod print;
mod pretty;
mod json;
mod series;

pub use error::ParseError;
pub use json::to_json;
pub use options::ParserOptions;
pub use pretty::pretty;
pub use series::{HistogramSum, SequenceValue, SeriesDescription, parse_series_description};

use crate::model::Matcher;

use ast::{Expr, ExprKind};
use error::Fault;
use parser::Parser;

/// Parses a query and checks its types. The error is the first one found.
pub fn parse_expr(text: &str, options: &ParserOptions) -> Result<Expr, ParseError> {
    let parse = || {
        let mut expr = Parser::new(text, *options)?.query()?;
        check::check(text, &mut expr)?;
        Ok(expr)
    };
    parse().map_err(|fault: Fault| fault.within(text))
}

/// Reads a number as Go does, integer prefixes and `Inf` and `NaN` included, as scripts write an expected scalar.
pub fn parse_test_number(text: &str) -> Option<f64> {
    number::parse_number(text).ok()
}

/// The bytes that a string literal stands for.
pub fn parse_string(literal: &str) -> Option<Vec<u8>> {
    text::unquote(literal)
}

/// Parses a selector as `match[]` takes it: `name`, `name{...}` or `{...}`, which may match everything.
pub fn parse_selector(text: &str) -> Result<Vec<Matcher>, ParseError> {
    let parse = || {
        let mut parser = Parser::new(text, ParserOptions::default())?;
        let expr = parser.selector()?;
        parser.expect_end()?;
        match expr.kind {
            ExprKind::VectorSelector(selector) => Ok(selector.matchers),
            _ => unreachable!("the parser was asked for a selector"),
        }
    };
    parse().map_err(|fault: Fault| fault.within(text))
}

#[cfg(test)]
mod tests;
