//! Selectors, ranges, subqueries and their modifiers.

use super::data::{Family, Kind, SPAN_MS, START_MS, TARGETS};
use super::generate::{Generator, Vector};

const DURATIONS: &[&str] = &["45s", "1m", "90s", "2m", "5m", "5m", "10m", "20m", "1h"];

impl Generator {
    /// An instant selector of `family`, with matchers and modifiers.
    pub(super) fn select(&mut self, family: &'static Family) -> Vector {
        let text = self.matched(family);
        let modifiers = self.modifiers();
        Vector {
            text: text + &modifiers,
            labels: family.labels.to_vec(),
            kind: family.kind,
            top: "selector",
            loose: false,
        }
    }

    /// A range vector over `kind`: a selector's or a subquery.
    pub(super) fn range(&mut self, kind: Kind, depth: usize) -> Vector {
        if depth > 0 && self.random.chance(25) {
            let inner = match kind {
                Kind::Histogram | Kind::Mixed => self.histograms(depth - 1),
                Kind::Float | Kind::Buckets => self.floats(depth - 1),
            };
            return self.subquery(inner, depth);
        }
        let family = self.family(kind);
        self.select_range(family)
    }

    /// A range selector of `family`.
    pub(super) fn select_range(&mut self, family: &'static Family) -> Vector {
        self.saw("range:selector");
        let selector = self.matched(family);
        let duration = self.duration();
        let modifiers = self.modifiers();
        Vector {
            text: format!("{selector}[{duration}]{modifiers}"),
            labels: family.labels.to_vec(),
            kind: family.kind,
            top: "selector",
            loose: false,
        }
    }

    /// A range vector of what `inner` is at each step.
    pub(super) fn subquery(&mut self, inner: Vector, _depth: usize) -> Vector {
        self.saw("range:subquery");
        let duration = *self.random.pick(&["1m", "3m", "5m", "10m"]);
        let step = *self.random.pick(&["15s", "30s", "1m", "7s", ""]);
        if step.is_empty() {
            self.saw("range:subquery default step");
        }
        let modifiers = self.modifiers();
        let text = format!("{}[{duration}:{step}]{modifiers}", inner.operand());
        Vector { text, loose: false, ..inner }
    }

    fn duration(&mut self) -> String {
        let duration = *self.random.pick(DURATIONS);
        match self.random.below(20) {
            0 => {
                self.saw("range:duration expression");
                format!("{duration} + 30s")
            }
            1 => {
                self.saw("range:duration expression");
                format!("({duration} * 2)")
            }
            2 => self.random.between(60, 400).to_string(),
            _ => duration.to_owned(),
        }
    }

    fn modifiers(&mut self) -> String {
        let offset = match self.random.below(20) {
            0 | 1 => {
                self.saw("modifier:offset");
                format!(" offset {}", self.random.pick(&["30s", "1m", "7m", "15s"]))
            }
            2 => {
                self.saw("modifier:negative offset");
                format!(" offset -{}", self.random.pick(&["30s", "1m"]))
            }
            _ => String::new(),
        };
        let at = match self.random.below(25) {
            0 => {
                self.saw("modifier:@");
                let at = START_MS + self.random.between(0, SPAN_MS);
                format!(" @ {}.{:03}", at / 1000, at % 1000)
            }
            1 => {
                self.saw("modifier:@ start()");
                " @ start()".to_owned()
            }
            2 => {
                self.saw("modifier:@ end()");
                " @ end()".to_owned()
            }
            _ => String::new(),
        };
        if self.random.chance(50) { offset + &at } else { at + &offset }
    }

    /// The name and matchers of a selector.
    fn matched(&mut self, family: &'static Family) -> String {
        let mut matchers = Vec::new();
        for _ in 0..2 {
            if self.random.chance(20) {
                matchers.push(self.matcher(family));
            }
        }
        if !is_plain(family.name) {
            self.saw("selector:UTF-8 name");
            matchers.insert(0, quoted(family.name));
            return format!("{{{}}}", matchers.join(","));
        }
        match self.random.below(30) {
            0 => {
                self.saw("matcher:=");
                matchers.push(format!("__name__={}", quoted(family.name)));
                format!("{{{}}}", matchers.join(","))
            }
            1 => {
                self.saw("matcher:=~");
                let others = self.random.pick(&["steady|", "volt.ge|", "build_.*|"]);
                matchers.push(format!("__name__=~\"{others}{}\"", family.name));
                format!("{{{}}}", matchers.join(","))
            }
            _ if matchers.is_empty() => family.name.to_owned(),
            _ => format!("{}{{{}}}", family.name, matchers.join(",")),
        }
    }

    fn matcher(&mut self, family: &Family) -> String {
        let label = *self.random.pick(family.labels);
        let (job, instance) = *self.random.pick(TARGETS);
        let operator = *self.random.pick(&["=", "!=", "=~", "!~"]);
        let is_pattern = operator.ends_with('~');
        let value = match label {
            "job" if is_pattern => "a.*|x".to_owned(),
            "job" => job.to_owned(),
            "instance" if is_pattern => {
                self.random.pick(&["[a-c]:1", ".*:1", "é.*", "(?i)A:1|B:1"]).to_string()
            }
            "instance" => instance.to_owned(),
            "le" if is_pattern => "0.*|1".to_owned(),
            "le" => "+Inf".to_owned(),
            _ if is_pattern => ".*[a-z0].*".to_owned(),
            _ if operator == "=" => return self.matcher_of_absent(),
            _ => String::new(),
        };
        self.saw(&format!("matcher:{operator}"));
        format!("{}{operator}{}", label_name(label), quoted(&value))
    }

    fn matcher_of_absent(&mut self) -> String {
        self.saw("matcher:=");
        self.random.pick(&["nosuch=\"\"", "nosuch=~\"|x\"", "nosuch!~\"x+\""]).to_string()
    }
}

/// Whether a name needs no quotes.
fn is_plain(name: &str) -> bool {
    name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
}

/// A label's name as it stands in lists and matchers.
pub(super) fn label_name(name: &str) -> String {
    if is_plain(name) { name.to_owned() } else { quoted(name) }
}

/// A text in PromQL's quotes.
pub(super) fn quoted(text: &str) -> String {
    format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\""))
}
