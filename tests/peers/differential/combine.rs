//! Aggregations and binary operators.

use super::calls::label_list;
use super::catalog;
use super::data::{FAMILIES, Kind};
use super::generate::{Generator, Vector};

impl Generator {
    /// An aggregation of `inner`, with a parameter or without.
    pub(super) fn aggregate(&mut self, inner: Vector) -> Vector {
        let plain = *self.random.pick(catalog::AGGREGATIONS);
        if self.random.chance(75) || inner.kind != Kind::Float {
            return self.aggregate_by(plain, "", inner);
        }
        match self.random.below(3) {
            0 => {
                let quantile = *self.random.pick(&["0", "0.3", "0.5", "0.95", "1", "1.5", "NaN"]);
                self.aggregate_by("quantile", quantile, inner)
            }
            1 => {
                let ratio = *self.random.pick(&["0.5", "-0.5", "0.1", "1", "-0.9"]);
                let labels = inner.labels.clone();
                Vector { labels, ..self.aggregate_by("limit_ratio", ratio, inner) }
            }
            _ => {
                let mut counted = self.aggregate_by("count_values", "\"value\"", inner);
                counted.labels.push("value");
                counted
            }
        }
    }

    /// The largest or smallest of metrics whose values differ, or any few of a metric: last in a query, since which
    /// series are chosen among equals is not defined.
    pub(super) fn ranked(&mut self) -> (String, &'static str) {
        let name = *self.random.pick(&["topk", "bottomk", "limitk"]);
        let inner = if self.random.chance(60) {
            let of: Vec<_> = FAMILIES.iter().filter(|family| family.distinct).collect();
            let family = of[self.random.below(of.len())];
            if self.random.chance(50) {
                self.select(family)
            } else {
                let range = self.select_range(family);
                self.apply("rate", range)
            }
        } else {
            self.floats(2)
        };
        let count = *self.random.pick(&["1", "2", "3", "5", "100", "0", "-1", "1.7"]);
        (self.aggregate_by(name, count, inner).text, name)
    }

    fn aggregate_by(&mut self, name: &'static str, parameter: &str, inner: Vector) -> Vector {
        self.saw(&format!("aggregation:{name}"));
        let chosen = self.some_labels(&inner.labels);
        let (grouping, labels) = match self.random.below(3) {
            0 => {
                self.saw("aggregation over all");
                (String::new(), Vec::new())
            }
            1 => {
                self.saw("aggregation by");
                (format!("by {}", label_list(&chosen)), chosen)
            }
            _ => {
                self.saw("aggregation without");
                let left = inner.labels.iter().copied().filter(|label| !chosen.contains(label)).collect();
                (format!("without {}", label_list(&chosen)), left)
            }
        };
        let argument = if parameter.is_empty() { String::new() } else { format!("{parameter}, ") };
        let text = if self.random.chance(70) {
            format!("{name} {grouping} ({argument}{})", inner.text)
        } else {
            format!("{name}({argument}{}) {grouping}", inner.text).trim_end().to_owned()
        };
        let keeps = matches!(name, "sum" | "avg") || parameter.is_empty() && inner.kind == Kind::Float;
        let kind = if keeps { inner.kind } else { Kind::Float };
        Vector { text, labels, kind, top: name, loose: false }
    }

    /// `left operator right`, or the other way round, with a right side that suits.
    pub(super) fn binary_with(&mut self, operator: &'static str, left: Vector, depth: usize) -> Vector {
        self.saw(&format!("operator:{operator}"));
        self.remember_pair(operator, left.top);
        let is_scalar = catalog::SCALARS.contains(&left.top);
        let is_set = catalog::SETS.contains(&operator);
        if is_scalar || !is_set && self.random.chance(30) {
            return self.with_scalar(operator, left, depth);
        }
        if self.random.chance(4) {
            let right = self.anything(depth.saturating_sub(1));
            return self.unmatched(operator, left, right);
        }
        let right = self.partner(&left, depth);
        self.remember_pair(operator, right.top);
        let labels = left.labels.clone();
        let same = right.labels.len() == labels.len();
        let (matching, flipped) =
            if same || is_set { self.matching(&left, same) } else { self.grouping(&right) };
        let modifier = format!("{}{matching}", self.bool_modifier(operator));
        let kind = result_kind(operator, left.kind, right.kind);
        let (one, other) = if flipped { (&right, &left) } else { (&left, &right) };
        let text = format!("{} {operator}{modifier} {}", one.operand(), other.operand());
        Vector { text, labels, kind, top: operator, loose: true }
    }

    fn remember_pair(&mut self, operator: &'static str, top: &'static str) {
        if catalog::functions().contains(&top) {
            self.pairs.insert((operator, top));
        }
    }

    fn bool_modifier(&mut self, operator: &str) -> &'static str {
        if !catalog::COMPARISONS.contains(&operator) || self.random.chance(60) {
            return "";
        }
        self.saw("matching:bool");
        " bool"
    }

    fn with_scalar(&mut self, operator: &'static str, left: Vector, depth: usize) -> Vector {
        let between_scalars = catalog::SCALARS.contains(&left.top);
        let (right, labels, kind) = if between_scalars && self.random.chance(50) {
            let right = self.floats(depth.saturating_sub(1));
            (right.operand(), right.labels, Kind::Float)
        } else {
            let scalar = self.scalar(1);
            (format!("({scalar})"), left.labels.clone(), result_kind(operator, left.kind, Kind::Float))
        };
        let must = between_scalars && right.starts_with('(') && catalog::COMPARISONS.contains(&operator);
        let modifier = if must { " bool" } else { self.bool_modifier(operator) };
        let text = if self.random.chance(70) {
            format!("{} {operator}{modifier} {right}", left.operand())
        } else {
            format!("{right} {operator}{modifier} {}", left.operand())
        };
        Vector { text, labels, kind, top: operator, loose: true }
    }

    /// Operands that need not match; an error or nothing is a fine answer.
    fn unmatched(&mut self, operator: &'static str, left: Vector, right: Vector) -> Vector {
        let is_set = catalog::SETS.contains(&operator);
        let labels = self.some_labels(&left.labels);
        let side = if is_set { "" } else { *self.random.pick(&["", " group_left()", " group_right()"]) };
        let word = *self.random.pick(&["on", "ignoring"]);
        let text =
            format!("{} {operator} {word}{}{side} {}", left.operand(), label_list(&labels), right.operand());
        Vector { text, labels, kind: left.kind, top: operator, loose: true }
    }

    /// A vector whose labels are those of `left`, or some of them.
    fn partner(&mut self, left: &Vector, depth: usize) -> Vector {
        let kind = if self.random.chance(90) { left.kind } else { Kind::Float };
        let alike: Vec<_> =
            FAMILIES.iter().filter(|family| family.labels == left.labels && family.kind == kind).collect();
        let inner = match self.random.below(4) {
            0 => return left.clone(),
            1 if !alike.is_empty() => {
                let family = alike[self.random.below(alike.len())];
                self.select(family)
            }
            2 if !alike.is_empty() => {
                let family = alike[self.random.below(alike.len())];
                let range = self.select_range(family);
                let name = *self.random.pick(catalog::HISTOGRAMS_OVER_RANGE);
                self.apply(name, range)
            }
            _ if kind == Kind::Histogram => self.histograms(depth.saturating_sub(1)),
            _ => self.floats(depth.saturating_sub(1)),
        };
        let within = inner.labels.iter().all(|label| left.labels.contains(label));
        if within && self.random.chance(75) {
            return inner;
        }
        let mut common: Vec<_> =
            inner.labels.iter().copied().filter(|label| left.labels.contains(label)).collect();
        if self.random.chance(30) {
            common.pop();
        }
        let name = *self.random.pick(&["sum", "avg", "max"]);
        self.saw(&format!("aggregation:{name}"));
        let text = format!("{name} by {} ({})", label_list(&common), inner.text);
        Vector { text, labels: common, kind: inner.kind, top: name, loose: false }
    }

    /// One to one, as it stands or spelled out.
    fn matching(&mut self, left: &Vector, same: bool) -> (String, bool) {
        match self.random.below(3) {
            0 => {
                self.saw("matching:on");
                (format!(" on{}", label_list(&left.labels)), false)
            }
            1 if same => {
                self.saw("matching:ignoring");
                (format!(" ignoring{}", label_list(&["nosuch"])), false)
            }
            _ => {
                self.saw("matching:plain");
                (String::new(), false)
            }
        }
    }

    /// Many to one: the right side has fewer labels. True where the sides have to be exchanged.
    fn grouping(&mut self, right: &Vector) -> (String, bool) {
        self.saw("matching:on");
        let flipped = self.random.chance(40);
        let side = if flipped { "group_right" } else { "group_left" };
        self.saw(&format!("matching:{side}"));
        // Parentheses, since an operand in parentheses behind it would be read as its labels.
        let extra = if self.random.chance(80) { "()" } else { " (job)" };
        (format!(" on{} {side}{extra}", label_list(&right.labels)), flipped)
    }
}

fn result_kind(operator: &str, left: Kind, right: Kind) -> Kind {
    match operator {
        "==" | "!=" | "and" | "or" | "unless" | "+" | "-" => left,
        "*" if left != Kind::Float => left,
        "*" => right,
        "/" => left,
        _ => Kind::Float,
    }
}
