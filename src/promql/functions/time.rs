//! Calendar fields of a time, in UTC.

/// A day of the proleptic Gregorian calendar and the second in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Civil {
    year: i64,
    month: i64,
    day: i64,
    days_since_epoch: i64,
    second_of_day: i64,
}

impl Civil {
    fn of(seconds: i128) -> Self {
        let days_since_epoch = narrow(seconds.div_euclid(86_400));
        // Years are counted from 1 March, so that a leap day is the last of its year, in eras of 400 years.
        let days = days_since_epoch + 719_468;
        let era = days.div_euclid(146_097);
        let day_of_era = days.rem_euclid(146_097);
        let year_of_era =
            (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
        let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
        let month_from_march = (5 * day_of_year + 2) / 153;
        let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
        let month = if month_from_march < 10 { month_from_march + 3 } else { month_from_march - 9 };
        let year = year_of_era + era * 400 + i64::from(month <= 2);
        Self { year, month, day, days_since_epoch, second_of_day: narrow(seconds.rem_euclid(86_400)) }
    }

    fn is_leap_year(&self) -> bool {
        self.year % 4 == 0 && (self.year % 100 != 0 || self.year % 400 == 0)
    }

    fn days_in_month(&self) -> i64 {
        match self.month {
            4 | 6 | 9 | 11 => 30,
            2 => 28 + i64::from(self.is_leap_year()),
            _ => 31,
        }
    }

    fn day_of_year(&self) -> i64 {
        const DAYS_BEFORE: [i64; 12] = [0, 31, 59, 90, 120, 151, 181, 212, 243, 273, 304, 334];
        let before = DAYS_BEFORE.get(usize::try_from(self.month - 1).unwrap_or(0)).copied().unwrap_or(0);
        before + self.day + i64::from(self.month > 2 && self.is_leap_year())
    }
}

/// The calendar function of that name: from seconds since the epoch, whole ones, to its field.
pub(crate) fn field(name: &str) -> Option<fn(f64) -> f64> {
    Some(match name {
        "day_of_month" => |t| civil(t).day as f64,
        "day_of_week" => |t| (civil(t).days_since_epoch + 4).rem_euclid(7) as f64,
        "day_of_year" => |t| civil(t).day_of_year() as f64,
        "days_in_month" => |t| civil(t).days_in_month() as f64,
        "hour" => |t| (civil(t).second_of_day / 3600) as f64,
        "minute" => |t| (civil(t).second_of_day / 60 % 60) as f64,
        "month" => |t| civil(t).month as f64,
        "year" => |t| civil(t).year as f64,
        _ => return None,
    })
}

/// Seconds from the first moment that upstream's clock can tell to the epoch.
const BEFORE_EPOCH_S: i128 = 9_223_372_028_741_760_000;

/// Fractions are cut off towards zero. What is no 64-bit count of seconds is the least of them, and what lies before the
/// first moment of upstream's clock wraps around to its end, as with upstream on x86-64.
fn civil(seconds: f64) -> Civil {
    // 2^63 is the first float above all counts.
    let fits = (-(2.0_f64.powi(63))..2.0_f64.powi(63)).contains(&seconds);
    let whole = i128::from(if fits { seconds as i64 } else { i64::MIN });
    Civil::of(if whole < -BEFORE_EPOCH_S { whole + (1 << 64) } else { whole })
}

/// A count of days or seconds that is known to be small enough.
fn narrow(count: i128) -> i64 {
    i64::try_from(count).expect("2^64 seconds have fewer days than 2^63")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn value(name: &str, t: f64) -> f64 {
        field(name).expect("a calendar function")(t)
    }

    #[test]
    fn a_leap_day() {
        let t = 1_709_210_096.0; // 2024-02-29T12:34:56Z, a Thursday
        let fields = [
            ("year", 2024.0),
            ("month", 2.0),
            ("day_of_month", 29.0),
            ("day_of_week", 4.0),
            ("day_of_year", 60.0),
            ("days_in_month", 29.0),
            ("hour", 12.0),
            ("minute", 34.0),
        ];
        for (name, expected) in fields {
            assert_eq!(value(name, t), expected, "{name}");
        }
        assert!(field("week").is_none());
    }

    #[test]
    fn before_the_epoch_and_far_away() {
        assert_eq!((value("year", -1.0), value("month", -1.0)), (1969.0, 12.0));
        assert_eq!(value("day_of_year", 946_684_799.0), 365.0);
        assert_eq!(value("days_in_month", -2_206_310_400.0), 28.0); // February 1900
        // As a Prometheus 3.5.3 on x86-64 answers.
        assert_eq!((value("year", 1e18), value("month", 1e18)), (31_688_740_476.0, 10.0));
        assert_eq!((value("year", -9e18), value("hour", -9e18)), (-285_198_644_592.0, 8.0));
        for no_time in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY, 1e100, -1e19] {
            assert_eq!(value("year", no_time), 292_277_026_596.0);
            assert_eq!((value("month", no_time), value("day_of_month", no_time)), (12.0, 4.0));
            assert_eq!((value("day_of_week", no_time), value("day_of_year", no_time)), (0.0, 339.0));
            assert_eq!((value("hour", no_time), value("minute", no_time)), (15.0, 30.0));
        }
    }
}
