//! Exemplars: single observations kept beside a series, usually with a trace id.

use super::{Labels, Timestamp};

/// One observation of a series.
#[derive(Clone, Debug, PartialEq)]
pub struct Exemplar {
    /// Labels of the observation itself, such as `trace_id`; not those of the series.
    pub labels: Labels,
    /// Observed value.
    pub value: f64,
    /// When it was observed.
    pub timestamp: Timestamp,
}
