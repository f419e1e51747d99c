//! The walk through groups, times and rules.

use std::collections::{HashMap, HashSet};

use crate::model::{Labels, Timestamp};

use super::answer::ResultSeries;
use super::plan::{GroupPlan, Plan, RulePlan, Slots};
use super::progress::Progress;
use super::query::{QueryFailure, ask};
use super::server::Server;
use super::write::{Stored, store, with_markers};

/// Evaluations of a group's first piece.
const PIECE_FIRST: usize = 120;
/// Most evaluations of a piece; a range query may have 11,000.
const PIECE_MAX: usize = 10_000;
/// Pieces grow while their answers are shorter than this, in bytes.
const ANSWER_BYTES_WANTED: usize = 8 << 20;
/// So many evaluations of a rule may fail one after the other before it is given up.
const FAILURES_MAX: u64 = 20;

/// What came of it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Report {
    pub(super) samples: u64,
    pub(super) markers: u64,
    /// Evaluations that failed, and rules that were given up.
    pub(super) failures: u64,
}

/// One run.
pub(super) struct Backfill {
    source: Server,
    target: Server,
    plan: Plan,
    progress: Progress,
    report: Report,
}

/// How far a rule is.
#[derive(Default)]
struct RuleState {
    /// Series with a result at the latest evaluation.
    alive: HashSet<Labels>,
    stored: Stored,
    failures_in_a_row: u64,
    is_given_up: bool,
}

impl Backfill {
    pub(super) fn new(source: Server, target: Server, plan: Plan) -> Self {
        let evaluations = |group: &GroupPlan| (group.slots.count * group.rules.len()) as u64;
        let progress = Progress::new(plan.groups.iter().map(evaluations).sum());
        Self { source, target, plan, progress, report: Report::default() }
    }

    /// Evaluates everything. An error ends the run; what one rule does wrong is told and counted.
    pub(super) async fn run(mut self) -> Result<Report, String> {
        for note in &self.plan.notes {
            self.progress.say(&format!("note: {note}"));
        }
        for group in std::mem::take(&mut self.plan.groups) {
            self.run_group(&group).await?;
        }
        Ok(self.report)
    }

    /// Piece by piece, in each piece rule by rule, so that a rule finds what those before it stored.
    async fn run_group(&mut self, group: &GroupPlan) -> Result<(), String> {
        let mut states: Vec<RuleState> = group.rules.iter().map(|_| RuleState::default()).collect();
        let mut piece_len = if group.is_stepwise { 1 } else { PIECE_FIRST };
        let mut from = 0;
        while from < group.slots.count {
            let count = piece_len.min(group.slots.count - from);
            let mut answer_bytes_max = 0;
            for (rule, state) in group.rules.iter().zip(&mut states) {
                self.progress.set_what(&format!("{}: {}", group.name, rule.name));
                let bytes = self.run_piece(group, rule, state, from, count).await?;
                answer_bytes_max = answer_bytes_max.max(bytes);
            }
            from += count;
            piece_len = match answer_bytes_max {
                _ if group.is_stepwise => 1,
                bytes if bytes < ANSWER_BYTES_WANTED / 2 => (piece_len * 2).min(PIECE_MAX),
                bytes if bytes > ANSWER_BYTES_WANTED => (piece_len / 2).max(1),
                _ => piece_len,
            };
        }
        for (rule, state) in group.rules.iter().zip(&states) {
            let Stored { samples, markers } = state.stored;
            self.progress
                .say(&format!("{}: {}: {samples} samples, {markers} markers", group.name, rule.name));
        }
        Ok(())
    }

    /// A rule at `count` evaluations from `from`; where they cannot be had together, by halves. Answers the length of
    /// the longest answer, or of one that is too long where it was halved.
    async fn run_piece(
        &mut self,
        group: &GroupPlan,
        rule: &RulePlan,
        state: &mut RuleState,
        from: usize,
        count: usize,
    ) -> Result<usize, String> {
        let mut left = vec![(from, count)];
        let mut answer_bytes_max = 0;
        while let Some((from, count)) = left.pop() {
            if state.is_given_up {
                self.progress.advance(count as u64);
                continue;
            }
            if rule.is_instant_only && count > 1 {
                left.extend((from..from + count).rev().map(|at| (at, 1)));
                continue;
            }
            let slots = group.slots.part(from, count);
            match evaluate(&self.source, group, rule, slots).await {
                Ok((series, bytes)) => {
                    answer_bytes_max = answer_bytes_max.max(bytes);
                    state.failures_in_a_row = 0;
                    self.store(state, series, slots).await?;
                }
                Err(QueryFailure::Evaluation(_)) if count > 1 => {
                    answer_bytes_max = usize::MAX;
                    let half = count / 2;
                    left.extend([(from + half, count - half), (from, half)]);
                    continue;
                }
                Err(QueryFailure::Evaluation(why)) => {
                    self.fail(group, rule, state, Some(slots.first), &why);
                    self.store(state, Vec::new(), slots).await?;
                }
                Err(QueryFailure::Refused(why)) => self.fail(group, rule, state, None, &why),
                Err(QueryFailure::Unreachable(why)) => return Err(why),
            }
            self.progress.advance(count as u64);
        }
        Ok(answer_bytes_max)
    }

    async fn store(
        &mut self,
        state: &mut RuleState,
        series: Vec<ResultSeries>,
        slots: Slots,
    ) -> Result<(), String> {
        let marked = with_markers(series, slots, &mut state.alive);
        let Stored { samples, markers } = store(&self.target, marked).await?;
        state.stored.samples += samples;
        state.stored.markers += markers;
        self.report.samples += samples;
        self.report.markers += markers;
        Ok(())
    }

    /// `at`: of the one evaluation that failed; `None` where the rule as a whole is wrong.
    fn fail(
        &mut self,
        group: &GroupPlan,
        rule: &RulePlan,
        state: &mut RuleState,
        at: Option<Timestamp>,
        why: &str,
    ) {
        self.report.failures += 1;
        state.failures_in_a_row += 1;
        state.is_given_up = at.is_none() || state.failures_in_a_row >= FAILURES_MAX;
        let when = at.map_or(String::new(), |at| format!(" at {}.{:03}", at / 1_000, at % 1_000));
        let end = if state.is_given_up { "; the rule is given up" } else { "" };
        let line = format!("{}: group {:?}: rule {:?}{when}: {why}{end}", group.file, group.name, rule.name);
        self.progress.say(&line);
    }
}

/// The series that a rule stores at `slots`, and how many bytes the answer took. What a server would not store is an
/// error here too.
async fn evaluate(
    server: &Server,
    group: &GroupPlan,
    rule: &RulePlan,
    slots: Slots,
) -> Result<(Vec<ResultSeries>, usize), QueryFailure> {
    let (results, bytes) = ask(server, rule, slots).await?;
    let series = as_stored(rule, results).map_err(QueryFailure::Evaluation)?;
    check_limit(group.limit, &series).map_err(QueryFailure::Evaluation)?;
    Ok((series, bytes))
}

/// Results by the names under which they are stored. Two that come to have the same must have different times.
fn as_stored(rule: &RulePlan, results: Vec<ResultSeries>) -> Result<Vec<ResultSeries>, String> {
    let mut places: HashMap<Labels, usize> = HashMap::with_capacity(results.len());
    let mut stored: Vec<ResultSeries> = Vec::with_capacity(results.len());
    for result in results {
        let labels = rule.series_of(&result.labels);
        match places.get(&labels) {
            Some(place) => stored[*place].samples.extend(result.samples),
            None => {
                places.insert(labels.clone(), stored.len());
                stored.push(ResultSeries { labels, samples: result.samples });
            }
        }
    }
    for series in &mut stored {
        series.samples.sort_by_key(|(at, _)| *at);
        if series.samples.windows(2).any(|pair| pair[0].0 == pair[1].0) {
            return Err(
                "vector contains metrics with the same labelset after applying rule labels".to_owned()
            );
        }
    }
    Ok(stored)
}

fn check_limit(limit: u64, series: &[ResultSeries]) -> Result<(), String> {
    let mut counts: HashMap<Timestamp, u64> = HashMap::new();
    if limit > 0 {
        series
            .iter()
            .flat_map(|series| &series.samples)
            .for_each(|(at, _)| *counts.entry(*at).or_default() += 1);
    }
    match counts.into_values().max() {
        Some(count) if count > limit => Err(format!("exceeded limit of {limit} with {count} series")),
        _ => Ok(()),
    }
}
