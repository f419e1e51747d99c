//! Numbers of one bit width, back to back, lowest bits first.
//!
//! Eight numbers of width `w` take `w` bytes, so that every group of eight starts at a byte: the inner loop over a group
//! has constant shifts for each width.

/// Most numbers that are packed at once.
pub const BLOCK_LEN: usize = 128;
/// Numbers per group.
const GROUP_LEN: usize = 8;
/// Widest load of the unpacker past a group's first byte.
const PADDING_BYTES: usize = 16;

/// Bytes that `count` numbers of `width` bits take.
pub(super) const fn packed_bytes(count: usize, width: u32) -> usize {
    (count * width as usize).div_ceil(8)
}

/// Appends the low `width` bits of each number.
pub(super) fn pack(numbers: &[u64], width: u32, out: &mut Vec<u8>) {
    assert!(width <= 64, "a number has at most 64 bits");
    if width == 0 {
        return;
    }
    let end = out.len() + packed_bytes(numbers.len(), width);
    let mask = u64::MAX >> (64 - width);
    let (mut buffer, mut filled) = (0_u128, 0_u32);
    for &number in numbers {
        buffer |= u128::from(number & mask) << filled;
        filled += width;
        while filled >= 8 {
            out.push((buffer & 0xff) as u8);
            buffer >>= 8;
            filled -= 8;
        }
    }
    if filled > 0 {
        out.push((buffer & 0xff) as u8);
    }
    debug_assert_eq!(out.len(), end, "as many bytes as announced");
}

/// Unpacks `count` numbers of `width` bits, at most a block, into the front of `out`; what stands behind them is
/// undefined. `bytes`: the [`packed_bytes`] of them, and whatever follows, which spares a copy.
pub(super) fn unpack(bytes: &[u8], width: u32, count: usize, out: &mut [u64; BLOCK_LEN]) {
    assert!(count <= BLOCK_LEN, "one block at a time");
    let groups = count.div_ceil(GROUP_LEN);
    if bytes.len() >= groups * width as usize + PADDING_BYTES {
        return unpack_block(bytes, width, groups, out);
    }
    let packed = &bytes[..packed_bytes(count, width)];
    let mut padded = [0_u8; BLOCK_LEN * 8 + PADDING_BYTES];
    padded[..packed.len()].copy_from_slice(packed);
    unpack_block(&padded, width, groups, out);
}

/// The number at `index` of those packed in `bytes`.
pub(super) fn packed_at(bytes: &[u8], width: u32, index: usize) -> u64 {
    if width == 0 {
        return 0;
    }
    let bit = index * width as usize;
    let bytes = &bytes[bit / 8..bytes.len().min(bit / 8 + 9)];
    let mut loaded = [0; 16];
    loaded[..bytes.len()].copy_from_slice(bytes);
    (u128::from_le_bytes(loaded) >> (bit % 8)) as u64 & (u64::MAX >> (64 - width))
}

/// Unpacks so many groups of one fixed width.
fn unpack_groups<const WIDTH: usize>(bytes: &[u8], groups: usize, out: &mut [u64; BLOCK_LEN]) {
    let mask = if WIDTH == 64 { u64::MAX } else { (1_u64 << WIDTH) - 1 };
    for (group, numbers) in out.chunks_exact_mut(GROUP_LEN).enumerate().take(groups) {
        let bytes = &bytes[group * WIDTH..group * WIDTH + WIDTH + PADDING_BYTES];
        for (index, number) in numbers.iter_mut().enumerate() {
            let bit = index * WIDTH;
            *number = if WIDTH <= 56 {
                load64(bytes, bit / 8) >> (bit % 8) & mask
            } else {
                (load128(bytes, bit / 8) >> (bit % 8)) as u64 & mask
            };
        }
    }
}

fn load64(bytes: &[u8], at: usize) -> u64 {
    u64::from_le_bytes(bytes[at..at + 8].try_into().expect("eight bytes"))
}

fn load128(bytes: &[u8], at: usize) -> u128 {
    u128::from_le_bytes(bytes[at..at + 16].try_into().expect("sixteen bytes"))
}

/// Chooses the loop for a width.
fn unpack_block(bytes: &[u8], width: u32, groups: usize, out: &mut [u64; BLOCK_LEN]) {
    macro_rules! by_width {
        ($($width:literal)*) => {
            match width {
                0 => out.fill(0),
                $($width => unpack_groups::<$width>(bytes, groups, out),)*
                _ => unreachable!("a number has at most 64 bits"),
            }
        };
    }
    by_width!(1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20 21 22 23 24 25 26 27 28 29 30 31 32
        33 34 35 36 37 38 39 40 41 42 43 44 45 46 47 48 49 50 51 52 53 54 55 56 57 58 59 60 61 62 63 64);
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn packed_numbers_come_back(numbers in proptest::collection::vec(any::<u64>(), 0..=BLOCK_LEN), width in 0_u32..=64) {
            let mask = if width == 64 { u64::MAX } else { (1 << width) - 1 };
            let mut packed = Vec::new();
            pack(&numbers, width, &mut packed);
            prop_assert_eq!(packed.len(), packed_bytes(numbers.len(), width));
            let expected: Vec<u64> = numbers.iter().map(|number| number & mask).collect();
            for following in [0, 5, 2_000] {
                packed.resize(packed_bytes(numbers.len(), width) + following, 0xff);
                let mut back = [0; BLOCK_LEN];
                unpack(&packed, width, numbers.len(), &mut back);
                prop_assert_eq!(&back[..numbers.len()], expected.as_slice());
            }
        }
    }

    #[test]
    fn bits_run_from_low_to_high() {
        let mut packed = Vec::new();
        pack(&[1, 2, 3, 4, 5, 6, 7, 0], 3, &mut packed);
        assert_eq!(packed, [0b1101_0001, 0b0101_1000, 0b0001_1111]);
    }
}
