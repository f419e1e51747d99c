//! The labels that name users.

use super::super::families::Pairs;
use super::super::workload::Workload;
use super::holders::Holder;
use super::uses::User;

/// What the labels of pods are called.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum PodLabels {
    /// `pod`, `namespace`, `container`.
    #[default]
    Plain,
    /// `exported_pod` and so on: what a Prometheus that scrapes the DCGM exporter in Kubernetes stores, since the names
    /// without it are taken by the exporter's own pod.
    Exported,
    /// `pod_name`, `pod_namespace`, `container_name`, as the exporter's option `--use-old-namespace` has them.
    Old,
}

impl PodLabels {
    /// The labels of a pod, a namespace, a container.
    const fn names(self) -> [&'static str; 3] {
        match self {
            Self::Plain => ["pod", "namespace", "container"],
            Self::Exported => ["exported_pod", "exported_namespace", "exported_container"],
            Self::Old => ["pod_name", "pod_namespace", "container_name"],
        }
    }
}

/// Labels of the series of a device that `holder` has, and `job` runs on.
pub(super) fn of_holder(
    holder: Option<&Holder>,
    job: Option<&str>,
    names: PodLabels,
    has_pod_uid: bool,
) -> Pairs {
    let mut pairs = Pairs::new();
    if let Some(holder) = holder {
        push_pod(&mut pairs, &holder.workload, names);
        push(&mut pairs, "vgpu", holder.share.as_deref().unwrap_or_default());
        if has_pod_uid {
            push(&mut pairs, "pod_uid", &holder.workload.pod_uid);
        }
    }
    push(&mut pairs, "hpc_job", job.unwrap_or_default());
    sorted(pairs)
}

/// Labels of the series of a user. A pod's id is shown where its name is not known.
pub(super) fn of_user(user: &User, names: PodLabels, has_pod_uid: bool) -> Pairs {
    let mut pairs = Pairs::new();
    let workload = &user.workload;
    push_pod(&mut pairs, workload, names);
    if has_pod_uid || workload.pod.is_empty() {
        push(&mut pairs, "pod_uid", &workload.pod_uid);
    }
    push(&mut pairs, "hpc_job", &workload.slurm_job);
    push(&mut pairs, "unit", &workload.unit);
    if let Some((pid, program)) = &user.process {
        push(&mut pairs, "pid", &pid.to_string());
        push(&mut pairs, "process", program);
    }
    sorted(pairs)
}

fn push_pod(pairs: &mut Pairs, workload: &Workload, names: PodLabels) {
    let [pod, namespace, container] = names.names();
    push(pairs, pod, &workload.pod);
    push(pairs, namespace, &workload.namespace);
    push(pairs, container, &workload.container);
}

fn push(pairs: &mut Pairs, name: &'static str, value: &str) {
    if !value.is_empty() {
        pairs.push((name, value.to_owned()));
    }
}

/// By name: the exporter keeps them in a map, whose text comes in that order.
pub(super) fn sorted(mut pairs: Pairs) -> Pairs {
    pairs.sort_unstable();
    pairs
}
