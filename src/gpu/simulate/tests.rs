//! What must hold of any fleet, whatever its seed.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use proptest::prelude::*;

use super::super::fields::FIELDS;
use super::super::source::{Source, SourceError};
use super::super::workload::Workloads;
use super::super::{
    CollectorOptions, Counters, Families, Field, FieldSet, GpuReading, Naming, Reading, Rounds, Snapshot,
};
use super::*;
use crate::clock::SimulatedClock;
use crate::ingest::exposition::{Entry, Format, Parser};

const START_US: i64 = 1_750_000_500_000_000;

fn all_fields() -> FieldSet {
    FIELDS.iter().map(|info| info.field).collect()
}

fn fleet(nodes: u32, gpus: u32, models: &[Model], seed: u64) -> Simulation {
    Simulation { nodes, gpus, models: models.to_vec(), seed, speed: 1.0 }
}

fn read(source: &Arc<SimulatedNode>, index: u32, now_us: i64) -> Result<GpuReading, SourceError> {
    source.device(index).expect("it is there").read(now_us, all_fields())
}

fn value(reading: &Reading, field: Field) -> f64 {
    reading.get(field).unwrap_or_else(|| panic!("{field:?} has a value")).as_f64()
}

/// All models, with the name of each.
fn any_model() -> impl Strategy<Value = Model> {
    (0..Model::NAMES.len()).prop_map(|place| Model::NAMES[place].1)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]

    #[test]
    fn readings_are_plausible(seed: u64, model in any_model(), index in 0_u32..8, start_s in 0_i64..100_000_000) {
        let source = fleet(1, 8, &[model], seed).node(0, Clock::System);
        let product = model.product();
        let mut before: BTreeMap<(usize, Field), f64> = BTreeMap::new();
        let mut away = false;
        for second in (0..2_000).step_by(7) {
            let now_us = (1_700_000_000 + start_s + second) * 1_000_000;
            let Ok(reading) = read(&source, index, now_us) else {
                prop_assert_eq!(index, SICK_PLACE, "only the sick one falls");
                away = true;
                continue;
            };
            for (place, row) in reading.rows.iter().enumerate() {
                let get = |field| row.reading.get(field).map(|value| value.as_f64());
                let (total, used) = (value(&row.reading, Field::FbTotal), value(&row.reading, Field::FbUsed));
                let (free, reserved) = (value(&row.reading, Field::FbFree), value(&row.reading, Field::FbReserved));
                prop_assert_eq!(used + free + reserved, total);
                prop_assert!(used >= 0.0 && free >= 0.0);
                let power_w = value(&row.reading, Field::PowerUsage);
                prop_assert!(power_w <= product.limit_w && power_w >= product.idle_w * 0.98, "{} W", power_w);
                let celsius = value(&row.reading, Field::GpuTemp);
                let hottest = if index == SICK_PLACE { product.slowdown_c + 18.0 } else { product.full_load_c };
                prop_assert!((22.0..=hottest).contains(&celsius), "{} degrees", celsius);
                let mhz = value(&row.reading, Field::SmClock);
                prop_assert!((product.sm_mhz_idle..=product.sm_mhz_max).contains(&mhz), "{} MHz", mhz);
                for field in [Field::GpuUtil, Field::MemCopyUtil] {
                    prop_assert!(get(field).is_none_or(|percent| (0.0..=100.0).contains(&percent)));
                    prop_assert_eq!(get(field).is_none(), row.instance.is_some());
                }
                for info in FIELDS.iter().filter(|info| info.name.ends_with("_ACTIVE")) {
                    prop_assert!(get(info.field).is_none_or(|ratio| (0.0..=1.0).contains(&ratio)));
                    prop_assert!(get(info.field).is_none() || product.has_gpm);
                }
                prop_assert_eq!(get(Field::GrEngineActive).is_some(), product.has_gpm);
                for info in FIELDS.iter().filter(|info| is_count(info.field)) {
                    let Some(count) = get(info.field) else { continue };
                    let last = before.insert((place, info.field), count).unwrap_or(0.0);
                    prop_assert!(away || count >= last, "{} fell from {} to {}", info.name, last, count);
                }
            }
            away = false;
        }
    }

    #[test]
    fn energy_is_the_integral_of_power(seed: u64, model in any_model(), index in 0_u32..3, speed in 1_u32..50) {
        let simulation = Simulation { speed: f64::from(speed), ..fleet(1, 3, &[model], seed) };
        let source = simulation.node(0, Clock::System);
        let at = |second: i64| {
            let reading = read(&source, index, START_US + second * 100_000).expect("it answers");
            let row = &reading.rows[0].reading;
            (value(row, Field::PowerUsage), value(row, Field::TotalEnergy))
        };
        let joules: f64 = (0..2_000).map(|tenth| at(tenth).0 / 10.0).sum();
        let told = (at(2_000).1 - at(0).1) / 1_000.0;
        prop_assert!((told / joules - 1.0).abs() < 0.02, "{} J told, {} J drawn", told, joules);
    }
}

/// Counts of a whole machine since it started, and those of its life; not what DCGM calls a counter and is a rate.
fn is_count(field: Field) -> bool {
    field.info().metric_type == "counter" && field != Field::NvLinkBandwidth
}

#[test]
fn the_same_seed_says_the_same() {
    let models = [Model::H100, Model::L40s, Model::A100Mig];
    let (one, other) = (fleet(3, 4, &models, 9), fleet(3, 4, &models, 9));
    let another = fleet(3, 4, &models, 10);
    for node in 0..3 {
        let node_of = |simulation: &Simulation| simulation.node(node, Clock::System);
        let (one, other, another) = (node_of(&one), node_of(&other), node_of(&another));
        // Later ones first: nothing depends on what was asked before.
        for index in (0..4).rev() {
            let now_us = START_US + i64::from(index) * 1_234_567;
            assert_eq!(read(&one, index, now_us), read(&other, index, now_us));
            assert_ne!(read(&one, index, now_us), read(&another, index, now_us));
        }
    }
}

#[test]
fn machines_and_gpus_are_not_mistaken_for_each_other() {
    let simulation = fleet(20, 8, &[Model::H100, Model::A100], 1);
    let mut uuids = BTreeSet::new();
    for node in 0..20 {
        let source = simulation.node(node, Clock::System);
        for index in 0..source.device_count().expect("it is known") {
            let Ok(reading) = read(&source, index, START_US) else { continue };
            let identity = &reading.identity;
            assert!(uuids.insert(identity.uuid.clone()), "{} is there twice", identity.uuid);
            assert_eq!((identity.index, identity.uuid.len()), (index, 40));
            let expected = if node % 2 == 0 { "NVIDIA H100 80GB HBM3" } else { "NVIDIA A100-SXM4-80GB" };
            assert_eq!(identity.model_name, expected);
        }
    }
    assert!(uuids.len() >= 159);
}

#[test]
fn generations_lack_what_they_lack() {
    let reading_of =
        |model| read(&fleet(1, 1, &[model], 1).node(0, Clock::System), 0, START_US).expect("it answers");
    let whole = |model| reading_of(model).rows[0].reading.clone();
    let l40s = whole(Model::L40s);
    assert_eq!((l40s.get(Field::MemoryTemp), l40s.get(Field::NvLinkTransmit)), (None, None));
    assert_eq!(
        (l40s.get(Field::GrEngineActive), whole(Model::A100).get(Field::GrEngineActive)),
        (None, None)
    );
    assert!(l40s.get(Field::PcieTx).is_some() && whole(Model::A100).get(Field::NvLinkTransmit).is_some());
    assert!(whole(Model::H200).get(Field::GrEngineActive).is_some());
    let mig = reading_of(Model::H100Mig);
    let profiles: Vec<&str> =
        mig.rows.iter().filter_map(|row| Some(row.instance.as_ref()?.profile.as_str())).collect();
    assert_eq!(profiles, ["3g.40gb", "2g.20gb", "1g.10gb", "1g.10gb"]);
    assert!(mig.rows.iter().all(|row| row.reading.get(Field::RemappedUncorrectable).is_none()));
}

#[test]
fn the_sick_gpu_goes_through_its_story() {
    for (_, model) in Model::NAMES {
        let source = fleet(1, 4, &[model], 5).node(0, Clock::System);
        let at = |since: i64| read(&source, SICK_PLACE, START_US + since * 1_000_000);
        let get = |since: i64, field| value(&at(since).expect("it answers").rows[0].reading, field);
        assert_eq!(START_US / 1_000_000 % 900, 0, "a story begins");
        assert!(get(60, Field::GpuTemp) < 80.0 && get(60, Field::ThermalViolation) == 0.0);
        let slowdown_c = model.product().slowdown_c;
        let hot = (190..600).filter(|since| get(*since, Field::GpuTemp) > 80.0).count();
        assert_eq!(hot, 410, "{model:?}: it is hot until it falls");
        assert!((180..600).any(|since| get(since, Field::GpuTemp) >= slowdown_c), "{model:?}");
        let mean = |field, from: i64, until: i64| {
            (from..until).map(|since| get(since, field)).sum::<f64>() / (until - from) as f64
        };
        assert!(mean(Field::SmClock, 180, 600) < 0.65 * mean(Field::SmClock, 0, 160), "{model:?}");
        assert!(mean(Field::PowerUsage, 250, 600) < mean(Field::PowerUsage, 0, 160), "{model:?}");
        assert_eq!(get(270, Field::ThermalViolation), 100e9);
        let dbe: Vec<f64> = [380, 400, 500].map(|since| get(since, Field::EccDbeVolatile)).to_vec();
        assert_eq!(dbe, [0.0, 1.0, 3.0]);
        assert!(matches!(at(600), Err(SourceError::Device(_))) && at(779).is_err());
        assert!(get(800, Field::GpuTemp) < 80.0 && get(800, Field::EccDbeVolatile) == 0.0);
        assert!(get(800, Field::EccDbeAggregate) >= 3.0);
        assert!(get(800, Field::TotalEnergy) < get(599, Field::TotalEnergy), "it counts anew");
    }
}

#[test]
fn xids_come_as_the_clock_moves() {
    let hands = SimulatedClock::at_ms(START_US / 1_000);
    let source = fleet(1, 4, &[Model::H100], 3).node(0, Clock::Simulated(hands.clone()));
    let mut events = source.xid_events().expect("they are told");
    assert_eq!(events.watched(), [0, 1, 2, 3]);
    let mut told = Vec::new();
    for _ in 0..30 {
        hands.advance_ms(30_000);
        while let Some(event) = events.next(Duration::ZERO).expect("they are told") {
            told.push(event);
        }
    }
    let of_sick: Vec<u64> =
        told.iter().filter(|event| event.index == SICK_PLACE).map(|event| event.xid).collect();
    assert_eq!(of_sick.iter().filter(|xid| xids_of_story().contains(xid)).count(), 5, "{of_sick:?}");
    let order: Vec<u64> = of_sick.into_iter().filter(|xid| xids_of_story().contains(xid)).collect();
    assert_eq!(order, [63, 48, 94, 48, 79]);
    assert_eq!(events.next(Duration::from_millis(1)), Ok(None), "the clock stands still");
    drop(events);
    let mut again = source.xid_events().expect("they are told");
    assert_eq!(again.next(Duration::ZERO), Ok(None), "none is told twice");
}

fn xids_of_story() -> Vec<u64> {
    sickness::XIDS.iter().map(|(_, xid)| *xid).collect()
}

#[test]
fn xids_of_programs_are_rare_and_do_come() {
    let month_us = 30 * 86_400 * 1_000_000_i64;
    let simulation = fleet(8, 8, &[Model::H100], 2);
    let mut count = 0;
    for node in 0..8 {
        let hands = SimulatedClock::at_ms(START_US / 1_000);
        let source = simulation.node(node, Clock::Simulated(hands.clone()));
        let mut events = source.xid_events().expect("they are told");
        for _ in 0..10 {
            hands.advance_ms(month_us / 10_000);
            while let Some(event) = events.next(Duration::ZERO).expect("they are told") {
                count += usize::from(!xids_of_story().contains(&event.xid));
            }
        }
    }
    // 64 GPUs, one in twelve days each: 160 are expected.
    assert!((110..210).contains(&count), "{count}");
}

/// A thousand GPUs are read without threads, and say what they would say with them.
#[test]
fn a_thousand_gpus_are_a_round() {
    let models = [Model::H100, Model::A100, Model::L40s, Model::H100Mig];
    let hands = SimulatedClock::at_ms(START_US / 1_000);
    let simulation = fleet(125, 8, &models, 1);
    let options = || CollectorOptions {
        interval: Duration::from_secs(15),
        wanted: all_fields(),
        clock: Clock::Simulated(hands.clone()),
        is_expected: true,
    };
    let rounds_of = |source: Arc<SimulatedNode>| {
        let open = move || Ok(Arc::clone(&source) as Arc<dyn Source>);
        Rounds::new(Box::new(open), options())
    };
    let mut page = Families::default();
    let naming = |hostname| Naming { hostname: Some(hostname), ..Naming::default() };
    for node in 0..125 {
        let source = simulation.node(node, options().clock);
        assert!(source.is_quick());
        let snapshot = rounds_of(source).next_round();
        let naming = naming(simulation.node_name(node));
        page.extend(Families::new(&snapshot, &Counters::default(), &naming));
        if node < 2 {
            let with_threads = Simulation { nodes: 2, ..simulation.clone() }.node(node, options().clock);
            assert!(!with_threads.is_quick());
            let other = rounds_of(with_threads).next_round();
            let rows =
                |snapshot: &Snapshot| snapshot.gpus.iter().map(|gpu| gpu.rows.clone()).collect::<Vec<_>>();
            assert_eq!(rows(&snapshot), rows(&other));
        }
    }
    let up = page.families.iter().find(|family| family.name == "perdura_gpu_up").expect("it is there");
    assert_eq!(up.samples.len(), 1_000);
    let text = page.to_text();
    let mut parser = Parser::new(Format::Text, text.as_bytes());
    let mut count = 0;
    while let Some(entry) = parser.next_entry().expect("the page is sound") {
        count += usize::from(matches!(entry, Entry::Sample(_)));
    }
    assert_eq!(count, page.families.iter().map(|family| family.samples.len()).sum::<usize>());
}

/// Rounds over the sick GPU, as rules would see them.
#[test]
fn rounds_tell_of_the_fall() {
    let hands = SimulatedClock::at_ms(START_US / 1_000);
    let simulation = fleet(33, 8, &[Model::H100], 1);
    let source = simulation.node(0, Clock::Simulated(hands.clone()));
    let options = CollectorOptions {
        interval: Duration::from_secs(15),
        wanted: all_fields(),
        clock: Clock::Simulated(hands.clone()),
        is_expected: true,
    };
    let open = move || Ok(Arc::clone(&source) as Arc<dyn Source>);
    let mut rounds = Rounds::new(Box::new(open), options);
    let mut up = Vec::new();
    let mut snapshot = rounds.next_round();
    for _ in 0..60 {
        hands.advance_ms(15_000);
        snapshot = rounds.next_round();
        up.push(snapshot.gpus[3].rows.is_some());
    }
    assert_eq!(up.iter().filter(|up| !**up).count(), 12, "it is away for 180 s");
    assert!(up.first() == Some(&true) && up.last() == Some(&true));
    let xids = snapshot.gpus[3].xids.as_ref().expect("they are counted");
    let count = |xid| xids.counts.get(&xid).map(|seen| seen.count);
    assert_eq!([63, 48, 94, 79].map(count), [Some(1), Some(2), Some(1), Some(1)]);
    assert_eq!(xids.last, Some(79));
}

#[test]
fn processes_and_grants_agree() {
    let hands = SimulatedClock::at_ms(START_US / 1_000);
    let simulation = fleet(4, 8, &[Model::H100, Model::A100Mig, Model::L40s, Model::H100Mig], 1);
    let mut ids = BTreeSet::new();
    for number in 0..4 {
        let node = simulation.node(number, Clock::Simulated(hands.clone()));
        let grants = node.grants();
        assert!(
            grants
                .iter()
                .all(|grant| !grant.workload.pod.is_empty() && grant.resource.starts_with("nvidia.com/"))
        );
        ids.extend(grants.iter().map(|grant| grant.device_id.clone()));
        let mut pids = BTreeSet::new();
        let (mut jobs, mut units, mut pods) = (0, 0, BTreeSet::new());
        for index in 0..8 {
            let reading = read(&node, index, START_US).expect("it answers");
            let rows = reading.rows.iter();
            let used: f64 = rows.map(|row| value(&row.reading, Field::FbUsed)).sum();
            let held: u64 = reading.processes.iter().filter_map(|process| process.memory_bytes).sum();
            assert!(held as f64 / 1_048_576.0 <= used, "node {number}, GPU {index}");
            for process in &reading.processes {
                assert!(pids.insert(process.pid), "{} is there twice", process.pid);
                let workload = node.of_process(process.pid).expect("it runs");
                jobs += u32::from(!workload.slurm_job.is_empty());
                units += u32::from(!workload.unit.is_empty());
                pods.insert(workload.pod);
            }
        }
        let granted: BTreeSet<String> = grants.iter().map(|grant| grant.workload.pod.clone()).collect();
        pods.remove("");
        assert_eq!(pods, granted, "node {number}");
        assert_eq!((jobs, units), if number % 2 == 0 { (1, 1) } else { (0, 0) });
        assert!(granted.iter().any(|pod| pod.starts_with("fraud-model-")));
        assert_eq!(node.of_process(1), None);
    }
    let has = |form: fn(&str) -> bool| assert!(ids.iter().any(|id| form(id)), "{ids:?}");
    has(|id| id.starts_with("GPU-") && id.len() == 40);
    has(|id| id.starts_with("GPU-") && id.ends_with("::2"));
    has(|id| id.starts_with("MIG-") && id.len() == 40);
    has(|id| id == "nvidia0/gi2");
    has(|id| id == "nvidia7/gi9/vgpu0");
}

#[test]
fn trainings_end_and_others_begin() {
    let hands = SimulatedClock::at_ms(START_US / 1_000);
    let node = fleet(1, 8, &[Model::H100], 1).node(0, Clock::Simulated(hands.clone()));
    let training = || {
        let grants = node.grants();
        let grant = grants.iter().find(|grant| grant.workload.namespace == "ml-train").expect("it runs");
        (grant.device_id.clone(), grant.workload.pod.clone())
    };
    let before = training();
    hands.advance_ms(6 * 3_600_000);
    let after = training();
    assert_eq!(before.0, after.0);
    assert_ne!(before.1, after.1);
}
