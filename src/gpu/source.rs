//! The seam: where GPUs are read from. A driver is one such place, a simulated fleet another.

use std::time::Duration;

use super::fields::FieldSet;
use super::reading::GpuReading;

/// Why something was not read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SourceError {
    /// There is no driver, it does not let us in, or it has gone away. Opening it again may help.
    #[error("{0}")]
    Unavailable(String),
    /// One GPU does not answer as it should.
    #[error("{0}")]
    Device(String),
    /// This driver or GPU does not have it.
    #[error("not supported")]
    Unsupported,
}

/// A machine's GPUs. Each is read from a thread of its own, so that one that hangs holds up nothing else, unless nothing
/// ever does.
pub trait Source: Send + Sync {
    /// What it is, as a log says it: "the NVIDIA driver 550.54.15".
    fn description(&self) -> String;

    /// How many GPUs there are.
    fn device_count(&self) -> Result<u32, SourceError>;

    /// Takes hold of a GPU. Blocks while the driver does.
    fn device(&self, index: u32) -> Result<Box<dyn Device + '_>, SourceError>;

    /// Whether nothing of it ever blocks. Then its GPUs are read one after the other by whoever asks, and XIDs are asked
    /// for in each round, so that it takes no thread of its own.
    fn is_quick(&self) -> bool {
        false
    }

    /// Begins to listen for XIDs of all GPUs.
    fn xid_events(&self) -> Result<Box<dyn XidEvents + '_>, SourceError>;
}

/// One GPU, used by one thread.
pub trait Device {
    /// Reads the wanted fields. `now_us`: the time in microseconds, which rates are measured by. Blocks while the driver
    /// does. After an error the GPU is taken hold of again.
    fn read(&mut self, now_us: i64, wanted: FieldSet) -> Result<GpuReading, SourceError>;
}

/// One XID of one GPU.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct XidEvent {
    /// Index of the GPU.
    pub index: u32,
    /// The error's number.
    pub xid: u64,
}

/// XIDs as they come, used by one thread.
pub trait XidEvents {
    /// Indexes of the GPUs that report them.
    fn watched(&self) -> &[u32];

    /// Waits for the next one; none came within `timeout`, or it was another GPU's.
    fn next(&mut self, timeout: Duration) -> Result<Option<XidEvent>, SourceError>;
}
