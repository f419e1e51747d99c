//! How numbers, durations and label sets stand in messages.

use std::collections::BTreeMap;

use crate::model::{GoQuoted, is_legacy_label_name};

/// Labels or annotations by name; unlike a series' labels they may be empty.
pub(super) type Pairs = BTreeMap<String, String>;

/// Pairs as upstream prints labels: `{job="node", "a.b"="c"}`.
pub(super) fn pairs(pairs: &Pairs) -> String {
    let pair = |(name, value): (&String, &String)| {
        if is_legacy_label_name(name) {
            format!("{name}={}", GoQuoted(value))
        } else {
            format!("{}={}", GoQuoted(name), GoQuoted(value))
        }
    };
    let shown: Vec<String> = pairs.iter().map(pair).collect();
    format!("{{{}}}", shown.join(", "))
}

/// `text` with `indent` before every line but the first.
pub(super) fn indented(text: &str, indent: &str) -> String {
    text.replace('\n', &format!("\n{indent}"))
}

/// Milliseconds as Go prints a duration: `1h2m3.5s`, `0s`, `20ms`.
pub(super) fn go_duration(ms: i64) -> String {
    let sign = if ms < 0 { "-" } else { "" };
    let left = ms.unsigned_abs();
    match left {
        0 => return "0s".to_owned(),
        1..1_000 => return format!("{sign}{left}ms"),
        _ => {}
    }
    let (hours, minutes) = (left / 3_600_000, left / 60_000 % 60);
    let fraction = format!("{:03}", left % 1_000);
    let fraction = fraction.trim_end_matches('0');
    let point = if fraction.is_empty() { "" } else { "." };
    let seconds = format!("{}{point}{fraction}s", left / 1_000 % 60);
    match (hours, minutes) {
        (0, 0) => format!("{sign}{seconds}"),
        (0, _) => format!("{sign}{minutes}m{seconds}"),
        _ => format!("{sign}{hours}h{minutes}m{seconds}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_gos() {
        for (ms, text) in [
            (0, "0s"),
            (20, "20ms"),
            (1_500, "1.5s"),
            (60_000, "1m0s"),
            (-90_001, "-1m30.001s"),
            (3_600_000, "1h0m0s"),
            (1_704_067_500_000, "473352h5m0s"),
        ] {
            assert_eq!(go_duration(ms), text);
        }
    }

    #[test]
    fn pairs_print_as_labels_do() {
        let shown = Pairs::from([("b.c", "x\"y"), ("a", "")].map(|(n, v)| (n.to_owned(), v.to_owned())));
        assert_eq!(pairs(&shown), r#"{a="", "b.c"="x\"y"}"#);
        assert_eq!(indented("a\nb\nc", "  "), "a\n  b\n  c");
    }
}
