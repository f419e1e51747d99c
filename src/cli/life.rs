//! What every long-running command does: its threads, its signals, its listeners.

use std::process::ExitCode;

use tokio::net::TcpListener;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::mpsc;

use crate::http::{self, Control};

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

/// Answers reloads until a signal or a request asks to stop.
pub(super) async fn until_stopped(
    reload: impl AsyncFn() -> Result<(), String>,
    asked: &mut mpsc::Receiver<Control>,
    signals: &mut Signals,
) {
    loop {
        tokio::select! {
            _ = signals.terminate.recv() => return,
            _ = signals.interrupt.recv() => return,
            // The reason of a failure is in the log.
            _ = signals.hangup.recv() => drop(reload().await),
            control = asked.recv() => match control {
                Some(Control::Reload(answer)) => drop(answer.send(reload().await)),
                Some(Control::Quit) | None => return,
            },
        }
    }
}
