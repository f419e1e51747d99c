//! Exemplars and per-metric metadata.

use crate::encoding::{ByteReader, ByteWriter, DecodeError};
use crate::model::{Exemplar, Labels, Metadata, MetricType};

/// Bytes of an entry in the table of rows with exemplars: row and offset.
pub(super) const EXEMPLAR_ENTRY_BYTES: u64 = 8;
/// Fewest bytes of an exemplar.
const EXEMPLAR_BYTES_MIN: usize = 10;
/// Fewest bytes of a metadata entry.
const METADATA_BYTES_MIN: usize = 4;
/// Level of the general compression of help texts; they are read seldom.
const COMPRESSION_LEVEL: i32 = 3;
/// Most bytes of metadata that are unpacked.
const METADATA_BYTES_MAX: u64 = 1 << 28;

/// Appends the exemplars of one row.
pub(super) fn put_exemplars(exemplars: &[Exemplar], out: &mut ByteWriter) {
    out.put_varint(exemplars.len() as u64);
    let mut time_last = 0_i64;
    for exemplar in exemplars {
        out.put_sized(exemplar.labels.as_bytes());
        out.put_f64(exemplar.value);
        out.put_signed(exemplar.timestamp.wrapping_sub(time_last));
        time_last = exemplar.timestamp;
    }
}

/// Reads the exemplars of one row.
pub(super) fn read_exemplars(reader: &mut ByteReader<'_>) -> Result<Vec<Exemplar>, DecodeError> {
    let count = reader.count(EXEMPLAR_BYTES_MIN)?;
    let mut time_last = 0_i64;
    (0..count)
        .map(|_| {
            let malformed = reader.error("exemplar's labels are not canonical");
            let labels = Labels::from_bytes(reader.sized()?).map_err(|_| malformed)?;
            let value = reader.f64()?;
            time_last = time_last.wrapping_add(reader.signed()?);
            Ok(Exemplar { labels, value, timestamp: time_last })
        })
        .collect()
}

/// The metadata section: empty without entries, else the unpacked length and a zstd frame.
pub(super) fn metadata_section(entries: &[(String, Metadata)]) -> std::io::Result<Vec<u8>> {
    if entries.is_empty() {
        return Ok(Vec::new());
    }
    let mut plain = ByteWriter::default();
    plain.put_varint(entries.len() as u64);
    for (metric, metadata) in entries {
        plain.put_sized(metric.as_bytes());
        plain.put_u8(metadata.metric_type as u8);
        plain.put_sized(metadata.help.as_bytes());
        plain.put_sized(metadata.unit.as_bytes());
    }
    let mut out = ByteWriter::default();
    out.put_varint(plain.len() as u64);
    out.put(&zstd::bulk::compress(plain.as_slice(), COMPRESSION_LEVEL)?);
    Ok(out.into_bytes())
}

/// Reads the metadata section. Its bytes have passed their checksum.
pub(super) fn read_metadata(mut reader: ByteReader<'_>) -> Result<Vec<(String, Metadata)>, DecodeError> {
    if reader.is_empty() {
        return Ok(Vec::new());
    }
    let len = reader.varint_max(METADATA_BYTES_MAX, "metadata is larger than 256 MiB")?;
    let broken = reader.error("metadata cannot be unpacked");
    let plain = zstd::bulk::decompress(reader.rest(), len as usize).map_err(|_| broken)?;
    parse_metadata(&plain).map_err(|error| DecodeError { offset: broken.offset, rule: error.rule })
}

fn parse_metadata(plain: &[u8]) -> Result<Vec<(String, Metadata)>, DecodeError> {
    let mut reader = ByteReader::new(plain);
    let mut entries = Vec::new();
    for _ in 0..reader.count(METADATA_BYTES_MIN)? {
        let metric = reader.text()?.to_owned();
        let unknown = reader.error("unknown metric type");
        let metric_type = *MetricType::ALL.get(usize::from(reader.u8()?)).ok_or(unknown)?;
        let help = reader.text()?.to_owned();
        let unit = reader.text()?.to_owned();
        entries.push((metric, Metadata { metric_type, help, unit }));
    }
    reader.finish()?;
    Ok(entries)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exemplars_and_metadata_come_back() {
        let exemplars = [5_i64, 3, i64::MIN, i64::MAX].map(|timestamp| Exemplar {
            labels: Labels::from_pairs([("trace_id", "abc")]),
            value: -0.5,
            timestamp,
        });
        let mut out = ByteWriter::default();
        put_exemplars(&exemplars, &mut out);
        assert_eq!(read_exemplars(&mut ByteReader::new(out.as_slice())), Ok(exemplars.to_vec()));
        let entry = |metric: &str, help: &str| {
            let (help, unit) = (help.to_owned(), "s".to_owned());
            (metric.to_owned(), Metadata { metric_type: MetricType::Counter, help, unit })
        };
        let entries = [entry("a", "first"), entry("a", "second"), entry("b", "")];
        let section = metadata_section(&entries).expect("compresses");
        assert_eq!(read_metadata(ByteReader::new(&section)), Ok(entries.to_vec()));
        assert_eq!(read_metadata(ByteReader::new(&[])), Ok(Vec::new()));
        assert!(read_metadata(ByteReader::new(&section[..section.len() - 1])).is_err());
    }
}
