//! Runs one test.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use crate::model::{Labels, TenantId, Timestamp};
use crate::promql::parse::ParserOptions;
use crate::promql::testlang::load::{Load, LoadPlace, parse_load};
use crate::promql::{Engine, EngineOptions, QueryOptions};
use crate::rules::status::{ActiveAlert, AlertState, RuleKind};
use crate::rules::{Environment, Globals, Group};
use crate::storage::MemoryStore;

use super::alerts::{self, SeenAlert};
use super::file::{AlertTest, ExprTest, TestCase, TestFile};
use super::hints::HintingAppend;
use super::rule_set::RuleSet;
use super::samples::{self, SeenSample, samples_of};
use super::text::go_duration;

/// Most samples that a query of a test may hold at a time, as upstream.
const SAMPLES_MAX: u64 = 10_000;
/// Longest that a query of a test may run.
const QUERY_TIMEOUT: Duration = Duration::from_secs(100);
/// Most evaluations of one test.
const EVALUATIONS_MAX: i64 = 10_000_000;
/// The label that holds an alert's name.
const ALERT_NAME: &str = "alertname";

/// What the command line says of how tests are run.
#[derive(Clone, Copy, Debug, Default)]
pub struct CaseOptions {
    /// What the parser of expressions accepts.
    pub parser: ParserOptions,
    /// Metric names are dropped when a result is ready, not by each function.
    pub delayed_name_removal: bool,
    /// Alerts that differ are shown as one coloured text.
    pub diff: bool,
}

impl CaseOptions {
    /// The engine for the tests of `file`.
    fn engine(&self, file: &TestFile) -> Engine {
        Engine::new(EngineOptions {
            parser: self.parser,
            samples_max: SAMPLES_MAX,
            timeout: QUERY_TIMEOUT,
            subquery_step_ms: file.evaluation_interval.0,
            delayed_name_removal: self.delayed_name_removal,
            ..EngineOptions::default()
        })
    }
}

/// A test while it runs.
pub(super) struct Case<'a> {
    test: &'a TestCase,
    file: &'a TestFile,
    options: CaseOptions,
    load: Load,
    groups: Vec<Group>,
    environment: Environment,
    failures: Vec<String>,
    /// Whether the last run came to its end.
    is_complete: bool,
}

impl<'a> Case<'a> {
    /// Reads the series of `test` and makes its groups. The error says what is wrong with them.
    pub(super) fn new(
        test: &'a TestCase,
        file: &'a TestFile,
        rules: &RuleSet,
        options: CaseOptions,
    ) -> Result<Self, String> {
        let load = load_of(test)?;
        let engine = options.engine(file);
        let groups = rules.groups(&engine, test.interval.0).map_err(|error| error.to_string())?;
        let store = Arc::new(MemoryStore::default());
        let append = Arc::new(HintingAppend::new(Arc::clone(&store)));
        let mut environment = Environment::new(engine, store, append);
        environment.external_url = test.external_url.clone();
        environment.set_globals(Globals {
            external_labels: Labels::from_pairs(&test.external_labels),
            ..Globals::default()
        });
        check_alert_names(test)?;
        if test.length_ms() / file.evaluation_interval.0 >= EVALUATIONS_MAX {
            return Err(format!("more than {EVALUATIONS_MAX} evaluations in one test"));
        }
        Ok(Self { test, file, options, load, groups, environment, failures: Vec::new(), is_complete: false })
    }

    /// Runs the test; answers what failed. A rule that cannot be evaluated ends the test.
    pub(super) fn run(&mut self) -> Vec<String> {
        self.is_complete = self.evaluate();
        if self.is_complete {
            for test in &self.test.promql_expr_test {
                let time = test.eval_time;
                if let Err(error) = self.check_expr(test) {
                    self.failures.push(format!("    expr: {:?}, time: {time},{error}", test.expr));
                }
            }
        }
        std::mem::take(&mut self.failures)
    }

    /// Whether the run came to its end.
    pub(super) fn is_complete(&self) -> bool {
        self.is_complete
    }

    /// Where it runs.
    pub(super) fn environment(&self) -> &Environment {
        &self.environment
    }

    /// A query for all samples up to the full second after the end, how far that is from the start, and its time.
    pub(super) fn everything(&self) -> (String, i64, Timestamp) {
        let after_ms = (self.test.length_ms() / 1_000 + 1) * 1_000;
        let query = format!("{{__name__=~\".+\"}}[{}]", go_duration(after_ms));
        (query, after_ms, self.test.start_timestamp.saturating_add(after_ms))
    }

    /// Evaluates all groups at all times and checks alerts on the way; answers whether all rules could be evaluated.
    fn evaluate(&mut self) -> bool {
        let interval_ms = self.file.evaluation_interval.0;
        let mut waiting: BTreeMap<i64, Vec<&AlertTest>> = BTreeMap::new();
        for test in &self.test.alert_rule_test {
            waiting.entry(test.eval_time.0).or_default().push(test);
        }
        for since_start in (0..=self.test.length_ms()).step_by(step(interval_ms)) {
            if !self.evaluate_at(self.test.start_timestamp.saturating_add(since_start)) {
                return false;
            }
            // Alerts between two evaluations are those of the one before.
            let later = waiting.split_off(&since_start.saturating_add(interval_ms));
            for tests in std::mem::replace(&mut waiting, later).values() {
                self.check_alerts(tests);
            }
        }
        true
    }

    fn evaluate_at(&mut self, at: Timestamp) -> bool {
        if let Err(error) = self.load.run_till(at, self.environment.append.as_ref()) {
            self.failures.push(error);
            return true;
        }
        let mut all_work = true;
        for group in &mut self.groups {
            if group.evaluate(&self.environment, at, at).failures == 0 {
                continue;
            }
            all_work = false;
            for rule in group.status().rules.into_iter().filter(|rule| !rule.last_error.is_empty()) {
                let (name, time, error) = (rule.name, go_duration(at), rule.last_error);
                self.failures.push(format!("    rule: {name}, time: {time}, err: {error}"));
            }
        }
        all_work
    }

    /// Checks the alerts of `tests`, which are for one time.
    fn check_alerts(&mut self, tests: &[&AlertTest]) {
        let names: BTreeSet<&str> = tests.iter().map(|test| test.alertname.as_str()).collect();
        let mut firing: BTreeMap<String, Vec<SeenAlert>> = BTreeMap::new();
        for rule in self.groups.iter().flat_map(|group| group.status().rules) {
            if let RuleKind::Alerting { alerts, .. } = rule.kind
                && names.contains(rule.name.as_str())
            {
                let alerts = alerts.iter().filter(|alert| alert.state == AlertState::Firing);
                firing.entry(rule.name).or_default().extend(alerts.map(seen));
            }
        }
        for test in tests {
            let got = firing.get(&test.alertname).cloned().unwrap_or_default();
            if let Err(error) = alerts::compare(expected_alerts(test), got, self.options.diff) {
                let of_test = match self.test.name.as_str() {
                    "" => String::new(),
                    name => format!("    name: {name},\n"),
                };
                let (name, time) = (&test.alertname, test.eval_time);
                self.failures
                    .push(format!("{of_test}    alertname: {name}, time: {time}, \n        {error}"));
            }
        }
    }

    fn check_expr(&self, test: &ExprTest) -> Result<(), String> {
        let at = self.test.start_timestamp.saturating_add(test.eval_time.0);
        let (store, options) = (self.environment.select.as_ref(), QueryOptions::default());
        let failed = |error: String| format!(" err: {error}");
        let output = self
            .environment
            .engine
            .instant(store, &TenantId::default(), &test.expr, at, &options)
            .map_err(|error| failed(error.to_string()))?;
        let got = samples_of(output.value).map_err(failed)?;
        let expected: Vec<SeenSample> =
            test.exp_samples.iter().map(SeenSample::expected).collect::<Result<_, _>>().map_err(failed)?;
        samples::compare(expected, got, self.file.fuzzy_compare).map_err(|error| format!("\n        {error}"))
    }
}

impl TestCase {
    /// Reads what a test holds in notations of its own: series, and the samples that expressions must answer. The error
    /// is the first that running it would tell.
    pub fn check(&self) -> Result<(), String> {
        load_of(self)?;
        check_alert_names(self)?;
        let samples = self.promql_expr_test.iter().flat_map(|test| &test.exp_samples);
        samples.map(SeenSample::expected).collect::<Result<Vec<_>, _>>().map(drop)
    }
}

/// The series of a test, as upstream puts them together: a line each, up to the first that is empty.
fn load_of(test: &TestCase) -> Result<Load, String> {
    let lines = test.input_series.iter().map(|input| format!("{} {}", input.series, input.values));
    let text = lines.collect::<Vec<_>>().join("\n");
    let block: Vec<&str> = text
        .split('\n')
        .map(str::trim)
        .take_while(|line| !line.is_empty() && !line.starts_with('#'))
        .collect();
    let place = LoadPlace { line: 1, start: test.start_timestamp };
    parse_load(&format!("load {}", test.interval), &block, place)
}

fn check_alert_names(test: &TestCase) -> Result<(), String> {
    let Some(nameless) = test.alert_rule_test.iter().find(|alert| alert.alertname.is_empty()) else {
        return Ok(());
    };
    let of_test = match test.name.as_str() {
        "" => String::new(),
        name => format!(" (in TestGroup {name})"),
    };
    let time = nameless.eval_time;
    Err(format!(
        "an item under alert_rule_test misses required attribute alertname at eval_time {time}{of_test}"
    ))
}

fn expected_alerts(test: &AlertTest) -> Vec<SeenAlert> {
    let expected = test.exp_alerts.iter().map(|alert| {
        let mut labels = alert.exp_labels.clone();
        labels.insert(ALERT_NAME.to_owned(), test.alertname.clone());
        SeenAlert { labels, annotations: alert.exp_annotations.clone() }
    });
    expected.collect()
}

fn seen(alert: &ActiveAlert) -> SeenAlert {
    let labels = alert.labels.iter().map(|label| (label.name.to_owned(), label.value.to_owned()));
    SeenAlert { labels: labels.collect(), annotations: alert.annotations.clone() }
}

fn step(interval_ms: i64) -> usize {
    usize::try_from(interval_ms).expect("the interval of a file that was read is above zero")
}
