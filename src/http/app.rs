//! What every handler works with, and how blocking work leaves the network's threads.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU8, Ordering};
use std::sync::{Arc, RwLock};
use std::time::{Duration, Instant};

use axum::body::{Body, Bytes};
use axum::http::{HeaderMap, Request, Response, StatusCode, header};
use axum::response::IntoResponse;
use http_body_util::{BodyExt, Limited};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, oneshot};

use crate::clock::Clock;
use crate::db::Database;
use crate::metrics::Registry;
use crate::model::{TenantId, Timestamp};
use crate::notify::Notifier;
use crate::promql::Engine;
use crate::rules::RuleManager;
use crate::scrape::{GlobalUrlOptions, ScrapeManager};
use crate::storage::{Append, OutOfOrder, Select};

use super::answer::{ApiError, ErrorKind, json_response};
use super::observe::HttpMetrics;
use super::params::Params;
use super::pieces::{Disconnected, PieceWriter};

/// Largest form in a request's body, in bytes.
const FORM_BYTES_MAX: usize = 10 << 20;
/// Most writes that wait for the disk at a time; more wait in their connections.
const WRITES_AT_ONCE_MAX: usize = 256;
/// Most that bodies of writes unpack to at a time, in KiB: many large ones wait for each other.
const WRITE_KIB_AT_ONCE_MAX: u32 = 256 << 10;
/// Most calls on labels and series at a time.
const READS_AT_ONCE_MAX: usize = 64;

/// How the server behaves; from flags.
#[derive(Clone, Debug)]
pub struct HttpOptions {
    /// URL under which the server is reached from outside.
    pub external_url: String,
    /// The same, in parts, for the URLs of targets on this machine.
    pub global_url: GlobalUrlOptions,
    /// What all paths begin with: empty, or `/prefix`.
    pub route_prefix: String,
    /// Origins that browsers may call from; matches whole origins.
    pub cors_origin: crate::model::RegexMatcher,
    /// Whether `/-/reload` and `/-/quit` work.
    pub enable_lifecycle: bool,
    /// Whether `/api/v1/admin` works.
    pub enable_admin_api: bool,
    /// Most queries at a time.
    pub query_concurrency_max: usize,
    /// Longest that a request may take to arrive.
    pub read_timeout: Duration,
    /// Most connections at a time.
    pub connections_max: usize,
    /// All flags and their values, as `/api/v1/status/flags` shows them.
    pub flags: BTreeMap<String, String>,
    /// Whether `stats=all` counts samples by step.
    pub per_step_stats: bool,
    /// Whether this is an agent, which has nothing to query.
    pub is_agent: bool,
}

/// What the server works on.
#[derive(Clone)]
pub struct Services {
    /// What time it is.
    pub clock: Clock,
    /// Where writes go.
    pub append: Arc<dyn Append>,
    /// Where queries read.
    pub select: Arc<dyn Select>,
    /// The database behind both, where there is one.
    pub database: Option<Arc<Database>>,
    /// Scrapes, where something is scraped.
    pub scrape: Option<ScrapeManager>,
    /// Alertmanagers, where alerts are sent.
    pub notifier: Option<Notifier>,
    /// Rules, where some are evaluated.
    pub rules: Option<RuleManager>,
    /// Evaluates queries.
    pub engine: Engine,
    /// The server's own metrics.
    pub registry: Arc<Registry>,
    /// Takes what `/-/reload` and `/-/quit` ask for.
    pub control: mpsc::Sender<Control>,
    /// What the configuration says.
    pub settings: Arc<RwLock<Arc<Settings>>>,
}

/// What the lifecycle paths ask of the program.
#[derive(Debug)]
pub enum Control {
    /// Read the configuration again; answer why not.
    Reload(oneshot::Sender<Result<(), String>>),
    /// Stop.
    Quit,
}

/// What the configuration says; replaced whole when it is read again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// The configuration as YAML, secrets hidden.
    pub config_yaml: String,
    /// How old a sample may be, in milliseconds; 0 for any age.
    pub retention_ms: i64,
    /// How far behind its series' newest sample a sample may be.
    pub out_of_order: OutOfOrder,
    /// When this was loaded.
    pub loaded_at: Timestamp,
    /// Whether the latest try to read the configuration worked.
    pub reload_worked: bool,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            config_yaml: String::new(),
            retention_ms: 0,
            out_of_order: OutOfOrder::Unlimited,
            loaded_at: 0,
            reload_worked: true,
        }
    }
}

/// How far the server's life has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Readiness {
    /// Not there yet.
    Starting = 0,
    /// Answers.
    Ready = 1,
    /// No longer there.
    Stopping = 2,
}

/// The state that all handlers share.
pub struct App {
    /// How it behaves.
    pub options: HttpOptions,
    /// What it works on.
    pub services: Services,
    /// Whose data it serves.
    pub(super) tenant: TenantId,
    pub(super) started_at: Timestamp,
    pub(super) metrics: HttpMetrics,
    readiness: AtomicU8,
    queries: Arc<Semaphore>,
    writes: Arc<Semaphore>,
    write_kib: Arc<Semaphore>,
    reads: Arc<Semaphore>,
}

impl App {
    /// A server's state; not ready yet.
    pub fn new(options: HttpOptions, services: Services) -> Arc<Self> {
        let metrics = HttpMetrics::new(&services.registry, options.query_concurrency_max);
        Arc::new(Self {
            queries: Arc::new(Semaphore::new(options.query_concurrency_max.max(1))),
            writes: Arc::new(Semaphore::new(WRITES_AT_ONCE_MAX)),
            write_kib: Arc::new(Semaphore::new(WRITE_KIB_AT_ONCE_MAX as usize)),
            reads: Arc::new(Semaphore::new(READS_AT_ONCE_MAX)),
            tenant: TenantId::default(),
            started_at: services.clock.now_ms(),
            readiness: AtomicU8::new(Readiness::Starting as u8),
            metrics,
            options,
            services,
        })
    }

    /// Moves on in the server's life.
    pub fn set_readiness(&self, readiness: Readiness) {
        self.readiness.store(readiness as u8, Ordering::SeqCst);
        self.metrics.ready.set(f64::from(u8::from(readiness == Readiness::Ready)));
    }

    /// Where the server is in its life.
    pub fn readiness(&self) -> Readiness {
        match self.readiness.load(Ordering::SeqCst) {
            0 => Readiness::Starting,
            1 => Readiness::Ready,
            _ => Readiness::Stopping,
        }
    }

    /// What the configuration says now.
    pub(super) fn settings(&self) -> Arc<Settings> {
        Arc::clone(&crate::lock::read(&self.services.settings))
    }

    /// The request's parameters; reads the body of a form.
    pub(super) async fn params(&self, request: Request<Body>) -> Result<Params, ApiError> {
        let (parts, body) = request.into_parts();
        let query = parts.uri.query().unwrap_or_default();
        let form = match is_form(&parts.headers) {
            true => self.body(body, FORM_BYTES_MAX).await.map_err(|error| match error {
                BodyError::TooLarge => ApiError::bad_data("error parsing form values: http: POST too large"),
                BodyError::Slow | BodyError::Broken(_) => {
                    ApiError::bad_data(format!("error parsing form values: {error}"))
                }
            })?,
            false => Bytes::new(),
        };
        Ok(Params::parse(&form, query))
    }

    /// A whole body of at most `bytes_max`, within the time that a request has to arrive.
    pub(super) async fn body(&self, body: Body, bytes_max: usize) -> Result<Bytes, BodyError> {
        let reading = Limited::new(body, bytes_max).collect();
        match tokio::time::timeout(self.options.read_timeout, reading).await {
            Ok(Ok(collected)) => Ok(collected.to_bytes()),
            Ok(Err(error)) if error.is::<http_body_util::LengthLimitError>() => Err(BodyError::TooLarge),
            Ok(Err(error)) => Err(BodyError::Broken(error.to_string())),
            Err(_) => Err(BodyError::Slow),
        }
    }

    /// Runs `evaluate` on a thread of its own once fewer than the allowed number are running, then writes its result
    /// with `write` in pieces. When the client goes away, the query's flag is set.
    pub(super) async fn query<T: 'static>(
        self: &Arc<Self>,
        timeout: Duration,
        evaluate: impl FnOnce(&Self, QuerySlot) -> Result<T, ApiError> + Send + 'static,
        write: impl FnOnce(T, &mut PieceWriter) -> Result<(), Disconnected> + Send + 'static,
    ) -> Response<Body> {
        let canceled = CancelOnDrop::default();
        let began = Instant::now();
        let Ok(permit) = tokio::time::timeout(timeout, Arc::clone(&self.queries).acquire_owned()).await
        else {
            return ApiError::new(ErrorKind::Timeout, "query timed out in query queue").into_response();
        };
        let permit = permit.expect("the semaphore is never closed");
        let slot = QuerySlot {
            canceled: Arc::clone(&canceled.0),
            queued: began.elapsed(),
            timeout: timeout.saturating_sub(began.elapsed()),
        };
        let evaluate = move |app: &Self| {
            app.metrics.queries_running.add(1.0);
            let value = evaluate(app, slot);
            app.metrics.queries_running.add(-1.0);
            value
        };
        self.in_pieces(permit, evaluate, write).await
    }

    /// Runs `find` on a thread of its own, then writes what it found with `write` in pieces.
    pub(super) async fn read<T: 'static>(
        self: &Arc<Self>,
        find: impl FnOnce(&Self) -> Result<T, ApiError> + Send + 'static,
        write: impl FnOnce(T, &mut PieceWriter) -> Result<(), Disconnected> + Send + 'static,
    ) -> Response<Body> {
        let permit = Arc::clone(&self.reads).acquire_owned().await.expect("the semaphore is never closed");
        self.in_pieces(permit, find, write).await
    }

    /// The place among the others is free again once the value is there: a slow client holds up nobody.
    async fn in_pieces<T: 'static>(
        self: &Arc<Self>,
        permit: OwnedSemaphorePermit,
        evaluate: impl FnOnce(&Self) -> Result<T, ApiError> + Send + 'static,
        write: impl FnOnce(T, &mut PieceWriter) -> Result<(), Disconnected> + Send + 'static,
    ) -> Response<Body> {
        let (mut writer, body) = PieceWriter::new();
        let app = Arc::clone(self);
        let work = tokio::task::spawn_blocking(move || {
            let value = evaluate(&app);
            drop(permit);
            // A client that left hears nothing of it.
            let _ = write(value?, &mut writer).and_then(|()| writer.finish());
            Ok(())
        });
        match body.await {
            Ok(body) => json_response(StatusCode::OK, body),
            Err(_) => failed(work.await),
        }
    }

    /// Runs a blocking piece of work that answers by itself; writes, and calls on the database. `bytes`: what it will
    /// allocate for its input.
    pub(super) async fn write(
        self: &Arc<Self>,
        bytes: usize,
        work: impl FnOnce(&Self) -> Response<Body> + Send + 'static,
    ) -> Response<Body> {
        let permit = Arc::clone(&self.writes).acquire_owned().await.expect("the semaphore is never closed");
        let kib =
            u32::try_from(bytes / 1_024).map_or(WRITE_KIB_AT_ONCE_MAX, |kib| kib.min(WRITE_KIB_AT_ONCE_MAX));
        let room = Arc::clone(&self.write_kib).acquire_many_owned(kib).await;
        let room = room.expect("the semaphore is never closed");
        let app = Arc::clone(self);
        let work = tokio::task::spawn_blocking(move || {
            let response = work(&app);
            drop((permit, room));
            response
        });
        match work.await {
            Ok(response) => response,
            Err(panic) => failed(Err(panic)),
        }
    }
}

/// Why a body was not read.
#[derive(Debug, thiserror::Error)]
pub(super) enum BodyError {
    #[error("http: request body too large")]
    TooLarge,
    #[error("the body did not arrive in time")]
    Slow,
    #[error("{0}")]
    Broken(String),
}

/// What a query learns of its place among the others.
pub(super) struct QuerySlot {
    /// Set when nobody waits for the answer any more.
    pub(super) canceled: Arc<AtomicBool>,
    /// How long it waited for its turn.
    pub(super) queued: Duration,
    /// What is left of its time.
    pub(super) timeout: Duration,
}

/// Lives in the handler's future, which is dropped when the client goes away.
#[derive(Default)]
struct CancelOnDrop(Arc<AtomicBool>);

impl Drop for CancelOnDrop {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// The answer to work that wrote none.
fn failed(result: Result<Result<(), ApiError>, tokio::task::JoinError>) -> Response<Body> {
    match result {
        Ok(Err(error)) => error.into_response(),
        Ok(Ok(())) => ApiError::new(ErrorKind::Internal, "no answer was written").into_response(),
        Err(panic) => {
            tracing::error!(error = %panic, "a request's thread failed");
            ApiError::new(ErrorKind::Internal, "unexpected error: the request's thread failed")
                .into_response()
        }
    }
}

/// Whether the body is a form with `name=value` pairs.
fn is_form(headers: &HeaderMap) -> bool {
    headers
        .get(header::CONTENT_TYPE)
        .and_then(|value| value.to_str().ok())
        .and_then(|value| value.split(';').next())
        .is_some_and(|media| media.trim().eq_ignore_ascii_case("application/x-www-form-urlencoded"))
}
