//! From exposed labels to stored ones.

use super::config::ScrapeSettings;
use super::target::RESERVED_PREFIX;
use crate::model::{Labels, LabelsBuilder, LabelsError, METRIC_NAME};
use crate::relabel;

/// Put before the name of an exposed label that a target's label takes.
const EXPORTED_PREFIX: &str = "exported_";
/// Most characters of a text that an error repeats.
const SHOWN_MAX: usize = 50;

/// Why exposed labels cannot be stored: the scrape as a whole fails. The texts are upstream's.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SampleLabelsError {
    /// A repeated name, or a text that is too long.
    #[error(transparent)]
    Labels(#[from] LabelsError),
    /// No metric name.
    #[error("missing metric name (__name__ label)")]
    NoName,
    /// A name that is not allowed.
    #[error("invalid metric name or label names: {0}")]
    Name(String),
    /// Too many labels.
    #[error("label_limit exceeded (metric: {metric}, number of labels: {count}, limit: {limit})")]
    Count {
        /// Metric name.
        metric: String,
        /// Labels it has.
        count: usize,
        /// Labels it may have.
        limit: u64,
    },
    /// A name that is too long.
    #[error(
        "label_name_length_limit exceeded (metric: {metric}, label name: {name}, length: {length}, limit: {limit})"
    )]
    NameLength {
        /// Metric name.
        metric: String,
        /// Label name.
        name: String,
        /// Its length in bytes.
        length: usize,
        /// Length it may have.
        limit: u64,
    },
    /// A value that is too long.
    #[error(
        "label_value_length_limit exceeded (metric: {metric}, label name: {name}, value: {value:?}, length: {length}, limit: {limit})"
    )]
    ValueLength {
        /// Metric name.
        metric: String,
        /// Label name.
        name: String,
        /// Its value.
        value: String,
        /// The value's length in bytes.
        length: usize,
        /// Length it may have.
        limit: u64,
    },
}

impl SampleLabelsError {
    /// Whether it is one of the limits.
    pub(super) const fn is_limit(&self) -> bool {
        matches!(self, Self::Count { .. } | Self::NameLength { .. } | Self::ValueLength { .. })
    }
}

/// The labels that a sample is stored under, or `None` where a rule drops it.
pub(super) fn stored_labels(
    exposed: &Labels,
    target: &Labels,
    settings: &ScrapeSettings,
) -> Result<Option<Labels>, SampleLabelsError> {
    let mut labels = exposed.to_builder();
    if settings.honor_labels {
        for label in target.iter().filter(|label| exposed.get(label.name).is_none()) {
            labels.set(label.name, label.value);
        }
    } else {
        set_over_exposed(&mut labels, exposed, target);
    }
    if !relabel::apply(&settings.metric_relabel_configs, &mut labels) {
        return Ok(None);
    }
    let labels = labels.build()?;
    // A set from which rules removed every label counts as dropped.
    if labels.is_empty() {
        return Ok(None);
    }
    check_names(&labels, settings)?;
    check_limits(&labels, settings)?;
    Ok(Some(labels))
}

/// Sets the target's labels; exposed ones of the same names move to `exported_` names that are free.
fn set_over_exposed(labels: &mut LabelsBuilder, exposed: &Labels, target: &Labels) {
    let mut moved: Vec<(&str, &str)> = Vec::new();
    for label in target.iter() {
        moved.extend(exposed.get(label.name).map(|value| (label.name, value)));
        labels.set(label.name, label.value);
    }
    // Short names first, so that `a` cannot take the place that `exported_a` came from.
    moved.sort_by_key(|(name, _)| name.len());
    for (name, value) in moved {
        let mut name = format!("{EXPORTED_PREFIX}{name}");
        while !labels.get(&name).is_empty() {
            name.insert_str(0, EXPORTED_PREFIX);
        }
        labels.set(&name, value);
    }
}

/// The labels of one of a target's own series, such as `up`.
pub(super) fn report_labels(name: &str, target: &Labels) -> Labels {
    let pairs = target.iter().filter(|label| !label.name.starts_with(RESERVED_PREFIX));
    Labels::from_pairs([(METRIC_NAME, name)].into_iter().chain(pairs.map(|label| (label.name, label.value))))
}

fn check_names(labels: &Labels, settings: &ScrapeSettings) -> Result<(), SampleLabelsError> {
    let validation = settings.name_validation();
    let name = labels.get(METRIC_NAME).ok_or(SampleLabelsError::NoName)?;
    let are_valid =
        validation.is_metric_name(name) && labels.iter().all(|label| validation.is_label_name(label.name));
    if are_valid { Ok(()) } else { Err(SampleLabelsError::Name(labels.to_string())) }
}

fn check_limits(labels: &Labels, settings: &ScrapeSettings) -> Result<(), SampleLabelsError> {
    let exceeds = |length: usize, limit: u64| limit > 0 && length as u64 > limit;
    let metric = || shown(labels.metric_name());
    if exceeds(labels.len(), settings.label_limit) {
        let limit = settings.label_limit;
        return Err(SampleLabelsError::Count { metric: metric(), count: labels.len(), limit });
    }
    for label in labels.iter() {
        if exceeds(label.name.len(), settings.label_name_length_limit) {
            return Err(SampleLabelsError::NameLength {
                metric: metric(),
                name: shown(label.name),
                length: label.name.len(),
                limit: settings.label_name_length_limit,
            });
        }
        if exceeds(label.value.len(), settings.label_value_length_limit) {
            return Err(SampleLabelsError::ValueLength {
                metric: metric(),
                name: shown(label.name),
                value: shown(label.value),
                length: label.value.len(),
                limit: settings.label_value_length_limit,
            });
        }
    }
    Ok(())
}

fn shown(text: &str) -> String {
    text.chars().take(SHOWN_MAX).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stored(
        exposed: &[(&str, &str)],
        target: &[(&str, &str)],
        settings: &str,
    ) -> Result<Option<String>, String> {
        let settings: ScrapeSettings = serde_saphyr::from_str(settings).expect("settings are sound");
        let (exposed, target) =
            (Labels::from_pairs(exposed.iter().copied()), Labels::from_pairs(target.iter().copied()));
        let labels = stored_labels(&exposed, &target, &settings).map_err(|error| error.to_string())?;
        Ok(labels.map(|labels| labels.to_string()))
    }

    const TARGET: [(&str, &str); 2] = [("instance", "i"), ("job", "j")];

    #[test]
    fn the_targets_labels_win_unless_exposed_ones_are_honored() {
        let exposed = [("__name__", "m"), ("job", "x"), ("l", "1")];
        assert_eq!(
            stored(&exposed, &TARGET, "{}"),
            Ok(Some(r#"{__name__="m", exported_job="x", instance="i", job="j", l="1"}"#.into()))
        );
        assert_eq!(
            stored(&exposed, &TARGET, "honor_labels: true"),
            Ok(Some(r#"{__name__="m", instance="i", job="x", l="1"}"#.into()))
        );
    }

    #[test]
    fn moved_labels_never_meet() {
        let exposed = [("__name__", "m"), ("a", "1"), ("exported_a", "2"), ("exported_exported_a", "3")];
        let target = [("a", "t"), ("exported_a", "u")];
        assert_eq!(
            stored(&exposed, &target, "{}"),
            Ok(Some(
                r#"{__name__="m", a="t", exported_a="u", exported_exported_a="3", exported_exported_exported_a="1", exported_exported_exported_exported_a="2"}"#.into()
            ))
        );
    }

    #[test]
    fn rules_drop_samples_and_limits_fail_scrapes() {
        let exposed = [("__name__", "m"), ("a", "12345")];
        let rule = "metric_relabel_configs: [{source_labels: [__name__], regex: m, action: drop}]";
        assert_eq!(stored(&exposed, &TARGET, rule), Ok(None));
        let nameless = "metric_relabel_configs: [{target_label: __name__, replacement: ''}]";
        for (settings, message) in [
            (nameless, "missing metric name (__name__ label)"),
            ("label_limit: 3", "label_limit exceeded (metric: m, number of labels: 4, limit: 3)"),
            (
                "label_name_length_limit: 5",
                "label_name_length_limit exceeded (metric: m, label name: __name__, length: 8, limit: 5)",
            ),
            (
                "label_value_length_limit: 4",
                "label_value_length_limit exceeded (metric: m, label name: a, value: \"12345\", length: 5, limit: 4)",
            ),
            (
                "{metric_name_validation_scheme: legacy, metric_relabel_configs: [{target_label: __name__, replacement: 'a.b'}]}",
                "invalid metric name or label names: {__name__=\"a.b\", a=\"12345\", instance=\"i\", job=\"j\"}",
            ),
        ] {
            assert_eq!(stored(&exposed, &TARGET, settings), Err(message.into()));
        }
        assert!(stored(&exposed, &TARGET, "label_limit: 4").is_ok());
    }

    #[test]
    fn own_series_have_the_targets_labels() {
        let target = Labels::from_pairs([("__address__", "a"), ("job", "j")]);
        assert_eq!(report_labels("up", &target).to_string(), r#"{__name__="up", job="j"}"#);
    }
}
