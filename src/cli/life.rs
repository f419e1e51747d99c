//! What every long-running command does: its flags, its threads, its signals, its listeners, its end.

use std::ffi::OsString;
use std::process::ExitCode;
use std::sync::Arc;

use tokio::net::TcpListener;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;

use crate::http::{self, App, Control, HttpOptions, Readiness, Services};

use super::flags::{Flags, Role};
use super::options::ServeOptions;
use super::{logs, usage};

/// Exit code for a flag of the other role; upstream's.
const WRONG_ROLE: u8 = 3;

/// Reads the flags, and starts the log as they say; the error is the exit code, and its reason is on standard error.
pub(super) fn read_options(role: Role, arguments: &[OsString]) -> Result<ServeOptions, ExitCode> {
    let flags = Flags::parse(role, arguments.iter().cloned()).map_err(|error| usage(&error))?;
    if let Some(why) = flags.refusal() {
        eprintln!("{why}");
        return Err(ExitCode::from(WRONG_ROLE));
    }
    let options = ServeOptions::from_flags(&flags).map_err(|error| {
        eprintln!("perdura: {error}");
        ExitCode::from(2)
    })?;
    logs::start(options.log_level, options.log_format);
    Ok(options)
}

/// Runs a program on the network's threads; answers its exit code.
pub(super) fn run_to_the_end(
    warnings: &[String],
    program: impl Future<Output = Result<(), String>>,
) -> ExitCode {
    tracing::info!(version = crate::cli::VERSION, "starting perdura");
    for warning in warnings {
        tracing::warn!("{warning}");
    }
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().thread_name("network").build();
    let ended = runtime
        .map_err(|error| format!("cannot start the network's threads: {error}"))
        .and_then(|runtime| runtime.block_on(program));
    match ended {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            tracing::error!(%error, "stopped");
            ExitCode::FAILURE
        }
    }
}

/// Listens on all of these addresses.
pub(super) async fn listen(addresses: &[String]) -> Result<Vec<TcpListener>, String> {
    let mut listeners = Vec::new();
    for address in addresses {
        let listener =
            http::listen(address).await.map_err(|error| format!("cannot listen on {address}: {error}"))?;
        let shown = listener.local_addr().map_or_else(|_| address.clone(), |address| address.to_string());
        tracing::info!(address = %shown, "listening");
        listeners.push(listener);
    }
    Ok(listeners)
}

/// The signals that the program answers to.
pub(super) struct Signals {
    terminate: Signal,
    interrupt: Signal,
    hangup: Signal,
}

impl Signals {
    pub(super) fn listen() -> Result<Self, String> {
        let listen = |kind| signal(kind).map_err(|error| format!("cannot listen for signals: {error}"));
        Ok(Self {
            terminate: listen(SignalKind::terminate())?,
            interrupt: listen(SignalKind::interrupt())?,
            hangup: listen(SignalKind::hangup())?,
        })
    }
}

/// Does something that may block, away from the network's threads; the error says what could not be done.
pub(super) async fn blocking<T: Send + 'static, E: std::fmt::Display + Send + 'static>(
    what: &str,
    act: impl FnOnce() -> Result<T, E> + Send + 'static,
) -> Result<T, String> {
    let done = tokio::task::spawn_blocking(act).await.map_err(|error| format!("cannot {what}: {error}"))?;
    done.map_err(|error| format!("cannot {what}: {error}"))
}

/// Requests are answered from its start to its end.
pub(super) struct Serving {
    app: Arc<App>,
    stop: watch::Sender<bool>,
    task: JoinHandle<()>,
}

impl Serving {
    pub(super) fn start(listeners: Vec<TcpListener>, options: HttpOptions, services: Services) -> Self {
        let connections_max = options.connections_max;
        let app = App::new(options, services);
        let (stop, stopping) = watch::channel(false);
        let task = tokio::spawn(http::serve(listeners, http::router(&app), connections_max, stopping));
        app.set_readiness(Readiness::Ready);
        tracing::info!("ready to receive web requests");
        Self { app, stop, task }
    }

    /// Answers reloads until a signal or a request asks to stop.
    pub(super) async fn until_stopped(
        &self,
        reload: impl AsyncFn() -> Result<(), String>,
        asked: &mut mpsc::Receiver<Control>,
        signals: &mut Signals,
    ) {
        loop {
            tokio::select! {
                _ = signals.terminate.recv() => break,
                _ = signals.interrupt.recv() => break,
                // The reason of a failure is in the log.
                _ = signals.hangup.recv() => drop(reload().await),
                control = asked.recv() => match control {
                    Some(Control::Reload(answer)) => drop(answer.send(reload().await)),
                    Some(Control::Quit) | None => break,
                },
            }
        }
        self.app.set_readiness(Readiness::Stopping);
        tracing::info!("stopping");
    }

    /// Takes no further requests; those under way are still answered.
    pub(super) fn close(&self) {
        self.stop.send_replace(true);
    }

    /// Closes, and waits for the requests under way.
    pub(super) async fn end(self) {
        self.close();
        if let Err(error) = self.task.await {
            tracing::error!(%error, "the server's task failed");
        }
    }
}
