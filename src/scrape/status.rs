//! What the API shows of targets.

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard};

use reqwest::Url;

use super::families::Families;
use super::metrics::PoolMetrics;
use super::target::Target;
use crate::model::{Labels, Metadata, Timestamp};
use crate::setting::DurationMs;

/// How a target did at its last scrape.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum TargetHealth {
    /// Not scraped yet.
    #[default]
    Unknown,
    /// The last scrape succeeded.
    Up,
    /// The last scrape failed.
    Down,
}

impl TargetHealth {
    /// The word of the API.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Unknown => "unknown",
            Self::Up => "up",
            Self::Down => "down",
        }
    }
}

impl fmt::Display for TargetHealth {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// One active target as `/api/v1/targets` shows it.
#[derive(Clone, Debug, PartialEq)]
pub struct TargetStatus {
    /// Labels before any rule.
    pub discovered_labels: Labels,
    /// Labels that its samples get.
    pub labels: Labels,
    /// Its job.
    pub scrape_pool: String,
    /// What is asked for.
    pub scrape_url: String,
    /// Why the last scrape failed; empty where it did not.
    pub last_error: String,
    /// Time of the last scrape; `None` before the first.
    pub last_scrape: Option<Timestamp>,
    /// How long it took, in seconds.
    pub last_scrape_duration: f64,
    /// How it did.
    pub health: TargetHealth,
    /// Time between scrapes.
    pub scrape_interval: DurationMs,
    /// Time that a scrape may take.
    pub scrape_timeout: DurationMs,
}

/// One dropped target as `/api/v1/targets` shows it.
#[derive(Clone, Debug, PartialEq)]
pub struct DroppedTarget {
    /// Labels before any rule.
    pub discovered_labels: Labels,
    /// Its job.
    pub scrape_pool: String,
}

/// One job's targets.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct PoolStatus {
    /// The job.
    pub name: String,
    /// Targets that are scraped, in order of their URLs.
    pub active: Vec<TargetStatus>,
    /// Targets that rules dropped, as many as are kept.
    pub dropped: Vec<DroppedTarget>,
    /// How many rules dropped in all.
    pub dropped_count: usize,
    /// The job's numbers.
    pub metrics: PoolMetrics,
}

/// Metadata of one family of one target, for `/api/v1/targets/metadata`.
#[derive(Clone, Debug, PartialEq)]
pub struct TargetMetadata {
    /// Labels of the target's samples.
    pub target: Labels,
    /// The family.
    pub metric: String,
    /// What it says of itself.
    pub metadata: Metadata,
}

/// What becomes of a target that listens on this machine when its URL is shown to others.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct GlobalUrlOptions {
    /// Port that this server listens on.
    pub listen_port: u16,
    /// Host and port that others reach this server by.
    pub host: String,
    /// Scheme that others reach this server by.
    pub scheme: String,
}

impl TargetStatus {
    /// The URL as others would reach it: where it names this machine, with the server's external name.
    pub fn global_url(&self, options: &GlobalUrlOptions) -> String {
        let Some((scheme, rest)) = self.scrape_url.split_once("://") else { return self.scrape_url.clone() };
        let (address, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
        let Some((host, port)) = address.rsplit_once(':') else { return self.scrape_url.clone() };
        if !["127.0.0.1", "localhost", "[::1]"].contains(&host) {
            return self.scrape_url.clone();
        }
        if port.parse() == Ok(options.listen_port) {
            return format!("{}://{}{path}", options.scheme, options.host);
        }
        let external = Url::parse(&format!("http://{}/", options.host)).ok();
        let host = external.as_ref().and_then(Url::host_str).unwrap_or(host);
        format!("{scheme}://{host}:{port}{path}")
    }
}

/// An active target: what it is, and how it does.
#[derive(Debug)]
pub(super) struct ActiveTarget {
    pub(super) target: Target,
    pub(super) families: Arc<Families>,
    state: Mutex<State>,
}

#[derive(Clone, Debug, Default)]
struct State {
    discovered: Labels,
    last_error: String,
    last_scrape: Option<Timestamp>,
    last_scrape_duration: f64,
    health: TargetHealth,
}

impl ActiveTarget {
    pub(super) fn new(target: Target, discovered: Labels) -> Self {
        let state = State { discovered, ..State::default() };
        Self { target, families: Arc::default(), state: Mutex::new(state) }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        crate::lock::lock(&self.state)
    }

    pub(super) fn set_discovered(&self, discovered: Labels) {
        self.lock().discovered = discovered;
    }

    pub(super) fn set_scraped(&self, time: Timestamp, duration_seconds: f64, error: Option<String>) {
        let mut state = self.lock();
        state.health = if error.is_none() { TargetHealth::Up } else { TargetHealth::Down };
        state.last_error = error.unwrap_or_default();
        state.last_scrape = Some(time);
        state.last_scrape_duration = duration_seconds;
    }

    pub(super) fn status(&self, scrape_pool: &str) -> TargetStatus {
        let state = self.lock().clone();
        TargetStatus {
            discovered_labels: state.discovered,
            labels: self.target.public_labels(),
            scrape_pool: scrape_pool.to_owned(),
            scrape_url: self.target.shown_url.clone(),
            last_error: state.last_error,
            last_scrape: state.last_scrape,
            last_scrape_duration: state.last_scrape_duration,
            health: state.health,
            scrape_interval: self.target.interval,
            scrape_timeout: self.target.timeout,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_of_this_machine_are_shown_by_their_outer_name() {
        let options =
            GlobalUrlOptions { listen_port: 9090, host: "prom.example:8443".into(), scheme: "https".into() };
        for (url, expected) in [
            ("http://localhost:9090/metrics?a=b", "https://prom.example:8443/metrics?a=b"),
            ("http://127.0.0.1:9100/metrics", "http://prom.example:9100/metrics"),
            ("http://[::1]:9100/metrics", "http://prom.example:9100/metrics"),
            ("http://other:9100/metrics", "http://other:9100/metrics"),
            ("http://localhost/metrics", "http://localhost/metrics"),
        ] {
            let status = TargetStatus {
                discovered_labels: Labels::default(),
                labels: Labels::default(),
                scrape_pool: String::new(),
                scrape_url: url.to_owned(),
                last_error: String::new(),
                last_scrape: None,
                last_scrape_duration: 0.0,
                health: TargetHealth::Unknown,
                scrape_interval: DurationMs(0),
                scrape_timeout: DurationMs(0),
            };
            assert_eq!(status.global_url(&options), expected);
        }
    }
}
