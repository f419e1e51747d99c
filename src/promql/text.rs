//! Numbers as Go prints them, where messages and labels of upstream carry them.

use crate::model::{format_float, format_float_g};

/// `value` as Go's `%.2g` prints it.
pub(crate) fn format_g2(value: f64) -> String {
    if value == 0.0 || !value.is_finite() {
        return format_float(value);
    }
    let scientific = format!("{value:.1e}");
    let (digits, exponent) = split_exponent(&scientific);
    let digits = digits.strip_suffix(".0").unwrap_or(digits);
    if (-4..2).contains(&exponent) {
        format_float(scientific.parse().unwrap_or(value))
    } else {
        with_exponent(digits, exponent)
    }
}

fn split_exponent(scientific: &str) -> (&str, i32) {
    let (digits, exponent) = scientific.split_once('e').unwrap_or((scientific, "0"));
    (digits, exponent.parse().unwrap_or(0))
}

/// Go writes at least two digits and always the sign.
fn with_exponent(digits: &str, exponent: i32) -> String {
    let sign = if exponent < 0 { '-' } else { '+' };
    format!("{digits}e{sign}{:02}", exponent.unsigned_abs())
}

/// `value` as OpenMetrics writes label values that are numbers: always with a point or an exponent.
pub(crate) fn format_open_metrics(value: f64) -> String {
    let text = format_float_g(value);
    if value.is_finite() && !text.contains(['e', '.']) { text + ".0" } else { text }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn floats_print_as_go_prints_them() {
        for (value, text) in [(10.0, "10"), (100.0, "1e+02"), (0.123, "0.12"), (1.0, "1"), (15.0, "15")] {
            assert_eq!(format_g2(value), text);
        }
        assert_eq!(format_open_metrics(2.0), "2.0");
        assert_eq!(format_open_metrics(0.9), "0.9");
    }
}
