//! Groups of targets.

use std::collections::BTreeMap;

use serde::de::Error as _;
use serde::ser::SerializeStruct;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::setting::null_as_zero;

/// Label that holds a target's address.
pub(crate) const ADDRESS_LABEL: &str = "__address__";

/// Labels by name.
pub type LabelMap = BTreeMap<String, String>;

/// Targets that share labels.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TargetGroup {
    /// Labels of each target; `__address__` at least.
    pub targets: Vec<LabelMap>,
    /// Labels that all of them have, where they have none of their own of that name.
    pub labels: LabelMap,
    /// What names the group among all of its discovery.
    pub source: String,
}

impl TargetGroup {
    /// The targets' addresses, in order.
    pub fn addresses(&self) -> impl Iterator<Item = &str> {
        self.targets.iter().map(|target| target.get(ADDRESS_LABEL).map_or("", String::as_str))
    }
}

impl<'de> Deserialize<'de> for TargetGroup {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(deny_unknown_fields)]
        struct Text {
            #[serde(default, deserialize_with = "null_as_zero")]
            targets: Vec<String>,
            #[serde(default, deserialize_with = "null_as_zero")]
            labels: BTreeMap<String, Option<String>>,
        }
        let text = Text::deserialize(deserializer)?;
        if text.labels.contains_key("") {
            return Err(D::Error::custom("\"\" is not a valid label name"));
        }
        let target_of = |address| LabelMap::from([(ADDRESS_LABEL.to_owned(), address)]);
        Ok(Self {
            targets: text.targets.into_iter().map(target_of).collect(),
            labels: text.labels.into_iter().map(|(name, value)| (name, value.unwrap_or_default())).collect(),
            source: String::new(),
        })
    }
}

impl Serialize for TargetGroup {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut group = serializer.serialize_struct("TargetGroup", 2)?;
        group.serialize_field("targets", &self.addresses().collect::<Vec<_>>())?;
        if self.labels.is_empty() {
            group.skip_field("labels")?;
        } else {
            group.serialize_field("labels", &self.labels)?;
        }
        group.end()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn groups_are_read_from_yaml_and_json() {
        let yaml: Vec<TargetGroup> =
            serde_saphyr::from_str("- targets: ['a:1', 'b:2']\n  labels: {rack: 12}\n")
                .expect("text is sound");
        assert_eq!(yaml[0].addresses().collect::<Vec<_>>(), ["a:1", "b:2"]);
        assert_eq!(yaml[0].labels["rack"], "12");
        let text = r#"[{"targets":["a:1","b:2"],"labels":{"rack":"12"}}]"#;
        let json: Vec<TargetGroup> = serde_json::from_str(text).expect("text is sound");
        assert_eq!(json, yaml);
        assert_eq!(serde_json::to_string(&json).expect("a group serializes"), text);
        assert!(serde_json::from_str::<TargetGroup>(r#"{"target":[]}"#).is_err());
        assert!(serde_json::from_str::<TargetGroup>(r#"{"targets":[], "labels": {"": "x"}}"#).is_err());
    }
}
