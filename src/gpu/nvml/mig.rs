//! The MIG devices of a GPU, by the GPU instance that they are in.

use std::collections::BTreeMap;

use nvml_wrapper::{Device as Handle, Nvml};

use super::super::reading::MigInstance;
use super::super::source::SourceError;
use super::{optional, raw};

/// A GPU instance and the MIG devices in it, of which there is at least one.
pub(super) struct Instance<'nvml> {
    pub(super) mig: MigInstance,
    pub(super) devices: Vec<Handle<'nvml>>,
}

/// The instances of a GPU, by their number; none where it is not in MIG mode.
pub(super) fn instances<'nvml>(
    nvml: &'nvml Nvml,
    gpu: &Handle<'nvml>,
) -> Result<Option<Vec<Instance<'nvml>>>, SourceError> {
    let mode = optional("nvmlDeviceGetMigMode", gpu.mig_mode())?;
    // 1 is NVML_DEVICE_MIG_ENABLE.
    if mode.is_none_or(|mode| mode.current != 1) {
        return Ok(None);
    }
    let count = optional("nvmlDeviceGetMaxMigDeviceCount", gpu.mig_device_count())?.unwrap_or(0);
    let mut instances = BTreeMap::new();
    for index in 0..count {
        let handle = gpu.mig_device_by_index(index);
        let Some(handle) = optional("nvmlDeviceGetMigDeviceHandleByIndex", handle)? else { continue };
        let id = raw::gpu_instance_id(nvml, &handle);
        let Some(id) = optional("nvmlDeviceGetGpuInstanceId", id)? else { continue };
        let uuid = optional("nvmlDeviceGetUUID", handle.uuid())?;
        let instance = match instances.entry(id) {
            std::collections::btree_map::Entry::Occupied(known) => known.into_mut(),
            // The first compute instance names those that share a GPU instance.
            std::collections::btree_map::Entry::Vacant(new) => {
                let profile = profile(&handle)?;
                let mig = MigInstance { profile, gpu_instance_id: id, uuids: Vec::new() };
                new.insert(Instance { mig, devices: Vec::new() })
            }
        };
        instance.mig.uuids.extend(uuid);
        instance.devices.push(handle);
    }
    Ok(Some(instances.into_values().collect()))
}

/// The name of a MIG device ends with its profile: `NVIDIA H100 80GB HBM3 MIG 1c.3g.40gb` has a compute instance of a
/// GPU instance `3g.40gb`.
fn profile(handle: &Handle<'_>) -> Result<String, SourceError> {
    let name = optional("nvmlDeviceGetName", handle.name())?.unwrap_or_default();
    Ok(profile_of_name(&name).to_owned())
}

fn profile_of_name(name: &str) -> &str {
    let profile = name.rsplit_once("MIG ").map_or("", |(_, profile)| profile);
    match profile.split_once("c.") {
        Some((slices, rest)) if slices.bytes().all(|byte| byte.is_ascii_digit()) => rest,
        _ => profile,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn profiles_are_those_of_gpu_instances() {
        assert_eq!(profile_of_name("NVIDIA H100 80GB HBM3 MIG 1g.10gb"), "1g.10gb");
        assert_eq!(profile_of_name("NVIDIA A100-SXM4-40GB MIG 1c.3g.20gb"), "3g.20gb");
        assert_eq!(profile_of_name("NVIDIA A100 MIG 1g.5gb+me"), "1g.5gb+me");
        assert_eq!(profile_of_name("NVIDIA H100 80GB HBM3"), "");
    }
}
