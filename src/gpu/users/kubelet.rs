//! Asks the kubelet who was given which devices, on a thread of its own: whoever reads GPUs gets the last answer and never
//! waits.

use std::path::PathBuf;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use super::super::workload::Grant;
use super::grpc::{self, CallError};
use super::pod_resources::{ListError, Resources, decode};
use crate::lock::lock;

/// Where the kubelet listens unless it is told otherwise.
pub const KUBELET_SOCKET: &str = "/var/lib/kubelet/pod-resources/kubelet.sock";

const LIST: &str = "/v1.PodResourcesLister/List";
/// Longest wait for the first answer, so that the first reading has its pods already.
const FIRST_WAIT: Duration = Duration::from_secs(1);

/// How the kubelet is asked.
#[derive(Clone, Debug)]
pub struct KubeletOptions {
    /// The socket of pod resources.
    pub socket: PathBuf,
    /// Which devices are GPUs.
    pub resources: Resources,
    /// Time between two calls.
    pub interval: Duration,
    /// Longest that a call may take.
    pub deadline: Duration,
    /// How long an answer is good for while no newer one comes.
    pub good_for: Duration,
    /// Whether it is worth a warning that there is no socket: pods were asked for, and not only looked for.
    pub is_expected: bool,
}

impl Default for KubeletOptions {
    fn default() -> Self {
        Self {
            socket: PathBuf::from(KUBELET_SOCKET),
            resources: Resources::default(),
            interval: Duration::from_secs(15),
            deadline: Duration::from_secs(10),
            good_for: Duration::from_secs(120),
            is_expected: false,
        }
    }
}

#[derive(Debug, thiserror::Error)]
enum AskError {
    #[error(transparent)]
    Call(#[from] CallError),
    #[error("the answer is not understood: {0}")]
    Answer(#[from] ListError),
    #[error("cannot make a runtime: {0}")]
    Runtime(std::io::Error),
}

/// The last good answer, and when it came.
type Known = Arc<Mutex<Option<(Instant, Arc<[Grant]>)>>>;

/// The thread that asks. It ends with the value, after the call that is under way.
pub struct Kubelet {
    known: Known,
    good_for: Duration,
    _stop: Sender<()>,
}

impl Kubelet {
    /// Begins to ask, and waits at most a second for the first answer.
    pub fn start(options: KubeletOptions) -> std::io::Result<Self> {
        let known = Known::default();
        let (stop, stopped) = channel();
        let (first, answered) = channel();
        let good_for = options.good_for;
        let told = Arc::clone(&known);
        let work = move || Asker { options, known: told, said: None }.run(&stopped, &first);
        thread::Builder::new().name("kubelet".to_owned()).spawn(work)?;
        // Without an answer the first reading has no pods.
        let _ = answered.recv_timeout(FIRST_WAIT);
        Ok(Self { known, good_for, _stop: stop })
    }

    /// The last answer while it is good; nothing after that. Does not block.
    pub fn grants(&self) -> Arc<[Grant]> {
        match &*lock(&self.known) {
            Some((at, grants)) if at.elapsed() <= self.good_for => Arc::clone(grants),
            _ => Arc::from([]),
        }
    }
}

/// The thread's own.
struct Asker {
    options: KubeletOptions,
    known: Known,
    /// What was said last of its not answering.
    said: Option<String>,
}

impl Asker {
    fn run(mut self, stopped: &Receiver<()>, first: &Sender<()>) {
        loop {
            let result = self.ask();
            self.conclude(result);
            // Whoever started may not wait any more.
            let _ = first.send(());
            if stopped.recv_timeout(self.options.interval) != Err(RecvTimeoutError::Timeout) {
                return;
            }
        }
    }

    /// Each call has its own runtime: whatever hangs in it ends with it.
    fn ask(&self) -> Result<Vec<Grant>, AskError> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let runtime = runtime.map_err(AskError::Runtime)?;
        let body = runtime.block_on(grpc::call(&self.options.socket, LIST, self.options.deadline))?;
        Ok(decode(&body, &self.options.resources)?)
    }

    fn conclude(&mut self, result: Result<Vec<Grant>, AskError>) {
        match result {
            Ok(grants) => {
                *lock(&self.known) = Some((Instant::now(), Arc::from(grants)));
                if self.said.take().is_some() {
                    tracing::info!("the kubelet answers again");
                }
            }
            Err(error) => self.say(&error),
        }
    }

    fn say(&mut self, error: &AskError) {
        let text = error.to_string();
        if self.said.as_ref() == Some(&text) {
            return;
        }
        let socket = self.options.socket.display();
        // Most machines are no nodes of Kubernetes.
        let is_absent = matches!(error, AskError::Call(CallError::Connect(error)) if error.kind() == std::io::ErrorKind::NotFound);
        if is_absent && !self.options.is_expected && lock(&self.known).is_none() {
            tracing::debug!("no pods are known: {socket}: {text}");
            return;
        }
        tracing::warn!("the kubelet does not tell which pods have GPUs: {socket}: {text}; asking again");
        self.said = Some(text);
    }
}
