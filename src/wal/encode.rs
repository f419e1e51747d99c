//! From a batch to records, on the request's thread.

use std::ops::Range;

use crate::encoding::{ByteWriter, checksum, zigzag};
use crate::model::{Fingerprint, TenantId, Timestamp};
use crate::storage::{Batch, BatchSeries, SampleKind};

use super::payload;
use super::record::{RECORD_HEADER_BYTES, RecordKind};
use super::rejected::RejectedSet;

/// A series as the log knows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SeriesUse {
    /// Its number; never given to another series while the process lives.
    pub reference: u64,
    /// Its identity.
    pub fingerprint: Fingerprint,
}

/// A batch's records, complete but for what the committer decides: sequence number and place.
#[derive(Clone, Debug, Default)]
pub struct EncodedBatch {
    pub(super) bytes: Vec<u8>,
    pub(super) records: Vec<EncodedRecord>,
}

/// One record of an [`EncodedBatch`].
#[derive(Clone, Debug)]
pub(super) struct EncodedRecord {
    pub(super) kind: RecordKind,
    /// Its payload in `bytes`; room for the header stands before it.
    pub(super) payload: Range<usize>,
    pub(super) checksum: u32,
}

impl EncodedBatch {
    /// Bytes that it will take in the log, without series definitions.
    pub fn len(&self) -> usize {
        self.bytes.len()
    }

    /// Whether there is nothing to write.
    pub fn is_empty(&self) -> bool {
        self.records.is_empty()
    }
}

/// Encodes the accepted entries of one batch.
#[derive(Debug)]
pub struct BatchEncoder<'a> {
    batch: &'a Batch,
    series: &'a [SeriesUse],
    rejected: &'a RejectedSet,
}

impl<'a> BatchEncoder<'a> {
    /// `series`: one for each series of the batch. `rejected`: what is left out.
    pub fn new(batch: &'a Batch, series: &'a [SeriesUse], rejected: &'a RejectedSet) -> Self {
        assert_eq!(batch.series.len(), series.len(), "every series of the batch has a number");
        Self { batch, series, rejected }
    }

    /// The batch's records; none where nothing is accepted.
    pub fn encode(&self, tenant: &TenantId) -> EncodedBatch {
        let batch = self.batch;
        let mut out = Output::default();
        // A float takes 16 bytes in the usual case; growing a large buffer step by step would copy it several times.
        out.bytes.reserve(64 + tenant.as_str().len() + batch.series.len() * 8 + batch.floats.len() * 12);
        if !batch.floats.is_empty() {
            let has_starts = batch.floats.iter().any(|entry| entry.start_timestamp != 0);
            out.begin(RecordKind::Floats, tenant);
            out.bytes.put_u8(has_starts.into());
            let mut times = Times { has_starts, ..Times::default() };
            self.each_series(
                SampleKind::Float,
                |s| s.floats.clone(),
                &mut out,
                |out, index| {
                    let entry = &batch.floats[index];
                    times.put(out, entry.timestamp, entry.start_timestamp);
                    out.put_f64(entry.value);
                },
            );
        }
        if !batch.histograms.is_empty() {
            let has_starts = batch.histograms.iter().any(|entry| entry.start_timestamp != 0);
            out.begin(RecordKind::Histograms, tenant);
            out.bytes.put_u8(has_starts.into());
            let mut times = Times { has_starts, ..Times::default() };
            self.each_series(
                SampleKind::Histogram,
                |s| s.histograms.clone(),
                &mut out,
                |out, index| {
                    let entry = &batch.histograms[index];
                    times.put(out, entry.timestamp, entry.start_timestamp);
                    payload::put_histogram(out, &entry.histogram);
                },
            );
        }
        if !batch.exemplars.is_empty() {
            out.begin(RecordKind::Exemplars, tenant);
            self.each_series(
                SampleKind::Exemplar,
                |s| s.exemplars.clone(),
                &mut out,
                |out, index| {
                    payload::put_exemplar(out, &batch.exemplars[index]);
                },
            );
        }
        if !batch.metadata.is_empty() {
            out.begin(RecordKind::Metadata, tenant);
            for entry in &batch.metadata {
                payload::put_metadata(&mut out.bytes, &entry.metric, &entry.metadata);
            }
            out.end();
        }
        out.finish()
    }

    /// Writes each series' number, check and accepted entries of one kind, and ends the record.
    fn each_series(
        &self,
        kind: SampleKind,
        range: impl Fn(&BatchSeries) -> Range<usize>,
        out: &mut Output,
        mut entry: impl FnMut(&mut ByteWriter, usize),
    ) {
        let mut reference_last = 0_u64;
        let mut written = false;
        for (series, used) in self.batch.series.iter().zip(self.series) {
            let indexes = range(series);
            let count = indexes.len() - self.rejected.count_within(kind, &indexes);
            if count == 0 {
                continue;
            }
            written = true;
            put_series_use(&mut out.bytes, used, reference_last);
            reference_last = used.reference;
            out.bytes.put_varint(count as u64);
            let whole = count == indexes.len();
            for index in indexes {
                if whole || !self.rejected.contains(kind, index) {
                    entry(&mut out.bytes, index);
                }
            }
        }
        if written { out.end() } else { out.cancel() }
    }
}

/// A series' number as the difference to the one before, and 32 bits of its fingerprint.
fn put_series_use(out: &mut ByteWriter, used: &SeriesUse, reference_last: u64) {
    out.put_varint(zigzag(used.reference.wrapping_sub(reference_last).cast_signed()));
    out.put_u32(series_check(used.fingerprint));
}

/// The part of a fingerprint that records carry, so that a wrong number is noticed.
pub(super) fn series_check(fingerprint: Fingerprint) -> u32 {
    (fingerprint.0 & u128::from(u32::MAX)) as u32
}

/// Times of a record's samples as differences to the sample before.
#[derive(Default)]
struct Times {
    has_starts: bool,
    timestamp_last: Timestamp,
    start_last: Timestamp,
}

impl Times {
    fn put(&mut self, out: &mut ByteWriter, timestamp: Timestamp, start_timestamp: Timestamp) {
        out.put_signed(timestamp.wrapping_sub(self.timestamp_last));
        self.timestamp_last = timestamp;
        if self.has_starts {
            out.put_signed(start_timestamp.wrapping_sub(self.start_last));
            self.start_last = start_timestamp;
        }
    }
}

/// Records under construction.
#[derive(Default)]
struct Output {
    bytes: ByteWriter,
    records: Vec<EncodedRecord>,
    /// Kind, start of the header's room and start of the payload of the record begun last.
    open: Option<(RecordKind, usize)>,
}

impl Output {
    fn begin(&mut self, kind: RecordKind, tenant: &TenantId) {
        assert!(self.open.is_none(), "the record before was ended");
        self.bytes.put(&[0; RECORD_HEADER_BYTES]);
        self.open = Some((kind, self.bytes.len()));
        self.bytes.put_sized(tenant.as_str().as_bytes());
    }

    fn end(&mut self) {
        let (kind, start) = self.open.take().expect("a record was begun");
        let payload = start..self.bytes.len();
        let checksum = checksum(&self.bytes.as_slice()[payload.clone()]);
        self.records.push(EncodedRecord { kind, payload, checksum });
    }

    /// Leaves the record begun last as a gap that is never written.
    fn cancel(&mut self) {
        self.open = None;
    }

    fn finish(self) -> EncodedBatch {
        assert!(self.open.is_none(), "the last record was ended");
        EncodedBatch { bytes: self.bytes.into_bytes(), records: self.records }
    }
}

/// A record that defines series: number, then canonical labels, for each.
pub(super) fn series_record(
    tenant: &TenantId,
    series: impl Iterator<Item = (u64, impl AsRef<[u8]>)>,
) -> EncodedBatch {
    let mut out = Output::default();
    let mut reference_last = 0_u64;
    out.begin(RecordKind::Series, tenant);
    for (reference, labels) in series {
        out.bytes.put_varint(zigzag(reference.wrapping_sub(reference_last).cast_signed()));
        reference_last = reference;
        out.bytes.put_sized(labels.as_ref());
    }
    out.end();
    out.finish()
}
