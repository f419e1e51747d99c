//! Recording rules: results become series of another name.

use crate::model::{Label, Labels, METRIC_NAME};
use crate::promql::{SampleValue, VectorSample};

use super::config::{GroupConfig, RuleConfig};
use super::error::EvaluationError;

/// What a recording rule has beyond its expression.
#[derive(Debug)]
pub(super) struct RecordingRule {
    /// The metric's name and the rule's labels, by name; an empty value removes a label.
    labels: Vec<(String, String)>,
}

impl RecordingRule {
    pub(super) fn new(group: &GroupConfig, rule: &RuleConfig) -> Self {
        let mut labels = group.labels.clone();
        // The rule's own labels come last: as upstream, one of them may even change the metric's name.
        labels.insert(METRIC_NAME.to_owned(), rule.record.clone());
        labels.extend(rule.labels.clone());
        Self { labels: labels.into_iter().collect() }
    }

    /// The series that `found` becomes, each once, in the order of their canonical bytes.
    pub(super) fn results(
        &self,
        found: Vec<VectorSample>,
        limit: u64,
    ) -> Result<Vec<(Labels, SampleValue)>, EvaluationError> {
        let labels = || self.labels.iter().map(|(name, value)| Label { name, value });
        let mut results: Vec<(Labels, SampleValue)> =
            found.into_iter().map(|sample| (sample.labels.overridden(labels()), sample.value)).collect();
        results.sort_by(|a, b| a.0.as_bytes().cmp(b.0.as_bytes()));
        if results.windows(2).any(|pair| pair[0].0 == pair[1].0) {
            return Err(EvaluationError::DuplicateSeries);
        }
        let found = results.len() as u64;
        if limit > 0 && found > limit {
            return Err(EvaluationError::SeriesLimit { limit, found });
        }
        Ok(results)
    }
}
