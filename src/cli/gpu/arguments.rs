//! The command line of `perdura gpu export`: its own names of flags, and the DCGM exporter's flags and variables, so that
//! a DaemonSet of the exporter needs another image and no more.

use std::ffi::OsString;

use clap::{Arg, ArgAction, ArgMatches, Command};

use super::{GpuTexts, UserTexts};

/// A flag, and the exporter's variable for it.
struct Flag {
    name: &'static str,
    short: Option<char>,
    /// The exporter's name, where it is another.
    alias: Option<&'static str>,
    variable: Option<&'static str>,
    is_switch: bool,
    help: &'static str,
}

const FLAGS: [Flag; 21] = [
    Flag {
        short: Some('a'),
        alias: Some("address"),
        variable: Some("DCGM_EXPORTER_LISTEN"),
        ..value("listen", "Address to listen on [default: :9400]")
    },
    Flag {
        short: Some('c'),
        alias: Some("collect-interval"),
        variable: Some("DCGM_EXPORTER_INTERVAL"),
        ..value("interval", "Time between readings; a number alone is in milliseconds [default: 15s]")
    },
    Flag {
        short: Some('f'),
        alias: Some("collectors"),
        variable: Some("DCGM_EXPORTER_COLLECTORS"),
        ..value("counters-file", "Counters file in the DCGM exporter's format [default: its own defaults]")
    },
    Flag {
        variable: None,
        ..value(
            "hostname-label",
            "Label that names the machine: Hostname, hostname or none [default: Hostname]",
        )
    },
    Flag {
        short: Some('n'),
        variable: Some("DCGM_EXPORTER_NO_HOSTNAME"),
        is_switch: true,
        ..value("no-hostname", "Leaves out the label that names the machine")
    },
    Flag {
        short: Some('o'),
        variable: Some("DCGM_EXPORTER_USE_OLD_NAMESPACE"),
        is_switch: true,
        ..value("use-old-namespace", "Labels have the names of exporters before 2.0, such as uuid")
    },
    Flag {
        short: Some('x'),
        variable: Some("DCGM_EXPORTER_XID_COUNT_WINDOW_SIZE"),
        ..value(
            "xid-count-window-size",
            "What DCGM_EXP_XID_ERRORS_COUNT goes over, in milliseconds [default: 300000]",
        )
    },
    Flag {
        variable: Some("DCGM_EXPORTER_CLOCK_EVENTS_COUNT_WINDOW_SIZE"),
        ..value(
            "clock-events-count-window-size",
            "What DCGM_EXP_CLOCK_EVENTS_COUNT goes over, in milliseconds [default: 300000]",
        )
    },
    value(
        "names",
        "Names of metrics, a list of: dcgm (the DCGM exporter's), dcgm-4.6, plain [default: dcgm]",
    ),
    Flag {
        short: Some('k'),
        variable: Some("DCGM_EXPORTER_KUBERNETES"),
        is_switch: true,
        ..value("kubernetes", "Ask the kubelet which pods have which GPUs: auto, on, off [default: auto]")
    },
    Flag {
        alias: Some("kubelet-socket"),
        variable: Some("DCGM_POD_RESOURCES_KUBELET_SOCKET"),
        ..value(
            "pod-resources-kubelet-socket",
            "The kubelet's socket [default: /var/lib/kubelet/pod-resources/kubelet.sock]",
        )
    },
    Flag {
        alias: Some("resource-names"),
        variable: Some("NVIDIA_RESOURCE_NAMES"),
        ..value("nvidia-resource-names", "Comma-separated resources of Kubernetes that are GPUs too")
    },
    Flag {
        alias: Some("pod-uid"),
        variable: Some("DCGM_EXPORTER_KUBERNETES_ENABLE_POD_UID"),
        is_switch: true,
        ..value("kubernetes-enable-pod-uid", "Series of a pod's GPUs have its id, where it is known")
    },
    Flag {
        is_switch: true,
        ..value("exported-labels", "Labels of pods are exported_pod, exported_namespace, exported_container")
    },
    Flag {
        is_switch: true,
        ..value("kubernetes-virtual-gpus", "Has no effect: that GPUs are shared is told by their ids")
    },
    value("kubernetes-gpu-id-type", "Has no effect: which ids a device plugin has is told by the ids"),
    value(
        "processes",
        "Sum what processes use by what they belong to: auto, on, off [default: auto, where they can be seen]",
    ),
    Flag { is_switch: true, ..value("process-ids", "Show what each process uses by itself") },
    value("proc", "Where the machine's processes are [default: /proc]"),
    value(
        "pod-logs",
        "Where the kubelet keeps logs, whose folders are named by pods [default: /var/log/pods]",
    ),
    Flag {
        variable: Some("DCGM_HPC_JOB_MAPPING_DIR"),
        ..value("hpc-job-mapping-dir", "Folder with a file for each GPU that has the ids of its jobs")
    },
];

const fn value(name: &'static str, help: &'static str) -> Flag {
    Flag { name, short: None, alias: None, variable: None, is_switch: false, help }
}

/// The flags of a command that shows GPUs on a page.
pub(super) fn with_flags(command: Command) -> Command {
    command.args(FLAGS.iter().map(|flag| {
        let mut argument = Arg::new(flag.name).long(flag.name).help(flag.help).action(ArgAction::Set);
        if flag.is_switch {
            // `--flag`, or `--flag=false`.
            argument = argument.num_args(0..=1).require_equals(true).default_missing_value("true");
        }
        if let Some(short) = flag.short {
            argument = argument.short(short);
        }
        if let Some(alias) = flag.alias {
            argument = argument.alias(alias);
        }
        argument
    }))
}

/// What the flags say, else the variables; empty where neither does.
pub(super) struct Said {
    texts: Vec<(&'static str, String)>,
}

impl Said {
    /// From a command line and the variables of the process.
    pub(super) fn new(matches: &ArgMatches, variable: impl Fn(&str) -> Option<OsString>) -> Self {
        let text = |flag: &Flag| {
            let said = matches.get_one::<String>(flag.name).cloned();
            let of_variable = || variable(flag.variable?)?.into_string().ok();
            (flag.name, said.or_else(of_variable).unwrap_or_default())
        };
        Self { texts: FLAGS.iter().map(text).collect() }
    }

    /// The text of a flag of the table.
    pub(super) fn get(&self, name: &str) -> &str {
        let found = self.texts.iter().find(|(known, _)| *known == name);
        found.map_or("", |(_, text)| text)
    }

    fn is_on(&self, name: &str) -> bool {
        // As the exporter reads its variables.
        matches!(self.get(name), "1" | "t" | "T" | "true" | "TRUE" | "True")
    }

    /// What they say of readings and names.
    pub(super) fn texts(&self) -> GpuTexts<'_> {
        let is_nameless = self.is_on("no-hostname");
        GpuTexts {
            interval: self.get("interval"),
            counters_file: self.get("counters-file"),
            hostname_label: if is_nameless { "none" } else { self.get("hostname-label") },
            names: self.get("names"),
            xid_window: self.get("xid-count-window-size"),
            clock_events_window: self.get("clock-events-count-window-size"),
            is_old_namespace: self.is_on("use-old-namespace"),
            users: UserTexts {
                kubernetes: self.get("kubernetes"),
                kubelet_socket: self.get("pod-resources-kubelet-socket"),
                resource_names: self.get("nvidia-resource-names"),
                has_pod_uid: self.is_on("kubernetes-enable-pod-uid"),
                has_exported_labels: self.is_on("exported-labels"),
                processes: self.get("processes"),
                has_process_ids: self.is_on("process-ids"),
                proc: self.get("proc"),
                pod_logs: self.get("pod-logs"),
                jobs: self.get("hpc-job-mapping-dir"),
            },
            ..GpuTexts::default()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(arguments: &[&str], variables: &[(&str, &str)]) -> Said {
        let command = with_flags(Command::new("export"));
        let matches = command.try_get_matches_from(std::iter::once(&"export").chain(arguments));
        let find =
            |name: &str| variables.iter().find(|(known, _)| *known == name).map(|(_, text)| text.into());
        Said::new(&matches.expect("the flags are known"), find)
    }

    #[test]
    fn flags_of_the_exporter_are_known() {
        let of =
            said(&["-f", "/etc/a.csv", "-c", "30000", "--address", ":9401", "-n", "-o", "-x", "60000"], &[]);
        let texts = of.texts();
        assert_eq!((of.get("listen"), texts.counters_file, texts.interval), (":9401", "/etc/a.csv", "30000"));
        assert_eq!((texts.hostname_label, texts.xid_window), ("none", "60000"));
        assert!(texts.is_old_namespace);
    }

    #[test]
    fn switches_take_a_value_behind_a_sign() {
        let kubernetes = |arguments: &[&str], variable: &str| {
            let of = said(arguments, &[("DCGM_EXPORTER_KUBERNETES", variable)]);
            of.texts().users.kubernetes.to_owned()
        };
        assert_eq!(kubernetes(&["-k"], "false"), "true");
        assert_eq!(kubernetes(&["--kubernetes=off", "--pod-uid"], "true"), "off");
        assert_eq!(kubernetes(&[], "true"), "true");
        let of = said(&["--pod-uid", "--kubernetes-enable-pod-uid=false", "--exported-labels"][1..], &[]);
        assert!(!of.texts().users.has_pod_uid && of.texts().users.has_exported_labels);
    }

    #[test]
    fn variables_of_the_exporter_stand_behind_flags() {
        let variables = [
            ("DCGM_EXPORTER_INTERVAL", "30000"),
            ("DCGM_EXPORTER_LISTEN", ":9402"),
            ("DCGM_EXPORTER_NO_HOSTNAME", "false"),
            ("DCGM_EXPORTER_USE_OLD_NAMESPACE", "true"),
        ];
        let of = said(&["--interval=1s"], &variables);
        let texts = of.texts();
        assert_eq!((texts.interval, of.get("listen"), texts.hostname_label), ("1s", ":9402", ""));
        assert!(texts.is_old_namespace);
    }
}
