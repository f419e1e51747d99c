//! Generated queries over generated data, put to perdura and to a real Prometheus: both must answer alike.
//!
//! `PERDURA_DIFFERENTIAL_QUERIES` sets how many queries (1000 where it is not set), `PERDURA_DIFFERENTIAL_SEED` another
//! seed, and `PERDURA_DIFFERENTIAL_QUERY` asks one number only. A failure names the seed and the query's number.
//! `PERDURA_DIFFERENTIAL_TEXT`, with `PERDURA_DIFFERENTIAL_AT` in milliseconds, prints both answers to a query by hand.

mod calls;
mod catalog;
mod combine;
mod coverage;
mod data;
mod generate;
mod histograms;
mod judge;
mod known;
mod query;
mod random;
mod select;

use std::collections::BTreeMap;
use std::path::Path;
use std::time::{Duration, Instant};

use super::http::{Answer, Connection, form};
use super::server::{Server, Subject, free_port, peers, start_prometheus_with};
use super::wire::{Protocol, Written, compress, encode};
use coverage::Coverage;
use data::SLICE_MS;
use judge::{Difference, RELATIVE_TOLERANCE, Strictness, differences, is_telling};
use query::{Query, When};

/// Queries where the environment asks for no other number.
const QUERIES: u64 = 1_000;
/// Least share of queries whose answer has a sample, in percent.
const TELLING_PERCENT_MIN: u64 = 60;
/// Allowed distance of values that `stddev` and `stdvar` are in: they add up without compensation, in the order in which
/// storage finds series.
const DEVIATION_TOLERANCE: f64 = 1e-6;
/// How often a query is asked again where the answers differ: the peer shares memory between native histograms of one
/// query in a way that now and then shows in its answer.
const REPEATS: usize = 8;
/// How much of an answer is printed, where more than one query is asked.
const SHOWN_CHARACTERS: usize = 700;
/// How many differences are printed in full.
const PRINTED_MAX: usize = 200;

const CONFIGURATION: &str = "global: {scrape_interval: 1h}\n";
const FEATURES: &str =
    "--enable-feature=native-histograms,promql-experimental-functions,promql-duration-expr";
const RETENTION: &str = "--storage.tsdb.retention.time=50y";

#[test]
fn generated_queries_are_answered_alike() {
    let Some(peers) = peers("differential") else { return };
    let folder = tempfile::tempdir().expect("a temporary folder can be made");
    let number =
        |name: &str| std::env::var(name).ok().map(|text| text.parse::<u64>().expect("a number is set"));
    let seed = number("PERDURA_DIFFERENTIAL_SEED").unwrap_or(1);
    let count = number("PERDURA_DIFFERENTIAL_QUERIES").unwrap_or(QUERIES);
    let one = number("PERDURA_DIFFERENTIAL_QUERY");
    let mut trial = Trial::start(&peers, folder.path(), seed);
    trial.same_samples();
    if let Ok(text) = std::env::var("PERDURA_DIFFERENTIAL_TEXT") {
        trial.print_answers(&text, number("PERDURA_DIFFERENTIAL_AT"));
        return;
    }
    for number in one.map_or(0..count, |one| one..one + 1) {
        trial.ask(number);
    }
    trial.conclude(one.is_none());
}

/// Both servers over the same data, and what was found so far.
struct Trial {
    seed: u64,
    _servers: [Server; 2],
    peer: Connection,
    ours: Connection,
    started: Instant,
    asked: u64,
    telling: u64,
    errors: u64,
    /// Queries that the peer answered in two ways.
    repeated: u64,
    coverage: Coverage,
    /// Differences by the changelog entry that explains them.
    explained: BTreeMap<&'static str, u64>,
    unexplained: Vec<String>,
}

impl Trial {
    fn start(peers: &Path, folder: &Path, seed: u64) -> Self {
        let place = Subject::new(&folder.join("subject"));
        let subject = place.start_with(CONFIGURATION, &[FEATURES, RETENTION]);
        let prometheus = start_prometheus_with(
            peers,
            &folder.join("prometheus"),
            free_port(),
            CONFIGURATION,
            &[FEATURES, RETENTION],
        );
        let connect = |server: &Server| {
            Connection::open(server.port, Duration::from_secs(60))
                .expect("a ready server can be connected to")
        };
        let (mut peer, mut ours) = (connect(&prometheus), connect(&subject));
        write_all(&mut [&mut peer, &mut ours], seed);
        Self {
            seed,
            _servers: [prometheus, subject],
            peer,
            ours,
            started: Instant::now(),
            asked: 0,
            telling: 0,
            errors: 0,
            repeated: 0,
            coverage: Coverage::default(),
            explained: BTreeMap::new(),
            unexplained: Vec::new(),
        }
    }

    /// Every sample that was written is in both.
    fn same_samples(&mut self) {
        let at = (data::START_MS + data::SPAN_MS) / 1000 + 60;
        let fields = [("query", "{__name__=~\".+\"}[2h]".to_owned()), ("time", at.to_string())];
        let (peer, ours) =
            (call(&mut self.peer, "/api/v1/query", &fields), call(&mut self.ours, "/api/v1/query", &fields));
        assert!(is_telling(&peer), "{}", peer.text());
        let found = differences(&peer, &ours, Strictness::default());
        assert!(found.is_empty(), "what was written differs: {found:?}");
    }

    fn print_answers(&mut self, text: &str, at_ms: Option<u64>) {
        let at = at_ms.map_or((data::START_MS + data::SPAN_MS) as f64, |at| at as f64) / 1000.0;
        let fields = [("query", text.to_owned()), ("time", at.to_string())];
        for (name, server) in [("peer", &mut self.peer), ("ours", &mut self.ours)] {
            println!("{name}: {}", call(server, "/api/v1/query", &fields).text());
        }
    }

    fn ask(&mut self, number: u64) {
        let query = Query::generate(self.seed, number);
        let (path, fields) = query.call();
        let first = call(&mut self.ours, path, &fields);
        self.asked += 1;
        self.coverage.add(&query);
        for repeat in 0..=REPEATS {
            let (peer, ours) = (call(&mut self.peer, path, &fields), call(&mut self.ours, path, &fields));
            assert_eq!(ours.text(), first.text(), "{} is answered in two ways", query.text);
            let found = differences(&peer, &ours, strictness(&query));
            let (explained, unexplained): (Vec<_>, Vec<_>) = found
                .iter()
                .map(|one| (one, known::reason(&query, one)))
                .partition(|(_, reason)| reason.is_some());
            if repeat < REPEATS && !unexplained.is_empty() {
                self.disturb_peer();
                continue;
            }
            self.repeated += u64::from(repeat > 0 && unexplained.is_empty());
            self.telling += u64::from(is_telling(&peer));
            self.errors += u64::from(peer.status != 200);
            for (_, reason) in explained {
                *self.explained.entry(reason.map_or("", |reason| reason.entry)).or_default() += 1;
            }
            for (difference, _) in unexplained {
                let told = self.told(number, &query, difference, [&peer, &ours]);
                self.unexplained.push(told);
            }
            break;
        }
    }

    /// Another query, so that the peer's memory is not as it was.
    fn disturb_peer(&mut self) {
        let at = ((data::START_MS + data::SPAN_MS) / 1000).to_string();
        let fields =
            [("query", "sum_over_time({__name__=~\"native.*|custom.*\"}[1h])".to_owned()), ("time", at)];
        call(&mut self.peer, "/api/v1/query", &fields);
        std::thread::sleep(Duration::from_millis(100));
    }

    fn told(&self, number: u64, query: &Query, difference: &Difference, answers: [&Answer; 2]) -> String {
        let length = if self.asked == 1 { usize::MAX } else { SHOWN_CHARACTERS };
        let short = |answer: &Answer| answer.text().chars().take(length).collect::<String>();
        format!(
            "seed {} query {number} at {:?}:\n  {}\n  {difference:?}\n  peer: {}\n  ours: {}",
            self.seed,
            query.when,
            query.text,
            short(answers[0]),
            short(answers[1])
        )
    }

    fn conclude(&self, whole: bool) {
        let percent = self.telling * 100 / self.asked;
        println!(
            "differential: {} queries in {:.0} s, {percent}% with samples, {} errors, {} answered by the peer in two ways; {}",
            self.asked,
            self.started.elapsed().as_secs_f64(),
            self.errors,
            self.repeated,
            self.coverage.summary()
        );
        for (entry, count) in &self.explained {
            println!("differential: {count} differences by {entry}");
        }
        let shown = &self.unexplained[..self.unexplained.len().min(PRINTED_MAX)];
        assert!(
            shown.is_empty(),
            "{} unexplained differences:\n{}",
            self.unexplained.len(),
            shown.join("\n")
        );
        if whole {
            assert!(percent >= TELLING_PERCENT_MIN, "only {percent}% of answers have samples");
            if self.asked >= QUERIES {
                let unseen = self.coverage.unseen_constructs();
                assert!(unseen.is_empty(), "no query had {unseen:?}");
            }
            if self.asked >= 2 * catalog::pairs().len() as u64 {
                let unseen = self.coverage.unseen_pairs();
                assert!(unseen.is_empty(), "no query had the pairs {unseen:?}");
            }
        }
    }
}

fn strictness(query: &Query) -> Strictness {
    let instant = matches!(query.when, When::At(_));
    Strictness {
        ordered: instant && query.top.starts_with("sort"),
        choice_is_free: matches!(query.top, "topk" | "bottomk"),
        values_are_free: query.top == "limitk",
        tolerance: if query.deviates() { DEVIATION_TOLERANCE } else { RELATIVE_TOLERANCE },
    }
}

fn call(connection: &mut Connection, path: &str, fields: &[(&str, String)]) -> Answer {
    let fields: Vec<(&str, &str)> = fields.iter().map(|(name, value)| (*name, value.as_str())).collect();
    let headers = [("Content-Type", "application/x-www-form-urlencoded")];
    connection.send("POST", path, &headers, form(&fields).as_bytes()).expect("the server answers")
}

/// Writes all families, slice by slice, one half with each protocol.
fn write_all(servers: &mut [&mut Connection], seed: u64) {
    let (one, two): (Vec<_>, Vec<_>) =
        data::FAMILIES.iter().enumerate().partition(|(place, _)| place.is_multiple_of(2));
    let series = |families: &[(usize, &data::Family)]| -> Vec<Written> {
        families.iter().flat_map(|(_, family)| family.written(seed)).collect()
    };
    let halves = [(Protocol::V1, series(&one)), (Protocol::V2, series(&two))];
    let mut from = data::START_MS;
    while from <= data::START_MS + data::SPAN_MS {
        for (protocol, series) in &halves {
            let body = compress(&encode(*protocol, &slice(series, from)));
            for server in servers.iter_mut() {
                let answer = server.send("POST", "/api/v1/write", &protocol.headers(), &body);
                let answer = answer.expect("the server answers");
                assert_eq!(answer.status, 204, "{protocol:?}: {}", answer.text());
            }
        }
        from += SLICE_MS;
    }
}

/// What of the series lies in the slice that starts at `from`.
fn slice(series: &[Written], from: i64) -> Vec<Written> {
    let within = |at: i64| at >= from && at < from + SLICE_MS;
    let cut = |one: &Written| Written {
        labels: one.labels.clone(),
        samples: one.samples.iter().copied().filter(|(at, _)| within(*at)).collect(),
        histograms: one.histograms.iter().filter(|one| within(one.timestamp)).cloned().collect(),
    };
    let cuts = series.iter().map(cut);
    cuts.filter(|one| !one.samples.is_empty() || !one.histograms.is_empty()).collect()
}
