//! What a metric says of itself: type, help and unit.

use std::fmt;

/// Type of a metric, with upstream's names.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum MetricType {
    /// Not said.
    #[default]
    Unknown = 0,
    /// Only rises, or restarts at zero.
    Counter = 1,
    /// Rises and falls.
    Gauge = 2,
    /// Classic or native histogram.
    Histogram = 3,
    /// Histogram that may fall.
    GaugeHistogram = 4,
    /// Quantiles computed by the client.
    Summary = 5,
    /// Constant 1 with facts in its labels.
    Info = 6,
    /// One series per state, one of them 1.
    StateSet = 7,
}

impl MetricType {
    /// All types, at their stored number.
    pub const ALL: [Self; 8] = [
        Self::Unknown,
        Self::Counter,
        Self::Gauge,
        Self::Histogram,
        Self::GaugeHistogram,
        Self::Summary,
        Self::Info,
        Self::StateSet,
    ];

    /// The type's name in exposition formats and the API.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Unknown => "unknown",
            Self::Counter => "counter",
            Self::Gauge => "gauge",
            Self::Histogram => "histogram",
            Self::GaugeHistogram => "gaugehistogram",
            Self::Summary => "summary",
            Self::Info => "info",
            Self::StateSet => "stateset",
        }
    }
}

impl fmt::Display for MetricType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Metadata of one metric family.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Metadata {
    /// Its type.
    pub metric_type: MetricType,
    /// Its help text.
    pub help: String,
    /// Its unit, empty where none was given.
    pub unit: String,
}
