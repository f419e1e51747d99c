//! Device ids as device plugins write them: NVIDIA's own, EKS' and GKE's, and the DRA driver's device names.
//!
//! Which of them a node uses is told by the id itself, so nothing has to be configured.

/// What an id names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DeviceName {
    /// `GPU-…`, or with an instance `MIG-GPU-…/7/0` as drivers before 470 wrote it.
    Gpu {
        /// The GPU's UUID.
        uuid: String,
        /// Its GPU instance.
        instance: Option<u32>,
    },
    /// `MIG-…`: the driver knows which GPU and instance it is.
    Mig {
        /// The MIG device's UUID.
        uuid: String,
    },
    /// `nvidia0`, `nvidia0/gi3`, or `gpu-0` of a resource claim.
    Index {
        /// Number of the device file, which is taken for the index as the DCGM exporter does.
        index: u32,
        /// The GPU instance.
        instance: Option<u32>,
    },
}

/// A device id, taken apart.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeviceId {
    /// The GPU or instance.
    pub device: DeviceName,
    /// Which share of it, where it is shared: `1` of `GPU-…::1` and of `nvidia0/vgpu1`.
    pub share: Option<String>,
}

impl DeviceId {
    /// Takes an id apart; none where its form is not known.
    pub fn parse(id: &str) -> Option<Self> {
        let (device, share) = split_share(id);
        let share = share.filter(|share| !share.is_empty());
        let is_whole = !device.is_empty() && device.is_ascii();
        let device = Some(device).filter(|_| is_whole).and_then(device_name)?;
        Some(Self { device, share: share.map(str::to_owned) })
    }
}

fn split_share(id: &str) -> (&str, Option<&str>) {
    let parts = id.split_once("::").or_else(|| id.split_once("/vgpu"));
    parts.map_or((id, None), |(device, share)| (device, Some(share)))
}

fn device_name(device: &str) -> Option<DeviceName> {
    if let Some(rest) = device.strip_prefix("MIG-GPU-") {
        let (uuid, instances) = rest.split_once('/')?;
        let instance = number(instances.split('/').next()?)?;
        return Some(DeviceName::Gpu { uuid: format!("GPU-{uuid}"), instance: Some(instance) });
    }
    if device.len() > 4 && device.starts_with("MIG-") {
        return Some(DeviceName::Mig { uuid: device.to_owned() });
    }
    if device.len() > 4 && device.starts_with("GPU-") {
        return Some(DeviceName::Gpu { uuid: device.to_owned(), instance: None });
    }
    if let Some(index) = device.strip_prefix("gpu-") {
        return Some(DeviceName::Index { index: number(index)?, instance: None });
    }
    let rest = device.strip_prefix("nvidia")?;
    match rest.split_once("/gi") {
        Some((index, instance)) => {
            Some(DeviceName::Index { index: number(index)?, instance: Some(number(instance)?) })
        }
        None => Some(DeviceName::Index { index: number(rest)?, instance: None }),
    }
}

/// Digits alone: `parse` takes a sign too.
fn number(text: &str) -> Option<u32> {
    text.bytes().all(|byte| byte.is_ascii_digit()).then(|| text.parse().ok()).flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    const UUID: &str = "b8ea3855-276c-c9cb-b366-c6fa655957c5";

    fn gpu(uuid: &str, instance: Option<u32>) -> DeviceName {
        DeviceName::Gpu { uuid: format!("GPU-{uuid}"), instance }
    }

    fn index(index: u32, instance: Option<u32>) -> DeviceName {
        DeviceName::Index { index, instance }
    }

    #[test]
    fn every_grammar_is_told_by_the_id() {
        let mig = || DeviceName::Mig { uuid: format!("MIG-{UUID}") };
        let table = [
            // NVIDIA's device plugin; with time-slicing or MPS behind `::` the replica.
            (format!("GPU-{UUID}"), gpu(UUID, None), None),
            (format!("GPU-{UUID}::0"), gpu(UUID, None), Some("0")),
            // The same with `mig.strategy` single or mixed, and shared as on EKS.
            (format!("MIG-{UUID}"), mig(), None),
            (format!("MIG-{UUID}::7"), mig(), Some("7")),
            // MIG devices of drivers before 470: GPU, GPU instance, compute instance.
            (format!("MIG-GPU-{UUID}/7/0"), gpu(UUID, Some(7)), None),
            // GKE's device plugin.
            ("nvidia0".to_owned(), index(0, None), None),
            ("nvidia15/gi3".to_owned(), index(15, Some(3)), None),
            ("nvidia0/vgpu1".to_owned(), index(0, None), Some("1")),
            ("nvidia0/gi13/vgpu2".to_owned(), index(0, Some(13)), Some("2")),
            // Device names of the DRA driver.
            ("gpu-3".to_owned(), index(3, None), None),
        ];
        for (id, device, share) in table {
            let expected = DeviceId { device, share: share.map(str::to_owned) };
            assert_eq!(DeviceId::parse(&id), Some(expected), "{id}");
        }
    }

    #[test]
    fn other_forms_are_unknown() {
        let unknown = [
            "",
            "0",
            "GPU-",
            "MIG-",
            "nvidia",
            "nvidia+1",
            "nvidia0/gi",
            "nvidia0/mig3",
            "nvidia99999999999",
            "MIG-GPU-x",
            // A MIG device of the DRA driver: profile and place, which the driver does not tell by.
            "gpu-0-mig-19-0-1",
            "/dev/nvidia0",
            "renderD128",
            "::1",
            "ＧＰＵ-1",
        ];
        for id in unknown {
            assert_eq!(DeviceId::parse(id), None, "{id}");
        }
    }
}
