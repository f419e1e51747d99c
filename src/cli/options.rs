//! Flags as typed settings, with an error that names the flag.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use crate::db::{Retention, WalSync};
use crate::http::HttpOptions;
use crate::model::{RegexMatcher, format_duration, parse_duration};
use crate::notify::NotifierOptions;
use crate::promql::EngineOptions;
use crate::scrape::GlobalUrlOptions;
use crate::setting::ByteSize;
use crate::storage::SeriesLimits;

use super::flags::{Flags, Role};
use super::gpu::{GpuOptions, GpuTexts, UserTexts};
use super::logs::{LogFormat, LogLevel};
use super::memory::memory_bytes;

/// Features of upstream that are always on here, or that change nothing.
const FEATURES_ALWAYS_ON: [&str; 15] = [
    "exemplar-storage",
    "promql-duration-expr",
    "native-histograms",
    "ooo-native-histograms",
    "metadata-wal-records",
    "st-storage",
    "histograms-st-encoding",
    "xor2-encoding",
    "memory-snapshot-on-shutdown",
    "delayed-compaction",
    "use-uncached-io",
    "fast-startup",
    "concurrent-rule-eval",
    "old-ui",
    "created-timestamp-zero-ingestion",
];

/// How rules are evaluated.
#[derive(Clone, Copy, Debug)]
pub(super) struct RuleOptions {
    /// Most groups that are evaluated at a time.
    pub(super) threads_max: usize,
    /// Most rules that are evaluated beside others of their group.
    pub(super) beside_max: usize,
    pub(super) resend_delay_ms: i64,
    pub(super) outage_tolerance_ms: i64,
    pub(super) grace_period_ms: i64,
}

/// How samples wait for the receivers of `remote_write`.
#[derive(Clone, Debug)]
pub(super) struct RemoteOptions {
    /// Directory of an agent's log; a server's is the database's.
    pub(super) agent_path: PathBuf,
    /// Size at which the oldest of what waits is dropped.
    pub(super) log_bytes_max: u64,
    pub(super) flush_deadline: Duration,
}

/// Everything that `serve` and `agent` are started with.
#[derive(Clone, Debug)]
pub(super) struct ServeOptions {
    pub(super) config_file: Option<PathBuf>,
    pub(super) listen_addresses: Vec<String>,
    pub(super) storage_path: PathBuf,
    pub(super) retention: Retention,
    pub(super) wal_sync: WalSync,
    pub(super) series_limits: SeriesLimits,
    pub(super) engine: EngineOptions,
    pub(super) notifier: NotifierOptions,
    pub(super) rules: RuleOptions,
    pub(super) gpu: GpuOptions,
    pub(super) remote: RemoteOptions,
    pub(super) http: HttpOptions,
    pub(super) log_level: LogLevel,
    pub(super) log_format: LogFormat,
    /// Things to say once the log works.
    pub(super) warnings: Vec<String>,
}

impl ServeOptions {
    /// From the flags; the error names the one that cannot be used.
    pub(super) fn from_flags(flags: &Flags) -> Result<Self, String> {
        let mut warnings: Vec<String> = flags
            .unserved
            .iter()
            .map(|name| format!("flag --{name} is accepted for compatibility and has no effect"))
            .collect();
        let mut engine = EngineOptions {
            lookback_delta_ms: positive(duration_ms(flags, "query.lookback-delta")?, "query.lookback-delta")?,
            samples_max: number(flags, "query.max-samples")?,
            timeout: duration(flags, "query.timeout")?,
            ..EngineOptions::default()
        };
        let per_step_stats = read_features(flags, &mut engine, &mut warnings);
        Ok(Self {
            config_file: Some(flags.get("config.file")).filter(|path| !path.is_empty()).map(PathBuf::from),
            listen_addresses: flags.all("web.listen-address").to_vec(),
            storage_path: PathBuf::from(flags.get("storage.tsdb.path")),
            retention: retention(flags)?,
            wal_sync: wal_sync(flags.get("wal-sync"))?,
            series_limits: series_limits(flags, memory_bytes())?,
            http: http_options(flags, per_step_stats)?,
            engine,
            notifier: notifier_options(flags)?,
            rules: rule_options(flags)?,
            gpu: gpu_options(flags)?,
            remote: remote_options(flags)?,
            log_level: flags.get("log.level").parse().map_err(|error| bad("log.level", error))?,
            log_format: flags.get("log.format").parse().map_err(|error| bad("log.format", error))?,
            warnings,
        })
    }
}

impl ServeOptions {
    /// Where the server reaches itself.
    pub(super) fn own_address(&self) -> String {
        let first = self.listen_addresses.first().map_or("", String::as_str);
        let port = first.rsplit_once(':').map_or("9090", |(_, port)| port);
        match first.parse::<SocketAddr>() {
            Ok(address) if !address.ip().is_unspecified() && !address.ip().is_loopback() => first.to_owned(),
            _ => format!("localhost:{port}"),
        }
    }
}

/// Where only a size is given, any age is kept.
fn retention(flags: &Flags) -> Result<Retention, String> {
    let size = flags.get("storage.tsdb.retention.size");
    let bytes = ByteSize::parse(size)
        .ok_or_else(|| bad("storage.tsdb.retention.size", format!("{size:?} is not a size")))?
        .0;
    let is_size_only = bytes > 0 && !flags.is_given("storage.tsdb.retention.time");
    let time_ms = if is_size_only { 0 } else { duration_ms(flags, "storage.tsdb.retention.time")? };
    Ok(Retention { time_ms, bytes, percentage: 0.0 })
}

/// Bytes of memory for each series that is allowed where no number is given: a series takes some one KiB with its
/// samples of half an hour, and half of the memory is for queries, the system and what it keeps of files.
const MEMORY_BYTES_PER_SERIES: u64 = 2_048;

/// Numbers as given; where none is, as many as fit the memory, a quarter of them for one metric and half for one job. No
/// limit where it is not known how much memory there is.
fn series_limits(flags: &Flags, memory_bytes: Option<u64>) -> Result<SeriesLimits, String> {
    let limit = |name: &str, auto: u64| match flags.get(name) {
        "auto" => Ok(auto),
        text => text.parse().map_err(|error| bad(name, format!("{text:?} is not auto or a number: {error}"))),
    };
    let total =
        limit("storage.series-limit", memory_bytes.map_or(0, |bytes| bytes / MEMORY_BYTES_PER_SERIES))?;
    Ok(SeriesLimits {
        total,
        per_metric: limit("storage.series-limit-per-metric", total.div_ceil(4))?,
        per_job: limit("storage.series-limit-per-job", total.div_ceil(2))?,
    })
}

fn http_options(flags: &Flags, per_step_stats: bool) -> Result<HttpOptions, String> {
    let external_url = external_url(flags)?;
    Ok(HttpOptions {
        route_prefix: route_prefix(flags, &external_url),
        global_url: global_url(&external_url, flags),
        external_url,
        cors_origin: RegexMatcher::new(flags.get("web.cors.origin"))
            .map_err(|error| bad("web.cors.origin", error))?,
        enable_lifecycle: flags.is_on("web.enable-lifecycle"),
        enable_admin_api: flags.is_on("web.enable-admin-api"),
        query_concurrency_max: number(flags, "query.max-concurrency")?,
        read_timeout: duration(flags, "web.read-timeout")?,
        connections_max: number(flags, "web.max-connections")?,
        flags: flags.shown(),
        per_step_stats,
        is_agent: false,
    })
}

/// A batch size of 0 is the default, as upstream has it.
fn notifier_options(flags: &Flags) -> Result<NotifierOptions, String> {
    let defaults = NotifierOptions::default();
    let batch_size = match number(flags, "alertmanager.notification-batch-size")? {
        0 => defaults.batch_size,
        size => size,
    };
    Ok(NotifierOptions {
        queue_capacity: number(flags, "alertmanager.notification-queue-capacity")?,
        batch_size,
        drain_on_shutdown: flags.is_on("alertmanager.drain-notification-queue-on-shutdown"),
        ..defaults
    })
}

fn rule_options(flags: &Flags) -> Result<RuleOptions, String> {
    Ok(RuleOptions {
        threads_max: number(flags, "query.max-concurrency")?,
        beside_max: number(flags, "rules.max-concurrent-evals")?,
        resend_delay_ms: duration_ms(flags, "rules.alert.resend-delay")?,
        outage_tolerance_ms: duration_ms(flags, "rules.alert.for-outage-tolerance")?,
        grace_period_ms: duration_ms(flags, "rules.alert.for-grace-period")?,
    })
}

fn gpu_options(flags: &Flags) -> Result<GpuOptions, String> {
    let mode = flags.get("gpu").parse().map_err(|error| bad("gpu", error))?;
    duration(flags, "gpu.window")?;
    let texts = GpuTexts {
        interval: flags.get("gpu.interval"),
        counters_file: flags.get("gpu.counters-file"),
        hostname_label: flags.get("gpu.hostname-label"),
        names: flags.get("gpu.names"),
        xid_window: flags.get("gpu.window"),
        clock_events_window: flags.get("gpu.window"),
        is_old_namespace: false,
        users: UserTexts {
            kubernetes: flags.get("gpu.kubernetes"),
            kubelet_socket: flags.get("gpu.kubelet-socket"),
            resource_names: flags.get("gpu.resource-names"),
            has_pod_uid: flags.is_on("gpu.pod-uid"),
            has_exported_labels: flags.is_on("gpu.exported-labels"),
            processes: flags.get("gpu.processes"),
            has_process_ids: flags.is_on("gpu.process-ids"),
            proc: flags.get("gpu.proc"),
            pod_logs: flags.get("gpu.pod-logs"),
            jobs: flags.get("gpu.hpc-job-mapping-dir"),
        },
        library: flags.get("gpu.library"),
        simulate: flags.get("gpu.simulate"),
    };
    GpuOptions::new(mode, texts).map_err(|error| format!("--gpu.{error}"))
}

fn remote_options(flags: &Flags) -> Result<RemoteOptions, String> {
    let of_log = match flags.role {
        Role::Server => "storage.remote.log-size-max",
        Role::Agent => "storage.agent.log-size-max",
    };
    let size = flags.get(of_log);
    let log_bytes_max = ByteSize::parse(size)
        .filter(|size| size.0 > 0)
        .ok_or_else(|| bad(of_log, format!("{size:?} is not a size such as 512MB")))?;
    Ok(RemoteOptions {
        agent_path: PathBuf::from(flags.get("storage.agent.path")),
        log_bytes_max: log_bytes_max.0,
        flush_deadline: duration(flags, "storage.remote.flush-deadline")?,
    })
}

/// The URL as given, or one made of the host's name and the first port.
fn external_url(flags: &Flags) -> Result<String, String> {
    let given = flags.get("web.external-url").trim_end_matches('/');
    if !given.is_empty() {
        if !given.starts_with("http://") && !given.starts_with("https://") {
            return Err(bad("web.external-url", format!("{given:?} must begin with http:// or https://")));
        }
        return Ok(given.to_owned());
    }
    let address = flags.all("web.listen-address").first().map_or("", String::as_str);
    let port = address.rsplit_once(':').map_or("9090", |(_, port)| port);
    let host = match address.parse::<SocketAddr>() {
        Ok(address) if address.ip().is_loopback() => "localhost".to_owned(),
        _ => crate::http::hostname(),
    };
    Ok(format!("http://{host}:{port}"))
}

fn global_url(external_url: &str, flags: &Flags) -> GlobalUrlOptions {
    let (scheme, rest) = external_url.split_once("://").unwrap_or(("http", external_url));
    let first = flags.all("web.listen-address").first().map_or("", String::as_str);
    GlobalUrlOptions {
        listen_port: first.rsplit_once(':').and_then(|(_, port)| port.parse().ok()).unwrap_or(0),
        host: rest.split('/').next().unwrap_or_default().to_owned(),
        scheme: scheme.to_owned(),
    }
}

/// Empty, or a path that begins with a slash and does not end with one.
fn route_prefix(flags: &Flags, external_url: &str) -> String {
    let given = match flags.get("web.route-prefix") {
        "" => {
            let behind_scheme = external_url.split_once("://").map_or(external_url, |(_, rest)| rest);
            behind_scheme.split_once('/').map_or("", |(_, path)| path)
        }
        given => given,
    };
    match given.trim_matches('/') {
        "" => String::new(),
        path => format!("/{path}"),
    }
}

/// Turns features on; answers whether queries count their samples by step.
fn read_features(flags: &Flags, engine: &mut EngineOptions, warnings: &mut Vec<String>) -> bool {
    let mut per_step_stats = false;
    for feature in flags.all("enable-feature").iter().flat_map(|list| list.split(',')) {
        match feature {
            "" => {}
            of_parser if engine.parser.enable(of_parser) => {}
            "promql-delayed-name-removal" => engine.delayed_name_removal = true,
            "use-start-timestamps" => engine.use_start_timestamps = true,
            "type-and-unit-labels" => engine.type_and_unit_labels = true,
            "promql-per-step-stats" => per_step_stats = true,
            known if FEATURES_ALWAYS_ON.contains(&known) => {
                warnings.push(format!("feature {known} needs no flag here and changes nothing"));
            }
            unknown => warnings.push(format!("unknown option for --enable-feature: {unknown}")),
        }
    }
    per_step_stats
}

fn wal_sync(text: &str) -> Result<WalSync, String> {
    match text.split_once('=') {
        None if text == "always" => Ok(WalSync::Always),
        None if text == "never" => Ok(WalSync::Never),
        Some(("interval", interval)) => {
            let ms = parse_duration(interval).map_err(|error| bad("wal-sync", error))?;
            Ok(WalSync::Interval(positive(ms, "wal-sync")?.unsigned_abs()))
        }
        _ => Err(bad("wal-sync", format!("{text:?} is not always, interval=DURATION or never"))),
    }
}

fn duration_ms(flags: &Flags, name: &str) -> Result<i64, String> {
    parse_duration(flags.get(name)).map_err(|error| bad(name, error))
}

fn duration(flags: &Flags, name: &str) -> Result<Duration, String> {
    duration_ms(flags, name).map(|ms| Duration::from_millis(ms.unsigned_abs()))
}

fn positive(ms: i64, name: &str) -> Result<i64, String> {
    if ms > 0 {
        Ok(ms)
    } else {
        Err(bad(name, format!("{} is not a positive duration", format_duration(ms))))
    }
}

fn number<T: std::str::FromStr<Err: std::fmt::Display>>(flags: &Flags, name: &str) -> Result<T, String> {
    flags.get(name).parse().map_err(|error| bad(name, format!("{:?}: {error}", flags.get(name))))
}

fn bad(name: &str, why: impl std::fmt::Display) -> String {
    format!("--{name}: {why}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::ffi::OsString;

    fn options(arguments: &[&str]) -> Result<ServeOptions, String> {
        let flags =
            Flags::parse(Role::Server, arguments.iter().map(OsString::from)).expect("flags are in the table");
        ServeOptions::from_flags(&flags)
    }

    #[test]
    fn defaults_are_upstreams_on_loopback() {
        let options = options(&[]).expect("defaults are fine");
        assert_eq!(options.retention, Retention { time_ms: 15 * 86_400_000, ..Retention::default() });
        assert_eq!(options.engine, EngineOptions::default());
        assert_eq!(options.wal_sync, WalSync::Always);
        assert_eq!(options.http.external_url, "http://localhost:9090");
        assert_eq!((options.http.route_prefix.as_str(), options.config_file), ("", None));
        assert!(options.warnings.is_empty(), "{:?}", options.warnings);
    }

    #[test]
    fn the_prefix_is_the_external_urls_path() {
        let prefix = |arguments: &[&str]| options(arguments).map(|options| options.http.route_prefix);
        assert_eq!(prefix(&["--web.external-url=http://a/b/c/"]).as_deref(), Ok("/b/c"));
        assert_eq!(prefix(&["--web.external-url=http://a/b", "--web.route-prefix=/"]).as_deref(), Ok(""));
        assert!(prefix(&["--web.external-url=a"]).is_err());
    }

    #[test]
    fn features_reach_the_engine() {
        let options = options(&[
            "--enable-feature=promql-experimental-functions,promql-binop-fill-modifiers",
            "--enable-feature=promql-per-step-stats,exemplar-storage,nonsense",
        ])
        .expect("features are fine");
        assert!(options.engine.parser.experimental_functions && options.engine.parser.fill_modifiers);
        assert!(options.http.per_step_stats);
        assert_eq!(options.warnings.len(), 2, "{:?}", options.warnings);
        assert!(options.warnings[1].contains("nonsense"));
    }

    #[test]
    fn wrong_values_name_their_flag() {
        for (argument, flag) in [
            ("--query.timeout=fast", "--query.timeout: "),
            ("--query.lookback-delta=0s", "--query.lookback-delta: "),
            ("--query.max-samples=many", "--query.max-samples: "),
            ("--alertmanager.notification-queue-capacity=-1", "--alertmanager.notification-queue-capacity: "),
            ("--alertmanager.notification-batch-size=x", "--alertmanager.notification-batch-size: "),
            ("--storage.remote.log-size-max=0", "--storage.remote.log-size-max: "),
            ("--storage.remote.flush-deadline=x", "--storage.remote.flush-deadline: "),
            ("--rules.max-concurrent-evals=x", "--rules.max-concurrent-evals: "),
            ("--rules.alert.resend-delay=x", "--rules.alert.resend-delay: "),
            ("--storage.series-limit=many", "--storage.series-limit: "),
            ("--storage.series-limit-per-metric=-1", "--storage.series-limit-per-metric: "),
            ("--storage.series-limit-per-job=x", "--storage.series-limit-per-job: "),
            ("--wal-sync=sometimes", "--wal-sync: "),
            ("--wal-sync=interval=x", "--wal-sync: "),
            ("--web.cors.origin=(", "--web.cors.origin: "),
            ("--gpu=yes", "--gpu: "),
            ("--gpu.interval=x", "--gpu.interval: "),
            ("--gpu.window=x", "--gpu.window: "),
            ("--gpu.kubernetes=yes", "--gpu.kubernetes: "),
            ("--gpu.processes=1s", "--gpu.processes: "),
            ("--gpu.names=nvml", "--gpu.names: "),
            ("--gpu.simulate=nodes=1", "--gpu.simulate: "),
            ("--gpu.counters-file=/nowhere.csv", "--gpu.counters-file: "),
            ("--log.level=loud", "--log.level: "),
            ("--log.format=xml", "--log.format: "),
        ] {
            let error = options(&[argument]).expect_err("the value is wrong");
            assert!(error.starts_with(flag), "{error}");
        }
    }

    #[test]
    fn limits_on_series_fit_the_memory() {
        let limits = |arguments: &[&str], memory_bytes| {
            let flags =
                Flags::parse(Role::Server, arguments.iter().map(OsString::from)).expect("flags are known");
            series_limits(&flags, memory_bytes).expect("values are fine")
        };
        let of = |total, per_metric, per_job| SeriesLimits { total, per_metric, per_job };
        assert_eq!(limits(&[], Some(1 << 30)), of(1 << 19, 1 << 17, 1 << 18));
        assert_eq!(limits(&[], None), of(0, 0, 0));
        assert_eq!(limits(&["--storage.series-limit=1001"], None), of(1_001, 251, 501));
        let given = ["--storage.series-limit=0", "--storage.series-limit-per-job=7"];
        assert_eq!(limits(&given, Some(1 << 30)), of(0, 0, 7));
    }

    #[test]
    fn the_log_may_be_synced_now_and_then() {
        let sync = |text: &str| options(&[text]).map(|options| options.wal_sync);
        assert_eq!(sync("--wal-sync=interval=200ms"), Ok(WalSync::Interval(200)));
        assert_eq!(sync("--wal-sync=never"), Ok(WalSync::Never));
    }
}
