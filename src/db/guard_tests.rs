use std::path::Path;
use std::sync::Arc;

use super::*;
use crate::clock::{Clock, SimulatedClock};
use crate::db::{Database, DatabaseOptions};
use crate::fs::FaultFs;
use crate::model::Exemplar;
use crate::storage::{Acceptance, Append, Outcome};

const HOUR: i64 = 3_600_000;
const BASE: i64 = 1_700_000_000_000;

fn tenant() -> TenantId {
    TenantId::default()
}

/// A database in memory with limits.
fn open(fs: &FaultFs, clock: &SimulatedClock, series_limits: SeriesLimits) -> Arc<Database> {
    let mut options = DatabaseOptions::new(Path::new("/data"));
    options.fs = Arc::new(fs.clone());
    options.clock = Clock::Simulated(clock.clone());
    options.shards = 2;
    options.series_limits = series_limits;
    Database::open(options).expect("no fault is due")
}

fn fresh(series_limits: SeriesLimits) -> (Arc<Database>, SimulatedClock) {
    let clock = SimulatedClock::at_ms(BASE);
    (open(&FaultFs::default(), &clock, series_limits), clock)
}

/// A sample for each of these values of `id`.
fn batch(metric: &str, ids: std::ops::Range<u32>, at: Timestamp) -> Batch {
    let mut batch = Batch::default();
    for id in ids {
        let id = id.to_string();
        batch.begin_series(&Labels::from_pairs([("__name__", metric), ("id", &id), ("job", "web")]));
        batch.push_float(at, 0, 1.0);
    }
    batch
}

fn append(database: &Database, batch: Batch, acceptance: &Acceptance) -> Outcome {
    database.append(&tenant(), batch, acceptance).expect("the disk works")
}

fn series_of(outcome: &Outcome) -> Vec<usize> {
    outcome.rejections.iter().map(|rejection| rejection.series).collect()
}

#[test]
fn known_series_go_on_beside_refused_ones() {
    let (database, _) = fresh(SeriesLimits { per_metric: 10, ..SeriesLimits::default() });
    assert_eq!(append(&database, batch("hits", 0..10, BASE), &Acceptance::EVERYTHING).floats, 10);
    for (acceptance, at) in [(Acceptance::EVERYTHING, BASE + 1), (Acceptance::IN_ORDER, BASE + 2)] {
        let mut bomb = batch("hits", 5..2_000, at);
        bomb.begin_series(&Labels::from_pairs([("__name__", "other")]));
        bomb.push_float(at, 0, 1.0);
        let outcome = append(&database, bomb, &acceptance);
        assert_eq!((outcome.floats, outcome.rejections.len()), (6, 1_990));
        assert_eq!(series_of(&outcome), (5..1_995).collect::<Vec<_>>());
        assert!(outcome.rejections.iter().all(|rejection| rejection.reason == RejectReason::Limit));
        let told: Vec<String> = outcome.refusals.iter().map(ToString::to_string).collect();
        assert_eq!(
            told,
            ["limit of 10 series for metric \"hits\" reached: 1990 new series refused; \
              most values has label \"id\" of metric \"hits\" (10 among 10 series)"]
        );
    }
    let stats = database.stats();
    assert_eq!((stats.head_series, stats.series_refused), (11, [0, 2 * 1_990, 0]));
    assert_eq!((stats.samples_rejected, stats.head_series_created_last_hour), (2 * 1_990, 11));
}

#[test]
fn the_metric_that_fills_a_job_or_everything_is_named() {
    let cause = |limits: SeriesLimits| {
        let (database, _) = fresh(limits);
        append(&database, batch("few", 0..3, BASE), &Acceptance::EVERYTHING);
        let outcome = append(&database, batch("many", 0..50, BASE), &Acceptance::EVERYTHING);
        assert_eq!(outcome.floats, 17);
        let refusal = outcome.refusals[0].clone();
        let cause = refusal.cause.expect("there are series");
        (refusal.limit, refusal.subject, cause.metric, cause.label)
    };
    let of = |limit, subject: &str| (limit, subject.to_owned(), "many".to_owned(), "id".to_owned());
    let total = SeriesLimits { total: 20, ..SeriesLimits::default() };
    assert_eq!(cause(total), of(SeriesLimit::Total, ""));
    let per_job = SeriesLimits { per_job: 20, ..SeriesLimits::default() };
    assert_eq!(cause(per_job), of(SeriesLimit::Job, "web"));
}

#[test]
fn names_that_are_many_are_themselves_the_cause() {
    for limits in [
        SeriesLimits { total: 20, ..SeriesLimits::default() },
        SeriesLimits { per_job: 20, ..SeriesLimits::default() },
    ] {
        let (database, _) = fresh(limits);
        let mut bomb = Batch::default();
        for at in 0..30 {
            bomb.begin_series(&Labels::from_pairs([("__name__", format!("m{at}")), ("job", "a".to_owned())]));
            bomb.push_float(BASE, 0, 1.0);
        }
        let outcome = append(&database, bomb, &Acceptance::EVERYTHING);
        let cause = outcome.refusals[0].cause.clone().expect("there are series");
        assert_eq!((cause.metric.as_str(), cause.label.as_str(), cause.values), ("", "__name__", 20));
    }
}

#[test]
fn what_reports_on_the_store_is_never_refused() {
    let (database, _) = fresh(SeriesLimits { total: 2, ..SeriesLimits::default() });
    let mut scrape = batch("hits", 0..5, BASE);
    scrape.exempt_from = Some(5);
    scrape.begin_series(&Labels::from_pairs([("__name__", "up")]));
    scrape.push_float(BASE, 0, 1.0);
    let outcome = append(&database, scrape, &Acceptance::EVERYTHING);
    assert_eq!((outcome.floats, series_of(&outcome)), (3, vec![2, 3, 4]));
}

#[test]
fn series_that_leave_make_room() {
    let (database, clock) = fresh(SeriesLimits { total: 3, per_metric: 3, per_job: 3 });
    append(&database, batch("hits", 0..3, BASE), &Acceptance::EVERYTHING);
    assert_eq!(append(&database, batch("hits", 3..4, BASE), &Acceptance::EVERYTHING).floats, 0);
    // Two are written to no more, and leave.
    for _ in 0..8 {
        clock.advance_ms(HOUR);
        append(&database, batch("hits", 0..1, clock_ms(&database)), &Acceptance::EVERYTHING);
        database.flush().expect("no fault is due");
        while database.step().expect("no fault is due") {}
    }
    assert_eq!(database.stats().head_series, 1);
    let later = append(&database, batch("hits", 10..14, clock_ms(&database)), &Acceptance::EVERYTHING);
    assert_eq!((later.floats, later.rejections.len()), (2, 2));
}

fn clock_ms(database: &Database) -> Timestamp {
    database.options.clock.now_ms()
}

#[test]
fn what_was_acknowledged_is_there_under_a_lower_limit() {
    let (fs, clock) = (FaultFs::default(), SimulatedClock::at_ms(BASE));
    let database = open(&fs, &clock, SeriesLimits::default());
    append(&database, batch("hits", 0..100, BASE), &Acceptance::EVERYTHING);
    database.close().expect("no fault is due");
    drop(database);
    let database = open(&fs, &clock, SeriesLimits { total: 10, per_metric: 10, per_job: 10 });
    let stats = database.stats();
    assert_eq!((stats.head_series, stats.head_samples, stats.head_series_created_last_hour), (100, 100, 0));
    let outcome = append(&database, batch("hits", 0..101, BASE + 1), &Acceptance::EVERYTHING);
    assert_eq!((outcome.floats, series_of(&outcome)), (100, vec![100]));
}

#[test]
fn refused_series_are_not_in_the_log() {
    let (fs, clock) = (FaultFs::default(), SimulatedClock::at_ms(BASE));
    let limits = SeriesLimits { per_metric: 2, ..SeriesLimits::default() };
    let database = open(&fs, &clock, limits);
    append(&database, batch("hits", 0..9, BASE), &Acceptance::EVERYTHING);
    append(&database, batch("hits", 5..9, BASE + 1), &Acceptance::EVERYTHING);
    database.close().expect("no fault is due");
    drop(database);
    let stats = open(&fs, &clock, limits).stats();
    assert_eq!((stats.head_series, stats.head_samples), (2, 2));
}

#[test]
fn rejections_point_into_the_batch_as_it_came() {
    let mut whole = Batch::default();
    for at in 0..4 {
        whole.begin_series(&Labels::from_pairs([("__name__", format!("m{at}"))]));
        whole.push_float(at, 0, 1.0);
        whole.push_float(at + 10, 0, 1.0);
        let labels = Labels::default();
        whole.push_exemplar(Exemplar { labels, value: 1.0, timestamp: at });
    }
    let mut admitted = Admitted::new(whole, &[0, 2]);
    let rest = std::mem::take(&mut admitted.batch);
    assert_eq!((rest.series.len(), rest.floats.len(), rest.exemplars.len()), (2, 4, 2));
    assert_eq!(
        (rest.floats[2].timestamp, rest.labels_of(&rest.series[1]).len()),
        (3, rest.label_bytes.len() / 2)
    );
    let rejection = |series, kind, index, reason| Rejection { kind, index, series, reason };
    let of_rest = vec![
        rejection(1, SampleKind::Float, 3, RejectReason::TooOld),
        rejection(0, SampleKind::Exemplar, 0, RejectReason::OutOfOrder),
    ];
    let limited = |series, kind, index| rejection(series, kind, index, RejectReason::Limit);
    assert_eq!(
        admitted.all_rejections(of_rest),
        [
            limited(0, SampleKind::Float, 0),
            limited(0, SampleKind::Float, 1),
            limited(0, SampleKind::Exemplar, 0),
            rejection(1, SampleKind::Exemplar, 1, RejectReason::OutOfOrder),
            limited(2, SampleKind::Float, 4),
            limited(2, SampleKind::Float, 5),
            limited(2, SampleKind::Exemplar, 2),
            rejection(3, SampleKind::Float, 7, RejectReason::TooOld),
        ]
    );
}
