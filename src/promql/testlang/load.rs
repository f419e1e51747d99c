//! `load`: series descriptions to a batch.

use std::sync::Arc;

use crate::model::{FloatHistogram, Labels, TenantId, Timestamp, parse_duration};
use crate::promql::functions::sparse::Sparse;
use crate::promql::parse::{SequenceValue, SeriesDescription, parse_series_description};
use crate::storage::{Acceptance, Append, Batch};

use super::classic;

/// Most start timestamps on one line.
const STARTS_MAX: usize = 1_000_000;

/// Series to store.
#[derive(Debug, Default)]
pub(super) struct Load {
    pub(super) series: Vec<LoadSeries>,
    /// Classic histograms are stored a second time as native ones with custom buckets.
    with_native: bool,
}

/// One series and its samples in time order.
#[derive(Debug)]
pub(super) struct LoadSeries {
    pub(super) labels: Labels,
    pub(super) samples: Vec<LoadSample>,
}

/// One sample.
#[derive(Debug)]
pub(super) struct LoadSample {
    pub(super) timestamp: Timestamp,
    start_timestamp: Timestamp,
    pub(super) value: SequenceValue,
}

impl LoadSample {
    const fn is_histogram(&self) -> bool {
        matches!(self.value, SequenceValue::Histogram { .. })
    }
}

/// Reads a `load` command and the lines of its block.
pub(super) fn parse_load(line: &str, block: &[&str]) -> Result<Load, String> {
    let (command, gap) = line.split_once([' ', '\t']).ok_or("invalid load command")?;
    let with_native = match command {
        "load" => false,
        "load_with_nhcb" => true,
        _ => return Err(format!("invalid load command {command:?}")),
    };
    let gap_ms =
        parse_duration(gap.trim()).map_err(|error| format!("invalid step definition {gap:?}: {error}"))?;
    let mut load = Load { series: Vec::new(), with_native };
    let mut starts: Option<(Labels, Vec<Option<i64>>)> = None;
    for line in block {
        match line.split_once([' ', '\t']) {
            Some((metric, items)) if metric.ends_with("@st") => {
                if starts.is_some() {
                    return Err("@st line has no following sample line".to_owned());
                }
                let metric = metric.strip_suffix("@st").unwrap_or(metric);
                let labels = parse_series(metric)?.labels;
                starts = Some((labels, parse_starts(items)?));
            }
            _ => {
                let series = parse_series(line).map_err(|error| format!("{line:?}: {error}"))?;
                let starts = matching_starts(starts.take(), &series.labels, series.values.len())?;
                load.add(series.labels, series.values, &starts, gap_ms)?;
            }
        }
    }
    match starts {
        Some(_) => Err("@st line has no following sample line".to_owned()),
        None => Ok(load),
    }
}

/// Reads a series description.
pub(super) fn parse_series(text: &str) -> Result<SeriesDescription, String> {
    parse_series_description(text, sum).map_err(|error| error.to_string())
}

fn sum(left: &FloatHistogram, right: &FloatHistogram, sign: f64) -> Result<FloatHistogram, String> {
    let mut total = Sparse::of(left);
    match total.add(right, sign) {
        Some(_) => Ok(total.finish()),
        None => Err("histograms with exponential and with custom buckets cannot be combined".to_owned()),
    }
}

fn matching_starts(
    starts: Option<(Labels, Vec<Option<i64>>)>,
    labels: &Labels,
    count: usize,
) -> Result<Vec<Option<i64>>, String> {
    let Some((metric, starts)) = starts else { return Ok(Vec::new()) };
    if metric != *labels {
        return Err("@st metric does not match the following sample line metric".to_owned());
    }
    if starts.len() != count {
        return Err(format!("@st line has {} values but sample line has {count}", starts.len()));
    }
    Ok(starts)
}

/// Start timestamps as distances to their samples, `None` where one is left out.
fn parse_starts(items: &str) -> Result<Vec<Option<i64>>, String> {
    let mut starts = Vec::new();
    for item in items.split_ascii_whitespace() {
        let (start, step, count) =
            parse_start(item).ok_or_else(|| format!("invalid @st sequence: invalid ST item {item:?}"))?;
        if starts.len().saturating_add(count) > STARTS_MAX {
            return Err(format!("more than {STARTS_MAX} values on an @st line"));
        }
        let mut current = start;
        for _ in 0..count {
            starts.push(current);
            current = current.map(|ms| ms.saturating_add(step));
        }
    }
    Ok(starts)
}

/// `_`, `_xN`, `D`, `DxN`, `D+DxN` or `D-DxN`: the first distance, the step and how many.
fn parse_start(item: &str) -> Option<(Option<i64>, i64, usize)> {
    let (values, repetitions) = match item.rsplit_once('x') {
        Some((values, count)) => (values, Some(count.parse::<usize>().ok()?)),
        None => (item, None),
    };
    if values == "_" {
        return Some((
            None,
            0,
            repetitions.filter(|count| *count > 0).or(repetitions.is_none().then_some(1))?,
        ));
    }
    let signs = values.char_indices().skip(1).find(|(_, c)| matches!(c, '+' | '-'));
    match (signs, repetitions) {
        (None, _) => {
            let count = repetitions.map_or(Some(1), |count| count.checked_add(1))?;
            Some((Some(signed_duration(values)?), 0, count))
        }
        (Some((at, _)), Some(count)) => {
            let (start, step) = values.split_at(at);
            let step = match step.strip_prefix('+') {
                Some(step) => signed_duration(step)?,
                None => -signed_duration(step.strip_prefix('-')?)?,
            };
            Some((Some(signed_duration(start)?), step, count.checked_add(1)?))
        }
        (Some(_), None) => None,
    }
}

fn signed_duration(text: &str) -> Option<i64> {
    match text.strip_prefix('-') {
        Some(rest) => parse_duration(rest).ok().map(|ms| -ms),
        None => parse_duration(text.strip_prefix('+').unwrap_or(text)).ok(),
    }
}

impl Load {
    /// Adds a series; one with the same labels is replaced.
    fn add(
        &mut self,
        labels: Labels,
        values: Vec<SequenceValue>,
        starts: &[Option<i64>],
        gap_ms: i64,
    ) -> Result<(), String> {
        let mut samples = Vec::with_capacity(values.len());
        let mut timestamp: Timestamp = 0;
        for (index, value) in values.into_iter().enumerate() {
            if value != SequenceValue::Omitted {
                let start_timestamp = starts.get(index).copied().flatten().map_or(0, |ms| timestamp + ms);
                samples.push(LoadSample { timestamp, start_timestamp, value });
            }
            timestamp = timestamp.checked_add(gap_ms).ok_or("times of a series overflow")?;
        }
        let series = LoadSeries { labels, samples };
        match self.series.iter_mut().find(|known| known.labels == series.labels) {
            Some(known) => *known = series,
            None => self.series.push(series),
        }
        Ok(())
    }

    /// Stores everything in one batch. The error is the first refused sample.
    pub(super) fn run(&self, store: &dyn Append) -> Result<(), String> {
        let mut batch = Batch::default();
        for series in &self.series {
            // A batch holds a series' floats before its histograms, so each change of kind begins the series anew.
            for run in series.samples.chunk_by(|a, b| a.is_histogram() == b.is_histogram()) {
                batch.begin_series(&series.labels);
                for sample in run {
                    push_sample(&mut batch, sample)?;
                }
            }
        }
        if self.with_native {
            classic::push_native(&self.series, &mut batch)?;
        }
        let outcome = store
            .append(&TenantId::default(), batch, &Acceptance::IN_ORDER)
            .map_err(|error| error.to_string())?;
        match outcome.rejections.first() {
            Some(rejection) => Err(rejection.reason.to_string()),
            None => Ok(()),
        }
    }
}

fn push_sample(batch: &mut Batch, sample: &LoadSample) -> Result<(), String> {
    match &sample.value {
        SequenceValue::Omitted => {}
        SequenceValue::Float(value) => batch.push_float(sample.timestamp, sample.start_timestamp, *value),
        SequenceValue::Histogram { histogram, .. } => {
            let histogram = histogram.to_histogram();
            histogram.validate().map_err(|error| error.to_string())?;
            batch.push_histogram(sample.timestamp, sample.start_timestamp, Arc::new(histogram));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::storage::MemoryStore;

    #[test]
    fn positions_become_times() {
        let load = parse_load("load 30s", &["a 1 _ 3", "b 1", "a 5 _ 7"]).expect("it is sound");
        assert_eq!(load.series.len(), 2);
        let samples: Vec<_> = load.series[0].samples.iter().map(|s| (s.timestamp, &s.value)).collect();
        assert_eq!(samples, [(0, &SequenceValue::Float(5.0)), (60_000, &SequenceValue::Float(7.0))]);
        assert_eq!(load.run(&MemoryStore::default()), Ok(()));
    }

    #[test]
    fn start_timestamps_are_relative_to_their_samples() {
        let load = parse_load("load 1m", &["a{b=\"1\"}@st -30s 0x1 _", "a{b=\"1\"} 1 2 3 4"]);
        let load = load.expect("it is sound");
        let starts: Vec<_> = load.series[0].samples.iter().map(|s| s.start_timestamp).collect();
        assert_eq!(starts, [-30_000, 60_000, 120_000, 0]);
        assert_eq!(
            parse_starts("-1m-10sx2 _x2"),
            Ok(vec![Some(-60_000), Some(-70_000), Some(-80_000), None, None])
        );
        for bad in [
            &["a@st 1m"][..],
            &["a@st 1m", "b 1"],
            &["a@st 1m", "a 1 2"],
            &["a@st 1m+1m", "a 1"],
            &["a@st _x0", "a"],
        ] {
            assert!(parse_load("load 1m", bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn floats_and_histograms_take_turns() {
        let load = parse_load("load 1m", &["a 1 {{}} 2 {{}}"]).expect("it is sound");
        assert_eq!(load.run(&MemoryStore::default()), Ok(()));
    }

    #[test]
    fn refused_samples_fail_the_load() {
        let store = MemoryStore::default();
        let load = |line: &str| parse_load("load 1m", &[line]).expect("it is sound");
        assert_eq!(load("a 1 2").run(&store), Ok(()));
        assert_eq!(load("a 1 2").run(&store), Ok(()));
        assert!(load("a 1 3").run(&store).is_err());
        assert!(load("h {{schema:99}}").run(&store).is_err());
        for bad in ["load", "load x", "loads 1m", "load -1m"] {
            assert!(parse_load(bad, &[]).is_err(), "{bad}");
        }
    }
}
