//! What each fuzz target does with its bytes: no panic, no memory without bound, and whatever was accepted survives a
//! round trip or agrees with an oracle.
//!
//! The targets under `fuzz_targets/` call these, and so does `tests/fuzz_replay.rs`, which replays the corpus under
//! stable Rust. A new target is a function here, a line in [`TARGETS`], a file in `fuzz_targets/` with its entry in
//! `Cargo.toml`, and a folder of seeds.

mod oracle;
mod query;
mod segment;
mod storage;
mod text;
mod users;
mod wire;

/// A target's body.
pub type Target = fn(&[u8]);

/// Every target by its name, which is also the name of its folder of seeds.
pub const TARGETS: &[(&str, Target)] = &[
    ("cgroup", users::cgroup),
    ("chunk_decode", storage::chunk_decode),
    ("config", text::config),
    ("exposition_openmetrics", text::exposition_openmetrics),
    ("exposition_text", text::exposition_text),
    ("pod_resources", users::pod_resources),
    ("promql_execute", query::promql_execute),
    ("promql_parse", query::promql_parse),
    ("relabel_config", text::relabel_config),
    ("remote_write_v1", wire::remote_write_v1),
    ("remote_write_v2", wire::remote_write_v2),
    ("rule_file", text::rule_file),
    ("rule_unit_test", text::rule_unit_test),
    ("segment_read", segment::segment_read),
    ("snappy_decompress", wire::snappy_decompress),
    ("template", text::template),
    ("wal_replay", storage::wal_replay),
];

/// Runs one target on `data`.
pub fn run(name: &str, data: &[u8]) {
    let (_, target) = TARGETS.iter().find(|(known, _)| *known == name).expect("the target is listed");
    target(data);
}
