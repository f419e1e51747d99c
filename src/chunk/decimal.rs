//! Doubles as decimal integers: `v == d / 10^k`, bit for bit.

use crate::encoding::zigzag;

/// Largest exponent `k`: beyond it 64-bit integers hold nothing that a smaller one does not.
pub(super) const EXPONENT_MAX: u8 = 18;

/// Largest exponent that corrections are tried at: nanoseconds in seconds, and some room.
const CORRECTED_EXPONENT_MAX: u8 = 12;

/// Powers of ten, all of them exact in a double.
const POWERS: [f64; EXPONENT_MAX as usize + 1] =
    [1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14, 1e15, 1e16, 1e17, 1e18];

/// Marks a value that no exponent fits.
const NO_EXPONENT: u8 = u8::MAX;
/// Adding and subtracting it rounds a double below 2^51 to a whole number, ties to even, without a library call.
const ROUNDING: f64 = 6_755_399_441_055_744.0;

/// 2^51. A decimal with a fraction stays below: with more digits nearly every double is some decimal, and gains nothing.
const FRACTION_LIMIT: f64 = 2_251_799_813_685_248.0;
/// Whole numbers stay below what 64 bits hold.
const WHOLE_LIMIT: f64 = 9.2e18;

/// The double that a decimal integer stands for.
pub(super) fn decode(decimal: i64, exponent: u8) -> f64 {
    decimal as f64 / POWERS[usize::from(exponent)]
}

/// The same for a whole column. `exponent`: at most [`EXPONENT_MAX`].
pub(super) fn decode_all(decimals: &[i64], exponent: u8, out: &mut [f64]) {
    let power = POWERS[usize::from(exponent)];
    if exponent == 0 {
        out.iter_mut().zip(decimals).for_each(|(out, decimal)| *out = *decimal as f64);
    } else {
        out.iter_mut().zip(decimals).for_each(|(out, decimal)| *out = *decimal as f64 / power);
    }
}

/// The decimal integer of `value` at an exponent, where it comes back bit for bit.
pub(super) fn encode(value: f64, exponent: u8) -> Option<i64> {
    let scaled = value * POWERS[usize::from(exponent)];
    let magnitude = scaled.abs();
    let limit = if exponent == 0 { WHOLE_LIMIT } else { FRACTION_LIMIT };
    if magnitude.is_nan() || magnitude >= limit {
        return None;
    }
    let rounded = if magnitude < FRACTION_LIMIT { (scaled + ROUNDING) - ROUNDING } else { scaled };
    let decimal = rounded as i64;
    (decode(decimal, exponent).to_bits() == value.to_bits()).then_some(decimal)
}

/// The nearest decimal integer at an exponent, whether or not it comes back.
fn nearest(value: f64, exponent: u8) -> i64 {
    let scaled = value * POWERS[usize::from(exponent)];
    let rounded = if scaled.abs() < FRACTION_LIMIT { (scaled + ROUNDING) - ROUNDING } else { scaled };
    rounded as i64
}

/// `value` as the nearest decimal and a correction: how many doubles lie between the two. Always comes back.
pub(super) fn encode_corrected(value: f64, exponent: u8) -> (i64, i64) {
    let decimal = nearest(value, exponent);
    (decimal, to_ordered(value).wrapping_sub(to_ordered(decode(decimal, exponent))))
}

/// Moves each value by its correction.
pub(super) fn correct_all(corrections: &[i64], values: &mut [f64]) {
    for (value, correction) in values.iter_mut().zip(corrections) {
        *value = from_ordered(to_ordered(*value).wrapping_add(*correction));
    }
}

/// The exponent at which decimals with corrections take fewest bits; `None` where plain bits take about as few.
///
/// Sums of decimals, such as a counter of seconds, are decimals but for rounding errors of the additions.
pub(super) fn corrected_exponent(values: impl Iterator<Item = f64> + Clone) -> Option<u8> {
    const SAMPLE_LEN: usize = 64;
    let sample: Vec<f64> = values.take(SAMPLE_LEN).collect();
    let bits_between = |a: i64, b: i64| u64::from(64 - zigzag(b.wrapping_sub(a)).leading_zeros());
    let plain: u64 =
        sample.windows(2).map(|pair| bits_between(to_ordered(pair[0]), to_ordered(pair[1]))).sum();
    let cost = |exponent: u8| {
        let pairs: Vec<_> = sample.iter().map(|value| encode_corrected(*value, exponent)).collect();
        let steps = pairs.windows(2).map(|two| bits_between(two[0].0, two[1].0) + bits_between(0, two[1].1));
        steps.sum::<u64>()
    };
    let (bits, exponent) = (1..=CORRECTED_EXPONENT_MAX).map(|k| (cost(k), k)).min()?;
    (bits + bits / 8 < plain).then_some(exponent)
}

/// Integers in the order of the doubles.
pub(super) const fn to_ordered(value: f64) -> i64 {
    let bits = value.to_bits() as i64;
    bits ^ (((bits >> 63) as u64) >> 1) as i64
}

/// The inverse of [`to_ordered`].
pub(super) const fn from_ordered(ordered: i64) -> f64 {
    f64::from_bits((ordered ^ (((ordered >> 63) as u64) >> 1) as i64) as u64)
}

/// Smallest exponent that fits `value`. `guess`: the exponent of its neighbour, tried first.
fn exponent_of(value: f64, guess: u8) -> u8 {
    if encode(value, 0).is_some() {
        return 0;
    }
    let start =
        if guess > 1 && guess <= EXPONENT_MAX && encode(value, guess - 1).is_none() { guess } else { 1 };
    (start..=EXPONENT_MAX).find(|&exponent| encode(value, exponent).is_some()).unwrap_or(NO_EXPONENT)
}

/// Exponents worth trying for a column, the one that fits most values first; none where decimals do not pay.
///
/// `values`: without stale markers. A value that does not fit costs about nine bytes, so that an exponent is offered
/// only if nearly all fit: the largest that is needed, and the smallest that leaves out a few.
pub(super) fn candidate_exponents(values: impl Iterator<Item = f64> + Clone) -> Vec<u8> {
    let mut counts = [0_usize; EXPONENT_MAX as usize + 1];
    let (mut total, mut without, mut guess) = (0_usize, 0_usize, 0_u8);
    for value in values {
        total += 1;
        let exponent = exponent_of(value, guess);
        if exponent == NO_EXPONENT {
            without += 1;
            // True doubles show themselves early; trying every exponent on all of them would be the slowest path.
            if without > 8 && without * 2 > total {
                return Vec::new();
            }
        } else {
            counts[usize::from(exponent)] += 1;
            guess = exponent;
        }
    }
    let Some(largest) = counts.iter().rposition(|count| *count > 0) else {
        return Vec::new();
    };
    let mut exponents = vec![largest];
    let mut left_out = 0;
    for exponent in (1..=largest).rev() {
        left_out += counts[exponent];
        if left_out + without > total / 16 {
            break;
        }
        if counts[exponent - 1] > 0 {
            exponents.push(exponent - 1);
        }
    }
    if exponents.len() > 2 {
        exponents.drain(1..exponents.len() - 1);
    }
    exponents.into_iter().map(|exponent| u8::try_from(exponent).expect("at most 18")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn decimals_are_found() {
        for (value, exponent, decimal) in
            [(1.0, 0, 1), (0.1, 1, 1), (-12.345, 3, -12345), (1e15, 0, 1_000_000_000_000_000), (0.0, 0, 0)]
        {
            assert_eq!(exponent_of(value, 0), exponent, "{value}");
            assert_eq!(encode(value, exponent), Some(decimal));
        }
        assert_eq!(exponent_of(-0.0, 0), NO_EXPONENT);
        assert_eq!(exponent_of(f64::NAN, 3), NO_EXPONENT);
        assert_eq!(exponent_of(f64::INFINITY, 3), NO_EXPONENT);
    }

    #[test]
    fn an_outlier_does_not_decide_alone() {
        let mut values = vec![1.5; 64];
        values[10] = 0.123_456_789;
        assert_eq!(candidate_exponents(values.iter().copied()), [9, 1]);
        let doubles = (1..100).map(|i| f64::from(i).sqrt().sin());
        assert!(candidate_exponents(doubles).is_empty());
    }

    #[test]
    fn ordered_bits_keep_the_order() {
        let rising = [f64::NEG_INFINITY, -1.0, -0.0, 0.0, 1e-300, 1.0, f64::INFINITY];
        assert!(rising.windows(2).all(|pair| to_ordered(pair[0]) < to_ordered(pair[1])));
        assert!(rising.iter().all(|v| from_ordered(to_ordered(*v)).to_bits() == v.to_bits()));
    }

    proptest! {
        #[test]
        fn what_encodes_comes_back(bits: u64, exponent in 0..=EXPONENT_MAX) {
            let value = f64::from_bits(bits);
            if let Some(decimal) = encode(value, exponent) {
                prop_assert_eq!(decode(decimal, exponent).to_bits(), bits);
            }
        }

        #[test]
        fn corrected_decimals_come_back(bits: u64, exponent in 0..=EXPONENT_MAX) {
            let (decimal, correction) = encode_corrected(f64::from_bits(bits), exponent);
            let mut out = [decode(decimal, exponent)];
            correct_all(&[correction], &mut out);
            prop_assert_eq!(out[0].to_bits(), bits);
        }

        #[test]
        fn printed_decimals_encode(whole in -1_000_000_000_i64..1_000_000_000, exponent in 0_u8..8) {
            prop_assert_eq!(encode(decode(whole, exponent), exponent), Some(whole));
        }
    }
}
