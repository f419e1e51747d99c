//! Blocks of integers: patched frame of reference, so that one number is found without unpacking the others.
//!
//! Layout: `storage-format.md`, "Integer columns". All arithmetic wraps, so that any 64-bit numbers come back.

use super::packing::{BLOCK_LEN, pack, packed_at, packed_bytes, unpack};
use super::{ByteReader, ByteWriter, DecodeError, zigzag};

/// Flag beside the width: exceptions follow the packed bits.
const EXCEPTIONS_FLAG: u8 = 0x80;
/// How many numbers may be cut off at either end of a block's sorted values to save width.
const CUTS: [usize; 11] = [0, 1, 2, 3, 4, 6, 8, 12, 16, 24, 32];

/// How a block is packed: numbers from `base` within `width` bits, all others as exceptions.
#[derive(Clone, Copy, Debug)]
struct Packing {
    base: i64,
    width: u32,
}

/// Appends a block of up to [`BLOCK_LEN`] numbers; their count is the caller's to keep.
pub fn encode_block(block: &[i64], out: &mut ByteWriter) {
    let packing = choose_packing(block);
    let mut offsets = [0_u64; BLOCK_LEN];
    let mut exceptions: Vec<(usize, i64)> = Vec::new();
    for (index, residual) in block.iter().enumerate() {
        let distance = residual.wrapping_sub(packing.base);
        if bit_len(distance as u64) <= packing.width {
            offsets[index] = distance as u64;
        } else {
            exceptions.push((index, distance));
        }
    }
    let flag = if exceptions.is_empty() { 0 } else { EXCEPTIONS_FLAG };
    out.put_u8(u8::try_from(packing.width).expect("a width is at most 64") | flag);
    out.put_signed(packing.base);
    out.put_packed(&offsets[..block.len()], packing.width);
    if flag != 0 {
        out.put_u8(u8::try_from(exceptions.len()).expect("a block has at most 128 exceptions"));
        for (index, distance) in exceptions {
            out.put_u8(u8::try_from(index).expect("a block has at most 128 numbers"));
            out.put_signed(distance);
        }
    }
}

/// Sorts the block and tries cutting off some numbers at either end; takes the smallest in bytes.
fn choose_packing(block: &[i64]) -> Packing {
    let mut sorted = [0; BLOCK_LEN];
    let sorted = &mut sorted[..block.len()];
    sorted.copy_from_slice(block);
    sorted.sort_unstable();
    let count = sorted.len();
    let whole = span_bits(sorted[0], sorted[count - 1]);
    let mut best = (packed_bytes(count, whole), Packing { base: sorted[0], width: whole });
    if whole == 0 {
        return best.1;
    }
    for low in CUTS {
        for high in CUTS {
            if low + high == 0 || low + high >= count {
                continue;
            }
            let (base, top) = (sorted[low], sorted[count - 1 - high]);
            let width = span_bits(base, top);
            let mut bytes = packed_bytes(count, width) + 1 + 2 * (low + high);
            if bytes >= best.0 {
                continue;
            }
            let cut = sorted[..low].iter().chain(&sorted[count - high..]);
            bytes = packed_bytes(count, width)
                + 1
                + cut.map(|r| 1 + varint_len(zigzag(r.wrapping_sub(base)))).sum::<usize>();
            if bytes < best.0 {
                best = (bytes, Packing { base, width });
            }
        }
    }
    best.1
}

/// Width that holds every number from `base` to `top`.
fn span_bits(base: i64, top: i64) -> u32 {
    bit_len(top.wrapping_sub(base) as u64)
}

pub(super) const fn bit_len(number: u64) -> u32 {
    64 - number.leading_zeros()
}

const fn varint_len(number: u64) -> usize {
    let bits = bit_len(number);
    if bits == 0 { 1 } else { bits.div_ceil(7) as usize }
}

/// Reads `block.len()` numbers, at most [`BLOCK_LEN`], each multiplied by `factor`; safe on any bytes.
pub(super) fn decode_scaled_block(
    reader: &mut ByteReader<'_>,
    factor: i64,
    block: &mut [i64],
) -> Result<(), DecodeError> {
    let start = reader.clone();
    let tag = reader.u8()?;
    let width = u32::from(tag & !EXCEPTIONS_FLAG);
    if width > 64 {
        return Err(start.error("packed width is above 64"));
    }
    let base = reader.signed()?;
    if width == 0 {
        block.fill(base.wrapping_mul(factor));
    } else {
        let bytes = reader.take_with_rest(packed_bytes(block.len(), width))?;
        let mut offsets = [0_u64; BLOCK_LEN];
        unpack(bytes, width, block.len(), &mut offsets);
        for (out, offset) in block.iter_mut().zip(&offsets) {
            *out = base.wrapping_add(*offset as i64);
        }
        if factor != 1 {
            block.iter_mut().for_each(|number| *number = number.wrapping_mul(factor));
        }
    }
    if tag & EXCEPTIONS_FLAG != 0 {
        for _ in 0..reader.u8()? {
            let index = usize::from(reader.u8()?);
            let distance = reader.signed()?;
            let Some(number) = block.get_mut(index) else {
                return Err(start.error("exception lies outside its block"));
            };
            *number = base.wrapping_add(distance).wrapping_mul(factor);
        }
    }
    Ok(())
}

/// Reads `block.len()` numbers, at most [`BLOCK_LEN`]; safe on any bytes. Inverse of [`encode_block`].
pub fn decode_block(reader: &mut ByteReader<'_>, block: &mut [i64]) -> Result<(), DecodeError> {
    assert!(block.len() <= BLOCK_LEN, "the caller bounds the count");
    decode_scaled_block(reader, 1, block)
}

/// Reads the number at `index` of a block of `count`, and passes over the others.
pub fn number_in_block(reader: &mut ByteReader<'_>, count: usize, index: usize) -> Result<i64, DecodeError> {
    assert!(index < count && count <= BLOCK_LEN, "the caller bounds count and index");
    let start = reader.clone();
    let tag = reader.u8()?;
    let width = u32::from(tag & !EXCEPTIONS_FLAG);
    if width > 64 {
        return Err(start.error("packed width is above 64"));
    }
    let base = reader.signed()?;
    let packed = reader.take(packed_bytes(count, width))?;
    let mut number = base.wrapping_add(packed_at(packed, width, index) as i64);
    if tag & EXCEPTIONS_FLAG != 0 {
        for _ in 0..reader.u8()? {
            let place = usize::from(reader.u8()?);
            let distance = reader.signed()?;
            if place == index {
                number = base.wrapping_add(distance);
            }
        }
    }
    Ok(number)
}

impl ByteWriter {
    fn put_packed(&mut self, numbers: &[u64], width: u32) {
        pack(numbers, width, self.as_mut_vec());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn one_number_is_found_among_others(
            numbers in proptest::collection::vec(prop_oneof![9 => -5_i64..300, 1 => any::<i64>()], 1..=BLOCK_LEN),
        ) {
            let mut out = ByteWriter::default();
            encode_block(&numbers, &mut out);
            let mut back = vec![0; numbers.len()];
            decode_block(&mut ByteReader::new(out.as_slice()), &mut back).expect("what was written is read");
            prop_assert_eq!(&back, &numbers);
            for (index, number) in numbers.iter().enumerate() {
                let mut reader = ByteReader::new(out.as_slice());
                prop_assert_eq!(number_in_block(&mut reader, numbers.len(), index), Ok(*number));
                prop_assert!(reader.is_empty());
            }
        }

        #[test]
        fn any_bytes_are_searched_without_a_panic(bytes: Vec<u8>, count in 1_usize..=BLOCK_LEN, index in 0_usize..BLOCK_LEN) {
            let _ = number_in_block(&mut ByteReader::new(&bytes), count, index % count);
        }
    }
}
