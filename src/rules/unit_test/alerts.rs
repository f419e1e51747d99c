//! The alerts that fire beside those that must.

use super::diff;
use super::text::{Pairs, indented, pairs};

/// Where a list of alerts stands in a message.
const INDENT: &str = "            ";

/// One alert as a test sees it; ordered as upstream orders alerts.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct SeenAlert {
    pub(super) labels: Pairs,
    pub(super) annotations: Pairs,
}

/// Compares in any order. The error shows both lists, or with `as_diff` their differences, after `: ` and a line's end.
pub(super) fn compare(
    mut expected: Vec<SeenAlert>,
    mut got: Vec<SeenAlert>,
    as_diff: bool,
) -> Result<(), String> {
    expected.sort();
    got.sort();
    if expected == got {
        return Ok(());
    }
    if !as_diff {
        let (expected, got) = (indented(&list(&expected), INDENT), indented(&list(&got), INDENT));
        return Err(format!("exp:{expected}, \n        got:{got}"));
    }
    for alerts in [&mut expected, &mut got] {
        if alerts.is_empty() {
            alerts.push(SeenAlert::default());
        }
    }
    match diff::alerts(&expected, &got) {
        Some(diff) => Err(format!("diff: {}", indented(&diff, INDENT))),
        None => Ok(()),
    }
}

fn list(alerts: &[SeenAlert]) -> String {
    if alerts.is_empty() {
        return "[]".to_owned();
    }
    let show = |(index, alert): (usize, &SeenAlert)| {
        let (labels, annotations) = (pairs(&alert.labels), pairs(&alert.annotations));
        format!("{index}:\n  Labels:{labels}\n  Annotations:{annotations}")
    };
    let shown: Vec<String> = alerts.iter().enumerate().map(show).collect();
    format!("[\n{}\n]", shown.join(",\n"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn alert(labels: &[(&str, &str)], annotations: &[(&str, &str)]) -> SeenAlert {
        let pairs = |pairs: &[(&str, &str)]| {
            pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
        };
        SeenAlert { labels: pairs(labels), annotations: pairs(annotations) }
    }

    #[test]
    fn order_does_not_count_and_all_else_does() {
        let (a, b) = (alert(&[("a", "1")], &[]), alert(&[("a", "1")], &[("x", "")]));
        assert_eq!(compare(vec![a.clone(), b.clone()], vec![b.clone(), a.clone()], false), Ok(()));
        assert!(compare(vec![a.clone()], vec![b.clone()], false).is_err());
        assert!(compare(vec![a.clone(), a.clone()], vec![a], true).is_err());
    }

    #[test]
    fn both_lists_are_shown() {
        let error = compare(
            vec![alert(&[("job", "a")], &[("summary", "down")]), alert(&[("job", "b")], &[])],
            Vec::new(),
            false,
        )
        .expect_err("lists differ");
        let shown = [
            "exp:[",
            "            0:",
            "              Labels:{job=\"a\"}",
            "              Annotations:{summary=\"down\"},",
            "            1:",
            "              Labels:{job=\"b\"}",
            "              Annotations:{}",
            "            ], ",
            "        got:[]",
        ];
        assert_eq!(error, shown.join("\n"));
    }
}
