//! Which segments to merge next. A pure function of what there is.

use std::cmp::Reverse;

use crate::model::{TenantId, TimeSpan, Timestamp};

use super::windows::{HOUR_MS, WINDOWS_MS, window_around, window_length};

/// A segment is not rewritten for inputs below this part of its size.
const REWRITE_RATIO: u64 = 8;
/// Segments in a window that still fills, before they are merged.
const OPEN_WINDOW_INPUTS_MIN: usize = 4;
/// How long after its end a window may still fill.
const LATE_MS: i64 = HOUR_MS;

/// What planning looks at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Candidate {
    pub(super) number: u64,
    pub(super) tenant: TenantId,
    pub(super) window: TimeSpan,
    pub(super) span: TimeSpan,
    /// Highest and lowest sequence number; the segment with the larger pair wins at equal times.
    pub(super) rank: (u64, u64),
    pub(super) bytes: u64,
    /// Cannot be merged.
    pub(super) is_fixed: bool,
}

/// What to merge.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Plan {
    /// Numbers of the inputs, in rising rank.
    pub(super) inputs: Vec<u64>,
    /// Window of the output.
    pub(super) window: TimeSpan,
}

/// When to merge.
#[derive(Clone, Copy, Debug)]
pub(super) struct PlanLimits {
    /// Time of the newest sample, or now if that is earlier.
    pub(super) newest: Timestamp,
    /// Longest window in use.
    pub(super) longest_window_ms: i64,
    /// Most bytes of a merge's inputs, beyond the finest windows.
    pub(super) bytes_max: u64,
    /// Treat every window as complete.
    pub(super) is_forced: bool,
}

/// The next merge, or `None` where nothing is left to do.
pub(super) fn plan(candidates: &[Candidate], limits: &PlanLimits) -> Option<Plan> {
    let mut sorted: Vec<&Candidate> = candidates.iter().collect();
    sorted.sort_by_key(|candidate| (candidate.rank, candidate.number));
    let mut tenants: Vec<&TenantId> = sorted.iter().map(|candidate| &candidate.tenant).collect();
    tenants.sort_unstable();
    tenants.dedup();
    tenants.into_iter().find_map(|tenant| {
        let own: Vec<&Candidate> = sorted.iter().copied().filter(|c| c.tenant == *tenant).collect();
        plan_overlays(&own).or_else(|| plan_windows(&own, limits))
    })
}

/// Merges within windows: coarse ones first on demand, since what they take in need not be merged before; else fine
/// ones first, since coarse ones are not complete yet.
fn plan_windows(sorted: &[&Candidate], limits: &PlanLimits) -> Option<Plan> {
    let mut lengths: Vec<i64> =
        WINDOWS_MS.into_iter().filter(|length| *length <= limits.longest_window_ms).collect();
    if limits.is_forced {
        lengths.reverse();
    }
    lengths.into_iter().find_map(|length| {
        let mut windows: Vec<TimeSpan> = sorted
            .iter()
            .filter(|candidate| window_length(candidate.window).is_some_and(|own| own <= length))
            .map(|candidate| window_around(candidate.window.start, length))
            .collect();
        windows.sort_unstable_by_key(|window| window.start);
        windows.dedup();
        windows.into_iter().find_map(|window| plan_window(sorted, window, limits))
    })
}

fn plan_window(sorted: &[&Candidate], window: TimeSpan, limits: &PlanLimits) -> Option<Plan> {
    let is_complete = limits.is_forced || limits.newest > window.end.saturating_add(LATE_MS);
    let is_finest = window_length(window) == Some(WINDOWS_MS[0]);
    let inputs_min = match (is_complete, is_finest) {
        (true, _) => 2,
        (false, true) => OPEN_WINDOW_INPUTS_MIN,
        (false, false) => return None,
    };
    let is_inside = |candidate: &Candidate| {
        !candidate.is_fixed
            && window_length(candidate.window).is_some()
            && window.start <= candidate.window.start
            && candidate.window.end <= window.end
    };
    let runs = contiguous_runs(sorted, is_inside);
    let bytes_max = if is_finest { u64::MAX } else { limits.bytes_max };
    let worth = runs
        .into_iter()
        .filter_map(|run| worthwhile(run, inputs_min))
        .filter(|run| run.iter().map(|candidate| candidate.bytes).sum::<u64>() <= bytes_max);
    let best = worth.max_by_key(|run| run.len())?;
    Some(Plan { inputs: best.iter().map(|candidate| candidate.number).collect(), window })
}

/// An overlay is cut by windows, as a flush does it: alone, since what overlaps it ranks on both sides, and before
/// anything else, since it stands between the segments that it overlaps. Where it has more windows than a flush has
/// outputs, a smaller overlay is left for the next time.
fn plan_overlays(sorted: &[&Candidate]) -> Option<Plan> {
    let is_overlay =
        |candidate: &&&Candidate| !candidate.is_fixed && window_length(candidate.window).is_none();
    let first = sorted.iter().find(is_overlay)?;
    Some(Plan { inputs: vec![first.number], window: first.window })
}

/// Runs of wanted segments, in rising rank, between which no other segment ranks that overlaps them in time: merged,
/// such a run takes one place in the order, and who wins over whom stays as it is.
fn contiguous_runs<'a>(
    sorted: &[&'a Candidate],
    is_wanted: impl Fn(&Candidate) -> bool,
) -> Vec<Vec<&'a Candidate>> {
    let mut runs: Vec<Vec<&Candidate>> = Vec::new();
    let mut run: Vec<&Candidate> = Vec::new();
    let span = |run: &[&Candidate]| run.iter().fold(TimeSpan::new(0, -1), |all, c| all.union(c.span));
    // Unwanted segments since the run began.
    let mut between: Vec<&Candidate> = Vec::new();
    for &candidate in sorted {
        if !is_wanted(candidate) {
            between.push(candidate);
            continue;
        }
        let united = span(&run).union(candidate.span);
        if !run.is_empty() && between.iter().any(|other| other.span.overlaps(united)) {
            runs.push(std::mem::take(&mut run));
        }
        if run.is_empty() {
            between.clear();
        }
        run.push(candidate);
    }
    runs.push(run);
    runs.retain(|run| !run.is_empty());
    runs
}

/// Cuts a run at segments that are too large to be rewritten for the others; `None` where too few are left.
fn worthwhile(run: Vec<&Candidate>, inputs_min: usize) -> Option<Vec<&Candidate>> {
    if run.len() < inputs_min {
        return None;
    }
    let (at, largest) = run.iter().enumerate().max_by_key(|(_, candidate)| candidate.bytes)?;
    let others: u64 = run.iter().map(|candidate| candidate.bytes).sum::<u64>() - largest.bytes;
    if others.saturating_mul(REWRITE_RATIO) >= largest.bytes {
        return Some(run);
    }
    let sides = [run[..at].to_vec(), run[at + 1..].to_vec()];
    let mut left: Vec<_> = sides.into_iter().filter_map(|side| worthwhile(side, inputs_min)).collect();
    left.sort_by_key(|side| Reverse(side.len()));
    left.into_iter().next()
}

#[cfg(test)]
mod tests {
    use super::*;

    const LENGTH: i64 = WINDOWS_MS[0];

    fn candidate(number: u64, at: i64, bytes: u64) -> Candidate {
        let window = window_around(at * LENGTH, LENGTH);
        Candidate {
            number,
            tenant: TenantId::default(),
            window,
            span: window,
            rank: (number * 10, number * 10 - 9),
            bytes,
            is_fixed: false,
        }
    }

    fn limits(newest_windows: i64, is_forced: bool) -> PlanLimits {
        PlanLimits {
            newest: newest_windows * LENGTH,
            longest_window_ms: WINDOWS_MS[1],
            bytes_max: u64::MAX,
            is_forced,
        }
    }

    #[test]
    fn complete_windows_are_merged_and_open_ones_wait() {
        let two = [candidate(1, 0, 100), candidate(2, 0, 100)];
        assert_eq!(plan(&two, &limits(0, false)), None);
        let inputs = plan(&two, &limits(2, false)).expect("the window is complete").inputs;
        assert_eq!(inputs, [1, 2]);
        let four: Vec<_> = (1..=4).map(|number| candidate(number, 0, 100)).collect();
        assert_eq!(plan(&four, &limits(0, false)).expect("four are enough").inputs.len(), 4);
    }

    #[test]
    fn on_demand_everything_goes_to_the_coarsest_window() {
        let segments = [candidate(1, 0, 100), candidate(2, 1, 100), candidate(3, 2, 100)];
        let merge = plan(&segments, &limits(2, true)).expect("there is something to merge");
        assert_eq!((merge.inputs.len(), merge.window), (3, window_around(0, WINDOWS_MS[1])));
    }

    #[test]
    fn a_large_segment_is_not_rewritten_for_little() {
        let segments = [candidate(1, 0, 10_000), candidate(2, 0, 100)];
        assert_eq!(plan(&segments, &limits(9, true)), None);
        let segments = [candidate(1, 0, 10_000), candidate(2, 0, 100), candidate(3, 0, 100)];
        assert_eq!(plan(&segments, &limits(9, true)).expect("two small ones").inputs, [2, 3]);
    }

    #[test]
    fn nothing_is_merged_across_a_segment_that_ranks_between() {
        // One that cannot be merged itself.
        let window = TimeSpan::new(5, LENGTH);
        let overlay = Candidate { window, is_fixed: true, ..candidate(2, 0, 100) };
        let segments = [candidate(1, 0, 100), overlay.clone(), candidate(3, 0, 100)];
        assert_eq!(plan(&segments, &limits(9, true)), None);
        // A merge that was made before ranks below an overlay of its own later half.
        let merged = Candidate { rank: (20, 1), ..candidate(1, 0, 100) };
        let segments = [merged, Candidate { rank: (20, 11), ..overlay.clone() }, candidate(3, 0, 100)];
        assert_eq!(plan(&segments, &limits(9, true)), None);
        let elsewhere = Candidate { span: TimeSpan::new(9 * LENGTH, 9 * LENGTH), ..overlay };
        let segments = [candidate(1, 0, 100), elsewhere, candidate(3, 0, 100)];
        assert_eq!(plan(&segments, &limits(9, true)).expect("it does not overlap").inputs, [1, 3]);
    }

    #[test]
    fn an_overlay_is_cut_alone_and_first() {
        let overlay = Candidate { window: TimeSpan::new(3, 3 * LENGTH), ..candidate(2, 0, 100) };
        let segments = [candidate(1, 0, 100), overlay.clone(), candidate(3, 0, 100)];
        let cut = plan(&segments, &limits(9, false)).expect("there is an overlay");
        assert_eq!((cut.inputs, cut.window), (vec![2], overlay.window));
    }

    #[test]
    fn what_is_damaged_is_left_alone_and_not_passed_over() {
        let damaged = Candidate { is_fixed: true, ..candidate(2, 0, 100) };
        let segments = [candidate(1, 0, 100), damaged, candidate(3, 0, 100)];
        assert_eq!(plan(&segments, &limits(9, true)), None);
        let elsewhere = Candidate { is_fixed: true, ..candidate(2, 5, 100) };
        let segments = [candidate(1, 0, 100), elsewhere, candidate(3, 0, 100)];
        assert_eq!(plan(&segments, &limits(9, false)).expect("it does not overlap").inputs, [1, 3]);
    }

    #[test]
    fn large_merges_keep_to_their_bound() {
        let segments = [candidate(1, 0, 100), candidate(2, 1, 100), candidate(3, 2, 100)];
        let bounded = PlanLimits { bytes_max: 250, ..limits(2, true) };
        assert_eq!(plan(&segments, &bounded), None);
        let same_window = [candidate(1, 0, 200), candidate(2, 0, 100)];
        assert!(plan(&same_window, &bounded).is_some(), "the finest windows are merged all the same");
    }
}
