//! Replays the seeds of every fuzz target under stable Rust.

#[path = "../fuzz/src/lib.rs"]
#[expect(unreachable_pub, reason = "the fuzz crate's library, which its binaries use")]
mod targets;

use std::collections::BTreeSet;
use std::fs;
use std::path::PathBuf;

fn corpus() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus")
}

#[test]
fn seeds_of_every_target_pass() {
    for (name, _) in targets::TARGETS {
        let folder = corpus().join(name);
        let seeds: Vec<PathBuf> = fs::read_dir(&folder)
            .unwrap_or_else(|error| panic!("{}: {error}", folder.display()))
            .map(|entry| entry.expect("a folder can be listed").path())
            .collect();
        assert!(seeds.len() >= 3, "{name} has {} seeds only", seeds.len());
        for seed in &seeds {
            let data = fs::read(seed).expect("a seed can be read");
            // Shown only if the test fails: the last line is the seed that did it.
            println!("{}", seed.display());
            targets::run(name, &data);
        }
    }
}

#[test]
fn every_folder_and_every_binary_has_its_target() {
    let known: BTreeSet<String> = targets::TARGETS.iter().map(|(name, _)| (*name).to_owned()).collect();
    let names = |folder: PathBuf| -> BTreeSet<String> {
        let entries = fs::read_dir(folder).expect("the fuzz folder is there");
        let stems = entries.map(|entry| entry.expect("a folder can be listed").path().with_extension(""));
        stems.filter_map(|path| path.file_name().map(|name| name.to_string_lossy().into_owned())).collect()
    };
    assert_eq!(names(corpus()), known);
    assert_eq!(names(corpus().join("../fuzz_targets")), known);
}
