//! Buckets of a classic histogram as differences to the bucket before: counts up to one bound hold those up to the
//! bound before, so that what is left is small and mostly still.

use crate::chunk::{FRAME_LEN_MAX, decode_values, encode_values};
use crate::encoding::{ByteReader, ByteWriter};
use crate::model::{BUCKET_LABEL, Labels, is_stale};

use super::RowKey;
use super::rows::Frame;

/// Most frames that are decoded beside the one that is read: a bucket costs two and a half frames on average.
pub(super) const CHAIN_MAX: usize = 3;

/// The row that was written last, if it was a bucket.
#[derive(Default)]
pub(super) struct Family {
    last: Option<(RowKey, Vec<Bucket>)>,
}

/// A frame of a bucket.
struct Bucket {
    frame: Frame,
    /// Empty where it does not hold floats alone.
    values: Vec<f64>,
    /// How many frames stand behind it.
    depth: usize,
}

impl Family {
    /// Frames of the next row with differences in place of values where that is smaller; `None` where nothing changes.
    ///
    /// `bytes`: the frames as they are, back to back.
    pub(super) fn differences(
        &mut self,
        labels: &Labels,
        frames: &[Frame],
        bytes: &[u8],
    ) -> Option<(Vec<Frame>, Vec<u8>)> {
        let last = self.last.take();
        labels.get(BUCKET_LABEL)?;
        let key = RowKey::of(labels);
        let before = last.filter(|(last, _)| last.is_beside(&key)).map_or(Vec::new(), |(_, buckets)| buckets);
        let (mut out, mut rest) = (ByteWriter::default(), bytes);
        let mut buckets: Vec<Bucket> = Vec::with_capacity(frames.len());
        for (number, frame) in frames.iter().enumerate() {
            let (own, after) = rest.split_at(frame.bytes as usize);
            rest = after;
            let mut bucket = Bucket { frame: *frame, values: floats(frame, own), depth: 0 };
            let written = out.len();
            if let Some(before) = before.get(number).filter(|before| before.is_base_of(&bucket)) {
                put_differences(&before.values, &bucket.values, own.len(), &mut out);
            }
            if out.len() > written {
                bucket.depth = before[number].depth + 1;
                bucket.frame.is_difference = true;
                bucket.frame.bytes = u32::try_from(out.len() - written).expect("smaller than before");
            } else {
                out.put(own);
            }
            buckets.push(bucket);
        }
        let frames: Vec<Frame> = buckets.iter().map(|bucket| bucket.frame).collect();
        let has_differences = frames.iter().any(|frame| frame.is_difference);
        self.last = Some((key, buckets));
        has_differences.then(|| (frames, out.into_bytes()))
    }
}

impl Bucket {
    fn is_base_of(&self, next: &Self) -> bool {
        self.depth < CHAIN_MAX
            && !self.values.is_empty()
            && !next.values.is_empty()
            && self.frame.times == next.frame.times
    }
}

fn floats(frame: &Frame, bytes: &[u8]) -> Vec<f64> {
    if frame.is_histograms || frame.has_starts {
        return Vec::new();
    }
    let mut values = vec![0.0; usize::from(frame.times.count)];
    decode_values(&mut ByteReader::new(bytes), &mut values).expect("the frame was encoded just now");
    values
}

/// Appends the frame of differences, if all come back bit for bit and it is at least an eighth smaller than `bytes`.
fn put_differences(before: &[f64], values: &[f64], bytes: usize, out: &mut ByteWriter) {
    let mut differences = [0.0; FRAME_LEN_MAX];
    let differences = &mut differences[..values.len()];
    for ((difference, base), value) in differences.iter_mut().zip(before).zip(values) {
        *difference = if is_stale(*value) || is_stale(*base) { *value } else { value - base };
        if add(*base, *difference).to_bits() != value.to_bits() {
            return;
        }
    }
    let mut encoded = ByteWriter::default();
    encode_values(differences, &mut encoded);
    if encoded.len() + bytes / 8 < bytes {
        out.put(encoded.as_slice());
    }
}

/// The value that differs from `base` by `difference`.
fn add(base: f64, difference: f64) -> f64 {
    if is_stale(difference) || is_stale(base) { difference } else { base + difference }
}

/// Turns differences to `base` into values.
pub(super) fn add_all(base: &[f64], values: &mut [f64]) {
    values.iter_mut().zip(base).for_each(|(value, base)| *value = add(*base, *value));
}

#[cfg(test)]
mod tests {
    use super::super::times::TimesRun;
    use super::*;
    use crate::model::stale_nan;

    fn frame(values: &[f64]) -> (Frame, Vec<u8>) {
        let mut out = ByteWriter::default();
        encode_values(values, &mut out);
        let times = TimesRun { column: 0, start: 0, count: u16::try_from(values.len()).expect("short") };
        let bytes = u32::try_from(out.len()).expect("short");
        let frame = Frame {
            times,
            times_after: 0,
            is_histograms: false,
            has_starts: false,
            is_difference: false,
            bytes,
        };
        (frame, out.into_bytes())
    }

    fn labels(le: &str) -> Labels {
        Labels::from_pairs([("__name__", "x_bucket"), ("le", le)])
    }

    #[test]
    fn a_chain_of_buckets_ends_and_begins_anew() {
        let mut family = Family::default();
        let first: Vec<f64> = (0..300).map(|i| f64::from(i * 7919 % 5000 + i * 5000)).collect();
        let found: Vec<bool> = ["1", "2", "3", "4", "5", "+Inf"]
            .iter()
            .map(|le| {
                let (frame, bytes) = frame(&first);
                family.differences(&labels(le), &[frame], &bytes).is_some()
            })
            .collect();
        assert_eq!(found, [false, true, true, true, false, true]);
        let (frame, bytes) = frame(&first);
        let other = Labels::from_pairs([("__name__", "y_bucket"), ("le", "1")]);
        assert!(family.differences(&other, &[frame], &bytes).is_none(), "another family");
    }

    #[test]
    fn differences_come_back_around_stale_markers() {
        let base = [1.0, stale_nan(), 3.0, stale_nan(), 1e17, 5.0];
        let values = [2.0, 2.0, stale_nan(), stale_nan(), 2e17, 5.0];
        let mut out = ByteWriter::default();
        put_differences(&base, &values, 1_000, &mut out);
        let mut back = [0.0; 6];
        decode_values(&mut ByteReader::new(out.as_slice()), &mut back).expect("sound");
        add_all(&base, &mut back);
        assert_eq!(back.map(f64::to_bits), values.map(f64::to_bits));
        let mut none = ByteWriter::default();
        put_differences(&[f64::NAN], &[1.0], 1_000, &mut none);
        assert!(none.is_empty(), "what does not come back is not stored so");
    }
}
