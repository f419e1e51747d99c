//! GPUs: how `serve` stores what they tell, `perdura gpu export`, which stands in for the DCGM exporter, and
//! `perdura gpu simulate`, which does so of GPUs that are not there.

mod arguments;
mod users;

use std::ffi::OsString;
use std::io::{ErrorKind, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use clap::{Arg, ArgAction, ArgMatches, Command};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;

use crate::clock::Clock;
use crate::gpu::fields::table;
use crate::gpu::users::Users;
use crate::gpu::{
    Collector, CollectorOptions, Counters, Families, Machine, Namer, Naming, NvmlOptions, NvmlSource, Open,
    Rounds, SeriesWriter, Simulation, Snapshot, Source, WindowLengths,
};
use crate::http::{self, Exposed};
use crate::lock::lock;
use crate::model::{TenantId, Timestamp, parse_duration};
use crate::storage::Append;

use super::logs::{self, LogFormat, LogLevel};
use super::usage;
use arguments::Said;
pub(super) use users::UserTexts;
use users::UsersSetup;

/// Job of the series that `serve` stores by itself.
const JOB: &str = "gpu";
/// Shortest time between readings.
const INTERVAL_MIN: Duration = Duration::from_millis(100);
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
    /// Not those of this machine, but of a simulation.
    Simulate,
}

impl std::str::FromStr for GpuMode {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "auto" => Ok(Self::Auto),
            "on" => Ok(Self::On),
            "off" => Ok(Self::Off),
            "simulate" => Ok(Self::Simulate),
            other => Err(format!("{other:?} is not auto, on, off or simulate")),
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
    /// What is read in place of a driver.
    pub(super) simulation: Option<Simulation>,
    /// Who uses them.
    users: UsersSetup,
}

/// Texts of flags; an empty one stands for the default.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct GpuTexts<'a> {
    pub(super) interval: &'a str,
    pub(super) counters_file: &'a str,
    pub(super) hostname_label: &'a str,
    pub(super) names: &'a str,
    pub(super) xid_window: &'a str,
    pub(super) clock_events_window: &'a str,
    pub(super) is_old_namespace: bool,
    pub(super) library: &'a str,
    pub(super) simulate: &'a str,
    pub(super) users: UserTexts<'a>,
}

impl GpuOptions {
    /// From texts of flags. The error says what is wrong with which.
    pub(super) fn new(mode: GpuMode, texts: GpuTexts<'_>) -> Result<Self, String> {
        let interval = duration("interval", or(texts.interval, "15s"))?;
        if interval < INTERVAL_MIN {
            return Err(format!("interval: {} is shorter than 100ms", texts.interval));
        }
        let counters = match texts.counters_file {
            "" => Counters::default(),
            path => Counters::load(Path::new(path)).map_err(|error| format!("counters-file: {error}"))?,
        };
        let names = or(texts.names, "dcgm").parse().map_err(|error| format!("names: {error}"))?;
        let windows = WindowLengths {
            xids: duration("xid-count-window-size", or(texts.xid_window, "5m"))?,
            clock_events: duration("clock-events-count-window-size", or(texts.clock_events_window, "5m"))?,
        };
        let is_old_namespace = texts.is_old_namespace;
        Ok(Self {
            mode,
            interval,
            counters,
            naming: Naming {
                names,
                windows,
                is_old_namespace,
                ..naming(or(texts.hostname_label, "Hostname"))?
            },
            library: Some(texts.library).filter(|path| !path.is_empty()).map(PathBuf::from),
            simulation: simulation(mode, texts.simulate)?,
            users: UsersSetup::new(texts.users, is_old_namespace)?,
        })
    }

    /// Reads GPUs from now on: `publish` says where the families of a machine's rounds go, `conclude` is called when all
    /// have gone there.
    fn collect(
        &self,
        mut publish: impl FnMut(&str) -> Publish,
        conclude: impl FnMut() + Send + 'static,
    ) -> Result<Collector, String> {
        for note in self.counters.notes() {
            tracing::warn!("{note}");
        }
        let machines = match &self.simulation {
            None => {
                let driver =
                    NvmlOptions { library: self.library.clone(), has_processes: self.users.has_processes() };
                let users = self.users.start(self.interval)?;
                let open = Box::new(move || NvmlSource::open(&driver));
                vec![self.machine(open, self.naming.clone(), users, publish(&hostname()))]
            }
            Some(simulation) => {
                let (nodes, gpus, seed, speed) =
                    (simulation.nodes, simulation.gpus, simulation.seed, simulation.speed);
                tracing::info!(nodes, gpus, seed, speed, "GPUs are simulated");
                let machine = |node| self.simulated(simulation, node, &mut publish);
                (0..simulation.nodes).map(machine).collect()
            }
        };
        Collector::start_all(machines, self.interval, conclude)
            .map_err(|error| format!("cannot start the collector of GPUs: {error}"))
    }

    fn simulated(
        &self,
        simulation: &Simulation,
        node: u32,
        publish: &mut impl FnMut(&str) -> Publish,
    ) -> Machine {
        let (source, name) = (simulation.node(node, Clock::System), simulation.node_name(node));
        let publish = publish(&name);
        let hostname = self.naming.hostname.is_some().then_some(name);
        let naming = Naming { hostname, ..self.naming.clone() };
        let users = self.users.of(source.clone());
        let open = Box::new(move || Ok(Arc::clone(&source) as Arc<dyn Source>));
        self.machine(open, naming, users, publish)
    }

    fn machine(&self, open: Open, naming: Naming, mut users: Users, mut publish: Publish) -> Machine {
        let mut namer = Namer::new(self.counters.clone(), naming);
        let options = CollectorOptions {
            interval: self.interval,
            wanted: namer.fields(),
            clock: Clock::System,
            is_expected: self.mode == GpuMode::On,
        };
        let with_names = move |snapshot: Snapshot| {
            let mut families = namer.families(&snapshot);
            users.add_to(&snapshot, &mut families);
            publish(&snapshot, families);
        };
        Machine { rounds: Rounds::new(open, options), publish: Box::new(with_names) }
    }
}

/// Where the families of one machine's rounds go.
type Publish = Box<dyn FnMut(&Snapshot, Families) + Send>;

/// What is simulated, if anything is.
fn simulation(mode: GpuMode, text: &str) -> Result<Option<Simulation>, String> {
    match mode {
        GpuMode::Simulate => text.parse().map(Some).map_err(|error| format!("simulate: {error}")),
        _ if text.is_empty() => Ok(None),
        _ => Err("simulate: nothing is simulated without --gpu=simulate".to_owned()),
    }
}

/// A duration; a number alone is in milliseconds, as the exporter has it.
fn duration(flag: &str, text: &str) -> Result<Duration, String> {
    if let Ok(milliseconds) = text.parse() {
        return Ok(Duration::from_millis(milliseconds));
    }
    let milliseconds = parse_duration(text).map_err(|error| format!("{flag}: {error}"))?;
    Ok(Duration::from_millis(milliseconds.unsigned_abs()))
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
    let publish = |instance: &str| -> Publish {
        let mut writer = SeriesWriter::new(Arc::clone(&append), TenantId::default(), JOB, instance);
        Box::new(move |snapshot, families| writer.write(snapshot.time, &families))
    };
    options.collect(publish, || {}).map(Some)
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
    let export = arguments::with_flags(
        Command::new("export").about("Serves what GPUs tell on /metrics, in place of the DCGM exporter"),
    )
    .arg(value("library", "", "The driver's library [default: libnvidia-ml.so.1 of the system]"));
    let simulate = arguments::with_flags(
        Command::new("simulate").about("Serves what a fleet of GPUs that are not there would tell"),
    )
    .arg(value("nodes", "1", "Machines"))
    .arg(value("gpus", "8", "GPUs of each machine"))
    .arg(value(
        "model",
        "h100",
        "Products, which machines take in turn: h100, h200, a100, l40s, h100-mig, a100-mig",
    ))
    .arg(value("seed", "1", "What chance falls by; the same seed tells the same"))
    .arg(value("speed", "1", "Seconds of the simulation in one of the clock's"));
    let fields = Command::new("fields").about("Lists the fields that GPUs can tell").arg(value(
        "format",
        "plain",
        "How: plain, markdown or json",
    ));
    Command::new("gpu")
        .about("Works with GPUs")
        .subcommand_required(true)
        .subcommand(export)
        .subcommand(simulate)
        .subcommand(fields)
}

fn value(name: &'static str, default: &'static str, help: &'static str) -> Arg {
    Arg::new(name)
        .long(name)
        .default_value(default)
        .hide_default_value(default.is_empty())
        .help(help)
        .action(ArgAction::Set)
}

/// Runs a subcommand; what exports does until a signal ends it.
pub(super) fn run(arguments: &[OsString]) -> ExitCode {
    let program = OsString::from("perdura gpu");
    let matches = match command().try_get_matches_from(std::iter::once(&program).chain(arguments)) {
        Ok(matches) => matches,
        Err(error) => return usage(&error),
    };
    match matches.subcommand().expect("a subcommand is required") {
        ("fields", matches) => list_fields(text_of(matches, "format")),
        (subcommand, matches) => run_exporter(subcommand, matches),
    }
}

/// Prints the fields that can be read.
fn list_fields(format: &str) -> ExitCode {
    match format.parse() {
        Ok(format) => print(&table(format)),
        Err(error) => {
            eprintln!("perdura: --format: {error}");
            ExitCode::from(2)
        }
    }
}

/// A reader that has seen enough, such as `head`, is no failure.
fn print(text: &str) -> ExitCode {
    match std::io::stdout().write_all(text.as_bytes()) {
        Err(error) if error.kind() != ErrorKind::BrokenPipe => ExitCode::FAILURE,
        _ => ExitCode::SUCCESS,
    }
}

fn run_exporter(subcommand: &str, matches: &ArgMatches) -> ExitCode {
    let said = Said::new(matches, |name| std::env::var_os(name));
    let options = match options_of(subcommand, &said, matches) {
        Ok(options) => options,
        Err(error) => {
            eprintln!("perdura: --{error}");
            return ExitCode::from(2);
        }
    };
    logs::start(LogLevel::Info, LogFormat::Text);
    match export(&options, or(said.get("listen"), ":9400")) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            tracing::error!(%error, "stopped");
            ExitCode::FAILURE
        }
    }
}

fn options_of(subcommand: &str, said: &Said, matches: &ArgMatches) -> Result<GpuOptions, String> {
    let text = |name: &str| text_of(matches, name);
    let is_simulated = subcommand == "simulate";
    let library = if is_simulated { "" } else { text("library") };
    let texts = GpuTexts { library, ..said.texts() };
    let mode = if is_simulated { GpuMode::Simulate } else { GpuMode::On };
    let mut options = GpuOptions::new(mode, texts)?;
    options.naming.has_xids_at_zero = true;
    if let Some(simulation) = &mut options.simulation {
        for name in ["nodes", "gpus", "model", "seed", "speed"] {
            simulation.set(name, text(name)).map_err(|error| format!("{name}: {error}"))?;
        }
    }
    Ok(options)
}

fn text_of<'a>(matches: &'a ArgMatches, name: &str) -> &'a str {
    matches.get_one::<String>(name).expect("every argument has a default")
}

/// The page of an exporter, which machines write together.
#[derive(Clone)]
struct Page {
    exposed: Arc<Exposed>,
    /// What each machine said in this round, and when; by its place.
    said: Arc<Mutex<Vec<(Timestamp, Families)>>>,
}

impl Page {
    fn new(exposed: Arc<Exposed>) -> Self {
        Self { exposed, said: Arc::default() }
    }

    /// The part of one more machine.
    fn part(&self) -> Publish {
        let mut parts = lock(&self.said);
        let (said, place) = (Arc::clone(&self.said), parts.len());
        parts.push((Timestamp::MIN, Families::default()));
        Box::new(move |snapshot, families| lock(&said)[place] = (snapshot.time, families))
    }

    /// Shows what all have said, as one text: each family once.
    fn conclude(self) -> impl FnMut() + Send + 'static {
        move || {
            let mut time = Timestamp::MAX;
            let mut all = Families::default();
            for (said_at, families) in lock(&self.said).iter_mut() {
                time = time.min(*said_at);
                all.extend(std::mem::take(families));
            }
            self.exposed.set(time, all.to_text());
        }
    }
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
        let page = Page::new(Arc::clone(&exposed));
        let collector = options.collect(|_| page.part(), page.clone().conclude())?;
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
    fn modes_have_names() {
        assert_eq!("auto".parse(), Ok(GpuMode::Auto));
        assert_eq!("off".parse(), Ok(GpuMode::Off));
        assert_eq!("simulate".parse(), Ok(GpuMode::Simulate));
        assert!("yes".parse::<GpuMode>().is_err());
    }
}
