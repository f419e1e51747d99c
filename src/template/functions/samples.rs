//! Queries and what is done with their results.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::{Context, chars};
use crate::promql::VectorSample;
use crate::template::value::{Args, ListKind, Value};

/// Steps that a query counts for, whatever it answers.
const QUERY_STEPS: u64 = 1_000;
/// Deepest nesting of what `args` makes: values are printed and dropped by recursion.
const ARGS_DEPTH_MAX: usize = 32;

pub(super) fn query(context: &mut Context<'_>, args: &[Value]) -> Result<Value, String> {
    context.budget.step(QUERY_STEPS)?;
    let samples = (context.data.query)(&chars(&args[0]), context.data.at)?;
    context.budget.step(u64::try_from(samples.len()).unwrap_or(u64::MAX))?;
    let items = samples.into_iter().map(|sample| Value::Sample(Arc::new(sample)));
    Ok(Value::List(ListKind::Samples, items.collect()))
}

pub(super) fn first(_: &mut Context<'_>, args: &[Value]) -> Result<Value, String> {
    match &args[0] {
        Value::List(_, items) if !items.is_empty() => Ok(items[0].clone()),
        _ => Err("first() called on vector with no elements".to_owned()),
    }
}

fn sample(value: &Value) -> Result<&VectorSample, String> {
    match value {
        Value::Sample(sample) => Ok(sample),
        // Upstream's words for a nil sample.
        _ => Err("runtime error: invalid memory address or nil pointer dereference".to_owned()),
    }
}

pub(super) fn value(_: &mut Context<'_>, args: &[Value]) -> Result<Value, String> {
    Ok(Value::from(&sample(&args[0])?.value))
}

pub(super) fn label(context: &mut Context<'_>, args: &[Value]) -> Result<Value, String> {
    let sample = sample(&args[1])?;
    context.text(sample.labels.get(&chars(&args[0])).unwrap_or_default())
}

/// The label `__value__`, which consoles once set.
pub(super) fn string_value(context: &mut Context<'_>, args: &[Value]) -> Result<Value, String> {
    context.text(sample(&args[0])?.labels.get("__value__").unwrap_or_default())
}

pub(super) fn sort_by_label(context: &mut Context<'_>, args: &[Value]) -> Result<Value, String> {
    let Value::List(kind, items) = &args[1] else { return Ok(args[1].clone()) };
    context.budget.step(u64::try_from(items.len()).unwrap_or(u64::MAX))?;
    let name = chars(&args[0]);
    let mut sorted = items.to_vec();
    let by = |item: &Value| match item {
        Value::Sample(sample) => sample.labels.get(&name).unwrap_or_default().to_owned(),
        _ => String::new(),
    };
    sorted.sort_by_cached_key(by);
    Ok(Value::List(*kind, sorted.into()))
}

pub(super) fn args(context: &mut Context<'_>, args: &[Value]) -> Result<Value, String> {
    context.budget.step(u64::try_from(args.len()).unwrap_or(u64::MAX))?;
    let nested = |value: &Value| match value {
        Value::Args(args) => args.depth,
        _ => 0,
    };
    let depth = 1 + args.iter().map(nested).max().unwrap_or(0);
    if depth > ARGS_DEPTH_MAX {
        return Err(format!("args nested deeper than {ARGS_DEPTH_MAX} levels"));
    }
    let entries: BTreeMap<String, Value> =
        args.iter().enumerate().map(|(index, value)| (format!("arg{index}"), value.clone())).collect();
    Ok(Value::Args(Arc::new(Args { entries, depth })))
}
