//! Whose process it is, as `/proc/PID/cgroup` tells: a pod, a Slurm job, a container, a systemd unit.
//!
//! Pure: the text comes in, what it says comes out. Version 1 has a line for each hierarchy, version 2 one line; the paths
//! are read the same way, segment by segment. A reader in a cgroup namespace of its own sees `/../..` in front, which
//! changes nothing.

use super::super::workload::Workload;

/// Digits of a container's id that are shown, as `docker ps` does.
const ID_SHOWN: usize = 12;
/// Digits of a container's id.
const ID_DIGITS: usize = 64;

/// What the text says. A text of no known form says nothing.
pub fn of_cgroup(text: &str) -> Workload {
    let mut workload = Workload::default();
    for line in text.lines() {
        // hierarchy:controllers:path
        let Some(path) = line.splitn(3, ':').nth(2) else { continue };
        let said = of_path(path);
        fill(&mut workload.pod_uid, said.pod_uid);
        fill(&mut workload.slurm_job, said.slurm_job);
        fill(&mut workload.container, said.container);
        fill(&mut workload.unit, said.unit);
    }
    // The unit and the container's id of a pod or a job only say the same again.
    if !workload.pod_uid.is_empty() {
        workload.container.clear();
        workload.unit.clear();
    }
    if !workload.slurm_job.is_empty() || !workload.container.is_empty() {
        workload.unit.clear();
    }
    workload
}

fn fill(known: &mut String, said: String) {
    if known.is_empty() {
        *known = said;
    }
}

fn of_path(path: &str) -> Workload {
    let mut said = Workload::default();
    let mut user = "";
    let mut scope = "";
    let mut is_slurm = false;
    // containerd that is told a path for another driver writes `slice:runtime:id` as one segment.
    for segment in path.split(['/', ':']) {
        is_slurm |= segment.starts_with("slurm") || segment.ends_with("_slurmstepd.scope");
        if let Some(uid) = pod_uid(segment) {
            said.pod_uid = uid;
        } else if let Some(job) = segment.strip_prefix("job_").filter(|job| is_slurm && is_number(job)) {
            job.clone_into(&mut said.slurm_job);
        } else if let Some(id) = container_id(segment) {
            id[..ID_SHOWN].clone_into(&mut said.container);
        } else if segment.ends_with(".service") && !segment.starts_with("user@") {
            segment.clone_into(&mut said.unit);
        } else if segment.starts_with("user-") && segment.ends_with(".slice") {
            user = segment;
        } else if segment.ends_with(".scope") {
            scope = segment;
        }
    }
    // Scopes of a user are numbered by login and by program; the user is who it belongs to.
    let outer = if user.is_empty() { scope } else { user };
    fill(&mut said.unit, outer.to_owned());
    said
}

/// `podUID` of the kubelet's cgroupfs driver, `kubepods-…-podUID.slice` with `_` for `-` of its systemd driver.
fn pod_uid(segment: &str) -> Option<String> {
    let uid = match segment.strip_suffix(".slice") {
        Some(slice) if slice.contains("kubepods") => slice.rsplit_once("-pod")?.1.replace('_', "-"),
        Some(_) => return None,
        None => segment.strip_prefix("pod")?.to_owned(),
    };
    // A UUID, or the hash that is a static pod's id: digits, and dashes at most.
    let digits = uid.bytes().filter(u8::is_ascii_hexdigit).count();
    let dashes = uid.bytes().filter(|byte| *byte == b'-').count();
    (digits == 32 && digits + dashes == uid.len()).then_some(uid)
}

/// The id in `ID`, `docker-ID.scope`, `cri-containerd-ID.scope`, `crio-ID.scope`, `libpod-ID.scope`.
fn container_id(segment: &str) -> Option<&str> {
    let scope = segment.strip_suffix(".scope").unwrap_or(segment);
    let id = scope.rsplit_once('-').map_or(scope, |(_, id)| id);
    (id.len() == ID_DIGITS && id.bytes().all(|byte| byte.is_ascii_hexdigit())).then_some(id)
}

fn is_number(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit())
}

#[cfg(test)]
#[path = "cgroup_tests.rs"]
mod tests;
