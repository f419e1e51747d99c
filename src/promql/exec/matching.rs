//! Binary operators between two vectors: series find each other by their matching labels.

use std::collections::HashMap;

use crate::promql::engine::QueryError;
use crate::promql::parse::ast::{MatchCardinality, PosRange, VectorMatching};
use crate::promql::plan::{BinaryNode, StepGrid};
use crate::promql::value::SampleValue;
use crate::storage::Symbol;

use super::batch::{Batch, Bits, Row, Series};
use super::binary::{Operation, Outcome, truth};
use super::context::{Context, SAME_LABELS, fail};
use super::labels::LabelSet;
use super::operator::{Source, drain, merge_repeated, ready};

/// Labels that decide which series match.
pub(crate) struct Signature {
    names: Vec<Symbol>,
    on: bool,
}

impl Signature {
    /// Of a matching.
    pub(crate) fn new(matching: &VectorMatching, cx: &mut Context<'_>) -> Self {
        let mut names = cx.labels.names(&matching.labels);
        if !matching.on {
            names.push(cx.labels.metric_name_symbol());
        }
        Self { names, on: matching.on }
    }

    /// The labels of a series that count.
    pub(crate) fn of(&self, labels: LabelSet, cx: &mut Context<'_>) -> LabelSet {
        if self.on { cx.labels.keep(labels, &self.names) } else { cx.labels.without(labels, &self.names) }
    }
}

/// Rows of one side by what they match with.
fn by_signature(
    batch: &Batch,
    signature: &Signature,
    cx: &mut Context<'_>,
) -> (Vec<LabelSet>, HashMap<LabelSet, Vec<usize>>) {
    let mut order = Vec::new();
    let mut groups: HashMap<LabelSet, Vec<usize>> = HashMap::new();
    for (row, series) in batch.series.iter().enumerate() {
        let key = signature.of(series.labels, cx);
        let rows = groups.entry(key).or_default();
        if rows.is_empty() {
            order.push(key);
        }
        rows.push(row);
    }
    (order, groups)
}

/// Opens an operation of two vectors.
pub(crate) fn open<'q>(
    node: &'q BinaryNode,
    pos: PosRange,
    grid: StepGrid,
    cx: &mut Context<'q>,
) -> Result<Source<'q>, QueryError> {
    let Some(matching) = &node.matching else { return fail("vectors need a matching") };
    let held = cx.samples.held;
    let left = super::open(&node.left, grid, cx)?;
    let left = drain(left, cx)?;
    let right = super::open(&node.right, grid, cx)?;
    let right = drain(right, cx)?;
    let swapped = matching.card == MatchCardinality::OneToMany;
    let (many, one) = if swapped { (right, left) } else { (left, right) };
    let mut join = Join {
        signature: Signature::new(matching, cx),
        include: cx.labels.names(&matching.include),
        active: active_steps(&many, &one, matching, grid.count),
        matching,
        swapped,
        operation: Operation::new(node.op, pos),
        returns_bool: node.returns_bool,
        grid,
        output: Batch::default(),
        places: HashMap::new(),
        names: HashMap::new(),
    };
    join.run(&many, &one, cx)?;
    let mut output = join.output;
    if !(grid.is_instant && cx.settings.delayed_name_removal) {
        output = merge_repeated(output)?;
    }
    ready(output, held, cx)
}

/// Steps at which anything can match: both sides have a value, or one has and the other is filled.
fn active_steps(many: &Batch, one: &Batch, matching: &VectorMatching, count: usize) -> Bits {
    let any = |batch: &Batch| {
        let mut bits = Bits::zeros(count);
        batch.rows.iter().for_each(|row| bits.or(&row.present));
        bits
    };
    let mut active = any(many);
    if matching.fill_left.is_some() || matching.fill_right.is_some() {
        active.or(&any(one));
    } else {
        active.and(&any(one));
    }
    active
}

struct Join<'q> {
    matching: &'q VectorMatching,
    signature: Signature,
    include: Vec<Symbol>,
    /// The many side is the right one.
    swapped: bool,
    active: Bits,
    operation: Operation,
    returns_bool: bool,
    grid: StepGrid,
    output: Batch,
    /// Output rows by the labels of the group that they came from and their own.
    places: HashMap<(LabelSet, LabelSet), usize>,
    names: HashMap<(LabelSet, LabelSet), LabelSet>,
}

/// What a group has matched so far.
struct Matched {
    /// Steps of one-to-one matches; of any match else.
    steps: Bits,
    /// Steps by output labels, where several series of the many side may match.
    by_labels: HashMap<LabelSet, Bits>,
}

impl<'q> Join<'q> {
    fn run(&mut self, many: &Batch, one: &Batch, cx: &mut Context<'q>) -> Result<(), QueryError> {
        let (many_order, many_groups) = by_signature(many, &self.signature, cx);
        let (one_order, one_groups) = by_signature(one, &self.signature, cx);
        for key in &one_order {
            self.check_one(one, &one_groups[key], *key, cx)?;
        }
        let mut matched: HashMap<LabelSet, Matched> = HashMap::new();
        for key in many_order {
            cx.check()?;
            let group = matched.entry(key).or_insert_with(|| self.nothing_matched());
            let ones: &[usize] = one_groups.get(&key).map_or(&[], Vec::as_slice);
            for row in &many_groups[&key] {
                self.match_many((many.series[*row], &many.rows[*row]), one, ones, key, group, cx)?;
            }
        }
        let Some(fill) = self.matching.fill_left else { return Ok(()) };
        for key in one_order {
            let group = matched.entry(key).or_insert_with(|| self.nothing_matched());
            for row in &one_groups[&key] {
                let (series, values) = (one.series[*row], &one.rows[*row]);
                let mut steps = values.present.clone();
                steps.and(&self.active);
                steps.and_not(&group.steps.clone());
                let filled = Operand { labels: key, row: None, fill };
                let right = Operand { labels: series.labels, row: Some(values), fill: 0.0 };
                self.combine(&filled, &right, &steps, key, group, cx)?;
            }
        }
        Ok(())
    }

    fn nothing_matched(&self) -> Matched {
        Matched { steps: Bits::zeros(self.grid.count), by_labels: HashMap::new() }
    }

    /// The one side must have one series per group and step.
    fn check_one(
        &self,
        one: &Batch,
        rows: &[usize],
        key: LabelSet,
        cx: &Context<'_>,
    ) -> Result<(), QueryError> {
        if rows.len() < 2 {
            return Ok(());
        }
        for (index, later) in rows.iter().enumerate() {
            for earlier in &rows[..index] {
                let mut both = one.rows[*later].present.clone();
                both.and(&one.rows[*earlier].present);
                both.and(&self.active);
                if both.is_empty() {
                    continue;
                }
                let side = if self.swapped { "left" } else { "right" };
                let mut names =
                    [later, earlier].map(|row| cx.labels.labels(one.series[*row].labels).to_string());
                names.sort();
                return fail(format!(
                    "found duplicate series for the match group {} on the {side} hand-side of the operation: [{}, {}];many-to-many matching not allowed: matching labels must be unique on one side",
                    cx.labels.labels(key),
                    names[0],
                    names[1]
                ));
            }
        }
        Ok(())
    }

    /// One series of the many side with all of its group on the one side.
    fn match_many(
        &mut self,
        (series, row): (Series, &Row),
        one: &Batch,
        ones: &[usize],
        key: LabelSet,
        group: &mut Matched,
        cx: &mut Context<'q>,
    ) -> Result<(), QueryError> {
        let left = Operand { labels: series.labels, row: Some(row), fill: 0.0 };
        let mut alone = row.present.clone();
        alone.and(&self.active);
        for other in ones {
            let values = &one.rows[*other];
            let mut steps = row.present.clone();
            steps.and(&values.present);
            alone.and_not(&values.present);
            let right = Operand { labels: one.series[*other].labels, row: Some(values), fill: 0.0 };
            self.combine(&left, &right, &steps, key, group, cx)?;
        }
        if let Some(fill) = self.matching.fill_right {
            let right = Operand { labels: key, row: None, fill };
            self.combine(&left, &right, &alone, key, group, cx)?;
        }
        Ok(())
    }

    /// Computes the steps of one pair of series.
    fn combine(
        &mut self,
        many: &Operand<'_>,
        one: &Operand<'_>,
        steps: &Bits,
        key: LabelSet,
        group: &mut Matched,
        cx: &mut Context<'q>,
    ) -> Result<(), QueryError> {
        if steps.is_empty() {
            return Ok(());
        }
        let labels = self.result_labels(many.labels, one.labels, cx);
        let place = self.place(key, labels);
        let one_to_one = self.matching.card == MatchCardinality::OneToOne;
        let zeros = Bits::zeros(self.grid.count);
        for step in steps.ones() {
            let (a, b) = (many.value(step), one.value(step));
            let (left, right) = if self.swapped { (&b, &a) } else { (&a, &b) };
            let (value, keep) = match self.operation.values(left, right, cx) {
                Outcome::Nothing => continue,
                Outcome::Value(_) if self.returns_bool => (truth(true), true),
                Outcome::Value(value) => (value, true),
                Outcome::Compared(_, holds) if self.returns_bool => (truth(holds), true),
                Outcome::Compared(value, holds) => (value, holds),
            };
            if one_to_one {
                if group.steps.get(step) {
                    return fail(
                        "multiple matches for labels: many-to-one matching must be explicit (group_left/group_right)",
                    );
                }
            } else {
                let known = group.by_labels.entry(labels).or_insert_with(|| zeros.clone());
                if known.get(step) {
                    return fail("multiple matches for labels: grouping labels must ensure unique matches");
                }
                known.set(step);
            }
            group.steps.set(step);
            if keep {
                let row = &mut self.output.rows[place];
                if row.present.get(step) {
                    return fail(SAME_LABELS);
                }
                row.set_value(step, value);
            }
        }
        Ok(())
    }

    fn place(&mut self, key: LabelSet, labels: LabelSet) -> usize {
        let (output, count) = (&mut self.output, self.grid.count);
        let drop_name = self.returns_bool;
        *self.places.entry((key, labels)).or_insert_with(|| {
            output.push(Series { labels, drop_name }, Row::empty(count));
            output.rows.len() - 1
        })
    }

    /// Labels of the result of a pair.
    fn result_labels(&mut self, many: LabelSet, one: LabelSet, cx: &mut Context<'q>) -> LabelSet {
        if let Some(known) = self.names.get(&(many, one)) {
            return *known;
        }
        let mut labels = many;
        let drops_name = self.returns_bool && !cx.settings.delayed_name_removal;
        if drops_name || self.operation.changes_metric() {
            labels = cx.labels.without_metadata(labels);
        }
        if self.matching.card == MatchCardinality::OneToOne {
            let names = cx.labels.names(&self.matching.labels);
            labels = if self.matching.on {
                cx.labels.keep(labels, &names)
            } else {
                cx.labels.without(labels, &names)
            };
        }
        for name in &self.include {
            let value = cx.labels.value(one, *name);
            labels = cx.labels.with(labels, *name, value);
        }
        self.names.insert((many, one), labels);
        labels
    }
}

/// A series of a pair, or the value that stands for it.
struct Operand<'a> {
    labels: LabelSet,
    row: Option<&'a Row>,
    fill: f64,
}

impl Operand<'_> {
    fn value(&self, step: usize) -> SampleValue {
        self.row.and_then(|row| row.value(step)).unwrap_or(SampleValue::Float(self.fill))
    }
}
