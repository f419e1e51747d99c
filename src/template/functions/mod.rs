//! The functions that templates may call: Go's and Prometheus', in one table.

mod builtins;
mod compare;
mod humanize;
mod links;
mod regex;
mod samples;
mod strings;

use super::TemplateData;
use super::budget::Budget;
use super::value::Value;

/// What an argument must be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Param {
    Any,
    Text,
    Int,
    Duration,
    Time,
    Sample,
    Samples,
}

impl Param {
    /// As Go's messages name the type.
    pub(super) fn type_name(self) -> &'static str {
        match self {
            Self::Any => "interface {}",
            Self::Text => "string",
            Self::Int => "int",
            Self::Duration => "time.Duration",
            Self::Time => "time.Time",
            Self::Sample => "*template.sample",
            Self::Samples => "template.queryResult",
        }
    }
}

/// What functions see besides their arguments.
pub(super) struct Context<'d> {
    pub(super) data: &'d TemplateData<'d>,
    pub(super) budget: Budget,
    pub(super) regexes: regex::Regexes,
}

impl<'d> Context<'d> {
    pub(super) fn new(data: &'d TemplateData<'d>) -> Self {
        Self { data, budget: Budget::default(), regexes: regex::Regexes::default() }
    }

    /// A text of a function's own making, counted.
    fn text(&mut self, text: impl AsRef<[u8]>) -> Result<Value, String> {
        self.budget.produce(text.as_ref().len())?;
        Ok(Value::text(text))
    }
}

type Body = fn(&mut Context<'_>, &[Value]) -> Result<Value, String>;

/// One function.
pub(super) struct Function {
    pub(super) name: &'static str,
    /// Arguments that must be there.
    pub(super) params: &'static [Param],
    /// Whether more follow, of any type.
    pub(super) variadic: bool,
    pub(super) body: Body,
}

/// The place of a function in [`FUNCTIONS`].
pub(super) fn find(name: &str) -> Option<usize> {
    FUNCTIONS.binary_search_by(|function| function.name.cmp(name)).ok()
}

const fn fixed(name: &'static str, params: &'static [Param], body: Body) -> Function {
    Function { name, params, variadic: false, body }
}

const fn variadic(name: &'static str, params: &'static [Param], body: Body) -> Function {
    Function { name, params, variadic: true, body }
}

use Param::{Any, Sample, Samples, Text};

/// All functions, by name.
pub(super) static FUNCTIONS: &[Function] = &[
    // `and`, `or` and `call` are carried out where their arguments are evaluated.
    variadic("and", &[Any], builtins::last),
    variadic("args", &[], samples::args),
    variadic("call", &[Any], builtins::last),
    variadic("eq", &[Any], compare::eq),
    fixed("externalURL", &[], links::external_url),
    fixed("first", &[Samples], samples::first),
    fixed("ge", &[Any, Any], compare::ge),
    fixed("graphLink", &[Text], links::graph_link),
    fixed("gt", &[Any, Any], compare::gt),
    variadic("html", &[], strings::html),
    fixed("humanize", &[Any], humanize::humanize),
    fixed("humanize1024", &[Any], humanize::humanize_1024),
    fixed("humanizeDuration", &[Any], humanize::duration),
    fixed("humanizePercentage", &[Any], humanize::percentage),
    fixed("humanizeTimestamp", &[Any], humanize::timestamp),
    variadic("index", &[Any], builtins::index),
    variadic("js", &[], strings::js),
    fixed("label", &[Text, Sample], samples::label),
    fixed("le", &[Any, Any], compare::le),
    fixed("len", &[Any], builtins::len),
    fixed("lt", &[Any, Any], compare::lt),
    fixed("match", &[Text, Text], regex::is_match),
    fixed("ne", &[Any, Any], compare::ne),
    fixed("not", &[Any], builtins::not),
    fixed("now", &[], humanize::now),
    variadic("or", &[Any], builtins::last),
    fixed("parseDuration", &[Text], humanize::parse_duration),
    fixed("pathPrefix", &[], links::path_prefix),
    variadic("print", &[], builtins::print),
    variadic("printf", &[Text], builtins::printf),
    variadic("println", &[], builtins::println),
    fixed("query", &[Text], samples::query),
    fixed("reReplaceAll", &[Text, Text, Text], regex::replace_all),
    fixed("safeHtml", &[Text], strings::safe_html),
    variadic("slice", &[Any], builtins::slice),
    fixed("sortByLabel", &[Text, Samples], samples::sort_by_label),
    fixed("stripDomain", &[Text], links::strip_domain),
    fixed("stripPort", &[Text], links::strip_port),
    fixed("strvalue", &[Sample], samples::string_value),
    fixed("tableLink", &[Text], links::table_link),
    fixed("title", &[Text], strings::title),
    fixed("toDuration", &[Any], humanize::to_duration),
    fixed("toLower", &[Text], strings::to_lower),
    fixed("toTime", &[Any], humanize::to_time),
    fixed("toUpper", &[Text], strings::to_upper),
    fixed("urlQueryEscape", &[Text], links::query_escape),
    variadic("urlquery", &[], links::url_query),
    fixed("value", &[Sample], samples::value),
];

/// The text of an argument that was checked to be one.
fn text(value: &Value) -> &[u8] {
    match value {
        Value::Text(text) | Value::Html(text) => text,
        _ => b"",
    }
}

/// The same as characters; bytes that are none become U+FFFD.
fn chars(value: &Value) -> std::borrow::Cow<'_, str> {
    String::from_utf8_lossy(text(value))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_is_in_the_order_in_which_it_is_searched() {
        assert!(FUNCTIONS.is_sorted_by(|a, b| a.name < b.name));
    }
}
