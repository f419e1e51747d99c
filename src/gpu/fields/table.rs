//! The list as a table, for those who read it.

use std::fmt::Write as _;

use serde_json::{Value, json};

use super::{FIELDS, FieldInfo, Generations, ONLY_DCGM, Origin, Unit, renamed};

/// How the table is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TableFormat {
    /// Columns with spaces between.
    Plain,
    /// As the document `fields.md`.
    Markdown,
    /// A list of objects.
    Json,
}

impl std::str::FromStr for TableFormat {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "plain" => Ok(Self::Plain),
            "markdown" => Ok(Self::Markdown),
            "json" => Ok(Self::Json),
            other => Err(format!("{other:?} is not plain, markdown or json")),
        }
    }
}

/// The whole list.
pub fn table(format: TableFormat) -> String {
    match format {
        TableFormat::Plain => plain(),
        TableFormat::Markdown => markdown(),
        TableFormat::Json => format!("{:#}\n", Value::from_iter(FIELDS.iter().map(object))),
    }
}

const COLUMNS: [&str; 7] = ["field", "type", "unit", "default", "NVML", "GPUs", "DCGM 4.6"];

fn cells(info: &FieldInfo) -> [String; 7] {
    let later = renamed(info.field);
    [
        info.name.to_owned(),
        info.metric_type.to_owned(),
        unit(info).to_owned(),
        if info.is_default { "yes" } else { "" }.to_owned(),
        origin(info.origin),
        generations(info.generations).to_owned(),
        if later == info.name { "" } else { later }.to_owned(),
    ]
}

fn object(info: &FieldInfo) -> Value {
    json!({
        "id": info.id,
        "name": info.name,
        "nameOfDcgm46": renamed(info.field),
        "type": info.metric_type,
        "unit": unit(info),
        "help": info.help,
        "nvml": origin(info.origin),
        "gpus": generations(info.generations),
        "isDefault": info.is_default,
    })
}

fn plain() -> String {
    let rows: Vec<_> = std::iter::once(COLUMNS.map(str::to_owned)).chain(FIELDS.iter().map(cells)).collect();
    let width = |column: usize| rows.iter().map(|row| row[column].chars().count()).max().unwrap_or(0);
    let widths: Vec<usize> = (0..COLUMNS.len()).map(width).collect();
    let mut out = String::new();
    for row in &rows {
        let line: String = row.iter().zip(&widths).map(|(cell, width)| format!("{cell:<width$}  ")).collect();
        out.extend([line.trim_end(), "\n"]);
    }
    out.push_str("\nonly DCGM tells:\n");
    for (name, why) in ONLY_DCGM {
        // Writing to a string does not fail.
        let _ = writeln!(out, "{name}: {why}");
    }
    out
}

const INTRODUCTION: &str = "\
# Fields of GPUs

What `perdura serve`, `perdura agent` and `perdura gpu export` can read of NVIDIA GPUs through the driver (NVML), without
DCGM. Printed by `perdura gpu fields --format=markdown`.

Names, types, help texts and order are those of DCGM and its exporter. A counters file (`--gpu.counters-file`) chooses
fields by these names, by those of DCGM 4.6 and later, or by those of exporters before 2.0, and they are shown by the name
that the file has; without a file, those with *default* are read. A field that a GPU or its driver does not have is left
out. *GPUs*: generations that have it, as far as NVIDIA's documents tell.

In MIG mode a GPU has a row for each GPU instance: memory and `DCGM_FI_PROF_*` are the instance's own, all else is
the GPU's, shown with each. NVML has no `DCGM_FI_DEV_GPU_UTIL` and its like in MIG mode.
";

const BEHIND: &str = "
`DCGM_FI_PROF_PCIE_TX_BYTES` and `_RX_BYTES` are read of GPUs without performance monitoring too, where the driver counts
bytes (`nvmlDeviceGetFieldValues`, 197 and 198). `DCGM_FI_DEV_NVLINK_BANDWIDTH_TOTAL` is called a counter and is a rate in
MB/s, as in DCGM; the `perdura_gpu_nvlink_*_bytes_total` beside it are counters.

The exporter's own counts over a window are shown where the counters file names them: `DCGM_EXP_XID_ERRORS_COUNT` with
`xid`, and `DCGM_EXP_CLOCK_EVENTS_COUNT` with `clock_event`, one for each reading in which that reason lowered the clocks.

## Only DCGM tells

";

fn markdown() -> String {
    let mut out = INTRODUCTION.to_owned();
    // Writing to a string does not fail.
    let _ = writeln!(out, "\n| {} |\n|{}", COLUMNS.join(" | "), "---|".repeat(COLUMNS.len()));
    for info in FIELDS {
        let [name, metric_type, unit, default, origin, gpus, later] = cells(info);
        let later = if later.is_empty() { later } else { format!("`{later}`") };
        let _ =
            writeln!(out, "| `{name}` | {metric_type} | {unit} | {default} | {origin} | {gpus} | {later} |");
    }
    out.push_str(BEHIND);
    for (name, why) in ONLY_DCGM {
        let _ = writeln!(out, "- `{name}`: {why}");
    }
    out
}

/// As the help text says it, or as the conversion makes it.
fn unit(info: &FieldInfo) -> &'static str {
    let said = info.help.split_once("(in ").and_then(|(_, rest)| rest.split_once(')'));
    match (info.unit, said) {
        (_, Some((unit, _))) => unit,
        (Unit::PercentToRatio | Unit::Ratio, _) => "0-1",
        (Unit::MebibytesToBytes, _) => "B/s",
        (Unit::KibibytesToBytes, _) => "B",
        (Unit::KibibytesToRate, _) => "MB/s",
        (Unit::Text, _) => "text",
        (Unit::Same | Unit::MilliwattsToWatts | Unit::BytesToMebibytes, _) => "",
    }
}

fn origin(origin: Origin) -> String {
    match origin {
        Origin::Call(call) => call.to_owned(),
        Origin::FieldValue(id) => format!("nvmlDeviceGetFieldValues {id}"),
        Origin::Gpm(id) => format!("nvmlGpmMetricsGet {id}"),
        Origin::Event => "nvmlEventSetWait".to_owned(),
    }
}

fn generations(generations: Generations) -> &'static str {
    match generations {
        Generations::All => "all",
        Generations::Volta => "Volta and later",
        Generations::Ampere => "Ampere and later",
        Generations::NvLink => "with NVLink",
        Generations::Ada => "Ada and later",
        Generations::Hopper => "Hopper and later",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// After a change of the list: `perdura gpu fields --format=markdown > src/gpu/fields/fields.md`.
    #[test]
    fn the_document_is_the_table() {
        let document = include_str!("fields.md");
        assert!(document == table(TableFormat::Markdown), "fields.md is not what the list says");
    }

    #[test]
    fn every_field_is_in_every_form() {
        let (plain, json) = (table(TableFormat::Plain), table(TableFormat::Json));
        let parsed: Vec<Value> = serde_json::from_str(&json).expect("it is JSON");
        assert_eq!(parsed.len(), FIELDS.len());
        for (info, object) in FIELDS.iter().zip(&parsed) {
            assert_eq!(object["name"], info.name);
            assert!(plain.contains(info.name));
        }
    }

    #[test]
    fn units_are_those_of_the_help_texts() {
        let of = |name: &str| FIELDS.iter().find(|info| info.name == name).map(unit);
        assert_eq!(of("DCGM_FI_DEV_POWER_USAGE"), Some("W"));
        assert_eq!(of("DCGM_FI_PROF_SM_ACTIVE"), Some("0-1"));
        assert_eq!(of("DCGM_FI_DEV_NVLINK_BANDWIDTH_TOTAL"), Some("MB/s"));
    }
}
