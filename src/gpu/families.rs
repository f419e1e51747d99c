//! From a snapshot to metric families: names, labels in the DCGM exporter's order, values; as text, or for storage.

use std::borrow::Cow;
use std::fmt::Write as _;

use super::counters::Counters;
use super::fields::{Field, FieldInfo};
use super::reading::{DeviceIdentity, GpuState, MigInstance, Reading, Row, Snapshot, Value};
use super::xid::xid_message;

/// Family of the counts of each XID.
pub(super) const XID_COUNTS: &str = "perdura_gpu_xid_errors_total";

/// Labels in the order that they are written in.
pub type Pairs = Vec<(&'static str, String)>;

/// What the labels say beyond the GPU itself.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Naming {
    /// The machine; no label without it.
    pub hostname: Option<String>,
    /// Whether the label is `hostname`, as of the exporter's versions after 4.5.3-4.8.2, and not `Hostname`.
    pub is_hostname_lower: bool,
}

/// The families of one snapshot.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Families {
    /// Label sets that series share; a sample names one by its place.
    pub bases: Vec<Pairs>,
    /// The families that have samples, in the order of DCGM's numbers, ours last.
    pub families: Vec<Family>,
}

/// One family.
#[derive(Clone, Debug, PartialEq)]
pub struct Family {
    /// Name of all its series.
    pub name: &'static str,
    /// `gauge`, `counter`, or what a counters file says.
    pub metric_type: String,
    /// Its help text.
    pub help: String,
    /// Its samples.
    pub samples: Vec<Sample>,
}

/// One sample.
#[derive(Clone, Debug, PartialEq)]
pub struct Sample {
    /// Place of its labels in [`Families::bases`].
    pub base: usize,
    /// Labels of its own, behind those.
    pub own: Pairs,
    /// Its value.
    pub value: Value,
}

/// One row, with the place of its labels.
struct Placed<'a> {
    base: usize,
    gpu: &'a GpuState,
    /// None for a GPU that did not answer: what the collector knows by itself is shown without it.
    reading: Option<&'a Reading>,
}

impl Families {
    /// The families of what `counters` ask for.
    pub fn new(snapshot: &Snapshot, counters: &Counters, naming: &Naming) -> Self {
        let labels = counters.labels();
        let mut families = Self::default();
        let mut placed = Vec::new();
        let mut whole = Vec::new();
        for gpu in &snapshot.gpus {
            // What is said of the GPU as such has no labels of an instance.
            whole.push((families.add_base(gpu, None, &labels, naming), gpu));
            let Some(rows) = &gpu.rows else {
                let base = families.bases.len() - 1;
                placed.push(Placed { base, gpu, reading: None });
                continue;
            };
            for row in rows {
                let base = match row.instance {
                    None => families.bases.len() - 1,
                    Some(_) => families.add_base(gpu, Some(row), &labels, naming),
                };
                placed.push(Placed { base, gpu, reading: Some(&row.reading) });
            }
        }
        for counter in counters.families() {
            let samples = placed.iter().filter_map(|row| row.sample(counter.info.field)).collect();
            families.add(counter.info.name, &counter.metric_type, &counter.help, samples);
        }
        families.add_own(&whole, counters.collects(Field::XidErrors));
        families
    }

    /// The text format, line for line as the exporter writes it.
    pub fn to_text(&self) -> String {
        let bases: Vec<String> = self.bases.iter().map(written).collect();
        let mut out = String::new();
        for family in &self.families {
            // Writing to a string does not fail.
            let _ = writeln!(out, "# HELP {} {}", family.name, family.help);
            let _ = writeln!(out, "# TYPE {} {}", family.name, family.metric_type);
            for sample in &family.samples {
                let _ = write!(out, "{}{{{}", family.name, bases[sample.base]);
                if !sample.own.is_empty() {
                    let _ = write!(out, ",{}", written(&sample.own));
                }
                let _ = match sample.value {
                    Value::Int(value) => writeln!(out, "}} {value}"),
                    Value::Float(value) => writeln!(out, "}} {value:.6}"),
                };
            }
        }
        out
    }

    fn add_base(
        &mut self,
        gpu: &GpuState,
        row: Option<&Row>,
        labels: &[&'static FieldInfo],
        naming: &Naming,
    ) -> usize {
        let instance = row.and_then(|row| row.instance.as_ref());
        let first = gpu.rows.as_deref().and_then(<[Row]>::first);
        let reading = row.or(first).map(|row| &row.reading);
        self.bases.push(base_labels(&gpu.identity, instance, reading, labels, naming));
        self.bases.len() - 1
    }

    fn add(&mut self, name: &'static str, metric_type: &str, help: &str, samples: Vec<Sample>) {
        if !samples.is_empty() {
            let (metric_type, help) = (metric_type.to_owned(), help.to_owned());
            self.families.push(Family { name, metric_type, help, samples });
        }
    }

    /// What DCGM does not tell: whether a GPU answers, and each XID.
    fn add_own(&mut self, gpus: &[(usize, &GpuState)], has_xids: bool) {
        let up = gpus.iter().map(|(base, gpu)| Sample {
            base: *base,
            own: Pairs::new(),
            value: Value::Int(i64::from(gpu.rows.is_some())),
        });
        let help = "Whether the GPU answered in time when it was read last.";
        self.add("perdura_gpu_up", "gauge", help, up.collect());
        if !has_xids {
            return;
        }
        let mut counts = Vec::new();
        let mut times = Vec::new();
        for (base, gpu) in gpus {
            for (xid, seen) in gpu.xids.iter().flat_map(|history| &history.counts) {
                let own: Pairs = vec![("xid", xid.to_string())];
                let count = Value::Int(i64::try_from(seen.count).unwrap_or(i64::MAX));
                counts.push(Sample { base: *base, own: own.clone(), value: count });
                let seconds = Value::Float(seen.last_seen as f64 / 1_000.0);
                times.push(Sample { base: *base, own, value: seconds });
            }
        }
        let help = "XID events of the GPU since the collector started.";
        self.add(XID_COUNTS, "counter", help, counts);
        let help = "When the XID was seen last, in seconds since the epoch.";
        self.add("perdura_gpu_xid_last_seen_timestamp_seconds", "gauge", help, times);
    }
}

impl Placed<'_> {
    fn sample(&self, field: Field) -> Option<Sample> {
        if field != Field::XidErrors {
            let value = self.reading?.get(field)?;
            return Some(Sample { base: self.base, own: Pairs::new(), value });
        }
        // 0 stands for none seen yet, as in DCGM.
        let xid = self.gpu.xids.as_ref()?.last.unwrap_or(0);
        let own = vec![("err_code", xid.to_string()), ("err_msg", xid_message(xid).to_owned())];
        Some(Sample { base: self.base, own, value: Value::Int(i64::try_from(xid).unwrap_or(i64::MAX)) })
    }
}

/// The labels that all series of a GPU or an instance have, in the exporter's order.
fn base_labels(
    identity: &DeviceIdentity,
    instance: Option<&MigInstance>,
    reading: Option<&Reading>,
    labels: &[&'static FieldInfo],
    naming: &Naming,
) -> Pairs {
    let mut pairs = vec![
        ("gpu", identity.index.to_string()),
        ("UUID", identity.uuid.clone()),
        ("pci_bus_id", identity.pci_bus_id.clone()),
        ("device", identity.device_name()),
        ("modelName", identity.model_name.clone()),
    ];
    if let Some(instance) = instance {
        pairs.push(("GPU_I_PROFILE", instance.profile.clone()));
        pairs.push(("GPU_I_ID", instance.gpu_instance_id.to_string()));
    }
    if let Some(hostname) = &naming.hostname {
        pairs.push((if naming.is_hostname_lower { "hostname" } else { "Hostname" }, hostname.clone()));
    }
    for info in labels {
        let text = identity.texts.get(info.name).cloned();
        let number = || reading.and_then(|reading| reading.get(info.field)).map(printed);
        if let Some(text) = text.or_else(number) {
            pairs.push((info.name, text));
        }
    }
    pairs
}

fn printed(value: Value) -> String {
    match value {
        Value::Int(value) => value.to_string(),
        Value::Float(value) => format!("{value:.6}"),
    }
}

/// `name="value",name="value"`.
fn written(pairs: &Pairs) -> String {
    let pairs: Vec<String> =
        pairs.iter().map(|(name, value)| format!("{name}=\"{}\"", escaped(value))).collect();
    pairs.join(",")
}

/// The exporter writes values as they are; what would break the line is escaped here.
fn escaped(value: &str) -> Cow<'_, str> {
    if value.contains(['\\', '"', '\n']) {
        Cow::Owned(value.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n"))
    } else {
        Cow::Borrowed(value)
    }
}

#[cfg(test)]
#[path = "families_tests.rs"]
mod tests;
