//! Regular expressions: `match` and `reReplaceAll`.

use std::collections::HashMap;

use regex_automata::meta::Regex;
use regex_automata::util::captures::Captures;

use super::{Context, chars};
use crate::model::translate_re2;
use crate::template::budget::too_long;
use crate::template::value::Value;

/// Longest pattern, in bytes.
const PATTERN_BYTES_MAX: usize = 1 << 16;
/// Most memory of a compiled pattern, in bytes.
const COMPILED_BYTES_MAX: usize = 4 << 20;
/// Patterns that one expansion keeps compiled.
const KEPT_MAX: usize = 32;
/// Steps that compiling a pattern counts for.
const COMPILE_STEPS: u64 = 10_000;

/// Patterns compiled by this expansion.
#[derive(Default)]
pub(crate) struct Regexes(HashMap<String, Regex>);

fn compiled(context: &mut Context<'_>, pattern: &str) -> Result<Regex, String> {
    if let Some(regex) = context.regexes.0.get(pattern) {
        return Ok(regex.clone());
    }
    context.budget.step(COMPILE_STEPS)?;
    let regex = compile(pattern)?;
    if context.regexes.0.len() < KEPT_MAX {
        context.regexes.0.insert(pattern.to_owned(), regex.clone());
    }
    Ok(regex)
}

fn compile(pattern: &str) -> Result<Regex, String> {
    if pattern.len() > PATTERN_BYTES_MAX {
        return Err(format!("error parsing regexp: pattern of {} bytes is too long", pattern.len()));
    }
    let translated = translate_re2(pattern).map_err(|error| format!("error parsing regexp: {error}"))?;
    Regex::builder()
        .configure(Regex::config().nfa_size_limit(Some(COMPILED_BYTES_MAX)))
        .build(&translated)
        .map_err(|error| format!("error parsing regexp: {}", describe(&error)))
}

/// One line that says what is wrong with a pattern.
fn describe(error: &regex_automata::meta::BuildError) -> String {
    if error.size_limit().is_some() {
        return "expression too large".to_owned();
    }
    let text = error.syntax_error().map_or_else(|| error.to_string(), ToString::to_string);
    let last = text.lines().last().unwrap_or_default();
    last.strip_prefix("error: ").unwrap_or(last).to_owned()
}

pub(super) fn is_match(context: &mut Context<'_>, args: &[Value]) -> Result<Value, String> {
    let (pattern, text) = (chars(&args[0]), chars(&args[1]));
    let regex = compiled(context, &pattern)?;
    Ok(Value::Bool(regex.is_match(text.as_ref())))
}

pub(super) fn replace_all(context: &mut Context<'_>, args: &[Value]) -> Result<Value, String> {
    let (pattern, replacement, text) = (chars(&args[0]), chars(&args[1]), chars(&args[2]));
    let regex = compiled(context, &pattern)
        .map_err(|error| format!("regexp: Compile({}): {error}", quoted_pattern(&pattern)))?;
    let mut out = String::new();
    let mut copied = 0;
    for captures in regex.captures_iter(text.as_ref()) {
        let Some(whole) = captures.get_match() else { continue };
        out.push_str(&text[copied..whole.start()]);
        expand(&replacement, &regex, &captures, &text, &mut out);
        copied = whole.end();
        // A search may look at everything that is left, whatever it finds.
        context.budget.step(1)?;
        context.budget.look(text.len() - copied)?;
        if out.len() > context.budget.bytes_left() {
            return Err(too_long());
        }
    }
    out.push_str(&text[copied..]);
    context.text(out)
}

/// As Go quotes a pattern in a message: in backquotes where that is possible.
fn quoted_pattern(pattern: &str) -> String {
    if pattern.chars().all(|c| c != '`' && (c == '\t' || c >= ' ') && c != '\u{7f}') {
        format!("`{pattern}`")
    } else {
        crate::model::GoQuoted(pattern).to_string()
    }
}

/// Writes `template` with `$1`, `${name}` and `$$` replaced.
fn expand(template: &str, regex: &Regex, captures: &Captures, text: &str, out: &mut String) {
    let mut rest = template;
    while let Some(at) = rest.find('$') {
        out.push_str(&rest[..at]);
        rest = &rest[at + 1..];
        if let Some(after) = rest.strip_prefix('$') {
            out.push('$');
            rest = after;
        } else if let Some((name, after)) = reference(rest) {
            let group = match name.parse::<usize>() {
                Ok(index) => captures.get_group(index),
                Err(_) => regex
                    .group_info()
                    .to_index(regex_automata::PatternID::ZERO, name)
                    .and_then(|index| captures.get_group(index)),
            };
            out.push_str(group.map_or("", |span| &text[span.start..span.end]));
            rest = after;
        } else {
            out.push('$');
        }
    }
    out.push_str(rest);
}

/// The name behind a `$`, and what follows it.
fn reference(text: &str) -> Option<(&str, &str)> {
    let (braced, body) = match text.strip_prefix('{') {
        Some(body) => (true, body),
        None => (false, text),
    };
    let len = body.len() - body.trim_start_matches(|c: char| c.is_alphanumeric() || c == '_').len();
    let (name, after) = body.split_at(len);
    if name.is_empty() {
        return None;
    }
    if braced { Some((name, after.strip_prefix('}')?)) } else { Some((name, after)) }
}
