//! What both servers hold: an hour of metrics of every kind that a query can meet.

use super::super::wire::{Histogram, Written};
use super::histograms;
use super::random::Random;

/// First moment, in milliseconds: the edge of a two-hour block, so that no server cuts the hour.
pub(super) const START_MS: i64 = 1_699_999_200_000;
/// Length of what is written.
pub(super) const SPAN_MS: i64 = 3_600_000;

/// Samples are written in slices of so many milliseconds, as time passes.
pub(super) const SLICE_MS: i64 = 300_000;

/// Bit pattern of the marker that ends a series.
const STALE: u64 = 0x7ff0_0000_0000_0002;

/// What a metric's samples are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// Floats.
    Float,
    /// Floats that are counts below upper bounds, by `le`.
    Buckets,
    /// Native histograms.
    Histogram,
    /// Floats, and then histograms, in one series.
    Mixed,
}

/// What a series holds: floats, and histograms.
pub(super) type Samples = (Vec<(i64, f64)>, Vec<Histogram>);

/// A metric.
#[derive(Debug)]
pub(super) struct Family {
    pub(super) name: &'static str,
    /// Its labels beside the name.
    pub(super) labels: &'static [&'static str],
    pub(super) kind: Kind,
    /// Values of one moment differ between its series, so that the largest is only one.
    pub(super) distinct: bool,
    interval_ms: i64,
    series: fn(&mut Shape) -> Samples,
}

/// What a series is made from.
pub(super) struct Shape {
    pub(super) random: Random,
    /// Number of the instance, from 0.
    pub(super) instance: usize,
    /// Number of the series within the instance.
    pub(super) variant: usize,
    /// When it is sampled.
    pub(super) times: Vec<i64>,
}

const TARGET: &[&str] = &["instance", "job"];

/// Job and instance of each target.
pub(super) const TARGETS: &[(&str, &str)] =
    &[("api", "a:1"), ("api", "b:1"), ("dβ→x", "c:1"), ("dβ→x", "é \"q\"\\")];
/// Upper bounds of classic histograms.
const BOUNDS: &[&str] = &["0.1", "0.5", "1", "2.5", "+Inf"];

const fn family(
    name: &'static str,
    labels: &'static [&'static str],
    kind: Kind,
    series: fn(&mut Shape) -> Samples,
) -> Family {
    Family { name, labels, kind, distinct: false, interval_ms: 15_000, series }
}

const fn distinct(mut family: Family) -> Family {
    family.distinct = true;
    family
}

const fn every(interval_ms: i64, mut family: Family) -> Family {
    family.interval_ms = interval_ms;
    family
}

/// All metrics. Names that need quotes have them in queries.
pub(super) const FAMILIES: &[Family] = &[
    distinct(family("requests_total", &["code", "instance", "job"], Kind::Float, counter)),
    distinct(family("temperature", TARGET, Kind::Float, gauge)),
    distinct(every(30_000, family("voltage", TARGET, Kind::Float, gauge))),
    family("queue_length", &["instance", "job", "zone"], Kind::Float, small_integers),
    every(30_000, family("sparse", TARGET, Kind::Float, sparse)),
    family("odd", TARGET, Kind::Float, odd),
    family("steady", TARGET, Kind::Float, steady),
    distinct(family("errors_total", TARGET, Kind::Float, counter)),
    every(60_000, family("clock_seconds", TARGET, Kind::Float, clock)),
    distinct(family("my.metric/ü", &["http.status", "instance", "job"], Kind::Float, gauge)),
    every(60_000, family("target_info", &["host.name", "instance", "job", "version"], Kind::Float, info)),
    every(60_000, family("build_info", &["instance", "job", "revision"], Kind::Float, info)),
    family("latency_seconds_bucket", &["instance", "job", "le"], Kind::Buckets, buckets),
    family("native", TARGET, Kind::Histogram, histograms::counter),
    family("native_floats", TARGET, Kind::Histogram, histograms::float_counter),
    every(30_000, family("native_gauge", TARGET, Kind::Histogram, histograms::gauge)),
    family("native_sparse", TARGET, Kind::Histogram, histograms::sparse),
    family("native_changing", TARGET, Kind::Histogram, histograms::changing),
    family("custom", TARGET, Kind::Histogram, histograms::custom),
    family("custom_changing", TARGET, Kind::Histogram, histograms::custom_changing),
    family("mixed", TARGET, Kind::Mixed, histograms::mixed),
];

impl Family {
    /// Whether its samples are native histograms, or some of them.
    pub(super) fn has_histograms(&self) -> bool {
        matches!(self.kind, Kind::Histogram | Kind::Mixed)
    }

    /// Its series, as the seed has them.
    pub(super) fn written(&self, seed: u64) -> Vec<Written> {
        let mut all = Vec::new();
        for (instance, target) in TARGETS.iter().enumerate() {
            for variant in 0..self.variants() {
                let random = Random::named(seed, &format!("{} {instance} {variant}", self.name));
                // One scrape has one time for all series of the metric.
                let times = self.times(&mut Random::named(seed, &format!("{} {instance}", self.name)));
                let mut shape = Shape { random, instance, variant, times };
                let (samples, histograms) = (self.series)(&mut shape);
                all.push(Written { labels: self.label_values(*target, variant), samples, histograms });
            }
        }
        all
    }

    fn variants(&self) -> usize {
        match self.labels {
            labels if labels.contains(&"le") => BOUNDS.len(),
            labels if labels.len() == TARGET.len() => 1,
            _ => 2,
        }
    }

    /// Every interval, each target at a moment of its own; some series are late by some milliseconds now and then.
    fn times(&self, random: &mut Random) -> Vec<i64> {
        let first = START_MS + if random.chance(50) { 0 } else { random.between(1, self.interval_ms - 1) };
        let late = if random.chance(40) { 40 } else { 0 };
        let mut times = Vec::new();
        let mut at = first;
        while at <= START_MS + SPAN_MS {
            times.push(at + random.between(0, late));
            at += self.interval_ms;
        }
        times
    }

    fn label_values(&self, (job, instance): (&str, &str), variant: usize) -> Vec<(String, String)> {
        let value = |label: &str| match label {
            "__name__" => self.name,
            "job" => job,
            "instance" => instance,
            "le" => BOUNDS[variant],
            "code" => ["200", "500"][variant],
            "http.status" => ["ok", "тест"][variant],
            "zone" => ["x", "y"][variant],
            "host.name" => "node-1",
            "version" => ["1.2", "1.3"][variant],
            "revision" => ["abc", "dëf"][variant],
            other => unreachable!("no values for label {other}"),
        };
        let mut labels: Vec<_> = ["__name__"]
            .iter()
            .chain(self.labels)
            .map(|label| ((*label).to_owned(), value(label).to_owned()))
            .collect();
        labels.sort();
        labels
    }
}

fn stale() -> f64 {
    f64::from_bits(STALE)
}

fn floats(samples: Vec<(i64, f64)>) -> Samples {
    (samples, Vec::new())
}

/// Grows by whole or by broken numbers; starts again now and then.
fn counter(shape: &mut Shape) -> Samples {
    let broken = shape.instance.is_multiple_of(2);
    let resets = if shape.variant == 0 { 3 } else { 0 };
    let mut value = shape.random.between(0, 1000) as f64;
    let random = &mut shape.random;
    floats(
        shape
            .times
            .iter()
            .map(|at| {
                let step = random.between(0, 40) as f64;
                value = if random.chance(resets) { step } else { value + step };
                value += if broken { random.unit() } else { 0.0 };
                (*at, value)
            })
            .collect(),
    )
}

/// Wanders, above and below zero.
fn gauge(shape: &mut Shape) -> Samples {
    let mut value = shape.random.between(-50, 100) as f64;
    let random = &mut shape.random;
    floats(
        shape
            .times
            .iter()
            .map(|at| {
                value += (random.unit() - 0.5) * 8.0;
                (*at, (value * 1000.0).round() / 1000.0)
            })
            .collect(),
    )
}

/// Few values, so that many are equal.
fn small_integers(shape: &mut Shape) -> Samples {
    let random = &mut shape.random;
    floats(shape.times.iter().map(|at| (*at, random.between(0, 5) as f64)).collect())
}

/// With gaps beyond the lookback, some of them marked as the end of the series.
fn sparse(shape: &mut Shape) -> Samples {
    let mut samples = Vec::new();
    let random = &mut shape.random;
    let mut skip = shape.instance * 8;
    for at in &shape.times {
        if skip > 0 {
            skip -= 1;
        } else if random.chance(8) {
            if random.chance(60) {
                samples.push((*at, stale()));
            }
            skip = random.below(25);
        } else {
            samples.push((*at, (random.unit() * 100.0).round() / 4.0));
        }
    }
    floats(samples)
}

/// Values at the edges of what a float can be, but none so small that it has fewer digits: Go's logarithm on x86-64 takes
/// those for larger ones.
fn odd(shape: &mut Shape) -> Samples {
    const VALUES: &[f64] =
        &[f64::NAN, f64::INFINITY, f64::NEG_INFINITY, -0.0, 0.0, 1e100, -1e100, 1e-300, 1e-9];
    let often = [2, 10, 40, 95][shape.instance];
    let random = &mut shape.random;
    let value = |random: &mut Random| {
        if random.chance(often) { *random.pick(VALUES) } else { random.between(-9, 9) as f64 }
    };
    floats(shape.times.iter().map(|at| (*at, value(random))).collect())
}

/// One value for the whole hour; two targets have the same.
fn steady(shape: &mut Shape) -> Samples {
    let value = [1.0, 0.1, 0.1, -3.0][shape.instance];
    floats(shape.times.iter().map(|at| (*at, value)).collect())
}

/// Times of the clock in several years, before and after 1970.
fn clock(shape: &mut Shape) -> Samples {
    let first = [1_699_999_200.0, 951_782_400.5, -86_400.0, 4_102_444_799.0][shape.instance];
    let step = [60.0, 43_200.0, -7_919.0, 86_400.0][shape.instance];
    floats(shape.times.iter().zip(0_u32..).map(|(at, turn)| (*at, first + step * f64::from(turn))).collect())
}

/// 1 from one of two series: one until the middle, the other after it.
fn info(shape: &mut Shape) -> Samples {
    let middle = START_MS + SPAN_MS / 2 + shape.instance as i64 * 120_000;
    let is_first = shape.variant == 0;
    let mut samples: Vec<_> =
        shape.times.iter().filter(|at| (**at < middle) == is_first).map(|at| (*at, 1.0)).collect();
    if is_first {
        samples.extend(shape.times.iter().find(|at| **at >= middle).map(|at| (*at, stale())));
    }
    floats(samples)
}

/// Counters below each bound; one target lacks the last bound for a while, one counts less below a higher bound.
fn buckets(shape: &mut Shape) -> Samples {
    let mut random = Random::new(shape.instance as u64);
    let mut counts = [0.0; BOUNDS.len()];
    let times = &shape.times;
    let mut samples = Vec::new();
    for (turn, at) in times.iter().enumerate() {
        for (bound, count) in counts.iter_mut().enumerate() {
            *count += random.between(0, 2 + bound as i64) as f64;
        }
        if shape.instance == 2 && turn == times.len() / 2 {
            counts = [0.0; BOUNDS.len()];
        }
        let lacks = shape.instance == 3 && shape.variant + 1 == BOUNDS.len() && turn % 100 > 60;
        let below: f64 = counts[..=shape.variant].iter().sum();
        let less = if shape.instance == 1 && shape.variant == 2 { counts[2] * 1.5 } else { 0.0 };
        if !lacks {
            samples.push((*at, below - less));
        }
    }
    floats(samples)
}
