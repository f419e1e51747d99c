//! `perdura agent`: scrapes, reads GPUs and sends to `remote_write`, through a log on disk. Nothing is stored beyond that, so there is
//! nothing to query.

use std::ffi::OsString;
use std::process::ExitCode;
use std::sync::{Arc, RwLock};

use tokio::sync::mpsc;

use crate::clock::Clock;
use crate::config::Config;
use crate::db::WalSync;
use crate::http::{HttpOptions, Services, Settings};
use crate::metrics::{Gauge, Registry};
use crate::promql::Engine;
use crate::remote::{PreparedReceivers, RemoteLog, RemoteLogOptions, RemoteWriter};
use crate::scrape::{ScrapeManager, ScrapeOptions};
use crate::storage::{Append, MemoryStore};

use super::flags::Role;
use super::life::{Serving, Signals, blocking, listen, read_options, run_to_the_end};
use super::options::ServeOptions;
use super::running::{load, offset_seed, reload_gauges};
use super::{facts, gpu};

/// Whether the flags ask for an agent.
pub(super) fn is_asked_for(arguments: &[OsString]) -> bool {
    arguments.iter().any(|argument| argument == "--agent" || argument == "--agent=true")
}

/// Runs until the end of the process; answers its exit code.
pub(super) fn run(arguments: &[OsString]) -> ExitCode {
    let options = match read_options(Role::Agent, arguments) {
        Ok(options) => options,
        Err(code) => return code,
    };
    let mut warnings = options.warnings.clone();
    if matches!(options.wal_sync, WalSync::Interval(_)) {
        warnings.push("an agent syncs its log with each write, or never".to_owned());
    }
    run_to_the_end(&warnings, forward(options))
}

async fn forward(options: ServeOptions) -> Result<(), String> {
    let mut signals = Signals::listen()?;
    let listeners = listen(&options.listen_addresses).await?;
    let registry = Arc::new(Registry::default());
    facts::register_process(&registry);
    let log = open(&options).await?;
    let agent = Agent::start(&options, Arc::clone(&log), &registry).await?;
    facts::register_scrape(&registry, &agent.scrape);
    let writer = agent.writer.clone();
    registry.on_scrape(move |out| writer.expose(out));
    let gpus = gpu::store(&options.gpu, log.clone())?;
    let (control, mut asked) = mpsc::channel(4);
    let services = Services {
        clock: Clock::System,
        append: log.clone(),
        // Nothing is ever in it: the paths that would ask answer that this is an agent.
        select: Arc::new(MemoryStore::default()),
        database: None,
        scrape: Some(agent.scrape.clone()),
        notifier: None,
        rules: None,
        engine: Engine::new(options.engine.clone()),
        registry,
        control,
        settings: Arc::clone(&agent.settings),
    };
    let http = HttpOptions { is_agent: true, ..options.http.clone() };
    let serving = Serving::start(listeners, http, services);
    serving.until_stopped(async || agent.reload().await, &mut asked, &mut signals).await;
    gpu::end(gpus).await;
    agent.scrape.stop().await;
    agent.writer.stop(options.remote.flush_deadline).await;
    // Last, so that how sending goes can be seen to the end.
    serving.end().await;
    // What was appended is durable already, unless it was asked otherwise.
    blocking("close the log", move || log.close()).await?;
    tracing::info!("stopped");
    Ok(())
}

async fn open(options: &ServeOptions) -> Result<Arc<RemoteLog>, String> {
    let log = RemoteLogOptions {
        sync_each: options.wal_sync != WalSync::Never,
        bytes_max: options.remote.log_bytes_max,
        ..RemoteLogOptions::new(&options.remote.agent_path)
    };
    blocking("open the log", move || RemoteLog::open(log)).await
}

/// What runs by the configuration.
struct Agent {
    options: ServeOptions,
    scrape: ScrapeManager,
    writer: RemoteWriter,
    settings: Arc<RwLock<Arc<Settings>>>,
    reload_worked: Gauge,
    reloaded_at: Gauge,
}

impl Agent {
    async fn start(options: &ServeOptions, log: Arc<RemoteLog>, registry: &Registry) -> Result<Self, String> {
        let scrape_options = ScrapeOptions {
            offset_seed: offset_seed(&options.http.external_url),
            ..ScrapeOptions::default()
        };
        let append = Arc::clone(&log) as Arc<dyn Append>;
        let (reload_worked, reloaded_at) = reload_gauges(registry);
        let agent = Self {
            options: options.clone(),
            scrape: ScrapeManager::new(append, Clock::System, scrape_options),
            writer: RemoteWriter::new(log, Clock::System),
            settings: Arc::default(),
            reload_worked,
            reloaded_at,
        };
        let (config, receivers) = agent.load().await?;
        // Receivers come first: the log keeps samples for those that it knows.
        agent.set_receivers(receivers).await?;
        agent.set_jobs(&config).await?;
        agent.show(&config);
        Ok(agent)
    }

    /// Loads the configuration again; what can be wrong with it is found before anything changes.
    async fn reload(&self) -> Result<(), String> {
        let tried = async {
            let (config, receivers) = self.load().await?;
            self.set_jobs(&config).await?;
            self.set_receivers(receivers).await?;
            self.show(&config);
            Ok(())
        };
        let tried: Result<(), String> = tried.await;
        if let Err(error) = &tried {
            self.reload_worked.set(0.0);
            let before = Arc::clone(&crate::lock::read(&self.settings));
            *crate::lock::write(&self.settings) =
                Arc::new(Settings { reload_worked: false, ..(*before).clone() });
            tracing::error!(%error, "the configuration was not loaded");
        }
        tried
    }

    async fn load(&self) -> Result<(Config, PreparedReceivers), String> {
        let path = self.options.config_file.clone();
        let path = path.ok_or("an agent needs a configuration (--config.file)")?;
        // Reading files may block.
        let loading = tokio::task::spawn_blocking(move || {
            let config = load(&path)?;
            config
                .check_for_agent()
                .map_err(|error| format!("couldn't load configuration (--config.file={path:?}): {error}"))?;
            let external_labels = config.global.external_label_set();
            let receivers = RemoteWriter::prepare(&config.remote_write, &external_labels)
                .map_err(|error| format!("cannot apply the configuration: {error}"))?;
            Ok((config, receivers))
        });
        loading.await.map_err(|error| format!("reading the configuration failed: {error}"))?
    }

    async fn set_receivers(&self, receivers: PreparedReceivers) -> Result<(), String> {
        let applied = self.writer.apply(receivers).await;
        applied.map_err(|error| format!("cannot apply the configuration: {error}"))
    }

    async fn set_jobs(&self, config: &Config) -> Result<(), String> {
        let applied = self.scrape.apply(config.jobs().cloned().collect()).await;
        applied.map_err(|error| format!("cannot apply the configuration: {error}"))
    }

    fn show(&self, config: &Config) {
        for name in config.unserved() {
            tracing::warn!(setting = name, "this setting is accepted and has no effect yet");
        }
        if config.remote_write.is_empty() {
            tracing::warn!("there is no remote_write, so that samples go nowhere");
        }
        let now = Clock::System.now_ms();
        *crate::lock::write(&self.settings) =
            Arc::new(Settings { config_yaml: config.to_yaml(), loaded_at: now, ..Settings::default() });
        self.reload_worked.set(1.0);
        self.reloaded_at.set((now / 1_000) as f64);
        tracing::info!(
            file = ?self.options.config_file,
            jobs = config.jobs().count(),
            receivers = config.remote_write.len(),
            "configuration loaded"
        );
    }
}
