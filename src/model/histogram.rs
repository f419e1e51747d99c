//! Native histograms: as they are written (integer or float counts), and as PromQL computes with them (float).

use super::number::is_stale;

/// Schema of histograms with custom bucket bounds.
pub const CUSTOM_BUCKETS_SCHEMA: i32 = -53;
/// Widest and finest exponential schemas.
const EXPONENTIAL_SCHEMAS: std::ops::RangeInclusive<i32> = -4..=8;

/// What the sender, or the merged stream, says of a counter reset before this histogram.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum CounterResetHint {
    /// Not known: compare with the one before.
    #[default]
    Unknown = 0,
    /// A reset lies before it.
    Reset = 1,
    /// No reset lies before it.
    NotReset = 2,
    /// A gauge histogram; resets have no meaning.
    Gauge = 3,
}

impl CounterResetHint {
    /// From its stored and wire number; unknown numbers say nothing.
    pub const fn from_number(number: u64) -> Self {
        match number {
            1 => Self::Reset,
            2 => Self::NotReset,
            3 => Self::Gauge,
            _ => Self::Unknown,
        }
    }
}

/// A run of consecutive buckets.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Span {
    /// Gap to the run before; for the first run its starting index, which may be negative.
    pub offset: i32,
    /// How many buckets.
    pub length: u32,
}

/// Populations of a histogram as they came.
#[derive(Clone, Debug, PartialEq)]
pub enum HistogramCounts {
    /// Whole numbers; buckets as differences to the bucket before.
    Integer {
        /// Observations in all.
        count: u64,
        /// Observations in the zero bucket.
        zero_count: u64,
        /// Positive buckets, each less the one before.
        positive_deltas: Vec<i64>,
        /// Negative buckets, each less the one before.
        negative_deltas: Vec<i64>,
    },
    /// Floats; buckets as absolute populations.
    Float {
        /// Observations in all.
        count: f64,
        /// Observations in the zero bucket.
        zero_count: f64,
        /// Positive buckets.
        positive: Vec<f64>,
        /// Negative buckets.
        negative: Vec<f64>,
    },
}

/// A native histogram as written: what remote write and scrapes bring, what the log and segments hold.
#[derive(Clone, Debug, PartialEq)]
pub struct Histogram {
    /// What the sender says of a reset before it.
    pub counter_reset_hint: CounterResetHint,
    /// -4 to 8 for exponential buckets, -53 for custom bounds.
    pub schema: i32,
    /// Width of the zero bucket.
    pub zero_threshold: f64,
    /// Sum of the observations; the stale marker makes the whole sample one.
    pub sum: f64,
    /// Populations.
    pub counts: HistogramCounts,
    /// Which positive buckets there are.
    pub positive_spans: Vec<Span>,
    /// Which negative buckets there are.
    pub negative_spans: Vec<Span>,
    /// Upper bounds without `+Inf`; only with the custom schema.
    pub custom_values: Vec<f64>,
}

/// A native histogram as PromQL computes with it: absolute float populations.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct FloatHistogram {
    /// What is known of a reset before it.
    pub counter_reset_hint: CounterResetHint,
    /// -4 to 8 for exponential buckets, -53 for custom bounds.
    pub schema: i32,
    /// Width of the zero bucket.
    pub zero_threshold: f64,
    /// Observations in the zero bucket.
    pub zero_count: f64,
    /// Observations in all.
    pub count: f64,
    /// Sum of the observations.
    pub sum: f64,
    /// Which positive buckets there are.
    pub positive_spans: Vec<Span>,
    /// Which negative buckets there are.
    pub negative_spans: Vec<Span>,
    /// Positive buckets, absolute.
    pub positive_buckets: Vec<f64>,
    /// Negative buckets, absolute.
    pub negative_buckets: Vec<f64>,
    /// Upper bounds without `+Inf`; only with the custom schema.
    pub custom_values: Vec<f64>,
}

/// Why a histogram contradicts itself; the texts are upstream's.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum HistogramError {
    /// A schema that does not exist.
    #[error(
        "histogram has an invalid schema, which must be between -4 and 8 for exponential buckets, or -53 for custom buckets, got schema {0}"
    )]
    Schema(i32),
    /// Fewer or more buckets than the spans say.
    #[error(
        "{side} side: spans need {need} buckets, have {have} buckets: histogram spans specify different number of buckets than provided"
    )]
    SpansBuckets {
        /// `positive` or `negative`.
        side: &'static str,
        /// What the spans add up to.
        need: u64,
        /// What is there.
        have: usize,
    },
    /// A later span that starts before the one before it ends.
    #[error(
        "{side} side: span number {number} with offset {offset}: histogram has a span whose offset is negative"
    )]
    SpanOffset {
        /// `positive` or `negative`.
        side: &'static str,
        /// Which one, from 1.
        number: usize,
        /// Its offset.
        offset: i32,
    },
    /// A population below zero.
    #[error(
        "{side} side: bucket number {number} has observation count of {count}: histogram has a bucket whose observation count is negative"
    )]
    NegativeBucket {
        /// `positive` or `negative`.
        side: &'static str,
        /// Which one, from 1.
        number: usize,
        /// Its population.
        count: f64,
    },
    /// Zero bucket or total below zero.
    #[error(
        "{what} has observation count of {count}: histogram has a bucket whose observation count is negative"
    )]
    NegativeCount {
        /// `zero bucket` or `total`.
        what: &'static str,
        /// The count.
        count: f64,
    },
    /// The total is not what the buckets add up to.
    #[error(
        "{buckets} observations found in buckets, but the Count field is {count}: histogram's observation count should equal the number of observations found in the buckets (in absence of NaN)"
    )]
    CountMismatch {
        /// Sum of the buckets.
        buckets: u64,
        /// The total.
        count: u64,
    },
    /// With NaN observations the total may only be larger than the buckets.
    #[error(
        "{buckets} observations found in buckets, but the Count field is {count}: histogram's observation count should be at least the number of observations found in the buckets"
    )]
    CountTooSmall {
        /// Sum of the buckets.
        buckets: u64,
        /// The total.
        count: u64,
    },
    /// Custom bounds that do not rise, or are not finite.
    #[error("custom buckets: {0}")]
    CustomBounds(&'static str),
    /// Zero bucket, negative buckets or bounds where the schema allows none.
    #[error("{0}")]
    NotForSchema(&'static str),
    /// Populations that overflow 64 bits.
    #[error("histogram bucket populations overflow")]
    Overflow,
}

impl Histogram {
    /// Whether this sample marks the series as stale.
    pub fn is_stale(&self) -> bool {
        is_stale(self.sum)
    }

    /// Checks that the histogram does not contradict itself, as upstream does before it stores one. Reads each bucket once.
    pub fn validate(&self) -> Result<(), HistogramError> {
        let (positive_len, negative_len) = match &self.counts {
            HistogramCounts::Integer { positive_deltas, negative_deltas, .. } => {
                (positive_deltas.len(), negative_deltas.len())
            }
            HistogramCounts::Float { positive, negative, .. } => (positive.len(), negative.len()),
        };
        self.check_schema(negative_len)?;
        check_spans("positive", &self.positive_spans, positive_len)?;
        check_spans("negative", &self.negative_spans, negative_len)?;
        self.check_counts()
    }

    fn check_schema(&self, negative_len: usize) -> Result<(), HistogramError> {
        if self.schema == CUSTOM_BUCKETS_SCHEMA {
            let zero_empty = match &self.counts {
                HistogramCounts::Integer { zero_count, .. } => *zero_count == 0,
                HistogramCounts::Float { zero_count, .. } => *zero_count == 0.0,
            };
            if !zero_empty || self.zero_threshold != 0.0 {
                return Err(HistogramError::NotForSchema(
                    "histogram with custom buckets must not have a zero bucket",
                ));
            }
            if negative_len > 0 || !self.negative_spans.is_empty() {
                return Err(HistogramError::NotForSchema(
                    "histogram with custom buckets must not have negative buckets",
                ));
            }
            return self.check_custom_bounds();
        }
        if !EXPONENTIAL_SCHEMAS.contains(&self.schema) {
            return Err(HistogramError::Schema(self.schema));
        }
        if !self.custom_values.is_empty() {
            return Err(HistogramError::NotForSchema(
                "histogram with exponential schema must not have custom bounds",
            ));
        }
        Ok(())
    }

    fn check_custom_bounds(&self) -> Result<(), HistogramError> {
        if self.custom_values.windows(2).any(|pair| pair[0] >= pair[1]) {
            return Err(HistogramError::CustomBounds(
                "histogram custom bounds must be in strictly increasing order",
            ));
        }
        if self.custom_values.iter().any(|bound| !bound.is_finite()) {
            return Err(HistogramError::CustomBounds("histogram custom bounds must be finite"));
        }
        let reach: u64 =
            self.positive_spans.iter().map(|s| u64::from(s.length) + s.offset.max(0) as u64).sum();
        if reach > self.custom_values.len() as u64 + 1 {
            return Err(HistogramError::CustomBounds("histogram custom bounds are too few"));
        }
        Ok(())
    }

    fn check_counts(&self) -> Result<(), HistogramError> {
        match &self.counts {
            HistogramCounts::Integer { count, zero_count, positive_deltas, negative_deltas } => {
                let positive = sum_deltas("positive", positive_deltas)?;
                let negative = sum_deltas("negative", negative_deltas)?;
                let buckets = positive
                    .checked_add(negative)
                    .and_then(|sum| sum.checked_add(*zero_count))
                    .ok_or(HistogramError::Overflow)?;
                if self.sum.is_nan() {
                    if buckets > *count {
                        return Err(HistogramError::CountTooSmall { buckets, count: *count });
                    }
                } else if buckets != *count {
                    return Err(HistogramError::CountMismatch { buckets, count: *count });
                }
            }
            HistogramCounts::Float { count, zero_count, positive, negative } => {
                for (side, buckets) in [("positive", positive), ("negative", negative)] {
                    if let Some(at) = buckets.iter().position(|bucket| *bucket < 0.0) {
                        return Err(HistogramError::NegativeBucket {
                            side,
                            number: at + 1,
                            count: buckets[at],
                        });
                    }
                }
                for (what, count) in [("zero bucket", zero_count), ("total", count)] {
                    if *count < 0.0 {
                        return Err(HistogramError::NegativeCount { what, count: *count });
                    }
                }
            }
        }
        Ok(())
    }

    /// The histogram with absolute float populations.
    pub fn to_float(&self) -> FloatHistogram {
        let (count, zero_count, positive_buckets, negative_buckets) = match &self.counts {
            HistogramCounts::Integer { count, zero_count, positive_deltas, negative_deltas } => {
                (*count as f64, *zero_count as f64, absolute(positive_deltas), absolute(negative_deltas))
            }
            HistogramCounts::Float { count, zero_count, positive, negative } => {
                (*count, *zero_count, positive.clone(), negative.clone())
            }
        };
        FloatHistogram {
            counter_reset_hint: self.counter_reset_hint,
            schema: self.schema,
            zero_threshold: self.zero_threshold,
            zero_count,
            count,
            sum: self.sum,
            positive_spans: self.positive_spans.clone(),
            negative_spans: self.negative_spans.clone(),
            positive_buckets,
            negative_buckets,
            custom_values: self.custom_values.clone(),
        }
    }
}

impl FloatHistogram {
    /// Whether this sample marks the series as stale.
    pub fn is_stale(&self) -> bool {
        is_stale(self.sum)
    }

    /// The same as it would be written.
    pub fn to_histogram(&self) -> Histogram {
        Histogram {
            counter_reset_hint: self.counter_reset_hint,
            schema: self.schema,
            zero_threshold: self.zero_threshold,
            sum: self.sum,
            counts: HistogramCounts::Float {
                count: self.count,
                zero_count: self.zero_count,
                positive: self.positive_buckets.clone(),
                negative: self.negative_buckets.clone(),
            },
            positive_spans: self.positive_spans.clone(),
            negative_spans: self.negative_spans.clone(),
            custom_values: self.custom_values.clone(),
        }
    }
}

fn check_spans(side: &'static str, spans: &[Span], have: usize) -> Result<(), HistogramError> {
    if let Some(at) = spans.iter().skip(1).position(|span| span.offset < 0) {
        return Err(HistogramError::SpanOffset { side, number: at + 2, offset: spans[at + 1].offset });
    }
    let need: u64 = spans.iter().map(|span| u64::from(span.length)).sum();
    if need != have as u64 {
        return Err(HistogramError::SpansBuckets { side, need, have });
    }
    Ok(())
}

fn sum_deltas(side: &'static str, deltas: &[i64]) -> Result<u64, HistogramError> {
    let mut bucket = 0_i64;
    let mut sum = 0_u64;
    for (index, delta) in deltas.iter().enumerate() {
        bucket = bucket.checked_add(*delta).ok_or(HistogramError::Overflow)?;
        let count = u64::try_from(bucket).map_err(|_| HistogramError::NegativeBucket {
            side,
            number: index + 1,
            count: bucket as f64,
        })?;
        sum = sum.checked_add(count).ok_or(HistogramError::Overflow)?;
    }
    Ok(sum)
}

fn absolute(deltas: &[i64]) -> Vec<f64> {
    let mut bucket = 0_i64;
    deltas
        .iter()
        .map(|delta| {
            bucket = bucket.wrapping_add(*delta);
            bucket as f64
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sound() -> Histogram {
        Histogram {
            counter_reset_hint: CounterResetHint::Unknown,
            schema: 3,
            zero_threshold: 0.001,
            sum: 10.0,
            counts: HistogramCounts::Integer {
                count: 7,
                zero_count: 1,
                positive_deltas: vec![1, 1, -1],
                negative_deltas: vec![2],
            },
            positive_spans: vec![Span { offset: -2, length: 2 }, Span { offset: 1, length: 1 }],
            negative_spans: vec![Span { offset: 0, length: 1 }],
            custom_values: Vec::new(),
        }
    }

    #[test]
    fn deltas_become_populations() {
        let histogram = sound();
        assert_eq!(histogram.validate(), Ok(()));
        let float = histogram.to_float();
        assert_eq!(float.positive_buckets, [1.0, 2.0, 1.0]);
        assert_eq!((float.count, float.zero_count), (7.0, 1.0));
    }

    #[test]
    fn contradictions_are_refused() {
        let mut wrong = sound();
        wrong.schema = 9;
        assert_eq!(wrong.validate(), Err(HistogramError::Schema(9)));
        let mut wrong = sound();
        wrong.positive_spans[0].length = 3;
        assert_eq!(
            wrong.validate(),
            Err(HistogramError::SpansBuckets { side: "positive", need: 4, have: 3 })
        );
        let mut wrong = sound();
        wrong.positive_spans[1].offset = -1;
        assert!(matches!(wrong.validate(), Err(HistogramError::SpanOffset { number: 2, .. })));
        let mut wrong = sound();
        if let HistogramCounts::Integer { count, .. } = &mut wrong.counts {
            *count = 8;
        }
        assert_eq!(wrong.validate(), Err(HistogramError::CountMismatch { buckets: 7, count: 8 }));
        wrong.sum = f64::NAN;
        assert_eq!(wrong.validate(), Ok(()));
        let mut wrong = sound();
        if let HistogramCounts::Integer { positive_deltas, .. } = &mut wrong.counts {
            positive_deltas[2] = -3;
        }
        assert!(matches!(wrong.validate(), Err(HistogramError::NegativeBucket { number: 3, .. })));
    }
}
