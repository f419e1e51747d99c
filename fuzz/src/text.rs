//! Expositions and settings.

use perdura::config::Config;
use perdura::ingest::exposition::{Entry, Format, Parser};
use perdura::relabel::RelabelConfig;

/// The Prometheus text format.
pub(super) fn exposition_text(data: &[u8]) {
    walk(Format::Text, data);
}

/// OpenMetrics.
pub(super) fn exposition_openmetrics(data: &[u8]) {
    walk(Format::OpenMetrics, data);
}

fn walk(format: Format, body: &[u8]) {
    let mut parser = Parser::new(format, body);
    let mut entries = 0_usize;
    while let Ok(Some(entry)) = parser.next_entry() {
        entries += 1;
        assert!(entries <= body.len(), "an entry takes a byte at least");
        let Entry::Sample(sample) = entry else { continue };
        if let Ok(labels) = sample.labels() {
            assert!(
                labels.iter().all(|label| !label.value.is_empty()),
                "an empty label is no label: {labels}"
            );
        }
        if sample.exemplar.is_some() {
            assert_eq!(format, Format::OpenMetrics);
        }
    }
}

/// Relabelling rules as YAML.
pub(super) fn relabel_config(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let _ = serde_saphyr::from_str::<Vec<RelabelConfig>>(text);
}

/// A whole `prometheus.yml`; what is shown of an accepted one is YAML again.
pub(super) fn config(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let variables = |name: &str| (name == "ZONE").then(|| "a".to_owned());
    if let Ok(config) = Config::parse(text, &variables) {
        let shown = config.to_yaml();
        assert!(!shown.starts_with("# cannot be shown"), "{text:?}: {shown}");
        config.unserved();
    }
}
