//! The rules: 40 groups a cluster, as the teams of such a fleet write them.
//!
//! In the texts `$S` stands for the matchers of a service, `$C` for that of a cluster, `$W` for a window and `$N` for a
//! suffix that says which window.

use std::fmt::Write;

use super::fleet::{SERVICES, cluster_name, service_name};

/// Rules of each group.
pub(crate) const RULES_PER_GROUP: usize = 10;

/// Windows of the groups that exist once for each.
const WINDOWS: [&str; 5] = ["1m", "2m", "5m", "10m", "15m"];

/// A rule of a template.
enum Rule {
    /// Metric and expression.
    Record(&'static str, &'static str),
    /// Name, expression, `for`, and what the summary says.
    Alert(&'static str, &'static str, &'static str, &'static str),
}

use Rule::{Alert, Record};

const LATENCY: [Rule; RULES_PER_GROUP] = [
    Record(
        "service_route_le:request_duration_seconds_bucket:rate5m",
        "sum by (cluster, service, route, le) (rate(request_duration_seconds_bucket{$S}[5m]))",
    ),
    Record(
        "service:request_duration_seconds:p50",
        "histogram_quantile(0.5, sum by (cluster, service, le) (rate(request_duration_seconds_bucket{$S}[5m])))",
    ),
    Record(
        "service:request_duration_seconds:p90",
        "histogram_quantile(0.9, sum by (cluster, service, le) (rate(request_duration_seconds_bucket{$S}[5m])))",
    ),
    Record(
        "service:request_duration_seconds:p99",
        "histogram_quantile(0.99, sum by (cluster, service, le) (rate(request_duration_seconds_bucket{$S}[5m])))",
    ),
    Record(
        "service:request_duration_seconds:mean5m",
        "sum by (cluster, service) (rate(request_duration_seconds_sum{$S}[5m])) / sum by (cluster, service) (rate(request_duration_seconds_count{$S}[5m]))",
    ),
    Record(
        "service:time_to_first_token_seconds:p50",
        "histogram_quantile(0.5, sum by (cluster, service, le) (rate(time_to_first_token_seconds_bucket{$S}[5m])))",
    ),
    Record(
        "service:time_to_first_token_seconds:p99",
        "histogram_quantile(0.99, sum by (cluster, service, le) (rate(time_to_first_token_seconds_bucket{$S}[5m])))",
    ),
    Record(
        "service_pod:time_to_first_token_seconds:p99",
        "histogram_quantile(0.99, sum by (cluster, service, pod, le) (rate(time_to_first_token_seconds_bucket{$S}[5m])))",
    ),
    Record(
        "service_pod:request_duration_seconds:p99",
        "histogram_quantile(0.99, sum by (cluster, service, pod, le) (rate(request_duration_seconds_bucket{$S}[5m])))",
    ),
    Record(
        "service_route:request_duration_seconds:p99",
        "histogram_quantile(0.99, service_route_le:request_duration_seconds_bucket:rate5m{$S})",
    ),
];

const TRAFFIC: [Rule; RULES_PER_GROUP] = [
    Record("service_code:requests:rate5m", "sum by (cluster, service, code) (rate(requests_total{$S}[5m]))"),
    Record(
        "service_route:requests:rate5m",
        "sum by (cluster, service, route) (rate(requests_total{$S}[5m]))",
    ),
    Record(
        "service_pod:requests:rate1m",
        "sum without (route, code, instance) (rate(requests_total{$S}[1m]))",
    ),
    Record(
        "service:requests:error_ratio5m",
        "sum by (cluster, service) (rate(requests_total{$S,code=~\"5..\"}[5m])) / sum by (cluster, service) (rate(requests_total{$S}[5m]))",
    ),
    Record(
        "service:requests:error_ratio15m",
        "sum by (cluster, service) (rate(requests_total{$S,code=~\"5..\"}[15m])) / sum by (cluster, service) (rate(requests_total{$S}[15m]))",
    ),
    Record("service_kind:tokens:rate5m", "sum by (cluster, service, kind) (rate(tokens_total{$S}[5m]))"),
    Record(
        "service:tokens_per_request:ratio5m",
        "sum by (cluster, service) (rate(tokens_total{$S}[5m])) / sum by (cluster, service) (rate(requests_total{$S}[5m]))",
    ),
    Record("service:queue_depth:max", "max by (cluster, service) (queue_depth{$S})"),
    Record("service:batch_size:avg", "avg by (cluster, service) (avg_over_time(batch_size{$S}[5m]))"),
    Record("service:kv_cache_usage:p95", "quantile by (cluster, service) (0.95, kv_cache_usage_ratio{$S})"),
];

const OBJECTIVES: [Rule; RULES_PER_GROUP] = [
    Alert(
        "HighErrorRate",
        "sum by (cluster, service) (rate(requests_total{$S,code=~\"5..\"}[5m])) / sum by (cluster, service) (rate(requests_total{$S}[5m])) > 0.05",
        "2m",
        "{{ $labels.service }} fails {{ $value | humanizePercentage }} of its requests",
    ),
    Alert(
        "ErrorBudgetBurn",
        "service:requests:error_ratio5m{$S} > 0.0144 and service:requests:error_ratio15m{$S} > 0.0144",
        "5m",
        "{{ $labels.service }} burns its budget: {{ printf \"%.4f\" $value }}",
    ),
    Alert(
        "SlowRequests",
        "histogram_quantile(0.99, sum by (cluster, service, le) (rate(request_duration_seconds_bucket{$S}[5m]))) > 30",
        "5m",
        "p99 of {{ $labels.service }} is {{ $value | humanizeDuration }}",
    ),
    Alert(
        "SlowFirstToken",
        "histogram_quantile(0.95, sum by (cluster, service, le) (rate(time_to_first_token_seconds_bucket{$S}[5m]))) > 10",
        "5m",
        "p95 of the first token of {{ $labels.service }} is {{ $value | humanizeDuration }}",
    ),
    Alert(
        "QueueGrows",
        "max_over_time(queue_depth{$S}[5m]) > 79",
        "1m",
        "{{ $labels.pod }} queues {{ $value | humanize }} requests",
    ),
    Alert(
        "CacheFull",
        "min_over_time(kv_cache_usage_ratio{$S}[1m]) > 0.95",
        "1m",
        "{{ $labels.pod }} uses {{ $value | humanizePercentage }} of its cache",
    ),
    Alert(
        "NoTraffic",
        "sum by (cluster, service) (rate(requests_total{$S}[5m])) == 0",
        "10m",
        "{{ $labels.service }} gets no requests",
    ),
    Alert(
        "PodsUneven",
        "max by (cluster, service) (sum by (cluster, service, pod) (rate(requests_total{$S}[5m]))) / avg by (cluster, service) (sum by (cluster, service, pod) (rate(requests_total{$S}[5m]))) > 2",
        "10m",
        "the busiest pod of {{ $labels.service }} has {{ $value | humanize }} times the mean",
    ),
    Alert(
        "RequestsAbsent",
        "absent(requests_total{$S})",
        "5m",
        "{{ $labels.service }} of {{ $labels.cluster }} is not seen",
    ),
    Alert(
        "TokensDrop",
        "sum by (cluster, service) (rate(tokens_total{$S}[5m])) < 0.5 * sum by (cluster, service) (rate(tokens_total{$S}[5m] offset 5m))",
        "5m",
        "{{ $labels.service }} makes {{ $value | humanize }} tokens a second",
    ),
];

const PODS: [Rule; RULES_PER_GROUP] = [
    Record("pod:requests:rate5m", "sum by (cluster, service, pod) (rate(requests_total{$S}[5m]))"),
    Record(
        "pod:requests:error_ratio5m",
        "sum by (cluster, service, pod) (rate(requests_total{$S,code=~\"5..\"}[5m])) / sum by (cluster, service, pod) (rate(requests_total{$S}[5m]))",
    ),
    Record(
        "pod:request_duration_seconds:p50",
        "histogram_quantile(0.5, sum by (cluster, service, pod, le) (rate(request_duration_seconds_bucket{$S}[5m])))",
    ),
    Record(
        "pod:request_duration_seconds:p90",
        "histogram_quantile(0.9, sum by (cluster, service, pod, le) (rate(request_duration_seconds_bucket{$S}[5m])))",
    ),
    Record(
        "pod:time_to_first_token_seconds:p90",
        "histogram_quantile(0.9, sum by (cluster, service, pod, le) (rate(time_to_first_token_seconds_bucket{$S}[5m])))",
    ),
    Record(
        "pod:request_duration_seconds:mean5m",
        "sum without (route, le) (rate(request_duration_seconds_sum{$S}[5m])) / sum without (route, le) (rate(request_duration_seconds_count{$S}[5m]))",
    ),
    Record("pod:tokens:increase5m", "sum by (cluster, service, pod) (increase(tokens_total{$S}[5m]))"),
    Record("pod:batch_size:max5m", "max_over_time(batch_size{$S}[5m])"),
    Record("pod:queue_depth:avg5m", "avg_over_time(queue_depth{$S}[5m])"),
    Record("pod:queue_per_batch:ratio", "queue_depth{$S} / on (cluster, service, pod) batch_size{$S}"),
];

const GPUS: [Rule; RULES_PER_GROUP] = [
    Record("node:gpu_util:avg$N", "avg by (cluster, node) (avg_over_time(DCGM_FI_DEV_GPU_UTIL{$C}[$W]))"),
    Record("cluster:gpu_util:avg$N", "avg by (cluster) (avg_over_time(DCGM_FI_DEV_GPU_UTIL{$C}[$W]))"),
    Record("node:gpu_power:sum$N", "sum by (cluster, node) (avg_over_time(DCGM_FI_DEV_POWER_USAGE{$C}[$W]))"),
    Record(
        "node:gpu_energy:rate$N",
        "sum by (cluster, node) (rate(DCGM_FI_DEV_TOTAL_ENERGY_CONSUMPTION{$C}[$W])) / 1000",
    ),
    Record("cluster:gpu_temp:max$N", "max by (cluster) (max_over_time(DCGM_FI_DEV_GPU_TEMP{$C}[$W]))"),
    Record(
        "node:gpu_memory:ratio$N",
        "sum by (cluster, node) (DCGM_FI_DEV_FB_USED{$C}) / (sum by (cluster, node) (DCGM_FI_DEV_FB_USED{$C}) + sum by (cluster, node) (DCGM_FI_DEV_FB_FREE{$C}))",
    ),
    Record(
        "cluster:tensor_active:p50$N",
        "quantile by (cluster) (0.5, avg_over_time(DCGM_FI_PROF_PIPE_TENSOR_ACTIVE{$C}[$W]))",
    ),
    Record(
        "cluster:dram_active:avg$N",
        "avg by (cluster, modelName) (avg_over_time(DCGM_FI_PROF_DRAM_ACTIVE{$C}[$W]))",
    ),
    Record(
        "node:gpus_idle:count$N",
        "count by (cluster, node) (max_over_time(DCGM_FI_DEV_GPU_UTIL{$C}[$W]) < 60)",
    ),
    Record("cluster:sm_clock:stddev$N", "stddev by (cluster) (DCGM_FI_DEV_SM_CLOCK{$C})"),
];

const CLUSTER: [Rule; RULES_PER_GROUP] = [
    Record("cluster_service:requests:rate$N", "sum by (cluster, service) (rate(requests_total{$C}[$W]))"),
    Record("cluster_code:requests:rate$N", "sum by (cluster, code) (rate(requests_total{$C}[$W]))"),
    Record(
        "cluster:requests:error_ratio$N",
        "sum by (cluster) (rate(requests_total{$C,code=~\"5..\"}[$W])) / sum by (cluster) (rate(requests_total{$C}[$W]))",
    ),
    Record(
        "cluster_service_le:request_duration_seconds_bucket:rate$N",
        "sum by (cluster, service, le) (rate(request_duration_seconds_bucket{$C}[$W]))",
    ),
    Record(
        "cluster_service:request_duration_seconds:p99$N",
        "histogram_quantile(0.99, sum by (cluster, service, le) (rate(request_duration_seconds_bucket{$C}[$W])))",
    ),
    Record(
        "cluster:request_duration_seconds:p99$N",
        "histogram_quantile(0.99, sum by (cluster, le) (rate(request_duration_seconds_bucket{$C}[$W])))",
    ),
    Record(
        "cluster:time_to_first_token_seconds:p95$N",
        "histogram_quantile(0.95, sum by (cluster, le) (rate(time_to_first_token_seconds_bucket{$C}[$W])))",
    ),
    Record(
        "cluster_service_kind:tokens:rate$N",
        "sum by (cluster, service, kind) (rate(tokens_total{$C}[$W]))",
    ),
    Record(
        "cluster:tokens_per_watt:ratio$N",
        "sum by (cluster) (rate(tokens_total{$C}[$W])) / sum by (cluster) (avg_over_time(DCGM_FI_DEV_POWER_USAGE{$C}[$W]))",
    ),
    Record("cluster:queue_depth:top5$N", "topk by (cluster) (5, avg_over_time(queue_depth{$C}[$W]))"),
];

const HEALTH: [Rule; RULES_PER_GROUP] = [
    Alert(
        "GpuHot$N",
        "min_over_time(DCGM_FI_DEV_GPU_TEMP{$C}[$W]) > 82",
        "1m",
        "GPU {{ $labels.gpu }} of {{ $labels.node }} has {{ $value }} degrees",
    ),
    Alert(
        "GpuMemoryHot$N",
        "DCGM_FI_DEV_MEMORY_TEMP{$C} > 91.8",
        "1m",
        "memory of GPU {{ $labels.gpu }} of {{ $labels.node }} has {{ printf \"%.1f\" $value }} degrees",
    ),
    Alert(
        "GpuPowerHigh$N",
        "avg_over_time(DCGM_FI_DEV_POWER_USAGE{$C}[$W]) > 680",
        "2m",
        "GPU {{ $labels.gpu }} of {{ $labels.node }} draws {{ $value | humanize }}W",
    ),
    Alert(
        "GpuIdle$N",
        "avg by (cluster, node) (avg_over_time(DCGM_FI_DEV_GPU_UTIL{$C}[$W])) < 10",
        "10m",
        "GPUs of {{ $labels.node }} are at {{ $value }}%",
    ),
    Alert(
        "GpuMemoryFull$N",
        "DCGM_FI_DEV_FB_USED{$C} / (DCGM_FI_DEV_FB_USED{$C} + DCGM_FI_DEV_FB_FREE{$C}) > 0.99",
        "1m",
        "GPU {{ $labels.gpu }} of {{ $labels.node }} uses {{ $value | humanizePercentage }} of its memory",
    ),
    Alert(
        "GpuEnergyStuck$N",
        "rate(DCGM_FI_DEV_TOTAL_ENERGY_CONSUMPTION{$C}[$W]) == 0",
        "5m",
        "GPU {{ $labels.gpu }} of {{ $labels.node }} counts no energy",
    ),
    Alert(
        "GpuClockLow$N",
        "max_over_time(DCGM_FI_DEV_SM_CLOCK{$C}[$W]) < 1250",
        "2m",
        "GPU {{ $labels.gpu }} of {{ $labels.node }} runs at {{ $value | humanize }} MHz",
    ),
    Alert(
        "NodeLoadHigh$N",
        "avg_over_time(node_load1{$C}[$W]) > 88",
        "2m",
        "{{ $labels.node }} has a load of {{ $value | humanize }}",
    ),
    Alert(
        "NodeMemoryLow$N",
        "node_memory_MemAvailable_bytes{$C} < 2.1e11",
        "2m",
        "{{ $labels.node }} has {{ $value | humanize1024 }}B left",
    ),
    Alert(
        "BusyYetCold$N",
        "DCGM_FI_DEV_GPU_UTIL{$C} > 95 and on (cluster, node, gpu) DCGM_FI_DEV_POWER_USAGE{$C} < 260",
        "5m",
        "GPU {{ $labels.gpu }} of {{ $labels.node }} is {{ $value }}% busy and draws nothing",
    ),
];

const CAPACITY: [Rule; RULES_PER_GROUP] = [
    Record(
        "cluster_service:queue_depth:avg$N",
        "avg by (cluster, service) (avg_over_time(queue_depth{$C}[$W]))",
    ),
    Record(
        "cluster_service:queue_depth:max$N",
        "max by (cluster, service) (max_over_time(queue_depth{$C}[$W]))",
    ),
    Record(
        "cluster_service:batch_size:avg$N",
        "avg by (cluster, service) (avg_over_time(batch_size{$C}[$W]))",
    ),
    Record(
        "cluster_service:kv_cache:max$N",
        "max by (cluster, service) (max_over_time(kv_cache_usage_ratio{$C}[$W]))",
    ),
    Record(
        "cluster_service:pods:count$N",
        "count by (cluster, service) (count_over_time(queue_depth{$C}[$W]))",
    ),
    Record(
        "cluster:memory_available:min$N",
        "min by (cluster) (min_over_time(node_memory_MemAvailable_bytes{$C}[$W]))",
    ),
    Record("cluster:load:p90$N", "quantile by (cluster) (0.9, avg_over_time(node_load1{$C}[$W]))"),
    Record(
        "cluster:nvlink:avg$N",
        "avg by (cluster) (avg_over_time(DCGM_FI_DEV_NVLINK_BANDWIDTH_TOTAL{$C}[$W]))",
    ),
    Record(
        "node:memory_temp:max$N",
        "max by (cluster, node) (max_over_time(DCGM_FI_DEV_MEMORY_TEMP{$C}[$W]))",
    ),
    Alert(
        "QueuesGrow$N",
        "sum by (cluster) (deriv(queue_depth{$C}[$W])) > 5",
        "5m",
        "queues of {{ $labels.cluster }} grow by {{ $value | humanize }} a second",
    ),
];

/// A group with everything filled in.
pub(crate) struct Group {
    pub(crate) name: String,
    pub(crate) rules: Vec<Filled>,
}

/// A rule with everything filled in.
pub(crate) struct Filled {
    /// Metric of a recording rule, name of an alert.
    pub(crate) name: String,
    pub(crate) expr: String,
    /// Which series it is about.
    pub(crate) matchers: String,
    /// `for` and summary of an alert.
    alert: Option<(&'static str, &'static str)>,
}

impl Filled {
    pub(crate) fn is_recording(&self) -> bool {
        self.alert.is_none()
    }
}

/// The groups of one cluster.
pub(crate) fn of_cluster(cluster: usize) -> Vec<Group> {
    let cluster = cluster_name(cluster);
    let mut groups = Vec::new();
    for service in (0..SERVICES).map(service_name) {
        let matchers = format!("cluster=\"{cluster}\",service=\"{service}\"");
        for (name, rules) in
            [("latency", &LATENCY), ("traffic", &TRAFFIC), ("objectives", &OBJECTIVES), ("pods", &PODS)]
        {
            let fill = |text: &str| text.replace("$S", &matchers);
            groups.push(group(format!("{cluster}-{service}-{name}"), rules, &matchers, fill));
        }
    }
    for window in WINDOWS {
        let matchers = format!("cluster=\"{cluster}\"");
        for (name, rules) in
            [("gpus", &GPUS), ("cluster", &CLUSTER), ("health", &HEALTH), ("capacity", &CAPACITY)]
        {
            let fill = |text: &str| text.replace("$C", &matchers).replace("$W", window).replace("$N", window);
            groups.push(group(format!("{cluster}-{name}-{window}"), rules, &matchers, fill));
        }
    }
    groups
}

/// The groups of all clusters.
pub(crate) fn all(clusters: usize) -> Vec<Group> {
    (0..clusters).flat_map(of_cluster).collect()
}

fn group(name: String, rules: &[Rule], matchers: &str, fill: impl Fn(&str) -> String) -> Group {
    let filled = |name, expr, alert| Filled {
        name: fill(name),
        expr: fill(expr),
        matchers: matchers.to_owned(),
        alert,
    };
    let rules = rules.iter().map(|rule| match rule {
        Record(name, expr) => filled(name, expr, None),
        Alert(name, expr, hold, summary) => filled(name, expr, Some((*hold, *summary))),
    });
    Group { name, rules: rules.collect() }
}

/// A rule file.
pub(crate) fn yaml(groups: &[Group]) -> String {
    let mut out = String::from("groups:\n");
    for group in groups {
        writeln!(out, "- name: {}\n  rules:", group.name).expect("a text has room");
        for rule in &group.rules {
            let kind = if rule.is_recording() { "record" } else { "alert" };
            writeln!(out, "  - {kind}: {}\n    expr: '{}'", rule.name, rule.expr).expect("a text has room");
            if let Some((hold, summary)) = rule.alert {
                write!(
                    out,
                    "    for: {hold}\n    labels:\n      severity: page\n    annotations:\n      summary: '{summary}'\n"
                )
                .expect("a text has room");
            }
        }
    }
    out
}
