//! Scraping: jobs find their targets, each target has a loop, each loop writes a batch.
//!
//! A [`ScrapeConfig`] is a job of prometheus.yml.

mod config;
mod protocol;

pub use config::{ScrapeConfig, ScrapeConfigError, ScrapeDefaults, ScrapeSettings};
