//! Metric families of one round, as text or for storage.

use std::borrow::Cow;
use std::fmt::Write as _;
use std::sync::Arc;

use super::reading::Value;

/// Labels in the order that they are written in.
pub type Pairs = Vec<(&'static str, String)>;

/// Labels that the series of a GPU, or of an instance, share. Kept from round to round while they stay the same, so that
/// a series is known again by the place in memory.
#[derive(Debug, PartialEq)]
pub struct Base {
    pairs: Pairs,
    /// As the text format has them.
    text: String,
}

impl Base {
    /// Of these labels, in this order.
    pub fn new(pairs: Pairs) -> Self {
        let text = written(&pairs);
        Self { pairs, text }
    }

    /// The labels, in their order.
    pub fn pairs(&self) -> &Pairs {
        &self.pairs
    }
}

/// The families of one snapshot.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Families {
    /// Label sets that series share; a sample names one by its place.
    pub bases: Vec<Arc<Base>>,
    /// The families that have samples, in the order of DCGM's numbers, ours last.
    pub families: Vec<Family>,
}

/// One family.
#[derive(Clone, Debug, PartialEq)]
pub struct Family {
    /// Name of all its series.
    pub name: &'static str,
    /// `gauge`, `counter`, or what a counters file says.
    pub metric_type: Arc<str>,
    /// Its help text.
    pub help: Arc<str>,
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

impl Families {
    /// Adds what another machine said: to families of the same name, and the rest in the order that they had there.
    pub fn extend(&mut self, other: Self) {
        let first_base = self.bases.len();
        self.bases.extend(other.bases);
        let mut place = 0;
        for mut family in other.families {
            family.samples.iter_mut().for_each(|sample| sample.base += first_base);
            match self.families.iter().position(|known| known.name == family.name) {
                Some(known) => {
                    place = known + 1;
                    self.families[known].samples.append(&mut family.samples);
                }
                None => {
                    self.families.insert(place, family);
                    place += 1;
                }
            }
        }
    }

    /// The text format, line for line as the exporter writes it.
    pub fn to_text(&self) -> String {
        let mut out = String::new();
        for family in &self.families {
            // Writing to a string does not fail.
            let _ = writeln!(out, "# HELP {} {}", family.name, family.help);
            let _ = writeln!(out, "# TYPE {} {}", family.name, family.metric_type);
            for sample in &family.samples {
                out.extend([family.name, "{", &self.bases[sample.base].text]);
                if !sample.own.is_empty() {
                    out.extend([",", &written(&sample.own)]);
                }
                let _ = match sample.value {
                    Value::Int(value) => writeln!(out, "}} {value}"),
                    Value::Float(value) => writeln!(out, "}} {value:.6}"),
                };
            }
        }
        out
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
