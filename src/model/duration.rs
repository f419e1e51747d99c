//! Prometheus durations: `1h30m`, `15s`, `500ms`.

/// Why a text is not a duration.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum DurationError {
    /// Nothing there.
    #[error("empty duration string")]
    Empty,
    /// Not units in falling order, each with digits before it.
    #[error("not a valid duration string: {0:?}")]
    Invalid(String),
    /// Digits followed by something that is no unit.
    #[error("unknown unit {unit:?} in duration {text:?}")]
    UnknownUnit {
        /// What stands there.
        unit: String,
        /// The whole text.
        text: String,
    },
    /// More than 292 years.
    #[error("duration out of range")]
    OutOfRange,
}

/// The units in the order in which they must stand, with their milliseconds.
const UNITS: [(&str, i64); 7] = [
    ("y", 365 * 24 * 3_600_000),
    ("w", 7 * 24 * 3_600_000),
    ("d", 24 * 3_600_000),
    ("h", 3_600_000),
    ("m", 60_000),
    ("s", 1_000),
    ("ms", 1),
];

/// Most milliseconds that a duration may have: what nanoseconds in 64 bits can hold.
const DURATION_MS_MAX: i64 = i64::MAX / 1_000_000;

/// Reads a duration into milliseconds, as Prometheus does: each unit at most once, largest first, no sign,
/// `0` alone without a unit.
pub fn parse_duration(text: &str) -> Result<i64, DurationError> {
    match text {
        "" => return Err(DurationError::Empty),
        "0" => return Ok(0),
        _ => {}
    }
    let invalid = || DurationError::Invalid(text.to_owned());
    let mut rest = text;
    let mut total_ms = 0_i64;
    let mut unit_next = 0;
    while !rest.is_empty() {
        let (digits, after) = split_while(rest, |c| c.is_ascii_digit());
        let (unit, after) = split_while(after, |c| !c.is_ascii_digit());
        if digits.is_empty() || unit.is_empty() {
            return Err(invalid());
        }
        let place = UNITS
            .iter()
            .position(|(name, _)| *name == unit)
            .ok_or_else(|| DurationError::UnknownUnit { unit: unit.to_owned(), text: text.to_owned() })?;
        if place < unit_next {
            return Err(invalid());
        }
        let count: i64 = digits.parse().map_err(|_| DurationError::OutOfRange)?;
        total_ms = count
            .checked_mul(UNITS[place].1)
            .and_then(|ms| total_ms.checked_add(ms))
            .filter(|ms| *ms <= DURATION_MS_MAX)
            .ok_or(DurationError::OutOfRange)?;
        unit_next = place + 1;
        rest = after;
    }
    Ok(total_ms)
}

/// What `belongs` at the start of `text`, and the rest.
fn split_while(text: &str, belongs: impl Fn(char) -> bool) -> (&str, &str) {
    text.split_at(text.len() - text.trim_start_matches(belongs).len())
}

/// Writes milliseconds as Prometheus prints a duration: `1h30m`, `0s`; years and weeks only where they
/// divide what is left without a rest. Negative ones get a leading `-`.
pub fn format_duration(ms: i64) -> String {
    if ms == 0 {
        return "0s".to_owned();
    }
    let mut left = ms.unsigned_abs();
    let mut text = String::from(if ms < 0 { "-" } else { "" });
    for (unit, unit_ms) in UNITS {
        let unit_ms = unit_ms.unsigned_abs();
        let exact_only = matches!(unit, "y" | "w");
        if left >= unit_ms && (!exact_only || left.is_multiple_of(unit_ms)) {
            text.push_str(&format!("{}{unit}", left / unit_ms));
            left %= unit_ms;
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_prometheus_reads() {
        assert_eq!(parse_duration("1h30m"), Ok(5_400_000));
        assert_eq!(parse_duration("10s53ms"), Ok(10_053));
        assert_eq!(parse_duration("0"), Ok(0));
        assert_eq!(parse_duration("2y"), Ok(2 * 365 * 24 * 3_600_000));
        assert_eq!(parse_duration(""), Err(DurationError::Empty));
        for bad in ["1", "s", "1m1h", "1h1h", "-1h"] {
            assert!(matches!(parse_duration(bad), Err(DurationError::Invalid(_))), "{bad}");
        }
        for bad in ["1.5h", "1hx", "1 h", "1hs"] {
            assert!(matches!(parse_duration(bad), Err(DurationError::UnknownUnit { .. })), "{bad}");
        }
        assert_eq!(parse_duration("300y"), Err(DurationError::OutOfRange));
    }

    #[test]
    fn prints_what_prometheus_prints() {
        for (ms, text) in [
            (0, "0s"),
            (5_400_000, "1h30m"),
            (86_400_000, "1d"),
            (90_000_000, "1d1h"),
            (604_800_000, "1w"),
            (1, "1ms"),
        ] {
            assert_eq!(format_duration(ms), text);
        }
    }
}
