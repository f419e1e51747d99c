//! `label_replace` and `label_join`: series get other labels, whatever their values.

use crate::model::{METRIC_NAME, is_valid_label_name};
use crate::promql::engine::QueryError;
use crate::promql::functions::labels::Replacement;
use crate::promql::plan::{CallNode, Node, StepGrid};

use super::batch::Series;
use super::context::{Context, fail};
use super::operator::{Repeated, Source, distinct, map};

/// Longest value that a function may make; joining labels to labels would else grow without bound.
const VALUE_BYTES_MAX: usize = 1 << 20;

fn text(arg: &Node) -> std::borrow::Cow<'_, str> {
    String::from_utf8_lossy(arg.text())
}

/// The name of a label to write or to read.
fn label_name(arg: &Node, what: &str, function: &str) -> Result<String, QueryError> {
    match std::str::from_utf8(arg.text()) {
        Ok(name) if is_valid_label_name(name) => Ok(name.to_owned()),
        _ => fail(format!("invalid {what} label name in {function}(): {}", text(arg))),
    }
}

/// Opens `label_replace`.
pub(crate) fn open_replace<'q>(
    call: &'q CallNode,
    grid: StepGrid,
    cx: &mut Context<'q>,
) -> Result<Source<'q>, QueryError> {
    let [vector, target, template, source, pattern] = call.args.as_slice() else {
        return fail("label_replace needs five arguments");
    };
    let Some(mut replacement) = Replacement::new(&text(pattern), &text(template)) else {
        return fail(format!("invalid regular expression in label_replace(): {}", text(pattern)));
    };
    let target = label_name(target, "destination", "label_replace")?;
    let source = text(source);
    relabel(vector, &target, grid, cx, |series, cx| {
        replacement.replace(cx.labels.value_text(series.labels, &source))
    })
}

/// Opens `label_join`.
pub(crate) fn open_join<'q>(
    call: &'q CallNode,
    grid: StepGrid,
    cx: &mut Context<'q>,
) -> Result<Source<'q>, QueryError> {
    let [vector, target, separator, sources @ ..] = call.args.as_slice() else {
        return fail("label_join needs three arguments");
    };
    let sources = sources
        .iter()
        .map(|source| label_name(source, "source", "label_join"))
        .collect::<Result<Vec<_>, _>>()?;
    let target = label_name(target, "destination", "label_join")?;
    let separator = text(separator);
    relabel(vector, &target, grid, cx, |series, cx| {
        let values: Vec<&str> =
            sources.iter().map(|source| cx.labels.value_text(series.labels, source)).collect();
        Some(values.join(&separator))
    })
}

/// Sets the label `target` to what `value` gives, where it gives something.
fn relabel<'q>(
    vector: &'q Node,
    target: &str,
    grid: StepGrid,
    cx: &mut Context<'q>,
    mut value: impl FnMut(Series, &Context<'_>) -> Option<String>,
) -> Result<Source<'q>, QueryError> {
    let input = super::open(vector, grid, cx)?;
    let name = cx.labels.symbols.intern(target);
    let mut changed = Vec::with_capacity(input.series().len());
    for series in input.series() {
        let Some(text) = value(*series, cx) else {
            changed.push(*series);
            continue;
        };
        if text.len() > VALUE_BYTES_MAX {
            return fail(format!("value of label {target} would be longer than {VALUE_BYTES_MAX} bytes"));
        }
        let text = cx.labels.symbols.intern(&text);
        let labels = cx.labels.with(series.labels, name, text);
        changed.push(Series { labels, drop_name: series.drop_name && target != METRIC_NAME });
    }
    let source = map(input, changed, |_, _| Ok(()));
    distinct(source, Repeated::Merge, cx)
}
