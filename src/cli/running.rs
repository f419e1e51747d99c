//! What runs by the configuration: loaded at the start, replaced whole at a reload.

use std::path::{Path, PathBuf};
use std::sync::{Arc, RwLock};
use std::time::Duration;

use crate::clock::Clock;
use crate::config::Config;
use crate::db::{Database, Retention};
use crate::http::Settings;
use crate::metrics::{Gauge, Registry};
use crate::model::Timestamp;
use crate::notify::{Notifier, NotifierOptions};
use crate::promql::Engine;
use crate::remote::{RemoteWriter, StoredLog};
use crate::rules::{
    Environment, Globals, PreparedRules, RuleFileError, RuleFileOptions, RuleManager, load_files,
};
use crate::scrape::{ScrapeManager, ScrapeOptions};
use crate::storage::{Append, OutOfOrder};

use super::options::ServeOptions;

/// Errors of rule files that are told at a time.
const RULE_ERRORS_SAID: usize = 20;

/// The configured parts of the program.
pub(super) struct Running {
    config_file: Option<PathBuf>,
    /// What runs where there is no file.
    built_in: Config,
    /// What is kept where the file does not say.
    retention: Retention,
    database: Arc<Database>,
    /// The jobs.
    pub(super) scrape: ScrapeManager,
    /// Where alerts go.
    pub(super) notifier: Notifier,
    /// The groups of rules.
    pub(super) rules: RuleManager,
    /// Where samples go.
    pub(super) writer: RemoteWriter,
    engine: Engine,
    /// What the server shows and follows.
    pub(super) settings: Arc<RwLock<Arc<Settings>>>,
    reload_worked: Gauge,
    reloaded_at: Gauge,
}

impl Running {
    /// Loads the configuration and starts what it asks for.
    pub(super) async fn start(
        options: &ServeOptions,
        log: Arc<StoredLog>,
        database: &Arc<Database>,
        engine: Engine,
        registry: &Registry,
    ) -> Result<Self, String> {
        let scrape = ScrapeManager::new(
            Arc::clone(&log) as Arc<dyn Append>,
            Clock::System,
            ScrapeOptions {
                offset_seed: offset_seed(&options.http.external_url),
                ..ScrapeOptions::default()
            },
        );
        let notifier = Notifier::new(NotifierOptions {
            file_read_errors: scrape.metrics().file_read_errors.clone(),
            ..options.notifier.clone()
        });
        let (reload_worked, reloaded_at) = reload_gauges(registry);
        let running = Self {
            config_file: options.config_file.clone(),
            built_in: Config::scraping_itself(
                &options.own_address(),
                &format!("{}/metrics", options.http.route_prefix),
            ),
            retention: options.retention,
            rules: rule_manager(options, &log, database, engine.clone(), notifier.clone()),
            engine,
            notifier,
            scrape,
            writer: RemoteWriter::new(log, Clock::System),
            database: Arc::clone(database),
            settings: Arc::default(),
            reload_worked,
            reloaded_at,
        };
        running.reload().await?;
        running.rules.start();
        Ok(running)
    }

    /// Loads the configuration again; on an error everything stays as it was.
    pub(super) async fn reload(&self) -> Result<(), String> {
        let tried = self.load_and_apply().await;
        if let Err(error) = &tried {
            self.keep(error);
        }
        tried
    }

    /// First everything that can fail, then everything that cannot.
    async fn load_and_apply(&self) -> Result<(), String> {
        // Reading files may block.
        let (path, built_in) = (self.config_file.clone(), self.built_in.clone());
        let (engine, rules) = (self.engine.clone(), self.rules.clone());
        let loaded = tokio::task::spawn_blocking(move || {
            let config = path.map_or(Ok(built_in), |path| load(&path))?;
            let rules = prepare_rules(&config, &engine, &rules)?;
            let external_labels = config.global.external_label_set();
            let alerting = Notifier::prepare(&config.alerting, &external_labels).map_err(not_applied)?;
            let receivers =
                RemoteWriter::prepare(&config.remote_write, &external_labels).map_err(not_applied)?;
            Ok::<_, String>((config, rules, alerting, receivers))
        });
        let (config, rules, alerting, receivers) =
            loaded.await.map_err(|error| format!("reading the configuration failed: {error}"))??;
        let jobs = config.jobs().cloned().collect();
        self.scrape.apply(jobs).await.map_err(not_applied)?;
        // Of what can fail, this is the last, and only the disk can make it.
        self.writer.apply(receivers).await.map_err(not_applied)?;
        self.notifier.apply(alerting).await;
        self.rules.commit(rules);
        self.apply(&config, Clock::System.now_ms());
        Ok(())
    }

    fn apply(&self, config: &Config, now: Timestamp) {
        for name in config.unserved() {
            tracing::warn!(setting = name, "this setting is accepted and has no effect yet");
        }
        let tsdb = config.storage.tsdb.clone().unwrap_or_default();
        let retention = tsdb.retention.map_or(self.retention, |retention| Retention {
            time_ms: retention.time.0,
            bytes: retention.size.0,
            percentage: retention.percentage,
        });
        if retention.percentage > 0.0 && retention.bytes > 0 {
            tracing::warn!(
                "storage.tsdb.retention.size is ignored, because storage.tsdb.retention.percentage is specified"
            );
        }
        let out_of_order = tsdb
            .out_of_order_time_window
            .map_or(OutOfOrder::Unlimited, |window| OutOfOrder::Window(window.0));
        self.database.set_retention(retention);
        self.show(Settings {
            config_yaml: config.to_yaml(),
            retention_ms: retention.time_ms,
            out_of_order,
            loaded_at: now,
            reload_worked: true,
        });
        self.reload_worked.set(1.0);
        self.reloaded_at.set((now / 1_000) as f64);
        tracing::info!(file = ?self.config_file, jobs = config.jobs().count(), "configuration loaded");
    }

    fn keep(&self, error: &str) {
        self.reload_worked.set(0.0);
        let before = Arc::clone(&crate::lock::read(&self.settings));
        self.show(Settings { reload_worked: false, ..(*before).clone() });
        // Last: who reads this asks for the gauge next.
        tracing::error!(%error, "the configuration was not loaded");
    }

    fn show(&self, settings: Settings) {
        *crate::lock::write(&self.settings) = Arc::new(settings);
    }

    /// Ends what was started. Samples that wait are sent for at most `flush_deadline`.
    pub(super) async fn stop(&self, flush_deadline: Duration) {
        // Rules end before scrapes do: targets that are no longer scraped would make alerts.
        let rules = self.rules.clone();
        if let Err(error) = tokio::task::spawn_blocking(move || rules.stop()).await {
            tracing::error!(%error, "stopping the rules failed");
        }
        self.scrape.stop().await;
        self.notifier.stop().await;
        self.writer.stop(flush_deadline).await;
    }
}

fn not_applied(error: impl std::fmt::Display) -> String {
    format!("cannot apply the configuration: {error}")
}

fn rule_manager(
    options: &ServeOptions,
    log: &Arc<StoredLog>,
    database: &Arc<Database>,
    engine: Engine,
    notifier: Notifier,
) -> RuleManager {
    let mut environment = Environment::new(engine, database.clone(), log.clone());
    environment.notify = Box::new(move |alerts| notifier.send(alerts));
    environment.external_url.clone_from(&options.http.external_url);
    environment.beside_max = options.rules.beside_max;
    environment.resend_delay_ms = options.rules.resend_delay_ms;
    environment.outage_tolerance_ms = options.rules.outage_tolerance_ms;
    environment.grace_period_ms = options.rules.grace_period_ms;
    RuleManager::new(Arc::new(environment), Clock::System, options.rules.threads_max)
}

/// Reads the rule files of a configuration; the error names what is wrong with them, and where.
fn prepare_rules(config: &Config, engine: &Engine, rules: &RuleManager) -> Result<PreparedRules, String> {
    let global = &config.global;
    let options = RuleFileOptions {
        parser: engine.options().parser,
        name_validation: global.metric_name_validation_scheme.unwrap_or_default(),
        ignore_unknown_fields: false,
    };
    let globals =
        Globals { external_labels: global.external_label_set(), query_offset_ms: global.rule_query_offset.0 };
    let patterns = config.rule_files.iter().map(String::as_str);
    load_files(patterns, &options)
        .and_then(|files| rules.prepare(&files, global.evaluation_interval.0, globals))
        .map_err(|errors| said_of_rules(&errors))
}

fn said_of_rules(errors: &[RuleFileError]) -> String {
    let mut said: Vec<String> = errors.iter().take(RULE_ERRORS_SAID).map(ToString::to_string).collect();
    if errors.len() > RULE_ERRORS_SAID {
        said.push(format!("and {} more", errors.len() - RULE_ERRORS_SAID));
    }
    format!("cannot load rules: {}", said.join("; "))
}

/// Whether the last reload worked, and when one last did.
pub(super) fn reload_gauges(registry: &Registry) -> (Gauge, Gauge) {
    let worked = registry.gauge(
        "prometheus_config_last_reload_successful",
        "Whether the last configuration reload attempt was successful.",
    );
    let at = registry.gauge(
        "prometheus_config_last_reload_success_timestamp_seconds",
        "Timestamp of the last successful configuration reload.",
    );
    (worked, at)
}

/// Servers with different names scrape the same targets at different times.
pub(super) fn offset_seed(external_url: &str) -> u64 {
    xxhash_rust::xxh64::xxh64(external_url.as_bytes(), 0)
}

/// Reads a configuration file with the variables of the environment.
pub(super) fn load(path: &Path) -> Result<Config, String> {
    Config::load(path, &|name| std::env::var(name).ok())
        .map_err(|error| format!("couldn't load configuration (--config.file={path:?}): {error}"))
}
