//! When groups are due. No thread and no clock: whoever asks says what time it is.
//!
//! A group's evaluations stand in slots: multiples of its interval plus an offset that file and name decide, so that
//! groups spread over the interval and a group keeps its times over restarts. A slot that passes while the group is
//! still busy is missed; what is evaluated then is the latest slot that has come.

use std::collections::{BTreeSet, HashMap};

use crate::model::{Labels, Timestamp};

/// Number of a group.
pub(super) type GroupId = u64;

const NANOS_PER_MS: u64 = 1_000_000;

/// The slots of a group.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Slots {
    interval_ms: i64,
    offset_ms: i64,
}

/// What is to be evaluated.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Turn {
    pub(super) id: GroupId,
    /// The slot.
    pub(super) at: Timestamp,
    /// Slots that passed since the latest evaluation.
    pub(super) missed: u64,
}

/// When each group is due.
#[derive(Debug, Default)]
pub(super) struct Schedule {
    groups: HashMap<GroupId, Entry>,
    /// Groups that are not being evaluated, by the slot that comes next.
    waiting: BTreeSet<(Timestamp, GroupId)>,
    now_last: Timestamp,
}

#[derive(Clone, Copy, Debug)]
struct Entry {
    slots: Slots,
    last: Option<Timestamp>,
    /// Its place among the waiting.
    due: Option<Timestamp>,
}

/// How far the slots of a group stand behind the multiples of its interval, which is above 0, in milliseconds: as
/// upstream, the hash of its file and name.
pub(crate) fn slot_offset_ms(file: &str, name: &str, interval_ms: i64) -> i64 {
    let hash = Labels::from_pairs([("file", file), ("name", name)]).hash64();
    let interval_ns = interval_ms.unsigned_abs().saturating_mul(NANOS_PER_MS);
    i64::try_from(hash % interval_ns / NANOS_PER_MS).expect("it is below the interval")
}

impl Slots {
    /// Those of upstream for a group of this file and name: its hash in nanoseconds, modulo the interval.
    pub(super) fn of(file: &str, name: &str, interval_ms: i64) -> Self {
        let interval_ms = interval_ms.max(1);
        Self { interval_ms, offset_ms: slot_offset_ms(file, name, interval_ms) }
    }

    /// The first slot after `t`.
    fn after(&self, t: Timestamp) -> Timestamp {
        let since = t.saturating_sub(self.offset_ms);
        (since.div_euclid(self.interval_ms).saturating_add(1))
            .saturating_mul(self.interval_ms)
            .saturating_add(self.offset_ms)
    }
}

impl Entry {
    /// The slot that comes next.
    ///
    /// Where the clock was set back by more than an interval, evaluations follow it; by less, they wait for it, so
    /// that no slot comes twice.
    fn next(&self, now: Timestamp) -> Timestamp {
        let after_now = self.slots.after(now);
        match self.last {
            None => after_now,
            Some(last) => {
                let next = last.saturating_add(self.slots.interval_ms);
                if next > now.saturating_add(self.slots.interval_ms) && after_now < last {
                    after_now
                } else {
                    next
                }
            }
        }
    }
}

impl Schedule {
    /// From now on `id` has these slots; the first is the one after `now`.
    pub(super) fn set(&mut self, id: GroupId, slots: Slots, now: Timestamp) {
        self.remove(id);
        self.groups.insert(id, Entry { slots, last: None, due: None });
        self.wait(id, now);
    }

    /// Forgets `id`.
    pub(super) fn remove(&mut self, id: GroupId) {
        if let Some(Entry { due: Some(due), .. }) = self.groups.remove(&id) {
            self.waiting.remove(&(due, id));
        }
    }

    /// The group that has been due for longest. It is busy until [`Self::done`].
    pub(super) fn take(&mut self, now: Timestamp) -> Option<Turn> {
        if now < self.now_last {
            self.look_again(now);
        }
        self.now_last = now;
        let (due, id) = *self.waiting.first()?;
        if due > now {
            return None;
        }
        self.waiting.pop_first();
        let entry = self.groups.get_mut(&id).expect("who waits is a group");
        let passed = (now.saturating_sub(due)) / entry.slots.interval_ms;
        let at = due + passed * entry.slots.interval_ms;
        (entry.last, entry.due) = (Some(at), None);
        Some(Turn { id, at, missed: passed.unsigned_abs() })
    }

    /// A group's evaluation has ended; it waits for its next slot.
    pub(super) fn done(&mut self, id: GroupId, now: Timestamp) {
        if self.groups.get(&id).is_some_and(|entry| entry.due.is_none()) {
            self.wait(id, now);
        }
    }

    /// The slot that comes next of all.
    pub(super) fn next_due(&self) -> Option<Timestamp> {
        self.waiting.first().map(|(due, _)| *due)
    }

    /// The clock was set back: what waits may wait for too long.
    fn look_again(&mut self, now: Timestamp) {
        for (_, id) in std::mem::take(&mut self.waiting) {
            self.wait(id, now);
        }
    }

    fn wait(&mut self, id: GroupId, now: Timestamp) {
        let entry = self.groups.get_mut(&id).expect("who waits is a group");
        let due = entry.next(now);
        entry.due = Some(due);
        self.waiting.insert((due, id));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SLOTS: Slots = Slots { interval_ms: 100, offset_ms: 30 };

    fn schedule(now: Timestamp) -> Schedule {
        let mut schedule = Schedule::default();
        schedule.set(1, SLOTS, now);
        schedule
    }

    /// Takes the only group, evaluates it at once; answers slot and missed slots.
    fn turn(schedule: &mut Schedule, now: Timestamp) -> Option<(Timestamp, u64)> {
        let turn = schedule.take(now)?;
        schedule.done(turn.id, now);
        Some((turn.at, turn.missed))
    }

    #[test]
    fn slots_are_upstreams() {
        // Times of samples that upstream recorded for these files and names.
        let slots = |name, interval_ms| Slots::of("/tmp/core-smoke/rules.yml", name, interval_ms);
        assert_eq!(slots("g", 2_000).after(1_795_360_880_500), 1_795_360_882_142);
        assert_eq!(slots("h", 3_000).after(1_795_360_880_500), 1_795_360_882_614);
        assert_eq!(SLOTS.after(29), 30);
        assert_eq!(SLOTS.after(30), 130);
        assert_eq!(SLOTS.after(-71), -70);
    }

    #[test]
    fn slots_come_one_after_the_other() {
        let mut schedule = schedule(1_000);
        assert_eq!(schedule.next_due(), Some(1_030));
        assert_eq!(turn(&mut schedule, 1_029), None);
        assert_eq!(turn(&mut schedule, 1_030), Some((1_030, 0)));
        assert_eq!(turn(&mut schedule, 1_031), None);
        assert_eq!(turn(&mut schedule, 1_135), Some((1_130, 0)), "a little late is the slot's time still");
        assert_eq!(schedule.next_due(), Some(1_230));
    }

    #[test]
    fn what_passes_while_busy_is_missed() {
        let mut schedule = schedule(1_000);
        let first = schedule.take(1_030).expect("it is due");
        assert_eq!(schedule.take(1_290), None, "it is busy");
        assert_eq!(schedule.next_due(), None);
        schedule.done(first.id, 1_290);
        assert_eq!(turn(&mut schedule, 1_290), Some((1_230, 1)));
        assert_eq!(schedule.next_due(), Some(1_330));
    }

    #[test]
    fn a_clock_set_forward_skips_slots_and_repeats_none() {
        let mut schedule = schedule(1_000);
        assert_eq!(turn(&mut schedule, 1_030), Some((1_030, 0)));
        assert_eq!(turn(&mut schedule, 9_050), Some((9_030, 79)));
        assert_eq!(turn(&mut schedule, 9_050), None);
    }

    #[test]
    fn a_clock_set_back_is_waited_for_or_followed() {
        let mut schedule = schedule(10_000);
        assert_eq!(turn(&mut schedule, 10_030), Some((10_030, 0)));
        assert_eq!(turn(&mut schedule, 9_960), None, "less than an interval: no slot comes twice");
        assert_eq!(turn(&mut schedule, 10_031), None);
        assert_eq!(turn(&mut schedule, 10_130), Some((10_130, 0)));
        assert_eq!(turn(&mut schedule, 5_000), None, "an hour or so: evaluations go on within an interval");
        assert_eq!(schedule.next_due(), Some(5_030));
        assert_eq!(turn(&mut schedule, 5_030), Some((5_030, 0)));
        assert_eq!(turn(&mut schedule, 5_131), Some((5_130, 0)));
    }

    #[test]
    fn a_clock_may_be_set_back_while_a_group_is_busy() {
        let mut schedule = schedule(10_000);
        let turn = schedule.take(10_030).expect("it is due");
        assert_eq!(schedule.take(5_000), None);
        schedule.done(turn.id, 5_001);
        assert_eq!(schedule.next_due(), Some(5_030));
    }

    #[test]
    fn who_is_removed_is_not_due() {
        let mut schedule = schedule(1_000);
        schedule.set(2, SLOTS, 1_000);
        schedule.remove(1);
        let busy = schedule.take(1_030).expect("the other is due");
        assert_eq!(busy.id, 2);
        schedule.remove(2);
        schedule.done(2, 1_031);
        assert_eq!((schedule.next_due(), schedule.take(5_000)), (None, None));
    }
}
