//! Applying rules.

use super::config::{RelabelAction, RelabelConfig};
use super::md5;
use super::pattern::{Groups, expand};
use crate::model::LabelsBuilder;

/// Applies `rules` in order; `false` where one of them drops the labels, whose state then means nothing.
///
/// Costs one pattern match for each rule, or one for each label and rule of the three actions over label names.
pub fn apply(rules: &[RelabelConfig], labels: &mut LabelsBuilder) -> bool {
    rules.iter().all(|rule| apply_one(rule, labels))
}

fn apply_one(rule: &RelabelConfig, labels: &mut LabelsBuilder) -> bool {
    let value = joined(rule, labels);
    match rule.action {
        RelabelAction::Keep => return rule.matches(&value),
        RelabelAction::Drop => return !rule.matches(&value),
        RelabelAction::KeepEqual => return labels.get(&rule.target_label) == value,
        RelabelAction::DropEqual => return labels.get(&rule.target_label) != value,
        RelabelAction::Replace => replace(rule, &value, labels),
        RelabelAction::Lowercase => {
            labels.set(&rule.target_label, &map_case(&value, char::to_lowercase));
        }
        RelabelAction::Uppercase => {
            labels.set(&rule.target_label, &map_case(&value, char::to_uppercase));
        }
        RelabelAction::HashMod => {
            labels.set(&rule.target_label, &(hash(&value) % rule.modulus.max(1)).to_string());
        }
        RelabelAction::LabelMap => map_names(rule, labels),
        RelabelAction::LabelDrop => remove_names(labels, |name| rule.matches(name)),
        RelabelAction::LabelKeep => remove_names(labels, |name| !rule.matches(name)),
    }
    true
}

impl RelabelConfig {
    fn matches(&self, value: &str) -> bool {
        self.regex.as_ref().is_none_or(|pattern| pattern.is_match(value))
    }

    fn groups<'v>(&self, value: &'v str) -> Option<Groups<'v>> {
        match &self.regex {
            Some(pattern) => pattern.groups(value),
            None => Some(Groups::Whole(value)),
        }
    }
}

fn joined(rule: &RelabelConfig, labels: &LabelsBuilder) -> String {
    match rule.source_labels.as_slice() {
        [] => String::new(),
        [one] => labels.get(one).to_owned(),
        several => several.iter().map(|name| labels.get(name)).collect::<Vec<_>>().join(&rule.separator),
    }
}

fn replace(rule: &RelabelConfig, value: &str, labels: &mut LabelsBuilder) {
    let Some(groups) = rule.groups(value) else { return };
    let target = expand(&rule.target_label, &groups);
    if rule.name_validation.is_label_name(&target) {
        labels.set(&target, &expand(&rule.replacement, &groups));
    }
}

/// Reads the names before writing any, as upstream does: a label that the rule made is not mapped again.
fn map_names(rule: &RelabelConfig, labels: &mut LabelsBuilder) {
    let mapped: Vec<(String, String)> = labels
        .pairs()
        .filter(|(_, value)| !value.is_empty())
        .filter_map(|(name, value)| Some((expand(&rule.replacement, &rule.groups(name)?), value.to_owned())))
        .collect();
    for (name, value) in mapped {
        labels.set(&name, &value);
    }
}

fn remove_names(labels: &mut LabelsBuilder, is_removed: impl Fn(&str) -> bool) {
    let names: Vec<String> =
        labels.pairs().map(|(name, _)| name).filter(|name| is_removed(name)).map(str::to_owned).collect();
    for name in names {
        labels.remove(&name);
    }
}

/// The last 8 bytes of the MD5 digest, big-endian.
fn hash(value: &str) -> u64 {
    let digest = md5::digest(value.as_bytes());
    u64::from_be_bytes(digest[8..].try_into().expect("the digest has 16 bytes"))
}

/// Maps letter by letter, as Go does: a letter whose other case takes several letters stays.
fn map_case<I: ExactSizeIterator<Item = char>>(value: &str, map: impl Fn(char) -> I) -> String {
    value
        .chars()
        .map(|c| {
            let mut mapped = map(c);
            match mapped.len() {
                1 => mapped.next().unwrap_or(c),
                _ => c,
            }
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Labels;
    use crate::setting::NameValidation;

    /// The labels after the rules, as text; `None` where they are dropped.
    fn relabelled(labels: &[(&str, &str)], rules: &str) -> Option<String> {
        let mut rules: Vec<RelabelConfig> = serde_saphyr::from_str(rules).expect("rules are sound");
        for rule in &mut rules {
            rule.validate(NameValidation::Utf8).expect("rules are sound");
        }
        let mut builder = Labels::from_pairs(labels.iter().copied()).to_builder();
        apply(&rules, &mut builder).then(|| builder.build().expect("names are unique").to_string())
    }

    const FOO: [(&str, &str); 3] = [("a", "foo"), ("b", "bar"), ("c", "baz")];

    #[test]
    fn replacing() {
        for (rules, expected) in [
            (
                "[{source_labels: [a], regex: 'f(.*)', target_label: d, separator: ;, replacement: 'ch${1}-ch${1}'}]",
                r#"{a="foo", b="bar", c="baz", d="choo-choo"}"#,
            ),
            (
                "[{source_labels: [a, b], regex: 'f(.*);(.*)r', target_label: a, replacement: 'b${1}${2}m'}]",
                r#"{a="boobam", b="bar", c="baz"}"#,
            ),
            ("[{source_labels: [a], regex: no, target_label: d}]", r#"{a="foo", b="bar", c="baz"}"#),
            ("[{source_labels: [a], target_label: b}]", r#"{a="foo", b="foo", c="baz"}"#),
            (
                "[{source_labels: [a], regex: 'f.*', target_label: a, replacement: ''}]",
                r#"{b="bar", c="baz"}"#,
            ),
            ("[{target_label: d, replacement: fixed}]", r#"{a="foo", b="bar", c="baz", d="fixed"}"#),
            ("[{source_labels: [missing], target_label: a}]", r#"{b="bar", c="baz"}"#),
            (
                "[{source_labels: [a], regex: '(f).*', target_label: '${1}_x', replacement: y}]",
                r#"{a="foo", b="bar", c="baz", f_x="y"}"#,
            ),
            (
                "[{source_labels: [a], regex: 'x?(.*)', target_label: '${2}', replacement: y}]",
                r#"{a="foo", b="bar", c="baz"}"#,
            ),
            (
                "[{source_labels: [a], target_label: d}, {source_labels: [d], target_label: e, replacement: '$1!'}]",
                r#"{a="foo", b="bar", c="baz", d="foo", e="foo!"}"#,
            ),
        ] {
            assert_eq!(relabelled(&FOO, rules).as_deref(), Some(expected), "{rules}");
        }
    }

    #[test]
    fn keeping_and_dropping() {
        for (rules, is_kept) in [
            ("[{source_labels: [a], regex: 'f.*', action: keep}]", true),
            ("[{source_labels: [a], regex: 'o.*', action: keep}]", false),
            ("[{source_labels: [a], regex: 'f.*', action: drop}]", false),
            ("[{source_labels: [a], regex: 'f', action: drop}]", true),
            ("[{source_labels: [a], action: drop}]", false),
            ("[{source_labels: [a], target_label: b, action: keepequal}]", false),
            ("[{source_labels: [a], target_label: a, action: keepequal}]", true),
            ("[{source_labels: [a], target_label: a, action: dropequal}]", false),
            ("[{source_labels: [x], target_label: y, action: dropequal}]", false),
            ("[{source_labels: [a], target_label: b, action: dropequal}]", true),
        ] {
            assert_eq!(relabelled(&FOO, rules).is_some(), is_kept, "{rules}");
        }
    }

    #[test]
    fn hashing_is_upstreams() {
        let rules = "[{source_labels: [c], target_label: d, action: hashmod, modulus: 1000}]";
        assert_eq!(relabelled(&FOO, rules).as_deref(), Some(r#"{a="foo", b="bar", c="baz", d="976"}"#));
        let rules = "[{source_labels: [a], target_label: d, action: hashmod, modulus: 1000}]";
        let labels = [("a", "foo\nbar")];
        assert_eq!(relabelled(&labels, rules).as_deref(), Some(r#"{a="foo\nbar", d="734"}"#));
    }

    #[test]
    fn names() {
        for (rules, expected) in [
            (
                "[{regex: '(b|c)', replacement: 'bar_${1}', action: labelmap}]",
                r#"{a="foo", b="bar", bar_b="bar", bar_c="baz", c="baz"}"#,
            ),
            (
                "[{regex: '(.)', replacement: '${1}${1}', action: labelmap}]",
                r#"{a="foo", aa="foo", b="bar", bb="bar", c="baz", cc="baz"}"#,
            ),
            ("[{regex: '(a|b)', action: labeldrop}]", r#"{c="baz"}"#),
            ("[{regex: '(a|b)', action: labelkeep}]", r#"{a="foo", b="bar"}"#),
            ("[{regex: 'a.', action: labeldrop}]", r#"{a="foo", b="bar", c="baz"}"#),
        ] {
            assert_eq!(relabelled(&FOO, rules).as_deref(), Some(expected), "{rules}");
        }
    }

    #[test]
    fn cases_of_letters() {
        let labels = [("a", "bAr Straße ΑΣ")];
        let rules = "[{source_labels: [a], target_label: l, action: lowercase}, {source_labels: [a], target_label: u, action: uppercase}]";
        assert_eq!(
            relabelled(&labels, rules).as_deref(),
            Some(r#"{a="bAr Straße ΑΣ", l="bar straße ασ", u="BAR STRAßE ΑΣ"}"#)
        );
    }

    #[test]
    fn missing_labels_are_empty_and_the_first_drop_ends_it() {
        let rules = "[{source_labels: [x], regex: '', action: drop}, {target_label: d, replacement: e}]";
        assert_eq!(relabelled(&FOO, rules), None);
    }
}
