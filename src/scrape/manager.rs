//! All jobs: starts and ends them as the configuration says.

use std::collections::BTreeMap;
use std::sync::{Arc, RwLock, Weak};

use tokio::sync::{Mutex, watch};
use tokio::task::AbortHandle;

use super::config::ScrapeConfig;
use super::metrics::ScrapeMetrics;
use super::pool::{Pool, PoolView, Shared};
use super::status::{PoolStatus, TargetMetadata};
use super::write::Sink;
use crate::clock::Clock;
use crate::discovery::{LookedAt, TargetGroup, WatchedFiles};
use crate::model::TenantId;
use crate::net::{HttpClient, NetError};
use crate::storage::Append;

/// What scraping is given apart from jobs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ScrapeOptions {
    /// `User-Agent` of requests.
    pub user_agent: String,
    /// Shifts the times of scrapes; should differ between servers that scrape the same targets.
    pub offset_seed: u64,
    /// Whose samples they are.
    pub tenant: TenantId,
}

impl Default for ScrapeOptions {
    fn default() -> Self {
        Self { user_agent: crate::net::USER_AGENT.to_owned(), offset_seed: 0, tenant: TenantId::default() }
    }
}

/// Why jobs cannot run as configured.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ScrapeManagerError {
    /// A job's HTTP client.
    #[error("scrape config with job name {job:?}: {error}")]
    Client {
        /// The job.
        job: String,
        /// Why there is none.
        error: NetError,
    },
}

/// Runs all jobs. Cheap to clone; the jobs end with [`Self::stop`], or when the last clone goes.
#[derive(Clone)]
pub struct ScrapeManager {
    inner: Arc<Inner>,
}

struct Inner {
    shared: Arc<Shared>,
    jobs: Mutex<BTreeMap<String, Job>>,
    /// What the API reads, so that it never waits for loops.
    views: RwLock<BTreeMap<String, PoolView>>,
}

struct Job {
    pool: Pool,
    /// Outlive a reload that does not change them.
    files: WatchedFiles,
    /// What was last found in its files.
    found_in_files: Vec<TargetGroup>,
    file_watch: Option<AbortHandle>,
}

impl Job {
    fn stop_watching(&mut self) {
        if let Some(watch) = self.file_watch.take() {
            watch.abort();
        }
    }
}

impl Drop for Job {
    fn drop(&mut self) {
        self.stop_watching();
    }
}

impl ScrapeManager {
    /// Without jobs. Samples go to `append`; `clock` gives their times, tokio's timers their pace.
    pub fn new(append: Arc<dyn Append>, clock: Clock, options: ScrapeOptions) -> Self {
        let sink = Sink { append, tenant: options.tenant.clone(), metrics: Arc::default() };
        let shared = Arc::new(Shared { sink, clock, options, shutdown: watch::channel(false).0 });
        Self { inner: Arc::new(Inner { shared, jobs: Mutex::default(), views: RwLock::default() }) }
    }

    /// Makes the jobs those of `configs`, which are validated and have different names. Jobs that stay the same go
    /// on undisturbed. After an error nothing has changed.
    ///
    /// Waits for running scrapes of loops that end. Must be called inside a tokio runtime.
    pub async fn apply(&self, configs: Vec<ScrapeConfig>) -> Result<(), ScrapeManagerError> {
        let mut jobs = self.inner.jobs.lock().await;
        let mut changes = Vec::new();
        for config in configs.iter().filter(|config| !is_running(&jobs, config)) {
            changes.push((Arc::new(config.clone()), self.client_of(&jobs, config)?));
        }
        let lost: Vec<String> = jobs
            .keys()
            .filter(|name| !configs.iter().any(|config| config.own.job_name == **name))
            .cloned()
            .collect();
        for name in lost {
            if let Some(mut job) = jobs.remove(&name) {
                job.pool.stop().await;
            }
            self.inner.set_view(&name, None);
        }
        for (config, client) in changes {
            self.start_or_reload(&mut jobs, config, client).await;
        }
        Ok(())
    }

    fn client_of(
        &self,
        jobs: &BTreeMap<String, Job>,
        config: &ScrapeConfig,
    ) -> Result<HttpClient, ScrapeManagerError> {
        let metrics = self.metrics();
        let is_known = jobs.contains_key(&config.own.job_name);
        let (tries, failures) = if is_known {
            (&metrics.pool_reloads, &metrics.pool_reloads_failed)
        } else {
            (&metrics.pools, &metrics.pools_failed)
        };
        tries.increment();
        HttpClient::new(&config.http).map_err(|error| {
            failures.increment();
            ScrapeManagerError::Client { job: config.own.job_name.clone(), error }
        })
    }

    async fn start_or_reload(
        &self,
        jobs: &mut BTreeMap<String, Job>,
        config: Arc<ScrapeConfig>,
        client: HttpClient,
    ) {
        let name = config.own.job_name.clone();
        let before = jobs.remove(&name);
        let files = files_for(&config, before.as_ref());
        let looked = self.inner.report(&name, files.look(true).await);
        let groups = all_groups(&config, &looked.groups);
        let mut job = match before {
            Some(mut job) => {
                job.pool.reload(Arc::clone(&config), client, &groups).await;
                job.stop_watching();
                job
            }
            None => {
                let mut pool = Pool::new(Arc::clone(&self.inner.shared), Arc::clone(&config), client);
                pool.sync(&groups).await;
                Job { pool, files: files.clone(), found_in_files: Vec::new(), file_watch: None }
            }
        };
        job.files = files.clone();
        self.inner.set_found(&name, &mut job, looked);
        if !files.is_empty() {
            let watch = watch_files(Arc::downgrade(&self.inner), name.clone(), files);
            job.file_watch = Some(tokio::spawn(watch).abort_handle());
        }
        jobs.insert(name, job);
    }

    /// Ends all loops. Running scrapes are given up and nothing is marked stale, since the server may be back soon.
    pub async fn stop(&self) {
        // Nobody listening means that there are no loops.
        self.inner.shared.shutdown.send_replace(true);
        let mut jobs = self.inner.jobs.lock().await;
        for job in jobs.values_mut() {
            job.pool.stop().await;
        }
        jobs.clear();
    }

    /// All jobs with their targets, in order of their names.
    pub fn targets(&self) -> Vec<PoolStatus> {
        let views = self.inner.views();
        let status = |(name, view): (String, PoolView)| PoolStatus {
            active: view.active.iter().map(|target| target.status(&name)).collect(),
            dropped: view.dropped,
            dropped_count: view.dropped_count,
            metrics: view.metrics,
            name,
        };
        views.into_iter().map(status).collect()
    }

    /// Metadata of all targets' families, target by target.
    pub fn metadata(&self) -> Vec<TargetMetadata> {
        let views = self.inner.views();
        let mut found = Vec::new();
        for active in views.values().flat_map(|view| &view.active) {
            let target = active.target.public_labels();
            found.extend(active.families.list().into_iter().map(|(metric, metadata)| TargetMetadata {
                target: target.clone(),
                metric,
                metadata,
            }));
        }
        found
    }

    /// What scraping counts of itself.
    pub fn metrics(&self) -> &ScrapeMetrics {
        &self.inner.shared.sink.metrics
    }
}

impl Inner {
    fn views(&self) -> BTreeMap<String, PoolView> {
        crate::lock::read(&self.views).clone()
    }

    /// Logs and counts what could not be read of a job's files.
    fn report(&self, job: &str, looked: LookedAt) -> LookedAt {
        for error in &looked.errors {
            self.shared.sink.metrics.file_read_errors.increment();
            tracing::error!(job, %error, "error reading file");
        }
        looked
    }

    /// Takes over what was found in a job's files.
    fn set_found(&self, name: &str, job: &mut Job, looked: LookedAt) {
        job.found_in_files = looked.groups;
        job.pool.metrics.files = looked.times;
        self.set_view(name, Some(job.pool.view()));
    }

    fn set_view(&self, name: &str, view: Option<PoolView>) {
        let mut views = crate::lock::write(&self.views);
        match view {
            Some(view) => views.insert(name.to_owned(), view),
            None => views.remove(name),
        };
    }
}

fn is_running(jobs: &BTreeMap<String, Job>, config: &ScrapeConfig) -> bool {
    jobs.get(&config.own.job_name).is_some_and(|job| *job.pool.config == *config)
}

fn all_groups(config: &ScrapeConfig, in_files: &[TargetGroup]) -> Vec<TargetGroup> {
    config.discovery.static_configs.iter().chain(in_files).cloned().collect()
}

/// The files that a job read before, if they are still the same, or else its new ones.
fn files_for(config: &ScrapeConfig, before: Option<&Job>) -> WatchedFiles {
    let configured = &config.discovery.file_sd_configs;
    match before {
        Some(job) if job.files.are_of(configured) => job.files.clone(),
        _ => WatchedFiles::new(configured),
    }
}

/// Looks at a job's files until the job ends.
async fn watch_files(inner: Weak<Inner>, name: String, files: WatchedFiles) {
    let mut watch = files.watch();
    loop {
        let looked = watch.next().await;
        let Some(inner) = inner.upgrade() else { return };
        let looked = inner.report(&name, looked);
        let mut jobs = inner.jobs.lock().await;
        let Some(job) = jobs.get_mut(&name) else { return };
        if job.found_in_files != looked.groups {
            let groups = all_groups(&job.pool.config, &looked.groups);
            job.pool.sync(&groups).await;
            inner.set_found(&name, job, looked);
        }
    }
}

#[cfg(test)]
mod tests;
