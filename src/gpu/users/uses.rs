//! What processes use, summed by whom they belong to, so that series last as long as a workload and not as a process.

use std::collections::BTreeMap;

use super::super::reading::Snapshot;
use super::super::workload::{Process, Workload, Workloads};
use super::holders::{Holders, Place, joined};

/// Most users of a place that are told apart; what is beyond them is summed without a name.
const USERS_MAX: usize = 256;

/// A user: a workload, or one process of it.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct User {
    pub(super) workload: Workload,
    /// The process' id and its program's name, where each is shown.
    pub(super) process: Option<(u32, String)>,
}

/// What a user uses. A part that the driver does not tell of any of its processes is none.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Use {
    pub(super) memory_bytes: Option<u64>,
    pub(super) sm_percent: Option<u64>,
}

impl Use {
    fn add(&mut self, process: &Process) {
        let sm_percent = process.sm_percent.map(u64::from);
        self.merge(Self { memory_bytes: process.memory_bytes, sm_percent });
    }

    pub(super) fn merge(&mut self, other: Self) {
        let sum = |a: Option<u64>, b: Option<u64>| match (a, b) {
            (Some(a), Some(b)) => Some(a.saturating_add(b)),
            (a, b) => a.or(b),
        };
        self.memory_bytes = sum(self.memory_bytes, other.memory_bytes);
        self.sm_percent = sum(self.sm_percent, other.sm_percent);
    }
}

/// Users by place.
pub(super) type Uses = BTreeMap<Place, BTreeMap<User, Use>>;

/// What the processes of a round use. `by_process`: each process is a user of its own.
pub(super) fn uses(
    snapshot: &Snapshot,
    workloads: &dyn Workloads,
    holders: &Holders,
    by_process: bool,
) -> Uses {
    let mut uses = Uses::new();
    for gpu in &snapshot.gpus {
        for process in &gpu.processes {
            let place = Place { gpu: gpu.identity.index, instance: process.gpu_instance_id };
            let owner = workloads.of_process(process.pid).unwrap_or_default();
            let workload = joined(owner, holders.get(&place));
            let shown =
                by_process.then(|| (process.pid, workloads.name_of_process(process.pid).unwrap_or_default()));
            let users = uses.entry(place).or_default();
            let mut user = User { workload, process: shown };
            if users.len() >= USERS_MAX && !users.contains_key(&user) {
                user = User::default();
            }
            users.entry(user).or_default().add(process);
        }
    }
    uses
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::super::super::reading::{DeviceIdentity, GpuState};
    use super::super::super::workload::Grant;
    use super::*;

    /// Processes belong to units by their tens.
    struct ByTens;

    impl Workloads for ByTens {
        fn grants(&self) -> Vec<Grant> {
            Vec::new()
        }

        fn of_process(&self, pid: u32) -> Option<Workload> {
            (pid < 100_000).then(|| Workload { unit: format!("{}.service", pid / 10), ..Workload::default() })
        }
    }

    fn snapshot(processes: Vec<Process>) -> Snapshot {
        let identity = Arc::new(DeviceIdentity::default());
        let gpu = GpuState { identity, rows: None, processes, xids: None };
        Snapshot { gpus: vec![gpu], ..Snapshot::default() }
    }

    fn process(pid: u32, memory_bytes: Option<u64>, sm_percent: Option<u32>) -> Process {
        Process { pid, gpu_instance_id: None, memory_bytes, sm_percent }
    }

    #[test]
    fn processes_are_summed_by_their_owner() {
        let processes = vec![
            process(11, Some(5), Some(40)),
            process(12, Some(7), None),
            process(20, None, Some(3)),
            process(200_000, Some(1), None),
        ];
        let snapshot = snapshot(processes);
        let uses_of = |by_process| uses(&snapshot, &ByTens, &Holders::new(), by_process);
        let all = uses_of(false);
        let place = Place { gpu: 0, instance: None };
        let shown: Vec<_> =
            all[&place].iter().map(|(user, used)| (user.workload.unit.as_str(), *used)).collect();
        let used = |memory_bytes, sm_percent| Use { memory_bytes, sm_percent };
        let expected = [
            ("", used(Some(1), None)),
            ("1.service", used(Some(12), Some(40))),
            ("2.service", used(None, Some(3))),
        ];
        assert_eq!(shown, expected);
        assert_eq!(uses_of(true)[&place].len(), 4);
    }

    #[test]
    fn users_are_bounded() {
        let processes = (0..20_000).map(|pid| process(pid, Some(1), None)).collect();
        let all = uses(&snapshot(processes), &ByTens, &Holders::new(), false);
        let users = &all[&Place { gpu: 0, instance: None }];
        assert_eq!(users.len(), USERS_MAX + 1);
        assert_eq!(users[&User::default()].memory_bytes, Some(20_000 - 2_560));
        assert_eq!(users.values().filter_map(|used| used.memory_bytes).sum::<u64>(), 20_000);
    }
}
