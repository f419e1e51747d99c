//! Tokens to a tree. Which variables and functions exist is checked here, as Go does.

use std::collections::BTreeMap;

use super::functions;
use super::lexer::{Keyword, Kind, Lexer, Token};
use super::number::{Number, unquote};
use super::tree::{Branch, Command, Invocation, List, Node, Operand, Pipe, Term};
use crate::model::GoQuoted;

/// Deepest nesting of blocks and parentheses.
const NESTING_MAX: usize = 64;

/// Named templates.
pub(super) type Templates = BTreeMap<Box<str>, List>;

/// Reads `text`. `variables` exist already. Answers the whole, and the templates that it defines by name.
pub(super) fn parse(name: &str, text: &str, variables: &[&str]) -> Result<(List, Templates), String> {
    let mut parser = Parser::new(name, text, variables);
    let root = parser.top().map_err(|message| parser.located(&message))?;
    Ok((root, parser.templates))
}

struct Parser<'a> {
    name: &'a str,
    lexer: Lexer<'a>,
    /// Tokens put back, the next one last.
    pending: Vec<Token<'a>>,
    /// Line of the token read last.
    line: usize,
    /// Where the action starts that is being read.
    action_line: Option<usize>,
    variables: Vec<Box<str>>,
    templates: Templates,
    range_depth: usize,
    nesting: usize,
}

/// What ends a list.
enum Ending {
    End,
    Else,
}

impl Ending {
    fn describe(&self) -> &'static str {
        match self {
            Self::End => "{{end}}",
            Self::Else => "{{else}}",
        }
    }
}

/// A piece, or what ends the list that it would stand in.
enum Piece {
    Node(Node),
    Ending(Ending),
}

impl<'a> Parser<'a> {
    fn new(name: &'a str, text: &'a str, variables: &[&str]) -> Self {
        let known = std::iter::once(&"$").chain(variables);
        Self {
            name,
            lexer: Lexer::new(text),
            pending: Vec::new(),
            line: 1,
            action_line: None,
            variables: known.map(|name| (*name).into()).collect(),
            templates: Templates::new(),
            range_depth: 0,
            nesting: 0,
        }
    }

    fn located(&self, message: &str) -> String {
        format!("template: {}:{}: {message}", self.name, self.line)
    }

    fn next(&mut self) -> Token<'a> {
        if let Some(token) = self.pending.pop() {
            return token;
        }
        let token = self.lexer.next_token();
        self.line = token.line;
        token
    }

    fn back(&mut self, token: Token<'a>) {
        self.pending.push(token);
    }

    fn peek(&mut self) -> &Token<'a> {
        if self.pending.is_empty() {
            let token = self.next();
            self.pending.push(token);
        }
        self.pending.last().expect("one was put there")
    }

    fn next_after_space(&mut self) -> Token<'a> {
        loop {
            let token = self.next();
            if token.kind != Kind::Space {
                return token;
            }
        }
    }

    fn peek_after_space(&mut self) -> &Token<'a> {
        let token = self.next_after_space();
        self.back(token);
        self.peek()
    }

    fn unexpected<T>(&self, token: &Token<'_>, context: &str) -> Result<T, String> {
        if token.kind != Kind::Error {
            return Err(format!("unexpected {} in {context}", token.describe()));
        }
        let mut extra = String::new();
        if let Some(line) = self.action_line.filter(|line| *line != token.line) {
            let what = if token.text.ends_with(" action") { "" } else { " in action" };
            extra = format!("{what} started at {}:{line}", self.name);
        }
        Err(format!("{}{extra}", token.describe()))
    }

    fn expect(&mut self, kind: Kind, context: &str) -> Result<Token<'a>, String> {
        let token = self.next_after_space();
        if token.kind == kind { Ok(token) } else { self.unexpected(&token, context) }
    }

    /// Runs `read` one level deeper.
    fn nested<T>(&mut self, read: impl FnOnce(&mut Self) -> Result<T, String>) -> Result<T, String> {
        if self.nesting == NESTING_MAX {
            return Err(format!("nested deeper than {NESTING_MAX} levels"));
        }
        self.nesting += 1;
        let result = read(self);
        self.nesting -= 1;
        result
    }

    /// The whole text: as a list, but definitions may stand in it and it ends with the text.
    fn top(&mut self) -> Result<List, String> {
        let mut root = List::new();
        while self.peek().kind != Kind::End {
            if self.peek().kind == Kind::LeftDelim {
                let delim = self.next();
                let word = self.next_after_space();
                if word.kind == Kind::Keyword(Keyword::Define) {
                    self.definition()?;
                    continue;
                }
                self.back(word);
                self.back(delim);
            }
            match self.text_or_action()? {
                Piece::Node(node) => root.push(node),
                Piece::Ending(ending) => return Err(format!("unexpected {}", ending.describe())),
            }
        }
        Ok(root)
    }

    fn definition(&mut self) -> Result<(), String> {
        const CONTEXT: &str = "define clause";
        let token = self.next_after_space();
        let name = self.template_name(&token, CONTEXT)?;
        self.expect(Kind::RightDelim, CONTEXT)?;
        self.body(&name, CONTEXT)
    }

    /// What a template of its own consists of, up to its `end`; it sees no variables of its surroundings.
    fn body(&mut self, name: &str, context: &str) -> Result<(), String> {
        let variables = std::mem::replace(&mut self.variables, vec!["$".into()]);
        let range_depth = std::mem::take(&mut self.range_depth);
        let (list, ending) = self.nested(Self::list)?;
        if matches!(ending, Ending::Else) {
            return Err(format!("unexpected {} in {context}", ending.describe()));
        }
        self.variables = variables;
        self.range_depth = range_depth;
        self.add(name, list)
    }

    /// A template may be defined again where one of the two is empty.
    fn add(&mut self, name: &str, list: List) -> Result<(), String> {
        let known = self.templates.get(name).is_some_and(|list| !is_empty(list));
        if !known && name != self.name {
            self.templates.insert(name.into(), list);
        } else if !is_empty(&list) {
            return Err(format!("template: multiple definition of template {}", GoQuoted(name)));
        }
        Ok(())
    }

    fn template_name(&mut self, token: &Token<'a>, context: &str) -> Result<Box<str>, String> {
        match token.kind {
            Kind::QuotedText | Kind::RawText => {
                Ok(String::from_utf8_lossy(&unquote(&token.text)?).into_owned().into_boxed_str())
            }
            _ => self.unexpected(token, context),
        }
    }

    fn list(&mut self) -> Result<(List, Ending), String> {
        let mut list = List::new();
        while self.peek_after_space().kind != Kind::End {
            match self.text_or_action()? {
                Piece::Node(node) => list.push(node),
                Piece::Ending(ending) => return Ok((list, ending)),
            }
        }
        Err("unexpected EOF".to_owned())
    }

    fn text_or_action(&mut self) -> Result<Piece, String> {
        let token = self.next_after_space();
        match token.kind {
            Kind::Text => Ok(Piece::Node(Node::Text(token.text.into()))),
            Kind::LeftDelim => {
                self.action_line = Some(token.line);
                let piece = self.action()?;
                self.action_line = None;
                Ok(piece)
            }
            _ => self.unexpected(&token, "input"),
        }
    }

    fn action(&mut self) -> Result<Piece, String> {
        let token = self.next_after_space();
        let Kind::Keyword(keyword) = token.kind else {
            self.back(token);
            return Ok(Piece::Node(Node::Action(self.pipe("command", Kind::RightDelim)?)));
        };
        let node = match keyword {
            Keyword::Block => self.block()?,
            Keyword::Break => self.leave_range("break", Node::Break)?,
            Keyword::Continue => self.leave_range("continue", Node::Continue)?,
            Keyword::Else => return self.else_ending(),
            Keyword::End => {
                self.expect(Kind::RightDelim, "end")?;
                return Ok(Piece::Ending(Ending::End));
            }
            Keyword::If => Node::If(self.branch("if", Keyword::If)?),
            Keyword::Range => Node::Range(self.branch("range", Keyword::Range)?),
            Keyword::With => Node::With(self.branch("with", Keyword::With)?),
            Keyword::Template => self.invocation()?,
            Keyword::Define | Keyword::Nil => {
                self.back(token);
                Node::Action(self.pipe("command", Kind::RightDelim)?)
            }
        };
        Ok(Piece::Node(node))
    }

    fn leave_range(&mut self, word: &str, node: Node) -> Result<Node, String> {
        self.expect(Kind::RightDelim, &format!("{{{{{word}}}}}"))?;
        if self.range_depth == 0 {
            return Err(format!("{{{{{word}}}}} outside {{{{range}}}}"));
        }
        Ok(node)
    }

    /// `{{else}}`, or the front of `{{else if}}` and `{{else with}}`, whose second word is left for the branch.
    fn else_ending(&mut self) -> Result<Piece, String> {
        let next = self.peek_after_space().kind;
        if !matches!(next, Kind::Keyword(Keyword::If | Keyword::With)) {
            self.expect(Kind::RightDelim, "else")?;
        }
        Ok(Piece::Ending(Ending::Else))
    }

    fn branch(&mut self, keyword: &'static str, word: Keyword) -> Result<Branch, String> {
        let visible = self.variables.len();
        let branch = self.nested(|parser| parser.branch_body(keyword, word));
        self.variables.truncate(visible);
        branch
    }

    fn branch_body(&mut self, keyword: &'static str, word: Keyword) -> Result<Branch, String> {
        let pipe = self.pipe(keyword, Kind::RightDelim)?;
        let in_range = usize::from(word == Keyword::Range);
        self.range_depth += in_range;
        let (list, ending) = self.list()?;
        self.range_depth -= in_range;
        let otherwise = match ending {
            Ending::End => None,
            Ending::Else => Some(self.else_list(keyword, word)?),
        };
        Ok(Branch { keyword, pipe, list, otherwise })
    }

    fn else_list(&mut self, keyword: &'static str, word: Keyword) -> Result<List, String> {
        let chains = word != Keyword::Range && self.peek().kind == Kind::Keyword(word);
        if chains {
            // The one `end` of the inner branch ends the outer one too.
            self.next();
            let branch = self.branch(keyword, word)?;
            return Ok(vec![if word == Keyword::If { Node::If(branch) } else { Node::With(branch) }]);
        }
        match self.list()? {
            (list, Ending::End) => Ok(list),
            (_, ending) => Err(format!("expected end; found {}", ending.describe())),
        }
    }

    fn block(&mut self) -> Result<Node, String> {
        const CONTEXT: &str = "block clause";
        let token = self.next_after_space();
        let name = self.template_name(&token, CONTEXT)?;
        let pipe = self.pipe(CONTEXT, Kind::RightDelim)?;
        self.body(&name, CONTEXT)?;
        Ok(Node::Template(Invocation { pos: token.pos, name, pipe: Some(pipe) }))
    }

    fn invocation(&mut self) -> Result<Node, String> {
        const CONTEXT: &str = "template clause";
        let token = self.next_after_space();
        let name = self.template_name(&token, CONTEXT)?;
        let next = self.next_after_space();
        let pipe = if next.kind == Kind::RightDelim {
            None
        } else {
            self.back(next);
            Some(self.pipe(CONTEXT, Kind::RightDelim)?)
        };
        Ok(Node::Template(Invocation { pos: token.pos, name, pipe }))
    }

    /// Up to and including `end`.
    fn pipe(&mut self, context: &str, end: Kind) -> Result<Pipe, String> {
        let mut pipe = Pipe { pos: self.peek_after_space().pos, ..Pipe::default() };
        self.declarations(&mut pipe, context)?;
        loop {
            let token = self.next_after_space();
            if token.kind == end {
                check_pipe(&pipe, context)?;
                return Ok(pipe);
            }
            if !starts_operand(token.kind) {
                return self.unexpected(&token, context);
            }
            self.back(token);
            pipe.commands.push(self.command()?);
        }
    }

    /// `$x :=`, `$x =`, and in a `range` `$i, $x :=`.
    fn declarations(&mut self, pipe: &mut Pipe, context: &str) -> Result<(), String> {
        loop {
            if self.peek_after_space().kind != Kind::Variable {
                return Ok(());
            }
            let variable = self.next();
            let space = (self.peek().kind == Kind::Space).then(|| self.next());
            let next = self.next_after_space();
            match next.kind {
                Kind::Assign | Kind::Declare => {
                    pipe.assigns = next.kind == Kind::Assign;
                    self.declare(pipe, &variable);
                    return Ok(());
                }
                Kind::Sign if next.text == "," => {
                    self.declare(pipe, &variable);
                    if context != "range" || pipe.variables.len() >= 2 {
                        return Err(format!("too many declarations in {context}"));
                    }
                    let after = self.peek_after_space().kind;
                    if !matches!(after, Kind::Variable | Kind::RightDelim | Kind::RightParen) {
                        return Err("range can only initialize variables".to_owned());
                    }
                }
                _ => {
                    self.back(next);
                    self.pending.extend(space);
                    self.back(variable);
                    return Ok(());
                }
            }
        }
    }

    fn declare(&mut self, pipe: &mut Pipe, variable: &Token<'a>) {
        pipe.variables.push(variable.text.as_ref().into());
        self.variables.push(variable.text.as_ref().into());
    }

    /// Operands up to a `|`, which is taken, or to the end of the pipeline, which is left.
    fn command(&mut self) -> Result<Command, String> {
        let mut command = Command { pos: self.peek_after_space().pos, operands: Vec::new() };
        loop {
            self.peek_after_space();
            command.operands.extend(self.operand()?);
            let token = self.next();
            match token.kind {
                Kind::Space => continue,
                Kind::RightDelim | Kind::RightParen => self.back(token),
                Kind::Pipe => {}
                _ => return self.unexpected(&token, "operand"),
            }
            break;
        }
        if command.operands.is_empty() {
            return Err("empty command".to_owned());
        }
        Ok(command)
    }

    /// A term and the fields that are taken of it; `None` where no term starts.
    fn operand(&mut self) -> Result<Option<Operand>, String> {
        let Some(operand) = self.term()? else { return Ok(None) };
        if self.peek().kind != Kind::Field {
            return Ok(Some(operand));
        }
        let pos = self.peek().pos;
        let mut fields = Vec::new();
        while self.peek().kind == Kind::Field {
            fields.push(field_name(&self.next()));
        }
        let printed = operand.to_string();
        let term = match operand.term {
            Term::Field(mut names) => {
                names.append(&mut fields);
                Term::Field(names)
            }
            Term::Variable(mut names) => {
                names.append(&mut fields);
                Term::Variable(names)
            }
            Term::Bool(_) | Term::Text(..) | Term::Number(_) | Term::Nil | Term::Dot => {
                return Err(format!("unexpected . after term {}", GoQuoted(&printed)));
            }
            Term::Function(_) | Term::Chain(..) | Term::Pipe(_) => Term::Chain(Box::new(operand), fields),
        };
        Ok(Some(Operand { pos, term }))
    }

    fn term(&mut self) -> Result<Option<Operand>, String> {
        let token = self.next_after_space();
        let pos = token.pos;
        let term = match token.kind {
            Kind::Identifier => Term::Function(
                functions::find(&token.text)
                    .ok_or_else(|| format!("function {} not defined", GoQuoted(token.text.as_ref())))?,
            ),
            Kind::Dot => Term::Dot,
            Kind::Keyword(Keyword::Nil) => Term::Nil,
            Kind::Variable => Term::Variable(vec![self.known_variable(&token.text)?]),
            Kind::Field => Term::Field(vec![field_name(&token)]),
            Kind::Bool => Term::Bool(token.text == "true"),
            Kind::CharConstant => Term::Number(Number::of_char(&token.text)?),
            Kind::Complex => Term::Number(Number::of_complex(&token.text)?),
            Kind::Number => Term::Number(Number::of_number(&token.text)?),
            Kind::LeftParen => {
                Term::Pipe(self.nested(|parser| parser.pipe("parenthesized pipeline", Kind::RightParen))?)
            }
            Kind::QuotedText | Kind::RawText => {
                Term::Text(token.text.as_ref().into(), unquote(&token.text)?.into())
            }
            _ => {
                self.back(token);
                return Ok(None);
            }
        };
        Ok(Some(Operand { pos, term }))
    }

    fn known_variable(&self, name: &str) -> Result<Box<str>, String> {
        if self.variables.iter().any(|known| **known == *name) {
            return Ok(name.into());
        }
        Err(format!("undefined variable {}", GoQuoted(name)))
    }
}

fn field_name(token: &Token<'_>) -> Box<str> {
    token.text[1..].into()
}

fn starts_operand(kind: Kind) -> bool {
    use Kind::{
        Bool, CharConstant, Complex, Dot, Field, Identifier, LeftParen, Number, QuotedText, RawText, Variable,
    };
    matches!(
        kind,
        Bool | CharConstant
            | Complex
            | Dot
            | Field
            | Identifier
            | LeftParen
            | Number
            | QuotedText
            | RawText
            | Variable
            | Kind::Keyword(Keyword::Nil)
    )
}

fn check_pipe(pipe: &Pipe, context: &str) -> Result<(), String> {
    if pipe.commands.is_empty() {
        return Err(format!("missing value for {context}"));
    }
    let constant = pipe.commands.iter().skip(1).position(|command| {
        let first = command.operands.first().map(|operand| &operand.term);
        matches!(first, Some(Term::Bool(_) | Term::Dot | Term::Nil | Term::Number(_) | Term::Text(..)))
    });
    match constant {
        Some(at) => Err(format!("non executable command in pipeline stage {}", at + 2)),
        None => Ok(()),
    }
}

/// Whether nothing but space stands in a list.
fn is_empty(list: &[Node]) -> bool {
    list.iter().all(|node| matches!(node, Node::Text(text) if text.trim().is_empty()))
}
