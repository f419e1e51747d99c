//! The HTTP API, as Prometheus 3.14 answers it: path for path, field for field, error for error. The only room that
//! knows its JSON and its status codes.
//!
//! A request's way: [`serve`] accepts it, the router finds its handler, the handler reads its parameters and leaves
//! the network's threads for everything that may block: queries in turns and with a flag that ends them when the
//! client goes away, writes and calls on the database. Long results are written in pieces.

mod admin;
mod alertmanagers;
mod answer;
mod app;
mod cors;
mod exporter;
mod histogram;
mod json;
mod language;
mod observe;
mod params;
mod pieces;
mod probes;
mod query;
mod routes;
mod rules;
mod series;
mod server;
mod status;
mod targets;
mod values;
mod write;

pub use app::{App, Control, HttpOptions, Readiness, Services, Settings};
pub use exporter::{Exposed, exporter};
pub use observe::collect_process;
pub use routes::router;
pub use server::{listen, serve};
pub use status::PROMETHEUS_VERSION;
pub(crate) use status::hostname;
