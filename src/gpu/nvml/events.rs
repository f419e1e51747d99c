//! XIDs, as the driver reports them.

use std::time::Duration;

use nvml_wrapper::bitmasks::event::EventTypes;
use nvml_wrapper::enums::event::XidError;
use nvml_wrapper::error::NvmlError;
use nvml_wrapper::{EventSet, Nvml};

use super::super::source::{SourceError, XidEvent, XidEvents};
use super::{of_call, raw};

/// The number that NVML gives an XID that it does not know.
const XID_UNKNOWN: u64 = 999;

/// The events of all GPUs that report XIDs.
pub(super) struct NvmlEvents<'nvml> {
    set: EventSet<'nvml>,
    /// GPUs by the address of their handle.
    handles: Vec<(usize, u32)>,
    watched: Vec<u32>,
}

impl<'nvml> NvmlEvents<'nvml> {
    pub(super) fn open(nvml: &'nvml Nvml) -> Result<Self, SourceError> {
        let count = nvml.device_count().map_err(|error| of_call("nvmlDeviceGetCount", &error))?;
        let mut reporting: Vec<u32> = (0..count).filter(|index| reports_xids(nvml, *index)).collect();
        // A set that a GPU refused is gone, and with it those registered before: begin again without that GPU.
        loop {
            if reporting.is_empty() {
                return Err(SourceError::Unsupported);
            }
            match Self::register(nvml, &reporting) {
                Ok(events) => return Ok(events),
                Err((Some(index), _)) => reporting.retain(|other| *other != index),
                Err((None, error)) => return Err(of_call("nvmlEventSetCreate", &error)),
            }
        }
    }

    /// The error names the GPU that refused.
    fn register(nvml: &'nvml Nvml, indexes: &[u32]) -> Result<Self, (Option<u32>, NvmlError)> {
        let mut set = nvml.create_event_set().map_err(|error| (None, error))?;
        let mut handles = Vec::new();
        for index in indexes {
            let device = nvml.device_by_index(*index).map_err(|error| (Some(*index), error))?;
            set = device
                .register_events(EventTypes::CRITICAL_XID_ERROR, set)
                .map_err(|error| (Some(*index), error.error))?;
            handles.push((raw::address(&device), *index));
        }
        Ok(Self { set, handles, watched: indexes.to_vec() })
    }
}

fn reports_xids(nvml: &Nvml, index: u32) -> bool {
    nvml.device_by_index(index)
        .and_then(|device| device.supported_event_types())
        .is_ok_and(|types| types.contains(EventTypes::CRITICAL_XID_ERROR))
}

impl XidEvents for NvmlEvents<'_> {
    fn watched(&self) -> &[u32] {
        &self.watched
    }

    fn next(&mut self, timeout: Duration) -> Result<Option<XidEvent>, SourceError> {
        let timeout_ms = u32::try_from(timeout.as_millis()).unwrap_or(u32::MAX);
        let event = match self.set.wait(timeout_ms) {
            Ok(event) => event,
            Err(NvmlError::Timeout) => return Ok(None),
            Err(error) => return Err(of_call("nvmlEventSetWait", &error)),
        };
        let address = raw::address(&event.device);
        let index = self.handles.iter().find(|(known, _)| *known == address).map(|(_, index)| *index);
        let xid = event.event_data.map(|xid| match xid {
            XidError::Value(xid) => xid,
            XidError::Unknown => XID_UNKNOWN,
        });
        Ok(index.zip(xid).map(|(index, xid)| XidEvent { index, xid }))
    }
}
