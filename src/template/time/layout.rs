//! Times by a layout: the time `Mon Jan 2 15:04:05 MST 2006` written as all times shall be.

use super::{MONTHS, Time, WEEKDAYS};

/// Elements of a layout. Where several fit at a place the first counts.
const ELEMENTS: [(&str, Element); 38] = [
    ("January", Element::MonthName),
    ("Jan", Element::MonthShort),
    ("Monday", Element::WeekdayName),
    ("Mon", Element::WeekdayShort),
    ("MST", Element::Zone),
    ("002", Element::YearDayPadded),
    ("01", Element::MonthPadded),
    ("02", Element::DayPadded),
    ("03", Element::Hour12Padded),
    ("04", Element::MinutePadded),
    ("05", Element::SecondPadded),
    ("06", Element::YearShort),
    ("15", Element::HourPadded),
    ("1", Element::Month),
    ("2006", Element::Year),
    ("2", Element::Day),
    // A year behind an underscore, which is no padded day.
    ("_2006", Element::UnderscoreYear),
    ("_2", Element::DaySpaced),
    ("__2", Element::YearDaySpaced),
    ("3", Element::Hour12),
    ("4", Element::Minute),
    ("5", Element::Second),
    ("PM", Element::NoonUpper),
    ("pm", Element::NoonLower),
    ("-070000", Element::Offset("+000000")),
    ("-07:00:00", Element::Offset("+00:00:00")),
    ("-0700", Element::Offset("+0000")),
    ("-07:00", Element::Offset("+00:00")),
    ("-07", Element::Offset("+00")),
    ("Z070000", Element::Offset("Z")),
    ("Z07:00:00", Element::Offset("Z")),
    ("Z0700", Element::Offset("Z")),
    ("Z07:00", Element::Offset("Z")),
    ("Z07", Element::Offset("Z")),
    (".0", Element::Fraction),
    (",0", Element::Fraction),
    (".9", Element::Fraction),
    (",9", Element::Fraction),
];

#[derive(Clone, Copy)]
enum Element {
    MonthName,
    MonthShort,
    Month,
    MonthPadded,
    WeekdayName,
    WeekdayShort,
    Day,
    DaySpaced,
    DayPadded,
    YearDaySpaced,
    YearDayPadded,
    HourPadded,
    Hour12,
    Hour12Padded,
    Minute,
    MinutePadded,
    Second,
    SecondPadded,
    Year,
    YearShort,
    UnderscoreYear,
    NoonUpper,
    NoonLower,
    Zone,
    Offset(&'static str),
    Fraction,
}

/// `time` as `layout` asks for.
pub(in crate::template) fn format(time: Time, layout: &str) -> String {
    let mut out = String::with_capacity(layout.len() + 16);
    let mut rest = layout;
    while let Some(c) = rest.chars().next() {
        match element_at(rest) {
            Some((len, element)) => {
                write(&mut out, time, element, &rest[..len]);
                rest = &rest[len..];
            }
            None => {
                out.push(c);
                rest = &rest[c.len_utf8()..];
            }
        }
    }
    out
}

/// The element that starts here, and its length.
fn element_at(text: &str) -> Option<(usize, Element)> {
    let (name, element) = ELEMENTS.iter().find(|(name, element)| {
        let follows = text.strip_prefix(name);
        match (element, follows) {
            (_, None) => false,
            // `Janet` and `Monty` are no names.
            (Element::MonthShort | Element::WeekdayShort, Some(rest)) => {
                !rest.starts_with(|c: char| c.is_ascii_lowercase())
            }
            (Element::Fraction, Some(_)) => fraction_len(text).is_some(),
            _ => true,
        }
    })?;
    match element {
        Element::Fraction => Some((fraction_len(text)?, *element)),
        _ => Some((name.len(), *element)),
    }
}

/// Length of a point and its zeros or nines, behind which no digit may follow.
fn fraction_len(text: &str) -> Option<usize> {
    let digit = text[1..].chars().next()?;
    let digits = text[1..].len() - text[1..].trim_start_matches(digit).len();
    let followed = text[1 + digits..].starts_with(|c: char| c.is_ascii_digit());
    (!followed).then_some(1 + digits)
}

fn write(out: &mut String, time: Time, element: Element, text: &str) {
    let ((year, month, day), (hour, minute, second)) = (time.date(), time.clock());
    let hour_12 = if hour % 12 == 0 { 12 } else { hour % 12 };
    let month_name = name(&MONTHS, month - 1);
    let weekday_name = name(&WEEKDAYS, time.weekday());
    let piece = match element {
        Element::MonthName => month_name.to_owned(),
        Element::MonthShort => month_name[..3].to_owned(),
        Element::Month => month.to_string(),
        Element::MonthPadded => format!("{month:02}"),
        Element::WeekdayName => weekday_name.to_owned(),
        Element::WeekdayShort => weekday_name[..3].to_owned(),
        Element::Day => day.to_string(),
        Element::DaySpaced => format!("{day:2}"),
        Element::DayPadded => format!("{day:02}"),
        Element::YearDaySpaced => format!("{:3}", time.year_day()),
        Element::YearDayPadded => format!("{:03}", time.year_day()),
        Element::HourPadded => format!("{hour:02}"),
        Element::Hour12 => hour_12.to_string(),
        Element::Hour12Padded => format!("{hour_12:02}"),
        Element::Minute => minute.to_string(),
        Element::MinutePadded => format!("{minute:02}"),
        Element::Second => second.to_string(),
        Element::SecondPadded => format!("{second:02}"),
        Element::Year => format!("{year:04}"),
        Element::YearShort => format!("{:02}", year.rem_euclid(100)),
        Element::UnderscoreYear => format!("_{year:04}"),
        Element::NoonUpper => if hour < 12 { "AM" } else { "PM" }.to_owned(),
        Element::NoonLower => if hour < 12 { "am" } else { "pm" }.to_owned(),
        Element::Zone => "UTC".to_owned(),
        Element::Offset(text) => text.to_owned(),
        Element::Fraction => fraction(time.nanos, text),
    };
    out.push_str(&piece);
}

fn name(names: &[&'static str], at: i64) -> &'static str {
    usize::try_from(at)
        .ok()
        .and_then(|at| names.get(at))
        .expect("months and days of the week are within their range")
}

/// `.000` keeps zeros, `.999` drops those at the end.
fn fraction(nanos: u32, text: &str) -> String {
    let count = text.len() - 1;
    let digits: String = format!("{nanos:09}").chars().chain(std::iter::repeat('0')).take(count).collect();
    let digits = if text.ends_with('9') { digits.trim_end_matches('0') } else { &digits };
    if digits.is_empty() { String::new() } else { format!("{}{digits}", &text[..1]) }
}
