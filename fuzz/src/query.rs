//! The query language.

use perdura::promql::parse::{ParserOptions, parse_expr, parse_selector};

/// Queries and selectors, with every option and with none.
pub(super) fn promql_parse(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let options =
        ParserOptions { experimental_functions: true, extended_range_selectors: true, fill_modifiers: true };
    let _ = parse_expr(text, &options);
    // With everything off, less parses; nothing panics.
    let _ = parse_expr(text, &ParserOptions::default());
    let _ = parse_selector(text);
}
