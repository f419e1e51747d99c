//! The kubelet's answer to `v1.PodResourcesLister/List`: which devices which containers were given.
//!
//! Only what names a device of ours is kept, so an answer's size in memory is bounded by its grants.

use std::sync::Arc;

use super::super::workload::{Grant, Workload};
use crate::ingest::protobuf::{ProtobufError, Reader};

/// Most grants that are kept: a node has at most 110 to 512 pods, and a GPU at most some dozens of shares.
const GRANTS_MAX: usize = 16_384;
/// Longest name that is taken; Kubernetes' longest has 253 bytes.
const NAME_BYTES_MAX: usize = 1_024;

const GPU: &str = "nvidia.com/gpu";
const MIG_PREFIX: &str = "nvidia.com/mig-";
/// The DRA driver for GPUs. Its devices come in resource claims.
const DRA_DRIVER: &str = "gpu.nvidia.com";

/// Why an answer is not used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ListError {
    /// It is no such message.
    #[error(transparent)]
    Message(#[from] ProtobufError),
    /// A name is longer than any of Kubernetes'.
    #[error("{field}: {bytes} bytes are longer than {NAME_BYTES_MAX}")]
    Name {
        /// The field.
        field: &'static str,
        /// Its length.
        bytes: usize,
    },
    /// More devices than any node has.
    #[error("more than {GRANTS_MAX} devices are given to containers")]
    Grants,
}

/// The resources whose devices are GPUs.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Resources {
    more: Vec<String>,
}

impl Resources {
    /// NVIDIA's, and those of a comma-separated list, such as `nvidia.com/gpu.shared`.
    pub fn with(list: &str) -> Self {
        let names = list.split(',').map(str::trim).filter(|name| !name.is_empty());
        Self { more: names.map(str::to_owned).collect() }
    }

    /// Whether a resource is among them.
    pub fn has(&self, name: &str) -> bool {
        name == GPU || name.starts_with(MIG_PREFIX) || self.more.iter().any(|more| more == name)
    }
}

/// Reads an answer. `resources`: which devices are wanted; those of claims are if the driver is NVIDIA's.
pub fn decode(body: &[u8], resources: &Resources) -> Result<Vec<Grant>, ListError> {
    let mut grants = Vec::new();
    let mut response = Reader::new(body, "ListPodResourcesResponse");
    while let Some(tag) = response.next_tag()? {
        match tag.field {
            1 => pod(response.message(tag, "pod_resources")?, resources, &mut grants)?,
            _ => response.skip(tag)?,
        }
    }
    Ok(grants)
}

/// The name may stand behind the containers, so they are read in a second pass.
fn pod(reader: Reader<'_>, resources: &Resources, grants: &mut Vec<Grant>) -> Result<(), ListError> {
    let (mut names, mut containers) = (reader.clone(), reader);
    let mut workload = Workload::default();
    while let Some(tag) = names.next_tag()? {
        match tag.field {
            1 => workload.pod = named(names.text(tag, "pod.name")?, "pod.name")?,
            2 => workload.namespace = named(names.text(tag, "pod.namespace")?, "pod.namespace")?,
            _ => names.skip(tag)?,
        }
    }
    while let Some(tag) = containers.next_tag()? {
        match tag.field {
            3 => container(containers.message(tag, "pod.containers")?, &workload, resources, grants)?,
            _ => containers.skip(tag)?,
        }
    }
    Ok(())
}

fn container(
    reader: Reader<'_>,
    pod: &Workload,
    resources: &Resources,
    grants: &mut Vec<Grant>,
) -> Result<(), ListError> {
    let (mut names, mut devices) = (reader.clone(), reader);
    let mut workload = pod.clone();
    while let Some(tag) = names.next_tag()? {
        match tag.field {
            1 => workload.container = named(names.text(tag, "container.name")?, "container.name")?,
            _ => names.skip(tag)?,
        }
    }
    let workload = Arc::new(workload);
    let mut given = |resource: &str, device: &str| {
        if grants.len() == GRANTS_MAX {
            return Err(ListError::Grants);
        }
        let resource = named(resource, "resource_name")?;
        let device_id = named(device, "device_ids")?;
        grants.push(Grant { resource, device_id, workload: Arc::clone(&workload) });
        Ok(())
    };
    while let Some(tag) = devices.next_tag()? {
        match tag.field {
            2 => of_plugin(devices.message(tag, "container.devices")?, resources, &mut given)?,
            5 => of_claims(devices.message(tag, "container.dynamic_resources")?, &mut given)?,
            _ => devices.skip(tag)?,
        }
    }
    Ok(())
}

/// `ContainerDevices`: what a device plugin gave.
fn of_plugin(
    reader: Reader<'_>,
    resources: &Resources,
    given: &mut impl FnMut(&str, &str) -> Result<(), ListError>,
) -> Result<(), ListError> {
    let (mut names, mut ids) = (reader.clone(), reader);
    let mut resource = "";
    while let Some(tag) = names.next_tag()? {
        match tag.field {
            1 => resource = names.text(tag, "devices.resource_name")?,
            _ => names.skip(tag)?,
        }
    }
    if !resources.has(resource) {
        return Ok(());
    }
    while let Some(tag) = ids.next_tag()? {
        match tag.field {
            2 => given(resource, ids.text(tag, "devices.device_ids")?)?,
            _ => ids.skip(tag)?,
        }
    }
    Ok(())
}

/// `DynamicResource`: what a claim holds.
fn of_claims(
    mut reader: Reader<'_>,
    given: &mut impl FnMut(&str, &str) -> Result<(), ListError>,
) -> Result<(), ListError> {
    while let Some(tag) = reader.next_tag()? {
        if tag.field != 4 {
            reader.skip(tag)?;
            continue;
        }
        let mut claim = reader.message(tag, "claim_resources")?;
        let (mut driver, mut device) = ("", "");
        while let Some(tag) = claim.next_tag()? {
            match tag.field {
                2 => driver = claim.text(tag, "claim_resources.driver_name")?,
                4 => device = claim.text(tag, "claim_resources.device_name")?,
                _ => claim.skip(tag)?,
            }
        }
        if driver == DRA_DRIVER {
            given(driver, device)?;
        }
    }
    Ok(())
}

fn named(text: &str, field: &'static str) -> Result<String, ListError> {
    if text.len() > NAME_BYTES_MAX {
        return Err(ListError::Name { field, bytes: text.len() });
    }
    Ok(text.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A field that is a text or a message.
    fn field(number: u8, bytes: &[u8]) -> Vec<u8> {
        let mut out = vec![number << 3 | 2];
        let mut len = bytes.len();
        while len >= 0x80 {
            out.push(len as u8 | 0x80);
            len >>= 7;
        }
        out.push(len as u8);
        out.extend_from_slice(bytes);
        out
    }

    fn devices(resource: &str, ids: &[&str]) -> Vec<u8> {
        let ids = ids.iter().flat_map(|id| field(2, id.as_bytes()));
        field(2, &[ids.collect(), field(1, resource.as_bytes())].concat())
    }

    fn shown(grants: &[Grant]) -> Vec<String> {
        let grants = grants.iter().map(|grant| {
            let of = &grant.workload;
            format!("{} {} {}/{}/{}", grant.resource, grant.device_id, of.namespace, of.pod, of.container)
        });
        grants.collect()
    }

    #[test]
    fn fields_come_in_any_order_and_unknown_ones_are_skipped() {
        let claim = [field(1, b"cdi"), field(4, b"gpu-3"), field(3, b"node"), field(2, b"gpu.nvidia.com")];
        let other = [field(2, b"net.example.com"), field(4, b"gpu-4")];
        let claims = [field(2, b"name"), field(4, &claim.concat()), field(4, &other.concat())];
        let first = [devices("nvidia.com/gpu", &["GPU-a", "GPU-b"]), vec![0x18, 7], field(1, b"main")];
        let second = [
            field(1, b"side"),
            devices("nvidia.com/mig-1g.10gb", &["MIG-c"]),
            devices("rdma/hca", &["mlx5_0"]),
            devices("example.com/shared", &["GPU-d::1"]),
            field(5, &claims.concat()),
        ];
        let pod =
            [field(3, &first.concat()), field(3, &second.concat()), field(2, b"ml"), field(1, b"train-0")];
        let body = [field(1, &pod.concat()), field(9, b"later")].concat();
        let grants = decode(&body, &Resources::with("example.com/shared, ")).expect("it is sound");
        let expected = [
            "nvidia.com/gpu GPU-a ml/train-0/main",
            "nvidia.com/gpu GPU-b ml/train-0/main",
            "nvidia.com/mig-1g.10gb MIG-c ml/train-0/side",
            "example.com/shared GPU-d::1 ml/train-0/side",
            "gpu.nvidia.com gpu-3 ml/train-0/side",
        ];
        assert_eq!(shown(&grants), expected);
        assert_eq!(decode(&body, &Resources::default()).map(|grants| grants.len()), Ok(4));
        assert_eq!(decode(&[], &Resources::default()), Ok(Vec::new()));
    }

    #[test]
    fn what_is_no_answer_is_named() {
        let refused = |body: &[u8]| decode(body, &Resources::default()).expect_err("it is wrong").to_string();
        assert_eq!(refused(&[0x0a, 9, 1]), "pod_resources: length 9 reaches beyond the message at byte 1");
        let pod = field(1, &field(1, &[0xff]));
        assert_eq!(refused(&pod), "pod.name: text is not UTF-8 at byte 4");
        let pod = field(1, &field(1, &[b'a'; 1_025]));
        assert_eq!(refused(&pod), "pod.name: 1025 bytes are longer than 1024");
        let many = devices("nvidia.com/gpu", &vec!["GPU-a"; GRANTS_MAX + 1]);
        let pod = field(1, &field(3, &many));
        assert_eq!(refused(&pod), "more than 16384 devices are given to containers");
    }
}
