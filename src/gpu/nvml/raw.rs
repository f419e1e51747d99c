//! The few calls of NVML that its wrapper does not have. Safe from outside.
#![expect(unsafe_code, reason = "these calls of NVML have no safe wrapper")]

use nvml_wrapper::error::{NvmlError, nvml_sym, nvml_try};
use nvml_wrapper::{Device, Nvml};
use nvml_wrapper_sys::bindings::{
    nvmlFieldValue_t, nvmlMemory_t, nvmlValueType_enum_NVML_VALUE_TYPE_UNSIGNED_LONG_LONG,
};

/// Scope of a field value that means all links together.
const ALL_LINKS: u32 = u32::MAX;

/// Free, used and total bytes as drivers before 510 tell them: what is reserved counts as used.
pub(super) struct MemoryV1 {
    pub(super) total: u64,
    pub(super) free: u64,
    pub(super) used: u64,
}

/// `nvmlDeviceGetMemoryInfo`.
pub(super) fn memory_v1(nvml: &Nvml, device: &Device<'_>) -> Result<MemoryV1, NvmlError> {
    let call = nvml_sym(nvml.lib().nvmlDeviceGetMemoryInfo.as_ref())?;
    let mut memory = nvmlMemory_t { total: 0, free: 0, used: 0 };
    // SAFETY: the handle belongs to `nvml`, which is borrowed, and the struct is the one that the symbol takes.
    nvml_try(unsafe { call(device.handle(), &raw mut memory) })?;
    Ok(MemoryV1 { total: memory.total, free: memory.free, used: memory.used })
}

/// `nvmlDeviceGetGpuInstanceId` of a MIG device.
pub(super) fn gpu_instance_id(nvml: &Nvml, device: &Device<'_>) -> Result<u32, NvmlError> {
    let call = nvml_sym(nvml.lib().nvmlDeviceGetGpuInstanceId.as_ref())?;
    let mut id = 0;
    // SAFETY: the handle belongs to `nvml`, which is borrowed, and the symbol writes one unsigned int.
    nvml_try(unsafe { call(device.handle(), &raw mut id) })?;
    Ok(id)
}

/// `nvmlDeviceGetFieldValues` of one counter, over all NVLinks of the GPU.
pub(super) fn all_links(nvml: &Nvml, device: &Device<'_>, field_id: u32) -> Result<u64, NvmlError> {
    let call = nvml_sym(nvml.lib().nvmlDeviceGetFieldValues.as_ref())?;
    // SAFETY: all zeros are valid for this struct of integers and a union of numbers.
    let mut field: nvmlFieldValue_t = unsafe { std::mem::zeroed() };
    field.fieldId = field_id;
    field.scopeId = ALL_LINKS;
    // SAFETY: the handle belongs to `nvml`, which is borrowed, and one value is passed, as the count says.
    nvml_try(unsafe { call(device.handle(), 1, &raw mut field) })?;
    nvml_try(field.nvmlReturn)?;
    if field.valueType != nvmlValueType_enum_NVML_VALUE_TYPE_UNSIGNED_LONG_LONG {
        return Err(NvmlError::UnexpectedVariant(field.valueType));
    }
    // SAFETY: the type says which member the driver wrote, and all bits are valid for it.
    Ok(unsafe { field.value.ullVal })
}

/// Address of a device's handle, to know it again; it is not used to reach anything.
pub(super) fn address(device: &Device<'_>) -> usize {
    // SAFETY: the handle is only made a number.
    unsafe { device.handle() }.addr()
}
