//! The parser: state that outlives an entry, and what both grammars share.

use std::borrow::Cow;

use crate::model::{MetricType, Timestamp};

use super::cursor::{Cursor, Part, shown};
use super::entry::{Entry, ExemplarEntry, LabelText, SampleEntry, unescape_help, unescape_label};
use super::number::parse_float;
use super::{ExpositionError, Format};

/// Walks a body entry by entry.
///
/// ```
/// use perdura::ingest::exposition::{Entry, Format, Parser};
/// let mut parser = Parser::new(Format::Text, b"# TYPE up gauge\nup{job=\"node\"} 1 1700000000000\n");
/// assert!(matches!(parser.next_entry(), Ok(Some(Entry::Type { .. }))));
/// let Ok(Some(Entry::Sample(sample))) = parser.next_entry() else { panic!("a sample comes second") };
/// assert_eq!(sample.series, b"up{job=\"node\"}");
/// assert_eq!(sample.labels().unwrap().to_string(), r#"{__name__="up", job="node"}"#);
/// assert_eq!((sample.value, sample.timestamp), (1.0, Some(1_700_000_000_000)));
/// assert_eq!(parser.next_entry(), Ok(None));
/// ```
#[derive(Clone, Debug)]
pub struct Parser<'a> {
    pub(super) cursor: Cursor<'a>,
    format: Format,
    /// Of the family whose `# TYPE` came last.
    pub(super) metric_type: MetricType,
    pub(super) labels: Vec<LabelText<'a>>,
    pub(super) exemplar_labels: Vec<LabelText<'a>>,
}

/// What a grammar found; labels lie in the parser.
#[derive(Clone, Copy, Debug)]
pub(super) enum Found<'a> {
    Sample { series: Part, metric: &'a str, number: Number, exemplar: Option<Number> },
    Help { metric: &'a str, text: &'a str },
    Type { metric: &'a str },
    Unit { metric: &'a str, unit: &'a str },
    Comment,
    End,
}

/// A value with its time.
#[derive(Clone, Copy, Debug)]
pub(super) struct Number {
    pub(super) value: f64,
    pub(super) timestamp: Option<Timestamp>,
}

/// How strictly labels are read, and what for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum LabelsOf {
    /// A sample of the Prometheus text format: blanks anywhere, commas may be missing, values may cross lines.
    TextSample,
    /// A sample of OpenMetrics.
    OpenMetricsSample,
    /// An exemplar: as a sample of OpenMetrics, but without a metric name.
    Exemplar,
}

impl<'a> Parser<'a> {
    /// A parser at the beginning of `body`.
    pub fn new(format: Format, body: &'a [u8]) -> Self {
        Self {
            cursor: Cursor::new(body),
            format,
            metric_type: MetricType::Unknown,
            labels: Vec::new(),
            exemplar_labels: Vec::new(),
        }
    }

    /// The next entry, or `None` at the end. After an error the body is done for: its rest has no meaning.
    pub fn next_entry(&mut self) -> Result<Option<Entry<'_>>, ExpositionError> {
        self.labels.clear();
        self.exemplar_labels.clear();
        let found = match self.format {
            Format::Text => self.next_text(),
            Format::OpenMetrics => self.next_open_metrics(),
        }?;
        Ok(match found {
            Found::Sample { series, metric, number, exemplar } => Some(Entry::Sample(SampleEntry {
                series: series.of(self.cursor.body),
                metric,
                labels: &self.labels,
                metric_type: self.metric_type,
                value: number.value,
                timestamp: number.timestamp,
                exemplar: exemplar.map(|number| ExemplarEntry {
                    labels: &self.exemplar_labels,
                    value: number.value,
                    timestamp: number.timestamp,
                }),
            })),
            Found::Help { metric, text } => {
                Some(Entry::Help { metric: unescape_label(metric), help: self.unescape_help(text) })
            }
            Found::Type { metric } => {
                Some(Entry::Type { metric: unescape_label(metric), metric_type: self.metric_type })
            }
            Found::Unit { metric, unit } => Some(Entry::Unit { metric: unescape_label(metric), unit }),
            Found::Comment => Some(Entry::Comment),
            Found::End => None,
        })
    }

    fn unescape_help(&self, text: &'a str) -> Cow<'a, str> {
        match self.format {
            Format::Text => unescape_help(text),
            Format::OpenMetrics => unescape_label(text),
        }
    }

    /// A metric name at the start of a sample, not quoted.
    pub(super) fn metric_name(&mut self) -> Option<&'a str> {
        let part = self.cursor.name(|c| c.is_ascii_alphabetic() || c == b'_' || c == b':')?;
        std::str::from_utf8(part.of(self.cursor.body)).ok()
    }

    /// The family that metadata is about; quoted or not.
    pub(super) fn metadata_name(&mut self, expected: &'static str) -> Result<&'a str, ExpositionError> {
        if let Some(name) = self.metric_name() {
            return Ok(name);
        }
        let quoted = self.cursor.quoted(true).ok_or_else(|| self.cursor.expected(expected))?;
        self.text_of(quoted, "metric name")
    }

    /// A part of the body as text.
    pub(super) fn text_of(&self, part: Part, what: &str) -> Result<&'a str, ExpositionError> {
        let bytes = part.of(self.cursor.body);
        std::str::from_utf8(bytes)
            .map_err(|_| self.cursor.content(format!("invalid UTF-8 {what}: {:?}", shown(bytes))))
    }

    /// A float that ends where `part` ends.
    pub(super) fn float_of(&self, part: Part, what: &str) -> Result<f64, ExpositionError> {
        let bytes = part.of(self.cursor.body);
        std::str::from_utf8(bytes)
            .map_err(|_| "invalid number")
            .and_then(parse_float)
            .map_err(|why| self.cursor.content(format!("{what} {:?}: {why}", shown(bytes))))
    }

    /// Labels up to the closing brace; the opening one has been read. A quoted name that stands alone is the
    /// metric's. Returns the metric name.
    pub(super) fn labels_in_braces(
        &mut self,
        mut metric: Option<&'a str>,
        of: LabelsOf,
    ) -> Result<Option<&'a str>, ExpositionError> {
        loop {
            self.skip_label_blanks(of);
            if self.cursor.eat(b'}') {
                return Ok(metric);
            }
            let (name, is_quoted) = self.label_name()?;
            self.skip_label_blanks(of);
            if is_quoted && of != LabelsOf::Exemplar && matches!(self.cursor.peek(), Some(b',' | b'}')) {
                if metric.is_some() {
                    return Err(self.cursor.content("metric name already set".to_owned()));
                }
                metric = Some(name);
                self.cursor.eat(b',');
                continue;
            }
            self.label_value(name, of)?;
        }
    }

    fn skip_label_blanks(&mut self, of: LabelsOf) {
        if of == LabelsOf::TextSample {
            self.cursor.skip_blanks();
        }
    }

    fn label_name(&mut self) -> Result<(&'a str, bool), ExpositionError> {
        if let Some(part) = self.cursor.name(|c| c.is_ascii_alphabetic() || c == b'_') {
            return Ok((self.text_of(part, "label name")?, false));
        }
        match self.cursor.quoted(true) {
            Some(part) => Ok((self.text_of(part, "label name")?, true)),
            None => Err(self.cursor.expected("expected label name")),
        }
    }

    /// The rest of a label behind its name, with the comma.
    fn label_value(&mut self, name: &'a str, of: LabelsOf) -> Result<(), ExpositionError> {
        if !self.cursor.eat(b'=') {
            return Err(self.cursor.expected("expected equal"));
        }
        self.skip_label_blanks(of);
        let part = self
            .cursor
            .quoted(of == LabelsOf::TextSample)
            .ok_or_else(|| self.cursor.expected("expected label value"))?;
        let value = self.text_of(part, "label value")?;
        let labels = if of == LabelsOf::Exemplar { &mut self.exemplar_labels } else { &mut self.labels };
        labels.push(LabelText { name, value });
        self.skip_label_blanks(of);
        let ended = self.cursor.eat(b',') || self.cursor.peek() == Some(b'}');
        if !ended && of != LabelsOf::TextSample {
            return Err(self.cursor.expected("expected comma or brace close"));
        }
        Ok(())
    }
}
