//! What a query answers.

use std::sync::Arc;
use std::time::Duration;

use crate::model::{FloatHistogram, Labels, Timestamp};

/// One value of a series at one time.
#[derive(Clone, Debug, PartialEq)]
pub enum SampleValue {
    /// A number.
    Float(f64),
    /// A native histogram.
    Histogram(Arc<FloatHistogram>),
}

/// One element of an instant vector.
#[derive(Clone, Debug, PartialEq)]
pub struct VectorSample {
    /// Labels of its series.
    pub labels: Labels,
    /// Time of the evaluation.
    pub t: Timestamp,
    /// Its value.
    pub value: SampleValue,
}

/// One series of a range result.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct MatrixSeries {
    /// Its labels.
    pub labels: Labels,
    /// Numbers, times strictly rising.
    pub floats: Vec<(Timestamp, f64)>,
    /// Native histograms, times strictly rising; no time is in both lists.
    pub histograms: Vec<(Timestamp, Arc<FloatHistogram>)>,
}

/// The value of a query.
#[derive(Clone, Debug, PartialEq)]
pub enum QueryValue {
    /// One number without labels.
    Scalar {
        /// Time of the evaluation.
        t: Timestamp,
        /// The number.
        v: f64,
    },
    /// A text; any bytes.
    String {
        /// Time of the evaluation.
        t: Timestamp,
        /// The text.
        v: Vec<u8>,
    },
    /// One sample per series, in the engine's order.
    Vector(Vec<VectorSample>),
    /// Samples over time, series in label order.
    Matrix(Vec<MatrixSeries>),
}

impl QueryValue {
    /// The type's name as the HTTP API writes it.
    pub const fn type_name(&self) -> &'static str {
        match self {
            Self::Scalar { .. } => "scalar",
            Self::String { .. } => "string",
            Self::Vector(_) => "vector",
            Self::Matrix(_) => "matrix",
        }
    }
}

/// What a query cost.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct QueryStats {
    /// Samples that the steps looked at; a sample counts once for each step whose window it is in.
    pub samples_total: u64,
    /// The same by step, where the query asked for it.
    pub samples_per_step: Option<Vec<(Timestamp, u64)>>,
    /// Samples read from storage.
    pub samples_read: u64,
    /// Most samples held at a time.
    pub samples_peak: u64,
    /// Parsing and planning.
    pub prepare_time: Duration,
    /// Evaluating.
    pub evaluate_time: Duration,
    /// Ordering the result.
    pub sort_time: Duration,
    /// All of it.
    pub total_time: Duration,
}

/// A query's value and what there is to say about it.
#[derive(Clone, Debug, PartialEq)]
pub struct QueryOutput {
    /// The value.
    pub value: QueryValue,
    /// Warnings, as the HTTP API shows them: `PromQL warning: ... (1:5)`.
    pub warnings: Vec<String>,
    /// Notes, as the HTTP API shows them: `PromQL info: ... (1:5)`.
    pub infos: Vec<String>,
    /// What it cost.
    pub stats: QueryStats,
}
