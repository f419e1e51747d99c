//! A stand-in for `libnvidia-ml.so`: NVML's ABI over eight GPUs that a test moves. Built by the tests with `rustc`, since
//! it must be a library of its own to be loaded as the driver's is.
//!
//! Structures and return codes are those of `nvml.h`. `--cfg old_driver` leaves out what drivers before 510 lack.
#![crate_type = "cdylib"]
#![allow(non_snake_case, clippy::missing_safety_doc)]

use std::collections::VecDeque;
use std::ffi::{c_char, c_int, c_uint, c_ulonglong};
use std::sync::atomic::{AtomicU64, Ordering::SeqCst};
use std::sync::{Condvar, Mutex};
use std::time::Duration;

const SUCCESS: c_int = 0;
const UNINITIALIZED: c_int = 1;
const INVALID_ARGUMENT: c_int = 2;
const NOT_SUPPORTED: c_int = 3;
const NO_PERMISSION: c_int = 4;
const NOT_FOUND: c_int = 6;
const INSUFFICIENT_SIZE: c_int = 7;
const TIMEOUT: c_int = 10;
const GPU_IS_LOST: c_int = 15;

const GPUS: usize = 8;
const MIB: u64 = 1 << 20;

/// Knobs, by number: see `Knob` of the tests.
const HANG: usize = 0;
const LOST: usize = 1;
const MIG: usize = 2;
const NO_DRIVER: usize = 3;
const UTIL: usize = 4;
const DENY_GPM: usize = 5;
/// MIG devices share a GPU instance by twos.
const SHARED: usize = 6;
const DENY_PROCESSES: usize = 7;
const KNOBS: usize = 8;

static KNOB: [[AtomicU64; GPUS]; KNOBS] = [const { [const { AtomicU64::new(0) }; GPUS] }; KNOBS];
static INITIALIZED: AtomicU64 = AtomicU64::new(0);
static LIVE_SAMPLES: AtomicU64 = AtomicU64::new(0);
static READS: AtomicU64 = AtomicU64::new(0);
static XIDS: Mutex<VecDeque<(usize, u64)>> = Mutex::new(VecDeque::new());
static XID_CAME: Condvar = Condvar::new();

#[unsafe(no_mangle)]
pub extern "C" fn stand_in_set(knob: u64, gpu: u64, value: u64) {
    KNOB[knob as usize][gpu as usize].store(value, SeqCst);
}

#[unsafe(no_mangle)]
pub extern "C" fn stand_in_xid(gpu: u64, xid: u64) {
    XIDS.lock().unwrap().push_back((gpu as usize, xid));
    XID_CAME.notify_all();
}

#[unsafe(no_mangle)]
pub extern "C" fn stand_in_live_samples() -> u64 {
    LIVE_SAMPLES.load(SeqCst)
}

fn knob(knob: usize, gpu: usize) -> u64 {
    KNOB[knob][gpu].load(SeqCst)
}

/// A handle's GPU and its MIG device, if it is one. Handles are numbers that look like pointers.
fn of_handle(handle: usize) -> Option<(usize, Option<usize>)> {
    let place = handle.checked_sub(0x1_0000)?;
    let (gpu, mig) = (place / 0x100, place % 0x100);
    (gpu < GPUS).then_some((gpu, mig.checked_sub(1)))
}

fn handle(gpu: usize, mig: Option<usize>) -> usize {
    0x1_0000 + gpu * 0x100 + mig.map_or(0, |mig| mig + 1)
}

/// What every call on a GPU meets: a driver that is gone, one that hangs, a GPU that fell off the bus.
fn reach(device: usize) -> Result<(usize, Option<usize>), c_int> {
    if INITIALIZED.load(SeqCst) == 0 || knob(NO_DRIVER, 0) != 0 {
        return Err(UNINITIALIZED);
    }
    let (gpu, mig) = of_handle(device).ok_or(INVALID_ARGUMENT)?;
    while knob(HANG, gpu) != 0 {
        std::thread::sleep(Duration::from_millis(2));
    }
    if knob(LOST, gpu) != 0 {
        return Err(GPU_IS_LOST);
    }
    Ok((gpu, mig))
}

fn answer<T>(
    device: usize,
    out: *mut T,
    value: impl FnOnce(usize, Option<usize>) -> Result<T, c_int>,
) -> c_int {
    match reach(device).and_then(|(gpu, mig)| value(gpu, mig)) {
        Ok(value) => {
            unsafe { out.write(value) };
            SUCCESS
        }
        Err(code) => code,
    }
}

fn write_text(out: *mut c_char, length: c_uint, text: &str) -> c_int {
    assert!(text.len() < length as usize, "the buffer holds the text");
    unsafe {
        std::ptr::copy_nonoverlapping(text.as_ptr(), out.cast::<u8>(), text.len());
        out.cast::<u8>().add(text.len()).write(0);
    }
    SUCCESS
}

fn text(
    device: usize,
    out: *mut c_char,
    length: c_uint,
    value: impl FnOnce(usize, Option<usize>) -> String,
) -> c_int {
    match reach(device) {
        Ok((gpu, mig)) => write_text(out, length, &value(gpu, mig)),
        Err(code) => code,
    }
}

#[unsafe(no_mangle)]
pub extern "C" fn nvmlInit_v2() -> c_int {
    if knob(NO_DRIVER, 0) != 0 {
        return 9; // NVML_ERROR_DRIVER_NOT_LOADED
    }
    if INITIALIZED.fetch_add(1, SeqCst) == 0 {
        orders();
    }
    SUCCESS
}

/// What a test wants of a library that another program loads: `STAND_IN` has lines of `set KNOB GPU VALUE` and
/// `process GPU MIG PID MEMORY PERCENT`.
fn orders() {
    for line in std::env::var("STAND_IN").unwrap_or_default().lines() {
        let (order, numbers) = line.split_once(' ').expect("an order has numbers");
        let numbers: Vec<u64> = numbers.split(' ').map(|number| number.parse().unwrap()).collect();
        match (order, &numbers[..]) {
            ("set", [knob, gpu, value]) => stand_in_set(*knob, *gpu, *value),
            ("process", [gpu, mig, pid, memory, percent]) => {
                stand_in_process(*gpu, *mig, *pid, *memory, *percent)
            }
            _ => panic!("no such order: {line}"),
        }
    }
}

#[unsafe(no_mangle)]
pub extern "C" fn nvmlShutdown() -> c_int {
    INITIALIZED.fetch_sub(1, SeqCst);
    SUCCESS
}

#[unsafe(no_mangle)]
pub extern "C" fn nvmlSystemGetDriverVersion(out: *mut c_char, length: c_uint) -> c_int {
    write_text(out, length, if cfg!(old_driver) { "450.203.03" } else { "550.54.15" })
}

#[unsafe(no_mangle)]
pub extern "C" fn nvmlSystemGetNVMLVersion(out: *mut c_char, length: c_uint) -> c_int {
    write_text(out, length, "12.550.54.15")
}

#[unsafe(no_mangle)]
pub extern "C" fn nvmlDeviceGetCount_v2(out: *mut c_uint) -> c_int {
    unsafe { out.write(GPUS as c_uint) };
    SUCCESS
}

#[unsafe(no_mangle)]
pub extern "C" fn nvmlDeviceGetHandleByIndex_v2(index: c_uint, out: *mut usize) -> c_int {
    if index as usize >= GPUS {
        return INVALID_ARGUMENT;
    }
    answer(handle(index as usize, None), out, |gpu, _| Ok(handle(gpu, None)))
}

#[unsafe(no_mangle)]
pub extern "C" fn nvmlDeviceGetUUID(device: usize, out: *mut c_char, length: c_uint) -> c_int {
    text(device, out, length, |gpu, mig| match mig {
        Some(mig) => format!("MIG-00000000-0000-0000-000{gpu}-00000000000{mig}"),
        None => format!("GPU-00000000-0000-0000-0000-00000000000{gpu}"),
    })
}

#[unsafe(no_mangle)]
pub extern "C" fn nvmlDeviceGetName(device: usize, out: *mut c_char, length: c_uint) -> c_int {
    text(device, out, length, |gpu, mig| match mig {
        Some(_) if knob(SHARED, gpu) != 0 => "NVIDIA H100 80GB HBM3 MIG 1c.3g.40gb".to_owned(),
        Some(_) => "NVIDIA H100 80GB HBM3 MIG 1g.10gb".to_owned(),
        None => "NVIDIA H100 80GB HBM3".to_owned(),
    })
}

#[unsafe(no_mangle)]
pub extern "C" fn nvmlDeviceGetSerial(device: usize, out: *mut c_char, length: c_uint) -> c_int {
    text(device, out, length, |gpu, _| format!("165052200366{gpu}"))
}

#[repr(C)]
pub struct PciInfo {
    bus_id_legacy: [u8; 16],
    domain: c_uint,
    bus: c_uint,
    device: c_uint,
    pci_device_id: c_uint,
    pci_sub_system_id: c_uint,
    bus_id: [u8; 32],
}

#[unsafe(no_mangle)]
pub extern "C" fn nvmlDeviceGetPciInfo_v3(device: usize, out: *mut PciInfo) -> c_int {
    answer(device, out, |gpu, _| {
        let mut bus_id = [0; 32];
        let text = format!("00000000:{:02X}:00.0", 0x18 + gpu);
        bus_id[..text.len()].copy_from_slice(text.as_bytes());
        let (domain, bus, device) = (0, 0x18 + gpu as c_uint, 0);
        let (pci_device_id, pci_sub_system_id) = (0x2330_10de, 0x16c1_10de);
        Ok(PciInfo { bus_id_legacy: [0; 16], domain, bus, device, pci_device_id, pci_sub_system_id, bus_id })
    })
}

#[unsafe(no_mangle)]
pub extern "C" fn nvmlDeviceGetClockInfo(device: usize, clock: c_uint, out: *mut c_uint) -> c_int {
    READS.fetch_add(1, SeqCst);
    answer(device, out, |gpu, _| match clock {
        1 => Ok(1_980 + gpu as c_uint),
        2 => Ok(2_619),
        _ => Err(NOT_SUPPORTED),
    })
}

#[unsafe(no_mangle)]
pub extern "C" fn nvmlDeviceGetTemperature(device: usize, _sensor: c_uint, out: *mut c_uint) -> c_int {
    answer(device, out, |gpu, _| Ok(40 + gpu as c_uint))
}

#[unsafe(no_mangle)]
pub extern "C" fn nvmlDeviceGetPowerUsage(device: usize, out: *mut c_uint) -> c_int {
    answer(device, out, |gpu, _| Ok(699_125 + gpu as c_uint))
}

#[unsafe(no_mangle)]
pub extern "C" fn nvmlDeviceGetTotalEnergyConsumption(device: usize, out: *mut c_ulonglong) -> c_int {
    answer(device, out, |_, _| Ok(123_456_789_012))
}

#[unsafe(no_mangle)]
pub extern "C" fn nvmlDeviceGetPcieReplayCounter(device: usize, out: *mut c_uint) -> c_int {
    answer(device, out, |_, _| Ok(3))
}

#[repr(C)]
pub struct Utilization {
    gpu: c_uint,
    memory: c_uint,
}

#[unsafe(no_mangle)]
pub extern "C" fn nvmlDeviceGetUtilizationRates(device: usize, out: *mut Utilization) -> c_int {
    answer(device, out, |gpu, _| match knob(MIG, gpu) {
        0 => Ok(Utilization { gpu: knob(UTIL, gpu) as c_uint, memory: 17 }),
        _ => Err(NOT_SUPPORTED),
    })
}

fn coder(device: usize, out: *mut c_uint, period: *mut c_uint) -> c_int {
    unsafe { period.write(167_000) };
    answer(device, out, |gpu, _| if knob(MIG, gpu) == 0 { Ok(5) } else { Err(NOT_SUPPORTED) })
}

#[unsafe(no_mangle)]
pub extern "C" fn nvmlDeviceGetEncoderUtilization(
    device: usize,
    out: *mut c_uint,
    period: *mut c_uint,
) -> c_int {
    coder(device, out, period)
}

#[unsafe(no_mangle)]
pub extern "C" fn nvmlDeviceGetDecoderUtilization(
    device: usize,
    out: *mut c_uint,
    period: *mut c_uint,
) -> c_int {
    coder(device, out, period)
}

#[repr(C)]
pub struct Memory {
    total: c_ulonglong,
    free: c_ulonglong,
    used: c_ulonglong,
}

#[unsafe(no_mangle)]
pub extern "C" fn nvmlDeviceGetMemoryInfo(device: usize, out: *mut Memory) -> c_int {
    answer(device, out, |_, _| Ok(Memory { total: 81_559 * MIB, free: 71_000 * MIB, used: 10_559 * MIB }))
}

#[repr(C)]
pub struct MemoryV2 {
    version: c_uint,
    total: c_ulonglong,
    reserved: c_ulonglong,
    free: c_ulonglong,
    used: c_ulonglong,
}

#[cfg(not(old_driver))]
#[unsafe(no_mangle)]
pub extern "C" fn nvmlDeviceGetMemoryInfo_v2(device: usize, out: *mut MemoryV2) -> c_int {
    let version = unsafe { (*out).version };
    assert_eq!(version as usize, size_of::<MemoryV2>() | 2 << 24, "the caller states the struct's version");
    answer(device, out, |_, mig| match mig {
        None => Ok(MemoryV2 {
            version,
            total: 81_559 * MIB,
            reserved: 559 * MIB,
            free: 71_000 * MIB,
            used: 10_000 * MIB,
        }),
        Some(mig) => Ok(MemoryV2 {
            version,
            total: 9_856 * MIB,
            reserved: 0,
            free: 9_844 * MIB - mig as u64 * MIB,
            used: (12 + mig as u64) * MIB,
        }),
    })
}

#[repr(C)]
pub struct FieldValue {
    field_id: c_uint,
    scope_id: c_uint,
    timestamp: i64,
    latency_us: i64,
    value_type: c_uint,
    code: c_int,
    value: u64,
}

#[unsafe(no_mangle)]
pub extern "C" fn nvmlDeviceGetFieldValues(device: usize, count: c_int, values: *mut FieldValue) -> c_int {
    let gpu = match reach(device) {
        Ok((gpu, _)) => gpu as u64,
        Err(code) => return code,
    };
    let values = unsafe { std::slice::from_raw_parts_mut(values, count as usize) };
    const UNSIGNED_INT: c_uint = 1;
    const UNSIGNED_LONG_LONG: c_uint = 3;
    for field in values {
        let known = match (field.field_id, field.scope_id) {
            (82, _) => Some((UNSIGNED_INT, 50 + gpu)),
            (142, _) => Some((UNSIGNED_INT, 0)),
            (143, _) => Some((UNSIGNED_INT, 1)),
            (145, _) => Some((UNSIGNED_INT, 0)),
            (138, c_uint::MAX) => Some((UNSIGNED_LONG_LONG, 1_000 * (gpu + 1))),
            (139, c_uint::MAX) => Some((UNSIGNED_LONG_LONG, 2_000 * (gpu + 1))),
            _ => None,
        };
        match known.filter(|_| !cfg!(old_driver) || field.field_id == 82) {
            Some((value_type, value)) => {
                (field.value_type, field.value, field.code) = (value_type, value, SUCCESS);
            }
            None => field.code = NOT_SUPPORTED,
        }
    }
    SUCCESS
}

#[unsafe(no_mangle)]
pub extern "C" fn nvmlDeviceGetMigMode(device: usize, current: *mut c_uint, pending: *mut c_uint) -> c_int {
    unsafe { pending.write(0) };
    answer(device, current, |gpu, _| Ok(c_uint::from(knob(MIG, gpu) != 0)))
}

#[unsafe(no_mangle)]
pub extern "C" fn nvmlDeviceGetMaxMigDeviceCount(device: usize, out: *mut c_uint) -> c_int {
    answer(device, out, |_, _| Ok(7))
}

#[unsafe(no_mangle)]
pub extern "C" fn nvmlDeviceGetMigDeviceHandleByIndex(
    device: usize,
    index: c_uint,
    out: *mut usize,
) -> c_int {
    answer(device, out, |gpu, _| match (index as u64) < knob(MIG, gpu) {
        true => Ok(handle(gpu, Some(index as usize))),
        false => Err(NOT_FOUND),
    })
}

#[unsafe(no_mangle)]
pub extern "C" fn nvmlDeviceGetGpuInstanceId(device: usize, out: *mut c_uint) -> c_int {
    answer(device, out, |gpu, mig| {
        let place = mig.ok_or(INVALID_ARGUMENT)?;
        Ok(7 + if knob(SHARED, gpu) == 0 { place } else { place / 2 } as c_uint)
    })
}

/// A process on a GPU or on one of its MIG devices.
struct OnGpu {
    device: usize,
    pid: c_uint,
    memory: u64,
    sm_percent: c_uint,
}

static PROCESSES: Mutex<Vec<OnGpu>> = Mutex::new(Vec::new());
/// The driver's clock, which moves with each look at the processes' time.
static TIME_US: AtomicU64 = AtomicU64::new(1_000_000);

/// `mig`: the MIG device counted from 1, or 0 for the GPU itself.
#[unsafe(no_mangle)]
pub extern "C" fn stand_in_process(gpu: u64, mig: u64, pid: u64, memory: u64, sm_percent: u64) {
    let device = handle(gpu as usize, (mig as usize).checked_sub(1));
    let (pid, sm_percent) = (pid as c_uint, sm_percent as c_uint);
    PROCESSES.lock().unwrap().push(OnGpu { device, pid, memory, sm_percent });
}

#[unsafe(no_mangle)]
pub extern "C" fn stand_in_end_process(pid: u64) {
    PROCESSES.lock().unwrap().retain(|process| process.pid != pid as c_uint);
}

/// Writes a list whose room the caller states, or says how much room it takes.
fn list<T>(count: *mut c_uint, out: *mut T, values: Vec<T>) -> c_int {
    let room = unsafe { count.read() } as usize;
    unsafe { count.write(values.len() as c_uint) };
    if room < values.len() {
        return INSUFFICIENT_SIZE;
    }
    for (place, value) in values.into_iter().enumerate() {
        unsafe { out.add(place).write(value) };
    }
    SUCCESS
}

#[cfg(not(old_driver))]
mod processes {
    use super::*;

    #[repr(C)]
    pub struct ProcessInfo {
        pid: c_uint,
        memory: c_ulonglong,
        gpu_instance: c_uint,
        compute_instance: c_uint,
    }

    fn running(device: usize, count: *mut c_uint, out: *mut ProcessInfo) -> c_int {
        let gpu = match reach(device) {
            Ok((gpu, _)) => gpu,
            Err(code) => return code,
        };
        if knob(DENY_PROCESSES, gpu) != 0 {
            return NO_PERMISSION;
        }
        let processes = PROCESSES.lock().unwrap();
        let infos = processes.iter().filter(|process| process.device == device).map(|process| ProcessInfo {
            pid: process.pid,
            memory: process.memory,
            gpu_instance: c_uint::MAX,
            compute_instance: c_uint::MAX,
        });
        list(count, out, infos.collect())
    }

    #[unsafe(no_mangle)]
    pub extern "C" fn nvmlDeviceGetComputeRunningProcesses_v3(
        device: usize,
        count: *mut c_uint,
        out: *mut ProcessInfo,
    ) -> c_int {
        running(device, count, out)
    }

    /// The same ones: CUDA programs that draw are on both lists.
    #[unsafe(no_mangle)]
    pub extern "C" fn nvmlDeviceGetGraphicsRunningProcesses_v3(
        device: usize,
        count: *mut c_uint,
        out: *mut ProcessInfo,
    ) -> c_int {
        match of_handle(device) {
            Some((_, Some(_))) => NOT_SUPPORTED,
            _ => running(device, count, out),
        }
    }

    #[unsafe(no_mangle)]
    pub extern "C" fn nvmlDeviceGetMPSComputeRunningProcesses_v3(
        device: usize,
        count: *mut c_uint,
        out: *mut ProcessInfo,
    ) -> c_int {
        match reach(device) {
            Ok(_) => list(count, out, Vec::new()),
            Err(code) => code,
        }
    }

    #[repr(C)]
    pub struct UtilizationSample {
        pid: c_uint,
        time_us: c_ulonglong,
        sm: c_uint,
        memory: c_uint,
        encoder: c_uint,
        decoder: c_uint,
    }

    #[unsafe(no_mangle)]
    pub extern "C" fn nvmlDeviceGetProcessUtilization(
        device: usize,
        out: *mut UtilizationSample,
        count: *mut c_uint,
        seen_us: c_ulonglong,
    ) -> c_int {
        let gpu = match reach(device) {
            Ok((gpu, None)) if knob(MIG, gpu) == 0 => gpu,
            Ok(_) => return NOT_SUPPORTED,
            Err(code) => return code,
        };
        if knob(DENY_PROCESSES, gpu) != 0 {
            return NO_PERMISSION;
        }
        let time_us = TIME_US.fetch_add(10, SeqCst);
        assert!(seen_us < time_us, "the caller gives a time that it got here");
        let processes = PROCESSES.lock().unwrap();
        let busy = processes.iter().filter(|process| process.device == device && process.sm_percent > 0);
        let samples: Vec<_> = busy
            .map(|process| UtilizationSample {
                pid: process.pid,
                time_us,
                sm: process.sm_percent,
                memory: 1,
                encoder: 0,
                decoder: 0,
            })
            .collect();
        match samples.len() {
            0 => NOT_FOUND,
            _ => list(count, out, samples),
        }
    }
}

#[cfg(not(old_driver))]
mod gpm {
    use super::*;

    #[repr(C)]
    pub struct Support {
        version: c_uint,
        is_supported: c_uint,
    }

    #[repr(C)]
    pub struct Metric {
        id: c_uint,
        code: c_int,
        value: f64,
        texts: [*mut c_char; 3],
    }

    #[repr(C)]
    pub struct MetricsGet {
        version: c_uint,
        count: c_uint,
        samples: [*mut u64; 2],
        metrics: [Metric; 0],
    }

    #[unsafe(no_mangle)]
    pub extern "C" fn nvmlGpmQueryDeviceSupport(device: usize, out: *mut Support) -> c_int {
        answer(device, out, |_, _| Ok(Support { version: 1, is_supported: 1 }))
    }

    #[unsafe(no_mangle)]
    pub extern "C" fn nvmlGpmSampleAlloc(out: *mut *mut u64) -> c_int {
        LIVE_SAMPLES.fetch_add(1, SeqCst);
        unsafe { out.write(Box::into_raw(Box::new(0))) };
        SUCCESS
    }

    #[unsafe(no_mangle)]
    pub unsafe extern "C" fn nvmlGpmSampleFree(sample: *mut u64) -> c_int {
        LIVE_SAMPLES.fetch_sub(1, SeqCst);
        drop(unsafe { Box::from_raw(sample) });
        SUCCESS
    }

    #[unsafe(no_mangle)]
    pub extern "C" fn nvmlGpmSampleGet(device: usize, sample: *mut u64) -> c_int {
        answer(device, sample, |gpu, _| match knob(DENY_GPM, gpu) {
            0 => Ok(100),
            _ => Err(NO_PERMISSION),
        })
    }

    #[unsafe(no_mangle)]
    pub extern "C" fn nvmlGpmMigSampleGet(device: usize, instance: c_uint, sample: *mut u64) -> c_int {
        answer(device, sample, |_, _| Ok(u64::from(instance)))
    }

    #[unsafe(no_mangle)]
    pub unsafe extern "C" fn nvmlGpmMetricsGet(request: *mut MetricsGet) -> c_int {
        let count = unsafe { (*request).count } as usize;
        let scope = unsafe { *(*request).samples[1] } as f64;
        let first = unsafe { (&raw mut (*request).metrics).cast::<Metric>() };
        for metric in unsafe { std::slice::from_raw_parts_mut(first, count) } {
            metric.code = SUCCESS;
            metric.value = match metric.id {
                1 => scope,
                5 => 25.0,
                10 => f64::NAN,
                20 => 3.0,
                21 => 0.5,
                _ => {
                    metric.code = NOT_SUPPORTED;
                    0.0
                }
            };
        }
        SUCCESS
    }
}

#[repr(C)]
pub struct EventData {
    device: usize,
    event_type: c_ulonglong,
    event_data: c_ulonglong,
    gpu_instance_id: c_uint,
    compute_instance_id: c_uint,
}

const XID_EVENT: c_ulonglong = 8;

#[unsafe(no_mangle)]
pub extern "C" fn nvmlEventSetCreate(out: *mut usize) -> c_int {
    unsafe { out.write(0xe000) };
    SUCCESS
}

#[unsafe(no_mangle)]
pub extern "C" fn nvmlEventSetFree(_set: usize) -> c_int {
    SUCCESS
}

#[unsafe(no_mangle)]
pub extern "C" fn nvmlDeviceGetSupportedEventTypes(device: usize, out: *mut c_ulonglong) -> c_int {
    // The last GPU reports no XIDs.
    answer(device, out, |gpu, _| Ok(if gpu == GPUS - 1 { 0 } else { XID_EVENT | 3 }))
}

#[unsafe(no_mangle)]
pub extern "C" fn nvmlDeviceRegisterEvents(device: usize, _types: c_ulonglong, _set: usize) -> c_int {
    reach(device).map_or_else(|code| code, |_| SUCCESS)
}

#[unsafe(no_mangle)]
pub extern "C" fn nvmlEventSetWait_v2(_set: usize, out: *mut EventData, timeout_ms: c_uint) -> c_int {
    let queue = XIDS.lock().unwrap();
    let timeout = Duration::from_millis(u64::from(timeout_ms));
    let (mut queue, _) = XID_CAME.wait_timeout_while(queue, timeout, |queue| queue.is_empty()).unwrap();
    match queue.pop_front() {
        None => TIMEOUT,
        Some((gpu, xid)) => {
            let event = EventData {
                device: handle(gpu, None),
                event_type: XID_EVENT,
                event_data: xid,
                gpu_instance_id: c_uint::MAX,
                compute_instance_id: c_uint::MAX,
            };
            unsafe { out.write(event) };
            SUCCESS
        }
    }
}
