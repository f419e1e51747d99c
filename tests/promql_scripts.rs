//! PromQL test scripts: ours in `promql-tests/`, and upstream's where `PERDURA_CONFORMANCE` names their folder.

use std::path::{Path, PathBuf};

use perdura::promql::testlang::{Store, run_files};
use perdura::storage::MemoryStore;

/// Least number of upstream's evals that pass, raised whenever more do.
const PASSING: &str = "promql-tests/passing";

fn memory() -> Box<dyn Store> {
    Box::new(MemoryStore::default())
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// The scripts in `folder`, by name.
fn scripts(folder: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    let mut paths: Vec<PathBuf> =
        entries.map(|entry| entry.expect("a folder can be listed").path()).collect();
    paths.retain(|path| path.extension().is_some_and(|extension| extension == "test"));
    paths.sort();
    paths
}

/// Runs the scripts, prints what failed, and answers the number of passing evals and whether all did.
fn run(paths: &[PathBuf]) -> (usize, bool) {
    let mut out = Vec::new();
    let all = run_files(paths, &memory, &mut out).expect("scripts can be read");
    let text = String::from_utf8_lossy(&out);
    print!("{text}");
    let last = text.lines().last().expect("the sum is written last");
    let passed = last.strip_prefix("promql: ").and_then(|rest| rest.split(' ').next());
    (passed.and_then(|count| count.parse().ok()).expect("the sum has a count"), all)
}

#[test]
fn our_scripts_pass() {
    let paths = scripts(&root().join("promql-tests"));
    assert!(paths.len() >= 15, "{} scripts", paths.len());
    let (passed, all) = run(&paths);
    assert!(passed > 0 && all);
}

#[test]
fn upstreams_scripts_pass_as_often_as_before() {
    let Some(folder) = std::env::var_os("PERDURA_CONFORMANCE") else {
        println!("skipped: PERDURA_CONFORMANCE names no folder with promql/*.test");
        return;
    };
    let kept = std::fs::read_to_string(root().join(PASSING)).expect("the number of passing evals is kept");
    let least: usize = kept.trim().parse().expect("a number is kept");
    let paths = scripts(&PathBuf::from(folder).join("promql"));
    assert!(!paths.is_empty(), "the folder has scripts");
    let (passed, _) = run(&paths);
    assert!(passed >= least, "{passed} evals pass, {least} did before");
    if passed > least {
        println!("{PASSING} can be raised to {passed}");
    }
}
