//! Who uses a GPU: processes as the driver tells them, and the workloads that they and the devices belong to.

use std::sync::Arc;

/// A process that holds memory of a GPU.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Process {
    /// Its id on the machine itself, not within a container.
    pub pid: u32,
    /// The GPU instance that it runs on, in MIG mode.
    pub gpu_instance_id: Option<u32>,
    /// Bytes of GPU memory that it holds.
    pub memory_bytes: Option<u64>,
    /// Percent of the time since the last reading in which its kernels ran.
    pub sm_percent: Option<u32>,
}

/// What a process or a device belongs to. A text that is empty is not known, or there is none.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Workload {
    /// Namespace of the pod.
    pub namespace: String,
    /// Name of the pod.
    pub pod: String,
    /// Container within the pod.
    pub container: String,
    /// The pod's id.
    pub pod_uid: String,
    /// Number of the Slurm job.
    pub slurm_job: String,
    /// The systemd unit.
    pub unit: String,
}

/// A device, or a share of one, that was given to a container.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Grant {
    /// The resource's name, such as `nvidia.com/gpu` or `nvidia.com/mig-1g.10gb`.
    pub resource: String,
    /// The device as the device plugin names it, such as `GPU-…`, `MIG-…::3` or `nvidia0/gi3`.
    pub device_id: String,
    /// Who it was given to.
    pub workload: Arc<Workload>,
}

/// The seam: where it is known who uses what. The kubelet and `/proc` are such places, a simulation another.
pub trait Workloads: Send + Sync {
    /// The devices that were given to containers; none where nobody tells. Blocks for as long as asking takes.
    fn grants(&self) -> Vec<Grant>;

    /// Who a process belongs to; nobody is known for one that has ended.
    fn of_process(&self, pid: u32) -> Option<Workload>;

    /// The name of a process' program.
    fn name_of_process(&self, _pid: u32) -> Option<String> {
        None
    }
}
