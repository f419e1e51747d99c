//! Who uses a GPU: the kubelet's word on which containers were given it, and processes with their cgroups.

mod cgroup;
mod device_id;
mod grpc;
mod kubelet;
mod pod_resources;

pub use cgroup::of_cgroup;
pub use device_id::{DeviceId, DeviceName};
pub use grpc::CallError;
pub use kubelet::{KUBELET_SOCKET, Kubelet, KubeletOptions};
pub use pod_resources::{ListError, Resources, decode as decode_pod_resources};
