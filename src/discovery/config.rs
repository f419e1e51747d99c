//! The `*_sd_configs` of a scrape configuration.

use std::path::Path;

use serde::de::{Error as _, IgnoredAny, MapAccess};
use serde::{Deserialize, Deserializer, Serialize};

use super::group::TargetGroup;
use crate::setting::{DurationMs, Inline, join_folder, null_as_zero};

/// Time between two looks at the files where none is given.
const REFRESH_INTERVAL: DurationMs = DurationMs(5 * 60_000);

/// Mechanisms of upstream that are read and not acted on, by the names of their fields.
const UNSERVED: [&str; 31] = [
    "aws_sd_configs",
    "azure_sd_configs",
    "consul_sd_configs",
    "digitalocean_sd_configs",
    "dns_sd_configs",
    "docker_sd_configs",
    "dockerswarm_sd_configs",
    "ec2_sd_configs",
    "eureka_sd_configs",
    "gce_sd_configs",
    "hetzner_sd_configs",
    "http_sd_configs",
    "ionos_sd_configs",
    "kubernetes_sd_configs",
    "kuma_sd_configs",
    "lightsail_sd_configs",
    "linode_sd_configs",
    "marathon_sd_configs",
    "nerve_sd_configs",
    "nomad_sd_configs",
    "oci_sd_configs",
    "openstack_sd_configs",
    "outscale_sd_configs",
    "ovhcloud_sd_configs",
    "puppetdb_sd_configs",
    "scaleway_sd_configs",
    "serverset_sd_configs",
    "stackit_sd_configs",
    "triton_sd_configs",
    "uyuni_sd_configs",
    "vultr_sd_configs",
];

/// Why discovery settings cannot be used; the texts are upstream's.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum DiscoveryConfigError {
    /// No file to read.
    #[error("file service discovery config must contain at least one path name")]
    NoFile,
    /// A file name with another ending, or with a wildcard before its last part.
    #[error("path name {0:?} is not valid for file discovery")]
    FileName(String),
    /// A URL where an address should be.
    #[error("{0:?} is not a valid hostname")]
    Address(String),
}

/// `<file_sd_config>`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct FileSdConfig {
    /// Files with target groups; the last part of each may hold one `*`.
    pub files: Vec<String>,
    /// Time between two looks at the files.
    pub refresh_interval: DurationMs,
}

impl<'de> Deserialize<'de> for FileSdConfig {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(deny_unknown_fields)]
        struct Text {
            #[serde(default, deserialize_with = "null_as_zero")]
            files: Vec<String>,
            #[serde(default = "refresh_interval", deserialize_with = "null_as_zero")]
            refresh_interval: DurationMs,
        }
        fn refresh_interval() -> DurationMs {
            REFRESH_INTERVAL
        }
        let Text { files, refresh_interval } = Text::deserialize(deserializer)?;
        if files.is_empty() {
            return Err(D::Error::custom(DiscoveryConfigError::NoFile));
        }
        if let Some(bad) = files.iter().find(|name| !is_file_name(name)) {
            return Err(D::Error::custom(DiscoveryConfigError::FileName(bad.clone())));
        }
        Ok(Self { files, refresh_interval })
    }
}

/// Whether a name ends as JSON or YAML and has a `*`, if any, only in its last part.
fn is_file_name(name: &str) -> bool {
    let Some((stem, ending)) = name.rsplit_once('.') else { return false };
    if !["json", "yml", "yaml", "JSON", "YML", "YAML"].contains(&ending) {
        return false;
    }
    stem.split_once('*').is_none_or(|(_, behind)| !behind.contains('/'))
}

/// All ways in which a job finds its targets.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct DiscoveryConfigs {
    /// Targets written down.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub static_configs: Vec<TargetGroup>,
    /// Targets in files.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub file_sd_configs: Vec<FileSdConfig>,
    /// Names of other mechanisms that are configured.
    #[serde(skip)]
    pub others: Vec<String>,
}

impl Inline for DiscoveryConfigs {
    fn take<'de, A: MapAccess<'de>>(&mut self, key: &str, map: &mut A) -> Result<bool, A::Error> {
        match key {
            "static_configs" => self.static_configs = sections(key, map)?,
            "file_sd_configs" => self.file_sd_configs = sections(key, map)?,
            other if UNSERVED.contains(&other) => {
                if map.next_value::<Option<Vec<IgnoredAny>>>()?.is_some_and(|list| !list.is_empty()) {
                    self.others.push(other.to_owned());
                }
            }
            _ => return Ok(false),
        }
        Ok(true)
    }
}

fn sections<'de, A: MapAccess<'de>, T: Deserialize<'de>>(key: &str, map: &mut A) -> Result<Vec<T>, A::Error> {
    let sections: Option<Vec<Option<T>>> = map.next_value()?;
    let sections: Option<Vec<T>> = sections.unwrap_or_default().into_iter().collect();
    sections.ok_or_else(|| A::Error::custom(format!("empty or null section in {key}")))
}

impl DiscoveryConfigs {
    /// Refuses URLs in the place of addresses; for jobs that have no rules which could mend them.
    pub fn check_addresses(&self) -> Result<(), DiscoveryConfigError> {
        self.static_configs.iter().flat_map(TargetGroup::addresses).try_for_each(check_address)
    }

    /// Makes relative file names start at `folder`.
    pub fn set_folder(&mut self, folder: &Path) {
        for file in self.file_sd_configs.iter_mut().flat_map(|config| &mut config.files) {
            join_folder(folder, file);
        }
    }

    /// Mechanisms that are configured and not acted on.
    pub fn unserved(&self) -> Vec<String> {
        self.others.clone()
    }
}

/// Refuses what cannot be a host and port: anything with a slash.
pub fn check_address(address: &str) -> Result<(), DiscoveryConfigError> {
    if address.contains('/') { Err(DiscoveryConfigError::Address(address.to_owned())) } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn file_names_have_one_wildcard_in_their_last_part() {
        for good in ["a.json", "/x/*.yml", "x/a*.yaml", "targets/tg-*.JSON", "a*b.json"] {
            assert!(is_file_name(good), "{good}");
        }
        for bad in ["a.txt", "json", "*/a.json", "x/*/a.yml", "a.Yml"] {
            assert!(!is_file_name(bad), "{bad}");
        }
    }

    #[test]
    fn file_discovery_is_checked_when_read() {
        let config: FileSdConfig = serde_saphyr::from_str("files: [a.json]").expect("text is sound");
        assert_eq!(config.refresh_interval, REFRESH_INTERVAL);
        for (text, message) in [
            ("files: []", "must contain at least one path name"),
            ("files: [a.txt]", "path name \"a.txt\" is not valid for file discovery"),
            ("file: [a.json]", "file"),
        ] {
            let error = serde_saphyr::from_str::<FileSdConfig>(text).expect_err(text).to_string();
            assert!(error.contains(message), "{text}: {error}");
        }
    }
}
