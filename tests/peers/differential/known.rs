//! What upstream changed between the peer at hand, 3.5.3, and 3.14.0, which perdura follows, and what upstream leaves to
//! the order in which its storage finds series. A difference that is none of these fails the trial.

use super::judge::Difference::{self, Class, ErrorText, Missing, Samples, Series, Surplus};
use super::query::{Query, When};

/// A reason for a difference.
pub(super) struct Reason {
    /// Release and changelog entry, or what it depends on.
    pub(super) entry: &'static str,
    /// Whether it explains a difference in the answers to a query.
    explains: fn(&Query, &Difference) -> bool,
}

/// The changes, by release.
const CHANGES: &[Reason] = &[
    Reason {
        entry: "3.6.0: PromQL: Fix extrapolation for native counter histograms. #16828",
        explains: |query, difference| {
            let rates = query.uses("rate") || query.uses("increase");
            rates && query.has_histograms && matches!(difference, Samples(_) | Series(_))
        },
    },
    Reason {
        entry: "3.7.0: PromQL: Fix `info()` function on churning series. #17135, 3.8.0: #17199",
        explains: |query, difference| {
            let range = matches!(query.when, When::Range { .. });
            query.uses("info") && range && matches!(difference, Samples(_) | Series(_))
        },
    },
    Reason {
        entry: "3.7.0: PromQL: Set native histogram to gauge type when subtracting or multiplying/dividing with negative factors. #17004",
        explains: |query, difference| {
            let subtracts = query.has("operator:-") || query.has("unary minus") || query.has("operator:*");
            subtracts && query.has_histograms && says(difference, "this native histogram metric is not a")
        },
    },
    Reason {
        entry: "3.7.0: PromQL: Add warn-level annotations for counter reset conflicts in certain histogram operations. #17051 #17094",
        explains: |query, difference| {
            query.has_histograms
                && matches!(difference, Surplus(text, _) if text.contains("conflicting counter resets"))
        },
    },
    Reason {
        entry: "3.7.0: PromQL: Avoid empty metric names in annotations for `histogram_quantile()`. #16794",
        explains: |_, difference| says(difference, "bucket label \"le\" is missing or has a malformed value"),
    },
    Reason {
        entry: "3.7.0: PromQL: Correct inaccurate character positions in errors for some aggregate expressions. #16996 #17031",
        explains: |_, difference| match difference {
            ErrorText { peer, ours } => {
                let after_position =
                    |text: &str| text.split_once("parse error: ").map(|(_, rest)| rest.to_owned());
                after_position(peer).is_some() && after_position(peer) == after_position(ours)
            }
            _ => false,
        },
    },
    Reason {
        entry: "3.8.0: PromQL: Fix `histogram_fraction` for classic histograms and NHCB if lower bound is in the first bucket. #17424",
        explains: |query, difference| {
            query.uses("histogram_fraction") && matches!(difference, Samples(_) | Series(_))
        },
    },
    Reason {
        entry: "3.8.0: PromQL: Reconcile mismatched NHCB bounds in `Add` and `Sub`. #17278",
        explains: |query, difference| {
            let told = says(difference, "mismatched custom buckets were reconciled")
                || says(difference, "incompatible custom buckets")
                || says(difference, "incompatible bucket layout")
                || says(difference, "incompatible sample types")
                || says(difference, "this native histogram metric is not");
            let differ = query.text.contains("custom_changing")
                || query.text.contains("custom") && query.text.contains("mixed");
            differ && (told || matches!(difference, Samples(_) | Series(_)))
        },
    },
    Reason {
        entry: "3.9.0: PromQL: Check more consistently for many-to-one matching in filter binary operators. #17668",
        explains: |query, difference| match difference {
            Class { peer, ours } => {
                peer.is_empty() && query.compares() && ours.starts_with("multiple matches for labels: ")
            }
            _ => false,
        },
    },
    Reason {
        entry: "3.9.0: PromQL: Fix collision in unary negation with non-overlapping series. #17708",
        explains: |query, difference| match difference {
            Class { peer, ours } => {
                let alike = peer == "vector cannot contain metrics with the same labelset";
                alike && ours.is_empty() && query.has("unary minus")
            }
            _ => false,
        },
    },
    Reason {
        entry: "3.9.0: PromQL: Fix collision in label_join and label_replace with non-overlapping series. #17703",
        explains: |query, difference| match difference {
            Class { peer, ours } => {
                let alike = peer == "vector cannot contain metrics with the same labelset";
                alike && ours.is_empty() && (query.uses("label_join") || query.uses("label_replace"))
            }
            _ => false,
        },
    },
    Reason {
        entry: "3.9.0: PromQL: Ensure that `rate`/`increase`/`delta` of histograms results in a gauge histogram. #17608",
        explains: |query, difference| {
            let grows = ["rate", "increase", "delta"].iter().any(|name| query.uses(name));
            grows && query.has_histograms && says(difference, "this native histogram metric is not a")
        },
    },
    Reason {
        entry: "3.9.0: PromQL: Do not panic while iterating over invalid histograms. #17559",
        explains: |query, difference| match difference {
            Class { peer, .. } => query.has_histograms && peer.contains("runtime error: index out of range"),
            _ => false,
        },
    },
    Reason {
        entry: "3.10.0: PromQL: info function: fix series without identifying labels not being returned. #17898",
        explains: |query, difference| query.uses("info") && matches!(difference, Series(_)),
    },
    Reason {
        entry: "3.10.0: PromQL: Fix PromQL `info()` function returning empty results when filtering by a label that exists on both the input metric and `target_info`. #17817",
        explains: |query, difference| {
            query.uses("info") && matches!(difference, Series(_)) && query.text.contains(", {version")
        },
    },
    Reason {
        entry: "3.10.0: PromQL: Add more detail to histogram quantile monotonicity info annotations. #15578",
        explains: |_, difference| says(difference, "needed to be fixed for monotonicity"),
    },
    Reason {
        entry: "3.12.0: PromQL: Emit a warning when `sort`, `sort_by_label` or `sort_by_label_desc` is used within range (matrix) queries. #18498",
        explains: |_, difference| matches!(difference, Surplus(text, _) if text.contains("sort is ineffective")),
    },
    Reason {
        entry: "3.12.0: PromQL: Fix missing warning when mixing exponential and custom-bucket histograms in stats queries. #18660",
        explains: |query, difference| {
            let stats = ["histogram_count", "histogram_sum", "histogram_avg"];
            query.has_histograms
                && stats.iter().any(|name| query.uses(name))
                && matches!(difference, Surplus(..) | Samples(_) | Series(_))
        },
    },
    Reason {
        entry: "3.14.0: PromQL: Fix `mad_over_time` returning 0 instead of `NaN` when the range contains a `NaN` sample. #19040",
        explains: |query, difference| {
            query.uses("mad_over_time")
                && query.text.contains("odd")
                && matches!(difference, Samples(_) | Series(_))
        },
    },
    Reason {
        entry: "after 3.14.0: promql: honour @ modifier when evaluating info series. #19266",
        explains: |query, difference| {
            let shifted = query.text.contains(" offset ") || query.text.contains(" @ ");
            query.uses("info") && shifted && matches!(difference, Samples(_) | Series(_))
        },
    },
];

/// What upstream does not define, since it depends on the order of series or on the machine.
const ORDER: &[Reason] = &[
    Reason {
        entry: "order of series: which two of the duplicates an error names",
        explains: |_, difference| match difference {
            ErrorText { peer, ours } => {
                let before =
                    |text: &str| text.split_once("for the match group ").map(|(before, _)| before.to_owned());
                before(peer).is_some() && before(peer) == before(ours)
            }
            _ => false,
        },
    },
    Reason {
        entry: "order of series: only the last of several incompatible pairs of a step is told",
        explains: |_, difference| match difference {
            Surplus(text, told) => {
                let of_pair = |text: &str| text.contains("for binary operator");
                of_pair(text) && told.iter().any(|other| of_pair(other) && position(other) == position(text))
            }
            _ => false,
        },
    },
    Reason {
        entry: "order of series: last digits of `stddev` and `stdvar` decide",
        explains: |query, difference| {
            query.deviates() && query.is_steep() && matches!(difference, Samples(_) | Series(_))
        },
    },
    Reason {
        entry: "last digits of Go's own elementary functions decide",
        explains: |query, difference| {
            query.is_transcendental() && query.is_steep() && matches!(difference, Samples(_) | Series(_))
        },
    },
];

/// The first reason that explains the difference.
pub(super) fn reason(query: &Query, difference: &Difference) -> Option<&'static Reason> {
    CHANGES.iter().chain(ORDER).find(|reason| (reason.explains)(query, difference))
}

/// Whether it is an annotation with these words.
fn says(difference: &Difference, words: &str) -> bool {
    matches!(difference, Missing(text) | Surplus(text, _) if text.contains(words))
}

/// The position at an annotation's end.
fn position(text: &str) -> Option<&str> {
    text.rsplit_once(" (").map(|(_, position)| position)
}
