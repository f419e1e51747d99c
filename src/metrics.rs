//! The server's own metrics: counters, gauges, histograms and summaries, written in Prometheus' text format 0.0.4.
//!
//! A [`Registry`] hands out cheap handles; `GET /metrics` writes all of it. What is known elsewhere (series in the
//! head, memory of the process) is asked for at that moment through [`Registry::on_scrape`]. Families appear in the
//! order of their names, as upstream's client writes them.

mod summary;

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use crate::lock::lock;
use crate::model::format_float;

pub use summary::Summary;

/// A number that only rises.
#[derive(Clone, Debug, Default)]
pub struct Counter(Arc<AtomicU64>);

impl Counter {
    /// Adds one.
    pub fn increment(&self) {
        self.add(1);
    }

    /// Adds `count`.
    pub fn add(&self, count: u64) {
        self.0.fetch_add(count, Ordering::Relaxed);
    }

    /// What it shows.
    pub fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// A number that rises and falls.
#[derive(Clone, Debug, Default)]
pub struct Gauge(Arc<AtomicU64>);

impl Gauge {
    /// Shows `value` from now on.
    pub fn set(&self, value: f64) {
        self.0.store(value.to_bits(), Ordering::Relaxed);
    }

    /// Adds `delta`, which may be negative.
    pub fn add(&self, delta: f64) {
        self.0.update(Ordering::Relaxed, Ordering::Relaxed, |bits| (f64::from_bits(bits) + delta).to_bits());
    }

    /// What it shows.
    pub fn get(&self) -> f64 {
        f64::from_bits(self.0.load(Ordering::Relaxed))
    }
}

/// Observations counted in buckets.
#[derive(Clone, Debug)]
pub struct Histogram(Arc<HistogramCells>);

#[derive(Debug)]
struct HistogramCells {
    bounds: &'static [f64],
    buckets: Vec<Counter>,
    sum: Gauge,
}

impl Histogram {
    /// Nothing observed yet. `bounds`: the upper bounds of its buckets in rising order, `+Inf` left out.
    pub fn new(bounds: &'static [f64]) -> Self {
        assert!(bounds.is_sorted(), "bucket bounds rise");
        let buckets = (0..=bounds.len()).map(|_| Counter::default()).collect();
        Self(Arc::new(HistogramCells { bounds, buckets, sum: Gauge::default() }))
    }

    /// Counts one observation.
    pub fn observe(&self, value: f64) {
        let bucket = self.0.bounds.partition_point(|bound| *bound < value);
        self.0.buckets[bucket].increment();
        self.0.sum.add(value);
    }
}

/// One family's series by label values, each made when it is first asked for.
#[derive(Clone, Debug)]
pub struct FamilyOf<T> {
    label_names: &'static [&'static str],
    series: Arc<Mutex<BTreeMap<Vec<String>, T>>>,
    bounds: &'static [f64],
}

/// A family of counters.
pub type Counters = FamilyOf<Counter>;
/// A family of gauges.
pub type Gauges = FamilyOf<Gauge>;
/// A family of histograms with the same bounds.
pub type Histograms = FamilyOf<Histogram>;

trait Instrument: Clone {
    const TYPE: &'static str;
    fn new(bounds: &'static [f64]) -> Self;
    fn write(&self, name: &str, labels: &[(&str, &str)], out: &mut Exposition);
}

impl Instrument for Counter {
    const TYPE: &'static str = "counter";

    fn new(_: &'static [f64]) -> Self {
        Self::default()
    }

    fn write(&self, name: &str, labels: &[(&str, &str)], out: &mut Exposition) {
        out.sample(name, labels, self.get() as f64);
    }
}

impl Instrument for Gauge {
    const TYPE: &'static str = "gauge";

    fn new(_: &'static [f64]) -> Self {
        Self::default()
    }

    fn write(&self, name: &str, labels: &[(&str, &str)], out: &mut Exposition) {
        out.sample(name, labels, self.get());
    }
}

impl Instrument for Histogram {
    const TYPE: &'static str = "histogram";

    fn new(bounds: &'static [f64]) -> Self {
        Self::new(bounds)
    }

    fn write(&self, name: &str, labels: &[(&str, &str)], out: &mut Exposition) {
        out.histogram(name, labels, self);
    }
}

#[expect(private_bounds, reason = "the three instruments are all there are")]
impl<T: Instrument> FamilyOf<T> {
    /// The series with these values, in the order of the family's label names.
    pub fn with(&self, label_values: &[&str]) -> T {
        assert_eq!(label_values.len(), self.label_names.len(), "a value for each label");
        let mut series = lock(&self.series);
        if let Some(found) = series.iter().find(|(values, _)| values.iter().eq(label_values)) {
            return found.1.clone();
        }
        let made = T::new(self.bounds);
        series.insert(label_values.iter().map(|value| (*value).to_owned()).collect(), made.clone());
        made
    }

    fn write(&self, name: &str, help: &str, out: &mut Exposition) {
        out.family(name, help, T::TYPE);
        for (values, instrument) in lock(&self.series).iter() {
            let labels: Vec<_> =
                self.label_names.iter().copied().zip(values.iter().map(String::as_str)).collect();
            instrument.write(name, &labels, out);
        }
    }
}

type Collector = Box<dyn Fn(&mut Exposition) + Send + Sync>;

/// All metrics of one server.
#[derive(Default)]
pub struct Registry {
    families: Mutex<BTreeMap<&'static str, Collector>>,
    collectors: Mutex<Vec<Collector>>,
}

impl Registry {
    /// A counter without labels.
    pub fn counter(&self, name: &'static str, help: &'static str) -> Counter {
        self.counters(name, help, &[]).with(&[])
    }

    /// A gauge without labels.
    pub fn gauge(&self, name: &'static str, help: &'static str) -> Gauge {
        self.gauges(name, help, &[]).with(&[])
    }

    /// Counters by label values.
    pub fn counters(
        &self,
        name: &'static str,
        help: &'static str,
        labels: &'static [&'static str],
    ) -> Counters {
        self.register(name, help, labels, &[])
    }

    /// Gauges by label values.
    pub fn gauges(&self, name: &'static str, help: &'static str, labels: &'static [&'static str]) -> Gauges {
        self.register(name, help, labels, &[])
    }

    /// Histograms by label values, with the upper bounds of their buckets in rising order, `+Inf` left out.
    pub fn histograms(
        &self,
        name: &'static str,
        help: &'static str,
        labels: &'static [&'static str],
        bounds: &'static [f64],
    ) -> Histograms {
        self.register(name, help, labels, bounds)
    }

    /// Calls `collect` at each scrape for families that are known elsewhere; their names come after the others.
    pub fn on_scrape(&self, collect: impl Fn(&mut Exposition) + Send + Sync + 'static) {
        lock(&self.collectors).push(Box::new(collect));
    }

    /// Everything in text format 0.0.4.
    pub fn expose(&self) -> String {
        let mut out = Exposition::default();
        for family in lock(&self.families).values() {
            family(&mut out);
        }
        for collect in lock(&self.collectors).iter() {
            collect(&mut out);
        }
        out.into_text()
    }

    fn register<T: Instrument + Send + Sync + 'static>(
        &self,
        name: &'static str,
        help: &'static str,
        label_names: &'static [&'static str],
        bounds: &'static [f64],
    ) -> FamilyOf<T> {
        let family = FamilyOf { label_names, series: Arc::default(), bounds };
        let written = family.clone();
        let before = lock(&self.families)
            .insert(name, Box::new(move |out: &mut Exposition| written.write(name, help, out)));
        assert!(before.is_none(), "a metric family is registered once");
        family
    }
}

/// Text being written for one scrape.
#[derive(Debug, Default)]
pub struct Exposition {
    text: String,
}

impl Exposition {
    /// What was written.
    pub fn into_text(self) -> String {
        self.text
    }

    /// Begins a family. `kind`: `counter`, `gauge`, `histogram`.
    pub fn family(&mut self, name: &str, help: &str, kind: &str) {
        let help = help.replace('\\', "\\\\").replace('\n', "\\n");
        let _ = writeln!(self.text, "# HELP {name} {help}\n# TYPE {name} {kind}");
    }

    /// One sample of the family begun last.
    pub fn sample(&mut self, name: &str, labels: &[(&str, &str)], value: f64) {
        self.text.push_str(name);
        for (index, (label, text)) in labels.iter().enumerate() {
            self.text.push(if index == 0 { '{' } else { ',' });
            let text = text.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n");
            let _ = write!(self.text, "{label}=\"{text}\"");
        }
        if !labels.is_empty() {
            self.text.push('}');
        }
        let _ = writeln!(self.text, " {}", format_float(value));
    }

    /// One series of a family of histograms.
    pub fn histogram(&mut self, name: &str, labels: &[(&str, &str)], histogram: &Histogram) {
        let mut count = 0;
        for (index, bucket) in histogram.0.buckets.iter().enumerate() {
            count += bucket.get();
            let le = format_float(histogram.0.bounds.get(index).copied().unwrap_or(f64::INFINITY));
            let labels: Vec<_> = labels.iter().copied().chain([("le", le.as_str())]).collect();
            self.sample(&format!("{name}_bucket"), &labels, count as f64);
        }
        self.sample(&format!("{name}_sum"), labels, histogram.0.sum.get());
        self.sample(&format!("{name}_count"), labels, count as f64);
    }

    /// One series of a family of summaries, with these quantiles.
    pub fn summary(&mut self, name: &str, labels: &[(&str, &str)], summary: &Summary, quantiles: &[f64]) {
        for (quantile, value) in quantiles.iter().zip(summary.quantiles(quantiles)) {
            let quantile = format_float(*quantile);
            let labels: Vec<_> = labels.iter().copied().chain([("quantile", quantile.as_str())]).collect();
            self.sample(name, &labels, value);
        }
        self.sample(&format!("{name}_sum"), labels, summary.sum());
        self.sample(&format!("{name}_count"), labels, summary.count() as f64);
    }

    /// A family with one series without labels.
    pub fn single(&mut self, name: &str, help: &str, kind: &str, value: f64) {
        self.family(name, help, kind);
        self.sample(name, &[], value);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn everything_is_written_in_name_order() {
        let registry = Registry::default();
        let requests = registry.counters("b_total", "Requests\nby code.", &["code"]);
        requests.with(&["500"]).increment();
        requests.with(&["200"]).add(2);
        requests.with(&["200"]).increment();
        registry.gauge("a", "A gauge.").set(-1.5);
        registry.on_scrape(|out| out.single("c", "Elsewhere.", "gauge", 7.0));
        assert_eq!(
            registry.expose(),
            "# HELP a A gauge.\n# TYPE a gauge\na -1.5\n\
             # HELP b_total Requests\\nby code.\n# TYPE b_total counter\n\
             b_total{code=\"200\"} 3\nb_total{code=\"500\"} 1\n\
             # HELP c Elsewhere.\n# TYPE c gauge\nc 7\n"
        );
    }

    #[test]
    fn buckets_are_cumulative_and_bounds_are_inclusive() {
        let registry = Registry::default();
        let seconds = registry.histograms("s", "Seconds.", &[], &[0.1, 1.0]).with(&[]);
        for value in [0.1, 0.5, 3.0] {
            seconds.observe(value);
        }
        let text = registry.expose();
        assert!(
            text.contains("s_bucket{le=\"0.1\"} 1\ns_bucket{le=\"1\"} 2\ns_bucket{le=\"+Inf\"} 3\n"),
            "{text}"
        );
        assert!(text.contains("s_sum 3.6\ns_count 3\n"), "{text}");
    }

    #[test]
    fn summaries_have_their_quantiles() {
        let summary = Summary::default();
        summary.observe(0.5);
        let mut out = Exposition::default();
        out.summary("s", &[("a", "b")], &summary, &[0.9]);
        assert_eq!(out.text, "s{a=\"b\",quantile=\"0.9\"} 0.5\ns_sum{a=\"b\"} 0.5\ns_count{a=\"b\"} 1\n");
    }

    #[test]
    fn label_values_are_escaped() {
        let registry = Registry::default();
        registry.gauges("g", "G.", &["a", "b"]).with(&["x\"y\\\n", "2"]).set(1.0);
        assert!(registry.expose().contains("g{a=\"x\\\"y\\\\\\n\",b=\"2\"} 1\n"));
    }
}
