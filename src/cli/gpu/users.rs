//! Who uses the GPUs: the flags that say where that is known and how it is shown.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use crate::gpu::Workloads;
use crate::gpu::users::{
    JobFolder, KUBELET_SOCKET, Kubelet, KubeletOptions, Node, NodePaths, PodLabels, Resources, UserOptions,
    Users,
};

use super::or;

/// The pid namespace of a machine itself, as `/proc/PID/ns/pid` links to it: Linux' `PROC_PID_INIT_INO`.
const MACHINE_PIDS: &str = "pid:[4026531836]";

/// Whether something is asked for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Wanted {
    /// Where it is there.
    #[default]
    Auto,
    On,
    Off,
}

impl std::str::FromStr for Wanted {
    type Err = String;

    /// The exporter's switches are true or false.
    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "" | "auto" => Ok(Self::Auto),
            "on" | "1" | "t" | "T" | "true" | "TRUE" | "True" => Ok(Self::On),
            "off" | "0" | "f" | "F" | "false" | "FALSE" | "False" => Ok(Self::Off),
            other => Err(format!("{other:?} is not auto, on or off")),
        }
    }
}

/// Texts of flags; an empty one stands for the default.
#[derive(Clone, Copy, Debug, Default)]
pub(in crate::cli) struct UserTexts<'a> {
    pub(in crate::cli) kubernetes: &'a str,
    pub(in crate::cli) kubelet_socket: &'a str,
    pub(in crate::cli) resource_names: &'a str,
    pub(in crate::cli) has_pod_uid: bool,
    pub(in crate::cli) has_exported_labels: bool,
    pub(in crate::cli) processes: &'a str,
    pub(in crate::cli) has_process_ids: bool,
    pub(in crate::cli) proc: &'a str,
    pub(in crate::cli) pod_logs: &'a str,
    pub(in crate::cli) jobs: &'a str,
}

/// Where it is known who uses the GPUs, and how that is shown.
#[derive(Clone, Debug)]
pub(super) struct UsersSetup {
    kubernetes: Wanted,
    socket: PathBuf,
    resources: Resources,
    processes: Wanted,
    paths: NodePaths,
    jobs: Option<PathBuf>,
    pub(super) shown: UserOptions,
}

impl UsersSetup {
    /// The error says what is wrong with which flag. `is_old`: labels have the names of exporters before 2.0.
    pub(super) fn new(texts: UserTexts<'_>, is_old: bool) -> Result<Self, String> {
        let wanted =
            |name: &str, text: &str| text.parse::<Wanted>().map_err(|error| format!("{name}: {error}"));
        let labels = match (is_old, texts.has_exported_labels) {
            (true, _) => PodLabels::Old,
            (false, true) => PodLabels::Exported,
            (false, false) => PodLabels::Plain,
        };
        Ok(Self {
            kubernetes: wanted("kubernetes", texts.kubernetes)?,
            socket: PathBuf::from(or(texts.kubelet_socket, KUBELET_SOCKET)),
            resources: Resources::with(texts.resource_names),
            processes: wanted("processes", texts.processes)?,
            paths: NodePaths {
                proc: PathBuf::from(or(texts.proc, "/proc")),
                pod_logs: PathBuf::from(or(texts.pod_logs, "/var/log/pods")),
            },
            jobs: Some(texts.jobs).filter(|path| !path.is_empty()).map(PathBuf::from),
            shown: UserOptions { labels, has_pod_uid: texts.has_pod_uid, by_process: texts.has_process_ids },
        })
    }

    /// Whether the driver is asked for processes. Where nobody says so it is if this program sees the machine's: the
    /// driver tells a container with process ids of its own of none but those.
    pub(super) fn has_processes(&self) -> bool {
        match self.processes {
            Wanted::On => true,
            Wanted::Off => false,
            Wanted::Auto => std::fs::read_link(self.paths.proc.join("self/ns/pid"))
                .is_ok_and(|namespace| namespace == Path::new(MACHINE_PIDS)),
        }
    }

    /// Begins to ask. `interval`: time between two readings of GPUs.
    pub(super) fn start(&self, interval: Duration) -> Result<Users, String> {
        let options = KubeletOptions {
            socket: self.socket.clone(),
            resources: self.resources.clone(),
            interval,
            is_expected: self.kubernetes == Wanted::On,
            ..KubeletOptions::default()
        };
        let kubelet = match self.kubernetes {
            Wanted::Off => None,
            Wanted::Auto | Wanted::On => Some(
                Kubelet::start(options)
                    .map_err(|error| format!("cannot start the thread that asks the kubelet: {error}"))?,
            ),
        };
        let jobs = self.jobs.clone().map(JobFolder::new);
        Ok(Users::new(Arc::new(Node::new(self.paths.clone(), kubelet)), jobs, self.shown))
    }

    /// Of a machine whose users somebody else knows.
    pub(super) fn of(&self, workloads: Arc<dyn Workloads>) -> Users {
        Users::new(workloads, None, self.shown)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn switches_of_both_kinds_are_read() {
        let kubernetes =
            |text| UsersSetup::new(UserTexts { kubernetes: text, ..UserTexts::default() }, false);
        assert_eq!(kubernetes("").map(|setup| setup.kubernetes), Ok(Wanted::Auto));
        assert_eq!(kubernetes("on").map(|setup| setup.kubernetes), Ok(Wanted::On));
        assert_eq!(kubernetes("true").map(|setup| setup.kubernetes), Ok(Wanted::On));
        assert_eq!(kubernetes("false").map(|setup| setup.kubernetes), Ok(Wanted::Off));
        assert!(kubernetes("yes").is_err_and(|error| error.starts_with("kubernetes: \"yes\" is not")));
        let texts = UserTexts { processes: "some", ..UserTexts::default() };
        assert!(UsersSetup::new(texts, false).is_err_and(|error| error.starts_with("processes: ")));
    }

    #[test]
    fn processes_are_read_where_they_are_the_machines() {
        let folder = tempfile::tempdir().expect("a temporary folder can be made");
        let link = folder.path().join("self/ns/pid");
        std::fs::create_dir_all(folder.path().join("self/ns")).expect("a folder can be made");
        let proc = folder.path().display().to_string();
        let has_processes = |processes: &str| {
            let texts = UserTexts { processes, proc: &proc, ..UserTexts::default() };
            UsersSetup::new(texts, false).expect("it is fine").has_processes()
        };
        let link_to = |target: &str| {
            // There is none at first.
            let _ = std::fs::remove_file(&link);
            std::os::unix::fs::symlink(target, &link).expect("a link can be made");
        };
        assert!(!has_processes("auto") && has_processes("on"), "nothing is known");
        link_to(MACHINE_PIDS);
        assert!(has_processes("auto") && !has_processes("off"));
        link_to("pid:[4026532512]");
        assert!(!has_processes(""));
    }
}
