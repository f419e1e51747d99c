//! The GPUs of one source, read in rounds: a thread for each, so that a call that hangs makes its own GPU stale and
//! holds up nothing else. Those of a source that never blocks are read without threads.

use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::thread;
use std::time::{Duration, Instant};

use super::fields::FieldSet;
use super::reading::{DeviceIdentity, GpuReading, GpuState, Snapshot};
use super::source::{Source, SourceError};
use super::xids::XidWatch;

/// Most GPUs that are read; NVML knows machines with 16, and MIG does not add to them.
const GPUS_MAX: u32 = 256;

/// A round's call to a GPU's thread.
#[derive(Clone, Copy, Debug)]
struct Ask {
    round: u64,
    now_us: i64,
}

/// What a GPU's thread answers.
struct Answer {
    index: usize,
    round: u64,
    result: Result<GpuReading, SourceError>,
}

/// One GPU's thread, as the rounds see it.
struct Worker {
    asks: Sender<Ask>,
    /// Whether an ask is not answered yet.
    is_busy: bool,
}

/// The threads of a source's GPUs.
struct Workers {
    workers: Vec<Worker>,
    answers: Receiver<Answer>,
    round: u64,
}

/// Who reads.
enum Readers {
    /// A thread for each GPU.
    Workers(Workers),
    /// Whoever asks, since the source never blocks.
    Caller { source: Arc<dyn Source>, wanted: FieldSet },
}

/// What is known of one GPU from before.
struct Known {
    identity: Arc<DeviceIdentity>,
    /// What was said last of its not answering.
    fault: Option<String>,
}

/// All GPUs of a source.
pub(super) struct Fleet {
    readers: Readers,
    gpus: Vec<Known>,
    xids: XidWatch,
}

/// What each GPU said, by index; nothing of one that did not answer in time.
type Results = Vec<Option<Result<GpuReading, SourceError>>>;

/// What a round brought.
pub(super) struct Round {
    /// The readings.
    pub(super) snapshot: Snapshot,
    /// Why the source is to be opened anew, if it is.
    pub(super) gone: Option<String>,
}

impl Fleet {
    /// Begins a thread for each GPU, if it needs one. Reads nothing yet, but for how many there are.
    pub(super) fn start(
        source: &Arc<dyn Source>,
        wanted: FieldSet,
        xids: XidWatch,
    ) -> Result<Self, SourceError> {
        let count = source.device_count()?.min(GPUS_MAX);
        if count == 0 {
            return Err(SourceError::Unavailable("the driver has no GPU".to_owned()));
        }
        let readers = if source.is_quick() {
            Readers::Caller { source: Arc::clone(source), wanted }
        } else {
            let workers = Workers::start(source, count, wanted)?;
            xids.listen(Arc::clone(source));
            Readers::Workers(workers)
        };
        let known = |index| Known {
            identity: Arc::new(DeviceIdentity { index, ..DeviceIdentity::default() }),
            fault: None,
        };
        Ok(Self { readers, gpus: (0..count).map(known).collect(), xids })
    }

    /// Asks all GPUs and waits until each has answered, or `deadline` is over: then those that have not are stale, and
    /// neither asked again nor waited for until they do. `now_us`: microseconds since the epoch.
    pub(super) fn collect(&mut self, now_us: i64, deadline: Duration) -> Round {
        let results = match &mut self.readers {
            Readers::Workers(workers) => workers.collect(now_us, deadline),
            Readers::Caller { source, wanted } => {
                self.xids.hear(source.as_ref());
                let read = |gpu: &Known| source.device(gpu.identity.index)?.read(now_us, *wanted);
                self.gpus.iter().map(|gpu| Some(read(gpu))).collect()
            }
        };
        self.conclude(now_us, results)
    }

    fn conclude(&mut self, now_us: i64, results: Results) -> Round {
        let time = now_us.div_euclid(1_000);
        let mut snapshot = Snapshot { time, is_source_up: Some(true), gpus: Vec::new() };
        let mut gone = None;
        for (gpu, result) in self.gpus.iter_mut().zip(results) {
            let mut processes = Vec::new();
            let rows = match result {
                Some(Ok(reading)) => {
                    gpu.identity = reading.identity;
                    gpu.recovered();
                    processes = reading.processes;
                    Some(reading.rows)
                }
                Some(Err(SourceError::Unavailable(reason))) => {
                    gone = Some(reason);
                    None
                }
                Some(Err(error)) => {
                    gpu.fails(&error.to_string());
                    None
                }
                None => {
                    gpu.fails("it did not answer in time");
                    None
                }
            };
            let xids = self.xids.history(gpu.identity.index, &gpu.identity.uuid);
            let identity = Arc::clone(&gpu.identity);
            snapshot.gpus.push(GpuState { identity, rows, processes, xids });
        }
        Round { snapshot, gone }
    }
}

impl Drop for Fleet {
    fn drop(&mut self) {
        self.xids.stop();
    }
}

impl Workers {
    fn start(source: &Arc<dyn Source>, count: u32, wanted: FieldSet) -> Result<Self, SourceError> {
        let (answer, answers) = channel();
        let workers = (0..count).map(|index| start_worker(source, index, wanted, answer.clone()));
        Ok(Self { workers: workers.collect::<Result<_, _>>()?, answers, round: 0 })
    }

    fn collect(&mut self, now_us: i64, deadline: Duration) -> Results {
        let until = Instant::now() + deadline;
        while let Ok(answer) = self.answers.try_recv() {
            self.workers[answer.index].is_busy = false;
        }
        self.round += 1;
        let ask = Ask { round: self.round, now_us };
        let mut asked = 0;
        for worker in self.workers.iter_mut().filter(|worker| !worker.is_busy) {
            worker.is_busy = worker.asks.send(ask).is_ok();
            asked += usize::from(worker.is_busy);
        }
        self.gather(asked, until)
    }

    fn gather(&mut self, mut asked: usize, until: Instant) -> Results {
        let mut results: Vec<_> = self.workers.iter().map(|_| None).collect();
        while asked > 0 {
            match self.answers.recv_timeout(until.saturating_duration_since(Instant::now())) {
                Ok(answer) => {
                    self.workers[answer.index].is_busy = false;
                    // What a GPU says of a round that is over is not of now.
                    if answer.round == self.round {
                        asked -= 1;
                        results[answer.index] = Some(answer.result);
                    }
                }
                Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => break,
            }
        }
        results
    }
}

impl Known {
    fn fails(&mut self, fault: &str) {
        if self.fault.as_deref() != Some(fault) {
            tracing::warn!(
                gpu = self.identity.index,
                uuid = self.identity.uuid,
                "the GPU is not read: {fault}"
            );
            self.fault = Some(fault.to_owned());
        }
    }

    fn recovered(&mut self) {
        if self.fault.take().is_some() {
            tracing::info!(gpu = self.identity.index, uuid = self.identity.uuid, "the GPU is read again");
        }
    }
}

fn start_worker(
    source: &Arc<dyn Source>,
    index: u32,
    wanted: FieldSet,
    answer: Sender<Answer>,
) -> Result<Worker, SourceError> {
    let (asks, asked) = channel();
    let source = Arc::clone(source);
    let place = usize::try_from(index).expect("a count of GPUs fits into memory");
    let work = move || work(source.as_ref(), place, index, wanted, &asked, &answer);
    // The thread is not waited for: one that hangs in the driver may never come back.
    thread::Builder::new()
        .name(format!("gpu-{index}"))
        .spawn(work)
        .map_err(|error| SourceError::Device(format!("cannot start the thread of GPU {index}: {error}")))?;
    Ok(Worker { asks, is_busy: false })
}

/// A GPU's thread: ends when its fleet is gone.
fn work(
    source: &dyn Source,
    place: usize,
    index: u32,
    wanted: FieldSet,
    asked: &Receiver<Ask>,
    answer: &Sender<Answer>,
) {
    let mut device = None;
    while let Ok(ask) = asked.recv() {
        let result = match &mut device {
            Some(_) => Ok(()),
            None => source.device(index).map(|opened| device = Some(opened)),
        };
        let result =
            result.and_then(|()| device.as_mut().expect("it was opened above").read(ask.now_us, wanted));
        if result.is_err() {
            device = None;
        }
        if answer.send(Answer { index: place, round: ask.round, result }).is_err() {
            return;
        }
    }
}
