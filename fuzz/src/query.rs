//! The query language.

use std::collections::HashSet;
use std::sync::LazyLock;
use std::time::Duration;

use perdura::model::{LabelsBuilder, TenantId};
use perdura::promql::parse::{ParserOptions, parse_expr, parse_selector};
use perdura::promql::{Engine, EngineOptions, QueryOptions, QueryOutput, QueryValue};
use perdura::storage::{Acceptance, Append, Batch, MemoryStore};

/// Whatever parses is printed as text that parses to the same print.
pub(super) fn promql_parse(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let options =
        ParserOptions { experimental_functions: true, extended_range_selectors: true, fill_modifiers: true };
    if let Ok(expr) = parse_expr(text, &options) {
        let printed = expr.to_string();
        let again = parse_expr(&printed, &options)
            .unwrap_or_else(|error| panic!("{text:?} prints as {printed:?}, which does not parse: {error}"));
        assert_eq!(again.to_string(), printed, "{text:?} does not print the same twice");
    }
    // With everything off, less parses; nothing panics.
    let _ = parse_expr(text, &ParserOptions::default());
    let _ = parse_selector(text);
}

/// What queries are evaluated over: forty samples, a minute apart, of four series and a classic histogram.
static STORE: LazyLock<MemoryStore> = LazyLock::new(store);

const END_MS: i64 = 40 * 60_000;

/// Whatever the query, it ends within its limits with a value whose label sets differ, or with an error.
pub(super) fn promql_execute(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let engine = Engine::new(EngineOptions {
        parser: ParserOptions {
            experimental_functions: true,
            extended_range_selectors: true,
            fill_modifiers: true,
        },
        samples_max: 20_000,
        timeout: Duration::from_secs(2),
        ..EngineOptions::default()
    });
    let (tenant, options) = (TenantId::default(), QueryOptions::default());
    if let Ok(output) = engine.instant(&*STORE, &tenant, text, END_MS, &options) {
        check(text, &output);
    }
    if let Ok(output) = engine.range(&*STORE, &tenant, text, END_MS - 600_000, END_MS, 60_000, &options) {
        check(text, &output);
    }
}

fn check(text: &str, output: &QueryOutput) {
    let (labels, count) = match &output.value {
        QueryValue::Vector(samples) => {
            (samples.iter().map(|sample| &sample.labels).collect::<HashSet<_>>(), samples.len())
        }
        QueryValue::Matrix(series) => {
            for one in series {
                assert!(one.floats.is_sorted_by(|a, b| a.0 < b.0), "{text:?}: times do not rise");
            }
            (series.iter().map(|one| &one.labels).collect(), series.len())
        }
        _ => return,
    };
    assert_eq!(labels.len(), count, "{text:?}: a label set occurs twice");
}

fn store() -> MemoryStore {
    let store = MemoryStore::default();
    let mut batch = Batch::default();
    for (name, job, le) in [
        ("up", "a", ""),
        ("up", "b", ""),
        ("x_total", "a", ""),
        ("h_bucket", "a", "0.5"),
        ("h_bucket", "a", "1"),
        ("h_bucket", "a", "+Inf"),
    ] {
        let mut labels = LabelsBuilder::default();
        labels.push("__name__", name);
        labels.push("job", job);
        labels.push("le", le);
        batch.begin_series(&labels.build().expect("names differ"));
        for step in 0..=40 {
            let value = if step % 17 == 0 { 0.0 } else { step as f64 * (job.len() + le.len()) as f64 };
            batch.push_float(step * 60_000, 0, value);
        }
    }
    store.append(&TenantId::default(), batch, &Acceptance::EVERYTHING).expect("memory does not fail");
    store
}
