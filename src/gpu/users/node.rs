//! Who uses the GPUs of a machine, from the machine itself: the kubelet's grants, `/proc`, and the names of pods' log
//! folders.
//!
//! A cgroup tells a pod's id and no name, and the kubelet's list has names and no ids. `/var/log/pods` has both, as names of
//! folders, so that no API server has to be asked; without it a process is joined to a pod where one pod only has the
//! device.

use std::collections::HashMap;
use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use super::super::workload::{Grant, Workload, Workloads};
use super::cgroup::of_cgroup;
use super::kubelet::Kubelet;
use crate::lock::lock;

/// Longest `/proc/PID/cgroup` that is read; the longest of version 1 has some thousand bytes.
const CGROUP_BYTES_MAX: u64 = 64 << 10;
/// Most folders of pods that are looked at.
const PODS_MAX: usize = 4_096;
/// Least time between two looks at the folders for an id that is not among them.
const LOOK_AGAIN: Duration = Duration::from_secs(5);

/// Where a machine tells.
#[derive(Clone, Debug)]
pub struct NodePaths {
    /// The machine's `/proc`: in a container that shares the pid namespace it is the container's own.
    pub proc: PathBuf,
    /// The folders of pods' logs.
    pub pod_logs: PathBuf,
}

impl Default for NodePaths {
    fn default() -> Self {
        Self { proc: PathBuf::from("/proc"), pod_logs: PathBuf::from("/var/log/pods") }
    }
}

/// The users of one machine's GPUs.
pub struct Node {
    paths: NodePaths,
    /// None where pods are not asked for.
    kubelet: Option<Kubelet>,
    pods: Mutex<PodNames>,
}

/// Namespace and name of a pod.
type PodName = (String, String);

#[derive(Default)]
struct PodNames {
    by_uid: HashMap<String, PodName>,
    looked: Option<Instant>,
}

impl PodNames {
    /// Looks at the folders again unless they were looked at just now.
    fn refresh(&mut self, folder: &Path) {
        if self.looked.is_none_or(|looked| looked.elapsed() >= LOOK_AGAIN) {
            self.by_uid = pod_names(folder);
            self.looked = Some(Instant::now());
        }
    }

    /// The id of a pod. A pod that was made anew under its name leaves its old folder for a while: then it is not known.
    fn uid(&self, name: (&str, &str)) -> Option<&str> {
        let is_it = |known: &PodName| (known.0.as_str(), known.1.as_str()) == name;
        let mut uids = self.by_uid.iter().filter(|(_, known)| is_it(known));
        let (uid, _) = uids.next()?;
        uids.next().is_none().then_some(uid)
    }
}

impl Node {
    /// Of this machine. `kubelet`: none where pods are not asked for.
    pub fn new(paths: NodePaths, kubelet: Option<Kubelet>) -> Self {
        Self { paths, kubelet, pods: Mutex::default() }
    }

    fn pod(&self, uid: &str) -> Option<PodName> {
        let mut pods = lock(&self.pods);
        if !pods.by_uid.contains_key(uid) {
            pods.refresh(&self.paths.pod_logs);
        }
        pods.by_uid.get(uid).cloned()
    }
}

impl Workloads for Node {
    fn grants(&self) -> Vec<Grant> {
        let Some(kubelet) = &self.kubelet else { return Vec::new() };
        let mut grants = kubelet.grants().to_vec();
        let mut pods = lock(&self.pods);
        for grant in &mut grants {
            let name = (grant.workload.namespace.as_str(), grant.workload.pod.as_str());
            if pods.uid(name).is_none() {
                pods.refresh(&self.paths.pod_logs);
            }
            if let Some(uid) = pods.uid(name) {
                let pod_uid = uid.to_owned();
                grant.workload = Arc::new(Workload { pod_uid, ..Workload::clone(&grant.workload) });
            }
        }
        grants
    }

    fn of_process(&self, pid: u32) -> Option<Workload> {
        let folder = self.paths.proc.join(pid.to_string());
        let mut workload = of_cgroup(&read_text(&folder.join("cgroup"), CGROUP_BYTES_MAX)?);
        let uid = Some(workload.pod_uid.as_str()).filter(|uid| !uid.is_empty());
        if let Some((namespace, pod)) = uid.and_then(|uid| self.pod(uid)) {
            (workload.namespace, workload.pod) = (namespace, pod);
        }
        Some(workload)
    }

    fn name_of_process(&self, pid: u32) -> Option<String> {
        let name = read_text(&self.paths.proc.join(pid.to_string()).join("comm"), 256)?;
        Some(name.trim_end_matches('\n').to_owned())
    }
}

/// None where the process has ended.
fn read_text(path: &Path, bytes_max: u64) -> Option<String> {
    let mut bytes = Vec::new();
    File::open(path).ok()?.take(bytes_max).read_to_end(&mut bytes).ok()?;
    Some(String::from_utf8_lossy(&bytes).into_owned())
}

/// The kubelet names the folder of a pod's logs `NAMESPACE_NAME_UID`; names of Kubernetes have no `_`.
fn pod_names(folder: &Path) -> HashMap<String, PodName> {
    let Ok(entries) = std::fs::read_dir(folder) else { return HashMap::new() };
    let names = entries.take(PODS_MAX).filter_map(|entry| entry.ok()?.file_name().into_string().ok());
    names
        .filter_map(|name| {
            let mut parts = name.split('_');
            let (namespace, pod, uid) = (parts.next()?, parts.next()?, parts.next()?);
            let is_whole = parts.next().is_none() && ![namespace, pod, uid].contains(&"");
            is_whole.then(|| (uid.to_owned(), (namespace.to_owned(), pod.to_owned())))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const UID: &str = "2d3b6b6c-1c8c-4c1c-9f0e-2b7a3ad3f6ea";

    #[test]
    fn processes_are_named_by_their_files() {
        let folder = tempfile::tempdir().expect("a temporary folder can be made");
        let paths = NodePaths { proc: folder.path().join("proc"), pod_logs: folder.path().join("pods") };
        let write = |pid: u32, cgroup: &str| {
            let process = paths.proc.join(pid.to_string());
            std::fs::create_dir_all(&process).expect("a folder can be made");
            std::fs::write(process.join("cgroup"), cgroup).expect("a file can be written");
            std::fs::write(process.join("comm"), "python3\n").expect("a file can be written");
        };
        write(7, &format!("0::/kubepods/pod{UID}/x\n"));
        write(8, "0::/system.slice/ollama.service\n");
        write(9, "0::/\n");
        for name in [&format!("ml_train-0_{UID}"), "broken", "a_b_c_d", "__x"] {
            std::fs::create_dir_all(paths.pod_logs.join(name)).expect("a folder can be made");
        }
        let node = Node::new(paths, None);
        let pod = Workload {
            namespace: "ml".to_owned(),
            pod: "train-0".to_owned(),
            pod_uid: UID.to_owned(),
            ..Workload::default()
        };
        assert_eq!(node.of_process(7), Some(pod));
        let unit = Workload { unit: "ollama.service".to_owned(), ..Workload::default() };
        assert_eq!(node.of_process(8), Some(unit));
        assert_eq!(node.of_process(9), Some(Workload::default()));
        assert_eq!(node.of_process(10), None, "it has ended");
        assert_eq!(node.name_of_process(7).as_deref(), Some("python3"));
        assert!(node.grants().is_empty());
        assert_eq!(lock(&node.pods).by_uid.len(), 1);
    }
}
