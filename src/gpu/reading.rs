//! What a GPU says of itself, as plain data; the same from a driver and from a simulation.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::fields::{FIELD_COUNT, Field};
use super::workload::Process;
use crate::model::Timestamp;

/// Most different XIDs that are counted for one GPU; NVIDIA's list has fewer than 200.
const XIDS_MAX: usize = 512;

/// Who a GPU is. Does not change while its driver runs.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DeviceIdentity {
    /// NVML's index, counted from zero in the order of PCI bus ids.
    pub index: u32,
    /// `GPU-` and 32 hexadecimal digits in groups.
    pub uuid: String,
    /// `DDDDDDDD:BB:DD.F`, in capital digits.
    pub pci_bus_id: String,
    /// The product, such as `NVIDIA H100 80GB HBM3`.
    pub model_name: String,
    /// Facts that become labels where a counter asks for them; sorted by the field's name.
    pub texts: BTreeMap<&'static str, String>,
}

impl DeviceIdentity {
    /// The name of the device file: `nvidia0`. Counted by the index, as the DCGM exporter does.
    pub fn device_name(&self) -> String {
        format!("nvidia{}", self.index)
    }
}

/// A slice of a GPU in MIG mode.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MigInstance {
    /// Name of the GPU instance's profile, such as `1g.10gb`.
    pub profile: String,
    /// Number of the GPU instance within its GPU.
    pub gpu_instance_id: u32,
    /// `MIG-…` of the MIG devices in it: more than one where compute instances share it.
    pub uuids: Vec<String>,
}

/// One value, in the unit of its field.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Value {
    /// Printed as `%d`.
    Int(i64),
    /// Printed as `%f`.
    Float(f64),
}

impl Value {
    /// The value as a sample.
    pub fn as_f64(self) -> f64 {
        match self {
            Self::Int(value) => value as f64,
            Self::Float(value) => value,
        }
    }
}

/// The values of one GPU, or of one MIG instance, at one time. A field without a value is not supported there.
#[derive(Clone, Debug, PartialEq)]
pub struct Reading {
    values: [Option<Value>; FIELD_COUNT],
}

impl Default for Reading {
    fn default() -> Self {
        Self { values: [None; FIELD_COUNT] }
    }
}

impl Reading {
    /// The value of a field.
    pub fn get(&self, field: Field) -> Option<Value> {
        self.values[field as usize]
    }

    /// Sets a field, or says that it has no value. A float that is no number is none.
    pub fn set(&mut self, field: Field, value: Option<Value>) {
        let is_number = |value: &Value| value.as_f64().is_finite();
        self.values[field as usize] = value.filter(is_number);
    }

    /// Sets a field that counts or measures whole things; one too large for an integer of DCGM is no value.
    pub fn set_int(&mut self, field: Field, value: Option<impl TryInto<i64>>) {
        self.set(field, value.and_then(|value| value.try_into().ok()).map(Value::Int));
    }
}

/// A reading and whose it is.
#[derive(Clone, Debug, PartialEq)]
pub struct Row {
    /// The MIG instance; without one it is the whole GPU.
    pub instance: Option<MigInstance>,
    /// Its values.
    pub reading: Reading,
}

/// Everything read from one GPU at one time.
#[derive(Clone, Debug, PartialEq)]
pub struct GpuReading {
    /// Who it is.
    pub identity: Arc<DeviceIdentity>,
    /// One row for the GPU; in MIG mode one for each GPU instance instead.
    pub rows: Vec<Row>,
    /// The processes on it; none where the driver does not tell.
    pub processes: Vec<Process>,
}

/// How often one XID was seen on one GPU, and when last.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct XidCount {
    /// Events since the collector started.
    pub count: u64,
    /// When the last one came.
    pub last_seen: Timestamp,
}

/// The XIDs of one GPU since the collector started.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct XidHistory {
    /// The one that came last.
    pub last: Option<u64>,
    /// Each that came.
    pub counts: BTreeMap<u64, XidCount>,
}

impl XidHistory {
    /// Counts one event.
    pub fn record(&mut self, xid: u64, now: Timestamp) {
        self.last = Some(xid);
        if self.counts.len() >= XIDS_MAX && !self.counts.contains_key(&xid) {
            return;
        }
        let entry = self.counts.entry(xid).or_insert(XidCount { count: 0, last_seen: now });
        entry.count += 1;
        entry.last_seen = now;
    }
}

/// One GPU in a snapshot.
#[derive(Clone, Debug, PartialEq)]
pub struct GpuState {
    /// Who it is, as it was read last; only the index is known of a GPU that never answered.
    pub identity: Arc<DeviceIdentity>,
    /// What was read in this round; none from a GPU that did not answer in time, or with an error.
    pub rows: Option<Vec<Row>>,
    /// The processes on it, as of this round.
    pub processes: Vec<Process>,
    /// Its XIDs; none where the driver does not report them.
    pub xids: Option<XidHistory>,
}

/// All GPUs of a machine at one time.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Snapshot {
    /// When the round began.
    pub time: Timestamp,
    /// Whether the source of readings is there; none where nobody misses it.
    pub is_source_up: Option<bool>,
    /// The GPUs, by index.
    pub gpus: Vec<GpuState>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_that_is_no_number_is_none() {
        let mut reading = Reading::default();
        reading.set(Field::GrEngineActive, Some(Value::Float(f64::NAN)));
        assert_eq!(reading.get(Field::GrEngineActive), None);
        reading.set_int(Field::TotalEnergy, Some(u64::MAX));
        assert_eq!(reading.get(Field::TotalEnergy), None);
        reading.set_int(Field::TotalEnergy, Some(7_u64));
        assert_eq!(reading.get(Field::TotalEnergy), Some(Value::Int(7)));
    }

    #[test]
    fn xids_are_counted_each_and_bounded() {
        let mut history = XidHistory::default();
        history.record(79, 1);
        history.record(31, 2);
        history.record(79, 3);
        assert_eq!(history.last, Some(79));
        assert_eq!(history.counts[&79], XidCount { count: 2, last_seen: 3 });
        assert_eq!(history.counts[&31], XidCount { count: 1, last_seen: 2 });
        (1_000..3_000).for_each(|xid| history.record(xid, 4));
        assert_eq!((history.counts.len(), history.last), (XIDS_MAX, Some(2_999)));
    }
}
