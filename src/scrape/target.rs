//! From discovered labels to a target.

use reqwest::Url;

use super::config::ScrapeConfig;
use crate::discovery::{LabelMap, check_address};
use crate::model::{DurationError, Labels, LabelsBuilder, LabelsError, parse_duration};
use crate::relabel;
use crate::setting::DurationMs;

/// Labels that configure a target and are not stored with its samples start so.
pub(super) const RESERVED_PREFIX: &str = "__";
const META_PREFIX: &str = "__meta_";
const PARAM_PREFIX: &str = "__param_";
const ADDRESS: &str = "__address__";
const SCHEME: &str = "__scheme__";
const METRICS_PATH: &str = "__metrics_path__";
const SCRAPE_INTERVAL: &str = "__scrape_interval__";
const SCRAPE_TIMEOUT: &str = "__scrape_timeout__";
const UNIX_SOCKET: &str = "__unix_socket__";
const JOB: &str = "job";
const INSTANCE: &str = "instance";
/// Labels that choose how histograms are read, with upstream's words for them.
const HISTOGRAM_SWITCHES: [(&str, &str); 3] = [
    ("__convert_classic_histograms_to_nhcb__", "convert classic histograms to nhcb"),
    ("__always_scrape_classic_histograms__", "always scrape classic histograms"),
    ("__scrape_native_histograms__", "scrape native histograms"),
];

/// Why discovered labels make no target; the texts are upstream's.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum TargetError {
    /// No address.
    #[error("no address")]
    NoAddress,
    /// An address that is a URL, or nothing at all.
    #[error("{0:?} is not a valid hostname")]
    Address(String),
    /// An interval or timeout that is none.
    #[error("error parsing scrape {what}: {error}")]
    Duration {
        /// `interval` or `timeout`.
        what: &'static str,
        /// What is wrong.
        error: DurationError,
    },
    /// An interval or timeout of nothing.
    #[error("scrape {0} cannot be 0")]
    Zero(&'static str),
    /// A timeout above the interval.
    #[error("scrape timeout cannot be greater than scrape interval ({timeout:?} > {interval:?})")]
    Timeout {
        /// The timeout.
        timeout: String,
        /// The interval.
        interval: String,
    },
    /// A switch that is neither true nor false.
    #[error("error parsing {what}: strconv.ParseBool: parsing {value:?}: invalid syntax")]
    Switch {
        /// Which one.
        what: &'static str,
        /// What it says.
        value: String,
    },
    /// Labels that make no set.
    #[error(transparent)]
    Labels(#[from] LabelsError),
}

/// What is scraped: fixed when it is found.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Target {
    /// All labels after relabelling, those with two underscores too.
    pub(super) labels: Labels,
    /// What is asked for.
    pub(super) url: Url,
    /// The same as upstream prints it: with the port also where it is the usual one.
    pub(super) shown_url: String,
    pub(super) interval: DurationMs,
    pub(super) timeout: DurationMs,
    /// Socket to connect to in place of the address.
    pub(super) unix_socket: Option<String>,
}

impl Target {
    /// The labels that its samples get.
    pub(super) fn public_labels(&self) -> Labels {
        self.labels.without(|name| name.starts_with(RESERVED_PREFIX))
    }

    /// Spreads targets over the interval, the same at each start.
    pub(super) fn hash(&self) -> u64 {
        self.labels.hash64() ^ xxhash_rust::xxh64::xxh64(self.shown_url.as_bytes(), 0)
    }
}

/// A target's labels before any rule.
pub(super) fn discovered_labels(config: &ScrapeConfig, target: &LabelMap, group: &LabelMap) -> LabelsBuilder {
    let mut labels = LabelsBuilder::default();
    for (name, value) in group.iter().chain(target) {
        labels.set(name, value);
    }
    let own = &config.own;
    let flag = |value: Option<bool>| value.unwrap_or_default().to_string();
    let defaults = [
        (JOB, own.job_name.clone()),
        (SCRAPE_INTERVAL, own.scrape_interval.to_string()),
        (SCRAPE_TIMEOUT, own.scrape_timeout.to_string()),
        (METRICS_PATH, own.metrics_path.clone()),
        (SCHEME, own.scheme.clone()),
        (HISTOGRAM_SWITCHES[0].0, flag(own.convert_classic_histograms_to_nhcb)),
        (HISTOGRAM_SWITCHES[1].0, flag(own.always_scrape_classic_histograms)),
        (HISTOGRAM_SWITCHES[2].0, flag(own.scrape_native_histograms)),
    ];
    for (name, value) in &defaults {
        set_if_missing(&mut labels, name, value);
    }
    for (name, values) in &own.params {
        if let Some(first) = values.first() {
            set_if_missing(&mut labels, &format!("{PARAM_PREFIX}{name}"), first);
        }
    }
    labels
}

fn set_if_missing(labels: &mut LabelsBuilder, name: &str, value: &str) {
    if labels.get(name).is_empty() {
        labels.set(name, value);
    }
}

/// The target that discovered labels make, or `None` where a rule drops it.
pub(super) fn make_target(
    config: &ScrapeConfig,
    discovered: &LabelsBuilder,
) -> Result<Option<Target>, TargetError> {
    let mut labels = discovered.clone();
    if !relabel::apply(&config.own.relabel_configs, &mut labels) {
        return Ok(None);
    }
    let address = labels.get(ADDRESS).to_owned();
    if address.is_empty() {
        return Err(TargetError::NoAddress);
    }
    check_address(&address).map_err(|_| TargetError::Address(address.clone()))?;
    let (interval, timeout) = times_of(&labels)?;
    check_switches(&labels)?;
    let meta: Vec<String> = labels
        .pairs()
        .map(|(name, _)| name)
        .filter(|n| n.starts_with(META_PREFIX))
        .map(str::to_owned)
        .collect();
    for name in meta {
        labels.remove(&name);
    }
    set_if_missing(&mut labels, INSTANCE, &address);
    let labels = labels.build()?;
    let (url, shown_url) = url_of(config, &labels, &address)?;
    let unix_socket = labels.get(UNIX_SOCKET).map(str::to_owned);
    Ok(Some(Target { labels, url, shown_url, interval, timeout, unix_socket }))
}

fn times_of(labels: &LabelsBuilder) -> Result<(DurationMs, DurationMs), TargetError> {
    let read = |name, what| {
        let ms = parse_duration(labels.get(name)).map_err(|error| TargetError::Duration { what, error })?;
        if ms == 0 { Err(TargetError::Zero(what)) } else { Ok(DurationMs(ms)) }
    };
    let interval = read(SCRAPE_INTERVAL, "interval")?;
    let timeout = read(SCRAPE_TIMEOUT, "timeout")?;
    if timeout > interval {
        return Err(TargetError::Timeout {
            timeout: labels.get(SCRAPE_TIMEOUT).to_owned(),
            interval: labels.get(SCRAPE_INTERVAL).to_owned(),
        });
    }
    Ok((interval, timeout))
}

/// The switches must be truth values in Go's spelling.
fn check_switches(labels: &LabelsBuilder) -> Result<(), TargetError> {
    const SPELLINGS: [&str; 13] =
        ["", "1", "t", "T", "true", "TRUE", "True", "0", "f", "F", "false", "FALSE", "False"];
    for (name, what) in HISTOGRAM_SWITCHES {
        let value = labels.get(name);
        if !SPELLINGS.contains(&value) {
            return Err(TargetError::Switch { what, value: value.to_owned() });
        }
    }
    Ok(())
}

/// The URL to ask for, and as upstream prints it.
fn url_of(config: &ScrapeConfig, labels: &Labels, address: &str) -> Result<(Url, String), TargetError> {
    let scheme = labels.get(SCHEME).unwrap_or("http");
    let bad_address = || TargetError::Address(address.to_owned());
    let mut url = Url::parse(&format!("{scheme}://{address}/")).map_err(|_| bad_address())?;
    if url.cannot_be_a_base() || !url.has_host() {
        return Err(bad_address());
    }
    url.set_path(labels.get(METRICS_PATH).unwrap_or_default());
    let mut params = config.own.params.clone();
    for label in labels.iter() {
        let Some(name) = label.name.strip_prefix(PARAM_PREFIX) else { continue };
        let values = params.entry(name.to_owned()).or_default();
        match values.first_mut() {
            Some(first) => label.value.clone_into(first),
            None => values.push(label.value.to_owned()),
        }
    }
    let pairs: Vec<(&str, &str)> = params
        .iter()
        .flat_map(|(name, values)| values.iter().map(move |value| (name.as_str(), value.as_str())))
        .collect();
    if !pairs.is_empty() {
        url.query_pairs_mut().extend_pairs(pairs);
    }
    let query = url.query().map(|query| format!("?{query}")).unwrap_or_default();
    let shown = format!("{scheme}://{address}{}{query}", url.path());
    Ok((url, shown))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scrape::ScrapeDefaults;

    fn job(text: &str) -> ScrapeConfig {
        let mut job: ScrapeConfig = serde_saphyr::from_str(text).expect("job is sound");
        job.validate(&ScrapeDefaults::default()).expect("job is sound");
        job
    }

    fn target(job: &ScrapeConfig, own: &[(&str, &str)]) -> Result<Option<Target>, TargetError> {
        let own = own.iter().map(|(n, v)| ((*n).to_owned(), (*v).to_owned())).collect();
        let group = [("rack".to_owned(), "1".to_owned())].into();
        make_target(job, &discovered_labels(job, &own, &group))
    }

    #[test]
    fn a_target_has_job_and_instance() {
        let found = target(&job("job_name: node"), &[(ADDRESS, "h:9100"), ("__meta_x", "y")]);
        let found = found.expect("labels are sound").expect("nothing drops it");
        assert_eq!(found.public_labels().to_string(), r#"{instance="h:9100", job="node", rack="1"}"#);
        assert_eq!(found.labels.get("__meta_x"), None);
        assert_eq!(found.labels.get(SCRAPE_INTERVAL), Some("1m"));
        assert_eq!(found.shown_url, "http://h:9100/metrics");
        let own = [(ADDRESS, "h:80"), (JOB, "mine"), (INSTANCE, "i"), ("rack", "2")];
        let found =
            target(&job("job_name: node"), &own).expect("labels are sound").expect("nothing drops it");
        assert_eq!(found.public_labels().to_string(), r#"{instance="i", job="mine", rack="2"}"#);
        assert_eq!(found.shown_url, "http://h:80/metrics");
    }

    #[test]
    fn rules_may_change_everything_about_the_request() {
        let job = job("job_name: probe
metrics_path: /probe
params: {module: [http_2xx, second], debug: ['true']}
relabel_configs:
- {source_labels: [__address__], target_label: __param_target}
- {source_labels: [__param_target], target_label: instance}
- {target_label: __address__, replacement: 'blackbox:9115'}
- {target_label: __scheme__, replacement: https}
- {target_label: __scrape_timeout__, replacement: 2s}
- {source_labels: [instance], regex: drop.*, action: drop}
");
        let found =
            target(&job, &[(ADDRESS, "a b&c:1")]).expect("labels are sound").expect("nothing drops it");
        assert_eq!(
            found.shown_url,
            "https://blackbox:9115/probe?debug=true&module=http_2xx&module=second&target=a+b%26c%3A1"
        );
        assert_eq!((found.interval, found.timeout), (DurationMs(60_000), DurationMs(2_000)));
        assert_eq!(found.labels.get(INSTANCE), Some("a b&c:1"));
        assert_eq!(target(&job, &[(ADDRESS, "drop:1")]), Ok(None));
    }

    #[test]
    fn what_makes_no_target_is_said_in_upstreams_words() {
        let job = job("job_name: a");
        for (labels, message) in [
            (&[("x", "y")][..], "no address"),
            (&[(ADDRESS, "http://h/")], "\"http://h/\" is not a valid hostname"),
            (
                &[(ADDRESS, "h"), (SCRAPE_INTERVAL, "1")],
                "error parsing scrape interval: not a valid duration string: \"1\"",
            ),
            (&[(ADDRESS, "h"), (SCRAPE_TIMEOUT, "0s")], "scrape timeout cannot be 0"),
            (
                &[(ADDRESS, "h"), (SCRAPE_TIMEOUT, "2m")],
                "scrape timeout cannot be greater than scrape interval (\"2m\" > \"1m\")",
            ),
            (
                &[(ADDRESS, "h"), (HISTOGRAM_SWITCHES[2].0, "yes")],
                "error parsing scrape native histograms: strconv.ParseBool: parsing \"yes\": invalid syntax",
            ),
        ] {
            assert_eq!(target(&job, labels).map_err(|error| error.to_string()), Err(message.to_owned()));
        }
    }
}
