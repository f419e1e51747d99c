//! All Alertmanagers: starts and ends their queues as the configuration says.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, RwLock, Weak};
use std::time::Duration;

use tokio::task::JoinSet;

use super::alert::Alert;
use super::config::{AlertingConfig, AlertmanagerConfig};
use super::group::{Group, Leaving, Member, Workshop};
use super::metrics::NotifierMetrics;
use super::relabel_alert;
use crate::discovery::{FileWatch, LookedAt, TargetGroup, WatchedFiles};
use crate::metrics::Counter;
use crate::model::Labels;
use crate::net::{HttpClient, NetError};
use crate::relabel::RelabelConfig;

/// Longest that [`Notifier::stop`] waits for queues to empty where nothing else is said.
const DRAIN_MAX: Duration = Duration::from_secs(30);

/// How alerts are sent.
#[derive(Clone, Debug)]
pub struct NotifierOptions {
    /// Most alerts that wait for one Alertmanager.
    pub queue_capacity: usize,
    /// Most alerts in one request.
    pub batch_size: usize,
    /// Whether what waits is still sent at the end.
    pub drain_on_shutdown: bool,
    /// Longest that this may take.
    pub drain_max: Duration,
    /// Counts files with targets that could not be read.
    pub file_read_errors: Counter,
}

impl Default for NotifierOptions {
    fn default() -> Self {
        Self {
            queue_capacity: 10_000,
            batch_size: 256,
            drain_on_shutdown: true,
            drain_max: DRAIN_MAX,
            file_read_errors: Counter::default(),
        }
    }
}

/// Why alerts cannot be sent as configured.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum NotifierError {
    /// A group's HTTP client.
    #[error("alerting.alertmanagers.{index}: {error}")]
    Client {
        /// Which group, from zero.
        index: usize,
        /// Why there is none.
        error: NetError,
    },
}

/// Where alerts go, as `/api/v1/alertmanagers` shows it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NotifierStatus {
    /// URLs that alerts are sent to, group by group.
    pub active: Vec<String>,
    /// URLs of Alertmanagers that a rule dropped.
    pub dropped: Vec<String>,
}

/// A configuration that [`Notifier::apply`] cannot fail with.
#[derive(Debug)]
pub struct PreparedAlerting {
    external_labels: Labels,
    rules: Vec<RelabelConfig>,
    groups: Vec<(AlertmanagerConfig, HttpClient)>,
}

/// Sends alerts to all Alertmanagers. Cheap to clone; sending ends with [`Self::stop`], or when the last clone goes.
#[derive(Clone)]
pub struct Notifier {
    inner: Arc<Inner>,
}

struct Inner {
    options: NotifierOptions,
    metrics: NotifierMetrics,
    next_id: AtomicU64,
    state: RwLock<State>,
}

#[derive(Default)]
struct State {
    is_stopped: bool,
    external_labels: Labels,
    rules: Vec<RelabelConfig>,
    groups: Vec<Group>,
    senders: JoinSet<()>,
}

impl Notifier {
    /// Without Alertmanagers.
    pub fn new(options: NotifierOptions) -> Self {
        let inner = Inner {
            options,
            metrics: NotifierMetrics::default(),
            next_id: AtomicU64::new(0),
            state: RwLock::default(),
        };
        Self { inner: Arc::new(inner) }
    }

    /// All of a new configuration that can fail; nothing has changed yet. `config` is validated; `external_labels` are
    /// added to alerts that do not have labels of those names.
    pub fn prepare(
        config: &AlertingConfig,
        external_labels: &Labels,
    ) -> Result<PreparedAlerting, NotifierError> {
        let mut groups = Vec::with_capacity(config.alertmanagers.len());
        for (index, group) in config.alertmanagers.iter().enumerate() {
            let client =
                HttpClient::new(&group.http).map_err(|error| NotifierError::Client { index, error })?;
            groups.push((group.clone(), client));
        }
        let rules = config.alert_relabel_configs.clone();
        Ok(PreparedAlerting { external_labels: external_labels.clone(), rules, groups })
    }

    /// Makes a prepared configuration count, all of it at once. A group that stays the same goes on undisturbed; of
    /// another one, each Alertmanager with a URL that there was before takes over what waits for it.
    ///
    /// Looks at files with targets, and waits for nothing else. Must be called inside a tokio runtime.
    pub async fn apply(&self, prepared: PreparedAlerting) {
        let mut groups = Vec::with_capacity(prepared.groups.len());
        for (config, client) in prepared.groups {
            let files = self.files_for(&config);
            let in_files = self.inner.report(files.look(true).await);
            let id = self.inner.next_id.fetch_add(1, Ordering::Relaxed);
            groups.push((Group::new(id, config, client, files), in_files));
        }
        let mut state = crate::lock::write(&self.inner.state);
        if !state.is_stopped {
            state.external_labels = prepared.external_labels;
            state.rules = prepared.rules;
            self.replace_groups(&mut state, groups);
        }
    }

    fn replace_groups(&self, state: &mut State, groups: Vec<(Group, Vec<TargetGroup>)>) {
        let mut before = std::mem::take(&mut state.groups);
        let mut kept: Vec<Option<Group>> = Vec::with_capacity(groups.len());
        for (group, _) in &groups {
            let same = before.iter().position(|old| old.config == group.config);
            kept.push(same.map(|index| before.remove(index)));
        }
        let mut leaving = Leaving::new();
        for member in before.iter_mut().flat_map(|group| group.active.drain(..)) {
            leaving.entry(member.url.clone()).or_default().push(member);
        }
        for ((mut group, in_files), kept) in groups.into_iter().zip(kept) {
            if let Some(kept) = kept {
                state.groups.push(kept);
                continue;
            }
            group.sync(&in_files, &mut leaving, &mut self.inner.workshop(&mut state.senders));
            if !group.files.is_empty() {
                let watch = watch_files(Arc::downgrade(&self.inner), group.id, group.files.watch(), in_files);
                group.watch = Some(tokio::spawn(watch).abort_handle());
            }
            state.groups.push(group);
        }
        self.inner.let_go(leaving, &mut state.senders);
    }

    /// The files that a group read before, if they are still the same, or else new ones.
    fn files_for(&self, config: &AlertmanagerConfig) -> WatchedFiles {
        let configured = &config.discovery.file_sd_configs;
        let state = crate::lock::read(&self.inner.state);
        let known = state.groups.iter().map(|group| &group.files).find(|files| files.are_of(configured));
        known.cloned().unwrap_or_else(|| WatchedFiles::new(configured))
    }

    /// Puts alerts in the queues of all Alertmanagers, with external labels and relabelled. Waits for none of them:
    /// where a queue is full its oldest alerts are dropped and counted. May be called from any thread.
    pub fn send(&self, alerts: Vec<Alert>) {
        let state = crate::lock::read(&self.inner.state);
        if state.groups.is_empty() {
            return;
        }
        let alerts: Vec<Arc<Alert>> = alerts
            .into_iter()
            .filter_map(|alert| relabel_alert(&Arc::new(alert), &state.external_labels, &state.rules))
            .collect();
        for group in &state.groups {
            group.add(&alerts);
        }
    }

    /// Takes no more alerts. What waits is still sent, for as long as the options allow, or dropped.
    pub async fn stop(&self) {
        let (groups, mut senders) = {
            let mut state = crate::lock::write(&self.inner.state);
            state.is_stopped = true;
            (std::mem::take(&mut state.groups), std::mem::take(&mut state.senders))
        };
        let members: Vec<&Member> = groups.iter().flat_map(|group| &group.active).collect();
        if self.inner.options.drain_on_shutdown {
            members.iter().for_each(|member| member.queue.close());
            let all = async { while senders.join_next().await.is_some() {} };
            // Time is up for those that are left; what they have is dropped below.
            let _ = tokio::time::timeout(self.inner.options.drain_max, all).await;
        }
        let dropped: usize = members.iter().map(|member| member.queue.discard()).sum();
        if dropped > 0 {
            tracing::warn!(
                count = dropped,
                "Alert notification queue not drained on shutdown, dropping alerts"
            );
        }
    }

    /// Where alerts go.
    pub fn status(&self) -> NotifierStatus {
        let state = crate::lock::read(&self.inner.state);
        let members = state.groups.iter().flat_map(|group| &group.active);
        NotifierStatus {
            active: members.map(|member| member.url.clone()).collect(),
            dropped: state.groups.iter().flat_map(|group| group.dropped.clone()).collect(),
        }
    }

    /// What notifying counts of itself.
    pub fn metrics(&self) -> &NotifierMetrics {
        &self.inner.metrics
    }

    /// How alerts are sent.
    pub fn options(&self) -> &NotifierOptions {
        &self.inner.options
    }
}

impl Inner {
    fn workshop<'a>(&'a self, senders: &'a mut JoinSet<()>) -> Workshop<'a> {
        Workshop { options: &self.options, metrics: &self.metrics, senders }
    }

    /// Logs and counts what could not be read of files with targets.
    fn report(&self, looked: LookedAt) -> Vec<TargetGroup> {
        for error in &looked.errors {
            self.options.file_read_errors.increment();
            tracing::error!(%error, "error reading file");
        }
        looked.groups
    }

    /// Ends queues whose Alertmanagers are gone; nobody waits for that. Forgets those that have ended.
    fn let_go(&self, leaving: Leaving, senders: &mut JoinSet<()>) {
        for member in leaving.into_values().flatten() {
            if self.options.drain_on_shutdown {
                member.queue.close();
            } else {
                member.queue.discard();
            }
        }
        while senders.try_join_next().is_some() {}
        self.metrics.forget_unused();
    }

    /// Takes over what was found in a group's files; answers whether the group is still there.
    fn set_found(&self, id: u64, in_files: &[TargetGroup]) -> bool {
        let mut state = crate::lock::write(&self.state);
        let State { groups, senders, .. } = &mut *state;
        let Some(group) = groups.iter_mut().find(|group| group.id == id) else { return false };
        let gone = group.sync(in_files, &mut Leaving::new(), &mut self.workshop(senders));
        self.let_go(gone, senders);
        true
    }
}

/// Looks at a group's files until the group ends.
async fn watch_files(inner: Weak<Inner>, id: u64, mut watch: FileWatch, mut known: Vec<TargetGroup>) {
    loop {
        let looked = watch.next().await;
        let Some(inner) = inner.upgrade() else { return };
        let in_files = inner.report(looked);
        if in_files != known && !inner.set_found(id, &in_files) {
            return;
        }
        known = in_files;
    }
}
