//! `perdura serve`: opens the database, wires the rooms together, serves until a signal ends it.

use std::ffi::OsString;
use std::process::ExitCode;
use std::sync::Arc;

use tokio::sync::{mpsc, watch};

use crate::clock::Clock;
use crate::db::{Database, DatabaseOptions};
use crate::http::{self, App, Readiness, Services};
use crate::metrics::Registry;
use crate::promql::Engine;

use super::flags::{Flags, Role};
use super::life::{Signals, listen, run_to_the_end, until_stopped};
use super::options::ServeOptions;
use super::running::Running;
use super::{facts, gpu, logs, usage};

/// Serves until the end of the process; answers its exit code.
pub(super) fn run(arguments: &[OsString]) -> ExitCode {
    let flags = match Flags::parse(Role::Server, arguments.iter().cloned()) {
        Ok(flags) => flags,
        Err(error) => return usage(&error),
    };
    let options = match ServeOptions::from_flags(&flags) {
        Ok(options) => options,
        Err(error) => {
            eprintln!("perdura: {error}");
            return ExitCode::from(2);
        }
    };
    logs::start(options.log_level, options.log_format);
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
    let running = Running::start(&options, Arc::clone(&database), engine.clone(), &registry).await?;
    facts::register_scrape(&registry, &running.scrape);
    let rules = running.rules.clone();
    registry.on_scrape(move |out| rules.expose(out));
    facts::register_notifier(&registry, &running.notifier);
    let gpus = gpu::store(&options.gpu, database.clone())?;
    let (control, mut asked) = mpsc::channel(4);
    let services = Services {
        clock: Clock::System,
        append: database.clone(),
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
    let app = App::new(options.http.clone(), services);
    let (stop, stopping) = watch::channel(false);
    let serving =
        tokio::spawn(http::serve(listeners, http::router(&app), options.http.connections_max, stopping));
    app.set_readiness(Readiness::Ready);
    tracing::info!("ready to receive web requests");
    until_stopped(async || running.reload().await, &mut asked, &mut signals).await;
    app.set_readiness(Readiness::Stopping);
    tracing::info!("stopping");
    stop.send_replace(true);
    gpu::end(gpus).await;
    running.stop().await;
    if let Err(error) = serving.await {
        tracing::error!(%error, "the server's task failed");
    }
    close(database).await
}

async fn open(options: &ServeOptions) -> Result<Arc<Database>, String> {
    let mut database = DatabaseOptions::new(&options.storage_path);
    database.wal_sync = options.wal_sync;
    database.retention_ms = options.retention_ms;
    let opened = tokio::task::spawn_blocking(move || Database::open(database));
    let database = opened
        .await
        .map_err(|error| format!("opening the database failed: {error}"))?
        .map_err(|error| format!("cannot open the database: {error}"))?;
    database.start_background();
    Ok(database)
}

/// What is acknowledged is durable already; closing writes what lets the next start be quick.
async fn close(database: Arc<Database>) -> Result<(), String> {
    tokio::task::spawn_blocking(move || database.close())
        .await
        .map_err(|error| format!("closing the database failed: {error}"))?
        .map_err(|error| format!("cannot close the database: {error}"))?;
    tracing::info!("stopped");
    Ok(())
}
