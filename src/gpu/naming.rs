//! How series are named: which sets of names, and which labels tell GPUs and machines apart.

use std::str::FromStr;

use super::counters::{Counter, Counters};
use super::families::Pairs;
use super::fields::{FieldInfo, renamed};
use super::reading::{DeviceIdentity, MigInstance, Reading, Value};
use super::windows::WindowLengths;

/// What names and labels say beyond the GPU itself.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Naming {
    /// The machine; no label without it.
    pub hostname: Option<String>,
    /// Whether the label is `hostname`, as of the exporter's versions after 4.5.3-4.8.2, and not `Hostname`.
    pub is_hostname_lower: bool,
    /// Whether labels have the names of exporters before 2.0: `uuid`, and `pod_name` and such.
    pub is_old_namespace: bool,
    /// Sets of names that are shown.
    pub names: Names,
    /// Over what the exporter's own counts go.
    pub windows: WindowLengths,
    /// Whether the counts of well-known XIDs are there from the beginning, at 0: of a page, `increase()` sees the first
    /// XID only so. Storage needs it not, since the 0 is written when the XID comes.
    pub has_xids_at_zero: bool,
}

/// Sets of names. Several may be shown side by side, so that dashboards and rules can move from one to another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Names {
    /// The DCGM exporter's, of the fields that the counters say, as they say them.
    pub is_dcgm: bool,
    /// Those of DCGM 4.6 and later, of the same fields.
    pub is_renamed: bool,
    /// The plain ones, such as `gpu_utilization_percent`.
    pub is_plain: bool,
}

impl Default for Names {
    fn default() -> Self {
        Self { is_dcgm: true, is_renamed: false, is_plain: false }
    }
}

impl FromStr for Names {
    type Err = String;

    /// From a list such as `dcgm,plain`.
    fn from_str(text: &str) -> Result<Self, String> {
        let mut names = Self { is_dcgm: false, is_renamed: false, is_plain: false };
        for name in text.split(',').map(str::trim) {
            match name {
                "dcgm" => names.is_dcgm = true,
                "dcgm-4.6" => names.is_renamed = true,
                "plain" => names.is_plain = true,
                other => return Err(format!("{other:?} is not dcgm, dcgm-4.6 or plain")),
            }
        }
        Ok(names)
    }
}

/// A field whose value is a label.
#[derive(Clone, Copy, Debug)]
pub(super) struct LabelField {
    name: &'static str,
    info: &'static FieldInfo,
}

impl Naming {
    /// The labels that `counters` ask for, in the exporter's order.
    pub(super) fn label_fields(&self, counters: &Counters) -> Vec<LabelField> {
        let is_renamed = self.names.is_renamed && !self.names.is_dcgm;
        let name = |counter: &Counter| if is_renamed { renamed(counter.info.field) } else { counter.name };
        let fields = counters.labels().map(|counter| LabelField { name: name(counter), info: counter.info });
        let mut fields: Vec<_> = fields.collect();
        fields.sort_by_key(|field| field.name);
        fields
    }

    /// The labels that all series of a GPU or an instance have under DCGM's names, in the exporter's order.
    pub(super) fn base(
        &self,
        identity: &DeviceIdentity,
        instance: Option<&MigInstance>,
        reading: Option<&Reading>,
        labels: &[LabelField],
    ) -> Pairs {
        let mut pairs = vec![
            ("gpu", identity.index.to_string()),
            (if self.is_old_namespace { "uuid" } else { "UUID" }, identity.uuid.clone()),
            ("pci_bus_id", identity.pci_bus_id.clone()),
            ("device", identity.device_name()),
            ("modelName", identity.model_name.clone()),
        ];
        push_instance(&mut pairs, instance);
        pairs.extend(self.machine());
        for LabelField { name, info } in labels {
            let text = identity.texts.get(info.name).cloned();
            let number = || reading.and_then(|reading| reading.get(info.field)).map(printed);
            if let Some(text) = text.or_else(number) {
                pairs.push((*name, text));
            }
        }
        pairs
    }
}

impl Naming {
    /// The label of the machine.
    pub(super) fn machine(&self) -> Pairs {
        let name = if self.is_hostname_lower { "hostname" } else { "Hostname" };
        self.hostname.iter().map(|hostname| (name, hostname.clone())).collect()
    }
}

/// The labels that the exporter tells an instance by.
pub(super) fn push_instance(pairs: &mut Pairs, instance: Option<&MigInstance>) {
    if let Some(instance) = instance {
        pairs.push(("GPU_I_PROFILE", instance.profile.clone()));
        pairs.push(("GPU_I_ID", instance.gpu_instance_id.to_string()));
    }
}

fn printed(value: Value) -> String {
    match value {
        Value::Int(value) => value.to_string(),
        Value::Float(value) => format!("{value:.6}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_of_names_are_read() {
        let names = |text: &str| text.parse::<Names>();
        assert_eq!(names("dcgm"), Ok(Names::default()));
        assert_eq!(names("plain, dcgm"), Ok(Names { is_plain: true, ..Names::default() }));
        assert_eq!(names("plain"), Ok(Names { is_dcgm: false, is_renamed: false, is_plain: true }));
        assert_eq!(names("dcgm,dcgm-4.6"), Ok(Names { is_renamed: true, ..Names::default() }));
        assert!(names("").is_err() && names("dcgm,nvml").is_err());
    }
}
