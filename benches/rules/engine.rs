//! The expressions alone, in this process: what evaluating costs without files, schedule, templates and results.

use std::collections::BTreeMap;
use std::time::Duration;

use perdura::db::{Database, DatabaseOptions, WalSync};
use perdura::model::{Labels, TenantId};
use perdura::promql::{Engine, EngineOptions, QueryOptions, QueryValue};
use perdura::storage::{Acceptance, Append, Batch};

use super::fleet::{Fleet, INTERVAL_MS};
use super::groups;
use super::options::Options;

/// Time of the first sample: a multiple of the interval.
const START: i64 = 1_700_000_010_000;

/// What one rule of a template costs over all clusters and services.
#[derive(Default)]
struct Cost {
    evaluations: u32,
    time: Duration,
    samples: u64,
    results: usize,
}

/// Evaluates all rules once and prints what each cost.
pub(crate) fn run(fleet: &Fleet, options: &Options) {
    let folder = tempfile::tempdir().expect("a temporary folder can be made");
    let database = Database::open(DatabaseOptions {
        wal_sync: WalSync::Never,
        flush_log_bytes: u64::MAX,
        ..DatabaseOptions::new(folder.path())
    })
    .expect("a fresh folder can be opened");
    let steps = i64::try_from(options.history_seconds * 1_000).expect("history is short") / INTERVAL_MS;
    for step in 0..=steps {
        fill(&database, fleet, step);
    }
    let engine = Engine::new(EngineOptions::default());
    let (tenant, query_options) = (TenantId::default(), QueryOptions::default());
    let at = START + steps * INTERVAL_MS + 1_000;
    let mut costs: BTreeMap<String, Cost> = BTreeMap::new();
    let mut digest = 0_u64;
    for rule in groups::all(options.clusters).iter().flat_map(|group| &group.rules) {
        let started = thread_cpu();
        let output =
            engine.instant(&*database, &tenant, &rule.expr, at, &query_options).expect("rules are sound");
        let time = thread_cpu() - started;
        let QueryValue::Vector(samples) = output.value else { panic!("{} is no vector", rule.expr) };
        for sample in &samples {
            digest = digest.rotate_left(5) ^ sample_digest(&sample.labels, &format!("{:?}", sample.value));
        }
        let cost = costs.entry(rule.name.clone()).or_default();
        cost.evaluations += 1;
        cost.time += time;
        cost.samples += output.stats.samples_read;
        cost.results += samples.len();
    }
    print(&costs);
    println!("digest of all results: {digest:016x}");
}

/// CPU time of this thread so far, so that others on the machine do not count.
fn thread_cpu() -> Duration {
    let text =
        std::fs::read_to_string("/proc/thread-self/schedstat").expect("the kernel counts for each thread");
    Duration::from_nanos(
        text.split(' ').next().and_then(|number| number.parse().ok()).expect("the first is a number"),
    )
}

fn fill(database: &Database, fleet: &Fleet, step: i64) {
    let mut batch = Batch::default();
    for series in &fleet.series {
        let labels = Labels::from_pairs(series.labels.iter().map(|(n, v)| (n.as_str(), v.as_str())));
        batch.begin_series(&labels);
        batch.push_float(START + step * INTERVAL_MS, 0, series.value(step));
    }
    database
        .append(&TenantId::default(), batch, &Acceptance::EVERYTHING)
        .expect("a temporary folder has room");
}

fn sample_digest(labels: &Labels, value: &str) -> u64 {
    let text = format!("{labels}{value}");
    text.bytes()
        .fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3))
}

fn print(costs: &BTreeMap<String, Cost>) {
    let mut rows: Vec<_> = costs.iter().collect();
    rows.sort_by_key(|(_, cost)| std::cmp::Reverse(cost.time));
    println!(
        "{:<60} {:>6} {:>8} {:>8} {:>9} {:>7}",
        "rule", "times", "us each", "samples", "ns/sample", "results"
    );
    let (mut time, mut evaluations) = (Duration::ZERO, 0);
    for (name, cost) in rows {
        let each = f64::from(cost.evaluations);
        println!(
            "{name:<60} {:>6} {:>8.0} {:>8.0} {:>9.1} {:>7.1}",
            cost.evaluations,
            cost.time.as_secs_f64() * 1e6 / each,
            cost.samples as f64 / each,
            cost.time.as_secs_f64() * 1e9 / (cost.samples.max(1)) as f64,
            cost.results as f64 / each,
        );
        time += cost.time;
        evaluations += cost.evaluations;
    }
    println!(
        "all {evaluations} rules: {:.2} s, {:.0} us each",
        time.as_secs_f64(),
        time.as_secs_f64() * 1e6 / f64::from(evaluations)
    );
}
