//! `<scrape_config>`: a job.

use std::collections::BTreeMap;
use std::path::Path;

use serde::{Deserialize, Deserializer, Serialize};

use crate::discovery::{DiscoveryConfigError, DiscoveryConfigs};
use crate::ingest::exposition::{EscapingScheme, ScrapeProtocol};
use crate::net::{HttpClientConfig, NetConfigError};
use crate::relabel::{RelabelConfig, RelabelError};
use crate::setting::{
    ByteSize, DurationMs, NameValidation, deserialize_with_inline, is_zero, join_folder, list_without_nulls,
    null_as_zero,
};

/// Why a job cannot run; the texts are upstream's.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ScrapeConfigError {
    /// A job without a name.
    #[error("job_name is empty")]
    JobName,
    /// A timeout above the interval.
    #[error("scrape timeout greater than scrape interval for scrape config with job name {0:?}")]
    Timeout(String),
    /// No format at all.
    #[error("scrape_protocols cannot be empty for scrape config with job name {0:?}")]
    NoProtocol(String),
    /// A format twice.
    #[error(
        "duplicated protocol in scrape_protocols, got [{protocols}] for scrape config with job name {job:?}"
    )]
    DuplicateProtocol {
        /// All of them.
        protocols: String,
        /// The job.
        job: String,
    },
    /// UTF-8 names asked for where they are not allowed.
    #[error("utf8 metric names requested but validation scheme is not set to UTF8")]
    Escaping,
    /// A null in the place of a rule.
    #[error("empty or null {0} relabeling rule in scrape config")]
    NullRule(&'static str),
    /// A rule of `relabel_configs` or `metric_relabel_configs`.
    #[error(transparent)]
    Relabel(#[from] RelabelError),
    /// The HTTP client.
    #[error(transparent)]
    Net(#[from] NetConfigError),
    /// Discovery.
    #[error(transparent)]
    Discovery(#[from] DiscoveryConfigError),
}

/// What jobs take over from the `global` section where they say nothing themselves.
#[derive(Clone, Debug, PartialEq)]
#[expect(missing_docs, reason = "the fields are those of ScrapeConfig")]
pub struct ScrapeDefaults {
    pub scrape_interval: DurationMs,
    pub scrape_timeout: DurationMs,
    /// `None` where nothing is configured.
    pub scrape_protocols: Option<Vec<ScrapeProtocol>>,
    pub scrape_failure_log_file: String,
    pub body_size_limit: ByteSize,
    pub sample_limit: u64,
    pub target_limit: u64,
    pub label_limit: u64,
    pub label_name_length_limit: u64,
    pub label_value_length_limit: u64,
    pub keep_dropped_targets: u64,
    pub metric_name_validation_scheme: NameValidation,
    /// `None` where nothing is configured.
    pub metric_name_escaping_scheme: Option<EscapingScheme>,
    pub scrape_native_histograms: bool,
    pub convert_classic_histograms_to_nhcb: bool,
    pub always_scrape_classic_histograms: bool,
    pub extra_scrape_metrics: bool,
}

impl Default for ScrapeDefaults {
    fn default() -> Self {
        Self {
            scrape_interval: DurationMs(60_000),
            scrape_timeout: DurationMs(10_000),
            scrape_protocols: None,
            scrape_failure_log_file: String::new(),
            body_size_limit: ByteSize(0),
            sample_limit: 0,
            target_limit: 0,
            label_limit: 0,
            label_name_length_limit: 0,
            label_value_length_limit: 0,
            keep_dropped_targets: 0,
            metric_name_validation_scheme: NameValidation::Utf8,
            metric_name_escaping_scheme: None,
            scrape_native_histograms: false,
            convert_classic_histograms_to_nhcb: false,
            always_scrape_classic_histograms: false,
            extra_scrape_metrics: false,
        }
    }
}

/// A job: `<scrape_config>` with all fields of Prometheus 3.14. Usable once [`Self::validate`] has filled it.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[expect(missing_docs, reason = "the fields are upstream's, one for one, and its documentation holds")]
pub struct ScrapeConfig {
    #[serde(flatten)]
    pub own: ScrapeSettings,
    #[serde(flatten)]
    pub http: HttpClientConfig,
    #[serde(flatten)]
    pub discovery: DiscoveryConfigs,
}

/// The fields of a job that are its own, without those of the HTTP client and of discovery.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
#[expect(missing_docs, reason = "the fields are upstream's, one for one, and its documentation holds")]
pub struct ScrapeSettings {
    #[serde(deserialize_with = "null_as_zero")]
    pub job_name: String,
    #[serde(deserialize_with = "null_as_zero", skip_serializing_if = "is_zero")]
    pub honor_labels: bool,
    #[serde(deserialize_with = "null_as_zero")]
    pub honor_timestamps: bool,
    #[serde(deserialize_with = "null_as_zero")]
    pub track_timestamps_staleness: bool,
    #[serde(deserialize_with = "null_as_zero", skip_serializing_if = "is_zero")]
    pub params: BTreeMap<String, Vec<String>>,
    #[serde(deserialize_with = "null_as_zero", skip_serializing_if = "is_zero")]
    pub scrape_interval: DurationMs,
    #[serde(deserialize_with = "null_as_zero", skip_serializing_if = "is_zero")]
    pub scrape_timeout: DurationMs,
    #[serde(skip_serializing_if = "is_zero")]
    pub scrape_protocols: Option<Vec<ScrapeProtocol>>,
    #[serde(skip_serializing_if = "is_zero")]
    pub fallback_scrape_protocol: Option<ScrapeProtocol>,
    #[serde(skip_serializing_if = "is_zero")]
    pub scrape_native_histograms: Option<bool>,
    #[serde(skip_serializing_if = "is_zero")]
    pub always_scrape_classic_histograms: Option<bool>,
    #[serde(skip_serializing_if = "is_zero")]
    pub convert_classic_histograms_to_nhcb: Option<bool>,
    #[serde(deserialize_with = "null_as_zero", skip_serializing_if = "is_zero")]
    pub scrape_failure_log_file: String,
    #[serde(deserialize_with = "null_as_zero", skip_serializing_if = "is_zero")]
    pub metrics_path: String,
    #[serde(deserialize_with = "null_as_zero", skip_serializing_if = "is_zero")]
    pub scheme: String,
    #[serde(deserialize_with = "null_as_zero")]
    pub enable_compression: bool,
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
    pub native_histogram_bucket_limit: u64,
    #[serde(deserialize_with = "null_as_zero", skip_serializing_if = "is_zero")]
    pub native_histogram_min_bucket_factor: f64,
    #[serde(deserialize_with = "null_as_zero", skip_serializing_if = "is_zero")]
    pub keep_dropped_targets: u64,
    #[serde(skip_serializing_if = "is_zero")]
    pub metric_name_validation_scheme: Option<NameValidation>,
    #[serde(skip_serializing_if = "is_zero")]
    pub metric_name_escaping_scheme: Option<EscapingScheme>,
    #[serde(skip_serializing_if = "is_zero")]
    pub extra_scrape_metrics: Option<bool>,
    #[serde(deserialize_with = "target_rules", skip_serializing_if = "Vec::is_empty")]
    pub relabel_configs: Vec<RelabelConfig>,
    #[serde(deserialize_with = "metric_rules", skip_serializing_if = "Vec::is_empty")]
    pub metric_relabel_configs: Vec<RelabelConfig>,
}

impl Default for ScrapeSettings {
    fn default() -> Self {
        Self {
            job_name: String::new(),
            honor_labels: false,
            honor_timestamps: true,
            track_timestamps_staleness: false,
            params: BTreeMap::new(),
            scrape_interval: DurationMs(0),
            scrape_timeout: DurationMs(0),
            scrape_protocols: None,
            fallback_scrape_protocol: None,
            scrape_native_histograms: None,
            always_scrape_classic_histograms: None,
            convert_classic_histograms_to_nhcb: None,
            scrape_failure_log_file: String::new(),
            metrics_path: "/metrics".to_owned(),
            scheme: "http".to_owned(),
            enable_compression: true,
            body_size_limit: ByteSize(0),
            sample_limit: 0,
            target_limit: 0,
            label_limit: 0,
            label_name_length_limit: 0,
            label_value_length_limit: 0,
            native_histogram_bucket_limit: 0,
            native_histogram_min_bucket_factor: 0.0,
            keep_dropped_targets: 0,
            metric_name_validation_scheme: None,
            metric_name_escaping_scheme: None,
            extra_scrape_metrics: None,
            relabel_configs: Vec::new(),
            metric_relabel_configs: Vec::new(),
        }
    }
}

/// What is asked for where nothing is configured.
const fn default_escaping(validation: NameValidation) -> EscapingScheme {
    match validation {
        NameValidation::Utf8 => EscapingScheme::AllowUtf8,
        NameValidation::Legacy => EscapingScheme::Underscores,
    }
}

fn rules<'de, D: Deserializer<'de>>(
    deserializer: D,
    kind: &'static str,
) -> Result<Vec<RelabelConfig>, D::Error> {
    list_without_nulls(deserializer, &ScrapeConfigError::NullRule(kind).to_string())
}

fn target_rules<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<RelabelConfig>, D::Error> {
    rules(deserializer, "target")
}

fn metric_rules<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<RelabelConfig>, D::Error> {
    rules(deserializer, "metric")
}

impl<'de> Deserialize<'de> for ScrapeConfig {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let inline = (HttpClientConfig::default(), DiscoveryConfigs::default());
        deserialize_with_inline(deserializer, "a scrape config", inline, |own, (http, discovery)| {
            let mut config = Self { own, http, discovery };
            config.check_alone().map(|()| config)
        })
    }
}

impl ScrapeConfig {
    /// A job with upstream's defaults, not yet filled from the global section.
    pub fn new(job_name: &str) -> Self {
        Self {
            own: ScrapeSettings { job_name: job_name.to_owned(), ..ScrapeSettings::default() },
            http: HttpClientConfig::default(),
            discovery: DiscoveryConfigs::default(),
        }
    }

    /// What can be checked without the global section.
    fn check_alone(&mut self) -> Result<(), ScrapeConfigError> {
        if self.own.job_name.is_empty() {
            return Err(ScrapeConfigError::JobName);
        }
        self.http.validate()?;
        if self.own.relabel_configs.is_empty() {
            self.discovery.check_addresses()?;
        }
        for (index, group) in self.discovery.static_configs.iter_mut().enumerate() {
            group.source = index.to_string();
        }
        Ok(())
    }

    /// Fills what the job does not say from `defaults`, and checks the whole.
    pub fn validate(&mut self, defaults: &ScrapeDefaults) -> Result<(), ScrapeConfigError> {
        self.check_alone()?;
        self.own.fill_times(defaults)?;
        self.own.fill_limits(defaults);
        self.own.fill_names(defaults)?;
        self.own.fill_formats(defaults)?;
        let validation = self.own.name_validation();
        let own = &mut self.own;
        for rule in own.relabel_configs.iter_mut().chain(&mut own.metric_relabel_configs) {
            rule.validate(validation)?;
        }
        Ok(())
    }

    /// Makes relative file names start at `folder`.
    pub fn set_folder(&mut self, folder: &Path) {
        self.discovery.set_folder(folder);
        self.http.set_folder(folder);
        join_folder(folder, &mut self.own.scrape_failure_log_file);
    }

    /// Settings that are read and not acted on, by their names in the file.
    pub fn unserved(&self) -> Vec<String> {
        let mut unserved = self.http.unserved();
        unserved.extend(self.discovery.unserved());
        unserved.extend(self.own.unserved().into_iter().map(str::to_owned));
        unserved
    }
}

impl ScrapeSettings {
    fn fill_times(&mut self, defaults: &ScrapeDefaults) -> Result<(), ScrapeConfigError> {
        if self.scrape_interval == DurationMs(0) {
            self.scrape_interval = defaults.scrape_interval;
        }
        if self.scrape_timeout > self.scrape_interval {
            return Err(ScrapeConfigError::Timeout(self.job_name.clone()));
        }
        if self.scrape_timeout == DurationMs(0) {
            self.scrape_timeout = defaults.scrape_timeout.min(self.scrape_interval);
        }
        Ok(())
    }

    fn fill_limits(&mut self, defaults: &ScrapeDefaults) {
        if self.body_size_limit == ByteSize(0) {
            self.body_size_limit = defaults.body_size_limit;
        }
        if self.scrape_failure_log_file.is_empty() {
            self.scrape_failure_log_file.clone_from(&defaults.scrape_failure_log_file);
        }
        for (limit, default) in [
            (&mut self.sample_limit, defaults.sample_limit),
            (&mut self.target_limit, defaults.target_limit),
            (&mut self.label_limit, defaults.label_limit),
            (&mut self.label_name_length_limit, defaults.label_name_length_limit),
            (&mut self.label_value_length_limit, defaults.label_value_length_limit),
            (&mut self.keep_dropped_targets, defaults.keep_dropped_targets),
        ] {
            if *limit == 0 {
                *limit = default;
            }
        }
        self.scrape_native_histograms.get_or_insert(defaults.scrape_native_histograms);
        self.extra_scrape_metrics.get_or_insert(defaults.extra_scrape_metrics);
        self.convert_classic_histograms_to_nhcb.get_or_insert(defaults.convert_classic_histograms_to_nhcb);
        self.always_scrape_classic_histograms.get_or_insert(defaults.always_scrape_classic_histograms);
    }

    /// A job that sets only its validation takes its escaping from that, not from the global section.
    fn fill_names(&mut self, defaults: &ScrapeDefaults) -> Result<(), ScrapeConfigError> {
        let escaping = match self.metric_name_validation_scheme {
            Some(validation) => default_escaping(validation),
            None => defaults
                .metric_name_escaping_scheme
                .unwrap_or(default_escaping(defaults.metric_name_validation_scheme)),
        };
        let validation =
            *self.metric_name_validation_scheme.get_or_insert(defaults.metric_name_validation_scheme);
        let escaping = *self.metric_name_escaping_scheme.get_or_insert(escaping);
        if escaping == EscapingScheme::AllowUtf8 && validation != NameValidation::Utf8 {
            return Err(ScrapeConfigError::Escaping);
        }
        Ok(())
    }

    fn fill_formats(&mut self, defaults: &ScrapeDefaults) -> Result<(), ScrapeConfigError> {
        let protocols = self.scrape_protocols.get_or_insert_with(|| match &defaults.scrape_protocols {
            Some(protocols) => protocols.clone(),
            None if self.scrape_native_histograms == Some(true) => {
                [&[ScrapeProtocol::PrometheusProto][..], &ScrapeProtocol::DEFAULT].concat()
            }
            None => ScrapeProtocol::DEFAULT.to_vec(),
        });
        if protocols.is_empty() {
            return Err(ScrapeConfigError::NoProtocol(self.job_name.clone()));
        }
        let is_repeated = |(index, protocol)| protocols[..index].contains(protocol);
        if protocols.iter().enumerate().any(is_repeated) {
            let names: Vec<&str> = protocols.iter().map(|protocol| protocol.name()).collect();
            return Err(ScrapeConfigError::DuplicateProtocol {
                protocols: names.join(" "),
                job: self.job_name.clone(),
            });
        }
        Ok(())
    }

    /// Which names are allowed.
    pub fn name_validation(&self) -> NameValidation {
        self.metric_name_validation_scheme.unwrap_or_default()
    }

    /// How names are asked for.
    pub fn escaping(&self) -> EscapingScheme {
        self.metric_name_escaping_scheme.unwrap_or(default_escaping(self.name_validation()))
    }

    fn unserved(&self) -> Vec<&'static str> {
        let is_proto_wanted =
            self.scrape_protocols.iter().flatten().any(|p| *p == ScrapeProtocol::PrometheusProto);
        let settings = [
            ("scrape_protocols: PrometheusProto", is_proto_wanted),
            (
                "fallback_scrape_protocol: PrometheusProto",
                self.fallback_scrape_protocol == Some(ScrapeProtocol::PrometheusProto),
            ),
            ("scrape_native_histograms", self.scrape_native_histograms == Some(true)),
            ("convert_classic_histograms_to_nhcb", self.convert_classic_histograms_to_nhcb == Some(true)),
            ("native_histogram_bucket_limit", self.native_histogram_bucket_limit != 0),
            ("native_histogram_min_bucket_factor", self.native_histogram_min_bucket_factor != 0.0),
            ("scrape_failure_log_file", !self.scrape_failure_log_file.is_empty()),
        ];
        settings.into_iter().filter(|(_, is_set)| *is_set).map(|(name, _)| name).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<ScrapeConfig, String> {
        let mut config: ScrapeConfig = serde_saphyr::from_str(text).map_err(|error| error.to_string())?;
        config.validate(&ScrapeDefaults::default()).map_err(|error| error.to_string())?;
        Ok(config)
    }

    #[test]
    fn a_small_job_gets_upstreams_defaults() {
        let job =
            read("job_name: node\nstatic_configs:\n- targets: ['localhost:9100']\n").expect("job is sound");
        assert_eq!(
            (job.own.scrape_interval, job.own.scrape_timeout),
            (DurationMs(60_000), DurationMs(10_000))
        );
        assert_eq!((job.own.metrics_path.as_str(), job.own.scheme.as_str()), ("/metrics", "http"));
        assert!(job.own.honor_timestamps && job.own.enable_compression && job.http.follow_redirects);
        assert_eq!(job.own.scrape_protocols.as_deref(), Some(&ScrapeProtocol::DEFAULT[..]));
        assert_eq!(job.discovery.static_configs[0].source, "0");
        assert!(job.unserved().is_empty());
        let short = read("{job_name: a, scrape_interval: 5s}").expect("job is sound");
        assert_eq!(short.own.scrape_timeout, DurationMs(5_000));
    }

    #[test]
    fn every_field_of_upstream_is_read() {
        let job = read(
            "job_name: all
honor_labels: true
honor_timestamps: false
track_timestamps_staleness: true
params: {module: [http_2xx], empty: []}
scrape_interval: 15s
scrape_timeout: 3s
scrape_protocols: [OpenMetricsText1.0.0, PrometheusText0.0.4]
fallback_scrape_protocol: PrometheusText1.0.0
scrape_native_histograms: true
always_scrape_classic_histograms: true
convert_classic_histograms_to_nhcb: true
scrape_failure_log_file: fails.log
metrics_path: /m
scheme: https
enable_compression: false
body_size_limit: 15MiB
sample_limit: 1
target_limit: 2
label_limit: 3
label_name_length_limit: 4
label_value_length_limit: 5
native_histogram_bucket_limit: 6
native_histogram_min_bucket_factor: 1.5
keep_dropped_targets: 7
metric_name_validation_scheme: legacy
metric_name_escaping_scheme: dots
extra_scrape_metrics: true
basic_auth: {username: u, password: 12345}
follow_redirects: no
enable_http2: false
tls_config: {insecure_skip_verify: true, min_version: TLS12}
proxy_url: http://proxy:3128
no_proxy: localhost
http_headers: {X-Scope: {values: [a], secrets: [b], files: [c]}}
file_sd_configs:
- files: [targets/*.json]
  refresh_interval: 1m
kubernetes_sd_configs:
- role: endpoints
  namespaces: {names: [monitoring]}
relabel_configs:
- {source_labels: [__address__], target_label: instance}
metric_relabel_configs:
- {source_labels: [__name__], regex: go_.*, action: drop}
",
        )
        .expect("job is sound");
        assert_eq!(job.http.basic_auth.as_ref().map(|basic| basic.password.expose()), Some("12345"));
        assert!(!job.http.follow_redirects);
        assert_eq!(job.own.body_size_limit, ByteSize(15 << 20));
        assert_eq!(
            job.unserved(),
            [
                "kubernetes_sd_configs",
                "scrape_native_histograms",
                "convert_classic_histograms_to_nhcb",
                "native_histogram_bucket_limit",
                "native_histogram_min_bucket_factor",
                "scrape_failure_log_file"
            ]
        );
        let printed = serde_saphyr::to_string(&job).expect("a job serializes");
        assert!(printed.contains("password: <secret>") && !printed.contains("12345"), "{printed}");
        assert!(
            printed.contains("refresh_interval: 1m") && printed.contains("scrape_interval: 15s"),
            "{printed}"
        );
    }

    #[test]
    fn what_is_wrong_is_named_in_upstreams_words() {
        for (text, message) in [
            ("scrape_interval: 5s", "job_name is empty"),
            (
                "{job_name: a, scrape_timeout: 2m}",
                "scrape timeout greater than scrape interval for scrape config with job name \"a\"",
            ),
            ("{job_name: a, scrape_interval: 5}", "not a valid duration string: \"5\""),
            (
                "{job_name: a, scrape_protocols: []}",
                "scrape_protocols cannot be empty for scrape config with job name \"a\"",
            ),
            (
                "{job_name: a, scrape_protocols: [PrometheusProto, PrometheusProto]}",
                "duplicated protocol in scrape_protocols, got [PrometheusProto PrometheusProto]",
            ),
            ("{job_name: a, scrape_protocols: [Text]}", "Text"),
            (
                "{job_name: a, metric_name_validation_scheme: legacy, metric_name_escaping_scheme: allow-utf-8}",
                "utf8 metric names requested",
            ),
            (
                "{job_name: a, static_configs: [{targets: ['http://h:1/']}]}",
                "\"http://h:1/\" is not a valid hostname",
            ),
            ("{job_name: a, static_configs: [~]}", "empty or null section in static_configs"),
            ("{job_name: a, relabel_configs: [~]}", "empty or null target relabeling rule in scrape config"),
            ("{job_name: a, relabel_configs: [{action: keepequal}]}", "requires 'target_label' value"),
            ("{job_name: a, file_sd_configs: [{files: [x.txt]}]}", "path name \"x.txt\" is not valid"),
            ("{job_name: a, basic_auth: {user: b}}", "user"),
            ("{job_name: a, scrape_intervall: 5s}", "scrape_intervall"),
        ] {
            let error = read(text).expect_err(text);
            assert!(error.contains(message), "{text}: {error}");
        }
    }

    #[test]
    fn jobs_take_over_global_settings() {
        let defaults = ScrapeDefaults {
            scrape_interval: DurationMs(5_000),
            sample_limit: 9,
            metric_name_validation_scheme: NameValidation::Legacy,
            extra_scrape_metrics: true,
            ..ScrapeDefaults::default()
        };
        let mut job: ScrapeConfig = serde_saphyr::from_str("job_name: a").expect("text is sound");
        job.validate(&defaults).expect("job is sound");
        assert_eq!((job.own.scrape_timeout, job.own.sample_limit), (DurationMs(5_000), 9));
        assert_eq!(job.own.escaping(), EscapingScheme::Underscores);
        assert_eq!(job.own.extra_scrape_metrics, Some(true));
    }

    /// Jobs as tutorials on GPU and model serving write them.
    #[test]
    fn jobs_of_the_field_are_read() {
        let jobs: Vec<ScrapeConfig> = serde_saphyr::from_str(
            "- job_name: \"ml-inference\"
  static_configs:
    - targets: [\"localhost:8000\"]
  relabel_configs:
    - source_labels: [__address__]
      target_label: instance
- job_name: \"dcgm-exporter\"
  kubernetes_sd_configs:
    - role: endpoints
      namespaces:
        names:
          - monitoring
  relabel_configs:
    - source_labels: [__meta_kubernetes_endpoints_name]
      regex: dcgm-exporter
      action: keep
",
        )
        .expect("jobs are sound");
        let unserved: Vec<Vec<String>> = jobs
            .into_iter()
            .map(|mut job| {
                job.validate(&ScrapeDefaults::default()).map(|()| job.unserved()).expect("job is sound")
            })
            .collect();
        assert_eq!(unserved, [vec![], vec!["kubernetes_sd_configs".to_owned()]]);
    }
}
