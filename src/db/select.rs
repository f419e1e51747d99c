//! Reading: head and segments as one.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::ops::Range;
use std::sync::Arc;

use foldhash::fast::RandomState;

use crate::head::{HeadReader, HeadRow};
use crate::model::{Exemplar, Fingerprint, Labels, Matcher, Metadata, TenantId, TimeSpan, Timestamp};
use crate::segment::SegmentError;
use crate::storage::{
    Columns, LabelPair, LabelsNeeded, LabelsRequest, Piece, ReadRows, Select, SelectError, SelectRequest,
    Selection, SeriesExemplars, Symbol, SymbolTable,
};

use super::Database;
use super::deletion::Masked;
use super::merge::merge_rows;
use super::view::{LiveSegment, View};

impl From<SegmentError> for SelectError {
    fn from(error: SegmentError) -> Self {
        Self::Storage(error.to_string())
    }
}

/// Where samples of a row lie. Ordered as their samples win: segments by sequence number, then the head.
#[derive(Clone, Debug)]
enum Place {
    Segment { segment: u32, row: u32 },
    Head(HeadRow),
}

/// A series found in one place.
struct Found {
    fingerprint: Fingerprint,
    /// Samples within the span, as an upper bound.
    samples: u64,
    place: Place,
}

/// Translates a segment's symbols to a query's, each once.
struct Translator<'a> {
    segment: &'a LiveSegment,
    known: HashMap<u32, Symbol, RandomState>,
    pairs: Vec<(u32, u32)>,
}

impl<'a> Translator<'a> {
    fn new(segment: &'a LiveSegment) -> Self {
        Self { segment, known: HashMap::default(), pairs: Vec::new() }
    }

    fn symbol(&mut self, number: u32, symbols: &mut SymbolTable) -> Result<Symbol, SegmentError> {
        if let Some(symbol) = self.known.get(&number) {
            return Ok(*symbol);
        }
        let symbol = symbols.intern(self.segment.reader.symbol(number)?);
        self.known.insert(number, symbol);
        Ok(symbol)
    }

    fn push_labels(
        &mut self,
        row: u32,
        needed: &NeededNames,
        symbols: &mut SymbolTable,
        out: &mut Vec<LabelPair>,
    ) -> Result<(), SegmentError> {
        self.pairs.clear();
        if !needed.is_nothing() {
            self.segment.reader.label_symbols(row, &mut self.pairs)?;
        }
        for at in 0..self.pairs.len() {
            let (name, value) = self.pairs[at];
            let name = self.symbol(name, symbols)?;
            if needed.contains(name) {
                out.push(LabelPair { name, value: self.symbol(value, symbols)? });
            }
        }
        Ok(())
    }
}

/// [`LabelsNeeded`] by symbol.
enum NeededNames {
    All,
    Only(HashSet<Symbol, RandomState>),
}

impl NeededNames {
    fn new(needed: &LabelsNeeded, symbols: &mut SymbolTable) -> Self {
        match needed {
            LabelsNeeded::All => Self::All,
            LabelsNeeded::Only(names) => Self::Only(names.iter().map(|name| symbols.intern(name)).collect()),
            LabelsNeeded::None => Self::Only(HashSet::default()),
        }
    }

    fn is_nothing(&self) -> bool {
        matches!(self, Self::Only(names) if names.is_empty())
    }

    fn contains(&self, name: Symbol) -> bool {
        match self {
            Self::All => true,
            Self::Only(names) => names.contains(&name),
        }
    }
}

/// Rows of one selection, with the segments and epochs that hold them.
struct Rows {
    segments: Vec<Masked>,
    head: HeadReader,
    places: Vec<Place>,
    /// Where each row's places end.
    ends: Vec<usize>,
    span: TimeSpan,
}

impl Rows {
    fn places(&self, row: usize) -> &[Place] {
        let start = if row == 0 { 0 } else { self.ends[row - 1] };
        &self.places[start..self.ends[row]]
    }

    /// Whether what was read came from the segments' files.
    fn check(&self) -> Result<(), SelectError> {
        Ok(self.segments.iter().try_for_each(Masked::check)?)
    }

    /// How many rows of columns [`Self::read_parts`] fills.
    fn part_count(&self, places: &[Place]) -> usize {
        let parts = |place: &Place| match place {
            Place::Segment { .. } => 1,
            Place::Head(_) => self.head.epochs(),
        };
        places.iter().map(parts).sum()
    }

    /// Calls `begin` before each part and appends its samples to `out`, in the order in which later ones win.
    fn read_parts(
        &self,
        places: &[Place],
        out: &mut Columns,
        begin: impl Fn(&mut Columns),
    ) -> Result<(), SelectError> {
        for place in places {
            match place {
                Place::Segment { segment, row } => {
                    begin(out);
                    self.segments[*segment as usize].read(*row, self.span, out)?;
                }
                Place::Head(row) => {
                    for epoch in 0..self.head.epochs() {
                        begin(out);
                        self.head.read(row, epoch, self.span, out);
                    }
                }
            }
        }
        Ok(())
    }
}

impl ReadRows for Rows {
    fn read(&self, rows: Range<usize>, out: &mut Columns) -> Result<(), SelectError> {
        if self.span.is_empty() {
            rows.for_each(|_| out.begin_row());
            return Ok(());
        }
        let mut parts = Columns::default();
        for row in rows {
            let places = self.places(row);
            out.begin_row();
            if self.part_count(places) == 1 {
                self.read_parts(places, out, |_| {})?;
                continue;
            }
            parts.clear();
            self.read_parts(places, &mut parts, Columns::begin_row)?;
            merge_rows(&parts, out);
        }
        self.check()
    }

    fn pieces(&self, row: usize) -> Result<Vec<Piece>, SelectError> {
        let mut pieces: Vec<(usize, Piece)> = Vec::new();
        for (number, place) in self.places(row).iter().enumerate() {
            match place {
                Place::Segment { segment, row } => {
                    let found = self.segments[*segment as usize].pieces(*row, self.span)?;
                    pieces.extend(found.into_iter().map(|piece| (number, piece)));
                }
                Place::Head(row) => pieces.extend(self.head_piece(row).map(|piece| (number, piece))),
            }
        }
        pieces.sort_by_key(|(_, piece)| piece.span.start);
        let spans: Vec<(usize, TimeSpan)> =
            pieces.iter().map(|(place, piece)| (*place, piece.span)).collect();
        self.check()?;
        let is_alone = |own: usize, span: TimeSpan| {
            !spans.iter().any(|(place, other)| *place != own && other.overlaps(span))
        };
        Ok(pieces
            .into_iter()
            .map(|(place, piece)| Piece { sole: piece.sole && is_alone(place, piece.span), ..piece })
            .collect())
    }
}

impl Rows {
    /// What the head holds of a row, as one piece.
    fn head_piece(&self, row: &HeadRow) -> Option<Piece> {
        let mut parts = Columns::default();
        for epoch in 0..self.head.epochs() {
            parts.begin_row();
            self.head.read(row, epoch, self.span, &mut parts);
        }
        let mut merged = Columns::default();
        merged.begin_row();
        merge_rows(&parts, &mut merged);
        let times = merged.row(0).timestamps;
        let span = TimeSpan::new(*times.first()?, *times.last()?);
        Some(Piece { span, count: times.len() as u64, statistics: None, sole: true })
    }
}

impl Database {
    fn check_open(&self) -> Result<(), SelectError> {
        if self.is_closed() { Err(SelectError::Closed) } else { Ok(()) }
    }
}

impl Select for Database {
    fn select(
        &self,
        tenant: &TenantId,
        request: &SelectRequest<'_>,
        symbols: &mut SymbolTable,
    ) -> Result<Selection, SelectError> {
        self.check_open()?;
        let view = self.view();
        let segments = segments_within(&view, tenant, request.span)?;
        let head = HeadReader::new(&view.pin_epochs(), tenant);
        let head_rows = self.head.select(tenant, request, &head, symbols);
        let mut found = find_in_segments(&segments, request)?;
        found.extend(head_rows.rows.into_iter().map(|row| Found {
            fingerprint: row.fingerprint,
            samples: row.samples,
            place: Place::Head(row),
        }));
        // Stable: places of one series stay in the order in which later ones win.
        found.sort_by_key(|found| found.fingerprint);

        let mut rows = Rows {
            segments: segments.clone(),
            head,
            places: Vec::new(),
            ends: Vec::new(),
            span: request.span,
        };
        let needed = NeededNames::new(&request.labels_needed, symbols);
        let mut translators: Vec<Translator<'_>> =
            segments.iter().map(|masked| Translator::new(&masked.segment)).collect();
        let limit = if request.limit == 0 { usize::MAX } else { request.limit };
        let (mut pairs, mut ends) = (Vec::new(), Vec::new());
        let mut samples = 0;
        for series in found.chunk_by(|a, b| a.fingerprint == b.fingerprint).take(limit) {
            match &series[0].place {
                Place::Segment { segment, row } => {
                    translators[*segment as usize].push_labels(*row, &needed, symbols, &mut pairs)?;
                }
                Place::Head(row) => pairs.extend_from_slice(&head_rows.pairs[row.pairs.clone()]),
            }
            ends.push((series[0].fingerprint, pairs.len()));
            samples += series.iter().map(|found| found.samples).sum::<u64>();
            rows.places.extend(series.iter().map(|found| found.place.clone()));
            rows.ends.push(rows.places.len());
        }
        drop(translators);
        rows.check()?;
        let mut selection = Selection::new(Box::new(rows));
        let mut start = 0;
        for (fingerprint, end) in ends {
            selection.push_row(fingerprint, pairs[start..end].iter().copied());
            start = end;
        }
        selection.estimate.series = selection.len() as u64;
        selection.estimate.samples = samples;
        Ok(selection)
    }

    fn label_names(
        &self,
        tenant: &TenantId,
        request: &LabelsRequest<'_>,
    ) -> Result<Vec<String>, SelectError> {
        self.check_open()?;
        let view = self.view();
        let head = HeadReader::new(&view.pin_epochs(), tenant);
        let mut names = BTreeSet::new();
        self.head.label_names(tenant, request.matcher_sets, request.span, &head, &mut names);
        for segment in segments_within(&view, tenant, request.span)? {
            let rows = segment.passing_rows(request.matcher_sets, request.span)?;
            names.extend(segment.reader().label_names(rows.as_deref())?);
            segment.check()?;
        }
        Ok(request.limited(names))
    }

    fn label_values(
        &self,
        tenant: &TenantId,
        name: &str,
        request: &LabelsRequest<'_>,
    ) -> Result<Vec<String>, SelectError> {
        self.check_open()?;
        let view = self.view();
        let head = HeadReader::new(&view.pin_epochs(), tenant);
        let mut values = BTreeSet::new();
        self.head.label_values(tenant, name, request.matcher_sets, request.span, &head, &mut values);
        for segment in segments_within(&view, tenant, request.span)? {
            let rows = segment.passing_rows(request.matcher_sets, request.span)?;
            values.extend(segment.reader().label_values(name, rows.as_deref(), request.limit)?);
            segment.check()?;
        }
        Ok(request.limited(values))
    }

    fn exemplars(
        &self,
        tenant: &TenantId,
        matcher_sets: &[Vec<Matcher>],
        span: TimeSpan,
    ) -> Result<Vec<SeriesExemplars>, SelectError> {
        self.check_open()?;
        let view = self.view();
        let mut found: BTreeMap<Labels, BTreeMap<Timestamp, Exemplar>> = BTreeMap::new();
        let mut add = |labels: Labels, exemplars: Vec<Exemplar>| {
            let known = found.entry(labels).or_default();
            known.extend(exemplars.into_iter().map(|exemplar| (exemplar.timestamp, exemplar)));
        };
        for segment in view.segments.iter().filter(|segment| segment.meta().tenant == *tenant) {
            let passing = passing_rows(segment, matcher_sets)?;
            let masked = view.deletions.masked(segment)?;
            for row in segment.reader.exemplar_rows()? {
                if passing.as_ref().is_none_or(|passing| passing.binary_search(&row).is_ok()) {
                    add(segment.reader.labels(row)?, masked.exemplars(row, span)?);
                }
            }
            segment.check()?;
        }
        let head = HeadReader::new(&view.pin_epochs(), tenant);
        for (labels, exemplars) in self.head.exemplars(tenant, matcher_sets, span, &head) {
            add(labels, exemplars);
        }
        Ok(found
            .into_iter()
            .filter(|(_, exemplars)| !exemplars.is_empty())
            .map(|(labels, exemplars)| SeriesExemplars {
                labels,
                exemplars: exemplars.into_values().collect(),
            })
            .collect())
    }

    fn metadata(&self, tenant: &TenantId, metric: &str) -> Result<Vec<(String, Vec<Metadata>)>, SelectError> {
        self.check_open()?;
        Ok(self.head.metadata(tenant, metric))
    }

    fn time_bounds(&self, tenant: &TenantId) -> Option<(Timestamp, Timestamp)> {
        let view = self.view();
        let segments = view.segments.iter().filter(|segment| segment.meta().tenant == *tenant);
        let stored = segments.fold(TimeSpan::new(0, -1), |span, segment| span.union(segment.meta().span));
        let span = view.epochs().fold(stored, |span, epoch| span.union(epoch.bounds(Some(tenant))));
        (!span.is_empty()).then_some((span.start, span.end))
    }
}

/// Live segments of a tenant that overlap a span, in the order in which later ones win, without what is deleted.
fn segments_within(view: &View, tenant: &TenantId, span: TimeSpan) -> Result<Vec<Masked>, SegmentError> {
    let is_wanted =
        |segment: &&Arc<LiveSegment>| segment.meta().tenant == *tenant && segment.meta().span.overlaps(span);
    view.segments.iter().filter(is_wanted).map(|segment| view.deletions.masked(segment)).collect()
}

fn find_in_segments(segments: &[Masked], request: &SelectRequest<'_>) -> Result<Vec<Found>, SelectError> {
    let mut found = Vec::new();
    for (number, segment) in segments.iter().enumerate() {
        let number = u32::try_from(number).expect("segments are few");
        for row in segment.reader().select(request.matchers)? {
            let samples = segment.sample_count(row, request.span)?;
            if samples > 0 {
                let fingerprint = segment.reader().fingerprint(row)?;
                found.push(Found { fingerprint, samples, place: Place::Segment { segment: number, row } });
            }
        }
        segment.check()?;
    }
    Ok(found)
}

/// Rows of a segment that pass one whole set of matchers, rising; `None` where there is no set and all count.
fn passing_rows(
    segment: &LiveSegment,
    matcher_sets: &[Vec<Matcher>],
) -> Result<Option<Vec<u32>>, SegmentError> {
    if matcher_sets.is_empty() {
        return Ok(None);
    }
    let mut rows = BTreeSet::new();
    for matchers in matcher_sets {
        rows.extend(segment.reader.select(matchers)?);
    }
    Ok(Some(rows.into_iter().collect()))
}
