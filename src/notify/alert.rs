//! What an Alertmanager is told.

use std::collections::BTreeMap;

use serde::{Serialize, Serializer};

use crate::model::{Labels, Timestamp, format_rfc3339_ms};

/// How Go writes a time that is none; an Alertmanager puts its own in its place.
const NO_TIME: &str = "0001-01-01T00:00:00.000Z";

/// One alert, firing or resolved.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Alert {
    /// What identifies it, `alertname` among them. External labels are added when it is sent.
    pub labels: Labels,
    /// What is said about it; a text may be empty.
    pub annotations: BTreeMap<String, String>,
    /// When it began to fire.
    pub starts_at: Timestamp,
    /// Until when it holds without another word; in the past where it is resolved.
    pub ends_at: Timestamp,
    /// Where its expression can be looked at.
    pub generator_url: String,
}

/// As version 2 of the Alertmanager's API takes it: no annotations and no URL where there are none.
impl Serialize for Alert {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        #[derive(Serialize)]
        #[serde(rename_all = "camelCase")]
        struct Posted<'a> {
            #[serde(skip_serializing_if = "Option::is_none")]
            annotations: Option<&'a BTreeMap<String, String>>,
            ends_at: String,
            starts_at: String,
            #[serde(rename = "generatorURL", skip_serializing_if = "str::is_empty")]
            generator_url: &'a str,
            labels: AsMap<'a>,
        }
        let time = |t| format_rfc3339_ms(t).unwrap_or_else(|| NO_TIME.to_owned());
        Posted {
            annotations: (!self.annotations.is_empty()).then_some(&self.annotations),
            ends_at: time(self.ends_at),
            starts_at: time(self.starts_at),
            generator_url: &self.generator_url,
            labels: AsMap(&self.labels),
        }
        .serialize(serializer)
    }
}

struct AsMap<'a>(&'a Labels);

impl Serialize for AsMap<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.0.iter().map(|label| (label.name, label.value)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn alerts_are_written_as_the_alertmanager_reads_them() {
        let mut alert = Alert {
            labels: Labels::from_pairs([("alertname", "GpuHot"), ("gpu", "\"0\"")]),
            annotations: BTreeMap::from([("summary".to_owned(), "95 °C\n".to_owned())]),
            starts_at: 1_700_000_000_123,
            ends_at: 1_700_000_240_000,
            generator_url: "http://p/graph?g0.expr=t&g0.tab=1".into(),
        };
        let written = |alert: &Alert| serde_json::to_string(alert).expect("an alert serializes");
        assert_eq!(
            written(&alert),
            concat!(
                r#"{"annotations":{"summary":"95 °C\n"},"endsAt":"2023-11-14T22:17:20.000Z","#,
                r#""startsAt":"2023-11-14T22:13:20.123Z","generatorURL":"http://p/graph?g0.expr=t&g0.tab=1","#,
                r#""labels":{"alertname":"GpuHot","gpu":"\"0\""}}"#
            )
        );
        (alert.annotations, alert.generator_url) = Default::default();
        alert.ends_at = Timestamp::MAX;
        assert_eq!(
            written(&alert),
            concat!(
                r#"{"endsAt":"0001-01-01T00:00:00.000Z","startsAt":"2023-11-14T22:13:20.123Z","#,
                r#""labels":{"alertname":"GpuHot","gpu":"\"0\""}}"#
            )
        );
    }
}
