//! What scraping counts of itself.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use crate::metrics::{Counter, Exposition};
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
        let mut lengths = self.interval_lengths.lock().unwrap_or_else(PoisonError::into_inner);
        let observations = lengths.entry(interval).or_default();
        observations.count += 1;
        observations.sum += seconds;
    }

    /// `prometheus_target_interval_length_seconds`: times between scrapes by configured interval.
    pub fn interval_lengths(&self) -> BTreeMap<DurationMs, Observations> {
        self.interval_lengths.lock().unwrap_or_else(PoisonError::into_inner).clone()
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

impl ScrapeMetrics {
    /// Writes all families, those of upstream under its names. `pools`: the jobs' numbers by their names.
    pub(super) fn expose(&self, pools: &BTreeMap<String, PoolMetrics>, out: &mut Exposition) {
        for (name, help, counter) in self.counters() {
            out.single(name, help, "counter", as_value(counter.get()));
        }
        self.expose_intervals(out);
        for (name, help, kind, value) in POOL_FAMILIES {
            out.family(name, help, kind);
            for (job, pool) in pools {
                out.sample(name, &[("scrape_job", job)], as_value(value(pool)));
            }
        }
        expose_syncs(pools, out);
        out.family("prometheus_sd_discovered_targets", "Current number of discovered targets.", "gauge");
        for (job, pool) in pools {
            let labels = [("config", "scrape"), ("name", job)];
            out.sample("prometheus_sd_discovered_targets", &labels, as_value(pool.discovered));
        }
        const MTIME: &str = "prometheus_sd_file_mtime_seconds";
        out.family(MTIME, "Time of change of files with targets, when they were last read.", "gauge");
        // Several jobs may read one file.
        let files: BTreeMap<&str, f64> =
            pools.values().flat_map(|pool| &pool.files).map(|(file, time)| (file.as_str(), *time)).collect();
        for (file, time) in files {
            out.sample(MTIME, &[("filename", file)], time);
        }
    }

    fn counters(&self) -> [(&'static str, &'static str, &Counter); 15] {
        [
            ("prometheus_target_scrape_pools_total", "Scrape pools that were tried to create.", &self.pools),
            (
                "prometheus_target_scrape_pools_failed_total",
                "Scrape pools that could not be created.",
                &self.pools_failed,
            ),
            (
                "prometheus_target_scrape_pool_reloads_total",
                "Scrape pools that were tried to reload.",
                &self.pool_reloads,
            ),
            (
                "prometheus_target_scrape_pool_reloads_failed_total",
                "Scrape pools that could not be reloaded.",
                &self.pool_reloads_failed,
            ),
            (
                "prometheus_target_scrape_pool_exceeded_target_limit_total",
                "Syncs and reloads that found more targets than allowed.",
                &self.exceeded_target_limit,
            ),
            (
                "prometheus_target_scrape_pool_exceeded_label_limits_total",
                "Scrapes with labels beyond a limit.",
                &self.exceeded_label_limits,
            ),
            (
                "prometheus_target_scrapes_exceeded_body_size_limit_total",
                "Scrapes with a body beyond the limit.",
                &self.exceeded_body_size_limit,
            ),
            (
                "prometheus_target_scrapes_exceeded_sample_limit_total",
                "Scrapes with samples beyond the limit.",
                &self.exceeded_sample_limit,
            ),
            (
                "prometheus_target_scrapes_cache_flush_forced_total",
                "Caches that were cut because scrapes failed while they grew.",
                &self.cache_flush_forced,
            ),
            (
                "prometheus_target_scrapes_sample_duplicate_timestamp_total",
                "Samples refused because their series has another at that time.",
                &self.sample_duplicate_timestamp,
            ),
            (
                "prometheus_target_scrapes_sample_out_of_order_total",
                "Samples refused because they came too late.",
                &self.sample_out_of_order,
            ),
            (
                "prometheus_target_scrapes_sample_out_of_bounds_total",
                "Samples refused because their time is not accepted.",
                &self.sample_out_of_bounds,
            ),
            (
                "prometheus_target_scrapes_exemplar_out_of_order_total",
                "Exemplars refused because they came too late.",
                &self.exemplar_out_of_order,
            ),
            (
                "prometheus_sd_file_read_errors_total",
                "Files with targets that could not be read.",
                &self.file_read_errors,
            ),
            (
                "perdura_scrape_appends_failed_total",
                "Scrapes that storage did not take.",
                &self.append_failed,
            ),
        ]
    }

    fn expose_intervals(&self, out: &mut Exposition) {
        const NAME: &str = "prometheus_target_interval_length_seconds";
        out.family(NAME, "Times between scrapes.", "summary");
        for (interval, observed) in self.interval_lengths() {
            expose_observations(NAME, ("interval", &interval.to_string()), observed, out);
        }
    }
}

/// A family of one number for each job: name, help, kind, and where the number is.
type PoolFamily = (&'static str, &'static str, &'static str, fn(&PoolMetrics) -> u64);

const POOL_FAMILIES: [PoolFamily; 4] = [
    ("prometheus_target_scrape_pool_sync_total", "Syncs of a scrape pool.", "counter", |pool| pool.syncs),
    ("prometheus_target_sync_failed_total", "Targets that could not be made.", "counter", |pool| {
        pool.sync_failures
    }),
    ("prometheus_target_scrape_pool_targets", "Targets of a scrape pool.", "gauge", |pool| pool.targets),
    (
        "prometheus_target_scrape_pool_target_limit",
        "Targets that a scrape pool may have; 0 without limit.",
        "gauge",
        |pool| pool.target_limit,
    ),
];

fn expose_syncs(pools: &BTreeMap<String, PoolMetrics>, out: &mut Exposition) {
    const NAME: &str = "prometheus_target_sync_length_seconds";
    out.family(NAME, "Time that syncs of a scrape pool took.", "summary");
    for (job, pool) in pools {
        expose_observations(NAME, ("scrape_job", job), pool.sync_lengths, out);
    }
}

fn expose_observations(name: &str, label: (&str, &str), observed: Observations, out: &mut Exposition) {
    out.sample(&format!("{name}_sum"), &[label], observed.sum);
    out.sample(&format!("{name}_count"), &[label], as_value(observed.count));
}

#[expect(clippy::cast_precision_loss, reason = "a sample's value; counts beyond 2^53 round")]
fn as_value(count: u64) -> f64 {
    count as f64
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ingest::exposition::{Entry, Format, Parser};
    use crate::metrics::Registry;

    #[test]
    fn all_families_are_written_once_and_can_be_scraped() {
        let metrics = ScrapeMetrics::default();
        metrics.observe_interval(DurationMs(15_000), 15.5);
        metrics.exceeded_sample_limit.increment();
        let files = vec![("a\"b.json".to_owned(), 17.0)];
        let pools = BTreeMap::from([(
            "node".to_owned(),
            PoolMetrics { targets: 3, files, ..PoolMetrics::default() },
        )]);
        let registry = Registry::default();
        registry.on_scrape(move |out| metrics.expose(&pools, out));
        let text = registry.expose();
        for line in [
            "prometheus_target_scrapes_exceeded_sample_limit_total 1",
            "prometheus_target_scrape_pool_targets{scrape_job=\"node\"} 3",
            "prometheus_target_interval_length_seconds_sum{interval=\"15s\"} 15.5",
            "prometheus_sd_file_mtime_seconds{filename=\"a\\\"b.json\"} 17",
        ] {
            assert!(text.lines().any(|found| found == line), "{line}\n{text}");
        }
        let mut parser = Parser::new(Format::Text, text.as_bytes());
        let mut families = Vec::new();
        while let Some(entry) = parser.next_entry().expect("it can be read") {
            if let Entry::Type { metric, .. } = entry {
                families.push(metric.into_owned());
            }
        }
        let count = families.len();
        families.sort_unstable();
        families.dedup();
        assert_eq!(families.len(), count);
    }
}
