//! Deletions: predicates that hide samples at once, until compaction has left them out.
//!
//! A deletion hides what was written before it: it counts for the segments whose highest sequence number is below its
//! own. No segment holds samples from before and after a deletion that it touches: the head is put into segments before
//! a deletion is taken, and a merge leaves out what is hidden in its inputs.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use roaring::RoaringBitmap;

use crate::encoding::{ByteReader, ByteWriter, DecodeError};
use crate::lock::lock;
use crate::model::{Exemplar, MatchOp, Matcher, TenantId, TimeSpan, Timestamp};
use crate::segment::{SegmentError, SegmentReader};
use crate::storage::{Columns, Piece};

use super::merge::copy_samples;
use super::view::LiveSegment;

/// Samples of the series that pass all matchers, within a span, written before a sequence number.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Deletion {
    pub(super) seq: u64,
    pub(super) tenant: TenantId,
    pub(super) span: TimeSpan,
    pub(super) matchers: Vec<Matcher>,
}

/// Operators by their number in the manifest.
const OPERATORS: [MatchOp; 4] = [MatchOp::Equal, MatchOp::NotEqual, MatchOp::Regex, MatchOp::NotRegex];

impl Deletion {
    pub(super) fn put(&self, out: &mut ByteWriter) {
        out.put_varint(self.seq);
        out.put_sized(self.tenant.as_str().as_bytes());
        out.put_signed(self.span.start);
        out.put_signed(self.span.end);
        out.put_varint(self.matchers.len() as u64);
        for matcher in &self.matchers {
            let number = OPERATORS.iter().position(|op| *op == matcher.op).expect("all operators are listed");
            out.put_u8(u8::try_from(number).expect("operators are few"));
            out.put_sized(matcher.name.as_bytes());
            out.put_sized(matcher.value.as_bytes());
        }
    }

    pub(super) fn read(reader: &mut ByteReader<'_>) -> Result<Self, DecodeError> {
        let seq = reader.varint()?;
        let tenant = TenantId::new(reader.text()?);
        let span = TimeSpan::new(reader.signed()?, reader.signed()?);
        let mut matchers = Vec::new();
        for _ in 0..reader.count(3)? {
            let wrong = reader.error("matcher of a deletion is not readable");
            let op = *OPERATORS.get(usize::from(reader.u8()?)).ok_or(wrong)?;
            let (name, value) = (reader.text()?, reader.text()?);
            matchers.push(Matcher::new(name, op, value).map_err(|_| wrong)?);
        }
        Ok(Self { seq, tenant, span, matchers })
    }

    fn counts_for(&self, segment: &LiveSegment) -> bool {
        let meta = segment.meta();
        meta.seq_max < self.seq && meta.tenant == self.tenant
    }

    /// Rows of a segment that have something inside.
    fn rows(&self, reader: &SegmentReader) -> Result<RoaringBitmap, SegmentError> {
        let with_exemplars = reader.exemplar_rows()?;
        let covers_all = self.span.intersect(reader.meta().span) == reader.meta().span;
        let mut rows = RoaringBitmap::new();
        let mut columns = Columns::default();
        for row in reader.select(&self.matchers)? {
            let mut is_touched = covers_all && reader.sample_count(row, TimeSpan::ALL)? > 0;
            if !is_touched && self.span.overlaps(reader.meta().span) {
                columns.clear();
                columns.begin_row();
                reader.read(row, self.span, &mut columns)?;
                is_touched = columns.sample_count() > 0;
            }
            if !is_touched && with_exemplars.binary_search(&row).is_ok() {
                is_touched = !reader.exemplars(row, self.span)?.is_empty();
            }
            if is_touched {
                rows.insert(row);
            }
        }
        Ok(rows)
    }
}

/// All deletions that count, in the order of their sequence numbers.
#[derive(Debug, Default)]
pub(super) struct Deletions {
    list: Vec<Arc<Deletion>>,
}

impl Deletions {
    pub(super) fn new(mut list: Vec<Arc<Deletion>>) -> Self {
        list.sort_by_key(|deletion| deletion.seq);
        Self { list }
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &Arc<Deletion>> {
        self.list.iter()
    }

    pub(super) fn len(&self) -> usize {
        self.list.len()
    }

    /// What they hide of a segment; evaluated at the first call for each of the two.
    pub(super) fn masked(&self, segment: &Arc<LiveSegment>) -> Result<Masked, SegmentError> {
        segment.check_whole()?;
        let mut hidden = Hidden::default();
        if self.list.iter().any(|deletion| deletion.counts_for(segment)) {
            let mut known = lock(&segment.touched.0);
            for deletion in self.list.iter().filter(|deletion| deletion.counts_for(segment)) {
                let rows = match known.get(&deletion.seq) {
                    Some(rows) => Arc::clone(rows),
                    None => {
                        let rows = Arc::new(deletion.rows(&segment.reader)?);
                        known.insert(deletion.seq, Arc::clone(&rows));
                        rows
                    }
                };
                if !rows.is_empty() {
                    hidden.parts.push(HiddenPart { by: deletion.seq, span: deletion.span, rows });
                }
            }
            // What no longer counts need not be remembered.
            if known.len() > 2 * self.list.len() + 16 {
                known.retain(|seq, _| self.list.binary_search_by_key(seq, |deletion| deletion.seq).is_ok());
            }
        }
        Ok(Masked { segment: Arc::clone(segment), hidden })
    }
}

/// Rows of a segment that deletions touch, by the deletions' sequence numbers.
#[derive(Debug, Default)]
pub(super) struct TouchedRows(Mutex<BTreeMap<u64, Arc<RoaringBitmap>>>);

/// Spans that are hidden, each with the rows where they are.
#[derive(Clone, Debug, Default)]
struct Hidden {
    parts: Vec<HiddenPart>,
}

/// What one deletion hides.
#[derive(Clone, Debug)]
struct HiddenPart {
    /// Its sequence number.
    by: u64,
    span: TimeSpan,
    rows: Arc<RoaringBitmap>,
}

/// A segment without what deletions hide.
#[derive(Clone, Debug)]
pub(super) struct Masked {
    pub(super) segment: Arc<LiveSegment>,
    hidden: Hidden,
}

impl Masked {
    pub(super) fn reader(&self) -> &SegmentReader {
        &self.segment.reader
    }

    /// Whether nothing is hidden.
    pub(super) fn is_whole(&self) -> bool {
        self.hidden.parts.is_empty()
    }

    /// Sequence numbers of the deletions that hide something.
    pub(super) fn touching(&self) -> impl Iterator<Item = u64> {
        self.hidden.parts.iter().map(|part| part.by)
    }

    /// Whether what was read so far came from the file; asked once a piece of work is done.
    pub(super) fn check(&self) -> Result<(), SegmentError> {
        self.segment.check()
    }

    /// What is hidden of a row; spans may overlap.
    fn spans(&self, row: u32) -> Vec<TimeSpan> {
        let parts = self.hidden.parts.iter().filter(|part| part.rows.contains(row));
        parts.map(|part| part.span).collect()
    }

    /// Appends the row's samples within `span` to the row that was begun last in `out`.
    pub(super) fn read(&self, row: u32, span: TimeSpan, out: &mut Columns) -> Result<(), SegmentError> {
        let hidden = self.spans(row);
        if hidden.is_empty() {
            return self.reader().read(row, span, out);
        }
        let mut all = Columns::default();
        all.begin_row();
        self.reader().read(row, span, &mut all)?;
        copy_samples(&all.row(0), out, |t| !is_inside(&hidden, t));
        Ok(())
    }

    /// How many samples the row has within `span`; an upper bound, but 0 where all are hidden.
    pub(super) fn sample_count(&self, row: u32, span: TimeSpan) -> Result<u64, SegmentError> {
        if self.spans(row).is_empty() {
            return self.reader().sample_count(row, span);
        }
        Ok(self.pieces(row, span)?.iter().map(|piece| piece.count).sum())
    }

    /// As [`SegmentReader::pieces`]; a piece that deletions touch has no statistics and is not `sole`.
    pub(super) fn pieces(&self, row: u32, span: TimeSpan) -> Result<Vec<Piece>, SegmentError> {
        let pieces = self.reader().pieces(row, span)?;
        let hidden = self.spans(row);
        if hidden.is_empty() {
            return Ok(pieces);
        }
        let mut left = Vec::new();
        let mut columns = Columns::default();
        for piece in pieces {
            if !hidden.iter().any(|hidden| hidden.overlaps(piece.span)) {
                left.push(piece);
                continue;
            }
            columns.clear();
            columns.begin_row();
            self.reader().read(row, piece.span, &mut columns)?;
            let times: Vec<Timestamp> =
                columns.row(0).timestamps.iter().copied().filter(|t| !is_inside(&hidden, *t)).collect();
            if let (Some(first), Some(last)) = (times.first(), times.last()) {
                let span = TimeSpan::new(*first, *last);
                left.push(Piece { span, count: times.len() as u64, statistics: None, sole: false });
            }
        }
        left.retain(|piece| piece.span.overlaps(span));
        Ok(left)
    }

    /// Exemplars of a row within `span`.
    pub(super) fn exemplars(&self, row: u32, span: TimeSpan) -> Result<Vec<Exemplar>, SegmentError> {
        let mut exemplars = self.reader().exemplars(row, span)?;
        let hidden = self.spans(row);
        exemplars.retain(|exemplar| !is_inside(&hidden, exemplar.timestamp));
        Ok(exemplars)
    }

    /// Rows that pass one whole set of matchers (none at all: every row), rising, without those of which everything
    /// within `span` is hidden. `None` where every row of the segment counts.
    pub(super) fn passing_rows(
        &self,
        matcher_sets: &[Vec<Matcher>],
        span: TimeSpan,
    ) -> Result<Option<Vec<u32>>, SegmentError> {
        if matcher_sets.is_empty() && self.is_whole() {
            return Ok(None);
        }
        let mut rows = RoaringBitmap::new();
        match matcher_sets {
            [] => {
                rows.insert_range(0..self.reader().row_count());
            }
            sets => {
                for matchers in sets {
                    rows.extend(self.reader().select(matchers)?);
                }
            }
        }
        let mut left = Vec::new();
        for row in rows {
            if self.spans(row).is_empty() || self.sample_count(row, span)? > 0 {
                left.push(row);
            }
        }
        Ok(Some(left))
    }
}

fn is_inside(spans: &[TimeSpan], t: Timestamp) -> bool {
    spans.iter().any(|span| span.contains(t))
}
