//! `<remote_write>` and `<remote_read>`, read and checked. Nothing is read from other stores yet.

use std::collections::BTreeMap;
use std::path::Path;

use serde::{Deserialize, Deserializer, Serialize};

use crate::net::HttpClientConfig;
use crate::relabel::RelabelConfig;
use crate::setting::{
    Anything, DurationMs, NameValidation, deserialize_with_inline, is_zero, list_without_nulls, null_as_zero,
};

/// Messages that remote write may carry: of protocol 1.0, of 2.0.
pub(super) const MESSAGES: [&str; 2] = ["prometheus.WriteRequest", "io.prometheus.write.v2.Request"];

/// Headers that the sender sets itself, in small letters.
const HEADERS_RESERVED: [&str; 12] = [
    "authorization",
    "host",
    "content-encoding",
    "content-length",
    "content-type",
    "user-agent",
    "connection",
    "keep-alive",
    "proxy-authenticate",
    "proxy-authorization",
    "www-authenticate",
    "x-prometheus-remote-write-version",
];

/// One receiver of samples.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[expect(missing_docs, reason = "the fields are upstream's, one for one, and its documentation holds")]
pub struct RemoteWriteConfig {
    #[serde(flatten)]
    pub own: RemoteWriteSettings,
    #[serde(flatten)]
    pub http: HttpClientConfig,
}

/// The fields of a receiver that are its own.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
#[expect(missing_docs, reason = "the fields are upstream's, one for one, and its documentation holds")]
pub struct RemoteWriteSettings {
    #[serde(deserialize_with = "null_as_zero")]
    pub url: String,
    #[serde(deserialize_with = "null_as_zero", skip_serializing_if = "is_zero")]
    pub remote_timeout: DurationMs,
    #[serde(deserialize_with = "null_as_zero", skip_serializing_if = "is_zero")]
    pub headers: BTreeMap<String, String>,
    #[serde(deserialize_with = "write_rules", skip_serializing_if = "Vec::is_empty")]
    pub write_relabel_configs: Vec<RelabelConfig>,
    #[serde(deserialize_with = "null_as_zero", skip_serializing_if = "is_zero")]
    pub name: String,
    #[serde(deserialize_with = "null_as_zero", skip_serializing_if = "is_zero")]
    pub send_exemplars: bool,
    #[serde(deserialize_with = "null_as_zero", skip_serializing_if = "is_zero")]
    pub send_native_histograms: bool,
    #[serde(deserialize_with = "null_as_zero", skip_serializing_if = "is_zero")]
    pub round_robin_dns: bool,
    pub protobuf_message: String,
    #[serde(deserialize_with = "null_as_zero", skip_serializing_if = "is_zero")]
    pub failed_request_logging: bool,
    pub queue_config: QueueConfig,
    pub metadata_config: MetadataConfig,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sigv4: Option<Anything>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub azuread: Option<Anything>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub google_iam: Option<Anything>,
}

impl Default for RemoteWriteSettings {
    fn default() -> Self {
        Self {
            url: String::new(),
            remote_timeout: DurationMs(30_000),
            headers: BTreeMap::new(),
            write_relabel_configs: Vec::new(),
            name: String::new(),
            send_exemplars: false,
            send_native_histograms: false,
            round_robin_dns: false,
            protobuf_message: MESSAGES[0].to_owned(),
            failed_request_logging: false,
            queue_config: QueueConfig::default(),
            metadata_config: MetadataConfig::default(),
            sigv4: None,
            azuread: None,
            google_iam: None,
        }
    }
}

/// How samples wait for a receiver.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
#[expect(missing_docs, reason = "the fields are upstream's, one for one, and its documentation holds")]
pub struct QueueConfig {
    pub capacity: i64,
    pub max_shards: i64,
    pub min_shards: i64,
    pub max_samples_per_send: i64,
    pub batch_send_deadline: DurationMs,
    pub min_backoff: DurationMs,
    pub max_backoff: DurationMs,
    #[serde(skip_serializing_if = "is_zero")]
    pub retry_on_http_429: bool,
    #[serde(skip_serializing_if = "is_zero")]
    pub sample_age_limit: DurationMs,
}

impl Default for QueueConfig {
    fn default() -> Self {
        Self {
            capacity: 10_000,
            max_shards: 50,
            min_shards: 1,
            max_samples_per_send: 2_000,
            batch_send_deadline: DurationMs(5_000),
            min_backoff: DurationMs(30),
            max_backoff: DurationMs(5_000),
            retry_on_http_429: false,
            sample_age_limit: DurationMs(0),
        }
    }
}

impl QueueConfig {
    fn check(&self) -> Result<(), String> {
        let problem = if self.max_shards <= 0 {
            "max_shards must be positive"
        } else if self.min_shards <= 0 {
            "min_shards must be positive"
        } else if self.min_shards > self.max_shards {
            "min_shards must not be greater than max_shards"
        } else if self.max_samples_per_send <= 0 {
            "max_samples_per_send must be positive"
        } else if self.capacity <= 0 {
            "capacity must be positive"
        } else if self.max_backoff < self.min_backoff {
            "max_backoff must not be less than min_backoff"
        } else {
            return Ok(());
        };
        Err(format!("remote write queue {problem}"))
    }
}

/// How metadata is sent.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
#[expect(missing_docs, reason = "the fields are upstream's, one for one, and its documentation holds")]
pub struct MetadataConfig {
    pub send: bool,
    pub send_interval: DurationMs,
    pub max_samples_per_send: i64,
}

impl Default for MetadataConfig {
    fn default() -> Self {
        Self { send: true, send_interval: DurationMs(60_000), max_samples_per_send: 2_000 }
    }
}

/// One store that is read from.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[expect(missing_docs, reason = "the fields are upstream's, one for one, and its documentation holds")]
pub struct RemoteReadConfig {
    #[serde(flatten)]
    pub own: RemoteReadSettings,
    #[serde(flatten)]
    pub http: HttpClientConfig,
}

/// The fields of such a store that are its own.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
#[expect(missing_docs, reason = "the fields are upstream's, one for one, and its documentation holds")]
pub struct RemoteReadSettings {
    #[serde(deserialize_with = "null_as_zero")]
    pub url: String,
    pub remote_timeout: DurationMs,
    pub chunked_read_limit: u64,
    #[serde(deserialize_with = "null_as_zero", skip_serializing_if = "is_zero")]
    pub headers: BTreeMap<String, String>,
    #[serde(deserialize_with = "null_as_zero", skip_serializing_if = "is_zero")]
    pub read_recent: bool,
    #[serde(deserialize_with = "null_as_zero", skip_serializing_if = "is_zero")]
    pub name: String,
    #[serde(deserialize_with = "null_as_zero", skip_serializing_if = "is_zero")]
    pub required_matchers: BTreeMap<String, String>,
    pub filter_external_labels: bool,
}

impl Default for RemoteReadSettings {
    fn default() -> Self {
        Self {
            url: String::new(),
            remote_timeout: DurationMs(60_000),
            chunked_read_limit: 50_000_000,
            headers: BTreeMap::new(),
            read_recent: false,
            name: String::new(),
            required_matchers: BTreeMap::new(),
            filter_external_labels: true,
        }
    }
}

fn write_rules<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<RelabelConfig>, D::Error> {
    list_without_nulls(deserializer, "empty or null relabeling rule in remote write config")
}

impl<'de> Deserialize<'de> for RemoteWriteConfig {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        // HTTP/2 is off by default for this one client.
        let http = HttpClientConfig { enable_http2: false, ..HttpClientConfig::default() };
        deserialize_with_inline(deserializer, "a remote write config", http, |own, http| {
            let mut config = Self { own, http };
            config.check().map(|()| config)
        })
    }
}

impl<'de> Deserialize<'de> for RemoteReadConfig {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let http = HttpClientConfig::default();
        deserialize_with_inline(deserializer, "a remote read config", http, |own, http| {
            let mut config = Self { own, http };
            config.check().map(|()| config)
        })
    }
}

fn check_url(section: &str, url: &str) -> Result<(), String> {
    if url.is_empty() {
        return Err(format!("url for {section} is empty"));
    }
    reqwest::Url::parse(url).map(drop).map_err(|error| format!("url for {section}: {error}"))
}

fn check_headers(headers: &BTreeMap<String, String>) -> Result<(), String> {
    for header in headers.keys() {
        let lower = header.to_ascii_lowercase();
        if lower == "authorization" {
            return Err("authorization header must be changed via the basic_auth, authorization, oauth2, sigv4, azuread or google_iam parameter".to_owned());
        }
        if HEADERS_RESERVED.contains(&lower.as_str()) {
            return Err(format!("{header} is a reserved header. It must not be changed"));
        }
    }
    Ok(())
}

impl RemoteReadConfig {
    fn check(&mut self) -> Result<(), String> {
        check_url("remote_read", &self.own.url)?;
        check_headers(&self.own.headers)?;
        self.http.validate().map_err(|error| error.to_string())
    }
}

impl RemoteWriteConfig {
    fn check(&mut self) -> Result<(), String> {
        check_url("remote_write", &self.own.url)?;
        check_headers(&self.own.headers)?;
        let message = &self.own.protobuf_message;
        if !MESSAGES.contains(&message.as_str()) {
            return Err(format!(
                "invalid protobuf_message value: unknown type for remote write protobuf message {message}, supported: {}",
                MESSAGES.join(", ")
            ));
        }
        // Old bearer tokens count as authorization, so they are moved there first.
        self.http.validate().map_err(|error| error.to_string())?;
        self.own.queue_config.check()?;
        self.check_one_authentication()
    }

    fn check_one_authentication(&self) -> Result<(), String> {
        let configured: Vec<&str> = [
            ("basic_auth", self.http.basic_auth.is_some()),
            ("authorization", self.http.authorization.is_some()),
            ("oauth2", self.http.oauth2.is_some()),
            ("sigv4", self.own.sigv4.is_some()),
            ("azuread", self.own.azuread.is_some()),
            ("google_iam", self.own.google_iam.is_some()),
        ]
        .into_iter()
        .filter_map(|(name, is_set)| is_set.then_some(name))
        .collect();
        if configured.len() > 1 {
            return Err(format!(
                "at most one of basic_auth, authorization, oauth2, sigv4, azuread or google_iam must be configured. Currently configured: [{}]",
                configured.join(" ")
            ));
        }
        Ok(())
    }

    /// A setting without which requests would go out other than the receiver expects, and that is not served.
    pub(super) fn unsendable(&self) -> Option<&'static str> {
        let settings = [
            ("oauth2", self.http.oauth2.is_some()),
            ("sigv4", self.own.sigv4.is_some()),
            ("azuread", self.own.azuread.is_some()),
            ("google_iam", self.own.google_iam.is_some()),
        ];
        settings.into_iter().find(|(_, is_set)| *is_set).map(|(name, _)| name)
    }

    /// Settings that are read and not acted on.
    pub fn unserved(&self) -> Vec<String> {
        let mut unserved = self.http.unserved();
        let settings = [
            ("round_robin_dns", self.own.round_robin_dns),
            ("failed_request_logging", self.own.failed_request_logging),
        ];
        unserved.extend(settings.into_iter().filter(|(_, is_set)| *is_set).map(|(name, _)| name.to_owned()));
        unserved
    }

    /// Checks the rules, with the names that `validation` allows.
    pub fn validate(&mut self, validation: NameValidation) -> Result<(), String> {
        for rule in &mut self.own.write_relabel_configs {
            rule.validate(validation).map_err(|error| error.to_string())?;
        }
        Ok(())
    }

    /// Relative paths are those of `folder`.
    pub fn set_folder(&mut self, folder: &Path) {
        self.http.set_folder(folder);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn write(text: &str) -> Result<RemoteWriteConfig, String> {
        serde_saphyr::from_str(text).map_err(|error: serde_saphyr::Error| error.to_string())
    }

    #[test]
    fn a_receiver_has_upstreams_defaults() {
        let config = write("url: http://a/api/v1/write").expect("a URL is enough");
        assert_eq!(config.own.queue_config, QueueConfig::default());
        assert!(!config.http.enable_http2 && config.own.metadata_config.send);
        let config =
            write("{url: 'http://a', queue_config: {max_shards: 3}, bearer_token: x}").expect("sound");
        assert_eq!((config.own.queue_config.max_shards, config.own.queue_config.capacity), (3, 10_000));
    }

    #[test]
    fn wrong_receivers_are_refused() {
        for (text, message) in [
            ("{}", "url for remote_write is empty"),
            ("url: 'no url'", "url for remote_write"),
            ("{url: 'http://a', headers: {Authorization: x}}", "authorization header must be changed"),
            ("{url: 'http://a', headers: {host: x}}", "host is a reserved header"),
            ("{url: 'http://a', protobuf_message: x}", "invalid protobuf_message value"),
            ("{url: 'http://a', queue_config: {min_shards: 60}}", "min_shards must not be greater"),
            ("{url: 'http://a', sigv4: {}, azuread: {}}", "Currently configured: [sigv4 azuread]"),
            ("{url: 'http://a', urls: x}", "urls"),
        ] {
            let error = write(text).expect_err(text);
            assert!(error.contains(message), "{text}: {error}");
        }
    }

    #[test]
    fn stores_to_read_from_are_checked() {
        let read = |text: &str| serde_saphyr::from_str::<RemoteReadConfig>(text).map_err(|e| e.to_string());
        assert!(read("url: http://a").is_ok_and(|config| config.own.filter_external_labels));
        assert!(read("{}").is_err_and(|error| error.contains("url for remote_read is empty")));
        assert!(read("{url: 'http://a', queue_config: {}}").is_err());
    }
}
