//! Texts of what kernels noted.

use crate::promql::annotations::{for_metric_name, quoted};
use crate::promql::functions::{Note, Notes};
use crate::promql::parse::ast::PosRange;

use super::context::Context;

/// Warning of a window or instant with both kinds of samples.
pub(crate) fn mixed_floats_histograms(metric: &str) -> String {
    format!("encountered a mix of histograms and floats for metric name {}", quoted(metric))
}

/// Warning of a quantile outside 0 to 1.
pub(crate) fn invalid_quantile(q: f64) -> String {
    format!("quantile value should be between 0 and 1, got {}", crate::model::format_float_g(q))
}

/// Note of a histogram that an aggregation left out.
pub(crate) fn histogram_ignored(aggregation: &str) -> String {
    format!("ignored histogram in {aggregation} aggregation")
}

/// Warning of a `le` label that is no number.
pub(crate) fn bad_bucket_label(metric: &str, value: &str) -> String {
    let text = format!("bucket label \"le\" is missing or has a malformed value of {}", quoted(value));
    for_metric_name(&text, metric)
}

/// Warning of classic and native histograms of one name.
pub(crate) fn mixed_classic_native(metric: &str) -> String {
    for_metric_name("vector contains a mix of classic and native histograms", metric)
}

/// Warning of exponential and custom buckets together.
pub(crate) fn mixed_schemas(metric: &str) -> String {
    format!(
        "vector contains a mix of histograms with exponential and custom buckets schemas for metric name {}",
        quoted(metric)
    )
}

/// Adds what was noted of the series `metric` to the annotations.
pub(crate) fn annotate(cx: &mut Context<'_>, notes: &Notes, metric: &str, pos: PosRange) {
    for note in notes.iter() {
        let annotations = &mut cx.annotations;
        match note {
            Note::MixedFloatsHistograms => annotations.warn(pos, mixed_floats_histograms(metric)),
            Note::HistogramsIgnored => annotations.info(
                pos,
                format!(
                    "ignored histograms in a range containing both floats and histograms for metric name {}",
                    quoted(metric)
                ),
            ),
            Note::NotCounter => annotations
                .warn(pos, format!("this native histogram metric is not a counter: {}", quoted(metric))),
            Note::NotGauge => annotations
                .warn(pos, format!("this native histogram metric is not a gauge: {}", quoted(metric))),
            Note::MixedSchemas => annotations.warn(pos, mixed_schemas(metric)),
            Note::BoundsReconciledAdding => annotations.info(pos, reconciled("addition")),
            Note::BoundsReconciledSubtracting => annotations.info(pos, reconciled("subtraction")),
            Note::BoundsReconciledAggregating => annotations.info(pos, reconciled("aggregation")),
            Note::ResetHintsCollide => annotations.warn(pos, resets_collide("aggregation")),
            Note::StartTimeOverlap => {
                for _ in 0..notes.overlaps() {
                    annotations.start_time_overlap(pos, metric);
                }
            }
        }
    }
}

/// Note of custom bounds that differed.
pub(crate) fn reconciled(operation: &str) -> String {
    format!("mismatched custom buckets were reconciled during {operation}")
}

/// Warning of reset hints that contradict each other.
pub(crate) fn resets_collide(operation: &str) -> String {
    format!("conflicting counter resets during histogram {operation}")
}
