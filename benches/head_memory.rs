//! Memory of active series: resident and anonymous bytes per series, ten labels each.
//!
//! `cargo bench --bench head_memory -- [series] [rounds] [told after every so many rounds]`
//!
//! Time passes by a clock of the bench, 15 seconds a round; flushes and compactions happen when they are due. What
//! the labels take in the bench itself is not counted: they are made anew for each request.

use perdura::clock::{Clock, SimulatedClock};
use perdura::db::{Database, DatabaseOptions};
use perdura::model::{Labels, LabelsBuilder, TenantId};
use perdura::storage::{Acceptance, Append, Batch};

/// Series in one request.
const BATCH_SERIES: usize = 2_000;
const NOW: i64 = 1_700_000_000_000;
const INTERVAL_MS: i64 = 15_000;

fn main() {
    let arguments: Vec<usize> =
        std::env::args().skip(1).filter_map(|argument| argument.parse().ok()).collect();
    let argument = |at: usize, default: usize| arguments.get(at).copied().unwrap_or(default);
    let (series, rounds, told) = (argument(0, 1_000_000), argument(1, 3), argument(2, 3));
    let directory = tempfile::tempdir().expect("a temporary folder can be made");
    let clock = SimulatedClock::at_ms(NOW);
    let options =
        DatabaseOptions { clock: Clock::Simulated(clock.clone()), ..DatabaseOptions::new(directory.path()) };
    let database = Database::open(options).expect("the directory is free");
    let empty = Memory::now();
    let mut spent = 0.0;
    for round in 0..rounds {
        for start in (0..series).step_by(BATCH_SERIES) {
            let batch = batch(start..(start + BATCH_SERIES).min(series), round);
            let before = cpu_seconds();
            let answer = database.append(&TenantId::default(), batch, &Acceptance::EVERYTHING);
            spent += cpu_seconds() - before;
            answer.expect("the disk works");
        }
        clock.advance_ms(INTERVAL_MS);
        while database.step().expect("the disk works") {}
        if round == 0 {
            println!("new series: {:.2} CPU s per million", spent / (series as f64 / 1e6));
        }
        if (round + 1) % told == 0 || round + 1 == rounds {
            let now = Memory::now();
            let each = |bytes: f64, before: f64| (bytes - before) / series as f64;
            println!(
                "after {} samples of each: {:.0} bytes resident per series, {:.0} of them anonymous; most so far {:.0}",
                round + 1,
                each(now.resident, empty.resident),
                each(now.anonymous, empty.anonymous),
                each(now.resident_max, empty.resident),
            );
        }
    }
}

fn batch(numbers: std::ops::Range<usize>, round: usize) -> Batch {
    let mut batch = Batch::default();
    for number in numbers {
        batch.begin_series(&labels(number));
        let value = (number % 97 + round * (number % 13)) as f64;
        batch.push_float(NOW + round as i64 * INTERVAL_MS, 0, value);
    }
    batch
}

/// Ten labels, as a fleet's node exporter has them.
fn labels(number: usize) -> Labels {
    let mut builder = LabelsBuilder::default();
    builder.set("__name__", &format!("node_metric_{}_total", number % 500));
    builder.set("instance", &format!("gpu-node-{:05}.example.internal:9100", number / 500));
    builder.set("cluster", "eu-west-1a").set("job", "node-exporter").set("env", "production");
    builder.set("device", &format!("nvme{}n1", number % 8)).set("mode", "idle").set("team", "ml-platform");
    builder.set("rack", &format!("r{:03}", number / 16_000)).set("region", "eu-west-1");
    builder.build().expect("names are different")
}

/// Bytes of memory of this process.
struct Memory {
    resident: f64,
    anonymous: f64,
    resident_max: f64,
}

impl Memory {
    fn now() -> Self {
        let status = std::fs::read_to_string("/proc/self/status").expect("this is Linux");
        let bytes = |name: &str| {
            let line = status.lines().find_map(|line| line.strip_prefix(name));
            let kib: f64 =
                line.and_then(|line| line.trim().trim_end_matches(" kB").parse().ok()).expect("a number");
            kib * 1_024.0
        };
        Self { resident: bytes("VmRSS:"), anonymous: bytes("RssAnon:"), resident_max: bytes("VmHWM:") }
    }
}

/// CPU time of this thread, user and system.
fn cpu_seconds() -> f64 {
    let stat = std::fs::read_to_string("/proc/thread-self/schedstat").expect("this is Linux");
    let nanoseconds: f64 =
        stat.split_whitespace().next().and_then(|text| text.parse().ok()).expect("a number");
    nanoseconds / 1e9
}
