//! GPU performance monitoring of Hopper and later: ratios between two samples of the GPU's counters.

use nvml_wrapper::enums::gpm::GpmMetricId;
use nvml_wrapper::error::NvmlError;
use nvml_wrapper::gpm::gpm_metrics_get;
use nvml_wrapper::{Device, GpmSample, Nvml};

use super::super::fields::{Field, FieldInfo, FieldSet, Origin, Unit};
use super::super::reading::{Reading, Value};

/// Shortest window that is measured; NVIDIA's own tools use a second. A reading that comes sooner gets the values of
/// the one before.
const WINDOW_US_MIN: i64 = 1_000_000;
/// Longest window: after a pause an average over it says nothing of now, and measuring begins anew.
const WINDOW_US_MAX: i64 = 600_000_000;

/// What a sample is taken of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Scope {
    Gpu,
    Instance(u32),
}

/// The window of one GPU or instance.
pub(super) struct GpmWindow<'nvml> {
    pub(super) scope: Scope,
    before: Option<(i64, GpmSample<'nvml>)>,
    values: Vec<(Field, Value)>,
}

impl<'nvml> GpmWindow<'nvml> {
    pub(super) fn new(scope: Scope) -> Self {
        Self { scope, before: None, values: Vec::new() }
    }

    /// Closes the window and begins the next one, and sets what was measured.
    pub(super) fn read(
        &mut self,
        nvml: &'nvml Nvml,
        device: &Device<'nvml>,
        now_us: i64,
        wanted: FieldSet,
        reading: &mut Reading,
    ) -> Result<(), NvmlError> {
        let elapsed_us = self.before.as_ref().map(|(then_us, _)| now_us.saturating_sub(*then_us));
        if !elapsed_us.is_some_and(|elapsed| (0..WINDOW_US_MIN).contains(&elapsed)) {
            let sample = match self.scope {
                Scope::Gpu => device.gpm_sample()?,
                Scope::Instance(id) => device.gpm_mig_sample(id)?,
            };
            let is_window = elapsed_us.is_some_and(|us| (WINDOW_US_MIN..=WINDOW_US_MAX).contains(&us));
            self.values = match self.before.replace((now_us, sample)).filter(|_| is_window) {
                Some((_, before)) => self.measure(nvml, &before, wanted)?,
                None => Vec::new(),
            };
        }
        for (field, value) in &self.values {
            reading.set(*field, Some(*value));
        }
        Ok(())
    }

    fn measure(
        &self,
        nvml: &'nvml Nvml,
        before: &GpmSample<'nvml>,
        wanted: FieldSet,
    ) -> Result<Vec<(Field, Value)>, NvmlError> {
        let (infos, ids): (Vec<&FieldInfo>, Vec<GpmMetricId>) =
            wanted.infos().filter_map(with_metric).unzip();
        let Some((_, now)) = &self.before else { return Ok(Vec::new()) };
        if ids.is_empty() {
            return Ok(Vec::new());
        }
        let results = gpm_metrics_get(nvml, before, now, &ids)?;
        let values = infos.iter().zip(results).filter_map(|(info, result)| {
            let value = result.ok()?.value;
            Some((info.field, converted(info.unit, value)?))
        });
        Ok(values.collect())
    }
}

/// Whether any of them is measured this way.
pub(super) fn wants_gpm(wanted: FieldSet) -> bool {
    wanted.infos().any(|info| matches!(info.origin, Origin::Gpm(_)))
}

fn with_metric(info: &'static FieldInfo) -> Option<(&'static FieldInfo, GpmMetricId)> {
    let Origin::Gpm(id) = info.origin else { return None };
    Some((info, GpmMetricId::try_from(id).ok()?))
}

fn converted(unit: Unit, value: f64) -> Option<Value> {
    if !value.is_finite() {
        return None;
    }
    Some(match unit {
        Unit::PercentToRatio => Value::Float(value / 100.0),
        // DCGM prints whole bytes per second.
        _ => Value::Int((value * 1024.0 * 1024.0) as i64),
    })
}
