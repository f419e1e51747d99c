//! Where the buckets of native histograms begin and end.

use std::sync::LazyLock;

use super::histogram::CUSTOM_BUCKETS_SCHEMA;

/// Finest exponential schema.
const SCHEMA_MAX: i32 = 8;

/// Upper bounds within `[0.5, 1)` of the finest schema; coarser ones take every second, fourth, and so on.
static FRACTIONS: LazyLock<Vec<f64>> = LazyLock::new(fractions);

/// Ratios of neighbouring bounds, of schemas 1 to 8: `2^(2^-schema)`, as Go computed them once (its `math.Exp2(0.5)`
/// was a last bit low). Written out, since mathematical libraries differ in that bit.
const FACTORS: [u64; 8] = [
    0x3ff6_a09e_667f_3bcc,
    0x3ff3_06fe_0a31_b715,
    0x3ff1_72b8_3c7d_517b,
    0x3ff0_b558_6cf9_890f,
    0x3ff0_59b0_d315_8574,
    0x3ff0_2c9a_3e77_8061,
    0x3ff0_163d_a9fb_3335,
    0x3ff0_0b1a_fa5a_bcbf,
];

/// Each finer schema keeps the bounds of the coarser one and multiplies its way to those between. The last bits of a
/// bound depend on the way, and clients compare bounds as texts; so this is upstream's way.
fn fractions() -> Vec<f64> {
    FACTORS.iter().fold(vec![0.5], |coarse, factor| {
        let factor = f64::from_bits(*factor);
        coarse.iter().flat_map(|bound| [*bound, bound * factor]).collect()
    })
}

/// Upper bound of the bucket at `index`: of an exponential schema, or among `custom_values`.
///
/// Positive buckets go from the bound before theirs, exclusive, to theirs, inclusive; negative ones mirror them.
/// Indexes beyond the custom bounds give infinities.
///
/// Defined by: Prometheus' native histogram specification.
pub fn bucket_bound(index: i32, schema: i32, custom_values: &[f64]) -> f64 {
    if schema == CUSTOM_BUCKETS_SCHEMA {
        return match usize::try_from(index) {
            Ok(index) => custom_values.get(index).copied().unwrap_or(f64::INFINITY),
            Err(_) => f64::NEG_INFINITY,
        };
    }
    let (fraction, exponent) = if schema < 0 {
        (0.5, (i64::from(index) << schema.unsigned_abs().min(16)) + 1)
    } else {
        let schema = schema.min(SCHEMA_MAX);
        let within = usize::try_from(index & ((1 << schema) - 1)).expect("a masked index is not negative");
        (FRACTIONS[within << (SCHEMA_MAX - schema)], i64::from(index >> schema) + 1)
    };
    // The last bucket of regular numbers ends with the largest of them; its bound by the formula would be infinite,
    // and that is the bucket of infinities.
    if fraction == 0.5 && exponent == 1_025 {
        return f64::MAX;
    }
    times_power_of_two(fraction, exponent)
}

/// `fraction * 2^exponent`, for a fraction in `[0.5, 1)`; correct down to the smallest floats.
fn times_power_of_two(fraction: f64, exponent: i64) -> f64 {
    let exponent = i32::try_from(exponent.clamp(-1_200, 1_200)).expect("clamped exponents are small");
    match exponent {
        // Half the way first: 2^1024 is no float, the product may be one; nor is 2^-1075.
        1_000.. => fraction * 2.0_f64.powi(1_000) * 2.0_f64.powi(exponent - 1_000),
        ..=-1_000 => fraction * 2.0_f64.powi(-1_000) * 2.0_f64.powi(exponent + 1_000),
        _ => fraction * 2.0_f64.powi(exponent),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exponential_bounds_are_upstreams_to_the_bit() {
        for (index, schema, bound) in [
            (0, 0, 1.0),
            (1, 0, 2.0),
            (-1, 0, 0.5),
            (1, 1, std::f64::consts::SQRT_2.next_down()),
            (1, 2, 1.189207115002721),
            (3, 2, 1.6817928305074288),
            (2, 3, 1.189207115002721),
            (-1, 4, 0.957_603_280_698_573_5),
            (1, -1, 4.0),
            (-1, -4, 1.0 / 65_536.0),
            (1_024, 0, f64::MAX),
            (1_025, 0, f64::INFINITY),
            (256, -2, f64::MAX),
            (-1_074, 0, 5e-324),
            (-1_075, 0, 0.0),
        ] {
            assert_eq!(
                bucket_bound(index, schema, &[]).to_bits(),
                f64::to_bits(bound),
                "{index} of {schema}"
            );
        }
    }

    #[test]
    fn bounds_rise_and_schemas_nest() {
        for schema in -4..=8 {
            let bounds: Vec<f64> = (-300..300).map(|index| bucket_bound(index, schema, &[])).collect();
            assert!(bounds.windows(2).all(|pair| pair[0] < pair[1] || schema < -1), "schema {schema}");
        }
        for index in -100..100 {
            assert_eq!(bucket_bound(index, 3, &[]), bucket_bound(index * 2, 4, &[]));
        }
    }

    #[test]
    fn custom_bounds_end_in_infinities() {
        let bounds = [1.0, 2.5];
        let found: Vec<f64> =
            (-1..4).map(|index| bucket_bound(index, CUSTOM_BUCKETS_SCHEMA, &bounds)).collect();
        assert_eq!(found, [f64::NEG_INFINITY, 1.0, 2.5, f64::INFINITY, f64::INFINITY]);
    }
}
