//! Parameters of a request: the query string and, for POST, the form in the body; times, durations and limits in
//! them as Prometheus reads them, with its error texts.

use crate::model::{Timestamp, parse_duration, parse_rfc3339_ms};

use super::answer::ApiError;

/// Oldest time that the API takes where none is given.
pub(super) const TIME_MS_MIN: Timestamp = (i64::MIN / 1_000 + 62_135_596_801) * 1_000;
/// Newest time that the API takes where none is given.
pub(super) const TIME_MS_MAX: Timestamp = (i64::MAX / 1_000 - 62_135_596_801) * 1_000 + 999;
/// The two as RFC 3339 texts; their years do not fit the usual reader.
const TIME_MIN_TEXT: &str = "-292273086-05-16T16:47:06Z";
const TIME_MAX_TEXT: &str = "292277025-08-18T07:12:54.999999999Z";

/// Names and values in the order in which they count: the body's before the query string's.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Params {
    pairs: Vec<(String, String)>,
    /// Pairs from `url_start` on came with the query string.
    url_start: usize,
    error: Option<String>,
}

impl Params {
    /// From the form in the body, if there is one, and the query string. What cannot be read is left out; the first
    /// reason is kept.
    pub(super) fn parse(form: &[u8], query: &str) -> Self {
        let mut params = Self::default();
        params.read(form);
        params.url_start = params.pairs.len();
        params.read(query.as_bytes());
        params
    }

    /// The first value of `name`, empty where there is none.
    pub(super) fn get(&self, name: &str) -> &str {
        find(&self.pairs, name)
    }

    /// The first value of `name` in the query string alone.
    pub(super) fn get_from_url(&self, name: &str) -> &str {
        find(&self.pairs[self.url_start..], name)
    }

    /// All values of `name`.
    pub(super) fn all<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> {
        self.pairs.iter().filter(move |(n, _)| n == name).map(|(_, value)| value.as_str())
    }

    /// Refuses parameters that could not all be read.
    pub(super) fn check(&self) -> Result<(), ApiError> {
        match &self.error {
            Some(error) => Err(ApiError::bad_data(format!("error parsing form values: {error}"))),
            None => Ok(()),
        }
    }

    /// `limit`, 0 for none.
    pub(super) fn limit(&self) -> Result<usize, ApiError> {
        let text = self.get("limit");
        if text.is_empty() {
            return Ok(0);
        }
        let limit = parse_integer(text).map_err(|error| ApiError::parameter("limit", error))?;
        usize::try_from(limit).map_err(|_| ApiError::parameter("limit", "limit must be non-negative"))
    }

    /// A time that may be left out.
    pub(super) fn time_or(&self, name: &str, default: Timestamp) -> Result<Timestamp, ApiError> {
        let text = self.get(name);
        if text.is_empty() {
            return Ok(default);
        }
        parse_time(text)
            .map_err(|error| ApiError::parameter(name, format!("invalid time value for '{name}': {error}")))
    }

    /// A time that must be there.
    pub(super) fn time(&self, name: &str) -> Result<Timestamp, ApiError> {
        parse_time(self.get(name)).map_err(|error| ApiError::parameter(name, error))
    }

    /// A duration in nanoseconds; `None` where the parameter is empty.
    pub(super) fn duration_ns(&self, name: &str) -> Result<Option<i64>, ApiError> {
        match self.get(name) {
            "" => Ok(None),
            text => parse_duration_ns(text).map(Some).map_err(|error| ApiError::parameter(name, error)),
        }
    }

    fn read(&mut self, text: &[u8]) {
        for pair in text.split(|byte| *byte == b'&').filter(|pair| !pair.is_empty()) {
            if let Err(error) = self.read_pair(pair) {
                self.error.get_or_insert(error);
            }
        }
    }

    fn read_pair(&mut self, pair: &[u8]) -> Result<(), String> {
        if pair.contains(&b';') {
            return Err("invalid semicolon separator in query".to_owned());
        }
        let equals = pair.iter().position(|byte| *byte == b'=').unwrap_or(pair.len());
        let name = unescape(&pair[..equals])?;
        let value = unescape(pair.get(equals + 1..).unwrap_or_default())?;
        self.pairs.push((name, value));
        Ok(())
    }
}

fn find<'a>(pairs: &'a [(String, String)], name: &str) -> &'a str {
    pairs.iter().find(|(n, _)| n == name).map_or("", |(_, value)| value)
}

/// `+` to space, `%41` to `A`. Bytes that are not UTF-8 become U+FFFD.
fn unescape(text: &[u8]) -> Result<String, String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text;
    while let Some((&first, after)) = rest.split_first() {
        rest = after;
        match first {
            b'+' => bytes.push(b' '),
            b'%' => {
                let escaped = rest
                    .get(..2)
                    .and_then(|digits| std::str::from_utf8(digits).ok())
                    .filter(|digits| digits.bytes().all(|byte| byte.is_ascii_hexdigit()))
                    .and_then(|digits| u8::from_str_radix(digits, 16).ok());
                let Some(byte) = escaped else {
                    let shown = String::from_utf8_lossy(&rest[..rest.len().min(2)]);
                    return Err(format!("invalid URL escape {:?}", format!("%{shown}")));
                };
                bytes.push(byte);
                rest = &rest[2..];
            }
            other => bytes.push(other),
        }
    }
    Ok(match String::from_utf8(bytes) {
        Ok(text) => text,
        Err(error) => String::from_utf8_lossy(error.as_bytes()).into_owned(),
    })
}

/// A whole number, with the error texts of Go's `strconv.Atoi`.
pub(super) fn parse_integer(text: &str) -> Result<i64, String> {
    text.parse().map_err(|error| integer_error("Atoi", text, &error))
}

/// A whole number of 32 bits, with the error texts of Go's `strconv.ParseInt`.
pub(super) fn parse_integer_32(text: &str) -> Result<i32, String> {
    text.parse().map_err(|error| integer_error("ParseInt", text, &error))
}

/// Yes or no, with the spellings and error texts of Go's `strconv.ParseBool`.
pub(super) fn parse_bool(text: &str) -> Result<bool, String> {
    match text {
        "1" | "t" | "T" | "true" | "TRUE" | "True" => Ok(true),
        "0" | "f" | "F" | "false" | "FALSE" | "False" => Ok(false),
        _ => Err(format!("strconv.ParseBool: parsing {text:?}: invalid syntax")),
    }
}

fn integer_error(function: &str, text: &str, error: &std::num::ParseIntError) -> String {
    use std::num::IntErrorKind::{NegOverflow, PosOverflow};
    let why = match error.kind() {
        PosOverflow | NegOverflow => "value out of range",
        _ => "invalid syntax",
    };
    format!("strconv.{function}: parsing {text:?}: {why}")
}

/// Seconds since the epoch with fractions, or RFC 3339.
fn parse_time(text: &str) -> Result<Timestamp, String> {
    let invalid = || format!("cannot parse {text:?} to a valid timestamp");
    if let Some(seconds) = parse_number(text) {
        return seconds_to_ms(seconds).ok_or_else(invalid);
    }
    match text {
        TIME_MIN_TEXT => Ok(TIME_MS_MIN),
        TIME_MAX_TEXT => Ok(TIME_MS_MAX),
        _ if text.as_bytes().get(10) == Some(&b'T') => parse_rfc3339_ms(text).ok_or_else(invalid),
        _ => Err(invalid()),
    }
}

/// Fractions are rounded to milliseconds on the way that upstream takes, so that both cut at the same place.
fn seconds_to_ms(seconds: f64) -> Option<Timestamp> {
    let fraction_ns = ((seconds.fract() * 1_000.0).round() / 1_000.0 * 1e9) as i64;
    let whole = seconds.trunc();
    // Also false for a NaN.
    let fits = whole.abs() < 9.2e15;
    fits.then(|| whole as i64 * 1_000 + fraction_ns.div_euclid(1_000_000))
}

/// Seconds with fractions, or a duration such as `1m30s`.
pub(super) fn parse_duration_ns(text: &str) -> Result<i64, String> {
    if let Some(seconds) = parse_number(text) {
        let ns = seconds * 1e9;
        if ns > i64::MAX as f64 || ns < i64::MIN as f64 {
            return Err(format!("cannot parse {text:?} to a valid duration. It overflows int64"));
        }
        // A NaN becomes 0, which every caller refuses or ignores.
        return Ok(ns as i64);
    }
    parse_duration(text)
        .ok()
        .and_then(|ms| ms.checked_mul(1_000_000))
        .ok_or_else(|| format!("cannot parse {text:?} to a valid duration"))
}

/// A float as Go reads it; underscores and hexadecimal digits are left out.
fn parse_number(text: &str) -> Option<f64> {
    text.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_body_counts_before_the_query_string() {
        let params = Params::parse(b"query=up%7Ba%3D%22b+c%22%7D&match[]=a", "query=x&match[]=b&empty");
        assert_eq!(params.get("query"), "up{a=\"b c\"}");
        assert_eq!(params.get_from_url("query"), "x");
        assert_eq!(params.all("match[]").collect::<Vec<_>>(), ["a", "b"]);
        assert_eq!((params.get("empty"), params.get("missing")), ("", ""));
        assert!(params.check().is_ok());
    }

    #[test]
    fn what_cannot_be_read_is_remembered() {
        let params = Params::parse(b"", "a=%zz&b=1&c=%4");
        assert_eq!(params.get("b"), "1");
        let error = params.check().expect_err("escapes are broken");
        assert_eq!(error.message, "error parsing form values: invalid URL escape \"%zz\"");
        assert!(Params::parse(b"a;b=1", "").check().is_err());
    }

    #[test]
    fn times_are_seconds_or_rfc3339() {
        for (text, ms) in [
            ("1435781451.781", 1_435_781_451_781),
            ("1435781451", 1_435_781_451_000),
            ("-1.5", -1_500),
            ("1e3", 1_000_000),
            ("2015-07-01T20:10:51.781Z", 1_435_781_451_781),
            ("2015-07-01T22:10:51+02:00", 1_435_781_451_000),
            (TIME_MIN_TEXT, TIME_MS_MIN),
            (TIME_MAX_TEXT, TIME_MS_MAX),
        ] {
            assert_eq!(parse_time(text), Ok(ms), "{text}");
        }
        for bad in ["", "yesterday", "NaN", "Inf", "1e300", "2015-07-01 20:10:51Z", "2015-07-01"] {
            assert_eq!(parse_time(bad), Err(format!("cannot parse {bad:?} to a valid timestamp")));
        }
    }

    #[test]
    fn durations_are_seconds_or_units() {
        assert_eq!(parse_duration_ns("1.5"), Ok(1_500_000_000));
        assert_eq!(parse_duration_ns("1h"), Ok(3_600_000_000_000));
        assert_eq!(parse_duration_ns("-1"), Ok(-1_000_000_000));
        assert_eq!(parse_duration_ns("bar"), Err("cannot parse \"bar\" to a valid duration".to_owned()));
        assert!(parse_duration_ns("1e20").is_err_and(|error| error.ends_with("It overflows int64")));
    }

    #[test]
    fn limits_are_whole_and_not_negative() {
        let limit = |text: &str| Params::parse(b"", &format!("limit={text}")).limit();
        assert_eq!(limit("").ok(), Some(0));
        assert_eq!(limit("7").ok(), Some(7));
        for (bad, why) in [
            ("a", "strconv.Atoi: parsing \"a\": invalid syntax"),
            ("99999999999999999999", "strconv.Atoi: parsing \"99999999999999999999\": value out of range"),
            ("-1", "limit must be non-negative"),
        ] {
            let error = limit(bad).expect_err("the limit is bad");
            assert_eq!(error.message, format!("invalid parameter \"limit\": {why}"));
        }
    }
}
