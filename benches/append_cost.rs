//! What writing costs: CPU seconds per million samples, and memory per series.
//!
//! `cargo bench --bench append_cost -- [series] [rounds]`

use std::time::Instant;

use perdura::db::{Database, DatabaseOptions};
use perdura::model::{LabelsBuilder, TenantId};
use perdura::storage::{Acceptance, Append, Batch};

/// Series in one request.
const BATCH_SERIES: usize = 2_000;

fn main() {
    let mut arguments = std::env::args().skip(1).filter_map(|argument| argument.parse().ok());
    let series: usize = arguments.next().unwrap_or(100_000);
    let rounds: usize = arguments.next().unwrap_or(30);
    let directory = std::env::temp_dir().join(format!("perdura-append-cost-{}", std::process::id()));
    let database = Database::open(DatabaseOptions::new(&directory)).expect("the directory is free");
    let labels: Vec<_> = (0..series).map(labels).collect();
    let empty = resident_bytes();
    let begun = Instant::now();
    let mut spent = 0.0;
    for round in 0..rounds {
        for chunk in labels.chunks(BATCH_SERIES) {
            let mut batch = Batch::default();
            for (at, labels) in chunk.iter().enumerate() {
                batch.begin_series(labels);
                batch.push_float(1_700_000_000_000 + round as i64 * 15_000, 0, (round * at) as f64 * 0.25);
            }
            let before = cpu_seconds();
            let answer = database.append(&TenantId::default(), batch, &Acceptance::EVERYTHING);
            spent += cpu_seconds() - before;
            answer.expect("the disk works");
        }
        if round == 2 || round + 1 == rounds {
            let bytes = (resident_bytes() - empty) / series as f64;
            println!("after {} samples of each series: {bytes:.0} bytes per series", round + 1);
        }
    }
    let million = (series * rounds) as f64 / 1e6;
    println!(
        "append: {:.3} CPU s per million samples, {:.2} s in all",
        spent / million,
        begun.elapsed().as_secs_f64()
    );
    let before = cpu_seconds();
    database.flush().expect("the disk works");
    let stats = database.stats();
    println!("flush: {:.3} CPU s per million samples", (cpu_seconds() - before) / million);
    println!(
        "segments: {}, {:.3} bytes per sample",
        stats.segments,
        stats.segment_bytes as f64 / million / 1e6
    );
    println!("log: {} bytes, {} syncs", stats.log_bytes, stats.log_syncs);
    database.close().expect("the disk works");
    std::fs::remove_dir_all(&directory).expect("the directory is there");
}

/// Ten labels, as a fleet's node exporter has them.
fn labels(at: usize) -> perdura::model::Labels {
    let mut builder = LabelsBuilder::default();
    builder.set("__name__", &format!("node_metric_{}_total", at % 500));
    builder.set("instance", &format!("gpu-node-{:05}.example.internal:9100", at / 500));
    builder.set("cluster", "eu-west-1a").set("job", "node-exporter").set("env", "production");
    builder.set("device", &format!("nvme{}n1", at % 8)).set("mode", "idle").set("team", "ml-platform");
    builder.set("rack", &format!("r{:03}", at / 16_000)).set("region", "eu-west-1");
    builder.build().expect("names are different")
}

/// CPU time of this process, user and system.
fn cpu_seconds() -> f64 {
    let stat = std::fs::read_to_string("/proc/self/schedstat").expect("this is Linux");
    let nanoseconds: f64 =
        stat.split_whitespace().next().and_then(|text| text.parse().ok()).expect("a number");
    nanoseconds / 1e9
}

fn resident_bytes() -> f64 {
    let stat = std::fs::read_to_string("/proc/self/statm").expect("this is Linux");
    let pages: f64 = stat.split_whitespace().nth(1).and_then(|text| text.parse().ok()).expect("a number");
    pages * 4_096.0
}
