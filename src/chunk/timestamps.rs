//! Times of a scrape, shared by its series.

use crate::encoding::{ByteReader, ByteWriter, DecodeError, decode_integers, encode_integers};
use crate::model::Timestamp;

use super::FRAME_LEN_MAX;

/// Times as one column of integers.
const FORM_PLAIN: u8 = 0;
/// Times as a grid: which step, and how far from it.
const FORM_GRID: u8 = 1;

/// Appends 1 to [`FRAME_LEN_MAX`] strictly rising times.
pub fn encode_timestamps(timestamps: &[Timestamp], out: &mut ByteWriter) {
    assert!(!timestamps.is_empty() && timestamps.len() <= FRAME_LEN_MAX, "a column has 1 to 1024 times");
    debug_assert!(timestamps.windows(2).all(|pair| pair[0] < pair[1]), "times strictly rise");
    let mut plain = ByteWriter::default();
    plain.put_u8(FORM_PLAIN);
    encode_integers(timestamps, &mut plain);
    let best = match grid(timestamps) {
        Some(grid) if grid.len() < plain.len() => grid,
        _ => plain,
    };
    out.put(best.as_slice());
}

/// Reads `out.len()` times; safe on any bytes, but then they need not rise. Inverse of [`encode_timestamps`].
pub fn decode_timestamps(reader: &mut ByteReader<'_>, out: &mut [Timestamp]) -> Result<(), DecodeError> {
    assert!(out.len() <= FRAME_LEN_MAX, "the caller bounds the count");
    let start = reader.clone();
    match reader.u8()? {
        FORM_PLAIN => decode_integers(reader, out),
        FORM_GRID => {
            let interval = reader.signed()?;
            let mut skipped = [0; FRAME_LEN_MAX];
            let skipped = &mut skipped[..out.len()];
            decode_integers(reader, skipped)?;
            decode_integers(reader, out)?;
            let mut slot = 0_i64;
            for (time, skipped) in out.iter_mut().zip(skipped) {
                slot = slot.wrapping_add(*skipped);
                *time = time.wrapping_add(slot.wrapping_mul(interval));
                slot = slot.wrapping_add(1);
            }
            Ok(())
        }
        _ => Err(start.error("unknown form of timestamp column")),
    }
}

/// The grid form: steps missed before each time, and each time less its step's. `None` where there is no interval.
fn grid(timestamps: &[Timestamp]) -> Option<ByteWriter> {
    let mut distances: Vec<i64> = timestamps.windows(2).map(|pair| pair[1].wrapping_sub(pair[0])).collect();
    if distances.len() < 3 {
        return None;
    }
    let middle = distances.len() / 2;
    let interval = *distances.select_nth_unstable(middle).1;
    if interval <= 1 {
        return None;
    }
    let first = timestamps[0];
    let (mut skipped, mut residuals, mut slot_next) = (Vec::new(), Vec::new(), 0_i64);
    for time in timestamps {
        let elapsed = time.wrapping_sub(first);
        let nearest = elapsed.checked_add(interval / 2)? / interval;
        let slot = nearest.max(slot_next);
        skipped.push(slot - slot_next);
        residuals.push(time.wrapping_sub(slot.wrapping_mul(interval)));
        slot_next = slot + 1;
    }
    let mut out = ByteWriter::default();
    out.put_u8(FORM_GRID);
    out.put_signed(interval);
    encode_integers(&skipped, &mut out);
    encode_integers(&residuals, &mut out);
    Some(out)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn round_trip(timestamps: &[Timestamp]) -> usize {
        let mut writer = ByteWriter::default();
        encode_timestamps(timestamps, &mut writer);
        let mut back = vec![0; timestamps.len()];
        let mut reader = ByteReader::new(writer.as_slice());
        decode_timestamps(&mut reader, &mut back).expect("what was written is read");
        reader.finish().expect("everything was read");
        assert_eq!(back, timestamps);
        writer.len()
    }

    proptest! {
        #[test]
        fn rising_times_come_back(mut times in proptest::collection::btree_set(any::<i64>(), 1..300)) {
            times.insert(i64::MIN);
            times.insert(i64::MAX);
            round_trip(&times.into_iter().collect::<Vec<_>>());
        }

        #[test]
        fn scrapes_come_back(missed in proptest::collection::vec((0_i64..3, 0_i64..10), 1..=FRAME_LEN_MAX)) {
            let mut slot = 0;
            let times: Vec<i64> = missed.iter().map(|(skip, jitter)| {
                slot += 1 + skip;
                1_700_000_000_000 + slot * 15_000 + jitter
            }).collect();
            round_trip(&times);
        }

        #[test]
        fn any_bytes_are_decoded_without_a_panic(bytes: Vec<u8>, count in 1_usize..=FRAME_LEN_MAX) {
            let mut out = vec![0; count];
            let _ = decode_timestamps(&mut ByteReader::new(&bytes), &mut out);
        }
    }

    #[test]
    fn jitter_does_not_accumulate() {
        let exact: Vec<i64> = (0..480).map(|i| 1_700_000_000_000 + i * 15_000).collect();
        assert!(round_trip(&exact) <= 32);
        let jittered: Vec<i64> = (0..480).map(|i| 1_700_000_000_000 + i * 15_000 + (i * 7919) % 4).collect();
        assert!(round_trip(&jittered) <= 480 / 4 + 48, "two bits a time");
    }
}
