//! Power cuts and failing disks: what was acknowledged is there, and nothing that was never sent.
//!
//! A reference run is repeated with a fault at every single call of the file system.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use super::*;
use crate::clock::{Clock, SimulatedClock};
use crate::fs::{CrashMode, FaultFs, FaultKind, Fs};
use crate::model::{Labels, Matcher, TenantId, TimeSpan, Timestamp};
use crate::storage::{Acceptance, Append, Batch};

const BASE: i64 = 1_700_000_000_000;
const HOUR: i64 = 3_600_000;

/// Series and time of a sample.
type Key = (u8, Timestamp);

/// What was sent, in order, and which of it was acknowledged. A deletion is no value.
#[derive(Debug, Default)]
struct Ledger {
    sent: BTreeMap<Key, Vec<(Option<f64>, bool)>>,
    value_last: f64,
    /// Snapshots that were answered, with what was stored then.
    snapshots: Vec<(String, BTreeMap<Key, f64>)>,
}

impl Ledger {
    /// A batch of two samples for each of three series, with values that were never used before.
    fn batch(&mut self, at: Timestamp) -> (Batch, Vec<(Key, f64)>) {
        let mut batch = Batch::default();
        let mut content = Vec::new();
        for series in 0..3_u8 {
            batch.begin_series(&Labels::from_pairs([("__name__", "m"), ("s", &series.to_string())]));
            for t in [at, at + 15_000] {
                self.value_last += 1.0;
                batch.push_float(t, 0, self.value_last);
                content.push(((series, t), self.value_last));
            }
        }
        (batch, content)
    }

    /// Sends a batch; whether it was acknowledged.
    fn append(&mut self, database: &Database, at: Timestamp) -> bool {
        let (batch, content) = self.batch(at);
        let answer = database.append(&TenantId::default(), batch, &Acceptance::EVERYTHING);
        for (key, value) in content {
            self.sent.entry(key).or_default().push((Some(value), answer.is_ok()));
        }
        answer.is_ok()
    }

    /// Deletes one series' samples within a span.
    fn delete(&mut self, database: &Database, series: u8, span: TimeSpan) {
        let matchers = vec![Matcher::equal("__name__", "m"), Matcher::equal("s", &series.to_string())];
        let answer = database.delete(&TenantId::default(), &[matchers], span);
        for (key, history) in &mut self.sent {
            if key.0 == series && span.contains(key.1) {
                history.push((None, answer.is_ok()));
            }
        }
    }

    /// Takes a snapshot while nobody writes.
    fn snapshot(&mut self, database: &Database) {
        if let Ok(name) = database.snapshot(false) {
            self.snapshots.push((name, stored(database)));
        }
    }

    /// Each snapshot holds what was stored when it was answered.
    fn check_snapshots(&self, fs: &FaultFs, what: &str) {
        for (name, expected) in &self.snapshots {
            let mut config = options(fs);
            config.path = Path::new("/data/snapshots").join(name);
            let database = Database::open(config).unwrap_or_else(|error| panic!("{what}: {name}: {error}"));
            assert_eq!(stored(&database), *expected, "{what}: {name}");
        }
    }

    /// What may be stored at one place: what was acknowledged last, or what was sent after it.
    fn allowed(history: &[(Option<f64>, bool)]) -> &[(Option<f64>, bool)] {
        let from = history.iter().rposition(|(_, acknowledged)| *acknowledged).unwrap_or(0);
        &history[from..]
    }

    /// `is_restarted`: what was sent and not acknowledged may have become visible.
    fn check(&self, database: &Database, is_restarted: bool, what: &str) {
        let stored = stored(database);
        for (key, value) in &stored {
            let history = self.sent.get(key).unwrap_or_else(|| panic!("{what}: {key:?} was never sent"));
            let is_allowed = Self::allowed(history)
                .iter()
                .filter(|(_, acknowledged)| is_restarted || *acknowledged)
                .any(|(v, _)| v.is_some_and(|v| v.to_bits() == value.to_bits()));
            assert!(is_allowed, "{what}: {key:?} is {value}, sent: {history:?}");
        }
        for (key, history) in &self.sent {
            let may_be_gone = !history.iter().any(|(_, acknowledged)| *acknowledged)
                || Self::allowed(history).iter().any(|(value, _)| value.is_none());
            assert!(may_be_gone || stored.contains_key(key), "{what}: {key:?} is lost");
        }
    }
}

fn stored(database: &Database) -> BTreeMap<Key, f64> {
    super::life_tests::stored(database, TimeSpan::ALL).expect("it is readable")
}

fn options(fs: &FaultFs) -> DatabaseOptions {
    let mut options = DatabaseOptions::new(Path::new("/data"));
    options.fs = Arc::new(fs.clone());
    options.clock = Clock::Simulated(SimulatedClock::at_ms(BASE + 30 * HOUR));
    options.shards = 1;
    options.log_file_bytes = 600;
    options
}

/// Appends, flushes, compacts, overwrites, opens again. Goes on after errors.
fn reference_run(fs: &FaultFs, ledger: &mut Ledger) -> Option<Arc<Database>> {
    let open = || Database::open(options(fs)).or_else(|_| Database::open(options(fs))).ok();
    let mut database = open()?;
    for round in 0..3 {
        for step in 0..3 {
            ledger.append(&database, BASE + round * HOUR + step * 10_000);
        }
        let _ = database.flush();
        ledger.append(&database, BASE + round * 5_000);
        // Some of it is in the head, some in segments; in the first round the other way round.
        let series = u8::try_from(round).expect("rounds are few");
        ledger.delete(&database, series, TimeSpan::new(BASE + 5_000, BASE + round * HOUR + 20_000));
    }
    let _ = database.flush();
    ledger.append(&database, BASE + 5 * HOUR);
    drop(database);
    database = open()?;
    ledger.append(&database, BASE + 5 * HOUR);
    let _ = database.step();
    ledger.delete(&database, 0, TimeSpan::ALL);
    ledger.snapshot(&database);
    let _ = database.flush();
    ledger.append(&database, BASE + 15_000);
    let _ = database.clean_tombstones();
    Some(database)
}

fn calls_of_reference_run() -> u64 {
    let fs = FaultFs::default();
    let mut ledger = Ledger::default();
    let database = reference_run(&fs, &mut ledger).expect("no fault is due");
    let calls = fs.calls();
    ledger.check(&database, false, "reference run");
    let stats = database.stats();
    assert!(stats.flushes > 0 && stats.segments > 0, "the run flushes: {stats:?}");
    assert_eq!(ledger.snapshots.len(), 1);
    ledger.check_snapshots(&fs, "reference run");
    calls
}

#[test]
fn no_power_cut_loses_what_was_acknowledged() {
    for call in 1..=calls_of_reference_run() {
        let fs = FaultFs::default();
        fs.crash_at_call(call);
        let mut ledger = Ledger::default();
        drop(reference_run(&fs, &mut ledger));
        let seeds = (0..2).map(|seed| CrashMode::Random(call * 100 + seed));
        for mode in [CrashMode::DropUnsynced, CrashMode::KeepAll].into_iter().chain(seeds) {
            let what = format!("power cut at call {call}, {mode:?}");
            let after = fs.after_crash(mode);
            let database = Database::open(options(&after)).unwrap_or_else(|error| panic!("{what}: {error}"));
            ledger.check(&database, true, &what);
            ledger.check_snapshots(&after, &what);
            let shown = stored(&database);
            // What is shown once stays: another power cut at once changes nothing.
            drop(database);
            let again = after.after_crash(CrashMode::DropUnsynced);
            let database = Database::open(options(&again)).unwrap_or_else(|error| panic!("{what}: {error}"));
            assert_eq!(stored(&database), shown, "{what}");
            let stats = database.stats();
            assert_eq!((stats.damaged_records, stats.damaged_segments), (0, 0), "{what}");
            database.flush().unwrap_or_else(|error| panic!("{what}: {error}"));
            assert_eq!(stored(&database), shown, "{what}");
        }
    }
}

#[test]
fn no_failing_call_loses_what_was_acknowledged_or_stops_the_store() {
    for call in 1..=calls_of_reference_run() {
        for kind in [FaultKind::Io, FaultKind::NoSpace] {
            let what = format!("call {call} fails with {kind:?}");
            let fs = FaultFs::default();
            fs.fail_call(call, kind);
            let mut ledger = Ledger::default();
            let database = reference_run(&fs, &mut ledger).unwrap_or_else(|| panic!("{what}: cannot open"));
            ledger.check(&database, true, &what);
            let resumed = (0..2).any(|_| ledger.append(&database, BASE + 6 * HOUR));
            assert!(resumed, "{what}: writes resume");
            database.flush().unwrap_or_else(|error| panic!("{what}: flushing resumes: {error}"));
            ledger.check(&database, true, &what);
            drop(database);
            let after = fs.after_crash(CrashMode::DropUnsynced);
            let database = Database::open(options(&after)).unwrap_or_else(|error| panic!("{what}: {error}"));
            ledger.check(&database, true, &what);
        }
    }
}

#[test]
fn a_failed_sync_is_never_acknowledged_and_shows_nothing() {
    let fs = FaultFs::default();
    let database = Database::open(options(&fs)).expect("no fault is due");
    let mut ledger = Ledger::default();
    assert!(ledger.append(&database, BASE));
    // The next append writes, then syncs.
    fs.fail_call(2, FaultKind::Io);
    assert!(!ledger.append(&database, BASE));
    ledger.check(&database, false, "after the failed sync");
    assert!(ledger.append(&database, BASE + 60_000), "writing goes on in a new file");
    assert_eq!(database.stats().log_failures, 1);
    drop(database);
    let after = fs.after_crash(CrashMode::DropUnsynced);
    ledger.check(&Database::open(options(&after)).expect("no fault is due"), true, "after the power cut");
}

#[test]
fn a_full_disk_stops_writes_and_nothing_else() {
    let fs = FaultFs::default();
    let database = Database::open(options(&fs)).expect("no fault is due");
    let mut ledger = Ledger::default();
    assert!(ledger.append(&database, BASE));
    fs.set_full(true);
    for _ in 0..10 {
        assert!(!ledger.append(&database, BASE + 60_000));
    }
    assert!(database.stats().log_files <= 2, "tries do not pile up: {:?}", database.stats());
    assert!(database.flush().is_err());
    ledger.check(&database, false, "while the disk is full");
    fs.set_full(false);
    assert!(ledger.append(&database, BASE + 60_000));
    database.flush().expect("there is room");
    ledger.check(&database, false, "when there is room again");
    assert_eq!(database.stats().head_samples, 0);
}

#[test]
fn a_damaged_record_costs_itself_and_is_reported() {
    let fs = FaultFs::default();
    let mut ledger = Ledger::default();
    let mut config = options(&fs);
    config.log_file_bytes = 1 << 20;
    let database = Database::open(config).expect("no fault is due");
    (0..5).for_each(|step| assert!(ledger.append(&database, BASE + step * 60_000)));
    drop(database);
    let directory = Path::new("/data/log");
    let name = fs.list(directory).expect("no fault is due").remove(0);
    let bytes = fs.read(&directory.join(&name)).expect("no fault is due").len();
    for offset in (0..bytes).step_by(7) {
        let damaged = fs.after_crash(CrashMode::KeepAll);
        damaged.damage(&directory.join(&name), offset, 0x10);
        let database = Database::open(options(&damaged)).expect("damage does not stop the store");
        let stored = stored(&database);
        for (key, value) in &stored {
            assert_eq!(ledger.sent[key].last().and_then(|(v, _)| *v), Some(*value), "byte {offset}");
        }
        let lost = ledger.sent.len() - stored.len();
        // One record has six samples; the first defines the series.
        assert!(lost <= 6 || stored.is_empty(), "byte {offset}: {lost} samples lost");
        // Behind the last record nothing tells a crash's torn end from damage.
        let is_last = offset + 130 > bytes;
        assert!(lost == 0 || is_last || database.stats().damaged_records > 0, "byte {offset}");
    }
}

#[test]
fn a_lost_manifest_is_made_again_from_the_segments() {
    for names in
        [&["manifest-0000000000000002"][..], &["manifest-0000000000000002", "manifest-0000000000000001"]]
    {
        let fs = FaultFs::default();
        let mut ledger = Ledger::default();
        let database = Database::open(options(&fs)).expect("no fault is due");
        for round in 0..2 {
            assert!(ledger.append(&database, BASE + round * 30 * HOUR));
            database.freeze();
            let mut jobs = lock(&database.jobs);
            database.flush_frozen(&mut jobs, BASE + 30 * HOUR).expect("no fault is due");
        }
        drop(database);
        for name in names {
            fs.damage(&Path::new("/data").join(name), 13, 0xff);
        }
        let database = Database::open(options(&fs)).expect("segments are enough");
        ledger.check(&database, true, "without manifest");
        assert!(ledger.append(&database, BASE));
        database.flush().expect("no fault is due");
        drop(database);
        ledger.check(&Database::open(options(&fs)).expect("no fault is due"), true, "with a new manifest");
    }
}

#[test]
fn old_segments_are_dropped_and_their_files_removed() {
    let fs = FaultFs::default();
    let mut config = options(&fs);
    config.retention.time_ms = 30 * HOUR;
    let database = Database::open(config).expect("no fault is due");
    let mut ledger = Ledger::default();
    assert!(ledger.append(&database, BASE - 23 * HOUR));
    database.flush().expect("no fault is due");
    // The clock says 30 hours after the base, but the newest sample counts.
    assert!(ledger.append(&database, BASE));
    database.flush().expect("no fault is due");
    assert_eq!(stored(&database).len(), 12);
    let pinned = database.view();
    assert!(ledger.append(&database, BASE + 23 * HOUR));
    database.flush().expect("no fault is due");
    assert_eq!(stored(&database).len(), 12);
    let stats = database.stats();
    assert!(stats.segments_expired > 0 && stats.time_retentions == 1, "{stats:?}");
    let files = || fs.list(Path::new("/data/segments")).expect("no fault is due").len();
    let while_pinned = files();
    drop(pinned);
    assert!(files() < while_pinned, "the last reader removes the file");
}

#[test]
fn a_flush_leaves_no_log_behind_and_the_next_write_begins_a_new_one() {
    let fs = FaultFs::default();
    let database = Database::open(options(&fs)).expect("no fault is due");
    let mut ledger = Ledger::default();
    let files = || fs.list(Path::new("/data/log")).expect("no fault is due").len();
    assert!(ledger.append(&database, BASE));
    assert_eq!(files(), 1);
    database.flush().expect("no fault is due");
    assert_eq!((files(), database.stats().log_bytes), (0, 0));
    assert!(ledger.append(&database, BASE + HOUR));
    assert_eq!(files(), 1);
    drop(database);
    ledger.check(&Database::open(options(&fs)).expect("no fault is due"), true, "after a flush and a write");
}
