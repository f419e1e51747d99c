//! The driver, through NVML: `libnvidia-ml.so.1` is loaded when it is there, so one program serves all machines.
//!
//! A call that an old driver does not have, or that a GPU does not support, leaves its field out. Errors that say that
//! the GPU or the driver is gone end the reading.

mod calls;
mod device;
mod events;
mod gpm;
mod mig;
mod processes;
mod raw;

use std::path::PathBuf;
use std::sync::Arc;

use nvml_wrapper::Nvml;
use nvml_wrapper::error::NvmlError;

use super::source::{Device, Source, SourceError, XidEvents};

/// The GPUs of a driver. The library is unloaded when the last user lets go.
pub struct NvmlSource {
    nvml: Nvml,
    has_processes: bool,
}

/// What of the driver is used.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NvmlOptions {
    /// Its library, where it is not the system's.
    pub library: Option<PathBuf>,
    /// Whether the processes on the GPUs are read.
    pub has_processes: bool,
}

impl NvmlSource {
    /// Loads the library and initializes it. Blocks while the driver does.
    pub fn open(options: &NvmlOptions) -> Result<Arc<dyn Source>, SourceError> {
        let mut builder = Nvml::builder();
        if let Some(path) = &options.library {
            builder.lib_path(path.as_os_str());
        }
        let nvml = builder.init().map_err(|error| {
            SourceError::Unavailable(match error {
                NvmlError::LibloadingError(error) => format!("no NVIDIA driver: {error}"),
                NvmlError::FailedToLoadSymbol(symbol) => format!("the NVIDIA driver is too old: {symbol}"),
                other => format!("the NVIDIA driver cannot be used: {other}"),
            })
        })?;
        Ok(Arc::new(Self { nvml, has_processes: options.has_processes }))
    }
}

impl Source for NvmlSource {
    fn description(&self) -> String {
        match self.nvml.sys_driver_version() {
            Ok(version) => format!("the NVIDIA driver {version}"),
            Err(_) => "the NVIDIA driver".to_owned(),
        }
    }

    fn device_count(&self) -> Result<u32, SourceError> {
        self.nvml.device_count().map_err(|error| of_call("nvmlDeviceGetCount", &error))
    }

    fn device(&self, index: u32) -> Result<Box<dyn Device + '_>, SourceError> {
        Ok(Box::new(device::NvmlDevice::open(&self.nvml, index, self.has_processes)?))
    }

    fn xid_events(&self) -> Result<Box<dyn XidEvents + '_>, SourceError> {
        Ok(Box::new(events::NvmlEvents::open(&self.nvml)?))
    }
}

/// What an error of a call means for those above.
fn of_call(call: &str, error: &NvmlError) -> SourceError {
    match error {
        NvmlError::Uninitialized
        | NvmlError::DriverNotLoaded
        | NvmlError::LibRmVersionMismatch
        | NvmlError::LibraryNotFound => SourceError::Unavailable(format!("{call}: {error}")),
        NvmlError::NotSupported | NvmlError::FailedToLoadSymbol(_) | NvmlError::FunctionNotFound => {
            SourceError::Unsupported
        }
        other => SourceError::Device(format!("{call}: {other}")),
    }
}

/// A field's value, or none where it cannot be had. Only errors that end the reading are errors.
fn optional<T>(call: &str, result: Result<T, NvmlError>) -> Result<Option<T>, SourceError> {
    match result {
        Ok(value) => Ok(Some(value)),
        Err(error) => match error {
            NvmlError::GpuLost | NvmlError::ResetRequired => Err(of_call(call, &error)),
            _ => match of_call(call, &error) {
                gone @ SourceError::Unavailable(_) => Err(gone),
                _ => Ok(None),
            },
        },
    }
}
