//! What every sample passes on its way in and out: remote write, exposition text, value frames, query text.
//!
//! `cargo bench --bench codecs`. Fixed inputs of stated size; throughput is in samples (or queries) per second.

use std::hint::black_box;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use perdura::chunk::{FRAME_LEN_MAX, decode_values, encode_values};
use perdura::encoding::{ByteReader, ByteWriter};
use perdura::ingest::exposition::{Entry, Format, Parser};
use perdura::ingest::remote_write::{decode_v1, decode_v2, to_v1, to_v2};
use perdura::model::LabelsBuilder;
use perdura::promql::parse::{ParserOptions, parse_expr};
use perdura::storage::Batch;
use prost::Message;

const SERIES: usize = 2_000;
const NOW_MS: i64 = 1_700_000_000_000;

fn remote_write(criterion: &mut Criterion) {
    let batch = batch();
    let (first, second) = (to_v1(&batch).encode_to_vec(), to_v2(&batch).encode_to_vec());
    let mut group = criterion.benchmark_group("remote_write_decode_2000_series");
    group.throughput(Throughput::Elements(SERIES as u64));
    group.bench_function("protocol_1", |bencher| {
        bencher.iter(|| decode_v1(black_box(&first)).expect("sound"))
    });
    group.bench_function("protocol_2", |bencher| {
        bencher.iter(|| decode_v2(black_box(&second)).expect("sound"))
    });
}

/// One sample for each of [`SERIES`] series with ten labels.
fn batch() -> Batch {
    let mut batch = Batch::default();
    for number in 0..SERIES {
        let mut labels = LabelsBuilder::default();
        labels.push("__name__", &format!("node_disk_metric_{}_total", number % 40));
        for label in 0..9 {
            labels.push(&format!("label_{label}"), &format!("value-{}-{label}", number / (label + 1)));
        }
        batch.begin_series(&labels.build().expect("names differ"));
        batch.push_float(NOW_MS, 0, number as f64 * 1.5);
    }
    batch
}

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

fn value_frames(criterion: &mut Criterion) {
    let steady = |step: i64| (1_000_000 + step * 37 + step * step % 11) as f64;
    let shapes: [(&str, Vec<f64>); 4] = [
        ("constant", vec![42.0; FRAME_LEN_MAX]),
        ("counter", (0..FRAME_LEN_MAX as i64).map(steady).collect()),
        (
            "decimal_gauge",
            (0..FRAME_LEN_MAX as i64).map(|step| (step * 7_919 % 1_000) as f64 / 100.0).collect(),
        ),
        ("doubles", (0..FRAME_LEN_MAX).map(|step| (step as f64 + 0.5).sqrt()).collect()),
    ];
    for (name, values) in shapes {
        let mut frame = ByteWriter::default();
        encode_values(&values, &mut frame);
        let mut group = criterion.benchmark_group(format!("frame_of_1024_{name}"));
        group.throughput(Throughput::Elements(FRAME_LEN_MAX as u64));
        group.bench_function("decode", |bencher| {
            let mut out = vec![0.0; FRAME_LEN_MAX];
            bencher.iter(|| {
                decode_values(&mut ByteReader::new(black_box(frame.as_slice())), &mut out).expect("sound")
            });
        });
        group.bench_function("encode", |bencher| {
            bencher.iter(|| {
                let mut out = ByteWriter::default();
                encode_values(black_box(&values), &mut out);
                out.len()
            });
        });
        println!("frame_of_1024_{name}: {:.3} bytes per sample", frame.len() as f64 / FRAME_LEN_MAX as f64);
    }
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

criterion_group!(benches, remote_write, exposition, value_frames, queries);
criterion_main!(benches);
