//! A synthetic GPU fleet under the names and labels that the DCGM exporter gives.

use super::workload::{Random, Series, Target, Track};

/// One host with `count` GPUs, as one target.
pub(crate) fn host(number: usize, count: usize, random: &mut Random) -> Target {
    let mut series = Vec::new();
    for gpu in 0..count {
        let labels = gpu_labels(number, gpu);
        for (name, track) in tracks(random) {
            let mut labels = labels.clone();
            labels.push(("__name__".to_owned(), name.to_owned()));
            labels.sort();
            series.push(Series { labels, track });
        }
    }
    Target { series }
}

fn gpu_labels(host: usize, gpu: usize) -> Vec<(String, String)> {
    let pairs = [
        ("Hostname", format!("gpu-node-{host:03}")),
        (
            "UUID",
            format!("GPU-{:08x}-5b1e-4c3a-9d0f-{:012x}", host * 7_919 + gpu, (host * 8 + gpu) * 104_729),
        ),
        ("DCGM_FI_DRIVER_VERSION", "570.133.20".to_owned()),
        ("container", "trainer".to_owned()),
        ("device", format!("nvidia{gpu}")),
        ("gpu", gpu.to_string()),
        ("instance", format!("10.12.{}.{}:9400", host / 250, host % 250)),
        ("job", "dcgm-exporter".to_owned()),
        ("modelName", "NVIDIA H200".to_owned()),
        ("namespace", "ml-training".to_owned()),
        ("pci_bus_id", format!("00000000:{:02X}:00.0", 0x18 + gpu * 0x11)),
        ("pod", format!("llama-pretrain-{}-{:05x}", host / 4, host * 31 + 7)),
    ];
    pairs.map(|(name, value)| (name.to_owned(), value)).into()
}

fn tracks(random: &mut Random) -> Vec<(&'static str, Track)> {
    let mut walk = |low: i64, high: i64, stride: i64, scale: f64| Track::Walking {
        value: random.between(low, high),
        low,
        high,
        stride,
        scale,
    };
    let mut tracks = vec![
        ("DCGM_FI_DEV_SM_CLOCK", walk(1_200, 1_980, 15, 1.0)),
        ("DCGM_FI_DEV_MEMORY_TEMP", walk(45, 90, 1, 1.0)),
        ("DCGM_FI_DEV_GPU_TEMP", walk(35, 85, 1, 1.0)),
        ("DCGM_FI_DEV_POWER_USAGE", walk(120_000, 700_000, 20_000, 1e3)),
        ("DCGM_FI_DEV_GPU_UTIL", walk(0, 100, 8, 1.0)),
        ("DCGM_FI_DEV_MEM_COPY_UTIL", walk(0, 100, 5, 1.0)),
        ("DCGM_FI_DEV_FB_USED", walk(60_000, 140_000, 64, 1.0)),
        ("DCGM_FI_DEV_FB_FREE", walk(1_000, 80_000, 64, 1.0)),
        ("DCGM_FI_DEV_NVLINK_BANDWIDTH_TOTAL", walk(0, 400_000, 30_000, 1.0)),
        ("DCGM_FI_PROF_GR_ENGINE_ACTIVE", walk(0, 1_000_000, 80_000, 1e6)),
        ("DCGM_FI_PROF_SM_ACTIVE", walk(0, 1_000_000, 80_000, 1e6)),
        ("DCGM_FI_PROF_PIPE_TENSOR_ACTIVE", walk(0, 800_000, 60_000, 1e6)),
        ("DCGM_FI_PROF_DRAM_ACTIVE", walk(0, 900_000, 60_000, 1e6)),
        ("DCGM_FI_PROF_PCIE_TX_BYTES", walk(0, 20_000_000_000, 900_000_000, 1.0)),
        ("DCGM_FI_PROF_PCIE_RX_BYTES", walk(0, 20_000_000_000, 900_000_000, 1.0)),
    ];
    let energy = random.between(1_000_000_000, 90_000_000_000);
    tracks.push((
        "DCGM_FI_DEV_TOTAL_ENERGY_CONSUMPTION",
        Track::Growing { total: energy, low: 4_000_000, high: 10_000_000 },
    ));
    let still = [
        ("DCGM_FI_DEV_MEM_CLOCK", 3_201.0),
        ("DCGM_FI_DEV_ENC_UTIL", 0.0),
        ("DCGM_FI_DEV_DEC_UTIL", 0.0),
        ("DCGM_FI_DEV_XID_ERRORS", 0.0),
        ("DCGM_FI_DEV_FB_RESERVED", 613.0),
        ("DCGM_FI_DEV_PCIE_REPLAY_COUNTER", 0.0),
        ("DCGM_FI_DEV_VGPU_LICENSE_STATUS", 0.0),
        ("DCGM_FI_DEV_UNCORRECTABLE_REMAPPED_ROWS", 0.0),
        ("DCGM_FI_DEV_CORRECTABLE_REMAPPED_ROWS", 0.0),
        ("DCGM_FI_DEV_ROW_REMAP_FAILURE", 0.0),
    ];
    tracks.extend(still.map(|(name, value)| (name, Track::Same(value))));
    tracks
}
