//! What runs by the configuration: loaded at the start, replaced whole at a reload.

use std::path::{Path, PathBuf};
use std::sync::{Arc, RwLock};

use crate::clock::Clock;
use crate::config::Config;
use crate::db::Database;
use crate::http::Settings;
use crate::metrics::{Gauge, Registry};
use crate::model::Timestamp;
use crate::notify::{Notifier, NotifierOptions};
use crate::scrape::{ScrapeManager, ScrapeOptions};
use crate::storage::{Append, OutOfOrder};

use super::options::ServeOptions;

/// The configured parts of the program.
pub(super) struct Running {
    config_file: Option<PathBuf>,
    /// What runs where there is no file.
    built_in: Config,
    /// Retention where the file names none, in milliseconds.
    retention_ms: i64,
    database: Arc<Database>,
    /// The jobs.
    pub(super) scrape: ScrapeManager,
    /// Where alerts go.
    pub(super) notifier: Notifier,
    /// What the server shows and follows.
    pub(super) settings: Arc<RwLock<Arc<Settings>>>,
    reload_worked: Gauge,
    reloaded_at: Gauge,
}

impl Running {
    /// Loads the configuration and starts what it asks for.
    pub(super) async fn start(
        options: &ServeOptions,
        database: Arc<Database>,
        registry: &Registry,
    ) -> Result<Self, String> {
        let scrape = ScrapeManager::new(
            Arc::clone(&database) as Arc<dyn Append>,
            Clock::System,
            ScrapeOptions {
                offset_seed: offset_seed(&options.http.external_url),
                ..ScrapeOptions::default()
            },
        );
        let running = Self {
            config_file: options.config_file.clone(),
            built_in: Config::scraping_itself(
                &options.own_address(),
                &format!("{}/metrics", options.http.route_prefix),
            ),
            retention_ms: options.retention_ms,
            notifier: Notifier::new(NotifierOptions {
                file_read_errors: scrape.metrics().file_read_errors.clone(),
                ..options.notifier.clone()
            }),
            scrape,
            database,
            settings: Arc::default(),
            reload_worked: registry.gauge(
                "prometheus_config_last_reload_successful",
                "Whether the last configuration reload attempt was successful.",
            ),
            reloaded_at: registry.gauge(
                "prometheus_config_last_reload_success_timestamp_seconds",
                "Timestamp of the last successful configuration reload.",
            ),
        };
        running.reload().await?;
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

    async fn load_and_apply(&self) -> Result<(), String> {
        let config = match &self.config_file {
            None => self.built_in.clone(),
            Some(path) => {
                // Reading files may block.
                let path = path.clone();
                let loaded = tokio::task::spawn_blocking(move || load(&path));
                loaded.await.map_err(|error| format!("reading the configuration failed: {error}"))??
            }
        };
        let alerting = Notifier::prepare(&config.alerting, &config.global.external_label_set())
            .map_err(|error| format!("cannot apply the configuration: {error}"))?;
        // Of what can fail, this is the last.
        let jobs = config.jobs().cloned().collect();
        self.scrape.apply(jobs).await.map_err(|error| format!("cannot apply the configuration: {error}"))?;
        self.notifier.apply(alerting).await;
        self.apply(&config, Clock::System.now_ms());
        Ok(())
    }

    fn apply(&self, config: &Config, now: Timestamp) {
        for name in config.unserved() {
            tracing::warn!(setting = name, "this setting is accepted and has no effect yet");
        }
        let tsdb = config.storage.tsdb.clone().unwrap_or_default();
        let retention_ms = match tsdb.retention.map_or(0, |retention| retention.time.0) {
            0 => self.retention_ms,
            ms => ms,
        };
        let out_of_order = tsdb
            .out_of_order_time_window
            .map_or(OutOfOrder::Unlimited, |window| OutOfOrder::Window(window.0));
        self.database.set_retention_ms(retention_ms);
        self.show(Settings {
            config_yaml: config.to_yaml(),
            retention_ms,
            out_of_order,
            loaded_at: now,
            reload_worked: true,
        });
        self.reload_worked.set(1.0);
        self.reloaded_at.set((now / 1_000) as f64);
        tracing::info!(file = ?self.config_file, jobs = config.jobs().count(), "configuration loaded");
    }

    fn keep(&self, error: &str) {
        tracing::error!(%error, "the configuration was not loaded");
        self.reload_worked.set(0.0);
        let before = Arc::clone(&crate::lock::read(&self.settings));
        self.show(Settings { reload_worked: false, ..(*before).clone() });
    }

    fn show(&self, settings: Settings) {
        *crate::lock::write(&self.settings) = Arc::new(settings);
    }

    /// Ends what was started.
    pub(super) async fn stop(&self) {
        self.scrape.stop().await;
        self.notifier.stop().await;
    }
}

/// Servers with different names scrape the same targets at different times.
fn offset_seed(external_url: &str) -> u64 {
    xxhash_rust::xxh64::xxh64(external_url.as_bytes(), 0)
}

/// Reads a configuration file with the variables of the environment.
pub(super) fn load(path: &Path) -> Result<Config, String> {
    Config::load(path, &|name| std::env::var(name).ok())
        .map_err(|error| format!("couldn't load configuration (--config.file={path:?}): {error}"))
}
