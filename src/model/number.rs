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

/// `value` as Go prints it with `%g` or `%v`: shortest that reads back, with an exponent of at least two digits below
/// 1e-4 and from 1e6 on; `NaN`, `+Inf`, `-Inf`. Upstream's messages print numbers so.
pub fn format_float_g(value: f64) -> String {
    let scientific = format!("{value:e}");
    let Some((digits, exponent)) = scientific.split_once('e') else { return format_float(value) };
    let exponent: i32 = exponent.parse().unwrap_or_default();
    if (-4..6).contains(&exponent) {
        return format_float(value);
    }
    let sign = if exponent < 0 { '-' } else { '+' };
    format!("{digits}e{sign}{:02}", exponent.abs())
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
    fn only_the_marker_is_stale() {
        assert!(is_stale(stale_nan()) && stale_nan().is_nan());
        assert!(!is_stale(f64::NAN));
    }
}
