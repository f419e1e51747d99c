//! What a simulated GPU says at one time.

use std::sync::Arc;

use super::super::fields::{Field, FieldSet};
use super::super::reading::{GpuReading, MigInstance, Reading, Row, Value};
use super::super::source::SourceError;
use super::chance::Chance;
use super::gpu::{Gpu, Part};
use super::load::Habit;
use super::sickness::{Chapter, Errors};
use super::tenants::{IdForm, tenants};

/// Seconds over which memory follows load.
const MEMORY_TAU: f64 = 90.0;
/// Share of the clocks that is left where they are lowered.
const THROTTLED_CLOCK: f64 = 0.55;
/// Days from one corrected error of memory to the next, on a GPU that has them at all.
const SINGLE_BIT_DAYS: (f64, f64) = (2.0, 9.0);

/// One time of one GPU.
struct Moment<'a> {
    gpu: &'a Gpu,
    /// Seconds of the simulation.
    at: f64,
    /// Seconds of the simulation in a second that is counted.
    speed: f64,
    /// Since when the driver counts.
    from: f64,
    /// Falls anew each second.
    noise: Chance,
    chapter: Option<Chapter>,
    wanted: FieldSet,
}

/// Reads a GPU. `at`: seconds of the simulation, of which `speed` pass in one; `second`: which noise is heard.
pub(super) fn read(
    gpu: &Gpu,
    at: f64,
    speed: f64,
    second: u64,
    wanted: FieldSet,
) -> Result<GpuReading, SourceError> {
    let chapter = gpu.chapter(at);
    if chapter.is_some_and(Chapter::is_off_bus) {
        return Err(SourceError::Device(
            "nvmlDeviceGetHandleByIndex: the GPU has fallen off the bus".to_owned(),
        ));
    }
    let noise = gpu.chance.named("noise").of(second);
    let moment = Moment { gpu, at, speed, from: gpu.counted_from(at), noise, chapter, wanted };
    let rows = gpu.parts.iter().map(|part| moment.row(part)).collect();
    let processes = tenants(gpu, IdForm::Uuid, at).into_iter().map(|tenant| tenant.process).collect();
    Ok(GpuReading { identity: Arc::clone(&gpu.identity), rows, processes })
}

impl Moment<'_> {
    fn row(&self, part: &Part) -> Row {
        let mut reading = Reading::default();
        self.board(&mut reading);
        self.memory_errors(part, &mut reading);
        self.links(&mut reading);
        self.memory(part, &mut reading);
        let busy = (part.busy.value(self.at) + self.jitter("busy", 0.02)).clamp(0.0, 1.0);
        // What nobody asks for is idle to the last digit.
        let busy = if part.busy.value(self.at) <= 0.0 { 0.0 } else { busy };
        let habit = part.kind.habit();
        if part.slice.is_none() {
            self.utilization(busy, habit, &mut reading);
        }
        if self.gpu.product.has_gpm {
            self.profile(busy, habit, &mut reading);
        }
        if self.gpu.product.has_gpm || part.slice.is_none() {
            self.pcie(busy, habit, &mut reading);
        }
        let instance = part.slice.map(|slice| MigInstance {
            profile: slice.profile.to_owned(),
            gpu_instance_id: slice.gpu_instance_id,
            uuids: vec![self.gpu.mig_uuid(slice)],
        });
        Row { instance, reading }
    }

    fn set(&self, reading: &mut Reading, field: Field, value: Value) {
        if self.wanted.has(field) {
            reading.set(field, Some(value));
        }
    }

    fn set_int(&self, reading: &mut Reading, field: Field, value: f64) {
        self.set(reading, field, Value::Int(value.round() as i64));
    }

    /// At most `reach` up or down.
    fn jitter(&self, what: &str, reach: f64) -> f64 {
        self.noise.named(what).between(-reach, reach)
    }

    /// Power, temperatures and clocks: the board's, whoever uses it.
    fn board(&self, reading: &mut Reading) {
        let (gpu, product) = (self.gpu, self.gpu.product);
        let power_w = (gpu.power.value(self.at) * (1.0 + self.jitter("power", 0.01))).min(product.limit_w);
        // The sensor tells milliwatts.
        self.set(reading, Field::PowerUsage, Value::Float((power_w * 1_000.0).round() / 1_000.0));
        self.set(reading, Field::PowerLimit, Value::Float(product.limit_w));
        let counted_s = |sum: f64| sum / self.speed;
        let energy_mj = counted_s(gpu.power.integral(self.from, self.at)) * 1_000.0;
        self.set(reading, Field::TotalEnergy, Value::Int(energy_mj.max(0.0) as i64));
        let celsius = gpu.temperature(self.at);
        self.set_int(reading, Field::GpuTemp, celsius);
        if product.has_memory_temp {
            self.set_int(
                reading,
                Field::MemoryTemp,
                celsius - 2.0 + 8.0 * gpu.busy.lagged(self.at, MEMORY_TAU),
            );
        }
        self.set_int(reading, Field::SmClock, self.sm_mhz());
        self.set(reading, Field::MemClock, Value::Int(i64::from(product.memory_mhz)));
        self.set(reading, Field::Pstate, Value::Int(0));
        let throttled_s = self.chapter.map_or(0.0, Chapter::throttled_seconds);
        self.set(reading, Field::ThermalViolation, Value::Int((counted_s(throttled_s) * 1e9) as i64));
        // Close to its limit a GPU is capped now and then.
        let capped_s = counted_s(gpu.nvlink.integral(self.from, self.at)).max(0.0) * 0.01;
        self.set(reading, Field::PowerViolation, Value::Int((capped_s * 1e9) as i64));
        for field in [
            Field::SyncBoostViolation,
            Field::BoardLimitViolation,
            Field::LowUtilViolation,
            Field::ReliabilityViolation,
        ] {
            self.set(reading, field, Value::Int(0));
        }
    }

    /// Full while anything runs, a little less near the power limit; clocks move by 15 MHz.
    fn sm_mhz(&self) -> f64 {
        let (gpu, product) = (self.gpu, self.gpu.product);
        let near_limit = (gpu.power.value(self.at) / product.limit_w - 0.7).max(0.0);
        let share = match self.chapter {
            _ if gpu.busy.value(self.at) < 0.02 => return product.sm_mhz_idle,
            Some(chapter) if chapter.is_throttled() => THROTTLED_CLOCK + self.jitter("clock", 0.03),
            _ => 1.0 - 0.3 * near_limit + self.jitter("clock", 0.005),
        };
        ((share.min(1.0) * product.sm_mhz_max) / 15.0).floor() * 15.0
    }

    /// In MIG mode drivers do not tell what was remapped.
    fn memory_errors(&self, part: &Part, reading: &mut Reading) {
        let ground = self.corrected_errors();
        let sick = self.chapter.map_or((Errors::default(), Errors::default()), |chapter| {
            (chapter.errors(), chapter.errors_of_board())
        });
        let counts = [
            (Field::EccSbeVolatile, ground.0 + sick.0.single_bit),
            (Field::EccDbeVolatile, sick.0.double_bit),
            (Field::EccSbeAggregate, ground.1 + sick.1.single_bit),
            (Field::EccDbeAggregate, sick.1.double_bit),
        ];
        for (field, count) in counts {
            self.set(reading, field, Value::Int(count as i64));
        }
        if part.slice.is_none() {
            let corrected = u64::from(self.gpu.chance.named("row").below(64) == 0);
            self.set(reading, Field::RemappedUncorrectable, Value::Int(sick.1.rows_remapped as i64));
            self.set(reading, Field::RemappedCorrectable, Value::Int(corrected as i64));
            self.set(reading, Field::RowRemapFailure, Value::Int(0));
        }
    }

    /// Single-bit errors of one GPU in twelve: since the driver counts, and over its life.
    fn corrected_errors(&self) -> (u64, u64) {
        let chance = self.gpu.chance.named("single bit");
        if chance.below(12) != 0 {
            return (0, 0);
        }
        let every = chance.named("every").between(SINGLE_BIT_DAYS.0, SINGLE_BIT_DAYS.1) * 86_400.0;
        let since = |from: f64| ((self.at - from).max(0.0) / every) as u64;
        (since(self.from), since(self.gpu.first_started()))
    }

    fn links(&self, reading: &mut Reading) {
        let replays = self.gpu.chance.named("replay");
        let hours = (self.at - self.from).max(0.0) / 3_600.0;
        let every =
            if replays.below(4) == 0 { replays.named("every").between(5.0, 90.0) } else { f64::INFINITY };
        self.set(reading, Field::PcieReplay, Value::Int((hours / every) as i64));
        let Some(most) = self.gpu.product.nvlink_bytes else { return };
        let counted = self.gpu.nvlink.integral(self.from, self.at).max(0.0) / self.speed * most;
        // The driver counts KiB.
        let kib = (counted / 1024.0) as i64;
        self.set(reading, Field::NvLinkTransmit, Value::Int(kib * 1024));
        self.set(reading, Field::NvLinkReceive, Value::Int(kib * 1024));
        let both_ways = 2.0 * most * self.gpu.nvlink.value(self.at).max(0.0);
        self.set_int(reading, Field::NvLinkBandwidth, both_ways / 1024.0 / 1_000.0);
        for field in [Field::NvLinkCrcFlit, Field::NvLinkCrcData, Field::NvLinkReplay, Field::NvLinkRecovery]
        {
            self.set(reading, field, Value::Int(0));
        }
    }

    fn memory(&self, part: &Part, reading: &mut Reading) {
        let (total, reserved) = part.memory_mib(self.gpu.product);
        let used = used_mib(part, self.at, total - reserved);
        let values = [
            (Field::FbTotal, total),
            (Field::FbReserved, reserved),
            (Field::FbUsed, used),
            (Field::FbFree, total - reserved - used),
        ];
        for (field, mib) in values {
            self.set(reading, field, Value::Int(i64::from(mib)));
        }
    }

    fn utilization(&self, busy: f64, habit: Habit, reading: &mut Reading) {
        self.set_int(reading, Field::GpuUtil, 100.0 * busy);
        self.set_int(reading, Field::MemCopyUtil, 100.0 * busy * habit.dram);
        self.set(reading, Field::EncUtil, Value::Int(0));
        self.set(reading, Field::DecUtil, Value::Int(0));
    }

    fn profile(&self, busy: f64, habit: Habit, reading: &mut Reading) {
        let ratios = [
            (Field::GrEngineActive, 0.995),
            (Field::SmActive, 0.88),
            (Field::SmOccupancy, habit.occupancy),
            (Field::TensorActive, habit.tensor),
            (Field::DramActive, habit.dram),
            (Field::Fp64Active, 0.0),
            (Field::Fp32Active, 0.25 * habit.occupancy),
            (Field::Fp16Active, 0.1 * habit.tensor),
        ];
        for (field, share) in ratios {
            self.set(reading, field, Value::Float(busy * share));
        }
    }

    fn pcie(&self, busy: f64, habit: Habit, reading: &mut Reading) {
        let most = self.gpu.product.pcie_bytes * habit.pcie * busy;
        self.set_int(reading, Field::PcieTx, most * 0.4);
        self.set_int(reading, Field::PcieRx, most);
    }
}

/// What a part holds of `usable` MiB.
pub(super) fn used_mib(part: &Part, at: f64, usable: u32) -> u32 {
    let (rest, load) = part.kind.habit().memory;
    let share = rest + load * part.busy.lagged(at, MEMORY_TAU);
    (f64::from(usable) * share) as u32
}
