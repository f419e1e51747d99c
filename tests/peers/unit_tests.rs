//! `perdura test rules` beside `promtool test rules`.

use std::path::Path;

use super::server;
use super::unit_test_files::{Ran, example_folder, run, unit_test_files};

/// Tests and how many failures each has.
fn counts(ran: &Ran) -> Vec<(&str, usize)> {
    ran.cases.iter().map(|(test, failures)| (test.as_str(), failures.len())).collect()
}

#[test]
fn files_come_to_the_same_by_both() {
    let Some(peers) = server::peers("test rules") else { return };
    let scratch = tempfile::tempdir().expect("a folder can be made");
    let perdura = Path::new(env!("CARGO_BIN_EXE_perdura"));
    let examples = |program: &Path| run(program, &example_folder(), &[], &["ml-tests.yml"], scratch.path());
    assert_eq!(examples(perdura), examples(&peers.join("promtool")));
    for file in unit_test_files() {
        if file.is_newer {
            println!("{}: not for this promtool", file.name);
            continue;
        }
        let ours = file.run(perdura, scratch.path());
        let theirs = file.run(&peers.join("promtool"), scratch.path());
        file.check(&theirs);
        assert_eq!(
            (ours.code, &ours.out, counts(&ours)),
            (theirs.code, &theirs.out, counts(&theirs)),
            "{}",
            file.name
        );
        if !file.has_own_words {
            assert_eq!((&ours.err, &ours.cases), (&theirs.err, &theirs.cases), "{}", file.name);
        }
    }
}
