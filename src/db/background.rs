//! The thread that drives background work in the product.

use std::sync::{Arc, Condvar, Mutex, Weak};
use std::thread::JoinHandle;
use std::time::Duration;

use super::{Database, StorageError, WalSync};
use crate::lock::lock;

/// Pause between looks for work.
const PAUSE: Duration = Duration::from_millis(500);
/// Pause after a failure: long enough not to hammer a full disk, short enough to resume soon.
const PAUSE_AFTER_FAILURE: Duration = Duration::from_secs(3);

/// One piece of work; whether there may be more.
type Work = fn(&Database) -> Result<bool, StorageError>;

/// Threads that work while the database is open.
#[derive(Debug, Default)]
pub(super) struct Background {
    stop: Arc<(Mutex<bool>, Condvar)>,
    threads: Mutex<Vec<JoinHandle<()>>>,
}

impl Background {
    /// Starts the threads, once.
    pub(super) fn start(&self, database: &Arc<Database>) {
        let mut threads = lock(&self.threads);
        if !threads.is_empty() {
            return;
        }
        for (name, work) in [
            ("perdura-flush", (|database| database.flush_step()) as Work),
            ("perdura-compact", |database| database.compaction_step(true)),
        ] {
            threads.push(self.spawn(name, Arc::downgrade(database), move |database| match work(database) {
                Ok(true) => Duration::ZERO,
                Ok(false) | Err(StorageError::Closed) => PAUSE,
                Err(error) => {
                    tracing::error!(%error, "background work failed");
                    PAUSE_AFTER_FAILURE
                }
            }));
        }
        if let WalSync::Interval(ms) = database.options.wal_sync {
            let pause = Duration::from_millis(ms.max(1));
            threads.push(self.spawn("perdura-log-sync", Arc::downgrade(database), move |database| {
                if let Err(error) = database.committer.with_seat(|seat| seat.log.sync()) {
                    tracing::error!(%error, "syncing the log failed");
                }
                pause
            }));
        }
    }

    /// Calls `work` until told to stop or until the database is gone, pausing as it answers.
    fn spawn(
        &self,
        name: &str,
        database: Weak<Database>,
        work: impl Fn(&Database) -> Duration + Send + 'static,
    ) -> JoinHandle<()> {
        let stop = Arc::clone(&self.stop);
        let run = move || {
            loop {
                let Some(database) = database.upgrade() else { return };
                let pause = work(&database);
                drop(database);
                let stopped = lock(&stop.0);
                let (stopped, _) = stop
                    .1
                    .wait_timeout_while(stopped, pause, |stopped| !*stopped)
                    .unwrap_or_else(std::sync::PoisonError::into_inner);
                if *stopped {
                    return;
                }
            }
        };
        std::thread::Builder::new()
            .name(name.to_owned())
            .spawn(run)
            .expect("the system has room for a thread")
    }

    /// Tells the threads to stop and waits for them.
    pub(super) fn stop(&self) {
        *lock(&self.stop.0) = true;
        self.stop.1.notify_all();
        let threads = std::mem::take(&mut *lock(&self.threads));
        for thread in threads {
            // The last user of a database may be one of its own threads, which cannot wait for itself.
            if thread.thread().id() != std::thread::current().id() {
                let _ = thread.join();
            }
        }
    }
}
