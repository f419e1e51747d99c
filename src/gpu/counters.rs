//! Which fields are collected: a counters file in the DCGM exporter's format, or its defaults.
//!
//! A line is `DCGM FIELD, Prometheus metric type, help message`; lines that begin with `#` are comments, and a text with
//! a comma stands between double quotes.

use std::fmt;
use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use super::fields::{FIELDS, Field, FieldInfo, FieldSet, ONLY_DCGM, Unit};
use super::windows::Derived;

/// Longest counters file that is read.
const FILE_BYTES_MAX: u64 = 1 << 20;

/// Types that a counters file may give.
const METRIC_TYPES: [&str; 5] = ["gauge", "counter", "histogram", "summary", "label"];

/// Names that are written in counters files though DCGM has no such field, and what is meant.
const MISTAKEN: [(&str, Field); 2] =
    [("DCGM_FI_DEV_GPU_CLOCK", Field::SmClock), ("DCGM_FI_DEV_MEMORY_CLOCK", Field::MemClock)];

/// Most letters in which a name that is suggested differs from the one that is not known.
const SUGGESTION_DISTANCE_MAX: usize = 4;

/// One line of a counters file.
#[derive(Clone, Debug)]
pub struct Counter {
    /// Its field.
    pub info: &'static FieldInfo,
    /// The name that the line has for it: the field's own, or another of [`Field::by_name`].
    pub name: &'static str,
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

/// One line of a counters file that counts over a window, as the exporter does by itself.
#[derive(Clone, Debug)]
pub struct DerivedCounter {
    /// What is counted.
    pub derived: Derived,
    /// Type of the family.
    pub metric_type: String,
    /// Help text of the family.
    pub help: String,
}

/// A line of a counters file that is not used as it stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Note {
    /// The file; empty for a text that is no file.
    path: PathBuf,
    /// Its line, counted from one.
    line: usize,
    /// What is done instead, and what the line should be.
    text: String,
}

impl fmt::Display for Note {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}: {}", self.path.display(), self.line, self.text)
    }
}

/// What is collected and shown.
#[derive(Clone, Debug)]
pub struct Counters {
    /// In the order of DCGM's numbers, each field once.
    list: Vec<Counter>,
    derived: Vec<DerivedCounter>,
    notes: Vec<Note>,
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
    /// The lines of the exporter's `default-counters.csv`, and what mends them.
    fn default() -> Self {
        let defaults = FIELDS.iter().filter(|info| info.is_default);
        Self { list: defaults.map(of_list).collect(), derived: Vec::new(), notes: Vec::new() }
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
        Self::parse_file(&text, path)
    }

    /// Reads the text of a counters file. Of a field that is named twice the first line counts, as in the exporter.
    pub fn parse(text: &str) -> Result<Self, CountersError> {
        Self::parse_file(text, Path::new(""))
    }

    fn parse_file(text: &str, path: &Path) -> Result<Self, CountersError> {
        let mut counters = Self { list: Vec::new(), derived: Vec::new(), notes: Vec::new() };
        for (place, line) in text.lines().enumerate() {
            if line.starts_with('#') || line.is_empty() {
                continue;
            }
            let (path, line_number) = (path.to_owned(), place + 1);
            match counters.add_line(line) {
                Ok(None) => {}
                Ok(Some(text)) => counters.notes.push(Note { path, line: line_number, text }),
                Err(rule) => return Err(CountersError::Line { path, line: line_number, rule }),
            }
        }
        counters.mend();
        counters.list.sort_by_key(|counter| counter.info.id);
        Ok(counters)
    }

    /// Takes a line as it stands, or as it is meant and says so; or says what is wrong with it.
    fn add_line(&mut self, line: &str) -> Result<Option<String>, String> {
        let record = split_record(line)?;
        let [name, metric_type, help] = record.as_slice() else {
            return Err(format!(
                "expected 3 fields (DCGM field, Prometheus metric type, help message), found {}",
                record.len()
            ));
        };
        if let Some(derived) = Derived::by_name(name) {
            return self.add_derived(derived, metric_type, help);
        }
        let mistaken = MISTAKEN.iter().find(|(mistaken, _)| mistaken == name);
        let meant = mistaken.map(|(_, field)| (*field, field.info().name));
        let Some((field, family)) = Field::by_name(name).or(meant) else {
            return unavailable(name).map(Some);
        };
        let info = field.info();
        // A number is no type, but there are examples about that take the columns for intervals.
        let has_interval = !metric_type.is_empty() && metric_type.bytes().all(|byte| byte.is_ascii_digit());
        let counter = if has_interval {
            Counter { name: family, ..of_list(info) }
        } else {
            check_type(metric_type)?;
            Counter { info, name: family, metric_type: metric_type.clone(), help: help.clone() }
        };
        if info.unit == Unit::Text && !counter.is_label() {
            return Ok(Some(format!("{name} is not shown: it is a text, and can only be a label")));
        }
        let note = (has_interval || mistaken.is_some()).then(|| as_meant(name, metric_type, &counter));
        if !self.collects(field) {
            self.list.push(counter);
        }
        Ok(note)
    }

    fn add_derived(
        &mut self,
        derived: Derived,
        metric_type: &str,
        help: &str,
    ) -> Result<Option<String>, String> {
        check_type(metric_type)?;
        if !self.derived.iter().any(|counter| counter.derived == derived) {
            let (metric_type, help) = (metric_type.to_owned(), help.to_owned());
            self.derived.push(DerivedCounter { derived, metric_type, help });
        }
        Ok(None)
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
        let derived = self.derived.iter().map(|counter| counter.derived.field());
        self.list.iter().map(|counter| counter.info.field).chain(derived).collect()
    }

    /// Those that make families of series, in the order of DCGM's numbers.
    pub fn families(&self) -> impl Iterator<Item = &Counter> {
        self.list.iter().filter(|counter| !counter.is_label())
    }

    /// Those that count over a window.
    pub fn derived(&self) -> &[DerivedCounter] {
        &self.derived
    }

    /// Those that make labels.
    pub fn labels(&self) -> impl Iterator<Item = &Counter> {
        self.list.iter().filter(|counter| counter.is_label())
    }

    /// Lines of the file that are not used as they stand, for warnings.
    pub fn notes(&self) -> &[Note] {
        &self.notes
    }
}

fn of_list(info: &'static FieldInfo) -> Counter {
    let (metric_type, help) = (info.metric_type.to_owned(), info.help.to_owned());
    Counter { info, name: info.name, metric_type, help }
}

fn check_type(metric_type: &str) -> Result<(), String> {
    if METRIC_TYPES.contains(&metric_type) {
        Ok(())
    } else {
        Err(format!("could not find Prometheus metric type '{metric_type}'"))
    }
}

/// What is done with a line that is wrong, but clear.
fn as_meant(name: &str, metric_type: &str, counter: &Counter) -> String {
    let why = match name == counter.name {
        true => format!("'{metric_type}' is no metric type"),
        false => format!("DCGM has no field {name}"),
    };
    let Counter { name, metric_type, help, .. } = counter;
    format!(
        "{why}; the line is read as '{name}, {metric_type}, {help}' \
         (columns are field, type and help; an interval is an option of the program)"
    )
}

/// Says why a field that is not in the list is left out; one that cannot be of DCGM is an error, as in the exporter.
fn unavailable(name: &str) -> Result<String, String> {
    let suggestion = suggested(name).map(|other| format!("; did you mean {other}?")).unwrap_or_default();
    if !name.starts_with("DCGM_FI_") && !name.starts_with("DCGM_EXP_") {
        return Err(format!("could not find DCGM field '{name}'{suggestion}"));
    }
    let only_dcgm = ONLY_DCGM.iter().find(|(pattern, _)| match pattern.strip_suffix('*') {
        Some(prefix) => name.starts_with(prefix),
        None => name == *pattern,
    });
    Ok(match only_dcgm {
        Some((_, why)) => format!("{name} is not collected: {why}"),
        None => {
            format!(
                "{name} is not collected: it is not read through NVML, or DCGM has no such field{suggestion}"
            )
        }
    })
}

/// The name that is most like an unknown one, if any is much like it.
fn suggested(name: &str) -> Option<&'static str> {
    let distances = FIELDS.iter().map(|info| (distance(name, info.name), info.name));
    distances.min().filter(|(distance, _)| *distance <= SUGGESTION_DISTANCE_MAX).map(|(_, name)| name)
}

/// How many letters are to be inserted, removed or replaced to get from one to the other.
fn distance(a: &str, b: &str) -> usize {
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, of_a) in a.bytes().enumerate() {
        let mut diagonal = std::mem::replace(&mut row[0], i + 1);
        for (j, of_b) in b.bytes().enumerate() {
            let replaced = diagonal + usize::from(of_a != of_b);
            diagonal = row[j + 1];
            row[j + 1] = replaced.min(diagonal + 1).min(row[j] + 1);
        }
    }
    row[b.len()]
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
        counters.families().map(|counter| counter.name).collect()
    }

    fn refused(text: &str) -> String {
        Counters::parse(text).expect_err("the text is refused").to_string()
    }

    fn labels(counters: &Counters) -> Vec<&str> {
        counters.labels().map(|counter| counter.name).collect()
    }

    fn notes(counters: &Counters) -> Vec<String> {
        counters.notes().iter().map(Note::to_string).collect()
    }

    #[test]
    fn the_defaults_are_the_exporters() {
        let counters = Counters::default();
        let dcgm = names(&counters).into_iter().filter(|name| name.starts_with("DCGM_")).count();
        assert_eq!(dcgm, 25, "fields of default-counters.csv that are no labels");
        assert_eq!(labels(&counters), ["DCGM_FI_DRIVER_VERSION"]);
        assert!(counters.notes().is_empty());
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
            "DCGM_EXP_XID_ERRORS_COUNT, counter, reported XIDs during last window\n",
        ))
        .expect("the file is fine");
        assert_eq!(
            names(&counters),
            ["DCGM_FI_DEV_SM_CLOCK", "DCGM_FI_DEV_GPU_TEMP", "DCGM_FI_DEV_DEC_UTIL"]
        );
        let clock = counters.families().next().expect("three are there");
        assert_eq!((clock.metric_type.as_str(), clock.help.as_str()), ("counter", "one, two \"three\""));
        assert_eq!(labels(&counters), ["DCGM_FI_DEV_SERIAL"]);
        assert_eq!(counters.derived()[0].derived, Derived::XidErrors);
        assert!(counters.fields().has(Field::XidErrors) && counters.notes().is_empty());
    }

    #[test]
    fn other_names_of_a_field_are_shown_as_the_file_has_them() {
        let counters = Counters::parse(concat!(
            "DCGM_FI_DEV_GPU_UTIL_RATIO, gauge, a\n",
            "dcgm_gpu_temp, gauge, b\n",
            "DCGM_FI_DEV_GPU_TEMP_CELSIUS, gauge, the same as before\n",
        ))
        .expect("the file is fine");
        assert_eq!(names(&counters), ["dcgm_gpu_temp", "DCGM_FI_DEV_GPU_UTIL_RATIO"]);
    }

    /// As a guide has it that is copied from one cluster to the next.
    #[test]
    fn columns_taken_for_intervals_are_read_as_meant() {
        let counters = Counters::parse_file(
            "DCGM_FI_DEV_SM_CLOCK,1000,0\nDCGM_FI_DEV_GPU_CLOCK,0,1000\nDCGM_FI_DEV_MEMORY_CLOCK,0,1000\n",
            Path::new("default_counters.csv"),
        )
        .expect("the file is clear");
        assert_eq!(names(&counters), ["DCGM_FI_DEV_SM_CLOCK", "DCGM_FI_DEV_MEM_CLOCK"]);
        let clock = counters.families().next().expect("two are there");
        assert_eq!(
            (clock.metric_type.as_str(), clock.help.as_str()),
            ("gauge", "SM clock frequency (in MHz).")
        );
        let meant = "(columns are field, type and help; an interval is an option of the program)";
        assert_eq!(
            notes(&counters),
            [
                format!(
                    "default_counters.csv:1: '1000' is no metric type; the line is read as \
                     'DCGM_FI_DEV_SM_CLOCK, gauge, SM clock frequency (in MHz).' {meant}"
                ),
                format!(
                    "default_counters.csv:2: DCGM has no field DCGM_FI_DEV_GPU_CLOCK; the line is read as \
                     'DCGM_FI_DEV_SM_CLOCK, gauge, SM clock frequency (in MHz).' {meant}"
                ),
                format!(
                    "default_counters.csv:3: DCGM has no field DCGM_FI_DEV_MEMORY_CLOCK; the line is read as \
                     'DCGM_FI_DEV_MEM_CLOCK, gauge, Memory clock frequency (in MHz).' {meant}"
                ),
            ]
        );
    }

    #[test]
    fn what_is_left_out_is_said() {
        let counters = Counters::parse(concat!(
            "DCGM_EXP_GPU_HEALTH_STATUS, gauge, x\n",
            "DCGM_FI_DEV_DIAG_MEMORY_RESULT, gauge, x\n",
            "DCGM_FI_DEV_GPU_TMP, gauge, x\n",
            "DCGM_FI_DEV_SERIAL, gauge, x\n",
        ))
        .expect("the file is fine");
        assert_eq!(
            notes(&counters),
            [
                ":1: DCGM_EXP_GPU_HEALTH_STATUS is not collected: DCGM's health watches have their own rules",
                ":2: DCGM_FI_DEV_DIAG_MEMORY_RESULT is not collected: results of DCGM's diagnostics",
                ":3: DCGM_FI_DEV_GPU_TMP is not collected: it is not read through NVML, or DCGM has no such field; \
                 did you mean DCGM_FI_DEV_GPU_TEMP?",
                ":4: DCGM_FI_DEV_SERIAL is not shown: it is a text, and can only be a label",
            ]
        );
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
            refused("dcgm_gpu_tem, gauge, x"),
            ":1: could not find DCGM field 'dcgm_gpu_tem'",
            "names of old exporters are not suggested"
        );
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
