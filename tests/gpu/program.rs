//! The program over the stand-in: `perdura serve` stores readings, `perdura gpu export` shows them.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::thread::sleep;
use std::time::Duration;

use crate::stand_in::StandIn;

/// Longest that the program may take for what it is asked.
const TRIES: usize = 400;
const PAUSE: Duration = Duration::from_millis(50);

/// A running program; it is killed with the value.
pub(crate) struct Program {
    child: Child,
    address: String,
}

impl Drop for Program {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Program {
    /// Runs perdura in `folder` and waits until it listens.
    pub(crate) fn start(folder: &Path, arguments: &[&str]) -> Self {
        Self::start_with(folder, arguments, &[])
    }

    /// With variables.
    pub(crate) fn start_with(folder: &Path, arguments: &[&str], variables: &[(&str, &str)]) -> Self {
        let mut child = Command::new(env!("CARGO_BIN_EXE_perdura"))
            .args(arguments)
            .env("NODE_NAME", "node-1")
            .envs(variables.iter().copied())
            .current_dir(folder)
            .stderr(Stdio::piped())
            .spawn()
            .expect("the program starts");
        let mut log = BufReader::new(child.stderr.take().expect("its log is piped")).lines();
        let line = log.find(|line| line.as_ref().is_ok_and(|line| line.contains("listening")));
        let line = line.expect("it listens").expect("its log is text");
        let address = line.rsplit_once("address=").expect("the log names the address").1;
        let address = address.trim_matches('"').to_owned();
        // What it says later is read, so that the pipe never fills.
        std::thread::spawn(move || log.for_each(drop));
        Self { child, address }
    }

    /// Head and body of an answer.
    pub(crate) fn get(&self, path: &str) -> String {
        let mut stream = TcpStream::connect(&self.address).expect("the program listens");
        stream.set_read_timeout(Some(Duration::from_secs(30))).expect("a timeout can be set");
        let request = format!("GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).expect("the request is sent");
        let mut answer = String::new();
        stream.read_to_string(&mut answer).expect("the answer is text");
        answer
    }

    /// The first answer that `is_wanted`.
    pub(crate) fn get_until(&self, path: &str, is_wanted: impl Fn(&str) -> bool) -> String {
        for _ in 0..TRIES {
            let answer = self.get(path);
            if is_wanted(&answer) {
                return answer;
            }
            sleep(PAUSE);
        }
        panic!("{path} never answered what was wanted; last: {}", self.get(path));
    }
}

#[test]
fn the_server_stores_what_gpus_tell() {
    let driver = StandIn::new();
    let library = format!("--gpu.library={}", driver.path().display());
    let folder = tempfile::tempdir().expect("a temporary folder can be made");
    let server = Program::start(
        folder.path(),
        &["serve", "--web.listen-address=127.0.0.1:0", "--gpu=on", "--gpu.interval=200ms", &library],
    );
    let query =
        "/api/v1/query?query=count(DCGM_FI_DEV_GPU_TEMP%7Bjob%3D%22gpu%22%2Cinstance%3D%22node-1%22%7D)";
    let answer = server.get_until(query, |answer| answer.contains("\"8\"]"));
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    let answer = server.get("/api/v1/query?query=perdura_gpu_nvlink_receive_bytes_total%7Bgpu%3D%221%22%7D");
    for part in ["\"Hostname\":\"node-1\"", "\"modelName\":\"NVIDIA H100 80GB HBM3\"", "\"4096000\"]"] {
        assert!(answer.contains(part), "{part}: {answer}");
    }
    let answer = server.get("/api/v1/metadata?metric=DCGM_FI_DEV_POWER_USAGE");
    assert!(answer.contains("Power draw (in W)."), "{answer}");
}

#[test]
fn the_exporter_shows_the_counters_of_a_file() {
    let driver = StandIn::new();
    let folder = tempfile::tempdir().expect("a temporary folder can be made");
    let file = folder.path().join("counters.csv");
    let lines = "DCGM_FI_DEV_SERIAL, label, s\nDCGM_FI_DEV_POWER_USAGE, gauge, Power draw (in W).\n";
    std::fs::write(&file, lines).expect("the file can be written");
    let (file, library) = (file.display().to_string(), driver.path().display().to_string());
    let exporter = Program::start(
        folder.path(),
        &[
            "gpu",
            "export",
            "--listen=127.0.0.1:0",
            "--interval=200ms",
            "--hostname-label=hostname",
            "-f",
            &file,
            "--library",
            &library,
        ],
    );
    let answer = exporter.get_until("/metrics", |answer| answer.contains("DCGM_FI_DEV_POWER_USAGE"));
    assert!(answer.contains("content-type: text/plain; version=0.0.4; charset=utf-8\r\n"), "{answer}");
    let families: Vec<&str> = answer.lines().filter_map(|line| line.strip_prefix("# TYPE ")).collect();
    let own = ["perdura_gpu_up gauge", "perdura_gpu_source_up gauge"];
    assert_eq!(families, ["DCGM_FI_DEV_POWER_USAGE gauge", own[0], own[1]]);
    assert!(answer.contains(concat!(
        "# HELP DCGM_FI_DEV_POWER_USAGE Power draw (in W).\n# TYPE DCGM_FI_DEV_POWER_USAGE gauge\n",
        "DCGM_FI_DEV_POWER_USAGE{gpu=\"0\",UUID=\"GPU-00000000-0000-0000-0000-000000000000\",",
        "pci_bus_id=\"00000000:18:00.0\",device=\"nvidia0\",modelName=\"NVIDIA H100 80GB HBM3\",",
        "hostname=\"node-1\",DCGM_FI_DEV_SERIAL=\"1650522003660\"} 699.125000\n"
    )));
    assert!(exporter.get("/health").starts_with("HTTP/1.1 200"));
}

#[test]
fn the_exporter_runs_without_a_driver() {
    let folder = tempfile::tempdir().expect("a temporary folder can be made");
    let exporter = Program::start(
        folder.path(),
        &[
            "gpu",
            "export",
            "--listen=127.0.0.1:0",
            "--interval=200ms",
            "--library=/nowhere/libnvidia-ml.so.1",
        ],
    );
    let answer = exporter.get_until("/health", |answer| answer.starts_with("HTTP/1.1 200"));
    assert!(answer.ends_with("OK\n"), "{answer}");
    let answer = exporter.get("/metrics");
    assert!(answer.ends_with("\nperdura_gpu_source_up{Hostname=\"node-1\"} 0\n"), "{answer}");
    assert_eq!(answer.matches("# TYPE ").count(), 1, "there is nothing else to show");
}
