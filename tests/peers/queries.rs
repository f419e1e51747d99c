//! What is asked of both servers over what a real Prometheus wrote.

/// One question about the span that both servers hold. Times are the trial's: `END` is its last moment.
pub(crate) enum Question {
    /// `/api/v1/query` at the end.
    Instant(&'static str),
    /// The same, where the order of series is part of the answer.
    Ordered(&'static str),
    /// `/api/v1/query_range` over the last 20 seconds with a step of one second.
    Range(&'static str),
    /// A call other than a query, with its `match[]`.
    Call(&'static str, &'static [(&'static str, &'static str)]),
}

/// The questions. Every one must have an answer on a Prometheus that scraped itself as `prometheus` and a
/// node_exporter as `node` once a second. `$end` is replaced by the last moment in seconds.
pub(crate) const QUESTIONS: &[Question] = &[
    // Samples as they are.
    Question::Instant(r#"{job=~"prometheus|node"}"#),
    Question::Instant(r#"node_network_receive_bytes_total{job="node"}[20s]"#),
    Question::Range(r#"node_cpu_seconds_total{job="node"}"#),
    Question::Range(r#"{__name__=~"go_gc_.+",job!="node",job=~"p.*"}"#),
    Question::Instant(r#"up{job=~"prometheus|node"} offset 7s"#),
    Question::Range(r#"node_load1{job="node"} @ $end"#),
    Question::Instant(r#"timestamp(node_time_seconds{job="node"})"#),
    // Counters.
    Question::Range(r#"rate(node_cpu_seconds_total{job="node"}[10s])"#),
    Question::Instant(r#"increase(prometheus_tsdb_head_samples_appended_total{job="prometheus"}[20s])"#),
    Question::Range(r#"irate(node_context_switches_total{job="node"}[5s])"#),
    Question::Instant(r#"rate(process_cpu_seconds_total{job=~"prometheus|node"}[10s] offset 3s)"#),
    Question::Instant(r#"resets(go_gc_duration_seconds_count{job="prometheus"}[20s])"#),
    Question::Instant(r#"changes(node_time_seconds{job="node"}[20s])"#),
    // Prometheus' own classic histograms.
    Question::Instant(
        r#"histogram_quantile(0.9, sum by (le) (rate(prometheus_http_request_duration_seconds_bucket{job="prometheus"}[20s])))"#,
    ),
    Question::Range(
        r#"histogram_quantile(0.5, sum by (handler, le) (prometheus_http_request_duration_seconds_bucket{job="prometheus"}))"#,
    ),
    // Aggregations.
    Question::Range(r#"sum by (mode) (rate(node_cpu_seconds_total{job="node"}[10s]))"#),
    Question::Instant(r#"avg without (cpu) (node_cpu_seconds_total{job="node"})"#),
    Question::Instant(r#"count by (__name__) ({job="prometheus"})"#),
    Question::Instant(r#"stddev(node_cpu_seconds_total{job="node",mode="idle"})"#),
    Question::Instant(r#"quantile by (cpu) (0.3, node_cpu_seconds_total{job="node"})"#),
    Question::Instant(r#"count_values("version", prometheus_build_info{job="prometheus"})"#),
    Question::Ordered(
        r#"topk(3, {__name__=~"node_memory_(MemTotal|MemFree|Cached|Active|Slab)_bytes",job="node"})"#,
    ),
    Question::Range(r#"bottomk by (cpu) (1, node_cpu_seconds_total{job="node",mode=~"idle|system|user"})"#),
    Question::Ordered(r#"sort_desc(node_cpu_seconds_total{job="node",cpu="0"} > 0)"#),
    // Joins.
    Question::Range(
        r#"rate(node_cpu_seconds_total{job="node"}[10s]) * on(instance) group_left(nodename, release) node_uname_info{job="node"}"#,
    ),
    Question::Range(r#"node_memory_MemAvailable_bytes{job="node"} / node_memory_MemTotal_bytes{job="node"}"#),
    Question::Instant(r#"{job="prometheus",__name__=~"go_m.*"} and on(instance) up{job="prometheus"} == 1"#),
    Question::Instant(
        r#"node_cpu_seconds_total{job="node",mode=~"idle|user"} unless ignoring(cpu) node_cpu_seconds_total{mode="idle"} or up{job="node"}"#,
    ),
    Question::Instant(r#"node_load1{job="node"} > bool node_load15{job="node"}"#),
    // Subqueries and functions over time.
    Question::Instant(r#"max_over_time(rate(node_cpu_seconds_total{job="node"}[5s])[15s:2s])"#),
    Question::Range(
        r#"avg_over_time(sum(irate(node_cpu_seconds_total{job="node",mode!="idle"}[5s]))[10s:1s] offset 2s)"#,
    ),
    Question::Instant(r#"quantile_over_time(0.9, go_goroutines{job=~"prometheus|node"}[20s])"#),
    Question::Instant(r#"deriv(node_time_seconds{job="node"}[20s])"#),
    Question::Range(r#"predict_linear(node_memory_MemFree_bytes{job="node"}[10s], 60)"#),
    Question::Instant(
        r#"last_over_time(node_load5{job="node"}[10s]) + present_over_time(node_load5{job="node"}[10s])"#,
    ),
    Question::Range(r#"absent(node_no_such_metric{job="node"})"#),
    // Labels, scalars, times.
    Question::Instant(
        r#"label_replace(node_uname_info{job="node"}, "major", "$1", "release", "([0-9]+)\\..*")"#,
    ),
    Question::Instant(r#"label_join(up{job="node"}, "both", "/", "job", "instance")"#),
    Question::Range(r#"time() - process_start_time_seconds{job=~"prometheus|node"}"#),
    Question::Instant(r#"scalar(up{job="node"}) + minute(vector($end))"#),
    Question::Range(r#"round(clamp_max(node_load1{job="node"}, 3) * 100) / 100"#),
    // Which series and labels there are.
    Question::Call("/api/v1/series", &[("match[]", r#"{job="node"}"#)]),
    Question::Call(
        "/api/v1/series",
        &[("match[]", r#"up{job="node"}"#), ("match[]", r#"go_info{job="prometheus"}"#)],
    ),
    Question::Call("/api/v1/labels", &[("match[]", r#"{job=~"prometheus|node"}"#)]),
    Question::Call("/api/v1/label/mode/values", &[]),
    Question::Call("/api/v1/label/__name__/values", &[("match[]", r#"{job="prometheus"}"#)]),
    Question::Call(
        "/api/v1/label/handler/values",
        &[("match[]", r#"{job="prometheus",__name__=~"prometheus_http.*"}"#)],
    ),
];
