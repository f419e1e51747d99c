//! Puts users on the families of a round: labels of those who hold a GPU, and what each of them uses.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::super::families::{Base, Families, Family, Pairs, Sample};
use super::super::fields::Field;
use super::super::reading::{Snapshot, Value};
use super::super::workload::Workloads;
use super::holders::{Holder, Place, Resolver};
use super::jobs::{JobFolder, Jobs};
use super::labels::{PodLabels, of_holder, of_user, sorted};
use super::uses::{Use, User, Uses, uses};

/// Most rows that one device is shown in.
const ROWS_MAX: usize = 256;
const MEBIBYTE: u64 = 1 << 20;

const MEMORY: &str = "perdura_gpu_process_memory_bytes";
const SM: &str = "perdura_gpu_process_sm_utilization_percent";

/// How users are shown.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct UserOptions {
    /// What the labels of pods are called.
    pub labels: PodLabels,
    /// Whether series of a pod have its id, where it is known.
    pub has_pod_uid: bool,
    /// Whether each process is shown by itself, and not summed by what it belongs to.
    pub by_process: bool,
}

/// Knows who uses GPUs, round by round.
pub struct Users {
    workloads: Arc<dyn Workloads>,
    jobs: Option<JobFolder>,
    options: UserOptions,
    resolver: Resolver,
    /// Places where the driver has told of a process: from then on one without processes is idle.
    telling: BTreeSet<Place>,
    /// Label sets made in the last round, in its order, each with what it was made of.
    made: Vec<Made>,
}

struct Made {
    of: Arc<Base>,
    more: Pairs,
    base: Arc<Base>,
}

/// One row of a device: who it is shown for.
struct Row {
    labels: Pairs,
    /// What the row's pod uses by itself, where the device is shared and processes tell.
    own: Option<Use>,
}

impl Users {
    /// Of what `workloads` tell, and of a batch system's folder if there is one.
    pub fn new(workloads: Arc<dyn Workloads>, jobs: Option<JobFolder>, options: UserOptions) -> Self {
        let (resolver, telling, made) = Default::default();
        Self { workloads, jobs, options, resolver, telling, made }
    }

    /// Puts the users of the snapshot's time on its families.
    pub fn add_to(&mut self, snapshot: &Snapshot, families: &mut Families) {
        let holders = self.resolver.holders(self.workloads.grants(), snapshot);
        let uses = uses(snapshot, self.workloads.as_ref(), &holders, self.options.by_process);
        self.telling.extend(uses.keys());
        let jobs = self.jobs.as_mut().map(JobFolder::read).unwrap_or_default();
        let places: Vec<Option<Place>> = families.bases.iter().map(|base| place_of(base.pairs())).collect();
        let mut rows = BTreeMap::new();
        for place in places.iter().flatten() {
            rows.entry(*place).or_insert_with(|| {
                let jobs = jobs_of(*place, snapshot, &jobs, uses.get(place));
                self.rows(holders.get(place), &jobs, uses.get(place), self.telling.contains(place))
            });
        }
        let mut bases = Bases { before: std::mem::take(&mut self.made), made: Vec::new() };
        let splits = split(&mut families.bases, &places, &rows, &mut bases);
        for family in families.families.iter_mut().filter(|family| is_of_device(family.name)) {
            put_rows(family, &splits);
        }
        self.add_uses(families, &places, &uses, &mut bases);
        self.made = bases.made;
    }

    fn rows(
        &self,
        holders: Option<&BTreeSet<Holder>>,
        jobs: &BTreeSet<String>,
        used: Option<&BTreeMap<User, Use>>,
        is_told: bool,
    ) -> Vec<Row> {
        let shares = holders.filter(|holders| is_told && holders.iter().any(|holder| holder.share.is_some()));
        let by_pod = shares.and_then(|_| by_pod(used));
        // A device without holders or without jobs has one row for the other.
        let holders: Vec<_> = match holders {
            Some(holders) => holders.iter().map(Some).collect(),
            None => vec![None],
        };
        let jobs: Vec<_> = match jobs.len() {
            0 => vec![None],
            _ => jobs.iter().map(|job| Some(job.as_str())).collect(),
        };
        let mut rows = Vec::new();
        for holder in holders {
            let own = by_pod.as_ref().zip(holder).map(|(by_pod, holder)| {
                let pod = (holder.workload.namespace.as_str(), holder.workload.pod.as_str());
                let idle = Use { memory_bytes: Some(0), sm_percent: Some(0) };
                by_pod.get(&pod).copied().unwrap_or(idle)
            });
            for job in &jobs {
                let labels = of_holder(holder, *job, self.options.labels, self.options.has_pod_uid);
                if !labels.is_empty() && rows.len() < ROWS_MAX {
                    rows.push(Row { labels, own });
                }
            }
        }
        rows
    }

    /// Families of ours: what each user uses of each device.
    fn add_uses(&self, families: &mut Families, places: &[Option<Place>], uses: &Uses, bases: &mut Bases) {
        let (mut memory, mut sm) = (Vec::new(), Vec::new());
        for (place, users) in uses {
            let Some(of) = places.iter().position(|known| *known == Some(*place)) else { continue };
            let of = Arc::clone(&families.bases[of]);
            for (user, used) in users {
                let more = of_user(user, self.options.labels, self.options.has_pod_uid);
                families.bases.push(bases.get(&of, more, only_device));
                let base = families.bases.len() - 1;
                let sample = |value: u64| Sample { base, own: Pairs::new(), value: int(value) };
                memory.extend(used.memory_bytes.map(sample));
                sm.extend(used.sm_percent.map(sample));
            }
        }
        let mut add = |name: &'static str, help: &str, samples: Vec<Sample>| {
            if !samples.is_empty() {
                families.families.push(Family {
                    name,
                    metric_type: "gauge".into(),
                    help: help.into(),
                    samples,
                });
            }
        };
        add(MEMORY, "Bytes of GPU memory that processes hold, by what they belong to.", memory);
        let help = "Percent of time in which kernels of processes ran, by what they belong to; a sum over processes.";
        add(SM, help, sm);
    }
}

/// Label sets of this round, and of the one before, whose place in memory is kept where they are the same.
struct Bases {
    before: Vec<Made>,
    made: Vec<Made>,
}

impl Bases {
    /// `of` with `more` behind it; `make` puts them together.
    fn get(&mut self, of: &Arc<Base>, more: Pairs, make: fn(&Pairs, &Pairs) -> Pairs) -> Arc<Base> {
        let known = self.before.get(self.made.len());
        let known = known.filter(|known| Arc::ptr_eq(&known.of, of) && known.more == more);
        let base = match known {
            Some(known) => Arc::clone(&known.base),
            None => Arc::new(Base::new(make(of.pairs(), &more))),
        };
        self.made.push(Made { of: Arc::clone(of), more, base: Arc::clone(&base) });
        base
    }
}

fn behind(device: &Pairs, more: &Pairs) -> Pairs {
    device.iter().chain(more).cloned().collect()
}

/// What tells devices and machines apart, and no more: users come and go.
fn only_device(device: &Pairs, more: &Pairs) -> Pairs {
    let is_kept = |name: &str| {
        matches!(name, "gpu" | "UUID" | "uuid" | "GPU_I_PROFILE" | "GPU_I_ID" | "Hostname" | "hostname")
    };
    device.iter().filter(|(name, _)| is_kept(name)).chain(more).cloned().collect()
}

/// The device that a label set is of; none for plain names, which have no pods.
fn place_of(pairs: &Pairs) -> Option<Place> {
    let label = |wanted: &str| pairs.iter().find(|(name, _)| *name == wanted).map(|(_, value)| value);
    label("UUID").or_else(|| label("uuid"))?;
    let instance = match label("GPU_I_ID") {
        Some(id) => Some(id.parse().ok()?),
        None => None,
    };
    Some(Place { gpu: label("gpu")?.parse().ok()?, instance })
}

/// Whether a family is read of a device. What the collector knows of a GPU by itself goes on when its users change.
fn is_of_device(name: &str) -> bool {
    !name.starts_with("perdura_") || Field::by_name(name).is_some()
}

/// The rows of a label set, and the places of the label sets made for them.
type Split<'a> = (&'a [Row], Vec<usize>);

/// Makes label sets for the rows of each that there is.
fn split<'a>(
    all: &mut Vec<Arc<Base>>,
    places: &[Option<Place>],
    rows: &'a BTreeMap<Place, Vec<Row>>,
    bases: &mut Bases,
) -> Vec<Split<'a>> {
    let mut splits = Vec::with_capacity(places.len());
    for (of, place) in places.iter().enumerate() {
        let rows = place.and_then(|place| rows.get(&place)).map_or(&[][..], Vec::as_slice);
        let of = Arc::clone(&all[of]);
        let first = all.len();
        all.extend(rows.iter().map(|row| bases.get(&of, row.labels.clone(), behind)));
        splits.push((rows, (first..all.len()).collect()));
    }
    splits
}

fn put_rows(family: &mut Family, splits: &[Split<'_>]) {
    let mut samples = Vec::with_capacity(family.samples.len());
    for sample in std::mem::take(&mut family.samples) {
        let (rows, bases) = &splits[sample.base];
        let part = own_part(family.name).filter(|_| rows.iter().any(|row| row.own.is_some()));
        for (row, base) in rows.iter().zip(bases) {
            let value = match part {
                Some(part) => row.own.as_ref().and_then(part).map(int),
                None => Some(sample.value),
            };
            let Some(value) = value else { continue };
            // Labels of a sample's own and of its users are in one order.
            let (base, own) = match sample.own.is_empty() {
                true => (*base, Pairs::new()),
                false => (sample.base, sorted([&sample.own[..], &row.labels].concat())),
            };
            samples.push(Sample { base, own, value });
        }
        if rows.is_empty() || part.is_some() {
            samples.push(sample);
        }
    }
    family.samples = samples;
}

/// The part of a pod's use that a family shows of it where the device is shared, as the exporter does for these two.
fn own_part(family: &str) -> Option<fn(&Use) -> Option<u64>> {
    match family {
        "DCGM_FI_DEV_GPU_UTIL" | "DCGM_FI_DEV_GPU_UTIL_RATIO" => Some(|used| used.sm_percent),
        "DCGM_FI_DEV_FB_USED" => Some(|used| used.memory_bytes.map(|bytes| bytes / MEBIBYTE)),
        _ => None,
    }
}

/// What each pod uses; none where some process is of a pod without a name, since then nobody is known to be idle.
fn by_pod(used: Option<&BTreeMap<User, Use>>) -> Option<BTreeMap<(&str, &str), Use>> {
    let mut pods = BTreeMap::<_, Use>::new();
    for (user, used) in used.into_iter().flatten() {
        let workload = &user.workload;
        if workload.pod.is_empty() && workload.pod_uid.is_empty() {
            continue;
        }
        if workload.pod.is_empty() {
            return None;
        }
        pods.entry((workload.namespace.as_str(), workload.pod.as_str())).or_default().merge(*used);
    }
    Some(pods)
}

/// Jobs by the folder's files; where it has none of a device, those whose processes run there.
fn jobs_of(
    place: Place,
    snapshot: &Snapshot,
    jobs: &Jobs,
    used: Option<&BTreeMap<User, Use>>,
) -> BTreeSet<String> {
    let gpu = snapshot.gpus.iter().find(|gpu| gpu.identity.index == place.gpu);
    let mut names = match place.instance {
        None => vec![place.gpu.to_string()],
        Some(instance) => vec![format!("{}.{instance}", place.gpu)],
    };
    if let Some(gpu) = gpu {
        let rows = gpu.rows.iter().flatten().filter_map(|row| row.instance.as_ref());
        let is_it = |id: u32| Some(id) == place.instance;
        names.extend(rows.filter(|mig| is_it(mig.gpu_instance_id)).flat_map(|mig| mig.uuids.iter().cloned()));
        names.extend(place.instance.is_none().then(|| gpu.identity.uuid.clone()));
    }
    let told: BTreeSet<String> = names.iter().filter_map(|name| jobs.get(name)).flatten().cloned().collect();
    if !told.is_empty() {
        return told;
    }
    let of_processes = used.into_iter().flatten().map(|(user, _)| user.workload.slurm_job.clone());
    of_processes.filter(|job| !job.is_empty()).collect()
}

fn int(value: u64) -> Value {
    Value::Int(i64::try_from(value).unwrap_or(i64::MAX))
}

#[cfg(test)]
#[path = "attach_tests.rs"]
mod tests;
