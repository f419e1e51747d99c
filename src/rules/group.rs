//! A group: rules that are evaluated together, one after the other, at the same time.

use std::ops::Range;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use crate::lock::lock;
use crate::model::{Labels, Timestamp, stale_nan};
use crate::promql::{Engine, QueryError, SampleValue};
use crate::storage::{Acceptance, Append, AppendError, Batch, RejectReason};

use super::alerting::AlertingRule;
use super::config::GroupConfig;
use super::dependencies::levels;
use super::environment::Environment;
use super::error::EvaluationError;
use super::file::{RuleFileError, RuleOfError};
use super::restore::restore;
use super::rule::{Moment, Results, Rule, RuleBody, bytes_of};
use super::status::GroupStatus;

/// A group of rules with their state. Whoever evaluates it owns it; there is no lock and no clock inside.
#[derive(Debug)]
pub struct Group {
    file: String,
    config: GroupConfig,
    interval_ms: i64,
    pub(super) rules: Vec<Rule>,
    levels: Vec<Vec<usize>>,
    /// Series of rules that are gone; the next evaluation ends them.
    orphans: Vec<Labels>,
    restore: Restore,
    last_at: Option<Timestamp>,
    took: Duration,
    last_evaluation: Option<Timestamp>,
}

/// How far the alerts are from what was stored of them before the start.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Restore {
    /// After so many evaluations more: the first may come before targets were scraped and other rules evaluated.
    After(u32),
    /// They were restored, or never will be.
    Done,
}

/// Evaluations before alerts are restored.
const EVALUATIONS_BEFORE_RESTORE: u32 = 2;

/// Results are written as soon as they are as large, in bytes: a group may hold many large rules.
const BYTES_AT_ONCE: usize = 8 << 20;

/// What one rule's evaluation gave.
type Evaluation = Result<Results, EvaluationError>;

/// What one evaluation did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Evaluated {
    /// Rules that were evaluated.
    pub rules: u64,
    /// Rules whose evaluation failed, or whose results could not be written.
    pub failures: u64,
    /// Samples that the rules gave.
    pub samples: u64,
    /// How long it took to restore alerts after a restart, where that was done.
    pub restored: Option<Duration>,
    /// How long all of it took.
    pub took: Duration,
}

impl Group {
    /// A group as a file describes it. `interval_ms`: where the file says none.
    pub fn new(
        engine: &Engine,
        file: &str,
        config: &GroupConfig,
        interval_ms: i64,
    ) -> Result<Self, Box<RuleFileError>> {
        let mut rules = Vec::with_capacity(config.rules.len());
        for (index, rule) in config.rules.iter().enumerate() {
            rules.push(Rule::new(engine, config, rule).map_err(|message| {
                Box::new(RuleFileError {
                    path: file.to_owned(),
                    place: Some(rule.place),
                    other_place: None,
                    rule: Some(Box::new(RuleOfError {
                        group: config.name.clone(),
                        number: index + 1,
                        name: rule.name().to_owned(),
                    })),
                    message,
                })
            })?);
        }
        let parsed: Vec<_> = rules.iter().map(|rule| (&rule.config, rule.query.expr())).collect();
        Ok(Self {
            levels: levels(&parsed),
            file: file.to_owned(),
            interval_ms: if config.interval.0 > 0 { config.interval.0 } else { interval_ms },
            config: config.clone(),
            rules,
            orphans: Vec::new(),
            restore: Restore::Done,
            last_at: None,
            took: Duration::ZERO,
            last_evaluation: None,
        })
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.config.name
    }

    /// Its file.
    pub fn file(&self) -> &str {
        &self.file
    }

    /// Time between evaluations.
    pub fn interval_ms(&self) -> i64 {
        self.interval_ms
    }

    /// Its alerts are to be restored from what is stored of them. Until then nothing is stored of them.
    pub(super) fn restore_later(&mut self) {
        self.restore = Restore::After(EVALUATIONS_BEFORE_RESTORE);
        self.alerting_rules().for_each(|rule| rule.restored = false);
    }

    fn alerting_rules(&mut self) -> impl Iterator<Item = &mut AlertingRule> {
        self.rules.iter_mut().filter_map(|rule| match &mut rule.body {
            RuleBody::Alerting(rule) => Some(rule),
            RuleBody::Recording(_) => None,
        })
    }

    /// Whether a reload that brings `other` in its place changes nothing.
    pub(super) fn is_like(&self, other: &Self) -> bool {
        let (own, its) = (&self.config, &other.config);
        self.interval_ms == other.interval_ms
            && (&self.file, &own.name, own.limit, own.query_offset)
                == (&other.file, &its.name, its.limit, its.query_offset)
            && self.rules.len() == other.rules.len()
            && self.rules.iter().zip(&other.rules).all(|(own, its)| own.is_like(its))
    }

    /// Takes over what `before` knows, which is the same group before a reload: alerts and series of the rules that
    /// have the same name and labels, the first of them from the first and so on. Series of the others end with the
    /// next evaluation.
    pub(super) fn take_over(&mut self, before: Self) {
        self.restore = before.restore;
        let still_to_restore = self.restore != Restore::Done;
        self.alerting_rules().for_each(|rule| rule.restored = !still_to_restore);
        (self.took, self.last_evaluation, self.last_at) =
            (before.took, before.last_evaluation, before.last_at);
        self.orphans.extend(before.orphans);
        let mut heirs: Vec<Option<&mut Rule>> = self.rules.iter_mut().map(Some).collect();
        for rule in before.rules {
            let heir = heirs.iter_mut().find(|heir| heir.as_ref().is_some_and(|heir| heir.continues(&rule)));
            match heir.and_then(Option::take) {
                Some(heir) => heir.take_over(rule),
                None => self.orphans.extend(rule.series),
            }
        }
    }

    /// All series that it wrote last and that nobody will go on with once it is gone.
    pub(super) fn into_series(self) -> Vec<Labels> {
        self.orphans.into_iter().chain(self.rules.into_iter().flat_map(|rule| rule.series)).collect()
    }

    /// The time of queries and of what is recorded, for an evaluation at `at`.
    pub(super) fn query_time(&self, environment: &Environment, at: Timestamp) -> Timestamp {
        let offset_ms = self.config.query_offset.map_or(environment.globals().query_offset_ms, |ms| ms.0);
        at.saturating_sub(offset_ms)
    }

    /// How long each rule took in the latest evaluation.
    pub(super) fn rule_times(&self) -> impl Iterator<Item = Duration> {
        self.rules.iter().map(|rule| rule.took)
    }

    /// Evaluates all rules at `at` and writes what they give. `began`: what the clock shows, for the status alone.
    ///
    /// The result is that of evaluating and writing rule after rule. Alerts are sent before anything is written.
    pub fn evaluate(&mut self, environment: &Environment, at: Timestamp, began: Timestamp) -> Evaluated {
        let started = Instant::now();
        self.follow_clock(at);
        let globals = environment.globals();
        let moment = Moment {
            environment,
            globals: &globals,
            at,
            query_at: self.query_time(environment, at),
            began,
            limit: self.config.limit,
            interval_ms: self.interval_ms,
        };
        let mut evaluated = Evaluated::default();
        for level in 0..self.levels.len() {
            self.evaluate_level(level, &moment, &mut evaluated);
        }
        if !environment.is_cancelled() {
            self.end_orphans(&moment);
            evaluated.restored = self.restore_when_due(&moment);
        }
        self.took = started.elapsed();
        self.last_evaluation = Some(began);
        Evaluated { took: self.took, ..evaluated }
    }

    /// A clock that was set back takes the alerts' times with it: none waits longer or fires again for it.
    fn follow_clock(&mut self, at: Timestamp) {
        if let Some(last) = self.last_at.filter(|last| at < *last) {
            let by_ms = at.saturating_sub(self.interval_ms).saturating_sub(last);
            self.alerting_rules().for_each(|rule| rule.shift(by_ms));
        }
        self.last_at = Some(at);
    }

    fn evaluate_level(&mut self, level: usize, moment: &Moment<'_>, evaluated: &mut Evaluated) {
        let rules = self.levels[level].clone();
        let mut left = rules.as_slice();
        while !left.is_empty() && !moment.environment.is_cancelled() {
            let mut written = Written::default();
            let results = self.results_of(left, moment);
            left = &left[results.len()..];
            for (index, results) in results {
                evaluated.rules += 1;
                match results {
                    Ok(results) => {
                        evaluated.samples += results.len() as u64;
                        written.push(index, results, &self.rules[index].series, moment.query_at);
                    }
                    Err(error) => {
                        evaluated.failures += 1;
                        self.report(index, &error);
                    }
                }
            }
            self.write(written, moment.environment, evaluated);
        }
    }

    /// Evaluates the first of these rules, as many as may be written at once: side by side where that is worth
    /// threads and others leave room. Answers their results in the rules' order.
    fn results_of(&mut self, chosen: &[usize], moment: &Moment<'_>) -> Vec<(usize, Evaluation)> {
        let mut chosen = chosen.iter().copied().peekable();
        let rules = self.rules.iter_mut().enumerate();
        let rules: Vec<_> = rules.filter(|(index, _)| chosen.next_if_eq(index).is_some()).collect();
        let took: Duration = rules.iter().map(|(_, rule)| rule.took).sum();
        let helpers_max =
            if took < moment.environment.beside_from { 0 } else { rules.len().saturating_sub(1) };
        let helpers: Vec<_> = (0..helpers_max).map_while(|_| moment.environment.beside()).collect();
        let (waiting, results) = (Mutex::new(rules.into_iter()), Mutex::new(Vec::new()));
        let bytes = AtomicUsize::new(0);
        let work = || {
            while !moment.environment.is_cancelled() && bytes.load(Ordering::SeqCst) < BYTES_AT_ONCE {
                let Some((index, rule)) = lock(&waiting).next() else { return };
                let evaluation = rule.evaluate(moment);
                bytes.fetch_add(evaluation.as_ref().map_or(0, bytes_of), Ordering::SeqCst);
                lock(&results).push((index, evaluation));
            }
        };
        std::thread::scope(|scope| {
            for _ in &helpers {
                // Where there is no thread to be had, this one does it all.
                drop(std::thread::Builder::new().name("rule".to_owned()).spawn_scoped(scope, work));
            }
            work();
        });
        let mut results = results.into_inner().unwrap_or_else(PoisonError::into_inner);
        results.sort_unstable_by_key(|(index, _)| *index);
        results
    }

    fn report(&self, index: usize, error: &EvaluationError) {
        // Queries are cancelled at the end of the program, which is no fault.
        if matches!(error, EvaluationError::Query(QueryError::Canceled(_))) {
            return;
        }
        let rule = self.rules[index].config.name();
        tracing::warn!(file = %self.file, group = %self.config.name, rule, index, %error, "Evaluating rule failed");
    }

    fn write(&mut self, written: Written, environment: &Environment, evaluated: &mut Evaluated) {
        let Written { batch, mut parts } = written;
        let outcome = match append(environment, batch) {
            Ok(outcome) => outcome,
            Err(error) => {
                evaluated.failures += parts.len() as u64;
                parts.iter().for_each(|part| self.rules[part.rule].fail(error.to_string()));
                tracing::warn!(file = %self.file, group = %self.config.name, %error, "Rule sample appending failed");
                return;
            }
        };
        let mut refused = vec![Refused::default(); parts.len()];
        for rejection in &outcome {
            let part = parts.partition_point(|part| part.markers.end <= rejection.series);
            refused[part].count(rejection, &mut parts[part]);
        }
        for (part, refused) in parts.into_iter().zip(refused) {
            let rule = &mut self.rules[part.rule];
            // The rule is shown as bad, but counts as evaluated, as upstream has it.
            if let Some(error) = refused.first {
                rule.fail(error.to_string());
                let (refused, name) = (refused.results, rule.config.name());
                tracing::warn!(file = %self.file, group = %self.config.name, rule = name, refused, %error, "results of a rule were refused");
            }
            rule.series = part.series.into_iter().flatten().collect();
        }
    }

    fn end_orphans(&mut self, moment: &Moment<'_>) {
        if end_series(moment.environment, &self.orphans, moment.query_at) {
            self.orphans.clear();
        }
    }

    /// Restores the alerts if it is time; answers how long that took.
    fn restore_when_due(&mut self, moment: &Moment<'_>) -> Option<Duration> {
        let Restore::After(left) = self.restore else { return None };
        if left > 1 {
            self.restore = Restore::After(left - 1);
            return None;
        }
        let started = Instant::now();
        for rule in &mut self.rules {
            if let RuleBody::Alerting(alerting) = &mut rule.body {
                restore(alerting, &rule.query, moment);
                alerting.restored = true;
            }
        }
        self.restore = Restore::Done;
        Some(started.elapsed())
    }

    /// What is shown of it.
    pub fn status(&self) -> GroupStatus {
        GroupStatus {
            name: self.config.name.clone(),
            file: self.file.clone(),
            interval_ms: self.interval_ms,
            limit: self.config.limit,
            rules: self.rules.iter().map(Rule::status).collect(),
            evaluation_seconds: self.took.as_secs_f64(),
            last_evaluation: self.last_evaluation,
        }
    }
}

/// One refused entry: its series in the batch and why.
struct RefusedEntry {
    series: usize,
    reason: RejectReason,
}

/// Results that storage would not take.
#[derive(Clone, Copy, Default)]
struct Refused {
    results: usize,
    first: Option<RejectReason>,
}

impl Refused {
    /// Stale markers do not count: another rule may go on with the series.
    fn count(&mut self, entry: &RefusedEntry, part: &mut Part) {
        if let Some(series) = entry.series.checked_sub(part.start).and_then(|at| part.series.get_mut(at)) {
            *series = None;
            self.results += 1;
            self.first.get_or_insert(entry.reason);
        }
    }
}

/// What the rules of one level write.
#[derive(Default)]
struct Written {
    batch: Batch,
    parts: Vec<Part>,
}

/// One rule's part of it.
struct Part {
    rule: usize,
    /// The first of its series in the batch.
    start: usize,
    /// The series of its results, those that were stored.
    series: Vec<Option<Labels>>,
    /// The stale markers behind them, in the batch.
    markers: Range<usize>,
}

impl Written {
    /// Adds a rule's results, and stale markers for what it gave before and gives no more. Both are sorted.
    fn push(&mut self, rule: usize, results: Results, before: &[Labels], t: Timestamp) {
        let start = self.batch.series.len();
        let mut series = Vec::with_capacity(results.len());
        let mut gone = Vec::new();
        let mut before = before.iter().peekable();
        for (labels, value) in results {
            while let Some(old) = before.next_if(|old| old.as_bytes() < labels.as_bytes()) {
                gone.push(old);
            }
            before.next_if(|old| **old == labels);
            push_sample(&mut self.batch, &labels, t, value);
            series.push(Some(labels));
        }
        gone.extend(before);
        let markers_start = self.batch.series.len();
        gone.into_iter().for_each(|labels| push_marker(&mut self.batch, labels, t));
        let markers = markers_start..self.batch.series.len();
        self.parts.push(Part { rule, start, series, markers });
    }
}

fn push_sample(batch: &mut Batch, labels: &Labels, t: Timestamp, value: SampleValue) {
    batch.begin_series(labels);
    match value {
        SampleValue::Float(value) => batch.push_float(t, 0, value),
        SampleValue::Histogram(histogram) => batch.push_histogram(t, 0, histogram.to_histogram().into()),
    }
}

fn push_marker(batch: &mut Batch, labels: &Labels, t: Timestamp) {
    batch.begin_series(labels);
    batch.push_float(t, 0, stale_nan());
}

/// Ends series of rules that are gone; answers whether it worked. What another rule has written since is refused, as
/// it should be.
pub(super) fn end_series(environment: &Environment, series: &[Labels], t: Timestamp) -> bool {
    let mut batch = Batch::default();
    series.iter().for_each(|labels| push_marker(&mut batch, labels, t));
    match append(environment, batch) {
        Ok(_) => true,
        Err(error) => {
            tracing::warn!(%error, series = series.len(), "Stale sample appending for previous configuration failed");
            false
        }
    }
}

/// Writes results: only what is newer than what their series hold, as upstream.
fn append(environment: &Environment, batch: Batch) -> Result<Vec<RefusedEntry>, AppendError> {
    if batch.is_empty() {
        return Ok(Vec::new());
    }
    let append: &dyn Append = environment.append.as_ref();
    let outcome = append.append(&environment.tenant, batch, &Acceptance::IN_ORDER)?;
    let refused = outcome.rejections.into_iter();
    Ok(refused.map(|entry| RefusedEntry { series: entry.series, reason: entry.reason }).collect())
}

#[cfg(test)]
#[path = "group_tests.rs"]
pub(super) mod tests;
