//! Reading: matchers in, rows out, samples on demand.

use std::collections::{BTreeSet, HashMap};
use std::ops::Range;
use std::sync::Arc;

use foldhash::fast::RandomState;

use crate::model::{
    Exemplar, Fingerprint, Labels, LabelsBuilder, Matcher, Metadata, TenantId, TimeSpan, Timestamp,
};

use super::Columns;

/// A text's number within one query. Equal texts have equal numbers in all selections that share a [`SymbolTable`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Symbol(pub u32);

/// Texts of one query, each once. Symbol 0 is the empty text.
#[derive(Clone, Debug)]
pub struct SymbolTable {
    texts: Vec<Arc<str>>,
    numbers: HashMap<Arc<str>, u32, RandomState>,
}

impl Default for SymbolTable {
    fn default() -> Self {
        let empty: Arc<str> = "".into();
        Self { texts: vec![Arc::clone(&empty)], numbers: HashMap::from_iter([(empty, 0)]) }
    }
}

impl SymbolTable {
    /// The number of `text`, a new one where it was not seen yet.
    pub fn intern(&mut self, text: &str) -> Symbol {
        if let Some(number) = self.numbers.get(text) {
            return Symbol(*number);
        }
        let number = u32::try_from(self.texts.len()).expect("a query has fewer than 2^32 texts");
        let shared: Arc<str> = text.into();
        self.texts.push(Arc::clone(&shared));
        self.numbers.insert(shared, number);
        Symbol(number)
    }

    /// The number of `text`, if it was seen.
    pub fn lookup(&self, text: &str) -> Option<Symbol> {
        self.numbers.get(text).copied().map(Symbol)
    }

    /// The text of a number that this table gave out.
    pub fn text(&self, symbol: Symbol) -> &str {
        &self.texts[symbol.0 as usize]
    }

    /// How many texts there are.
    pub fn len(&self) -> usize {
        self.texts.len()
    }

    /// Never: the empty text is always there.
    pub fn is_empty(&self) -> bool {
        false
    }
}

/// One label of a row, by number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct LabelPair {
    /// Name.
    pub name: Symbol,
    /// Value; never the empty text.
    pub value: Symbol,
}

/// Which labels of the rows the caller will look at.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum LabelsNeeded {
    /// All of them.
    #[default]
    All,
    /// Only these names.
    Only(Vec<String>),
    /// None.
    None,
}

impl LabelsNeeded {
    /// Whether the label `name` is among them.
    pub(crate) fn includes(&self, name: &str) -> bool {
        match self {
            Self::All => true,
            Self::Only(names) => names.iter().any(|needed| needed == name),
            Self::None => false,
        }
    }
}

/// What the caller will ask of the rows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Need {
    /// Samples.
    #[default]
    Samples,
    /// Statistics of pieces where there are some, samples else.
    Statistics,
    /// Neither: only which series there are.
    Series,
}

/// Which series, over which time.
#[derive(Clone, Debug)]
pub struct SelectRequest<'a> {
    /// All must pass.
    pub matchers: &'a [Matcher],
    /// Samples outside are not returned; a series without any inside may still be a row.
    pub span: TimeSpan,
    /// Labels to translate.
    pub labels_needed: LabelsNeeded,
    /// What will be read.
    pub need: Need,
    /// Coarsest distance of samples that still serves, in milliseconds; 0 asks for raw samples.
    pub resolution_ms: i64,
    /// At most so many rows; 0 for all.
    pub limit: usize,
}

impl<'a> SelectRequest<'a> {
    /// Raw samples and all labels of what passes `matchers` within `span`.
    pub fn samples(matchers: &'a [Matcher], span: TimeSpan) -> Self {
        Self {
            matchers,
            span,
            labels_needed: LabelsNeeded::All,
            need: Need::Samples,
            resolution_ms: 0,
            limit: 0,
        }
    }
}

/// Cost of a selection, known before a sample is read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Estimate {
    /// Rows.
    pub series: u64,
    /// Samples, as an upper bound.
    pub samples: u64,
    /// Stored bytes to read.
    pub bytes: u64,
}

/// Facts of a piece's samples, exact. Stale markers count in none of them.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Statistics {
    /// First value.
    pub first: f64,
    /// Last value.
    pub last: f64,
    /// Smallest value.
    pub min: f64,
    /// Largest value.
    pub max: f64,
    /// Sum, compensated.
    pub sum: f64,
    /// How many values.
    pub count: u64,
    /// How often a value was below the one before.
    pub resets: u64,
}

/// A run of one series' samples in one place.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Piece {
    /// First and last time in it.
    pub span: TimeSpan,
    /// How many samples it has.
    pub count: u64,
    /// Their statistics, where some are stored.
    pub statistics: Option<Statistics>,
    /// Nothing else holds samples of this series in that span, and no deletion touches it.
    pub sole: bool,
}

/// Why a selection or a read failed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SelectError {
    /// Stored bytes are damaged or cannot be read; the message names file and place.
    #[error("{0}")]
    Storage(String),
    /// The store is closed.
    #[error("storage is closed")]
    Closed,
}

/// Reads the rows of one selection, any number of times, from any thread.
pub trait ReadRows: Send + Sync {
    /// Appends the samples of `rows` to `out`, one row of columns each, in order: merged, deduplicated, undeleted,
    /// within the request's span. Stale markers are samples.
    fn read(&self, rows: Range<usize>, out: &mut Columns) -> Result<(), SelectError>;

    /// What the row holds, in time order; may overlap where `sole` is false.
    fn pieces(&self, row: usize) -> Result<Vec<Piece>, SelectError>;
}

/// The rows that passed, in rising fingerprint order, over one unchanging view of the data.
pub struct Selection {
    fingerprints: Vec<Fingerprint>,
    label_ends: Vec<usize>,
    pairs: Vec<LabelPair>,
    /// Cost of reading all of it.
    pub estimate: Estimate,
    reader: Box<dyn ReadRows>,
}

impl Selection {
    /// An empty selection over `reader`; the implementer pushes rows in rising fingerprint order.
    pub fn new(reader: Box<dyn ReadRows>) -> Self {
        Self {
            fingerprints: Vec::new(),
            label_ends: Vec::new(),
            pairs: Vec::new(),
            estimate: Estimate::default(),
            reader,
        }
    }

    /// Adds a row. `pairs`: its needed labels, in the order of their names' texts.
    pub fn push_row(&mut self, fingerprint: Fingerprint, pairs: impl IntoIterator<Item = LabelPair>) {
        debug_assert!(
            self.fingerprints.last().is_none_or(|last| *last < fingerprint),
            "rows come in fingerprint order"
        );
        self.fingerprints.push(fingerprint);
        self.pairs.extend(pairs);
        self.label_ends.push(self.pairs.len());
    }

    /// How many rows.
    pub fn len(&self) -> usize {
        self.fingerprints.len()
    }

    /// Whether nothing passed.
    pub fn is_empty(&self) -> bool {
        self.fingerprints.is_empty()
    }

    /// Identity of a row.
    pub fn fingerprint(&self, row: usize) -> Fingerprint {
        self.fingerprints[row]
    }

    /// The row's needed labels, in the order of their names' texts.
    pub fn pairs(&self, row: usize) -> &[LabelPair] {
        let start = if row == 0 { 0 } else { self.label_ends[row - 1] };
        &self.pairs[start..self.label_ends[row]]
    }

    /// The row's needed labels as a set. `symbols`: the table that the selection was made with.
    pub fn labels(&self, row: usize, symbols: &SymbolTable) -> Labels {
        let mut builder = LabelsBuilder::default();
        for pair in self.pairs(row) {
            builder.push(symbols.text(pair.name), symbols.text(pair.value));
        }
        builder.build().expect("labels of a stored series are a set")
    }

    /// See [`ReadRows::read`].
    pub fn read(&self, rows: Range<usize>, out: &mut Columns) -> Result<(), SelectError> {
        assert!(rows.end <= self.len(), "rows of this selection");
        self.reader.read(rows, out)
    }

    /// See [`ReadRows::pieces`].
    pub fn pieces(&self, row: usize) -> Result<Vec<Piece>, SelectError> {
        self.reader.pieces(row)
    }
}

/// Which label names or values are asked for.
#[derive(Clone, Debug)]
pub struct LabelsRequest<'a> {
    /// Sets of matchers: a series counts if it passes one whole set; none at all means every series.
    pub matcher_sets: &'a [Vec<Matcher>],
    /// Only series with samples around here; may be answered for a wider span.
    pub span: TimeSpan,
    /// At most so many answers; 0 for all.
    pub limit: usize,
}

impl LabelsRequest<'_> {
    /// As many of the sorted answers as are asked for.
    pub(crate) fn limited(&self, texts: BTreeSet<String>) -> Vec<String> {
        texts.into_iter().take(if self.limit == 0 { usize::MAX } else { self.limit }).collect()
    }
}

/// Exemplars of one series.
#[derive(Clone, Debug, PartialEq)]
pub struct SeriesExemplars {
    /// Labels of the series.
    pub labels: Labels,
    /// Its exemplars in time order.
    pub exemplars: Vec<Exemplar>,
}

/// A place that samples are read from.
pub trait Select: Send + Sync {
    /// The series that pass. Texts of needed labels get their numbers from `symbols`, which all selections of one
    /// query share.
    fn select(
        &self,
        tenant: &TenantId,
        request: &SelectRequest<'_>,
        symbols: &mut SymbolTable,
    ) -> Result<Selection, SelectError>;

    /// Label names, sorted, each once.
    fn label_names(&self, tenant: &TenantId, request: &LabelsRequest<'_>)
    -> Result<Vec<String>, SelectError>;

    /// Values of the label `name`, sorted, each once.
    fn label_values(
        &self,
        tenant: &TenantId,
        name: &str,
        request: &LabelsRequest<'_>,
    ) -> Result<Vec<String>, SelectError>;

    /// Exemplars within `span` of the series that pass one whole set of matchers, in label order.
    fn exemplars(
        &self,
        tenant: &TenantId,
        matcher_sets: &[Vec<Matcher>],
        span: TimeSpan,
    ) -> Result<Vec<SeriesExemplars>, SelectError>;

    /// Metadata by metric family, in name order, each distinct one once. `metric` empty: all families.
    fn metadata(&self, tenant: &TenantId, metric: &str) -> Result<Vec<(String, Vec<Metadata>)>, SelectError>;

    /// Time of the oldest and newest sample; `None` where there is none.
    fn time_bounds(&self, tenant: &TenantId) -> Option<(Timestamp, Timestamp)>;
}
