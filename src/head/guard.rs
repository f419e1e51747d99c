//! How many series there are, in all and by metric and job, and which new ones the limits keep out.
//!
//! Counted where a series is made or removed and nowhere else: samples of known series cost nothing. A series is
//! counted and admitted in one step under its tenant's lock, so that no limit is overshot, however many write at a
//! time; beyond a limit are only those that were in the log, those that must not be refused, and all that were there
//! when the limits were set.

use std::collections::HashMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

use foldhash::fast::RandomState;

use crate::lock::lock;
use crate::model::Labels;
use crate::storage::{SeriesLimit, SeriesLimits};

/// The label whose values are counted beside metric names.
pub(super) const JOB: &str = "job";

type Counts = HashMap<Box<str>, u64, RandomState>;

/// Series of one tenant.
#[derive(Debug, Default)]
pub(super) struct SeriesCounts {
    by_metric: Counts,
    by_job: Counts,
}

impl SeriesCounts {
    /// The metric with the most series, how many these are, and how many metrics there are.
    pub(super) fn largest_metric(&self) -> Option<(String, u64, u64)> {
        let largest = self.by_metric.iter().max_by(|a, b| a.1.cmp(b.1).then_with(|| b.0.cmp(a.0)))?;
        Some((largest.0.to_string(), *largest.1, self.by_metric.len() as u64))
    }

    /// Counts a series that has left.
    fn remove(&mut self, metric: &str, job: Option<&str>) {
        decrement(&mut self.by_metric, metric);
        if let Some(job) = job {
            decrement(&mut self.by_job, job);
        }
    }
}

fn count(counts: &Counts, of: &str) -> u64 {
    counts.get(of).copied().unwrap_or(0)
}

fn increment(counts: &mut Counts, of: &str) {
    match counts.get_mut(of) {
        Some(count) => *count += 1,
        None => {
            counts.insert(of.into(), 1);
        }
    }
}

fn decrement(counts: &mut Counts, of: &str) {
    let Some(count) = counts.get_mut(of) else { return };
    *count -= 1;
    if *count == 0 {
        counts.remove(of);
    }
}

/// Whether a count has reached a limit.
fn is_full(count: u64, max: u64) -> bool {
    max > 0 && count >= max
}

/// Limits and counts that all tenants share.
#[derive(Debug, Default)]
pub(super) struct Guard {
    /// In the order of [`SeriesLimit::ALL`].
    limits: [AtomicU64; 3],
    refused: [AtomicU64; 3],
    total: AtomicU64,
    churn: Churn,
}

impl Guard {
    /// Sets the limits for series that are made from now on; what was made before is no churn.
    pub(super) fn set_limits(&self, limits: SeriesLimits) {
        for (limit, max) in self.limits.iter().zip([limits.total, limits.per_metric, limits.per_job]) {
            limit.store(max, Ordering::Relaxed);
        }
        self.churn.clear();
    }

    pub(super) fn limits(&self) -> SeriesLimits {
        let [total, per_metric, per_job] = SeriesLimit::ALL.map(|limit| self.max(limit));
        SeriesLimits { total, per_metric, per_job }
    }

    fn max(&self, limit: SeriesLimit) -> u64 {
        self.limits[limit as usize].load(Ordering::Relaxed)
    }

    /// How often a new series was kept out by a limit.
    pub(super) fn refused(&self, limit: SeriesLimit) -> u64 {
        self.refused[limit as usize].load(Ordering::Relaxed)
    }

    /// Series made within the last hour, to the minute.
    pub(super) fn created_last_hour(&self, now_s: u32) -> u64 {
        self.churn.last_hour(now_s)
    }

    /// Counts a series that is about to be made, or says which limit keeps it out. `is_exempt`: it is never kept out.
    pub(super) fn admit(
        &self,
        counts: &Mutex<SeriesCounts>,
        labels: &Labels,
        is_exempt: bool,
        now_s: u32,
    ) -> Result<(), SeriesLimit> {
        let (metric, job) = (labels.metric_name(), labels.get(JOB));
        let mut counts = lock(counts);
        if let Err(limit) = self.take(&counts, metric, job, is_exempt) {
            self.refused[limit as usize].fetch_add(1, Ordering::Relaxed);
            return Err(limit);
        }
        increment(&mut counts.by_metric, metric);
        if let Some(job) = job {
            increment(&mut counts.by_job, job);
        }
        self.churn.add(now_s);
        Ok(())
    }

    /// Takes a place among all series, where there is one for the metric and the job too.
    fn take(
        &self,
        counts: &SeriesCounts,
        metric: &str,
        job: Option<&str>,
        is_exempt: bool,
    ) -> Result<(), SeriesLimit> {
        if is_exempt {
            self.total.fetch_add(1, Ordering::Relaxed);
            return Ok(());
        }
        if is_full(count(&counts.by_metric, metric), self.max(SeriesLimit::Metric)) {
            return Err(SeriesLimit::Metric);
        }
        if job.is_some_and(|job| is_full(count(&counts.by_job, job), self.max(SeriesLimit::Job))) {
            return Err(SeriesLimit::Job);
        }
        let max = self.max(SeriesLimit::Total);
        let next = |total: u64| (!is_full(total, max)).then_some(total + 1);
        let taken = self.total.fetch_update(Ordering::Relaxed, Ordering::Relaxed, next);
        taken.map(|_| ()).map_err(|_| SeriesLimit::Total)
    }

    /// Counts series that have left: their metrics and jobs.
    pub(super) fn release(&self, counts: &Mutex<SeriesCounts>, left: &[Departed]) {
        let mut counts = lock(counts);
        for Departed { metric, job } in left {
            counts.remove(metric, job.as_deref());
        }
        self.total.fetch_sub(left.len() as u64, Ordering::Relaxed);
    }
}

/// What a series that has left was counted by.
#[derive(Debug, Default)]
pub(super) struct Departed {
    pub(super) metric: String,
    pub(super) job: Option<String>,
}

const MINUTES: usize = 60;

/// Series made by minute: the minute's number in the upper half, the count in the lower.
#[derive(Debug)]
struct Churn([AtomicU64; MINUTES]);

impl Default for Churn {
    fn default() -> Self {
        Self(std::array::from_fn(|_| AtomicU64::new(0)))
    }
}

impl Churn {
    fn add(&self, now_s: u32) {
        let minute = u64::from(now_s / 60);
        let next = |packed: u64| match packed >> 32 {
            of if of == minute => packed + 1,
            _ => minute << 32 | 1,
        };
        let cell = &self.0[usize::try_from(minute).expect("minutes are few") % MINUTES];
        let stored = cell.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |packed| Some(next(packed)));
        debug_assert!(stored.is_ok(), "there is always a next count");
    }

    fn last_hour(&self, now_s: u32) -> u64 {
        let minute = u64::from(now_s / 60);
        let cells = self.0.iter().map(|cell| cell.load(Ordering::Relaxed));
        let recent = cells.filter(|packed| (packed >> 32) + MINUTES as u64 > minute);
        recent.map(|packed| packed & u64::from(u32::MAX)).sum()
    }

    fn clear(&self) {
        self.0.iter().for_each(|cell| cell.store(0, Ordering::Relaxed));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn labels(metric: &str, job: &str) -> Labels {
        Labels::from_pairs([("__name__", metric), (JOB, job)])
    }

    fn guard(total: u64, per_metric: u64, per_job: u64) -> (Guard, Mutex<SeriesCounts>) {
        let guard = Guard::default();
        guard.set_limits(SeriesLimits { total, per_metric, per_job });
        (guard, Mutex::default())
    }

    #[test]
    fn each_limit_keeps_out_what_is_beyond_it() {
        let (guard, counts) = guard(4, 2, 3);
        let admit = |metric, job| guard.admit(&counts, &labels(metric, job), false, 0);
        assert_eq!([admit("a", "x"), admit("a", "x")], [Ok(()); 2]);
        assert_eq!(admit("a", "y"), Err(SeriesLimit::Metric));
        assert_eq!(admit("b", "x"), Ok(()));
        assert_eq!(admit("b", "x"), Err(SeriesLimit::Job));
        assert_eq!(admit("b", "y"), Ok(()));
        assert_eq!(admit("c", "y"), Err(SeriesLimit::Total));
        assert_eq!(SeriesLimit::ALL.map(|limit| guard.refused(limit)), [1; 3]);
        assert_eq!(guard.admit(&counts, &labels("c", "y"), true, 0), Ok(()), "this one must not be refused");
        let left = Departed { metric: "a".to_owned(), job: Some("x".to_owned()) };
        guard.release(&counts, &[left]);
        assert_eq!(admit("a", "x"), Err(SeriesLimit::Total), "five were there, now four");
        let left = Departed { metric: "c".to_owned(), job: Some("y".to_owned()) };
        guard.release(&counts, &[left]);
        assert_eq!(admit("a", "x"), Ok(()));
        assert!(!lock(&counts).by_metric.contains_key("c"), "nothing is kept of what has left");
    }

    #[test]
    fn nothing_is_kept_out_without_limits() {
        let (guard, counts) = guard(0, 0, 0);
        for at in 0..1_000 {
            assert_eq!(guard.admit(&counts, &labels("a", "x"), false, at), Ok(()));
        }
        assert_eq!(lock(&counts).largest_metric(), Some(("a".to_owned(), 1_000, 1)));
    }

    #[test]
    fn writers_at_a_time_do_not_overshoot() {
        let (guard, counts) = guard(1_000, 0, 0);
        let other = Mutex::default();
        std::thread::scope(|scope| {
            for writer in 0..4 {
                let (guard, counts) = (&guard, if writer % 2 == 0 { &counts } else { &other });
                scope.spawn(move || {
                    for _ in 0..500 {
                        let _ = guard.admit(counts, &labels("a", "x"), false, 0);
                    }
                });
            }
        });
        assert_eq!(guard.total.load(Ordering::Relaxed), 1_000);
        assert_eq!(guard.refused(SeriesLimit::Total), 1_000);
    }

    #[test]
    fn churn_forgets_what_is_older_than_an_hour() {
        let churn = Churn::default();
        churn.add(60);
        churn.add(119);
        churn.add(3_600);
        assert_eq!([churn.last_hour(3_600), churn.last_hour(3_660), churn.last_hour(9_000)], [3, 1, 0]);
        churn.add(3_661);
        assert_eq!(churn.last_hour(3_661), 2);
    }
}
