//! Sample values: the stale marker, and Go's way to print a float.

/// Bits of the NaN that marks a series as stale.
pub const STALE_NAN_BITS: u64 = 0x7ff0_0000_0000_0002;

/// The NaN that marks a series as stale.
pub const fn stale_nan() -> f64 {
    f64::from_bits(STALE_NAN_BITS)
}

/// Whether `value` is the stale marker (other NaNs are not).
pub const fn is_stale(value: f64) -> bool {
    value.to_bits() == STALE_NAN_BITS
}

/// `value` as Go prints it with `strconv.FormatFloat(v, 'f', -1, 64)`: shortest that reads back, never an exponent;
/// `NaN`, `+Inf`, `-Inf`. This is how the HTTP API and label values print numbers.
pub fn format_float(value: f64) -> String {
    if value.is_nan() {
        "NaN".to_owned()
    } else if value.is_infinite() {
        if value > 0.0 { "+Inf".to_owned() } else { "-Inf".to_owned() }
    } else {
        format!("{value}")
    }
}

/// `value` as Go prints it with `strconv.FormatFloat(v, 'e', -1, 64)`: shortest that reads back, always with a signed
/// exponent of at least two digits; `NaN`, `+Inf`, `-Inf`. The HTTP API prints values of alerts so.
pub fn format_float_e(value: f64) -> String {
    let scientific = format!("{value:e}");
    let Some((digits, exponent)) = scientific.split_once('e') else { return format_float(value) };
    let (sign, exponent) = match exponent.strip_prefix('-') {
        Some(exponent) => ('-', exponent),
        None => ('+', exponent),
    };
    format!("{digits}e{sign}{exponent:0>2}")
}

/// `value` as Go prints it with `%g` or `%v`: shortest that reads back, with an exponent of at least two digits below
/// 1e-4 and from 1e6 on; `NaN`, `+Inf`, `-Inf`. Upstream's messages print numbers so.
pub fn format_float_g(value: f64) -> String {
    let magnitude = value.abs();
    if magnitude == 0.0 || (1e-4..1e6).contains(&magnitude) {
        return format_float(value);
    }
    format_float_e(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn floats_print_as_go_prints_them() {
        let cases = [
            (0.0, "0"),
            (-0.0, "-0"),
            (0.1, "0.1"),
            (1e21, "1000000000000000000000"),
            (1e-7, "0.0000001"),
            (f64::NAN, "NaN"),
            (f64::INFINITY, "+Inf"),
            (f64::NEG_INFINITY, "-Inf"),
        ];
        for (value, text) in cases {
            assert_eq!(format_float(value), text);
        }
    }

    #[test]
    fn exponents_appear_where_go_has_them() {
        let cases = [
            (0.0, "0"),
            (123_456.0, "123456"),
            (1e6, "1e+06"),
            (1_234_567.5, "1.2345675e+06"),
            (1e100, "1e+100"),
            (0.0001, "0.0001"),
            (-0.000_012, "-1.2e-05"),
            (f64::NAN, "NaN"),
            (f64::NEG_INFINITY, "-Inf"),
        ];
        for (value, text) in cases {
            assert_eq!(format_float_g(value), text);
        }
    }

    #[test]
    fn values_of_alerts_always_have_an_exponent() {
        let cases = [
            (0.0, "0e+00"),
            (1.0, "1e+00"),
            (-12.5, "-1.25e+01"),
            (1.5e-7, "1.5e-07"),
            (1e300, "1e+300"),
            (f64::NAN, "NaN"),
            (f64::INFINITY, "+Inf"),
        ];
        for (value, text) in cases {
            assert_eq!(format_float_e(value), text);
        }
    }

    #[test]
    fn only_the_marker_is_stale() {
        assert!(is_stale(stale_nan()) && stale_nan().is_nan());
        assert!(!is_stale(f64::NAN));
    }
}
