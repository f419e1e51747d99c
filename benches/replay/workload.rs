//! What is replayed: targets with their series, encoded as request bodies ahead of time.

use std::fmt;
use std::path::Path;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use prost::Message;

use super::request::push_series;
use super::{gpu, node, wire};

/// Milliseconds between two scrapes of a target.
const INTERVAL_MS: i64 = 15_000;
const GPUS_PER_HOST: usize = 8;

/// The command line.
pub(crate) struct Options {
    pub(crate) nodes: usize,
    pub(crate) gpus: usize,
    pub(crate) steps: usize,
    pub(crate) connections: usize,
    pub(crate) series_per_request: usize,
    pub(crate) seed: u64,
    pub(crate) only: Option<String>,
}

impl Options {
    /// Reads `--name value` pairs; what cargo adds is passed over.
    pub(crate) fn parse(mut arguments: impl Iterator<Item = String>) -> std::result::Result<Self, String> {
        let mut options = Self {
            nodes: 8,
            gpus: 64,
            steps: 240,
            connections: 4,
            series_per_request: 2_000,
            seed: 1,
            only: None,
        };
        while let Some(name) = arguments.next() {
            if name == "--bench" {
                continue;
            }
            let value = arguments.next().ok_or_else(|| format!("{name} needs a value"))?;
            let number = || value.parse::<usize>().map_err(|error| format!("{name} {value}: {error}"));
            match name.as_str() {
                "--nodes" => options.nodes = number()?,
                "--gpus" => options.gpus = number()?,
                "--steps" => options.steps = number()?.max(1),
                "--connections" => options.connections = number()?.max(1),
                "--series-per-request" => options.series_per_request = number()?.max(1),
                "--seed" => options.seed = number()? as u64,
                "--only" => options.only = Some(value),
                _ => return Err(format!("unknown option {name}")),
            }
        }
        Ok(options)
    }
}

/// How the values of a series go on.
#[derive(Clone, Debug)]
pub(crate) enum Track {
    /// Always the same.
    Same(f64),
    /// Observed values there and back again.
    Replaying { values: Arc<[f64]>, place: usize },
    /// A decimal counter with observed increments, round and round: `total / scale`.
    Counting { total: i64, scale: f64, increments: Arc<[i64]>, place: usize },
    /// A counter that is a sum of doubles, with observed increments.
    Accumulating { total: f64, increments: Arc<[f64]>, place: usize },
    /// A decimal that wanders between two bounds: `value / scale`.
    Walking { value: i64, low: i64, high: i64, stride: i64, scale: f64 },
    /// A counter of whole numbers with random increments.
    Growing { total: i64, low: i64, high: i64 },
}

impl Track {
    /// The next value.
    pub(crate) fn next(&mut self, random: &mut Random) -> f64 {
        match self {
            Self::Same(value) => *value,
            Self::Replaying { values, place } => {
                *place = (*place + 1) % (2 * values.len());
                values[if *place < values.len() { *place } else { 2 * values.len() - 1 - *place }]
            }
            Self::Counting { total, scale, increments, place } => {
                *place = (*place + 1) % increments.len();
                *total += increments[*place];
                *total as f64 / *scale
            }
            Self::Accumulating { total, increments, place } => {
                *place = (*place + 1) % increments.len();
                *total += increments[*place];
                *total
            }
            Self::Walking { value, low, high, stride, scale } => {
                *value = (*value + random.between(-*stride, *stride)).clamp(*low, *high);
                *value as f64 / *scale
            }
            Self::Growing { total, low, high } => {
                *total += random.between(*low, *high);
                *total as f64
            }
        }
    }
}

/// One series of a target.
pub(crate) struct Series {
    /// Sorted by name.
    pub(crate) labels: Vec<(String, String)>,
    pub(crate) track: Track,
}

/// What is scraped at once.
pub(crate) struct Target {
    pub(crate) series: Vec<Series>,
}

/// A request body and how many samples it holds.
pub(crate) struct Body {
    pub(crate) bytes: Vec<u8>,
    pub(crate) samples: u64,
}

/// All requests, by connection, in order of sending.
pub(crate) struct Workload {
    pub(crate) connections: Vec<Vec<Body>>,
    pub(crate) samples: u64,
    /// First and last time written, in milliseconds.
    pub(crate) span: (i64, i64),
    description: String,
}

impl fmt::Display for Workload {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(&self.description)
    }
}

impl Workload {
    /// Captures a real node_exporter, adds the GPU fleet, and encodes every request.
    pub(crate) fn build(options: &Options, peers: &Path, folder: &Path) -> Self {
        let mut random = Random(options.seed);
        let mut targets = if options.nodes == 0 {
            Vec::new()
        } else {
            node::targets(peers, folder, options.nodes, &mut random)
        };
        for host in 0..options.gpus.div_ceil(GPUS_PER_HOST) {
            targets.push(gpu::host(
                host,
                GPUS_PER_HOST.min(options.gpus - host * GPUS_PER_HOST),
                &mut random,
            ));
        }
        let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("the clock is past 1970");
        // VictoriaMetrics hides the newest half minute from queries.
        let last = i64::try_from(now.as_millis()).expect("milliseconds fit") - 120_000;
        let steps = i64::try_from(options.steps).expect("steps are few");
        let first = last - steps * INTERVAL_MS;
        let mut connections: Vec<Vec<Target>> = (0..options.connections).map(|_| Vec::new()).collect();
        let series: usize = targets.iter().map(|target| target.series.len()).sum();
        for (place, target) in targets.into_iter().enumerate() {
            connections[place % options.connections].push(target);
        }
        let connections: Vec<Vec<Body>> = connections
            .into_iter()
            .map(|targets| encode(targets, first, steps, options.series_per_request, &mut random))
            .collect();
        let bodies = || connections.iter().flatten();
        let samples = bodies().map(|body| body.samples).sum();
        let description = format!(
            "replay: {series} series ({} node_exporter targets, {} GPUs), {steps} steps of {} s, {samples} samples in {} requests \
             of at most {} samples ({:.1} MB snappy) over {} connections, seed {}",
            options.nodes,
            options.gpus,
            INTERVAL_MS / 1_000,
            bodies().count(),
            options.series_per_request,
            bodies().map(|body| body.bytes.len()).sum::<usize>() as f64 / 1e6,
            options.connections,
            options.seed,
        );
        Self { connections, samples, span: (first, last), description }
    }
}

/// Requests of one connection: step by step, each target at its own moment within the interval.
fn encode(
    targets: Vec<Target>,
    first: i64,
    steps: i64,
    per_request: usize,
    random: &mut Random,
) -> Vec<Body> {
    let mut labelled: Vec<(i64, Vec<Encoded>)> = targets
        .into_iter()
        .map(|target| (random.between(0, INTERVAL_MS - 100), label_bytes(target)))
        .collect();
    let mut bodies = Vec::new();
    let (mut request, mut samples) = (Vec::new(), 0);
    for step in 0..steps {
        for (offset, series) in &mut labelled {
            // Most scrapes are on time to the millisecond, some a little late.
            let late = if random.between(0, 9) == 0 { random.between(1, 3) } else { 0 };
            let timestamp = first + step * INTERVAL_MS + *offset + late;
            for (labels, track) in series {
                push_series(&mut request, labels, timestamp, track.next(random));
                samples += 1;
                if samples == per_request {
                    bodies.push(Body { bytes: wire::compress(&request), samples: samples as u64 });
                    request.clear();
                    samples = 0;
                }
            }
        }
    }
    if samples > 0 {
        bodies.push(Body { bytes: wire::compress(&request), samples: samples as u64 });
    }
    bodies
}

/// Encoded labels of a series, and how its values go on.
type Encoded = (Vec<u8>, Track);

fn label_bytes(target: Target) -> Vec<Encoded> {
    let encoded = target.series.into_iter().map(|series| {
        let labels = series.labels.iter().map(|(name, value)| wire::label(name, value)).collect();
        (wire::TimeSeries { labels, ..Default::default() }.encode_to_vec(), series.track)
    });
    encoded.collect()
}

/// A plain generator, so that a seed gives the same workload.
pub(crate) struct Random(pub(crate) u64);

impl Random {
    /// A number between two bounds, both included.
    pub(crate) fn between(&mut self, low: i64, high: i64) -> i64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        low + ((self.0 >> 33) as i64) % (high - low + 1)
    }
}
