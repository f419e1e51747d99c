//! The kubelet's client against a kubelet that answers, refuses, hangs, lies and goes away.

use std::sync::Arc;
use std::thread::sleep;
use std::time::{Duration, Instant};

use perdura::gpu::users::{Kubelet, KubeletOptions, Resources};

use crate::fake_kubelet::{
    ClaimResource, ContainerResources, DynamicResource, FakeKubelet, PodResources, Say, framed, pod,
};

const TRIES: usize = 500;
const PAUSE: Duration = Duration::from_millis(10);
const GPU: &str = "nvidia.com/gpu";

fn options(kubelet: &FakeKubelet) -> KubeletOptions {
    KubeletOptions {
        socket: kubelet.socket(),
        resources: Resources::with("example.com/gpu.shared"),
        interval: Duration::from_millis(20),
        deadline: Duration::from_millis(300),
        good_for: Duration::from_secs(30),
        is_expected: true,
    }
}

/// Device and owner of each grant.
fn grants(kubelet: &Kubelet) -> Vec<String> {
    let shown = |grant: &perdura::gpu::Grant| {
        let of = &grant.workload;
        format!("{} {}/{}/{}", grant.device_id, of.namespace, of.pod, of.container)
    };
    kubelet.grants().iter().map(shown).collect()
}

fn becomes(kubelet: &Kubelet, expected: &[&str]) {
    for _ in 0..TRIES {
        if grants(kubelet) == expected {
            return;
        }
        sleep(PAUSE);
    }
    assert_eq!(grants(kubelet), expected);
}

/// Waits until it was asked twice more, so that what it said last has been judged.
fn is_asked(kubelet: &FakeKubelet) {
    let before = kubelet.calls();
    assert!((0..TRIES).any(|_| {
        sleep(PAUSE);
        kubelet.calls() >= before + 2
    }));
}

#[test]
fn every_kind_of_grant_is_read_at_once() {
    let claim = ClaimResource {
        driver_name: "gpu.nvidia.com".to_owned(),
        pool_name: "node-1".to_owned(),
        device_name: "gpu-3".to_owned(),
    };
    let claims = DynamicResource {
        claim_name: "gpus".to_owned(),
        claim_namespace: "ml".to_owned(),
        claim_resources: vec![claim],
    };
    let claiming = ContainerResources {
        name: "main".to_owned(),
        dynamic_resources: vec![claims],
        ..ContainerResources::default()
    };
    let dra =
        PodResources { name: "claims-0".to_owned(), namespace: "ml".to_owned(), containers: vec![claiming] };
    let mut two = pod("ml", "train-0", "main", GPU, &["GPU-a", "GPU-b"]);
    two.containers.extend(pod("", "", "side", GPU, &["GPU-c"]).containers);
    let pods = vec![
        two,
        pod("ml", "mig-0", "main", "nvidia.com/mig-1g.10gb", &["MIG-d"]),
        pod("ml", "shared-0", "main", "example.com/gpu.shared", &["GPU-e::3"]),
        pod("gke", "part-0", "main", GPU, &["nvidia0/gi3/vgpu1"]),
        dra,
        pod("kube-system", "net-0", "main", "rdma/hca", &["mlx5_0"]),
    ];
    let server = FakeKubelet::new(Say::Pods(pods));
    let kubelet = Kubelet::start(options(&server)).expect("the thread starts");
    let expected = [
        "GPU-a ml/train-0/main",
        "GPU-b ml/train-0/main",
        "GPU-c ml/train-0/side",
        "MIG-d ml/mig-0/main",
        "GPU-e::3 ml/shared-0/main",
        "nvidia0/gi3/vgpu1 gke/part-0/main",
        "gpu-3 ml/claims-0/main",
    ];
    assert_eq!(grants(&kubelet), expected, "the first answer is waited for");
}

/// 500 pods: the answer comes in many frames.
#[test]
fn a_large_node_is_read() {
    let pods = (0..500).map(|n| pod("ml", &format!("train-{n:0200}"), "main", GPU, &[&format!("GPU-{n}")]));
    let server = FakeKubelet::new(Say::Pods(pods.collect()));
    let kubelet = Kubelet::start(options(&server)).expect("the thread starts");
    assert_eq!(kubelet.grants().len(), 500);
}

#[test]
fn faults_leave_the_last_answer_and_end() {
    let sound = || Say::Pods(vec![pod("ml", "train-0", "main", GPU, &["GPU-a"])]);
    let server = FakeKubelet::new(sound());
    let kubelet = Kubelet::start(options(&server)).expect("the thread starts");
    let before = grants(&kubelet);
    assert_eq!(before, ["GPU-a ml/train-0/main"]);
    let faults = [
        Say::Refuse("8", "rejected by rate limit"),
        Say::Http(503),
        Say::Bytes(framed(&[0x0a, 200, 1])),
        Say::Bytes(framed(&[0xff; 64])),
        // Announced as 3 GB, then nothing more.
        Say::Bytes(vec![0, 0xc0, 0, 0, 0, 1, 2].into()),
        Say::Bytes(vec![1, 0, 0, 0, 0].into()),
        Say::Bytes(vec![0, 0].into()),
        Say::Bytes(vec![].into()),
        Say::Hang,
    ];
    for fault in faults {
        server.says(fault);
        is_asked(&server);
        assert_eq!(grants(&kubelet), before);
    }
    server.says(Say::Pods(Vec::new()));
    becomes(&kubelet, &[]);
    server.says(sound());
    becomes(&kubelet, &["GPU-a ml/train-0/main"]);
}

/// 40 MiB that are no longer than they say.
#[test]
fn a_huge_answer_is_refused() {
    let server = FakeKubelet::new(Say::Bytes(framed(&vec![0x2a; 40 << 20])));
    let kubelet = Kubelet::start(options(&server)).expect("the thread starts");
    is_asked(&server);
    assert!(kubelet.grants().is_empty());
}

#[test]
fn whoever_asks_never_waits() {
    let server = FakeKubelet::new(Say::Hang);
    let begun = Instant::now();
    let kubelet = Kubelet::start(options(&server)).expect("the thread starts");
    assert!(begun.elapsed() < Duration::from_secs(5), "the first answer is waited for, but not for ever");
    let begun = Instant::now();
    let all: Vec<_> = (0..1_000).map(|_| kubelet.grants()).collect();
    assert!(all.iter().all(|grants| grants.is_empty()) && begun.elapsed() < Duration::from_millis(200));
    drop(kubelet);
}

#[test]
fn a_socket_goes_and_comes_back() {
    let first = pod("ml", "train-0", "main", GPU, &["GPU-a"]);
    let mut server = FakeKubelet::new(Say::Pods(vec![first]));
    let options = KubeletOptions { good_for: Duration::from_millis(500), ..options(&server) };
    let kubelet = Kubelet::start(options).expect("the thread starts");
    becomes(&kubelet, &["GPU-a ml/train-0/main"]);
    server.go();
    becomes(&kubelet, &[]);
    server.says(Say::Pods(vec![pod("ml", "train-1", "main", GPU, &["GPU-a"])]));
    server.come_back();
    becomes(&kubelet, &["GPU-a ml/train-1/main"]);
    let last = Arc::downgrade(&kubelet.grants());
    drop(kubelet);
    assert!(
        (0..TRIES).any(|_| {
            sleep(PAUSE);
            last.upgrade().is_none()
        }),
        "the thread ends with the value"
    );
}
