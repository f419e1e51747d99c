use super::*;

const UID: &str = "2d3b6b6c-1c8c-4c1c-9f0e-2b7a3ad3f6ea";
/// As systemd has it, where `-` means a level.
const UID_: &str = "2d3b6b6c_1c8c_4c1c_9f0e_2b7a3ad3f6ea";
const HASH: &str = "8a9cf8b4ef0f40d5ad3d4d6e6ca31c0b";
const ID: &str = "3a3bd1d6a2a8a4d0c1a6d4b3d2f1e0c9b8a79685746352413f2e1d0c9b8a7f6e";

/// The text, with the ids put in, and what it says: pod, job, container, unit.
fn says(text: &str) -> [String; 4] {
    let text = text.replace("UID_", UID_).replace("UID", UID).replace("HASH", HASH).replace("ID", ID);
    let said = of_cgroup(&text);
    assert_eq!((said.namespace, said.pod), Default::default(), "a cgroup has no names");
    [said.pod_uid, said.slurm_job, said.container, said.unit]
}

fn pod(uid: &str) -> [String; 4] {
    [uid.to_owned(), String::new(), String::new(), String::new()]
}

fn job(number: &str) -> [String; 4] {
    [String::new(), number.to_owned(), String::new(), String::new()]
}

fn container() -> [String; 4] {
    [String::new(), String::new(), ID[..ID_SHOWN].to_owned(), String::new()]
}

fn unit(name: &str) -> [String; 4] {
    [String::new(), String::new(), String::new(), name.to_owned()]
}

#[test]
fn pods_of_cgroup_version_1() {
    let table = [
        // Docker below a kubelet with the cgroupfs driver, as up to Kubernetes 1.23: a line for each controller.
        "12:pids:/kubepods/burstable/podUID/ID\n11:memory:/kubepods/burstable/podUID/ID\n1:name=systemd:/kubepods/burstable/podUID/ID\n",
        // A pod of the guaranteed class stands right below the root.
        "4:devices:/kubepods/podUID/ID\n",
        // containerd and docker below a kubelet with the systemd driver.
        "9:devices:/kubepods.slice/kubepods-burstable.slice/kubepods-burstable-podUID_.slice/cri-containerd-ID.scope\n",
        "1:name=systemd:/kubepods.slice/kubepods-podUID_.slice/docker-ID.scope\n",
        // OpenShift 4 with CRI-O; some controllers are not used and stay at the root.
        "8:perf_event:/\n3:cpu,cpuacct:/kubepods.slice/kubepods-besteffort.slice/kubepods-besteffort-podUID_.slice/crio-ID.scope\n",
        // containerd with the cgroupfs driver under a kubelet with systemd's: one segment with colons.
        "5:memory:/system.slice/containerd.service/kubepods-besteffort-podUID_.slice:cri-containerd:ID\n",
    ];
    for text in table {
        assert_eq!(says(text), pod(UID), "{text}");
    }
}

#[test]
fn pods_of_cgroup_version_2() {
    let table = [
        // containerd with the systemd driver, the default of kubeadm, EKS and GKE today.
        "0::/kubepods.slice/kubepods-burstable.slice/kubepods-burstable-podUID_.slice/cri-containerd-ID.scope\n",
        "0::/kubepods.slice/kubepods-podUID_.slice/cri-containerd-ID.scope\n",
        // containerd with cgroupfs: k3s and Talos.
        "0::/kubepods/besteffort/podUID/ID\n",
        // CRI-O puts the processes a level below since 1.25, with crun.
        "0::/kubepods.slice/kubepods-besteffort.slice/kubepods-besteffort-podUID_.slice/crio-ID.scope/container\n",
        // kind: a node is a container, and its kubelet has a root of its own.
        "0::/kubelet.slice/kubelet-kubepods.slice/kubelet-kubepods-burstable.slice/kubelet-kubepods-burstable-podUID_.slice/cri-containerd-ID.scope\n",
        // Read from a pod with `hostPID` and a cgroup namespace of its own.
        "0::/../../kubepods-burstable.slice/kubepods-burstable-podUID_.slice/cri-containerd-ID.scope\n",
        // A process that made a group of its own in the container, such as systemd inside.
        "0::/kubepods.slice/kubepods-podUID_.slice/cri-containerd-ID.scope/system.slice/ssh.service\n",
    ];
    for text in table {
        assert_eq!(says(text), pod(UID), "{text}");
    }
    // A static pod, as kubeadm's control plane: its id is the hash of its file.
    let text = "0::/kubepods.slice/kubepods-burstable.slice/kubepods-burstable-podHASH.slice/cri-containerd-ID.scope";
    assert_eq!(says(text), pod(HASH));
}

#[test]
fn slurm_jobs() {
    let table = [
        // Slurm's proctrack/cgroup and task/cgroup, version 1.
        "11:devices:/slurm/uid_1000/job_123/step_0/task_0\n1:name=systemd:/system.slice/slurmd.service\n",
        "4:memory:/slurm/uid_0/job_123/step_batch\n",
        // Several slurmd on a machine have a root each, named by their node.
        "5:cpuset:/slurm_node01/uid_1000/job_123/step_extern/task_0\n",
        // Slurm's cgroup/v2 from 22.05 on: all steps are in a scope of slurmstepd.
        "0::/system.slice/slurmstepd.scope/job_123/step_0/user/task_0\n",
        "0::/system.slice/slurmstepd.scope/job_123/step_batch/user/task_special\n",
        "0::/system.slice/node01_slurmstepd.scope/job_123/step_interactive/user/task_0\n",
    ];
    for text in table {
        assert_eq!(says(text), job("123"), "{text}");
    }
    // Slurm in pods, as Slinky has it: both are known.
    let text = "0::/kubepods.slice/kubepods-podUID_.slice/cri-containerd-ID.scope/system.slice/slurmstepd.scope/job_7/step_0";
    assert_eq!(says(text), [UID.to_owned(), "7".to_owned(), String::new(), String::new()]);
    // A folder that only looks like a job.
    assert_eq!(says("0::/system.slice/ci.service/job_123"), unit("ci.service"));
}

#[test]
fn containers_without_kubernetes() {
    let table = [
        // Docker with cgroupfs and version 1.
        "7:devices:/docker/ID\n1:name=systemd:/docker/ID\n",
        // Docker with systemd and version 2, as on Ubuntu 22.04 and later.
        "0::/system.slice/docker-ID.scope\n",
        // Docker with `userns-remap`, or with init inside.
        "0::/system.slice/docker-ID.scope/init.scope\n",
        // Podman as root, and of a user.
        "0::/machine.slice/libpod-ID.scope/container\n",
        "0::/user.slice/user-1000.slice/user@1000.service/user.slice/libpod-ID.scope/container\n",
        // nerdctl.
        "0::/system.slice/nerdctl-ID.scope\n",
    ];
    for text in table {
        assert_eq!(says(text), container(), "{text}");
    }
}

#[test]
fn units_of_systemd() {
    let table = [
        // A service.
        ("0::/system.slice/ollama.service\n", "ollama.service"),
        // One of a template, in a slice of its own.
        ("0::/system.slice/system-vllm.slice/vllm@0.service\n", "vllm@0.service"),
        // Version 1: systemd's own hierarchy and a controller.
        (
            "1:name=systemd:/system.slice/nvidia-persistenced.service\n6:cpu:/\n",
            "nvidia-persistenced.service",
        ),
        // Someone who logged in: `ssh`, then a shell.
        ("0::/user.slice/user-1000.slice/session-3.scope\n", "user-1000.slice"),
        // A user's own service, and a program of the desktop.
        ("0::/user.slice/user-1000.slice/user@1000.service/app.slice/jupyter.service\n", "jupyter.service"),
        (
            "0::/user.slice/user-1000.slice/user@1000.service/app.slice/app-gnome-code-4711.scope\n",
            "user-1000.slice",
        ),
        // `systemd-run --scope`, and a virtual machine.
        ("0::/system.slice/run-r1a2b3c.scope\n", "run-r1a2b3c.scope"),
        (
            "0::/machine.slice/machine-qemu\\x2d1\\x2dvm1.scope/libvirt/emulator\n",
            "machine-qemu\\x2d1\\x2dvm1.scope",
        ),
        ("0::/init.scope\n", "init.scope"),
    ];
    for (text, name) in table {
        assert_eq!(says(text), unit(name), "{text}");
    }
}

#[test]
fn nothing_is_made_up() {
    // A machine without systemd; an empty file; lines that are none; ids that are too short.
    let table = [
        "0::/\n",
        "",
        "garbage",
        "1:2",
        ":::::",
        "0::/kubepods/pod/ID2",
        "0::/podinfo/podcast",
        "0::/kubepods.slice/kubepods-burstable.slice",
        "0::/default/web",
    ];
    for text in table {
        assert_eq!(of_cgroup(text), Workload::default(), "{text}");
    }
}
