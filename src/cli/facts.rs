//! Metrics on what others know: the build and the database.

use std::sync::Arc;

use crate::db::{Database, DatabaseStats};
use crate::http::PROMETHEUS_VERSION;
use crate::metrics::{Exposition, Registry};
use crate::notify::{AlertmanagerMetrics, Notifier};
use crate::scrape::{Observations, PoolMetrics, PoolStatus, ScrapeManager, ScrapeMetrics};
use crate::storage::{SeriesLimit, SeriesLimits};

/// Has the registry ask for the numbers of the process at each scrape.
pub(super) fn register_process(registry: &Registry) {
    registry.on_scrape(crate::http::collect_process);
    registry.on_scrape(build);
}

/// Has the registry ask for the numbers of the database at each scrape.
pub(super) fn register_database(registry: &Registry, database: &Arc<Database>) {
    let database = Arc::clone(database);
    registry.on_scrape(move |out| storage(out, &database.stats()));
}

/// Has the registry ask for the numbers of scraping at each scrape.
pub(super) fn register_scrape(registry: &Registry, scrape: &ScrapeManager) {
    let scrape = scrape.clone();
    registry.on_scrape(move |out| {
        scrape_counters(out, scrape.metrics());
        pools(out, &scrape.targets());
    });
}

/// Has the registry ask for the numbers of notifying at each scrape.
pub(super) fn register_notifier(registry: &Registry, notifier: &Notifier) {
    let notifier = notifier.clone();
    registry.on_scrape(move |out| {
        for (name, help, value) in [
            (
                "prometheus_notifications_alertmanagers_discovered",
                "The number of alertmanagers discovered and active.",
                notifier.status().active.len(),
            ),
            (
                "prometheus_notifications_queue_capacity",
                "The capacity of the alert notifications queue.",
                notifier.options().queue_capacity,
            ),
        ] {
            out.single(name, help, "gauge", value as f64);
        }
        alertmanagers(out, &notifier.metrics().list());
    });
}

fn alertmanagers(out: &mut Exposition, alertmanagers: &[(String, Arc<AlertmanagerMetrics>)]) {
    type Read = fn(&AlertmanagerMetrics) -> f64;
    let families: [(&str, &str, &str, Read); 4] = [
        (
            "prometheus_notifications_dropped_total",
            "Total number of alerts dropped due to errors when sending to Alertmanager.",
            "counter",
            |metrics| metrics.dropped.get() as f64,
        ),
        (
            "prometheus_notifications_errors_total",
            "Total number of sent alerts affected by errors.",
            "counter",
            |metrics| metrics.errors.get() as f64,
        ),
        (
            "prometheus_notifications_queue_length",
            "The number of alert notifications in the queue.",
            "gauge",
            |metrics| metrics.queued.get(),
        ),
        ("prometheus_notifications_sent_total", "Total number of alerts sent.", "counter", |metrics| {
            metrics.sent.get() as f64
        }),
    ];
    for (name, help, kind, read) in families {
        out.family(name, help, kind);
        for (url, metrics) in alertmanagers {
            out.sample(name, &[("alertmanager", url.as_str())], read(metrics));
        }
    }
    let name = "prometheus_notifications_latency_histogram_seconds";
    out.family(name, "Latency histogram for sending alert notifications.", "histogram");
    for (url, metrics) in alertmanagers {
        out.histogram(name, &[("alertmanager", url.as_str())], &metrics.latency_buckets);
    }
    let name = "prometheus_notifications_latency_seconds";
    out.family(name, "Latency quantiles for sending alert notifications.", "summary");
    for (url, metrics) in alertmanagers {
        out.summary(name, &[("alertmanager", url.as_str())], &metrics.latency, &[0.5, 0.9, 0.99]);
    }
}

fn scrape_counters(out: &mut Exposition, metrics: &ScrapeMetrics) {
    for (name, help, counter) in [
        (
            "prometheus_target_scrape_pools_total",
            "Total number of scrape pool creation attempts.",
            &metrics.pools,
        ),
        (
            "prometheus_target_scrape_pools_failed_total",
            "Total number of scrape pool creations that failed.",
            &metrics.pools_failed,
        ),
        (
            "prometheus_target_scrape_pool_reloads_total",
            "Total number of scrape pool reloads.",
            &metrics.pool_reloads,
        ),
        (
            "prometheus_target_scrape_pool_reloads_failed_total",
            "Total number of failed scrape pool reloads.",
            &metrics.pool_reloads_failed,
        ),
        (
            "prometheus_target_scrape_pool_exceeded_target_limit_total",
            "Total number of times scrape pools hit the target limit, during sync or config reload.",
            &metrics.exceeded_target_limit,
        ),
        (
            "prometheus_target_scrape_pool_exceeded_label_limits_total",
            "Total number of times scrape pools hit the label limits, during sync or config reload.",
            &metrics.exceeded_label_limits,
        ),
        (
            "prometheus_target_scrapes_exceeded_body_size_limit_total",
            "Total number of scrapes that hit the body size limit",
            &metrics.exceeded_body_size_limit,
        ),
        (
            "prometheus_target_scrapes_exceeded_sample_limit_total",
            "Total number of scrapes that hit the sample limit and were rejected.",
            &metrics.exceeded_sample_limit,
        ),
        (
            "prometheus_target_scrapes_cache_flush_forced_total",
            "How many times a scrape cache was flushed due to getting big while scrapes are failing.",
            &metrics.cache_flush_forced,
        ),
        (
            "prometheus_target_scrapes_sample_duplicate_timestamp_total",
            "Total number of samples rejected due to duplicate timestamps but different values.",
            &metrics.sample_duplicate_timestamp,
        ),
        (
            "prometheus_target_scrapes_sample_out_of_order_total",
            "Total number of samples rejected due to not being out of the expected order.",
            &metrics.sample_out_of_order,
        ),
        (
            "prometheus_target_scrapes_sample_out_of_bounds_total",
            "Total number of samples rejected due to timestamp falling outside of the time bounds.",
            &metrics.sample_out_of_bounds,
        ),
        (
            "prometheus_target_scrapes_exemplar_out_of_order_total",
            "Total number of exemplar rejected due to not being out of the expected order.",
            &metrics.exemplar_out_of_order,
        ),
        (
            "prometheus_sd_file_read_errors_total",
            "The number of File-SD read errors.",
            &metrics.file_read_errors,
        ),
        ("perdura_scrapes_not_stored_total", "Scrapes that the store did not take.", &metrics.append_failed),
    ] {
        out.single(name, help, "counter", counter.get() as f64);
    }
    let name = "prometheus_target_interval_length_seconds";
    out.family(name, "Actual intervals between scrapes.", "summary");
    for (interval, lengths) in metrics.interval_lengths() {
        let labels = [("interval", interval.to_string())];
        observations(out, name, &[(labels[0].0, labels[0].1.as_str())], lengths);
    }
}

fn observations(out: &mut Exposition, name: &str, labels: &[(&str, &str)], observations: Observations) {
    out.sample(&format!("{name}_sum"), labels, observations.sum);
    out.sample(&format!("{name}_count"), labels, observations.count as f64);
}

fn pools(out: &mut Exposition, pools: &[PoolStatus]) {
    type Read = fn(&PoolMetrics) -> f64;
    let families: [(&str, &str, &str, Read); 4] = [
        (
            "prometheus_target_scrape_pool_targets",
            "Current number of targets in this scrape pool.",
            "gauge",
            |pool| pool.targets as f64,
        ),
        (
            "prometheus_target_scrape_pool_target_limit",
            "Maximum number of targets allowed in this scrape pool.",
            "gauge",
            |pool| pool.target_limit as f64,
        ),
        (
            "prometheus_target_scrape_pool_sync_total",
            "Total number of syncs that were executed on a scrape pool.",
            "counter",
            |pool| pool.syncs as f64,
        ),
        ("prometheus_target_sync_failed_total", "Total number of target sync failures.", "counter", |pool| {
            pool.sync_failures as f64
        }),
    ];
    for (name, help, kind, read) in families {
        out.family(name, help, kind);
        for pool in pools {
            out.sample(name, &[("scrape_job", pool.name.as_str())], read(&pool.metrics));
        }
    }
    let name = "prometheus_target_sync_length_seconds";
    out.family(name, "Actual interval to sync the scrape pool.", "summary");
    for pool in pools {
        observations(out, name, &[("scrape_job", pool.name.as_str())], pool.metrics.sync_lengths);
    }
}

fn build(out: &mut Exposition) {
    let help = "A metric with a constant '1' value labeled by version.";
    out.family("perdura_build_info", help, "gauge");
    out.sample("perdura_build_info", &[("version", env!("CARGO_PKG_VERSION"))], 1.0);
    out.family("prometheus_build_info", help, "gauge");
    out.sample("prometheus_build_info", &[("revision", "perdura"), ("version", PROMETHEUS_VERSION)], 1.0);
}

fn storage(out: &mut Exposition, stats: &DatabaseStats) {
    heads_of_upstream(out, stats);
    series_limits(out, stats);
    for (name, help, kind, value) in [
        (
            "perdura_head_samples",
            "Samples in memory that are not in segments yet.",
            "gauge",
            stats.head_samples,
        ),
        ("perdura_head_bytes", "Bytes that the head's samples take.", "gauge", stats.head_bytes),
        ("perdura_segments", "Live segments.", "gauge", stats.segments),
        ("perdura_segment_bytes", "Bytes of live segments.", "gauge", stats.segment_bytes),
        ("perdura_segment_samples", "Samples in live segments.", "gauge", stats.segment_samples),
        ("perdura_log_files", "Log files.", "gauge", stats.log_files),
        ("perdura_log_bytes", "Bytes of log files.", "gauge", stats.log_bytes),
        ("perdura_log_syncs_total", "Syncs of log files.", "counter", stats.log_syncs),
        ("perdura_log_failures_total", "Log files abandoned after an error.", "counter", stats.log_failures),
        (
            "perdura_damaged_records",
            "Damaged places skipped when the log was replayed.",
            "gauge",
            stats.damaged_records,
        ),
        (
            "perdura_damaged_segments",
            "Segments that could not be opened, or of which some cannot be read.",
            "gauge",
            stats.damaged_segments,
        ),
        ("perdura_flushed_bytes_total", "Bytes that flushes wrote.", "counter", stats.flushed_bytes),
        ("perdura_compacted_bytes_total", "Bytes that compactions wrote.", "counter", stats.compacted_bytes),
        ("perdura_deletions", "Deletions that still hide something.", "gauge", stats.deletions),
        ("perdura_flushes_total", "Flushes of the head to segments.", "counter", stats.flushes),
        ("perdura_flush_failures_total", "Flushes that failed.", "counter", stats.flush_failures),
        (
            "perdura_segments_expired_total",
            "Segments dropped by retention.",
            "counter",
            stats.segments_expired,
        ),
        (
            "perdura_samples_rejected_total",
            "Samples refused by the acceptance.",
            "counter",
            stats.samples_rejected,
        ),
    ] {
        out.single(name, help, kind, value as f64);
    }
}

/// The figures that upstream's dashboards read, under their names.
fn series_limits(out: &mut Exposition, stats: &DatabaseStats) {
    let SeriesLimits { total, per_metric, per_job } = stats.series_limits;
    let name = "perdura_series_limit";
    out.family(
        name,
        "Most active series, in all, for one metric and for one job; 0 for any number.",
        "gauge",
    );
    for (limit, max) in SeriesLimit::ALL.into_iter().zip([total, per_metric, per_job]) {
        out.sample(name, &[("limit", limit.name())], max as f64);
    }
    let name = "perdura_series_limit_refused_total";
    let help = "New series that a limit kept out, counted each time that somebody writes them.";
    out.family(name, help, "counter");
    for (limit, refused) in SeriesLimit::ALL.into_iter().zip(stats.series_refused) {
        out.sample(name, &[("limit", limit.name())], refused as f64);
    }
}

fn heads_of_upstream(out: &mut Exposition, stats: &DatabaseStats) {
    for (name, help, kind, value) in [
        (
            "prometheus_tsdb_head_series",
            "Total number of series in the head block.",
            "gauge",
            stats.head_series as f64,
        ),
        (
            "prometheus_tsdb_head_series_created_total",
            "Total number of series created in the head",
            "counter",
            stats.head_series_created as f64,
        ),
        (
            "prometheus_tsdb_head_series_removed_total",
            "Total number of series removed in the head",
            "counter",
            stats.head_series_removed as f64,
        ),
        (
            "prometheus_tsdb_compactions_total",
            "Total number of compactions that were executed for the partition.",
            "counter",
            stats.compactions as f64,
        ),
        (
            "prometheus_tsdb_compactions_failed_total",
            "Total number of compactions that failed for the partition.",
            "counter",
            stats.compaction_failures as f64,
        ),
        (
            "prometheus_tsdb_time_retentions_total",
            "The number of times that blocks were deleted because the maximum time limit was exceeded.",
            "counter",
            stats.time_retentions as f64,
        ),
        (
            "prometheus_tsdb_size_retentions_total",
            "The number of times that blocks were deleted because the maximum number of bytes was exceeded.",
            "counter",
            stats.size_retentions as f64,
        ),
        (
            "prometheus_tsdb_retention_limit_bytes",
            "Max number of bytes to be retained in the tsdb blocks, configured 0 means disabled",
            "gauge",
            stats.retention.bytes as f64,
        ),
        (
            "prometheus_tsdb_retention_limit_percentage",
            "Max percentage of total storage space to be retained in the tsdb blocks, configured 0 means disabled",
            "gauge",
            stats.retention.percentage,
        ),
        (
            "prometheus_tsdb_retention_limit_seconds",
            "How long to retain samples in storage.",
            "gauge",
            stats.retention.time_ms as f64 / 1_000.0,
        ),
        (
            "prometheus_tsdb_exemplar_exemplars_appended_total",
            "Total number of appended exemplars.",
            "counter",
            stats.exemplars_appended as f64,
        ),
        (
            "prometheus_tsdb_blocks_loaded",
            "Number of currently loaded data blocks",
            "gauge",
            stats.segments as f64,
        ),
        (
            "prometheus_tsdb_storage_blocks_bytes",
            "The number of bytes that are currently used for local storage by all blocks.",
            "gauge",
            stats.segment_bytes as f64,
        ),
        (
            "prometheus_tsdb_lowest_timestamp_seconds",
            "Lowest timestamp value stored in the database.",
            "gauge",
            stats.oldest.unwrap_or(0) as f64 / 1_000.0,
        ),
    ] {
        out.single(name, help, kind, value);
    }
    for (name, help, time) in [
        ("prometheus_tsdb_head_min_time_seconds", "Minimum time bound of the head block.", stats.head_oldest),
        ("prometheus_tsdb_head_max_time_seconds", "Maximum timestamp of the head block.", stats.head_newest),
    ] {
        out.single(name, help, "gauge", time.unwrap_or(0) as f64 / 1_000.0);
    }
    let name = "prometheus_tsdb_head_samples_appended_total";
    out.family(name, "Total number of appended samples.", "counter");
    out.sample(name, &[("type", "float")], stats.floats_appended as f64);
    out.sample(name, &[("type", "histogram")], stats.histograms_appended as f64);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::notify::NotifierOptions;

    #[test]
    fn alertmanagers_have_their_series() {
        let metrics = Arc::new(AlertmanagerMetrics::default());
        metrics.sent.add(5);
        metrics.latency.observe(0.5);
        let registry = Registry::default();
        registry
            .on_scrape(move |out| alertmanagers(out, &[("http://am/a".to_owned(), Arc::clone(&metrics))]));
        register_notifier(&registry, &Notifier::new(NotifierOptions::default()));
        let text = registry.expose();
        for line in [
            "prometheus_notifications_sent_total{alertmanager=\"http://am/a\"} 5",
            "prometheus_notifications_errors_total{alertmanager=\"http://am/a\"} 0",
            "prometheus_notifications_dropped_total{alertmanager=\"http://am/a\"} 0",
            "prometheus_notifications_queue_length{alertmanager=\"http://am/a\"} 0",
            "prometheus_notifications_latency_seconds{alertmanager=\"http://am/a\",quantile=\"0.99\"} 0.5",
            "prometheus_notifications_latency_histogram_seconds_bucket{alertmanager=\"http://am/a\",le=\"0.01\"} 0",
            "prometheus_notifications_queue_capacity 10000",
            "prometheus_notifications_alertmanagers_discovered 0",
        ] {
            assert!(text.lines().any(|found| found == line), "{line} in {text}");
        }
    }

    #[test]
    fn dashboards_find_their_names() {
        let registry = Registry::default();
        registry.on_scrape(build);
        let stats = DatabaseStats { head_series: 7, floats_appended: 9, ..DatabaseStats::default() };
        registry.on_scrape(move |out| storage(out, &stats));
        let text = registry.expose();
        for line in [
            "prometheus_tsdb_head_series 7",
            "prometheus_tsdb_head_samples_appended_total{type=\"float\"} 9",
            "prometheus_build_info{revision=\"perdura\",version=\"3.14.0\"} 1",
        ] {
            assert!(text.lines().any(|found| found == line), "{line}");
        }
    }
}
