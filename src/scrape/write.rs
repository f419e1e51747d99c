//! From a target's answer to a batch in storage.

use std::sync::Arc;
use std::time::Instant;

use super::cache::{Known, ScrapeCache, SlotId};
use super::config::ScrapeConfig;
use super::families::Families;
use super::fetch::{Answer, ScrapeError};
use super::labels::{SampleLabelsError, stored_labels};
use super::metrics::ScrapeMetrics;
use super::report::{Report, ReportSeries};
use crate::ingest::exposition::{Entry, Format, Parser, SampleEntry};
use crate::model::{Labels, TenantId, TimeSpan, Timestamp, stale_nan};
use crate::setting::DurationMs;
use crate::storage::{Acceptance, Append, Batch, Outcome, RejectReason, SampleKind};

/// How far ahead of now a sample may be.
const AHEAD_MS_MAX: i64 = 10 * 60_000;

/// Where scrapes are written to, the same for all targets.
#[derive(Clone)]
pub(super) struct Sink {
    pub(super) append: Arc<dyn Append>,
    pub(super) tenant: TenantId,
    pub(super) metrics: Arc<ScrapeMetrics>,
}

/// Writes the scrapes of one target and remembers what it exposes. Blocks, in storage.
pub(super) struct TargetWriter {
    sink: Sink,
    config: Arc<ScrapeConfig>,
    /// The labels that samples get.
    target: Labels,
    timeout: DurationMs,
    report: ReportSeries,
    families: Arc<Families>,
    cache: ScrapeCache,
    scrapes: u64,
}

/// When a scrape happened.
#[derive(Clone, Copy, Debug)]
pub(super) struct ScrapeTime {
    /// What its samples get.
    pub(super) time: Timestamp,
    /// What the clock says.
    pub(super) now: Timestamp,
    /// When it began, for its duration.
    pub(super) started: Instant,
}

/// Counts of one body.
#[derive(Clone, Copy, Debug, Default)]
struct Counts {
    scraped: u64,
    kept: u64,
    /// Samples that count towards the limit, those beyond it too.
    limited: u64,
    series_added: u64,
}

/// A scrape on its way to storage.
#[derive(Default)]
struct Draft {
    time: Timestamp,
    batch: Batch,
    counts: Counts,
}

impl TargetWriter {
    pub(super) fn new(
        sink: Sink,
        config: Arc<ScrapeConfig>,
        target: Labels,
        timeout: DurationMs,
        families: Arc<Families>,
    ) -> Self {
        let report = ReportSeries::new(&target, config.own.extra_scrape_metrics.unwrap_or_default());
        Self { sink, config, target, timeout, report, families, cache: ScrapeCache::new(), scrapes: 0 }
    }

    /// Goes on with what another writer of the same target remembers.
    pub(super) fn with_memory_of(mut self, other: Self) -> Self {
        self.cache = other.cache;
        self.scrapes = other.scrapes;
        self
    }

    /// Whether there was a scrape yet.
    pub(super) fn has_scraped(&self) -> bool {
        self.scrapes > 0
    }

    /// Writes one scrape: its samples, markers for what vanished, and the report. A failed one writes markers for
    /// everything, and the report. Answers the scrape's duration in seconds, and its error.
    pub(super) fn write(
        &mut self,
        at: ScrapeTime,
        answer: Result<Answer, ScrapeError>,
    ) -> (f64, Option<ScrapeError>) {
        self.scrapes += 1;
        let body_bytes = match &answer {
            Ok(answer) => i64::try_from(answer.body.len()).unwrap_or(i64::MAX),
            Err(ScrapeError::BodySize) => -1,
            Err(_) => 0,
        };
        let mut draft = Draft { time: at.time, ..Draft::default() };
        self.cache.begin();
        let error = match answer {
            Ok(answer) => self.read(&answer, &mut draft).err(),
            Err(error) => Some(error),
        };
        self.count_error(error.as_ref());
        let Draft { mut batch, counts, .. } = draft;
        self.push_stale(&mut batch, at.time, error.is_some() || body_bytes == 0);
        let duration_seconds = at.started.elapsed().as_secs_f64();
        let report = Report {
            is_up: error.is_none(),
            duration_seconds,
            scraped: counts.scraped,
            kept: counts.kept,
            series_added: counts.series_added,
            timeout_seconds: self.timeout.as_secs_f64(),
            sample_limit: self.config.own.sample_limit,
            body_bytes,
        };
        // A target that exposes too much must still be seen to be up.
        batch.exempt_from = Some(batch.series.len());
        self.report.push(&mut batch, at.time, &report);
        let span = TimeSpan::new(Timestamp::MIN, at.now.saturating_add(AHEAD_MS_MAX));
        self.append(batch, &Acceptance { span, ..Acceptance::EVERYTHING });
        (duration_seconds, error)
    }

    /// Writes markers for everything at the end of a target's life. Where another loop has taken the target over,
    /// its samples are newer and the markers are refused.
    pub(super) fn write_end(&mut self, time: Timestamp) {
        let mut batch = Batch::default();
        self.cache.begin();
        self.push_stale(&mut batch, time, true);
        batch.exempt_from = Some(batch.series.len());
        self.report.push_stale(&mut batch, time);
        self.append(batch, &Acceptance::IN_ORDER);
    }

    /// Reads a body into the draft. After an error nothing of the body is in its batch.
    fn read(&mut self, answer: &Answer, draft: &mut Draft) -> Result<(), ScrapeError> {
        if answer.body.is_empty() {
            return Ok(());
        }
        let fallback = self.config.own.fallback_scrape_protocol;
        let (format, warning) = Format::of_response(answer.content_type.as_deref(), fallback)?;
        if let Some(warning) = warning {
            tracing::debug!(target_labels = %self.target, "{warning}");
        }
        let read = self.read_entries(Parser::new(format, &answer.body), draft);
        if read.is_err() {
            draft.batch = Batch::default();
        }
        read
    }

    fn read_entries(&mut self, mut parser: Parser<'_>, draft: &mut Draft) -> Result<(), ScrapeError> {
        let families = Arc::clone(&self.families);
        let mut families = families.describe(self.scrapes);
        while let Some(entry) = parser.next_entry()? {
            match entry {
                Entry::Sample(sample) => self.read_sample(&sample, draft)?,
                Entry::Help { metric, help } => families.set_help(&metric, &help),
                Entry::Type { metric, metric_type } => families.set_type(&metric, metric_type),
                Entry::Unit { metric, unit } => families.set_unit(&metric, unit),
                _ => {}
            }
        }
        let limit = self.config.own.sample_limit;
        if limit > 0 && draft.counts.limited > limit {
            return Err(ScrapeError::SampleLimit);
        }
        families.push_unsent(&mut draft.batch);
        Ok(())
    }

    fn read_sample(&mut self, sample: &SampleEntry<'_>, draft: &mut Draft) -> Result<(), ScrapeError> {
        draft.counts.scraped += 1;
        let own_time = sample.timestamp.filter(|_| self.config.own.honor_timestamps);
        let (slot, is_repeated) = match self.cache.look_up(sample.series) {
            Known::Dropped => return Ok(()),
            Known::Stored { slot, is_repeated } => (slot, is_repeated),
            Known::New => match self.add_series(sample, draft)? {
                Some(slot) => (slot, false),
                None => return Ok(()),
            },
        };
        draft.counts.kept += 1;
        if own_time.is_none() && self.is_duplicate(slot, is_repeated, sample.value) {
            self.sink.metrics.sample_duplicate_timestamp.increment();
            return Ok(());
        }
        draft.counts.limited += 1;
        self.push_sample(slot, sample, own_time, draft);
        Ok(())
    }

    /// The series of a text that is new; `None` where it is dropped, or where the limit is reached: then samples are
    /// only counted, so that the report tells how many there are.
    fn add_series(
        &mut self,
        sample: &SampleEntry<'_>,
        draft: &mut Draft,
    ) -> Result<Option<SlotId>, ScrapeError> {
        let exposed = sample.labels().map_err(SampleLabelsError::from)?;
        let Some(labels) = stored_labels(&exposed, &self.target, &self.config.own)? else {
            self.cache.add_dropped(sample.series);
            return Ok(None);
        };
        let limit = self.config.own.sample_limit;
        if limit > 0 && draft.counts.limited >= limit {
            draft.counts.kept += 1;
            draft.counts.limited += 1;
            return Ok(None);
        }
        draft.counts.series_added += 1;
        Ok(Some(self.cache.add(sample.series, labels)))
    }

    /// Whether this scrape has a sample of the series already: the same text again, or a text that rules lead to the
    /// same series, with another value. The first one counts.
    fn is_duplicate(&self, slot: SlotId, is_repeated: bool, value: f64) -> bool {
        is_repeated || self.cache.written(slot).is_some_and(|first| first.to_bits() != value.to_bits())
    }

    fn push_sample(
        &mut self,
        slot: SlotId,
        sample: &SampleEntry<'_>,
        own_time: Option<Timestamp>,
        draft: &mut Draft,
    ) {
        let time = own_time.unwrap_or(draft.time);
        draft.batch.begin_series(self.cache.labels(slot));
        draft.batch.push_float(time, 0, sample.value);
        if own_time.is_none() {
            self.cache.set_written(slot, sample.value);
        }
        if own_time.is_none() || self.config.own.track_timestamps_staleness {
            self.cache.set_exposed(slot);
        }
        // An exemplar that breaks the rules of labels is left out; it does not cost the scrape.
        if let Some(Ok(exemplar)) = sample.exemplar.as_ref().map(|exemplar| exemplar.exemplar(time)) {
            draft.batch.push_exemplar(exemplar);
        }
    }

    /// Markers for what vanished, or for everything.
    fn push_stale(&mut self, batch: &mut Batch, time: Timestamp, everything: bool) {
        let push = |labels: &Labels| {
            batch.begin_series(labels);
            batch.push_float(time, 0, stale_nan());
        };
        if !everything {
            self.cache.end(push);
        } else if self.cache.end_empty(push) {
            self.sink.metrics.cache_flush_forced.increment();
        }
    }

    fn count_error(&self, error: Option<&ScrapeError>) {
        let metrics = &self.sink.metrics;
        match error {
            Some(ScrapeError::BodySize) => metrics.exceeded_body_size_limit.increment(),
            Some(ScrapeError::SampleLimit) => metrics.exceeded_sample_limit.increment(),
            Some(ScrapeError::Labels(labels)) if labels.is_limit() => {
                metrics.exceeded_label_limits.increment()
            }
            _ => {}
        }
        if let Some(error) = error {
            tracing::debug!(target_labels = %self.target, %error, "scrape failed");
        }
    }

    fn append(&self, batch: Batch, acceptance: &Acceptance) {
        let has_metadata = !batch.metadata.is_empty();
        match self.sink.append.append(&self.sink.tenant, batch, acceptance) {
            Ok(outcome) => {
                if has_metadata {
                    self.families.set_sent();
                }
                self.count_rejections(&outcome);
            }
            Err(error) => {
                self.sink.metrics.append_failed.increment();
                tracing::error!(target_labels = %self.target, %error, "scrape was not stored");
            }
        }
    }

    fn count_rejections(&self, outcome: &Outcome) {
        let metrics = &self.sink.metrics;
        for rejection in &outcome.rejections {
            match (rejection.kind, rejection.reason) {
                // The database counts these by limit.
                (_, RejectReason::Limit) => {}
                (SampleKind::Exemplar, _) => metrics.exemplar_out_of_order.increment(),
                (_, RejectReason::OutOfOrder) => metrics.sample_out_of_order.increment(),
                (_, RejectReason::DuplicateTime) => metrics.sample_duplicate_timestamp.increment(),
                _ => metrics.sample_out_of_bounds.increment(),
            }
        }
    }
}

#[cfg(test)]
mod tests;
