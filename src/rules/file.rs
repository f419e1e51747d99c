//! Text to [`RuleFile`]: everything that is wrong with a file, each with its place.
//!
//! What is accepted, and the words in which the rest is refused, are upstream's; places are told more often, columns
//! too. A file is refused as a whole.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

use crate::discovery::matching_files;
use crate::model::{GoQuoted, parse_duration};
use crate::promql::parse::{ParseError, ParserOptions, parse_expr};
use crate::setting::{DurationMs, NameValidation};
use crate::template::Template;

use super::config::{GroupConfig, Place, RuleConfig, RuleFile};
use super::yaml::{Kind, Node, Scalar, read_document};

/// Largest rule file, in bytes.
pub const RULE_FILE_BYTES_MAX: u64 = 16 << 20;
/// Most errors that are told of one file.
const ERRORS_MAX: usize = 1_000;
/// The label that names a metric.
const METRIC_NAME: &str = "__name__";

const GROUP_FIELDS: [&str; 6] = ["name", "interval", "query_offset", "limit", "rules", "labels"];
const RULE_FIELDS: [&str; 7] = ["record", "alert", "expr", "for", "keep_firing_for", "labels", "annotations"];

/// What files may hold.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RuleFileOptions {
    /// What the parser of expressions accepts.
    pub parser: ParserOptions,
    /// Which names metrics, labels and annotations may have.
    pub name_validation: NameValidation,
    /// Fields that nobody knows are passed over instead of refused.
    pub ignore_unknown_fields: bool,
}

/// One thing that is wrong with a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RuleFileError {
    /// The file as it was asked for; empty where the text came from elsewhere.
    pub path: String,
    /// Where; `None` where it is no matter of places.
    pub place: Option<Place>,
    /// The second of two places that do not go together.
    pub other_place: Option<Place>,
    /// In which rule, if in one.
    pub rule: Option<Box<RuleOfError>>,
    /// What is wrong.
    pub message: String,
}

/// The rule that an error is about.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RuleOfError {
    /// Its group.
    pub group: String,
    /// Which of the group's rules, from 1.
    pub number: usize,
    /// The metric or the alert.
    pub name: String,
}

impl fmt::Display for RuleFileError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !self.path.is_empty() {
            write!(f, "{}: ", self.path)?;
        }
        for place in self.place.iter().chain(&self.other_place) {
            write!(f, "{}:{}: ", place.line, place.column)?;
        }
        if let Some(RuleOfError { group, number, name }) = self.rule.as_deref() {
            write!(f, "group {}, rule {number}, {}: ", GoQuoted(group), GoQuoted(name))?;
        }
        f.write_str(&self.message)
    }
}

impl std::error::Error for RuleFileError {}

impl RuleFile {
    /// Reads a file. The errors are all that it has, in its order, at least one.
    pub fn read(path: &Path, options: &RuleFileOptions) -> Result<Self, Vec<RuleFileError>> {
        let name = path.to_string_lossy();
        let failed = |place, message| {
            vec![RuleFileError {
                path: name.clone().into_owned(),
                place,
                other_place: None,
                rule: None,
                message,
            }]
        };
        let bytes = read_bytes(path).map_err(|error| failed(None, error))?;
        match String::from_utf8(bytes) {
            Ok(text) => Self::parse(&name, &text, options),
            Err(error) => {
                let valid = &error.as_bytes()[..error.utf8_error().valid_up_to()];
                let place = end_of(&String::from_utf8_lossy(valid));
                Err(failed(Some(place), "yaml: invalid UTF-8".to_owned()))
            }
        }
    }

    /// Reads a text; `path` stands in its errors. An empty text has no groups; of several documents the first counts.
    pub fn parse(path: &str, text: &str, options: &RuleFileOptions) -> Result<Self, Vec<RuleFileError>> {
        let mut reader = Reader { path, text, options, errors: Vec::new(), rule: None };
        let mut file = Self { path: path.to_owned(), ..Self::default() };
        match read_document(text) {
            Ok(document) => {
                file.has_more_documents = document.is_followed;
                file.groups = document.root.map(|root| reader.groups(&root)).unwrap_or_default();
            }
            Err(error) => reader.refuse(error.place, error.message),
        }
        if reader.errors.is_empty() { Ok(file) } else { Err(reader.errors) }
    }
}

/// The message is the system's, as upstream writes it.
fn read_bytes(path: &Path) -> Result<Vec<u8>, String> {
    let failed = |error: io::Error| {
        let reason = match error.kind() {
            io::ErrorKind::NotFound => "no such file or directory".to_owned(),
            io::ErrorKind::PermissionDenied => "permission denied".to_owned(),
            io::ErrorKind::IsADirectory => "is a directory".to_owned(),
            _ => error.to_string(),
        };
        format!("open {}: {reason}", path.display())
    };
    let bytes = std::fs::metadata(path).map_err(failed)?.len();
    if bytes > RULE_FILE_BYTES_MAX {
        return Err(format!("open {}: {bytes} bytes are more than {RULE_FILE_BYTES_MAX}", path.display()));
    }
    std::fs::read(path).map_err(failed)
}

fn end_of(text: &str) -> Place {
    let last_line = text.rsplit('\n').next().unwrap_or_default();
    Place { line: 1 + text.matches('\n').count(), column: 1 + last_line.chars().count() }
}

/// Reads the files that `patterns` name, each once, in order of patterns and names. All errors of all files come
/// together: one bad file refuses the whole set.
pub fn load_files<'a>(
    patterns: impl IntoIterator<Item = &'a str>,
    options: &RuleFileOptions,
) -> Result<Vec<RuleFile>, Vec<RuleFileError>> {
    let (mut files, mut errors) = (Vec::new(), Vec::new());
    let mut seen: BTreeSet<PathBuf> = BTreeSet::new();
    for path in patterns.into_iter().flat_map(|pattern| matching_files(Path::new(pattern))) {
        if !seen.insert(path.clone()) {
            continue;
        }
        match RuleFile::read(&path, options) {
            Ok(file) => {
                if file.has_more_documents {
                    tracing::warn!(file = file.path, "{MORE_DOCUMENTS}");
                }
                files.push(file);
            }
            Err(of_file) => errors.extend(of_file),
        }
    }
    if errors.is_empty() { Ok(files) } else { Err(errors) }
}

/// What is said of a file with several documents.
pub const MORE_DOCUMENTS: &str =
    "Multiple document yaml rules files are not supported, only the first document is processed";

/// Walks a document and gathers what is wrong with it.
struct Reader<'a> {
    path: &'a str,
    text: &'a str,
    options: &'a RuleFileOptions,
    errors: Vec<RuleFileError>,
    /// The rule in which it is.
    rule: Option<RuleOfError>,
}

/// A field of a mapping.
#[derive(Clone, Copy)]
struct Field<'n> {
    name: &'n str,
    /// Of the name.
    place: Place,
    value: &'n Node,
}

/// A name and a text, as in `labels`.
struct Pair<'n> {
    name: &'n str,
    name_place: Place,
    value: &'n str,
    value_place: Place,
}

/// What stands in a rule's field that holds a text.
#[derive(Clone, Copy, Default)]
struct Text<'n> {
    text: &'n str,
    node: Option<&'n Node>,
    /// Something else stands there, which was told.
    is_mistyped: bool,
}

impl Text<'_> {
    fn is_missing(self) -> bool {
        self.text.is_empty() && !self.is_mistyped
    }

    fn place_or(self, place: Place) -> Place {
        self.node.map_or(place, |node| node.place)
    }
}

/// Structure: nodes to fields. What has the wrong type is told and read as missing.
impl<'a> Reader<'a> {
    fn refuse(&mut self, place: Place, message: impl Into<String>) {
        self.refuse_at(place, None, message.into());
    }

    fn refuse_at(&mut self, place: Place, other_place: Option<Place>, message: String) {
        if self.errors.len() < ERRORS_MAX {
            let (path, rule) = (self.path.to_owned(), self.rule.clone().map(Box::new));
            self.errors.push(RuleFileError { path, place: Some(place), other_place, rule, message });
        }
    }

    fn refuse_type(&mut self, node: &Node, wanted: &str) {
        self.refuse(node.place, format!("cannot unmarshal {} into {wanted}", node.describe()));
    }

    /// The fields of a mapping; null has none.
    fn fields<'n>(&mut self, node: &'n Node, wanted: &str) -> Vec<Field<'n>> {
        let mut fields = Vec::new();
        match &node.kind {
            Kind::Mapping(_) => self.gather(node, &mut fields),
            _ if node.is_null() => {}
            _ => self.refuse_type(node, wanted),
        }
        fields
    }

    /// Own fields first, then those that are merged in, where they are not there yet. Depth is bounded by the document.
    fn gather<'n>(&mut self, node: &'n Node, fields: &mut Vec<Field<'n>>) {
        let Kind::Mapping(pairs) = &node.kind else {
            let message = "map merge requires map or sequence of maps as the value";
            return self.refuse(node.place, message);
        };
        let known: BTreeSet<&str> = fields.iter().map(|field| field.name).collect();
        let mut own: BTreeMap<&str, Place> = Default::default();
        let mut merged = Vec::new();
        for (key, value) in pairs {
            if key.is_merge() {
                merged.push(&**value);
                continue;
            }
            let Some(name) = self.text(key, "string") else { continue };
            if let Some(first) = own.insert(name, key.place) {
                let message =
                    format!("mapping key {} already defined at line {}", GoQuoted(name), first.line);
                self.refuse(key.place, message);
            } else if !known.contains(name) {
                fields.push(Field { name, place: key.place, value });
            }
        }
        for value in merged {
            match &value.kind {
                Kind::Sequence(items) => items.iter().for_each(|item| self.gather(item, fields)),
                _ => self.gather(value, fields),
            }
        }
    }

    fn check_fields(&mut self, fields: &[Field<'_>], known: &[&str], wanted: &str) {
        let is_unknown = |field: &&Field<'_>| !known.contains(&field.name);
        if !self.options.ignore_unknown_fields {
            for field in fields.iter().filter(is_unknown) {
                self.refuse(field.place, format!("field {} not found in type {wanted}", field.name));
            }
        }
    }

    /// The items of a list without nulls, which count as nothing.
    fn items<'n>(&mut self, node: &'n Node, wanted: &str) -> Vec<&'n Node> {
        match &node.kind {
            Kind::Sequence(items) => {
                items.iter().map(|item| &**item).filter(|item| !item.is_null()).collect()
            }
            _ if node.is_null() => Vec::new(),
            _ => {
                self.refuse_type(node, wanted);
                Vec::new()
            }
        }
    }

    /// A scalar's text, whatever it is; `None` for null.
    fn text<'n>(&mut self, node: &'n Node, wanted: &str) -> Option<&'n str> {
        match &node.kind {
            _ if node.is_null() => None,
            Kind::Scalar(scalar) => Some(&scalar.text),
            _ => {
                self.refuse_type(node, wanted);
                None
            }
        }
    }

    fn duration(&mut self, node: &Node) -> Option<DurationMs> {
        let text = self.text(node, "string")?;
        match parse_duration(text) {
            Ok(ms) => Some(DurationMs(ms)),
            Err(error) => {
                self.refuse(node.place, error.to_string());
                None
            }
        }
    }

    fn count(&mut self, node: &Node) -> u64 {
        let number = match &node.kind {
            _ if node.is_null() => Some(0),
            Kind::Scalar(scalar) => scalar.to_integer(),
            _ => None,
        };
        if number.is_none() {
            self.refuse_type(node, "int");
        }
        // Upstream takes negative limits for none.
        number.and_then(|number| u64::try_from(number).ok()).unwrap_or(0)
    }

    fn pairs<'n>(&mut self, node: &'n Node) -> Vec<Pair<'n>> {
        let fields = self.fields(node, "map[string]string");
        let mut pairs = Vec::with_capacity(fields.len());
        for Field { name, place, value } in fields {
            let text = self.text(value, "string").unwrap_or_default();
            pairs.push(Pair { name, name_place: place, value: text, value_place: value.place });
        }
        pairs
    }
}

/// Meaning: groups and rules, checked.
impl<'a> Reader<'a> {
    fn groups(&mut self, root: &Node) -> Vec<GroupConfig> {
        let fields = self.fields(root, "rulefmt.RuleGroups");
        self.check_fields(&fields, &["groups"], "rulefmt.RuleGroups");
        let mut groups = Vec::new();
        let mut names = BTreeSet::new();
        for field in fields.iter().filter(|field| field.name == "groups") {
            for item in self.items(field.value, "[]rulefmt.RuleGroup") {
                let group = self.group(item, &mut names);
                groups.push(group);
            }
        }
        groups
    }

    fn group(&mut self, node: &Node, names: &mut BTreeSet<String>) -> GroupConfig {
        let mut group = GroupConfig { place: node.place, ..GroupConfig::default() };
        let fields = self.fields(node, "rulefmt.RuleGroup");
        self.check_fields(&fields, &GROUP_FIELDS, "rulefmt.RuleGroup");
        let (mut name, mut rules) = (Text::default(), None);
        for field in &fields {
            match field.name {
                "name" => name = self.text_of(field.value),
                "interval" => group.interval = self.duration(field.value).unwrap_or_default(),
                "query_offset" => group.query_offset = self.duration(field.value),
                "limit" => group.limit = self.count(field.value),
                "labels" => {
                    let labels = self.pairs(field.value);
                    self.check_label_names(&labels);
                    group.labels = owned(&labels);
                }
                "rules" => rules = Some(field.value),
                _ => {}
            }
        }
        group.name = name.text.to_owned();
        if is_mapping(node) && !name.is_mistyped {
            self.check_group_name(&group, names);
        }
        group.rules = rules.map(|rules| self.rules(rules, &group.name)).unwrap_or_default();
        group
    }

    fn check_group_name(&mut self, group: &GroupConfig, names: &mut BTreeSet<String>) {
        if group.name.is_empty() {
            self.refuse(group.place, "Groupname must not be empty");
        }
        if !names.insert(group.name.clone()) {
            let message = format!("groupname: \"{}\" is repeated in the same file", group.name);
            self.refuse(group.place, message);
        }
    }

    fn rules(&mut self, node: &Node, group: &str) -> Vec<RuleConfig> {
        let items = self.items(node, "[]rulefmt.Rule");
        let mut rules = Vec::with_capacity(items.len());
        for (index, item) in items.into_iter().enumerate() {
            self.rule =
                Some(RuleOfError { group: group.to_owned(), number: index + 1, name: name_of_rule(item) });
            rules.push(self.rule(item));
        }
        self.rule = None;
        rules
    }

    fn rule(&mut self, node: &Node) -> RuleConfig {
        let mut rule = RuleConfig::default();
        let fields = self.fields(node, "rulefmt.Rule");
        if !is_mapping(node) {
            return rule;
        }
        self.check_fields(&fields, &RULE_FIELDS, "rulefmt.Rule");
        let (mut record, mut alert, mut expr) = (Text::default(), Text::default(), Text::default());
        let (mut labels, mut annotations) = (Vec::new(), Vec::new());
        for field in &fields {
            let value = field.value;
            match field.name {
                "record" => record = self.text_of(value),
                "alert" => alert = self.text_of(value),
                "expr" => expr = self.text_of(value),
                "for" => rule.hold = self.duration(value).unwrap_or_default(),
                "keep_firing_for" => rule.keep_firing_for = self.duration(value).unwrap_or_default(),
                "labels" => labels = self.pairs(value),
                "annotations" => annotations = self.pairs(value),
                _ => {}
            }
        }
        rule.record = record.text.to_owned();
        rule.alert = alert.text.to_owned();
        rule.expr = expr.text.to_owned();
        rule.labels = owned(&labels);
        rule.annotations = owned(&annotations);
        rule.place = expr.place_or(node.place);
        self.check_kind(node, record, alert);
        self.check_expr(node, expr);
        self.check_recording(&rule, record);
        self.check_label_names(&labels);
        self.check_annotation_names(&annotations);
        self.check_templates(&rule.alert, "label", &labels);
        self.check_templates(&rule.alert, "annotation", &annotations);
        rule
    }

    fn text_of<'n>(&mut self, node: &'n Node) -> Text<'n> {
        let text = self.text(node, "string").unwrap_or_default();
        Text { text, node: Some(node), is_mistyped: !matches!(node.kind, Kind::Scalar(_)) }
    }

    fn check_kind(&mut self, node: &Node, record: Text<'_>, alert: Text<'_>) {
        match (record.is_missing(), alert.is_missing()) {
            (true, true) => self.refuse(node.place, "one of 'record' or 'alert' must be set"),
            (false, false) => {
                let message = "only one of 'record' and 'alert' must be set".to_owned();
                self.refuse_at(record.place_or(node.place), Some(alert.place_or(node.place)), message);
            }
            _ => {}
        }
    }

    fn check_expr(&mut self, node: &Node, expr: Text<'_>) {
        if expr.is_missing() {
            return self.refuse(expr.place_or(node.place), "field 'expr' must be set in rule");
        }
        if expr.is_mistyped {
            return;
        }
        if let Err(error) = parse_expr(expr.text, &self.options.parser) {
            let place = expr.node.map_or(node.place, |node| self.place_in_expr(node, &error));
            self.refuse(place, format!("could not parse expression: {error}"));
        }
    }

    /// Where in the file an expression is wrong: in a block of lines that stand in the file as they are, the place itself,
    /// else where the expression begins.
    fn place_in_expr(&self, node: &Node, error: &ParseError) -> Place {
        let Kind::Scalar(scalar) = &node.kind else { return node.place };
        self.place_in_block(node.place, scalar, error).unwrap_or(node.place)
    }

    fn place_in_block(&self, start: Place, scalar: &Scalar, error: &ParseError) -> Option<Place> {
        let (line, column) = error.line_column?;
        let in_file = self.text[scalar.literal_at?..].lines().nth(line - 1)?;
        let in_expr = scalar.text.lines().nth(line - 1)?;
        let before = in_expr.get(..column - 1)?.chars().count();
        let indent = in_file.strip_suffix(in_expr)?.chars().count();
        Some(Place { line: start.line + line, column: 1 + indent + before })
    }

    /// What only alerting rules may have.
    fn check_recording(&mut self, rule: &RuleConfig, record: Text<'_>) {
        let Some(node) = record.node.filter(|_| !record.text.is_empty()) else { return };
        let of_alerts = [
            ("annotations", !rule.annotations.is_empty()),
            ("for", rule.hold != DurationMs::default()),
            ("keep_firing_for", rule.keep_firing_for != DurationMs::default()),
        ];
        for (field, _) in of_alerts.into_iter().filter(|(_, is_set)| *is_set) {
            self.refuse(node.place, format!("invalid field '{field}' in recording rule"));
        }
        if !self.options.name_validation.is_metric_name(record.text) {
            self.refuse(node.place, format!("invalid recording rule name: {}", record.text));
        }
        if record.text.contains(['{', '}']) {
            let question = "braces present in the recording rule name; should it be in expr?";
            self.refuse(node.place, format!("{question}: {}", record.text));
        }
    }

    fn check_label_names(&mut self, labels: &[Pair<'_>]) {
        for label in labels {
            if !self.options.name_validation.is_label_name(label.name) || label.name == METRIC_NAME {
                self.refuse(label.name_place, format!("invalid label name: {}", label.name));
            }
        }
    }

    fn check_annotation_names(&mut self, annotations: &[Pair<'_>]) {
        for annotation in annotations {
            if !self.options.name_validation.is_label_name(annotation.name) {
                self.refuse(annotation.name_place, format!("invalid annotation name: {}", annotation.name));
            }
        }
    }

    /// Only alerting rules have templates.
    fn check_templates(&mut self, alert: &str, kind: &str, pairs: &[Pair<'_>]) {
        if alert.is_empty() {
            return;
        }
        for pair in pairs {
            if let Err(error) = Template::parse(&format!("__alert_{alert}"), pair.value) {
                self.refuse(pair.value_place, format!("{kind} {}: {error}", GoQuoted(pair.name)));
            }
        }
    }
}

fn is_mapping(node: &Node) -> bool {
    matches!(node.kind, Kind::Mapping(_))
}

/// The name under which the errors of a rule go, found before its fields are read.
fn name_of_rule(node: &Node) -> String {
    let Kind::Mapping(pairs) = &node.kind else { return String::new() };
    let value_of = |wanted: &str| {
        pairs.iter().find_map(|(key, value)| match (&key.kind, &value.kind) {
            (Kind::Scalar(key), Kind::Scalar(text)) if key.text == wanted && !value.is_null() => {
                Some(text.text.clone()).filter(|text| !text.is_empty())
            }
            _ => None,
        })
    };
    value_of("alert").or_else(|| value_of("record")).unwrap_or_default()
}

fn owned(pairs: &[Pair<'_>]) -> BTreeMap<String, String> {
    pairs.iter().map(|pair| (pair.name.to_owned(), pair.value.to_owned())).collect()
}

#[cfg(test)]
mod tests;
