//! Numbers of the exposition formats, read as Go reads them.

/// The one NaN that is stored for every NaN of a target: upstream's usual one, never the stale marker.
const USUAL_NAN: f64 = f64::from_bits(0x7ff8_0000_0000_0001);

/// Reads a float: decimal, or an infinity or NaN in any case. Says why where it is none.
pub(super) fn parse_float(text: &str) -> Result<f64, &'static str> {
    let value: f64 = text.parse().map_err(|_| "invalid number")?;
    if value.is_nan() {
        // Go knows no sign before a NaN.
        return if text.starts_with(['+', '-']) { Err("invalid number") } else { Ok(USUAL_NAN) };
    }
    if value.is_infinite() && text.contains(|c: char| c.is_ascii_digit()) {
        return Err("number out of range");
    }
    Ok(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn floats_read_as_go_reads_them() {
        for (text, value) in [
            ("1", 1.0),
            ("-.5", -0.5),
            ("1.", 1.0),
            ("+1e3", 1000.0),
            ("Inf", f64::INFINITY),
            ("-infinity", f64::NEG_INFINITY),
            ("+inf", f64::INFINITY),
        ] {
            assert_eq!(parse_float(text), Ok(value), "{text}");
        }
        for text in ["NaN", "nan"] {
            assert_eq!(parse_float(text).map(f64::to_bits), Ok(0x7ff8_0000_0000_0001), "{text}");
        }
        for text in ["", "+NaN", "0x1", "0x1p2", "1_000", "1e", "1e999", "one", " 1", "1 "] {
            assert!(parse_float(text).is_err(), "{text}");
        }
    }
}
