//! `load_with_nhcb`: classic histograms as native ones with custom buckets.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::model::{
    BUCKET_LABEL, CUSTOM_BUCKETS_SCHEMA, CounterResetHint, Histogram, HistogramCounts, Labels, METRIC_NAME,
    Span, Timestamp,
};
use crate::promql::parse::SequenceValue;
use crate::storage::Batch;

use super::load::LoadSeries;

/// Most empty buckets between two others that upstream stores rather than a new span, in integer histograms.
const EMPTY_BUCKETS_MAX: i32 = 2;

/// The parts of one classic histogram at one time.
#[derive(Debug, Default)]
struct Classic {
    /// Cumulative counts by upper bound, rising.
    buckets: Vec<(f64, f64)>,
    count: Option<f64>,
    sum: f64,
}

/// What a series says of its histogram.
enum Part {
    Bucket(f64),
    Count,
    Sum,
}

/// Adds a native histogram for every classic one among `series`.
pub(super) fn push_native(series: &[LoadSeries], batch: &mut Batch) -> Result<(), String> {
    let mut histograms: BTreeMap<Labels, BTreeMap<Timestamp, Classic>> = BTreeMap::new();
    for series in series {
        let Some((base, part)) = part_of(&series.labels)? else { continue };
        let times = histograms.entry(base).or_default();
        for sample in &series.samples {
            if let SequenceValue::Float(value) = sample.value {
                times.entry(sample.timestamp).or_default().set(&part, value)?;
            }
        }
    }
    for (labels, times) in histograms {
        batch.begin_series(&labels);
        for (timestamp, classic) in times {
            let histogram = classic.to_native()?.to_float().to_histogram();
            histogram.validate().map_err(|error| error.to_string())?;
            batch.push_histogram(timestamp, 0, Arc::new(histogram));
        }
    }
    Ok(())
}

/// Which histogram a series belongs to, and as what; `None` for other series and bounds that are no numbers.
fn part_of(labels: &Labels) -> Result<Option<(Labels, Part)>, String> {
    let name = labels.metric_name();
    let (base, part) = if let Some(base) = name.strip_suffix("_bucket") {
        let bound = labels.get(BUCKET_LABEL).ok_or_else(|| format!("no bucket label in metric {labels}"))?;
        match bound.parse::<f64>() {
            Ok(bound) if !bound.is_nan() => (base, Part::Bucket(bound)),
            _ => return Ok(None),
        }
    } else if let Some(base) = name.strip_suffix("_count") {
        (base, Part::Count)
    } else if let Some(base) = name.strip_suffix("_sum") {
        (base, Part::Sum)
    } else {
        return Ok(None);
    };
    let mut builder = labels.to_builder();
    builder.set(METRIC_NAME, base).remove(BUCKET_LABEL);
    Ok(Some((builder.build().map_err(|error| error.to_string())?, part)))
}

impl Classic {
    fn set(&mut self, part: &Part, value: f64) -> Result<(), String> {
        match part {
            Part::Sum => self.sum = value,
            Part::Count if value < 0.0 => return Err("count must be non-negative".to_owned()),
            Part::Count => self.count = Some(value),
            Part::Bucket(_) if value < 0.0 => return Err("bucket count must be non-negative".to_owned()),
            Part::Bucket(bound) => {
                let at = self.buckets.partition_point(|(known, _)| known < bound);
                if self.buckets.get(at).is_none_or(|(known, _)| known != bound) {
                    self.buckets.insert(at, (*bound, value));
                }
            }
        }
        Ok(())
    }

    fn to_native(&self) -> Result<Histogram, String> {
        let mut cumulative = self.buckets.clone();
        let count = self.count.or(cumulative.last().map(|(_, count)| *count)).unwrap_or(0.0);
        if cumulative.last().is_none_or(|(bound, _)| *bound != f64::INFINITY) {
            cumulative.push((f64::INFINITY, count));
        }
        if cumulative.windows(2).any(|pair| pair[1].1 < pair[0].1) {
            return Err("count is not cumulative".to_owned());
        }
        if cumulative.last().is_some_and(|(_, last)| *last != count) {
            return Err("count mismatch".to_owned());
        }
        let mut before = 0.0;
        let populations: Vec<f64> =
            cumulative.iter().map(|(_, count)| count - std::mem::replace(&mut before, *count)).collect();
        let is_whole = cumulative.iter().all(|(_, count)| count.fract() == 0.0) && count.fract() == 0.0;
        let gap_max = if is_whole { EMPTY_BUCKETS_MAX } else { 0 };
        let (positive_spans, positive) = to_spans(without_long_gaps(&populations, gap_max));
        Ok(Histogram {
            counter_reset_hint: CounterResetHint::Unknown,
            schema: CUSTOM_BUCKETS_SCHEMA,
            zero_threshold: 0.0,
            sum: self.sum,
            counts: HistogramCounts::Float { count, zero_count: 0.0, positive, negative: Vec::new() },
            positive_spans,
            negative_spans: Vec::new(),
            custom_values: cumulative
                .iter()
                .map(|(bound, _)| *bound)
                .filter(|b| *b != f64::INFINITY)
                .collect(),
        })
    }
}

/// The populated buckets by index, and the empty ones between two of them where there are at most `gap_max`.
fn without_long_gaps(populations: &[f64], gap_max: i32) -> Vec<(i32, f64)> {
    let mut kept: Vec<(i32, f64)> = Vec::new();
    for (index, population) in (0_i32..).zip(populations.iter().copied()).filter(|(_, p)| *p != 0.0) {
        let last = kept.last().map(|(last, _)| *last);
        if let Some(last) = last.filter(|last| index - last - 1 <= gap_max) {
            kept.extend((last + 1..index).map(|empty| (empty, 0.0)));
        }
        kept.push((index, population));
    }
    kept
}

/// Spans and populations of buckets that rise by index; neighbours share a span.
fn to_spans(buckets: Vec<(i32, f64)>) -> (Vec<Span>, Vec<f64>) {
    let mut spans: Vec<Span> = Vec::new();
    let mut next = 0;
    for (index, _) in &buckets {
        match spans.last_mut() {
            Some(span) if *index == next => span.length += 1,
            _ => spans.push(Span { offset: index - next, length: 1 }),
        }
        next = index + 1;
    }
    (spans, buckets.into_iter().map(|(_, population)| population).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn classic(buckets: &[(f64, f64)], count: Option<f64>) -> Classic {
        let mut classic = Classic { count, ..Classic::default() };
        for (bound, value) in buckets {
            classic.set(&Part::Bucket(*bound), *value).expect("no count is negative");
        }
        classic
    }

    #[test]
    fn cumulative_counts_become_populations() {
        let native = classic(&[(5.0, 3.0), (1.0, 1.0), (10.0, 3.0)], None).to_native().expect("it is sound");
        let float = native.to_float();
        assert_eq!((float.count, float.custom_values), (3.0, vec![1.0, 5.0, 10.0]));
        assert_eq!(float.positive_buckets, [1.0, 2.0]);
        let gaps = classic(&[(1.0, 1.0), (2.0, 1.0), (3.0, 1.0), (4.0, 2.0)], Some(2.5)).to_native();
        assert_eq!(gaps.expect("it is sound").positive_spans.len(), 2);
    }

    #[test]
    fn contradictions_are_refused() {
        assert!(classic(&[(1.0, 2.0), (2.0, 1.0)], None).to_native().is_err());
        assert!(classic(&[(1.0, 2.0), (f64::INFINITY, 3.0)], Some(4.0)).to_native().is_err());
        assert!(Classic::default().set(&Part::Bucket(1.0), -1.0).is_err());
        let labels = Labels::from_pairs([(METRIC_NAME, "a_bucket")]);
        assert!(part_of(&labels).is_err());
        let labels = Labels::from_pairs([(METRIC_NAME, "a_bucket"), (BUCKET_LABEL, "x")]);
        assert!(part_of(&labels).is_ok_and(|part| part.is_none()));
    }
}
