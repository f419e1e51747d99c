//! The program over a simulated fleet: `perdura gpu simulate` shows it, `perdura serve --gpu=simulate` stores it.

use std::collections::BTreeSet;

use perdura::ingest::exposition::{Entry, Format, Parser};

use crate::program::Program;

/// Body of an answer.
fn body(answer: &str) -> &str {
    answer.split_once("\r\n\r\n").expect("an answer has a head").1
}

#[test]
fn all_machines_are_on_one_page() {
    let folder = tempfile::tempdir().expect("a temporary folder can be made");
    let exporter = Program::start(
        folder.path(),
        &[
            "gpu",
            "simulate",
            "--listen=127.0.0.1:0",
            "--interval=200ms",
            "--nodes=3",
            "--gpus=1",
            "--model=h100,l40s,a100-mig",
            "--names=dcgm,plain",
        ],
    );
    let answer = exporter.get_until("/metrics", |answer| answer.contains("DCGM_FI_DEV_GPU_TEMP"));
    let mut parser = Parser::new(Format::Text, body(&answer).as_bytes());
    let (mut types, mut series, mut temperatures) = (BTreeSet::new(), BTreeSet::new(), BTreeSet::new());
    while let Some(entry) = parser.next_entry().expect("the page is sound") {
        match entry {
            Entry::Type { metric, .. } => {
                assert!(types.insert(metric.to_string()), "{metric} is there twice")
            }
            Entry::Sample(sample) => {
                let labels = sample.labels().expect("labels are sound");
                assert!(types.contains(sample.metric_name().as_ref()), "{labels} has its type above it");
                if sample.metric_name() == "DCGM_FI_DEV_GPU_TEMP" {
                    // One that pods share has a row for each.
                    let device =
                        ["Hostname", "gpu", "GPU_I_ID"].map(|name| labels.get(name).map(str::to_owned));
                    temperatures.insert(device);
                }
                assert!(series.insert(labels.to_string()), "{labels} is there twice");
            }
            _ => {}
        }
    }
    // An H100, an L40S, and an A100 with four instances: in so small a fleet none is sick.
    assert_eq!(temperatures.len(), 1 + 1 + 4);
    for part in ["Hostname=\"gpu-node-3\"", "GPU_I_PROFILE=\"3g.40gb\"", "modelName=\"NVIDIA L40S\""] {
        assert!(answer.contains(part), "{part}");
    }
    assert!(types.contains("gpu_temperature_celsius") && types.contains("DCGM_FI_PROF_GR_ENGINE_ACTIVE"));
}

#[test]
fn the_server_stores_a_fleet() {
    let folder = tempfile::tempdir().expect("a temporary folder can be made");
    let server = Program::start(
        folder.path(),
        &[
            "serve",
            "--web.listen-address=127.0.0.1:0",
            "--gpu=simulate",
            "--gpu.interval=200ms",
            "--gpu.simulate=nodes=2,gpus=1,model=h100+l40s",
        ],
    );
    let query = "/api/v1/query?query=count(max(DCGM_FI_DEV_GPU_UTIL%7Bjob%3D%22gpu%22%7D)by(instance,gpu))by(instance)";
    let answer =
        server.get_until(query, |answer| answer.contains("gpu-node-1") && answer.contains("gpu-node-2"));
    assert_eq!(answer.matches("\"1\"]").count(), 2, "{answer}");
    let answer =
        server.get("/api/v1/query?query=DCGM_FI_DEV_GPU_UTIL%7Binstance%3D%22gpu-node-2%22,gpu%3D%220%22%7D");
    for part in ["\"Hostname\":\"gpu-node-2\"", "\"modelName\":\"NVIDIA L40S\"", "\"device\":\"nvidia0\""] {
        assert!(answer.contains(part), "{part}: {answer}");
    }
    let answer = server
        .get_until("/api/v1/query?query=min(rate(DCGM_FI_DEV_TOTAL_ENERGY_CONSUMPTION[1m]))", |answer| {
            answer.contains("\"value\"")
        });
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
}
