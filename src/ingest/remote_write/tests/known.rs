//! Series that come again are not read again; nobody can tell.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use super::*;
use crate::clock::{Clock, SimulatedClock};
use crate::db::{Database, DatabaseOptions};
use crate::storage::{Acceptance, AppendError, Outcome, RawLabels, SeriesHandle};

/// A request with sound series of all shapes, and unsound ones, its values `value` and on.
fn request(value: f64) -> Vec<u8> {
    let timed = |series: v1::TimeSeries, value: f64| {
        let samples = vec![v1::Sample { value, timestamp: NOW + value as i64 }];
        v1::TimeSeries { samples, ..series }
    };
    let mut bytes = request_v1([
        timed(series(&[("__name__", "up"), ("job", "node")]), value),
        timed(series(&[("job", "node"), ("__name__", "unsorted"), ("empty", "")]), value + 1.0),
        timed(series(&[("job", "nameless")]), value),
        timed(series(&[("__name__", "up"), ("job", "node"), ("job", "twice")]), value),
        timed(
            v1::TimeSeries {
                exemplars: vec![v1::Exemplar { labels: vec![label("id", "1")], value: 1.0, timestamp: NOW }],
                ..series(&[("__name__", "with_exemplar")])
            },
            value,
        ),
        series(&[("__name__", "up"), ("job", "node"), ("it", "has two samples")]),
    ]);
    // Labels in front of the sample and behind it: the ones in front are those of another series.
    let parts = [
        v1::TimeSeries { labels: vec![label("__name__", "up"), label("job", "node")], ..Default::default() },
        v1::TimeSeries {
            samples: vec![v1::Sample { value: value + 2.0, timestamp: NOW + value as i64 }],
            ..Default::default()
        },
        v1::TimeSeries { labels: vec![label("late", "yes")], ..Default::default() },
    ];
    let late: Vec<u8> = parts.iter().flat_map(Message::encode_to_vec).collect();
    bytes.push(1 << 3 | 2);
    bytes.push(u8::try_from(late.len()).expect("a short series"));
    bytes.extend_from_slice(&late);
    bytes
}

/// The same for protocol 2.0, with metadata; the numbers of its symbols are others for each `value`.
fn request_2(value: f64) -> Vec<u8> {
    let own = format!("only in {value}");
    let texts =
        ["", &own, "__name__", "up", "job", "node", "twice", "help", "with_exemplar", "id", "1", "late"];
    let number = |text: &str| texts.iter().position(|known| *known == text).expect("it is listed") as u32;
    let timed = |labels: &[&str], value: f64| v2::TimeSeries {
        labels_refs: labels.iter().map(|text| number(text)).collect(),
        samples: vec![v2::Sample { value, timestamp: NOW + value as i64, start_timestamp: 0 }],
        ..Default::default()
    };
    let described = v2::Metadata { r#type: 1, help_ref: number("help"), unit_ref: 0 };
    let exemplar = v2::Exemplar {
        labels_refs: vec![number("id"), number("1")],
        value: 1.0,
        timestamp: NOW + value as i64,
    };
    let odd = timed(&["__name__", "up", "job"], value);
    let message = v2::Request {
        symbols: texts.map(str::to_owned).to_vec(),
        timeseries: vec![
            v2::TimeSeries { metadata: Some(described), ..timed(&["__name__", "up", "job", "node"], value) },
            timed(&["job", "node", "__name__", "twice"], value + 1.0),
            timed(&["job", "node"], value),
            timed(&["__name__", "up", "job", "node", "job", "twice"], value),
            v2::TimeSeries { exemplars: vec![exemplar], ..timed(&["__name__", "with_exemplar"], value) },
            v2::TimeSeries { samples: Vec::new(), ..timed(&["__name__", "up", "job", "node"], value) },
            timed(&["__name__", &own], value),
            odd,
            v2::TimeSeries { labels_refs: vec![number("__name__"), 99], ..timed(&[], value) },
        ],
    };
    let mut bytes = message.encode_to_vec();
    // Labels in front of the sample and behind it: the ones in front are those of another series.
    let late = v2::TimeSeries { labels_refs: vec![number("late"), number("1")], ..Default::default() };
    let mut late_series = timed(&["__name__", "up", "job", "node"], value + 2.0).encode_to_vec();
    late_series.extend_from_slice(&late.encode_to_vec());
    bytes.push(5 << 3 | 2);
    bytes.push(u8::try_from(late_series.len()).expect("a short series"));
    bytes.extend_from_slice(&late_series);
    bytes
}

fn open(options: DatabaseOptions) -> Arc<Database> {
    Database::open(options).expect("the directory is free")
}

#[test]
fn requests_mean_the_same_the_first_time_and_later() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    // Each group begins a new log file, which defines known series anew.
    let options = || DatabaseOptions { log_file_bytes: 1, ..DatabaseOptions::new(directory.path()) };
    let (database, plain) = (open(options()), MemoryStore::default());
    for round in 0..8 {
        let value = f64::from(round * 10);
        let (protocol, body) = match round % 2 {
            0 => (Protocol::V1, request(value)),
            _ => (Protocol::V2, request_2(value)),
        };
        let (found, expected) = (send(&*database, protocol, &body), send(&plain, protocol, &body));
        assert_eq!(expected.status, 400);
        assert_eq!(found, expected, "round {round}");
        assert_eq!(dump(&*database), dump(&plain), "round {round}");
    }
    drop(database);
    assert_eq!(dump(&*open(options())), dump(&plain), "after a restart");
}

#[test]
fn series_that_left_are_met_anew() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let clock = SimulatedClock::default();
    clock.set_ms(NOW);
    let clock_of = Clock::Simulated(clock.clone());
    let database = open(DatabaseOptions { clock: clock_of, ..DatabaseOptions::new(directory.path()) });
    let plain = MemoryStore::default();
    let send_both = |value: f64| {
        let body = request(value);
        assert_eq!(send(&*database, Protocol::V1, &body), send(&plain, Protocol::V1, &body));
    };
    send_both(5.0);
    database.flush().expect("the disk works");
    clock.set_ms(NOW + 3 * 3_600_000);
    while database.step().expect("the disk works") {}
    assert_eq!(database.stats().head_series, 0, "they are idle");
    clock.set_ms(NOW);
    send_both(15.0);
    assert_eq!(dump(&*database), dump(&plain));
}

/// A store whose series all leave between the question and the batch.
struct Forgetful {
    database: Arc<Database>,
    was_asked: AtomicBool,
}

impl Append for Forgetful {
    fn append(
        &self,
        tenant: &TenantId,
        batch: Batch,
        acceptance: &Acceptance,
    ) -> Result<Outcome, AppendError> {
        self.database.append(tenant, batch, acceptance)
    }

    fn known_series(&self, tenant: &TenantId, raw: &[RawLabels]) -> Vec<Option<SeriesHandle>> {
        let mut handles = self.database.known_series(tenant, raw);
        for handle in handles.iter_mut().flatten() {
            self.was_asked.store(true, Ordering::Relaxed);
            handle.generation += 1;
        }
        handles
    }
}

#[test]
fn handles_that_became_void_cost_a_second_reading() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let database = open(DatabaseOptions::new(directory.path()));
    let store = Forgetful { database: Arc::clone(&database), was_asked: AtomicBool::new(false) };
    let plain = MemoryStore::default();
    for round in 0..3 {
        let body = request(f64::from(round * 10));
        assert_eq!(send(&store, Protocol::V1, &body), send(&plain, Protocol::V1, &body));
    }
    assert!(store.was_asked.load(Ordering::Relaxed));
    assert_eq!(dump(&*database), dump(&plain));
}
