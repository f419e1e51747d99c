//! The database against the plainest store: same writes, same answers, whatever happens between them.

use std::path::Path;
use std::sync::Arc;

use proptest::prelude::*;

use super::*;
use crate::clock::{Clock, SimulatedClock};
use crate::fs::FaultFs;
use crate::model::{
    Exemplar, Histogram, HistogramCounts, Labels, MatchOp, Matcher, Metadata, MetricType, TenantId, TimeSpan,
    Timestamp,
};
use crate::storage::{
    Acceptance, Append, Batch, Columns, LabelsRequest, MemoryStore, Select, SelectRequest, SymbolTable,
};

const HOUR: i64 = 3_600_000;
/// Far from the epoch, and not at a window's edge.
const BASE: i64 = 1_700_000_123_000;

#[derive(Clone, Debug)]
enum Step {
    Append(Vec<Sample>, u8),
    Flush,
    Work,
    Reopen,
    Wait(i64),
    /// Series by a set of matchers, from and to relative to [`BASE`].
    Delete(usize, Timestamp, Timestamp),
    CleanTombstones,
}

#[derive(Clone, Debug)]
struct Sample {
    series: u8,
    /// Relative to [`BASE`].
    at: Timestamp,
    value: u8,
    kind: u8,
}

fn sample() -> impl Strategy<Value = Sample> {
    // Mostly near each other, so that times repeat; some far away, so that several windows are touched.
    let near = 0..40_i64;
    let far = (-3..3_i64, 0..4_i64).prop_map(|(days, step)| days * 20 * HOUR + step * 1_000);
    let at = prop_oneof![3 => near.prop_map(|step| step * 15_000), 1 => far];
    (0..6_u8, at, any::<u8>(), 0..12_u8).prop_map(|(series, at, value, kind)| Sample {
        series,
        at,
        value,
        kind,
    })
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        6 => (prop::collection::vec(sample(), 1..12), 0..8_u8).prop_map(|(s, mode)| Step::Append(s, mode)),
        2 => Just(Step::Flush),
        2 => Just(Step::Work),
        1 => Just(Step::Reopen),
        1 => (0..3 * HOUR).prop_map(Step::Wait),
        2 => deletion(),
        1 => Just(Step::CleanTombstones),
    ]
}

fn deletion() -> impl Strategy<Value = Step> {
    let near = (0..40_i64, 0..20_i64).prop_map(|(start, steps)| (start * 15_000, (start + steps) * 15_000));
    let far = (-3..3_i64, 0..3_i64).prop_map(|(day, days)| (day * 20 * HOUR, (day + days) * 20 * HOUR));
    let all = Just((Timestamp::MIN / 2, Timestamp::MAX / 2));
    (0..4_usize, prop_oneof![3 => near, 2 => far, 1 => all])
        .prop_map(|(set, (start, end))| Step::Delete(set, start, end))
}

fn labels(series: u8) -> Labels {
    let job = if series.is_multiple_of(2) { "a" } else { "b" };
    let name = if series < 3 { "up" } else { "requests_total" };
    let instance = format!("host-{series}");
    if series == 5 {
        return Labels::from_pairs([("__name__", name), ("instance", &instance)]);
    }
    Labels::from_pairs([("__name__", name), ("instance", &instance), ("job", job)])
}

fn histogram(value: u8) -> Arc<Histogram> {
    let counts = HistogramCounts::Float {
        count: value.into(),
        zero_count: value.into(),
        positive: Vec::new(),
        negative: Vec::new(),
    };
    Arc::new(Histogram {
        counter_reset_hint: crate::model::CounterResetHint::Unknown,
        schema: 0,
        zero_threshold: 0.001,
        sum: value.into(),
        counts,
        positive_spans: Vec::new(),
        negative_spans: Vec::new(),
        custom_values: Vec::new(),
    })
}

/// `with_exemplars`: only where no sample is refused; the plainest store does not show exemplars of a series without samples.
fn batch(samples: &[Sample], with_exemplars: bool) -> Batch {
    let mut batch = Batch::default();
    // One run for each kind of a series: of a float and a histogram at one time in one batch either may win.
    let mut seen = std::collections::BTreeMap::new();
    for sample in samples {
        let at = BASE + sample.at;
        let kind = *seen.entry((sample.series, at)).or_insert(sample.kind == 0);
        batch.begin_series(&labels(sample.series));
        let start = if sample.kind == 1 { at - 500 } else { 0 };
        if kind {
            batch.push_histogram(at, start, histogram(sample.value));
        } else {
            batch.push_float(at, start, f64::from(sample.value) / 8.0);
        }
        if sample.kind == 2 && with_exemplars {
            let trace = Labels::from_pairs([("trace_id", sample.value.to_string())]);
            batch.push_exemplar(Exemplar { labels: trace, value: sample.value.into(), timestamp: at });
        }
        if sample.kind == 3 {
            let help = format!("help {}", sample.value % 4);
            let metadata = Metadata { metric_type: MetricType::Gauge, help, unit: String::new() };
            batch.push_metadata(labels(sample.series).metric_name(), metadata);
        }
    }
    batch
}

fn acceptance(mode: u8) -> Acceptance {
    match mode {
        0 => Acceptance::IN_ORDER,
        1 => Acceptance { span: TimeSpan::new(BASE, BASE + 400_000), ..Acceptance::EVERYTHING },
        _ => Acceptance::EVERYTHING,
    }
}

/// Everything that a selection answers, in a form that compares bit for bit.
fn selected(store: &dyn Select, matchers: &[Matcher], span: TimeSpan) -> Vec<String> {
    let mut symbols = SymbolTable::default();
    let request = SelectRequest::samples(matchers, span);
    let selection = store.select(&TenantId::default(), &request, &mut symbols).expect("it is readable");
    let mut columns = Columns::default();
    selection.read(0..selection.len(), &mut columns).expect("it is readable");
    let mut rows = Vec::new();
    for row in 0..selection.len() {
        let data = columns.row(row);
        if data.timestamps.is_empty() {
            continue;
        }
        let pieces = selection.pieces(row).expect("it is readable");
        let covered = |t: &Timestamp| pieces.iter().any(|piece| piece.span.contains(*t));
        assert!(data.timestamps.iter().all(covered), "pieces cover all samples");
        let samples: Vec<String> = (0..data.timestamps.len())
            .map(|at| {
                let histogram = data.histograms.get(at).and_then(Option::as_ref).map(|h| h.sum);
                let start = data.start_timestamps.get(at).copied().unwrap_or(0);
                format!("{}/{start}={:x}{histogram:?}", data.timestamps[at], data.values[at].to_bits())
            })
            .collect();
        rows.push(format!(
            "{:?} {} {samples:?}",
            selection.fingerprint(row),
            selection.labels(row, &symbols)
        ));
    }
    rows
}

fn matcher_sets() -> Vec<Vec<Matcher>> {
    let matcher = |name, op, value| Matcher::new(name, op, value).expect("the pattern is sound");
    vec![
        vec![Matcher::equal("__name__", "up")],
        vec![matcher("instance", MatchOp::Regex, "host-[1-4]"), matcher("job", MatchOp::NotEqual, "a")],
        vec![matcher("job", MatchOp::Regex, ".*")],
        vec![Matcher::equal("job", ""), matcher("__name__", MatchOp::NotRegex, "up|down")],
    ]
}

fn assert_same(database: &Database, oracle: &MemoryStore) {
    let tenant = TenantId::default();
    for matchers in matcher_sets() {
        for span in [TimeSpan::ALL, TimeSpan::new(BASE, BASE + 100_000), TimeSpan::new(BASE + 7, BASE + 8)] {
            assert_eq!(
                selected(database, &matchers, span),
                selected(oracle, &matchers, span),
                "{matchers:?}"
            );
        }
    }
    for matcher_sets in [Vec::new(), vec![vec![Matcher::equal("job", "b")]], matcher_sets()] {
        let request = LabelsRequest { matcher_sets: &matcher_sets, span: TimeSpan::ALL, limit: 0 };
        assert_eq!(database.label_names(&tenant, &request), oracle.label_names(&tenant, &request));
        for name in ["instance", "job", "nothing"] {
            let values = |store: &dyn Select| store.label_values(&tenant, name, &request);
            assert_eq!(values(database), values(oracle), "{name}");
        }
        let exemplars = |store: &dyn Select| store.exemplars(&tenant, &matcher_sets, TimeSpan::ALL);
        assert_eq!(exemplars(database), exemplars(oracle));
    }
    let bounds = |store: &dyn Select| store.time_bounds(&tenant);
    match (bounds(database), bounds(oracle)) {
        // What deletions hide at either end may count until it is compacted.
        (Some(wide), Some(exact)) if database.view().deletions.len() > 0 => {
            assert!(wide.0 <= exact.0 && exact.1 <= wide.1, "{wide:?} {exact:?}");
        }
        (Some(_), None) if database.view().deletions.len() > 0 => {}
        (found, expected) => assert_eq!(found, expected),
    }
    let sorted = |store: &dyn Select| {
        let mut metadata = store.metadata(&tenant, "").expect("it is readable");
        metadata.iter_mut().for_each(|(_, known)| known.sort_by(|a, b| a.help.cmp(&b.help)));
        metadata
    };
    assert_eq!(sorted(database), sorted(oracle));
}

fn open(fs: &FaultFs, clock: &SimulatedClock) -> Arc<Database> {
    let mut options = DatabaseOptions::new(Path::new("/data"));
    options.fs = Arc::new(fs.clone());
    options.clock = Clock::Simulated(clock.clone());
    options.shards = 2;
    options.log_file_bytes = 2_000;
    Database::open(options).expect("no fault is due")
}

fn run(steps: &[Step]) {
    let fs = FaultFs::default();
    let clock = SimulatedClock::at_ms(BASE + HOUR);
    let oracle = MemoryStore::default();
    let mut database = open(&fs, &clock);
    for step in steps {
        match step {
            Step::Append(samples, mode) => {
                let (batch, acceptance) = (batch(samples, *mode > 1), acceptance(*mode));
                let tenant = TenantId::default();
                let expected = oracle.append(&tenant, batch.clone(), &acceptance);
                assert_eq!(database.append(&tenant, batch, &acceptance), expected);
            }
            Step::Flush => database.flush().expect("no fault is due"),
            Step::Work => while database.step().expect("no fault is due") {},
            Step::Reopen => {
                drop(database);
                database = open(&fs, &clock);
            }
            Step::Wait(ms) => clock.advance_ms(*ms),
            Step::Delete(set, start, end) => {
                let (tenant, sets) = (TenantId::default(), [matcher_sets().swap_remove(*set)]);
                let span = TimeSpan::new(BASE.saturating_add(*start), BASE.saturating_add(*end));
                oracle.delete(&tenant, &sets, span);
                database.delete(&tenant, &sets, span).expect("no fault is due");
            }
            Step::CleanTombstones => {
                database.clean_tombstones().expect("no fault is due");
                assert_eq!(database.view().deletions.len(), 0, "nothing is left to hide");
            }
        }
        assert_same(&database, &oracle);
    }
    database.flush().expect("no fault is due");
    assert_same(&database, &oracle);
    let stats = database.stats();
    assert_eq!((stats.head_samples, stats.damaged_records, stats.damaged_segments), (0, 0, 0));
    drop(database);
    assert_same(&open(&fs, &clock), &oracle);
}

fn cases() -> u32 {
    std::env::var("PROPTEST_CASES").ok().and_then(|cases| cases.parse().ok()).unwrap_or(10)
}

proptest! {
    // More by PROPTEST_CASES.
    #![proptest_config(ProptestConfig::with_cases(cases()))]

    #[test]
    fn the_database_answers_as_the_plainest_store_does(steps in prop::collection::vec(step(), 1..30)) {
        run(&steps);
    }
}
