//! When XIDs come: now and then on any GPU, and by its story on the sick one.

use super::gpu::Gpu;
use super::sickness::{STORY, XIDS};

/// Seconds that are looked at at once.
const WINDOW: f64 = 3_600.0;
/// In how many windows one XID comes: on any one GPU once in twelve days.
const WINDOWS_PER_XID: u64 = 288;
/// Those that programs cause: a page fault, an exception of the graphics engine, and what is left of a stopped program.
const OF_PROGRAMS: [u64; 4] = [31, 13, 43, 45];
/// Longest that is looked back; who listens does so every second.
const LOOK_BACK: f64 = 7.0 * 86_400.0;

/// When, and which, after `from` and until `until`, in order of time. Both in seconds of the simulation.
pub(super) fn xids(gpu: &Gpu, from: f64, until: f64) -> Vec<(f64, u64)> {
    let from = from.max(until - LOOK_BACK);
    let mut found = of_programs(gpu, from, until);
    if gpu.is_sick {
        found.retain(|(at, _)| !gpu.chapter(*at).is_some_and(|chapter| chapter.is_off_bus()));
        let stories = whole(from / STORY)..=whole(until / STORY);
        let told = stories.flat_map(|story| XIDS.map(|(since, xid)| (story as f64 * STORY + since, xid)));
        found.extend(told.filter(|(at, _)| *at > from && *at <= until));
    }
    found.sort_by(|a, b| a.0.total_cmp(&b.0));
    found
}

fn of_programs(gpu: &Gpu, from: f64, until: f64) -> Vec<(f64, u64)> {
    let windows = whole(from / WINDOW)..=whole(until / WINDOW);
    let in_window = |window: i64| {
        let chance = gpu.chance.named("xid").of(window.cast_unsigned());
        let at = (window as f64 + chance.of(1).unit()) * WINDOW;
        let xid = OF_PROGRAMS[chance.of(2).below(OF_PROGRAMS.len() as u64) as usize];
        (chance.of(0).below(WINDOWS_PER_XID) == 0 && at > from && at <= until).then_some((at, xid))
    };
    windows.filter_map(in_window).collect()
}

/// The whole number below; times of the simulation are far from where that would not fit.
fn whole(value: f64) -> i64 {
    value.floor() as i64
}
