//! Decoding of remote write bodies, per sample.
//!
//! One request: 2,000 series of one sample each, eleven labels, as a GPU exporter scraped by Prometheus sends them:
//! 374 bytes a series under 1.0 (25 compressed), 46 under 2.0, 309 bytes of canonical labels.
//!
//! The limit is the bytes moved: each byte of the message is written once by snappy, read once and checked for
//! UTF-8, and each label byte is written once more. `limit` does no more than that: it copies the message into fresh
//! memory and reads the copy. What the reader takes beyond it is parsing; `prost` shows what a `String` for each
//! text costs instead.
//!
//! Best of 100 on two busy cores, in nanoseconds a sample: limit 217, snappy 31, `decode_v1` 507, `decode_v2` 461,
//! prost 1,779 under 1.0 and 213 under 2.0 (where it leaves labels as references, and 618 kB unwritten).

use std::hint::black_box;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use perdura::ingest::prompb::v1::WriteRequest;
use perdura::ingest::prompb::v2::Request;
use perdura::ingest::remote_write::{decode_v1, decode_v2, to_v1, to_v2};
use perdura::ingest::snappy::{DECOMPRESSED_BYTES_MAX, compress, decompress};
use perdura::model::Labels;
use perdura::storage::Batch;
use prost::Message;

const SERIES: usize = 2_000;
const NOW: i64 = 1_700_000_000_000;

/// One sample of each of 50 metrics of 40 devices.
fn request() -> Batch {
    let mut batch = Batch::default();
    for number in 0..SERIES {
        let (device, metric) = (number / 50, number % 50);
        let host = format!("gpu-node-{:03}.cluster.example.com", device / 8);
        let labels = [
            ("__name__", format!("DCGM_FI_DEV_METRIC_{metric:02}")),
            ("DCGM_FI_DRIVER_VERSION", "535.129.03".to_owned()),
            ("Hostname", host.clone()),
            ("UUID", format!("GPU-{device:08x}-7d2c-4e6f-9a1b-{device:012x}")),
            ("container", "inference".to_owned()),
            ("device", format!("nvidia{}", device % 8)),
            ("gpu", (device % 8).to_string()),
            ("instance", format!("{host}:9400")),
            ("job", "dcgm-exporter".to_owned()),
            ("modelName", "NVIDIA H100 80GB HBM3".to_owned()),
            ("namespace", "serving".to_owned()),
        ];
        batch.begin_series(&Labels::from_pairs(labels));
        batch.push_float(NOW, 0, number as f64 * 1.25);
    }
    batch
}

fn benches(criterion: &mut Criterion) {
    let batch = request();
    let (first, second) = (to_v1(&batch).encode_to_vec(), to_v2(&batch).encode_to_vec());
    let body = compress(&first).expect("a small message compresses");
    println!(
        "{SERIES} samples: 1.0 {} bytes ({} compressed), 2.0 {} bytes, labels {} bytes",
        first.len(),
        body.len(),
        second.len(),
        batch.label_bytes.len()
    );
    let mut group = criterion.benchmark_group("remote_write");
    group.throughput(Throughput::Elements(SERIES as u64));
    group.bench_function("limit", |bencher| {
        bencher.iter(|| {
            let copy = black_box(&first[..]).to_vec();
            black_box(copy.iter().filter(|byte| **byte >= 0x80).count())
        });
    });
    group.bench_function("snappy", |bencher| {
        let mut plain = Vec::new();
        bencher.iter(|| decompress(black_box(&body), DECOMPRESSED_BYTES_MAX, &mut plain));
    });
    group.bench_function("decode_v1", |bencher| bencher.iter(|| decode_v1(black_box(&first))));
    group.bench_function("decode_v2", |bencher| bencher.iter(|| decode_v2(black_box(&second))));
    group.bench_function("prost_v1", |bencher| bencher.iter(|| WriteRequest::decode(black_box(&first[..]))));
    group.bench_function("prost_v2", |bencher| bencher.iter(|| Request::decode(black_box(&second[..]))));
    group.finish();
}

criterion_group!(remote_write, benches);
criterion_main!(remote_write);
