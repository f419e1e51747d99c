//! The loop of one target.

use std::sync::{Arc, RwLock};
use std::time::{Duration, Instant};

use tokio::sync::{oneshot, watch};
use tokio::time::{Interval, MissedTickBehavior, interval_at, sleep};

use super::fetch::{Answer, Fetcher, ScrapeError};
use super::metrics::ScrapeMetrics;
use super::status::ActiveTarget;
use super::write::{ScrapeTime, TargetWriter};
use crate::clock::Clock;
use crate::model::Timestamp;

/// Scrapes this close to their schedule get the scheduled time: equal distances take less room in storage.
const TIME_TOLERANCE_US: i64 = 2_000;

/// What a loop is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Order {
    /// Go on.
    Run,
    /// The target is gone: end, and write markers once it is clear that it does not come back.
    End,
    /// Another loop takes over: end without markers, and hand over what is remembered.
    HandOver,
}

/// Why none of a job's targets is scraped, if so.
#[derive(Debug, Default)]
pub(super) struct TargetLimitHit(RwLock<Option<(usize, u64)>>);

impl TargetLimitHit {
    pub(super) fn set(&self, hit: Option<(usize, u64)>) {
        *crate::lock::write(&self.0) = hit;
    }

    fn error(&self) -> Option<ScrapeError> {
        let hit = *crate::lock::read(&self.0);
        hit.map(|(count, limit)| ScrapeError::TargetLimit { count, limit })
    }
}

/// One target's loop, before it runs.
pub(super) struct TargetLoop {
    pub(super) active: Arc<ActiveTarget>,
    pub(super) fetcher: Fetcher,
    pub(super) clock: Clock,
    pub(super) limit_hit: Arc<TargetLimitHit>,
    pub(super) metrics: Arc<ScrapeMetrics>,
    /// Differs between servers, so that they do not all ask at once.
    pub(super) offset_seed: u64,
    /// True once the server stops.
    pub(super) shutdown: watch::Receiver<bool>,
}

/// A loop that runs.
pub(super) struct LoopHandle {
    orders: watch::Sender<Order>,
    ended: oneshot::Receiver<Option<TargetWriter>>,
}

impl LoopHandle {
    /// Tells the loop to end, which it does once its scrape under way is written.
    pub(super) fn tell(&self, order: Order) {
        // A loop that has ended by itself has no one to hear it.
        let _ = self.orders.send(order);
    }

    /// Waits until a loop that was told to end has. Answers what it remembers, after [`Order::HandOver`].
    /// Markers may still be written later; see [`Order::End`].
    pub(super) async fn ended(self) -> Option<TargetWriter> {
        self.ended.await.ok().flatten()
    }
}

impl TargetLoop {
    /// Starts the loop on the current runtime.
    pub(super) fn start(self, writer: TargetWriter) -> LoopHandle {
        let (orders, heard) = watch::channel(Order::Run);
        let (ending, ended) = oneshot::channel();
        tokio::spawn(self.run(writer, heard, ending));
        LoopHandle { orders, ended }
    }

    async fn run(
        self,
        writer: TargetWriter,
        mut orders: watch::Receiver<Order>,
        ending: oneshot::Sender<Option<TargetWriter>>,
    ) {
        let interval = self.active.target.interval.to_duration();
        let first = tokio::time::Instant::now() + Duration::from_micros(self.offset_us());
        let mut ticker = interval_at(first, interval);
        ticker.set_missed_tick_behavior(MissedTickBehavior::Skip);
        let Some((writer, order)) = self.scrape_until_told(writer, &mut ticker, &mut orders).await else {
            return;
        };
        match order {
            // The server stops: it goes on where it was after a restart, so nothing is marked.
            Order::Run => {}
            Order::HandOver => drop(ending.send(Some(writer))),
            Order::End => {
                drop(ending.send(None));
                let mut shutdown = self.shutdown.clone();
                tokio::select! {
                    () = self.mark_end(writer, ticker, interval) => {}
                    () = stopping(&mut shutdown) => {}
                }
            }
        }
    }

    /// Time until the first scrape: a point of the interval that is the target's own, at any start.
    fn offset_us(&self) -> u64 {
        let interval_us = self.active.target.interval.0.unsigned_abs().saturating_mul(1_000).max(1);
        let into_interval = self.clock.now_us().unsigned_abs() % interval_us;
        let own = (self.active.target.hash() ^ self.offset_seed) % interval_us;
        let next = interval_us - into_interval + own;
        if next > interval_us { next - interval_us } else { next }
    }

    /// Scrapes at each tick until an order comes or the server stops ([`Order::Run`]). `None` after a panic.
    async fn scrape_until_told(
        &self,
        mut writer: TargetWriter,
        ticker: &mut Interval,
        orders: &mut watch::Receiver<Order>,
    ) -> Option<(TargetWriter, Order)> {
        let mut shutdown = self.shutdown.clone();
        let mut schedule = Schedule::new(self.active.target.interval.0);
        let mut room = 0;
        let mut last: Option<Instant> = None;
        loop {
            tokio::select! {
                biased;
                order = told(orders) => return Some((writer, order)),
                () = stopping(&mut shutdown) => return Some((writer, Order::Run)),
                _ = ticker.tick() => {}
            }
            let started = Instant::now();
            if let Some(last) = last.replace(started) {
                self.metrics.observe_interval(self.active.target.interval, (started - last).as_secs_f64());
            }
            let time = schedule.time_of(self.clock.now_us());
            let answer = tokio::select! {
                answer = self.fetch(room) => answer,
                () = stopping(&mut shutdown) => return Some((writer, Order::Run)),
            };
            room = answer.as_ref().map_or(room, |answer| answer.body.len());
            let at = ScrapeTime { time, now: self.clock.now_ms(), started };
            writer = self.write(writer, at, answer).await?;
        }
    }

    async fn fetch(&self, room: usize) -> Result<Answer, ScrapeError> {
        match self.limit_hit.error() {
            Some(error) => Err(error),
            None => self.fetcher.fetch(room).await,
        }
    }

    /// Parses and stores an answer off the network's threads. `None` where that panicked: the loop is over.
    async fn write(
        &self,
        mut writer: TargetWriter,
        at: ScrapeTime,
        answer: Result<Answer, ScrapeError>,
    ) -> Option<TargetWriter> {
        let written = tokio::task::spawn_blocking(move || {
            let outcome = writer.write(at, answer);
            (writer, outcome)
        });
        match written.await {
            Ok((writer, (duration, error))) => {
                self.active.set_scraped(at.time, duration, error.map(|error| error.to_string()));
                Some(writer)
            }
            Err(error) => {
                tracing::error!(url = self.active.target.shown_url, %error, "scrape loop ended");
                self.active.set_scraped(at.time, 0.0, Some(format!("scrape loop ended: {error}")));
                None
            }
        }
    }

    /// Writes markers for a target that is gone. It may have moved to another loop, so the markers get the time of
    /// the next scrape and are written when that loop has written newer samples, which refuse them.
    async fn mark_end(&self, mut writer: TargetWriter, mut ticker: Interval, interval: Duration) {
        if !writer.has_scraped() {
            return;
        }
        ticker.tick().await;
        let time = self.clock.now_ms();
        ticker.tick().await;
        sleep(interval / 10).await;
        let written = tokio::task::spawn_blocking(move || writer.write_end(time)).await;
        if let Err(error) = written {
            tracing::error!(url = self.active.target.shown_url, %error, "markers were not written");
        }
    }
}

/// Waits for an order other than to go on. Without anyone to give orders the loop is over as well.
async fn told(orders: &mut watch::Receiver<Order>) -> Order {
    orders.wait_for(|order| *order != Order::Run).await.map_or(Order::Run, |order| *order)
}

/// Waits until the server stops.
async fn stopping(shutdown: &mut watch::Receiver<bool>) {
    let _ = shutdown.wait_for(|stops| *stops).await.is_ok();
}

/// Turns the times of scrapes into those of their samples.
struct Schedule {
    interval_us: i64,
    tolerance_us: i64,
    /// Scheduled time of the last scrape.
    aligned_us: Option<i64>,
}

impl Schedule {
    fn new(interval_ms: i64) -> Self {
        let interval_us = interval_ms.saturating_mul(1_000).max(1);
        Self { interval_us, tolerance_us: (interval_us / 100).min(TIME_TOLERANCE_US), aligned_us: None }
    }

    /// The time for samples of a scrape at `now_us`: the scheduled one, where it is close.
    fn time_of(&mut self, now_us: i64) -> Timestamp {
        let last = self.aligned_us.unwrap_or(now_us);
        let behind = now_us.saturating_sub(last);
        // The timer may be early by a little: then the scheduled time lies ahead.
        let intervals = (behind + self.tolerance_us).div_euclid(self.interval_us);
        let aligned = last + intervals * self.interval_us;
        self.aligned_us = Some(aligned);
        let is_close = (now_us - aligned).abs() <= self.tolerance_us;
        (if is_close { aligned } else { now_us }).div_euclid(1_000)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scrapes_close_to_their_schedule_get_its_times() {
        let mut schedule = Schedule::new(1_000);
        let times: Vec<Timestamp> =
            [5_000_000, 6_001_500, 7_000_900, 7_999_400, 11_001_000, 12_030_000, 13_000_000]
                .into_iter()
                .map(|now_us| schedule.time_of(now_us))
                .collect();
        assert_eq!(times, [5_000, 6_000, 7_000, 8_000, 11_000, 12_030, 13_000]);
    }

    #[test]
    fn a_clock_set_back_is_followed() {
        let mut schedule = Schedule::new(1_000);
        assert_eq!(schedule.time_of(5_000_000), 5_000);
        assert_eq!(schedule.time_of(2_000_300), 2_000);
        assert_eq!(schedule.time_of(3_000_300), 3_000);
    }

    #[test]
    fn short_intervals_have_a_small_tolerance() {
        let mut schedule = Schedule::new(100);
        assert_eq!(schedule.time_of(0), 0);
        assert_eq!(schedule.time_of(100_900), 100);
        assert_eq!(schedule.time_of(201_500), 201);
    }
}
