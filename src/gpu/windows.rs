//! What the exporter counts over the last minutes: XIDs, and readings in which the clocks were lowered.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use super::fields::Field;
use super::reading::{GpuState, Row, Snapshot, Value};
use crate::model::Timestamp;

/// Most entries of one GPU and window; when more come, the oldest are forgotten.
const ENTRIES_MAX: usize = 100_000;

/// Reasons for lowered clocks by their bit, in the exporter's words.
const CLOCK_EVENTS: [&str; 9] = [
    "gpu_idle",
    "clocks_setting",
    "power_cap",
    "hw_slowdown",
    "sync_boost",
    "sw_thermal",
    "hw_thermal",
    "hw_power_brake",
    "display_clocks",
];

/// A count over a window.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Derived {
    /// `DCGM_EXP_XID_ERRORS_COUNT`: XIDs, each number.
    XidErrors,
    /// `DCGM_EXP_CLOCK_EVENTS_COUNT`: readings, for each reason that lowered the clocks.
    ClockEvents,
}

impl Derived {
    /// All of them.
    pub const ALL: [Self; 2] = [Self::XidErrors, Self::ClockEvents];

    /// The one of a name.
    pub fn by_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|derived| derived.name() == name)
    }

    /// Name of the metric family.
    pub fn name(self) -> &'static str {
        match self {
            Self::XidErrors => "DCGM_EXP_XID_ERRORS_COUNT",
            Self::ClockEvents => "DCGM_EXP_CLOCK_EVENTS_COUNT",
        }
    }

    /// What it is counted from.
    pub fn field(self) -> Field {
        match self {
            Self::XidErrors => Field::XidErrors,
            Self::ClockEvents => Field::ClocksEventReasons,
        }
    }

    /// The label that tells its series of one GPU apart.
    pub(super) fn label(self) -> &'static str {
        match self {
            Self::XidErrors => "xid",
            Self::ClockEvents => "clock_event",
        }
    }
}

/// How long the windows are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WindowLengths {
    /// Of XIDs.
    pub xids: Duration,
    /// Of clock events.
    pub clock_events: Duration,
}

impl Default for WindowLengths {
    /// Five minutes, as in the exporter.
    fn default() -> Self {
        Self { xids: Duration::from_secs(300), clock_events: Duration::from_secs(300) }
    }
}

impl WindowLengths {
    /// Of one count, in milliseconds.
    pub(super) fn ms(self, derived: Derived) -> i64 {
        let length = match derived {
            Derived::XidErrors => self.xids,
            Derived::ClockEvents => self.clock_events,
        };
        i64::try_from(length.as_millis()).unwrap_or(i64::MAX)
    }
}

/// What came in the last minutes, of all GPUs.
#[derive(Debug, Default)]
pub(super) struct Windows {
    /// By UUID.
    gpus: BTreeMap<String, Window>,
}

/// What came of one GPU, oldest first.
#[derive(Debug, Default)]
struct Window {
    /// Counts of each XID as they were seen last.
    counts: BTreeMap<u64, u64>,
    xids: VecDeque<(Timestamp, u64)>,
    reasons: VecDeque<(Timestamp, u64)>,
}

impl Windows {
    /// Takes in a round. `lengths`: what is older is forgotten.
    pub(super) fn advance(&mut self, snapshot: &Snapshot, lengths: WindowLengths) {
        let now = snapshot.time;
        self.gpus.retain(|uuid, _| snapshot.gpus.iter().any(|gpu| gpu.identity.uuid == *uuid));
        for gpu in &snapshot.gpus {
            if !self.gpus.contains_key(&gpu.identity.uuid) {
                self.gpus.insert(gpu.identity.uuid.clone(), Window::default());
            }
            let window = self.gpus.get_mut(&gpu.identity.uuid).expect("it was inserted above");
            window.take_xids(gpu, now);
            window.take_reasons(gpu, now);
            forget(&mut window.xids, now.saturating_sub(lengths.ms(Derived::XidErrors)));
            forget(&mut window.reasons, now.saturating_sub(lengths.ms(Derived::ClockEvents)));
        }
    }

    /// The counts of a GPU, by what is counted; none where nothing came.
    pub(super) fn counts(&self, derived: Derived, uuid: &str) -> Vec<(String, Value)> {
        let Some(window) = self.gpus.get(uuid) else { return Vec::new() };
        let mut counts: BTreeMap<u64, i64> = BTreeMap::new();
        match derived {
            Derived::XidErrors => {
                window.xids.iter().for_each(|(_, xid)| *counts.entry(*xid).or_default() += 1)
            }
            Derived::ClockEvents => {
                let bits = (0..CLOCK_EVENTS.len() as u64).flat_map(|bit| {
                    window.reasons.iter().filter(move |(_, set)| set >> bit & 1 == 1).map(move |_| bit)
                });
                bits.for_each(|bit| *counts.entry(bit).or_default() += 1);
            }
        }
        let named = |what: u64| match derived {
            Derived::XidErrors => what.to_string(),
            Derived::ClockEvents => CLOCK_EVENTS[what as usize].to_owned(),
        };
        counts.into_iter().map(|(what, count)| (named(what), Value::Int(count))).collect()
    }
}

impl Window {
    fn take_xids(&mut self, gpu: &GpuState, now: Timestamp) {
        let Some(history) = &gpu.xids else { return };
        for (xid, seen) in &history.counts {
            let known = self.counts.insert(*xid, seen.count).unwrap_or(0);
            // Of those between two rounds only the last one's time is known.
            let times = seen.count.saturating_sub(known).min(ENTRIES_MAX as u64);
            (0..times).for_each(|_| self.xids.push_back((seen.last_seen.min(now), *xid)));
        }
    }

    /// All instances of a GPU have its clocks.
    fn take_reasons(&mut self, gpu: &GpuState, now: Timestamp) {
        let first = gpu.rows.as_deref().and_then(<[Row]>::first);
        if let Some(Value::Int(reasons)) = first.and_then(|row| row.reading.get(Field::ClocksEventReasons)) {
            self.reasons.push_back((now, reasons.cast_unsigned()));
        }
    }
}

fn forget(entries: &mut VecDeque<(Timestamp, u64)>, before: Timestamp) {
    while entries.front().is_some_and(|(time, _)| *time <= before) || entries.len() > ENTRIES_MAX {
        entries.pop_front();
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::super::reading::{DeviceIdentity, Reading, XidHistory};
    use super::*;

    fn snapshot(time: Timestamp, reasons: i64, xids: &XidHistory) -> Snapshot {
        let mut reading = Reading::default();
        reading.set_int(Field::ClocksEventReasons, Some(reasons));
        let identity = Arc::new(DeviceIdentity { uuid: "GPU-a".to_owned(), ..DeviceIdentity::default() });
        let rows = Some(vec![Row { instance: None, reading }]);
        let gpu = GpuState { identity, rows, processes: Vec::new(), xids: Some(xids.clone()) };
        Snapshot { time, gpus: vec![gpu], ..Snapshot::default() }
    }

    fn counts(windows: &Windows, derived: Derived) -> Vec<(String, i64)> {
        let counts = windows.counts(derived, "GPU-a").into_iter();
        counts.map(|(name, count)| (name, count.as_f64() as i64)).collect()
    }

    #[test]
    fn what_is_older_than_the_window_is_forgotten() {
        let mut windows = Windows::default();
        let mut xids = XidHistory::default();
        let lengths = WindowLengths { xids: Duration::from_secs(10), clock_events: Duration::from_secs(2) };
        windows.advance(&snapshot(1_000, 0, &xids), lengths);
        assert!(counts(&windows, Derived::XidErrors).is_empty());
        xids.record(79, 1_500);
        xids.record(79, 1_600);
        windows.advance(&snapshot(2_000, 0b1000_0100, &xids), lengths);
        xids.record(31, 2_500);
        windows.advance(&snapshot(3_000, 0b0000_0100, &xids), lengths);
        let expected = [("31".to_owned(), 1), ("79".to_owned(), 2)];
        assert_eq!(counts(&windows, Derived::XidErrors), expected);
        let expected = [("power_cap".to_owned(), 2), ("hw_power_brake".to_owned(), 1)];
        assert_eq!(counts(&windows, Derived::ClockEvents), expected);
        windows.advance(&snapshot(4_500, 0, &xids), lengths);
        assert_eq!(counts(&windows, Derived::ClockEvents), [("power_cap".to_owned(), 1)]);
        windows.advance(&snapshot(12_000, 0, &xids), lengths);
        assert_eq!(counts(&windows, Derived::XidErrors), [("31".to_owned(), 1)]);
        windows.advance(&Snapshot::default(), lengths);
        assert!(windows.gpus.is_empty(), "a GPU that is gone leaves nothing");
    }
}
