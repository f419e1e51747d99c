//! The data model: labels, matchers, samples, native histograms, exemplars, metadata, times and identities.
//!
//! Plain values without behaviour of their own; everything above speaks in them. Label sets are always sorted
//! by name, names are unique, and no value is empty: [`LabelsBuilder`] is the one place that makes it so.

mod buckets;
mod duration;
mod exemplar;
mod histogram;
mod ids;
mod labels;
mod matcher;
mod metadata;
mod number;
mod quote;
mod re2;
mod time;

pub use buckets::bucket_bound;
pub use duration::{DurationError, format_duration, parse_duration};
pub use exemplar::Exemplar;
pub use histogram::{
    CUSTOM_BUCKETS_SCHEMA, CounterResetHint, FloatHistogram, Histogram, HistogramCounts, HistogramError, Span,
};
pub use ids::{Fingerprint, TenantId};
pub use labels::{
    BUCKET_LABEL, LABEL_TEXT_BYTES_MAX, Label, Labels, LabelsBuilder, LabelsError, METRIC_NAME,
    is_legacy_label_name, is_legacy_metric_name, is_valid_label_name, push_label,
};
pub use matcher::{MatchOp, Matcher, MatcherError, RegexMatcher};
pub use metadata::{Metadata, MetricType};
pub use number::{STALE_NAN_BITS, format_float, format_float_e, format_float_g, is_stale, stale_nan};
pub(crate) use quote::is_printable;
pub use quote::{GoQuoted, GoQuotedChar};
pub use re2::{Re2Error, anchored_re2, translate_re2};
pub use time::{TimeSpan, Timestamp, format_rfc3339_ms, parse_rfc3339_ms};
