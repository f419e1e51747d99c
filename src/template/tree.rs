//! What a parsed template is. Everything prints as messages quote it.

use std::fmt;
use std::sync::Arc;

use super::number::Number;
use crate::model::GoQuoted;

/// A list of pieces, in the order in which they are carried out.
pub(super) type List = Vec<Node>;

/// A piece of a template.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Node {
    /// Text as it stands.
    Text(Box<str>),
    /// A pipeline whose value is printed, unless it sets variables.
    Action(Pipe),
    /// `if`.
    If(Branch),
    /// `with`.
    With(Branch),
    /// `range`.
    Range(Branch),
    /// `template` and `block`.
    Template(Invocation),
    /// `break`.
    Break,
    /// `continue`.
    Continue,
}

/// A pipeline that decides on what follows it.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Branch {
    pub(super) keyword: &'static str,
    pub(super) pipe: Pipe,
    pub(super) list: List,
    pub(super) otherwise: Option<List>,
}

/// A named template carried out here.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Invocation {
    pub(super) pos: usize,
    pub(super) name: Box<str>,
    pub(super) pipe: Option<Pipe>,
}

/// Commands, each given the value of the one before it as its last argument.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Pipe {
    pub(super) pos: usize,
    /// Whether the variables exist already.
    pub(super) assigns: bool,
    /// Names with their `$`.
    pub(super) variables: Vec<Box<str>>,
    pub(super) commands: Vec<Command>,
}

/// A word and its arguments; never empty.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Command {
    pub(super) pos: usize,
    pub(super) operands: Vec<Operand>,
}

/// One word of a command.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Operand {
    pub(super) pos: usize,
    pub(super) term: Term,
}

/// What a word is.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Term {
    Bool(bool),
    Dot,
    Nil,
    Number(Number),
    /// As written, and what it means.
    Text(Box<str>, Arc<[u8]>),
    /// A function by its place in the table.
    Function(usize),
    /// `.a.b`
    Field(Vec<Box<str>>),
    /// `$a.b`; the first name has its `$`.
    Variable(Vec<Box<str>>),
    /// `(...).a.b`
    Chain(Box<Operand>, Vec<Box<str>>),
    Pipe(Pipe),
}

/// What messages point at.
pub(super) trait Place: fmt::Display {
    /// Byte in the text.
    fn pos(&self) -> usize;
}

impl Place for Node {
    fn pos(&self) -> usize {
        match self {
            Self::Action(pipe) => pipe.pos,
            Self::If(branch) | Self::With(branch) | Self::Range(branch) => branch.pipe.pos,
            Self::Template(invocation) => invocation.pos,
            Self::Text(_) | Self::Break | Self::Continue => 0,
        }
    }
}

impl Place for Pipe {
    fn pos(&self) -> usize {
        self.pos
    }
}

impl Place for Command {
    fn pos(&self) -> usize {
        self.pos
    }
}

impl Place for Operand {
    fn pos(&self) -> usize {
        self.pos
    }
}

impl fmt::Display for Node {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Text(text) => f.write_str(text),
            Self::Action(pipe) => write!(f, "{{{{{pipe}}}}}"),
            Self::If(branch) | Self::With(branch) | Self::Range(branch) => write!(f, "{branch}"),
            Self::Template(invocation) => {
                write!(f, "{{{{template {}", GoQuoted(invocation.name.as_bytes()))?;
                if let Some(pipe) = &invocation.pipe {
                    write!(f, " {pipe}")?;
                }
                f.write_str("}}")
            }
            Self::Break => f.write_str("{{break}}"),
            Self::Continue => f.write_str("{{continue}}"),
        }
    }
}

impl fmt::Display for Branch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{{{{{} {}}}}}", self.keyword, self.pipe)?;
        self.list.iter().try_for_each(|node| write!(f, "{node}"))?;
        if let Some(list) = &self.otherwise {
            f.write_str("{{else}}")?;
            list.iter().try_for_each(|node| write!(f, "{node}"))?;
        }
        f.write_str("{{end}}")
    }
}

impl fmt::Display for Pipe {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !self.variables.is_empty() {
            f.write_str(&self.variables.join(", "))?;
            f.write_str(if self.assigns { " = " } else { " := " })?;
        }
        for (index, command) in self.commands.iter().enumerate() {
            if index > 0 {
                f.write_str(" | ")?;
            }
            write!(f, "{command}")?;
        }
        Ok(())
    }
}

impl fmt::Display for Command {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, operand) in self.operands.iter().enumerate() {
            if index > 0 {
                f.write_str(" ")?;
            }
            write_operand(f, operand)?;
        }
        Ok(())
    }
}

/// A pipeline among operands stands in parentheses.
fn write_operand(f: &mut fmt::Formatter<'_>, operand: &Operand) -> fmt::Result {
    match &operand.term {
        Term::Pipe(pipe) => write!(f, "({pipe})"),
        _ => write!(f, "{operand}"),
    }
}

impl fmt::Display for Operand {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.term {
            Term::Bool(value) => write!(f, "{value}"),
            Term::Dot => f.write_str("."),
            Term::Nil => f.write_str("nil"),
            Term::Number(number) => f.write_str(&number.text),
            Term::Text(quoted, _) => f.write_str(quoted),
            Term::Function(index) => f.write_str(super::functions::FUNCTIONS[*index].name),
            Term::Field(names) => write!(f, ".{}", names.join(".")),
            Term::Variable(names) => f.write_str(&names.join(".")),
            Term::Chain(operand, names) => {
                write_operand(f, operand)?;
                write!(f, ".{}", names.join("."))
            }
            Term::Pipe(pipe) => write!(f, "{pipe}"),
        }
    }
}
