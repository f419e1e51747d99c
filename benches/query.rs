//! What a query costs, by shape, per input series and output step. Storage is the plain one in memory, so that the
//! figures are the engine's own: a selection of it clones its series, which the raw selector's figure includes.

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use perdura::model::{Labels, TenantId};
use perdura::promql::{Engine, EngineOptions, QueryOptions};
use perdura::storage::{Acceptance, Append, Batch, MemoryStore};

const SERIES: usize = 1_100;
const SCRAPE_MS: i64 = 30_000;
const HOURS: i64 = 2;
const STEPS: i64 = 241;

/// 100 histograms of 11 buckets each, counters that rise at each scrape.
fn store() -> MemoryStore {
    let store = MemoryStore::default();
    let mut batch = Batch::default();
    for series in 0..SERIES {
        let (pod, bucket) = (series / 11, series % 11);
        let bound =
            if bucket == 10 { "+Inf".to_owned() } else { format!("{}", 0.01 * f64::from(1 << bucket)) };
        let pod = format!("pod-{pod}");
        batch.begin_series(&Labels::from_pairs([
            ("__name__", "request_seconds_bucket"),
            ("job", "web"),
            ("pod", pod.as_str()),
            ("le", bound.as_str()),
        ]));
        for scrape in 0..=HOURS * 3_600_000 / SCRAPE_MS {
            batch.push_float(scrape * SCRAPE_MS, 0, (scrape * (bucket as i64 + 1)) as f64);
        }
    }
    store.append(&TenantId::default(), batch, &Acceptance::EVERYTHING).expect("memory does not fail");
    store
}

fn queries(criterion: &mut Criterion) {
    let store = store();
    let engine = Engine::new(EngineOptions::default());
    let (tenant, options) = (TenantId::default(), QueryOptions::default());
    let end = HOURS * 3_600_000;
    let step = (end - 600_000) / (STEPS - 1);
    let mut group = criterion.benchmark_group("query");
    group.sample_size(10);
    group.throughput(Throughput::Elements(SERIES as u64 * STEPS as u64));
    for (name, query) in [
        ("selector", "request_seconds_bucket"),
        ("rate", "rate(request_seconds_bucket[5m])"),
        ("sum_rate", "sum by (pod) (rate(request_seconds_bucket[5m]))"),
        ("max_over_time", "sum(max_over_time(request_seconds_bucket[5m]))"),
        ("quantile", "histogram_quantile(0.9, sum by (le) (rate(request_seconds_bucket[5m])))"),
        ("quantile_each", "histogram_quantile(0.9, rate(request_seconds_bucket[5m]))"),
        ("join", "request_seconds_bucket / ignoring(le) group_left request_seconds_bucket{le=\"+Inf\"}"),
    ] {
        group.bench_function(BenchmarkId::from_parameter(name), |bencher| {
            bencher.iter(|| engine.range(&store, &tenant, query, 600_000, end, step, &options).expect(query));
        });
    }
    group.finish();
}

criterion_group!(benches, queries);
criterion_main!(benches);
