//! Numbers, as Go reads them.

/// Reads a number as upstream does: an integer with Go's prefixes (`0x`, and a leading zero for octal) and digit
/// separators, else a float. The error is Go's text.
pub(crate) fn parse_number(text: &str) -> Result<f64, String> {
    if let Some(integer) = parse_integer(text) {
        return Ok(integer as f64);
    }
    let error = |what: &str| format!("strconv.ParseFloat: parsing {}: {what}", crate::model::GoQuoted(text));
    let value = parse_float(text).ok_or_else(|| error("invalid syntax"))?;
    if value.is_infinite() && text.contains(|c: char| c.is_ascii_digit()) {
        return Err(error("value out of range"));
    }
    Ok(value)
}

/// Go's `strconv.ParseInt(text, 0, 64)`.
fn parse_integer(text: &str) -> Option<i64> {
    if !underscores_separate_digits(text) {
        return None;
    }
    let (negative, digits) = match text.as_bytes().first()? {
        b'-' => (true, &text[1..]),
        b'+' => (false, &text[1..]),
        _ => (false, text),
    };
    let plain = digits.replace('_', "").to_ascii_lowercase();
    let (radix, digits) = match plain.as_bytes() {
        [b'0', b'x', ..] => (16, &plain[2..]),
        [b'0', b'b', ..] => (2, &plain[2..]),
        [b'0', b'o', ..] => (8, &plain[2..]),
        [b'0', _, ..] => (8, &plain[1..]),
        _ => (10, plain.as_str()),
    };
    if digits.starts_with(['+', '-']) {
        return None;
    }
    let magnitude = u64::from_str_radix(digits, radix).ok()?;
    if negative { 0_i64.checked_sub_unsigned(magnitude) } else { i64::try_from(magnitude).ok() }
}

/// Go's `strconv.ParseFloat(text, 64)` for decimal numbers.
fn parse_float(text: &str) -> Option<f64> {
    if !underscores_separate_digits(text) {
        return None;
    }
    let unsigned = text.strip_prefix(['+', '-']).unwrap_or(text);
    let is_word = ["inf", "infinity", "nan"].iter().any(|word| unsigned.eq_ignore_ascii_case(word));
    let is_decimal = unsigned.starts_with(|c: char| c.is_ascii_digit() || c == '.');
    if !is_word && !is_decimal
        || (is_word && text.len() > unsigned.len() && unsigned.eq_ignore_ascii_case("nan"))
    {
        return None;
    }
    text.replace('_', "").parse().ok()
}

/// Whether each underscore stands between digits; a prefix such as `0x` counts as a digit.
fn underscores_separate_digits(text: &str) -> bool {
    if !text.contains('_') {
        return true;
    }
    let unsigned = text.strip_prefix(['+', '-']).unwrap_or(text).to_ascii_lowercase();
    let has_prefix = ["0x", "0b", "0o"].iter().any(|prefix| unsigned.starts_with(prefix));
    let is_hex = unsigned.starts_with("0x");
    let (mut before_is_digit, digits) =
        if has_prefix { (true, &unsigned[2..]) } else { (false, unsigned.as_str()) };
    let mut pending = false;
    for c in digits.chars() {
        let is_digit = if is_hex { c.is_ascii_hexdigit() } else { c.is_ascii_digit() };
        if (c == '_' && !before_is_digit) || (pending && !is_digit) {
            return false;
        }
        pending = c == '_';
        before_is_digit = is_digit;
    }
    !pending
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_read_as_go_reads_them() {
        let cases = [
            ("1", 1.0),
            ("-0", 0.0),
            ("1_000", 1000.0),
            ("0x_1F", 31.0),
            ("0xdeadbeef", 3_735_928_559.0),
            ("017", 15.0),
            ("08", 8.0),
            ("1e3", 1000.0),
            ("1_2.5_0", 12.5),
            (".5", 0.5),
            ("5.", 5.0),
            ("+Inf", f64::INFINITY),
            ("-inf", f64::NEG_INFINITY),
            ("9223372036854775808", 9_223_372_036_854_775_808.0),
        ];
        for (text, value) in cases {
            assert_eq!(parse_number(text), Ok(value), "{text}");
        }
        assert!(parse_number("NaN").is_ok_and(f64::is_nan));
    }

    #[test]
    fn what_go_refuses_is_refused_with_its_text() {
        for bad in
            ["", "1_", "_1", "1__0", "0x", "0x1ffffffffffffffff", "1.2.3", "x", "+nan", "1e", "--1", "0x+1"]
        {
            let message = format!("strconv.ParseFloat: parsing {bad:?}: invalid syntax");
            assert_eq!(parse_number(bad), Err(message));
        }
        assert_eq!(
            parse_number("1e999"),
            Err("strconv.ParseFloat: parsing \"1e999\": value out of range".to_owned())
        );
    }
}
