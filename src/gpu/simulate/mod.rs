//! A simulated fleet: machines with GPUs that behave as GPUs do, for demonstrations, tests and benches.
//!
//! It stands where the driver stands, behind [`Source`](super::Source), so that all that comes after is what runs over a driver.
//! All that a GPU says is a function of the seed and of the time that it is asked for: nothing is remembered from one
//! reading to the next, readings may come at any interval and in any order, and two programs with the same seed see the
//! same. Curves of load ([`load`]) have integrals and lagged values that are known without adding up ([`signal`]):
//! energy is the integral of power, temperature follows power slowly, and a reading costs microseconds.
//!
//! Each machine starts anew every 30 days, and what its driver counts begins anew. One GPU of a fleet of four or more
//! is sick ([`sickness`]).

mod chance;
mod gpu;
mod load;
mod node;
mod pace;
mod product;
mod settings;
mod sickness;
mod signal;
mod tenants;
mod values;
mod xids;

use std::sync::Arc;

use crate::clock::Clock;
use chance::Chance;
use gpu::Gpu;
use pace::Pace;
use tenants::IdForm;

pub use node::SimulatedNode;
pub use product::Model;
pub use settings::Simulation;

/// Least GPUs of a fleet of which one is sick.
const SICK_FROM: u32 = 4;
/// Which one, counted through all machines.
const SICK_PLACE: u32 = 3;

/// Most GPUs of a fleet that have a thread each, as GPUs behind a driver do.
const WITH_THREADS_MAX: u32 = 256;

impl Simulation {
    /// Name of a machine, counted from zero: `gpu-node-1` is the first.
    pub fn node_name(&self, node: u32) -> String {
        format!("gpu-node-{}", node + 1)
    }

    /// A machine, counted from zero. `clock`: what tells when XIDs have come, and who uses its GPUs; readings are given
    /// their time.
    pub fn node(&self, node: u32, clock: Clock) -> Arc<SimulatedNode> {
        let machine = Chance::new(self.seed).of(u64::from(node));
        let model = self.models[node as usize % self.models.len()];
        let count = self.gpu_count();
        let has_sick = count >= SICK_FROM;
        let gpu = |index: u32| {
            let is_sick = has_sick && node * self.gpus + index == SICK_PLACE;
            Gpu::new(model, machine, index, is_sick)
        };
        let gpus = (0..self.gpus).map(gpu).collect();
        // Machines of two makers stand side by side, so that both forms of ids are seen.
        let ids = if node % 4 == 3 { IdForm::DeviceFile } else { IdForm::Uuid };
        Arc::new(SimulatedNode::new(gpus, Pace::new(self.speed), clock, count > WITH_THREADS_MAX, ids))
    }
}

#[cfg(test)]
mod tests;
