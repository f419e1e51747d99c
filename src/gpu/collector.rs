//! The collector: opens the source, reads it in rounds, and opens it again when it has gone.

use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

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
    options: CollectorOptions,
    state: State,
    xids: XidWatch,
    /// The GPUs that were there last, which are shown as not answering while the source is away.
    known: Vec<Arc<DeviceIdentity>>,
    /// When it was tried last to open the source.
    tried_us: Option<i64>,
    /// What was said last of its being unavailable.
    said: Option<String>,
}

/// Where the source is.
enum State {
    Closed(Open),
    /// On a thread of its own, since the driver may hang. The way to open comes back with what came of it.
    Opening(Receiver<(Open, Opened)>),
    Open(Open, Fleet),
    /// There is no thread to open it with.
    Lost,
}

/// The GPUs, and what the source calls itself.
type Opened = Result<(Fleet, String), SourceError>;

impl Rounds {
    /// Opens nothing yet.
    pub fn new(open: Open, options: CollectorOptions) -> Self {
        let xids = XidWatch::new(options.clock.clone());
        Self { options, state: State::Closed(open), xids, known: Vec::new(), tried_us: None, said: None }
    }

    /// One round, at the clock's time. While there is no source, the GPUs known before do not answer; what it lacks is
    /// said once.
    pub fn next_round(&mut self) -> Snapshot {
        let now_us = self.options.clock.now_us();
        let until = Instant::now() + self.options.deadline();
        self.advance(now_us, until);
        let State::Open(_, fleet) = &mut self.state else { return self.without_source(now_us) };
        let Round { snapshot, gone } = fleet.collect(now_us, until.saturating_duration_since(Instant::now()));
        self.known = snapshot.gpus.iter().map(|gpu| Arc::clone(&gpu.identity)).collect();
        let Some(reason) = gone else { return snapshot };
        if let State::Open(open, _) = std::mem::replace(&mut self.state, State::Lost) {
            self.state = State::Closed(open);
        }
        self.tried_us = Some(now_us);
        self.say(&reason);
        Snapshot { is_source_up: Some(false), ..snapshot }
    }

    fn without_source(&self, now_us: i64) -> Snapshot {
        let gpus = self.known.iter().map(|identity| GpuState {
            identity: Arc::clone(identity),
            rows: None,
            processes: Vec::new(),
            xids: self.xids.history(identity.index, &identity.uuid),
        });
        let is_source_up = self.is_missed().then_some(false);
        Snapshot { time: now_us.div_euclid(1_000), is_source_up, gpus: gpus.collect() }
    }

    /// A machine without GPUs lacks nothing, unless it had some.
    fn is_missed(&self) -> bool {
        self.options.is_expected || !self.known.is_empty()
    }

    /// Begins to open the source when it is time, and waits for it; a driver that hangs is waited for in that round only,
    /// and looked after in later ones.
    fn advance(&mut self, now_us: i64, until: Instant) {
        let mut patience = Duration::ZERO;
        self.state = match std::mem::replace(&mut self.state, State::Lost) {
            State::Closed(open) if self.is_time(now_us) => {
                self.tried_us = Some(now_us);
                patience = until.saturating_duration_since(Instant::now());
                self.begin_to_open(open)
            }
            other => other,
        };
        let State::Opening(opened) = &self.state else { return };
        match opened.recv_timeout(patience) {
            Ok((open, Ok((fleet, description)))) => {
                self.said = None;
                tracing::info!("GPUs are read through {description}");
                self.state = State::Open(open, fleet);
            }
            Ok((open, Err(error))) => {
                self.state = State::Closed(open);
                self.say(&error.to_string());
            }
            Err(RecvTimeoutError::Timeout) => self.say("the driver does not answer while it is opened"),
            Err(RecvTimeoutError::Disconnected) => {
                self.state = State::Lost;
                self.say("opening the driver failed");
            }
        }
    }

    fn is_time(&self, now_us: i64) -> bool {
        let since_us = self.tried_us.map(|tried_us| now_us.saturating_sub(tried_us));
        since_us.is_none_or(|since_us| !(0..RETRY_US).contains(&since_us))
    }

    fn begin_to_open(&mut self, open: Open) -> State {
        let (send, opened) = channel();
        let (wanted, xids) = (self.options.wanted, self.xids.clone());
        let work = move || {
            let result = open().and_then(|source| {
                let fleet = Fleet::start(&source, wanted, xids)?;
                Ok((fleet, source.description()))
            });
            // Where nobody waits any more, the source is closed again.
            let _ = send.send((open, result));
        };
        // A thread that does not start drops the way to open with it, which is seen as a channel that is closed.
        if let Err(error) = thread::Builder::new().name("gpu-open".to_owned()).spawn(work) {
            tracing::error!(%error, "cannot start a thread");
        }
        State::Opening(opened)
    }

    fn say(&mut self, reason: &str) {
        if self.said.as_deref() == Some(reason) {
            return;
        }
        if self.is_missed() {
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
            let mut next = Instant::now();
            loop {
                go_rounds(&mut machines);
                conclude();
                next = (next + interval).max(Instant::now());
                let pause = next.saturating_duration_since(Instant::now());
                if stopped.recv_timeout(pause) != Err(RecvTimeoutError::Timeout) {
                    return;
                }
            }
        };
        let thread = thread::Builder::new().name("gpu".to_owned()).spawn(run)?;
        Ok(Self { stop, thread })
    }

    /// Ends the rounds and waits for the one under way, which its deadline bounds. Threads that hang in the driver are
    /// left behind.
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
