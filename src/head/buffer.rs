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
    /// Place in [`Buffer::sides`] plus one; 0 where the sample is a float without start timestamp.
    side: u32,
}

const _: () = assert!(size_of::<Entry>() == 24, "the head's memory is planned with 24 bytes a sample");

/// What few samples have.
#[derive(Clone, Debug)]
struct Side {
    start_timestamp: Timestamp,
    histogram: Option<Arc<Histogram>>,
}

/// Samples of one series within one epoch.
#[derive(Debug, Default)]
pub(super) struct Buffer {
    /// Orders never fall; times may.
    entries: Vec<Entry>,
    #[expect(clippy::box_collection, reason = "most series have none, and 16 bytes a series count")]
    sides: Option<Box<Vec<Side>>>,
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
        debug_assert!(self.entries.last().is_none_or(|last| last.order <= entry.order), "batches in order");
        self.entries.push(entry);
    }

    fn side(&mut self, start_timestamp: Timestamp, histogram: Option<Arc<Histogram>>) -> u32 {
        let sides = self.sides.get_or_insert_default();
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
        let sides = self.sides.as_ref().map_or(0, |sides| sides.capacity() * size_of::<Side>());
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

    /// Whether batches up to `order_max` wrote something within `span`.
    pub(super) fn has_any(&self, order_max: Order, span: TimeSpan) -> bool {
        // The newest samples are asked for most.
        self.visible(order_max).iter().rev().any(|entry| span.contains(entry.timestamp))
    }

    /// How many samples batches up to `order_max` wrote within `span`, repeated times included.
    pub(super) fn count(&self, order_max: Order, span: TimeSpan) -> u64 {
        self.visible(order_max).iter().filter(|entry| span.contains(entry.timestamp)).count() as u64
    }

    /// Time of the newest sample.
    pub(super) fn newest(&self, order_max: Order) -> Option<Timestamp> {
        self.visible(order_max).iter().map(|entry| entry.timestamp).max()
    }

    /// Appends to the row begun last in `out` what batches up to `order_max` wrote within `span`: in time order, of
    /// several samples at one time the one written last.
    pub(super) fn read(&self, order_max: Order, span: TimeSpan, out: &mut Columns) {
        let visible = self.visible(order_max);
        if visible.is_sorted_by(|a, b| a.timestamp < b.timestamp) {
            let start = visible.partition_point(|entry| entry.timestamp < span.start);
            let inside = visible[start..].iter().take_while(|entry| entry.timestamp <= span.end);
            inside.for_each(|entry| self.copy(entry, out));
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
        let side = &sides[at as usize];
        match &side.histogram {
            Some(histogram) => {
                out.push_histogram(entry.timestamp, side.start_timestamp, Arc::clone(histogram));
            }
            None => out.push_float(entry.timestamp, side.start_timestamp, value),
        }
    }
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
