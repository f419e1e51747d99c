//! Protocol 1.0: `prometheus.WriteRequest`, labels spelled out in each series.

use crate::ingest::protobuf::{ProtobufError, ProtobufProblem, Reader};
use crate::model::{Label, Metadata, MetricType, Timestamp};
use crate::storage::{FloatEntry, RawLabels, SeriesHandle};

use super::WriteRequestError;
use super::assemble::Assembler;
use super::decode::Decoded;
use super::histogram;
use super::recall::{Answers, RawSeries, Recall, Remembered};

const REQUEST: &str = "prometheus.WriteRequest";
/// Fields of a series.
const LABELS: u32 = 1;
const SAMPLES: u32 = 2;

/// `recall`: knows series by their raw labels, which are not read then.
pub(super) fn decode(plain: &[u8], recall: Option<&Recall<'_>>) -> Result<Decoded, WriteRequestError> {
    let mut assembler = Assembler::default();
    let known = match recall {
        Some(recall) => recall.ask(raw_labels(plain)?),
        None => Answers::default(),
    };
    assembler.begin_request(known.len());
    let mut number = 0;
    let mut request = Reader::new(plain, REQUEST);
    while let Some(tag) = request.next_tag()? {
        match tag.field {
            1 => {
                let series = request.message(tag, "timeseries")?;
                let origin = known.get(number);
                number += 1;
                let is_read = match origin.and_then(|origin| Some((origin.end, origin.handle?))) {
                    Some((end, handle)) => read_known(series.clone(), end, handle, &mut assembler)?,
                    None => false,
                };
                if !is_read {
                    read_series(series, origin, &mut assembler)?;
                }
            }
            3 => read_metadata(request.message(tag, "metadata")?, &mut assembler)?,
            _ => request.skip(tag)?,
        }
    }
    Ok(assembler.decoded)
}

/// Hashes of the labels that each series begins with.
fn raw_labels(plain: &[u8]) -> Result<RawSeries, WriteRequestError> {
    let mut found = RawSeries::default();
    let mut request = Reader::new(plain, REQUEST);
    while let Some(tag) = request.next_tag()? {
        if tag.field != 1 {
            request.skip(tag)?;
            continue;
        }
        let mut series = request.message(tag, "timeseries")?;
        let labels = series.leading(LABELS);
        if !found.push(labels, series.offset()) {
            break;
        }
    }
    Ok(found)
}

/// Reads a series that is known by the labels that end at byte `end`. Answers `false`, and leaves nothing of it, where
/// more is inside than floats: then its labels may have to be told in an error, or are more than those.
fn read_known<'a>(
    mut series: Reader<'a>,
    end: usize,
    handle: SeriesHandle,
    assembler: &mut Assembler<'a>,
) -> Result<bool, WriteRequestError> {
    series.skip_to(end);
    assembler.begin_series();
    while let Some(tag) = series.next_tag()? {
        if tag.field != SAMPLES {
            assembler.drop_series();
            return Ok(false);
        }
        let sample = read_sample(series.message(tag, "timeseries.samples")?)?;
        assembler.push_float(sample)?;
    }
    assembler.end_known(handle);
    Ok(true)
}

/// A label whose name or value is not UTF-8: spoils its series, but not the request.
struct BadText {
    error: ProtobufError,
    /// The label's name, where that one is sound.
    name: String,
}

fn read_series<'a>(
    mut series: Reader<'a>,
    origin: Option<Remembered>,
    assembler: &mut Assembler<'a>,
) -> Result<(), WriteRequestError> {
    let start = series.offset();
    let mut bad_text: Option<BadText> = None;
    let mut labels_end = start;
    assembler.begin_series();
    while let Some(tag) = series.next_tag()? {
        match tag.field {
            LABELS => {
                match read_label(series.message(tag, "timeseries.labels")?)? {
                    Ok(label) => assembler.labels.push(label),
                    Err(bad) => bad_text = Some(bad),
                }
                labels_end = series.offset();
            }
            SAMPLES => {
                let sample = read_sample(series.message(tag, "timeseries.samples")?)?;
                assembler.push_float(sample)?;
            }
            3 => read_exemplar(series.message(tag, "timeseries.exemplars")?, assembler)?,
            4 => {
                let timed = histogram::read(series.message(tag, "timeseries.histograms")?)?;
                assembler.push_histogram(timed.timestamp, timed.start_timestamp, timed.histogram)?;
            }
            _ => series.skip(tag)?,
        }
    }
    // Labels behind the samples are not in the hash.
    let raw = origin.filter(|origin| origin.end >= labels_end).map(|origin| origin.raw);
    end_series(assembler, start, bad_text, raw);
    Ok(())
}

/// Ends the series that began at byte `start`, or takes it out again and says why.
fn end_series(
    assembler: &mut Assembler<'_>,
    start: usize,
    bad_text: Option<BadText>,
    raw: Option<RawLabels>,
) {
    let samples = assembler.samples_seen() as u64;
    match bad_text {
        Some(BadText { error, name }) => {
            assembler.drop_series();
            refuse(&mut assembler.decoded, start, samples, || format!("invalid label {name:?}: {error}"));
        }
        None => {
            if let Err(problem) = assembler.end_series(raw) {
                let Assembler { decoded, labels, .. } = assembler;
                refuse(decoded, start, samples, || problem.describe(labels));
            }
        }
    }
}

fn refuse(decoded: &mut Decoded, start: usize, samples: u64, why: impl FnOnce() -> String) {
    decoded.samples_with_invalid_labels += samples;
    decoded.problems.push(|| format!("{} (series at byte {start})", why()));
}

fn read_label(mut reader: Reader<'_>) -> Result<Result<Label<'_>, BadText>, ProtobufError> {
    let mut label = Label { name: "", value: "" };
    let mut bad = None;
    while let Some(tag) = reader.next_tag()? {
        let text = match tag.field {
            1 => reader.text(tag, "timeseries.labels.name").map(|name| label.name = name),
            2 => reader.text(tag, "timeseries.labels.value").map(|value| label.value = value),
            _ => reader.skip(tag),
        };
        match text {
            Ok(()) => {}
            Err(error) if error.problem == ProtobufProblem::Utf8 => bad = Some(error),
            Err(error) => return Err(error),
        }
    }
    Ok(match bad {
        None => Ok(label),
        Some(error) => Err(BadText { error, name: label.name.chars().take(64).collect() }),
    })
}

fn read_sample(mut reader: Reader<'_>) -> Result<FloatEntry, ProtobufError> {
    let mut sample = FloatEntry { timestamp: 0, start_timestamp: 0, value: 0.0 };
    while let Some(tag) = reader.next_tag()? {
        match tag.field {
            1 => sample.value = reader.double(tag, "timeseries.samples.value")?,
            2 => sample.timestamp = reader.int64(tag, "timeseries.samples.timestamp")?,
            _ => reader.skip(tag)?,
        }
    }
    Ok(sample)
}

fn read_exemplar(mut reader: Reader<'_>, assembler: &mut Assembler<'_>) -> Result<(), WriteRequestError> {
    let mut labels = Vec::new();
    let (mut value, mut timestamp): (f64, Timestamp) = (0.0, 0);
    let mut bad_text = None;
    while let Some(tag) = reader.next_tag()? {
        match tag.field {
            1 => match read_label(reader.message(tag, "timeseries.exemplars.labels")?)? {
                Ok(label) => labels.push(label),
                Err(bad) => bad_text = Some(bad),
            },
            2 => value = reader.double(tag, "timeseries.exemplars.value")?,
            3 => timestamp = reader.int64(tag, "timeseries.exemplars.timestamp")?,
            _ => reader.skip(tag)?,
        }
    }
    match bad_text {
        // Under 1.0 an exemplar that cannot be kept is no error.
        None => {
            assembler.push_exemplar(&labels, value, timestamp)?;
        }
        Some(BadText { error, .. }) => assembler.drop_exemplar(|| error.to_string()),
    }
    Ok(())
}

fn read_metadata(mut reader: Reader<'_>, assembler: &mut Assembler<'_>) -> Result<(), WriteRequestError> {
    let (mut metric, mut help, mut unit) = (&b""[..], &b""[..], &b""[..]);
    let mut metric_type = MetricType::Unknown;
    while let Some(tag) = reader.next_tag()? {
        match tag.field {
            1 => metric_type = type_of(reader.varint(tag, "metadata.type")?),
            2 => metric = reader.bytes(tag, "metadata.metric_family_name")?,
            4 => help = reader.bytes(tag, "metadata.help")?,
            5 => unit = reader.bytes(tag, "metadata.unit")?,
            _ => reader.skip(tag)?,
        }
    }
    // Metadata is a service, not data: what cannot be read is left out.
    let texts = [metric, help, unit].map(std::str::from_utf8);
    if let [Ok(metric), Ok(help), Ok(unit)] = texts
        && !metric.is_empty()
    {
        let metadata = Metadata { metric_type, help: help.to_owned(), unit: unit.to_owned() };
        assembler.push_metadata(metric, metadata)?;
    }
    Ok(())
}

/// The type of that number, the same in both protocols; unknown numbers say nothing.
pub(super) fn type_of(number: u64) -> MetricType {
    let known = usize::try_from(number).ok().and_then(|number| MetricType::ALL.get(number));
    known.copied().unwrap_or_default()
}
