//! `<alerting>`: where alerts go.

use std::path::Path;

use serde::{Deserialize, Deserializer, Serialize};

use crate::discovery::{DiscoveryConfigError, DiscoveryConfigs};
use crate::net::{HttpClientConfig, NetConfigError};
use crate::relabel::{RelabelConfig, RelabelError};
use crate::setting::{
    Anything, DurationMs, NameValidation, deserialize_with_inline, is_zero, list_without_nulls, null_as_zero,
};

/// Why the section cannot be used; the texts are upstream's.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum AlertingConfigError {
    /// A version of the Alertmanager's API that is not spoken.
    #[error("expected Alertmanager api version to be one of [v2] but got {0}")]
    ApiVersion(String),
    /// A relabelling rule.
    #[error(transparent)]
    Relabel(#[from] RelabelError),
    /// The HTTP client.
    #[error(transparent)]
    Net(#[from] NetConfigError),
    /// Discovery.
    #[error(transparent)]
    Discovery(#[from] DiscoveryConfigError),
}

/// The alerting section.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
#[expect(missing_docs, reason = "the fields are upstream's, one for one, and its documentation holds")]
pub struct AlertingConfig {
    #[serde(deserialize_with = "alert_rules", skip_serializing_if = "Vec::is_empty")]
    pub alert_relabel_configs: Vec<RelabelConfig>,
    #[serde(deserialize_with = "null_as_zero", skip_serializing_if = "Vec::is_empty")]
    pub alertmanagers: Vec<AlertmanagerConfig>,
}

/// One group of Alertmanagers.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[expect(missing_docs, reason = "the fields are upstream's, one for one, and its documentation holds")]
pub struct AlertmanagerConfig {
    #[serde(flatten)]
    pub own: AlertmanagerSettings,
    #[serde(flatten)]
    pub http: HttpClientConfig,
    #[serde(flatten)]
    pub discovery: DiscoveryConfigs,
}

/// The fields of an Alertmanager group that are its own.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
#[expect(missing_docs, reason = "the fields are upstream's, one for one, and its documentation holds")]
pub struct AlertmanagerSettings {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sigv4: Option<Anything>,
    #[serde(deserialize_with = "null_as_zero", skip_serializing_if = "is_zero")]
    pub scheme: String,
    #[serde(deserialize_with = "null_as_zero", skip_serializing_if = "is_zero")]
    pub path_prefix: String,
    #[serde(deserialize_with = "null_as_zero", skip_serializing_if = "is_zero")]
    pub timeout: DurationMs,
    pub api_version: String,
    #[serde(deserialize_with = "target_rules", skip_serializing_if = "Vec::is_empty")]
    pub relabel_configs: Vec<RelabelConfig>,
    #[serde(deserialize_with = "alert_rules_here", skip_serializing_if = "Vec::is_empty")]
    pub alert_relabel_configs: Vec<RelabelConfig>,
}

impl Default for AlertmanagerSettings {
    fn default() -> Self {
        Self {
            sigv4: None,
            scheme: "http".to_owned(),
            path_prefix: String::new(),
            timeout: DurationMs(10_000),
            api_version: "v2".to_owned(),
            relabel_configs: Vec::new(),
            alert_relabel_configs: Vec::new(),
        }
    }
}

fn rules<'de, D: Deserializer<'de>>(
    deserializer: D,
    what: &'static str,
) -> Result<Vec<RelabelConfig>, D::Error> {
    list_without_nulls(deserializer, &format!("empty or null {what}"))
}

fn alert_rules<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<RelabelConfig>, D::Error> {
    rules(deserializer, "alert relabeling rule")
}

fn target_rules<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<RelabelConfig>, D::Error> {
    rules(deserializer, "Alertmanager target relabeling rule")
}

fn alert_rules_here<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<RelabelConfig>, D::Error> {
    rules(deserializer, "Alertmanager alert relabeling rule")
}

impl<'de> Deserialize<'de> for AlertmanagerConfig {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let inline = (HttpClientConfig::default(), DiscoveryConfigs::default());
        deserialize_with_inline(deserializer, "an Alertmanager config", inline, |own, (http, discovery)| {
            let mut config = Self { own, http, discovery };
            config.check().map(|()| config)
        })
    }
}

impl AlertmanagerConfig {
    fn check(&mut self) -> Result<(), AlertingConfigError> {
        if self.own.api_version != "v2" {
            return Err(AlertingConfigError::ApiVersion(self.own.api_version.clone()));
        }
        self.http.validate()?;
        if self.own.relabel_configs.is_empty() {
            self.discovery.check_addresses()?;
        }
        Ok(())
    }

    fn unserved(&self) -> Vec<String> {
        let mut unserved = self.http.unserved();
        unserved.extend(self.discovery.unserved());
        unserved.extend(self.own.sigv4.map(|_| "sigv4".to_owned()));
        unserved
    }
}

impl AlertingConfig {
    /// Checks the rules, and takes over which label names are allowed.
    pub fn validate(&mut self, validation: NameValidation) -> Result<(), AlertingConfigError> {
        let of_groups = self.alertmanagers.iter_mut().flat_map(|group| {
            group.own.relabel_configs.iter_mut().chain(&mut group.own.alert_relabel_configs)
        });
        for rule in self.alert_relabel_configs.iter_mut().chain(of_groups) {
            rule.validate(validation)?;
        }
        Ok(())
    }

    /// Makes relative file names start at `folder`.
    pub fn set_folder(&mut self, folder: &Path) {
        for group in &mut self.alertmanagers {
            group.http.set_folder(folder);
            group.discovery.set_folder(folder);
        }
    }

    /// Settings that are read and not acted on, by their names in the section.
    pub fn unserved(&self) -> Vec<String> {
        let groups = self.alertmanagers.iter().enumerate();
        groups
            .flat_map(|(index, group)| {
                group.unserved().into_iter().map(move |name| format!("alertmanagers.{index}.{name}"))
            })
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<AlertingConfig, String> {
        let mut alerting: AlertingConfig = serde_saphyr::from_str(text).map_err(|error| error.to_string())?;
        alerting.validate(NameValidation::Utf8).map_err(|error| error.to_string())?;
        Ok(alerting)
    }

    #[test]
    fn a_group_has_upstreams_defaults() {
        let alerting = read("alertmanagers: [{static_configs: [{targets: ['am:9093']}]}]").expect("sound");
        let group = &alerting.alertmanagers[0];
        assert_eq!((group.own.scheme.as_str(), group.own.timeout), ("http", DurationMs(10_000)));
        assert_eq!(group.discovery.static_configs.len(), 1);
    }

    #[test]
    fn wrong_groups_are_refused() {
        for (text, message) in [
            ("alertmanagers: [{api_version: v1}]", "expected Alertmanager api version"),
            (
                "alertmanagers: [{static_configs: [{targets: ['http://am:9093/x']}]}]",
                "is not a valid hostname",
            ),
            ("alertmanagers: [{basic_auth: {username: a}, bearer_token: b}]", "at most one of"),
            ("alert_relabel_configs: [null]", "empty or null alert relabeling rule"),
            ("alertmanagers: [{port: 9093}]", "port"),
        ] {
            let error = read(text).expect_err(text);
            assert!(error.contains(message), "{text}: {error}");
        }
    }

    #[test]
    fn only_what_is_not_served_is_named() {
        let alerting = read(
            "alertmanagers: [{static_configs: [{targets: [a]}]}, {sigv4: {region: x}, dns_sd_configs: [{names: [a]}]}]",
        );
        let unserved = alerting.expect("sound").unserved();
        assert_eq!(unserved, ["alertmanagers.1.dns_sd_configs", "alertmanagers.1.sigv4"]);
    }
}
