//! The template language of rule annotations and labels: Go's `text/template` with Prometheus' functions.
//!
//! A text is parsed once, when its rule is loaded, and expanded for each alert. Expansion is bounded: in output, in
//! steps and in nesting.

mod budget;
mod exec;
mod functions;
mod lexer;
mod methods;
mod number;
mod parser;
mod print;
mod time;
#[cfg(test)]
mod tests;
mod tree;
mod value;

use std::sync::Arc;

use parser::Templates;
use tree::List;

use crate::model::{Labels, Timestamp};
use crate::promql::{SampleValue, VectorSample};

/// Answers a query that a template asks, at a time.
pub type TemplateQuery<'a> = &'a dyn Fn(&str, Timestamp) -> Result<Vec<VectorSample>, String>;

/// What a template sees: `.Labels`, `.ExternalLabels`, `.ExternalURL`, `.Value`, and the variables of the same names.
#[derive(Clone, Copy)]
pub struct TemplateData<'a> {
    /// Labels of the sample that made the alert.
    pub labels: &'a Labels,
    /// External labels of the configuration.
    pub external_labels: &'a Labels,
    /// URL under which the server is reached from outside; its path is what `pathPrefix` answers.
    pub external_url: &'a str,
    /// Value of that sample.
    pub value: &'a SampleValue,
    /// When the rule is evaluated: the time of `query`.
    pub at: Timestamp,
    /// Evaluates what `query` asks.
    pub query: TemplateQuery<'a>,
}

/// Why a text is no template, or cannot be expanded. The message says where.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct TemplateError {
    /// What is wrong and where.
    pub message: String,
}

/// Variables that every text has besides `$`, and the fields that they are of what it sees.
const VARIABLES: [(&str, &str); 4] = [
    ("$labels", "Labels"),
    ("$externalLabels", "ExternalLabels"),
    ("$externalURL", "ExternalURL"),
    ("$value", "Value"),
];

/// Bytes of the definitions that upstream puts before a text; places on the first line count them.
const DEFINITIONS_LEN: usize = "{{$labels := .Labels}}{{$externalLabels := .ExternalLabels}}\
    {{$externalURL := .ExternalURL}}{{$value := .Value}}"
    .len();

/// Longest text, in bytes.
const TEXT_BYTES_MAX: usize = 1 << 20;

/// A parsed text. Cheap to clone.
#[derive(Clone, Debug, PartialEq)]
pub struct Template(Inner);

#[derive(Clone, Debug, PartialEq)]
enum Inner {
    /// Text without actions.
    Plain(Arc<str>),
    Parsed(Arc<Parsed>),
}

#[derive(Debug, PartialEq)]
struct Parsed {
    name: Box<str>,
    text: Box<str>,
    root: List,
    templates: Templates,
}

impl Parsed {
    /// The template of a name; the whole has one too.
    fn find(&self, name: &str) -> Option<(&str, &List)> {
        if *name == *self.name {
            return Some((&self.name, &self.root));
        }
        self.templates.get_key_value(name).map(|(name, list)| (&**name, list))
    }

    /// Line from one and byte in the line from zero.
    fn position(&self, pos: usize) -> (usize, usize) {
        let before = &self.text[..pos];
        match before.rfind('\n') {
            Some(newline) => (1 + before.matches('\n').count(), pos - newline - 1),
            None => (1, pos + DEFINITIONS_LEN),
        }
    }
}

impl Template {
    /// Reads `text`. `name` stands in messages; of an alerting rule it is `__alert_` and the rule's name.
    ///
    /// An error says `template: NAME:LINE: ...`.
    pub fn parse(name: &str, text: &str) -> Result<Self, TemplateError> {
        let fail = |message| TemplateError { message };
        if text.len() > TEXT_BYTES_MAX {
            return Err(fail(format!("template: {name}:1: text is longer than {TEXT_BYTES_MAX} bytes")));
        }
        if !text.contains("{{") {
            return Ok(Self(Inner::Plain(text.into())));
        }
        let (root, templates) = parser::parse(name, text, &VARIABLES.map(|(name, _)| name)).map_err(fail)?;
        let parsed = Parsed { name: name.into(), text: text.into(), root, templates };
        Ok(Self(Inner::Parsed(Arc::new(parsed))))
    }

    /// Whether there are no actions in it, so that it expands to itself whatever the data.
    pub fn is_plain(&self) -> bool {
        matches!(self.0, Inner::Plain(_))
    }

    /// The text with its actions carried out.
    ///
    /// An error says `error executing template NAME: template: NAME:LINE:COLUMN: ...`, as upstream has it in
    /// `<error expanding template: ...>`; columns on the first line count the definitions that upstream puts there.
    pub fn expand(&self, data: &TemplateData<'_>) -> Result<String, TemplateError> {
        match &self.0 {
            Inner::Plain(text) => Ok(text.as_ref().to_owned()),
            Inner::Parsed(parsed) => exec::expand(parsed, data).map_err(|message| TemplateError {
                message: format!("error executing template {}: {message}", parsed.name),
            }),
        }
    }
}
