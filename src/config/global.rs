//! `<global>`: what holds for all jobs, and for the server's own labels.

use std::collections::BTreeMap;
use std::path::Path;

use serde::{Deserialize, Deserializer, Serialize};

use crate::ingest::exposition::{EscapingScheme, ScrapeProtocol};
use crate::model::{Labels, LabelsBuilder, LabelsError};
use crate::scrape::ScrapeDefaults;
use crate::setting::{ByteSize, DurationMs, NameValidation, is_zero, join_folder, null_as_zero};

/// The global section. `fill` puts upstream's defaults where nothing was said.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
#[expect(missing_docs, reason = "the fields are upstream's, one for one, and its documentation holds")]
pub struct GlobalConfig {
    #[serde(deserialize_with = "null_as_zero", skip_serializing_if = "is_zero")]
    pub scrape_interval: DurationMs,
    #[serde(deserialize_with = "null_as_zero", skip_serializing_if = "is_zero")]
    pub scrape_timeout: DurationMs,
    #[serde(skip_serializing_if = "is_zero")]
    pub scrape_protocols: Option<Vec<ScrapeProtocol>>,
    #[serde(deserialize_with = "null_as_zero", skip_serializing_if = "is_zero")]
    pub evaluation_interval: DurationMs,
    #[serde(deserialize_with = "null_as_zero", skip_serializing_if = "is_zero")]
    pub rule_query_offset: DurationMs,
    #[serde(deserialize_with = "null_as_zero", skip_serializing_if = "is_zero")]
    pub query_log_file: String,
    #[serde(deserialize_with = "null_as_zero", skip_serializing_if = "is_zero")]
    pub scrape_failure_log_file: String,
    #[serde(deserialize_with = "labels", skip_serializing_if = "is_zero")]
    pub external_labels: BTreeMap<String, String>,
    #[serde(deserialize_with = "null_as_zero", skip_serializing_if = "is_zero")]
    pub body_size_limit: ByteSize,
    #[serde(deserialize_with = "null_as_zero", skip_serializing_if = "is_zero")]
    pub sample_limit: u64,
    #[serde(deserialize_with = "null_as_zero", skip_serializing_if = "is_zero")]
    pub target_limit: u64,
    #[serde(deserialize_with = "null_as_zero", skip_serializing_if = "is_zero")]
    pub label_limit: u64,
    #[serde(deserialize_with = "null_as_zero", skip_serializing_if = "is_zero")]
    pub label_name_length_limit: u64,
    #[serde(deserialize_with = "null_as_zero", skip_serializing_if = "is_zero")]
    pub label_value_length_limit: u64,
    #[serde(deserialize_with = "null_as_zero", skip_serializing_if = "is_zero")]
    pub keep_dropped_targets: u64,
    #[serde(skip_serializing_if = "is_zero")]
    pub metric_name_validation_scheme: Option<NameValidation>,
    #[serde(skip_serializing_if = "is_zero")]
    pub metric_name_escaping_scheme: Option<EscapingScheme>,
    #[serde(deserialize_with = "null_as_zero", skip_serializing_if = "is_zero")]
    pub scrape_native_histograms: bool,
    #[serde(deserialize_with = "null_as_zero", skip_serializing_if = "is_zero")]
    pub convert_classic_histograms_to_nhcb: bool,
    #[serde(deserialize_with = "null_as_zero", skip_serializing_if = "is_zero")]
    pub always_scrape_classic_histograms: bool,
    #[serde(deserialize_with = "null_as_zero", skip_serializing_if = "is_zero")]
    pub extra_scrape_metrics: bool,
}

/// Values may be any scalars; nulls are empty texts.
fn labels<'de, D: Deserializer<'de>>(deserializer: D) -> Result<BTreeMap<String, String>, D::Error> {
    let labels: Option<BTreeMap<String, Option<String>>> = Option::deserialize(deserializer)?;
    Ok(labels.into_iter().flatten().map(|(name, value)| (name, value.unwrap_or_default())).collect())
}

const MINUTE: DurationMs = DurationMs(60_000);
const TIMEOUT: DurationMs = DurationMs(10_000);

impl GlobalConfig {
    /// Fills in upstream's defaults and checks the section against itself.
    pub(super) fn fill(&mut self) -> Result<(), String> {
        let validation = self.metric_name_validation_scheme.unwrap_or_default();
        if let Some(name) = self.external_labels.keys().find(|name| !validation.is_label_name(name)) {
            return Err(format!("{name:?} is not a valid label name"));
        }
        self.build_external_labels().map_err(|error| error.to_string())?;
        if self.scrape_interval == DurationMs(0) {
            self.scrape_interval = MINUTE;
        }
        if self.scrape_timeout > self.scrape_interval {
            return Err("global scrape timeout greater than scrape interval".to_owned());
        }
        if self.scrape_timeout == DurationMs(0) {
            self.scrape_timeout = TIMEOUT.min(self.scrape_interval);
        }
        if self.evaluation_interval == DurationMs(0) {
            self.evaluation_interval = MINUTE;
        }
        match &self.scrape_protocols {
            Some(protocols) if protocols.is_empty() => {
                Err("scrape_protocols cannot be empty for global config".to_owned())
            }
            _ => Ok(()),
        }
    }

    /// Labels that are added to whatever leaves the server.
    pub fn external_label_set(&self) -> Labels {
        self.build_external_labels().expect("they were built when the section was checked")
    }

    fn build_external_labels(&self) -> Result<Labels, LabelsError> {
        let mut labels = LabelsBuilder::default();
        for (name, value) in &self.external_labels {
            labels.set(name, value);
        }
        labels.build()
    }

    /// What jobs take over.
    pub fn scrape_defaults(&self) -> ScrapeDefaults {
        ScrapeDefaults {
            scrape_interval: self.scrape_interval,
            scrape_timeout: self.scrape_timeout,
            scrape_protocols: self.scrape_protocols.clone(),
            scrape_failure_log_file: self.scrape_failure_log_file.clone(),
            body_size_limit: self.body_size_limit,
            sample_limit: self.sample_limit,
            target_limit: self.target_limit,
            label_limit: self.label_limit,
            label_name_length_limit: self.label_name_length_limit,
            label_value_length_limit: self.label_value_length_limit,
            keep_dropped_targets: self.keep_dropped_targets,
            metric_name_validation_scheme: self.metric_name_validation_scheme.unwrap_or_default(),
            metric_name_escaping_scheme: self.metric_name_escaping_scheme,
            scrape_native_histograms: self.scrape_native_histograms,
            convert_classic_histograms_to_nhcb: self.convert_classic_histograms_to_nhcb,
            always_scrape_classic_histograms: self.always_scrape_classic_histograms,
            extra_scrape_metrics: self.extra_scrape_metrics,
        }
    }

    pub(super) fn set_folder(&mut self, folder: &Path) {
        join_folder(folder, &mut self.query_log_file);
        join_folder(folder, &mut self.scrape_failure_log_file);
    }

    pub(super) fn unserved(&self) -> Vec<String> {
        let settings = [("query_log_file", !self.query_log_file.is_empty())];
        settings.into_iter().filter(|(_, is_set)| *is_set).map(|(name, _)| format!("global.{name}")).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<GlobalConfig, String> {
        let mut global: GlobalConfig = serde_saphyr::from_str(text).map_err(|error| error.to_string())?;
        global.fill()?;
        Ok(global)
    }

    #[test]
    fn nothing_said_means_upstreams_defaults() {
        let global = read("{}").expect("an empty section is sound");
        assert_eq!((global.scrape_interval, global.scrape_timeout), (MINUTE, TIMEOUT));
        assert_eq!(global.scrape_defaults(), ScrapeDefaults::default());
        assert!(global.unserved().is_empty());
        let short = read("scrape_interval: 5s").expect("a short interval is sound");
        assert_eq!(short.scrape_timeout, DurationMs(5_000));
    }

    #[test]
    fn contradictions_are_refused() {
        assert!(
            read("{scrape_interval: 5s, scrape_timeout: 6s}")
                .is_err_and(|error| error == "global scrape timeout greater than scrape interval")
        );
        assert!(read("external_labels: {a-b: c}").is_ok());
        assert!(read("{metric_name_validation_scheme: legacy, external_labels: {a-b: c}}").is_err());
        assert!(read("scrape_protocols: []").is_err());
        assert!(read("scrape_intervall: 5s").is_err_and(|error| error.contains("scrape_intervall")));
    }
}
