//! The processes on a GPU: what memory each holds, and how much of the time its kernels ran.
//!
//! In MIG mode the driver tells the processes of each MIG device, and nothing of their time. Ids are those of the reader's
//! pid namespace: a container must share the machine's to see others.

use std::collections::BTreeMap;

use nvml_wrapper::Device as Handle;
use nvml_wrapper::enums::device::UsedGpuMemory;
use nvml_wrapper::error::NvmlError;
use nvml_wrapper::struct_wrappers::device::{ProcessInfo, ProcessUtilizationSample};

use super::super::source::SourceError;
use super::super::workload::Process;
use super::optional;

/// Most processes that are kept of a GPU.
const PROCESSES_MAX: usize = 4_096;

/// What is remembered between two readings.
#[derive(Debug, Default)]
pub(super) struct Processes {
    /// The driver's time of the newest sample of utilization, in microseconds.
    seen_us: u64,
}

impl Processes {
    /// The processes of a GPU that is not in MIG mode; none where the driver does not tell.
    pub(super) fn of_gpu(&mut self, handle: &Handle<'_>) -> Result<Vec<Process>, SourceError> {
        let mut processes = running(handle, None)?;
        if processes.is_empty() {
            return Ok(processes);
        }
        if let Some(percents) = self.utilization(handle)? {
            for process in &mut processes {
                // The driver leaves out those that did nothing.
                process.sm_percent = Some(percents.get(&process.pid).copied().unwrap_or(0));
            }
        }
        Ok(processes)
    }

    /// Percents by process since the last call.
    fn utilization(&mut self, handle: &Handle<'_>) -> Result<Option<BTreeMap<u32, u32>>, SourceError> {
        let samples = match handle.process_utilization_stats(self.seen_us) {
            // None did anything.
            Err(NvmlError::NotFound) => Some(Vec::new()),
            other => optional("nvmlDeviceGetProcessUtilization", other)?,
        };
        Ok(samples.map(|samples| self.newest(samples)))
    }

    /// The newest sample of each process. Some drivers fill what is left of their list with numbers that are none.
    fn newest(&mut self, mut samples: Vec<ProcessUtilizationSample>) -> BTreeMap<u32, u32> {
        samples.retain(|sample| sample.timestamp > self.seen_us && sample.sm_util <= 100);
        samples.sort_by_key(|sample| sample.timestamp);
        self.seen_us = samples.last().map_or(self.seen_us, |sample| sample.timestamp);
        samples.into_iter().map(|sample| (sample.pid, sample.sm_util)).collect()
    }
}

/// The processes of one MIG device.
pub(super) fn of_mig_device(handle: &Handle<'_>, instance: u32) -> Result<Vec<Process>, SourceError> {
    running(handle, Some(instance))
}

fn running(handle: &Handle<'_>, instance: Option<u32>) -> Result<Vec<Process>, SourceError> {
    let lists = [
        optional("nvmlDeviceGetComputeRunningProcesses_v3", handle.running_compute_processes())?,
        optional("nvmlDeviceGetMPSComputeRunningProcesses_v3", handle.mps_running_compute_processes())?,
        optional("nvmlDeviceGetGraphicsRunningProcesses_v3", handle.running_graphics_processes())?,
    ];
    Ok(merged(lists.into_iter().flatten().flatten(), instance))
}

/// A process may be on several of the lists, each time with all of its memory.
fn merged(infos: impl Iterator<Item = ProcessInfo>, instance: Option<u32>) -> Vec<Process> {
    let mut processes = BTreeMap::new();
    // 0 stands for processes that the reader may not see.
    for info in infos.filter(|info| info.pid != 0) {
        if processes.len() == PROCESSES_MAX && !processes.contains_key(&info.pid) {
            continue;
        }
        let memory_bytes = match info.used_gpu_memory {
            UsedGpuMemory::Used(bytes) => Some(bytes),
            UsedGpuMemory::Unavailable => None,
        };
        let process = processes.entry(info.pid).or_insert(Process {
            pid: info.pid,
            gpu_instance_id: instance,
            memory_bytes: None,
            sm_percent: None,
        });
        process.memory_bytes = process.memory_bytes.max(memory_bytes);
    }
    processes.into_values().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn info(pid: u32, used_gpu_memory: UsedGpuMemory) -> ProcessInfo {
        ProcessInfo { pid, used_gpu_memory, gpu_instance_id: None, compute_instance_id: None }
    }

    #[test]
    fn lists_are_merged_by_process() {
        let used = UsedGpuMemory::Used;
        let infos = [
            info(7, used(300)),
            info(0, used(9)),
            info(3, UsedGpuMemory::Unavailable),
            info(7, used(200)),
            info(7, UsedGpuMemory::Unavailable),
        ];
        let processes = merged(infos.into_iter(), Some(2));
        let shown: Vec<_> = processes.iter().map(|p| (p.pid, p.gpu_instance_id, p.memory_bytes)).collect();
        assert_eq!(shown, [(3, Some(2), None), (7, Some(2), Some(300))]);
    }

    #[test]
    fn the_newest_sound_sample_of_each_process_counts() {
        let sample = |pid, timestamp, sm_util| ProcessUtilizationSample {
            pid,
            timestamp,
            sm_util,
            mem_util: 0,
            enc_util: 0,
            dec_util: 0,
        };
        let mut processes = Processes::default();
        let samples = vec![sample(7, 20, 50), sample(7, 10, 40), sample(8, 15, 3), sample(9, 30, 4_000_000)];
        assert_eq!(processes.newest(samples), BTreeMap::from([(7, 50), (8, 3)]));
        assert_eq!(processes.newest(vec![sample(7, 20, 50)]), BTreeMap::new(), "it was seen before");
        assert_eq!(processes.newest(vec![sample(8, 21, 1)]), BTreeMap::from([(8, 1)]));
    }
}
