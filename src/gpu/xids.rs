//! Counts XIDs as they come, on a thread of its own.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use super::reading::XidHistory;
use super::source::{Source, SourceError, XidEvent};
use crate::clock::Clock;
use crate::lock::lock;

/// Longest that the thread waits before it looks whether it is still wanted.
const WAIT: Duration = Duration::from_millis(500);
/// Pause after the driver refused to wait.
const PAUSE: Duration = Duration::from_secs(5);

/// The XIDs of a machine's GPUs. They are kept while the source is opened anew.
#[derive(Clone)]
pub(super) struct XidWatch {
    clock: Clock,
    state: Arc<Mutex<State>>,
    /// Ends the thread that listens; each has its own.
    stop: Arc<Mutex<Arc<AtomicBool>>>,
}

#[derive(Default)]
struct State {
    /// GPUs that report XIDs, by index.
    watched: BTreeSet<u32>,
    /// By index, until the UUID is known.
    fresh: BTreeMap<u32, Vec<(u64, i64)>>,
    /// By UUID: an index may be another GPU's after the driver was loaded anew.
    histories: BTreeMap<String, XidHistory>,
}

/// Most events that wait for their GPU to say who it is.
const FRESH_MAX: usize = 1_024;

impl XidWatch {
    /// Nothing seen yet. `clock`: when events come.
    pub(super) fn new(clock: Clock) -> Self {
        Self { clock, state: Arc::default(), stop: Arc::default() }
    }

    /// What came of a GPU; none where it does not report XIDs.
    pub(super) fn history(&self, index: u32, uuid: &str) -> Option<XidHistory> {
        let mut state = lock(&self.state);
        let watched = state.watched.contains(&index);
        if uuid.is_empty() {
            return watched.then(XidHistory::default);
        }
        let fresh = state.fresh.remove(&index).unwrap_or_default();
        if !fresh.is_empty() || (watched && !state.histories.contains_key(uuid)) {
            let history = state.histories.entry(uuid.to_owned()).or_default();
            fresh.iter().for_each(|(xid, time)| history.record(*xid, *time));
        }
        state.histories.get(uuid).cloned()
    }

    /// Begins to listen to a source; whoever listened before ends.
    pub(super) fn listen(&self, source: Arc<dyn Source>) {
        self.stop();
        let stop = Arc::new(AtomicBool::new(false));
        *lock(&self.stop) = Arc::clone(&stop);
        let watch = self.clone();
        let spawned = thread::Builder::new()
            .name("gpu-xids".to_owned())
            .spawn(move || watch.run(source.as_ref(), &stop));
        if let Err(error) = spawned {
            tracing::warn!(%error, "XIDs are not counted: their thread does not start");
        }
    }

    /// Takes what has come of a source that never blocks, without a thread.
    pub(super) fn hear(&self, source: &dyn Source) {
        let Ok(mut events) = source.xid_events() else { return };
        lock(&self.state).watched = events.watched().iter().copied().collect();
        while let Ok(Some(event)) = events.next(Duration::ZERO) {
            self.keep(&event);
        }
    }

    /// Asks the thread to end; it is not waited for, since the driver may hold it.
    pub(super) fn stop(&self) {
        lock(&self.stop).store(true, Ordering::Relaxed);
    }

    fn run(&self, source: &dyn Source, stop: &AtomicBool) {
        let mut said = None;
        while !stop.load(Ordering::Relaxed) {
            match self.follow(source, stop) {
                Ok(()) => return,
                Err(error) => {
                    if said.as_ref() != Some(&error) {
                        tracing::warn!("XIDs are not counted: {error}");
                    }
                    lock(&self.state).watched.clear();
                    if error == SourceError::Unsupported {
                        return;
                    }
                    said = Some(error);
                    pause(stop);
                }
            }
        }
    }

    fn follow(&self, source: &dyn Source, stop: &AtomicBool) -> Result<(), SourceError> {
        let mut events = source.xid_events()?;
        lock(&self.state).watched = events.watched().iter().copied().collect();
        while !stop.load(Ordering::Relaxed) {
            let Some(event) = events.next(WAIT)? else { continue };
            self.keep(&event);
        }
        Ok(())
    }

    fn keep(&self, event: &XidEvent) {
        tracing::warn!(gpu = event.index, xid = event.xid, "the driver reports an XID");
        let now = self.clock.now_ms();
        let mut state = lock(&self.state);
        let fresh = state.fresh.entry(event.index).or_default();
        if fresh.len() < FRESH_MAX {
            fresh.push((event.xid, now));
        }
    }
}

fn pause(stop: &AtomicBool) {
    let steps = PAUSE.as_millis() / WAIT.as_millis();
    for _ in 0..steps {
        if stop.load(Ordering::Relaxed) {
            return;
        }
        thread::sleep(WAIT);
    }
}
