//! Forwarding from the log of a database.

use super::*;
use crate::db::{Database, DatabaseOptions};
use crate::fs::{Fs, RealFs};

const BYTES_MAX: u64 = 1 << 30;

fn open_stored(folder: &Path, bytes_max: u64) -> (Arc<Database>, Arc<StoredLog>) {
    let options = DatabaseOptions { wal_sync: crate::db::WalSync::Never, ..DatabaseOptions::new(folder) };
    open_with(options, bytes_max).expect("the folder is sound")
}

/// As a server does it.
fn open_with(
    mut options: DatabaseOptions,
    bytes_max: u64,
) -> Result<(Arc<Database>, Arc<StoredLog>), String> {
    let (fs, path) = (Arc::clone(&options.fs), options.path.clone());
    options.keep_log_after = StoredLog::keep_log_after(&*fs, &path).map_err(|error| error.to_string())?;
    let database = Database::open(options).map_err(|error| error.to_string())?;
    let log = StoredLog::new(Arc::clone(&database), fs, &path, bytes_max);
    Ok((database, log.map_err(|error| error.to_string())?))
}

fn log_files(folder: &Path) -> usize {
    RealFs::mapped().list(&folder.join("log")).expect("there is a log").len()
}

#[tokio::test]
async fn what_is_stored_is_forwarded_over_flushes_and_restarts() {
    let folder = tempfile::tempdir().expect("a temporary directory");
    let ((near, near_url), (far, far_url)) = (Receiver::start().await, Receiver::start().await);
    let configs = [config(&near_url, ""), config(&far_url, "")];
    let (database, log) = open_stored(folder.path(), BYTES_MAX);
    append(&*log, 5, -1.0);
    let writer = start(&log, &configs).await;
    append(&*log, 5, 0.0);
    far.until("the first", |r| has_all(&r.taken(), 5, 1)).await;
    far.set_away(true);
    for value in 1..30 {
        append(&*log, 5, f64::from(value));
        if value % 10 == 0 {
            database.flush().expect("the disk works");
        }
    }
    near.until("all of it", |r| has_all(&r.taken(), 5, 30)).await;
    far.until("some tries", |r| r.came().len() > 5).await;
    assert!(log.bytes() > 0, "flushed, and kept for the one that is away");
    writer.stop(PATIENCE).await;
    database.close().expect("the disk works");
    drop((writer, log, database));

    let (database, log) = open_stored(folder.path(), BYTES_MAX);
    database.flush().expect("the disk works");
    let writer = start(&log, &configs).await;
    (30..40).for_each(|value| append(&*log, 5, f64::from(value)));
    near.until("the rest", |r| has_all(&r.taken(), 5, 40)).await;
    far.set_away(false);
    far.until("all of it", |r| has_all(&r.taken(), 5, 40)).await;
    let zeros = far.taken().values().flatten().filter(|value| **value == 0.0).count();
    assert_eq!(zeros, 5, "what was confirmed is not sent again");
    database.flush().expect("the disk works");
    append(&*log, 5, 40.0);
    far.until("one more", |r| has_all(&r.taken(), 5, 41)).await;
    writer.stop(PATIENCE).await;
    log.settle();
    assert_eq!((log.bytes(), log_files(folder.path())), (0, 1), "nobody needs the rest");
}

#[tokio::test]
async fn without_receivers_nothing_is_kept_or_counted() {
    let folder = tempfile::tempdir().expect("a temporary directory");
    let (database, log) = open_stored(folder.path(), BYTES_MAX);
    let writer = start(&log, &[]).await;
    append(&*log, 5, 0.0);
    database.flush().expect("the disk works");
    assert_eq!((log.bytes(), log_files(folder.path())), (0, 0));
    assert_eq!(log.outbox().counters.samples.get(), 0);

    let (receiver, url) = Receiver::start().await;
    apply(&writer, &[config(&url, "")], &[]).await;
    append(&*log, 5, 1.0);
    receiver.until("the next", |r| r.taken().values().map(Vec::len).sum::<usize>() == 5).await;
    apply(&writer, &[], &[]).await;
    database.flush().expect("the disk works");
    assert_eq!((log.bytes(), log_files(folder.path())), (0, 0));
    let names = RealFs::mapped().list(&folder.path().join("remote")).expect("the folder is there");
    assert_eq!(names, Vec::<String>::new(), "the position is forgotten");
}

#[tokio::test]
async fn a_receiver_that_comes_later_hears_of_families_too() {
    let folder = tempfile::tempdir().expect("a temporary directory");
    let (_database, log) = open_stored(folder.path(), BYTES_MAX);
    let mut batch = everything();
    log.append(&TenantId::default(), batch.clone(), &Acceptance::EVERYTHING).expect("the disk works");
    let (receiver, url) = Receiver::start().await;
    let further = "protobuf_message: io.prometheus.write.v2.Request, send_exemplars: true";
    let _writer = start(&log, &[config(&url, further)]).await;
    batch.metadata.clear();
    batch.floats.iter_mut().for_each(|entry| entry.timestamp += 1);
    batch.histograms.iter_mut().for_each(|entry| entry.timestamp += 1);
    log.append(&TenantId::default(), batch, &Acceptance::EVERYTHING).expect("the disk works");
    receiver.until("the second", |r| !r.came().is_empty()).await;
    let came = &receiver.came()[0].batch;
    assert_eq!((came.floats.len(), came.histograms.len(), came.exemplars.len()), (1, 1, 1));
    assert_eq!(came.metadata[0].metadata.help, "Hits.");
}

#[tokio::test]
async fn a_full_log_drops_what_only_receivers_need() {
    let folder = tempfile::tempdir().expect("a temporary directory");
    let (receiver, url) = Receiver::start().await;
    receiver.set_away(true);
    let (database, log) = open_stored(folder.path(), 64 << 10);
    let writer = start(&log, &[config(&url, "")]).await;
    append(&*log, 10, 0.0);
    receiver.until("the first try", |r| !r.came().is_empty()).await;
    for value in 1..2_000 {
        append(&*log, 10, f64::from(value));
        if value % 100 == 0 {
            database.flush().expect("the disk works");
        }
    }
    assert!(log.bytes() <= 64 << 10, "{}", log.bytes());
    let dropped = log.outbox().counters.samples_dropped.get();
    each_is_taken_or_counted(&receiver, &writer, dropped).await;
}

fn options_on(fs: &FaultFs) -> DatabaseOptions {
    let mut options = DatabaseOptions::new("/data");
    options.fs = Arc::new(fs.clone());
    options.shards = 1;
    options.log_file_bytes = 400;
    options
}

fn read_with(cursor: &mut cursor::Cursor) -> (Vec<f64>, Option<u64>) {
    let (mut values, mut last) = (Vec::new(), None);
    while let Ok(Some(seq)) = cursor.peek() {
        values.extend(cursor.take().floats.iter().map(|entry| entry.value));
        last = Some(seq);
    }
    (values, last)
}

/// Appends and flushes while the power may go off; answers the values that were acknowledged, and those that a receiver has.
fn use_stored(fs: &FaultFs) -> (Vec<f64>, Vec<f64>) {
    let (mut acknowledged, mut has) = (Vec::new(), Vec::new());
    let Ok((database, log)) = open_with(options_on(fs), BYTES_MAX) else { return (acknowledged, has) };
    let Ok(position) = log.register("receiver") else { return (acknowledged, has) };
    log.settle();
    let mut cursor = cursor::Cursor::new(log.clone(), position);
    for value in 0..9 {
        let mut batch = Batch::default();
        batch.begin_series(&Labels::from_pairs([("__name__", "m")]));
        batch.push_float(now() + value, 0, value as f64);
        if log.append(&TenantId::default(), batch, &Acceptance::EVERYTHING).is_ok() {
            acknowledged.push(value as f64);
        }
        if value % 4 == 1 {
            // Whether or not it works.
            let _ = database.flush();
        }
        if value % 3 == 2 {
            let (values, last) = read_with(&mut cursor);
            has.extend(values);
            // Whether or not that works, the receiver has them.
            last.map(|seq| log.outbox().confirm("receiver", seq));
            log.settle();
        }
    }
    (acknowledged, has)
}

#[test]
fn what_was_acknowledged_is_forwarded_after_a_power_cut_at_any_call() {
    let whole = FaultFs::default();
    let (acknowledged, has) = use_stored(&whole);
    assert_eq!((acknowledged.len(), has.len()), (9, 9));
    for at in 1..=whole.calls() {
        for mode in [CrashMode::KeepAll, CrashMode::DropUnsynced, CrashMode::Random(at)] {
            let fs = FaultFs::default();
            fs.crash_at_call(at);
            let (acknowledged, has) = use_stored(&fs);
            let after = fs.after_crash(mode);
            let (_database, log) =
                open_with(options_on(&after), BYTES_MAX).expect("what a power cut leaves can be opened");
            let position = log.register("receiver").expect("the disk works again");
            let found = read_with(&mut cursor::Cursor::new(log.clone(), position)).0;
            for value in acknowledged {
                let is_there = has.contains(&value) || found.contains(&value);
                assert!(is_there, "{value} is lost after a cut at call {at} with {mode:?}");
            }
            assert!(found.is_sorted(), "{found:?}");
        }
    }
}
