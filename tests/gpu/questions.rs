//! What teams ask of GPUs, over a simulated fleet: each of their queries has an answer, and each of their alerts fires.

use std::fs;
use std::path::Path;

use serde_json::Value;

use crate::program::Program;

/// Queries, with where they come from.
const QUESTIONS: &[(&str, &[&str])] = &[
    (
        "infrastructure queries",
        &[
            r#"DCGM_FI_DEV_GPU_UTIL{exported_namespace="ml-prod", exported_pod=~"fraud-model-.*"}"#,
            r#"DCGM_FI_DEV_FB_USED{exported_namespace="ml-prod"}"#,
            r#"DCGM_FI_DEV_FB_FREE{exported_namespace="ml-prod"} < 2000"#,
            "DCGM_FI_DEV_GPU_TEMP > 80",
            "DCGM_FI_DEV_ECC_DBE_VOL_TOTAL > 0",
        ],
    ),
    (
        "recording rules of a dashboard",
        &[
            "avg(dcgm_sm_utilization) by (node)",
            "(dcgm_fb_used_bytes / (dcgm_fb_used_bytes + dcgm_fb_free_bytes)) * 100",
            "gpu:utilization:avg_by_node:5m",
        ],
    ),
    (
        "panels of a dashboard",
        &["dcgm_sm_utilization", "gpu:memory_used_percent:5m", "increase(dcgm_xid_errors_total[5m]) > 0"],
    ),
    (
        "alerts and panels of an inference service",
        &[
            "(gpu_memory_used_bytes / gpu_memory_total_bytes) > 0.90",
            "gpu_utilization_percent < 30",
            "gpu_utilization_percent",
            "gpu_temperature_celsius",
        ],
    ),
    (
        "queries of training jobs",
        &[
            "sum(DCGM_FI_DEV_GPU_UTIL) by (gpu)",
            "sum(DCGM_FI_DEV_FB_USED) by (gpu)",
            r#"DCGM_FI_DEV_GPU_UTIL{exported_namespace="ml-train"}"#,
        ],
    ),
    (
        "counters of an exporter's configuration",
        &[
            "DCGM_FI_DEV_POWER_USAGE",
            "DCGM_FI_DEV_PCIE_REPLAY_COUNTER",
            "DCGM_FI_DEV_XID_ERRORS",
            "DCGM_FI_DEV_SM_CLOCK",
            "DCGM_FI_DEV_MEM_CLOCK",
        ],
    ),
];

/// Alerts by name and severity, and labels that they must have a value for.
const ALERTS: &[(&str, &str, &[&str])] = &[
    ("GPUMemoryHigh", "critical", &["gpu", "node"]),
    ("GPUMemoryHigh", "warning", &["gpu_index", "gpu_name"]),
    ("GPUUtilizationLow", "info", &["gpu_index", "gpu_name"]),
    ("GPUMemoryFreeLow", "", &["gpu", "exported_namespace", "exported_pod"]),
    ("GPUTemperatureHigh", "", &["gpu", "UUID", "Hostname"]),
    ("GPUDoubleBitErrors", "", &["gpu", "UUID", "Hostname"]),
];

const CONFIG: &str = "global: {evaluation_interval: 200ms}\nrule_files: ['*-rules.yml']\n";

/// The fields that the questions need, beside what is collected by default.
const COUNTERS: &str = "\
DCGM_FI_DEV_SM_CLOCK, gauge, SM clock frequency (in MHz).
DCGM_FI_DEV_MEM_CLOCK, gauge, Memory clock frequency (in MHz).
DCGM_FI_DEV_GPU_TEMP, gauge, GPU temperature (in C).
DCGM_FI_DEV_POWER_USAGE, gauge, Power draw (in W).
DCGM_FI_DEV_PCIE_REPLAY_COUNTER, counter, Total number of PCIe retries.
DCGM_FI_DEV_GPU_UTIL, gauge, GPU utilization (in %).
DCGM_FI_DEV_XID_ERRORS, gauge, Value of the last XID error encountered.
DCGM_FI_DEV_FB_FREE, gauge, Framebuffer memory free (in MiB).
DCGM_FI_DEV_FB_USED, gauge, Framebuffer memory used (in MiB).
DCGM_FI_DEV_ECC_DBE_VOL_TOTAL, counter, Total number of double-bit volatile ECC errors.
";

/// The rules of `examples/rules`, evaluated often and fired soon: the simulation's minutes are seconds.
fn write_rules(folder: &Path) {
    let examples = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/rules");
    for name in ["ml-layers", "ml-recording", "ml-alerts", "ml-alerts-inference"] {
        let text = fs::read_to_string(examples.join(format!("{name}.yml"))).expect("the example is there");
        let sooner = text.lines().map(|line| {
            let indent = &line[..line.len() - line.trim_start().len()];
            match line.trim_start().split_once(": ") {
                Some(("for", _)) => format!("{indent}for: 500ms\n"),
                Some(("interval", _)) => format!("{indent}interval: 200ms\n"),
                _ => format!("{line}\n"),
            }
        });
        let text: String = sooner.collect();
        fs::write(folder.join(format!("{name}-rules.yml")), text).expect("the folder can be written");
    }
}

fn start(folder: &Path) -> Program {
    fs::write(folder.join("prometheus.yml"), CONFIG).expect("the folder can be written");
    fs::write(folder.join("counters.csv"), COUNTERS).expect("the folder can be written");
    write_rules(folder);
    Program::start(
        folder,
        &[
            "serve",
            "--web.listen-address=127.0.0.1:0",
            "--config.file=prometheus.yml",
            "--gpu=simulate",
            "--gpu.simulate=nodes=2,gpus=8,model=h100+a100,speed=60",
            "--gpu.interval=200ms",
            "--gpu.names=dcgm,plain",
            "--gpu.counters-file=counters.csv",
            "--gpu.exported-labels",
        ],
    )
}

/// The path of an instant query.
fn path(query: &str) -> String {
    let encoded = query.bytes().map(|byte| match byte {
        byte if byte.is_ascii_alphanumeric() => char::from(byte).to_string(),
        byte => format!("%{byte:02X}"),
    });
    format!("/api/v1/query?query={}", encoded.collect::<String>())
}

/// The body of an answer, whose chunks each have their length in front.
fn body(answer: &str) -> String {
    let (head, body) = answer.split_once("\r\n\r\n").expect("an answer has a head");
    if !head.to_lowercase().contains("transfer-encoding: chunked") {
        return body.to_owned();
    }
    let (mut rest, mut whole) = (body, String::new());
    while let Some((len, chunk)) = rest.split_once("\r\n") {
        let len = usize::from_str_radix(len, 16).expect("a length is hexadecimal");
        whole.push_str(&chunk[..len]);
        rest = chunk[len..].trim_start_matches("\r\n");
    }
    whole
}

/// The series of an answer; none of a server that is not ready yet.
fn series(answer: &str) -> Vec<Value> {
    if answer.starts_with("HTTP/1.1 503") {
        return Vec::new();
    }
    let answer: Value =
        serde_json::from_str(&body(answer)).unwrap_or_else(|error| panic!("{error}: {answer}"));
    assert_eq!(answer["status"], "success", "{answer}");
    answer["data"]["result"].as_array().expect("it is a vector").clone()
}

#[test]
fn each_question_is_answered_and_each_alert_fires() {
    let folder = tempfile::tempdir().expect("a temporary folder can be made");
    let server = start(folder.path());
    for (whose, queries) in QUESTIONS {
        for query in *queries {
            let answer = server.get_until(&path(query), |answer| !series(answer).is_empty());
            assert!(!series(&answer).is_empty(), "{whose}: {query}");
        }
    }
    for (name, severity, labels) in ALERTS {
        let fired = format!(
            r#"last_over_time(ALERTS{{alertname="{name}",severity="{severity}",alertstate="firing"}}[5m])"#
        );
        let answer = server.get_until(&path(&fired), |answer| !series(answer).is_empty());
        let alert = &series(&answer)[0]["metric"];
        for label in *labels {
            assert!(alert[*label].as_str().is_some_and(|value| !value.is_empty()), "{label} of {alert}");
        }
    }
    let shared = r#"count(DCGM_FI_DEV_FB_USED{exported_namespace="research",gpu="2",Hostname="gpu-node-1"})"#;
    assert_eq!(series(&server.get(&path(shared)))[0]["value"][1], "3", "a GPU is shared by three pods");
    let grouped = series(&server.get(&path("sum(DCGM_FI_DEV_FB_USED) by (gpu)")));
    assert_eq!(grouped.len(), 8, "machines have eight GPUs each");
}
