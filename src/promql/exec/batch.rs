//! Values of series over all steps: one row, and many.

use std::sync::Arc;

use crate::model::FloatHistogram;
use crate::promql::value::SampleValue;

use super::labels::LabelSet;

/// A series that an operator puts out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Series {
    /// Its labels.
    pub(crate) labels: LabelSet,
    /// Whether its metric name goes when the result is ready.
    pub(crate) drop_name: bool,
}

impl Series {
    /// A series that keeps what name it has.
    pub(crate) const fn new(labels: LabelSet) -> Self {
        Self { labels, drop_name: false }
    }
}

/// A native histogram as rows hold it.
pub(crate) type SharedHistogram = Arc<FloatHistogram>;

/// One bit per step.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Bits(Vec<u64>);

impl Bits {
    /// So many zeros.
    pub(crate) fn zeros(count: usize) -> Self {
        Self(vec![0; count.div_ceil(64)])
    }

    /// So many zeros, in the same memory.
    pub(crate) fn reset(&mut self, count: usize) {
        self.0.clear();
        self.0.resize(count.div_ceil(64), 0);
    }

    /// Whether a bit is set.
    pub(crate) fn get(&self, at: usize) -> bool {
        self.0[at / 64] >> (at % 64) & 1 == 1
    }

    /// Sets a bit.
    pub(crate) fn set(&mut self, at: usize) {
        self.0[at / 64] |= 1 << (at % 64);
    }

    /// Clears a bit.
    pub(crate) fn clear(&mut self, at: usize) {
        self.0[at / 64] &= !(1 << (at % 64));
    }

    /// How many are set.
    pub(crate) fn count(&self) -> usize {
        self.0.iter().map(|word| word.count_ones() as usize).sum()
    }

    /// Whether none is set.
    pub(crate) fn is_empty(&self) -> bool {
        self.0.iter().all(|word| *word == 0)
    }

    /// Sets what is set in `other`.
    pub(crate) fn or(&mut self, other: &Self) {
        self.0.iter_mut().zip(&other.0).for_each(|(a, b)| *a |= b);
    }

    /// Keeps what is set in `other`.
    pub(crate) fn and(&mut self, other: &Self) {
        self.0.iter_mut().zip(&other.0).for_each(|(a, b)| *a &= b);
    }

    /// Clears what is set in `other`.
    pub(crate) fn and_not(&mut self, other: &Self) {
        self.0.iter_mut().zip(&other.0).for_each(|(a, b)| *a &= !b);
    }

    /// Whether something is set in both.
    pub(crate) fn intersects(&self, other: &Self) -> bool {
        self.0.iter().zip(&other.0).any(|(a, b)| a & b != 0)
    }

    /// The set bits' places, rising.
    pub(crate) fn ones(&self) -> impl Iterator<Item = usize> + '_ {
        self.0.iter().enumerate().flat_map(|(index, word)| {
            let mut left = *word;
            std::iter::from_fn(move || {
                (left != 0).then(|| {
                    let bit = left.trailing_zeros() as usize;
                    left &= left - 1;
                    index * 64 + bit
                })
            })
        })
    }
}

/// One series' values: a value, or none, at each step. NaN is a value.
#[derive(Clone, Debug, Default)]
pub(crate) struct Row {
    /// Floats; where a histogram stands, or nothing, the value means nothing.
    pub(crate) values: Vec<f64>,
    /// Steps that have a value.
    pub(crate) present: Bits,
    /// Empty while the row has no histogram, else one place per step.
    pub(crate) histograms: Vec<Option<SharedHistogram>>,
}

impl Row {
    /// A row of `count` steps without values.
    pub(crate) fn empty(count: usize) -> Self {
        let mut row = Self::default();
        row.reset(count);
        row
    }

    /// Takes all values away; the row has `count` steps then.
    pub(crate) fn reset(&mut self, count: usize) {
        self.values.clear();
        self.values.resize(count, 0.0);
        self.present.reset(count);
        self.histograms.clear();
    }

    /// How many steps.
    pub(crate) fn len(&self) -> usize {
        self.values.len()
    }

    /// Sets a float.
    pub(crate) fn set(&mut self, step: usize, value: f64) {
        self.values[step] = value;
        self.present.set(step);
        if !self.histograms.is_empty() {
            self.histograms[step] = None;
        }
    }

    /// Sets a histogram.
    pub(crate) fn set_histogram(&mut self, step: usize, histogram: SharedHistogram) {
        if self.histograms.is_empty() {
            self.histograms.resize(self.values.len(), None);
        }
        self.histograms[step] = Some(histogram);
        self.present.set(step);
    }

    /// Sets either.
    pub(crate) fn set_value(&mut self, step: usize, value: SampleValue) {
        match value {
            SampleValue::Float(value) => self.set(step, value),
            SampleValue::Histogram(histogram) => self.set_histogram(step, histogram),
        }
    }

    /// Takes a value away.
    pub(crate) fn unset(&mut self, step: usize) {
        self.present.clear(step);
        if !self.histograms.is_empty() {
            self.histograms[step] = None;
        }
    }

    /// The histogram at a step.
    pub(crate) fn histogram(&self, step: usize) -> Option<&SharedHistogram> {
        self.histograms.get(step).and_then(Option::as_ref)
    }

    /// The value at a step.
    pub(crate) fn value(&self, step: usize) -> Option<SampleValue> {
        self.present.get(step).then(|| match self.histogram(step) {
            Some(histogram) => SampleValue::Histogram(Arc::clone(histogram)),
            None => SampleValue::Float(self.values[step]),
        })
    }

    /// Changes each float and takes histograms away.
    pub(crate) fn map_floats(&mut self, f: impl Fn(f64) -> f64) {
        self.keep_floats();
        self.values.iter_mut().for_each(|value| *value = f(*value));
    }

    /// Takes histograms away.
    pub(crate) fn keep_floats(&mut self) {
        for (step, histogram) in self.histograms.iter().enumerate() {
            if histogram.is_some() {
                self.present.clear(step);
            }
        }
        self.histograms.clear();
    }

    /// Its values' size in samples, as limits count: a histogram counts for more than one.
    pub(crate) fn sample_count(&self) -> u64 {
        let histograms: u64 = self.histograms.iter().flatten().map(|h| histogram_samples(h) - 1).sum();
        self.present.count() as u64 + histograms
    }
}

/// A histogram's size in samples of 16 bytes, its timestamp included.
pub(crate) fn histogram_samples(histogram: &FloatHistogram) -> u64 {
    const FIXED_BYTES: usize = 168;
    let spans = histogram.positive_spans.len() + histogram.negative_spans.len();
    let numbers =
        histogram.positive_buckets.len() + histogram.negative_buckets.len() + histogram.custom_values.len();
    (FIXED_BYTES + 8 * (spans + numbers) + 8) as u64 / 16
}

/// Rows of many series over the same steps.
#[derive(Clone, Debug, Default)]
pub(crate) struct Batch {
    /// Their series, one per row.
    pub(crate) series: Vec<Series>,
    /// Their values.
    pub(crate) rows: Vec<Row>,
}

impl Batch {
    /// Adds a row.
    pub(crate) fn push(&mut self, series: Series, row: Row) {
        self.series.push(series);
        self.rows.push(row);
    }

    /// Size in samples, as limits count.
    pub(crate) fn sample_count(&self) -> u64 {
        self.rows.iter().map(Row::sample_count).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bits_past_a_word() {
        let mut bits = Bits::zeros(130);
        for at in [0, 63, 64, 129] {
            bits.set(at);
        }
        assert_eq!(bits.ones().collect::<Vec<_>>(), [0, 63, 64, 129]);
        bits.clear(63);
        let mut other = Bits::zeros(130);
        other.set(64);
        assert!(bits.intersects(&other) && bits.count() == 3);
        bits.and_not(&other);
        assert!(!bits.get(64) && bits.get(129));
        bits.and(&other);
        assert!(bits.is_empty());
    }

    #[test]
    fn a_step_holds_a_float_or_a_histogram() {
        let mut row = Row::empty(3);
        row.set(0, f64::NAN);
        row.set_histogram(1, Arc::default());
        assert!(matches!(row.value(0), Some(SampleValue::Float(v)) if v.is_nan()));
        assert!(matches!(row.value(1), Some(SampleValue::Histogram(_))));
        assert_eq!(row.value(2), None);
        row.map_floats(|_| 1.0);
        assert_eq!((row.value(0), row.value(1)), (Some(SampleValue::Float(1.0)), None));
    }
}
