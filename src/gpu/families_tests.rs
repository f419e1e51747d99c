//! Lines written by hand for states that were published, each with its source.

use std::sync::Arc;

use super::super::counters::Counters;
use super::super::fields::Field;
use super::super::naming::Naming;
use super::super::reading::{
    DeviceIdentity, GpuState, MigInstance, Reading, Row, Snapshot, Value, XidHistory,
};
use super::*;

fn identity(index: u32, uuid: &str, bus: &str, model: &str, driver: &str) -> Arc<DeviceIdentity> {
    let texts = [("DCGM_FI_DRIVER_VERSION", driver.to_owned())];
    Arc::new(DeviceIdentity {
        index,
        uuid: uuid.to_owned(),
        pci_bus_id: bus.to_owned(),
        model_name: model.to_owned(),
        texts: texts.into_iter().filter(|(_, text)| !text.is_empty()).collect(),
    })
}

fn reading(values: &[(Field, Value)]) -> Reading {
    let mut reading = Reading::default();
    values.iter().for_each(|(field, value)| reading.set(*field, Some(*value)));
    reading
}

fn whole(identity: Arc<DeviceIdentity>, values: &[(Field, Value)]) -> GpuState {
    let rows = Some(vec![Row { instance: None, reading: reading(values) }]);
    GpuState { identity, rows, processes: Vec::new(), xids: None }
}

fn text(gpus: Vec<GpuState>, counters: &str, naming: &Naming) -> String {
    let counters = Counters::parse(counters).expect("the counters are fine");
    Families::new(&Snapshot { gpus, ..Snapshot::default() }, &counters, naming).to_text()
}

fn on(hostname: &str) -> Naming {
    Naming { hostname: Some(hostname.to_owned()), ..Naming::default() }
}

/// The lines of DCGM's families alone.
fn of_dcgm(text: &str) -> String {
    text.lines().filter(|line| line.contains("DCGM_") && !line.contains("perdura_")).fold(
        String::new(),
        |mut lines, line| {
            lines.push_str(line);
            lines.push('\n');
            lines
        },
    )
}

/// Identity, labels and order: NVIDIA/dcgm-exporter issue 512, H100 in MIG mode (driver 535.129.03), without the pods.
#[test]
fn h100_with_mig_instances() {
    let identity = identity(
        0,
        "GPU-58e8f5ea-13cc-013a-d88f-2bcf5ae8bc77",
        "00000000:1A:00.0",
        "NVIDIA H100 80GB HBM3",
        "535.129.03",
    );
    let row = |id, ratio, used| Row {
        instance: Some(MigInstance { profile: "1g.10gb".to_owned(), gpu_instance_id: id, uuids: Vec::new() }),
        reading: reading(&[
            (Field::GrEngineActive, Value::Float(ratio)),
            (Field::FbUsed, Value::Int(used)),
            (Field::GpuTemp, Value::Int(33)),
        ]),
    };
    let gpu = GpuState {
        identity,
        rows: Some(vec![row(7, 0.0, 12), row(8, 0.25, 9_001)]),
        processes: Vec::new(),
        xids: None,
    };
    let counters = concat!(
        "DCGM_FI_DRIVER_VERSION, label, Driver Version\n",
        "DCGM_FI_PROF_GR_ENGINE_ACTIVE, gauge, Ratio of time the graphics engine is active.\n",
        "DCGM_FI_DEV_FB_USED, gauge, Framebuffer memory used (in MiB).\n",
        "DCGM_FI_DEV_GPU_UTIL, gauge, GPU utilization (in %).\n",
    );
    let text = text(vec![gpu], counters, &on("gsrh100-074"));
    let expected = r#"# HELP DCGM_FI_DEV_FB_USED Framebuffer memory used (in MiB).
# TYPE DCGM_FI_DEV_FB_USED gauge
DCGM_FI_DEV_FB_USED{gpu="0",UUID="GPU-58e8f5ea-13cc-013a-d88f-2bcf5ae8bc77",pci_bus_id="00000000:1A:00.0",device="nvidia0",modelName="NVIDIA H100 80GB HBM3",GPU_I_PROFILE="1g.10gb",GPU_I_ID="7",Hostname="gsrh100-074",DCGM_FI_DRIVER_VERSION="535.129.03"} 12
DCGM_FI_DEV_FB_USED{gpu="0",UUID="GPU-58e8f5ea-13cc-013a-d88f-2bcf5ae8bc77",pci_bus_id="00000000:1A:00.0",device="nvidia0",modelName="NVIDIA H100 80GB HBM3",GPU_I_PROFILE="1g.10gb",GPU_I_ID="8",Hostname="gsrh100-074",DCGM_FI_DRIVER_VERSION="535.129.03"} 9001
# HELP DCGM_FI_PROF_GR_ENGINE_ACTIVE Ratio of time the graphics engine is active.
# TYPE DCGM_FI_PROF_GR_ENGINE_ACTIVE gauge
DCGM_FI_PROF_GR_ENGINE_ACTIVE{gpu="0",UUID="GPU-58e8f5ea-13cc-013a-d88f-2bcf5ae8bc77",pci_bus_id="00000000:1A:00.0",device="nvidia0",modelName="NVIDIA H100 80GB HBM3",GPU_I_PROFILE="1g.10gb",GPU_I_ID="7",Hostname="gsrh100-074",DCGM_FI_DRIVER_VERSION="535.129.03"} 0.000000
DCGM_FI_PROF_GR_ENGINE_ACTIVE{gpu="0",UUID="GPU-58e8f5ea-13cc-013a-d88f-2bcf5ae8bc77",pci_bus_id="00000000:1A:00.0",device="nvidia0",modelName="NVIDIA H100 80GB HBM3",GPU_I_PROFILE="1g.10gb",GPU_I_ID="8",Hostname="gsrh100-074",DCGM_FI_DRIVER_VERSION="535.129.03"} 0.250000
"#;
    assert_eq!(of_dcgm(&text).replace("# HELP perdura", ""), expected);
    assert!(text.ends_with(concat!(
        "# TYPE perdura_gpu_up gauge\n",
        "perdura_gpu_up{gpu=\"0\",UUID=\"GPU-58e8f5ea-13cc-013a-d88f-2bcf5ae8bc77\",",
        "pci_bus_id=\"00000000:1A:00.0\",device=\"nvidia0\",modelName=\"NVIDIA H100 80GB HBM3\",",
        "Hostname=\"gsrh100-074\",DCGM_FI_DRIVER_VERSION=\"535.129.03\"} 1\n"
    )));
}

/// Identity, labels and order: NVIDIA/DCGM issue 226, L40S (without the pods); there without label counters.
#[test]
fn l40s_without_label_counters() {
    let gpus = vec![
        whole(
            identity(0, "GPU-585834da-79ca-0599-5140-4ffdb131ae93", "00000000:4E:00.0", "NVIDIA L40S", ""),
            &[(Field::PowerUsage, Value::Float(36.042)), (Field::SmClock, Value::Int(210))],
        ),
        whole(
            identity(1, "GPU-8f8001ff-73ba-2e83-3cdc-4156ae4f3912", "00000000:62:00.0", "NVIDIA L40S", ""),
            &[(Field::PowerUsage, Value::Float(350.0))],
        ),
    ];
    let counters = concat!(
        "DCGM_FI_DEV_POWER_USAGE,              gauge, Power draw (in W).\n",
        "DCGM_FI_DEV_SM_CLOCK,  gauge, SM clock frequency (in MHz).\n"
    );
    let text = of_dcgm(&text(gpus, counters, &on("l40s.example.com")));
    let expected = r#"# HELP DCGM_FI_DEV_SM_CLOCK SM clock frequency (in MHz).
# TYPE DCGM_FI_DEV_SM_CLOCK gauge
DCGM_FI_DEV_SM_CLOCK{gpu="0",UUID="GPU-585834da-79ca-0599-5140-4ffdb131ae93",pci_bus_id="00000000:4E:00.0",device="nvidia0",modelName="NVIDIA L40S",Hostname="l40s.example.com"} 210
# HELP DCGM_FI_DEV_POWER_USAGE Power draw (in W).
# TYPE DCGM_FI_DEV_POWER_USAGE gauge
DCGM_FI_DEV_POWER_USAGE{gpu="0",UUID="GPU-585834da-79ca-0599-5140-4ffdb131ae93",pci_bus_id="00000000:4E:00.0",device="nvidia0",modelName="NVIDIA L40S",Hostname="l40s.example.com"} 36.042000
DCGM_FI_DEV_POWER_USAGE{gpu="1",UUID="GPU-8f8001ff-73ba-2e83-3cdc-4156ae4f3912",pci_bus_id="00000000:62:00.0",device="nvidia1",modelName="NVIDIA L40S",Hostname="l40s.example.com"} 350.000000
"#;
    assert_eq!(text, expected);
}

/// The exporter's newer label: NVIDIA/dcgm-exporter pull request 736, an A30 with a MIG instance.
#[test]
fn the_hostname_is_written_small_by_option_or_left_out() {
    let gpu = || GpuState {
        rows: Some(vec![Row {
            instance: Some(MigInstance {
                profile: "1g.6gb".to_owned(),
                gpu_instance_id: 3,
                uuids: Vec::new(),
            }),
            reading: reading(&[(Field::FbFree, Value::Int(2_207))]),
        }]),
        identity: identity(
            2,
            "GPU-63bc0b91-2265-1b94-831c-15c41fe92675",
            "00000000:CA:00.0",
            "NVIDIA A30",
            "",
        ),
        processes: Vec::new(),
        xids: None,
    };
    let counters = "DCGM_FI_DEV_FB_FREE, gauge, Framebuffer memory free (in MiB).";
    let small = Naming { is_hostname_lower: true, ..on("dcgm-exporter-wwwjh") };
    let line = |naming: &Naming| {
        let text = text(vec![gpu()], counters, naming);
        text.lines().nth(2).expect("the third line is the sample").to_owned()
    };
    assert_eq!(
        line(&small),
        r#"DCGM_FI_DEV_FB_FREE{gpu="2",UUID="GPU-63bc0b91-2265-1b94-831c-15c41fe92675",pci_bus_id="00000000:CA:00.0",device="nvidia2",modelName="NVIDIA A30",GPU_I_PROFILE="1g.6gb",GPU_I_ID="3",hostname="dcgm-exporter-wwwjh"} 2207"#
    );
    assert_eq!(
        line(&Naming::default()),
        r#"DCGM_FI_DEV_FB_FREE{gpu="2",UUID="GPU-63bc0b91-2265-1b94-831c-15c41fe92675",pci_bus_id="00000000:CA:00.0",device="nvidia2",modelName="NVIDIA A30",GPU_I_PROFILE="1g.6gb",GPU_I_ID="3"} 2207"#
    );
}

/// Attributes of the XID: the exporter's `gpu_collector.go` and `xid_errors.go`; the counters are ours.
#[test]
fn xids_are_shown_as_the_last_one_and_counted_each() {
    let mut xids = XidHistory::default();
    xids.record(31, 1_700_000_000_000);
    xids.record(79, 1_700_000_000_250);
    xids.record(79, 1_700_000_000_500);
    let lost = GpuState {
        identity: identity(0, "GPU-a", "B", "M", "1"),
        rows: None,
        processes: Vec::new(),
        xids: Some(xids),
    };
    let fine = GpuState {
        xids: Some(XidHistory::default()),
        ..whole(identity(1, "GPU-b", "C", "M", "1"), &[(Field::SmClock, Value::Int(5))])
    };
    let counters = concat!(
        "DCGM_FI_DEV_SM_CLOCK, gauge, c\n",
        "DCGM_FI_DEV_XID_ERRORS, gauge, Value of the last XID error encountered.\n"
    );
    let a = r#"gpu="0",UUID="GPU-a",pci_bus_id="B",device="nvidia0",modelName="M""#;
    let b = r#"gpu="1",UUID="GPU-b",pci_bus_id="C",device="nvidia1",modelName="M""#;
    let expected = format!(
        r#"# HELP DCGM_FI_DEV_SM_CLOCK c
# TYPE DCGM_FI_DEV_SM_CLOCK gauge
DCGM_FI_DEV_SM_CLOCK{{{b}}} 5
# HELP DCGM_FI_DEV_XID_ERRORS Value of the last XID error encountered.
# TYPE DCGM_FI_DEV_XID_ERRORS gauge
DCGM_FI_DEV_XID_ERRORS{{{a},err_code="79",err_msg="GPU has fallen off the bus"}} 79
DCGM_FI_DEV_XID_ERRORS{{{b},err_code="0",err_msg="No Error"}} 0
# HELP perdura_gpu_up Whether the GPU answered in time when it was read last.
# TYPE perdura_gpu_up gauge
perdura_gpu_up{{{a}}} 0
perdura_gpu_up{{{b}}} 1
# HELP perdura_gpu_xid_errors_total XID events of the GPU since the collector started.
# TYPE perdura_gpu_xid_errors_total counter
perdura_gpu_xid_errors_total{{{a},xid="31"}} 1
perdura_gpu_xid_errors_total{{{a},xid="79"}} 2
# HELP perdura_gpu_xid_last_seen_timestamp_seconds When the XID was seen last, in seconds since the epoch.
# TYPE perdura_gpu_xid_last_seen_timestamp_seconds gauge
perdura_gpu_xid_last_seen_timestamp_seconds{{{a},xid="31"}} 1700000000.000000
perdura_gpu_xid_last_seen_timestamp_seconds{{{a},xid="79"}} 1700000000.500000
"#
    );
    assert_eq!(text(vec![lost, fine], counters, &Naming::default()), expected);
}

#[test]
fn the_own_parser_of_expositions_reads_the_text_back() {
    use crate::ingest::exposition::{Entry, Format, Parser};
    let gpu = whole(identity(0, "GPU-a", "B", "quo\"te", "1"), &[(Field::SmClock, Value::Int(5))]);
    let text = text(vec![gpu], "DCGM_FI_DEV_SM_CLOCK, gauge, c", &Naming::default());
    let (format, _) = Format::of_response(Some("text/plain"), None).expect("the format is known");
    let mut parser = Parser::new(format, text.as_bytes());
    let mut samples = 0;
    while let Some(entry) = parser.next_entry().expect("the text is well-formed") {
        samples += usize::from(matches!(entry, Entry::Sample(_)));
    }
    assert_eq!(samples, 2);
}

/// Every default counter. Values: utkuozdemir/nvidia_gpu_exporter, capture of an idle H200 with driver 590.48.01
/// (`testdata/captures`, UUID masked there); what `nvidia-smi` does not print is left out. Order and types: DCGM's.
#[test]
fn h200_with_the_default_counters() {
    let int = |field, value| (field, Value::Int(value));
    let values = [
        int(Field::SmClock, 345),
        int(Field::MemClock, 3_201),
        int(Field::MemoryTemp, 32),
        int(Field::GpuTemp, 28),
        (Field::PowerUsage, Value::Float(77.67)),
        int(Field::PcieReplay, 0),
        int(Field::GpuUtil, 0),
        int(Field::MemCopyUtil, 0),
        int(Field::EncUtil, 0),
        int(Field::DecUtil, 0),
        int(Field::FbTotal, 143_771),
        int(Field::FbFree, 143_158),
        int(Field::FbUsed, 0),
        int(Field::FbReserved, 614),
        int(Field::RemappedUncorrectable, 0),
        int(Field::RemappedCorrectable, 0),
        int(Field::RowRemapFailure, 0),
    ];
    let uuid = "GPU-00000000-0000-0000-0000-000000000000";
    let h200 = identity(0, uuid, "00000000:83:00.0", "NVIDIA H200", "590.48.01");
    let snapshot = Snapshot { gpus: vec![whole(h200, &values)], ..Snapshot::default() };
    let text = Families::new(&snapshot, &Counters::default(), &on("n1")).to_text();
    let labels = r#"{gpu="0",UUID="GPU-00000000-0000-0000-0000-000000000000",pci_bus_id="00000000:83:00.0",device="nvidia0",modelName="NVIDIA H200",Hostname="n1",DCGM_FI_DRIVER_VERSION="590.48.01"}"#;
    let expected = r#"# HELP DCGM_FI_DEV_SM_CLOCK SM clock frequency (in MHz).
# TYPE DCGM_FI_DEV_SM_CLOCK gauge
DCGM_FI_DEV_SM_CLOCK{} 345
# HELP DCGM_FI_DEV_MEM_CLOCK Memory clock frequency (in MHz).
# TYPE DCGM_FI_DEV_MEM_CLOCK gauge
DCGM_FI_DEV_MEM_CLOCK{} 3201
# HELP DCGM_FI_DEV_MEMORY_TEMP Memory temperature (in C).
# TYPE DCGM_FI_DEV_MEMORY_TEMP gauge
DCGM_FI_DEV_MEMORY_TEMP{} 32
# HELP DCGM_FI_DEV_GPU_TEMP GPU temperature (in C).
# TYPE DCGM_FI_DEV_GPU_TEMP gauge
DCGM_FI_DEV_GPU_TEMP{} 28
# HELP DCGM_FI_DEV_POWER_USAGE Power draw (in W).
# TYPE DCGM_FI_DEV_POWER_USAGE gauge
DCGM_FI_DEV_POWER_USAGE{} 77.670000
# HELP DCGM_FI_DEV_PCIE_REPLAY_COUNTER Total number of PCIe retries.
# TYPE DCGM_FI_DEV_PCIE_REPLAY_COUNTER counter
DCGM_FI_DEV_PCIE_REPLAY_COUNTER{} 0
# HELP DCGM_FI_DEV_GPU_UTIL GPU utilization (in %).
# TYPE DCGM_FI_DEV_GPU_UTIL gauge
DCGM_FI_DEV_GPU_UTIL{} 0
# HELP DCGM_FI_DEV_MEM_COPY_UTIL Memory utilization (in %).
# TYPE DCGM_FI_DEV_MEM_COPY_UTIL gauge
DCGM_FI_DEV_MEM_COPY_UTIL{} 0
# HELP DCGM_FI_DEV_ENC_UTIL Encoder utilization (in %).
# TYPE DCGM_FI_DEV_ENC_UTIL gauge
DCGM_FI_DEV_ENC_UTIL{} 0
# HELP DCGM_FI_DEV_DEC_UTIL Decoder utilization (in %).
# TYPE DCGM_FI_DEV_DEC_UTIL gauge
DCGM_FI_DEV_DEC_UTIL{} 0
# HELP DCGM_FI_DEV_FB_FREE Framebuffer memory free (in MiB).
# TYPE DCGM_FI_DEV_FB_FREE gauge
DCGM_FI_DEV_FB_FREE{} 143158
# HELP DCGM_FI_DEV_FB_USED Framebuffer memory used (in MiB).
# TYPE DCGM_FI_DEV_FB_USED gauge
DCGM_FI_DEV_FB_USED{} 0
# HELP DCGM_FI_DEV_FB_RESERVED Framebuffer memory reserved (in MiB).
# TYPE DCGM_FI_DEV_FB_RESERVED gauge
DCGM_FI_DEV_FB_RESERVED{} 614
# HELP DCGM_FI_DEV_UNCORRECTABLE_REMAPPED_ROWS Number of remapped rows for uncorrectable errors
# TYPE DCGM_FI_DEV_UNCORRECTABLE_REMAPPED_ROWS counter
DCGM_FI_DEV_UNCORRECTABLE_REMAPPED_ROWS{} 0
# HELP DCGM_FI_DEV_CORRECTABLE_REMAPPED_ROWS Number of remapped rows for correctable errors
# TYPE DCGM_FI_DEV_CORRECTABLE_REMAPPED_ROWS counter
DCGM_FI_DEV_CORRECTABLE_REMAPPED_ROWS{} 0
# HELP DCGM_FI_DEV_ROW_REMAP_FAILURE Whether remapping of rows has failed
# TYPE DCGM_FI_DEV_ROW_REMAP_FAILURE gauge
DCGM_FI_DEV_ROW_REMAP_FAILURE{} 0
# HELP perdura_gpu_up Whether the GPU answered in time when it was read last.
# TYPE perdura_gpu_up gauge
perdura_gpu_up{} 1
"#;
    assert_eq!(text, expected.replace("{}", labels));
}

/// Names and labels: the exporter's `expcollector.go`, `render_metrics.go` and DCGM 4.6's `dcgm_fields.h`.
#[test]
fn names_may_be_the_later_ones_and_labels_the_earlier_ones() {
    use super::super::naming::Names;
    let gpu = || {
        whole(
            identity(0, "GPU-a", "B", "M", "550.54.15"),
            &[(Field::GpuTemp, Value::Int(40)), (Field::SmClock, Value::Int(5))],
        )
    };
    let counters = concat!(
        "DCGM_FI_DRIVER_VERSION, label, Driver Version\n",
        "DCGM_FI_DEV_SM_CLOCK, gauge, c\n",
        "DCGM_FI_DEV_GPU_TEMP, gauge, t\n"
    );
    let series = |names: &str, is_old_namespace| -> Vec<String> {
        let names: Names = names.parse().expect("the names are known");
        let naming = Naming { names, is_old_namespace, ..Naming::default() };
        let text = text(vec![gpu()], counters, &naming);
        text.lines().filter(|line| line.starts_with("DCGM_")).map(str::to_owned).collect()
    };
    let labels = |uuid: &str, version: &str| {
        format!(
            r#"{{gpu="0",{uuid}="GPU-a",pci_bus_id="B",device="nvidia0",modelName="M",{version}="550.54.15"}}"#
        )
    };
    let (old, new) = ("DCGM_FI_DRIVER_VERSION", "DCGM_FI_SYSTEM_DRIVER_VERSION");
    assert_eq!(
        series("dcgm-4.6", false),
        [
            format!("DCGM_FI_DEV_SM_CLOCK{} 5", labels("UUID", new)),
            format!("DCGM_FI_DEV_GPU_TEMP_CELSIUS{} 40", labels("UUID", new)),
        ]
    );
    assert_eq!(
        series("dcgm,dcgm-4.6", true),
        [
            format!("DCGM_FI_DEV_SM_CLOCK{} 5", labels("uuid", old)),
            format!("DCGM_FI_DEV_GPU_TEMP_CELSIUS{} 40", labels("uuid", old)),
            format!("DCGM_FI_DEV_GPU_TEMP{} 40", labels("uuid", old)),
        ],
        "what kept its name is there once"
    );
}

/// Labels: the exporter's `expcollector.go`, `xid_collector.go` and `clock_events_collector.go`.
#[test]
fn counts_over_windows_say_how_long_they_are() {
    let mut xids = XidHistory::default();
    xids.record(79, 0);
    let values = [(Field::ClocksEventReasons, Value::Int(0b101))];
    let sick = GpuState { xids: Some(xids), ..whole(identity(0, "GPU-a", "B", "M", ""), &values) };
    let fine = GpuState {
        xids: Some(XidHistory::default()),
        ..whole(identity(1, "GPU-b", "B", "M", ""), &[(Field::ClocksEventReasons, Value::Int(0))])
    };
    let counters = concat!(
        "DCGM_EXP_XID_ERRORS_COUNT, counter, reported XIDs during last window\n",
        "DCGM_EXP_CLOCK_EVENTS_COUNT, counter, reported clock events\n"
    );
    let text = of_dcgm(&text(vec![sick, fine], counters, &Naming::default()));
    let a = r#"gpu="0",UUID="GPU-a",pci_bus_id="B",device="nvidia0",modelName="M""#;
    let b = r#"gpu="1",UUID="GPU-b",pci_bus_id="B",device="nvidia1",modelName="M""#;
    let expected = format!(
        r#"# HELP DCGM_EXP_XID_ERRORS_COUNT reported XIDs during last window
# TYPE DCGM_EXP_XID_ERRORS_COUNT counter
DCGM_EXP_XID_ERRORS_COUNT{{{a},window_size_in_ms="300000",xid="79"}} 1
DCGM_EXP_XID_ERRORS_COUNT{{{b},window_size_in_ms="300000"}} 0
# HELP DCGM_EXP_CLOCK_EVENTS_COUNT reported clock events
# TYPE DCGM_EXP_CLOCK_EVENTS_COUNT counter
DCGM_EXP_CLOCK_EVENTS_COUNT{{{a},clock_event="gpu_idle",window_size_in_ms="300000"}} 1
DCGM_EXP_CLOCK_EVENTS_COUNT{{{a},clock_event="power_cap",window_size_in_ms="300000"}} 1
DCGM_EXP_CLOCK_EVENTS_COUNT{{{b},window_size_in_ms="300000"}} 0
"#
    );
    assert_eq!(text, expected);
}

/// `increase()` of a page sees the first XID only where a 0 was there before.
#[test]
fn a_page_has_well_known_xids_at_zero() {
    let mut xids = XidHistory::default();
    xids.record(79, 0);
    xids.record(1_000, 0);
    let gpu = GpuState { xids: Some(xids), ..whole(identity(0, "GPU-a", "B", "M", ""), &[]) };
    let naming = Naming { has_xids_at_zero: true, ..Naming::default() };
    let text = text(vec![gpu], "DCGM_FI_DEV_XID_ERRORS, gauge, x", &naming);
    let counts: Vec<&str> =
        text.lines().filter(|line| line.starts_with("perdura_gpu_xid_errors_total")).collect();
    let has =
        |xid: u64, count: u64| counts.iter().any(|line| line.ends_with(&format!("xid=\"{xid}\"}} {count}")));
    assert!(has(79, 1) && has(1_000, 1) && has(31, 0) && !has(79, 0), "{text}");
    assert_eq!(text.matches("last_seen_timestamp_seconds{").count(), 2, "of those that came alone");
}

/// A series is known again by the place of its labels while they stay the same.
#[test]
fn labels_are_kept_from_round_to_round() {
    use super::super::namer::Namer;
    let snapshot = |driver: &str| Snapshot {
        gpus: vec![whole(identity(0, "GPU-a", "B", "M", driver), &[(Field::GpuTemp, Value::Int(1))])],
        ..Snapshot::default()
    };
    let mut namer = Namer::new(Counters::default(), Naming::default());
    let first = namer.families(&snapshot("1"));
    let second = namer.families(&snapshot("1"));
    assert!(Arc::ptr_eq(&first.bases[0], &second.bases[0]));
    let third = namer.families(&snapshot("2"));
    assert!(!Arc::ptr_eq(&second.bases[0], &third.bases[0]) && second.bases[0] != third.bases[0]);
}
