//! Who uses a GPU: the kubelet's answer, device ids and cgroups.

use perdura::gpu::users::{DeviceId, Resources, decode_pod_resources, of_cgroup};
use prost::Message;

/// `v1.ListPodResourcesResponse`, as far as it is read.
#[derive(Clone, PartialEq, Message)]
struct Response {
    #[prost(message, repeated, tag = "1")]
    pods: Vec<Pod>,
}

#[derive(Clone, PartialEq, Message)]
struct Pod {
    #[prost(string, tag = "1")]
    name: String,
    #[prost(string, tag = "2")]
    namespace: String,
    #[prost(message, repeated, tag = "3")]
    containers: Vec<Container>,
}

#[derive(Clone, PartialEq, Message)]
struct Container {
    #[prost(string, tag = "1")]
    name: String,
    #[prost(message, repeated, tag = "2")]
    devices: Vec<Devices>,
}

#[derive(Clone, PartialEq, Message)]
struct Devices {
    #[prost(string, tag = "1")]
    resource: String,
    #[prost(string, repeated, tag = "2")]
    ids: Vec<String>,
}

/// The kubelet's answer, beside prost: what a device plugin gave is the same, in the same order. Ids are taken apart.
pub(super) fn pod_resources(data: &[u8]) {
    let Ok(grants) = decode_pod_resources(data, &Resources::default()) else { return };
    for grant in &grants {
        let _ = DeviceId::parse(&grant.device_id);
    }
    let Ok(oracle) = Response::decode(data) else { return };
    let mut expected = Vec::new();
    for pod in &oracle.pods {
        for container in &pod.containers {
            let gpus = container.devices.iter().filter(|devices| Resources::default().has(&devices.resource));
            for id in gpus.flat_map(|devices| &devices.ids) {
                expected.push([&pod.namespace, &pod.name, &container.name, id].map(String::as_str));
            }
        }
    }
    // Those of claims are not in the oracle.
    let of_plugin = grants.iter().filter(|grant| grant.resource != "gpu.nvidia.com").map(|grant| {
        let of = &grant.workload;
        [&of.namespace, &of.pod, &of.container, &grant.device_id].map(String::as_str)
    });
    assert_eq!(of_plugin.collect::<Vec<_>>(), expected);
}

/// Any text: nothing that is said is longer than the text, and no name is made up.
pub(super) fn cgroup(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let said = of_cgroup(text);
    let all = [&said.pod_uid, &said.slurm_job, &said.container, &said.unit];
    assert!(all.iter().all(|part| part.len() <= text.len()));
    assert!(said.namespace.is_empty() && said.pod.is_empty());
    for part in [&said.slurm_job, &said.container, &said.unit] {
        assert!(text.contains(part.as_str()));
    }
    assert!(said.pod_uid.is_empty() || said.pod_uid.bytes().all(|b| b == b'-' || b.is_ascii_hexdigit()));
}
