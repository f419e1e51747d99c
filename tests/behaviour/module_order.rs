//! `lib.rs` lists the rooms in dependency order, and a room uses only what stands above it.

use std::fs;
use std::path::{Path, PathBuf};

/// Rooms of the storage wing, which the language wing must not know, and the other way round.
const STORAGE_WING: [&str; 10] =
    ["encoding", "fs", "chunk", "index", "wal", "segment", "block", "object", "head", "db"];

fn source_folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("src")
}

/// The rooms in the order of `lib.rs`.
fn rooms() -> Vec<String> {
    let lib = fs::read_to_string(source_folder().join("lib.rs")).expect("lib.rs is there");
    lib.lines()
        .filter_map(|line| line.trim().trim_start_matches("pub ").strip_prefix("mod ")?.strip_suffix(';'))
        .map(str::to_owned)
        .collect()
}

fn rust_files(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).expect("source folder is readable") {
        let path = entry.expect("source folder is readable").path();
        if path.is_dir() {
            rust_files(&path, found);
        } else if path.extension().is_some_and(|ending| ending == "rs") {
            found.push(path);
        }
    }
}

/// Rooms named by `crate::room` or `crate::{room, ...}` in code, comments left out.
fn rooms_used(text: &str) -> Vec<String> {
    let code: String =
        text.lines().filter(|line| !line.trim_start().starts_with("//")).collect::<Vec<_>>().join("\n");
    let mut used = Vec::new();
    for (at, _) in code.match_indices("crate::") {
        let rest = &code[at + "crate::".len()..];
        match rest.strip_prefix('{') {
            Some(group) => used.extend(top_level_names(group)),
            None => used.push(identifier(rest)),
        }
    }
    used
}

/// The first identifier of each item of a `{...}` import group; `group` starts behind the brace.
fn top_level_names(group: &str) -> Vec<String> {
    let mut names = Vec::new();
    let mut depth = 0_usize;
    let mut item = String::new();
    for c in group.chars() {
        match c {
            '}' if depth == 0 => break,
            '{' => depth += 1,
            '}' => depth -= 1,
            ',' if depth == 0 => names.push(identifier(std::mem::take(&mut item).trim())),
            c if depth == 0 => item.push(c),
            _ => {}
        }
    }
    names.push(identifier(item.trim()));
    names
}

fn identifier(text: &str) -> String {
    text.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect()
}

#[test]
fn each_room_uses_only_what_stands_above_it() {
    let rooms = rooms();
    assert!(rooms.len() > 3, "lib.rs lists its rooms");
    let mut faults = Vec::new();
    for (place, room) in rooms.iter().enumerate() {
        let mut files = Vec::new();
        let folder = source_folder().join(room);
        if folder.is_dir() {
            rust_files(&folder, &mut files);
        } else {
            files.push(source_folder().join(format!("{room}.rs")));
        }
        for file in files {
            let text = fs::read_to_string(&file).expect("source file is readable");
            for used in rooms_used(&text) {
                let crosses = room == "promql" && STORAGE_WING.contains(&used.as_str())
                    || STORAGE_WING.contains(&room.as_str()) && used == "promql";
                match rooms.iter().position(|name| *name == used) {
                    Some(below) if below > place => faults.push(format!("{}: uses {used}", file.display())),
                    _ if crosses => faults.push(format!("{}: crosses over to {used}", file.display())),
                    _ => {}
                }
            }
        }
    }
    assert!(faults.is_empty(), "imports that point the wrong way:\n{}", faults.join("\n"));
}

#[test]
fn the_reader_of_imports_sees_what_it_must() {
    let text = "use crate::model::Labels;\nuse crate::{storage::{Append, Select}, db};\n// use crate::http;\nlet x = crate::promql::f();";
    assert_eq!(rooms_used(text), ["model", "storage", "db", "promql"]);
}
