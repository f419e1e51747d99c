//! The flags of `perdura serve` and `perdura agent`: every one of Prometheus 3.14, and a few of our own, in one table.
//!
//! A flag that is not served yet is still read, and named in a warning when it is given; one of the other role is refused,
//! as Prometheus does; one that is in no table is an error. The table also answers `/api/v1/status/flags`.

use std::collections::BTreeMap;
use std::ffi::OsString;

use clap::parser::ValueSource;
use clap::{Arg, ArgAction, ArgMatches, Command};

use crate::gpu::users::KUBELET_SOCKET;

/// What a flag takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    /// One value.
    Value,
    /// A value each time that it is given.
    Repeated,
    /// Nothing: `--flag`, `--no-flag`.
    Switch,
}

/// What the program runs as.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Role {
    /// A server with a database.
    Server,
    /// An agent that scrapes and forwards.
    Agent,
}

impl Role {
    /// The command that it is started with.
    const fn name(self) -> &'static str {
        match self {
            Self::Server => "serve",
            Self::Agent => "agent",
        }
    }
}

/// Beginnings of the names of flags that only a server takes, as upstream has it.
const SERVER_ONLY: [&str; 8] = [
    "storage.tsdb.",
    "storage.series-limit",
    "storage.remote.read-",
    "storage.remote.log-",
    "web.search.",
    "rules.",
    "alertmanager.",
    "query.",
];
/// Beginning of the names of flags that only an agent takes.
const AGENT_ONLY: &str = "storage.agent.";

/// One flag.
struct Flag {
    name: &'static str,
    kind: Kind,
    default: &'static str,
    /// Who acts on it.
    served_by: &'static [Role],
    help: &'static str,
}

impl Flag {
    /// Whether a command line for `role` may have it.
    fn belongs_to(&self, role: Role) -> bool {
        match role {
            Role::Server => !self.name.starts_with(AGENT_ONLY),
            Role::Agent => !SERVER_ONLY.iter().any(|start| self.name.starts_with(start)),
        }
    }
}

const fn served(name: &'static str, kind: Kind, default: &'static str, help: &'static str) -> Flag {
    Flag { name, kind, default, served_by: &[Role::Server, Role::Agent], help }
}

const fn server(name: &'static str, kind: Kind, default: &'static str, help: &'static str) -> Flag {
    Flag { name, kind, default, served_by: &[Role::Server], help }
}

const fn agent(name: &'static str, kind: Kind, default: &'static str, help: &'static str) -> Flag {
    Flag { name, kind, default, served_by: &[Role::Agent], help }
}

const fn read_only(name: &'static str, kind: Kind, default: &'static str) -> Flag {
    Flag { name, kind, default, served_by: &[], help: "" }
}

use Kind::{Repeated, Switch, Value};

const FLAGS: &[Flag] = &[
    served("config.file", Value, "", "Configuration file; without it the server scrapes itself"),
    served("web.listen-address", Repeated, "127.0.0.1:9090", "Address to listen on; may be repeated"),
    served("web.external-url", Value, "", "URL under which the server is reached from outside"),
    served("web.route-prefix", Value, "", "What all paths begin with [default: path of --web.external-url]"),
    served("web.enable-lifecycle", Switch, "false", "Serve /-/reload and /-/quit"),
    server("web.enable-admin-api", Switch, "false", "Serve /api/v1/admin"),
    served("web.enable-remote-write-receiver", Switch, "true", "Remote write is always received"),
    served("web.cors.origin", Value, ".*", "Regular expression of origins that browsers may call from"),
    served("web.read-timeout", Value, "5m", "Longest that a request may take to arrive"),
    served("web.max-connections", Value, "512", "Most connections at a time"),
    server("storage.tsdb.path", Value, "data/", "Directory of the database"),
    server("storage.tsdb.retention.time", Value, "15d", "How long samples are kept; 0 keeps them forever"),
    server(
        "storage.tsdb.retention.size",
        Value,
        "0B",
        "Most bytes that are kept, such as 512MB; 0 for any number",
    ),
    server(
        "storage.series-limit",
        Value,
        "auto",
        "Most active series; new ones beyond are refused. auto: one for each 2 KiB of memory; 0 for any number",
    ),
    server(
        "storage.series-limit-per-metric",
        Value,
        "auto",
        "Most active series of one metric. auto: a quarter of --storage.series-limit; 0 for any number",
    ),
    server(
        "storage.series-limit-per-job",
        Value,
        "auto",
        "Most active series of one job. auto: half of --storage.series-limit; 0 for any number",
    ),
    served("wal-sync", Value, "always", "When a write is durable: always, interval=DURATION, never"),
    server("query.lookback-delta", Value, "5m", "How far an instant selector looks back"),
    server("query.timeout", Value, "2m", "Longest that a query may run"),
    server("query.max-concurrency", Value, "20", "Most queries at a time"),
    server("query.max-samples", Value, "50000000", "Most samples that a query may hold in memory"),
    server(
        "rules.alert.for-outage-tolerance",
        Value,
        "1h",
        "Longest outage after which alerts go on where they were",
    ),
    server(
        "rules.alert.for-grace-period",
        Value,
        "10m",
        "Least time between a restart and the firing of an alert that was pending",
    ),
    server("rules.alert.resend-delay", Value, "1m", "Least time before an unchanged alert is sent again"),
    server(
        "rules.max-concurrent-evals",
        Value,
        "4",
        "Most rules that are evaluated beside others of their group",
    ),
    server(
        "alertmanager.notification-queue-capacity",
        Value,
        "10000",
        "Most alerts that wait for one Alertmanager",
    ),
    server(
        "alertmanager.notification-batch-size",
        Value,
        "256",
        "Most alerts in one request to an Alertmanager",
    ),
    server(
        "alertmanager.drain-notification-queue-on-shutdown",
        Switch,
        "true",
        "Send waiting alerts before stopping",
    ),
    served("enable-feature", Repeated, "", "Comma-separated features to enable"),
    served(
        "gpu",
        Value,
        "auto",
        "Store what GPUs of this machine tell: auto (where there is a driver), on, off, simulate (GPUs that are not there)",
    ),
    served(
        "gpu.simulate",
        Value,
        "",
        "What --gpu=simulate simulates, such as nodes=4,gpus=8,model=h100+a100-mig,seed=1,speed=60",
    ),
    served("gpu.interval", Value, "15s", "Time between readings of GPUs"),
    served("gpu.counters-file", Value, "", "Which fields of GPUs, in the DCGM exporter's format"),
    served(
        "gpu.hostname-label",
        Value,
        "Hostname",
        "Label of GPUs that names the machine: Hostname, hostname or none",
    ),
    served(
        "gpu.names",
        Value,
        "dcgm",
        "Names of metrics of GPUs, a list of: dcgm (the DCGM exporter's), dcgm-4.6 (as of that version), plain (gpu_utilization_percent and such)",
    ),
    served("gpu.window", Value, "5m", "What the counts DCGM_EXP_* of a counters file go over"),
    served(
        "gpu.library",
        Value,
        "",
        "The NVIDIA driver's library [default: libnvidia-ml.so.1 of the system]",
    ),
    served(
        "gpu.kubernetes",
        Value,
        "auto",
        "Ask the kubelet which pods have which GPUs: auto (where it is), on, off",
    ),
    served("gpu.kubelet-socket", Value, KUBELET_SOCKET, "The kubelet's socket of pod resources"),
    served(
        "gpu.resource-names",
        Value,
        "",
        "Comma-separated resources of Kubernetes that are GPUs too, such as nvidia.com/gpu.shared",
    ),
    served("gpu.pod-uid", Switch, "false", "Series of a pod's GPUs have its id, where it is known"),
    served(
        "gpu.exported-labels",
        Switch,
        "false",
        "Labels of pods are exported_pod, exported_namespace and exported_container, as a Prometheus stores them that scrapes the DCGM exporter in Kubernetes",
    ),
    served(
        "gpu.processes",
        Value,
        "auto",
        "Sum what processes use of GPUs by what they belong to: auto (where they can be seen), on, off",
    ),
    served("gpu.process-ids", Switch, "false", "Show what each process uses by itself"),
    served("gpu.proc", Value, "/proc", "Where the machine's processes are"),
    served(
        "gpu.pod-logs",
        Value,
        "/var/log/pods",
        "Where the kubelet keeps logs, whose folders are named by pods",
    ),
    served(
        "gpu.hpc-job-mapping-dir",
        Value,
        "",
        "Folder with a file for each GPU, named by its index, that has the ids of its jobs",
    ),
    served("log.level", Value, "info", "Least severe messages that are logged: debug, info, warn, error"),
    served("log.format", Value, "text", "How messages are logged: text, json"),
    read_only("config.auto-reload", Switch, "false"),
    read_only("config.auto-reload-interval", Value, "30s"),
    read_only("auto-gomaxprocs", Switch, "true"),
    read_only("auto-gomemlimit", Switch, "true"),
    read_only("auto-gomemlimit.ratio", Value, "0.9"),
    read_only("auto-gomemlimit.refresh-interval", Value, "0s"),
    read_only("web.config.file", Value, ""),
    read_only("web.max-notifications-subscribers", Value, "16"),
    read_only("web.user-assets", Value, ""),
    read_only("web.remote-write-receiver.accepted-protobuf-messages", Repeated, ""),
    read_only("web.enable-otlp-receiver", Switch, "false"),
    read_only("web.console.templates", Value, "consoles"),
    read_only("web.console.libraries", Value, "console_libraries"),
    read_only("web.page-title", Value, "Prometheus Time Series Collection and Processing Server"),
    read_only("web.search.max-limit", Value, "10000"),
    read_only("storage.tsdb.min-block-duration", Value, "2h"),
    read_only("storage.tsdb.max-block-duration", Value, ""),
    read_only("storage.tsdb.max-block-chunk-segment-size", Value, "0B"),
    read_only("storage.tsdb.wal-segment-size", Value, "0B"),
    read_only("storage.tsdb.no-lockfile", Switch, "false"),
    read_only("storage.tsdb.allow-overlapping-compaction", Switch, "true"),
    read_only("storage.tsdb.wal-compression", Switch, "true"),
    read_only("storage.tsdb.wal-compression-type", Value, "snappy"),
    read_only("storage.tsdb.head-chunks-write-queue-size", Value, "0"),
    read_only("storage.tsdb.samples-per-chunk", Value, "120"),
    read_only("storage.tsdb.delayed-compaction.max-percent", Value, "10"),
    read_only("storage.tsdb.delay-compact-file.path", Value, ""),
    read_only("storage.tsdb.block-reload-interval", Value, "1m"),
    agent("storage.agent.path", Value, "data-agent/", "Directory of the agent's log"),
    agent(
        "storage.agent.log-size-max",
        Value,
        "1GB",
        "Size at which the oldest samples that wait for a receiver are dropped",
    ),
    read_only("storage.agent.wal-segment-size", Value, "0B"),
    read_only("storage.agent.wal-compression", Switch, "true"),
    read_only("storage.agent.wal-compression-type", Value, "snappy"),
    read_only("storage.agent.wal-truncate-frequency", Value, "0s"),
    read_only("storage.agent.retention.min-time", Value, "5m"),
    read_only("storage.agent.retention.max-time", Value, "4h"),
    read_only("storage.agent.checkpoint-from-in-memory-series", Switch, "false"),
    read_only("storage.agent.checkpoint-batch-size", Value, "1000"),
    read_only("storage.agent.no-lockfile", Switch, "false"),
    server(
        "storage.remote.log-size-max",
        Value,
        "1GB",
        "Size of log that is kept for receivers alone at which its oldest part is dropped",
    ),
    served(
        "storage.remote.flush-deadline",
        Value,
        "1m",
        "How long waiting samples are still sent at the end; what is left is sent after the next start",
    ),
    read_only("storage.remote.read-sample-limit", Value, "5e7"),
    read_only("storage.remote.read-concurrent-limit", Value, "10"),
    read_only("storage.remote.read-max-bytes-in-frame", Value, "1048576"),
    read_only("scrape.adjust-timestamps", Switch, "true"),
    read_only("scrape.timestamp-tolerance", Value, "2ms"),
    read_only("scrape.discovery-reload-interval", Value, "5s"),
    served("agent", Switch, "false", "Run as an agent, like the command agent"),
];

/// The flags as given.
#[derive(Clone, Debug)]
pub(super) struct Flags {
    pub(super) role: Role,
    values: BTreeMap<&'static str, Vec<String>>,
    /// Flags that were given and are not served.
    pub(super) unserved: Vec<&'static str>,
    /// Flags that were given and belong to the other role, in the order in which they were given.
    misplaced: Vec<&'static str>,
    given: Vec<&'static str>,
}

impl Flags {
    /// Reads a command line without the program's name.
    pub(super) fn parse(
        role: Role,
        arguments: impl IntoIterator<Item = OsString>,
    ) -> Result<Self, clap::Error> {
        let program = OsString::from(format!("perdura {}", role.name()));
        let matches = command(role).try_get_matches_from(
            std::iter::once(program).chain(arguments.into_iter().map(without_negation)),
        )?;
        let given = |flag: &Flag| was_given(&matches, flag);
        Ok(Self {
            role,
            misplaced: misplaced(role, &matches),
            given: FLAGS.iter().filter(|flag| given(flag)).map(|flag| flag.name).collect(),
            values: FLAGS.iter().map(|flag| (flag.name, values(&matches, flag))).collect(),
            unserved: FLAGS
                .iter()
                .filter(|flag| !flag.served_by.contains(&role) && given(flag))
                .map(|flag| flag.name)
                .collect(),
        })
    }

    /// Why the command line as a whole is refused, in upstream's words.
    pub(super) fn refusal(&self) -> Option<String> {
        let how = match self.role {
            Role::Server => "only be used in agent mode",
            Role::Agent => "not be used in agent mode",
        };
        let names: Vec<String> = self.misplaced.iter().map(|name| format!("\"--{name}\"")).collect();
        (!names.is_empty()).then(|| format!("The following flag(s) can {how}: [{}]", names.join(" ")))
    }

    /// The value of a flag; the last one if it was repeated.
    pub(super) fn get(&self, name: &str) -> &str {
        self.all(name).last().map_or("", String::as_str)
    }

    /// Whether a flag was given.
    pub(super) fn is_given(&self, name: &str) -> bool {
        self.given.contains(&name)
    }

    /// All values of a flag.
    pub(super) fn all(&self, name: &str) -> &[String] {
        self.values.get(name).expect("the flag is in the table")
    }

    /// Whether a switch is on.
    pub(super) fn is_on(&self, name: &str) -> bool {
        self.get(name) == "true"
    }

    /// Names and values, as `/api/v1/status/flags` shows them.
    pub(super) fn shown(&self) -> BTreeMap<String, String> {
        self.values.iter().map(|(name, values)| ((*name).to_owned(), values.join(","))).collect()
    }
}

/// The command line of `perdura serve` or `perdura agent`.
pub(super) fn command(role: Role) -> Command {
    let command = Command::new(role.name())
        .display_name("perdura")
        .about(match role {
            Role::Server => "Serves the database, as Prometheus would",
            Role::Agent => "Scrapes and sends to remote_write, through a log on disk",
        })
        .version(crate::cli::VERSION)
        .disable_version_flag(true)
        .arg(Arg::new("version").long("version").action(ArgAction::Version).help("Shows the version"));
    FLAGS.iter().fold(command, |command, flag| {
        let arg = Arg::new(flag.name).long(flag.name).hide(!flag.served_by.contains(&role)).help(flag.help);
        match flag.kind {
            Value => command.arg(
                arg.action(ArgAction::Set)
                    .default_value(flag.default)
                    .hide_default_value(flag.default.is_empty()),
            ),
            Repeated => command.arg(
                arg.action(ArgAction::Append)
                    .default_value(flag.default)
                    .hide_default_value(flag.default.is_empty()),
            ),
            Switch => command.arg(
                arg.num_args(0..=1)
                    .require_equals(true)
                    .default_missing_value("true")
                    .default_value(flag.default)
                    .hide_default_value(true)
                    .value_parser(["true", "false"])
                    .hide_possible_values(true),
            ),
        }
    })
}

/// `--no-flag` of a switch, in the form that the parser knows.
fn without_negation(argument: OsString) -> OsString {
    let switch = argument
        .to_str()
        .and_then(|text| text.strip_prefix("--no-"))
        .and_then(|name| FLAGS.iter().find(|flag| flag.kind == Switch && flag.name == name));
    switch.map_or(argument, |flag| OsString::from(format!("--{}=false", flag.name)))
}

fn misplaced(role: Role, matches: &ArgMatches) -> Vec<&'static str> {
    let given = FLAGS.iter().filter(|flag| !flag.belongs_to(role) && was_given(matches, flag));
    let mut places: Vec<(usize, &str)> = given
        .flat_map(|flag| matches.indices_of(flag.name).into_iter().flatten().map(|at| (at, flag.name)))
        .collect();
    places.sort_unstable();
    places.into_iter().map(|(_, name)| name).collect()
}

fn was_given(matches: &ArgMatches, flag: &Flag) -> bool {
    matches.value_source(flag.name).is_some_and(|source| source == ValueSource::CommandLine)
}

fn values(matches: &ArgMatches, flag: &Flag) -> Vec<String> {
    matches.get_many::<String>(flag.name).expect("every flag has a default").cloned().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(arguments: &[&str]) -> Result<Flags, clap::Error> {
        Flags::parse(Role::Server, arguments.iter().map(OsString::from))
    }

    #[test]
    fn defaults_are_there_without_flags() {
        let flags = parse(&[]).expect("no flags are fine");
        assert_eq!(flags.get("storage.tsdb.path"), "data/");
        assert_eq!(flags.all("web.listen-address"), ["127.0.0.1:9090"]);
        assert!(!flags.is_on("web.enable-lifecycle") && flags.unserved.is_empty());
        assert_eq!(flags.shown().len(), FLAGS.len());
    }

    #[test]
    fn switches_go_both_ways() {
        assert!(parse(&["--web.enable-lifecycle"]).is_ok_and(|f| f.is_on("web.enable-lifecycle")));
        assert!(parse(&["--web.enable-lifecycle=false"]).is_ok_and(|f| !f.is_on("web.enable-lifecycle")));
        let flags = parse(&["--no-scrape.adjust-timestamps"]).expect("switches may be turned off");
        assert!(!flags.is_on("scrape.adjust-timestamps"));
        assert_eq!(flags.unserved, ["scrape.adjust-timestamps"]);
    }

    #[test]
    fn values_follow_or_are_attached() {
        let flags = parse(&["--web.listen-address", ":1", "--web.listen-address=:2", "--query.timeout=1m"])
            .expect("both forms are fine");
        assert_eq!(flags.all("web.listen-address"), [":1", ":2"]);
        assert_eq!(flags.get("query.timeout"), "1m");
    }

    #[test]
    fn flags_that_are_read_only_are_named() {
        let flags = parse(&["--web.console.templates=/x", "--config.auto-reload"]).expect("both are known");
        assert_eq!(flags.unserved, ["config.auto-reload", "web.console.templates"]);
    }

    #[test]
    fn flags_of_the_other_role_are_refused_in_upstreams_words() {
        let refusal = |role, arguments: &[&str]| {
            let flags = Flags::parse(role, arguments.iter().map(OsString::from));
            flags.expect("they are in the table").refusal()
        };
        let given = ["--storage.tsdb.path=x", "--web.listen-address=:0", "--query.timeout", "1m"];
        assert_eq!(refusal(Role::Server, &given), None);
        assert_eq!(
            refusal(Role::Agent, &given).as_deref(),
            Some(
                "The following flag(s) can not be used in agent mode: [\"--storage.tsdb.path\" \"--query.timeout\"]"
            )
        );
        let given = ["--storage.remote.flush-deadline=1s", "--no-storage.agent.wal-compression"];
        assert_eq!(refusal(Role::Agent, &given), None);
        assert_eq!(
            refusal(Role::Server, &given).as_deref(),
            Some(
                "The following flag(s) can only be used in agent mode: [\"--storage.agent.wal-compression\"]"
            )
        );
    }

    #[test]
    fn unknown_flags_are_errors() {
        assert!(parse(&["--storage.tsdb.rentention.time=1d"]).is_err());
        assert!(parse(&["stray"]).is_err());
        assert!(parse(&["--query.timeout"]).is_err());
    }
}
