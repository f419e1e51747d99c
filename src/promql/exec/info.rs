//! `info`: series get the labels of the info series with the same `instance` and `job`.

use std::collections::{BTreeMap, HashMap};

use crate::model::{METRIC_NAME, MatchOp, Matcher};
use crate::promql::engine::QueryError;
use crate::promql::plan::{CallNode, Node, NodeKind, ReferenceTime, SelectorNode, StepGrid};
use crate::storage::Symbol;

use super::batch::{Batch, Row, Series};
use super::context::{Context, SAME_LABELS, fail};
use super::labels::LabelSet;
use super::operator::{Source, drain, ready};
use super::selector::{self, Shown};

/// Labels that tell which info series belongs to a series.
const IDENTIFYING: [&str; 2] = ["instance", "job"];

/// Opens `info` and computes it.
pub(crate) fn open<'q>(
    call: &'q CallNode,
    grid: StepGrid,
    cx: &mut Context<'q>,
) -> Result<Source<'q>, QueryError> {
    let held = cx.samples.held;
    let time = reference_time(&call.args[0]).unwrap_or_default();
    let input = super::open(&call.args[0], grid, cx)?;
    let base = drain(input, cx)?;
    let (names, data) = info_matchers(call.args.get(1));
    let enriched: Vec<bool> = base
        .series
        .iter()
        .map(|series| {
            let name = cx.labels.metric_name(series.labels);
            !names.iter().all(|matcher| matcher.matches(name))
        })
        .collect();
    let info = select_info(&base, &enriched, &names, &data, time, grid, cx)?;
    let mut join = InfoJoin::new(data, info, grid, cx);
    for step in 0..grid.count {
        cx.check()?;
        let newest = join.newest_at(step, cx)?;
        for (place, series) in base.series.iter().enumerate() {
            let Some(value) = base.rows[place].value(step) else { continue };
            let labels =
                if enriched[place] { join.enrich(series.labels, &newest, cx)? } else { Some(series.labels) };
            if let Some(labels) = labels {
                join.put(Series { labels, drop_name: series.drop_name }, step, value)?;
            }
        }
    }
    ready(join.output, held, cx)
}

/// The reference time of the first selector in a tree, with the subqueries around it.
fn reference_time(node: &Node) -> Option<ReferenceTime> {
    match &node.kind {
        NodeKind::Selector(selector) => Some(selector.time),
        NodeKind::Range(range) => Some(range.selector.time),
        NodeKind::Subquery(subquery) => reference_time(&subquery.expr).map(|inner| match inner.at {
            Some(_) => inner,
            None => ReferenceTime {
                at: subquery.time.at,
                offset_ms: inner.offset_ms.saturating_add(subquery.time.offset_ms),
            },
        }),
        NodeKind::StepInvariant(inner) | NodeKind::Negate(inner) => reference_time(inner),
        NodeKind::Binary(binary) => reference_time(&binary.left).or_else(|| reference_time(&binary.right)),
        NodeKind::Aggregate(aggregate) => {
            reference_time(&aggregate.expr).or_else(|| aggregate.param.as_ref().and_then(reference_time))
        }
        NodeKind::Call(call) => call.args.iter().find_map(reference_time),
        NodeKind::Number(_) | NodeKind::Text(_) => None,
    }
}

/// Matchers of the info metrics' names, and of their other labels.
fn info_matchers(selector: Option<&Node>) -> (Vec<Matcher>, Vec<Matcher>) {
    let given: &[Matcher] = match selector.map(|node| &node.unwrapped().kind) {
        Some(NodeKind::Selector(selector)) => &selector.matchers,
        _ => &[],
    };
    let (mut names, data): (Vec<Matcher>, Vec<Matcher>) =
        given.iter().cloned().partition(|matcher| matcher.name == METRIC_NAME);
    let has_positive = names.iter().any(|matcher| matches!(matcher.op, MatchOp::Equal | MatchOp::Regex));
    if names.is_empty() {
        names.push(Matcher::equal(METRIC_NAME, "target_info"));
    } else if !has_positive {
        let any_info =
            Matcher::new(METRIC_NAME, MatchOp::Regex, ".+_info").expect("the pattern is a constant");
        names.insert(0, any_info);
    }
    (names, data)
}

/// The info series of the series to enrich, showing when each sample was taken.
fn select_info<'q>(
    base: &Batch,
    enriched: &[bool],
    names: &[Matcher],
    data: &[Matcher],
    time: ReferenceTime,
    grid: StepGrid,
    cx: &mut Context<'q>,
) -> Result<Batch, QueryError> {
    let mut values: BTreeMap<&str, Vec<String>> = BTreeMap::new();
    for (series, _) in base.series.iter().zip(enriched).filter(|(_, enriched)| **enriched) {
        for label in IDENTIFYING {
            let value = cx.labels.value_text(series.labels, label);
            let known = values.entry(label).or_default();
            if !value.is_empty() && !known.iter().any(|known| known == value) {
                known.push(value.to_owned());
            }
        }
    }
    values.retain(|_, values| !values.is_empty());
    if values.is_empty() {
        return Ok(Batch::default());
    }
    let mut matchers = Vec::new();
    for (label, values) in values {
        let pattern = values.iter().map(|value| escape(value)).collect::<Vec<_>>().join("|");
        let matcher = Matcher::new(label, MatchOp::Regex, &pattern)
            .map_err(|error| QueryError::Execution(error.to_string()))?;
        matchers.push(matcher);
    }
    matchers.extend(data.iter().chain(names).cloned());
    let node = SelectorNode {
        matchers,
        time,
        extension: Default::default(),
        labels_needed: Default::default(),
        statistics_only: false,
    };
    let source = selector::open_shown(&node, grid, Shown::Milliseconds, cx)?;
    drain(source, cx)
}

/// `text` as a regular expression that matches nothing else.
fn escape(text: &str) -> String {
    let mut pattern = String::with_capacity(text.len());
    for c in text.chars() {
        if "\\.+*?()|[]{}^$#&-~".contains(c) {
            pattern.push('\\');
        }
        pattern.push(c);
    }
    pattern
}

/// Which info series belong to a signature: by metric name and identifying labels.
type Signature = (Symbol, LabelSet);

struct InfoJoin {
    data: Vec<Matcher>,
    info: Batch,
    signatures: Vec<Signature>,
    names: Vec<Symbol>,
    identifying: Vec<Symbol>,
    grid: StepGrid,
    output: Batch,
    places: HashMap<LabelSet, usize>,
}

impl InfoJoin {
    fn new(data: Vec<Matcher>, info: Batch, grid: StepGrid, cx: &mut Context<'_>) -> Self {
        let identifying: Vec<Symbol> =
            IDENTIFYING.iter().map(|name| cx.labels.symbols.intern(name)).collect();
        let name = cx.labels.metric_name_symbol();
        let signatures: Vec<Signature> = info
            .series
            .iter()
            .map(|series| (cx.labels.value(series.labels, name), cx.labels.keep(series.labels, &identifying)))
            .collect();
        let mut names: Vec<Symbol> = signatures.iter().map(|(name, _)| *name).collect();
        names.sort_unstable_by(|a, b| cx.labels.symbols.text(*a).cmp(cx.labels.symbols.text(*b)));
        names.dedup();
        Self {
            data,
            info,
            signatures,
            names,
            identifying,
            grid,
            output: Batch::default(),
            places: HashMap::new(),
        }
    }

    /// The newest info series of each signature at a step.
    fn newest_at(&self, step: usize, cx: &Context<'_>) -> Result<HashMap<Signature, LabelSet>, QueryError> {
        let mut newest: HashMap<Signature, (f64, LabelSet)> = HashMap::new();
        for (place, row) in self.info.rows.iter().enumerate().filter(|(_, row)| row.present.get(step)) {
            let (taken, labels) = (row.values[step], self.info.series[place].labels);
            let known = newest.entry(self.signatures[place]).or_insert((taken, labels));
            if known.1 != labels && known.0 == taken {
                return fail(format!(
                    "found duplicate series for info metric: existing {} @ {taken}, new {} @ {taken}",
                    cx.labels.labels(known.1),
                    cx.labels.labels(labels)
                ));
            }
            if known.0 < taken {
                *known = (taken, labels);
            }
        }
        Ok(newest.into_iter().map(|(signature, (_, labels))| (signature, labels)).collect())
    }

    /// The labels of a series with those of its info series; `None` where it needs one and has none.
    fn enrich(
        &self,
        base: LabelSet,
        newest: &HashMap<Signature, LabelSet>,
        cx: &mut Context<'_>,
    ) -> Result<Option<LabelSet>, QueryError> {
        let identity = cx.labels.keep(base, &self.identifying);
        let metric_name = cx.labels.metric_name_symbol();
        let mut added: Vec<(Symbol, Symbol)> = Vec::new();
        let mut found = false;
        for name in &self.names {
            let Some(info) = newest.get(&(*name, identity)) else { continue };
            found = true;
            for pair in cx.labels.pairs(*info) {
                let text = cx.labels.symbols.text(pair.name);
                let wanted = self.data.is_empty() || self.data.iter().any(|matcher| matcher.name == text);
                if pair.name == metric_name || !wanted {
                    continue;
                }
                if added.iter().any(|(name, value)| *name == pair.name && *value != pair.value) {
                    return fail(format!("conflicting label: {text}"));
                }
                if cx.labels.value(base, pair.name) == Symbol(0) {
                    added.push((pair.name, pair.value));
                }
            }
        }
        if !found && !self.data.iter().all(Matcher::matches_empty) {
            return Ok(None);
        }
        Ok(Some(added.into_iter().fold(base, |labels, (name, value)| cx.labels.with(labels, name, value))))
    }

    fn put(
        &mut self,
        series: Series,
        step: usize,
        value: crate::promql::value::SampleValue,
    ) -> Result<(), QueryError> {
        let (output, count) = (&mut self.output, self.grid.count);
        let place = *self.places.entry(series.labels).or_insert_with(|| {
            output.push(series, Row::empty(count));
            output.rows.len() - 1
        });
        let row = &mut output.rows[place];
        if row.present.get(step) {
            return fail(SAME_LABELS);
        }
        row.set_value(step, value);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn escaped_values_match_themselves() {
        for text in ["a.b:9090", "x|y", "[::1]:80", "50%-\\d", "ü{1}"] {
            let matcher = Matcher::new("l", MatchOp::Regex, &escape(text)).expect("escaped");
            assert!(matcher.matches(text), "{text}");
            assert!(!matcher.matches("axb:9090"), "{text}");
        }
    }
}
