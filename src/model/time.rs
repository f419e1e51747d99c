//! Points and spans of time.

/// Milliseconds since the Unix epoch; negative before it.
pub type Timestamp = i64;

/// A span of time, both ends included. Empty when `end < start`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct TimeSpan {
    /// First millisecond inside.
    pub start: Timestamp,
    /// Last millisecond inside.
    pub end: Timestamp,
}

impl TimeSpan {
    /// Everything.
    pub const ALL: Self = Self { start: i64::MIN, end: i64::MAX };

    /// From `start` to `end`, both included.
    pub const fn new(start: Timestamp, end: Timestamp) -> Self {
        Self { start, end }
    }

    /// Whether nothing lies inside.
    pub const fn is_empty(self) -> bool {
        self.end < self.start
    }

    /// Whether `t` lies inside.
    pub const fn contains(self, t: Timestamp) -> bool {
        self.start <= t && t <= self.end
    }

    /// Whether some millisecond lies in both.
    pub const fn overlaps(self, other: Self) -> bool {
        !self.is_empty() && !other.is_empty() && self.start <= other.end && other.start <= self.end
    }

    /// What lies in both; may be empty.
    pub fn intersect(self, other: Self) -> Self {
        Self { start: self.start.max(other.start), end: self.end.min(other.end) }
    }

    /// The smallest span around both; an empty one does not count.
    pub fn union(self, other: Self) -> Self {
        match (self.is_empty(), other.is_empty()) {
            (true, _) => other,
            (_, true) => self,
            _ => Self { start: self.start.min(other.start), end: self.end.max(other.end) },
        }
    }
}

/// `t` in RFC 3339 with milliseconds, in UTC, as Prometheus' API prints times; `None` outside the years 1 to 9999.
pub fn format_rfc3339_ms(t: Timestamp) -> Option<String> {
    let at = jiff::Timestamp::from_millisecond(t).ok()?;
    Some(format!("{at:.3}"))
}

/// Reads an RFC 3339 time, fractions below a millisecond cut off; `None` where it is not one.
pub fn parse_rfc3339_ms(text: &str) -> Option<Timestamp> {
    text.parse::<jiff::Timestamp>().ok().map(|at| at.as_millisecond())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_count_both_ends() {
        let span = TimeSpan::new(10, 20);
        assert!(span.contains(10) && span.contains(20) && !span.contains(21));
        assert!(span.overlaps(TimeSpan::new(20, 30)));
        assert!(!span.overlaps(TimeSpan::new(21, 30)));
        assert!(!span.overlaps(TimeSpan::new(15, 14)));
        assert_eq!(span.union(TimeSpan::new(5, 4)), span);
    }

    #[test]
    fn rfc3339_round_trips() {
        assert_eq!(format_rfc3339_ms(1_700_000_000_123).as_deref(), Some("2023-11-14T22:13:20.123Z"));
        assert_eq!(parse_rfc3339_ms("2023-11-14T22:13:20.123Z"), Some(1_700_000_000_123));
        assert_eq!(parse_rfc3339_ms("2023-11-14T23:13:20+01:00"), Some(1_700_000_000_000));
        assert_eq!(parse_rfc3339_ms("yesterday"), None);
    }
}
