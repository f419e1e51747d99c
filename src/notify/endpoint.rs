//! From discovered targets to the URLs that alerts are sent to.

use std::collections::HashSet;

use reqwest::Url;

use super::config::{AlertmanagerConfig, AlertmanagerSettings};
use crate::discovery::{ADDRESS_LABEL, LabelMap, TargetGroup, check_address};
use crate::model::LabelsBuilder;
use crate::relabel;

const SCHEME_LABEL: &str = "__scheme__";
const PATH_LABEL: &str = "__alerts_path__";

/// Where one Alertmanager takes alerts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Endpoint {
    pub(super) url: Url,
    /// The URL as upstream prints it.
    pub(super) shown: String,
}

/// What discovery found, sorted out.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Found {
    /// Each once, in order.
    pub(super) active: Vec<Endpoint>,
    /// URLs of those that a rule dropped, before any rule.
    pub(super) dropped: Vec<String>,
}

/// The Alertmanagers of a group. A target that makes none is logged and left out.
pub(super) fn find<'a>(config: &AlertmanagerConfig, groups: impl Iterator<Item = &'a TargetGroup>) -> Found {
    let mut found = Found::default();
    let mut known = HashSet::new();
    for (group, target) in groups.flat_map(|group| group.targets.iter().map(move |t| (group, t))) {
        let mut labels = discovered_labels(&config.own, target, &group.labels);
        let before = shown_url(&labels);
        if !relabel::apply(&config.own.relabel_configs, &mut labels) {
            found.dropped.push(before);
            continue;
        }
        match endpoint(&labels) {
            Ok(endpoint) if known.insert(endpoint.shown.clone()) => found.active.push(endpoint),
            Ok(_) => {}
            Err(error) => tracing::error!(%error, "Creating discovered Alertmanagers failed"),
        }
    }
    found
}

/// The labels that rules see. The settings' scheme and path win over a target's own ones, and a group's over both.
fn discovered_labels(own: &AlertmanagerSettings, target: &LabelMap, of_group: &LabelMap) -> LabelsBuilder {
    let mut labels = LabelsBuilder::default();
    for (name, value) in target {
        labels.set(name, value);
    }
    labels.set(SCHEME_LABEL, &own.scheme);
    labels.set(PATH_LABEL, &alerts_path(&own.path_prefix));
    for (name, value) in of_group.iter().filter(|(name, _)| !target.contains_key(*name)) {
        labels.set(name, value);
    }
    labels
}

/// `/PREFIX/api/v2/alerts` with no empty part, no `.` and no `..` in it.
fn alerts_path(prefix: &str) -> String {
    let mut parts: Vec<&str> = Vec::new();
    for part in prefix.split('/').chain(["api", "v2", "alerts"]) {
        match part {
            "" | "." => {}
            ".." => drop(parts.pop()),
            part => parts.push(part),
        }
    }
    format!("/{}", parts.join("/"))
}

fn endpoint(labels: &LabelsBuilder) -> Result<Endpoint, String> {
    let (scheme, address) = (labels.get(SCHEME_LABEL), labels.get(ADDRESS_LABEL));
    check_address(address).map_err(|error| error.to_string())?;
    if scheme != "http" && scheme != "https" {
        return Err(format!("unsupported protocol scheme {scheme:?}"));
    }
    let bad_address = || format!("{address:?} is not a valid hostname");
    let mut url = Url::parse(&format!("{scheme}://{address}/")).map_err(|_| bad_address())?;
    let is_more_than_a_host = !url.username().is_empty()
        || url.password().is_some()
        || url.query().is_some()
        || url.fragment().is_some()
        || url.path() != "/";
    if is_more_than_a_host {
        return Err(bad_address());
    }
    url.set_path(labels.get(PATH_LABEL));
    Ok(Endpoint { shown: shown_url(labels), url })
}

/// The URL as upstream prints it, whether or not it is one.
fn shown_url(labels: &LabelsBuilder) -> String {
    // Any base will do: it is here for the escapes in the path.
    let mut escaped = Url::parse("http://alertmanager/").expect("it is a URL");
    escaped.set_path(labels.get(PATH_LABEL));
    format!("{}://{}{}", labels.get(SCHEME_LABEL), labels.get(ADDRESS_LABEL), escaped.path())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(config: &str) -> (Vec<String>, Vec<String>) {
        let config: AlertmanagerConfig = serde_saphyr::from_str(config).expect("the group is sound");
        let found = find(&config, config.discovery.static_configs.iter());
        for endpoint in &found.active {
            assert_eq!(endpoint.url.as_str(), endpoint.shown);
        }
        (found.active.into_iter().map(|endpoint| endpoint.shown).collect(), found.dropped)
    }

    #[test]
    fn the_settings_make_the_url() {
        for (settings, url) in [
            ("", "http://am:9093/api/v2/alerts"),
            ("scheme: https, path_prefix: /a/b/", "https://am:9093/a/b/api/v2/alerts"),
            ("path_prefix: 'a//./c/../b x'", "http://am:9093/a/b%20x/api/v2/alerts"),
            ("path_prefix: ../..", "http://am:9093/api/v2/alerts"),
        ] {
            let config = format!("{{static_configs: [{{targets: ['am:9093', 'am:9093']}}], {settings}}}");
            assert_eq!(found(&config), (vec![url.to_owned()], vec![]), "{settings}");
        }
    }

    #[test]
    fn rules_and_labels_change_or_drop_it() {
        let (active, dropped) = found(
            "
static_configs:
- targets: [a, b, drop]
- targets: [c]
  labels: {__scheme__: https, __alerts_path__: /own, __address__: never}
relabel_configs:
- {source_labels: [__address__], regex: drop, action: drop}
- {source_labels: [__address__], regex: b, target_label: __alerts_path__, replacement: /push}
- {source_labels: [__address__], regex: b, target_label: __address__, replacement: 'x:1'}
",
        );
        assert_eq!(active, ["http://a/api/v2/alerts", "http://x:1/push", "https://c/own"]);
        assert_eq!(dropped, ["http://drop/api/v2/alerts"]);
    }

    #[test]
    fn what_is_no_address_is_left_out() {
        let (active, dropped) = found(
            "
static_configs: [{targets: ['a/b', '', 'u:p@h', 'h?q', 'h#f', 'h:port', 'ftp', good]}]
relabel_configs: [{source_labels: [__address__], regex: ftp, target_label: __scheme__, replacement: ftp}]
",
        );
        assert_eq!((active, dropped), (vec!["http://good/api/v2/alerts".to_owned()], vec![]));
    }
}
