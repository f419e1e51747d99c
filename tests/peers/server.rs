//! Real servers for trials: started on free loopback ports, watched, and ended with the trial.

use std::fs::File;
use std::io;
use std::net::{Ipv4Addr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use super::http::{self, Answer};

/// Longest wait for a server to answer that it is ready.
const READY_PATIENCE: Duration = Duration::from_secs(60);

/// Folder with the peers' binaries, or `None` (and a line that says so) where the trial must be skipped.
pub(crate) fn peers(trial: &str) -> Option<PathBuf> {
    let folder = std::env::var_os("PERDURA_PEERS").map(PathBuf::from);
    if folder.is_none() {
        println!("{trial}: skipped, PERDURA_PEERS names no folder with real peers");
    }
    folder
}

/// A port that was free a moment ago.
pub(crate) fn free_port() -> u16 {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("loopback has a free port");
    listener.local_addr().expect("a bound listener has an address").port()
}

/// A running server. Killed when dropped; its log is printed if the trial is failing then.
pub(crate) struct Server {
    name: &'static str,
    child: Child,
    pub(crate) port: u16,
    log: PathBuf,
}

impl Server {
    /// Starts `command` and waits until `GET ready` on `port` answers 200. Output goes to `log`, appended.
    pub(crate) fn start(
        name: &'static str,
        command: &mut Command,
        port: u16,
        ready: &str,
        log: PathBuf,
    ) -> Self {
        let file =
            File::options().create(true).append(true).open(&log).expect("the trial's folder is writable");
        let errors = file.try_clone().expect("a file handle can be doubled");
        let child = command
            .stdin(Stdio::null())
            .stdout(file)
            .stderr(errors)
            .spawn()
            .unwrap_or_else(|error| panic!("cannot start {name} ({command:?}): {error}"));
        let mut server = Self { name, child, port, log };
        server.wait_ready(ready);
        server
    }

    fn wait_ready(&mut self, ready: &str) {
        let start = Instant::now();
        while !http::request(self.port, "GET", ready, &[], b"").is_ok_and(|answer| answer.status == 200) {
            if let Some(status) = self.child.try_wait().expect("a child can be asked for its state") {
                panic!("{} ended with {status} before it was ready", self.name);
            }
            assert!(start.elapsed() < READY_PATIENCE, "{} is not ready after {READY_PATIENCE:?}", self.name);
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    /// Process id.
    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// A size from the process' status, such as `VmRSS:`.
    pub(crate) fn status_bytes(&self, field: &str) -> u64 {
        let status =
            std::fs::read_to_string(format!("/proc/{}/status", self.pid())).expect("the server runs");
        let line = status.lines().find(|line| line.starts_with(field)).expect("the kernel knows the field");
        let kib = line.split_whitespace().nth(1).and_then(|number| number.parse::<u64>().ok());
        kib.expect("a size is a number of KiB") * 1024
    }

    /// SIGKILL, and waits until the process is gone.
    pub(crate) fn kill(&mut self) {
        self.child.kill().expect("a child can be killed");
        self.child.wait().expect("a killed child can be waited for");
    }

    /// Whether the process still runs.
    pub(crate) fn is_alive(&mut self) -> bool {
        self.child.try_wait().expect("a child can be asked for its state").is_none()
    }

    /// `GET` with a query.
    pub(crate) fn get(&self, path: &str, fields: &[(&str, &str)]) -> io::Result<Answer> {
        http::request(self.port, "GET", &format!("{path}?{}", http::form(fields)), &[], b"")
    }

    /// `POST` of a form.
    pub(crate) fn post(&self, path: &str, fields: &[(&str, &str)]) -> io::Result<Answer> {
        let headers = [("Content-Type", "application/x-www-form-urlencoded")];
        http::request(self.port, "POST", path, &headers, http::form(fields).as_bytes())
    }

    /// What the server has written to its log so far.
    pub(crate) fn log(&self) -> String {
        std::fs::read(&self.log).map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).unwrap_or_default()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // Already dead is as good as killed.
        let _ = self.child.kill();
        let _ = self.child.wait();
        if std::thread::panicking() {
            let log = self.log();
            let tail: Vec<&str> = log.lines().rev().take(30).collect();
            eprintln!("--- last lines of {}:", self.name);
            tail.iter().rev().for_each(|line| eprintln!("{line}"));
        }
    }
}

/// How a server under trial is started.
pub(crate) struct Subject {
    /// Folder of its own: data, configuration, log.
    pub(crate) folder: PathBuf,
    /// Where it listens; the same after a restart.
    pub(crate) port: u16,
    binary: PathBuf,
    stands_in: bool,
}

impl Subject {
    /// perdura, or the Prometheus that the environment variable `PERDURA_STAND_IN` names in its place: what a
    /// trial asks must be what a real Prometheus can do, and this is how to see that.
    pub(crate) fn new(folder: &Path) -> Self {
        let stand_in = std::env::var_os("PERDURA_STAND_IN").map(PathBuf::from);
        std::fs::create_dir_all(folder).expect("the trial's folder is writable");
        Self {
            folder: folder.to_owned(),
            port: free_port(),
            stands_in: stand_in.is_some(),
            binary: stand_in.unwrap_or_else(|| env!("CARGO_BIN_EXE_perdura").into()),
        }
    }

    /// Whether a real Prometheus stands in, of which less is asked.
    pub(crate) fn stands_in(&self) -> bool {
        self.stands_in
    }

    /// Starts it with `configuration` on its folder.
    pub(crate) fn start(&self, configuration: &str) -> Server {
        self.start_with(configuration, &[])
    }

    /// The same with further flags.
    pub(crate) fn start_with(&self, configuration: &str, flags: &[&str]) -> Server {
        let mut command = prometheus_like(&self.binary, &self.folder, self.port, configuration);
        command.arg("--web.enable-admin-api").args(flags);
        if self.stands_in {
            command.arg("--web.enable-remote-write-receiver");
        }
        Server::start("perdura", &mut command, self.port, "/-/ready", self.folder.join("log"))
    }
}

/// Starts a real Prometheus on `folder`.
pub(crate) fn start_prometheus(peers: &Path, folder: &Path, port: u16, configuration: &str) -> Server {
    start_prometheus_with(peers, folder, port, configuration, &[])
}

/// The same with further flags.
pub(crate) fn start_prometheus_with(
    peers: &Path,
    folder: &Path,
    port: u16,
    configuration: &str,
    flags: &[&str],
) -> Server {
    std::fs::create_dir_all(folder).expect("the trial's folder is writable");
    let mut command = prometheus_like(&peers.join("prometheus"), folder, port, configuration);
    command.args(["--enable-feature=exemplar-storage", "--web.enable-remote-write-receiver"]).args(flags);
    Server::start("prometheus", &mut command, port, "/-/ready", folder.join("log"))
}

/// Starts a real node_exporter.
pub(crate) fn start_node_exporter(peers: &Path, folder: &Path) -> Server {
    let port = free_port();
    let mut command = Command::new(peers.join("prometheus-node-exporter"));
    command.arg(format!("--web.listen-address=127.0.0.1:{port}"));
    Server::start("node_exporter", &mut command, port, "/metrics", folder.join("node_exporter.log"))
}

fn prometheus_like(binary: &Path, folder: &Path, port: u16, configuration: &str) -> Command {
    let file = folder.join("prometheus.yml");
    std::fs::write(&file, configuration).expect("the trial's folder is writable");
    let mut command = Command::new(binary);
    command
        .arg(format!("--config.file={}", file.display()))
        .arg(format!("--storage.tsdb.path={}", folder.join("data").display()))
        .arg(format!("--web.listen-address=127.0.0.1:{port}"));
    command
}

/// Asks `done` until it holds; panics with `what` after `patience`.
pub(crate) fn wait_until(what: &str, patience: Duration, mut done: impl FnMut() -> bool) {
    let start = Instant::now();
    while !done() {
        assert!(start.elapsed() < patience, "still waiting after {patience:?}: {what}");
        std::thread::sleep(Duration::from_millis(200));
    }
}
