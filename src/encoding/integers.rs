//! Columns of integers: transform, common factor, patched bit-packing.
//!
//! Layout: `storage-format.md`, "Integer columns". All arithmetic wraps, so that any 64-bit numbers come back.

use super::blocks::{bit_len, decode_scaled_block, encode_block};
use super::packing::BLOCK_LEN;
use super::{ByteReader, ByteWriter, DecodeError, zigzag};

/// Most numbers of one column.
pub const INTEGERS_MAX: usize = 1024;

/// Flag beside the transform: a common factor follows.
const FACTOR_FLAG: u8 = 0x04;
/// What is packed in place of the numbers. The discriminant is stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
enum Transform {
    /// Differences to the first.
    Offset = 0,
    /// Differences to the one before.
    Delta = 1,
    /// Differences of differences.
    DeltaOfDelta = 2,
}

impl Transform {
    const ALL: [Self; 3] = [Self::Offset, Self::Delta, Self::DeltaOfDelta];

    /// How many numbers stand before the residuals.
    const fn heads(self) -> usize {
        match self {
            Self::Offset | Self::Delta => 1,
            Self::DeltaOfDelta => 2,
        }
    }
}

/// Appends `values`, at most [`INTEGERS_MAX`] of them; their count is the caller's to keep.
pub fn encode_integers(values: &[i64], out: &mut ByteWriter) {
    assert!(values.len() <= INTEGERS_MAX, "a column has at most 1024 numbers");
    if values.is_empty() {
        return;
    }
    let mut candidates = Transform::ALL.map(|transform| {
        let mut residuals = [0; INTEGERS_MAX];
        let count = fill_residuals(transform, values, &mut residuals);
        (estimate_bits(&residuals[..count]), transform)
    });
    candidates.sort_by_key(|candidate| candidate.0);
    let mut best = encode_as(candidates[0].1, values);
    // The estimate is rough: where the second comes close, both are tried.
    if candidates[1].0 <= candidates[0].0 + candidates[0].0 / 4 + 16 {
        let second = encode_as(candidates[1].1, values);
        if second.len() < best.len() {
            best = second;
        }
    }
    out.put(best.as_slice());
}

/// Reads `out.len()` integers, at most [`INTEGERS_MAX`]; safe on any bytes. Inverse of [`encode_integers`].
pub fn decode_integers(reader: &mut ByteReader<'_>, out: &mut [i64]) -> Result<(), DecodeError> {
    decode_integer_blocks(reader, out.len(), |at, block| out[at..at + block.len()].copy_from_slice(block))
}

/// The same as [`decode_integers`] without a place for the whole column: `each` gets the number of a block's first
/// integer, and the block.
pub fn decode_integer_blocks(
    reader: &mut ByteReader<'_>,
    count: usize,
    mut each: impl FnMut(usize, &[i64]),
) -> Result<(), DecodeError> {
    assert!(count <= INTEGERS_MAX, "the caller bounds the count");
    if count == 0 {
        return Ok(());
    }
    let start = reader.clone();
    let tag = reader.u8()?;
    let transform = match tag & !FACTOR_FLAG {
        0 => Transform::Offset,
        1 => Transform::Delta,
        2 => Transform::DeltaOfDelta,
        _ => return Err(start.error("unknown integer transform")),
    };
    let factor = if tag & FACTOR_FLAG == 0 { 1 } else { reader.varint()? as i64 };
    let first = reader.signed()?;
    each(0, &[first]);
    let (mut at, mut last, mut step) = (1, first, 0);
    if transform == Transform::DeltaOfDelta && count > 1 {
        step = reader.signed()?;
        last = first.wrapping_add(step);
        each(1, &[last]);
        at = 2;
    }
    let mut block = [0; BLOCK_LEN];
    while at < count {
        let block = &mut block[..BLOCK_LEN.min(count - at)];
        decode_scaled_block(reader, factor, block)?;
        match transform {
            Transform::Offset => block.iter_mut().for_each(|n| *n = n.wrapping_add(first)),
            Transform::Delta => last = accumulate(block, last),
            Transform::DeltaOfDelta => {
                step = accumulate(block, step);
                last = accumulate(block, last);
            }
        }
        each(at, block);
        at += block.len();
    }
    Ok(())
}

/// Replaces differences by their running sum; returns the last.
fn accumulate(block: &mut [i64], start: i64) -> i64 {
    let mut sum = start;
    for number in block {
        sum = sum.wrapping_add(*number);
        *number = sum;
    }
    sum
}

/// Fills in what the transform leaves to pack; returns how many.
fn fill_residuals(transform: Transform, values: &[i64], out: &mut [i64; INTEGERS_MAX]) -> usize {
    let count = values.len().saturating_sub(transform.heads());
    match transform {
        Transform::Offset => {
            for (out, value) in out.iter_mut().zip(&values[1..]) {
                *out = value.wrapping_sub(values[0]);
            }
        }
        Transform::Delta => {
            for (out, pair) in out.iter_mut().zip(values.windows(2)) {
                *out = pair[1].wrapping_sub(pair[0]);
            }
        }
        Transform::DeltaOfDelta => {
            for (out, three) in out.iter_mut().zip(values.windows(3)) {
                *out = three[2].wrapping_sub(three[1]).wrapping_sub(three[1].wrapping_sub(three[0]));
            }
        }
    }
    count
}

/// Roughly how many bits the residuals take, block by block: distances to a middle one, packed at the best width.
fn estimate_bits(residuals: &[i64]) -> u64 {
    residuals
        .chunks(BLOCK_LEN)
        .map(|block| {
            let mut sorted = [0; BLOCK_LEN];
            let sorted = &mut sorted[..block.len()];
            sorted.copy_from_slice(block);
            let middle = *sorted.select_nth_unstable(block.len() / 2).1;
            let mut lens = [0_u64; 65];
            block.iter().for_each(|r| lens[bit_len(zigzag(r.wrapping_sub(middle))) as usize] += 1);
            let count = block.len() as u64;
            let all = best_width_bits(&lens, count);
            // Those that equal the middle one may stand apart.
            let others = count - std::mem::take(&mut lens[0]);
            all.min(count + 8 + best_width_bits(&lens, others))
        })
        .sum()
}

/// Bits of a block at its best width. `lens`: how many numbers have each bit length.
fn best_width_bits(lens: &[u64; 65], count: u64) -> u64 {
    const EXCEPTIONS_HEAD_BITS: u64 = 16;
    const PLACE_BITS: u64 = 7;
    let longest = lens.iter().rposition(|numbers| *numbers > 0).unwrap_or(0) as u64;
    let (mut exceptions, mut best) = (0, count * longest);
    for width in (0..longest).rev() {
        exceptions += lens[width as usize + 1];
        let places = (exceptions * PLACE_BITS).min(count);
        best = best.min(count * width + EXCEPTIONS_HEAD_BITS + places + exceptions * (longest - width));
    }
    best
}

fn encode_as(transform: Transform, values: &[i64]) -> ByteWriter {
    let mut residuals = [0; INTEGERS_MAX];
    let count = fill_residuals(transform, values, &mut residuals);
    let residuals = &mut residuals[..count];
    let factor = common_factor(residuals);
    let mut out = ByteWriter::default();
    if factor > 1 {
        out.put_u8(transform as u8 | FACTOR_FLAG);
        out.put_varint(factor.unsigned_abs());
        residuals.iter_mut().for_each(|r| *r /= factor);
    } else {
        out.put_u8(transform as u8);
    }
    out.put_signed(values[0]);
    if transform == Transform::DeltaOfDelta && values.len() > 1 {
        out.put_signed(values[1].wrapping_sub(values[0]));
    }
    residuals.chunks(BLOCK_LEN).for_each(|block| encode_block(block, &mut out));
    out
}

/// Greatest common divisor of the magnitudes; 1 where there is none worth storing.
fn common_factor(residuals: &[i64]) -> i64 {
    let mut divisor = 0_u64;
    for residual in residuals {
        let (mut a, mut b) = (divisor, residual.unsigned_abs());
        if a != 0 && b.is_multiple_of(a) {
            continue;
        }
        while b != 0 {
            (a, b) = (b, a % b);
        }
        divisor = a;
        if divisor == 1 {
            return 1;
        }
    }
    i64::try_from(divisor.max(1)).unwrap_or(1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn round_trip(values: &[i64]) -> usize {
        let mut writer = ByteWriter::default();
        encode_integers(values, &mut writer);
        let mut back = vec![0; values.len()];
        let mut reader = ByteReader::new(writer.as_slice());
        decode_integers(&mut reader, &mut back).expect("what was written is read");
        reader.finish().expect("everything was read");
        assert_eq!(back, values);
        writer.len()
    }

    proptest! {
        #[test]
        fn any_integers_come_back(values in proptest::collection::vec(any::<i64>(), 0..300)) {
            round_trip(&values);
        }

        #[test]
        fn small_integers_come_back(values in proptest::collection::vec(-3_i64..200, 0..=INTEGERS_MAX), factor in 1_i64..1_000_000) {
            let scaled: Vec<i64> = values.iter().map(|v| v * factor).collect();
            round_trip(&values);
            round_trip(&scaled);
        }

        #[test]
        fn any_bytes_are_decoded_without_a_panic(bytes: Vec<u8>, count in 0_usize..=INTEGERS_MAX) {
            let mut out = vec![0; count];
            let _ = decode_integers(&mut ByteReader::new(&bytes), &mut out);
        }
    }

    #[test]
    fn regular_columns_are_small() {
        let constant = vec![7; INTEGERS_MAX];
        let steady: Vec<i64> = (0..1024).map(|i| 1_700_000_000_000 + i * 15_000).collect();
        let mut reset = steady.clone();
        reset[500..].iter_mut().for_each(|n| *n -= 1_700_000_000_000);
        let wide: Vec<i64> = (0..1024).map(|i| i * 1000 + (i * 7919) % 16).collect();
        assert!(round_trip(&constant) <= 20);
        assert!(round_trip(&steady) <= 40);
        assert!(round_trip(&reset) <= 60);
        assert!(round_trip(&wide) <= 1024 * 5 / 8 + 80);
    }

    #[test]
    fn extremes_wrap() {
        round_trip(&[i64::MIN, i64::MAX, 0, -1, i64::MIN, i64::MIN + 1]);
        round_trip(&[i64::MIN, 0, i64::MIN, 0]);
    }
}
