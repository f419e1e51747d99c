//! From an epoch of the head to segments.

use std::collections::BTreeMap;
use std::io::{self, BufWriter, Write};
use std::ops::Range;
use std::path::PathBuf;
use std::sync::Arc;

use crate::fs::{AppendFile, Fs};
use crate::head::{Epoch, Head, PinnedEpoch};
use crate::model::{Labels, TenantId, TimeSpan, Timestamp};
use crate::segment::{SegmentHeader, SegmentWriter};
use crate::storage::{Columns, ColumnsRow};

use super::StorageError;
use super::merge::copy_row;
use super::view::LiveSegment;
use super::windows::{WINDOWS_MS, flush_window, window_around};

/// Most segments that one flush makes for a tenant.
const OUTPUTS_MAX: usize = 64;
/// Bytes gathered before they are given to the file.
const WRITE_BUFFER_BYTES: usize = 1 << 20;

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

/// Gives what is written to a file that only grows.
struct FileWriter(Box<dyn AppendFile>);

impl Write for FileWriter {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.append(bytes)?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl SegmentFiles {
    pub(super) fn path(&self, number: u64) -> PathBuf {
        self.directory.join(segment_file_name(number))
    }

    /// Writes, syncs and opens a segment; its name is durable after [`Self::sync_names`].
    pub(super) fn write(&self, number: u64, writer: SegmentWriter) -> Result<Arc<LiveSegment>, StorageError> {
        let path = self.path(number);
        let temporary = path.with_extension("seg.tmp");
        let result = self.write_file(&temporary, writer).and_then(|()| {
            self.fs.rename(&temporary, &path).map_err(|error| StorageError::io("rename", &temporary, error))
        });
        if let Err(error) = result {
            // What stays is removed at the next start.
            let _ = self.fs.remove(&temporary);
            return Err(error);
        }
        LiveSegment::open(&self.fs, path.clone(), number).map_err(|error| StorageError::Corrupt {
            path,
            offset: 0,
            rule: error.to_string(),
        })
    }

    fn write_file(&self, path: &std::path::Path, writer: SegmentWriter) -> Result<(), StorageError> {
        let file = self.fs.create(path).map_err(|error| StorageError::io("create", path, error))?;
        let mut out = BufWriter::with_capacity(WRITE_BUFFER_BYTES, FileWriter(file));
        let io_error = |error| StorageError::io("write", path, error);
        writer.finish(&mut out).map_err(|error| io_error(io::Error::other(error.to_string())))?;
        let mut file = out.into_inner().map_err(|error| io_error(error.into_error()))?;
        file.0.sync_data().map_err(|error| StorageError::io("sync", path, error))
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
    overlay: Option<TimeSpan>,
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

    fn window(&self, t: Timestamp) -> TimeSpan {
        self.whole.unwrap_or_else(|| flush_window(t, self.newest, self.longest_ms))
    }

    /// The output that a window goes to: itself, or the overlay.
    fn output(&self, window: TimeSpan) -> TimeSpan {
        let is_own = self.own.get(&window.start).is_some_and(|own| *own == window);
        if is_own { window } else { self.overlay.expect("what has no window of its own is in the overlay") }
    }
}

/// Runs of samples within one window; each window has one run, since its samples are neighbours in time.
fn runs<'a>(
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

fn slice<'a>(row: &ColumnsRow<'a>, range: Range<usize>) -> ColumnsRow<'a> {
    let optional = |is_empty: bool| if is_empty { 0..0 } else { range.clone() };
    ColumnsRow {
        timestamps: &row.timestamps[range.clone()],
        values: &row.values[range.clone()],
        histograms: &row.histograms[optional(row.histograms.is_empty())],
        start_timestamps: &row.start_timestamps[optional(row.start_timestamps.is_empty())],
    }
}

/// Writers of one flush or merge, by the start and end of their windows.
pub(super) struct Outputs<'c> {
    cut: &'c Cut,
    /// What they have in common.
    header: SegmentHeader,
    writers: BTreeMap<(Timestamp, Timestamp), SegmentWriter>,
    overlay: Columns,
}

impl<'c> Outputs<'c> {
    pub(super) fn new(cut: &'c Cut, header: SegmentHeader) -> Self {
        Self { cut, header, writers: BTreeMap::new(), overlay: Columns::default() }
    }

    /// Adds a series, each part to its window.
    pub(super) fn add_series(&mut self, labels: &Labels, row: &ColumnsRow<'_>) {
        let mut overlay = std::mem::take(&mut self.overlay);
        overlay.clear();
        overlay.begin_row();
        let cut = self.cut;
        for (window, range) in runs(row.timestamps, |t| cut.window(t)) {
            let part = slice(row, range);
            if cut.output(window) == window {
                self.writer(window).add_series(labels, part);
            } else {
                copy_row(&part, &mut overlay);
            }
        }
        if overlay.sample_count() > 0 {
            let window = cut.overlay.expect("only a cut with an overlay puts samples there");
            self.writer(window).add_series(labels, overlay.row(0));
        }
        self.overlay = overlay;
    }

    /// The writer for what does not depend on windows: the newest one, or one for `window` where there is none.
    pub(super) fn newest_or(&mut self, window: TimeSpan) -> &mut SegmentWriter {
        let newest = self.writers.keys().next_back().map(|key| TimeSpan::new(key.0, key.1));
        self.writer(newest.unwrap_or(window))
    }

    pub(super) fn into_writers(self) -> Vec<SegmentWriter> {
        self.writers.into_values().collect()
    }

    fn writer(&mut self, window: TimeSpan) -> &mut SegmentWriter {
        let header = &self.header;
        self.writers
            .entry((window.start, window.end))
            .or_insert_with(|| SegmentWriter::new(SegmentHeader { window, ..header.clone() }))
    }
}

/// What a flush needs to know.
pub(super) struct FlushJob<'a> {
    pub(super) head: &'a Head,
    pub(super) epoch: &'a Arc<Epoch>,
    pub(super) now_ms: Timestamp,
    pub(super) longest_window_ms: i64,
}

impl FlushJob<'_> {
    /// Writers with everything that the epoch holds, for all tenants.
    pub(super) fn writers(&self) -> Vec<SegmentWriter> {
        let pinned = self.epoch.pin();
        let tenants = self.epoch.tenants();
        tenants.iter().flat_map(|tenant| self.tenant_writers(tenant, &pinned)).collect()
    }

    fn tenant_writers(&self, tenant: &TenantId, pinned: &PinnedEpoch) -> Vec<SegmentWriter> {
        let cut = self.cut(tenant, pinned);
        let (seq_min, seq_max) = self.epoch.seq_range().expect("a flush is of an epoch that holds something");
        let mut outputs = Outputs::new(
            &cut,
            SegmentHeader {
                tenant: tenant.clone(),
                window: window_around(self.now_ms, WINDOWS_MS[0]),
                resolution_ms: 0,
                retention_class: 0,
                seq_min,
                seq_max,
            },
        );
        self.head.each_series(tenant, pinned, |labels, columns| outputs.add_series(labels, &columns.row(0)));
        self.add_extras(tenant, pinned, &mut outputs);
        outputs.into_writers()
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

    /// Exemplars and metadata go to the newest window; what is asked of them does not depend on windows.
    fn add_extras(&self, tenant: &TenantId, pinned: &PinnedEpoch, outputs: &mut Outputs<'_>) {
        let exemplars = self.head.epoch_exemplars(tenant, pinned);
        let metadata = self.head.epoch_metadata(tenant, pinned);
        if exemplars.is_empty() && metadata.is_empty() {
            return;
        }
        let writer = outputs.newest_or(window_around(self.now_ms, WINDOWS_MS[0]));
        let exemplars: BTreeMap<Labels, _> = exemplars.into_iter().collect();
        exemplars.iter().for_each(|(labels, exemplars)| writer.add_exemplars(labels, exemplars));
        metadata.iter().for_each(|(metric, metadata)| writer.add_metadata(metric, metadata));
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
