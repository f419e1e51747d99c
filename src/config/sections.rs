//! The small sections: `<storage>`, `<tracing>`, `<otlp>`, `<runtime>`.

use std::collections::BTreeMap;

use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize};

use crate::setting::{ByteSize, DurationMs, is_zero, null_as_zero};

/// The storage section.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
#[expect(missing_docs, reason = "the fields are upstream's, one for one, and its documentation holds")]
pub struct StorageConfig {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tsdb: Option<TsdbConfig>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub exemplars: Option<ExemplarsConfig>,
}

/// Settings of the database that may change while it runs.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
#[expect(missing_docs, reason = "the fields are upstream's, one for one, and its documentation holds")]
pub struct TsdbConfig {
    /// How far behind a series' newest sample another may be; where it is not set, any distance.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub out_of_order_time_window: Option<DurationMs>,
    #[serde(deserialize_with = "null_as_zero", skip_serializing_if = "is_zero")]
    pub stale_series_compaction_threshold: f64,
    #[serde(deserialize_with = "null_as_zero", skip_serializing_if = "is_zero")]
    pub chunk_encoding: ChunkEncodingConfig,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub retention: Option<RetentionConfig>,
}

/// Encodings of chunks; read for compatibility.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
#[expect(missing_docs, reason = "the fields are upstream's, one for one, and its documentation holds")]
pub struct ChunkEncodingConfig {
    #[serde(deserialize_with = "float_encoding", skip_serializing_if = "is_zero")]
    pub floats: String,
}

/// How long and how much is kept.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
#[expect(missing_docs, reason = "the fields are upstream's, one for one, and its documentation holds")]
pub struct RetentionConfig {
    #[serde(deserialize_with = "null_as_zero", skip_serializing_if = "is_zero")]
    pub time: DurationMs,
    #[serde(deserialize_with = "null_as_zero", skip_serializing_if = "is_zero")]
    pub size: ByteSize,
    #[serde(deserialize_with = "percentage", skip_serializing_if = "is_zero")]
    pub percentage: f64,
}

/// Room for exemplars; read for compatibility.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
#[expect(missing_docs, reason = "the fields are upstream's, one for one, and its documentation holds")]
pub struct ExemplarsConfig {
    #[serde(deserialize_with = "null_as_zero", skip_serializing_if = "is_zero")]
    pub max_exemplars: i64,
}

fn float_encoding<'de, D: Deserializer<'de>>(deserializer: D) -> Result<String, D::Error> {
    let text: String = null_as_zero(deserializer)?;
    if !["", "xor", "xor2"].contains(&text.as_str()) {
        return Err(D::Error::custom(format!(
            "'storage.tsdb.chunk_encoding.floats' must be 'xor' or 'xor2', or the field must be omitted entirely, got {text:?}"
        )));
    }
    Ok(text)
}

fn percentage<'de, D: Deserializer<'de>>(deserializer: D) -> Result<f64, D::Error> {
    let value: f64 = null_as_zero(deserializer)?;
    if !(0.0..=100.0).contains(&value) {
        return Err(D::Error::custom(format!(
            "'storage.tsdb.retention.percentage' must be in the range [0, 100], got {value}"
        )));
    }
    Ok(value)
}

impl StorageConfig {
    pub(super) fn unserved(&self) -> Vec<String> {
        let Some(tsdb) = &self.tsdb else { return Vec::new() };
        let settings = [
            ("stale_series_compaction_threshold", tsdb.stale_series_compaction_threshold != 0.0),
            ("chunk_encoding", !tsdb.chunk_encoding.floats.is_empty()),
        ];
        let set = settings.into_iter().filter(|(_, is_set)| *is_set);
        set.map(|(name, _)| format!("storage.tsdb.{name}")).collect()
    }
}

/// The tracing section.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
#[expect(missing_docs, reason = "the fields are upstream's, one for one, and its documentation holds")]
pub struct TracingConfig {
    #[serde(default)]
    pub client_type: TracingClient,
    #[serde(default, deserialize_with = "null_as_zero")]
    pub endpoint: String,
    #[serde(default, deserialize_with = "null_as_zero", skip_serializing_if = "is_zero")]
    pub sampling_fraction: f64,
    #[serde(default, deserialize_with = "null_as_zero", skip_serializing_if = "is_zero")]
    pub insecure: bool,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tls_config: Option<crate::net::TlsConfig>,
    #[serde(default, deserialize_with = "null_as_zero", skip_serializing_if = "is_zero")]
    pub headers: BTreeMap<String, String>,
    #[serde(default, deserialize_with = "null_as_zero", skip_serializing_if = "is_zero")]
    pub compression: String,
    #[serde(default, deserialize_with = "null_as_zero", skip_serializing_if = "is_zero")]
    pub timeout: DurationMs,
}

/// Protocols that traces are sent by.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
#[expect(missing_docs, reason = "each is its name")]
pub enum TracingClient {
    Http,
    #[default]
    Grpc,
}

impl TracingConfig {
    pub(super) fn check(&self) -> Result<(), String> {
        if self.headers.keys().any(|header| header.eq_ignore_ascii_case("authorization")) {
            return Err("custom authorization header configuration is not yet supported".to_owned());
        }
        if self.endpoint.is_empty() {
            return Err("tracing endpoint must be set".to_owned());
        }
        if !["", "gzip"].contains(&self.compression.as_str()) {
            return Err(format!(
                "invalid compression type {} provided, valid options: gzip",
                self.compression
            ));
        }
        Ok(())
    }
}

/// The OTLP section.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
#[expect(missing_docs, reason = "the fields are upstream's, one for one, and its documentation holds")]
pub struct OtlpConfig {
    #[serde(skip_serializing_if = "is_zero")]
    pub promote_all_resource_attributes: bool,
    #[serde(deserialize_with = "null_as_zero", skip_serializing_if = "is_zero")]
    pub promote_resource_attributes: Vec<String>,
    #[serde(deserialize_with = "null_as_zero", skip_serializing_if = "is_zero")]
    pub ignore_resource_attributes: Vec<String>,
    pub translation_strategy: TranslationStrategy,
    #[serde(skip_serializing_if = "is_zero")]
    pub keep_identifying_resource_attributes: bool,
    #[serde(skip_serializing_if = "is_zero")]
    pub convert_histograms_to_nhcb: bool,
    #[serde(skip_serializing_if = "is_zero")]
    pub promote_scope_metadata: bool,
    pub label_name_underscore_sanitization: bool,
    pub label_name_preserve_multiple_underscores: bool,
}

/// How OTLP names become Prometheus names.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[expect(missing_docs, reason = "each is its name")]
pub enum TranslationStrategy {
    #[default]
    UnderscoreEscapingWithSuffixes,
    UnderscoreEscapingWithoutSuffixes,
    #[serde(rename = "NoUTF8EscapingWithSuffixes")]
    NoUtf8EscapingWithSuffixes,
    NoTranslation,
}

impl Default for OtlpConfig {
    fn default() -> Self {
        Self {
            promote_all_resource_attributes: false,
            promote_resource_attributes: Vec::new(),
            ignore_resource_attributes: Vec::new(),
            translation_strategy: TranslationStrategy::default(),
            keep_identifying_resource_attributes: false,
            convert_histograms_to_nhcb: false,
            promote_scope_metadata: false,
            label_name_underscore_sanitization: true,
            label_name_preserve_multiple_underscores: true,
        }
    }
}

impl OtlpConfig {
    pub(super) fn check(&self) -> Result<(), String> {
        let all = self.promote_all_resource_attributes;
        if all && !self.promote_resource_attributes.is_empty() {
            return Err("'promote_all_resource_attributes' and 'promote_resource_attributes' cannot be configured simultaneously".to_owned());
        }
        if !all && !self.ignore_resource_attributes.is_empty() {
            return Err("'ignore_resource_attributes' cannot be configured unless 'promote_all_resource_attributes' is true".to_owned());
        }
        check_attributes(&self.promote_resource_attributes, "promote", "promoted")?;
        check_attributes(&self.ignore_resource_attributes, "ignore", "ignored")
    }
}

fn check_attributes(attributes: &[String], verb: &str, adjective: &str) -> Result<(), String> {
    for (index, attribute) in attributes.iter().enumerate() {
        let name = attribute.trim();
        let problem = if name.is_empty() {
            format!("empty {adjective} OTel resource attribute")
        } else if attributes[..index].iter().any(|before| before.trim() == name) {
            format!("duplicated {adjective} OTel resource attribute {name:?}")
        } else {
            continue;
        };
        return Err(format!("invalid '{verb}_resource_attributes': {problem}"));
    }
    Ok(())
}

/// The runtime section: settings of Go's runtime, read for compatibility.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
#[expect(missing_docs, reason = "the fields are upstream's, one for one, and its documentation holds")]
pub struct RuntimeConfig {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub gogc: Option<i64>,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read<T: serde::de::DeserializeOwned>(text: &str) -> Result<T, String> {
        serde_saphyr::from_str(text).map_err(|error| error.to_string())
    }

    #[test]
    fn storage_settings_are_checked() {
        let storage: StorageConfig =
            read("tsdb: {out_of_order_time_window: 30m, retention: {time: 30d, size: 1GB, percentage: 80}}")
                .expect("sound");
        let tsdb = storage.tsdb.expect("the section is there");
        assert_eq!(tsdb.out_of_order_time_window, Some(DurationMs(1_800_000)));
        assert_eq!(tsdb.retention.map(|retention| retention.time), Some(DurationMs(30 * 86_400_000)));
        assert!(read::<StorageConfig>("tsdb: {retention: {percentage: 101}}").is_err());
        assert!(read::<StorageConfig>("tsdb: {chunk_encoding: {floats: gorilla}}").is_err());
        assert!(read::<StorageConfig>("tsdb: {wal: 1}").is_err());
    }

    #[test]
    fn tracing_needs_an_endpoint() {
        let check = |text: &str| read::<TracingConfig>(text).and_then(|tracing| tracing.check());
        assert_eq!(check("{endpoint: 'a:4317', client_type: http, compression: gzip}"), Ok(()));
        assert_eq!(check("{}"), Err("tracing endpoint must be set".to_owned()));
        assert!(check("{endpoint: a, client_type: carrier-pigeon}").is_err());
        assert!(check("{endpoint: a, headers: {AUTHORIZATION: b}}").is_err());
    }

    #[test]
    fn otlp_attributes_do_not_contradict() {
        let check = |text: &str| read::<OtlpConfig>(text).and_then(|otlp| otlp.check());
        assert_eq!(check("promote_resource_attributes: [service.name, k8s.pod.name]"), Ok(()));
        assert!(
            check("promote_resource_attributes: [a, a]").is_err_and(|e| e.contains("duplicated promoted"))
        );
        assert!(check("promote_resource_attributes: [' ']").is_err_and(|e| e.contains("empty promoted")));
        assert!(check("{promote_all_resource_attributes: true, promote_resource_attributes: [a]}").is_err());
        assert!(check("ignore_resource_attributes: [a]").is_err());
        assert!(check("translation_strategy: Telepathy").is_err());
    }
}
