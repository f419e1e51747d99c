//! Samples behind each other in few bytes, each as the difference to the one before.
//!
//! A sample is a byte of flags, then what these say: the time where it is not one step further, the batch's number where
//! that is not, the number of the side where there is one, and one to eight bytes of value. This lives in memory only:
//! nothing else reads it, and it may change.

use crate::model::Timestamp;

use super::buffer::Order;

/// Flag: the time is not as far from the one before as that was from its own; the difference follows.
const HAS_STEP: u8 = 1;
/// Flag: the same of the batch's number.
const HAS_ORDER_STEP: u8 = 1 << 1;
/// The form of the value.
const FORM_SHIFT: u32 = 2;
/// How many bytes the value takes, less one.
const LEN_SHIFT: u32 = 4;
/// Flag: a side's number follows.
const HAS_SIDE: u8 = 1 << 7;

/// The bits are those of the sample before; no bytes.
const SAME: u8 = 0;
/// Whole numbers: the signed difference.
const INTEGER: u8 = 1;
/// The bits that changed, from the lowest byte on.
const LOW_BYTES: u8 = 2;
/// The bits that changed, down from the highest byte.
const HIGH_BYTES: u8 = 3;

/// Room for the first samples: an allocation of 32 bytes leaves so many.
const ROOM_MIN: usize = 24;

/// One sample.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct PackedSample {
    pub(super) timestamp: Timestamp,
    /// Bits of the float; 0 for a histogram.
    pub(super) bits: u64,
    pub(super) order: Order,
    /// Number of what the sample has beside its value, from 1; 0 where that is nothing.
    pub(super) side: u32,
}

/// The sample before, and how far it was from the one before that.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct State {
    pub(super) timestamp: Timestamp,
    pub(super) order: Order,
    bits: u64,
    step: i64,
    order_step: u32,
}

/// Samples in the order of writing.
#[derive(Debug, Default)]
pub(super) struct Packed {
    bytes: Vec<u8>,
    state: State,
}

impl Packed {
    /// The last sample.
    pub(super) fn state(&self) -> &State {
        &self.state
    }

    /// Where the next sample will begin.
    pub(super) fn len(&self) -> u32 {
        u32::try_from(self.bytes.len()).expect("samples in memory are flushed long before 4 GiB a series")
    }

    pub(super) fn heap_bytes(&self) -> usize {
        self.bytes.capacity()
    }

    /// Adds a sample whose order is not below the last one's.
    pub(super) fn push(&mut self, sample: PackedSample) {
        let last = self.state;
        let is_first = self.bytes.is_empty();
        let step = sample.timestamp.wrapping_sub(last.timestamp);
        let order_step = sample.order - last.order;
        let (form, value, len) = pack_value(last.bits, sample.bits);
        let mut flags = form << FORM_SHIFT | len.saturating_sub(1) << LEN_SHIFT;
        // The longest sample takes 1 + 10 + 5 + 5 + 8 bytes; the buffer is grown once.
        let (mut record, mut at) = ([0_u8; 32], 1);
        if step != last.step {
            flags |= HAS_STEP;
            put_varint(&mut record, &mut at, crate::encoding::zigzag(step.wrapping_sub(last.step)));
        }
        if order_step != last.order_step {
            flags |= HAS_ORDER_STEP;
            put_varint(&mut record, &mut at, order_step.into());
        }
        if sample.side != 0 {
            flags |= HAS_SIDE;
            put_varint(&mut record, &mut at, sample.side.into());
        }
        record[at..at + 8].copy_from_slice(&value.to_le_bytes());
        record[0] = flags;
        let end = at + usize::from(len);
        if self.bytes.capacity() - self.bytes.len() < end {
            // By halves: doubling would leave a third of a large head's memory empty.
            self.bytes.reserve_exact(end.max(ROOM_MIN).max(self.bytes.len() / 2));
        }
        self.bytes.extend_from_slice(&record[..end]);
        // The first sample is far from nothing; the second need not repeat that.
        let (step, order_step) = if is_first { (0, 0) } else { (step, order_step) };
        self.state =
            State { timestamp: sample.timestamp, order: sample.order, bits: sample.bits, step, order_step };
    }

    /// The samples from byte `offset` on, before which the state was `state`.
    pub(super) fn read(&self, offset: u32, state: State) -> impl Iterator<Item = PackedSample> {
        let mut reader = PackedReader { bytes: &self.bytes, at: offset as usize, state };
        std::iter::from_fn(move || reader.next())
    }
}

/// Form, bytes and their number of a value behind another one.
#[inline]
fn pack_value(last: u64, bits: u64) -> (u8, u64, u8) {
    if bits == last {
        return (SAME, 0, 0);
    }
    let changed = bits ^ last;
    let low = bytes_of(changed);
    let high = 8 - u8::try_from(changed.trailing_zeros() / 8).expect("there are eight bytes");
    if let (Some(last), Some(value)) = (integer(last), integer(bits)) {
        // Neither has more than 53 bits: no overflow.
        let difference = crate::encoding::zigzag(value - last);
        let len = bytes_of(difference);
        if len <= low.min(high) {
            return (INTEGER, difference, len);
        }
    }
    match low <= high {
        true => (LOW_BYTES, changed, low),
        false => (HIGH_BYTES, changed >> (64 - 8 * u32::from(high)), high),
    }
}

/// The inverse of [`pack_value`].
#[inline]
fn unpack_value(last: u64, form: u8, value: u64, len: u32) -> u64 {
    match form {
        SAME => last,
        INTEGER => {
            let last = integer(last).expect("a difference stands behind a whole number");
            ((last + crate::encoding::unzigzag(value)) as f64).to_bits()
        }
        LOW_BYTES => last ^ value,
        _ => last ^ value << (64 - 8 * len),
    }
}

/// The whole number that these are the bits of; `None` for another value, and for one beyond 53 bits or -0.
#[inline]
fn integer(bits: u64) -> Option<i64> {
    const LARGEST: f64 = (1_u64 << 53) as f64;
    let value = f64::from_bits(bits);
    // Also false for NaN, whose cast would be 0.
    let whole = if value.abs() <= LARGEST { value as i64 } else { return None };
    ((whole as f64).to_bits() == bits).then_some(whole)
}

/// Bytes that a number takes, at least one.
#[inline]
fn bytes_of(value: u64) -> u8 {
    u8::try_from((64 - (value | 1).leading_zeros()).div_ceil(8)).expect("there are eight bytes")
}

#[inline]
fn put_varint(record: &mut [u8; 32], at: &mut usize, mut value: u64) {
    while value >= 0x80 {
        record[*at] = (value & 0x7f) as u8 | 0x80;
        value >>= 7;
        *at += 1;
    }
    record[*at] = value as u8;
    *at += 1;
}

/// Reads what [`Packed::push`] wrote.
struct PackedReader<'a> {
    bytes: &'a [u8],
    at: usize,
    state: State,
}

impl PackedReader<'_> {
    #[inline]
    fn next(&mut self) -> Option<PackedSample> {
        let flags = *self.bytes.get(self.at)?;
        let is_first = self.at == 0;
        self.at += 1;
        let State { timestamp, order, bits, mut step, mut order_step } = self.state;
        if flags & HAS_STEP != 0 {
            step = step.wrapping_add(crate::encoding::unzigzag(self.varint()));
        }
        if flags & HAS_ORDER_STEP != 0 {
            order_step = low_32(self.varint());
        }
        let side = if flags & HAS_SIDE == 0 { 0 } else { low_32(self.varint()) };
        let form = flags >> FORM_SHIFT & 3;
        let len = if form == SAME { 0 } else { u32::from(flags >> LEN_SHIFT & 7) + 1 };
        let bits = unpack_value(bits, form, self.number(len as usize), len);
        let sample =
            PackedSample { timestamp: timestamp.wrapping_add(step), bits, order: order + order_step, side };
        let (step, order_step) = if is_first { (0, 0) } else { (step, order_step) };
        self.state = State { timestamp: sample.timestamp, order: sample.order, bits, step, order_step };
        Some(sample)
    }

    /// The next `len` bytes as a number, the lowest first.
    #[inline]
    fn number(&mut self, len: usize) -> u64 {
        let mut word = [0; 8];
        match self.bytes.get(self.at..).and_then(|rest| rest.first_chunk::<8>()) {
            Some(whole) => word = *whole,
            None => word[..len].copy_from_slice(&self.bytes[self.at..self.at + len]),
        }
        self.at += len;
        let value = u64::from_le_bytes(word);
        if len == 8 { value } else { value & ((1 << (8 * len)) - 1) }
    }

    #[inline]
    fn varint(&mut self) -> u64 {
        let (mut value, mut shift) = (0, 0);
        loop {
            let byte = self.bytes[self.at];
            self.at += 1;
            value |= u64::from(byte & 0x7f) << shift;
            if byte < 0x80 {
                return value;
            }
            shift += 7;
        }
    }
}

/// What was written from 32 bits.
fn low_32(wide: u64) -> u32 {
    u32::try_from(wide).expect("it was written from 32 bits")
}
