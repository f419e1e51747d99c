//! What scraping counts of itself.

use std::collections::BTreeMap;
use std::sync::Mutex;

use crate::metrics::Counter;
use crate::setting::DurationMs;

/// Sum and count of observations.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Observations {
    /// How many.
    pub count: u64,
    /// Their sum, in seconds.
    pub sum: f64,
}

/// Counters of all jobs together. The comment of each names upstream's metric.
#[derive(Debug, Default)]
pub struct ScrapeMetrics {
    /// `prometheus_target_scrape_pools_total`
    pub pools: Counter,
    /// `prometheus_target_scrape_pools_failed_total`
    pub pools_failed: Counter,
    /// `prometheus_target_scrape_pool_reloads_total`
    pub pool_reloads: Counter,
    /// `prometheus_target_scrape_pool_reloads_failed_total`
    pub pool_reloads_failed: Counter,
    /// `prometheus_target_scrape_pool_exceeded_target_limit_total`
    pub exceeded_target_limit: Counter,
    /// `prometheus_target_scrape_pool_exceeded_label_limits_total`
    pub exceeded_label_limits: Counter,
    /// `prometheus_target_scrapes_exceeded_body_size_limit_total`
    pub exceeded_body_size_limit: Counter,
    /// `prometheus_target_scrapes_exceeded_sample_limit_total`
    pub exceeded_sample_limit: Counter,
    /// `prometheus_target_scrapes_cache_flush_forced_total`
    pub cache_flush_forced: Counter,
    /// `prometheus_target_scrapes_sample_duplicate_timestamp_total`
    pub sample_duplicate_timestamp: Counter,
    /// `prometheus_target_scrapes_sample_out_of_order_total`
    pub sample_out_of_order: Counter,
    /// `prometheus_target_scrapes_sample_out_of_bounds_total`
    pub sample_out_of_bounds: Counter,
    /// `prometheus_target_scrapes_exemplar_out_of_order_total`
    pub exemplar_out_of_order: Counter,
    /// `prometheus_sd_file_read_errors_total`
    pub file_read_errors: Counter,
    /// Scrapes that storage did not take.
    pub append_failed: Counter,
    /// Times between scrapes, by configured interval.
    interval_lengths: Mutex<BTreeMap<DurationMs, Observations>>,
}

impl ScrapeMetrics {
    pub(super) fn observe_interval(&self, interval: DurationMs, seconds: f64) {
        let mut lengths = crate::lock::lock(&self.interval_lengths);
        let observations = lengths.entry(interval).or_default();
        observations.count += 1;
        observations.sum += seconds;
    }

    /// `prometheus_target_interval_length_seconds`: times between scrapes by configured interval.
    pub fn interval_lengths(&self) -> BTreeMap<DurationMs, Observations> {
        crate::lock::lock(&self.interval_lengths).clone()
    }
}

/// Numbers of one job.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct PoolMetrics {
    /// `prometheus_target_scrape_pool_sync_total`
    pub syncs: u64,
    /// `prometheus_target_sync_failed_total`: targets that could not be made.
    pub sync_failures: u64,
    /// `prometheus_target_sync_length_seconds`
    pub sync_lengths: Observations,
    /// `prometheus_sd_discovered_targets`: before rules.
    pub discovered: u64,
    /// `prometheus_target_scrape_pool_targets`
    pub targets: u64,
    /// `prometheus_target_scrape_pool_target_limit`
    pub target_limit: u64,
    /// `prometheus_sd_file_mtime_seconds`: files of the job with their times of change.
    pub files: Vec<(String, f64)>,
}
