//! Newest samples of one series, in the order in which they were written.
//!
//! They are packed as they come: a sample says how it differs from the one before. One of a scraped series takes three to
//! five bytes, where it is plain 24, and nothing has to be encoded anew when a buffer grows. Every value comes back bit
//! for bit.

use std::sync::Arc;

use crate::model::{Histogram, TimeSpan, Timestamp};
use crate::storage::Columns;

use super::packed::{Packed, PackedSample, State};

/// Number of a batch within its epoch, from 1 in the order of publication.
pub(super) type Order = u32;

/// Every so many samples a reader can begin.
const MARK_SAMPLES: u32 = 64;

/// What few samples have.
#[derive(Clone, Debug)]
struct Side {
    start_timestamp: Timestamp,
    histogram: Option<Arc<Histogram>>,
}

/// What few or long series have.
#[derive(Debug, Default)]
struct Rest {
    sides: Vec<Side>,
    /// Some sample is not newer than the one before.
    is_disordered: bool,
    /// Where the sample at each multiple of [`MARK_SAMPLES`] begins, and the state before it.
    marks: Vec<(u32, State)>,
}

/// Samples of one series within one epoch.
#[derive(Debug, Default)]
pub(super) struct Buffer {
    /// Orders never fall; times may, and then `rest` says so.
    packed: Packed,
    count: u32,
    /// Boxed: most series of a large head have none.
    rest: Option<Box<Rest>>,
}

const _: () = assert!(size_of::<Buffer>() <= 72, "the head's memory is planned with 72 bytes a series");

impl Buffer {
    pub(super) fn push_float(&mut self, order: Order, timestamp: Timestamp, start: Timestamp, value: f64) {
        let side = if start == 0 { 0 } else { self.side(start, None) };
        self.push(PackedSample { timestamp, bits: value.to_bits(), order, side });
    }

    pub(super) fn push_histogram(
        &mut self,
        order: Order,
        timestamp: Timestamp,
        start: Timestamp,
        histogram: Arc<Histogram>,
    ) {
        let side = self.side(start, Some(histogram));
        self.push(PackedSample { timestamp, bits: 0, order, side });
    }

    fn push(&mut self, sample: PackedSample) {
        if self.count > 0 {
            let last = self.packed.state();
            debug_assert!(last.order <= sample.order, "batches in order");
            if sample.timestamp <= last.timestamp {
                self.rest.get_or_insert_default().is_disordered = true;
            }
            if self.count.is_multiple_of(MARK_SAMPLES) {
                let mark = (self.packed.len(), *last);
                self.rest.get_or_insert_default().marks.push(mark);
            }
        }
        self.packed.push(sample);
        self.count += 1;
    }

    /// The number of a sample's side, from 1.
    fn side(&mut self, start_timestamp: Timestamp, histogram: Option<Arc<Histogram>>) -> u32 {
        let sides = &mut self.rest.get_or_insert_default().sides;
        let is_last = |last: &Side| last.histogram.is_none() && last.start_timestamp == start_timestamp;
        if histogram.is_some() || !sides.last().is_some_and(is_last) {
            sides.push(Side { start_timestamp, histogram });
        }
        u32::try_from(sides.len()).expect("a series has fewer than 2^32 samples in memory")
    }

    pub(super) fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// Bytes taken beside the buffer itself.
    pub(super) fn heap_bytes(&self) -> usize {
        let rest = self.rest.as_ref().map_or(0, |rest| {
            size_of::<Rest>()
                + rest.sides.capacity() * size_of::<Side>()
                + rest.marks.capacity() * size_of::<(u32, State)>()
        });
        self.packed.heap_bytes() + rest
    }

    /// Whether each sample is newer than the one before.
    fn is_ordered(&self) -> bool {
        self.rest.as_ref().is_none_or(|rest| !rest.is_disordered)
    }

    /// Whether batches up to `order_max` wrote all of it.
    fn is_visible(&self, order_max: Order) -> bool {
        self.packed.state().order <= order_max
    }

    /// What batches up to `order_max` wrote, from the sample `at` on; `at` is what [`Self::mark_before`] answers.
    fn from(&self, at: u32, order_max: Order) -> impl Iterator<Item = PackedSample> {
        let mark = (at / MARK_SAMPLES).checked_sub(1).map(|index| {
            let rest = self.rest.as_ref().expect("a long buffer has marks");
            rest.marks[index as usize]
        });
        let (offset, state) = mark.unwrap_or_default();
        let samples = self.packed.read(offset, state);
        samples.take((self.count - at) as usize).take_while(move |sample| sample.order <= order_max)
    }

    /// The last marked sample that no sample at `t` or later comes before; the buffer is in order.
    fn mark_before(&self, t: Timestamp) -> u32 {
        let marks = self.rest.as_ref().map_or(&[][..], |rest| &rest.marks);
        let before = marks.partition_point(|(_, state)| state.timestamp < t);
        u32::try_from(before).expect("there are fewer marks than samples") * MARK_SAMPLES
    }

    /// What batches up to `order_max` wrote within `span`; the buffer is in order.
    fn within(&self, order_max: Order, span: TimeSpan) -> impl Iterator<Item = PackedSample> {
        let samples = self.from(self.mark_before(span.start), order_max);
        samples
            .skip_while(move |sample| sample.timestamp < span.start)
            .take_while(move |sample| sample.timestamp <= span.end)
    }

    /// Whether batches up to `order_max` wrote something within `span`.
    pub(super) fn has_any(&self, order_max: Order, span: TimeSpan) -> bool {
        if self.is_empty() {
            return false;
        }
        if !self.is_ordered() {
            return self.from(0, order_max).any(|sample| span.contains(sample.timestamp));
        }
        let newest = self.packed.state().timestamp;
        // The newest samples are asked for most.
        newest >= span.start
            && ((newest <= span.end && self.is_visible(order_max))
                || self.within(order_max, span).next().is_some())
    }

    /// How many samples batches up to `order_max` wrote within `span`, repeated times included.
    pub(super) fn count(&self, order_max: Order, span: TimeSpan) -> u64 {
        if self.is_empty() || (self.is_ordered() && self.packed.state().timestamp < span.start) {
            return 0;
        }
        if !self.is_ordered() {
            let visible = self.from(0, order_max);
            return visible.filter(|sample| span.contains(sample.timestamp)).count() as u64;
        }
        if self.packed.state().timestamp <= span.end && self.is_visible(order_max) {
            // All but those before the span.
            let at = self.mark_before(span.start);
            let before = self.from(at, order_max).take_while(|sample| sample.timestamp < span.start).count();
            return u64::from(self.count - at) - before as u64;
        }
        self.within(order_max, span).count() as u64
    }

    /// Time of the newest sample.
    pub(super) fn newest(&self, order_max: Order) -> Option<Timestamp> {
        if self.is_empty() {
            return None;
        }
        if self.is_ordered() && self.is_visible(order_max) {
            return Some(self.packed.state().timestamp);
        }
        self.from(0, order_max).map(|sample| sample.timestamp).max()
    }

    /// Appends to the row begun last in `out` what batches up to `order_max` wrote within `span`: in time order, of
    /// several samples at one time the one written last.
    pub(super) fn read(&self, order_max: Order, span: TimeSpan, out: &mut Columns) {
        if self.is_empty() {
            return;
        }
        if self.is_ordered() {
            let inside = self.within(order_max, span);
            return match self.rest.as_ref().is_none_or(|rest| rest.sides.is_empty()) {
                true => copy_floats(inside, out),
                false => inside.for_each(|sample| self.copy(&sample, out)),
            };
        }
        let mut sorted: Vec<PackedSample> =
            self.from(0, order_max).filter(|sample| span.contains(sample.timestamp)).collect();
        // Stable: samples at one time stay in the order of writing.
        sorted.sort_by_key(|sample| sample.timestamp);
        for (at, sample) in sorted.iter().enumerate() {
            let is_last = sorted.get(at + 1).is_none_or(|next| next.timestamp != sample.timestamp);
            if is_last {
                self.copy(sample, out);
            }
        }
    }

    fn copy(&self, sample: &PackedSample, out: &mut Columns) {
        let value = f64::from_bits(sample.bits);
        let Some(at) = sample.side.checked_sub(1) else {
            return out.push_float(sample.timestamp, 0, value);
        };
        let rest = self.rest.as_ref().expect("a sample that points to a side has one");
        let side = &rest.sides[at as usize];
        match &side.histogram {
            Some(histogram) => {
                out.push_histogram(sample.timestamp, side.start_timestamp, Arc::clone(histogram));
            }
            None => out.push_float(sample.timestamp, side.start_timestamp, value),
        }
    }
}

/// Copies samples without sides, some at a time.
fn copy_floats(samples: impl Iterator<Item = PackedSample>, out: &mut Columns) {
    const PART: usize = 64;
    let (mut timestamps, mut values, mut len) = ([0; PART], [0.0; PART], 0);
    for sample in samples {
        if len == PART {
            out.extend_floats(&timestamps, &values);
            len = 0;
        }
        (timestamps[len], values[len]) = (sample.timestamp, f64::from_bits(sample.bits));
        len += 1;
    }
    out.extend_floats(&timestamps[..len], &values[..len]);
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::*;

    fn read(buffer: &Buffer, order_max: Order, span: TimeSpan) -> Vec<(Timestamp, f64, Timestamp)> {
        let mut columns = Columns::default();
        columns.begin_row();
        buffer.read(order_max, span, &mut columns);
        let row = columns.row(0);
        let starts = |at: usize| row.start_timestamps.get(at).copied().unwrap_or(0);
        row.timestamps.iter().zip(row.values).enumerate().map(|(at, (t, v))| (*t, *v, starts(at))).collect()
    }

    #[test]
    fn spans_are_found_in_order_and_out_of_it() {
        let times = |order: &[Timestamp]| {
            let mut buffer = Buffer::default();
            order.iter().for_each(|t| buffer.push_float(1, *t, 0, *t as f64));
            buffer
        };
        let ordered = times(&(0..40).map(|at| at * 10).collect::<Vec<_>>());
        let mut shuffled: Vec<Timestamp> = (0..40).map(|at| at * 10).collect();
        shuffled.swap(3, 30);
        let shuffled = times(&shuffled);
        assert!(ordered.is_ordered() && !shuffled.is_ordered());
        for start in -20..420 {
            for end in [start - 1, start, start + 35, 390, 500] {
                let span = TimeSpan::new(start, end);
                let expected: Vec<(Timestamp, f64, Timestamp)> = (0..40)
                    .map(|at| at * 10)
                    .filter(|t| span.contains(*t))
                    .map(|t| (t, t as f64, 0))
                    .collect();
                for buffer in [&ordered, &shuffled] {
                    assert_eq!(read(buffer, 1, span), expected);
                    assert_eq!(buffer.count(1, span), expected.len() as u64);
                    assert_eq!(buffer.has_any(1, span), !expected.is_empty());
                    assert_eq!(buffer.newest(1), Some(390));
                }
            }
        }
    }

    /// One sample of any kind: how far its batch and its time are from those before, start, value.
    type Step = (u32, i64, i64, f64);

    fn steps() -> impl Strategy<Value = Vec<Step>> {
        let value = prop_oneof![
            (-1_000..1_000_i64).prop_map(|v| v as f64),
            any::<i64>().prop_map(|v| v as f64),
            (0..100_000_i64).prop_map(|v| v as f64 / 100.0),
            any::<u64>().prop_map(f64::from_bits),
            Just(-0.0),
            Just(1.0),
        ];
        let time = prop_oneof![8 => Just(15_000), 2 => 14_990..15_010_i64, 1 => -40_000..40_000_i64];
        let start = prop_oneof![9 => Just(0), 1 => Just(7), 1 => any::<i64>()];
        vec((prop_oneof![3 => Just(1_u32), 1 => 0..300_u32], time, start, value), 0..300)
    }

    proptest! {
        #[test]
        fn what_was_written_is_read(steps in steps(), disordered: bool, cut in 0..40_000_u32, from: u16, to: u16) {
            let mut buffer = Buffer::default();
            let (mut order, mut t) = (1, 1_700_000_000_000);
            let mut written: Vec<(u32, i64, i64, u64)> = Vec::new();
            for (order_step, time_step, start, value) in steps {
                order += order_step;
                t += if disordered { time_step } else { time_step.abs().max(1) };
                buffer.push_float(order, t, start, value);
                written.push((order, t, start, value.to_bits()));
            }
            let first = written.iter().map(|sample| sample.1).min().unwrap_or(0);
            let span = TimeSpan::new(first + i64::from(from) * 100, first + i64::from(to) * 100);
            for (order_max, span) in [(u32::MAX, TimeSpan::ALL), (u32::MAX, span), (cut, TimeSpan::ALL), (cut, span)] {
                let visible: Vec<_> = written.iter().filter(|sample| sample.0 <= order_max).collect();
                let inside: Vec<_> = visible.iter().filter(|sample| span.contains(sample.1)).collect();
                let expected: BTreeMap<i64, (i64, u64)> =
                    inside.iter().map(|sample| (sample.1, (sample.2, sample.3))).collect();
                let found: Vec<_> = read(&buffer, order_max, span)
                    .into_iter()
                    .map(|(t, value, start)| (t, (start, value.to_bits())))
                    .collect();
                prop_assert_eq!(found, expected.into_iter().collect::<Vec<_>>());
                prop_assert_eq!(buffer.count(order_max, span), inside.len() as u64);
                prop_assert_eq!(buffer.has_any(order_max, span), !inside.is_empty());
                prop_assert_eq!(buffer.newest(order_max), visible.iter().map(|sample| sample.1).max());
            }
        }
    }

    #[test]
    fn samples_of_a_scrape_take_few_bytes() {
        let mut buffer = Buffer::default();
        for at in 0..120_u32 {
            buffer.push_float(
                1 + at * 10,
                1_700_000_000_000 + i64::from(at) * 15_000,
                0,
                f64::from(at * at % 40),
            );
        }
        assert!(buffer.heap_bytes() < 120 * 5, "{} bytes", buffer.heap_bytes());
    }

    #[test]
    fn later_batches_win_and_are_not_seen_early() {
        let mut buffer = Buffer::default();
        buffer.push_float(1, 10, 0, 1.0);
        buffer.push_float(1, 20, 5, 2.0);
        buffer.push_float(2, 15, 5, 1.5);
        buffer.push_float(2, 20, 0, 2.5);
        assert_eq!(read(&buffer, 1, TimeSpan::ALL), [(10, 1.0, 0), (20, 2.0, 5)]);
        assert_eq!(read(&buffer, 2, TimeSpan::new(11, 20)), [(15, 1.5, 5), (20, 2.5, 0)]);
        assert_eq!(buffer.newest(0), None);
        assert!(buffer.has_any(2, TimeSpan::new(12, 16)) && !buffer.has_any(1, TimeSpan::new(12, 16)));
    }
}
