//! Points in time and durations as Go's `time` prints them. All times are UTC.

mod layout;

pub(super) use layout::format;

use std::fmt;

/// Names of the months.
pub(super) const MONTHS: [&str; 12] = [
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
];
/// Names of the days of the week.
pub(super) const WEEKDAYS: [&str; 7] =
    ["Sunday", "Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday"];

/// Seconds from the year 1, from which times are cut into steps, to 1970.
const YEAR_1_S: i128 = 62_135_596_800;

const NS_PER_S: i64 = 1_000_000_000;
const DAY_S: i64 = 86_400;

/// A point in time, in UTC.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Time {
    /// Seconds since 1970.
    pub(super) seconds: i64,
    /// Nanoseconds within the second.
    pub(super) nanos: u32,
}

impl Time {
    /// From milliseconds since 1970.
    pub(super) fn from_ms(ms: i64) -> Self {
        let nanos = u32::try_from(ms.rem_euclid(1000) * 1_000_000).unwrap_or_default();
        Self { seconds: ms.div_euclid(1000), nanos }
    }

    /// Year, month from 1 and day from 1.
    pub(super) fn date(self) -> (i64, i64, i64) {
        civil(self.seconds.div_euclid(DAY_S))
    }

    /// Hour, minute and second.
    pub(super) fn clock(self) -> (i64, i64, i64) {
        let second = self.seconds.rem_euclid(DAY_S);
        (second / 3600, second / 60 % 60, second % 60)
    }

    /// 0 is Sunday.
    pub(super) fn weekday(self) -> i64 {
        (self.seconds.div_euclid(DAY_S) + 4).rem_euclid(7)
    }

    /// Day of the year from 1.
    pub(super) fn year_day(self) -> i64 {
        let (year, ..) = self.date();
        self.seconds.div_euclid(DAY_S) - days_from_civil(year, 1, 1) + 1
    }

    /// Since 1970 in units of which a second has so many, wrapped where they do not fit.
    pub(super) fn unix_in(self, per_second: i64) -> i64 {
        self.seconds.wrapping_mul(per_second).wrapping_add(i64::from(self.nanos) / (NS_PER_S / per_second))
    }

    /// Whether it is the start of the year 1.
    pub(super) fn is_zero(self) -> bool {
        i128::from(self.seconds) == -YEAR_1_S && self.nanos == 0
    }

    /// As Go source.
    pub(super) fn go_text(self) -> String {
        let ((year, month, day), (hour, minute, second)) = (self.date(), self.clock());
        let month = usize::try_from(month - 1).ok().and_then(|at| MONTHS.get(at)).unwrap_or(&"");
        let nanos = self.nanos;
        format!("time.Date({year}, time.{month}, {day}, {hour}, {minute}, {second}, {nanos}, time.UTC)")
    }

    /// Later by `ns`.
    pub(super) fn plus(self, ns: i64) -> Self {
        let nanos = i64::from(self.nanos) + ns.rem_euclid(NS_PER_S);
        let seconds = self.seconds.saturating_add(ns.div_euclid(NS_PER_S)).saturating_add(nanos / NS_PER_S);
        Self { seconds, nanos: u32::try_from(nanos % NS_PER_S).unwrap_or_default() }
    }

    /// Nanoseconds since `earlier`, within what 64 bits hold.
    pub(super) fn since(self, earlier: Self) -> i64 {
        let seconds = i128::from(self.seconds) - i128::from(earlier.seconds);
        let ns = seconds * i128::from(NS_PER_S) + i128::from(self.nanos) - i128::from(earlier.nanos);
        i64::try_from(ns).unwrap_or(if ns < 0 { i64::MIN } else { i64::MAX })
    }

    /// Down to a multiple of `ns`, counted from the year 1; as it is where `ns` is not above zero.
    pub(super) fn truncated(self, ns: i64) -> Self {
        if ns > 0 { self.plus(-self.past_multiple(ns)) } else { self }
    }

    /// To the nearest multiple of `ns`, halves up.
    pub(super) fn rounded(self, ns: i64) -> Self {
        if ns <= 0 {
            return self;
        }
        let past = self.past_multiple(ns);
        if past < ns - past { self.plus(-past) } else { self.plus(ns - past) }
    }

    fn past_multiple(self, ns: i64) -> i64 {
        let total = (i128::from(self.seconds) + YEAR_1_S) * i128::from(NS_PER_S) + i128::from(self.nanos);
        i64::try_from(total.rem_euclid(i128::from(ns))).expect("a remainder is below its divisor")
    }

    /// Moved by whole calendar units; a day that its month lacks runs over into the next.
    pub(super) fn plus_date(self, years: i64, months: i64, days: i64) -> Self {
        let (year, month, day) = self.date();
        let month = month.saturating_sub(1).saturating_add(months);
        let year = year.saturating_add(years).saturating_add(month.div_euclid(12));
        let year = year.clamp(-1_000_000_000, 1_000_000_000);
        let first = days_from_civil(year, month.rem_euclid(12) + 1, 1);
        let days = first.saturating_add(day - 1).saturating_add(days.clamp(-1 << 40, 1 << 40));
        Self { seconds: days.saturating_mul(DAY_S).saturating_add(self.seconds.rem_euclid(DAY_S)), ..self }
    }
}

/// As Go's `String` method: `2015-09-28 22:43:03.12 +0000 UTC`.
impl fmt::Display for Time {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ((year, month, day), (hour, minute, second)) = (self.date(), self.clock());
        write!(f, "{year:04}-{month:02}-{day:02} {hour:02}:{minute:02}:{second:02}")?;
        if self.nanos > 0 {
            f.write_str(format!(".{:09}", self.nanos).trim_end_matches('0'))?;
        }
        f.write_str(" +0000 UTC")
    }
}

/// Year, month and day of a day since 1970 in the proleptic Gregorian calendar.
fn civil(days: i64) -> (i64, i64, i64) {
    // Years start in March here, so that a leap day is a year's last; 400 years are 146097 days.
    let shifted = days.saturating_add(719_468);
    let era = shifted.div_euclid(146_097);
    let day_of_era = shifted.rem_euclid(146_097);
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month + 2) / 5 + 1;
    let month = if month < 10 { month + 3 } else { month - 9 };
    (year_of_era + era * 400 + i64::from(month <= 2), month, day)
}

/// The reverse of [`civil`].
fn days_from_civil(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let era = year.div_euclid(400);
    let year_of_era = year.rem_euclid(400);
    let month = (month + 9) % 12;
    let day_of_year = (153 * month + 2) / 5 + day - 1;
    let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    era * 146_097 + day_of_era - 719_468
}

/// Nanoseconds as Go's `Duration` prints them: `1h30m0s`, `1.5ms`.
pub(super) fn duration_text(ns: i64) -> String {
    let sign = if ns < 0 { "-" } else { "" };
    let magnitude = ns.unsigned_abs();
    let fraction = |value: u64, unit: u64, name: &str| {
        let digits = unit.ilog10() as usize;
        let rest = format!("{:0digits$}", value % unit);
        let rest = rest.trim_end_matches('0');
        let point = if rest.is_empty() || digits == 0 { "" } else { "." };
        let rest = if digits == 0 { "" } else { rest };
        format!("{}{point}{rest}{name}", value / unit)
    };
    let text = match magnitude {
        0 => return "0s".to_owned(),
        1..1_000 => format!("{magnitude}ns"),
        1_000..1_000_000 => fraction(magnitude, 1_000, "µs"),
        1_000_000..1_000_000_000 => fraction(magnitude, 1_000_000, "ms"),
        _ => {
            let whole = magnitude / 1_000_000_000;
            let (hours, minutes) = (whole / 3600, whole / 60 % 60);
            let seconds = fraction(magnitude % 60_000_000_000, 1_000_000_000, "s");
            match (hours, minutes) {
                (0, 0) => seconds,
                (0, _) => format!("{minutes}m{seconds}"),
                _ => format!("{hours}h{minutes}m{seconds}"),
            }
        }
    };
    format!("{sign}{text}")
}

/// To the nearest multiple of `unit`, halves away from zero; both in nanoseconds.
pub(super) fn duration_rounded(ns: i64, unit: i64) -> i64 {
    if unit <= 0 {
        return ns;
    }
    let past = i128::from(ns % unit);
    let (ns, unit) = (i128::from(ns), i128::from(unit));
    let rounded = if past.abs() * 2 < unit { ns - past } else { ns - past + unit * past.signum() };
    i64::try_from(rounded).unwrap_or(if rounded < 0 { i64::MIN } else { i64::MAX })
}

/// Nanoseconds as seconds, rounded once as Go does: whole seconds apart from the rest.
pub(super) fn duration_seconds(ns: i64) -> f64 {
    in_units(ns, NS_PER_S)
}

/// Nanoseconds in a larger unit of so many of them.
pub(super) fn in_units(ns: i64, unit: i64) -> f64 {
    (ns / unit) as f64 + (ns % unit) as f64 / unit as f64
}
