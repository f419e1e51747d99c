//! How long and how much is kept.

use std::collections::BTreeSet;
use std::sync::atomic::Ordering;

use crate::lock::{lock, read, write};
use crate::model::Timestamp;

use super::jobs::Change;
use super::view::{LiveSegment, View};
use super::{Database, StorageError};

/// A step of the clock that is believed at once; a longer one has to last.
const STEP_MS: i64 = 24 * 3_600_000;
/// For how long a longer step has to last before it is believed.
const CONFIRMED_MS: i64 = 24 * 3_600_000;
/// Most that one look at the clock adds to how long a step has lasted: the clock cannot vouch for itself.
const LOOK_MS: i64 = 10 * 60_000;

/// What is kept. Where several limits are set, each counts.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Retention {
    /// Segments whose newest sample is older than this are dropped, in milliseconds; 0 for any age.
    pub time_ms: i64,
    /// Most bytes of segments and log; beyond it the oldest segments are dropped. 0 for any number.
    pub bytes: u64,
    /// The same in percent of the file system's size; takes the place of `bytes`. 0 for none.
    pub percentage: f64,
}

/// The time that retention counts from. It follows the newest sample, never ahead of the clock, and never falls. A step
/// of more than a day, as after a wrong clock or a long pause, is taken back to where it began until it has lasted a day.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct RetentionClock {
    /// `None` before the first look.
    pub(super) at: Option<Timestamp>,
    lasted_ms: i64,
    looked_at: Timestamp,
}

impl RetentionClock {
    /// As an earlier process left it.
    pub(super) fn starting_at(at: Option<Timestamp>) -> Self {
        Self { at, lasted_ms: 0, looked_at: Timestamp::MAX }
    }

    /// Looks at the newest sample and the clock; answers the time that retention counts from.
    pub(super) fn look(&mut self, newest: Timestamp, now_ms: Timestamp) -> Timestamp {
        let seen = newest.min(now_ms);
        let at = *self.at.get_or_insert(seen);
        let since_last = now_ms.saturating_sub(self.looked_at).clamp(0, LOOK_MS);
        self.looked_at = now_ms;
        if seen <= at.saturating_add(STEP_MS) {
            self.lasted_ms = 0;
            self.at = Some(at.max(seen));
            return at.max(seen).min(seen);
        }
        self.lasted_ms += since_last;
        if self.lasted_ms < CONFIRMED_MS {
            return at;
        }
        self.lasted_ms = 0;
        self.at = Some(seen);
        seen
    }
}

impl Database {
    /// Changes what is kept.
    pub fn set_retention(&self, retention: Retention) {
        *write(&self.retention) = retention;
    }

    /// What is kept.
    pub fn retention(&self) -> Retention {
        *read(&self.retention)
    }

    /// Most bytes that segments and log may take; `None` for any number.
    pub(super) fn retention_bytes(&self) -> Option<u64> {
        let retention = self.retention();
        if retention.percentage > 0.0 {
            match self.files.fs.capacity_bytes(&self.layout.root) {
                Ok(capacity) => return Some((capacity as f64 * retention.percentage / 100.0) as u64),
                Err(error) => tracing::warn!(%error, "cannot tell how large the file system is"),
            }
        }
        (retention.bytes > 0).then_some(retention.bytes)
    }

    /// Drops the segments that are too old, then the oldest of those that are too many. Returns whether there were some.
    pub(super) fn expire(&self, now_ms: Timestamp) -> Result<bool, StorageError> {
        let view = self.view();
        let old = self.too_old(&view, now_ms);
        let mut removed = old.clone();
        removed.extend(self.too_many(&view, &old));
        if removed.is_empty() {
            return Ok(false);
        }
        let by_size = removed.len() > old.len();
        let count = removed.len() as u64;
        self.apply(&mut lock(&self.jobs), Change { removed, ..Change::default() }, None)?;
        self.counters.expired.fetch_add(count, Ordering::Relaxed);
        for (counter, happened) in
            [(&self.counters.time_retentions, !old.is_empty()), (&self.counters.size_retentions, by_size)]
        {
            counter.fetch_add(u64::from(happened), Ordering::Relaxed);
        }
        Ok(true)
    }

    fn too_old(&self, view: &View, now_ms: Timestamp) -> BTreeSet<u64> {
        let Some(newest) = self.newest(view) else { return BTreeSet::new() };
        let from = lock(&self.jobs).retention_clock.look(newest, now_ms);
        let time_ms = self.retention().time_ms;
        let horizon = if time_ms > 0 { from.saturating_sub(time_ms) } else { Timestamp::MIN };
        let expired = view.segments.iter().filter(|segment| end(segment) < horizon);
        expired.map(|segment| segment.number).collect()
    }

    /// The oldest segments, of those that stay, that do not fit.
    fn too_many(&self, view: &View, gone: &BTreeSet<u64>) -> BTreeSet<u64> {
        let Some(bytes_max) = self.retention_bytes() else { return BTreeSet::new() };
        let mut bytes: u64 = self.committer.with_seat(|seat| seat.log.files().map(|file| file.bytes).sum());
        let mut newest_first: Vec<_> =
            view.segments.iter().filter(|segment| !gone.contains(&segment.number)).collect();
        newest_first.sort_by_key(|segment| std::cmp::Reverse((end(segment), segment.number)));
        let too_many = newest_first.into_iter().skip_while(|segment| {
            bytes += segment.bytes;
            bytes <= bytes_max
        });
        too_many.map(|segment| segment.number).collect()
    }
}

/// Until when a segment holds something.
fn end(segment: &LiveSegment) -> Timestamp {
    let meta = segment.meta();
    if meta.span.is_empty() { meta.window.end } else { meta.span.end }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR: i64 = 3_600_000;
    const YEAR: i64 = 365 * 24 * HOUR;
    const NOW: i64 = 1_700_000_000_000;

    #[test]
    fn small_steps_are_followed_and_it_never_falls() {
        let mut clock = RetentionClock::starting_at(None);
        assert_eq!(clock.look(NOW, NOW), NOW);
        assert_eq!(clock.look(NOW + 20 * HOUR, NOW + 20 * HOUR), NOW + 20 * HOUR);
        // Samples from the future do not age the rest.
        assert_eq!(clock.look(NOW + YEAR, NOW + 21 * HOUR), NOW + 21 * HOUR);
        // A clock that is behind drops nothing, and does not turn this one back.
        assert_eq!(clock.look(NOW + YEAR, NOW - 10 * YEAR), NOW - 10 * YEAR);
        assert_eq!(clock.at, Some(NOW + 21 * HOUR));
    }

    #[test]
    fn a_long_step_has_to_last() {
        let mut clock = RetentionClock::starting_at(Some(NOW));
        let ahead = NOW + 10 * YEAR;
        // However far the clock moves on at a time, it is believed in small pieces.
        for look in 0..20 {
            assert_eq!(clock.look(ahead + look * YEAR, ahead + look * YEAR), NOW);
        }
        // It comes back: nothing has happened, and the next one starts anew.
        assert_eq!(clock.look(ahead, NOW + HOUR), NOW + HOUR);
        let looks = CONFIRMED_MS / LOOK_MS - 1;
        for look in 0..looks {
            let now = ahead + look * LOOK_MS;
            assert_eq!(clock.look(now, now), NOW + HOUR, "look {look}");
        }
        let now = ahead + looks * LOOK_MS;
        assert_eq!(clock.look(now, now), now);
    }
}
