//! The query language.

use perdura::promql::parse::{ParserOptions, parse_expr, parse_selector};

/// Whatever parses is printed as text that parses to the same print.
pub(super) fn promql_parse(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let options =
        ParserOptions { experimental_functions: true, extended_range_selectors: true, fill_modifiers: true };
    if let Ok(expr) = parse_expr(text, &options) {
        let printed = expr.to_string();
        let again = parse_expr(&printed, &options)
            .unwrap_or_else(|error| panic!("{text:?} prints as {printed:?}, which does not parse: {error}"));
        assert_eq!(again.to_string(), printed, "{text:?} does not print the same twice");
    }
    // With everything off, less parses; nothing panics.
    let _ = parse_expr(text, &ParserOptions::default());
    let _ = parse_selector(text);
}
