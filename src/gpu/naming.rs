//! How series are named: which sets of names, and which labels tell GPUs and machines apart.

use std::str::FromStr;

use super::families::Pairs;
use super::fields::FieldInfo;
use super::reading::{DeviceIdentity, MigInstance, Reading, Value};

/// What names and labels say beyond the GPU itself.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Naming {
    /// The machine; no label without it.
    pub hostname: Option<String>,
    /// Whether the label is `hostname`, as of the exporter's versions after 4.5.3-4.8.2, and not `Hostname`.
    pub is_hostname_lower: bool,
    /// Sets of names that are shown.
    pub names: Names,
}

/// Sets of names. Several may be shown side by side, so that dashboards and rules can move from one to another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Names {
    /// The DCGM exporter's, of the fields that the counters say.
    pub is_dcgm: bool,
    /// The plain ones of [`super::plain`].
    pub is_plain: bool,
}

impl Default for Names {
    fn default() -> Self {
        Self { is_dcgm: true, is_plain: false }
    }
}

impl FromStr for Names {
    type Err = String;

    /// From a list such as `dcgm,plain`.
    fn from_str(text: &str) -> Result<Self, String> {
        let mut names = Self { is_dcgm: false, is_plain: false };
        for name in text.split(',').map(str::trim) {
            match name {
                "dcgm" => names.is_dcgm = true,
                "plain" => names.is_plain = true,
                other => return Err(format!("{other:?} is not dcgm or plain")),
            }
        }
        Ok(names)
    }
}

impl Naming {
    /// The labels that all series of a GPU or an instance have under DCGM's names, in the exporter's order.
    pub(super) fn base(
        &self,
        identity: &DeviceIdentity,
        instance: Option<&MigInstance>,
        reading: Option<&Reading>,
        labels: &[&'static FieldInfo],
    ) -> Pairs {
        let mut pairs = vec![
            ("gpu", identity.index.to_string()),
            ("UUID", identity.uuid.clone()),
            ("pci_bus_id", identity.pci_bus_id.clone()),
            ("device", identity.device_name()),
            ("modelName", identity.model_name.clone()),
        ];
        push_instance(&mut pairs, instance);
        if let Some(hostname) = &self.hostname {
            pairs.push((if self.is_hostname_lower { "hostname" } else { "Hostname" }, hostname.clone()));
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
        assert_eq!(names("plain, dcgm"), Ok(Names { is_dcgm: true, is_plain: true }));
        assert_eq!(names("plain"), Ok(Names { is_dcgm: false, is_plain: true }));
        assert!(names("").is_err() && names("dcgm,nvml").is_err());
    }
}
