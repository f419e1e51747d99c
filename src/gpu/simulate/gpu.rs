//! One simulated GPU: who it is, what runs on it, and its curves of load, power and temperature.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::super::fields::Field;
use super::super::reading::DeviceIdentity;
use super::chance::Chance;
use super::load::Kind;
use super::product::{Model, Product, Slice};
use super::sickness::{COOLING_FAILS, Chapter, FALLS, STORY, THROTTLED_FROM};
use super::signal::{Signal, Wave};

/// How often a machine starts anew, in seconds.
const RESTART_EVERY: f64 = 30.0 * 86_400.0;
/// Time constant of a GPU's temperature, in seconds.
const THERMAL_TAU: f64 = 40.0;
/// Most of the power limit that load alone draws, so that the sensor's noise stays below the limit.
const POWER_MAX: f64 = 0.98;
/// How far above the slowdown temperature the sick GPU stands while its clocks are lowered, in degrees.
const SICK_ABOVE_SLOWDOWN: f64 = 5.0;
/// Most of the power above idle that lowered clocks save.
const SAVED_MAX: f64 = 0.35;
/// Kinds of the GPUs of a machine, by index.
const KINDS: [Kind; 8] = [
    Kind::Serving,
    Kind::Chat,
    Kind::Shared,
    Kind::Training,
    Kind::Training,
    Kind::Batch,
    Kind::Idle,
    Kind::Serving,
];
/// Kinds of the slices of a GPU in MIG mode, by their place.
const SLICE_KINDS: [Kind; 4] = [Kind::Serving, Kind::Batch, Kind::Shared, Kind::Idle];

/// What runs on a GPU, or on one slice of it.
#[derive(Debug)]
pub(super) struct Part {
    pub(super) slice: Option<&'static Slice>,
    pub(super) kind: Kind,
    /// Between 0 and 1.
    pub(super) busy: Signal,
    /// Its share of the GPU.
    pub(super) weight: f64,
}

impl Part {
    /// Total and reserved.
    pub(super) fn memory_mib(&self, product: &Product) -> (u32, u32) {
        let of_slice = |slice: &Slice| (slice.memory_mib, slice.reserved_mib);
        self.slice.map_or((product.memory_mib, product.reserved_mib), of_slice)
    }
}

/// A GPU. All that it says is a function of the time, in seconds of the simulation.
#[derive(Debug)]
pub(super) struct Gpu {
    pub(super) product: &'static Product,
    pub(super) identity: Arc<DeviceIdentity>,
    pub(super) chance: Chance,
    pub(super) parts: Vec<Part>,
    /// How busy it is as a whole, between 0 and 1.
    pub(super) busy: Signal,
    /// Watts.
    pub(super) power: Signal,
    /// Share of the NVLinks' payload at most.
    pub(super) nvlink: Signal,
    pub(super) is_sick: bool,
    /// Degrees of the air that cools it.
    inlet_c: f64,
    /// Degrees that its fault adds.
    fault_c: Signal,
    /// When its machine started, some time.
    started: f64,
}

impl Gpu {
    /// `machine`: the key of its machine. `index`: its place there.
    pub(super) fn new(model: Model, machine: Chance, index: u32, is_sick: bool) -> Self {
        let (product, chance) = (model.product(), machine.of(u64::from(index)));
        let parts = parts(model, chance, index);
        let of_parts = |share: fn(Kind) -> f64| {
            parts
                .iter()
                .fold(Signal::default(), |sum, part| sum.plus(&part.busy, part.weight * share(part.kind)))
        };
        let load_w = product.limit_w * POWER_MAX - product.idle_w;
        let busy = of_parts(|_| 1.0);
        let power = Signal::new(product.idle_w, []).plus(&of_parts(|kind| kind.habit().power), load_w);
        let nvlink = of_parts(|kind| kind.habit().nvlink);
        let inlet_c = machine.named("inlet").between(22.0, 27.0) + chance.named("inlet").between(0.0, 4.0);
        let mut gpu = Self {
            product,
            identity: Arc::new(identity(product, chance, index)),
            chance,
            parts,
            busy,
            power,
            nvlink,
            is_sick,
            inlet_c,
            fault_c: Signal::default(),
            started: machine.named("started").between(0.0, RESTART_EVERY),
        };
        if is_sick {
            gpu.fall_sick(load_w);
        }
        gpu
    }

    /// Lowered clocks save power, and yet it stays too hot.
    fn fall_sick(&mut self, load_w: f64) {
        let saved_w = (0.9 * (self.power.lowest() - self.product.idle_w)).min(SAVED_MAX * load_w);
        let hot_c = self.inlet_c + self.degrees_per_watt() * (self.power.mean() - saved_w);
        let fault_c = self.product.slowdown_c + SICK_ABOVE_SLOWDOWN - hot_c;
        let pulse =
            |amplitude: f64, start: f64| Wave::Pulse { amplitude, period: STORY, start, len: FALLS - start };
        self.power =
            std::mem::take(&mut self.power).plus(&Signal::new(0.0, [pulse(-saved_w, THROTTLED_FROM)]), 1.0);
        self.fault_c = Signal::new(0.0, [pulse(fault_c, COOLING_FAILS)]);
    }

    fn degrees_per_watt(&self) -> f64 {
        (self.product.full_load_c - self.inlet_c) / self.product.limit_w
    }

    /// Degrees of the chip.
    pub(super) fn temperature(&self, at: f64) -> f64 {
        let from_power = self.degrees_per_watt() * self.power.lagged(at, THERMAL_TAU);
        self.inlet_c + from_power + self.fault_c.lagged(at, THERMAL_TAU)
    }

    /// `MIG-…` of the one MIG device of a slice.
    pub(super) fn mig_uuid(&self, slice: &Slice) -> String {
        format!("MIG-{}", self.chance.named("mig").of(u64::from(slice.gpu_instance_id)).uuid())
    }

    /// Where its story stands, if it is sick.
    pub(super) fn chapter(&self, at: f64) -> Option<Chapter> {
        self.is_sick.then(|| Chapter::at(at))
    }

    /// When its counts began: as its machine started, or as it was repaired.
    pub(super) fn counted_from(&self, at: f64) -> f64 {
        let started = at - (at - self.started).rem_euclid(RESTART_EVERY);
        self.chapter(at).map_or(started, |chapter| started.max(chapter.repaired_at()))
    }

    /// When its machine started first: what is counted over its life began then. It may lie ahead of times before the
    /// simulation's beginning.
    pub(super) fn first_started(&self) -> f64 {
        self.started - RESTART_EVERY
    }
}

fn parts(model: Model, chance: Chance, index: u32) -> Vec<Part> {
    let slices = model.slices();
    if slices.is_empty() {
        let kind = KINDS[index as usize % KINDS.len()];
        return vec![Part { slice: None, kind, busy: kind.busy(chance), weight: 1.0 }];
    }
    let part = |(slice, kind): (&'static Slice, Kind)| Part {
        slice: Some(slice),
        kind,
        busy: kind.busy(chance.of(u64::from(slice.gpu_instance_id))),
        weight: f64::from(slice.sevenths) / 7.0,
    };
    slices.iter().zip(SLICE_KINDS).map(part).collect()
}

fn identity(product: &Product, chance: Chance, index: u32) -> DeviceIdentity {
    let (domain, bus) = (index / 8, product.buses[index as usize % 8]);
    let serial = 1_650_000_000_000 + chance.named("serial").below(9_999_999_999);
    let texts = [
        (Field::DriverVersion, "580.95.05".to_owned()),
        (Field::NvmlVersion, "13.580.95.05".to_owned()),
        (Field::Brand, "NVIDIA".to_owned()),
        (Field::Serial, serial.to_string()),
        (Field::VbiosVersion, product.vbios.to_owned()),
    ];
    DeviceIdentity {
        index,
        uuid: format!("GPU-{}", chance.named("uuid").uuid()),
        pci_bus_id: format!("{domain:08X}:{bus:02X}:00.0"),
        model_name: product.name.to_owned(),
        texts: texts.into_iter().map(|(field, text)| (field.info().name, text)).collect::<BTreeMap<_, _>>(),
    }
}
