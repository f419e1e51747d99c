//! Which fields are collected: a counters file in the DCGM exporter's format, or its defaults.
//!
//! A line is `DCGM FIELD, Prometheus metric type, help message`; lines that begin with `#` are comments, and a text with
//! a comma stands between double quotes.

use std::collections::BTreeSet;
use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use super::fields::{FIELDS, Field, FieldInfo, FieldSet, Unit};

/// Longest counters file that is read.
const FILE_BYTES_MAX: u64 = 1 << 20;

/// Types that a counters file may give.
const METRIC_TYPES: [&str; 5] = ["gauge", "counter", "histogram", "summary", "label"];

/// One line of a counters file.
#[derive(Clone, Debug)]
pub struct Counter {
    /// Its field.
    pub info: &'static FieldInfo,
    /// Type of the family, or `label`.
    pub metric_type: String,
    /// Help text of the family.
    pub help: String,
}

impl Counter {
    /// Whether its value is a label of the other series.
    pub fn is_label(&self) -> bool {
        self.metric_type == "label"
    }
}

/// What is collected and shown.
#[derive(Clone, Debug)]
pub struct Counters {
    /// In the order of DCGM's numbers, each field once.
    list: Vec<Counter>,
    /// Fields of the file that NVML does not have, or that are not collected yet.
    unavailable: Vec<String>,
}

/// Why a counters file is not used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CountersError {
    /// The operating system refused.
    #[error("cannot read {path}: {source}", path = path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A line breaks the format. The path is empty for a text that is no file.
    #[error("{path}:{line}: {rule}", path = path.display())]
    Line {
        /// The file.
        path: PathBuf,
        /// Its line, counted from one.
        line: usize,
        /// What is wrong.
        rule: String,
    },
}

impl Default for Counters {
    /// The lines of the exporter's `default-counters.csv` that NVML can tell, and what mends them.
    fn default() -> Self {
        let defaults = FIELDS.iter().filter(|info| info.is_default);
        Self { list: defaults.map(of_list).collect(), unavailable: Vec::new() }
    }
}

impl Counters {
    /// Reads a counters file.
    pub fn load(path: &Path) -> Result<Self, CountersError> {
        let io_error = |source| CountersError::Io { path: path.to_owned(), source };
        let mut text = String::new();
        let file = File::open(path).map_err(io_error)?;
        file.take(FILE_BYTES_MAX + 1).read_to_string(&mut text).map_err(io_error)?;
        if text.len() as u64 > FILE_BYTES_MAX {
            return Err(io_error(io::Error::other(format!("longer than {FILE_BYTES_MAX} bytes"))));
        }
        Self::parse(&text).map_err(|error| match error {
            CountersError::Line { line, rule, .. } => {
                CountersError::Line { path: path.to_owned(), line, rule }
            }
            other => other,
        })
    }

    /// Reads the text of a counters file. Of a field that is named twice the first line counts, as in the exporter.
    pub fn parse(text: &str) -> Result<Self, CountersError> {
        let mut counters = Self { list: Vec::new(), unavailable: Vec::new() };
        for (place, line) in text.lines().enumerate() {
            if line.starts_with('#') || line.is_empty() {
                continue;
            }
            counters.add_line(line).map_err(|rule| CountersError::Line {
                path: PathBuf::new(),
                line: place + 1,
                rule,
            })?;
        }
        counters.mend();
        counters.list.sort_by_key(|counter| counter.info.id);
        Ok(counters)
    }

    fn add_line(&mut self, line: &str) -> Result<(), String> {
        let record = split_record(line)?;
        let [name, metric_type, help] = record.as_slice() else {
            return Err(format!(
                "expected 3 fields (DCGM field, Prometheus metric type, help message), found {}",
                record.len()
            ));
        };
        if !METRIC_TYPES.contains(&metric_type.as_str()) {
            return Err(format!("could not find Prometheus metric type '{metric_type}'"));
        }
        let known = Field::by_name(name).map(Field::info);
        match known.filter(|info| info.unit != Unit::Text || metric_type == "label") {
            Some(info) if self.collects(info.field) => {}
            Some(info) => {
                self.list.push(Counter { info, metric_type: metric_type.clone(), help: help.clone() });
            }
            None if name.starts_with("DCGM_FI_") || name.starts_with("DCGM_EXP_") => {
                self.unavailable.push(name.clone());
            }
            None => return Err(format!("could not find DCGM field '{name}'")),
        }
        Ok(())
    }

    /// DCGM's NVLink total is a rate; the true counters come with it.
    fn mend(&mut self) {
        if self.collects(Field::NvLinkBandwidth) {
            for field in [Field::NvLinkTransmit, Field::NvLinkReceive] {
                if !self.collects(field) {
                    self.list.push(of_list(field.info()));
                }
            }
        }
    }

    /// Whether a field is among them.
    pub fn collects(&self, field: Field) -> bool {
        self.list.iter().any(|counter| counter.info.field == field)
    }

    /// Their fields.
    pub fn fields(&self) -> FieldSet {
        self.list.iter().map(|counter| counter.info.field).collect()
    }

    /// Those that make families of series, in the order of DCGM's numbers.
    pub fn families(&self) -> impl Iterator<Item = &Counter> {
        self.list.iter().filter(|counter| !counter.is_label())
    }

    /// Those that make labels, sorted by name.
    pub fn labels(&self) -> Vec<&'static FieldInfo> {
        let mut labels: Vec<_> = self.list.iter().filter(|c| c.is_label()).map(|c| c.info).collect();
        labels.sort_by_key(|info| info.name);
        labels
    }

    /// Fields of the file that are not collected, sorted, for a warning.
    pub fn unavailable(&self) -> Vec<&str> {
        let names: BTreeSet<&str> = self.unavailable.iter().map(String::as_str).collect();
        names.into_iter().collect()
    }
}

fn of_list(info: &'static FieldInfo) -> Counter {
    Counter { info, metric_type: info.metric_type.to_owned(), help: info.help.to_owned() }
}

/// The fields of a line, without the spaces around them. A field that begins with a double quote ends with one; two in
/// a row stand for one.
fn split_record(line: &str) -> Result<Vec<String>, String> {
    let mut record = Vec::new();
    let mut rest = line;
    loop {
        let (field, after) = match rest.strip_prefix('"') {
            Some(quoted) => split_quoted(quoted)?,
            None => split_bare(rest)?,
        };
        record.push(field.trim_matches(' ').to_owned());
        match after {
            Some(after) => rest = after,
            None => return Ok(record),
        }
    }
}

fn split_bare(text: &str) -> Result<(String, Option<&str>), String> {
    let (field, after) = text.split_once(',').map_or((text, None), |(field, after)| (field, Some(after)));
    if field.contains('"') {
        return Err("a double quote within a field that does not begin with one".to_owned());
    }
    Ok((field.to_owned(), after))
}

fn split_quoted(text: &str) -> Result<(String, Option<&str>), String> {
    let mut field = String::new();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once('"') {
        field.push_str(before);
        match after.strip_prefix('"') {
            Some(after) => {
                field.push('"');
                rest = after;
            }
            None if after.is_empty() => return Ok((field, None)),
            None => {
                let after = after.strip_prefix(',').ok_or("text behind a closing double quote")?;
                return Ok((field, Some(after)));
            }
        }
    }
    Err("a double quote is not closed".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(counters: &Counters) -> Vec<&str> {
        counters.families().map(|counter| counter.info.name).collect()
    }

    fn refused(text: &str) -> String {
        Counters::parse(text).expect_err("the text is refused").to_string()
    }

    #[test]
    fn the_defaults_are_the_exporters_but_for_the_vgpu_license() {
        let counters = Counters::default();
        let dcgm = names(&counters).into_iter().filter(|name| name.starts_with("DCGM_")).count();
        assert_eq!(dcgm, 24, "25 fields of default-counters.csv that are no labels, less one");
        assert_eq!(
            counters.labels().iter().map(|info| info.name).collect::<Vec<_>>(),
            ["DCGM_FI_DRIVER_VERSION"]
        );
        assert!(counters.unavailable().is_empty());
    }

    #[test]
    fn a_file_chooses_fields_types_and_help() {
        let counters = Counters::parse(concat!(
            "# Format\n\n",
            "DCGM_FI_DEV_GPU_TEMP,    gauge, Heat.\n",
            "DCGM_FI_DEV_SM_CLOCK, counter,\"one, two \"\"three\"\"\"\n",
            "DCGM_FI_DEV_DEC_UTIL ,     gauge, Decoder utilization (in %).\n",
            "DCGM_FI_DEV_SM_CLOCK, gauge, second line of the same field\n",
            "DCGM_FI_DEV_SERIAL, label, Device Serial Number\n",
            "DCGM_FI_DEV_VGPU_LICENSE_STATUS, gauge, vGPU License status\n",
        ))
        .expect("the file is fine");
        assert_eq!(
            names(&counters),
            ["DCGM_FI_DEV_SM_CLOCK", "DCGM_FI_DEV_GPU_TEMP", "DCGM_FI_DEV_DEC_UTIL"]
        );
        let clock = counters.families().next().expect("three are there");
        assert_eq!((clock.metric_type.as_str(), clock.help.as_str()), ("counter", "one, two \"three\""));
        assert_eq!(counters.labels()[0].name, "DCGM_FI_DEV_SERIAL");
        assert_eq!(counters.unavailable(), ["DCGM_FI_DEV_VGPU_LICENSE_STATUS"]);
    }

    #[test]
    fn true_byte_counters_come_with_the_total_that_is_a_rate() {
        let counters = Counters::parse("DCGM_FI_DEV_NVLINK_BANDWIDTH_TOTAL, counter, x").expect("fine");
        assert_eq!(
            names(&counters),
            [
                "DCGM_FI_DEV_NVLINK_BANDWIDTH_TOTAL",
                "perdura_gpu_nvlink_transmit_bytes_total",
                "perdura_gpu_nvlink_receive_bytes_total"
            ]
        );
    }

    #[test]
    fn errors_name_the_line() {
        assert_eq!(
            refused("# c\nDCGM_FI_DEV_SM_CLOCK, gauge"),
            ":2: expected 3 fields (DCGM field, Prometheus metric type, help message), found 2"
        );
        assert_eq!(refused("GPU_TEMP, gauge, x"), ":1: could not find DCGM field 'GPU_TEMP'");
        assert_eq!(
            refused("DCGM_FI_DEV_SM_CLOCK, guage, x"),
            ":1: could not find Prometheus metric type 'guage'"
        );
        assert_eq!(refused("\"DCGM"), ":1: a double quote is not closed");
        assert_eq!(refused("\"DCGM\"x,a,b"), ":1: text behind a closing double quote");
    }

    #[test]
    fn a_file_that_is_not_there_is_named() {
        let error = Counters::load(Path::new("/nowhere/counters.csv")).expect_err("there is none");
        assert!(error.to_string().starts_with("cannot read /nowhere/counters.csv: "));
    }
}
