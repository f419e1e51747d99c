//! Reads a log file back, past damage.

use std::collections::HashMap;

use foldhash::fast::RandomState;

use crate::encoding::{ByteReader, DecodeError};
use crate::model::{Fingerprint, Labels, TenantId, Timestamp};
use crate::storage::{Batch, SeriesIdentity};

use super::encode::series_check;
use super::payload;
use super::record::{
    FILE_HEADER_BYTES, FileHeader, Found, RecordHeader, RecordKind, check_file_header, find_record,
    resynchronise,
};

/// One record's content.
#[derive(Debug)]
pub struct LoggedBatch {
    /// Its sequence number; records of one batch share it.
    pub seq: u64,
    /// Whose it is.
    pub tenant: TenantId,
    /// What it says.
    pub batch: Batch,
}

/// What was found in a log file.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LogReport {
    /// Sound records, those with series definitions included.
    pub records: u64,
    /// Highest sequence number of a sound record; 0 where there is none.
    pub seq_max: u64,
    /// Damaged places that were skipped, with the first byte of each and the rule that is broken.
    pub damaged: Vec<(u64, &'static str)>,
    /// The file ends within a record: the trace of a crash or of an abandoned write, and no loss.
    pub torn_at: Option<u64>,
}

/// Reads log file `number`, giving every record with a sequence number above `skip_through` to `visit`, in file order.
///
/// Damage is skipped and reported; an error means that a later version wrote the file.
pub fn read_log_file(
    bytes: &[u8],
    number: u64,
    skip_through: u64,
    visit: impl FnMut(LoggedBatch),
) -> Result<LogReport, DecodeError> {
    read_log_file_with(bytes, number, skip_through, |_, _| SeriesIdentity::Labels, visit)
}

/// The same; `identify` is asked for each series of the file before its first batch, and one that it knows comes without
/// labels from then on.
pub fn read_log_file_with(
    bytes: &[u8],
    number: u64,
    skip_through: u64,
    mut identify: impl FnMut(&TenantId, &Labels) -> SeriesIdentity,
    mut visit: impl FnMut(LoggedBatch),
) -> Result<LogReport, DecodeError> {
    let mut reader = LogReader::new(number);
    while let Some(logged) = reader.next_with(bytes, skip_through, &mut identify)? {
        visit(logged);
    }
    Ok(reader.report)
}

/// Reads a log file record by record; one that still grows, too.
#[derive(Debug)]
pub struct LogReader {
    number: u64,
    /// Where the next record is looked for.
    at: usize,
    series: DefinedSeries,
    report: LogReport,
}

impl LogReader {
    /// At the start of log file `number`.
    pub fn new(number: u64) -> Self {
        Self { number, at: 0, series: DefinedSeries::default(), report: LogReport::default() }
    }

    /// The file's number.
    pub fn number(&self) -> u64 {
        self.number
    }

    /// Bytes of the file that were read.
    pub fn offset(&self) -> u64 {
        self.at as u64
    }

    /// What was found so far.
    pub fn report(&self) -> &LogReport {
        &self.report
    }

    /// The next record with a sequence number above `skip_through`; `None` where no further one stands in `bytes`, which
    /// are the file's from its start. They may be more at the next call, never fewer, and are otherwise the same.
    ///
    /// Damage is skipped and reported; an error means that a later version wrote the file.
    pub fn next(&mut self, bytes: &[u8], skip_through: u64) -> Result<Option<LoggedBatch>, DecodeError> {
        self.next_with(bytes, skip_through, &mut |_, _| SeriesIdentity::Labels)
    }

    /// See [`read_log_file_with`].
    fn next_with(
        &mut self,
        bytes: &[u8],
        skip_through: u64,
        identify: &mut Identify<'_>,
    ) -> Result<Option<LoggedBatch>, DecodeError> {
        if self.at == 0 && !self.read_file_header(bytes)? {
            return Ok(None);
        }
        while self.at < bytes.len() {
            let (rule, search_from) = match find_record(bytes, self.number, self.at) {
                Found::Record { header, payload, next } => {
                    let place = std::mem::replace(&mut self.at, next) as u64;
                    match self.take_record(place, &header, payload, skip_through, identify) {
                        Some(logged) => return Ok(Some(logged)),
                        None => continue,
                    }
                }
                Found::DamagedPayload { next } => ("record does not fit its checksum", next),
                Found::Nothing => ("no record begins here", self.at + 1),
            };
            match resynchronise(bytes, self.number, search_from) {
                Some(next) => {
                    self.report.damaged.push((self.at as u64, rule));
                    self.report.torn_at = None;
                    self.at = next;
                }
                None => {
                    self.report.torn_at = Some(self.at as u64);
                    break;
                }
            }
        }
        Ok(None)
    }

    /// Whether there is more than the file's header to read.
    fn read_file_header(&mut self, bytes: &[u8]) -> Result<bool, DecodeError> {
        match check_file_header(bytes, self.number) {
            FileHeader::Sound => {}
            FileHeader::Damaged if bytes.len() < FILE_HEADER_BYTES => {
                self.report.torn_at = Some(0);
                return Ok(false);
            }
            FileHeader::Damaged => self.report.damaged.push((0, "file header is damaged")),
            FileHeader::Newer(_) => {
                return Err(DecodeError { offset: 8, rule: "log format is newer than this program reads" });
            }
        }
        self.at = FILE_HEADER_BYTES;
        Ok(true)
    }

    fn take_record(
        &mut self,
        place: u64,
        header: &RecordHeader,
        payload: &[u8],
        skip_through: u64,
        identify: &mut Identify<'_>,
    ) -> Option<LoggedBatch> {
        self.report.records += 1;
        self.report.seq_max = self.report.seq_max.max(header.seq);
        self.report.torn_at = None;
        let mut logged = None;
        let replayed = replay(header, payload, skip_through, &mut self.series, identify, &mut |found| {
            logged = Some(found);
        });
        if let Err(error) = replayed {
            self.report.damaged.push((place + error.offset, error.rule));
        }
        logged
    }
}

/// Tells how a series of a tenant is known.
type Identify<'a> = dyn FnMut(&TenantId, &Labels) -> SeriesIdentity + 'a;

/// A series that a file has defined.
#[derive(Debug)]
struct Defined {
    tenant: TenantId,
    labels: Labels,
    fingerprint: Fingerprint,
    /// `None` before its first use.
    identity: Option<SeriesIdentity>,
}

/// The series that a file has defined so far.
#[derive(Debug, Default)]
struct DefinedSeries {
    series: HashMap<u64, Defined, RandomState>,
}

impl DefinedSeries {
    fn get(&mut self, reference: u64, check: u32, tenant: &TenantId) -> Option<&mut Defined> {
        let defined = self.series.get_mut(&reference)?;
        (defined.tenant == *tenant && series_check(defined.fingerprint) == check).then_some(defined)
    }
}

fn replay(
    header: &RecordHeader,
    payload: &[u8],
    skip_through: u64,
    series: &mut DefinedSeries,
    identify: &mut Identify<'_>,
    visit: &mut impl FnMut(LoggedBatch),
) -> Result<(), DecodeError> {
    let mut reader = ByteReader::new(payload);
    let tenant = TenantId::new(reader.text()?);
    let kind = RecordKind::from_number(header.kind).ok_or(reader.error("record has an unknown kind"))?;
    if kind == RecordKind::Series {
        return define_series(&mut reader, &tenant, series);
    }
    if header.seq <= skip_through {
        return Ok(());
    }
    let mut batch = Batch::default();
    let mut users = Users { tenant: &tenant, series, identify };
    let result = match kind {
        RecordKind::Series => unreachable!("definitions were dealt with"),
        RecordKind::Floats => {
            let mut times = Times::begin(&mut reader)?;
            each_series(&mut reader, &mut users, &mut batch, 9, |reader, batch| {
                let (timestamp, start) = times.next(reader)?;
                let value = reader.f64()?;
                if let Some(batch) = batch {
                    batch.push_float(timestamp, start, value);
                }
                Ok(())
            })
        }
        RecordKind::Histograms => {
            let mut times = Times::begin(&mut reader)?;
            each_series(&mut reader, &mut users, &mut batch, 20, |reader, batch| {
                let (timestamp, start) = times.next(reader)?;
                let histogram = payload::histogram(reader)?.into();
                if let Some(batch) = batch {
                    batch.push_histogram(timestamp, start, histogram);
                }
                Ok(())
            })
        }
        RecordKind::Exemplars => each_series(&mut reader, &mut users, &mut batch, 10, |reader, batch| {
            let exemplar = payload::exemplar(reader)?;
            if let Some(batch) = batch {
                batch.push_exemplar(exemplar);
            }
            Ok(())
        }),
        RecordKind::Metadata => read_metadata(&mut reader, &mut batch),
    };
    if !batch.is_empty() {
        visit(LoggedBatch { seq: header.seq, tenant, batch });
    }
    result
}

fn define_series(
    reader: &mut ByteReader<'_>,
    tenant: &TenantId,
    series: &mut DefinedSeries,
) -> Result<(), DecodeError> {
    let mut reference = 0_u64;
    while !reader.is_empty() {
        reference = reference.wrapping_add_signed(reader.signed()?);
        let labels = payload::labels(reader)?;
        let fingerprint = labels.fingerprint();
        let defined = Defined { tenant: tenant.clone(), labels, fingerprint, identity: None };
        series.series.insert(reference, defined);
    }
    Ok(())
}

fn read_metadata(reader: &mut ByteReader<'_>, batch: &mut Batch) -> Result<(), DecodeError> {
    while !reader.is_empty() {
        let (metric, metadata) = payload::metadata(reader)?;
        batch.push_metadata(&metric, metadata);
    }
    Ok(())
}

/// Whose series a record uses.
struct Users<'a, 'b> {
    tenant: &'a TenantId,
    series: &'a mut DefinedSeries,
    identify: &'a mut Identify<'b>,
}

impl Users<'_, '_> {
    /// Begins the series in `batch`; `false` where the file does not define it.
    fn begin(&mut self, reference: u64, check: u32, batch: &mut Batch) -> bool {
        let Some(defined) = self.series.get(reference, check, self.tenant) else { return false };
        let (tenant, identify) = (self.tenant, &mut *self.identify);
        let identity = *defined.identity.get_or_insert_with(|| identify(tenant, &defined.labels));
        match identity {
            SeriesIdentity::Known(handle) => batch.begin_known(handle),
            SeriesIdentity::Labels | SeriesIdentity::Raw(_) => batch.begin_series(&defined.labels),
        }
        true
    }
}

/// Reads the series of a record with their entries. Entries of a series that the file does not define (its definition
/// was damaged) are read past, with `None` for a batch, and reported at the end.
fn each_series(
    reader: &mut ByteReader<'_>,
    users: &mut Users<'_, '_>,
    batch: &mut Batch,
    entry_bytes_min: usize,
    mut entry: impl FnMut(&mut ByteReader<'_>, Option<&mut Batch>) -> Result<(), DecodeError>,
) -> Result<(), DecodeError> {
    let mut reference = 0_u64;
    let mut unknown = None;
    while !reader.is_empty() {
        let place = reader.error("record uses a series that the file does not define");
        reference = reference.wrapping_add_signed(reader.signed()?);
        let check = reader.u32()?;
        let count = reader.count(entry_bytes_min)?;
        let is_defined = users.begin(reference, check, batch);
        if !is_defined {
            unknown = Some(place);
        }
        for _ in 0..count {
            entry(reader, is_defined.then_some(&mut *batch))?;
        }
    }
    unknown.map_or(Ok(()), Err)
}

/// Times of a record's samples, from the differences that are stored.
struct Times {
    has_starts: bool,
    timestamp: Timestamp,
    start: Timestamp,
}

impl Times {
    fn begin(reader: &mut ByteReader<'_>) -> Result<Self, DecodeError> {
        let has_starts = match reader.u8()? {
            0 => false,
            1 => true,
            _ => return Err(reader.error("flag is neither 0 nor 1")),
        };
        Ok(Self { has_starts, timestamp: 0, start: 0 })
    }

    fn next(&mut self, reader: &mut ByteReader<'_>) -> Result<(Timestamp, Timestamp), DecodeError> {
        self.timestamp = self.timestamp.wrapping_add(reader.signed()?);
        if self.has_starts {
            self.start = self.start.wrapping_add(reader.signed()?);
        }
        Ok((self.timestamp, self.start))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fs::{Fs, RealFs};
    use crate::wal::{BatchEncoder, LogLimits, LogWriter, RejectedSet, SeriesUse, log_file_name};
    use std::sync::Arc;

    /// A log file with three batches of two series.
    fn file() -> Vec<u8> {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let fs: Arc<dyn Fs> = Arc::new(RealFs::copied());
        let limits = LogLimits { file_bytes: 1 << 20 };
        let mut log = LogWriter::new(Arc::clone(&fs), directory.path().into(), limits, 1, Vec::new());
        for seq in 1..=3_u64 {
            let mut batch = Batch::default();
            let mut used = Vec::new();
            for (reference, name) in [(0, "a"), (1, "b")] {
                let labels = Labels::from_pairs([("__name__", name)]);
                batch.begin_series(&labels);
                batch.push_float(seq.cast_signed() * 1_000, 500, seq as f64);
                used.push(SeriesUse { reference, fingerprint: labels.fingerprint() });
            }
            let rejected = RejectedSet::default();
            let encoded = BatchEncoder::new(&batch, &used, &rejected).encode(&TenantId::new("t"));
            log.begin_group().expect("the disk works");
            log.stage(seq, &TenantId::new("t"), &used, &encoded, |at| batch.labels_of(&batch.series[at]));
            log.commit(true).expect("the disk works");
        }
        fs.read(&directory.path().join(log_file_name(1))).expect("the file is there")
    }

    fn read(bytes: &[u8]) -> (Vec<(u64, usize)>, LogReport) {
        let mut found = Vec::new();
        let report = read_log_file(bytes, 1, 0, |logged| {
            assert_eq!(logged.tenant, TenantId::new("t"));
            for entry in &logged.batch.floats {
                assert_eq!(entry.timestamp, logged.seq.cast_signed() * 1_000);
                assert_eq!((entry.start_timestamp, entry.value), (500, logged.seq as f64));
            }
            found.push((logged.seq, logged.batch.floats.len()));
        });
        (found, report.expect("the version is this one"))
    }

    #[test]
    fn records_come_back_in_order() {
        let (found, report) = read(&file());
        assert_eq!(found, [(1, 2), (2, 2), (3, 2)]);
        assert_eq!((report.records, report.seq_max, report.torn_at), (4, 3, None));
        assert_eq!(report.damaged, []);
        let mut later = Vec::new();
        read_log_file(&file(), 1, 2, |logged| later.push(logged.seq)).expect("the version is this one");
        assert_eq!(later, [3]);
    }

    #[test]
    fn a_file_cut_anywhere_gives_what_is_whole() {
        let bytes = file();
        for end in 0..bytes.len() {
            let (found, report) = read(&bytes[..end]);
            assert!(found.iter().enumerate().all(|(at, (seq, _))| *seq == at as u64 + 1), "cut at {end}");
            assert_eq!(report.damaged, [], "cut at {end}");
        }
    }

    #[test]
    fn a_flipped_bit_costs_one_record_and_is_reported() {
        let bytes = file();
        let whole = read(&bytes).0;
        for bit in FILE_HEADER_BYTES * 8..bytes.len() * 8 {
            let mut bytes = bytes.clone();
            bytes[bit / 8] ^= 1 << (bit % 8);
            let (found, report) = read(&bytes);
            let is_noticed = !report.damaged.is_empty() || report.torn_at.is_some();
            assert!(is_noticed, "bit {bit}");
            // The definitions' record comes first, and without it nothing can be told apart.
            let lost = whole.iter().filter(|record| !found.contains(record)).count();
            assert!(lost <= 1 || found.is_empty(), "bit {bit}: {lost} records lost");
        }
    }

    #[test]
    fn a_damaged_file_header_costs_nothing() {
        let mut bytes = file();
        bytes[3] ^= 1;
        let (found, report) = read(&bytes);
        assert_eq!((found.len(), report.damaged.len()), (3, 1));
    }
}
