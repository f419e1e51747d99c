//! Listening and serving: connections with limits in number and time, and their orderly end.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto::Builder;
use hyper_util::server::graceful::{GracefulShutdown, Watcher};
use hyper_util::service::TowerToHyperService;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinSet;

/// Longest that a request's head may take to arrive.
const HEAD_TIMEOUT: Duration = Duration::from_secs(30);
/// Longest that requests under way are waited for when the server stops.
const DRAIN_TIMEOUT: Duration = Duration::from_secs(30);
/// Pause after an accept failed, as it does while no file numbers are left.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// Listens on `address`: `127.0.0.1:9090`, `[::1]:9090`, `localhost:9090`, `:9090`.
pub async fn listen(address: &str) -> io::Result<TcpListener> {
    if !address.starts_with(':') {
        return TcpListener::bind(address).await;
    }
    let everywhere = TcpListener::bind(format!("[::]{address}")).await;
    match &everywhere {
        Err(error) if is_without_ipv6(error) => TcpListener::bind(format!("0.0.0.0{address}")).await,
        _ => everywhere,
    }
}

/// Whether a machine with IPv6 turned off would refuse so.
fn is_without_ipv6(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::AddrNotAvailable || error.raw_os_error() == Some(libc::EAFNOSUPPORT)
}

/// Serves `routes` on all listeners until `stop` turns true, then finishes the requests under way.
pub async fn serve(
    listeners: Vec<TcpListener>,
    routes: Router,
    connections_max: usize,
    stop: watch::Receiver<bool>,
) {
    let places = Arc::new(Semaphore::new(connections_max.max(1)));
    let graceful = Arc::new(GracefulShutdown::new());
    let mut accepting = JoinSet::new();
    for listener in listeners {
        let (routes, places, stop) = (routes.clone(), Arc::clone(&places), stop.clone());
        accepting.spawn(accept(listener, routes, places, stop, Arc::clone(&graceful)));
    }
    while accepting.join_next().await.is_some() {}
    let graceful = Arc::into_inner(graceful).expect("only the tasks that accepted shared it");
    if tokio::time::timeout(DRAIN_TIMEOUT, graceful.shutdown()).await.is_err() {
        tracing::warn!("requests under way did not end in time and are cut off");
    }
}

async fn accept(
    listener: TcpListener,
    routes: Router,
    places: Arc<Semaphore>,
    mut stop: watch::Receiver<bool>,
    graceful: Arc<GracefulShutdown>,
) {
    let mut builder = Builder::new(TokioExecutor::new());
    builder.http1().timer(TokioTimer::new()).header_read_timeout(HEAD_TIMEOUT);
    builder.http2().timer(TokioTimer::new());
    loop {
        let next = async {
            let place = Arc::clone(&places).acquire_owned().await.expect("the semaphore is never closed");
            (place, listener.accept().await)
        };
        let (place, accepted) = tokio::select! {
            biased;
            _ = stop.wait_for(|stop| *stop) => return,
            accepted = next => accepted,
        };
        match accepted {
            Ok((stream, peer)) => {
                let connection = connection(&builder, stream, peer, routes.clone(), graceful.watcher());
                tokio::spawn(async move {
                    connection.await;
                    drop(place);
                });
            }
            Err(error) => {
                tracing::warn!(%error, "a connection was not accepted");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

fn connection(
    builder: &Builder<TokioExecutor>,
    stream: TcpStream,
    peer: SocketAddr,
    routes: Router,
    watcher: Watcher,
) -> impl Future<Output = ()> + Send + use<> {
    if let Err(error) = stream.set_nodelay(true) {
        tracing::debug!(%peer, %error, "the connection keeps delaying small packets");
    }
    let connection =
        builder.serve_connection(TokioIo::new(stream), TowerToHyperService::new(routes)).into_owned();
    let watched = watcher.watch(connection);
    async move {
        if let Err(error) = watched.await {
            tracing::debug!(%peer, %error, "a connection ended early");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_port_alone_is_heard_on_everywhere() {
        let listener = listen(":0").await.expect("a port is free");
        let address = listener.local_addr().expect("it is bound");
        assert!(address.ip().is_unspecified());
        let port = address.port();
        assert!(tokio::net::TcpStream::connect(("127.0.0.1", port)).await.is_ok());
        let taken = listen(&format!(":{port}")).await.expect_err("it is taken");
        assert_eq!(taken.kind(), io::ErrorKind::AddrInUse);
        assert!(
            !is_without_ipv6(&taken) && is_without_ipv6(&io::Error::from_raw_os_error(libc::EAFNOSUPPORT))
        );
    }
}
