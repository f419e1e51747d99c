//! The fields: one list with name, type, help, where NVML has the value, and how it is converted.
//!
//! Names, types, help texts and numbers are those of DCGM and of the DCGM exporter's `default-counters.csv`, so that
//! dashboards and rules go on as they are. The exporter writes families in the order of the numbers; so does the list.
//!
//! What only DCGM can tell, and is not here, is in [`ONLY_DCGM`].

mod list;
mod renamed;
mod table;

pub use list::{FIELDS, Field};
pub use renamed::renamed;
pub use table::{TableFormat, table};

/// Names of DCGM that NVML has nothing for, each with the reason; a `*` stands for any ending.
pub const ONLY_DCGM: &[(&str, &str)] = &[
    ("DCGM_FI_PROF_* before Hopper", "DCGM's profiling module reads them; it is not open, and not NVML"),
    ("DCGM_EXP_GPU_HEALTH_STATUS", "DCGM's health watches have their own rules"),
    ("DCGM_FI_DEV_DIAG_*", "results of DCGM's diagnostics"),
    ("DCGM_FI_DEV_NVSWITCH_*", "NVSwitches are read through their own library"),
    ("DCGM_FI_DEV_CPU_*", "processors are not read through NVML"),
    ("DCGM_FI_DEV_PCIE_TX_THROUGHPUT", "not told by DCGM either; DCGM_FI_PROF_PCIE_TX_BYTES is"),
    ("DCGM_FI_DEV_PCIE_RX_THROUGHPUT", "not told by DCGM either; DCGM_FI_PROF_PCIE_RX_BYTES is"),
];

/// Where NVML has a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Origin {
    /// A call of its own.
    Call(&'static str),
    /// `nvmlDeviceGetFieldValues` with this id.
    FieldValue(u32),
    /// `nvmlGpmMetricsGet` with this metric, between two samples of the GPU (Hopper and later).
    Gpm(u32),
    /// `nvmlEventSetWait` with XID events.
    Event,
}

/// How a value is turned into the field's unit, and how it is printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unit {
    /// An integer as NVML has it.
    Same,
    /// Milliwatts to watts, a float.
    MilliwattsToWatts,
    /// Bytes to whole MiB.
    BytesToMebibytes,
    /// KiB to bytes.
    KibibytesToBytes,
    /// Growth of a count of KiB, per second, by 1,000: what DCGM calls a total is a rate in MB/s.
    KibibytesToRate,
    /// Percent to a ratio of 0 to 1, a float.
    PercentToRatio,
    /// Part of a whole, 0 to 1, a float.
    Ratio,
    /// MiB per second to bytes per second.
    MebibytesToBytes,
    /// A text that becomes a label of all other series.
    Text,
}

/// Generations of GPUs that have a field, as far as NVIDIA's documents tell; a GPU that lacks it leaves it out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Generations {
    /// All that NVML serves in full.
    All,
    /// Volta and later.
    Volta,
    /// Ampere and later with HBM, or with ECC on.
    Ampere,
    /// Those with NVLink: Pascal and later, data-centre parts.
    NvLink,
    /// Ada and later.
    Ada,
    /// Hopper and later.
    Hopper,
}

/// One field of the list.
#[derive(Clone, Copy, Debug)]
pub struct FieldInfo {
    /// Which.
    pub field: Field,
    /// DCGM's number; ours begin at 60,000.
    pub id: u16,
    /// Name of the metric family.
    pub name: &'static str,
    /// Type as counters files have it: `gauge`, `counter` or `label`.
    pub metric_type: &'static str,
    /// The family's help text.
    pub help: &'static str,
    /// Where the value comes from.
    pub origin: Origin,
    /// What happens to it.
    pub unit: Unit,
    /// Who has it.
    pub generations: Generations,
    /// Whether it is collected where no counters file says otherwise.
    pub is_default: bool,
}

/// How many fields there are.
pub const FIELD_COUNT: usize = FIELDS.len();

const _: () = assert!(FIELD_COUNT <= 128, "a set of fields fits into a word");

impl Field {
    /// What the list says of it.
    pub fn info(self) -> &'static FieldInfo {
        &FIELDS[self as usize]
    }

    /// The field of a name, and the name itself as the list has it: the field's own, that of DCGM 4.6 and later, or one
    /// from before.
    pub fn by_name(name: &str) -> Option<(Self, &'static str)> {
        let own = FIELDS.iter().find(|info| info.name == name).map(|info| (info.field, info.name));
        own.or_else(|| renamed::by_name(name))
    }
}

/// Some of the fields.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct FieldSet(u128);

impl FieldSet {
    /// Whether a field is among them.
    pub fn has(self, field: Field) -> bool {
        self.0 & (1 << (field as u8)) != 0
    }

    /// The fields of both.
    #[must_use]
    pub fn union(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// What the list says of them, in its order.
    pub fn infos(self) -> impl Iterator<Item = &'static FieldInfo> {
        FIELDS.iter().filter(move |info| self.has(info.field))
    }
}

impl FromIterator<Field> for FieldSet {
    fn from_iter<T: IntoIterator<Item = Field>>(fields: T) -> Self {
        Self(fields.into_iter().fold(0, |set, field| set | 1 << (field as u8)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_list_is_in_the_order_of_its_numbers() {
        assert!(FIELDS.is_sorted_by(|a, b| a.id < b.id));
        assert!(FIELDS.iter().enumerate().all(|(place, info)| info.field as usize == place));
        assert!(FIELDS.iter().all(|info| Field::by_name(info.name) == Some((info.field, info.name))));
    }

    #[test]
    fn sets_hold_what_they_are_given() {
        let set: FieldSet = [Field::SmClock, Field::NvLinkReceive].into_iter().collect();
        assert!(set.has(Field::SmClock) && set.has(Field::NvLinkReceive) && !set.has(Field::MemClock));
        assert_eq!(set.infos().map(|info| info.id).collect::<Vec<_>>(), [100, 60_001]);
    }

    #[test]
    fn ratios_and_watts_are_floats_and_the_rest_whole() {
        for info in FIELDS {
            let is_text = info.unit == Unit::Text;
            assert_eq!(info.metric_type == "label", is_text, "{}", info.name);
            if info.name.ends_with("_PERCENT") {
                assert_eq!(info.unit, Unit::Ratio, "{}", info.name);
            }
            if info.name.ends_with("_ACTIVE") || info.name.ends_with("_OCCUPANCY") {
                assert_eq!(info.unit, Unit::PercentToRatio, "{}", info.name);
            }
        }
    }
}
