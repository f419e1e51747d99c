//! Who was given which GPU: grants brought to the GPUs and instances of a round.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::super::reading::{GpuState, Snapshot};
use super::super::workload::{Grant, Workload};
use super::device_id::{DeviceId, DeviceName};

/// Most ids of unknown forms that are remembered as said.
const SAID_MAX: usize = 64;

/// A GPU by its index, or an instance of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Place {
    pub(super) gpu: u32,
    pub(super) instance: Option<u32>,
}

/// A container that was given a device or a share of it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Holder {
    pub(super) workload: Arc<Workload>,
    pub(super) share: Option<String>,
}

/// Holders by place, each once and in an order that does not change from answer to answer.
pub(super) type Holders = BTreeMap<Place, BTreeSet<Holder>>;

/// Brings grants to their places, and remembers what was said of those that it cannot.
#[derive(Debug, Default)]
pub(super) struct Resolver {
    said: BTreeSet<String>,
}

impl Resolver {
    /// The holders of a round's GPUs. Grants of GPUs that are not there, such as one that fell off the bus, are left out.
    pub(super) fn holders(&mut self, grants: Vec<Grant>, snapshot: &Snapshot) -> Holders {
        let mut holders = Holders::new();
        for grant in grants {
            let Some(id) = DeviceId::parse(&grant.device_id) else {
                self.say(grant);
                continue;
            };
            if let Some(place) = place(&id.device, snapshot) {
                let holder = Holder { workload: grant.workload, share: id.share };
                holders.entry(place).or_default().insert(holder);
            }
        }
        holders
    }

    fn say(&mut self, grant: Grant) {
        if self.said.len() == SAID_MAX || self.said.contains(&grant.device_id) {
            return;
        }
        let (device, resource) = (&grant.device_id, &grant.resource);
        tracing::warn!(device, resource, "a device given to a pod is not known by this form of its id");
        self.said.insert(grant.device_id);
    }
}

fn place(device: &DeviceName, snapshot: &Snapshot) -> Option<Place> {
    let index = |gpu: &GpuState| gpu.identity.index;
    match device {
        DeviceName::Gpu { uuid, instance } => {
            let gpu = snapshot.gpus.iter().find(|gpu| gpu.identity.uuid == *uuid)?;
            Some(Place { gpu: index(gpu), instance: *instance })
        }
        DeviceName::Mig { uuid } => snapshot.gpus.iter().find_map(|gpu| {
            let mut instances = gpu.rows.iter().flatten().filter_map(|row| row.instance.as_ref());
            let instance = instances.find(|instance| instance.uuids.contains(uuid))?;
            Some(Place { gpu: index(gpu), instance: Some(instance.gpu_instance_id) })
        }),
        DeviceName::Index { index: wanted, instance } => {
            let gpu = snapshot.gpus.iter().find(|gpu| index(gpu) == *wanted)?;
            Some(Place { gpu: index(gpu), instance: *instance })
        }
    }
}

/// Puts names to a process' owner by what was given out where it runs: by the pod's id, or because there is only one pod
/// that it can be.
pub(super) fn joined(mut owner: Workload, holders: Option<&BTreeSet<Holder>>) -> Workload {
    let Some(holders) = holders.filter(|_| !owner.pod_uid.is_empty() || !owner.pod.is_empty()) else {
        return owner;
    };
    let all = || holders.iter().map(|holder| holder.workload.as_ref());
    if owner.pod.is_empty() {
        let same = all().find(|known| known.pod_uid == owner.pod_uid);
        let pods: BTreeSet<_> = all().map(|known| (&known.namespace, &known.pod)).collect();
        // A pod whose id is known to be another is not it.
        let only = all().next().filter(|known| pods.len() == 1 && known.pod_uid.is_empty());
        if let Some(known) = same.or(only) {
            owner.namespace.clone_from(&known.namespace);
            owner.pod.clone_from(&known.pod);
        }
    }
    if owner.container.is_empty() && !owner.pod.is_empty() {
        let is_pod = |known: &&Workload| known.pod == owner.pod && known.namespace == owner.namespace;
        let containers: BTreeSet<_> = all().filter(is_pod).map(|known| &known.container).collect();
        if let (1, Some(container)) = (containers.len(), containers.first()) {
            owner.container = (*container).clone();
        }
    }
    owner
}

#[cfg(test)]
mod tests {
    use super::*;

    fn workload(pod: &str, container: &str, pod_uid: &str) -> Workload {
        Workload {
            namespace: if pod.is_empty() { String::new() } else { "ml".to_owned() },
            pod: pod.to_owned(),
            container: container.to_owned(),
            pod_uid: pod_uid.to_owned(),
            ..Workload::default()
        }
    }

    fn holders(workloads: &[Workload]) -> BTreeSet<Holder> {
        let holder = |workload: &Workload| Holder { workload: Arc::new(workload.clone()), share: None };
        workloads.iter().map(holder).collect()
    }

    #[test]
    fn a_process_is_joined_where_there_is_no_doubt() {
        let process = workload("", "", "1");
        let one = holders(&[workload("a", "main", "")]);
        assert_eq!(joined(process.clone(), Some(&one)), workload("a", "main", "1"), "it can be no other");
        let other = holders(&[workload("a", "main", "2")]);
        assert_eq!(joined(process.clone(), Some(&other)), process, "that pod has another id");
        let two = holders(&[workload("a", "main", ""), workload("b", "main", "")]);
        assert_eq!(joined(process.clone(), Some(&two)), process, "it may be either");
        let known = holders(&[workload("a", "main", ""), workload("b", "main", "1")]);
        assert_eq!(joined(process.clone(), Some(&known)), workload("b", "main", "1"));
        let containers = holders(&[workload("a", "main", ""), workload("a", "side", "")]);
        assert_eq!(joined(process.clone(), Some(&containers)), workload("a", "", "1"));
        assert_eq!(joined(process.clone(), None), process);
    }

    #[test]
    fn what_is_of_no_pod_stays_so() {
        let unit = Workload { unit: "nvidia-persistenced.service".to_owned(), ..Workload::default() };
        let one = holders(&[workload("a", "main", "")]);
        assert_eq!(joined(unit.clone(), Some(&one)), unit);
        let named = workload("c", "", "3");
        assert_eq!(joined(named.clone(), Some(&one)), named);
    }
}
