//! Formats and escaping schemes as they stand in configuration.

use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::ingest::exposition::{EscapingScheme, ScrapeProtocol};

impl<'de> Deserialize<'de> for ScrapeProtocol {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let name = String::deserialize(deserializer)?;
        Self::from_name(&name).ok_or_else(|| {
            let mut known = Self::ALL.map(Self::name);
            known.sort_unstable();
            D::Error::custom(format!("unknown scrape protocol {name}, supported: [{}]", known.join(" ")))
        })
    }
}

impl Serialize for ScrapeProtocol {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.name())
    }
}

impl<'de> Deserialize<'de> for EscapingScheme {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let name = String::deserialize(deserializer)?;
        Self::from_name(&name).ok_or_else(|| {
            D::Error::custom(format!(
                "unknown scrape config name escaping method specified, must be one of 'allow-utf-8', 'underscores', 'dots', or 'values', got {name:?}"
            ))
        })
    }
}

impl Serialize for EscapingScheme {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_read_and_unknown_ones_are_answered_with_the_known() {
        let protocols: Vec<ScrapeProtocol> =
            serde_saphyr::from_str("[PrometheusText0.0.4, OpenMetricsText1.0.0]").expect("names are known");
        assert_eq!(protocols, [ScrapeProtocol::PrometheusText0_0_4, ScrapeProtocol::OpenMetricsText1_0_0]);
        let error =
            serde_saphyr::from_str::<ScrapeProtocol>("Text").expect_err("name is unknown").to_string();
        assert!(error.contains("unknown scrape protocol Text, supported: [OpenMetricsText0.0.1 "), "{error}");
        let scheme: EscapingScheme = serde_saphyr::from_str("values").expect("name is known");
        assert_eq!(serde_json::to_string(&scheme).expect("a name serializes"), "\"values\"");
    }
}
