//! Who uses a simulated GPU: pods, jobs and services, as the kubelet, the batch system and cgroups would tell.
//!
//! Serving and chat models are pods of deployments, training is a Kubernetes job on one GPU and a Slurm job on the
//! other, the shared GPU is given to three notebooks that take turns, and batches are a systemd unit, or a pod where
//! they have a slice. Training ends every six hours of the simulation, and the next begins under another name.

use std::sync::Arc;

use super::super::workload::{Grant, Process, Workload};
use super::gpu::{Gpu, Part};
use super::load::Kind;
use super::product::Slice;
use super::values::used_mib;

/// Seconds that a training takes.
const TRAINING: f64 = 6.0 * 3_600.0;
/// Shares of the notebooks on a GPU: of its memory, and of its time.
const NOTEBOOKS: [(&str, f64); 3] = [("ada", 0.5), ("grace", 0.3), ("hedy", 0.2)];
/// Memory that is nobody's: what the driver holds for contexts.
const OF_PROCESSES: f64 = 0.98;
const FIRST_PID: u32 = 4_000;

/// How device plugins write the ids of devices.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum IdForm {
    /// `GPU-…`, `GPU-…::1`, `MIG-…`: NVIDIA's plugin, and EKS.
    Uuid,
    /// `nvidia0`, `nvidia0/vgpu1`, `nvidia0/gi3`: GKE.
    DeviceFile,
}

/// One process, whom it belongs to, and the device that it was given, if containers are given any.
pub(super) struct Tenant {
    pub(super) process: Process,
    pub(super) workload: Workload,
    /// Resource and device id.
    device: Option<(String, String)>,
}

impl Tenant {
    /// What the kubelet tells of it; nothing of what is no container.
    pub(super) fn grant(self) -> Option<Grant> {
        let (resource, device_id) = self.device?;
        Some(Grant { resource, device_id, workload: Arc::new(self.workload) })
    }
}

/// All tenants of a GPU. `at`: seconds of the simulation.
pub(super) fn tenants(gpu: &Gpu, form: IdForm, at: f64) -> Vec<Tenant> {
    if gpu.chapter(at).is_some_and(|chapter| chapter.is_off_bus()) {
        return Vec::new();
    }
    let of_part = |(place, part)| Tenants { gpu, form, part, place, at }.all();
    gpu.parts.iter().enumerate().flat_map(of_part).collect()
}

/// The tenants of one part of a GPU.
struct Tenants<'a> {
    gpu: &'a Gpu,
    form: IdForm,
    part: &'a Part,
    place: usize,
    at: f64,
}

impl Tenants<'_> {
    fn all(&self) -> Vec<Tenant> {
        let index = self.gpu.identity.index;
        match self.part.kind {
            Kind::Idle => Vec::new(),
            Kind::Serving if index % 8 == 7 => vec![self.model("ranking-model", "server")],
            Kind::Serving => vec![self.model("fraud-model", "model-server")],
            Kind::Chat => vec![self.model("chat-model", "vllm")],
            Kind::Shared => {
                (0..).zip(NOTEBOOKS).map(|(place, notebook)| self.notebook(place, notebook)).collect()
            }
            Kind::Training if index % 8 == 4 => vec![self.slurm_job()],
            Kind::Training => vec![self.training_pod()],
            Kind::Batch if self.part.slice.is_some() => vec![self.model("embeddings", "batch")],
            Kind::Batch => {
                let unit = "embeddings.service".to_owned();
                vec![self.tenant(0, 1.0, 0, Workload { unit, ..Workload::default() }, None)]
            }
        }
    }

    /// A pod of a deployment.
    fn model(&self, deployment: &str, container: &str) -> Tenant {
        let chance = self.gpu.chance.named(deployment);
        // All pods of a deployment have the hash of its template in common.
        let template = super::chance::Chance::new(0).named(deployment).letters(9);
        let pod = format!("{deployment}-{template}-{}", chance.of(self.place as u64).letters(5));
        self.pod("ml-prod", pod, container, 0)
    }

    fn training_pod(&self) -> Tenant {
        let number = self.training();
        let letters = self.gpu.chance.named("training").of(number).letters(5);
        self.pod("ml-train", format!("llm-pretrain-{number}-worker-{letters}"), "trainer", number)
    }

    fn slurm_job(&self) -> Tenant {
        let number = self.training();
        let slurm_job = (400_000 + number).to_string();
        self.tenant(0, 1.0, number, Workload { slurm_job, ..Workload::default() }, None)
    }

    fn notebook(&self, place: u32, (who, share): (&str, f64)) -> Tenant {
        let pod = format!("notebook-{who}-{}", self.gpu.identity.index);
        let workload = self.workload("research", pod, "notebook");
        // Within a slice the sharing is as that of a GPU.
        let device = self.device(Some(place));
        self.tenant(place, share, 0, workload, Some(device))
    }

    fn pod(&self, namespace: &str, pod: String, container: &str, generation: u64) -> Tenant {
        let workload = self.workload(namespace, pod, container);
        self.tenant(0, 1.0, generation, workload, Some(self.device(None)))
    }

    fn workload(&self, namespace: &str, pod: String, container: &str) -> Workload {
        let pod_uid = self.gpu.chance.named("pod").named(&pod).uuid();
        let (namespace, container) = (namespace.to_owned(), container.to_owned());
        Workload { namespace, pod, container, pod_uid, ..Workload::default() }
    }

    /// Resource and id of what a container is given.
    fn device(&self, share: Option<u32>) -> (String, String) {
        let index = self.gpu.identity.index;
        let profile = |slice: &Slice| format!("nvidia.com/mig-{}", slice.profile);
        let resource = self.part.slice.map_or("nvidia.com/gpu".to_owned(), profile);
        let id = match (self.form, self.part.slice) {
            (IdForm::Uuid, None) => self.gpu.identity.uuid.clone(),
            (IdForm::Uuid, Some(slice)) => self.gpu.mig_uuid(slice),
            (IdForm::DeviceFile, None) => format!("nvidia{index}"),
            (IdForm::DeviceFile, Some(slice)) => format!("nvidia{index}/gi{}", slice.gpu_instance_id),
        };
        let id = match (self.form, share) {
            (_, None) => id,
            (IdForm::Uuid, Some(share)) => format!("{id}::{share}"),
            (IdForm::DeviceFile, Some(share)) => format!("{id}/vgpu{share}"),
        };
        (resource, id)
    }

    /// Which training it is, counted through the time.
    fn training(&self) -> u64 {
        let begun = self.gpu.chance.named("training").between(0.0, TRAINING);
        let number = ((self.at - begun) / TRAINING).floor() as i64;
        number.rem_euclid(100_000).cast_unsigned()
    }

    /// `generation`: its pid is another one with each.
    fn tenant(
        &self,
        place: u32,
        share: f64,
        generation: u64,
        workload: Workload,
        device: Option<(String, String)>,
    ) -> Tenant {
        let slots = (self.gpu.identity.index * 8 + self.place as u32) * 8 + place;
        let pid = FIRST_PID + slots * 16 + (generation % 16) as u32;
        let (total, reserved) = self.part.memory_mib(self.gpu.product);
        let bytes = f64::from(used_mib(self.part, self.at, total - reserved)) * 1_048_576.0;
        let process = Process {
            pid,
            gpu_instance_id: self.part.slice.map(|slice| slice.gpu_instance_id),
            memory_bytes: Some((bytes * share * OF_PROCESSES) as u64),
            sm_percent: Some((self.part.busy.value(self.at) * share * 100.0).round() as u32),
        };
        Tenant { process, workload, device }
    }
}
