//! `perdura serve`: opens the database, wires the rooms together, serves until a signal ends it.

use std::ffi::OsString;
use std::process::ExitCode;
use std::sync::Arc;

use tokio::sync::mpsc;

use crate::clock::Clock;
use crate::db::{Database, DatabaseOptions};
use crate::fs::RealFs;
use crate::http::Services;
use crate::metrics::Registry;
use crate::promql::Engine;
use crate::remote::StoredLog;

use super::flags::Role;
use super::life::{Serving, Signals, blocking, listen, read_options, run_to_the_end};
use super::options::ServeOptions;
use super::running::Running;
use super::{facts, gpu};

/// Serves until the end of the process; answers its exit code.
pub(super) fn run(arguments: &[OsString]) -> ExitCode {
    let options = match read_options(Role::Server, arguments) {
        Ok(options) => options,
        Err(code) => return code,
    };
    let warnings = options.warnings.clone();
    run_to_the_end(&warnings, serve(options))
}

async fn serve(options: ServeOptions) -> Result<(), String> {
    let mut signals = Signals::listen()?;
    let listeners = listen(&options.listen_addresses).await?;
    let registry = Arc::new(Registry::default());
    let database = open(&options).await?;
    facts::register_process(&registry);
    facts::register_database(&registry, &database);
    let engine = Engine::new(options.engine.clone());
    let log = forwarded(&options, &database)?;
    let running = Running::start(&options, Arc::clone(&log), &database, engine.clone(), &registry).await?;
    facts::register_scrape(&registry, &running.scrape);
    let writer = running.writer.clone();
    registry.on_scrape(move |out| writer.expose(out));
    let rules = running.rules.clone();
    registry.on_scrape(move |out| rules.expose(out));
    facts::register_notifier(&registry, &running.notifier);
    let gpus = gpu::store(&options.gpu, log.clone())?;
    let (control, mut asked) = mpsc::channel(4);
    let services = Services {
        clock: Clock::System,
        append: log,
        select: database.clone(),
        database: Some(database.clone()),
        scrape: Some(running.scrape.clone()),
        notifier: Some(running.notifier.clone()),
        rules: Some(running.rules.clone()),
        engine,
        registry,
        control,
        settings: Arc::clone(&running.settings),
    };
    let serving = Serving::start(listeners, options.http.clone(), services);
    serving.until_stopped(async || running.reload().await, &mut asked, &mut signals).await;
    serving.close();
    gpu::end(gpus).await;
    running.stop(options.remote.flush_deadline).await;
    serving.end().await;
    // What is acknowledged is durable already; closing writes what lets the next start be quick.
    blocking("close the database", move || database.close()).await?;
    tracing::info!("stopped");
    Ok(())
}

async fn open(options: &ServeOptions) -> Result<Arc<Database>, String> {
    let mut database = DatabaseOptions::new(&options.storage_path);
    // Before receivers are known: the log that they still need must not go away while opening.
    database.keep_log_after = StoredLog::keep_log_after(&RealFs::mapped(), &options.storage_path)
        .map_err(|error| format!("cannot open the database: {error}"))?;
    database.wal_sync = options.wal_sync;
    database.retention = options.retention;
    database.series_limits = options.series_limits;
    let database = blocking("open the database", move || Database::open(database)).await?;
    database.start_background();
    Ok(database)
}

/// The database as what is forwarded to receivers.
fn forwarded(options: &ServeOptions, database: &Arc<Database>) -> Result<Arc<StoredLog>, String> {
    let (database, fs) = (Arc::clone(database), Arc::new(RealFs::mapped()));
    StoredLog::new(database, fs, &options.storage_path, options.remote.log_bytes_max)
        .map_err(|error| format!("cannot forward what is stored: {error}"))
}
