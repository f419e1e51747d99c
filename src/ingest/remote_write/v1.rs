//! Protocol 1.0: `prometheus.WriteRequest`, labels spelled out in each series.

use crate::ingest::protobuf::{ProtobufError, ProtobufProblem, Reader};
use crate::model::{Label, Metadata, MetricType, Timestamp};
use crate::storage::FloatEntry;

use super::WriteRequestError;
use super::assemble::Assembler;
use super::decode::Decoded;
use super::histogram;

pub(super) fn decode(plain: &[u8]) -> Result<Decoded, WriteRequestError> {
    let mut assembler = Assembler::default();
    let mut request = Reader::new(plain, "prometheus.WriteRequest");
    while let Some(tag) = request.next_tag()? {
        match tag.field {
            1 => read_series(request.message(tag, "timeseries")?, &mut assembler)?,
            3 => read_metadata(request.message(tag, "metadata")?, &mut assembler)?,
            _ => request.skip(tag)?,
        }
    }
    Ok(assembler.decoded)
}

fn read_series<'a>(mut series: Reader<'a>, assembler: &mut Assembler<'a>) -> Result<(), WriteRequestError> {
    let start = series.offset();
    let mut bad_text: Option<ProtobufError> = None;
    assembler.begin_series();
    while let Some(tag) = series.next_tag()? {
        match tag.field {
            1 => match read_label(series.message(tag, "timeseries.labels")?)? {
                Ok(label) => assembler.labels.push(label),
                Err(error) => bad_text = Some(error),
            },
            2 => {
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
    let samples = assembler.samples_seen() as u64;
    let ended = match bad_text {
        Some(_) => {
            assembler.drop_series();
            Ok(())
        }
        None => assembler.end_series(),
    };
    if ended.is_ok() && bad_text.is_none() {
        return Ok(());
    }
    // Upstream answers 204 all the same: only the log and a counter tell.
    let Assembler { decoded, labels, .. } = assembler;
    decoded.samples_with_invalid_labels += samples;
    decoded.notes.push(|| match (bad_text, ended) {
        (None, Err(problem)) => format!("series at byte {start} is left out: {}", problem.describe(labels)),
        (bad_text, _) => {
            let error = bad_text.map(|error| error.to_string()).unwrap_or_default();
            format!("series at byte {start} is left out: {error}")
        }
    });
    Ok(())
}

/// A label; the inner error is a text that is not UTF-8, which spoils the series but not the request.
fn read_label(mut reader: Reader<'_>) -> Result<Result<Label<'_>, ProtobufError>, ProtobufError> {
    let mut label = Label { name: "", value: "" };
    while let Some(tag) = reader.next_tag()? {
        let text = match tag.field {
            1 => reader.text(tag, "timeseries.labels.name").map(|name| label.name = name),
            2 => reader.text(tag, "timeseries.labels.value").map(|value| label.value = value),
            _ => reader.skip(tag),
        };
        match text {
            Ok(()) => {}
            Err(error) if error.problem == ProtobufProblem::Utf8 => return Ok(Err(error)),
            Err(error) => return Err(error),
        }
    }
    Ok(Ok(label))
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
    let mut is_sound = true;
    while let Some(tag) = reader.next_tag()? {
        match tag.field {
            1 => match read_label(reader.message(tag, "timeseries.exemplars.labels")?)? {
                Ok(label) => labels.push(label),
                Err(_) => is_sound = false,
            },
            2 => value = reader.double(tag, "timeseries.exemplars.value")?,
            3 => timestamp = reader.int64(tag, "timeseries.exemplars.timestamp")?,
            _ => reader.skip(tag)?,
        }
    }
    if is_sound {
        // Under 1.0 an exemplar that cannot be kept is no error.
        assembler.push_exemplar(&labels, value, timestamp)?;
    } else {
        assembler.decoded.exemplars_dropped += 1;
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
