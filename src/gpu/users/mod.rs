//! Who uses a GPU: the kubelet's word on which containers were given it, and processes with their cgroups.
//!
//! [`Users`] puts what it knows on the families of a round. A device that containers hold has a row for each of them, with
//! the labels of the DCGM exporter; what processes use is summed by pod, job, container or unit. What is known comes
//! through [`Workloads`](super::Workloads): from a machine it is a [`Node`]. Everything that is asked for may be missing,
//! and then its labels are.
//!
//! Known limits: the kubelet tells no ids of pods (see [`Node`] for how names and ids are brought together); devices of
//! resource claims are known where the DRA driver names a whole GPU, since a MIG device's name there tells a place that
//! only the API server can bring to an instance; a number in a device's name is taken for NVML's index.

mod attach;
mod cgroup;
mod device_id;
mod grpc;
mod holders;
mod jobs;
mod kubelet;
mod labels;
mod node;
mod pod_resources;
mod uses;

pub use attach::{UserOptions, Users};
pub use cgroup::of_cgroup;
pub use device_id::{DeviceId, DeviceName};
pub use grpc::CallError;
pub use jobs::JobFolder;
pub use kubelet::{KUBELET_SOCKET, Kubelet, KubeletOptions};
pub use labels::PodLabels;
pub use node::{Node, NodePaths};
pub use pod_resources::{ListError, Resources, decode as decode_pod_resources};
