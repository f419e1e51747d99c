//! What the database tells of itself.

use std::sync::atomic::Ordering;

use crate::model::{TimeSpan, Timestamp};
use crate::storage::{SeriesLimit, SeriesLimits};

use super::Database;
use super::retention::Retention;

/// A text and how many there are of what it names.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NamedCount {
    /// The text.
    pub name: String,
    /// How many.
    pub count: u64,
}

/// Figures of a database since it was opened, and as it is.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct DatabaseStats {
    /// Series that the head knows, of all tenants.
    pub head_series: u64,
    /// Series begun since the database was opened.
    pub head_series_created: u64,
    /// Series that left the head since the database was opened.
    pub head_series_removed: u64,
    /// Series begun within the last hour, to the minute, and since the database was opened.
    pub head_series_created_last_hour: u64,
    /// How many series the head may know.
    pub series_limits: SeriesLimits,
    /// How often a new series was refused, by limit in the order of [`SeriesLimit::ALL`].
    pub series_refused: [u64; 3],
    /// Samples in the head that are not in segments yet.
    pub head_samples: u64,
    /// Bytes that the head's samples take.
    pub head_bytes: u64,
    /// Time of the head's oldest sample.
    pub head_oldest: Option<Timestamp>,
    /// Time of the head's newest sample.
    pub head_newest: Option<Timestamp>,
    /// Floats appended since the database was opened.
    pub floats_appended: u64,
    /// Histograms appended since the database was opened.
    pub histograms_appended: u64,
    /// Exemplars appended since the database was opened.
    pub exemplars_appended: u64,
    /// Samples refused by the acceptance since the database was opened.
    pub samples_rejected: u64,
    /// Live segments.
    pub segments: u64,
    /// Their bytes.
    pub segment_bytes: u64,
    /// Their samples.
    pub segment_samples: u64,
    /// Log files.
    pub log_files: u64,
    /// Their bytes.
    pub log_bytes: u64,
    /// Syncs of log files since the database was opened.
    pub log_syncs: u64,
    /// Log files abandoned after an error since the database was opened.
    pub log_failures: u64,
    /// Damaged places skipped when the log was replayed.
    pub damaged_records: u64,
    /// Segments that could not be opened and are left out, and those of which some cannot be read.
    pub damaged_segments: u64,
    /// Flushes since the database was opened.
    pub flushes: u64,
    /// Flushes that failed since the database was opened.
    pub flush_failures: u64,
    /// Compactions since the database was opened.
    pub compactions: u64,
    /// Compactions that failed since the database was opened.
    pub compaction_failures: u64,
    /// Segments dropped by retention since the database was opened.
    pub segments_expired: u64,
    /// How often segments were dropped because of their age since the database was opened.
    pub time_retentions: u64,
    /// How often segments were dropped because of their size since the database was opened.
    pub size_retentions: u64,
    /// What is kept.
    pub retention: Retention,
    /// Bytes of segments that flushes wrote since the database was opened.
    pub flushed_bytes: u64,
    /// Bytes of segments that merges wrote since the database was opened.
    pub compacted_bytes: u64,
    /// Deletions that still hide something.
    pub deletions: u64,
    /// Time of the oldest sample of all tenants.
    pub oldest: Option<Timestamp>,
    /// Time of the newest sample of all tenants.
    pub newest: Option<Timestamp>,
    /// The head's metric names with the most series.
    pub series_by_metric: Vec<NamedCount>,
    /// The head's label names with the most values.
    pub values_by_label: Vec<NamedCount>,
    /// The head's label names whose values take the most bytes.
    pub bytes_by_label: Vec<NamedCount>,
    /// The head's label pairs (`name=value`) with the most series.
    pub series_by_pair: Vec<NamedCount>,
    /// How many label pairs the head has.
    pub label_pairs: u64,
}

impl Database {
    /// What the database tells of itself, with the counts by label, at most `limit` of each; walks every label
    /// pair of the head.
    pub fn stats_with_labels(&self, limit: usize) -> DatabaseStats {
        let facts = self.head.facts(limit);
        DatabaseStats {
            series_by_metric: named(facts.series_by_metric),
            values_by_label: named(facts.values_by_label),
            bytes_by_label: named(facts.bytes_by_label),
            series_by_pair: named(facts.series_by_pair),
            label_pairs: facts.label_pairs,
            ..self.stats()
        }
    }

    /// What the database tells of itself, without the counts by label, which stay empty.
    pub fn stats(&self) -> DatabaseStats {
        let view = self.view();
        let counted = |counter: &std::sync::atomic::AtomicU64| counter.load(Ordering::Relaxed);
        let nothing = TimeSpan::new(0, -1);
        let in_head = view.epochs().fold(nothing, |all, epoch| all.union(epoch.bounds(None)));
        let everywhere = view.segments.iter().fold(in_head, |all, s| all.union(s.meta().span));
        let mut stats = DatabaseStats {
            head_series: self.head.series(),
            head_series_created: self.head.series_created(),
            head_series_removed: self.head.series_removed(),
            head_series_created_last_hour: self.head.series_created_last_hour(self.options.clock.now_ms()),
            series_limits: self.head.series_limits(),
            series_refused: SeriesLimit::ALL.map(|limit| self.head.series_refused(limit)),
            head_samples: view.epochs().map(|epoch| epoch.samples()).sum(),
            head_bytes: view.epochs().map(|epoch| epoch.heap_bytes()).sum(),
            head_oldest: (!in_head.is_empty()).then_some(in_head.start),
            head_newest: (!in_head.is_empty()).then_some(in_head.end),
            floats_appended: counted(&self.counters.floats),
            histograms_appended: counted(&self.counters.histograms),
            exemplars_appended: counted(&self.counters.exemplars),
            samples_rejected: counted(&self.counters.rejected),
            segments: view.segments.len() as u64,
            segment_bytes: view.segments.iter().map(|segment| segment.bytes).sum(),
            segment_samples: view.segments.iter().map(|segment| segment.meta().samples).sum(),
            damaged_records: counted(&self.counters.damaged_records),
            damaged_segments: counted(&self.counters.damaged_segments)
                + view.segments.iter().filter(|segment| segment.is_damaged()).count() as u64,
            flushes: counted(&self.counters.flushes),
            flush_failures: counted(&self.counters.flush_failures),
            compactions: counted(&self.counters.compactions),
            compaction_failures: counted(&self.counters.compaction_failures),
            segments_expired: counted(&self.counters.expired),
            time_retentions: counted(&self.counters.time_retentions),
            size_retentions: counted(&self.counters.size_retentions),
            retention: self.retention(),
            flushed_bytes: counted(&self.counters.flushed_bytes),
            compacted_bytes: counted(&self.counters.compacted_bytes),
            deletions: view.deletions.len() as u64,
            oldest: (!everywhere.is_empty()).then_some(everywhere.start),
            newest: (!everywhere.is_empty()).then_some(everywhere.end),
            ..DatabaseStats::default()
        };
        self.committer.with_seat(|seat| {
            stats.log_files = seat.log.files().count() as u64;
            stats.log_bytes = seat.log.files().map(|file| file.bytes).sum();
            stats.log_syncs = seat.log.syncs();
            stats.log_failures = seat.log.failures();
        });
        stats
    }
}

fn named(counts: Vec<(String, u64)>) -> Vec<NamedCount> {
    counts.into_iter().map(|(name, count)| NamedCount { name, count }).collect()
}
