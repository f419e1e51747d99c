//! The targets of one job.

use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use tokio::sync::watch;

use super::config::ScrapeConfig;
use super::fetch::Fetcher;
use super::manager::ScrapeOptions;
use super::metrics::PoolMetrics;
use super::run::{LoopHandle, Order, TargetLimitHit, TargetLoop};
use super::status::{ActiveTarget, DroppedTarget};
use super::target::{Target, discovered_labels, make_target};
use super::write::{Sink, TargetWriter};
use crate::clock::Clock;
use crate::discovery::TargetGroup;
use crate::model::Labels;
use crate::net::{HttpClient, NetError};
use crate::setting::DurationMs;

/// What all jobs share.
pub(super) struct Shared {
    pub(super) sink: Sink,
    pub(super) clock: Clock,
    pub(super) options: ScrapeOptions,
    pub(super) shutdown: watch::Sender<bool>,
}

/// What tells targets of a job apart: labels and URL.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct TargetKey(Labels, String);

impl TargetKey {
    fn of(target: &Target) -> Self {
        Self(target.labels.clone(), target.shown_url.clone())
    }
}

struct RunningTarget {
    active: Arc<ActiveTarget>,
    handle: LoopHandle,
}

/// Targets whose loops were ended for others to take them over, with what those remember.
type Memories = HashMap<TargetKey, (Arc<ActiveTarget>, Option<TargetWriter>)>;

/// A job with its loops.
pub(super) struct Pool {
    shared: Arc<Shared>,
    pub(super) config: Arc<ScrapeConfig>,
    client: Arc<HttpClient>,
    running: HashMap<TargetKey, RunningTarget>,
    dropped: Vec<Labels>,
    dropped_count: usize,
    limit_hit: Arc<TargetLimitHit>,
    pub(super) metrics: PoolMetrics,
}

/// What the API reads of a job while its loops go on.
#[derive(Clone, Default)]
pub(super) struct PoolView {
    pub(super) active: Vec<Arc<ActiveTarget>>,
    pub(super) dropped: Vec<DroppedTarget>,
    pub(super) dropped_count: usize,
    pub(super) metrics: PoolMetrics,
}

/// What discovery found, sorted out.
#[derive(Default)]
struct Found {
    /// Targets with their discovered labels, each once, in order.
    targets: Vec<(Target, Labels)>,
    dropped: Vec<Labels>,
    dropped_count: usize,
    discovered: u64,
    failures: u64,
}

impl Pool {
    /// A job without targets.
    pub(super) fn new(shared: Arc<Shared>, config: Arc<ScrapeConfig>, client: HttpClient) -> Self {
        Self {
            shared,
            config,
            client: Arc::new(client),
            running: HashMap::new(),
            dropped: Vec::new(),
            dropped_count: 0,
            limit_hit: Arc::default(),
            metrics: PoolMetrics::default(),
        }
    }

    /// Goes on with another configuration. Targets that stay are taken over, and keep what is remembered of them
    /// where the new configuration stores the same samples under the same labels.
    pub(super) async fn reload(
        &mut self,
        config: Arc<ScrapeConfig>,
        client: HttpClient,
        groups: &[TargetGroup],
    ) {
        let keeps_memory = stores_the_same(&self.config, &config);
        self.config = config;
        self.client = Arc::new(client);
        let found = self.find(groups);
        let order = if keeps_memory { Order::HandOver } else { Order::End };
        let keys = found.targets.iter().map(|(target, _)| TargetKey::of(target));
        let stays: Vec<_> = keys.filter_map(|key| self.running.remove_entry(&key)).collect();
        for (_, running) in &stays {
            running.handle.tell(order);
        }
        let mut memories = HashMap::new();
        for (key, running) in stays {
            memories.insert(key, (running.active, running.handle.ended().await));
        }
        self.settle(found, memories).await;
    }

    /// Makes the running loops those of `groups`.
    pub(super) async fn sync(&mut self, groups: &[TargetGroup]) {
        let found = self.find(groups);
        self.settle(found, HashMap::new()).await;
    }

    /// Ends all loops; their markers follow.
    pub(super) async fn stop(&mut self) {
        end_all(std::mem::take(&mut self.running)).await;
    }

    fn find(&self, groups: &[TargetGroup]) -> Found {
        let mut found = Found::default();
        let mut keys = std::collections::HashSet::new();
        let kept_max = usize::try_from(self.config.own.keep_dropped_targets).unwrap_or(usize::MAX);
        for group in groups {
            for (index, target) in group.targets.iter().enumerate() {
                found.discovered += 1;
                let discovered = discovered_labels(&self.config, target, &group.labels);
                match make_target(&self.config, &discovered) {
                    Ok(Some(target)) => {
                        if keys.insert(TargetKey::of(&target)) {
                            found.targets.push((target, discovered.build().unwrap_or_default()));
                        }
                    }
                    Ok(None) => {
                        found.dropped_count += 1;
                        if kept_max == 0 || found.dropped.len() < kept_max {
                            found.dropped.push(discovered.build().unwrap_or_default());
                        }
                    }
                    Err(error) => {
                        found.failures += 1;
                        let job = &self.config.own.job_name;
                        tracing::error!(job, group = group.source, index, %error, "creating target failed");
                    }
                }
            }
        }
        found
    }

    /// Starts loops for new targets and ends those of lost ones.
    async fn settle(&mut self, found: Found, mut memories: Memories) {
        let began = Instant::now();
        let mut lost = std::mem::take(&mut self.running);
        let mut new = Vec::new();
        for (target, discovered) in found.targets {
            let key = TargetKey::of(&target);
            match lost.remove(&key) {
                Some(running) => {
                    running.active.set_discovered(discovered);
                    self.running.insert(key, running);
                }
                None => new.push((key, target, discovered)),
            }
        }
        // The limit counts before the first loop asks anyone.
        self.check_target_limit(self.running.len() + new.len());
        for (key, target, discovered) in new {
            let (active, memory) = match memories.remove(&key) {
                Some((active, memory)) => {
                    active.set_discovered(discovered);
                    (active, memory)
                }
                None => (Arc::new(ActiveTarget::new(target, discovered)), None),
            };
            if let Some(handle) = self.start(&active, memory) {
                self.running.insert(key, RunningTarget { active, handle });
            }
        }
        // Waited for, so that a target which comes back does not meet the last scrape of its old loop.
        end_all(lost).await;
        (self.dropped, self.dropped_count) = (found.dropped, found.dropped_count);
        self.metrics.syncs += 1;
        self.metrics.sync_failures += found.failures;
        self.metrics.sync_lengths.count += 1;
        self.metrics.sync_lengths.sum += began.elapsed().as_secs_f64();
        self.metrics.discovered = found.discovered;
        self.metrics.targets = self.running.len() as u64;
        self.metrics.target_limit = self.config.own.target_limit;
    }

    fn check_target_limit(&self, count: usize) {
        let limit = self.config.own.target_limit;
        let is_hit = limit > 0 && count as u64 > limit;
        if is_hit {
            self.shared.sink.metrics.exceeded_target_limit.increment();
        }
        self.limit_hit.set(is_hit.then_some((count, limit)));
    }

    /// `None` where no client could be made for the target's socket.
    fn start(&self, active: &Arc<ActiveTarget>, memory: Option<TargetWriter>) -> Option<LoopHandle> {
        let target = &active.target;
        let client = match self.client_for(target) {
            Ok(client) => client,
            Err(error) => {
                tracing::error!(url = target.shown_url, %error, "creating target failed");
                return None;
            }
        };
        let shared = &self.shared;
        let writer = TargetWriter::new(
            shared.sink.clone(),
            Arc::clone(&self.config),
            target.public_labels(),
            target.timeout,
            Arc::clone(&active.families),
        );
        let target_loop = TargetLoop {
            active: Arc::clone(active),
            fetcher: Fetcher::new(client, &self.config, target, &shared.options.user_agent),
            clock: shared.clock.clone(),
            limit_hit: Arc::clone(&self.limit_hit),
            metrics: Arc::clone(&shared.sink.metrics),
            offset_seed: shared.options.offset_seed,
            shutdown: shared.shutdown.subscribe(),
        };
        Some(target_loop.start(match memory {
            Some(memory) => writer.with_memory_of(memory),
            None => writer,
        }))
    }

    fn client_for(&self, target: &Target) -> Result<Arc<HttpClient>, NetError> {
        match &target.unix_socket {
            Some(socket) => HttpClient::over_socket(&self.config.http, Path::new(socket)).map(Arc::new),
            None => Ok(Arc::clone(&self.client)),
        }
    }

    pub(super) fn view(&self) -> PoolView {
        let mut active: Vec<Arc<ActiveTarget>> =
            self.running.values().map(|running| Arc::clone(&running.active)).collect();
        active.sort_by(|a, b| a.target.shown_url.cmp(&b.target.shown_url));
        let job = &self.config.own.job_name;
        let dropped = self.dropped.iter().map(|discovered_labels| DroppedTarget {
            discovered_labels: discovered_labels.clone(),
            scrape_pool: job.clone(),
        });
        PoolView {
            active,
            dropped: dropped.collect(),
            dropped_count: self.dropped_count,
            metrics: self.metrics.clone(),
        }
    }
}

/// Ends loops whose targets are gone, and waits for their scrapes under way.
async fn end_all(running: HashMap<TargetKey, RunningTarget>) {
    for target in running.values() {
        target.handle.tell(Order::End);
    }
    for target in running.into_values() {
        target.handle.ended().await;
    }
}

/// Whether two configurations of a job differ only in what does not change which samples are stored, and how.
fn stores_the_same(a: &ScrapeConfig, b: &ScrapeConfig) -> bool {
    let without_neutral = |config: &ScrapeConfig| {
        let mut own = config.own.clone();
        (own.scrape_interval, own.scrape_timeout, own.sample_limit) = (DurationMs(0), DurationMs(0), 0);
        own
    };
    without_neutral(a) == without_neutral(b)
}
