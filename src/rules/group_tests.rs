use std::sync::{Arc, Mutex};

use super::*;
use crate::lock::lock;
use crate::model::{Matcher, TenantId, TimeSpan, is_stale};
use crate::notify;
use crate::promql::EngineOptions;
use crate::rules::alerting::{ALERTS, ALERTS_FOR_STATE};
use crate::rules::{AlertState, Globals, RuleConfig, RuleHealth, RuleKind};
use crate::setting::DurationMs;
use crate::storage::{Columns, MemoryStore, Select, SelectRequest, SymbolTable};

const MINUTE: i64 = 60_000;

/// A series' labels, and its samples: times in minutes, stale markers as `None`.
type Recorded = (String, Vec<(i64, Option<f64>)>);

/// A store, an engine over it, and what was sent.
pub(crate) struct Bench {
    pub(crate) environment: Arc<Environment>,
    store: Arc<MemoryStore>,
    sent: Arc<Mutex<Vec<notify::Alert>>>,
}

impl Bench {
    pub(crate) fn new() -> Self {
        Self::with(|_| {})
    }

    pub(crate) fn with(set: impl FnOnce(&mut Environment)) -> Self {
        let store = Arc::new(MemoryStore::default());
        let engine = Engine::new(EngineOptions::default());
        let mut environment = Environment::new(engine, store.clone(), store.clone());
        let sent = Arc::new(Mutex::new(Vec::new()));
        let outbox = Arc::clone(&sent);
        environment.notify = Box::new(move |alerts| lock(&outbox).extend(alerts));
        environment.external_url = "http://here".to_owned();
        set(&mut environment);
        Self { environment: Arc::new(environment), store, sent }
    }

    pub(crate) fn group(&self, config: &GroupConfig) -> Group {
        Group::new(&self.environment.engine, "file", config, MINUTE).expect("the group is sound")
    }

    pub(crate) fn write(&self, labels: &[(&str, &str)], samples: &[(i64, f64)]) {
        let mut batch = Batch::default();
        batch.begin_series(&Labels::from_pairs(labels.iter().copied()));
        samples.iter().for_each(|(t, value)| batch.push_float(*t, 0, *value));
        self.store
            .append(&TenantId::default(), batch, &Acceptance::EVERYTHING)
            .expect("memory does not fail");
    }

    /// All samples of a metric, series by series in label order.
    pub(crate) fn read(&self, metric: &str) -> Vec<Recorded> {
        let matchers = [Matcher::equal("__name__", metric)];
        let request = SelectRequest::samples(&matchers, TimeSpan::ALL);
        let mut symbols = SymbolTable::default();
        let selection =
            self.store.select(&TenantId::default(), &request, &mut symbols).expect("memory does not fail");
        let mut columns = Columns::default();
        selection.read(0..selection.len(), &mut columns).expect("memory does not fail");
        let mut found: Vec<_> = (0..selection.len())
            .map(|row| {
                let data = columns.row(row);
                let values = data.values.iter().map(|value| (!is_stale(*value)).then_some(*value));
                let samples = data.timestamps.iter().map(|t| t / MINUTE).zip(values).collect();
                let labels = selection.labels(row, &symbols).without(|name| name == "__name__");
                (labels.to_string(), samples)
            })
            .collect();
        found.sort_by(|a, b| a.0.cmp(&b.0));
        found
    }

    pub(crate) fn sent(&self) -> Vec<notify::Alert> {
        std::mem::take(&mut lock(&self.sent))
    }

    /// As `run`, where only what is left behind matters.
    pub(crate) fn pass(&self, group: &mut Group, minute: i64) {
        self.run(group, minute);
    }

    pub(crate) fn run(&self, group: &mut Group, minute: i64) -> Evaluated {
        group.evaluate(&self.environment, minute * MINUTE, minute * MINUTE)
    }
}

pub(crate) fn group(rules: Vec<RuleConfig>) -> GroupConfig {
    GroupConfig { name: "group".to_owned(), rules, ..GroupConfig::default() }
}

pub(crate) fn record(name: &str, expr: &str) -> RuleConfig {
    RuleConfig { record: name.to_owned(), expr: expr.to_owned(), ..RuleConfig::default() }
}

pub(crate) fn alert(name: &str, expr: &str, hold_minutes: i64) -> RuleConfig {
    let hold = DurationMs(hold_minutes * MINUTE);
    RuleConfig { alert: name.to_owned(), expr: expr.to_owned(), hold, ..RuleConfig::default() }
}

fn labels(pairs: &[(&str, &str)]) -> std::collections::BTreeMap<String, String> {
    pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
}

/// Rules, failures and samples.
fn counts(evaluated: Evaluated) -> (u64, u64, u64) {
    (evaluated.rules, evaluated.failures, evaluated.samples)
}

fn states(group: &Group) -> Vec<AlertState> {
    let status = group.status();
    let RuleKind::Alerting { alerts, .. } = &status.rules[0].kind else { panic!("an alerting rule") };
    alerts.iter().map(|alert| alert.state).collect()
}

#[test]
fn results_are_recorded_with_the_rules_labels() {
    let bench = Bench::new();
    bench.write(&[("__name__", "up"), ("job", "a"), ("pod", "1")], &[(MINUTE, 3.0)]);
    let mut rule = record("job:up", "up");
    rule.labels = labels(&[("team", "x"), ("pod", "")]);
    let mut config = group(vec![rule, record("twice", "job:up * 2"), record("one", "scalar(vector(1))")]);
    config.labels = labels(&[("team", "group"), ("zone", "z")]);
    let mut group = bench.group(&config);
    assert_eq!(counts(bench.run(&mut group, 1)), (3, 0, 3));
    let series = r#"{job="a", team="x", zone="z"}"#.to_owned();
    assert_eq!(bench.read("job:up"), [(series, vec![(1, Some(3.0))])]);
    let series = r#"{job="a", team="group", zone="z"}"#.to_owned();
    assert_eq!(bench.read("twice"), [(series, vec![(1, Some(6.0))])], "it sees what was just written");
    assert_eq!(bench.read("one")[0].1, [(1, Some(1.0))], "a scalar is a sample too");
    let status = group.status();
    assert!(status.rules.iter().all(|rule| rule.health == RuleHealth::Good && rule.last_error.is_empty()));
    assert_eq!(status.last_evaluation, Some(MINUTE));
}

#[test]
fn series_that_vanish_are_ended() {
    let bench = Bench::new();
    bench.write(&[("__name__", "m"), ("a", "1")], &[(MINUTE, 1.0), (2 * MINUTE, 0.0), (3 * MINUTE, 1.0)]);
    bench.write(&[("__name__", "m"), ("a", "2")], &[(MINUTE, 1.0), (2 * MINUTE, 1.0), (3 * MINUTE, 0.0)]);
    let mut group = bench.group(&group(vec![record("r", "m > 0")]));
    (1..=3).for_each(|minute| bench.pass(&mut group, minute));
    assert_eq!(
        bench.read("r"),
        [
            (r#"{a="1"}"#.to_owned(), vec![(1, Some(1.0)), (2, None), (3, Some(1.0))]),
            (r#"{a="2"}"#.to_owned(), vec![(1, Some(1.0)), (2, Some(1.0)), (3, None)]),
        ]
    );
}

#[test]
fn a_failed_query_ends_nothing() {
    let bench = Bench::new();
    bench.write(&[("__name__", "m"), ("a", "1")], &[(MINUTE, 1.0)]);
    bench.write(&[("__name__", "m"), ("a", "2")], &[(2 * MINUTE, 1.0)]);
    let mut group = bench.group(&group(vec![record("r", "m * on() m")]));
    bench.run(&mut group, 1);
    let evaluated = bench.run(&mut group, 2);
    assert_eq!((evaluated.failures, evaluated.samples), (1, 0));
    assert_eq!(bench.read("r")[0].1, [(1, Some(1.0))]);
    let rule = &group.status().rules[0];
    assert_eq!(rule.health, RuleHealth::Bad);
    assert!(rule.last_error.starts_with("found duplicate series for the match group"), "{}", rule.last_error);
}

#[test]
fn query_offsets_move_the_query_and_the_samples() {
    let bench = Bench::new();
    bench.write(&[("__name__", "m")], &[(MINUTE, 1.0), (2 * MINUTE, 2.0)]);
    bench.environment.set_globals(Globals { query_offset_ms: MINUTE, ..Globals::default() });
    let mut config = group(vec![record("r", "m")]);
    let mut by_global = bench.group(&config);
    bench.run(&mut by_global, 2);
    assert_eq!(bench.read("r")[0].1, [(1, Some(1.0))]);
    config.query_offset = Some(DurationMs(0));
    let mut by_group = bench.group(&config);
    bench.run(&mut by_group, 2);
    assert_eq!(bench.read("r")[0].1, [(1, Some(1.0)), (2, Some(2.0))]);
}

#[test]
fn results_that_clash_or_are_too_many_are_errors() {
    let bench = Bench::new();
    bench.write(&[("__name__", "m"), ("a", "1")], &[(MINUTE, 1.0)]);
    bench.write(&[("__name__", "m"), ("a", "2")], &[(MINUTE, 1.0)]);
    let mut same = record("r", "m");
    same.labels = labels(&[("a", "x")]);
    let mut same_alert = alert("A", "m", 0);
    same_alert.labels = labels(&[("a", "x")]);
    let mut config = group(vec![same, same_alert, record("s", "m"), alert("B", "m", 0)]);
    config.limit = 1;
    let mut group = bench.group(&config);
    assert_eq!(bench.run(&mut group, 1).failures, 4);
    let errors: Vec<String> = group.status().rules.into_iter().map(|rule| rule.last_error).collect();
    assert_eq!(
        errors,
        [
            "vector contains metrics with the same labelset after applying rule labels",
            "vector contains metrics with the same labelset after applying alert labels",
            "exceeded limit of 1 with 2 series",
            "exceeded limit of 1 with 2 alerts",
        ]
    );
    assert!(bench.read("s").is_empty() && bench.read("ALERTS").is_empty() && bench.sent().is_empty());
}

#[test]
fn refused_results_are_the_rules_error() {
    let bench = Bench::new();
    bench.write(&[("__name__", "m"), ("a", "1")], &[(MINUTE, 1.0)]);
    bench.write(&[("__name__", "m"), ("a", "2")], &[(MINUTE, 1.0)]);
    bench.write(&[("__name__", "r"), ("a", "1")], &[(2 * MINUTE, 5.0)]);
    bench.write(&[("__name__", "r"), ("a", "2")], &[(MINUTE, 5.0)]);
    let mut group = bench.group(&group(vec![record("r", "m"), record("s", "m")]));
    assert_eq!(counts(bench.run(&mut group, 1)), (2, 0, 4));
    let status = group.status();
    assert_eq!((status.rules[0].health, status.rules[1].health), (RuleHealth::Bad, RuleHealth::Good));
    assert_eq!(status.rules[0].last_error, "out of order sample");
    assert!(group.rules[0].series.is_empty(), "nothing of it was stored");
    assert_eq!(group.rules[1].series.len(), 2);
}

#[test]
fn alerts_wait_fire_and_are_resolved() {
    let bench = Bench::new();
    bench.write(&[("__name__", "up"), ("job", "a")], &(0..40).map(|i| (i * MINUTE, 0.0)).collect::<Vec<_>>());
    bench.write(&[("__name__", "up"), ("job", "a")], &[(5 * MINUTE, 1.0)]);
    let mut rule = alert("Down", "up == 0", 2);
    rule.labels = labels(&[("severity", "page")]);
    rule.annotations = labels(&[("summary", "it is down")]);
    let mut group = bench.group(&group(vec![rule]));
    let mut seen = Vec::new();
    for minute in 1..=8 {
        bench.run(&mut group, minute);
        seen.push((states(&group), bench.sent().len()));
    }
    use AlertState::{Firing, Pending};
    assert_eq!(
        seen,
        [
            (vec![Pending], 0),
            (vec![Pending], 0),
            (vec![Firing], 1),
            (vec![Firing], 0),
            (vec![], 1),
            (vec![Pending], 0),
            (vec![Pending], 0),
            (vec![Firing], 1),
        ]
    );
    let series =
        |state: &str| format!(r#"{{alertname="Down", alertstate="{state}", job="a", severity="page"}}"#);
    let one = Some(1.0);
    assert_eq!(
        bench.read("ALERTS"),
        [
            (series("firing"), vec![(3, one), (4, one), (5, None), (8, one)]),
            (series("pending"), vec![(1, one), (2, one), (3, None), (6, one), (7, one), (8, None)]),
        ]
    );
    let since: Vec<_> =
        bench.read("ALERTS_FOR_STATE").remove(0).1.into_iter().map(|sample| sample.1).collect();
    let (first, second) = (Some(60.0), Some(360.0));
    assert_eq!(since, [first, first, first, first, None, second, second, second]);
}

#[test]
fn what_is_sent_says_since_when_and_until_when() {
    let bench = Bench::new();
    bench.write(&[("__name__", "up"), ("job", "a")], &[(MINUTE, 0.0), (2 * MINUTE, 0.0), (3 * MINUTE, 1.0)]);
    let mut rule = alert("Down", "up == 0", 1);
    rule.annotations = labels(&[("runbook", ""), ("summary", "it is down")]);
    let annotations = rule.annotations.clone();
    let mut group = bench.group(&group(vec![rule]));
    (1..=2).for_each(|minute| bench.pass(&mut group, minute));
    let firing = bench.sent().remove(0);
    assert_eq!(firing.labels.to_string(), r#"{alertname="Down", job="a"}"#);
    assert_eq!(firing.annotations, annotations, "empty ones too");
    assert_eq!((firing.starts_at, firing.ends_at), (2 * MINUTE, 6 * MINUTE));
    assert_eq!(firing.generator_url, "http://here/graph?g0.expr=up+%3D%3D+0&g0.tab=1");
    bench.run(&mut group, 3);
    let resolved = bench.sent().remove(0);
    assert_eq!((resolved.starts_at, resolved.ends_at), (2 * MINUTE, 3 * MINUTE));
    // Told again after each resend delay for 15 minutes, and not once more.
    let times: Vec<i64> = (4..30)
        .filter(|minute| {
            bench.run(&mut group, *minute);
            !bench.sent().is_empty()
        })
        .collect();
    assert_eq!(times, [5, 7, 9, 11, 13, 15, 17]);
}

#[test]
fn a_firing_alert_lingers() {
    let bench = Bench::new();
    let values = [0.0, 1.0, 1.0, 0.0, 1.0, 1.0, 1.0, 1.0];
    let samples: Vec<_> = values.iter().zip(1..).map(|(value, minute)| (minute * MINUTE, *value)).collect();
    bench.write(&[("__name__", "up")], &samples);
    let mut rule = alert("Down", "up == 0", 0);
    rule.keep_firing_for = DurationMs(3 * MINUTE);
    let mut group = bench.group(&group(vec![rule]));
    let mut seen = Vec::new();
    for minute in 1..=8 {
        bench.run(&mut group, minute);
        let status = group.status();
        let RuleKind::Alerting { alerts, .. } = &status.rules[0].kind else { panic!("an alerting rule") };
        seen.push(alerts.first().map(|alert| (alert.state, alert.keep_firing_since.map(|t| t / MINUTE))));
    }
    let firing = |since: Option<i64>| Some((AlertState::Firing, since));
    assert_eq!(
        seen,
        [
            firing(None),
            firing(Some(2)),
            firing(Some(2)),
            firing(None),
            firing(Some(5)),
            firing(Some(5)),
            firing(Some(5)),
            None
        ]
    );
}

#[test]
fn a_clock_set_back_neither_fires_twice_nor_waits_longer() {
    let bench = Bench::new();
    bench.write(&[("__name__", "up")], &(0..200).map(|i| (i * MINUTE, 0.0)).collect::<Vec<_>>());
    let config = group(vec![alert("Down", "up == 0", 5)]);
    let mut fires = bench.group(&config);
    (100..=105).for_each(|minute| bench.pass(&mut fires, minute));
    assert_eq!((states(&fires), bench.sent().len()), (vec![AlertState::Firing], 1));
    bench.run(&mut fires, 45);
    assert_eq!((states(&fires), bench.sent().len()), (vec![AlertState::Firing], 0));
    let mut waits = bench.group(&config);
    (100..=103).for_each(|minute| bench.pass(&mut waits, minute));
    bench.run(&mut waits, 44);
    assert_eq!(states(&waits), [AlertState::Pending]);
    bench.run(&mut waits, 45);
    assert_eq!(states(&waits), [AlertState::Firing], "five minutes, as if the clock had gone on");
}

#[test]
fn nothing_runs_after_the_end() {
    let bench = Bench::new();
    bench.write(&[("__name__", "up")], &[(MINUTE, 0.0)]);
    let mut group = bench.group(&group(vec![alert("Down", "up == 0", 0), record("r", "up")]));
    bench.run(&mut group, 1);
    bench.sent();
    bench.environment.cancel();
    assert_eq!(counts(bench.run(&mut group, 2)), (0, 0, 0));
    assert_eq!(bench.read("r")[0].1, [(1, Some(0.0))], "no stale marker either");
}

#[test]
fn a_bad_rule_is_named_with_its_place() {
    let bench = Bench::new();
    let error = Group::new(
        &bench.environment.engine,
        "f.yml",
        &group(vec![record("a", "1"), record("b", "sum(")]),
        MINUTE,
    )
    .expect_err("the second rule is wrong")
    .to_string();
    assert!(
        error.starts_with("f.yml: 0:0: group \"group\", rule 2, \"b\": could not parse expression: 1:5: "),
        "{error}"
    );
}

/// Runs a rule through `before`, restarts, and answers state and times in minutes of its alerts after each of `after`.
fn restarted(
    bench: &Bench,
    rule: RuleConfig,
    before: std::ops::RangeInclusive<i64>,
    after: std::ops::RangeInclusive<i64>,
) -> Vec<Option<(AlertState, i64)>> {
    let config = group(vec![rule]);
    let mut group = bench.group(&config);
    before.for_each(|minute| bench.pass(&mut group, minute));
    bench.sent();
    let mut group = bench.group(&config);
    group.restore_later();
    let mut seen = Vec::new();
    for minute in after {
        let restored = bench.run(&mut group, minute).restored;
        let status = group.status();
        let RuleKind::Alerting { alerts, .. } = &status.rules[0].kind else { panic!("an alerting rule") };
        seen.push(alerts.first().map(|alert| (alert.state, alert.active_at / MINUTE)));
        assert_eq!(restored.is_some(), seen.len() == 2, "after the second evaluation");
    }
    seen
}

fn down(bench: &Bench, minutes: std::ops::RangeInclusive<i64>) {
    bench.write(&[("__name__", "up"), ("job", "a")], &minutes.map(|i| (i * MINUTE, 0.0)).collect::<Vec<_>>());
}

#[test]
fn after_a_restart_pending_alerts_go_on() {
    use AlertState::{Firing, Pending};
    let bench = Bench::with(|environment| environment.grace_period_ms = 2 * MINUTE);
    down(&bench, 1..=60);
    // Pending for 5 minutes of 20, 4 minutes away: 15 minutes remain from the second evaluation on.
    let seen = restarted(&bench, alert("Down", "up == 0", 20), 10..=15, 20..=36);
    assert_eq!(seen[0], Some((Pending, 20)));
    assert_eq!(seen[1], Some((Pending, 16)));
    assert_eq!((seen[15], seen[16]), (Some((Pending, 16)), Some((Firing, 16))));
    let since: Vec<_> =
        bench.read("ALERTS_FOR_STATE").remove(0).1.into_iter().map(|sample| sample.0).collect();
    let expected: Vec<i64> = (10..=15).chain(22..=36).collect();
    assert_eq!(since, expected, "nothing is stored before what was stored is restored");
}

#[test]
fn after_a_restart_firing_alerts_fire() {
    use AlertState::{Firing, Pending};
    let bench = Bench::new();
    down(&bench, 1..=60);
    let seen = restarted(&bench, alert("Down", "up == 0", 12), 10..=23, 30..=32);
    assert_eq!(seen, [Some((Pending, 30)), Some((Pending, 10)), Some((Firing, 10))]);
    let bench = Bench::new();
    down(&bench, 1..=60);
    let seen = restarted(&bench, alert("Down", "up == 0", 5), 10..=16, 30..=32);
    assert_eq!(seen[2], Some((Firing, 10)), "also those that wait for less than the grace period");
}

#[test]
fn after_a_restart_there_is_a_grace_period() {
    use AlertState::{Firing, Pending};
    let bench = Bench::with(|environment| environment.grace_period_ms = 6 * MINUTE);
    down(&bench, 1..=60);
    let seen = restarted(&bench, alert("Down", "up == 0", 10), 10..=19, 21..=28);
    assert_eq!(seen[1], Some((Pending, 18)), "one minute remains, six are waited from minute 22 on");
    assert_eq!((seen[6], seen[7]), (Some((Pending, 18)), Some((Firing, 18))));
    let bench = Bench::with(|environment| environment.grace_period_ms = 6 * MINUTE);
    down(&bench, 1..=60);
    let seen = restarted(&bench, alert("Down", "up == 0", 5), 10..=13, 21..=25);
    assert_eq!(seen[1], Some((Pending, 19)), "who waits for less than the grace period goes on");
    assert_eq!((seen[2], seen[3]), (Some((Pending, 19)), Some((Firing, 19))));
}

#[test]
fn after_a_long_outage_alerts_start_anew() {
    let bench = Bench::with(|environment| environment.outage_tolerance_ms = 5 * MINUTE);
    down(&bench, 1..=60);
    let seen = restarted(&bench, alert("Down", "up == 0", 20), 10..=15, 20..=21);
    assert_eq!(seen[1], Some((AlertState::Pending, 20)));
    let bench = Bench::new();
    down(&bench, 1..=12);
    bench.write(&[("__name__", "up"), ("job", "a")], &[(13 * MINUTE, 1.0)]);
    down(&bench, 20..=30);
    let seen = restarted(&bench, alert("Down", "up == 0", 20), 10..=15, 20..=21);
    assert_eq!(seen[1], Some((AlertState::Pending, 20)), "it had ended before");
}

#[test]
fn after_a_restart_alerts_linger() {
    use AlertState::Firing;
    let bench = Bench::new();
    down(&bench, 1..=13);
    bench.write(&[("__name__", "up"), ("job", "a")], &[(14 * MINUTE, 1.0), (60 * MINUTE, 1.0)]);
    let mut rule = alert("Down", "up == 0", 2);
    rule.keep_firing_for = DurationMs(8 * MINUTE);
    rule.annotations = labels(&[("summary", "it is down")]);
    // The condition held last at 13: with the minute after it, 8 minutes of firing on end at 22.
    let seen = restarted(&bench, rule, 10..=15, 18..=23);
    let firing = Some((Firing, 10));
    assert_eq!(seen, [None, firing, firing, firing, None, None]);
    let sent = bench.sent();
    assert_eq!(sent[0].starts_at, 12 * MINUTE);
    assert_eq!(sent[0].annotations, labels(&[("summary", "it is down")]));
    assert_eq!(sent.last().expect("it was resolved").ends_at, 22 * MINUTE);
}

#[test]
fn a_restored_alert_is_found_by_all_its_labels() {
    let bench = Bench::new();
    down(&bench, 1..=60);
    let mut rule = alert("Down", "up == 0", 20);
    rule.labels = labels(&[("team", "x"), ("job", "")]);
    let seen = restarted(&bench, rule, 10..=15, 20..=21);
    assert_eq!(seen[1], Some((AlertState::Pending, 16)));
}

/// Numbers that look random and are the same each time.
struct Dice(u64);

impl Dice {
    fn below(&mut self, bound: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) as usize % bound
    }

    fn one_of<'a>(&mut self, texts: &[&'a str]) -> &'a str {
        texts[self.below(texts.len())]
    }

    fn rule(&mut self) -> RuleConfig {
        let metrics = ["a", "b", "c", "x"];
        let (one, other) = (self.one_of(&metrics), self.one_of(&metrics));
        let expr = match self.below(9) {
            0 => format!("sum({one})"),
            1 => format!("{one} + {other}"),
            2 => format!("{one} > 3"),
            3 => format!("count({{__name__=~\"{one}|{other}\"}})"),
            4 => "count(ALERTS{alertname=\"A\"})".to_owned(),
            5 => "sum(ALERTS_FOR_STATE)".to_owned(),
            6 => "count({job=\"j\"})".to_owned(),
            7 => format!("max_over_time({one}[3m])"),
            _ => "scalar(vector(time() / 60)) % 5".to_owned(),
        };
        if self.below(3) > 0 {
            return record(self.one_of(&metrics[..3]), &expr);
        }
        let mut rule = alert(self.one_of(&["A", "B"]), &expr, self.below(3) as i64);
        if self.below(3) == 0 {
            let text = format!("{{{{ range query \"{other}\" }}}}{{{{ .Value }}}} {{{{ end }}}}");
            rule.labels = [("seen".to_owned(), text)].into();
        }
        rule
    }
}

#[test]
fn levels_give_what_one_rule_after_the_other_gives() {
    let mut order_mattered = 0;
    for seed in 0..60 {
        let mut dice = Dice(seed);
        let config = group((0..7).map(|_| dice.rule()).collect());
        let minutes =
            || (1..=6).map(|i| (i * MINUTE, (i * (seed as i64 + 3) % 7) as f64)).collect::<Vec<_>>();
        let outcome = |beside: bool, levels: Option<Vec<Vec<usize>>>| {
            let bench = Bench::with(|environment| {
                environment.beside_max = if beside { 3 } else { 0 };
                environment.beside_from = Duration::ZERO;
            });
            bench.write(&[("__name__", "x"), ("job", "j")], &minutes());
            let mut group = bench.group(&config);
            group.levels = levels.unwrap_or(group.levels);
            (1..=6).for_each(|minute| bench.pass(&mut group, minute));
            let errors: Vec<String> = group.status().rules.into_iter().map(|rule| rule.last_error).collect();
            let mut sent: Vec<String> = bench.sent().iter().map(|alert| format!("{alert:?}")).collect();
            sent.sort();
            (["a", "b", "c", ALERTS, ALERTS_FOR_STATE].map(|metric| bench.read(metric)), errors, sent)
        };
        let expected = outcome(false, Some((0..7).map(|index| vec![index]).collect()));
        assert_eq!(outcome(false, None), expected, "seed {seed}: {config:?}");
        assert_eq!(outcome(true, None), expected, "side by side, seed {seed}: {config:?}");
        order_mattered += usize::from(outcome(false, Some(vec![(0..7).collect()])) != expected);
    }
    assert!(order_mattered > 30, "only in {order_mattered} groups a rule saw what another had written");
}

#[test]
fn leave_to_run_beside_others_is_given_back() {
    let bench = Bench::with(|environment| environment.beside_max = 2);
    let (one, two) = (bench.environment.beside(), bench.environment.beside());
    assert!(one.is_some() && two.is_some() && bench.environment.beside().is_none());
    drop(one);
    assert!(bench.environment.beside().is_some());
}

#[test]
fn large_results_are_written_one_after_the_other() {
    let bench = Bench::new();
    let long = "x".repeat(5 << 20);
    bench.write(&[("__name__", "m"), ("a", &long)], &[(MINUTE, 1.0)]);
    let names = ["r", "s", "t", "u", "v"];
    let mut group = bench.group(&group(names.iter().map(|name| record(name, "m")).collect()));
    assert_eq!(group.levels.len(), 1);
    assert_eq!(counts(bench.run(&mut group, 1)), (5, 0, 5));
    assert!(group.rules.iter().all(|rule| rule.series.len() == 1), "all of it was stored");
}
