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

/// A small fuzzer of its own for every run of the tests; `PERDURA_MUTATIONS` asks for more than 100 of each seed.
#[test]
fn mutations_of_seeds_pass() {
    let count = std::env::var("PERDURA_MUTATIONS").ok().and_then(|text| text.parse().ok()).unwrap_or(100);
    for (name, target) in targets::TARGETS {
        for entry in fs::read_dir(corpus().join(name)).expect("every target has its folder") {
            let path = entry.expect("a folder can be listed").path();
            let seed = fs::read(&path).expect("a seed can be read");
            for number in 0..count {
                let data = mutate(&seed, number);
                let result = std::panic::catch_unwind(|| target(&data));
                assert!(
                    result.is_ok(),
                    "{}: mutation {number}: {:?}",
                    path.display(),
                    data.escape_ascii().to_string()
                );
            }
        }
    }
}

/// One to four changes: bytes set, flipped, dropped or doubled, or the end cut off.
fn mutate(seed: &[u8], number: u64) -> Vec<u8> {
    let mut state = number.wrapping_mul(0x9e37_79b9_7f4a_7c15) + 1;
    let mut random = |end: usize| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        usize::try_from(state >> 33).expect("31 bits fit") % end.max(1)
    };
    let mut data = seed.to_vec();
    for _ in 0..=random(4) {
        let at = random(data.len());
        let end = data.len().min(at + 1 + random(16));
        match random(6) {
            _ if data.is_empty() => data.push(random(256) as u8),
            0 => data[at] = [0x00, 0x01, 0x7f, 0x80, 0xff, b'"', b'{', b'\n'][random(8)],
            1 => data[at] ^= 1 << random(8),
            2 => data[at] = data[random(data.len())],
            3 => drop(data.drain(at..end)),
            4 => {
                let piece = data[at..end].to_vec();
                data.splice(at..at, piece);
            }
            _ => data.truncate(at),
        }
    }
    data
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
