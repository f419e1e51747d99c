//! A generated query: its text, when it is asked, and what it is made of.

use std::collections::BTreeSet;

use super::catalog;
use super::data::{self, SPAN_MS, START_MS};
use super::generate::Generator;
use super::random::Random;

/// When a query is asked, in milliseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum When {
    At(i64),
    Range { start: i64, end: i64, step: i64 },
}

/// Functions of one number that are exact, or correctly rounded, everywhere.
const EXACT: &[&str] = &["abs", "ceil", "deg", "floor", "rad", "sgn", "sqrt"];

/// What is asked of both servers.
#[derive(Clone, Debug)]
pub(super) struct Query {
    pub(super) text: String,
    pub(super) when: When,
    /// Constructs, as the catalogue names them.
    pub(super) made_of: BTreeSet<String>,
    /// Operators with the functions that are their operands.
    pub(super) pairs: BTreeSet<(&'static str, &'static str)>,
    /// The function, aggregation or operator that is applied last.
    pub(super) top: &'static str,
    /// Whether it selects native histograms.
    pub(super) has_histograms: bool,
}

impl Query {
    /// The query of that number.
    pub(super) fn generate(seed: u64, number: u64) -> Self {
        let mut random = Random::named(seed, &format!("query {number}"));
        let when = when(&mut random);
        let pairs = catalog::pairs();
        // Each second query has a pair that is its turn, so that none is left to chance.
        let pair = number.is_multiple_of(2).then(|| {
            let turn = usize::try_from(number / 2).expect("a number of a query is small");
            // A step that has no divisor in common with the count visits all of them.
            pairs[(turn * 7_919) % pairs.len()]
        });
        let mut generator = Generator::new(random);
        let (text, top) = generator.query(pair);
        let mut made_of = generator.made_of;
        made_of.insert(if matches!(when, When::At(_)) { "instant" } else { "range" }.to_owned());
        let has_histograms =
            data::FAMILIES.iter().any(|family| family.has_histograms() && text.contains(family.name));
        Self { text, when, made_of, pairs: generator.pairs, top, has_histograms }
    }

    /// Whether it calls the function.
    pub(super) fn uses(&self, function: &str) -> bool {
        self.made_of.contains(&format!("function:{function}"))
    }

    /// Whether a construct of that name is in it.
    pub(super) fn has(&self, construct: &str) -> bool {
        self.made_of.contains(construct)
    }

    /// Whether it has an aggregation that adds up without compensation.
    pub(super) fn deviates(&self) -> bool {
        self.has("aggregation:stddev") || self.has("aggregation:stdvar")
    }

    /// Whether it has a function or an operator that Go computes by formulas of its own.
    pub(super) fn is_transcendental(&self) -> bool {
        let functions = catalog::ELEMENTWISE.iter().filter(|name| !EXACT.contains(name));
        self.has("operator:^")
            || self.has("operator:atan2")
            || functions.into_iter().any(|name| self.uses(name))
    }

    /// Whether it compares.
    pub(super) fn compares(&self) -> bool {
        catalog::COMPARISONS.iter().any(|operator| self.has(&format!("operator:{operator}")))
    }

    /// Whether the last digits of a value may decide about a sample, or grow into its first.
    pub(super) fn is_steep(&self) -> bool {
        let steps = [
            "floor", "ceil", "round", "changes", "resets", "tan", "sin", "cos", "sgn", "exp", "sinh", "cosh",
        ];
        let growth = ["operator:%", "operator:^", "operator:-", "aggregation:count_values"];
        self.compares()
            || catalog::DATE.iter().chain(&steps).any(|name| self.uses(name))
            || growth.iter().any(|name| self.has(name))
    }

    /// Path and fields of the API's call.
    pub(super) fn call(&self) -> (&'static str, Vec<(&'static str, String)>) {
        let seconds = |ms: i64| format!("{}.{:03}", ms / 1000, ms % 1000);
        match self.when {
            When::At(at) => ("/api/v1/query", vec![("query", self.text.clone()), ("time", seconds(at))]),
            When::Range { start, end, step } => (
                "/api/v1/query_range",
                vec![
                    ("query", self.text.clone()),
                    ("start", seconds(start)),
                    ("end", seconds(end)),
                    ("step", seconds(step)),
                ],
            ),
        }
    }
}

/// Mostly within the hour that is written, sometimes at the edge of a sample, sometimes outside.
fn when(random: &mut Random) -> When {
    let moment = match random.below(10) {
        0..=5 => START_MS + random.between(60, SPAN_MS / 1000 - 60) * 1000,
        6..=7 => START_MS + random.between(60_000, SPAN_MS),
        8 => START_MS + random.between(4, SPAN_MS / 15_000) * 15_000,
        _ => START_MS + random.between(-60_000, SPAN_MS + 200_000),
    };
    if random.chance(50) {
        return When::At(moment);
    }
    let step = *random.pick(&[15_000, 15_000, 30_000, 60_000, 7_000, 47_300, 300_000, 1_000]);
    let length = step * random.between(0, 40) + if random.chance(20) { random.between(1, 999) } else { 0 };
    When::Range { start: moment, end: moment + length, step }
}

#[test]
fn all_pairs_have_their_turn() {
    let count = catalog::pairs().len();
    let turns: BTreeSet<usize> = (0..count).map(|turn| (turn * 7_919) % count).collect();
    assert_eq!(turns.len(), count);
}

#[test]
fn queries_of_a_number_are_the_same_and_differ_from_others() {
    let texts: BTreeSet<String> = (0..500).map(|number| Query::generate(1, number).text).collect();
    assert!(texts.len() > 480, "{} of 500 texts differ", texts.len());
    assert_eq!(Query::generate(1, 3).text, Query::generate(1, 3).text);
}
