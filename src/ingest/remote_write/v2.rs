//! Protocol 2.0: `io.prometheus.write.v2.Request`, texts once in a symbol table.
//!
//! Start timestamps stand in each sample and histogram; an earlier generation of the protocol had one for the whole
//! series (`created_timestamp`), which still counts where a sample has none.

use std::collections::HashSet;

use crate::ingest::protobuf::{ProtobufError, Reader};
use crate::model::{Label, METRIC_NAME, Metadata, MetricType, Timestamp};
use crate::storage::{FloatEntry, RawLabels, SeriesHandle};

use super::WriteRequestError;
use super::assemble::{Assembler, ENTRIES_MAX, check_room};
use super::decode::Decoded;
use super::problems::Shown;
use super::recall::{Answers, RawSeries, Recall, Remembered, hash_raw};
use super::{histogram, v1};

/// Most references that a message repeats.
const REFERENCES_SHOWN_MAX: usize = 64;

/// Fields of a series.
const LABELS: u32 = 1;
const SAMPLES: u32 = 2;
const METADATA: u32 = 5;

const MESSAGE: &str = "io.prometheus.write.v2.Request";

/// Texts by number; `None` where one is not UTF-8, which matters only to who refers to it.
struct Symbols<'a>(Vec<Option<&'a str>>);

/// A reference that leads nowhere; texts as upstream has them.
#[derive(Debug, thiserror::Error)]
enum ReferenceError {
    #[error("invalid labelRefs length {0}")]
    Odd(usize),
    #[error("labelRefs {name} (name) = {value} (value) outside of symbols table (size {size})")]
    Labels { name: u32, value: u32, size: usize },
    #[error("metadata {field} {reference} outside of symbols table (size {size})")]
    Metadata { field: &'static str, reference: u32, size: usize },
    #[error("symbol {0} is not valid UTF-8")]
    Utf8(u32),
}

impl<'a> Symbols<'a> {
    /// Collects the symbols, wherever they stand. Also whether there is any series.
    fn read(plain: &'a [u8]) -> Result<(Self, bool), WriteRequestError> {
        let mut symbols = Vec::new();
        let mut has_series = false;
        let mut request = Reader::new(plain, MESSAGE);
        while let Some(tag) = request.next_tag()? {
            if tag.field == 4 {
                check_room(symbols.len(), ENTRIES_MAX, "symbols")?;
                symbols.push(std::str::from_utf8(request.bytes(tag, "symbols")?).ok());
            } else {
                has_series |= tag.field == 5;
                request.skip(tag)?;
            }
        }
        Ok((Self(symbols), has_series))
    }

    #[inline]
    fn get(&self, reference: u32) -> Option<Option<&'a str>> {
        self.0.get(usize::try_from(reference).ok()?).copied()
    }

    fn label(&self, name: u32, value: u32) -> Result<Label<'a>, ReferenceError> {
        match (self.get(name), self.get(value)) {
            (Some(Some(name)), Some(Some(value))) => Ok(Label { name, value }),
            (None, _) | (_, None) => Err(ReferenceError::Labels { name, value, size: self.0.len() }),
            (Some(None), _) => Err(ReferenceError::Utf8(name)),
            (_, Some(None)) => Err(ReferenceError::Utf8(value)),
        }
    }

    fn labels(&self, references: &[u32], out: &mut Vec<Label<'a>>) -> Result<(), ReferenceError> {
        if !references.len().is_multiple_of(2) {
            return Err(ReferenceError::Odd(references.len()));
        }
        for pair in references.chunks_exact(2) {
            out.push(self.label(pair[0], pair[1])?);
        }
        Ok(())
    }

    fn metadata_text(&self, field: &'static str, reference: u32) -> Result<&'a str, ReferenceError> {
        match self.get(reference) {
            Some(Some(text)) => Ok(text),
            Some(None) => Err(ReferenceError::Utf8(reference)),
            None => Err(ReferenceError::Metadata { field, reference, size: self.0.len() }),
        }
    }
}

/// Metadata of a series, by reference.
#[derive(Clone, Copy, Default, PartialEq, Eq, Hash)]
struct MetadataRefs {
    metric_type: u64,
    help: u32,
    unit: u32,
}

/// An exemplar, by reference.
struct ExemplarRefs {
    references: Vec<u32>,
    value: f64,
    timestamp: Timestamp,
}

struct Decoder<'a> {
    symbols: Symbols<'a>,
    assembler: Assembler<'a>,
    /// References of the series under way.
    references: Vec<u32>,
    exemplars: Vec<ExemplarRefs>,
    /// Metadata that the batch has; a request repeats it with each series of a family.
    metadata_seen: HashSet<(&'a str, MetadataRefs)>,
}

/// `recall`: knows series by their labels' symbols, which are not looked up and sorted then.
pub(super) fn decode(plain: &[u8], recall: Option<&Recall<'_>>) -> Result<Decoded, WriteRequestError> {
    let (symbols, has_series) = Symbols::read(plain)?;
    if has_series && symbols.get(0) != Some(Some("")) {
        let first = match symbols.get(0) {
            None => "no symbols at all".to_owned(),
            Some(None) => "bytes that are not UTF-8".to_owned(),
            Some(Some(text)) => format!("{:?}", text.chars().take(100).collect::<String>()),
        };
        return Err(WriteRequestError::FirstSymbol(first));
    }
    let known = match recall {
        Some(recall) => recall.ask(raw_labels(plain, &symbols)?),
        None => Answers::default(),
    };
    let mut decoder = Decoder {
        symbols,
        assembler: Assembler::default(),
        references: Vec::new(),
        exemplars: Vec::new(),
        metadata_seen: HashSet::new(),
    };
    decoder.assembler.begin_request(known.len());
    let mut number = 0;
    let mut request = Reader::new(plain, MESSAGE);
    while let Some(tag) = request.next_tag()? {
        if tag.field != 5 {
            request.skip(tag)?;
            continue;
        }
        let series = request.message(tag, "timeseries")?;
        let origin = known.get(number);
        number += 1;
        let is_read = match origin.and_then(|origin| Some((origin.end, origin.handle?))) {
            Some((end, handle)) => decoder.read_known(series.clone(), end, handle)?,
            None => false,
        };
        if !is_read {
            decoder.read_series(series, origin)?;
        }
    }
    Ok(decoder.assembler.decoded)
}

/// Most references of a series that is asked for; one with more is read in full each time.
const RECALLED_REFERENCES_MAX: usize = 1_024;

/// Hashes of the labels of each series: of the hashes of their symbols, since the numbers of symbols differ from request
/// to request.
fn raw_labels(plain: &[u8], symbols: &Symbols<'_>) -> Result<RawSeries, WriteRequestError> {
    // What is not UTF-8 stands for a text that no label can have.
    const NO_TEXT: &[u8] = b"\xff";
    let hashes: Vec<RawLabels> =
        symbols.0.iter().map(|text| hash_raw(text.map_or(NO_TEXT, str::as_bytes))).collect();
    let none = hash_raw(NO_TEXT);
    let mut found = RawSeries::default();
    let (mut references, mut bytes): (Vec<u32>, Vec<u8>) = (Vec::new(), Vec::new());
    let mut request = Reader::new(plain, MESSAGE);
    while let Some(tag) = request.next_tag()? {
        if tag.field != 5 {
            request.skip(tag)?;
            continue;
        }
        let mut series = request.message(tag, "timeseries")?;
        references.clear();
        bytes.clear();
        if let Some(tag) = series.next_tag()?.filter(|tag| tag.field == LABELS) {
            read_references(&mut series, tag, "timeseries.labels_refs", &mut references)?;
        }
        // An end before the labels' says that the hash is not theirs.
        let mut end = 0;
        if references.len() <= RECALLED_REFERENCES_MAX {
            for reference in &references {
                let hash = usize::try_from(*reference).ok().and_then(|at| hashes.get(at)).unwrap_or(&none);
                bytes.extend_from_slice(&hash.0.to_le_bytes());
            }
            end = series.offset();
        }
        if !found.push(&bytes, end) {
            break;
        }
    }
    Ok(found)
}

impl<'a> Decoder<'a> {
    /// Reads a series that is known by the references that end at byte `end`. Answers `false`, and leaves nothing of it,
    /// where something is amiss or more is inside than floats and metadata.
    fn read_known(
        &mut self,
        series: Reader<'a>,
        end: usize,
        handle: SeriesHandle,
    ) -> Result<bool, WriteRequestError> {
        let mut labels = series.clone();
        let mut series = series;
        let mut metadata = MetadataRefs::default();
        let mut is_plain = end > series.offset();
        self.assembler.begin_series();
        series.skip_to(end.max(series.offset()));
        while is_plain && let Some(tag) = series.next_tag()? {
            match tag.field {
                SAMPLES => {
                    let sample = read_sample(series.message(tag, "timeseries.samples")?)?;
                    self.assembler.push_float(sample)?;
                }
                METADATA => read_metadata(series.message(tag, "timeseries.metadata")?, &mut metadata)?,
                _ => is_plain = false,
            }
        }
        let unit = self.symbols.metadata_text("unit_ref", metadata.unit);
        let help = self.symbols.metadata_text("help_ref", metadata.help);
        let (true, 1.., Ok(unit), Ok(help)) = (is_plain, self.assembler.samples_seen(), unit, help) else {
            self.assembler.drop_series();
            return Ok(false);
        };
        self.assembler.end_known(handle);
        if metadata != MetadataRefs::default() {
            self.references.clear();
            let tag = labels.next_tag()?.expect("a known series begins with labels");
            read_references(&mut labels, tag, "timeseries.labels_refs", &mut self.references)?;
            let resolved = self.symbols.labels(&self.references, &mut self.assembler.labels);
            assert!(resolved.is_ok(), "the labels of a known series are sound");
            self.push_metadata(metadata, help, unit)?;
        }
        Ok(true)
    }

    fn read_series(
        &mut self,
        mut series: Reader<'a>,
        origin: Option<Remembered>,
    ) -> Result<(), WriteRequestError> {
        let mut metadata = MetadataRefs::default();
        let mut created: Timestamp = 0;
        let mut labels_end = series.offset();
        self.assembler.begin_series();
        self.references.clear();
        self.exemplars.clear();
        while let Some(tag) = series.next_tag()? {
            match tag.field {
                LABELS => {
                    read_references(&mut series, tag, "timeseries.labels_refs", &mut self.references)?;
                    labels_end = series.offset();
                }
                SAMPLES => {
                    let sample = read_sample(series.message(tag, "timeseries.samples")?)?;
                    self.assembler.push_float(sample)?;
                }
                3 => {
                    let timed = histogram::read(series.message(tag, "timeseries.histograms")?)?;
                    self.assembler.push_histogram(timed.timestamp, timed.start_timestamp, timed.histogram)?;
                }
                4 => {
                    check_room(self.exemplars.len(), ENTRIES_MAX / 4, "exemplars")?;
                    self.exemplars.push(read_exemplar(series.message(tag, "timeseries.exemplars")?)?);
                }
                METADATA => read_metadata(series.message(tag, "timeseries.metadata")?, &mut metadata)?,
                6 => created = series.int64(tag, "timeseries.created_timestamp")?,
                _ => series.skip(tag)?,
            }
        }
        if created != 0 {
            self.assembler.set_start(created);
        }
        // References behind the samples are not in the hash.
        let raw = origin.filter(|origin| origin.end >= labels_end).map(|origin| origin.raw);
        self.end_series(metadata, raw)
    }

    /// Ends a series, or takes it out again and says why.
    fn end_series(
        &mut self,
        metadata: MetadataRefs,
        raw: Option<RawLabels>,
    ) -> Result<(), WriteRequestError> {
        let samples = self.assembler.samples_seen();
        let resolved = self.symbols.labels(&self.references, &mut self.assembler.labels);
        if let Err(error) = resolved {
            return self.refuse_series("labels", &error, samples);
        }
        let texts = self
            .symbols
            .metadata_text("unit_ref", metadata.unit)
            .and_then(|unit| Ok((unit, self.symbols.metadata_text("help_ref", metadata.help)?)));
        let (unit, help) = match texts {
            Ok(texts) => texts,
            Err(error) => return self.refuse_series("metadata", &error, 0),
        };
        // Exemplars are put in first: the series ends with what is in the batch then.
        let exemplar_problems = self.push_exemplars()?;
        if let Err(problem) = self.assembler.end_series(raw) {
            let Assembler { decoded, labels, .. } = &mut self.assembler;
            decoded.problems.push(|| problem.describe(labels));
            decoded.samples_with_invalid_labels += samples as u64;
            return Ok(());
        }
        if samples == 0 {
            let Assembler { decoded, labels, .. } = &mut self.assembler;
            decoded.problems.push(|| {
                format!(
                    "TimeSeries must contain at least one sample or histogram for series {}",
                    Shown(labels)
                )
            });
            return Ok(());
        }
        for problem in exemplar_problems {
            let Assembler { decoded, labels, .. } = &mut self.assembler;
            decoded.problems.push(|| format!("parsing exemplar for series {}: {problem}", Shown(labels)));
        }
        self.push_metadata(metadata, help, unit)
    }

    fn refuse_series(
        &mut self,
        what: &str,
        error: &ReferenceError,
        samples: usize,
    ) -> Result<(), WriteRequestError> {
        self.assembler.drop_series();
        self.assembler.decoded.samples_with_invalid_labels += samples as u64;
        let references = &self.references[..self.references.len().min(REFERENCES_SHOWN_MAX)];
        self.assembler.decoded.problems.push(|| {
            let references: Vec<String> = references.iter().map(u32::to_string).collect();
            format!("parsing {what} for series [{}]: {error}", references.join(" "))
        });
        Ok(())
    }

    /// Puts the exemplars of the series under way into the batch; says what is wrong with the others.
    fn push_exemplars(&mut self) -> Result<Vec<String>, WriteRequestError> {
        let mut problems = Vec::new();
        let mut labels = Vec::new();
        if self.assembler.samples_seen() == 0 {
            return Ok(problems);
        }
        for exemplar in &self.exemplars {
            labels.clear();
            if let Err(error) = self.symbols.labels(&exemplar.references, &mut labels) {
                problems.push(error.to_string());
            } else if !self.assembler.push_exemplar(&labels, exemplar.value, exemplar.timestamp)? {
                problems.push(format!("labels {} are no label set", Shown(&labels)));
            }
        }
        Ok(problems)
    }

    fn push_metadata(
        &mut self,
        references: MetadataRefs,
        help: &'a str,
        unit: &'a str,
    ) -> Result<(), WriteRequestError> {
        let metric_type = v1::type_of(references.metric_type);
        if metric_type == MetricType::Unknown && help.is_empty() && unit.is_empty() {
            return Ok(());
        }
        let name = self.assembler.labels.iter().find(|label| label.name == METRIC_NAME);
        let family = family_of(name.map_or("", |label| label.value), metric_type);
        if self.metadata_seen.insert((family, references)) {
            let metadata = Metadata { metric_type, help: help.to_owned(), unit: unit.to_owned() };
            self.assembler.push_metadata(family, metadata)?;
        }
        Ok(())
    }
}

/// The family that a series belongs to: parts of histograms and summaries are named with a suffix.
fn family_of(metric: &str, metric_type: MetricType) -> &str {
    let suffixes: &[&str] = match metric_type {
        MetricType::Histogram => &["_bucket", "_sum", "_count", "_created"],
        MetricType::GaugeHistogram => &["_bucket", "_gsum", "_gcount"],
        MetricType::Summary => &["_sum", "_count", "_created"],
        _ => &[],
    };
    suffixes.iter().find_map(|suffix| metric.strip_suffix(suffix)).unwrap_or(metric)
}

fn read_references(
    reader: &mut Reader<'_>,
    tag: crate::ingest::protobuf::Tag,
    field: &'static str,
    out: &mut Vec<u32>,
) -> Result<(), ProtobufError> {
    // A wider number is cut off, as protobuf has it for 32-bit fields.
    reader.repeated_varint(tag, field, |wide| out.push((wide & u64::from(u32::MAX)) as u32))
}

fn read_sample(mut reader: Reader<'_>) -> Result<FloatEntry, ProtobufError> {
    let mut sample = FloatEntry { timestamp: 0, start_timestamp: 0, value: 0.0 };
    while let Some(tag) = reader.next_tag()? {
        match tag.field {
            1 => sample.value = reader.double(tag, "timeseries.samples.value")?,
            2 => sample.timestamp = reader.int64(tag, "timeseries.samples.timestamp")?,
            3 => sample.start_timestamp = reader.int64(tag, "timeseries.samples.start_timestamp")?,
            _ => reader.skip(tag)?,
        }
    }
    Ok(sample)
}

fn read_exemplar(mut reader: Reader<'_>) -> Result<ExemplarRefs, ProtobufError> {
    let mut exemplar = ExemplarRefs { references: Vec::new(), value: 0.0, timestamp: 0 };
    while let Some(tag) = reader.next_tag()? {
        match tag.field {
            1 => {
                let field = "timeseries.exemplars.labels_refs";
                read_references(&mut reader, tag, field, &mut exemplar.references)?;
            }
            2 => exemplar.value = reader.double(tag, "timeseries.exemplars.value")?,
            3 => exemplar.timestamp = reader.int64(tag, "timeseries.exemplars.timestamp")?,
            _ => reader.skip(tag)?,
        }
    }
    Ok(exemplar)
}

fn read_metadata(mut reader: Reader<'_>, metadata: &mut MetadataRefs) -> Result<(), ProtobufError> {
    while let Some(tag) = reader.next_tag()? {
        match tag.field {
            1 => metadata.metric_type = reader.varint(tag, "timeseries.metadata.type")?,
            3 => metadata.help = reader.uint32(tag, "timeseries.metadata.help_ref")?,
            4 => metadata.unit = reader.uint32(tag, "timeseries.metadata.unit_ref")?,
            _ => reader.skip(tag)?,
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_belong_to_their_family() {
        assert_eq!(family_of("a_seconds_bucket", MetricType::Histogram), "a_seconds");
        assert_eq!(family_of("a_count", MetricType::Summary), "a");
        assert_eq!(family_of("a_count", MetricType::Counter), "a_count");
        assert_eq!(family_of("a_gsum", MetricType::GaugeHistogram), "a");
    }
}
