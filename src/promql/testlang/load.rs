//! `load`: series descriptions to batches, all of them at once or as time goes on.

use std::collections::HashMap;
use std::sync::Arc;

use crate::model::{FloatHistogram, Labels, TenantId, Timestamp, parse_duration};
use crate::promql::functions::sparse::Sparse;
use crate::promql::parse::{SequenceValue, SeriesDescription, parse_series_description};
use crate::storage::{Acceptance, Append, Batch};

use super::classic;

/// Most start timestamps on one line.
const STARTS_MAX: usize = 1_000_000;
/// Most samples of one `load`.
const SAMPLES_MAX: usize = 10_000_000;

/// Series to store.
#[derive(Debug, Default)]
pub(crate) struct Load {
    pub(super) series: Vec<LoadSeries>,
    /// Where each series stands in that list.
    places: HashMap<Labels, usize>,
    /// How many samples they have.
    samples: usize,
    /// Classic histograms are stored a second time as native ones with custom buckets.
    with_native: bool,
}

/// One series and its samples in time order.
#[derive(Debug)]
pub(super) struct LoadSeries {
    pub(super) labels: Labels,
    pub(super) samples: Vec<LoadSample>,
    /// How many of them are stored already.
    stored: usize,
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

/// Where a `load` stands and when its series begin.
#[derive(Clone, Copy, Debug)]
pub(crate) struct LoadPlace {
    /// The command's line, from 1.
    pub(crate) line: usize,
    /// Time of the first sample.
    pub(crate) start: Timestamp,
}

/// Reads a `load` command and the lines of its block. The error says in which line.
pub(crate) fn parse_load(line: &str, block: &[&str], place: LoadPlace) -> Result<Load, String> {
    let (command, gap) = line.split_once([' ', '\t']).ok_or("invalid load command")?;
    let with_native = match command {
        "load" => false,
        "load_with_nhcb" => true,
        _ => return Err(format!("invalid load command {command:?}")),
    };
    let gap_ms =
        parse_duration(gap.trim()).map_err(|error| format!("invalid step definition {gap:?}: {error}"))?;
    let mut load = Load { with_native, ..Load::default() };
    let mut starts: Option<Starts> = None;
    for (index, text) in block.iter().enumerate() {
        let line = place.line + 1 + index;
        let at = |message: String| format!("{line}:1: parse error: {message}");
        match text.split_once([' ', '\t']) {
            Some((metric, items)) if metric.ends_with("@st") => {
                if let Some(alone) = starts {
                    return Err(alone.no_samples());
                }
                let metric = metric.strip_suffix("@st").unwrap_or(metric);
                let labels = parse_series_at(metric, line)?.labels;
                starts = Some(Starts { labels, items: parse_starts(items).map_err(at)?, line });
            }
            _ => {
                let series = parse_series_at(text, line)?;
                let starts = match starts.take() {
                    Some(starts) => starts.of(&series).map_err(at)?,
                    None => Vec::new(),
                };
                load.add(series, &starts, place.start, gap_ms).map_err(at)?;
            }
        }
    }
    match starts {
        Some(alone) => Err(alone.no_samples()),
        None => Ok(load),
    }
}

/// Reads a series description.
pub(crate) fn parse_series(text: &str) -> Result<SeriesDescription, String> {
    parse_series_description(text, sum).map_err(|error| error.to_string())
}

/// Reads a series description that stands in `line` of a script.
fn parse_series_at(text: &str, line: usize) -> Result<SeriesDescription, String> {
    parse_series_description(text, sum).map_err(|mut error| {
        error.line_column = error.line_column.map(|(_, column)| (line, column));
        error.to_string()
    })
}

fn sum(left: &FloatHistogram, right: &FloatHistogram, sign: f64) -> Result<FloatHistogram, String> {
    let mut total = Sparse::of(left);
    match total.add(right, sign) {
        Some(_) => Ok(total.finish()),
        None => Err("histograms with exponential and with custom buckets cannot be combined".to_owned()),
    }
}

/// What an `@st` line says of the series in the line after it.
struct Starts {
    labels: Labels,
    items: Vec<Option<i64>>,
    line: usize,
}

impl Starts {
    /// The distances, if they belong to `series`.
    fn of(self, series: &SeriesDescription) -> Result<Vec<Option<i64>>, String> {
        if self.labels != series.labels {
            return Err("@st metric does not match the following sample line metric".to_owned());
        }
        let (starts, samples) = (self.items.len(), series.values.len());
        if starts != samples {
            return Err(format!("@st line has {starts} values but sample line has {samples}"));
        }
        Ok(self.items)
    }

    fn no_samples(&self) -> String {
        format!("{}:1: parse error: @st line has no following sample line", self.line)
    }
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
        series: SeriesDescription,
        starts: &[Option<i64>],
        first: Timestamp,
        gap_ms: i64,
    ) -> Result<(), String> {
        self.samples += series.values.len();
        if self.samples > SAMPLES_MAX {
            return Err(format!("more than {SAMPLES_MAX} samples"));
        }
        let mut samples = Vec::with_capacity(series.values.len());
        let mut timestamp = first;
        for (index, value) in series.values.into_iter().enumerate() {
            if value != SequenceValue::Omitted {
                let start_timestamp = starts.get(index).copied().flatten().map_or(0, |ms| timestamp + ms);
                samples.push(LoadSample { timestamp, start_timestamp, value });
            }
            timestamp = timestamp.checked_add(gap_ms).ok_or("times of a series overflow")?;
        }
        let place = *self.places.entry(series.labels.clone()).or_insert(self.series.len());
        let series = LoadSeries { labels: series.labels, samples, stored: 0 };
        match self.series.get_mut(place) {
            Some(known) => *known = series,
            None => self.series.push(series),
        }
        Ok(())
    }

    /// Stores everything in one batch. The error is the first refused sample.
    pub(super) fn run(&self, store: &dyn Append) -> Result<(), String> {
        let mut batch = Batch::default();
        for series in &self.series {
            push_samples(&mut batch, &series.labels, &series.samples)?;
        }
        if self.with_native {
            classic::push_native(&self.series, &mut batch)?;
        }
        store_batch(store, batch)
    }

    /// Stores what is due at `till` and not stored yet. After an error nothing of it is, and the next call tries
    /// again.
    pub(crate) fn run_till(&mut self, till: Timestamp, store: &dyn Append) -> Result<(), String> {
        let mut batch = Batch::default();
        for series in &self.series {
            let waiting = &series.samples[series.stored..];
            let due = waiting.partition_point(|sample| sample.timestamp <= till);
            push_samples(&mut batch, &series.labels, &waiting[..due])?;
        }
        if batch.series.is_empty() {
            return Ok(());
        }
        store_batch(store, batch)?;
        for series in &mut self.series {
            let waiting = &series.samples[series.stored..];
            series.stored += waiting.partition_point(|sample| sample.timestamp <= till);
        }
        Ok(())
    }
}

fn store_batch(store: &dyn Append, batch: Batch) -> Result<(), String> {
    let outcome = store
        .append(&TenantId::default(), batch, &Acceptance::IN_ORDER)
        .map_err(|error| error.to_string())?;
    match outcome.rejections.first() {
        Some(rejection) => Err(rejection.reason.to_string()),
        None => Ok(()),
    }
}

/// A batch holds a series' floats before its histograms, so each change of kind begins the series anew.
fn push_samples(batch: &mut Batch, labels: &Labels, samples: &[LoadSample]) -> Result<(), String> {
    for run in samples.chunk_by(|a, b| a.is_histogram() == b.is_histogram()) {
        batch.begin_series(labels);
        for sample in run {
            push_sample(batch, sample)?;
        }
    }
    Ok(())
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
    use crate::storage::{MemoryStore, Select as _};

    fn at_zero(line: &str, block: &[&str]) -> Result<Load, String> {
        parse_load(line, block, LoadPlace { line: 1, start: 0 })
    }

    #[test]
    fn samples_are_stored_when_they_are_due() {
        let place = LoadPlace { line: 1, start: 5_000 };
        let mut load = parse_load("load 10s", &["a 1 2 _ 4"], place).expect("it is sound");
        let store = MemoryStore::default();
        let bounds = |store: &MemoryStore| store.time_bounds(&TenantId::default());
        for (till, last) in
            [(4_999, None), (5_000, Some(5_000)), (34_000, Some(15_000)), (40_000, Some(35_000))]
        {
            assert_eq!(load.run_till(till, &store), Ok(()));
            assert_eq!(bounds(&store), last.map(|last| (5_000, last)), "till {till}");
        }
        let mut refused = at_zero("load 10s", &["b 1 {{schema:99}}"]).expect("it is sound");
        assert_eq!(refused.run_till(0, &store), Ok(()));
        assert!(refused.run_till(10_000, &store).is_err() && refused.run_till(20_000, &store).is_err());
    }

    #[test]
    fn errors_say_where() {
        let place = LoadPlace { line: 7, start: 0 };
        let error = |block: &[&str]| parse_load("load 1m", block, place).expect_err("it is wrong");
        assert!(error(&["a 1", "b 1 2x"]).starts_with("9:"), "{}", error(&["a 1", "b 1 2x"]));
        assert_eq!(error(&["a@st 1m"]), "8:1: parse error: @st line has no following sample line");
    }

    #[test]
    fn positions_become_times() {
        let load = at_zero("load 30s", &["a 1 _ 3", "b 1", "a 5 _ 7"]).expect("it is sound");
        assert_eq!(load.series.len(), 2);
        let samples: Vec<_> = load.series[0].samples.iter().map(|s| (s.timestamp, &s.value)).collect();
        assert_eq!(samples, [(0, &SequenceValue::Float(5.0)), (60_000, &SequenceValue::Float(7.0))]);
        assert_eq!(load.run(&MemoryStore::default()), Ok(()));
    }

    #[test]
    fn start_timestamps_are_relative_to_their_samples() {
        let load = at_zero("load 1m", &["a{b=\"1\"}@st -30s 0x1 _", "a{b=\"1\"} 1 2 3 4"]);
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
            assert!(at_zero("load 1m", bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn floats_and_histograms_take_turns() {
        let load = at_zero("load 1m", &["a 1 {{}} 2 {{}}"]).expect("it is sound");
        assert_eq!(load.run(&MemoryStore::default()), Ok(()));
    }

    #[test]
    fn refused_samples_fail_the_load() {
        let store = MemoryStore::default();
        let load = |line: &str| at_zero("load 1m", &[line]).expect("it is sound");
        assert_eq!(load("a 1 2").run(&store), Ok(()));
        assert_eq!(load("a 1 2").run(&store), Ok(()));
        assert!(load("a 1 3").run(&store).is_err());
        assert!(load("h {{schema:99}}").run(&store).is_err());
        for bad in ["load", "load x", "loads 1m", "load -1m"] {
            assert!(at_zero(bad, &[]).is_err(), "{bad}");
        }
    }
}
