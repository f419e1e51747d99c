//! What happens to the machines of the trial: an exposition as a function of the time since it began.
//!
//! The story repeats itself every [`CYCLE_S`] seconds. Values stay the same for long stretches, so that two servers that
//! look a moment apart see the same. Around the moment at which perdura is killed nothing begins and nothing ends.

use std::fmt::Write as _;

/// Length of the story, in seconds.
pub(super) const CYCLE_S: f64 = 130.0;
/// When perdura is killed, in seconds of the first cycle.
pub(super) const KILL_S: f64 = 76.0;

/// The exposition `t` seconds after the beginning.
pub(super) fn exposition(t: f64) -> String {
    let mut page = Page::default();
    gpus(&mut page, t);
    inference(&mut page, t);
    scores(&mut page, t);
    service(&mut page, t);
    cluster(&mut page, t);
    page.0
}

/// Whether it is between two moments of the cycle.
fn during(t: f64, from: f64, to: f64) -> bool {
    (from..to).contains(&(t % CYCLE_S))
}

/// How many seconds of all cycles so far were between two moments of the cycle.
fn spent(t: f64, from: f64, to: f64) -> f64 {
    let whole = (t / CYCLE_S).floor();
    whole * (to - from) + (t % CYCLE_S - from).clamp(0.0, to - from)
}

#[derive(Default)]
struct Page(String);

impl Page {
    fn family(&mut self, name: &str, kind: &str) {
        writeln!(self.0, "# TYPE {name} {kind}").expect("texts can be written to");
    }

    fn sample(&mut self, name: &str, labels: &str, value: f64) {
        writeln!(self.0, "{name}{{{labels}}} {value}").expect("texts can be written to");
    }

    fn gauge(&mut self, name: &str, samples: &[(&str, f64)]) {
        self.family(name, "gauge");
        samples.iter().for_each(|(labels, value)| self.sample(name, labels, *value));
    }

    fn counter(&mut self, name: &str, samples: &[(&str, f64)]) {
        self.family(name, "counter");
        samples.iter().for_each(|(labels, value)| self.sample(name, labels, value.floor()));
    }

    /// `seen`: values and how often each was seen.
    fn histogram(&mut self, name: &str, bounds: &[f64], labels: &str, seen: &[(f64, f64)]) {
        let bucket = format!("{name}_bucket");
        let up_to = |bound: f64| seen.iter().filter(|(v, _)| *v <= bound).map(|(_, n)| n.floor()).sum();
        for bound in bounds {
            self.sample(&bucket, &format!("{labels},le=\"{bound}\""), up_to(*bound));
        }
        self.sample(&bucket, &format!("{labels},le=\"+Inf\""), up_to(f64::INFINITY));
        self.sample(&format!("{name}_count"), labels, up_to(f64::INFINITY));
        let sum = seen.iter().map(|(v, n)| v * n.floor()).sum();
        self.sample(&format!("{name}_sum"), labels, sum);
    }
}

fn gpus(page: &mut Page, t: f64) {
    let pick = |from, to, inside, outside| if during(t, from, to) { inside } else { outside };
    let nodes = [
        r#"instance="gpu-1:8000",node="node-1",gpu="0""#,
        r#"instance="gpu-1:8000",node="node-1",gpu="1""#,
        r#"instance="gpu-2:8000",node="node-2",gpu="0""#,
    ];
    let used = [pick(20.0, 60.0, 39e9, 24e9), 20e9, 16e9];
    page.gauge(
        "dcgm_sm_utilization",
        &[(nodes[0], pick(20.0, 60.0, 95.0, 40.0)), (nodes[1], 70.0), (nodes[2], 55.0)],
    );
    page.gauge("dcgm_fb_used_bytes", &[0, 1, 2].map(|n| (nodes[n], used[n])));
    page.gauge("dcgm_fb_free_bytes", &[0, 1, 2].map(|n| (nodes[n], 40e9 - used[n])));
    let cards = [
        r#"instance="gpu-1:8000",gpu_index="0""#,
        r#"instance="gpu-1:8000",gpu_index="1""#,
        r#"instance="gpu-1:8000",gpu_index="2""#,
    ];
    let named = cards.map(|labels| format!(r#"{labels},gpu_name="H200""#));
    let busy = [pick(20.0, 50.0, 20.0, 85.0), 70.0, 90.0];
    page.gauge("gpu_utilization_percent", &[0, 1, 2].map(|n| (named[n].as_str(), busy[n])));
    let used = [pick(45.0, 85.0, 76e9, 32e9), pick(45.0, 115.0, 56e9, 32e9), 32e9];
    page.gauge("gpu_memory_used_bytes", &[0, 1, 2].map(|n| (cards[n], used[n])));
    page.gauge("gpu_memory_total_bytes", &cards.map(|labels| (labels, 80e9)));
    let exported = |instance: &str| format!(r#"instance="{instance}",gpu="0",exported_namespace="ml-prod""#);
    let (one, two) = (exported("gpu-1:8000"), exported("gpu-2:8000"));
    page.gauge("DCGM_FI_DEV_FB_FREE", &[(&one, pick(50.0, 85.0, 1500.0, 9000.0)), (&two, 12_000.0)]);
    page.gauge("DCGM_FI_DEV_GPU_TEMP", &[(&one, pick(30.0, 95.0, 90.0, 65.0)), (&two, 72.0)]);
    page.gauge("DCGM_FI_DEV_ECC_DBE_VOL_TOTAL", &[(&one, pick(90.0, 100.0, 1.0, 0.0)), (&two, 0.0)]);
}

fn inference(page: &mut Page, t: f64) {
    let bounds = [0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0];
    let servers =
        [r#"instance="gpu-1:8000",model_name="fraud""#, r#"instance="gpu-2:8000",model_name="fraud""#];
    page.family("ml_inference_latency_seconds", "histogram");
    for labels in servers {
        let seen = [(0.04, 20.0 * t), (0.8, 5.0 * spent(t, 40.0, 84.0))];
        page.histogram("ml_inference_latency_seconds", &bounds, labels, &seen);
    }
    let endpoints = servers.map(|labels| format!(r#"{labels},endpoint="v1_predict""#));
    let inferences = [20.0 * t + 5.0 * spent(t, 40.0, 84.0), 18.0 * t];
    page.counter("ml_inferences_total", &[0, 1].map(|n| (endpoints[n].as_str(), inferences[n])));

    let version = r#"model_name="ranking",model_version="2.1.0""#;
    let requests = |status: &str| format!(r#"{version},status="{status}""#);
    let idle = r#"model_name="idle",model_version="0.9.0",status="success""#;
    page.counter(
        "ml_inference_requests_total",
        &[
            (&requests("success"), 10.0 * t),
            (&requests("error"), 5.0 * spent(t, 25.0, 55.0)),
            (idle, 5.0 * (t - spent(t, 45.0, 90.0))),
        ],
    );
    let bounds = [0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0];
    page.family("ml_inference_duration_seconds", "histogram");
    let seen = [(0.02, 10.0 * t), (0.2, 5.0 * spent(t, 40.0, 85.0))];
    page.histogram("ml_inference_duration_seconds", &bounds, version, &seen);
    let bounds = [0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.5];
    page.family("ml_feature_retrieval_duration_seconds", "histogram");
    for (hit, value, count) in [("true", 0.004, 10.0 * t), ("false", 0.08, 2.0 * spent(t, 35.0, 65.0))] {
        let labels = format!(r#"model_name="ranking",cache_hit="{hit}""#);
        page.histogram("ml_feature_retrieval_duration_seconds", &bounds, &labels, &[(value, count)]);
    }
    page.gauge(
        "ml_batch_queue_depth",
        &[(r#"instance="gpu-1:8000""#, (10.0 * (t / 7.0).sin()).round() + 12.0)],
    );
}

fn scores(page: &mut Page, t: f64) {
    let accuracy = if during(t, 22.0, 100.0) { 0.85 } else { 0.945 };
    let fraud = r#"model_name="fraud_detector",version="v2.3.1""#;
    page.gauge("ml_model_accuracy", &[(fraud, accuracy), (r#"model_name="ranking",version="v7""#, 0.93)]);
    let info = r#"model_name="fraud_detector",model_version="2.3.1",git_commit="4f96512""#;
    page.gauge("ml_model_info", &[(info, 1.0)]);
    let bounds = [0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 0.99];
    let shifted = spent(t, 55.0, 110.0);
    page.family("ml_prediction_score", "histogram");
    let seen = [(0.85, 20.0 * (t - shifted)), (0.45, 20.0 * shifted)];
    page.histogram("ml_prediction_score", &bounds, r#"model_name="ranking",model_version="2.1.0""#, &seen);
}

fn service(page: &mut Page, t: f64) {
    let failed = spent(t, 30.0, 60.0);
    page.counter("requests_total", &[(r#"status="200""#, 10.0 * t), (r#"status="500""#, failed)]);
    page.family("request_latency_seconds", "histogram");
    let seen = [(0.2, 10.0 * t), (2.0, 3.0 * failed)];
    page.histogram("request_latency_seconds", &[0.1, 0.25, 0.5, 1.0, 2.5], r#"service="api""#, &seen);
    page.family("model_request_latency_seconds", "histogram");
    let seen = [(0.03, 40.0 * t), (0.3, 2.0 * failed)];
    let labels = r#"model_name="fraud-model",stage="total""#;
    page.histogram(
        "model_request_latency_seconds",
        &[0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5],
        labels,
        &seen,
    );
    let stale = if during(t, 40.0, 90.0) { 15_000.0 } else { 600.0 };
    let group = |name: &str| format!(r#"feature_group="{name}""#);
    page.gauge(
        "feature_freshness_seconds",
        &[(&group("user_transaction_features"), stale), (&group("merchant_risk_features"), 20_000.0)],
    );
    let workers = [
        (r#"worker="w1""#, during(t, 15.0, 25.0) || during(t, 90.0, 95.0)),
        (r#"worker="w2""#, during(t, 58.0, 110.0)),
    ];
    let beating: Vec<_> =
        workers.iter().filter(|(_, gone)| !gone).map(|(labels, _)| (*labels, 1.0)).collect();
    page.gauge("job_heartbeat", &beating);
}

fn cluster(page: &mut Page, t: f64) {
    let pod = r#"namespace="ml-prod",pod="fraud-model-7d4""#;
    page.counter("container_cpu_usage_seconds_total", &[(pod, 7.0 * t + 20.0 * spent(t, 40.0, 80.0))]);
    page.gauge("container_memory_usage_bytes", &[(pod, 3e9 + 1e6 * (t % CYCLE_S).floor())]);
    page.gauge("container_spec_memory_limit_bytes", &[(pod, 8e9)]);
    page.counter("container_network_receive_bytes_total", &[(pod, 12_345.0 * t)]);
    page.counter("container_network_transmit_bytes_total", &[(pod, 54_321.0 * t)]);
    let killed = if during(t, 82.0, 92.0) { 1.0 } else { 0.0 };
    let reason = format!(r#"{pod},reason="OOMKilled""#);
    page.gauge("kube_pod_container_status_last_terminated_reason", &[(&reason, killed)]);
    let disk = r#"device="/dev/nvme1n1",mountpoint="/models""#;
    let free = if during(t, 82.0, 100.0) { 1e11 } else { 6e11 };
    page.gauge("node_filesystem_avail_bytes", &[(disk, free)]);
    page.gauge("node_filesystem_size_bytes", &[(disk, 1e12)]);
}

#[test]
fn counters_grow_over_cycles() {
    assert_eq!(spent(30.0, 40.0, 60.0), 0.0);
    assert_eq!(spent(50.0, 40.0, 60.0), 10.0);
    assert_eq!(spent(CYCLE_S + 50.0, 40.0, 60.0), 30.0);
    assert!(during(CYCLE_S + 41.0, 40.0, 60.0) && !during(60.0, 40.0, 60.0));
}
