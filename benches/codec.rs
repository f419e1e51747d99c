//! The sample codec over a synthetic GPU fleet: bytes per sample, and million samples per second both ways.
//!
//! `cargo bench --bench codec`. Fixed seed; frames of 120 samples (30 minutes at 15 s) and of 1,024. What counts in the
//! end is measured through the whole program by the replay bench.

use std::hint::black_box;

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use perdura::chunk::{FRAME_LEN_MAX, decode_timestamps, decode_values, encode_timestamps, encode_values};
use perdura::encoding::{ByteReader, ByteWriter};

/// Frames of each kind and length.
const FRAMES: usize = 64;
const FRAME_LENS: [usize; 2] = [120, FRAME_LEN_MAX];

/// A small generator of its own, so that figures stay comparable from version to version.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    fn below(&mut self, limit: u64) -> i64 {
        i64::try_from(self.next() % limit).expect("small limits")
    }
}

/// A kind of series: its name, and its values from a generator.
type Kind = (&'static str, fn(&mut Random, usize) -> Vec<f64>);

const KINDS: [Kind; 8] = [
    ("constant", |random, count| vec![random.below(100) as f64; count]),
    ("temperature", |random, count| {
        walk(random, count, 60, |random| if random.below(4) == 0 { random.below(3) - 1 } else { 0 }, 1.0)
    }),
    ("power_watts", |random, count| walk(random, count, 400_000, |random| random.below(4_000) - 2_000, 1e3)),
    ("utilization", |random, count| (0..count).map(|_| random.below(101) as f64).collect()),
    ("requests_total", |random, count| walk(random, count, 1_000_000, |random| random.below(40), 1.0)),
    ("bytes_total", |random, count| {
        walk(random, count, 1 << 40, |random| 20_000_000 + random.below(1_000_000), 1.0)
    }),
    ("seconds_sum", |random, count| {
        let mut sum = 1234.5;
        let add = |_| {
            sum += random.below(5_000) as f64 / 1e3;
            sum
        };
        (0..count).map(add).collect()
    }),
    ("ratio", |random, count| (0..count).map(|_| random.below(1 << 40) as f64 / 3e12).collect()),
];

fn walk(
    random: &mut Random,
    count: usize,
    start: i64,
    step: fn(&mut Random) -> i64,
    divisor: f64,
) -> Vec<f64> {
    let mut value = start;
    let values = (0..count).map(|_| {
        value += step(random);
        value as f64 / divisor
    });
    values.collect()
}

fn frames(kind: Kind, len: usize) -> Vec<Vec<f64>> {
    let mut random = Random(0x9e37_79b9_7f4a_7c15);
    (0..FRAMES).map(|_| kind.1(&mut random, len)).collect()
}

fn encoded(frames: &[Vec<f64>]) -> Vec<Vec<u8>> {
    let encode = |frame: &Vec<f64>| {
        let mut out = ByteWriter::default();
        encode_values(frame, &mut out);
        out.into_bytes()
    };
    frames.iter().map(encode).collect()
}

fn values(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("values");
    for len in FRAME_LENS {
        let mut fleet_bytes = 0;
        for kind in KINDS {
            let frames = frames(kind, len);
            let stored = encoded(&frames);
            let bytes: usize = stored.iter().map(Vec::len).sum();
            fleet_bytes += bytes;
            println!("{}/{len}: {:.3} bytes per sample", kind.0, bytes as f64 / (len * FRAMES) as f64);
            group.throughput(Throughput::Elements((len * FRAMES) as u64));
            group.bench_with_input(
                BenchmarkId::new(format!("encode/{}", kind.0), len),
                &frames,
                |b, frames| {
                    b.iter(|| black_box(encoded(frames)));
                },
            );
            let mut out = vec![0.0; len];
            group.bench_with_input(
                BenchmarkId::new(format!("decode/{}", kind.0), len),
                &stored,
                |b, stored| {
                    b.iter(|| {
                        for frame in stored {
                            decode_values(&mut ByteReader::new(frame), &mut out).expect("sound");
                            black_box(&out);
                        }
                    });
                },
            );
        }
        let samples = len * FRAMES * KINDS.len();
        println!("all kinds/{len}: {:.3} bytes per sample", fleet_bytes as f64 / samples as f64);
    }
}

fn timestamps(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("timestamps");
    for jitter_ms in [1, 8] {
        let mut random = Random(1);
        let times: Vec<i64> =
            (0..1024).map(|step| 1_700_000_000_000 + step * 15_000 + random.below(jitter_ms)).collect();
        let mut stored = ByteWriter::default();
        encode_timestamps(&times, &mut stored);
        println!("jitter {jitter_ms} ms: {:.3} bytes per timestamp", stored.len() as f64 / 1024.0);
        group.throughput(Throughput::Elements(1024));
        group.bench_function(BenchmarkId::new("encode", jitter_ms), |b| {
            b.iter(|| {
                let mut out = ByteWriter::default();
                encode_timestamps(&times, &mut out);
                black_box(out)
            });
        });
        let mut out = vec![0; 1024];
        group.bench_function(BenchmarkId::new("decode", jitter_ms), |b| {
            b.iter(|| {
                decode_timestamps(&mut ByteReader::new(stored.as_slice()), &mut out).expect("sound");
                black_box(&out);
            });
        });
    }
}

criterion_group! {
    name = benches;
    config = Criterion::default()
        .warm_up_time(std::time::Duration::from_millis(100))
        .measurement_time(std::time::Duration::from_millis(400))
        .sample_size(10);
    targets = values, timestamps
}
criterion_main!(benches);
