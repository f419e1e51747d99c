//! NVIDIA GPUs: what their driver tells, under the names of the DCGM exporter.
//!
//! A [`Snapshot`] holds what all GPUs of a machine said at one time; [`Families`] gives it names, labels and text.
//! The list of fields, with what each is read from and which GPUs have it, is in [`fields`].

pub mod fields;

mod counters;
mod families;
mod reading;
mod xid;

pub use counters::{Counter, Counters, CountersError};
pub use families::{Families, Family, Naming, Pairs, Sample};
pub use fields::{Field, FieldInfo, FieldSet};
pub use reading::{
    DeviceIdentity, GpuReading, GpuState, MigInstance, Reading, Row, Snapshot, Value, XidCount, XidHistory,
};
pub use xid::xid_message;
