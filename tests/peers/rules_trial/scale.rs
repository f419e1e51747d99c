//! The teams' files with their durations shortened, so that a day's story fits into minutes.
//!
//! What stands in brackets, behind `offset`, and in the keys named here is divided by [`FACTOR`]; nothing becomes
//! shorter than a second, since everything is scraped and evaluated once a second. Names that end in a duration, such
//! as `ml:inference_latency_p99:5m`, and `query_offset` stay as they are.

use perdura::model::{format_duration, parse_duration};

/// A minute of the files is a second of the trial.
const FACTOR: i64 = 60;

const KEYS: [&str; 5] = ["interval", "for", "keep_firing_for", "group_wait", "group_interval"];

/// `text`, a rule file or an Alertmanager's configuration, with its durations shortened.
pub(super) fn shortened(text: &str) -> String {
    text.lines().map(|line| format!("{}\n", shortened_line(line))).collect()
}

fn shortened_line(line: &str) -> String {
    let content = line.trim_start_matches([' ', '-']);
    match content.split_once(':') {
        Some((key, value)) if KEYS.contains(&key.trim_end()) => {
            let head = &line[..line.len() - value.len()];
            format!("{head} {}", short(value.trim()))
        }
        _ => shortened_expression(line),
    }
}

fn shortened_expression(line: &str) -> String {
    let (mut out, mut rest, mut in_brackets) = (String::new(), line, false);
    while let Some(first) = rest.chars().next() {
        let word_len = rest.find(|c: char| !c.is_ascii_alphanumeric() && c != '_').unwrap_or(rest.len());
        let (word, next) = rest.split_at(word_len.max(first.len_utf8()));
        in_brackets = match word {
            "[" => true,
            "]" => false,
            _ => in_brackets,
        };
        let takes = in_brackets || out.ends_with("offset ");
        out.push_str(&if takes { short(word) } else { word.to_owned() });
        rest = next;
    }
    out
}

/// A duration shortened; anything else as it is.
fn short(word: &str) -> String {
    match parse_duration(word) {
        Ok(ms) if word.ends_with(char::is_alphabetic) => format_duration((ms / FACTOR).max(1_000)),
        _ => word.to_owned(),
    }
}

#[test]
fn durations_are_shortened_and_names_are_not() {
    for (line, expected) in [
        ("    for: 5m", "    for: 5s"),
        ("    interval : 30s", "    interval : 1s"),
        ("    query_offset: 6s", "    query_offset: 6s"),
        ("  expr: rate(a:b:5m[5m]) > 5", "  expr: rate(a:b:5m[5s]) > 5"),
        ("max_over_time(x[30m:5m] offset 1h) # 5m", "max_over_time(x[30s:5s] offset 1m) # 5m"),
        ("  - alert: A5m", "  - alert: A5m"),
        ("°[1d]", "°[24m]"),
    ] {
        assert_eq!(shortened_line(line), expected, "{line}");
    }
}
