//! A native histogram while it is computed with: populated buckets by index, each sum with what rounding has lost.

use crate::model::{CUSTOM_BUCKETS_SCHEMA, CounterResetHint, FloatHistogram, Span, bucket_bound};

use super::native::indexed;
use super::numeric::CompensatedSum;

/// Whether a counter has less than before, whatever is said of it. The two may differ in buckets, bounds and zero bucket.
pub(crate) fn is_less(current: &FloatHistogram, previous: &FloatHistogram) -> bool {
    if current.count < previous.count {
        return true;
    }
    let (mut now, mut before) = (Sparse::of(current), Sparse::of(previous));
    if now.is_custom() && before.is_custom() {
        if now.custom_values != before.custom_values {
            let bounds = common(&now.custom_values, &before.custom_values);
            now.rebound(&bounds);
            before.rebound(&bounds);
        }
        return now.falls_below(&before);
    }
    if now.is_custom() || now.schema > before.schema || now.zero_threshold < before.zero_threshold {
        return true;
    }
    if now.zero_threshold > before.zero_threshold {
        before.widen_zero(now.zero_threshold);
    }
    if now.zero_threshold != before.zero_threshold || now.zero.value() < before.zero.value() {
        return true;
    }
    before.reduce(now.schema);
    now.falls_below(&before)
}

/// What adding has found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Combined {
    /// One histogram was marked as a reset, the other as none.
    pub(crate) hints_collide: bool,
    /// Custom bounds differed; those that both have are left.
    pub(crate) bounds_reconciled: bool,
}

type Side = Vec<(i32, CompensatedSum)>;

/// A histogram while it is computed with.
#[derive(Clone, Debug)]
pub(crate) struct Sparse {
    hint: CounterResetHint,
    schema: i32,
    zero_threshold: f64,
    zero: CompensatedSum,
    count: CompensatedSum,
    sum: CompensatedSum,
    positive: Side,
    negative: Side,
    custom_values: Vec<f64>,
}

impl Sparse {
    /// Of a histogram.
    pub(crate) fn of(histogram: &FloatHistogram) -> Self {
        let side = |spans: &[Span], buckets: &[f64]| -> Side {
            indexed(spans, buckets).map(|(index, count)| (index, CompensatedSum::of(count))).collect()
        };
        Self {
            hint: histogram.counter_reset_hint,
            schema: histogram.schema,
            zero_threshold: histogram.zero_threshold,
            zero: CompensatedSum::of(histogram.zero_count),
            count: CompensatedSum::of(histogram.count),
            sum: CompensatedSum::of(histogram.sum),
            positive: side(&histogram.positive_spans, &histogram.positive_buckets),
            negative: side(&histogram.negative_spans, &histogram.negative_buckets),
            custom_values: histogram.custom_values.clone(),
        }
    }

    /// Sets what is known of a reset before it.
    pub(crate) fn set_hint(&mut self, hint: CounterResetHint) {
        self.hint = hint;
    }

    /// Observations in all.
    pub(crate) fn count(&self) -> f64 {
        self.count.value()
    }

    /// Whether a bucket has less than the same one before.
    fn falls_below(&self, before: &Self) -> bool {
        let falls = |now: &Side, before: &Side| {
            before.iter().any(|(index, count)| {
                let now = now.binary_search_by_key(index, |(index, _)| *index).map(|at| now[at].1.value());
                match now {
                    Ok(now) => now < count.value(),
                    Err(_) => count.value() != 0.0,
                }
            })
        };
        falls(&self.positive, &before.positive) || falls(&self.negative, &before.negative)
    }

    fn is_custom(&self) -> bool {
        self.schema == CUSTOM_BUCKETS_SCHEMA
    }

    /// Adds `sign` times a histogram; `None` where one has custom bounds and the other has not.
    pub(crate) fn add(&mut self, histogram: &FloatHistogram, sign: f64) -> Option<Combined> {
        let mut other = Self::of(histogram);
        if self.is_custom() != other.is_custom() {
            return None;
        }
        let hints_collide = self.combine_hints(other.hint);
        let mut bounds_reconciled = false;
        if self.is_custom() {
            if self.custom_values != other.custom_values {
                bounds_reconciled = true;
                let bounds = common(&self.custom_values, &other.custom_values);
                self.rebound(&bounds);
                other.rebound(&bounds);
            }
        } else {
            self.reconcile_zero(&mut other);
            let schema = self.schema.min(other.schema);
            self.reduce(schema);
            other.reduce(schema);
        }
        for (sum, value) in
            [(&mut self.zero, other.zero), (&mut self.count, other.count), (&mut self.sum, other.sum)]
        {
            *sum = sum.plus(sign * value.value());
        }
        self.positive = added(&self.positive, &other.positive, sign);
        self.negative = added(&self.negative, &other.negative, sign);
        Some(Combined { hints_collide, bounds_reconciled })
    }

    fn combine_hints(&mut self, other: CounterResetHint) -> bool {
        use CounterResetHint::{Gauge, NotReset, Reset, Unknown};
        let (hint, collide) = match (self.hint, other) {
            (a, b) if a == b => (a, false),
            (Gauge, _) | (_, Gauge) => (Gauge, false),
            (Unknown, _) | (_, Unknown) => (Unknown, false),
            (Reset | NotReset, _) => (Unknown, true),
        };
        self.hint = hint;
        collide
    }

    /// Makes both zero buckets equally wide; buckets that are covered then go into them.
    fn reconcile_zero(&mut self, other: &mut Self) {
        while self.zero_threshold != other.zero_threshold {
            if self.zero_threshold < other.zero_threshold {
                self.widen_zero(other.zero_threshold);
            } else {
                other.widen_zero(self.zero_threshold);
            }
        }
    }

    /// Widens the zero bucket to `threshold`, or to the end of the populated bucket that it lies in.
    fn widen_zero(&mut self, threshold: f64) {
        let mut threshold = threshold;
        let bound = |index: i32| bucket_bound(index, self.schema, &[]);
        loop {
            let inside = |side: &Side| {
                side.iter()
                    .filter(|(_, count)| count.value() != 0.0)
                    .map(|(index, _)| (bound(index.saturating_sub(1)), bound(*index)))
                    .find(|(lower, upper)| *lower < threshold && threshold < *upper)
                    .map(|(_, upper)| upper)
            };
            match inside(&self.positive).or_else(|| inside(&self.negative)) {
                Some(wider) => threshold = wider,
                None => break,
            }
        }
        for side in [&mut self.positive, &mut self.negative] {
            for (index, count) in side.iter() {
                if bound(index.saturating_sub(1)) < threshold {
                    self.zero = self.zero.plus(count.sum).plus(count.compensation);
                }
            }
            side.retain(|(index, _)| bound(index.saturating_sub(1)) >= threshold);
        }
        self.zero_threshold = threshold;
    }

    /// Merges buckets until they are those of a coarser schema.
    pub(crate) fn reduce(&mut self, schema: i32) {
        let Some(shift) = self.schema.checked_sub(schema).filter(|shift| *shift > 0) else { return };
        for side in [&mut self.positive, &mut self.negative] {
            let coarse = side.iter().map(|(index, count)| ((index.saturating_sub(1) >> shift) + 1, *count));
            *side = gathered(coarse);
        }
        self.schema = schema;
    }

    /// Moves buckets to those of fewer bounds.
    fn rebound(&mut self, bounds: &[f64]) {
        let old = std::mem::replace(&mut self.custom_values, bounds.to_vec());
        let moved = self.positive.iter().map(|(index, count)| {
            let upper = usize::try_from(*index).ok().and_then(|index| old.get(index)).copied();
            let place = upper.map_or(bounds.len(), |upper| bounds.partition_point(|bound| *bound < upper));
            (i32::try_from(place).unwrap_or(i32::MAX), *count)
        });
        self.positive = gathered(moved);
    }

    /// All populations and the sum multiplied.
    pub(crate) fn scale(&mut self, factor: f64) {
        let scale = |value: &mut CompensatedSum| {
            value.sum *= factor;
            value.compensation *= factor;
        };
        [&mut self.zero, &mut self.count, &mut self.sum].into_iter().for_each(scale);
        self.positive.iter_mut().chain(&mut self.negative).for_each(|(_, count)| scale(count));
    }

    /// All populations and the sum divided.
    pub(crate) fn divide(&mut self, divisor: f64) {
        let divide = |value: &mut CompensatedSum| {
            value.sum /= divisor;
            value.compensation /= divisor;
        };
        [&mut self.zero, &mut self.count, &mut self.sum].into_iter().for_each(divide);
        self.positive.iter_mut().chain(&mut self.negative).for_each(|(_, count)| divide(count));
    }

    /// Whether a population or the sum is infinite.
    pub(crate) fn overflows(&self) -> bool {
        let all = [self.zero, self.count, self.sum];
        let buckets = self.positive.iter().chain(&self.negative).map(|(_, count)| *count);
        all.into_iter().chain(buckets).any(|value| value.sum.is_infinite())
    }

    /// The histogram, without empty buckets.
    pub(crate) fn finish(self) -> FloatHistogram {
        let (positive_spans, positive_buckets) = spans_of(&self.positive);
        let (negative_spans, negative_buckets) = spans_of(&self.negative);
        FloatHistogram {
            counter_reset_hint: self.hint,
            schema: self.schema,
            zero_threshold: self.zero_threshold,
            zero_count: self.zero.value(),
            count: self.count.value(),
            sum: self.sum.value(),
            positive_spans,
            negative_spans,
            positive_buckets,
            negative_buckets,
            custom_values: self.custom_values,
        }
    }
}

/// Sums of the same index become one; indexes rise.
fn gathered(buckets: impl Iterator<Item = (i32, CompensatedSum)>) -> Side {
    let mut side: Side = Vec::new();
    for (index, count) in buckets {
        match side.last_mut() {
            Some((last, sum)) if *last == index => *sum = sum.plus(count.sum).plus(count.compensation),
            _ => side.push((index, count)),
        }
    }
    side
}

fn added(a: &Side, b: &Side, sign: f64) -> Side {
    let mut sum: Side = Vec::with_capacity(a.len().max(b.len()));
    let (mut a, mut b) = (a.iter().peekable(), b.iter().peekable());
    loop {
        let order = match (a.peek(), b.peek()) {
            (None, None) => return sum,
            (Some(_), None) => std::cmp::Ordering::Less,
            (None, Some(_)) => std::cmp::Ordering::Greater,
            (Some((a, _)), Some((b, _))) => a.cmp(b),
        };
        let left = if order.is_le() { a.next() } else { None };
        let right = if order.is_ge() { b.next() } else { None };
        sum.extend(match (left, right) {
            (Some((index, a)), Some((_, b))) => Some((*index, a.plus(sign * b.value()))),
            (Some((index, a)), None) => Some((*index, *a)),
            (None, Some((index, b))) => Some((*index, CompensatedSum::of(sign * b.value()))),
            (None, None) => None,
        });
    }
}

/// Bounds that both have.
fn common(a: &[f64], b: &[f64]) -> Vec<f64> {
    a.iter().copied().filter(|bound| b.contains(bound)).collect()
}

fn spans_of(side: &Side) -> (Vec<Span>, Vec<f64>) {
    let mut spans: Vec<Span> = Vec::new();
    let mut buckets = Vec::with_capacity(side.len());
    let mut next = 0_i32;
    for (index, count) in side {
        let count = count.value();
        if count == 0.0 {
            continue;
        }
        match spans.last_mut() {
            Some(span) if *index == next => span.length += 1,
            _ => spans.push(Span { offset: index.saturating_sub(next), length: 1 }),
        }
        next = index.saturating_add(1);
        buckets.push(count);
    }
    (spans, buckets)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn histogram(schema: i32, offset: i32, buckets: &[f64]) -> FloatHistogram {
        let length = u32::try_from(buckets.len()).expect("few buckets");
        FloatHistogram {
            schema,
            count: buckets.iter().sum(),
            sum: 10.0,
            positive_spans: vec![Span { offset, length }],
            positive_buckets: buckets.to_vec(),
            ..FloatHistogram::default()
        }
    }

    fn sum(a: &FloatHistogram, b: &FloatHistogram, sign: f64) -> Option<FloatHistogram> {
        let mut sparse = Sparse::of(a);
        sparse.add(b, sign)?;
        Some(sparse.finish())
    }

    #[test]
    fn the_coarser_schema_wins() {
        let fine = histogram(1, 1, &[1.0, 2.0, 3.0, 4.0]);
        let coarse = histogram(0, 1, &[10.0]);
        let result = sum(&fine, &coarse, 1.0).expect("both exponential");
        assert_eq!((result.schema, result.count, result.sum), (0, 20.0, 20.0));
        assert_eq!(result.positive_spans, [Span { offset: 1, length: 2 }]);
        assert_eq!(result.positive_buckets, [13.0, 7.0]);
    }

    #[test]
    fn what_cancels_out_leaves_no_bucket() {
        let a = histogram(0, 0, &[1.0, 2.0, 3.0]);
        let result = sum(&a, &histogram(0, 1, &[2.0]), -1.0).expect("both exponential");
        assert_eq!(result.positive_spans, [Span { offset: 0, length: 1 }, Span { offset: 1, length: 1 }]);
        assert_eq!(result.positive_buckets, [1.0, 3.0]);
    }

    #[test]
    fn zero_buckets_become_equally_wide() {
        let wide = FloatHistogram { zero_threshold: 1.5, zero_count: 1.0, ..histogram(0, 3, &[1.0]) };
        let narrow =
            FloatHistogram { zero_threshold: 0.5, zero_count: 1.0, ..histogram(0, 0, &[5.0, 7.0, 9.0]) };
        let result = sum(&wide, &narrow, 1.0).expect("both exponential");
        // The bucket from 1 to 2 is populated, so the zero bucket takes it whole.
        assert_eq!((result.zero_threshold, result.zero_count), (2.0, 14.0));
        assert_eq!(result.positive_buckets, [9.0, 1.0]);
    }

    #[test]
    fn custom_bounds_are_intersected() {
        let custom = |bounds: &[f64], buckets: &[f64]| FloatHistogram {
            custom_values: bounds.to_vec(),
            ..histogram(CUSTOM_BUCKETS_SCHEMA, 0, buckets)
        };
        let mut sparse = Sparse::of(&custom(&[1.0, 2.0, 4.0], &[1.0, 2.0, 3.0, 4.0]));
        let combined = sparse.add(&custom(&[2.0, 3.0, 4.0], &[1.0, 1.0, 1.0, 1.0]), 1.0);
        assert_eq!(combined.map(|combined| combined.bounds_reconciled), Some(true));
        let result = sparse.finish();
        assert_eq!(result.custom_values, [2.0, 4.0]);
        assert_eq!(result.positive_buckets, [4.0, 5.0, 5.0]);
        assert!(sum(&histogram(0, 0, &[1.0]), &custom(&[1.0], &[1.0]), 1.0).is_none());
    }
}
