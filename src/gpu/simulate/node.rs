//! One simulated machine, read as a driver is.

use std::sync::Mutex;
use std::thread;
use std::time::{Duration, Instant};

use super::super::fields::FieldSet;
use super::super::reading::GpuReading;
use super::super::source::{Device, Source, SourceError, XidEvent, XidEvents};
use super::super::workload::{Grant, Workload, Workloads};
use super::gpu::Gpu;
use super::pace::Pace;
use super::tenants::{IdForm, Tenant, tenants};
use super::{values, xids};
use crate::clock::Clock;
use crate::lock::lock;

/// Longest pause before the clock is looked at again.
const PAUSE: Duration = Duration::from_millis(20);

/// A machine of a simulation: its GPUs, and who uses them.
pub struct SimulatedNode {
    gpus: Vec<Gpu>,
    pace: Pace,
    clock: Clock,
    /// Until when XIDs were told, in microseconds; none before anyone listens.
    told_us: Mutex<Option<i64>>,
    is_quick: bool,
    ids: IdForm,
}

impl SimulatedNode {
    /// `clock`: what tells when XIDs have come. `is_quick`: whether it is read without threads.
    pub(super) fn new(gpus: Vec<Gpu>, pace: Pace, clock: Clock, is_quick: bool, ids: IdForm) -> Self {
        Self { gpus, pace, clock, told_us: Mutex::new(None), is_quick, ids }
    }

    /// Who uses its GPUs now.
    fn tenants(&self) -> impl Iterator<Item = Tenant> {
        let at = self.pace.seconds(self.clock.now_us());
        self.gpus.iter().flat_map(move |gpu| tenants(gpu, self.ids, at))
    }
}

impl Source for SimulatedNode {
    fn description(&self) -> String {
        "a simulation".to_owned()
    }

    fn device_count(&self) -> Result<u32, SourceError> {
        Ok(u32::try_from(self.gpus.len()).expect("a machine has few GPUs"))
    }

    fn device(&self, index: u32) -> Result<Box<dyn Device + '_>, SourceError> {
        let gpu = self.gpus.get(index as usize);
        let gpu = gpu.ok_or_else(|| SourceError::Device(format!("there is no GPU {index}")))?;
        Ok(Box::new(SimulatedDevice { gpu, pace: self.pace }))
    }

    fn is_quick(&self) -> bool {
        self.is_quick
    }

    fn xid_events(&self) -> Result<Box<dyn XidEvents + '_>, SourceError> {
        lock(&self.told_us).get_or_insert(self.clock.now_us());
        let watched = self.gpus.iter().map(|gpu| gpu.identity.index).collect();
        Ok(Box::new(SimulatedXids { node: self, watched, found: Vec::new() }))
    }
}

impl Workloads for SimulatedNode {
    fn grants(&self) -> Vec<Grant> {
        self.tenants().filter_map(Tenant::grant).collect()
    }

    fn of_process(&self, pid: u32) -> Option<Workload> {
        self.tenants().find(|tenant| tenant.process.pid == pid).map(|tenant| tenant.workload)
    }
}

struct SimulatedDevice<'a> {
    gpu: &'a Gpu,
    pace: Pace,
}

impl Device for SimulatedDevice<'_> {
    fn read(&mut self, now_us: i64, wanted: FieldSet) -> Result<GpuReading, SourceError> {
        let second = now_us.div_euclid(1_000_000).cast_unsigned();
        values::read(self.gpu, self.pace.seconds(now_us), self.pace.speed(), second, wanted)
    }
}

struct SimulatedXids<'a> {
    node: &'a SimulatedNode,
    watched: Vec<u32>,
    /// Those that have come and are not told yet, the first last.
    found: Vec<XidEvent>,
}

impl XidEvents for SimulatedXids<'_> {
    fn watched(&self) -> &[u32] {
        &self.watched
    }

    fn next(&mut self, timeout: Duration) -> Result<Option<XidEvent>, SourceError> {
        let until = Instant::now() + timeout;
        loop {
            if self.found.is_empty() {
                self.look();
            }
            let left = until.saturating_duration_since(Instant::now());
            if let Some(event) = self.found.pop() {
                return Ok(Some(event));
            }
            if left.is_zero() {
                return Ok(None);
            }
            thread::sleep(left.min(PAUSE));
        }
    }
}

impl SimulatedXids<'_> {
    /// Finds what came since it was looked last.
    fn look(&mut self) {
        let now_us = self.node.clock.now_us();
        let mut told_us = lock(&self.node.told_us);
        let Some(before_us) = told_us.replace(now_us).filter(|before_us| *before_us < now_us) else { return };
        let (from, until) = (self.node.pace.seconds(before_us), self.node.pace.seconds(now_us));
        let mut found = Vec::new();
        for gpu in &self.node.gpus {
            let of_gpu = xids::xids(gpu, from, until);
            found.extend(
                of_gpu.into_iter().map(|(at, xid)| (at, XidEvent { index: gpu.identity.index, xid })),
            );
        }
        found.sort_by(|a, b| b.0.total_cmp(&a.0));
        self.found = found.into_iter().map(|(_, event)| event).collect();
    }
}
