//! The collector: opens the source, reads it in rounds, and opens it again when it has gone.

use std::sync::Arc;
use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use super::fields::FieldSet;
use super::fleet::{Fleet, Round};
use super::reading::{DeviceIdentity, GpuState, Snapshot};
use super::source::{Source, SourceError};
use super::xids::XidWatch;
use crate::clock::Clock;

/// Longest that a GPU is waited for in a round.
const DEADLINE_MAX: Duration = Duration::from_secs(5);
/// Most threads that go through the rounds of many machines.
const THREADS_MAX: usize = 16;
/// Least time between two tries to open the source.
const RETRY_US: i64 = 30_000_000;

/// How to open the source. Called again after it has gone.
pub type Open = Box<dyn Fn() -> Result<Arc<dyn Source>, SourceError> + Send>;

/// What the collector is started with.
#[derive(Clone, Debug)]
pub struct CollectorOptions {
    /// Time between rounds.
    pub interval: Duration,
    /// What is read.
    pub wanted: FieldSet,
    /// Where rounds and events get their time from.
    pub clock: Clock,
    /// Whether it is worth a warning that there is no GPU: it was asked for, and not only looked for.
    pub is_expected: bool,
}

impl CollectorOptions {
    /// Half of the interval, so that a round with a GPU that hangs is over before the next.
    fn deadline(&self) -> Duration {
        (self.interval / 2).min(DEADLINE_MAX)
    }
}

/// Reads rounds; does nothing by itself.
pub struct Rounds {
    open: Open,
    options: CollectorOptions,
    fleet: Option<Fleet>,
    xids: XidWatch,
    /// The GPUs that were there last, which are shown as not answering while the source is away.
    known: Vec<Arc<DeviceIdentity>>,
    /// When it was tried last to open the source.
    tried_us: Option<i64>,
    /// What was said last of its being unavailable.
    said: Option<String>,
}

impl Rounds {
    /// Opens nothing yet.
    pub fn new(open: Open, options: CollectorOptions) -> Self {
        let xids = XidWatch::new(options.clock.clone());
        Self { open, options, fleet: None, xids, known: Vec::new(), tried_us: None, said: None }
    }

    /// One round, at the clock's time. While there is no source, the GPUs known before do not answer; what it lacks is
    /// said once.
    pub fn next_round(&mut self) -> Snapshot {
        let now_us = self.options.clock.now_us();
        if self.fleet.is_none() && !self.try_open(now_us) {
            return self.without_source(now_us);
        }
        let Some(fleet) = &mut self.fleet else { return self.without_source(now_us) };
        let Round { snapshot, gone } = fleet.collect(now_us, self.options.deadline());
        self.known = snapshot.gpus.iter().map(|gpu| Arc::clone(&gpu.identity)).collect();
        if let Some(reason) = gone {
            self.fleet = None;
            self.tried_us = Some(now_us);
            self.say(&reason);
        }
        snapshot
    }

    fn without_source(&self, now_us: i64) -> Snapshot {
        let gpus = self.known.iter().map(|identity| GpuState {
            identity: Arc::clone(identity),
            rows: None,
            processes: Vec::new(),
            xids: self.xids.history(identity.index, &identity.uuid),
        });
        Snapshot { time: now_us.div_euclid(1_000), gpus: gpus.collect() }
    }

    fn try_open(&mut self, now_us: i64) -> bool {
        let since_us = self.tried_us.map(|tried_us| now_us.saturating_sub(tried_us));
        if since_us.is_some_and(|since_us| (0..RETRY_US).contains(&since_us)) {
            return false;
        }
        self.tried_us = Some(now_us);
        let opened = (self.open)().and_then(|source| {
            let fleet = Fleet::start(&source, self.options.wanted, self.xids.clone())?;
            Ok((fleet, source.description()))
        });
        match opened {
            Ok((fleet, description)) => {
                self.said = None;
                self.fleet = Some(fleet);
                tracing::info!("GPUs are read through {description}");
                true
            }
            Err(error) => {
                self.say(&error.to_string());
                false
            }
        }
    }

    fn say(&mut self, reason: &str) {
        if self.said.as_deref() == Some(reason) {
            return;
        }
        // A machine without GPUs is nothing to warn of, unless it had some.
        if self.options.is_expected || !self.known.is_empty() {
            tracing::warn!("no GPU is read: {reason}; trying again every {} s", RETRY_US / 1_000_000);
        } else {
            tracing::info!("no GPU is read: {reason}");
        }
        self.said = Some(reason.to_owned());
    }
}

/// Rounds of one machine, and where they go.
pub struct Machine {
    /// What is read.
    pub rounds: Rounds,
    /// Gets each round.
    pub publish: Box<dyn FnMut(Snapshot) + Send>,
}

impl Machine {
    fn go_round(&mut self) {
        (self.publish)(self.rounds.next_round());
    }
}

/// One round of each machine: of one on this thread, of many on a few threads that end with the round.
fn go_rounds(machines: &mut [Machine]) {
    if let [machine] = machines {
        return machine.go_round();
    }
    let share = machines.len().div_ceil(THREADS_MAX).max(1);
    thread::scope(|scope| {
        for machines in machines.chunks_mut(share) {
            scope.spawn(move || machines.iter_mut().for_each(Machine::go_round));
        }
    });
}

/// Rounds at an interval, on a thread of their own.
pub struct Collector {
    stop: Sender<()>,
    thread: JoinHandle<()>,
}

impl Collector {
    /// Begins the rounds; `publish` gets each, on the collector's thread.
    pub fn start(
        open: Open,
        options: CollectorOptions,
        publish: impl FnMut(Snapshot) + Send + 'static,
    ) -> std::io::Result<Self> {
        let interval = options.interval;
        let machine = Machine { rounds: Rounds::new(open, options), publish: Box::new(publish) };
        Self::start_all(vec![machine], interval, || {})
    }

    /// Begins the rounds of several machines, which go at the same time; `conclude` is called after those of all.
    pub fn start_all(
        mut machines: Vec<Machine>,
        interval: Duration,
        mut conclude: impl FnMut() + Send + 'static,
    ) -> std::io::Result<Self> {
        let (stop, stopped) = channel();
        let run = move || {
            let mut next = std::time::Instant::now();
            loop {
                go_rounds(&mut machines);
                conclude();
                next = (next + interval).max(std::time::Instant::now());
                let pause = next.saturating_duration_since(std::time::Instant::now());
                if stopped.recv_timeout(pause) != Err(RecvTimeoutError::Timeout) {
                    return;
                }
            }
        };
        let thread = thread::Builder::new().name("gpu".to_owned()).spawn(run)?;
        Ok(Self { stop, thread })
    }

    /// Ends the rounds and waits for the one under way, which its deadline bounds. Where the driver hangs while it is
    /// opened, its thread is left behind.
    pub fn stop(self) {
        // The thread ends with its receiver, and nothing is left to tell it then.
        let _ = self.stop.send(());
        for _ in 0..DEADLINE_MAX.as_millis() / 10 {
            if self.thread.is_finished() {
                return;
            }
            thread::sleep(Duration::from_millis(10));
        }
    }
}
