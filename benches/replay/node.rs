//! Series of a real node_exporter: scraped some twenty times, then given to any number of instances.

use std::collections::HashSet;
use std::path::Path;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use super::server::start_node_exporter;
use super::workload::{Random, Series, Target, Track};

const CAPTURES: usize = 20;
const PAUSE: Duration = Duration::from_millis(500);
/// Whole numbers up to here are exact in a double.
const EXACT_MAX: f64 = 9e15;

/// A captured series: its labels without instance, and what it showed each time.
struct Captured {
    labels: Vec<(String, String)>,
    is_counter: bool,
    values: Vec<f64>,
}

/// `count` targets with the series of the node_exporter in `peers`.
pub(crate) fn targets(peers: &Path, folder: &Path, count: usize, random: &mut Random) -> Vec<Target> {
    let captured = capture(peers, folder);
    (0..count)
        .map(|instance| {
            let series = captured.iter().map(|one| one.for_instance(instance, random));
            Target { series: series.collect() }
        })
        .collect()
}

fn capture(peers: &Path, folder: &Path) -> Vec<Captured> {
    let exporter = start_node_exporter(peers, folder);
    let mut captured: Vec<Captured> = Vec::new();
    for round in 0..CAPTURES {
        let text = exporter.get("/metrics", &[]).expect("the exporter answers").text();
        let samples = parse(&text);
        if round == 0 {
            captured = samples
                .into_iter()
                .map(|(labels, is_counter, value)| Captured { labels, is_counter, values: vec![value] })
                .collect();
        } else {
            captured.retain_mut(|one| {
                let found = samples.iter().find(|(labels, ..)| *labels == one.labels);
                one.values.extend(found.map(|(.., value)| *value));
                found.is_some()
            });
        }
        thread::sleep(PAUSE);
    }
    captured
}

type ParsedSample = (Vec<(String, String)>, bool, f64);

/// Samples of the text format, as far as node_exporter uses it: no timestamps, no exemplars.
fn parse(text: &str) -> Vec<ParsedSample> {
    let mut counters = HashSet::new();
    let mut samples = Vec::new();
    for line in text.lines() {
        if let Some(rest) = line.strip_prefix("# TYPE ") {
            if let Some(name) = rest.strip_suffix(" counter") {
                counters.insert(name.to_owned());
            }
        } else if !line.starts_with('#') && !line.is_empty() {
            let (series, value) = line.rsplit_once(' ').expect("a sample has a value");
            let labels = parse_labels(series);
            let is_counter =
                labels.iter().any(|(name, value)| name == "__name__" && counters.contains(value));
            samples.push((labels, is_counter, value.parse().expect("a value is a number")));
        }
    }
    samples
}

fn parse_labels(series: &str) -> Vec<(String, String)> {
    let (name, rest) = series.split_once('{').unwrap_or((series, ""));
    let mut labels = vec![("__name__".to_owned(), name.to_owned())];
    let mut rest = rest;
    while let Some((label, after)) = rest.split_once("=\"") {
        let mut value = String::new();
        let mut characters = after.char_indices();
        let end = loop {
            match characters.next().expect("a label value is closed") {
                (place, '"') => break place,
                (_, '\\') => value.push(characters.next().expect("an escape has a character").1),
                (_, character) => value.push(character),
            }
        };
        labels.push((label.to_owned(), value));
        rest = after[end + 1..].trim_start_matches(',');
    }
    labels
}

impl Captured {
    fn for_instance(&self, instance: usize, random: &mut Random) -> Series {
        let mut labels = self.labels.clone();
        labels.push(("instance".to_owned(), format!("10.11.{}.{}:9100", instance / 250, instance % 250)));
        labels.push(("job".to_owned(), "node".to_owned()));
        labels.sort();
        Series { labels, track: self.track(random) }
    }

    fn track(&self, random: &mut Random) -> Track {
        let last = self.values[self.values.len() - 1];
        if self.values.iter().all(|value| value.to_bits() == last.to_bits()) {
            return Track::Same(last);
        }
        let place = random.between(0, self.values.len() as i64 - 2) as usize;
        let rises = self.values.windows(2).all(|pair| pair[0] <= pair[1]);
        if !(self.is_counter && rises) {
            return Track::Replaying { values: self.values.clone().into(), place };
        }
        match self.scale() {
            Some(scale) => {
                let whole: Vec<i64> =
                    self.values.iter().map(|value| (value * scale).round() as i64).collect();
                let increments: Arc<[i64]> = whole.windows(2).map(|pair| pair[1] - pair[0]).collect();
                Track::Counting { total: whole[whole.len() - 1], scale, increments, place }
            }
            None => {
                let increments = self.values.windows(2).map(|pair| pair[1] - pair[0]).collect();
                Track::Accumulating { total: last, increments, place }
            }
        }
    }

    /// The power of ten that makes every value whole, if a small one does.
    fn scale(&self) -> Option<f64> {
        let is_whole = |value: f64, scale: f64| {
            let whole = (value * scale).round();
            whole.abs() < EXACT_MAX && (whole / scale).to_bits() == value.to_bits()
        };
        (0..=6)
            .map(|digits| 10_f64.powi(digits))
            .find(|scale| self.values.iter().all(|value| is_whole(*value, *scale)))
    }
}
