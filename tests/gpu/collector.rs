//! Rounds over eight GPUs that work, hang, fall off the bus, are cut into MIG instances, or lose their driver.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::sleep;
use std::time::{Duration, Instant};

use perdura::clock::{Clock, SimulatedClock};
use perdura::gpu::{
    CollectorOptions, Counters, Families, Field, Naming, NvmlOptions, NvmlSource, Process, Rounds, Snapshot,
    Value, XidCount,
};

use crate::stand_in::{Knob, StandIn};

const NOW: i64 = 1_700_000_000_000;
/// Rounds that a thread's news may take, with a pause between.
const TRIES: usize = 500;
const PAUSE: Duration = Duration::from_millis(10);

fn rounds(library: &Path) -> (Rounds, SimulatedClock) {
    let hands = SimulatedClock::at_ms(NOW);
    let driver = NvmlOptions { library: Some(library.to_owned()), has_processes: true };
    let options = CollectorOptions {
        // A GPU that hangs is waited for for half of this.
        interval: Duration::from_secs(10),
        wanted: Counters::default().fields(),
        clock: Clock::Simulated(hands.clone()),
        is_expected: false,
    };
    (Rounds::new(Box::new(move || NvmlSource::open(&driver)), options), hands)
}

fn value(snapshot: &Snapshot, gpu: usize, field: Field) -> Option<Value> {
    snapshot.gpus[gpu].rows.as_ref()?.first()?.reading.get(field)
}

/// Which GPUs answered.
fn answered(snapshot: &Snapshot) -> Vec<bool> {
    snapshot.gpus.iter().map(|gpu| gpu.rows.is_some()).collect()
}

#[test]
fn eight_gpus_tell_every_default_field() {
    let driver = StandIn::new();
    driver.set(Knob::Util, 1, 93);
    let (mut rounds, hands) = rounds(driver.path());
    rounds.next_round();
    hands.advance_ms(15_000);
    let snapshot = rounds.next_round();
    assert_eq!(answered(&snapshot), [true; 8]);
    let identity = &snapshot.gpus[1].identity;
    assert_eq!(identity.uuid, "GPU-00000000-0000-0000-0000-000000000001");
    assert_eq!(identity.pci_bus_id, "00000000:19:00.0");
    assert_eq!(identity.texts["DCGM_FI_DRIVER_VERSION"], "550.54.15");
    let expected = [
        (Field::SmClock, Value::Int(1_981)),
        (Field::MemClock, Value::Int(2_619)),
        (Field::MemoryTemp, Value::Int(51)),
        (Field::GpuTemp, Value::Int(41)),
        (Field::PowerUsage, Value::Float(699.126)),
        (Field::TotalEnergy, Value::Int(123_456_789_012)),
        (Field::PcieReplay, Value::Int(3)),
        (Field::GpuUtil, Value::Int(93)),
        (Field::MemCopyUtil, Value::Int(17)),
        (Field::EncUtil, Value::Int(5)),
        (Field::DecUtil, Value::Int(5)),
        (Field::FbFree, Value::Int(71_000)),
        (Field::FbUsed, Value::Int(10_000)),
        (Field::FbReserved, Value::Int(559)),
        (Field::RemappedUncorrectable, Value::Int(1)),
        (Field::RemappedCorrectable, Value::Int(0)),
        (Field::RowRemapFailure, Value::Int(0)),
        (Field::NvLinkBandwidth, Value::Int(0)),
        (Field::NvLinkTransmit, Value::Int(2_000 * 1_024)),
        (Field::NvLinkReceive, Value::Int(4_000 * 1_024)),
        (Field::GrEngineActive, Value::Float(1.0)),
        (Field::TensorActive, Value::Float(0.25)),
        (Field::PcieTx, Value::Int(3 << 20)),
        (Field::PcieRx, Value::Int(1 << 19)),
    ];
    for (field, expected) in expected {
        assert_eq!(value(&snapshot, 1, field), Some(expected), "{field:?}");
    }
    assert_eq!(value(&snapshot, 1, Field::DramActive), None, "it is no number");
}

#[test]
fn an_old_driver_leaves_out_what_it_lacks() {
    let driver = StandIn::old();
    let (mut rounds, hands) = rounds(driver.path());
    rounds.next_round();
    hands.advance_ms(15_000);
    let snapshot = rounds.next_round();
    assert_eq!(answered(&snapshot), [true; 8]);
    assert_eq!(value(&snapshot, 0, Field::FbUsed), Some(Value::Int(10_559)), "the first form of the call");
    for field in [Field::FbReserved, Field::GrEngineActive, Field::NvLinkTransmit, Field::RowRemapFailure] {
        assert_eq!(value(&snapshot, 0, field), None, "{field:?}");
    }
}

#[test]
fn what_is_not_permitted_is_left_out() {
    let driver = StandIn::new();
    driver.set(Knob::DenyGpm, 0, 1);
    let (mut rounds, hands) = rounds(driver.path());
    for _ in 0..3 {
        rounds.next_round();
        hands.advance_ms(15_000);
    }
    let snapshot = rounds.next_round();
    assert_eq!(answered(&snapshot), [true; 8]);
    assert_eq!(value(&snapshot, 0, Field::GrEngineActive), None);
    assert_eq!(value(&snapshot, 0, Field::GpuTemp), Some(Value::Int(40)));
    assert_eq!(value(&snapshot, 1, Field::GrEngineActive), Some(Value::Float(1.0)));
    assert_eq!(driver.live_samples(), 7, "a sample that was refused is freed");
}

#[test]
fn mig_instances_have_rows_of_their_own() {
    let driver = StandIn::new();
    driver.set(Knob::Mig, 2, 3);
    let (mut rounds, hands) = rounds(driver.path());
    rounds.next_round();
    hands.advance_ms(15_000);
    let snapshot = rounds.next_round();
    let rows = snapshot.gpus[2].rows.as_ref().expect("the GPU answers");
    let ids: Vec<_> =
        rows.iter().filter_map(|row| row.instance.as_ref()).map(|i| i.gpu_instance_id).collect();
    assert_eq!(ids, [7, 8, 9]);
    assert_eq!(rows[1].instance.as_ref().map(|instance| instance.profile.as_str()), Some("1g.10gb"));
    assert_eq!(rows[1].reading.get(Field::FbUsed), Some(Value::Int(13)));
    assert_eq!(rows[1].reading.get(Field::GrEngineActive), Some(Value::Float(0.08)));
    assert_eq!(rows[1].reading.get(Field::SmClock), Some(Value::Int(1_982)), "the GPU's own");
    assert_eq!(rows[1].reading.get(Field::GpuUtil), None, "not told in MIG mode");
    let text = Families::new(&snapshot, &Counters::default(), &Naming::default()).to_text();
    assert!(text.contains(concat!(
        "DCGM_FI_DEV_FB_USED{gpu=\"2\",UUID=\"GPU-00000000-0000-0000-0000-000000000002\",",
        "pci_bus_id=\"00000000:1A:00.0\",device=\"nvidia2\",modelName=\"NVIDIA H100 80GB HBM3\",",
        "GPU_I_PROFILE=\"1g.10gb\",GPU_I_ID=\"8\",DCGM_FI_DRIVER_VERSION=\"550.54.15\"} 13\n"
    )));
    driver.set(Knob::Mig, 2, 0);
    let whole = rounds.next_round();
    assert_eq!(whole.gpus[2].rows.as_ref().map(Vec::len), Some(1), "instances may go at any time");
}

#[test]
fn processes_are_told_with_memory_and_time() {
    let driver = StandIn::new();
    driver.process(0, None, 4_711, 3 << 30, 60);
    driver.process(0, None, 4_712, 1 << 30, 0);
    driver.process(1, None, 4_713, u64::MAX, 5);
    driver.set(Knob::Mig, 2, 3);
    driver.process(2, Some(1), 4_714, 5 << 20, 0);
    driver.set(Knob::DenyProcesses, 3, 1);
    driver.process(3, None, 4_715, 1, 1);
    let (mut rounds, hands) = rounds(driver.path());
    for _ in 0..3 {
        let snapshot = rounds.next_round();
        assert_eq!(answered(&snapshot), [true; 8], "what may not be looked at is left out");
        let processes = |gpu: usize| &snapshot.gpus[gpu].processes;
        let process = |pid, gpu_instance_id, memory_bytes, sm_percent| Process {
            pid,
            gpu_instance_id,
            memory_bytes,
            sm_percent,
        };
        let busy = process(4_711, None, Some(3 << 30), Some(60));
        assert_eq!(*processes(0), [busy, process(4_712, None, Some(1 << 30), Some(0))]);
        assert_eq!(*processes(1), [process(4_713, None, None, Some(5))]);
        assert_eq!(*processes(2), [process(4_714, Some(8), Some(5 << 20), None)]);
        assert!(processes(3).is_empty() && processes(4).is_empty());
        let instance = snapshot.gpus[2].rows.as_ref().and_then(|rows| rows[1].instance.clone());
        let uuids = instance.expect("it is in MIG mode").uuids;
        assert_eq!(uuids, ["MIG-00000000-0000-0000-0002-000000000001"]);
        hands.advance_ms(15_000);
    }
    driver.end_process(4_711);
    let ids: Vec<u32> = rounds.next_round().gpus[0].processes.iter().map(|process| process.pid).collect();
    assert_eq!(ids, [4_712]);
}

/// As an H200 was cut in utkuozdemir/nvidia_gpu_exporter's capture: two compute instances in GPU instance 2.
#[test]
fn compute_instances_that_share_a_gpu_instance_have_one_row() {
    let driver = StandIn::new();
    driver.set(Knob::Mig, 0, 3);
    driver.set(Knob::Shared, 0, 1);
    let (mut rounds, _) = rounds(driver.path());
    let snapshot = rounds.next_round();
    let rows = snapshot.gpus[0].rows.as_ref().expect("the GPU answers");
    let instances: Vec<_> = rows.iter().filter_map(|row| row.instance.as_ref()).collect();
    let named: Vec<_> = instances.iter().map(|i| (i.gpu_instance_id, i.profile.as_str())).collect();
    assert_eq!(named, [(7, "3g.40gb"), (8, "3g.40gb")]);
    let counts: Vec<usize> = instances.iter().map(|instance| instance.uuids.len()).collect();
    assert_eq!(counts, [2, 1]);
}

#[test]
fn a_call_that_hangs_makes_its_gpu_stale_and_nothing_else() {
    let driver = StandIn::new();
    let (mut rounds, _) = rounds(driver.path());
    assert_eq!(answered(&rounds.next_round()), [true; 8]);
    driver.set(Knob::Hang, 5, 1);
    let others = [true, true, true, true, true, false, true, true];
    for _ in 0..3 {
        let snapshot = rounds.next_round();
        assert_eq!(answered(&snapshot), others);
        assert_eq!(snapshot.gpus[5].identity.index, 5, "it is still known");
    }
    driver.set(Knob::Hang, 5, 0);
    assert!(comes_true(|| answered(&rounds.next_round()) == [true; 8]), "it is read again");
}

#[test]
fn a_gpu_that_falls_off_the_bus_leaves_its_xids() {
    let driver = StandIn::new();
    let (mut rounds, hands) = rounds(driver.path());
    let has_xids = |snapshot: &Snapshot| snapshot.gpus[3].xids.is_some();
    assert!(comes_true(|| has_xids(&rounds.next_round())), "XIDs are listened for");
    driver.set(Knob::Lost, 3, 1);
    for xid in [79, 79, 79, 154] {
        driver.xid(3, xid);
    }
    let mut last = Snapshot::default();
    let seen = |snapshot: &Snapshot| {
        let counts = snapshot.gpus[3].xids.iter().flat_map(|history| history.counts.values());
        counts.map(|seen| seen.count).sum::<u64>()
    };
    assert!(comes_true(|| {
        last = rounds.next_round();
        seen(&last) == 4
    }));
    let history = last.gpus[3].xids.clone().expect("they were counted");
    assert_eq!(history.last, Some(154));
    assert_eq!(history.counts[&79], XidCount { count: 3, last_seen: NOW });
    assert_eq!(answered(&last), [true, true, true, false, true, true, true, true]);
    assert!(last.gpus[7].xids.is_none(), "the last GPU reports none");
    let text = Families::new(&last, &Counters::default(), &Naming::default()).to_text();
    assert!(text.contains("err_code=\"154\",err_msg=\"GPU Recovery Action Changed\"} 154\n"));
    driver.set(Knob::Lost, 3, 0);
    hands.advance_ms(15_000);
    assert_eq!(answered(&rounds.next_round()), [true; 8]);
}

#[test]
fn a_driver_that_goes_away_is_opened_again() {
    let driver = StandIn::new();
    let (mut rounds, hands) = rounds(driver.path());
    rounds.next_round();
    driver.set(Knob::NoDriver, 0, 1);
    assert_eq!(answered(&rounds.next_round()), [false; 8]);
    hands.advance_ms(15_000);
    let away = rounds.next_round();
    assert_eq!(answered(&away), [false; 8]);
    assert_eq!(away.gpus[4].identity.uuid, "GPU-00000000-0000-0000-0000-000000000004");
    driver.set(Knob::NoDriver, 0, 0);
    hands.advance_ms(30_000);
    assert_eq!(answered(&rounds.next_round()), [true; 8]);
}

#[test]
fn a_driver_that_hangs_while_it_is_opened_holds_up_no_round() {
    let driver = StandIn::new();
    let hang = Arc::new(AtomicBool::new(true));
    let hangs = Arc::clone(&hang);
    let driver_options = NvmlOptions { library: Some(driver.path().to_owned()), has_processes: false };
    let open = move || {
        while hangs.load(Ordering::SeqCst) {
            sleep(PAUSE);
        }
        NvmlSource::open(&driver_options)
    };
    let hands = SimulatedClock::at_ms(NOW);
    let options = CollectorOptions {
        interval: Duration::from_millis(400),
        wanted: Counters::default().fields(),
        clock: Clock::Simulated(hands.clone()),
        is_expected: true,
    };
    let mut rounds = Rounds::new(Box::new(open), options);
    let begun = Instant::now();
    for _ in 0..20 {
        let snapshot = rounds.next_round();
        assert!(snapshot.gpus.is_empty() && snapshot.is_source_up == Some(false));
        hands.advance_ms(60_000);
    }
    assert!(begun.elapsed() < Duration::from_secs(3), "the first round alone waits");
    let text = Families::new(&rounds.next_round(), &Counters::default(), &Naming::default()).to_text();
    assert!(text.ends_with("perdura_gpu_source_up{} 0\n"), "{text}");
    hang.store(false, Ordering::SeqCst);
    assert!(comes_true(|| answered(&rounds.next_round()) == [true; 8]), "it is read when it comes back");
    driver.set(Knob::NoDriver, 0, 1);
    assert_eq!(answered(&rounds.next_round()), [false; 8]);
    hang.store(true, Ordering::SeqCst);
    hands.advance_ms(60_000);
    let snapshot = rounds.next_round();
    assert_eq!((answered(&snapshot), snapshot.is_source_up), (vec![false; 8], Some(false)));
    driver.set(Knob::NoDriver, 0, 0);
    hang.store(false, Ordering::SeqCst);
    assert!(comes_true(|| answered(&rounds.next_round()) == [true; 8]), "and again");
}

#[test]
fn a_machine_without_a_driver_has_no_gpus() {
    let (mut rounds, hands) = rounds(Path::new("/nowhere/libnvidia-ml.so.1"));
    assert!(rounds.next_round().gpus.is_empty());
    hands.advance_ms(60_000);
    assert!(rounds.next_round().gpus.is_empty());
}

/// 10,000 rounds over eight GPUs, one of them in MIG mode, with the text of every tenth.
#[test]
fn ten_thousand_rounds_keep_memory_flat() {
    let driver = StandIn::new();
    driver.set(Knob::Mig, 6, 7);
    let (mut rounds, hands) = rounds(driver.path());
    let counters = Counters::default();
    let mut text_bytes = 0;
    let mut run = |count: usize| {
        for round in 0..count {
            let snapshot = rounds.next_round();
            if round % 10 == 0 {
                text_bytes = Families::new(&snapshot, &counters, &Naming::default()).to_text().len();
            }
            hands.advance_ms(1_000);
        }
    };
    run(1_000);
    let (before, samples) = (resident_bytes(), driver.live_samples());
    run(9_000);
    let (after, samples_after) = (resident_bytes(), driver.live_samples());
    assert_eq!((samples, samples_after), (14, 14), "one sample for each GPU and instance");
    let growth = after.saturating_sub(before);
    println!("{before} bytes after 1,000 rounds, {after} after 10,000; a text of {text_bytes} bytes");
    assert!(growth < 4 << 20, "memory grew by {growth} bytes");
}

fn comes_true(mut holds: impl FnMut() -> bool) -> bool {
    (0..TRIES).any(|_| {
        let is_true = holds();
        if !is_true {
            sleep(PAUSE);
        }
        is_true
    })
}

fn resident_bytes() -> u64 {
    let statm = std::fs::read_to_string("/proc/self/statm").expect("the system tells the process's memory");
    let pages = statm.split(' ').nth(1).and_then(|pages| pages.parse::<u64>().ok());
    pages.expect("the second number is the resident pages") * 4_096
}
