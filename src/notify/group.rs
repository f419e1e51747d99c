//! One `<alertmanager_config>` with the Alertmanagers that it leads to.

use std::collections::HashMap;
use std::sync::Arc;

use tokio::task::{AbortHandle, JoinSet};

use super::alert::Alert;
use super::config::AlertmanagerConfig;
use super::endpoint::{self, Endpoint};
use super::manager::NotifierOptions;
use super::metrics::NotifierMetrics;
use super::queue::Queue;
use super::relabel_alert;
use super::send::Sender;
use crate::discovery::{TargetGroup, WatchedFiles};
use crate::model::Labels;
use crate::net::HttpClient;

/// An Alertmanager that alerts go to.
pub(super) struct Member {
    pub(super) url: String,
    pub(super) queue: Arc<Queue>,
}

/// Members that their group has no longer, by their URLs.
pub(super) type Leaving = HashMap<String, Vec<Member>>;

/// What new members are made with.
pub(super) struct Workshop<'a> {
    pub(super) options: &'a NotifierOptions,
    pub(super) metrics: &'a NotifierMetrics,
    /// Senders run here, also those whose Alertmanager is gone, until their queues are empty.
    pub(super) senders: &'a mut JoinSet<()>,
}

/// A group with its Alertmanagers.
pub(super) struct Group {
    /// What its watch knows it by.
    pub(super) id: u64,
    pub(super) config: AlertmanagerConfig,
    pub(super) files: WatchedFiles,
    client: HttpClient,
    pub(super) active: Vec<Member>,
    /// URLs of those that a rule dropped.
    pub(super) dropped: Vec<String>,
    /// Ends with the group.
    pub(super) watch: Option<AbortHandle>,
}

impl Drop for Group {
    fn drop(&mut self) {
        if let Some(watch) = self.watch.take() {
            watch.abort();
        }
    }
}

impl Group {
    /// Without Alertmanagers yet.
    pub(super) fn new(id: u64, config: AlertmanagerConfig, client: HttpClient, files: WatchedFiles) -> Self {
        Self { id, config, files, client, active: Vec::new(), dropped: Vec::new(), watch: None }
    }

    /// Makes the Alertmanagers those that the written-down targets and those `in_files` lead to. One that stays keeps
    /// its queue; one that is new takes over what waits in a queue of `leaving` for the same URL, which is closed by
    /// that. Answers the members that are gone: their queues are the caller's to close.
    pub(super) fn sync(
        &mut self,
        in_files: &[TargetGroup],
        leaving: &mut Leaving,
        workshop: &mut Workshop<'_>,
    ) -> Leaving {
        let groups = self.config.discovery.static_configs.iter().chain(in_files);
        let found = endpoint::find(&self.config, groups);
        let mut before: Leaving =
            self.active.drain(..).map(|member| (member.url.clone(), vec![member])).collect();
        for endpoint in found.active {
            let member = match before.remove(&endpoint.shown).and_then(|mut same| same.pop()) {
                Some(member) => member,
                None => self.start(endpoint, leaving, workshop),
            };
            self.active.push(member);
        }
        self.dropped = found.dropped;
        before
    }

    fn start(&self, endpoint: Endpoint, leaving: &mut Leaving, workshop: &mut Workshop<'_>) -> Member {
        let url = endpoint.shown.clone();
        let queue = Arc::new(Queue::new(workshop.options.queue_capacity, workshop.metrics.of(&url)));
        if let Some(before) = leaving.get_mut(&url).and_then(Vec::pop) {
            queue.add(before.queue.close_and_take().into_iter());
        }
        let sender = Sender {
            queue: Arc::clone(&queue),
            endpoint,
            client: self.client.clone(),
            timeout: self.config.own.timeout.to_duration(),
            batch_size: workshop.options.batch_size.max(1),
        };
        workshop.senders.spawn(sender.run());
        Member { url, queue }
    }

    /// Hands alerts to all of its Alertmanagers.
    pub(super) fn add(&self, alerts: &[Arc<Alert>]) {
        let rules = &self.config.own.alert_relabel_configs;
        let relabelled: Vec<Arc<Alert>>;
        let alerts = if rules.is_empty() {
            alerts
        } else {
            let alerts = alerts.iter();
            relabelled = alerts.filter_map(|alert| relabel_alert(alert, &Labels::default(), rules)).collect();
            &relabelled
        };
        for member in &self.active {
            member.queue.add(alerts.iter().cloned());
        }
    }
}
