//! SIGKILL while writes are under way: every acknowledged sample is there after the restart, and nothing else is.

use std::collections::BTreeMap;
use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use super::http::{self, Connection};
use super::server::{Server, Subject};
use super::wire::{Protocol, Written, compress, encode};

const WRITERS: u64 = 4;
const SERIES_PER_WRITER: u64 = 10;
const SAMPLES_PER_SERIES: i64 = 2;

/// Samples of one series: value by time in milliseconds.
type Samples = BTreeMap<i64, f64>;
/// Samples by writer and series.
type Ledger = BTreeMap<(u64, u64), Samples>;

#[test]
fn acknowledged_samples_survive_sigkill() {
    rounds(5);
}

/// `cargo test --test peers -- --ignored --nocapture hundred`; `PERDURA_KILL_ROUNDS` asks for another number.
#[test]
#[ignore = "takes minutes"]
fn acknowledged_samples_survive_a_hundred_sigkills() {
    let count = std::env::var("PERDURA_KILL_ROUNDS").ok().and_then(|text| text.parse().ok());
    rounds(count.unwrap_or(100));
}

/// What the writers of one round sent, and what of it was acknowledged.
#[derive(Default)]
struct Round {
    sent: Ledger,
    acknowledged: Ledger,
}

fn rounds(count: u64) {
    let folder = tempfile::tempdir().expect("a temporary folder can be made");
    let subject = Subject::new(folder.path());
    let mut random = Random::seeded();
    let mut history: Vec<Round> = Vec::new();
    let (mut slowest_start, mut flushes) = (Duration::ZERO, 0_u64);
    let mut server = subject.start("");
    for number in 0..count {
        let life = Duration::from_millis(250 + random.below(750));
        let flush = random.below(2) == 0;
        flushes += u64::from(flush);
        let round = one_life(&mut server, number, life, flush);
        assert!(!round.acknowledged.is_empty(), "round {number}: nothing was acknowledged");
        history.push(round);
        let start = Instant::now();
        server = subject.start("");
        slowest_start = slowest_start.max(start.elapsed());
        check(&server, number, &history[history.len() - 1]);
        let earlier = random.below(number + 1);
        check(&server, earlier, &history[usize::try_from(earlier).expect("rounds are few")]);
    }
    (0..).zip(&history).for_each(|(number, round)| check(&server, number, round));
    println!(
        "kill: {count} rounds, {} samples acknowledged of {} sent, 0 lost, 0 invented, {flushes} rounds with a flush \
         under way, slowest start {} ms",
        history.iter().map(|round| size(&round.acknowledged)).sum::<usize>(),
        history.iter().map(|round| size(&round.sent)).sum::<usize>(),
        slowest_start.as_millis(),
    );
}

fn size(ledger: &Ledger) -> usize {
    ledger.values().map(Samples::len).sum()
}

/// Lets writers write for `life`, kills the server under their hands, and gathers their ledgers.
fn one_life(server: &mut Server, round: u64, life: Duration, flush: bool) -> Round {
    let (stop, port) = (AtomicBool::new(false), server.port);
    let mut whole = Round::default();
    thread::scope(|scope| {
        let stop = &stop;
        let writers: Vec<_> = (0..WRITERS)
            .map(|writer| scope.spawn(move || write_until_killed(port, round, writer, stop)))
            .collect();
        if flush {
            scope.spawn(move || {
                thread::sleep(life / 2);
                // It may be killed before it answers, and a stand-in has no such call.
                let _ = http::request(port, "POST", "/api/v1/admin/tsdb/flush", &[], b"");
            });
        }
        thread::sleep(life);
        assert!(server.is_alive(), "round {round}: the server ended by itself");
        server.kill();
        stop.store(true, Ordering::Relaxed);
        for writer in writers {
            let part = writer.join().expect("a writer does not panic");
            whole.sent.extend(part.sent);
            whole.acknowledged.extend(part.acknowledged);
        }
    });
    whole
}

fn write_until_killed(port: u16, round: u64, writer: u64, stop: &AtomicBool) -> Round {
    let protocol = if writer.is_multiple_of(2) { Protocol::V1 } else { Protocol::V2 };
    let mut part = Round::default();
    let Ok(mut connection) = Connection::open(port, Duration::from_secs(10)) else { return part };
    let mut time = now_ms() - 60_000;
    for request in 0.. {
        if stop.load(Ordering::Relaxed) {
            break;
        }
        let series = request_of(round, writer, request, time);
        time += SAMPLES_PER_SERIES;
        note(&mut part.sent, writer, &series);
        let body = compress(&encode(protocol, &series));
        match connection.send("POST", "/api/v1/write", &protocol.headers(), &body) {
            Ok(answer) if answer.status == 204 => note(&mut part.acknowledged, writer, &series),
            // Asked to come again later, which is not acknowledged.
            Ok(answer) if answer.status == 503 => {}
            Ok(answer) => panic!("status {}: {}", answer.status, answer.text()),
            Err(error) if is_cut_off(&error) => break,
            Err(error) => panic!("writer {writer}: {error}"),
        }
    }
    part
}

fn is_cut_off(error: &io::Error) -> bool {
    use io::ErrorKind::{BrokenPipe, ConnectionAborted, ConnectionReset, UnexpectedEof};
    matches!(error.kind(), BrokenPipe | ConnectionAborted | ConnectionReset | UnexpectedEof)
}

/// Series of one request. No value occurs twice in the whole trial.
fn request_of(round: u64, writer: u64, request: u64, time: i64) -> Vec<Written> {
    let first = ((round * WRITERS + writer) * 100_000 + request) * 1_000;
    (0..SERIES_PER_WRITER)
        .map(|series| Written {
            labels: vec![
                ("__name__".to_owned(), "kill_trial".to_owned()),
                ("round".to_owned(), round.to_string()),
                ("series".to_owned(), series.to_string()),
                ("writer".to_owned(), writer.to_string()),
            ],
            samples: (0..SAMPLES_PER_SERIES)
                .zip(0_u32..)
                .map(|(step, place)| {
                    let number = first + series * 10 + u64::from(place);
                    (time + step, number as f64)
                })
                .collect(),
            ..Written::default()
        })
        .collect()
}

fn note(ledger: &mut Ledger, writer: u64, series: &[Written]) {
    for (number, one) in (0..).zip(series) {
        ledger.entry((writer, number)).or_default().extend(one.samples.iter().copied());
    }
}

fn check(server: &Server, number: u64, round: &Round) {
    let verdict = round.judge(&stored_samples(server, number));
    assert_eq!(verdict, Ok(()), "round {number}");
}

impl Round {
    /// acknowledged ⊆ stored ⊆ sent, value by value.
    fn judge(&self, stored: &Ledger) -> Result<(), String> {
        contains(stored, &self.acknowledged)
            .map_err(|what| format!("acknowledged, but not stored: {what}"))?;
        contains(&self.sent, stored).map_err(|what| format!("stored, but never sent: {what}"))
    }
}

/// Whether `whole` has every sample of `part`; otherwise the first that it lacks.
fn contains(whole: &Ledger, part: &Ledger) -> Result<(), String> {
    for (series, samples) in part {
        for (time, value) in samples {
            let found = whole.get(series).and_then(|samples| samples.get(time));
            if found != Some(value) {
                return Err(format!("series {series:?} at {time}: {value}, found {found:?}"));
            }
        }
    }
    Ok(())
}

fn stored_samples(server: &Server, round: u64) -> Ledger {
    let query = format!(r#"kill_trial{{round="{round}"}}[1h]"#);
    let end = ((now_ms() / 1_000) + 300).to_string();
    let answer =
        server.post("/api/v1/query", &[("query", &query), ("time", &end)]).expect("the server answers");
    assert_eq!(answer.status, 200, "{}", answer.text());
    let json = answer.json();
    let series = json["data"]["result"].as_array().expect("a matrix has series");
    series.iter().map(|one| (place_of(&one["metric"]), samples_of(&one["values"]))).collect()
}

fn place_of(metric: &serde_json::Value) -> (u64, u64) {
    let number = |name: &str| metric[name].as_str().and_then(|text| text.parse().ok());
    (number("writer").expect("a writer has a number"), number("series").expect("a series has a number"))
}

fn samples_of(values: &serde_json::Value) -> Samples {
    let values = values.as_array().expect("a series has values").iter();
    let pairs = values.map(|pair| {
        let seconds = pair[0].as_f64().expect("a time is a number");
        let value = pair[1].as_str().and_then(|text| text.parse().ok());
        ((seconds * 1_000.0).round() as i64, value.expect("a value is a number"))
    });
    pairs.collect()
}

fn now_ms() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).expect("the clock is past 1970");
    i64::try_from(since.as_millis()).expect("milliseconds fit")
}

/// A plain generator; its seed is printed so that a failing trial can be repeated.
struct Random(u64);

impl Random {
    fn seeded() -> Self {
        let given = std::env::var("PERDURA_SEED").ok().and_then(|text| text.parse().ok());
        let seed = given.unwrap_or_else(|| {
            u64::from(SystemTime::now().duration_since(UNIX_EPOCH).map_or(1, |t| t.subsec_nanos()))
        });
        println!("kill: PERDURA_SEED={seed}");
        Self(seed)
    }

    /// A number below `end`.
    fn below(&mut self, end: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % end
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ledger(samples: &[(i64, f64)]) -> Ledger {
        Ledger::from([((0, 0), samples.iter().copied().collect())])
    }

    #[test]
    fn lost_changed_and_invented_samples_are_found() {
        let sent = ledger(&[(1, 10.0), (2, 20.0), (3, 30.0)]);
        let round = Round { sent, acknowledged: ledger(&[(1, 10.0), (2, 20.0)]) };
        assert_eq!(round.judge(&ledger(&[(1, 10.0), (2, 20.0)])), Ok(()));
        assert_eq!(round.judge(&ledger(&[(1, 10.0), (2, 20.0), (3, 30.0)])), Ok(()));
        assert!(round.judge(&ledger(&[(1, 10.0)])).is_err(), "one is lost");
        assert!(round.judge(&ledger(&[(1, 10.0), (2, 21.0)])).is_err(), "one is changed");
        assert!(round.judge(&ledger(&[(1, 10.0), (2, 20.0), (4, 1.0)])).is_err(), "one is invented");
    }
}
