//! What a remote-write request costs from its bytes to the answer, one sample a series, each request synced.
//!
//! `cargo bench --bench ingest_cost -- [series] [rounds] [1|2]`
//!
//! Series are those of a GPU fleet, twelve labels, in requests of 2,000 as Prometheus makes them. The first round, in
//! which every series is new, is told apart from the others. CPU seconds are this thread's, kernel included; under
//! `valgrind --tool=callgrind` the same rounds give instructions a sample.

use std::path::Path;
use std::time::Instant;

use perdura::db::{Database, DatabaseOptions};
use perdura::ingest::remote_write::{Protocol, ReceivePolicy, encode_v1, encode_v2, receive};
use perdura::model::{LabelsBuilder, TenantId};
use perdura::storage::Batch;

/// Series in one request.
const BATCH_SERIES: usize = 2_000;
const NOW: i64 = 1_700_000_000_000;
const INTERVAL_MS: i64 = 15_000;

fn main() {
    let arguments: Vec<usize> =
        std::env::args().skip(1).filter_map(|argument| argument.parse().ok()).collect();
    let argument = |at: usize, default: usize| arguments.get(at).copied().unwrap_or(default);
    let (series, rounds) = (argument(0, 20_000), argument(1, 60));
    let protocol = if argument(2, 1) == 2 { Protocol::V2 } else { Protocol::V1 };
    let directory = tempfile::tempdir().expect("a temporary folder can be made");
    let database = Database::open(DatabaseOptions::new(directory.path())).expect("the directory is free");
    let mut fleet: Vec<Member> = (0..series).map(Member::new).collect();
    let (mut first, mut later) = (0.0, 0.0);
    let begun = Instant::now();
    for round in 0..rounds {
        for part in fleet.chunks_mut(BATCH_SERIES) {
            let timestamp = NOW + round as i64 * INTERVAL_MS;
            let body = body(part, timestamp, protocol);
            let policy = ReceivePolicy::new(timestamp, 0);
            let before = cpu_seconds();
            let reply = receive(&*database, &TenantId::default(), protocol, &body, &policy);
            *(if round == 0 { &mut first } else { &mut later }) += cpu_seconds() - before;
            assert_eq!((reply.status, reply.written.samples), (204, part.len()), "{}", reply.message);
        }
    }
    let million = |samples: usize| samples.max(1) as f64 / 1e6;
    println!("{series} series, {rounds} rounds, {:.1} s in all", begun.elapsed().as_secs_f64());
    println!("new series: {:.3} CPU s per million", first / million(series));
    println!("known series: {:.3} CPU s per million samples", later / million(series * (rounds - 1)));
    println!(
        "log: {:.2} bytes per sample",
        folder_bytes(&directory.path().join("log")) / million(series * rounds) / 1e6
    );
    let heap = database.stats().head_bytes as f64 / series as f64;
    println!("head: {heap:.0} bytes of samples per series");
    let before = cpu_seconds();
    database.flush().expect("the disk works");
    println!("flush: {:.3} CPU s per million samples", (cpu_seconds() - before) / million(series * rounds));
    let bytes = folder_bytes(&directory.path().join("segments"));
    println!("segments: {:.3} bytes per sample", bytes / million(series * rounds) / 1e6);
}

/// A series, and how it goes on.
struct Member {
    labels: perdura::model::Labels,
    value: i64,
    random: u64,
    is_counter: bool,
}

impl Member {
    fn new(number: usize) -> Self {
        let (device, metric) = (number / 26, number % 26);
        let host = device / 8;
        let mut labels = LabelsBuilder::default();
        labels.set("__name__", &format!("DCGM_FI_DEV_METRIC_{metric:02}"));
        labels.set("Hostname", &format!("gpu-node-{host:03}")).set("DCGM_FI_DRIVER_VERSION", "570.133.20");
        labels.set("UUID", &format!("GPU-{device:08x}-5b1e-4c3a-9d0f-{:012x}", device * 104_729));
        labels.set("container", "trainer").set("device", &format!("nvidia{}", device % 8));
        labels.set("gpu", &(device % 8).to_string());
        labels.set("instance", &format!("10.12.{}.{}:9400", host / 250, host % 250));
        labels.set("job", "dcgm-exporter").set("modelName", "NVIDIA H200").set("namespace", "ml-training");
        labels.set("pod", &format!("llama-pretrain-{}-{host:05x}", host / 4));
        let labels = labels.build().expect("names are different");
        Self { labels, value: 1_500, random: number as u64 * 2 + 1, is_counter: metric % 4 == 3 }
    }

    /// Three of four wander, one counts.
    fn next(&mut self) -> f64 {
        self.random =
            self.random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let draw = (self.random >> 33) as i64;
        self.value += if self.is_counter { draw % 100_000 } else { draw % 31 - 15 };
        self.value as f64
    }
}

fn body(part: &mut [Member], timestamp: i64, protocol: Protocol) -> Vec<u8> {
    let mut batch = Batch::default();
    for member in part {
        batch.begin_series(&member.labels);
        batch.push_float(timestamp, 0, member.next());
    }
    let encoded = if protocol == Protocol::V2 { encode_v2(&batch) } else { encode_v1(&batch) };
    encoded.expect("a small message compresses")
}

/// CPU time of this thread, user and system.
fn cpu_seconds() -> f64 {
    let stat = std::fs::read_to_string("/proc/thread-self/schedstat").expect("this is Linux");
    let nanoseconds: f64 =
        stat.split_whitespace().next().and_then(|text| text.parse().ok()).expect("a number");
    nanoseconds / 1e9
}

fn folder_bytes(folder: &Path) -> f64 {
    let entries = std::fs::read_dir(folder).expect("the folder is there");
    let lengths = entries.map(|entry| entry.and_then(|entry| entry.metadata()).map_or(0, |meta| meta.len()));
    lengths.sum::<u64>() as f64
}
