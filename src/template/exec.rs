//! Carries out a parsed template.

mod eval;

use std::sync::Arc;

use super::budget::{check_output, too_long};
use super::functions::Context;
use super::print::{TooLong, sprint, sprint_shown, sprint_struct};
use super::tree::{Branch, Invocation, Node, Pipe, Place};
use super::value::{Data, IntKind, Value};
use super::{Parsed, TemplateData};
use crate::model::GoQuoted;

/// Deepest nesting of what is carried out: templates in templates, blocks in blocks, parentheses in parentheses.
const DEPTH_MAX: usize = 200;

/// Whether the next piece follows, or a `range` is left.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Flow {
    Next,
    Break,
    Continue,
}

/// What a template renders with `data`; or what is wrong and where.
pub(super) fn expand(template: &Parsed, data: &TemplateData<'_>) -> Result<String, String> {
    let root = Value::Data(Arc::new(Data {
        labels: data.labels.clone(),
        external_labels: data.external_labels.clone(),
        external_url: Value::text(data.external_url),
        value: Value::from(data.value),
    }));
    let mut exec = Exec::new(template, data, &root);
    match exec.walk(&root, &template.root) {
        Ok(_) => Ok(String::from_utf8(exec.out)
            .unwrap_or_else(|error| String::from_utf8_lossy(error.as_bytes()).into_owned())),
        Err(message) => Err(exec.located(&message)),
    }
}

struct Exec<'t, 'd> {
    template: &'t Parsed,
    context: Context<'d>,
    out: Vec<u8>,
    /// Variables by name, the newest last.
    variables: Vec<(&'t str, Value)>,
    /// Name of the template that is being carried out.
    name: &'t str,
    /// What messages point at.
    at: Option<&'t dyn Place>,
    depth: usize,
}

impl<'t, 'd> Exec<'t, 'd> {
    fn new(template: &'t Parsed, data: &'d TemplateData<'d>, root: &Value) -> Self {
        let fields =
            super::VARIABLES.iter().map(|(name, field)| (*name, root.field(field).unwrap_or(Value::Nothing)));
        let variables = std::iter::once(("$", root.clone())).chain(fields).collect();
        let context = Context::new(data);
        let name = &template.name;
        Self { template, context, out: Vec::new(), variables, name, at: None, depth: 0 }
    }

    /// `message` with the place that it is about.
    fn located(&self, message: &str) -> String {
        let name = &self.template.name;
        let Some(place) = self.at else { return format!("template: {name}: {message}") };
        let (line, column) = self.template.position(place.pos());
        let current = GoQuoted(self.name);
        format!("template: {name}:{line}:{column}: executing {current} at <{}>: {message}", shown(place))
    }

    /// Runs `run` one level deeper.
    fn deeper<T>(&mut self, run: impl FnOnce(&mut Self) -> Result<T, String>) -> Result<T, String> {
        if self.depth == DEPTH_MAX {
            return Err(format!("exceeded maximum template depth ({DEPTH_MAX})"));
        }
        self.depth += 1;
        let result = run(self);
        self.depth -= 1;
        result
    }

    fn write(&mut self, text: &[u8]) -> Result<(), String> {
        self.context.budget.produce(text.len())?;
        check_output(self.out.len() + text.len())?;
        self.out.extend_from_slice(text);
        Ok(())
    }

    fn walk(&mut self, dot: &Value, list: &'t [Node]) -> Result<Flow, String> {
        for node in list {
            self.context.budget.step(1)?;
            let flow = self.node(dot, node)?;
            if flow != Flow::Next {
                return Ok(flow);
            }
        }
        Ok(Flow::Next)
    }

    fn node(&mut self, dot: &Value, node: &'t Node) -> Result<Flow, String> {
        if !matches!(node, Node::Text(_)) {
            self.at = Some(node);
        }
        match node {
            Node::Text(text) => self.write(text.as_bytes())?,
            Node::Action(pipe) => {
                let value = self.pipe(dot, pipe)?;
                if pipe.variables.is_empty() {
                    self.at = Some(node);
                    self.print(&value)?;
                }
            }
            Node::If(branch) => return self.deeper(|exec| exec.condition(dot, branch, false)),
            Node::With(branch) => return self.deeper(|exec| exec.condition(dot, branch, true)),
            Node::Range(branch) => return self.deeper(|exec| exec.range(dot, branch)),
            Node::Template(invocation) => self.deeper(|exec| exec.invoke(dot, invocation))?,
            Node::Break => return Ok(Flow::Break),
            Node::Continue => return Ok(Flow::Continue),
        }
        Ok(Flow::Next)
    }

    fn print(&mut self, value: &Value) -> Result<(), String> {
        if let Value::Text(text) | Value::Html(text) = value {
            return self.write(text);
        }
        let bytes_max = self.context.budget.bytes_left();
        let text = sprint_shown(std::slice::from_ref(value), bytes_max).map_err(|TooLong| too_long())?;
        self.write(&text)
    }

    fn printed(&self, value: &Value) -> Result<Vec<u8>, String> {
        let bytes_max = self.context.budget.bytes_left();
        sprint(std::slice::from_ref(value), bytes_max).map_err(|TooLong| too_long())
    }

    /// As the struct that a pointer points at is printed.
    fn behind_pointer(&self, value: &Value) -> Result<Vec<u8>, String> {
        let bytes_max = self.context.budget.bytes_left();
        sprint_struct(value, bytes_max).map_err(|TooLong| too_long())
    }

    fn condition(&mut self, dot: &Value, branch: &'t Branch, moves_dot: bool) -> Result<Flow, String> {
        let visible = self.variables.len();
        let value = self.pipe(dot, &branch.pipe)?;
        let flow = match (value.is_true(), &branch.otherwise) {
            (true, _) => self.walk(if moves_dot { &value } else { dot }, &branch.list)?,
            (false, Some(list)) => self.walk(dot, list)?,
            (false, None) => Flow::Next,
        };
        self.variables.truncate(visible);
        Ok(flow)
    }

    fn range(&mut self, dot: &Value, branch: &'t Branch) -> Result<Flow, String> {
        let visible = self.variables.len();
        let value = self.pipe(dot, &branch.pipe)?;
        let count = match &value {
            Value::List(_, items) => self.each(branch, items.iter().cloned().enumerate().map(counted))?,
            Value::Labels(labels) => {
                let labels = labels.clone();
                self.each(
                    branch,
                    labels.iter().map(|label| (Value::text(label.name), Value::text(label.value))),
                )?
            }
            Value::Args(args) => self
                .each(branch, args.entries.iter().map(|(name, value)| (Value::text(name), value.clone())))?,
            Value::Int(..) if branch.pipe.variables.len() > 1 => {
                let shown = String::from_utf8_lossy(&self.printed(&value)?).into_owned();
                return Err(format!("can't use {shown} to iterate over more than one variable"));
            }
            Value::Int(kind, end) => {
                self.each(branch, (0..*end).map(|at| (Value::Nothing, Value::Int(*kind, at))))?
            }
            Value::Nothing => 0,
            other => {
                let text = match other {
                    Value::Sample(_) | Value::Histogram(_) => self.behind_pointer(other)?,
                    _ => self.printed(other)?,
                };
                let shown = String::from_utf8_lossy(&text);
                return Err(format!("range can't iterate over {shown}"));
            }
        };
        let flow = match &branch.otherwise {
            Some(list) if count == 0 => self.walk(dot, list)?,
            _ => Flow::Next,
        };
        self.variables.truncate(visible);
        Ok(flow)
    }

    /// Carries out the body for each index and element, and answers for how many.
    fn each(
        &mut self,
        branch: &'t Branch,
        elements: impl Iterator<Item = (Value, Value)>,
    ) -> Result<usize, String> {
        let visible = self.variables.len();
        let mut count = 0;
        for (index, element) in elements {
            self.context.budget.step(1)?;
            self.context.budget.look_at(&element)?;
            count += 1;
            self.set_range_variables(&branch.pipe, index, &element)?;
            let flow = self.walk(&element, &branch.list)?;
            self.variables.truncate(visible);
            if flow == Flow::Break {
                break;
            }
        }
        Ok(count)
    }

    /// One variable is the element; of two the first is the index.
    fn set_range_variables(&mut self, pipe: &'t Pipe, index: Value, element: &Value) -> Result<(), String> {
        let element = element.clone();
        match pipe.variables.as_slice() {
            [] => Ok(()),
            [one] if pipe.assigns => self.assign(one, element),
            [first, second, ..] if pipe.assigns => {
                self.assign(first, index)?;
                self.assign(second, element)
            }
            names => {
                // The pipeline has just declared them.
                let top = self.variables.len();
                let values = if names.len() > 1 { vec![index, element] } else { vec![element] };
                let declared = &mut self.variables[top - values.len()..];
                for (variable, value) in declared.iter_mut().zip(values) {
                    variable.1 = value;
                }
                Ok(())
            }
        }
    }

    fn invoke(&mut self, dot: &Value, invocation: &'t Invocation) -> Result<(), String> {
        let template = self.template;
        let Some((name, list)) = template.find(&invocation.name) else {
            return Err(format!("template {} not defined", GoQuoted(invocation.name.as_bytes())));
        };
        let dot = match &invocation.pipe {
            Some(pipe) => self.pipe(dot, pipe)?,
            None => Value::Nothing,
        };
        let variables = std::mem::replace(&mut self.variables, vec![("$", dot.clone())]);
        let caller = std::mem::replace(&mut self.name, name);
        self.walk(&dot, list)?;
        self.variables = variables;
        self.name = caller;
        Ok(())
    }
}

fn counted((index, element): (usize, Value)) -> (Value, Value) {
    (Value::Int(IntKind::Int, i64::try_from(index).unwrap_or(i64::MAX)), element)
}

/// What a message quotes of the template, cut where it is long.
fn shown(place: &dyn Place) -> String {
    const CHARS_MAX: usize = 1_000;
    let text = place.to_string();
    match text.char_indices().nth(CHARS_MAX) {
        Some((end, _)) => format!("{}...", &text[..end]),
        None => text,
    }
}
