use super::super::super::counters::Counters;
use super::super::super::naming::Naming;
use super::super::super::reading::{
    DeviceIdentity, GpuState, MigInstance, Reading, Row as ReadRow, XidHistory,
};
use super::super::super::workload::{Grant, Process, Workload};
use super::*;
use crate::lock::lock;
use std::sync::Mutex;

const UUID: [&str; 2] = ["GPU-a", "GPU-b"];

/// What a test says: grants as `device namespace/pod/container`, and owners of processes.
#[derive(Default)]
struct Said {
    grants: Mutex<Vec<(&'static str, Workload)>>,
    owners: BTreeMap<u32, Workload>,
}

impl Workloads for Said {
    fn grants(&self) -> Vec<Grant> {
        let grant = |(device, workload): &(&str, Workload)| Grant {
            resource: "nvidia.com/gpu".to_owned(),
            device_id: (*device).to_owned(),
            workload: Arc::new(workload.clone()),
        };
        lock(&self.grants).iter().map(grant).collect()
    }

    fn of_process(&self, pid: u32) -> Option<Workload> {
        self.owners.get(&pid).cloned()
    }

    fn name_of_process(&self, pid: u32) -> Option<String> {
        Some(format!("program{pid}"))
    }
}

fn pod(name: &str, container: &str) -> Workload {
    let (namespace, pod) = ("ml".to_owned(), name.to_owned());
    Workload { namespace, pod, container: container.to_owned(), ..Workload::default() }
}

fn of_uid(uid: &str) -> Workload {
    Workload { pod_uid: uid.to_owned(), ..Workload::default() }
}

fn process(pid: u32, memory_mib: u64, sm_percent: u32) -> Process {
    let memory_bytes = Some(memory_mib * MEBIBYTE);
    Process { pid, gpu_instance_id: None, memory_bytes, sm_percent: Some(sm_percent) }
}

fn read_row(instance: Option<u32>, used_mib: i64) -> ReadRow {
    let mut reading = Reading::default();
    reading.set(Field::GpuTemp, Some(Value::Int(40)));
    reading.set(Field::GpuUtil, Some(Value::Int(90)).filter(|_| instance.is_none()));
    reading.set(Field::FbUsed, Some(Value::Int(used_mib)));
    let instance = instance.map(|id| MigInstance {
        profile: "1g.10gb".to_owned(),
        gpu_instance_id: id,
        uuids: vec![format!("MIG-{id}")],
    });
    ReadRow { instance, reading }
}

/// GPU 0 as a whole, GPU 1 in two instances.
fn snapshot(processes: Vec<Process>) -> Snapshot {
    let gpu = |index: u32, rows: Vec<ReadRow>, processes: Vec<Process>| GpuState {
        identity: Arc::new(DeviceIdentity {
            index,
            uuid: UUID[index as usize].to_owned(),
            ..DeviceIdentity::default()
        }),
        rows: Some(rows),
        processes,
        xids: Some(XidHistory::default()),
    };
    let whole = gpu(0, vec![read_row(None, 1_000)], processes);
    let cut = gpu(1, vec![read_row(Some(3), 10), read_row(Some(4), 20)], Vec::new());
    Snapshot { gpus: vec![whole, cut], ..Snapshot::default() }
}

fn users(said: Said, options: UserOptions) -> Users {
    Users::new(Arc::new(said), None, options)
}

/// The lines of a family, without its name and what all lines have.
fn lines(users: &mut Users, snapshot: &Snapshot, family: &str) -> Vec<String> {
    let mut families = Families::new(snapshot, &Counters::default(), &Naming::default());
    users.add_to(snapshot, &mut families);
    let text = families.to_text();
    let lines = text.lines().filter_map(|line| line.strip_prefix(family)?.strip_prefix('{'));
    lines.map(|line| line.replace(r#",pci_bus_id="""#, "").replace(r#",modelName="""#, "")).collect()
}

const WHOLE: &str = r#"gpu="0",UUID="GPU-a",device="nvidia0""#;
const INSTANCE: &str = r#"gpu="1",UUID="GPU-b",device="nvidia1",GPU_I_PROFILE="1g.10gb""#;

#[test]
fn a_device_has_the_labels_of_its_pod() {
    let said = Said::default();
    *lock(&said.grants) = vec![("GPU-a", pod("train-0", "main")), ("MIG-4", pod("mig-0", "main"))];
    let mut users = users(said, UserOptions::default());
    let temperature = lines(&mut users, &snapshot(Vec::new()), "DCGM_FI_DEV_GPU_TEMP");
    assert_eq!(
        temperature,
        [
            format!(r#"{WHOLE},container="main",namespace="ml",pod="train-0"}} 40"#),
            format!(r#"{INSTANCE},GPU_I_ID="3"}} 40"#),
            format!(r#"{INSTANCE},GPU_I_ID="4",container="main",namespace="ml",pod="mig-0"}} 40"#),
        ]
    );
    let xids = lines(&mut users, &snapshot(Vec::new()), "DCGM_FI_DEV_XID_ERRORS");
    let expected = format!(
        r#"{WHOLE},container="main",err_code="0",err_msg="No Error",namespace="ml",pod="train-0"}} 0"#
    );
    assert_eq!(
        xids[0], expected,
        "all attributes are in the order of their names, as the exporter writes them"
    );
    let up = lines(&mut users, &snapshot(Vec::new()), "perdura_gpu_up");
    assert_eq!(up[0], format!("{WHOLE}}} 1"), "what is of the GPU alone goes on when its pod goes");
}

#[test]
fn names_of_the_labels_are_chosen() {
    let with = |labels, has_pod_uid| {
        let said = Said::default();
        let workload = Workload { pod_uid: "1-2".to_owned(), ..pod("a", "c") };
        *lock(&said.grants) = vec![("nvidia0/vgpu2", workload)];
        let options = UserOptions { labels, has_pod_uid, ..UserOptions::default() };
        let line = lines(&mut users(said, options), &snapshot(Vec::new()), "DCGM_FI_DEV_GPU_TEMP").remove(0);
        line.strip_prefix(WHOLE).expect("it is of GPU 0").to_owned()
    };
    let plain = r#",container="c",namespace="ml",pod="a",vgpu="2"} 40"#;
    assert_eq!(with(PodLabels::Plain, false), plain);
    let exported =
        r#",exported_container="c",exported_namespace="ml",exported_pod="a",pod_uid="1-2",vgpu="2"} 40"#;
    assert_eq!(with(PodLabels::Exported, true), exported);
    let old = r#",container_name="c",pod_name="a",pod_namespace="ml",vgpu="2"} 40"#;
    assert_eq!(with(PodLabels::Old, false), old);
}

#[test]
fn pods_that_share_have_what_they_use_themselves() {
    let owners = [(1, of_uid("u1")), (2, of_uid("u1")), (3, of_uid("u2"))];
    let said = Said { owners: owners.into(), ..Said::default() };
    let known = |name: &str, uid: &str| Workload { pod_uid: uid.to_owned(), ..pod(name, "c") };
    let shares =
        [("GPU-a::0", known("a", "u1")), ("GPU-a::1", known("b", "u2")), ("GPU-a::2", known("c", "u3"))];
    *lock(&said.grants) = shares.into();
    let mut users = users(said, UserOptions::default());
    let pods = |users: &mut Users, family: &str, processes: Vec<Process>| -> Vec<(String, i64)> {
        let lines = lines(users, &snapshot(processes), family);
        let of_gpu = lines.iter().filter_map(|line| line.strip_prefix(WHOLE)?.rsplit_once("} "));
        let shown = |(labels, value): (&str, &str)| {
            let pod = labels.split_once("pod=\"").map_or("", |(_, pod)| &pod[..1]);
            (pod.to_owned(), value.parse().expect("it is a number"))
        };
        of_gpu.map(shown).collect()
    };
    let of = |pods: &[(&str, i64)]| -> Vec<(String, i64)> {
        pods.iter().map(|(pod, value)| ((*pod).to_owned(), *value)).collect()
    };
    let used = "DCGM_FI_DEV_FB_USED";
    let before = pods(&mut users, used, Vec::new());
    assert_eq!(before, of(&[("a", 1_000), ("b", 1_000), ("c", 1_000)]), "nobody tells of processes");
    let processes = || vec![process(1, 100, 30), process(2, 50, 20), process(3, 200, 25)];
    let told = pods(&mut users, used, processes());
    assert_eq!(told, of(&[("a", 150), ("b", 200), ("c", 0), ("", 1_000)]));
    let told = pods(&mut users, "DCGM_FI_DEV_GPU_UTIL", processes());
    assert_eq!(told, of(&[("a", 50), ("b", 25), ("c", 0), ("", 90)]));
    let temperature = pods(&mut users, "DCGM_FI_DEV_GPU_TEMP", processes());
    assert_eq!(temperature, of(&[("a", 40), ("b", 40), ("c", 40)]));
    let idle = pods(&mut users, used, Vec::new());
    assert_eq!(idle, of(&[("a", 0), ("b", 0), ("c", 0), ("", 1_000)]), "it told of processes before");
}

#[test]
fn nobody_is_idle_while_a_process_has_no_name() {
    let owners = [(1, of_uid("u1"))];
    let said = Said { owners: owners.into(), ..Said::default() };
    *lock(&said.grants) = vec![("GPU-a::0", pod("a", "c")), ("GPU-a::1", pod("b", "c"))];
    let mut users = users(said, UserOptions::default());
    let snapshot = snapshot(vec![process(1, 100, 30)]);
    let used = lines(&mut users, &snapshot, "DCGM_FI_DEV_FB_USED");
    assert_eq!(used[0], format!(r#"{WHOLE},container="c",namespace="ml",pod="a",vgpu="0"}} 1000"#));
    let memory = lines(&mut users, &snapshot, MEMORY);
    assert_eq!(memory, [r#"gpu="0",UUID="GPU-a",pod_uid="u1"} 104857600"#]);
}

#[test]
fn uses_are_summed_by_workload_or_told_by_process() {
    let unit = Workload { unit: "ollama.service".to_owned(), ..Workload::default() };
    let job = Workload { slurm_job: "123".to_owned(), ..Workload::default() };
    let owners = [(1, unit.clone()), (2, unit), (3, job)];
    let said = || Said { owners: owners.clone().into(), ..Said::default() };
    let processes = || vec![process(1, 1, 30), process(2, 1, 30), process(3, 4, 25), process(9, 8, 0)];
    let mut summed = users(said(), UserOptions::default());
    let snapshot = snapshot(processes());
    let device = r#"gpu="0",UUID="GPU-a""#;
    let expected = [
        format!(r#"{device}}} 8388608"#),
        format!(r#"{device},unit="ollama.service"}} 2097152"#),
        format!(r#"{device},hpc_job="123"}} 4194304"#),
    ];
    let mut memory = lines(&mut summed, &snapshot, MEMORY);
    memory.sort_by_key(|line| line.len());
    assert_eq!(memory, [expected[0].clone(), expected[2].clone(), expected[1].clone()]);
    assert_eq!(lines(&mut summed, &snapshot, SM).len(), 3);
    let temperature = lines(&mut summed, &snapshot, "DCGM_FI_DEV_GPU_TEMP");
    assert_eq!(temperature[0], format!(r#"{WHOLE},hpc_job="123"}} 40"#), "a job's processes run there");
    let options = UserOptions { by_process: true, ..UserOptions::default() };
    let each = lines(&mut users(said(), options), &snapshot, SM);
    assert_eq!(each.len(), 4);
    let one = format!(r#"{device},pid="1",process="program1",unit="ollama.service"}} 30"#);
    assert!(each.contains(&one), "{each:?}");
}

#[test]
fn jobs_of_a_folder_have_a_row_each() {
    let folder = tempfile::tempdir().expect("a temporary folder can be made");
    std::fs::write(folder.path().join("0"), "job2\njob1\n").expect("a file can be written");
    std::fs::write(folder.path().join("1.4"), "job3\n").expect("a file can be written");
    std::fs::write(folder.path().join("MIG-3"), "job4\n").expect("a file can be written");
    let jobs = JobFolder::new(folder.path().to_owned());
    let mut users = Users::new(Arc::new(Said::default()), Some(jobs), UserOptions::default());
    let lines = lines(&mut users, &snapshot(Vec::new()), "DCGM_FI_DEV_GPU_TEMP");
    let expected = [
        format!(r#"{WHOLE},hpc_job="job1"}} 40"#),
        format!(r#"{WHOLE},hpc_job="job2"}} 40"#),
        format!(r#"{INSTANCE},GPU_I_ID="3",hpc_job="job4"}} 40"#),
        format!(r#"{INSTANCE},GPU_I_ID="4",hpc_job="job3"}} 40"#),
    ];
    assert_eq!(lines, expected);
}

/// The writer knows a series again by the place of its labels in memory.
#[test]
fn label_sets_stay_where_they_are_while_users_stay() {
    let said = Said { owners: [(1, of_uid("u"))].into(), ..Said::default() };
    *lock(&said.grants) = vec![("GPU-a", pod("a", "c"))];
    let mut users = users(said, UserOptions::default());
    let mut namer = super::super::super::namer::Namer::new(Counters::default(), Naming::default());
    let snapshot = snapshot(vec![process(1, 1, 1)]);
    let mut round = || {
        let mut families = namer.families(&snapshot);
        users.add_to(&snapshot, &mut families);
        families.bases
    };
    let (first, second) = (round(), round());
    assert_eq!(first.len(), 6, "two GPUs, two instances, a pod, a process");
    assert!(first.iter().zip(&second).all(|(a, b)| Arc::ptr_eq(a, b)));
}
