//! From an epoch of the head to segments.

use std::collections::BTreeMap;
use std::ops::Range;
use std::path::PathBuf;
use std::sync::Arc;

use crate::fs::Fs;
use crate::head::{Epoch, Head, PinnedEpoch};
use crate::model::{TenantId, TimeSpan, Timestamp};
use crate::segment::{RowKey, SegmentHeader};

use super::StorageError;
use super::outputs::{Outputs, Written};
use super::view::LiveSegment;
use super::windows::{WINDOWS_MS, flush_window, window_around};

/// Most segments that one flush makes for a tenant.
const OUTPUTS_MAX: usize = 64;

/// Name of a segment's file.
pub(super) fn segment_file_name(number: u64) -> String {
    format!("{number:016x}.seg")
}

/// The number in a segment's file name; `None` for other files.
pub(super) fn segment_file_number(name: &str) -> Option<u64> {
    let digits = name.strip_suffix(".seg")?;
    if digits.len() != 16 {
        return None;
    }
    u64::from_str_radix(digits, 16).ok()
}

/// Makes files of segments.
#[derive(Debug)]
pub(super) struct SegmentFiles {
    pub(super) fs: Arc<dyn Fs>,
    pub(super) directory: PathBuf,
}

impl SegmentFiles {
    pub(super) fn path(&self, number: u64) -> PathBuf {
        self.directory.join(segment_file_name(number))
    }

    /// Makes the names of new segments durable.
    pub(super) fn sync_names(&self) -> Result<(), StorageError> {
        let synced = self.fs.sync_dir(&self.directory);
        synced.map_err(|error| StorageError::io("sync", &self.directory, error))
    }
}

/// How many samples there are, by the start and end of their window.
pub(super) type WindowCounts = BTreeMap<(Timestamp, Timestamp), u64>;

/// Adds one series' samples, by the windows that a flush would put them into.
pub(super) fn count_windows(
    timestamps: &[Timestamp],
    newest: Timestamp,
    longest_ms: i64,
    counts: &mut WindowCounts,
) {
    for (window, range) in runs(timestamps, |t| flush_window(t, newest, longest_ms)) {
        *counts.entry((window.start, window.end)).or_insert(0) += range.len() as u64;
    }
}

/// Which window each sample of a flush or a merge goes to.
pub(super) struct Cut {
    newest: Timestamp,
    longest_ms: i64,
    /// The only window, where there is only one.
    whole: Option<TimeSpan>,
    /// Windows that get a segment of their own; what lies elsewhere goes to the overlay.
    own: BTreeMap<Timestamp, TimeSpan>,
    pub(super) overlay: Option<TimeSpan>,
}

impl Cut {
    /// Decides from how many samples there are in each window.
    pub(super) fn new(counts: &WindowCounts, newest: Timestamp, longest_ms: i64) -> Self {
        let mut by_count: Vec<(u64, TimeSpan)> =
            counts.iter().map(|(window, count)| (*count, TimeSpan::new(window.0, window.1))).collect();
        by_count.sort_unstable_by_key(|(count, window)| (std::cmp::Reverse(*count), window.start));
        let own_max = if by_count.len() > OUTPUTS_MAX { OUTPUTS_MAX - 1 } else { OUTPUTS_MAX };
        let rest = by_count.split_off(by_count.len().min(own_max));
        let overlay = rest.into_iter().map(|(_, window)| window).reduce(TimeSpan::union);
        let own = by_count.into_iter().map(|(_, window)| (window.start, window)).collect();
        Self { newest, longest_ms, whole: None, own, overlay }
    }

    /// Everything goes to one window.
    pub(super) fn whole(window: TimeSpan) -> Self {
        let own = BTreeMap::from([(window.start, window)]);
        Self { newest: 0, longest_ms: 0, whole: Some(window), own, overlay: None }
    }

    pub(super) fn window(&self, t: Timestamp) -> TimeSpan {
        self.whole.unwrap_or_else(|| flush_window(t, self.newest, self.longest_ms))
    }

    /// The output that a window goes to: itself, or the overlay.
    pub(super) fn output(&self, window: TimeSpan) -> TimeSpan {
        let is_own = self.own.get(&window.start).is_some_and(|own| *own == window);
        if is_own { window } else { self.overlay.expect("what has no window of its own is in the overlay") }
    }

    /// The newest of the windows that something goes to.
    pub(super) fn newest_window(&self) -> Option<TimeSpan> {
        let windows = self.own.values().chain(&self.overlay).copied();
        windows.max_by_key(|window| (window.start, window.end))
    }
}

/// Runs of samples within one window; each window has one run, since its samples are neighbours in time.
pub(super) fn runs<'a>(
    timestamps: &'a [Timestamp],
    window: impl Fn(Timestamp) -> TimeSpan + 'a,
) -> impl Iterator<Item = (TimeSpan, Range<usize>)> + 'a {
    let mut at = 0;
    std::iter::from_fn(move || {
        let start = at;
        let span = window(*timestamps.get(start)?);
        while timestamps.get(at).is_some_and(|t| window(*t) == span) {
            at += 1;
        }
        Some((span, start..at))
    })
}

/// What a flush needs to know.
pub(super) struct FlushJob<'a> {
    pub(super) head: &'a Head,
    pub(super) epoch: &'a Arc<Epoch>,
    pub(super) now_ms: Timestamp,
    pub(super) longest_window_ms: i64,
}

impl FlushJob<'_> {
    /// Segments with everything that the epoch holds, for all tenants; their names are durable.
    pub(super) fn write(
        &self,
        files: &SegmentFiles,
        allocate: &mut dyn FnMut() -> u64,
    ) -> Result<Vec<Arc<LiveSegment>>, StorageError> {
        let pinned = self.epoch.pin();
        let mut written = Written::default();
        for tenant in self.epoch.tenants() {
            let cut = self.cut(&tenant, &pinned);
            let outputs = Outputs::new(&cut, self.header(&tenant), files, allocate);
            self.write_tenant(&tenant, &pinned, outputs, &mut written)?;
        }
        written.take(files)
    }

    fn header(&self, tenant: &TenantId) -> SegmentHeader {
        let (seq_min, seq_max) = self.epoch.seq_range().expect("a flush is of an epoch that holds something");
        SegmentHeader {
            tenant: tenant.clone(),
            window: window_around(self.now_ms, WINDOWS_MS[0]),
            resolution_ms: 0,
            retention_class: 0,
            seq_min,
            seq_max,
        }
    }

    /// Exemplars are merged into the series, in the order of rows: not each has samples in this epoch.
    fn write_tenant(
        &self,
        tenant: &TenantId,
        pinned: &PinnedEpoch,
        mut outputs: Outputs<'_>,
        written: &mut Written,
    ) -> Result<(), StorageError> {
        let exemplars = self.head.epoch_exemplars(tenant, pinned);
        let exemplars: BTreeMap<RowKey, _> =
            exemplars.into_iter().map(|entry| (RowKey::of(&entry.0), entry)).collect();
        let mut exemplars = exemplars.into_iter().peekable();
        self.head.each_series_sorted(tenant, pinned, RowKey::of, |key, labels, columns| {
            while let Some((_, (labels, exemplars))) = exemplars.next_if(|(next, _)| next < key) {
                outputs.add_exemplars(&labels, &exemplars)?;
            }
            let own = exemplars.next_if(|(next, _)| next == key).map(|(_, (_, exemplars))| exemplars);
            outputs.add_series(labels, &columns.row(0), &own.unwrap_or_default())
        })?;
        for (_, (labels, exemplars)) in exemplars {
            outputs.add_exemplars(&labels, &exemplars)?;
        }
        for (metric, metadata) in &self.head.epoch_metadata(tenant, pinned) {
            outputs.add_metadata(metric, metadata)?;
        }
        outputs.finish(written)
    }

    /// Counts samples by window, and decides.
    fn cut(&self, tenant: &TenantId, pinned: &PinnedEpoch) -> Cut {
        let bounds = self.epoch.bounds(Some(tenant));
        let newest = bounds.end.min(self.now_ms);
        let longest_ms = self.longest_window_ms;
        let mut counts = WindowCounts::new();
        let window = |t| flush_window(t, newest, longest_ms);
        if !bounds.is_empty() && window(bounds.start) == window(bounds.end) {
            // The usual case: everything between the two is in that window too.
            let only = window(bounds.start);
            counts.insert((only.start, only.end), 1);
            return Cut::new(&counts, newest, longest_ms);
        }
        self.head.each_series(tenant, pinned, |_, columns| {
            count_windows(columns.row(0).timestamps, newest, longest_ms, &mut counts);
        });
        Cut::new(&counts, newest, longest_ms)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn too_many_windows_end_in_an_overlay() {
        let counts: BTreeMap<(i64, i64), u64> = (0..100)
            .map(|at| {
                let window = window_around(at * WINDOWS_MS[3], WINDOWS_MS[3]);
                ((window.start, window.end), if at == 50 { 9 } else { 1 })
            })
            .collect();
        let newest = 100 * WINDOWS_MS[3];
        let cut = Cut::new(&counts, newest, i64::MAX);
        assert_eq!(cut.own.len(), OUTPUTS_MAX - 1);
        let full = window_around(50 * WINDOWS_MS[3], WINDOWS_MS[3]);
        assert_eq!(cut.output(full), full);
        let last = window_around(99 * WINDOWS_MS[3], WINDOWS_MS[3]);
        assert_eq!(Some(cut.output(last)), cut.overlay);
    }

    #[test]
    fn runs_follow_windows() {
        let times = [-1, 0, 5, 7_200_000, 7_200_001];
        let found: Vec<_> =
            runs(&times, |t| window_around(t, WINDOWS_MS[0])).map(|(_, range)| range).collect();
        assert_eq!(found, [0..1, 1..3, 3..5]);
        assert_eq!(segment_file_number(&segment_file_name(77)), Some(77));
        assert_eq!(segment_file_number("77.seg"), None);
    }
}
