//! All groups of all files: their schedule, the threads that evaluate them, and reloads.
//!
//! Threads share one [`State`]. One of those without work watches the clock; when a group is due it takes it and
//! leaves the watch to another, which is started if all are busy and there may be more. A group that is being
//! evaluated belongs to its thread, so nobody waits for it: who looks on sees the status of the evaluation before,
//! and a reload leaves the group's successor for the thread to find.

use std::collections::{BTreeMap, HashMap};
use std::panic::AssertUnwindSafe;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::clock::Clock;
use crate::lock::lock;
use crate::metrics::Exposition;
use crate::model::{Labels, Timestamp};

use super::config::RuleFile;
use super::environment::{Environment, Globals};
use super::file::RuleFileError;
use super::group::{Evaluated, Group, end_series};
use super::metrics::{Durations, GroupCounts, Measured, expose, expose_templates};
use super::schedule::{GroupId, Schedule, Slots, Turn};
use super::status::GroupStatus;

/// Longest sleep of the thread that watches the clock, which may be set at any time.
const WATCH_MAX: Duration = Duration::from_secs(1);
/// Intervals until the series of a group that is gone end: another group may go on with them.
const INTERVALS_BEFORE_BURIAL: i64 = 2;

/// Runs the groups. Cheap to clone; threads end with [`Self::stop`], or when the last clone goes.
#[derive(Clone)]
pub struct RuleManager {
    shared: Arc<Shared>,
    _guard: Arc<StopOnDrop>,
}

/// Groups that were read and can be taken into force.
#[derive(Debug)]
pub struct PreparedRules {
    groups: Vec<Group>,
    globals: Globals,
}

struct Shared {
    environment: Arc<Environment>,
    clock: Clock,
    threads_max: usize,
    durations: Durations,
    state: Mutex<State>,
    /// Wakes the thread that watches the clock.
    watch: Condvar,
    /// Wakes a thread without work.
    idle: Condvar,
    /// Wakes who waits for the end.
    ended: Condvar,
}

struct StopOnDrop(Arc<Shared>);

impl Drop for StopOnDrop {
    fn drop(&mut self) {
        self.0.end();
    }
}

#[derive(Default)]
struct State {
    schedule: Schedule,
    /// By file and name.
    ids: BTreeMap<(String, String), GroupId>,
    groups: HashMap<GroupId, Entry>,
    id_next: GroupId,
    /// Groups that are gone and whose series end soon.
    departed: Vec<Departed>,
    /// Whether rules were loaded before; those of the start restore their alerts.
    loaded: bool,
    stopped: bool,
    threads: usize,
    threads_idle: usize,
    watched: bool,
}

struct Entry {
    /// `None` while a thread has it.
    group: Option<Box<Group>>,
    /// Takes its place once it is back.
    successor: Option<Box<Group>>,
    status: Arc<GroupStatus>,
    counts: GroupCounts,
}

impl Entry {
    fn new(group: Box<Group>, counts: GroupCounts) -> Self {
        Self { status: Arc::new(group.status()), group: Some(group), successor: None, counts }
    }
}

struct Departed {
    due: Timestamp,
    /// The time at which the series end.
    at: Timestamp,
    series: Vec<Labels>,
}

/// What a thread does next.
enum Work {
    Evaluate(Turn, Box<Group>),
    Bury(Departed),
}

impl RuleManager {
    /// Without groups. `threads_max`: so many groups are evaluated at a time, at most.
    pub fn new(environment: Arc<Environment>, clock: Clock, threads_max: usize) -> Self {
        let shared = Arc::new(Shared {
            environment,
            clock,
            threads_max: threads_max.max(1),
            durations: Durations::new(),
            state: Mutex::default(),
            watch: Condvar::new(),
            idle: Condvar::new(),
            ended: Condvar::new(),
        });
        Self { _guard: Arc::new(StopOnDrop(Arc::clone(&shared))), shared }
    }

    /// Makes groups of what files say; changes nothing. `interval_ms`: of groups that name none.
    pub fn prepare(
        &self,
        files: &[RuleFile],
        interval_ms: i64,
        globals: Globals,
    ) -> Result<PreparedRules, Vec<RuleFileError>> {
        let (mut groups, mut errors) = (Vec::new(), Vec::new());
        for file in files {
            for config in &file.groups {
                match Group::new(&self.shared.environment.engine, &file.path, config, interval_ms) {
                    Ok(group) => groups.push(group),
                    Err(error) => errors.push(*error),
                }
            }
        }
        if errors.is_empty() { Ok(PreparedRules { groups, globals }) } else { Err(errors) }
    }

    /// Takes groups into force in place of all others. Those that stay the same go on undisturbed, others take over
    /// what is known of their alerts and series. Waits for no evaluation; after [`Self::stop`] nothing happens.
    pub fn commit(&self, prepared: PreparedRules) {
        let now = self.shared.clock.now_ms();
        let mut state = self.shared.state();
        if state.stopped {
            return;
        }
        self.shared.environment.set_globals(prepared.globals);
        state.replace(prepared.groups, now, &self.shared.environment);
        drop(state);
        self.shared.watch.notify_one();
    }

    /// Begins to evaluate. Nothing is evaluated before.
    pub fn start(&self) {
        let mut state = self.shared.state();
        if state.threads == 0 && !state.stopped {
            self.shared.start_thread(&mut state);
        }
    }

    /// Evaluates on this thread what is due now, and answers when something is due next. For those who start no
    /// threads.
    pub fn run_due(&self) -> Option<Timestamp> {
        loop {
            let now = self.shared.clock.now_ms();
            let work = self.shared.state().take(now);
            match work {
                Some(work) => self.shared.carry_out(work),
                None => return self.shared.state().next_due(),
            }
        }
    }

    /// Writes what the evaluation of rules counts of itself.
    pub fn expose(&self, out: &mut Exposition) {
        let state = self.shared.state();
        let measured: Vec<Measured> = state
            .ids
            .values()
            .map(|id| (Arc::clone(&state.groups[id].status), state.groups[id].counts))
            .collect();
        drop(state);
        expose(out, &self.shared.durations, &measured);
        expose_templates(out, &self.shared.environment);
    }

    /// How all groups are doing, by file and then by name. Waits for no evaluation.
    pub fn groups(&self) -> Vec<GroupStatus> {
        let state = self.shared.state();
        let shown: Vec<Arc<GroupStatus>> =
            state.ids.values().map(|id| Arc::clone(&state.groups[id].status)).collect();
        drop(state);
        shown.into_iter().map(Arc::unwrap_or_clone).collect()
    }

    /// Ends all evaluations, running queries with them, and waits until they have ended. Series do not end: the
    /// server may be back soon. Blocks.
    pub fn stop(&self) {
        self.shared.end();
        let mut state = self.shared.state();
        while state.threads > 0 {
            state = self.shared.ended.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        lock(&self.state)
    }

    fn end(&self) {
        self.environment.cancel();
        self.state().stopped = true;
        self.watch.notify_all();
        self.idle.notify_all();
    }

    fn start_thread(self: &Arc<Self>, state: &mut State) {
        let shared = Arc::clone(self);
        let thread = std::thread::Builder::new().name("rules".to_owned()).spawn(move || shared.work());
        match thread {
            Ok(_) => state.threads += 1,
            Err(error) => tracing::error!(%error, threads = state.threads, "cannot start a thread for rules"),
        }
    }

    /// The life of a thread.
    fn work(self: Arc<Self>) {
        let mut state = self.state();
        while !state.stopped {
            if state.watched {
                state.threads_idle += 1;
                state = self.idle.wait(state).unwrap_or_else(PoisonError::into_inner);
                state.threads_idle -= 1;
                continue;
            }
            let now = self.clock.now_ms();
            let Some(work) = state.take(now) else {
                state = self.watch_clock(state, now);
                continue;
            };
            if state.threads_idle > 0 {
                self.idle.notify_one();
            } else if state.threads < self.threads_max {
                self.start_thread(&mut state);
            }
            drop(state);
            self.carry_out(work);
            state = self.state();
        }
        state.threads -= 1;
        self.ended.notify_all();
    }

    fn watch_clock<'a>(&self, mut state: MutexGuard<'a, State>, now: Timestamp) -> MutexGuard<'a, State> {
        let wait_ms = state.next_due().map_or(i64::MAX, |due| due.saturating_sub(now));
        let wait = Duration::from_millis(wait_ms.max(1).unsigned_abs()).min(WATCH_MAX);
        state.watched = true;
        let (mut state, _) = self.watch.wait_timeout(state, wait).unwrap_or_else(PoisonError::into_inner);
        state.watched = false;
        state
    }

    fn carry_out(&self, work: Work) {
        match work {
            Work::Evaluate(turn, group) => self.evaluate(&turn, group),
            Work::Bury(departed) => {
                end_series(&self.environment, &departed.series, departed.at);
            }
        }
    }

    fn evaluate(&self, turn: &Turn, mut group: Box<Group>) {
        let began = self.clock.now_ms();
        // A fault in one rule must not end a whole group's alerts: the next slot finds it again.
        let evaluate = || group.evaluate(&self.environment, turn.at, began);
        let evaluated = std::panic::catch_unwind(AssertUnwindSafe(evaluate)).unwrap_or_else(|_| {
            tracing::error!(file = group.file(), group = group.name(), "an evaluation panicked");
            Evaluated::default()
        });
        self.durations.observe(evaluated.took, group.rule_times());
        let status = Arc::new(group.status());
        let now = self.clock.now_ms();
        let mut state = self.state();
        let due_before = state.next_due();
        if let Some(entry) = state.groups.get_mut(&turn.id) {
            entry.counts.count(&evaluated, turn.missed);
        }
        state.give_back(turn.id, group, status, now, &self.environment);
        // The thread that watches waits for what was due next before.
        if due_before.is_none_or(|before| state.next_due().is_some_and(|due| due < before)) {
            self.watch.notify_one();
        }
    }
}

impl State {
    fn take(&mut self, now: Timestamp) -> Option<Work> {
        if let Some(index) = self.departed.iter().position(|departed| departed.due <= now) {
            return Some(Work::Bury(self.departed.swap_remove(index)));
        }
        let turn = self.schedule.take(now)?;
        let entry = self.groups.get_mut(&turn.id).expect("who is due is a group");
        Some(Work::Evaluate(turn, entry.group.take().expect("who is due is not busy")))
    }

    fn next_due(&self) -> Option<Timestamp> {
        self.departed.iter().map(|departed| departed.due).chain(self.schedule.next_due()).min()
    }

    fn give_back(
        &mut self,
        id: GroupId,
        group: Box<Group>,
        status: Arc<GroupStatus>,
        now: Timestamp,
        environment: &Environment,
    ) {
        let Some(entry) = self.groups.get_mut(&id) else {
            return self.depart(group, now, environment);
        };
        match entry.successor.take().filter(|successor| !group.is_like(successor)) {
            Some(successor) => self.succeed(id, successor, group, now),
            None => {
                (entry.group, entry.status) = (Some(group), status);
                self.schedule.done(id, now);
            }
        }
    }

    fn succeed(&mut self, id: GroupId, mut successor: Box<Group>, before: Box<Group>, now: Timestamp) {
        successor.take_over(*before);
        let slots = Slots::of(successor.file(), successor.name(), successor.interval_ms());
        self.schedule.set(id, slots, now);
        let counts = self.groups.get(&id).map_or_else(GroupCounts::default, |entry| entry.counts);
        self.groups.insert(id, Entry::new(successor, counts));
    }

    fn replace(&mut self, groups: Vec<Group>, now: Timestamp, environment: &Environment) {
        let mut ids_before = std::mem::take(&mut self.ids);
        for group in groups {
            let group = Box::new(group);
            let key = (group.file().to_owned(), group.name().to_owned());
            let id = match ids_before.remove(&key) {
                Some(id) => {
                    self.update(id, group, now);
                    id
                }
                None => self.add(group, now),
            };
            self.ids.insert(key, id);
        }
        for id in ids_before.into_values() {
            self.schedule.remove(id);
            let entry = self.groups.remove(&id).expect("a known id is a group");
            if let Some(group) = entry.group {
                self.depart(group, now, environment);
            }
        }
        self.loaded = true;
    }

    fn add(&mut self, mut group: Box<Group>, now: Timestamp) -> GroupId {
        if !self.loaded {
            group.restore_later();
        }
        let id = self.id_next;
        self.id_next += 1;
        self.schedule.set(id, Slots::of(group.file(), group.name(), group.interval_ms()), now);
        self.groups.insert(id, Entry::new(group, GroupCounts::default()));
        id
    }

    fn update(&mut self, id: GroupId, group: Box<Group>, now: Timestamp) {
        let entry = self.groups.get_mut(&id).expect("a known id is a group");
        match entry.group.take() {
            Some(before) if before.is_like(&group) => entry.group = Some(before),
            Some(before) => self.succeed(id, group, before, now),
            // A thread has it.
            None => entry.successor = Some(group),
        }
    }

    fn depart(&mut self, group: Box<Group>, now: Timestamp, environment: &Environment) {
        let due = now.saturating_add(group.interval_ms().saturating_mul(INTERVALS_BEFORE_BURIAL));
        let at = group.query_time(environment, now);
        let series = group.into_series();
        if !series.is_empty() {
            self.departed.push(Departed { due, at, series });
        }
    }
}

#[cfg(test)]
#[path = "manager_tests.rs"]
mod tests;
