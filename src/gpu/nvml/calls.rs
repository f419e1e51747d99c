//! Fields that have a call of their own.

use nvml_wrapper::enum_wrappers::device::{Clock, ComputeMode, TemperatureSensor, TemperatureThreshold};
use nvml_wrapper::error::NvmlError;
use nvml_wrapper::{Device, Nvml};

use super::super::fields::{Field, FieldSet, Origin};
use super::super::reading::{Reading, Value};
use super::super::source::SourceError;
use super::{optional, raw};

/// What a call answers: none where it is no call of this place.
type Answer = Option<Result<Value, NvmlError>>;

/// Reads those of the wanted fields that are a call each.
pub(super) fn read_calls(
    nvml: &Nvml,
    handle: &Device<'_>,
    wanted: FieldSet,
    reading: &mut Reading,
) -> Result<(), SourceError> {
    for info in wanted.infos() {
        let Origin::Call(call) = info.origin else { continue };
        let answer = of_now(handle, info.field)
            .or_else(|| of_limits(handle, info.field))
            .or_else(|| of_state(nvml, handle, info.field));
        if let Some(answer) = answer {
            reading.set(info.field, optional(call, answer)?);
        }
    }
    read_utilization(handle, wanted, reading)
}

/// One call for both, and one moment.
fn read_utilization(handle: &Device<'_>, wanted: FieldSet, reading: &mut Reading) -> Result<(), SourceError> {
    if wanted.has(Field::GpuUtil) || wanted.has(Field::MemCopyUtil) {
        let rates = optional("nvmlDeviceGetUtilizationRates", handle.utilization_rates())?;
        reading.set_int(Field::GpuUtil, rates.as_ref().map(|rates| rates.gpu));
        reading.set_int(Field::MemCopyUtil, rates.as_ref().map(|rates| rates.memory));
    }
    Ok(())
}

/// What changes with the load.
fn of_now(handle: &Device<'_>, field: Field) -> Answer {
    Some(match field {
        Field::SmClock => int(handle.clock_info(Clock::SM)),
        Field::MemClock => int(handle.clock_info(Clock::Memory)),
        Field::VideoClock => int(handle.clock_info(Clock::Video)),
        Field::GpuTemp => int(handle.temperature(TemperatureSensor::Gpu)),
        Field::PowerUsage => watts(handle.power_usage()),
        Field::TotalEnergy => {
            handle.total_energy_consumption().map(|energy| Value::Int(energy.cast_signed()))
        }
        Field::Pstate => int(handle.performance_state().map(|state| state.as_c())),
        Field::FanSpeed => int(handle.fan_speed(0)),
        Field::PcieReplay => int(handle.pcie_replay_counter()),
        Field::PcieLinkGen => int(handle.current_pcie_link_gen()),
        Field::PcieLinkWidth => int(handle.current_pcie_link_width()),
        Field::EncUtil => int(handle.encoder_utilization().map(|info| info.utilization)),
        Field::DecUtil => int(handle.decoder_utilization().map(|info| info.utilization)),
        Field::Bar1Total => mebibytes(handle.bar1_memory_info().map(|memory| memory.total)),
        Field::Bar1Used => mebibytes(handle.bar1_memory_info().map(|memory| memory.used)),
        Field::Bar1Free => mebibytes(handle.bar1_memory_info().map(|memory| memory.free)),
        _ => return None,
    })
}

/// What the GPU may do at most.
fn of_limits(handle: &Device<'_>, field: Field) -> Answer {
    let threshold = |which| int(handle.temperature_threshold(which));
    let constraints = || handle.power_management_limit_constraints();
    Some(match field {
        Field::AppSmClock => int(handle.applications_clock(Clock::SM)),
        Field::AppMemClock => int(handle.applications_clock(Clock::Memory)),
        Field::MaxSmClock => int(handle.max_clock_info(Clock::SM)),
        Field::MaxMemClock => int(handle.max_clock_info(Clock::Memory)),
        Field::MaxVideoClock => int(handle.max_clock_info(Clock::Video)),
        Field::MemMaxOpTemp => threshold(TemperatureThreshold::MemoryMax),
        Field::GpuMaxOpTemp => threshold(TemperatureThreshold::GpuMax),
        Field::SlowdownTemp => threshold(TemperatureThreshold::Slowdown),
        Field::ShutdownTemp => threshold(TemperatureThreshold::Shutdown),
        Field::PowerLimit => watts(handle.power_management_limit()),
        Field::PowerLimitMin => watts(constraints().map(|limits| limits.min_limit)),
        Field::PowerLimitMax => watts(constraints().map(|limits| limits.max_limit)),
        Field::PowerLimitDefault => watts(handle.power_management_limit_default()),
        Field::EnforcedPowerLimit => watts(handle.enforced_power_limit()),
        Field::PcieMaxLinkGen => int(handle.max_pcie_link_gen()),
        Field::PcieMaxLinkWidth => int(handle.max_pcie_link_width()),
        _ => return None,
    })
}

/// How the GPU is set up, and what its wrapper does not know of.
fn of_state(nvml: &Nvml, handle: &Device<'_>, field: Field) -> Answer {
    Some(match field {
        Field::ComputeMode => int(handle.compute_mode().map(compute_mode)),
        Field::PersistenceMode => int(handle.is_in_persistent_mode().map(u32::from)),
        Field::MigMode => int(handle.mig_mode().map(|mode| mode.current)),
        Field::GpmSupport => int(handle.gpm_support().map(u32::from)),
        Field::EccCurrent => int(handle.is_ecc_enabled().map(|ecc| u32::from(ecc.currently_enabled))),
        Field::EccPending => int(handle.is_ecc_enabled().map(|ecc| u32::from(ecc.pending_enabled))),
        Field::ClocksEventReasons => {
            raw::clocks_event_reasons(nvml, handle).map(|reasons| Value::Int(reasons.cast_signed()))
        }
        Field::GpuTempLimit => raw::margin_temperature(nvml, handle).map(|margin| Value::Int(margin.into())),
        Field::VgpuLicenseStatus => int(raw::is_vgpu_licensed(nvml, handle).map(u32::from)),
        _ => return None,
    })
}

/// DCGM counts the modes in its own order, without the one that NVML no longer has.
fn compute_mode(mode: ComputeMode) -> u32 {
    match mode {
        ComputeMode::Default => 0,
        ComputeMode::Prohibited | ComputeMode::ExclusiveThread => 1,
        ComputeMode::ExclusiveProcess => 2,
    }
}

fn int(value: Result<u32, NvmlError>) -> Result<Value, NvmlError> {
    value.map(|value| Value::Int(value.into()))
}

fn watts(milliwatts: Result<u32, NvmlError>) -> Result<Value, NvmlError> {
    milliwatts.map(|milliwatts| Value::Float(f64::from(milliwatts) / 1_000.0))
}

fn mebibytes(bytes: Result<u64, NvmlError>) -> Result<Value, NvmlError> {
    bytes.map(|bytes| Value::Int((bytes >> 20).cast_signed()))
}
