//! NVIDIA GPUs: what their driver tells, under the names of the DCGM exporter.
//!
//! A [`Collector`] reads a [`Source`] in rounds: the driver through NVML ([`NvmlSource`]), or a [`Simulation`]. Each GPU has a
//! thread and each round a deadline, so a call that hangs in the driver makes one GPU stale and holds up nothing else;
//! XIDs are counted as they come. Where there is no driver, or none any more, it says so once and tries again.
//! A [`Snapshot`] holds what all GPUs of a machine said at one time; [`Families`] gives it names, labels and text.
//! The list of fields, with what each is read from and which GPUs have it, is in [`fields`].

pub mod fields;
pub mod users;

mod collector;
mod counters;
mod families;
mod fleet;
mod namer;
mod naming;
mod nvml;
mod plain;
mod rate;
mod reading;
mod simulate;
mod source;
mod store;
mod windows;
mod workload;
mod xid;
mod xids;

pub use collector::{Collector, CollectorOptions, Machine, Open, Rounds};
pub use counters::{Counter, Counters, CountersError, DerivedCounter, Note};
pub use families::{Base, Families, Family, Pairs, Sample};
pub use fields::{Field, FieldInfo, FieldSet};
pub use namer::Namer;
pub use naming::{Names, Naming};
pub use nvml::{NvmlOptions, NvmlSource};
pub use reading::{
    DeviceIdentity, GpuReading, GpuState, MigInstance, Reading, Row, Snapshot, Value, XidCount, XidHistory,
};
pub use simulate::{Model, SimulatedNode, Simulation};
pub use source::{Device, Source, SourceError, XidEvent, XidEvents};
pub use store::SeriesWriter;
pub use windows::{Derived, WindowLengths};
pub use workload::{Grant, Process, Workload, Workloads};
pub use xid::xid_message;
