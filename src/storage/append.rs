//! Writing: a batch in, an outcome per sample out.

use std::ops::Range;
use std::sync::Arc;

use crate::model::{Exemplar, Histogram, Labels, Metadata, TenantId, TimeSpan, Timestamp};

use super::limit::SeriesRefusal;

/// What one request, scrape or rule evaluation writes. Flat: series hold ranges into shared entry lists.
#[derive(Clone, Debug, Default)]
pub struct Batch {
    /// The series, in the order of writing. The same labels may occur more than once.
    pub series: Vec<BatchSeries>,
    /// Canonical label bytes of all series, back to back. Each range must be canonical (see [`Labels`]).
    pub label_bytes: Vec<u8>,
    /// Float samples of all series.
    pub floats: Vec<FloatEntry>,
    /// Native histogram samples of all series.
    pub histograms: Vec<HistogramEntry>,
    /// Exemplars of all series.
    pub exemplars: Vec<ExemplarEntry>,
    /// Metadata of metric families.
    pub metadata: Vec<MetadataEntry>,
    /// How each series is told apart: empty where all of them are by their labels, else one for each series.
    pub identities: Vec<SeriesIdentity>,
    /// From which series on none is kept out by a limit on series: what the store's own work reports. `None`: no such.
    pub exempt_from: Option<usize>,
}

/// Hash of the bytes that a series' labels came as, under a key that senders do not know. 128 bits, as a series'
/// fingerprint has: two label sets with one hash do not occur.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct RawLabels(pub u128);

/// A store's own name for a series that it knows; means nothing to another store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SeriesHandle {
    /// Where the store keeps the series.
    pub place: u64,
    /// Until when the store promises to keep it there.
    pub generation: u64,
}

/// How a series of a batch is told apart.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum SeriesIdentity {
    /// By its labels.
    #[default]
    Labels,
    /// By its labels; the store may know it by this hash the next time.
    Raw(RawLabels),
    /// The store said that it knows the series ([`Append::known_series`]): it comes without labels.
    Known(SeriesHandle),
}

/// One series of a batch.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct BatchSeries {
    /// Its labels, in [`Batch::label_bytes`].
    pub labels: Range<usize>,
    /// Its floats, in [`Batch::floats`].
    pub floats: Range<usize>,
    /// Its histograms, in [`Batch::histograms`].
    pub histograms: Range<usize>,
    /// Its exemplars, in [`Batch::exemplars`].
    pub exemplars: Range<usize>,
}

/// One float sample.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct FloatEntry {
    /// When.
    pub timestamp: Timestamp,
    /// Start timestamp of a counter; 0 where it is not known.
    pub start_timestamp: Timestamp,
    /// Value, bit for bit.
    pub value: f64,
}

/// One native histogram sample.
#[derive(Clone, Debug, PartialEq)]
pub struct HistogramEntry {
    /// When.
    pub timestamp: Timestamp,
    /// Start timestamp; 0 where it is not known.
    pub start_timestamp: Timestamp,
    /// Value; the caller has validated it.
    pub histogram: Arc<Histogram>,
}

/// One exemplar.
pub type ExemplarEntry = Exemplar;

/// Metadata of one metric family.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MetadataEntry {
    /// Name of the family.
    pub metric: String,
    /// What it says of itself.
    pub metadata: Metadata,
}

impl Batch {
    /// Begins a series; what is pushed next belongs to it.
    pub fn begin_series(&mut self, labels: &Labels) {
        self.begin_series_bytes(labels.as_bytes());
    }

    /// Begins a series by its canonical label bytes, which the caller has checked.
    pub fn begin_series_bytes(&mut self, canonical: &[u8]) {
        let start = self.label_bytes.len();
        self.label_bytes.extend_from_slice(canonical);
        let (floats, histograms, exemplars) =
            (self.floats.len(), self.histograms.len(), self.exemplars.len());
        self.series.push(BatchSeries {
            labels: start..self.label_bytes.len(),
            floats: floats..floats,
            histograms: histograms..histograms,
            exemplars: exemplars..exemplars,
        });
    }

    /// Begins a series that the store knows without its labels.
    pub fn begin_known(&mut self, handle: SeriesHandle) {
        self.begin_series_bytes(&[]);
        self.identities.resize(self.series.len(), SeriesIdentity::Labels);
        *self.identities.last_mut().expect("a series was begun") = SeriesIdentity::Known(handle);
    }

    /// Adds a float to the series begun last.
    pub fn push_float(&mut self, timestamp: Timestamp, start_timestamp: Timestamp, value: f64) {
        self.floats.push(FloatEntry { timestamp, start_timestamp, value });
        self.current().floats.end += 1;
    }

    /// Adds a histogram to the series begun last.
    pub fn push_histogram(
        &mut self,
        timestamp: Timestamp,
        start_timestamp: Timestamp,
        histogram: Arc<Histogram>,
    ) {
        self.histograms.push(HistogramEntry { timestamp, start_timestamp, histogram });
        self.current().histograms.end += 1;
    }

    /// Adds an exemplar to the series begun last.
    pub fn push_exemplar(&mut self, exemplar: Exemplar) {
        self.exemplars.push(exemplar);
        self.current().exemplars.end += 1;
    }

    /// Adds a metric family's metadata.
    pub fn push_metadata(&mut self, metric: &str, metadata: Metadata) {
        self.metadata.push(MetadataEntry { metric: metric.to_owned(), metadata });
    }

    /// Canonical label bytes of a series; empty for one that is known without them.
    pub fn labels_of(&self, series: &BatchSeries) -> &[u8] {
        &self.label_bytes[series.labels.clone()]
    }

    /// Whether there is nothing to write.
    pub fn is_empty(&self) -> bool {
        self.floats.is_empty()
            && self.histograms.is_empty()
            && self.exemplars.is_empty()
            && self.metadata.is_empty()
    }

    /// Samples in all, floats and histograms.
    pub fn sample_count(&self) -> usize {
        self.floats.len() + self.histograms.len()
    }

    /// How a series is told apart.
    pub fn identity(&self, series: usize) -> SeriesIdentity {
        self.identities.get(series).copied().unwrap_or_default()
    }

    /// Whether a series is never kept out by a limit.
    pub fn is_exempt(&self, series: usize) -> bool {
        self.exempt_from.is_some_and(|from| series >= from)
    }

    fn current(&mut self) -> &mut BatchSeries {
        self.series.last_mut().expect("a series was begun before its samples")
    }
}

/// Which samples a caller wants accepted. The rules live here and nowhere else.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Acceptance {
    /// How far behind a series' newest sample another may be.
    pub out_of_order: OutOfOrder,
    /// What happens to a second sample at the same time.
    pub duplicate: DuplicatePolicy,
    /// Times that are accepted at all: retention at the start, too far ahead at the end; both ends included.
    pub span: TimeSpan,
}

impl Acceptance {
    /// Any order, last one wins, any time.
    pub const EVERYTHING: Self = Self {
        out_of_order: OutOfOrder::Unlimited,
        duplicate: DuplicatePolicy::LastWins,
        span: TimeSpan::ALL,
    };

    /// Only newer than the series' newest sample; the same sample twice is no error.
    pub const IN_ORDER: Self =
        Self { out_of_order: OutOfOrder::Window(0), duplicate: DuplicatePolicy::Reject, span: TimeSpan::ALL };

    /// Judges one sample. `newest`: time of the series' newest sample so far, and whether the candidate is
    /// bit-identical to what is stored at its own time (`None`: nothing is stored there).
    pub fn judge(
        &self,
        timestamp: Timestamp,
        newest: Option<Timestamp>,
        same_at_time: Option<bool>,
    ) -> Result<(), RejectReason> {
        if timestamp < self.span.start {
            return Err(RejectReason::TooOld);
        }
        if timestamp > self.span.end {
            return Err(RejectReason::TooFarAhead);
        }
        if self.duplicate == DuplicatePolicy::Reject && same_at_time == Some(false) {
            return Err(RejectReason::DuplicateTime);
        }
        match (self.out_of_order, newest) {
            (OutOfOrder::Window(window_ms), Some(newest))
                if timestamp < newest.saturating_sub(window_ms) && same_at_time != Some(true) =>
            {
                Err(RejectReason::OutOfOrder)
            }
            _ => Ok(()),
        }
    }
}

/// How far behind a series' newest sample another may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OutOfOrder {
    /// Any distance.
    Unlimited,
    /// At most so many milliseconds.
    Window(i64),
}

/// What happens to a second sample of a series at the same time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DuplicatePolicy {
    /// It replaces the first.
    LastWins,
    /// It is refused, unless it is the same bit for bit.
    Reject,
}

/// Why a sample was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, thiserror::Error)]
#[non_exhaustive]
pub enum RejectReason {
    /// Before the accepted span: older than retention.
    #[error("too old sample")]
    TooOld,
    /// After the accepted span.
    #[error("out of bounds")]
    TooFarAhead,
    /// Behind the out-of-order window.
    #[error("out of order sample")]
    OutOfOrder,
    /// Another value is stored at that time.
    #[error("duplicate sample for timestamp")]
    DuplicateTime,
    /// A limit on series is reached.
    #[error("series limit reached")]
    Limit,
}

/// Which list of a batch a rejection points into.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum SampleKind {
    /// [`Batch::floats`]
    Float,
    /// [`Batch::histograms`]
    Histogram,
    /// [`Batch::exemplars`]
    Exemplar,
}

/// One refused sample.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rejection {
    /// Which list.
    pub kind: SampleKind,
    /// Place in that list.
    pub index: usize,
    /// Place of its series in [`Batch::series`].
    pub series: usize,
    /// Why.
    pub reason: RejectReason,
}

/// What became of a batch. Samples that are not in `rejections` are stored, durable and visible.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Outcome {
    /// The refused ones.
    pub rejections: Vec<Rejection>,
    /// Floats stored.
    pub floats: usize,
    /// Histograms stored.
    pub histograms: usize,
    /// Exemplars stored.
    pub exemplars: usize,
    /// The limits that kept new series out, each with what it is full of. Their samples are among the rejections.
    pub refusals: Vec<SeriesRefusal>,
}

/// Why a batch as a whole was not stored. After an error nothing of it is visible.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum AppendError {
    /// The disk refused; the batch may become visible after a restart. Worth trying again.
    #[error("{0}")]
    Unavailable(String),
    /// Too much is waiting to be written. Worth trying again later.
    #[error("too many writes are waiting")]
    Busy,
    /// A series that came without labels has left the store since it was asked for. Worth trying again with labels.
    #[error("a series is no longer known without its labels")]
    Forgotten,
    /// The store is closed.
    #[error("storage is closed")]
    Closed,
}

/// A place that samples are written to.
pub trait Append: Send + Sync {
    /// Stores a batch and answers when it is durable and visible. Blocks; costs one group commit.
    fn append(
        &self,
        tenant: &TenantId,
        batch: Batch,
        acceptance: &Acceptance,
    ) -> Result<Outcome, AppendError>;

    /// The series that were written with these raw labels before ([`SeriesIdentity::Raw`]), in this order. Empty where
    /// the store keeps no such memory.
    fn known_series(&self, _tenant: &TenantId, _raw: &[RawLabels]) -> Vec<Option<SeriesHandle>> {
        Vec::new()
    }
}
