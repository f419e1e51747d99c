//! The rule as it stands in configuration.

use std::fmt;

use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize};

use super::pattern::RelabelPattern;
use crate::setting::{NameValidation, is_zero, list_with_nulls, null_as_zero};

/// Replacement where none is given.
const REPLACEMENT: &str = "$1";
/// Separator where none is given.
const SEPARATOR: &str = ";";

/// Why a rule cannot be used; the texts are upstream's.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RelabelError {
    /// The pattern does not compile.
    #[error("{0}")]
    Pattern(String),
    /// No such action.
    #[error("unknown relabel action {0:?}")]
    Action(String),
    /// The action is null.
    #[error("relabel action cannot be empty")]
    ActionEmpty,
    /// A source label without a name.
    #[error("{0:?} is not a valid label name")]
    SourceLabel(String),
    /// `hashmod` without its modulus.
    #[error("relabel configuration for hashmod requires non-zero modulus")]
    Modulus,
    /// No target where the action needs one.
    #[error("relabel configuration for {0} action requires 'target_label' value")]
    TargetMissing(RelabelAction),
    /// A target or replacement that cannot name a label.
    #[error("{text:?} is invalid '{field}' for {action} action")]
    Name {
        /// What was written.
        text: String,
        /// Where.
        field: &'static str,
        /// For which action.
        action: RelabelAction,
    },
    /// A replacement where the action takes none.
    #[error("'replacement' can not be set for {0} action")]
    Replacement(RelabelAction),
    /// More fields than the action takes.
    #[error("{action} action requires only {fields}, and no other fields")]
    Fields {
        /// The action.
        action: RelabelAction,
        /// What it takes.
        fields: &'static str,
    },
}

/// What a rule does.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum RelabelAction {
    /// Sets the target to the replacement, where the pattern matches.
    #[default]
    Replace,
    /// Drops what does not match.
    Keep,
    /// Drops what matches.
    Drop,
    /// Drops what differs from the target label.
    KeepEqual,
    /// Drops what equals the target label.
    DropEqual,
    /// Sets the target to a hash modulo a number.
    HashMod,
    /// Copies labels whose names match to other names.
    LabelMap,
    /// Removes labels whose names match.
    LabelDrop,
    /// Removes labels whose names do not match.
    LabelKeep,
    /// Sets the target to the value in small letters.
    Lowercase,
    /// Sets the target to the value in capitals.
    Uppercase,
}

impl RelabelAction {
    const ALL: [Self; 11] = [
        Self::Replace,
        Self::Keep,
        Self::Drop,
        Self::KeepEqual,
        Self::DropEqual,
        Self::HashMod,
        Self::LabelMap,
        Self::LabelDrop,
        Self::LabelKeep,
        Self::Lowercase,
        Self::Uppercase,
    ];

    /// The action's name.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Replace => "replace",
            Self::Keep => "keep",
            Self::Drop => "drop",
            Self::KeepEqual => "keepequal",
            Self::DropEqual => "dropequal",
            Self::HashMod => "hashmod",
            Self::LabelMap => "labelmap",
            Self::LabelDrop => "labeldrop",
            Self::LabelKeep => "labelkeep",
            Self::Lowercase => "lowercase",
            Self::Uppercase => "uppercase",
        }
    }

    /// Whether it writes or compares one target label and takes no replacement.
    const fn is_plain_target(self) -> bool {
        matches!(self, Self::Lowercase | Self::Uppercase | Self::KeepEqual | Self::DropEqual)
    }

    const fn needs_target(self) -> bool {
        self.is_plain_target() || matches!(self, Self::Replace | Self::HashMod)
    }
}

impl fmt::Display for RelabelAction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl<'de> Deserialize<'de> for RelabelAction {
    /// In any case of letters.
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text: Option<String> = Option::deserialize(deserializer)?;
        let text = text.ok_or_else(|| D::Error::custom(RelabelError::ActionEmpty))?;
        let lower = text.to_lowercase();
        Self::ALL
            .into_iter()
            .find(|action| action.as_str() == lower)
            .ok_or_else(|| D::Error::custom(RelabelError::Action(text)))
    }
}

/// One relabelling rule: `<relabel_config>` of prometheus.yml.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct RelabelConfig {
    /// Labels whose values, joined, are the value that the rule looks at.
    #[serde(default, deserialize_with = "list_with_nulls", skip_serializing_if = "Vec::is_empty")]
    pub source_labels: Vec<String>,
    /// What joins them.
    #[serde(default = "separator", deserialize_with = "null_as_zero")]
    pub separator: String,
    /// Pattern for the whole value; `None` is the default `(.*)`, which matches everything.
    #[serde(default, deserialize_with = "given", skip_serializing_if = "Option::is_none")]
    pub regex: Option<RelabelPattern>,
    /// Modulus of `hashmod`.
    #[serde(default, deserialize_with = "null_as_zero", skip_serializing_if = "is_zero")]
    pub modulus: u64,
    /// Label that is written; a template for `replace`.
    #[serde(default, deserialize_with = "null_as_zero", skip_serializing_if = "String::is_empty")]
    pub target_label: String,
    /// Template of the new value, or of the new name for `labelmap`.
    #[serde(default = "replacement", deserialize_with = "null_as_zero")]
    pub replacement: String,
    /// What the rule does.
    #[serde(default)]
    pub action: RelabelAction,
    /// Which names the target may have; set by [`Self::validate`].
    #[serde(skip)]
    pub name_validation: NameValidation,
}

fn separator() -> String {
    SEPARATOR.to_owned()
}

fn replacement() -> String {
    REPLACEMENT.to_owned()
}

/// A pattern that is written down, even as a null, is not the default one.
fn given<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<RelabelPattern>, D::Error> {
    RelabelPattern::deserialize(deserializer).map(Some)
}

impl Default for RelabelConfig {
    fn default() -> Self {
        Self {
            source_labels: Vec::new(),
            separator: separator(),
            regex: None,
            modulus: 0,
            target_label: String::new(),
            replacement: replacement(),
            action: RelabelAction::Replace,
            name_validation: NameValidation::Utf8,
        }
    }
}

impl RelabelConfig {
    /// Checks that the fields fit the action, and takes over which names are allowed.
    pub fn validate(&mut self, name_validation: NameValidation) -> Result<(), RelabelError> {
        self.name_validation = name_validation;
        if let Some(empty) = self.source_labels.iter().find(|name| name.is_empty()) {
            return Err(RelabelError::SourceLabel(empty.clone()));
        }
        if self.modulus == 0 && self.action == RelabelAction::HashMod {
            return Err(RelabelError::Modulus);
        }
        if self.action.needs_target() && self.target_label.is_empty() {
            return Err(RelabelError::TargetMissing(self.action));
        }
        self.check_names()?;
        self.check_no_other_fields()
    }

    fn check_names(&self) -> Result<(), RelabelError> {
        let refused =
            |field, text: &str| RelabelError::Name { text: text.to_owned(), field, action: self.action };
        let is_target_valid = match self.action {
            RelabelAction::Replace if self.target_label.contains('$') => {
                self.is_name_template(&self.target_label)
            }
            action if action.needs_target() => self.name_validation.is_label_name(&self.target_label),
            _ => true,
        };
        if !is_target_valid {
            return Err(refused("target_label", &self.target_label));
        }
        if self.action.is_plain_target() && self.replacement != REPLACEMENT {
            return Err(RelabelError::Replacement(self.action));
        }
        if self.action == RelabelAction::LabelMap && !self.is_name_template(&self.replacement) {
            return Err(refused("replacement", &self.replacement));
        }
        Ok(())
    }

    fn check_no_other_fields(&self) -> Result<(), RelabelError> {
        let has_plain_rest =
            self.modulus == 0 && self.separator == SEPARATOR && self.replacement == REPLACEMENT;
        match self.action {
            RelabelAction::KeepEqual | RelabelAction::DropEqual
                if self.regex.is_some() || !has_plain_rest =>
            {
                let fields = "'source_labels' and `target_label`";
                Err(RelabelError::Fields { action: self.action, fields })
            }
            RelabelAction::LabelDrop | RelabelAction::LabelKeep
                if !self.source_labels.is_empty() || !self.target_label.is_empty() || !has_plain_rest =>
            {
                Err(RelabelError::Fields { action: self.action, fields: "'regex'" })
            }
            _ => Ok(()),
        }
    }

    /// Whether a template can make a label name.
    fn is_name_template(&self, template: &str) -> bool {
        match self.name_validation {
            NameValidation::Utf8 => !template.is_empty(),
            NameValidation::Legacy => is_legacy_template(template),
        }
    }
}

/// A name of letters, digits and underscores in which `$name` and `${name}` may stand; no digit comes first.
fn is_legacy_template(template: &str) -> bool {
    let is_word = |c: char| c.is_ascii_alphanumeric() || c == '_';
    let mut rest = template;
    while let Some(c) = rest.chars().next() {
        let is_first = rest.len() == template.len();
        rest = &rest[c.len_utf8()..];
        if c == '$' {
            let (inside, is_braced) = rest.strip_prefix('{').map_or((rest, false), |inside| (inside, true));
            let name_len = inside.find(|c| !is_word(c)).unwrap_or(inside.len());
            let after = &inside[name_len..];
            match if is_braced { after.strip_prefix('}') } else { Some(after) } {
                Some(after) if name_len > 0 => rest = after,
                _ => return false,
            }
        } else if !is_word(c) || (is_first && c.is_ascii_digit()) {
            return false;
        }
    }
    !template.is_empty()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<RelabelConfig, String> {
        let mut rule: RelabelConfig = serde_saphyr::from_str(text).map_err(|error| error.to_string())?;
        rule.validate(NameValidation::Legacy).map_err(|error| error.to_string())?;
        Ok(rule)
    }

    #[test]
    fn defaults_are_upstreams_and_nulls_are_empty() {
        let rule = read("target_label: a").expect("rule is sound");
        assert_eq!(
            rule,
            RelabelConfig {
                name_validation: NameValidation::Legacy,
                target_label: "a".into(),
                ..RelabelConfig::default()
            }
        );
        let rule = read("{target_label: a, separator: , replacement: , regex: }").expect("rule is sound");
        assert_eq!((rule.separator.as_str(), rule.replacement.as_str()), ("", ""));
        assert_eq!(rule.regex.expect("a pattern was given").as_str(), "");
        assert_eq!(read("{action: KEEP}").expect("rule is sound").action, RelabelAction::Keep);
        assert_eq!(
            read("{regex: 5, action: drop}").expect("rule is sound").regex.expect("given").as_str(),
            "5"
        );
    }

    #[test]
    fn what_does_not_fit_is_refused_in_upstreams_words() {
        for (text, message) in [
            ("action: replace", "relabel configuration for replace action requires 'target_label' value"),
            (
                "{action: hashmod, target_label: a}",
                "relabel configuration for hashmod requires non-zero modulus",
            ),
            ("{target_label: 'a-b'}", "\"a-b\" is invalid 'target_label' for replace action"),
            ("{target_label: '${3'}", "\"${3\" is invalid 'target_label' for replace action"),
            (
                "{action: lowercase, target_label: '${1}'}",
                "\"${1}\" is invalid 'target_label' for lowercase action",
            ),
            (
                "{action: uppercase, target_label: a, replacement: b}",
                "'replacement' can not be set for uppercase action",
            ),
            ("{action: labelmap, replacement: '-'}", "\"-\" is invalid 'replacement' for labelmap action"),
            (
                "{action: keepequal, source_labels: [b], target_label: a, regex: '(.*)'}",
                "keepequal action requires only 'source_labels' and `target_label`, and no other fields",
            ),
            (
                "{action: labeldrop, source_labels: [a], regex: x}",
                "labeldrop action requires only 'regex', and no other fields",
            ),
            ("action: rename", "unknown relabel action \"rename\""),
            ("action:", "relabel action cannot be empty"),
            ("{regex: '(', target_label: a}", "error parsing regexp"),
            ("{target: a}", "target"),
        ] {
            let error = read(text).expect_err(text);
            assert!(error.contains(message), "{text}: {error}");
        }
    }

    #[test]
    fn old_names_may_hold_templates() {
        for good in ["a", "${1}", "a_${x}_b", "$1", "_$1", "a${1}5"] {
            assert!(is_legacy_template(good), "{good}");
        }
        for bad in ["", "5a", "a-b", "${1", "$", "a$", "${}", "é"] {
            assert!(!is_legacy_template(bad), "{bad}");
        }
    }
}
