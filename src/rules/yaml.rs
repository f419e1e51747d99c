//! YAML as a tree whose nodes know their places, for files in which every mistake is to be told, not only the first.
//!
//! Scalars keep their text, so that `1.50` stays what it is where a string is asked for; what they are is asked
//! later, and answered as Go's parser does. Aliases share the node that they name. Nesting and what aliases expand
//! to are bounded.

use std::collections::BTreeMap;
use std::rc::Rc;

use granit_parser::{Event, Marker, Options, Parser, ScalarStyle, ScanError, Span, Tag};

use super::config::Place;

/// Deepest nesting of a tree, through aliases too.
const DEPTH_MAX: usize = 64;
/// Most bytes that a tree may stand for with its aliases expanded, [`NODE_BYTES`] for each node counted in.
const EXPANDED_BYTES_MAX: usize = 256 << 20;
/// What a node counts beside its text.
const NODE_BYTES: usize = 64;

/// One value of a document.
#[derive(Debug)]
pub(super) struct Node {
    /// Where it begins; of an aliased one, where it is defined.
    pub(super) place: Place,
    /// What it is.
    pub(super) kind: Kind,
    depth: usize,
    expanded_bytes: usize,
}

/// What a node is.
#[derive(Debug)]
pub(super) enum Kind {
    /// A text, perhaps one that reads as a number.
    Scalar(Scalar),
    /// Nodes in their order.
    Sequence(Vec<Rc<Node>>),
    /// Pairs in their order, as they are written: keys may repeat, and `<<` is not yet merged.
    Mapping(Vec<(Rc<Node>, Rc<Node>)>),
}

/// A text and how it is written.
#[derive(Debug)]
pub(super) struct Scalar {
    /// The text, escapes resolved.
    pub(super) text: String,
    /// Of a block behind `|`, whose lines stand in the file as they are: the byte at which the line below that begins.
    pub(super) literal_at: Option<usize>,
    /// Neither quoted nor a block, so that it may be a number or null.
    is_plain: bool,
    /// Its tag, where it has one: `!!str`.
    tag: Option<String>,
}

/// Why a text is no YAML, or too much of it.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct YamlError {
    pub(super) place: Place,
    pub(super) message: String,
}

/// The first document of a text.
#[derive(Debug)]
pub(super) struct Document {
    /// Its root; `None` where it is empty.
    pub(super) root: Option<Rc<Node>>,
    /// Whether others follow it.
    pub(super) is_followed: bool,
}

impl Node {
    /// Whether it is null: written so, or nothing.
    pub(super) fn is_null(&self) -> bool {
        matches!(&self.kind, Kind::Scalar(scalar) if scalar.tag() == "!!null")
    }

    /// Whether it is the key `<<`.
    pub(super) fn is_merge(&self) -> bool {
        matches!(&self.kind, Kind::Scalar(scalar) if scalar.text == "<<" && (scalar.is_plain || scalar.tag() == "!!merge"))
    }

    /// Its type and its beginning as Go's parser writes them in messages: ``!!str `abc` ``, `!!seq`.
    pub(super) fn describe(&self) -> String {
        match &self.kind {
            Kind::Sequence(_) => "!!seq".to_owned(),
            Kind::Mapping(_) => "!!map".to_owned(),
            Kind::Scalar(scalar) if scalar.text.len() > 10 => {
                format!("{} `{}...`", scalar.tag(), &scalar.text[..scalar.text.floor_char_boundary(7)])
            }
            Kind::Scalar(scalar) => format!("{} `{}`", scalar.tag(), scalar.text),
        }
    }
}

impl Scalar {
    /// What it is: its tag, or what Go's parser takes it for.
    pub(super) fn tag(&self) -> &str {
        match &self.tag {
            Some(tag) => tag,
            None if self.is_plain => resolved_tag(&self.text),
            None => "!!str",
        }
    }

    /// Its number, where it is one; fractions are cut.
    pub(super) fn to_integer(&self) -> Option<i64> {
        match self.tag() {
            "!!int" => parse_integer(&self.text),
            "!!float" => {
                let value: f64 = self.text.replace('_', "").parse().ok()?;
                (value.abs() < 2_f64.powi(63)).then_some(value as i64)
            }
            _ => None,
        }
    }
}

fn resolved_tag(text: &str) -> &'static str {
    match text {
        "" | "~" | "null" | "Null" | "NULL" => "!!null",
        "true" | "True" | "TRUE" | "false" | "False" | "FALSE" => "!!bool",
        "<<" => "!!merge",
        _ if parse_integer(text).is_some() => "!!int",
        _ if is_float(text) => "!!float",
        _ => "!!str",
    }
}

/// Digits, perhaps with a sign, underscores, and a prefix that tells the base.
fn parse_integer(text: &str) -> Option<i64> {
    let text = text.replace('_', "");
    let (sign, digits) = match text.as_bytes().first()? {
        b'-' => ("-", &text[1..]),
        b'+' => ("", &text[1..]),
        _ => ("", text.as_str()),
    };
    let lower = digits.to_ascii_lowercase();
    let (base, digits) = if let Some(hex) = lower.strip_prefix("0x") {
        (16, hex)
    } else if let Some(octal) = lower.strip_prefix("0o") {
        (8, octal)
    } else if let Some(binary) = lower.strip_prefix("0b") {
        (2, binary)
    } else if lower.len() > 1 && lower.starts_with('0') {
        (8, &lower[1..])
    } else {
        (10, lower.as_str())
    };
    let is_number = digits.starts_with(|c: char| c.is_digit(base));
    is_number.then(|| i64::from_str_radix(&format!("{sign}{digits}"), base).ok()).flatten()
}

fn is_float(text: &str) -> bool {
    let unsigned = text.trim_start_matches(['-', '+']);
    let is_named = matches!(unsigned, ".inf" | ".Inf" | ".INF" | ".nan" | ".NaN" | ".NAN");
    let is_written = unsigned.starts_with(|c: char| c.is_ascii_digit() || c == '.')
        && text.replace('_', "").parse::<f64>().is_ok();
    is_named || is_written
}

/// Reads the first document of `text`. Nothing behind it is looked at, except whether there is anything.
pub(super) fn read_document(text: &str) -> Result<Document, YamlError> {
    let mut composer = Composer { text, ..Composer::default() };
    let mut options = Options::default();
    options.set_emit_comments(false);
    let mut parser = Parser::new_from_str_with_options(text, options);
    while let Some(event) = parser.next_event() {
        let (event, span) = event.map_err(scan_error)?;
        if let Event::DocumentEnd = event {
            let is_followed = !matches!(parser.next_event(), None | Some(Ok((Event::StreamEnd, _))));
            return Ok(Document { root: composer.root, is_followed });
        }
        composer.take(event, &span)?;
    }
    Ok(Document { root: composer.root, is_followed: false })
}

fn scan_error(error: ScanError) -> YamlError {
    YamlError { place: place(error.marker()), message: format!("yaml: {}", error.info()) }
}

fn place(marker: &Marker) -> Place {
    Place { line: marker.line(), column: marker.col() + 1 }
}

/// Builds nodes from events.
#[derive(Default)]
struct Composer<'a> {
    text: &'a str,
    root: Option<Rc<Node>>,
    open: Vec<Open>,
    anchored: BTreeMap<usize, Rc<Node>>,
    expanded_bytes: usize,
}

/// A sequence or mapping whose end is not yet met.
struct Open {
    place: Place,
    anchor: usize,
    items: Vec<Rc<Node>>,
    is_mapping: bool,
}

impl Composer<'_> {
    fn take(&mut self, event: Event<'_>, span: &Span) -> Result<(), YamlError> {
        let place = place(&span.start);
        match event {
            Event::Scalar(text, style, anchor, tag) => {
                let text = text.into_owned();
                let mut node = leaf(place, text, style == ScalarStyle::Plain, tag.as_deref());
                if matches!(style, ScalarStyle::Literal | ScalarStyle::Folded) {
                    self.set_block(&mut node, span, style);
                }
                self.finish(anchor, node)
            }
            Event::SequenceStart(_, anchor, _) => self.enter(place, anchor, false),
            Event::MappingStart(_, anchor, _) => self.enter(place, anchor, true),
            Event::SequenceEnd | Event::MappingEnd => {
                let open = self.open.pop().expect("the parser closes what it opened");
                let anchor = open.anchor;
                self.finish(anchor, close(open))
            }
            Event::Alias(anchor) => match self.anchored.get(&anchor) {
                Some(node) => {
                    let node = Rc::clone(node);
                    self.add(place, node.expanded_bytes, node)
                }
                None => Err(YamlError { place, message: "yaml: anchor value contains itself".to_owned() }),
            },
            _ => Ok(()),
        }
    }

    /// A block begins at its `|` or `>`, not with its first line.
    fn set_block(&self, node: &mut Node, span: &Span, style: ScalarStyle) {
        let Some(before) = span.start.byte_offset().and_then(|at| self.text.get(..at)) else { return };
        let above = before.rfind('\n').map_or("", |end| &before[..end]);
        // The first lines may be empty.
        let head_end = above.trim_end().len();
        let head_start = above[..head_end].rfind('\n').map_or(0, |end| end + 1);
        let Some(column) = indicator_of_block(&above[head_start..head_end]) else { return };
        let lines_between = before[head_end..].matches('\n').count();
        node.place = Place { line: span.start.line() - lines_between, column };
        let Kind::Scalar(scalar) = &mut node.kind else { return };
        let line_end = self.text[head_end..].find('\n').map(|at| head_end + at);
        scalar.literal_at = line_end.filter(|_| style == ScalarStyle::Literal).map(|end| end + 1);
    }

    fn enter(&mut self, place: Place, anchor: usize, is_mapping: bool) -> Result<(), YamlError> {
        if self.open.len() >= DEPTH_MAX {
            return Err(too_deep(place));
        }
        self.open.push(Open { place, anchor, items: Vec::new(), is_mapping });
        Ok(())
    }

    fn finish(&mut self, anchor: usize, node: Node) -> Result<(), YamlError> {
        let node = Rc::new(node);
        if anchor != 0 {
            self.anchored.insert(anchor, Rc::clone(&node));
        }
        self.add(node.place, node.own_bytes(), node)
    }

    /// Puts a finished node where it belongs. What is in a sequence or mapping was counted when it was met, so that it
    /// counts itself alone; an alias counts all that it stands for.
    fn add(&mut self, place: Place, bytes: usize, node: Rc<Node>) -> Result<(), YamlError> {
        if self.open.len() + node.depth > DEPTH_MAX {
            return Err(too_deep(place));
        }
        self.expanded_bytes = self.expanded_bytes.saturating_add(bytes);
        if self.expanded_bytes > EXPANDED_BYTES_MAX {
            let message = "yaml: document contains excessive aliasing".to_owned();
            return Err(YamlError { place, message });
        }
        match self.open.last_mut() {
            Some(open) => open.items.push(node),
            None => self.root = Some(node),
        }
        Ok(())
    }
}

impl Node {
    fn own_bytes(&self) -> usize {
        match &self.kind {
            Kind::Scalar(scalar) => NODE_BYTES + scalar.text.len(),
            _ => NODE_BYTES,
        }
    }
}

fn too_deep(place: Place) -> YamlError {
    YamlError { place, message: format!("yaml: nested deeper than {DEPTH_MAX}") }
}

/// The column of the `|` or `>` at the end of a line, before what may follow it.
fn indicator_of_block(line: &str) -> Option<usize> {
    let line = line.find(" #").map_or(line, |comment| &line[..comment]).trim_end();
    let line = line.trim_end_matches(|c: char| c.is_ascii_digit() || matches!(c, '+' | '-'));
    line.ends_with(['|', '>']).then(|| line.chars().count())
}

fn leaf(place: Place, text: String, is_plain: bool, tag: Option<&Tag>) -> Node {
    let expanded_bytes = NODE_BYTES + text.len();
    let scalar = Scalar { text, literal_at: None, is_plain, tag: tag.map(short_tag) };
    Node { place, kind: Kind::Scalar(scalar), depth: 1, expanded_bytes }
}

/// `!!str` of a tag of YAML's own, and any other tag as it is written.
fn short_tag(tag: &Tag) -> String {
    match tag.core_suffix() {
        Some(suffix) => format!("!!{suffix}"),
        None => tag.original(),
    }
}

fn close(open: Open) -> Node {
    let depth = 1 + open.items.iter().map(|item| item.depth).max().unwrap_or(0);
    let expanded_bytes =
        NODE_BYTES + open.items.iter().fold(0, |sum: usize, item| sum.saturating_add(item.expanded_bytes));
    let kind = if open.is_mapping {
        let mut items = open.items.into_iter();
        let mut pairs = Vec::with_capacity(items.len() / 2);
        while let (Some(key), Some(value)) = (items.next(), items.next()) {
            pairs.push((key, value));
        }
        Kind::Mapping(pairs)
    } else {
        Kind::Sequence(open.items)
    };
    Node { place: open.place, kind, depth, expanded_bytes }
}
