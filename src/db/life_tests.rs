//! The life of stored data over months: compaction, retention, clocks that are wrong, disks that are full or failing.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use super::*;
use crate::clock::{Clock, SimulatedClock};
use crate::fs::{FaultFs, Fs, RealFs};
use crate::model::{Labels, Matcher, TenantId, TimeSpan, Timestamp};
use crate::storage::{
    Acceptance, Append, AppendError, Batch, Columns, Select, SelectError, SelectRequest, SymbolTable,
};

const HOUR: i64 = 3_600_000;
const DAY: i64 = 24 * HOUR;
const YEAR: i64 = 365 * DAY;
const BASE: i64 = 1_700_000_000_000;

/// A database in memory, its clock, and what it has to answer.
struct Life {
    fs: FaultFs,
    clock: SimulatedClock,
    database: Arc<Database>,
    expected: BTreeMap<(u8, Timestamp), f64>,
}

impl Life {
    fn new(retention: Retention) -> Self {
        let (fs, clock) = (FaultFs::default(), SimulatedClock::at_ms(BASE));
        let mut options = DatabaseOptions::new(Path::new("/data"));
        options.fs = Arc::new(fs.clone());
        options.clock = Clock::Simulated(clock.clone());
        options.shards = 1;
        options.retention = retention;
        let database = Database::open(options).expect("no fault is due");
        Self { fs, clock, database, expected: BTreeMap::new() }
    }

    fn append(&mut self, samples: &[(u8, Timestamp, f64)]) -> Result<(), AppendError> {
        append(&self.database, samples)?;
        self.expected.extend(samples.iter().map(|(series, t, v)| ((*series, *t), *v)));
        Ok(())
    }

    /// Does all background work that is due, flushing first.
    fn work(&self) {
        self.database.flush_head().expect("no fault is due");
        while self.database.step().expect("no fault is due") {}
    }

    fn check(&self) {
        let stored = stored(&self.database, TimeSpan::ALL).expect("it is readable");
        assert_eq!(stored.len(), self.expected.len());
        assert!(stored == self.expected, "the values differ");
    }

    /// Bytes that were written to segments for each that a flush wrote.
    fn amplification(&self) -> f64 {
        let stats = self.database.stats();
        (stats.flushed_bytes + stats.compacted_bytes) as f64 / stats.flushed_bytes as f64
    }
}

fn append(database: &Database, samples: &[(u8, Timestamp, f64)]) -> Result<(), AppendError> {
    let mut batch = Batch::default();
    for (series, t, v) in samples {
        batch.begin_series(&Labels::from_pairs([("__name__", "m"), ("s", &series.to_string())]));
        batch.push_float(*t, 0, *v);
    }
    database.append(&TenantId::default(), batch, &Acceptance::EVERYTHING).map(drop)
}

/// All samples of the metric `m`, by the label `s` and their time.
pub(super) fn stored(
    database: &Database,
    span: TimeSpan,
) -> Result<BTreeMap<(u8, Timestamp), f64>, SelectError> {
    let matchers = [Matcher::equal("__name__", "m")];
    let mut symbols = SymbolTable::default();
    let request = SelectRequest::samples(&matchers, span);
    let selection = database.select(&TenantId::default(), &request, &mut symbols)?;
    let mut columns = Columns::default();
    selection.read(0..selection.len(), &mut columns)?;
    let mut stored = BTreeMap::new();
    for row in 0..selection.len() {
        let labels = selection.labels(row, &symbols);
        let series = labels.get("s").and_then(|s| s.parse().ok()).expect("every series was sent");
        let data = columns.row(row);
        stored.extend(data.timestamps.iter().zip(data.values).map(|(t, v)| ((series, *t), *v)));
    }
    Ok(stored)
}

/// Pseudo-random numbers below `end`.
fn random(state: &mut u64, end: i64) -> i64 {
    *state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
    i64::try_from(*state >> 33).expect("31 bits fit") % end
}

/// `PERDURA_LIFE_DAYS` asks for more.
fn days(default: i64) -> i64 {
    std::env::var("PERDURA_LIFE_DAYS").ok().and_then(|days| days.parse().ok()).unwrap_or(default)
}

#[test]
fn late_data_in_a_trickle_stays_in_few_files_and_is_rewritten_little() {
    let mut life = Life::new(Retention::default());
    let mut state = 1;
    let mut files_max = 0;
    for step in 0..days(20) * 6 {
        life.clock.advance_ms(4 * HOUR);
        let now = BASE + (step + 1) * 4 * HOUR;
        let mut samples = Vec::new();
        for series in 0..3_u8 {
            samples.extend((0..48).map(|at| (series, now - at * 300_000, random(&mut state, 1_000) as f64)));
            // A twelfth comes late, by up to two months.
            for _ in 0..4 {
                let late = now - random(&mut state, 60 * DAY / 1_000) * 1_000;
                samples.push((series, late, random(&mut state, 1_000) as f64));
            }
        }
        life.append(&samples).expect("no fault is due");
        life.work();
        files_max = files_max.max(life.database.stats().segments);
    }
    life.check();
    let amplification = life.amplification();
    println!("files: at most {files_max}; bytes written for each flushed: {amplification:.1}");
    assert!(files_max <= 120, "{files_max} files");
    assert!(amplification <= 12.0, "{amplification} bytes written for each that was flushed");
    assert_eq!(
        life.fs.list(Path::new("/data/segments")).expect("no fault is due").len() as u64,
        life.database.stats().segments
    );
}

#[test]
fn a_backfill_of_ninety_days_is_written_a_few_times() {
    let mut life = Life::new(Retention::default());
    let mut state = 2;
    let mut files_max = 0;
    // Nine hours at a time, oldest first, while the newest data comes too.
    for step in 0..240 {
        life.clock.advance_ms(60_000);
        let now = BASE + (step + 1) * 60_000;
        let from = BASE - 90 * DAY + step * 9 * HOUR;
        let mut samples = Vec::new();
        for series in 0..2_u8 {
            samples.push((series, now, 1.0));
            samples
                .extend((0..108).map(|at| (series, from + at * 300_000, random(&mut state, 1_000) as f64)));
        }
        life.append(&samples).expect("no fault is due");
        if step % 3 == 2 {
            life.work();
        }
        files_max = files_max.max(life.database.stats().segments);
    }
    life.check();
    let amplification = life.amplification();
    println!("files: at most {files_max}; bytes written for each flushed: {amplification:.1}");
    assert!(files_max <= 60, "{files_max} files");
    assert!(amplification <= 8.0, "{amplification} bytes written for each that was flushed");
}

#[test]
fn data_all_over_the_years_ends_in_windows_of_its_own() {
    let mut life = Life::new(Retention::default());
    let mut state = 3;
    for _ in 0..15 {
        // More windows than a flush has outputs.
        let samples: Vec<_> = (0..150)
            .map(|_| (0, BASE - random(&mut state, 12 * 365) * DAY, random(&mut state, 1_000) as f64))
            .collect();
        life.append(&samples).expect("no fault is due");
        life.work();
        life.clock.advance_ms(HOUR);
    }
    life.check();
    let view = life.database.view();
    let overlays = view.segments.iter().filter(|s| windows::window_length(s.meta().window).is_none()).count();
    assert_eq!(overlays, 0, "they were cut");
    assert!(view.segments.len() <= 400, "{} files", view.segments.len());
    let all: u64 = view.segments.iter().map(|segment| segment.meta().samples).sum();
    assert!(all <= life.expected.len() as u64 * 2, "{all} samples for {}", life.expected.len());
    println!("bytes written for each flushed: {:.1}, {} files", life.amplification(), view.segments.len());
}

#[test]
fn the_oldest_data_goes_when_there_is_too_much() {
    let limit = 40_000;
    let mut life = Life::new(Retention { bytes: limit, ..Retention::default() });
    let mut state = 4;
    for step in 0..300 {
        life.clock.advance_ms(6 * HOUR);
        let now = BASE + (step + 1) * 6 * HOUR;
        let samples: Vec<_> =
            (0..72).map(|at| (0, now - at * 300_000, random(&mut state, 1_000_000) as f64)).collect();
        life.append(&samples).expect("no fault is due");
        life.work();
        let stats = life.database.stats();
        assert!(stats.segment_bytes + stats.log_bytes <= limit, "{stats:?}");
    }
    let stats = life.database.stats();
    assert!(stats.size_retentions > 0 && stats.time_retentions == 0, "{stats:?}");
    // What is left is the newest, without holes, and a good part of what may be kept.
    let stored = stored(&life.database, TimeSpan::ALL).expect("it is readable");
    let oldest = stored.keys().next().expect("something is left").1;
    life.expected.retain(|(_, t), _| *t >= oldest);
    life.check();
    assert!(stats.segment_bytes >= limit * 3 / 4, "{} of {limit} bytes", stats.segment_bytes);
}

#[test]
fn a_share_of_the_device_is_a_limit_too() {
    let mut life = Life::new(Retention { percentage: 10.0, bytes: 1, ..Retention::default() });
    life.fs.set_capacity(40 << 20);
    let samples: Vec<_> = (0..500).map(|at| (0, BASE - at * HOUR, at as f64)).collect();
    life.append(&samples).expect("there is room");
    life.work();
    life.check();
    life.fs.set_capacity(20_000);
    life.work();
    let stats = life.database.stats();
    assert!(stats.size_retentions > 0 && stats.segment_bytes <= 2_000, "{stats:?}");
}

#[test]
fn a_clock_that_jumps_loses_nothing() {
    let mut life = Life::new(Retention { time_ms: 15 * DAY, ..Retention::default() });
    let day = |at: i64| (0..24).map(|hour| (0, at - hour * HOUR, hour as f64)).collect::<Vec<_>>();
    let before: Vec<_> = (0..14).rev().flat_map(|days| day(BASE - days * DAY)).collect();
    life.append(&before).expect("no fault is due");
    life.work();
    for jump in [YEAR, -YEAR, 10 * YEAR, -10 * YEAR, 30 * DAY] {
        life.clock.set_ms(BASE + jump);
        // For two hours everything is written with the wrong time.
        for step in 0..24 {
            life.append(&[(1, BASE + jump + step * 300_000, 1.0)]).expect("no fault is due");
            life.work();
            life.clock.advance_ms(300_000);
        }
        life.clock.set_ms(BASE);
        life.append(&[(2, BASE, jump as f64)]).expect("no fault is due");
        life.work();
        let stored = stored(&life.database, TimeSpan::ALL).expect("it is readable");
        let is_there = |(series, t, _): &(u8, Timestamp, f64)| stored.contains_key(&(*series, *t));
        assert!(before.iter().all(is_there), "a jump by {} days", jump / DAY);
    }
}

#[test]
fn after_a_long_pause_retention_goes_on_a_day_later() {
    let mut life = Life::new(Retention { time_ms: 5 * DAY, ..Retention::default() });
    life.append(&[(0, BASE - 4 * DAY, 1.0)]).expect("no fault is due");
    life.work();
    life.clock.advance_ms(10 * DAY);
    life.append(&[(0, BASE + 10 * DAY, 1.0)]).expect("no fault is due");
    life.work();
    assert_eq!(life.database.stats().segments_expired, 0);
    for _ in 0..150 {
        life.clock.advance_ms(10 * 60_000);
        life.work();
    }
    assert_eq!(life.database.stats().segments_expired, 1);
}

#[test]
fn a_full_device_lets_go_of_old_data_and_takes_writes_again() {
    let mut life = Life::new(Retention::default());
    life.fs.set_capacity(32 << 20);
    let mut state = 5;
    let mut at = BASE;
    // The room for a full disk is taken when there is nothing else to do.
    life.work();
    assert!(life.fs.len(Path::new("/data/reserve")).is_ok_and(|len| len == 1 << 20));
    let used = 1 << 20;
    life.fs.set_capacity(used + 200_000);
    let mut fill = |life: &mut Life| {
        at += DAY;
        let samples: Vec<_> =
            (0..500).map(|step| (0, at + step * 60_000, random(&mut state, i64::MAX >> 34) as f64)).collect();
        life.append(&samples).and_then(|()| {
            life.database.flush_head().map_err(|error| AppendError::Unavailable(error.to_string()))
        })
    };
    while fill(&mut life).is_ok() {}
    for _ in 0..5 {
        assert!(fill(&mut life).is_err(), "the device is full");
        stored(&life.database, TimeSpan::ALL).expect("reading goes on");
    }
    assert!(life.database.flush_head().is_err());
    // Somebody asks for less: that takes a manifest, for which there is no room but the one that was kept.
    life.fs.set_capacity(0);
    life.database.set_retention(Retention { bytes: 100_000, ..Retention::default() });
    let _ = life.database.compaction_step(false);
    assert!(life.database.stats().size_retentions == 0, "no room at all");
    life.fs.set_capacity(used + 200_000);
    life.database.compaction_step(false).expect("there is room for a manifest");
    assert!(life.database.stats().size_retentions > 0);
    assert!(fill(&mut life).is_ok(), "writing goes on by itself");
    life.work();
    let stored = stored(&life.database, TimeSpan::ALL).expect("it is readable");
    assert!(stored.iter().all(|(key, value)| life.expected.get(key).is_none_or(|sent| sent == value)));
}

/// Two days of 40 series with values that do not compress, a segment for each day.
fn two_days(directory: &Path) -> Arc<Database> {
    let mut options = DatabaseOptions::new(directory);
    options.clock = Clock::Simulated(SimulatedClock::at_ms(BASE));
    options.fs = Arc::new(RealFs::mapped());
    // Windows of a day at most.
    options.retention.time_ms = 15 * DAY;
    let database = Database::open(options).expect("the directory is free");
    let mut state = 6;
    for days in [5, 1] {
        let samples: Vec<_> = (0..40)
            .flat_map(|series| (0..500).map(move |step| (series, step)))
            .map(|(series, step)| {
                let value =
                    random(&mut state, i64::MAX >> 33) as f64 / 1e5 + random(&mut state, 1_000_000) as f64;
                (series, BASE - days * DAY - 10 * HOUR + step * 15_000, value.sqrt())
            })
            .collect();
        append(&database, &samples).expect("the disk works");
        database.flush().expect("the disk works");
    }
    assert_eq!(database.stats().segments, 2);
    database
}

#[test]
fn a_segment_that_is_cut_off_under_a_running_database_costs_itself_alone() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    for keep in [0, 5_000, 70_000] {
        let path = directory.path().join(keep.to_string());
        let database = two_days(&path);
        let old = TimeSpan::new(BASE - 6 * DAY, BASE - 4 * DAY);
        let new = TimeSpan::new(BASE - 2 * DAY, BASE);
        let before = stored(&database, new).expect("it is readable");
        assert_eq!((before.len(), stored(&database, old).expect("it is readable").len()), (20_000, 20_000));
        let view = database.view();
        let victim = view.segments.iter().find(|segment| segment.meta().span.overlaps(old));
        let victim = victim.expect("it is there").path().to_owned();
        let file = std::fs::OpenOptions::new().write(true).open(&victim).expect("it is there");
        assert!(file.metadata().expect("it is there").len() > 100_000);
        file.set_len(keep).expect("the disk works");
        let error = stored(&database, old).expect_err("its bytes are gone").to_string();
        assert!(error.contains(&victim.display().to_string()), "{error}");
        assert!(stored(&database, TimeSpan::ALL).is_err());
        assert_eq!(stored(&database, new).expect("the other is whole"), before);
        assert_eq!(database.stats().damaged_segments, 1);
        // Everything else goes on, and the segment is left alone.
        append(&database, &[(0, BASE, 1.0), (0, BASE - 5 * DAY, 1.0)]).expect("the disk works");
        database.flush().expect("the disk works");
        database.delete(&TenantId::default(), &[vec![Matcher::equal("s", "1")]], new).expect("it works");
        while database.step().expect("the disk works") {}
        assert_eq!(stored(&database, new).expect("the other is whole").len(), 19_501);
        drop((view, database));
        // Its end is gone: it is put aside when the database is opened.
        let mut options = DatabaseOptions::new(&path);
        options.clock = Clock::Simulated(SimulatedClock::at_ms(BASE));
        options.retention.time_ms = 15 * DAY;
        let database = Database::open(options).expect("the rest is whole");
        assert_eq!(database.stats().damaged_segments, 1);
        assert_eq!(stored(&database, TimeSpan::ALL).expect("it is readable").len(), 19_502);
        assert!(victim.with_extension("seg.damaged").exists());
    }
}

/// Kilobytes of this process that no file is mapped to.
fn anonymous_kilobytes() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").expect("Linux has it");
    let line = status.lines().find_map(|line| line.strip_prefix("RssAnon:")).expect("Linux has it");
    line.trim().trim_end_matches(" kB").parse().expect("a number")
}

/// Once to fill the directory, once more to merge: what filling leaves in the heap would hide what a merge takes.
#[test]
#[ignore = "measures; by hand, alone, with PERDURA_MERGE_DIRECTORY"]
fn how_much_memory_a_merge_takes() {
    let directory =
        std::env::var("PERDURA_MERGE_DIRECTORY").expect("an empty directory, or one this has filled");
    let mut options = DatabaseOptions::new(Path::new(&directory));
    options.clock = Clock::Simulated(SimulatedClock::at_ms(BASE + DAY));
    options.fs = Arc::new(RealFs::mapped());
    let database = Database::open(options).expect("the directory is free");
    if database.stats().segments == 0 {
        let mut state = 7;
        for flush in 0..4_i64 {
            for series in 0..200_u8 {
                let at = BASE - BASE % DAY + flush * 1_000;
                let value = |state: &mut u64| (random(state, i64::MAX >> 33) as f64).sqrt();
                let samples: Vec<_> =
                    (0..4_000).map(|step| (series, at + step * 1_700, value(&mut state))).collect();
                append(&database, &samples).expect("the disk works");
            }
            database.flush_head().expect("the disk works");
        }
        return;
    }
    let before = anonymous_kilobytes();
    let merged = std::thread::scope(|scope| {
        let merge = scope.spawn(|| database.compact_all());
        let mut most = before;
        while !merge.is_finished() {
            most = most.max(anonymous_kilobytes());
            std::thread::sleep(std::time::Duration::from_millis(1));
        }
        merge.join().expect("it does not panic").expect("the disk works");
        most - before
    });
    let stats = database.stats();
    println!("{} segments of {} bytes; a merge took {merged} kB", stats.segments, stats.segment_bytes);
}
