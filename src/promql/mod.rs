//! PromQL: from a query's text to its result, over anything that implements [`crate::storage::Select`].
//!
//! Knows nothing of the storage wing. The way of a query: `parse`, `plan`, `exec`.

pub mod parse;
mod text;
mod annotations;
mod value;
mod plan;
mod functions;
mod exec;
mod engine;
pub mod testlang;

pub use engine::{Engine, EngineOptions, Prepared, QueryError, QueryOptions};
pub(crate) use functions::native::text as histogram_text;
pub(crate) use functions::reset::is_reset as is_histogram_reset;
pub use value::{MatrixSeries, QueryOutput, QueryStats, QueryValue, SampleValue, VectorSample};
