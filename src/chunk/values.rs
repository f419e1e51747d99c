//! Float values of one frame.

use crate::encoding::{ByteReader, ByteWriter, DecodeError, decode_integer_blocks, encode_integers};
use crate::model::STALE_NAN_BITS;

use super::{FRAME_LEN_MAX, decimal};

/// Low five bits of the tag: the decimal exponent.
const EXPONENT_MASK: u8 = 0x1f;
/// Flag: patches follow the tag.
const PATCHES_FLAG: u8 = 0x20;

/// Up to so many bytes per value decimals are taken without a look at the ordered bits.
const DECIMAL_BYTES_SURE: usize = 3;

/// How the values of a frame are held; the highest two bits of the tag.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
enum Mode {
    /// All the same, raw bits.
    ConstantBits = 0x00,
    /// All the same, a decimal.
    ConstantDecimal = 0x40,
    /// Decimals.
    Decimals = 0x80,
    /// Bits as integers in the order of the values; with an exponent, as corrections of decimals.
    OrderedBits = 0xc0,
}

/// Appends the values of a frame, 1 to [`FRAME_LEN_MAX`] of them.
pub fn encode_values(values: &[f64], out: &mut ByteWriter) {
    assert!(!values.is_empty() && values.len() <= FRAME_LEN_MAX, "a frame has 1 to 1024 samples");
    let start = out.len();
    let best = smallest_encoding(values);
    out.put(best.as_slice());
    let mut back = [0.0; FRAME_LEN_MAX];
    let decoded = decode_values(&mut ByteReader::new(&out.as_slice()[start..]), &mut back[..values.len()]);
    let same = values.iter().zip(&back).all(|(value, back)| value.to_bits() == back.to_bits());
    assert!(decoded.is_ok() && same, "an encoded frame decodes to the same bits");
}

/// Reads `out.len()` values of a frame; safe on any bytes. Inverse of [`encode_values`].
pub fn decode_values(reader: &mut ByteReader<'_>, out: &mut [f64]) -> Result<(), DecodeError> {
    assert!(out.len() <= FRAME_LEN_MAX, "the caller bounds the count");
    let start = reader.clone();
    let tag = reader.u8()?;
    let exponent = tag & EXPONENT_MASK;
    if exponent > decimal::EXPONENT_MAX {
        return Err(start.error("decimal exponent is above 18"));
    }
    let patches = (tag & PATCHES_FLAG != 0).then(|| reader.sized()).transpose()?;
    let patches_base = reader.offset() - patches.map_or(0, |bytes| bytes.len() as u64);
    match tag & !(EXPONENT_MASK | PATCHES_FLAG) {
        0x00 => out.fill(reader.f64()?),
        0x40 => out.fill(decimal::decode(reader.signed()?, exponent)),
        mode => {
            let is_decimal = mode == Mode::Decimals as u8 || exponent > 0;
            decode_integer_blocks(reader, out.len(), |at, block| {
                let out = &mut out[at..at + block.len()];
                if is_decimal {
                    decimal::decode_all(block, exponent, out);
                } else {
                    out.iter_mut().zip(block).for_each(|(out, bits)| *out = decimal::from_ordered(*bits));
                }
            })?;
            if mode == Mode::OrderedBits as u8 && exponent > 0 {
                decode_integer_blocks(reader, out.len(), |at, block| {
                    decimal::correct_all(block, &mut out[at..at + block.len()]);
                })?;
            }
        }
    }
    match patches {
        Some(bytes) => apply_patches(&mut ByteReader::at_base(bytes, patches_base), out),
        None => Ok(()),
    }
}

/// Tries what may pay and takes the smallest.
fn smallest_encoding(values: &[f64]) -> ByteWriter {
    let regular = values.iter().copied().filter(|value| value.to_bits() != STALE_NAN_BITS);
    let Some(first) = regular.clone().next() else {
        return constant(values, values[0]);
    };
    if regular.clone().all(|value| value.to_bits() == first.to_bits()) {
        return constant(values, first);
    }
    let exponents = decimal::candidate_exponents(regular.clone()).into_iter();
    let best = exponents.map(|exponent| decimals(values, exponent)).min_by_key(ByteWriter::len);
    match best {
        Some(best) if best.len() <= values.len() * DECIMAL_BYTES_SURE => best,
        best => {
            let corrected = decimal::corrected_exponent(regular).map(|exponent| corrected(values, exponent));
            let candidates = best.into_iter().chain(corrected).chain([ordered_bits(values)]);
            candidates.min_by_key(ByteWriter::len).expect("one at least")
        }
    }
}

/// All values are `value`, but for stale markers.
fn constant(values: &[f64], value: f64) -> ByteWriter {
    let mut out = ByteWriter::default();
    let patches = patches_where(values, |at| values[at].to_bits() != value.to_bits());
    let exponents = decimal::candidate_exponents(std::iter::once(value));
    match exponents.first().and_then(|k| Some((*k, decimal::encode(value, *k)?))) {
        Some((exponent, decimal)) => {
            put_tag(&mut out, Mode::ConstantDecimal, exponent, &patches);
            out.put_signed(decimal);
        }
        None => {
            put_tag(&mut out, Mode::ConstantBits, 0, &patches);
            out.put_f64(value);
        }
    }
    out
}

/// Decimals at one exponent; what does not fit is patched, and takes the place of its neighbour in the column.
fn decimals(values: &[f64], exponent: u8) -> ByteWriter {
    let fits: Vec<Option<i64>> = values.iter().map(|value| decimal::encode(*value, exponent)).collect();
    let column = filled(&fits);
    let patches = patches_where(values, |at| fits[at].is_none());
    let mut out = ByteWriter::default();
    put_tag(&mut out, Mode::Decimals, exponent, &patches);
    encode_integers(&column, &mut out);
    out
}

/// Decimals with corrections; only stale markers are patched.
fn corrected(values: &[f64], exponent: u8) -> ByteWriter {
    let is_stale = |value: f64| value.to_bits() == STALE_NAN_BITS;
    let pairs: Vec<Option<(i64, i64)>> = values
        .iter()
        .map(|value| (!is_stale(*value)).then(|| decimal::encode_corrected(*value, exponent)))
        .collect();
    let patches = patches_where(values, |at| pairs[at].is_none());
    let column = |part: fn((i64, i64)) -> i64| filled(&pairs.iter().map(|p| p.map(part)).collect::<Vec<_>>());
    let mut out = ByteWriter::default();
    put_tag(&mut out, Mode::OrderedBits, exponent, &patches);
    encode_integers(&column(|pair| pair.0), &mut out);
    encode_integers(&column(|pair| pair.1), &mut out);
    out
}

/// Bits as ordered integers; only stale markers are patched.
fn ordered_bits(values: &[f64]) -> ByteWriter {
    let is_stale = |value: f64| value.to_bits() == STALE_NAN_BITS;
    let fits: Vec<Option<i64>> =
        values.iter().map(|value| (!is_stale(*value)).then(|| decimal::to_ordered(*value))).collect();
    let column = filled(&fits);
    let patches = patches_where(values, |at| fits[at].is_none());
    let mut out = ByteWriter::default();
    put_tag(&mut out, Mode::OrderedBits, 0, &patches);
    encode_integers(&column, &mut out);
    out
}

/// Gaps take the number before them, gaps at the start the first one.
fn filled(fits: &[Option<i64>]) -> Vec<i64> {
    let mut last = fits.iter().copied().flatten().next().unwrap_or(0);
    fits.iter()
        .map(|fit| {
            last = fit.unwrap_or(last);
            last
        })
        .collect()
}

/// The patch list: runs of the same bits, each with the distance from the end of the run before.
fn patches_where(values: &[f64], is_patched: impl Fn(usize) -> bool) -> ByteWriter {
    let mut out = ByteWriter::default();
    let (mut at, mut end_last) = (0, 0);
    while at < values.len() {
        if !is_patched(at) {
            at += 1;
            continue;
        }
        let bits = values[at].to_bits();
        let run = (at..values.len()).take_while(|&i| values[i].to_bits() == bits && is_patched(i)).count();
        let is_stale = bits == STALE_NAN_BITS;
        out.put_varint((at - end_last) as u64);
        out.put_varint((run as u64) << 1 | u64::from(is_stale));
        if !is_stale {
            out.put_u64(bits);
        }
        at += run;
        end_last = at;
    }
    out
}

fn apply_patches(reader: &mut ByteReader<'_>, out: &mut [f64]) -> Result<(), DecodeError> {
    let mut at = 0_usize;
    while !reader.is_empty() {
        let start = reader.clone();
        let limit = FRAME_LEN_MAX as u64;
        let gap = reader.varint_max(limit, "patch lies outside its frame")?;
        let run = reader.varint_max(limit * 2 + 1, "patch lies outside its frame")?;
        let bits = if run & 1 == 1 { STALE_NAN_BITS } else { reader.u64()? };
        let from = at + gap as usize;
        at = from + (run >> 1) as usize;
        let Some(run) = out.get_mut(from..at) else {
            return Err(start.error("patch lies outside its frame"));
        };
        run.fill(f64::from_bits(bits));
    }
    Ok(())
}

fn put_tag(out: &mut ByteWriter, mode: Mode, exponent: u8, patches: &ByteWriter) {
    assert!(exponent <= decimal::EXPONENT_MAX, "the exponent fits its five bits");
    if patches.is_empty() {
        out.put_u8(mode as u8 | exponent);
    } else {
        out.put_u8(mode as u8 | exponent | PATCHES_FLAG);
        out.put_sized(patches.as_slice());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::stale_nan;
    use proptest::prelude::*;

    /// Encodes, decodes, compares bit for bit; returns the size.
    fn round_trip(values: &[f64]) -> usize {
        let mut writer = ByteWriter::default();
        encode_values(values, &mut writer);
        let mut back = vec![0.0; values.len()];
        let mut reader = ByteReader::new(writer.as_slice());
        decode_values(&mut reader, &mut back).expect("what was written is read");
        reader.finish().expect("everything was read");
        let bits = |values: &[f64]| values.iter().map(|v| v.to_bits()).collect::<Vec<_>>();
        assert_eq!(bits(&back), bits(values));
        writer.len()
    }

    /// One value of the kinds that real series have, and odd ones.
    fn value() -> impl Strategy<Value = f64> {
        prop_oneof![
            4 => (-1_000_i64..1_000).prop_map(|i| i as f64),
            4 => (-100_000_i64..100_000).prop_map(|i| i as f64 / 100.0),
            1 => any::<u64>().prop_map(f64::from_bits),
            1 => prop_oneof![Just(stale_nan()), Just(-0.0), Just(f64::NAN), Just(f64::INFINITY)],
        ]
    }

    proptest! {
        #[test]
        fn arbitrary_bits_come_back(bits in proptest::collection::vec(any::<u64>(), 1..300)) {
            round_trip(&bits.into_iter().map(f64::from_bits).collect::<Vec<_>>());
        }

        #[test]
        fn realistic_values_come_back(values in proptest::collection::vec(value(), 1..=FRAME_LEN_MAX)) {
            round_trip(&values);
        }

        #[test]
        fn accumulated_floats_come_back(steps in proptest::collection::vec(0.0_f64..10.0, 1..=FRAME_LEN_MAX)) {
            let mut sum = 0.0;
            round_trip(&steps.iter().map(|step| { sum += step; sum }).collect::<Vec<_>>());
        }

        #[test]
        fn any_bytes_are_decoded_without_a_panic(bytes: Vec<u8>, count in 1_usize..=FRAME_LEN_MAX) {
            let mut out = vec![0.0; count];
            let _ = decode_values(&mut ByteReader::new(&bytes), &mut out);
        }
    }

    #[test]
    fn plain_frames_are_small() {
        assert_eq!(round_trip(&[1.0; 1024]), 2);
        assert_eq!(round_trip(&[f64::NAN; 1024]), 9);
        assert_eq!(round_trip(&[stale_nan()]), 9);
        let mut ended = vec![3.5; 240];
        ended[239] = stale_nan();
        assert!(round_trip(&ended) <= 8);
        let gauge: Vec<f64> = (0..480).map(|i| f64::from(400 + (i * 37) % 16) / 10.0).collect();
        assert!(round_trip(&gauge) <= 480 / 2 + 40, "four bits a value");
        let singles: Vec<f64> = (1..=480).map(|i| f64::from((i as f32).sqrt())).collect();
        assert!(round_trip(&singles) <= 480 * 4, "singles leave 29 bits empty");
        let seconds: Vec<f64> = (0..480)
            .scan(1234.5, |sum, i| {
                *sum += f64::from((i * 37) % 200) / 1000.0;
                Some(*sum)
            })
            .collect();
        assert!(round_trip(&seconds) <= 480 * 2, "a byte for the step, and less for rounding errors");
    }
}
