//! What runs on a GPU or a slice of one, as curves and as what it asks of the GPU's parts.

use super::chance::Chance;
use super::signal::{Signal, Wave};

/// Seconds of a day.
const DAY: f64 = 86_400.0;
/// When a day's load is highest, behind the beginning of the simulation's time: 14:00 UTC.
const PEAK: f64 = 16.0 * 3_600.0;

/// Kinds of workload.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Kind {
    /// A model that answers requests: a curve over the day, and noise.
    Serving,
    /// A language model that answers requests, and takes nearly all memory for its cache.
    Chat,
    /// Training: busy, but for checkpoints and the ends of epochs.
    Training,
    /// Several pods that take turns.
    Shared,
    /// Batches that come every quarter of an hour.
    Batch,
    /// Granted to nobody.
    Idle,
}

/// What a kind asks of a GPU while it is busy; shares of what there is.
#[derive(Clone, Copy, Debug)]
pub(super) struct Habit {
    /// Memory at rest, and what comes to it under load.
    pub(super) memory: (f64, f64),
    /// Power above that of an idle GPU.
    pub(super) power: f64,
    pub(super) tensor: f64,
    pub(super) dram: f64,
    pub(super) occupancy: f64,
    pub(super) nvlink: f64,
    pub(super) pcie: f64,
}

impl Kind {
    pub(super) const fn habit(self) -> Habit {
        match self {
            Self::Serving => habit((0.42, 0.16), 0.62, [0.28, 0.34, 0.24, 0.02, 0.18]),
            Self::Chat => habit((0.985, 0.0), 0.75, [0.36, 0.62, 0.30, 0.12, 0.10]),
            Self::Training => habit((0.83, 0.06), 0.93, [0.52, 0.47, 0.34, 0.85, 0.30]),
            Self::Shared => habit((0.30, 0.25), 0.50, [0.12, 0.22, 0.18, 0.0, 0.08]),
            Self::Batch => habit((0.25, 0.30), 0.70, [0.33, 0.40, 0.27, 0.0, 0.35]),
            Self::Idle => habit((0.0, 0.0), 0.30, [0.0, 0.02, 0.05, 0.0, 0.01]),
        }
    }

    /// How busy it keeps what it has been given, between 0 and 1. Moments are moved by chance, so that no two are alike.
    pub(super) fn busy(self, chance: Chance) -> Signal {
        match self {
            Self::Serving => Signal::new(0.56, day(0.22, chance)).plus(&noise(0.12, chance), 1.0),
            Self::Chat => Signal::new(0.70, day(0.15, chance)).plus(&noise(0.10, chance), 1.0),
            Self::Shared => Signal::new(0.35, day(0.12, chance)).plus(&noise(0.18, chance), 1.0),
            Self::Training => {
                let checkpoint = pulse(-0.30, 300.0, 8.0, chance.named("checkpoint"));
                let epoch = pulse(-0.25, 1_200.0, 20.0, chance.named("epoch"));
                Signal::new(0.97, [checkpoint, epoch]).plus(&noise(0.02, chance), 1.0)
            }
            Self::Batch => {
                let batch = pulse(0.80, 900.0, chance.named("batch len").between(450.0, 600.0), chance);
                Signal::new(0.05, [batch]).plus(&noise(0.04, chance), 1.0)
            }
            Self::Idle => Signal::new(0.0, [pulse(0.12, 2_700.0, 15.0, chance)]),
        }
    }
}

/// `parts`: tensor cores, memory interface, occupancy, NVLink, PCIe.
const fn habit(memory: (f64, f64), power: f64, parts: [f64; 5]) -> Habit {
    let [tensor, dram, occupancy, nvlink, pcie] = parts;
    Habit { memory, power, tensor, dram, occupancy, nvlink, pcie }
}

fn day(amplitude: f64, chance: Chance) -> [Wave; 1] {
    let peak = PEAK + chance.named("peak").between(-3_600.0, 3_600.0);
    [Wave::Sine { amplitude, period: DAY, peak }]
}

fn pulse(amplitude: f64, period: f64, len: f64, chance: Chance) -> Wave {
    Wave::Pulse { amplitude, period, start: chance.named("start").between(0.0, period), len }
}

/// Sines whose periods have nothing to do with each other, of at most `reach` together.
fn noise(reach: f64, chance: Chance) -> Signal {
    let wave = |place: u64, share: f64, shortest: f64| {
        let chance = chance.named("noise").of(place);
        let period = chance.of(0).between(shortest, shortest * 2.0);
        Wave::Sine { amplitude: reach * share, period, peak: chance.of(1).between(0.0, period) }
    };
    Signal::new(0.0, [wave(0, 0.4, 31.0), wave(1, 0.35, 170.0), wave(2, 0.25, 1_100.0)])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_busier_than_busy_nor_idler_than_idle() {
        use Kind::{Batch, Chat, Idle, Serving, Shared, Training};
        for kind in [Serving, Chat, Training, Shared, Batch, Idle] {
            for seed in 0..20 {
                let busy = kind.busy(Chance::new(seed));
                assert!(busy.lowest() >= 0.0, "{kind:?}: {}", busy.lowest());
                for moment in 0..5_000 {
                    let value = busy.value(f64::from(moment) * 37.0);
                    assert!((0.0..=1.0).contains(&value), "{kind:?} at {moment}: {value}");
                }
            }
        }
    }

    #[test]
    fn memory_has_room_for_all_of_a_kind() {
        use Kind::{Batch, Chat, Idle, Serving, Shared, Training};
        for kind in [Serving, Chat, Training, Shared, Batch, Idle] {
            let (rest, load) = kind.habit().memory;
            assert!(rest >= 0.0 && rest + load < 1.0, "{kind:?}");
        }
    }
}
