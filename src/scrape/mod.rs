//! Scraping: jobs find their targets, each target has a loop, each scrape becomes one batch.
//!
//! A [`ScrapeConfig`] is a job of prometheus.yml. [`ScrapeManager::apply`] starts, changes and ends jobs; discovery
//! and relabelling make targets; a target's loop asks at its own point of the interval, parses the answer and appends
//! samples, markers for series that vanished, and the report (`up` and what follows it) in one batch, at one time.
//!
//! Promises:
//! - a scrape is stored whole or not at all; a failed one stores `up` 0 and marks every series of the target;
//! - a target that goes away is marked stale after two intervals, unless another loop has taken it over;
//! - when the server stops nothing is marked, since it goes on where it was.
//!
//! Left to others: which samples are too old or come twice (storage), what a format allows (`ingest`).

mod cache;
mod config;
mod families;
mod fetch;
mod labels;
mod manager;
mod metrics;
mod pool;
mod protocol;
mod report;
mod run;
mod status;
mod target;
mod write;

pub use config::{ScrapeConfig, ScrapeConfigError, ScrapeDefaults, ScrapeSettings};
pub use fetch::ScrapeError;
pub use labels::SampleLabelsError;
pub use manager::{ScrapeManager, ScrapeManagerError, ScrapeOptions};
pub use metrics::{Observations, PoolMetrics, ScrapeMetrics};
pub use status::{DroppedTarget, GlobalUrlOptions, PoolStatus, TargetHealth, TargetMetadata, TargetStatus};
