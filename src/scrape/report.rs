//! The series that a target gets beside those it exposes: `up` and what its scrapes cost.

use super::labels::report_labels;
use crate::model::{Labels, Timestamp, stale_nan};
use crate::storage::Batch;

/// Always there.
pub(super) const NAMES: [&str; 5] = [
    "up",
    "scrape_duration_seconds",
    "scrape_samples_scraped",
    "scrape_samples_post_metric_relabeling",
    "scrape_series_added",
];
/// With `extra_scrape_metrics`.
const EXTRA_NAMES: [&str; 3] = ["scrape_timeout_seconds", "scrape_sample_limit", "scrape_body_size_bytes"];

/// What one scrape came to.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Report {
    pub(super) is_up: bool,
    pub(super) duration_seconds: f64,
    /// Samples in the body.
    pub(super) scraped: u64,
    /// Samples that no rule dropped.
    pub(super) kept: u64,
    /// Series that the scrape before did not have.
    pub(super) series_added: u64,
    pub(super) timeout_seconds: f64,
    pub(super) sample_limit: u64,
    /// Bytes of the body; -1 where they were more than allowed.
    pub(super) body_bytes: i64,
}

/// A target's own series, their labels made once.
#[derive(Debug)]
pub(super) struct ReportSeries(Vec<Labels>);

impl ReportSeries {
    pub(super) fn new(target: &Labels, with_extra: bool) -> Self {
        let extra = if with_extra { &EXTRA_NAMES[..] } else { &[] };
        Self(NAMES.iter().chain(extra).map(|name| report_labels(name, target)).collect())
    }

    #[expect(clippy::cast_precision_loss, reason = "counts beyond 2^53 samples in one body do not occur")]
    pub(super) fn push(&self, batch: &mut Batch, time: Timestamp, report: &Report) {
        let values = [
            f64::from(u8::from(report.is_up)),
            report.duration_seconds,
            report.scraped as f64,
            report.kept as f64,
            report.series_added as f64,
            report.timeout_seconds,
            report.sample_limit as f64,
            report.body_bytes as f64,
        ];
        for (labels, value) in self.0.iter().zip(values) {
            batch.begin_series(labels);
            batch.push_float(time, 0, value);
        }
    }

    pub(super) fn push_stale(&self, batch: &mut Batch, time: Timestamp) {
        for labels in &self.0 {
            batch.begin_series(labels);
            batch.push_float(time, 0, stale_nan());
        }
    }
}
