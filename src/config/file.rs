//! The file as a whole.

use std::io;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Deserializer, Serialize};

use crate::discovery::{TargetGroup, matching_files};
use crate::notify::AlertingConfig;
use crate::scrape::ScrapeConfig;
use crate::setting::{DurationMs, join_folder, list_without_nulls};

use super::{
    GlobalConfig, OtlpConfig, RemoteReadConfig, RemoteWriteConfig, RuntimeConfig, StorageConfig,
    TracingConfig,
};

/// Largest configuration file, in bytes.
const FILE_BYTES_MAX: u64 = 64 << 20;
/// How often a server without a configuration file scrapes itself.
const SELF_SCRAPE_INTERVAL: DurationMs = DurationMs(15_000);

/// Why a configuration cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ConfigError {
    /// The file cannot be read.
    #[error("cannot read {}: {source}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The text is not YAML, or not of this shape; the message names line and field.
    #[error("parsing YAML file {}: {message}", path.display())]
    Yaml {
        /// The file.
        path: PathBuf,
        /// What is wrong where.
        message: String,
    },
    /// Settings that cannot stand together.
    #[error("parsing YAML file {}: {rule}", path.display())]
    Invalid {
        /// The file.
        path: PathBuf,
        /// Which rule they break.
        rule: String,
    },
}

/// All of `prometheus.yml`.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
#[expect(missing_docs, reason = "the fields are upstream's, one for one, and its documentation holds")]
pub struct Config {
    #[serde(deserialize_with = "null_as_default")]
    pub global: GlobalConfig,
    #[serde(deserialize_with = "null_as_default", skip_serializing_if = "is_default")]
    pub runtime: RuntimeConfig,
    #[serde(deserialize_with = "null_as_default", skip_serializing_if = "is_default")]
    pub alerting: AlertingConfig,
    #[serde(deserialize_with = "null_as_default", skip_serializing_if = "is_default")]
    pub rule_files: Vec<String>,
    #[serde(deserialize_with = "null_as_default", skip_serializing_if = "is_default")]
    pub scrape_config_files: Vec<String>,
    #[serde(deserialize_with = "jobs", skip_serializing_if = "is_default")]
    pub scrape_configs: Vec<ScrapeConfig>,
    #[serde(deserialize_with = "null_as_default", skip_serializing_if = "is_default")]
    pub storage: StorageConfig,
    #[serde(skip_serializing_if = "is_default")]
    pub tracing: Option<TracingConfig>,
    #[serde(deserialize_with = "receivers", skip_serializing_if = "is_default")]
    pub remote_write: Vec<RemoteWriteConfig>,
    #[serde(deserialize_with = "stores", skip_serializing_if = "is_default")]
    pub remote_read: Vec<RemoteReadConfig>,
    #[serde(deserialize_with = "null_as_default", skip_serializing_if = "is_default")]
    pub otlp: OtlpConfig,
    /// Jobs of the files that `scrape_config_files` names.
    #[serde(skip)]
    jobs_of_files: Vec<ScrapeConfig>,
}

/// What such a further file holds.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct JobsFile {
    #[serde(deserialize_with = "jobs")]
    scrape_configs: Vec<ScrapeConfig>,
}

fn null_as_default<'de, D: Deserializer<'de>, T: Deserialize<'de> + Default>(
    deserializer: D,
) -> Result<T, D::Error> {
    Ok(Option::deserialize(deserializer)?.unwrap_or_default())
}

fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}

fn jobs<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<ScrapeConfig>, D::Error> {
    list_without_nulls(deserializer, "empty or null scrape config section")
}

fn receivers<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<RemoteWriteConfig>, D::Error> {
    list_without_nulls(deserializer, "empty or null remote write config section")
}

fn stores<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<RemoteReadConfig>, D::Error> {
    list_without_nulls(deserializer, "empty or null remote read config section")
}

/// Looks up a variable of the environment.
pub type Variables<'a> = &'a dyn Fn(&str) -> Option<String>;

impl Config {
    /// Reads `path` and the files that it names, fills in the defaults, and checks all of it. `variables` stand as
    /// `${NAME}` in external labels. Files named relatively are looked for beside `path`.
    pub fn load(path: &Path, variables: Variables<'_>) -> Result<Self, ConfigError> {
        let mut config: Self = read(path)?;
        let invalid = |rule| ConfigError::Invalid { path: path.to_owned(), rule };
        config.check(variables).map_err(invalid)?;
        config.set_folder(path.parent().unwrap_or(Path::new("")));
        config.read_job_files()?;
        Ok(config)
    }

    /// Reads a text as [`Self::load`] reads a file; further files are not looked for.
    pub fn parse(text: &str, variables: Variables<'_>) -> Result<Self, ConfigError> {
        let path = PathBuf::from("(text)");
        let mut config: Self = parse(&path, text)?;
        config.check(variables).map_err(|rule| ConfigError::Invalid { path, rule })?;
        Ok(config)
    }

    /// What runs without a file: the server scrapes itself at `address`.
    pub fn scraping_itself(address: &str, metrics_path: &str) -> Self {
        let mut job = ScrapeConfig::new("perdura");
        job.own.metrics_path = metrics_path.to_owned();
        let target = [("__address__".to_owned(), address.to_owned())].into_iter().collect();
        job.discovery.static_configs =
            vec![TargetGroup { targets: vec![target], labels: Default::default(), source: "0".to_owned() }];
        let mut config = Self { scrape_configs: vec![job], ..Self::default() };
        config.global.scrape_interval = SELF_SCRAPE_INTERVAL;
        config.check(&|_| None).expect("the built-in configuration is sound");
        config
    }

    /// The jobs of this file and of those that it names.
    pub fn jobs(&self) -> impl Iterator<Item = &ScrapeConfig> {
        self.scrape_configs.iter().chain(&self.jobs_of_files)
    }

    /// The configuration with its defaults as YAML, secrets hidden.
    pub fn to_yaml(&self) -> String {
        serde_saphyr::to_string(self).unwrap_or_else(|error| format!("# cannot be shown: {error}\n"))
    }

    /// Settings that are read and not acted on, by their names in the file.
    pub fn unserved(&self) -> Vec<String> {
        let sections = [
            ("runtime", self.runtime.gogc.is_some()),
            ("tracing", self.tracing.is_some()),
            ("remote_read", !self.remote_read.is_empty()),
            ("otlp", self.otlp != OtlpConfig::default()),
            ("storage.exemplars", self.storage.exemplars.is_some()),
        ];
        let mut names: Vec<String> =
            sections.into_iter().filter(|(_, is_set)| *is_set).map(|(name, _)| name.to_owned()).collect();
        names.extend(self.global.unserved());
        names.extend(self.storage.unserved());
        names.extend(self.alerting.unserved().into_iter().map(|name| format!("alerting.{name}")));
        for job in self.jobs() {
            let of_job = |name| format!("scrape_configs.{}.{name}", job.own.job_name);
            names.extend(job.unserved().into_iter().map(of_job));
        }
        for (index, receiver) in self.remote_write.iter().enumerate() {
            names.extend(receiver.unserved().into_iter().map(|name| format!("remote_write.{index}.{name}")));
        }
        names
    }

    /// Whether an agent can run with it; the error names the section that it has no use for.
    pub fn check_for_agent(&self) -> Result<(), String> {
        let alerting =
            !self.alerting.alertmanagers.is_empty() || !self.alerting.alert_relabel_configs.is_empty();
        for (section, is_set) in [
            ("alerting", alerting),
            ("rule_files", !self.rule_files.is_empty()),
            ("remote_read", !self.remote_read.is_empty()),
        ] {
            if is_set {
                return Err(format!("field {section} is not allowed in agent mode"));
            }
        }
        Ok(())
    }

    fn check(&mut self, variables: Variables<'_>) -> Result<(), String> {
        for value in self.global.external_labels.values_mut() {
            *value = expand(value, variables);
        }
        self.global.fill()?;
        check_patterns(&self.rule_files, "rule")?;
        check_patterns(&self.scrape_config_files, "scrape config")?;
        let defaults = self.global.scrape_defaults();
        let mut names: Vec<&str> = Vec::new();
        for job in &mut self.scrape_configs {
            job.validate(&defaults).map_err(|error| error.to_string())?;
            if names.contains(&job.own.job_name.as_str()) {
                return Err(format!("found multiple scrape configs with job name {:?}", job.own.job_name));
            }
            names.push(&job.own.job_name);
        }
        self.check_remotes()?;
        self.tracing.as_ref().map_or(Ok(()), TracingConfig::check)?;
        self.otlp.check()
    }

    fn check_remotes(&mut self) -> Result<(), String> {
        let validation = self.global.metric_name_validation_scheme.unwrap_or_default();
        self.alerting.validate(validation).map_err(|error| error.to_string())?;
        for receiver in &mut self.remote_write {
            receiver.validate(validation)?;
        }
        let written = self.remote_write.iter().map(|receiver| receiver.own.name.as_str());
        check_names(written, "remote write")?;
        check_names(self.remote_read.iter().map(|store| store.own.name.as_str()), "remote read")
    }

    fn set_folder(&mut self, folder: &Path) {
        self.global.set_folder(folder);
        self.alerting.set_folder(folder);
        for name in self.rule_files.iter_mut().chain(&mut self.scrape_config_files) {
            join_folder(folder, name);
        }
        self.scrape_configs.iter_mut().for_each(|job| job.set_folder(folder));
        self.remote_write.iter_mut().for_each(|receiver| receiver.set_folder(folder));
        self.remote_read.iter_mut().for_each(|store| store.http.set_folder(folder));
    }

    fn read_job_files(&mut self) -> Result<(), ConfigError> {
        let defaults = self.global.scrape_defaults();
        let patterns = self.scrape_config_files.clone();
        for path in patterns.iter().flat_map(|pattern| matching_files(Path::new(pattern))) {
            let file: JobsFile = read(&path)?;
            for mut job in file.scrape_configs {
                let invalid = |rule| ConfigError::Invalid { path: path.clone(), rule };
                job.validate(&defaults).map_err(|error| invalid(error.to_string()))?;
                let name = &job.own.job_name;
                if self.jobs().any(|other| other.own.job_name == *name) {
                    return Err(invalid(format!("found multiple scrape configs with job name {name:?}")));
                }
                job.set_folder(path.parent().unwrap_or(Path::new("")));
                self.jobs_of_files.push(job);
            }
        }
        Ok(())
    }
}

fn read<T: Default + serde::de::DeserializeOwned>(path: &Path) -> Result<T, ConfigError> {
    let failed = |source| ConfigError::Read { path: path.to_owned(), source };
    let size = std::fs::metadata(path).map_err(failed)?.len();
    if size > FILE_BYTES_MAX {
        return Err(failed(io::Error::other(format!("{size} bytes are too many"))));
    }
    parse(path, &std::fs::read_to_string(path).map_err(failed)?)
}

/// An empty text is an empty mapping. Errors come without the lines in question, which may hold secrets.
fn parse<T: Default + serde::de::DeserializeOwned>(path: &Path, text: &str) -> Result<T, ConfigError> {
    serde_saphyr::from_str::<Option<T>>(text).map(Option::unwrap_or_default).map_err(|error| {
        ConfigError::Yaml { path: path.to_owned(), message: error.without_snippet().to_string() }
    })
}

/// A pattern's last part may hold wildcards; the folders before it may not.
fn check_patterns(patterns: &[String], kind: &str) -> Result<(), String> {
    let is_bad = |pattern: &&String| pattern.find('*').is_some_and(|star| pattern[star..].contains('/'));
    match patterns.iter().find(is_bad) {
        Some(bad) => Err(format!("invalid {kind} file path {bad:?}")),
        None => Ok(()),
    }
}

fn check_names<'a>(names: impl Iterator<Item = &'a str>, kind: &str) -> Result<(), String> {
    let mut seen = Vec::new();
    for name in names.filter(|name| !name.is_empty()) {
        if seen.contains(&name) {
            return Err(format!("found multiple {kind} configs with job name {name:?}"));
        }
        seen.push(name);
    }
    Ok(())
}

/// `$NAME` and `${NAME}` by their values, unknown ones by nothing; `$$` is a dollar sign.
fn expand(text: &str, variables: Variables<'_>) -> String {
    let mut expanded = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find('$') {
        expanded.push_str(&rest[..at]);
        rest = &rest[at + 1..];
        if let Some(after) = rest.strip_prefix('$') {
            expanded.push('$');
            rest = after;
            continue;
        }
        let braced = rest.strip_prefix('{').and_then(|inner| inner.split_once('}'));
        let (name, after) = braced.unwrap_or_else(|| {
            let name_len =
                rest.len() - rest.trim_start_matches(|c: char| c.is_ascii_alphanumeric() || c == '_').len();
            rest.split_at(name_len)
        });
        expanded.push_str(&variables(name).unwrap_or_default());
        rest = after;
    }
    expanded.push_str(rest);
    expanded
}

#[cfg(test)]
mod tests;
