//! The task of one receiver: rounds, one after the other.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, timeout};

use super::metrics::raise;
use super::outbox::{ForwardedLog, RemoteLogError};
use super::round::{Round, RoundMaker};
use super::send::{Phase, Sender, Stopped, reached};
use crate::clock::Clock;
use crate::ingest::remote_write::Protocol;

/// Most requests at a time, whatever is configured.
const SHARDS_MAX: usize = 1_000;

/// A receiver before its task runs.
pub(super) struct Receiver {
    pub(super) id: String,
    pub(super) log: Arc<dyn ForwardedLog>,
    pub(super) sender: Arc<Sender>,
    pub(super) clock: Clock,
    pub(super) phase: watch::Receiver<Phase>,
}

/// How much is sent at a time.
#[derive(Clone, Copy, Debug)]
struct Pace {
    shards_min: usize,
    shards_max: usize,
    samples_per_send: usize,
    deadline: Duration,
}

impl Pace {
    fn of(maker: &RoundMaker) -> Self {
        let queue = &maker.wishes.config.own.queue_config;
        let count = |number: i64| usize::try_from(number).unwrap_or(1).clamp(1, SHARDS_MAX);
        Self {
            shards_min: count(queue.min_shards),
            shards_max: count(queue.max_shards),
            samples_per_send: maker.wishes.samples_per_send(),
            deadline: queue.batch_send_deadline.to_duration(),
        }
    }

    /// Twice as many while there is more than fits, else as many as there were requests to send.
    fn shards_after(self, shards: usize, round: &Round) -> usize {
        let wanted = if round.is_full { shards * 2 } else { round.samples.div_ceil(self.samples_per_send) };
        wanted.clamp(self.shards_min, self.shards_max)
    }
}

impl Receiver {
    /// Sends what is in the log until it is told to end.
    pub(super) async fn run(mut self, maker: RoundMaker) {
        // Only the wish to end comes back, and it is granted.
        let Err(Stopped) = self.send_all(maker).await else { return };
    }

    async fn send_all(&mut self, mut maker: RoundMaker) -> Result<(), Stopped> {
        let pace = Pace::of(&maker);
        let mut shards = pace.shards_min;
        let mut appended = self.log.outbox().watch();
        let mut metadata_due = Instant::now();
        // What an earlier process left is looked at first.
        let mut is_behind = true;
        let mut seen = 0;
        loop {
            if !is_behind {
                self.wait_for_samples(&mut appended, seen, pace).await;
            }
            seen = *appended.borrow_and_update();
            // Only a round that was begun after the wish to end shows that nothing waits.
            let is_ending = *self.phase.borrow() > Phase::Run;
            maker.metrics.shards.set(shards as f64);
            let (returned, round) = self.make_round(maker, shards).await?;
            maker = returned;
            is_behind = round.is_full;
            if round.through.is_none() && is_ending {
                return Ok(());
            }
            shards = pace.shards_after(shards, &round);
            self.send_round(round).await?;
            if Instant::now() >= metadata_due && self.send_metadata(&maker).await? {
                metadata_due =
                    Instant::now() + maker.wishes.config.own.metadata_config.send_interval.to_duration();
            }
        }
    }

    /// Waits for samples beyond those seen, and then until a request is full or the deadline is over.
    async fn wait_for_samples(&self, appended: &mut watch::Receiver<u64>, seen: u64, pace: Pace) {
        let enough = seen.saturating_add(pace.samples_per_send.saturating_mul(pace.shards_min) as u64);
        let gathered = async {
            if appended.wait_for(|count| *count > seen).await.is_ok() {
                // Both ends are fine: enough, or late enough.
                let _ = timeout(pace.deadline, appended.wait_for(|count| *count >= enough)).await.is_ok();
            }
        };
        let mut phase = self.phase.clone();
        tokio::select! {
            () = gathered => {}
            () = reached(&mut phase, Phase::Drain) => {}
        }
    }

    /// The next round; tries until the disk gives it.
    async fn make_round(&self, mut maker: RoundMaker, shards: usize) -> Result<(RoundMaker, Round), Stopped> {
        loop {
            let now = self.clock.now_ms();
            let making = tokio::task::spawn_blocking(move || {
                let round = maker.next(shards, now);
                (maker, round)
            });
            let round = match making.await {
                Ok((returned, round)) => {
                    maker = returned;
                    round
                }
                Err(error) => {
                    tracing::error!(receiver = self.sender.metrics.name, %error, "sending to a receiver ended");
                    return Err(Stopped);
                }
            };
            match round {
                Ok(round) => {
                    if let Some(seq) = round.through {
                        self.log.outbox().take_through(&self.id, seq);
                    }
                    return Ok((maker, round));
                }
                Err(error) => tracing::error!(%error, "cannot read the remote-write log, trying again"),
            }
            let mut phase = self.phase.clone();
            tokio::select! {
                () = sleep(self.sender.backoff_max) => {}
                () = reached(&mut phase, Phase::Drain) => return Err(Stopped),
            }
        }
    }

    /// Sends a round's shards beside each other and keeps the position behind it.
    async fn send_round(&self, round: Round) -> Result<(), Stopped> {
        let Some(through) = round.through else { return Ok(()) };
        let mut sending = JoinSet::new();
        for requests in round.shards {
            let sender = Arc::clone(&self.sender);
            for request in &requests {
                sender.metrics.add_pending(request.counts);
                raise(&sender.metrics.newest_seconds, request.newest.div_euclid(1_000) as f64);
            }
            sending.spawn(async move {
                let mut result = Ok(());
                for request in requests {
                    if result.is_ok() {
                        result = sender.send(&request).await;
                    }
                    sender.metrics.remove_pending(request.counts);
                }
                result
            });
        }
        let mut is_sent = true;
        while let Some(result) = sending.join_next().await {
            is_sent &= matches!(result, Ok(Ok(())));
        }
        if !is_sent {
            return Err(Stopped);
        }
        self.confirm(through).await;
        Ok(())
    }

    async fn confirm(&self, through: u64) {
        let (log, id) = (Arc::clone(&self.log), self.id.clone());
        let confirming = tokio::task::spawn_blocking(move || {
            log.outbox().confirm(&id, through)?;
            log.settle();
            Ok::<_, RemoteLogError>(())
        });
        match confirming.await {
            Ok(Ok(())) => {}
            // It is kept in memory; after a restart some samples are sent twice.
            Ok(Err(error)) => tracing::error!(%error, "cannot keep a receiver's position"),
            Err(error) => tracing::error!(%error, "keeping a receiver's position failed"),
        }
    }

    /// Under protocol 1.0 metadata goes by itself; answers whether there was any.
    async fn send_metadata(&self, maker: &RoundMaker) -> Result<bool, Stopped> {
        if self.sender.protocol != Protocol::V1 || !maker.wishes.config.own.metadata_config.send {
            return Ok(false);
        }
        let requests = maker.metadata_requests();
        for request in &requests {
            self.sender.send_metadata(request).await?;
        }
        Ok(!requests.is_empty())
    }
}
