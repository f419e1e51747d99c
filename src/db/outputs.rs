//! Segments that a flush or a merge writes, several at a time, as their series come: what is written is not kept.

use std::collections::BTreeMap;
use std::io::{self, Write};
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::fs::{AppendFile, Fs};
use crate::model::{Exemplar, Labels, Metadata, TimeSpan, Timestamp};
use crate::segment::{SegmentError, SegmentHeader, SegmentStream};
use crate::storage::{Columns, ColumnsRow};

use super::StorageError;
use super::flush::{Cut, SegmentFiles, runs};
use super::merge::copy_row;
use super::view::LiveSegment;

/// Bytes gathered before they are given to a file: as many files are open as there are outputs.
const WRITE_BUFFER_BYTES: usize = 128 << 10;

/// A series without samples here, that has exemplars.
const NO_SAMPLES: ColumnsRow<'static> =
    ColumnsRow { timestamps: &[], values: &[], histograms: &[], start_timestamps: &[] };

/// Gives what is written to a file that only grows. What is gathered when it is dropped is lost.
struct FileWriter {
    file: Box<dyn AppendFile>,
    gathered: Vec<u8>,
}

impl Write for FileWriter {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.gathered.len() + bytes.len() > WRITE_BUFFER_BYTES {
            self.flush()?;
        }
        if bytes.len() >= WRITE_BUFFER_BYTES {
            self.file.append(bytes)?;
        } else {
            self.gathered.extend_from_slice(bytes);
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        if !self.gathered.is_empty() {
            self.file.append(&self.gathered)?;
            self.gathered.clear();
        }
        Ok(())
    }
}

/// A file under a temporary name; it is removed unless it got its own.
struct Temporary<'a> {
    fs: &'a dyn Fs,
    path: PathBuf,
    is_renamed: bool,
}

impl Drop for Temporary<'_> {
    fn drop(&mut self) {
        if !self.is_renamed {
            // What stays is removed at the next start.
            let _ = self.fs.remove(&self.path);
        }
    }
}

/// A segment that is being written.
struct NewSegment<'a> {
    files: &'a SegmentFiles,
    number: u64,
    stream: SegmentStream<FileWriter>,
    temporary: Temporary<'a>,
}

impl<'a> NewSegment<'a> {
    fn begin(files: &'a SegmentFiles, number: u64, header: SegmentHeader) -> Result<Self, StorageError> {
        let path = files.path(number).with_extension("seg.tmp");
        let temporary = Temporary { fs: files.fs.as_ref(), path, is_renamed: false };
        let path = &temporary.path;
        let file = files.fs.create(path).map_err(|error| StorageError::io("create", path, error))?;
        let out = FileWriter { file, gathered: Vec::with_capacity(WRITE_BUFFER_BYTES) };
        let stream = SegmentStream::new(header, out).map_err(|error| write_error(path, error))?;
        Ok(Self { files, number, stream, temporary })
    }

    fn add_series(
        &mut self,
        labels: &Labels,
        row: ColumnsRow<'_>,
        exemplars: &[Exemplar],
    ) -> Result<(), StorageError> {
        let added = self.stream.add_series(labels, row, exemplars);
        added.map_err(|error| write_error(&self.temporary.path, error))
    }

    /// Writes what is left, syncs, names and opens the segment; its name is durable after
    /// [`SegmentFiles::sync_names`].
    fn finish(self) -> Result<Arc<LiveSegment>, StorageError> {
        let Self { files, number, stream, mut temporary } = self;
        let from = &temporary.path;
        let (_, mut out) = stream.finish().map_err(|error| write_error(from, error))?;
        out.flush().map_err(|error| StorageError::io("write", from, error))?;
        out.file.sync_data().map_err(|error| StorageError::io("sync", from, error))?;
        drop(out);
        let path = files.path(number);
        files.fs.rename(from, &path).map_err(|error| StorageError::io("rename", from, error))?;
        temporary.is_renamed = true;
        LiveSegment::open(&files.fs, path.clone(), number).map_err(|error| StorageError::Corrupt {
            path,
            offset: 0,
            rule: error.to_string(),
        })
    }
}

fn write_error(path: &Path, error: SegmentError) -> StorageError {
    let error = match error {
        SegmentError::Write(error) => error,
        other => io::Error::other(other.to_string()),
    };
    StorageError::io("write", path, error)
}

/// Whole segments that nothing refers to yet: they are removed unless they are taken.
#[derive(Default)]
pub(super) struct Written(Vec<Arc<LiveSegment>>);

impl Written {
    /// Makes their names durable.
    pub(super) fn take(mut self, files: &SegmentFiles) -> Result<Vec<Arc<LiveSegment>>, StorageError> {
        files.sync_names()?;
        Ok(std::mem::take(&mut self.0))
    }
}

impl Drop for Written {
    fn drop(&mut self) {
        self.0.iter().for_each(|segment| segment.supersede());
    }
}

/// Segments of one flush or merge that are being written, by the start and end of their windows. Memory is that of
/// their indexes and a buffer each; what is not finished leaves no file.
pub(super) struct Outputs<'a> {
    cut: &'a Cut,
    files: &'a SegmentFiles,
    /// A new segment's number.
    allocate: &'a mut dyn FnMut() -> u64,
    /// What they have in common.
    header: SegmentHeader,
    /// Window of what does not depend on windows, exemplars and metadata: the newest one.
    newest: TimeSpan,
    open: BTreeMap<(Timestamp, Timestamp), NewSegment<'a>>,
    overlay: Columns,
}

impl<'a> Outputs<'a> {
    /// `header` has the window that counts where there are no samples.
    pub(super) fn new(
        cut: &'a Cut,
        header: SegmentHeader,
        files: &'a SegmentFiles,
        allocate: &'a mut dyn FnMut() -> u64,
    ) -> Self {
        let newest = cut.newest_window().unwrap_or(header.window);
        Self { cut, files, allocate, header, newest, open: BTreeMap::new(), overlay: Columns::default() }
    }

    /// Adds a series, each part to its window, exemplars to the newest. Series come in the order of their
    /// [`crate::segment::RowKey`].
    pub(super) fn add_series(
        &mut self,
        labels: &Labels,
        row: &ColumnsRow<'_>,
        exemplars: &[Exemplar],
    ) -> Result<(), StorageError> {
        let mut overlay = std::mem::take(&mut self.overlay);
        overlay.clear();
        overlay.begin_row();
        let mut exemplars_left = exemplars;
        let cut = self.cut;
        for (window, range) in runs(row.timestamps, |t| cut.window(t)) {
            let part = slice(row, range);
            if cut.output(window) == window {
                self.put(window, labels, part, &mut exemplars_left)?;
            } else {
                copy_row(&part, &mut overlay);
            }
        }
        if overlay.sample_count() > 0 {
            let window = cut.overlay.expect("only a cut with an overlay puts samples there");
            self.put(window, labels, overlay.row(0), &mut exemplars_left)?;
        }
        self.overlay = overlay;
        if exemplars_left.is_empty() {
            return Ok(());
        }
        self.put(self.newest, labels, NO_SAMPLES, &mut exemplars_left)
    }

    /// Adds the exemplars of a series that has no samples.
    pub(super) fn add_exemplars(
        &mut self,
        labels: &Labels,
        exemplars: &[Exemplar],
    ) -> Result<(), StorageError> {
        self.add_series(labels, &NO_SAMPLES, exemplars)
    }

    /// Adds what a metric family says of itself.
    pub(super) fn add_metadata(&mut self, metric: &str, metadata: &Metadata) -> Result<(), StorageError> {
        self.segment(self.newest)?.stream.add_metadata(metric, metadata);
        Ok(())
    }

    /// Finishes all segments and adds them to `written`.
    pub(super) fn finish(self, written: &mut Written) -> Result<(), StorageError> {
        for segment in self.open.into_values() {
            written.0.push(segment.finish()?);
        }
        Ok(())
    }

    fn put(
        &mut self,
        window: TimeSpan,
        labels: &Labels,
        row: ColumnsRow<'_>,
        exemplars_left: &mut &[Exemplar],
    ) -> Result<(), StorageError> {
        let exemplars = if window == self.newest { std::mem::take(exemplars_left) } else { &[] };
        self.segment(window)?.add_series(labels, row, exemplars)
    }

    /// The segment of a window, a new one where there is none.
    fn segment(&mut self, window: TimeSpan) -> Result<&mut NewSegment<'a>, StorageError> {
        use std::collections::btree_map::Entry;
        Ok(match self.open.entry((window.start, window.end)) {
            Entry::Occupied(known) => known.into_mut(),
            Entry::Vacant(place) => {
                let header = SegmentHeader { window, ..self.header.clone() };
                place.insert(NewSegment::begin(self.files, (self.allocate)(), header)?)
            }
        })
    }
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::db::windows::{WINDOWS_MS, window_around};
    use crate::fs::FaultFs;
    use crate::model::TenantId;

    const SERIES: usize = 400;
    const SAMPLES: usize = 1_000;

    fn files(fs: &FaultFs) -> SegmentFiles {
        let directory = PathBuf::from("/segments");
        fs.create_dir_all(&directory).expect("no fault is due");
        SegmentFiles { fs: Arc::new(fs.clone()), directory }
    }

    fn header(window: TimeSpan) -> SegmentHeader {
        let tenant = TenantId::default();
        SegmentHeader { tenant, window, resolution_ms: 0, retention_class: 0, seq_min: 1, seq_max: 2 }
    }

    fn bytes_stored(fs: &FaultFs) -> u64 {
        let directory = Path::new("/segments");
        let names = fs.list(directory).expect("no fault is due");
        names.iter().map(|name| fs.len(&directory.join(name)).expect("it is there")).sum()
    }

    fn labels(number: usize) -> Labels {
        Labels::from_pairs([("__name__", "m"), ("s", &format!("{number:04}"))])
    }

    /// Samples that do not compress, in two windows, half in each; at least six bytes for each sample.
    fn random_columns(state: &mut u64, first: Timestamp, distance: Timestamp) -> Columns {
        let mut columns = Columns::default();
        columns.begin_row();
        for at in 0..SAMPLES {
            *state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            let high = f64::from_bits((0x3ff << 52) | (*state >> 12));
            let late = if at < SAMPLES / 2 { 0 } else { distance };
            columns.push_float(first + late + at as i64 * 1_000, 0, high);
        }
        columns
    }

    #[test]
    fn what_is_added_is_in_the_files_but_for_a_buffer_each() {
        let fs = FaultFs::default();
        let files = files(&fs);
        let windows = [0, 10].map(|number| window_around(number * WINDOWS_MS[0], WINDOWS_MS[0]));
        let counts = windows.iter().map(|window| ((window.start, window.end), 1)).collect();
        let newest = windows[1].end;
        let cut = Cut::new(&counts, newest, WINDOWS_MS[0]);
        let mut number = 0;
        let mut allocate = || {
            number += 1;
            number
        };
        let mut outputs = Outputs::new(&cut, header(windows[1]), &files, &mut allocate);
        let (mut state, mut behind_max) = (7, 0);
        for series in 0..SERIES {
            let columns = random_columns(&mut state, windows[0].start, 10 * WINDOWS_MS[0]);
            outputs.add_series(&labels(series), &columns.row(0), &[]).expect("no fault is due");
            let told = ((series + 1) * SAMPLES * 6) as u64;
            behind_max = behind_max.max(told.saturating_sub(bytes_stored(&fs)));
        }
        assert_eq!(outputs.open.len(), 2);
        assert!(behind_max <= 2 * (WRITE_BUFFER_BYTES as u64 + 64 * 1024), "{behind_max} bytes are held");
        let mut written = Written::default();
        outputs.finish(&mut written).expect("no fault is due");
        let segments = written.take(&files).expect("no fault is due");
        assert!(segments.iter().map(|segment| segment.bytes).sum::<u64>() > 8 * behind_max);
        for segment in &segments {
            let meta = segment.meta();
            assert_eq!((meta.series, meta.samples), (SERIES as u64, (SERIES * SAMPLES / 2) as u64));
        }
        assert_eq!(fs.list(&files.directory).expect("no fault is due").len(), 2, "no temporary file is left");
    }

    #[test]
    fn what_is_not_finished_or_not_taken_leaves_no_file() {
        let fs = FaultFs::default();
        let files = files(&fs);
        let window = window_around(0, WINDOWS_MS[0]);
        let cut = Cut::whole(window);
        let columns = random_columns(&mut 7, window.start, 0);
        for is_finished in [false, true] {
            let mut allocate = || 1;
            let mut outputs = Outputs::new(&cut, header(window), &files, &mut allocate);
            outputs.add_series(&labels(1), &columns.row(0), &[]).expect("no fault is due");
            assert_eq!(fs.list(&files.directory).expect("no fault is due"), ["0000000000000001.seg.tmp"]);
            if is_finished {
                let mut written = Written::default();
                outputs.finish(&mut written).expect("no fault is due");
                assert_eq!(
                    fs.list(&files.directory).expect("no fault is due"),
                    ["0000000000000001.seg"],
                    "it has its name"
                );
            } else {
                let error = outputs.add_series(&labels(0), &columns.row(0), &[]).expect_err("out of order");
                assert!(error.to_string().contains("0000000000000001.seg.tmp"), "{error}");
                drop(outputs);
            }
            assert!(fs.list(&files.directory).expect("no fault is due").is_empty());
        }
    }
}
