//! Pods, jobs and processes on the pages and in the storage of the program, over the stand-in, a kubelet of a test and a
//! `/proc` of its own.

use std::path::PathBuf;

use tempfile::TempDir;

use crate::fake_kubelet::{FakeKubelet, Say, pod};
use crate::program::Program;
use crate::stand_in::{Knob, StandIn};

const GPU: &str = "nvidia.com/gpu";
const UID: [&str; 2] = ["2d3b6b6c-1c8c-4c1c-9f0e-2b7a3ad3f6ea", "77777777-1c8c-4c1c-9f0e-2b7a3ad3f6ea"];

/// The files that a machine tells by.
struct Machine {
    folder: TempDir,
}

impl Machine {
    fn new() -> Self {
        Self { folder: tempfile::tempdir().expect("a temporary folder can be made") }
    }

    fn path(&self, name: &str) -> PathBuf {
        let path = self.folder.path().join(name);
        std::fs::create_dir_all(&path).expect("a folder can be made");
        path
    }

    fn process(&self, pid: u32, cgroup: &str) {
        let path = self.path("proc").join(pid.to_string());
        std::fs::create_dir_all(&path).expect("a folder can be made");
        std::fs::write(path.join("cgroup"), format!("0::{cgroup}\n")).expect("a file can be written");
        std::fs::write(path.join("comm"), "python3\n").expect("a file can be written");
    }

    fn process_of_pod(&self, pid: u32, uid: &str) {
        self.process(pid, &format!("/kubepods/burstable/pod{uid}/{}", "3a".repeat(32)));
    }

    fn flag(&self, flag: &str, name: &str) -> String {
        format!("--{flag}={}", self.path(name).display())
    }

    /// The exporter over a driver, with flags and variables beyond what it always needs.
    fn export(&self, driver: &StandIn, flags: &[&str], variables: &[(&str, &str)]) -> Program {
        let library = driver.path().display().to_string();
        let always =
            ["gpu", "export", "--listen=127.0.0.1:0", "--interval=200ms", "--library", library.as_str()];
        Program::start_with(self.folder.path(), &[&always, flags].concat(), variables)
    }
}

fn uuid(gpu: u32) -> String {
    format!("GPU-00000000-0000-0000-0000-00000000000{gpu}")
}

fn whole(namespace: &str, name: &str, gpu: u32) -> crate::fake_kubelet::PodResources {
    pod(namespace, name, "main", GPU, &[&uuid(gpu)])
}

/// An order to the stand-in of the driver, which the program loads for itself.
fn set(knob: Knob, gpu: u32, value: u64) -> String {
    format!("set {} {gpu} {value}", knob as u64)
}

fn process(gpu: u32, pid: u32, memory_bytes: u64, sm_percent: u32) -> String {
    format!("process {gpu} 0 {pid} {memory_bytes} {sm_percent}")
}

/// Ends of the lines of a family: what stands behind the name of the product.
fn ends(page: &str, family: &str, gpu: u32) -> Vec<String> {
    let start = format!("{family}{{gpu=\"{gpu}\",");
    let lines = page.lines().filter(|line| line.starts_with(&start));
    let end =
        |line: &str| line.split_once("DCGM_FI_DRIVER_VERSION=\"550.54.15\"").map(|(_, end)| end.to_owned());
    lines.filter_map(end).collect()
}

/// A DaemonSet written for the DCGM exporter: its variables and no flags but where the stand-ins are.
#[test]
fn a_daemon_set_of_the_exporter_has_its_pods() {
    let driver = StandIn::new();
    let pods = || {
        vec![
            whole("ml", "train-0", 0),
            pod(
                "ml",
                "mig-0",
                "main",
                "nvidia.com/mig-1g.10gb",
                &["MIG-00000000-0000-0000-0002-000000000001"],
            ),
            pod("gke", "part-0", "main", GPU, &["nvidia2/gi7"]),
            pod("ml", "share-a", "main", "nvidia.com/gpu.shared", &[&format!("{}::0", uuid(3))]),
            pod("ml", "share-b", "main", "nvidia.com/gpu.shared", &[&format!("{}::1", uuid(3))]),
            pod("gke", "share-c", "main", GPU, &["nvidia4/vgpu1"]),
            pod("ml", "odd-0", "main", GPU, &["what-is-this"]),
        ]
    };
    let kubelet = FakeKubelet::new(Say::Pods(pods()));
    let (library, socket) = (driver.path().display().to_string(), kubelet.socket().display().to_string());
    let machine = Machine::new();
    let exporter = Program::start_with(
        machine.folder.path(),
        &["gpu", "export", "--library", &library],
        &[
            ("DCGM_EXPORTER_LISTEN", "127.0.0.1:0"),
            ("DCGM_EXPORTER_KUBERNETES", "true"),
            ("DCGM_EXPORTER_INTERVAL", "200"),
            ("DCGM_POD_RESOURCES_KUBELET_SOCKET", &socket),
            ("NVIDIA_RESOURCE_NAMES", "nvidia.com/gpu.shared"),
            ("STAND_IN", &set(Knob::Mig, 2, 3)),
        ],
    );
    let page = exporter.get_until("/metrics", |page| page.contains("DCGM_FI_DEV_GPU_TEMP"));
    let temperature = |gpu| ends(&page, "DCGM_FI_DEV_GPU_TEMP", gpu);
    assert_eq!(
        temperature(0),
        [r#",container="main",namespace="ml",pod="train-0"} 40"#],
        "in the first round"
    );
    assert_eq!(temperature(1), ["} 41"]);
    let parts = [
        r#",container="main",namespace="gke",pod="part-0"} 42"#,
        r#",container="main",namespace="ml",pod="mig-0"} 42"#,
        "} 42",
    ];
    assert_eq!(temperature(2), parts);
    let shares = [
        r#",container="main",namespace="ml",pod="share-a",vgpu="0"} 43"#,
        r#",container="main",namespace="ml",pod="share-b",vgpu="1"} 43"#,
    ];
    assert_eq!(temperature(3), shares);
    assert_eq!(temperature(4), [r#",container="main",namespace="gke",pod="share-c",vgpu="1"} 44"#]);
    let xid = r#",container="main",err_code="0",err_msg="No Error",namespace="ml",pod="train-0"} 0"#;
    exporter.get_until("/metrics", |page| ends(page, "DCGM_FI_DEV_XID_ERRORS", 0) == [xid]);
    kubelet.says(Say::Pods(vec![whole("ml", "train-1", 0)]));
    let moved = r#",container="main",namespace="ml",pod="train-1"} 40"#;
    let page = exporter.get_until("/metrics", |page| ends(page, "DCGM_FI_DEV_GPU_TEMP", 0) == [moved]);
    assert!(!page.contains("train-0") && !page.contains("share-a"), "who is gone is not shown");
}

#[test]
fn pods_that_share_a_gpu_are_told_apart_by_processes() {
    let driver = StandIn::new();
    let orders = [
        set(Knob::Util, 3, 55),
        process(3, 71, 3 << 30, 20),
        process(3, 72, 1 << 30, 10),
        process(3, 73, 1 << 20, 5),
        process(3, 99, 2 << 20, 0),
    ];
    let machine = Machine::new();
    machine.process_of_pod(71, UID[0]);
    machine.process_of_pod(72, UID[0]);
    machine.process_of_pod(73, UID[1]);
    machine.process(99, "/system.slice/nvidia-persistenced.service");
    for (pod, uid) in [("share-a", UID[0]), ("share-b", UID[1])] {
        machine.path(&format!("pods/ml_{pod}_{uid}"));
    }
    let shares = ["share-a", "share-b", "share-c"].iter().enumerate();
    let shares = shares.map(|(n, name)| pod("ml", name, "main", GPU, &[&format!("{}::{n}", uuid(3))]));
    let kubelet = FakeKubelet::new(Say::Pods(shares.collect()));
    let exporter = machine.export(
        &driver,
        &[
            "--kubernetes",
            "--kubernetes-enable-pod-uid",
            "--kubernetes-virtual-gpus",
            "--kubernetes-gpu-id-type=device-name",
            &format!("--pod-resources-kubelet-socket={}", kubelet.socket().display()),
            "--processes=on",
            &machine.flag("proc", "proc"),
            &machine.flag("pod-logs", "pods"),
        ],
        &[("STAND_IN", &orders.join("\n"))],
    );
    let memory = "perdura_gpu_process_memory_bytes{gpu=\"3\"";
    let page = exporter.get_until("/metrics", |page| page.contains(memory));
    let row = |pod: &str, uid: &str, n: u32, value: u32| {
        let uid = if uid.is_empty() { String::new() } else { format!(",pod_uid=\"{uid}\"") };
        format!(r#",container="main",namespace="ml",pod="{pod}"{uid},vgpu="{n}"}} {value}"#)
    };
    let rows = |a, b, all| {
        [row("share-a", UID[0], 0, a), row("share-b", UID[1], 1, b), row("share-c", "", 2, 0), all]
    };
    assert_eq!(ends(&page, "DCGM_FI_DEV_FB_USED", 3), rows(4_096, 1, "} 10000".to_owned()));
    assert_eq!(ends(&page, "DCGM_FI_DEV_GPU_UTIL", 3), rows(30, 5, "} 55".to_owned()));
    let device = r#"{gpu="3",UUID="GPU-00000000-0000-0000-0000-000000000003",Hostname="node-1","#;
    let lines = [
        format!(
            r#"perdura_gpu_process_memory_bytes{device}container="main",namespace="ml",pod="share-a",pod_uid="{}"}} 4294967296"#,
            UID[0]
        ),
        format!(r#"perdura_gpu_process_memory_bytes{device}unit="nvidia-persistenced.service"}} 2097152"#),
        format!(
            r#"perdura_gpu_process_sm_utilization_percent{device}container="main",namespace="ml",pod="share-b",pod_uid="{}"}} 5"#,
            UID[1]
        ),
    ];
    for line in lines {
        assert!(page.contains(&line), "{line}\n{page}");
    }
}

#[test]
fn jobs_of_a_batch_system_are_shown() {
    let driver = StandIn::new();
    let machine = Machine::new();
    machine.process(71, "/system.slice/slurmstepd.scope/job_4711/step_0/user/task_0");
    std::fs::write(machine.path("jobs").join("0"), "4712\n4713\n").expect("a file can be written");
    let exporter = machine.export(
        &driver,
        &[
            "--kubernetes=false",
            "--processes=on",
            "--process-ids",
            &machine.flag("proc", "proc"),
            &machine.flag("hpc-job-mapping-dir", "jobs"),
        ],
        &[("STAND_IN", &process(1, 71, 1 << 20, 20))],
    );
    let page = exporter.get_until("/metrics", |page| page.contains("DCGM_FI_DEV_GPU_TEMP"));
    let jobs = [r#",hpc_job="4712"} 40"#, r#",hpc_job="4713"} 40"#];
    assert_eq!(ends(&page, "DCGM_FI_DEV_GPU_TEMP", 0), jobs);
    assert_eq!(ends(&page, "DCGM_FI_DEV_GPU_TEMP", 1), [r#",hpc_job="4711"} 41"#]);
    assert!(page.contains(r#",hpc_job="4711",pid="71",process="python3"} 20"#), "{page}");
}

/// Series of a pod end with the pod, within one reading, and not after the five minutes that a query looks back.
#[test]
fn a_server_stores_pods_and_ends_their_series() {
    let driver = StandIn::new();
    let kubelet = FakeKubelet::new(Say::Pods(vec![whole("ml", "train-0", 0)]));
    let machine = Machine::new();
    let flags = |more: &'static [&'static str]| {
        let library = format!("--gpu.library={}", driver.path().display());
        let socket = format!("--gpu.kubelet-socket={}", kubelet.socket().display());
        let first = ["serve", "--web.listen-address=127.0.0.1:0", "--gpu=on", "--gpu.interval=200ms"];
        let mut flags: Vec<String> = first.iter().chain(more).map(|flag| (*flag).to_owned()).collect();
        flags.extend([library, socket]);
        flags
    };
    let start = |folder: &str, more: &'static [&'static str]| {
        let flags = flags(more);
        let flags: Vec<&str> = flags.iter().map(String::as_str).collect();
        Program::start_with(&machine.path(folder), &flags, &[])
    };
    let query = |selector: &str| {
        let selector =
            selector.replace('{', "%7B").replace('}', "%7D").replace('"', "%22").replace('=', "%3D");
        format!("/api/v1/query?query={selector}")
    };
    let server = start("plain", &[]);
    let first = query(r#"DCGM_FI_DEV_GPU_TEMP{pod="train-0"}"#);
    let answer = server.get_until(&first, |answer| answer.contains("\"40\"]"));
    assert!(answer.contains(r#""namespace":"ml""#) && answer.contains(r#""container":"main""#), "{answer}");
    let exported = start("exported", &["--gpu.exported-labels"]);
    let selector = query(r#"DCGM_FI_DEV_GPU_TEMP{exported_pod="train-0",exported_namespace="ml"}"#);
    exported.get_until(&selector, |answer| answer.contains(r#""exported_container":"main""#));
    kubelet.says(Say::Pods(vec![whole("ml", "train-1", 0)]));
    let second = query(r#"DCGM_FI_DEV_GPU_TEMP{pod="train-1"}"#);
    server.get_until(&second, |answer| answer.contains("\"40\"]"));
    let answer = server.get(&first);
    assert!(answer.contains(r#""result":[]"#), "it ended with its pod: {answer}");
}
