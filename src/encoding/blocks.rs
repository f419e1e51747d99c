//! Blocks of integers: patched frame of reference, so that one number is found without unpacking the others.
//!
//! Layout: `storage-format.md`, "Integer columns". All arithmetic wraps, so that any 64-bit numbers come back.

use super::packing::{BLOCK_LEN, pack, packed_at, packed_bytes, unpack};
use super::{ByteReader, ByteWriter, DecodeError, unzigzag, zigzag};

/// Flag beside the width: exceptions follow the packed bits.
const EXCEPTIONS_FLAG: u8 = 0x80;
/// In place of a width: a frequent number stands apart.
const MASKED: u8 = 0x7f;
/// A number is tried as the frequent one from so many times on.
const FREQUENT_MIN: usize = 6;
/// Flag beside the width of the exceptions: their places are a bitmap.
const BITMAP_FLAG: u8 = 0x80;
/// Bits of an exception's place in a list.
const PLACE_BITS: u32 = 7;
/// How many numbers may be cut off at either end of a block's sorted values to save width.
const CUTS: [usize; 13] = [0, 1, 2, 3, 4, 6, 8, 12, 16, 24, 32, 40, 48];

/// How a block is packed: the low `width` bits of each number's distance to `base`; of those that have more, the rest
/// follows as exceptions.
#[derive(Clone, Copy, Debug)]
struct Packing {
    base: i64,
    width: u32,
}

/// Appends a block of up to [`BLOCK_LEN`] numbers; their count is the caller's to keep.
pub fn encode_block(block: &[i64], out: &mut ByteWriter) {
    assert!(!block.is_empty() && block.len() <= BLOCK_LEN, "a block has 1 to 128 numbers");
    let mut sorted = [0; BLOCK_LEN];
    let sorted = &mut sorted[..block.len()];
    sorted.copy_from_slice(block);
    sorted.sort_unstable();
    let (bytes, packing) = choose_packing(sorted);
    match choose_mask(sorted, bytes) {
        Some((frequent, packing)) => put_masked(block, frequent, packing, out),
        None => put_packing(block, packing, out),
    }
}

/// The most frequent number, and how the others are packed, where that takes fewer than `bytes`.
fn choose_mask(sorted: &[i64], bytes: usize) -> Option<(i64, Packing)> {
    let mask_bytes = 2 + sorted.len().div_ceil(8);
    let frequent = sorted.chunk_by(|a, b| a == b).max_by_key(|run| run.len())?;
    if frequent.len() < FREQUENT_MIN || frequent.len() == sorted.len() || mask_bytes >= bytes {
        return None;
    }
    let mut others = [0; BLOCK_LEN];
    let mut count = 0;
    for number in sorted.iter().filter(|number| **number != frequent[0]) {
        others[count] = *number;
        count += 1;
    }
    let (others_bytes, packing) = choose_packing(&others[..count]);
    let base_bytes = bit_len(zigzag(frequent[0])).div_ceil(7).max(1) as usize;
    (mask_bytes + base_bytes + others_bytes < bytes).then_some((frequent[0], packing))
}

fn put_masked(block: &[i64], frequent: i64, packing: Packing, out: &mut ByteWriter) {
    let (mut bitmap, mut others) = ([0_u8; BLOCK_LEN / 8], [0; BLOCK_LEN]);
    let mut count = 0;
    for (index, number) in block.iter().enumerate() {
        if *number == frequent {
            bitmap[index / 8] |= 1 << (index % 8);
        } else {
            others[count] = *number;
            count += 1;
        }
    }
    out.put_u8(MASKED);
    out.put_signed(frequent);
    out.put(&bitmap[..block.len().div_ceil(8)]);
    put_packing(&others[..count], packing, out);
}

fn put_packing(block: &[i64], packing: Packing, out: &mut ByteWriter) {
    let mut lows = [0_u64; BLOCK_LEN];
    let (mut places, mut highs) = ([0_u64; BLOCK_LEN], [0_u64; BLOCK_LEN]);
    let (mut count, mut bits) = (0, 0);
    for (index, number) in block.iter().enumerate() {
        let distance = number.wrapping_sub(packing.base);
        lows[index] = distance as u64;
        let high = high_part(distance, packing.width);
        if high != 0 {
            (places[count], highs[count]) = (index as u64, high);
            bits |= high;
            count += 1;
        }
    }
    let flag = if count == 0 { 0 } else { EXCEPTIONS_FLAG };
    out.put_u8(u8::try_from(packing.width).expect("a width is at most 64") | flag);
    out.put_signed(packing.base);
    out.put_packed(&lows[..block.len()], packing.width);
    if count > 0 {
        put_exceptions(&places[..count], &highs[..count], bit_len(bits), block.len(), out);
    }
}

fn put_exceptions(places: &[u64], highs: &[u64], width: u32, block_len: usize, out: &mut ByteWriter) {
    out.put_u8(u8::try_from(places.len()).expect("a block has at most 128 exceptions"));
    let width_byte = u8::try_from(width).expect("a width is at most 64");
    if block_len.div_ceil(8) < packed_bytes(places.len(), PLACE_BITS) {
        let mut bitmap = [0_u8; BLOCK_LEN / 8];
        places.iter().for_each(|place| bitmap[*place as usize / 8] |= 1 << (place % 8));
        out.put_u8(width_byte | BITMAP_FLAG);
        out.put(&bitmap[..block_len.div_ceil(8)]);
    } else {
        out.put_u8(width_byte);
        out.put_packed(places, PLACE_BITS);
    }
    out.put_packed(highs, width);
}

/// What of a distance is left above its low `width` bits, small for small magnitudes of either sign.
const fn high_part(distance: i64, width: u32) -> u64 {
    if width >= 64 { 0 } else { zigzag(distance >> width) }
}

/// The inverse, in its place above the low bits.
const fn from_high_part(high: u64, width: u32) -> i64 {
    if width >= 64 { 0 } else { unzigzag(high) << width }
}

/// Tries cutting off some numbers at either end; returns the smallest, and its bytes without the base.
fn choose_packing(sorted: &[i64]) -> (usize, Packing) {
    let count = sorted.len();
    let (lowest, highest) = (sorted[0], sorted[count - 1]);
    let whole = span_bits(lowest, highest);
    let mut best = (packed_bytes(count, whole), Packing { base: lowest, width: whole });
    if whole == 0 {
        return best;
    }
    for low in CUTS {
        for high in CUTS {
            if low + high == 0 || low + high >= count {
                continue;
            }
            let base = sorted[low];
            let width = span_bits(base, sorted[count - 1 - high]);
            let least = packed_bytes(count, width) + 2;
            if width == whole || least >= best.0 {
                continue;
            }
            // What was cut off may still fit: the width was rounded up.
            let distance = |number: i64| number.wrapping_sub(base);
            let above =
                sorted[count - high..].iter().rev().take_while(|n| high_part(distance(**n), width) != 0);
            let below = sorted[..low].iter().take_while(|n| high_part(distance(**n), width) != 0);
            let exceptions = above.count() + below.count();
            let rest = high_part(distance(lowest), width) | high_part(distance(highest), width);
            let places = packed_bytes(exceptions, PLACE_BITS).min(count.div_ceil(8));
            let bytes = least + places + packed_bytes(exceptions, bit_len(rest));
            if bytes < best.0 {
                best = (bytes, Packing { base, width });
            }
        }
    }
    best
}

/// Width that holds every number from `base` to `top`.
fn span_bits(base: i64, top: i64) -> u32 {
    bit_len(top.wrapping_sub(base) as u64)
}

pub(super) const fn bit_len(number: u64) -> u32 {
    64 - number.leading_zeros()
}

/// Reads `block.len()` numbers, 1 to [`BLOCK_LEN`], each multiplied by `factor`; safe on any bytes.
pub(super) fn decode_scaled_block(
    reader: &mut ByteReader<'_>,
    factor: i64,
    block: &mut [i64],
) -> Result<(), DecodeError> {
    if reader.clone().u8()? != MASKED {
        return decode_packing(reader, factor, block);
    }
    let start = reader.clone();
    reader.u8()?;
    let frequent = reader.signed()?.wrapping_mul(factor);
    let (bitmap, count) = read_mask(reader, block.len(), &start)?;
    let mut others = [0; BLOCK_LEN + 1];
    decode_packing(reader, factor, &mut others[..count])?;
    let mut next = 0;
    for (index, number) in block.iter_mut().enumerate() {
        let is_frequent = bitmap[index / 8] >> (index % 8) & 1 == 1;
        *number = if is_frequent { frequent } else { others[next] };
        next += usize::from(!is_frequent);
    }
    Ok(())
}

/// The bitmap of a masked block of `len`, and how many numbers are not masked.
fn read_mask<'a>(
    reader: &mut ByteReader<'a>,
    len: usize,
    start: &ByteReader<'_>,
) -> Result<(&'a [u8], usize), DecodeError> {
    let bitmap = reader.take(len.div_ceil(8))?;
    let masked = bitmap.iter().map(|byte| byte.count_ones()).sum::<u32>() as usize;
    let has_padding = !len.is_multiple_of(8) && bitmap[len / 8] >> (len % 8) != 0;
    if has_padding || masked >= len {
        return Err(start.error("mask covers more than a part of its block"));
    }
    Ok((bitmap, len - masked))
}

fn decode_packing(reader: &mut ByteReader<'_>, factor: i64, block: &mut [i64]) -> Result<(), DecodeError> {
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
        let exceptions = read_exceptions(reader, block.len())?;
        let mut highs = [0; BLOCK_LEN];
        unpack(exceptions.highs, exceptions.width, exceptions.count, &mut highs);
        let mut places = [0; BLOCK_LEN];
        exceptions.places.fill(exceptions.count, &mut places);
        for (place, high) in places[..exceptions.count].iter().zip(&highs) {
            let Some(number) = block.get_mut(*place as usize) else {
                return Err(start.error("exception lies outside its block"));
            };
            *number = number.wrapping_add(from_high_part(*high, width).wrapping_mul(factor));
        }
    }
    Ok(())
}

/// The exceptions of a block, packed.
struct Exceptions<'a> {
    count: usize,
    places: Places<'a>,
    width: u32,
    /// The packed numbers, and whatever follows.
    highs: &'a [u8],
}

enum Places<'a> {
    List(&'a [u8]),
    Bitmap(&'a [u8]),
}

impl Places<'_> {
    /// Unpacks `count` places.
    fn fill(&self, count: usize, out: &mut [u64; BLOCK_LEN]) {
        match self {
            Self::List(bytes) => unpack(bytes, PLACE_BITS, count, out),
            Self::Bitmap(bytes) => {
                let set = bytes.iter().enumerate().flat_map(|(at, byte)| {
                    (0..8).filter(move |bit| byte >> bit & 1 == 1).map(move |bit| at * 8 + bit)
                });
                out.iter_mut().zip(set).for_each(|(out, place)| *out = place as u64);
            }
        }
    }
}

fn read_exceptions<'a>(reader: &mut ByteReader<'a>, block_len: usize) -> Result<Exceptions<'a>, DecodeError> {
    let start = reader.clone();
    let count = usize::from(reader.u8()?);
    let tag = reader.u8()?;
    let width = u32::from(tag & !BITMAP_FLAG);
    if count > block_len || width > 64 {
        return Err(start.error("block has too many exceptions, or too wide ones"));
    }
    let places = if tag & BITMAP_FLAG != 0 {
        let bitmap = reader.take(block_len.div_ceil(8))?;
        if bitmap.iter().map(|byte| byte.count_ones()).sum::<u32>() as usize != count {
            return Err(start.error("bitmap of exceptions does not have their count"));
        }
        Places::Bitmap(bitmap)
    } else {
        Places::List(reader.take_with_rest(packed_bytes(count, PLACE_BITS))?)
    };
    let highs = reader.take_with_rest(packed_bytes(count, width))?;
    Ok(Exceptions { count, places, width, highs })
}

/// Reads `block.len()` numbers, at most [`BLOCK_LEN`]; safe on any bytes. Inverse of [`encode_block`].
pub fn decode_block(reader: &mut ByteReader<'_>, block: &mut [i64]) -> Result<(), DecodeError> {
    assert!(block.len() <= BLOCK_LEN, "the caller bounds the count");
    decode_scaled_block(reader, 1, block)
}

/// Reads the number at `index` of a block of `count`, and passes over the others.
pub fn number_in_block(reader: &mut ByteReader<'_>, count: usize, index: usize) -> Result<i64, DecodeError> {
    assert!(index < count && count <= BLOCK_LEN, "the caller bounds count and index");
    if reader.clone().u8()? != MASKED {
        return number_in_packing(reader, count, index);
    }
    let start = reader.clone();
    reader.u8()?;
    let frequent = reader.signed()?;
    let (bitmap, others) = read_mask(reader, count, &start)?;
    let is_frequent = |index: usize| bitmap[index / 8] >> (index % 8) & 1 == 1;
    let place = (0..index).filter(|index| !is_frequent(*index)).count();
    // Where the number is masked, the others are still passed over.
    let other = number_in_packing(reader, others, place.min(others - 1))?;
    Ok(if is_frequent(index) { frequent } else { other })
}

fn number_in_packing(reader: &mut ByteReader<'_>, count: usize, index: usize) -> Result<i64, DecodeError> {
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
        let exceptions = read_exceptions(reader, count)?;
        let mut places = [0; BLOCK_LEN];
        exceptions.places.fill(exceptions.count, &mut places);
        if let Some(at) = places[..exceptions.count].iter().position(|place| *place == index as u64) {
            let high = packed_at(exceptions.highs, exceptions.width, at);
            number = number.wrapping_add(from_high_part(high, width));
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
