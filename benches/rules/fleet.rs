//! The series: clusters of GPU nodes that serve models, in the names and labels of their exporters.

use std::fmt::Write;

/// Milliseconds between two samples of a series.
pub(crate) const INTERVAL_MS: i64 = 15_000;
/// Nodes of a cluster.
const NODES: usize = 20;
const GPUS_PER_NODE: usize = 8;
/// Services of a cluster.
pub(crate) const SERVICES: usize = 5;
const PODS_PER_SERVICE: usize = 8;
const ROUTES: [&str; 2] = ["/v1/chat/completions", "/v1/completions"];
const CODES: [(&str, f64); 4] = [("200", 400.0), ("400", 6.0), ("429", 4.0), ("500", 2.0)];
/// Upper bounds of classic histograms, with the observations that each bucket gets in a step.
const BUCKETS: [(&str, f64); 12] = [
    ("0.05", 10.0),
    ("0.1", 30.0),
    ("0.25", 90.0),
    ("0.5", 120.0),
    ("1", 80.0),
    ("2.5", 40.0),
    ("5", 20.0),
    ("10", 10.0),
    ("20", 6.0),
    ("40", 3.0),
    ("80", 2.0),
    ("+Inf", 1.0),
];
/// Gauges of a GPU: name, lowest and highest value.
const GPU_GAUGES: [(&str, f64, f64); 10] = [
    ("DCGM_FI_DEV_GPU_UTIL", 20.0, 100.0),
    ("DCGM_FI_DEV_GPU_TEMP", 55.0, 84.0),
    ("DCGM_FI_DEV_MEMORY_TEMP", 60.0, 92.0),
    ("DCGM_FI_DEV_POWER_USAGE", 250.0, 700.0),
    ("DCGM_FI_DEV_SM_CLOCK", 1_200.0, 1_980.0),
    ("DCGM_FI_DEV_FB_USED", 60_000.0, 140_000.0),
    ("DCGM_FI_DEV_FB_FREE", 1_000.0, 80_000.0),
    ("DCGM_FI_PROF_PIPE_TENSOR_ACTIVE", 0.0, 0.8),
    ("DCGM_FI_PROF_DRAM_ACTIVE", 0.0, 0.9),
    ("DCGM_FI_DEV_NVLINK_BANDWIDTH_TOTAL", 0.0, 400_000.0),
];

/// How the values of a series go on: functions of the step, so that two servers can be given the same.
#[derive(Clone, Debug)]
enum Track {
    /// Grows by `per_step` on average, each of the summands on its own.
    Counter { summands: Vec<(u64, f64)> },
    /// Somewhere between two bounds.
    Gauge { seed: u64, low: f64, high: f64 },
}

/// One series.
pub(crate) struct Series {
    /// Sorted by name.
    pub(crate) labels: Vec<(String, String)>,
    /// Whose samples have one time.
    pub(crate) cluster: usize,
    track: Track,
}

impl Series {
    /// Its value at a step.
    pub(crate) fn value(&self, step: i64) -> f64 {
        match &self.track {
            Track::Counter { summands } => summands
                .iter()
                .map(|(seed, per_step)| (per_step * (step as f64 + unit(*seed, step))).floor())
                .sum(),
            Track::Gauge { seed, low, high } => {
                // Three decimals, as exporters print them.
                ((low + (high - low) * unit(*seed, step)) * 1e3).round() / 1e3
            }
        }
    }
}

/// Something between 0 and 1 that looks random.
fn unit(seed: u64, step: i64) -> f64 {
    let mut x = seed.wrapping_add((step as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15));
    x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    ((x ^ (x >> 31)) >> 11) as f64 / (1_u64 << 53) as f64
}

/// All series.
pub(crate) struct Fleet {
    pub(crate) series: Vec<Series>,
}

impl Fleet {
    /// `clusters` times 4,000 series.
    pub(crate) fn new(clusters: usize, seed: u64) -> Self {
        let mut maker = Maker { series: Vec::new(), cluster: 0, seed };
        for cluster in 0..clusters {
            maker.cluster = cluster;
            (0..NODES).for_each(|node| maker.node(node));
            (0..SERVICES).for_each(|service| maker.service(service));
        }
        Self { series: maker.series }
    }
}

/// Name of a cluster.
pub(crate) fn cluster_name(cluster: usize) -> String {
    format!("gpu-eu-{cluster:02}")
}

/// Name of a service.
pub(crate) fn service_name(service: usize) -> String {
    ["llama-405b", "mixtral-8x22b", "whisper", "embedder", "reranker"][service % SERVICES].to_owned()
}

struct Maker {
    series: Vec<Series>,
    cluster: usize,
    seed: u64,
}

impl Maker {
    fn next_seed(&mut self) -> u64 {
        self.seed = self.seed.wrapping_add(0x2545_f491_4f6c_dd1d);
        self.seed
    }

    fn push(&mut self, name: &str, labels: &[(&str, &str)], track: Track) {
        let cluster = cluster_name(self.cluster);
        let own = [("__name__", name), ("cluster", cluster.as_str())];
        let mut labels: Vec<(String, String)> =
            own.iter().chain(labels).map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        labels.sort();
        self.series.push(Series { labels, cluster: self.cluster, track });
    }

    fn gauge(&mut self, name: &str, labels: &[(&str, &str)], low: f64, high: f64) {
        let track = Track::Gauge { seed: self.next_seed(), low, high };
        self.push(name, labels, track);
    }

    fn counter(&mut self, name: &str, labels: &[(&str, &str)], per_step: f64) {
        let track = Track::Counter { summands: vec![(self.next_seed(), per_step)] };
        self.push(name, labels, track);
    }

    /// 90 series of a node and its GPUs.
    fn node(&mut self, node: usize) {
        let host = format!("node-{:02}-{node:02}", self.cluster);
        let instance = format!("10.{}.{}.{}:9100", self.cluster, node / 250, node % 250);
        let labels = [("instance", instance.as_str()), ("job", "node"), ("node", host.as_str())];
        self.gauge("node_load1", &labels, 4.0, 90.0);
        self.gauge("node_memory_MemAvailable_bytes", &labels, 2e11, 1.5e12);
        let instance = format!("10.{}.{}.{}:9400", self.cluster, node / 250, node % 250);
        for gpu in 0..GPUS_PER_NODE {
            let place = node * GPUS_PER_NODE + gpu;
            let number = gpu.to_string();
            let mut uuid = String::from("GPU-");
            write!(uuid, "{:08x}-5b1e-4c3a-9d0f-{:012x}", self.cluster * 7_919 + gpu, place * 104_729)
                .expect("a text has room");
            let device = format!("nvidia{gpu}");
            let labels = [
                ("Hostname", host.as_str()),
                ("UUID", uuid.as_str()),
                ("device", device.as_str()),
                ("gpu", number.as_str()),
                ("instance", instance.as_str()),
                ("job", "dcgm-exporter"),
                ("modelName", "NVIDIA H200"),
                ("node", host.as_str()),
            ];
            for (name, low, high) in GPU_GAUGES {
                self.gauge(name, &labels, low, high);
            }
            self.counter("DCGM_FI_DEV_TOTAL_ENERGY_CONSUMPTION", &labels, 7_000_000.0);
        }
    }

    /// 440 series of a service and its pods.
    fn service(&mut self, service: usize) {
        let name = service_name(service);
        for pod in 0..PODS_PER_SERVICE {
            let pod = format!("{name}-{:05x}-{pod}", self.cluster * 31 + service);
            let node = format!("node-{:02}-{:02}", self.cluster, (service * PODS_PER_SERVICE) % NODES);
            let own = [
                ("job", "model-server"),
                ("namespace", "serving"),
                ("node", node.as_str()),
                ("pod", pod.as_str()),
                ("service", name.as_str()),
            ];
            let with = |extra: &[(&'static str, &'static str)]| {
                own.iter().copied().chain(extra.iter().copied()).collect::<Vec<_>>()
            };
            for route in ROUTES {
                let labels = with(&[("route", route)]);
                self.histogram("request_duration_seconds", &labels);
                for (code, per_step) in CODES {
                    self.counter("requests_total", &with(&[("route", route), ("code", code)]), per_step);
                }
            }
            self.histogram("time_to_first_token_seconds", &own);
            for kind in ["prompt", "generated"] {
                self.counter("tokens_total", &with(&[("kind", kind)]), 20_000.0);
            }
            self.gauge("queue_depth", &own, 0.0, 80.0);
            self.gauge("batch_size", &own, 1.0, 64.0);
            self.gauge("kv_cache_usage_ratio", &own, 0.2, 0.99);
        }
    }

    fn histogram(&mut self, name: &str, labels: &[(&str, &str)]) {
        let mut summands = Vec::new();
        for (bound, per_step) in BUCKETS {
            summands.push((self.next_seed(), per_step));
            let labels: Vec<_> = labels.iter().copied().chain([("le", bound)]).collect();
            self.push(&format!("{name}_bucket"), &labels, Track::Counter { summands: summands.clone() });
        }
        let count = Track::Counter { summands: summands.clone() };
        self.push(&format!("{name}_count"), labels, count);
        self.counter(&format!("{name}_sum"), labels, 700.0);
    }
}
