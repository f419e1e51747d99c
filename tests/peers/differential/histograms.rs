//! Series of native histograms.

use super::super::wire::{BucketSpan, Histogram};
use super::data::{SLICE_MS, START_MS, Samples, Shape};
use super::random::Random;

/// Bit pattern of the marker that ends a series, as the sum of a histogram.
const STALE: u64 = 0x7ff0_0000_0000_0002;
/// Buckets on each side.
const BUCKETS: usize = 8;
/// Hint of a histogram that is a gauge.
const GAUGE: i32 = 3;
/// Schema of bounds that the sender names.
const CUSTOM: i32 = -53;

/// What is counted, before it is written as a histogram.
#[derive(Clone, Debug)]
struct Counts {
    schema: i32,
    zero_threshold: f64,
    zero: i64,
    positive: [i64; BUCKETS],
    negative: [i64; BUCKETS],
    sum: f64,
    first_bucket: i32,
    /// Buckets that the zero bucket has taken over.
    covered: usize,
}

impl Counts {
    fn new(schema: i32, first_bucket: i32) -> Self {
        Self {
            schema,
            zero_threshold: 0.001,
            zero: 0,
            positive: [0; BUCKETS],
            negative: [0; BUCKETS],
            sum: 0.0,
            first_bucket,
            covered: 0,
        }
    }

    /// Widens the zero bucket over the first `covered` buckets on each side.
    fn widen_zero(&mut self, covered: usize) {
        let bound = self.first_bucket + i32::try_from(covered).expect("there are few buckets") - 1;
        self.zero_threshold = (f64::from(bound) / f64::from(self.schema).exp2()).exp2();
        self.covered = covered;
        for bucket in 0..covered {
            self.zero += self.positive[bucket] + self.negative[bucket];
            (self.positive[bucket], self.negative[bucket]) = (0, 0);
        }
    }

    /// Counts some observations. With `negative` both sides have some from the first on: the peer's storage fills in
    /// empty buckets that other histograms of the chunk have, and a quantile depends on whether a side is there at all.
    fn observe(&mut self, random: &mut Random, negative: bool) {
        if negative && self.negative[BUCKETS - 1] == 0 {
            self.negative[BUCKETS - 1] = 1;
            self.positive[BUCKETS - 1] = 1;
        }
        for _ in 0..random.between(0, 6) {
            let bucket = random.below(BUCKETS).min(random.below(BUCKETS));
            match random.below(6) {
                _ if bucket < self.covered => self.zero += 1,
                0 => self.zero += 1,
                1 if negative => {
                    self.negative[bucket] += random.between(1, 3);
                    self.sum -= bucket as f64 + 0.25;
                }
                _ => {
                    self.positive[bucket] += random.between(1, 3);
                    self.sum += bucket as f64 + 0.125;
                }
            }
        }
    }

    fn reset(&mut self) {
        *self = Self::new(self.schema, self.first_bucket);
    }

    fn integers(&self, timestamp: i64) -> Histogram {
        let (positive_spans, positive) = spans(&self.positive, self.first_bucket);
        let (negative_spans, negative) = spans(&self.negative, self.first_bucket);
        let count = self.zero + positive.iter().sum::<i64>() + negative.iter().sum::<i64>();
        let unsigned = |count: i64| u64::try_from(count).expect("counts are not negative");
        Histogram {
            count: Some(unsigned(count)),
            sum: self.sum,
            schema: self.schema,
            zero_threshold: self.zero_threshold,
            zero_count: Some(unsigned(self.zero)),
            negative_spans,
            negative_deltas: deltas(&negative),
            positive_spans,
            positive_deltas: deltas(&positive),
            timestamp,
            ..Histogram::default()
        }
    }

    /// The same with float counts, each times `factor`.
    fn floats(&self, timestamp: i64, factor: f64) -> Histogram {
        let whole = self.integers(timestamp);
        let scaled = |counts: &[i64]| counts.iter().map(|count| *count as f64 * factor).collect::<Vec<_>>();
        let (_, positive) = spans(&self.positive, self.first_bucket);
        let (_, negative) = spans(&self.negative, self.first_bucket);
        Histogram {
            count: None,
            count_float: Some(whole.count.unwrap_or_default() as f64 * factor),
            zero_count: None,
            zero_count_float: Some(self.zero as f64 * factor),
            negative_deltas: Vec::new(),
            positive_deltas: Vec::new(),
            negative_counts: scaled(&negative),
            positive_counts: scaled(&positive),
            ..whole
        }
    }

    /// The positive buckets between `bounds`, and above the last.
    fn custom(&self, timestamp: i64, bounds: &[f64]) -> Histogram {
        let (positive_spans, positive) = spans(&self.positive[..=bounds.len()], 0);
        Histogram {
            count: Some(positive.iter().sum::<i64>().unsigned_abs()),
            sum: self.sum,
            schema: CUSTOM,
            zero_count: Some(0),
            positive_spans,
            positive_deltas: deltas(&positive),
            timestamp,
            custom_values: bounds.to_vec(),
            ..Histogram::default()
        }
    }
}

/// Spans of the buckets that are not empty, and their counts.
fn spans(counts: &[i64], first: i32) -> (Vec<BucketSpan>, Vec<i64>) {
    let mut spans: Vec<BucketSpan> = Vec::new();
    let mut gap = first;
    let mut fresh = true;
    for count in counts {
        match spans.last_mut() {
            _ if *count == 0 => {
                gap += 1;
                fresh = true;
            }
            Some(span) if !fresh => span.length += 1,
            _ => {
                spans.push(BucketSpan { offset: gap, length: 1 });
                gap = 0;
                fresh = false;
            }
        }
    }
    (spans, counts.iter().copied().filter(|count| *count != 0).collect())
}

fn deltas(counts: &[i64]) -> Vec<i64> {
    let before = [0].into_iter().chain(counts.iter().copied());
    counts.iter().zip(before).map(|(count, before)| count - before).collect()
}

fn stale(timestamp: i64) -> Histogram {
    Histogram {
        count: Some(0),
        zero_count: Some(0),
        sum: f64::from_bits(STALE),
        timestamp,
        ..Histogram::default()
    }
}

/// Integer counts that grow, with resets; each instance with a schema of its own.
pub(super) fn counter(shape: &mut Shape) -> Samples {
    let mut counts = Counts::new([0, 1, 1, 3][shape.instance], [0, -3, 2, -8][shape.instance]);
    let random = &mut shape.random;
    let histograms = shape.times.iter().map(|at| {
        if random.chance(2) {
            counts.reset();
        }
        counts.observe(random, false);
        counts.integers(*at)
    });
    (Vec::new(), histograms.collect())
}

/// Float counts that grow, on both sides of zero.
pub(super) fn float_counter(shape: &mut Shape) -> Samples {
    let mut counts = Counts::new(1, -2);
    let factor = [0.5, 1.0, 0.1, 1e6][shape.instance];
    let random = &mut shape.random;
    let histograms = shape.times.iter().map(|at| {
        counts.observe(random, true);
        counts.floats(*at, factor)
    });
    (Vec::new(), histograms.collect())
}

/// Counts that go up and down, and say that they do.
pub(super) fn gauge(shape: &mut Shape) -> Samples {
    let random = &mut shape.random;
    let histograms = shape.times.iter().map(|at| {
        let mut counts = Counts::new(2, -4);
        counts.observe(random, true);
        counts.observe(random, true);
        Histogram { reset_hint: GAUGE, ..counts.integers(*at) }
    });
    (Vec::new(), histograms.collect())
}

/// With gaps, some of them marked as the end of the series.
pub(super) fn sparse(shape: &mut Shape) -> Samples {
    let mut counts = Counts::new(0, 0);
    let random = &mut shape.random;
    let mut skip = shape.instance * 10;
    let mut histograms = Vec::new();
    for at in &shape.times {
        if skip > 0 {
            skip -= 1;
        } else if random.chance(6) {
            if random.chance(60) {
                histograms.push(stale(*at));
            }
            skip = random.below(40);
        } else {
            counts.observe(random, false);
            histograms.push(counts.integers(*at));
        }
    }
    (Vec::new(), histograms)
}

/// The schema, the width of the zero bucket or both change every few minutes.
pub(super) fn changing(shape: &mut Shape) -> Samples {
    let mut counts = Counts::new(2, -2);
    let random = &mut shape.random;
    let instance = shape.instance;
    let histograms = shape.times.iter().zip(0_usize..).map(|(at, turn)| {
        if turn % 40 == 39 {
            if instance.is_multiple_of(2) {
                counts = Counts::new(random.between(-1, 4).try_into().expect("a schema is small"), -2);
            }
            if instance > 0 {
                counts.widen_zero(random.below(3).max(counts.covered).max(1));
            }
        }
        counts.observe(random, instance == 3);
        counts.integers(*at)
    });
    (Vec::new(), histograms.collect())
}

/// Bounds of the sender's own, the same for all.
pub(super) fn custom(shape: &mut Shape) -> Samples {
    let mut counts = Counts::new(CUSTOM, 0);
    let random = &mut shape.random;
    let histograms = shape.times.iter().map(|at| {
        if random.chance(2) {
            counts.reset();
        }
        counts.observe(random, false);
        counts.custom(*at, &[0.1, 0.5, 1.0, 5.0])
    });
    (Vec::new(), histograms.collect())
}

/// Bounds that differ between targets, and in the middle of the hour.
pub(super) fn custom_changing(shape: &mut Shape) -> Samples {
    let mut counts = Counts::new(CUSTOM, 0);
    let random = &mut shape.random;
    let early: &[f64] =
        if shape.instance.is_multiple_of(2) { &[1.0, 2.0, 5.0] } else { &[-1.0, 1.0, 5.0, 10.0] };
    let late: &[f64] = if shape.instance < 2 { early } else { &[0.5, 1.0, 5.0] };
    let middle = shape.times.len() / 2;
    let histograms = shape.times.iter().zip(0_usize..).map(|(at, turn)| {
        counts.observe(random, false);
        counts.custom(*at, if turn < middle { early } else { late })
    });
    (Vec::new(), histograms.collect())
}

/// Floats, then histograms, in turns; the last instance has bounds of its own among exponential ones.
pub(super) fn mixed(shape: &mut Shape) -> Samples {
    let (mut floats, mut histograms) = (Vec::new(), Vec::new());
    let mut counts = Counts::new(1, 0);
    let random = &mut shape.random;
    for (turn, at) in shape.times.iter().enumerate() {
        counts.observe(random, false);
        // A write holds either kind of a series: the peer stores floats of a write before its histograms.
        let slice = usize::try_from((at - START_MS) / SLICE_MS).expect("samples are after the start");
        match (slice / 2 + shape.instance) % 2 {
            0 => floats.push((*at, random.between(0, 100) as f64)),
            _ if shape.instance == 3 && turn % 100 > 90 => histograms.push(counts.custom(*at, &[1.0, 2.0])),
            _ => histograms.push(counts.integers(*at)),
        }
    }
    (floats, histograms)
}
