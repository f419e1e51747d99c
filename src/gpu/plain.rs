//! Plain names: what a team that calls `nvidia-smi` by itself names its series, and what is written of DCGM's metrics in
//! lower case with base units.
//!
//! A counter of XIDs is one for all of them, so that it is there, at 0, before the first one comes.
//!
//! - `gpu_*` have the labels `gpu_index`, `gpu_name` and `node`. All of them have the name, also those that need none:
//!   an alert on a ratio of two of them can then say which product it is.
//! - `dcgm_*` have the labels `gpu` and `node`.
//! - Bytes are whole MiB, as they are read. Used memory is without what the driver reserves, as `nvidia-smi` shows it.
//! - In MIG mode memory and utilization are told of each instance, with `GPU_I_PROFILE` and `GPU_I_ID` as in the DCGM
//!   exporter, since an instance runs full by itself; temperature and XIDs are the GPU's, and told once.
//! - Utilization is NVML's, the time in which any kernel ran, on all GPUs alike. NVML has none in MIG mode: there it is
//!   the instance's share of time in which its engine was active, which Hopper and later measure, and nothing before.

use super::families::Pairs;
use super::fields::{Field, FieldSet};
use super::naming::{Naming, push_instance};
use super::reading::{DeviceIdentity, GpuState, MigInstance, Reading, Value};

/// The families, in the order that they are shown in.
pub(super) const PLAIN: &[PlainFamily] = &[
    gauge("gpu_utilization_percent", "GPU compute utilization percentage", Dialect::Gpu, utilization),
    gauge("gpu_memory_used_bytes", "GPU memory currently in use", Dialect::Gpu, used),
    gauge("gpu_memory_total_bytes", "Total GPU memory", Dialect::Gpu, total),
    PlainFamily {
        name: "gpu_temperature_celsius",
        metric_type: "gauge",
        help: "GPU temperature",
        dialect: Dialect::Gpu,
        scope: Scope::Gpu(temperature),
    },
    gauge("dcgm_sm_utilization", "GPU utilization (in %).", Dialect::Dcgm, utilization),
    gauge("dcgm_fb_used_bytes", "Framebuffer memory used (in bytes).", Dialect::Dcgm, used),
    gauge("dcgm_fb_free_bytes", "Framebuffer memory free (in bytes).", Dialect::Dcgm, free),
    PlainFamily {
        name: "dcgm_xid_errors_total",
        metric_type: "counter",
        help: "XID events of the GPU since the collector started.",
        dialect: Dialect::Dcgm,
        scope: Scope::Gpu(xids),
    },
];

const BYTES_OF_MEBIBYTE: i64 = 1 << 20;

/// A family with a plain name.
pub(super) struct PlainFamily {
    pub(super) name: &'static str,
    pub(super) metric_type: &'static str,
    pub(super) help: &'static str,
    pub(super) dialect: Dialect,
    pub(super) scope: Scope,
}

/// Whose labels a family has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Dialect {
    /// `gpu_index`, `gpu_name`, `node`.
    Gpu,
    /// `gpu`, `node`.
    Dcgm,
}

/// What a family tells of.
#[derive(Clone, Copy)]
pub(super) enum Scope {
    /// Of a GPU, or of each of its instances.
    Row(fn(&Reading) -> Option<Value>),
    /// Of a GPU, whether it has instances or not.
    Gpu(fn(&GpuState) -> Option<Value>),
}

const fn gauge(
    name: &'static str,
    help: &'static str,
    dialect: Dialect,
    value: fn(&Reading) -> Option<Value>,
) -> PlainFamily {
    PlainFamily { name, metric_type: "gauge", help, dialect, scope: Scope::Row(value) }
}

/// What the families are made of.
pub(super) fn fields() -> FieldSet {
    use Field::{FbFree, FbTotal, FbUsed, GpuTemp, GpuUtil, GrEngineActive, XidErrors};
    [GpuUtil, GrEngineActive, FbTotal, FbFree, FbUsed, GpuTemp, XidErrors].into_iter().collect()
}

/// The labels of a GPU or an instance.
pub(super) fn base(
    dialect: Dialect,
    identity: &DeviceIdentity,
    instance: Option<&MigInstance>,
    naming: &Naming,
) -> Pairs {
    let index = identity.index.to_string();
    let mut pairs = match dialect {
        Dialect::Gpu => vec![("gpu_index", index), ("gpu_name", identity.model_name.clone())],
        Dialect::Dcgm => vec![("gpu", index)],
    };
    push_instance(&mut pairs, instance);
    pairs.extend(naming.hostname.clone().map(|hostname| ("node", hostname)));
    pairs
}

fn utilization(reading: &Reading) -> Option<Value> {
    let of_engine = || Some(Value::Float(reading.get(Field::GrEngineActive)?.as_f64() * 100.0));
    reading.get(Field::GpuUtil).or_else(of_engine)
}

fn used(reading: &Reading) -> Option<Value> {
    bytes(reading, Field::FbUsed)
}

fn free(reading: &Reading) -> Option<Value> {
    bytes(reading, Field::FbFree)
}

fn total(reading: &Reading) -> Option<Value> {
    bytes(reading, Field::FbTotal)
}

fn bytes(reading: &Reading, field: Field) -> Option<Value> {
    match reading.get(field)? {
        Value::Int(mebibytes) => mebibytes.checked_mul(BYTES_OF_MEBIBYTE).map(Value::Int),
        Value::Float(_) => None,
    }
}

/// All instances have their GPU's.
fn temperature(gpu: &GpuState) -> Option<Value> {
    gpu.rows.as_ref()?.first()?.reading.get(Field::GpuTemp)
}

/// All XIDs together: it is 0 from the beginning, so that `increase()` sees the first one.
fn xids(gpu: &GpuState) -> Option<Value> {
    let count: u64 = gpu.xids.as_ref()?.counts.values().map(|seen| seen.count).sum();
    Some(Value::Int(i64::try_from(count).unwrap_or(i64::MAX)))
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::super::counters::Counters;
    use super::super::families::Families;
    use super::super::naming::Names;
    use super::super::reading::{Row, Snapshot, XidHistory};
    use super::*;

    fn row(instance: Option<MigInstance>, values: &[(Field, i64)]) -> Row {
        let mut reading = Reading::default();
        values.iter().for_each(|(field, value)| reading.set_int(*field, Some(*value)));
        Row { instance, reading }
    }

    fn gpu(index: u32, model: &str, rows: Vec<Row>) -> GpuState {
        let identity = DeviceIdentity { index, model_name: model.to_owned(), ..DeviceIdentity::default() };
        let (rows, xids) = (Some(rows), Some(XidHistory::default()));
        GpuState { identity: Arc::new(identity), rows, processes: Vec::new(), xids }
    }

    fn text(gpus: Vec<GpuState>) -> String {
        let names = Names { is_dcgm: false, is_plain: true, ..Names::default() };
        let naming = Naming { hostname: Some("node-1".to_owned()), names, ..Naming::default() };
        let text =
            Families::new(&Snapshot { gpus, ..Snapshot::default() }, &Counters::default(), &naming).to_text();
        text.lines().filter(|line| !line.contains("perdura_")).map(|line| format!("{line}\n")).collect()
    }

    /// Names, help texts and labels are those that teams write in their own collectors; an L40S has 46,068 MiB.
    #[test]
    fn a_whole_gpu_has_every_family() {
        let values = [
            (Field::GpuUtil, 93),
            (Field::FbTotal, 46_068),
            (Field::FbUsed, 44_000),
            (Field::FbFree, 1_466),
            (Field::GpuTemp, 61),
        ];
        let expected = r#"# HELP gpu_utilization_percent GPU compute utilization percentage
# TYPE gpu_utilization_percent gauge
gpu_utilization_percent{gpu_index="1",gpu_name="NVIDIA L40S",node="node-1"} 93
# HELP gpu_memory_used_bytes GPU memory currently in use
# TYPE gpu_memory_used_bytes gauge
gpu_memory_used_bytes{gpu_index="1",gpu_name="NVIDIA L40S",node="node-1"} 46137344000
# HELP gpu_memory_total_bytes Total GPU memory
# TYPE gpu_memory_total_bytes gauge
gpu_memory_total_bytes{gpu_index="1",gpu_name="NVIDIA L40S",node="node-1"} 48305799168
# HELP gpu_temperature_celsius GPU temperature
# TYPE gpu_temperature_celsius gauge
gpu_temperature_celsius{gpu_index="1",gpu_name="NVIDIA L40S",node="node-1"} 61
# HELP dcgm_sm_utilization GPU utilization (in %).
# TYPE dcgm_sm_utilization gauge
dcgm_sm_utilization{gpu="1",node="node-1"} 93
# HELP dcgm_fb_used_bytes Framebuffer memory used (in bytes).
# TYPE dcgm_fb_used_bytes gauge
dcgm_fb_used_bytes{gpu="1",node="node-1"} 46137344000
# HELP dcgm_fb_free_bytes Framebuffer memory free (in bytes).
# TYPE dcgm_fb_free_bytes gauge
dcgm_fb_free_bytes{gpu="1",node="node-1"} 1537212416
# HELP dcgm_xid_errors_total XID events of the GPU since the collector started.
# TYPE dcgm_xid_errors_total counter
dcgm_xid_errors_total{gpu="1",node="node-1"} 0
"#;
        assert_eq!(text(vec![gpu(1, "NVIDIA L40S", vec![row(None, &values)])]), expected);
    }

    #[test]
    fn instances_tell_of_memory_and_engine_and_the_gpu_of_heat_and_xids() {
        let instance = |id: u32| {
            let mig = MigInstance { profile: "3g.40gb".to_owned(), gpu_instance_id: id, uuids: Vec::new() };
            let mut row = row(Some(mig), &[(Field::FbUsed, i64::from(id)), (Field::GpuTemp, 40)]);
            row.reading.set(Field::GrEngineActive, Some(Value::Float(0.25)));
            row
        };
        let mut gpu = gpu(0, "H", vec![instance(1), instance(2)]);
        gpu.xids.iter_mut().for_each(|history| [31, 79, 79].iter().for_each(|xid| history.record(*xid, 7)));
        let text = text(vec![gpu]);
        let of = |name: &str| -> Vec<String> {
            let lines = text.lines().filter_map(|line| line.strip_prefix(name));
            lines.filter(|rest| rest.starts_with('{')).map(str::to_owned).collect()
        };
        let labels =
            |id: u32| format!(r#"{{gpu="0",GPU_I_PROFILE="3g.40gb",GPU_I_ID="{id}",node="node-1"}}"#);
        let (first, second) = (labels(1), labels(2));
        assert_eq!(of("dcgm_fb_used_bytes"), [format!("{first} 1048576"), format!("{second} 2097152")]);
        assert_eq!(of("dcgm_sm_utilization"), [format!("{first} 25.000000"), format!("{second} 25.000000")]);
        assert_eq!(
            of("gpu_temperature_celsius"),
            [r#"{gpu_index="0",gpu_name="H",node="node-1"} 40"#],
            "once, without an instance"
        );
        assert_eq!(of("dcgm_xid_errors_total"), [r#"{gpu="0",node="node-1"} 3"#]);
        assert!(of("gpu_memory_total_bytes").is_empty(), "what is not told is left out");
    }
}
