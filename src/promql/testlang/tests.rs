//! The runner over scripts that fail and pass.

use super::*;
use crate::storage::MemoryStore;

fn run(text: &str) -> FileReport {
    let engine = Engine::new(engine_options());
    run_script("test", text, &engine, &|| Box::new(MemoryStore::default()))
}

#[test]
fn what_cannot_be_read_fails_alone() {
    let report = run("nonsense\n\neval instant at 1m sum(\n  1\n\neval range from 1m to 0 step 1m a\n");
    let lines: Vec<usize> = report.failures.iter().map(|failure| failure.line).collect();
    assert_eq!((report.evals, report.passed, lines), (3, 0, vec![1, 3, 6]));
}

#[test]
fn a_failed_load_fails_everything_until_the_store_is_cleared() {
    let report = run("load 1m\n  a 1 x\n\neval instant at 0 1\n  1\n");
    assert_eq!((report.evals, report.passed), (1, 0));
    assert!(report.failures[0].message.contains("line 1"), "{:?}", report.failures);
}
