//! Texts that come in: exposition and queries. (Remote write: `remote_write_decode`; frames: `codec`.)
//!
//! `cargo bench --bench parsers`. Fixed inputs of stated size; throughput is in samples (or queries) per second.

use std::hint::black_box;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use perdura::ingest::exposition::{Entry, Format, Parser};
use perdura::promql::parse::{ParserOptions, parse_expr};

const SERIES: usize = 2_000;

fn exposition(criterion: &mut Criterion) {
    let mut text = String::new();
    for number in 0..SERIES {
        if number % 50 == 0 {
            text.push_str(&format!("# HELP metric_{number} Some help.\n# TYPE metric_{number} gauge\n"));
        }
        let family = number - number % 50;
        text.push_str(&format!(
            "metric_{family}{{cpu=\"{}\",mode=\"mode-{number}\"}} {}.25\n",
            number % 8,
            number * 3
        ));
    }
    let mut group = criterion.benchmark_group("exposition_text_2000_samples");
    group.throughput(Throughput::Elements(SERIES as u64));
    group.bench_function("walk", |bencher| {
        bencher.iter(|| {
            let mut parser = Parser::new(Format::Text, black_box(text.as_bytes()));
            let mut sum = 0.0;
            while let Some(entry) = parser.next_entry().expect("sound") {
                if let Entry::Sample(sample) = entry {
                    sum += sample.value;
                }
            }
            sum
        });
    });
}

fn queries(criterion: &mut Criterion) {
    let text = "histogram_quantile(0.99, sum by (le, job) (rate(http_request_duration_seconds_bucket{job=~\"api|web\",code!=\"500\"}[5m] \
                offset 1h))) / on(job) group_left(team) max by (job, team) (service_info{env=\"prod\"}) > 0.25";
    let options = ParserOptions::default();
    let mut group = criterion.benchmark_group("promql_parse");
    group.throughput(Throughput::Elements(1));
    group.bench_function("quantile_with_join", |bencher| {
        bencher.iter(|| parse_expr(black_box(text), &options).expect("sound"));
    });
}

criterion_group!(benches, exposition, queries);
criterion_main!(benches);
