//! Queries by their types: scalars, vectors of floats or histograms, ranges. What a vector's labels are is known on the
//! way, so that most joins find partners.

use std::collections::BTreeSet;

use super::catalog;
use super::data::{FAMILIES, Family, Kind};
use super::random::Random;

/// Depth of nesting that a query starts with.
const DEPTH: usize = 3;

/// A vector's text and what is known of it.
#[derive(Clone, Debug)]
pub(super) struct Vector {
    pub(super) text: String,
    /// Names of labels that its series have.
    pub(super) labels: Vec<&'static str>,
    pub(super) kind: Kind,
    /// What was applied last: a function, an aggregation, an operator, or nothing.
    pub(super) top: &'static str,
    /// Whether it has to stand in parentheses as an operand.
    pub(super) loose: bool,
}

impl Vector {
    /// Its text where an operand or a subquery's inner query may stand.
    pub(super) fn operand(&self) -> String {
        if self.loose { format!("({})", self.text) } else { self.text.clone() }
    }
}

/// Writes one query.
pub(super) struct Generator {
    pub(super) random: Random,
    pub(super) made_of: BTreeSet<String>,
    pub(super) pairs: BTreeSet<(&'static str, &'static str)>,
}

impl Generator {
    pub(super) fn new(random: Random) -> Self {
        Self { random, made_of: BTreeSet::new(), pairs: BTreeSet::new() }
    }

    /// A whole query and what it applies last. `pair`: an operator, and a function that must be its operand.
    pub(super) fn query(&mut self, pair: Option<(&'static str, &'static str)>) -> (String, &'static str) {
        if let Some((operator, function)) = pair {
            let operand = self.call(function, DEPTH - 1);
            let joined = self.binary_with(operator, operand, DEPTH - 1);
            let whole = if self.random.chance(25) { self.wrap(joined, 1) } else { joined };
            return (whole.text, whole.top);
        }
        match self.random.below(20) {
            0 => (self.scalar(DEPTH), "scalar"),
            1 => self.ranked(),
            2..=4 => {
                let vector = self.histograms(DEPTH);
                (vector.text, vector.top)
            }
            _ => {
                let vector = self.floats(DEPTH);
                (vector.text, vector.top)
            }
        }
    }

    pub(super) fn saw(&mut self, construct: &str) {
        self.made_of.insert(construct.to_owned());
    }

    pub(super) fn function(&mut self, name: &str) {
        self.made_of.insert(format!("function:{name}"));
    }

    /// A number as a user would write it.
    pub(super) fn number(&mut self) -> String {
        self.saw("literal");
        match self.random.below(12) {
            0 => "0".to_owned(),
            1 => "Inf".to_owned(),
            2 => "NaN".to_owned(),
            3 => "-1.5".to_owned(),
            4 => "1e3".to_owned(),
            5 => "0x1F".to_owned(),
            6 => format!("{:.3}", self.random.unit()),
            7 => "1m30s".to_owned(),
            8 => "1_000".to_owned(),
            _ => self.random.between(1, 60).to_string(),
        }
    }

    /// A scalar expression.
    pub(super) fn scalar(&mut self, depth: usize) -> String {
        if depth == 0 {
            return self.number();
        }
        match self.random.below(8) {
            0..=2 => self.number(),
            3 => self.call("time", depth).text,
            4 => self.call("pi", depth).text,
            5 => self.call("scalar", depth).text,
            6 => {
                self.saw("unary minus");
                format!("-({})", self.scalar(depth - 1))
            }
            _ => {
                let operator = *self.random.pick(&[catalog::ARITHMETIC, catalog::COMPARISONS].concat());
                self.saw(&format!("operator:{operator}"));
                let (left, right) = (self.scalar(depth - 1), self.scalar(depth - 1));
                let modifier = if catalog::COMPARISONS.contains(&operator) { " bool" } else { "" };
                self.saw("parentheses");
                format!("(({left}) {operator}{modifier} ({right}))")
            }
        }
    }

    /// A vector of floats.
    pub(super) fn floats(&mut self, depth: usize) -> Vector {
        if depth == 0 {
            return self.select_kind(Kind::Float);
        }
        match self.random.below(22) {
            0..=1 => self.select_kind(Kind::Float),
            2..=5 => {
                let name = *self.random.pick(catalog::OVER_RANGE);
                self.call(name, depth)
            }
            6..=7 => {
                let name = *self.random.pick(catalog::ELEMENTWISE);
                self.call(name, depth)
            }
            8..=11 => {
                let inner = self.floats(depth - 1);
                self.aggregate(inner)
            }
            12..=15 => {
                let operator = *self.random.pick(&catalog::operators());
                let left = self.floats(depth - 1);
                self.binary_with(operator, left, depth - 1)
            }
            16..=17 => {
                let name = *self.random.pick(catalog::OF_HISTOGRAMS);
                self.call(name, depth)
            }
            18 => {
                let name = *self.random.pick(catalog::DATE);
                self.call(name, depth)
            }
            19 => {
                let inner = self.floats(depth - 1);
                self.negate(inner)
            }
            20 => self.range_of_anything(depth),
            _ => {
                let name = *self.random.pick(catalog::PARTICULAR);
                self.call(name, depth)
            }
        }
    }

    /// A vector of histograms.
    pub(super) fn histograms(&mut self, depth: usize) -> Vector {
        if depth == 0 {
            return self.select_kind(Kind::Histogram);
        }
        match self.random.below(10) {
            0 => self.select_kind(Kind::Histogram),
            1..=3 => {
                let name = *self.random.pick(catalog::HISTOGRAMS_OVER_RANGE);
                let range = self.range(Kind::Histogram, depth - 1);
                self.apply(name, range)
            }
            4..=6 => {
                let inner = self.histograms(depth - 1);
                self.aggregate(inner)
            }
            7..=8 => {
                let operator = *self.random.pick(&catalog::operators());
                let left = self.histograms(depth - 1);
                self.binary_with(operator, left, depth - 1)
            }
            _ => self.select_kind(Kind::Mixed),
        }
    }

    /// A vector of any kind, as functions must take them.
    pub(super) fn anything(&mut self, depth: usize) -> Vector {
        if self.random.chance(12) { self.histograms(depth) } else { self.floats(depth) }
    }

    /// Another function or aggregation around a vector.
    fn wrap(&mut self, inner: Vector, depth: usize) -> Vector {
        match self.random.below(3) {
            0 => self.aggregate(inner),
            1 => self.negate(inner),
            _ => {
                let range = self.subquery(inner, depth);
                let name = *self.random.pick(catalog::OVER_RANGE);
                self.apply(name, range)
            }
        }
    }

    fn negate(&mut self, inner: Vector) -> Vector {
        self.saw("unary minus");
        let text = format!("-{}", inner.operand());
        Vector { text, top: "unary minus", loose: true, ..inner }
    }

    fn range_of_anything(&mut self, depth: usize) -> Vector {
        let kind = *self.random.pick(&[Kind::Mixed, Kind::Histogram, Kind::Buckets]);
        let name = *self.random.pick(catalog::OVER_RANGE);
        let range = self.range(kind, depth - 1);
        self.apply(name, range)
    }

    /// A metric of that kind. Buckets count as floats now and then.
    pub(super) fn family(&mut self, kind: Kind) -> &'static Family {
        let kind = if kind == Kind::Float && self.random.chance(5) { Kind::Buckets } else { kind };
        let of_kind: Vec<_> = FAMILIES.iter().filter(|family| family.kind == kind).collect();
        of_kind[self.random.below(of_kind.len())]
    }

    /// An instant selector.
    pub(super) fn select_kind(&mut self, kind: Kind) -> Vector {
        let family = self.family(kind);
        self.select(family)
    }
}
