//! Newest samples of one series, in the order in which they were written.

use std::sync::Arc;

use crate::model::{Histogram, TimeSpan, Timestamp};
use crate::storage::Columns;

/// Number of a batch within its epoch, from 1 in the order of publication.
pub(super) type Order = u32;

/// One sample.
#[derive(Clone, Copy, Debug)]
struct Entry {
    timestamp: Timestamp,
    /// Bits of the float; 0 for a histogram.
    bits: u64,
    order: Order,
    /// Place in [`Sides::list`] plus one; 0 where the sample is a float without start timestamp.
    side: u32,
}

const _: () = assert!(size_of::<Entry>() == 24, "the head's memory is planned with 24 bytes a sample");

/// What few samples have.
#[derive(Clone, Debug)]
struct Side {
    start_timestamp: Timestamp,
    histogram: Option<Arc<Histogram>>,
}

/// What few series have.
#[derive(Debug, Default)]
struct Sides {
    list: Vec<Side>,
    /// Some sample is not newer than the one before.
    is_disordered: bool,
}

/// Samples of one series within one epoch.
#[derive(Debug, Default)]
pub(super) struct Buffer {
    /// Orders never fall; times may, and then `sides` says so.
    entries: Vec<Entry>,
    /// Boxed: most series have none, and 16 bytes a series count.
    sides: Option<Box<Sides>>,
}

impl Buffer {
    pub(super) fn push_float(&mut self, order: Order, timestamp: Timestamp, start: Timestamp, value: f64) {
        let side = if start == 0 { 0 } else { self.side(start, None) };
        self.push(Entry { timestamp, bits: value.to_bits(), order, side });
    }

    pub(super) fn push_histogram(
        &mut self,
        order: Order,
        timestamp: Timestamp,
        start: Timestamp,
        histogram: Arc<Histogram>,
    ) {
        let side = self.side(start, Some(histogram));
        self.push(Entry { timestamp, bits: 0, order, side });
    }

    fn push(&mut self, entry: Entry) {
        if let Some(last) = self.entries.last() {
            debug_assert!(last.order <= entry.order, "batches in order");
            if entry.timestamp <= last.timestamp {
                self.sides.get_or_insert_default().is_disordered = true;
            }
        }
        self.entries.push(entry);
    }

    fn side(&mut self, start_timestamp: Timestamp, histogram: Option<Arc<Histogram>>) -> u32 {
        let sides = &mut self.sides.get_or_insert_default().list;
        let is_last = |last: &Side| last.histogram.is_none() && last.start_timestamp == start_timestamp;
        if histogram.is_some() || !sides.last().is_some_and(is_last) {
            sides.push(Side { start_timestamp, histogram });
        }
        u32::try_from(sides.len()).expect("a series has fewer than 2^32 samples in memory")
    }

    pub(super) fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Bytes taken beside the buffer itself.
    pub(super) fn heap_bytes(&self) -> usize {
        let sides = self
            .sides
            .as_ref()
            .map_or(0, |sides| size_of::<Sides>() + sides.list.capacity() * size_of::<Side>());
        self.entries.capacity() * size_of::<Entry>() + sides
    }

    /// What batches up to `order_max` wrote.
    fn visible(&self, order_max: Order) -> &[Entry] {
        match self.entries.last() {
            Some(last) if last.order > order_max => {
                &self.entries[..self.entries.partition_point(|entry| entry.order <= order_max)]
            }
            _ => &self.entries,
        }
    }

    /// Whether each sample is newer than the one before.
    fn is_ordered(&self) -> bool {
        self.sides.as_ref().is_none_or(|sides| !sides.is_disordered)
    }

    /// Whether batches up to `order_max` wrote something within `span`.
    pub(super) fn has_any(&self, order_max: Order, span: TimeSpan) -> bool {
        let visible = self.visible(order_max);
        if self.is_ordered() {
            return !within(visible, span).is_empty();
        }
        // The newest samples are asked for most.
        visible.iter().rev().any(|entry| span.contains(entry.timestamp))
    }

    /// How many samples batches up to `order_max` wrote within `span`, repeated times included.
    pub(super) fn count(&self, order_max: Order, span: TimeSpan) -> u64 {
        let visible = self.visible(order_max);
        if self.is_ordered() {
            return within(visible, span).len() as u64;
        }
        visible.iter().filter(|entry| span.contains(entry.timestamp)).count() as u64
    }

    /// Time of the newest sample.
    pub(super) fn newest(&self, order_max: Order) -> Option<Timestamp> {
        let mut times = self.visible(order_max).iter().map(|entry| entry.timestamp);
        if self.is_ordered() { times.next_back() } else { times.max() }
    }

    /// Appends to the row begun last in `out` what batches up to `order_max` wrote within `span`: in time order, of
    /// several samples at one time the one written last.
    pub(super) fn read(&self, order_max: Order, span: TimeSpan, out: &mut Columns) {
        let visible = self.visible(order_max);
        if self.is_ordered() {
            let inside = within(visible, span);
            if self.sides.is_none() {
                out.extend_pairs(inside.iter().map(|entry| (entry.timestamp, f64::from_bits(entry.bits))));
            } else {
                inside.iter().for_each(|entry| self.copy(entry, out));
            }
            return;
        }
        let mut sorted: Vec<&Entry> = visible.iter().filter(|entry| span.contains(entry.timestamp)).collect();
        // Stable: samples at one time stay in the order of writing.
        sorted.sort_by_key(|entry| entry.timestamp);
        for (at, entry) in sorted.iter().enumerate() {
            let is_last = sorted.get(at + 1).is_none_or(|next| next.timestamp != entry.timestamp);
            if is_last {
                self.copy(entry, out);
            }
        }
    }

    fn copy(&self, entry: &Entry, out: &mut Columns) {
        let value = f64::from_bits(entry.bits);
        let Some(at) = entry.side.checked_sub(1) else {
            return out.push_float(entry.timestamp, 0, value);
        };
        let sides = self.sides.as_ref().expect("a sample that points to a side has one");
        let side = &sides.list[at as usize];
        match &side.histogram {
            Some(histogram) => {
                out.push_histogram(entry.timestamp, side.start_timestamp, Arc::clone(histogram));
            }
            None => out.push_float(entry.timestamp, side.start_timestamp, value),
        }
    }
}

/// The entries within `span` of entries in time order. Searched from the newest on, which are asked for most.
fn within(ordered: &[Entry], span: TimeSpan) -> &[Entry] {
    let end = place_of(ordered, |entry| entry.timestamp <= span.end);
    let start = place_of(&ordered[..end], |entry| entry.timestamp < span.start);
    &ordered[start..end]
}

/// How many entries `precede`, which all do that come before one that does.
fn place_of(ordered: &[Entry], precede: impl Fn(&Entry) -> bool) -> usize {
    let mut step = 1;
    while step <= ordered.len() && !precede(&ordered[ordered.len() - step]) {
        step *= 2;
    }
    // The entry at half the step, counted from the end, does not precede; the one at the step does, if there is one.
    let start = ordered.len().saturating_sub(step);
    let end = ordered.len() - step / 2;
    start + ordered[start..end].partition_point(precede)
}

#[cfg(test)]
mod tests {
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
