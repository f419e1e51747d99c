//! perdura: a time-series database and query engine for Prometheus data.
//!
//! Modules stand in dependency order; each uses only what stands above it
//! (`tests/behaviour/module_order.rs` checks this).

pub mod model;
pub mod clock;
mod lock;
pub mod metrics;
pub mod storage;
pub mod encoding;
pub mod fs;
pub mod chunk;
pub mod index;
pub mod wal;
pub mod segment;
pub mod head;
pub mod db;
pub mod promql;
pub mod template;
pub mod setting;
pub mod relabel;
pub mod net;
pub mod discovery;
pub mod ingest;
pub mod scrape;
pub mod remote;
pub mod notify;
pub mod rules;
pub mod gpu;
pub mod config;
pub mod http;
pub mod cli;

pub use db::{Database, DatabaseOptions};
pub use promql::Engine;
