//! One GPU: who it is, and its values call by call.

use std::collections::BTreeMap;
use std::sync::Arc;

use nvml_wrapper::enum_wrappers::device::InfoRom;
use nvml_wrapper::enums::device::SampleValue;
use nvml_wrapper::error::NvmlError;
use nvml_wrapper::structs::device::FieldId;
use nvml_wrapper::{Device as Handle, Nvml};

use super::super::fields::{Field, FieldInfo, FieldSet, Origin, Unit};
use super::super::rate::Rate;
use super::super::reading::{DeviceIdentity, GpuReading, Reading, Row, Value};
use super::super::source::{Device, SourceError};
use super::super::workload::Process;
use super::calls::read_calls;
use super::gpm::{GpmWindow, Scope, wants_gpm};
use super::mig::{Instance, instances};
use super::processes::{Processes, of_mig_device};
use super::{of_call, optional, raw};

/// Fields of NVML that have the bytes that went over PCIe, for GPUs without performance monitoring.
const PCIE_TX: FieldId = FieldId(197);
const PCIE_RX: FieldId = FieldId(198);
/// KiB of payload that went over NVLink.
const NVLINK_TX: u32 = 138;
const NVLINK_RX: u32 = 139;
const MEBIBYTE: u64 = 1 << 20;

/// A GPU, and what was read of it before.
pub(super) struct NvmlDevice<'nvml> {
    nvml: &'nvml Nvml,
    handle: Handle<'nvml>,
    identity: Arc<DeviceIdentity>,
    has_gpm: bool,
    /// Whether it was said that performance monitoring is not permitted.
    said_denied: bool,
    windows: Vec<GpmWindow<'nvml>>,
    nvlink: Rate,
    nvlink_first: Rate,
    pcie_tx: Rate,
    pcie_rx: Rate,
    /// None where nobody asked for processes.
    processes: Option<Processes>,
}

impl<'nvml> NvmlDevice<'nvml> {
    pub(super) fn open(nvml: &'nvml Nvml, index: u32, has_processes: bool) -> Result<Self, SourceError> {
        let handle = nvml.device_by_index(index).map_err(|e| of_call("nvmlDeviceGetHandleByIndex", &e))?;
        let identity = Arc::new(identity(nvml, &handle, index)?);
        let has_gpm = optional("nvmlGpmQueryDeviceSupport", handle.gpm_support())?.unwrap_or(false);
        let (nvlink, nvlink_first, pcie_tx, pcie_rx) = Default::default();
        Ok(Self {
            nvml,
            handle,
            identity,
            has_gpm,
            said_denied: false,
            windows: Vec::new(),
            nvlink,
            nvlink_first,
            pcie_tx,
            pcie_rx,
            processes: has_processes.then(Processes::default),
        })
    }

    fn read_processes(&mut self, instances: Option<&[Instance<'nvml>]>) -> Result<Vec<Process>, SourceError> {
        let Some(processes) = &mut self.processes else { return Ok(Vec::new()) };
        let Some(instances) = instances else { return processes.of_gpu(&self.handle) };
        let mut all = Vec::new();
        for instance in instances {
            for device in &instance.devices {
                all.extend(of_mig_device(device, instance.mig.gpu_instance_id)?);
            }
        }
        Ok(all)
    }

    /// The values of the GPU as a whole.
    fn read_gpu(&mut self, now_us: i64, wanted: FieldSet) -> Result<Reading, SourceError> {
        let mut reading = Reading::default();
        read_calls(self.nvml, &self.handle, wanted, &mut reading)?;
        self.read_field_values(wanted, &mut reading)?;
        self.read_nvlink(now_us, wanted, &mut reading)?;
        Ok(reading)
    }

    /// All fields that are one number of `nvmlDeviceGetFieldValues`, with one call.
    fn read_field_values(&self, wanted: FieldSet, reading: &mut Reading) -> Result<(), SourceError> {
        let (infos, ids): (Vec<&FieldInfo>, Vec<FieldId>) = wanted
            .infos()
            .filter_map(|info| match info.origin {
                Origin::FieldValue(id) => Some((info, FieldId(id))),
                _ => None,
            })
            .unzip();
        if ids.is_empty() {
            return Ok(());
        }
        for (info, value) in infos.into_iter().zip(self.field_values(&ids)?) {
            match info.unit {
                Unit::MilliwattsToWatts => {
                    reading.set(info.field, value.map(|value| Value::Float(value as f64 / 1_000.0)));
                }
                _ => reading.set_int(info.field, value),
            }
        }
        Ok(())
    }

    fn field_values(&self, ids: &[FieldId]) -> Result<Vec<Option<u64>>, SourceError> {
        let call = "nvmlDeviceGetFieldValues";
        let Some(samples) = optional(call, self.handle.field_values_for(ids))? else {
            return Ok(vec![None; ids.len()]);
        };
        samples
            .into_iter()
            .map(|sample| optional(call, sample.and_then(|sample| sample.value)).map(whole))
            .collect()
    }

    fn read_nvlink(
        &mut self,
        now_us: i64,
        wanted: FieldSet,
        reading: &mut Reading,
    ) -> Result<(), SourceError> {
        if wanted.has(Field::NvLinkBandwidthL0) {
            let counts = self.nvlink_counts(raw::LinkScope::One(0))?;
            let rate = counts.and_then(|(sent, received)| {
                self.nvlink_first.advance(now_us, sent.saturating_add(received))
            });
            reading.set(Field::NvLinkBandwidthL0, rate.map(megabytes));
        }
        let fields = [Field::NvLinkBandwidth, Field::NvLinkTransmit, Field::NvLinkReceive];
        if !fields.iter().any(|field| wanted.has(*field)) {
            return Ok(());
        }
        let Some((sent, received)) = self.nvlink_counts(raw::LinkScope::All)? else { return Ok(()) };
        let rate = self.nvlink.advance(now_us, sent.saturating_add(received));
        reading.set(Field::NvLinkBandwidth, rate.map(megabytes));
        reading.set_int(Field::NvLinkTransmit, sent.checked_mul(1024));
        reading.set_int(Field::NvLinkReceive, received.checked_mul(1024));
        Ok(())
    }

    /// KiB sent and received.
    fn nvlink_counts(&self, links: raw::LinkScope) -> Result<Option<(u64, u64)>, SourceError> {
        let call = "nvmlDeviceGetFieldValues";
        let sent = optional(call, raw::link_count(self.nvml, &self.handle, links, NVLINK_TX))?;
        let received = optional(call, raw::link_count(self.nvml, &self.handle, links, NVLINK_RX))?;
        Ok(sent.zip(received))
    }

    /// PCIe rates of GPUs without performance monitoring.
    fn read_pcie(&mut self, now_us: i64, wanted: FieldSet, reading: &mut Reading) -> Result<(), SourceError> {
        if !wanted.has(Field::PcieTx) && !wanted.has(Field::PcieRx) {
            return Ok(());
        }
        let counts = self.field_values(&[PCIE_TX, PCIE_RX])?;
        let rates = [(Field::PcieTx, &mut self.pcie_tx), (Field::PcieRx, &mut self.pcie_rx)];
        for ((field, rate), count) in rates.into_iter().zip(counts) {
            let value = count.and_then(|count| rate.advance(now_us, count));
            reading.set(field, value.map(|value| Value::Int(value as i64)));
        }
        Ok(())
    }

    fn read_gpm(
        &mut self,
        scope: Scope,
        now_us: i64,
        wanted: FieldSet,
        reading: &mut Reading,
    ) -> Result<(), SourceError> {
        if !self.has_gpm || !wants_gpm(wanted) {
            return Ok(());
        }
        let place = self.windows.iter().position(|window| window.scope == scope).unwrap_or_else(|| {
            self.windows.push(GpmWindow::new(scope));
            self.windows.len() - 1
        });
        let read = self.windows[place].read(self.nvml, &self.handle, now_us, wanted, reading);
        if matches!(read, Err(NvmlError::NoPermission)) && !self.said_denied {
            self.said_denied = true;
            let gpu = self.identity.index;
            tracing::warn!(
                gpu,
                "no DCGM_FI_PROF_* is read: the driver does not permit performance monitoring"
            );
        }
        optional("nvmlGpmSampleGet", read).map(drop)
    }

    fn read_instances(
        &mut self,
        instances: Vec<Instance<'nvml>>,
        now_us: i64,
        wanted: FieldSet,
        gpu: &Reading,
    ) -> Result<Vec<Row>, SourceError> {
        let scopes: Vec<_> =
            instances.iter().map(|instance| Scope::Instance(instance.mig.gpu_instance_id)).collect();
        self.windows.retain(|window| scopes.contains(&window.scope));
        let mut rows = Vec::with_capacity(instances.len());
        for (Instance { mig, devices }, scope) in instances.into_iter().zip(scopes) {
            let mut reading = gpu.clone();
            read_memory(self.nvml, &devices[0], &mut reading)?;
            self.read_gpm(scope, now_us, wanted, &mut reading)?;
            rows.push(Row { instance: Some(mig), reading });
        }
        Ok(rows)
    }
}

impl Device for NvmlDevice<'_> {
    fn read(&mut self, now_us: i64, wanted: FieldSet) -> Result<GpuReading, SourceError> {
        let mut reading = self.read_gpu(now_us, wanted)?;
        let instances = instances(self.nvml, &self.handle)?;
        let processes = self.read_processes(instances.as_deref())?;
        let rows = match instances {
            // What is the GPU's alone, such as its clocks, is shown with each of its instances, as DCGM does.
            Some(instances) if !instances.is_empty() => {
                self.read_instances(instances, now_us, wanted, &reading)?
            }
            _ => {
                read_memory(self.nvml, &self.handle, &mut reading)?;
                match self.has_gpm {
                    true => self.read_gpm(Scope::Gpu, now_us, wanted, &mut reading)?,
                    false => self.read_pcie(now_us, wanted, &mut reading)?,
                }
                vec![Row { instance: None, reading }]
            }
        };
        Ok(GpuReading { identity: Arc::clone(&self.identity), rows, processes })
    }
}

fn identity(nvml: &Nvml, handle: &Handle<'_>, index: u32) -> Result<DeviceIdentity, SourceError> {
    let mut texts = BTreeMap::new();
    let mut add = |field: Field, call: &str, text: Result<String, NvmlError>| {
        let text = optional(call, text)?.filter(|text| !text.is_empty());
        texts.extend(text.map(|text| (field.info().name, text)));
        Ok::<_, SourceError>(())
    };
    add(Field::DriverVersion, "nvmlSystemGetDriverVersion", nvml.sys_driver_version())?;
    add(Field::NvmlVersion, "nvmlSystemGetNVMLVersion", nvml.sys_nvml_version())?;
    add(Field::Brand, "nvmlDeviceGetBrand", handle.brand().map(|brand| format!("{brand:?}")))?;
    add(Field::Serial, "nvmlDeviceGetSerial", handle.serial())?;
    add(Field::OemInforomVersion, "nvmlDeviceGetInforomVersion", handle.info_rom_version(InfoRom::OEM))?;
    add(Field::EccInforomVersion, "nvmlDeviceGetInforomVersion", handle.info_rom_version(InfoRom::ECC))?;
    add(Field::PowerInforomVersion, "nvmlDeviceGetInforomVersion", handle.info_rom_version(InfoRom::Power))?;
    add(Field::InforomImageVersion, "nvmlDeviceGetInforomImageVersion", handle.info_rom_image_version())?;
    add(Field::VbiosVersion, "nvmlDeviceGetVbiosVersion", handle.vbios_version())?;
    Ok(DeviceIdentity {
        index,
        uuid: handle.uuid().map_err(|error| of_call("nvmlDeviceGetUUID", &error))?,
        pci_bus_id: optional("nvmlDeviceGetPciInfo", handle.pci_info())?
            .map(|pci| pci.bus_id)
            .unwrap_or_default(),
        model_name: optional("nvmlDeviceGetName", handle.name())?.unwrap_or_default(),
        texts,
    })
}

/// Old drivers have the first form only, which does not tell what is reserved.
fn read_memory(nvml: &Nvml, handle: &Handle<'_>, reading: &mut Reading) -> Result<(), SourceError> {
    let (mut total, mut free, mut used, mut reserved) = (None, None, None, None);
    if let Some(memory) = optional("nvmlDeviceGetMemoryInfo_v2", handle.memory_info())? {
        (total, free) = (Some(memory.total), Some(memory.free));
        (used, reserved) = (Some(memory.used), Some(memory.reserved));
    } else if let Some(memory) = optional("nvmlDeviceGetMemoryInfo", raw::memory_v1(nvml, handle))? {
        (total, free, used) = (Some(memory.total), Some(memory.free), Some(memory.used));
    }
    let fields = [
        (Field::FbTotal, total),
        (Field::FbFree, free),
        (Field::FbUsed, used),
        (Field::FbReserved, reserved),
    ];
    for (field, bytes) in fields {
        reading.set_int(field, bytes.map(|bytes| bytes / MEBIBYTE));
    }
    let usable = total.map(|total| total.saturating_sub(reserved.unwrap_or(0))).filter(|usable| *usable > 0);
    let ratio = used.zip(usable).map(|(used, usable)| Value::Float(used as f64 / usable as f64));
    reading.set(Field::FbUsedPercent, ratio);
    Ok(())
}

/// What DCGM makes of KiB per second.
fn megabytes(rate: f64) -> Value {
    Value::Int((rate / 1_000.0) as i64)
}

fn whole(value: Option<SampleValue>) -> Option<u64> {
    match value? {
        SampleValue::U32(value) => Some(u64::from(value)),
        SampleValue::U64(value) => Some(value),
        SampleValue::I64(value) => u64::try_from(value).ok(),
        SampleValue::F64(value) => (value >= 0.0).then_some(value as u64),
    }
}
