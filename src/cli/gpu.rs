//! GPUs: how `serve` stores what they tell, and `perdura gpu export`, which stands in for the DCGM exporter.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use clap::{Arg, ArgAction, ArgMatches, Command};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;

use crate::clock::Clock;
use crate::gpu::{
    Collector, CollectorOptions, Counters, Families, Namer, Naming, NvmlOptions, NvmlSource, SeriesWriter,
    Snapshot,
};
use crate::http::{self, Exposed};
use crate::model::{TenantId, parse_duration};
use crate::storage::Append;

use super::logs::{self, LogFormat, LogLevel};
use super::usage;

/// Job of the series that `serve` stores by itself.
const JOB: &str = "gpu";
/// Most connections of the exporter at a time.
const CONNECTIONS_MAX: usize = 64;

/// When GPUs are read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum GpuMode {
    /// Where there is a driver.
    Auto,
    /// Where there is a driver, and its absence is worth a warning.
    On,
    /// Never.
    Off,
}

impl std::str::FromStr for GpuMode {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "auto" => Ok(Self::Auto),
            "on" => Ok(Self::On),
            "off" => Ok(Self::Off),
            other => Err(format!("{other:?} is not auto, on or off")),
        }
    }
}

/// How GPUs are read and named.
#[derive(Clone, Debug)]
pub(super) struct GpuOptions {
    pub(super) mode: GpuMode,
    pub(super) interval: Duration,
    pub(super) counters: Counters,
    pub(super) naming: Naming,
    /// The driver's library, where it is not the system's.
    pub(super) library: Option<PathBuf>,
}

/// Texts of flags; an empty one stands for the default.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct GpuTexts<'a> {
    pub(super) interval: &'a str,
    pub(super) counters_file: &'a str,
    pub(super) hostname_label: &'a str,
    pub(super) names: &'a str,
    pub(super) library: &'a str,
}

impl GpuOptions {
    /// From texts of flags. The error says what is wrong with which.
    pub(super) fn new(mode: GpuMode, texts: GpuTexts<'_>) -> Result<Self, String> {
        let interval = or(texts.interval, "15s");
        let interval_ms = parse_duration(interval).map_err(|error| format!("interval: {error}"))?;
        if interval_ms < 100 {
            return Err(format!("interval: {interval} is shorter than 100ms"));
        }
        let counters = match texts.counters_file {
            "" => Counters::default(),
            path => Counters::load(Path::new(path)).map_err(|error| format!("counters-file: {error}"))?,
        };
        let names = or(texts.names, "dcgm").parse().map_err(|error| format!("names: {error}"))?;
        Ok(Self {
            mode,
            interval: Duration::from_millis(interval_ms.unsigned_abs()),
            counters,
            naming: Naming { names, ..naming(or(texts.hostname_label, "Hostname"))? },
            library: Some(texts.library).filter(|path| !path.is_empty()).map(PathBuf::from),
        })
    }

    /// Reads GPUs from now on; `publish` gets the families of each round.
    fn collect(
        &self,
        publish: impl FnMut(&Snapshot, &Families) + Send + 'static,
    ) -> Result<Collector, String> {
        for name in self.counters.unavailable() {
            tracing::warn!(
                field = name,
                "this field of the counters file is not collected: NVML cannot tell it"
            );
        }
        let driver = NvmlOptions { library: self.library.clone(), has_processes: false };
        let mut namer = Namer::new(self.counters.clone(), self.naming.clone());
        let options = CollectorOptions {
            interval: self.interval,
            wanted: namer.fields(),
            clock: Clock::System,
            is_expected: self.mode == GpuMode::On,
        };
        let mut publish = publish;
        let with_names = move |snapshot: Snapshot| publish(&snapshot, &namer.families(&snapshot));
        Collector::start(Box::new(move || NvmlSource::open(&driver)), options, with_names)
            .map_err(|error| format!("cannot start the collector of GPUs: {error}"))
    }
}

fn or<'a>(text: &'a str, default: &'a str) -> &'a str {
    if text.is_empty() { default } else { text }
}

/// The label that names the machine: `Hostname`, `hostname`, or none.
fn naming(hostname_label: &str) -> Result<Naming, String> {
    let hostname = Some(hostname()).filter(|name| !name.is_empty());
    match hostname_label {
        "Hostname" => Ok(Naming { hostname, ..Naming::default() }),
        "hostname" => Ok(Naming { hostname, is_hostname_lower: true, ..Naming::default() }),
        "none" => Ok(Naming::default()),
        other => Err(format!("hostname-label: {other:?} is not Hostname, hostname or none")),
    }
}

/// The node's name where Kubernetes gives it, else the machine's.
fn hostname() -> String {
    std::env::var("NODE_NAME").ok().filter(|name| !name.is_empty()).unwrap_or_else(http::hostname)
}

/// Stores what GPUs tell, unless that is off.
pub(super) fn store(options: &GpuOptions, append: Arc<dyn Append>) -> Result<Option<Collector>, String> {
    if options.mode == GpuMode::Off {
        return Ok(None);
    }
    let mut writer = SeriesWriter::new(append, TenantId::default(), JOB, &hostname());
    options.collect(move |snapshot, families| writer.write(snapshot.time, families)).map(Some)
}

/// Ends what [`store`] began.
pub(super) async fn end(gpus: Option<Collector>) {
    if let Some(gpus) = gpus
        && let Err(error) = tokio::task::spawn_blocking(move || gpus.stop()).await
    {
        tracing::error!(%error, "stopping the collector of GPUs failed");
    }
}

/// The command line of `perdura gpu`.
pub(super) fn command() -> Command {
    let value = |name: &'static str, default: &'static str, help: &'static str| {
        Arg::new(name)
            .long(name)
            .default_value(default)
            .hide_default_value(default.is_empty())
            .help(help)
            .action(ArgAction::Set)
    };
    let export = Command::new("export")
        .about("Serves what GPUs tell on /metrics, in place of the DCGM exporter")
        .arg(value("listen", ":9400", "Address to listen on").short('a').alias("address"))
        .arg(value("interval", "15s", "Time between readings"))
        .arg(
            value(
                "counters-file",
                "",
                "Counters file in the DCGM exporter's format [default: its own defaults]",
            )
            .short('f')
            .alias("collectors"),
        )
        .arg(value("hostname-label", "Hostname", "Label that names the machine: Hostname, hostname or none"))
        .arg(value("names", "dcgm", "Names of metrics, a list of: dcgm (the DCGM exporter's), plain"))
        .arg(value("library", "", "The driver's library [default: libnvidia-ml.so.1 of the system]"));
    Command::new("gpu").about("Works with GPUs").subcommand_required(true).subcommand(export)
}

/// Exports until a signal ends it.
pub(super) fn run(arguments: &[OsString]) -> ExitCode {
    let program = OsString::from("perdura gpu");
    let matches = match command().try_get_matches_from(std::iter::once(&program).chain(arguments)) {
        Ok(matches) => matches,
        Err(error) => return usage(&error),
    };
    let (_, of_export) = matches.subcommand().expect("a subcommand is required");
    let text = |name: &str| text_of(of_export, name);
    let texts = GpuTexts {
        interval: text("interval"),
        counters_file: text("counters-file"),
        hostname_label: text("hostname-label"),
        names: text("names"),
        library: text("library"),
    };
    let options = GpuOptions::new(GpuMode::On, texts);
    let options = match options {
        Ok(options) => options,
        Err(error) => {
            eprintln!("perdura: --{error}");
            return ExitCode::from(2);
        }
    };
    logs::start(LogLevel::Info, LogFormat::Text);
    match export(&options, text("listen")) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            tracing::error!(%error, "stopped");
            ExitCode::FAILURE
        }
    }
}

fn text_of<'a>(matches: &'a ArgMatches, name: &str) -> &'a str {
    matches.get_one::<String>(name).expect("every argument has a default")
}

fn export(options: &GpuOptions, address: &str) -> Result<(), String> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| format!("cannot start the network's thread: {error}"))?;
    let interval_ms = i64::try_from(options.interval.as_millis()).unwrap_or(i64::MAX);
    let exposed = Arc::new(Exposed::new(Clock::System, interval_ms.saturating_mul(3)));
    runtime.block_on(async {
        let listener =
            http::listen(address).await.map_err(|error| format!("cannot listen on {address}: {error}"))?;
        let address = listener.local_addr().map_or_else(|_| address.to_owned(), |at| at.to_string());
        tracing::info!(address, "listening");
        let publish = Arc::clone(&exposed);
        let collector =
            options.collect(move |snapshot, families| publish.set(snapshot.time, families.to_text()))?;
        let (stop, stopping) = watch::channel(false);
        let serving =
            tokio::spawn(http::serve(vec![listener], http::exporter(exposed), CONNECTIONS_MAX, stopping));
        ended().await?;
        stop.send_replace(true);
        serving.await.map_err(|error| format!("the server's task failed: {error}"))?;
        collector.stop();
        Ok(())
    })
}

async fn ended() -> Result<(), String> {
    let listen = |kind| signal(kind).map_err(|error| format!("cannot listen for signals: {error}"));
    let (mut terminate, mut interrupt) = (listen(SignalKind::terminate())?, listen(SignalKind::interrupt())?);
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wrong_texts_are_named() {
        let refused = |texts| GpuOptions::new(GpuMode::Auto, texts).expect_err("it is wrong");
        let texts = GpuTexts::default();
        assert!(refused(GpuTexts { interval: "x", ..texts }).starts_with("interval: "));
        assert!(refused(GpuTexts { interval: "10ms", ..texts }).starts_with("interval: "));
        let file = GpuTexts { counters_file: "/nowhere.csv", ..texts };
        assert!(refused(file).starts_with("counters-file: cannot read"));
        assert!(refused(GpuTexts { hostname_label: "HOSTNAME", ..texts }).starts_with("hostname-label: "));
        assert!(refused(GpuTexts { names: "dcgm,nvml", ..texts }).starts_with("names: \"nvml\""));
        let options = GpuOptions::new(GpuMode::Auto, GpuTexts { hostname_label: "none", ..texts });
        let options = options.expect("it is fine");
        assert_eq!((options.naming, options.library), (Naming::default(), None));
    }

    #[test]
    fn modes_are_three() {
        assert_eq!("auto".parse(), Ok(GpuMode::Auto));
        assert_eq!("off".parse(), Ok(GpuMode::Off));
        assert!("yes".parse::<GpuMode>().is_err());
    }
}
