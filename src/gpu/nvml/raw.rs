//! The few calls of NVML that its wrapper does not have. Safe from outside.
#![expect(unsafe_code, reason = "these calls of NVML have no safe wrapper")]

use nvml_wrapper::error::{NvmlError, nvml_sym, nvml_try};
use nvml_wrapper::{Device, Nvml};
use nvml_wrapper_sys::bindings::{
    nvmlFieldValue_t, nvmlGridLicensableFeatures_t,
    nvmlGridLicenseFeatureCode_t_NVML_GRID_LICENSE_FEATURE_CODE_VGPU, nvmlMarginTemperature_t, nvmlMemory_t,
    nvmlValueType_enum_NVML_VALUE_TYPE_UNSIGNED_LONG_LONG,
};

/// Scope of a field value that means all links together.
const ALL_LINKS: u32 = u32::MAX;

/// Whose counter is asked for.
#[derive(Clone, Copy, Debug)]
pub(super) enum LinkScope {
    /// All links of the GPU together.
    All,
    /// One of them.
    One(u32),
}

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

/// `nvmlDeviceGetFieldValues` of one counter of NVLinks.
pub(super) fn link_count(
    nvml: &Nvml,
    device: &Device<'_>,
    links: LinkScope,
    field_id: u32,
) -> Result<u64, NvmlError> {
    let call = nvml_sym(nvml.lib().nvmlDeviceGetFieldValues.as_ref())?;
    // SAFETY: all zeros are valid for this struct of integers and a union of numbers.
    let mut field: nvmlFieldValue_t = unsafe { std::mem::zeroed() };
    field.fieldId = field_id;
    field.scopeId = match links {
        LinkScope::All => ALL_LINKS,
        LinkScope::One(link) => link,
    };
    // SAFETY: the handle belongs to `nvml`, which is borrowed, and one value is passed, as the count says.
    nvml_try(unsafe { call(device.handle(), 1, &raw mut field) })?;
    nvml_try(field.nvmlReturn)?;
    if field.valueType != nvmlValueType_enum_NVML_VALUE_TYPE_UNSIGNED_LONG_LONG {
        return Err(NvmlError::UnexpectedVariant(field.valueType));
    }
    // SAFETY: the type says which member the driver wrote, and all bits are valid for it.
    Ok(unsafe { field.value.ullVal })
}

/// `nvmlDeviceGetCurrentClocksEventReasons`, or what it was called before: bits of reasons.
pub(super) fn clocks_event_reasons(nvml: &Nvml, device: &Device<'_>) -> Result<u64, NvmlError> {
    let lib = nvml.lib();
    let call = match lib.nvmlDeviceGetCurrentClocksEventReasons.as_ref() {
        Ok(call) => call,
        Err(_) => nvml_sym(lib.nvmlDeviceGetCurrentClocksThrottleReasons.as_ref())?,
    };
    let mut reasons = 0;
    // SAFETY: the handle belongs to `nvml`, which is borrowed, and both symbols write one unsigned long long.
    nvml_try(unsafe { call(device.handle(), &raw mut reasons) })?;
    Ok(reasons)
}

/// `nvmlDeviceGetMarginTemperature`: degrees Celsius that are left.
pub(super) fn margin_temperature(nvml: &Nvml, device: &Device<'_>) -> Result<i32, NvmlError> {
    let call = nvml_sym(nvml.lib().nvmlDeviceGetMarginTemperature.as_ref())?;
    let version = size_of::<nvmlMarginTemperature_t>() as u32 | 1 << 24;
    let mut margin = nvmlMarginTemperature_t { version, marginTemperature: 0 };
    // SAFETY: the handle belongs to `nvml`, which is borrowed, and the struct says its version.
    nvml_try(unsafe { call(device.handle(), &raw mut margin) })?;
    Ok(margin.marginTemperature)
}

/// `nvmlDeviceGetGridLicensableFeatures_v4`: whether the licence of a vGPU is in force; it is not where there is none.
pub(super) fn is_vgpu_licensed(nvml: &Nvml, device: &Device<'_>) -> Result<bool, NvmlError> {
    let call = nvml_sym(nvml.lib().nvmlDeviceGetGridLicensableFeatures_v4.as_ref())?;
    // SAFETY: all zeros are valid for these structs of numbers and texts.
    let mut features: nvmlGridLicensableFeatures_t = unsafe { std::mem::zeroed() };
    // SAFETY: the handle belongs to `nvml`, which is borrowed, and the struct is the one that the symbol takes.
    nvml_try(unsafe { call(device.handle(), &raw mut features) })?;
    let count = usize::try_from(features.licensableFeaturesCount).unwrap_or(usize::MAX);
    let vgpu = features.gridLicensableFeatures.iter().take(count).find(|feature| {
        feature.featureCode == nvmlGridLicenseFeatureCode_t_NVML_GRID_LICENSE_FEATURE_CODE_VGPU
    });
    Ok(features.isGridLicenseSupported != 0 && vgpu.is_some_and(|feature| feature.featureState > 0))
}

/// Address of a device's handle, to know it again; it is not used to reach anything.
pub(super) fn address(device: &Device<'_>) -> usize {
    // SAFETY: the handle is only made a number.
    unsafe { device.handle() }.addr()
}
